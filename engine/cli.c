/* cli.c - coco_main: a program's command line, and what the cocoindex tool shares with it.
 *
 * One table describes every option of every command: what the parser accepts, what help prints and what an app
 * parameter may not be called are the same list. Wrong usage is told with a hint at the nearest word, and is exit
 * status 2. `ls` and `show` open read-only, so they work beside a running update and create nothing; the tool, which
 * has no apps, knows the database alone. Results go to standard output; failures, notices and questions to standard
 * error. While an update runs, what it prints comes from the engine's events, failure handler and log, on whatever
 * thread decides: one lock orders it.
 *
 * Signals. The first SIGINT or SIGTERM asks a running update to stop, which finishes what is in flight; the second,
 * and the first when nothing runs, ends the process at once, which is as safe as a crash.
 *
 * Floor: the topmost. Calls cocoindex.h, and base.c and value.c to print. */
#include "engine.h"

#include <ctype.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COCO__CLI_PARAMS 64
#define COCO__CLI_FAILED_PATHS 20

/* Which commands an option belongs to; all own commands of apps share a bit. */
enum { COCO__CLI_UPDATE = 1, COCO__CLI_DROP = 2, COCO__CLI_LS = 4, COCO__CLI_SHOW = 8, COCO__CLI_OWN = 16,
       COCO__CLI_LOGIC = 32, COCO__CLI_INIT = 64, COCO__CLI_CHECK = 128, COCO__CLI_COMPACT = 256,
       COCO__CLI_BACKUP = 512 };
enum { COCO__EXIT_FAILED = 1, COCO__EXIT_USAGE, COCO__EXIT_OPEN, COCO__EXIT_GUARD, COCO__EXIT_STOPPED = 130 };

struct coco__cli;
typedef struct coco__cli_command {
    const char *name, *args, *help; /* args: what stands behind the name */
    unsigned bit;                   /* COCO__CLI_… */
    int (*run)(struct coco__cli *c);
} coco__cli_command;

/* One command line. Strings are argv's, the environment's or the apps'. */
typedef struct coco__cli {
    const char *program;               /* name for messages */
    const coco__cli_command *commands; /* ends with a NULL name */
    const coco_app_config *apps;       /* of the program */
    int napps;
    coco__cli_command command; /* chosen; one of an app's own looks like the others */
    int owners;                /* how many apps have a command of that name */
    char **next, **end;        /* words not yet read */
    bool live, full_reprocess, reset, preview, explain, allow_delete, quiet, json, force; /* options, by name */
    bool tree, longer, recursive, target_states, no_env, help, repair;
    const char *db, *env_file, *only, *forget, *output;
    unsigned threads, max_inflight, recheck;
    char **words; /* what is neither option nor value: gathered at the front of argv, which has been read there */
    int nwords, nparams;
    struct {
        const char *name, *value;
    } params[COCO__CLI_PARAMS]; /* --NAME VALUE of an app's parameter */
} coco__cli;

/* Over the parameters, and the own commands, of all apps. */
#define COCO__CLI_EACH_APP(c, type, list, item) \
    for (int app_ = 0; app_ < (c)->napps; app_++) \
        for (const type *item = (c)->apps[app_].list; item && item->name; item++)
#define COCO__CLI_EACH_PARAM(c, d) COCO__CLI_EACH_APP(c, coco_param_def, params, d)
#define COCO__CLI_EACH_OWN(c, k) COCO__CLI_EACH_APP(c, coco_command, commands, k)

/* ---- Options ----------------------------------------------------------------------------------------------------- */

/* A flag sets a bool, the others take a value. */
enum coco__cli_kind { COCO__CLI_FLAG, COCO__CLI_TEXT, COCO__CLI_NUMBER, COCO__CLI_PERCENT };

typedef struct coco__cli_option {
    const char *name; /* without the dashes */
    char letter;      /* or 0 */
    enum coco__cli_kind kind;
    size_t field;           /* in coco__cli: a bool, a const char *, or an unsigned */
    unsigned commands;      /* it belongs to */
    const char *arg, *help; /* what its value is called, or NULL; one line */
} coco__cli_option;

#define COCO__CLI_RUN (COCO__CLI_UPDATE | COCO__CLI_DROP)
#define COCO__CLI_LIST (COCO__CLI_LS | COCO__CLI_SHOW)
#define COCO__CLI_STORE (COCO__CLI_CHECK | COCO__CLI_COMPACT | COCO__CLI_BACKUP)
#define COCO__CLI_ENV (COCO__CLI_RUN | COCO__CLI_LIST | COCO__CLI_STORE | COCO__CLI_OWN)
#define COCO__CLI_ALL (COCO__CLI_ENV | COCO__CLI_LOGIC | COCO__CLI_INIT)

#define COCO__CLI_F(name, letter, field, commands, help) \
    { name, letter, COCO__CLI_FLAG, offsetof(coco__cli, field), commands, NULL, help }
