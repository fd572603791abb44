/* context.c - coco_ctx: memory, errors, arguments, context values, parameters, tracked inputs, and the frame of each
 * call.
 *
 * Floor: above target. Every call through the engine has a frame of its own on the C stack; what it depends on is
 * merged into its caller's frame when it ends (S4.1), filtered by the caller's logic_tracking. Frames share the
 * memory of their component. */
#include "engine.h"

/* ---- Errors ---- */

COCO__IN coco_status coco__say(coco_ctx *cx, coco_status rc, const char *text)
{
    cx->message = coco__arena_text(cx->home, text);
    return cx->said = rc;
}

coco_status coco_fail(coco_ctx *cx, coco_status code, const char *fmt, ...)
{
    char text[COCO_ERR_MAX];

    COCO__FORMAT(text, fmt);
    return coco__say(cx, code, text);
}

COCO__IN coco_status coco__keep(coco_ctx *cx, coco_status rc, const char *message)
{
    if (message && *message) coco__say(cx, rc, message);
    if (!cx->kept) cx->kept = rc;
    return rc;
}

/* The encoder refuses a value: it is, or holds, an object, or is too deep. */
COCO__IN coco_status coco__value_refused(coco_ctx *cx, coco_status rc, const char *what)
{
    return coco_fail(cx, rc, rc == COCO_ETYPE ? "%s can't hold an object" : "%s can't be nested so deep", what);
}

COCO__IN coco_status coco__oom(coco_ctx *cx)
{
    cx->message = NULL;
    return cx->said = COCO_ENOMEM;
}

/* For what can't return a status. */
static void coco__keep_oom(coco_ctx *cx) { coco__keep(cx, coco__oom(cx), NULL); }

coco_status coco_keep_error(coco_ctx *cx, coco_status code) { return coco__keep(cx, code, NULL); }
coco_status coco_error(coco_ctx *cx) { return cx->kept; }
const char *coco_error_message(coco_ctx *cx)
{ return cx->message ? cx->message : cx->said ? coco_status_text(cx->said) : ""; }

/* ---- Memory ---- */

static void *coco__alloc_in(coco_ctx *cx, coco__arena *arena, size_t n)
{
    void *p = coco__arena_zalloc(arena, n);

    if (!p) coco__keep_oom(cx);
    return p;
}

void *coco_alloc(coco_ctx *cx, size_t n) { return coco__alloc_in(cx, cx->arena, n); }

coco_str coco_copy(coco_ctx *cx, coco_str s)
{
    coco_str copy = coco__arena_str(cx->arena, s);

    if (copy.p) return copy;
    coco__keep_oom(cx);
    return (coco_str){ NULL, 0 };
}

coco_str coco_format(coco_ctx *cx, const char *fmt, ...)
{
    va_list ap, again;
    int n;
    char *p = NULL;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && (p = coco_alloc(cx, (size_t)n + 1)) != NULL) vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return (coco_str){ p, p ? (size_t)n : 0 };
}

coco_value coco_copy_value(coco_ctx *cx, coco_value v)
{
    coco_value out;
    coco_status rc = coco__value_copy(cx->arena, v, &out);

    if (rc == COCO_OK) return out;
    coco__keep(cx, rc, coco_status_text(rc));
    return coco_null();
}

struct coco__mark_stack {
    struct coco__mark_stack *up;
    coco__arena arena, *before;
};

struct coco__open_source {
    struct coco__open_source *next;
    coco_source *src;
    const coco_value *key;            /* of the loop that reads it, … */
    struct coco__mark_stack *scratch; /* … and where that was begun */
};

COCO__IN void coco__source_close(coco__run *run, coco_source *src)
{
    if (src && src->close) COCO__USER(run, src->close(src));
    if (src) src->close = NULL;
}

static void coco__loop_end(coco_ctx *cx, struct coco__open_source **at)
{
    coco__source_close(cx->run, (*at)->src);
    *at = (*at)->next;
}

void coco_scratch_begin(coco_ctx *cx)
{
    coco__arena arena = { .mem = cx->home->mem };
    struct coco__mark_stack *m = coco__arena_alloc(&arena, sizeof *m); /* it stands in itself */

    if (!m) {
        coco__keep_oom(cx);
        return;
    }
    m->arena = arena;
    m->before = cx->arena;
    m->up = cx->marks;
    cx->marks = m;
    cx->arena = &m->arena;
}

