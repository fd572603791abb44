/* Chunks in a function (spec: text.md): in cx's memory, as values, arguments and results, and the memory that takes. */
#include "harness.h"

#include "ops/text.h"

static coco_str input;              /* what the programs split */
static coco_chunks got;             /* valid during the update */
static char seen[1000];             /* what the programs saw, as text */

static void see(coco_str s)
{
    size_t n = strlen(seen);

    snprintf(seen + n, sizeof seen - n, "[%.*s]", (int)s.n, s.p);
}

COCO_FN(split_main, ())
{
    COCO_TRY(coco_split(cx, input, &(coco_split_opts){ .chunk_size = 8 }, &got));
    for (size_t i = 0; i < got.n; i++) see(got.items[i].text);
    return COCO_OK;
}

static void chunks_are_given_in_order(void **state)
{
    (void)state;
    input = COCO_STR("one two three four");
    program(&split_main);
    update(NULL);
    assert_string_equal(seen, "[one two][three][four]");
}

static void empty_text_has_no_chunks(void **state)
{
    (void)state;
    input = (coco_str){ 0 };
    program(&split_main);
    update(NULL);
    assert_string_equal(seen, "");
    assert_int_equal(got.n, 0);
}

COCO_FN(by_main, ())
{
    const char *const commas[] = { ",", NULL };

    COCO_TRY(coco_split_by(cx, input, &(coco_separator_opts){ .separators = commas }, &got));
    for (size_t i = 0; i < got.n; i++) see(got.items[i].text);
    return COCO_OK;
}

static void separators_work_in_a_function_too(void **state)
{
    (void)state;
    input = COCO_STR("a, b,,c");
    program(&by_main);
    update(NULL);
    assert_string_equal(seen, "[a][b][c]");
}

COCO_FN(wrong_main, ())
{
    const char *const open[] = { "(", NULL };

    return coco_split_by(cx, input, &(coco_separator_opts){ .separators = open }, &got);
}

/* The message is that of the function that failed. */
static void wrong_expression_fails_the_function(void **state)
{
    (void)state;
    input = COCO_STR("text");
    program(&wrong_main);
    update_fails(COCO_EPARSE, NULL);
    assert_non_null(strstr(w.err.msg, "missing closing parenthesis"));
    assert_int_equal(got.n, 0);
}

COCO_FN(map_main, ())
{
    coco_value map;
    coco_str text;

    COCO_TRY(coco_split(cx, input, &(coco_split_opts){ .chunk_size = 8 }, &got));
    for (size_t i = 0; i < got.n; i++) {
        COCO_TRY(coco_chunk_map(cx, &got.items[i], &map));
        COCO_TRY(coco_print(cx, map, &text));
        see(text);
    }
    return COCO_OK;
}

/* text.md: a chunk has text, start and end, each with byte, character, line and column. */
static void chunk_is_a_map_with_positions(void **state)
{
    (void)state;
    input = COCO_STR("\n\xC3\xA4 b");
    program(&map_main);
    update(NULL);
    assert_string_equal(seen, "[{\"text\":\"\xC3\xA4 b\","
                        "\"start\":{\"byte\":1,\"character\":1,\"line\":2,\"column\":1},"
                        "\"end\":{\"byte\":5,\"character\":4,\"line\":2,\"column\":4}}]");
}

/* A text that isn't UTF-8 can't be a text value. */
static void chunk_that_is_not_utf8_is_bytes(void **state)
{
    (void)state;
    input = COCO_STR("\xFFz");
    program(&map_main);
    update(NULL);
    assert_non_null(strstr(seen, "\"text\":b\"ff7a\""));
}

COCO_FN(upper, (coco_chunk *, chunk), .memo = true)
{
    see(chunk->text);
    return coco_return(cx, coco_int((int64_t)chunk->text.n + chunk->start.line));
}

COCO_FN(call_main, ())
{
    coco_value results[10];

    COCO_TRY(coco_split(cx, input, &(coco_split_opts){ .chunk_size = 8 }, &got));
    COCO_TRY(coco_map(cx, &upper, coco_chunk_values(cx, &got), got.n, COCO_NOARGS, results));
    for (size_t i = 0; i < got.n; i++)
        if (coco_int_of(results[i]) != (int64_t)got.items[i].text.n + got.items[i].start.line) return COCO_EFAIL;
    return COCO_OK;
}

