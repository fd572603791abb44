/* feed.c - what threads outside the engine hand in: changes, tokens, reports, requests to sync.
 *
 * Floor: below live. Watches and live parts run on threads of their own, which never touch the run: they put
 * operations into a queue under a lock of its own, and the update's thread takes them out (live.c). Of one key the
 * newest waits, in the place of the older one, which counts as done. A part also keeps its operations in the order of
 * issue: a token is reached when all before it are done, and none has failed; what is done behind something unfinished
 * is drawn together, so the list is about as long as what is unfinished.
 *
 * The update's thread sleeps on a pipe, since coco_app_stop must wake it from a signal handler. It counts news: what
 * came after it looked keeps it from sleeping.
 *
 * Locks: live's alone, or live's while the run's is held; never the run's while live's is held. */
#include "engine.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

struct coco_operator {
    coco_feed part; /* an operator is a part; its own calls are what differs */
};

/* ---- Pipes, waking and sleeping ---- */

/* Neither end may block: a handler writes to it, and what it says is said by one byte as well as by many. */
static bool coco__pipe(int ends[2])
{
    if (pipe(ends) != 0) return false;
    for (int i = 0; i < 2; i++) {
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        fcntl(ends[i], F_SETFL, O_NONBLOCK);
    }
    return true;
}

static void coco__pipe_fill(int end)
{
    while (write(end, "", 1) < 0 && errno == EINTR) continue; /* a full pipe is readable already */
}

static void coco__news(coco__live *l) /* with the lock */
{
    l->news++;
    if (l->sleeping) coco__pipe_fill(l->run->app->wake[1]);
    l->sleeping = false;
}

COCO__IN void coco__live_poke(coco__live *l)
{
    COCO__LOCKED(&l->lock, coco__news(l));
}

COCO__IN void coco__live_look(coco__live *l)
{
    COCO__LOCKED(&l->lock, l->seen = l->news);
}

/* With a pool the thread isn't active meanwhile, and without the run's lock; batches that wait for quiet go on. */
COCO__IN void coco__live_sleep(coco__live *l, unsigned ms)
{
    struct pollfd fd = { .fd = l->run->app->wake[0], .events = POLLIN };
    char bytes[64];
    bool sleeps;

    COCO__LOCKED(&l->lock, sleeps = l->sleeping = l->news == l->seen);
    if (!sleeps) return;
    coco__wait_begin(l->run);
    COCO__USER(l->run, poll(&fd, 1, (int)ms));
    while (read(fd.fd, bytes, sizeof bytes) > 0) continue;
    coco__wait_end(l->run);
    COCO__LOCKED(&l->lock, l->sleeping = false);
}

/* In a signal handler: an atomic store and a write. The pipe lives as long as the app, so that its number is never
 * another file's. */
void coco_app_stop(coco_app *app)
{
    int fd;

    atomic_store(&app->stop, 1);
    if ((fd = atomic_load(&app->wake[1])) >= 0) coco__pipe_fill(fd);
}

COCO__IN coco_status coco__live_new(coco__run *run)
{
    coco_app *app = run->app;
    coco__live *l = coco__zalloc(run->mem, sizeof *l);
    int ends[2];

    if (!l) return COCO_ENOMEM;
    if (app->wake[1] < 0) {
        if (!coco__pipe(ends)) {
            coco__free(run->mem, l);
            return coco_err_set(&run->cx_err, COCO_EIO, "no pipe to be had: %s", strerror(errno));
        }
        app->wake[0] = ends[0];
        app->wake[1] = ends[1];
    }
    l->run = run;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    l->queue_last = &l->queue;
    coco__table_init(&l->places, run->mem);
    coco__arena_init(&l->group, run->mem);
    run->live = l;
    COCO__LOCKED(&run->env->mutex, app->live = l);
    return COCO_OK;
}

