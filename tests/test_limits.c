/* test_limits.c - handlers of failures, deadlines, rate limiters, runners (S9.2, S9.4, S9.5, S9.7, S9.8). */
#include "harness.h"

#include <time.h>

static coco_status (*plan)(coco_ctx *cx);

COCO_FN(app_main, ()) { return plan(cx); }

static void start(coco_status (*body)(coco_ctx *cx), unsigned threads)
{
    plan = body;
    w.config.threads = threads;
    program(&app_main);
}

static void nap(long ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- Handlers (S9.2, S9.8) --------------------------------------------------------------------------------------- */

static lines told;

/* Notes what it was told; a name in capitals swallows, a name that ends in ! fails itself. */
static bool listener(void *user, const coco_failure *f)
{
    const char *name = user;

    lines_add(&told, "%s: %s %s%s%s%s", name, coco_status_name(f->code), f->message, f->first ? " (" : "",
              f->first ? f->first->message : "", f->first ? ")" : "");
    if (name[strlen(name) - 1] == '!') coco_err_set(f->handler, COCO_EIO, "%s has no paper", name);
    return name[0] >= 'A' && name[0] <= 'Z';
}
#define expect_told(...) (LINES_EXPECT(&told, __VA_ARGS__), lines_clear(&told))

static const char *inner, *outer;

COCO_FN(fails, ()) { return coco_fail(cx, COCO_EPARSE, "no verb"); }
static coco_status under_two_handlers(coco_ctx *cx)
{
    COCO_TRY(coco_catch_begin(cx, listener, (void *)(uintptr_t)outer));
    COCO_TRY(coco_catch_begin(cx, listener, (void *)(uintptr_t)inner));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &fails, COCO_NOARGS, NULL));
    coco_catch_end(cx);
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("outside")), &fails, COCO_NOARGS, NULL));
    coco_catch_end(cx);
    return COCO_OK;
}

static void handlers(const char *in, const char *out)
{
    inner = in, outer = out;
    w.env_config.on_failure = listener;
    w.env_config.user = (void *)(uintptr_t)"env";
    w.env_config.on_event = NULL; /* it gets the same user */
    start(under_two_handlers, 0);
    update_fails(COCO_EFAIL, NULL);
    restart();
}

/* S9.2 */
static void handlers_form_a_chain_innermost_first(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    handlers("inner", "outer");
    expect_told("inner: COCO_EPARSE no verb", "outer: COCO_EPARSE no verb", "env: COCO_EPARSE no verb",
                "outer: COCO_EPARSE no verb", "env: COCO_EPARSE no verb");
    handlers("Inner", "outer");
    expect_told("Inner: COCO_EPARSE no verb", "outer: COCO_EPARSE no verb", "env: COCO_EPARSE no verb");
    handlers("inner", "Outer");
    expect_told("inner: COCO_EPARSE no verb", "Outer: COCO_EPARSE no verb", "Outer: COCO_EPARSE no verb");
}

/* S9.8; whatever it returns */
static void handler_that_fails_hands_its_error_to_the_next_outer_one(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    handlers("Inner!", "Outer");
    expect_told("Inner!: COCO_EPARSE no verb", "Outer: COCO_EIO Inner! has no paper (no verb)",
                "Outer: COCO_EPARSE no verb");
    handlers("inner!", "outer!"); /* the first error stays beside the last */
    expect_told("inner!: COCO_EPARSE no verb", "outer!: COCO_EIO inner! has no paper (no verb)",
                "env: COCO_EIO outer! has no paper (no verb)", "outer!: COCO_EPARSE no verb",
                "env: COCO_EIO outer! has no paper (no verb)");
}

static char logged[400];
static void on_log(void *user, coco_log_level level, const char *message)
{
    (void)user, (void)level;
    snprintf(logged, sizeof logged, "%s", message);
}
static coco_status one_fails(coco_ctx *cx) { return coco_mount(cx, COCO_AUTO, &fails, COCO_NOARGS, NULL); }

