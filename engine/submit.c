/* submit.c - rounds: precommit, apply, commit; failures; retries.
 *
 * Floor: above component's data, below the code that runs functions. Components whose functions and descendants are
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

COCO__IN coco_status coco__run_read(coco__run *run, coco__txn *t)
{
    return coco__read_begin(run->app, &run->reader, t, &run->cx_err);
}

COCO__IN void coco__run_read_end(coco__run *run, coco__txn *t) { coco__read_end(run->app, t); }

/* ---- Failures ---- */

COCO__IN void coco__fail_path(coco__run *run, const coco_failure *f, coco__catch *catches)
{
    coco_failure full = *f;
    coco__failed_path *p;

    full.env = run->env->name;
    full.app = run->app->name;
    if (!run->nfailed++) {
        coco_err_set(&run->first, full.code, "%s: %s", full.path, full.message);
    }
    if (run->nfailed_paths < 100 && (p = coco__arena_zalloc(&run->arena, sizeof *p)) != NULL &&
        (p->path = coco__arena_copy(&run->arena, full.path, strlen(full.path))) != NULL) {
        *run->failed_last = p;
        run->failed_last = &p->next;
        run->nfailed_paths++;
    }
    for (; catches; catches = catches->up)
        if (catches->fn(catches->user, &full)) return;
    if (run->env->config.on_failure && run->env->config.on_failure(run->env->config.user, &full)) return;
    coco__log(run->env, COCO_LOG_ERROR, "%s: %s: %s", full.path, full.function, full.message);
}

/* The failure of a used component is its caller's; it is reported by itself where the caller ends well all the same. */
static void coco__fail_used(coco__comp *c, const coco_failure *f)
{
    coco__arena *a = &c->parent->arena;
    coco__used_failure *u = coco__arena_zalloc(a, sizeof *u);

    if (!u) return;
    u->failure = *f;
    u->failure.path = coco__arena_copy(a, f->path, strlen(f->path));
    u->failure.message = coco__arena_copy(a, f->message, strlen(f->message));
    u->catches = c->catches;
    if (!u->failure.path || !u->failure.message) return;
    u->next = c->parent->used_failures;
    c->parent->used_failures = u;
}

static void coco__report(coco__comp *c, const char *message)
{
    coco_failure f = { .function = c->fn ? c->fn->name : "", .kind = c->kind, .code = c->code, .message = message };
    coco__buf path, text;

    coco__buf_init(&path, c->run->mem);
    coco__buf_init(&text, c->run->mem);
    coco__comp_path(c, &path);
    coco__path_print(&text, path.p, path.n);
    f.path = coco__buf_cstr(&text);
    if (c->kind == COCO_MOUNT_USE) coco__fail_used(c, &f);
    else coco__fail_path(c->run, &f, c->catches);
    coco__buf_free(&path);
    coco__buf_free(&text);
}

COCO__IN void coco__fail(coco__comp *c, coco_status code, const char *message)
{
    if (!message || !*message) message = coco_status_text(code);
    c->failed = true;
    c->code = code;
    if (c->handle) {
        coco__arena *a = c->parent ? &c->parent->arena : &c->run->arena;
        c->handle->status = code;
        c->handle->message = coco__arena_copy(a, message, strlen(message));
    }
    if (code == COCO_ESTOP) return; /* a stop is no failure of its own */
    coco__count_fn(c->run->app, c->fn, COCO__ERRORS, 1);
    coco__emit(c->run, COCO_EV_FAILED, c, message);
    coco__report(c, message);
}

/* ---- The way of a component ---- */

COCO__IN void coco__done(coco__comp *c)
{
    coco__comp *p = c->parent;

    c->state = COCO__DONE;
    if (c->handle) c->handle->comp = NULL;
    if (p && (c->failed || c->failed_below)) p->failed_below = true;
    if (p) p->condemns |= c->condemns;
    if (c->hit && !c->failed) c->restamp = false;
    coco__comp_free(c);
    if (p && --p->pending == 0 && p->state == COCO__WAITING) coco__submit(p);
}

static bool coco__memo_differs(const coco__comp *c)
{
    const coco__rec *a = &c->rec, *b = &c->fresh;

    if ((a->flags & COCO__R_MEMO) != (b->flags & COCO__R_MEMO)) return true;
    if (!(b->flags & COCO__R_MEMO)) return false;
    return a->depset != c->set->id || coco__bytes_cmp(a->argkey.p, a->argkey.n, b->argkey.p, b->argkey.n) ||
           coco__bytes_cmp(a->states.p, a->states.n, b->states.p, b->states.n) ||
           coco__bytes_cmp(a->result.p, a->result.n, b->result.p, b->result.n);
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
    if (coco__needs_precommit(c)) {
        c->state = COCO__OPEN;
        coco__append(&run->open_last, &run->nopen, c);
    } else {
        c->state = COCO__APPLIED;
        if (c->handle) c->handle->applied = true;
        coco__append(&run->applied_last, &run->napplied, c);
    }
}

static void coco__applied_counts(coco__comp *c)
{
    coco__run *run = c->run;

    for (coco__change *ch = c->owned.changes; ch; ch = ch->next) {
        if (!ch->action || ch->cancelled) continue;
        coco_action_kind kind = ch->action->kind;
        ++*(kind == COCO_INSERT ? &run->inserts : kind == COCO_UPDATE ? &run->updates : &run->deletes);
        coco__count_action(ch->target->counts, ch->action);
        coco__emit_state(run, COCO_EV_APPLIED, c, ch, NULL);
        if (ch->action->note) coco__emit_state(run, COCO_EV_NOTICE, c, ch, ch->action->note);
        if (ch->action->note) coco__log(run->env, COCO_LOG_WARN, "%s", ch->action->note);
        coco__free(run->mem, ch->action->note);
        ch->action->note = NULL;
        if (ch->child && ch->child->owner == c) ch->child->owner = NULL;
    }
}

/* Children of a component that is recorded now (or in a preview would be) are gone. */
static void coco__gone_enter(coco__comp *c)
{
    coco__comp gone = { .run = c->run };

    for (coco__tomb *g = c->gone; g; g = g->next) {
        gone.node = (coco__node){ .up = &c->node, .comp = &gone, .segment = g->at.segment };
        for (coco__node *n = c->inner; n; n = n->next)
            if (n->id == g->at.parent) gone.node.up = n;
        coco__emit(c->run, COCO_EV_GONE, &gone, NULL);
        /* it is in the store; the next update finds it */
        if (coco__tomb_add(c->run, &g->at, g->self_only) != COCO_OK) return;
    }
}

/* What is no longer declared here may be declared elsewhere: then it moves, and nothing is deleted. */
COCO__IN void coco__preview_apply(coco__comp *c)
{
    for (coco__change *ch = c->owned.changes; ch; ch = ch->next)
        ch->cancelled = !ch->record.p && coco__table_get(&c->run->claims, ch->ekey.p, ch->ekey.n);
    coco__applied_counts(c);
}

