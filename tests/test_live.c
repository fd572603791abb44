/* test_live.c - live mode (S8): sources that are followed, feeds and their tokens, readiness, stop, the sync barrier.
 * All of it is done without a pool and with one of two threads. */
#include "stream.h"

#include "../engine/engine.h"

/* ---- S8.3: views and feeds --------------------------------------------------------------------------------------- */

/* S8.3, S3.3 */
static void changes_of_a_view_are_followed(void **state)
{
    (void)state;
    start(view_plan);
    set(streams, 1, 10), set(streams, 2, 20);
    go_ready();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    forget_lines();
    change(streams, 1, 11);
    in_sync();
    expect_actions("~ tab:1");
    change(streams, 3, 30);
    in_sync();
    change(streams, 2, 0);
    in_sync();
    expect_actions("~ tab:1", "+ tab:3", "- tab:2");
    expect_events("gone", "/@row/2");
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:3 = 30");
    plan = view_plan;
    update(NULL);
    expect_actions(NULL);
}

/* S8.3 */
static void touched_item_that_never_was_changes_nothing(void **state)
{
    (void)state;
    start(view_plan);
    set(streams, 1, 10);
    go_ready();
    forget_lines();
    tell(streams, TOUCH, 7, 0, 0);
    in_sync();
    expect_actions(NULL);
    expect_events("gone", NULL);
    halt();
}

/* S8.3 */
static void item_comes_back_after_it_was_gone(void **state)
{
    (void)state;
    start(view_plan);
    set(streams, 1, 10);
    go_ready();
    forget_lines();
    for (int i = 1; i <= 3; i++) {
        change(streams, 1, 0);
        in_sync();
        expect_shelf("shelf:\"tab\" = null");
        change(streams, 1, 10 + i);
        in_sync();
    }
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 13");
    halt();
    update(NULL);
    expect_actions(NULL);
}

static coco_status view_in_a_scratch(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    coco_scratch_begin(cx);
    coco_status rc = coco_mount_each(cx, COCO_AUTO, &row, view_of(cx, 0), COCO_ARGS(coco_target_value(tab)));
    coco_scratch_end(cx);
    return rc;
}

/* Its memory ends with the scratch. Where it isn't followed, that is late enough. */
static void source_made_in_a_scratch_is_not_followed(void **state)
{
    (void)state;
    start(view_in_a_scratch);
    set(streams, 1, 10);
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
    set(streams, 1, 0);
    update_fails(COCO_EINVAL, OPTS(.live = true));
    assert_non_null(strstr(w.err.msg, "made in a scratch"));
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null");
}

/* S8.3: a feed tells no whole; what it doesn't name stays */
static void feed_deletes_only_what_it_says(void **state)
{
    (void)state;
    start(feed_plan);
    go();
    tell(streams, PUT, 1, 11, 0);
    tell(streams, PUT, 2, 12, 0);
    tell(streams, READY, 0, 0, 0);
    UNTIL(ready_seen);
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 12");
    go();
    tell(streams, READY, 0, 0, 0);
    UNTIL(ready_seen);
    expect_actions(NULL);
    tell(streams, DELETE, 1, 0, 0);
    in_sync();
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 12");
}

