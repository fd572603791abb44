/* remove.c - tombstones, the guard against mass deletion, and deletes.
 *
 * Floor: above submit. After the root has been submitted, what is gone is worked off in passes over the tombstoned
 * subtrees, each through ordinary rounds, so that a delete is precommitted, applied and committed as all changes are:
 *   1. count what would go, and let the guard look (S3.10): what it stops stays, the rest of a component goes;
 *   2. content: states that are no containers, children's components first;
 *   3. containers, deepest first, also those that running components no longer declare; none in which a delete failed;
 *   4. void content: what stood below a container that took it along is dropped;
 *   5. records: a component's goes when it has no states and no children left (invariant 4), inner nodes with their
 *      last child. What failed stays recorded under its tombstone for the next update. */
#include "engine.h"

/* ---- Walking recorded subtrees, children first ---- */

typedef struct coco__visit {
    const coco__tomb *tomb; /* that stands there, or above */
    const coco__place *at;
    coco_str payload, path; /* record; encoded path */
} coco__visit;
typedef coco_status (*coco__visit_fn)(void *self, coco__run *run, const coco__visit *v);

typedef struct coco__walk {
    coco__run *run;
    coco__visit_fn fn;
    void *self;
    const coco__tomb *tomb;
    unsigned depth;
} coco__walk;

static coco_status coco__walk_at(coco__walk *w, const coco__place *at, coco_str payload);

static coco_status coco__walk_children(coco__walk *w, uint64_t id)
{
    coco__stream s;
    coco__place at = { .parent = id };
    coco_status rc = COCO_OK;
    coco__buf *path = &w->run->tomb_path;
    size_t before = path->n;

    coco__stream_open(&s, w->run, id);
    while (rc == COCO_OK && coco__stream_next(&s)) {
        at.segment = s.segment;
        coco__buf_put(path, at.segment.p, at.segment.n);
        rc = path->failed ? COCO_ENOMEM : coco__walk_at(w, &at, s.payload);
        path->n = before;
    }
    return coco__stream_close(&s, rc);
}

static coco_status coco__walk_at(coco__walk *w, const coco__place *at, coco_str payload)
{
    coco__visit v = { w->tomb, at, payload, { 0 } };
    const coco__buf *path = &w->run->tomb_path;
    coco__rec rec;

    if (!payload.p) return COCO_OK; /* damaged: it stays, `check` names it */
    COCO_TRY(coco__rec_get(payload, &rec, &w->run->cx_err));
    if (w->depth == COCO__DEEPEST) return coco_err_set(&w->run->cx_err, COCO_ECORRUPT, COCO__CIRCLE);
    w->depth++;
    if ((rec.flags & COCO__R_ID) && !w->tomb->self_only) COCO_TRY(coco__walk_children(w, rec.id));
    w->depth--;
    v.path = (coco_str){ path->p ? (char *)path->p : "", path->n };
    return w->fn(w->self, w->run, &v);
}

/* The path of a place, in run->tomb_path: of most, as of the one before, all but the last segment is known. */
static coco_status coco__tomb_path(coco__run *run, const coco__place *at)
{
    coco__buf *path = &run->tomb_path;
    bool known = at->parent == run->tomb_parent;
    coco_status rc = COCO_OK;
    coco__txn t;

    path->n = known ? run->tomb_up : 0;
    run->tomb_parent = run->tomb_up = 0; /* where the root stands */
    if (known) coco__buf_put(path, at->segment.p, at->segment.n);
    else COCO_TRY(coco__run_read(run, &t));
    if (!known) rc = coco__place_path(&t, at, path), coco__run_read_end(run, &t);
    if (path->failed) return coco__buf_free(path), COCO_ENOMEM;
    if (rc == COCO_OK) run->tomb_parent = at->parent, run->tomb_up = path->n - at->segment.n;
    return rc;
}

