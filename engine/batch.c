/* batch.c - batched functions: calls are gathered and computed together (S9.6).
 *
 * Floor: beside context. coco_map of a batched function takes out what memos answer and computes the rest in batches
 * of max_batch. A single call joins the batch that gathers for its function; it starts when it is full, or when the
 * run is quiet: no thread of it is active any more (without a pool: at once). A batch that fails is halved until the
 * calls that can't be computed fail alone. The batch has a cx of its own: what it depends on, every call of it does. */
#include "engine.h"

typedef struct coco__batched { /* one call */
    coco_ctx *frame;
    coco_args args;
    struct coco__thread *thread; /* that waits for it; NULL: none */
    coco_status rc;
    bool done;
} coco__batched;

typedef struct coco__gather { /* calls of one function that wait */
    struct coco__gather *next;
    const coco_fn *fn;
    coco__batched **calls; /* at most max_batch */
    size_t n, cap;
} coco__gather;

typedef struct coco__batch_failure { /* of one call */
    coco_status rc;
    char *message;
} coco__batch_failure;

typedef struct coco__batch_job {
    coco_ctx *cx;
    const coco_fn *fn;
    const coco_args *args;
    size_t n;
    coco_value *results;
    coco__batch_failure *failures; /* of each call; NULL: none has failed alone */
} coco__batch_job;

static coco_status coco__batch_invoke(void *self)
{
    coco__batch_job *j = self;

    return j->fn->batch(j->cx, j->args, j->n, j->results);
}

coco_status coco_batch_fail(coco_ctx *cx, size_t i, coco_status code, const char *fmt, ...)
{
    coco__batch_job *j = cx->batch_job;
    char text[COCO_ERR_MAX];

    COCO__FORMAT(text, fmt);
    if (!j || i >= j->n || code >= 0) return coco__keep(cx, COCO_EINVAL, "coco_batch_fail: no such call, or no error");
    if (!j->failures) j->failures = coco_alloc(cx, j->n * sizeof *j->failures);
    if (!j->failures) return COCO_ENOMEM;
    j->failures[i].rc = code;
    j->failures[i].message = coco__arena_text(cx->home, text);
    return code;
}

/* What came out of the batch goes to the calls: results are copied to where their callers want them. */
static void coco__batch_hand_out(coco_ctx *cx, coco__batched **calls, size_t n, const coco__batch_job *j)
{
    for (size_t i = 0; i < n; i++) {
        coco_ctx *frame = calls[i]->frame;
        const coco__batch_failure *f = j->failures && j->failures[i].rc ? &j->failures[i] : NULL;
        calls[i]->rc = !f ? coco_return(frame, j->results[i])
                          : coco__say(frame, f->rc, f->message ? f->message : coco_status_text(f->rc));
        if (calls[i]->rc == COCO_OK && coco__records(frame))
            calls[i]->rc = coco__deps_merge(cx->run, &frame->deps, cx->deps.v, cx->deps.n, true);
        frame->units += cx->units / (double)n;
        frame->ns = cx->ns / n;
        frame->uncacheable |= cx->uncacheable;
    }
}

static void coco__batch_compute(const coco_fn *fn, coco__batched **calls, size_t n);

/* Computes n calls; the lock is held, and given back while the function runs. */
static coco_status coco__batch_once(coco_ctx *cx, const coco_fn *fn, coco__batched **calls, size_t n)
{
    coco_args *args = coco_alloc(cx, n * sizeof *args);
    coco_value *results = coco_alloc(cx, n * sizeof *results);
    coco__batch_job job = { cx, fn, args, n, results, NULL };
    coco_status rc;

    if (!args || !results) return COCO_ENOMEM;
    for (size_t i = 0; i < n; i++) args[i] = calls[i]->args;
    cx->batch_job = &job;
    rc = coco__runner_run(cx, fn, coco__batch_invoke, &job);
    if (rc == COCO_OK) coco__batch_hand_out(cx, calls, n, &job);
    cx->batch_job = NULL;
    return rc;
}

