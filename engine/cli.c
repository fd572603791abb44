/* cli.c - coco_main: a program's commands, and what the cocoindex tool shares with it.
 *
 * Floor: the topmost. */
#include "cli.h"

#include <sys/wait.h>
#include <unistd.h>

#define COCO__CLI_FAILED_PATHS 20

/* ---- The end of an update ---- */

/* What went wrong: the error itself, unless it only counts failures that were told; then the list of paths to work
 * through. Returns the exit status. */
static int coco__cli_report(const coco__cli_run *run, coco_status rc, const coco_result *r, const coco_err *err)
{
    const coco__cli *c = run->c;
    size_t shown = r->nfailed_paths < COCO__CLI_FAILED_PATHS ? r->nfailed_paths : COCO__CLI_FAILED_PATHS;
    bool told = run->root_told || run->guard || (rc == COCO_EFAIL && r->nfailed > 0);

    if (rc != 0 && rc != COCO_ESTOP && !told) coco__cli_error(c, 0, err);
    if (r->nfailed > 0 && !c->quiet) {
        fprintf(stderr, "%llu failed:\n", (unsigned long long)r->nfailed);
        for (size_t i = 0; i < shown; i++) fprintf(stderr, "  %s\n", r->failed[i]);
        if (r->nfailed > shown) fprintf(stderr, "  and %llu more\n", (unsigned long long)(r->nfailed - shown));
    }
    if (rc == COCO_EGUARD || run->guard) return COCO__EXIT_GUARD;
    if (rc == COCO_ESTOP) return c->live ? 0 : COCO__EXIT_STOPPED; /* live, it is the ordinary end */
    if ((c->only && rc == COCO_EPARSE) || (c->forget && rc == COCO_ENOTFOUND)) return COCO__EXIT_USAGE;
    if ((rc == COCO_EBUSY || rc == COCO_EVERSION || rc == COCO_EACCESS) && r->nfailed == 0) return COCO__EXIT_OPEN;
    return rc != 0 ? COCO__EXIT_FAILED : 0;
}

/* NULL-safe: also for a run that was opened by half. */
static void coco__cli_close_run(coco__cli_run *run)
{
    coco_stats_free(&run->last);
    coco_app_close(run->app);
    coco_env_close(run->env);
    pthread_mutex_destroy(&run->lock);
}

/* Opens the environment and the app, sets its parameters (any app's pass the parser) and runs its setup. On failure
 * all is closed. */
static int coco__cli_open_run(const coco__cli *c, const coco_app_config *config, coco__cli_run *run)
{
    coco_env_config env = { .on_failure = coco__cli_on_failure, .on_log = coco__cli_on_log, .user = run };
    coco_app_config app = *config;
    coco_err err = { 0 };
    coco_status rc;
    int status = COCO__EXIT_OPEN;

    *run = (coco__cli_run){ .c = c, .name = app.name };
    run->terminal = isatty(1) && getenv("TERM") && strcmp(getenv("TERM"), "dumb") != 0;
    pthread_mutex_init(&run->lock, NULL);
    if (c->explain || c->preview || c->live) env.on_event = coco__cli_on_event;
    if (!c->quiet && !getenv("COCOINDEX_LOG_LEVEL")) env.log_level = COCO_LOG_WARN;
    if (c->threads > 0) app.threads = c->threads;
    if (c->max_inflight > 0) app.max_inflight = c->max_inflight;
    rc = coco__cli_open(c, app.env, &env, &run->env, &err);
    if (rc == 0) run->env->tick = coco__cli_tick, rc = coco_app_open(run->env, &app, &run->app, &err);
    for (int i = 0; i < c->nparams && rc == 0; i++) {
        rc = coco_app_set_param(run->app, c->params[i].name, c->params[i].value, &err);
        if (rc != 0) status = COCO__EXIT_USAGE;
    }
    if (rc == 0) rc = coco_app_setup(run->app, &err);
    if (rc == 0) return 0;
    coco__cli_close_run(run);
    return coco__cli_error(c, status, &err);
}

/* ---- update and drop ---- */

/* Updates or drops, and reports. With --json a drop is the first half of `update --reset`, whose last line is the
 * summary: it prints nothing. */
