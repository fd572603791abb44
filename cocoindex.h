/* cocoindex.h - CocoIndex in C: declarative, incremental data processing on embedded LMDB.
 *
 * A program declares which files and rows should exist as a function of its sources. The engine remembers what was
 * declared last time, works out what changed (data, logic, context, schema), runs only that, and applies the
 * smallest set of inserts, updates and deletes. State lives in one directory; whatever kills the process, the next
 * update converges.
 *
 * The smallest whole program copies the greeting in its parameter into a file; run it as ./a.out update --text
 * hello:
 *
 *     #include "cocoindex.h"
 *     #include "connectors/localfs.h"
 *
 *     COCO_FN(app_main, ())
 *     {
 *         return coco_declare_file(cx, coco_text("greeting.txt"), coco_text_of(coco_param(cx, "text")), NULL);
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         coco_app_config app = { .name = "greet", .main = &app_main,
 *                                 .params = (coco_param_def[]){ { "text", "hello", "what to say" }, { 0 } } };
 *         return coco_main(argc, argv, &app, 1);
 *     }
 *
 * Build: cc greet.c cocoindex_lmdb.c connectors/localfs.c -llmdb -pthread
 *
 * The model. A *component* is one call of a *function* at a *component path*; it owns the *target states* it
 * declares (a table, a row, a directory, a file) and is the unit of execution, failure and commit. A *memoized*
 * function is not run again while its arguments, its logic (version, deps and those of the functions it called),
 * the context values and the targets it used are unchanged. What a component no longer declares, and components no
 * longer mounted, are deleted from the targets.
 *
 * Caveats.
 *   - A cx belongs to one thread. An environment, app or stats call may come from any thread unless it says
 *     otherwise.
 *   - After fork() the child may not use what the parent opened: every call there is COCO_EFORK.
 *   - One process at a time may update an environment (COCO_EBUSY names the other); any number may read it.
 *   - A directory may be open once in a process. The database file grows and is reused, it doesn't shrink.
 *   - LMDB needs a local file system with working locks and mmap.
 *
 * Errors. Everything fallible returns coco_status: 0, or one of the negative codes below. The message names the
 * component path, the function, the target and the system's own words. A maker that can't return a status
 * (coco_param, a source maker) keeps its error in cx (coco_keep_error): what uses its result returns that error, and
 * the function fails with it at the latest when it ends.
 *
 * Memory. What a function gets or makes through cx lives until its component is submitted. What it passes in is
 * encoded or copied at the call, never kept by pointer. Handles from open/new end with close/free, which accept
 * NULL. */
#ifndef COCOINDEX_H
#define COCOINDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COCO_VERSION_MAJOR 0
#define COCO_VERSION_MINOR 1
#define COCO_VERSION_PATCH 0
#define COCO_FORMAT_VERSION 1 /* of the database; a newer one is refused with COCO_EVERSION and left as it is */

/* Returns "MAJOR.MINOR.PATCH" of the library that is linked. Thread-safe: yes. */
const char *coco_version(void);

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

#define COCO_ERRORS(X) \
    X(ENOMEM, 1, "out of memory") \
    X(EINVAL, 2, "invalid argument") \
    X(ETYPE, 3, "wrong type") \
    X(EDUP, 4, "declared or mounted twice") \
    X(EMEMO, 5, "not allowed inside a memoized function") \
    X(ESTOP, 6, "stopped") \
    X(EGUARD, 7, "stopped by the guard against mass deletion") \
    X(EBUSY, 8, "in use by another updater") \
    X(EFORK, 9, "used after fork") \
    X(ENOPROVIDER, 10, "no handler for the target") \
    X(ECORRUPT, 11, "damaged record") \
    X(EVERSION, 12, "database of a newer format") \
    X(EUNREAD, 13, "unreadable item") \
    X(EIO, 14, "input or output failed") \
    X(ENOTFOUND, 15, "not found") \
    X(EDEADLINE, 16, "deadline passed") \
    X(EPARSE, 17, "can't be parsed") \
    X(EFULL, 18, "no space left") \
    X(EACCESS, 19, "permission denied") \
    X(EFAIL, 20, "failed") \
    X(ERECHECK, 21, "a memo hit differs when run again") \
    X(EWAIT, 22, "a remembered failure waits for its next try") \
    X(EREFUSED, 23, "a name or path that is not allowed")

#define COCO__ENUM(name, number, text) COCO_##name = -(number),
enum { COCO_OK = 0, COCO_ERRORS(COCO__ENUM) COCO__ERROR_LAST = -1000 };
typedef int coco_status;

/* Returns the name ("COCO_EDUP") or the text of a status. Thread-safe: yes. */
const char *coco_status_name(coco_status rc);
const char *coco_status_text(coco_status rc);

#define COCO_ERR_MAX 1024

/* An error outside a cx: where a function takes a coco_err *, NULL means that the message isn't wanted. */
typedef struct coco_err {
    coco_status code;
    bool transient;         /* worth retrying: set by coco_transient */
    char msg[COCO_ERR_MAX]; /* NUL-terminated UTF-8; cut at a character where it is longer */
} coco_err;

/* printf-checks of the message functions, where the compiler has them. */
#if defined(__GNUC__)
#define COCO__PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define COCO__PRINTF(f, a)
#endif

/* Set err (may be NULL) to code and message and return code; coco_transient also marks it worth retrying, so that
 * the engine tries again with exponential backoff within the sink's budget. Thread-safe: as err is. */
coco_status coco_err_set(coco_err *err, coco_status code, const char *fmt, ...) COCO__PRINTF(3, 4);
coco_status coco_transient(coco_err *err, coco_status code, const char *fmt, ...) COCO__PRINTF(3, 4);

/* Return early from a function that returns coco_status. */
#define COCO_TRY(call) \
    do { \
        coco_status coco__rc = (call); \
        if (coco__rc != 0) return coco__rc; \
    } while (0)

/* ---- Values ------------------------------------------------------------------------------------------------------ */

typedef struct coco_ctx coco_ctx;       /* one call of a function: what it may do, and the memory it uses */
typedef struct coco_env coco_env;       /* one state directory */
typedef struct coco_app coco_app;       /* one pipeline in it */
typedef struct coco_fn coco_fn;         /* a tracked function */
typedef struct coco_args coco_args;     /* what it is called with */
typedef struct coco_runner coco_runner; /* where functions run that share something scarce */
typedef struct coco_class coco_class;   /* what the engine must know of an opaque object */
typedef struct coco_source coco_source; /* an iterator over keyed items */
typedef struct coco_feed coco_feed;     /* through which a watched source tells of changes */
typedef struct coco_operator coco_operator; /* what the long-running part of a live component acts with */
/* a provider: the place of a container's children; lives until the update ends */
typedef struct coco_target coco_target;
typedef struct coco_pair coco_pair;

typedef struct coco_str {
    const char *p; /* n bytes, not NUL-terminated in general; may be NULL when n is 0 */
    size_t n;
} coco_str;

/* of a literal; C: in C++ coco_str_of */
#define COCO_STR(literal) ((coco_str){ "" literal, sizeof(literal) - 1 })

typedef enum coco_kind {
    COCO_NULL,
    COCO_SYMBOL, /* a name that never equals a text: the engine's own path elements, @convert */
    COCO_BOOL,
    COCO_INT, /* int64 */
    COCO_FLOAT, /* float64 */
    COCO_TEXT_KIND, /* UTF-8 */
    COCO_BYTES,
    COCO_UUID,
    COCO_VECTOR, /* float32, n of them */
    COCO_LIST,
    COCO_MAP, /* text keys; equal maps are equal in any order */
    COCO_OBJECT /* an opaque pointer with a class */
} coco_kind;

/* One value: key, argument, result, row, deps or context. Passed by value; borrows what it points to. Stable keys
 * are the kinds null, symbol, bool, int, text, bytes, uuid, and lists of these. */
typedef struct coco_value {
    coco_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double real;
        uint8_t uuid[16];
        struct {
            union {
                const char *text; /* symbol, text */
                const void *bytes;
                const float *floats;
                const struct coco_value *items;
                const coco_pair *pairs;
                const coco_class *cls; /* object: its class … */
            } p;
            union {
                size_t n;     /* bytes, floats, items or pairs */
                void *object; /* … and its pointer */
            } u;
        } s;
    } as;
} coco_value;

struct coco_pair {
    coco_str key;
    coco_value value;
};