void coco_scratch_end(coco_ctx *cx)
{
    struct coco__mark_stack *m = cx->marks;

    if (!m) return;
    while (cx->sources && cx->sources->scratch == m) coco__loop_end(cx, &cx->sources);
    coco__arena arena = m->arena;
    cx->marks = m->up;
    cx->arena = m->before;
    coco__arena_free(&arena);
}

/* What the engine keeps with the component also while a scratch is open. */
static void *coco__home_alloc(coco_ctx *cx, size_t n) { return coco__alloc_in(cx, cx->home, n); }

static void *coco__run_memory(coco_ctx *cx, const void *tag, size_t n)
{
    coco__run *run = cx->run;
    void *p = run ? coco__table_get(&run->memory, &tag, sizeof tag) : NULL;
    const void **key;

    if (p || !run) return p;
    key = coco__arena_alloc(&run->arena, sizeof(const void *));
    p = coco__arena_zalloc(&run->arena, n);
    if (key) *key = tag;
    if (key && p && coco__table_put(&run->memory, key, sizeof(const void *), p)) return p;
    coco__keep_oom(cx);
    return NULL;
}

void *coco_run_memory(coco_ctx *cx, const void *tag, size_t n)
{
    COCO__INSIDE(cx->run, void *, coco__run_memory(cx, tag, n));
}

void coco_notice(coco_ctx *cx, const char *fmt, ...)
{
    char text[COCO_ERR_MAX];

    COCO__FORMAT(text, fmt);
    if (!cx->run) return;
    coco__enter(cx->run);
    coco__emit(cx->run, COCO_EV_NOTICE, cx->comp, text);
    coco__log(cx->run->env, COCO_LOG_WARN, "%s", text);
    coco__leave(cx->run);
}

static coco_status coco__printed(coco_ctx *cx, void (*print)(coco__buf *b, coco_value v), coco_value v, coco_str *out)
{
    coco__buf b;

    coco__buf_init(&b, cx->arena->mem);
    print(&b, v);
    *out = coco__buf_take(&b, cx->arena);
    return out->p ? COCO_OK : coco__keep(cx, coco__oom(cx), NULL);
}

coco_status coco_print(coco_ctx *cx, coco_value v, coco_str *out)
{ return coco__printed(cx, coco__value_print, v, out); }
coco_status coco_print_json(coco_ctx *cx, coco_value v, coco_str *out)
{ return coco__printed(cx, coco__value_json, v, out); }

/* ---- Arguments and results ---- */

static bool coco__type_is(const char *written, const char *type)
{
    size_t n = strlen(type);

    if (strncmp(written, "const ", 6) == 0) written += 6;
    if (strncmp(written, "struct ", 7) == 0) written += 7;
    return strncmp(written, type, n) == 0 && strspn(written + n, " *") == strlen(written + n);
}

static const char *coco__kind_name(coco_value v)
{
    static const char *const names[] = { "null",  "symbol", "bool",   "int",  "float", "text",
                                         "bytes", "uuid",   "vector", "list", "map" };

    return v.kind == COCO_OBJECT ? v.as.s.p.cls->type : names[v.kind];
}

