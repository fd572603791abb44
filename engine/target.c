/* target.c - declarations and their reconciliation.
 *
 * Floor: above provider. A declaration is reconciled at the call against what the component has recorded, and leaves
 * either a seen mark or a coco__change with the action, what the precommit records (everything the state may be) and
 * what the commit records. */
#include "engine.h"

/* ---- Changes ---- */

static coco_status coco__keep_action(coco__comp *comp, coco__change *c, const coco_decision *d)
{
    if (c->action == NULL && !(c->action = coco__owned_action(&comp->owned))) return COCO_ENOMEM;
    *c->action = d->action;
    c->action->target = c->target;
    c->action->container = c->container;
    c->action->depth = c->target->depth;
    c->action->answer = COCO_UNANSWERED;
    c->action->error = NULL;
    c->record = d->record.p ? coco__arena_keep(comp->shared, d->record) : d->record;
    return c->record.p || !d->record.p ? COCO_OK : COCO_ENOMEM;
}

/* Asks the handler, and holds it to its duties. */
static coco_status coco__reconcile(coco_ctx *cx, coco_target *t, const coco_change *in, coco_decision *out)
{
    coco__arena *scratch = cx->arena;
    coco_status rc;

    memset(out, 0, sizeof *out);
    cx->arena = cx->home; /* an action outlives a scratch */
    rc = t->handler.reconcile(cx, t->handler.self, in, out);
    cx->arena = scratch;
    if (rc != COCO_OK) return rc;
    if (!out->act && in->desired && (in->may_be_missing || in->npossible != 1))
        return coco_fail(cx, COCO_EINVAL, "target %s: its handler kept a state that may not be there", t->title);
    if (out->act && !in->desired && out->record.p)
        return coco_fail(cx, COCO_EINVAL, "target %s: its handler gave a record for a state that should not exist",
                         t->title);
    if (out->act && in->desired && !out->record.p)
        return coco_fail(cx, COCO_EINVAL, "target %s: its handler gave no record for a state that should exist",
                         t->title);
    if (out->record.n > (size_t)1 << 20)
        return coco_fail(cx, COCO_EINVAL, "target %s: a tracking record is over 1 MiB", t->title);
    return COCO_OK;
}

COCO__IN bool coco__any_absent(const coco__state *s)
{
    for (size_t i = 0; i < s->npossible; i++)
        if (!s->possible[i].p) return true;
    return s->npossible == 0;
}

/* ---- A container's content ---- */

/* What the decision does to the container's content; c->child becomes its provider. */
static coco_status coco__child_fate(coco_ctx *cx, coco__change *c, const coco_decision *d, coco_target *old,
                                    coco_target **child)
{
    bool anew = c->user_managed ? !old->stored
                                : coco__any_absent(coco__old_of(c)) || d->action.kind == COCO_INSERT ||
                                      d->children == COCO_CHILDREN_DESTROYED;

    *child = old;
    c->child_fate = COCO__CHILD_KEPT;
    if (anew && old->stored) {
        COCO_TRY(coco__provider_renew(cx->run, old, cx->comp, child));
        c->replaced = old;
    } else if (!anew && d->children == COCO_CHILDREN_LOSSY) {
        old->counter++;
        cx->run->epoch++;
        c->child_fate = COCO__CHILD_LOSSY;
    }
    if (anew) c->child_fate = COCO__CHILD_NEW;
    c->child = *child;
    (*child)->gone = false;
    (*child)->record = c->record;
    (*child)->user_managed = c->user_managed;
    (*child)->owner = c->action ? cx->comp : NULL;
    return c->record.p && !((*child)->record = coco__arena_str(&cx->run->arena, c->record)).p ? coco__oom(cx) : COCO_OK;
}

/* ---- Declaring ---- */

typedef struct coco__declaration {
    coco_target *target;
    coco_target *child; /* of a container: the provider of its content until now */
    coco_value key, value;
    const char *title;
    bool container, user_managed;
    coco_str full, ekey; /* encoded key; entry key */
    coco__state old;
    bool was;        /* recorded in this component */
    coco__place owner; /* recorded elsewhere */
} coco__declaration;

