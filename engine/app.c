/* app.c - environments, apps, updates and drops.
 *
 * Floor: the engine's roof; only inspection, progress and the command line stand above. An update takes the
 * environment's writer lock, runs the root component and everything below it, works off what is gone, and leaves the
 * state as the next update expects it. */
#include "engine.h"

#include <sys/stat.h>
#include <unistd.h>

const char *coco_version(void);

COCO__IN coco_status coco__fork_check(const coco_env *env, coco_err *err)
{
    if (env->fork_gen == coco__fork_generation()) return COCO_OK;
    return coco_err_set(err, COCO_EFORK, "state directory %s was opened by the parent process: open it anew after fork",
                        env->dir);
}

/* ---- Environments ---- */

static const char *coco__or(const char *a, const char *b) { return a && *a ? a : b && *b ? b : NULL; }

static size_t coco__env_number(const char *name)
{
    const char *v = getenv(name);

    return v ? (size_t)strtoull(v, NULL, 10) : 0;
}

/* The configuration with copies of its strings, and environment variables where it says nothing. */
static coco_status coco__env_config_take(coco_env *env, const coco_env_config *config)
{
    const char *db, *slash;
    size_t n;

    env->config = *config;
    db = coco__or(config->db, coco__or(getenv("COCOINDEX_DB"), ".cocoindex"));
    n = strlen(db);
    while (n > 1 && db[n - 1] == '/') n--;
    env->dir = coco__arena_copy(&env->arena, db, n);
    if (!env->dir) return COCO_ENOMEM;
    slash = strrchr(env->dir, '/');
    env->name = coco__or(config->name, slash && slash[1] ? slash + 1 : env->dir);
    env->name = coco__arena_text(&env->arena, env->name);
    if (!env->config.map_size) env->config.map_size = coco__env_number("COCOINDEX_LMDB_MAP_SIZE");
    if (!env->config.log_level && getenv("COCOINDEX_LOG_LEVEL"))
        env->config.log_level = (coco_log_level)(coco__env_number("COCOINDEX_LOG_LEVEL") & 3);
    return env->name ? COCO_OK : COCO_ENOMEM;
}

static void coco__env_free(coco_env *env)
{
    coco__mem mem = env->mem;

    pthread_mutex_destroy(&env->mutex);
    pthread_mutex_destroy(&env->setup_mutex);
    pthread_rwlock_destroy(&env->map_lock);
    coco__arena_free(&env->arena);
    coco__free(&mem, env);
}

coco_status coco_env_open(const coco_env_config *config, coco_env **out, coco_err *err)
{
    static const coco_env_config none;
    coco_env *env;
    coco__mem mem;
    coco_status rc;

    *out = NULL;
    if (!config) config = &none;
    mem.gate = config->allocator;
    if (!(env = coco__zalloc(&mem, sizeof *env))) return coco__no_memory(err);
    env->mem = mem;
    coco__arena_init(&env->arena, &env->mem);
    pthread_mutex_init(&env->mutex, NULL);
    pthread_mutex_init(&env->setup_mutex, NULL);
    pthread_rwlock_init(&env->map_lock, NULL);
    env->lock_fd = -1;
    env->fork_gen = coco__fork_generation();
    rc = coco__env_config_take(env, config);
    if (rc != COCO_OK) coco__no_memory(err);
    else rc = coco__store_open(env, err);
    if (rc != COCO_OK) {
        coco__env_free(env);
        return rc;
    }
    *out = env;
    return COCO_OK;
}

void coco_env_close(coco_env *env)
{
    if (!env) return;
    assert(!env->apps);
    coco__context_close(&env->context);
    if (env->setup_state && env->config.teardown) env->config.teardown(env->config.user);
    coco__store_close(env);
    coco__env_free(env);
}

/* An environment's or an app's. */
typedef struct coco__setup_call {
    coco_status (*setup)(coco_ctx *cx, void *user);
    void (*teardown)(void *user);
    void *user;
    int *state;
} coco__setup_call;