/* Notes what the component would take from others; does it delete anything? */
static bool coco__preview_claims(coco__comp *c)
{
    bool deletes = false;
    char *key;

    for (coco__change *ch = c->owned.changes; ch; ch = ch->next) {
        if (ch->child && ch->child->owner == c) ch->child->owner = NULL;
        deletes |= ch->action && ch->action->kind == COCO_DELETE;
        if (ch->owner.segment.p && (key = coco__arena_copy(&c->run->arena, ch->ekey.p, ch->ekey.n)) != NULL)
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
    if (c->handle) c->handle->applied = true;
    coco__count_fn(c->run->app, c->fn, c->rec.flags & COCO__R_COMPONENT ? COCO__REPROCESSED : COCO__ADDED, 1);
    if (later && coco__defer(c) == COCO_OK) return;
    coco__preview_apply(c);
    coco__done(c);
}

COCO__IN void coco__submit(coco__comp *c)
{
    assert(c->pending == 0);
    if (c->failed) {
        if (!c->no_write && (c->fresh.flags & COCO__R_FAILED) && !c->run->preview) {
            coco__owned_free(&c->owned);
            coco__owned_init(&c->owned, c->run, &c->arena, &c->rec);
            coco__queue(c);
        } else {
            coco__done(c);
        }
        return;
    }
    for (coco__used_failure *u = c->used_failures; u; u = u->next) coco__fail_path(c->run, &u->failure, u->catches);
    if (c->failed_below) c->fresh.flags &= ~(uint32_t)COCO__R_MEMO;
    if (c->above || (c->hit && !c->restamp)) {
        if (c->handle) c->handle->applied = true;
        coco__done(c);
    } else if (c->run->preview) {
        if (c->hit) coco__done(c);
        else coco__preview_end(c);
    } else if (c->hit || coco__needs_write(c)) {
        coco__queue(c);
    } else {
        if (c->handle) c->handle->applied = true;
        coco__count_fn(c->run->app, c->fn, COCO__REPROCESSED, 1);
        coco__done(c);
    }
}

/* ---- Tombstones in memory ---- */

COCO__IN coco_status coco__tomb_add(coco__run *run, const coco__place *at, bool self_only)
{
    coco__tomb *g = coco__arena_zalloc(&run->arena, sizeof *g);
    coco__dbkey k;
    char *key;

    coco__place_key(&k, COCO__TOMBSTONE, at);
    if (coco__table_get(&run->tomb_places, k.b, k.n)) return COCO_OK;
    if (!g || !(g->at.segment.p = coco__arena_copy(&run->arena, at->segment.p, at->segment.n)) ||
        !(key = coco__arena_copy(&run->arena, k.b, k.n)) || !coco__table_put(&run->tomb_places, key, k.n, g))
        return COCO_ENOMEM;
    g->at.parent = at->parent;
    g->at.segment.n = at->segment.n;
    g->self_only = self_only;
    g->next = run->tombs;
    run->tombs = g;
    return COCO_OK;
}

static coco__tomb *coco__tomb_at(const coco__run *run, const coco__place *at)
{
    coco__dbkey k;
    coco__tomb *g;

    if (!run->tombs) return NULL;
    coco__place_key(&k, COCO__TOMBSTONE, at);
    g = coco__table_get(&run->tomb_places, k.b, k.n);
    return g && !g->removed ? g : NULL;
}

/* A path is mounted again: its tombstone goes with the next transaction. */
COCO__IN void coco__tomb_remove(coco__run *run, const coco__place *at)
{
    coco__tomb *g = coco__tomb_at(run, at);

    if (!g) return;
    g->removed = true;
    g->next_removed = run->tombs_removed;
    run->tombs_removed = g;
}

static coco_status coco__tomb_put(coco__run *run, const coco__txn *t, const coco__tomb *g)
{
    coco__dbkey k;
    coco__buf *b = &run->scratch;

    coco__place_key(&k, COCO__TOMBSTONE, &g->at);
    b->n = 0;
    coco__buf_byte(b, g->self_only);
    if (g->at.segment.n > COCO__CUT) coco__buf_put(b, g->at.segment.p, g->at.segment.n);
    return b->failed ? COCO_ENOMEM : coco__put(t, &k, b->p, b->n);
}

static coco_status coco__tombs_write(coco__run *run, const coco__txn *t)
{
    coco__dbkey k;

    for (coco__tomb *g = run->tombs_removed; g; g = g->next_removed) {
        coco__place_key(&k, COCO__TOMBSTONE, &g->at);
        COCO_TRY(coco__del(t, &k));
    }
    return COCO_OK;
}

/* ---- Records in the transaction ---- */

/* The stored record, copied; flags 0 if there is none. */
COCO__IN coco_status coco__stored(coco__run *run, const coco__txn *t, const coco__place *at, coco__buf *copy,
                                  coco__rec *rec)
{
    coco__dbkey k;
    coco_str p;
    coco_status rc;

    memset(rec, 0, sizeof *rec);
    coco__place_key(&k, COCO__COMPONENT, at);
    rc = coco__get(t, &k, &p);
    if (rc == COCO_ENOTFOUND) return COCO_OK;
    COCO_TRY(rc);
    copy->n = 0;
    coco__buf_put(copy, p.p, p.n);
    if (copy->failed) return COCO_ENOMEM;
    (void)run;
    return coco__rec_get((coco_str){ copy->p ? (char *)copy->p : "", copy->n }, rec, t->err);
}

COCO__IN coco_status coco__store_rec(coco__run *run, const coco__txn *t, const coco__place *at, coco__rec *rec)
{
    coco__dbkey k;
    coco__buf *b = &run->scratch;

    if (at->segment.n > COCO__CUT) {
        rec->flags |= COCO__R_LONG;
        rec->segment = at->segment;
    }
    b->n = 0;
    coco__rec_put(b, rec);
    if (b->failed) return COCO_ENOMEM;
    coco__place_key(&k, COCO__COMPONENT, at);
    return coco__put(t, &k, b->p, b->n);
}

static coco_status coco__store_id(coco__run *run, const coco__txn *t, const coco__place *at, uint64_t id)
{
    coco__dbkey k;
    coco__buf *b = &run->scratch;

    b->n = 0;
    coco__place_put(b, at);
    if (b->failed) return COCO_ENOMEM;
    coco__dbkey_id(&k, COCO__PARENT, id, NULL, 0);
    return coco__put(t, &k, b->p, b->n);
}

/* Writes the node's id, and those above, where they aren't in the store. */
COCO__IN coco_status coco__node_persist(coco__run *run, const coco__txn *t, coco__node *node)
{
    coco__place at;
    coco__rec rec;

    if (!node || node->persisted) return COCO_OK;
    COCO_TRY(coco__node_persist(run, t, node->up));
    coco__place_of(node, &at);
    COCO_TRY(coco__stored(run, t, &at, &run->pages, &rec));
    rec.flags |= COCO__R_ID;
    rec.id = coco__node_id(node);
    if (node->each) {
        rec.flags |= COCO__R_SOURCE;
        rec.source = node->source;
    }
    COCO_TRY(coco__store_rec(run, t, &at, &rec));
    COCO_TRY(coco__store_id(run, t, &at, rec.id));
    node->persisted = true;
    node->next_persisted = run->persisted;
    run->persisted = node;
    return COCO_OK;
}

COCO__IN coco_status coco__place_of_id(coco__run *run, const coco__txn *t, uint64_t id, coco__place *at)
{
    coco__dbkey k;
    coco_str p;
    coco__buf *b = &run->lookup; /* the place outlives puts */

    coco__dbkey_id(&k, COCO__PARENT, id, NULL, 0);
    COCO_TRY(coco__get(t, &k, &p));
    b->n = 0;
    coco__buf_put(b, p.p, p.n);
    return b->failed ? COCO_ENOMEM : coco__place_get((coco_str){ (char *)b->p, b->n }, at);
}

/* A memo of a component above stands for what is being written: it must not hit until that component is committed
 * itself. With pending false it was, and may. */
COCO__IN coco_status coco__mark_above(coco__run *run, const coco__txn *t, uint64_t parent, bool pending)
{
    coco__place at;
    coco__rec rec;

    while (parent) {
        coco_status rc = coco__place_of_id(run, t, parent, &at);
        if (rc == COCO_ENOTFOUND) return COCO_OK;
        COCO_TRY(rc);
        COCO_TRY(coco__stored(run, t, &at, &run->pages, &rec));
        if (!(rec.flags & COCO__R_PENDING) == pending &&
            (pending ? (rec.flags & COCO__R_MEMO) != 0 : rec.run == run->number)) {
            rec.flags ^= COCO__R_PENDING;
            COCO_TRY(coco__store_rec(run, t, &at, &rec));
        }
        if (coco__tomb_at(run, &at)) return COCO_OK; /* what stands above goes on without it */
        parent = at.parent;
    }
    return COCO_OK;
}

static coco_status coco__write_above(coco__comp *c, const coco__txn *t)
{
    /* it may be mounted again half deleted */
    if (c->under_tomb) return coco__mark_above(c->run, t, c->at.parent, true);
    if (c->node.up) COCO_TRY(coco__node_persist(c->run, t, c->node.up));
    if (!c->parent || c->parent->ancestors_marked) return COCO_OK;
    COCO_TRY(coco__mark_above(c->run, t, c->at.parent, true));
    c->parent->ancestors_marked = true;
    for (coco__comp *p = c->parent; p; p = p->parent) p->marked = true;
    return COCO_OK;
}

/* Entries that won't fit into the record need an id for their pages. */
static coco_status coco__need_id(coco__comp *c, const coco__txn *t, coco__rec *rec)
{
    size_t bytes = rec->entries.n;

    if (rec->flags & COCO__R_ID) return COCO_OK;
    if (c->owned.all) bytes = COCO__INLINE_BYTES + 1;
    for (const coco__change *ch = c->owned.changes; ch && bytes <= COCO__INLINE_BYTES; ch = ch->next)
        bytes += ch->ekey.n + (ch->before.n > ch->after.n ? ch->before.n : ch->after.n) + 4;
    if (bytes <= COCO__INLINE_BYTES) return COCO_OK;
    rec->flags |= COCO__R_ID;
    rec->id = coco__node_id(&c->node);
    return coco__store_id(c->run, t, &c->at, rec->id);
}

static coco_status coco__header(coco__comp *c, coco__rec *rec)
{
    rec->flags |= COCO__R_COMPONENT;
    rec->run = c->run->number;
    rec->reason = (int)c->why.reason;
    rec->detail = c->why.detail;
    rec->version = c->fn->version;
    rec->ns = c->fresh.ns;
    rec->units = c->fresh.units;
    rec->flags = (rec->flags & ~(uint32_t)COCO__R_UNITS) | (rec->units != 0 ? (uint32_t)COCO__R_UNITS : 0u);
    return coco__name_id(c->run, c->fn->name, &rec->fn);
}

/* ---- Claims ---- */

static coco_status coco__edup(coco__comp *c, const coco__change *ch, const char *other)
{
    coco__buf state;

    coco__buf_init(&state, c->run->mem);
    coco__state_name(&state, ch->target, ch->key);
    coco__buf_printf(&state, " is declared by %s too", other);
    c->claim_error = coco__arena_copy(&c->arena, coco__buf_cstr(&state), strlen(coco__buf_cstr(&state)));
    coco__buf_free(&state);
    c->claim_failed = true;
    return COCO_OK;
}

static char *coco__print_comp(coco__run *run, const coco__comp *c)
{
    coco__buf path, text;
    char *out;

    coco__buf_init(&path, run->mem), coco__buf_init(&text, run->mem);
    coco__comp_path(c, &path);
    coco__path_print(&text, path.p, path.n);
    out = coco__arena_copy(&run->arena, coco__buf_cstr(&text), strlen(coco__buf_cstr(&text)));
    coco__buf_free(&path), coco__buf_free(&text);
    return out ? out : (char *)(uintptr_t)"";
}

static char *coco__print_place(coco__run *run, const coco__txn *t, const coco__place *at)
{
    coco__buf path, text;
    char *out = NULL;

    coco__buf_init(&path, run->mem), coco__buf_init(&text, run->mem);
    if (coco__place_path(t, at, &path) == COCO_OK) {
        coco__path_print(&text, path.p, path.n);
        out = coco__arena_copy(&run->arena, coco__buf_cstr(&text), strlen(coco__buf_cstr(&text)));
    }
    coco__buf_free(&path), coco__buf_free(&text);
    return out ? out : (char *)(uintptr_t)"?";
}

/* The component recorded there, if it has run, or runs, and isn't committed yet. */
static coco__comp *coco__in_flight(const coco__run *run, const coco__place *at)
{
    coco__dbkey k;

    coco__place_key(&k, COCO__COMPONENT, at);
    coco__comp *c = coco__table_get(&run->in_flight, k.b, k.n);
    return c && !c->failed ? c : NULL;
}

/* Does it declare the state? After its function has returned, what is not declared any more has a change. */
static coco_status coco__declares(coco__comp *c, coco_str ekey, bool *declares)
{
    const coco__change *ch = coco__owned_changed(&c->owned, ekey);

    *declares = ch ? ch->record.p != NULL : c->state != COCO__RUNNING;
    return ch || *declares ? COCO_OK : coco__owned_pin(&c->owned, ekey, declares);
}

static coco_status coco__note_move(coco__comp *c, coco__change *ch, const coco__txn *t, const coco__place *from)
{
    coco__run *run = c->run;
    coco__moved *m = coco__table_get(&run->moved_states, ch->ekey.p, ch->ekey.n);
    coco__dbkey k;
    coco__buf b;

    if (m) return COCO_OK; /* noted in a try that found the map full */
    coco__place_key(&k, COCO__COMPONENT, from);
    coco__buf_init(&b, run->mem);
    coco__state_name(&b, ch->target, ch->key);
    if ((m = coco__arena_zalloc(&run->arena, sizeof *m)) != NULL) {
        m->ekey = (coco_str){ coco__arena_copy(&run->arena, ch->ekey.p, ch->ekey.n), ch->ekey.n };
        m->from_key = (coco_str){ coco__arena_copy(&run->arena, k.b, k.n), k.n };
        m->from = (coco__place){ from->parent,
                                 { coco__arena_copy(&run->arena, from->segment.p, from->segment.n), from->segment.n } };
        m->state = coco__arena_copy(&run->arena, coco__buf_cstr(&b), strlen(coco__buf_cstr(&b)));
        m->from_path = coco__print_place(run, t, from);
        m->to_path = coco__print_comp(run, c);
    }
    coco__buf_free(&b);
    if (!m || !m->ekey.p || !m->from_key.p || !m->from.segment.p || !m->state ||
        !coco__table_put(&run->moved_states, m->ekey.p, m->ekey.n, m) ||
        !coco__table_put(&run->moved, m->from_key.p, m->from_key.n, m))
        return COCO_ENOMEM;
    m->next = run->moves;
    run->moves = m;
    coco__emit_state(run, COCO_EV_MOVED, c, ch, m->from_path);
    return COCO_OK;
}

static bool coco__same_possible(const coco__state *a, const coco__state *b)
{
    if (a->npossible != b->npossible || a->counter != b->counter) return false;
    for (size_t i = 0; i < a->npossible; i++)
        if (!a->possible[i].p != !b->possible[i].p || !coco_str_equal(a->possible[i], b->possible[i])) return false;
    return true;
}

/* Takes the state out of its owner's record: the owner runs again next time, and so does what has a memo above it. */
static coco_status coco__take(coco__comp *c, coco__change *ch, const coco__txn *t)
{
    coco__run *run = c->run;
    coco__comp *other = coco__in_flight(run, &ch->owner);
    coco__change *lost;
    coco__rec rec;

    COCO_TRY(coco__stored(run, t, &ch->owner, &run->record, &rec));
    COCO_TRY(coco__entry_remove(t, &rec, ch->ekey, &run->pages));
    rec.flags |= COCO__R_PENDING;
    if (rec.nstates) rec.nstates--;
    COCO_TRY(coco__store_rec(run, t, &ch->owner, &rec));
    COCO_TRY(coco__mark_above(run, t, ch->owner.parent, true));
    COCO_TRY(coco__note_move(c, ch, t, &ch->owner));
    if (!other) return COCO_OK;
    lost = coco__owned_changed(&other->owned, ch->ekey); /* it lets go: the claim has seen to that */
    if (!lost && !(lost = coco__owned_change(&other->owned, ch->ekey))) return COCO_ENOMEM;
    lost->was = lost->cancelled = true;
    run->moves->reported = true;
    return COCO_OK;
}

/* Looks whether the state may be taken from who has it; nothing is taken before all claims of c are through. */
static coco_status coco__claim_from(coco__comp *c, coco__change *ch, const coco__txn *t, const coco__place *from,
                                    coco__state *now)
{
    coco__run *run = c->run;
    coco__comp *other = coco__in_flight(run, from);
    bool declares = false;
    const coco__moved *m = coco__table_get(&run->moved_states, ch->ekey.p, ch->ekey.n);
    coco__rec rec;
    coco_str value;

    COCO_TRY(coco__stored(run, t, from, &run->record, &rec));
    if (!(rec.flags & COCO__R_COMPONENT)) return COCO_OK;
    COCO_TRY(coco__entry_get(t, &rec, ch->ekey, &c->arena, &value));
    if (!value.p) return COCO_OK;
    COCO_TRY(coco__state_get(ch->ekey, value, now));
    if (m && strcmp(m->to_path, coco__print_comp(run, c)) != 0) return coco__edup(c, ch, m->to_path);
    /* it came to be since the declaration */
    if (!ch->desired) return coco__edup(c, ch, coco__print_place(run, t, from));
    if (other) COCO_TRY(coco__declares(other, ch->ekey, &declares));
    if (declares) return coco__edup(c, ch, coco__print_comp(run, other));
    if (run->only.p) {
        coco__buf path;
        coco__buf_init(&path, run->mem);
        bool below = coco__place_path(t, from, &path) == COCO_OK && path.n >= run->only.n &&
                     memcmp(path.p, run->only.p, run->only.n) == 0;
        coco__buf_free(&path);
        if (!below) return coco__edup(c, ch, coco__print_place(run, t, from));
    }
    ch->owner = *from;
    ch->moved = true;
    return COCO_OK;
}

static coco_status coco__claim(coco__comp *c, coco__change *ch, const coco__txn *t)
{
    coco__run *run = c->run;
    coco__comp *first = coco__table_get(&run->claims, ch->ekey.p, ch->ekey.n);
    coco__state now = { 0 };
    coco__dbkey k;
    coco__place from;
    coco_str p;
    coco_status rc;

    ch->moved = false;
    if (first && first != c) return coco__edup(c, ch, coco__print_comp(run, first));
    if (!coco__table_put(&run->claims, ch->ekey.p, ch->ekey.n, c)) return COCO_ENOMEM;
    coco__dbkey_raw(&k, COCO__OWNER, ch->ekey.p, ch->ekey.n);
    rc = coco__get(t, &k, &p);
    if (rc == COCO_OK) {
        coco_str copy = { coco__arena_copy(&c->arena, p.p, p.n), p.n };
        if (!copy.p) return COCO_ENOMEM;
        COCO_TRY(coco__place_get(copy, &from));
        bool self = from.parent == c->at.parent && coco_str_equal(from.segment, c->at.segment);
        if (!self) COCO_TRY(coco__claim_from(c, ch, t, &from, &now));
    } else if (rc != COCO_ENOTFOUND) {
        return rc;
    }
    if (c->claim_failed || !ch->desired || ch->user_managed || coco__same_possible(&now, coco__old_of(ch)))
        return COCO_OK;
    return coco__reclaim(c, ch, &now);
}

static coco_status coco__claims(coco__comp *c, const coco__txn *t)
{
    for (coco__change *ch = c->owned.changes; ch && !c->claim_failed; ch = ch->next)
        if (ch->claimed && ch->target) COCO_TRY(coco__claim(c, ch, t));
    for (coco__change *ch = c->owned.changes; ch && !c->claim_failed; ch = ch->next)
        if (ch->moved) COCO_TRY(coco__take(c, ch, t));
    return COCO_OK;
}

/* ---- Precommit ---- */

static coco_status coco__precommit_provider(coco__change *ch, const coco__txn *t)
{
    if (!ch->target->stored) COCO_TRY(coco__provider_write(t, ch->target));
    if (!ch->child || ch->child_fate == COCO__CHILD_GONE) return COCO_OK;
    if (ch->replaced) COCO_TRY(coco__provider_destroy(t, ch->replaced));
    return coco__provider_write(t, ch->child);
}

static coco_status coco__precommit_states(coco__comp *c, const coco__txn *t, coco__rec *rec)
{
    coco__dbkey k;
    coco__buf *b = &c->run->scratch;

    for (coco__change *ch = c->owned.changes; ch; ch = ch->next) {
        if (!ch->target || ch->cancelled) continue;
        COCO_TRY(coco__precommit_provider(ch, t));
        if (ch->was || !ch->record.p) continue;
        b->n = 0;
        coco__place_put(b, &c->at);
        if (b->failed) return COCO_ENOMEM;
        coco__dbkey_raw(&k, COCO__OWNER, ch->ekey.p, ch->ekey.n);
        COCO_TRY(coco__put(t, &k, b->p, b->n));
        rec->nstates++;
        if (!ch->moved) coco__target_count(ch->target, 1);
    }
    return COCO_OK;
}

static coco_status coco__precommit(coco__comp *c, const coco__txn *t)
{
    coco__rec rec;

    COCO_TRY(coco__write_above(c, t));
    COCO_TRY(coco__stored(c->run, t, &c->at, &c->run->record, &rec));
    if (!(rec.flags & COCO__R_COMPONENT)) COCO_TRY(coco__header(c, &rec));
    COCO_TRY(coco__need_id(c, t, &rec));
    COCO_TRY(coco__precommit_states(c, t, &rec));
    COCO_TRY(coco__owned_write(&c->owned, t, &rec, false, &c->run->pages));
    rec.flags |= COCO__R_PENDING;
    return coco__store_rec(c->run, t, &c->at, &rec);
}

/* ---- Commit ---- */

static coco_status coco__owner_remove(coco__comp *c, const coco__change *ch, const coco__txn *t)
{
    coco__dbkey k;
    coco__place at;
    coco_str p;
    coco_status rc;

    coco__dbkey_raw(&k, COCO__OWNER, ch->ekey.p, ch->ekey.n);
    rc = coco__get(t, &k, &p);
    if (rc == COCO_ENOTFOUND) return COCO_OK;
    COCO_TRY(rc);
    COCO_TRY(coco__place_get(p, &at));
    return at.parent == c->at.parent && coco_str_equal(at.segment, c->at.segment) ? coco__del(t, &k) : COCO_OK;
}

/* What a committed change means outside the entry itself: use counts, index, counts of states, providers. */
COCO__IN coco_status coco__commit_change(coco__comp *c, coco__change *ch, const coco__txn *t, coco__rec *rec)
{
    size_t skip;
    uint64_t space = coco__ekey_space((const uint8_t *)ch->ekey.p, ch->ekey.n, &skip);

    if (space == COCO__S_USE && ch->was != (ch->after.p != NULL))
        return coco__memo_use(t, ch->ekey.p + skip, ch->after.p ? 1 : -1);
    if (space == COCO__S_MEMO) {
        if (ch->record.p) COCO_TRY(coco__memo_set_use(c->run, ch->record, -1));
        return ch->after.p ? coco__memo_set_use(c->run, ch->after, 1) : COCO_OK;
    }
    if (space < COCO__S_FIRST_PROVIDER) return COCO_OK;
    if (ch->child_fate == COCO__CHILD_GONE && ch->child && !ch->cancelled)
        COCO_TRY(coco__provider_destroy(t, ch->child));
    if (ch->after.p || !ch->was) return COCO_OK;
    if (rec->nstates && !ch->cancelled) rec->nstates--;
    if (ch->is_void || ch->cancelled) return COCO_OK;
    coco__target_count(ch->target, -1);
    return coco__owner_remove(c, ch, t);
}

COCO__IN coco_status coco__commit_set(coco__comp *c, const coco__rec *old, bool has_new)
{
    coco__depset *set = NULL;

    if (old->flags & (COCO__R_MEMO | COCO__R_FAILED)) {
        if (has_new && c->set && old->depset == c->set->id) return COCO_OK;
        COCO_TRY(coco__depset_load(c->run, old->depset, &set));
        if (set) coco__depset_use(c->run, set, -1);
    }
    if (has_new) coco__depset_use(c->run, c->set, 1);
    return COCO_OK;
}

static coco_status coco__commit_memo(coco__comp *c, coco__rec *rec)
{
    uint32_t keeps = c->fresh.flags & (COCO__R_MEMO | COCO__R_FAILED);

    if (c->restamp) {
        rec->states = c->fresh.states;
        return COCO_OK;
    }
    COCO_TRY(coco__commit_set(c, rec, keeps != 0));
    rec->flags = (rec->flags & ~(uint32_t)(COCO__R_MEMO | COCO__R_FAILED)) | keeps;
    rec->argkey = c->fresh.argkey;
    rec->states = c->fresh.states;
    rec->result = c->fresh.result;
    rec->depset = keeps ? c->set->id : 0;
    rec->fail_count = c->fresh.fail_count;
    rec->fail_time = c->fresh.fail_time;
    return COCO_OK;
}

static coco_status coco__commit_gone(coco__comp *c, const coco__txn *t)
{
    for (const coco__tomb *g = c->gone; g; g = g->next) COCO_TRY(coco__tomb_put(c->run, t, g));
    return COCO_OK;
}

static coco_status coco__commit(coco__comp *c, const coco__txn *t)
{
    coco__rec rec;

    COCO_TRY(coco__write_above(c, t));
    COCO_TRY(coco__stored(c->run, t, &c->at, &c->run->record, &rec));
    if (c->deleting) return coco__commit_removal(c, t, &rec);
    COCO_TRY(coco__need_id(c, t, &rec));
    for (coco__change *ch = c->owned.changes; ch; ch = ch->next) COCO_TRY(coco__commit_change(c, ch, t, &rec));
    COCO_TRY(coco__owned_write(&c->owned, t, &rec, true, &c->run->pages));
    if (!c->restamp && !(c->failed && (rec.flags & COCO__R_COMPONENT))) COCO_TRY(coco__header(c, &rec));
    COCO_TRY(coco__commit_memo(c, &rec));
    if (!c->failed && !c->restamp) {
        rec.flags = (rec.flags & ~(uint32_t)COCO__R_PENDING) | (c->condemns ? (uint32_t)COCO__R_PENDING : 0u);
        COCO_TRY(coco__commit_gone(c, t));
    }
    return coco__store_rec(c->run, t, &c->at, &rec);
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
    if (b->failed) return COCO_ENOMEM;
    coco__dbkey_id(&k, COCO__RUN, run->number, NULL, 0);
    return coco__put(t, &k, b->p, b->n);
}

static void coco__round_clear(coco__run *run)
{
    for (coco__depset *s = run->dirty_sets; s; s = s->next_dirty) s->dirty = false, s->delta = 0;
    for (coco_target *t = run->dirty_targets; t; t = t->next_dirty) t->dirty = false, t->delta = 0;
    run->dirty_sets = NULL;
    run->dirty_targets = NULL;
    run->persisted = NULL;
    coco__table_clear(&run->claims);
}

/* ---- Large components: their changes in slices, a transaction each, so that no transaction frees pages by the ten
 *  thousands (LMDB writes the list of free pages again and again). Until the last slice the component stays pending.
 *  ---- */

typedef struct coco__slice {
    coco__comp *c;
    bool commit;
} coco__slice;

static coco_status coco__slice_body(void *self, coco__txn *t)
{
    coco__slice *s = self;
    coco__comp *c = s->c;
    coco__run *run = c->run;
    coco__rec rec;

    COCO_TRY(coco__run_record(run, t));
    if (s->commit) {
        COCO_TRY(coco__stored(run, t, &c->at, &run->record, &rec));
        if (!(rec.flags & COCO__R_COMPONENT)) COCO_TRY(coco__header(c, &rec));
        rec.flags |= COCO__R_PENDING;
        COCO_TRY(coco__need_id(c, t, &rec));
        for (coco__change *ch = c->owned.changes; ch; ch = ch->next) COCO_TRY(coco__commit_change(c, ch, t, &rec));
        COCO_TRY(coco__owned_write(&c->owned, t, &rec, true, &run->pages));
        COCO_TRY(coco__store_rec(run, t, &c->at, &rec));
    } else {
        COCO_TRY(coco__claims(c, t));
        if (!c->claim_failed) COCO_TRY(coco__precommit(c, t));
    }
    COCO_TRY(coco__depsets_write(run, t));
    COCO_TRY(coco__providers_count(run, t));
    COCO_TRY(coco__names_write(run, t));
    return coco__meta_put(t, &run->meta);
}

static void coco__slice_undo(void *self)
{
    coco__comp *c = ((coco__slice *)self)->c;

    for (coco__node *n = c->run->persisted; n; n = n->next_persisted) n->persisted = false;
    if (c->parent) c->parent->ancestors_marked = false;
    c->claim_failed = false;
    coco__round_clear(c->run);
}

static void coco__targets_stored(coco__comp *c)
{
    for (coco__change *ch = c->owned.changes; ch; ch = ch->next) {
        for (coco_target *t = ch->target; t; t = t->parent) t->stored = true;
        if (ch->child) ch->child->stored = true;
    }
}

/* Writes all but the last slice; the round's own transaction takes what is left in changes. */
static coco_status coco__write_slices(coco__run *run, coco__comp *c, bool commit)
{
    coco__slice s = { c, commit };
    coco__writer w = { coco__slice_body, coco__slice_undo, &s, false };

    c->owned.all = NULL;
    for (size_t left = c->owned.nchanges; left > COCO__SLICE && !c->claim_failed && !c->deleting; left -= COCO__SLICE) {
        coco__change *rest = coco__owned_cut(&c->owned, COCO__SLICE), *last = c->owned.changes;
        if (!c->owned.all) c->owned.all = c->owned.changes; /* sorted by the first cut */
        coco_status rc = coco__write(run->app, &w, &run->fatal);
        if (rc == COCO_OK && !commit) coco__targets_stored(c);
        if (rc == COCO_OK) {
            run->wrote = true;
            run->meta_stored = run->meta;
            run->names_stored = run->meta.next_name;
            coco__round_clear(run);
        }
        while (last->next) last = last->next;
        last->next = rest;
        c->owned.changes = rest;
        if (rc != COCO_OK) {
            c->owned.changes = c->owned.all;
            return rc;
        }
    }
    return COCO_OK;
}

/* The whole list again, once the round is written. */
static void coco__slices_end(coco__comp *list)
{
    for (coco__comp *c = list; c; c = c->next)
        if (c->owned.all) c->owned.changes = c->owned.all, c->owned.all = NULL;
}

static coco_status coco__round_body(void *self, coco__txn *t)
{
    coco__run *run = self;

    COCO_TRY(coco__run_record(run, t));
    COCO_TRY(coco__memos_write(run, t));
    for (coco__comp *c = run->committing; c; c = c->next) COCO_TRY(coco__commit(c, t));
    for (coco__comp *c = run->applying; c; c = c->next) COCO_TRY(coco__claims(c, t));
    for (coco__comp *c = run->applying; c; c = c->next)
        if (!c->claim_failed) COCO_TRY(coco__precommit(c, t));
    COCO_TRY(coco__tombs_write(run, t));
    COCO_TRY(coco__depsets_write(run, t));
    COCO_TRY(coco__providers_count(run, t));
    COCO_TRY(coco__names_write(run, t));
    return coco__meta_put(t, &run->meta);
}

static void coco__round_undo(void *self)
{
    coco__run *run = self;

    for (coco__node *n = run->persisted; n; n = n->next_persisted) n->persisted = false;
    for (coco__comp *c = run->committing; c; c = c->next)
        if (c->parent) c->parent->ancestors_marked = false;
    for (coco__comp *c = run->applying; c; c = c->next) {
        if (c->parent) c->parent->ancestors_marked = false;
        c->claim_failed = false;
    }
    coco__round_clear(run);
}

/* The transaction is in: providers and tombstones count as stored. */
static void coco__round_stored(coco__run *run)
{
    run->wrote = true;
    run->meta_stored = run->meta;
    run->names_stored = run->meta.next_name;
    for (coco__comp *c = run->applying; c; c = c->next) {
        if (c->claim_failed) continue;
        c->precommitted = true;
        coco__targets_stored(c);
        coco__emit(run, COCO_EV_PRECOMMIT, c, NULL);
    }
    for (; run->tombs_removed; run->tombs_removed = run->tombs_removed->next_removed) {
        coco__dbkey k;
        coco__place_key(&k, COCO__TOMBSTONE, &run->tombs_removed->at);
        coco__table_remove(&run->tomb_places, k.b, k.n);
    }
    coco__memos_written(run);
    coco__round_clear(run);
}

static void coco__committed(coco__comp *c)
{
    coco__run *run = c->run;

    run->inflight_bytes -= run->inflight_bytes < c->arena.total ? run->inflight_bytes : c->arena.total;
    for (coco__change *ch = c->owned.changes; ch; ch = ch->next)
        if (ch->child_fate == COCO__CHILD_GONE && ch->child && !ch->cancelled) ch->child->gone = true, run->epoch++;
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

coco_status coco_action_fail(coco_action *a, const coco_err *err)
{
    a->answer = err->code ? err->code : COCO_EFAIL;
    a->transient = err->transient;
    a->error = coco__strdup(a->target->run->mem, err->msg);
    return a->answer;
}

void coco_action_note(coco_action *a, const char *fmt, ...)
{
    char text[COCO_ERR_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    coco__free(a->target->run->mem, a->note);
    a->note = coco__strdup(a->target->run->mem, text);
}

static void coco__answers_clear(coco_action **v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        coco__free(v[i]->target->run->mem, v[i]->error);
        v[i]->error = NULL;
        v[i]->answer = COCO_UNANSWERED;
        v[i]->transient = false;
    }
}

/* Applies, and again what failed transiently, with exponential backoff and jitter within the sink's budget. */
static coco_status coco__apply_retry(coco__run *run, const coco_sink *sink, coco_action **v, size_t n, coco_err *err)
{
    uint64_t budget = (uint64_t)(sink->retry_ms ? sink->retry_ms : 10000) * 1000000u, begun = coco__monotonic_ns();
    unsigned wait = 20;

    for (;;) {
        memset(err, 0, offsetof(coco_err, msg) + 1);
        coco_status rc = sink->apply(sink->self, v, n, err);
        bool transient = rc != COCO_OK && err->transient;
        size_t left = 0;
        if (rc != COCO_OK && rc != err->code) coco_err_set(err, rc, "%s", coco_status_text(rc));
        for (size_t i = 0; i < n; i++) {
            if (v[i]->answer == COCO_UNANSWERED && rc == COCO_OK) v[i]->answer = COCO_OK;
            if (v[i]->answer < 0 && v[i]->transient) transient = true;
            if (v[i]->answer != COCO_OK) left++;
        }
        if (left == 0) return COCO_OK;
        if (!transient || coco__stopped(run) != COCO_OK || coco__monotonic_ns() - begun + wait * 1000000u > budget)
            return rc != COCO_OK ? rc : COCO_EFAIL;
        coco__sleep_ms(wait / 2 + (unsigned)(coco__random64() % (wait / 2 + 1)));
        wait = wait < 2000 ? wait * 2 : wait;
        for (size_t i = 0, kept = 0; i < n; i++) { /* the rest again, in the same order */
            if (v[i]->answer == COCO_OK) continue;
            coco_action *a = v[kept];
            v[kept++] = v[i];
            v[i] = a;
            if (i + 1 == n) n = kept;
        }
        while (n && v[n - 1]->answer == COCO_OK) n--;
        coco__answers_clear(v, n);
    }
}

/* The place of an action in its batch: containers created top down, deletes, upserts, containers deleted bottom up. */
static unsigned coco__order_of(const coco_action *a)
{
    bool delete = a->kind == COCO_DELETE;

    if (a->container) return delete ? 3000 - (a->depth < 500 ? a->depth : 500) : a->depth < 500 ? a->depth : 500;
    return delete ? 1000 : 2000;
}

typedef struct coco__batch {
    coco__comp **comps;
    size_t ncomps, cap_comps;
    coco_action **actions, **sorted;
    size_t n, cap;
    coco_sink **done; /* sinks that had their turn */
    size_t ndone, cap_done;
} coco__batch;

static bool coco__batch_add(const coco__mem *m, coco__batch *b, coco_action *a)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        coco_action **v = coco__realloc(m, b->actions, cap * sizeof(coco_action *));
        if (!v) return false;
        b->actions = v;
        if (!(v = coco__realloc(m, b->sorted, cap * sizeof(coco_action *)))) return false;
        b->sorted = v;
        b->cap = cap;
    }
    b->actions[b->n++] = a;
    return true;
}