static coco_status coco__walk_tomb(coco__run *run, const coco__tomb *g, coco__visit_fn fn, void *self)
{
    coco__walk w = { run, fn, self, g, 0 };
    coco__buf record;
    coco_str payload;
    coco_status rc;

    if (g->removed || g->kept) return COCO_OK;
    coco__buf_init(&record, run->mem);
    rc = coco__record_read(run, &g->at, &record, &payload);
    if (rc == COCO_OK && payload.p) rc = coco__tomb_path(run, &g->at);
    if (rc == COCO_OK) rc = coco__walk_at(&w, &g->at, payload);
    coco__buf_free(&record);
    return rc == COCO_ENOTFOUND ? COCO_OK : rc;
}

static coco_status coco__walk_tombs(coco__run *run, coco__visit_fn fn, void *self)
{
    for (coco__tomb *g = run->tombs; g; g = g->next) COCO_TRY(coco__walk_tomb(run, g, fn, self));
    return COCO_OK;
}

/* ---- A component that is deleted ---- */

static coco_status coco__removal_new(coco__run *run, const coco__visit *v, coco__comp **out)
{
    coco__comp *c = *out = coco__comp_new(run);
    coco_status rc;

    if (!c) return COCO_ENOMEM;
    c->kind = COCO_MOUNT_DELETE;
    c->deleting = true;
    c->under_tomb = v->at != &v->tomb->at;
    c->op = v->tomb->op;
    c->at = (coco__place){ v->at->parent, coco__arena_str(c->shared, v->at->segment) };
    c->path = coco__arena_str(c->shared, v->path);
    rc = c->at.segment.p && c->path.p ? coco__comp_load(c, v->payload) : COCO_ENOMEM;
    c->fn = coco__fn_named(coco__name_of(run, c->rec.fn));
    if (rc == COCO_OK) coco__owned_init(&c->owned, run, c->shared, &c->rec);
    else coco__comp_free(c);
    return rc;
}

static coco_status coco__block_entry(void *self, const coco__entry *e)
{
    coco_target *t = NULL;
    uint64_t space = coco__space_of(e->ekey, NULL);

    if (space >= COCO__S_FIRST_PROVIDER) COCO_TRY(coco__target_by_id(((coco__comp *)self)->run, space, &t));
    coco__target_block(t, false);
    return COCO_OK;
}

/* Sends a component's deletes into the next round, or reports why they can't be made. */
static coco_status coco__removal_go(coco__comp *c, coco_status rc)
{
    coco__run *run = c->run;

    if (rc != COCO_OK) {
        coco__owned_each(&c->owned, false, coco__block_entry, c);
        coco__fail(c, rc, run->cx->said == rc ? coco_error_message(run->cx) : NULL);
    } else if (run->preview) {
        coco__preview_apply(c);
    } else if (c->owned.nchanges || c->last_delete) {
        coco__queue(c);
        return run->nopen + run->napplied >= run->app->config.max_inflight ? coco__flush(run, false) : COCO_OK;
    }
    coco__done(c);
    return rc == COCO_ENOMEM ? rc : COCO_OK;
}

static coco_status coco__has_children(const coco__txn *t, uint64_t id, bool *has)
{
    coco__dbkey k;
    coco_status rc;

    coco__dbkey_id(&k, COCO__COMPONENT, id, NULL, 0);
    rc = id ? coco__first(t, &k, NULL) : COCO_ENOTFOUND;
    *has = rc == COCO_OK;
    return rc == COCO_ENOTFOUND ? COCO_OK : rc;
}

static coco_status coco__drop_record(coco__run *run, const coco__txn *t, const coco__place *at, const coco__rec *rec)
{
    coco__dbkey k;

    COCO_TRY(coco__commit_set(run, rec, NULL));
    const enum coco__kind with_id[] = { COCO__PAGE, COCO__PARENT, COCO__LIVE };
    for (size_t i = 0; (rec->flags & COCO__R_ID) && i < sizeof with_id / sizeof with_id[0]; i++)
        COCO_TRY(coco__del_id(t, with_id[i], rec->id));
    coco__place_key(&k, COCO__COMPONENT, at);
    COCO_TRY(coco__del(t, &k));
    k.b[0] = COCO__TOMBSTONE; /* it goes with what it stands on, also where that is an inner node that is empty now */
    return coco__del(t, &k);
}

