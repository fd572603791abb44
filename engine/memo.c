/* memo.c - memo keys, memo states, and function memos.
 *
 * Floor: above logic. A memo's key says what a call is about (its arguments by value or identity), its dependency set
 * under which logic and context it was made, its memo states how fresh its inputs were. A function memo belongs to
 * the app and is found again wherever the same call is made, unless it declared states or asked for ids: then it is
 * an entry of its component.
 *
 * A stored function memo is: id of its dependency set, run, cost, memo states, fingerprints of the memos it used,
 * keys of the entries it declared, result. Its use count is a record of its own, so that counting never rewrites a
 * large result. */
#include "engine.h"

COCO__IN void coco__why_print(coco__buf *b, coco__why why)
{
    static const char *const texts[] = {
        [COCO__WHY_NEW] = "never run",           [COCO__WHY_PENDING] = "pending",
        [COCO__WHY_INPUT] = "input changed",     [COCO__WHY_STATE] = "input changed",
        [COCO__WHY_LOGIC] = "logic changed",     [COCO__WHY_CONTEXT] = "context changed",
        [COCO__WHY_PARAM] = "parameter changed", [COCO__WHY_SCHEMA] = "target schema changed",
        [COCO__WHY_FORCED] = "forced",           [COCO__WHY_NOMEMO] = "not memoized",
        [COCO__WHY_RECHECK] = "recheck",         [COCO__WHY_FUNCTION] = "another function before",
        [COCO__WHY_RETRY] = "failed before",     [COCO__WHY_MOVED] = "a target state moved away",
    };
    static const char *const kinds[] = { [COCO__WHY_INPUT] = "arguments", [COCO__WHY_STATE] = "argument",
                                         [COCO__WHY_LOGIC] = "function",  [COCO__WHY_CONTEXT] = "key",
                                         [COCO__WHY_PARAM] = "parameter", [COCO__WHY_SCHEMA] = "target" };

    if (why.reason == 0 || (size_t)why.reason >= sizeof texts / sizeof texts[0]) return;
    coco__buf_str(b, texts[why.reason]);
    if (why.detail.n == 0 || (size_t)why.reason >= sizeof kinds / sizeof kinds[0] || !kinds[why.reason]) return;
    coco__buf_printf(b, " (%s %.*s%s)", kinds[why.reason], (int)why.detail.n, why.detail.p,
                     why.reason == COCO__WHY_STATE ? ": content" : "");
}

/* ---- Keys ---- */

coco_status coco_memo_skip(coco_ctx *cx, coco_value in, coco_value *out)
{
    (void)cx, (void)in;
    *out = coco_null();
    return COCO_OK;
}

static coco_status coco__arg_encode(coco_ctx *cx, const coco_fn *fn, size_t i, coco_value v, coco__buf *b)
{
    const char *name = fn->params[i].name;
    coco_status rc;

    if (fn->memo_key[i]) COCO_TRY(fn->memo_key[i](cx, v, &v));
    if (v.kind == COCO_OBJECT) {
        const coco_class *cls = v.as.s.p.cls;
        if (!cls->memo_key)
            return coco_fail(cx, COCO_ETYPE, "%s: argument %zu%s%s (%s) can't be part of a memo key", fn->name, i + 1,
                             name ? " " : "", name ? name : "", cls->type);
        coco__buf_byte(b, 1);
        COCO_TRY(cls->memo_key(cx, v.as.s.u.object, &v));
    }
    rc = coco__value_put(b, v, COCO__CANONICAL);
    return rc == COCO_OK ? rc
                         : coco_fail(cx, rc, "%s: argument %zu can't be part of a memo key: %s", fn->name, i + 1,
                                     coco_status_text(rc));
}

COCO__IN coco_status coco__argkey(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_str *key)
{
    coco__buf b;
    coco_status rc = COCO_OK;
    uint8_t fp[1 + COCO__FP] = { 0xfe };

    coco__buf_init(&b, cx->run->mem);
    for (size_t i = 0; i < args.n && rc == COCO_OK; i++) rc = coco__arg_encode(cx, fn, i, args.v[i], &b);
    if (rc == COCO_OK && b.failed) rc = coco__oom(cx);
    if (rc == COCO_OK && b.n > 2 * COCO__FP) {
        coco_fingerprint_bytes(b.p, b.n, fp + 1);
        *key = (coco_str){ coco__arena_copy(cx->arena, fp, sizeof fp), sizeof fp };
    } else if (rc == COCO_OK) {
        *key = (coco_str){ coco__arena_copy(cx->arena, b.p, b.n), b.n };
    }
    coco__buf_free(&b);
    return rc != COCO_OK ? rc : key->p ? COCO_OK : coco__oom(cx);
}

/* ---- Memo states: {1 + argument, state} or {0, class, key, state} or {15, context key, state} ---- */

enum { COCO__TAG_TRACKED = 0, COCO__TAG_CONTEXT = 15 };

