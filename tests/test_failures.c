/* test_failures.c - failures: whose they are, who is told, and how an update says so (S9.1, S9.2, S9.3). */
#include "harness.h"

static coco_status (*plan)(coco_ctx *cx);
static const char *list;

COCO_FN(app_main, ()) { return plan(cx); }

/* Declares a row, or fails for a value over 99. */
COCO_FN(picky, (coco_value, kv, coco_target *, tab), .memo = true)
{
    if (coco_int_of(coco_at(kv, 1)) > 99) return coco_fail(cx, COCO_EFAIL, "over 99");
    return coco_declare(cx, tab, coco_at(kv, 0), coco_at(kv, 1));
}
COCO_FN(fails, ()) { return coco_fail(cx, COCO_EPARSE, "line 3: no verb"); }
COCO_FN(positive, ()) { return 5; }
COCO_FN(forgets, ()) /* the error that is kept in its cx */
{
    coco_param(cx, "nowhere");
    return COCO_OK;
}
COCO_FN(parent_of_failing, ()) { return coco_mount(cx, COCO_AUTO, &fails, COCO_NOARGS, NULL); }

static coco_status tab_of(coco_ctx *cx, coco_target **tab) { return mount_tab(cx, "tab", coco_null(), tab); }

static coco_status rows(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &picky, items(cx, list, false), COCO_ARGS(coco_target_value(tab)));
}

/* ---- Who is told ------------------------------------------------------------------------------------------------- */

static lines told;

static const char *kind_name(coco_mount_kind kind)
{
    static const char *const names[] = { "root", "mount", "use_mount", "mount_each", "delete" };

    return names[kind];
}

/* Notes what it was told under its name, user; names in capitals swallow. */
static bool listener(void *user, const coco_failure *f)
{
    const char *name = user;

    lines_add(&told, "%s: %s/%s %s %s by %s: %s %s", name, f->env, f->app, f->path, f->function[0] ? f->function : "-",
              kind_name(f->kind),
              coco_status_name(f->code), f->message);
    return name[0] >= 'A' && name[0] <= 'Z';
}

static void start(coco_status (*body)(coco_ctx *cx))
{
    lines_clear(&told);
    plan = body;
    list = "";
    w.env_config.name = "lab";
    program(&app_main);
}

/* The environment's handler, which swallows if its name says so. */
static void listen(const char *name)
{
    w.env_config.on_failure = listener;
    w.env_config.user = (void *)(uintptr_t)name;
    w.env_config.on_event = NULL; /* it gets the same user */
}

#define expect_told(...) (LINES_EXPECT(&told, __VA_ARGS__), lines_clear(&told))

/* ---- S9.1: whose failure it is ----------------------------------------------------------------------------------- */

static coco_status called_rc, after_rc;

static coco_status calls(coco_ctx *cx) { return called_rc = coco_call(cx, &fails, COCO_NOARGS, NULL); }
static coco_status uses(coco_ctx *cx) { return called_rc = coco_use_mount(cx, COCO_AUTO, &fails, COCO_NOARGS, NULL); }

/* S9.1 */
static void call_and_use_mount_return_the_failure(void **state)
{
    (void)state;
    start(calls);
    update_fails(COCO_EPARSE, NULL);
    assert_int_equal(called_rc, COCO_EPARSE);
    expect_failures("/ COCO_EPARSE line 3: no verb");
    plan = uses;
    update_fails(COCO_EPARSE, NULL);
    assert_int_equal(called_rc, COCO_EPARSE);
    expect_failures("/ COCO_EPARSE line 3: no verb");
}

static coco_status recovers(coco_ctx *cx)
{
    called_rc = coco_call(cx, &fails, COCO_NOARGS, NULL);
    after_rc = coco_use_mount(cx, COCO_AUTO, &fails, COCO_NOARGS, NULL);
    return COCO_OK;
}

/* S9.1: a caller may deal with it; a component that failed is counted all the same (S9.3) */
static void caller_may_go_on_after_a_failed_call(void **state)
{
    (void)state;
    start(recovers);
    try_update(NULL);
    assert_int_equal(called_rc, COCO_EPARSE);
    assert_int_equal(after_rc, COCO_EPARSE);
    expect_events("failed", "/@fails line 3: no verb");
    expect_rc(COCO_EFAIL, __FILE__, __LINE__);
    assert_int_equal(w.result.nfailed, 1);
    assert_string_equal(w.result.failed[0], "/@fails");
}

