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

enum {
    COCO__TAG_NULL = 1,
    COCO__TAG_SYMBOL,
    COCO__TAG_FALSE,
    COCO__TAG_TRUE,
    COCO__TAG_INT,
    COCO__TAG_FLOAT,
    COCO__TAG_TEXT,
    COCO__TAG_BYTES,
    COCO__TAG_UUID,
    COCO__TAG_VECTOR,
    COCO__TAG_LIST,
    COCO__TAG_MAP
};

/* ---- Constructors ---------------------------------------------------------------------------------------------- */

coco_value coco_null(void)
{
    return (coco_value){ .kind = COCO_NULL };
}

coco_value coco_bool(bool b)
{
    return (coco_value){ .kind = COCO_BOOL, .as = { .boolean = b } };
}

coco_value coco_int(int64_t i)
{
    return (coco_value){ .kind = COCO_INT, .as = { .integer = i } };
}

coco_value coco_float(double f)
{
    return (coco_value){ .kind = COCO_FLOAT, .as = { .real = f } };
}

/* An empty string may come without a pointer: coco_text_of never gives one out without. */
coco_value coco_text_n(coco_str s)
{
    return (coco_value){ .kind = COCO_TEXT_KIND, .as = { .s = { .p = { .text = s.p }, .u = { .n = s.n } } } };
}

coco_value coco_text(const char *s)
{
    return s ? coco_text_n(coco_str_of(s)) : coco_null();
}

coco_value coco_symbol(const char *s)
{
    coco_value v = coco_text(s);

    if (s) v.kind = COCO_SYMBOL;
    return v;
}

coco_value coco_bytes(const void *p, size_t n)
{
    return (coco_value){ .kind = COCO_BYTES, .as = { .s = { .p = { .bytes = p }, .u = { .n = n } } } };
}

coco_value coco_uuid(const uint8_t uuid[16])
{
    coco_value v = { .kind = COCO_UUID };

    memcpy(v.as.uuid, uuid, 16);
    return v;
}

coco_value coco_vector(const float *f, size_t n)
{
    return (coco_value){ .kind = COCO_VECTOR, .as = { .s = { .p = { .floats = f }, .u = { .n = n } } } };
}

coco_value coco_list(const coco_value *items, size_t n)
{
    return (coco_value){ .kind = COCO_LIST, .as = { .s = { .p = { .items = items }, .u = { .n = n } } } };
}

coco_value coco_map_value(const coco_pair *pairs, size_t n)
{
    return (coco_value){ .kind = COCO_MAP, .as = { .s = { .p = { .pairs = pairs }, .u = { .n = n } } } };
}

coco_value coco_object(const coco_class *cls, void *object)
{
    return (coco_value){ .kind = COCO_OBJECT, .as = { .s = { .p = { .cls = cls }, .u = { .object = object } } } };
}

/* ---- Accessors ------------------------------------------------------------------------------------------------- */

coco_str coco_str_of(const char *s)
{
    return (coco_str){ s ? s : "", s ? strlen(s) : 0 };
}

