/* value.c - values: constructors and accessors, order and equality, canonical encoding and its decoder, printing, JSON.
 *
 * The encoding. A tag byte, then by kind:
 *     null, false, true     nothing
 *     int                   zigzag varint
 *     float                 8 bytes, big-endian
 *     symbol, text, bytes   varint length, the bytes
 *     uuid                  16 bytes
 *     vector                varint count, 4 bytes each, little-endian
 *     list                  varint count, the items
 *     map                   varint count; for each entry varint length and bytes of the key, the value
 *
 * Invariants:
 *   - Equal values have equal canonical encodings and the other way round: varints have one form, NaN one bit pattern,
 *     map entries one order. The encoding goes to disk and into fingerprints: a change is a new COCO_FORMAT_VERSION.
 *   - Comparing and fingerprinting can't fail for want of memory.
 *   - The decoder takes nothing that the encoder doesn't give, and takes memory in proportion to its input.
 *
 * Calls base.c and fingerprint.c. */
#include "engine.h"

#include <math.h>

#define COCO__DEPTH 200 /* of lists and maps within each other: what recursion may use of the stack */
#define COCO__CMP(a, b) (((a) > (b)) - ((a) < (b)))

enum {
    COCO__TAG_NULL = 1, COCO__TAG_SYMBOL, COCO__TAG_FALSE, COCO__TAG_TRUE, COCO__TAG_INT, COCO__TAG_FLOAT,
    COCO__TAG_TEXT, COCO__TAG_BYTES, COCO__TAG_UUID, COCO__TAG_VECTOR, COCO__TAG_LIST, COCO__TAG_MAP
}; /* of the kinds in their order, of which bool has two */

/* ---- Constructors ---- */

#define COCO__SPAN(k, field, ptr, count) \
    ((coco_value){ .kind = k, .as = { .s = { .p = { .field = ptr }, .u = { .n = count } } } })

coco_value coco_null(void) { return (coco_value){ .kind = COCO_NULL }; }
coco_value coco_bool(bool b) { return (coco_value){ .kind = COCO_BOOL, .as = { .boolean = b } }; }
coco_value coco_int(int64_t i) { return (coco_value){ .kind = COCO_INT, .as = { .integer = i } }; }
coco_value coco_float(double f) { return (coco_value){ .kind = COCO_FLOAT, .as = { .real = f } }; }
coco_value coco_text(const char *s) { return s ? coco_text_n(coco_str_of(s)) : coco_null(); }
coco_value coco_text_n(coco_str s) { return COCO__SPAN(COCO_TEXT_KIND, text, s.p, s.n); }
coco_value coco_symbol(const char *s) { return s ? COCO__SPAN(COCO_SYMBOL, text, s, strlen(s)) : coco_null(); }
coco_value coco_bytes(const void *p, size_t n) { return COCO__SPAN(COCO_BYTES, bytes, p, n); }
coco_value coco_vector(const float *f, size_t n) { return COCO__SPAN(COCO_VECTOR, floats, f, n); }
coco_value coco_list(const coco_value *items, size_t n) { return COCO__SPAN(COCO_LIST, items, items, n); }
coco_value coco_map_value(const coco_pair *pairs, size_t n) { return COCO__SPAN(COCO_MAP, pairs, pairs, n); }

coco_value coco_uuid(const uint8_t uuid[16])
{
    coco_value v = { .kind = COCO_UUID };
    memcpy(v.as.uuid, uuid, 16);
    return v;
}

coco_value coco_object(const coco_class *cls, void *object)
{
    return (coco_value){ .kind = COCO_OBJECT, .as = { .s = { .p = { .cls = cls }, .u = { .object = object } } } };
}

/* ---- Accessors ---- */

/* Of what a value of the kind points to; 0 where it holds no count. */
static size_t coco__item_size(coco_kind kind)
{
    static const uint8_t sizes[] = {
        [COCO_SYMBOL] = 1, [COCO_TEXT_KIND] = 1, [COCO_BYTES] = 1, [COCO_VECTOR] = sizeof(float),
        [COCO_LIST] = sizeof(coco_value), [COCO_MAP] = sizeof(coco_pair), [COCO_OBJECT] = 0
    };
    return (size_t)kind < sizeof sizes ? sizes[kind] : 0;
}

