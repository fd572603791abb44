/* memo.c - function memos.
 *
 * Floor: above inputs. A function memo belongs to the app and is found again wherever the same call is made, unless it
 * declared states or asked for ids: then it is an entry of its component. It holds under its dependency set (logic and
 * context) and its memo states.
 *
 * A stored function memo is: id of its dependency set, run, cost, memo states, fingerprints of the memos it used,
 * keys of the entries it declared, result. Of the app's a large result is kept apart (store.c): the memo ends with its
 * number and length. The use count is a record of its own, so that counting never rewrites a memo. What a run has found
 * in the store it keeps in memory, whole, up to a limit: until the memo is made anew, or memos are swept. */
#include "engine.h"

/* ---- Function memos ---- */

enum { COCO__M_UNITS = 1, COCO__M_APART = 2 };

static void coco__memo_put(coco__buf *b, const coco__memo *m)
{
    int mode = (m->units != 0 ? COCO__M_UNITS : 0) | (m->number ? COCO__M_APART : 0);
    uint64_t bits;

    memcpy(&bits, &m->units, sizeof bits);
    coco__buf_varint(b, m->set);
    coco__buf_varint(b, m->run);
    coco__buf_varint(b, m->ns / 1000);
    coco__buf_varint(b, (uint64_t)mode);
    if (mode & COCO__M_UNITS) coco__buf_be64(b, bits);
    coco__buf_blob(b, m->states.p, m->states.n);
    coco__buf_blob(b, m->uses.p, m->uses.n);
    coco__buf_blob(b, m->declared.p, m->declared.n);
    if (!m->number) coco__buf_put(b, m->result.p, m->result.n);
    else coco__buf_varint(b, m->number), coco__buf_varint(b, m->result.n);
}

COCO__IN coco_status coco__memo_get(coco_str payload, coco__memo *m)
{
    coco__reader r = coco__reader_of(payload.p, payload.n);
    uint64_t bits = 0;

    m->set = coco__read_varint(&r);
    m->run = coco__read_varint(&r);
    m->ns = coco__read_varint(&r) * 1000;
    uint64_t mode = coco__read_varint(&r);
    if (mode & COCO__M_UNITS) bits = coco__read_be64(&r);
    memcpy(&m->units, &bits, sizeof bits);
    m->states = coco__read_blob(&r);
    m->uses = coco__read_blob(&r);
    m->declared = coco__read_blob(&r);
    m->fields = (size_t)((const char *)r.p - payload.p);
    m->result = (coco_str){ (const char *)r.p, coco__left(&r) };
    m->number = mode & COCO__M_APART ? coco__read_varint(&r) : 0;
    if (mode & COCO__M_APART) m->result = (coco_str){ NULL, m->number ? coco__read_varint(&r) : SIZE_MAX };
    return r.bad || m->uses.n % COCO__FP || m->result.n > PTRDIFF_MAX ? COCO_ECORRUPT : COCO_OK;
}

/* A stored memo with its result, fields and result.n bytes at out. */
static coco_status coco__memo_whole(const coco__txn *t, coco_str payload, const coco__memo *m, char *out)
{
    coco__reader r = coco__reader_of(payload.p, payload.n);

    memcpy(out, payload.p, m->number ? m->fields : payload.n);
    if (!m->number) return COCO_OK;
    for (int i = 0; i < 3; i++) coco__read_varint(&r);
    out[(const char *)r.p - payload.p] &= ~COCO__M_APART;
    return coco__result_get(t, m->number, out + m->fields, m->result.n);
}

/* Finds the memo: computed in this run, or the component's own. *payload.p NULL: none. */
static coco_status coco__memo_find(coco_ctx *cx, coco__memo_call *m, coco_str *payload)
{
    coco__run *run = cx->run;
    coco__fresh *f = coco__table_get(&run->memos, m->fp, COCO__FP);
    coco__entry *e = NULL;
    coco__change *c;
    coco__ekey k;
    bool own;

    *payload = (coco_str){ 0 };
    m->fresh = f != NULL;
    m->owned = !f;
    if (f) return *payload = coco__buf_view(&f->payload), COCO_OK;
    COCO_TRY(coco__owned_memos(&cx->comp->owned, &own));
    if (!own) return COCO_OK;
    coco_str ekey = coco__ekey_make(&k, COCO__S_MEMO, m->fp, COCO__FP);
    if ((c = coco__owned_changed(&cx->comp->owned, ekey)) != NULL) *payload = c->after;
    else if (!run->full) COCO_TRY(coco__owned_find(&cx->comp->owned, ekey, &e));
    if (e && !(*payload = coco__arena_str(cx->arena, e->value)).p) return coco__oom(cx);
    return COCO_OK;
}