/* Runs a setup function once; what it did before a failure is undone at once. */
static coco_status coco__setup(coco_ctx *cx, const coco__setup_call *s, coco_err *err)
{
    coco_status rc = COCO_OK;

    if (*s->state == 1) return COCO_OK;
    if (s->setup) rc = s->setup(cx, s->user);
    if (rc == COCO_OK) rc = cx->kept;
    *s->state = rc == COCO_OK ? 1 : s->teardown ? 0 : -1;
    if (rc == COCO_OK) return rc;
    coco_err_set(err, rc, "setup: %s", coco_error_message(cx));
    coco__context_close(cx->providing);
    if (s->teardown) s->teardown(s->user);
    return rc;
}

coco_status coco_env_setup(coco_env *env, coco_err *err)
{
    coco_ctx cx = { .env = env, .arena = &env->arena, .home = &env->arena, .providing = &env->context };
    coco__setup_call call = { env->config.setup, env->config.teardown, env->config.user, &env->setup_state };
    coco_status rc;

    COCO_TRY(coco__fork_check(env, err));
    pthread_mutex_lock(&env->setup_mutex); /* its apps may start at once */
    rc = coco__setup(&cx, &call, err);
    pthread_mutex_unlock(&env->setup_mutex);
    return rc;
}

/* ---- Apps ---- */

static coco_status coco__app_params(coco_app *app)
{
    const coco_param_def *def = app->config.params;
    size_t n = 0;

    while (def && def[n].name) n++;
    if (!(app->params = coco__zalloc(&app->env->mem, (n + 1) * sizeof(char *)))) return COCO_ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (!(app->params[i] = coco__strdup(&app->env->mem, def[i].def ? def[i].def : ""))) return COCO_ENOMEM;
    return COCO_OK;
}

static coco_status coco__app_link(coco_app *app, coco_err *err)
{
    coco_env *env = app->env;
    coco_status rc = COCO_OK;

    pthread_mutex_lock(&env->mutex);
    for (const coco_app *a = env->apps; a; a = a->next)
        if (strcmp(a->name, app->name) == 0) rc = coco_err_set(err, COCO_EDUP, "app %s is open already", app->name);
    if (rc == COCO_OK) {
        app->next = env->apps;
        env->apps = app;
    }
    pthread_mutex_unlock(&env->mutex);
    return rc;
}

static void coco__app_free(coco_app *app)
{
    const coco__mem *m = &app->env->mem;

    for (char **p = app->params; p && *p; p++) coco__free(m, *p);
    coco__free(m, app->params);
    coco__free(m, app->counts);
    for (coco__target_counts *c = app->targets, *next; c; c = next) {
        next = c->next;
        coco__free(m, c);
    }
    coco__arena_free(&app->arena);
    for (int i = 0; i < 2; i++)
        if (app->wake[i] >= 0) close(app->wake[i]);
    coco__free(m, app);
}

coco_status coco_app_open(coco_env *env, const coco_app_config *config, coco_app **out, coco_err *err)
{
    coco_app *app;
    coco_status rc;

    *out = NULL;
    COCO_TRY(coco__fork_check(env, err));
    if (!config->name || !*config->name || strlen(config->name) > 200 || !config->main)
        return coco_err_set(err, COCO_EINVAL, "an app needs a name of 1 to 200 bytes and a main function");
    COCO_TRY(coco__registry_check(err));
    if (!(app = coco__zalloc(&env->mem, sizeof *app))) return coco__no_memory(err);
    app->env = env;
    app->config = *config;
    app->wake[0] = app->wake[1] = -1;
    if (!app->config.max_inflight) app->config.max_inflight = coco__env_number("COCOINDEX_MAX_INFLIGHT_COMPONENTS");
    if (!app->config.max_inflight) app->config.max_inflight = COCO__ROUND;
    if (!app->config.max_inflight_bytes) app->config.max_inflight_bytes = (size_t)256 << 20;
    if (!app->config.threads) app->config.threads = (unsigned)coco__env_number("COCOINDEX_THREADS");
    coco__arena_init(&app->arena, &env->mem);
    app->nfns = coco__fn_count();
    app->name = coco__arena_text(&app->arena, config->name);
    app->counts = coco__zalloc(&env->mem, (app->nfns + 1) * sizeof *app->counts);
    rc = app->name && app->counts ? coco__app_params(app) : COCO_ENOMEM;
    if (rc != COCO_OK) coco__no_memory(err);
    else rc = coco__store_app(app, false, err);
    if (rc == COCO_OK) rc = coco__app_link(app, err);
    if (rc != COCO_OK) {
        coco__app_free(app);
        return rc;
    }
    *out = app;
    return COCO_OK;
}

