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

/* ---- Encoding ---- */

/* Writes from the last byte to the first, so that no length is needed before. */
static void coco__key_put_int(coco__buf *b, int64_t i)
{
    uint64_t rest = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    uint8_t out[9], flip = i < 0 ? 0xff : 0;
    size_t at = sizeof out, n;
    for (; rest; rest >>= 8) out[--at] = (uint8_t)rest ^ flip;
    n = sizeof out - at;
    out[--at] = (uint8_t)(i < 0 ? COCO__KEY_ZERO - n : COCO__KEY_ZERO + n);
    coco__buf_put(b, out + at, n + 1);
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
    } else if ((out = coco__buf_grow(b, s.n + 2)) != NULL) {
        out[0] = tag;
        memcpy(out + 1, s.p, s.n);
        out[s.n + 1] = 0;
    }
}

static coco_status coco__key_encode(coco__buf *b, coco_value key, int depth)
{
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
        for (size_t i = 0; i < key.as.s.u.n; i++) COCO_TRY(coco__key_encode(b, key.as.s.p.items[i], depth + 1));
        coco__buf_byte(b, COCO__KEY_END);
        return 0;
    default: return COCO_ETYPE;
    }
}

/* Lists nested too deep are COCO_EINVAL. */
COCO__IN coco_status coco__key_put(coco__buf *b, coco_value key)
{
    size_t before = b->n;
    return coco__buf_end(b, before, coco__key_encode(b, key, 0));
}

/* No terminator; an escaped 00 at the end stays a prefix, for its FF belongs to it. */
COCO__IN void coco__key_text_prefix(coco__buf *b, coco_str s)
{
    coco__buf_byte(b, COCO__KEY_TEXT);
    coco__key_put_escaped(b, s.p, s.n);
}

/* ---- Decoding: without an arena it only passes over the key ---- */

/* Behind the tag. */
static coco_status coco__key_get_string(coco__reader *r, coco__arena *a, coco_kind kind, coco_value *out)
{
    const uint8_t *p = r->p, *end = p;
    size_t zeros = 0, n;
    char *s;

    for (; (end = memchr(end, 0, (size_t)(r->end - end))) && r->end - end > 1 && end[1] == 0xff; end += 2) zeros++;
    if (!end) return COCO_ECORRUPT;
    r->p = end + 1;
    if (!a) return 0;
    n = (size_t)(end - p) - zeros;
    if (!(s = coco__arena_alloc(a, n + 1))) return COCO_ENOMEM;
    if (zeros == 0)
        memcpy(s, p, n);
    else
        for (size_t i = 0; i < n; i++, p += *p ? 1 : 2) s[i] = (char)*p;
    s[n] = '\0';
    *out = coco_text_n((coco_str){ s, n });
    out->kind = kind;
    return 0;
}

/* Behind the tag; takes the shortest form alone. */
static coco_status coco__key_get_int(coco__reader *r, uint8_t tag, coco_value *out)
{
    bool negative = tag < COCO__KEY_ZERO;
    size_t len = (size_t)(negative ? COCO__KEY_ZERO - tag : tag - COCO__KEY_ZERO);
    const uint8_t *p = coco__read_bytes(r, len);
    uint64_t v = 0, most = (uint64_t)INT64_MAX + negative;
    for (size_t i = 0; p && i < len; i++) v = v << 8 | (uint8_t)(negative ? ~p[i] : p[i]);
    if (!p || v > most || (len && v >> (8 * (len - 1)) == 0)) return COCO_ECORRUPT;
    *out = coco_int(negative ? -1 - (int64_t)(v - 1) : (int64_t)v);
    return 0;
}

static coco_status coco__key_decode(coco__reader *r, coco__arena *a, int depth, coco_value *out);

/* The count isn't stored: the array doubles in the arena, which at most doubles what the list takes. */
static coco_status coco__key_get_list(coco__reader *r, coco__arena *a, int depth, coco_value *out)
{
    coco_value *items = NULL, *larger, skipped;
    size_t n = 0, cap = 0;

    if (depth == COCO__KEY_DEPTH) return COCO_ECORRUPT;
    for (; coco__left(r) && *r->p != COCO__KEY_END; n++) {
        if (a && n == cap) {
            cap = cap ? cap * 2 : 2;
            if (!(larger = coco__arena_alloc(a, cap * sizeof *items))) return COCO_ENOMEM;
            if (n) memcpy(larger, items, n * sizeof *items);
            items = larger;
        }
        COCO_TRY(coco__key_decode(r, a, depth + 1, a ? &items[n] : &skipped));
    }
    *out = coco_list(items, n);
    return coco__read_byte(r) == COCO__KEY_END ? 0 : COCO_ECORRUPT;
}