/* A stable counting sort over the few places there are. */
static void coco__batch_sort(coco__batch *b)
{
    size_t out = 0;
    unsigned from = 0;

    while (out < b->n) {
        unsigned next = UINT32_MAX;
        for (size_t i = 0; i < b->n; i++) {
            unsigned order = coco__order_of(b->actions[i]);
            if (order >= from && order < next) next = order;
        }
        for (size_t i = 0; i < b->n; i++)
            if (coco__order_of(b->actions[i]) == next) b->sorted[out++] = b->actions[i];
        from = next + 1;
    }
}

static void coco__note_failure(coco__comp *c, const coco_action *a, const coco_err *err)
{
    coco__buf b;
    coco__buf key;

    if (c->apply_error) return;
    coco__buf_init(&b, c->run->mem), coco__buf_init(&key, c->run->mem);
    coco__key_put(&key, a->key);
    coco__state_name(&b, a->target, (coco_str){ (char *)key.p, key.n });
    coco__buf_printf(&b, ": %s", a->error ? a->error : err->msg[0] ? err->msg : coco_status_text(a->answer));
    c->apply_code = a->answer < 0 ? a->answer : err->code ? err->code : COCO_EFAIL;
    c->apply_error = coco__arena_copy(&c->arena, coco__buf_cstr(&b), strlen(coco__buf_cstr(&b)));
    if (!c->apply_error) c->apply_error = (char *)(uintptr_t)"";
    coco__buf_free(&b), coco__buf_free(&key);
}