void coco_app_close(coco_app *app)
{
    if (!app) return;
    coco_app **at = &app->env->apps;
    assert(!app->running);
    pthread_mutex_lock(&app->env->mutex);
    while (*at != app) at = &(*at)->next;
    *at = app->next;
    pthread_mutex_unlock(&app->env->mutex);
    coco__context_close(&app->context);
    if (app->setup_state && app->config.teardown) app->config.teardown(app->config.user);
    coco__app_free(app);
}

coco_env *coco_app_env(coco_app *app) { return app->env; }

coco_status coco_app_setup(coco_app *app, coco_err *err)
{
    coco_ctx cx = {
        .env = app->env, .app = app, .arena = &app->arena, .home = &app->arena, .providing = &app->context
    };
    coco__setup_call call = { app->config.setup, app->config.teardown, app->config.user, &app->setup_state };

    COCO_TRY(coco_env_setup(app->env, err));
    return coco__setup(&cx, &call, err);
}

/* Where its value is kept; NULL: there is no such parameter. */
static char **coco__app_param(coco_app *app, const char *name)
{
    const coco_param_def *def = app->config.params;

    for (size_t i = 0; def && def[i].name; i++)
        if (strcmp(def[i].name, name) == 0) return &app->params[i];
    return NULL;
}

coco_status coco_app_set_param(coco_app *app, const char *name, const char *value, coco_err *err)
{
    char **param = coco__app_param(app, name), *copy;

    COCO_TRY(coco__fork_check(app->env, err));
    if (!param) return coco_err_set(err, COCO_ENOTFOUND, "app %s has no parameter %s", app->name, name);
    if (!(copy = coco__strdup(&app->env->mem, value))) return coco__no_memory(err);
    coco__free(&app->env->mem, *param);
    *param = copy;
    return COCO_OK;
}

const char *coco_app_param(coco_app *app, const char *name)
{
    char **param = coco__app_param(app, name);

    return param ? *param : NULL;
}

/* ---- A run ---- */

/* Begins with empty tables and buffers, or frees them. */
static void coco__run_parts(coco__run *run, bool begin)
{
#define COCO__PART(name) offsetof(coco__run, name)
    static const uint16_t tables[] = {
        COCO__PART(names), COCO__PART(deps), COCO__PART(depsets), COCO__PART(depsets_by_id), COCO__PART(titles),
        COCO__PART(targets), COCO__PART(target_places), COCO__PART(memos), COCO__PART(moved), COCO__PART(moved_states),
        COCO__PART(claims), COCO__PART(in_flight), COCO__PART(tomb_places), COCO__PART(memory), COCO__PART(known),
        COCO__PART(keys),
    }, bufs[] = {
        COCO__PART(scratch), COCO__PART(record), COCO__PART(above), COCO__PART(lookup), COCO__PART(key),
        COCO__PART(args), COCO__PART(arg_bytes), COCO__PART(tomb_path),
    };

    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        coco__table *t = (void *)((char *)run + tables[i]);
        if (begin) coco__table_init(t, run->mem);
        else coco__table_free(t);
    }
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++) {
        coco__buf *b = (void *)((char *)run + bufs[i]);
        if (begin) coco__buf_init(b, run->mem);
        else coco__buf_free(b);
    }
    if (begin) coco__merge_init(&run->merge, run->mem);
    else coco__merge_free(&run->merge);
}

static coco_status coco__run_load(coco__run *run, coco_err *err)
{
    coco__txn t;
    coco_status rc;

    run->meta = (coco__meta){ 1, COCO__S_FIRST_PROVIDER, 1, 1, 1, 1 };
    if (run->app->has_dbi) {
        COCO_TRY(coco__read_begin(run->app, &run->reader, &t, err));
        rc = coco__meta_get(&t, &run->meta);
        if (rc == COCO_OK) rc = coco__names_load(run, &t);
        if (rc == COCO_OK) rc = coco__tombs_load(run, &t);
        coco__read_end(run->app, &t);
        COCO_TRY(rc);
    }
    run->meta_stored = run->meta;
    run->number = run->meta.next_run;
    return COCO_OK;
}