static coco_status mounts(coco_ctx *cx)
{
    coco_handle *h;

    COCO_TRY(coco_mount(cx, COCO_AUTO, &fails, COCO_NOARGS, &h));
    COCO_TRY(coco_ready(cx, h));
    list = "1=1 2=100 3=3";
    return called_rc = rows(cx);
}

/* S9.1 */
static void mount_and_mount_each_and_ready_go_on(void **state)
{
    (void)state;
    start(mounts);
    called_rc = COCO_EFAIL;
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(called_rc, COCO_OK);
    expect_failures("/@fails COCO_EPARSE line 3: no verb", "/@picky/2 COCO_EFAIL over 99");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 1", "tab:3 = 3");
}

/* S9.1 */
static void drop_returns_the_failure_and_can_be_repeated(void **state)
{
    (void)state;
    start(rows);
    list = "1=1 2=2";
    update(NULL);
    fault_on("tab:1", -1, false);
    try_drop();
    expect_rc(COCO_EFAIL, __FILE__, __LINE__);
    assert_non_null(shelf_find("tab:1"));
    assert_null(shelf_find("tab:2"));
    faults_clear();
    drop_all();
    expect_shelf(NULL);
    update(NULL);
    expect_actions("+ shelf:\"tab\"", "+ tab:1", "+ tab:2");
}

static coco_status returns_positive(coco_ctx *cx) { return coco_call(cx, &positive, COCO_NOARGS, NULL); }
static coco_status uses_forgetful(coco_ctx *cx) { return coco_call(cx, &forgets, COCO_NOARGS, NULL); }

/* the header's Errors: what isn't a status is an error, and a kept error is the function's failure at the latest
 * when it ends */
static void kept_error_fails_the_function_that_forgot_it(void **state)
{
    (void)state;
    start(returns_positive);
    update_fails(COCO_EINVAL, NULL);
    plan = uses_forgetful;
    update_fails(COCO_ENOTFOUND, NULL);
    assert_non_null(strstr(w.err.msg, "nowhere"));
}

static bool moody_fails;

COCO_FN(moody, ()) { return moody_fails ? coco_fail(cx, COCO_EFAIL, "in a mood") : COCO_OK; }
COCO_FN(over_moody, (), .memo = true) { return coco_mount(cx, COCO_AUTO, &moody, COCO_NOARGS, NULL); }

static coco_status mounts_over_moody(coco_ctx *cx)
{ return coco_mount(cx, COCO_AUTO, &over_moody, COCO_NOARGS, NULL); }

/* S3.6, S4.10 */
static void component_above_a_failed_one_runs_again_for_that_reason(void **state)
{
    (void)state;
    start(mounts_over_moody);
    moody_fails = true;
    update_fails(COCO_EFAIL, NULL);
    moody_fails = false;
    update(NULL);
    expect_why("/ not memoized", "/@over_moody something below failed or was left out",
               "/@over_moody/@moody never run");
    update(NULL);
    expect_hits("/@over_moody");
}

/* S4.10 */
static void component_that_kept_no_memo_runs_again_for_that_reason(void **state)
{
    (void)state;
    start(mounts_over_moody);
    moody_fails = over_moody.memo = false;
    update(NULL);
    over_moody.memo = true;
    update(NULL);
    expect_why("/ not memoized", "/@over_moody no memo was kept", "/@over_moody/@moody not memoized");
}

/* ---- S9.2: handlers ---------------------------------------------------------------------------------------------- */

static const char *outer_name, *inner_name;

static coco_status catches(coco_ctx *cx)
{
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(1)), &fails, COCO_NOARGS, NULL));
    COCO_TRY(coco_catch_begin(cx, listener, (void *)(uintptr_t)outer_name));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(2)), &fails, COCO_NOARGS, NULL));
    COCO_TRY(coco_catch_begin(cx, listener, (void *)(uintptr_t)inner_name));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(3)), &parent_of_failing, COCO_NOARGS, NULL));
    coco_catch_end(cx);
    coco_catch_end(cx);
    return coco_mount(cx, COCO_PATH(coco_int(4)), &fails, COCO_NOARGS, NULL);
}