static coco_sink *coco__sink_of(const coco__change *ch) { return ch->target->handler.sink; }

/* Puts the components' actions for one sink through it. Where a batch fails without saying which, each component goes
 * alone. */
static bool coco__batch_apply(coco__run *run, coco_sink *sink, coco__comp **comps, size_t n, coco__batch *b)
{
    coco_err err;
    bool answered = false;

    b->n = 0;
    for (size_t i = 0; i < n; i++)
        for (coco__change *ch = comps[i]->owned.changes; ch; ch = ch->next)
            if (ch->action && !ch->cancelled && coco__sink_of(ch) == sink && !coco__batch_add(run->mem, b, ch->action))
                return false;
    if (b->n == 0) return true;
    coco__answers_clear(b->actions, b->n);
    coco__batch_sort(b);
    coco_status rc = coco__apply_retry(run, sink, b->sorted, b->n, &err);
    for (size_t i = 0; i < b->n; i++) answered |= b->actions[i]->answer != COCO_UNANSWERED;
    if (rc != COCO_OK && !answered && n > 1) {
        for (size_t i = 0; i < n; i++)
            if (!coco__batch_apply(run, sink, &comps[i], 1, b)) return false;
        return true;
    }
    for (size_t i = 0; i < n; i++)
        for (coco__change *ch = comps[i]->owned.changes; ch; ch = ch->next) {
            if (!ch->action || ch->cancelled || coco__sink_of(ch) != sink) continue;
            if (ch->action->answer != COCO_OK) coco__note_failure(comps[i], ch->action, &err);
            coco__answers_clear(&ch->action, 1);
        }
    return true;
}