#define COCO__CLI_V(name, letter, kind, field, commands, arg, help) \
    { name, letter, COCO__CLI_##kind, offsetof(coco__cli, field), commands, arg, help }

static const coco__cli_option COCO__CLI_OPTIONS[] = {
    COCO__CLI_F("live", 'L', live, COCO__CLI_UPDATE, "stay and follow changes"),
    COCO__CLI_F("full-reprocess", 0, full_reprocess, COCO__CLI_UPDATE, "ignore memos, apply everything again"),
    COCO__CLI_F("reset", 0, reset, COCO__CLI_UPDATE, "drop first (asks)"),
    COCO__CLI_F("preview", 0, preview, COCO__CLI_UPDATE, "say what would be done, change nothing"),
    COCO__CLI_F("explain", 0, explain, COCO__CLI_UPDATE, "say what runs and why"),
    COCO__CLI_V("threads", 0, NUMBER, threads, COCO__CLI_UPDATE, "N", "threads that run functions and sinks"),
    COCO__CLI_V("max-inflight", 0, NUMBER, max_inflight, COCO__CLI_UPDATE, "N", "components started and not committed"),
    COCO__CLI_V("only", 0, TEXT, only, COCO__CLI_UPDATE, "PATH", "update what is at PATH and below alone"),
    COCO__CLI_V("recheck", 0, PERCENT, recheck, COCO__CLI_UPDATE, "P", "run P per cent of the memo hits and compare"),
    COCO__CLI_F("allow-delete", 0, allow_delete, COCO__CLI_UPDATE, "let the guard against mass deletion pass once"),
    COCO__CLI_F("force", 'f', force, COCO__CLI_RUN, "don't ask before dropping"),
    COCO__CLI_V("forget", 0, TEXT, forget, COCO__CLI_DROP, "TARGET", "forget this target, leave it as it is"),
    COCO__CLI_F("quiet", 'q', quiet, COCO__CLI_RUN, "print failures alone"),
    COCO__CLI_F("tree", 0, tree, COCO__CLI_SHOW, "indented, all levels"),
    COCO__CLI_F("long", 'l', longer, COCO__CLI_SHOW, "with function, version, memo, states, bytes, times"),
    COCO__CLI_F("recursive", 'r', recursive, COCO__CLI_SHOW, "all levels"),
    COCO__CLI_F("target-states", 0, target_states, COCO__CLI_SHOW, "with what each one declared"),
    COCO__CLI_F("repair", 0, repair, COCO__CLI_CHECK, "put right what is wrong"),
    COCO__CLI_F("json", 0, json, COCO__CLI_UPDATE | COCO__CLI_LIST | COCO__CLI_CHECK, "one JSON object a line"),
    COCO__CLI_V("output", 'o', TEXT, output, COCO__CLI_LOGIC, "FILE", "write there, if all went well"),
    COCO__CLI_V("db", 0, TEXT, db, COCO__CLI_ENV, "DIR", "state directory (COCOINDEX_DB, else ./.cocoindex)"),
    COCO__CLI_V("env-file", 'e', TEXT, env_file, COCO__CLI_ENV, "FILE", "variables, not from the nearest .env upward"),
    COCO__CLI_F("no-env", 0, no_env, COCO__CLI_ENV, "read no such file"),
    COCO__CLI_F("help", 'h', help, COCO__CLI_ALL, "this text"),
    { NULL, 0, COCO__CLI_FLAG, 0, 0, NULL, NULL },
};

/* Over the options of the chosen command. */
#define COCO__CLI_EACH_OPTION(c, o) \
    for (const coco__cli_option *o = COCO__CLI_OPTIONS; o->name; o++) \
        if (o->commands & (c)->command.bit)

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

static int COCO__PRINTF(2, 3) coco__cli_usage(const coco__cli *c, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s: ", c->program);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return COCO__EXIT_USAGE;
}

/* The message names its object itself; a bare code (no memory for a message) is put in words. */
static int coco__cli_error(const coco__cli *c, int status, const coco_err *err)
{
    coco__cli_usage(c, "%s", err->msg[0] ? err->msg : coco_status_text(err->code));
    return status;
}

typedef struct coco__cli_nearest { /* the candidate most like a word that isn't known */
    const char *word, *best;
    size_t closer; /* than this many errors below the most that count as like */
} coco__cli_nearest;

/* Do so many typing errors, at most, make one of the other? */
static bool coco__cli_similar(const char *a, const char *b, size_t errors)
{
    while (*a && *a == *b) a++, b++;
    if (!*a && !*b) return true;
    if (errors-- == 0) return false;
    return (*a && coco__cli_similar(a + 1, b, errors)) || (*b && coco__cli_similar(a, b + 1, errors)) ||
           (*a && *b && coco__cli_similar(a + 1, b + 1, errors));
}

static void coco__cli_consider(coco__cli_nearest *n, const char *candidate)
{
    size_t length = strlen(n->word), most = length < 4 ? 1 : length < 8 ? 2 : 3;

    for (; n->closer <= most && coco__cli_similar(n->word, candidate, most - n->closer); n->closer++)
        n->best = candidate;
}

static int coco__cli_unknown(const coco__cli *c, const char *what, const coco__cli_nearest *near)
{
    const char *dashes = strchr(what, '-') ? "--" : "";

    if (near->best) return coco__cli_usage(c, "%s%s: did you mean %s%s?", what, near->word, dashes, near->best);
    return coco__cli_usage(c, "%s%s: --help lists them", what, near->word);
}

/* ---- Reading the line -------------------------------------------------------------------------------------------- */

/* The hint is looked for among the options and parameters that would have been taken here. An app's own command
 * knows its own: to that it is a word. */
static int coco__cli_unknown_option(coco__cli *c, char *word)
{
    coco__cli_nearest near = { .word = word + strspn(word, "-") };

    if (c->owners > 0) {
        c->words[c->nwords++] = word;
        return 0;
    }
    word[strcspn(word, "=")] = '\0';
    COCO__CLI_EACH_OPTION(c, o) coco__cli_consider(&near, o->name);
    COCO__CLI_EACH_PARAM(c, d) coco__cli_consider(&near, d->name);
    return coco__cli_unknown(c, word[1] == '-' ? "unknown option --" : "unknown option -", &near);
}

/* What stands behind an option: value, or where that is NULL the next word. */
static int coco__cli_value(coco__cli *c, const char *name, const char *value, const char **out)
{
    if (!value && c->next == c->end) return coco__cli_usage(c, "--%s wants a value", name);
    *out = value ? value : *c->next++;
    return 0;
}

/* strtoul alone would take blanks, signs and nothing at all. */
static int coco__cli_number(const coco__cli *c, const coco__cli_option *o, const char *value, unsigned *out)
{
    bool percent = o->kind == COCO__CLI_PERCENT;
    unsigned most = percent ? 100 : 999999999;
    size_t n = strspn(value, "0123456789");

    *out = n > 0 && n < 10 ? (unsigned)strtoul(value, NULL, 10) : most + 1;
    if (*out <= most && (!value[n] || (percent && strcmp(value + n, "%") == 0))) return 0;
    return coco__cli_usage(c, "--%s wants a number from 0 to %u, not %s", o->name, most, value);
}

static int coco__cli_set(coco__cli *c, const coco__cli_option *o, const char *value)
{
    void *field = (char *)c + o->field;

    if (o->kind == COCO__CLI_FLAG) {
        *(bool *)field = true;
        return value ? coco__cli_usage(c, "--%s takes no value", o->name) : 0;
    }
    if (o->kind == COCO__CLI_TEXT) return coco__cli_value(c, o->name, value, field);
    COCO_TRY(coco__cli_value(c, o->name, value, &value));
    return coco__cli_number(c, o, value, field);
}

/* --name, --name=value, --name value. Any app's parameter will do: which app is meant is known when all has been
 * read. */
static int coco__cli_long(coco__cli *c, char *word)
{
    const char *name = word + 2;
    size_t n = strcspn(name, "=");
    const char *value = name[n] ? name + n + 1 : NULL;

    COCO__CLI_EACH_OPTION(c, o) {
        if (strncmp(o->name, name, n) == 0 && !o->name[n]) return coco__cli_set(c, o, value);
    }
    COCO__CLI_EACH_PARAM(c, d) {
        if (strncmp(d->name, name, n) != 0 || d->name[n]) continue;
        if (c->nparams == COCO__CLI_PARAMS) return coco__cli_usage(c, "%s: too many parameters", word);
        c->params[c->nparams].name = d->name;
        return coco__cli_value(c, d->name, value, &c->params[c->nparams++].value);
    }
    return coco__cli_unknown_option(c, word);
}

/* -lr, -e FILE, -eFILE. */
static int coco__cli_short(coco__cli *c, char *word)
{
    for (const char *p = word + 1; *p; p++) {
        const coco__cli_option *found = NULL;

        COCO__CLI_EACH_OPTION(c, o) found = o->letter == *p ? o : found;
        if (!found) return coco__cli_unknown_option(c, word);
        if (found->kind != COCO__CLI_FLAG) return coco__cli_set(c, found, p[1] ? p + 1 : NULL);
        coco__cli_set(c, found, NULL);
    }
    return 0;
}

static int coco__cli_parse(coco__cli *c)
{
    bool words_only = false;

    for (c->words = c->next; c->next < c->end;) {
        char *word = *c->next++;

        if (words_only || word[0] != '-' || !word[1]) c->words[c->nwords++] = word;
        else if (strcmp(word, "--") == 0) words_only = true;
        else COCO_TRY(word[1] == '-' ? coco__cli_long(c, word) : coco__cli_short(c, word));
    }
    return 0;
}

static int coco__cli_check_params(const coco__cli *c)
{
    COCO__CLI_EACH_PARAM(c, d)
        for (const coco__cli_option *o = COCO__CLI_OPTIONS; o->name; o++)
            if ((o->commands & COCO__CLI_ENV) && strcmp(d->name, o->name) == 0)
                return coco__cli_usage(c, "parameter %s of %s is named like an option", d->name, c->apps[app_].name);
    return 0;
}

/* Several apps fit a name when they differ in their environment: NAME or NAME@ENV; NULL is the only one. */
static int coco__cli_select(const coco__cli *c, const char *word, const coco_app_config **app)
{
    coco__cli_nearest near = { .word = word ? word : "" };
    int found = 0;

    for (const coco_app_config *a = c->apps; a < c->apps + c->napps; a++) {
        size_t n = strlen(a->name);
        const char *rest = strncmp(near.word, a->name, n) == 0 ? near.word + n : "?";
        bool exact = *rest == '@' && a->env && strcmp(rest + 1, a->env) == 0;

        coco__cli_consider(&near, a->name);
        if (exact || !*rest || !word) *app = a, found++;
        if (exact) return 0;
    }
    if (found == 1) return 0;
    if (!word) return coco__cli_usage(c, "which app? %s --help names them", c->program);
    if (found > 1) return coco__cli_usage(c, "several apps are called %s: say %s@ENVIRONMENT", word, word);
    return coco__cli_unknown(c, "no app ", &near);
}

/* ---- Help -------------------------------------------------------------------------------------------------------- */

static void coco__cli_help_command(const coco__cli *c)
{
    const char *args = c->command.args, *help = c->command.help;
    char left[64];

    printf("usage: %s %s %s\n\n%s\n\noptions:\n", c->program, c->command.name, args ? args : "", help ? help : "");
    COCO__CLI_EACH_OPTION(c, o) {
        snprintf(left, sizeof left, o->letter ? "-%c, --%s %s" : "%c   --%s %s", o->letter ? o->letter : ' ', o->name,
                 o->arg ? o->arg : "");
        printf("  %-24s %s\n", left, o->help);
    }
    for (int i = 0; i < c->napps && (c->command.bit & (COCO__CLI_RUN | COCO__CLI_OWN)); i++) {
        const coco_param_def *d = c->apps[i].params;

        if (d && d->name) printf("\nparameters of %s:\n", c->apps[i].name);
        for (; d && d->name; d++)
            printf("  --%-22s %s (default: %s)\n", d->name, d->help ? d->help : "", d->def ? d->def : "none");
    }
}

static void coco__cli_help(const coco__cli *c)
{
    printf("usage: %s COMMAND%s [options]%s\n\ncommands:\n", c->program, c->napps > 1 ? " [APP]" : "",
           c->napps > 0 ? " [--PARAMETER VALUE ...]" : "");
    for (const coco__cli_command *k = c->commands; k->name; k++) printf("  %-24s %s\n", k->name, k->help);
    COCO__CLI_EACH_OWN(c, k) printf("  %-24s %s\n", k->name, k->help ? k->help : "");
    if (c->napps > 1) printf("\napps:\n");
    for (int i = 0; c->napps > 1 && i < c->napps; i++)
        printf("  %s%s%s\n", c->apps[i].name, c->apps[i].env ? "@" : "", c->apps[i].env ? c->apps[i].env : "");
    printf("\n%s COMMAND --help lists a command's options%s.\n", c->program, c->napps > 0 ? " and the parameters" : "");
}

/* ---- The .env file ----------------------------------------------------------------------------------------------- */

/* Takes the quotes off a value, or its comment and the blanks behind it, in place. Returns what is wrong, or NULL. */
static const char *coco__cli_env_value(char *value)
{
    char quote = *value == '"' || *value == '\'' ? *value : '\0';
    char *out = value, *end = value, *in = value + (quote != 0);

    for (; *in && *in != quote; in++) {
        bool escaped = quote == '"' && *in == '\\' && in[1];

        if (!quote && *in == '#' && (in == value || isspace((unsigned char)in[-1]))) break;
        if (escaped) in++;
        *out++ = !escaped ? *in : *in == 'n' ? '\n' : *in == 't' ? '\t' : *in == 'r' ? '\r' : *in;
        if (quote || !isspace((unsigned char)*in)) end = out;
    }
    if (quote && !*in) return "a quote is never closed";
    if (quote && (in += 1 + strspn(in + 1, " \t")) && *in && *in != '#') return "something follows the closing quote";
    *end = '\0';
    return NULL;
}

/* One line, without its newline. Returns what is wrong with it, or NULL. */
static const char *coco__cli_env_line(char *line)
{
    char *key = line + strspn(line, " \t"), *value;
    const char *wrong;
    size_t n;

    if (!*key || *key == '#') return NULL;
    if (strncmp(key, "export", 6) == 0 && (key[6] == ' ' || key[6] == '\t')) key += 6 + strspn(key + 6, " \t");
    n = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    value = key + n + strspn(key + n, " \t");
    if (n == 0 || isdigit((unsigned char)*key) || *value != '=') return "KEY=VALUE expected";
    key[n] = '\0';
    value += 1 + strspn(value + 1, " \t");
    wrong = coco__cli_env_value(value);
    return wrong || setenv(key, value, 0) == 0 ? wrong : strerror(errno);
}

/* The message names file and line, as a compiler's does. */
static int coco__cli_env_load(const coco__cli *c, const char *path)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    const char *wrong = NULL;
    size_t cap = 0, number = 0;
    ssize_t n;

    if (!f) return coco__cli_usage(c, "%s: %s", path, strerror(errno));
    while (!wrong && (n = getline(&line, &cap, f)) >= 0) {
        number++;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = '\0';
        wrong = strlen(line) == (size_t)n ? coco__cli_env_line(line) : "a NUL byte";
    }
    if (!wrong && ferror(f)) wrong = strerror(errno);
    if (wrong) coco__cli_usage(c, "%s:%zu: %s", path, number, wrong);
    free(line); /* getline's */
    fclose(f);
    return wrong ? COCO__EXIT_USAGE : 0;
}

