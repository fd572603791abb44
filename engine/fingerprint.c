/* fingerprint.c - BLAKE2b with a 16-byte digest and no key, from RFC 7693.
 *
 * Invariant: the buffer of a running hash holds the newest 1 to 128 bytes (none only at the start), because the last
 * block must be compressed with the "last" flag, and whether a block is the last is known only when more comes.
 *
 * With COCO_USE_LIBB2 the whole-buffer form uses the BLAKE2 team's libb2 (-lb2). The running form is ours in either
 * case: their state doesn't fit into coco_hash. Both give equal digests. Calls base.c. */
#include "engine.h"

#ifdef COCO_USE_LIBB2
#include <blake2.h>
#endif

#define COCO__B2_BLOCK 128

/* The starting words (RFC 7693, 2.6). */
static const uint64_t coco__b2_iv[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

#define COCO__B2_ADD(x, y, i) x += y + coco__load64(block + 8 * (i))
#define COCO__B2_XROT(x, y, n) x ^= y, x = x >> (n) | x << (64 - (n))

/* The order of the message words in each round (RFC 7693, 2.7). */
static const uint8_t coco__b2_sigma[12][16] = {
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

/* Unrolled, the order is in the instructions, which is faster; by -Os the rounds are one. */
#if defined(__OPTIMIZE_SIZE__) || !defined(__GNUC__)
#define COCO__B2_UNROLL
#elif defined(__clang__)
#define COCO__B2_UNROLL _Pragma("unroll")
#else
#define COCO__B2_UNROLL _Pragma("GCC unroll 12")
#endif

/* One half of the mixing function G (RFC 7693, 3.1) on four columns or diagonals in step, whose first words are v0 to
 * v3: one after the other is a chain of 12 dependent steps each; in step it is 10 % faster. i: the message words; r, q:
 * rotations. */
#define COCO__B2_HALF(b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3, i0, i1, i2, i3, r, q) \
    do { \
        COCO__B2_ADD(v0, b0, i0), COCO__B2_ADD(v1, b1, i1), COCO__B2_ADD(v2, b2, i2), COCO__B2_ADD(v3, b3, i3); \
        COCO__B2_XROT(d0, v0, r), COCO__B2_XROT(d1, v1, r), COCO__B2_XROT(d2, v2, r), COCO__B2_XROT(d3, v3, r); \
        c0 += d0, c1 += d1, c2 += d2, c3 += d3; \
        COCO__B2_XROT(b0, c0, q), COCO__B2_XROT(b1, c1, q), COCO__B2_XROT(b2, c2, q), COCO__B2_XROT(b3, c3, q); \
    } while (0)

/* One round: columns, then diagonals, with the message words in the order of one row of SIGMA (RFC 7693, 2.7). The
 * words of the state are sixteen variables and the order is written out, so that no index is computed. */
#define COCO__B2_ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb, sc, sd, se, sf) \
    COCO__B2_HALF(v4, v5, v6, v7, v8, v9, va, vb, vc, vd, ve, vf, s0, s2, s4, s6, 32, 24); \
    COCO__B2_HALF(v4, v5, v6, v7, v8, v9, va, vb, vc, vd, ve, vf, s1, s3, s5, s7, 16, 63); \
    COCO__B2_HALF(v5, v6, v7, v4, va, vb, v8, v9, vf, vc, vd, ve, s8, sa, sc, se, 32, 24); \
    COCO__B2_HALF(v5, v6, v7, v4, va, vb, v8, v9, vf, vc, vd, ve, s9, sb, sd, sf, 16, 63)

/* Mixes one block into the state (RFC 7693, 3.2). n: how many of its bytes count; last: all ones for the last block,
 * else 0. */
static void coco__b2_compress(coco_hash *hash, const uint8_t *block, size_t n, uint64_t last)
{
    const uint64_t *iv = coco__b2_iv;
    uint64_t *h = hash->h;
    uint64_t v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3], v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
    uint64_t v8 = iv[0], v9 = iv[1], va = iv[2], vb = iv[3], vc = iv[4], vd = iv[5], ve = iv[6] ^ last, vf = iv[7];

    hash->t[0] += n;
    hash->t[1] += hash->t[0] < n;
    vc ^= hash->t[0];
    vd ^= hash->t[1];
    COCO__B2_UNROLL
    for (size_t i = 0; i < sizeof coco__b2_sigma; i += 16) {
        const uint8_t *s = &coco__b2_sigma[0][0] + i;
        COCO__B2_ROUND(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11], s[12], s[13], s[14],
                       s[15]);
    }
    h[0] ^= v0 ^ v8, h[1] ^= v1 ^ v9, h[2] ^= v2 ^ va, h[3] ^= v3 ^ vb;
    h[4] ^= v4 ^ vc, h[5] ^= v5 ^ vd, h[6] ^= v6 ^ ve, h[7] ^= v7 ^ vf;
}

void coco_hash_begin(coco_hash *h)
{
    memcpy(h->h, coco__b2_iv, sizeof h->h);
    h->h[0] ^= 0x01010000 ^ COCO__FP; /* parameters: fanout 1, depth 1, no key, digest length */
    h->t[0] = h->t[1] = h->used = 0;
}

/* Whole blocks are compressed where they stand; only the ends are copied. */
void coco_hash_add(coco_hash *h, const void *p, size_t n)
{
    const uint8_t *s = p;
    size_t room = COCO__B2_BLOCK - h->used;

    if (n > room) {
        if (h->used) {
            memcpy(h->buf + h->used, s, room);
            coco__b2_compress(h, h->buf, COCO__B2_BLOCK, 0);
            s += room;
            n -= room;
        }
        for (; n > COCO__B2_BLOCK; n -= COCO__B2_BLOCK, s += COCO__B2_BLOCK) coco__b2_compress(h, s, COCO__B2_BLOCK, 0);
        h->used = 0;
    }
    if (n) memcpy(h->buf + h->used, s, n);
    h->used += n;
}

void coco_hash_end(coco_hash *h, uint8_t out[16])
{
    memset(h->buf + h->used, 0, COCO__B2_BLOCK - h->used);
    coco__b2_compress(h, h->buf, h->used, UINT64_MAX);
    for (size_t i = 0; i < COCO__FP; i += 8) {
        uint64_t word = coco__load64((const uint8_t *)h->h + i); /* little-endian both ways */
        memcpy(out + i, &word, 8);
    }
}

void coco_fingerprint_bytes(const void *p, size_t n, uint8_t out[16])
{
#ifdef COCO_USE_LIBB2
    (void)blake2b(out, p ? p : "", NULL, COCO__FP, n, 0); /* refuses only lengths that RFC 7693 doesn't know */
#else
    coco_hash h;
    coco_hash_begin(&h);
    coco_hash_add(&h, p, n);
    coco_hash_end(&h, out);
#endif
}