/* Who has the state recorded, and as what; COCO_ENOTFOUND: nobody. */
static coco_status coco__owner_state(coco_ctx *cx, coco__declaration *d, const coco__txn *t)
{
    coco__rec rec;
    coco_str value;

    COCO_TRY(coco__owner_top(d->target, t));
    COCO_TRY(coco__owner_get(t, d->ekey, &d->owner));
    if (!(d->owner.segment = coco__arena_str(cx->arena, d->owner.segment)).p) return COCO_ENOMEM;
    COCO_TRY(coco__stored(t, &d->owner, &cx->run->record, &rec));
    COCO_TRY(coco__entry_get(t, &rec, d->ekey, cx->arena, &value));
    return value.p ? coco__state_get(rec.flags, d->ekey, value, &d->old) : COCO_ENOTFOUND;
}

/* Whoever else has the state recorded: the claim takes over its possibilities. */
static coco_status coco__find_owner(coco_ctx *cx, coco__declaration *d)
{
    coco__run *run = cx->run;
    coco__txn t;
    coco_status rc;

    coco__moved *moved = run->moves ? coco__table_get(&run->moved_states, d->ekey.p, d->ekey.n) : NULL;
    if (moved) {
        moved->reported = true;
        return coco_fail(cx, COCO_EDUP, "%s is declared by %s too", moved->state, moved->to_path);
    }
    if (!run->app->has_dbi || !d->target->stored || coco__owner_none(d->target, d->ekey)) return COCO_OK;
    COCO_TRY(coco__run_read(run, &t));
    rc = coco__owner_state(cx, d, &t);
    coco__run_read_end(run, &t);
    if (rc == COCO_ENOTFOUND) d->owner.segment.p = NULL;
    return rc == COCO_ENOTFOUND ? COCO_OK : rc;
}

static coco_status coco__declared_twice(coco_ctx *cx, const coco__declaration *d)
{
    coco__buf b;
    coco_status rc;

    coco__buf_init(&b, cx->run->mem);
    coco__state_name(&b, d->target, d->full);
    rc = coco_fail(cx, COCO_EDUP, "%s is declared twice in one component", coco__buf_cstr(&b));
    coco__buf_free(&b);
    return rc;
}

/* Finds what is recorded of the state, and refuses a second declaration. */
static coco_status coco__declare_find(coco_ctx *cx, coco__declaration *d)
{
    coco__owned *o = &cx->comp->owned;
    coco__entry *e;
    const coco__change *before = coco__owned_changed(o, d->ekey);

    if (before && before->cancelled) return coco__find_owner(cx, d); /* another component has taken it */
    if (before) return coco__declared_twice(cx, d);
    COCO_TRY(coco__owned_find(o, d->ekey, &e));
    if (!e) return coco__find_owner(cx, d);
    if (!coco__owned_mark(o)) return coco__declared_twice(cx, d);
    d->was = true;
    return coco__state_get(cx->comp->rec.flags, e->ekey, e->value, &d->old);
}

/* Keeps the possibilities with the component: they were read from a page that goes. */
static coco_status coco__old_keep(coco__comp *comp, coco__change *c, const coco__state *old)
{
    if (!(c->old = coco__arena_copy(comp->shared, old, sizeof *old))) return COCO_ENOMEM;
    for (coco_str *s = c->old->possible; s < c->old->possible + old->npossible; s++)
        if (s->p && !(*s = coco__arena_str(comp->shared, *s)).p) return COCO_ENOMEM;
    return COCO_OK;
}

