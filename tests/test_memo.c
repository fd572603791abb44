/* test_memo.c - what isn't run again, and why: component memos, function memos, memo states, recheck, cost.
 *
 * The program of most tests mounts one component for each of the given items at /KEY, and calls or declares in it.
 * Bodies write a line when they run, so that `expect_calls` tells what ran and in which order. */
#include "harness.h"

#include <sys/stat.h>

typedef struct doc { /* an input with a stamp, as a file has: what stands here is "on disk" */
    const char *name, *content;
    int64_t stamp;
    int reads; /* of its content */
} doc;

typedef struct item {
    const char *key;
    int64_t n;
} item;

static struct knobs {
    item items[600];
    size_t nitems;
    const coco_fn *item; /* takes n and the table */
    int64_t fail_at, hidden, stop_at;
    int times;
    bool flag;
} k;
static lines calls;
static doc docs[4];

static int begin(void **state)
{
    memset(&k, 0, sizeof k);
    lines_clear(&calls);
    docs[0] = (doc){ "a", "alpha", 1, 0 };
    docs[1] = (doc){ "b", "beta", 1, 0 };
    docs[2] = docs[3] = (doc){ 0 };
    return world_begin(state);
}
static int end(void **state)
{
    lines_clear(&calls);
    return world_end(state);
}
#define MEMO_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#define run(opts) (lines_clear(&calls), update(opts))
#define run_fails(rc, opts) (lines_clear(&calls), update_fails(rc, opts))
#define expect_calls(...) LINES_EXPECT(&calls, __VA_ARGS__)
#define ITEMS(...) \
    do { \
        const item items__[] = { __VA_ARGS__ }; \
        k.nitems = sizeof items__ / sizeof items__[0]; \
        memcpy(k.items, items__, sizeof items__); \
    } while (0)

static void called(const char *what, int64_t n) { lines_add(&calls, "%s %lld", what, (long long)n); }

/* Each item at a path of its own. */
COCO_FN(each_item, ())
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    for (size_t i = 0; i < k.nitems; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_text(k.items[i].key)), k.item,
                            COCO_ARGS(coco_int(k.items[i].n), coco_target_value(tab)), NULL));
    return COCO_OK;
}

static void items_run(const coco_fn *fn)
{
    k.item = fn;
    program(&each_item);
}

/* ---- Component memos --------------------------------------------------------------------------------------------- */

COCO_FN(row, (int64_t, n, coco_target *, tab), .memo = true)
{
    called("row", n);
    if (k.fail_at == n) return coco_fail(cx, COCO_EFAIL, "bad row");
    return coco_declare(cx, tab, coco_int(n), coco_int(n * 10 + k.hidden));
}

/* S6.1 */
static void unchanged_component_is_not_run_and_its_states_stay(void **state)
{
    (void)state;
    items_run(&row);
    ITEMS({ "a", 1 }, { "b", 2 });
    run(NULL);
    expect_calls("row 1", "row 2");
    run(NULL);
    expect_calls(NULL);
    expect_hits("/\"a\"", "/\"b\"");
    expect_actions(NULL);
    expect_nothing_written();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
}

#define LONG_WORD "a word of more than thirty-two bytes, of which a fingerprint is kept"
static const char *words[3];

COCO_FN(three_words, (const char *, one, const char *, two, const char *, three), .memo = true)
{
    (void)one, (void)two, (void)three;
    return cx ? COCO_OK : COCO_EINVAL;
}
COCO_FN(words_main, ())
{
    return coco_mount(cx, COCO_PATH(coco_text("word")), &three_words,
                      COCO_ARGS(coco_text(words[0]), coco_text(words[1]), coco_text(words[2])), NULL);
}

/* S4.10: also where the key is too long to be kept, or becomes so, or no longer is. */
static void miss_names_the_argument_that_changed(void **state)
{
    static const struct { const char *words[3], *why; } steps[] = {
        { { "a", "b", "c" }, "never run" },
        { { "a", "bb", "c" }, "input changed (argument two)" },
        { { "a", "bb", "cc" }, "input changed (argument three)" },
        { { "", "bb", "cc" }, "input changed (argument one)" },
        { { "", "bb", LONG_WORD },
          "input changed (argument three)" },
        { { "", "b", LONG_WORD }, "input changed (argument two)" },
        { { LONG_WORD, "b", "c" },
          "input changed (argument one)" },
        { { "a", "b", "c" }, "input changed (argument one)" },
        /* the component's own key is left out where an argument ends with it */
        { { "word", "b", "c" }, "input changed (argument one)" },
        { { "a word", "b", "c" }, "input changed (argument one)" },
        { { "a word", "b", "crossword" }, "input changed (argument three)" },
        { { "a word", "b", "sword" }, "input changed (argument three)" },
        { { "a word", "b", LONG_WORD "word" }, "input changed (argument three)" },
        { { "word", "b", LONG_WORD "word" }, "input changed (argument one)" },
        { { "", "b", LONG_WORD }, "input changed (argument one)" },
    };
    char line[200];

    (void)state;
    program(&words_main);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        memcpy(words, steps[i].words, sizeof words);
        update(NULL);
        snprintf(line, sizeof line, "/\"word\" %s", steps[i].why);
        expect_why(i ? "/ not memoized" : "/ never run", line);
        update(NULL);
        expect_hits("/\"word\"");
    }
}

/* S6.1 */
static void changed_argument_runs_that_component_alone(void **state)
{
    (void)state;
    items_run(&row);
    ITEMS({ "a", 1 }, { "b", 2 });
    run(NULL);
    ITEMS({ "a", 1 }, { "b", 3 });
    run(NULL);
    expect_calls("row 3");
    expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/\"b\" input changed (argument n)");
    expect_actions("- tab:2", "+ tab:3");
}

COCO_FN(leaf, (int64_t, n, coco_target *, tab))
{
    called("leaf", n);
    return coco_declare(cx, tab, coco_int(n), coco_int(n));
}
COCO_FN(branch, (int64_t, n, coco_target *, tab), .memo = true)
{
    called("branch", n);
    return coco_mount(cx, COCO_PATH(coco_text("leaf")), &leaf, COCO_ARGS(coco_int(n), coco_target_value(tab)), NULL);
}

/* S6.1 */
static void nothing_below_a_hit_runs(void **state)
{
    (void)state;
    items_run(&branch);
    ITEMS({ "a", 1 });
    run(NULL);
    expect_calls("branch 1", "leaf 1");
    run(NULL);
    expect_calls(NULL);
    expect_hits("/\"a\"");
    expect_nothing_written();
    leaf.version = 7;
    run(NULL);
    leaf.version = 0;
    expect_calls("branch 1", "leaf 1");
}

COCO_FN(answer, (int64_t, n, coco_target *, tab), .memo = true)
{
    (void)tab;
    called("answer", n);
    return coco_return(cx, coco_list((const coco_value[]){ coco_text("forty"), coco_int(n) }, 2));
}
COCO_FN(asks, ())
{
    coco_target *tab;
    coco_value v;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    COCO_TRY(coco_use_mount(cx, COCO_AUTO, &answer, COCO_ARGS(coco_int(2), coco_target_value(tab)), &v));
    return coco_return(cx, v);
}

/* S6.1 */
static void hit_gives_the_stored_value_of_a_used_component(void **state)
{
    (void)state;
    program(&asks);
    for (int i = 0; i < 2; i++) {
        run(NULL);
        assert_int_equal(calls.n, i == 0);
        assert_int_equal(coco_int_of(coco_at(w.result.value, 1)), 2);
        assert_true(coco_str_equal(coco_text_of(coco_at(w.result.value, 0)), COCO_STR("forty")));
    }
}