static coco_status coco__state_hook(coco_ctx *cx, const coco_class *cls, void *object, coco_str stored, coco_str *state,
                                    bool *valid)
{
    *valid = true;
    *state = (coco_str){ "", 0 };
    return cls->memo_state ? cls->memo_state(cx, object, stored, state, valid) : COCO_OK;
}

/* The object of a tracked input, made again from its key where only the record is known. */
static coco_status coco__reopen(coco_ctx *cx, coco__tracked *t)
{
    coco__reader r = coco__reader_of(t->key.p, t->key.n);
    const coco__provided *p;
    coco_value key;

    if (t->object) return COCO_OK;
    if (t->context) {
        p = coco__provided_find(cx->run, t->key);
        if (!p || p->value.kind != COCO_OBJECT) return COCO_ENOTFOUND;
        t->cls = p->value.as.s.p.cls;
        t->object = p->value.as.s.u.object;
        return COCO_OK;
    }
    if (!t->cls || !t->cls->reopen) return COCO_ENOTFOUND;
    COCO_TRY(coco__value_get(&r, cx->arena, &key));
    return t->cls->reopen(cx, key, &t->object);
}

static coco_status coco__tracked_state(coco_ctx *cx, coco__tracked *t)
{
    coco_str state;
    bool valid;

    if (t->state.p) return COCO_OK;
    COCO_TRY(coco__reopen(cx, t));
    COCO_TRY(coco__state_hook(cx, t->cls, t->object, (coco_str){ NULL, 0 }, &state, &valid));
    t->state = (coco_str){ coco__arena_copy(cx->home, state.p, state.n), state.n };
    return t->state.p ? COCO_OK : COCO_ENOMEM;
}

/* What was used again in the same state is put once. */
static coco_status coco__tracked_take(coco_ctx *cx, coco__tracked *t, coco__table *seen, coco__buf *b)
{
    const coco__tracked *same = coco__table_get(seen, t->key.p, t->key.n);

    if (same && same->context == t->context && (t->context || same->cls == t->cls) &&
        (!t->state.p || coco_str_equal(same->state, t->state)))
        return COCO_OK;
    COCO_TRY(coco__tracked_state(cx, t));
    coco__buf_varint(b, t->context ? COCO__TAG_CONTEXT : COCO__TAG_TRACKED);
    if (!t->context) coco__buf_blob(b, t->cls->type, strlen(t->cls->type));
    coco__buf_blob(b, t->key.p, t->key.n);
    coco__buf_blob(b, t->state.p, t->state.n);
    return coco__table_put(seen, t->key.p, t->key.n, t) ? COCO_OK : COCO_ENOMEM;
}

/* What a component has tracked outlives it, in its parent's memory. */
COCO__IN coco_status coco__tracked_pass(coco_ctx *frame, coco_ctx *caller)
{
    coco__tracked **last = &frame->tracked;

    if (frame->home == caller->home) {
        while (*last) last = &(*last)->next;
        *last = caller->tracked;
        caller->tracked = frame->tracked;
        return COCO_OK;
    }
    for (coco__tracked *t = frame->tracked, *copy; t; t = t->next) {
        COCO_TRY(coco__tracked_state(frame, t));
        if (!(copy = coco__arena_copy(caller->home, t, sizeof *t))) return COCO_ENOMEM;
        copy->object = NULL;
        copy->key.p = coco__arena_copy(caller->home, t->key.p, t->key.n);
        copy->state.p = coco__arena_copy(caller->home, t->state.p, t->state.n);
        if (!copy->key.p || !copy->state.p) return COCO_ENOMEM;
        copy->next = caller->tracked;
        caller->tracked = copy;
    }
    return COCO_OK;
}

COCO__IN coco_status coco__states_take(coco_ctx *cx, const coco_fn *fn, coco_args args, coco__tracked *tracked,
                                       coco_str *states)
{
    coco__buf b;
    coco__table seen;
    coco_status rc = COCO_OK;
    coco_str state;
    bool valid;

    coco__buf_init(&b, cx->run->mem);
    coco__table_init(&seen, cx->run->mem);
    for (size_t i = 0; i < args.n && rc == COCO_OK; i++) {
        if (args.v[i].kind != COCO_OBJECT || !args.v[i].as.s.p.cls->memo_state || fn->memo_key[i] == coco_memo_skip)
            continue;
        rc = coco__state_hook(cx, args.v[i].as.s.p.cls, args.v[i].as.s.u.object, (coco_str){ NULL, 0 }, &state, &valid);
        coco__buf_varint(&b, i + 1);
        if (rc == COCO_OK) coco__buf_blob(&b, state.p, state.n);
    }
    for (; tracked && rc == COCO_OK; tracked = tracked->next) rc = coco__tracked_take(cx, tracked, &seen, &b);
    if (rc == COCO_OK) {
        *states = (coco_str){ b.failed ? NULL : coco__arena_copy(cx->arena, b.p, b.n), b.n };
        if (!states->p) rc = coco__oom(cx);
    }
    coco__table_free(&seen);
    coco__buf_free(&b);
    return rc;
}