/* Records the change of a declared state; copies what must outlive the page it was read from. */
static coco_status coco__declare_change(coco_ctx *cx, coco__declaration *d, const coco_decision *decision,
                                        coco__change **out)
{
    coco__comp *comp = cx->comp;
    coco__change *c = coco__owned_change(&comp->owned, d->ekey);

    if (!c) return COCO_ENOMEM;
    c->target = d->target;
    c->container = d->container;
    c->user_managed = d->user_managed;
    c->was = d->was;
    c->claimed = !d->was;
    c->counter = d->target->counter;
    if (d->was || d->old.npossible) COCO_TRY(coco__old_keep(comp, c, &d->old));
    c->key = d->full.n > COCO__CUT ? coco__arena_str(comp->shared, d->full)
                                   : (coco_str){ c->ekey.p + (c->ekey.n - d->full.n), d->full.n };
    if (!c->key.p) return COCO_ENOMEM;
    if (decision->act) {
        COCO_TRY(coco__keep_action(comp, c, decision));
        COCO_TRY(coco__value_copy(comp->shared, d->key, &c->action->key));
    } else if (c->user_managed) {
        c->record = coco__arena_str(comp->shared, decision->record);
        if (!c->record.p) return COCO_ENOMEM;
    } else if (c->old && c->old->npossible) {
        c->record = c->old->possible[0];
    }
    comp->owned.nnew += !c->old && !d->container && c->target == comp->owned.changes->target;
    if (d->owner.segment.p) {
        if (!(c->from = coco__arena_alloc(comp->shared, sizeof *c->from))) return COCO_ENOMEM;
        c->from->owner = d->owner;
        COCO_TRY(coco__value_copy(comp->shared, d->value, &c->from->desired));
    }
    *out = c;
    return COCO_OK;
}

/* What exists said of a container counts first: that it is absent, or the record of what is there. With the one
 * possibility recorded, absent is all there is to know; with several, a crash may still be at work. */
COCO__IN void coco__found_possible(const coco_target *t, coco__state *s)
{
    coco__state was = *s;
    bool missing = t->found == COCO__FOUND_MISSING;

    if (!s->npossible || !s->container || s->user_managed || (!missing && !t->shape.p)) return;
    s->npossible = 0;
    coco__possible_add(s, t->shape);
    for (size_t i = 0; i < was.npossible && !(missing && was.npossible == 1); i++)
        coco__possible_add(s, was.possible[i]);
}

/* What the user manages gets no action. The record says what the program took it for, so that its content can be seen
 * to without the declaration; a change of that makes the content be declared again. */
static coco_status coco__decide_users(coco_ctx *cx, const coco__declaration *d, coco_decision *decision)
{
    coco_change in = { .key = d->key, .desired = &d->value, .possible = d->old.possible, .may_be_missing = true,
                       .npossible = d->old.user_managed ? d->old.npossible : 0 };

    COCO_TRY(coco__reconcile(cx, d->target, &in, decision));
    decision->act = false;
    if (decision->children == COCO_CHILDREN_DESTROYED) decision->children = COCO_CHILDREN_LOSSY;
    return COCO_OK;
}

static coco_status coco__declare_decide(coco_ctx *cx, coco__declaration *d, coco_decision *decision)
{
    coco_change in = {
        .key = d->key, .desired = &d->value, .possible = d->old.possible, .npossible = d->old.npossible
    };

    if (d->user_managed) return coco__decide_users(cx, d, decision);
    if (d->old.user_managed) in.npossible = d->old.npossible = 0;
    in.may_be_missing = cx->run->full || coco__any_absent(&d->old) || d->old.counter != d->target->counter ||
                        (in.npossible && d->container != d->old.container); /* a row is none, of whatever record */
    return coco__reconcile(cx, d->target, &in, decision);
}

/* Is there anything to write for a state whose handler keeps it? */
static bool coco__declare_rewrites(const coco__declaration *d, const coco_decision *decision)
{
    return !d->was || d->old.condemned || d->user_managed != d->old.user_managed ||
           (d->user_managed && !coco_str_equal(d->old.possible[0], decision->record));
}

static coco_status coco__declare_child(coco_ctx *cx, coco__declaration *d, coco__change *c,
                                       const coco_decision *decision, coco_target **child)
{
    coco_target *t = d->child;
    coco_status rc;

    if (c) COCO_TRY(coco__child_fate(cx, c, decision, t, &t));
    /* the handler has seen to it, or the user does: memos hold again where the content is kept */
    if (c && t->found != COCO__FOUND_THERE) {
        t->found = COCO__FOUND_THERE;
        cx->run->epoch++;
    }
    rc = coco__target_ready(t, &d->value);
    if (rc != COCO_OK) return coco__keep(cx, rc, coco_error_message(cx->run->cx));
    COCO_TRY(coco__target_title(cx, t, d->title));
    *child = t;
    return COCO_OK;
}