coco_status coco__unpack(coco_ctx *cx, const coco_fn *fn, const coco_value *args, int i, int kind, void *out)
{
    coco_value v = args[i];
    coco_str s = coco_text_of(v);
    int64_t n = coco_int_of(v);
    int small = (int)n;
    double d = coco_float_of(v);
    bool b = coco_bool_of(v), ok = false;
    void *object = v.kind == COCO_OBJECT ? v.as.s.u.object : NULL;

    switch (kind) {
    case COCO__BOOL: if ((ok = v.kind == COCO_BOOL)) memcpy(out, &b, sizeof b); break;
    case COCO__INT: if ((ok = v.kind == COCO_INT && n == small)) memcpy(out, &small, sizeof small); break;
    case COCO__INT64: if ((ok = v.kind == COCO_INT)) memcpy(out, &n, sizeof n); break;
    case COCO__DOUBLE: if ((ok = v.kind == COCO_FLOAT || v.kind == COCO_INT)) memcpy(out, &d, sizeof d); break;
    case COCO__STR: if ((ok = v.kind == COCO_TEXT_KIND || v.kind == COCO_BYTES)) memcpy(out, &s, sizeof s); break;
    case COCO__CSTR:
        if ((ok = v.kind == COCO_TEXT_KIND && !memchr(s.n ? s.p : "", 0, s.n))) {
            s = coco_copy(cx, s);
            memcpy(out, &s.p, sizeof s.p);
            if (!s.p) return coco_error(cx);
        }
        break;
    case COCO__VALUE: ok = true, memcpy(out, &v, sizeof v); break;
    default:
        if ((ok = v.kind == COCO_OBJECT && coco__type_is(fn->params[i].type, v.as.s.p.cls->type)))
            memcpy(out, &object, sizeof object);
    }
    if (ok) return COCO_OK;
    return coco_fail(cx, COCO_ETYPE, "%s: argument %d (%s) wants %s, got %s", fn->name, i + 1, fn->params[i].name,
                     fn->params[i].type, coco__kind_name(v));
}

COCO__IN coco_status coco__result_to(coco_ctx *cx, coco_value v, coco_value *out)
{
    coco_status rc;

    if (v.kind == COCO_OBJECT) {
        const coco_class *cls = v.as.s.p.cls;
        void *copy;
        if (!cls->copy) return coco_fail(cx, COCO_ETYPE, "a %s can't be returned", cls->type);
        COCO__USER(cx->run, rc = cls->copy(cx, v.as.s.u.object, &copy));
        COCO_TRY(rc);
        *out = coco_object(cls, copy);
        return COCO_OK;
    }
    if (v.kind == COCO_LIST) {
        coco_value *items = coco_alloc(cx, v.as.s.u.n * sizeof *items);
        if (!items) return cx->kept;
        for (size_t i = 0; i < v.as.s.u.n; i++) COCO_TRY(coco__result_to(cx, v.as.s.p.items[i], &items[i]));
        *out = coco_list(items, v.as.s.u.n);
        return COCO_OK;
    }
    rc = coco__value_copy(cx->arena, v, out);
    return rc == COCO_OK ? rc : coco__oom(cx);
}

coco_status coco_return(coco_ctx *cx, coco_value v)
{
    coco__arena *scratch = cx->arena;
    coco_status rc;

    if (cx->kept) return cx->kept;
    /* of a call: the caller's, maybe a scratch */
    cx->arena = cx->up && cx->up->comp == cx->comp ? cx->up->arena : cx->home;
    rc = coco__result_to(cx, v, &cx->result);
    cx->arena = scratch;
    return rc;
}

/* ---- Frames ---- */

COCO__IN bool coco__records(const coco_ctx *cx)
{
    const coco__comp *comp = cx->comp;

    return cx->memo_depth ||
           (comp && (comp->memo_above || (comp->fn && (comp->fn->memo || comp->fn->remember_failure_ms))));
}

COCO__IN coco_status coco__inside(coco_ctx *cx, const char *what)
{ return cx->kept || cx->comp ? cx->kept : coco_fail(cx, COCO_EINVAL, "%s: only inside a component", what); }

COCO__IN void coco__frame_init(coco_ctx *frame, coco_ctx *caller, const coco_fn *fn)
{
    memset(frame, 0, sizeof *frame);
    memcpy(frame, caller, offsetof(coco_ctx, up)); /* all that stands before it */
    frame->up = caller;
    frame->fn = fn;
    frame->uses.mem = frame->declared.mem = caller->home->mem;
}

/* ---- Calls ---- */

COCO__IN coco_status coco__args_count(coco_ctx *cx, const coco_fn *fn, size_t n)
{
    if ((size_t)fn->nparams == n) return COCO_OK;
    return coco_fail(cx, COCO_ETYPE, "%s: takes %d argument%s, got %zu", fn->name, fn->nparams,
                     fn->nparams == 1 ? "" : "s", n);
}

