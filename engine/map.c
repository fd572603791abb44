/* map.c - coco_map: one function over many items (S3.5).
 *
 * Floor: beside batch. Without a pool items are called one after the other. With one, its idle threads help: each takes
 * a few items that follow each other, and calls them with a cx and memory of its own. What a piece depends on, declared
 * and failed with is merged into the caller's cx in the order of the items, however the pieces ended, so what is
 * recorded doesn't depend on who was faster. */
#include "engine.h"

typedef struct coco__piece { /* items from first on, with one cx */
    struct coco__piece *next;
    size_t first;
    coco_ctx cx;
    coco__arena home;
    coco_status rc;
    bool done;
} coco__piece;

typedef struct coco__mapped {
    coco__team team; /* first: it is what the pool knows */
    coco_ctx *cx;
    const coco_fn *fn;
    const coco__map_call *call;
    size_t next;              /* item to be taken */
    size_t failed;            /* the first that failed; call->n: none */
    coco__piece *pieces, **last; /* taken and not merged, in order */
    uint64_t ns, ndone;       /* what the items done so far took */
    coco_status rc;           /* of the first that failed, or of merging */
} coco__mapped;

static coco_status coco__map_one(coco_ctx *cx, const coco_fn *fn, const coco__map_call *call, size_t i)
{
    coco_value all[COCO_MAX_PARAMS];

    coco_args args = coco__args_of(all, call->items[i], call->args);
    return coco__call(cx, fn, args, call->results ? &call->results[i] : NULL);
}

/* Merges pieces at the front that are done. Those behind the first failure are dropped, as if they had never run. */
static void coco__map_merge(coco__mapped *m)
{
    coco__piece *p;

    while ((p = m->pieces) != NULL && p->done) {
        bool counts = m->rc == COCO_OK;
        if (counts) m->rc = p->rc;
        m->rc = coco__both(m->rc, coco__frame_end(&p->cx, counts ? m->cx : NULL));
        coco__arena_splice(m->cx->arena, &p->home);
        m->pieces = p->next;
        if (!m->pieces) m->last = &m->pieces;
        coco__free(m->cx->run->mem, p);
    }
}

/* As many items as take about 0.2 ms: long ones go one by one, short ones aren't worth a lock each. */
static size_t coco__map_take(coco__mapped *m)
{
    uint64_t each = m->ndone ? m->ns / m->ndone + 1 : 200000, n = 200000 / each;
    size_t left = m->call->n - m->next;

    if (n > 64) n = 64;
    if (n > left / 4) n = left / 4;
    return n ? (size_t)n : 1;
}

static bool coco__map_step(coco__team *team)
{
    coco__mapped *m = (coco__mapped *)(void *)team;
    coco__piece *p;
    size_t end;

    if (m->next == m->call->n || m->failed < m->call->n || m->rc != COCO_OK) return false;
    if (!(p = coco__alloc(m->cx->run->mem, sizeof *p))) {
        m->rc = coco__oom(m->cx);
        return false;
    }
    *p = (coco__piece){ .first = m->next };
    end = m->next += coco__map_take(m);
    coco__fork_init(&p->cx, m->cx, &p->home);
    *m->last = p;
    m->last = &p->next;
    uint64_t begun = coco__monotonic_ns();
    for (size_t i = p->first; i < end && p->rc == COCO_OK && i < m->failed; i++) {
        p->rc = coco__map_one(&p->cx, m->fn, m->call, i);
        if (p->rc != COCO_OK && i < m->failed) m->failed = i;
    }
    m->ns += coco__monotonic_ns() - begun;
    m->ndone += end - p->first;
    p->done = true;
    coco__map_merge(m);
    return m->next < m->call->n;
}

/* May other threads help? Not where a runner has the caller: what is called there, runs there. */
static bool coco__map_shares(const coco_ctx *cx, size_t n)
{
    const coco__pool *p = cx->run->pool;

    if (!p || !p->max_threads || n < 2 || !cx->comp || cx->kept) return false;
    for (; cx; cx = cx->up)
        if (cx->held || (cx->fn && cx->fn->runner)) return false;
    return true;
}

static coco_status coco__map_all(coco_ctx *cx, const coco_fn *fn, const coco__map_call *call)
{
    coco__mapped m = { .team = { .step = coco__map_step }, .cx = cx, .fn = fn, .call = call, .failed = call->n };

    if (fn->batch && cx->comp && !cx->kept && (size_t)fn->nparams == call->args.n + 1)
        return coco__map_batched(cx, fn, call);
    if (!coco__map_shares(cx, call->n)) {
        for (size_t i = 0; i < call->n; i++) COCO_TRY(coco__map_one(cx, fn, call, i));
        return COCO_OK;
    }
    m.last = &m.pieces;
    coco__team_run(cx->run, &m.team, call->n);
    assert(!m.pieces);
    return m.rc;
}

coco_status coco_map(coco_ctx *cx, const coco_fn *fn, const coco_value *items, size_t n, coco_args args,
                     coco_value *results)
{
    if (args.n >= COCO_MAX_PARAMS) return coco_fail(cx, COCO_ETYPE, "%s: too many arguments", fn->name);
    COCO__INSIDE(cx->run, coco_status, coco__map_all(cx, fn, &(coco__map_call){ items, n, args, results }));
}