/* Inner nodes go with their last child; but not that of a source that is followed, which may give another one. */
static coco_status coco__drop_empty(coco__run *run, const coco__txn *t, uint64_t id)
{
    coco__rec rec;
    coco__place at;
    bool has;

    while (id && !coco__live_holds(run, id)) {
        coco_status rc = coco__has_children(t, id, &has);
        if (rc == COCO_OK && !has) rc = coco__place_of_id(run, t, id, &at);
        if (has || rc == COCO_ENOTFOUND) return COCO_OK;
        COCO_TRY(rc);
        COCO_TRY(coco__stored(t, &at, &run->record, &rec));
        if ((rec.flags & COCO__R_COMPONENT) || rec.id != id) return COCO_OK; /* or it wouldn't end */
        COCO_TRY(coco__drop_record(run, t, &at, &rec));
        id = at.parent;
    }
    return COCO_OK;
}

COCO__IN coco_status coco__commit_removal(coco__comp *c, const coco__txn *t, coco__rec *rec)
{
    if (!rec->flags) return COCO_OK; /* a last try, and meanwhile it went with its container */
    for (coco__change *ch = c->owned.changes; ch; ch = ch->next) {
        coco_str there = ch->ekey;
        /* so may have a part of it */
        if (c->apply_code) COCO_TRY(coco__entry_get(t, rec, ch->ekey, c->shared, &there));
        ch->cancelled |= !there.p;
        COCO_TRY(coco__commit_change(c, ch, t, rec));
    }
    if (!c->last_delete || rec->nstates || (rec->flags & COCO__R_ID)) {
        COCO_TRY(coco__owned_write(&c->owned, t, rec, true, &c->run->merge));
        return coco__store_rec(c->run, t, &c->at, rec);
    }
    c->removed = true;
    COCO_TRY(coco__drop_record(c->run, t, &c->at, rec));
    return coco__drop_empty(c->run, t, c->at.parent);
}

static void coco__count_removed(coco__comp *c)
{
    coco__maps_drop(c->run, &c->at, 0);
    if (!(c->rec.flags & COCO__R_COMPONENT)) return;
    coco__count_fn(c->run->app, c->fn, COCO__DELETED, 1);
    coco__emit(c->run, COCO_EV_DELETED, c, NULL);
}

COCO__IN void coco__removal_committed(coco__comp *c)
{
    coco__emit(c->run, COCO_EV_COMMITTED, c, NULL);
    if (!c->removed) return;
    coco__count_removed(c);
    coco__tomb_remove(c->run, &c->at);
}

/* ---- Counting, and the guard ---- */

typedef struct coco__count {
    coco__run *run;
    bool touches; /* a tripped target */
    bool looking;
} coco__count;

/* The state that an entry stands for, and where; *t NULL: none, or nowhere. */
static coco_status coco__entry_state(coco__run *run, const coco__entry *e, coco_target **t, coco__state *s)
{
    uint64_t space = coco__space_of(e->ekey, NULL);

    *t = NULL;
    if (space < COCO__S_FIRST_PROVIDER) return COCO_OK;
    COCO_TRY(coco__target_by_id(run, space, t));
    return *t ? coco__state_get(0, e->ekey, e->value, s) : COCO_OK;
}

static coco_status coco__count_entry(void *self, const coco__entry *e)
{
    coco__count *n = self;
    coco_target *t, *child;
    coco__state s;

    COCO_TRY(coco__entry_state(n->run, e, &t, &s));
    if (!t || coco__table_get(&n->run->claims, e->ekey.p, e->ekey.n)) return COCO_OK; /* claims: of a preview */
    if (!n->looking) t->top->doomed++;
    n->touches |= t->top->tripped;
    if (!s.container || s.user_managed) return COCO_OK;
    COCO_TRY(coco__target_at(n->run, t, s.key, false, &child));
    child->condemned = true;
    n->touches |= child->top->tripped;
    return COCO_OK;
}

