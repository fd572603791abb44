/* logic.c - functions and their logic fingerprints, names, and dependency sets.
 *
 * Floor: above store. A dependency is something a memo relied on (a function's logic, a context value, a
 * parameter, a target's schema) with the value it had. The dependencies of one memo form a set; most components
 * share one, so sets are interned, stored once with a use count, and judged once in a run: valid if and only if
 * every dependency equals the current one. A provider that changes raises the run's epoch, which unjudges all. */
#include "engine.h"

static coco_fn *coco__fns;
static coco_logic_table *coco__logics;
static coco_class *coco__classes;
static pthread_mutex_t coco__registry_mutex = PTHREAD_MUTEX_INITIALIZER;

void coco_register(coco_fn *fn)
{
    coco_fn **last = &coco__fns;
    uint32_t index = 0;

    if (!fn->name) fn->name = fn->ident;
    for (; *last; last = &(*last)->next, index++)
        if (*last == fn) return;
    fn->index = index;
    fn->next = NULL;
    *last = fn;
}

void coco_logic_register(coco_logic_table *table)
{
    for (coco_logic_table *t = coco__logics; t; t = t->next)
        if (t == table) return;
    table->next = coco__logics;
    coco__logics = table;
}

void coco_class_register(coco_class *cls)
{
    for (coco_class *c = coco__classes; c; c = (coco_class *)(uintptr_t)c->next)
        if (c == cls) return;
    cls->next = coco__classes;
    coco__classes = cls;
}

COCO__IN const coco_class *coco__class_named(coco_str type)
{
    for (const coco_class *c = coco__classes; c; c = c->next)
        if (coco_str_equal(coco_str_of(c->type), type)) return c;
    return NULL;
}

COCO__IN size_t coco__fn_count(void)
{
    size_t n = 0;

    for (const coco_fn *f = coco__fns; f; f = f->next) n++;
    return n;
}

COCO__IN const coco_fn *coco__fn_named(coco_str name)
{
    for (const coco_fn *f = coco__fns; f; f = f->next)
        if (coco_str_equal(coco_str_of(f->name), name)) return f;
    return NULL;
}

COCO__IN const coco_fn *coco__fn_at(size_t index)
{
    const coco_fn *f = coco__fns;

    while (f && index--) f = f->next;
    return f;
}

static const char *coco__base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;

    return slash ? slash + 1 : path ? path : "";
}

static const char *coco__generated_logic(const coco_fn *fn)
{
    for (const coco_logic_table *t = coco__logics; t; t = t->next)
        for (size_t i = 0; i < t->n; i++)
            if (fn->ident && strcmp(t->entries[i].ident, fn->ident) == 0 &&
                strcmp(coco__base_name(t->entries[i].file), coco__base_name(fn->file)) == 0)
                return t->entries[i].fingerprint;
    return "";
}

/* Name, version or generated fingerprint, and deps. */
static coco_status coco__fn_logic(coco_fn *fn, coco_err *err)
{
    coco_value parts[] = { coco_text(fn->name), coco_int(fn->version),
                           coco_text(fn->version ? "" : coco__generated_logic(fn)), fn->deps };

    if (fn->deps.kind != COCO_NULL && fn->logic_tracking == COCO_LOGIC_NONE)
        return coco_err_set(err, COCO_EINVAL, "function %s: deps are given, but logic_tracking is none", fn->name);
    if (coco_fingerprint(coco_list(parts, 4), fn->logic) != COCO_OK)
        return coco_err_set(err, COCO_ETYPE, "function %s: deps hold an object", fn->name);
    return COCO_OK;
}

COCO__IN coco_status coco__registry_check(coco_err *err)
{
    coco_status rc = COCO_OK;

    pthread_mutex_lock(&coco__registry_mutex);
    for (coco_fn *f = coco__fns; f && rc == COCO_OK; f = f->next) {
        if (!f->name || !f->call || f->nparams < 0 || f->nparams > COCO_MAX_PARAMS)
            rc = coco_err_set(err, COCO_EINVAL,
                              "a registered function lacks a name or a body, or has too many parameters");
        else if (coco__fn_named(coco_str_of(f->name)) != f)
            rc = coco_err_set(err, COCO_EDUP, "two registered functions are called %s: tell them apart by .name",
                              f->name);
        else
            rc = coco__fn_logic(f, err);
    }
    pthread_mutex_unlock(&coco__registry_mutex);
    return rc;
}

/* ---- Function names by number, as records hold them ---- */

