/* test_base.c - the ground floor: allocation gate, arena, buffer and reader, hash, table, set, errors.
 *
 * Random tests print their seed; SEED=n in the environment replays one. */
#include "../engine/engine.h"

#include <setjmp.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

/* An allocator that counts what is live and fails on demand. */
typedef struct counter {
    long live;  /* allocations not freed */
    long calls; /* so far */
    long fail;  /* the call that fails, and all behind it; 0: none */
} counter;

static void *counted(void *self, void *p, size_t n)
{
    counter *c = self;

    if (n == 0) {
        c->live -= p != NULL;
        free(p);
        return NULL;
    }
    if (++c->calls >= c->fail && c->fail) return NULL;
    c->live += p == NULL;
    return realloc(p, n);
}

static counter count;
static const coco__mem mem = { { counted, &count } };
static uint64_t seed;

static int begin(void **state)
{
    const char *s = getenv("SEED");

    (void)state;
    seed = s ? strtoull(s, NULL, 10) : 20240601;
    count = (counter){ 0 };
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(count.live, 0);
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

static void no_gate_means_libc(void **state)
{
    coco__mem libc = { 0 };
    char *s = coco__strdup(&libc, "abc");

    (void)state;
    assert_string_equal(s, "abc");
    coco__free(&libc, s);
    coco__free(&libc, NULL);
    assert_null(coco__alloc(&libc, 0));
    assert_int_equal(count.calls, 0);
}

static void zeroed_memory_is_zero(void **state)
{
    uint8_t *p = coco__zalloc(&mem, 100);
    size_t i;

    (void)state;
    for (i = 0; i < 100; i++) assert_int_equal(p[i], 0);
    coco__free(&mem, p);
}

static void arena_memory_is_aligned_and_disjoint(void **state)
{
    coco__arena a;
    uint8_t *p[500];
    size_t n[500], i, k;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    coco__arena_init(&a, &mem);
    for (i = 0; i < 500; i++) {
        n[i] = chance() % (i % 50 ? 200 : 100000);
        p[i] = coco__arena_alloc(&a, n[i]);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] & 15, 0);
        memset(p[i], (int)(i & 0xff), n[i]);
    }
    for (i = 0; i < 500; i++)
        for (k = 0; k < n[i]; k++) assert_int_equal(p[i][k], i & 0xff);
    coco__arena_free(&a);
    assert_int_equal(a.total, 0);
}

/* Gives memory that is 8 beyond a multiple of 16. */
static void *misaligned(void *self, void *p, size_t n)
{
    char *base = counted(self, p ? (char *)p - 8 : NULL, n ? n + 8 : 0);

    return base ? base + 8 : NULL;
}

static void arena_is_aligned_over_a_gate_that_is_not(void **state)
{
    coco__mem odd = { { misaligned, &count } };
    coco__arena a;
    size_t n;

    (void)state;
    coco__arena_init(&a, &odd);
    for (n = 0; n < 3000; n += 7) {
        char *p = coco__arena_zalloc(&a, n);

        assert_non_null(p);
        assert_int_equal((uintptr_t)p & 15, 0);
    }
    coco__arena_free(&a);
}

static void arena_copy_ends_with_a_nul(void **state)
{
    coco__arena a;

    (void)state;
    coco__arena_init(&a, &mem);
    assert_string_equal(coco__arena_copy(&a, "abcdef", 3), "abc");
    assert_string_equal(coco__arena_copy(&a, NULL, 0), "");
    assert_null(coco__arena_copy(&a, "", SIZE_MAX));
    assert_null(coco__arena_alloc(&a, SIZE_MAX));
    assert_null(coco__arena_alloc(&a, SIZE_MAX - 20));
    coco__arena_free(&a);
}

static void empty_requests_get_a_pointer(void **state)
{
    coco__arena a;

    (void)state;
    coco__arena_init(&a, &mem);
    assert_non_null(coco__arena_alloc(&a, 0));
    assert_non_null(coco__arena_alloc(&a, 0));
    coco__arena_free(&a);
}

