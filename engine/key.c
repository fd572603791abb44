/* key.c - stable keys and component paths: their order-preserving encoding, the printed form and its parser.
 *
 * The encoding. A tag byte, then by kind:
 *     null, false, true     nothing
 *     int                   the fewest big-endian bytes; their number and the sign are in the tag, so that longer
 *                           numbers sort outwards from zero; a negative one's magnitude is inverted
 *     symbol, text, bytes   the bytes, each 00 as 00 FF; then 00
 *     uuid                  16 bytes
 *     list                  the items, then an end tag
 *
 * Why it keeps the order. Tags stand in the order of kinds. Behind a text's terminator comes a tag, the end tag or
 * nothing, all below FF: so a text sorts before those that go on with a 00, and before all longer ones. The end tag is
 * below all others, so a list sorts before those it is a prefix of.
 *
 * Keys may stand behind each other, and other bytes behind a key as long as the first isn't FF. One encoding is a
 * prefix of another only where a text, symbol or bytes goes on with a 00: who scans by prefix checks coco__key_length.
 *
 * The printed form is value.c's; here is the way back. What is printed parses to the same key; what parses to no key is
 * refused with a message that counts bytes from 1.
 *
 * Calls base.c and value.c. */
#include "engine.h"

#define COCO__KEY_DEPTH 200 /* of lists within each other: what recursion may use of the stack */

enum {
    COCO__KEY_END = 0x01,
    COCO__KEY_NULL,
    COCO__KEY_SYMBOL,
    COCO__KEY_FALSE,
    COCO__KEY_TRUE,
    COCO__KEY_INT_LOW, /* 8 bytes, negative */
    COCO__KEY_ZERO = COCO__KEY_INT_LOW + 8,
    COCO__KEY_INT_HIGH = COCO__KEY_ZERO + 8, /* 8 bytes, positive */
    COCO__KEY_TEXT,
    COCO__KEY_BYTES,
    COCO__KEY_UUID,
    COCO__KEY_LIST
};

/* ---- Encoding -------------------------------------------------------------------------------------------------- */

/* Writes from the last byte to the first, so that no length is needed before. */
static void coco__key_put_int(coco__buf *b, int64_t i)
{
    uint64_t rest = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    uint8_t out[9], flip = i < 0 ? 0xff : 0;
    size_t at = sizeof out;

    for (; rest; rest >>= 8) out[--at] = (uint8_t)rest ^ flip;
    rest = sizeof out - at;
    out[--at] = (uint8_t)(i < 0 ? COCO__KEY_ZERO - rest : COCO__KEY_ZERO + rest);
    coco__buf_put(b, out + at, sizeof out - at);
}

/* With each 00 as 00 FF. */
static void coco__key_put_escaped(coco__buf *b, const char *p, size_t n)
{
    const char *zero;

    while (n && (zero = memchr(p, 0, n)) != NULL) {
        size_t run = (size_t)(zero - p) + 1;

        coco__buf_put(b, p, run);
        coco__buf_byte(b, 0xff);
        p += run;
        n -= run;
    }
    coco__buf_put(b, p, n);
}

/* Nearly all texts hold no 00: one search, one growth, one copy. */
static void coco__key_put_string(coco__buf *b, uint8_t tag, coco_str s)
{
    uint8_t *out;

    if (s.n > SIZE_MAX - 2 || memchr(s.p, 0, s.n)) {
        coco__buf_byte(b, tag);
        coco__key_put_escaped(b, s.p, s.n);
        coco__buf_byte(b, 0);
        return;
    }
    out = coco__buf_grow(b, s.n + 2);
    if (!out) return;
    out[0] = tag;
    memcpy(out + 1, s.p, s.n);
    out[s.n + 1] = 0;
}

static coco_status coco__key_encode(coco__buf *b, coco_value key, int depth)
{
    size_t i;

    switch (key.kind) {
    case COCO_TEXT_KIND: coco__key_put_string(b, COCO__KEY_TEXT, coco_text_of(key)); return 0;
    case COCO_INT: coco__key_put_int(b, key.as.integer); return 0;
    case COCO_SYMBOL: coco__key_put_string(b, COCO__KEY_SYMBOL, coco_text_of(key)); return 0;
    case COCO_BYTES: coco__key_put_string(b, COCO__KEY_BYTES, coco_text_of(key)); return 0;
    case COCO_NULL: coco__buf_byte(b, COCO__KEY_NULL); return 0;
    case COCO_BOOL: coco__buf_byte(b, key.as.boolean ? COCO__KEY_TRUE : COCO__KEY_FALSE); return 0;
    case COCO_UUID:
        coco__buf_byte(b, COCO__KEY_UUID);
        coco__buf_put(b, key.as.uuid, 16);
        return 0;
    case COCO_LIST:
        if (depth == COCO__KEY_DEPTH) return COCO_EINVAL;
        coco__buf_byte(b, COCO__KEY_LIST);
        for (i = 0; i < key.as.s.u.n; i++) COCO_TRY(coco__key_encode(b, key.as.s.p.items[i], depth + 1));
        coco__buf_byte(b, COCO__KEY_END);
        return 0;
    default: return COCO_ETYPE;
    }
}

