/* target.c - providers, handlers, declarations and their reconciliation.
 *
 * Floor: above memo. A provider is the place of a container's children (a directory's files, a table's rows); it has
 * an id that is never given twice. Recreating the container gives it a new id, and what is recorded under the old one
 * is void: no delete is sent for it, it is declared anew. A declaration is reconciled at the call against what the
 * component has recorded, and leaves either a seen mark or a coco__change with the action, what the precommit records
 * (everything the state may be) and what the commit records.
 *
 * A provider's record stands under (parent provider, key), so that destroying one is a range of keys below it. */
#include "engine.h"

static coco_target_type *coco__target_types;

void coco_target_register(coco_target_type *type)
{
    for (coco_target_type *t = coco__target_types; t; t = t->next)
        if (t == type) return;
    type->next = coco__target_types;
    coco__target_types = type;
}

/* ---- Providers ---- */

static coco_status coco__target_memo_key(coco_ctx *cx, void *object, coco_value *key)
{
    const coco_target *t = object;

    (void)cx;
    *key = coco_bytes(t->identity.p, t->identity.n);
    return COCO_OK;
}

static coco_status coco__target_copy(coco_ctx *cx, void *object, void **out)
{
    (void)cx;
    *out = object; /* lives until the update ends */
    return COCO_OK;
}

const coco_class coco_target_class = { .type = "coco_target",
                                       .memo_key = coco__target_memo_key,
                                       .copy = coco__target_copy };

coco_value coco_target_value(coco_target *target) { return coco_object(&coco_target_class, target); }
void *coco_target_self(coco_target *target) { return target ? target->handler.self : NULL; }

/* The key of a provider's record below its parent; an attachment's begins with a byte that no stable key has. */
static void coco__provider_suffix(coco__buf *b, coco_str key, coco_str attachment)
{
    if (attachment.p) {
        coco__buf_byte(b, 0xfe);
        coco__buf_put(b, attachment.p, attachment.n);
    } else {
        coco__buf_put(b, key.p, key.n);
    }
}

static void coco__provider_key(coco__dbkey *k, uint64_t parent, const coco__buf *suffix)
{
    uint8_t cut[COCO__CUT_LENGTH];
    size_t n = coco__cut(cut, suffix->p, suffix->n);

    coco__dbkey_id(k, COCO__PROVIDER, parent, cut, n);
}

/* Reads a provider's record into t: {id, counter, user managed, title, container's record, full key or attachment}. */
static coco_status coco__provider_decode(coco_target *t, coco_str payload)
{
    coco__reader r = coco__reader_of(payload.p, payload.n);
    coco__arena *a = &t->run->arena;
    coco_str title, record, key;
    uint8_t attached;

    t->id = coco__read_varint(&r);
    t->counter = coco__read_varint(&r);
    t->user_managed = coco__read_byte(&r);
    title = coco__read_blob(&r);
    record = coco__read_blob(&r);
    attached = coco__read_byte(&r);
    key = coco__read_blob(&r);
    if (r.bad) return COCO_ECORRUPT;
    if (!t->title && !(t->title = coco__arena_copy(a, title.p, title.n))) return COCO_ENOMEM;
    if (!t->record.p && !(t->record = (coco_str){ coco__arena_copy(a, record.p, record.n), record.n }).p)
        return COCO_ENOMEM;
    if (!t->key.p && !t->attachment.p) {
        coco_str copy = { coco__arena_copy(a, key.p, key.n), key.n };
        if (!copy.p) return COCO_ENOMEM;
        *(attached ? &t->attachment : &t->key) = copy;
    }
    t->stored = true;
    return COCO_OK;
}

static coco_status coco__target_link(coco_target *t, coco_target *parent)
{
    coco__buf b;
    char *copy;
    coco__run *run = t->run;

    t->parent = parent;
    t->depth = parent ? parent->depth + 1 : 0;
    t->top = !parent || parent->depth == 0 ? t : parent->top;
    coco__buf_init(&b, run->mem);
    if (parent) coco__buf_put(&b, parent->identity.p, parent->identity.n);
    coco__provider_suffix(&b, t->key, t->attachment);
    t->identity = (coco_str){ b.failed ? NULL : coco__arena_copy(&run->arena, b.p, b.n), b.n };
    b.n = 0;
    coco__buf_be64(&b, parent ? parent->id : 0);
    coco__provider_suffix(&b, t->key, t->attachment);
    copy = b.failed ? NULL : coco__arena_copy(&run->arena, b.p, b.n);
    bool ok = copy && t->identity.p && coco__table_put(&run->target_places, copy, b.n, t) &&
              coco__table_put(&run->targets, &t->id, sizeof t->id, t);
    coco__buf_free(&b);
    return ok ? COCO_OK : COCO_ENOMEM;
}