/* Reads one stored state; *arg is its argument or -1. */
static coco_status coco__state_read(coco__reader *r, int *arg, coco__tracked *t, coco_str *state)
{
    uint64_t tag = coco__read_varint(r);

    memset(t, 0, sizeof *t);
    *arg = tag >= 1 && tag <= COCO_MAX_PARAMS ? (int)tag - 1 : -1;
    if (tag == COCO__TAG_TRACKED) t->cls = coco__class_named(coco__read_blob(r));
    t->context = tag == COCO__TAG_CONTEXT;
    if (*arg < 0) t->key = coco__read_blob(r);
    *state = coco__read_blob(r);
    return r->bad ? COCO_ECORRUPT : COCO_OK;
}

static coco_status coco__one_state(coco_ctx *cx, const coco_fn *fn, coco_args args, coco__reader *r, coco__buf *b)
{
    coco__tracked t;
    coco_str stored, state;
    bool valid = false;
    const uint8_t *begin = r->p;
    int arg;

    COCO_TRY(coco__state_read(r, &arg, &t, &stored));
    size_t head = (size_t)((const uint8_t *)stored.p - begin);
    if (arg >= 0) {
        if ((size_t)arg >= args.n || args.v[arg].kind != COCO_OBJECT) return COCO_ENOTFOUND;
        t.cls = args.v[arg].as.s.p.cls;
        t.object = args.v[arg].as.s.u.object;
        t.key = coco_str_of(fn->params[arg].name);
    } else {
        coco_status rc = coco__reopen(cx, &t);
        if (rc != COCO_OK) return rc;
    }
    COCO_TRY(coco__state_hook(cx, t.cls, t.object, stored, &state, &valid));
    if (!valid) return COCO_ENOTFOUND;
    /* Written again with the state's new length; the head ends with the old one. */
    size_t length = 1;
    for (size_t n = stored.n; n > 127; n >>= 7) length++;
    coco__buf_put(b, begin, head - length);
    coco__buf_blob(b, state.p, state.n);
    return COCO_OK;
}

static coco_str coco__state_label(const coco_fn *fn, const uint8_t *at, const uint8_t *end)
{
    coco__reader r = coco__reader_of(at, (size_t)(end - at));
    coco__tracked t;
    coco_str state;
    int arg;

    if (coco__state_read(&r, &arg, &t, &state) != COCO_OK) return (coco_str){ 0 };
    if (arg >= 0) return coco_str_of(fn->params[arg].name);
    return t.context ? t.key : t.cls ? coco_str_of(t.cls->type) : (coco_str){ 0 };
}

/* COCO_OK: all valid, *now as they are; COCO_ENOTFOUND: why says which isn't; else a hook's failure. */
COCO__IN coco_status coco__states_check(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_str stored, coco_str *now,
                                        coco__why *why)
{
    coco__reader r = coco__reader_of(stored.p, stored.n);
    coco__buf b;
    coco_status rc = COCO_OK;

    *now = stored;
    if (stored.n == 0) return COCO_OK;
    coco__buf_init(&b, cx->run->mem);
    while (rc == COCO_OK && coco__left(&r)) {
        const uint8_t *at = r.p;
        rc = coco__one_state(cx, fn, args, &r, &b);
        if (rc != COCO_OK) *why = (coco__why){ COCO__WHY_STATE, coco__state_label(fn, at, r.end) };
    }
    if (rc == COCO_OK && b.failed) rc = COCO_ENOMEM;
    if (rc == COCO_OK && coco__bytes_cmp(b.p, b.n, stored.p, stored.n) != 0) {
        *now = (coco_str){ coco__arena_copy(cx->arena, b.p, b.n), b.n };
        if (!now->p) rc = COCO_ENOMEM;
    }
    coco__buf_free(&b);
    return rc;
}

COCO__IN coco_status coco__states_tracked(coco_ctx *cx, coco_str states, coco__tracked **list)
{
    coco__reader r = coco__reader_of(states.p, states.n);

    while (coco__left(&r)) {
        coco__tracked *t = coco__arena_zalloc(cx->home, sizeof *t);
        coco_str state;
        int arg;
        if (!t) return COCO_ENOMEM;
        COCO_TRY(coco__state_read(&r, &arg, t, &state));
        if (arg >= 0) continue;
        t->key.p = coco__arena_copy(cx->home, t->key.p, t->key.n);
        t->state = (coco_str){ coco__arena_copy(cx->home, state.p, state.n), state.n };
        if (!t->key.p || !t->state.p) return COCO_ENOMEM;
        t->next = *list;
        *list = t;
    }
    return COCO_OK;
}

/* ---- Function memos ---- */

typedef struct coco__memo { /* decoded; borrows */
    uint64_t set, ns;
    uint64_t run; /* that made it */
    double units;
    coco_str states, uses, declared, result;
} coco__memo;