coco_str coco_str_of(const char *s) { return (coco_str){ s ? s : "", s ? strlen(s) : 0 }; }
bool coco_str_equal(coco_str a, coco_str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }

int64_t coco_int_of(coco_value v) { return v.kind == COCO_INT ? v.as.integer : 0; }
bool coco_bool_of(coco_value v) { return v.kind == COCO_BOOL && v.as.boolean; }
double coco_float_of(coco_value v) { return v.kind == COCO_FLOAT ? v.as.real : (double)coco_int_of(v); }
size_t coco_count(coco_value v) { return coco__item_size(v.kind) ? v.as.s.u.n : 0; }

/* An empty string may come without a pointer; it never goes out without. */
coco_str coco_text_of(coco_value v)
{
    if (coco__item_size(v.kind) != 1 || v.as.s.u.n == 0) return (coco_str){ "", 0 };
    return (coco_str){ v.as.s.p.text, v.as.s.u.n };
}

void *coco_object_of(coco_value v, const coco_class *cls)
{
    return v.kind == COCO_OBJECT && v.as.s.p.cls == cls ? v.as.s.u.object : NULL;
}

coco_value coco_at(coco_value list, size_t i)
{
    return list.kind == COCO_LIST && i < list.as.s.u.n ? list.as.s.p.items[i] : coco_null();
}

coco_value coco_get(coco_value map, const char *key)
{
    coco_str k = coco_str_of(key);
    for (size_t i = 0; map.kind == COCO_MAP && i < map.as.s.u.n; i++)
        if (coco_str_equal(map.as.s.p.pairs[i].key, k)) return map.as.s.p.pairs[i].value;
    return coco_null();
}

/* ---- The entries of a map in the order of their keys ---- */

COCO__IN int coco__bytes_cmp(const void *a, size_t na, const void *b, size_t nb)
{
    int c = na && nb ? memcmp(a, b, na < nb ? na : nb) : 0;
    return c ? c : COCO__CMP(na, nb);
}

COCO__IN int coco__str_cmp(coco_str a, coco_str b) { return coco__bytes_cmp(a.p, a.n, b.p, b.n); }

/* A walk over a map's entries in ascending order of keys. Maps that are in order need nothing more; others an index.
 * Where there is no memory for it each step searches the next key: slow, never wrong. */
typedef struct coco__order {
    const coco__mem *mem;
    const coco_pair *pairs;
    size_t n;
    const coco_pair **index;    /* the entries in order; NULL where sorted, or where there is no memory */
    bool sorted;                /* the entries are in order as they stand */
    const coco_pair *small[16]; /* the index of a small map */
} coco__order;

static int coco__pair_compare(const void *a, const void *b)
{
    return coco__str_cmp((*(const coco_pair *const *)a)->key, (*(const coco_pair *const *)b)->key);
}

/* The entry with the next larger key than last's (NULL: none before it); last's own where a key came twice. */
static const coco_pair *coco__order_search(const coco__order *o, const coco_pair *last)
{
    const coco_pair *next = NULL;
    for (const coco_pair *p = o->pairs; p < o->pairs + o->n; p++)
        if ((!last || coco__pair_compare(&p, &last) > 0) && (!next || coco__pair_compare(&p, &next) < 0)) next = p;
    return next ? next : last;
}

/* The i-th entry in order, where last is the one before it (NULL: none). */
static inline const coco_pair *coco__order_at(const coco__order *o, size_t i, const coco_pair *last)
{
    return o->sorted ? &o->pairs[i] : o->index ? o->index[i] : coco__order_search(o, last);
}