/* The provider at (parent, key or attachment): of this run, as recorded, or new. */
COCO__IN coco_status coco__target_at(coco__run *run, coco_target *parent, coco_str key, coco_str attachment,
                                     coco_target **out)
{
    coco_target *t;
    coco__buf b, suffix;
    coco__dbkey k;
    coco__txn txn;
    coco_str p;
    coco_status rc = COCO_ENOTFOUND;

    coco__buf_init(&b, run->mem);
    coco__buf_init(&suffix, run->mem);
    coco__provider_suffix(&suffix, key, attachment);
    coco__buf_be64(&b, parent ? parent->id : 0);
    coco__buf_put(&b, suffix.p, suffix.n);
    *out = b.failed || suffix.failed ? NULL : coco__table_get(&run->target_places, b.p, b.n);
    coco__provider_key(&k, parent ? parent->id : 0, &suffix);
    bool failed = b.failed || suffix.failed;
    coco__buf_free(&b);
    coco__buf_free(&suffix);
    if (*out) return COCO_OK;
    if (failed || !(t = coco__arena_zalloc(&run->arena, sizeof *t))) return COCO_ENOMEM;
    t->run = run;
    if (attachment.p)
        t->attachment = (coco_str){ coco__arena_copy(&run->arena, attachment.p, attachment.n), attachment.n };
    else t->key = (coco_str){ coco__arena_copy(&run->arena, key.p, key.n), key.n };
    if (run->app->has_dbi) {
        COCO_TRY(coco__run_read(run, &txn));
        if ((rc = coco__get(&txn, &k, &p)) == COCO_OK) rc = coco__provider_decode(t, p);
        coco__run_read_end(run, &txn);
    }
    if (rc == COCO_ENOTFOUND) t->id = run->meta.next_provider++;
    else if (rc != COCO_OK) return rc;
    COCO_TRY(coco__target_link(t, parent));
    *out = t;
    return COCO_OK;
}

COCO__IN coco_status coco__target_by_id(coco__run *run, uint64_t id, coco_target **target)
{
    coco_target *t = coco__table_get(&run->targets, &id, sizeof id), *parent = NULL;
    coco__dbkey k;
    coco__txn txn;
    coco_str p;
    coco_status rc;

    *target = t;
    for (const coco_target *up = t; up; up = up->parent)
        if (up->gone) *target = NULL;
    if (t || !run->app->has_dbi) return COCO_OK;
    if (!(t = coco__arena_zalloc(&run->arena, sizeof *t))) return COCO_ENOMEM;
    t->run = run;
    COCO_TRY(coco__run_read(run, &txn));
    coco__dbkey_id(&k, COCO__PROVIDER_ID, id, NULL, 0);
    if ((rc = coco__get(&txn, &k, &p)) == COCO_OK && p.n >= 8 && p.n < COCO__KEY_MAX) {
        uint64_t up = coco__get_be64((const uint8_t *)p.p);
        coco__dbkey_id(&k, COCO__PROVIDER, up, p.p + 8, p.n - 8);
        rc = coco__get(&txn, &k, &p);
        if (rc == COCO_OK) rc = coco__provider_decode(t, p);
        coco__run_read_end(run, &txn);
        if (rc == COCO_OK && up) rc = coco__target_by_id(run, up, &parent);
        if (rc == COCO_OK && (t->id != id || (up && !parent))) rc = COCO_ENOTFOUND;
    } else {
        coco__run_read_end(run, &txn);
    }
    if (rc == COCO_ENOTFOUND) return COCO_OK;
    COCO_TRY(rc);
    COCO_TRY(coco__target_link(t, parent));
    *target = t;
    return COCO_OK;
}

static coco_status coco__no_provider(coco_target *t, coco_str name)
{
    coco_ctx *cx = t->run->cx;

    if (cx->kept == COCO_OK)
        return coco_fail(cx, COCO_ENOPROVIDER, "target %s: no handler called %.*s is registered",
                         t->title ? t->title : "", (int)name.n, name.p);
    return coco_fail(cx, COCO_ENOPROVIDER, "target %s: no handler: %s", t->title ? t->title : "",
                     coco_error_message(cx));
}

static coco_status coco__root_handler(coco_target *t)
{
    coco__reader r = coco__reader_of(t->key.p, t->key.n);
    coco_ctx *cx = t->run->cx;
    coco_value key;
    coco_target_type *type = coco__target_types;

    COCO_TRY(coco__key_get(&r, &t->run->arena, &key));
    coco_str name = coco_text_of(coco_at(key, 0));
    while (type && !coco_str_equal(coco_str_of(type->name), name)) type = type->next;
    if (!type) return coco__no_provider(t, name);
    return type->make(cx, coco_at(key, 1), &t->handler) == COCO_OK ? COCO_OK : coco__no_provider(t, name);
}

/* Makes the handler where it isn't made: from the desired value of the container, or from its record. */
static coco_status coco__target_ready(coco_target *t, const coco_value *desired)
{
    coco_ctx *cx = t->run->cx;
    coco__reader r = coco__reader_of(t->key.p, t->key.n);
    coco_value key = coco_null();
    coco_status rc;

    if (t->handler.reconcile) return COCO_OK;
    cx->kept = COCO_OK;
    if (!t->parent) {
        rc = coco__root_handler(t);
    } else {
        coco_target_handler *up = &t->parent->handler;
        COCO_TRY(coco__target_ready(t->parent, NULL));
        if (!t->attachment.p) COCO_TRY(coco__key_get(&r, &t->run->arena, &key));
        if (t->attachment.p)
            rc = up->attachment
                     ? up->attachment(cx, up->self, t->attachment.p, &t->handler)
                     : coco_fail(cx, COCO_EINVAL, "target %s has no attachment %s", t->parent->title, t->attachment.p);
        else
            rc = up->child ? up->child(cx, up->self, key, desired, t->record, &t->handler)
                           : coco_fail(cx, COCO_EINVAL, "target %s has no containers", t->parent->title);
        if (rc != COCO_OK && !desired && !t->attachment.p) return coco__no_provider(t, coco_str_of(up->name));
    }
    COCO_TRY(rc);
    if (!t->handler.reconcile || !t->handler.sink || !t->handler.sink->apply)
        return coco_fail(cx, COCO_EINVAL, "target %s: its handler lacks reconcile or a sink", t->title ? t->title : "");
    return COCO_OK;
}

