/* provider.c - providers, their handlers and titles, and whether the containers behind them exist.
 *
 * Floor: above memo. A provider is the place of a container's children (a directory's files, a table's rows); it has
 * an id that is never given twice. Recreating the container gives it a new id, and what is recorded under the old one
 * is void: no delete is sent for it, it is declared anew. For other components that holds from the precommit of who
 * recreates it on: until then that one may still fail.
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

coco_status coco_target_make(coco_ctx *cx, const char *name, coco_value key, coco_target_handler *out)
{
    for (coco_target_type *t = coco__target_types; t; t = t->next)
        if (strcmp(t->name, name) == 0) return t->make(cx, key, out);
    return coco_fail(cx, COCO_ENOPROVIDER, "no handler called %s is registered", name);
}

COCO__IN const char *coco__said(const coco__run *run, coco_status rc)
{
    return run->cx_err.code == rc ? run->cx_err.msg : coco_status_text(rc);
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

/* Puts the key of a provider's place below its parent behind what is in b. */
static void coco__place_suffix(coco__buf *b, const coco_target *t)
{
    coco__provider_suffix(b, t->attachment.p ? t->attachment : t->key, t->attachment.p != NULL);
}

/* Of the record of t; the key is put together in the run's scratch buffer. */
static coco_status coco__provider_key(coco__dbkey *k, const coco_target *t)
{
    coco__buf *b = &t->run->scratch;
    coco__place at = { t->parent ? t->parent->id : 0, { NULL, 0 } };

    b->n = 0;
    coco__place_suffix(b, t);
    at.segment = coco__buf_view(b);
    coco__place_key(k, COCO__PROVIDER, &at);
    return b->failed ? COCO_ENOMEM : COCO_OK;
}

/* Reads a provider's record, if there is one, into t, which is `stored` then. */
static coco_status coco__target_read(coco_target *t, const coco__dbkey *k)
{
    coco__arena *a = &t->run->arena;
    coco__provider_rec rec;
    coco__buf b;
    coco_str p;

    coco__buf_init(&b, t->run->mem);
    coco_status rc = coco__run_get(t->run, k, &b, &p);
    t->stored = p.p != NULL;
    if (rc == COCO_OK && t->stored && (rc = coco__provider_get(p, &rec)) == COCO_OK) {
        t->id = rec.id;
        t->counter = rec.counter;
        t->user_managed = rec.user_managed;
        t->title = coco__arena_copy(a, rec.title.p, rec.title.n);
        t->record = coco__arena_str(a, rec.record);
        coco_str key = *(rec.attachment ? &t->attachment : &t->key) = coco__arena_str(a, rec.key);
        if (!t->title || !t->record.p || !key.p) rc = COCO_ENOMEM;
    }
    coco__buf_free(&b);
    return rc;
}

static coco_status coco__target_link(coco_target *t, coco_target *parent)
{
    coco__buf b;
    coco__run *run = t->run;

    t->parent = parent;
    t->depth = parent ? parent->depth + 1 : 0;
    t->top = !parent || parent->depth == 0 ? t : parent->top;
    coco__buf_init(&b, run->mem);
    if (parent) coco__buf_put(&b, parent->identity.p, parent->identity.n);
    coco__place_suffix(&b, t);
    t->identity = coco__buf_take(&b, &run->arena);
    coco__buf_be64(&b, parent ? parent->id : 0);
    coco__place_suffix(&b, t);
    coco_str place = coco__buf_take(&b, &run->arena);
    if (!place.p || !t->identity.p || !coco__table_put(&run->target_places, place.p, place.n, t)) return COCO_ENOMEM;
    if (coco__table_get(&run->targets, &t->id, sizeof t->id)) return COCO_OK;
    if (!coco__table_put(&run->targets, &t->id, sizeof t->id, t)) return COCO_ENOMEM;
    t->next = run->known_targets;
    run->known_targets = t;
    return COCO_OK;
}

/* Gives it an id under which nothing is recorded. */
static void coco__target_first(coco_target *t)
{
    t->id = t->run->meta.next_provider++;
    t->found = COCO__FOUND_THERE;
    t->top_known = true;
}

