/* cli.h - what the files of the command line share: progress.c, cli_args.c, cli_show.c, cli.c, and tools/cocoindex.c.
 * They stand above the engine and use what any program could (cocoindex.h), besides its buffers and printing. */
#ifndef COCO_CLI_H
#define COCO_CLI_H

#include "engine.h"

/* ---- progress.c: what a running update shows --------------------------------------------------------------------- */

typedef struct coco__shown {
    const char *name; /* of the function: the same pointer in all statistics */
    uint64_t done;    /* what its counts added up to when its line was last printed */
} coco__shown;

typedef struct coco__progress {
    FILE *out;             /* NULL: nothing is displayed */
    coco_app *app;         /* whose counts */
    bool terminal;         /* redrawn in place */
    unsigned lines;        /* on the screen, just above the cursor */
    uint64_t begun, drawn; /* monotonic ns: start, last drawing */
    uint64_t every;        /* ns between two drawings */
    coco__shown *shown;    /* one a function whose line was printed */
    size_t nshown, capshown;
} coco__progress;

COCO__IN void coco__progress_begin(coco__progress *p, coco_app *app, FILE *out);
COCO__IN void coco__progress_tick(coco__progress *p);  /* at every event: draws if it is time */
COCO__IN void coco__progress_hide(coco__progress *p);  /* before anything else is printed */
COCO__IN void coco__progress_leave(coco__progress *p); /* something was printed: what is on the screen stays there */
COCO__IN void coco__progress_end(coco__progress *p);   /* draws for the last time */

/* ---- cli_args.c, cli_show.c, cli.c: command lines ---------------------------------------------------------------- */

/* Which commands an option belongs to. */
enum {
    COCO__CLI_UPDATE = 1, COCO__CLI_DROP = 2, COCO__CLI_LS = 4, COCO__CLI_SHOW = 8, COCO__CLI_OWN = 16,
    COCO__CLI_LOGIC = 32, COCO__CLI_INIT = 64
};
enum {
    COCO__EXIT_FAILED = 1, COCO__EXIT_USAGE = 2, COCO__EXIT_OPEN = 3, COCO__EXIT_GUARD = 4, COCO__EXIT_STOPPED = 130
};

struct coco__cli;
typedef struct coco__cli_command {
    const char *name;
    unsigned bit;           /* COCO__CLI_… */
    const char *args;       /* what stands behind it, for help */
    const char *help;
    int (*run)(struct coco__cli *c);
} coco__cli_command;

typedef struct coco__cli_param { /* --NAME VALUE of an app's parameter */
    const char *name, *value;
} coco__cli_param;

/* One command line. Strings are argv's, the environment's or the apps'. */
typedef struct coco__cli {
    coco__mem mem;                      /* libc's */
    const char *program;                /* name for messages */
    const coco__cli_command *commands;  /* ends with a NULL name */
    const coco_app_config *apps;        /* of the program; the tool has none */
    int napps;
    const coco__cli_command *command;   /* chosen */
    const coco_command *own;            /* … or the app's own command */
    bool live, full_reprocess, reset, preview, explain, allow_delete, quiet, json, force; /* options, by name */
    bool tree, longer, recursive, target_states, no_env, help;
    const char *db, *env_file, *only, *forget, *output;
    unsigned threads, max_inflight, recheck;
    char **words;                       /* what is neither option nor value */
    int nwords;
    coco__cli_param *params;
    int nparams;
} coco__cli;

COCO__IN int coco__cli_usage(const coco__cli *c, const char *fmt, ...) COCO__PRINTF(2, 3); /* prints; returns 2 */
COCO__IN int coco__cli_error(const coco__cli *c, int status, const coco_err *err);         /* prints; returns status */
COCO__IN int coco__cli_main(coco__cli *c, int argc, char **argv); /* commands and apps are set; the exit status */
COCO__IN int coco__cli_parse(coco__cli *c, int argc, char **argv); /* what follows the command; 0, or 2 */
COCO__IN int coco__cli_check_params(const coco__cli *c);           /* no app parameter is named like an option */
COCO__IN void coco__cli_help(const coco__cli *c);
COCO__IN int coco__cli_read_env(const coco__cli *c);               /* the .env file; 0, or 2 */
typedef struct coco__cli_nearest { /* the candidate most like a word that isn't known */
    const char *word, *best;
    size_t distance;
} coco__cli_nearest;
COCO__IN void coco__cli_consider(coco__cli_nearest *n, const char *candidate);
COCO__IN const char *coco__cli_db(const coco__cli *c);
COCO__IN coco_status coco__cli_open(const coco__cli *c, const char *env_name, coco_env_config *config, coco_env **env,
                                    coco_err *err); /* fills in where config's environment is */
/* The app named by word (NAME or NAME@ENV), or the only one; *index is where it is. 0, or 2 and a message. */
COCO__IN int coco__cli_select(const coco__cli *c, const char *word, int *index);
COCO__IN void coco__cli_put_json(const coco__cli *c, const char *s); /* a JSON string, to standard output */
COCO__IN void coco__cli_field(const coco__cli *c, const char *name, const char *value); /* ,"name":"value" or null */
COCO__IN int coco__cli_ls(coco__cli *c);
COCO__IN int coco__cli_show(coco__cli *c);

#endif