/* ---- Titles ---- */

COCO__IN void coco__state_name(coco__buf *b, const coco_target *target, coco_str key)
{
    coco__buf_str(b, target && target->title ? target->title : "");
    coco__buf_byte(b, ':');
    coco__key_print(b, key.p, key.n);
}

static coco_status coco__title_default(coco_target *t, coco__buf *b)
{
    coco__reader r = coco__reader_of(t->key.p, t->key.n);
    coco_value key = coco_null();
    coco__arena *a = &t->run->arena;

    if (!t->attachment.p) COCO_TRY(coco__key_get(&r, a, &key));
    if (!t->parent) key = coco_at(key, coco_at(key, 1).kind == COCO_NULL ? 0 : 1);
    if (t->parent && t->parent->depth > 0) coco__buf_printf(b, "%s/", t->parent->title);
    if (t->attachment.p) coco__buf_put(b, t->attachment.p, t->attachment.n);
    else if (coco_text_of(key).n) coco__buf_put(b, coco_text_of(key).p, coco_text_of(key).n);
    else coco__value_print(b, key);
    return COCO_OK;
}

static void coco__place_name(coco__buf *b, const coco_target *t)
{
    if (t->parent && !t->attachment.p) coco__state_name(b, t->parent, t->key);
    else if (t->parent) coco__buf_printf(b, "%s/%s", t->parent->title, t->attachment.p);
    else coco__key_print(b, t->key.p, t->key.n);
}

static coco_status coco__title_taken(coco_ctx *cx, coco__buf *title, const coco_target *a, const coco_target *b)
{
    coco__buf_str(title, "\": ");
    coco__place_name(title, a);
    coco__buf_str(title, " and ");
    coco__place_name(title, b);
    return coco_fail(cx, COCO_EDUP, "two targets are called \"%s; tell them apart by .title", coco__buf_cstr(title));
}

/* Gives the provider its title and keeps titles unique in the run. */
static coco_status coco__target_title(coco_ctx *cx, coco_target *t, const char *title)
{
    coco__run *run = t->run;
    coco__buf b;
    coco_target *other;
    coco_status rc = COCO_OK;

    coco__buf_init(&b, run->mem);
    if (title) coco__buf_str(&b, title);
    else if (t->handler.title.n) coco__buf_put(&b, t->handler.title.p, t->handler.title.n);
    else rc = coco__title_default(t, &b);
    other = coco__table_get(&run->titles, b.p, b.n);
    if (rc == COCO_OK && other && other != t && !other->gone &&
        coco__bytes_cmp(other->identity.p, other->identity.n, t->identity.p, t->identity.n))
        rc = coco__title_taken(cx, &b, other, t);
    if (rc == COCO_OK) {
        if (!t->title || strcmp(t->title, coco__buf_cstr(&b)) != 0) t->title = coco__arena_copy(&run->arena, b.p, b.n);
        if (b.failed || !t->title || !coco__table_put(&run->titles, t->title, b.n, t)) rc = coco__oom(cx);
        else t->counts = coco__counts_of_title(run->app, t->title);
    }
    coco__buf_free(&b);
    return rc;
}

coco_target *coco_target_new(coco_ctx *cx, const char *name, coco_value key, const char *title)
{
    coco_value both[2] = { coco_symbol(name), key };
    coco_target *t = NULL;
    coco__buf b;
    coco_status rc;

    coco__buf_init(&b, cx->run->mem);
    rc = coco__key_put(&b, coco_list(both, 2));
    if (rc == COCO_OK && b.failed) rc = COCO_ENOMEM;
    if (rc == COCO_OK) rc = coco__target_at(cx->run, NULL, (coco_str){ (char *)b.p, b.n }, (coco_str){ 0 }, &t);
    if (rc == COCO_OK) rc = coco__target_ready(t, NULL);
    coco__buf_free(&b);
    if (rc == COCO_OK) rc = coco__target_title(cx, t, title);
    else if (cx->run->cx->said == rc) coco_fail(cx, rc, "%s", coco_error_message(cx->run->cx));
    else coco_fail(cx, rc, "target %s: %s", name, coco_status_text(rc));
    if (rc == COCO_OK) return t;
    coco__keep(cx, rc, NULL);
    return NULL;
}

/* ---- Writing providers ---- */

COCO__IN coco_status coco__provider_write(const coco__txn *t, coco_target *p)
{
    coco__run *run = p->run;
    coco__buf suffix;
    coco__dbkey k, by_id;
    coco__buf *b = &run->scratch;
    coco_str key = p->attachment.p ? p->attachment : p->key;
    coco_status rc;

    if (p->parent && !p->parent->stored) COCO_TRY(coco__provider_write(t, p->parent));
    coco__buf_init(&suffix, run->mem);
    coco__provider_suffix(&suffix, p->key, p->attachment);
    coco__provider_key(&k, p->parent ? p->parent->id : 0, &suffix);
    bool failed = suffix.failed;
    coco__buf_free(&suffix);
    b->n = 0;
    coco__buf_varint(b, p->id);
    coco__buf_varint(b, p->counter);
    coco__buf_byte(b, p->user_managed);
    coco__buf_blob(b, p->title, p->title ? strlen(p->title) : 0);
    coco__buf_blob(b, p->record.p, p->record.n);
    coco__buf_byte(b, p->attachment.p != NULL);
    coco__buf_blob(b, key.p, key.n);
    if (b->failed || failed) return COCO_ENOMEM;
    COCO_TRY(coco__put(t, &k, b->p, b->n));
    coco__dbkey_id(&by_id, COCO__PROVIDER_ID, p->id, NULL, 0);
    rc = coco__put(t, &by_id, k.b + 1, k.n - 1);
    return rc;
}

