/* base.c - the ground floor: allocation gate, arena, byte buffer and reader, hash table and set, errors, clock.
 *
 * Invariants:
 *   - Every byte comes from and goes back to the gate of a coco__mem; libc's realloc and free where none is set.
 *   - What fails for want of memory leaves its object as it was (a buffer remembers the failure): callers just return.
 *   - What can reach the disk (integers, hashes) is the same on every machine, whatever its byte order.
 *
 * Calls nothing but libc. Thread-safe as far as the objects passed in aren't shared. */
#include "engine.h"

#include <limits.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif

/* ---- Allocation gate ---- */

COCO__IN void *coco__realloc(const coco__mem *m, void *p, size_t n)
{
    assert(n > 0);
    return m->gate.realloc ? m->gate.realloc(m->gate.self, p, n) : realloc(p, n);
}

COCO__IN void *coco__alloc(const coco__mem *m, size_t n) { return n ? coco__realloc(m, NULL, n) : NULL; }

COCO__IN void *coco__zalloc(const coco__mem *m, size_t n)
{
    void *p = coco__alloc(m, n);
    return p ? memset(p, 0, n) : NULL;
}

COCO__IN void coco__free(const coco__mem *m, void *p)
{
    if (!p) return;
    if (m->gate.realloc) (void)m->gate.realloc(m->gate.self, p, 0);
    else free(p);
}

COCO__IN bool coco__room(const coco__mem *m, void *array, size_t n, size_t *cap, size_t size)
{
    size_t more = *cap ? *cap * 2 : 8;
    void *p;

    if (n < *cap) return true;
    memcpy(&p, array, sizeof p); /* whatever it points to */
    if (!(p = coco__realloc(m, p, more * size))) return false;
    memcpy(array, &p, sizeof p);
    *cap = more;
    return true;
}

COCO__IN char *coco__strdup(const coco__mem *m, const char *s)
{
    char *copy = coco__alloc(m, strlen(s) + 1);
    return copy ? strcpy(copy, s) : NULL;
}

/* ---- Arena ---- */

#define COCO__ROUND16(n) (((n) + 15) & ~(size_t)15)
#define COCO__CHUNK_MIN ((size_t)1024) /* also left behind a request with a chunk of its own: for what follows */
#define COCO__CHUNK_MAX ((size_t)64 * 1024)

COCO__IN void coco__arena_init(coco__arena *a, const coco__mem *m) { *a = (coco__arena){ .mem = m }; }

/* Makes c (or none) the newest chunk, all of it free. A gate may align to less than 16; the usable part is a multiple
 * of 16, which lets coco__arena_alloc compare before it rounds up. */
static void coco__arena_fill(coco__arena *a, coco__chunk *c)
{
    size_t pad = c ? (size_t)(-(uintptr_t)(c + 1) & 15) : 0;
    a->chunks = c;
    a->cur = c ? (char *)(c + 1) + pad : NULL;
    a->end = c ? a->cur + ((c->size - pad) & ~(size_t)15) : NULL;
}

/* The slow path: a new chunk as large as all before it (so the total doubles), within bounds, or as the request. */
static void *coco__arena_grow(coco__arena *a, size_t n)
{
    size_t size = a->total < COCO__CHUNK_MAX ? a->total : COCO__CHUNK_MAX;
    coco__chunk *c;

    if (n == 0) return coco__arena_alloc(a, 1);
    if (n > SIZE_MAX / 2) return NULL;
    size = ((size < COCO__CHUNK_MIN ? COCO__CHUNK_MIN : size) - sizeof *c) & ~(size_t)15;
    if (n > size - 16) size = COCO__ROUND16(n) + 16 + COCO__CHUNK_MIN;
    if (!(c = coco__alloc(a->mem, sizeof *c + size))) return NULL;
    *c = (coco__chunk){ a->chunks, size };
    a->total += sizeof *c + size;
    coco__arena_fill(a, c);
#ifdef MADV_POPULATE_WRITE /* all of a large chunk is going to be used: at once costs half of a fault a page */
    uintptr_t page = (uintptr_t)c & ~(uintptr_t)4095;
    if (size >= COCO__CHUNK_MAX - 64) (void)madvise((void *)page, size, MADV_POPULATE_WRITE);
#endif
    return coco__arena_alloc(a, n);
}

