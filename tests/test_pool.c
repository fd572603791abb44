/* test_pool.c - the pool of threads: what runs at the same time, who waits for whom, and that the end is the same
 * whatever ran first (S3.5, S3.8, S3.9, S6.5, S7.4). Schedules are varied by threads that give way at odd moments. */
#include "../engine/engine.h"

#include "harness.h"

#include <time.h>

static coco_status (*plan)(coco_ctx *cx);

COCO_FN(app_main, ()) { return plan(cx); }

/* ---- Who is inside at the same time ------------------------------------------------------------------------------ */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int inside, most, came; /* threads inside; most there have been; that ever came */
} room = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0 };

/* Stays until n have come (false: they don't come), and leaves. */
static bool meet(int n)
{
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&room.mutex);
    room.came++;
    if (++room.inside > room.most) room.most = room.inside;
    pthread_cond_broadcast(&room.changed);
    while (room.came < n && rc == 0) rc = pthread_cond_timedwait(&room.changed, &room.mutex, &until);
    room.inside--;
    pthread_mutex_unlock(&room.mutex);
    return rc == 0;
}

static void start(coco_status (*body)(coco_ctx *cx), unsigned threads)
{
    room.inside = room.most = room.came = 0;
    plan = body;
    w.config.threads = threads;
    w.config.max_inflight = 100;
    program(&app_main);
}

static void nap(long ms) { nanosleep(&(struct timespec){ 0, ms * 1000000 }, NULL); }

static int64_t width; /* of what a test does many times */

COCO_FN(meets, (int64_t, i))
{
    (void)i;
    return meet((int)width) ? COCO_OK : coco_fail(cx, COCO_EFAIL, "the others didn't come");
}

