/* test_results.c - large results of function memos, which are kept apart from them in pieces: they come out as they went
 * in, one is there for each memo and none beside, and they take little more room than their bytes. */
#include "raw.h"

#include <sys/stat.h>

#define MOST 300000

static char bytes[MOST];
static struct knobs {
    int64_t sizes[40];
    size_t n;
    int64_t salt;
} k;
static lines calls;

static int begin(void **state)
{
    memset(&k, 0, sizeof k);
    lines_clear(&calls);
    return world_begin(state);
}
static int end(void **state)
{
    lines_clear(&calls);
    return world_end(state);
}
#define RESULT_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#define run(opts) (lines_clear(&calls), update(opts))
#define expect_calls(...) LINES_EXPECT(&calls, __VA_ARGS__)
#define SIZES(...) \
    do { \
        const int64_t sizes__[] = { __VA_ARGS__ }; \
        k.n = sizeof sizes__ / sizeof sizes__[0]; \
        memcpy(k.sizes, sizes__, sizeof sizes__); \
    } while (0)

static char byte_at(size_t i, size_t size, int64_t salt)
{ return (char)('a' + (i * 7 + i / 251 + size + (size_t)salt) % 26); }

/* So many bytes. */
COCO_FN(large, (int64_t, size), .memo = true)
{
    lines_add(&calls, "%lld", (long long)size);
    for (size_t i = 0; i < (size_t)size; i++) bytes[i] = byte_at(i, (size_t)size, k.salt);
    return coco_return(cx, coco_text_n((coco_str){ bytes, (size_t)size }));
}

COCO_FN(uses_large, ())
{
    for (size_t i = 0; i < k.n; i++) {
        coco_value v;
        COCO_TRY(coco_call(cx, &large, COCO_ARGS(coco_int(k.sizes[i])), &v));
        coco_str text = coco_text_of(v);
        if (text.n != (size_t)k.sizes[i]) return coco_fail(cx, COCO_EFAIL, "%zu bytes", text.n);
        for (size_t at = 0; at < text.n; at++)
            if (text.p[at] != byte_at(at, text.n, k.salt)) return coco_fail(cx, COCO_EFAIL, "another byte at %zu", at);
    }
    return COCO_OK;
}

/* How many results are kept apart. */
static size_t results_apart(void)
{
    MDB_cursor *cur;
    MDB_val key, v;
    uint8_t last[8] = { 0 };
    size_t n = 0;

    raw_begin();
    assert_int_equal(mdb_cursor_open(txn, dbi, &cur), 0);
    while (mdb_cursor_get(cur, &key, &v, MDB_NEXT) == 0) {
        const uint8_t *b = key.mv_data;
        if (*b != COCO__RESULT || memcmp(b + 1, last, 8) == 0) continue;
        memcpy(last, b + 1, 8);
        n++;
    }
    mdb_cursor_close(cur);
    raw_end();
    return n;
}

static lines problems;

static coco_status note_problem(void *user, const coco_problem *p)
{
    (void)user;
    lines_add(&problems, "%s%s", p->repaired ? "repaired " : "", p->what);
    return COCO_OK;
}

static coco_status check(bool mend)
{
    const coco_check_visitor v = { NULL, note_problem };

    lines_clear(&problems);
    assert_int_equal(open_world(), COCO_OK);
    return coco_check(w.env, "test", &(coco_check_opts){ .repair = mend, .same_process = true }, &v, &w.err);
}

static void is_sound(void)
{
    if (check(false) == COCO_OK) return;
    for (size_t i = 0; i < problems.n; i++) print_error("  %s\n", problems.v[i]);
    fail_msg("%s", w.err.msg);
}

/* ---- Keeping ----------------------------------------------------------------------------------------------------- */