static bool coco__comp_weight(const coco__comp *c, const coco_sink *sink, size_t *n, size_t *bytes)
{
    *n = *bytes = 0;
    for (const coco__change *ch = c->owned.changes; ch; ch = ch->next)
        if (ch->action && !ch->cancelled && coco__sink_of(ch) == sink) ++*n, *bytes += ch->action->bytes;
    return *n != 0;
}

/* Batches of whole components within the sink's limits. */
static bool coco__sink_apply(coco__run *run, coco_sink *sink, coco__comp **comps, size_t ncomps, coco__batch *b)
{
    size_t max = sink->max_actions ? sink->max_actions : 1000,
           max_bytes = sink->max_bytes ? sink->max_bytes : (size_t)16 << 20;
    size_t from = 0, n = 0, bytes = 0, more, weight;

    for (size_t i = 0; i < ncomps; i++) {
        if (!coco__comp_weight(comps[i], sink, &more, &weight)) continue;
        if (n && (n + more > max || bytes + weight > max_bytes)) {
            if (!coco__batch_apply(run, sink, comps + from, i - from, b)) return false;
            from = i;
            n = bytes = 0;
        }
        n += more;
        bytes += weight;
    }
    return n == 0 || coco__batch_apply(run, sink, comps + from, ncomps - from, b);
}