static coco_status coco__key_decode(coco__reader *r, coco__arena *a, int depth, coco_value *out)
{
    uint8_t tag = coco__read_byte(r);
    const uint8_t *uuid;

    switch (tag) {
    case COCO__KEY_NULL: *out = coco_null(); return 0;
    case COCO__KEY_FALSE:
    case COCO__KEY_TRUE: *out = coco_bool(tag == COCO__KEY_TRUE); return 0;
    case COCO__KEY_SYMBOL: return coco__key_get_string(r, a, COCO_SYMBOL, out);
    case COCO__KEY_TEXT: return coco__key_get_string(r, a, COCO_TEXT_KIND, out);
    case COCO__KEY_BYTES: return coco__key_get_string(r, a, COCO_BYTES, out);
    case COCO__KEY_LIST: return coco__key_get_list(r, a, depth, out);
    case COCO__KEY_UUID:
        if (!(uuid = coco__read_bytes(r, 16))) return COCO_ECORRUPT;
        *out = coco_uuid(uuid);
        return 0;
    default: /* also where nothing is left */
        return tag < COCO__KEY_INT_LOW || tag > COCO__KEY_INT_HIGH ? COCO_ECORRUPT : coco__key_get_int(r, tag, out);
    }
}

COCO__IN coco_status coco__key_get(coco__reader *r, coco__arena *a, coco_value *out)
{
    return coco__value_end(r, r->bad ? COCO_ECORRUPT : coco__key_decode(r, a, 0, out), out);
}

COCO__IN size_t coco__key_length(const uint8_t *p, size_t n)
{
    coco__reader r = coco__reader_of(p, n);
    coco_value skipped;
    return coco__key_decode(&r, NULL, 0, &skipped) == 0 ? n - coco__left(&r) : 0;
}

/* ---- Printing ---- */

/* By way of a value: printing isn't hot, and values know how. What is malformed shows as bytes. */
COCO__IN void coco__key_print(coco__buf *b, const void *key, size_t n)
{
    coco__reader r = coco__reader_of(key, n);
    coco__arena a;
    coco_value v;
    coco_status rc;

    coco__arena_init(&a, b->mem);
    rc = coco__key_get(&r, &a, &v);
    if (rc == COCO_ENOMEM) b->failed = true;
    coco__value_print(b, rc == 0 && coco__left(&r) == 0 ? v : coco_bytes(key, n));
    coco__arena_free(&a);
}

/* From the first segment that is malformed, the rest is one. */
COCO__IN void coco__path_print(coco__buf *b, const void *path, size_t n)
{
    const uint8_t *p = path;
    if (n == 0) coco__buf_byte(b, '/');
    for (size_t len; n; p += len, n -= len) {
        if ((len = coco__key_length(p, n)) == 0) len = n;
        coco__buf_byte(b, '/');
        coco__key_print(b, p, len);
    }
}

COCO__IN const char *coco__path_shown(coco__buf *b)
{
    coco__buf text;

    coco__buf_init(&text, b->mem);
    coco__path_print(&text, b->p, b->n);
    text.failed |= b->failed;
    coco__buf_free(b);
    *b = text;
    return coco__buf_cstr(b);
}

/* ---- Parsing ---- */

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

/* Takes word if it stands next. */
static bool coco__parse_word(coco__parser *s, const char *word)
{
    size_t n = strlen(word);
    if (strncmp(s->p, word, n) != 0) return false;
    s->p += n;
    return true;
}

/* Exactly `digits` hex digits at p, or -1. */
static long coco__parse_hex(const char *p, int digits)
{
    static const char values[] = "0123456789abcdefABCDEF";
    long v = 0;
    for (; digits > 0; digits--, p++) {
        const char *at = *p ? strchr(values, *p) : NULL;
        if (!at) return -1;
        v = v * 16 + (at - values < 16 ? at - values : at - values - 6);
    }
    return v;
}

/* Puts one byte of a symbol, text or bytes. */
static void coco__parse_byte(const coco__parser *s, long byte)
{
    coco__buf_byte(s->out, (uint8_t)byte);
    if (byte == 0) coco__buf_byte(s->out, 0xff);
}