/* S6.2: at the lengths at which the layout changes, too. */
static void result_of_any_length_comes_out_as_it_went_in(void **state)
{
    enum { P = COCO__PIECE };

    (void)state;
    SIZES(0, 1, P - 8, P - 7, P - 6, P - 5, P - 4, P - 3, P - 2, P - 1, P, P + 1, 2 * P - 6, 2 * P, 2 * P + 1, 3 * P - 4,
          64 * P - 8, 64 * P - 7, 64 * P - 6, 64 * P - 5, 64 * P - 4, 64 * P - 3, 64 * P - 2, 64 * P - 1, 64 * P,
          64 * P + 1, 100 * P, MOST);
    program(&uses_large);
    run(NULL);
    assert_int_equal(calls.n, k.n);
    is_sound();
    restart();
    run(NULL);
    expect_calls(NULL);
    expect_nothing_written();
}

/* S6.5 */
static void changed_large_result_takes_the_place_of_the_one_before(void **state)
{
    (void)state;
    SIZES(1000, 2000, 100000);
    program(&uses_large);
    run(NULL);
    assert_int_equal(results_apart(), 3);
    large.version = 2;
    k.salt = 1;
    run(NULL);
    expect_calls("1000", "2000", "100000");
    assert_int_equal(results_apart(), 3);
    is_sound();
    run(OPTS(.full_reprocess = true));
    expect_calls("1000", "2000", "100000");
    assert_int_equal(results_apart(), 3);
    is_sound();
    run(NULL);
    expect_calls(NULL);
    large.version = 0;
}

COCO_FN(as_told, (int64_t, id), .memo = true)
{
    (void)id;
    return coco_return(cx, coco_text_n((coco_str){ bytes, (size_t)k.salt }));
}
COCO_FN(uses_as_told, ())
{
    coco_value v;

    COCO_TRY(coco_call(cx, &as_told, COCO_ARGS(coco_int(1)), &v));
    return coco_text_of(v).n == (size_t)k.salt ? COCO_OK : coco_fail(cx, COCO_EFAIL, "%zu bytes", coco_text_of(v).n);
}

static void result_that_became_small_is_kept_with_its_memo(void **state)
{
    static const int64_t sizes[] = { 5000, 3, 900, 40000, 2, 700, 0 };

    (void)state;
    program(&uses_as_told);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        as_told.version = (int)i + 1;
        k.salt = sizes[i];
        run(NULL);
        assert_int_equal(results_apart(), sizes[i] > 100);
        is_sound();
        restart();
        run(NULL);
        expect_nothing_written();
    }
    as_told.version = 0;
}

/* S6.5 */
static void large_result_that_nobody_lists_is_swept(void **state)
{
    (void)state;
    SIZES(1000, 2000, 100000);
    program(&uses_large);
    run(NULL);
    SIZES(2000);
    run(NULL);
    assert_int_equal(results_apart(), 1);
    is_sound();
    k.n = 0;
    run(NULL);
    assert_int_equal(results_apart(), 0);
    is_sound();
    SIZES(1000);
    run(NULL);
    expect_calls("1000");
}

