/* part.c - live parts: sources that are followed and live components, from mount to end; and their tokens.
 *
 * Floor: above each and feed, below the loop of live.c. A component that mounted a live part is its host: it is kept,
 * with those above it, when it is done, for its memory and its place. A part ends with the update, when its host runs
 * anew or has failed, and when the component is gone. Ending tells its thread; the thread is joined later, when nothing
 * is at work.
 *
 * Tokens go into the transaction that commits the last operation before them, or into one of their own where nothing of
 * that operation was written. They are kept under the number of the part's node: that of a source's children, or of the
 * live component. */
#include "engine.h"

#include <unistd.h>

/* ---- Parts ---- */

/* The node whose number the token is kept with; NULL: not now. */
static coco_status coco__token_node(coco_feed *p, const coco__txn *t, coco__node *own, coco__node **node)
{
    coco__run *run = p->live->run;
    coco__place at;
    coco__rec rec;

    *node = p->src ? p->node : p->full ? NULL : p->stand ? &p->stand->node : own;
    if (*node != own) return COCO_OK;
    *own = (coco__node){ .up = p->node, .comp = p->host, .segment = p->segment };
    at = coco__place_of(own);
    COCO_TRY(coco__stored(t, &at, &run->above, &rec));
    own->id = rec.id;
    own->persisted = rec.flags & COCO__R_ID;
    return COCO_OK;
}

static coco_status coco__token_load(coco_feed *p)
{
    coco__run *run = p->live->run;
    coco__node own, *node;
    coco__txn t;
    coco_str bytes = { 0 };
    coco_status rc;

    if (!run->app->has_dbi) return COCO_OK;
    COCO_TRY(coco__run_read(run, &t));
    rc = coco__token_node(p, &t, &own, &node);
    if (rc == COCO_OK && node && node->id) rc = coco__get_id(&t, COCO__LIVE, node->id, &bytes);
    coco__reader r = coco__reader_of(bytes.p, bytes.n);
    if (rc == COCO_OK && bytes.p) rc = coco__value_get(&r, &p->arena, &p->token);
    coco__run_read_end(run, &t);
    return rc == COCO_ENOTFOUND ? COCO_OK : rc;
}

/* The source may use its own memory until its thread has ended, so the host is let go last. */
static void coco__part_free(coco__run *run, coco_feed *p)
{
    if (p->started) COCO__USER(run, pthread_join(p->thread, NULL));
    if (p->src) coco__source_close(run, p->src);
    for (coco__op *op = p->ops, *later; op; op = later) {
        later = op->later;
        coco__op_free(op);
    }
    for (int i = 0; i < 2; i++)
        if (p->stop[i] >= 0) close(p->stop[i]);
    coco__table_free(&p->waiting);
    coco__table_free(&p->running);
    coco__free(run->mem, (char *)(uintptr_t)p->reached.p);
    if (p->host) coco__unhold(p->host);
    coco__arena_free(&p->arena);
    coco__free(run->mem, p);
}

/* Copies what must outlive the call. */
static coco_status coco__part_fill(coco_feed *p, const coco_feed *like)
{
    coco__place at;
    coco__dbkey k;

    COCO_TRY(coco__args_copy(&p->arena, like->args, &p->args));
    p->segment = coco__arena_str(&p->arena, like->segment);
    if (p->src) at = p->host->at;
    else at = (coco__place){ coco__node_id(p->node), p->segment };
    coco__place_key(&k, COCO__COMPONENT, &at);
    p->at = coco__arena_str(&p->arena, (coco_str){ (char *)k.b, k.n });
    return p->segment.p && p->at.p ? coco__token_load(p) : COCO_ENOMEM;
}

/* Is there a part that mounts c? */
static bool coco__mounts(const coco__live *l, const coco__comp *c)
{
    const coco_feed *p;
    coco__dbkey k;

    coco__place_key(&k, COCO__COMPONENT, &c->at);
    for (p = coco__table_get(&l->places, k.b, k.n); p; p = p->next_at)
        if (!p->src) return true;
    if (!c->parent) return false;
    coco__place_key(&k, COCO__COMPONENT, &c->parent->at);
    for (p = coco__table_get(&l->places, k.b, k.n); p && !(p->src && p->node->id == c->at.parent);) p = p->next_at;
    return p != NULL;
}