/* Everything recorded under one provider id but its own record: index, count, and the providers below. */
static coco_status coco__provider_clear(coco__run *run, const coco__txn *t, uint64_t id)
{
    coco__dbkey k, child;
    coco__ekey e;
    coco_str p;

    coco__ekey_make(&e, id, NULL, 0);
    coco__dbkey_raw(&k, COCO__OWNER, e.b, e.n);
    COCO_TRY(coco__del_range(t, &k));
    coco__dbkey_id(&k, COCO__PROVIDER_ID, id, NULL, 0);
    COCO_TRY(coco__del(t, &k));
    coco__dbkey_id(&k, COCO__COUNT_OF, id, NULL, 0);
    COCO_TRY(coco__del(t, &k));
    coco__dbkey_id(&k, COCO__PROVIDER, id, NULL, 0);
    for (;;) { /* children one by one: each takes its own range along */
        MDB_val key = { k.n, k.b }, data;
        MDB_cursor *cur;
        int rc = mdb_cursor_open(t->mdb, t->dbi, &cur);
        if (rc) return coco__mdb_error(t->err, rc, t->env, "read");
        rc = mdb_cursor_get(cur, &key, &data, MDB_SET_RANGE);
        bool there = rc == 0 && key.mv_size >= k.n && memcmp(key.mv_data, k.b, k.n) == 0;
        if (there) memcpy(child.b, key.mv_data, child.n = key.mv_size);
        mdb_cursor_close(cur);
        if (!there) return COCO_OK;
        COCO_TRY(coco__get(t, &child, &p));
        coco__reader r = coco__reader_of(p.p, p.n);
        uint64_t below = coco__read_varint(&r);
        COCO_TRY(coco__provider_clear(run, t, below));
        COCO_TRY(coco__del(t, &child));
    }
}

COCO__IN coco_status coco__provider_destroy(const coco__txn *t, coco_target *p)
{
    coco__buf suffix;
    coco__dbkey k;
    coco_str payload;
    coco_status rc;

    COCO_TRY(coco__provider_clear(p->run, t, p->id));
    coco__buf_init(&suffix, p->run->mem);
    coco__provider_suffix(&suffix, p->key, p->attachment);
    coco__provider_key(&k, p->parent ? p->parent->id : 0, &suffix);
    coco__buf_free(&suffix);
    rc = coco__get(t, &k, &payload); /* its successor may stand there already */
    if (rc == COCO_ENOTFOUND) return COCO_OK;
    COCO_TRY(rc);
    coco__reader r = coco__reader_of(payload.p, payload.n);
    return coco__read_varint(&r) == p->id ? coco__del(t, &k) : COCO_OK;
}

COCO__IN void coco__target_count(coco_target *target, int delta)
{
    coco_target *top = target->top;

    top->delta += delta;
    if (top->dirty) return;
    top->dirty = true;
    top->next_dirty = top->run->dirty_targets;
    top->run->dirty_targets = top;
}

static coco_status coco__count_read(const coco__txn *t, uint64_t id, coco__dbkey *k, uint64_t *n)
{
    coco_str p;
    coco_status rc;

    *n = 0;
    coco__dbkey_id(k, COCO__COUNT_OF, id, NULL, 0);
    rc = coco__get(t, k, &p);
    if (rc == COCO_ENOTFOUND) return COCO_OK;
    COCO_TRY(rc);
    coco__reader r = coco__reader_of(p.p, p.n);
    *n = coco__read_varint(&r);
    return r.bad ? COCO_ECORRUPT : COCO_OK;
}

COCO__IN coco_status coco__providers_count(coco__run *run, const coco__txn *t)
{
    coco__dbkey k;
    uint64_t n;

    for (coco_target *top = run->dirty_targets; top; top = top->next_dirty) {
        coco__buf *b = &run->scratch;
        if (!top->delta || top->gone) continue;
        COCO_TRY(coco__count_read(t, top->id, &k, &n));
        n = top->delta < 0 && n < (uint64_t)-top->delta ? 0 : n + (uint64_t)top->delta;
        b->n = 0;
        coco__buf_varint(b, n);
        if (b->failed) return COCO_ENOMEM;
        COCO_TRY(n ? coco__put(t, &k, b->p, b->n) : coco__del(t, &k));
    }
    return COCO_OK;
}

COCO__IN coco_status coco__top_states(coco__run *run, coco_target *top, uint64_t *n)
{
    coco__dbkey k;
    coco__txn t;
    coco_status rc;

    COCO_TRY(coco__run_read(run, &t));
    rc = coco__count_read(&t, top->id, &k, n);
    coco__run_read_end(run, &t);
    return rc;
}

/* ---- Changes ---- */

static coco_status coco__state_bytes(coco__comp *comp, const coco__state *s, coco_str *out)
{
    coco__buf b;

    coco__buf_init(&b, comp->run->mem);
    coco__state_put(&b, s, s->key.n > COCO__CUT);
    *out = (coco_str){ b.failed ? NULL : coco__arena_copy(&comp->arena, b.p, b.n), b.n };
    coco__buf_free(&b);
    return out->p ? COCO_OK : COCO_ENOMEM;
}