/* Copies a stored memo, to where the run finds it again, as long as there is room: what is called everywhere is looked
 * up in the store once. */
static coco_status coco__memo_know(coco_ctx *cx, const coco__txn *t, const uint8_t fp[COCO__FP], coco_str *payload)
{
    coco__run *run = cx->run;
    coco__memo m;

    if (coco__memo_get(*payload, &m) != COCO_OK) m = (coco__memo){ .fields = payload->n }; /* told by who asks */
    size_t n = m.fields + m.result.n;
    bool fits = run->known_room.total + n < COCO__KNOWN_BYTES;
    coco_str *k = coco__arena_alloc(fits ? &run->known_room : cx->arena, sizeof *k + COCO__FP + n);
    if (!k) return coco__oom(cx);
    char *p = memcpy(k + 1, fp, COCO__FP);
    *k = (coco_str){ p + COCO__FP, n };
    COCO_TRY(coco__memo_whole(t, *payload, &m, p + COCO__FP));
    if (fits) coco__table_put(&run->known, p, COCO__FP, k); /* without memory for the table it is only copied */
    *payload = *k;
    return COCO_OK;
}

/* Finds the app's memo. *payload.p NULL: none. */
static coco_status coco__memo_stored(coco_ctx *cx, const coco__memo_call *m, coco_str *payload)
{
    coco__run *run = cx->run;
    const coco_str *known = coco__table_get(&run->known, m->fp, COCO__FP);
    coco_status rc = known ? COCO_OK : COCO_ENOTFOUND;
    coco__memo memo;
    coco__dbkey key;
    coco__txn t;

    *payload = known ? *known : (coco_str){ 0 };
    if (!known && run->app->has_dbi) {
        COCO_TRY(coco__run_read(run, &t));
        coco__dbkey_raw(&key, COCO__MEMO, m->fp, COCO__FP);
        rc = coco__get(&t, &key, payload);
        if (run->full && rc == COCO_OK && (coco__memo_get(*payload, &memo) != COCO_OK || memo.run != run->number))
            rc = COCO_ENOTFOUND;
        if (rc == COCO_OK) rc = coco__memo_know(cx, &t, m->fp, payload);
        if (rc != COCO_OK) *payload = (coco_str){ 0 };
        coco__run_read_end(run, &t);
    }
    if (rc == COCO_ENOTFOUND) return COCO_OK;
    return rc == COCO_OK || rc == COCO_ENOMEM ? rc : coco__say(cx, rc, coco__said(run, rc));
}

/* What the stored call declared must be just as it left it; the engine's own entries need only be there. */
static bool coco__declared_intact(coco_ctx *cx, coco_str declared)
{
    coco__reader r = coco__reader_of(declared.p, declared.n);
    coco__owned *o = &cx->comp->owned;

    while (coco__left(&r)) {
        coco_str ekey = coco__read_blob(&r);
        uint64_t space = coco__space_of(ekey, NULL);
        coco__entry *e = NULL;
        coco__state s;
        coco_target *t = NULL;
        const coco__change *c = coco__owned_changed(o, ekey);
        if (!r.bad && space < COCO__S_FIRST_PROVIDER && c && c->after.p) continue;
        if (r.bad || c || coco__table_get(&o->run->moved_states, ekey.p, ekey.n)) return false;
        if (coco__owned_find(o, ekey, &e) != COCO_OK || !e) return false;
        if (space < COCO__S_FIRST_PROVIDER) continue;
        if (coco__state_get(cx->comp->rec.flags, e->ekey, e->value, &s) != COCO_OK || s.npossible != 1 ||
            !s.possible[0].p || s.condemned)
            return false;
        if (coco__target_by_id(cx->run, space, &t) != COCO_OK || !t || coco__target_gone(t)) return false;
        if (t->counter != s.counter) return false;
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
        if (again && coco__space_of(ekey, NULL) >= COCO__S_FIRST_PROVIDER)
            return coco_fail(cx, COCO_EDUP, "a target state is declared twice in this component, by a memoized call");
    }
    return cx->declared.failed ? coco__oom(cx) : COCO_OK;
}