static coco_status coco__run_init(coco__run *run, coco_app *app, const coco_update_opts *opts, coco_err *err)
{
    memset(run, 0, sizeof *run);
    run->app = app;
    run->env = app->env;
    run->mem = &app->env->mem;
    if (opts) run->opts = *opts;
    run->preview = run->opts.preview;
    run->full = run->opts.full_reprocess;
    run->start_ms = coco__wall_ms();
    run->start_ns = coco__monotonic_ns();
    run->epoch = 1;
    run->open_last = &run->open;
    run->applied_last = &run->applied;
    run->failed_last = &run->failed;
    coco__arena_init(&run->arena, run->mem);
    coco__arena_init(&run->known_room, run->mem);
    run->passing = &run->arena;
    coco__run_parts(run, true);
    if (!(run->cx = coco__arena_zalloc(&run->arena, sizeof *run->cx)))
        return coco__no_memory(err);
    *run->cx = (coco_ctx){ .run = run, .env = app->env, .app = app, .arena = &run->arena, .home = &run->arena };
    if (run->opts.only && run->opts.live)
        return coco_err_set(err, COCO_EINVAL, "live mode follows everything: it can't be limited to %s",
                            run->opts.only);
    if (run->opts.only) {
        coco__buf b;
        coco__buf_init(&b, run->mem);
        coco_status rc = coco__path_parse(run->opts.only, &b, err);
        run->only = coco__buf_take(&b, &run->arena);
        if (rc == COCO_OK && !run->only.p) rc = coco__no_memory(err);
        COCO_TRY(rc);
    }
    return coco__run_load(run, err);
}

static void coco__run_free(coco__run *run)
{
    coco__memos_written(run);
    coco__maps_free(run);
    run->ending = true;
    while (run->spare) coco__comp_free(coco__comp_new(run));
    if (run->reader) mdb_txn_abort(run->reader);
    coco__run_parts(run, false);
    coco__arena_free(&run->known_room);
    coco__arena_free(&run->arena);
}

/* ---- The end of a run: memos nobody lists, totals, durability ---- */

static bool coco__sweeps(const coco__run *run)
{
    bool failed = run->nfailed || run->root_status != COCO_OK || run->guard;

    return !failed && !run->only.p && (run->ready || coco__stopped(run) == COCO_OK);
}

static coco_status coco__end_body(void *self, coco__txn *t) { return coco__tidy_write(self, t, coco__sweeps(self)); }

/* Memos left behind by a run that failed go with the next that succeeds, also if that one has nothing else to write. */
static bool coco__idle_memos(coco__run *run)
{
    coco__dbkey k;
    coco__txn t;

    if (!run->app->has_dbi || coco__run_read(run, &t) != COCO_OK) return false;
    coco__dbkey_raw(&k, COCO__MEMO_IDLE, NULL, 0);
    bool found = coco__first(&t, &k, NULL) == COCO_OK;
    coco__run_read_end(run, &t);
    return found;
}

static coco_status coco__run_end(coco__run *run)
{
    coco__writer w = { coco__end_body, coco__depsets_clean, run, true };
    bool ids = run->meta.next_int_id != run->meta_stored.next_int_id;
    bool idle = coco__sweeps(run) && coco__idle_memos(run);

    if (run->preview || run->fatal.code) return run->fatal.code;
    if ((run->wrote && coco__totals_differ(run)) || ids || idle) {
        run->wrote = true;
        return coco__write(run->app, &w, &run->fatal);
    }
    if (!run->unsynced) return COCO_OK;
    int rc = mdb_env_sync(run->env->mdb, 1); /* the last commit of an update is durable */
    return rc ? coco__mdb_error(&run->fatal, rc, run->env, "sync") : COCO_OK;
}

/* ---- Updating ---- */

typedef struct coco__result_memory {
    coco__arena arena;
    coco__mem mem; /* a result may be freed after its environment was closed */
} coco__result_memory;