#ifndef COCO_SMALL
COCO_FN(vector_of, (int64_t, n), .memo = true)
{
    float v[384];

    for (int i = 0; i < 384; i++) v[i] = (float)n / (float)(i + 1);
    return coco_return(cx, coco_vector(v, 384));
}
COCO_FN(uses_vectors, ())
{
    for (int64_t i = 0; i < k.salt; i++) COCO_TRY(coco_call(cx, &vector_of, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* Under their fingerprints they take 3,500. */
static void vectors_of_1536_bytes_take_at_most_2300_each(void **state)
{
    char path[100];
    struct stat st;

    (void)state;
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    k.salt = 4000;
    program(&uses_vectors);
    run(NULL);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size < 4000 * 2300);
    is_sound();
    run(NULL);
    expect_nothing_written();
}
#endif

/* ---- Damage ------------------------------------------------------------------------------------------------------ */

/* Takes away the n-th piece (from the last), or turns a bit of it. */
static void harm_piece(size_t n, bool away)
{
    MDB_cursor *cur;
    MDB_val key, v;
    static char copy[4096];

    raw_begin();
    assert_int_equal(mdb_cursor_open(txn, dbi, &cur), 0);
    assert_int_equal(mdb_cursor_get(cur, &key, &v, MDB_LAST), 0);
    while (n--) assert_int_equal(mdb_cursor_get(cur, &key, &v, MDB_PREV), 0);
    assert_int_equal(*(char *)key.mv_data, COCO__RESULT);
    assert_true(v.mv_size <= sizeof copy);
    memcpy(copy, v.mv_data, v.mv_size);
    copy[v.mv_size - 1] ^= 1;
    v.mv_data = copy;
    assert_int_equal(away ? mdb_cursor_del(cur, 0) : mdb_cursor_put(cur, &key, &v, MDB_CURRENT), 0);
    mdb_cursor_close(cur);
    raw_end();
    w.unsound = true;
}

/* S11.4 */
static void result_with_a_piece_lost_is_an_error_until_repaired(void **state)
{
    (void)state;
    SIZES(1000, 1200);
    program(&uses_large);
    for (int away = 0; away < 2; away++)
        for (size_t n = 0; n < 3; n++) {
            run(NULL);
            harm_piece(n, away);
            update_fails(COCO_ECORRUPT, NULL);
            assert_non_null(strstr(w.err.msg, away ? "malformed result of a function memo" : "record V"));
            assert_int_equal(check(false), COCO_ECORRUPT);
            assert_int_equal(check(true), COCO_OK);
            is_sound();
            assert_int_equal(results_apart(), 1);
            run(NULL);
            assert_int_equal(calls.n, 1);
            assert_int_equal(results_apart(), 2);
        }
}

/* S11.4 */
static void result_without_a_memo_is_found_and_goes(void **state)
{
    static raw_record r[60];

    (void)state;
    SIZES(1000);
    program(&uses_large);
    run(NULL);
    raw_begin();
    for (size_t i = 0, n = raw_read(COCO__RESULT, r, 60); i < n; i++) {
        r[i].key[8]++;
        raw_put(r[i].key, r[i].nkey, r[i].payload, r[i].n);
    }
    raw_end();
    w.unsound = true;
    assert_int_equal(check(false), COCO_ECORRUPT);
    LINES_EXPECT(&problems, "a result belongs to no function memo");
    assert_int_equal(check(true), COCO_OK);
    is_sound();
    assert_int_equal(results_apart(), 1);
    run(NULL);
    expect_calls(NULL);
}

/* S11.4 */
static void result_of_two_memos_is_left_to_one(void **state)
{
    static raw_record r[2];

    (void)state;
    SIZES(1000, 1000 + 26);
    program(&uses_large);
    run(NULL);
    raw_begin();
    assert_int_equal(raw_read(COCO__MEMO, r, 2), 2);
    raw_put(r[0].key, r[0].nkey, r[1].payload, r[1].n);
    raw_end();
    w.unsound = true;
    assert_int_equal(check(false), COCO_ECORRUPT);
    assert_int_equal(check(true), COCO_OK);
    is_sound();
    assert_int_equal(results_apart(), 1);
}

/* Behind what is no record of this library's nothing can be appended; it is put in its place then. */
static void results_are_kept_before_records_of_no_known_kind(void **state)
{
    static const char key[] = "~~~~~~~~~~~~";

    (void)state;
    SIZES(1000);
    program(&uses_large);
    run(NULL);
    raw_begin();
    raw_put(key, sizeof key, "?", 1);
    raw_end();
    w.unsound = true;
    SIZES(1000, 1200);
    run(NULL);
    expect_calls("1200");
    assert_int_equal(results_apart(), 2);
    assert_int_equal(check(true), COCO_OK);
    is_sound();
    run(NULL);
    expect_calls(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RESULT_TEST(result_of_any_length_comes_out_as_it_went_in),
        RESULT_TEST(changed_large_result_takes_the_place_of_the_one_before),
        RESULT_TEST(result_that_became_small_is_kept_with_its_memo),
        RESULT_TEST(large_result_that_nobody_lists_is_swept),
#ifndef COCO_SMALL
        RESULT_TEST(vectors_of_1536_bytes_take_at_most_2300_each),
#endif
        RESULT_TEST(result_with_a_piece_lost_is_an_error_until_repaired),
        RESULT_TEST(result_without_a_memo_is_found_and_goes),
        RESULT_TEST(result_of_two_memos_is_left_to_one),
        RESULT_TEST(results_are_kept_before_records_of_no_known_kind),
    };

    return cmocka_run_group_tests_name("results", tests, NULL, NULL);
}