static coco_status coco__part_new(coco_ctx *cx, const coco_feed *like, coco_feed **out)
{
    coco__run *run = cx->run;
    coco_feed *p;
    coco_status rc = run->live ? COCO_OK : coco__live_new(run);

    if (rc != COCO_OK) return coco__say(cx, rc, run->cx_err.msg);
    if (!(p = coco__alloc(run->mem, sizeof *p))) return coco__oom(cx);
    *p = *like;
    p->live = run->live;
    p->catches = cx->catches;
    p->host = cx->comp;
    p->ops_last = &p->ops;
    p->stop[0] = p->stop[1] = -1;
    coco__arena_init(&p->arena, run->mem);
    coco__table_init(&p->waiting, run->mem);
    coco__table_init(&p->running, run->mem);
    coco__hold(p->host);
    rc = coco__part_fill(p, like);
    if (rc == COCO_OK) {
        p->next_at = coco__table_get(&run->live->places, p->at.p, p->at.n);
        if (!coco__table_put(&run->live->places, p->at.p, p->at.n, p)) rc = COCO_ENOMEM;
    }
    if (rc != COCO_OK) {
        p->src = NULL; /* the caller's still */
        coco__part_free(run, p);
        return coco__say(cx, rc, coco__said(run, rc));
    }
    for (const coco__comp *c = p->host; c && !run->live->nested; c = c->parent)
        run->live->nested = coco__mounts(run->live, c);
    p->next = run->live->parts;
    run->live->parts = p;
    *out = p;
    return COCO_OK;
}

/* Called wherever a component is mounted, under the run's lock: it mustn't wait for the thread. */
COCO__IN void coco__part_end(coco_feed *p)
{
    coco__live *l = p->live;
    coco_feed **at, *first;

    if (p->closing) return;
    if (p->src && coco__is_map(p->src)) coco__map_follow(p->src, NULL);
    first = coco__table_remove(&l->places, p->at.p, p->at.n);
    for (at = &first; *at && *at != p;) at = &(*at)->next_at;
    if (*at) *at = p->next_at;
    if (first) coco__table_put(&l->places, first->at.p, first->at.n, first); /* there was room */
    coco__part_stop(p);
}

COCO__IN void coco__part_ends_at(coco__run *run, const coco__place *at, const coco_feed *but)
{
    coco__dbkey k;

    if (!run->live || !run->live->places.n) return;
    coco__place_key(&k, COCO__COMPONENT, at);
    for (coco_feed *p = coco__table_get(&run->live->places, k.b, k.n), *next; p; p = next) {
        next = p->next_at;
        if (p != but) coco__part_end(p);
    }
}

/* Its children stay as they are (S3.7), but what it would follow may not be what it meant to. A live component goes on:
 * another full pass may succeed. */
COCO__IN void coco__host_failed(coco__comp *c)
{
    for (coco_feed *p = c->run->live ? c->run->live->parts : NULL; p; p = p->next)
        if (p->host == c && p->src) coco__part_end(p);
}

COCO__IN bool coco__live_holds(const coco__run *run, uint64_t id)
{
    for (const coco_feed *p = run->live ? run->live->parts : NULL; p; p = p->next)
        if (!p->closing && p->src && p->node->id == id) return true;
    return false;
}

/* Parts in components that are gone end before these are deleted. */
COCO__IN void coco__parts_gone(coco__live *l)
{
    coco__run *run = l->run;
    coco__place at;
    coco__dbkey k;

    for (coco_feed *p = run->tombs ? l->parts : NULL; p; p = p->next)
        for (const coco__node *n = p->node; n && !p->closing; n = n->up) {
            at = coco__place_of(n);
            coco__place_key(&k, COCO__TOMBSTONE, &at);
            const coco__tomb *g = coco__table_get(&run->tomb_places, k.b, k.n);
            if (g && !g->removed) coco__part_end(p);
        }
    for (const coco__tomb *g = run->tombs; g; g = g->next) /* a live component itself */
        if (!g->removed) coco__part_ends_at(run, &g->at, NULL);
}

/* Frees parts that have ended; with all it waits for their threads. */
COCO__IN void coco__parts_reap(coco__live *l, bool all)
{
    coco_feed **at = &l->parts, *p;

    while ((p = *at) != NULL) {
        bool over;
        COCO__LOCKED(&l->lock, over = p->closing && (all || !p->started || p->returned));
        if (over) {
            *at = p->next;
            coco__part_free(l->run, p);
        } else {
            at = &p->next;
        }
    }
}

/* ---- Failures of a part ---- */