static void coco__memo_put(coco__buf *b, const coco__memo *m)
{
    uint64_t bits;

    memcpy(&bits, &m->units, sizeof bits);
    coco__buf_varint(b, m->set);
    coco__buf_varint(b, m->run);
    coco__buf_varint(b, m->ns / 1000);
    coco__buf_varint(b, m->units != 0);
    if (m->units != 0) coco__buf_be64(b, bits);
    coco__buf_blob(b, m->states.p, m->states.n);
    coco__buf_blob(b, m->uses.p, m->uses.n);
    coco__buf_blob(b, m->declared.p, m->declared.n);
    coco__buf_put(b, m->result.p, m->result.n);
}

static coco_status coco__memo_get(coco_str payload, coco__memo *m)
{
    coco__reader r = coco__reader_of(payload.p, payload.n);
    uint64_t bits = 0;

    m->set = coco__read_varint(&r);
    m->run = coco__read_varint(&r);
    m->ns = coco__read_varint(&r) * 1000;
    if (coco__read_varint(&r)) bits = coco__read_be64(&r);
    memcpy(&m->units, &bits, sizeof bits);
    m->states = coco__read_blob(&r);
    m->uses = coco__read_blob(&r);
    m->declared = coco__read_blob(&r);
    m->result = (coco_str){ (const char *)r.p, coco__left(&r) };
    return r.bad || m->uses.n % COCO__FP ? COCO_ECORRUPT : COCO_OK;
}

static void coco__memo_key(const coco_fn *fn, coco_str argkey, uint8_t fp[COCO__FP])
{
    coco_hash h;

    coco_hash_begin(&h);
    coco_hash_add(&h, fn->name, strlen(fn->name) + 1);
    coco_hash_add(&h, argkey.p, argkey.n);
    coco_hash_end(&h, fp);
}

static coco_str coco__memo_copy(coco_ctx *cx, coco_str payload)
{
    return (coco_str){ coco__arena_copy(cx->arena, payload.p, payload.n), payload.n };
}

/* Finds the stored memo: computed in this run, the component's own, the app's. *payload.p NULL: none. */
static coco_status coco__memo_find(coco_ctx *cx, const uint8_t fp[COCO__FP], coco_str *payload, bool *owned)
{
    coco__run *run = cx->run;
    coco__fresh *f = coco__table_get(&run->memos, fp, COCO__FP);
    coco__entry *e = NULL;
    coco__change *c;
    coco__memo m;
    coco__ekey k;
    coco__dbkey key;
    coco__txn t;
    coco_status rc;

    *payload = (coco_str){ 0 };
    *owned = true;
    if (f) {
        *owned = false;
        *payload = (coco_str){ (char *)f->payload.p, f->payload.n };
        return COCO_OK;
    }
    coco__ekey_make(&k, COCO__S_MEMO, fp, COCO__FP);
    coco_str ekey = { (char *)k.b, k.n };
    if ((c = coco__owned_changed(&cx->comp->owned, ekey)) != NULL) *payload = c->after;
    else if (!run->full) COCO_TRY(coco__owned_find(&cx->comp->owned, ekey, &e));
    if (e) *payload = coco__memo_copy(cx, e->value);
    if (payload->p || !run->app->has_dbi) return COCO_OK;
    *owned = false;
    COCO_TRY(coco__run_read(run, &t));
    coco__dbkey_raw(&key, COCO__MEMO, fp, COCO__FP);
    rc = coco__get(&t, &key, payload);
    bool fits = rc != COCO_OK || !run->full || (coco__memo_get(*payload, &m) == COCO_OK && m.run == run->number);
    if (!fits) rc = COCO_ENOTFOUND;
    *payload = rc == COCO_OK ? coco__memo_copy(cx, *payload) : (coco_str){ 0 };
    coco__run_read_end(run, &t);
    if (rc == COCO_OK && !payload->p) return coco__oom(cx);
    return rc == COCO_ENOTFOUND ? COCO_OK : rc;
}

/* What the stored call declared must be just as it left it; the engine's own entries need only be there. */
static bool coco__declared_intact(coco_ctx *cx, coco_str declared)
{
    coco__reader r = coco__reader_of(declared.p, declared.n);
    coco__owned *o = &cx->comp->owned;

    while (coco__left(&r)) {
        coco_str ekey = coco__read_blob(&r);
        uint64_t space = coco__ekey_space((const uint8_t *)ekey.p, ekey.n, NULL);
        coco__entry *e = NULL;
        coco__state s;
        coco_target *t = NULL;
        const coco__change *c = coco__owned_changed(o, ekey);
        if (!r.bad && space < COCO__S_FIRST_PROVIDER && c && c->after.p) continue;
        if (r.bad || c || coco__table_get(&o->run->moved_states, ekey.p, ekey.n)) return false;
        if (coco__owned_find(o, ekey, &e) != COCO_OK || !e) return false;
        if (space < COCO__S_FIRST_PROVIDER) continue;
        if (coco__state_get(e->ekey, e->value, &s) != COCO_OK || s.npossible != 1 || !s.possible[0].p || s.condemned)
            return false;
        uint64_t counter = s.counter;
        if (coco__target_by_id(cx->run, space, &t) != COCO_OK || !t || t->gone || t->counter != counter) return false;
    }
    return true;
}

