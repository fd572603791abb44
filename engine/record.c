/* record.c - what the submit of a component writes: records, tombstones, claims, precommit and commit.
 *
 * Floor: above target, below the rounds of submit.c, in whose transactions all of it happens, and whose crash protocol
 * it keeps. A record is read, changed and written again by whoever needs it within one transaction, so several changes
 * of one record in a round add up. The functions only read memory and the store and can be repeated: a transaction
 * that finds the map full is run again from the start. */
#include "engine.h"

COCO__IN coco_status coco__run_read(coco__run *run, coco__txn *t)
{
    return coco__read_begin(run->app, &run->reader, t, &run->cx_err);
}

COCO__IN void coco__run_read_end(coco__run *run, coco__txn *t) { coco__read_end(run->app, t); }

/* ---- Tombstones ---- */

COCO__IN coco_status coco__tomb_add(coco__run *run, const coco__place *at, bool self_only)
{
    coco__tomb *g;
    coco__dbkey k;

    coco__place_key(&k, COCO__TOMBSTONE, at);
    if (coco__table_get(&run->tomb_places, k.b, k.n)) return COCO_OK;
    if (!(g = coco__arena_alloc(run->passing, sizeof *g + k.n))) return COCO_ENOMEM;
    memset(g, 0, sizeof *g);
    memcpy(g->key, k.b, k.n);
    g->at.segment.p = g->key + 9; /* it is the end of the key, but for a long one */
    if (at->segment.n > COCO__CUT) g->at.segment.p = coco__arena_copy(run->passing, at->segment.p, at->segment.n);
    if (!g->at.segment.p || !coco__table_put(&run->tomb_places, g->key, k.n, g)) return COCO_ENOMEM;
    g->at.parent = at->parent;
    g->at.segment.n = at->segment.n;
    g->self_only = self_only;
    g->next = run->tombs;
    run->tombs = g;
    return COCO_OK;
}

COCO__IN void coco__out_of_memory(coco__run *run)
{
    if (!run->fatal.code) coco__no_memory(&run->fatal);
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
    return coco__put_buf(t, &k, b);
}

COCO__IN coco_status coco__tombs_write(coco__run *run, const coco__txn *t)
{
    coco__dbkey k;

    for (const coco__tomb *g = run->tombs_added; g; g = g->next_added) COCO_TRY(coco__tomb_put(run, t, g));
    for (coco__tomb *g = run->tombs_removed; g; g = g->next_removed) {
        coco__place_key(&k, COCO__TOMBSTONE, &g->at);
        COCO_TRY(coco__del(t, &k));
    }
    return COCO_OK;
}

COCO__IN coco_status coco__tombs_load(coco__run *run, const coco__txn *t)
{
    coco__dbkey prefix;
    coco__scan s;
    coco_str p;
    coco_status rc = COCO_OK;

    coco__dbkey_raw(&prefix, COCO__TOMBSTONE, NULL, 0);
    coco__scan_open(&s, t, &prefix, prefix.n);
    while (rc == COCO_OK && coco__scan_next(&s) && s.key.mv_size >= 9) {
        const char *k = s.key.mv_data;
        coco__place at = { coco__get_be64((const uint8_t *)k + 1), { k + 9, s.key.mv_size - 9 } };
        rc = coco__check_payload(t, &s.key, &s.data, &p);
        if (rc == COCO_OK && p.n > 1) at.segment = (coco_str){ p.p + 1, p.n - 1 };
        if (rc == COCO_OK) rc = coco__tomb_add(run, &at, p.n && p.p[0]);
    }
    run->tombs_loaded = run->tombs;
    return coco__scan_close(&s, rc);
}

/* ---- Records ---- */

static coco_status coco__record_copy(const coco__txn *t, const coco__dbkey *k, coco__buf *b, coco_str *payload)
{
    coco_status rc = coco__get(t, k, payload);

    if (b->failed) coco__buf_free(b);
    b->n = 0;
    if (rc == COCO_OK) coco__buf_put(b, payload->p, payload->n);
    *payload = (coco_str){ rc != COCO_OK ? NULL : b->p ? (char *)b->p : "", b->n };
    return b->failed ? COCO_ENOMEM : rc == COCO_ENOTFOUND ? COCO_OK : rc;
}

