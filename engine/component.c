/* component.c - components: mounting, hits and runs, mount_each, what is no longer mounted, states and ids.
 *
 * Floor: above submit. A mount finds the child's record, decides between a hit (nothing below runs, nothing is
 * written) and a run, and hands a finished component to submit.c once everything below it is through. Paths form a
 * tree like inodes: a record stands under (id of its parent's node, segment); inner nodes are path elements without a
 * component.
 *
 * mount_each over an ordered source walks the source beside the recorded children; what the walk passes over is gone
 * (S3.7). Any other source is looked up item by item, with a compact set of fingerprints to tell what came. */
#include "engine.h"

static coco__node coco__mounted; /* marks a segment that a component is mounted at */

/* ---- Nodes and paths ---- */

COCO__IN uint64_t coco__node_id(coco__node *node)
{
    if (!node->id) node->id = node->comp->run->meta.next_id++;
    return node->id;
}

COCO__IN coco__place coco__place_of(const coco__node *node)
{
    if (node == &node->comp->node) return node->comp->at;
    return (coco__place){ coco__node_id(node->up), node->segment };
}

COCO__IN void coco__node_path(const coco__node *node, coco__buf *path)
{
    if (node == &node->comp->node && node->comp->path.p) {
        coco__buf_put(path, node->comp->path.p, node->comp->path.n);
        return;
    }
    if (!node->up) return;
    coco__node_path(node->up, path);
    coco__buf_put(path, node->segment.p, node->segment.n);
}

/* What is recorded of a new inner node; the tombstone of one that was an inner node before goes. */
static coco_status coco__node_recorded(coco__run *run, coco__node *node)
{
    coco__place at = coco__place_of(node);
    coco__rec rec;
    coco_str payload;

    COCO_TRY(coco__record_read(run, &at, &run->lookup, &payload));
    if (payload.p) {
        COCO_TRY(coco__rec_get(payload, &rec, &run->cx_err));
        node->id = rec.id;
        node->recorded = node->persisted = rec.flags & COCO__R_ID;
        node->was_component = rec.flags & COCO__R_COMPONENT;
    }
    if (!node->was_component) coco__tomb_remove(run, &at);
    return COCO_OK;
}

/* The inner node of comp below `up` at segment, made if it isn't there. */
static coco_status coco__node_child(coco_ctx *cx, coco__node *up, coco_str segment, coco__node **out)
{
    coco__comp *comp = cx->comp;
    coco__node *node = coco__table_get(&up->kids, segment.p, segment.n);

    *out = node;
    if (node == &coco__mounted || (node && node->each) || up->each)
        return coco_fail(cx, COCO_EDUP, "a component or a mount_each stands on this path already");
    if (node) return COCO_OK;
    node = coco__arena_zalloc(comp->shared, sizeof *node);
    if (!node) return coco__oom(cx);
    node->up = up;
    node->comp = comp;
    node->segment = coco__arena_str(comp->shared, segment);
    coco__table_init(&node->kids, comp->run->mem);
    if (!node->segment.p || !coco__table_put(&up->kids, node->segment.p, segment.n, node)) return coco__oom(cx);
    node->next = comp->inner;
    comp->inner = node;
    *out = node;
    coco_status rc = up->recorded ? coco__node_recorded(comp->run, node) : COCO_OK;
    return rc == COCO_OK ? rc : coco__say(cx, rc, comp->run->cx_err.msg);
}

static coco_status coco__segment_of(coco_ctx *cx, coco_value key, coco__buf *b)
{
    coco_status rc;

    b->n = 0;
    rc = coco__key_put(b, key);
    if (rc == COCO_OK || rc == COCO_ENOMEM) return rc ? coco__oom(cx) : rc;
    return coco_fail(cx, rc, "a path element must be null, a symbol, bool, int, text, bytes, uuid or a list of these");
}

/* One step down from *node. */
static coco_status coco__node_step(coco_ctx *cx, coco_value key, coco__buf *b, coco__node **node)
{
    COCO_TRY(coco__segment_of(cx, key, b));
    return coco__node_child(cx, *node, coco__buf_view(b), node);
}

static coco_status coco__scope_nodes(coco_ctx *cx, const coco__scope *scope, coco__buf *b, coco__node **node)
{
    if (!scope) return COCO_OK;
    COCO_TRY(coco__scope_nodes(cx, scope->up, b, node));
    return coco__node_step(cx, scope->key, b, node);
}

COCO__IN coco_status coco__resolve(coco_ctx *cx, coco_path path, const coco_fn *fn, coco__node **up, coco_str *segment)
{
    coco_value name = coco_symbol(fn->name);
    coco__buf b;

    if (path.n == 0) path = (coco_path){ &name, 1 };
    *up = &cx->comp->node;
    coco__buf_init(&b, cx->run->mem);
    coco_status rc = coco__scope_nodes(cx, cx->scope, &b, up);
    for (size_t i = 0; i + 1 < path.n && rc == COCO_OK; i++) rc = coco__node_step(cx, path.keys[i], &b, up);
    if (rc == COCO_OK) rc = coco__segment_of(cx, path.keys[path.n - 1], &b);
    *segment = coco__buf_take(&b, cx->comp->shared);
    return rc != COCO_OK || segment->p ? rc : coco__oom(cx);
}

