/* schedule.c - the engine's lock and the pool of threads; deadlines, rate limiters, runners.
 *
 * Floor: above event. With threads = 0 nothing here does anything: one thread, no lock. With a pool, a run has one
 * lock. Whoever is inside the engine holds it; it is given back around every piece of user code that may take its
 * time (functions, hooks of classes, sources, sinks), so user code runs at the same time and the engine's own data
 * need no other care. Handlers' reconcile, child and attachment are pure and short, and run under it; so do events
 * and failure handlers, which come in the order of the decisions.
 *
 * A component's `arena` belongs to the thread that runs its function; what others put into it meanwhile goes into
 * `shared`, under the lock.
 *
 * Mounted children that have to run wait in a queue for a worker; functions so short that a worker's attention would
 * cost more run where they are mounted. A thread that waits for a child runs what is queued at and below that child
 * itself, nothing else, so waiting can't starve and stacks are as deep as mounts. Work that has pieces (the items of a
 * map, the sinks of a round) is shared with the workers that are idle. A run is quiet when no thread of it is active:
 * then what is finished is written at once, and batches that wait start. A thread counts as active from when it is
 * called, and not while it waits for another thread, for a memo or for a runner; nor do threads of the user's. */
#include "engine.h"

#include <sched.h>

/* ---- The lock ---- */

struct coco__helper { /* a thread that does a piece of shared work */
    struct coco__helper *next;
    struct coco__thread *thread;
};

static _Thread_local struct coco__thread {
    const coco__pool *counted; /* it counts as a thread of this pool; NULL: of none (one of the user's) */
    bool woken;                /* it waits, but counts as active again */
    uint64_t waited;           /* ns for locks, until now */
    /* What it waits for, if for anything: a memo that another thread computes, shared work (the innermost), a thread
     * that computes for it, a place of a runner */
    const uint8_t *memo;
    coco__team *team;
    struct coco__thread *on;
    _Atomic(const coco_runner *) runner;
} coco__me;

#ifdef COCO__SEPARATE
_Atomic unsigned coco__yields;

/* Lets another thread go on, at places that a seed chooses: tests vary schedules with it. */
static void coco__yield(void)
{
    static _Thread_local uint64_t state;
    unsigned seed = atomic_load_explicit(&coco__yields, memory_order_relaxed);
    static _Atomic unsigned nth;

    if (!seed) return;
    if (!state) state = (seed + 0x9e3779b97f4a7c15u) * (2 * (uint64_t)atomic_fetch_add(&nth, 1) + 1);
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    if ((state >> 20) % 64 == 0) nanosleep(&(struct timespec){ 0, (long)(state >> 40 & 0xffff) }, NULL);
    else if ((state >> 20) % 4 == 0) sched_yield();
}
#else
#define coco__yield() ((void)0)
#endif

static bool coco__holds_lock(coco__pool *p)
{ return atomic_load_explicit(&p->holder, memory_order_relaxed) == &coco__me; }

static void coco__lock(coco__pool *p, unsigned depth)
{
    coco__yield();
    if (pthread_mutex_trylock(&p->lock) != 0) {
        uint64_t begun = coco__monotonic_ns();
        pthread_mutex_lock(&p->lock);
        coco__me.waited += coco__monotonic_ns() - begun;
    }
    atomic_store_explicit(&p->holder, &coco__me, memory_order_relaxed);
    p->depth = depth;
}

static unsigned coco__unlock(coco__pool *p)
{
    unsigned depth = p->depth;

    atomic_store_explicit(&p->holder, NULL, memory_order_relaxed);
    pthread_mutex_unlock(&p->lock);
    coco__yield();
    return depth;
}

COCO__IN void coco__enter(coco__run *run)
{
    if (!run || !run->pool) return;
    if (coco__holds_lock(run->pool)) run->pool->depth++;
    else coco__lock(run->pool, 1);
}

COCO__IN void coco__leave(coco__run *run)
{
    if (run && run->pool && --run->pool->depth == 0) coco__unlock(run->pool);
}

COCO__IN unsigned coco__user_begin(coco__run *run)
{ return run && run->pool && coco__holds_lock(run->pool) ? coco__unlock(run->pool) : 0; }