/* S6.1: a memo that mounts children reads no source, neither itself nor below. */
COCO_FN(lists_below, (int64_t, n, coco_target *, tab))
{
    coco_value key = coco_int(n);

    return coco_mount_each(cx, COCO_AUTO, &leaf, coco_source_of(cx, &key, &key, 1), COCO_ARGS(coco_target_value(tab)));
}
COCO_FN(lists, (int64_t, n, coco_target *, tab), .memo = true)
{
    return coco_mount(cx, COCO_AUTO, &lists_below, COCO_ARGS(coco_int(n), coco_target_value(tab)), NULL);
}
static void no_source_is_read_below_a_memoized_component(void **state)
{
    (void)state;
    items_run(&lists);
    ITEMS({ "a", 1 });
    run_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.failures.v[0], "COCO_EMEMO"));
}

/* S6.11: a failure before the precommit leaves the memo as it was. */
static void failed_run_leaves_the_memo_as_it_was(void **state)
{
    (void)state;
    items_run(&row);
    ITEMS({ "a", 1 });
    run(NULL);
    ITEMS({ "a", 2 });
    k.fail_at = 2;
    run_fails(COCO_EFAIL, NULL);
    ITEMS({ "a", 1 });
    run(NULL);
    expect_calls(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
}

/* S6.11 */
static void failure_after_the_precommit_makes_the_next_run_a_miss(void **state)
{
    (void)state;
    items_run(&row);
    ITEMS({ "a", 1 });
    run(NULL);
    row.version = 2;
    k.hidden = 5;
    fault_on("tab:1", -1, false);
    run_fails(COCO_EFAIL, NULL);
    faults_clear();
    row.version = 0;
    run(NULL);
    expect_calls("row 1");
    expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/\"a\" pending");
    expect_actions("~ tab:1");
    run(NULL);
    expect_calls(NULL);
}

/* S6.6 */
static void full_reprocess_ignores_memos_and_applies_everything_again(void **state)
{
    (void)state;
    items_run(&row);
    ITEMS({ "a", 1 }, { "b", 2 });
    run(NULL);
    ITEMS({ "a", 1 });
    run(OPTS(.full_reprocess = true));
    expect_calls("row 1");
    expect_actions("~ shelf:\"tab\"", "~ tab:1", "- tab:2");
    run(NULL);
    expect_calls(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
}

/* ---- Function memos ---------------------------------------------------------------------------------------------- */

COCO_FN(twice, (int64_t, n), .memo = true)
{
    called("twice", n);
    if (k.fail_at == n) return coco_fail(cx, COCO_EFAIL, "no twice of %lld", (long long)n);
    coco_cost(cx, 3);
    return coco_return(cx, coco_int(2 * n + k.hidden));
}
COCO_FN(uses_twice, (int64_t, n, coco_target *, tab))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &twice, COCO_ARGS(coco_int(n)), &v));
    if (k.flag) COCO_TRY(coco_declare(cx, tab, coco_int(n), v));
    return COCO_OK;
}

/* S6.2 */
static void memoized_call_gives_the_stored_value_without_running(void **state)
{
    (void)state;
    items_run(&uses_twice);
    k.flag = true;
    ITEMS({ "a", 21 });
    run(NULL);
    expect_calls("twice 21");
    expect_events("call miss", "/\"a\" twice never run");
    run(NULL);
    expect_calls(NULL);
    expect_events("call hit", "/\"a\" twice");
    expect_nothing_written();
    expect_shelf("shelf:\"tab\" = null", "tab:21 = 42");
}

/* S6.5 */
static void two_components_share_one_result(void **state)
{
    (void)state;
    items_run(&uses_twice);
    ITEMS({ "a", 1 }, { "b", 1 }, { "c", 1 });
    run(NULL);
    expect_calls("twice 1");
    run(NULL);
    expect_calls(NULL);
    expect_nothing_written();
}

COCO_FN(uses_one, (int64_t, n, coco_target *, tab))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &twice, COCO_ARGS(coco_int(1)), &v));
    return coco_declare(cx, tab, coco_int(n), v);
}

/* S6.5, S6.6: the rounds of a full run don't make it forget what it has computed. */
static void full_reprocess_computes_a_shared_result_once(void **state)
{
    (void)state;
    items_run(&uses_one);
    w.config.max_inflight = 1;
    ITEMS({ "a", 1 }, { "b", 2 }, { "c", 3 });
    run(NULL);
    expect_calls("twice 1");
    k.hidden = 1;
    run(OPTS(.full_reprocess = true));
    expect_calls("twice 1");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 3", "tab:2 = 3", "tab:3 = 3");
    run(NULL);
    expect_calls(NULL);
}

/* S6.5 */
static void renamed_item_finds_its_result_again(void **state)
{
    (void)state;
    items_run(&uses_twice);
    ITEMS({ "a", 1 }, { "b", 2 });
    run(NULL);
    ITEMS({ "z", 1 }, { "b", 2 });
    run(NULL);
    expect_calls(NULL);
    ITEMS({ "y", 1 }, { "x", 2 });
    run(NULL);
    expect_calls(NULL);
    expect_nothing_written();
}

/* S6.5 */
static void result_that_nobody_lists_is_swept(void **state)
{
    (void)state;
    items_run(&uses_twice);
    ITEMS({ "a", 1 }, { "b", 1 }, { "c", 2 });
    run(NULL);
    ITEMS({ "b", 1 });
    run(NULL);
    run(NULL);
    ITEMS({ "b", 1 }, { "c", 2 });
    run(NULL);
    expect_calls("twice 2");
}

/* S6.5: a changed dependency replaces the value in place. */
static void changed_logic_replaces_the_result(void **state)
{
    (void)state;
    items_run(&uses_twice);
    k.flag = true;
    ITEMS({ "a", 1 });
    run(NULL);
    twice.version = 2;
    k.hidden = 100;
    run(NULL);
    expect_calls("twice 1");
    expect_events("call miss", "/\"a\" twice logic changed (function twice)");
    run(NULL);
    expect_calls(NULL);
    expect_nothing_written();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 102");
    twice.version = 0;
}

COCO_FN(many, ())
{
    coco_value v;

    for (int64_t i = 0; i < 500; i++) COCO_TRY(coco_call(cx, &twice, COCO_ARGS(coco_int(i)), &v));
    return COCO_OK;
}

/* S6.5 */
static void results_before_a_failure_survive_it(void **state)
{
    (void)state;
    program(&many);
    k.fail_at = 499;
    run_fails(COCO_EFAIL, NULL);
    assert_int_equal(calls.n, 500);
    restart();
    run_fails(COCO_EFAIL, NULL);
    expect_calls("twice 499");
    k.fail_at = -1;
    run(NULL);
    expect_calls("twice 499");
    expect_nothing_written();
}

COCO_FN(stops, ())
{
    coco_value v;

    for (int64_t i = 0; i < 5; i++) {
        if (i == k.stop_at) coco_app_stop(w.app);
        COCO_TRY(coco_call(cx, &twice, COCO_ARGS(coco_int(i)), &v));
    }
    return COCO_OK;
}

/* S6.5: a stopped update isn't a successful one. */
static void results_before_a_stop_survive_it(void **state)
{
    (void)state;
    program(&stops);
    k.fail_at = -1;
    k.stop_at = 3;
    run_fails(COCO_ESTOP, NULL);
    expect_calls("twice 0", "twice 1", "twice 2");
    k.stop_at = -1;
    run(NULL);
    expect_calls("twice 3", "twice 4");
}

