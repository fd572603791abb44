/* inputs.c - what a call is about and how fresh its inputs are: keys of arguments, memo states, reasons to run.
 *
 * Floor: above logic. The key of a call is its arguments by value or identity; it is kept itself while that is short,
 * else as a fingerprint with a digest of each argument, so that a changed one can be named. Memo states are what the
 * classes of arguments, of tracked objects and of context values said about them, to be asked again next time. Memos
 * of components and of functions are judged by both alike. */
#include "engine.h"

/* ---- Reasons ---- */

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
        [COCO__WHY_BELOW] = "something below failed or was left out",
        [COCO__WHY_UNKEPT] = "no memo was kept",
        [COCO__WHY_MISSING] = "target is missing",
    };
    static const char *const kinds[] = { [COCO__WHY_INPUT] = "argument", [COCO__WHY_STATE] = "argument",
                                         [COCO__WHY_LOGIC] = "function", [COCO__WHY_CONTEXT] = "key",
                                         [COCO__WHY_PARAM] = "parameter", [COCO__WHY_SCHEMA] = "target",
                                         [COCO__WHY_MISSING] = "target" };

    if (why.reason == 0 || (size_t)why.reason >= sizeof texts / sizeof texts[0]) return;
    coco__buf_str(b, texts[why.reason]);
    if (why.detail.n == 0 || (size_t)why.reason >= sizeof kinds / sizeof kinds[0] || !kinds[why.reason]) return;
    coco__buf_printf(b, " (%s %.*s%s)", kinds[why.reason], (int)why.detail.n, why.detail.p,
                     why.reason == COCO__WHY_STATE ? ": content" : "");
}

COCO__IN coco__why coco__set_why(const coco__depset *set)
{
    static const coco__reason reasons[] = { [COCO__D_LOGIC] = COCO__WHY_LOGIC, [COCO__D_CONTEXT] = COCO__WHY_CONTEXT,
                                            [COCO__D_PARAM] = COCO__WHY_PARAM, [COCO__D_PROVIDER] = COCO__WHY_SCHEMA };

    if (!set || !set->differs) return (coco__why){ COCO__WHY_LOGIC, { 0 } };
    return (coco__why){ set->missing ? COCO__WHY_MISSING : reasons[set->differs->kind], set->differs->name };
}

/* ---- Keys ---- */

coco_status coco_memo_skip(coco_ctx *cx, coco_value in, coco_value *out)
{
    (void)cx, (void)in;
    *out = coco_null();
    return COCO_OK;
}

/* In the key of a call: what follows is an argument without the component's own key at its end; is the memo key of an
 * object; and, in front, is a fingerprint. No encoded value begins with them. */
enum { COCO__KEY_OWN = 0xfc, COCO__KEY_OBJECT = 0xfd, COCO__KEY_HASHED = 0xfe };
#define COCO__KEY_WHOLE 32 /* so long a key is kept itself */

static coco_status coco__arg_encode(coco_ctx *cx, const coco_fn *fn, size_t i, coco_value v, coco__buf *b)
{
    const char *name = fn->params[i].name;
    coco_status rc;

    if (fn->memo_key[i]) {
        COCO__USER(cx->run, rc = fn->memo_key[i](cx, v, &v));
        COCO_TRY(rc);
    }
    if (v.kind == COCO_OBJECT) {
        const coco_class *cls = v.as.s.p.cls;
        if (!cls->memo_key)
            return coco_fail(cx, COCO_ETYPE, "%s: argument %zu%s%s (%s) can't be part of a memo key", fn->name, i + 1,
                             name ? " " : "", name ? name : "", cls->type);
        coco__buf_byte(b, COCO__KEY_OBJECT);
        COCO__USER(cx->run, rc = cls->memo_key(cx, v.as.s.u.object, &v));
        COCO_TRY(rc);
    }
    rc = coco__value_put(b, v, COCO__CANONICAL);
    return rc == COCO_OK ? rc
                         : coco_fail(cx, rc, "%s: argument %zu can't be part of a memo key: %s", fn->name, i + 1,
                                     coco_status_text(rc));
}

/* Leaves the component's own key (a text, symbol or bytes without a NUL) out of an argument that ends with it, as the
 * file does whose component stands at its path: what is left is the same for all files beside it. It begins with its
 * length: no key is a prefix of another. */