COCO__IN void coco__user_end(coco__run *run, unsigned depth)
{
    if (depth) coco__lock(run->pool, depth);
}

COCO__IN uint64_t coco__waited(void) { return coco__me.waited; }

/* ---- Waiting ---- */

COCO__IN void coco__changed(coco__run *run)
{
    if (run->pool && run->pool->nwaiting) pthread_cond_broadcast(&run->pool->changed);
    if (run->live) coco__live_poke(run->live);
}

COCO__IN bool coco__quiet(const coco__run *run)
{
    const coco__pool *p = run->pool;

    return p->nactive == 0 && p->ncalled == 0;
}

static void coco__less_active(coco__run *run)
{
    run->pool->nactive--;
    if (run->pool->nwaiting && coco__quiet(run)) pthread_cond_broadcast(&run->pool->changed);
}

COCO__IN void coco__wait_begin(coco__run *run)
{
    if (!run->pool) return;
    run->pool->nwaiting++;
    if (coco__me.counted == run->pool) coco__less_active(run);
}

COCO__IN void coco__wait_end(coco__run *run)
{
    if (!run->pool) return;
    if (coco__me.counted == run->pool && !coco__me.woken) run->pool->nactive++;
    coco__me.woken = false;
    run->pool->nwaiting--;
}

/* What the thread waits for has come: it counts as active from now on, not from when it gets to run. */
COCO__IN void coco__wake(coco__run *run, struct coco__thread *t)
{
    if (t == &coco__me || t->woken || t->counted != run->pool) return;
    t->woken = true;
    run->pool->nactive++;
}