static coco_status coco__declared_mark(coco_ctx *cx, coco_str declared)
{
    coco__reader r = coco__reader_of(declared.p, declared.n);

    while (coco__left(&r)) {
        coco_str ekey = coco__read_blob(&r);
        coco__entry *e = NULL;
        if (cx->memo_depth) coco__buf_blob(&cx->declared, ekey.p, ekey.n);
        COCO_TRY(coco__owned_find(&cx->comp->owned, ekey, &e));
        bool again = e && !coco__owned_mark(&cx->comp->owned);
        if (again && coco__ekey_space((const uint8_t *)ekey.p, ekey.n, NULL) >= COCO__S_FIRST_PROVIDER)
            return coco_fail(cx, COCO_EDUP, "a target state is declared twice in this component, by a memoized call");
    }
    return cx->declared.failed ? coco__oom(cx) : COCO_OK;
}

/* Lists a memo, and those it used, in the component and in the memoized calls around. */
static coco_status coco__memo_used(coco_ctx *cx, const uint8_t *fp, coco_str uses, bool owned)
{
    coco__ekey k;

    coco__ekey_make(&k, COCO__S_MEMO, fp, COCO__FP);
    if (cx->memo_depth && owned) coco__buf_blob(&cx->declared, k.b, k.n);
    if (cx->memo_depth && !owned) coco__buf_put(&cx->uses, fp, COCO__FP);
    if (cx->memo_depth) coco__buf_put(&cx->uses, uses.p, uses.n);
    if (cx->uses.failed || cx->declared.failed) return coco__oom(cx);
    if (!owned)
        COCO_TRY(coco__own(cx->comp, COCO__S_USE, (coco_str){ (const char *)fp, COCO__FP }, (coco_str){ "", 0 }, NULL));
    for (size_t i = 0; i < uses.n; i += COCO__FP)
        COCO_TRY(coco__own(cx->comp, COCO__S_USE, (coco_str){ uses.p + i, COCO__FP }, (coco_str){ "", 0 }, NULL));
    return COCO_OK;
}

static coco_status coco__memo_valid(coco_ctx *cx, const coco_fn *fn, coco_args args, const coco__memo *m,
                                    coco__why *why, coco_str *now)
{
    coco__depset *set = NULL;
    coco_status rc;

    COCO_TRY(coco__depset_load(cx->run, m->set, &set));
    if (!set || !coco__depset_valid(cx->run, set)) {
        static const coco__reason reasons[] = { [COCO__D_LOGIC] = COCO__WHY_LOGIC,
                                                [COCO__D_CONTEXT] = COCO__WHY_CONTEXT,
                                                [COCO__D_PARAM] = COCO__WHY_PARAM,
                                                [COCO__D_PROVIDER] = COCO__WHY_SCHEMA };
        *why = set ? (coco__why){ reasons[set->differs->kind], set->differs->name }
                   : (coco__why){ COCO__WHY_LOGIC, { 0 } };
        return COCO_ENOTFOUND;
    }
    if (m->declared.n && !coco__declared_intact(cx, m->declared)) {
        *why = (coco__why){ COCO__WHY_PENDING, { 0 } };
        return COCO_ENOTFOUND;
    }
    rc = coco__states_check(cx, fn, args, m->states, now, why);
    if (rc == COCO_OK && coco__records(cx)) {
        rc = coco__deps_merge(cx->run, &cx->deps, set->v, set->n, cx->fn && cx->fn->logic_tracking == COCO_LOGIC_FULL);
        if (rc == COCO_OK) rc = coco__states_tracked(cx, *now, &cx->tracked);
    }
    return rc;
}

static coco_status coco__fresh_add(coco_ctx *cx, const uint8_t fp[COCO__FP], coco__fresh **out)
{
    coco__fresh *f = coco__table_get(&cx->run->memos, fp, COCO__FP);

    if (!f) {
        if (!(f = coco__zalloc(cx->run->mem, sizeof *f))) return coco__oom(cx);
        memcpy(f->fp, fp, COCO__FP);
        coco__buf_init(&f->payload, cx->run->mem);
        if (!coco__table_put(&cx->run->memos, f->fp, COCO__FP, f)) {
            coco__free(cx->run->mem, f);
            return coco__oom(cx);
        }
    }
    *out = f;
    return COCO_OK;
}

static void coco__fresh_drop(coco__run *run, coco__fresh *f)
{
    coco__table_remove(&run->memos, f->fp, COCO__FP);
    coco__buf_free(&f->payload);
    coco__free(run->mem, f);
}