static coco_status coco__result_fill(coco__run *run, coco_result *out)
{
    coco__result_memory *m;
    coco__arena *a;
    size_t i = 0;

    out->run = run->wrote ? run->number : 0;
    out->nfailed = run->nfailed;
    out->inserts = run->inserts;
    out->updates = run->updates;
    out->deletes = run->deletes;
    out->seconds = (double)(coco__monotonic_ns() - run->start_ns) / 1e9;
    out->saved_seconds = (double)run->saved_ns / 1e9;
    out->saved_units = run->saved_units;
    if (!(m = coco__zalloc(run->mem, sizeof *m))) return COCO_ENOMEM;
    m->mem = *run->mem;
    coco__arena_init(a = &m->arena, &m->mem);
    out->memory = m;
    out->failed = coco__arena_zalloc(a, (run->nfailed_paths + 1) * sizeof(char *));
    if (!out->failed) return COCO_ENOMEM;
    for (coco__failed_path *p = run->failed; p; p = p->next)
        if (!(out->failed[i++] = coco__arena_text(a, p->path))) return COCO_ENOMEM;
    out->nfailed_paths = i;
    return run->value.kind == COCO_OBJECT ? COCO_OK : coco__value_copy(a, run->value, &out->value);
}

void coco_result_free(coco_result *result)
{
    coco__result_memory *m = result ? result->memory : NULL;

    if (!m) return;
    const coco__mem mem = m->mem;
    coco__arena_free(&m->arena);
    coco__free(&mem, m);
    memset(result, 0, sizeof *result);
}

/* What the update returns: the gravest of what happened. */
static coco_status coco__verdict(coco__run *run, coco_err *err)
{
    coco_status root = run->root_status;

    if (run->fatal.code) {
        if (err) *err = run->fatal;
        return run->fatal.code;
    }
    if (run->guard && run->guard_err.code) return coco_err_set(err, COCO_EGUARD, "%s", run->guard_err.msg);
    if (coco__stopped(run) != COCO_OK && !run->ready && (root == COCO_ESTOP || root == COCO_OK))
        return coco_err_set(err, COCO_ESTOP, "stopped");
    if (run->guard) return coco_err_set(err, COCO_EGUARD, "%s", run->first.msg);
    if (root != COCO_OK)
        return coco_err_set(err, root, "%s", run->root_message ? run->root_message : coco_status_text(root));
    if (run->recheck_failed) return coco_err_set(err, COCO_ERECHECK, "%s", run->first.msg);
    if (run->only.p && !run->reached)
        return coco_err_set(err, COCO_ENOTFOUND, "%s: not reached: nobody mounts it", run->opts.only);
    if (run->nfailed)
        return coco_err_set(err, COCO_EFAIL, "%llu failed: %s", (unsigned long long)run->nfailed, run->first.msg);
    return COCO_OK;
}

/* What can't go on otherwise. */
static coco_status coco__run_fatal(coco__run *run, coco_status rc)
{
    if (rc == COCO_OK || run->fatal.code) return rc;
    bool told = run->cx_err.code != rc && run->cx->said == rc;
    return coco_err_set(&run->fatal, rc, "%s", told ? coco_error_message(run->cx) : coco__said(run, rc));
}

/* Tells each sink that the run is over, or (live) that all initial states are there: `rc` is what came of it, and what
 * comes of all is returned. */
static coco_status coco__sinks_finish(coco__run *run, coco_status rc, coco_err *err)
{
    bool whole = rc == COCO_OK && !run->preview && !run->only.p;
    unsigned *told, times = run->live ? 1 : 2;

    for (const coco_target *t = run->known_targets; t; t = t->next) {
        const coco_sink *sink = t->handler.sink;
        coco_err e = { 0 };
        if (!sink || !sink->finish || (t->parent && t->parent->handler.sink == sink)) continue;
        if ((told = coco_run_memory(run->cx, &sink->finish, sizeof *told)) == NULL) rc = COCO_ENOMEM, whole = false;
        if (told && *told >= times) continue;
        if (told) *told = times;
        coco_status one = sink->finish(sink->self, whole, &e);
        if (one != COCO_OK && rc == COCO_OK) rc = coco_err_set(err, one, "%s", e.msg);
    }
    return rc;
}

/* Live: what was found at the start is in the targets. */
static coco_status coco__at_ready(coco__run *run)
{
    coco_err err = { 0 };
    coco_failure f = { .path = "/", .function = "", .kind = COCO_MOUNT_ROOT, .message = err.msg };
    bool failed = run->nfailed || run->guard;

    f.code = coco__sinks_finish(run, failed ? COCO_EFAIL : COCO_OK, &err);
    if (f.code != COCO_OK && !failed) coco__fail_path(run, &f, NULL);
    if (run->unsynced && mdb_env_sync(run->env->mdb, 1) == 0) run->unsynced = false;
    run->ready = true;
    coco__emit(run, COCO_EV_READY, NULL, NULL);
    return coco__live_follow(run, false);
}

