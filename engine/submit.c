/* submit.c - rounds: precommit, apply, commit; retries.
 *
 * Floor: above record and sink, below the code that runs functions. Components whose functions and descendants are
 * through gather in the open round. One LMDB transaction carries the commit of the round that was applied and the
 * precommit of the open one; then the sinks run, batch by batch; what succeeded waits for the next transaction to be
 * committed.
 *
 * The crash protocol. Whatever the moment of a crash, the next update sees every state a target may be in:
 *   1. No external effect of a component before its precommit is durable.
 *   2. After a durable precommit, the record holds every state the target may be in: the old possibilities and the
 *      new one.
 *   3. A commit removes possibilities only after the sink reported success for them.
 *   4. A delete's record disappears only after its sink succeeded and its descendants' records are gone.
 *   5. A component memo is stored only in the same transaction as, or after, the commit of the target states it
 *      stands for.
 *   6. Ownership moves in one transaction: at no time has a target state two owners or none while it may exist.
 *   7. A pending component never hits; what a memo stands for has one possibility each.
 * The body of a transaction only reads memory and the store: it is run again when the map was full. */
#include "engine.h"

/* ---- The way of a component ---- */

/* Who waits for the component's target states may go on. */
static void coco__handle_applied(coco__comp *c)
{
    if (!c->handle) return;
    c->handle->applied = true;
    coco__changed(c->run);
}

COCO__IN void coco__done(coco__comp *c)
{
    coco__comp *p = c->parent;

    c->state = COCO__DONE;
    if (c->handle) {
        c->handle->comp = NULL;
        coco__changed(c->run);
    }
    if (p && (c->failed || c->failed_below)) p->failed_below = true;
    if (p) p->condemns |= c->condemns;
    if (c->hit && !c->failed) c->restamp = false;
    if (c->anchor) c->op->open--;
    if (c->anchor) coco__changed(c->run);
    if (c->holds && c->failed) coco__host_failed(c);
    if (c->holds) coco__comp_rest(c);
    else coco__comp_free(c);
    if (p && --p->pending == 0 && p->state == COCO__WAITING) coco__submit(p);
}

static bool coco__memo_differs(const coco__comp *c)
{
    const coco__rec *a = &c->rec, *b = &c->fresh;

    if ((a->flags & COCO__R_MEMO) != (b->flags & COCO__R_MEMO)) return true;
    if (!(b->flags & COCO__R_MEMO)) return false;
    return a->depset != c->set->id || !coco_str_equal(a->argkey, b->argkey) || !coco_str_equal(a->states, b->states) ||
           !coco_str_equal(a->result, b->result);
}

static bool coco__needs_write(const coco__comp *c)
{
    if (c->dirty || !(c->rec.flags & COCO__R_COMPONENT) || (c->rec.flags & (COCO__R_PENDING | COCO__R_FAILED)) != 0)
        return true;
    if (c->owned.nchanges || c->gone || (c->marked && (c->rec.flags & COCO__R_MEMO))) return true;
    return !coco_str_equal(coco__name_of(c->run, c->rec.fn), coco_str_of(c->fn->name)) ||
           c->rec.version != c->fn->version || coco__memo_differs(c);
}

static bool coco__needs_precommit(const coco__comp *c)
{
    for (const coco__change *ch = c->owned.changes; ch; ch = ch->next)
        if (ch->action || (ch->claimed && ch->target)) return true;
    return false;
}

static void coco__append(coco__comp ***last, size_t *n, coco__comp *c)
{
    c->next = NULL;
    **last = c;
    *last = &c->next;
    ++*n;
}

COCO__IN void coco__round_begin(coco__run *run)
{
    if (run->nopen + run->napplied + run->nqueued_memos == 0) run->round_ns = coco__monotonic_ns();
}

