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
    a->error = coco__strdup(a->target->run->mem, err->msg);
    return a->answer;
}

void coco_action_note(coco_action *a, const char *fmt, ...)
{
    char text[COCO_ERR_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
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
            if (v[i]->answer != COCO_OK) left++;
        }
        if (left == 0) return COCO_OK;
        if (!transient || coco__stopped(run) != COCO_OK || coco__monotonic_ns() - begun + wait * 1000000u > budget)
            return rc != COCO_OK ? rc : COCO_EFAIL;
        user = coco__user_begin(run);
        coco__sleep_ms(wait / 2 + (unsigned)(coco__random64() % (wait / 2 + 1)));
        coco__user_end(run, user);
        wait = wait < 2000 ? wait * 2 : wait;
        for (size_t i = 0, kept = 0; i < n; i++) { /* the rest again, in the same order */
            if (v[i]->answer == COCO_OK) continue;
            coco_action *a = v[kept];
            v[kept++] = v[i];
            v[i] = a;
            if (i + 1 == n) n = kept;
        }
        while (n && v[n - 1]->answer == COCO_OK) n--;
        coco__answers_clear(v, n);
    }
}

/* The place of an action in its batch: containers created top down, deletes, upserts, containers deleted bottom up. */
static unsigned coco__order_of(const coco_action *a)
{
    bool delete = a->kind == COCO_DELETE;

    if (a->container) return delete ? 3000 - (a->depth < 500 ? a->depth : 500) : a->depth < 500 ? a->depth : 500;
    return delete ? 1000 : 2000;
}

typedef struct coco__batch {
    coco_action **actions, **sorted;
    size_t n, cap;
} coco__batch;

static bool coco__batch_add(const coco__mem *m, coco__batch *b, coco_action *a)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        coco_action **v = coco__realloc(m, b->actions, cap * sizeof(coco_action *));
        if (!v) return false;
        b->actions = v;
        if (!(v = coco__realloc(m, b->sorted, cap * sizeof(coco_action *)))) return false;
        b->sorted = v;
        b->cap = cap;
    }
    b->actions[b->n++] = a;
    return true;
}

/* A stable counting sort over the few places there are. */
static void coco__batch_sort(coco__batch *b)
{
    size_t out = 0;
    unsigned from = 0;

    while (out < b->n) {
        unsigned next = UINT32_MAX;
        for (size_t i = 0; i < b->n; i++) {
            unsigned order = coco__order_of(b->actions[i]);
            if (order >= from && order < next) next = order;
        }
        for (size_t i = 0; i < b->n; i++)
            if (coco__order_of(b->actions[i]) == next) b->sorted[out++] = b->actions[i];
        from = next + 1;
    }
}

static void coco__note_failure(coco__comp *c, const coco_action *a, const coco_err *err)
{
    coco__buf b;
    coco__buf key;

    if (a->kind == COCO_DELETE) coco__target_block(a->target);
    if (c->apply_error) return;
    coco__buf_init(&b, c->run->mem), coco__buf_init(&key, c->run->mem);
    coco__key_put(&key, a->key);
    coco__state_name(&b, a->target, (coco_str){ (char *)key.p, key.n });
    coco__buf_printf(&b, ": %s", a->error ? a->error : err->msg[0] ? err->msg : coco_status_text(a->answer));
    c->apply_code = a->answer < 0 ? a->answer : err->code ? err->code : COCO_EFAIL;
    c->apply_error = coco__arena_copy(c->shared, coco__buf_cstr(&b), strlen(coco__buf_cstr(&b)));
    if (!c->apply_error) c->apply_error = (char *)(uintptr_t)"";
    coco__buf_free(&b), coco__buf_free(&key);
}

static coco_sink *coco__sink_of(const coco__change *ch) { return ch->target->handler.sink; }

/* Puts the components' actions for one sink through it. Where a batch fails without saying which, each component goes
 * alone. */
static bool coco__batch_apply(coco__run *run, coco_sink *sink, coco__comp **comps, size_t n, coco__batch *b)
{
    coco_err err;
    bool answered = false;

    b->n = 0;
    for (size_t i = 0; i < n; i++)
        for (coco__change *ch = comps[i]->owned.changes; ch; ch = ch->next)
            if (ch->action && !ch->cancelled && coco__sink_of(ch) == sink && !coco__batch_add(run->mem, b, ch->action))
                return false;
    if (b->n == 0) return true;
    coco__answers_clear(b->actions, b->n);
    coco__batch_sort(b);
    coco_status rc = coco__apply_retry(run, sink, b->sorted, b->n, &err);
    for (size_t i = 0; i < b->n; i++) answered |= b->actions[i]->answer != COCO_UNANSWERED;
    if (rc != COCO_OK && !answered && n > 1) {
        for (size_t i = 0; i < n; i++)
            if (!coco__batch_apply(run, sink, &comps[i], 1, b)) return false;
        return true;
    }
    for (size_t i = 0; i < n; i++)
        for (coco__change *ch = comps[i]->owned.changes; ch; ch = ch->next) {
            if (!ch->action || ch->cancelled || coco__sink_of(ch) != sink) continue;
            if (ch->action->answer != COCO_OK) coco__note_failure(comps[i], ch->action, &err);
            coco__answers_clear(&ch->action, 1);
        }
    return true;
}

static bool coco__comp_weight(const coco__comp *c, const coco_sink *sink, size_t *n, size_t *bytes)
{
    *n = *bytes = 0;
    for (const coco__change *ch = c->owned.changes; ch; ch = ch->next)
        if (ch->action && !ch->cancelled && coco__sink_of(ch) == sink) ++*n, *bytes += ch->action->bytes;
    return *n != 0;
}