/* S9.8: behind the outermost there is the log; the failure counts as what it was. */
static void outermost_handler_that_fails_is_logged_with_the_first_error(void **state)
{
    (void)state;
    w.env_config.on_failure = listener;
    w.env_config.on_log = on_log;
    w.env_config.user = (void *)(uintptr_t)"ENV!";
    w.env_config.on_event = NULL;
    start(one_fails, 0);
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(logged, "ENV! has no paper"));
    assert_non_null(strstr(logged, "no verb"));
    assert_non_null(strstr(w.err.msg, "no verb"));
    lines_clear(&told);
}

/* ---- Deadlines (S9.4) -------------------------------------------------------------------------------------------- */

static coco_status seen;

COCO_FN(checks, ())
{
    nap(5);
    return seen = coco_checkpoint(cx);
}
COCO_FN(quick, (int64_t, i), .memo = true) { return coco_return(cx, coco_int(i)); }

static coco_status (*inside)(coco_ctx *cx);
static coco_target *tab;
COCO_FN(limited, ())
{
    COCO_TRY(coco_declare(cx, tab, coco_int(1), coco_int(1)));
    return inside(cx);
}
static coco_status mounts_limited(coco_ctx *cx)
{
    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    return coco_mount(cx, COCO_AUTO, &limited, COCO_NOARGS, NULL);
}
static void limit(coco_status (*body)(coco_ctx *cx), unsigned threads)
{
    inside = body;
    seen = 1;
    start(mounts_limited, threads);
}

static coco_status calls_past_it(coco_ctx *cx)
{
    COCO_TRY(coco_deadline_begin(cx, 1));
    COCO_TRY(coco_call(cx, &quick, COCO_ARGS(coco_int(7)), NULL));
    nap(5);
    coco_status rc = coco_call(cx, &quick, COCO_ARGS(coco_int(8)), NULL);
    coco_deadline_end(cx);
    (void)rc;
    return COCO_OK; /* whatever it returns */
}

/* S9.4, S6.5 */
static void component_that_hit_its_deadline_submits_and_keeps_nothing_but_finished_calls(void **state)
{
    (void)state;
    limited.memo = true;
    for (unsigned t = 0; t < 3; t += 2) {
        limit(calls_past_it, t);
        update_fails(COCO_EFAIL, NULL);
        assert_int_equal(w.failures.n, 1);
        assert_non_null(strstr(w.failures.v[0], "/@limited COCO_EDEADLINE"));
        expect_shelf("shelf:\"tab\" = null");
        update_fails(COCO_EFAIL, NULL); /* it has run again: there is no memo of it */
        expect_events("call hit", "/@limited quick");
        restart();
        drop_all();
        restart();
    }
    limited.memo = false;
}

static coco_status uses_past_it(coco_ctx *cx)
{
    COCO_TRY(coco_deadline_begin(cx, 2));
    return coco_use_mount(cx, COCO_AUTO, &checks, COCO_NOARGS, NULL);
}

/* S9.4 */
static void use_mount_inherits_the_deadline(void **state)
{
    (void)state;
    limit(uses_past_it, 2);
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(seen, COCO_EDEADLINE);
}

static coco_status calls_within(coco_ctx *cx)
{
    COCO_TRY(coco_deadline_begin(cx, 2));
    return coco_call(cx, &checks, COCO_NOARGS, NULL);
}

/* S9.4 */
static void direct_call_inherits_the_deadline(void **state)
{
    (void)state;
    limit(calls_within, 0);
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(seen, COCO_EDEADLINE);
}

COCO_BATCH_FN(checks_in_a_batch, (int64_t, i))
{
    for (size_t k = 0; k < n; k++) results[k] = coco_copy_value(cx, calls[k].v[0]);
    nap(150);
    return seen = coco_checkpoint(cx);
}
static coco_status batches_within(coco_ctx *cx)
{
    COCO_TRY(coco_deadline_begin(cx, 100));
    coco_call(cx, &checks_in_a_batch, COCO_ARGS(coco_int(1)), NULL);
    coco_deadline_end(cx);
    return COCO_OK;
}

static void slow_sink(void) { nap(150); }
static coco_status submits_within(coco_ctx *cx) { return coco_deadline_begin(cx, 100); }

