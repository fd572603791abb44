/* rows_live.h - what tests of followed tables stand on, beside harness.h: a live update on a thread of its own, and
 * waiting for what it does. The program copies each row's column v into the shelf under the row's key.
 *
 *     go_live();                      returns when the initial state is in the target
 *     sql("UPDATE …");
 *     await_applied(1);               since go_live
 *     halt_live(COCO_OK);             a stop ends it
 *
 * Everything is static inline, so that a test need not use all of it. */
#ifndef COCO_TEST_ROWS_LIVE_H
#define COCO_TEST_ROWS_LIVE_H

#include "../connectors/rows.h"
#include "harness.h"

#include <time.h>

/* What the update tells, from any of its threads. */
static struct live {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    coco_running *running;
    bool ready;
    int applied;  /* actions on rows */
    int failures;
    char failure[1024]; /* the last */
} live = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* [key] = v of the row */
COCO_FN(shelve_row, (coco_row *, row, coco_target *, tab), .memo = true)
{
    coco_value key = coco_row_key(row);

    return coco_declare(cx, tab, key, coco_get(coco_row_map(row), "v"));
}

static inline coco_status shelve(coco_ctx *cx, coco_source *src)
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    return coco_mount_each(cx, COCO_AUTO, &shelve_row, src, COCO_ARGS(coco_target_value(tab)));
}

static inline void live_event(void *user, const coco_event *e)
{
    on_event(user, e);
    pthread_mutex_lock(&live.lock);
    live.ready |= e->kind == COCO_EV_READY;
    live.applied += e->kind == COCO_EV_APPLIED && !e->container;
    pthread_cond_broadcast(&live.changed);
    pthread_mutex_unlock(&live.lock);
}

static inline bool live_failure(void *user, const coco_failure *f)
{
    bool swallowed = on_failure(user, f);

    pthread_mutex_lock(&live.lock);
    live.failures++;
    snprintf(live.failure, sizeof live.failure, "%s: %s", coco_status_name(f->code), f->message);
    pthread_cond_broadcast(&live.changed);
    pthread_mutex_unlock(&live.lock);
    return swallowed;
}

static inline uint64_t live_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static inline void live_nap(unsigned ms)
{
    nanosleep(&(struct timespec){ ms / 1000, (long)(ms % 1000) * 1000000 }, NULL);
}

/* What was waited for didn't come; the update still goes on, and tells. */
static inline void live_missed(const char *what)
{
    char failure[sizeof live.failure];

    pthread_mutex_lock(&live.lock);
    int applied = live.applied;
    memcpy(failure, live.failure, sizeof failure);
    pthread_mutex_unlock(&live.lock);
    fail_msg("%s; %d applied; %s", what, applied, failure);
}

/* Until a condition over `live` holds; a minute is enough on any machine. */
#define AWAIT(condition) \
    do { \
        uint64_t begun = live_ms(); \
        bool holds = false; \
        while (!holds && live_ms() - begun < 60000) { \
            pthread_mutex_lock(&live.lock); \
            holds = (condition); \
            pthread_mutex_unlock(&live.lock); \
            if (!holds) live_nap(2); \
        } \
        if (!holds) live_missed(#condition ": not after a minute"); \
    } while (0)
#define await_applied(n) AWAIT(live.applied >= (n))
#define await_failure(words) AWAIT(strstr(live.failure, words) != NULL)

/* At the beginning of a test. */
static inline void live_setup(void)
{
    w.env_config.on_event = live_event;
    w.env_config.on_failure = live_failure;
}

static inline void live_begin(void)
{
    begin_run();
    pthread_mutex_lock(&live.lock);
    live.ready = false;
    live.applied = live.failures = 0;
    live.failure[0] = '\0';
    pthread_mutex_unlock(&live.lock);
    assert_int_equal(open_world(), COCO_OK);
    if (coco_update_start(w.app, OPTS(.live = true), &live.running, &w.err) != COCO_OK) fail_msg("%s", w.err.msg);
}

static inline void go_live(void)
{
    live_begin();
    AWAIT(live.ready);
    pthread_mutex_lock(&live.lock);
    live.applied = 0;
    pthread_mutex_unlock(&live.lock);
}

static inline void live_sync(void)
{
    coco_err err = { 0 };

    if (coco_sync(w.app, 60000, &err) != COCO_OK) live_missed(err.msg);
}

static inline coco_status live_wait(void)
{
    coco_running *u = live.running;

    live.running = NULL;
    return w.rc = coco_update_wait(u, &w.result, &w.err);
}

static inline void halt_live_as(coco_status rc, const char *file, int line)
{
    uint64_t begun = live_ms();

    coco_app_stop(w.app);
    live_wait();
    if (live_ms() - begun >= 30000) fail_msg("the stop took %d ms", (int)(live_ms() - begun));
    expect_rc(rc, file, line);
}
#define halt_live(rc) halt_live_as(rc, __FILE__, __LINE__)

/* For a test's end: one that has failed leaves its update running. */
static inline void live_end(void)
{
    if (live.running) coco_app_stop(w.app), live_wait();
}

#endif /* COCO_TEST_ROWS_LIVE_H */