typedef struct coco__used { uint8_t fp[COCO__FP]; } coco__used;

static int coco__use_order(const void *a, const void *b) { return memcmp(a, b, COCO__FP); }

/* Sorts fingerprints that are the same before the byte `at`: each goes to the part of its byte there, then the parts
 * are sorted. That takes few comparisons: which way they go can't be foreseen, and that is what sorting costs. */
static void coco__uses_part(coco__used *p, size_t n, size_t at)
{
    size_t begin[256], end[256] = { 0 }, sum = 0;

    for (size_t i = 0; i < n; i++) end[p[i].fp[at]]++;
    for (size_t b = 0; b < 256; b++) begin[b] = sum, end[b] = sum += end[b];
    for (size_t b = 0, first = 0; b < 256; first = end[b++]) {
        for (size_t to; begin[b] < end[b]; begin[to]++) {
            coco__used was = p[begin[b]];
            to = was.fp[at];
            p[begin[b]] = p[begin[to]], p[begin[to]] = was;
        }
        if (end[b] - first > 8 && at + 1 < COCO__FP) coco__uses_part(p + first, end[b] - first, at + 1);
        else if (end[b] - first > 1) qsort(p + first, end[b] - first, COCO__FP, coco__use_order);
    }
}

/* Sorts what was used, each once. */
static void coco__uses_sort(coco__buf *uses)
{
    uint8_t *p = uses->p;
    size_t n = 0;

    if (uses->n) coco__uses_part((coco__used *)p, uses->n / COCO__FP, 0);
    for (size_t i = 0; i < uses->n; i += COCO__FP)
        if (n == 0 || memcmp(p + n - COCO__FP, p + i, COCO__FP) != 0) memmove(p + n, p + i, COCO__FP), n += COCO__FP;
    uses->n = n;
}

/* Uses wait until the function has returned: in order they read each page of recorded ones once. */
COCO__IN coco_status coco__uses_settle(coco__comp *c)
{
    coco__uses_sort(&c->uses);
    for (size_t i = 0; i < c->uses.n; i += COCO__FP)
        COCO_TRY(coco__own(&c->owned, COCO__S_USE, (coco_str){ (char *)c->uses.p + i, COCO__FP }, (coco_str){ "", 0 },
                           NULL));
    return COCO_OK;
}

/* Lists a memo, and those it used, in the component and in the memoized calls around. */
static coco_status coco__memo_used(coco_ctx *cx, const uint8_t *fp, coco_str uses, bool owned)
{
    coco__buf *all = &cx->comp->uses;
    coco__ekey k;

    if (cx->memo_depth && owned) {
        coco__ekey_make(&k, COCO__S_MEMO, fp, COCO__FP);
        coco__buf_blob(&cx->declared, k.b, k.n);
    }
    if (cx->memo_depth && !owned) coco__buf_put(&cx->uses, fp, COCO__FP);
    if (cx->memo_depth) coco__buf_put(&cx->uses, uses.p, uses.n);
    if (cx->uses.failed || cx->declared.failed) return coco__oom(cx);
    if (!owned) coco__buf_put(all, fp, COCO__FP);
    coco__buf_put(all, uses.p, uses.n);
    if (all->failed) return coco__oom(cx);
    if (all->n <= 2 * cx->comp->uses_once + (1 << 20)) return COCO_OK;
    coco__uses_sort(all);
    cx->comp->uses_once = all->n;
    return COCO_OK;
}