static int coco__cli_go(coco__cli_run *run, bool update)
{
    const coco__cli *c = run->c;
    coco_update_opts opts = { .live = c->live, .full_reprocess = c->full_reprocess, .preview = c->preview,
                              .only = c->only, .allow_delete = c->allow_delete, .recheck = c->recheck };
    coco_result r = { .run = 0 };
    coco_err err = { 0 };
    coco_status rc;
    bool text;
    int status;

    coco__cli_run_begin(run, update && !c->quiet && !c->json && !c->preview);
    if (update) rc = c->live ? coco__cli_follow(run, &opts, &r, &err) : coco_update(run->app, &opts, &r, &err);
    else rc = c->forget ? coco_forget(run->app, c->forget, &err) : coco_drop(run->app, &r, &err);
    coco__cli_run_end(run);
    status = coco__cli_report(run, rc, &r, &err);
    text = !c->quiet && !c->json && status != COCO__EXIT_USAGE && status != COCO__EXIT_OPEN; /* something ran */
    if (update && (c->json || text)) coco__cli_summary(run, &r, rc);
    else if (text && rc == 0 && c->forget) printf("%s: %s forgotten\n", run->name, c->forget);
    else if (text && rc == 0) printf("%s: dropped, states deleted: %llu\n", run->name, (unsigned long long)r.deletes);
    coco_result_free(&r);
    return status;
}

/* Anything but "yes" means no, also the end of an input that isn't a terminal. */
static bool coco__cli_confirm(const coco__cli *c, const char *what, const char *name)
{
    char line[16] = "";

    if (c->force) return true;
    fprintf(stderr, "%s %s? Type \"yes\": ", what, name);
    if (fgets(line, sizeof line, stdin)) line[strcspn(line, "\r\n")] = '\0';
    if (strcmp(line, "yes") == 0) return true;
    fprintf(stderr, "%snothing done\n", line[0] ? "" : "\n");
    return false;
}

/* update [APP] and drop [APP]. Asks before anything is opened for writing: who says no has changed nothing. */
static int coco__cli_run_app(coco__cli *c)
{
    bool update = c->command.bit == COCO__CLI_UPDATE, drop = !update || c->reset;
    const coco_app_config *app;
    coco__cli_look l = { .c = c };
    coco__cli_run run;
    int status = 0;

    if (c->live && (c->preview || c->only))
        return coco__cli_usage(c, "--live and %s exclude each other", c->preview ? "--preview" : "--only");
    if (c->reset && c->preview) return coco__cli_usage(c, "--reset and --preview exclude each other");
    if (c->nwords > 1) return coco__cli_usage(c, "%s takes one app, not also %s", c->command.name, c->words[1]);
    COCO_TRY(coco__cli_select(c, c->nwords > 0 ? c->words[0] : NULL, &app));
    l.env = app->env;
    l.wanted = app->name;
    if (drop) COCO_TRY(coco__cli_see(&l));
    if (!l.has_run && !update) {
        if (!c->quiet) printf("%s: nothing to drop\n", app->name);
        return 0;
    }
    if (l.has_run && !(c->forget ? coco__cli_confirm(c, "Forget, without touching it, the target", c->forget)
                                 : coco__cli_confirm(c, "Delete every target state, and the state, of app", app->name)))
        return COCO__EXIT_FAILED;
    COCO_TRY(coco__cli_open_run(c, app, &run));
    if (l.has_run) status = coco__cli_go(&run, false);
    if (status == 0 && update) status = coco__cli_go(&run, true);
    coco__cli_close_run(&run);
    return status;
}

/* ---- The app's own commands ---- */

/* The app is opened and set up, so that the command finds its context values; nothing is locked, and no update is
 * known to the signal handler: a signal ends the process, unless the command has handlers of its own. Where several
 * apps have one of that name, the first word says which, and is taken away. */
static int coco__cli_own(coco__cli *c)
{
    const coco_app_config *app = NULL;
    const coco_command *own = NULL;
    coco__cli_run run;
    int status;

    if (c->owners > 1) {
        COCO_TRY(coco__cli_select(c, c->nwords > 0 ? c->words[0] : NULL, &app));
        c->words++;
        c->nwords--;
    }
    COCO__CLI_EACH_OWN(c, k) {
        if (own || strcmp(k->name, c->command.name) != 0 || (app && app != &c->apps[app_])) continue;
        own = k;
        app = &c->apps[app_];
    }
    if (!own) return coco__cli_usage(c, "app %s has no command %s", app->name, c->command.name);
    COCO_TRY(coco__cli_open_run(c, app, &run));
    status = own->run(run.app, c->nwords, c->words);
    fflush(stdout);
    coco__cli_close_run(&run);
    return status;
}