coco_value coco_null(void);
coco_value coco_bool(bool b);
coco_value coco_int(int64_t i);
coco_value coco_float(double f);
coco_value coco_text(const char *s); /* NULL is coco_null() */
coco_value coco_text_n(coco_str s);
coco_value coco_symbol(const char *s);
coco_value coco_bytes(const void *p, size_t n);
coco_value coco_uuid(const uint8_t uuid[16]);
coco_value coco_vector(const float *f, size_t n);
coco_value coco_list(const coco_value *items, size_t n);
coco_value coco_map_value(const coco_pair *pairs, size_t n); /* keys must differ */
coco_value coco_object(const coco_class *cls, void *object);

/* Constant forms for static initialisers (C). */
#define COCO_TEXT(literal) \
    { .kind = COCO_TEXT_KIND, .as = { .s = { .p = { .text = literal }, .u = { .n = sizeof(literal) - 1 } } } }
#define COCO_INTEGER(i) { .kind = COCO_INT, .as = { .integer = (i) } }

/* What a value holds; another kind gives the empty string, 0, false or NULL. coco_text_of also takes symbols and
 * bytes. */
coco_str coco_text_of(coco_value v);
int64_t coco_int_of(coco_value v);
double coco_float_of(coco_value v); /* also of an integer */
bool coco_bool_of(coco_value v);
void *coco_object_of(coco_value v, const coco_class *cls);
coco_value coco_at(coco_value list, size_t i);             /* null past the end */
coco_value coco_get(coco_value map, const char *key);      /* null where there is none */
size_t coco_count(coco_value v);                           /* bytes, floats, items, pairs; else 0 */
/* by value; NaNs are equal, 0.0 and -0.0 differ, maps in any order */
bool coco_equal(coco_value a, coco_value b);
int coco_compare(coco_value a, coco_value b);              /* the order of stable keys */
coco_str coco_str_of(const char *s);                       /* borrows; NULL is empty */
bool coco_str_equal(coco_str a, coco_str b);

/* The 16-byte BLAKE2b fingerprint of a value (equal on every machine and build), or of bytes.
 * Errors: COCO_ETYPE (an object inside). Thread-safe: yes. */
coco_status coco_fingerprint(coco_value v, uint8_t out[16]);
void coco_fingerprint_bytes(const void *p, size_t n, uint8_t out[16]);

/* A running fingerprint, for content that isn't in memory at once. Equal to coco_fingerprint_bytes of the whole. */
typedef struct coco_hash {
    uint64_t h[8], t[2];
    uint8_t buf[128];
    size_t used;
} coco_hash;
void coco_hash_begin(coco_hash *h);
void coco_hash_add(coco_hash *h, const void *p, size_t n);
void coco_hash_end(coco_hash *h, uint8_t out[16]);

/* Prints as a stable key or path element does (null, @symbol, true, 5, "quoted", b"hex", a bare uuid, [a,b];
 * beyond keys: 1.5, <1,2.5>, {"k":1}), or as JSON, into cx's memory. Errors: COCO_ENOMEM. */
coco_status coco_print(coco_ctx *cx, coco_value v, coco_str *out);
coco_status coco_print_json(coco_ctx *cx, coco_value v, coco_str *out);

/* ---- Functions --------------------------------------------------------------------------------------------------- */

#define COCO_MAX_PARAMS 8

/* How changes of logic are followed: own version and deps and those of every tracked function called (default),
 * own alone, or none. Context values are followed in any case. */
typedef enum coco_logic { COCO_LOGIC_FULL, COCO_LOGIC_SELF, COCO_LOGIC_NONE } coco_logic;

/* Gives what of an argument belongs to the memo key; COCO_NULL leaves it out: coco_memo_skip does just that. */
typedef coco_status (*coco_memo_key_fn)(coco_ctx *cx, coco_value in, coco_value *out);
coco_status coco_memo_skip(coco_ctx *cx, coco_value in, coco_value *out);

typedef struct coco_param_type {
    const char *type; /* as written: "coco_file *" */
    const char *name;
} coco_param_type;

/* A tracked function. COCO_FN makes one; by hand: fill in name, call (which gets nparams arguments, unchecked) and
 * what else is wanted, and pass it to coco_register before the first app is opened. Must live as long as the
 * program. */
struct coco_fn {
    const char *name; /* its identity across runs; unique among the registered ones */
    coco_status (*call)(coco_ctx *cx, const coco_value *args);
    int nparams;                           /* number of arguments, 0 to COCO_MAX_PARAMS */
    coco_param_type params[COCO_MAX_PARAMS + 1]; /* for messages; may be empty */
    bool memo;                             /* not run again while nothing it depends on changed */
    /* of its logic; another number invalidates. 0: by the generated fingerprint, if any */
    int64_t version;
    coco_value deps;                       /* what else its logic stands for: a prompt, a model name; null: nothing */
    coco_logic logic_tracking;
    coco_memo_key_fn memo_key[COCO_MAX_PARAMS]; /* one a parameter; NULL: the argument itself */
    /* 0: a failure is tried again in every run. Else a failed component waits this long before its next try, doubling
     * each time up to a day, unless its input changed. */
    unsigned remember_failure_ms;
    /* Batching (COCO_BATCH_FN): computes results[i] for each of n calls, into cx's memory. An error fails the whole
     * batch, which is then halved until the calls that can't be done fail alone. call checks the arguments of one. */
    coco_status (*batch)(coco_ctx *cx, const coco_args *calls, size_t n, coco_value *results);
    size_t max_batch;    /* calls in a batch; 0: 64 */
    coco_runner *runner; /* it runs there; NULL: where it is called */
    double share;        /* what a call takes of the runner's capacity; 0: 1 */
    /* Filled in by COCO_FN, coco_register and the app's start: */
    const char *file, *ident; /* where it is defined, and its C name */
    coco_fn *next;
    uint32_t index;
    uint8_t logic[16];
};

/* Registers a function (COCO_FN does it before main). Thread-safe: no. Two of one name are COCO_EDUP when an app
 * is opened. */
void coco_register(coco_fn *fn);

/* A generated logic fingerprint (`cocoindex logic FILE.c` prints the header that holds these). It counts for
 * functions whose version is 0. Macros, and helpers of other files, are outside its sight. */
typedef struct coco_logic_entry {
    const char *file, *ident, *fingerprint; /* 32 hex digits */
} coco_logic_entry;
typedef struct coco_logic_table {
    const coco_logic_entry *entries;
    size_t n;
    struct coco_logic_table *next;
} coco_logic_table;
void coco_logic_register(coco_logic_table *table);

/* Arguments: COCO_ARGS(coco_text("a"), coco_int(1)), or COCO_NOARGS. */
struct coco_args {
    const coco_value *v;
    size_t n;
};

/* A component path, relative to the calling component and its scopes: COCO_PATH(coco_text("user"), coco_int(7)),
 * or COCO_AUTO for the symbol of the function's name. */
typedef struct coco_path {
    const coco_value *keys;
    size_t n;
} coco_path;

#ifdef __cplusplus
#define COCO_NOARGS (coco_args{ nullptr, 0 })
#define COCO_AUTO (coco_path{ nullptr, 0 })
#else
#define COCO_ARGS(...) \
    ((coco_args){ (const coco_value[]){ __VA_ARGS__ }, \
                  sizeof((const coco_value[]){ __VA_ARGS__ }) / sizeof(coco_value) })
#define COCO_NOARGS ((coco_args){ NULL, 0 })
#define COCO_PATH(...) \
    ((coco_path){ (const coco_value[]){ __VA_ARGS__ }, \
                  sizeof((const coco_value[]){ __VA_ARGS__ }) / sizeof(coco_value) })
#define COCO_AUTO ((coco_path){ NULL, 0 })
#endif

/* Gives a function's result, copied. Objects may be given where their class has a copy hook. Returns 0 or an error. */
coco_status coco_return(coco_ctx *cx, coco_value v);

/* Fails the function: sets the message and returns code. */
coco_status coco_fail(coco_ctx *cx, coco_status code, const char *fmt, ...) COCO__PRINTF(3, 4);
/* In the body of a batch: fails call i alone and returns code. The body returns 0 all the same, and the others
 * stand. */
coco_status coco_batch_fail(coco_ctx *cx, size_t i, coco_status code, const char *fmt, ...) COCO__PRINTF(4, 5);
/* Keeps an error in cx and returns it: the function fails with it, at the latest when it ends, also if it doesn't look.
 * For makers, which can't return a status: coco_keep_error(cx, coco_fail(cx, COCO_EIO, "…")); return NULL; */
coco_status coco_keep_error(coco_ctx *cx, coco_status code);
coco_status coco_error(coco_ctx *cx);            /* the error kept in cx, or 0 */
const char *coco_error_message(coco_ctx *cx);    /* of the last failure in cx; "" when there was none */

/* Calls fn inside the running component. A memoized fn gives its stored result when nothing it depends on changed,
 * and what it declared then stays declared. value may be NULL. A failure is the caller's to return.
 * Errors: COCO_ETYPE (number or types of arguments), and fn's own. */