/* Functions take chunks; a memoized one runs again for those alone that differ in text or place. */
static void functions_take_chunks_and_remember_them(void **state)
{
    (void)state;
    input = COCO_STR("one two\nthree\nfour");
    program(&call_main);
    update(NULL);
    assert_string_equal(seen, "[one two][three][four]");
    seen[0] = '\0';
    input = COCO_STR("one two\nthree\nFOUR");
    update(NULL);
    assert_string_equal(seen, "[FOUR]");
}

COCO_FN(first_of, (coco_str, text))
{
    COCO_TRY(coco_split(cx, text, &(coco_split_opts){ .chunk_size = 8 }, &got));
    return coco_return(cx, coco_chunk_value(&got.items[0]));
}

COCO_FN(return_main, ())
{
    coco_value v;

    COCO_TRY(coco_call(cx, &first_of, COCO_ARGS(coco_text_n(input)), &v));
    see(((coco_chunk *)coco_object_of(v, &coco_chunk_class))->text);
    return COCO_OK;
}

static void chunk_can_be_returned(void **state)
{
    (void)state;
    input = COCO_STR("one two three");
    program(&return_main);
    update(NULL);
    assert_string_equal(seen, "[one two]");
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Working memory of a splitting: bytes now and at most, blocks now, calls, and the call that fails (0: none). */
static struct working {
    size_t live, peak;
    long blocks, calls, fail_at;
} working;

static void *working_realloc(void *self, void *p, size_t n)
{
    size_t *h = p ? (size_t *)p - 2 : NULL;

    (void)self;
    if (n && ++working.calls == working.fail_at) return NULL;
    working.live = working.live + n - (h ? h[0] : 0);
    working.blocks += (n != 0) - (h != NULL);
    if (!n) {
        free(h);
        return NULL;
    }
    if (!(h = realloc(h, n + 2 * sizeof *h))) abort();
    h[0] = n;
    if (working.live > working.peak) working.peak = working.live;
    return h + 2;
}

COCO_FN(working_main, ())
{
    return coco_split(cx, input, &(coco_split_opts){ .chunk_size = 40, .allocator = { working_realloc, NULL } }, &got);
}

/* text.md: linear in memory. Beside the 64 bytes of each chunk, working memory is fixed but for a few bytes a chunk. */
static void chunk_costs_few_bytes_until_all_are_found(void **state)
{
    enum { N = 2000000 };
    char *text = malloc(N);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < N; i++) text[i] = i % 7 == 6 || i % 11 == 10 ? ' ' : 'a';
    input = (coco_str){ text, N };
    program(&working_main);
    update(NULL);
    assert_int_equal(sizeof(coco_chunk), 64);
    assert_true(got.n > 50000);
    assert_true(working.peak < 100000 + 6 * got.n);
    assert_int_equal(working.blocks, 0);
    free(text);
}

/* Each failure of working memory fails the function, and gives back what it took. */
static void function_fails_when_working_memory_does(void **state)
{
    (void)state;
    input = COCO_STR("one two three four five six seven eight nine ten eleven twelve thirteen");
    program(&working_main);
    for (working.fail_at = 1; working.fail_at < 100; working.fail_at++) {
        working.calls = 0;
        if (try_update(OPTS(.full_reprocess = true)) == COCO_OK) break;
        assert_int_equal(w.rc, COCO_ENOMEM);
        assert_int_equal(working.blocks, 0);
        assert_int_equal(got.n, 0);
    }
    assert_in_range(working.fail_at, 4, 99);
    assert_true(got.n > 1);
}

static int text_begin(void **state)
{
    seen[0] = '\0';
    got = (coco_chunks){ 0 };
    working = (struct working){ 0 };
    return world_begin(state);
}
#define CHUNK_TEST(f) cmocka_unit_test_setup_teardown(f, text_begin, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHUNK_TEST(chunks_are_given_in_order),
        CHUNK_TEST(empty_text_has_no_chunks),
        CHUNK_TEST(separators_work_in_a_function_too),
        CHUNK_TEST(wrong_expression_fails_the_function),
        CHUNK_TEST(chunk_is_a_map_with_positions),
        CHUNK_TEST(chunk_that_is_not_utf8_is_bytes),
        CHUNK_TEST(functions_take_chunks_and_remember_them),
        CHUNK_TEST(chunk_can_be_returned),
        CHUNK_TEST(chunk_costs_few_bytes_until_all_are_found),
        CHUNK_TEST(function_fails_when_working_memory_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