/* S3.7, S8.3: an unreadable item stays, counts as an error, and the rest goes on */
static void unreadable_item_stays(void **state)
{
    (void)state;
    start(view_plan);
    set(streams, 1, 10);
    go_ready();
    forget_lines();
    change(streams, 1, -1);
    change(streams, 2, 20);
    in_sync();
    expect_failures("stream:1 COCO_EUNREAD no permission");
    halt_with(COCO_EFAIL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
}

/* S8.7: an overflowing queue causes a rescan, not a loss */
static void rescan_finds_what_was_missed(void **state)
{
    (void)state;
    start(view_plan);
    set(streams, 1, 10), set(streams, 2, 20), set(streams, 3, 30);
    go_ready();
    forget_lines();
    set(streams, 1, 0), set(streams, 2, 21), set(streams, 4, 40);
    tell(streams, RESCAN, 0, 0, 0);
    in_sync();
    expect_actions("~ tab:2", "+ tab:4", "- tab:1");
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 21", "tab:3 = 30", "tab:4 = 40");
    halt();
}

/* S3.7: nothing is gone below a source whose listing fails */
static void rescan_that_fails_deletes_nothing(void **state)
{
    (void)state;
    start(view_plan);
    set(streams, 1, 10), set(streams, 2, 20);
    go_ready();
    forget_lines();
    set(streams, 1, 0);
    streams[0].broken = true;
    tell(streams, RESCAN, 0, 0, 0);
    tell(streams, TOUCH, 3, 0, 0);
    UNTIL(streams[0].looks);
    expect_actions(NULL);
    streams[0].broken = false;
    tell(streams, RESCAN, 0, 0, 0);
    in_sync();
    expect_actions("- tab:1");
    expect_failures("/@row COCO_EIO the listing broke off");
    halt_with(COCO_EFAIL);
}

/* S8.3 */
static void view_is_listed_anew_in_its_interval(void **state)
{
    (void)state;
    start(view_plan);
    streams[0].rescan_ms = 20;
    set(streams, 1, 10);
    go_ready();
    set(streams, 1, 11);
    for (int i = 0; i < 200 && runs < 10; i++) nap(10);
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11");
}

static void touch_mid_scan(stream *s, int key)
{
    if (key != 2) return;
    mid_scan = NULL;
    change(s, 1, 11); /* it was listed already */
}

/* S8.7: watching starts before the first scan */
static void change_during_the_first_scan_is_not_lost(void **state)
{
    (void)state;
    start(view_plan);
    set(streams, 1, 10), set(streams, 2, 20);
    mid_scan = touch_mid_scan;
    go_ready();
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 20");
}

/* ---- S8.1: operations -------------------------------------------------------------------------------------------- */

/* S8.1 */
static void of_one_child_the_newest_change_wins(void **state)
{
    (void)state;
    start(feed_plan);
    go();
    tell(streams, READY, 0, 0, 0);
    UNTIL(ready_seen);
    held = 1;
    tell(streams, PUT, 1, 11, 0);
    UNTIL(inside == 1);
    for (int v = 21; v <= 91; v += 10) tell(streams, PUT, 1, v, 0);
    held = 0;
    in_sync();
    assert_int_equal(runs, 2); /* the first and the last */
    assert_int_equal(most, 1);
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 91");
}

/* S8.1: operations of different children run concurrently */
static void changes_of_different_children_run_at_the_same_time(void **state)
{
    (void)state;
    if (!pooled()) return;
    start(feed_plan);
    go();
    tell(streams, READY, 0, 0, 0);
    UNTIL(ready_seen);
    held = 1;
    tell(streams, PUT, 1, 11, 0);
    UNTIL(inside == 1);
    tell(streams, PUT, 2, 12, 0); /* comes while the first is at work */
    UNTIL(inside == 2);
    held = 0;
    in_sync();
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 12");
}

/* S3.8, S8.1 */
static void put_waits_while_too_many_changes_wait(void **state)
{
    (void)state;
    w.config.max_inflight = 2;
    start(feed_plan);
    go();
    tell(streams, READY, 0, 0, 0);
    UNTIL(ready_seen);
    held = 1;
    for (int i = 1; i <= 3 + (pooled() ? 1 : 0); i++) { /* at work, and waiting */
        if (i <= 1) tell(streams, PUT, i, 10 + i, 0);
        else tell(streams, PUT, i, 10 + i, 0);
        if (i == 1) UNTIL(inside == 1);
        if (i == 3) break;
    }
    pthread_mutex_lock(&lock);
    streams[0].key = 4, streams[0].number = 14, streams[0].todo = PUT;
    pthread_mutex_unlock(&lock);
    nap(50);
    pthread_mutex_lock(&lock);
    bool waits = streams[0].todo == PUT;
    pthread_mutex_unlock(&lock);
    if (!pooled()) assert_true(waits);
    held = 0;
    UNTIL(!streams[0].todo);
    in_sync();
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 12", "tab:3 = 13", "tab:4 = 14");
}

/* ---- S8.1: tokens ------------------------------------------------------------------------------------------------ */

static int last_done(void) { return streams[0].ndone ? streams[0].done[streams[0].ndone - 1] : 0; }

static void feed_ready(void)
{
    go();
    tell(streams, READY, 0, 0, 0);
    UNTIL(ready_seen);
}

/* S8.1: whether it is an update or a delete */
static void of_changes_and_deletes_that_wait_the_newest_wins(void **state)
{
    (void)state;
    start(feed_plan);
    feed_ready();
    held = 1;
    tell(streams, PUT, 1, 11, 0);
    UNTIL(inside == 1);
    tell(streams, PUT, 1, 21, 0);
    tell(streams, DELETE, 1, 0, 0);
    held = 0;
    in_sync();
    assert_int_equal(runs, 1);
    expect_shelf("shelf:\"tab\" = null");
    forget_lines();
    held = 1;
    tell(streams, PUT, 1, 31, 0);
    UNTIL(inside == 1);
    tell(streams, DELETE, 1, 0, 0);
    tell(streams, PUT, 1, 41, 0);
    held = 0;
    in_sync();
    assert_int_equal(runs, 3);
    expect_actions("+ tab:1", "~ tab:1");
    halt();
}

/* S8.1: kept across restarts */
static void token_is_found_again_after_a_restart(void **state)
{
    (void)state;
    start(feed_plan);
    feed_ready();
    assert_int_equal(streams[0].found, 0);
    tell(streams, PUT, 1, 11, 5);
    in_sync();
    tell(streams, PUT, 2, 12, 6);
    in_sync();
    UNTIL(last_done() == 6);
    halt();
    restart();
    feed_ready();
    assert_int_equal(streams[0].found, 6);
    halt();
}

/* S8.1: also where what it stands for has changed nothing, or was a delete */
static void token_of_an_operation_without_effect_is_stored(void **state)
{
    (void)state;
    start(feed_plan);
    feed_ready();
    tell(streams, PUT, 1, 11, 1);
    in_sync();
    tell(streams, DELETE, 9, 0, 2);
    in_sync();
    UNTIL(last_done() == 2);
    tell(streams, DELETE, 1, 0, 3); /* the last child: the node stays for the token */
    in_sync();
    UNTIL(last_done() == 3);
    tell(streams, PUT, 1, 21, 4);
    in_sync();
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 21");
    restart();
    feed_ready();
    assert_int_equal(streams[0].found, 4);
    halt();
}

/* S8.1: later offsets wait behind a failed operation, and after a restart the feed starts there */
static void token_does_not_pass_a_failed_operation(void **state)
{
    (void)state;
    start(feed_plan);
    feed_ready();
    tell(streams, PUT, 1, 11, 1);
    in_sync();
    tell(streams, PUT, 2, 102, 2); /* fails */
    in_sync();
    tell(streams, PUT, 3, 13, 3);
    in_sync();
    expect_failures("/@fussy/2 COCO_EFAIL over 99");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:3 = 13");
    assert_int_equal(last_done(), 1);
    halt_with(COCO_EFAIL);
    restart();
    feed_ready();
    assert_int_equal(streams[0].found, 1);
    halt();
}

/* S8.1: the same for what the sink refuses, and for a delete */
static void token_does_not_pass_what_a_sink_refuses(void **state)
{
    (void)state;
    start(feed_plan);
    feed_ready();
    tell(streams, PUT, 1, 11, 1);
    in_sync();
    fault_on("tab:1", -1, false);
    tell(streams, DELETE, 1, 0, 2);
    in_sync();
    tell(streams, PUT, 3, 13, 3);
    in_sync();
    assert_int_equal(last_done(), 1);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:3 = 13");
    faults_clear();
    halt_with(COCO_EFAIL);
    feed_ready(); /* the tombstone is worked off */
    assert_int_equal(streams[0].found, 1);
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:3 = 13");
}

static bool swallow(void *user, const coco_failure *f)
{
    (void)user, (void)f;
    return true;
}

static coco_status swallowing_plan(coco_ctx *cx)
{
    COCO_TRY(coco_catch_begin(cx, swallow, NULL));
    return feed_plan(cx);
}

/* S8.1 */
static void token_passes_a_failure_that_a_handler_swallowed(void **state)
{
    (void)state;
    start(swallowing_plan);
    feed_ready();
    tell(streams, PUT, 2, 102, 2);
    in_sync();
    UNTIL(last_done() == 2);
    halt_with(COCO_EFAIL);
}

/* S8.1 */
static void superseded_operation_counts_as_done(void **state)
{
    (void)state;
    start(feed_plan);
    feed_ready();
    held = 1;
    tell(streams, PUT, 1, 11, 1);
    UNTIL(inside == 1);
    if (pooled()) {
        tell(streams, PUT, 3, 13, 2);
        UNTIL(inside == 2);
    }
    tell(streams, PUT, 1, 101, 3); /* would fail */
    tell(streams, PUT, 1, 21, 4);
    held = 0;
    in_sync();
    UNTIL(last_done() == 4);
    expect_failures(NULL);
    halt();
}

/* S8.1: not while an earlier one is at work */
static void token_waits_for_the_operations_before_it(void **state)
{
    (void)state;
    if (!pooled()) return;
    start(feed_plan);
    feed_ready();
    held = 1;
    tell(streams, PUT, 1, 11, 1);
    UNTIL(inside == 1);
    held = 2; /* still */
    tell(streams, PUT, 2, 12, 2);
    UNTIL(inside == 2);
    nap(20);
    assert_int_equal(last_done(), 0);
    held = 0;
    in_sync();
    UNTIL(last_done() == 2);
    halt();
}

/* ---- S8.2: readiness --------------------------------------------------------------------------------------------- */

/* S8.2: the same program runs in either mode */
static void feed_is_caught_up_with_until_it_is_ready(void **state)
{
    (void)state;
    start(feed_plan);
    go_opts(NULL);
    tell(streams, PUT, 1, 11, 1);
    tell(streams, PUT, 2, 12, 2);
    tell(streams, READY, 0, 0, 0);
    assert_int_equal(wait_for_end(), COCO_OK);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 12");
    assert_int_equal(streams[0].closes, 1);
    assert_false(live_seen);
    go_opts(NULL);
    UNTIL(streams[0].watches == 2);
    assert_int_equal(streams[0].found, 2);
    tell(streams, READY, 0, 0, 0);
    assert_int_equal(wait_for_end(), COCO_OK);
    expect_actions(NULL);
}

/* S8.2 */
static void view_is_not_watched_in_catch_up_mode(void **state)
{
    (void)state;
    start(view_plan);
    set(streams, 1, 10);
    update(NULL);
    assert_int_equal(streams[0].watches, 0);
    assert_int_equal(streams[0].closes, 1);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
}

/* S8.2 */
static void returning_without_ready_is_ready(void **state)
{
    (void)state;
    start(feed_plan);
    go_opts(NULL);
    tell(streams, PUT, 1, 11, 1);
    tell(streams, RETURN, 0, 0, 0);
    assert_int_equal(wait_for_end(), COCO_OK);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11");
}

/* S8.2 */
static void ready_comes_when_the_initial_state_is_in_the_targets(void **state)
{
    (void)state;
    start(feed_plan);
    go();
    held = 1;
    tell(streams, PUT, 1, 11, 1);
    tell(streams, READY, 0, 0, 0);
    UNTIL(inside == 1);
    nap(20);
    assert_false(ready_seen);
    held = 0;
    UNTIL(ready_seen);
    assert_true(live_seen);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11");
    halt();
}

/* S7.12: in a preview nothing is followed */
static void preview_starts_no_live_part(void **state)
{
    (void)state;
    start(feed_plan);
    update(OPTS(.preview = true, .live = true));
    assert_int_equal(streams[0].watches, 0);
    start(view_plan);
    set(streams, 1, 10);
    update(OPTS(.preview = true, .live = true));
    assert_int_equal(streams[0].watches, 0);
    assert_int_equal(w.result.inserts, 2);
}

static void live_mode_of_one_path_is_refused(void **state)
{
    (void)state;
    start(view_plan);
    update_fails(COCO_EINVAL, OPTS(.live = true, .only = "/@row"));
}

/* ---- S8.6: failures and stop ------------------------------------------------------------------------------------- */

/* S8.6: a failure goes to the handlers, and the loop goes on */
static void failed_change_does_not_end_the_loop(void **state)
{
    (void)state;
    start(view_plan);
    set(streams, 1, 10);
    go_ready();
    forget_lines();
    change(streams, 1, 100);
    in_sync();
    expect_failures("/@row/1 COCO_EFAIL over 99");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
    change(streams, 1, 12);
    in_sync();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 12");
    halt_with(COCO_EFAIL);
}

/* S8.6 */
static void watch_tells_of_failures(void **state)
{
    (void)state;
    start(view_plan);
    set(streams, 1, 10);
    go_ready();
    forget_lines();
    tell(streams, FAIL, 0, 0, 0);
    in_sync();
    expect_failures("/@row COCO_EIO a hiccup");
    change(streams, 1, 11);
    in_sync();
    tell(streams, RETURN, 0, COCO_EIO, 0);
    UNTIL(failures_seen == 2); /* nobody watches any more: there is nothing to be in sync with */
    expect_failures("/@row COCO_EIO a hiccup", "/@row COCO_EIO input or output failed");
    halt_with(COCO_EFAIL);
}

/* S8.6 */
static void stop_before_ready_is_a_stop(void **state)
{
    (void)state;
    start(feed_plan);
    go();
    tell(streams, PUT, 1, 11, 1);
    UNTIL(runs == 1);
    halt_with(COCO_ESTOP);
}

/* S8.6 */
static void stop_while_a_function_runs_leaves_nothing_half_done(void **state)
{
    (void)state;
    start(feed_plan);
    feed_ready();
    tell(streams, PUT, 1, 11, 1);
    in_sync();
    held = 1;
    tell(streams, PUT, 2, 12, 2);
    UNTIL(inside == 1);
    halt(); /* the function sees it at a checkpoint, and fails */
    held = 0;
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11");
    feed_ready();
    assert_int_equal(streams[0].found, 1);
    halt();
}

static coco_status no_plan(coco_ctx *cx)
{
    (void)cx;
    return COCO_OK;
}

/* S8.6: sleeping costs nothing, and is ended by a stop */
static void live_update_of_nothing_waits_for_the_stop(void **state)
{
    (void)state;
    start(no_plan);
    go_ready();
    halt();
}

static coco_status failing_plan(coco_ctx *cx)
{
    COCO_TRY(view_plan(cx));
    return coco_fail(cx, COCO_EFAIL, "as asked");
}

static void main_that_fails_ends_the_update(void **state)
{
    (void)state;
    start(failing_plan);
    set(streams, 1, 10);
    go();
    wait_for_end();
    expect_rc(COCO_EFAIL, __FILE__, __LINE__);
    assert_int_equal(streams[0].closes, 1);
}

/* ---- S8.8: the barrier ------------------------------------------------------------------------------------------- */

/* S8.8: a source that can't answer is listed anew */
static void sync_without_a_hook_lists_anew(void **state)
{
    (void)state;
    start(view_plan);
    streams[0].hooked = false;
    set(streams, 1, 10);
    go_ready();
    set(streams, 1, 0), set(streams, 2, 20);
    in_sync();
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 20");
    halt();
}

/* S8.8: what can't be listed isn't in sync; another request lists it anew */
static void sync_waits_for_a_listing_that_succeeds(void **state)
{
    coco_err err = { 0 };

    (void)state;
    start(view_plan);
    set(streams, 1, 10);
    go_ready();
    set(streams, 1, 0);
    streams[0].broken = true;
    tell(streams, RESCAN, 0, 0, 0);
    assert_int_equal(coco_sync(w.app, 50, &err), COCO_EDEADLINE);
    streams[0].broken = false;
    in_sync();
    expect_shelf("shelf:\"tab\" = null");
    halt_with(COCO_EFAIL);
}

/* S8.8 */
static void sync_waits_for_an_update_that_was_just_started(void **state)
{
    char want[20];

    (void)state;
    for (int i = 0; i < 20; i++) {
        start(view_plan);
        set(streams, 1, 10 + i);
        snprintf(want, sizeof want, "tab:1 = %d", 10 + i);
        go();
        in_sync();
        expect_shelf("shelf:\"tab\" = null", want);
        halt();
    }
}

/* S8.8 */
static void sync_that_takes_too_long_is_a_deadline_error(void **state)
{
    coco_err err = { 0 };

    (void)state;
    start(feed_plan);
    feed_ready();
    held = 1;
    tell(streams, PUT, 1, 11, 1);
    assert_int_equal(coco_sync(w.app, 50, &err), COCO_EDEADLINE);
    held = 0;
    in_sync();
    halt();
    assert_int_equal(coco_sync(w.app, 50, &err), COCO_EINVAL);
}

static size_t calls_of_sync(void)
{
    coco__live *l = w.app->live;

    pthread_mutex_lock(&l->lock);
    size_t n = l->nusers;
    pthread_mutex_unlock(&l->lock);
    return n;
}

static void *sync_on_a_thread(void *out)
{
    *(coco_status *)out = coco_sync(w.app, 10000, NULL);
    return NULL;
}

/* S8.8 */
static void sync_ends_with_the_update(void **state)
{
    pthread_t thread;
    coco_status rc = COCO_OK;

    (void)state;
    start(feed_plan);
    feed_ready();
    held = 1;
    tell(streams, PUT, 1, 11, 1);
    UNTIL(inside == 1);
    assert_int_equal(pthread_create(&thread, NULL, sync_on_a_thread, &rc), 0);
    UNTIL(calls_of_sync() == 1);
    halt();
    pthread_join(thread, NULL);
    assert_int_equal(rc, COCO_ESTOP);
    held = 0;
}

/* An item with a child if its value is odd. */
COCO_FN(holder, (coco_value, kv, coco_target *, tab))
{
    if (coco_int_of(coco_at(kv, 1)) % 2 == 0) return COCO_OK;
    return coco_mount(cx, COCO_AUTO, &row, COCO_ARGS(kv, coco_target_value(tab)), NULL);
}

static coco_status holder_plan(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &holder, view_of(cx, 0), COCO_ARGS(coco_target_value(tab)));
}