/* S6.5: a failed component lists nothing; its results wait for the next update, and go with the first that succeeds. */
static void results_of_a_failed_item_go_with_the_next_success(void **state)
{
    (void)state;
    items_run(&uses_twice);
    ITEMS({ "a", 1 });
    k.flag = true;
    fault_on("tab:1", -1, false);
    run_fails(COCO_EFAIL, NULL);
    faults_clear();
    k.nitems = 0;
    run(NULL);
    ITEMS({ "a", 1 });
    run(NULL);
    expect_calls("twice 1");
}

/* S6.5, S3.11, S7.12: neither a partial update sweeps, nor does a preview store. */
static void partial_update_and_preview_leave_the_results_as_they_are(void **state)
{
    (void)state;
    items_run(&uses_twice);
    ITEMS({ "a", 1 }, { "b", 2 });
    run(OPTS(.preview = true));
    run(NULL);
    expect_calls("twice 1", "twice 2");
    ITEMS({ "a", 3 }, { "b", 2 });
    run(OPTS(.only = "/\"a\""));
    expect_calls("twice 3");
    ITEMS({ "a", 1 }, { "b", 2 });
    run(NULL);
    expect_calls(NULL); /* nobody listed it for a while, but nothing swept it */
}

/* S8.6, S6.5: results reach the disk while a long component still runs, so that a crash costs little. */
COCO_FN(saves, ())
{
    coco_value v;

    for (int64_t i = 0; i < 5000; i++) COCO_TRY(coco_call(cx, &twice, COCO_ARGS(coco_int(i)), &v));
    db_save();
    return COCO_OK;
}
static void results_of_a_long_component_are_stored_while_it_runs(void **state)
{
    (void)state;
    program(&saves);
    k.fail_at = -1;
    run(NULL);
    db_crash();
    run(NULL);
    assert_true(calls.n < 4000);
}

/* S4.8 */
static void failure_is_not_cached(void **state)
{
    (void)state;
    items_run(&uses_twice);
    ITEMS({ "a", 1 });
    k.fail_at = 1;
    run_fails(COCO_EFAIL, NULL);
    k.fail_at = 0;
    run(NULL);
    expect_calls("twice 1");
}

COCO_FN(inner, (int64_t, n), .memo = true)
{
    called("inner", n);
    return coco_return(cx, coco_int(n + 1));
}
COCO_FN(plain, (int64_t, n))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &inner, COCO_ARGS(coco_int(n)), &v));
    return coco_return(cx, v);
}
COCO_FN(outer, (int64_t, n), .memo = true)
{
    coco_value v;

    called("outer", n);
    COCO_TRY(coco_call(cx, &plain, COCO_ARGS(coco_int(n)), &v));
    return coco_return(cx, v);
}
COCO_FN(uses_outer, (int64_t, n, coco_target *, tab))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &outer, COCO_ARGS(coco_int(n)), &v));
    return coco_declare(cx, tab, coco_int(n), v);
}

/* S6.2 */
static void nested_results_that_a_hit_used_stay_alive(void **state)
{
    (void)state;
    items_run(&uses_outer);
    ITEMS({ "a", 1 });
    run(NULL);
    expect_calls("outer 1", "inner 1");
    run(NULL);
    expect_calls(NULL);
    ITEMS({ "b", 1 });
    run(NULL);
    expect_calls(NULL);
    outer.version = 3;
    run(NULL);
    outer.version = 0;
    expect_calls("outer 1");
}

/* S4.1 */
static void hit_reports_its_dependencies_upward(void **state)
{
    (void)state;
    items_run(&uses_outer);
    ITEMS({ "a", 1 });
    run(NULL);
    outer.version = 3; /* runs again, inner hits */
    run(NULL);
    expect_calls("outer 1");
    inner.version = 3;
    run(NULL);
    outer.version = inner.version = 0;
    expect_calls("outer 1", "inner 1");
}

COCO_FN(fib, (int64_t, n), .memo = true)
{
    coco_value a = coco_int(n), b = coco_int(0);

    called("fib", n);
    if (n > 1) {
        COCO_TRY(coco_call(cx, &fib, COCO_ARGS(coco_int(n - 1)), &a));
        COCO_TRY(coco_call(cx, &fib, COCO_ARGS(coco_int(n - 2)), &b));
    }
    return coco_return(cx, coco_int(coco_int_of(a) + coco_int_of(b)));
}
COCO_FN(uses_fib, (int64_t, n, coco_target *, tab))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &fib, COCO_ARGS(coco_int(n)), &v));
    return coco_declare(cx, tab, coco_int(n), v);
}

/* S6.2: what is used many times is listed once. */
static void deep_recursion_lists_each_result_once(void **state)
{
    (void)state;
    items_run(&uses_fib);
    ITEMS({ "a", 60 });
    run(NULL);
    assert_int_equal(calls.n, 61);
    ITEMS({ "a", 61 });
    run(NULL);
    expect_calls("fib 61");
    assert_non_null(shelf_find("tab:61"));
    assert_string_equal(shelf_find("tab:61")->value, "2504730781961");
}

COCO_FN(cycle, (int64_t, n), .memo = true)
{
    coco_value v = coco_null();

    called("cycle", n);
    if (k.times++ < 1) COCO_TRY(coco_call(cx, &cycle, COCO_ARGS(coco_int(n)), &v));
    return coco_return(cx, coco_int(7));
}
COCO_FN(uses_cycle, (int64_t, n, coco_target *, tab))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &cycle, COCO_ARGS(coco_int(n)), &v));
    return coco_declare(cx, tab, coco_int(n), v);
}

/* S6.5 */
static void call_that_reaches_its_own_key_runs_unmemoized(void **state)
{
    (void)state;
    items_run(&uses_cycle);
    ITEMS({ "a", 1 });
    run(NULL);
    expect_calls("cycle 1", "cycle 1");
    run(NULL);
    expect_calls(NULL);
    expect_nothing_written();
}

COCO_FN(big, (int64_t, n), .memo = true)
{
    char text[1600];

    called("big", n);
    memset(text, 'x', sizeof text);
    return coco_return(cx, coco_text_n((coco_str){ text, sizeof text }));
}
COCO_FN(uses_big, (int64_t, n, coco_target *, tab))
{
    coco_value v;

    (void)tab, (void)n;
    COCO_TRY(coco_call(cx, &big, COCO_ARGS(coco_int(1)), &v));
    return coco_count(v) == 1600 ? COCO_OK : COCO_EFAIL;
}

/* S6.5 */
static void large_shared_result_is_stored_once(void **state)
{
    char path[100];
    struct stat st;

    (void)state;
    items_run(&uses_big);
    static char names[500][8];
    for (k.nitems = 0; k.nitems < 500; k.nitems++) {
        snprintf(names[k.nitems], sizeof names[0], "%zu", k.nitems);
        k.items[k.nitems].key = names[k.nitems];
    }
    run(NULL);
    expect_calls("big 1");
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size < 400 * 1024);
    run(NULL);
    expect_calls(NULL);
}

/* ---- Memos that belong to a component ---------------------------------------------------------------------------- */

COCO_FN(puts_row, (int64_t, n, coco_target *, tab), .memo = true)
{
    called("puts_row", n);
    return coco_declare(cx, tab, coco_int(n), coco_int(n + k.hidden));
}
COCO_FN(uses_puts_row, (int64_t, n, coco_target *, tab))
{
    for (int64_t i = 0; i < n; i++)
        COCO_TRY(coco_call(cx, &puts_row, COCO_ARGS(coco_int(i), coco_target_value(tab)), NULL));
    return COCO_OK;
}