static coco_status eight_meet(coco_ctx *cx)
{
    for (int64_t i = 0; i < 8; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &meets, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S3.9 */
static void components_run_at_the_same_time(void **state)
{
    (void)state;
    start(eight_meet, 4);
    width = 4;
    update(NULL);
}

/* S3.9 */
static void no_more_run_than_there_are_threads(void **state)
{
    (void)state;
    start(eight_meet, 3);
    width = 1;
    update(NULL);
    assert_in_range(room.most, 1, 3);
    assert_int_equal(room.came, 8);
}

/* S3.8 */
static void no_more_are_in_flight_than_the_limit(void **state)
{
    (void)state;
    start(eight_meet, 8);
    w.config.max_inflight = 3;
    width = 2;
    update(NULL);
    assert_in_range(room.most, 2, 3);
    assert_int_equal(room.came, 8);
}

static _Thread_local int64_t awaited = -1; /* by a function further up on this thread */
static _Atomic int strangers;

COCO_FN(leaf, (int64_t, i))
{
    (void)cx;
    strangers += awaited >= 0 && awaited != i;
    return COCO_OK;
}
COCO_FN(awaits_leaf, (int64_t, i))
{
    coco_handle *h;

    strangers += awaited >= 0;
    awaited = i;
    COCO_TRY(coco_use_mount(cx, COCO_PATH(coco_int(1)), &leaf, COCO_ARGS(coco_int(i)), NULL));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(2)), &leaf, COCO_ARGS(coco_int(i)), &h));
    COCO_TRY(coco_ready(cx, h));
    awaited = -1;
    return COCO_OK;
}
static coco_status many_await(coco_ctx *cx)
{
    for (int64_t i = 0; i < 200; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &awaits_leaf, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S3.9: the depth of mounts bounds its stack */
static void thread_that_waits_runs_only_what_it_waits_for(void **state)
{
    (void)state;
    strangers = 0;
    for (unsigned t = 0; t < 9; t += 2) {
        start(many_await, t);
        coco__yields = t + 1;
        update(NULL);
        assert_int_equal(strangers, 0);
        restart();
    }
    coco__yields = 0;
}

static _Atomic int flag;

COCO_FN(waits_for_flag, ())
{
    for (int i = 0; i < 5000 && !flag; i++) nap(1);
    return flag ? COCO_OK : coco_fail(cx, COCO_EFAIL, "the parent didn't go on");
}

static coco_status goes_on(coco_ctx *cx)
{
    COCO_TRY(coco_mount(cx, COCO_AUTO, &waits_for_flag, COCO_NOARGS, NULL));
    flag = 1;
    return COCO_OK;
}

/* S3.1, S3.9 */
static void mount_goes_on_while_the_child_runs(void **state)
{
    (void)state;
    start(goes_on, 1);
    flag = 0;
    update(NULL);
}

static coco_status readies(coco_ctx *cx)
{
    coco_handle *h;

    COCO_TRY(coco_mount(cx, COCO_AUTO, &waits_for_flag, COCO_NOARGS, &h));
    flag = 1;
    COCO_TRY(coco_ready(cx, h));
    return coco_handle_status(h);
}

/* S3.1 */
static void ready_waits_for_a_child_in_the_pool(void **state)
{
    (void)state;
    start(readies, 2);
    flag = 0;
    update(NULL);
    expect_ran("/", "/@waits_for_flag");
}

/* ---- No deadlock ------------------------------------------------------------------------------------------------- */

enum { DEEP = 10 };
static int way; /* 0 mount, 1 mount and ready, 2 use_mount, 3 mount_each, 4 all of them in turn */

COCO_FN_DECLARE(nested);
COCO_FN_DECLARE(nested_item);

/* One or two items: their depth, and two digits for the branch. */
static coco_status nests_items(coco_ctx *cx, int64_t depth, int64_t branch, coco_target *tab)
{
    coco_value keys[2], values[2];

    for (int i = 0; i < 2; i++) {
        keys[i] = coco_int(i);
        values[i] = coco_int(100 * (depth + 1) + branch + i);
    }
    return coco_mount_each(cx, COCO_AUTO, &nested_item, coco_source_of(cx, keys, values, depth == 3 ? 2 : 1),
                           COCO_ARGS(coco_target_value(tab)));
}

COCO_FN(nested, (int64_t, depth, int64_t, branch, coco_target *, tab))
{
    coco_handle *h;
    int how = way == 4 ? (int)(depth % 4) : way;

    if (how == 3 && depth < DEEP) return nests_items(cx, depth, branch, tab);
    for (int64_t i = 0; depth < DEEP && i < 2; i++) {
        coco_path path = COCO_PATH(coco_int(i));
        coco_args args = COCO_ARGS(coco_int(depth + 1), coco_int(branch + i), coco_target_value(tab));
        if (i && depth != 3) break; /* one branch half way down */
        if (how == 2) {
            COCO_TRY(coco_use_mount(cx, path, &nested, args, NULL));
            continue;
        }
        COCO_TRY(coco_mount(cx, path, &nested, args, &h));
        if (how == 1) COCO_TRY(coco_ready(cx, h));
    }
    return depth < DEEP ? COCO_OK : coco_declare(cx, tab, coco_int(branch), coco_int(1));
}
COCO_FN(nested_item, (int64_t, at, coco_target *, tab))
{
    return coco_call(cx, &nested, COCO_ARGS(coco_int(at / 100), coco_int(at % 100), coco_target_value(tab)), NULL);
}

static coco_status nests(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    return coco_mount(cx, COCO_AUTO, &nested, COCO_ARGS(coco_int(0), coco_int(0), coco_target_value(tab)), NULL);
}

/* S3.8 */
static void limit_of_one_ends_with_mounts_ten_deep(void **state)
{
    static const unsigned threads[] = { 0, 1, 2, 8 };

    (void)state;
    for (way = 0; way < 5; way++)
        for (size_t t = 0; t < 4; t++) {
            start(nests, threads[t]);
            w.config.max_inflight = 1;
            coco__yields = (unsigned)(way * 4) + (unsigned)t + 1;
            update(NULL);
            assert_int_equal(w.nshelf, 3);
            restart();
            drop_all();
            restart();
        }
    coco__yields = 0;
}

/* ---- map --------------------------------------------------------------------------------------------------------- */

static int64_t bad1, bad2; /* items that fail; -1: none */
static _Atomic int begun, ended;

COCO_FN(slow_square, (int64_t, i))
{
    begun++;
    if (width > 1 && !meet((int)width)) return coco_fail(cx, COCO_EFAIL, "the others didn't come");
    if (i == bad1) nap(20);
    ended++;
    if (i == bad1 || i == bad2) return coco_fail(cx, COCO_EFAIL, "item %d is bad", (int)i);
    return coco_return(cx, coco_text(coco_format(cx, "%d", (int)(i * i)).p));
}

enum { ITEMS = 300 };
static coco_value squares[ITEMS];

static coco_status maps(coco_ctx *cx)
{
    coco_value items[ITEMS];

    for (int i = 0; i < ITEMS; i++) items[i] = coco_int(i);
    coco_status rc = coco_map(cx, &slow_square, items, ITEMS, COCO_NOARGS, squares);
    for (int i = 0; i < ITEMS && rc == COCO_OK; i++)
        if (!coco_equal(squares[i], coco_text(coco_format(cx, "%d", i * i).p)))
            return coco_fail(cx, COCO_EFAIL, "result %d is wrong", i);
    return rc;
}

static void map_start(unsigned threads, int together)
{
    start(maps, threads);
    width = together;
    bad1 = bad2 = -1;
    begun = ended = 0;
}

/* S3.5 */
static void map_runs_items_at_the_same_time_and_gives_results_in_order(void **state)
{
    (void)state;
    map_start(3, 3);
    update(NULL);
    assert_int_equal(ended, ITEMS);
}

/* S3.5 */
static void map_returns_the_first_failure_in_the_order_of_items(void **state)
{
    (void)state;
    for (unsigned threads = 0; threads < 5; threads += 2) {
        map_start(threads, 1);
        bad1 = 7; /* slow to fail */
        bad2 = 8;
        update_fails(COCO_EFAIL, NULL);
        expect_failures("/ COCO_EFAIL item 7 is bad");
        assert_int_equal(begun, ended); /* what was started has finished */
        assert_true(threads + threads_asked() == 0 ? begun == 8 : begun < ITEMS);
        restart();
    }
}

COCO_FN(dependent, (int64_t, i), .memo = true)
{
    nap(i % 3);
    if (i % 2) coco_param(cx, i % 4 == 1 ? "first" : "second");
    return coco_return(cx, coco_int(i));
}
COCO_FN(memo_maps, (), .memo = true)
{
    coco_value items[40], results[40];

    for (int i = 0; i < 40; i++) items[i] = coco_int(i % 30);
    COCO_TRY(coco_map(cx, &dependent, items, 40, COCO_NOARGS, results));
    return coco_return(cx, coco_list(results, 40));
}

static coco_status mounts_memo_maps(coco_ctx *cx) { return coco_mount(cx, COCO_AUTO, &memo_maps, COCO_NOARGS, NULL); }

/* S3.5, S4.1: what items depend on is what the caller depends on. */
static void map_gives_the_dependencies_of_its_items_to_the_caller(void **state)
{
    static const coco_param_def params[] = { { "first", "1", "" }, { "second", "1", "" }, { 0 } };

    (void)state;
    start(mounts_memo_maps, 4);
    w.config.params = params;
    update(NULL);
    expect_nothing_written();
    assert_int_equal(coco_app_set_param(w.app, "second", "2", &w.err), COCO_OK);
    update(NULL);
    expect_why("/ not memoized", "/@memo_maps parameter changed (parameter second)");
}

COCO_FN(maps_in_an_item, (int64_t, i))
{
    coco_value items[10];

    (void)i;
    for (int k = 0; k < 10; k++) items[k] = coco_int(k);
    return coco_map(cx, &dependent, items, 10, COCO_NOARGS, NULL);
}
static coco_status maps_of_maps(coco_ctx *cx)
{
    coco_value items[20];

    for (int i = 0; i < 20; i++) items[i] = coco_int(i);
    return coco_map(cx, &maps_in_an_item, items, 20, COCO_NOARGS, NULL);
}

static void map_inside_a_map_ends(void **state)
{
    static const coco_param_def params[] = { { "first", "1", "" }, { "second", "1", "" }, { 0 } };

    (void)state;
    for (unsigned t = 1; t < 5; t++) {
        start(maps_of_maps, t);
        w.config.params = params;
        update(NULL);
        restart();
    }
}

/* ---- Memos over threads ------------------------------------------------------------------------------------------ */

static _Atomic int computed;

COCO_FN(dear, (int64_t, key), .memo = true)
{
    computed++;
    nap(10);
    return coco_return(cx, coco_int(key * 2));
}
COCO_FN(wants_dear, (int64_t, i, coco_target *, tab))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &dear, COCO_ARGS(coco_int(21)), &v));
    return coco_declare(cx, tab, coco_int(i), v);
}
static coco_status many_want(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    for (int64_t i = 0; i < 3; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &wants_dear, COCO_ARGS(coco_int(i), coco_target_value(tab)),
                            NULL));
    return COCO_OK;
}