/* A failure takes back what was put. Lists nested too deep are COCO_EINVAL. */
COCO__IN coco_status coco__key_put(coco__buf *b, coco_value key)
{
    size_t before = b->n;
    coco_status rc = coco__key_encode(b, key, 0);

    if (rc == 0 && b->failed) rc = COCO_ENOMEM;
    if (rc) b->n = before;
    return rc;
}

/* No terminator; an escaped 00 at the end stays a prefix, for its FF belongs to it. */
COCO__IN void coco__key_text_prefix(coco__buf *b, coco_str s)
{
    coco__buf_byte(b, COCO__KEY_TEXT);
    coco__key_put_escaped(b, s.p, s.n);
}

/* ---- Decoding -------------------------------------------------------------------------------------------------- */

static bool coco__key_is_string(uint8_t tag)
{
    return tag == COCO__KEY_SYMBOL || tag == COCO__KEY_TEXT || tag == COCO__KEY_BYTES;
}

/* The length of escaped bytes with their terminator, 0 if that is missing; *zeros counts those that were escaped. */
static size_t coco__key_string_length(const uint8_t *p, size_t n, size_t *zeros)
{
    const uint8_t *at = p, *end = p + n;

    for (*zeros = 0; at < end && (at = memchr(at, 0, (size_t)(end - at))) != NULL; at += 2, ++*zeros)
        if (end - at < 2 || at[1] != 0xff) return (size_t)(at - p) + 1;
    return 0;
}

/* Reads the int behind its tag; false if it is cut off, isn't the shortest form, or is beyond int64. */
static bool coco__key_int(const uint8_t *p, size_t n, uint8_t tag, int64_t *out)
{
    bool negative = tag < COCO__KEY_ZERO;
    size_t len = (size_t)(negative ? COCO__KEY_ZERO - tag : tag - COCO__KEY_ZERO), i;
    uint64_t v = 0, most = (uint64_t)INT64_MAX + negative;

    if (len > n) return false;
    for (i = 0; i < len; i++) v = v << 8 | (uint8_t)(negative ? ~p[i] : p[i]);
    if (v > most || (len && v >> (8 * (len - 1)) == 0)) return false;
    *out = negative ? -1 - (int64_t)(v - 1) : (int64_t)v;
    return true;
}

/* The length of the key at the front that isn't a list, tag included; 0 if malformed. */
static size_t coco__key_scalar_length(const uint8_t *p, size_t n)
{
    uint8_t tag = p[0];
    size_t zeros, len;
    int64_t i;

    if (coco__key_is_string(tag)) {
        len = coco__key_string_length(p + 1, n - 1, &zeros);
        return len ? len + 1 : 0;
    }
    if (tag >= COCO__KEY_INT_LOW && tag <= COCO__KEY_INT_HIGH) {
        if (!coco__key_int(p + 1, n - 1, tag, &i)) return 0;
        return 1 + (size_t)(tag < COCO__KEY_ZERO ? COCO__KEY_ZERO - tag : tag - COCO__KEY_ZERO);
    }
    if (tag == COCO__KEY_UUID) return n >= 17 ? 17 : 0;
    return tag == COCO__KEY_NULL || tag == COCO__KEY_FALSE || tag == COCO__KEY_TRUE;
}

/* A loop with a depth instead of a recursion: nothing is kept of what is passed over. */
COCO__IN size_t coco__key_length(const uint8_t *p, size_t n)
{
    size_t at = 0, len;
    int depth = 0;

    do {
        if (at == n) return 0;
        len = 1;
        if (p[at] == COCO__KEY_LIST) {
            if (depth++ == COCO__KEY_DEPTH) return 0;
        } else if (p[at] == COCO__KEY_END) {
            if (depth-- == 0) return 0;
        } else {
            len = coco__key_scalar_length(p + at, n - at);
        }
        if (len == 0) return 0;
        at += len;
    } while (depth > 0);
    return at;
}