/* Queues a memo for the next round. */
static coco_status coco__fresh_store(coco_ctx *cx, const uint8_t fp[COCO__FP], const coco__memo *m, coco__depset *set)
{
    coco__fresh *f;

    COCO_TRY(coco__fresh_add(cx, fp, &f));
    bool queued = f->payload.n != 0;
    f->payload.n = 0;
    coco__memo_put(&f->payload, m);
    f->set = set;
    f->running = false;
    if (f->payload.failed) return coco__oom(cx);
    if (queued) return COCO_OK;
    coco__round_begin(cx->run);
    f->next = cx->run->queued_memos;
    cx->run->queued_memos = f;
    cx->run->nqueued_memos++;
    cx->run->queued_bytes += f->payload.n;
    return COCO_OK;
}

static coco_status coco__memo_own(coco_ctx *cx, const uint8_t fp[COCO__FP], const coco__memo *m)
{
    coco__buf p;
    coco_status rc;

    coco__buf_init(&p, cx->run->mem);
    coco__memo_put(&p, m);
    rc = p.failed ? coco__oom(cx)
                  : coco__own(cx->comp, COCO__S_MEMO, (coco_str){ (const char *)fp, COCO__FP },
                              (coco_str){ (char *)p.p, p.n }, NULL);
    coco__buf_free(&p);
    return rc;
}

/* A memo that is valid for inputs in a new state (a touched file) is stored with that state. */
static coco_status coco__memo_restamp(coco_ctx *cx, const uint8_t fp[COCO__FP], coco__memo m, coco_str now, bool owned)
{
    coco__depset *set = NULL;

    m.states = now;
    if (owned) return coco__memo_own(cx, fp, &m);
    COCO_TRY(coco__depset_load(cx->run, m.set, &set));
    return coco__fresh_store(cx, fp, &m, set);
}

/* Each once, in order: fingerprints or blobs. What is used again and again, through many others, doesn't add up. */
static coco_status coco__unique(coco_ctx *cx, coco__buf *b, bool blobs)
{
    coco__reader r = coco__reader_of(b->p, b->n);
    coco__table seen;
    bool ok = true;

    coco__table_init(&seen, cx->run->mem);
    for (b->n = 0; coco__left(&r) && ok;) {
        const uint8_t *at = r.p;
        coco_str item = { (const char *)r.p, COCO__FP };
        if (blobs) item = coco__read_blob(&r);
        else coco__read_bytes(&r, COCO__FP);
        size_t all = (size_t)(r.p - at);
        if (coco__table_get(&seen, item.p, item.n)) continue;
        memmove(b->p + b->n, at, all);
        b->n += all;
        ok = coco__table_put(&seen, b->p + b->n - item.n, item.n, b);
    }
    coco__table_free(&seen);
    return ok ? COCO_OK : coco__oom(cx);
}

/* After a run of the body: makes the memo and stores it where it belongs. */
static coco_status coco__memo_made(coco_ctx *frame, const uint8_t fp[COCO__FP], coco_args args, uint64_t ns)
{
    coco__memo m = { .ns = ns, .run = frame->run->number, .units = frame->units };
    coco__depset *set;
    coco__buf b;
    coco_status rc;

    coco__buf_init(&b, frame->run->mem);
    rc = coco__value_put(&b, frame->result, COCO__STORED);
    if (rc != COCO_OK)
        rc = coco_fail(frame, rc, "%s: the result of a memoized function can't hold an object", frame->fn->name);
    m.result = (coco_str){ (char *)b.p, b.n };
    if (rc == COCO_OK) rc = coco__states_take(frame, frame->fn, args, frame->tracked, &m.states);
    if (rc == COCO_OK) rc = coco__depset_of(frame->run, &frame->deps, &set);
    if (rc == COCO_OK) rc = coco__unique(frame, &frame->uses, false);
    if (rc == COCO_OK) {
        m.set = set->id;
        m.uses = (coco_str){ (char *)frame->uses.p, frame->uses.n };
        m.declared = (coco_str){ (char *)frame->declared.p, frame->declared.n };
        rc = frame->owned ? coco__memo_own(frame, fp, &m) : coco__fresh_store(frame, fp, &m, set);
    }
    coco__buf_free(&b);
    return rc;
}

/* Under recheck the stored result must come out again, and nothing be declared otherwise. */
static coco_status coco__recheck_result(coco_ctx *frame, const coco__memo *m)
{
    coco__buf b;
    bool same;

    coco__buf_init(&b, frame->run->mem);
    same = coco__value_put(&b, frame->result, COCO__STORED) == COCO_OK;
    same = same && coco__bytes_cmp(b.p, b.n, m->result.p, m->result.n) == 0;
    coco__buf_free(&b);
    same = same && coco__bytes_cmp(frame->declared.p, frame->declared.n, m->declared.p, m->declared.n) == 0;
    if (same && coco__declared_intact(frame, m->declared)) return COCO_OK;
    frame->run->recheck_failed = true;
    return coco_fail(frame, COCO_ERECHECK,
                     "%s: a memo hit gave another result when run again: it has an input it doesn't declare",
                     frame->fn->name);
}

