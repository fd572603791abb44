/* test_live_parts.c - live components and their operators (S8.1), auto_refresh (S8.4), live maps (S8.5), and what a run
 * of days costs. All of it is done without a pool and with one of two threads. */
#include "stream.h"

#include "../engine/engine.h"

#include <fcntl.h>
#include <sys/stat.h>

/* ---- S8.1: live components --------------------------------------------------------------------------------------- */

static atomic_int content, passes; /* what the full pass mounts: rows 1 to content */
static pthread_t pass_thread, live_thread; /* where the pass and the live part ran last */

COCO_FN(member, (int64_t, k, int64_t, v, coco_target *, tab)) { return run_row(cx, (int)k, (int)v, tab); }
COCO_FN(whole, (coco_target *, tab))
{
    passes++;
    pass_thread = pthread_self();
    if (content < 0) return coco_fail(cx, COCO_EFAIL, "no content");
    for (int i = 1; i <= content; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &member,
                            COCO_ARGS(coco_int(i), coco_int(10 * i), coco_target_value(tab)), NULL));
    return COCO_OK;
}

static coco_target *the_tab; /* of the update; for operators */
static const char *script;   /* what the live part does, letter by letter */
static atomic_int script_step, script_go;
static coco_status script_rc;
static int state_found;
static coco_operator *operator;

/* p K V: put, d K: delete, f: full pass, w: wait, s N: state, r: ready, e: report, .: waits for the test */
static coco_status follow_script(coco_operator *op, const coco_value *args)
{
    coco_err err = { 0 };
    int k, v, n;

    operator = op;
    live_thread = pthread_self();
    state_found = (int)coco_int_of(coco_operator_state(op));
    for (const char *p = script; *p && script_rc == COCO_OK; script_step++) {
        char what = *p;
        n = 1;
        switch (what) {
        case 'p':
            sscanf(p, "p %d %d%n", &k, &v, &n);
            script_rc = coco_operator_update(op, COCO_PATH(coco_int(k)), &member,
                                             COCO_ARGS(coco_int(k), coco_int(v), args[0]));
            break;
        case 'd':
            sscanf(p, "d %d%n", &k, &n);
            script_rc = coco_operator_delete(op, COCO_PATH(coco_int(k)));
            break;
        case 's':
            sscanf(p, "s %d%n", &k, &n);
            script_rc = coco_operator_set_state(op, coco_int(k));
            break;
        case 'f': script_rc = coco_operator_update_full(op); break;
        case 'w': script_rc = coco_operator_wait(op); break;
        case 'r': coco_operator_ready(op); break;
        case 'e': coco_err_set(&err, COCO_EIO, "odd"), coco_operator_report(op, &err); break;
        case '.':
            for (int before = script_step; script_go <= before && !coco_operator_stopping(op);) nap(1);
            break;
        default: script_step--; break;
        }
        p += n;
    }
    return script_rc == COCO_ESTOP ? COCO_OK : script_rc;
}

static const coco_live_fn the_live = { &whole, follow_script };

static coco_status component_plan(coco_ctx *cx)
{
    COCO_TRY(tab_of(cx, &the_tab));
    return coco_mount_live(cx, COCO_AUTO, &the_live, COCO_ARGS(coco_target_value(the_tab)), NULL);
}

static void start_script(const char *text)
{
    start(component_plan);
    content = 2;
    passes = 0;
    script = text;
    script_step = script_go = 0;
    script_rc = COCO_OK;
}

/* S8.1 */
static void live_component_updates_and_deletes_children(void **state)
{
    (void)state;
    start_script("p 7 70 w p 1 11 d 2 w r .");
    go_ready();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:7 = 70");
    halt();
    assert_int_equal(passes, 1);
    assert_int_equal(script_rc, COCO_OK);
}

/* S8.1, S3.7: a full pass makes gone what it doesn't mount */
static void full_pass_of_a_live_component_deletes_what_it_does_not_mount(void **state)
{
    (void)state;
    start_script("p 7 70 w r . f .");
    go_ready();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20", "tab:7 = 70");
    content = 1;
    script_go = 100;
    UNTIL(passes == 2 && script_step >= 5);
    in_sync();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
    halt();
}

/* S8.1: update_full returns when it is in the targets */
static void full_pass_is_awaited(void **state)
{
    (void)state;
    start_script("f f f r");
    content = 3;
    go_ready();
    assert_int_equal(passes, 4);
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20", "tab:3 = 30");
}