static coco_status coco__count_visit(void *self, coco__run *run, const coco__visit *v)
{
    coco__comp *c;
    coco_status rc;

    COCO_TRY(coco__removal_new(run, v, &c));
    rc = coco__owned_each(&c->owned, false, coco__count_entry, self);
    coco__comp_free(c);
    return rc;
}

static void coco__guard_trip(coco__run *run, const coco_target *top, uint64_t all)
{
    coco_err why;
    coco_failure f = { .path = "/", .function = "", .kind = COCO_MOUNT_DELETE, .code = COCO_EGUARD,
                       .message = why.msg };

    coco_err_set(&why, COCO_EGUARD,
                 "target %s: %llu of %llu states would be deleted; nothing of it was (--allow-delete lets it pass)",
                 top->title, (unsigned long long)top->doomed, (unsigned long long)all);
    if (!run->guard) run->guard_err = why;
    run->guard = true;
    coco__fail_path(run, &f, NULL);
}

static coco_status coco__guard_look(coco__run *run)
{
    const coco_app_config *config = &run->app->config;
    uint64_t limit = config->guard_states ? config->guard_states : 1000, all;
    unsigned percent = config->guard_percent ? config->guard_percent : 50;
    bool open = run->dropping || run->opts.allow_delete;
    coco__dbkey k;

    for (coco_target *t = run->known_targets; t; t = t->next) {
        bool goes = t->condemned && t->stored && t->top == t && !coco__target_gone(t);
        if (!goes && (open || t->doomed <= limit)) continue;
        coco__dbkey_id(&k, COCO__COUNT_OF, t->id, NULL, 0);
        COCO_TRY(coco__run_number(run, &k, &all));
        if (goes && t->doomed < all) t->doomed = all; /* a container that goes takes at least that along */
        if (open || t->doomed <= limit) continue;
        t->tripped = t->doomed * 100 > all * percent;
        if (t->tripped) coco__guard_trip(run, t, all);
    }
    return COCO_OK;
}

/* A condemned container as its component has it recorded; value.p NULL: another component claimed it since, or it is
 * gone. */
static coco_status coco__condemned_read(coco__run *run, const coco__condemned *d, coco__buf *payload, coco_str *value)
{
    coco__rec rec;
    coco__txn t;
    coco_status rc;

    *value = (coco_str){ 0 };
    if (coco__table_get(&run->claims, d->ekey.p, d->ekey.n)) return COCO_OK; /* in a preview */
    COCO_TRY(coco__run_read(run, &t));
    rc = coco__stored(&t, &d->at, payload, &rec);
    if (rc == COCO_OK && rec.flags) rc = coco__entry_get(&t, &rec, d->ekey, run->passing, value);
    coco__run_read_end(run, &t);
    return rc;
}

static coco_status coco__guard(coco__run *run)
{
    coco__count count = { .run = run };

    for (coco_target *t = run->known_targets; t; t = t->next) t->doomed = 0;
    COCO_TRY(coco__walk_tombs(run, coco__count_visit, &count));
    for (coco__condemned *d = run->condemned; d; d = d->next) {
        coco__state s;
        coco_str value;
        COCO_TRY(coco__condemned_read(run, d, &run->record, &value));
        if (!value.p) continue;
        COCO_TRY(coco__state_get(0, d->ekey, value, &s));
        if (!s.user_managed) coco__target_now(d->child)->condemned = true;
    }
    return coco__guard_look(run);
}

/* Does the guard hold back one of its states? */
static coco_status coco__held(coco__comp *c, bool *held)
{
    coco__count look = { .run = c->run, .looking = true };
    coco_status rc = c->run->guard ? coco__owned_each(&c->owned, false, coco__count_entry, &look) : COCO_OK;

    *held = look.touches;
    return rc;
}