/* Only a regular file counts: a directory of that name is a common place for other tools' things. */
static int coco__cli_read_env(const coco__cli *c)
{
    char path[PATH_MAX];
    struct stat st;

    if (c->no_env) return 0;
    if (c->env_file) return coco__cli_env_load(c, c->env_file);
    if (!getcwd(path, sizeof path - sizeof "/.env")) return 0;
    for (char *end = path + strlen(path); end; *end = '\0', end = strrchr(path, '/')) {
        strcpy(end, "/.env");
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) return coco__cli_env_load(c, path);
    }
    return 0;
}

/* ---- Databases --------------------------------------------------------------------------------------------------- */

/* Prints fmt with each % replaced by a coco_value as JSON, and each ' by ". */
static void coco__cli_json(const char *fmt, ...)
{
    static const coco__mem mem; /* libc's */
    coco__buf b;
    va_list ap;

    coco__buf_init(&b, &mem);
    va_start(ap, fmt);
    for (; *fmt; fmt++) {
        if (*fmt == '%') coco__value_json(&b, va_arg(ap, coco_value));
        else coco__buf_byte(&b, *fmt == '\'' ? '"' : (uint8_t)*fmt);
    }
    va_end(ap);
    if (!b.failed) fwrite(b.p, 1, b.n, stdout);
    coco__buf_free(&b);
}