static void coco__possible_add(coco__state *s, coco_str record)
{
    size_t max = sizeof s->possible / sizeof s->possible[0];

    for (size_t i = 0; i < s->npossible; i++)
        if (!s->possible[i].p == !record.p &&
            coco__bytes_cmp(s->possible[i].p, s->possible[i].n, record.p, record.n) == 0)
            return;
    if (s->npossible == max) { /* after many crashes: "may be anything" is an unreadable record */
        s->npossible = 0;
        s->possible[s->npossible++] = (coco_str){ NULL, 0 };
        s->possible[s->npossible++] = (coco_str){ "", 0 };
    }
    s->possible[s->npossible++] = record;
}

/* Fills in what precommit and commit record. c->old and c->record are set. */
static coco_status coco__change_records(coco__comp *comp, coco__change *c)
{
    coco__state before = *coco__old_of(c), after = {
        .container = c->container, .user_managed = c->user_managed, .key = c->key, .counter = c->target->counter
    };

    before.container = c->container;
    before.key = c->key;
    before.condemned = false;
    if (before.npossible == 0) coco__possible_add(&before, (coco_str){ NULL, 0 });
    coco__possible_add(&before, c->record);
    COCO_TRY(coco__state_bytes(comp, &before, &c->before));
    if (!c->action && !c->claimed) c->before = (coco_str){ 0 }; /* nothing happens outside: the commit is enough */
    if (!c->record.p) return COCO_OK;
    after.possible[after.npossible++] = c->record;
    return coco__state_bytes(comp, &after, &c->after);
}

static coco_status coco__keep_action(coco__comp *comp, coco__change *c, const coco_decision *d)
{
    if (c->action == NULL && !(c->action = coco__arena_zalloc(&comp->arena, sizeof *c->action))) return COCO_ENOMEM;
    *c->action = d->action;
    c->action->target = c->target;
    c->action->container = c->container;
    c->action->depth = c->target->depth;
    c->action->answer = COCO_UNANSWERED;
    c->action->error = NULL;
    c->record = d->record;
    if (d->record.p && !(c->record.p = coco__arena_copy(&comp->arena, d->record.p, d->record.n))) return COCO_ENOMEM;
    comp->nactions++;
    comp->nbytes += d->action.bytes;
    return COCO_OK;
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

static bool coco__any_absent(const coco__state *s)
{
    for (size_t i = 0; i < s->npossible; i++)
        if (!s->possible[i].p) return true;
    return s->npossible == 0;
}

/* ---- A container's content ---- */

static void coco__gone_below(coco__run *run, const coco_target *t)
{
    coco__slot *slot;

    for (size_t i = 0; coco__table_next(&run->targets, &i, &slot);) {
        coco_target *below = slot->value;
        if (below->parent == t && !below->gone) {
            below->gone = true;
            coco__gone_below(run, below);
        }
    }
}

/* Gives the container's provider a new id: what was recorded below is void. */
static coco_status coco__provider_renew(coco__run *run, coco_target *old, coco_target **out)
{
    coco_target *t = coco__arena_zalloc(&run->arena, sizeof *t);

    if (!t) return COCO_ENOMEM;
    old->gone = true;
    coco__gone_below(run, old);
    run->epoch++;
    t->run = run;
    t->key = old->key;
    t->id = run->meta.next_provider++;
    t->title = old->title;
    COCO_TRY(coco__target_link(t, old->parent));
    *out = t;
    return COCO_OK;
}

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
        COCO_TRY(coco__provider_renew(cx->run, old, child));
        c->replaced = old;
    } else if (!anew && d->children == COCO_CHILDREN_LOSSY) {
        old->counter++;
        cx->run->epoch++;
        c->child_fate = COCO__CHILD_LOSSY;
    }
    if (anew) c->child_fate = COCO__CHILD_NEW;
    c->child = *child;
    (*child)->record = c->record;
    (*child)->user_managed = c->user_managed;
    (*child)->owner = c->action ? cx->comp : NULL;
    if (c->record.p && !((*child)->record.p = coco__arena_copy(&cx->run->arena, c->record.p, c->record.n)))
        return coco__oom(cx);
    return COCO_OK;
}

/* ---- Declaring ---- */

typedef struct coco__declaration {
    coco_target *target;
    coco_value key, value;
    const coco_container_opts *opts;
    bool container;
    coco__buf bytes; /* encoded key */
    coco_str full;
    coco__ekey ekey;
    coco__state old;
    bool was;        /* recorded in this component */
    coco__place owner; /* recorded elsewhere */
} coco__declaration;