COCO__IN coco_status coco__target_at(coco__run *run, coco_target *parent, coco_str key, bool attachment,
                                     coco_target **out)
{
    coco_target *t;
    coco__buf b;
    coco__place at = { parent ? parent->id : 0, { NULL, 0 } };
    coco__dbkey k;

    coco__buf_init(&b, run->mem);
    coco__buf_be64(&b, at.parent);
    coco__provider_suffix(&b, key, attachment);
    bool failed = b.failed;
    *out = failed ? NULL : coco__table_get(&run->target_places, b.p, b.n);
    if (!failed) at.segment = (coco_str){ (char *)b.p + 8, b.n - 8 };
    coco__place_key(&k, COCO__PROVIDER, &at);
    coco__buf_free(&b);
    if (*out) return COCO_OK;
    if (failed || !(t = coco__arena_zalloc(&run->arena, sizeof *t))) return COCO_ENOMEM;
    t->run = run;
    COCO_TRY(coco__target_read(t, &k));
    if (!t->stored) { /* nothing to miss */
        if (!(key = coco__arena_str(&run->arena, key)).p) return COCO_ENOMEM;
        *(attachment ? &t->attachment : &t->key) = key;
        coco__target_first(t);
    }
    COCO_TRY(coco__target_link(t, parent));
    *out = t;
    return COCO_OK;
}