/* Opens what --db or COCOINDEX_DB names; an empty one, as a .env file may leave it, counts as none. An app with an
 * environment of its own has it in a directory below the others', which is made with it. */
static coco_status coco__cli_open(const coco__cli *c, const char *env_name, coco_env_config *config, coco_env **env,
                                  coco_err *err)
{
    const char *db = c->db ? c->db : getenv("COCOINDEX_DB");
    char dir[PATH_MAX];

    *env = NULL;
    if (!db || !*db) db = ".cocoindex";
    if (env_name && !config->read_only) mkdir(db, 0777); /* coco_env_open says what is wrong with it */
    if (snprintf(dir, sizeof dir, env_name ? "%s/%s" : "%s", db, env_name) >= (int)sizeof dir)
        return coco_err_set(err, COCO_EINVAL, "state directory %.100s...: the name is too long", db);
    config->db = dir;
    config->name = env_name;
    return coco_env_open(config, env, err);
}

/* What is looked for among the apps that a database knows. */
typedef struct coco__cli_look {
    const coco__cli *c;
    const char *env;    /* whose database; NULL: the one environment */
    const char *wanted; /* app, or NULL: any */
    bool list;          /* print those that the program doesn't know */
    char name[256];     /* of the last that fits */
    int found;          /* how many do */
    bool has_run;
} coco__cli_look;