COCO__IN void coco__queue(coco__comp *c)
{
    coco__run *run = c->run;

    coco__round_begin(run);
    run->inflight_bytes += c->arena.total;
    if (c->op) coco__changed(run); /* it is written at once */
    c->all_new = !c->rec.nstates && c->owned.nnew == c->owned.nchanges;
    if (coco__needs_precommit(c)) {
        c->state = COCO__OPEN;
        coco__append(&run->open_last, &run->nopen, c);
    } else {
        c->state = COCO__APPLIED;
        coco__handle_applied(c);
        coco__append(&run->applied_last, &run->napplied, c);
    }
}

/* The container that it declared, if it did, is no longer its own to fill. */
static bool coco__child_through(const coco__comp *c, const coco__change *ch)
{
    if (!ch->child || ch->child->owner != c) return false;
    ch->child->owner = NULL;
    return true;
}

static void coco__applied_counts(coco__comp *c)
{
    coco__run *run = c->run;

    for (coco__change *ch = c->owned.changes; ch; ch = ch->next) {
        if (!ch->action || ch->cancelled || ch->is_void) continue;
        coco_action_kind kind = ch->action->kind;
        ++*(kind == COCO_INSERT ? &run->inserts : kind == COCO_UPDATE ? &run->updates : &run->deletes);
        coco__count_action(ch->target->counts, ch->action);
        coco__emit_state(run, COCO_EV_APPLIED, c, ch, NULL);
        if (ch->action->note) coco__emit_state(run, COCO_EV_NOTICE, c, ch, ch->action->note);
        if (ch->action->note) coco__log(run->env, COCO_LOG_WARN, "%s", ch->action->note);
        coco__free(run->mem, ch->action->note);
        ch->action->note = NULL;
        coco__child_through(c, ch);
    }
}

/* Children of a component that is recorded now (or in a preview would be) are gone. */
static void coco__gone_enter(coco__comp *c)
{
    coco__comp gone;

    if (!c->gone) return;
    memset(&gone, 0, sizeof gone);
    gone.run = c->run;
    for (coco__tomb *g = c->gone; g; g = g->next) {
        gone.node = (coco__node){ .up = &c->node, .comp = &gone, .segment = g->at.segment };
        for (coco__node *n = c->inner; n; n = n->next)
            if (n->id == g->at.parent) gone.node.up = n;
        coco__emit(c->run, COCO_EV_GONE, &gone, NULL);
        /* it is in the store; the next update finds it */
        if (coco__tomb_add(c->run, &g->at, g->self_only) != COCO_OK) coco__out_of_memory(c->run);
    }
}

/* The container that it made anew, if it did, is so for all. */
static void coco__renewed(const coco__comp *c, const coco__change *ch)
{
    if (ch->replaced && ch->replaced->renewer == c) ch->replaced->renewer = NULL;
}

/* It failed before its precommit: the containers that it would have made anew, or changed, are as they were. */
static void coco__renewals_undo(coco__comp *c)
{
    for (coco__change *ch = c->owned.changes; ch; ch = ch->next) {
        coco__child_through(c, ch);
        if (!ch->replaced || ch->replaced->renewer != c) continue;
        if (coco__provider_restore(ch->replaced, ch->child) != COCO_OK) coco__out_of_memory(c->run);
    }
}

/* What is no longer declared here may be declared elsewhere: then it moves, and nothing is deleted. */
COCO__IN void coco__preview_apply(coco__comp *c)
{
    for (coco__change *ch = c->owned.changes; ch; ch = ch->next) {
        ch->cancelled = !ch->record.p && coco__table_get(&c->run->claims, ch->ekey.p, ch->ekey.n);
        ch->is_void |= coco__became_void(ch);
    }
    coco__applied_counts(c);
}

/* Notes what the component would take from others; does it delete anything? */
static bool coco__preview_claims(coco__comp *c)
{
    bool deletes = false;
    char *key;

    for (coco__change *ch = c->owned.changes; ch; ch = ch->next) {
        coco__child_through(c, ch);
        coco__renewed(c, ch);
        deletes |= ch->action && ch->action->kind == COCO_DELETE;
        if (ch->from && (key = coco__arena_copy(&c->run->arena, ch->ekey.p, ch->ekey.n)) != NULL)
            coco__table_put(&c->run->claims, key, ch->ekey.n, c->run);
    }
    return deletes;
}