/* Whoever else has the state recorded: the claim takes over its possibilities. */
static coco_status coco__find_owner(coco_ctx *cx, coco__declaration *d)
{
    coco__run *run = cx->run;
    coco__dbkey k;
    coco__txn t;
    coco__rec rec;
    coco_str p, value;
    coco_status rc;

    coco__moved *moved = run->moves ? coco__table_get(&run->moved_states, d->ekey.b, d->ekey.n) : NULL;
    if (moved) {
        moved->reported = true;
        return coco_fail(cx, COCO_EDUP, "%s is declared by %s too", moved->state, moved->to_path);
    }
    if (!run->app->has_dbi || !d->target->stored) return COCO_OK;
    COCO_TRY(coco__run_read(run, &t));
    coco__dbkey_raw(&k, COCO__OWNER, d->ekey.b, d->ekey.n);
    rc = coco__get(&t, &k, &p);
    if (rc == COCO_OK) rc = coco__place_get(p, &d->owner);
    if (rc == COCO_OK && !(d->owner.segment.p = coco__arena_copy(cx->arena, d->owner.segment.p, d->owner.segment.n)))
        rc = COCO_ENOMEM;
    if (rc == COCO_OK) {
        coco__place_key(&k, COCO__COMPONENT, &d->owner);
        rc = coco__get(&t, &k, &p);
    }
    if (rc == COCO_OK) rc = coco__rec_get(p, &rec, t.err);
    if (rc == COCO_OK) rc = coco__entry_get(&t, &rec, (coco_str){ (char *)d->ekey.b, d->ekey.n }, cx->arena, &value);
    if (rc == COCO_OK && value.p) rc = coco__state_get((coco_str){ (char *)d->ekey.b, d->ekey.n }, value, &d->old);
    else if (rc == COCO_OK) rc = COCO_ENOTFOUND;
    coco__run_read_end(run, &t);
    if (rc == COCO_ENOTFOUND) {
        d->owner.segment.p = NULL;
        return COCO_OK;
    }
    return rc;
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
    coco_str ekey = { (char *)d->ekey.b, d->ekey.n };
    coco__entry *e;
    const coco__change *before = coco__owned_changed(o, ekey);

    if (before && before->cancelled) return coco__find_owner(cx, d); /* another component has taken it */
    if (before) return coco__declared_twice(cx, d);
    COCO_TRY(coco__owned_find(o, ekey, &e));
    if (!e) return coco__find_owner(cx, d);
    if (!coco__owned_mark(o)) return coco__declared_twice(cx, d);
    d->was = true;
    return coco__state_get(e->ekey, e->value, &d->old);
}

/* Keeps the possibilities with the component: they were read from a page that goes. */
static coco_status coco__old_keep(coco__comp *comp, coco__change *c, const coco__state *old)
{
    if (!(c->old = coco__arena_copy(&comp->arena, old, sizeof *old))) return COCO_ENOMEM;
    for (size_t i = 0; i < old->npossible; i++)
        if (old->possible[i].p &&
            !(c->old->possible[i].p = coco__arena_copy(&comp->arena, old->possible[i].p, old->possible[i].n)))
            return COCO_ENOMEM;
    return COCO_OK;
}

/* Records the change of a declared state; copies what must outlive the page it was read from. */
static coco_status coco__declare_change(coco_ctx *cx, coco__declaration *d, const coco_decision *decision,
                                        coco__change **out)
{
    coco__comp *comp = cx->comp;
    coco__change *c = coco__owned_change(&comp->owned, (coco_str){ (char *)d->ekey.b, d->ekey.n });

    if (!c) return COCO_ENOMEM;
    c->target = d->target;
    c->container = d->container;
    c->user_managed = d->opts && d->opts->user_managed;
    c->was = d->was;
    c->claimed = !d->was;
    c->owner = d->owner;
    if (d->was || d->old.npossible) COCO_TRY(coco__old_keep(comp, c, &d->old));
    c->key =
        (coco_str){ d->full.n > COCO__CUT ? coco__arena_copy(&comp->arena, d->full.p, d->full.n) : NULL, d->full.n };
    if (!c->key.p) {
        if (d->full.n > COCO__CUT) return COCO_ENOMEM;
        c->key.p = c->ekey.p + (c->ekey.n - d->full.n);
    }
    if (decision->act) {
        COCO_TRY(coco__keep_action(comp, c, decision));
        COCO_TRY(coco__value_copy(&comp->arena, d->key, &c->action->key));
    } else if (c->user_managed) {
        c->record = (coco_str){ "", 0 };
    } else if (c->old && c->old->npossible) {
        c->record = c->old->possible[0];
    }
    if (d->owner.segment.p) {
        if (!(c->desired = coco__arena_alloc(&comp->arena, sizeof *c->desired))) return COCO_ENOMEM;
        COCO_TRY(coco__value_copy(&comp->arena, d->value, c->desired));
    }
    *out = c;
    return COCO_OK;
}

static coco_status coco__declare_decide(coco_ctx *cx, coco__declaration *d, coco_decision *decision)
{
    coco_change in = {
        .key = d->key, .desired = &d->value, .possible = d->old.possible, .npossible = d->old.npossible
    };

    memset(decision, 0, sizeof *decision);
    if (d->opts && d->opts->user_managed) return COCO_OK;
    if (d->old.user_managed) in.npossible = d->old.npossible = 0;
    in.may_be_missing = cx->run->full || coco__any_absent(&d->old) || d->old.counter != d->target->counter;
    return coco__reconcile(cx, d->target, &in, decision);
}

/* Is there anything to write for a state whose handler keeps it? */
static bool coco__declare_rewrites(const coco__declaration *d)
{
    bool user = d->opts && d->opts->user_managed;

    return !d->was || d->old.condemned || user != d->old.user_managed;
}

static coco_status coco__declare_child(coco_ctx *cx, coco__declaration *d, coco__change *c,
                                       const coco_decision *decision, coco_target **child)
{
    coco_target *t;
    coco_status rc;

    COCO_TRY(coco__target_at(cx->run, d->target, d->full, (coco_str){ 0 }, &t));
    if (c) COCO_TRY(coco__child_fate(cx, c, decision, t, &t));
    rc = coco__target_ready(t, &d->value);
    if (rc != COCO_OK) return coco__keep(cx, rc, coco_error_message(cx->run->cx));
    COCO_TRY(coco__target_title(cx, t, d->opts ? d->opts->title : NULL));
    *child = t;
    return COCO_OK;
}