static void arena_release_gives_back_what_was_taken_since(void **state)
{
    coco__arena a;
    coco__mark outer, inner;
    char *kept, *again;
    size_t total;
    int i;

    (void)state;
    coco__arena_init(&a, &mem);
    kept = coco__arena_copy(&a, "kept", 4);
    total = a.total;
    outer = coco__arena_mark(&a);
    again = coco__arena_alloc(&a, 10);
    for (i = 0; i < 100; i++) coco__arena_alloc(&a, 1000);
    inner = coco__arena_mark(&a);
    for (i = 0; i < 5; i++) coco__arena_alloc(&a, 100000);
    coco__arena_release(&a, inner);
    coco__arena_release(&a, outer);
    assert_int_equal(a.total, total);
    assert_ptr_equal(coco__arena_alloc(&a, 10), again);
    assert_string_equal(kept, "kept");
    coco__arena_free(&a);
}

static void scratch_of_an_empty_arena_allocates_once(void **state)
{
    coco__arena a;
    coco__mark m;
    int i;

    (void)state;
    coco__arena_init(&a, &mem);
    m = coco__arena_mark(&a);
    for (i = 0; i < 100; i++) {
        coco__arena_alloc(&a, 500);
        coco__arena_release(&a, m);
    }
    assert_int_equal(count.calls, 1);
    coco__arena_free(&a);
}

static void arena_reset_keeps_one_chunk_of_ordinary_size(void **state)
{
    coco__arena a;

    (void)state;
    coco__arena_init(&a, &mem);
    coco__arena_alloc(&a, 100);
    coco__arena_alloc(&a, 5000);
    coco__arena_alloc(&a, 1000000);
    coco__arena_reset(&a);
    assert_int_equal(count.live, 1);
    assert_true(a.total <= 64 * 1024);
    assert_non_null(coco__arena_alloc(&a, 100));
    assert_int_equal(count.live, 1);
    coco__arena_free(&a);
}

static void arena_without_memory_stays_usable(void **state)
{
    coco__arena a;

    (void)state;
    coco__arena_init(&a, &mem);
    count.fail = 1;
    assert_null(coco__arena_alloc(&a, 10));
    assert_null(coco__arena_zalloc(&a, 10));
    assert_null(coco__arena_copy(&a, "a", 1));
    count.fail = 0;
    assert_non_null(coco__arena_alloc(&a, 10));
    coco__arena_free(&a);
}

static void buffer_reads_back_what_was_put(void **state)
{
    coco__buf b;
    coco__reader r;
    coco_str s;

    (void)state;
    coco__buf_init(&b, &mem);
    coco__buf_byte(&b, 7);
    coco__buf_put(&b, "\1\2\3\4", 4);
    coco__buf_be64(&b, UINT64_C(0x1122334455667788));
    coco__buf_varint(&b, UINT64_MAX);
    coco__buf_varint(&b, 300);
    coco__buf_blob(&b, "blob", 4);
    coco__buf_blob(&b, NULL, 0);
    coco__buf_str(&b, "xy");
    r = coco__reader_of(b.p, b.n);
    assert_int_equal(coco__read_byte(&r), 7);
    assert_int_equal(coco__read_be32(&r), 0x01020304);
    assert_true(coco__read_be64(&r) == UINT64_C(0x1122334455667788));
    assert_true(coco__read_varint(&r) == UINT64_MAX);
    assert_int_equal(coco__read_varint(&r), 300);
    s = coco__read_blob(&r);
    assert_true(coco_str_equal(s, COCO_STR("blob")));
    assert_int_equal(coco__read_blob(&r).n, 0);
    assert_int_equal(coco__left(&r), 2);
    assert_memory_equal(coco__read_bytes(&r, 2), "xy", 2);
    assert_false(r.bad);
    coco__buf_free(&b);
}

static void varints_of_all_sizes_read_back(void **state)
{
    coco__buf b;
    unsigned bit;
    int near;

    (void)state;
    coco__buf_init(&b, &mem);
    for (bit = 0; bit < 64; bit++) {
        for (near = -1; near <= 1; near++) {
            uint64_t v = (UINT64_C(1) << bit) + (uint64_t)near;
            coco__reader r;

            b.n = 0;
            coco__buf_varint(&b, v);
            r = coco__reader_of(b.p, b.n);
            assert_true(coco__read_varint(&r) == v);
            assert_int_equal(coco__left(&r), 0);
            assert_false(r.bad);
        }
    }
    coco__buf_free(&b);
}