/* S6.2 */
static void what_a_stored_call_declared_stays_declared(void **state)
{
    (void)state;
    items_run(&uses_puts_row);
    ITEMS({ "a", 2 });
    run(NULL);
    expect_calls("puts_row 0", "puts_row 1");
    run(NULL);
    expect_calls(NULL);
    expect_nothing_written();
    ITEMS({ "a", 1 });
    run(NULL);
    expect_actions("- tab:1");
    ITEMS({ "a", 2 });
    run(NULL);
    expect_calls("puts_row 1");
    expect_shelf("shelf:\"tab\" = null", "tab:0 = 0", "tab:1 = 1");
}

/* S6.5: such an entry isn't found by another component. */
static void call_that_declared_belongs_to_its_component(void **state)
{
    (void)state;
    items_run(&uses_puts_row);
    ITEMS({ "a", 1 });
    run(NULL);
    ITEMS({ "b", 1 });
    run(NULL);
    expect_calls("puts_row 0");
    expect_shelf("shelf:\"tab\" = null", "tab:0 = 0");
}

COCO_FN(may_put_row, (int64_t, n, coco_target *, tab), .memo = true)
{
    called("may_put_row", n);
    return k.hidden ? COCO_OK : coco_declare(cx, tab, coco_int(n), coco_int(n));
}
COCO_FN(uses_may_put_row, (int64_t, n, coco_target *, tab))
{
    (void)n;
    return coco_call(cx, &may_put_row, COCO_ARGS(coco_int(7), coco_target_value(tab)), NULL);
}

/* S6.2, S6.5: then its memo is the app's, also for a component that has one of its own of before. */
static void call_that_declares_no_more_runs_once_for_all(void **state)
{
    (void)state;
    w.config.max_inflight = 1; /* what was computed for one is stored when the next asks */
    items_run(&uses_may_put_row);
    ITEMS({ "a", 1 });
    run(NULL);
    expect_calls("may_put_row 7");
    may_put_row.version = 2;
    k.hidden = 1;
    ITEMS({ "0", 1 }, { "a", 1 });
    run(NULL);
    expect_calls("may_put_row 7");
    expect_actions("- tab:7");
    may_put_row.version = 0;
    k.hidden = 0;
}

/* S6.11 */
static void stored_call_whose_state_is_in_flight_runs_again(void **state)
{
    (void)state;
    items_run(&uses_puts_row);
    ITEMS({ "a", 1 });
    run(NULL);
    puts_row.version = 2;
    k.hidden = 1;
    fault_on("tab:0", -1, false);
    run_fails(COCO_EFAIL, NULL);
    faults_clear();
    puts_row.version = 0;
    k.hidden = 0;
    run(NULL);
    expect_calls("puts_row 0");
    expect_actions("~ tab:0");
    run(NULL);
    expect_calls(NULL);
}

COCO_FN(wraps, (int64_t, n, coco_target *, tab), .memo = true)
{
    called("wraps", n);
    return coco_call(cx, &puts_row, COCO_ARGS(coco_int(n), coco_target_value(tab)), NULL);
}
COCO_FN(uses_wraps, (int64_t, n, coco_target *, tab))
{
    return coco_call(cx, &wraps, COCO_ARGS(coco_int(n), coco_target_value(tab)), NULL);
}

/* S6.2 */
static void nested_calls_that_declared_stay_alive_under_a_hit(void **state)
{
    (void)state;
    items_run(&uses_wraps);
    ITEMS({ "a", 1 });
    run(NULL);
    expect_calls("wraps 1", "puts_row 1");
    run(NULL);
    expect_calls(NULL);
    expect_nothing_written();
    wraps.version = 2;
    run(NULL);
    wraps.version = 0;
    expect_calls("wraps 1");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 1");
}

/* S2.4: a state declared by two stored calls is declared twice, as it was when they ran. */
COCO_FN(other_row, (int64_t, n, coco_target *, tab), .memo = true)
{
    return coco_declare(cx, tab, coco_int(n), coco_int(n));
}
COCO_FN(declares_twice, (int64_t, n, coco_target *, tab))
{
    COCO_TRY(coco_call(cx, &puts_row, COCO_ARGS(coco_int(n), coco_target_value(tab)), NULL));
    if (!k.flag) return COCO_OK;
    return coco_call(cx, &puts_row, COCO_ARGS(coco_int(n), coco_target_value(tab)), NULL);
}
static void second_use_of_a_call_that_declared_is_a_second_declaration(void **state)
{
    (void)state;
    items_run(&declares_twice);
    ITEMS({ "a", 1 });
    k.flag = true;
    run_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.failures.v[0], "COCO_EDUP"));
    k.flag = false;
    run(NULL);
    k.flag = true;
    run_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.failures.v[0], "COCO_EDUP"));
}

/* S7.6, S6.11: a table that was made anew is filled again by stored calls' bodies. */
COCO_FN(table_of_version, ())
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", MAP1("schema", coco_int(k.hidden)), &tab));
    return coco_mount(cx, COCO_PATH(coco_text("a")), &uses_puts_row, COCO_ARGS(coco_int(1), coco_target_value(tab)),
                      NULL);
}
static void stored_call_runs_again_for_a_table_made_anew(void **state)
{
    (void)state;
    program(&table_of_version);
    run(NULL);
    k.hidden = 1;
    run(NULL);
    expect_calls("puts_row 0");
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:0 = 1");
}

/* ---- Memo states ------------------------------------------------------------------------------------------------- */

static coco_status doc_key(coco_ctx *cx, void *object, coco_value *key)
{
    (void)cx;
    *key = coco_text(((doc *)object)->name);
    return COCO_OK;
}

/* The rule of a file: equal stamp, valid without reading; equal content, valid in a new state; else invalid. */
static coco_status doc_state(coco_ctx *cx, void *object, coco_str stored, coco_str *state, bool *valid)
{
    doc *d = object;
    char stamp[32];
    size_t n = (size_t)snprintf(stamp, sizeof stamp, "%08lld", (long long)d->stamp);

    *state = coco_format(cx, "%s%s", stamp, d->content);
    *valid = !stored.p || (stored.n >= n && memcmp(stored.p, stamp, n) == 0);
    if (*valid) return coco_error(cx);
    __atomic_add_fetch(&d->reads, 1, __ATOMIC_RELAXED);
    *valid = stored.n == state->n && memcmp(stored.p + n, d->content, stored.n - n) == 0;
    return coco_error(cx);
}

static coco_status doc_reopen(coco_ctx *cx, coco_value key, void **object)
{
    *object = NULL;
    for (size_t i = 0; i < 4; i++)
        if (docs[i].name && coco_str_equal(coco_text_of(key), coco_str_of(docs[i].name))) *object = &docs[i];
    return *object ? COCO_OK : coco_fail(cx, COCO_ENOTFOUND, "no such doc");
}

static coco_class doc_class = { .type = "doc", .memo_key = doc_key, .memo_state = doc_state, .reopen = doc_reopen };
COCO_AT_START(doc_class) { coco_class_register(&doc_class); }

COCO_FN(converts, (doc *, d, coco_target *, tab), .memo = true)
{
    lines_add(&calls, "converts %s", d->content);
    return coco_declare(cx, tab, coco_text(d->name), coco_text(d->content));
}
COCO_FN(convert_docs, ())
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    for (size_t i = 0; i < 4; i++)
        if (docs[i].name)
            COCO_TRY(coco_mount(cx, COCO_PATH(coco_text(docs[i].name)), &converts,
                                COCO_ARGS(coco_object(&doc_class, &docs[i]), coco_target_value(tab)), NULL));
    return COCO_OK;
}

/* S6.3 */
static void input_with_the_same_stamp_is_not_read(void **state)
{
    (void)state;
    program(&convert_docs);
    run(NULL);
    expect_calls("converts alpha", "converts beta");
    run(NULL);
    expect_calls(NULL);
    assert_int_equal(docs[0].reads + docs[1].reads, 0);
    expect_nothing_written();
}