/* What a state declared through a memoized call, or into a place, means for the memos around. */
static coco_status coco__declare_depend(coco_ctx *cx, const coco__declaration *d, const coco_target *t)
{
    uint8_t fp[COCO__FP];

    if (cx->memo_depth) {
        cx->owned = true;
        if (d) coco__buf_blob(&cx->declared, d->ekey.b, d->ekey.n);
        if (cx->declared.failed) return coco__oom(cx);
    }
    if (!coco__records(cx)) return COCO_OK;
    coco__put_be64(fp, t->id);
    coco__put_be64(fp + 8, t->counter);
    return coco__deps_add(cx->run, &cx->deps, COCO__D_PROVIDER, coco_str_of(t->title), fp);
}

static coco_status coco__declare_states(coco_ctx *cx, coco__declaration *d, coco_target **child)
{
    coco_decision decision;
    coco__change *c = NULL;

    COCO_TRY(coco__declare_find(cx, d));
    COCO_TRY(coco__declare_decide(cx, d, &decision));
    if (decision.act || coco__declare_rewrites(d)) {
        COCO_TRY(coco__declare_change(cx, d, &decision, &c));
        if (coco__listening(cx->run) && decision.act) coco__emit_state(cx->run, COCO_EV_RECONCILED, cx->comp, c, NULL);
    }
    if (d->container) COCO_TRY(coco__declare_child(cx, d, c, &decision, child));
    /* a container before: its content's place goes with the commit */
    if (c && !d->container && d->was && d->old.container) {
        COCO_TRY(coco__target_at(cx->run, d->target, d->full, (coco_str){ 0 }, &c->child));
        c->child_fate = COCO__CHILD_GONE;
    }
    if (c) COCO_TRY(coco__change_records(cx->comp, c));
    COCO_TRY(coco__declare_depend(cx, d, d->target));
    return d->container ? coco__declare_depend(cx, NULL, *child) : COCO_OK;
}

static coco_status coco__declare(coco_ctx *cx, coco__declaration *d, coco_target **child)
{
    coco_status rc;

    if (cx->kept) return cx->kept;
    if (!cx->comp) return coco_fail(cx, COCO_EINVAL, "a target state can be declared only inside a component");
    if (!d->target) return coco_fail(cx, COCO_EINVAL, "declared into no target");
    for (const coco_target *t = d->target; t; t = t->parent)
        if (t->owner && t->owner != cx->comp)
            return coco_fail(cx, COCO_EINVAL,
                             "target %s isn't applied yet: mount it (coco_mount_target) before others declare into it",
                             t->title);
    coco__buf_init(&d->bytes, cx->run->mem);
    rc = coco__key_put(&d->bytes, d->key);
    if (rc == COCO_OK && d->bytes.failed) rc = coco__oom(cx);
    else if (rc != COCO_OK)
        coco_fail(cx, rc, "target %s: a key must be null, bool, int, text, bytes, uuid or a list of these",
                  d->target->title);
    d->full = (coco_str){ (char *)d->bytes.p, d->bytes.n };
    if (rc == COCO_OK) {
        coco__ekey_make(&d->ekey, d->target->id, d->full.p, d->full.n);
        if (coco__listening(cx->run)) {
            coco__change seen = { .target = d->target, .key = d->full, .container = d->container };
            coco__emit_state(cx->run, COCO_EV_DECLARED, cx->comp, &seen, NULL);
        }
        rc = cx->comp->above ? (d->container ? coco__declare_child(cx, d, NULL, NULL, child) : COCO_OK)
                             : coco__declare_states(cx, d, child);
        if (rc == COCO_ENOMEM) coco__oom(cx);
        else if (rc != COCO_OK && !cx->message)
            coco_fail(cx, rc, "target %s: %s", d->target->title, coco_status_text(rc));
    }
    coco__buf_free(&d->bytes);
    return rc;
}

coco_status coco_declare(coco_ctx *cx, coco_target *target, coco_value key, coco_value value)
{
    coco__declaration d = { .target = target, .key = key, .value = value };

    return coco__declare(cx, &d, NULL);
}

coco_status coco_declare_container(coco_ctx *cx, coco_target *target, coco_value key, coco_value value,
                                   const coco_container_opts *opts, coco_target **child)
{
    coco__declaration d = { .target = target, .key = key, .value = value, .opts = opts, .container = true };

    *child = NULL;
    return coco__declare(cx, &d, child);
}

coco_status coco_attachment(coco_ctx *cx, coco_target *container, const char *name, coco_target **out)
{
    coco_status rc;

    *out = NULL;
    if (cx->kept) return cx->kept;
    if (!container) return coco_fail(cx, COCO_EINVAL, "attachment %s of no target", name);
    rc = coco__target_at(cx->run, container, (coco_str){ 0 }, coco_str_of(name), out);
    if (rc == COCO_OK) rc = coco__target_ready(*out, NULL);
    if (rc == COCO_OK) return coco__target_title(cx, *out, NULL);
    *out = NULL;
    return coco__keep(cx, rc, coco_error_message(cx->run->cx));
}

/* ---- No longer declared ---- */

static coco_status coco__gone_change(coco__comp *comp, const coco__entry *e, coco__change **out)
{
    coco__change *c = coco__owned_change(&comp->owned, e->ekey);

    if (!c) return COCO_ENOMEM;
    c->was = true;
    comp->dirty = true;
    *out = c;
    return COCO_OK;
}