/* true: a handler of the user's swallowed it */
COCO__IN bool coco__part_fail(coco_feed *p, coco_status code, const char *message)
{
    coco__run *run = p->live->run;
    coco_failure f = { .function = p->fn->name, .kind = p->src ? COCO_MOUNT_EACH : COCO_MOUNT, .code = code };
    coco__buf path;

    if (code == COCO_ESTOP) return false;
    coco__buf_init(&path, run->mem);
    coco__node_path(p->node, &path);
    coco__buf_put(&path, p->segment.p, p->segment.n);
    f.path = coco__path_shown(&path);
    f.message = message && *message ? message : coco_status_text(code);
    bool swallowed = coco__fail_path(run, &f, p->catches);
    coco__buf_free(&path);
    return swallowed;
}

/* A watch that has ended tells why. */
COCO__IN void coco__parts_told(coco__live *l)
{
    for (coco_feed *p = l->parts; p; p = p->next) {
        pthread_mutex_lock(&l->lock);
        bool tell = p->returned && !p->told && !p->closing && p->rc != COCO_OK && coco__stopped(l->run) == COCO_OK;
        p->told |= p->returned;
        pthread_mutex_unlock(&l->lock);
        if (tell) coco__part_fail(p, p->rc, NULL);
    }
}

/* ---- Tokens ---- */

COCO__IN bool coco__live_tokens(const coco__run *run) { return run->live && run->live->tokens; }

/* Is it done, once the transaction is in? */
static bool coco__op_ends(const coco__op *op)
{ return !op->failed && (op->done || (op->open && op->open == op->closing && !op->gone)); }

static coco_status coco__token_put(coco_feed *p, const coco__txn *t) /* with the lock of live */
{
    coco__run *run = p->live->run;
    coco_str token = p->reached;
    coco__node own, *node;
    coco__dbkey k;
    uint64_t seq = p->reached_seq;

    for (const coco__op *op = p->ops; op && !p->stuck && coco__op_ends(op); op = op->later)
        if (op->token.p) token = op->token, seq = op->seq;
    p->storing_seq = p->stored_seq;
    if (seq <= p->stored_seq || p->closing) return COCO_OK;
    COCO_TRY(coco__token_node(p, t, &own, &node));
    if (!node) return COCO_OK;
    COCO_TRY(coco__node_persist(run, t, node));
    if (run->persisted == &own) run->persisted = own.next_persisted; /* it doesn't outlive this call */
    coco__dbkey_id(&k, COCO__LIVE, node->id, NULL, 0);
    COCO_TRY(coco__put(t, &k, token.p, token.n));
    p->storing_seq = seq;
    return COCO_OK;
}

/* In a transaction's body, which may be run again. */
COCO__IN coco_status coco__live_store(coco__run *run, const coco__txn *t)
{
    coco__live *l = run->live;
    coco_status rc = COCO_OK;

    if (!coco__live_tokens(run)) return COCO_OK;
    for (coco__op *op = l->begun; op; op = op->next) op->closing = 0;
    for (const coco__comp *c = run->committing; c; c = c->next)
        if (c->anchor) c->op->closing++;
    pthread_mutex_lock(&l->lock);
    for (coco_feed *p = l->parts; p && rc == COCO_OK; p = p->next) rc = coco__token_put(p, t);
    pthread_mutex_unlock(&l->lock);
    return rc;
}

COCO__IN void coco__live_stored(coco__run *run)
{
    for (coco_feed *p = run->live ? run->live->parts : NULL; p; p = p->next)
        if (p->storing_seq > p->stored_seq) p->stored_seq = p->storing_seq;
}

static coco_status coco__tokens_body(void *self, coco__txn *t)
{
    coco__run *run = self;

    run->committing = NULL;
    COCO_TRY(coco__run_record(run, t));
    COCO_TRY(coco__live_store(run, t));
    return coco__counters_write(run, t);
}

/* Tokens of operations that had nothing to write. */
COCO__IN coco_status coco__tokens_write(coco__live *l)
{
    coco__run *run = l->run;
    coco__writer w = { coco__tokens_body, coco__transaction_undo, run, true };
    bool any = false;

    pthread_mutex_lock(&l->lock);
    for (const coco_feed *p = l->parts; p; p = p->next) any |= !p->closing && p->reached_seq > p->stored_seq;
    pthread_mutex_unlock(&l->lock);
    if (!any) return COCO_OK;
    COCO_TRY(coco__write(run->app, &w, &run->fatal));
    coco__live_stored(run);
    coco__transaction_done(run);
    return COCO_OK;
}