/* S8.8, S3.7: what an item no longer mounts is deleted with it, though nothing else is at work */
static void sync_waits_for_deletes_below_an_item(void **state)
{
    (void)state;
    start(holder_plan);
    set(streams, 1, 11);
    go_ready();
    for (int i = 12; i < 40; i += 2) {
        change(streams, 1, i);
        in_sync();
        expect_shelf("shelf:\"tab\" = null");
        change(streams, 1, i + 1);
        in_sync();
        assert_int_equal(w.nshelf, 2);
    }
    halt();
}

/* ---- S3.10 ------------------------------------------------------------------------------------------------------- */

/* S3.10: a tripped guard is reported and the rest goes on */
static void guard_that_trips_does_not_end_the_loop(void **state)
{
    (void)state;
    w.config.guard_states = 5;
    start(view_plan);
    for (int i = 1; i <= 10; i++) set(streams, i, 10 + i);
    go_ready();
    for (int i = 1; i <= 9; i++) set(streams, i, 0);
    tell(streams, RESCAN, 0, 0, 0);
    in_sync();
    assert_int_equal(w.nshelf, 11);
    forget_lines();
    change(streams, 20, 20);
    change(streams, 10, 0); /* one alone may go */
    in_sync();
    expect_actions("+ tab:20", "- tab:10");
    expect_failures(NULL);
    halt_with(COCO_EGUARD);
    update(OPTS(.allow_delete = true));
    expect_shelf("shelf:\"tab\" = null", "tab:20 = 20");
}