/* What a state declared through a memoized call, or into a place, means for the memos around. */
static coco_status coco__declare_depend(coco_ctx *cx, const coco__declaration *d, const coco_target *t)
{
    uint8_t fp[COCO__FP];

    if (cx->memo_depth) {
        cx->owned = true;
        if (d) coco__buf_blob(&cx->declared, d->ekey.p, d->ekey.n);
        if (cx->declared.failed) return coco__oom(cx);
    }
    if (!coco__records(cx)) return COCO_OK;
    coco__put_be64(fp, t->id);
    coco__put_be64(fp + 8, t->counter);
    const coco__dep *last = cx->deps.n ? cx->deps.v[cx->deps.n - 1] : NULL; /* rows of one table, as a rule */
    if (last && last->kind == COCO__D_PROVIDER && memcmp(last->fp, fp, sizeof fp) == 0) return COCO_OK;
    return coco__deps_add(cx->run, &cx->deps, COCO__D_PROVIDER, coco_str_of(t->title), fp);
}

static coco_status coco__declare_states(coco_ctx *cx, coco__declaration *d, coco_target **child)
{
    coco_decision decision;
    coco__change *c = NULL;

    if (d->container) COCO_TRY(coco__target_at(cx->run, d->target, d->full, false, &d->child));
    if (d->container && !d->user_managed) COCO_TRY(coco__container_found(cx, d->child)); /* others may run meanwhile */
    /* with --only it may run without being submitted: the container's handler is all that is wanted of it, and as
     * nothing is recorded, no memo may stand for it */
    cx->uncacheable |= cx->comp->above;
    if (cx->comp->above) return d->container ? coco__declare_child(cx, d, NULL, NULL, child) : COCO_OK;
    COCO_TRY(coco__declare_find(cx, d));
    if (d->container && !d->user_managed) coco__found_possible(d->child, &d->old);
    COCO_TRY(coco__declare_decide(cx, d, &decision));
    if (decision.act || coco__declare_rewrites(d, &decision)) {
        COCO_TRY(coco__declare_change(cx, d, &decision, &c));
        if (decision.act) coco__emit_state(cx->run, COCO_EV_RECONCILED, cx->comp, c, NULL);
    }
    if (d->container) COCO_TRY(coco__declare_child(cx, d, c, &decision, child));
    /* a container before: its content's place goes with the commit */
    if (c && !d->container && d->old.container) {
        COCO_TRY(coco__target_at(cx->run, d->target, d->full, false, &c->child));
        c->child_fate = COCO__CHILD_GONE;
    }
    COCO_TRY(coco__declare_depend(cx, d, d->target));
    return d->container ? coco__declare_depend(cx, NULL, *child) : COCO_OK;
}

/* May the component declare into the target now? */
static coco_status coco__declare_check(coco_ctx *cx, const coco__declaration *d)
{
    COCO_TRY(coco__inside(cx, "a target state"));
    if (!d->target) return coco_fail(cx, COCO_EINVAL, "declared into no target");
    for (const coco_target *t = d->target; t; t = t->parent) {
        if (t->gone)
            return coco_fail(cx, COCO_ENOTFOUND, "target %s is gone: what declared it has failed, or made it anew",
                             t->title);
        if (t->owner && t->owner != cx->comp)
            return coco_fail(cx, COCO_EINVAL,
                             "target %s isn't applied yet: mount it (coco_mount_target) before others declare into it",
                             t->title);
        /* were it made on the way, nobody would fill in the rest */
        if (t->found == COCO__FOUND_MISSING && !cx->comp->above)
            return coco_fail(cx, COCO_ENOTFOUND, "target %s is missing, and what declares it is no part of this update",
                             t->title);
    }
    return COCO_OK;
}