/* S8.1: update_full is exclusive */
static void full_pass_begins_behind_the_changes_before_it(void **state)
{
    (void)state;
    start_script("r . p 1 11 f .");
    go_ready();
    held = 1;
    script_go = 2;
    UNTIL(inside == 1);
    nap(30);
    assert_int_equal(passes, 1);
    held = 0;
    UNTIL(passes == 2 && script_step >= 4);
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
}

/* S8.1 */
static void change_waits_while_a_full_pass_runs(void **state)
{
    (void)state;
    w.config.max_inflight = 10; /* both rows at a time, whatever the limits that were compiled in */
    start_script("r . f .");
    go_ready();
    held = 1;
    script_go = 2;
    UNTIL(inside == (pooled() ? 2 : 1));
    int before = runs;
    assert_int_equal(coco_operator_update(operator, COCO_PATH(coco_int(7)), &member,
                                          COCO_ARGS(coco_int(7), coco_int(70), coco_target_value(the_tab))), COCO_OK);
    nap(30);
    assert_int_equal(runs, before);
    held = 0;
    UNTIL(script_step >= 3);
    in_sync();
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20", "tab:7 = 70");
}

/* S3.9: in either case */
static void live_part_has_a_thread_of_its_own(void **state)
{
    (void)state;
    start_script("f r");
    go_ready();
    halt();
    assert_int_equal(passes, 2);
    assert_false(pthread_equal(live_thread, pass_thread));
}

/* S8.1, S8.6: a cycle's failure goes to the handlers and the loop goes on */
static void full_pass_that_fails_is_followed_by_another(void **state)
{
    (void)state;
    start_script("r . f . f");
    go_ready();
    content = -1;
    script_go = 2;
    UNTIL(passes == 2 && script_step >= 3);
    in_sync();
    expect_failures("/@whole COCO_EFAIL no content");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    content = 1;
    script_go = 100;
    UNTIL(passes == 3 && script_step >= 5);
    in_sync();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
    halt_with(COCO_EFAIL);
}

/* S8.1 */
static void state_of_an_operator_is_found_again(void **state)
{
    (void)state;
    start_script("p 7 70 s 5 w r");
    go_ready();
    assert_int_equal(state_found, 0);
    in_sync();
    halt();
    restart();
    start_script("r");
    go_ready();
    assert_int_equal(state_found, 5);
    halt();
    start_script("p 8 100 s 6 w p 9 90 s 7 w r"); /* 8 fails */
    go_ready();
    in_sync();
    halt_with(COCO_EFAIL);
    start_script("r");
    go_ready();
    assert_int_equal(state_found, 5);
    halt();
}

static coco_status component_and_feed_plan(coco_ctx *cx)
{
    COCO_TRY(component_plan(cx));
    return coco_mount_each(cx, COCO_PATH(coco_text("feed")), &fussy, feed_of(cx, 0),
                           COCO_ARGS(coco_target_value(the_tab)));
}

static void go_with_feed(const char *text)
{
    start_script(text);
    plan = component_and_feed_plan;
    go();
    tell(&streams[0], READY, 0, 0, 0);
    UNTIL(ready_seen);
}

/* Operations that wait for the update's thread. */
static size_t queued(void)
{
    coco__live *l = w.app->live;

    pthread_mutex_lock(&l->lock);
    size_t n = l->nqueued;
    pthread_mutex_unlock(&l->lock);
    return n;
}

/* S8.1: the round before a full pass, which makes room for it, keeps the state with its component as any other does */
static void state_is_kept_with_its_component_by_the_round_before_a_full_pass(void **state)
{
    (void)state;
    w.config.max_inflight = 1;
    go_with_feed("r . s 5 f .");
    held = 1;
    tell(&streams[0], PUT, 0, 19, 0);
    UNTIL(inside == 1);
    script_go = 2;
    UNTIL(queued() == 1); /* the full pass begins behind the item, whose round isn't written yet */
    held = 0;
    UNTIL(script_step >= 4);
    in_sync();
    halt();
    restart();
    go_with_feed("r .");
    assert_int_equal(state_found, 5);
    expect_actions(NULL);
    halt();
}

/* S8.1 */
static void operator_reports_exceptions(void **state)
{
    (void)state;
    start_script("e w r");
    go_ready();
    in_sync();
    expect_failures("/@whole COCO_EIO odd");
    halt_with(COCO_EFAIL);
}