static void coco__batch_fail(const coco_ctx *cx, const coco_fn *fn, coco__batched **calls, size_t n, coco_status rc)
{
    const char *text = cx->said == rc && cx->message ? cx->message : coco_status_text(rc);

    if (n > 1 && rc != COCO_ESTOP && rc != COCO_ENOMEM) {
        coco__batch_compute(fn, calls, n / 2);
        coco__batch_compute(fn, calls + n / 2, n - n / 2);
        return;
    }
    for (size_t i = 0; i < n; i++) calls[i]->rc = coco__say(calls[i]->frame, rc, text);
}

static void coco__batch_compute(const coco_fn *fn, coco__batched **calls, size_t n)
{
    coco_ctx *first = calls[0]->frame, cx;
    coco__arena arena;
    coco_status rc;

    coco__arena_init(&arena, first->run->mem);
    coco__frame_init(&cx, first, fn);
    cx.arena = cx.home = &arena;
    if (fn->runner && coco__on_runner(first->up, fn->runner)) cx.held = fn->runner;
    cx.up = NULL;
    cx.comp = NULL;
    cx.deadline = 0;
    cx.memo_depth = cx.batch = 1; /* its dependencies are recorded, and it may not mount */
    rc = coco__batch_once(&cx, fn, calls, n);
    if (rc != COCO_OK) coco__batch_fail(&cx, fn, calls, n, rc);
    coco__frame_end(&cx, NULL);
    coco__arena_free(&arena);
}

/* ---- Single calls ---- */

static coco__gather *coco__gather_of(coco_ctx *cx, const coco_fn *fn)
{
    coco__run *run = cx->run;
    coco__gather *g = run->gathers;

    while (g && g->fn != fn) g = g->next;
    if (g || !(g = coco__arena_zalloc(&run->arena, sizeof *g))) return g;
    g->fn = fn;
    g->next = run->gathers;
    run->gathers = g;
    return g;
}

/* Computes the calls that have gathered, while others may; wakes those who wait for them. */
static void coco__gather_start(coco__run *run, coco__gather *g)
{
    coco__batched **calls = g->calls;
    size_t n = g->n;

    g->calls = NULL;
    g->n = g->cap = 0;
    for (size_t i = 0; i < n; i++) coco__computed_by(calls[i]->thread, coco__this_thread());
    coco__batch_compute(g->fn, calls, n);
    for (size_t i = 0; i < n; i++) {
        coco__computed_by(calls[i]->thread, NULL);
        coco__wake(run, calls[i]->thread);
        calls[i]->done = true;
    }
    coco__free(run->mem, calls);
    coco__changed(run);
}

COCO__IN coco_status coco__batch_call(coco_ctx *frame, const coco_fn *fn, coco_args args)
{
    coco__run *run = frame->run;
    coco__batched call = { .frame = frame, .args = args, .thread = coco__this_thread() }, *self = &call;
    coco__gather *g;

    COCO_TRY(fn->call(frame, args.v));
    if (frame->comp && frame->comp->fn->index < run->app->nfns) run->app->counts[frame->comp->fn->index].gathers = true;
    if (!run->pool || (fn->runner && coco__on_runner(frame->up, fn->runner))) { /* who holds the place can't wait */
        coco__batch_compute(fn, &self, 1);
        return call.rc;
    }
    if (!(g = coco__gather_of(frame, fn))) return COCO_ENOMEM;
    if (!COCO__ROOM(run->mem, g->calls, g->n, g->cap)) return COCO_ENOMEM;
    g->calls[g->n++] = &call;
    if (g->n == (fn->max_batch ? fn->max_batch : 64)) coco__gather_start(run, g);
    if (call.done) return call.rc;
    coco__wait_begin(run);
    while (!call.done) {
        if (g->n && coco__quiet(run)) {
            run->pool->nactive++;
            coco__gather_start(run, g);
            run->pool->nactive--;
        } else {
            coco__wait_change(run, 0);
        }
    }
    coco__wait_end(run);
    return call.rc;
}

