/* cli_args.c - reading a command line: options, app parameters, help, the .env file.
 *
 * One table describes every option of every command: what the parser accepts, what help prints and what an app
 * parameter may not be called are the same list. Errors go to standard error with a hint at the nearest word, and are
 * exit status 2. Calls cocoindex.h and base.c. */
#include "cli.h"

#include <ctype.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* A flag sets a bool, the others take a value. */
enum coco__cli_kind { COCO__CLI_FLAG, COCO__CLI_TEXT, COCO__CLI_NUMBER, COCO__CLI_PERCENT };

typedef struct coco__cli_option {
    const char *name; /* without the dashes */
    char letter;      /* or 0 */
    enum coco__cli_kind kind;
    size_t field;      /* in coco__cli: a bool, a const char *, or an unsigned */
    unsigned commands; /* it belongs to */
    const char *arg;   /* what its value is called, or NULL */
    const char *help;  /* one line */
} coco__cli_option;

#define COCO__CLI_RUN (COCO__CLI_UPDATE | COCO__CLI_DROP)
#define COCO__CLI_LIST (COCO__CLI_LS | COCO__CLI_SHOW)
#define COCO__CLI_ENV (COCO__CLI_RUN | COCO__CLI_LIST | COCO__CLI_OWN)
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
    COCO__CLI_F("json", 0, json, COCO__CLI_UPDATE | COCO__CLI_LIST, "one JSON object a line"),
    COCO__CLI_V("output", 'o', TEXT, output, COCO__CLI_LOGIC, "FILE", "write there, if all went well"),
    COCO__CLI_V("db", 0, TEXT, db, COCO__CLI_ENV, "DIR", "state directory (COCOINDEX_DB, else ./.cocoindex)"),
    COCO__CLI_V("env-file", 'e', TEXT, env_file, COCO__CLI_ENV, "FILE", "variables, not from the nearest .env upward"),
    COCO__CLI_F("no-env", 0, no_env, COCO__CLI_ENV, "read no such file"),
    COCO__CLI_F("help", 'h', help, COCO__CLI_ALL, "this text"),
};
#define COCO__CLI_NOPTIONS (sizeof COCO__CLI_OPTIONS / sizeof COCO__CLI_OPTIONS[0])

COCO__IN int coco__cli_usage(const coco__cli *c, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s: ", c->program);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return COCO__EXIT_USAGE;
}

/* ---- The nearest word -------------------------------------------------------------------------------------------- */

/* Edit distance of two short words; longer ones count as far apart. */
static size_t coco__cli_distance(const char *a, const char *b)
{
    size_t row[64], na = strlen(a), nb = strlen(b);

    if (na >= 64 || nb >= 64) return 64;
    for (size_t j = 0; j <= nb; j++) row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[nb];
}

COCO__IN void coco__cli_consider(coco__cli_nearest *n, const char *candidate)
{
    size_t d = coco__cli_distance(n->word, candidate);

    if (d > 1 + strlen(n->word) / 4 || (n->best != NULL && d >= n->distance)) return;
    n->best = candidate;
    n->distance = d;
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

/* All own commands share one bit: what they take besides, they read from their words. */
static unsigned coco__cli_bit(const coco__cli *c)
{
    return c->own != NULL ? COCO__CLI_OWN : c->command->bit;
}

static const char *coco__cli_command_name(const coco__cli *c)
{
    return c->own != NULL ? c->own->name : c->command->name;
}

/* By letter, or where that is 0 by the n bytes of name; only an option of the chosen command is found. */
static const coco__cli_option *coco__cli_find_option(const coco__cli *c, const char *name, size_t n, char letter)
{
    for (size_t i = 0; i < COCO__CLI_NOPTIONS; i++) {
        const coco__cli_option *o = &COCO__CLI_OPTIONS[i];

        if ((o->commands & coco__cli_bit(c)) == 0) continue;
        if (letter != 0 ? o->letter == letter : strlen(o->name) == n && memcmp(o->name, name, n) == 0) return o;
    }
    return NULL;
}

/* The parameter of any app with that name: which app is meant is known when the line has been read. */
static const coco_param_def *coco__cli_find_param(const coco__cli *c, const char *name, size_t n)
{
    for (int i = 0; i < c->napps; i++)
        for (const coco_param_def *d = c->apps[i].params; d != NULL && d->name != NULL; d++)
            if (strlen(d->name) == n && memcmp(d->name, name, n) == 0) return d;
    return NULL;
}

/* strtoul alone would take blanks, signs and nothing at all. */
static int coco__cli_number(coco__cli *c, const coco__cli_option *o, const char *value, unsigned *out)
{
    unsigned long most = o->kind == COCO__CLI_PERCENT ? 100 : UINT_MAX, number;
    char *end;

    errno = 0;
    number = strtoul(value, &end, 10);
    if (o->kind == COCO__CLI_PERCENT && *end == '%') end++;
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 || number > most)
        return coco__cli_usage(c, "--%s wants a number from 0 to %lu, not %s", o->name, most, value);
    *out = (unsigned)number;
    return 0;
}