COCO__IN void coco__live_free(coco__run *run)
{
    coco__live *l = run->live;
    char bytes[64];

    if (!l) return;
    COCO__LOCKED(&run->env->mutex, run->app->live = NULL);
    pthread_mutex_lock(&l->lock);
    l->ending = true;
    pthread_cond_broadcast(&l->changed);
    while (l->nusers) pthread_cond_wait(&l->changed, &l->lock);
    pthread_mutex_unlock(&l->lock);
    while (read(run->app->wake[0], bytes, sizeof bytes) > 0) continue;
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    coco__table_free(&l->places);
    coco__arena_free(&l->group);
    run->live = NULL;
    coco__free(run->mem, l);
}

/* ---- Operations ---- */

/* An operation lives in an arena of its own, since the thread that makes it shares no other memory with the run. */
COCO__IN coco_status coco__op_new(coco_feed *p, coco__op_kind kind, const coco_value *key, coco__op **out)
{
    coco__arena arena;
    coco__op *op;
    coco__buf b;
    coco_status rc = COCO_OK;

    coco__arena_init(&arena, p->arena.mem);
    if (!(op = *out = coco__arena_zalloc(&arena, sizeof *op))) return COCO_ENOMEM;
    op->part = p;
    op->kind = kind;
    op->arena = arena;
    if (kind == COCO__OP_FULL) op->key = (coco_str){ "", 0 };
    if (!key) return COCO_OK;
    coco__buf_init(&b, arena.mem);
    rc = coco__key_put(&b, *key);
    op->key = coco__buf_take(&b, &op->arena);
    if (rc == COCO_OK) rc = op->key.p ? coco__value_copy(&op->arena, *key, &op->at) : COCO_ENOMEM;
    if (rc != COCO_OK) coco__op_free(op);
    return rc;
}

COCO__IN void coco__op_free(coco__op *op)
{
    coco__arena arena = op->arena;

    coco__free(arena.mem, (char *)(uintptr_t)op->token.p);
    coco__arena_free(&arena);
}

static void coco__op_unlist(coco_feed *p, coco__op **at)
{
    coco__op *op = *at;

    *at = op->later;
    if (!op->later) p->ops_last = at;
    coco__op_free(op);
}

/* Takes what is done off the front of the list, and draws together what is done behind it. With the lock. */
static void coco__ops_trim(coco_feed *p)
{
    coco__op *op;

    while ((op = p->ops) != NULL && op->done) {
        p->stuck |= op->failed;
        if (op->token.p && !p->stuck) {
            coco__free(p->arena.mem, (char *)(uintptr_t)p->reached.p);
            p->reached = op->token;
            p->reached_seq = op->seq;
            op->token.p = NULL;
        }
        coco__op_unlist(p, &p->ops);
    }
    for (coco__op **at = &p->ops; *at && (*at)->later;) {
        coco__op *next = (op = *at)->later;
        if (!op->done || !next->done || op->failed || next->failed) {
            at = &op->later;
            continue;
        }
        if (!next->token.p) {
            coco_str token = next->token;
            next->token = op->token;
            op->token = token;
            next->seq = op->seq;
        }
        coco__op_unlist(p, at);
    }
}

/* Puts op into the queue, in the place of an older one of its key. With the lock. */
static void coco__op_enqueue(coco__live *l, coco__op *op, coco__op *old)
{
    coco__op **at = &l->queue;

    op->next = NULL;
    if (!old) {
        *l->queue_last = op;
        l->queue_last = &op->next;
        l->nqueued++;
        return;
    }
    while (*at != old) at = &(*at)->next;
    op->next = old->next;
    op->since = old->since;
    *at = op;
    if (!op->next) l->queue_last = &op->next;
    old->done = true;
}

static size_t coco__op_limit(const coco__live *l) { return l->run->app->config.max_inflight; }

static bool coco__part_over(const coco_feed *p)
{ return p->closing || p->live->ending || coco__stopped(p->live->run) != COCO_OK; }