COCO__IN struct timespec coco__time_in(uint64_t ns)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    ns += (uint64_t)t.tv_nsec;
    return (struct timespec){ t.tv_sec + (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
}

/* Sleeps until something changes, or until a deadline (monotonic ns; 0: none) or a stop may want a look. */
COCO__IN void coco__wait_change(coco__run *run, uint64_t deadline)
{
    coco__pool *p = run->pool;
    uint64_t now = coco__monotonic_ns(), wait = 100000000u;
    unsigned depth = p->depth;

    if (deadline && deadline < now + wait) wait = deadline > now ? deadline - now : 1;
    struct timespec until = coco__time_in(wait);
    atomic_store_explicit(&p->holder, NULL, memory_order_relaxed);
    pthread_cond_timedwait(&p->changed, &p->lock, &until);
    atomic_store_explicit(&p->holder, &coco__me, memory_order_relaxed);
    p->depth = depth;
}

/* Does the thread wait, directly or through others, for this one? */
static bool coco__waits_for_me(coco__run *run, const struct coco__thread *t)
{
    const coco__fresh *f = t->memo ? coco__table_get(&run->memos, t->memo, COCO__FP) : NULL;

    if (t == &coco__me) return true;
    if (f && f->running && coco__waits_for_me(run, f->by)) return true;
    for (const coco__team *s = t->team; s; s = s->outer)
        for (const struct coco__helper *h = s->helpers; h; h = h->next)
            if (h->thread != t && coco__waits_for_me(run, h->thread)) return true;
    return t->on && coco__waits_for_me(run, t->on);
}

/* Could the wait for a memo never end? It is computed further up, by who waits for this thread, or by who waits for the
 * place of a runner that is held here. */
static bool coco__fresh_never(coco_ctx *cx, const coco__fresh *f)
{
    const coco_runner *wanted = atomic_load(&f->by->runner);

    for (const coco_ctx *up = cx; up; up = up->up)
        if (up->memo && memcmp(up->memo, f->fp, COCO__FP) == 0) return true;
    return coco__waits_for_me(cx->run, f->by) || (wanted && coco__on_runner(cx, wanted));
}

COCO__IN bool coco__await_fresh(coco_ctx *cx, const uint8_t fp[COCO__FP])
{
    coco__run *run = cx->run;
    const coco__fresh *f;
    bool never = false;

    if (!run->pool) return false;
    coco__wait_begin(run);
    coco__me.memo = fp;
    while ((f = coco__table_get(&run->memos, fp, COCO__FP)) != NULL && f->running) {
        coco__me.memo = NULL;
        if ((never = coco__fresh_never(cx, f))) break;
        coco__me.memo = fp;
        coco__wait_change(run, 0);
    }
    coco__me.memo = NULL;
    coco__wait_end(run);
    return !never;
}

COCO__IN struct coco__thread *coco__this_thread(void) { return &coco__me; }
COCO__IN void coco__computed_by(struct coco__thread *t, struct coco__thread *by)
{
    if (t != by) t->on = by;
}

/* ---- Workers, shared work and the queue ---- */

static void coco__team_help(coco__run *run, coco__team *s)
{
    struct coco__helper self = { s->helpers, &coco__me }, **h = &s->helpers;
    coco__team **at = &run->pool->teams;

    s->helpers = &self;
    bool more = s->step(s);
    while (*h != &self) h = &(*h)->next;
    *h = self.next;
    while (!more && *at && *at != s) at = &(*at)->next;
    if (!more && *at) *at = s->next;
    if (!s->helpers) coco__changed(run);
}

/* Waits until it is called; it counts as active from then on. */
static void coco__worker_sleep(coco__run *run)
{
    coco__pool *p = run->pool;

    p->nidle++;
    coco__less_active(run);
    atomic_store_explicit(&p->holder, NULL, memory_order_relaxed);
    while (!p->ncalled && !p->ending) pthread_cond_wait(&p->work, &p->lock);
    atomic_store_explicit(&p->holder, &coco__me, memory_order_relaxed);
    p->depth = 1;
    if (!p->ncalled) return;
    p->ncalled--;
    p->nactive++;
}

static void *coco__worker(void *arg)
{
    coco__run *run = arg;
    coco__pool *p = run->pool;
    coco__comp *c;

    coco__lock(p, 1);
    coco__me.counted = p;
    while (!p->ending) {
        if (p->teams) coco__team_help(run, p->teams);
        else if ((c = coco__queue_take(run, NULL)) != NULL) p->task(c);
        else coco__worker_sleep(run);
    }
    coco__unlock(p);
    return NULL;
}

/* Calls a worker: one that sleeps, else a new one. False: all there may be are at work. */
static bool coco__worker_call(coco__run *run)
{
    coco__pool *p = run->pool;
    bool starts = !p->nidle && p->nthreads < p->max_threads;

    if (starts && pthread_create(&p->threads[p->nthreads], NULL, coco__worker, run) != 0) return false;
    if (!starts && !p->nidle) return false;
    if (starts) {
        p->nthreads++;
        p->nactive++; /* it is, once it has come */
    } else {
        p->nidle--;
        p->ncalled++;
        pthread_cond_signal(&p->work);
    }
    return true;
}

COCO__IN void coco__team_run(coco__run *run, coco__team *s, size_t pieces)
{
    coco__pool *p = run->pool;
    coco__team **at = &p->teams;

    while (*at) at = &(*at)->next;
    *at = s;
    while (pieces-- > 1 && coco__worker_call(run)) continue;
    s->outer = coco__me.team;
    coco__me.team = s;
    while (s->step(s)) continue;
    for (at = &p->teams; *at && *at != s;) at = &(*at)->next;
    if (*at) *at = s->next;
    coco__wait_begin(run);
    while (s->helpers) coco__wait_change(run, 0);
    coco__wait_end(run);
    coco__me.team = s->outer;
}

COCO__IN bool coco__queue_put(coco__run *run, coco__comp *c)
{
    coco__pool *p = run->pool;
    bool called = coco__worker_call(run);

    if (!p->nthreads) return false; /* no thread to be had: it runs where it is */
    c->next = NULL;
    c->charged = c->arena.total + c->pooled.total;
    *p->queue_last = c;
    p->queue_last = &c->next;
    p->nqueued++;
    p->queued_bytes += c->charged;
    if (!called) coco__changed(run); /* who waits may run it */
    return true;
}

static bool coco__stands_below(const coco__comp *c, const coco__comp *above)
{
    while (c && c != above) c = c->parent;
    return c != NULL;
}

COCO__IN coco__comp *coco__queue_take(coco__run *run, const coco__comp *below)
{
    coco__pool *p = run->pool;
    coco__comp **at = &p->queue, *c;

    while (*at && below && !coco__stands_below(*at, below)) at = &(*at)->next;
    if (!(c = *at)) return NULL;
    *at = c->next;
    if (!*at) p->queue_last = at;
    p->nqueued--;
    p->queued_bytes -= c->charged;
    return c;
}

static coco__pool *coco__pool_new(coco__run *run, unsigned threads, void (*task)(coco__comp *c))
{
    coco__pool *p = coco__zalloc(run->mem, sizeof *p + threads * sizeof p->threads[0]);

    if (!p) return NULL;
    p->max_threads = threads;
    p->queue_last = &p->queue;
    p->task = task;
    p->outer = coco__me.counted;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->changed, NULL);
    return run->pool = p;
}

