/* cli.c - coco_main: a program's command line.
 *
 * `update` and `drop` run here; `ls` and `show` are in cli_show.c. Results go to standard output; failures, notices
 * and questions to standard error. While an update runs, what it prints comes from the engine's events and failure
 * handler, on whatever thread decides: one lock orders it.
 *
 * Signals. The first SIGINT or SIGTERM asks a running update to stop, which finishes what is in flight; the second,
 * and the first when nothing runs, ends the process at once, which is as safe as a crash. Calls cocoindex.h and the
 * files above. */
#include "cli.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define COCO__CLI_FAILED_PATHS 20

/* An app of the program, opened, and what an update of it prints. */
typedef struct coco__cli_run {
    const coco__cli *c;            /* the command line */
    const coco_app_config *config; /* as the program gave it */
    coco_env *env;
    coco_app *app;
    coco__progress progress;
    pthread_mutex_t lock;   /* of all that is printed */
    bool root_told;         /* the failure of main itself has been printed */
    bool guard;             /* a failure was the guard's */
} coco__cli_run;

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

/* What the handler needs: the app whose update runs, or NULL; whether it has been asked to stop. */
static coco_app *_Atomic coco__cli_running;
static volatile sig_atomic_t coco__cli_stopping;
static volatile sig_atomic_t coco__cli_on_terminal; /* ^C stands in the line: begin another */

/* Only what POSIX allows in a handler: write, _exit, and coco_app_stop, which is made for it. */
static void coco__cli_on_signal(int signo)
{
    coco_app *app = atomic_load(&coco__cli_running);
    int saved = errno;
    ssize_t ignored;

    (void)signo;
    if (app == NULL || coco__cli_stopping) _exit(COCO__EXIT_STOPPED);
    coco__cli_stopping = 1;
    coco_app_stop(app);
    ignored = coco__cli_on_terminal ? write(2, "\nStopping\n", 10) : write(2, "Stopping\n", 9);
    (void)ignored;
    errno = saved;
}

typedef struct coco__cli_signals { /* the handlers to put back */
    struct sigaction interrupt, terminate;
} coco__cli_signals;

/* Statics are set anew: a program may call coco_main more than once. */
static void coco__cli_catch(coco__cli_signals *before)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = coco__cli_on_signal;
    sigemptyset(&action.sa_mask);
    atomic_store(&coco__cli_running, NULL);
    coco__cli_stopping = 0;
    coco__cli_on_terminal = isatty(2);
    sigaction(SIGINT, &action, &before->interrupt);
    sigaction(SIGTERM, &action, &before->terminate);
}

static void coco__cli_release(const coco__cli_signals *before)
{
    sigaction(SIGINT, &before->interrupt, NULL);
    sigaction(SIGTERM, &before->terminate, NULL);
}

/* ---- What is printed while an update runs ------------------------------------------------------------------------ */

/* Takes the lock and the progress lines away; what follows is a line of its own. */
static void coco__cli_say(coco__cli_run *run)
{
    pthread_mutex_lock(&run->lock);
    if (coco__cli_stopping == 1) { /* "Stopping" stands below the lines: leave both */
        coco__progress_leave(&run->progress);
        coco__cli_stopping = 2;
    }
    coco__progress_hide(&run->progress);
}

static void coco__cli_said(coco__cli_run *run)
{
    fflush(stdout);
    pthread_mutex_unlock(&run->lock);
}

/* A message of the engine may begin with the path, and name the function: neither is then repeated. */
static void coco__cli_print_failure(const coco_failure *f)
{
    size_t n = strlen(f->path);
    const char *function = strstr(f->message, f->function);
    bool has_path = strncmp(f->message, f->path, n) == 0 && (f->message[n] == ':' || f->message[n] == ' ');
    bool has_function = f->function[0] == '\0' || (function != NULL && function[strlen(f->function)] == ':');

    if (!has_path) fprintf(stderr, "%s: ", f->path);
    if (!has_function) fprintf(stderr, "%s: ", f->function);
    fprintf(stderr, "%s\n", f->message);
}

/* Told as it happens, so that a long update doesn't keep its failures to itself. */
static bool coco__cli_on_failure(void *user, const coco_failure *f)
{
    coco__cli_run *run = user;

    coco__cli_say(run);
    if (f->kind == COCO_MOUNT_ROOT) run->root_told = true;
    if (f->code == COCO_EGUARD) run->guard = true;
    coco__cli_print_failure(f);
    if (run->c->json) {
        printf("{\"type\":\"failure\"");
        coco__cli_field(run->c, "path", f->path);
        coco__cli_field(run->c, "function", f->function);
        coco__cli_field(run->c, "error", coco_status_name(f->code));
        coco__cli_field(run->c, "message", f->message);
        printf("}\n");
    }
    coco__cli_said(run);
    return true;
}