/* Waiting for room holds a fast source back; a map and a timer, which are on the update's own thread, don't wait. */
COCO__IN coco_status coco__op_issue(coco__op *op, bool waits)
{
    coco_feed *p = op->part;
    coco__live *l = p->live;
    coco__op *old;
    coco_status rc = COCO_OK;

    pthread_mutex_lock(&l->lock);
    while (waits && l->nqueued >= coco__op_limit(l) && !coco__part_over(p)) pthread_cond_wait(&l->changed, &l->lock);
    op->seq = op->since = ++l->seq;
    old = op->key.p ? coco__table_get(&p->waiting, op->key.p, op->key.n) : NULL;
    if (coco__part_over(p)) rc = COCO_ESTOP;
    else if (op->kind == COCO__OP_STATE) op->done = true;
    else if (op->key.p && old) coco__table_remove(&p->waiting, op->key.p, op->key.n);
    if (rc == COCO_OK && op->key.p && !coco__table_put(&p->waiting, op->key.p, op->key.n, op)) rc = COCO_ENOMEM;
    if (rc == COCO_OK) {
        if (!op->done) coco__op_enqueue(l, op, old);
        *p->ops_last = op;
        p->ops_last = &op->later;
        l->tokens |= op->token.p != NULL;
        coco__ops_trim(p);
        coco__news(l);
    }
    pthread_mutex_unlock(&l->lock);
    if (rc != COCO_OK) coco__op_free(op);
    return rc;
}

/* Does the operation run c, or what c stands below? */
static bool coco__op_reaches(const coco__op *op, const coco__comp *c)
{
    const coco_feed *p = op->part;

    for (; c; c = c->parent)
        if (p->node->id && c->at.parent == p->node->id &&
            ((p->src && op->kind == COCO__OP_FULL) || coco_str_equal(c->at.segment, p->src ? op->key : p->segment)))
            return true;
    return false;
}

/* What stands below one that runs anew is mounted by that one, too: the two aren't at work at once, and the first of
 * them in the queue begins. */
static bool coco__op_crosses(const coco__op *op)
{
    const coco_feed *p = op->part;
    const coco__live *l = p->live;

    for (int queued = 0; queued < 2; queued++)
        for (const coco__op *o = queued ? l->queue : l->begun; o && o != op; o = o->next)
            if (o->part != p && (coco__op_reaches(op, o->part->host) || coco__op_reaches(o, p->host))) return true;
    return false;
}

/* May it begin? One at a time of a key; a full pass alone, and what was asked for behind it waits for it. */
static bool coco__op_may(const coco__op *op)
{
    coco_feed *p = op->part;

    if (p->host->state != COCO__DONE || p->full) return false;
    if (op->kind == COCO__OP_REPORT) return true;
    if (p->live->nested && coco__op_crosses(op)) return false;
    const coco__op *full = coco__table_get(&p->waiting, "", 0);
    if (op->kind == COCO__OP_FULL) return p->nrunning == 0 && !p->stand;
    return (!full || full->since > op->since) && !coco__table_get(&p->running, op->key.p, op->key.n);
}

COCO__IN coco__op *coco__op_next(coco__live *l)
{
    coco__op **at = &l->queue, *op;

    pthread_mutex_lock(&l->lock);
    while (*at && !coco__op_may(*at)) at = &(*at)->next;
    if ((op = *at) != NULL) {
        *at = op->next;
        if (!*at) l->queue_last = at;
        if (l->nqueued-- == coco__op_limit(l)) pthread_cond_broadcast(&l->changed);
        if (op->key.p) coco__table_remove(&op->part->waiting, op->key.p, op->key.n);
    }
    pthread_mutex_unlock(&l->lock);
    return op;
}