/* Hot: one comparison and one addition. n 0 wraps round and takes the slow path. */
COCO__IN void *coco__arena_alloc(coco__arena *a, size_t n)
{
    char *p = a->cur;
    if (n - 1 >= (size_t)(a->end - p)) return coco__arena_grow(a, n);
    a->cur = p + COCO__ROUND16(n);
    return p;
}

COCO__IN void *coco__arena_zalloc(coco__arena *a, size_t n)
{
    void *p = coco__arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

COCO__IN void *coco__arena_copy(coco__arena *a, const void *p, size_t n)
{
    char *copy = n < SIZE_MAX ? coco__arena_alloc(a, n + 1) : NULL;
    if (!copy) return NULL;
    if (n) memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

COCO__IN char *coco__arena_text(coco__arena *a, const char *s) { return coco__arena_copy(a, s, strlen(s)); }

COCO__IN coco_str coco__arena_str(coco__arena *a, coco_str s)
{
    return (coco_str){ coco__arena_copy(a, s.p, s.n), s.n };
}

COCO__IN coco_str coco__arena_keep(coco__arena *a, coco_str s)
{
    return (uintptr_t)s.p - (uintptr_t)a->chunks < (uintptr_t)a->cur - (uintptr_t)a->chunks ? s : coco__arena_str(a, s);
}

/* Frees the chunks before `until`, but keeps one of at most `most` bytes: they double, so the newest is the largest. */
static void coco__arena_drop(coco__arena *a, coco__chunk *until, size_t most)
{
    coco__chunk *next, *kept = until;

    for (coco__chunk *c = a->chunks; c != until; c = next) {
        assert(c); /* else the mark is of another arena, or older than a reset */
        next = c->next;
        if (kept == until && c->size <= most) {
            kept = c;
            continue;
        }
        a->total -= sizeof *c + c->size;
        coco__free(a->mem, c);
    }
    if (kept != until) kept->next = until;
    coco__arena_fill(a, kept);
}

COCO__IN void coco__arena_reset(coco__arena *a) { coco__arena_drop(a, NULL, COCO__CHUNK_MAX); }
COCO__IN void coco__arena_free(coco__arena *a) { coco__arena_drop(a, NULL, 0); }
COCO__IN void coco__arena_splice(coco__arena *a, coco__arena *from)
{
    coco__chunk *last = from->chunks;

    if (!last) return;
    while (last->next) last = last->next;
    if (a->chunks) { /* behind the chunk that is being filled */
        last->next = a->chunks->next;
        a->chunks->next = from->chunks;
        a->total += from->total;
    } else {
        *a = *from;
    }
    coco__arena_init(from, from->mem);
}

COCO__IN coco__mark coco__arena_mark(const coco__arena *a) { return (coco__mark){ a->chunks, a->cur }; }

/* A mark of the empty arena keeps a chunk, so that a loop of mark and release doesn't allocate in every turn. */
COCO__IN void coco__arena_release(coco__arena *a, coco__mark to)
{
    coco__arena_drop(a, to.chunk, to.chunk ? 0 : COCO__CHUNK_MAX);
    if (to.chunk) a->cur = to.cur;
}

/* ---- Byte buffer ---- */

COCO__IN void coco__buf_init(coco__buf *b, const coco__mem *m) { *b = (coco__buf){ .mem = m }; }

COCO__IN void coco__buf_free(coco__buf *b)
{
    coco__free(b->mem, b->p);
    coco__buf_init(b, b->mem);
}

/* Room for n more bytes. After a failure cap is n, so that the fast paths, which look at cap alone, don't write. */
static bool coco__buf_reserve(coco__buf *b, size_t n)
{
    size_t cap = b->cap < 64 ? 64 : b->cap;
    uint8_t *p = NULL;

    if (b->failed) return false;
    if (n <= SIZE_MAX / 2 && b->n <= SIZE_MAX / 2 - n) {
        while (cap < b->n + n) cap *= 2;
        p = coco__realloc(b->mem, b->p, cap);
    }
    b->failed = !p;
    b->cap = p ? cap : b->n;
    if (p) b->p = p;
    return p != NULL;
}

/* A buffer that never grew has no memory: then even 0 bytes allocate, because NULL means failure. */
COCO__IN uint8_t *coco__buf_grow(coco__buf *b, size_t n)
{
    if ((n > b->cap - b->n || b->failed || !b->p) && !coco__buf_reserve(b, n)) return NULL;
    b->n += n;
    return b->p + b->n - n;
}

COCO__IN void coco__buf_put(coco__buf *b, const void *p, size_t n)
{
    if (n == 0 || (n > b->cap - b->n && !coco__buf_reserve(b, n))) return;
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

COCO__IN void coco__buf_byte(coco__buf *b, uint8_t byte)
{
    if (b->n == b->cap && !coco__buf_reserve(b, 1)) return;
    b->p[b->n++] = byte;
}

/* Byte by byte: no byte order is asked for. */
COCO__IN void coco__put_be64(uint8_t out[8], uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8) out[i] = (uint8_t)v;
}

COCO__IN uint64_t coco__get_be64(const uint8_t in[8])
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v = v << 8 | in[i];
    return v;
}

COCO__IN void coco__buf_be64(coco__buf *b, uint64_t v)
{
    uint8_t bytes[8];
    coco__put_be64(bytes, v);
    coco__buf_put(b, bytes, sizeof bytes);
}

COCO__IN size_t coco__varint(uint8_t out[10], uint64_t v)
{
    size_t n = 0;

    for (; v >= 0x80; v >>= 7) out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

COCO__IN void coco__buf_varint(coco__buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) coco__buf_byte(b, (uint8_t)(v | 0x80));
    coco__buf_byte(b, (uint8_t)v);
}

COCO__IN void coco__buf_blob(coco__buf *b, const void *p, size_t n)
{
    coco__buf_varint(b, n);
    coco__buf_put(b, p, n);
}

COCO__IN uint64_t coco__zigzag(int64_t v) { return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0); }
COCO__IN int64_t coco__unzigzag(uint64_t v) { return (int64_t)(v >> 1) ^ -(int64_t)(v & 1); }