/* One pass over recorded components, in which `entry` turns what is to go of one into changes. */
typedef struct coco__removing {
    coco__entry_fn entry;
    coco__comp *comp;
    bool content;            /* a component without children goes with it */
    bool only_void;          /* the pass after the containers */
    bool held;               /* the component stays, with what it has of its own: it may be mounted again */
    uint32_t depth, deepest; /* of containers */
    const coco_target *forgotten;
} coco__removing;

static coco_status coco__removing_visit(void *self, coco__run *run, const coco__visit *v)
{
    coco__removing *n = self;
    coco_status rc;

    COCO_TRY(coco__removal_new(run, v, &n->comp));
    if (!(n->comp->rec.flags & COCO__R_COMPONENT) || !(n->content || n->comp->rec.nstates)) {
        coco__comp_free(n->comp);
        return COCO_OK;
    }
    rc = n->content ? coco__held(n->comp, &n->held) : COCO_OK;
    n->comp->last_delete = n->content && !n->held && !(n->comp->rec.flags & COCO__R_ID);
    if (rc == COCO_OK) rc = coco__owned_each(&n->comp->owned, false, n->entry, n);
    return coco__removal_go(n->comp, rc);
}

/* ---- Content ---- */

static coco_status coco__content_entry(void *self, const coco__entry *e)
{
    coco__removing *n = self;
    coco_target *t = NULL;
    uint64_t space = coco__space_of(e->ekey, NULL);

    if (n->held && space < COCO__S_FIRST_PROVIDER) return COCO_OK;
    if (n->held) COCO_TRY(coco__target_by_id(n->comp->run, space, &t));
    if (t && t->top->tripped) return COCO_OK;
    return coco__declare_gone(n->comp, e, n->only_void ? COCO__DEL_VOID : COCO__DEL_CONTENT);
}

/* ---- Containers ---- */

/* Is a container in place to stay: by the guard, or because a delete in it failed, or its own, which waits? */
static bool coco__stays(const coco_target *place, const coco_target *child)
{
    bool blocked = child->refused || (child->blocked && !place->handler.drop_removes_content);

    place->run->blocked |= blocked;
    return blocked || child->top->tripped || place->top->tripped;
}

static coco_status coco__container_entry(void *self, const coco__entry *e)
{
    coco__removing *d = self;
    coco_target *t, *child;
    coco__state s;

    COCO_TRY(coco__entry_state(d->comp->run, e, &t, &s));
    if (!t || !s.container) return COCO_OK;
    if (t->depth > d->deepest) d->deepest = t->depth;
    if (t->depth != d->depth) return COCO_OK;
    COCO_TRY(coco__target_at(d->comp->run, t, s.key, false, &child));
    return coco__stays(t, child) ? COCO_OK : coco__declare_gone(d->comp, e, COCO__DEL_CONTAINER);
}

/* The containers at one depth that running components no longer declare. */
static coco_status coco__condemned_at(coco__run *run, uint32_t depth)
{
    for (coco__condemned *d = run->condemned; d; d = d->next) {
        coco__comp *c;
        coco__entry e = { d->ekey, { 0 } };
        coco__buf payload;
        if (d->place->depth != depth || coco__stays(d->place, coco__target_now(d->child))) continue;
        coco__buf_init(&payload, run->mem);
        coco_status rc = coco__condemned_read(run, d, &payload, &e.value);
        coco__tomb none = { .at = d->at };
        coco__visit v = { &none, &none.at, coco__buf_view(&payload), d->path };
        if (rc == COCO_OK && e.value.p) {
            rc = coco__removal_new(run, &v, &c);
            if (rc == COCO_OK) rc = coco__removal_go(c, coco__declare_gone(c, &e, COCO__DEL_CONTAINER));
        }
        coco__buf_free(&payload);
        COCO_TRY(rc);
    }
    return COCO_OK;
}