static coco_status coco__name_add(coco__run *run, uint64_t id, coco_str name)
{
    char *copy = coco__arena_copy(&run->arena, name.p, name.n);

    if (id >= run->names_cap) {
        uint64_t cap = id * 2 + 16;
        coco_str *list = coco__arena_zalloc(&run->arena, (size_t)cap * sizeof *list);
        if (!list) return COCO_ENOMEM;
        if (run->name_list) memcpy(list, run->name_list, (size_t)run->names_cap * sizeof *list);
        run->name_list = list;
        run->names_cap = cap;
    }
    if (!copy || !coco__table_put(&run->names, copy, name.n, (void *)(uintptr_t)id)) return COCO_ENOMEM;
    run->name_list[id] = (coco_str){ copy, name.n };
    return COCO_OK;
}

COCO__IN coco_status coco__name_id(coco__run *run, const char *name, uint64_t *id)
{
    size_t n = strlen(name);

    if ((*id = (uint64_t)(uintptr_t)coco__table_get(&run->names, name, n)) != 0) return COCO_OK;
    *id = run->meta.next_name++;
    return coco__name_add(run, *id, (coco_str){ name, n });
}

/* A name this run hasn't seen is read once; an unknown one is empty. */
COCO__IN coco_str coco__name_of(coco__run *run, uint64_t id)
{
    return id < run->names_cap ? run->name_list[id] : (coco_str){ 0 };
}

COCO__IN coco_status coco__names_load(coco__run *run, const coco__txn *t)
{
    coco_str p;

    for (uint64_t id = 1; id < run->meta.next_name; id++) {
        coco_status rc = coco__get_id(t, COCO__NAME, id, &p);
        if (rc == COCO_ENOTFOUND) continue;
        COCO_TRY(rc);
        COCO_TRY(coco__name_add(run, id, p));
    }
    return COCO_OK;
}

COCO__IN coco_status coco__names_write(coco__run *run, const coco__txn *t)
{
    coco__dbkey k;

    for (uint64_t id = run->meta_stored.next_name; id < run->meta.next_name; id++) {
        coco__dbkey_id(&k, COCO__NAME, id, NULL, 0);
        COCO_TRY(coco__put(t, &k, run->name_list[id].p, run->name_list[id].n));
    }
    return COCO_OK;
}

/* ---- Dependencies ---- */

static coco_status coco__dep_intern(coco__run *run, coco_str bytes, coco__dep **out)
{
    coco__dep *d = *out = coco__table_get(&run->deps, bytes.p, bytes.n);

    if (d) return COCO_OK;
    d = coco__arena_zalloc(&run->arena, sizeof *d);
    if (!d || !(d->bytes = coco__arena_str(&run->arena, bytes)).p) return COCO_ENOMEM;
    d->kind = (coco__dep_kind)d->bytes.p[0];
    d->fp = (const uint8_t *)d->bytes.p + 1;
    d->name = (coco_str){ d->bytes.p + 1 + COCO__FP, bytes.n - 1 - COCO__FP };
    if (!coco__table_put(&run->deps, d->bytes.p, d->bytes.n, d)) return COCO_ENOMEM;
    *out = d;
    return COCO_OK;
}

static coco_status coco__deps_push(coco__run *run, coco__deps *d, coco__dep *dep)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->v[i] == dep) return COCO_OK;
    if (!COCO__ROOM(run->mem, d->v, d->n, d->cap)) return COCO_ENOMEM;
    d->v[d->n++] = dep;
    return COCO_OK;
}

COCO__IN coco_status coco__deps_add(coco__run *run, coco__deps *d, coco__dep_kind kind, coco_str name,
                                    const uint8_t fp[COCO__FP])
{
    uint8_t bytes[1 + COCO__FP + 512];
    coco__dep *dep;

    if (name.n > 512) name.n = 512;
    bytes[0] = (uint8_t)kind;
    memcpy(bytes + 1, fp, COCO__FP);
    memcpy(bytes + 1 + COCO__FP, name.p, name.n);
    COCO_TRY(coco__dep_intern(run, (coco_str){ (char *)bytes, 1 + COCO__FP + name.n }, &dep));
    return coco__deps_push(run, d, dep);
}

COCO__IN coco_status coco__deps_merge(coco__run *run, coco__deps *into, coco__dep *const *v, size_t n, bool logic_too)
{
    for (size_t i = 0; i < n; i++)
        if (logic_too || v[i]->kind != COCO__D_LOGIC) COCO_TRY(coco__deps_push(run, into, v[i]));
    return COCO_OK;
}

/* ---- Sets ---- */