static bool coco__cli_same_env(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

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
static int coco__cli_see(coco__cli_look *l)
{
    coco_env_config config = { .read_only = true };
    coco_env *env;
    coco_err err = { 0 };
    coco_status rc = coco__cli_open(l->c, l->env, &config, &env, &err);

    if (rc == 0) rc = coco_inspect_apps(env, coco__cli_see_app, l, &err);
    coco_env_close(env);
    return rc == 0 || (rc == COCO_ENOTFOUND && l->c->napps > 0) ? 0 : coco__cli_error(l->c, COCO__EXIT_OPEN, &err);
}

/* ---- ls ---------------------------------------------------------------------------------------------------------- */

/* Each database's unknown apps are listed once: that without a name first, an app's own before the first app that is
 * in it. */
static int coco__cli_ls(coco__cli *c)
{
    if (c->nwords > 0) return coco__cli_usage(c, "ls takes no %s", c->words[0]);
    for (int i = -1; i < c->napps; i++) {
        coco__cli_look l = { .c = c, .env = i < 0 ? NULL : c->apps[i].env, .wanted = i < 0 ? NULL : c->apps[i].name };

        l.list = i < 0 || l.env;
        for (int k = 0; k < i; k++) l.list = l.list && !coco__cli_same_env(c->apps[k].env, l.env);
        COCO_TRY(coco__cli_see(&l));
        if (i >= 0) coco__cli_ls_line(&l, l.wanted, l.has_run, true);
    }
    return 0;
}

/* ---- show -------------------------------------------------------------------------------------------------------- */

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

/* Runs a command that reads a database in a child process: LMDB may die of a damaged page. */
static int coco__cli_apart(coco__cli *c, int (*run)(coco__cli *c))
{
    int status = 0;
    pid_t pid;

    fflush(stdout);
    fflush(stderr);
    if ((pid = fork()) < 0) return coco__cli_usage(c, "fork: %s", strerror(errno)) - 1;
    if (pid == 0) {
        status = run(c);
        _exit(fflush(stdout) != 0 && status == 0 ? COCO__EXIT_FAILED : status);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    coco__cli_usage(c, "the database's pages are damaged (%s): restore a backup", strsignal(WTERMSIG(status)));
    return COCO__EXIT_FAILED;
}

/* Nothing recorded is no failure, unless a path was asked for. */
static int coco__cli_show_here(coco__cli *c)
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

/* show [APP] [PATH]. */
static int coco__cli_show(coco__cli *c) { return coco__cli_apart(c, coco__cli_show_here); }

/* ---- check, compact, backup -------------------------------------------------------------------------------------- */

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
static int coco__cli_check_here(coco__cli *c)
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
    for (int i = 0; i < c->napps; i++) {
        bool again = false;

        for (int k = 0; k < i; k++) again |= coco__cli_same_env(c->apps[k].env, c->apps[i].env);
        if (!again && (one = coco__cli_check_env(c, c->apps[i].env, NULL)) > status) status = one;
    }
    return status;
}

/* compact [APP]. */
static int coco__cli_compact_here(coco__cli *c)
{
    const char *env_name, *db = c->db ? c->db : getenv("COCOINDEX_DB");
    coco_env_config config = { .db = NULL };
    coco_err err = { 0 };
    char dir[PATH_MAX];
    coco_status rc;

    if (c->nwords > 1) return coco__cli_usage(c, "compact takes one app, not also %s", c->words[1]);
    COCO_TRY(coco__cli_which_env(c, c->nwords > 0 ? c->words[0] : NULL, &env_name));
    snprintf(dir, sizeof dir, "%s%s%s", db && *db ? db : ".cocoindex", env_name ? "/" : "", env_name ? env_name : "");
    config.db = dir;
    rc = coco_compact(&config, &err);
    return rc == 0 ? 0 : coco__cli_store_error(c, rc, &err);
}

/* backup [APP] FILE. */
static int coco__cli_backup_here(coco__cli *c)
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

static int coco__cli_check(coco__cli *c) { return coco__cli_apart(c, coco__cli_check_here); }
static int coco__cli_compact(coco__cli *c) { return coco__cli_apart(c, coco__cli_compact_here); }
static int coco__cli_backup(coco__cli *c) { return coco__cli_apart(c, coco__cli_backup_here); }

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

/* What the handler needs: the app whose update runs, or NULL; whether it has been asked to stop (2: and said so);
 * whether ^C stands in the line. */
static coco_app *_Atomic coco__cli_running;
static volatile sig_atomic_t coco__cli_stopping, coco__cli_on_terminal;

/* Only what POSIX allows in a handler: write, _exit, and coco_app_stop, which is made for it. */
static void coco__cli_on_signal(int signo)
{
    coco_app *app = atomic_load(&coco__cli_running);
    const char *said = coco__cli_on_terminal ? "\nStopping\n" : "Stopping\n";
    int saved = errno;
    ssize_t ignored;

    (void)signo;
    if (!app || coco__cli_stopping) _exit(COCO__EXIT_STOPPED);
    coco__cli_stopping = 1;
    coco_app_stop(app);
    ignored = write(2, said, strlen(said));
    (void)ignored;
    errno = saved;
}

/* Statics are set anew: a program may call coco_main more than once. */
static void coco__cli_catch(struct sigaction before[2])
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = coco__cli_on_signal;
    sigemptyset(&action.sa_mask);
    atomic_store(&coco__cli_running, NULL);
    coco__cli_stopping = 0;
    coco__cli_on_terminal = isatty(2);
    sigaction(SIGINT, &action, &before[0]);
    sigaction(SIGTERM, &action, &before[1]);
}