static void coco__pool_free(coco__run *run)
{
    coco__pool *p = run->pool;

    coco__me.counted = p->outer;
    pthread_cond_destroy(&p->changed);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    run->pool = NULL;
    coco__free(run->mem, p);
}

COCO__IN coco_status coco__pool_begin(coco__run *run, unsigned threads, void (*task)(coco__comp *c))
{
    if (!threads) return COCO_OK;
    if (!coco__pool_new(run, threads < 1024 ? threads : 1024, task)) return COCO_ENOMEM;
    run->pool->nactive = 1;
    coco__me.counted = run->pool;
    coco__enter(run);
    return COCO_OK;
}

COCO__IN void coco__pool_end(coco__run *run)
{
    coco__pool *p = run->pool;

    if (!p) return;
    p->ending = true;
    pthread_cond_broadcast(&p->work);
    coco__leave(run);
    for (unsigned i = 0; i < p->nthreads; i++) pthread_join(p->threads[i], NULL);
    coco__pool_free(run);
}

/* ---- Threads of the user's ---- */

COCO__IN coco_status coco__fork_begin(coco_ctx *cx)
{
    coco__run *run = cx->run;

    if (!run->pool) { /* a lock is all that is needed: it ends with the last of these threads */
        if (!coco__pool_new(run, 0, NULL)) return coco__oom(cx);
        if (cx->comp) cx->comp->shared = cx->comp->owned.arena = &cx->comp->pooled;
    }
    coco__enter(run);
    run->pool->nforks++;
    if (cx->nforks++ == 0 && coco__me.counted == run->pool) {
        cx->uncounted = true;
        coco__me.counted = NULL;
        coco__less_active(run);
    }
    coco__leave(run);
    return COCO_OK;
}

COCO__IN void coco__fork_end(coco_ctx *cx)
{
    coco__run *run = cx->run;

    coco__enter(run);
    if (--cx->nforks == 0 && cx->uncounted) {
        cx->uncounted = false;
        coco__me.counted = run->pool;
        run->pool->nactive++;
    }
    bool last = --run->pool->nforks == 0 && !run->pool->max_threads;
    coco__leave(run);
    if (last) coco__pool_free(run);
}

/* ---- Deadlines ---- */

COCO__IN coco_status coco__stopped(const coco__run *run)
{
    return run && atomic_load_explicit(&run->app->stop, memory_order_relaxed) ? COCO_ESTOP : COCO_OK;
}

static coco_status coco__halt(coco_ctx *cx, coco_status code, const char *message)
{
    if (cx->comp) COCO__ENTERED(cx->run, cx->comp->stopped = code);
    return coco__say(cx, code, message);
}

COCO__IN bool coco__late(const coco_ctx *cx) { return cx->deadline && coco__monotonic_ns() >= cx->deadline; }

coco_status coco_checkpoint(coco_ctx *cx)
{
    if (cx->kept) return cx->kept;
    if (coco__stopped(cx->run) != COCO_OK) return coco__halt(cx, COCO_ESTOP, "stopped");
    return coco__late(cx) ? coco__halt(cx, COCO_EDEADLINE, "the deadline has passed") : COCO_OK;
}

struct coco__deadline {
    struct coco__deadline *up;
    uint64_t before; /* deadline outside */
};

coco_status coco_deadline_begin(coco_ctx *cx, unsigned ms)
{
    struct coco__deadline *d = coco__arena_alloc(cx->home, sizeof *d);
    uint64_t at = coco__monotonic_ns() + (uint64_t)ms * 1000000u;

    if (!d) return coco__oom(cx);
    *d = (struct coco__deadline){ cx->deadlines, cx->deadline };
    cx->deadlines = d;
    if (!cx->deadline || at < cx->deadline) cx->deadline = at;
    return COCO_OK;
}

