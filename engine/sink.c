/* sink.c - actions on their way out: batches by sink, their order, retries, and who failed.
 *
 * Floor: above target, below the rounds of submit.c, which call it between two transactions: nothing here reads or
 * writes the store. Components go whole: a batch ends before the next component, and each answer comes back to the
 * component whose action it was, in apply_code and apply_error (S7.4, S7.10). */
#include "engine.h"

/* ---- What a sink answers ---- */

coco_status coco_action_fail(coco_action *a, const coco_err *err)
{
    a->answer = err->code ? err->code : COCO_EFAIL;
    a->transient = err->transient;
    coco__free(a->target->run->mem, a->error);
    a->error = coco__strdup(a->target->run->mem, err->msg);
    return a->answer;
}

void coco_action_note(coco_action *a, const char *fmt, ...)
{
    char text[COCO_ERR_MAX];

    COCO__FORMAT(text, fmt);
    coco__free(a->target->run->mem, a->note);
    a->note = coco__strdup(a->target->run->mem, text);
}

static void coco__answers_clear(coco_action **v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        coco__free(v[i]->target->run->mem, v[i]->error);
        v[i]->error = NULL;
        v[i]->answer = COCO_UNANSWERED;
        v[i]->transient = false;
    }
}

/* Does the action stand in the container that the other one is about? */
static bool coco__stands_in(const coco_action *a, const coco_action *container)
{
    const coco_target *t = a->target;
    coco__buf key;

    while (t && t->parent != container->target) t = t->parent;
    if (!t) return false;
    coco__buf_init(&key, t->run->mem);
    coco__key_put(&key, container->key);
    bool inside = key.failed || coco_str_equal(coco__buf_view(&key), t->key);
    coco__buf_free(&key);
    return inside;
}

/* What is in a container that must be tried again comes again after it: its change may lose or destroy the content. */
static void coco__unanswer_content(coco_action **v, size_t n)
{
    for (size_t i = 0; i < n && v[i]->container && v[i]->kind != COCO_DELETE; i++)
        for (size_t k = i + 1; v[i]->answer != COCO_OK && k < n; k++)
            if (v[k]->answer == COCO_OK && coco__stands_in(v[k], v[i])) v[k]->answer = COCO_UNANSWERED;
}

/* Applies, and again what failed transiently, with exponential backoff and jitter within the sink's budget. */
static coco_status coco__apply_retry(coco__run *run, const coco_sink *sink, coco_action **v, size_t n, coco_err *err)
{
    uint64_t budget = (uint64_t)(sink->retry_ms ? sink->retry_ms : 10000) * 1000000u, begun = coco__monotonic_ns();
    unsigned wait = 20;

    for (;;) {
        memset(err, 0, offsetof(coco_err, msg) + 1);
        struct coco__busy busy;
        unsigned user = coco__user_begin(run);
        coco__sink_take(&busy, sink);
        coco_status rc = sink->apply(sink->self, v, n, err);
        coco__sink_give(&busy);
        coco__user_end(run, user);
        bool transient = rc != COCO_OK && err->transient;
        size_t left = 0;
        if (rc != COCO_OK && rc != err->code) coco_err_set(err, rc, "%s", coco_status_text(rc));
        for (size_t i = 0; i < n; i++) {
            if (v[i]->answer == COCO_UNANSWERED && rc == COCO_OK) v[i]->answer = COCO_OK;
            if (v[i]->answer < 0 && v[i]->transient) transient = true;
            left += v[i]->answer != COCO_OK;
        }
        if (left == 0) return COCO_OK;
        coco__unanswer_content(v, n);
        if (!transient || coco__stopped(run) != COCO_OK || coco__monotonic_ns() - begun + wait * 1000000u > budget)
            return rc != COCO_OK ? rc : COCO_EFAIL;
        COCO__USER(run, coco__sleep_ms(wait / 2 + (unsigned)(coco__random64() % (wait / 2 + 1))));
        wait = wait < 2000 ? wait * 2 : wait;
        size_t kept = 0;
        for (size_t i = 0; i < n; i++) { /* the rest again, in the same order */
            if (v[i]->answer == COCO_OK) continue;
            coco_action *a = v[kept];
            v[kept++] = v[i];
            v[i] = a;
        }
        coco__answers_clear(v, n = kept);
    }
}

/* The place of an action in its batch: containers created top down, deletes, upserts, containers deleted bottom up. */
static unsigned coco__order_of(const coco_action *a)
{
    bool delete = a->kind == COCO_DELETE;

    if (a->container) return delete ? 3000 - (a->depth < 500 ? a->depth : 500) : a->depth < 500 ? a->depth : 500;
    return delete ? 1000 : 2000;
}

typedef struct coco__share { /* one component's actions for a sink */
    coco__comp *comp;
    size_t end, bytes; /* they end there; their weight */
} coco__share;