static void coco__cli_on_log(void *user, coco_log_level level, const char *message)
{
    static const char *const LEVELS[] = { "error", "warning", "info", "debug" };
    coco__cli_run *run = user;

    coco__cli_say(run);
    fprintf(stderr, "%s: %s\n", LEVELS[level], message);
    coco__cli_said(run);
}

/* --explain: a component runs. */
static void coco__cli_explain(const coco__cli *c, const coco_event *e)
{
    if (!c->json) {
        printf("%s: ran: %s\n", e->path, e->detail);
        return;
    }
    printf("{\"type\":\"ran\"");
    coco__cli_field(c, "path", e->path);
    coco__cli_field(c, "function", e->function);
    coco__cli_field(c, "reason", e->detail);
    printf("}\n");
}

/* --preview: a target state would be written or deleted. */
static void coco__cli_preview(const coco__cli *c, const coco_event *e)
{
    static const char SIGNS[] = { '+', '~', '-' };
    static const char *const WORDS[] = { "insert", "update", "delete" };

    if (!c->json) {
        printf("%c %s%s%s%s\n", SIGNS[e->action], e->state, e->detail[0] != '\0' ? "  " : "", e->detail,
               e->container ? "  (container)" : "");
        return;
    }
    printf("{\"type\":\"action\",\"action\":\"%s\"", WORDS[e->action]);
    coco__cli_field(c, "state", e->state);
    coco__cli_field(c, "path", e->path);
    coco__cli_field(c, "text", e->detail);
    printf(",\"container\":%s}\n", e->container ? "true" : "false");
}

/* Most events print nothing and are only a chance to draw. One that comes while another thread prints draws nothing. */
static void coco__cli_on_event(void *user, const coco_event *e)
{
    coco__cli_run *run = user;
    const coco__cli *c = run->c;
    bool explained = e->kind == COCO_EV_STARTED && c->explain, previewed = e->kind == COCO_EV_APPLIED && c->preview;
    bool notice = e->kind == COCO_EV_NOTICE && !c->quiet;

    if (explained || previewed || notice) {
        coco__cli_say(run);
        if (explained) coco__cli_explain(c, e);
        if (previewed) coco__cli_preview(c, e);
        if (notice) fprintf(stderr, "notice: %s\n", e->detail);
        coco__cli_said(run);
    }
    if (pthread_mutex_trylock(&run->lock) != 0) return;
    if (coco__cli_stopping != 1) coco__progress_tick(&run->progress);
    pthread_mutex_unlock(&run->lock);
}

/* ---- The end of an update ---------------------------------------------------------------------------------------- */

static const char *coco__cli_plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

/* The i-th "NAME":{"WORD":count, …} of an object. */
static void coco__cli_counts(const coco__cli *c, size_t i, const char *name, const char *const *words,
                             const uint64_t *n)
{
    if (i > 0) putchar(',');
    coco__cli_put_json(c, name);
    for (size_t k = 0; words[k] != NULL; k++)
        printf("%s\"%s\":%llu", k == 0 ? ":{" : ",", words[k], (unsigned long long)n[k]);
    putchar('}');
}

/* {"type":"summary", …}: the last line of --json. */
static void coco__cli_json_summary(const coco__cli_run *run, const coco_result *r)
{
    static const char *const FUNCTION[] = { "added", "reprocessed", "unchanged", "deleted", "errors", "memo_hits",
                                            "memo_misses", NULL };
    static const char *const TARGET[] = { "insert", "update", "delete", NULL };
    coco_stats s;

    if (coco_stats_get(run->app, &s) != 0) memset(&s, 0, sizeof s);
    printf("{\"type\":\"summary\"");
    coco__cli_field(run->c, "app", run->config->name);
    printf(",\"seconds\":%.6f,\"functions\":{", r->seconds);
    for (size_t i = 0; i < s.nfns; i++) {
        const coco_fn_stats *f = &s.fns[i];
        const uint64_t counts[] = { f->added, f->reprocessed, f->unchanged, f->deleted, f->errors, f->memo_hits,
                                    f->memo_misses };

        coco__cli_counts(run->c, i, f->name, FUNCTION, counts);
    }
    printf("},\"targets\":{");
    for (size_t i = 0; i < s.ntargets; i++) {
        const coco_target_stats *t = &s.targets[i];
        const uint64_t counts[] = { t->inserts, t->updates, t->deletes };

        coco__cli_counts(run->c, i, t->title, TARGET, counts);
    }
    printf("},\"failed\":[");
    for (size_t i = 0; i < r->nfailed_paths; i++) {
        if (i > 0) putchar(',');
        coco__cli_put_json(run->c, r->failed[i]);
    }
    printf("]}\n");
    coco_stats_free(&s);
}