coco_status coco_call(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_value *value);

/* Calls fn(items[i], args …) for each item; results[i] (may be NULL) in input order. Every started item finishes;
 * the first failure in input order is returned. Of a batched fn, what no memo answers goes in batches of max_batch. */
coco_status coco_map(coco_ctx *cx, const coco_fn *fn, const coco_value *items, size_t n, coco_args args,
                     coco_value *results);

/* ---- Components -------------------------------------------------------------------------------------------------- */

typedef struct coco_handle coco_handle; /* a mounted child; lives until the mounting component is submitted */

/* Runs fn as a child component at path, and goes on. The child's failure does not fail the caller: it goes to the
 * failure handlers and counts. handle may be NULL.
 * Errors: COCO_EDUP (the path was mounted in this run), COCO_EMEMO (inside a memoized call), COCO_ETYPE,
 * COCO_ESTOP. */
coco_status coco_mount(coco_ctx *cx, coco_path path, const coco_fn *fn, coco_args args, coco_handle **handle);

/* Waits until the child and everything below it is submitted. Its failure is reported by coco_handle_status, not
 * here. */
coco_status coco_ready(coco_ctx *cx, coco_handle *handle);
coco_status coco_handle_status(const coco_handle *handle); /* 0, or why the child failed; meaningful after coco_ready */

/* Runs fn as a child component and waits until its target states are applied; its failure is the caller's. What it
 * declared (a table, a directory) is usable in the caller. value may be NULL; it lives as long as the caller's
 * memory. */
coco_status coco_use_mount(coco_ctx *cx, coco_path path, const coco_fn *fn, coco_args args, coco_value *value);

/* Mounts fn once for each item of src, at path/KEY (COCO_AUTO: @NAME-OF-FN/KEY); the item's value is fn's first
 * argument, args follow. Children recorded by any earlier run that src no longer gives are deleted after the root
 * has been submitted. A child's failure goes to the failure handlers, not to the caller. Takes src over, also on
 * failure.
 * Thread-safe: no; call it on the thread that runs the component.
 * Errors: COCO_EDUP (a key came twice, or the path is taken), COCO_EMEMO (inside a memoized function), COCO_EINVAL (src
 * is to be followed, and was made in a scratch, with which it would go), COCO_ENOMEM, and what src returns. */
coco_status coco_mount_each(coco_ctx *cx, coco_path path, const coco_fn *fn, coco_source *src, coco_args args);

/* A live component: full runs as an ordinary component at path (its full pass, args as given); then, in live mode, live
 * runs on a thread of its own until the update ends, and acts through op. In catch-up mode live runs too, until it
 * calls coco_operator_ready or returns; NULL: there is no long-running part. live begins before the full pass, so that
 * no change falls between; what it asks for waits for that pass. Both get the same args, which must live until the
 * update ends (values are copied, objects aren't). A live component can't stand below a memoized one (COCO_EMEMO). */
typedef struct coco_live_fn {
    const coco_fn *full;
    coco_status (*live)(coco_operator *op, const coco_value *args);
} coco_live_fn;
coco_status coco_mount_live(coco_ctx *cx, coco_path path, const coco_live_fn *live, coco_args args,
                            coco_handle **handle);

/* Full pass, ready, then again and again with a fixed delay between; once in catch-up mode. */
coco_status coco_auto_refresh(coco_ctx *cx, coco_path path, const coco_fn *fn, unsigned interval_ms, coco_args args);

/* What live may do; from any thread while it runs. update_full and wait return when all that was asked for before is in
 * the targets, or failed; update and delete of a child at path (one element or more, below the component) return at
 * once; of one child the newest wins. The state of an operator (a feed's offset, a change token) is stored with the
 * transaction that commits what was asked for before it, and doesn't pass a failed operation; it is found again after a
 * restart. Errors: COCO_ESTOP once the update ends. */
coco_status coco_operator_update_full(coco_operator *op);
coco_status coco_operator_update(coco_operator *op, coco_path path, const coco_fn *fn, coco_args args);
coco_status coco_operator_delete(coco_operator *op, coco_path path);
coco_status coco_operator_wait(coco_operator *op);
void coco_operator_ready(coco_operator *op);
void coco_operator_report(coco_operator *op, const coco_err *err); /* an exception: to the failure handlers */
coco_status coco_operator_set_state(coco_operator *op, coco_value state);
coco_value coco_operator_state(const coco_operator *op); /* as found at the start; null: none */
bool coco_operator_stopping(const coco_operator *op);
int coco_operator_stop_fd(const coco_operator *op);
bool coco_operator_is_live(const coco_operator *op); /* else catch-up: get ready and return */

/* A keyed collection in memory, between what declares entries (owned by the declaring component, gone with it) and one
 * mount_each that consumes them: coco_live_map_source. Lives in a coco_run_memory: nothing of it is kept. The same
 * name is the same map in an update. */
typedef struct coco_live_map coco_live_map;
coco_live_map *coco_live_map_get(coco_ctx *cx, const char *name);
coco_status coco_live_map_declare(coco_ctx *cx, coco_live_map *map, coco_value key, coco_value value);
coco_source *coco_live_map_source(coco_ctx *cx, coco_live_map *map);

/* Paths given between begin and end stand below key. Scopes nest, and end with the function at the latest. */
coco_status coco_scope_begin(coco_ctx *cx, coco_value key);
void coco_scope_end(coco_ctx *cx);

/* A small value that the component keeps between its runs: initial at first, then what coco_state_set stored last.
 * A key not asked for in a successful run is forgotten; full_reprocess starts anew. *value is in cx's memory.
 * Errors: COCO_EMEMO (inside a memoized call), COCO_ETYPE (key not stable, or an object). */
coco_status coco_use_state(coco_ctx *cx, coco_value key, coco_value initial, coco_value *value);
coco_status coco_state_set(coco_ctx *cx, coco_value key, coco_value value);

/* Stable ids: the same dep gives the same id within the component in every run. Integer ids start at 1, are unique
 * in the app and never given twice. The next_ forms give the n-th call with one dep its own id, the same in every
 * run. */
coco_status coco_generate_id(coco_ctx *cx, coco_value dep, int64_t *id);
coco_status coco_generate_uuid(coco_ctx *cx, coco_value dep, uint8_t uuid[16]);
coco_status coco_next_id(coco_ctx *cx, coco_value dep, int64_t *id);
coco_status coco_next_uuid(coco_ctx *cx, coco_value dep, uint8_t uuid[16]);

/* Adds to what this call cost (tokens, cents): kept with its memo, so that a run can say what its hits saved. */
void coco_cost(coco_ctx *cx, double units);

bool coco_is_live(const coco_ctx *cx);
bool coco_is_preview(const coco_ctx *cx);
/* COCO_ESTOP after a stop request, COCO_EDEADLINE after a deadline: call it in long loops. */
coco_status coco_checkpoint(coco_ctx *cx);

/* ---- Deadlines, rates, runners, threads of one's own ------------------------------------------------------------- */

/* A deadline for what is called and used (coco_use_mount) between begin and end, ms from now; nested ones take the
 * earlier. Mounted children, sinks and batches have none of it. Once it has passed, calls, mounts, iterations and
 * coco_checkpoint return COCO_EDEADLINE, and the component fails with it, whatever it returns; calls that finished
 * before keep their memos. Ends with the function at the latest. */
coco_status coco_deadline_begin(coco_ctx *cx, unsigned ms);
void coco_deadline_end(coco_ctx *cx);

/* A token bucket: static coco_rate API = { .per_second = 10, .burst = 20 }; gives 10 a second on the long run, up to
 * 20 at once (less than 1 is 1); shared by reference, first come first served. coco_rate_wait takes units (at most the
 * burst) or waits for them; a wait that would pass cx's deadline, or is stopped, takes none. Thread-safe: yes.
 * Errors: COCO_EINVAL (no rate, or more than the burst), COCO_EDEADLINE, COCO_ESTOP. */
typedef struct coco_rate {
    double per_second, burst;
    uint64_t due; /* the engine's */
} coco_rate;
coco_status coco_rate_wait(coco_ctx *cx, coco_rate *rate, double units);

/* A named place of execution: static coco_runner GPU = COCO_RUNNER("gpu") (C). The functions bound to it run there,
 * first come first served, as many at a time as their shares, in (0, 1], fit into one unit. With own_thread all of
 * them run on one thread of the runner's, the same one as long as the program lives: for a library that wants that. */
struct coco_runner {
    const char *name;
    bool own_thread;
    /* the engine's: turns given and taken, shares in use, calls that wait for the thread */
    bool started;
    uint64_t tail, head;
    double used;
    struct coco__job *jobs;
};
#define COCO_RUNNER(...) { .name = __VA_ARGS__ }