/* S8.2: in catch-up mode the live part ends when it is ready, or returns */
static void live_component_is_caught_up_with(void **state)
{
    (void)state;
    start_script("p 7 70 r .");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20", "tab:7 = 70");
    start_script("p 7 71");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20", "tab:7 = 71");
}

COCO_FN(remembering, (), .memo = true) { return component_plan(cx); }
static coco_status remembering_plan(coco_ctx *cx) { return coco_mount(cx, COCO_AUTO, &remembering, COCO_NOARGS, NULL); }

/* S4.7 for what is followed */
static void live_component_under_a_memo_is_an_error(void **state)
{
    (void)state;
    start_script("r");
    plan = remembering_plan;
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(w.failures.n, 1);
    assert_non_null(strstr(w.failures.v[0], "COCO_EMEMO"));
}

/* ---- S8.4 -------------------------------------------------------------------------------------------------------- */

static coco_status refresh_plan(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_auto_refresh(cx, COCO_AUTO, &whole, 20, COCO_ARGS(coco_target_value(tab)));
}

/* S8.4 */
static void refreshed_component_runs_again_and_again(void **state)
{
    (void)state;
    start(refresh_plan);
    content = 2;
    passes = 0;
    go_ready();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    content = 1;
    int before = passes;
    UNTIL(passes >= before + 4);
    in_sync();
    halt();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
}

/* S8.4, S8.6 */
static void refreshed_component_that_fails_runs_again(void **state)
{
    (void)state;
    start(refresh_plan);
    content = 2;
    go_ready();
    content = -1;
    UNTIL(failures_seen >= 2);
    content = 1;
    int before = passes;
    UNTIL(passes >= before + 2);
    in_sync();
    halt_with(COCO_EFAIL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
}

/* S8.4: once in catch-up mode */
static void refreshed_component_runs_once_in_catch_up_mode(void **state)
{
    (void)state;
    start(refresh_plan);
    content = 2;
    passes = 0;
    update(NULL);
    assert_int_equal(passes, 1);
}

/* ---- S8.5: live maps --------------------------------------------------------------------------------------------- */

/* Declares entry k of the map with the value v; over 99 fails behind it. */
COCO_FN(declares, (coco_value, kv))
{
    COCO_TRY(coco_live_map_declare(cx, coco_live_map_get(cx, "between"), coco_at(kv, 0), kv));
    return coco_int_of(coco_at(kv, 1)) > 99 ? coco_fail(cx, COCO_EFAIL, "over 99") : COCO_OK;
}

static coco_status map_plan(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    COCO_TRY(coco_mount_each(cx, COCO_AUTO, &row, coco_live_map_source(cx, coco_live_map_get(cx, "between")),
                             COCO_ARGS(coco_target_value(tab)))); /* before what it consumes: no matter */
    return coco_mount_each(cx, COCO_AUTO, &declares, view_of(cx, 0), COCO_NOARGS);
}

/* S8.5 */
static void entries_of_a_live_map_are_followed(void **state)
{
    (void)state;
    start(map_plan);
    set(streams, 1, 10), set(streams, 2, 20);
    go_ready();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    forget_lines();
    change(streams, 1, 11);
    in_sync();
    in_sync();
    change(streams, 3, 30);
    in_sync();
    in_sync();
    change(streams, 2, 0); /* gone with what declared it */
    in_sync();
    in_sync();
    expect_actions("~ tab:1", "+ tab:3", "- tab:2");
    change(streams, 1, 100); /* fails: what it declared before stays */
    in_sync();
    in_sync();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:3 = 30");
    halt_with(COCO_EFAIL);
}

/* S8.5, S8.2 */
static void live_map_is_consumed_in_catch_up_mode(void **state)
{
    (void)state;
    start(map_plan);
    set(streams, 1, 10), set(streams, 2, 20);
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    set(streams, 2, 0), set(streams, 3, 30);
    restart();
    update(NULL);
    expect_actions("+ tab:3", "- tab:2");
    set(streams, 3, 100); /* it may have declared more: nothing is gone */
    update_fails(COCO_EFAIL, NULL);
    expect_actions(NULL);
    set(streams, 3, 30);
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:3 = 30");
}

static coco_status two_consumers(coco_ctx *cx)
{
    COCO_TRY(map_plan(cx));
    return coco_mount_each(cx, COCO_PATH(coco_text("again")), &declares,
                           coco_live_map_source(cx, coco_live_map_get(cx, "between")), COCO_NOARGS);
}

/* S8.3: one watcher at a time */
static void second_consumer_of_a_live_map_is_an_error(void **state)
{
    (void)state;
    start(two_consumers);
    update_fails(COCO_EDUP, NULL);
}

static coco_status twice_in_the_map(coco_ctx *cx)
{
    coco_live_map *map = coco_live_map_get(cx, "between");

    COCO_TRY(coco_live_map_declare(cx, map, coco_int(1), coco_int(1)));
    return coco_live_map_declare(cx, map, coco_int(1), coco_int(2));
}

/* S2.4 for entries */
static void entry_declared_twice_is_an_error(void **state)
{
    (void)state;
    start(twice_in_the_map);
    update_fails(COCO_EDUP, NULL);
}

/* ---- Groups ------------------------------------------------------------------------------------------------------ */

static coco_status unique_plan(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", MAP1("unique", coco_bool(true)), &tab));
    return coco_mount_each(cx, COCO_AUTO, &row, view_of(cx, 0), COCO_ARGS(coco_target_value(tab)));
}

/* S7.4: what a sink refuses is tried again at the end of the group, when its deletes have made room */
static void value_of_an_item_that_goes_can_be_taken_by_another(void **state)
{
    (void)state;
    start(unique_plan);
    set(streams, 1, 10), set(streams, 2, 20);
    go_ready();
    forget_lines();
    set(streams, 1, 20), set(streams, 2, 0);
    tell(streams, RESCAN, 0, 0, 0);
    in_sync();
    expect_actions("! tab:1", "- tab:2", "~ tab:1");
    expect_failures(NULL);
    halt();
    expect_shelf("shelf:\"tab\" = {\"unique\":true}", "tab:1 = 20");
}

COCO_FN(shared_row, (coco_value, kv, coco_target *, tab))
{
    return coco_declare(cx, tab, coco_int(1), coco_at(kv, 1));
}

static coco_status shared_plan(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &shared_row, view_of(cx, 0), COCO_ARGS(coco_target_value(tab)));
}