/* S9.4: a batch is for all who wait for it; a sink acts when the function is done */
static void batches_and_sinks_have_no_deadline(void **state)
{
    (void)state;
    for (unsigned t = 0; t < 3; t += 2) {
        limit(batches_within, t);
        try_update(NULL);
        assert_true(seen == COCO_OK || seen == 1); /* 1: refused before it began */
        restart();
        limit(submits_within, t);
        w.before_apply = slow_sink;
        update(NULL);
        w.before_apply = NULL;
        expect_shelf("shelf:\"tab\" = null", "tab:1 = 1");
        restart();
        drop_all();
        restart();
    }
}

static coco_status mounts_within(coco_ctx *cx)
{
    COCO_TRY(coco_deadline_begin(cx, 1000));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &checks, COCO_NOARGS, NULL));
    coco_deadline_end(cx);
    COCO_TRY(coco_deadline_begin(cx, 1));
    coco_deadline_end(cx);
    nap(3);
    return coco_checkpoint(cx); /* it has ended */
}

COCO_FN(checks_late, ())
{
    nap(50);
    return seen = coco_checkpoint(cx);
}
static coco_status mounts_and_waits(coco_ctx *cx)
{
    coco_handle *h;

    COCO_TRY(coco_deadline_begin(cx, 20));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &checks_late, COCO_NOARGS, &h));
    return coco_ready(cx, h);
}

/* S9.4; who waits for the child has its own deadline all the same. */
static void mounted_child_has_no_deadline(void **state)
{
    (void)state;
    limit(mounts_within, 0);
    update(NULL);
    assert_int_equal(seen, COCO_OK);
    restart();
    limit(mounts_and_waits, 2);
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(seen, COCO_OK);
    assert_non_null(strstr(w.failures.v[0], "/@limited COCO_EDEADLINE"));
}

static coco_status nests_later(coco_ctx *cx)
{
    COCO_TRY(coco_deadline_begin(cx, 1));
    COCO_TRY(coco_deadline_begin(cx, 60000));
    nap(5);
    seen = coco_checkpoint(cx);
    coco_deadline_end(cx);
    coco_deadline_end(cx);
    return COCO_OK;
}
static coco_status nests_earlier(coco_ctx *cx)
{
    COCO_TRY(coco_deadline_begin(cx, 60000));
    COCO_TRY(coco_deadline_begin(cx, 1));
    coco_deadline_end(cx);
    nap(5);
    seen = coco_checkpoint(cx);
    coco_deadline_end(cx);
    return seen;
}

/* S9.4 */
static void nested_deadlines_take_the_earlier(void **state)
{
    (void)state;
    limit(nests_later, 0);
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(seen, COCO_EDEADLINE);
    limit(nests_earlier, 0);
    update(NULL);
    assert_int_equal(seen, COCO_OK);
}

static coco_status tries_everything(coco_ctx *cx)
{
    const coco_value one = coco_int(1);

    COCO_TRY(coco_deadline_begin(cx, 1));
    nap(5);
    assert_int_equal(coco_call(cx, &quick, COCO_ARGS(one), NULL), COCO_EDEADLINE);
    assert_int_equal(coco_mount(cx, COCO_AUTO, &quick, COCO_ARGS(one), NULL), COCO_EDEADLINE);
    assert_int_equal(coco_use_mount(cx, COCO_AUTO, &quick, COCO_ARGS(one), NULL), COCO_EDEADLINE);
    assert_int_equal(coco_map(cx, &quick, &one, 1, COCO_NOARGS, NULL), COCO_EDEADLINE);
    assert_int_equal(coco_mount_each(cx, COCO_AUTO, &quick, coco_source_of(cx, &one, &one, 1), COCO_NOARGS),
                     COCO_EDEADLINE);
    return COCO_OK;
}

/* S9.4 */
static void calls_mounts_and_iterations_past_the_deadline_are_refused(void **state)
{
    (void)state;
    limit(tries_everything, 0);
    update_fails(COCO_EFAIL, NULL);
}

/* ---- Rate limiters (S9.5) ---------------------------------------------------------------------------------------- */

