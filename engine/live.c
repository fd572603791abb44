/* live.c - live mode: what is done with what sources and live components tell.
 *
 * Floor: above part. After the first pass of everything the update's thread follows the parts:
 *   1. it takes the operations that may begin (feed.c) and begins them: an item is mounted, as in a mount_each, or is
 *      gone; a source is listed anew; a live component, or a child of it, is mounted;
 *   2. what finishes is written at once, without a pool when all have been begun;
 *   3. when nothing is at work the group ends: what is gone is worked off, what sinks refused is tried once more, moved
 *      states are judged, and what the group has used of the run is given back;
 *   4. then, and when nothing is to be done, it sleeps.
 * Children mounted by operations belong to a stand-in for their parent, which lives as long as the group: it is never
 * run, submitted or recorded. A group takes new operations while it runs, but not once deletes have waited a while. */
#include "engine.h"

enum { COCO__GROUP = 4096, COCO__GROUP_MS = 200, COCO__UNTIDY = 1000 };

/* ---- Operations ---- */

/* Stands in for the host, or (child) for the live component, as the parent of what operations mount. */
static coco_status coco__stand_begin(coco_feed *p, bool child)
{
    coco__run *run = p->live->run;
    coco__comp *host = p->host, *c = coco__comp_new(run);
    coco_str payload;

    if (!c) return COCO_ENOMEM;
    c->stand = true;
    c->kind = COCO_MOUNT;
    c->parent = host;
    c->fn = child ? p->fn : host->fn;
    c->node.up = child ? p->node : host->node.up;
    c->node.segment = child ? p->segment : host->node.segment;
    c->at = host->at;
    if (child) c->at = (coco__place){ coco__node_id(p->node), p->segment };
    c->catches = p->catches;
    p->stand = c;
    if (!child) return COCO_OK;
    COCO_TRY(coco__record_read(run, &c->at, &run->lookup, &payload));
    return payload.p ? coco__comp_load(c, payload) : COCO_OK;
}

static void coco__stand_end(coco_feed *p)
{
    coco__comp *c = p->stand;

    p->stand = NULL;
    if (!c) return;
    c->state = COCO__DONE;
    if (!c->holds) coco__comp_free(c);
}

/* What the stand-in's children are that are gone becomes tombstones, to be written with the next round. */
static coco_status coco__gone_take(coco_feed *p, coco__op *op, coco__node *node)
{
    coco__run *run = p->live->run;
    coco__comp gone = { .run = run };

    for (coco__tomb *g = p->stand->gone; g; g = g->next) {
        coco__tomb *newest = run->tombs;
        coco__dbkey k;
        gone.node = (coco__node){ .up = node, .comp = &gone, .segment = g->at.segment };
        coco__emit(run, COCO_EV_GONE, &gone, NULL);
        COCO_TRY(coco__tomb_add(run, &g->at, g->self_only));
        coco__place_key(&k, COCO__TOMBSTONE, &g->at);
        coco__tomb *added = coco__table_get(&run->tomb_places, k.b, k.n);
        added->op = op;
        added->kept = false;
        op->gone = true;
        if (run->tombs == newest) continue; /* it is there since a delete that failed */
        added->next_added = run->tombs_added;
        run->tombs_added = added;
    }
    p->stand->gone = NULL;
    return COCO_OK;
}

static coco_status coco__gone_begin(coco_feed *p, coco__op *op, coco__node *node, coco_str segment)
{
    coco__run *run = p->live->run;
    coco__place at = { coco__node_id(node), segment };
    coco_str payload;

    COCO_TRY(coco__record_read(run, &at, &run->lookup, &payload));
    if (!payload.p) return COCO_OK;
    if (run->tombs_removed) COCO_TRY(coco__flush(run, false)); /* it may be this one's */
    COCO_TRY(coco__gone_add(p->stand, node, segment, false));
    return coco__gone_take(p, op, node);
}