/* ---- The commands ---- */

/* A command that reads a database runs in a child process: LMDB may die of a damaged page. */
static int coco__cli_apart(coco__cli *c)
{
    int status = 0;
    pid_t pid;

    fflush(stdout);
    fflush(stderr);
    if ((pid = fork()) < 0) return coco__cli_usage(c, "fork: %s", strerror(errno)) - 1;
    if (pid == 0) {
        status = c->command.run(c);
        _exit(fflush(stdout) != 0 && status == 0 ? COCO__EXIT_FAILED : status);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    coco__cli_usage(c, "the database's pages are damaged (%s): restore a backup", strsignal(WTERMSIG(status)));
    return COCO__EXIT_FAILED;
}

static const coco__cli_command COCO__CLI_COMMANDS[] = {
    { "update", "[APP] [options]", "bring the targets in step with the sources", COCO__CLI_UPDATE, coco__cli_run_app },
    { "drop", "[APP] [options]", "delete all that the app made, and its state", COCO__CLI_DROP, coco__cli_run_app },
    { "ls", "[options]", "list the apps of this program and of the database", COCO__CLI_LS, coco__cli_ls },
    { "show", "[APP] [PATH] [options]", "list the components at PATH and below", COCO__CLI_SHOW, coco__cli_show },
    { "check", "[APP] [options]", "look whether all that is recorded is in order", COCO__CLI_CHECK, coco__cli_check },
    { "compact", "[APP] [options]", "make the database as small as it can be", COCO__CLI_COMPACT, coco__cli_compact },
    { "backup", "[APP] FILE [options]", "copy the database into a new file", COCO__CLI_BACKUP, coco__cli_backup },
    { NULL, NULL, NULL, 0, NULL },
};

/* Finds the command called `name`. 0, or 2. */
static int coco__cli_find_command(coco__cli *c, const char *name)
{
    coco__cli_nearest near = { .word = name };

    for (const coco__cli_command *k = c->commands; k->name; k++) {
        if (strcmp(k->name, name) == 0) c->command = *k;
        coco__cli_consider(&near, k->name);
    }
    COCO__CLI_EACH_OWN(c, k) {
        coco__cli_consider(&near, k->name);
        if (strcmp(k->name, name) != 0 || (c->command.name && !c->owners)) continue;
        c->command = (coco__cli_command){ k->name, k->args, k->help, COCO__CLI_OWN, coco__cli_own };
        c->owners++;
    }
    return c->command.name ? 0 : coco__cli_unknown(c, "unknown command ", &near);
}

/* The .env file is read after the options, which may name it, and before anything looks at the environment. */
static int coco__cli_run_command(coco__cli *c)
{
    COCO_TRY(coco__cli_find_command(c, *c->next++));
    COCO_TRY(coco__cli_parse(c));
    if (c->help) {
        coco__cli_help_command(c);
        return 0;
    }
    COCO_TRY(coco__cli_read_env(c));
    return c->command.bit & (COCO__CLI_SHOW | COCO__CLI_STORE) ? coco__cli_apart(c) : c->command.run(c);
}

COCO__IN int coco__cli_main(coco__cli *c, int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    struct sigaction before[2];
    int status = 0;

    c->program = slash ? slash + 1 : argc > 0 ? argv[0] : "program";
    c->next = argv + 1;
    c->end = argv + argc;
    COCO_TRY(coco__cli_check_params(c));
    if (argc < 2) return coco__cli_usage(c, "a command is missing: %s --help lists them", c->program);
    coco__cli_catch(before);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) coco__cli_help(c);
    else status = coco__cli_run_command(c);
    sigaction(SIGINT, &before[0], NULL);
    sigaction(SIGTERM, &before[1], NULL);
    return fflush(stdout) != 0 && status == 0 ? COCO__EXIT_FAILED : status;
}

int coco_main(int argc, char **argv, const coco_app_config *apps, int n)
{
    coco__cli c = { .commands = COCO__CLI_COMMANDS, .apps = apps, .napps = n };

    return coco__cli_main(&c, argc, argv);
}