static coco_status coco__memo_valid(coco_ctx *cx, const coco_fn *fn, coco_args args, const coco__memo *m,
                                    coco__why *why, coco_str *now)
{
    coco__depset *set = NULL;
    coco_status rc;

    COCO_TRY(coco__depset_load(cx->run, m->set, &set));
    if (set) COCO_TRY(coco__depset_judge(cx, set));
    if (!set || !set->valid) {
        *why = coco__set_why(set);
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

    coco__table_remove(&cx->run->known, fp, COCO__FP);
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

/* Stores a memo where it belongs: in the component, or queued for the next round. */
static coco_status coco__memo_store(coco_ctx *cx, const uint8_t fp[COCO__FP], const coco__memo *m, coco__depset *set,
                                    bool owned)
{
    coco_str key = { (const char *)fp, COCO__FP };
    coco__fresh *f = NULL;
    coco__buf whole;
    coco_status rc;

    coco__buf_init(&whole, cx->run->mem);
    coco__memo_put(&whole, m);
    rc = whole.failed ? coco__oom(cx)
         : owned      ? coco__own(&cx->comp->owned, COCO__S_MEMO, key, coco__buf_view(&whole), NULL)
                      : coco__fresh_add(cx, fp, &f);
    if (rc != COCO_OK || owned) {
        coco__buf_free(&whole);
        return rc;
    }
    bool queued = f->payload.n != 0;
    coco__buf_free(&f->payload);
    f->payload = whole;
    f->set = set;
    f->running = false;
    if (queued) return COCO_OK;
    coco__round_begin(cx->run);
    f->next = cx->run->queued_memos;
    cx->run->queued_memos = f;
    cx->run->nqueued_memos++;
    cx->run->queued_bytes += f->payload.n;
    return COCO_OK;
}

/* Each blob once, in order: what is declared again and again, through many others, doesn't add up. */
static coco_status coco__unique(coco_ctx *cx, coco__buf *b)
{
    coco__reader r = coco__reader_of(b->p, b->n);
    coco__table seen;
    bool ok = true;

    coco__table_init(&seen, cx->run->mem);
    for (b->n = 0; coco__left(&r) && ok;) {
        const uint8_t *at = r.p;
        coco_str item = coco__read_blob(&r);
        size_t all = (size_t)(r.p - at);
        if (coco__table_get(&seen, item.p, item.n)) continue;
        memmove(b->p + b->n, at, all);
        b->n += all;
        ok = coco__table_put(&seen, b->p + b->n - item.n, item.n, b);
    }
    coco__table_free(&seen);
    return ok ? COCO_OK : coco__oom(cx);
}

COCO__IN coco_status coco__result_encode(coco_ctx *frame, coco__buf *b)
{
    coco_status rc = coco__value_put(b, frame->result, COCO__STORED);
    char what[COCO_ERR_MAX];

    if (rc == COCO_OK) return rc;
    snprintf(what, sizeof what, "%s: the result of a memoized function", frame->fn->name);
    return coco__value_refused(frame, rc, what);
}

/* After a run of the body: makes the memo and stores it where it belongs. */
static coco_status coco__memo_made(coco_ctx *frame, const uint8_t fp[COCO__FP], coco_args args, uint64_t ns)
{
    coco__memo m = { .ns = ns, .run = frame->run->number, .units = frame->units };
    coco__depset *set;
    coco__buf b;
    coco_status rc;

    coco__buf_init(&b, frame->run->mem);
    rc = coco__result_encode(frame, &b);
    m.result = (coco_str){ (char *)b.p, b.n };
    if (rc == COCO_OK) rc = coco__states_take(frame, frame->fn, args, frame->tracked, &m.states);
    if (rc == COCO_OK) rc = coco__depset_of(frame->run, &frame->deps, &set);
    if (rc == COCO_OK) {
        coco__uses_sort(&frame->uses);
        m.set = set->id;
        m.uses = (coco_str){ (char *)frame->uses.p, frame->uses.n };
        m.declared = (coco_str){ (char *)frame->declared.p, frame->declared.n };
        rc = coco__memo_store(frame, fp, &m, set, frame->owned);
    }
    coco__buf_free(&b);
    return rc;
}

/* The next target state of a list of declared entries, n 0 at its end. What of the list is the engine's own, such as
 * memos of calls inside, may differ where the states don't: a function may have been memoized since. */
static coco_str coco__next_declared(coco__reader *r)
{
    while (coco__left(r)) {
        coco_str ekey = coco__read_blob(r);
        if (coco__space_of(ekey, NULL) >= COCO__S_FIRST_PROVIDER) return ekey;
    }
    return (coco_str){ 0 };
}

static bool coco__same_declared(const coco__buf *is, coco_str was)
{
    coco__reader a = coco__reader_of(is->p, is->n), b = coco__reader_of(was.p, was.n);
    coco_str one;

    do {
        one = coco__next_declared(&a);
        if (!coco_str_equal(one, coco__next_declared(&b))) return false;
    } while (one.n);
    return true;
}

/* Under recheck the stored result must come out again, and nothing be declared otherwise. */
static coco_status coco__recheck_result(coco_ctx *frame, const coco__memo *m)
{
    coco__buf b;
    bool same;

    coco__buf_init(&b, frame->run->mem);
    same = coco__value_put(&b, frame->result, COCO__STORED) == COCO_OK;
    same = same && coco_str_equal(coco__buf_view(&b), m->result);
    coco__buf_free(&b);
    same = same && coco__same_declared(&frame->declared, m->declared);
    if (same && coco__declared_intact(frame, m->declared)) return COCO_OK;
    frame->run->recheck_failed = true;
    return coco_fail(frame, COCO_ERECHECK,
                     "%s: a memo hit gave another result when run again: it has an input it doesn't declare",
                     frame->fn->name);
}

COCO__IN coco_status coco__stored_result(coco_ctx *cx, coco_str stored, coco_value *value)
{
    coco__reader r = coco__reader_of(stored.p, stored.n);

    *value = coco_null();
    return stored.n ? coco__value_get(&r, cx->arena, value) : COCO_OK;
}

static coco_status coco__memo_hit(coco_ctx *cx, const uint8_t *fp, const coco__memo *m, bool owned, coco_value *value)
{
    COCO_TRY(coco__memo_used(cx, fp, m->uses, owned));
    if (owned) {
        coco_str key = { (const char *)fp, COCO__FP };
        cx->owned = true;
        COCO_TRY(coco__declared_mark(cx, m->declared));
        COCO_TRY(coco__own(&cx->comp->owned, COCO__S_MEMO, key, (coco_str){ NULL, 0 }, NULL));
    }
    cx->run->saved_ns += m->ns;
    cx->run->saved_units += m->units;
    return value ? coco__stored_result(cx, m->result, value) : COCO_OK;
}

/* Begins a computation: others wait for it, and a call in it that reaches the key again runs unmemoized. */
static coco_status coco__memo_compute(coco_ctx *cx, const coco_fn *fn, coco__memo_call *m)
{
    coco__fresh *f;

    COCO_TRY(coco__make_room(cx)); /* what was computed is stored now and then, also if the component runs for hours */
    coco__frame_init(&m->frame, cx, fn);
    m->begun = coco__monotonic_ns();
    if (m->plain) return COCO_OK;
    COCO_TRY(coco__fresh_add(cx, m->fp, &f));
    f->running = true;
    f->by = coco__this_thread();
    m->frame.memo_depth++;
    m->frame.memo = m->fp;
    return COCO_OK;
}

/* Does the memo hold? COCO_ENOTFOUND: why says what is missing. One that holds for inputs in a new state (a touched
 * file) is stored with that state. */
static coco_status coco__memo_judge(coco_ctx *cx, const coco_fn *fn, coco__memo_call *m, coco_str payload,
                                    coco__memo *memo, coco__why *why)
{
    coco__depset *set = NULL;
    coco_str now = { 0 };
    coco_status rc;

    /* another thread's round may free it, or sweep */
    if (cx->run->pool && !(payload = coco__arena_str(cx->arena, payload)).p) return coco__oom(cx);
    if ((rc = coco__memo_get(payload, memo)) != COCO_OK)
        return coco_fail(cx, rc, "%s: a function memo is damaged", fn->name);
    COCO_TRY(coco__memo_valid(cx, fn, m->args, memo, why, &now));
    if (!m->fresh && coco__recheck_due(cx->run, m->fp)) {
        why->reason = COCO__WHY_RECHECK;
        m->recheck = payload;
        return COCO_ENOTFOUND;
    }
    if (m->fresh || coco_str_equal(now, memo->states)) return COCO_OK;
    memo->states = now;
    if (!m->owned) COCO_TRY(coco__depset_load(cx->run, memo->set, &set));
    return coco__memo_store(cx, m->fp, memo, set, m->owned);
}

/* Looks for a memo that holds. A call that declares nothing any more has the app's, computed for whoever came first:
 * what the component has of its own is of before. */
static coco_status coco__memo_look(coco_ctx *cx, const coco_fn *fn, coco__memo_call *m, coco__memo *memo,
                                   coco__why *why)
{
    coco_status rc = COCO_ENOTFOUND;
    coco_str payload;

    if (cx->run->full) why->reason = COCO__WHY_FORCED;
    COCO_TRY(coco__memo_find(cx, m, &payload));
    if (payload.p) rc = coco__memo_judge(cx, fn, m, payload, memo, why);
    if (rc != COCO_ENOTFOUND || m->fresh || why->reason == COCO__WHY_RECHECK) return rc;
    m->owned = false;
    COCO_TRY(coco__memo_stored(cx, m, &payload));
    return payload.p ? coco__memo_judge(cx, fn, m, payload, memo, why) : COCO_ENOTFOUND;
}

COCO__IN int coco__memo_begin(coco_ctx *cx, const coco_fn *fn, coco__memo_call *m, coco_value *value)
{
    coco__why why = { COCO__WHY_NEW, { 0 } };
    coco__fresh *f;
    coco__memo memo;
    coco_status rc;

    COCO_TRY(coco__callkey(cx, fn, m->args, m->fp));
    while ((f = coco__table_get(&cx->run->memos, m->fp, COCO__FP)) != NULL && f->running && !m->plain)
        m->plain = !coco__await_fresh(cx, m->fp);
    if (m->plain) return coco__memo_compute(cx, fn, m);
    rc = coco__memo_look(cx, fn, m, &memo, &why);
    if (rc != COCO_OK && rc != COCO_ENOTFOUND) return rc;
    f = rc == COCO_OK ? NULL : coco__table_get(&cx->run->memos, m->fp, COCO__FP);
    /* another thread was faster */
    if (f && (f->running || !m->fresh)) return coco__memo_begin(cx, fn, m, value);
    coco__count_fn(cx->run->app, fn, rc == COCO_OK ? COCO__HITS : COCO__MISSES, 1);
    coco__emit_why(cx->run, rc == COCO_OK ? COCO_EV_CALL_HIT : COCO_EV_CALL_MISS, cx->comp, fn, &why);
    if (rc != COCO_OK) return coco__memo_compute(cx, fn, m);
    rc = coco__memo_hit(cx, m->fp, &memo, m->owned, value);
    return rc == COCO_OK ? 1 : rc;
}

/* A computation is over: what it made is kept where it may be. */
static coco_status coco__memo_keep_call(coco_ctx *cx, coco__memo_call *m, coco_status rc)
{
    coco_ctx *frame = &m->frame;
    coco__fresh *f;
    coco__memo before;

    if (rc == COCO_OK) rc = coco__unique(frame, &frame->declared);
    if (rc == COCO_OK && m->recheck.p && (rc = coco__memo_get(m->recheck, &before)) == COCO_OK)
        rc = coco__recheck_result(frame, &before);
    if (rc == COCO_OK && !frame->uncacheable)
        rc = coco__memo_made(frame, m->fp, m->args, coco__monotonic_ns() - m->begun);
    if (rc == COCO_OK && !frame->uncacheable)
        rc = coco__memo_used(cx, m->fp, (coco_str){ 0 }, frame->owned); /* the others were listed when they were used */
    if (frame->uncacheable) cx->uncacheable = true;
    f = coco__table_get(&cx->run->memos, m->fp, COCO__FP);
    if (f) f->running = false; /* not before: others find it whole, or not at all */
    if (f && f->payload.n == 0) coco__fresh_drop(cx->run, f);
    coco__changed(cx->run);
    return rc;
}

COCO__IN coco_status coco__memo_end(coco_ctx *cx, coco__memo_call *m, coco_status rc, coco_value *value)
{
    if (!m->plain) rc = coco__memo_keep_call(cx, m, rc);
    if (rc == COCO_OK && value) *value = m->frame.result;
    return coco__both(rc, coco__frame_end(&m->frame, cx));
}

COCO__IN coco_status coco__call_memoized(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_value *value)
{
    coco__memo_call m = { .args = args };
    int rc = coco__memo_begin(cx, fn, &m, value);

    if (rc != COCO_OK) return rc < 0 ? rc : COCO_OK;
    return coco__memo_end(cx, &m, coco__call_frame(&m.frame, fn, args), value);
}

/* ---- Writing ---- */

COCO__IN coco_status coco__memo_use(const coco__txn *t, const char *fp, int delta)
{
    coco__dbkey k;
    uint64_t before, count;

    coco__dbkey_raw(&k, COCO__MEMO_USES, fp, COCO__FP);
    COCO_TRY(coco__get_number(t, &k, &before));
    count = delta < 0 && before < (uint64_t)-delta ? 0 : before + (uint64_t)(int64_t)delta;
    COCO_TRY(coco__put_number(t, &k, count));
    k.b[0] = COCO__MEMO_IDLE;
    if (count == 0) return coco__put(t, &k, NULL, 0);
    return before == 0 ? coco__del(t, &k) : COCO_OK;
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

/* What the stored memo of that key, if any, has apart from itself goes. */
static coco_status coco__memo_clear(coco__run *run, const coco__txn *t, const coco__dbkey *k)
{
    coco__memo m;
    coco_str p;
    coco_status rc = coco__get(t, k, &p);

    if (rc == COCO_OK) rc = coco__memo_get(p, &m);
    if (rc != COCO_OK) return rc == COCO_ENOTFOUND || rc == COCO_ECORRUPT ? COCO_OK : rc;
    COCO_TRY(coco__memo_set_use(run, p, -1));
    return m.number ? coco__del_id(t, COCO__RESULT, m.number) : COCO_OK;
}

/* Its result is put apart where it is large. */
static coco_status coco__memo_write(const coco__txn *t, const coco__dbkey *k, const coco__buf *whole)
{
    coco__memo m;
    coco__buf b;

    COCO_TRY(coco__memo_get(coco__buf_view(whole), &m));
    if (m.result.n <= COCO__PIECE) return coco__put_buf(t, k, whole);
    coco__buf_init(&b, whole->mem);
    coco_status rc = coco__result_put(t, m.result, &m.number);
    coco__memo_put(&b, &m);
    if (rc == COCO_OK) rc = coco__put_buf(t, k, &b);
    coco__buf_free(&b);
    return rc;
}

COCO__IN coco_status coco__memos_write(coco__run *run, const coco__txn *t)
{
    coco__dbkey k;

    for (coco__fresh *f = run->queued_memos; f; f = f->next) {
        coco__dbkey_raw(&k, COCO__MEMO, f->fp, COCO__FP);
        COCO_TRY(coco__memo_clear(run, t, &k));
        if (f->set) coco__depset_use(run, f->set, 1);
        COCO_TRY(coco__memo_write(t, &k, &f->payload));
    }
    return COCO_OK;
}

COCO__IN coco_status coco__memos_idle(const coco__run *run, const coco__txn *t)
{
    coco__dbkey k;
    coco_str p;

    for (const coco__fresh *f = run->queued_memos; f; f = f->next) {
        coco__dbkey_raw(&k, COCO__MEMO_USES, f->fp, COCO__FP);
        coco_status rc = coco__get(t, &k, &p);
        k.b[0] = COCO__MEMO_IDLE;
        COCO_TRY(rc == COCO_ENOTFOUND ? coco__put(t, &k, NULL, 0) : rc);
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
    coco_status rc;

    coco__table_clear(&run->known);
    coco__table_clear(&run->keys);
    run->key_misses = 0;
    coco__arena_reset(&run->known_room);
    coco__dbkey_raw(&prefix, COCO__MEMO_IDLE, NULL, 0);
    for (;;) {
        rc = coco__first(t, &prefix, &k);
        if (rc != COCO_OK) return rc == COCO_ENOTFOUND ? COCO_OK : rc;
        k.b[0] = COCO__MEMO;
        COCO_TRY(coco__memo_clear(run, t, &k));
        COCO_TRY(coco__del(t, &k));
        k.b[0] = COCO__MEMO_IDLE;
        COCO_TRY(coco__del(t, &k));
    }
}