/* What is followed: until it is ready, or in live mode until a stop. */
static coco_status coco__follow(coco__run *run)
{
    COCO_TRY(coco__live_follow(run, true));
    return run->opts.live && run->live->ready && !run->fatal.code ? coco__at_ready(run) : COCO_OK;
}

/* Something that is done in a run of its own. */
typedef struct coco__errand {
    coco_status (*body)(coco__run *run, const struct coco__errand *e, coco_err *err);
    const coco_update_opts *opts; /* NULL: none */
    coco_result *result;          /* NULL: not wanted */
    const char *target;           /* to be forgotten */
} coco__errand;

static coco_status coco__update_run(coco__run *run, const coco__errand *e, coco_err *err)
{
    coco_status rc = coco__pool_begin(run, run->app->config.threads, coco__comp_task);

    (void)e;
    if (rc == COCO_OK && run->opts.live && !run->preview) rc = coco__live_new(run);
    if (rc == COCO_OK) rc = coco__run_root(run);
    if (rc == COCO_OK) rc = coco__drain(run);
    if (rc == COCO_OK && run->preview) rc = coco__apply_deferred(run, true);
    if (rc == COCO_OK && run->root_status == COCO_OK && coco__stopped(run) == COCO_OK && !run->fatal.code)
        rc = coco__tombs_work(run);
    rc = coco__run_fatal(run, rc);
    if (run->deferred || run->fatal.code) rc = coco__last_tries(run);
    if (rc == COCO_OK && !run->fatal.code && run->moves) rc = coco__moves_check(run);
    if (rc == COCO_OK && run->live && !run->fatal.code && run->root_status == COCO_OK) rc = coco__follow(run);
    coco__run_fatal(run, rc);
    if (run->deferred || run->fatal.code) coco__apply_deferred(run, true);
    coco__live_end(run);
    coco__run_end(run);
    rc = coco__sinks_finish(run, coco__verdict(run, err), err);
    coco__pool_end(run);
    return rc;
}

/* One update or drop of an app at a time, one updating process of an environment. */
static coco_status coco__begin(coco_app *app, coco_err *err)
{
    COCO_TRY(coco__fork_check(app->env, err));
    if (atomic_exchange(&app->running, 1))
        return coco_err_set(err, COCO_EBUSY, "app %s is being updated already", app->name);
    coco_status rc = app->env->config.read_only
                         ? coco_err_set(err, COCO_EACCESS, "state directory %s is open for reading only", app->env->dir)
                         : coco__store_lock(app->env, err);
    if (rc == COCO_OK) {
        rc = coco__registry_check(err);
        if (rc == COCO_OK) rc = coco_app_setup(app, err);
        if (rc == COCO_OK) rc = coco__store_app(app, false, err);
        if (rc != COCO_OK) coco__store_unlock(app->env);
    }
    if (rc != COCO_OK) app->running = 0;
    return rc;
}

static coco_status coco__errand_run(coco_app *app, const coco__errand *e, coco_err *err)
{
    coco__run run;
    coco_status rc;

    if (e->result) memset(e->result, 0, sizeof *e->result);
    COCO_TRY(coco__begin(app, err));
    if (!e->target) coco__counts_reset(app);
    rc = coco__run_init(&run, app, e->opts, err);
    if (rc == COCO_OK) {
        rc = e->body(&run, e, err);
        if (e->result && coco__result_fill(&run, e->result) != COCO_OK && rc == COCO_OK)
            rc = coco__no_memory(err);
    }
    coco__run_free(&run);
    coco__store_unlock(app->env);
    app->stop = 0;
    app->running = 0;
    return rc;
}

coco_status coco_update(coco_app *app, const coco_update_opts *opts, coco_result *result, coco_err *err)
{
    return coco__errand_run(app, &(coco__errand){ .body = coco__update_run, .opts = opts, .result = result }, err);
}

/* ---- An update on a thread of its own ---- */