COCO__IN coco_status coco__run_get(coco__run *run, const coco__dbkey *k, coco__buf *b, coco_str *payload)
{
    coco__txn t;
    coco_status rc;

    *payload = (coco_str){ 0 };
    if (!run->app->has_dbi) return COCO_OK;
    COCO_TRY(coco__run_read(run, &t));
    rc = coco__record_copy(&t, k, b, payload);
    coco__run_read_end(run, &t);
    return rc;
}

COCO__IN coco_status coco__run_number(coco__run *run, const coco__dbkey *k, uint64_t *n)
{
    coco__txn t;
    coco_status rc;

    *n = 0;
    if (!run->app->has_dbi) return COCO_OK;
    COCO_TRY(coco__run_read(run, &t));
    rc = coco__get_number(&t, k, n);
    coco__run_read_end(run, &t);
    return rc;
}

COCO__IN coco_status coco__record_read(coco__run *run, const coco__place *at, coco__buf *b, coco_str *payload)
{
    coco__dbkey k;

    coco__place_key(&k, COCO__COMPONENT, at);
    return coco__run_get(run, &k, b, payload);
}

/* The stored record, copied; flags 0 if there is none. */
COCO__IN coco_status coco__stored(const coco__txn *t, const coco__place *at, coco__buf *copy, coco__rec *rec)
{
    coco__dbkey k;
    coco_str p;

    memset(rec, 0, sizeof *rec);
    coco__place_key(&k, COCO__COMPONENT, at);
    COCO_TRY(coco__record_copy(t, &k, copy, &p));
    return p.p ? coco__rec_get(p, rec, t->err) : COCO_OK;
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
    coco__place_key(&k, COCO__COMPONENT, at);
    return coco__put_buf(t, &k, b);
}

static coco_status coco__store_id(coco__run *run, const coco__txn *t, const coco__place *at, uint64_t id)
{
    coco__dbkey k;
    coco__buf *b = &run->scratch;

    b->n = 0;
    coco__place_put(b, at);
    coco__dbkey_id(&k, COCO__PARENT, id, NULL, 0);
    return coco__put_buf(t, &k, b);
}

/* Writes the node's id, and those above, where they aren't in the store. */
COCO__IN coco_status coco__node_persist(coco__run *run, const coco__txn *t, coco__node *node)
{
    coco__place at;
    coco__rec rec;

    if (!node || node->persisted) return COCO_OK;
    COCO_TRY(coco__node_persist(run, t, node->up));
    at = coco__place_of(node);
    COCO_TRY(coco__stored(t, &at, &run->above, &rec));
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

    coco__dbkey_id(&k, COCO__PARENT, id, NULL, 0);
    COCO_TRY(coco__record_copy(t, &k, &run->lookup, &p)); /* the place outlives puts */
    return p.p ? coco__place_get(p, at) : COCO_ENOTFOUND;
}

/* A move makes it pending, at a moment that chance decides: keeps whether it was so before. */
static coco_status coco__note_marked(coco__run *run, const coco__place *at, const coco__rec *rec)
{
    coco__dbkey k;
    char *key;

    coco__place_key(&k, COCO__COMPONENT, at);
    if (coco__table_get(&run->moved, k.b, k.n)) return COCO_OK;
    if (!(key = coco__arena_copy(run->passing, k.b, k.n))) return COCO_ENOMEM;
    void *was = rec->flags & COCO__R_PENDING ? &run->moved_states : &run->moved;
    return coco__table_put(&run->moved, key, k.n, was) ? COCO_OK : COCO_ENOMEM;
}

COCO__IN bool coco__moved_away(coco__run *run, const coco__place *at, bool *was_pending)
{
    coco__dbkey k;

    if (!run->moves) return false;
    coco__place_key(&k, COCO__COMPONENT, at);
    const void *was = coco__table_get(&run->moved, k.b, k.n);
    if (was_pending) *was_pending = was == &run->moved_states;
    return was != NULL;
}