/* Behind the tag. */
static coco_status coco__key_get_string(coco__reader *r, coco__arena *a, coco_kind kind, coco_value *out)
{
    size_t zeros, len = coco__key_string_length(r->p, coco__left(r), &zeros), n, i;
    const uint8_t *p = coco__read_bytes(r, len);
    char *s;

    if (len == 0 || !p) return COCO_ECORRUPT;
    n = len - 1 - zeros;
    s = coco__arena_alloc(a, n + 1);
    if (!s) return COCO_ENOMEM;
    if (zeros == 0)
        memcpy(s, p, n);
    else
        for (i = 0; i < n; i++, p += *p ? 1 : 2) s[i] = (char)*p;
    s[n] = '\0';
    *out = coco_text_n((coco_str){ s, n });
    out->kind = kind;
    return 0;
}

static coco_status coco__key_decode(coco__reader *r, coco__arena *a, int depth, coco_value *out);

/* The count isn't stored: the array doubles in the arena, which at most doubles what the list takes. */
static coco_status coco__key_get_list(coco__reader *r, coco__arena *a, int depth, coco_value *out)
{
    coco_value *items = NULL, *larger;
    size_t n = 0, cap = 0;

    if (depth > COCO__KEY_DEPTH) return COCO_ECORRUPT;
    while (coco__left(r) && *r->p != COCO__KEY_END) {
        if (n == cap) {
            cap = cap ? cap * 2 : 2;
            larger = coco__arena_alloc(a, cap * sizeof *items);
            if (!larger) return COCO_ENOMEM;
            if (n) memcpy(larger, items, n * sizeof *items);
            items = larger;
        }
        COCO_TRY(coco__key_decode(r, a, depth, &items[n++]));
    }
    if (coco__read_byte(r) != COCO__KEY_END) return COCO_ECORRUPT;
    *out = coco_list(items, n);
    return 0;
}

static coco_status coco__key_decode(coco__reader *r, coco__arena *a, int depth, coco_value *out)
{
    uint8_t tag = coco__read_byte(r);
    const uint8_t *uuid;
    int64_t i;

    switch (tag) {
    case COCO__KEY_NULL: *out = coco_null(); return 0;
    case COCO__KEY_FALSE: *out = coco_bool(false); return 0;
    case COCO__KEY_TRUE: *out = coco_bool(true); return 0;
    case COCO__KEY_SYMBOL: return coco__key_get_string(r, a, COCO_SYMBOL, out);
    case COCO__KEY_TEXT: return coco__key_get_string(r, a, COCO_TEXT_KIND, out);
    case COCO__KEY_BYTES: return coco__key_get_string(r, a, COCO_BYTES, out);
    case COCO__KEY_LIST: return coco__key_get_list(r, a, depth + 1, out);
    case COCO__KEY_UUID:
        uuid = coco__read_bytes(r, 16);
        if (!uuid) return COCO_ECORRUPT;
        *out = coco_uuid(uuid);
        return 0;
    default:
        if (tag < COCO__KEY_INT_LOW || tag > COCO__KEY_INT_HIGH) return COCO_ECORRUPT; /* also where nothing is left */
        if (!coco__key_int(r->p, coco__left(r), tag, &i)) return COCO_ECORRUPT;
        r->p += tag < COCO__KEY_ZERO ? COCO__KEY_ZERO - tag : tag - COCO__KEY_ZERO;
        *out = coco_int(i);
        return 0;
    }
}

/* After a failure *out is null, and the reader is at its end and bad. */
COCO__IN coco_status coco__key_get(coco__reader *r, coco__arena *a, coco_value *out)
{
    coco_status rc = r->bad ? COCO_ECORRUPT : coco__key_decode(r, a, 0, out);

    if (rc == 0) return 0;
    r->p = r->end;
    r->bad = true;
    *out = coco_null();
    return rc;
}

/* ---- Printing -------------------------------------------------------------------------------------------------- */

/* By way of a value: printing isn't hot, and values know how. */
COCO__IN void coco__key_print(coco__buf *b, const void *key, size_t n)
{
    coco__reader r = coco__reader_of(key, n);
    coco__arena a;
    coco_value v;
    coco_status rc;

    coco__arena_init(&a, b->mem);
    rc = coco__key_get(&r, &a, &v);
    if (rc == 0 && coco__left(&r) == 0)
        coco__value_print(b, v);
    else if (rc == COCO_ENOMEM)
        b->failed = true;
    else
        coco__value_print(b, coco_bytes(key, n)); /* malformed: at least show what is there */
    coco__arena_free(&a);
}