/* An item of a source: what there is at its key is mounted as in a listing, but for the parent, or it is gone. */
static coco_status coco__item_begin(coco_ctx *cx, coco__op *op)
{
    coco_feed *p = op->part;
    coco__comp *c = coco__comp_new(cx->run);
    coco_ctx item;
    coco_value value = op->value, all[COCO_MAX_PARAMS];
    coco__mount_call m = { .fn = p->fn, .kind = COCO_MOUNT_EACH, .up = p->node, .segment = op->key };
    int got = op->kind == COCO__OP_PUT;

    if (!c) return COCO_ENOMEM;
    coco__frame_init(&item, cx, cx->fn);
    item.arena = item.home = &c->arena;
    if (op->kind == COCO__OP_TOUCH) {
        if (p->src->get) COCO__USER(cx->run, got = p->src->get(p->src, &item, op->at, &value));
        else got = coco_fail(&item, COCO_EINVAL, "the source can't be asked for one item");
        if (got == 1 && item.kept) got = item.kept;
    }
    if (got < 0 && !coco__unread(&item, p->src, op->at, got)) op->failed = true;
    coco__frame_end(&item, NULL);
    m.args = coco__args_of(all, value, p->args);
    if (got == 1) return coco__mount_child(cx, c, &m);
    coco__comp_free(c);
    return got == 0 ? coco__gone_begin(p, op, p->node, op->key) : COCO_OK;
}

/* A child of a live component. */
static coco_status coco__child_begin(coco_ctx *cx, coco__op *op)
{
    coco_feed *p = op->part;
    coco__mount_call m = { .fn = op->fn, .args = op->args, .kind = COCO_MOUNT };
    coco_str segment;
    coco__node *up;
    coco_status rc;

    if (op->kind == COCO__OP_PUT) rc = coco__mount_at(cx, op->path, &m);
    else if ((rc = coco__resolve(cx, op->path, p->fn, &up, &segment)) == COCO_OK)
        rc = coco__gone_begin(p, op, up, segment);
    if (rc == COCO_OK || cx->said != rc || cx->run->fatal.code) return rc;
    if (!coco__part_fail(p, rc, coco_error_message(cx))) op->failed = true;
    return COCO_OK;
}

/* Lists a source anew. What it no longer gives is gone, but for a map in which what failed may be missing. */
static coco_status coco__view_begin(coco_ctx *cx, coco__op *op)
{
    coco_feed *p = op->part;
    coco__pass pass = { p->node, p->src, p->fn, p->args, coco__is_map(p->src) && cx->run->nfailed != 0 };
    coco_status rc = COCO_EINVAL;

    if (p->src->rewind) COCO__USER(cx->run, rc = p->src->rewind(p->src, cx));
    else coco_fail(cx, rc, "the source can't be listed anew");
    if (rc == COCO_OK) rc = cx->kept;
    if (rc == COCO_OK) rc = coco__each_pass(cx, &pass);
    p->unlisted = rc != COCO_OK;
    if (rc == COCO_OK) rc = coco__gone_take(p, op, p->node);
    else if (!coco__part_fail(p, rc, coco_error_message(cx))) op->failed = true;
    return rc == COCO_ENOMEM ? rc : COCO_OK;
}

/* A live component is mounted as its parent would mount it; only its own operator survives that. */
static coco_status coco__full_begin(coco_ctx *cx, coco__op *op)
{
    coco_feed *p = op->part;
    coco__comp *c;

    for (coco__tomb *g = cx->run->tombs; g; g = g->next) g->kept = false; /* deletes that failed are tried again */
    if (p->src) return coco__view_begin(cx, op);
    if (!(c = coco__comp_new(cx->run))) return COCO_ENOMEM;
    coco__mount_call m = { .fn = p->fn, .args = p->args, .kind = COCO_MOUNT, .up = p->node, .segment = p->segment,
                           .part = p };
    return coco__mount_child(cx, c, &m);
}

