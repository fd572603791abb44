/* cli_show.c - `ls` and `show`: what a state database holds. Shared by coco_main, which also knows the program's
 * apps, and by the cocoindex tool, which knows the database alone. Opens read-only, so it works beside a running
 * update and creates nothing. Calls cocoindex.h, base.c, value.c (JSON) and cli_args.c. */
#include "cli.h"

#include <sys/stat.h>
#include <time.h>

/* The message names its object itself; a bare code (no memory for a message) is put in words. */
COCO__IN int coco__cli_error(const coco__cli *c, int status, const coco_err *err)
{
    fprintf(stderr, "%s: %s\n", c->program, err->msg[0] != '\0' ? err->msg : coco_status_text(err->code));
    return status;
}

/* An empty COCOINDEX_DB, as a .env file may leave it, counts as none. */
COCO__IN const char *coco__cli_db(const coco__cli *c)
{
    const char *db = c->db != NULL ? c->db : getenv("COCOINDEX_DB");

    return db != NULL && *db != '\0' ? db : ".cocoindex";
}

/* An app with an environment of its own has it in a directory below the others', which is made with it. */
COCO__IN coco_status coco__cli_open(const coco__cli *c, const char *env_name, coco_env_config *config, coco_env **env,
                                    coco_err *err)
{
    coco_status rc;
    coco__buf dir;

    coco__buf_init(&dir, &c->mem);
    coco__buf_str(&dir, coco__cli_db(c));
    if (env_name != NULL) {
        if (!config->read_only) mkdir(coco__buf_cstr(&dir), 0777); /* coco_env_open says what is wrong with it */
        coco__buf_printf(&dir, "/%s", env_name);
    }
    config->db = coco__buf_cstr(&dir);
    config->name = env_name;
    *env = NULL;
    rc = dir.failed ? coco_err_set(err, COCO_ENOMEM, "out of memory") : coco_env_open(config, env, err);
    coco__buf_free(&dir);
    return rc;
}

/* Without environment: NAME. With one: NAME@ENV. */
static bool coco__cli_is_app(const coco_app_config *app, const char *word, bool with_env)
{
    size_t n = strlen(app->name);

    if (strncmp(word, app->name, n) != 0) return false;
    if (!with_env) return word[n] == '\0';
    return app->env != NULL && word[n] == '@' && strcmp(word + n + 1, app->env) == 0;
}

/* Several apps fit a name when they differ in their environment. */
COCO__IN int coco__cli_select(const coco__cli *c, const char *word, int *index)
{
    coco__cli_nearest near = { .word = word };
    int found = 0;

    *index = 0;
    for (int i = 0; i < c->napps; i++) {
        bool exact = word != NULL && coco__cli_is_app(&c->apps[i], word, true);

        if (exact) found = 0;
        if (word != NULL && !exact && !coco__cli_is_app(&c->apps[i], word, false)) continue;
        *index = i;
        found++;
        if (exact) break;
    }
    if (found == 1) return 0;
    if (word == NULL) return coco__cli_usage(c, "which app? %s --help names them", c->program);
    if (found > 1) return coco__cli_usage(c, "several apps are called %s: say %s@ENVIRONMENT", word, word);
    for (int i = 0; i < c->napps; i++) coco__cli_consider(&near, c->apps[i].name);
    if (near.best != NULL) return coco__cli_usage(c, "no app %s: did you mean %s?", word, near.best);
    return coco__cli_usage(c, "no app %s: %s --help names them", word, c->program);
}

COCO__IN void coco__cli_put_json(const coco__cli *c, const char *s)
{
    coco__buf b;

    coco__buf_init(&b, &c->mem);
    coco__json_text(&b, s, strlen(s));
    if (!b.failed) fwrite(b.p, 1, b.n, stdout);
    coco__buf_free(&b);
}

/* ---- ls ---------------------------------------------------------------------------------------------------------- */

/* The apps of one environment: those of the program, then those that only the database knows. */
typedef struct coco__cli_listing {
    const coco__cli *c; /* the command line */
    const char *env; /* NULL: the one environment */
    bool *recorded;  /* one for each app of the program: it has run */
} coco__cli_listing;

