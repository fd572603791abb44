/* cli_line.c - the words of a command line: options, parameters, help, and the .env file.
 *
 * One table describes every option of every command: what the parser accepts, what help prints and what an app
 * parameter may not be called are the same list. Wrong usage is told with a hint at the nearest word, and is exit
 * status 2.
 *
 * Floor: the first of the command line. */
#include "cli.h"

#include <ctype.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Errors and output ---- */

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

/* The message names its object itself; a bare code (no memory for a message) is put in words. */
COCO__IN int coco__cli_error(const coco__cli *c, int status, const coco_err *err)
{
    coco__cli_usage(c, "%s", err->msg[0] ? err->msg : coco_status_text(err->code));
    return status;
}

COCO__IN void coco__cli_json(const char *fmt, ...)
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

/* Do so many typing errors, at most, make one of the other? */
static bool coco__cli_similar(const char *a, const char *b, size_t errors)
{
    while (*a && *a == *b) a++, b++;
    if (!*a && !*b) return true;
    if (errors-- == 0) return false;
    return (*a && coco__cli_similar(a + 1, b, errors)) || (*b && coco__cli_similar(a, b + 1, errors)) ||
           (*a && *b && coco__cli_similar(a + 1, b + 1, errors));
}

COCO__IN void coco__cli_consider(coco__cli_nearest *n, const char *candidate)
{
    size_t length = strlen(n->word), most = length < 4 ? 1 : length < 8 ? 2 : 3;

    for (; n->closer <= most && coco__cli_similar(n->word, candidate, most - n->closer); n->closer++)
        n->best = candidate;
}

COCO__IN int coco__cli_unknown(const coco__cli *c, const char *what, const coco__cli_nearest *near)
{
    const char *dashes = strchr(what, '-') ? "--" : "";

    if (near->best) return coco__cli_usage(c, "%s%s: did you mean %s%s?", what, near->word, dashes, near->best);
    return coco__cli_usage(c, "%s%s: --help lists them", what, near->word);
}

/* ---- Options ---- */

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

#define COCO__CLI_LIST (COCO__CLI_LS | COCO__CLI_SHOW)
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

/* ---- Reading the line ---- */

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

COCO__IN int coco__cli_parse(coco__cli *c)
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

COCO__IN int coco__cli_check_params(const coco__cli *c)
{
    COCO__CLI_EACH_PARAM(c, d)
        for (const coco__cli_option *o = COCO__CLI_OPTIONS; o->name; o++)
            if ((o->commands & COCO__CLI_ENV) && strcmp(d->name, o->name) == 0)
                return coco__cli_usage(c, "parameter %s of %s is named like an option", d->name, c->apps[app_].name);
    return 0;
}

/* Several apps fit a name when they differ in their environment: NAME or NAME@ENV; NULL is the only one. */
COCO__IN int coco__cli_select(const coco__cli *c, const char *word, const coco_app_config **app)
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

/* ---- Help ---- */

COCO__IN void coco__cli_help_command(const coco__cli *c)
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

COCO__IN void coco__cli_help(const coco__cli *c)
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

/* ---- The .env file ---- */

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
COCO__IN int coco__cli_read_env(const coco__cli *c)
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