/* The same, for what nobody may stand at or below yet. */
static coco_status coco__resolve_free(coco_ctx *cx, coco_path path, const coco_fn *fn, coco__node **up,
                                      coco_str *segment)
{
    coco__buf text;

    COCO_TRY(coco__resolve(cx, path, fn, up, segment));
    if (!(*up)->each && !coco__table_get(&(*up)->kids, segment->p, segment->n)) return COCO_OK;
    coco__buf_init(&text, cx->run->mem);
    coco__key_print(&text, segment->p, segment->n);
    coco_fail(cx, COCO_EDUP, "%s: something is mounted at %s already", fn->name, coco__buf_cstr(&text));
    coco__buf_free(&text);
    return COCO_EDUP;
}

/* The node that a mount_each has to itself. */
COCO__IN coco_status coco__each_node(coco_ctx *cx, coco_path path, const coco_fn *fn, coco__node **node)
{
    coco__node *up;
    coco_str segment;

    COCO_TRY(coco__resolve_free(cx, path, fn, &up, &segment));
    return coco__node_child(cx, up, segment, node);
}

/* Counts and reports a source item that can't be read; what is recorded for it stays. */
COCO__IN bool coco__unread(coco_ctx *cx, const coco_source *src, coco_value key, coco_status code)
{
    coco__run *run = cx->run;
    coco__buf path;
    coco_failure f = { .function = "", .kind = COCO_MOUNT_EACH, .code = code };

    coco__buf_init(&path, run->mem);
    coco__buf_printf(&path, "%s:", src->title ? src->title : "");
    coco__value_print(&path, key);
    f.path = coco__buf_cstr(&path);
    f.message = cx->message ? cx->message : coco_status_text(code);
    bool swallowed = coco__fail_path(run, &f, cx->catches);
    cx->comp->failed_below = true;
    coco__buf_free(&path);
    return swallowed;
}

/* ---- Making and freeing ---- */

COCO__IN coco__comp *coco__comp_new(coco__run *run)
{
    coco__comp *c = run->spare;
    coco__arena arena = { .mem = run->mem }, pooled = arena;

    if (c) {
        run->spare = c->next;
        arena = c->arena;
        pooled = c->pooled;
        run->spare_bytes -= sizeof *c + arena.total + pooled.total;
    } else if (!(c = coco__alloc(run->mem, sizeof *c))) {
        return NULL;
    }
    *c = (coco__comp){ .run = run, .arena = arena, .pooled = pooled, .uses.mem = run->mem,
                       .node = { .comp = c, .kids.mem = run->mem } };
    c->shared = run->pool ? &c->pooled : &c->arena;
    return c;
}

static void coco__flight_end(coco__comp *c)
{
    if (c->flight.p) coco__table_remove(&c->run->in_flight, c->flight.p, c->flight.n);
    c->flight.p = NULL;
}

COCO__IN void coco__comp_rest(coco__comp *c)
{
    coco__flight_end(c);
    coco__owned_free(&c->owned);
    if (c->uses.p) coco__buf_free(&c->uses);
    if (c->ordinals.mem) coco__table_free(&c->ordinals);
    coco__maps_unstage(c);
}

COCO__IN void coco__hold(coco__comp *c)
{
    while (c && c->holds++ == 0) c = c->parent;
}

COCO__IN void coco__unhold(coco__comp *c)
{
    while (c && --c->holds == 0) {
        coco__comp *up = c->parent;
        if (c->state == COCO__DONE) coco__comp_free(c);
        c = up;
    }
}

COCO__IN void coco__comp_free(coco__comp *c)
{
    coco__run *run = c->run;
    size_t bytes;

    coco__comp_rest(c);
    coco__table_free(&c->node.kids);
    for (coco__node *n = c->inner; n; n = n->next) coco__table_free(&n->kids);
    coco__arena_reset(&c->arena);
    coco__arena_reset(&c->pooled);
    bytes = sizeof *c + c->arena.total + c->pooled.total;
    if (run->spare_bytes + bytes <= COCO__ROUND_BYTES && !run->ending) { /* as many as a round has at a time */
        c->next = run->spare;
        run->spare = c;
        run->spare_bytes += bytes;
        return;
    }
    coco__arena_free(&c->arena);
    coco__arena_free(&c->pooled);
    coco__free(run->mem, c);
}

/* The record may be another's memory as long as it only has to be looked at. */
static coco_status coco__comp_look(coco__comp *c, coco_str payload)
{
    COCO_TRY(coco__rec_get(payload, &c->rec, &c->run->cx_err));
    c->node.id = c->rec.id;
    c->node.recorded = c->node.persisted = c->rec.flags & COCO__R_ID;
    return COCO_OK;
}

COCO__IN coco_status coco__comp_load(coco__comp *c, coco_str payload)
{
    coco_str copy = coco__arena_str(c->shared, payload);

    return copy.p ? coco__comp_look(c, copy) : COCO_ENOMEM;
}

/* A component that goes on has its record, and what was found in that, to itself. */
static coco_status coco__comp_keep(coco__comp *c)
{
    coco_str payload = c->borrowed, *detail = &c->why.detail;

    if (!payload.p) return COCO_OK;
    c->borrowed.p = NULL;
    if (detail->p && !(detail->p = coco__arena_copy(c->shared, detail->p, detail->n))) return COCO_ENOMEM;
    return coco__comp_load(c, payload);
}