COCO__IN void coco__buf_str(coco__buf *b, const char *s) { coco__buf_put(b, s, strlen(s)); }

/* Prints into the room there is, a NUL included; where that is too little, the length is known and it prints again. */
COCO__IN void coco__buf_printf(coco__buf *b, const char *fmt, ...)
{
    size_t room, n = 0;

    do {
        va_list ap;
        if (n >= b->cap - b->n && !coco__buf_reserve(b, n + 1)) return;
        room = b->cap - b->n;
        va_start(ap, fmt);
        n = (size_t)vsnprintf((char *)b->p + b->n, room, fmt, ap);
        va_end(ap);
    } while (n >= room && n <= INT_MAX);
    if (n < room) b->n += n;
}

/* The NUL isn't counted: what is put next overwrites it. */
COCO__IN const char *coco__buf_cstr(coco__buf *b)
{
    if (b->failed || (b->n == b->cap && !coco__buf_reserve(b, 1))) return "";
    b->p[b->n] = 0;
    return (const char *)b->p;
}

COCO__IN coco_str coco__buf_view(const coco__buf *b) { return (coco_str){ (const char *)b->p, b->n }; }

COCO__IN coco_str coco__buf_take(coco__buf *b, coco__arena *a)
{
    coco_str copy = b->failed ? (coco_str){ NULL, 0 } : coco__arena_str(a, coco__buf_view(b));

    coco__buf_free(b);
    return copy;
}

/* A failure takes back what was put since `before`. */
COCO__IN coco_status coco__buf_end(coco__buf *b, size_t before, coco_status rc)
{
    if (rc == 0 && b->failed) rc = COCO_ENOMEM;
    if (rc) b->n = before;
    return rc;
}

/* ---- Reader ---- */

/* No bytes at all are a pointer to none, so that NULL from coco__read_bytes always means a failure. */
COCO__IN coco__reader coco__reader_of(const void *p, size_t n)
{
    const uint8_t *start = p ? p : (const void *)"";
    return (coco__reader){ start, start + (p ? n : 0), false };
}

COCO__IN size_t coco__left(const coco__reader *r) { return (size_t)(r->end - r->p); }

/* Nothing is left to read after a failure, so later reads fail by themselves. */
static void coco__reader_fail(coco__reader *r)
{
    r->p = r->end;
    r->bad = true;
}

COCO__IN const uint8_t *coco__read_bytes(coco__reader *r, size_t n)
{
    if (n > coco__left(r)) coco__reader_fail(r);
    if (r->bad) return NULL;
    r->p += n;
    return r->p - n;
}

COCO__IN uint8_t coco__read_byte(coco__reader *r)
{
    if (r->p < r->end) return *r->p++;
    r->bad = true;
    return 0;
}