/* The messages came when they happened; here is the list to work through. */
static void coco__cli_failed_paths(const coco_result *r)
{
    size_t shown = r->nfailed_paths < COCO__CLI_FAILED_PATHS ? r->nfailed_paths : COCO__CLI_FAILED_PATHS;

    if (r->nfailed == 0) return;
    fprintf(stderr, "%llu failed:\n", (unsigned long long)r->nfailed);
    for (size_t i = 0; i < shown; i++) fprintf(stderr, "  %s\n", r->failed[i]);
    if (r->nfailed > shown) fprintf(stderr, "  and %llu more\n", (unsigned long long)(r->nfailed - shown));
}

/* What was done, and what the memo hits had cost when they ran. */
static void coco__cli_text_summary(const coco__cli_run *run, const coco_result *r, coco_status rc)
{
    const char *end = rc == COCO_ESTOP ? ", stopped" : rc != 0 ? ", not complete" : "";
    unsigned long long inserts = r->inserts, updates = r->updates, deletes = r->deletes;

    if (run->c->preview) {
        printf("%llu to add, %llu to change, %llu to remove\n", inserts, updates, deletes);
        return;
    }
    printf("%s: %llu inserted, %llu updated, %llu deleted in %.2f s%s", run->config->name, inserts, updates, deletes,
           r->seconds, end);
    if (r->saved_seconds >= 0.005 || r->saved_units > 0) printf("; memos saved %.2f s", r->saved_seconds);
    if (r->saved_units > 0) printf(" and %g units", r->saved_units);
    putchar('\n');
}

/* The exit status of what coco_update or coco_drop returned. */
static int coco__cli_status(const coco__cli_run *run, coco_status rc)
{
    if (rc == COCO_EGUARD || run->guard) return COCO__EXIT_GUARD;
    if (rc == 0) return 0;
    if (rc == COCO_ESTOP) return COCO__EXIT_STOPPED;
    if (rc == COCO_EPARSE) return COCO__EXIT_USAGE; /* the path of --only */
    return rc == COCO_EBUSY || rc == COCO_EVERSION ? COCO__EXIT_OPEN : COCO__EXIT_FAILED;
}

/* The error itself, unless it only counts the failures that were told. */
static void coco__cli_tell_error(const coco__cli_run *run, coco_status rc, const coco_result *r, const coco_err *err)
{
    if (rc == 0 || rc == COCO_ESTOP || (rc == COCO_EFAIL && r->nfailed > 0) || run->root_told) return;
    coco__cli_error(run->c, 0, err);
    if (rc == COCO_EGUARD) fprintf(stderr, "%s: --allow-delete lets it pass once\n", run->c->program);
}

/* The order on the screen: what went wrong, then the one line that sums up. */
static int coco__cli_report(coco__cli_run *run, coco_status rc, const coco_result *r, const coco_err *err)
{
    const coco__cli *c = run->c;

    coco__cli_tell_error(run, rc, r, err);
    if (!c->quiet) coco__cli_failed_paths(r);
    if (c->json) coco__cli_json_summary(run, r);
    else if (!c->quiet) coco__cli_text_summary(run, r, rc);
    fflush(stdout);
    return coco__cli_status(run, rc);
}

/* ---- Opening and closing ----------------------------------------------------------------------------------------- */

/* NULL-safe: also for a run that was opened by half. */
static void coco__cli_close_run(coco__cli_run *run)
{
    coco_app_close(run->app);
    coco_env_close(run->env);
    pthread_mutex_destroy(&run->lock);
}

