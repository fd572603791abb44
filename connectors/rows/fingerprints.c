/* fingerprints.c - part of rows.c: the fingerprints of several rows at once.
 *
 * The steps of BLAKE2b over one block wait for each other, and AVX2, which has room for four words in a register, has
 * nothing to do with the other three. So four rows are hashed side by side, a row in each lane, in about the time of
 * one. Rows of different lengths end at different blocks: whichever has ended gives its digest, and what its lane
 * computes afterwards is of no account. The digests are those of coco_fingerprint_bytes, which does the rest: single
 * rows, and all where there is no AVX2. */

#define COCO__ROWS_LANES 4

#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>

#define COCO__ROWS_BLOCK 128

#if defined(__OPTIMIZE_SIZE__)
#define COCO__ROWS_UNROLL
#elif defined(__clang__)
#define COCO__ROWS_UNROLL _Pragma("unroll")
#else
#define COCO__ROWS_UNROLL _Pragma("GCC unroll 12")
#endif

/* The starting words, and the order of the message words in each round (RFC 7693, 2.6 and 2.7). */
static const uint64_t coco__rows_iv[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};
static const uint8_t coco__rows_sigma[12][16] = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
    { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
    { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
    { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
    { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
    { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
    { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
    { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
    { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
    { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
    { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
};

/* Four rows under way, a lane each. */
typedef struct coco__rows_lanes {
    const uint8_t *at[COCO__ROWS_LANES];      /* the block whose turn it is */
    uint64_t counted[COCO__ROWS_LANES];       /* bytes up to its end */
    uint64_t last[COCO__ROWS_LANES];          /* all ones where it is the last one of its row, else 0 */
    uint64_t h[8][COCO__ROWS_LANES];          /* the states, word by word */
    uint8_t ends[COCO__ROWS_LANES][COCO__ROWS_BLOCK]; /* last blocks, filled up with 0 */
} coco__rows_lanes;

#define COCO__ROWS_WIDE __attribute__((target("avx2")))

COCO__ROWS_WIDE
static inline __m256i coco__rows_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

/* The blocks' words: m[i] has word i of each of the four. */
COCO__ROWS_WIDE
static inline void coco__rows_turned(const uint8_t *const at[COCO__ROWS_LANES], __m256i m[16])
{
    for (size_t i = 0; i < 16; i += 4) {
        __m256i a = coco__rows_load(at[0] + 8 * i), b = coco__rows_load(at[1] + 8 * i);
        __m256i c = coco__rows_load(at[2] + 8 * i), d = coco__rows_load(at[3] + 8 * i);
        __m256i ab0 = _mm256_unpacklo_epi64(a, b), ab1 = _mm256_unpackhi_epi64(a, b);
        __m256i cd0 = _mm256_unpacklo_epi64(c, d), cd1 = _mm256_unpackhi_epi64(c, d);
        m[i] = _mm256_permute2x128_si256(ab0, cd0, 0x20);
        m[i + 1] = _mm256_permute2x128_si256(ab1, cd1, 0x20);
        m[i + 2] = _mm256_permute2x128_si256(ab0, cd0, 0x31);
        m[i + 3] = _mm256_permute2x128_si256(ab1, cd1, 0x31);
    }
}

/* Rotations to the right, by 32, 24, 16 and 63. */
#define COCO__ROWS_R32(x) _mm256_shuffle_epi32(x, 0xb1)
#define COCO__ROWS_R24(x) _mm256_shuffle_epi8(x, by24)
#define COCO__ROWS_R16(x) _mm256_shuffle_epi8(x, by16)
#define COCO__ROWS_R63(x) _mm256_or_si256(_mm256_srli_epi64(x, 63), _mm256_add_epi64(x, x))

#define COCO__ROWS_ADD(x, y) x = _mm256_add_epi64(x, y)
#define COCO__ROWS_XROT(x, y, rotated) x = rotated(_mm256_xor_si256(x, y))

/* The mixing function G (RFC 7693, 3.1). One column after the other: in step, as the engine's, they need more registers
 * than there are, and take a fifth longer. */
#define COCO__ROWS_G(a, b, c, d, i) \
    do { \
        COCO__ROWS_ADD(v[a], m[s[i]]), COCO__ROWS_ADD(v[a], v[b]), COCO__ROWS_XROT(v[d], v[a], COCO__ROWS_R32); \
        COCO__ROWS_ADD(v[c], v[d]), COCO__ROWS_XROT(v[b], v[c], COCO__ROWS_R24); \
        COCO__ROWS_ADD(v[a], m[s[i + 1]]), COCO__ROWS_ADD(v[a], v[b]), COCO__ROWS_XROT(v[d], v[a], COCO__ROWS_R16); \
        COCO__ROWS_ADD(v[c], v[d]), COCO__ROWS_XROT(v[b], v[c], COCO__ROWS_R63); \
    } while (0)

/* Mixes a block into each of the states (RFC 7693, 3.2). */
COCO__ROWS_WIDE
static void coco__rows_compress(coco__rows_lanes *l)
{
    const __m256i by24 = _mm256_setr_epi8(3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10,
                                          3, 4, 5, 6, 7, 0, 1, 2, 11, 12, 13, 14, 15, 8, 9, 10),
                  by16 = _mm256_setr_epi8(2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9,
                                          2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15, 8, 9);
    __m256i m[16], v[16];

    coco__rows_turned(l->at, m);
    for (size_t i = 0; i < 8; i++) {
        v[i] = coco__rows_load(l->h[i]);
        v[i + 8] = _mm256_set1_epi64x((long long)coco__rows_iv[i]);
    }
    v[12] = _mm256_xor_si256(v[12], coco__rows_load(l->counted));
    v[14] = _mm256_xor_si256(v[14], coco__rows_load(l->last));
    COCO__ROWS_UNROLL
    for (size_t round = 0; round < 12; round++) {
        const uint8_t *s = coco__rows_sigma[round];
        COCO__ROWS_G(0, 4, 8, 12, 0);
        COCO__ROWS_G(1, 5, 9, 13, 2);
        COCO__ROWS_G(2, 6, 10, 14, 4);
        COCO__ROWS_G(3, 7, 11, 15, 6);
        COCO__ROWS_G(0, 5, 10, 15, 8);
        COCO__ROWS_G(1, 6, 11, 12, 10);
        COCO__ROWS_G(2, 7, 8, 13, 12);
        COCO__ROWS_G(3, 4, 9, 14, 14);
    }
    for (size_t i = 0; i < 8; i++) {
        __m256i h = _mm256_xor_si256(coco__rows_load(l->h[i]), _mm256_xor_si256(v[i], v[i + 8]));
        _mm256_storeu_si256((__m256i *)(void *)l->h[i], h);
    }
}

/* A row goes on by itself, from behind the block that was compressed last. */
static void coco__rows_alone(const coco__rows_lanes *l, size_t lane, coco_str row, uint8_t out[16])
{
    coco_hash hash;
    size_t done = (size_t)l->counted[lane];

    coco_hash_begin(&hash);
    for (size_t i = 0; i < 8; i++) hash.h[i] = l->h[i][lane];
    hash.t[0] = done;
    coco_hash_add(&hash, row.p + done, row.n - done);
    coco_hash_end(&hash, out);
}

/* The block of a row that begins at `from`, into its lane; whether it is the last one. */
static bool coco__rows_next(coco__rows_lanes *l, size_t lane, coco_str row, size_t from)
{
    size_t left = row.n - from;

    l->counted[lane] = from + (left < COCO__ROWS_BLOCK ? left : COCO__ROWS_BLOCK);
    l->last[lane] = left > COCO__ROWS_BLOCK ? 0 : UINT64_MAX;
    l->at[lane] = (const uint8_t *)row.p + from;
    if (left >= COCO__ROWS_BLOCK) return left == COCO__ROWS_BLOCK;
    memset(l->ends[lane], 0, COCO__ROWS_BLOCK);
    if (left) memcpy(l->ends[lane], row.p + from, left);
    l->at[lane] = l->ends[lane];
    return true;
}

/* Two to four rows. */
static void coco__rows_side_by_side(const coco_str *rows, size_t n, uint8_t (*out)[16])
{
    coco__rows_lanes l;
    coco_hash first;
    bool ended[COCO__ROWS_LANES] = { false }, last;
    size_t left = n;

    coco_hash_begin(&first);
    for (size_t i = 0; i < 8; i++)
        for (size_t lane = 0; lane < COCO__ROWS_LANES; lane++) l.h[i][lane] = first.h[i];
    for (size_t lane = n; lane < COCO__ROWS_LANES; lane++) coco__rows_next(&l, lane, (coco_str){ "", 0 }, 0);
    for (size_t from = 0; left > (from ? 1 : 0); from += COCO__ROWS_BLOCK) {
        for (size_t lane = 0; lane < n; lane++)
            if (!ended[lane]) coco__rows_next(&l, lane, rows[lane], from);
        coco__rows_compress(&l);
        for (size_t lane = 0; lane < n; lane++) {
            last = !ended[lane] && l.last[lane];
            if (!last) continue;
            memcpy(out[lane], &l.h[0][lane], 8); /* x86 is little-endian */
            memcpy(out[lane] + 8, &l.h[1][lane], 8);
            ended[lane] = true;
            left--;
        }
    }
    for (size_t lane = 0; lane < n; lane++)
        if (!ended[lane]) coco__rows_alone(&l, lane, rows[lane], out[lane]);
}

static bool coco__rows_has_wide(void) { return __builtin_cpu_supports("avx2"); }
#else
static void coco__rows_side_by_side(const coco_str *rows, size_t n, uint8_t (*out)[16])
{
    (void)rows, (void)n, (void)out;
}

static bool coco__rows_has_wide(void) { return false; }
#endif

void coco_row_records(const coco_str *rows, size_t n, uint8_t (*out)[16])
{
    while (n > 1 && coco__rows_has_wide()) {
        size_t some = n < COCO__ROWS_LANES ? n : COCO__ROWS_LANES;
        coco__rows_side_by_side(rows, some, out);
        rows += some, out += some, n -= some;
    }
    for (size_t i = 0; i < n; i++) coco_row_record(rows[i], out[i]);
}