/* The sink whose turn it is by the order in a batch: a container may belong to another sink than its content. */
static coco_sink *coco__next_sink(const coco__batch *b)
{
    coco_sink *best = NULL;
    unsigned order = UINT32_MAX;

    for (size_t i = 0; i < b->ncomps; i++)
        for (const coco__change *ch = b->comps[i]->owned.changes; ch; ch = ch->next) {
            size_t j = 0;
            if (!ch->action || ch->cancelled || coco__order_of(ch->action) >= order) continue;
            while (j < b->ndone && b->done[j] != coco__sink_of(ch)) j++;
            if (j == b->ndone) best = coco__sink_of(ch), order = coco__order_of(ch->action);
        }
    return best;
}

static bool coco__sink_done(const coco__mem *m, coco__batch *b, coco_sink *sink)
{
    if (b->ndone == b->cap_done) {
        size_t cap = b->cap_done ? b->cap_done * 2 : 8;
        coco_sink **v = coco__realloc(m, b->done, cap * sizeof(coco_sink *));
        if (!v) return false;
        b->done = v;
        b->cap_done = cap;
    }
    b->done[b->ndone++] = sink;
    return true;
}

static bool coco__apply_all(coco__run *run, coco__comp *list, coco__batch *b)
{
    coco_sink *sink;
    size_t n = 0;

    for (coco__comp *c = list; c; c = c->next) n++;
    if (n > b->cap_comps) {
        coco__comp **v = coco__realloc(run->mem, b->comps, n * sizeof(coco__comp *));
        if (!v) return false;
        b->comps = v;
        b->cap_comps = n;
    }
    b->ncomps = 0;
    for (coco__comp *c = list; c; c = c->next)
        if (!c->claim_failed) b->comps[b->ncomps++] = c;
    while ((sink = coco__next_sink(b)) != NULL)
        if (!coco__sink_done(run->mem, b, sink) || !coco__sink_apply(run, sink, b->comps, b->ncomps, b)) return false;
    return true;
}

