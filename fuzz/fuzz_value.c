/* Values: what decodes encodes to the same, stored and canonical; it prints; and as JSON it is JSON (S5). */
#include "fuzz.h"

/* ---- A JSON reader that accepts what RFC 8259 does and nothing else ---- */

static const uint8_t *json_value(const uint8_t *p, int depth);

static const uint8_t *json_string(const uint8_t *p)
{
    if (*p++ != '"') return NULL;
    for (; *p != '"'; p++) {
        if (*p < 0x20) return NULL;
        if (*p != '\\') continue;
        if (!*++p || !strchr("\"\\/bfnrtu", *p)) return NULL;
        for (int i = 0; *p == 'u' && i < 4; i++)
            if (!strchr("0123456789abcdefABCDEF", p[1 + i]) || !p[1 + i]) return NULL;
        if (*p == 'u') p += 4;
    }
    return p + 1;
}

static const uint8_t *json_digits(const uint8_t *p)
{
    if (*p < '0' || *p > '9') return NULL;
    while (*p >= '0' && *p <= '9') p++;
    return p;
}

static const uint8_t *json_number(const uint8_t *p)
{
    p += *p == '-';
    p = *p == '0' ? p + 1 : json_digits(p);
    if (p && *p == '.') p = json_digits(p + 1);
    if (p && (*p == 'e' || *p == 'E')) p = json_digits(p + 1 + (p[1] == '+' || p[1] == '-'));
    return p;
}

/* What stands between brackets: values, or "key":value pairs. */
static const uint8_t *json_items(const uint8_t *p, uint8_t end, int depth)
{
    if (*p == end) return p + 1;
    for (;; p++) {
        if (end == '}' && (!(p = json_string(p)) || *p++ != ':')) return NULL;
        if (!(p = json_value(p, depth + 1))) return NULL;
        if (*p == end) return p + 1;
        if (*p != ',') return NULL;
    }
}

static const uint8_t *json_value(const uint8_t *p, int depth)
{
    static const char *const words[] = { "null", "true", "false" };

    if (*p == '"') return json_string(p);
    if (*p == '[' || *p == '{') return json_items(p + 1, *p == '[' ? ']' : '}', depth);
    for (size_t i = 0; i < 3; i++)
        if (strncmp((const char *)p, words[i], strlen(words[i])) == 0) return p + strlen(words[i]);
    return json_number(p);
}

/* UTF-8 throughout, without what it forbids. */
static bool utf8(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
        size_t more = p[i] < 0x80 ? 0 : p[i] >> 5 == 6 ? 1 : p[i] >> 4 == 14 ? 2 : p[i] >> 3 == 30 ? 3 : 9;
        if (more == 9 || n - i <= more) return false;
        uint32_t c = p[i++] & (more ? 0x3fu >> more : 0x7fu);
        for (size_t k = 0; k < more; k++, i++) {
            if (p[i] >> 6 != 2) return false;
            c = c << 6 | (p[i] & 0x3fu);
        }
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return false;
    }
    return true;
}

/* ---- Values ---- */

static void encode(coco__buf *b, coco_value v, coco__encoding how)
{
    b->n = 0;
    PROMISE(coco__value_put(b, v, how) == COCO_OK);
}

static void comes_back(coco__arena *a, coco__buf *b, coco_value v, coco__encoding how)
{
    coco_value again;

    encode(b, v, how);
    coco__reader r = coco__reader_of(b->p, b->n);
    PROMISE(coco__value_get(&r, a, &again) == COCO_OK);
    PROMISE(coco__left(&r) == 0);
    PROMISE(coco_equal(v, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    coco__reader r = coco__reader_of(data, n);
    coco__arena a;
    coco__buf b;
    coco_value v;

    coco__arena_init(&a, &fuzz_mem);
    coco__buf_init(&b, &fuzz_mem);
    if (coco__value_get(&r, &a, &v) == COCO_OK) {
        PROMISE(coco_equal(v, v));
        comes_back(&a, &b, v, COCO__STORED);
        comes_back(&a, &b, v, COCO__CANONICAL);
        b.n = 0;
        coco__value_print(&b, v);
        b.n = 0;
        coco__value_json(&b, v);
        PROMISE(!b.failed);
        PROMISE(utf8(b.p, b.n));
        PROMISE(!memchr(b.p, 0, b.n));
        coco__buf_byte(&b, 0);
        const uint8_t *end = json_value(b.p, 0);
        PROMISE(end && end == b.p + b.n - 1);
    }
    coco__buf_free(&b);
    coco__arena_free(&a);
    return 0;
}