/* mem NULL: libc's, where a comparison has no gate at hand. False if a key came twice. */
static bool coco__order_open(coco__order *o, const coco__mem *mem, const coco_pair *pairs, size_t n)
{
    static const coco__mem libc;
    const coco_pair *last = NULL, *next;
    size_t i = 1, k;

    while (i < n && coco__str_cmp(pairs[i - 1].key, pairs[i].key) < 0) i++;
    o->mem = mem ? mem : &libc;
    o->pairs = pairs;
    o->n = n;
    o->index = NULL;
    if ((o->sorted = i >= n)) return true;
    o->index = n <= 16 ? o->small : coco__alloc(o->mem, n * sizeof *o->index);
    for (i = 0; i < n && o->index; i++) {
        for (k = i; k > 0 && n <= 16 && coco__str_cmp(o->index[k - 1]->key, pairs[i].key) > 0; k--)
            o->index[k] = o->index[k - 1];
        o->index[k] = &pairs[i];
    }
    if (n > 16 && o->index) qsort(o->index, n, sizeof *o->index, coco__pair_compare);
    for (i = 0; i < n; i++, last = next) {
        next = coco__order_at(o, i, last);
        if (last && coco_str_equal(last->key, next->key)) return false;
    }
    return true;
}

static void coco__order_close(coco__order *o) { coco__free(o->mem, o->index == o->small ? NULL : o->index); }

/* ---- Order and equality ---- */

/* The bits of a float, with one pattern for all NaNs. */
static uint64_t coco__float_bits(double f)
{
    uint64_t bits = UINT64_C(0x7ff8000000000000);
    if (!isnan(f)) memcpy(&bits, &f, sizeof bits);
    return bits;
}