COCO__IN coco_status coco__args_copy(coco__arena *a, coco_args args, coco_args *out)
{
    coco_value all = coco_list(args.v, args.n);
    coco_status rc = coco__value_copy(a, all, &all);

    *out = (coco_args){ rc == COCO_OK ? all.as.s.p.items : NULL, args.n };
    return rc;
}

COCO__IN coco_args coco__args_of(coco_value all[COCO_MAX_PARAMS], coco_value item, coco_args args)
{
    all[0] = item;
    for (size_t i = 0; i < args.n; i++) all[i + 1] = args.v[i];
    return (coco_args){ all, args.n + 1 };
}

COCO__IN coco_status coco__logic_used(coco_ctx *frame, const coco_fn *fn)
{
    if (fn->logic_tracking == COCO_LOGIC_NONE || !coco__records(frame)) return COCO_OK;
    return coco__deps_add(frame->run, &frame->deps, COCO__D_LOGIC, coco_str_of(fn->name), fn->logic);
}

struct coco__invocation {
    coco_ctx *frame;
    const coco_fn *fn;
    const coco_value *args;
};

static coco_status coco__invoke(void *self)
{
    struct coco__invocation *i = self;

    return i->fn->call(i->frame, i->args);
}

COCO__IN coco_status coco__call_frame(coco_ctx *frame, const coco_fn *fn, coco_args args)
{
    struct coco__invocation invocation = { frame, fn, args.v };
    coco_status rc;

    COCO_TRY(coco__args_count(frame, fn, args.n));
    COCO_TRY(coco__logic_used(frame, fn));
    rc = fn->batch ? coco__batch_call(frame, fn, args) : coco__runner_run(frame, fn, coco__invoke, &invocation);
    if (rc != COCO_OK && (!frame->message || frame->said != rc)) coco__say(frame, rc, coco_status_text(rc));
    return rc;
}

static coco_status coco__frame_merge(coco_ctx *frame, coco_ctx *caller)
{
    coco_status rc = COCO_OK;

    if (caller->memo_depth) {
        coco__buf_put(&caller->uses, frame->uses.p, frame->uses.n);
        coco__buf_put(&caller->declared, frame->declared.p, frame->declared.n);
        caller->owned |= frame->owned;
        if (caller->uses.failed || caller->declared.failed) rc = coco__oom(caller);
    }
    caller->units += frame->units;
    caller->uncacheable |= frame->uncacheable;
    if (!coco__records(caller)) return rc;
    if (rc == COCO_OK)
        rc = coco__deps_merge(frame->run, &caller->deps, frame->deps.v, frame->deps.n,
                              !caller->fn || caller->fn->logic_tracking == COCO_LOGIC_FULL);
    return rc == COCO_OK ? coco__tracked_pass(frame, caller) : rc;
}

COCO__IN coco_status coco__frame_end(coco_ctx *frame, coco_ctx *caller)
{
    coco_status rc = COCO_OK;

    while (frame->marks) coco_scratch_end(frame);
    while (frame->sources) coco__loop_end(frame, &frame->sources);
    if (caller) {
        rc = coco__frame_merge(frame, caller);
        if (frame->said) {
            caller->message = frame->message;
            caller->said = frame->said;
        }
    }
    if (frame->deps.v) coco__free(frame->run->mem, frame->deps.v);
    if (frame->uses.p) coco__buf_free(&frame->uses);
    if (frame->declared.p) coco__buf_free(&frame->declared);
    frame->deps = (coco__deps){ 0 };
    return rc;
}

COCO__IN coco_status coco__call(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_value *value)
{
    coco_ctx frame;
    coco_status rc;

    if (value) *value = coco_null();
    if (cx->kept || (!cx->comp && !cx->batch)) return coco__inside(cx, fn->name);
    COCO_TRY(coco_checkpoint(cx));
    if (fn->memo && cx->comp && (size_t)fn->nparams == args.n) return coco__call_memoized(cx, fn, args, value);
    coco__frame_init(&frame, cx, fn);
    rc = coco__call_frame(&frame, fn, args);
    if (rc == COCO_OK && value) *value = frame.result;
    return coco__both(rc, coco__frame_end(&frame, cx));
}

coco_status coco_call(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_value *value)
{
    COCO__INSIDE(cx->run, coco_status, coco__call(cx, fn, args, value));
}