static coco_status coco__memo_run(coco_ctx *cx, const coco_fn *fn, coco_args args, const uint8_t fp[COCO__FP],
                                  const coco__memo *recheck, coco_value *value)
{
    coco__run *run = cx->run;
    coco_ctx frame;
    coco__fresh *f;
    uint64_t begun = coco__monotonic_ns();
    coco_status rc;

    COCO_TRY(coco__make_room(cx)); /* what was computed is stored now and then, also if the component runs for hours */
    COCO_TRY(coco__fresh_add(cx, fp, &f));
    f->running = true;
    coco__frame_init(&frame, cx, fn);
    frame.memo_depth++;
    frame.memo = fp;
    rc = coco__call_frame(&frame, cx, fn, args);
    if (rc == COCO_OK) rc = coco__unique(&frame, &frame.declared, true);
    f = coco__table_get(&run->memos, fp, COCO__FP);
    if (f) f->running = false;
    if (rc == COCO_OK && recheck) rc = coco__recheck_result(&frame, recheck);
    if (rc == COCO_OK && !frame.uncacheable) rc = coco__memo_made(&frame, fp, args, coco__monotonic_ns() - begun);
    if (rc == COCO_OK && !frame.uncacheable)
        rc = coco__memo_used(cx, fp, (coco_str){ 0 }, frame.owned); /* the others were listed when they were used */
    if (rc == COCO_OK && value) *value = frame.result;
    if (frame.uncacheable) cx->uncacheable = true;
    f = coco__table_get(&run->memos, fp, COCO__FP);
    if (f && f->payload.n == 0 && !f->running) coco__fresh_drop(run, f);
    coco_status ended = coco__frame_end(&frame, cx);
    return rc == COCO_OK ? ended : rc;
}

static coco_status coco__memo_hit(coco_ctx *cx, const uint8_t *fp, const coco__memo *m, bool owned, coco_value *value)
{
    coco__reader r = coco__reader_of(m->result.p, m->result.n);
    coco_value v = coco_null();

    COCO_TRY(coco__memo_used(cx, fp, m->uses, owned));
    if (owned) {
        coco__ekey k;
        coco__entry *e;
        cx->owned = true;
        COCO_TRY(coco__declared_mark(cx, m->declared));
        coco__ekey_make(&k, COCO__S_MEMO, fp, COCO__FP);
        COCO_TRY(coco__owned_find(&cx->comp->owned, (coco_str){ (char *)k.b, k.n }, &e));
        if (e) coco__owned_mark(&cx->comp->owned);
    }
    cx->run->saved_ns += m->ns;
    cx->run->saved_units += m->units;
    if (value && m->result.n) COCO_TRY(coco__value_get(&r, cx->arena, &v));
    if (value) *value = v;
    return COCO_OK;
}

COCO__IN coco_status coco__call_memoized(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_value *value)
{
    coco__why why = { COCO__WHY_NEW, { 0 } };
    coco_str argkey, payload, now = { 0 };
    uint8_t fp[COCO__FP];
    coco__memo m;
    coco__fresh *f;
    bool owned, recheck = false;
    coco_status rc = COCO_ENOTFOUND;

    COCO_TRY(coco__argkey(cx, fn, args, &argkey));
    coco__memo_key(fn, argkey, fp);
    f = coco__table_get(&cx->run->memos, fp, COCO__FP);
    if (f && f->running) {
        coco_ctx frame;
        coco__frame_init(&frame, cx, fn);
        rc = coco__call_frame(&frame, cx, fn, args);
        if (rc == COCO_OK && value) *value = frame.result;
        coco_status ended = coco__frame_end(&frame, cx);
        return rc == COCO_OK ? ended : rc;
    }
    COCO_TRY(coco__memo_find(cx, fp, &payload, &owned));
    if (!payload.p && cx->run->full) why.reason = COCO__WHY_FORCED;
    if (payload.p) {
        if ((rc = coco__memo_get(payload, &m)) != COCO_OK)
            return coco_fail(cx, rc, "%s: a function memo is damaged", fn->name);
        rc = coco__memo_valid(cx, fn, args, &m, &why, &now);
        recheck = rc == COCO_OK && !f && coco__recheck_due(cx->run, fp);
        if (recheck) why.reason = COCO__WHY_RECHECK;
    }
    if (rc != COCO_OK && rc != COCO_ENOTFOUND) return rc;
    bool hit = rc == COCO_OK && !recheck;
    coco__count_fn(cx->run->app, fn, hit ? COCO__HITS : COCO__MISSES, 1);
    if (coco__listening(cx->run)) coco__emit_call(cx, fn, hit, why);
    if (!hit) return coco__memo_run(cx, fn, args, fp, recheck ? &m : NULL, value);
    if (!f && coco__bytes_cmp(now.p, now.n, m.states.p, m.states.n) != 0)
        COCO_TRY(coco__memo_restamp(cx, fp, m, now, owned));
    return coco__memo_hit(cx, fp, &m, owned, value);
}