static coco_rate rate;
static double times[40];
static _Atomic int ntimes;

COCO_FN(takes, (int64_t, n))
{
    for (int64_t i = 0; i < n; i++) {
        COCO_TRY(coco_rate_wait(cx, &rate, 1));
        times[ntimes++] = now();
    }
    return COCO_OK;
}
static coco_status four_take(coco_ctx *cx)
{
    for (int64_t i = 0; i < 4; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &takes, COCO_ARGS(coco_int(5)), NULL));
    return COCO_OK;
}

/* S9.5: twenty units at 100 a second, five of them at once. */
static void rate_and_burst_are_kept_over_threads(void **state)
{
    (void)state;
    for (unsigned t = 0; t < 5; t += 4) {
        rate = (coco_rate){ .per_second = 100, .burst = 5 };
        ntimes = 0;
        start(four_take, t);
        double begun = now();
        update(NULL);
        double last = 0;
        for (int i = 0; i < 20; i++) {
            int before = 0; /* no more than rate and burst allow, up to any moment */
            for (int k = 0; k < 20; k++) before += times[k] <= times[i];
            assert_true(before <= 5 + (times[i] - begun) * 100 + 1.01);
            if (times[i] > last) last = times[i];
        }
        assert_true(last - begun >= 0.149);
        restart();
    }
}

static coco_status waits_past_deadline(coco_ctx *cx)
{
    double begun = now();

    rate = (coco_rate){ .per_second = 0.01, .burst = 1 };
    COCO_TRY(coco_rate_wait(cx, &rate, 1));
    COCO_TRY(coco_deadline_begin(cx, 90000));
    uint64_t due = rate.due;
    assert_int_equal(coco_rate_wait(cx, &rate, 1), COCO_EDEADLINE);
    assert_true(now() - begun < 80); /* at once: the turn would come too late */
    assert_true(due == rate.due);      /* and nothing was taken */
    coco_deadline_end(cx);
    return COCO_OK;
}

/* S9.5, S9.4 */
static void wait_that_would_pass_the_deadline_takes_nothing(void **state)
{
    (void)state;
    limit(waits_past_deadline, 0);
    update_fails(COCO_EFAIL, NULL);
}

static _Atomic int asked, order, first_order, second_order;

COCO_FN(asks_first, ())
{
    COCO_TRY(coco_rate_wait(cx, &rate, 10)); /* at once: the burst */
    asked = 1;
    COCO_TRY(coco_rate_wait(cx, &rate, 10));
    first_order = ++order;
    return COCO_OK;
}
COCO_FN(asks_second, ())
{
    while (!asked) nap(1);
    nap(2);
    COCO_TRY(coco_rate_wait(cx, &rate, 1));
    second_order = ++order;
    return COCO_OK;
}
static coco_status two_ask(coco_ctx *cx)
{
    COCO_TRY(coco_mount(cx, COCO_AUTO, &asks_first, COCO_NOARGS, NULL));
    return coco_mount(cx, COCO_AUTO, &asks_second, COCO_NOARGS, NULL);
}

/* S9.5: who asks for little doesn't overtake who asked for much before. On a busy machine the second may come first now
 * and then; never would it be behind if it might overtake. */
static void rate_is_given_first_come_first_served(void **state)
{
    bool behind = false;

    (void)state;
    for (int tries = 0; tries < 20 && !behind; tries++) {
        rate = (coco_rate){ .per_second = 100, .burst = 10 };
        asked = order = 0;
        start(two_ask, 2);
        update(NULL);
        behind = first_order < second_order;
        restart();
    }
    assert_true(behind);
}

static coco_status asks_wrongly(coco_ctx *cx)
{
    coco_rate none = { .burst = 1 }, small = { .per_second = 10, .burst = 2 };

    assert_int_equal(coco_rate_wait(cx, &none, 1), COCO_EINVAL);
    assert_int_equal(coco_rate_wait(cx, &small, 3), COCO_EINVAL);
    assert_int_equal(coco_rate_wait(cx, &small, 0), COCO_EINVAL);
    return COCO_OK;
}