/* ---- Hit or run ---- */

COCO__IN bool coco__recheck_due(coco__run *run, const uint8_t *fp)
{
    return run->opts.recheck && (coco__get_be64(fp) ^ run->number * 0x9e3779b97f4a7c15u) % 100 < run->opts.recheck;
}

/* What can be told without the arguments. */
static coco__reason coco__miss_early(coco__comp *c)
{
    coco__run *run = c->run;
    coco_str fn = coco__name_of(run, c->rec.fn);

    if (!(c->rec.flags & COCO__R_COMPONENT)) return COCO__WHY_NEW;
    if (run->full) return COCO__WHY_FORCED;
    if (!coco_str_equal(fn, coco_str_of(c->fn->name))) return COCO__WHY_FUNCTION;
    if (!c->fn->memo) return COCO__WHY_NOMEMO; /* whatever else, and whatever came first */
    /* what moves away marks it too, at a moment that chance decides: its memo is judged first */
    bool was_pending = false, moved = coco__moved_away(run, &c->at, &was_pending);
    if (moved ? was_pending : c->rec.flags & COCO__R_PENDING) return COCO__WHY_PENDING;
    if (c->rec.flags & COCO__R_MEMO) return (coco__reason)0;
    return c->rec.flags & COCO__R_FAILED ? COCO__WHY_RETRY
         : c->rec.flags & COCO__R_BELOW  ? COCO__WHY_BELOW
                                         : COCO__WHY_UNKEPT;
}

/* Compares the memo (or a remembered failure) with now: why.reason 0 if all of it holds. */
static coco_status coco__memo_holds(coco_ctx *cx, coco__comp *c, coco_args args, coco_str *states, coco__depset **set)
{
    coco_status rc;

    if (coco__bytes_cmp(c->rec.argkey.p, c->rec.argkey.n, c->fresh.argkey.p, c->fresh.argkey.n) != 0) {
        c->why.reason = COCO__WHY_INPUT;
        return coco__arg_changed(cx, c->fn, args, c->rec.argkey, &c->why.detail);
    }
    COCO_TRY(coco__depset_load(c->run, c->rec.depset, set));
    if (*set) COCO_TRY(coco__depset_judge(cx, *set));
    if (!*set || !(*set)->valid) {
        c->why = coco__set_why(*set);
        return COCO_OK;
    }
    rc = coco__states_check(cx, c->fn, args, c->rec.states, states, &c->why);
    if (rc == COCO_OK) c->why.reason = (coco__reason)0;
    return rc == COCO_ENOTFOUND ? COCO_OK : rc;
}

/* A hit whose files were seen in a new state is written with it, under the run and reason it has. */
static coco_status coco__hit_restamp(coco__comp *c, coco_str states, coco__depset *set)
{
    if (coco__bytes_cmp(states.p, states.n, c->rec.states.p, c->rec.states.n) == 0) return COCO_OK;
    coco_str argkey = c->fresh.argkey;
    COCO_TRY(coco__comp_keep(c));
    c->fresh = c->rec;
    c->fresh.argkey = argkey;
    c->fresh.states = states;
    c->set = set;
    c->restamp = c->dirty = true;
    return COCO_OK;
}

/* Does a failure that the function wants remembered still wait? */
static bool coco__failure_waits(const coco__comp *c)
{
    uint64_t wait = c->fn->remember_failure_ms, day = 86400000;
    const coco__run *run = c->run;

    if (!wait || !(c->rec.flags & COCO__R_FAILED) || run->full || run->only.p) return false;
    for (uint64_t i = 1; i < c->rec.fail_count && wait < day; i++) wait *= 2;
    return coco__wall_ms() < c->rec.fail_time + (int64_t)(wait < day ? wait : day);
}

/* Decides: why.reason 0 means a hit. A remembered failure that waits is COCO_EWAIT. */
static coco_status coco__decide(coco_ctx *cx, coco__comp *c, const coco__mount_call *m)
{
    coco__depset *set = NULL;
    coco_str states = { 0 };
    coco_args args = m->args;
    bool failed = coco__failure_waits(c);
    coco__why early = { .reason = coco__miss_early(c) };

    c->why = early;
    if (!c->fn->memo && !c->fn->remember_failure_ms) return COCO_OK;
    COCO_TRY(coco__argkey(cx, c->fn, args, m->pass, &c->fresh.argkey));
    if (early.reason && !failed) return COCO_OK;
    COCO_TRY(coco__memo_holds(cx, c, args, &states, &set));
    if (failed && !c->why.reason) {
        c->no_write = true;
        return coco_fail(cx, COCO_EWAIT, "failed %llu time%s before and isn't due again yet",
                         (unsigned long long)c->rec.fail_count, c->rec.fail_count == 1 ? "" : "s");
    }
    if (failed && early.reason != COCO__WHY_RETRY && early.reason != COCO__WHY_NOMEMO) c->why = early;
    if (failed) return COCO_OK;
    if (!c->why.reason && (c->owned.nchanges || coco__moved_away(c->run, &c->at, NULL)))
        c->why.reason = COCO__WHY_MOVED;
    if (c->why.reason) return COCO_OK;
    uint8_t fp[COCO__FP];
    if (c->run->opts.recheck) {
        coco_fingerprint_bytes(c->at.segment.p, c->at.segment.n, fp);
        c->recheck = coco__recheck_due(c->run, fp);
    }
    if (c->recheck) {
        c->why.reason = COCO__WHY_RECHECK;
        return COCO_OK;
    }
    COCO_TRY(coco__hit_restamp(c, states, set));
    if (!c->parent || !c->memo_above) return COCO_OK;
    COCO_TRY(coco__deps_merge(c->run, &cx->deps, set->v, set->n, true));
    return coco__states_tracked(cx, states, &cx->tracked);
}