/* ---- Hosts below hosts ------------------------------------------------------------------------------------------- */

COCO_FN(branch, (coco_value, kv, coco_target *, tab))
{
    int i = (int)coco_int_of(coco_at(kv, 0));

    if (coco_int_of(coco_at(kv, 1)) > 99) return coco_fail(cx, COCO_EFAIL, "over 99");
    return coco_mount_each(cx, COCO_AUTO, &row, view_of(cx, i), COCO_ARGS(coco_target_value(tab)));
}

static coco_status tree_plan(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &branch, view_of(cx, 0), COCO_ARGS(coco_target_value(tab)));
}

COCO_FN(doubled, (int, n), .memo = true) { return coco_return(cx, coco_int(2 * n)); }
COCO_FN(twig, (coco_value, kv, coco_target *, tab))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &doubled, COCO_ARGS(coco_at(kv, 1)), &v));
    return run_row(cx, (int)coco_int_of(coco_at(kv, 0)), (int)coco_int_of(v), tab);
}

static atomic_int holds_up; /* 1: the branch of item 9 waits; 2: it does */

COCO_FN(bough, (coco_value, kv, coco_target *, tab))
{
    int i = (int)coco_int_of(coco_at(kv, 0)), one = 1;

    if (i == 9 && atomic_compare_exchange_strong(&holds_up, &one, 2))
        while (holds_up == 2) nap(1);
    if (i == 9) return COCO_OK;
    return coco_mount_each(cx, COCO_AUTO, &twig, view_of(cx, i), COCO_ARGS(coco_target_value(tab)));
}