/* A memo of a component above stands for what is being written: it must not hit until that component is committed
 * itself. With COCO__SETTLED it was, and may. */
COCO__IN coco_status coco__mark_above(coco__run *run, const coco__txn *t, uint64_t parent, coco__marks mark)
{
    bool pending = mark != COCO__SETTLED;
    coco__place at;
    coco__rec rec;

    for (int depth = 0; parent; depth++) {
        if (depth == COCO__DEEPEST) return coco_err_set(t->err, COCO_ECORRUPT, COCO__CIRCLE);
        coco_status rc = coco__place_of_id(run, t, parent, &at);
        if (rc == COCO_ENOTFOUND) return COCO_OK;
        COCO_TRY(rc);
        COCO_TRY(coco__stored(t, &at, &run->above, &rec));
        if (mark == COCO__MOVED) COCO_TRY(coco__note_marked(run, &at, &rec));
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
    if (c->under_tomb) return coco__mark_above(c->run, t, c->at.parent, COCO__UNSETTLED);
    if (c->node.up) COCO_TRY(coco__node_persist(c->run, t, c->node.up));
    if (!c->parent || c->parent->ancestors_marked) return COCO_OK;
    COCO_TRY(coco__mark_above(c->run, t, c->at.parent, COCO__UNSETTLED));
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
        bytes += coco__change_bytes(ch);
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

/* The claim fails: another component has the state or (NULL) what it is in is gone. */
static coco_status coco__claim_fails(coco__comp *c, const coco__change *ch, const char *other)
{
    coco__buf said;

    coco__buf_init(&said, c->run->mem);
    coco__state_name(&said, ch->target, ch->key);
    if (other) coco__buf_printf(&said, " is declared by %s too", other);
    else coco__buf_str(&said, " is declared into what is made anew");
    c->claim_error = coco__buf_take(&said, c->shared).p;
    c->claim_failed = other ? COCO_EDUP : COCO_ENOTFOUND;
    return COCO_OK;
}

/* The path of c, or of the record at `at`. */
static const char *coco__print_path(coco__run *run, const coco__comp *c, const coco__txn *t, const coco__place *at)
{
    coco__buf path;

    coco__buf_init(&path, run->mem);
    if (c) coco__node_path(&c->node, &path);
    else if (coco__place_path(t, at, &path) != COCO_OK) path.failed = true;
    coco__path_shown(&path);
    const char *out = coco__buf_take(&path, run->passing).p;
    return out ? out : "?";
}

/* The component recorded there, if it has run, or runs, and isn't committed yet. */
static coco__comp *coco__in_flight(const coco__run *run, const coco__place *at)
{
    coco__dbkey k;

    coco__place_key(&k, COCO__COMPONENT, at);
    coco__comp *c = coco__table_get(&run->in_flight, k.b, k.n);
    return c && !c->failed ? c : NULL;
}

/* Does it declare the state? After its function has returned, what is not declared any more has a change, or was
 * condemned before; what is declared, and was condemned, has one. */
static coco_status coco__declares(coco__comp *c, coco_str ekey, bool condemned, bool *declares)
{
    const coco__change *ch = coco__owned_changed(&c->owned, ekey);

    *declares = ch ? ch->record.p != NULL : !condemned;
    return ch || c->state != COCO__RUNNING ? COCO_OK : coco__owned_pin(&c->owned, ekey, declares);
}

static coco_status coco__note_move(coco__comp *c, coco__change *ch, const coco__txn *t, bool let_go)
{
    const coco__place *from = &ch->from->owner;
    coco__run *run = c->run;
    coco__moved *m = coco__table_get(&run->moved_states, ch->ekey.p, ch->ekey.n);
    coco__buf b;

    if (m) return COCO_OK; /* noted in a try that found the map full */
    coco__buf_init(&b, run->mem);
    coco__state_name(&b, ch->target, ch->key);
    if ((m = coco__arena_zalloc(run->passing, sizeof *m)) != NULL) {
        m->ekey = coco__arena_str(run->passing, ch->ekey);
        m->from = (coco__place){ from->parent, coco__arena_str(run->passing, from->segment) };
        m->state = coco__buf_take(&b, run->passing).p;
        m->from_path = coco__print_path(run, NULL, t, from);
        m->to_path = coco__print_path(run, c, NULL, NULL);
    }
    coco__buf_free(&b);
    if (!m || !m->ekey.p || !m->from.segment.p || !m->state ||
        !coco__table_put(&run->moved_states, m->ekey.p, m->ekey.n, m))
        return COCO_ENOMEM;
    m->reported = let_go;
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

/* Takes the state out of its owner's record: the owner runs again next time, and so does what has a memo above it;
 * unless it ran in this update and only keeps a container whose delete waits for the end. */
static coco_status coco__take(coco__comp *c, coco__change *ch, const coco__txn *t)
{
    coco__run *run = c->run;
    const coco__place *owner = &ch->from->owner;
    coco__comp *other = coco__in_flight(run, owner);
    coco__change *lost;
    coco__rec rec;

    COCO_TRY(coco__stored(t, owner, &run->record, &rec));
    COCO_TRY(coco__entry_remove(t, &rec, ch->ekey, &run->merge));
    bool let_go = other || (ch->from->condemned && rec.run == run->number);
    if (!let_go) COCO_TRY(coco__note_marked(run, owner, &rec));
    rec.flags |= COCO__R_PENDING;
    if (rec.nstates) rec.nstates--;
    COCO_TRY(coco__store_rec(run, t, owner, &rec));
    COCO_TRY(coco__mark_above(run, t, owner->parent, let_go ? COCO__UNSETTLED : COCO__MOVED));
    COCO_TRY(coco__note_move(c, ch, t, let_go));
    if (!other) return COCO_OK;
    lost = coco__owned_changed(&other->owned, ch->ekey); /* it lets go: the claim has seen to that */
    if (!lost && !(lost = coco__owned_change(&other->owned, ch->ekey))) return COCO_ENOMEM;
    lost->was = lost->cancelled = true;
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

    COCO_TRY(coco__stored(t, from, &run->record, &rec));
    if (!(rec.flags & COCO__R_COMPONENT)) return COCO_OK;
    COCO_TRY(coco__entry_get(t, &rec, ch->ekey, c->shared, &value));
    if (!value.p) return COCO_OK;
    COCO_TRY(coco__state_get(rec.flags, ch->ekey, value, now));
    if (m && strcmp(m->to_path, coco__print_path(run, c, NULL, NULL)) != 0) return coco__claim_fails(c, ch, m->to_path);
    /* it came to be since the declaration */
    if (!ch->from) return coco__claim_fails(c, ch, coco__print_path(run, NULL, t, from));
    if (other) COCO_TRY(coco__declares(other, ch->ekey, now->condemned, &declares));
    if (declares) return coco__claim_fails(c, ch, coco__print_path(run, other, NULL, NULL));
    if (run->only.p) {
        coco__buf path;
        coco__buf_init(&path, run->mem);
        bool below = coco__place_path(t, from, &path) == COCO_OK && path.n >= run->only.n &&
                     memcmp(path.p, run->only.p, run->only.n) == 0;
        coco__buf_free(&path);
        if (!below) return coco__claim_fails(c, ch, coco__print_path(run, NULL, t, from));
    }
    ch->from->owner = *from;
    ch->from->condemned = now->condemned;
    ch->moved = true;
    return COCO_OK;
}

/* What the index says of the state now: *now is what another component has recorded of it. */
static coco_status coco__claim_owner(coco__comp *c, coco__change *ch, const coco__txn *t, coco__state *now)
{
    coco__place from;

    if (coco__owner_none(ch->target, ch->ekey)) return COCO_OK;
    coco_status rc = coco__owner_get(t, ch->ekey, &from);
    if (rc != COCO_OK) return rc == COCO_ENOTFOUND ? COCO_OK : rc;
    if (coco__place_equal(&from, &c->at)) return COCO_OK;
    from.segment = coco__arena_str(c->shared, from.segment);
    return from.segment.p ? coco__claim_from(c, ch, t, &from, now) : COCO_ENOMEM;
}

static coco_status coco__claim(coco__comp *c, coco__change *ch, const coco__txn *t)
{
    coco__run *run = c->run;
    coco__comp *first = run->slice ? NULL : coco__table_get(&run->claims, ch->ekey.p, ch->ekey.n);
    coco__state now = { 0 };

    ch->moved = false;
    if (first && first != c) return coco__claim_fails(c, ch, coco__print_path(run, first, NULL, NULL));
    if (!run->slice && !coco__table_put(&run->claims, ch->ekey.p, ch->ekey.n, c)) return COCO_ENOMEM;
    COCO_TRY(coco__claim_owner(c, ch, t, &now));
    if (ch->child) coco__found_possible(ch->replaced ? ch->replaced : ch->child, &now);
    if (c->claim_failed || !ch->from || ch->user_managed || coco__same_possible(&now, coco__old_of(ch)))
        return COCO_OK;
    return coco__reclaim(c, ch, &now);
}

COCO__IN coco_status coco__claims(coco__comp *c, const coco__txn *t)
{
    const coco_target *last = NULL;
    bool moved = false;

    for (coco__change *ch = c->owned.changes; ch && !c->claim_failed; last = ch->target, ch = ch->next) {
        if (ch->target != last && ch->record.p && coco__target_gone(ch->target))
            COCO_TRY(coco__claim_fails(c, ch, NULL));
        else if (ch->claimed && ch->target) COCO_TRY(coco__claim(c, ch, t));
        moved |= ch->moved;
    }
    for (coco__change *ch = c->owned.changes; moved && ch && !c->claim_failed; ch = ch->next)
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
    const coco_target *last = NULL;

    for (coco__change *ch = c->owned.changes; ch; ch = ch->next) {
        if (!ch->target || ch->cancelled) continue;
        if (ch->child || ch->target != last) COCO_TRY(coco__precommit_provider(ch, t));
        last = ch->target;
        if (ch->was || !ch->record.p) continue;
        COCO_TRY(coco__owner_put(t, ch->target, ch->ekey, &c->at));
        rec->nstates++;
        if (!ch->moved) coco__target_count(ch->target, 1);
    }
    return COCO_OK;
}

COCO__IN coco_status coco__precommit(coco__comp *c, const coco__txn *t)
{
    coco__rec rec;

    COCO_TRY(coco__write_above(c, t));
    COCO_TRY(coco__stored(t, &c->at, &c->run->record, &rec));
    if (!(rec.flags & COCO__R_COMPONENT)) COCO_TRY(coco__header(c, &rec));
    COCO_TRY(coco__need_id(c, t, &rec));
    COCO_TRY(coco__precommit_states(c, t, &rec));
    COCO_TRY(coco__owned_write(&c->owned, t, &rec, c->all_new, &c->run->merge));
    rec.flags |= COCO__R_PENDING;
    if (c->all_new) rec.flags |= COCO__R_NEW;
    return coco__store_rec(c->run, t, &c->at, &rec);
}

/* ---- Commit ---- */

/* The state leaves the index, and the count of its target: what a destroyed container took along has left both. */
static coco_status coco__owner_remove(coco__comp *c, const coco__change *ch, const coco__txn *t)
{
    coco__dbkey k;
    coco__place at;
    coco_status rc = coco__owner_get(t, ch->ekey, &at);

    if (rc != COCO_OK) return rc == COCO_ENOTFOUND ? COCO_OK : rc;
    if (!coco__place_equal(&at, &c->at)) return COCO_OK;
    coco__target_count(ch->target, -1);
    coco__dbkey_raw(&k, COCO__OWNER, ch->ekey.p, ch->ekey.n);
    return coco__del(t, &k);
}

/* What a committed change means outside the entry itself: use counts, index, counts of states, providers. */
COCO__IN coco_status coco__commit_change(coco__comp *c, coco__change *ch, const coco__txn *t, coco__rec *rec)
{
    coco_str key;
    uint64_t space = coco__space_of(ch->ekey, &key);

    if (space == COCO__S_USE && ch->was != (ch->after.p != NULL))
        return coco__memo_use(t, key.p, ch->after.p ? 1 : -1);
    if (space == COCO__S_MEMO) {
        if (ch->record.p) COCO_TRY(coco__memo_set_use(c->run, ch->record, -1));
        return ch->after.p ? coco__memo_set_use(c->run, ch->after, 1) : COCO_OK;
    }
    if (space < COCO__S_FIRST_PROVIDER) return COCO_OK;
    if (ch->child_fate == COCO__CHILD_GONE && ch->child && !ch->cancelled)
        COCO_TRY(coco__provider_destroy(t, coco__target_now(ch->child)));
    /* given to the user or taken back without an action: its precommit was none */
    if (ch->child && !ch->action && coco__change_stays(ch) && ch->child_fate != COCO__CHILD_GONE)
        COCO_TRY(coco__provider_write(t, ch->child));
    if (coco__change_stays(ch) || !ch->was) return COCO_OK;
    if (rec->nstates && !ch->cancelled) rec->nstates--;
    return ch->is_void || ch->cancelled ? COCO_OK : coco__owner_remove(c, ch, t);
}

COCO__IN coco_status coco__commit_set(coco__run *run, const coco__rec *old, coco__depset *now)
{
    coco__depset *set = NULL;

    if (old->flags & (COCO__R_MEMO | COCO__R_FAILED)) {
        if (now && old->depset == now->id) return COCO_OK;
        COCO_TRY(coco__depset_load(run, old->depset, &set));
        if (set) coco__depset_use(run, set, -1);
    }
    if (now) coco__depset_use(run, now, 1);
    return COCO_OK;
}

static coco_status coco__commit_memo(coco__comp *c, coco__rec *rec)
{
    uint32_t keeps = c->fresh.flags & (COCO__R_MEMO | COCO__R_FAILED), below = c->fresh.flags & COCO__R_BELOW;

    if (c->restamp) {
        rec->states = c->fresh.states;
        return COCO_OK;
    }
    COCO_TRY(coco__commit_set(c->run, rec, keeps ? c->set : NULL));
    rec->flags = (rec->flags & ~(uint32_t)(COCO__R_MEMO | COCO__R_FAILED | COCO__R_BELOW)) | keeps | below;
    rec->argkey = c->fresh.argkey;
    rec->states = c->fresh.states;
    rec->result = c->fresh.result;
    rec->depset = keeps ? c->set->id : 0;
    rec->fail_count = c->fresh.fail_count;
    rec->fail_time = c->fresh.fail_time;
    return COCO_OK;
}

COCO__IN coco_status coco__commit_gone(coco__comp *c, const coco__txn *t)
{
    for (const coco__tomb *g = c->gone; g; g = g->next) COCO_TRY(coco__tomb_put(c->run, t, g));
    return COCO_OK;
}

COCO__IN coco_status coco__commit(coco__comp *c, const coco__txn *t)
{
    bool part = c->run->slice;
    coco__rec rec;

    COCO_TRY(coco__write_above(c, t));
    COCO_TRY(coco__stored(t, &c->at, &c->run->record, &rec));
    if (c->deleting) return coco__commit_removal(c, t, &rec);
    COCO_TRY(coco__need_id(c, t, &rec));
    for (coco__change *ch = c->owned.changes; ch && !c->all_new; ch = ch->next)
        COCO_TRY(coco__commit_change(c, ch, t, &rec));
    if (!c->all_new) COCO_TRY(coco__owned_write(&c->owned, t, &rec, true, &c->run->merge));
    if (!c->restamp && !((part || c->failed) && (rec.flags & COCO__R_COMPONENT))) COCO_TRY(coco__header(c, &rec));
    if (part) rec.flags |= COCO__R_PENDING;
    else COCO_TRY(coco__commit_memo(c, &rec));
    if (!part && !c->failed && !c->restamp) {
        rec.flags &= ~(uint32_t)(COCO__R_PENDING | COCO__R_NEW);
        if (c->condemns) rec.flags |= COCO__R_PENDING;
        COCO_TRY(coco__commit_gone(c, t));
    }
    return coco__store_rec(c->run, t, &c->at, &rec);
}