/* From the first segment that is malformed, the rest is one. */
COCO__IN void coco__path_print(coco__buf *b, const void *path, size_t n)
{
    const uint8_t *p = path;

    if (n == 0) coco__buf_byte(b, '/');
    while (n) {
        size_t len = coco__key_length(p, n);

        if (len == 0) len = n;
        coco__buf_byte(b, '/');
        coco__key_print(b, p, len);
        p += len;
        n -= len;
    }
}

/* ---- Parsing --------------------------------------------------------------------------------------------------- */

typedef struct coco__parser {
    const char *start; /* what the message counts from */
    const char *p;     /* what comes next; a NUL ends it */
    coco__buf *out;    /* encoded keys go there as they are read */
    coco_err *err;
} coco__parser;

static coco_status coco__parse_fail(const coco__parser *s, const char *what)
{
    return coco_err_set(s->err, COCO_EPARSE, "path %s: at byte %zu: %s", s->start, (size_t)(s->p - s->start) + 1, what);
}

/* The value of a hex digit, or -1. */
static int coco__parse_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Exactly `digits` hex digits at p, or -1. */
static long coco__parse_hex(const char *p, int digits)
{
    long v = 0;

    for (; digits > 0; digits--, p++) {
        int d = coco__parse_digit(*p);

        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* Puts one byte of a symbol, text or bytes. */
static void coco__parse_byte(const coco__parser *s, long byte)
{
    coco__buf_byte(s->out, (uint8_t)byte);
    if (byte == 0) coco__buf_byte(s->out, 0xff);
}

/* Puts a character of at most 16 bits as UTF-8. */
static void coco__parse_char(const coco__parser *s, long c)
{
    if (c < 0x80) {
        coco__parse_byte(s, c);
    } else if (c < 0x800) {
        coco__parse_byte(s, 0xc0 | c >> 6);
        coco__parse_byte(s, 0x80 | (c & 0x3f));
    } else {
        coco__parse_byte(s, 0xe0 | c >> 12);
        coco__parse_byte(s, 0x80 | (c >> 6 & 0x3f));
        coco__parse_byte(s, 0x80 | (c & 0x3f));
    }
}

/* What stands behind a backslash, at s->p. */
static coco_status coco__parse_escape(coco__parser *s)
{
    long c;

    switch (*s->p) {
    case '"':
    case '\\': coco__parse_byte(s, *s->p); break;
    case 'n': coco__parse_byte(s, '\n'); break;
    case 't': coco__parse_byte(s, '\t'); break;
    case 'u':
        c = coco__parse_hex(s->p + 1, 4);
        if (c < 0 || (c >= 0xd800 && c < 0xe000))
            return coco__parse_fail(s, "\\u needs four hex digits of a character");
        coco__parse_char(s, c);
        s->p += 4;
        break;
    case 'x':
        c = coco__parse_hex(s->p + 1, 2);
        if (c < 0) return coco__parse_fail(s, "\\x needs two hex digits");
        coco__parse_byte(s, c);
        s->p += 2;
        break;
    default: return coco__parse_fail(s, "unknown escape; there are \\\" \\\\ \\n \\t \\uXXXX \\xXX");
    }
    s->p++;
    return 0;
}

/* The rest of a quoted text, and the terminator of its encoding. */
static coco_status coco__parse_quoted(coco__parser *s)
{
    if (*s->p != '"') return coco__parse_fail(s, "expected a name or a quoted text behind @");
    s->p++;
    while (*s->p != '"') {
        size_t run = strcspn(s->p, "\"\\");

        coco__buf_put(s->out, s->p, run);
        s->p += run;
        if (!*s->p) return coco__parse_fail(s, "the closing quote is missing");
        if (*s->p != '\\') continue;
        s->p++;
        COCO_TRY(coco__parse_escape(s));
    }
    s->p++;
    coco__buf_byte(s->out, 0);
    return 0;
}

static coco_status coco__parse_symbol(coco__parser *s)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789.-";
    size_t n = strspn(s->p, letters);

    coco__buf_byte(s->out, COCO__KEY_SYMBOL);
    if (n == 0 || strchr("0123456789.-", *s->p)) return coco__parse_quoted(s);
    coco__buf_put(s->out, s->p, n);
    coco__buf_byte(s->out, 0);
    s->p += n;
    return 0;
}

/* Behind b". */
static coco_status coco__parse_bytes(coco__parser *s)
{
    coco__buf_byte(s->out, COCO__KEY_BYTES);
    for (; *s->p != '"'; s->p += 2) {
        long byte = coco__parse_hex(s->p, 2);

        if (byte < 0) return coco__parse_fail(s, "expected two hex digits or the closing quote");
        coco__parse_byte(s, byte);
    }
    s->p++;
    coco__buf_byte(s->out, 0);
    return 0;
}

static coco_status coco__parse_int(coco__parser *s)
{
    bool negative = *s->p == '-';
    const char *p = s->p + negative;
    uint64_t v = 0, most = (uint64_t)INT64_MAX + negative;

    if (*p < '0' || *p > '9')
        return coco__parse_fail(s, "expected a key: null, true, 5, \"text\", @symbol, b\"hex\", a uuid or [a,b]");
    if (*p == '0' && (negative || (p[1] >= '0' && p[1] <= '9')))
        return coco__parse_fail(s, "a number has no zero in front");
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');

        if (v > (most - digit) / 10) return coco__parse_fail(s, "the number is beyond 64 bits");
        v = v * 10 + digit;
    }
    coco__key_put_int(s->out, negative ? -1 - (int64_t)(v - 1) : (int64_t)v);
    s->p = p;
    return 0;
}