static coco_status coco__containers(coco__run *run)
{
    coco__removing d = { .entry = coco__container_entry, .depth = UINT32_MAX };

    COCO_TRY(coco__walk_tombs(run, coco__removing_visit, &d)); /* matches no depth: finds the deepest */
    for (coco__condemned *c = run->condemned; c; c = c->next)
        if (c->place->depth > d.deepest) d.deepest = c->place->depth;
    for (d.depth = d.deepest;; d.depth--) {
        COCO_TRY(coco__walk_tombs(run, coco__removing_visit, &d));
        COCO_TRY(coco__condemned_at(run, d.depth));
        COCO_TRY(coco__drain(run));
        if (d.depth == 0) return COCO_OK;
    }
}

COCO__IN void coco__condemned_add(coco__comp *c)
{
    coco__run *run = c->run;

    for (coco__condemned *d = c->condemned, *next; d; d = next) {
        coco__buf path;
        next = d->next;
        coco__buf_init(&path, run->mem);
        coco__node_path(&c->node, &path);
        d->path = coco__buf_take(&path, run->passing);
        d->at = (coco__place){ c->at.parent, coco__arena_str(run->passing, c->at.segment) };
        /* the component stays pending: the next update does it */
        if (!d->path.p || !d->at.segment.p) coco__out_of_memory(run);
        if (!d->path.p || !d->at.segment.p) return;
        d->next = run->condemned;
        run->condemned = d;
    }
}

/* ---- Records ---- */

typedef struct coco__sweep {
    coco__place at;
    bool self_only, removed;
} coco__sweep;

static coco_status coco__sweep_one(coco__run *run, const coco__txn *t, coco__sweep *s)
{
    coco__rec rec;
    coco__dbkey k;
    bool has;

    s->removed = false;
    COCO_TRY(coco__stored(t, &s->at, &run->record, &rec));
    if (rec.nstates) return COCO_OK;
    COCO_TRY(coco__has_children(t, rec.id, &has));
    if (has) {
        if (!s->self_only) return COCO_OK;
        COCO_TRY(coco__commit_set(run, &rec, NULL));
        coco__rec inner = { .flags = COCO__R_ID, .id = rec.id };
        COCO_TRY(coco__del_id(t, COCO__PAGE, rec.id));
        COCO_TRY(coco__store_rec(run, t, &s->at, &inner));
        coco__place_key(&k, COCO__TOMBSTONE, &s->at);
        COCO_TRY(coco__del(t, &k));
    } else {
        COCO_TRY(coco__drop_record(run, t, &s->at, &rec));
        COCO_TRY(coco__drop_empty(run, t, s->at.parent));
    }
    s->removed = true;
    return COCO_OK;
}

/* records of one walk, children first, removed in one transaction a few hundred at a time */
enum { COCO__SWEEP = 256 };
typedef struct coco__sweep_list {
    coco__run *run;
    coco__arena arena;
    size_t n;
    bool any;        /* something stays; */
    coco__buf stays; /* its path, the last one's: those above it come later, and stay with it */
    coco__sweep v[COCO__SWEEP];
} coco__sweep_list;

static coco_status coco__sweep_bodies(void *self, coco__txn *t)
{
    coco__sweep_list *l = self;

    coco__depsets_clean(l->run); /* of a try that found the map full */
    for (size_t i = 0; i < l->n; i++) COCO_TRY(coco__sweep_one(l->run, t, &l->v[i]));
    return coco__depsets_write(l->run, t);
}

static coco_status coco__swept_not(coco__sweep_list *l, const coco__visit *v)
{
    l->any = true;
    l->stays.n = 0;
    coco__buf_put(&l->stays, v->path.p, v->path.n);
    return l->stays.failed ? COCO_ENOMEM : COCO_OK;
}