static void malformed_varints_are_refused(void **state)
{
    static const coco_str bad[] = {
        { "", 0 },
        { "\x80", 1 },
        { "\x80\x00", 2 },                                 /* not the shortest */
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10 }, /* 65 bits */
        { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11 },
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        coco__reader r = coco__reader_of(bad[i].p, bad[i].n);

        assert_true(coco__read_varint(&r) == 0);
        assert_true(r.bad);
        assert_int_equal(coco__left(&r), 0);
    }
}

static void reading_past_the_end_is_sticky(void **state)
{
    coco__reader r = coco__reader_of("abc", 3);

    (void)state;
    assert_int_equal(coco__read_be32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(coco__read_byte(&r), 0);
    assert_null(coco__read_bytes(&r, 0));
    assert_int_equal(coco__read_blob(&r).n, 0);
    assert_true(r.bad);
    r = coco__reader_of("\x05" "abc", 4);
    assert_int_equal(coco__read_blob(&r).n, 0);
    assert_true(r.bad);
    r = coco__reader_of(NULL, 0);
    assert_non_null(coco__read_bytes(&r, 0));
    assert_false(r.bad);
}

static void failed_growth_is_sticky(void **state)
{
    coco__buf b;

    (void)state;
    coco__buf_init(&b, &mem);
    coco__buf_str(&b, "before");
    count.fail = 1;
    assert_null(coco__buf_grow(&b, 1000));
    count.fail = 0;
    coco__buf_str(&b, "after");
    coco__buf_byte(&b, 1);
    coco__buf_printf(&b, "%d", 5);
    assert_null(coco__buf_grow(&b, 0));
    assert_true(b.failed);
    assert_int_equal(b.n, 6);
    assert_string_equal(coco__buf_cstr(&b), "");
    coco__buf_free(&b);
    assert_null(coco__buf_grow(&b, SIZE_MAX));
    assert_true(b.failed);
    coco__buf_free(&b);
}

static void printf_grows_the_buffer(void **state)
{
    coco__buf b;
    int i;

    (void)state;
    coco__buf_init(&b, &mem);
    for (i = 0; i < 100; i++) coco__buf_printf(&b, "%03d", i);
    assert_int_equal(b.n, 300);
    assert_memory_equal(coco__buf_cstr(&b), "000001002", 9);
    assert_string_equal(coco__buf_cstr(&b) + 294, "098099");
    coco__buf_free(&b);
}

/* The table against an array that is searched from the front. */
static void table_agrees_with_an_array(void **state)
{
    static uint64_t keys[400];
    static int marks[400];
    int *expected[400] = { 0 };
    size_t n = 0, i, at = 0, seen = 0;
    coco__table t;
    int step;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 400; i++) keys[i] = i * UINT64_C(0x10001);
    coco__table_init(&t, &mem);
    for (step = 0; step < 40000; step++) {
        bool growing = step % 10000 < 5000;

        i = chance() % 400;
        if (chance() % 3 == (growing ? 0 : 1) || (!growing && chance() % 2)) {
            assert_ptr_equal(coco__table_remove(&t, &keys[i], 8), expected[i]);
            n -= expected[i] != NULL;
            expected[i] = NULL;
        } else {
            n += expected[i] == NULL;
            expected[i] = &marks[chance() % 400];
            assert_true(coco__table_put(&t, &keys[i], 8, expected[i]));
        }
        assert_int_equal(t.n, n);
        i = chance() % 400;
        assert_ptr_equal(coco__table_get(&t, &keys[i], 8), expected[i]);
    }
    for (i = 0; i < 400; i++) assert_ptr_equal(coco__table_get(&t, &keys[i], 8), expected[i]);
    while (coco__table_next(&t, &at)) seen++;
    assert_int_equal(seen, n);
    coco__table_clear(&t);
    assert_null(coco__table_get(&t, &keys[0], 8));
    assert_int_equal(t.n, 0);
    coco__table_free(&t);
}