static coco_status coco__defer(coco__comp *c);

/* A preview ends here: what would be applied is told (deletes when all claims are known), the children of the
 * component that would go are remembered. */
static void coco__preview_end(coco__comp *c)
{
    bool later = coco__preview_claims(c);

    coco__gone_enter(c);
    coco__condemned_add(c);
    coco__handle_applied(c);
    coco__count_fn(c->run->app, c->fn, c->rec.flags & COCO__R_COMPONENT ? COCO__REPROCESSED : COCO__ADDED, 1);
    if (later && coco__defer(c) == COCO_OK) return;
    coco__preview_apply(c);
    coco__done(c);
}

COCO__IN void coco__submit(coco__comp *c)
{
    assert(c->pending == 0);
    if (c->failed) {
        coco__renewals_undo(c);
        if (!c->no_write && (c->fresh.flags & COCO__R_FAILED) && !c->run->preview) {
            coco__owned_free(&c->owned);
            coco__owned_init(&c->owned, c->run, c->shared, &c->rec);
            coco__queue(c);
        } else {
            coco__done(c);
        }
        return;
    }
    coco__fail_uncaught(c);
    if (c->failed_below && (c->fresh.flags & COCO__R_MEMO)) c->fresh.flags ^= COCO__R_MEMO | COCO__R_BELOW;
    if (c->above || (c->hit && !c->restamp)) {
        coco__handle_applied(c);
        coco__done(c);
    } else if (c->run->preview) {
        if (c->hit) coco__done(c);
        else coco__preview_end(c);
    } else if (c->hit || coco__needs_write(c)) {
        coco__queue(c);
    } else {
        coco__handle_applied(c);
        coco__count_fn(c->run->app, c->fn, COCO__REPROCESSED, 1);
        coco__done(c);
    }
}

/* ---- The transaction ---- */

static void coco__totals(const coco__run *run, uint64_t out[4])
{
    out[0] = run->inserts, out[1] = run->updates, out[2] = run->deletes, out[3] = run->nfailed;
}

COCO__IN bool coco__totals_differ(const coco__run *run)
{
    uint64_t now[4];

    coco__totals(run, now);
    return memcmp(now, run->totals, sizeof now) != 0;
}

/* {start, end so far, mode, build id, totals}: every transaction brings it up to date, so that the last one of a run
 * needs no other. */
COCO__IN coco_status coco__run_record(coco__run *run, const coco__txn *t)
{
    coco__dbkey k;
    coco__buf *b = &run->scratch;
    const char *build = run->app->config.build_id ? run->app->config.build_id : "";

    if (run->number == run->meta.next_run) run->meta.next_run++;
    coco__totals(run, run->totals);
    b->n = 0;
    coco__buf_varint(b, (uint64_t)run->start_ms);
    coco__buf_varint(b, (uint64_t)coco__wall_ms());
    coco__buf_byte(b, (uint8_t)((run->full ? 1u : 0u) | (run->only.p ? 2u : 0u) | (run->dropping ? 4u : 0u)));
    coco__buf_blob(b, build, strlen(build));
    for (size_t i = 0; i < sizeof run->totals / sizeof run->totals[0]; i++) coco__buf_varint(b, run->totals[i]);
    coco__dbkey_id(&k, COCO__RUN, run->number, NULL, 0);
    return coco__put_buf(t, &k, b);
}

COCO__IN coco_status coco__counters_write(coco__run *run, const coco__txn *t)
{
    COCO_TRY(coco__depsets_write(run, t));
    COCO_TRY(coco__providers_count(run, t));
    COCO_TRY(coco__names_write(run, t));
    return coco__meta_put(t, &run->meta);
}

COCO__IN coco_status coco__tidy_write(coco__run *run, const coco__txn *t, bool sweep)
{
    run->dirty_sets = NULL;
    if (sweep) COCO_TRY(coco__memos_sweep(run, t));
    COCO_TRY(coco__run_record(run, t));
    return coco__counters_write(run, t);
}