COCO__IN bool coco__ops_done(coco__live *l, bool all)
{
    coco__op **at = &l->begun, *op;
    bool any = false;

    pthread_mutex_lock(&l->lock);
    while ((op = *at) != NULL) {
        coco_feed *p = op->part;
        /* A live component's stand-in has the path until the end; and who has a container to be deleted, or a last
         * try to come, at the end of the group, isn't run again before. */
        if (!all && (op->open || op->gone || !p->src || l->run->condemned || l->run->deferred)) {
            at = &op->next;
            continue;
        }
        *at = op->next;
        l->nbegun--;
        if (op->key.p && coco__table_get(&p->running, op->key.p, op->key.n) == op) {
            coco__table_remove(&p->running, op->key.p, op->key.n);
            p->nrunning--;
        }
        if (op->kind == COCO__OP_FULL) p->full = false;
        op->done = any = true;
        coco__ops_trim(p);
    }
    if (any) pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return any;
}

/* What a newer operation took the place of counts under the older number: a barrier waits for the newer one too. */
static bool coco__part_until(const coco_feed *p, uint64_t seq)
{
    for (const coco__op *op = p->ops; op; op = op->later)
        if (!op->done && op->since <= seq) return false;
    return true;
}

COCO__IN bool coco__ops_until(coco__live *l, uint64_t seq)
{
    bool until = true;

    pthread_mutex_lock(&l->lock);
    for (const coco_feed *p = l->parts; p && until; p = p->next) until = p->closing || coco__part_until(p, seq);
    pthread_mutex_unlock(&l->lock);
    return until;
}

/* ---- Threads ---- */

static void *coco__part_thread(void *arg)
{
    coco_feed *p = arg;
    coco_status rc = p->src ? p->src->watch(p->src, p) : p->body((coco_operator *)p, p->args.v);

    pthread_mutex_lock(&p->live->lock);
    p->rc = rc;
    p->returned = p->ready = true;
    pthread_cond_broadcast(&p->live->changed);
    coco__news(p->live);
    pthread_mutex_unlock(&p->live->lock);
    return NULL;
}

/* A stop ends the watch, and so the wait. */
static void coco__part_await(coco_feed *p)
{
    pthread_mutex_lock(&p->live->lock);
    while (!p->ready) pthread_cond_wait(&p->live->changed, &p->live->lock);
    pthread_mutex_unlock(&p->live->lock);
}

COCO__IN coco_status coco__part_start(coco_feed *p)
{
    int rc = pthread_create(&p->thread, NULL, coco__part_thread, p);

    if (rc) return coco_err_set(&p->live->run->cx_err, COCO_EFAIL, "no thread for a live part: %s", strerror(rc));
    p->started = true;
    if (!p->src || !p->src->watch_first) return COCO_OK;
    COCO__USER(p->live->run, coco__part_await(p));
    return COCO_OK;
}

/* What waits of the part is never done, so no token passes it. */
COCO__IN void coco__part_stop(coco_feed *p)
{
    coco__live *l = p->live;
    coco__op *op;

    pthread_mutex_lock(&l->lock);
    p->closing = true;
    if (p->stop[1] >= 0) coco__pipe_fill(p->stop[1]);
    for (coco__op **at = &l->queue; (op = *at) != NULL;) {
        if (op->part != p) {
            at = &op->next;
            continue;
        }
        *at = op->next;
        if (!*at) l->queue_last = at;
        l->nqueued--;
    }
    pthread_cond_broadcast(&l->changed);
    coco__news(l);
    pthread_mutex_unlock(&l->lock);
}

/* ---- What a watch tells ---- */

/* key, value and token may be NULL: there is none. */
static coco_status coco__feed_change(coco_feed *p, coco__op_kind kind, const coco_value *key, const coco_value *value,
                                     const coco_value *token)
{
    coco__op *op;
    coco__buf b;
    coco_status rc = COCO_OK;

    COCO_TRY(coco__op_new(p, kind, key, &op));
    coco__buf_init(&b, p->arena.mem);
    if (value) rc = coco__value_copy(&op->arena, *value, &op->value);
    if (rc == COCO_OK && token) rc = coco__value_put(&b, *token, COCO__STORED);
    op->token = coco__buf_view(&b);
    if (rc == COCO_OK) return coco__op_issue(op, key != NULL);
    coco__op_free(op);
    return rc;
}