struct coco_running {
    coco_app *app;
    coco_update_opts opts;
    coco_result result;
    coco_err err;
    coco_status rc;
    pthread_t thread;
    _Atomic int done;
};

static void *coco__running_thread(void *self)
{
    coco_running *u = self;

    u->rc = coco_update(u->app, &u->opts, &u->result, &u->err);
    if (u->opts.live) u->app->nstarted--;
    atomic_store(&u->done, 1);
    return NULL;
}

static void coco__running_free(coco_running *u)
{
    const coco__mem *mem = &u->app->env->mem;

    coco__free(mem, (char *)(uintptr_t)u->opts.only);
    coco__free(mem, u);
}

coco_status coco_update_start(coco_app *app, const coco_update_opts *opts, coco_running **update, coco_err *err)
{
    const coco__mem *mem = &app->env->mem;
    coco_running *u;
    int rc;

    *update = NULL;
    COCO_TRY(coco__fork_check(app->env, err));
    if (!(u = coco__zalloc(mem, sizeof *u))) return coco__no_memory(err);
    u->app = app;
    if (opts) u->opts = *opts;
    if (opts && opts->only && !(u->opts.only = coco__strdup(mem, opts->only))) {
        coco__running_free(u);
        return coco__no_memory(err);
    }
    if (u->opts.live) app->nstarted++; /* coco_sync waits for it */
    if ((rc = pthread_create(&u->thread, NULL, coco__running_thread, u)) != 0) {
        if (u->opts.live) app->nstarted--;
        coco__running_free(u);
        return coco_err_set(err, COCO_EFAIL, "no thread for the update: %s", strerror(rc));
    }
    *update = u;
    return COCO_OK;
}

bool coco_update_done(coco_running *update) { return atomic_load(&update->done) != 0; }

coco_status coco_update_wait(coco_running *update, coco_result *result, coco_err *err)
{
    coco_status rc;

    pthread_join(update->thread, NULL);
    rc = update->rc;
    if (err && rc != COCO_OK) *err = update->err;
    if (result) *result = update->result;
    else coco_result_free(&update->result);
    coco__running_free(update);
    return rc;
}

/* ---- Dropping ---- */

static coco_status coco__drop_state(coco__run *run, coco_err *err)
{
    coco_app *app = run->app;
    MDB_txn *txn;
    int rc;

    if (run->reader) mdb_txn_abort(run->reader);
    run->reader = NULL;
    mdb_env_set_flags(app->env->mdb, MDB_NOMETASYNC, 0);
    rc = mdb_txn_begin(app->env->mdb, NULL, 0, &txn);
    if (rc == 0) {
        coco__dbi_lock();
        if ((rc = mdb_drop(txn, app->dbi, 1)) != 0) mdb_txn_abort(txn);
        else rc = mdb_txn_commit(txn);
        coco__dbi_unlock();
    }
    if (rc) return coco__mdb_error(err, rc, app->env, "drop");
    app->has_dbi = false;
    return COCO_OK;
}

static coco_status coco__drop_run(coco__run *run, const coco__errand *e, coco_err *err)
{
    (void)e;
    if (!run->app->has_dbi) return COCO_OK;
    run->dropping = true;
    coco_status rc = coco__run_fatal(run, coco__remove_all(run));
    if (run->deferred || run->fatal.code) rc = coco__apply_deferred(run, true);
    coco__run_fatal(run, rc);
    rc = coco__sinks_finish(run, coco__verdict(run, err), err);
    if (rc == COCO_OK) return coco__drop_state(run, err);
    if (!run->fatal.code) coco__run_end(run);
    return rc;
}

coco_status coco_drop(coco_app *app, coco_result *result, coco_err *err)
{
    return coco__errand_run(app, &(coco__errand){ .body = coco__drop_run, .result = result }, err);
}

static coco_status coco__forget_run(coco__run *run, const coco__errand *e, coco_err *err)
{
    if (!run->app->has_dbi) return coco_err_set(err, COCO_ENOTFOUND, "app %s has no state", run->app->name);
    run->dropping = true;
    COCO_TRY(coco__forget_target(run, e->target, err));
    coco__run_end(run);
    return coco__verdict(run, err);
}

coco_status coco_forget(coco_app *app, const char *target, coco_err *err)
{
    return coco__errand_run(app, &(coco__errand){ .body = coco__forget_run, .target = target }, err);
}