/* ---- map ---- */

typedef struct coco__mapping { /* an item of a map that no memo answers */
    coco__memo_call memo;
    coco__batched call;
    coco_value all[COCO_MAX_PARAMS];
    coco_value *result;
} coco__mapping;

typedef struct coco__map {
    coco_ctx *cx;
    const coco_fn *fn;
    coco__mapping *v; /* max of them, n in use */
    coco__batched **calls;
    size_t n, max;
} coco__map;

/* Computes what has gathered; the first failure in input order. */
static coco_status coco__map_compute(coco__map *m)
{
    coco_status rc = COCO_OK;
    size_t n = m->n;

    for (size_t i = 0; i < n; i++) m->calls[i] = &m->v[i].call;
    if (n) coco__batch_compute(m->fn, m->calls, n);
    for (size_t i = 0; i < n; i++)
        rc = coco__both(rc, coco__memo_end(m->cx, &m->v[i].memo, m->v[i].call.rc, m->v[i].result));
    m->n = 0;
    return rc;
}

/* Is the key among those that have gathered? */
static bool coco__map_repeats(coco__map *m, coco_args args)
{
    uint8_t key[COCO__FP];

    if (!m->fn->memo || !m->n || coco__callkey(m->cx, m->fn, args, key) != COCO_OK) return false;
    for (size_t i = 0; i < m->n; i++)
        if (memcmp(m->v[i].memo.fp, key, sizeof key) == 0) return true;
    return false;
}

/* Answers one item from a memo, or lets it gather. */
static coco_status coco__map_item(coco__map *m, coco_value item, coco_args args, coco_value *result)
{
    coco__mapping *v = &m->v[m->n];
    coco_ctx *frame = &v->memo.frame;
    int rc = 0;

    memset(v, 0, sizeof *v);
    v->memo.args = coco__args_of(v->all, item, args);
    v->result = result;
    if (m->fn->memo) {
        rc = coco__memo_begin(m->cx, m->fn, &v->memo, result);
    } else {
        coco__frame_init(frame, m->cx, m->fn);
        v->memo.plain = true;
    }
    if (rc != 0) return rc < 0 ? rc : COCO_OK;
    v->call = (coco__batched){ .frame = frame, .args = v->memo.args };
    rc = m->fn->call(frame, v->all);
    if (rc == COCO_OK) rc = coco__logic_used(frame, m->fn);
    if (rc != COCO_OK) return coco__memo_end(m->cx, &v->memo, rc, NULL);
    return ++m->n == m->max ? coco__map_compute(m) : COCO_OK;
}

COCO__IN coco_status coco__map_batched(coco_ctx *cx, const coco_fn *fn, const coco__map_call *call)
{
    coco__map m = { .cx = cx, .fn = fn, .max = fn->max_batch ? fn->max_batch : 64 };
    coco_status rc = COCO_OK, rest;

    if (m.max > call->n) m.max = call->n;
    m.v = coco__alloc(cx->run->mem, m.max * sizeof *m.v);
    m.calls = coco__alloc(cx->run->mem, m.max * sizeof(coco__batched *));
    if (m.max && (!m.v || !m.calls)) rc = coco__oom(cx);
    for (size_t i = 0; i < call->n && rc == COCO_OK; i++) {
        coco_value all[COCO_MAX_PARAMS];
        if (coco__map_repeats(&m, coco__args_of(all, call->items[i], call->args))) rc = coco__map_compute(&m);
        if (rc == COCO_OK) rc = coco_checkpoint(cx);
        if (rc == COCO_OK)
            rc = coco__map_item(&m, call->items[i], call->args, call->results ? &call->results[i] : NULL);
    }
    rest = coco__map_compute(&m); /* what was started finishes; it came before what failed */
    coco__free(cx->run->mem, m.v);
    coco__free(cx->run->mem, m.calls);
    return coco__both(rest, rc);
}
