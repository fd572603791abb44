/* Whatever may fail while changes are followed (S8) fails, call after call: a source that is a log, read on from its
 * token, and a live component that reads the same log and keeps where it is as its state; in catch-up mode and in live
 * mode up to readiness. What sweep.h says holds each time: a token, or a state, that passed a change which didn't reach
 * its target would leave that target behind for ever. */
#include "scenarios.h"

/* Changes, in the order in which they came; a value of 0 deletes. */
static const struct { int key, value; } changes[] = { { 1, 10 }, { 2, 20 }, { 3, 30 }, { 1, 11 }, { 2, 0 }, { 4, 40 },
                                                      { 1, 12 }, { 3, 0 },  { 3, 31 } };
enum { FEW_CHANGES = 3, ALL_CHANGES = sizeof changes / sizeof changes[0] };
static int nchanges; /* of these have come */
static bool live;    /* the update is stopped when it is ready */

COCO_FN(row, (int64_t, key, int64_t, value, coco_target *, tab))
{
    return coco_declare(cx, tab, coco_int(key), coco_int(value));
}

/* ---- As a source ---- */

COCO_FN(item, (coco_value, kv, coco_target *, tab))
{
    return coco_declare(cx, tab, coco_at(kv, 0), coco_at(kv, 1));
}

static coco_status log_watch(coco_source *src, coco_feed *feed)
{
    coco_status rc = COCO_OK;

    (void)src;
    for (int i = (int)coco_int_of(coco_feed_token(feed)); i < nchanges && rc == COCO_OK; i++) {
        coco_value kv[2] = { coco_int(changes[i].key), coco_int(changes[i].value) };
        rc = changes[i].value ? coco_feed_put(feed, kv[0], coco_list(kv, 2), coco_int(i + 1))
                              : coco_feed_delete(feed, kv[0], coco_int(i + 1));
    }
    return rc; /* which is to be ready, too */
}

COCO_FN(log_main, ())
{
    coco_target *tab;
    coco_source *src;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    if (!(src = coco_source_new(cx))) return COCO_ENOMEM;
    src->title = "log";
    src->watch = log_watch;
    return coco_mount_each(cx, COCO_AUTO, &item, src, COCO_ARGS(coco_target_value(tab)));
}

/* ---- As a live component ---- */

/* Its full pass: what the log comes to. */
COCO_FN(log_whole, (coco_target *, tab))
{
    for (int key = 1; key <= 4; key++) {
        int value = 0;
        for (int i = 0; i < nchanges; i++)
            if (changes[i].key == key) value = changes[i].value;
        if (value)
            COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(key)), &row,
                                COCO_ARGS(coco_int(key), coco_int(value), coco_target_value(tab)), NULL));
    }
    return 0;
}

static coco_status log_follow(coco_operator *op, const coco_value *args)
{
    coco_status rc = COCO_OK;

    for (int i = (int)coco_int_of(coco_operator_state(op)); i < nchanges && rc == COCO_OK; i++) {
        coco_path at = COCO_PATH(coco_int(changes[i].key));
        rc = changes[i].value ? coco_operator_update(op, at, &row, COCO_ARGS(coco_int(changes[i].key),
                                                                           coco_int(changes[i].value), args[0]))
                              : coco_operator_delete(op, at);
        if (rc == COCO_OK) rc = coco_operator_set_state(op, coco_int(i + 1));
    }
    return rc;
}

static const coco_live_fn follower = { &log_whole, log_follow };
static coco_value follower_args[1];

COCO_FN(follower_main, ())
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    follower_args[0] = coco_target_value(tab);
    return coco_mount_live(cx, COCO_AUTO, &follower, (coco_args){ follower_args, 1 }, NULL);
}

/* ---- Sweeps ---- */

static void stop_when_ready(void *user, const coco_event *e)
{
    dying_event(user, e);
    if (live && e->kind == COCO_EV_READY) coco_app_stop(w.app);
}

/* A stop is the ordinary end of an update that follows changes. */
static coco_status follow_all(int n)
{
    nchanges = n;
    try_update(OPTS(.live = live));
    if (w.rc == COCO_ESTOP && live) w.rc = COCO_OK;
    return w.rc;
}

static coco_status act(void) { return follow_all(ALL_CHANGES); }

static void rests(void)
{
    act();
    expect_actions(NULL);
}

static void follow_sweep(const coco_fn *main_fn, bool is_live, fault_kind kind)
{
    static const sweep following = { .before = scenario_before, .act = act, .look = shelf_text, .rest = rests,
                                     .save = scenario_save, .load = scenario_load, .names = "/" };

    program(main_fn);
    sweep_world();
    w.env_config.on_event = stop_when_ready;
    live = is_live;
    if (follow_all(FEW_CHANGES) != COCO_OK) fail_msg("%s", w.err.msg);
    restart();
    copy_file(own_db, before_db);
    shelf_save(before_path);
    sweep_over(&following, kind);
}

#define FOLLOWS(name, main_fn, is_live) \
    static void name##_survives_any_failing_store_call(void **state) \
    { \
        (void)state; \
        follow_sweep(&main_fn, is_live, FAULT_STORE); \
    } \
    static void name##_survives_any_failing_allocation(void **state) \
    { \
        (void)state; \
        follow_sweep(&main_fn, is_live, FAULT_MEMORY); \
    } \
    static void name##_survives_any_failing_action(void **state) \
    { \
        (void)state; \
        follow_sweep(&main_fn, is_live, FAULT_SINK); \
    } \
    static void name##_survives_a_crash_anywhere(void **state) \
    { \
        (void)state; \
        follow_sweep(&main_fn, is_live, FAULT_DEATH); \
    }
FOLLOWS(log_caught_up_with, log_main, false)
FOLLOWS(log_followed, log_main, true)
FOLLOWS(live_component_caught_up_with, follower_main, false)
FOLLOWS(live_component_followed, follower_main, true)

#define FOLLOW_TESTS(name) \
    SCENARIO_TEST(name##_survives_any_failing_store_call), SCENARIO_TEST(name##_survives_any_failing_allocation), \
    SCENARIO_TEST(name##_survives_any_failing_action), SCENARIO_TEST(name##_survives_a_crash_anywhere)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { FOLLOW_TESTS(log_caught_up_with), FOLLOW_TESTS(log_followed),
                                        FOLLOW_TESTS(live_component_caught_up_with),
                                        FOLLOW_TESTS(live_component_followed) };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, sweep_counts);
}