static uint64_t coco__read_be(coco__reader *r, size_t n)
{
    const uint8_t *p = coco__read_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; p && i < n; i++) v = v << 8 | p[i];
    return v;
}

COCO__IN uint32_t coco__read_be32(coco__reader *r) { return (uint32_t)coco__read_be(r, 4); }
COCO__IN uint64_t coco__read_be64(coco__reader *r) { return coco__read_be(r, 8); }

/* Takes the shortest form alone, so that what decodes has one encoding: a last group of zero is malformed. */
COCO__IN uint64_t coco__read_varint(coco__reader *r)
{
    uint64_t v = 0;

    if (r->p < r->end && *r->p < 0x80) return *r->p++; /* most are small */
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = coco__read_byte(r);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80) continue;
        if (r->bad || (byte == 0 && shift > 0) || (shift == 63 && byte > 1)) break;
        return v;
    }
    coco__reader_fail(r);
    return 0;
}

/* The length is held against what is left before it is used: it may be any number. */
COCO__IN coco_str coco__read_blob(coco__reader *r)
{
    uint64_t n = coco__read_varint(r);
    if (n > coco__left(r)) coco__reader_fail(r);
    if (r->bad) return (coco_str){ "", 0 };
    r->p += n;
    return (coco_str){ (const char *)r->p - n, (size_t)n };
}

/* ---- Hash ---- */

/* Odd numbers without a pattern; the first is 2^64 over the golden ratio. */
#define COCO__MIX_A UINT64_C(0x9e3779b97f4a7c15)
#define COCO__MIX_B UINT64_C(0xd1b54a32d192ed03)
#define COCO__MIX_C UINT64_C(0x8cb92ba72f3d8dd7)

COCO__IN uint64_t coco__load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static uint64_t coco__load32(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
}

/* The 128-bit product folded onto itself: each bit of the result depends on all bits of a and b. */
static uint64_t coco__fold(uint64_t a, uint64_t b)
{
#if defined(__SIZEOF_INT128__) && !defined(COCO__NO_INT128)
    __extension__ typedef unsigned __int128 wide;
    wide r = (wide)a * b;

    return (uint64_t)r ^ (uint64_t)(r >> 64);
#else
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t low = al * bl, m1 = ah * bl + (low >> 32), m2 = al * bh + (uint32_t)m1;

    return (a * b) ^ (ah * bh + (m1 >> 32) + (m2 >> 32));
#endif
}

/* A chain of folds over 16 bytes each; the last 1 to 16 are read as two words that may overlap, and the length tells
 * apart what then reads the same. */
COCO__IN uint32_t coco__hash32(const void *p, size_t n, uint32_t seed)
{
    const uint8_t *s = p;
    uint64_t h = seed ^ COCO__MIX_A, a = 0, b = 0;
    size_t left = n;

    for (; left > 16; left -= 16, s += 16) h = coco__fold(coco__load64(s) ^ COCO__MIX_B, coco__load64(s + 8) ^ h);
    if (left >= 8) {
        a = coco__load64(s);
        b = coco__load64(s + left - 8);
    } else if (left >= 4) {
        a = coco__load32(s);
        b = coco__load32(s + left - 4);
    } else if (left) {
        a = (uint64_t)s[0] << 16 | (uint64_t)s[left / 2] << 8 | s[left - 1];
    }
    h = coco__fold(coco__fold(a ^ COCO__MIX_B, b ^ h) ^ COCO__MIX_C, n ^ COCO__MIX_A);
    return (uint32_t)(h ^ h >> 32);
}

/* ---- Hash table ----
 * Linear probing. An entry stands at its hash's slot or behind it with no free slot between; removing one moves up
 * those behind it that may (backward shift), so there are no tombstones and a search ends at the first free slot. */

COCO__IN void coco__table_init(coco__table *t, const coco__mem *m) { *t = (coco__table){ .mem = m }; }

COCO__IN void coco__table_free(coco__table *t)
{
    coco__free(t->mem, t->slots);
    coco__table_init(t, t->mem);
}

/* The slot of the key, or the free one where it would go. */
static inline coco__slot *coco__table_find(const coco__table *t, const void *key, size_t nkey, uint32_t hash)
{
    for (size_t i = hash & (t->cap - 1);; i = (i + 1) & (t->cap - 1)) {
        coco__slot *s = &t->slots[i];
        if (!s->value) return s;
        if (s->hash == hash && s->nkey == nkey && (nkey == 0 || memcmp(s->key, key, nkey) == 0)) return s;
    }
}