static coco_status bough_plan(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &bough, view_of(cx, 0), COCO_ARGS(coco_target_value(tab)));
}

/* S8.2: an item and one below it change at the same time: the lower one would be at work twice, from one record. */
static void item_and_one_below_it_change_at_the_same_time(void **state)
{
    (void)state;
    for (int order = 0; order < 3; order++) {
        start(bough_plan);
        set(streams, 1, 1), set(streams + 1, 11, 10 + order), set(streams, 9, 1);
        go_ready();
        holds_up = 1;
        change(streams, 9, 2 + order);
        UNTIL(holds_up == 2);
        if (order == 2) fault_on("tab:11", 1, false); /* then it waits for a last try */
        if (order == 1) change(streams, 1, 2);
        change(streams + 1, 11, 20 + order);
        if (order != 1) change(streams, 1, 2);
        holds_up = 0;
        in_sync();
        expect_shelf("shelf:\"tab\" = null", order == 0 ? "tab:11 = 40" : order == 1 ? "tab:11 = 42" : "tab:11 = 44");
        halt();
        faults_clear();
        expect_sound(__FILE__, __LINE__);
        set(streams, 1, 0), set(streams + 1, 11, 0), set(streams, 9, 0);
        update(NULL);
    }
}

/* S8.1, S3.3 */
static void source_in_an_item_of_a_source_is_followed(void **state)
{
    (void)state;
    start(tree_plan);
    set(streams, 1, 1);
    set(streams + 1, 11, 10), set(streams + 2, 21, 20);
    go_ready();
    expect_shelf("shelf:\"tab\" = null", "tab:11 = 10");
    change(streams, 2, 1); /* another branch */
    in_sync();
    change(streams + 2, 22, 22);
    in_sync();
    change(streams + 1, 11, 0);
    in_sync();
    expect_shelf("shelf:\"tab\" = null", "tab:21 = 20", "tab:22 = 22");
    change(streams, 2, 2); /* runs anew: its part is begun anew */
    in_sync();
    UNTIL(streams[2].watches >= 2);
    change(streams + 2, 22, 23);
    in_sync();
    expect_shelf("shelf:\"tab\" = null", "tab:21 = 20", "tab:22 = 23");
    change(streams, 2, 0); /* gone: so is what it follows */
    in_sync();
    expect_shelf("shelf:\"tab\" = null");
    UNTIL(!streams[2].watched && streams[2].closes == 2);
    change(streams, 2, 3);
    in_sync();
    expect_shelf("shelf:\"tab\" = null", "tab:21 = 20", "tab:22 = 23");
    halt();
    update(NULL);
    expect_actions(NULL);
}