typedef struct coco__sink_group { /* sinks whose containers or content are in one another's: they go one by one */
    coco_sink *sink;
    size_t group;  /* index of another of its group, or its own: the root of a tree of them */
    bool done;     /* it had its turn */
} coco__sink_group;

typedef struct coco__round_sinks {
    coco__team team; /* first: it is what the pool knows */
    coco__run *run;
    coco__comp **comps;
    size_t ncomps;
    coco__sink_group *v;
    size_t n, cap;
    size_t next;     /* the group to be taken */
    bool together;   /* the last try of what was refused: in one batch a sink */
    bool failed;     /* no memory */
} coco__round_sinks;

/* Batches of whole components within the sink's limits; what is tried together is one. */
static bool coco__sink_apply(const coco__round_sinks *s, coco_sink *sink, coco__batch *b)
{
    size_t max = s->together ? SIZE_MAX : sink->max_actions ? sink->max_actions : 1000,
           max_bytes = s->together ? SIZE_MAX : sink->max_bytes ? sink->max_bytes : (size_t)16 << 20;
    coco__run *run = s->run;
    coco__comp **comps = s->comps;
    size_t ncomps = s->ncomps;
    size_t from = 0, n = 0, bytes = 0, more, weight;

    for (size_t i = 0; i < ncomps; i++) {
        if (!coco__comp_weight(comps[i], sink, &more, &weight)) continue;
        if (n && (n + more > max || bytes + weight > max_bytes)) {
            if (!coco__batch_apply(run, sink, comps + from, i - from, b)) return false;
            from = i;
            n = bytes = 0;
        }
        n += more;
        bytes += weight;
    }
    return n == 0 || coco__batch_apply(run, sink, comps + from, ncomps - from, b);
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

static bool coco__sink_add(coco__round_sinks *s, coco_sink *sink)
{
    if (coco__sink_at(s, sink) < s->n) return true;
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 8;
        coco__sink_group *v = coco__realloc(s->run->mem, s->v, cap * sizeof *v);
        if (!v) return false;
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n] = (coco__sink_group){ .sink = sink, .group = s->n };
    s->n++;
    return true;
}

/* Joins the groups of the action's sink and of those of the containers around it. */
static void coco__sink_join(const coco__round_sinks *s, const coco__change *ch)
{
    size_t own = coco__group_root(s, coco__sink_at(s, coco__sink_of(ch)));

    for (const coco_target *t = ch->target->parent; t; t = t->parent) {
        size_t other = t->handler.sink ? coco__sink_at(s, t->handler.sink) : s->n;
        if (other < s->n) s->v[coco__group_root(s, other)].group = own;
    }
}

static bool coco__sinks_group(coco__round_sinks *s)
{
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < s->ncomps; i++)
            for (const coco__change *ch = s->comps[i]->owned.changes; ch; ch = ch->next) {
                if (!ch->action || ch->cancelled) continue;
                if (pass == 0 && !coco__sink_add(s, coco__sink_of(ch))) return false;
                if (pass == 1 && s->n > 1 && ch->target->parent) coco__sink_join(s, ch);
            }
    return true;
}

/* The sink of a group whose turn it is by the order in a batch: a container may belong to another sink than its
 * content. */
static coco_sink *coco__next_sink(const coco__round_sinks *s, size_t group)
{
    size_t best = s->n;
    unsigned order = UINT32_MAX;

    for (size_t i = 0; i < s->ncomps; i++)
        for (const coco__change *ch = s->comps[i]->owned.changes; ch; ch = ch->next) {
            if (!ch->action || ch->cancelled || coco__order_of(ch->action) >= order) continue;
            size_t j = coco__sink_at(s, coco__sink_of(ch));
            if (!s->v[j].done && coco__group_root(s, j) == group) best = j, order = coco__order_of(ch->action);
        }
    if (best == s->n) return NULL;
    s->v[best].done = true;
    return s->v[best].sink;
}

/* Puts what is for the sinks of one group through them. */
static bool coco__group_step(coco__team *team)
{
    coco__round_sinks *s = (coco__round_sinks *)(void *)team;
    const coco__mem *m = s->run->mem;
    coco__batch b = { 0 };
    coco_sink *sink;

    while (s->next < s->n && s->v[s->next].group != s->next) s->next++;
    if (s->next == s->n || s->failed) return false;
    size_t group = s->next++;
    while (!s->failed && (sink = coco__next_sink(s, group)) != NULL)
        if (!coco__sink_apply(s, sink, &b)) s->failed = true;
    coco__free(m, b.actions);
    coco__free(m, b.sorted);
    return s->next < s->n;
}

/* Puts the actions of the listed components through their sinks; false: no memory. */
COCO__IN bool coco__apply_sinks(coco__run *run, coco__comp *list, bool together)
{
    coco__round_sinks s = { .team = { .step = coco__group_step }, .run = run, .together = together };
    size_t n = 0;

    for (coco__comp *c = list; c; c = c->next) n++;
    if (!n) return true;
    if (!(s.comps = coco__alloc(run->mem, n * sizeof(coco__comp *)))) return false;
    for (coco__comp *c = list; c; c = c->next)
        if (!c->claim_failed) s.comps[s.ncomps++] = c;
    s.failed = !coco__sinks_group(&s);
    if (run->pool && s.n > 1) coco__team_run(run, &s.team, s.n);
    else while (coco__group_step(&s.team)) continue;
    coco__free(run->mem, s.comps);
    coco__free(run->mem, s.v);
    return !s.failed;
}