void coco_deadline_end(coco_ctx *cx)
{
    struct coco__deadline *d = cx->deadlines;

    if (!d) return;
    cx->deadline = d->before;
    cx->deadlines = d->up;
}

/* ---- Rate limiters: the generic cell rate algorithm (ITU-T I.371): `due` is when a bucket that only ever filled by
 *  what was taken would be empty. ---- */

static pthread_mutex_t coco__places = PTHREAD_MUTEX_INITIALIZER; /* of all rate limiters and runners */
static pthread_cond_t coco__places_changed = PTHREAD_COND_INITIALIZER;

coco_status coco_rate_wait(coco_ctx *cx, coco_rate *rate, double units)
{
    double burst = rate->burst < 1 ? 1 : rate->burst;
    uint64_t now = coco__monotonic_ns(), cost, slack, start;

    if (!(rate->per_second > 0)) return coco_fail(cx, COCO_EINVAL, "a rate limiter's rate must be positive");
    if (!(units > 0) || units > burst)
        return coco_fail(cx, COCO_EINVAL, "a rate limiter with a burst of %g can't give %g at once", burst, units);
    COCO_TRY(coco_checkpoint(cx));
    cost = (uint64_t)(units / rate->per_second * 1e9);
    slack = (uint64_t)(burst / rate->per_second * 1e9);
    pthread_mutex_lock(&coco__places);
    uint64_t due = (rate->due > now ? rate->due : now) + cost;
    start = due > now + slack ? due - slack : now;
    bool late = cx->deadline && start > cx->deadline;
    if (!late) rate->due = due;
    pthread_mutex_unlock(&coco__places);
    if (late) return coco__halt(cx, COCO_EDEADLINE, "the deadline is before the rate limiter's turn");
    while ((now = coco__monotonic_ns()) < start) {
        uint64_t ms = (start - now) / 1000000 + 1;
        coco_status rc = coco_checkpoint(cx);
        if (rc != COCO_OK) {
            COCO__LOCKED(&coco__places, rate->due -= cost);
            return rc;
        }
        coco__sleep_ms(ms < 50 ? (unsigned)ms : 50);
    }
    return COCO_OK;
}

/* ---- Runners ---- */

struct coco__job { /* a call on a runner's own thread; stands on the caller's stack */
    struct coco__job *next;
    coco_status (*body)(void *self);
    void *self;
    coco__run *run;
    struct coco__thread *caller;
    coco_status rc;
    bool done;
};

/* Runs the call as its caller would. */
static void coco__job_run(struct coco__job *j)
{
    coco__me.counted = j->caller->counted;
    COCO__ENTERED(j->run, coco__wait_end(j->run));
    COCO__ENTERED(j->run, j->caller->on = &coco__me);
    j->rc = j->body(j->self);
    COCO__ENTERED(j->run, j->caller->on = NULL);
    coco__me.counted = NULL;
}

static void *coco__runner_thread(void *arg)
{
    coco_runner *r = arg;

    pthread_mutex_lock(&coco__places);
    for (;;) {
        struct coco__job *j = r->jobs;
        if (!j) {
            pthread_cond_wait(&coco__places_changed, &coco__places);
            continue;
        }
        r->jobs = j->next;
        pthread_mutex_unlock(&coco__places);
        coco__job_run(j);
        pthread_mutex_lock(&coco__places);
        j->done = true;
        pthread_cond_broadcast(&coco__places_changed);
    }
    return NULL;
}

static bool coco__runner_start(coco_runner *r)
{
    pthread_t thread;

    if (r->started) return true;
    if (pthread_create(&thread, NULL, coco__runner_thread, r) != 0) return false;
    pthread_detach(thread);
    return r->started = true;
}