void coco_cost(coco_ctx *cx, double units) { cx->units += units; }
bool coco_is_live(const coco_ctx *cx) { return cx->run && cx->run->opts.live && !cx->run->preview; }
bool coco_is_preview(const coco_ctx *cx) { return cx->run && cx->run->preview; }

coco_status coco_scope_begin(coco_ctx *cx, coco_value key)
{
    coco__scope *s;
    coco__buf b;
    coco_status rc;

    COCO_TRY(coco__inside(cx, "a scope"));
    if (!(s = coco__home_alloc(cx, sizeof *s))) return cx->kept;
    coco__buf_init(&b, cx->run->mem);
    rc = coco__key_put(&b, key);
    coco__buf_free(&b);
    if (rc != COCO_OK) return coco_fail(cx, rc, "a scope's key must be a stable key");
    if (coco__value_copy(cx->home, key, &s->key) != COCO_OK) return coco__oom(cx);
    s->up = cx->scope;
    cx->scope = s;
    return COCO_OK;
}

void coco_scope_end(coco_ctx *cx)
{
    if (cx->scope && (!cx->up || cx->scope != cx->up->scope)) cx->scope = cx->scope->up;
}

coco_status coco_catch_begin(coco_ctx *cx, coco_failure_fn fn, void *user)
{
    coco__catch *c;

    COCO_TRY(coco__inside(cx, "a failure handler"));
    if (!(c = coco__arena_alloc(cx->home, sizeof *c))) return coco__oom(cx);
    *c = (coco__catch){ cx->catches, fn, user };
    cx->catches = c;
    return COCO_OK;
}

void coco_catch_end(coco_ctx *cx)
{
    if (cx->catches && (!cx->up || cx->catches != cx->up->catches)) cx->catches = cx->catches->up;
}

/* ---- More threads for one function ---- */

COCO__IN void coco__fork_init(coco_ctx *fork, coco_ctx *cx, coco__arena *home)
{
    coco__arena_init(home, cx->home->mem);
    coco__frame_init(fork, cx, cx->fn);
    fork->arena = fork->home = home;
}

coco_status coco_cx_fork(coco_ctx *cx, coco_ctx **fork)
{
    coco__arena *home = coco__home_alloc(cx, sizeof *home);
    coco_ctx *f = coco__home_alloc(cx, sizeof *f);

    *fork = NULL;
    if (!home || !f) return cx->kept;
    if (cx->run) COCO_TRY(coco__fork_begin(cx));
    coco__fork_init(f, cx, home);
    *fork = f;
    return COCO_OK;
}

coco_status coco_cx_join(coco_ctx *cx, coco_ctx *fork)
{
    coco__arena *home = fork->home;
    coco_status rc = fork->kept, ended;

    COCO__ENTERED(cx->run, ended = coco__frame_end(fork, cx));
    coco__arena_splice(cx->home, home);
    if (cx->run) coco__fork_end(cx);
    return coco__both(rc, ended);
}

/* ---- Context values and parameters ---- */

coco_status coco_provide_close(coco_ctx *cx, const coco_key *key, coco_value v, void (*close)(void *object))
{
    coco__provided *p;

    if (!cx->providing)
        return coco_fail(cx, COCO_EINVAL, "context key %s: values are provided in a setup function", key->name);
    for (p = *cx->providing; p; p = p->next)
        if (strcmp(p->name, key->name) == 0)
            return coco_fail(cx, COCO_EDUP, "context key %s is provided twice", key->name);
    p = coco__arena_zalloc(cx->arena, sizeof *p);
    if (!p || !(p->name = coco__arena_text(cx->arena, key->name))) return coco__oom(cx);
    if (coco__value_copy(cx->arena, v, &p->value) != COCO_OK) return coco__oom(cx);
    p->detect = key->detect_change;
    p->close = close;
    if (p->detect && v.kind == COCO_OBJECT) {
        if (!v.as.s.p.cls->memo_key)
            return coco_fail(cx, COCO_ETYPE, "context key %s: a %s can't be fingerprinted", key->name,
                             v.as.s.p.cls->type);
        COCO_TRY(v.as.s.p.cls->memo_key(cx, v.as.s.u.object, &v));
    }
    if (p->detect && coco_fingerprint(v, p->fp) != COCO_OK)
        return coco_fail(cx, COCO_ETYPE, "context key %s: the value can't be fingerprinted", key->name);
    p->next = *cx->providing;
    *cx->providing = p;
    return COCO_OK;
}

