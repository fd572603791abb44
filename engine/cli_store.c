/* cli_store.c - the commands about what is recorded: ls, show, check, compact and backup.
 *
 * They work beside a running update and create nothing (but check --repair, and compact, which want the database for
 * themselves). The tool, which has no apps, knows the database alone.
 *
 * Floor: above cli_line. */
#include "cli.h"

#include <sys/stat.h>
#include <time.h>

/* ---- Databases ---- */

/* What --db or COCOINDEX_DB names; an empty one, as a .env file may leave it, counts as none. An app with an
 * environment of its own has it in a directory below the others'. */
static coco_status coco__cli_dir(const coco__cli *c, const char *env_name, char dir[PATH_MAX], coco_err *err)
{
    const char *db = c->db ? c->db : getenv("COCOINDEX_DB");

    if (!db || !*db) db = ".cocoindex";
    if (snprintf(dir, PATH_MAX, env_name ? "%s/%s" : "%s", db, env_name) < PATH_MAX) return COCO_OK;
    return coco_err_set(err, COCO_EINVAL, "state directory %.100s...: the name is too long", db);
}

COCO__IN coco_status coco__cli_open(const coco__cli *c, const char *env_name, coco_env_config *config, coco_env **env,
                                    coco_err *err)
{
    char dir[PATH_MAX], above[PATH_MAX];

    *env = NULL;
    COCO_TRY(coco__cli_dir(c, env_name, dir, err));
    /* made with it; coco_env_open says what is wrong with it */
    if (env_name && !config->read_only && coco__cli_dir(c, NULL, above, err) == COCO_OK) mkdir(above, 0777);
    config->db = dir;
    config->name = env_name;
    return coco_env_open(config, env, err);
}