/* ---- After the function has returned ---- */

COCO__IN coco_status coco__gone_add(coco__comp *c, coco__node *node, coco_str segment, bool self_only)
{
    coco__tomb *g = coco__arena_zalloc(c->shared, sizeof *g);

    if (!g || !(g->at.segment = coco__arena_str(c->shared, segment)).p) return COCO_ENOMEM;
    g->at.parent = coco__node_id(node);
    g->self_only = self_only;
    g->next = c->gone;
    c->gone = g;
    return COCO_OK;
}

/* Recorded children of a node that nobody mounted in this run. */
static coco_status coco__gone_under(coco__comp *c, coco__node *node)
{
    coco__stream s;
    coco_status rc = COCO_OK;

    if (!node->recorded || node->incomplete || node->each) return COCO_OK;
    coco__stream_open(&s, c->run, node->id);
    while (rc == COCO_OK && coco__stream_next(&s)) {
        const coco__node *kid = coco__table_get(&node->kids, s.segment.p, s.segment.n);
        if (!kid || (kid != &coco__mounted && kid->was_component))
            rc = coco__gone_add(c, node, s.segment, kid != NULL);
    }
    return coco__stream_close(&s, rc);
}

typedef struct coco__leftover {
    coco__comp *comp;
    uint64_t states;
    bool counting;
} coco__leftover;

static coco_status coco__leftover_entry(void *self, const coco__entry *e)
{
    coco__leftover *l = self;

    if (!l->counting) return coco__declare_gone(l->comp, e, COCO__DEL_CONDEMN);
    l->states += coco__space_of(e->ekey, NULL) >= COCO__S_FIRST_PROVIDER;
    return COCO_OK;
}

/* What the component has recorded and did not declare again; the guard looks first. */
static coco_status coco__undeclared(coco__comp *c, coco_ctx *frame)
{
    coco__leftover l = { .comp = c, .counting = true };
    const coco_app_config *config = &c->run->app->config;
    uint64_t limit = config->guard_states ? config->guard_states : 1000;
    unsigned percent = config->guard_percent ? config->guard_percent : 50;

    if (c->rec.nstates > limit && !c->run->opts.allow_delete) {
        COCO_TRY(coco__owned_each(&c->owned, true, coco__leftover_entry, &l));
        if (l.states > limit && l.states * 100 > c->rec.nstates * percent) {
            c->run->guard = true;
            return coco_fail(frame, COCO_EGUARD, "would delete %llu of its %llu target states",
                             (unsigned long long)l.states, (unsigned long long)c->rec.nstates);
        }
    }
    l.counting = false;
    coco_status rc = coco__owned_each(&c->owned, true, coco__leftover_entry, &l);
    if (rc != COCO_OK && c->run->cx->said == rc) return coco__say(frame, rc, coco_error_message(c->run->cx));
    return rc;
}

static coco_status coco__memo_keep(coco__comp *c, coco_ctx *frame, coco_args args)
{
    coco__buf b;
    coco_status rc = COCO_OK;

    if (!c->fn->memo || frame->uncacheable || c->uncacheable) return COCO_OK;
    coco__buf_init(&b, c->run->mem);
    if (frame->result.kind != COCO_NULL) rc = coco__result_encode(frame, &b);
    c->fresh.result = coco__buf_take(&b, c->shared);
    COCO_TRY(rc);
    if (!c->fresh.result.p) return COCO_ENOMEM;
    COCO_TRY(coco__states_take(frame, c->fn, args, frame->tracked, &c->fresh.states));
    COCO_TRY(coco__depset_of(c->run, &frame->deps, &c->set));
    c->fresh.flags |= COCO__R_MEMO;
    return COCO_OK;
}

/* A hit that was run again must have changed nothing. */
static coco_status coco__recheck_component(coco__comp *c, coco_ctx *frame)
{
    bool same = coco__bytes_cmp(c->fresh.result.p, c->fresh.result.n, c->rec.result.p, c->rec.result.n) == 0;

    for (const coco__change *ch = c->owned.changes; ch && same; ch = ch->next) same = !ch->target;
    if (same) return COCO_OK;
    c->run->recheck_failed = true;
    return coco_fail(frame, COCO_ERECHECK, "%s: a memo hit differs when run again: it has an input it doesn't declare",
                     c->fn->name);
}

static coco_status coco__settle(coco__comp *c, coco_ctx *frame, coco_args args)
{
    COCO_TRY(coco__uses_settle(c));
    COCO_TRY(coco__undeclared(c, frame));
    COCO_TRY(coco__gone_under(c, &c->node));
    for (coco__node *n = c->inner; n; n = n->next) COCO_TRY(coco__gone_under(c, n));
    COCO_TRY(coco__memo_keep(c, frame, args));
    return c->recheck ? coco__recheck_component(c, frame) : COCO_OK;
}