static uint32_t coco__float32_bits(float f)
{
    uint32_t bits = UINT32_C(0x7fc00000);
    if (!isnan(f)) memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Flips what makes the bit patterns of negative floats sort backwards and above the positive ones. */
static int coco__float_compare(double a, double b)
{
    uint64_t x = coco__float_bits(a), y = coco__float_bits(b), top = UINT64_C(1) << 63;
    x = x & top ? ~x : x | top;
    y = y & top ? ~y : y | top;
    return COCO__CMP(x, y);
}

/* Lists and vectors: item by item, then the shorter first. */
static int coco__items_compare(coco_value a, coco_value b)
{
    size_t na = a.as.s.u.n, nb = b.as.s.u.n;
    int c = 0;
    for (size_t i = 0; i < na && i < nb && !c; i++)
        c = a.kind == COCO_LIST ? coco_compare(a.as.s.p.items[i], b.as.s.p.items[i])
                                : coco__float_compare((double)a.as.s.p.floats[i], (double)b.as.s.p.floats[i]);
    return c ? c : COCO__CMP(na, nb);
}

/* Maps: by size, then entry by entry in the order of their keys. */
static int coco__map_compare(coco_value a, coco_value b)
{
    coco__order x, y;
    const coco_pair *p = NULL, *q = NULL;
    int c = COCO__CMP(a.as.s.u.n, b.as.s.u.n);

    if (c) return c;
    coco__order_open(&x, NULL, a.as.s.p.pairs, a.as.s.u.n);
    coco__order_open(&y, NULL, b.as.s.p.pairs, b.as.s.u.n);
    for (size_t i = 0; i < x.n && !c; i++) {
        p = coco__order_at(&x, i, p);
        q = coco__order_at(&y, i, q);
        c = coco__pair_compare(&p, &q);
        if (!c) c = coco_compare(p->value, q->value);
    }
    coco__order_close(&y);
    coco__order_close(&x);
    return c;
}

/* coco_kind names the kinds in their order. Objects are equal when they are the same; their order is any. */
int coco_compare(coco_value a, coco_value b)
{
    if (a.kind != b.kind) return COCO__CMP(a.kind, b.kind);
    switch (a.kind) {
    case COCO_SYMBOL:
    case COCO_TEXT_KIND:
    case COCO_BYTES: return coco__str_cmp(coco_text_of(a), coco_text_of(b));
    case COCO_BOOL: return (int)a.as.boolean - (int)b.as.boolean;
    case COCO_INT: return COCO__CMP(a.as.integer, b.as.integer);
    case COCO_FLOAT: return coco__float_compare(a.as.real, b.as.real);
    case COCO_UUID: return memcmp(a.as.uuid, b.as.uuid, 16);
    case COCO_VECTOR:
    case COCO_LIST: return coco__items_compare(a, b);
    case COCO_MAP: return coco__map_compare(a, b);
    case COCO_OBJECT:
        if (a.as.s.p.cls != b.as.s.p.cls) return (uintptr_t)a.as.s.p.cls < (uintptr_t)b.as.s.p.cls ? -1 : 1;
        return COCO__CMP((uintptr_t)a.as.s.u.object, (uintptr_t)b.as.s.u.object);
    default: return 0;
    }
}

/* Counts first: they are at hand, and differ in most unequal values. */
bool coco_equal(coco_value a, coco_value b)
{
    return a.kind == b.kind && coco_count(a) == coco_count(b) && coco_compare(a, b) == 0;
}

/* ---- Encoding ---- */

/* Where encoded bytes go: a fingerprint needs no memory, because it takes them as they come. */
typedef struct coco__encoder {
    coco__buf *buf;  /* NULL: into the hash */
    coco_hash *hash; /* NULL: into the buffer */
    coco__encoding how;
    int depth;       /* lists and maps we are inside of */
} coco__encoder;

static void coco__encode_bytes(coco__encoder *e, const void *p, size_t n)
{
    if (e->buf) coco__buf_put(e->buf, p, n);
    else coco_hash_add(e->hash, p, n);
}

/* A tag and at most 16 bytes. */
static void coco__encode_tagged(coco__encoder *e, uint8_t tag, const void *p, size_t n)
{
    uint8_t out[17];
    out[0] = tag;
    if (n) memcpy(out + 1, p, n);
    coco__encode_bytes(e, out, 1 + n);
}

/* A varint, behind a tag unless that is 0. */
static inline void coco__encode_head(coco__encoder *e, uint8_t tag, uint64_t v)
{
    uint8_t head[11];
    size_t n = 0;
    if (tag) head[n++] = tag;
    coco__encode_bytes(e, head, n + coco__varint(head + n, v));
}

static coco_status coco__encode_string(coco__encoder *e, uint8_t tag, coco_str s)
{
    coco__encode_head(e, tag, s.n);
    coco__encode_bytes(e, s.p, s.n);
    return 0;
}

/* In portions, which the hash and the buffer take faster than single numbers. */
static coco_status coco__encode_vector(coco__encoder *e, const float *f, size_t n)
{
    uint8_t out[256];
    size_t used = 0;

    coco__encode_head(e, COCO__TAG_VECTOR, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = coco__float32_bits(f[i]);
        for (int k = 0; k < 4; k++, bits >>= 8) out[used++] = (uint8_t)bits;
        if (used < sizeof out && i + 1 < n) continue;
        coco__encode_bytes(e, out, used);
        used = 0;
    }
    return 0;
}

static coco_status coco__encode(coco__encoder *e, coco_value v);

/* A map is looked at in order also where the entries stay in theirs: so a key that came twice is found. */
static coco_status coco__encode_nested(coco__encoder *e, uint8_t tag, coco_value v)
{
    const coco_pair *at = NULL;
    coco_status rc = 0;
    coco__order o;
    bool map = tag == COCO__TAG_MAP;

    if (e->depth++ == COCO__DEPTH) return COCO_EINVAL;
    if (map && !coco__order_open(&o, e->buf ? e->buf->mem : NULL, v.as.s.p.pairs, v.as.s.u.n)) rc = COCO_EINVAL;
    coco__encode_head(e, tag, v.as.s.u.n);
    for (size_t i = 0; i < v.as.s.u.n && rc == 0; i++) {
        if (map) at = e->how == COCO__STORED ? &v.as.s.p.pairs[i] : coco__order_at(&o, i, at);
        if (map) coco__encode_string(e, 0, at->key);
        rc = coco__encode(e, map ? at->value : v.as.s.p.items[i]);
    }
    if (map) coco__order_close(&o);
    e->depth--;
    return rc;
}

static coco_status coco__encode(coco__encoder *e, coco_value v)
{
    uint8_t tag = (uint8_t)(COCO__TAG_NULL + (int)v.kind + (v.kind > COCO_BOOL || coco_bool_of(v))), real[8];

    switch (v.kind) {
    case COCO_NULL:
    case COCO_BOOL: coco__encode_tagged(e, tag, NULL, 0); return 0;
    case COCO_INT: coco__encode_head(e, tag, coco__zigzag(v.as.integer)); return 0;
    case COCO_FLOAT:
        coco__put_be64(real, coco__float_bits(v.as.real));
        coco__encode_tagged(e, tag, real, 8);
        return 0;
    case COCO_SYMBOL:
    case COCO_TEXT_KIND:
    case COCO_BYTES: return coco__encode_string(e, tag, coco_text_of(v));
    case COCO_UUID: coco__encode_tagged(e, tag, v.as.uuid, 16); return 0;
    case COCO_VECTOR: return coco__encode_vector(e, v.as.s.p.floats, v.as.s.u.n);
    case COCO_LIST:
    case COCO_MAP: return coco__encode_nested(e, tag, v);
    default: return COCO_ETYPE;
    }
}

/* Values nested too deep are COCO_EINVAL. */
COCO__IN coco_status coco__value_put(coco__buf *b, coco_value v, coco__encoding how)
{
    size_t before = b->n;
    return coco__buf_end(b, before, coco__encode(&(coco__encoder){ .buf = b, .how = how }, v));
}

coco_status coco_fingerprint(coco_value v, uint8_t out[16])
{
    coco_hash hash;
    coco_hash_begin(&hash);
    COCO_TRY(coco__encode(&(coco__encoder){ .hash = &hash, .how = COCO__CANONICAL }, v));
    coco_hash_end(&hash, out);
    return 0;
}

/* ---- Decoding ---- */

/* What a count promises must be there: each item takes a byte at least, each entry two, on top of what the lists and
 * maps around it still expect (owed). So all counts together are at most the length of the input, and so is the memory
 * for them. */
typedef struct coco__decoder {
    coco__reader *r;
    coco__arena *a;
    size_t owed;
    int depth; /* lists and maps we are inside of */
} coco__decoder;

static coco_status coco__decode(coco__decoder *d, coco_value *out);

static coco_status coco__decode_string(coco__decoder *d, coco_kind kind, coco_value *out)
{
    coco_str s = coco__read_blob(d->r);
    if (d->r->bad) return COCO_ECORRUPT;
    *out = COCO__SPAN(kind, text, coco__arena_copy(d->a, s.p, s.n), s.n);
    return out->as.s.p.text ? 0 : COCO_ENOMEM;
}

static coco_status coco__decode_float(coco__decoder *d, coco_value *out)
{
    uint64_t bits = coco__read_be64(d->r);
    *out = coco_float(0);
    memcpy(&out->as.real, &bits, sizeof bits);
    return d->r->bad || coco__float_bits(out->as.real) != bits ? COCO_ECORRUPT : 0;
}

static coco_status coco__decode_vector(coco__decoder *d, coco_value *out)
{
    uint64_t n = coco__read_varint(d->r);
    const uint8_t *p = n <= coco__left(d->r) / 4 ? coco__read_bytes(d->r, (size_t)n * 4) : NULL;
    float *f = p ? coco__arena_alloc(d->a, (size_t)n * sizeof *f) : NULL;

    if (!f) return p ? COCO_ENOMEM : COCO_ECORRUPT;
    for (size_t i = 0; i < n; i++, p += 4) {
        uint32_t bits = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        memcpy(&f[i], &bits, sizeof bits);
        if (coco__float32_bits(f[i]) != bits) return COCO_ECORRUPT;
    }
    *out = coco_vector(f, (size_t)n);
    return 0;
}

static coco_status coco__decode_nested(coco__decoder *d, coco_kind kind, coco_value *out)
{
    bool map = kind == COCO_MAP;
    size_t least = map ? 2 : 1, size = coco__item_size(kind), left, n;
    uint64_t count = coco__read_varint(d->r);
    coco_value *items, key;
    coco_pair *pairs;
    coco__order o;
    void *p;

    left = coco__left(d->r);
    if (d->r->bad || d->depth++ == COCO__DEPTH || left < d->owed) return COCO_ECORRUPT;
    if (count > (left - d->owed) / least) return COCO_ECORRUPT;
    n = (size_t)count;
    if (n > SIZE_MAX / size || !(p = coco__arena_alloc(d->a, n * size))) return COCO_ENOMEM;
    items = p;
    pairs = p;
    d->owed += n * least;
    for (size_t i = 0; i < n; i++) {
        d->owed -= least;
        if (map) {
            COCO_TRY(coco__decode_string(d, COCO_TEXT_KIND, &key));
            pairs[i].key = coco_text_of(key);
        }
        COCO_TRY(coco__decode(d, map ? &pairs[i].value : &items[i]));
    }
    d->depth--;
    *out = COCO__SPAN(kind, bytes, p, n);
    if (!map) return 0;
    map = coco__order_open(&o, d->a->mem, pairs, n);
    coco__order_close(&o);
    return map ? 0 : COCO_ECORRUPT;
}

static coco_status coco__decode(coco__decoder *d, coco_value *out)
{
    uint8_t tag = coco__read_byte(d->r);
    coco_kind kind = (coco_kind)(tag - COCO__TAG_NULL - (tag > COCO__TAG_FALSE));
    const uint8_t *uuid;

    switch (tag) {
    case COCO__TAG_NULL: *out = coco_null(); return 0;
    case COCO__TAG_FALSE:
    case COCO__TAG_TRUE: *out = coco_bool(tag == COCO__TAG_TRUE); return 0;
    case COCO__TAG_INT: *out = coco_int(coco__unzigzag(coco__read_varint(d->r))); return d->r->bad ? COCO_ECORRUPT : 0;
    case COCO__TAG_FLOAT: return coco__decode_float(d, out);
    case COCO__TAG_SYMBOL:
    case COCO__TAG_TEXT:
    case COCO__TAG_BYTES: return coco__decode_string(d, kind, out);
    case COCO__TAG_UUID:
        if (!(uuid = coco__read_bytes(d->r, 16))) return COCO_ECORRUPT;
        *out = coco_uuid(uuid);
        return 0;
    case COCO__TAG_VECTOR: return coco__decode_vector(d, out);
    case COCO__TAG_LIST:
    case COCO__TAG_MAP: return coco__decode_nested(d, kind, out);
    default: return COCO_ECORRUPT; /* also where nothing is left */
    }
}

COCO__IN coco_status coco__value_end(coco__reader *r, coco_status rc, coco_value *out)
{
    if (rc) *r = (coco__reader){ r->end, r->end, true };
    if (rc) *out = coco_null();
    return rc;
}

COCO__IN coco_status coco__value_get(coco__reader *r, coco__arena *a, coco_value *out)
{
    return coco__value_end(r, r->bad ? COCO_ECORRUPT : coco__decode(&(coco__decoder){ .r = r, .a = a }, out), out);
}

/* ---- Copying ---- */

/* What a value points to is copied as it stands, then what that points to. */
static coco_status coco__copy(coco__arena *a, coco_value v, int depth, coco_value *out)
{
    bool map = v.kind == COCO_MAP;
    size_t size = coco__item_size(v.kind);
    coco_value *items;
    coco_pair *pairs;
    void *p;

    *out = v;
    if (size == 0) return 0;
    if (!(p = coco__arena_copy(a, v.as.s.p.bytes, v.as.s.u.n * size))) return COCO_ENOMEM;
    out->as.s.p.bytes = items = p;
    pairs = p;
    if (!map && v.kind != COCO_LIST) return 0;
    if (depth == COCO__DEPTH) return COCO_EINVAL;
    for (size_t i = 0; i < v.as.s.u.n; i++) {
        coco_value *item = map ? &pairs[i].value : &items[i];
        if (map && !(pairs[i].key.p = coco__arena_copy(a, pairs[i].key.p, pairs[i].key.n))) return COCO_ENOMEM;
        COCO_TRY(coco__copy(a, *item, depth + 1, item));
    }
    return 0;
}

/* Values nested too deep are COCO_EINVAL; after a failure *out is null. */
COCO__IN coco_status coco__value_copy(coco__arena *a, coco_value v, coco_value *out)
{
    coco_status rc = coco__copy(a, v, 0, out);
    if (rc) *out = coco_null();
    return rc;
}

/* ---- Printing ---- */

/* The length of the well-formed UTF-8 sequence at the front of n > 0 bytes, 0 if there is none (Unicode, table 3-7). */
static size_t coco__utf8_length(const uint8_t *p, size_t n)
{
    uint8_t c = p[0], low = 0x80, high = 0xbf;
    size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

    if (len > n) return 0;
    if (c == 0xe0) low = 0xa0;  /* overlong */
    if (c == 0xed) high = 0x9f; /* surrogates */
    if (c == 0xf0) low = 0x90;  /* overlong */
    if (c == 0xf4) high = 0x8f; /* beyond U+10FFFF */
    for (size_t i = 1; i < len; i++, low = 0x80, high = 0xbf)
        if (p[i] < low || p[i] > high) return 0;
    return len;
}

static void coco__print_hex(coco__buf *b, const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (const uint8_t *s = p; n > 0; n--, s++) {
        coco__buf_byte(b, (uint8_t)digits[*s >> 4]);
        coco__buf_byte(b, (uint8_t)digits[*s & 15]);
    }
}

/* Runs of plain characters are put at once. Control characters are escaped, those from U+0080 to U+009F and DEL too:
 * what is printed may go to a terminal. A byte that isn't UTF-8 is \xXX, in JSON U+FFFD. */
static void coco__print_quoted(coco__buf *b, coco_str s, bool json)
{
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n, *run = p;
    size_t len;

    coco__buf_byte(b, '"');
    for (; p < end; p += len ? len : 1) {
        len = coco__utf8_length(p, (size_t)(end - p));
        if (len == 1 && *p >= 0x20 && *p != '"' && *p != '\\' && *p != 0x7f) continue;
        if (len > 2 || (len == 2 && (p[0] != 0xc2 || p[1] >= 0xa0))) continue;
        coco__buf_put(b, run, (size_t)(p - run));
        run = p + (len ? len : 1);
        if (len == 0 && json)
            coco__buf_str(b, "\xef\xbf\xbd");
        else if (len == 0)
            coco__buf_printf(b, "\\x%02x", *p);
        else if (*p == '"' || *p == '\\' || *p == '\n' || *p == '\t')
            coco__buf_printf(b, "\\%c", *p == '\n' ? 'n' : *p == '\t' ? 't' : *p);
        else
            coco__buf_printf(b, "\\u%04x", p[len - 1]);
    }
    coco__buf_put(b, run, (size_t)(end - run));
    coco__buf_byte(b, '"');
}

/* The shortest decimal that reads back as the same number; one of 64 bits with a point, so that it isn't taken for an
 * int. snprintf follows the locale of the program, whose decimal sign may be a comma or several bytes. */
static void coco__print_float(coco__buf *b, double f, bool single, bool json)
{
    char s[64];
    size_t whole, rest;

    if (isnan(f) || isinf(f)) {
        coco__buf_str(b, json ? "null" : isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, f);
        if ((single ? (double)strtof(s, NULL) : strtod(s, NULL)) == f) break;
    }
    whole = strspn(s, "-0123456789");
    rest = whole + strcspn(s + whole, "0123456789e");
    coco__buf_put(b, s, whole);
    if (rest > whole) coco__buf_byte(b, '.');
    coco__buf_str(b, s[whole] || single ? s + rest : ".0");
}

/* The first 12 characters don't begin a name. */
COCO__IN size_t coco__bare_length(const char *p, size_t n)
{
    static const char chars[] = "0123456789.-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t i = 0;
    while (i < n && p[i] && strchr(i ? chars : chars + 12, p[i])) i++;
    return i;
}

static void coco__print_symbol(coco__buf *b, coco_str s)
{
    coco__buf_byte(b, '@');
    if (s.n && coco__bare_length(s.p, s.n) == s.n) coco__buf_put(b, s.p, s.n);
    else coco__print_quoted(b, s, false);
}

static void coco__print_uuid(coco__buf *b, const uint8_t *uuid)
{
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) coco__buf_byte(b, '-');
        coco__print_hex(b, uuid + i, 1);
    }
}