/* Any app's parameter passes the parser; here it must be this app's. */
static int coco__cli_set_params(const coco__cli_run *run)
{
    const coco__cli *c = run->c;

    for (int i = 0; i < c->nparams; i++) {
        coco_err err = { 0 };
        coco_status rc = coco_app_set_param(run->app, c->params[i].name, c->params[i].value, &err);

        if (rc == COCO_ENOTFOUND)
            return coco__cli_usage(c, "app %s has no parameter %s", run->config->name, c->params[i].name);
        if (rc != 0) return coco__cli_error(c, COCO__EXIT_FAILED, &err);
    }
    return 0;
}

/* Opens the environment and the app at `index`, with its parameters, and runs its setup. On failure all is closed. */
static int coco__cli_open_run(const coco__cli *c, int index, coco__cli_run *run)
{
    coco_env_config env = { .on_failure = coco__cli_on_failure, .on_log = coco__cli_on_log, .user = run };
    coco_app_config app = c->apps[index];
    coco_err err = { 0 };
    int status;

    memset(run, 0, sizeof *run);
    run->c = c;
    run->config = &c->apps[index];
    pthread_mutex_init(&run->lock, NULL);
    if (c->explain || c->preview || (!c->quiet && !c->json)) env.on_event = coco__cli_on_event;
    if (c->threads > 0) app.threads = c->threads;
    if (c->max_inflight > 0) app.max_inflight = c->max_inflight;
    if (coco__cli_open(c, app.env, &env, &run->env, &err) != 0 || coco_app_open(run->env, &app, &run->app, &err) != 0) {
        status = coco__cli_error(c, COCO__EXIT_OPEN, &err);
    } else {
        status = coco__cli_set_params(run);
        if (status == 0 && coco_app_setup(run->app, &err) != 0) status = coco__cli_error(c, COCO__EXIT_OPEN, &err);
    }
    if (status != 0) coco__cli_close_run(run);
    return status;
}

/* The app that the words of `update [APP]` or `drop [APP]` name. */
static int coco__cli_only_app(const coco__cli *c, int *index)
{
    if (c->nwords > 1) return coco__cli_usage(c, "%s takes one app, not also %s", c->command->name, c->words[1]);
    return coco__cli_select(c, c->nwords > 0 ? c->words[0] : NULL, index);
}

/* ---- drop -------------------------------------------------------------------------------------------------------- */

/* Anything but "yes" means no, also the end of an input that isn't a terminal. */
static bool coco__cli_confirm(const coco__cli *c, const char *what, const char *name)
{
    char line[16] = "";

    if (c->force) return true;
    fprintf(stderr, "%s %s? Type \"yes\": ", what, name);
    fflush(stderr);
    if (fgets(line, sizeof line, stdin) == NULL) line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    if (strcmp(line, "yes") == 0) return true;
    fprintf(stderr, "%snothing done\n", line[0] == '\0' ? "\n" : "");
    return false;
}

typedef struct coco__cli_recorded { /* has the app run? */
    const char *app;
    bool yes;
} coco__cli_recorded;

static coco_status coco__cli_see_app(void *user, const char *app, bool has_run)
{
    coco__cli_recorded *r = user;

    if (strcmp(app, r->app) == 0) r->yes = has_run;
    return 0;
}

/* Whether there is anything to drop. Looks without creating the database. 0, or an exit status. */
static int coco__cli_has_run(const coco__cli *c, const coco_app_config *app, bool *yes)
{
    coco__cli_recorded recorded = { .app = app->name };
    coco_env_config config = { .read_only = true };
    coco_env *env;
    coco_err err = { 0 };
    coco_status rc = coco__cli_open(c, app->env, &config, &env, &err);

    if (rc == 0) rc = coco_inspect_apps(env, coco__cli_see_app, &recorded, &err);
    coco_env_close(env);
    *yes = recorded.yes;
    return rc == 0 || rc == COCO_ENOTFOUND ? 0 : coco__cli_error(c, COCO__EXIT_OPEN, &err);
}

/* With --json it is the first half of `update --reset`, whose last line is the summary: nothing is printed. */
static int coco__cli_drop_app(coco__cli_run *run)
{
    coco_result r;
    coco_err err = { 0 };
    coco_status rc;

    memset(&r, 0, sizeof r);
    run->root_told = run->guard = false;
    atomic_store(&coco__cli_running, run->app);
    rc = coco_drop(run->app, &r, &err);
    atomic_store(&coco__cli_running, NULL);
    coco__cli_tell_error(run, rc, &r, &err);
    if (!run->c->quiet) coco__cli_failed_paths(&r);
    if (rc == 0 && !run->c->quiet && !run->c->json)
        printf("%s: dropped, %llu target state%s deleted\n", run->config->name, (unsigned long long)r.deletes,
               coco__cli_plural(r.deletes));
    coco_result_free(&r);
    return coco__cli_status(run, rc);
}