static void more_than_the_burst_is_refused(void **state)
{
    (void)state;
    start(asks_wrongly, 0);
    update(NULL);
}

static coco_status setup_waits(coco_ctx *cx, void *user)
{
    (void)user;
    rate = (coco_rate){ .per_second = 1000, .burst = 1 };
    COCO_TRY(coco_rate_wait(cx, &rate, 1));
    return coco_rate_wait(cx, &rate, 1);
}
static coco_status nothing(coco_ctx *cx)
{
    (void)cx;
    return COCO_OK;
}

/* Regression: there is no run yet. */
static void setup_may_wait_for_a_rate(void **state)
{
    (void)state;
    w.env_config.setup = setup_waits;
    start(nothing, 0);
    update(NULL);
}

/* ---- Runners (S9.7) ---------------------------------------------------------------------------------------------- */

static coco_runner whole = COCO_RUNNER("whole"), halves = COCO_RUNNER("halves");
static coco_runner single = COCO_RUNNER("single", .own_thread = true);
static _Atomic int in_place, most_in_place;
static pthread_t its_thread;
static bool one_thread;

static coco_status stay(coco_ctx *cx, int64_t i)
{
    int n = ++in_place;

    if (n > most_in_place) most_in_place = n;
    nap(2);
    in_place--;
    return i == 3 ? coco_fail(cx, COCO_EFAIL, "as planned") : COCO_OK;
}
COCO_FN(takes_whole, (int64_t, i), .runner = &whole) { return stay(cx, i); }
COCO_FN(takes_half, (int64_t, i), .runner = &halves, .share = 0.5) { return stay(cx, i); }
COCO_FN(takes_third, (int64_t, i), .runner = &halves, .share = 1.0 / 3) { return stay(cx, i); }
COCO_FN(on_single, (int64_t, i), .runner = &single)
{
    if (its_thread && !pthread_equal(its_thread, pthread_self())) one_thread = false;
    its_thread = pthread_self();
    if (i == 100) return COCO_OK;
    COCO_TRY(coco_call(cx, &on_single, COCO_ARGS(coco_int(100)), NULL)); /* it is there already */
    return stay(cx, i);
}

static const coco_fn *placed;
static coco_status many_placed(coco_ctx *cx)
{
    for (int64_t i = 0; i < 12; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), placed, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}
static int most_of(const coco_fn *fn)
{
    placed = fn;
    in_place = most_in_place = 0;
    start(many_placed, 8);
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(w.failures.n, 1); /* whose place was given back: the others ran */
    restart();
    return most_in_place;
}

/* S9.7; a failure gives the place back at once */
static void runner_takes_as_many_as_their_shares_fit(void **state)
{
    (void)state;
    assert_int_equal(most_of(&takes_whole), 1);
    assert_in_range(most_of(&takes_half), 1, 2);
    assert_in_range(most_of(&takes_third), 2, 3);
}

/* S9.7 */
static void runner_with_a_thread_of_its_own_runs_all_calls_there(void **state)
{
    (void)state;
    one_thread = true;
    assert_int_equal(most_of(&on_single), 1);
    assert_true(one_thread);
    assert_false(pthread_equal(its_thread, pthread_self()));
}

static _Atomic int came; /* to the runner: one of them after the other */

COCO_FN(is_there, (), .runner = &halves, .share = 0.5)
{
    (void)cx;
    asked = 1;
    while (came < 2) nap(1);
    nap(10); /* the other half is free */
    return COCO_OK;
}
COCO_FN(wants_all, (), .runner = &halves)
{
    (void)cx;
    first_order = ++order;
    return COCO_OK;
}
COCO_FN(wants_half, (), .runner = &halves, .share = 0.5)
{
    (void)cx;
    second_order = ++order;
    return COCO_OK;
}
COCO_FN(comes_first, ())
{
    while (!asked) nap(1);
    came = 1;
    return coco_call(cx, &wants_all, COCO_NOARGS, NULL);
}
COCO_FN(comes_second, ())
{
    while (!came) nap(1);
    nap(2);
    came = 2;
    return coco_call(cx, &wants_half, COCO_NOARGS, NULL);
}
static coco_status three_come(coco_ctx *cx)
{
    COCO_TRY(coco_mount(cx, COCO_AUTO, &is_there, COCO_NOARGS, NULL));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &comes_first, COCO_NOARGS, NULL));
    return coco_mount(cx, COCO_AUTO, &comes_second, COCO_NOARGS, NULL);
}