/* ---- Writing ---- */

COCO__IN coco_status coco__memo_use(const coco__txn *t, const char *fp, int delta)
{
    coco__dbkey uses, idle;
    coco_str p;
    uint8_t out[10];
    size_t n = 0;
    uint64_t count = 0;
    coco_status rc;

    coco__dbkey_raw(&uses, COCO__MEMO_USES, fp, COCO__FP);
    coco__dbkey_raw(&idle, COCO__MEMO_IDLE, fp, COCO__FP);
    rc = coco__get(t, &uses, &p);
    if (rc != COCO_OK && rc != COCO_ENOTFOUND) return rc;
    if (rc == COCO_OK) {
        coco__reader r = coco__reader_of(p.p, p.n);
        count = coco__read_varint(&r);
    }
    count = delta < 0 && count < (uint64_t)-delta ? 0 : count + (uint64_t)(int64_t)delta;
    if (count == 0) {
        COCO_TRY(coco__del(t, &uses));
        return coco__put(t, &idle, NULL, 0);
    }
    if (rc == COCO_ENOTFOUND) COCO_TRY(coco__del(t, &idle));
    for (; count > 127; count >>= 7) out[n++] = (uint8_t)(count | 128);
    out[n++] = (uint8_t)count;
    return coco__put(t, &uses, out, n);
}

COCO__IN coco_status coco__memo_set_use(coco__run *run, coco_str value, int delta)
{
    coco__memo m;
    coco__depset *set;

    COCO_TRY(coco__memo_get(value, &m));
    COCO_TRY(coco__depset_load(run, m.set, &set));
    if (set) coco__depset_use(run, set, delta);
    return COCO_OK;
}

COCO__IN coco_status coco__memos_write(coco__run *run, const coco__txn *t)
{
    coco__dbkey k, idle, uses;
    coco_str p;

    for (coco__fresh *f = run->queued_memos; f; f = f->next) {
        coco__dbkey_raw(&k, COCO__MEMO, f->fp, COCO__FP);
        coco_status rc = coco__get(t, &k, &p);
        if (rc == COCO_OK) rc = coco__memo_set_use(run, p, -1);
        if (rc != COCO_OK && rc != COCO_ENOTFOUND && rc != COCO_ECORRUPT) return rc;
        if (f->set) coco__depset_use(run, f->set, 1);
        COCO_TRY(coco__put(t, &k, f->payload.p, f->payload.n));
        coco__dbkey_raw(&uses, COCO__MEMO_USES, f->fp, COCO__FP);
        coco__dbkey_raw(&idle, COCO__MEMO_IDLE, f->fp, COCO__FP);
        if ((rc = coco__get(t, &uses, &p)) == COCO_ENOTFOUND) rc = coco__put(t, &idle, NULL, 0);
        COCO_TRY(rc);
    }
    return COCO_OK;
}

COCO__IN void coco__memos_written(coco__run *run)
{
    for (coco__fresh *f = run->queued_memos, *next; f; f = next) {
        next = f->next;
        coco__fresh_drop(run, f);
    }
    run->queued_memos = NULL;
    run->nqueued_memos = run->queued_bytes = 0;
}

COCO__IN coco_status coco__memos_sweep(coco__run *run, const coco__txn *t)
{
    coco__dbkey prefix, k;
    MDB_val key, data;
    coco_str p;

    coco__dbkey_raw(&prefix, COCO__MEMO_IDLE, NULL, 0);
    for (;;) {
        MDB_cursor *cur;
        coco_status rc;
        int mrc = mdb_cursor_open(t->mdb, t->dbi, &cur);
        if (mrc) return coco__mdb_error(t->err, mrc, t->env, "read");
        key = (MDB_val){ prefix.n, prefix.b };
        mrc = mdb_cursor_get(cur, &key, &data, MDB_SET_RANGE);
        bool there = mrc == 0 && key.mv_size == 1 + COCO__FP && *(uint8_t *)key.mv_data == COCO__MEMO_IDLE;
        if (there) coco__dbkey_raw(&k, COCO__MEMO, (uint8_t *)key.mv_data + 1, COCO__FP);
        mdb_cursor_close(cur);
        if (!there) return COCO_OK;
        if ((rc = coco__get(t, &k, &p)) == COCO_OK) rc = coco__memo_set_use(run, p, -1);
        if (rc != COCO_OK && rc != COCO_ENOTFOUND && rc != COCO_ECORRUPT) return rc;
        COCO_TRY(coco__del(t, &k));
        k.b[0] = COCO__MEMO_IDLE;
        COCO_TRY(coco__del(t, &k));
    }
}