/* What is needed to wait with the next try. Where that isn't to be had, the failure is told as it was. */
static void coco__failure_keep(coco__comp *c, coco_ctx *frame, coco_args args)
{
    char *message = frame->message;
    coco_status said = frame->said, rc;

    if (!c->fn->remember_failure_ms || c->stopped || !c->fresh.argkey.p) return;
    rc = coco__states_take(frame, c->fn, args, frame->tracked, &c->fresh.states);
    frame->message = message;
    frame->said = said;
    if (rc != COCO_OK || coco__depset_of(c->run, &frame->deps, &c->set) != COCO_OK) return;
    c->fresh.flags |= COCO__R_FAILED;
    c->fresh.fail_count = (c->rec.flags & COCO__R_FAILED ? c->rec.fail_count : 0) + 1;
    c->fresh.fail_time = coco__wall_ms();
}

/* ---- Running ---- */

static void coco__comp_frame(coco_ctx *frame, coco__comp *c, coco_ctx *caller)
{
    coco__frame_init(frame, caller, c->fn);
    frame->comp = c;
    frame->arena = frame->home = &c->arena;
    if (c->kind != COCO_MOUNT_USE) frame->deadline = 0;
    frame->scope = NULL;
    frame->memo_depth = 0;
    frame->memo = NULL;
}

/* From now on others may claim what the component has recorded: it is in flight. */
static coco_status coco__flight_begin(coco__comp *c)
{
    coco__dbkey k;

    coco__owned_init(&c->owned, c->run, c->shared, &c->rec);
    if (!c->rec.nstates) return COCO_OK;
    coco__place_key(&k, COCO__COMPONENT, &c->at);
    c->flight = coco__arena_str(c->shared, (coco_str){ (char *)k.b, k.n });
    return c->flight.p && coco__table_put(&c->run->in_flight, c->flight.p, k.n, c) ? COCO_OK : COCO_ENOMEM;
}

/* What a run takes, without the time that its thread has waited for locks. */
static void coco__brisk_learn(const coco__comp *c, uint64_t ns)
{
    coco__fn_counts *counts = &c->run->app->counts[c->fn->index];
    uint32_t now = ns < 1000000 ? (uint32_t)ns : 1000000;

    if (c->fn->index >= c->run->app->nfns) return;
    counts->ns = counts->nruns++ ? counts->ns - counts->ns / 16 + now / 16 : now;
    if (!counts->nruns) counts->nruns = 32;
}

/* Runs the function, and prepares what is to be recorded. */
static coco_status coco__run_function(coco__comp *c, coco_ctx *frame, coco_args args)
{
    uint64_t waited = coco__waited();
    coco_status rc;

    if (!c->run->pool && coco__flight_begin(c) != COCO_OK) return coco__oom(frame);
    coco__count_fn(c->run->app, c->fn, COCO__STARTS, 1);
    coco__emit_why(c->run, COCO_EV_STARTED, c, c->fn, &c->why);
    rc = coco__call_frame(frame, c->fn, args);
    c->fresh.ns = frame->ns;
    if (c->run->pool) coco__brisk_learn(c, c->fresh.ns - (coco__waited() - waited));
    c->fresh.units = frame->units;
    if (rc == COCO_OK && c->stopped) rc = coco__say(frame, c->stopped, coco_status_text(c->stopped));
    if (rc == COCO_OK && !c->above) rc = coco__settle(c, frame, args);
    if (rc != COCO_OK) coco__failure_keep(c, frame, args);
    return rc;
}

/* Ends a component whose function has returned: it waits for its children, or goes on at once. */
static void coco__comp_end(coco__comp *c, coco_status rc, const char *message)
{
    if (rc != COCO_OK) coco__fail(c, rc, message);
    else if (!c->hit) coco__maps_settle(c);
    c->state = COCO__WAITING;
    if (c->pending == 0) coco__submit(c);
}

/* --only: is the child on the way to PATH (1), at or below it (2), or off (0)? */
static int coco__only_side(coco__run *run, coco__comp *c)
{
    coco__buf path;
    int side = 0;

    if (!run->only.p) return 2;
    coco__buf_init(&path, run->mem);
    coco__node_path(&c->node, &path);
    if (path.n >= run->only.n && (run->only.n == 0 || memcmp(path.p, run->only.p, run->only.n) == 0)) side = 2;
    else if (path.n < run->only.n && (path.n == 0 || memcmp(path.p, run->only.p, path.n) == 0)) side = 1;
    if (side == 2 && path.n == run->only.n) run->reached = true;
    coco__buf_free(&path);
    return side;
}

static coco_status coco__comp_find(coco_ctx *cx, coco__comp *c, const coco__mount_call *m)
{
    coco_str payload = { 0 };
    coco__run *run = c->run;
    coco_status rc = COCO_OK;

    /* what was read ahead is old where a state has been taken out of it since */
    if (m->payload && !coco__moved_away(run, &c->at, NULL)) payload = *m->payload;
    else if (!m->up || m->up->recorded) rc = coco__record_read(run, &c->at, &run->lookup, &payload);
    /* what is read ahead stays until the next child; with a pool others may come to the record meanwhile */
    if (rc == COCO_OK && m->payload && payload.p && !run->pool) {
        c->borrowed = payload;
        rc = coco__comp_look(c, payload);
    } else if (rc == COCO_OK && payload.p) {
        rc = coco__comp_load(c, payload);
    }
    if (rc != COCO_OK) {
        run->lookup.n = 0;
        coco__node_path(&c->node, &run->lookup);
        coco_fail(cx, rc, "%s: %s", coco__path_shown(&run->lookup), coco__said(run, rc));
    }
    if (run->tombs) coco__tomb_remove(run, &c->at);
    return rc;
}