/* S6.5 */
static void key_is_computed_once_and_others_wait_for_it(void **state)
{
    (void)state;
    start(many_want, 8);
    computed = 0;
    update(NULL);
    assert_int_equal(computed, 1);
    expect_shelf("shelf:\"tab\" = null", "tab:0 = 42", "tab:1 = 42", "tab:2 = 42");
    expect_nothing_written();
}

COCO_FN_DECLARE(circular);
COCO_FN(circular, (int64_t, key, int64_t, left), .memo = true, .memo_key = { NULL, coco_memo_skip })
{
    coco_value v;

    if (left == 2 && !meet(2)) return coco_fail(cx, COCO_EFAIL, "the other didn't come");
    if (!left) return coco_return(cx, coco_int(key));
    COCO_TRY(coco_call(cx, &circular, COCO_ARGS(coco_int(1 - key), coco_int(left - 1)), &v));
    return coco_return(cx, coco_int(1));
}
COCO_FN(goes_round, (int64_t, i))
{ return coco_call(cx, &circular, COCO_ARGS(coco_int(i), coco_int(2)), NULL); }
static coco_status two_go_round(coco_ctx *cx)
{
    for (int64_t i = 0; i < 2; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &goes_round, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S6.5: each would wait for what the other computes: one of them runs unmemoized. */
static void key_reached_again_over_threads_runs_unmemoized(void **state)
{
    (void)state;
    start(two_go_round, 2);
    update(NULL);
}

/* Its freshness takes a while to tell. */
static coco_status slow_state(coco_ctx *cx, void *object, coco_str stored, coco_str *out, bool *valid)
{
    (void)object, (void)stored;
    nap(5);
    *out = coco_copy(cx, COCO_STR("fresh"));
    *valid = true;
    return COCO_OK;
}
static coco_status slow_key(coco_ctx *cx, void *object, coco_value *key)
{
    (void)cx, (void)object;
    *key = coco_int(1);
    return COCO_OK;
}
typedef struct paper paper;
static const coco_class paper_class = { .type = "paper", .memo_key = slow_key, .memo_state = slow_state };

COCO_FN(reads_paper, (paper *, p), .memo = true)
{
    (void)p;
    computed++;
    return coco_return(cx, coco_text("read"));
}
COCO_FN(wants_paper, (int64_t, i))
{
    coco_value v;

    nap(i);
    COCO_TRY(coco_call(cx, &reads_paper, COCO_ARGS(coco_object(&paper_class, &room)), &v));
    return coco_equal(v, coco_text("read")) ? COCO_OK : coco_fail(cx, COCO_EFAIL, "another result");
}
static coco_status many_want_paper(coco_ctx *cx)
{
    for (int64_t i = 0; i < 8; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &wants_paper, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S6.3, S6.5. Regression: while the state was asked for after the run, others took the memo as it was being made. */
static void memo_is_found_whole_or_not_at_all(void **state)
{
    (void)state;
    start(many_want_paper, 8);
    computed = 0;
    update(NULL);
    assert_int_equal(computed, 1);
}

static int64_t paper_stamp;
static coco_status stamp_state(coco_ctx *cx, void *object, coco_str stored, coco_str *out, bool *valid)
{
    (void)object;
    nap(5);
    *out = coco_copy(cx, (coco_str){ (const char *)&paper_stamp, sizeof paper_stamp });
    *valid = !stored.p || coco_str_equal(stored, *out);
    return COCO_OK;
}
typedef struct stamped stamped;
static const coco_class stamped_class = { .type = "stamped", .memo_key = slow_key, .memo_state = stamp_state };

COCO_FN(reads_stamped, (stamped *, p), .memo = true)
{
    (void)p;
    computed++;
    return COCO_OK;
}
COCO_FN(wants_stamped, (int64_t, i))
{
    nap(i);
    return coco_call(cx, &reads_stamped, COCO_ARGS(coco_object(&stamped_class, &room)), NULL);
}
static coco_status many_want_stamped(coco_ctx *cx)
{
    for (int64_t i = 0; i < 8; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &wants_stamped, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S6.5. Regression: who had looked at the old memo before it was replaced computed it again. */
static void outdated_memo_is_replaced_once(void **state)
{
    (void)state;
    start(many_want_stamped, 8);
    update(NULL);
    computed = 0;
    paper_stamp++;
    update(NULL);
    assert_int_equal(computed, 1);
}

/* ---- Sinks ------------------------------------------------------------------------------------------------------- */

static _Atomic int in_sink[3], twice; /* threads in each sink; it ever was more than one */

static coco_status meet_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    int *which = self;

    (void)actions, (void)n;
    if (in_sink[*which]++) twice = 1;
    bool met = width == 0 || meet((int)width);
    nap(1);
    in_sink[*which]--;
    return met ? COCO_OK : coco_err_set(err, COCO_EFAIL, "the other sinks don't apply");
}

static int numbers[3] = { 0, 1, 2 };
static coco_sink sinks[3] = { { .apply = meet_apply, .self = &numbers[0], .name = "a" },
                              { .apply = meet_apply, .self = &numbers[1], .name = "b" },
                              { .apply = meet_apply, .self = &numbers[2], .name = "c" } };

static coco_status always(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    (void)self;
    out->act = in->npossible == 0 || !in->desired;
    out->action.kind = in->desired ? COCO_INSERT : COCO_DELETE;
    if (in->desired) out->record = coco_copy(cx, COCO_STR("1"));
    return COCO_OK;
}
static coco_status meeting_make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    (void)cx;
    *out = (coco_target_handler){ .name = "meeting", .sink = &sinks[coco_int_of(key)], .reconcile = always };
    return COCO_OK;
}
static coco_target_type meeting = { "meeting", meeting_make, NULL };
COCO_AT_START(meeting) { coco_target_register(&meeting); }

static coco_status declares_into_three(coco_ctx *cx)
{
    for (int k = 0; k < 3; k++) {
        coco_target *t = coco_target_new(cx, "meeting", coco_int(k), coco_format(cx, "m%d", k).p);
        for (int i = 0; i < 5; i++) COCO_TRY(coco_declare(cx, t, coco_int(i), coco_int(i)));
    }
    return COCO_OK;
}

/* S7.4: three sinks, each of which waits for the others to apply. */
static void different_sinks_apply_at_the_same_time(void **state)
{
    (void)state;
    start(declares_into_three, 3);
    width = 3;
    update(NULL);
    assert_int_equal(w.result.inserts, 15);
}

COCO_FN(declares_some, (int64_t, i))
{
    for (int k = 0; k < 3; k++) {
        coco_target *t = coco_target_new(cx, "meeting", coco_int(k), coco_format(cx, "m%d", k).p);
        COCO_TRY(coco_declare(cx, t, coco_int(i), coco_int(i)));
    }
    return COCO_OK;
}
static coco_status many_declare(coco_ctx *cx)
{
    for (int64_t i = 0; i < 200; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &declares_some, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S7.4 */
static void one_sink_never_applies_twice_at_a_time(void **state)
{
    (void)state;
    start(many_declare, 4);
    width = 0;
    w.config.max_inflight = 5;
    update(NULL);
    assert_int_equal(w.result.inserts, 600);
    assert_int_equal(twice, 0);
}

/* ---- Threads of the user's --------------------------------------------------------------------------------------- */

enum { FORKS = 4 };
static coco_target *fork_tab;

typedef struct fork_job {
    coco_ctx *cx;
    int64_t i;
    coco_status rc;
} fork_job;

COCO_FN(half, (int64_t, i), .memo = true) { return coco_return(cx, coco_int(i / 2)); }
COCO_BATCH_FN(third, (int64_t, i), .memo = true)
{
    for (size_t k = 0; k < n; k++) results[k] = coco_int(coco_int_of(calls[k].v[0]) / 3);
    return COCO_OK;
}

static void *fork_run(void *arg)
{
    fork_job *j = arg;
    coco_value a, b;

    for (int64_t k = 0; k < 20 && j->rc == COCO_OK; k++) {
        int64_t n = j->i * 100 + k;
        j->rc = coco_call(j->cx, &half, COCO_ARGS(coco_int(k)), &a);
        if (j->rc == COCO_OK) j->rc = coco_call(j->cx, &third, COCO_ARGS(coco_int(n)), &b);
        if (j->rc == COCO_OK) j->rc = coco_declare(j->cx, fork_tab, coco_int(n), coco_list((coco_value[]){ a, b }, 2));
        if (!coco_alloc(j->cx, 100)) j->rc = COCO_ENOMEM;
    }
    return NULL;
}

COCO_FN(forks, (), .memo = true)
{
    fork_job jobs[FORKS];
    pthread_t threads[FORKS];
    coco_status rc = COCO_OK;

    for (int i = 0; i < FORKS; i++) {
        jobs[i] = (fork_job){ .i = i };
        COCO_TRY(coco_cx_fork(cx, &jobs[i].cx));
    }
    for (int i = 0; i < FORKS; i++) pthread_create(&threads[i], NULL, fork_run, &jobs[i]);
    for (int i = 0; i < 100; i++) coco_alloc(cx, 1000); /* the thread itself isn't idle */
    for (int i = 0; i < FORKS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < FORKS; i++) {
        coco_status joined = coco_cx_join(cx, jobs[i].cx);
        if (rc == COCO_OK) rc = jobs[i].rc ? jobs[i].rc : joined;
    }
    return rc;
}
static coco_status mounts_forks(coco_ctx *cx)
{
    COCO_TRY(mount_tab(cx, "tab", coco_null(), &fork_tab));
    return coco_use_mount(cx, COCO_AUTO, &forks, COCO_NOARGS, NULL);
}

/* With a pool and without: a lock is there as long as it takes. */
static void threads_of_the_users_call_and_declare_for_one_function(void **state)
{
    (void)state;
    for (unsigned t = 0; t < 3; t++) {
        start(mounts_forks, t);
        update(NULL);
        assert_int_equal(w.nshelf, 1 + FORKS * 20);
        expect_nothing_written();
        restart();
        half.version++; /* what threads called is what the function called */
        update(NULL);
        expect_ran("/", "/@shelf/\"tab\"", "/@forks");
        half.version = 0;
        restart();
        drop_all();
        restart();
    }
}

static void *fork_fails(void *arg)
{
    coco_param(arg, "nowhere");
    return NULL;
}
static coco_status joins_error(coco_ctx *cx)
{
    coco_ctx *fork;
    pthread_t thread;

    COCO_TRY(coco_cx_fork(cx, &fork));
    pthread_create(&thread, NULL, fork_fails, fork);
    pthread_join(thread, NULL);
    return coco_cx_join(cx, fork);
}

static void error_kept_in_a_fork_is_what_join_returns(void **state)
{
    (void)state;
    start(joins_error, 0);
    update_fails(COCO_ENOTFOUND, NULL);
    expect_failures("/ COCO_ENOTFOUND the app has no parameter nowhere");
}

/* ---- Order ------------------------------------------------------------------------------------------------------- */

static coco_status mixed(coco_ctx *cx)
{
    COCO_TRY(many_declare(cx));
    COCO_TRY(many_want(cx));
    return coco_use_mount(cx, COCO_PATH(coco_text("below")), &meets, COCO_ARGS(coco_int(1)), NULL);
}

/* S3.9: with threads = 0 the order of all events is a function of the input alone. */
static void one_thread_gives_the_same_events_in_the_same_order_again(void **state)
{
    char *logs[2];

    (void)state;
    if (threads_asked()) skip(); /* what is 0 here is filled in */
    for (int i = 0; i < 2; i++) {
        start(mixed, 0);
        width = 0;
        try_update(NULL);
        logs[i] = lines_join(w.events.v, w.events.n);
        restart();
        drop_all();
        restart();
    }
    assert_true(strlen(logs[0]) > 10000);
    assert_string_equal(logs[0], logs[1]);
    free(logs[0]);
    free(logs[1]);
}

COCO_FN(stops, (int64_t, i))
{
    if (i == 20) coco_app_stop(w.app);
    nap(1);
    return coco_checkpoint(cx);
}
static coco_status stops_half_way(coco_ctx *cx)
{
    for (int64_t i = 0; i < 1000; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &stops, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S8.6 */
static void stop_finishes_what_is_in_flight_and_starts_nothing_more(void **state)
{
    (void)state;
    start(stops_half_way, 4);
    w.config.max_inflight = 8;
    update_fails(COCO_ESTOP, NULL);
    assert_true(w.events.n < 1000);
}

static _Atomic int64_t naps;
COCO_FN(naps_and_stops, (int64_t, i))
{
    (void)i;
    if (++naps == 20) coco_app_stop(w.app);
    nap(1);
    return COCO_OK;
}
static coco_status queues_much(coco_ctx *cx)
{
    for (int64_t i = 0; i < 500; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &naps_and_stops, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S8.6: what waits in the queue has not begun. */
static void stop_leaves_what_is_queued(void **state)
{
    (void)state;
    start(queues_much, 2);
    w.config.max_inflight = 1000;
    naps = 0;
    update_fails(COCO_ESTOP, NULL);
    assert_true(naps < 100);
    update(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stop_leaves_what_is_queued),
        TEST(components_run_at_the_same_time),
        TEST(no_more_run_than_there_are_threads),
        TEST(no_more_are_in_flight_than_the_limit),
        TEST(thread_that_waits_runs_only_what_it_waits_for),
        TEST(mount_goes_on_while_the_child_runs),
        TEST(ready_waits_for_a_child_in_the_pool),
        TEST(limit_of_one_ends_with_mounts_ten_deep),
        TEST(map_runs_items_at_the_same_time_and_gives_results_in_order),
        TEST(map_returns_the_first_failure_in_the_order_of_items),
        TEST(map_gives_the_dependencies_of_its_items_to_the_caller),
        TEST(map_inside_a_map_ends),
        TEST(key_is_computed_once_and_others_wait_for_it),
        TEST(key_reached_again_over_threads_runs_unmemoized),
        TEST(memo_is_found_whole_or_not_at_all),
        TEST(outdated_memo_is_replaced_once),
        TEST(different_sinks_apply_at_the_same_time),
        TEST(one_sink_never_applies_twice_at_a_time),
        TEST(threads_of_the_users_call_and_declare_for_one_function),
        TEST(error_kept_in_a_fork_is_what_join_returns),
        TEST(one_thread_gives_the_same_events_in_the_same_order_again),
        TEST(stop_finishes_what_is_in_flight_and_starts_nothing_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