/* ---- What is printed while an update runs ------------------------------------------------------------------------ */

/* An app of the program, opened, and what an update of it prints. */
typedef struct coco__cli_run {
    const coco__cli *c; /* the command line */
    const char *name;   /* of the app */
    coco_env *env;
    coco_app *app;
    bool root_told, guard;   /* a failure was told: of main itself; of the guard */
    pthread_mutex_t lock;    /* of all that is printed, and of what follows */
    bool progress, terminal; /* displayed; redrawn in place */
    bool following;          /* live, and ready */
    unsigned lines;          /* on the screen, just above the cursor */
    uint64_t begun, drawn;   /* monotonic ns: start, last drawing */
    coco_stats last;         /* what was drawn */
} coco__cli_run;

/* The i-th count of a function, with its name for people and for JSON; false past the last. */
static bool coco__cli_count(const coco_fn_stats *f, size_t i, uint64_t *n, const char *names[2])
{
    static const char *const NAMES[][2] = {
        { "added", "added" }, { "reprocessed", "reprocessed" }, { "unchanged", "unchanged" }, { "deleted", "deleted" },
        { "failed", "errors" }, { "memo hits", "memo_hits" }, { "memo misses", "memo_misses" },
    };
    const uint64_t counts[] = { f->added,  f->reprocessed, f->unchanged,  f->deleted,
                                f->errors, f->memo_hits,   f->memo_misses };

    if (i == sizeof counts / sizeof counts[0]) return false;
    *n = counts[i];
    memcpy(names, NAMES[i], sizeof NAMES[i]);
    return true;
}

/* Components and calls that are through. */
static uint64_t coco__cli_through(const coco_fn_stats *f)
{
    const char *names[2];
    uint64_t sum = 0, n;

    for (size_t i = 0; coco__cli_count(f, i, &n, names); i++) sum += n;
    return sum;
}

/* Appends "convert: 120 added, 7 unchanged, 450/s", cut to the terminal's width at a character. */
static void coco__cli_put_line(const coco__cli_run *run, coco__buf *b, const coco_fn_stats *f, size_t width)
{
    double seconds = (double)(coco__monotonic_ns() - run->begun) / 1e9;
    const char *gap = ":", *names[2];
    size_t from = b->n;
    uint64_t n;

    coco__buf_str(b, f->name);
    for (size_t i = 0; coco__cli_count(f, i, &n, names); i++) {
        if (n > 0) coco__buf_printf(b, "%s %llu %s", gap, (unsigned long long)n, names[0]);
        if (n > 0) gap = ",";
    }
    if (seconds >= 1 && !run->following) coco__buf_printf(b, ", %.0f/s", (double)coco__cli_through(f) / seconds);
    for (size_t i = from, columns = 0; i < b->n; i++)
        if ((b->p[i] & 0xC0) != 0x80 && columns++ == width) b->n = i;
    coco__buf_str(b, run->terminal ? "\033[K\n" : "\n");
}

/* The function's last line still holds; a name is the same pointer in all statistics. */
static bool coco__cli_holds(const coco__cli_run *run, const coco_fn_stats *f)
{
    for (size_t i = 0; i < run->last.nfns; i++)
        if (run->last.fns[i].name == f->name) return coco__cli_through(&run->last.fns[i]) == coco__cli_through(f);
    return coco__cli_through(f) == 0;
}

/* On a terminal all functions' lines, over those drawn before (one too low for them shows the first); elsewhere
 * those of the functions whose counts changed. */
static void coco__cli_draw(coco__cli_run *run)
{
    static const coco__mem mem; /* libc's */
    struct winsize size = { .ws_row = 0 };
    size_t rows = run->terminal ? 23 : SIZE_MAX, width = run->terminal ? 79 : SIZE_MAX;
    coco_stats stats;
    coco__buf b;

    if (coco_stats_get(run->app, &stats) != 0) return;
    coco__buf_init(&b, &mem);
    if (run->terminal && ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 && size.ws_col > 1)
        rows = size.ws_row - 1u, width = size.ws_col - 1u;
    if (run->lines > 0) coco__buf_printf(&b, "\r\033[%uA\033[J", run->lines);
    run->lines = 0;
    for (size_t i = 0; i < stats.nfns && run->lines < rows; i++) {
        if (run->terminal ? coco__cli_through(&stats.fns[i]) == 0 : coco__cli_holds(run, &stats.fns[i])) continue;
        coco__cli_put_line(run, &b, &stats.fns[i], width);
        run->lines += run->terminal;
    }
    if (!b.failed && b.n > 0) fwrite(b.p, 1, b.n, stdout);
    fflush(stdout);
    coco__buf_free(&b);
    coco_stats_free(&run->last);
    run->last = stats;
}