/* S6.3 */
static void touched_input_is_read_once_and_restamped(void **state)
{
    (void)state;
    program(&convert_docs);
    run(NULL);
    docs[0].stamp = 2;
    run(NULL);
    expect_calls(NULL);
    expect_hits("/\"a\"", "/\"b\"");
    assert_int_equal(docs[0].reads, 1);
    run(NULL);
    assert_int_equal(docs[0].reads, 1);
    expect_nothing_written();
}

/* S6.3, S4.10 */
static void changed_input_runs_again_and_is_named(void **state)
{
    (void)state;
    program(&convert_docs);
    run(NULL);
    docs[1] = (doc){ "b", "gamma", 2, 0 };
    run(NULL);
    expect_calls("converts gamma");
    expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/\"b\" input changed (argument d: content)");
    expect_actions("~ tab:\"b\"");
}

COCO_FN(length, (doc *, d), .memo = true)
{
    lines_add(&calls, "length %s", d->content);
    return coco_return(cx, coco_int((int64_t)strlen(d->content)));
}
COCO_FN(uses_length, ())
{
    coco_target *tab;
    coco_value v;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    COCO_TRY(coco_call(cx, &length, COCO_ARGS(coco_object(&doc_class, &docs[0])), &v));
    return coco_declare(cx, tab, coco_int(0), v);
}

/* S6.3, S6.5 */
static void touched_input_of_a_call_is_restamped(void **state)
{
    (void)state;
    program(&uses_length);
    run(NULL);
    docs[0].stamp = 2;
    run(NULL);
    expect_calls(NULL);
    assert_int_equal(docs[0].reads, 1);
    run(NULL);
    assert_int_equal(docs[0].reads, 1);
    expect_nothing_written();
    docs[0] = (doc){ "a", "al", 3, 0 };
    run(NULL);
    expect_calls("length al");
    expect_events("call miss", "/ length input changed (argument d: content)");
    expect_actions("~ tab:0");
}

/* The same for an entry of the component's own. */
COCO_FN(puts_doc, (doc *, d, coco_target *, tab), .memo = true)
{
    lines_add(&calls, "puts_doc %s", d->content);
    return coco_declare(cx, tab, coco_int(0), coco_text(d->content));
}
COCO_FN(uses_puts_doc, ())
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    return coco_call(cx, &puts_doc, COCO_ARGS(coco_object(&doc_class, &docs[0]), coco_target_value(tab)), NULL);
}
static void touched_input_of_a_call_that_declared_is_restamped(void **state)
{
    (void)state;
    program(&uses_puts_doc);
    run(NULL);
    docs[0].stamp = 2;
    run(NULL);
    expect_calls(NULL);
    run(NULL);
    assert_int_equal(docs[0].reads, 1);
    expect_nothing_written();
    docs[0] = (doc){ "a", "al", 3, 0 };
    run(NULL);
    expect_calls("puts_doc al");
    expect_actions("~ tab:0");
}

/* ---- Tracked inputs ---------------------------------------------------------------------------------------------- */

COCO_FN(reads_template, (int64_t, n), .memo = true)
{
    called("reads_template", n);
    COCO_TRY(coco_track(cx, &doc_class, &docs[0]));
    return coco_return(cx, coco_text(docs[0].content));
}
COCO_FN(renders, (int64_t, n, coco_target *, tab))
{
    coco_value v;

    if (k.flag) coco_scratch_begin(cx);
    COCO_TRY(coco_call(cx, &reads_template, COCO_ARGS(coco_int(0)), &v));
    COCO_TRY(coco_declare(cx, tab, coco_int(n), v));
    coco_scratch_end(cx);
    return COCO_OK;
}
COCO_FN(renders_memo, (int64_t, n, coco_target *, tab), .memo = true)
{
    called("renders_memo", n);
    return coco_call(cx, &renders, COCO_ARGS(coco_int(n), coco_target_value(tab)), NULL);
}

/* S6.3: what one component found in the store, and put there anew, the next ones find as it is then. */
static void input_of_a_shared_call_is_looked_at_once_a_run(void **state)
{
    (void)state;
    items_run(&renders);
    w.config.max_inflight = 1;
    ITEMS({ "a", 1 }, { "b", 2 }, { "c", 3 }, { "d", 4 }, { "e", 5 });
    run(NULL);
    expect_calls("reads_template 0");
    docs[0].stamp = 2;
    for (int i = 0; i < 2; i++) {
        run(NULL);
        expect_calls(NULL);
        assert_int_equal(docs[0].reads, 1);
    }
    expect_nothing_written();
    docs[0] = (doc){ "a", "omega", 3, 0 };
    run(NULL);
    expect_calls("reads_template 0");
    expect_actions("~ tab:1", "~ tab:2", "~ tab:3", "~ tab:4", "~ tab:5");
}

static void a_changed_template_runs_again(const char *which)
{
    ITEMS({ "a", 1 });
    run(NULL);
    run(NULL);
    expect_calls(NULL);
    expect_nothing_written();
    docs[0].stamp = 2;
    run(NULL);
    expect_calls(NULL);
    run(NULL);
    assert_int_equal(docs[0].reads, k.item == &renders_memo ? 2 : 1); /* once a memo that depends on it */
    docs[0] = (doc){ "a", "omega", 3, 0 };
    run(NULL);
    if (which) expect_calls(which, "reads_template 0");
    else expect_calls("reads_template 0");
    expect_actions("~ tab:1");
    expect_nothing_written();
}

/* S4.7 */
static void changed_tracked_input_invalidates_the_call(void **state)
{
    (void)state;
    items_run(&renders);
    a_changed_template_runs_again(NULL);
}

/* S4.7: with what is read in a scratch. */
static void changed_tracked_input_of_a_call_in_a_scratch_invalidates_it(void **state)
{
    (void)state;
    items_run(&renders);
    k.flag = true;
    a_changed_template_runs_again(NULL);
}

/* S4.7, S4.1: and whatever called it. */
static void changed_tracked_input_of_a_call_invalidates_the_component(void **state)
{
    (void)state;
    items_run(&renders_memo);
    ITEMS({ "a", 1 });
    run(NULL);
    expect_calls("renders_memo 1", "reads_template 0");
    docs[0] = (doc){ "a", "omega", 3, 0 };
    run(NULL);
    expect_calls("renders_memo 1", "reads_template 0");
    renders_memo.version = 2; /* runs again, the call below hits and reports what it tracked */
    run(NULL);
    renders_memo.version = 0;
    expect_calls("renders_memo 1");
    renders_memo.version = 2;
    docs[0] = (doc){ "a", "psi", 4, 0 };
    run(NULL);
    renders_memo.version = 0;
    expect_calls("renders_memo 1", "reads_template 0");
}

COCO_FN(mounts_renders, (int64_t, n, coco_target *, tab), .memo = true)
{
    called("mounts_renders", n);
    for (int64_t i = 0; i < 4; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), i < 3 ? &renders : &renders_memo,
                            COCO_ARGS(coco_int(i), coco_target_value(tab)), NULL));
    return COCO_OK;
}

/* S4.7, S6.1: the memo of a component stands for what components below it tracked. */
static void changed_tracked_input_below_invalidates_the_memo_above(void **state)
{
    (void)state;
    items_run(&mounts_renders);
    ITEMS({ "a", 1 });
    run(NULL);
    expect_calls("mounts_renders 1", "reads_template 0", "renders_memo 3");
    run(NULL);
    expect_calls(NULL);
    docs[0] = (doc){ "a", "omega", 3, 0 };
    run(NULL);
    expect_calls("mounts_renders 1", "reads_template 0", "renders_memo 3");
    mounts_renders.version = 2; /* below, the memoized one hits */
    run(NULL);
    expect_calls("mounts_renders 1");
    docs[0] = (doc){ "a", "psi", 4, 0 };
    run(NULL);
    mounts_renders.version = 0;
    expect_calls("mounts_renders 1", "reads_template 0", "renders_memo 3");
}