static void coco__round_clear(coco__run *run)
{
    coco__depsets_clean(run);
    for (coco_target *t = run->dirty_targets; t; t = t->next_dirty) t->dirty = false, t->delta = 0;
    run->dirty_targets = NULL;
    run->persisted = NULL;
    coco__table_clear(&run->claims);
}

COCO__IN void coco__transaction_undo(void *self)
{
    coco__run *run = self;

    for (coco__node *n = run->persisted; n; n = n->next_persisted) n->persisted = false;
    coco__round_clear(run);
}

COCO__IN void coco__transaction_done(coco__run *run)
{
    run->wrote = true;
    run->meta_stored = run->meta;
    coco__round_clear(run);
}

static coco_status coco__round_body(void *self, coco__txn *t)
{
    coco__run *run = self;

    COCO_TRY(coco__run_record(run, t));
    if (!run->slice) COCO_TRY(coco__memos_write(run, t));
    for (coco__comp *c = run->committing; c; c = c->next) COCO_TRY(coco__commit(c, t));
    for (coco__comp *c = run->applying; c; c = c->next) COCO_TRY(coco__claims(c, t));
    for (coco__comp *c = run->applying; c; c = c->next)
        if (!c->claim_failed) COCO_TRY(coco__precommit(c, t));
    if (!run->slice) COCO_TRY(coco__memos_idle(run, t));
    if (!run->slice) COCO_TRY(coco__tombs_write(run, t));
    if (!run->slice) COCO_TRY(coco__live_store(run, t));
    return coco__counters_write(run, t);
}

static void coco__round_undo(void *self)
{
    coco__run *run = self;

    for (int i = 0; i < 2; i++)
        for (coco__comp *c = i ? run->applying : run->committing; c; c = c->next) {
            if (c->parent) c->parent->ancestors_marked = false;
            c->claim_failed = COCO_OK;
        }
    coco__transaction_undo(run);
}

/* ---- Large components: their changes in slices, a transaction each, so that no transaction frees pages by the ten
 *  thousands (LMDB writes the list of free pages again and again). Until the last slice the component stays pending.
 *  ---- */

static void coco__targets_stored(coco__comp *c)
{
    const coco_target *last = NULL;

    for (coco__change *ch = c->owned.changes; ch; last = ch->target, ch = c->all_new ? NULL : ch->next) {
        coco__renewed(c, ch);
        for (coco_target *t = ch->target == last ? NULL : ch->target; t; t = t->parent) t->stored = true;
        if (ch->child && ch->child_fate != COCO__CHILD_GONE) ch->child->stored = true;
    }
}

/* Writes all but the last slice of c, as the only one in *list, which is committing or applying; the round's own
 * transaction takes what is left in changes. */
static coco_status coco__write_slices(coco__run *run, coco__comp *c, coco__comp **list)
{
    coco__writer w = { coco__round_body, coco__round_undo, run, false };
    coco__comp *next = c->next;
    coco__change *last;
    coco_status rc = COCO_OK;

    c->owned.all = NULL;
    c->next = NULL;
    *list = c;
    run->slice = true;
    for (size_t left = c->owned.nchanges; left > COCO__SLICE && rc == COCO_OK && !c->claim_failed && !c->deleting;
         left -= COCO__SLICE) {
        coco__change *rest = coco__owned_cut(&c->owned, COCO__SLICE, &last);
        if (!c->owned.all) c->owned.all = c->owned.changes; /* sorted by the first cut */
        rc = coco__write(run->app, &w, &run->fatal);
        if (rc == COCO_OK && run->applying) coco__targets_stored(c);
        if (rc == COCO_OK) coco__transaction_done(run);
        last->next = rest;
        c->owned.changes = rest;
    }
    run->slice = false;
    *list = NULL;
    c->next = next;
    return rc;
}

/* The whole list again, once the round is written. */
static void coco__slices_end(coco__comp *list)
{
    for (coco__comp *c = list; c; c = c->next)
        if (c->owned.all) c->owned.changes = c->owned.all, c->owned.all = NULL;
}