/* Sets a component aside for a last try at the end. For those above it has failed; it no longer needs their memory. */
static coco_status coco__defer(coco__comp *c)
{
    coco__run *run = c->run;
    coco__comp *p = c->parent;
    coco__buf path;
    coco__catch **last = &c->catches;

    coco__buf_init(&path, run->mem);
    coco__comp_path(c, &path);
    c->path = (coco_str){ path.failed ? NULL : coco__arena_copy(&c->arena, path.p ? path.p : (const void *)"", path.n),
                          path.n };
    coco__buf_free(&path);
    for (const coco__catch *from = c->catches; from; from = from->up) {
        coco__catch *copy = coco__arena_copy(&run->arena, from, sizeof *from);
        if (!copy) return COCO_ENOMEM;
        *last = copy;
        last = &copy->up;
    }
    *last = NULL;
    if (!c->path.p) return COCO_ENOMEM;
    if (c->handle) c->handle->status = c->apply_code, c->handle->comp = NULL;
    c->handle = NULL;
    c->apply_error = NULL;
    c->node.up = NULL;
    c->parent = NULL;
    c->next = run->deferred;
    run->deferred = c;
    run->ndeferred++;
    if (!p) return COCO_OK;
    p->failed_below = true;
    if (--p->pending == 0 && p->state == COCO__WAITING) coco__submit(p);
    return COCO_OK;
}