coco_status coco_feed_touch(coco_feed *feed, coco_value key)
{ return coco__feed_change(feed, COCO__OP_TOUCH, &key, NULL, NULL); }

coco_status coco_feed_put(coco_feed *feed, coco_value key, coco_value value, coco_value token)
{ return coco__feed_change(feed, COCO__OP_PUT, &key, &value, token.kind == COCO_NULL ? NULL : &token); }

coco_status coco_feed_delete(coco_feed *feed, coco_value key, coco_value token)
{ return coco__feed_change(feed, COCO__OP_DELETE, &key, NULL, token.kind == COCO_NULL ? NULL : &token); }

coco_status coco_feed_rescan(coco_feed *feed)
{
    coco__op *op;

    COCO_TRY(coco__op_new(feed, COCO__OP_FULL, NULL, &op));
    return coco__op_issue(op, false);
}

void coco_feed_ready(coco_feed *feed)
{
    pthread_mutex_lock(&feed->live->lock);
    feed->ready = true;
    pthread_cond_broadcast(&feed->live->changed);
    coco__news(feed->live);
    pthread_mutex_unlock(&feed->live->lock);
}

void coco_feed_synced(coco_feed *feed, uint64_t ticket)
{
    pthread_mutex_lock(&feed->live->lock);
    if (feed->synced < ticket) feed->synced = ticket;
    coco__news(feed->live);
    pthread_mutex_unlock(&feed->live->lock);
}

void coco_feed_fail(coco_feed *feed, const coco_err *err)
{
    coco__op *op;

    if (coco__op_new(feed, COCO__OP_REPORT, NULL, &op) != COCO_OK) return;
    if ((op->err = coco__arena_copy(&op->arena, err, sizeof *err)) != NULL) coco__op_issue(op, false);
    else coco__op_free(op);
}

bool coco_feed_stopping(const coco_feed *feed)
{
    bool over;

    COCO__LOCKED(&feed->live->lock, over = coco__part_over(feed));
    return over;
}

/* Made when it is asked for: most watches don't, and descriptors are few. */
int coco_feed_stop_fd(const coco_feed *feed)
{
    coco_feed *p = (coco_feed *)(uintptr_t)feed;

    pthread_mutex_lock(&p->live->lock);
    if (p->stop[0] < 0 && !coco__pipe(p->stop)) p->stop[0] = p->stop[1] = -1;
    if (p->stop[1] >= 0 && coco__part_over(p)) coco__pipe_fill(p->stop[1]);
    pthread_mutex_unlock(&p->live->lock);
    return p->stop[0];
}

coco_value coco_feed_token(const coco_feed *feed) { return feed->token; }

void *coco_feed_realloc(coco_feed *feed, void *p, size_t n)
{
    const coco__mem *mem = feed->arena.mem;

    if (n > 0) return p ? coco__realloc(mem, p, n) : coco__alloc(mem, n);
    coco__free(mem, p);
    return NULL;
}

/* ---- What an operator asks for ---- */

coco_status coco_operator_wait(coco_operator *op)
{
    coco_feed *p = &op->part;
    coco__live *l = p->live;

    pthread_mutex_lock(&l->lock);
    uint64_t seq = l->seq;
    while (!coco__part_until(p, seq) && !coco__part_over(p)) pthread_cond_wait(&l->changed, &l->lock);
    coco_status rc = coco__part_until(p, seq) ? COCO_OK : COCO_ESTOP;
    pthread_mutex_unlock(&l->lock);
    return rc;
}

coco_status coco_operator_update_full(coco_operator *op)
{
    COCO_TRY(coco_feed_rescan(&op->part));
    return coco_operator_wait(op);
}