static bool coco__table_grow(coco__table *t)
{
    coco__table larger = { .mem = t->mem, .cap = t->cap ? t->cap * 2 : 16, .n = t->n };

    if (larger.cap > SIZE_MAX / 2 / sizeof(coco__slot)) return false;
    if (!(larger.slots = coco__zalloc(t->mem, larger.cap * sizeof(coco__slot)))) return false;
    for (size_t i = 0; i < t->cap; i++) {
        const coco__slot *s = &t->slots[i];
        if (s->value) *coco__table_find(&larger, s->key, s->nkey, s->hash) = *s;
    }
    coco__free(t->mem, t->slots);
    *t = larger;
    return true;
}

COCO__IN void *coco__table_get(const coco__table *t, const void *key, size_t nkey)
{
    return t->n ? coco__table_find(t, key, nkey, coco__hash32(key, nkey, 0))->value : NULL;
}

/* Grows only for a new key, and before anything else changes. Replacing takes the new key's pointer too: the old one
 * may die with the old value. */
COCO__IN bool coco__table_put(coco__table *t, const void *key, size_t nkey, void *value)
{
    uint32_t hash = coco__hash32(key, nkey, 0);
    coco__slot *s = t->cap ? coco__table_find(t, key, nkey, hash) : NULL;

    assert(value);
    if (!s || (!s->value && t->n >= t->cap / 4 * 3)) {
        if (!coco__table_grow(t)) return false;
        s = coco__table_find(t, key, nkey, hash);
    }
    t->n += !s->value;
    *s = (coco__slot){ key, nkey, value, hash };
    return true;
}

/* What stands behind the hole fills it unless it is nearer to home than to the hole, and so leaves the next hole. */
COCO__IN void *coco__table_remove(coco__table *t, const void *key, size_t nkey)
{
    size_t mask = t->cap - 1, hole, i;
    coco__slot *s = t->n ? coco__table_find(t, key, nkey, coco__hash32(key, nkey, 0)) : NULL;
    void *value = s ? s->value : NULL;

    if (!value) return NULL;
    hole = (size_t)(s - t->slots);
    for (i = (hole + 1) & mask; t->slots[i].value; i = (i + 1) & mask) {
        if (((i - t->slots[i].hash) & mask) < ((i - hole) & mask)) continue;
        t->slots[hole] = t->slots[i];
        hole = i;
    }
    t->slots[hole] = (coco__slot){ 0 };
    t->n--;
    return value;
}

/* Keeps the slots: who clears a table is about to fill it again. */
COCO__IN void coco__table_clear(coco__table *t)
{
    if (t->n) memset(t->slots, 0, t->cap * sizeof *t->slots);
    t->n = 0;
}

/* Nothing may be put or removed between two calls. */
COCO__IN void *coco__table_next(const coco__table *t, size_t *i)
{
    while (*i < t->cap && !t->slots[*i].value) ++*i;
    return *i < t->cap ? t->slots[(*i)++].value : NULL;
}

/* ---- Set of fingerprints ----
 * Fingerprints are hashes already: their first bytes choose the slot. All zeros marks a free slot; the one fingerprint
 * that looks so is kept as another: two being equal is no likelier for it. */

static bool coco__is_zero16(const uint8_t fp[16]) { return memcmp(fp, (const uint8_t[16]){ 0 }, 16) == 0; }

COCO__IN void coco__set16_init(coco__set16 *s, const coco__mem *m) { *s = (coco__set16){ .mem = m }; }

COCO__IN void coco__set16_free(coco__set16 *s)
{
    coco__free(s->mem, s->slots);
    coco__set16_init(s, s->mem);
}

/* The slot that holds *fp, or the free one where it would go. */
static uint8_t *coco__set16_find(const coco__set16 *s, const uint8_t **fp)
{
    static const uint8_t instead_of_zero[16] = { 1 };
    size_t i;
    if (coco__is_zero16(*fp)) *fp = instead_of_zero;
    i = (size_t)coco__load64(*fp) & (s->cap - 1);
    while (memcmp(s->slots[i], *fp, 16) != 0 && !coco__is_zero16(s->slots[i])) i = (i + 1) & (s->cap - 1);
    return s->slots[i];
}