/* The transaction is in: providers and tombstones count as stored. */
static void coco__round_stored(coco__run *run)
{
    for (coco__comp *c = run->applying; c; c = c->next) {
        if (c->claim_failed) continue;
        coco__targets_stored(c);
        coco__emit(run, COCO_EV_PRECOMMIT, c, NULL);
    }
    for (; run->tombs_removed; run->tombs_removed = run->tombs_removed->next_removed) {
        coco__dbkey k;
        coco__place_key(&k, COCO__TOMBSTONE, &run->tombs_removed->at);
        coco__table_remove(&run->tomb_places, k.b, k.n);
    }
    run->tombs_added = NULL;
    coco__live_stored(run);
    coco__memos_written(run);
    coco__transaction_done(run);
}

static void coco__committed(coco__comp *c)
{
    coco__run *run = c->run;

    run->inflight_bytes -= run->inflight_bytes < c->arena.total ? run->inflight_bytes : c->arena.total;
    for (coco__change *ch = c->owned.changes; ch && !c->all_new; ch = ch->next) {
        coco__renewed(c, ch); /* where there was no precommit */
        if (ch->child_fate == COCO__CHILD_GONE && ch->child && !ch->cancelled)
            coco__target_now(ch->child)->gone = true, run->epoch++;
    }
    if (c->deleting) {
        coco__removal_committed(c);
    } else if (!c->restamp && !c->failed) {
        coco__count_fn(run->app, c->fn, c->rec.flags & COCO__R_COMPONENT ? COCO__REPROCESSED : COCO__ADDED, 1);
        coco__emit(run, COCO_EV_COMMITTED, c, NULL);
        coco__gone_enter(c);
        coco__condemned_add(c);
    }
    coco__done(c);
}

/* ---- Applying ---- */

/* Sets a component aside for a last try at the end. For those above it has failed; it no longer needs their memory. */
static coco_status coco__defer(coco__comp *c)
{
    coco__run *run = c->run;
    coco__comp *p = c->parent;
    coco__buf path;
    coco__catch **last = &c->catches;

    coco__buf_init(&path, run->mem);
    coco__node_path(&c->node, &path);
    c->path = coco__buf_take(&path, c->shared);
    for (const coco__catch *from = c->catches; from; from = from->up) {
        coco__catch *copy = coco__arena_copy(run->passing, from, sizeof *from);
        if (!copy) return COCO_ENOMEM;
        *last = copy;
        last = &copy->up;
    }
    *last = NULL;
    if (!c->path.p) return COCO_ENOMEM;
    if (c->op && !c->anchor) c->op->open++, c->anchor = true;
    if (c->handle) {
        c->handle->status = c->apply_code;
        c->handle->comp = NULL;
        coco__changed(run);
    }
    c->handle = NULL;
    for (const coco__change *ch = c->owned.changes; ch && c->deleting; ch = ch->next)
        if (ch->child) coco__target_now(ch->child)->refused = true;
    c->apply_error = NULL;
    c->node.up = NULL;
    c->parent = NULL;
    c->next = run->deferred;
    run->deferred = c;
    run->deferred_bytes += c->arena.total + c->pooled.total;
    if (!p) return COCO_OK;
    p->failed_below = true;
    if (--p->pending == 0 && p->state == COCO__WAITING) coco__submit(p);
    return COCO_OK;
}

/* S7.5: a container isn't deleted as long as what should go before it is still there. sent: it was, and may be gone. */
static void coco__block_containers(const coco__comp *c, bool sent)
{
    for (const coco__change *ch = c->owned.changes; ch; ch = ch->next)
        if (ch->action && !ch->cancelled && ch->action->kind == COCO_DELETE && !(sent && ch->action->answer == COCO_OK))
            coco__target_block(ch->target, false);
}