static coco_status coco__runner_hand_over(coco_ctx *cx, coco_runner *r, coco_status (*body)(void *self), void *self)
{
    struct coco__job job = { .body = body, .self = self, .run = cx->run, .caller = &coco__me }, **last = &r->jobs;
    bool started;

    COCO__LOCKED(&coco__places, started = coco__runner_start(r));
    if (!started) return coco_fail(cx, COCO_EFAIL, "runner %s: no thread to be had", r->name);
    COCO__ENTERED(cx->run, coco__wait_begin(cx->run)); /* the runner's thread ends it */
    atomic_store(&coco__me.runner, r);
    pthread_mutex_lock(&coco__places);
    while (*last) last = &(*last)->next;
    *last = &job;
    pthread_cond_broadcast(&coco__places_changed);
    while (!job.done) pthread_cond_wait(&coco__places_changed, &coco__places);
    pthread_mutex_unlock(&coco__places);
    atomic_store(&coco__me.runner, NULL);
    return job.rc;
}

COCO__IN bool coco__on_runner(const coco_ctx *cx, const coco_runner *r)
{
    for (; cx; cx = cx->up)
        if (cx->held == r || (cx->fn && cx->fn->runner == r)) return true;
    return false;
}

/* Waits for its turn, and until the share is free. */
static void coco__place_take(coco_ctx *cx, coco_runner *r, double share)
{
    pthread_mutex_lock(&coco__places);
    uint64_t turn = r->tail++;
    bool waits = turn != r->head || r->used + share > 1 + 1e-9;
    if (waits) {
        pthread_mutex_unlock(&coco__places);
        COCO__ENTERED(cx->run, coco__wait_begin(cx->run)); /* a batch may start meanwhile that its holder waits for */
        atomic_store(&coco__me.runner, r);
        pthread_mutex_lock(&coco__places);
        while (turn != r->head || r->used + share > 1 + 1e-9)
            pthread_cond_wait(&coco__places_changed, &coco__places);
    }
    r->head++;
    r->used += share;
    pthread_cond_broadcast(&coco__places_changed);
    pthread_mutex_unlock(&coco__places);
    atomic_store(&coco__me.runner, NULL);
    if (waits) COCO__ENTERED(cx->run, coco__wait_end(cx->run));
}

static coco_status coco__runner_there(coco_ctx *cx, const coco_fn *fn, coco_status (*body)(void *self), void *self)
{
    coco_runner *r = fn->runner;
    double share = fn->share > 0 && fn->share <= 1 ? fn->share : 1;
    coco_status rc;

    if (!r || cx->held == r || coco__on_runner(cx->up, r)) return body(self); /* it is there already */
    if (r->own_thread) return coco__runner_hand_over(cx, r, body, self);
    coco__place_take(cx, r, share);
    rc = coco__stopped(cx->run) == COCO_OK ? body(self) : COCO_ESTOP;
    COCO__LOCKED(&coco__places, r->used -= share);
    pthread_cond_broadcast(&coco__places_changed);
    return rc;
}

COCO__IN coco_status coco__runner_run(coco_ctx *cx, const coco_fn *fn, coco_status (*body)(void *self), void *self)
{
    uint64_t begun = coco__monotonic_ns();
    coco_status rc;

    COCO__USER(cx->run, rc = coco__runner_there(cx, fn, body, self));
    cx->ns = coco__monotonic_ns() - begun;
    coco__count_fn(cx->run->app, fn, COCO__NS, cx->ns);
    if (rc == COCO_OK) rc = cx->kept;
    return rc > 0 ? coco_fail(cx, COCO_EINVAL, "%s: returned %d, which is no status", fn->name, rc) : rc;
}

/* ---- Sinks ---- */

static struct coco__busy *coco__busy_sinks; /* of all updates in the process */

COCO__IN void coco__sink_take(struct coco__busy *b, const coco_sink *sink)
{
    const struct coco__busy *other;

    b->sink = sink;
    pthread_mutex_lock(&coco__places);
    do {
        for (other = coco__busy_sinks; other && other->sink != sink;) other = other->next;
        if (other) pthread_cond_wait(&coco__places_changed, &coco__places);
    } while (other);
    b->next = coco__busy_sinks;
    coco__busy_sinks = b;
    pthread_mutex_unlock(&coco__places);
}

COCO__IN void coco__sink_give(const struct coco__busy *b)
{
    struct coco__busy **at = &coco__busy_sinks;

    pthread_mutex_lock(&coco__places);
    while (*at != b) at = &(*at)->next;
    *at = b->next;
    pthread_cond_broadcast(&coco__places_changed);
    pthread_mutex_unlock(&coco__places);
}