/* Takes the lock, and the progress lines away. Those above a "Stopping" stay. */
static void coco__cli_say(coco__cli_run *run)
{
    pthread_mutex_lock(&run->lock);
    if (run->lines > 0 && coco__cli_stopping != 1) printf("\r\033[%uA\033[J", run->lines);
    if (coco__cli_stopping == 1) coco__cli_stopping = 2;
    fflush(stdout);
    run->lines = 0;
}

static void coco__cli_said(coco__cli_run *run)
{
    fflush(stdout);
    pthread_mutex_unlock(&run->lock);
}

/* Told as it happens, so that a long update doesn't keep its failures to itself. */
static bool coco__cli_on_failure(void *user, const coco_failure *f)
{
    coco__cli_run *run = user;

    coco__cli_say(run);
    run->root_told |= f->kind == COCO_MOUNT_ROOT;
    run->guard |= f->code == COCO_EGUARD;
    fprintf(stderr, "%s: %s%s%s\n", f->path, f->function, f->function[0] ? ": " : "", f->message);
    if (run->c->json)
        coco__cli_json("{'type':'failure','path':%,'function':%,'error':%,'message':%}\n", coco_text(f->path),
                       coco_text(f->function), coco_text(coco_status_name(f->code)), coco_text(f->message));
    coco__cli_said(run);
    return true;
}

/* Also a notice of the program's: the engine logs it as a warning. */
static void coco__cli_on_log(void *user, coco_log_level level, const char *message)
{
    static const char *const LEVELS[] = { "error", "warning", "info", "debug" };

    coco__cli_say(user);
    fprintf(stderr, "%s: %s\n", LEVELS[level], message);
    coco__cli_said(user);
}

/* --explain: a component runs. --preview: a target state would be written or deleted. */
static void coco__cli_tell_event(const coco__cli *c, const coco_event *e)
{
    static const char *const WORDS[] = { "insert", "update", "delete" };

    if (e->kind == COCO_EV_STARTED && c->json)
        coco__cli_json("{'type':'ran','path':%,'function':%,'reason':%}\n", coco_text(e->path), coco_text(e->function),
                       coco_text(e->detail));
    else if (e->kind == COCO_EV_STARTED)
        printf("%s: ran: %s\n", e->path, e->detail);
    else if (c->json)
        coco__cli_json("{'type':'action','action':%,'state':%,'path':%,'text':%,'container':%}\n",
                       coco_text(WORDS[e->action]), coco_text(e->state), coco_text(e->path), coco_text(e->detail),
                       coco_bool(e->container));
    else
        printf("%c %s%s%s%s\n", "+~-"[e->action], e->state, e->detail[0] ? "  " : "", e->detail,
               e->container ? "  (container)" : "");
}

/* Live: what was there at the start is done. A rate means nothing from then on. */
static void coco__cli_tell_ready(coco__cli_run *run)
{
    double seconds = (double)(coco__monotonic_ns() - run->begun) / 1e9;

    coco__cli_say(run);
    if (run->c->json)
        coco__cli_json("{'type':'ready','app':%,'seconds':%}\n", coco_text(run->name), coco_float(seconds));
    else if (!run->c->quiet) printf("%s: in step after %.2f s, following changes\n", run->name, seconds);
    run->following = true;
    coco__cli_said(run);
}

/* Each event is an opportunity to draw the progress, and the clock says whether it is taken: ten times a second on a
 * terminal, else once. One that comes while another thread prints draws nothing. */
static void coco__cli_on_event(void *user, const coco_event *e)
{
    coco__cli_run *run = user;
    uint64_t now = coco__monotonic_ns();

    if ((e->kind == COCO_EV_STARTED && run->c->explain) || (e->kind == COCO_EV_APPLIED && run->c->preview)) {
        coco__cli_say(run);
        coco__cli_tell_event(run->c, e);
        coco__cli_said(run);
    }
    if (e->kind == COCO_EV_READY && run->c->live) coco__cli_tell_ready(run);
    if (!run->progress || coco__cli_stopping == 1 || pthread_mutex_trylock(&run->lock) != 0) return;
    if (now - run->drawn >= (run->terminal ? 100000000u : 1000000000u)) {
        run->drawn = now;
        coco__cli_draw(run);
    }
    pthread_mutex_unlock(&run->lock);
}

/* ---- The end of an update ---------------------------------------------------------------------------------------- */