static void coco__print(coco__buf *b, coco_value v, int depth, bool json);

/* Beyond the depth that can be encoded a value prints as null: printing can't fail. */
static void coco__print_nested(coco__buf *b, coco_value v, int depth, bool json)
{
    const char *ends = v.kind == COCO_MAP ? "{}" : v.kind == COCO_LIST || json ? "[]" : "<>";

    if (depth == COCO__DEPTH && v.kind != COCO_VECTOR) {
        coco__buf_str(b, "null");
        return;
    }
    coco__buf_byte(b, (uint8_t)ends[0]);
    for (size_t i = 0; i < v.as.s.u.n; i++) {
        if (i) coco__buf_byte(b, ',');
        if (v.kind == COCO_VECTOR) {
            coco__print_float(b, (double)v.as.s.p.floats[i], true, json);
            continue;
        }
        if (v.kind == COCO_MAP) {
            coco__print_quoted(b, coco_text_of(coco_text_n(v.as.s.p.pairs[i].key)), json);
            coco__buf_byte(b, ':');
        }
        coco__print(b, v.kind == COCO_MAP ? v.as.s.p.pairs[i].value : v.as.s.p.items[i], depth + 1, json);
    }
    coco__buf_byte(b, (uint8_t)ends[1]);
}

/* What JSON has no kind for is text there: symbols (their name), uuids, bytes (as hex); objects are null. */
static void coco__print(coco__buf *b, coco_value v, int depth, bool json)
{
    bool quoted = v.kind == COCO_BYTES || (json && v.kind == COCO_UUID);

    if (quoted) coco__buf_str(b, json ? "\"" : "b\"");
    switch (v.kind) {
    case COCO_NULL: coco__buf_str(b, "null"); break;
    case COCO_BOOL: coco__buf_str(b, v.as.boolean ? "true" : "false"); break;
    case COCO_INT: coco__buf_printf(b, "%lld", (long long)v.as.integer); break;
    case COCO_FLOAT: coco__print_float(b, v.as.real, false, json); break;
    case COCO_SYMBOL:
        if (!json) {
            coco__print_symbol(b, coco_text_of(v));
            break;
        } /* fall through */
    case COCO_TEXT_KIND: coco__print_quoted(b, coco_text_of(v), json); break;
    case COCO_BYTES: coco__print_hex(b, v.as.s.p.bytes, v.as.s.u.n); break;
    case COCO_UUID: coco__print_uuid(b, v.as.uuid); break;
    case COCO_VECTOR:
    case COCO_LIST:
    case COCO_MAP: coco__print_nested(b, v, depth, json); break;
    default:
        if (json) coco__buf_str(b, "null");
        else coco__buf_printf(b, "(%s)", v.as.s.p.cls && v.as.s.p.cls->type ? v.as.s.p.cls->type : "object");
    }
    if (quoted) coco__buf_byte(b, '"');
}

COCO__IN void coco__value_print(coco__buf *b, coco_value v) { coco__print(b, v, 0, false); }
COCO__IN void coco__value_json(coco__buf *b, coco_value v) { coco__print(b, v, 0, true); }