coco_status coco_provide(coco_ctx *cx, const coco_key *key, coco_value v)
{ return coco_provide_close(cx, key, v, NULL); }

/* The list has the newest first: closing it in order is the reverse of providing. */
COCO__IN void coco__context_close(coco__provided **list)
{
    for (coco__provided *p = *list; p; p = p->next)
        if (p->close) p->close(p->value.kind == COCO_OBJECT ? p->value.as.s.u.object : NULL);
    *list = NULL;
}

coco_value coco_context_named(coco_ctx *cx, const char *name)
{
    const coco__provided *p = coco__provided_find(cx->app, cx->env, coco_str_of(name));

    if (p) return p->value;
    coco_keep_error(cx, coco_fail(cx, COCO_ENOTFOUND, "context key %s isn't provided", name));
    return coco_null();
}

static coco_value coco__context(coco_ctx *cx, const coco_key *key)
{
    const coco__provided *p = coco__provided_find(cx->app, cx->env, coco_str_of(key->name));
    coco__tracked *t;

    if (!p) return coco_context_named(cx, key->name);
    if (!cx->run || !coco__records(cx)) return p->value;
    if (p->detect && coco__deps_add(cx->run, &cx->deps, COCO__D_CONTEXT, coco_str_of(p->name), p->fp) != COCO_OK)
        coco__keep_oom(cx);
    if (p->value.kind == COCO_OBJECT && p->value.as.s.p.cls->memo_state &&
        (t = coco__home_alloc(cx, sizeof *t)) != NULL) {
        *t = (coco__tracked){ .next = cx->tracked, .key = coco_str_of(p->name), .context = true };
        t->cls = p->value.as.s.p.cls;
        t->object = p->value.as.s.u.object;
        cx->tracked = t;
    }
    return p->value;
}

coco_value coco_context(coco_ctx *cx, const coco_key *key)
{
    COCO__INSIDE(cx->run, coco_value, coco__context(cx, key));
}

static coco_value coco__provided_value(const coco_app *app, const coco_env *env, const coco_key *key)
{
    const coco__provided *p = coco__provided_find(app, env, coco_str_of(key->name));

    return p ? p->value : coco_null();
}

coco_value coco_env_context(coco_env *env, const coco_key *key) { return coco__provided_value(NULL, env, key); }
coco_value coco_app_context(coco_app *app, const coco_key *key) { return coco__provided_value(app, app->env, key); }

static const coco_class coco__key_class = { .type = "coco_key" };

coco_value coco_context_ref(const coco_key *key) { return coco_object(&coco__key_class, (void *)(uintptr_t)key); }
const coco_key *coco_context_ref_of(coco_value v)
{ return v.kind == COCO_OBJECT ? coco_object_of(v, &coco__key_class) : NULL; }

coco_value coco_param(coco_ctx *cx, const char *name)
{
    const char *value = cx->app ? coco_app_param(cx->app, name) : NULL;
    uint8_t fp[COCO__FP];

    if (!value) {
        coco_keep_error(cx, coco_fail(cx, COCO_ENOTFOUND, "the app has no parameter %s", name));
        return coco_null();
    }
    coco_fingerprint_bytes(value, strlen(value), fp);
    coco__enter(cx->run);
    if (cx->run && coco__records(cx) &&
        coco__deps_add(cx->run, &cx->deps, COCO__D_PARAM, coco_str_of(name), fp) != COCO_OK)
        coco__keep_oom(cx);
    coco__leave(cx->run);
    return coco_text(value);
}