/* A cx for one more thread, of the user's making, that works for the function of cx: call it for each before the thread
 * starts, and coco_cx_join when it has ended, both on cx's thread, before the function returns. What the thread called,
 * declared and depended on counts as cx's, and its memory lives as long. Errors: COCO_ENOMEM; join: the error kept in
 * the fork. */
coco_status coco_cx_fork(coco_ctx *cx, coco_ctx **fork);
coco_status coco_cx_join(coco_ctx *cx, coco_ctx *fork);

/* ---- Failure handlers -------------------------------------------------------------------------------------------- */

typedef enum coco_mount_kind {
    COCO_MOUNT_ROOT,
    COCO_MOUNT,
    COCO_MOUNT_USE,
    COCO_MOUNT_EACH,
    COCO_MOUNT_DELETE
} coco_mount_kind;

typedef struct coco_failure {
    const char *env, *app;  /* name of the state directory, name of the app */
    const char *path;       /* printed component path */
    const char *function;   /* "" for an unreadable source item */
    coco_mount_kind kind;
    coco_status code;
    const char *message;
    /* where code and message are those of an inner handler that failed: the failure that it was told of; else NULL */
    const struct coco_failure *first;
    coco_err *handler;      /* for the handler's own error: COCO_OK at first */
} coco_failure;

/* Told of the failure of a mounted component. Returns true to swallow it, false to pass it to the next outer
 * handler. A handler that fails itself says so by coco_err_set(failure->handler, …): the next outer one is told of that
 * error, with the failure in `first`. The failure counts in the statistics and in the exit status either way. */
typedef bool (*coco_failure_fn)(void *user, const coco_failure *failure);

/* Handlers for the children mounted between begin and end, innermost first, before the environment's. In live mode they
 * are told of later failures too: user must then live until the update ends. */
coco_status coco_catch_begin(coco_ctx *cx, coco_failure_fn fn, void *user);
void coco_catch_end(coco_ctx *cx);

/* ---- Context, parameters, memory --------------------------------------------------------------------------------- */

/* static coco_key EMBEDDER = COCO_KEY("embedder", .detect_change = true); (C) The name is the identity across runs.
 * With detect_change the value's fingerprint is a dependency of every function that reads it, and of its callers. */
typedef struct coco_key {
    const char *name;
    bool detect_change;
} coco_key;
#define COCO_KEY(...) { .name = __VA_ARGS__ }

/* In a setup function: provides a value (copied; an object by pointer), and how to end it, called in reverse order
 * when the environment is closed, or at once if setup fails. Errors: COCO_EDUP (provided twice), COCO_EINVAL (not
 * in a setup). */
coco_status coco_provide(coco_ctx *cx, const coco_key *key, coco_value v);
coco_status coco_provide_close(coco_ctx *cx, const coco_key *key, coco_value v, void (*close)(void *object));

/* Reads a context value; null with the error COCO_ENOTFOUND kept in cx where none is provided. The named form is
 * for handlers and tracks nothing; the environment's is for code outside components and returns null where there
 * is none. */
coco_value coco_context(coco_ctx *cx, const coco_key *key);
coco_value coco_context_named(coco_ctx *cx, const char *name);
coco_value coco_env_context(coco_env *env, const coco_key *key);

/* Names a base directory or connection by a context key: what connectors take in place of a path or an address. */
coco_value coco_context_ref(const coco_key *key);
const coco_key *coco_context_ref_of(coco_value v); /* NULL if v isn't one */

/* Reads a parameter of the app, as text; null with COCO_ENOTFOUND kept in cx where the app has no such one. A
 * change of its value invalidates the memos that read it. */
coco_value coco_param(coco_ctx *cx, const char *name);

/* Zeroed, aligned memory that lives as long as cx's; copies and prints into it. NULL when out of memory (the error
 * is kept). Between scratch begin and end what is taken is given back at the end: inside loops. */
void *coco_alloc(coco_ctx *cx, size_t n);
coco_str coco_copy(coco_ctx *cx, coco_str s); /* NUL-terminated behind its n bytes */
coco_str coco_format(coco_ctx *cx, const char *fmt, ...) COCO__PRINTF(2, 3);
coco_value coco_copy_value(coco_ctx *cx, coco_value v);
void coco_scratch_begin(coco_ctx *cx);
void coco_scratch_end(coco_ctx *cx);

/* Zeroed memory of n bytes that everything called in this update shares under tag (an address of the caller's),
 * until the update ends; NULL outside an update or when out of memory. */
void *coco_run_memory(coco_ctx *cx, const void *tag, size_t n);

/* Tells the user something (an event, a warning in the log); nothing fails. */
void coco_notice(coco_ctx *cx, const char *fmt, ...) COCO__PRINTF(2, 3);

/* ---- Classes ----------------------------------------------------------------------------------------------------- */

/* What the engine must know of an opaque object. Any hook may be NULL. Hooks may fail through coco_fail.
 * Thread-safe: hooks may be called on any thread, for different objects at once. */
struct coco_class {
    const char *type; /* C type name without '*': "coco_file"; what COCO_FN parameters are checked against */
    /* The object's part of a memo key: its identity, not its freshness. NULL: the object can't be in a memo key
     * (an error naming the argument, unless the function leaves it out by memo_key). */
    coco_status (*memo_key)(coco_ctx *cx, void *object, coco_value *key);
    /* Freshness: gets the stored state (p NULL: none, the function has just run) and gives the new state (in cx's
     * memory) and whether the memo is still valid. A changed state of a valid memo is rewritten. */
    coco_status (*memo_state)(coco_ctx *cx, void *object, coco_str stored, coco_str *state, bool *valid);
    /* Copies the object into cx's memory: objects of the class may be returned. */
    coco_status (*copy)(coco_ctx *cx, void *object, void **out);
    /* Makes an object again from its memo key: objects of the class may be tracked (coco_track). The class must then be
     * registered. */
    coco_status (*reopen)(coco_ctx *cx, coco_value key, void **object);
    const coco_class *next; /* filled in by coco_class_register */
};
void coco_class_register(coco_class *cls); /* before the first app is opened; not thread-safe */

/* Records an object as an input of the running call, validated like an argument: a template opened by path. Its
 * class needs memo_key, memo_state and reopen. */
coco_status coco_track(coco_ctx *cx, const coco_class *cls, void *object);

/* The class of coco_target *: memo key is the provider's identity. Connectors' own handles give this value as
 * theirs. */
extern const coco_class coco_target_class;
coco_value coco_target_value(coco_target *target);

/* ---- Sources ----------------------------------------------------------------------------------------------------- */

/* An iterator over keyed items. Its maker allocates it (coco_source_new) and fills in the fields. */
struct coco_source {
    const char *title; /* how its items print: TITLE:"key" */
    /* Keys come in ascending order: faster, and a key out of order is an error. Set before next gives the first. */
    bool ordered;
    uint64_t size; /* how many items next will give, about, for the progress (share, remaining time); 0: unknown */
    void *self;
    /* Gives the next item, allocated in cx's memory, which lasts for the item: returns 1, 0 at the end, or an
     * error, which ends the iteration. COCO_EUNREAD is not the end: the item at *key (or, if *value is true,
     * everything whose text key begins with *key) exists but can't be read; its recorded components stay, it
     * counts as an error (message by coco_fail), and the iteration goes on. */
    int (*next)(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value);
    void (*close)(coco_source *src); /* may be NULL; the source itself is freed by the engine */
    /* Live mode. A view has next and watch, a feed watch alone; NULL: the source is listed once. watch runs on a thread
     * of its own, from before the listing on, until coco_feed_stopping; it tells of changes through feed and returns
     * 0, or why it can't go on (a failure that is reported; the rest of the update goes on). In catch-up mode a view
     * isn't watched, and a feed is until it has called coco_feed_ready. */
    coco_status (*watch)(coco_source *src, coco_feed *feed);
    bool watch_first; /* a view is listed when its watch has called coco_feed_ready; else beside it */
    /* A view's item for a key that was touched, as next would give it, allocated in cx's memory: 1, 0 where it is
     * gone, COCO_EUNREAD (what is recorded stays), or an error, which is the item's alone. */
    int (*get)(coco_source *src, coco_ctx *cx, coco_value key, coco_value *value);
    /* A view begins its listing anew, after coco_feed_rescan or an interval: what it no longer gives is gone. cx lasts
     * until the listing has ended; that in which the source was made may be gone. */
    coco_status (*rewind)(coco_source *src, coco_ctx *cx);
    /* For coco_sync: sees to it that watch calls coco_feed_synced with this ticket once it has told of every change
     * made before now (by a cookie in the watched place, say). Called on the thread of the update. NULL, or an error:
     * a view is listed anew, and of a feed what was put before now is waited for. */
    coco_status (*sync)(coco_source *src, coco_feed *feed, uint64_t ticket);
    unsigned rescan_ms; /* live: listed anew this often; 0: never by itself */
    /* A feed's token is durable: all that was put before it, and it, is in the targets and recorded. On the thread
     * that called for the update. */
    void (*done)(coco_source *src, coco_value token);
    bool made_in_scratch; /* filled in by coco_source_new */
};