/* Is there something for the store, and is it the time? The awaited component itself, or nothing else goes on. */
static bool coco__round_due(const coco__run *run, const coco__comp *awaited)
{
    if (run->pool->flushing || !(run->open || run->applied)) return false;
    return awaited->state == COCO__OPEN || awaited->state == COCO__APPLIED || coco__quiet(run);
}

/* One step of waiting with a pool: runs what the component waits for, writes a round, or sleeps. */
static coco_status coco__await_step(coco_ctx *cx, const coco__comp *awaited, bool applied)
{
    coco__run *run = cx->run;
    coco__comp *c = awaited->kind == COCO_MOUNT_ROOT ? NULL : coco__queue_take(run, awaited);
    coco_status rc = COCO_OK;

    if (!c && !coco__round_due(run, awaited)) {
        coco__wait_change(run, applied ? 0 : cx->deadline);
        return COCO_OK;
    }
    run->pool->nactive++;
    if (c) coco__comp_task(c);
    else rc = coco__flush(run, true);
    run->pool->nactive--;
    return rc;
}

/* Waits until a child is applied, or (not beyond the deadline) all of it is committed, or it has failed. */
static coco_status coco__await(coco_ctx *cx, coco_handle *h, bool applied)
{
    coco_status rc = COCO_OK;
    bool late = false;

    coco__wait_begin(cx->run);
    /* a store that failed fails what waits */
    while (h->comp && !(applied && h->applied) && !(late = !applied && coco__late(cx)))
        rc = cx->run->pool ? coco__await_step(cx, h->comp, applied) : coco__flush(cx->run, true);
    coco__wait_end(cx->run);
    if (late) return coco_checkpoint(cx);
    return rc == COCO_OK ? rc : coco__say(cx, rc, cx->run->fatal.msg);
}

/* Too many in flight, too much memory, or too long ago that something was written? */
static bool coco__crowded(const coco__run *run)
{
    const coco_app_config *config = &run->app->config;
    size_t bytes = config->max_inflight_bytes;
    size_t n = run->nopen + run->napplied;

    return n >= config->max_inflight || run->inflight_bytes >= bytes || run->nqueued_memos >= 4096 ||
           run->queued_bytes >= bytes / 8 || (n >= COCO__ROUND_LEAST && run->inflight_bytes >= COCO__ROUND_BYTES) ||
           (n + run->nqueued_memos != 0 && coco__monotonic_ns() - run->round_ns >= 500000000u);
}

/* Ends a component that has run or was looked at in frame. */
static void coco__comp_through(coco_ctx *frame, coco__comp *c, coco_status rc, coco_ctx *caller)
{
    if (rc != COCO_OK && (!frame->message || frame->said != rc))
        coco__say(frame, rc, coco__said(c->run, rc));
    const char *text = rc != COCO_OK ? coco_error_message(frame) : NULL;
    coco__comp_end(c, coco__both(rc, coco__frame_end(frame, c->memo_above && rc == COCO_OK ? caller : NULL)), text);
}

COCO__IN void coco__comp_task(coco__comp *c)
{
    coco__run *run = c->run;
    coco_ctx outer, frame;

    coco__frame_init(&outer, run->cx, NULL);
    outer.catches = c->catches;
    coco__comp_frame(&frame, c, &outer);
    /* what had not begun when the update was stopped doesn't */
    coco_status rc = coco__stopped(run) == COCO_OK ? coco__run_function(c, &frame, c->args)
                                                   : coco_fail(&frame, COCO_ESTOP, "stopped");
    coco__comp_through(&frame, c, rc, NULL);
    if (!run->pool->flushing && coco__crowded(run)) coco__flush(run, true);
}

/* Its calls last less than another thread's attention costs, and meet nobody in a batch. */
static bool coco__brisk(const coco__comp *c)
{
    const coco__fn_counts *counts = &c->run->app->counts[c->fn->index];

    return c->fn->index < c->run->app->nfns && counts->nruns >= 32 && counts->ns < 10000 && !counts->gathers;
}

/* A component that has to run goes to the pool where nobody needs its value or its dependencies at once, and where
 * there is room: else it runs in the place of who mounts it. So it does where a runner has the caller, which may wait
 * for it while it waits for the runner. */
static bool coco__goes_to_pool(const coco_ctx *cx, coco__comp *c, const coco__mount_call *m)
{
    coco__run *run = c->run;
    const coco__pool *p = run->pool;

    if (!p || c->memo_above || (c->kind != COCO_MOUNT && c->kind != COCO_MOUNT_EACH) || coco__brisk(c)) return false;
    for (; cx; cx = cx->up)
        if (cx->fn && cx->fn->runner) return false;
    if (p->nqueued + (p->nthreads - p->nidle) + run->nopen + run->napplied + 1 >= run->app->config.max_inflight)
        return false;
    if (p->queued_bytes + run->inflight_bytes >= run->app->config.max_inflight_bytes) return false;
    return coco__args_copy(c->shared, m->args, &c->args) == COCO_OK && coco__queue_put(run, c);
}