/* S4.7 */
static void tracked_input_that_is_gone_is_a_change(void **state)
{
    (void)state;
    items_run(&renders);
    ITEMS({ "a", 1 });
    run(NULL);
    docs[0].name = NULL;
    lines_clear(&calls);
    docs[0] = (doc){ "c", "new", 1, 0 };
    run(NULL);
    expect_calls("reads_template 0");
    expect_events("call miss", "/\"a\" reads_template input changed (argument doc: content)");
}

/* An input that changes while the call runs is the one that was tracked, not the one that is there at the end. */
COCO_FN(slow_reader, (int64_t, n), .memo = true)
{
    coco_value v;

    called("slow_reader", n);
    COCO_TRY(coco_call(cx, &reads_template, COCO_ARGS(coco_int(n)), &v));
    if (k.times++ == 0) docs[0] = (doc){ "a", "later", 9, 0 };
    return coco_return(cx, v);
}
COCO_FN(uses_slow_reader, (int64_t, n, coco_target *, tab))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &slow_reader, COCO_ARGS(coco_int(n)), &v));
    return coco_declare(cx, tab, coco_int(n), v);
}
static void input_of_a_hit_that_changes_before_the_caller_ends_is_a_change(void **state)
{
    (void)state;
    items_run(&uses_slow_reader);
    ITEMS({ "a", 1 });
    run(NULL);
    run(NULL);
    expect_calls("slow_reader 1", "reads_template 1");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = \"later\"");
}

/* Reading one input many times records it once. */
COCO_FN(reads_often, (int64_t, n), .memo = true)
{
    for (int i = 0; i < 500; i++) COCO_TRY(coco_track(cx, &doc_class, &docs[0]));
    return coco_return(cx, coco_int(n));
}
COCO_FN(uses_reads_often, (int64_t, n, coco_target *, tab))
{
    (void)tab;
    return coco_call(cx, &reads_often, COCO_ARGS(coco_int(n)), NULL);
}
static void input_tracked_many_times_is_checked_once(void **state)
{
    (void)state;
    items_run(&uses_reads_often);
    ITEMS({ "a", 1 });
    run(NULL);
    docs[0].stamp = 2;
    run(NULL);
    assert_int_equal(docs[0].reads, 1);
}

/* S5.3 */
static const coco_class stateless_class = { .type = "stateless", .memo_key = doc_key };
COCO_FN(tracks_badly, ())
{
    return coco_track(cx, &stateless_class, &docs[0]);
}
static void object_without_state_can_not_be_tracked(void **state)
{
    (void)state;
    program(&tracks_badly);
    run_fails(COCO_EINVAL, NULL);
    assert_non_null(strstr(w.err.msg, "a stateless can't be tracked"));
}

/* What a source reads while it is iterated counts for the component that iterates; its memory is that of the items. */
static int tracking_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    static const char *const names[] = { "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8" };
    int *i = src->self;

    if (*i == 9) return 0;
    coco_scratch_begin(cx);
    coco_param(cx, names[*i]);
    coco_track(cx, &doc_class, &docs[*i % 2]);
    coco_scratch_end(cx);
    *key = *value = coco_int((*i)++);
    return 1;
}
COCO_FN(iterates, (), .remember_failure_ms = 60000)
{
    coco_target *tab;
    coco_source *src = coco_source_new(cx);

    if (!src) return COCO_ENOMEM;
    src->self = coco_alloc(cx, sizeof(int));
    src->next = tracking_next;
    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    COCO_TRY(coco_mount_each(cx, COCO_AUTO, &leaf, src, COCO_ARGS(coco_target_value(tab))));
    return k.flag ? coco_fail(cx, COCO_EFAIL, "failed on purpose") : COCO_OK;
}
COCO_FN(mounts_iterates, ())
{
    called("mounts_iterates", 0);
    return coco_mount(cx, COCO_AUTO, &iterates, COCO_NOARGS, NULL);
}

/* S4.11, S4.7 */
static void what_a_source_reads_is_an_input_of_the_failure_that_is_remembered(void **state)
{
    static const coco_param_def params[] = { { "p0", "", "" }, { "p1", "", "" }, { "p2", "", "" }, { "p3", "", "" },
                                             { "p4", "", "" }, { "p5", "", "" }, { "p6", "", "" }, { "p7", "", "" },
                                             { "p8", "", "" }, { 0 } };

    (void)state;
    w.config.params = params;
    program(&mounts_iterates);
    k.flag = true;
    run_fails(COCO_EFAIL, NULL);
    assert_int_equal(calls.n, 10);
    run_fails(COCO_EFAIL, NULL);
    expect_calls("mounts_iterates 0"); /* it waits … */
    docs[1] = (doc){ "b", "omega", 2, 0 };
    run_fails(COCO_EFAIL, NULL);
    assert_int_equal(calls.n, 10); /* … until an input changes */
    coco_app_set_param(w.app, "p8", "x", NULL);
    run_fails(COCO_EFAIL, NULL);
    assert_int_equal(calls.n, 10);
}

/* ---- Context objects --------------------------------------------------------------------------------------------- */

static coco_key STYLE = COCO_KEY("style");

static coco_status provide_style(coco_ctx *cx, void *user)
{
    (void)user;
    return coco_provide(cx, &STYLE, coco_object(&doc_class, &docs[0]));
}
COCO_FN(styles, (int64_t, n), .memo = true)
{
    called("styles", n);
    return coco_return(cx, coco_text(((doc *)coco_object_of(coco_context(cx, &STYLE), &doc_class))->content));
}
COCO_FN(uses_styles, (int64_t, n, coco_target *, tab), .memo = true)
{
    coco_value v;

    called("uses_styles", n);
    COCO_TRY(coco_call(cx, &styles, COCO_ARGS(coco_int(0)), &v));
    return coco_declare(cx, tab, coco_int(n), v);
}

/* S6.3 */
static void context_object_is_validated_like_an_argument(void **state)
{
    (void)state;
    items_run(&uses_styles);
    w.env_config.setup = provide_style;
    ITEMS({ "a", 1 }, { "b", 2 });
    run(NULL);
    expect_calls("uses_styles 1", "styles 0", "uses_styles 2");
    restart();
    docs[0].stamp = 2;
    run(NULL);
    expect_calls(NULL);
    expect_nothing_written();
    docs[0] = (doc){ "a", "omega", 3, 0 };
    run(NULL);
    expect_calls("uses_styles 1", "styles 0", "uses_styles 2");
    expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/\"a\" input changed (argument style: content)",
               "/\"b\" input changed (argument style: content)");
    expect_nothing_written();
}

/* ---- Keys of arguments ------------------------------------------------------------------------------------------- */

static const coco_class keyless_class = { .type = "keyless" };
COCO_FN(takes_keyless, (coco_value, object), .memo = true)
{
    (void)object;
    called("takes_keyless", 0);
    return COCO_OK;
}
COCO_FN(gives_keyless, ())
{
    return coco_call(cx, &takes_keyless, COCO_ARGS(coco_object(&keyless_class, &docs[0])), NULL);
}

/* S5.3 */
static void object_that_can_not_be_a_memo_key_is_named(void **state)
{
    (void)state;
    program(&gives_keyless);
    run_fails(COCO_ETYPE, NULL);
    assert_non_null(strstr(w.err.msg, "takes_keyless: argument 1 object (keyless) can't be part of a memo key"));
}