/* An error is one of memory or the store; any other is the operation's own and has been reported. */
static coco_status coco__op_begin(coco__live *l, coco__op *op)
{
    coco_feed *p = op->part;
    coco__run *run = l->run;
    coco_ctx cx;
    coco_status rc;

    if (!l->group_ns) l->group_ns = coco__monotonic_ns();
    op->next = l->begun;
    l->begun = op;
    l->nbegun++;
    l->nuntidy++;
    if (op->kind == COCO__OP_REPORT) {
        coco__part_fail(p, op->err->code, op->err->msg);
        return COCO_OK;
    }
    if (!coco__table_put(&p->running, op->key.p, op->key.n, op)) return COCO_ENOMEM;
    p->nrunning++;
    p->full = op->kind == COCO__OP_FULL; /* before a round may look where the token is kept */
    if (!p->stand) COCO_TRY(coco__stand_begin(p, !p->src && op->kind != COCO__OP_FULL));
    p->node->recorded |= p->node->persisted;
    p->stand->op = op;
    coco__frame_init(&cx, run->cx, p->stand->fn);
    cx.comp = p->stand;
    cx.arena = cx.home = &p->stand->arena;
    cx.catches = p->catches;
    rc = coco__make_room(&cx);
    if (rc == COCO_OK)
        rc = op->kind == COCO__OP_FULL ? coco__full_begin(&cx, op)
             : p->src                  ? coco__item_begin(&cx, op)
                                       : coco__child_begin(&cx, op);
    p->stand->op = NULL;
    return rc;
}

/* ---- Groups ---- */

/* Deletes and last tries wait for a moment in which nothing is at work; not for long. */
static bool coco__group_closes(const coco__live *l)
{
    bool waits = l->run->tombs_added || l->run->deferred || l->run->condemned || l->run->moves;

    return l->nbegun >= COCO__GROUP ||
           (waits && coco__monotonic_ns() - l->group_ns > (uint64_t)COCO__GROUP_MS * 1000000);
}

static coco_status coco__ops_begin(coco__live *l)
{
    coco_status rc = COCO_OK;
    coco__op *op;

    while (rc == COCO_OK && !coco__group_closes(l) && coco__stopped(l->run) == COCO_OK &&
           (op = coco__op_next(l)) != NULL)
        if ((rc = coco__op_begin(l, op)) != COCO_OK) op->failed = true;
    return rc;
}

/* What has begun may be finished already, and have left deletes behind. */
static bool coco__group_open(const coco__live *l) { return l->begun || l->group_ns; }

/* With a pool: does a thread work for the group? */
static bool coco__group_busy(const coco__live *l)
{
    const coco__run *run = l->run;

    if (!run->pool) return false;
    if (run->open || run->applied || run->pool->flushing) return true;
    for (const coco_feed *p = l->parts; p; p = p->next)
        if (p->stand && p->stand->pending) return true;
    return false;
}

static coco_status coco__live_step(coco__live *l)
{
    coco__run *run = l->run;

    if ((run->open || run->applied) && !run->pool->flushing) return coco__flush(run, false);
    if (!coco__ops_done(l, false)) coco__live_sleep(l, 100);
    return COCO_OK;
}

/* Deletes that the guard or a sink has stopped: another full pass, or the next update, tries them again. */
static bool coco__tombs_left(coco__run *run)
{
    bool unwritten = false, stopped = coco__stopped(run) != COCO_OK;

    for (const coco__tomb *g = run->tombs_added; g; g = g->next_added) unwritten |= !g->removed;
    for (coco__tomb *g = run->tombs; g; g = g->next) {
        if (g->op) g->op->gone = false;
        if (g->op && (!g->removed || stopped)) g->op->failed = true;
        g->op = NULL;
        g->kept = !g->removed;
    }
    return unwritten;
}

/* Tombstones that stay move to fresh memory, so that the group's can be given back. */
static coco_status coco__tombs_carry(coco__live *l)
{
    coco__run *run = l->run;
    coco__tomb *old = run->tombs;
    coco__arena fresh;
    coco_status rc = COCO_OK;

    run->tombs = run->tombs_removed = run->tombs_added = run->tombs_loaded = NULL;
    coco__table_clear(&run->tomb_places);
    coco__arena_init(&fresh, run->mem);
    run->passing = &fresh;
    for (; old && rc == COCO_OK; old = old->next)
        if (!old->removed) rc = coco__tomb_add(run, &old->at, old->self_only);
    if (rc != COCO_OK) coco__table_clear(&run->tomb_places), run->tombs = NULL;
    for (coco__tomb *g = run->tombs; g; g = g->next) g->kept = true;
    run->passing = &l->group;
    coco__arena_free(rc == COCO_OK ? &l->group : &fresh);
    if (rc == COCO_OK) l->group = fresh;
    return rc;
}