/* S3.7: what fails keeps its children, but isn't followed until it runs again */
static void host_that_fails_is_not_followed(void **state)
{
    (void)state;
    start(tree_plan);
    set(streams, 1, 1), set(streams + 1, 11, 10);
    go_ready();
    change(streams, 1, 100);
    in_sync();
    UNTIL(!streams[1].watched);
    expect_shelf("shelf:\"tab\" = null", "tab:11 = 10");
    change(streams, 1, 2);
    in_sync();
    change(streams + 1, 11, 12);
    in_sync();
    expect_shelf("shelf:\"tab\" = null", "tab:11 = 12");
    halt_with(COCO_EFAIL);
}

/* ---- S7.6, S7.11: containers that are made anew ------------------------------------------------------------------ */

static coco_target *made;

/* Item 2 makes a container by the schema it names, item 1 declares a row into it. */
COCO_FN(maker_or_row, (coco_value, kv))
{
    int value = (int)coco_int_of(coco_at(kv, 1));

    if (coco_int_of(coco_at(kv, 0)) == 1) return coco_declare(cx, made, coco_int(7), coco_int(value));
    return mount_tab(cx, "tab", MAP1("schema", coco_int(value)), &made);
}

static coco_status made_plan(coco_ctx *cx)
{
    return coco_mount_each(cx, COCO_AUTO, &maker_or_row, view_of(cx, 0), COCO_NOARGS);
}