COCO__IN coco_status coco__target_by_id(coco__run *run, uint64_t id, coco_target **target)
{
    coco_target *t = coco__table_get(&run->targets, &id, sizeof id), *parent = NULL;
    coco__dbkey k;
    coco__buf b;
    coco_str p;
    uint64_t up = 0;

    *target = t && coco__target_void(t, NULL) ? NULL : t;
    if (t) return COCO_OK;
    if (!(t = coco__arena_zalloc(&run->arena, sizeof *t))) return COCO_ENOMEM;
    t->run = run;
    coco__buf_init(&b, run->mem);
    coco__dbkey_id(&k, COCO__PROVIDER_ID, id, NULL, 0);
    coco_status rc = coco__run_get(run, &k, &b, &p);
    if (rc == COCO_OK && p.n >= 8 && p.n < COCO__KEY_MAX) {
        up = coco__get_be64((const uint8_t *)p.p);
        coco__dbkey_id(&k, COCO__PROVIDER, up, p.p + 8, p.n - 8);
        rc = coco__target_read(t, &k);
    }
    coco__buf_free(&b);
    if (rc != COCO_OK || !t->stored) return rc;
    /* what stands in another got its number later: no circle of damaged records is followed */
    if (up) COCO_TRY(up < id ? coco__target_by_id(run, up, &parent) : COCO_ECORRUPT);
    if (t->id != id || (up && !parent)) return COCO_OK;
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

COCO__IN coco_status coco__target_ready(coco_target *t, const coco_value *desired)
{
    coco_ctx *cx = t->run->cx;
    coco__reader r = coco__reader_of(t->key.p, t->key.n);
    coco_value key = coco_null();
    coco_status rc;
    /* it was made from what is recorded, and what is desired is known now */
    bool stale = t->of_record && (desired || (t->attachment.p && !t->parent->of_record));

    if (t->handler.reconcile && !stale) return COCO_OK;
    memset(&t->handler, 0, sizeof t->handler);
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
    t->of_record = t->parent && (t->attachment.p ? t->parent->of_record : !desired);
    return COCO_OK;
}

/* ---- Titles ---- */

COCO__IN void coco__state_print(coco__buf *b, coco_str title, coco_str key)
{
    coco__buf_put(b, title.p, title.n);
    coco__buf_byte(b, ':');
    coco__key_print(b, key.p, key.n);
}

COCO__IN void coco__state_name(coco__buf *b, const coco_target *target, coco_str key)
{
    coco__state_print(b, coco_str_of(target ? target->title : NULL), key);
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

COCO__IN coco_status coco__target_title(coco_ctx *cx, coco_target *t, const char *title)
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
    if (rc == COCO_OK && other && other != t && !coco__target_gone(other) &&
        !coco_str_equal(other->identity, t->identity))
        rc = coco__title_taken(cx, &b, other, t);
    if (rc == COCO_OK) {
        if (!t->title || strcmp(t->title, coco__buf_cstr(&b)) != 0) t->title = coco__arena_copy(&run->arena, b.p, b.n);
        if (b.failed || !t->title || !coco__table_put(&run->titles, t->title, b.n, t)) rc = coco__oom(cx);
        else t->counts = coco__counts_of_title(run->app, t->title);
    }
    coco__buf_free(&b);
    return rc;
}

static coco_target *coco__target_new(coco_ctx *cx, const char *name, coco_value key, const char *title)
{
    coco_value both[2] = { coco_symbol(name), key };
    coco_target *t = NULL;
    coco__buf b;
    coco_status rc;

    coco__buf_init(&b, cx->run->mem);
    rc = coco__key_put(&b, coco_list(both, 2));
    if (rc == COCO_OK && b.failed) rc = COCO_ENOMEM;
    if (rc == COCO_OK) rc = coco__target_at(cx->run, NULL, coco__buf_view(&b), false, &t);
    if (rc == COCO_OK) rc = coco__target_ready(t, NULL);
    coco__buf_free(&b);
    if (rc == COCO_OK) rc = coco__target_title(cx, t, title);
    else if (cx->run->cx->said == rc) coco__say(cx, rc, coco_error_message(cx->run->cx));
    else coco_fail(cx, rc, "target %s: %s", name, coco__said(cx->run, rc));
    if (rc == COCO_OK) return t;
    coco__keep(cx, rc, NULL);
    return NULL;
}

coco_target *coco_target_new(coco_ctx *cx, const char *name, coco_value key, const char *title)
{
    COCO__INSIDE(cx->run, coco_target *, coco__target_new(cx, name, key, title));
}

/* ---- Writing providers ---- */

COCO__IN coco_status coco__provider_write(const coco__txn *t, coco_target *p)
{
    coco__run *run = p->run;
    coco__dbkey k, by_id;
    coco__buf *b = &run->scratch;
    coco__provider_rec rec = { .id = p->id, .counter = p->counter, .user_managed = p->user_managed,
                               .title = coco_str_of(p->title), .record = p->record };

    if (p->parent && !p->parent->stored) COCO_TRY(coco__provider_write(t, p->parent));
    COCO_TRY(coco__provider_key(&k, p));
    rec.attachment = p->attachment.p != NULL;
    rec.key = rec.attachment ? p->attachment : p->key;
    b->n = 0;
    coco__provider_put(b, &rec);
    COCO_TRY(coco__put_buf(t, &k, b));
    coco__dbkey_id(&by_id, COCO__PROVIDER_ID, p->id, NULL, 0);
    return coco__put(t, &by_id, k.b + 1, k.n - 1);
}

/* Everything recorded under one provider id but its own record: index, count, and the providers below. The states that
 * go with it are taken from the total of top. */
static coco_status coco__provider_clear(coco_target *top, const coco__txn *t, uint64_t id)
{
    uint64_t states = 0;
    coco__dbkey k, child;
    coco__ekey e;

    coco__ekey_make(&e, id, NULL, 0);
    coco__dbkey_raw(&k, COCO__OWNER, e.b, e.n);
    COCO_TRY(coco__del_range(t, &k, &states));
    if (states) coco__target_count(top, -(int64_t)states);
    COCO_TRY(coco__del_id(t, COCO__PROVIDER_ID, id));
    COCO_TRY(coco__del_id(t, COCO__COUNT_OF, id));
    coco__dbkey_id(&k, COCO__PROVIDER, id, NULL, 0);
    for (;;) { /* children one by one: each takes its own range along */
        uint64_t below = 0;
        coco_status rc = coco__first(t, &k, &child);
        if (rc == COCO_ENOTFOUND) return COCO_OK;
        if (rc == COCO_OK) rc = coco__get_number(t, &child, &below);
        if (rc == COCO_ECORRUPT || (rc == COCO_OK && below <= id))
            return coco_err_set(t->err, COCO_ECORRUPT, "state database: malformed target record");
        COCO_TRY(rc);
        COCO_TRY(coco__provider_clear(top, t, below));
        COCO_TRY(coco__del(t, &child));
    }
}

COCO__IN coco_status coco__provider_destroy(const coco__txn *t, coco_target *p)
{
    coco__dbkey k;
    uint64_t id;

    COCO_TRY(coco__provider_clear(p->top, t, p->id));
    COCO_TRY(coco__provider_key(&k, p));
    COCO_TRY(coco__get_number(t, &k, &id));
    return id == p->id ? coco__del(t, &k) : COCO_OK; /* or its successor stands there already */
}

/* ---- Owners ---- */

COCO__IN bool coco__owner_none(const coco_target *target, coco_str ekey)
{
    return target->top_known && coco__str_cmp(ekey, target->top_key) > 0;
}

/* It only grows, so it may name what is gone by now, or was never committed. */
static coco_status coco__top_raise(coco_target *t, coco_str ekey)
{
    if (ekey.n > t->top_cap) {
        size_t cap = ekey.n < 64 ? 64 : COCO__EKEY_MAX;
        if (!(t->top_room = coco__arena_alloc(&t->run->arena, cap))) return COCO_ENOMEM;
        t->top_cap = cap;
    }
    memcpy(t->top_room, ekey.p, ekey.n);
    t->top_key = (coco_str){ t->top_room, ekey.n };
    return COCO_OK;
}

COCO__IN coco_status coco__owner_top(coco_target *target, const coco__txn *t)
{
    coco__ekey last;
    coco__dbkey k;
    coco__scan s;
    coco_status rc = COCO_OK;

    if (target->top_known) return COCO_OK;
    coco__ekey_make(&last, target->id, "\xff", 1); /* no key begins so */
    coco__dbkey_raw(&k, COCO__OWNER, last.b, last.n);
    coco__scan_open(&s, t, &k, k.n - 1);
    if (coco__scan_back(&s)) rc = coco__top_raise(target, (coco_str){ (char *)s.key.mv_data + 1, s.key.mv_size - 1 });
    rc = coco__scan_close(&s, rc);
    target->top_known = rc == COCO_OK;
    return rc;
}

COCO__IN coco_status coco__owner_get(const coco__txn *t, coco_str ekey, coco__place *at)
{
    coco__dbkey k;
    coco_str p;

    coco__dbkey_raw(&k, COCO__OWNER, ekey.p, ekey.n);
    COCO_TRY(coco__get(t, &k, &p));
    return coco__place_get(p, at);
}

COCO__IN coco_status coco__owner_put(const coco__txn *t, coco_target *target, coco_str ekey, const coco__place *at)
{
    coco__buf *b = &target->run->scratch;
    coco__dbkey k;

    if (coco__owner_none(target, ekey)) COCO_TRY(coco__top_raise(target, ekey));
    b->n = 0;
    coco__place_put(b, at);
    coco__dbkey_raw(&k, COCO__OWNER, ekey.p, ekey.n);
    return coco__put_buf(t, &k, b);
}

/* ---- Counts ---- */

COCO__IN void coco__target_block(coco_target *target, bool again)
{
    for (; target; target = target->parent) target->blocked = true, target->barred |= !again;
}

COCO__IN void coco__target_count(coco_target *target, int64_t delta)
{
    coco_target *top = target->top;

    top->delta += delta;
    if (top->dirty) return;
    top->dirty = true;
    top->next_dirty = top->run->dirty_targets;
    top->run->dirty_targets = top;
}

COCO__IN coco_status coco__providers_count(coco__run *run, const coco__txn *t)
{
    coco__dbkey k;
    uint64_t n;

    for (coco_target *top = run->dirty_targets; top; top = top->next_dirty) {
        if (!top->delta || coco__target_void(top, NULL)) continue;
        coco__dbkey_id(&k, COCO__COUNT_OF, top->id, NULL, 0);
        COCO_TRY(coco__get_number(t, &k, &n));
        n = top->delta < 0 && n < (uint64_t)-top->delta ? 0 : n + (uint64_t)top->delta;
        COCO_TRY(coco__put_number(t, &k, n));
    }
    return COCO_OK;
}

COCO__IN coco_status coco__target_titled(coco__run *run, const char *title, coco_target **out)
{
    coco__dbkey prefix;
    coco__txn t;
    coco__scan s;
    coco__provider_rec rec;
    coco_str p;
    uint64_t id = 0;
    coco_status rc;

    *out = NULL;
    COCO_TRY(coco__run_read(run, &t));
    coco__dbkey_raw(&prefix, COCO__PROVIDER, NULL, 0);
    coco__scan_open(&s, &t, &prefix, prefix.n);
    while (!id && coco__scan_next(&s))
        if (coco__check_payload(&t, &s.key, &s.data, &p) == COCO_OK && coco__provider_get(p, &rec) == COCO_OK &&
            coco_str_equal(rec.title, coco_str_of(title)))
            id = rec.id;
    rc = coco__scan_close(&s, COCO_OK);
    coco__run_read_end(run, &t);
    return rc == COCO_OK && id ? coco__target_by_id(run, id, out) : rc;
}

/* ---- A new id ---- */

COCO__IN bool coco__target_gone(const coco_target *t)
{
    while (t && !t->gone) t = t->parent;
    return t != NULL;
}

COCO__IN bool coco__target_void(const coco_target *t, const coco__comp *by)
{
    while (t && !(t->gone && (!t->renewer || t->renewer == by))) t = t->parent;
    return t != NULL;
}

COCO__IN coco_target *coco__target_now(coco_target *t)
{
    while (t && t->successor) t = t->successor;
    return t;
}

COCO__IN coco_status coco__provider_renew(coco__run *run, coco_target *old, coco__comp *by, coco_target **out)
{
    coco_target *t = coco__arena_zalloc(&run->arena, sizeof *t);

    if (!t) return COCO_ENOMEM;
    t->run = run;
    t->key = old->key;
    t->title = old->title;
    coco__target_first(t);
    COCO_TRY(coco__target_link(t, old->parent));
    old->gone = true;
    old->renewer = by;
    old->successor = t;
    run->epoch++;
    *out = t;
    return COCO_OK;
}

COCO__IN coco_status coco__provider_restore(coco_target *old, coco_target *replacement)
{
    old->gone = false;
    old->renewer = NULL;
    old->successor = NULL;
    replacement->gone = true;
    replacement->successor = old;
    old->run->epoch++;
    return coco__target_link(old, old->parent);
}

/* ---- Existence (S7.13) ---- */

/* Asks the handler of the place that the container is in; found and shape are set last. */
static coco_status coco__container_ask(coco_target *t, coco__arena *a)
{
    coco__run *run = t->run;
    const coco_target_handler up = t->parent->handler;
    coco__reader r = coco__reader_of(t->key.p, t->key.n);
    coco_ctx cx = *run->cx;
    coco_str shape = { 0 };
    coco_value key;
    bool exists = false;
    coco_status rc;

    cx.arena = cx.home = a;
    cx.kept = cx.said = COCO_OK;
    cx.message = NULL;
    COCO_TRY(coco__key_get(&r, a, &key));
    t->found = COCO__FOUND_ASKING;
    COCO__USER(run, rc = up.exists(&cx, up.self, key, t->record, &exists, &shape));
    if (rc == COCO_OK) rc = cx.kept;
    if (rc != COCO_OK) return coco__say(run->cx, rc, coco_error_message(&cx));
    bool other = exists && shape.p && !coco_str_equal(shape, t->record);
    if (other && !(t->shape = coco__arena_str(&run->arena, shape)).p) return COCO_ENOMEM;
    t->found = !exists ? COCO__FOUND_MISSING : other ? COCO__FOUND_OTHER : COCO__FOUND_THERE;
    return COCO_OK;
}

static coco_status coco__container_look(coco_target *t)
{
    coco__arena a;
    coco_status rc;

    t->run->cx->message = NULL;
    COCO_TRY(coco__target_ready(t->parent, NULL));
    if (!t->parent->handler.exists) return COCO_OK; /* taken for there */
    coco__arena_init(&a, t->run->mem);
    rc = coco__container_ask(t, &a);
    coco__arena_free(&a);
    return rc;
}

COCO__IN coco_status coco__container_found(coco_ctx *cx, coco_target *t)
{
    coco_target *up = t->stored ? t->parent : NULL;

    if (t->found == COCO__FOUND_UNASKED && up) COCO_TRY(coco__container_found(cx, up)); /* others may run meanwhile */
    if (t->found == COCO__FOUND_UNASKED && up && up->found == COCO__FOUND_MISSING) t->found = COCO__FOUND_MISSING;
    /* an attachment is there when its container is */
    if (t->found == COCO__FOUND_UNASKED && up && !t->attachment.p && !t->user_managed) {
        if ((t->trouble = coco__container_look(t)) != COCO_OK) {
            t->found = COCO__FOUND_ERROR;
            t->trouble_text = cx->run->cx->message;
        }
        coco__changed(cx->run);
    }
    if (t->found == COCO__FOUND_ASKING) { /* another thread does */
        coco__wait_begin(t->run);
        while (t->found == COCO__FOUND_ASKING) coco__wait_change(t->run, 0);
        coco__wait_end(t->run);
    }
    if (t->found == COCO__FOUND_UNASKED) t->found = COCO__FOUND_THERE;
    if (t->found != COCO__FOUND_ERROR) return COCO_OK;
    return coco_fail(cx, t->trouble, "can't tell whether target %s exists: %s", t->title,
                     t->trouble_text ? t->trouble_text : coco_status_text(t->trouble));
}

COCO__IN coco_status coco__provider_holds(coco_ctx *cx, const uint8_t fp[COCO__FP], bool *holds, bool *missing)
{
    uint64_t id = coco__get_be64(fp);
    const coco_target *before = coco__table_get(&cx->run->targets, &id, sizeof id);
    coco_target *t = NULL;

    *missing = before && before->found == COCO__FOUND_MISSING; /* also when it was declared anew since */
    *holds = coco__target_by_id(cx->run, id, &t) == COCO_OK && t && !coco__target_gone(t) &&
             t->counter == coco__get_be64(fp + 8);
    if (!*holds) return COCO_OK;
    COCO_TRY(coco__container_found(cx, t));
    *missing = t->found == COCO__FOUND_MISSING;
    *holds = t->found == COCO__FOUND_THERE;
    return COCO_OK;
}