/* Gives back what the group has used of the run. */
static coco_status coco__group_reset(coco__live *l)
{
    coco__run *run = l->run;
    bool deleted = run->tombs != NULL || run->condemned != NULL || run->nfailed;

    for (coco_target *t = deleted ? run->known_targets : NULL; t; t = t->next) {
        t->doomed = 0;
        t->tripped = t->refused = t->blocked = t->barred = false;
        t->condemned &= t->gone;
    }
    run->blocked = false;
    run->condemned = NULL;
    run->moves = NULL;
    coco__table_clear(&run->moved);
    coco__table_clear(&run->moved_states);
    l->group_ns = 0;
    return coco__tombs_carry(l);
}

/* Without memory or the store nothing can be finished: what waits for a round fails while its operation is still
 * there. */
static void coco__give_up(coco__run *run, coco_status rc)
{
    if (rc == COCO_OK) return;
    if (!run->fatal.code) coco_err_set(&run->fatal, rc, "%s", coco__said(run, rc));
    coco__drain(run);
}

/* The same order as at the end of an update: deletes, last tries, moved states. Then only is it known what failed, and
 * tokens may pass. */
static coco_status coco__group_end(coco__live *l)
{
    coco__run *run = l->run;
    coco_status rc = coco__drain(run);

    coco__parts_gone(l);
    if (rc == COCO_OK && coco__stopped(run) == COCO_OK) rc = coco__tombs_work(run);
    if (run->deferred) rc = coco__both(rc, coco__last_tries(run));
    if (rc == COCO_OK && run->moves) rc = coco__moves_check(run);
    if (coco__tombs_left(run) && rc == COCO_OK) rc = coco__flush(run, false);
    coco__give_up(run, rc);
    for (coco_feed *p = l->parts; p; p = p->next) coco__stand_end(p);
    for (coco__op *op = l->begun; op && rc != COCO_OK; op = op->next) op->failed = true;
    coco__ops_done(l, true);
    if (rc == COCO_OK) rc = coco__tokens_write(l);
    return coco__both(rc, coco__group_reset(l));
}

/* ---- Times, barriers ---- */

/* Full passes whose time has come; ms until the next one, -1: there is none. */
static coco_status coco__dues(coco__live *l, int *ms)
{
    uint64_t now = coco__monotonic_ns(), first = UINT64_MAX;

    for (coco_feed *p = l->parts; p; p = p->next) {
        if (!p->interval_ms || p->closing || p->full || !l->run->opts.live) continue;
        if (!p->due) p->due = now + (uint64_t)p->interval_ms * 1000000;
        if (p->due <= now) {
            coco_status rc = coco_feed_rescan(p);
            if (rc != COCO_OK && rc != COCO_ESTOP) return rc;
            p->due = 0; /* again so long after its end */
        } else if (p->due < first) {
            first = p->due;
        }
    }
    *ms = first == UINT64_MAX ? -1 : (int)((first - now) / 1000000 % INT32_MAX + 1);
    return COCO_OK;
}

/* A listing that begins now sees every change made before now. */
static void coco__sync_ask(coco_feed *p, uint64_t ticket)
{
    coco_status rc = COCO_EINVAL;

    if (p->closing || !p->src || !p->src->watch) return;
    if (p->src->sync && p->started && !p->unlisted) COCO__USER(p->live->run, rc = p->src->sync(p->src, p, ticket));
    if (rc == COCO_OK) p->sync_wait = ticket;
    else if (p->src->next) coco_feed_rescan(p);
}

/* One request at a time: the parts are asked; when all have answered, what they told until then is waited for. What
 * can't be listed isn't in sync: a listing that succeeds gets the request going again, and so does another one. */
