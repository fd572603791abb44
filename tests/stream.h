/* stream.h - what tests of live mode stand on: sources whose watch does what the test tells it to, and an update on a
 * thread of its own.
 *
 * A stream is a set of items in memory. As a view it is listed and touched, as a feed it is put into. The test looks at
 * what the update did when it is in sync. Everything is static inline, so that a test need not use all of it. */
#ifndef COCO_TEST_STREAM_H
#define COCO_TEST_STREAM_H

#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

enum { ITEMS = 64, STREAMS = 4 };
typedef enum todo { TOUCH = 1, RESCAN, PUT, DELETE, READY, FAIL, RETURN } todo;

typedef struct stream {
    int value[ITEMS];      /* 0: there is none; under 0: it can't be read */
    todo todo;             /* for the watch; 0: nothing */
    int key, number, token;
    bool watched, hooked;  /* by the source opened last; hooked: answers to sync */
    atomic_bool broken;    /* the listing fails */
    bool stops_with_wait;  /* the watch sleeps on the stop descriptor */
    int found;             /* token at the start of the watch */
    int done[1000], ndone; /* tokens */
    int opened, watches, closes;
    atomic_int looks;      /* how often an item was asked for */
    unsigned rescan_ms;
} stream;

/* A source over a stream. While a host runs anew, the watch of its source before may be on its way out, or not have
 * begun yet: what the test tells is for the source opened last, and each answers to sync for itself. */
typedef struct opened {
    stream *s;
    int number;
    uint64_t ticket, answered;
} opened;

static stream streams[STREAMS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static inline uint64_t ms_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static inline void nap(unsigned ms) { nanosleep(&(struct timespec){ ms / 1000, (long)(ms % 1000) * 1000000 }, NULL); }

/* Waits a little for the condition, with the lock. */
static inline void wait_a_bit(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 5000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&changed, &lock, &until);
}

/* Until a condition holds; a minute is enough on any machine. */
#define UNTIL(condition) \
    do { \
        uint64_t begun = ms_now(); \
        pthread_mutex_lock(&lock); \
        while (!(condition) && ms_now() - begun < 60000) wait_a_bit(); \
        bool holds = (condition); \
        pthread_mutex_unlock(&lock); \
        assert_true(holds); \
    } while (0)

static inline void do_one(stream *s, coco_feed *feed, todo what)
{
    coco_value token = s->token ? coco_int(s->token) : coco_null();
    coco_err err = { 0 };

    switch (what) {
    case TOUCH: coco_feed_touch(feed, coco_int(s->key)); break;
    case RESCAN: coco_feed_rescan(feed); break;
    case PUT: coco_feed_put(feed, coco_int(s->key), coco_int(s->number), token); break;
    case DELETE: coco_feed_delete(feed, coco_int(s->key), token); break;
    case READY: coco_feed_ready(feed); break;
    case FAIL: coco_err_set(&err, COCO_EIO, "a hiccup"); coco_feed_fail(feed, &err); break;
    default: break;
    }
}

/* With the lock. */
static inline bool is_last(const opened *o) { return o->number == o->s->opened; }

/* One thing to do, with the lock but for the doing; false: none. */
static inline bool watch_step(opened *o, coco_feed *feed)
{
    stream *s = o->s;
    todo what = is_last(o) ? s->todo : 0;
    uint64_t ticket = o->ticket;

    if (!what && ticket == o->answered) return false;
    pthread_mutex_unlock(&lock);
    if (what) do_one(s, feed, what);
    else coco_feed_synced(feed, ticket);
    pthread_mutex_lock(&lock);
    if (!what) o->answered = ticket;
    else if (is_last(o)) s->todo = 0;
    return true;
}

static inline coco_status stream_watch(coco_source *src, coco_feed *feed)
{
    opened *o = src->self;
    stream *s = o->s;
    coco_status rc = COCO_OK;

    pthread_mutex_lock(&lock);
    s->watches++;
    if (is_last(o)) s->watched = true, s->found = (int)coco_int_of(coco_feed_token(feed));
    pthread_cond_broadcast(&changed);
    while (!coco_feed_stopping(feed)) {
        if (is_last(o) && s->todo == RETURN) {
            rc = s->number;
            break;
        }
        if (watch_step(o, feed)) pthread_cond_broadcast(&changed);
        else wait_a_bit();
    }
    if (is_last(o)) s->watched = false, s->todo = 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return rc;
}