static int coco__cli_set(coco__cli *c, const coco__cli_option *o, const char *value)
{
    void *field = (char *)c + o->field;

    if (o->kind == COCO__CLI_FLAG) *(bool *)field = true;
    else if (o->kind == COCO__CLI_TEXT) *(const char **)field = value;
    else return coco__cli_number(c, o, value, field);
    return 0;
}

/* The hint is looked for among the options and parameters that would have been taken here. */
static int coco__cli_unknown(coco__cli *c, const char *word)
{
    coco__cli_nearest near = { .word = word + strspn(word, "-") };
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)strcspn(near.word, "="), near.word);
    near.word = name;
    for (size_t i = 0; i < COCO__CLI_NOPTIONS; i++)
        if (COCO__CLI_OPTIONS[i].commands & coco__cli_bit(c)) coco__cli_consider(&near, COCO__CLI_OPTIONS[i].name);
    for (int i = 0; i < c->napps; i++)
        for (const coco_param_def *d = c->apps[i].params; d != NULL && d->name != NULL; d++)
            coco__cli_consider(&near, d->name);
    if (near.best != NULL)
        return coco__cli_usage(c, "unknown option %s: did you mean --%s?", word, near.best);
    return coco__cli_usage(c, "unknown option %s: %s %s --help lists them", word, c->program,
                           coco__cli_command_name(c));
}

/* --name, --name=value, --name value: *i is moved over a value in the next word. */
static int coco__cli_long(coco__cli *c, int argc, char **argv, int *i)
{
    const char *word = argv[*i], *name = word + 2, *equals = strchr(name, '='), *value = NULL;
    size_t n = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const coco__cli_option *o = coco__cli_find_option(c, name, n, 0);
    const coco_param_def *param = o == NULL ? coco__cli_find_param(c, name, n) : NULL;

    if (o == NULL && param == NULL) {
        if (c->own == NULL) return coco__cli_unknown(c, word);
        c->words[c->nwords++] = argv[*i]; /* the command knows its own */
        return 0;
    }
    if (o != NULL && o->kind == COCO__CLI_FLAG) {
        if (equals != NULL) return coco__cli_usage(c, "--%s takes no value", o->name);
        return coco__cli_set(c, o, NULL);
    }
    if (equals != NULL) value = equals + 1;
    else if (*i + 1 < argc) value = argv[++*i];
    else return coco__cli_usage(c, "%s wants a value", word);
    if (o != NULL) return coco__cli_set(c, o, value);
    c->params[c->nparams++] = (coco__cli_param){ param->name, value };
    return 0;
}

/* -lr, -e FILE, -eFILE. */
static int coco__cli_short(coco__cli *c, int argc, char **argv, int *i)
{
    for (const char *p = argv[*i] + 1; *p != '\0'; p++) {
        const coco__cli_option *o = coco__cli_find_option(c, NULL, 0, *p);

        if (o == NULL) {
            if (c->own == NULL || p != argv[*i] + 1) return coco__cli_unknown(c, argv[*i]);
            c->words[c->nwords++] = argv[*i];
            return 0;
        }
        if (o->kind == COCO__CLI_FLAG) {
            COCO_TRY(coco__cli_set(c, o, NULL));
            continue;
        }
        if (p[1] != '\0') return coco__cli_set(c, o, p + 1);
        if (*i + 1 >= argc) return coco__cli_usage(c, "-%c wants a value", *p);
        return coco__cli_set(c, o, argv[++*i]);
    }
    return 0;
}