static int coco__cli_forget_target(const coco__cli_run *run)
{
    const coco__cli *c = run->c;
    coco_err err = { 0 };
    coco_status rc = coco_forget(run->app, c->forget, &err);

    if (rc == COCO_ENOTFOUND) return coco__cli_error(c, COCO__EXIT_USAGE, &err);
    if (rc != 0) {
        coco__cli_error(c, 0, &err);
        return coco__cli_status(run, rc);
    }
    if (!c->quiet) printf("%s: %s forgotten\n", run->config->name, c->forget);
    return 0;
}

/* Asks before anything is opened for writing: who says no has changed nothing. */
static int coco__cli_drop(coco__cli *c)
{
    coco__cli_run run;
    int index = 0, status;
    bool yes;

    COCO_TRY(coco__cli_only_app(c, &index));
    COCO_TRY(coco__cli_has_run(c, &c->apps[index], &yes));
    if (!yes) {
        if (!c->quiet) printf("%s: nothing to drop\n", c->apps[index].name);
        return 0;
    }
    if (c->forget != NULL) yes = coco__cli_confirm(c, "Forget, without touching it, the target", c->forget);
    else yes = coco__cli_confirm(c, "Delete every target state, and the state, of app", c->apps[index].name);
    if (!yes) return COCO__EXIT_FAILED;
    COCO_TRY(coco__cli_open_run(c, index, &run));
    status = c->forget != NULL ? coco__cli_forget_target(&run) : coco__cli_drop_app(&run);
    coco__cli_close_run(&run);
    return status;
}

/* ---- update ------------------------------------------------------------------------------------------------------ */

/* Between the two stores a signal stops the update; outside it ends the process. */
static int coco__cli_update_app(coco__cli_run *run)
{
    const coco__cli *c = run->c;
    coco_update_opts opts = { .full_reprocess = c->full_reprocess, .preview = c->preview, .only = c->only,
                              .allow_delete = c->allow_delete, .recheck = c->recheck };
    coco_result r;
    coco_err err = { 0 };
    coco_status rc;
    int status;

    memset(&r, 0, sizeof r);
    run->root_told = run->guard = false;
    coco__progress_begin(&run->progress, run->app, c->quiet || c->json || c->preview ? NULL : stdout);
    atomic_store(&coco__cli_running, run->app);
    rc = coco_update(run->app, &opts, &r, &err);
    atomic_store(&coco__cli_running, NULL);
    coco__cli_say(run);
    coco__progress_end(&run->progress);
    coco__cli_said(run);
    status = coco__cli_report(run, rc, &r, &err);
    coco_result_free(&r);
    return status;
}

static int coco__cli_update(coco__cli *c)
{
    coco__cli_run run;
    int index = 0, status = 0;
    bool drop = false;

    if (c->live) return coco__cli_usage(c, "live mode is not part of this build");
    if (c->reset && c->preview) return coco__cli_usage(c, "--reset and --preview exclude each other");
    COCO_TRY(coco__cli_only_app(c, &index));
    if (c->reset) COCO_TRY(coco__cli_has_run(c, &c->apps[index], &drop));
    if (drop && !coco__cli_confirm(c, "First delete every target state, and the state, of app", c->apps[index].name))
        return COCO__EXIT_FAILED;
    COCO_TRY(coco__cli_open_run(c, index, &run));
    if (drop) status = coco__cli_drop_app(&run);
    if (status == 0) status = coco__cli_update_app(&run);
    coco__cli_close_run(&run);
    return status;
}

/* ---- The app's own commands -------------------------------------------------------------------------------------- */

/* NULL where the app has no command of that name. */
static const coco_command *coco__cli_own_of(const coco_app_config *app, const char *name)
{
    for (const coco_command *k = app->commands; k != NULL && k->name != NULL; k++)
        if (strcmp(k->name, name) == 0) return k;
    return NULL;
}