static void coco__sync_step(coco__live *l)
{
    bool answered = true, listed = true;

    pthread_mutex_lock(&l->lock);
    bool asks = (l->sync_taken == l->sync_done || l->sync_stuck) && l->sync_asked > l->sync_taken;
    if (asks) l->sync_taken = l->sync_asked, l->sync_seq = 0;
    pthread_mutex_unlock(&l->lock);
    for (coco_feed *p = l->parts; p && asks; p = p->next) coco__sync_ask(p, l->sync_taken);
    if (l->sync_taken == l->sync_done) return;
    pthread_mutex_lock(&l->lock);
    for (const coco_feed *p = l->parts; p; p = p->next) {
        answered &= p->closing || p->returned || p->synced >= p->sync_wait;
        listed &= p->closing || !p->unlisted;
    }
    if (answered && !l->sync_seq) l->sync_seq = l->seq + 1;
    pthread_mutex_unlock(&l->lock);
    if (!l->sync_seq || !coco__ops_until(l, l->sync_seq - 1)) return;
    l->sync_stuck = !listed;
    if (l->sync_stuck) return;
    pthread_mutex_lock(&l->lock);
    l->sync_done = l->sync_taken;
    l->sync_seq = 0;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    coco__live_poke(l); /* another one may wait */
}

/* Is what all parts told until they were ready in the targets? */
static bool coco__ready_step(coco__live *l)
{
    bool ready = true;

    if (l->ready) return true;
    pthread_mutex_lock(&l->lock);
    for (const coco_feed *p = l->parts; p; p = p->next) ready &= p->closing || p->ready;
    if (ready && !l->ready_seq) l->ready_seq = l->seq + 1;
    pthread_mutex_unlock(&l->lock);
    return l->ready = l->ready_seq && coco__ops_until(l, l->ready_seq - 1);
}

/* ---- The loop ---- */

static coco_status coco__tidy_body(void *self, coco__txn *t) { return coco__tidy_write(self, t, true); }

/* What the end of an update drops (S6.5) goes now and then while this one lasts. */
static coco_status coco__tidy(coco__live *l)
{
    coco__run *run = l->run;
    coco__writer w = { coco__tidy_body, coco__depsets_clean, run, false };

    if (l->nuntidy < COCO__UNTIDY || run->nfailed || run->guard) return COCO_OK;
    l->nuntidy = 0;
    COCO_TRY(coco__write(run->app, &w, &run->fatal));
    coco__depsets_clean(run);
    run->meta_stored = run->meta;
    run->unsynced = true;
    return COCO_OK;
}

static coco_status coco__live_turn(coco__live *l, bool until_ready, bool *over)
{
    int ms;

    coco__live_look(l);
    COCO_TRY(coco__dues(l, &ms));
    COCO_TRY(coco__ops_begin(l));
    if (coco__group_busy(l)) return coco__live_step(l);
    if (coco__group_open(l)) return coco__group_end(l);
    COCO_TRY(coco__tokens_write(l));
    for (coco_feed *p = l->parts; p; p = p->next)
        if (p->src) COCO_TRY(coco__token_tell(p));
    coco__parts_told(l);
    coco__parts_reap(l, false);
    COCO_TRY(coco__tidy(l));
    coco__sync_step(l);
    *over = coco__ready_step(l) && until_ready;
    if (!*over) coco__live_sleep(l, (unsigned)ms);
    return COCO_OK;
}

/* A stop comes between two turns; what is in flight then ends as at any other time, but nothing is deleted any more. */
COCO__IN coco_status coco__live_follow(coco__run *run, bool until_ready)
{
    coco__live *l = run->live;
    coco_status rc = COCO_OK;
    bool over = false;

    coco__tombs_left(run);
    if (run->passing != &l->group) rc = coco__group_reset(l);
    while (rc == COCO_OK && !over && coco__stopped(run) == COCO_OK && !run->fatal.code)
        rc = coco__live_turn(l, until_ready, &over);
    while (coco__group_busy(l)) { /* what is in flight is finished, or fails with the store */
        coco__live_look(l);
        rc = coco__both(rc, coco__live_step(l));
    }
    coco__give_up(run, rc);
    return coco__group_open(l) ? coco__both(rc, coco__group_end(l)) : rc;
}

COCO__IN void coco__live_end(coco__run *run)
{
    coco__live *l = run->live;

    if (!l) return;
    for (coco_feed *p = l->parts; p; p = p->next) coco__part_end(p);
    coco__parts_reap(l, true);
    run->passing = &run->arena; /* what is left there is looked at no more */
    coco__live_free(run);
}