/* What goes through one sink, component by component. Sinks whose containers or content are in one another's are of one
 * group: they go one by one. */
typedef struct coco__outbox {
    coco_sink *sink;
    size_t group;      /* index of another of its group, or its own: the root of a tree of them */
    bool done;         /* it had its turn */
    unsigned first;    /* place in a batch of the first of its actions … */
    bool mixed;        /* … where others have another */
    coco_action **v;
    coco__share *shares;
    size_t n, cap, nshares, shares_cap;
} coco__outbox;

/* A stable counting sort over the few places there are. */
static void coco__batch_sort(coco_action *const *v, size_t n, coco_action **sorted)
{
    size_t out = 0;
    unsigned from = 0;

    while (out < n) {
        unsigned next = UINT32_MAX;
        for (size_t i = 0; i < n; i++) {
            unsigned order = coco__order_of(v[i]);
            if (order >= from && order < next) next = order;
        }
        for (size_t i = 0; i < n; i++)
            if (coco__order_of(v[i]) == next) sorted[out++] = v[i];
        from = next + 1;
    }
}

static void coco__note_failure(coco__comp *c, const coco_action *a, const coco_err *err)
{
    coco__buf b;

    if (a->kind == COCO_DELETE) coco__target_block(a->target, true);
    if (c->apply_error) return;
    coco__buf_init(&b, c->run->mem);
    coco__buf_printf(&b, "%s:", a->target->title ? a->target->title : "");
    coco__value_print(&b, a->key);
    coco__buf_printf(&b, ": %s", a->error ? a->error : err->msg[0] ? err->msg : coco_status_text(a->answer));
    c->apply_code = a->answer < 0 ? a->answer : err->code ? err->code : COCO_EFAIL;
    c->apply_error = coco__buf_take(&b, c->shared).p;
    if (!c->apply_error) c->apply_error = "";
}

/* Puts the shares from `from` to `to` through their sink. Where a batch fails without saying which, each component goes
 * alone. sorted has room for all. */
static void coco__batch_apply(coco__run *run, const coco__outbox *box, size_t from, size_t to, coco_action **sorted)
{
    size_t begin = from ? box->shares[from - 1].end : 0, n = box->shares[to - 1].end - begin;
    coco_action **v = box->v + begin;
    coco_err err;
    bool answered = false;

    if (box->mixed) coco__batch_sort(v, n, sorted);
    else memcpy(sorted, v, n * sizeof *v);
    if (coco__apply_retry(run, box->sink, sorted, n, &err) == COCO_OK) return;
    for (size_t i = 0; i < n; i++) answered |= v[i]->answer != COCO_UNANSWERED;
    if (!answered && to - from > 1) {
        for (; from < to; from++) coco__batch_apply(run, box, from, from + 1, sorted);
        return;
    }
    for (size_t i = begin; from < to; from++)
        for (; i < box->shares[from].end; i++) {
            if (box->v[i]->answer != COCO_OK) coco__note_failure(box->shares[from].comp, box->v[i], &err);
            coco__answers_clear(&box->v[i], 1);
        }
}

typedef struct coco__round_sinks {
    coco__team team; /* first: it is what the pool knows */
    coco__run *run;
    coco__outbox *v;
    size_t n, cap;
    size_t next;     /* the group to be taken */
    bool together;   /* the last try of what was refused: in one batch a sink */
    bool failed;     /* no memory */
} coco__round_sinks;

/* Batches of whole components within the sink's limits; what is tried together is one. */
static bool coco__outbox_apply(const coco__round_sinks *s, const coco__outbox *box)
{
    size_t max = s->together ? SIZE_MAX : box->sink->max_actions ? box->sink->max_actions : 1000,
           max_bytes = s->together ? SIZE_MAX : box->sink->max_bytes ? box->sink->max_bytes : (size_t)16 << 20;
    coco_action **sorted = coco__alloc(s->run->mem, box->n * sizeof(coco_action *));
    size_t from = 0, begin = 0, bytes = 0;

    if (!sorted) return false;
    for (size_t i = 0; i < box->nshares; i++) {
        const coco__share *share = &box->shares[i];
        if (i > from && (share->end - begin > max || bytes + share->bytes > max_bytes)) {
            coco__batch_apply(s->run, box, from, i, sorted);
            begin = box->shares[i - 1].end;
            from = i;
            bytes = 0;
        }
        bytes += share->bytes;
    }
    coco__batch_apply(s->run, box, from, box->nshares, sorted);
    coco__free(s->run->mem, sorted);
    return true;
}

/* ---- Sinks at the same time ---- */

static size_t coco__group_root(const coco__round_sinks *s, size_t i)
{
    while (s->v[i].group != i) i = s->v[i].group;
    return i;
}

static size_t coco__sink_at(const coco__round_sinks *s, const coco_sink *sink)
{
    size_t i = 0;

    while (i < s->n && s->v[i].sink != sink) i++;
    return i;
}