/* The app whose command it is. Where several have one of that name, the first word says which, and is taken away. */
static int coco__cli_own_app(coco__cli *c, int *index)
{
    const coco_command *own;
    int have = 0;

    *index = 0;
    for (int i = 0; i < c->napps; i++) {
        if (coco__cli_own_of(&c->apps[i], c->own->name) == NULL) continue;
        *index = i;
        have++;
    }
    if (have == 1) return 0;
    COCO_TRY(coco__cli_select(c, c->nwords > 0 ? c->words[0] : NULL, index));
    own = coco__cli_own_of(&c->apps[*index], c->own->name);
    if (own == NULL) return coco__cli_usage(c, "app %s has no command %s", c->apps[*index].name, c->own->name);
    c->own = own;
    c->words++;
    c->nwords--;
    return 0;
}

/* The app is opened and set up, so that the command finds its context values; nothing is locked, and no update is
 * known to the signal handler: a signal ends the process, unless the command has handlers of its own. */
static int coco__cli_own(coco__cli *c)
{
    coco__cli_run run;
    int index = 0, status;

    COCO_TRY(coco__cli_own_app(c, &index));
    COCO_TRY(coco__cli_open_run(c, index, &run));
    status = c->own->run(run.app, c->nwords, c->words);
    fflush(stdout);
    coco__cli_close_run(&run);
    return status;
}

/* ---- The commands ------------------------------------------------------------------------------------------------ */

static const coco__cli_command COCO__CLI_COMMANDS[] = {
    { "update", COCO__CLI_UPDATE, "[APP] [options]", "bring the targets in step with the sources", coco__cli_update },
    { "drop", COCO__CLI_DROP, "[APP] [options]", "delete all that the app made, and its state", coco__cli_drop },
    { "ls", COCO__CLI_LS, "[options]", "list the apps of this program and of the database", coco__cli_ls },
    { "show", COCO__CLI_SHOW, "[APP] [PATH] [options]", "list the components at PATH and below", coco__cli_show },
    { NULL, 0, NULL, NULL, NULL },
};

/* Finds the command called `name`. 0, or 2. */
static int coco__cli_find_command(coco__cli *c, const char *name)
{
    coco__cli_nearest near = { .word = name };

    for (const coco__cli_command *k = c->commands; k->name != NULL; k++) {
        coco__cli_consider(&near, k->name);
        if (strcmp(k->name, name) != 0) continue;
        c->command = k;
        return 0;
    }
    for (int i = 0; i < c->napps && c->own == NULL; i++) {
        c->own = coco__cli_own_of(&c->apps[i], name);
        for (const coco_command *k = c->apps[i].commands; k != NULL && k->name != NULL; k++)
            coco__cli_consider(&near, k->name);
    }
    if (c->own != NULL) return 0;
    if (near.best != NULL) return coco__cli_usage(c, "unknown command %s: did you mean %s?", name, near.best);
    return coco__cli_usage(c, "unknown command %s: %s --help lists them", name, c->program);
}

/* The .env file is read after the options, which may name it, and before anything looks at the environment. */
static int coco__cli_run_command(coco__cli *c, int argc, char **argv)
{
    COCO_TRY(coco__cli_find_command(c, argv[1]));
    COCO_TRY(coco__cli_parse(c, argc - 2, argv + 2));
    if (c->help) {
        coco__cli_help(c);
        return 0;
    }
    COCO_TRY(coco__cli_read_env(c));
    return c->own != NULL ? coco__cli_own(c) : c->command->run(c);
}

COCO__IN int coco__cli_main(coco__cli *c, int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    coco__cli_signals before;
    char **words;
    int status;

    c->program = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "program";
    COCO_TRY(coco__cli_check_params(c));
    if (argc < 2) return coco__cli_usage(c, "a command is missing: %s --help lists them", c->program);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        coco__cli_help(c);
        return 0;
    }
    words = c->words = coco__zalloc(&c->mem, (size_t)argc * sizeof *c->words);
    c->params = coco__zalloc(&c->mem, (size_t)argc * sizeof *c->params);
    coco__cli_catch(&before);
    if (words != NULL && c->params != NULL) status = coco__cli_run_command(c, argc, argv);
    else status = coco__cli_error(c, COCO__EXIT_FAILED, &(coco_err){ .code = COCO_ENOMEM });
    coco__cli_release(&before);
    coco__free(&c->mem, words);
    coco__free(&c->mem, c->params);
    if (fflush(stdout) != 0 && status == 0) status = COCO__EXIT_FAILED;
    return status;
}

int coco_main(int argc, char **argv, const coco_app_config *apps, int n)
{
    coco__cli c;

    memset(&c, 0, sizeof c);
    c.commands = COCO__CLI_COMMANDS;
    c.apps = apps;
    c.napps = n;
    return coco__cli_main(&c, argc, argv);
}