/* Tells of a component that is gone now, or in a preview would be. */
static coco_status coco__swept(coco__sweep_list *l, const coco__visit *v)
{
    coco__comp *c;
    bool held = false;

    if (l->any && v->path.n <= l->stays.n && memcmp(v->path.p, l->stays.p, v->path.n) == 0) return COCO_OK;
    COCO_TRY(coco__removal_new(l->run, v, &c));
    coco_status rc = l->run->preview ? coco__held(c, &held) : COCO_OK;
    if (rc == COCO_OK && !held) coco__count_removed(c);
    coco__comp_free(c);
    return rc == COCO_OK && held ? coco__swept_not(l, v) : rc;
}

static coco_status coco__sweep_flush(coco__sweep_list *l)
{
    coco__writer w = { coco__sweep_bodies, NULL, l, false };
    coco__run *run = l->run;

    if (l->n == 0) return COCO_OK;
    coco_status rc = coco__write(run->app, &w, &run->fatal);
    coco__depsets_clean(run);
    COCO_TRY(rc);
    run->unsynced = true;
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].removed) coco__tomb_remove(run, &l->v[i].at);
    l->n = 0;
    coco__arena_reset(&l->arena);
    return COCO_OK;
}

static coco_status coco__sweep_visit(void *self, coco__run *run, const coco__visit *v)
{
    coco__sweep_list *l = self;
    coco__sweep *s = &l->v[l->n];
    coco__rec rec;

    COCO_TRY(coco__rec_get(v->payload, &rec, &run->cx_err));
    COCO_TRY(rec.nstates && !run->preview ? coco__swept_not(l, v) : coco__swept(l, v));
    if (run->preview) return COCO_OK;
    *s = (coco__sweep){ { v->at->parent, coco__arena_str(&l->arena, v->at->segment) }, v->tomb->self_only, false };
    if (!s->at.segment.p) return COCO_ENOMEM;
    return ++l->n == COCO__SWEEP ? coco__sweep_flush(l) : COCO_OK;
}

static coco_status coco__records_remove(coco__run *run)
{
    coco__sweep_list l = { .run = run };
    coco_status rc;

    coco__arena_init(&l.arena, run->mem);
    coco__buf_init(&l.stays, run->mem);
    rc = coco__walk_tombs(run, coco__sweep_visit, &l);
    if (rc == COCO_OK) rc = coco__sweep_flush(&l);
    coco__arena_free(&l.arena);
    coco__buf_free(&l.stays);
    return rc;
}

/* A component whose condemned containers are gone is no longer pending, nor are those above. */
static coco_status coco__settled_body(void *self, coco__txn *t)
{
    coco__run *run = self;
    coco__rec rec;
    coco_str value;

    for (int pending = 0; pending < 2; pending++)
        for (coco__condemned *d = run->condemned; d; d = d->next) {
            if (!pending && coco__moved_away(run, &d->at, NULL)) continue; /* it is to run again */
            COCO_TRY(coco__stored(t, &d->at, &run->record, &rec));
            COCO_TRY(coco__entry_get(t, &rec, d->ekey, run->passing, &value));
            if ((value.p != NULL) != pending || !(rec.flags & COCO__R_COMPONENT)) continue;
            rec.flags = (rec.flags & ~(uint32_t)COCO__R_PENDING) | (pending ? (uint32_t)COCO__R_PENDING : 0u);
            COCO_TRY(coco__store_rec(run, t, &d->at, &rec));
            COCO_TRY(coco__mark_above(run, t, d->at.parent, pending ? COCO__UNSETTLED : COCO__SETTLED));
        }
    for (coco__moved *m = run->moves; m; m = m->next) { /* what these mark above stays so */
        COCO_TRY(coco__stored(t, &m->from, &run->record, &rec));
        if (rec.flags & COCO__R_PENDING) COCO_TRY(coco__mark_above(run, t, m->from.parent, COCO__UNSETTLED));
    }
    return COCO_OK;
}