static void replacing_takes_the_new_key_pointer(void **state)
{
    char old[] = "key", new[] = "key";
    int x;
    coco__table t;

    (void)state;
    coco__table_init(&t, &mem);
    assert_true(coco__table_put(&t, old, 3, &x));
    assert_true(coco__table_put(&t, new, 3, &x));
    memcpy(old, "xxx", 3);
    assert_ptr_equal(coco__table_get(&t, "key", 3), &x);
    assert_true(coco__table_put(&t, NULL, 0, &x));
    assert_ptr_equal(coco__table_remove(&t, "", 0), &x);
    coco__table_free(&t);
}

static void table_without_memory_stays_as_it_was(void **state)
{
    static uint64_t keys[13];
    coco__table t;
    uint64_t i;

    (void)state;
    coco__table_init(&t, &mem);
    for (i = 0; i < 12; i++) {
        keys[i] = i;
        assert_true(coco__table_put(&t, &keys[i], 8, &keys[i]));
    }
    count.fail = 1;
    keys[12] = 12;
    assert_false(coco__table_put(&t, &keys[12], 8, &keys[12]));
    assert_true(coco__table_put(&t, &keys[3], 8, &keys[4]));
    count.fail = 0;
    assert_int_equal(t.n, 12);
    assert_ptr_equal(coco__table_get(&t, &keys[3], 8), &keys[4]);
    assert_null(coco__table_get(&t, &keys[12], 8));
    coco__table_free(&t);
}

static void set_holds_what_was_added(void **state)
{
    coco__set16 s;
    uint8_t fp[16], zero[16] = { 0 };
    uint64_t start, i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    start = seed;
    coco__set16_init(&s, &mem);
    assert_false(coco__set16_has(&s, zero));
    assert_int_equal(coco__set16_add(&s, zero), 1);
    assert_int_equal(coco__set16_add(&s, zero), 0);
    for (i = 0; i < 5000; i++) {
        coco__put_be64(fp, chance());
        coco__put_be64(fp + 8, chance());
        assert_false(coco__set16_has(&s, fp));
        assert_int_equal(coco__set16_add(&s, fp), 1);
    }
    seed = start;
    for (i = 0; i < 5000; i++) {
        coco__put_be64(fp, chance());
        coco__put_be64(fp + 8, chance());
        assert_int_equal(coco__set16_add(&s, fp), 0);
    }
    assert_int_equal(s.n, 5001);
    coco__set16_free(&s);
    count.fail = 1;
    fp[0] = 1;
    assert_int_equal(coco__set16_add(&s, fp), -1);
    assert_false(coco__set16_has(&s, fp));
    coco__set16_free(&s);
}

/* The numbers are what this hash gives: they stand in checksums on disk, so they may never change. */
static void hash_is_the_same_on_every_machine(void **state)
{
    uint8_t bytes[100];
    uint32_t all = 0;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37 + 11);
    for (i = 0; i <= sizeof bytes; i++) all = coco__hash32(bytes, i, all);
    assert_int_equal(coco__hash32(NULL, 0, 0), 0x5e4efa58U);
    assert_int_equal(coco__hash32("abc", 3, 0), 0xa2bfe04fU);
    assert_int_equal(all, 0xae3783fdU);
}

static void hash_sees_every_byte_and_the_length(void **state)
{
    uint8_t bytes[64] = { 0 };
    size_t n, i;

    (void)state;
    for (n = 1; n <= sizeof bytes; n++) {
        uint32_t before = coco__hash32(bytes, n, 1);

        assert_int_not_equal(before, coco__hash32(bytes, n - 1, 1));
        assert_int_not_equal(before, coco__hash32(bytes, n, 2));
        for (i = 0; i < n; i++) {
            bytes[i] ^= 0x10;
            assert_int_not_equal(before, coco__hash32(bytes, n, 1));
            bytes[i] ^= 0x10;
        }
    }
}