static void coco__apply_failed(coco__comp *c, bool again)
{
    bool may = again && c->kind != COCO_MOUNT_USE && !c->holds && /* a quarter of what may be in flight may wait */
               c->run->deferred_bytes < c->run->app->config.max_inflight_bytes / 4;

    if (may && coco__defer(c) == COCO_OK) return;
    coco__block_containers(c, true);
    for (coco__change *ch = c->owned.changes; ch; ch = ch->next)
        /* nobody may declare into it */
        if (coco__child_through(c, ch)) ch->child->gone = true;
    coco__fail(c, c->apply_code, c->apply_error);
    coco__done(c);
}

/* again: what fails may be tried once more; together: it is being tried once more. */
static void coco__apply_list(coco__run *run, coco__comp *list, bool again, bool together)
{
    bool ok = coco__apply_sinks(run, list, together);

    for (coco__comp *c = list, *next; c; c = next) {
        next = c->next;
        if (c->claim_failed || !ok) {
            coco__block_containers(c, false);
            if (c->claim_failed) coco__renewals_undo(c);
            coco__fail(c, c->claim_failed ? c->claim_failed : COCO_ENOMEM, c->claim_failed ? c->claim_error : NULL);
            coco__done(c);
        } else if (c->apply_error) {
            coco__apply_failed(c, again);
        } else {
            coco__applied_counts(c);
            c->state = COCO__APPLIED;
            coco__handle_applied(c);
            coco__append(&run->applied_last, &run->napplied, c);
        }
    }
}

/* ---- Rounds ---- */

/* The store failed: whatever waits for it fails too, so that everything unwinds. */
static coco_status coco__round_failed(coco__run *run, coco__comp *lists[2])
{
    coco_err why = run->fatal;

    for (int i = 0; i < 2; i++)
        for (coco__comp *c = lists[i], *next; c; c = next) {
            next = c->next;
            coco__fail(c, why.code, why.msg);
            c->no_write = true;
            coco__done(c);
        }
    return run->fatal.code;
}

static coco_status coco__round(coco__run *run, bool last)
{
    coco__comp *lists[2] = { run->applied, run->open };
    coco__writer w = { coco__round_body, coco__round_undo, run, last || run->open != NULL || coco__live_tokens(run) };

    run->applied = run->open = NULL;
    run->applied_last = &run->applied;
    run->open_last = &run->open;
    run->napplied = run->nopen = 0;
    run->round_ns = coco__monotonic_ns();
    if (run->fatal.code) return coco__round_failed(run, lists);
    if (run->preview) return COCO_OK;
    coco_status rc = COCO_OK;
    for (coco__comp *c = lists[0]; c && rc == COCO_OK; c = c->next)
        if (!c->all_new) rc = coco__write_slices(run, c, &run->committing);
    for (coco__comp *c = lists[1]; c && rc == COCO_OK; c = c->next) rc = coco__write_slices(run, c, &run->applying);
    run->committing = lists[0];
    run->applying = lists[1];
    if (rc == COCO_OK) rc = coco__write(run->app, &w, &run->fatal);
    coco__slices_end(lists[0]);
    coco__slices_end(lists[1]);
    if (rc == COCO_OK) {
        run->fatal.code = COCO_OK;
        run->unsynced = !w.durable;
        coco__round_stored(run);
    }
    run->committing = run->applying = NULL;
    if (rc != COCO_OK) {
        if (!run->fatal.code) coco_err_set(&run->fatal, rc, "%s", coco_status_text(rc));
        return coco__round_failed(run, lists);
    }
    for (coco__comp *c = lists[0], *next; c; c = next) {
        next = c->next;
        coco__committed(c);
    }
    coco__apply_list(run, lists[1], true, false);
    return COCO_OK;
}

COCO__IN coco_status coco__flush(coco__run *run, bool last)
{
    coco__pool *p = run->pool;
    coco_status rc;

    if (!p) return coco__round(run, last);
    if (p->flushing) {
        coco__wait_begin(run);
        while (p->flushing) coco__wait_change(run, 0);
        coco__wait_end(run);
    }
    p->flushing = true;
    rc = coco__round(run, last);
    p->flushing = false;
    coco__changed(run);
    return rc;
}