/* S9.7: who would fit doesn't overtake who needs more; as with rates */
static void runner_is_given_first_come_first_served(void **state)
{
    bool behind = false;

    (void)state;
    w.config.max_inflight = 10; /* all three at a time, whatever the limits that were compiled in */
    for (int tries = 0; tries < 20 && !behind; tries++) {
        asked = came = order = 0;
        start(three_come, 4);
        update(NULL);
        behind = first_order < second_order;
        restart();
    }
    assert_true(behind);
}

COCO_FN(memo_by_half, (int64_t, i), .memo = true)
{
    nap(10);
    return coco_call(cx, &takes_whole, COCO_ARGS(coco_int(i + 10)), NULL);
}
COCO_FN(whole_by_memo, (int64_t, i), .runner = &whole)
{
    nap(5);
    return coco_call(cx, &memo_by_half, COCO_ARGS(coco_int(i)), NULL);
}
static coco_status crossing(coco_ctx *cx)
{
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(1)), &memo_by_half, COCO_ARGS(coco_int(5)), NULL));
    return coco_mount(cx, COCO_PATH(coco_int(2)), &whole_by_memo, COCO_ARGS(coco_int(5)), NULL);
}
COCO_FN(calls_memo, ()) { return coco_call(cx, &memo_by_half, COCO_ARGS(coco_int(5)), NULL); }
static coco_status crossing_calls(coco_ctx *cx)
{
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(1)), &calls_memo, COCO_NOARGS, NULL));
    return coco_mount(cx, COCO_PATH(coco_int(2)), &whole_by_memo, COCO_ARGS(coco_int(5)), NULL);
}

COCO_FN(mounts_placed, (int64_t, i), .runner = &whole)
{
    coco_handle *h;

    COCO_TRY(coco_mount(cx, COCO_AUTO, &takes_whole, COCO_ARGS(coco_int(i + 20)), &h));
    return coco_ready(cx, h);
}
static coco_status waits_below(coco_ctx *cx)
{
    for (int64_t i = 0; i < 4; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &mounts_placed, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S9.7, S6.5: who has the runner waits for a memo, or a child, whose maker wants the runner. */
static void waiting_while_holding_a_runner_ends(void **state)
{
    (void)state;
    for (unsigned t = 0; t < 5; t += 2) {
        start(crossing, t);
        update(NULL);
        restart();
        start(crossing_calls, t);
        update(OPTS(.full_reprocess = true));
        restart();
        start(waits_below, t);
        update(NULL);
        restart();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handlers_form_a_chain_innermost_first),
        TEST(handler_that_fails_hands_its_error_to_the_next_outer_one),
        TEST(outermost_handler_that_fails_is_logged_with_the_first_error),
        TEST(component_that_hit_its_deadline_submits_and_keeps_nothing_but_finished_calls),
        TEST(use_mount_inherits_the_deadline),
        TEST(direct_call_inherits_the_deadline),
        TEST(batches_and_sinks_have_no_deadline),
        TEST(mounted_child_has_no_deadline),
        TEST(nested_deadlines_take_the_earlier),
        TEST(calls_mounts_and_iterations_past_the_deadline_are_refused),
        TEST(rate_and_burst_are_kept_over_threads),
        TEST(wait_that_would_pass_the_deadline_takes_nothing),
        TEST(rate_is_given_first_come_first_served),
        TEST(more_than_the_burst_is_refused),
        TEST(setup_may_wait_for_a_rate),
        TEST(runner_takes_as_many_as_their_shares_fit),
        TEST(runner_with_a_thread_of_its_own_runs_all_calls_there),
        TEST(runner_is_given_first_come_first_served),
        TEST(waiting_while_holding_a_runner_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