/* Words and parameters have room for all of argv, so nothing grows. */
COCO__IN int coco__cli_parse(coco__cli *c, int argc, char **argv)
{
    bool words_only = false;

    for (int i = 0; i < argc; i++) {
        if (words_only || argv[i][0] != '-' || argv[i][1] == '\0') c->words[c->nwords++] = argv[i];
        else if (strcmp(argv[i], "--") == 0) words_only = true;
        else if (argv[i][1] == '-') COCO_TRY(coco__cli_long(c, argc, argv, &i));
        else COCO_TRY(coco__cli_short(c, argc, argv, &i));
    }
    return 0;
}

COCO__IN int coco__cli_check_params(const coco__cli *c)
{
    for (int i = 0; i < c->napps; i++)
        for (const coco_param_def *d = c->apps[i].params; d != NULL && d->name != NULL; d++)
            for (size_t k = 0; k < COCO__CLI_NOPTIONS; k++)
                if ((COCO__CLI_OPTIONS[k].commands & COCO__CLI_ENV) && strcmp(d->name, COCO__CLI_OPTIONS[k].name) == 0)
                    return coco__cli_usage(c, "parameter %s of app %s is named like an option", d->name,
                                           c->apps[i].name);
    return 0;
}

/* ---- Help -------------------------------------------------------------------------------------------------------- */

static void coco__cli_help_line(const char *left, const char *help)
{
    printf("  %-24s %s\n", left, help != NULL ? help : "");
}

/* Also of apps that the command line doesn't name: which one is meant isn't known when help is asked for. */
static void coco__cli_help_params(const coco__cli *c)
{
    for (int i = 0; i < c->napps; i++) {
        const coco_param_def *d = c->apps[i].params;

        if (d == NULL || d->name == NULL) continue;
        printf("\nparameters of %s:\n", c->apps[i].name);
        for (; d->name != NULL; d++) {
            printf("  --%-22s %s", d->name, d->help != NULL ? d->help : "");
            if (d->def != NULL) printf(" (default: %s)", d->def);
            putchar('\n');
        }
    }
}