/* S9.2 */
static void handlers_are_told_from_the_innermost_scope_outward(void **state)
{
    (void)state;
    start(catches);
    outer_name = "outer", inner_name = "inner";
    listen("env");
    update_fails(COCO_EFAIL, NULL);
    expect_told("env: lab/test /1 fails by mount: COCO_EPARSE line 3: no verb",
                "outer: lab/test /2 fails by mount: COCO_EPARSE line 3: no verb",
                "env: lab/test /2 fails by mount: COCO_EPARSE line 3: no verb",
                "inner: lab/test /3/@fails fails by mount: COCO_EPARSE line 3: no verb",
                "outer: lab/test /3/@fails fails by mount: COCO_EPARSE line 3: no verb",
                "env: lab/test /3/@fails fails by mount: COCO_EPARSE line 3: no verb",
                "env: lab/test /4 fails by mount: COCO_EPARSE line 3: no verb");
}

/* S9.2, S9.3 */
static void swallowed_failure_goes_no_further_but_counts(void **state)
{
    (void)state;
    start(catches);
    outer_name = "OUTER", inner_name = "INNER";
    listen("ENV");
    update_fails(COCO_EFAIL, NULL);
    expect_told("ENV: lab/test /1 fails by mount: COCO_EPARSE line 3: no verb",
                "OUTER: lab/test /2 fails by mount: COCO_EPARSE line 3: no verb",
                "INNER: lab/test /3/@fails fails by mount: COCO_EPARSE line 3: no verb",
                "ENV: lab/test /4 fails by mount: COCO_EPARSE line 3: no verb");
    assert_int_equal(w.result.nfailed, 4);
}

/* S9.2 */
static void handler_is_told_the_kind_of_mount(void **state)
{
    (void)state;
    start(calls);
    listen("env");
    update_fails(COCO_EPARSE, NULL);
    expect_told("env: lab/test / app_main by root: COCO_EPARSE line 3: no verb");
    plan = rows;
    list = "1=1 2=100 ?3";
    update_fails(COCO_EFAIL, NULL);
    expect_told("env: lab/test /@picky/2 picky by mount_each: COCO_EFAIL over 99",
                "env: lab/test items:3 - by mount_each: COCO_EUNREAD no permission");
    fault_on("tab:1", -1, false);
    list = "2=2";
    update_fails(COCO_EFAIL, NULL);
    expect_told("env: lab/test /@picky/1 picky by delete: COCO_EIO tab:1: refused");
}

static coco_status catches_rows(coco_ctx *cx)
{
    COCO_TRY(coco_catch_begin(cx, listener, (void *)(uintptr_t) "INNER"));
    COCO_TRY(rows(cx));
    coco_catch_end(cx);
    return COCO_OK;
}