coco_status coco_track(coco_ctx *cx, const coco_class *cls, void *object)
{
    coco__tracked *t;
    coco_value key;
    coco__buf b;
    coco_status rc;

    if (cx->kept) return cx->kept;
    if (!cls->memo_key || !cls->memo_state || !cls->reopen)
        return coco_fail(cx, COCO_EINVAL, "a %s can't be tracked: its class lacks memo_key, memo_state or reopen",
                         cls->type);
    if (!cx->run || !coco__records(cx)) return COCO_OK;
    COCO_TRY(cls->memo_key(cx, object, &key));
    coco__buf_init(&b, cx->run->mem);
    rc = coco__value_put(&b, key, COCO__STORED);
    t = rc == COCO_OK && !b.failed ? coco__home_alloc(cx, sizeof *t) : NULL;
    if (t) {
        *t = (coco__tracked){ cx->tracked, cls, NULL, { coco__arena_copy(cx->home, b.p, b.n), b.n }, false, { 0 } };
        /* else the object is gone with the scratch: it is opened again */
        if (cx->arena == cx->home) t->object = object;
        cx->tracked = t;
    }
    coco__buf_free(&b);
    return rc != COCO_OK ? rc : t && t->key.p ? COCO_OK : coco__oom(cx);
}

/* ---- Sources by hand ---- */

coco_source *coco_source_new(coco_ctx *cx)
{
    coco_source *s = coco__home_alloc(cx, sizeof *s);

    if (s) s->made_in_scratch = cx->marks != NULL;
    return s;
}

struct coco__list_source {
    const coco_value *keys, *items;
    size_t n, i;
};

static int coco__list_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    struct coco__list_source *l = src->self;

    (void)cx;
    if (l->i == l->n) return 0;
    *key = l->keys[l->i];
    *value = l->items[l->i++];
    return 1;
}

coco_source *coco_source_of(coco_ctx *cx, const coco_value *keys, const coco_value *items, size_t n)
{
    coco_source *s = coco_source_new(cx);
    struct coco__list_source *l = coco_alloc(cx, sizeof *l);

    if (!s || !l) return NULL;
    *l = (struct coco__list_source){ keys, items, n, 0 };
    s->title = "list";
    s->size = n;
    s->self = l;
    s->next = coco__list_next;
    return s;
}

/* Refuses iteration where the memo would never see a new item. */
COCO__IN coco_status coco__iterate_check(coco_ctx *cx, const coco_source *src)
{
    COCO_TRY(coco__inside(cx, "the items of a source"));
    if (!src) return cx->said ? cx->said : coco_fail(cx, COCO_EINVAL, "no source"); /* its maker has said why */
    bool memo = cx->memo_depth != 0;
    for (const coco__comp *c = cx->comp; c && !memo; c = c->parent) memo = c->fn->memo;
    if (!memo) return coco_checkpoint(cx);
    cx->uncacheable = true;
    return coco_fail(cx, COCO_EMEMO, "a memoized function can't iterate over a source: it would never see new items");
}

coco_value *coco_each_begin(coco_ctx *cx, coco_source *src, coco_value *key, coco_value *value)
{
    struct coco__open_source *o;
    coco_status rc = coco__iterate_check(cx, src);

    *key = *value = coco_null();
    if (rc == COCO_OK && (o = coco__home_alloc(cx, sizeof *o)) != NULL) {
        *o = (struct coco__open_source){ cx->sources, src, key, cx->marks };
        cx->sources = o;
        return key;
    }
    coco__source_close(cx->run, src);
    if (rc != COCO_OK) coco__keep(cx, rc, NULL);
    return NULL;
}

/* The loop with that key; NULL in it: there is none. */
static struct coco__open_source **coco__loop_of(coco_ctx *cx, const coco_value *key)
{
    struct coco__open_source **o = &cx->sources;

    while (*o && (*o)->key != key) o = &(*o)->next;
    return o;
}

bool coco_each_next(coco_ctx *cx, coco_value *key, coco_value *value)
{
    struct coco__open_source *o = *coco__loop_of(cx, key);

    for (coco_source *src = o ? o->src : NULL; src;) {
        int rc = coco_checkpoint(cx);
        if (rc == COCO_OK) rc = src->next(src, cx, key, value);
        if (rc == 1) return true;
        if (rc == COCO_EUNREAD) {
            COCO__ENTERED(cx->run, coco__unread(cx, src, *key, COCO_EUNREAD));
            continue;
        }
        coco__loop_end(cx, coco__loop_of(cx, key)); /* the source may have begun and ended others */
        if (rc < 0) coco__keep(cx, rc, NULL);
        break;
    }
    return false;
}