static void coco__arg_cut(coco__buf *b, size_t from, coco_str segment)
{
    size_t n = b->n - from - segment.n + 2;
    const uint8_t head[3] = { COCO__KEY_OWN, (uint8_t)(n >> 8), (uint8_t)n };

    if (segment.n < 2 + sizeof head || b->failed || b->n - from < segment.n - 2 || n > 0xffff) return;
    if (memcmp(b->p + from + n, segment.p + 1, segment.n - 2) != 0 || memchr(segment.p, 0, segment.n - 1)) return;
    memmove(b->p + from + sizeof head, b->p + from, n);
    memcpy(b->p + from, head, sizeof head);
    b->n = from + sizeof head + n;
}

/* Two bytes an argument: enough to tell which one changed. */
static void coco__arg_digest(const uint8_t *p, size_t n, uint8_t out[2])
{
    uint32_t hash = coco__hash32(p, n, 0);

    out[0] = (uint8_t)(hash >> 8), out[1] = (uint8_t)hash;
}

/* The encoding of one argument behind others. */
static coco_status coco__arg_put(coco_ctx *cx, const coco_fn *fn, size_t i, coco_value v, coco__buf *b)
{
    size_t from = b->n;

    COCO_TRY(coco__arg_encode(cx, fn, i, v, b));
    coco__arg_cut(b, from, cx->comp->at.segment);
    return b->failed ? coco__oom(cx) : COCO_OK;
}

/* The key that the arguments come to: they themselves, or their fingerprint and a digest of each. What was asked for
 * last is remembered: under one mount_each it is mostly the same. */
static coco_status coco__args_close(coco__run *run, const coco__buf *b, const size_t *ends, size_t nargs)
{
    uint8_t *out = run->args_key;
    size_t n = 1 + COCO__FP, at = 0;

    if (coco_str_equal(coco__buf_view(b), coco__buf_view(&run->args))) return COCO_OK;
    if (b->n <= COCO__KEY_WHOLE) {
        if (b->n) memcpy(out, b->p, b->n);
        n = b->n;
    } else {
        out[0] = COCO__KEY_HASHED;
        coco_fingerprint_bytes(b->p, b->n, out + 1);
        for (size_t i = 0; i < nargs; at = ends[i++], n += 2) coco__arg_digest(b->p + at, ends[i] - at, out + n);
    }
    run->nargs_key = n;
    run->args.n = 0;
    coco__buf_put(&run->args, b->p, b->n);
    if (!run->args.failed) return COCO_OK;
    coco__buf_free(&run->args); /* nothing is remembered: the key of no arguments */
    run->nargs_key = 0;
    return COCO_ENOMEM;
}

/* Makes the arguments' key in the run; b is memory for them. In one pass of a mount_each all but the first are the
 * same: where that is as good as the same, too, the key is the one that is remembered. */
static coco_status coco__args_key(coco_ctx *cx, const coco_fn *fn, coco_args args, uint64_t pass, coco__buf *b)
{
    coco__run *run = cx->run;
    size_t ends[COCO_MAX_PARAMS];

    assert(args.n <= COCO_MAX_PARAMS);
    for (size_t i = 0; i < args.n; i++) {
        COCO_TRY(coco__arg_put(cx, fn, i, args.v[i], b));
        ends[i] = b->n;
        if (i == 0 && pass && run->args_pass == pass && b->n == run->args_first &&
            memcmp(b->p, run->args.p, b->n) == 0)
            return COCO_OK;
    }
    run->args_pass = 0;
    COCO_TRY(coco__args_close(run, b, ends, args.n));
    run->args_pass = args.n ? pass : 0;
    run->args_first = args.n ? ends[0] : 0;
    return COCO_OK;
}

COCO__IN coco__buf coco__lend(coco__buf *own)
{
    coco__buf b = *own;

    coco__buf_init(own, b.mem);
    b.n = 0;
    return b;
}

COCO__IN void coco__give_back(coco__buf *own, coco__buf *b)
{
    coco__buf_free(own);
    if (b->failed) coco__buf_free(b);
    *own = *b;
}