bool coco_str_equal(coco_str a, coco_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static bool coco__is_string(coco_kind kind)
{
    return kind == COCO_SYMBOL || kind == COCO_TEXT_KIND || kind == COCO_BYTES;
}

coco_str coco_text_of(coco_value v)
{
    if (!coco__is_string(v.kind) || v.as.s.u.n == 0) return (coco_str){ "", 0 };
    return (coco_str){ v.as.s.p.text, v.as.s.u.n };
}

int64_t coco_int_of(coco_value v)
{
    return v.kind == COCO_INT ? v.as.integer : 0;
}

double coco_float_of(coco_value v)
{
    if (v.kind == COCO_INT) return (double)v.as.integer;
    return v.kind == COCO_FLOAT ? v.as.real : 0;
}

bool coco_bool_of(coco_value v)
{
    return v.kind == COCO_BOOL && v.as.boolean;
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
    size_t i;

    if (map.kind != COCO_MAP) return coco_null();
    for (i = 0; i < map.as.s.u.n; i++)
        if (coco_str_equal(map.as.s.p.pairs[i].key, k)) return map.as.s.p.pairs[i].value;
    return coco_null();
}

size_t coco_count(coco_value v)
{
    switch (v.kind) {
    case COCO_SYMBOL:
    case COCO_TEXT_KIND:
    case COCO_BYTES:
    case COCO_VECTOR:
    case COCO_LIST:
    case COCO_MAP: return v.as.s.u.n;
    default: return 0;
    }
}

/* ---- The entries of a map in the order of their keys ----------------------------------------------------------- */

/* As memcmp, then the shorter first: the order of their encodings as keys. */
static int coco__str_compare(coco_str a, coco_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;

    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* A walk over a map's entries in ascending order of keys. Maps that are in order need nothing more; others an
 * index, on the stack for small ones. Where there is no memory for the index of a large one, each step searches the
 * next key: slow, never wrong. */
typedef struct coco__order {
    const coco_pair *pairs;
    size_t n;
    bool sorted;      /* the entries are in order as they stand */
    size_t *index;    /* positions of the entries in order; NULL where sorted, or where there is no memory */
    size_t small[32]; /* the index of a small map */
} coco__order;

/* Moves the entry at i down the heap to where no child has a larger key. */
static void coco__order_sift(const coco_pair *pairs, size_t *index, size_t i, size_t n)
{
    size_t moving = index[i], child;

    while ((child = 2 * i + 1) < n) {
        if (child + 1 < n && coco__str_compare(pairs[index[child]].key, pairs[index[child + 1]].key) < 0) child++;
        if (coco__str_compare(pairs[moving].key, pairs[index[child]].key) >= 0) break;
        index[i] = index[child];
        i = child;
    }
    index[i] = moving;
}

/* Heapsort: qsort has no place for `pairs`, and may take memory of its own. */
static void coco__order_sort(const coco_pair *pairs, size_t *index, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) index[i] = i;
    for (i = n / 2; i-- > 0;) coco__order_sift(pairs, index, i, n);
    for (i = n; i-- > 1;) {
        size_t largest = index[0];

        index[0] = index[i];
        index[i] = largest;
        coco__order_sift(pairs, index, 0, i);
    }
}

/* mem NULL: libc's, where a comparison has no gate at hand. */
static void coco__order_open(coco__order *o, const coco__mem *mem, const coco_pair *pairs, size_t n)
{
    static const coco__mem libc;
    size_t i;

    o->pairs = pairs;
    o->n = n;
    o->index = NULL;
    for (i = 1; i < n && coco__str_compare(pairs[i - 1].key, pairs[i].key) < 0;) i++;
    o->sorted = i >= n;
    if (o->sorted) return;
    o->index = n <= 32 ? o->small : coco__alloc(mem ? mem : &libc, n * sizeof *o->index);
    if (o->index) coco__order_sort(pairs, o->index, n);
}

static void coco__order_close(coco__order *o, const coco__mem *mem)
{
    static const coco__mem libc;

    if (o->index != o->small) coco__free(mem ? mem : &libc, o->index);
}

/* The i-th entry in order, where last is the one before it (NULL: none); NULL if its key equals last's. */
static const coco_pair *coco__order_at(const coco__order *o, size_t i, const coco_pair *last)
{
    const coco_pair *next = NULL;
    size_t k;

    if (o->sorted) return &o->pairs[i];
    if (o->index) {
        next = &o->pairs[o->index[i]];
        return last && coco_str_equal(last->key, next->key) ? NULL : next;
    }
    for (k = 0; k < o->n; k++) {
        const coco_pair *p = &o->pairs[k];

        if (last && coco__str_compare(p->key, last->key) <= 0) continue;
        if (!next || coco__str_compare(p->key, next->key) < 0) next = p;
    }
    return next; /* a key that came twice is passed over, so the entries run out early */
}

/* Is there a key that came twice? */
static bool coco__map_has_twin(const coco__mem *mem, const coco_pair *pairs, size_t n)
{
    coco__order o;
    const coco_pair *at = NULL;
    size_t i;

    coco__order_open(&o, mem, pairs, n);
    for (i = 0; !o.sorted && i < n; i++) {
        at = coco__order_at(&o, i, at);
        if (!at) break;
    }
    coco__order_close(&o, mem);
    return !o.sorted && i < n;
}

/* ---- Order and equality ---------------------------------------------------------------------------------------- */

/* The bits of a float, with one pattern for all NaNs. */
static uint64_t coco__float_bits(double f)
{
    uint64_t bits;

    if (isnan(f)) return UINT64_C(0x7ff8000000000000);
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static uint32_t coco__float32_bits(float f)
{
    uint32_t bits;

    if (isnan(f)) return UINT32_C(0x7fc00000);
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Flips what makes the bit patterns of negative floats sort backwards and above the positive ones. */
static int coco__float_compare(double a, double b)
{
    uint64_t x = coco__float_bits(a), y = coco__float_bits(b), top = UINT64_C(1) << 63;

    x = x & top ? ~x : x | top;
    y = y & top ? ~y : y | top;
    return (x > y) - (x < y);
}

static int coco__vector_compare(coco_value a, coco_value b)
{
    size_t n = a.as.s.u.n < b.as.s.u.n ? a.as.s.u.n : b.as.s.u.n, i;

    for (i = 0; i < n; i++) {
        int c = coco__float_compare((double)a.as.s.p.floats[i], (double)b.as.s.p.floats[i]);

        if (c) return c;
    }
    return (a.as.s.u.n > b.as.s.u.n) - (a.as.s.u.n < b.as.s.u.n);
}

static int coco__list_compare(coco_value a, coco_value b)
{
    size_t n = a.as.s.u.n < b.as.s.u.n ? a.as.s.u.n : b.as.s.u.n, i;

    for (i = 0; i < n; i++) {
        int c = coco_compare(a.as.s.p.items[i], b.as.s.p.items[i]);

        if (c) return c;
    }
    return (a.as.s.u.n > b.as.s.u.n) - (a.as.s.u.n < b.as.s.u.n);
}

/* Maps of one size compare entry by entry in the order of their keys. */
static int coco__map_compare(coco_value a, coco_value b)
{
    coco__order x, y;
    const coco_pair *p = NULL, *q = NULL;
    size_t n = a.as.s.u.n, i;
    int c = 0;

    if (n != b.as.s.u.n) return n < b.as.s.u.n ? -1 : 1;
    coco__order_open(&x, NULL, a.as.s.p.pairs, n);
    coco__order_open(&y, NULL, b.as.s.p.pairs, n);
    for (i = 0; i < n && !c; i++) {
        p = coco__order_at(&x, i, p);
        q = coco__order_at(&y, i, q);
        if (!p || !q) {
            c = (p != NULL) - (q != NULL); /* a key came twice: not a valid map */
            break;
        }
        c = coco__str_compare(p->key, q->key);
        if (!c) c = coco_compare(p->value, q->value);
    }
    coco__order_close(&y, NULL);
    coco__order_close(&x, NULL);
    return c;
}

/* Objects are equal when they are the same; the order is any. */
static int coco__object_compare(coco_value a, coco_value b)
{
    uintptr_t x = (uintptr_t)a.as.s.p.cls, y = (uintptr_t)b.as.s.p.cls;

    if (x == y) {
        x = (uintptr_t)a.as.s.u.object;
        y = (uintptr_t)b.as.s.u.object;
    }
    return (x > y) - (x < y);
}

/* coco_kind names the kinds in their order. */
int coco_compare(coco_value a, coco_value b)
{
    if (a.kind != b.kind) return a.kind < b.kind ? -1 : 1;
    switch (a.kind) {
    case COCO_SYMBOL:
    case COCO_TEXT_KIND:
    case COCO_BYTES: return coco__str_compare(coco_text_of(a), coco_text_of(b));
    case COCO_BOOL: return (int)a.as.boolean - (int)b.as.boolean;
    case COCO_INT: return (a.as.integer > b.as.integer) - (a.as.integer < b.as.integer);
    case COCO_FLOAT: return coco__float_compare(a.as.real, b.as.real);
    case COCO_UUID: return memcmp(a.as.uuid, b.as.uuid, 16);
    case COCO_VECTOR: return coco__vector_compare(a, b);
    case COCO_LIST: return coco__list_compare(a, b);
    case COCO_MAP: return coco__map_compare(a, b);
    case COCO_OBJECT: return coco__object_compare(a, b);
    default: return 0;
    }
}

/* Counts first: they are at hand, and differ in most unequal values. */
bool coco_equal(coco_value a, coco_value b)
{
    if (a.kind != b.kind || coco_count(a) != coco_count(b)) return false;
    return coco_compare(a, b) == 0;
}

/* ---- Encoding -------------------------------------------------------------------------------------------------- */

/* Where encoded bytes go: a fingerprint needs no memory, because it takes them as they come. */
typedef struct coco__encoder {
    coco__buf *buf;  /* NULL: into the hash */
    coco_hash *hash; /* NULL: into the buffer */
    coco__encoding how;
    int depth;       /* lists and maps we are inside of */
} coco__encoder;

static void coco__encode_bytes(coco__encoder *e, const void *p, size_t n)
{
    if (e->buf)
        coco__buf_put(e->buf, p, n);
    else
        coco_hash_add(e->hash, p, n);
}

/* A varint, behind a tag unless that is 0. */
static void coco__encode_head(coco__encoder *e, uint8_t tag, uint64_t v)
{
    uint8_t head[11];
    size_t n = 0;

    if (tag) head[n++] = tag;
    for (; v >= 0x80; v >>= 7) head[n++] = (uint8_t)(v | 0x80);
    head[n++] = (uint8_t)v;
    coco__encode_bytes(e, head, n);
}

static void coco__encode_string(coco__encoder *e, uint8_t tag, coco_str s)
{
    coco__encode_head(e, tag, s.n);
    coco__encode_bytes(e, s.p, s.n);
}

static void coco__encode_float(coco__encoder *e, double f)
{
    uint8_t out[9] = { COCO__TAG_FLOAT };

    coco__put_be64(out + 1, coco__float_bits(f));
    coco__encode_bytes(e, out, sizeof out);
}

/* In portions, which the hash and the buffer take faster than single numbers. */
static void coco__encode_vector(coco__encoder *e, const float *f, size_t n)
{
    uint8_t out[256];
    size_t used = 0, i;

    coco__encode_head(e, COCO__TAG_VECTOR, n);
    for (i = 0; i < n; i++) {
        uint32_t bits = coco__float32_bits(f[i]);

        out[used++] = (uint8_t)bits;
        out[used++] = (uint8_t)(bits >> 8);
        out[used++] = (uint8_t)(bits >> 16);
        out[used++] = (uint8_t)(bits >> 24);
        if (used < sizeof out && i + 1 < n) continue;
        coco__encode_bytes(e, out, used);
        used = 0;
    }
}

static coco_status coco__encode(coco__encoder *e, coco_value v);

static coco_status coco__encode_list(coco__encoder *e, const coco_value *items, size_t n)
{
    size_t i;

    coco__encode_head(e, COCO__TAG_LIST, n);
    for (i = 0; i < n; i++) COCO_TRY(coco__encode(e, items[i]));
    return 0;
}

static coco_status coco__encode_map(coco__encoder *e, const coco_pair *pairs, size_t n)
{
    const coco__mem *mem = e->buf ? e->buf->mem : NULL;
    const coco_pair *at = NULL, *p;
    coco_status rc = 0;
    coco__order o;
    size_t i;

    coco__order_open(&o, mem, pairs, n);
    coco__encode_head(e, COCO__TAG_MAP, n);
    for (i = 0; i < n && rc == 0; i++) {
        at = coco__order_at(&o, i, at); /* also where their order stays: it finds the key that came twice */
        if (!at) {
            rc = COCO_EINVAL;
            break;
        }
        p = e->how == COCO__STORED ? &pairs[i] : at;
        coco__encode_string(e, 0, p->key);
        rc = coco__encode(e, p->value);
    }
    coco__order_close(&o, mem);
    return rc;
}

static coco_status coco__encode_nested(coco__encoder *e, coco_value v)
{
    coco_status rc;

    if (e->depth == COCO__DEPTH) return COCO_EINVAL;
    e->depth++;
    if (v.kind == COCO_LIST)
        rc = coco__encode_list(e, v.as.s.p.items, v.as.s.u.n);
    else
        rc = coco__encode_map(e, v.as.s.p.pairs, v.as.s.u.n);
    e->depth--;
    return rc;
}

static coco_status coco__encode(coco__encoder *e, coco_value v)
{
    uint8_t uuid[17] = { COCO__TAG_UUID };
    uint64_t zigzag;

    switch (v.kind) {
    case COCO_NULL: coco__encode_bytes(e, &(uint8_t){ COCO__TAG_NULL }, 1); return 0;
    case COCO_BOOL: coco__encode_bytes(e, &(uint8_t){ v.as.boolean ? COCO__TAG_TRUE : COCO__TAG_FALSE }, 1); return 0;
    case COCO_INT:
        zigzag = (uint64_t)v.as.integer << 1 ^ (v.as.integer < 0 ? UINT64_MAX : 0);
        coco__encode_head(e, COCO__TAG_INT, zigzag);
        return 0;
    case COCO_FLOAT: coco__encode_float(e, v.as.real); return 0;
    case COCO_SYMBOL: coco__encode_string(e, COCO__TAG_SYMBOL, coco_text_of(v)); return 0;
    case COCO_TEXT_KIND: coco__encode_string(e, COCO__TAG_TEXT, coco_text_of(v)); return 0;
    case COCO_BYTES: coco__encode_string(e, COCO__TAG_BYTES, coco_text_of(v)); return 0;
    case COCO_UUID:
        memcpy(uuid + 1, v.as.uuid, 16);
        coco__encode_bytes(e, uuid, sizeof uuid);
        return 0;
    case COCO_VECTOR: coco__encode_vector(e, v.as.s.p.floats, v.as.s.u.n); return 0;
    case COCO_LIST:
    case COCO_MAP: return coco__encode_nested(e, v);
    default: return COCO_ETYPE;
    }
}

/* A failure takes back what was put. Values nested too deep are COCO_EINVAL. */
COCO__IN coco_status coco__value_put(coco__buf *b, coco_value v, coco__encoding how)
{
    coco__encoder e = { .buf = b, .how = how };
    size_t before = b->n;
    coco_status rc = coco__encode(&e, v);

    if (rc == 0 && b->failed) rc = COCO_ENOMEM;
    if (rc) b->n = before;
    return rc;
}

coco_status coco_fingerprint(coco_value v, uint8_t out[16])
{
    coco_hash hash;
    coco__encoder e = { .hash = &hash, .how = COCO__CANONICAL };

    coco_hash_begin(&hash);
    COCO_TRY(coco__encode(&e, v));
    coco_hash_end(&hash, out);
    return 0;
}

/* ---- Decoding -------------------------------------------------------------------------------------------------- */

/* What a count promises must be there: each item takes a byte at least, each entry two, on top of what the lists
 * and maps around it still expect (owed). So all counts together are at most the length of the input, and so is the
 * memory for them. */
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
    s.p = coco__arena_copy(d->a, s.p, s.n);
    if (!s.p) return COCO_ENOMEM;
    *out = coco_text_n(s);
    out->kind = kind;
    return 0;
}

static coco_status coco__decode_float(coco__decoder *d, coco_value *out)
{
    uint64_t bits = coco__read_be64(d->r);

    *out = coco_float(0);
    memcpy(&out->as.real, &bits, sizeof bits);
    return d->r->bad || coco__float_bits(out->as.real) != bits ? COCO_ECORRUPT : 0;
}

/* Byte by byte, as the encoder wrote it: compilers make plain loads of that. */
static coco_status coco__decode_vector(coco__decoder *d, coco_value *out)
{
    uint64_t n = coco__read_varint(d->r);
    const uint8_t *p = n <= coco__left(d->r) / 4 ? coco__read_bytes(d->r, (size_t)n * 4) : NULL;
    float *f;
    size_t i;

    if (!p) return COCO_ECORRUPT;
    f = coco__arena_alloc(d->a, (size_t)n * sizeof *f);
    if (!f) return COCO_ENOMEM;
    for (i = 0; i < n; i++, p += 4) {
        uint32_t bits = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;

        memcpy(&f[i], &bits, sizeof bits);
        if (coco__float32_bits(f[i]) != bits) return COCO_ECORRUPT;
    }
    *out = coco_vector(f, (size_t)n);
    return 0;
}

/* Reads a count of things of at least `least` bytes and gives memory for them. */
static coco_status coco__decode_count(coco__decoder *d, size_t least, size_t size, size_t *n, void *items)
{
    uint64_t count = coco__read_varint(d->r);
    void *p;

    if (d->r->bad || coco__left(d->r) < d->owed || count > (coco__left(d->r) - d->owed) / least) return COCO_ECORRUPT;
    if (count > SIZE_MAX / size) return COCO_ENOMEM;
    p = coco__arena_alloc(d->a, (size_t)count * size);
    if (!p) return COCO_ENOMEM;
    memcpy(items, &p, sizeof p);
    *n = (size_t)count;
    d->owed += *n * least;
    return 0;
}

static coco_status coco__decode_list(coco__decoder *d, coco_value *out)
{
    coco_value *items;
    size_t n, i;

    COCO_TRY(coco__decode_count(d, 1, sizeof *items, &n, &items));
    for (i = 0; i < n; i++) {
        d->owed--;
        COCO_TRY(coco__decode(d, &items[i]));
    }
    *out = coco_list(items, n);
    return 0;
}

static coco_status coco__decode_map(coco__decoder *d, coco_value *out)
{
    coco_value key;
    coco_pair *pairs;
    size_t n, i;

    COCO_TRY(coco__decode_count(d, 2, sizeof *pairs, &n, &pairs));
    for (i = 0; i < n; i++) {
        d->owed -= 2;
        COCO_TRY(coco__decode_string(d, COCO_TEXT_KIND, &key));
        pairs[i].key = coco_text_of(key);
        COCO_TRY(coco__decode(d, &pairs[i].value));
    }
    *out = coco_map_value(pairs, n);
    return coco__map_has_twin(d->a->mem, pairs, n) ? COCO_ECORRUPT : 0;
}

static coco_status coco__decode_nested(coco__decoder *d, uint8_t tag, coco_value *out)
{
    coco_status rc;

    if (d->depth == COCO__DEPTH) return COCO_ECORRUPT;
    d->depth++;
    rc = tag == COCO__TAG_LIST ? coco__decode_list(d, out) : coco__decode_map(d, out);
    d->depth--;
    return rc;
}

static coco_status coco__decode(coco__decoder *d, coco_value *out)
{
    uint8_t tag = coco__read_byte(d->r);
    const uint8_t *uuid;
    uint64_t zigzag;

    switch (tag) {
    case COCO__TAG_NULL: *out = coco_null(); return 0;
    case COCO__TAG_FALSE: *out = coco_bool(false); return 0;
    case COCO__TAG_TRUE: *out = coco_bool(true); return 0;
    case COCO__TAG_INT:
        zigzag = coco__read_varint(d->r);
        *out = coco_int((int64_t)(zigzag >> 1 ^ (zigzag & 1 ? UINT64_MAX : 0)));
        return d->r->bad ? COCO_ECORRUPT : 0;
    case COCO__TAG_FLOAT: return coco__decode_float(d, out);
    case COCO__TAG_SYMBOL: return coco__decode_string(d, COCO_SYMBOL, out);
    case COCO__TAG_TEXT: return coco__decode_string(d, COCO_TEXT_KIND, out);
    case COCO__TAG_BYTES: return coco__decode_string(d, COCO_BYTES, out);
    case COCO__TAG_UUID:
        uuid = coco__read_bytes(d->r, 16);
        if (!uuid) return COCO_ECORRUPT;
        *out = coco_uuid(uuid);
        return 0;
    case COCO__TAG_VECTOR: return coco__decode_vector(d, out);
    case COCO__TAG_LIST:
    case COCO__TAG_MAP: return coco__decode_nested(d, tag, out);
    default: return COCO_ECORRUPT; /* also where nothing is left */
    }
}

/* After a failure *out is null, and the reader is at its end and bad. */
COCO__IN coco_status coco__value_get(coco__reader *r, coco__arena *a, coco_value *out)
{
    coco__decoder d = { .r = r, .a = a };
    coco_status rc = r->bad ? COCO_ECORRUPT : coco__decode(&d, out);

    if (rc == 0) return 0;
    r->p = r->end;
    r->bad = true;
    *out = coco_null();
    return rc;
}

/* ---- Copying --------------------------------------------------------------------------------------------------- */

static coco_status coco__copy(coco__arena *a, coco_value v, int depth, coco_value *out);

static coco_status coco__copy_list(coco__arena *a, coco_value v, int depth, coco_value *out)
{
    size_t n = v.as.s.u.n, i;
    coco_value *items = coco__arena_alloc(a, n * sizeof *items);

    if (!items) return COCO_ENOMEM;
    for (i = 0; i < n; i++) COCO_TRY(coco__copy(a, v.as.s.p.items[i], depth, &items[i]));
    *out = coco_list(items, n);
    return 0;
}

static coco_status coco__copy_map(coco__arena *a, coco_value v, int depth, coco_value *out)
{
    size_t n = v.as.s.u.n, i;
    coco_pair *pairs = coco__arena_alloc(a, n * sizeof *pairs);

    if (!pairs) return COCO_ENOMEM;
    for (i = 0; i < n; i++) {
        coco_str key = v.as.s.p.pairs[i].key;

        pairs[i].key = (coco_str){ coco__arena_copy(a, key.p, key.n), key.n };
        if (!pairs[i].key.p) return COCO_ENOMEM;
        COCO_TRY(coco__copy(a, v.as.s.p.pairs[i].value, depth, &pairs[i].value));
    }
    *out = coco_map_value(pairs, n);
    return 0;
}

static coco_status coco__copy(coco__arena *a, coco_value v, int depth, coco_value *out)
{
    const void *p = v.as.s.p.bytes;

    *out = v;
    switch (v.kind) {
    case COCO_SYMBOL:
    case COCO_TEXT_KIND:
    case COCO_BYTES: out->as.s.p.bytes = coco__arena_copy(a, p, v.as.s.u.n); break;
    case COCO_VECTOR: out->as.s.p.bytes = coco__arena_copy(a, p, v.as.s.u.n * sizeof(float)); break;
    case COCO_LIST: return depth < COCO__DEPTH ? coco__copy_list(a, v, depth + 1, out) : COCO_EINVAL;
    case COCO_MAP: return depth < COCO__DEPTH ? coco__copy_map(a, v, depth + 1, out) : COCO_EINVAL;
    default: return 0;
    }
    return out->as.s.p.bytes ? 0 : COCO_ENOMEM;
}

/* Values nested too deep are COCO_EINVAL; after a failure *out is null. */
COCO__IN coco_status coco__value_copy(coco__arena *a, coco_value v, coco_value *out)
{
    coco_status rc = coco__copy(a, v, 0, out);

    if (rc) *out = coco_null();
    return rc;
}

/* ---- Printing -------------------------------------------------------------------------------------------------- */

/* The length of the well-formed UTF-8 sequence at the front of n > 0 bytes, 0 if there is none (Unicode, table 3-7). */
static size_t coco__utf8_length(const uint8_t *p, size_t n)
{
    uint8_t c = p[0], low = 0x80, high = 0xbf;
    size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0, i;

    if (len > n) return 0;
    if (c == 0xe0) low = 0xa0;  /* overlong */
    if (c == 0xed) high = 0x9f; /* surrogates */
    if (c == 0xf0) low = 0x90;  /* overlong */
    if (c == 0xf4) high = 0x8f; /* beyond U+10FFFF */
    for (i = 1; i < len; i++, low = 0x80, high = 0xbf)
        if (p[i] < low || p[i] > high) return 0;
    return len;
}

static void coco__print_hex(coco__buf *b, const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *s = p;
    size_t i;

    for (i = 0; i < n; i++) {
        coco__buf_byte(b, (uint8_t)digits[s[i] >> 4]);
        coco__buf_byte(b, (uint8_t)digits[s[i] & 15]);
    }
}

/* The escape of one character that can't stand for itself; len is its length, 0 for a byte that isn't UTF-8. */
static void coco__print_escape(coco__buf *b, const uint8_t *p, size_t len, bool json)
{
    if (len == 0 && json)
        coco__buf_str(b, "\xef\xbf\xbd");
    else if (len == 0)
        coco__buf_printf(b, "\\x%02x", p[0]);
    else if (p[0] == '"' || p[0] == '\\')
        coco__buf_printf(b, "\\%c", p[0]);
    else if (p[0] == '\n' || p[0] == '\t')
        coco__buf_str(b, p[0] == '\n' ? "\\n" : "\\t");
    else
        coco__buf_printf(b, "\\u%04x", len == 2 ? p[1] : p[0]);
}

/* Control characters are escaped, those from U+0080 to U+009F and DEL too: what is printed may go to a terminal. */
static bool coco__prints_plain(const uint8_t *p, size_t len)
{
    if (len == 1) return p[0] >= 0x20 && p[0] != '"' && p[0] != '\\' && p[0] != 0x7f;
    return len > 2 || (len == 2 && (p[0] != 0xc2 || p[1] >= 0xa0));
}

/* Runs of plain characters are put at once. */
static void coco__print_quoted(coco__buf *b, coco_str s, bool json)
{
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n, *run = p;

    coco__buf_byte(b, '"');
    while (p < end) {
        size_t len = coco__utf8_length(p, (size_t)(end - p));

        if (coco__prints_plain(p, len)) {
            p += len;
            continue;
        }
        coco__buf_put(b, run, (size_t)(p - run));
        coco__print_escape(b, p, len, json);
        run = p += len ? len : 1;
    }
    coco__buf_put(b, run, (size_t)(end - run));
    coco__buf_byte(b, '"');
}

/* snprintf follows the locale of the program, whose decimal sign may be a comma or several bytes; a number here has
 * a point. */
static void coco__print_number(coco__buf *b, const char *s, bool point)
{
    bool has_point = false, in_sign = false;

    for (; *s; s++) {
        bool ordinary = strchr("0123456789+-e", *s) != NULL;

        if (!ordinary && !in_sign) coco__buf_byte(b, '.');
        if (ordinary) coco__buf_byte(b, (uint8_t)*s);
        has_point = has_point || !ordinary || *s == 'e';
        in_sign = !ordinary;
    }
    if (point && !has_point) coco__buf_str(b, ".0");
}

/* The shortest decimal that reads back as the same number. With a point, so that it isn't taken for an int. */
static void coco__print_float(coco__buf *b, double f, bool json)
{
    char s[64];
    int digits;

    if (isnan(f) || isinf(f)) {
        coco__buf_str(b, json ? "null" : isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    for (digits = 15; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, f);
        if (coco__float_bits(strtod(s, NULL)) == coco__float_bits(f)) break;
    }
    coco__print_number(b, s, true);
}

static void coco__print_float32(coco__buf *b, float f, bool json)
{
    char s[64];
    int digits;

    if (isnan(f) || isinf(f)) {
        coco__print_float(b, (double)f, json);
        return;
    }
    for (digits = 6; digits <= 9; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, (double)f);
        if (coco__float32_bits(strtof(s, NULL)) == coco__float32_bits(f)) break;
    }
    coco__print_number(b, s, false);
}

/* A symbol that looks like a name needs no quotes. */
static void coco__print_symbol(coco__buf *b, coco_str s)
{
    size_t i;
    bool bare = s.n > 0;

    for (i = 0; i < s.n && bare; i++) {
        char c = s.p[i];

        bare = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
               (i > 0 && ((c >= '0' && c <= '9') || c == '.' || c == '-'));
    }
    coco__buf_byte(b, '@');
    if (bare)
        coco__buf_put(b, s.p, s.n);
    else
        coco__print_quoted(b, s, false);
}

static void coco__print_uuid(coco__buf *b, const uint8_t *uuid)
{
    static const uint8_t ends[] = { 4, 6, 8, 10, 16 };
    size_t i, at = 0;

    for (i = 0; i < 5; at = ends[i++]) {
        if (i) coco__buf_byte(b, '-');
        coco__print_hex(b, uuid + at, ends[i] - at);
    }
}

static void coco__print(coco__buf *b, coco_value v, int depth, bool json);

static void coco__print_vector(coco__buf *b, coco_value v, bool json)
{
    size_t i;

    coco__buf_byte(b, json ? '[' : '<');
    for (i = 0; i < v.as.s.u.n; i++) {
        if (i) coco__buf_byte(b, ',');
        coco__print_float32(b, v.as.s.p.floats[i], json);
    }
    coco__buf_byte(b, json ? ']' : '>');
}

/* Beyond the depth that can be encoded a value prints as null: printing can't fail. */
static void coco__print_nested(coco__buf *b, coco_value v, int depth, bool json)
{
    bool map = v.kind == COCO_MAP;
    size_t i;

    if (depth == COCO__DEPTH) {
        coco__buf_str(b, "null");
        return;
    }
    coco__buf_byte(b, map ? '{' : '[');
    for (i = 0; i < v.as.s.u.n; i++) {
        if (i) coco__buf_byte(b, ',');
        if (map) {
            coco_str key = v.as.s.p.pairs[i].key;

            coco__print_quoted(b, key.n ? key : coco_str_of(""), json);
            coco__buf_byte(b, ':');
        }
        coco__print(b, map ? v.as.s.p.pairs[i].value : v.as.s.p.items[i], depth + 1, json);
    }
    coco__buf_byte(b, map ? '}' : ']');
}

/* What JSON has no kind for is text there: symbols (their name), uuids, bytes (as hex); objects are null. */
static void coco__print(coco__buf *b, coco_value v, int depth, bool json)
{
    bool quoted = json && (v.kind == COCO_UUID || v.kind == COCO_BYTES);

    if (quoted) coco__buf_byte(b, '"');
    switch (v.kind) {
    case COCO_NULL: coco__buf_str(b, "null"); break;
    case COCO_SYMBOL:
        if (json)
            coco__print_quoted(b, coco_text_of(v), true);
        else
            coco__print_symbol(b, coco_text_of(v));
        break;
    case COCO_BOOL: coco__buf_str(b, v.as.boolean ? "true" : "false"); break;
    case COCO_INT: coco__buf_printf(b, "%lld", (long long)v.as.integer); break;
    case COCO_FLOAT: coco__print_float(b, v.as.real, json); break;
    case COCO_TEXT_KIND: coco__print_quoted(b, coco_text_of(v), json); break;
    case COCO_BYTES:
        if (!json) coco__buf_str(b, "b\"");
        coco__print_hex(b, v.as.s.p.bytes, v.as.s.u.n);
        if (!json) coco__buf_byte(b, '"');
        break;
    case COCO_UUID: coco__print_uuid(b, v.as.uuid); break;
    case COCO_VECTOR: coco__print_vector(b, v, json); break;
    case COCO_LIST:
    case COCO_MAP: coco__print_nested(b, v, depth, json); break;
    default:
        if (json)
            coco__buf_str(b, "null");
        else
            coco__buf_printf(b, "(%s)", v.as.s.p.cls && v.as.s.p.cls->type ? v.as.s.p.cls->type : "object");
        break;
    }
    if (quoted) coco__buf_byte(b, '"');
}

COCO__IN void coco__value_print(coco__buf *b, coco_value v)
{
    coco__print(b, v, 0, false);
}

COCO__IN void coco__value_json(coco__buf *b, coco_value v)
{
    coco__print(b, v, 0, true);
}