/* S7.9: an item is renamed: its state moves, and nothing is deleted */
static void state_of_a_renamed_item_moves(void **state)
{
    (void)state;
    start(shared_plan);
    set(streams, 1, 10);
    go_ready();
    for (int i = 1; i < 5; i++) {
        forget_lines();
        set(streams, i + 1, 10), set(streams, i, 0);
        tell(streams, RESCAN, 0, 0, 0);
        in_sync();
        expect_actions(NULL);
        expect_failures(NULL);
    }
    forget_lines();
    change(streams, 9, 30); /* its owner is still there */
    in_sync();
    assert_int_equal(w.failures.n, 1);
    assert_non_null(strstr(w.failures.v[0], "COCO_EDUP"));
    halt_with(COCO_EFAIL);
}

/* ---- Function memos ---------------------------------------------------------------------------------------------- */

COCO_FN(doubles, (int64_t, v), .memo = true)
{
    runs++;
    return coco_return(cx, coco_int(2 * v));
}
COCO_FN(doubled_row, (coco_value, kv, coco_target *, tab))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &doubles, COCO_ARGS(coco_at(kv, 1)), &v));
    return coco_declare(cx, tab, coco_at(kv, 0), v);
}

static coco_status doubles_plan(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &doubled_row, view_of(cx, 0), COCO_ARGS(coco_target_value(tab)));
}

/* S6.5: also while the update lasts, and of what is called again and again. */
static void result_that_nobody_lists_is_dropped_meanwhile(void **state)
{
    (void)state;
    start(doubles_plan);
    set(streams, 1, 10);
    go_ready();
    for (int i = 2; i < 5; i++) {
        change(streams, i, 10);
        in_sync();
    }
    assert_int_equal(runs, 1);
    for (int i = 1; i < 5; i++) change(streams, i, 0);
    for (int i = 0; i < 1100; i++) { /* now and then is after a thousand changes */
        change(streams, 9, 20 + i % 2);
        in_sync();
    }
    lines_clear(&w.actions);
    runs = 0;
    change(streams, 1, 10);
    in_sync();
    assert_int_equal(runs, 1);
    expect_actions("+ tab:1");
    halt();
}

/* ---- Memory, time ------------------------------------------------------------------------------------------------ */

static _Atomic long bytes; /* allocated */