/* A zeroed source in cx's memory; NULL when out of memory (the error is kept in cx).
 * A maker that fails keeps its error (coco_keep_error) and returns NULL; coco_mount_each and COCO_EACH fail with it. */
coco_source *coco_source_new(coco_ctx *cx);

/* Loops over a source by hand; not inside a memoized function (COCO_EMEMO, kept in cx). Leaving the loop by break
 * leaves the source to be closed at the end of the scratch around, or of the component. An error is kept in cx: return
 * coco_error(cx) behind the loop.
 *     COCO_EACH(cx, src, key, value) { … } */
#define COCO_EACH(cx, src, key, value) \
    for (coco_value key, value, *coco__once_##key = coco_each_begin(cx, src, &key, &value); \
         coco__once_##key && coco_each_next(cx, &key, &value);)
coco_value *coco_each_begin(coco_ctx *cx, coco_source *src, coco_value *key, coco_value *value);
bool coco_each_next(coco_ctx *cx, coco_value *key, coco_value *value); /* the same key as at the beginning */

/* What watch tells of changes with. They may be called from any thread while watch runs; keys and values are copied
 * (an object by pointer: it must live until the update ends). Of one key the newest counts, and at most one change of a
 * key is worked on at a time. They wait while too many changes are waiting, and return COCO_ESTOP once the update ends.
 *   touch    a view: something happened to the key; get is asked what
 *   rescan   a view: changes may have been missed; everything is listed anew
 *   put, delete   a feed: the item has this value now, or is gone; token (null: none) is given to done
 *   ready    the initial state has been told
 *   fail     reports a failure, and goes on */
coco_status coco_feed_touch(coco_feed *feed, coco_value key);
coco_status coco_feed_rescan(coco_feed *feed);
coco_status coco_feed_put(coco_feed *feed, coco_value key, coco_value value, coco_value token);
coco_status coco_feed_delete(coco_feed *feed, coco_value key, coco_value token);
void coco_feed_ready(coco_feed *feed);
void coco_feed_synced(coco_feed *feed, uint64_t ticket); /* see coco_source.sync */
void coco_feed_fail(coco_feed *feed, const coco_err *err);
bool coco_feed_stopping(const coco_feed *feed);
/* A file descriptor that becomes readable when the update ends: for poll beside one's own. */
int coco_feed_stop_fd(const coco_feed *feed);
/* Memory by the environment's allocator for what a watch keeps: like realloc; n 0 frees and returns NULL. What is left
 * when the watch returns is lost. Thread-safe: yes. */
void *coco_feed_realloc(coco_feed *feed, void *p, size_t n);
/* The last token that was durable when the update began, null if there is none: where to go on. Lives as long as
 * feed. */
coco_value coco_feed_token(const coco_feed *feed);

/* A source over values in memory: items[i] is the value with keys[i]. Borrows both. */
coco_source *coco_source_of(coco_ctx *cx, const coco_value *keys, const coco_value *items, size_t n);

/* ---- Declaring target states ------------------------------------------------------------------------------------- */

typedef struct coco_container_opts {
    /* of the container's place; NULL: the handler's choice, else the printed key. Unique in an app */
    const char *title;
    bool user_managed;  /* never created, altered or dropped; its content is still kept in sync */
} coco_container_opts;

/* The root target made by the registered maker `name` for key; title as above. NULL with the error kept in cx. */
coco_target *coco_target_new(coco_ctx *cx, const char *name, coco_value key, const char *title);

/* Declares that the state key exists under target with the given value. Reconciled at the call; applied when the
 * component is submitted. Errors: COCO_EDUP (declared twice in this component), COCO_ETYPE (key not stable),
 * COCO_EINVAL (the target's container belongs to another component and isn't applied), and the handler's own. */
coco_status coco_declare(coco_ctx *cx, coco_target *target, coco_value key, coco_value value);

/* Declares a container state (a table, a directory); *child is the place of its content, usable at once in this
 * component and in others when this one is applied (mount it: coco_mount_target). opts may be NULL. */
coco_status coco_declare_container(coco_ctx *cx, coco_target *target, coco_value key, coco_value value,
                                   const coco_container_opts *opts, coco_target **child);

/* use_mount of a container declaration, under a path made from the target and key: usable everywhere when it
 * returns. */
coco_status coco_mount_target(coco_ctx *cx, coco_target *target, coco_value key, coco_value value,
                              const coco_container_opts *opts, coco_target **child);

/* The named side states of a container (indexes, triggers): declare into *out. Errors: COCO_EINVAL (it has none so
 * named). */
coco_status coco_attachment(coco_ctx *cx, coco_target *container, const char *name, coco_target **out);

void *coco_target_self(coco_target *target); /* the handler's self: for connectors */

/* ---- Writing a target -------------------------------------------------------------------------------------------- */

typedef enum coco_action_kind { COCO_INSERT, COCO_UPDATE, COCO_DELETE } coco_action_kind;
/* What an action on a container does to its content: nothing; it is there but must be written again; it is gone. From
 * the moment that an action is to destroy it, the old content has no states any more: where that action failed or was
 * cut short, the next one takes along what is left, also a delete without drop_removes_content. */
typedef enum coco_children { COCO_CHILDREN_KEPT, COCO_CHILDREN_LOSSY, COCO_CHILDREN_DESTROYED } coco_children;

/* One thing for a sink to do. The handler fills in the first part, the engine the second. */
typedef struct coco_action {
    coco_action_kind kind;
    coco_status answer;  /* COCO_UNANSWERED; a sink may answer 0 (applied), or fail it with coco_action_fail */
    coco_str text; /* one line for preview, such as the size or the columns; may be empty */
    void *value;   /* opaque, in cx's memory; lives until the component is submitted */
    size_t bytes;  /* weight of the action against the sink's max_bytes */

    coco_target *target; /* where */
    coco_value key;      /* which */
    char *error, *note;  /* by coco_action_fail and coco_action_note */
    bool container, transient;
    uint32_t depth; /* of the provider: 0 for root targets */
} coco_action;
#define COCO_UNANSWERED 1

coco_status coco_action_fail(coco_action *a, const coco_err *err); /* answers a with err; returns its code */
/* a notice that goes with a's success */
void coco_action_note(coco_action *a, const char *fmt, ...) COCO__PRINTF(2, 3);

/* Applies a batch. Must converge: an action may come again after a crash, and find its work done or half done.
 * Returns 0, or an error for all actions not answered. With a pool different sinks run at the same time; one sink
 * never does. */
typedef struct coco_sink {
    void *self;
    coco_status (*apply)(void *self, coco_action **actions, size_t n, coco_err *err);
    size_t max_actions;      /* 0: 1,000 */
    size_t max_bytes;        /* 0: 16 MiB */
    unsigned retry_ms;       /* budget for retries of transient failures; 0: 10,000 */
    const char *name;        /* for messages and statistics */
    /* Called once at the end of every update or drop that used a handler with this sink, on the thread of the update;
     * may be NULL. whole: all was done and nothing failed, so that what was held back for readers (a table being
     * rebuilt) may be shown. An error fails an update that went well till then; what stays undone comes again with the
     * next one. */
    coco_status (*finish)(void *self, bool whole, coco_err *err);
} coco_sink;

typedef struct coco_change {
    coco_value key;
    const coco_value *desired;  /* NULL: the state should not exist */
    /* tracking records of the states that may be there; p NULL: it may be absent. What exists found comes first */
    const coco_str *possible;
    size_t npossible;           /* 0: never tracked. More than one after a crash or failure: never answer "keep" then */
    bool may_be_missing;        /* not known to be there: never answer "keep" for a desired state */
} coco_change;

typedef struct coco_decision {
    bool act;               /* false: what is there is what should be there, the record stays */
    coco_action action;
    /* new tracking record (copied), p NULL: none, the state is gone. At most 1 MiB, deterministic */
    coco_str record;
    coco_children children; /* for containers: what the action does to their content */
} coco_decision;

/* One state that verify looks at. */
typedef enum coco_verdict { COCO_STATE_OK, COCO_STATE_MISSING, COCO_STATE_DIFFERENT, COCO_STATE_UNKNOWN } coco_verdict;
typedef struct coco_finding {
    coco_value key;       /* which … */
    coco_str record;      /* … and its tracking record; a state with several possibilities isn't asked for */
    coco_verdict verdict; /* the answer; COCO_STATE_UNKNOWN before */
    coco_str detail;      /* of a difference: what differs, as text in cx's memory; may stay empty */
} coco_finding;

/* Reconciles the states of one provider. self and everything it points to must live until the update ends (the cx
 * given to make, child and attachment lasts so long). Hooks fail through coco_fail. A record that reconcile can't
 * read counts as "may be anything". */
typedef struct coco_target_handler {
    const char *name;
    void *self;
    coco_sink *sink; /* identity groups batches: handlers that share a connection share the pointer */
    /* No I/O, and nothing remembered: a pure function of its input (it may allocate in cx). Required. */
    coco_status (*reconcile)(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out);
    /* The handler of a container's content, from the desired value, or (desired NULL) from its record alone. */
    coco_status (*child)(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
                         struct coco_target_handler *out);
    coco_status (*attachment)(coco_ctx *cx, void *self, const char *name, struct coco_target_handler *out);
    /* Does the container exist? Asked at most once an update for each container that the system manages, outside any
     * transaction, before it is declared or a memo that depends on it is used; a container in one that is missing is
     * missing too, and not asked for. Missing: it is made anew, with all its content. An error fails who asks, it is
     * never taken for missing. record is what was declared last. *shape may be given (in cx's memory): the record
     * that reconcile would give for what is there, byte for byte `record` where nothing that matters differs. A
     * different one counts as another possibility, the first; then reconcile acts, and says what becomes of the
     * content. NULL: no container is ever missed. */
    coco_status (*exists)(coco_ctx *cx, void *self, coco_value key, coco_str record, bool *exists, coco_str *shape);
    /* Compares states of this provider with their records, and answers each; for the verify command. An error is for
     * all of them. NULL: can't tell. */
    coco_status (*verify)(coco_ctx *cx, void *self, coco_finding *states, size_t n);
    /* Gives the keys of what is there, recorded or not (their values are ignored), so that what nobody declared can be
     * reported; it is never deleted. NULL: can't tell. */
    coco_status (*list)(coco_ctx *cx, void *self, coco_source **keys);
    bool drop_removes_content; /* deleting a container of this provider removes what is in it */
    coco_str title;            /* of this provider, where the program gives none; may be empty */
} coco_target_handler;

/* Registers the maker of root handlers called `name`, before the first app is opened (in a COCO_AT_START): a state
 * can then be deleted without the declaration that made it. make must not do I/O. */
typedef struct coco_target_type {
    const char *name;
    coco_status (*make)(coco_ctx *cx, coco_value key, coco_target_handler *out);
    struct coco_target_type *next;
} coco_target_type;
void coco_target_register(coco_target_type *type);

/* The handler that a registered maker gives for key, as coco_target_new uses it: for handlers that stand on others, and
 * for tests of handlers (connectors/conformance.h). Errors: COCO_ENOPROVIDER, and the maker's. */
coco_status coco_target_make(coco_ctx *cx, const char *name, coco_value key, coco_target_handler *out);

/* ---- Environments, apps, updates --------------------------------------------------------------------------------- */

/* The gate for every byte: like realloc; n 0 frees and returns NULL. Must be thread-safe. */
typedef struct coco_allocator {
    void *(*realloc)(void *self, void *p, size_t n);
    void *self;
} coco_allocator;

typedef enum coco_event_kind {
    /* component: function runs; detail is the reason: "never run", "input changed (argument file)" … */
    COCO_EV_STARTED,
    COCO_EV_HIT,        /* component: unchanged, not run */
    COCO_EV_CALL_HIT,   /* function memo: stored result used */
    COCO_EV_CALL_MISS,  /* function memo: computed; detail is the reason */
    COCO_EV_DECLARED,   /* target state declared */
    COCO_EV_RECONCILED, /* target state: action chosen */
    COCO_EV_PRECOMMIT,  /* component: what may come is on disk */
    COCO_EV_APPLIED,    /* target state: the sink succeeded (in a preview: would be applied) */
    COCO_EV_COMMITTED,  /* component: recorded */
    COCO_EV_DELETED,    /* component: gone, with its states */
    COCO_EV_FAILED,     /* component failed; detail is the message */
    COCO_EV_GONE,       /* component no longer mounted: tombstone */
    COCO_EV_MOVED,      /* target state moved here from the component in detail */
    COCO_EV_NOTICE,     /* something to tell: detail */
    COCO_EV_READY       /* live: the initial state of everything is in the targets */
} coco_event_kind;

/* Every decision of the engine. Pointers are valid during the callback. */
typedef struct coco_event {
    coco_event_kind kind;
    const char *path;     /* component path */
    const char *function; /* or "" */
    const char *state;    /* TITLE:key of a target state, or "" */
    coco_action_kind action;
    const char *detail;   /* or "" */
    bool container;       /* the state is a container */
} coco_event;
typedef void (*coco_event_fn)(void *user, const coco_event *e);
const char *coco_event_name(coco_event_kind kind);

typedef enum coco_log_level { COCO_LOG_ERROR, COCO_LOG_WARN, COCO_LOG_INFO, COCO_LOG_DEBUG } coco_log_level;

/* All zero is the default; environment variables fill what is zero. */
typedef struct coco_env_config {
    /* state directory, created if missing (its parent must exist); NULL: COCOINDEX_DB, else ./.cocoindex */
    const char *db;
    const char *name;          /* for APP@ENV and failures; NULL: the directory's name */
    coco_allocator allocator;
    coco_status (*setup)(coco_ctx *cx, void *user); /* once, before the first update or coco_env_setup */
    void (*teardown)(void *user);                   /* when closed, also after a failed setup */
    coco_failure_fn on_failure; /* the outermost failure handler */
    coco_event_fn on_event;     /* called on the thread that decides */
    void (*on_log)(void *user, coco_log_level level, const char *message);
    coco_log_level log_level;   /* default COCO_LOG_ERROR; COCOINDEX_LOG_LEVEL */
    void *user;                 /* passed to the callbacks above */
    /* address space for the database in bytes; 0: COCOINDEX_LMDB_MAP_SIZE, else 64 GiB; grows */
    size_t map_size;
    bool read_only;             /* inspection only */
} coco_env_config;

/* Opens a state directory. On failure *env is NULL. Errors: COCO_EBUSY (open in this process), COCO_EVERSION,
 * COCO_EACCESS, COCO_EINVAL (another program's database), COCO_EIO, COCO_EFULL, COCO_ENOTFOUND. */
coco_status coco_env_open(const coco_env_config *config, coco_env **env, coco_err *err);
void coco_env_close(coco_env *env); /* after its apps are closed */
/* runs setup now if it hasn't run: for code outside updates */
coco_status coco_env_setup(coco_env *env, coco_err *err);

typedef struct coco_param_def {
    const char *name, *def, *help;
} coco_param_def;

/* A command of the program's own (docs_search: `search`), run by coco_main after setup, without the writer's lock.
 * args are the words behind the command. Returns the exit status. */
typedef struct coco_command {
    const char *name, *args, *help;
    int (*run)(coco_app *app, int nargs, char **args);
} coco_command;

typedef struct coco_app_config {
    const char *name; /* at most 200 bytes */
    const coco_fn *main;
    coco_args args;                /* of main; borrowed until the app is closed */
    const coco_param_def *params;  /* ends with { 0 } */
    const coco_command *commands;  /* ends with { 0 } */
    /* like the environment's, for this app; undone when the app is closed */
    coco_status (*setup)(coco_ctx *cx, void *user);
    void (*teardown)(void *user);
    void *user;
    /* The pool: 0, the default: everything on the calling thread, in an order that the input alone decides. T: the
     * app's functions are thread-safe, and up to T of them run at a time beside main; 0 here: COCOINDEX_THREADS. */
    unsigned threads;
    /* components started and not committed; 0: COCOINDEX_MAX_INFLIGHT_COMPONENTS, else 1,024 */
    size_t max_inflight;
    size_t max_inflight_bytes;     /* of their memory; 0: 256 MiB */
    size_t guard_states;           /* the guard: more deletes than this … 0: 1,000 */
    unsigned guard_percent;        /* … and more than this share of a root target; 0: 50 */
    const char *build_id;          /* of the program, kept with each run; NULL: fingerprint of the registered logic */
    const char *env;               /* NULL: the one environment; else coco_main keeps this app's state in DB/ENV */
} coco_app_config;

/* Opens an app in an environment. Errors: COCO_EDUP (functions or targets of one name, app open twice), COCO_EINVAL. */
coco_status coco_app_open(coco_env *env, const coco_app_config *config, coco_app **app, coco_err *err);
void coco_app_close(coco_app *app);
coco_env *coco_app_env(coco_app *app);
coco_value coco_app_context(coco_app *app, const coco_key *key);
coco_status coco_app_setup(coco_app *app, coco_err *err);

/* Sets or reads a parameter (copied). Not during an update. Errors: COCO_ENOTFOUND. */
coco_status coco_app_set_param(coco_app *app, const char *name, const char *value, coco_err *err);
const char *coco_app_param(coco_app *app, const char *name);

typedef struct coco_update_opts {
    bool live;           /* stay and follow changes, until coco_app_stop */
    bool full_reprocess; /* ignore memos, apply every declared state again */
    bool preview;        /* change nothing; EV_APPLIED events say what would be done */
    bool allow_delete;   /* let the guard pass once */
    const char *only;    /* printed path: update what is there and below alone */
    unsigned recheck;    /* per cent of memo hits to run and compare */
} coco_update_opts;

/* What an update did. Freed by coco_result_free. */
typedef struct coco_result {
    coco_value value;    /* of main; objects come as null */
    uint64_t run;        /* number of the run, 0 if it wrote nothing */
    uint64_t nfailed;    /* failed components and unreadable items */
    char **failed;       /* paths of the first 100 */
    size_t nfailed_paths;
    uint64_t inserts, updates, deletes; /* target actions applied, or in a preview to be applied */
    double seconds;
    double saved_seconds, saved_units; /* what the memo hits had cost when they ran (function memos and components) */
    void *memory;                      /* of the above */
} coco_result;

/* Runs an update and returns when the targets are in sync, or with opts->live when it is stopped. opts and result may
 * be NULL.
 * Errors: COCO_EFAIL when any component failed (the message counts them; the rest is done), main's own failure,
 * COCO_EGUARD, COCO_EBUSY (names the process), COCO_ESTOP, COCO_ENOTFOUND (only: nobody mounted it),
 * COCO_ERECHECK, COCO_EFORK, and errors of the store. Thread-safe: one update of an app at a time (COCO_EBUSY). */
coco_status coco_update(coco_app *app, const coco_update_opts *opts, coco_result *result, coco_err *err);
void coco_result_free(coco_result *result);

/* Starts an update on a thread of its own: coco_stats_get and coco_app_stop work meanwhile. coco_update_wait waits for
 * its end, gives what coco_update would have, and frees the handle; result may be NULL. On failure *update is NULL.
 * Thread-safe: yes; one thread waits. Errors: COCO_ENOMEM, COCO_EFAIL (no thread to be had). */
typedef struct coco_running coco_running;
coco_status coco_update_start(coco_app *app, const coco_update_opts *opts, coco_running **update, coco_err *err);
bool coco_update_done(coco_running *update);
coco_status coco_update_wait(coco_running *update, coco_result *result, coco_err *err);

/* Waits until every change made to the watched sources before the call is in the targets, in a live update of the app;
 * timeout_ms 0: a minute. One that coco_update_start has started is waited for; a source that can't be listed isn't in
 * sync. From any thread but the update's own. Errors: COCO_EDEADLINE, COCO_EINVAL (no live update), COCO_ESTOP (it
 * ended). */
coco_status coco_sync(coco_app *app, unsigned timeout_ms, coco_err *err);

/* Deletes every target state of the app, then its state. Fails if anything failed; what remains can be dropped
 * again. */
coco_status coco_drop(coco_app *app, coco_result *result, coco_err *err);
/* Forgets one target (its title, as in TITLE:key) and what is below it without touching it. */
coco_status coco_forget(coco_app *app, const char *target, coco_err *err);

/* Asks a running update to finish what is in flight and end with COCO_ESTOP; a live one that was ready (COCO_EV_READY)
 * ends as any other update does: with 0, or COCO_EFAIL where something failed. Async-signal-safe. */
void coco_app_stop(coco_app *app);

/* ---- Statistics and inspection ----------------------------------------------------------------------------------- */

typedef struct coco_fn_stats {
    const char *name;
    uint64_t starts, added, reprocessed, unchanged, deleted, errors; /* components */
    uint64_t memo_hits, memo_misses;                                 /* calls */
    uint64_t nanoseconds;                                            /* inside the function, callees included */
    uint64_t expected; /* items of the sources that it was mounted for; 0: not known of one of them */
} coco_fn_stats;
typedef struct coco_target_stats {
    const char *title;
    uint64_t inserts, updates, deletes, bytes;
} coco_target_stats;
typedef struct coco_stats {
    coco_fn_stats *fns;
    size_t nfns;
    coco_target_stats *targets;
    size_t ntargets;
    coco_app *app;
} coco_stats;

/* A copy of the counts of the running or last update. Thread-safe: yes. Freed by coco_stats_free. */
coco_status coco_stats_get(coco_app *app, coco_stats *stats);
void coco_stats_free(coco_stats *stats);

typedef struct coco_component_info {
    const char *path;      /* printed */
    const char *function;  /* NULL for an inner node */
    int depth;             /* 0 for the root */
    bool memo, pending, tombstone;
    size_t nstates, nmemos; /* target states, function memos used */
    size_t bytes;           /* of its records */
    uint64_t run;           /* that last wrote it */
    int64_t time;           /* of that run's start, in ms since 1970; 0 if unknown */
    const char *reason;     /* why it ran then */
    int64_t version;        /* of the function when it ran */
    double seconds;         /* what it took when it ran */
    const char *source;     /* TITLE of the source that gives its children, or NULL */
} coco_component_info;
typedef struct coco_state_info {
    const char *state;      /* TITLE:key */
    bool container, in_flight;
    size_t bytes;           /* of its tracking record */
} coco_state_info;

typedef struct coco_inspect_visitor {
    void *user;
    coco_status (*component)(void *user, const coco_component_info *info);
    coco_status (*state)(void *user, const coco_component_info *info, const coco_state_info *state); /* may be NULL */
} coco_inspect_visitor;

/* Visits the component at path (NULL or "/": the root) and those below it in path order, at most depth levels (0:
 * all), from a consistent snapshot that is renewed now and then. Works beside a running update, here or in another
 * process.
 * Errors: COCO_ENOTFOUND (no such app or path), COCO_EPARSE (path), COCO_ECORRUPT, and the visitor's. */
coco_status coco_inspect(coco_env *env, const char *app, const char *path, int depth, const coco_inspect_visitor *v,
                         coco_err *err);

/* Calls fn with the name of each app recorded in the environment, and whether an update of it has written anything. */
coco_status coco_inspect_apps(coco_env *env, coco_status (*fn)(void *user, const char *app, bool has_run), void *user,
                              coco_err *err);

/* ---- Checking, compacting, copying ------------------------------------------------------------------------------- */

/* Something that is wrong with what is recorded. Pointers are valid during the callback. */
typedef struct coco_problem {
    const char *app;
    const char *path; /* printed component path; "" where it is about none */
    const char *what; /* in plain words */
    bool repaired;
} coco_problem;

typedef struct coco_check_visitor {
    void *user;
    coco_status (*problem)(void *user, const coco_problem *p); /* the first 10,000 are told; another status ends it */
} coco_check_visitor;

typedef struct coco_check_opts {
    /* put right what is wrong, in one transaction: what can't be read is dropped, and the next update makes it anew.
     * No target state is lost by it: one of which nothing is known but its key is declared or deleted again */
    bool repair;
    /* walk in this process; else in a child, whose death by a damaged page is told as an error. For processes that may
     * not fork, and for tests */
    bool same_process;
} coco_check_opts;

/* Walks every record of app (NULL: of all apps), from one snapshot: checksums, indexes in both directions, counts,
 * counters. Works beside a running update, here or in another process; what the update frees meanwhile isn't used
 * again before the walk has ended, so the file may grow by what is written. With repair no update may run. opts and v
 * may be NULL. Returns 0 when nothing is wrong, or all was repaired. Thread-safe: yes.
 * Errors: COCO_ECORRUPT (something is wrong: the message counts and names the first; or pages are damaged, which only a
 * backup puts right), COCO_ENOTFOUND (no such app), COCO_EBUSY (repair: names the updating process), COCO_EACCESS
 * (repair: open for reading only), COCO_EIO (no child process), and the visitor's. */
coco_status coco_check(coco_env *env, const char *app, const coco_check_opts *opts, const coco_check_visitor *v,
                       coco_err *err);

/* Copies the state as it is at one moment into a new file, without what is free in it; works beside a running update,
 * here or in another process (the file that is copied may grow meanwhile, as with coco_check). An existing file is
 * never touched, and a crash leaves nothing under the name (but maybe a NAME.XXXXXX beside it). To go back to a
 * backup: take data.mdb and lock.mdb out of the state directory, or make a new one, and copy the file there as
 * data.mdb; the next update brings the targets in step from there. Thread-safe: yes. Errors: COCO_EREFUSED (the file
 * exists), COCO_ECORRUPT (pages damaged), COCO_EFULL, COCO_EACCESS, COCO_ENOTFOUND, COCO_EIO. */
coco_status coco_backup(coco_env *env, const char *file, coco_err *err);

/* Puts a copy without what is free in the place of a database that nobody has open (config's db says which): a file
 * that has grown once is as small as it can be. A crash at any point leaves the one or the other, whole; at most a
 * data.mdb.compact stays beside it, which the next one overwrites. Needs room for the copy. Thread-safe: yes.
 * Errors: COCO_EBUSY (open here, or in a process that the message names), COCO_ENOTFOUND, and those of coco_backup. */
coco_status coco_compact(const coco_env_config *config, coco_err *err);

/* ---- Command line ------------------------------------------------------------------------------------------------ */

/* The whole program: update, drop, ls, show and the app's own commands; `--help` lists them. Returns the exit
 * status: 0 all well, 1 failures, 2 wrong usage, 3 the state can't be opened, 4 stopped by the guard, 130 stopped.
 * Installs handlers for SIGINT and SIGTERM while a command runs. */
int coco_main(int argc, char **argv, const coco_app_config *apps, int n);

/* ---- How COCO_FN works ------------------------------------------------------------------------------------------- */

#ifndef __cplusplus

/* COCO_FN(name, (type, parameter, …), .field = …) { body } defines the function and a coco_fn `name`; the body
 * sees cx and the typed parameters. Types: bool, int, int64_t, double, coco_str, const char *, coco_value, and
 * pointers to classed objects. COCO_FN_DECLARE(name); makes it known in other files. */
#define COCO_FN_DECLARE(name) extern coco_fn name

enum { COCO__BOOL = 1, COCO__INT, COCO__INT64, COCO__DOUBLE, COCO__STR, COCO__CSTR, COCO__VALUE, COCO__HANDLE };
#define COCO__KIND(T) \
    _Generic((T *)0, bool *: COCO__BOOL, int *: COCO__INT, int64_t *: COCO__INT64, double *: COCO__DOUBLE, \
             coco_str *: COCO__STR, const char **: COCO__CSTR, coco_value *: COCO__VALUE, default: COCO__HANDLE)

/* Stores args[i] of fn in *out as a parameter of that kind, or fails with COCO_ETYPE naming it. */
coco_status coco__unpack(coco_ctx *cx, const coco_fn *fn, const coco_value *args, int i, int kind, void *out);

#define COCO__CAT(a, b) COCO__CAT_(a, b)
#define COCO__CAT_(a, b) a##b
#define COCO__CALL(m, ...) m(__VA_ARGS__)
#define COCO__REST(...) __VA_ARGS__
#define COCO__HEAD(first, ...) first
#define COCO__TAIL(first, ...) __VA_ARGS__
#define COCO__COUNT(...) COCO__COUNT_(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define COCO__COUNT_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, count, ...) count
/* M(index, type, name) for each pair of a parameter list; an empty list counts as one empty argument. */
#define COCO__L1(M, a)
#define COCO__L2(M, t, a) M(0, t, a)
#define COCO__L4(M, t, a, u, b) M(0, t, a) M(1, u, b)
#define COCO__L6(M, t, a, u, b, v, c) COCO__L4(M, t, a, u, b) M(2, v, c)
#define COCO__L8(M, t, a, u, b, v, c, w, d) COCO__L6(M, t, a, u, b, v, c) M(3, w, d)
#define COCO__L10(M, t, a, u, b, v, c, w, d, x, e) COCO__L8(M, t, a, u, b, v, c, w, d) M(4, x, e)
#define COCO__L12(M, t, a, u, b, v, c, w, d, x, e, y, f) COCO__L10(M, t, a, u, b, v, c, w, d, x, e) M(5, y, f)
#define COCO__L14(M, t, a, u, b, v, c, w, d, x, e, y, f, z, g) \
    COCO__L12(M, t, a, u, b, v, c, w, d, x, e, y, f) M(6, z, g)
#define COCO__L16(M, t, a, u, b, v, c, w, d, x, e, y, f, z, g, s, h) \
    COCO__L14(M, t, a, u, b, v, c, w, d, x, e, y, f, z, g) M(7, s, h)
#define COCO__MAP(M, params) COCO__CALL(COCO__CAT(COCO__L, COCO__COUNT params), M, COCO__REST params)
#define COCO__PROTO(i, T, a) , T a
#define COCO__LOCAL(i, T, a) T a;
#define COCO__UNPACK(i, T, a) COCO_TRY(coco__unpack(cx, coco__fn, coco__args, i, COCO__KIND(T), &a));
#define COCO__PASS(i, T, a) , a
#define COCO__TYPE(i, T, a) { #T, #a },

#if defined(__GNUC__)
#define COCO__UNUSED __attribute__((unused))
/* COCO_AT_START(name) { statements }: runs before main. */
#define COCO_AT_START(name) __attribute__((constructor)) static void COCO__CAT(name, __at_start)(void)
#else
#define COCO__UNUSED
#define COCO_AT_START(name) void COCO__CAT(name, __at_start)(void); void COCO__CAT(name, __at_start)(void)
#endif

#define COCO_FN(NAME, ...) COCO__FN(NAME, COCO__HEAD(__VA_ARGS__, ~), __VA_ARGS__)
#define COCO__FN(NAME, PARAMS, ...) \
    static coco_status NAME##__body(coco_ctx *cx COCO__MAP(COCO__PROTO, PARAMS)); \
    static coco_status NAME##__call(coco_ctx *cx, const coco_value *coco__args) \
    { \
        extern coco_fn NAME; \
        const coco_fn *coco__fn = &NAME; \
        COCO__MAP(COCO__LOCAL, PARAMS) \
        (void)coco__args, (void)coco__fn; \
        COCO__MAP(COCO__UNPACK, PARAMS) \
        return NAME##__body(cx COCO__MAP(COCO__PASS, PARAMS)); \
    } \
    extern coco_fn NAME; \
    coco_fn NAME = { .ident = #NAME, .file = __FILE__, .call = NAME##__call, \
                     .params = { COCO__MAP(COCO__TYPE, PARAMS) { NULL, NULL } }, \
                     COCO__TAIL(__VA_ARGS__, .nparams = COCO__COUNT PARAMS / 2) }; \
    COCO_AT_START(NAME) { coco_register(&NAME); } \
    static coco_status NAME##__body(coco_ctx *cx COCO__UNUSED COCO__MAP(COCO__PROTO, PARAMS))

/* COCO_BATCH_FN(embed, (coco_str, text), .max_batch = 64, .memo = true) { body }: a function whose calls are gathered.
 * The body sees cx, calls (calls[i].v[0] is the first argument of call i, its type checked), n and results. */
#define COCO_BATCH_FN(NAME, ...) COCO__BATCH_FN(NAME, COCO__HEAD(__VA_ARGS__, ~), __VA_ARGS__)
#define COCO__VOID(i, T, a) (void)a;
#define COCO__BATCH_FN(NAME, PARAMS, ...) \
    static coco_status NAME##__batch(coco_ctx *cx, const coco_args *calls, size_t n, coco_value *results); \
    static coco_status NAME##__call(coco_ctx *cx, const coco_value *coco__args) \
    { \
        extern coco_fn NAME; \
        const coco_fn *coco__fn = &NAME; \
        COCO__MAP(COCO__LOCAL, PARAMS) \
        (void)coco__args, (void)coco__fn; \
        COCO__MAP(COCO__UNPACK, PARAMS) \
        COCO__MAP(COCO__VOID, PARAMS) \
        return COCO_OK; \
    } \
    extern coco_fn NAME; \
    coco_fn NAME = { .ident = #NAME, .file = __FILE__, .call = NAME##__call, .batch = NAME##__batch, \
                     .params = { COCO__MAP(COCO__TYPE, PARAMS) { NULL, NULL } }, \
                     COCO__TAIL(__VA_ARGS__, .nparams = COCO__COUNT PARAMS / 2) }; \
    COCO_AT_START(NAME) { coco_register(&NAME); } \
    static coco_status NAME##__batch(coco_ctx *cx COCO__UNUSED, const coco_args *calls COCO__UNUSED, size_t n, \
                                     coco_value *results)

#endif /* !__cplusplus */

#ifdef __cplusplus
}
#endif
#endif /* COCOINDEX_H */