/* {"type":"summary", …}: the last line of --json. */
static void coco__cli_json_summary(const coco__cli_run *run, const coco_result *r)
{
    const char *names[2];
    coco_stats s;
    uint64_t n;

    if (coco_stats_get(run->app, &s) != 0) memset(&s, 0, sizeof s);
    coco__cli_json("{'type':'summary','app':%,'seconds':%,'functions':{", coco_text(run->name), coco_float(r->seconds));
    for (size_t i = 0; i < s.nfns; i++) {
        coco__cli_json(i ? ",%:" : "%:", coco_text(s.fns[i].name));
        for (size_t k = 0; coco__cli_count(&s.fns[i], k, &n, names); k++)
            coco__cli_json(k ? ",%:%" : "{%:%", coco_text(names[1]), coco_int((int64_t)n));
        putchar('}');
    }
    printf("},\"targets\":{");
    for (size_t i = 0; i < s.ntargets; i++)
        coco__cli_json(i ? ",%:{'insert':%,'update':%,'delete':%}" : "%:{'insert':%,'update':%,'delete':%}",
                       coco_text(s.targets[i].title), coco_int((int64_t)s.targets[i].inserts),
                       coco_int((int64_t)s.targets[i].updates), coco_int((int64_t)s.targets[i].deletes));
    printf("},\"failed\":[");
    for (size_t i = 0; i < r->nfailed_paths; i++) coco__cli_json(i ? ",%" : "%", coco_text(r->failed[i]));
    printf("]}\n");
    coco_stats_free(&s);
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
    printf("%s: %llu inserted, %llu updated, %llu deleted in %.2f s%s", run->name, inserts, updates, deletes,
           r->seconds, end);
    if (r->saved_seconds >= 0.005 || r->saved_units > 0) printf("; memos saved %.2f s", r->saved_seconds);
    if (r->saved_units > 0) printf(" and %g units", r->saved_units);
    putchar('\n');
}

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
    if (c->explain || c->preview || c->live || (!c->quiet && !c->json)) env.on_event = coco__cli_on_event;
    if (!c->quiet && !getenv("COCOINDEX_LOG_LEVEL")) env.log_level = COCO_LOG_WARN;
    if (c->threads > 0) app.threads = c->threads;
    if (c->max_inflight > 0) app.max_inflight = c->max_inflight;
    rc = coco__cli_open(c, app.env, &env, &run->env, &err);
    if (rc == 0) rc = coco_app_open(run->env, &app, &run->app, &err);
    for (int i = 0; i < c->nparams && rc == 0; i++) {
        rc = coco_app_set_param(run->app, c->params[i].name, c->params[i].value, &err);
        if (rc != 0) status = COCO__EXIT_USAGE;
    }
    if (rc == 0) rc = coco_app_setup(run->app, &err);
    if (rc == 0) return 0;
    coco__cli_close_run(run);
    return coco__cli_error(c, status, &err);
}

/* ---- update and drop --------------------------------------------------------------------------------------------- */

/* Has anything come through since the last drawing? */
static bool coco__cli_changed(coco__cli_run *run)
{
    coco_stats now;
    bool changed = false;

    if (coco_stats_get(run->app, &now) != 0) return false;
    for (size_t i = 0; i < now.nfns && !changed; i++) changed = !coco__cli_holds(run, &now.fns[i]);
    coco_stats_free(&now);
    return changed;
}

/* A live update: on a thread of its own, since what comes of the last event for a while must be drawn behind it. */
static coco_status coco__cli_follow(coco__cli_run *run, const coco_update_opts *opts, coco_result *r, coco_err *err)
{
    const struct timespec wait = { .tv_nsec = 100 * 1000 * 1000 };
    const uint64_t gap = run->terminal ? 100000000u : 1000000000u;
    coco_running *update;

    COCO_TRY(coco_update_start(run->app, opts, &update, err));
    while (!coco_update_done(update)) {
        nanosleep(&wait, NULL); /* a signal ends it */
        pthread_mutex_lock(&run->lock);
        if (run->progress && !coco__cli_stopping && coco__monotonic_ns() - run->drawn >= gap &&
            coco__cli_changed(run)) {
            run->drawn = coco__monotonic_ns();
            coco__cli_draw(run);
        }
        pthread_mutex_unlock(&run->lock);
    }
    return coco_update_wait(update, r, err);
}

/* Does what a command of that bit does, and reports. Between the two stores a signal stops it; outside it ends the
 * process. With --json a drop is the first half of `update --reset`, whose last line is the summary: it prints
 * nothing. */
static int coco__cli_go(coco__cli_run *run, unsigned bit)
{
    const coco__cli *c = run->c;
    coco_update_opts opts = { .live = c->live, .full_reprocess = c->full_reprocess, .preview = c->preview,
                              .only = c->only, .allow_delete = c->allow_delete, .recheck = c->recheck };
    coco_result r = { .run = 0 };
    coco_err err = { 0 };
    coco_status rc;
    bool text;
    int status;

    run->root_told = run->guard = false;
    run->progress = bit == COCO__CLI_UPDATE && !c->quiet && !c->json && !c->preview;
    run->begun = run->drawn = coco__monotonic_ns();
    atomic_store(&coco__cli_running, run->app);
    if (bit == COCO__CLI_UPDATE && c->live) rc = coco__cli_follow(run, &opts, &r, &err);
    else if (bit == COCO__CLI_UPDATE) rc = coco_update(run->app, &opts, &r, &err);
    else rc = c->forget ? coco_forget(run->app, c->forget, &err) : coco_drop(run->app, &r, &err);
    atomic_store(&coco__cli_running, NULL);
    coco__cli_say(run);
    if (run->progress) coco__cli_draw(run);
    run->lines = 0;
    coco__cli_said(run);
    status = coco__cli_report(run, rc, &r, &err);
    text = !c->quiet && !c->json && status != COCO__EXIT_USAGE && status != COCO__EXIT_OPEN; /* something ran */
    if (bit == COCO__CLI_UPDATE && c->json) coco__cli_json_summary(run, &r);
    else if (bit == COCO__CLI_UPDATE && text) coco__cli_text_summary(run, &r, rc);
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
    if (l.has_run) status = coco__cli_go(&run, COCO__CLI_DROP);
    if (status == 0 && update) status = coco__cli_go(&run, COCO__CLI_UPDATE);
    coco__cli_close_run(&run);
    return status;
}

/* ---- The app's own commands -------------------------------------------------------------------------------------- */

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

/* ---- The commands ------------------------------------------------------------------------------------------------ */

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
    return c->command.run(c);
}

/* The tool's main too: commands are set, and a program's apps. */
static int coco__cli_main(coco__cli *c, int argc, char **argv)
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