static bool coco__set16_grow(coco__set16 *s)
{
    coco__set16 larger = { .mem = s->mem, .cap = s->cap ? s->cap * 2 : 64, .n = s->n };

    if (larger.cap > SIZE_MAX / 32 || !(larger.slots = coco__zalloc(s->mem, larger.cap * 16))) return false;
    for (size_t i = 0; i < s->cap; i++) {
        const uint8_t *fp = s->slots[i];
        if (!coco__is_zero16(fp)) memcpy(coco__set16_find(&larger, &fp), fp, 16);
    }
    coco__free(s->mem, s->slots);
    *s = larger;
    return true;
}

COCO__IN bool coco__set16_has(const coco__set16 *s, const uint8_t fp[16])
{
    return s->cap && !coco__is_zero16(coco__set16_find(s, &fp));
}

COCO__IN int coco__set16_add(coco__set16 *s, const uint8_t fp[16])
{
    uint8_t *slot = s->cap ? coco__set16_find(s, &fp) : NULL;

    if (slot && !coco__is_zero16(slot)) return 0;
    if (s->n >= s->cap / 4 * 3) {
        if (!coco__set16_grow(s)) return -1;
        slot = coco__set16_find(s, &fp);
    }
    memcpy(slot, fp, 16);
    s->n++;
    return 1;
}

/* ---- Errors ---- */

#define COCO__STRING(x) COCO__STRING_(x)
#define COCO__STRING_(x) #x

const char *coco_version(void)
{
    return COCO__STRING(COCO_VERSION_MAJOR) "." COCO__STRING(COCO_VERSION_MINOR) "." COCO__STRING(COCO_VERSION_PATCH);
}

/* Numbers without a gap. A status beyond them is a program's mistake, not a reason to crash. */
static const char *coco__status_string(coco_status rc, int which, const char *unknown)
{
#define COCO__ROW(name, number, text) [number] = { "COCO_" #name, text },
    static const char *const rows[][2] = { { "COCO_OK", "ok" }, COCO_ERRORS(COCO__ROW) };
    return rc <= 0 && rc > -(int)(sizeof rows / sizeof *rows) ? rows[-rc][which] : unknown;
}

const char *coco_status_name(coco_status rc) { return coco__status_string(rc, 0, "COCO_E?"); }
const char *coco_status_text(coco_status rc) { return coco__status_string(rc, 1, "unknown status"); }

/* Formats beside err first: the arguments may point into its old message. A message that is too long is cut before the
 * character that contains the first byte left out, which the byte of room more lets us see. */
static coco_status coco__err_vset(coco_err *err, coco_status code, bool transient, const char *fmt, va_list ap)
{
    char msg[COCO_ERR_MAX + 1];
    size_t n = COCO_ERR_MAX - 1;
    int wanted = err ? vsnprintf(msg, sizeof msg, fmt, ap) : 0;

    if (!err) return code;
    if (wanted <= (int)n) n = wanted < 0 ? 0 : (size_t)wanted;
    else while (n > COCO_ERR_MAX - 4 && ((uint8_t)msg[n] & 0xc0) == 0x80) n--;
    memcpy(err->msg, msg, n);
    err->msg[n] = '\0';
    err->code = code;
    err->transient = transient;
    return code;
}

coco_status coco_err_set(coco_err *err, coco_status code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    coco__err_vset(err, code, false, fmt, ap);
    va_end(ap);
    return code;
}

coco_status coco_transient(coco_err *err, coco_status code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    coco__err_vset(err, code, true, fmt, ap);
    va_end(ap);
    return code;
}

COCO__IN coco_status coco__no_memory(coco_err *err) { return coco_err_set(err, COCO_ENOMEM, "out of memory"); }

/* ---- Clock and chance ---- */

COCO__IN uint64_t coco__monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

COCO__IN int64_t coco__wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A signal doesn't cut the sleep short. */
COCO__IN void coco__sleep_ms(unsigned ms)
{
    struct timespec t = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
    while (nanosleep(&t, &t) != 0 && errno == EINTR) continue;
}

/* A sandbox may forbid the system's: then distinct values, at least, from the clocks, the process and a count. */
COCO__IN uint64_t coco__random64(void)
{
    static atomic_uint_fast64_t count;
    uint64_t v, salt;
    if (getentropy(&v, sizeof v) == 0) return v;
    salt = (uint64_t)coco__wall_ms() << 22 ^ (uint64_t)getpid() ^ atomic_fetch_add(&count, 1) << 40;
    return coco__fold(coco__monotonic_ns() ^ COCO__MIX_B, salt ^ COCO__MIX_C);
}