/* S9.2: the sink may answer after the scope has ended */
static void failure_of_a_sink_goes_to_the_handlers_of_the_mount(void **state)
{
    (void)state;
    start(catches_rows);
    list = "1=1 2=2";
    fault_on("tab:2", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_told("INNER: lab/test /@picky/2 picky by mount_each: COCO_EIO tab:2: refused");
    expect_failures(NULL);
}

static coco_status two_scopes(coco_ctx *cx)
{
    COCO_TRY(coco_use_mount(cx, COCO_PATH(coco_int(1)), &parent_of_failing, COCO_NOARGS, NULL));
    COCO_TRY(coco_catch_begin(cx, listener, (void *)(uintptr_t) "INNER"));
    COCO_TRY(coco_use_mount(cx, COCO_PATH(coco_int(2)), &parent_of_failing, COCO_NOARGS, NULL));
    return COCO_OK; /* the scope ends with the function */
}

/* S9.2 */
static void scope_covers_what_is_mounted_within_it_at_any_depth(void **state)
{
    (void)state;
    start(two_scopes);
    update_fails(COCO_EFAIL, NULL);
    expect_told("INNER: lab/test /2/@fails fails by mount: COCO_EPARSE line 3: no verb");
    expect_failures("/1/@fails COCO_EPARSE line 3: no verb");
}

/* ---- S9.3: an update says so ------------------------------------------------------------------------------------- */

static coco_fn_stats stats_of(const char *name)
{
    coco_fn_stats found = { .name = NULL };
    coco_stats stats;

    assert_int_equal(coco_stats_get(w.app, &stats), COCO_OK);
    for (size_t i = 0; i < stats.nfns; i++)
        if (strcmp(stats.fns[i].name, name) == 0) found = stats.fns[i];
    coco_stats_free(&stats);
    return found;
}

/* S9.3 */
static void update_with_a_failed_component_says_so_everywhere(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    start(rows);
    list = "1=100 2=2 3=100";
    update_fails(COCO_EFAIL, NULL);
    assert_string_equal(w.err.msg, "2 failed: /@picky/1: over 99");
    assert_int_equal(w.result.nfailed, 2);
    assert_int_equal(w.result.nfailed_paths, 2);
    assert_string_equal(w.result.failed[0], "/@picky/1");
    assert_string_equal(w.result.failed[1], "/@picky/3");
    assert_int_equal(stats_of("picky").errors, 2);
    assert_int_equal(stats_of("picky").starts, 3);
    assert_int_equal(stats_of("picky").added, 1);
    list = "1=1 2=2 3=3";
    update(NULL);
    assert_int_equal(w.result.nfailed, 0);
    assert_int_equal(stats_of("picky").errors, 0);
    assert_int_equal(stats_of("picky").unchanged, 1);
}

/* S9.3 */
static void first_hundred_failed_paths_are_named_and_all_are_counted(void **state)
{
    static char text[4000];
    size_t n = 0;

    (void)state;
    ONE_THREAD_ONLY();
    for (int i = 0; i < 150; i++) n += (size_t)snprintf(text + n, sizeof text - n, "%d=100 ", i);
    start(rows);
    list = text;
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(w.result.nfailed, 150);
    assert_int_equal(w.result.nfailed_paths, 100);
    assert_string_equal(w.result.failed[99], "/@picky/99");
}

/* S9.3 */
static void failed_component_keeps_its_previous_targets_and_is_tried_again(void **state)
{
    (void)state;
    start(rows);
    list = "1=1 2=2";
    update(NULL);
    list = "1=100 2=3";
    update_fails(COCO_EFAIL, NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 1", "tab:2 = 3");
    update_fails(COCO_EFAIL, NULL);
    expect_ran("/", "/@shelf/\"tab\"", "/@picky/1");
    list = "1=4 2=3";
    update(NULL);
    expect_actions("~ tab:1");
}

static void stop_now(void) { coco_app_stop(w.app); }

/* S9.1, S8.6: a stop is no failure of a component, and the next update does the rest */
static void stopped_update_says_so_and_the_next_one_finishes(void **state)
{
    (void)state;
    start(rows);
    list = "1=1 2=2 3=3 4=4";
    w.config.max_inflight = 1;
    w.before_apply = stop_now; /* while the table is made */
    update_fails(COCO_ESTOP, NULL);
    w.before_apply = NULL;
    assert_int_equal(w.result.nfailed, 0);
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 1", "tab:2 = 2", "tab:3 = 3", "tab:4 = 4");
    w.before_apply = stop_now;
    list = "1=5 2=6 3=7";
    update_fails(COCO_ESTOP, NULL);
    w.before_apply = NULL;
    assert_non_null(shelf_find("tab:4")); /* nothing is gone below a source that was stopped */
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 5", "tab:2 = 6", "tab:3 = 7");
}

COCO_FN(doubled, (int64_t, i), .memo = true) { return coco_return(cx, coco_int(2 * i)); }

static bool stops;
static coco_status refused[5];
static coco_target *stop_tab;

COCO_FN(stops_and_goes_on, ())
{
    const coco_value one = coco_int(1);

    COCO_TRY(coco_declare(cx, stop_tab, one, one));
    if (!stops) return COCO_OK;
    coco_app_stop(w.app);
    refused[0] = coco_call(cx, &doubled, COCO_ARGS(one), NULL);
    refused[1] = coco_map(cx, &doubled, &one, 1, COCO_NOARGS, NULL);
    refused[2] = coco_mount(cx, COCO_PATH(coco_int(1)), &doubled, COCO_ARGS(one), NULL);
    refused[3] = coco_use_mount(cx, COCO_PATH(coco_int(2)), &doubled, COCO_ARGS(one), NULL);
    refused[4] = coco_mount_each(cx, COCO_AUTO, &doubled, coco_source_of(cx, &one, &one, 1), COCO_NOARGS);
    return COCO_OK; /* whatever it returns */
}
static coco_status mounts_what_stops(coco_ctx *cx)
{
    COCO_TRY(mount_tab(cx, "tab", coco_null(), &stop_tab));
    return coco_mount(cx, COCO_AUTO, &stops_and_goes_on, COCO_NOARGS, NULL);
}

/* S8.6 */
static void calls_mounts_and_iterations_after_a_stop_are_refused(void **state)
{
    (void)state;
    start(mounts_what_stops);
    stops = true;
    update_fails(COCO_ESTOP, NULL);
    for (int i = 0; i < 5; i++) assert_int_equal(refused[i], COCO_ESTOP);
    expect_shelf("shelf:\"tab\" = null");
    stops = false;
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 1");
}

/* Of everything a little. */
static coco_status rich(coco_ctx *cx)
{
    coco_value v, ids;
    int64_t id;

    COCO_TRY(coco_use_state(cx, coco_text("count"), coco_int(0), &v));
    COCO_TRY(coco_state_set(cx, coco_text("count"), coco_int(coco_int_of(v) + 1)));
    COCO_TRY(coco_generate_id(cx, coco_text("id"), &id));
    COCO_TRY(coco_call(cx, &doubled, COCO_ARGS(coco_int(21)), &ids));
    COCO_TRY(coco_catch_begin(cx, listener, (void *)(uintptr_t) "inner"));
    return rows(cx);
}

/* Updates with the n-th allocation failing for every n, each time from the state that `before` leaves to that of
 * `after`. */
static void sweep_allocations(const char *before, const char *after, const char *const *shelf)
{
    for (long n = 1;; n++) {
        list = before;
        update(NULL);
        restart();
        list = after;
        w.calls = 0;
        w.fail_at = n;
        try_update(NULL);
        bool reached = w.calls >= n;
        w.fail_at = 0;
        if (!reached) break;
        if (w.rc != COCO_OK && w.rc != COCO_ENOMEM && w.rc != COCO_EFAIL) fail_msg("%s", w.err.msg);
        restart();
        assert_int_equal(w.live, 0);
        update(NULL);
        shelf_expect(shelf, __FILE__, __LINE__);
        lines_clear(&told);
    }
}

/* S9.1, S11.1 */
static void lack_of_memory_anywhere_is_an_error_and_the_next_update_converges(void **state)
{
    (void)state;
    start(rich);
    sweep_allocations("", "1=1 2=2", (const char *const[]){ "shelf:\"tab\" = null", "tab:1 = 1", "tab:2 = 2", NULL });
    sweep_allocations("1=1 2=2 3=3", "1=7 4=4",
                      (const char *const[]){ "shelf:\"tab\" = null", "tab:1 = 7", "tab:4 = 4", NULL });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(call_and_use_mount_return_the_failure),
        TEST(caller_may_go_on_after_a_failed_call),
        TEST(mount_and_mount_each_and_ready_go_on),
        TEST(drop_returns_the_failure_and_can_be_repeated),
        TEST(kept_error_fails_the_function_that_forgot_it),
        TEST(component_above_a_failed_one_runs_again_for_that_reason),
        TEST(component_that_kept_no_memo_runs_again_for_that_reason),
        TEST(handlers_are_told_from_the_innermost_scope_outward),
        TEST(swallowed_failure_goes_no_further_but_counts),
        TEST(handler_is_told_the_kind_of_mount),
        TEST(failure_of_a_sink_goes_to_the_handlers_of_the_mount),
        TEST(scope_covers_what_is_mounted_within_it_at_any_depth),
        TEST(update_with_a_failed_component_says_so_everywhere),
        TEST(first_hundred_failed_paths_are_named_and_all_are_counted),
        TEST(failed_component_keeps_its_previous_targets_and_is_tried_again),
        TEST(stopped_update_says_so_and_the_next_one_finishes),
        TEST(calls_mounts_and_iterations_after_a_stop_are_refused),
        TEST(lack_of_memory_anywhere_is_an_error_and_the_next_update_converges),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    lines_clear(&told);
    return failed;
}