/* The row was refused, and its last try comes when its container is another: it fails, and isn't put there under the
 * old one's name. */
static void refused_row_is_not_put_into_what_its_container_became(void **state)
{
    (void)state;
    w.config.max_inflight = 1;
    start(made_plan);
    set(streams, 2, 1);
    go_ready();
    change(streams, 1, 10);
    in_sync();
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:7 = 10");
    forget_lines();
    fault_on("tab:7", 1, false);
    set(streams, 1, 11), set(streams, 2, 2);
    tell(streams, RESCAN, 0, 0, 0);
    in_sync();
    expect_actions("! tab:7", "~ shelf:\"tab\"");
    expect_failures("/@maker_or_row/1 COCO_ENOTFOUND tab:7: its container was made anew");
    expect_shelf("shelf:\"tab\" = {\"schema\":2}", "tab:7 = 10"); /* our shelf keeps its content when it is changed */
    forget_lines();
    change(streams, 1, 12);
    in_sync();
    change(streams, 1, 0);
    in_sync();
    expect_actions("+ tab:7", "- tab:7");
    expect_shelf("shelf:\"tab\" = {\"schema\":2}");
    halt_with(COCO_EFAIL);
    expect_sound(__FILE__, __LINE__);
}

/* The same in one round, where nothing was sent yet. */
static void row_declared_into_what_another_makes_anew_in_its_round_fails(void **state)
{
    (void)state;
    if (pooled()) return; /* then a round is what has come until it begins */
    w.config.max_inflight = 10;
    start(made_plan);
    set(streams, 2, 1);
    go_ready();
    forget_lines();
    set(streams, 1, 11), set(streams, 2, 2);
    tell(streams, RESCAN, 0, 0, 0);
    in_sync();
    expect_actions("~ shelf:\"tab\"");
    expect_failures("/@maker_or_row/1 COCO_ENOTFOUND tab:7 is declared into what is made anew");
    change(streams, 1, 12);
    in_sync();
    expect_shelf("shelf:\"tab\" = {\"schema\":2}", "tab:7 = 12");
    halt_with(COCO_EFAIL);
    expect_sound(__FILE__, __LINE__);
}