/* Runs, hits or fails a child that is set up; takes it over. Its failure goes to coco__fail alone. */
static void coco__comp_go(coco_ctx *cx, coco__comp *c, const coco__mount_call *m)
{
    coco_ctx frame;
    coco_status rc, said = cx->said;
    char *message = cx->message;

    coco__comp_frame(&frame, c, cx);
    rc = coco__comp_find(&frame, c, m);
    if (rc != COCO_OK) c->no_write = true; /* its record is damaged: it fails by itself, named */
    else if (c->run->pool) rc = coco__flight_begin(c);
    if (rc == COCO_OK) rc = coco__decide(&frame, c, m);
    if (rc == COCO_OK && c->why.reason) rc = coco__comp_keep(c);
    if (rc == COCO_OK && c->why.reason == 0) {
        coco__flight_end(c);
        c->hit = true;
        c->run->reached |= coco__only_side(c->run, c) == 1; /* it answers for --only's PATH */
        coco__count_fn(c->run->app, c->fn, COCO__UNCHANGED, 1);
        c->run->saved_ns += c->rec.ns;
        c->run->saved_units += c->rec.units;
        coco__emit(c->run, COCO_EV_HIT, c, NULL);
        if (m->value) rc = coco__stored_result(cx, c->rec.result, m->value);
    } else if (rc == COCO_OK && coco__goes_to_pool(cx, c, m)) {
        coco__frame_end(&frame, NULL);
        return;
    } else if (rc == COCO_OK) {
        rc = coco__run_function(c, &frame, m->args);
        if (rc == COCO_OK && m->value) rc = coco__result_to(cx, frame.result, m->value);
    }
    coco__comp_through(&frame, c, rc, cx);
    cx->said = said, cx->message = message;
}

/* Sets a child up under its node and runs it. c comes with its memory (arguments may live there). Returns an error
 * only where there was no mount. */
COCO__IN coco_status coco__mount_child(coco_ctx *cx, coco__comp *c, const coco__mount_call *m)
{
    coco__comp *parent = cx->comp;
    int side;

    c->parent = parent;
    c->fn = m->fn;
    c->kind = m->kind;
    c->catches = cx->catches;
    c->memo_above = coco__records(cx);
    c->op = m->op ? m->op : parent->op;
    c->node.up = m->up;
    c->node.segment = coco__arena_str(c->shared, m->segment);
    if (!c->node.segment.p) {
        coco__comp_free(c);
        return coco__oom(cx);
    }
    c->at = (coco__place){ coco__node_id(m->up), c->node.segment };
    side = coco__only_side(c->run, c);
    if (m->kind == COCO_MOUNT_USE) side = 2; /* its value is wanted */
    c->above = side == 1;
    if (side == 0) {
        parent->failed_below = true; /* a memo would stand for what wasn't looked at */
        coco__comp_free(c);
        return COCO_OK;
    }
    coco__part_ends_at(c->run, &c->at, m->part);
    c->handle = m->handle;
    if (c->handle) *c->handle = (coco_handle){ .comp = c, .run = c->run };
    parent->pending++;
    if (c->op && (parent->stand || m->op)) c->op->open++, c->anchor = true;
    coco__comp_go(cx, c, m);
    return COCO_OK;
}

/* Room for one more: where it is crowded, a round is written first. */
COCO__IN coco_status coco__make_room(coco_ctx *cx)
{
    coco_status rc;

    if (!coco__crowded(cx->run)) return COCO_OK;
    rc = coco__flush(cx->run, true);
    return rc == COCO_OK ? rc : coco__say(cx, rc, cx->run->fatal.msg);
}

COCO__IN coco_status coco__mount_at(coco_ctx *cx, coco_path path, coco__mount_call *m)
{
    coco__comp *c;

    COCO_TRY(coco__inside(cx, m->fn->name));
    if (cx->memo_depth) {
        cx->uncacheable = true;
        return coco_fail(cx, COCO_EMEMO, "%s can't be mounted inside a memoized call", m->fn->name);
    }
    COCO_TRY(coco__args_count(cx, m->fn, m->args.n));
    COCO_TRY(coco_checkpoint(cx));
    COCO_TRY(coco__make_room(cx));
    COCO_TRY(coco__resolve_free(cx, path, m->fn, &m->up, &m->segment));
    if (!coco__table_put(&m->up->kids, m->segment.p, m->segment.n, &coco__mounted) || !(c = coco__comp_new(cx->run)))
        return coco__oom(cx);
    return coco__mount_child(cx, c, m);
}

COCO__IN coco_status coco__mount(coco_ctx *cx, coco_path path, coco__mount_call *m, coco_handle **handle)
{
    if (!handle) return coco__mount_at(cx, path, m);
    *handle = NULL;
    if (cx->comp && !(m->handle = coco__arena_zalloc(cx->comp->shared, sizeof *m->handle))) return coco__oom(cx);
    COCO_TRY(coco__mount_at(cx, path, m));
    *handle = m->handle;
    return COCO_OK;
}

coco_status coco_mount(coco_ctx *cx, coco_path path, const coco_fn *fn, coco_args args, coco_handle **handle)
{
    coco__mount_call m = { .fn = fn, .args = args, .kind = COCO_MOUNT };

    COCO__INSIDE(cx->run, coco_status, coco__mount(cx, path, &m, handle));
}