static bool coco__cli_same_env(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

/* Is app i the first of those in its environment? */
static bool coco__cli_first_of_env(const coco__cli *c, int i)
{
    for (int k = 0; k < i; k++)
        if (coco__cli_same_env(c->apps[k].env, c->apps[i].env)) return false;
    return true;
}

/* The tool has no program that could know an app: it says whether it has run. */
static void coco__cli_ls_line(const coco__cli_look *l, const char *app, bool has_run, bool known)
{
    const char *what = !has_run ? "never run" : known || l->c->napps == 0 ? "has run" : "not in this program";
    char name[512];

    if (!l->c->json) {
        snprintf(name, sizeof name, "%s%s%s", app, l->env ? "@" : "", l->env ? l->env : "");
        printf("%-24s %s\n", name, what);
        return;
    }
    coco__cli_json("{'type':'app','app':%,'env':%,'has_run':%", coco_text(app), coco_text(l->env), coco_bool(has_run));
    if (l->c->napps > 0) coco__cli_json(",'in_program':%", coco_bool(known));
    printf("}\n");
}

static coco_status coco__cli_see_app(void *user, const char *app, bool has_run)
{
    coco__cli_look *l = user;
    bool known = false;

    if (!l->wanted || strcmp(app, l->wanted) == 0) {
        snprintf(l->name, sizeof l->name, "%s", app);
        l->has_run = has_run;
        l->found++;
    }
    for (int i = 0; i < l->c->napps && !known; i++)
        known = strcmp(l->c->apps[i].name, app) == 0 && coco__cli_same_env(l->c->apps[i].env, l->env);
    if (l->list && !known) coco__cli_ls_line(l, app, has_run, false);
    return 0;
}

/* Looks without creating the database: where a program's has never been made, none of its apps has run. */
COCO__IN int coco__cli_see(coco__cli_look *l)
{
    coco_env_config config = { .read_only = true };
    coco_env *env;
    coco_err err = { 0 };
    coco_status rc = coco__cli_open(l->c, l->env, &config, &env, &err);

    if (rc == 0) rc = coco_inspect_apps(env, coco__cli_see_app, l, &err);
    coco_env_close(env);
    return rc == 0 || (rc == COCO_ENOTFOUND && l->c->napps > 0) ? 0 : coco__cli_error(l->c, COCO__EXIT_OPEN, &err);
}

/* ---- ls ---- */

/* Each database's unknown apps are listed once: that without a name first, an app's own before the first app that is
 * in it. */
COCO__IN int coco__cli_ls(coco__cli *c)
{
    if (c->nwords > 0) return coco__cli_usage(c, "ls takes no %s", c->words[0]);
    for (int i = -1; i < c->napps; i++) {
        coco__cli_look l = { .c = c, .env = i < 0 ? NULL : c->apps[i].env, .wanted = i < 0 ? NULL : c->apps[i].name };

        l.list = i < 0 || (l.env && coco__cli_first_of_env(c, i));
        COCO_TRY(coco__cli_see(&l));
        if (i >= 0) coco__cli_ls_line(&l, l.wanted, l.has_run, true);
    }
    return 0;
}

/* ---- show ---- */

typedef struct coco__cli_view {
    const coco__cli *c; /* the command line */
    int base;           /* depth of the component asked for; -1 before it came */
} coco__cli_view;

/* An inner node has bytes and nothing else. Time is local, as `ls -l` has it; - where it isn't known. */
static void coco__cli_show_long(const coco_component_info *i)
{
    time_t seconds = (time_t)(i->time / 1000);
    char when[32];
    struct tm tm;

    if (!i->time || !localtime_r(&seconds, &tm) || !strftime(when, sizeof when, "%F %T", &tm)) strcpy(when, "-");
    if (!i->function) printf("%-20s %7s %4s %7s %7s %9zu %9s %6s  %-19s  ", "-", "", "", "", "", i->bytes, "", "", "");
    else
        printf("%-20s %7lld %4s %7zu %7zu %9zu %9.3f %6llu  %-19s  ", i->function, (long long)i->version,
               i->memo ? "yes" : "no", i->nstates, i->nmemos, i->bytes, i->seconds, (unsigned long long)i->run, when);
}

/* The last segment of a printed path: a slash in quotes belongs to a text. */
static const char *coco__cli_segment(const char *path)
{
    const char *last = path;
    bool quoted = false;

    for (const char *p = path; *p; p++) {
        if (*p == '"') quoted = !quoted;
        else if (*p == '\\' && quoted && p[1]) p++;
        else if (*p == '/' && !quoted && p[1]) last = p + 1;
    }
    return last;
}

static void coco__cli_show_json(const coco_component_info *i)
{
    coco__cli_json("{'type':'component','path':%,'function':%,'depth':%,'version':%,'memo':%,'pending':%,'gone':%,",
                   coco_text(i->path), coco_text(i->function), coco_int(i->depth), coco_int(i->version),
                   coco_bool(i->memo), coco_bool(i->pending), coco_bool(i->tombstone));
    coco__cli_json("'target_states':%,'function_memos':%,'bytes':%,'run':%,", coco_int((int64_t)i->nstates),
                   coco_int((int64_t)i->nmemos), coco_int((int64_t)i->bytes), coco_int((int64_t)i->run));
    coco__cli_json("'time_ms':%,'seconds':%,'reason':%,'source':%}\n", coco_int(i->time), coco_float(i->seconds),
                   coco_text(i->reason), coco_text(i->source));
}

static coco_status coco__cli_show_component(void *user, const coco_component_info *i)
{
    coco__cli_view *v = user;

    if (v->base < 0) v->base = i->depth;
    if (v->c->json) {
        coco__cli_show_json(i);
        return 0;
    }
    if (v->c->longer) coco__cli_show_long(i);
    if (v->c->tree && i->depth > v->base) printf("%*s%s", 2 * (i->depth - v->base), "", coco__cli_segment(i->path));
    else fputs(i->path, stdout);
    if (i->source) printf("  (from %s)", i->source);
    printf("%s%s\n", i->pending ? "  pending" : "", i->tombstone ? "  gone" : "");
    return 0;
}

static coco_status coco__cli_show_state(void *user, const coco_component_info *i, const coco_state_info *s)
{
    const coco__cli_view *v = user;

    if (v->c->json)
        coco__cli_json("{'type':'target_state','path':%,'state':%,'container':%,'in_flight':%,'bytes':%}\n",
                       coco_text(i->path), coco_text(s->state), coco_bool(s->container), coco_bool(s->in_flight),
                       coco_int((int64_t)s->bytes));
    else
        printf("%*s  %s%s%s\n", v->c->tree ? 2 * (i->depth - v->base) : 0, "", s->state,
               s->container ? "  container" : "", s->in_flight ? "  in flight" : "");
    return 0;
}

/* A path that can't be parsed, or that nothing is recorded at, is wrong usage. */
static int coco__cli_show_app(const coco__cli *c, const coco__cli_look *l, const char *path)
{
    coco__cli_view v = { .c = c, .base = -1 };
    coco_inspect_visitor visitor = { &v, coco__cli_show_component, c->target_states ? coco__cli_show_state : NULL };
    coco_env_config config = { .read_only = true };
    coco_err err = { 0 };
    coco_env *env;
    coco_status rc;

    if (coco__cli_open(c, l->env, &config, &env, &err) != 0) return coco__cli_error(c, COCO__EXIT_OPEN, &err);
    if (c->longer && !c->json)
        printf("%-20s %7s %4s %7s %7s %9s %9s %6s  %-19s  %s\n", "function", "version", "memo", "states", "memos",
               "bytes", "seconds", "run", "time", "path");
    rc = coco_inspect(env, l->name, path, c->recursive || c->tree ? 0 : 1, &visitor, &err);
    coco_env_close(env);
    if (rc == 0) return 0;
    return coco__cli_error(c, rc == COCO_EPARSE || rc == COCO_ENOTFOUND ? COCO__EXIT_USAGE : COCO__EXIT_FAILED, &err);
}

/* show [APP] [PATH]. Nothing recorded is no failure, unless a path was asked for. */
COCO__IN int coco__cli_show(coco__cli *c)
{
    const char *app = NULL, *path = NULL;
    const coco_app_config *config;
    coco__cli_look l = { .c = c };

    for (int i = 0; i < c->nwords; i++) {
        const char **what = c->words[i][0] == '/' ? &path : &app;

        if (*what) return coco__cli_usage(c, "show takes one app and one path, not also %s", c->words[i]);
        *what = c->words[i];
    }
    l.wanted = app;
    if (c->napps > 0) {
        COCO_TRY(coco__cli_select(c, app, &config));
        l.wanted = config->name;
        l.env = config->env;
    }
    COCO_TRY(coco__cli_see(&l));
    if (l.found > 1) return coco__cli_usage(c, "several apps: %s ls names them", c->program);
    if (l.found == 0 && app && c->napps == 0) return coco__cli_usage(c, "no app %s in the database", app);
    if (l.has_run) return coco__cli_show_app(c, &l, path);
    coco__cli_usage(c, "%s%snothing has run yet", l.wanted ? l.wanted : "", l.wanted ? ": " : "");
    return path ? COCO__EXIT_USAGE : 0;
}

/* ---- check, compact, backup ---- */

/* What may be tried again, or asks for another word, and what went wrong. */
static int coco__cli_store_error(const coco__cli *c, coco_status rc, const coco_err *err)
{
    bool open = rc == COCO_EBUSY || rc == COCO_EVERSION || rc == COCO_EACCESS || rc == COCO_ENOTFOUND;

    return coco__cli_error(c, rc == COCO_EREFUSED ? COCO__EXIT_USAGE : open ? COCO__EXIT_OPEN : COCO__EXIT_FAILED, err);
}

/* The environment that a word means, the app's; without a word the only one. */
static int coco__cli_which_env(const coco__cli *c, const char *word, const char **env)
{
    const coco_app_config *app;

    *env = c->napps > 0 ? c->apps[0].env : NULL;
    if (word && c->napps == 0) return coco__cli_usage(c, "%s takes no %s", c->command.name, word);
    for (int i = 1; i < c->napps && !word; i++)
        if (!coco__cli_same_env(c->apps[i].env, *env)) return coco__cli_usage(c, "which app's database?");
    if (!word) return 0;
    COCO_TRY(coco__cli_select(c, word, &app));
    *env = app->env;
    return 0;
}

static coco_status coco__cli_problem(void *user, const coco_problem *p)
{
    const coco__cli *c = user;

    if (c->json)
        coco__cli_json("{'type':'problem','app':%,'path':%,'problem':%,'repaired':%}\n", coco_text(p->app),
                       coco_text(p->path), coco_text(p->what), coco_bool(p->repaired));
    else printf("%s: %s%s%s%s\n", p->app, p->path, *p->path ? ": " : "", p->what, p->repaired ? " (repaired)" : "");
    return COCO_OK;
}

static int coco__cli_check_env(coco__cli *c, const char *env_name, const char *app)
{
    coco_check_visitor v = { c, coco__cli_problem };
    coco_check_opts opts = { .repair = c->repair };
    coco_env_config config = { .read_only = !c->repair };
    coco_err err = { 0 };
    coco_env *env;
    coco_status rc = coco__cli_open(c, env_name, &config, &env, &err);

    if (rc != 0) return coco__cli_error(c, COCO__EXIT_OPEN, &err);
    rc = coco_check(env, app, &opts, &v, &err);
    coco_env_close(env);
    if (rc != 0) return coco__cli_store_error(c, rc, &err);
    if (!c->json) printf("%s%s%s\n", env_name ? env_name : app ? app : "", env_name || app ? ": " : "", "in order");
    return 0;
}

/* check [APP]: without it, every app of every database of the program's. */
COCO__IN int coco__cli_check(coco__cli *c)
{
    const char *word = c->nwords > 0 ? c->words[0] : NULL;
    const coco_app_config *app;
    int status = 0, one;

    if (c->nwords > 1) return coco__cli_usage(c, "check takes one app, not also %s", c->words[1]);
    if (c->napps == 0) return coco__cli_check_env(c, NULL, word);
    if (word) {
        COCO_TRY(coco__cli_select(c, word, &app));
        return coco__cli_check_env(c, app->env, app->name);
    }
    for (int i = 0; i < c->napps; i++)
        if (coco__cli_first_of_env(c, i) && (one = coco__cli_check_env(c, c->apps[i].env, NULL)) > status) status = one;
    return status;
}

/* compact [APP]. */
COCO__IN int coco__cli_compact(coco__cli *c)
{
    char dir[PATH_MAX];
    coco_env_config config = { .db = dir };
    const char *env_name;
    coco_err err = { 0 };
    coco_status rc;

    if (c->nwords > 1) return coco__cli_usage(c, "compact takes one app, not also %s", c->words[1]);
    COCO_TRY(coco__cli_which_env(c, c->nwords > 0 ? c->words[0] : NULL, &env_name));
    if (coco__cli_dir(c, env_name, dir, &err) != COCO_OK) return coco__cli_error(c, COCO__EXIT_OPEN, &err);
    rc = coco_compact(&config, &err);
    return rc == 0 ? 0 : coco__cli_store_error(c, rc, &err);
}

/* backup [APP] FILE. */
COCO__IN int coco__cli_backup(coco__cli *c)
{
    coco_env_config config = { .read_only = true };
    const char *env_name;
    coco_err err = { 0 };
    coco_env *env;
    coco_status rc;

    if (c->nwords < 1 || c->nwords > 2) return coco__cli_usage(c, "backup wants the name of a file");
    COCO_TRY(coco__cli_which_env(c, c->nwords > 1 ? c->words[0] : NULL, &env_name));
    if (coco__cli_open(c, env_name, &config, &env, &err) != 0) return coco__cli_error(c, COCO__EXIT_OPEN, &err);
    rc = coco_backup(env, c->words[c->nwords - 1], &err);
    coco_env_close(env);
    return rc == 0 ? 0 : coco__cli_store_error(c, rc, &err);
}