static void coco__cli_help_command(const coco__cli *c)
{
    const char *args = c->own != NULL ? c->own->args : c->command->args;
    const char *help = c->own != NULL ? c->own->help : c->command->help;

    printf("usage: %s %s %s\n\n", c->program, coco__cli_command_name(c), args != NULL ? args : "");
    printf("%s\n\noptions:\n", help != NULL ? help : "");
    for (size_t i = 0; i < COCO__CLI_NOPTIONS; i++) {
        const coco__cli_option *o = &COCO__CLI_OPTIONS[i];
        char left[64];

        if ((o->commands & coco__cli_bit(c)) == 0) continue;
        snprintf(left, sizeof left, "%c%c%s--%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                 o->letter ? ", " : "  ", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        coco__cli_help_line(left, o->help);
    }
    if ((coco__cli_bit(c) & (COCO__CLI_RUN | COCO__CLI_OWN)) != 0) coco__cli_help_params(c);
}

COCO__IN void coco__cli_help(const coco__cli *c)
{
    if (c->command != NULL || c->own != NULL) {
        coco__cli_help_command(c);
        return;
    }
    printf("usage: %s COMMAND%s [options]%s\n\ncommands:\n", c->program, c->napps > 1 ? " [APP]" : "",
           c->napps > 0 ? " [--PARAMETER VALUE ...]" : "");
    for (const coco__cli_command *k = c->commands; k->name != NULL; k++) coco__cli_help_line(k->name, k->help);
    for (int i = 0; i < c->napps; i++)
        for (const coco_command *k = c->apps[i].commands; k != NULL && k->name != NULL; k++)
            coco__cli_help_line(k->name, k->help);
    if (c->napps > 1) printf("\napps:");
    for (int i = 0; c->napps > 1 && i < c->napps; i++)
        printf(" %s%s%s", c->apps[i].name, c->apps[i].env ? "@" : "", c->apps[i].env ? c->apps[i].env : "");
    printf("%s\n%s COMMAND --help lists a command's options%s.\n", c->napps > 1 ? "\n" : "", c->program,
           c->napps > 0 ? " and the parameters" : "");
}

/* ---- The .env file ----------------------------------------------------------------------------------------------- */

/* Takes the quotes off a value, in place. Returns what follows the closing one, or NULL where there is none. */
static char *coco__cli_unquote(char *p)
{
    char quote = *p, *out = p, *in = p + 1;

    for (; *in != quote; in++) {
        if (*in == '\0') return NULL;
        if (quote == '"' && *in == '\\' && in[1] != '\0') {
            in++;
            *out++ = *in == 'n' ? '\n' : *in == 't' ? '\t' : *in == 'r' ? '\r' : *in;
        } else {
            *out++ = *in;
        }
    }
    *out = '\0';
    return in + 1;
}

static char *coco__cli_skip_blanks(char *p)
{
    return p + strspn(p, " \t");
}

/* Ends an unquoted value: before a comment behind a blank, without trailing blanks. */
static void coco__cli_trim(char *p)
{
    char *end = p;

    for (char *q = p; *q != '\0' && !(*q == '#' && (q == p || isspace((unsigned char)q[-1]))); q++)
        if (!isspace((unsigned char)*q)) end = q + 1;
    *end = '\0';
}

/* One line, without its newline. Returns what is wrong with it, or NULL. */
static const char *coco__cli_env_line(char *line)
{
    char *key = coco__cli_skip_blanks(line), *value, *end;
    size_t n;

    if (*key == '\0' || *key == '#') return NULL;
    if (strncmp(key, "export", 6) == 0 && (key[6] == ' ' || key[6] == '\t')) key = coco__cli_skip_blanks(key + 6);
    n = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    if (n == 0 || isdigit((unsigned char)*key)) return "KEY=VALUE expected";
    value = coco__cli_skip_blanks(key + n);
    if (*value != '=') return "KEY=VALUE expected";
    key[n] = '\0';
    value = coco__cli_skip_blanks(value + 1);
    if (*value == '"' || *value == '\'') {
        end = coco__cli_unquote(value);
        if (end == NULL) return "a quote is never closed";
        end = coco__cli_skip_blanks(end);
        if (*end != '\0' && *end != '#') return "something follows the closing quote";
    } else {
        coco__cli_trim(value);
    }
    return setenv(key, value, 0) == 0 ? NULL : strerror(errno);
}

/* The message names file and line, as a compiler's does. */
static int coco__cli_env_load(const coco__cli *c, const char *path)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    const char *wrong = NULL;
    size_t cap = 0, number = 0;
    ssize_t n;

    if (f == NULL) return coco__cli_usage(c, "%s: %s", path, strerror(errno));
    while (wrong == NULL && (n = getline(&line, &cap, f)) >= 0) {
        number++;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = '\0';
        wrong = strlen(line) == (size_t)n ? coco__cli_env_line(line) : "a NUL byte";
    }
    if (wrong == NULL && ferror(f)) wrong = strerror(errno);
    if (wrong != NULL) coco__cli_usage(c, "%s:%zu: %s", path, number, wrong);
    free(line); /* getline's */
    fclose(f);
    return wrong != NULL ? COCO__EXIT_USAGE : 0;
}

/* Only a regular file counts: a directory of that name is a common place for other tools' things. */
COCO__IN int coco__cli_read_env(const coco__cli *c)
{
    char path[PATH_MAX];
    struct stat st;
    size_t n;

    if (c->no_env) return 0;
    if (c->env_file != NULL) return coco__cli_env_load(c, c->env_file);
    if (getcwd(path, sizeof path - sizeof "/.env") == NULL) return 0;
    for (n = strlen(path); n > 0; n--) {
        if (path[n] != '/' && path[n] != '\0') continue;
        strcpy(path + n, "/.env");
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) return coco__cli_env_load(c, path);
    }
    if (stat("/.env", &st) == 0 && S_ISREG(st.st_mode)) return coco__cli_env_load(c, "/.env");
    return 0;
}