static void hash_spreads_small_numbers(void **state)
{
    static uint16_t buckets[1024];
    uint64_t i;
    size_t k, empty = 0;

    (void)state;
    for (i = 0; i < 8192; i++) buckets[coco__hash32(&i, 8, 0) & 1023]++;
    for (k = 0; k < 1024; k++) {
        empty += buckets[k] == 0;
        assert_in_range(buckets[k], 0, 30);
    }
    assert_true(empty < 10);
}

static void status_names_and_texts_come_from_the_list(void **state)
{
    (void)state;
    assert_string_equal(coco_status_name(0), "COCO_OK");
    assert_string_equal(coco_status_name(COCO_EDUP), "COCO_EDUP");
    assert_string_equal(coco_status_text(COCO_ENOMEM), "out of memory");
    assert_string_equal(coco_status_name(-999), "COCO_E?");
    assert_string_equal(coco_status_text(1), "unknown status");
    assert_string_equal(coco_version(), "0.1.0");
}

static void error_message_may_quote_itself(void **state)
{
    coco_err err;

    (void)state;
    assert_int_equal(coco_transient(&err, COCO_EIO, "disk %d", 5), COCO_EIO);
    assert_true(err.transient);
    assert_int_equal(coco_err_set(&err, COCO_EFAIL, "file a: %s", err.msg), COCO_EFAIL);
    assert_string_equal(err.msg, "file a: disk 5");
    assert_int_equal(err.code, COCO_EFAIL);
    assert_false(err.transient);
    assert_int_equal(coco_err_set(NULL, COCO_EIO, "nobody listens"), COCO_EIO);
    assert_int_equal(coco_transient(NULL, COCO_EIO, "nobody listens"), COCO_EIO);
}

/* Each character length at each distance from the end. */
static void long_message_is_cut_at_a_character(void **state)
{
    static const char *chars[] = { "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    char text[COCO_ERR_MAX + 16];
    coco_err err;
    size_t k, lead, n;

    (void)state;
    for (k = 0; k < 4; k++) {
        for (lead = 0; lead < 4; lead++) {
            size_t len = k + 1;

            memset(text, 'x', lead);
            for (n = lead; n + len < sizeof text; n += len) memcpy(text + n, chars[k], len);
            text[n] = '\0';
            coco_err_set(&err, COCO_EFAIL, "%s", text);
            n = strlen(err.msg);
            assert_memory_equal(err.msg, text, n);
            assert_int_equal((n - lead) % len, 0);
            assert_true(n + len >= COCO_ERR_MAX);
        }
    }
}

static void clocks_go_on_and_chance_differs(void **state)
{
    uint64_t before = coco__monotonic_ns();

    (void)state;
    coco__sleep_ms(2);
    assert_true(coco__monotonic_ns() - before >= 2000000);
    assert_true(coco__wall_ms() > INT64_C(1600000000000));
    assert_true(coco__random64() != coco__random64());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_gate_means_libc),
        TEST(zeroed_memory_is_zero),
        TEST(arena_memory_is_aligned_and_disjoint),
        TEST(arena_is_aligned_over_a_gate_that_is_not),
        TEST(arena_copy_ends_with_a_nul),
        TEST(empty_requests_get_a_pointer),
        TEST(arena_release_gives_back_what_was_taken_since),
        TEST(scratch_of_an_empty_arena_allocates_once),
        TEST(arena_reset_keeps_one_chunk_of_ordinary_size),
        TEST(arena_without_memory_stays_usable),
        TEST(buffer_reads_back_what_was_put),
        TEST(varints_of_all_sizes_read_back),
        TEST(malformed_varints_are_refused),
        TEST(reading_past_the_end_is_sticky),
        TEST(failed_growth_is_sticky),
        TEST(printf_grows_the_buffer),
        TEST(table_agrees_with_an_array),
        TEST(replacing_takes_the_new_key_pointer),
        TEST(table_without_memory_stays_as_it_was),
        TEST(set_holds_what_was_added),
        TEST(hash_is_the_same_on_every_machine),
        TEST(hash_sees_every_byte_and_the_length),
        TEST(hash_spreads_small_numbers),
        TEST(status_names_and_texts_come_from_the_list),
        TEST(error_message_may_quote_itself),
        TEST(long_message_is_cut_at_a_character),
        TEST(clocks_go_on_and_chance_differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