/* Is the place, or one above it, to be deleted? */
static coco_status coco__under_tomb(const coco__txn *t, const coco__place *place, bool *under)
{
    coco__place at = *place;
    coco__dbkey k;
    coco_str p;
    coco_status rc;

    for (int depth = 0;; depth++) {
        coco__place_key(&k, COCO__TOMBSTONE, &at);
        rc = coco__get(t, &k, &p);
        *under = rc == COCO_OK;
        if (rc != COCO_ENOTFOUND || !at.parent) return rc == COCO_ENOTFOUND ? COCO_OK : rc;
        if (depth == COCO__DEEPEST) return coco_err_set(t->err, COCO_ECORRUPT, COCO__CIRCLE);
        COCO_TRY(coco__get_id(t, COCO__PARENT, at.parent, &p));
        COCO_TRY(coco__place_get(p, &at));
    }
}

COCO__IN coco_status coco__moves_check(coco__run *run)
{
    for (coco__moved *m = run->moves; m; m = m->next) {
        coco_failure f = { .path = m->to_path, .function = "", .kind = COCO_MOUNT, .code = COCO_EDUP };
        coco__txn t;
        coco__rec rec;
        char text[COCO_ERR_MAX];
        bool gone;
        if (m->reported) continue;
        COCO_TRY(coco__run_read(run, &t));
        coco_status rc = coco__stored(&t, &m->from, &run->record, &rec);
        gone = !(rec.flags & COCO__R_COMPONENT) || !(rec.flags & COCO__R_PENDING);
        if (rc == COCO_OK && !gone) rc = coco__under_tomb(&t, &m->from, &gone);
        coco__run_read_end(run, &t);
        COCO_TRY(rc);
        if (gone) continue;
        snprintf(text, sizeof text, "%s is declared by %s too", m->state, m->from_path);
        f.message = text;
        coco__fail_path(run, &f, NULL);
    }
    return COCO_OK;
}

static coco_status coco__gone_body(void *self, coco__txn *t)
{
    for (coco__comp *c = ((coco__run *)self)->deferred; c; c = c->next) COCO_TRY(coco__commit_gone(c, t));
    return COCO_OK;
}

/* Which children are gone is known when a function has returned (S3.7), and their deletes come before the last try of
 * what sinks refused (S7.4): a child's state may be what is in the way. So the tombstones don't wait for that commit.
 * The component stays pending: should its last try fail, or the process die, it runs again and decides anew. */
COCO__IN coco_status coco__gone_deferred(coco__run *run)
{
    coco__writer w = { coco__gone_body, NULL, run, false };
    bool any = false;

    for (const coco__comp *c = run->deferred; c; c = c->next) any |= c->gone != NULL;
    if (!any || run->preview) return COCO_OK;
    COCO_TRY(coco__write(run->app, &w, &run->fatal));
    run->unsynced = true;
    for (coco__comp *c = run->deferred; c; c = c->next) {
        coco__gone_enter(c);
        c->gone = NULL;
    }
    return COCO_OK;
}

/* Once more, together, what sinks refused: values may have been swapped between rows under a unique constraint, or a
 * delete may have made room since. What they still refuse waits for the last try. In a preview, the components with
 * deletes. */
COCO__IN coco_status coco__apply_deferred(coco__run *run, bool last)
{
    coco__comp *deferred = run->deferred;
    coco__comp *lists[2] = { deferred, NULL };

    run->deferred = NULL;
    run->deferred_bytes = 0;
    if (run->fatal.code) {
        coco__round_failed(run, lists);
        coco__drain(run);
        return run->fatal.code;
    }
    if (!run->preview) coco__apply_list(run, deferred, !last, true);
    for (coco__comp *c = deferred, *next; c && run->preview; c = next) {
        next = c->next;
        coco__preview_apply(c);
        coco__done(c);
    }
    return coco__drain(run);
}

COCO__IN coco_status coco__drain(coco__run *run)
{
    coco_status rc = COCO_OK;

    while (run->open || run->applied || (rc == COCO_OK && (run->queued_memos || run->tombs_removed) && !run->preview))
        rc = coco__flush(run, false);
    return rc;
}