/* A uuid is tried before an int, which it may begin like; false if there is none. */
static bool coco__parse_uuid(coco__parser *s)
{
    const char *p = s->p;
    uint8_t uuid[16];
    int i;

    for (i = 0; i < 16; i++, p += 2) {
        long byte;

        if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-') return false;
        byte = coco__parse_hex(p, 2);
        if (byte < 0) return false;
        uuid[i] = (uint8_t)byte;
    }
    coco__buf_byte(s->out, COCO__KEY_UUID);
    coco__buf_put(s->out, uuid, 16);
    s->p = p;
    return true;
}

/* Takes word if it stands next. */
static bool coco__parse_word(coco__parser *s, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(s->p, word, n) != 0) return false;
    s->p += n;
    return true;
}

/* Kinds are told apart by how they begin, but a uuid may begin like an int: it is tried before. */
static coco_status coco__parse_key(coco__parser *s, int depth)
{
    if (coco__parse_word(s, "[")) {
        if (depth == COCO__KEY_DEPTH) return coco__parse_fail(s, "lists are nested too deep");
        coco__buf_byte(s->out, COCO__KEY_LIST);
        if (!coco__parse_word(s, "]")) {
            do COCO_TRY(coco__parse_key(s, depth + 1));
            while (coco__parse_word(s, ","));
            if (!coco__parse_word(s, "]")) return coco__parse_fail(s, "expected , or ]");
        }
        coco__buf_byte(s->out, COCO__KEY_END);
        return 0;
    }
    if (*s->p == '"') {
        coco__buf_byte(s->out, COCO__KEY_TEXT);
        return coco__parse_quoted(s);
    }
    if (coco__parse_word(s, "@")) return coco__parse_symbol(s);
    if (coco__parse_word(s, "b\"")) return coco__parse_bytes(s);
    if (coco__parse_uuid(s)) return 0;
    if (coco__parse_word(s, "null"))
        coco__buf_byte(s->out, COCO__KEY_NULL);
    else if (coco__parse_word(s, "true"))
        coco__buf_byte(s->out, COCO__KEY_TRUE);
    else if (coco__parse_word(s, "false"))
        coco__buf_byte(s->out, COCO__KEY_FALSE);
    else
        return coco__parse_int(s);
    return 0;
}

/* A failure takes back what was put. */
static coco_status coco__parse_end(const coco__parser *s, coco_status rc, size_t before)
{
    if (rc == 0 && s->out->failed) rc = coco_err_set(s->err, COCO_ENOMEM, "out of memory");
    if (rc) s->out->n = before;
    return rc;
}

/* Takes the key and leaves *s behind it; whether what follows may follow is the caller's to say. *s stays after a
 * failure. */
COCO__IN coco_status coco__key_parse(const char **s, coco__buf *out, coco_err *err)
{
    coco__parser parser = { *s, *s, out, err };
    size_t before = out->n;
    coco_status rc = coco__parse_end(&parser, coco__parse_key(&parser, 0), before);

    if (rc == 0) *s = parser.p;
    return rc;
}

COCO__IN coco_status coco__path_parse(const char *s, coco__buf *out, coco_err *err)
{
    coco__parser parser = { s, s, out, err };
    size_t before = out->n;
    coco_status rc = 0;

    if (strcmp(s, "/") == 0) return 0;
    do {
        if (!coco__parse_word(&parser, "/"))
            rc = coco__parse_fail(&parser, parser.p == s ? "a path begins with /" : "expected / or the end");
        else
            rc = coco__parse_key(&parser, 0);
    } while (rc == 0 && *parser.p);
    return coco__parse_end(&parser, rc, before);
}