/* S5.3: nor may it hide in a list. */
COCO_FN(gives_nested_object, ())
{
    coco_value object = coco_object(&doc_class, &docs[0]);

    return coco_call(cx, &takes_keyless, COCO_ARGS(coco_list(&object, 1)), NULL);
}
static void object_inside_a_list_can_not_be_a_memo_key(void **state)
{
    (void)state;
    program(&gives_nested_object);
    run_fails(COCO_ETYPE, NULL);
}

COCO_FN(skips, (int64_t, n, coco_value, object), .memo = true, .memo_key = { NULL, coco_memo_skip })
{
    (void)object;
    called("skips", n);
    return COCO_OK;
}
COCO_FN(uses_skips, ())
{
    coco_value object = k.flag ? coco_object(&doc_class, &docs[1]) : coco_object(&keyless_class, &docs[0]);

    return coco_call(cx, &skips, COCO_ARGS(coco_int(1), object), NULL);
}

/* S4.6, S5.3 */
static void argument_left_out_of_the_key_may_be_anything(void **state)
{
    (void)state;
    program(&uses_skips);
    run(NULL);
    k.flag = true;
    run(NULL);
    expect_calls(NULL);
    docs[1].content = "other";
    docs[1].stamp = 2;
    run(NULL);
    expect_calls(NULL);
}