COCO__IN coco_status coco__argkey(coco_ctx *cx, const coco_fn *fn, coco_args args, uint64_t pass, coco_str *key)
{
    coco__run *run = cx->run;
    coco__buf b = coco__lend(&run->arg_bytes); /* or, where a hook asks for a key within another, other memory */
    coco_status rc = coco__args_key(cx, fn, args, pass, &b);

    *key = coco__arena_str(cx->arena, (coco_str){ (char *)run->args_key, run->nargs_key });
    coco__give_back(&run->arg_bytes, &b);
    return rc != COCO_OK ? rc : key->p ? COCO_OK : coco__oom(cx);
}

/* The fingerprint of a key. What is called again and again in a run is hashed once, as long as there is room; where
 * nothing is, looking for it ends. */
static void coco__call_print(coco__run *run, const coco__buf *b, uint8_t fp[COCO__FP])
{
    bool look = b->n <= 128 /* a block of BLAKE2b */ && run->key_misses < 1 << 16;
    uint8_t *known = look ? coco__table_get(&run->keys, b->p, b->n) : NULL;

    run->key_misses = known ? 0 : run->key_misses + look;
    if (known) memcpy(fp, known, COCO__FP);
    else coco_fingerprint_bytes(b->p, b->n, fp);
    if (known || !look || run->known_room.total + b->n > COCO__KNOWN_BYTES) return;
    if (!(known = coco__arena_alloc(&run->known_room, COCO__FP + b->n))) return;
    memcpy(known, fp, COCO__FP);
    memcpy(known + COCO__FP, b->p, b->n);
    coco__table_put(&run->keys, known + COCO__FP, b->n, known);
}

/* The key of a memoized call is the same wherever it is made. */
COCO__IN coco_status coco__callkey(coco_ctx *cx, const coco_fn *fn, coco_args args, uint8_t fp[COCO__FP])
{
    coco__buf b = coco__lend(&cx->run->arg_bytes);
    coco_status rc = COCO_OK;

    coco__buf_put(&b, fn->name, strlen(fn->name) + 1);
    for (size_t i = 0; i < args.n && rc == COCO_OK; i++) rc = coco__arg_encode(cx, fn, i, args.v[i], &b);
    if (rc == COCO_OK && b.failed) rc = coco__oom(cx);
    if (rc == COCO_OK) coco__call_print(cx->run, &b, fp);
    coco__give_back(&cx->run->arg_bytes, &b);
    return rc;
}

/* Is the argument that encodes as p the one at *at in a key, or its digest the i-th? *at goes behind it. */
static bool coco__arg_same(coco_str key, size_t i, const coco__buf *b, size_t *at)
{
    uint8_t digest[2];
    size_t from = *at;

    if (key.n && (uint8_t)key.p[0] == COCO__KEY_HASHED) {
        coco__arg_digest(b->p, b->n, digest);
        from = 1 + COCO__FP + 2 * i;
        return from + 2 <= key.n && memcmp(key.p + from, digest, 2) == 0;
    }
    *at += b->n;
    return *at <= key.n && memcmp(key.p + from, b->p, b->n) == 0;
}

/* Which argument isn't what it was when the call had the key `old`: the first of them. Encodings are no prefixes of
 * each other, so they can be compared one by one without being decoded. */
COCO__IN coco_status coco__arg_changed(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_str old, coco_str *name)
{
    coco__buf b;
    size_t at = 0;
    coco_status rc = COCO_OK;
    bool same = true;

    *name = (coco_str){ 0 };
    coco__buf_init(&b, cx->run->mem);
    for (size_t i = 0; i < args.n && rc == COCO_OK && same; i++) {
        b.n = 0;
        rc = coco__arg_put(cx, fn, i, args.v[i], &b);
        same = rc != COCO_OK || coco__arg_same(old, i, &b, &at);
        if (!same) *name = fn->params[i].name ? coco_str_of(fn->params[i].name) : coco_format(cx, "%zu", i + 1);
    }
    coco__buf_free(&b);
    return rc;
}

/* ---- Memo states: {1 + argument, state} or {0, class, key, state} or {15, context key, state} ---- */

enum { COCO__TAG_TRACKED = 0, COCO__TAG_CONTEXT = 15 };

static coco_status coco__state_hook(coco_ctx *cx, const coco_class *cls, void *object, coco_str stored, coco_str *state,
                                    bool *valid)
{
    *valid = true;
    *state = (coco_str){ "", 0 };
    if (!cls->memo_state) return COCO_OK;
    coco_status rc;
    COCO__USER(cx->run, rc = cls->memo_state(cx, object, stored, state, valid));
    return rc;
}