/* Each piece knows its size, in front of it. */
static void *sized_realloc(void *self, void *p, size_t n)
{
    size_t *old = p ? (size_t *)p - 2 : NULL, *is;

    (void)self;
    if (old) bytes -= (long)old[0];
    if (!n) {
        free(old);
        return NULL;
    }
    if (!(is = realloc(old, n + 2 * sizeof *is))) abort();
    is[0] = n;
    bytes += (long)n;
    return is + 2;
}

static long file_size(void)
{
    char path[100];
    struct stat st;

    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_int_equal(stat(path, &st), 0);
    return (long)st.st_size;
}

static int open_files(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) != -1;
    return n;
}

/* A run of days must not grow: LIVE_EDITS says how many changes it is tried with. */
static void nothing_grows_over_thousands_of_changes(void **state)
{
    const int n = getenv("LIVE_EDITS") ? atoi(getenv("LIVE_EDITS")) : 6000;
    long before[2] = { 0 }, after[2];
    int files = 0;

    (void)state;
    start(view_plan);
    w.env_config.on_event = NULL;
    w.env_config.allocator = (coco_allocator){ sized_realloc, NULL };
    for (int i = 1; i <= 20; i++) set(streams, i, 10 + i);
    go();
    for (int i = 0; i < n; i++) {
        change(streams, 1 + i % 40, i % 7 ? 1 + i % 90 : 0);
        if (i % 100 == 99) in_sync();
        if (i % 1000 == 999) lines_clear(&w.actions);
        if (i != n / 2) continue;
        in_sync();
        before[0] = bytes, before[1] = file_size();
        files = open_files();
    }
    in_sync();
    after[0] = bytes, after[1] = file_size();
    if (getenv("LIVE_TIMES"))
        print_message("%d changes: memory %ld, then %ld; file %ld, then %ld\n", n, before[0], after[0], before[1],
                      after[1]);
    assert_true(after[0] <= before[0] + 200000);
    assert_true(after[1] <= before[1] + 200000);
    assert_int_equal(open_files(), files);
    halt();
    restart();
    assert_int_equal(bytes, 0);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static _Atomic uint64_t applied_at;

static uint64_t us_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
static void note_applied(void) { applied_at = us_now(); }

/* No tick of a clock is waited for; LIVE_TIMES=1 prints what it takes. */
static void change_is_applied_at_once(void **state)
{
    uint64_t us[200];

    (void)state;
    start(view_plan);
    set(streams, 1, 10);
    go_ready();
    w.before_apply = note_applied;
    for (int i = 0; i < 200; i++) {
        uint64_t begun = us_now();
        change(streams, 1, 20 + i % 60);
        in_sync();
        us[i] = applied_at - begun;
    }
    qsort(us, 200, sizeof us[0], by_number);
    if (getenv("LIVE_TIMES")) print_message("change to sink: p50 %d us, p99 %d us\n", (int)us[100], (int)us[197]);
    halt();
    assert_true(us[100] < 1000000);
}

RUN_BOTH(TEST(live_component_updates_and_deletes_children),
         TEST(full_pass_of_a_live_component_deletes_what_it_does_not_mount),
         TEST(full_pass_is_awaited),
         TEST(full_pass_begins_behind_the_changes_before_it),
         TEST(change_waits_while_a_full_pass_runs),
         TEST(live_part_has_a_thread_of_its_own),
         TEST(full_pass_that_fails_is_followed_by_another),
         TEST(state_of_an_operator_is_found_again),
         TEST(state_is_kept_with_its_component_by_the_round_before_a_full_pass),
         TEST(operator_reports_exceptions),
         TEST(live_component_is_caught_up_with),
         TEST(live_component_under_a_memo_is_an_error),
         TEST(result_that_nobody_lists_is_dropped_meanwhile),
         TEST(refreshed_component_runs_again_and_again),
         TEST(refreshed_component_that_fails_runs_again),
         TEST(refreshed_component_runs_once_in_catch_up_mode),
         TEST(entries_of_a_live_map_are_followed),
         TEST(live_map_is_consumed_in_catch_up_mode),
         TEST(second_consumer_of_a_live_map_is_an_error),
         TEST(entry_declared_twice_is_an_error),
         TEST(value_of_an_item_that_goes_can_be_taken_by_another), TEST(state_of_a_renamed_item_moves),
         TEST(nothing_grows_over_thousands_of_changes),
         TEST(change_is_applied_at_once))