/* Has the watch do something, and waits until it has. */
static inline void tell(stream *s, todo what, int key, int number, int token)
{
    UNTIL(s->watched && !s->todo);
    pthread_mutex_lock(&lock);
    s->key = key, s->number = number, s->token = token;
    s->todo = what;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    UNTIL(!s->todo);
}

static inline void set(stream *s, int key, int value)
{
    pthread_mutex_lock(&lock);
    s->value[key] = value;
    pthread_mutex_unlock(&lock);
}

/* Changes an item of a view and tells. */
static inline void change(stream *s, int key, int value)
{
    set(s, key, value);
    tell(s, TOUCH, key, 0, 0);
}

static inline int item_get(const stream *s, coco_ctx *cx, int key, coco_value *value)
{
    coco_value kv[2] = { coco_int(key), coco_int(0) };

    pthread_mutex_lock(&lock);
    int v = s->value[key];
    pthread_mutex_unlock(&lock);
    if (v < 0) return coco_fail(cx, COCO_EUNREAD, "no permission");
    kv[1] = coco_int(v);
    *value = coco_copy_value(cx, coco_list(kv, 2));
    return v ? 1 : 0;
}

typedef struct listing {
    stream *s;
    int at;
} listing;

static listing listings[STREAMS]; /* of a view; one at a time */
static void (*mid_scan)(stream *s, int key); /* called before an item is given */

static inline int stream_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    stream *s = ((opened *)src->self)->s;
    listing *l = &listings[s - streams];

    if (s->broken) return coco_fail(cx, COCO_EIO, "the listing broke off");
    for (; l->at < ITEMS; l->at++) {
        int got = item_get(s, cx, l->at, value);
        if (!got) continue;
        if (mid_scan) mid_scan(s, l->at);
        *key = coco_int(l->at++);
        *value = got == 1 ? *value : coco_bool(false);
        return got;
    }
    return 0;
}

static inline int stream_get(coco_source *src, coco_ctx *cx, coco_value key, coco_value *value)
{
    stream *s = ((opened *)src->self)->s;

    s->looks++;
    return item_get(s, cx, (int)coco_int_of(key), value);
}

static inline coco_status stream_rewind(coco_source *src, coco_ctx *cx)
{
    (void)cx;
    listings[((opened *)src->self)->s - streams].at = 0;
    return COCO_OK;
}

static inline coco_status stream_sync(coco_source *src, coco_feed *feed, uint64_t ticket)
{
    opened *o = src->self;

    (void)feed;
    if (!o->s->hooked) return COCO_EIO;
    pthread_mutex_lock(&lock);
    o->ticket = ticket;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return COCO_OK;
}

static inline void stream_done(coco_source *src, coco_value token)
{
    stream *s = ((opened *)src->self)->s;

    pthread_mutex_lock(&lock);
    s->done[s->ndone++] = (int)coco_int_of(token);
    pthread_mutex_unlock(&lock);
}

static inline void stream_close(coco_source *src)
{
    pthread_mutex_lock(&lock);
    ((opened *)src->self)->s->closes++;
    pthread_mutex_unlock(&lock);
}

static inline coco_source *feed_of(coco_ctx *cx, int i)
{
    coco_source *src = coco_source_new(cx);
    opened *o = coco_alloc(cx, sizeof *o);

    if (!src || !o) return NULL;
    pthread_mutex_lock(&lock);
    *o = (opened){ .s = &streams[i], .number = ++streams[i].opened };
    streams[i].watched = false;
    pthread_mutex_unlock(&lock);
    src->title = i ? "other" : "stream";
    src->self = o;
    src->watch = stream_watch;
    src->done = stream_done;
    src->close = stream_close;
    return src;
}

static inline coco_source *view_of(coco_ctx *cx, int i)
{
    coco_source *src = feed_of(cx, i);

    if (!src) return NULL;
    listings[i].at = 0;
    src->ordered = true;
    src->next = stream_next;
    src->get = stream_get;
    src->rewind = stream_rewind;
    src->sync = stream_sync;
    src->rescan_ms = streams[i].rescan_ms;
    return src;
}

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

static coco_status (*plan)(coco_ctx *cx);
static atomic_int runs, held, inside, most, live_seen; /* of row; it waits while held */