static void coco__apply_failed(coco__comp *c, bool again)
{
    bool may = again && c->kind != COCO_MOUNT_USE && c->kind != COCO_MOUNT_ROOT && c->run->ndeferred < 1000;

    if (may && coco__defer(c) == COCO_OK) return;
    for (coco__change *ch = c->owned.changes; ch; ch = ch->next)
        /* nobody may declare into it */
        if (ch->child && ch->child->owner == c) ch->child->gone = ch->child->owner != NULL;
    coco__fail(c, c->apply_code, c->apply_error);
    coco__done(c);
}

static void coco__apply_list(coco__run *run, coco__comp *list, bool again)
{
    coco__batch b = { 0 };
    bool ok = coco__apply_all(run, list, &b);

    coco__free(run->mem, b.comps);
    coco__free(run->mem, b.actions);
    coco__free(run->mem, b.sorted);
    coco__free(run->mem, b.done);
    for (coco__comp *c = list, *next; c; c = next) {
        next = c->next;
        if (c->claim_failed || !ok) {
            coco__fail(c, c->claim_failed ? COCO_EDUP : COCO_ENOMEM, c->claim_failed ? c->claim_error : NULL);
            coco__done(c);
        } else if (c->apply_error) {
            coco__apply_failed(c, again);
        } else {
            coco__applied_counts(c);
            c->state = COCO__APPLIED;
            if (c->handle) c->handle->applied = true;
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

COCO__IN coco_status coco__flush(coco__run *run, bool last)
{
    coco__comp *lists[2] = { run->applied, run->open };
    coco__writer w = { coco__round_body, coco__round_undo, run, last || run->open != NULL };

    run->committing = run->applied;
    run->applying = run->open;
    run->applied = run->open = NULL;
    run->applied_last = &run->applied;
    run->open_last = &run->open;
    run->napplied = run->nopen = 0;
    run->round_ns = coco__monotonic_ns();
    if (run->fatal.code) return coco__round_failed(run, lists);
    if (run->preview) return COCO_OK;
    coco_status rc = COCO_OK;
    for (coco__comp *c = lists[0]; c && rc == COCO_OK; c = c->next) rc = coco__write_slices(run, c, true);
    for (coco__comp *c = lists[1]; c && rc == COCO_OK; c = c->next) rc = coco__write_slices(run, c, false);
    if (rc == COCO_OK) rc = coco__write(run->app, &w, &run->fatal);
    coco__slices_end(lists[0]);
    coco__slices_end(lists[1]);
    if (rc != COCO_OK) {
        run->committing = run->applying = NULL;
        if (!run->fatal.code) coco_err_set(&run->fatal, rc, "%s", coco_status_text(rc));
        return coco__round_failed(run, lists);
    }
    run->fatal.code = COCO_OK;
    run->unsynced = !w.durable;
    coco__round_stored(run);
    run->committing = run->applying = NULL;
    for (coco__comp *c = lists[0], *next; c; c = next) {
        next = c->next;
        coco__committed(c);
    }
    coco__apply_list(run, lists[1], true);
    return COCO_OK;
}

/* Is the place, or one above it, to be deleted? */
static coco_status coco__under_tomb(const coco__txn *t, const coco__place *place, bool *under)
{
    coco__place at = *place;
    coco__dbkey k;
    coco_str p;
    coco_status rc;

    for (*under = false;;) {
        coco__place_key(&k, COCO__TOMBSTONE, &at);
        rc = coco__get(t, &k, &p);
        *under = rc == COCO_OK;
        if (rc != COCO_ENOTFOUND || !at.parent) return rc == COCO_ENOTFOUND ? COCO_OK : rc;
        coco__dbkey_id(&k, COCO__PARENT, at.parent, NULL, 0);
        COCO_TRY(coco__get(t, &k, &p));
        COCO_TRY(coco__place_get(p, &at));
    }
}

COCO__IN bool coco__moved_away(coco__run *run, const coco__place *at)
{
    coco__dbkey k;

    if (!run->moves) return false;
    coco__place_key(&k, COCO__COMPONENT, at);
    return coco__table_get(&run->moved, k.b, k.n) != NULL;
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
        coco_status rc = coco__stored(run, &t, &m->from, &run->record, &rec);
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

/* Once more, together, what sinks refused: values may have been swapped between rows under a unique constraint, or a
 * delete may have made room since. In a preview, the components with deletes. */
COCO__IN coco_status coco__apply_deferred(coco__run *run)
{
    coco__comp *deferred = run->deferred;

    coco__comp *lists[2] = { deferred, NULL };

    run->deferred = NULL;
    run->ndeferred = 0;
    if (run->fatal.code) {
        coco__round_failed(run, lists);
        coco__drain(run);
        return run->fatal.code;
    }
    if (!run->preview) coco__apply_list(run, deferred, false);
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