static coco_status coco__depset_index(coco__run *run, coco__depset *s)
{
    return coco__table_put(&run->depsets_by_id, &s->id, sizeof s->id, s) ? COCO_OK : COCO_ENOMEM;
}

/* Canonical order, so that equal sets encode equally; sets are small. */
static void coco__deps_sort(coco__deps *d)
{
    for (size_t i = 1; i < d->n; i++) {
        coco__dep *x = d->v[i];
        size_t j = i;
        for (; j > 0 && coco__str_cmp(d->v[j - 1]->bytes, x->bytes) > 0; j--) d->v[j] = d->v[j - 1];
        d->v[j] = x;
    }
}

static coco_status coco__depset_new(coco__run *run, coco_str bytes, coco__dep *const *v, size_t n, coco__depset **out)
{
    coco__depset *s = coco__arena_zalloc(&run->arena, sizeof *s);

    if (!s || !(s->bytes = coco__arena_str(&run->arena, bytes)).p) return COCO_ENOMEM;
    if (!(s->v = coco__arena_copy(&run->arena, v, n * sizeof *v))) return COCO_ENOMEM;
    s->n = n;
    coco_fingerprint_bytes(s->bytes.p, bytes.n, s->fp);
    if (!coco__table_put(&run->depsets, s->bytes.p, s->bytes.n, s)) return COCO_ENOMEM;
    *out = s;
    return COCO_OK;
}

/* Its id: under which an earlier run stored the same set, or a new one. */
static coco_status coco__depset_name(coco__run *run, coco__depset *s)
{
    coco__dbkey k;

    coco__dbkey_raw(&k, COCO__DEPSET_FP, s->fp, COCO__FP);
    COCO_TRY(coco__run_number(run, &k, &s->id));
    if (!s->id) s->id = run->meta.next_depset++;
    return coco__depset_index(run, s);
}

COCO__IN coco_status coco__depset_of(coco__run *run, coco__deps *d, coco__depset **set)
{
    coco__buf b;
    coco_status rc = COCO_OK;

    coco__deps_sort(d);
    *set = run->set_last; /* most have the same */
    if (*set && d->n && (*set)->n == d->n && memcmp((*set)->v, d->v, d->n * sizeof *d->v) == 0) return COCO_OK;
    coco__buf_init(&b, run->mem);
    for (size_t i = 0; i < d->n; i++) coco__buf_blob(&b, d->v[i]->bytes.p, d->v[i]->bytes.n);
    if (b.failed) rc = COCO_ENOMEM;
    else if (!(*set = coco__table_get(&run->depsets, b.p, b.n))) {
        rc = coco__depset_new(run, coco__buf_view(&b), d->v, d->n, set);
        if (rc == COCO_OK) rc = coco__depset_name(run, *set);
    }
    coco__buf_free(&b);
    if (rc == COCO_OK) run->set_last = *set;
    return rc;
}

COCO__IN coco_status coco__depset_get(coco_str payload, uint64_t *uses, coco_str *deps)
{
    coco__reader r = coco__reader_of(payload.p, payload.n);

    *uses = coco__read_varint(&r);
    *deps = (coco_str){ (const char *)r.p, coco__left(&r) };
    return r.bad ? COCO_ECORRUPT : COCO_OK;
}

static coco_status coco__depset_decode(coco__run *run, coco_str bytes, coco__depset **set)
{
    coco__reader r = coco__reader_of(bytes.p, bytes.n);
    coco__deps d = { 0 };
    coco_status rc = COCO_OK;

    while (rc == COCO_OK && coco__left(&r)) {
        coco_str one = coco__read_blob(&r);
        coco__dep *dep;
        if (r.bad || one.n < 1 + COCO__FP || one.p[0] < COCO__D_LOGIC || one.p[0] > COCO__D_PROVIDER)
            rc = COCO_ECORRUPT;
        if (rc == COCO_OK) rc = coco__dep_intern(run, one, &dep);
        if (rc == COCO_OK) rc = coco__deps_push(run, &d, dep);
    }
    if (rc == COCO_OK && !(*set = coco__table_get(&run->depsets, bytes.p, bytes.n)))
        rc = coco__depset_new(run, bytes, d.v, d.n, set);
    coco__free(run->mem, d.v);
    return rc;
}