/* NULL is the one environment that has no name. */
static bool coco__cli_same_env(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The tool has no program that could know an app: it says whether it has run. */
static void coco__cli_ls_line(const coco__cli *c, const char *app, const char *env, bool has_run, bool known)
{
    const char *what = !has_run ? "never run" : known || c->napps == 0 ? "has run" : "not in this program";
    char name[512];

    if (!c->json) {
        snprintf(name, sizeof name, "%s%s%s", app, env != NULL ? "@" : "", env != NULL ? env : "");
        printf("%-24s %s\n", name, what);
        return;
    }
    printf("{\"type\":\"app\",\"app\":");
    coco__cli_put_json(c, app);
    printf(",\"env\":");
    if (env != NULL) coco__cli_put_json(c, env);
    else printf("null");
    printf(",\"has_run\":%s", has_run ? "true" : "false");
    if (c->napps > 0) printf(",\"in_program\":%s", known ? "true" : "false");
    printf("}\n");
}

/* An app of the program is only marked: it is printed, with those that never ran, when all environments were read. */
static coco_status coco__cli_ls_app(void *user, const char *app, bool has_run)
{
    coco__cli_listing *l = user;

    for (int i = 0; i < l->c->napps; i++) {
        if (strcmp(l->c->apps[i].name, app) != 0 || !coco__cli_same_env(l->c->apps[i].env, l->env)) continue;
        l->recorded[i] = has_run;
        return 0;
    }
    coco__cli_ls_line(l->c, app, l->env, has_run, false);
    return 0;
}

static int coco__cli_ls_env(const coco__cli *c, const char *name, bool *recorded)
{
    coco__cli_listing l = { c, name, recorded };
    coco_env_config config = { .read_only = true };
    coco_env *env;
    coco_err err = { 0 };
    coco_status rc = coco__cli_open(c, name, &config, &env, &err);

    if (rc == 0) rc = coco_inspect_apps(env, coco__cli_ls_app, &l, &err);
    coco_env_close(env);
    if (rc == COCO_ENOTFOUND && c->napps > 0) return 0; /* nothing has run yet */
    return rc != 0 ? coco__cli_error(c, COCO__EXIT_OPEN, &err) : 0;
}

/* Each environment is read once, however many apps live in it; then come the program's apps in its own order. */
COCO__IN int coco__cli_ls(coco__cli *c)
{
    bool *recorded = coco__zalloc(&c->mem, (size_t)c->napps + 1);
    int status = 0;

    if (c->nwords > 0) status = coco__cli_usage(c, "ls takes no %s", c->words[0]);
    else if (recorded == NULL) status = coco__cli_error(c, COCO__EXIT_FAILED, &(coco_err){ .code = COCO_ENOMEM });
    else status = coco__cli_ls_env(c, NULL, recorded);
    for (int i = 0; i < c->napps && status == 0; i++) {
        bool seen = c->apps[i].env == NULL;

        for (int k = 0; k < i && !seen; k++) seen = coco__cli_same_env(c->apps[k].env, c->apps[i].env);
        if (!seen) status = coco__cli_ls_env(c, c->apps[i].env, recorded);
    }
    for (int i = 0; i < c->napps && status == 0; i++)
        coco__cli_ls_line(c, c->apps[i].name, c->apps[i].env, recorded[i], true);
    coco__free(&c->mem, recorded);
    return status;
}

/* ---- show -------------------------------------------------------------------------------------------------------- */

typedef struct coco__cli_view {
    const coco__cli *c; /* the command line */
    int base;        /* depth of the component asked for; -1 before it came */
    coco__buf stack; /* lengths of the printed paths above the current one, for --tree: size_t each */
} coco__cli_view;

/* Local time, as `ls -l` has it; - where it isn't known. */
static void coco__cli_time(int64_t ms, char out[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (ms == 0 || localtime_r(&seconds, &tm) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        strcpy(out, "-");
}

static void coco__cli_show_head(void)
{
    printf("%-20s %7s %4s %7s %7s %9s %9s %6s  %-19s  %s\n", "function", "version", "memo", "states", "memos", "bytes",
           "seconds", "run", "time", "path");
}

/* An inner node has bytes and nothing else. */
static void coco__cli_show_long(const coco_component_info *i)
{
    char when[32];

    coco__cli_time(i->time, when);
    if (i->function == NULL) {
        printf("%-20s %7s %4s %7s %7s %9zu %9s %6s  %-19s  ", "-", "", "", "", "", i->bytes, "", "", "");
        return;
    }
    printf("%-20s %7lld %4s %7zu %7zu %9zu %9.3f %6llu  %-19s  ", i->function, (long long)i->version,
           i->memo ? "yes" : "no", i->nstates, i->nmemos, i->bytes, i->seconds, (unsigned long long)i->run, when);
}

/* The last segment of the path: what follows the path of the component above, which is a prefix of it. */
static const char *coco__cli_segment(coco__cli_view *v, const coco_component_info *i)
{
    size_t level = (size_t)(i->depth - v->base), above = 0, n = strlen(i->path);

    if (level > 0 && v->stack.n >= level * sizeof above)
        memcpy(&above, v->stack.p + (level - 1) * sizeof above, sizeof above);
    if (v->stack.n > level * sizeof n) v->stack.n = level * sizeof n;
    if (n == 1) n = 0; /* below the root "/" the separator counts as part of the segment too */
    coco__buf_put(&v->stack, &n, sizeof n);
    if (level == 0 || v->stack.failed || above >= strlen(i->path)) return i->path;
    return i->path + above + 1;
}

static void coco__cli_show_text(coco__cli_view *v, const coco_component_info *i)
{
    if (v->c->longer) coco__cli_show_long(i);
    if (v->c->tree) printf("%*s%s", 2 * (i->depth - v->base), "", coco__cli_segment(v, i));
    else fputs(i->path, stdout);
    if (i->source != NULL) printf("  (from %s)", i->source);
    if (i->pending) fputs("  pending", stdout);
    if (i->tombstone) fputs("  gone", stdout);
    putchar('\n');
}

COCO__IN void coco__cli_field(const coco__cli *c, const char *name, const char *value)
{
    printf(",\"%s\":", name);
    if (value != NULL) coco__cli_put_json(c, value);
    else printf("null");
}

static void coco__cli_show_json(const coco__cli *c, const coco_component_info *i)
{
    printf("{\"type\":\"component\"");
    coco__cli_field(c, "path", i->path);
    coco__cli_field(c, "function", i->function);
    printf(",\"depth\":%d,\"version\":%lld,\"memo\":%s,\"pending\":%s,\"gone\":%s", i->depth, (long long)i->version,
           i->memo ? "true" : "false", i->pending ? "true" : "false", i->tombstone ? "true" : "false");
    printf(",\"target_states\":%zu,\"function_memos\":%zu,\"bytes\":%zu,\"run\":%llu,\"time_ms\":%lld,\"seconds\":%.6f",
           i->nstates, i->nmemos, i->bytes, (unsigned long long)i->run, (long long)i->time, i->seconds);
    coco__cli_field(c, "reason", i->reason);
    coco__cli_field(c, "source", i->source);
    printf("}\n");
}

static coco_status coco__cli_show_component(void *user, const coco_component_info *info)
{
    coco__cli_view *v = user;

    if (v->base < 0) v->base = info->depth;
    if (v->c->json) coco__cli_show_json(v->c, info);
    else coco__cli_show_text(v, info);
    return 0;
}

static coco_status coco__cli_show_state(void *user, const coco_component_info *info, const coco_state_info *state)
{
    const coco__cli_view *v = user;

    if (!v->c->json) {
        printf("%*s  %s%s%s\n", v->c->tree ? 2 * (info->depth - v->base) : 0, "", state->state,
               state->container ? "  container" : "", state->in_flight ? "  in flight" : "");
        return 0;
    }
    printf("{\"type\":\"target_state\"");
    coco__cli_field(v->c, "path", info->path);
    coco__cli_field(v->c, "state", state->state);
    printf(",\"container\":%s,\"in_flight\":%s,\"bytes\":%zu}\n", state->container ? "true" : "false",
           state->in_flight ? "true" : "false", state->bytes);
    return 0;
}

/* The app to show where the database alone is known: the only one, or the one named. */
typedef struct coco__cli_choice {
    const char *wanted; /* or NULL */
    char name[256];     /* found */
    int n;              /* apps that fit */
    bool has_run;
} coco__cli_choice;

static coco_status coco__cli_choose(void *user, const char *app, bool has_run)
{
    coco__cli_choice *choice = user;

    if (choice->wanted != NULL && strcmp(app, choice->wanted) != 0) return 0;
    choice->n++;
    choice->has_run = has_run;
    snprintf(choice->name, sizeof choice->name, "%s", app);
    return 0;
}

/* A path that can't be parsed, or that nothing is recorded at, is wrong usage. */
static int coco__cli_show_app(const coco__cli *c, coco_env *env, const char *app, const char *path)
{
    coco__cli_view v = { .c = c, .base = -1 };
    coco_inspect_visitor visitor = { &v, coco__cli_show_component, c->target_states ? coco__cli_show_state : NULL };
    coco_err err = { 0 };
    coco_status rc;

    coco__buf_init(&v.stack, &c->mem);
    if (c->longer && !c->json) coco__cli_show_head();
    rc = coco_inspect(env, app, path, c->recursive || c->tree ? 0 : 1, &visitor, &err);
    coco__buf_free(&v.stack);
    if (rc == 0) return 0;
    return coco__cli_error(c, rc == COCO_EPARSE || rc == COCO_ENOTFOUND ? COCO__EXIT_USAGE : COCO__EXIT_FAILED, &err);
}

/* Nothing recorded is no failure, unless a path was asked for. */
static int coco__cli_show_chosen(const coco__cli *c, coco_env *env, const char *app, const char *path)
{
    coco__cli_choice choice = { .wanted = app };
    coco_err err = { 0 };
    coco_status rc = coco_inspect_apps(env, coco__cli_choose, &choice, &err);

    if (rc != 0) return coco__cli_error(c, COCO__EXIT_OPEN, &err);
    if (choice.n > 1) return coco__cli_usage(c, "several apps: %s ls names them", c->program);
    if (choice.n == 1 && choice.has_run) return coco__cli_show_app(c, env, choice.name, path);
    if (choice.n == 0 && app != NULL && c->napps == 0)
        return coco__cli_usage(c, "no app %s in %s", app, coco__cli_db(c));
    fprintf(stderr, "%s: %s%snothing has run yet\n", c->program, app != NULL ? app : "", app != NULL ? ": " : "");
    return path != NULL ? COCO__EXIT_USAGE : 0;
}

/* Sorts the words of `show [APP] [PATH]`. */
static int coco__cli_show_words(const coco__cli *c, const char **app, const char **path)
{
    *app = *path = NULL;
    for (int i = 0; i < c->nwords; i++) {
        const char **what = c->words[i][0] == '/' ? path : app;

        if (*what != NULL) return coco__cli_usage(c, "show takes one app and one path, not also %s", c->words[i]);
        *what = c->words[i];
    }
    return 0;
}

COCO__IN int coco__cli_show(coco__cli *c)
{
    coco_env_config config = { .read_only = true };
    const char *app, *path, *env_name = NULL;
    coco_err err = { 0 };
    coco_env *env;
    coco_status rc;
    int status;

    COCO_TRY(coco__cli_show_words(c, &app, &path));
    if (c->napps > 0) {
        int i;

        COCO_TRY(coco__cli_select(c, app, &i));
        app = c->apps[i].name;
        env_name = c->apps[i].env;
    }
    rc = coco__cli_open(c, env_name, &config, &env, &err);
    if (rc == COCO_ENOTFOUND && c->napps > 0) {
        fprintf(stderr, "%s: %s: nothing has run yet\n", c->program, app);
        return path != NULL ? COCO__EXIT_USAGE : 0;
    }
    if (rc != 0) return coco__cli_error(c, COCO__EXIT_OPEN, &err);
    status = coco__cli_show_chosen(c, env, app, path);
    coco_env_close(env);
    return status;
}
