/* test_fingerprint.c - BLAKE2b: known digests, and libb2 as the judge of all lengths, random bytes and random splits.
 *
 * Random tests print their seed; SEED=n in the environment replays one. Link with -lb2. */
#include "../engine/engine.h"

#include <blake2.h>
#include <setjmp.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

static uint64_t seed;

static int begin(void **state)
{
    const char *s = getenv("SEED");

    (void)state;
    seed = s ? strtoull(s, NULL, 10) : 20240601;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    return 0;
}

/* splitmix64 */
static uint64_t chance(void)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void judge(const uint8_t *p, size_t n, uint8_t out[16])
{
    assert_int_equal(blake2b(out, p, NULL, 16, n, 0), 0);
}

/* The digests of "" and "abc" at 16 bytes, as the reference code gives them. */
static void known_digests_come_out(void **state)
{
    static const uint8_t empty[16] = {
        0xca, 0xe6, 0x69, 0x41, 0xd9, 0xef, 0xbd, 0x40,
        0x4e, 0x4d, 0x88, 0x75, 0x8e, 0xa6, 0x76, 0x70,
    };
    static const uint8_t abc[16] = {
        0xcf, 0x4a, 0xb7, 0x91, 0xc6, 0x2b, 0x8d, 0x2b,
        0x21, 0x09, 0xc9, 0x02, 0x75, 0x28, 0x78, 0x16,
    };
    uint8_t out[16];

    (void)state;
    coco_fingerprint_bytes(NULL, 0, out);
    assert_memory_equal(out, empty, 16);
    coco_fingerprint_bytes("abc", 3, out);
    assert_memory_equal(out, abc, 16);
}

/* RFC 7693, appendix A: the whole state behind "abc" at 64 bytes. The digest's length stands only in the first word
 * of the starting state, so the running form reaches it from there. */
static void rfc_7693_vector_comes_out(void **state)
{
    static const uint8_t expected[64] = {
        0xba, 0x80, 0xa5, 0x3f, 0x98, 0x1c, 0x4d, 0x0d, 0x6a, 0x27, 0x97, 0xb6, 0x9f, 0x12, 0xf6, 0xe9,
        0x4c, 0x21, 0x2f, 0x14, 0x68, 0x5a, 0xc4, 0xb7, 0x4b, 0x12, 0xbb, 0x6f, 0xdb, 0xff, 0xa2, 0xd1,
        0x7d, 0x87, 0xc5, 0x39, 0x2a, 0xab, 0x79, 0x2d, 0xc2, 0x52, 0xd5, 0xde, 0x45, 0x33, 0xcc, 0x95,
        0x18, 0xd3, 0x8a, 0xa8, 0xdb, 0xf1, 0x92, 0x5a, 0xb9, 0x23, 0x86, 0xed, 0xd4, 0x00, 0x99, 0x23,
    };
    uint8_t out[64], front[16];
    coco_hash h;
    int i;

    (void)state;
    coco_hash_begin(&h);
    h.h[0] ^= 16 ^ 64;
    coco_hash_add(&h, "abc", 3);
    coco_hash_end(&h, front);
    for (i = 0; i < 64; i++) out[i] = (uint8_t)(h.h[i / 8] >> (8 * (i % 8)));
    assert_memory_equal(out, expected, 64);
    assert_memory_equal(front, expected, 16);
}

static void all_short_lengths_agree_with_libb2(void **state)
{
    uint8_t bytes[700], ours[16], theirs[16];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)chance();
    for (i = 0; i <= sizeof bytes; i++) {
        coco_fingerprint_bytes(bytes, i, ours);
        judge(bytes, i, theirs);
        assert_memory_equal(ours, theirs, 16);
    }
}

static void random_splits_agree_with_libb2(void **state)
{
    static uint8_t bytes[20000];
    uint8_t ours[16], theirs[16];
    coco_hash h;
    int round;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)chance();
    for (round = 0; round < 2000; round++) {
        size_t from = chance() % 64, n = chance() % (round % 2 ? 600 : sizeof bytes - 64), at = 0;
        size_t most = round % 3 ? 129 : 5000;

        coco_hash_begin(&h);
        while (at < n) {
            size_t part = chance() % 5 == 0 ? 128 : chance() % most;

            if (part > n - at) part = n - at;
            coco_hash_add(&h, bytes + from + at, part);
            at += part;
        }
        coco_hash_end(&h, ours);
        judge(bytes + from, n, theirs);
        assert_memory_equal(ours, theirs, 16);
        coco_fingerprint_bytes(bytes + from, n, ours);
        assert_memory_equal(ours, theirs, 16);
    }
}

static void a_large_input_agrees_with_libb2(void **state)
{
    size_t n = 5 * 1024 * 1024 + 77, i;
    uint8_t *bytes = malloc(n), ours[16], theirs[16];

    (void)state;
    assert_non_null(bytes);
    for (i = 0; i < n; i++) bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    coco_fingerprint_bytes(bytes, n, ours);
    judge(bytes, n, theirs);
    assert_memory_equal(ours, theirs, 16);
    free(bytes);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(known_digests_come_out),
        TEST(rfc_7693_vector_comes_out),
        TEST(all_short_lengths_agree_with_libb2),
        TEST(random_splits_agree_with_libb2),
        TEST(a_large_input_agrees_with_libb2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