static coco_status coco__declare_held(coco_ctx *cx, coco__declaration *d, coco_target **child)
{
    coco__buf bytes;
    coco__ekey ekey;
    coco_status rc;

    d->target = coco__target_now(d->target); /* with the lock: another thread may be making it anew */
    COCO_TRY(coco__declare_check(cx, d));
    bytes = coco__lend(&cx->run->key); /* others may declare while a container is asked for */
    rc = coco__key_put(&bytes, d->key);
    if (rc == COCO_OK && bytes.failed) rc = coco__oom(cx);
    else if (rc != COCO_OK)
        coco_fail(cx, rc, "target %s: a key must be null, bool, int, text, bytes, uuid or a list of these",
                  d->target->title);
    d->full = coco__buf_view(&bytes);
    if (rc == COCO_OK) {
        d->ekey = coco__ekey_make(&ekey, d->target->id, d->full.p, d->full.n);
        if (coco__listening(cx->run)) {
            coco__change seen = { .target = d->target, .key = d->full, .container = d->container };
            coco__emit_state(cx->run, COCO_EV_DECLARED, cx->comp, &seen, NULL);
        }
        rc = coco__declare_states(cx, d, child);
        if (rc == COCO_ENOMEM) coco__oom(cx);
        else if (rc != COCO_OK && !cx->message)
            coco_fail(cx, rc, "target %s: %s", d->target->title, coco__said(cx->run, rc));
    }
    coco__give_back(&cx->run->key, &bytes);
    return rc;
}

static coco_status coco__declare(coco_ctx *cx, coco__declaration *d, coco_target **child)
{
    COCO__INSIDE(cx->run, coco_status, coco__declare_held(cx, d, child));
}

coco_status coco_declare(coco_ctx *cx, coco_target *target, coco_value key, coco_value value)
{
    coco__declaration d = { .target = target, .key = key, .value = value };

    return coco__declare(cx, &d, NULL);
}

coco_status coco_declare_container(coco_ctx *cx, coco_target *target, coco_value key, coco_value value,
                                   const coco_container_opts *opts, coco_target **child)
{
    coco__declaration d = { .target = target, .key = key, .value = value, .container = true };

    *child = NULL;
    if (opts) d.title = opts->title, d.user_managed = opts->user_managed;
    return coco__declare(cx, &d, child);
}

static coco_status coco__attachment(coco_ctx *cx, coco_target *container, const char *name, coco_target **out)
{
    coco_status rc;

    *out = NULL;
    if (cx->kept) return cx->kept;
    if (!container) return coco_fail(cx, COCO_EINVAL, "attachment %s of no target", name);
    rc = coco__target_at(cx->run, coco__target_now(container), coco_str_of(name), true, out);
    if (rc == COCO_OK) rc = coco__target_ready(*out, NULL);
    if (rc == COCO_OK) return coco__target_title(cx, *out, NULL);
    *out = NULL;
    return coco__keep(cx, rc, coco_error_message(cx->run->cx));
}

coco_status coco_attachment(coco_ctx *cx, coco_target *container, const char *name, coco_target **out)
{
    COCO__INSIDE(cx->run, coco_status, coco__attachment(cx, container, name, out));
}

/* ---- No longer declared ---- */

static coco__change *coco__gone_change(coco__comp *comp, const coco__entry *e)
{
    coco__change *c = coco__owned_change(&comp->owned, e->ekey);

    if (c) c->was = comp->dirty = true;
    return c;
}

static bool coco__place_condemned(const coco_target *t)
{
    for (; t; t = t->parent)
        if (t->condemned && t->parent && t->parent->handler.drop_removes_content) return true;
    return false;
}

/* Reconciles a change outside of a declaration; desired NULL: what it was is to go. */
static coco_status coco__decide_anew(coco__comp *comp, coco__change *c, const coco__state *s, const coco_value *desired)
{
    coco_ctx cx = { .run = comp->run, .comp = comp, .arena = comp->shared, .home = comp->shared };
    coco__reader r = coco__reader_of(c->key.p, c->key.n);
    coco_decision decision;
    coco_change in = { .desired = desired, .possible = s->possible, .npossible = s->npossible };
    coco_status rc;

    in.may_be_missing = coco__any_absent(s) || (desired && (comp->run->full || s->counter != c->counter));
    COCO_TRY(coco__key_get(&r, comp->shared, &in.key));
    rc = coco__reconcile(&cx, c->target, &in, &decision);
    if (rc != COCO_OK) return coco__keep(comp->run->cx, rc, coco_error_message(&cx));
    if (decision.act) {
        COCO_TRY(coco__keep_action(comp, c, &decision));
        c->action->key = in.key;
    } else {
        c->action = NULL;
        if (desired) c->record = s->possible[0];
    }
    return COCO_OK;
}