COCO__IN coco_status coco__depset_load(coco__run *run, uint64_t id, coco__depset **set)
{
    coco__dbkey k;
    coco__buf b;
    coco_str p;
    uint64_t uses;
    coco_status rc;

    *set = run->set_last;
    if (*set && (*set)->id == id) return COCO_OK;
    if ((*set = run->set_last = coco__table_get(&run->depsets_by_id, &id, sizeof id)) != NULL) return COCO_OK;
    coco__buf_init(&b, run->mem);
    coco__dbkey_id(&k, COCO__DEPSET, id, NULL, 0);
    rc = coco__run_get(run, &k, &b, &p);
    if (rc == COCO_OK && p.p) rc = coco__depset_get(p, &uses, &p);
    if (rc == COCO_OK && p.p) rc = coco__depset_decode(run, p, set);
    coco__buf_free(&b);
    if (rc != COCO_OK || !p.p) return rc;
    if (!(*set)->id) (*set)->id = id;
    return (*set)->id == id ? coco__depset_index(run, *set) : COCO_OK;
}

/* ---- Judging ---- */

COCO__IN const coco__provided *coco__provided_find(const coco_app *app, const coco_env *env, coco_str name)
{
    const coco__provided *lists[] = { app ? app->context : NULL, env ? env->context : NULL };

    for (int i = 0; i < 2; i++)
        for (const coco__provided *p = lists[i]; p; p = p->next)
            if (coco_str_equal(coco_str_of(p->name), name)) return p;
    return NULL;
}

static coco_status coco__dep_holds(coco_ctx *cx, const coco__dep *d, bool *holds, bool *missing)
{
    const coco_fn *fn;
    const coco__provided *p;
    const char *value;
    const uint8_t *now = NULL;
    uint8_t fp[COCO__FP];

    switch (d->kind) {
    case COCO__D_LOGIC:
        if ((fn = coco__fn_named(d->name)) != NULL) now = fn->logic;
        break;
    case COCO__D_CONTEXT:
        p = coco__provided_find(cx->run->app, cx->run->env, d->name);
        if (p && p->detect) now = p->fp;
        break;
    case COCO__D_PARAM:
        value = coco_app_param(cx->run->app, d->name.p); /* an interned name has a NUL behind */
        if (value) coco_fingerprint_bytes(value, strlen(value), fp), now = fp;
        break;
    case COCO__D_PROVIDER: return coco__provider_holds(cx, d->fp, holds, missing);
    default: break;
    }
    *holds = now && memcmp(now, d->fp, COCO__FP) == 0;
    return COCO_OK;
}

COCO__IN coco_status coco__depset_judge(coco_ctx *cx, coco__depset *set)
{
    while (set->judged != cx->run->epoch) { /* the epoch may pass while a target is asked for */
        const coco__dep *differs = NULL;
        uint64_t epoch = cx->run->epoch;
        bool holds = true, missing = false;
        for (size_t i = 0; i < set->n && holds; i++) {
            COCO_TRY(coco__dep_holds(cx, set->v[i], &holds, &missing));
            if (!holds) differs = set->v[i];
        }
        set->judged = epoch;
        set->differs = differs;
        set->missing = missing;
        set->valid = holds;
    }
    return COCO_OK;
}

/* ---- Use counts ---- */

COCO__IN void coco__depset_use(coco__run *run, coco__depset *set, int delta)
{
    set->delta += delta;
    if (set->dirty) return;
    set->dirty = true;
    set->next_dirty = run->dirty_sets;
    run->dirty_sets = set;
}

static coco_status coco__depset_write(coco__run *run, const coco__txn *t, coco__depset *s)
{
    coco__dbkey k;
    uint64_t before, count;
    coco__buf *b = &run->scratch;

    coco__dbkey_id(&k, COCO__DEPSET, s->id, NULL, 0);
    COCO_TRY(coco__get_number(t, &k, &before));
    count = s->delta < 0 && before < (uint64_t)-s->delta ? 0 : before + (uint64_t)s->delta;
    b->n = 0;
    coco__buf_varint(b, count);
    coco__buf_put(b, s->bytes.p, s->bytes.n);
    COCO_TRY(count ? coco__put_buf(t, &k, b) : coco__del(t, &k));
    if ((before != 0) == (count != 0)) return COCO_OK;
    coco__dbkey_raw(&k, COCO__DEPSET_FP, s->fp, COCO__FP);
    return coco__put_number(t, &k, count ? s->id : 0);
}

COCO__IN void coco__depsets_clean(void *self)
{
    coco__run *run = self;

    for (coco__depset *s = run->dirty_sets; s; s = s->next_dirty) s->dirty = false, s->delta = 0;
    run->dirty_sets = NULL;
}

COCO__IN coco_status coco__depsets_write(coco__run *run, const coco__txn *t)
{
    for (coco__depset *s = run->dirty_sets; s; s = s->next_dirty)
        if (s->delta) COCO_TRY(coco__depset_write(run, t, s));
    return COCO_OK;
}
