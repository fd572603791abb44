/* cli.h - what the files of the command line share: a command line, its commands, and an app that it runs.
 *
 * cli_line.c reads words, options and the .env file, and prints help; cli_store.c lists, checks and copies databases;
 * progress.c tells of an update while it runs, and stops it; cli.c runs apps, and has coco_main. They call cocoindex.h,
 * and base.c and value.c to print. Results go to standard output; failures, notices and questions to standard error. */
#ifndef COCO_CLI_H
#define COCO_CLI_H

#include "engine.h"

#include <limits.h>
#include <signal.h>

#define COCO__CLI_PARAMS 64

/* Which commands an option belongs to; all own commands of apps share a bit. */
enum { COCO__CLI_UPDATE = 1, COCO__CLI_DROP = 2, COCO__CLI_LS = 4, COCO__CLI_SHOW = 8, COCO__CLI_OWN = 16,
       COCO__CLI_LOGIC = 32, COCO__CLI_INIT = 64, COCO__CLI_CHECK = 128, COCO__CLI_COMPACT = 256,
       COCO__CLI_BACKUP = 512 };
#define COCO__CLI_RUN (COCO__CLI_UPDATE | COCO__CLI_DROP)
#define COCO__CLI_STORE (COCO__CLI_CHECK | COCO__CLI_COMPACT | COCO__CLI_BACKUP)
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

/* ---- cli_line.c ---- */

/* Wrong usage: exit status 2. */
COCO__IN int coco__cli_usage(const coco__cli *c, const char *fmt, ...) COCO__PRINTF(2, 3);
COCO__IN int coco__cli_error(const coco__cli *c, int status, const coco_err *err); /* returns status */
/* Prints fmt with each % replaced by a coco_value as JSON, and each ' by ". */
COCO__IN void coco__cli_json(const char *fmt, ...);

typedef struct coco__cli_nearest { /* the candidate most like a word that isn't known */
    const char *word, *best;
    size_t closer; /* than this many errors below the most that count as like */
} coco__cli_nearest;
COCO__IN void coco__cli_consider(coco__cli_nearest *n, const char *candidate);
COCO__IN int coco__cli_unknown(const coco__cli *c, const char *what, const coco__cli_nearest *near);

COCO__IN int coco__cli_check_params(const coco__cli *c); /* none of an app's is called like an option */
COCO__IN int coco__cli_parse(coco__cli *c);              /* what stands behind the command */
/* The app that a word means: NAME or NAME@ENV; NULL: the only one. */
COCO__IN int coco__cli_select(const coco__cli *c, const char *word, const coco_app_config **app);
COCO__IN void coco__cli_help(const coco__cli *c);
COCO__IN void coco__cli_help_command(const coco__cli *c);
COCO__IN int coco__cli_read_env(const coco__cli *c);

/* ---- cli_store.c ---- */

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

COCO__IN coco_status coco__cli_open(const coco__cli *c, const char *env_name, coco_env_config *config, coco_env **env,
                                    coco_err *err);
COCO__IN int coco__cli_see(coco__cli_look *l);
COCO__IN int coco__cli_ls(coco__cli *c);
COCO__IN int coco__cli_show(coco__cli *c);
COCO__IN int coco__cli_check(coco__cli *c);
COCO__IN int coco__cli_compact(coco__cli *c);
COCO__IN int coco__cli_backup(coco__cli *c);

/* ---- progress.c ---- */

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

COCO__IN void coco__cli_catch(struct sigaction before[2]); /* signals; statics are set anew */
COCO__IN void coco__cli_run_begin(coco__cli_run *run, bool progress); /* a signal stops it from now on … */
COCO__IN void coco__cli_run_end(coco__cli_run *run);                  /* … until now; draws the last progress */
COCO__IN bool coco__cli_on_failure(void *user, const coco_failure *f);
COCO__IN void coco__cli_on_log(void *user, coco_log_level level, const char *message);
COCO__IN void coco__cli_on_event(void *user, const coco_event *e);
COCO__IN void coco__cli_tick(void *user); /* draws, if it is time */
/* A live update: on a thread of its own, since what comes of the last event for a while must be drawn behind it. */
COCO__IN coco_status coco__cli_follow(coco__cli_run *run, const coco_update_opts *opts, coco_result *r, coco_err *err);
COCO__IN void coco__cli_summary(const coco__cli_run *run, const coco_result *r, coco_status rc); /* as text or JSON */

/* ---- cli.c ---- */

COCO__IN int coco__cli_main(coco__cli *c, int argc, char **argv); /* commands are set, and a program's apps */

#endif /* COCO_CLI_H */