static coco_status parity(coco_ctx *cx, coco_value in, coco_value *out)
{
    (void)cx;
    *out = coco_int(coco_int_of(in) % 2);
    return COCO_OK;
}
COCO_FN(by_parity, (int64_t, n), .memo = true, .memo_key = { parity })
{
    called("by_parity", n);
    return COCO_OK;
}
COCO_FN(uses_parity, ())
{
    for (int64_t i = 0; i < 4; i++) COCO_TRY(coco_call(cx, &by_parity, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S4.6 */
static void argument_may_be_transformed_for_the_key(void **state)
{
    (void)state;
    program(&uses_parity);
    run(NULL);
    expect_calls("by_parity 0", "by_parity 1");
}

COCO_FN(gives_object, (int64_t, n), .memo = true)
{
    (void)n;
    return coco_return(cx, coco_object(&doc_class, &docs[0]));
}
COCO_FN(uses_gives_object, ())
{
    return coco_call(cx, &gives_object, COCO_ARGS(coco_int(0)), NULL);
}

/* S6.2 */
static void result_of_a_memoized_call_is_no_object(void **state)
{
    (void)state;
    program(&uses_gives_object);
    run_fails(COCO_ETYPE, NULL);
}

/* ---- What may not be done inside --------------------------------------------------------------------------------- */

COCO_FN(mounts_inside, (int64_t, n), .memo = true)
{
    called("mounts_inside", n);
    coco_mount(cx, COCO_AUTO, &twice, COCO_ARGS(coco_int(1)), NULL);
    return coco_return(cx, coco_int(1));
}
COCO_FN(uses_mounts_inside, ())
{
    return coco_call(cx, &mounts_inside, COCO_ARGS(coco_int(1)), NULL);
}

/* S4.7 */
static void call_that_was_refused_a_mount_is_not_cached(void **state)
{
    (void)state;
    program(&uses_mounts_inside);
    run(NULL);
    run(NULL);
    expect_calls("mounts_inside 1");
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

COCO_FN(scratches, (int64_t, n, coco_target *, tab))
{
    int64_t sum = 0;

    for (int64_t i = 0; i < n; i++) {
        coco_value a, b;
        coco_scratch_begin(cx);
        COCO_TRY(coco_call(cx, &big, COCO_ARGS(coco_int(i % 3)), &a));
        coco_scratch_begin(cx);
        COCO_TRY(coco_call(cx, &outer, COCO_ARGS(coco_int(i)), &b));
        sum += coco_int_of(b);
        coco_scratch_end(cx);
        sum += (int64_t)coco_count(a) + (coco_text_of(a).p[1599] == 'x');
        coco_scratch_end(cx);
    }
    return coco_declare(cx, tab, coco_int(0), coco_int(sum));
}

/* coco_scratch_begin: calls inside are as calls outside. */
static void calls_inside_a_scratch_give_what_they_give_outside(void **state)
{
    (void)state;
    items_run(&scratches);
    ITEMS({ "a", 10 });
    run(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:0 = 16065");
    run(NULL);
    expect_calls(NULL);
    expect_nothing_written();
}

/* ---- Recheck, cost ----------------------------------------------------------------------------------------------- */

/* S6.9 */
static void recheck_of_honest_functions_finds_nothing(void **state)
{
    (void)state;
    items_run(&row);
    ITEMS({ "a", 1 }, { "b", 2 });
    run(NULL);
    run(OPTS(.recheck = 100));
    expect_calls("row 1", "row 2");
    expect_actions(NULL);
    run(NULL);
    expect_calls(NULL);
}

/* S6.9 */
static void recheck_names_the_component_with_a_hidden_input(void **state)
{
    (void)state;
    items_run(&row);
    ITEMS({ "a", 1 });
    run(NULL);
    k.hidden = 1;
    run_fails(COCO_ERECHECK, OPTS(.recheck = 100));
    assert_non_null(strstr(w.err.msg, "row"));
    expect_actions(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
}

/* S6.9 */
static void recheck_compares_the_results_of_calls(void **state)
{
    (void)state;
    items_run(&uses_twice);
    ITEMS({ "a", 1 });
    run(NULL);
    run(OPTS(.recheck = 100));
    expect_calls("twice 1");
    k.hidden = 1;
    run_fails(COCO_ERECHECK, OPTS(.recheck = 100));
    assert_non_null(strstr(w.err.msg, "twice"));
}

/* S6.9 */
static void recheck_compares_the_declarations_of_calls(void **state)
{
    (void)state;
    items_run(&uses_puts_row);
    ITEMS({ "a", 1 });
    run(NULL);
    run(OPTS(.recheck = 100));
    expect_calls("puts_row 0");
    k.hidden = 1;
    run_fails(COCO_ERECHECK, OPTS(.recheck = 100));
    assert_non_null(strstr(w.err.msg, "puts_row"));
    expect_actions(NULL);
}

/* S6.9: what is memoized is no part of the logic, and what a call leaves to calls inside it is declared all the same. */
static void recheck_of_a_call_around_one_that_is_memoized_since_finds_nothing(void **state)
{
    (void)state;
    items_run(&uses_wraps);
    ITEMS({ "a", 1 });
    puts_row.memo = false;
    run(NULL);
    puts_row.memo = true;
    run(OPTS(.recheck = 100));
    expect_calls("wraps 1", "puts_row 1");
    expect_actions(NULL);
}

/* S6.10 */
static void run_says_what_its_hits_had_cost(void **state)
{
    (void)state;
    items_run(&uses_twice);
    ITEMS({ "a", 1 }, { "b", 2 }, { "c", 2 });
    run(NULL);
    assert_float_equal(w.result.saved_units, 3, 0); /* c found what b had computed */
    run(NULL);
    assert_float_equal(w.result.saved_units, 9, 0);
    twice.version = 5;
    run(NULL);
    twice.version = 0;
    assert_float_equal(w.result.saved_units, 3, 0);
}

COCO_FN(costs, (int64_t, n, coco_target *, tab), .memo = true)
{
    (void)tab;
    coco_cost(cx, 1);
    return coco_call(cx, &twice, COCO_ARGS(coco_int(n)), NULL);
}

/* S6.10: what a call below cost is in what the caller cost. */
static void component_hit_saves_what_all_of_it_had_cost(void **state)
{
    (void)state;
    items_run(&costs);
    ITEMS({ "a", 1 });
    run(NULL);
    assert_float_equal(w.result.saved_units, 0, 0);
    run(NULL);
    assert_float_equal(w.result.saved_units, 4, 0);
}

/* S10.1 */
static void hits_and_misses_of_calls_are_counted(void **state)
{
    coco_stats stats;

    (void)state;
    items_run(&uses_twice);
    ITEMS({ "a", 1 }, { "b", 2 }, { "c", 2 });
    run(NULL);
    assert_int_equal(coco_stats_get(w.app, &stats), COCO_OK);
    for (size_t i = 0; i < stats.nfns; i++) {
        if (strcmp(stats.fns[i].name, "twice") != 0) continue;
        assert_int_equal(stats.fns[i].memo_misses, 2);
        assert_int_equal(stats.fns[i].memo_hits, 1);
    }
    coco_stats_free(&stats);
}

/* ---- Lack of memory ---------------------------------------------------------------------------------------------- */

COCO_FN(everything, (int64_t, n, coco_target *, tab), .memo = true)
{
    coco_value v;

    coco_scratch_begin(cx);
    COCO_TRY(coco_call(cx, &outer, COCO_ARGS(coco_int(n)), &v));
    COCO_TRY(coco_call(cx, &reads_template, COCO_ARGS(coco_int(0)), &v));
    COCO_TRY(coco_call(cx, &length, COCO_ARGS(coco_object(&doc_class, &docs[1])), &v));
    coco_scratch_end(cx);
    COCO_TRY(coco_call(cx, &wraps, COCO_ARGS(coco_int(n), coco_target_value(tab)), NULL));
    COCO_TRY(coco_track(cx, &doc_class, &docs[0]));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &renders, COCO_ARGS(coco_int(n + 100), coco_target_value(tab)), NULL));
    return coco_return(cx, v);
}

/* Whichever allocation fails, nothing leaks, and the next update gives what an undisturbed one gives. */
static void update_that_runs_out_of_memory_is_made_good_by_the_next(void **state)
{
    bool failed = true;

    (void)state;
    items_run(&everything);
    ITEMS({ "a", 1 }, { "b", 2 });
    for (long n = 1; failed; n += n < 60 ? 1 : 3) {
        everything.version = outer.version = reads_template.version = puts_row.version = n;
        docs[1].stamp = n;
        assert_int_equal(open_world(), COCO_OK);
        w.fail_at = w.calls + n;
        try_update(NULL);
        failed = w.calls >= w.fail_at;
        w.fail_at = 0;
        try_update(NULL);
        expect_rc(COCO_OK, __FILE__, __LINE__);
        expect_nothing_written();
        expect_shelf("shelf:\"tab\" = null", "tab:1 = 1", "tab:101 = \"alpha\"", "tab:102 = \"alpha\"", "tab:2 = 2");
    }
    everything.version = outer.version = reads_template.version = puts_row.version = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MEMO_TEST(unchanged_component_is_not_run_and_its_states_stay),
        MEMO_TEST(miss_names_the_argument_that_changed),
        MEMO_TEST(changed_argument_runs_that_component_alone),
        MEMO_TEST(nothing_below_a_hit_runs),
        MEMO_TEST(hit_gives_the_stored_value_of_a_used_component),
        MEMO_TEST(no_source_is_read_below_a_memoized_component),
        MEMO_TEST(failed_run_leaves_the_memo_as_it_was),
        MEMO_TEST(failure_after_the_precommit_makes_the_next_run_a_miss),
        MEMO_TEST(full_reprocess_ignores_memos_and_applies_everything_again),
        MEMO_TEST(memoized_call_gives_the_stored_value_without_running),
        MEMO_TEST(two_components_share_one_result),
        MEMO_TEST(full_reprocess_computes_a_shared_result_once),
        MEMO_TEST(renamed_item_finds_its_result_again),
        MEMO_TEST(result_that_nobody_lists_is_swept),
        MEMO_TEST(changed_logic_replaces_the_result),
        MEMO_TEST(results_before_a_failure_survive_it),
        MEMO_TEST(results_before_a_stop_survive_it),
        MEMO_TEST(results_of_a_failed_item_go_with_the_next_success),
        MEMO_TEST(partial_update_and_preview_leave_the_results_as_they_are),
        MEMO_TEST(results_of_a_long_component_are_stored_while_it_runs),
        MEMO_TEST(failure_is_not_cached),
        MEMO_TEST(nested_results_that_a_hit_used_stay_alive),
        MEMO_TEST(hit_reports_its_dependencies_upward),
        MEMO_TEST(deep_recursion_lists_each_result_once),
        MEMO_TEST(call_that_reaches_its_own_key_runs_unmemoized),
        MEMO_TEST(large_shared_result_is_stored_once),
        MEMO_TEST(what_a_stored_call_declared_stays_declared),
        MEMO_TEST(call_that_declared_belongs_to_its_component),
        MEMO_TEST(call_that_declares_no_more_runs_once_for_all),
        MEMO_TEST(stored_call_whose_state_is_in_flight_runs_again),
        MEMO_TEST(nested_calls_that_declared_stay_alive_under_a_hit),
        MEMO_TEST(second_use_of_a_call_that_declared_is_a_second_declaration),
        MEMO_TEST(stored_call_runs_again_for_a_table_made_anew),
        MEMO_TEST(input_with_the_same_stamp_is_not_read),
        MEMO_TEST(touched_input_is_read_once_and_restamped),
        MEMO_TEST(changed_input_runs_again_and_is_named),
        MEMO_TEST(touched_input_of_a_call_is_restamped),
        MEMO_TEST(touched_input_of_a_call_that_declared_is_restamped),
        MEMO_TEST(input_of_a_shared_call_is_looked_at_once_a_run),
        MEMO_TEST(changed_tracked_input_invalidates_the_call),
        MEMO_TEST(changed_tracked_input_of_a_call_in_a_scratch_invalidates_it),
        MEMO_TEST(changed_tracked_input_of_a_call_invalidates_the_component),
        MEMO_TEST(changed_tracked_input_below_invalidates_the_memo_above),
        MEMO_TEST(tracked_input_that_is_gone_is_a_change),
        MEMO_TEST(input_of_a_hit_that_changes_before_the_caller_ends_is_a_change),
        MEMO_TEST(input_tracked_many_times_is_checked_once),
        MEMO_TEST(object_without_state_can_not_be_tracked),
        MEMO_TEST(what_a_source_reads_is_an_input_of_the_failure_that_is_remembered),
        MEMO_TEST(context_object_is_validated_like_an_argument),
        MEMO_TEST(object_that_can_not_be_a_memo_key_is_named),
        MEMO_TEST(object_inside_a_list_can_not_be_a_memo_key),
        MEMO_TEST(argument_left_out_of_the_key_may_be_anything),
        MEMO_TEST(argument_may_be_transformed_for_the_key),
        MEMO_TEST(result_of_a_memoized_call_is_no_object),
        MEMO_TEST(call_that_was_refused_a_mount_is_not_cached),
        MEMO_TEST(calls_inside_a_scratch_give_what_they_give_outside),
        MEMO_TEST(recheck_of_honest_functions_finds_nothing),
        MEMO_TEST(recheck_names_the_component_with_a_hidden_input),
        MEMO_TEST(recheck_compares_the_results_of_calls),
        MEMO_TEST(recheck_compares_the_declarations_of_calls),
        MEMO_TEST(recheck_of_a_call_around_one_that_is_memoized_since_finds_nothing),
        MEMO_TEST(run_says_what_its_hits_had_cost),
        MEMO_TEST(component_hit_saves_what_all_of_it_had_cost),
        MEMO_TEST(hits_and_misses_of_calls_are_counted),
        MEMO_TEST(update_that_runs_out_of_memory_is_made_good_by_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