/* What stands behind a backslash, at s->p. A character given by number goes out as UTF-8. */
static coco_status coco__parse_escape(coco__parser *s)
{
    static const char names[] = "\"\\nt", bytes[] = "\"\\\n\t";
    const char *at = *s->p ? strchr(names, *s->p) : NULL;
    int digits = *s->p == 'u' ? 4 : *s->p == 'x' ? 2 : 0;
    long c = at ? bytes[at - names] : coco__parse_hex(s->p + 1, digits);

    if (!at && !digits) return coco__parse_fail(s, "unknown escape; there are \\\" \\\\ \\n \\t \\uXXXX \\xXX");
    if (digits == 2 && c < 0) return coco__parse_fail(s, "\\x needs two hex digits");
    if (c < 0 || (c >= 0xd800 && c < 0xe000)) return coco__parse_fail(s, "\\u needs four hex digits of a character");
    if (digits == 4 && c >= 0x800) coco__parse_byte(s, 0xe0 | c >> 12);
    if (digits == 4 && c >= 0x80) coco__parse_byte(s, c < 0x800 ? 0xc0 | c >> 6 : 0x80 | (c >> 6 & 0x3f));
    coco__parse_byte(s, digits == 4 && c >= 0x80 ? 0x80 | (c & 0x3f) : c);
    s->p += 1 + digits;
    return 0;
}

/* Behind the quote: the rest of a quoted text, or of the hex digits of bytes. */
static coco_status coco__parse_quoted(coco__parser *s, uint8_t tag)
{
    while (!coco__parse_word(s, "\"")) {
        if (tag == COCO__KEY_BYTES) {
            long byte = coco__parse_hex(s->p, 2);
            if (byte < 0) return coco__parse_fail(s, "expected two hex digits or the closing quote");
            coco__parse_byte(s, byte);
            s->p += 2;
        } else if (!*s->p) {
            return coco__parse_fail(s, "the closing quote is missing");
        } else if (coco__parse_word(s, "\\")) {
            COCO_TRY(coco__parse_escape(s));
        } else {
            coco__buf_byte(s->out, (uint8_t)*s->p++);
        }
    }
    return 0;
}

/* Behind what tells the kind apart: @ or b. */
static coco_status coco__parse_string(coco__parser *s, uint8_t tag)
{
    size_t bare = tag == COCO__KEY_SYMBOL ? coco__bare_length(s->p, SIZE_MAX) : 0;
    coco__buf_byte(s->out, tag);
    coco__buf_put(s->out, s->p, bare);
    s->p += bare;
    if (!bare && !coco__parse_word(s, "\"")) return coco__parse_fail(s, "expected a name or a quoted text behind @");
    if (!bare) COCO_TRY(coco__parse_quoted(s, tag));
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

/* False if there is none. */
static bool coco__parse_uuid(coco__parser *s)
{
    const char *p = s->p;
    uint8_t uuid[17] = { COCO__KEY_UUID };

    for (int i = 0; i < 16; i++, p += 2) {
        long byte;
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-') return false;
        if ((byte = coco__parse_hex(p, 2)) < 0) return false;
        uuid[1 + i] = (uint8_t)byte;
    }
    coco__buf_put(s->out, uuid, sizeof uuid);
    s->p = p;
    return true;
}

/* Kinds are told apart by how they begin, but a uuid may begin like an int: it is tried before. */
static coco_status coco__parse_key(coco__parser *s, int depth)
{
    static const char *const words[] = { "null", "false", "true" };
    static const uint8_t tags[] = { COCO__KEY_NULL, COCO__KEY_FALSE, COCO__KEY_TRUE };

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
    if (*s->p == '"') return coco__parse_string(s, COCO__KEY_TEXT);
    if (coco__parse_word(s, "@")) return coco__parse_string(s, COCO__KEY_SYMBOL);
    if (s->p[0] == 'b' && s->p[1] == '"') return s->p++, coco__parse_string(s, COCO__KEY_BYTES);
    if (coco__parse_uuid(s)) return 0;
    for (size_t i = 0; i < 3; i++)
        if (coco__parse_word(s, words[i])) return coco__buf_byte(s->out, tags[i]), 0;
    return coco__parse_int(s);
}

COCO__IN coco_status coco__path_parse(const char *s, coco__buf *out, coco_err *err)
{
    coco__parser parser = { s, s, out, err };
    size_t before = out->n;
    coco_status rc = 0;

    if (strcmp(s, "/") == 0) return 0;
    do {
        if (coco__parse_word(&parser, "/")) rc = coco__parse_key(&parser, 0);
        else rc = coco__parse_fail(&parser, parser.p == s ? "a path begins with /" : "expected / or the end");
    } while (rc == 0 && *parser.p);
    rc = coco__buf_end(out, before, rc);
    return rc == COCO_ENOMEM ? coco__no_memory(err) : rc;
}