static bool coco__place_condemned(const coco_target *t)
{
    for (; t; t = t->parent)
        if (t->condemned && t->parent && t->parent->handler.drop_removes_content) return true;
    return false;
}

static coco_status coco__gone_state(coco__comp *comp, coco__change *c, const coco__state *s, coco_target *t)
{
    coco_ctx cx = { .run = comp->run, .comp = comp, .arena = &comp->arena, .home = &comp->arena };
    coco__reader r = coco__reader_of(s->key.p, s->key.n);
    coco_decision decision;
    coco_change in = { .possible = s->possible, .npossible = s->npossible };
    coco_status rc;

    in.may_be_missing = coco__any_absent(s);
    COCO_TRY(coco__key_get(&r, &comp->arena, &in.key));
    rc = coco__reconcile(&cx, t, &in, &decision);
    if (rc != COCO_OK) return coco__keep(comp->run->cx, rc, coco_error_message(&cx));
    if (!decision.act) return COCO_OK;
    COCO_TRY(coco__keep_action(comp, c, &decision));
    c->action->key = in.key;
    COCO_TRY(coco__change_records(comp, c));
    if (coco__listening(comp->run)) coco__emit_state(comp->run, COCO_EV_RECONCILED, comp, c, NULL);
    return COCO_OK;
}

/* Lists a container whose delete waits for the end of the update. */
static coco_status coco__condemn(coco__comp *comp, coco_str ekey, const coco__state *s, coco_target *place)
{
    coco__condemned *d = coco__arena_zalloc(&comp->run->arena, sizeof *d);

    if (!d || !(d->ekey.p = coco__arena_copy(&comp->run->arena, ekey.p, ekey.n))) return COCO_ENOMEM;
    d->ekey.n = ekey.n;
    d->place = place;
    COCO_TRY(coco__target_at(comp->run, place, s->key, (coco_str){ 0 }, &d->child));
    d->next = comp->condemned;
    comp->condemned = d;
    comp->condemns = true;
    return COCO_OK;
}

COCO__IN coco_status coco__declare_gone(coco__comp *comp, const coco__entry *e, coco__delete_mode mode)
{
    uint64_t space = coco__ekey_space((const uint8_t *)e->ekey.p, e->ekey.n, NULL);
    coco_target *t = NULL;
    coco__change *c;
    coco__state s;
    coco_str value = { coco__arena_copy(&comp->arena, e->value.p, e->value.n), e->value.n };

    if (!value.p) return COCO_ENOMEM;
    if (space < COCO__S_FIRST_PROVIDER) {
        if (mode >= COCO__DEL_CONTAINER) return COCO_OK;
        COCO_TRY(coco__gone_change(comp, e, &c));
        if (space == COCO__S_MEMO) c->record = value;
        return COCO_OK;
    }
    COCO_TRY(coco__target_by_id(comp->run, space, &t));
    if (!t) { /* void: dropped without an action */
        COCO_TRY(coco__gone_change(comp, e, &c));
        c->is_void = true;
        return COCO_OK;
    }
    if (mode == COCO__DEL_VOID) return COCO_OK;
    COCO_TRY(coco__state_get(e->ekey, value, &s));
    if (mode == COCO__DEL_CONTENT && s.container) return COCO_OK;
    if (mode == COCO__DEL_CONTAINER && !s.container) return COCO_OK;
    if (!s.user_managed) COCO_TRY(coco__target_ready(t, NULL));
    if (mode == COCO__DEL_CONTENT && coco__place_condemned(t)) return COCO_OK;
    if (s.container && mode == COCO__DEL_CONDEMN) COCO_TRY(coco__condemn(comp, e->ekey, &s, t));
    if (s.condemned && mode == COCO__DEL_CONDEMN) return COCO_OK; /* as recorded */
    COCO_TRY(coco__gone_change(comp, e, &c));
    c->target = t;
    COCO_TRY(coco__old_keep(comp, c, &s));
    c->key = s.key.n > COCO__CUT ? s.key : (coco_str){ c->ekey.p + (c->ekey.n - s.key.n), s.key.n };
    c->old->key = c->key;
    c->container = s.container;
    if (s.container && mode == COCO__DEL_CONDEMN) {
        s.condemned = true;
        s.key = c->key;
        return coco__state_bytes(comp, &s, &c->after);
    }
    if (s.container) {
        COCO_TRY(coco__target_at(comp->run, t, c->key, (coco_str){ 0 }, &c->child));
        c->child_fate = COCO__CHILD_GONE;
    }
    return s.user_managed ? COCO_OK : coco__gone_state(comp, c, &s, t);
}

COCO__IN coco_status coco__reclaim(coco__comp *comp, coco__change *c, const coco__state *now)
{
    coco_ctx cx = { .run = comp->run, .comp = comp, .arena = &comp->arena, .home = &comp->arena };
    coco__reader r = coco__reader_of(c->key.p, c->key.n);
    coco_decision decision;
    coco_change in = { .desired = c->desired, .possible = now->possible, .npossible = now->npossible };

    COCO_TRY(coco__old_keep(comp, c, now));
    in.may_be_missing = comp->run->full || coco__any_absent(now) || now->counter != c->target->counter;
    COCO_TRY(coco__key_get(&r, &comp->arena, &in.key));
    COCO_TRY(coco__reconcile(&cx, c->target, &in, &decision));
    if (decision.act) {
        COCO_TRY(coco__keep_action(comp, c, &decision));
        c->action->key = in.key;
    } else {
        c->action = NULL;
        c->record = now->possible[0];
    }
    return coco__change_records(comp, c);
}