RUN_BOTH(TEST(changes_of_a_view_are_followed),
        TEST(touched_item_that_never_was_changes_nothing),
        TEST(item_comes_back_after_it_was_gone),
        TEST(source_made_in_a_scratch_is_not_followed),
        TEST(feed_deletes_only_what_it_says),
        TEST(unreadable_item_stays),
        TEST(rescan_finds_what_was_missed),
        TEST(rescan_that_fails_deletes_nothing),
        TEST(view_is_listed_anew_in_its_interval),
        TEST(change_during_the_first_scan_is_not_lost),
        TEST(of_one_child_the_newest_change_wins),
        TEST(of_changes_and_deletes_that_wait_the_newest_wins),
        TEST(changes_of_different_children_run_at_the_same_time),
        TEST(put_waits_while_too_many_changes_wait),
        TEST(token_is_found_again_after_a_restart),
        TEST(token_of_an_operation_without_effect_is_stored),
        TEST(token_does_not_pass_a_failed_operation),
        TEST(token_does_not_pass_what_a_sink_refuses),
        TEST(token_passes_a_failure_that_a_handler_swallowed),
        TEST(superseded_operation_counts_as_done),
        TEST(token_waits_for_the_operations_before_it),
        TEST(feed_is_caught_up_with_until_it_is_ready),
        TEST(view_is_not_watched_in_catch_up_mode),
        TEST(returning_without_ready_is_ready),
        TEST(ready_comes_when_the_initial_state_is_in_the_targets),
        TEST(preview_starts_no_live_part),
        TEST(live_mode_of_one_path_is_refused),
        TEST(failed_change_does_not_end_the_loop),
        TEST(watch_tells_of_failures),
        TEST(stop_while_a_function_runs_leaves_nothing_half_done),
        TEST(stop_before_ready_is_a_stop),
        TEST(live_update_of_nothing_waits_for_the_stop),
        TEST(main_that_fails_ends_the_update),
        TEST(sync_without_a_hook_lists_anew),
        TEST(sync_waits_for_a_listing_that_succeeds),
        TEST(sync_waits_for_an_update_that_was_just_started),
        TEST(sync_waits_for_deletes_below_an_item),
        TEST(sync_that_takes_too_long_is_a_deadline_error),
        TEST(sync_ends_with_the_update),
        TEST(guard_that_trips_does_not_end_the_loop),
        TEST(source_in_an_item_of_a_source_is_followed),
        TEST(item_and_one_below_it_change_at_the_same_time),
        TEST(host_that_fails_is_not_followed),
        TEST(refused_row_is_not_put_into_what_its_container_became),
        TEST(row_declared_into_what_another_makes_anew_in_its_round_fails))