COCO_FN(app_main, ())
{
    live_seen = coco_is_live(cx);
    return plan(cx);
}

static inline coco_status run_row(coco_ctx *cx, int key, int value, coco_target *tab)
{
    runs++;
    inside++;
    for (int n = inside, before = most; n > before && !atomic_compare_exchange_weak(&most, &before, n);) continue;
    while (held && coco_checkpoint(cx) == COCO_OK) nap(1);
    inside--;
    if (value > 99) return coco_fail(cx, COCO_EFAIL, "over 99");
    return coco_declare(cx, tab, coco_int(key), coco_int(value));
}

/* An item of a view: [key, value]. */
COCO_FN(row, (coco_value, kv, coco_target *, tab))
{
    return run_row(cx, (int)coco_int_of(coco_at(kv, 0)), (int)coco_int_of(coco_at(kv, 1)), tab);
}
/* An item of a feed: the value's last digit is the key of the row. */
COCO_FN(fussy, (int64_t, v, coco_target *, tab)) { return run_row(cx, (int)v % 10, (int)v, tab); }

static inline coco_status tab_of(coco_ctx *cx, coco_target **tab) { return mount_tab(cx, "tab", coco_null(), tab); }

static inline coco_status view_plan(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &row, view_of(cx, 0), COCO_ARGS(coco_target_value(tab)));
}

static inline coco_status feed_plan(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &fussy, feed_of(cx, 0), COCO_ARGS(coco_target_value(tab)));
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

static coco_running *update_running;
static bool ready_seen;

static inline void on_live_event(void *user, const coco_event *e)
{
    on_event(user, e);
    pthread_mutex_lock(&lock);
    ready_seen |= e->kind == COCO_EV_READY;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static atomic_int failures_seen;

static inline bool on_live_failure(void *user, const coco_failure *f)
{
    bool swallowed = on_failure(user, f);

    failures_seen++;
    return swallowed;
}

static inline void start(coco_status (*body)(coco_ctx *cx))
{
    plan = body;
    memset(streams, 0, sizeof streams);
    for (int i = 0; i < STREAMS; i++) streams[i].hooked = true;
    runs = held = inside = most = 0;
    mid_scan = NULL;
    w.env_config.on_event = on_live_event;
    w.env_config.on_failure = on_live_failure;
    failures_seen = 0;
    program(&app_main);
}

static inline void go_opts(const coco_update_opts *opts)
{
    begin_run();
    ready_seen = false;
    assert_int_equal(open_world(), COCO_OK);
    assert_int_equal(coco_update_start(w.app, opts, &update_running, &w.err), COCO_OK);
}
static inline void go(void) { go_opts(OPTS(.live = true)); }
static inline void go_ready(void)
{
    go();
    UNTIL(ready_seen);
}

static inline void in_sync(void)
{
    coco_err err = { 0 };

    if (coco_sync(w.app, 60000, &err) == COCO_OK) return;
    print_error("sync: %s\n", err.msg);
    fail();
}

static inline coco_status wait_for_end(void)
{
    coco_running *u = update_running;

    update_running = NULL;
    return w.rc = coco_update_wait(u, &w.result, &w.err);
}

static inline void halt_with(coco_status rc)
{
    coco_app_stop(w.app);
    wait_for_end();
    expect_rc(rc, __FILE__, __LINE__);
}
static inline void halt(void) { halt_with(COCO_OK); }

static inline void forget_lines(void)
{
    lines_clear(&w.actions);
    lines_clear(&w.events);
    lines_clear(&w.failures);
}

static inline bool pooled(void) { return getenv("COCOINDEX_THREADS") != NULL; }

/* A test that has failed leaves its update running. */
static inline int live_end(void **state)
{
    held = 0;
    if (update_running) coco_app_stop(w.app), wait_for_end();
    return world_end(state);
}
#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_begin, live_end)

/* Without a pool, and with one of two threads. */
#define RUN_BOTH(...) \
    int main(void) \
    { \
        const struct CMUnitTest tests[] = { __VA_ARGS__ }; \
        unsetenv("COCOINDEX_THREADS"); \
        int failed = cmocka_run_group_tests(tests, NULL, NULL); \
        setenv("COCOINDEX_THREADS", "2", 1); \
        return failed + cmocka_run_group_tests(tests, NULL, NULL); \
    }

#endif /* COCO_TEST_STREAM_H */
