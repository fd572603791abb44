/* event.c - events, counters and the log: every decision of the engine passes here.
 *
 * Floor: above base, value and key. Nothing is printed or allocated for an event that nobody listens to. Counters
 * are relaxed atomics, so that any thread may read them while an update runs. */
#include "engine.h"

const char *coco_event_name(coco_event_kind kind)
{
    static const char *const names[] = { "started",    "hit",       "call hit", "call miss", "declared",
                                         "reconciled", "precommit", "applied",  "committed", "deleted",
                                         "failed",     "gone",      "moved",    "notice",
                                         "ready" };

    return (size_t)kind < sizeof names / sizeof names[0] ? names[kind] : "";
}

COCO__IN bool coco__listening(const coco__run *run)
{
    if (!run->env->config.on_event && run->env->tick) run->env->tick(run->env->config.user);
    return run->env->config.on_event != NULL;
}

COCO__IN void coco__log(coco_env *env, coco_log_level level, const char *fmt, ...)
{
    char text[COCO_ERR_MAX];

    if (!env->config.on_log || level > env->config.log_level) return;
    COCO__FORMAT(text, fmt);
    env->config.on_log(env->config.user, level, text);
}

static void coco__send(coco__run *run, const coco__comp *comp, const coco_fn *fn, coco_event *e)
{
    coco__buf path;

    coco__buf_init(&path, run->mem);
    if (comp) coco__node_path(&comp->node, &path);
    e->path = comp ? coco__path_shown(&path) : "";
    e->function = fn ? fn->name : "";
    if (!e->state) e->state = "";
    if (!e->detail) e->detail = "";
    run->env->config.on_event(run->env->config.user, e);
    if (run->env->tick) run->env->tick(run->env->config.user);
    coco__buf_free(&path);
}

COCO__IN void coco__emit(coco__run *run, coco_event_kind kind, const coco__comp *comp, const char *detail)
{
    coco_event e = { .kind = kind, .detail = detail };

    if (coco__listening(run)) coco__send(run, comp, comp ? comp->fn : NULL, &e);
}

COCO__IN void coco__emit_why(coco__run *run, coco_event_kind kind, const coco__comp *comp, const coco_fn *fn,
                             const coco__why *why)
{
    coco_event e = { .kind = kind };
    coco__buf detail;

    if (!coco__listening(run)) return;
    coco__buf_init(&detail, run->mem);
    if (kind != COCO_EV_CALL_HIT) coco__why_print(&detail, *why);
    e.detail = coco__buf_cstr(&detail);
    coco__send(run, comp, fn, &e);
    coco__buf_free(&detail);
}

COCO__IN void coco__emit_state(coco__run *run, coco_event_kind kind, const coco__comp *comp, const coco__change *c,
                               const char *detail)
{
    coco_event e = { .kind = kind, .detail = detail, .container = c->container };
    coco__buf state, text;

    if (!coco__listening(run)) return;
    coco__buf_init(&state, run->mem);
    coco__buf_init(&text, run->mem);
    coco__state_name(&state, c->target, c->key);
    e.state = coco__buf_cstr(&state);
    if (c->action) {
        e.action = c->action->kind;
        coco__buf_put(&text, c->action->text.p, c->action->text.n);
        if (!detail) e.detail = coco__buf_cstr(&text);
    }
    coco__send(run, comp, comp ? comp->fn : NULL, &e);
    coco__buf_free(&state);
    coco__buf_free(&text);
}

/* ---- Counters ---- */

COCO__IN void coco__count_fn(coco_app *app, const coco_fn *fn, int which, uint64_t by)
{
    if (fn && fn->index < app->nfns) COCO__ADD(app->counts[fn->index].n[which], by);
}

COCO__IN coco__target_counts *coco__counts_of_title(coco_app *app, const char *title)
{
    coco_env *env = app->env;
    coco__target_counts *c;

    pthread_mutex_lock(&env->mutex);
    for (c = app->targets; c && strcmp(c->title, title) != 0;) c = c->next;
    if (!c && (c = coco__zalloc(&env->mem, sizeof *c + strlen(title) + 1)) != NULL) {
        strcpy(c->title, title);
        c->next = app->targets;
        app->targets = c;
    }
    pthread_mutex_unlock(&env->mutex);
    return c;
}

COCO__IN void coco__count_action(coco__target_counts *counts, const coco_action *a)
{
    if (!counts) return;
    COCO__ADD(counts->actions[a->kind < COCO_DELETE ? a->kind : COCO_DELETE], 1); /* as sinks are told */
    COCO__ADD(counts->bytes, a->bytes);
}

COCO__IN void coco__counts_reset(coco_app *app)
{
    for (size_t i = 0; i < app->nfns; i++)
        for (int j = 0; j < COCO__NCOUNTS; j++) atomic_store_explicit(&app->counts[i].n[j], 0, memory_order_relaxed);
    pthread_mutex_lock(&app->env->mutex);
    for (coco__target_counts *c = app->targets; c; c = c->next)
        c->actions[COCO_INSERT] = c->actions[COCO_UPDATE] = c->actions[COCO_DELETE] = c->bytes = 0;
    pthread_mutex_unlock(&app->env->mutex);
}

static coco_status coco__stats_copy(coco_app *app, coco_stats *s)
{
    const coco__mem *m = &app->env->mem;
    size_t n = 0;

    for (coco__target_counts *c = app->targets; c; c = c->next) n++;
    s->fns = coco__zalloc(m, (app->nfns + 1) * sizeof *s->fns);
    s->targets = coco__zalloc(m, (n + 1) * sizeof *s->targets);
    if (!s->fns || !s->targets) return COCO_ENOMEM;
    for (size_t i = 0; i < app->nfns; i++) {
        const coco_fn *fn = coco__fn_at(i);
        coco_fn_stats *f = &s->fns[s->nfns];
        uint64_t *v = &f->starts, any = 0; /* its counts are in the order of COCO__STARTS … */
        for (int j = 0; j <= COCO__EXPECTED; j++) {
            v[j] = atomic_load_explicit(&app->counts[i].n[j], memory_order_relaxed);
            if (j < COCO__EXPECTED) any |= v[j];
        }
        if (app->counts[i].n[COCO__UNSIZED]) f->expected = 0;
        if (any && fn) f->name = fn->name, s->nfns++;
    }
    for (coco__target_counts *c = app->targets; c; c = c->next)
        s->targets[s->ntargets++] = (coco_target_stats){ c->title, c->actions[COCO_INSERT], c->actions[COCO_UPDATE],
                                                         c->actions[COCO_DELETE], c->bytes };
    return COCO_OK;
}

coco_status coco_stats_get(coco_app *app, coco_stats *stats)
{
    coco_status rc;

    memset(stats, 0, sizeof *stats);
    COCO_TRY(coco__fork_check(app->env, NULL));
    stats->app = app;
    COCO__LOCKED(&app->env->mutex, rc = coco__stats_copy(app, stats));
    if (rc != COCO_OK) coco_stats_free(stats);
    return rc;
}

void coco_stats_free(coco_stats *stats)
{
    if (!stats || !stats->app) return;
    coco__free(&stats->app->env->mem, stats->fns);
    coco__free(&stats->app->env->mem, stats->targets);
    memset(stats, 0, sizeof *stats);
}