static coco__outbox *coco__outbox_of(coco__round_sinks *s, coco_sink *sink)
{
    size_t i = coco__sink_at(s, sink);

    if (i < s->n) return &s->v[i];
    if (!COCO__ROOM(s->run->mem, s->v, s->n, s->cap)) return NULL;
    s->v[s->n] = (coco__outbox){ .sink = sink, .group = s->n, .first = UINT32_MAX };
    return &s->v[s->n++];
}

static bool coco__outbox_put(const coco__mem *m, coco__outbox *box, coco__comp *c, coco_action *a)
{
    unsigned order = coco__order_of(a);

    if (!COCO__ROOM(m, box->v, box->n, box->cap)) return false;
    if (!box->nshares || box->shares[box->nshares - 1].comp != c) {
        if (!COCO__ROOM(m, box->shares, box->nshares, box->shares_cap)) return false;
        box->shares[box->nshares++] = (coco__share){ .comp = c };
    }
    box->v[box->n++] = a;
    box->shares[box->nshares - 1].end = box->n;
    box->shares[box->nshares - 1].bytes += a->bytes;
    box->mixed |= box->n > 1 && order != box->first;
    if (order < box->first) box->first = order;
    return true;
}

/* One walk over all there is to do: the rest works on what it has found. What waited for another try while its
 * container was made anew has no place any more. */
static bool coco__outboxes_fill(coco__round_sinks *s, coco__comp *list)
{
    coco__outbox *box = NULL;
    coco_err lost;

    for (coco__comp *c = list; c; c = c->next)
        for (coco__change *ch = c->claim_failed ? NULL : c->owned.changes; ch; ch = ch->next) {
            ch->is_void |= coco__became_void(ch);
            if (!ch->action || ch->cancelled || ch->is_void) continue;
            coco__answers_clear(&ch->action, 1); /* of an earlier try */
            if (ch->record.p && coco__target_gone(ch->target)) {
                coco_err_set(&lost, COCO_ENOTFOUND, "its container was made anew");
                coco__note_failure(c, ch->action, &lost);
                continue;
            }
            if (!box || box->sink != ch->target->handler.sink) box = coco__outbox_of(s, ch->target->handler.sink);
            if (!box || !coco__outbox_put(s->run->mem, box, c, ch->action)) return false;
        }
    return true;
}

/* Joins the groups of the sinks of containers around what is in the box. */
static void coco__outbox_join(const coco__round_sinks *s, size_t own)
{
    const coco_target *last = NULL;

    for (size_t i = 0; i < s->v[own].n; i++) {
        const coco_target *target = s->v[own].v[i]->target;
        for (const coco_target *t = target == last ? NULL : target->parent; t; t = t->parent) {
            size_t other = t->handler.sink ? coco__sink_at(s, t->handler.sink) : s->n;
            if (other < s->n) s->v[coco__group_root(s, other)].group = coco__group_root(s, own);
        }
        last = target;
    }
}

/* The sink of a group whose turn it is by the order in a batch: a container may belong to another sink than its
 * content. */
static coco__outbox *coco__next_outbox(const coco__round_sinks *s, size_t group)
{
    coco__outbox *best = NULL;

    for (size_t i = 0; i < s->n; i++) {
        coco__outbox *box = &s->v[i];
        if (!box->done && coco__group_root(s, i) == group && (!best || box->first < best->first)) best = box;
    }
    if (best) best->done = true;
    return best;
}

/* Puts what is for the sinks of one group through them. */
static bool coco__group_step(coco__team *team)
{
    coco__round_sinks *s = (coco__round_sinks *)(void *)team;
    const coco__outbox *box;

    while (s->next < s->n && s->v[s->next].group != s->next) s->next++;
    if (s->next == s->n || s->failed) return false;
    size_t group = s->next++;
    while (!s->failed && (box = coco__next_outbox(s, group)) != NULL)
        if (!coco__outbox_apply(s, box)) s->failed = true;
    return s->next < s->n;
}

/* Puts the actions of the listed components through their sinks; false: no memory. */
COCO__IN bool coco__apply_sinks(coco__run *run, coco__comp *list, bool together)
{
    coco__round_sinks s = { .team = { .step = coco__group_step }, .run = run, .together = together };

    s.failed = !coco__outboxes_fill(&s, list);
    for (size_t i = 0; s.n > 1 && i < s.n; i++) coco__outbox_join(&s, i);
    if (run->pool && s.n > 1) coco__team_run(run, &s.team, s.n);
    else while (coco__group_step(&s.team)) continue;
    for (size_t i = 0; i < s.n; i++) {
        coco__free(run->mem, s.v[i].v);
        coco__free(run->mem, s.v[i].shares);
    }
    coco__free(run->mem, s.v);
    return !s.failed;
}