/* The key of an operation is the encoding of its path, element by element. */
static coco_status coco__child_op(coco_operator *o, coco__op_kind kind, coco_path path, coco__op **op)
{
    coco_value all = coco_list(path.keys, path.n);

    if (!path.n) return COCO_ETYPE;
    COCO_TRY(coco__op_new(&o->part, kind, &all, op));
    (*op)->path = (coco_path){ (*op)->at.as.s.p.items, path.n };
    return COCO_OK;
}

coco_status coco_operator_update(coco_operator *o, coco_path path, const coco_fn *fn, coco_args args)
{
    coco_value name = coco_symbol(fn->name);
    coco__op *op;

    COCO_TRY(coco__child_op(o, COCO__OP_PUT, path.n ? path : (coco_path){ &name, 1 }, &op));
    op->fn = fn;
    coco_status rc = coco__args_copy(&op->arena, args, &op->args);
    if (rc == COCO_OK) return coco__op_issue(op, true);
    coco__op_free(op);
    return rc;
}

coco_status coco_operator_delete(coco_operator *o, coco_path path)
{
    coco__op *op;

    COCO_TRY(coco__child_op(o, COCO__OP_DELETE, path, &op));
    return coco__op_issue(op, true);
}

coco_status coco_operator_set_state(coco_operator *o, coco_value state)
{ return coco__feed_change(&o->part, COCO__OP_STATE, NULL, NULL, &state); }

void coco_operator_ready(coco_operator *op) { coco_feed_ready(&op->part); }
void coco_operator_report(coco_operator *op, const coco_err *err) { coco_feed_fail(&op->part, err); }
coco_value coco_operator_state(const coco_operator *op) { return op->part.token; }
bool coco_operator_stopping(const coco_operator *op) { return coco_feed_stopping(&op->part); }
int coco_operator_stop_fd(const coco_operator *op) { return coco_feed_stop_fd(&op->part); }
bool coco_operator_is_live(const coco_operator *op) { return op->part.live->run->opts.live; }

/* ---- The sync barrier ---- */

/* The update may end at any moment: who is counted in is waited for before live is freed. One that was started may not
 * have come so far yet. */
static coco__live *coco__sync_enter(coco_app *app, unsigned timeout_ms)
{
    coco__live *l = NULL;

    for (unsigned ms = 0; !l && ms <= timeout_ms; ms++) {
        if (ms) nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
        bool starts = app->nstarted > 0;
        pthread_mutex_lock(&app->env->mutex);
        if ((l = app->live) != NULL) COCO__LOCKED(&l->lock, l->nusers++);
        pthread_mutex_unlock(&app->env->mutex);
        if (!starts) break;
    }
    return l;
}

coco_status coco_sync(coco_app *app, unsigned timeout_ms, coco_err *err)
{
    int late = 0;

    if (!timeout_ms) timeout_ms = 60000;
    struct timespec until = coco__time_in((uint64_t)timeout_ms * 1000000);
    coco__live *l = coco__sync_enter(app, timeout_ms);
    if (!l && !app->nstarted) return coco_err_set(err, COCO_EINVAL, "app %s is in no live update", app->name);
    if (!l) return coco_err_set(err, COCO_EDEADLINE, "not in sync after %u ms", timeout_ms);
    pthread_mutex_lock(&l->lock);
    uint64_t ticket = ++l->sync_asked;
    coco__news(l);
    while (l->sync_done < ticket && !l->ending && late != ETIMEDOUT)
        late = pthread_cond_timedwait(&l->changed, &l->lock, &until);
    bool done = l->sync_done >= ticket, ended = l->ending;
    l->nusers--;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    if (done) return COCO_OK;
    if (ended) return coco_err_set(err, COCO_ESTOP, "the live update of app %s has ended", app->name);
    return coco_err_set(err, COCO_EDEADLINE, "not in sync after %u ms", timeout_ms);
}