/* Lists a container whose delete waits for the end of the update. */
static coco_status coco__condemn(coco__comp *comp, coco_str ekey, const coco__state *s, coco_target *place)
{
    coco__condemned *d = coco__arena_zalloc(comp->run->passing, sizeof *d);

    if (!d || !(d->ekey = coco__arena_str(comp->run->passing, ekey)).p) return COCO_ENOMEM;
    d->place = place;
    COCO_TRY(coco__target_at(comp->run, place, s->key, false, &d->child));
    d->next = comp->condemned;
    comp->condemned = d;
    comp->condemns = true;
    return COCO_OK;
}

COCO__IN bool coco__became_void(const coco__change *c)
{ return c->target && !c->record.p && coco__target_void(c->target, NULL); }

COCO__IN coco_status coco__declare_gone(coco__comp *comp, const coco__entry *e, coco__delete_mode mode)
{
    uint64_t space = coco__space_of(e->ekey, NULL);
    bool own = space < COCO__S_FIRST_PROVIDER;
    coco_target *t = NULL;
    coco__change *c;
    coco__state s;
    coco_str value = coco__arena_str(comp->shared, e->value);

    if (!value.p) return COCO_ENOMEM;
    if (!own) COCO_TRY(coco__target_by_id(comp->run, space, &t));
    bool is_void = !own && (!t || coco__target_void(t, comp));
    if (own ? mode >= COCO__DEL_CONTAINER : mode == COCO__DEL_VOID && !is_void) return COCO_OK;
    if (own || is_void) { /* dropped without an action */
        if (!(c = coco__gone_change(comp, e))) return COCO_ENOMEM;
        c->is_void = is_void;
        if (space == COCO__S_MEMO) c->record = value;
        return COCO_OK;
    }
    COCO_TRY(coco__state_get(comp->rec.flags, e->ekey, value, &s));
    if (mode == COCO__DEL_CONTENT && s.container) return COCO_OK;
    if (mode == COCO__DEL_CONTAINER && !s.container) return COCO_OK;
    if (!s.user_managed) COCO_TRY(coco__target_ready(t, NULL));
    if (mode == COCO__DEL_CONTENT && coco__place_condemned(t)) return COCO_OK;
    if (s.container && mode == COCO__DEL_CONDEMN) COCO_TRY(coco__condemn(comp, e->ekey, &s, t));
    if (s.condemned && mode == COCO__DEL_CONDEMN) return COCO_OK; /* as recorded */
    if (!(c = coco__gone_change(comp, e))) return COCO_ENOMEM;
    c->target = t;
    c->counter = t->counter;
    COCO_TRY(coco__old_keep(comp, c, &s));
    c->key = s.key.n > COCO__CUT ? s.key : (coco_str){ c->ekey.p + (c->ekey.n - s.key.n), s.key.n };
    c->old->key = c->key;
    c->container = s.container;
    c->condemned = s.container && mode == COCO__DEL_CONDEMN;
    if (c->condemned) return COCO_OK;
    if (s.container) {
        COCO_TRY(coco__target_at(comp->run, t, c->key, false, &c->child));
        c->child_fate = COCO__CHILD_GONE;
    }
    if (!s.user_managed) COCO_TRY(coco__decide_anew(comp, c, &s, NULL));
    if (c->action) coco__emit_state(comp->run, COCO_EV_RECONCILED, comp, c, NULL);
    return COCO_OK;
}

COCO__IN coco_status coco__reclaim(coco__comp *comp, coco__change *c, const coco__state *now)
{
    COCO_TRY(coco__old_keep(comp, c, now));
    c->counter = c->target->counter;
    return coco__decide_anew(comp, c, now, &c->from->desired);
}