COCO__IN coco_status coco__token_tell(coco_feed *p)
{
    coco__live *l = p->live;
    coco__arena a;
    coco_value token = coco_null();
    coco_status rc = COCO_OK;

    coco__arena_init(&a, l->run->mem);
    pthread_mutex_lock(&l->lock);
    bool tell = p->src->done && !p->closing && p->reached_seq > p->told_seq && p->reached_seq <= p->stored_seq;
    coco__reader r = coco__reader_of(p->reached.p, p->reached.n);
    if (tell) rc = coco__value_get(&r, &a, &token);
    if (tell) p->told_seq = p->reached_seq;
    pthread_mutex_unlock(&l->lock);
    if (tell && rc == COCO_OK) COCO__USER(l->run, p->src->done(p->src, token));
    coco__arena_free(&a);
    return rc;
}

/* ---- What a component mounts ---- */

COCO__IN coco_status coco__part_each(coco_ctx *cx, const coco__pass *pass, coco_feed **part)
{
    coco_source *src = pass->src;
    bool map = coco__is_map(src);
    coco_feed like = { .src = src, .fn = pass->fn, .args = pass->args, .node = pass->node,
                       .ready = src->next && !src->watch_first, .interval_ms = src->rescan_ms };
    coco_status rc;

    if (map && coco__map_followed(src)) return coco_fail(cx, COCO_EDUP, "%s is consumed elsewhere already", src->title);
    COCO_TRY(coco__part_new(cx, &like, part));
    if (map) {
        coco__map_follow(src, *part);
        rc = coco_feed_rescan(*part);
    } else {
        rc = coco__part_start(*part); /* before the listing: no change falls between (S8.7) */
    }
    return rc == COCO_OK ? rc : coco__say(cx, rc, coco__said(cx->run, rc));
}

/* The operator of a live component, and its first full pass as an operation. */
static coco_status coco__operator_new(coco_ctx *cx, coco_path path, const coco_feed *like, coco__mount_call *m)
{
    coco_feed full = *like, *p;
    coco__op *op;
    coco_status rc;

    COCO_TRY(coco__resolve(cx, path, like->fn, &full.node, &full.segment));
    COCO_TRY(coco__part_new(cx, &full, &p));
    m->part = p;
    if (coco__op_new(p, COCO__OP_FULL, NULL, &op) != COCO_OK) return coco__oom(cx);
    op->outer = cx->comp->op;
    p->full = true;
    pthread_mutex_lock(&p->live->lock);
    op->seq = op->since = ++p->live->seq;
    *p->ops_last = op;
    p->ops_last = &op->later;
    pthread_mutex_unlock(&p->live->lock);
    op->next = p->live->begun;
    p->live->begun = op;
    p->live->nbegun++;
    m->op = op;
    rc = p->body ? coco__part_start(p) : COCO_OK;
    return rc == COCO_OK ? rc : coco__say(cx, rc, cx->run->cx_err.msg);
}

static coco_status coco__mount_live(coco_ctx *cx, coco_path path, const coco_feed *like, coco_handle **handle)
{
    static const coco_source none;
    coco__mount_call m = { .fn = like->fn, .args = like->args, .kind = COCO_MOUNT };
    bool live = (like->body || (like->interval_ms && cx->run->opts.live)) && !cx->run->preview && !cx->run->only.p;
    coco_status rc = coco__iterate_check(cx, &none); /* under a memo nobody would come to follow it */

    if (handle) *handle = NULL;
    if (rc == COCO_OK && live) rc = coco__operator_new(cx, path, like, &m);
    if (rc == COCO_OK) rc = coco__mount(cx, path, &m, handle);
    if (rc != COCO_OK && m.part) coco__part_end((coco_feed *)(uintptr_t)m.part);
    return rc;
}

coco_status coco_mount_live(coco_ctx *cx, coco_path path, const coco_live_fn *live, coco_args args,
                            coco_handle **handle)
{
    const coco_feed like = { .fn = live->full, .args = args, .body = live->live };

    COCO__INSIDE(cx->run, coco_status, coco__mount_live(cx, path, &like, handle));
}

coco_status coco_auto_refresh(coco_ctx *cx, coco_path path, const coco_fn *fn, unsigned interval_ms, coco_args args)
{
    const coco_feed like = { .fn = fn, .args = args, .interval_ms = interval_ms ? interval_ms : 1, .ready = true };

    COCO__INSIDE(cx->run, coco_status, coco__mount_live(cx, path, &like, NULL));
}