coco_status coco_ready(coco_ctx *cx, coco_handle *handle)
{
    if (!handle) return COCO_OK;
    COCO__INSIDE(cx->run, coco_status, coco__await(cx, handle, false));
}

coco_status coco_handle_status(const coco_handle *handle)
{
    if (!handle) return COCO_OK;
    COCO__INSIDE(handle->run, coco_status, handle->status);
}

static coco_status coco__use_mount(coco_ctx *cx, coco_path path, const coco_fn *fn, coco_args args, coco_value *value)
{
    coco_value v = coco_null();
    coco_handle h = { 0 };
    coco__mount_call m = { .fn = fn, .args = args, .kind = COCO_MOUNT_USE, .value = &v, .handle = &h };

    if (value) *value = v;
    COCO_TRY(coco__mount_at(cx, path, &m));
    COCO_TRY(coco__await(cx, &h, true));
    if (h.comp) h.comp->handle = NULL; /* applied; its commit comes with the next round */
    if (h.status != COCO_OK) return coco__say(cx, h.status, h.message ? h.message : coco_status_text(h.status));
    if (value) *value = v;
    return COCO_OK;
}

coco_status coco_use_mount(coco_ctx *cx, coco_path path, const coco_fn *fn, coco_args args, coco_value *value)
{
    COCO__INSIDE(cx->run, coco_status, coco__use_mount(cx, path, fn, args, value));
}

/* ---- mount_target: use_mount of a container declaration ---- */

typedef struct coco__mounting {
    coco_target *target, *child;
    coco_value key, value;
    const coco_container_opts *opts;
} coco__mounting;

static const coco_class coco__mounting_class = { .type = "coco__mounting" };

static coco_status coco__target_call(coco_ctx *cx, const coco_value *args)
{
    coco__mounting *m = coco_object_of(args[0], &coco__mounting_class);

    return coco_declare_container(cx, m->target, m->key, m->value, m->opts, &m->child);
}

static coco_fn coco__target_fn = {
    .name = "target", .call = coco__target_call, .nparams = 1, .logic_tracking = COCO_LOGIC_NONE
};
COCO_AT_START(coco__target) { coco_register(&coco__target_fn); }

/* What names a target: @handler, its key if it has one, then the keys of the containers on the way down. */
static coco_status coco__target_elements(coco_ctx *cx, const coco_target *t, coco_value *out, size_t *n)
{
    coco__reader r = coco__reader_of(t->key.p, t->key.n);
    coco_value key;

    if (t->parent) COCO_TRY(coco__target_elements(cx, t->parent, out, n));
    if (*n + 2 > 32) return coco_fail(cx, COCO_EINVAL, "target %s is nested too deep to be mounted", t->title);
    if (t->attachment.p) {
        out[(*n)++] = coco_symbol(t->attachment.p);
        return COCO_OK;
    }
    if (coco__key_get(&r, cx->home, &key) != COCO_OK) return coco__oom(cx);
    out[(*n)++] = t->parent ? key : coco_at(key, 0);
    if (!t->parent && coco_at(key, 1).kind != COCO_NULL) out[(*n)++] = coco_at(key, 1);
    return COCO_OK;
}

coco_status coco_mount_target(coco_ctx *cx, coco_target *target, coco_value key, coco_value value,
                              const coco_container_opts *opts, coco_target **child)
{
    coco__mounting m = { target, NULL, key, value, opts };
    coco_value elements[34], path[3];
    size_t n = 0, at = 0;
    const coco_target *top = target;

    *child = NULL;
    if (cx->kept) return cx->kept;
    if (!target) return coco_fail(cx, COCO_EINVAL, "mount_target of no target");
    while (top->parent) top = top->parent;
    COCO_TRY(coco__target_elements(cx, top, path, &at));
    COCO_TRY(coco__target_elements(cx, target, elements, &n));
    elements[n++] = key;
    /* one element: the container above has a path of its own */
    path[at] = n - at == 1 ? key : coco_list(elements + at, n - at);
    coco_value arg = coco_object(&coco__mounting_class, &m);
    COCO_TRY(coco_use_mount(cx, (coco_path){ path, at + 1 }, &coco__target_fn, (coco_args){ &arg, 1 }, NULL));
    *child = m.child;
    return COCO_OK;
}

/* ---- The root ---- */

COCO__IN coco_status coco__run_root(coco__run *run)
{
    coco_ctx outer;
    coco__comp *c = coco__comp_new(run);
    coco_handle h = { .comp = c, .run = run };
    coco__mount_call m = {
        .fn = run->app->config.main, .args = run->app->config.args, .kind = COCO_MOUNT_ROOT, .value = &run->value
    };
    coco_status rc = COCO_OK;

    if (!c) return COCO_ENOMEM;
    coco__frame_init(&outer, run->cx, NULL);
    c->fn = m.fn;
    c->kind = COCO_MOUNT_ROOT;
    c->at = (coco__place){ 0, { "", 0 } };
    c->node.segment = c->at.segment;
    c->handle = &h;
    c->above = coco__only_side(run, c) == 1;
    coco__comp_go(&outer, c, &m);
    if (run->pool) rc = coco__await(&outer, &h, false);
    while (h.comp) rc = coco__flush(run, false);
    return rc;
}