/* The object of a tracked input, made again from its key where only the record is known. */
static coco_status coco__reopen(coco_ctx *cx, coco__tracked *t)
{
    coco__reader r = coco__reader_of(t->key.p, t->key.n);
    const coco__provided *p;
    coco_value key;

    if (t->object) return COCO_OK;
    if (t->context) {
        p = coco__provided_find(cx->run->app, cx->run->env, t->key);
        if (!p || p->value.kind != COCO_OBJECT) return COCO_ENOTFOUND;
        t->cls = p->value.as.s.p.cls;
        t->object = p->value.as.s.u.object;
        return COCO_OK;
    }
    if (!t->cls || !t->cls->reopen) return COCO_ENOTFOUND;
    COCO_TRY(coco__value_get(&r, cx->arena, &key));
    coco_status rc;
    COCO__USER(cx->run, rc = t->cls->reopen(cx, key, &t->object));
    return rc;
}

static coco_status coco__tracked_state(coco_ctx *cx, coco__tracked *t)
{
    coco_str state;
    bool valid;

    if (t->state.p) return COCO_OK;
    COCO_TRY(coco__reopen(cx, t));
    COCO_TRY(coco__state_hook(cx, t->cls, t->object, (coco_str){ NULL, 0 }, &state, &valid));
    t->state = coco__arena_str(cx->home, state);
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
        copy->key = coco__arena_str(caller->home, t->key);
        copy->state = coco__arena_str(caller->home, t->state);
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
    *states = coco__buf_take(&b, cx->arena);
    coco__table_free(&seen);
    return rc == COCO_OK && !states->p ? coco__oom(cx) : rc;
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

/* Stored states that are checked, and what they are now where one differs. */
typedef struct coco__restate {
    coco_str stored;
    bool differs;
    coco__buf bytes;
} coco__restate;

/* Asks for one stored state again. Where it is another by now, what is to be stored goes to b: all that came before it,
 * and it with its new length. */
static coco_status coco__one_state(coco_ctx *cx, coco_args args, coco__reader *r, coco__restate *b)
{
    coco__tracked t;
    coco_str stored, state;
    bool valid = false;
    const uint8_t *begin = r->p;
    int arg;

    COCO_TRY(coco__state_read(r, &arg, &t, &stored));
    if (arg >= 0) {
        if ((size_t)arg >= args.n || args.v[arg].kind != COCO_OBJECT) return COCO_ENOTFOUND;
        t.cls = args.v[arg].as.s.p.cls;
        t.object = args.v[arg].as.s.u.object;
    } else {
        COCO_TRY(coco__reopen(cx, &t));
    }
    COCO_TRY(coco__state_hook(cx, t.cls, t.object, stored, &state, &valid));
    if (!valid) return COCO_ENOTFOUND;
    if (!b->differs && coco_str_equal(state, stored)) return COCO_OK;
    if (!b->differs) coco__buf_put(&b->bytes, b->stored.p, (size_t)(begin - (const uint8_t *)b->stored.p));
    b->differs = true;
    size_t length = 1; /* of the old length, with which the head ends */
    for (size_t n = stored.n; n > 127; n >>= 7) length++;
    coco__buf_put(&b->bytes, begin, (size_t)((const uint8_t *)stored.p - begin) - length);
    coco__buf_blob(&b->bytes, state.p, state.n);
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
    coco__restate b = { .stored = stored };
    coco_status rc = COCO_OK;

    *now = stored;
    coco__buf_init(&b.bytes, cx->run->mem);
    while (rc == COCO_OK && coco__left(&r)) {
        const uint8_t *at = r.p;
        rc = coco__one_state(cx, args, &r, &b);
        if (rc != COCO_OK) *why = (coco__why){ COCO__WHY_STATE, coco__state_label(fn, at, r.end) };
    }
    if (rc == COCO_OK && b.differs && !(*now = coco__buf_take(&b.bytes, cx->arena)).p) rc = COCO_ENOMEM;
    coco__buf_free(&b.bytes);
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
        t->key = coco__arena_str(cx->home, t->key);
        t->state = coco__arena_str(cx->home, state);
        if (!t->key.p || !t->state.p) return COCO_ENOMEM;
        t->next = *list;
        *list = t;
    }
    return COCO_OK;
}