static coco_status coco__containers_on(coco__run *run)
{
    coco__writer settle = { coco__settled_body, NULL, run, false };
    coco__removing voids = { .entry = coco__content_entry, .content = true, .only_void = true };

    COCO_TRY(coco__containers(run));
    if (!run->preview) {
        COCO_TRY(coco__walk_tombs(run, coco__removing_visit, &voids));
        COCO_TRY(coco__drain(run));
    }
    COCO_TRY(coco__records_remove(run));
    return run->condemned && !run->preview ? coco__write(run->app, &settle, &run->fatal) : COCO_OK;
}

/* What sinks refused is tried again, and blocks again if it is refused again. */
static void coco__unblock(coco__run *run)
{
    for (coco_target *t = run->known_targets; t; t = t->next) t->blocked = t->barred;
}

COCO__IN coco_status coco__tombs_work(coco__run *run)
{
    coco__removing content = { .entry = coco__content_entry, .content = true };
    bool any = run->condemned != NULL;

    COCO_TRY(coco__gone_deferred(run));
    for (coco__tomb *g = run->tombs; g; g = g->next) any |= !g->removed && !g->kept;
    if (!any) return COCO_OK;
    bool old = false; /* --only leaves tombstones of other updates alone */
    for (coco__tomb *g = run->tombs; g; g = g->next) g->kept |= run->only.p && (old |= g == run->tombs_loaded);
    COCO_TRY(coco__guard(run));
    COCO_TRY(coco__walk_tombs(run, coco__removing_visit, &content));
    COCO_TRY(coco__drain(run));
    COCO_TRY(coco__containers_on(run));
    if (!run->blocked || run->preview) return COCO_OK;
    coco__unblock(run);
    COCO_TRY(coco__apply_deferred(run, false));
    return coco__containers_on(run);
}

COCO__IN coco_status coco__last_tries(coco__run *run)
{
    const coco__condemned *known = run->condemned;
    bool removals = false;
    coco_status rc;

    for (const coco__comp *c = run->deferred; c; c = c->next) removals |= c->deleting;
    coco__unblock(run);
    rc = coco__apply_deferred(run, true);
    if (rc != COCO_OK || run->fatal.code || run->preview || coco__stopped(run) != COCO_OK) return rc;
    if (run->condemned == known) return removals ? coco__records_remove(run) : COCO_OK;
    COCO_TRY(coco__guard(run));
    return coco__containers_on(run);
}

/* ---- Drop and forget ---- */

COCO__IN coco_status coco__remove_all(coco__run *run)
{
    coco__place root = { 0, { "", 0 } };

    COCO_TRY(coco__tomb_add(run, &root, false));
    return coco__tombs_work(run);
}

static coco_status coco__forget_entry(void *self, const coco__entry *e)
{
    coco__removing *f = self;
    coco_target *t, *child = NULL;
    coco__change *c;
    coco__state s;
    bool below = false;

    COCO_TRY(coco__entry_state(f->comp->run, e, &t, &s));
    if (!t) return COCO_OK;
    for (const coco_target *up = t; up; up = up->parent) below |= up == f->forgotten;
    if (s.container) COCO_TRY(coco__target_at(f->comp->run, t, s.key, false, &child));
    if (!below && child != f->forgotten) return COCO_OK;
    if (!(c = coco__owned_change(&f->comp->owned, e->ekey))) return COCO_ENOMEM;
    c->was = true;
    c->target = t;
    c->child = child;
    c->child_fate = child ? COCO__CHILD_GONE : COCO__CHILD_KEPT;
    c->container = s.container;
    return COCO_OK;
}

COCO__IN coco_status coco__forget_target(coco__run *run, const char *title, coco_err *err)
{
    coco__removing f = { .entry = coco__forget_entry };
    coco__tomb root = { .at = { 0, { "", 0 } } };
    coco_target *target;

    COCO_TRY(coco__target_titled(run, title, &target));
    f.forgotten = target;
    if (!target) return coco_err_set(err, COCO_ENOTFOUND, "app %s has no target called %s", run->app->name, title);
    COCO_TRY(coco__walk_tomb(run, &root, coco__removing_visit, &f));
    return coco__drain(run);
}
