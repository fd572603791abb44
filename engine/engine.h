/* engine.h - internal types and prototypes, grouped by floor. A floor calls only the floors above it in this file
 * (which stand below it in the house). Every internal name begins coco__; in the one translation unit all functions
 * are static (COCO__IN). */
#ifndef COCO_ENGINE_H
#define COCO_ENGINE_H

#include "../cocoindex.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <lmdb.h>
#include <pthread.h>
#include <time.h>

/* Tests compile the floors one by one and link them; the library is one unit and keeps its internals to itself. */
#ifdef COCO__SEPARATE
#define COCO__IN
#else
#define COCO__IN static COCO__UNUSED /* what serves an option, or tests alone, is no warning in a host's build */
#endif

/* Of two things, both of which are done, the first failure. */
static inline coco_status coco__both(coco_status rc, coco_status then) { return rc == COCO_OK ? then : rc; }

/* ==== base.c: allocation gate, arena, byte buffer, reader, tables, log ==== */

typedef struct coco__mem {
    coco_allocator gate; /* realloc NULL: libc's */
} coco__mem;

COCO__IN void *coco__alloc(const coco__mem *m, size_t n);             /* not zeroed; NULL on failure or n == 0 */
COCO__IN void *coco__zalloc(const coco__mem *m, size_t n);            /* zeroed */
COCO__IN void *coco__realloc(const coco__mem *m, void *p, size_t n);  /* n > 0 */
COCO__IN void coco__free(const coco__mem *m, void *p);                /* NULL is fine */
COCO__IN char *coco__strdup(const coco__mem *m, const char *s);
/* Makes room for one more in an array of n, which may move; false: no memory, and it is as it was. */
#define COCO__ROOM(m, array, n, cap) coco__room(m, &(array), n, &(cap), sizeof *(array))
COCO__IN bool coco__room(const coco__mem *m, void *array, size_t n, size_t *cap, size_t size); /* array: its pointer */

/* An arena: memory that dies together. Small chunks double up to 64 KiB; larger requests get a chunk of their own. */
typedef struct coco__chunk {
    struct coco__chunk *next;
    size_t size; /* bytes behind this header */
} coco__chunk;
typedef struct coco__arena {
    const coco__mem *mem;
    coco__chunk *chunks; /* newest first; the newest is the one being filled */
    char *cur, *end;     /* free part of the newest chunk */
    size_t total;        /* bytes of all chunks */
} coco__arena;
typedef struct coco__mark {
    coco__chunk *chunk;
    char *cur;
} coco__mark;

COCO__IN void coco__arena_init(coco__arena *a, const coco__mem *m);
/* aligned to 16, not zeroed; n 0 gives a valid pointer; NULL: no memory */
COCO__IN void *coco__arena_alloc(coco__arena *a, size_t n);
COCO__IN void *coco__arena_zalloc(coco__arena *a, size_t n); /* zeroed */
COCO__IN void *coco__arena_copy(coco__arena *a, const void *p, size_t n); /* with a NUL behind */
COCO__IN char *coco__arena_text(coco__arena *a, const char *s);
COCO__IN coco_str coco__arena_str(coco__arena *a, coco_str s);            /* the same; p NULL: no memory */
COCO__IN coco_str coco__arena_keep(coco__arena *a, coco_str s);           /* itself where the newest chunk has it */
COCO__IN void coco__arena_splice(coco__arena *a, coco__arena *from); /* takes from's chunks over; from is empty then */
COCO__IN coco__mark coco__arena_mark(const coco__arena *a);
COCO__IN void coco__arena_release(coco__arena *a, coco__mark to); /* gives back what was taken since the mark */
COCO__IN void coco__arena_reset(coco__arena *a); /* empty, keeps one chunk of at most 64 KiB */
COCO__IN void coco__arena_free(coco__arena *a);

/* A growing byte buffer. A failed growth is sticky: `failed` is set, later puts do nothing; check it once at the
 * end. */
typedef struct coco__buf {
    const coco__mem *mem;
    uint8_t *p;
    size_t n, cap;
    bool failed;
} coco__buf;

COCO__IN void coco__buf_init(coco__buf *b, const coco__mem *m);
COCO__IN void coco__buf_free(coco__buf *b);
COCO__IN uint8_t *coco__buf_grow(coco__buf *b, size_t n); /* room for n more bytes, counted as used; NULL on failure */
COCO__IN void coco__buf_put(coco__buf *b, const void *p, size_t n);
COCO__IN void coco__buf_byte(coco__buf *b, uint8_t byte);
COCO__IN void coco__buf_be64(coco__buf *b, uint64_t v);
COCO__IN size_t coco__varint(uint8_t out[10], uint64_t v);   /* LEB128; its length */
COCO__IN void coco__buf_varint(coco__buf *b, uint64_t v);
COCO__IN void coco__buf_blob(coco__buf *b, const void *p, size_t n); /* varint length, bytes */
COCO__IN void coco__buf_str(coco__buf *b, const char *s);    /* the characters of s, without NUL */
COCO__IN void coco__buf_printf(coco__buf *b, const char *fmt, ...) COCO__PRINTF(2, 3);
COCO__IN const char *coco__buf_cstr(coco__buf *b);           /* NUL-terminated view; "" after a failure */
COCO__IN coco_str coco__buf_view(const coco__buf *b);        /* what is in it; borrows */
COCO__IN coco_str coco__buf_take(coco__buf *b, coco__arena *a); /* copied, and b is freed; p NULL: no memory */
/* The end of what may fail: rc, or COCO_ENOMEM; n is `before` again then. */
COCO__IN coco_status coco__buf_end(coco__buf *b, size_t before, coco_status rc);
COCO__IN uint64_t coco__zigzag(int64_t v); /* small for small magnitudes, as varints want it */
COCO__IN int64_t coco__unzigzag(uint64_t v);
COCO__IN void coco__put_be64(uint8_t out[8], uint64_t v);
COCO__IN uint64_t coco__get_be64(const uint8_t in[8]);

/* Reads a byte string from the front. A read past the end, or a malformed varint, sets `bad` (sticky) and gives
 * zeros. */
typedef struct coco__reader {
    const uint8_t *p, *end;
    bool bad;
} coco__reader;

COCO__IN coco__reader coco__reader_of(const void *p, size_t n);
COCO__IN uint8_t coco__read_byte(coco__reader *r);
COCO__IN uint32_t coco__read_be32(coco__reader *r);
COCO__IN uint64_t coco__read_be64(coco__reader *r);
COCO__IN uint64_t coco__read_varint(coco__reader *r); /* at most 10 bytes, no value over 2^64-1 */
COCO__IN coco_str coco__read_blob(coco__reader *r);   /* borrows */
COCO__IN const uint8_t *coco__read_bytes(coco__reader *r, size_t n); /* borrows; NULL if bad */
COCO__IN size_t coco__left(const coco__reader *r);

/* A hash table from byte keys (borrowed: they must outlive the entry) to pointers. Open addressing, grows at 3/4. */
typedef struct coco__slot {
    const void *key;
    size_t nkey;
    void *value; /* NULL: free */
    uint32_t hash;
} coco__slot;
typedef struct coco__table {
    const coco__mem *mem;
    coco__slot *slots;
    size_t cap, n;
} coco__table;

COCO__IN void coco__table_init(coco__table *t, const coco__mem *m);
COCO__IN void coco__table_free(coco__table *t);
COCO__IN void *coco__table_get(const coco__table *t, const void *key, size_t nkey);
/* value not NULL; replaces; false: no memory */
COCO__IN bool coco__table_put(coco__table *t, const void *key, size_t nkey, void *value);
/* the value that was there, or NULL */
COCO__IN void *coco__table_remove(coco__table *t, const void *key, size_t nkey);
COCO__IN void coco__table_clear(coco__table *t);
COCO__IN void *coco__table_next(const coco__table *t, size_t *i); /* NULL: no more; *i from 0; order is arbitrary */

/* A compact set of 16-byte fingerprints. */
typedef struct coco__set16 {
    const coco__mem *mem;
    uint8_t (*slots)[16];
    size_t cap, n;
} coco__set16;

COCO__IN void coco__set16_init(coco__set16 *s, const coco__mem *m);
COCO__IN void coco__set16_free(coco__set16 *s);
COCO__IN int coco__set16_add(coco__set16 *s, const uint8_t fp[16]); /* 1 added, 0 was there, -1 no memory */
COCO__IN bool coco__set16_has(const coco__set16 *s, const uint8_t fp[16]);

COCO__IN coco_status coco__no_memory(coco_err *err); /* says so */
/* In a function with `...` behind fmt: text, an array, holds what it says. */
#define COCO__FORMAT(text, fmt) \
    do { \
        va_list coco__ap; \
        va_start(coco__ap, fmt); \
        vsnprintf(text, sizeof text, fmt, coco__ap); \
        va_end(coco__ap); \
    } while (0)
COCO__IN uint64_t coco__load64(const uint8_t *p); /* little-endian */
/* fast, for tables and checksums; the same on every machine */
COCO__IN uint32_t coco__hash32(const void *p, size_t n, uint32_t seed);
COCO__IN uint64_t coco__monotonic_ns(void);
COCO__IN int64_t coco__wall_ms(void);
COCO__IN void coco__sleep_ms(unsigned ms);
COCO__IN uint64_t coco__random64(void); /* from the system; for uuids and jitter */

/* ==== fingerprint.c: BLAKE2b (the coco_hash_ calls and coco_fingerprint_bytes of the header) ==== */

#define COCO__FP 16

/* ==== value.c: values: canonical encoding, decoding, order, printing, JSON ==== */

/* CANONICAL sorts map entries, so that equal values encode equally (fingerprints, comparison); STORED keeps their
 * order. Both are self-delimiting and decode with coco__value_get. An object inside is COCO_ETYPE. A map with a key
 * twice is COCO_EINVAL. */
typedef enum coco__encoding { COCO__CANONICAL, COCO__STORED } coco__encoding;
COCO__IN coco_status coco__value_put(coco__buf *b, coco_value v, coco__encoding how);
/* copies; COCO_ECORRUPT, COCO_ENOMEM */
COCO__IN coco_status coco__value_get(coco__reader *r, coco__arena *a, coco_value *out);
/* The end of a decoding: rc; after a failure *out is null, and r is at its end and bad. */
COCO__IN coco_status coco__value_end(coco__reader *r, coco_status rc, coco_value *out);
COCO__IN coco_status coco__value_copy(coco__arena *a, coco_value v, coco_value *out);   /* deep; objects by pointer */
/* As memcmp, then the shorter first: the order of encoded keys. */
COCO__IN int coco__bytes_cmp(const void *a, size_t na, const void *b, size_t nb);
COCO__IN int coco__str_cmp(coco_str a, coco_str b);
/* The length of the name in front, which needs no quotes as a symbol; p ends at n or with a NUL. */
COCO__IN size_t coco__bare_length(const char *p, size_t n);
COCO__IN void coco__value_print(coco__buf *b, coco_value v);
/* bytes as {"bytes":"hex"}-free hex text, NaN and infinities as null */
COCO__IN void coco__value_json(coco__buf *b, coco_value v);

/* ==== key.c: stable keys, component paths, their printed form and its parser ==== */

/* Order-preserving, self-delimiting, total. COCO_ETYPE where the value isn't a stable key. Kinds order as null,
 * symbol, bool, int, text, bytes, uuid, list. */
enum {
    COCO__KEY_END = 0x01, COCO__KEY_NULL, COCO__KEY_SYMBOL, COCO__KEY_FALSE, COCO__KEY_TRUE,
    COCO__KEY_INT_LOW, /* 8 bytes, negative */
    COCO__KEY_ZERO = COCO__KEY_INT_LOW + 8,
    COCO__KEY_INT_HIGH = COCO__KEY_ZERO + 8, /* 8 bytes, positive */
    COCO__KEY_TEXT, COCO__KEY_BYTES, COCO__KEY_UUID, COCO__KEY_LIST
};
COCO__IN coco_status coco__key_put(coco__buf *b, coco_value key);
/* copies; COCO_ECORRUPT, COCO_ENOMEM */
COCO__IN coco_status coco__key_get(coco__reader *r, coco__arena *a, coco_value *out);
COCO__IN size_t coco__key_length(const uint8_t *p, size_t n); /* of the encoded key at the front; 0 if malformed */
/* A text prefix as an encoded range: keys that are texts beginning with s encode to byte strings beginning with what
 * is put. */
COCO__IN void coco__key_text_prefix(coco__buf *b, coco_str s);

/* A path is the concatenation of its encoded segments; "" is the root. */
/* "/" or "/k1/k2"; malformed bytes print as b"hex" */
COCO__IN void coco__path_print(coco__buf *b, const void *path, size_t n);
COCO__IN void coco__key_print(coco__buf *b, const void *key, size_t n);   /* one segment, without a slash */
COCO__IN const char *coco__path_shown(coco__buf *b); /* the encoded path in b becomes the printed one */
COCO__IN coco_status coco__path_parse(const char *s, coco__buf *out, coco_err *err); /* COCO_EPARSE says where */

/* ==== event.c: events, counters, logs: every decision of the engine passes here ==== */

struct coco__run;
struct coco__comp;

enum {
    COCO__STARTS, COCO__ADDED, COCO__REPROCESSED, COCO__UNCHANGED, COCO__DELETED, COCO__ERRORS, COCO__HITS,
    COCO__MISSES, COCO__NS, /* as in coco_fn_stats */
    COCO__EXPECTED, /* items that sources have announced for it; sources that couldn't */
    COCO__UNSIZED,
    COCO__NCOUNTS
};
typedef struct coco__fn_counts {
    _Atomic uint64_t n[COCO__NCOUNTS];
    uint32_t nruns, ns;      /* runs as components in this process; what one takes, a moving average */
    bool gathers;            /* it calls batched functions */
} coco__fn_counts;
typedef struct coco__target_counts {
    struct coco__target_counts *next;
    _Atomic uint64_t actions[COCO_DELETE + 1], bytes;
    char title[];
} coco__target_counts;

#define COCO__ADD(counter, by) atomic_fetch_add_explicit(&(counter), (by), memory_order_relaxed)

COCO__IN void coco__count_fn(coco_app *app, const coco_fn *fn, int which, uint64_t by);
COCO__IN void coco__count_action(coco__target_counts *counts, const coco_action *a);
COCO__IN coco__target_counts *coco__counts_of_title(coco_app *app, const char *title);
COCO__IN void coco__counts_reset(coco_app *app);
COCO__IN void coco__log(coco_env *env, coco_log_level level, const char *fmt, ...) COCO__PRINTF(3, 4);
/* Send an event about comp (may be NULL); about one of its target states; about a call in cx. */
struct coco__change;
COCO__IN void coco__emit(struct coco__run *run, coco_event_kind kind, const struct coco__comp *comp,
                         const char *detail);
COCO__IN void coco__emit_state(struct coco__run *run, coco_event_kind kind, const struct coco__comp *comp,
                               const struct coco__change *c, const char *detail);

COCO__IN bool coco__listening(const struct coco__run *run);

/* ==== schedule.c: the engine's lock, the pool, deadlines, rate limiters, runners ==== */

/* Work that any thread of the run may do in pieces, beside the thread that brings it (on whose stack this stands). */
typedef struct coco__team {
    struct coco__team *next, *outer; /* in the pool; that the same thread waits for too */
    /* takes a piece and does it; false: there is no more to take. Called with the lock held */
    bool (*step)(struct coco__team *self);
    struct coco__helper *helpers; /* threads at it, but for its own */
} coco__team;

/* Threads of a run beside the one that called for the update. Fields are guarded by lock. */
typedef struct coco__pool {
    pthread_mutex_t lock;        /* of the whole run */
    _Atomic(struct coco__thread *) holder; /* who has the lock */
    unsigned depth;              /* its calls into the engine */
    pthread_cond_t work;         /* a worker is called, or the pool ends */
    pthread_cond_t changed;      /* what somebody waits for may have come */
    struct coco__comp *queue, **queue_last; /* set up, to be run */
    coco__team *teams;           /* with work that is still to be taken */
    void (*task)(struct coco__comp *c);
    size_t nqueued, queued_bytes;
    unsigned nactive, nwaiting;  /* threads inside functions or the engine; that wait for others */
    unsigned nidle, ncalled;     /* workers without work; called, but not yet awake */
    unsigned nforks;             /* threads of the user's */
    bool flushing;               /* a round is being written or applied */
    bool ending;
    const struct coco__pool *outer; /* that the thread counted for before: an update inside an update */
    unsigned nthreads, max_threads;
    pthread_t threads[];
} coco__pool;

/* A public call that touches the run stands between enter and leave (they nest); user code that the engine calls,
 * between user_begin and user_end. Without a pool all of them do nothing. */
COCO__IN void coco__enter(struct coco__run *run);
COCO__IN void coco__leave(struct coco__run *run);
/* The end of a public function: does the call inside, and returns what it gives. */
#define COCO__INSIDE(run, type, call) \
    do { \
        coco__enter(run); \
        type coco__given = (call); \
        coco__leave(run); \
        return coco__given; \
    } while (0)
COCO__IN unsigned coco__user_begin(struct coco__run *run);
COCO__IN void coco__user_end(struct coco__run *run, unsigned depth);
/* They do what, a statement: as user code, inside, with a mutex. */
#define COCO__USER(run, what) \
    do { \
        unsigned coco__calls = coco__user_begin(run); \
        what; \
        coco__user_end(run, coco__calls); \
    } while (0)
#define COCO__ENTERED(run, what) \
    do { \
        coco__enter(run); \
        what; \
        coco__leave(run); \
    } while (0)
#define COCO__LOCKED(mutex, what) \
    do { \
        pthread_mutex_lock(mutex); \
        what; \
        pthread_mutex_unlock(mutex); \
    } while (0)
COCO__IN uint64_t coco__waited(void); /* ns that this thread has waited for locks */
#ifdef COCO__SEPARATE
extern _Atomic unsigned coco__yields; /* tests: not 0: a seed, threads give way at odd moments */
#endif
/* Between wait_begin and wait_end the thread isn't active; without a pool they do nothing. */
COCO__IN void coco__wait_begin(struct coco__run *run);
COCO__IN void coco__wait_change(struct coco__run *run, uint64_t deadline);
COCO__IN void coco__wait_end(struct coco__run *run);
COCO__IN struct timespec coco__time_in(uint64_t ns); /* so long from now, on the wall's clock */
COCO__IN void coco__wake(struct coco__run *run, struct coco__thread *t);
COCO__IN void coco__changed(struct coco__run *run); /* wakes those that wait */
COCO__IN bool coco__quiet(const struct coco__run *run); /* no thread is active, and none will be by itself */
/* Waits while another thread computes a memo; false: this thread does, or it would wait for ever. */
COCO__IN bool coco__await_fresh(coco_ctx *cx, const uint8_t fp[COCO__FP]);
COCO__IN struct coco__thread *coco__this_thread(void);
COCO__IN void coco__computed_by(struct coco__thread *t, struct coco__thread *by); /* t waits for it; NULL: no more */
COCO__IN bool coco__queue_put(struct coco__run *run, struct coco__comp *c); /* false: no thread to be had */
/* The first that is queued, at or below a component where one is given; NULL: there is none. */
COCO__IN struct coco__comp *coco__queue_take(struct coco__run *run, const struct coco__comp *below);
COCO__IN void coco__team_run(struct coco__run *run, coco__team *s, size_t pieces); /* returns when all is done */
/* The caller holds the lock from begin to end. */
COCO__IN coco_status coco__pool_begin(struct coco__run *run, unsigned threads, void (*task)(struct coco__comp *c));
COCO__IN void coco__pool_end(struct coco__run *run);
/* A thread of the user's will call, or has ended. As long as there is one, neither it nor cx's counts as active: who
 * joins a thread that waits would hold it up. */
COCO__IN coco_status coco__fork_begin(coco_ctx *cx);
COCO__IN void coco__fork_end(coco_ctx *cx);
COCO__IN coco_status coco__stopped(const struct coco__run *run); /* COCO_ESTOP or 0 */
COCO__IN bool coco__late(const coco_ctx *cx); /* has its deadline passed? */
/* Calls body, which is fn's own code, where fn runs: counts its time, and returns what was kept or what it gave. */
COCO__IN coco_status coco__runner_run(coco_ctx *cx, const coco_fn *fn, coco_status (*body)(void *self), void *self);
COCO__IN bool coco__on_runner(const coco_ctx *cx, const coco_runner *r); /* does cx, or one around, run there? */
/* One sink never applies twice at a time, whatever updates share it. The caller doesn't hold the lock. */
struct coco__busy {
    struct coco__busy *next;
    const coco_sink *sink;
};
COCO__IN void coco__sink_take(struct coco__busy *b, const coco_sink *sink);
COCO__IN void coco__sink_give(const struct coco__busy *b);

/* ==== open.c: LMDB: environment, growth, the one updating process ==== */

typedef struct coco__provided { /* a context value */
    struct coco__provided *next;
    const char *name;
    coco_value value;
    uint8_t fp[COCO__FP]; /* with detect_change */
    bool detect;
    void (*close)(void *object);
} coco__provided;

struct coco_env {
    coco__mem mem;
    coco_env_config config; /* strings copied into arena */
    coco__arena arena;
    char *dir;
    const char *name;
    MDB_env *mdb;
    size_t map_size;
    int lock_fd;       /* -1: not open */
    int writers;       /* updates under way, guarded by mutex */
    unsigned fork_gen; /* of the process that opened it */
    uint64_t dev, ino; /* of the directory */
    pthread_mutex_t mutex;     /* apps, writers */
    pthread_mutex_t setup_mutex;
    pthread_rwlock_t map_lock; /* readers share it, the grower of the map has it alone */
    coco__provided *context;
    int setup_state; /* 0 not run, 1 done, -1 failed */
    coco_app *apps;
    coco_env *next_open;
    void (*tick)(void *user); /* the command line's, at each event, of which it need not be told */
};

struct coco_app {
    coco_env *env;
    coco_app_config config;
    coco__arena arena; /* names, context values */
    const char *name;
    MDB_dbi dbi;
    bool has_dbi;
    char **params; /* values, beside config.params */
    coco__provided *context;
    int setup_state;
    coco__fn_counts *counts; /* one a registered function */
    coco__target_counts *targets;
    size_t nfns;
    _Atomic int stop, running;
    _Atomic int nstarted;      /* live updates on threads of their own */
    _Atomic int wake[2];       /* a pipe that wakes a live update, read and write end; -1 until there is one */
    struct coco__live *live;   /* of the running update; guarded by the environment's mutex */
    _Atomic(struct coco__run *) run;
    coco_app *next;
};

COCO__IN coco_status coco__mdb_code(int rc); /* of LMDB or errno */
COCO__IN coco_status coco__mdb_error(coco_err *err, int rc, const coco_env *env, const char *what);
COCO__IN coco_status coco__store_open(coco_env *env, coco_err *err);
COCO__IN void coco__store_close(coco_env *env);
COCO__IN void coco__dbi_lock(void); /* around opening and dropping a named database, inside the transaction */
COCO__IN void coco__dbi_unlock(void);
/* opens its dbi; has_dbi false if there is none */
COCO__IN coco_status coco__store_app(coco_app *app, bool create, coco_err *err);
/* Opens a file of the state directory, where *fd is -1, and locks its first n bytes (0: all): a process has them alone.
 * COCO_EBUSY names the holder; *fd stays open. */
COCO__IN coco_status coco__lock_alone(const char *dir, const char *name, off_t n, int *fd, coco_err *err);
/* the one updating process */
COCO__IN coco_status coco__store_lock(coco_env *env, coco_err *err);
COCO__IN void coco__store_unlock(coco_env *env);
COCO__IN unsigned coco__fork_generation(void);
/* Doubles the map, or takes over the size that another process gave it. */
COCO__IN coco_status coco__resize(coco_env *env, bool grow, coco_err *err);
/* Begins again where another process has grown the map. */
COCO__IN coco_status coco__txn_begin(coco_env *env, unsigned flags, MDB_txn **txn, const char *what, coco_err *err);

/* ==== store.c: transactions, keys, records and their codecs ==== */

/* Database keys: a kind byte, big-endian 64-bit id, suffix. A suffix over COCO__CUT bytes becomes its first COCO__CUT
 * bytes and its fingerprint: the cut form, by which entries are ordered everywhere. */
#ifdef COCO_SMALL
#define COCO__CUT 16 /* not below COCO__FP: keys that are fingerprints must stay whole */
#define COCO__PAGE_BYTES 120
#define COCO__INLINE_BYTES 80
#define COCO__READ_AHEAD 3
#define COCO__SLICE 3
#define COCO__ROUND 2
#define COCO__KNOWN_BYTES 1200
#define COCO__PIECE 24
#define COCO__DEEPEST 200
#else
#define COCO__CUT 470
#define COCO__PAGE_BYTES 1310 /* three fit into a page of LMDB */
#define COCO__INLINE_BYTES 1800
#define COCO__READ_AHEAD 256
#define COCO__SLICE 8192 /* changes of one component in a transaction */
#define COCO__ROUND 1024
#define COCO__KNOWN_BYTES ((size_t)2 << 20) /* of stored function memos and keys that a run keeps in memory */
#define COCO__PIECE 486 /* of a result: eight fill a page of LMDB */
#define COCO__DEEPEST 4000 /* only in a damaged database do components stand deeper: in one another */
#endif
/* A round is walked some ten times from its first component to its last. What the processor's cache doesn't hold costs
 * more than the commits that smaller rounds add; where components are large, their number is what is to be kept up. */
#define COCO__ROUND_BYTES ((size_t)2 << 20)
#define COCO__ROUND_LEAST 64
#define COCO__KEY_MAX 511
#define COCO__CUT_LENGTH (COCO__CUT + COCO__FP)

/* Few and often written kinds come first: with the root's record they share a page or two, so that a small change
 * writes little. */
enum coco__kind {
    COCO__META = '0',        /* counters */
    COCO__RUN = '1',         /* + run: header and totals */
    COCO__NAME = '2',        /* + id: a function's name */
    COCO__COUNT_OF = '3',    /* + provider id: states below a root target */
    COCO__PROVIDER = '4',    /* + parent provider id + cut key: id, counter, title, record */
    COCO__PROVIDER_ID = '5', /* + id: parent provider id, cut key */
    COCO__DEPSET = '6',      /* + id: use count, dependencies */
    COCO__DEPSET_FP = '7',   /* + fingerprint (no id): id of the set with these dependencies */
    COCO__MEMO_IDLE = '8',   /* + fingerprint: nobody lists it; it goes at the end of a successful update */
    COCO__TOMBSTONE = '9',   /* + parent id + cut segment */
    /* + id of a feed's or live component's node: its token or state (a value); goes with the node */
    COCO__LIVE = 'A',
    COCO__COMPONENT = 'C',   /* + parent id + cut segment: a component or inner node */
    COCO__MEMO = 'F',        /* + fingerprint (no id): a function memo of the app */
    COCO__PARENT = 'I',      /* + id: parent id, segment */
    COCO__OWNER = 'O',       /* + entry key (no id): parent id, segment of the owning component */
    COCO__PAGE = 'P',        /* + id + entry key of its first entry ("" for the first page): entries */
    COCO__MEMO_USES = 'U',   /* + fingerprint: number of component records that list it, if any */
    COCO__RESULT = 'V'       /* + number + place: a piece of a large result. Behind all others: see coco__result_put */
};

typedef struct coco__dbkey {
    size_t n;
    uint8_t b[COCO__KEY_MAX + 32]; /* the slack lets SMALL builds and long suffixes be put together before the check */
} coco__dbkey;

/* suffix already cut */
COCO__IN void coco__dbkey_id(coco__dbkey *k, enum coco__kind kind, uint64_t id, const void *suffix, size_t n);
COCO__IN void coco__dbkey_raw(coco__dbkey *k, enum coco__kind kind, const void *suffix, size_t n);
COCO__IN size_t coco__cut(uint8_t out[COCO__CUT_LENGTH], const void *key, size_t n); /* the cut form; its length */

/* Transactions. A read transaction is open only between begin and end, on the reconciler's thread. */
typedef struct coco__txn {
    MDB_txn *mdb;
    MDB_dbi dbi;
    coco_env *env;
    coco_err *err; /* where failures are described */
    bool writes;
    bool full;      /* the map was full: grow and try again */
    MDB_cursor *records, *owners, *tombs; /* of one that writes: where they were used last. They end with it */
} coco__txn;

/* COCO_ENOTFOUND without a message where there is none; a wrong checksum is COCO_ECORRUPT naming the key. Borrows
 * from LMDB. */
COCO__IN coco_status coco__get(const coco__txn *t, const coco__dbkey *k, coco_str *payload);
COCO__IN coco_status coco__put(const coco__txn *t, const coco__dbkey *k, const void *payload, size_t n);
COCO__IN coco_status coco__put_buf(const coco__txn *t, const coco__dbkey *k, const coco__buf *b); /* ENOMEM: b failed */
COCO__IN coco_status coco__put_number(const coco__txn *t, const coco__dbkey *k, uint64_t n); /* 0: deletes the record */
COCO__IN coco_status coco__get_id(const coco__txn *t, enum coco__kind kind, uint64_t id, coco_str *payload);
/* The varint that a record begins with; 0 where there is none. */
COCO__IN coco_status coco__get_number(const coco__txn *t, const coco__dbkey *k, uint64_t *n);
COCO__IN coco_status coco__del(const coco__txn *t, const coco__dbkey *k); /* missing is fine */
/* *n, if asked for, grows by what went */
COCO__IN coco_status coco__del_range(const coco__txn *t, const coco__dbkey *prefix, uint64_t *n);
COCO__IN coco_status coco__del_id(const coco__txn *t, enum coco__kind kind, uint64_t id); /* all of a number */
COCO__IN coco_status coco__check_payload(const coco__txn *t, const MDB_val *key, const MDB_val *data,
                                         coco_str *payload);
/* A large result apart from its memo, under a number of its own; and n bytes of it, which must be all. */
COCO__IN coco_status coco__result_put(const coco__txn *t, coco_str bytes, uint64_t *number);
COCO__IN coco_status coco__result_get(const coco__txn *t, uint64_t number, char *out, size_t n);
/* The first key that begins with prefix, into *found if asked for; COCO_ENOTFOUND without a message: none does. */
COCO__IN coco_status coco__first(const coco__txn *t, const coco__dbkey *prefix, coco__dbkey *found);

/* A walk over records in key order, from a key on, as long as they share its first bytes. */
typedef struct coco__scan {
    const coco__txn *t;
    MDB_cursor *cur;
    MDB_val key, data;       /* of the record that next has found */
    const coco__dbkey *from; /* its first nshared bytes must stay */
    size_t nshared;
    bool begun;
    int rc; /* LMDB's */
} coco__scan;
COCO__IN void coco__scan_open(coco__scan *s, const coco__txn *t, const coco__dbkey *from, size_t nshared);
COCO__IN bool coco__scan_next(coco__scan *s);
COCO__IN bool coco__scan_back(coco__scan *s); /* to begin with: the record with the key, or else the one before it */
COCO__IN coco_status coco__scan_close(coco__scan *s, coco_status rc); /* rc, or what LMDB has said */

/* Runs body in a write transaction of the app, again after each growth of the map: body must be repeatable; undo is
 * called after a failed try. durable false may lose the transaction in a power cut, never its integrity. */
typedef struct coco__writer {
    coco_status (*body)(void *self, coco__txn *t);
    void (*undo)(void *self);
    void *self;
    bool durable;
} coco__writer;
COCO__IN coco_status coco__write(coco_app *app, const coco__writer *w, coco_err *err);
COCO__IN coco_status coco__read_begin(coco_app *app, MDB_txn **cached, coco__txn *t, coco_err *err);
COCO__IN void coco__read_end(coco_app *app, coco__txn *t); /* resets the cached transaction */

enum { COCO__NAMES_MAX = 1 << 24 }; /* of functions: all are loaded at once */
/* Counters of an app; one record, written when changed. */
typedef struct coco__meta {
    uint64_t next_id, next_provider, next_run, next_int_id, next_depset, next_name;
} coco__meta;
COCO__IN coco_status coco__meta_get(const coco__txn *t, coco__meta *m);
COCO__IN coco_status coco__meta_put(const coco__txn *t, const coco__meta *m);

/* One component or inner node. Strings borrow. */
enum {
    COCO__R_COMPONENT = 1, /* else an inner node */
    COCO__R_ID = 2,        /* has an id: children or pages */
    COCO__R_PENDING = 4,   /* a precommit without its commit, or states moved away: never hits */
    COCO__R_MEMO = 8,
    COCO__R_PAGED = 16,    /* entries in pages */
    COCO__R_FAILED = 32,   /* a remembered failure */
    COCO__R_LONG = 64,     /* segment is cut: stored here in full */
    COCO__R_SOURCE = 128,  /* children come from a source: its title */
    COCO__R_UNITS = 256,
    COCO__R_BELOW = 512,   /* no memo, because something below failed or was left out */
    COCO__R_NEW = 1024,    /* precommit of a component whose states all are new: what is no container may be absent */
    COCO__R_ALL = 2047
};
typedef struct coco__rec {
    uint32_t flags;
    uint64_t id;
    coco_str segment; /* full, with R_LONG */
    coco_str source;  /* with R_SOURCE */
    uint64_t fn, run; /* name id of the function; run that last wrote it */
    int reason;       /* that run's reason */
    coco_str detail;  /* of the reason */
    int64_t version;
    uint64_t ns;      /* cost */
    double units;
    uint64_t nstates; /* target states owned */
    coco_str argkey;  /* memo and failure: arguments' key */
    uint64_t depset;  /* memo */
    coco_str states;  /* memo: encoded memo states */
    coco_str result;  /* memo: stored encoding; empty: null */
    uint64_t fail_count;
    int64_t fail_time; /* ms */
    coco_str entries;  /* inline entries, without R_PAGED */
} coco__rec;
COCO__IN void coco__rec_put(coco__buf *b, const coco__rec *r);
COCO__IN coco_status coco__rec_get(coco_str payload, coco__rec *r, coco_err *err);

/* A target's provider. Strings borrow. */
typedef struct coco__provider_rec {
    uint64_t id, counter;
    bool user_managed, attachment;
    coco_str title, record; /* record: of the container whose content it stands for */
    coco_str key;           /* full encoded key in the parent; an attachment's name */
} coco__provider_rec;
COCO__IN void coco__provider_put(coco__buf *b, const coco__provider_rec *p);
COCO__IN coco_status coco__provider_get(coco_str payload, coco__provider_rec *p);
/* The key of its record below its parent's number, not cut; an attachment's begins with a byte that no key has. */
COCO__IN void coco__provider_suffix(coco__buf *b, coco_str key, bool attachment);

#define COCO__CIRCLE "state database: components stand in one another"

/* Where a component is recorded. */
typedef struct coco__place {
    uint64_t parent;
    coco_str segment; /* full, encoded */
} coco__place;
COCO__IN void coco__place_key(coco__dbkey *k, enum coco__kind kind, const coco__place *at);
COCO__IN void coco__place_put(coco__buf *b, const coco__place *at);
COCO__IN coco_status coco__place_get(coco_str payload, coco__place *at);
COCO__IN bool coco__place_equal(const coco__place *a, const coco__place *b);
/* The encoded path of a place, by climbing. */
COCO__IN coco_status coco__place_path(const coco__txn *t, const coco__place *at, coco__buf *path);

/* ==== states.c: what a component owns, as ordered entries in its record or in pages ==== */

/* An entry: key = ordered space number + cut key; spaces below 16 are the engine's own, others are provider ids. */
enum { COCO__S_USE = 1, COCO__S_MEMO = 2, COCO__S_STATE = 3, COCO__S_ID = 4, COCO__S_FIRST_PROVIDER = 16 };
#define COCO__EKEY_MAX (9 + COCO__CUT_LENGTH)
typedef struct coco__ekey {
    size_t n;
    uint8_t b[COCO__EKEY_MAX];
} coco__ekey;
COCO__IN coco_str coco__ekey_make(coco__ekey *k, uint64_t space, const void *key, size_t n); /* what stands in k */
COCO__IN uint64_t coco__ekey_space(const uint8_t *p, size_t n, size_t *skip); /* 0 if malformed */
COCO__IN uint64_t coco__space_of(coco_str ekey, coco_str *key); /* the same; key, if asked for: what stands behind it */

/* The value of a target state's entry. */
typedef struct coco__state {
    bool container, user_managed, condemned; /* condemned: its delete waits for the end of the update */
    uint64_t counter;                        /* of the provider when written */
    coco_str key;                            /* full encoded key */
    size_t npossible;
    coco_str possible[8]; /* p NULL: absent */
} coco__state;
COCO__IN const coco__state *coco__old_of(const struct coco__change *c); /* never NULL */
COCO__IN void coco__state_put(coco__buf *b, const coco__state *s, bool long_key);
COCO__IN coco_status coco__state_get(uint32_t rec_flags, coco_str ekey, coco_str value, coco__state *s);
COCO__IN void coco__possible_add(coco__state *s, coco_str record); /* where it isn't there */
COCO__IN bool coco__any_absent(const coco__state *s); /* may it be? */

typedef struct coco__entry {
    coco_str ekey, value;
} coco__entry;

/* A state that another component has recorded, and this one declares. */
typedef struct coco__from {
    coco_value desired; /* to be reconciled again */
    coco__place owner;
    bool condemned; /* by it: only waits for its delete */
} coco__from;

/* What happens to one entry in this run. A million of them are walked again and again: they lie side by side, and what
 * is recorded of a target state is put together when it is written. */
typedef struct coco__change {
    struct coco__change *next; /* of the component, in the order of declaration */
    coco_str ekey, key;        /* key: full encoded */
    coco_str record;           /* of a target state: new; p NULL: absent */
    coco_str after;            /* the entry from the commit on, where it isn't made of record */
    uint64_t counter;          /* of the target when it was declared */
    coco_target *target;       /* NULL for the engine's own entries */
    coco_target *child;        /* of a container */
    coco_target *replaced;     /* provider of the container's content until now */
    coco_action *action;       /* NULL: none */
    coco__state *old;          /* possibilities used; NULL: none */
    coco__from *from;          /* NULL: claimed from nobody */
    bool claimed : 1;          /* new here: taken from nobody or from `from` */
    bool cancelled : 1;        /* another component of the round claimed what was to be deleted */
    bool container : 1, user_managed : 1;
    bool was : 1;              /* it is in the component's own record */
    bool early : 1;            /* of the engine's own: it is there from the precommit on */
    bool is_void : 1;          /* recorded under a provider that is no more */
    bool moved : 1;            /* taken from another component in the transaction being written */
    bool condemned : 1;        /* it stays as recorded until the end of the update, and then goes */
    uint8_t child_fate;        /* of a container's content: COCO__CHILD_… */
    char room[14];             /* of ekey, where it is short: what is compared lies beside what it is compared for */
} coco__change;
enum { COCO__CHILD_KEPT, COCO__CHILD_NEW, COCO__CHILD_LOSSY, COCO__CHILD_GONE };

typedef struct coco__page {
    coco_str label;     /* entry key it begins with at the latest; "" for the first */
    uint8_t *seen;      /* a bit an entry; NULL until loaded once */
    uint32_t n, nseen;  /* entries; seen ones */
    coco_str pinned;    /* content that the bits stand for, where a claim has taken from it; p NULL: as stored */
} coco__page;

/* The decoded entries of one page or of a record's inline bytes. */
typedef struct coco__view {
    coco__entry *entries; /* keys stand in `keys`, values point into the bytes that were decoded */
    size_t n, cap;
    coco__arena keys;
} coco__view;

typedef struct coco__owned {
    struct coco__run *run;
    coco__arena *arena;     /* of the component */
    uint64_t id;            /* of the component, where paged */
    bool paged, listed;     /* listed: labels are read */
    bool sorted;            /* changes are in entry order */
    signed char memos;      /* of its own: 1 there are some, or were declared, -1 none is recorded, 0 who knows */
    coco__change *all;      /* of a large component that is written in slices: changes is the rest */
    coco__page *pages;      /* one without a label for inline entries */
    size_t npages, cap;
    coco_str inline_bytes;
    size_t current, pos;    /* page decoded in `view` (SIZE_MAX: none); entry found last */
    coco__view view;
    coco__buf data;         /* bytes of the current page */
    coco__table changed;    /* entry key to coco__change, but for those from `untabled` on */
    coco__change *changes, **last, *untabled;
    size_t nchanges, nnew;  /* nnew: that are new states, no containers, of one target */
    struct coco__block { char *at; size_t left; } change_room, action_room; /* where the next ones go */
} coco__owned;

COCO__IN void coco__owned_init(coco__owned *o, struct coco__run *run, coco__arena *arena, const coco__rec *rec);
COCO__IN void coco__owned_free(coco__owned *o);
/* Finds a recorded entry; *found NULL if there is none. Valid until the next call. seen_before: it was marked
 * already. */
COCO__IN coco_status coco__owned_find(coco__owned *o, coco_str ekey, coco__entry **found);
COCO__IN coco_status coco__owned_memos(coco__owned *o, bool *any); /* may it have a memo of its own? */
COCO__IN bool coco__owned_mark(coco__owned *o); /* marks the entry found last as seen; false if it was */
/* Was the recorded entry marked? It is about to be taken: what was read with it stays in sight as it is. */
COCO__IN coco_status coco__owned_pin(coco__owned *o, coco_str ekey, bool *seen);
COCO__IN coco__change *coco__owned_changed(coco__owned *o, coco_str ekey);
/* a new, zeroed change; ekey is copied; NULL: no memory */
COCO__IN coco__change *coco__owned_change(coco__owned *o, coco_str ekey);
COCO__IN coco_action *coco__owned_action(coco__owned *o); /* zeroed; NULL: no memory */
COCO__IN bool coco__change_stays(const coco__change *c); /* there is an entry from the commit on */
COCO__IN size_t coco__change_bytes(const coco__change *c); /* of its entry, at most */
/* Calls fn for each recorded entry (unseen_only: that was not marked and has no change), in order. */
typedef coco_status (*coco__entry_fn)(void *self, const coco__entry *e);
COCO__IN coco_status coco__owned_each(coco__owned *o, bool unseen_only, coco__entry_fn fn, void *self);
/* Memory for merging changes into entries, used again and again. */
typedef struct coco__merge {
    coco__view base, into; /* entries as they are, and merged: keys and values borrow from these, the changes, and … */
    coco__arena values;
    coco__buf value, out;  /* being encoded: a value, a page */
    bool commit;
} coco__merge;

COCO__IN void coco__merge_init(coco__merge *m, const coco__mem *mem);
COCO__IN void coco__merge_free(coco__merge *m);
/* Merges changes into rec's entries (inline, in m's memory then, or pages through t), as of the precommit or the
 * commit. */
COCO__IN coco_status coco__owned_write(coco__owned *o, const coco__txn *t, coco__rec *rec, bool commit, coco__merge *m);
/* An entry of the engine's own is there with this value from now on; value.p NULL: it is only looked for. *was, if
 * asked for: the value until now, p NULL where there is none. */
COCO__IN coco_status coco__own(coco__owned *o, uint64_t space, coco_str key, coco_str value, coco_str *was);
/* Cuts the changes, of which there are more, behind the first n, in entry order; returns what was cut off. */
COCO__IN coco__change *coco__owned_cut(coco__owned *o, size_t n, coco__change **last);
/* One entry of any recorded component, through t; copied into a. value.p NULL: there is none. */
COCO__IN coco_status coco__entry_get(const coco__txn *t, const coco__rec *rec, coco_str ekey, coco__arena *a,
                                     coco_str *value);
COCO__IN coco_status coco__entry_remove(const coco__txn *t, coco__rec *rec, coco_str ekey, coco__merge *m);
COCO__IN void coco__view_init(coco__view *v, const coco__mem *m);
COCO__IN void coco__view_free(coco__view *v);
COCO__IN coco_status coco__view_decode(coco__view *v, coco_str bytes); /* borrows bytes; COCO_ECORRUPT, COCO_ENOMEM */

/* ==== logic.c: functions, context keys, parameters, logic fingerprints, dependency sets ==== */

typedef enum coco__dep_kind { COCO__D_LOGIC = 1, COCO__D_CONTEXT, COCO__D_PARAM, COCO__D_PROVIDER } coco__dep_kind;

/* One dependency of a memo: something and the value it had. Interned in the run: equal ones are one pointer. */
typedef struct coco__dep {
    coco__dep_kind kind;
    coco_str name;             /* function, context key, parameter; title of a target */
    const uint8_t *fp;         /* provider: id and counter as two big-endian numbers */
    coco_str bytes;            /* encoded: kind, fp, name */
} coco__dep;

typedef struct coco__deps { /* what a running call depends on; pointers without repetition */
    coco__dep **v;
    size_t n, cap;
} coco__deps;

/* A set as memos share it. */
typedef struct coco__depset {
    uint64_t id; /* 0: not stored yet */
    coco__dep **v;
    size_t n;
    coco_str bytes;
    uint8_t fp[COCO__FP];
    uint64_t judged;     /* epoch of the judgement, 0: none */
    bool valid;
    const coco__dep *differs; /* first dependency that doesn't hold */
    bool missing;        /* it is a target that is gone */
    int64_t delta;       /* change of its use count in the transaction being written */
    struct coco__depset *next_dirty;
    bool dirty;
} coco__depset;

COCO__IN coco_status coco__registry_check(coco_err *err);      /* names unique; computes logic fingerprints */
COCO__IN const coco_fn *coco__fn_named(coco_str name);
COCO__IN size_t coco__fn_count(void);
COCO__IN const coco_fn *coco__fn_at(size_t index);
COCO__IN const coco_class *coco__class_named(coco_str type);
/* interned; new ones wait for the round */
COCO__IN coco_status coco__name_id(struct coco__run *run, const char *name, uint64_t *id);
COCO__IN coco_str coco__name_of(struct coco__run *run, uint64_t id);
COCO__IN coco_status coco__deps_add(struct coco__run *run, coco__deps *d, coco__dep_kind kind, coco_str name,
                                    const uint8_t fp[COCO__FP]);
COCO__IN coco_status coco__deps_merge(struct coco__run *run, coco__deps *into, coco__dep *const *v, size_t n,
                                      bool logic_too);
/* sorts d */
COCO__IN coco_status coco__depset_of(struct coco__run *run, coco__deps *d, coco__depset **set);
COCO__IN coco_status coco__depset_get(coco_str payload, uint64_t *uses, coco_str *deps); /* of its record */
/* *set NULL if it isn't there */
COCO__IN coco_status coco__depset_load(struct coco__run *run, uint64_t id, coco__depset **set);
/* Sets valid, differs and missing where they aren't of the present epoch. May ask whether targets exist. */
COCO__IN coco_status coco__depset_judge(coco_ctx *cx, coco__depset *set);
COCO__IN void coco__depset_use(struct coco__run *run, coco__depset *set, int delta); /* inside a transaction's body */
COCO__IN coco_status coco__depsets_write(struct coco__run *run, const coco__txn *t);
COCO__IN void coco__depsets_clean(void *run); /* none is to be written: the transaction is in, or is undone */
COCO__IN const coco__provided *coco__provided_find(const coco_app *app, const coco_env *env, coco_str name);

COCO__IN coco_status coco__names_load(struct coco__run *run, const coco__txn *t);
COCO__IN coco_status coco__names_write(struct coco__run *run, const coco__txn *t);

/* ==== inputs.c: keys of calls, memo states, reasons to run ==== */

/* Why something runs. */
typedef enum coco__reason {
    COCO__WHY_NEW = 1, COCO__WHY_PENDING, COCO__WHY_INPUT, COCO__WHY_STATE, COCO__WHY_LOGIC, COCO__WHY_CONTEXT,
    COCO__WHY_PARAM, COCO__WHY_SCHEMA, COCO__WHY_FORCED, COCO__WHY_NOMEMO, COCO__WHY_RECHECK, COCO__WHY_FUNCTION,
    COCO__WHY_RETRY, COCO__WHY_MOVED, COCO__WHY_MISSING, COCO__WHY_BELOW, COCO__WHY_UNKEPT
} coco__reason;
typedef struct coco__why {
    coco__reason reason;
    coco_str detail; /* argument, function, key, parameter or target */
} coco__why;
COCO__IN void coco__why_print(coco__buf *b, coco__why why);
COCO__IN coco__why coco__set_why(const coco__depset *set); /* of a set that isn't valid, or (NULL) isn't there */
COCO__IN void coco__emit_why(struct coco__run *run, coco_event_kind kind, const struct coco__comp *comp,
                             const coco_fn *fn, const coco__why *why); /* event.c */

/* An object recorded by coco_track. */
typedef struct coco__tracked {
    struct coco__tracked *next;
    const coco_class *cls;
    void *object;
    coco_str key; /* stored encoding of its memo key; the name of a context value */
    bool context; /* a context value */
    /* its memo state when it was used, where that is known; p NULL: it is asked for when the memo is made */
    coco_str state;
} coco__tracked;

/* A buffer that is kept for its memory, emptied; to be given back: who asks meanwhile gets another. */
COCO__IN coco__buf coco__lend(coco__buf *own);
COCO__IN void coco__give_back(coco__buf *own, coco__buf *b);
/* The key of a component's arguments: their encoding or, where that is shorter, its fingerprint and a digest of each.
 * In cx's memory. pass: of a mount_each, in which all arguments but the first are the same; 0: none. */
COCO__IN coco_status coco__argkey(coco_ctx *cx, const coco_fn *fn, coco_args args, uint64_t pass, coco_str *key);
COCO__IN coco_status coco__callkey(coco_ctx *cx, const coco_fn *fn, coco_args args, uint8_t fp[COCO__FP]);
COCO__IN coco_status coco__arg_changed(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_str old, coco_str *name);
/* Memo states of arguments and tracked objects after a run; and their check: *valid, the states as they are now in
 * *now. */
COCO__IN coco_status coco__states_take(coco_ctx *cx, const coco_fn *fn, coco_args args, coco__tracked *tracked,
                                       coco_str *states);
COCO__IN coco_status coco__states_check(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_str stored, coco_str *now,
                                        coco__why *why);
/* The tracked objects in the states of a hit, reported upward; and those of a frame that ends, to its caller. */
COCO__IN coco_status coco__states_tracked(coco_ctx *cx, coco_str states, coco__tracked **list);
COCO__IN coco_status coco__tracked_pass(coco_ctx *frame, coco_ctx *caller);

/* ==== memo.c: function memos ==== */

/* A function memo of the app that was computed in this run and isn't stored yet. */
typedef struct coco__fresh {
    struct coco__fresh *next;
    uint8_t fp[COCO__FP];
    coco__buf payload;
    coco__depset *set;
    bool running; /* being computed: a call that reaches it again runs unmemoized */
    struct coco__thread *by; /* … by this thread */
} coco__fresh;

/* A memoized call in two halves, so that many can be computed together. memo_begin answers from a memo (1), or says
 * that the call is to be computed in m->frame (0), or fails; memo_end, with what the computation returned, keeps it. */
typedef struct coco__memo_call coco__memo_call; /* stands behind coco_ctx */
COCO__IN int coco__memo_begin(coco_ctx *cx, const coco_fn *fn, coco__memo_call *m, coco_value *value);
COCO__IN coco_status coco__memo_end(coco_ctx *cx, coco__memo_call *m, coco_status rc, coco_value *value);
COCO__IN coco_status coco__call_memoized(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_value *value);
typedef struct coco__memo { /* a function memo decoded; borrows */
    uint64_t set, ns; /* of its dependencies; what it cost */
    uint64_t run;     /* that made it */
    double units;
    coco_str states, uses, declared, result;
    uint64_t number;  /* of the result, where that is kept apart: result.p is NULL then; 0: it is here */
    size_t fields;    /* bytes before it */
} coco__memo;
COCO__IN coco_status coco__memo_get(coco_str payload, coco__memo *m);
COCO__IN coco_status coco__memo_use(const coco__txn *t, const char *fp, int delta);
COCO__IN coco_status coco__stored_result(coco_ctx *cx, coco_str stored, coco_value *value); /* decodes it */
COCO__IN coco_status coco__uses_settle(struct coco__comp *c); /* its function has returned */
/* of a memo's dependency set */
COCO__IN coco_status coco__memo_set_use(struct coco__run *run, coco_str value, int delta);
COCO__IN coco_status coco__result_encode(coco_ctx *frame, coco__buf *b); /* of a function that is memoized */
/* the transaction is committed: they are found in the store now */
COCO__IN void coco__memos_written(struct coco__run *run);
COCO__IN coco_status coco__memos_write(struct coco__run *run, const coco__txn *t);
/* Behind the commits of the same transaction: lists those written in it that no component lists. */
COCO__IN coco_status coco__memos_idle(const struct coco__run *run, const coco__txn *t);
COCO__IN coco_status coco__memos_sweep(struct coco__run *run, const coco__txn *t); /* drops those with count 0 */

/* ==== provider.c: providers, handlers, titles, existence ==== */

struct coco_target {
    coco_target *next;        /* of all that the run knows */
    struct coco__run *run;
    uint64_t id, counter;
    coco_target *parent;      /* NULL: a root target's provider */
    coco_target *top;         /* what the guard counts under: the first container on the way down, or the root itself */
    coco_str key;             /* full encoded key in the parent; of a root: of [@name, key] */
    coco_str attachment;      /* name; p NULL: none */
    coco_str identity;        /* printable and stable: the memo key */
    coco_str record;          /* tracking record of the container, as last acted upon */
    char *title;
    coco_target_handler handler;
    coco__target_counts *counts;
    uint32_t depth;
    bool user_managed;
    bool stored;              /* its provider record is written */
    bool top_known;           /* … */
    coco_str top_key;         /* no entry key in the index is greater; borrows from … */
    char *top_room;           /* … */
    size_t top_cap;
    bool gone;                /* replaced or destroyed in this run, … */
    struct coco__comp *renewer; /* … but only if this component comes to its precommit; NULL: for good */
    coco_target *successor;   /* of a replaced one, or of one whose component failed: what is there */
    struct coco__comp *owner; /* declares it in this run and isn't applied yet */
    int64_t delta;            /* of the states counted under it (top), in the transaction being written */
    bool dirty;
    coco_target *next_dirty;
    uint64_t doomed;          /* states that tombstones would delete (guard) */
    bool condemned;           /* to be deleted in this update */
    bool tripped;             /* by the guard */
    bool blocked;             /* a delete in it, or below it, failed: its container stays, … */
    bool barred;              /* … also when what sinks refused is tried again */
    bool refused;             /* its container's own delete was: who was refused tries again, nobody else */
    bool of_record;           /* the handler was made from the record, without a desired value */
    uint8_t found;            /* of a container: COCO__FOUND_… */
    coco_status trouble;      /* that exists failed with … */
    const char *trouble_text; /* … and its message; NULL: none */
    coco_str shape;           /* with FOUND_OTHER: the record of what is there; p NULL: none */
};
/* What exists said in this run. A container missed or found in another shape holds no memo until it was declared. */
enum {
    COCO__FOUND_UNASKED,
    COCO__FOUND_ASKING, /* a thread does; others wait */
    COCO__FOUND_THERE, COCO__FOUND_MISSING, COCO__FOUND_OTHER, COCO__FOUND_ERROR
};

/* The provider at (parent, key or attachment): of this run, as recorded, or new. */
COCO__IN coco_status coco__target_at(struct coco__run *run, coco_target *parent, coco_str key, bool attachment,
                                     coco_target **out);
/* *target NULL: void */
COCO__IN coco_status coco__target_by_id(struct coco__run *run, uint64_t id, coco_target **target);
COCO__IN coco_status coco__target_titled(struct coco__run *run, const char *title, coco_target **t); /* NULL: none */
COCO__IN void coco__state_print(coco__buf *b, coco_str title, coco_str key); /* TITLE:key */
COCO__IN void coco__state_name(coco__buf *b, const coco_target *target, coco_str key);
COCO__IN coco_status coco__provider_write(const coco__txn *t, coco_target *target);
COCO__IN coco_status coco__provider_destroy(const coco__txn *t, coco_target *target); /* with everything below */
COCO__IN coco_status coco__providers_count(struct coco__run *run, const coco__txn *t); /* writes the deltas */
COCO__IN void coco__target_count(coco_target *target, int64_t delta);
/* The owner index. What comes in ascending order needs no lookup: it is beyond all that is recorded. */
COCO__IN bool coco__owner_none(const coco_target *target, coco_str ekey);  /* surely nobody owns it */
COCO__IN coco_status coco__owner_top(coco_target *target, const coco__txn *t); /* makes sure that it is known */
COCO__IN coco_status coco__owner_get(const coco__txn *t, coco_str ekey, coco__place *at); /* points into LMDB */
COCO__IN coco_status coco__owner_put(const coco__txn *t, coco_target *target, coco_str ekey, const coco__place *at);
/* A delete in it failed; again: that is tried again. */
COCO__IN void coco__target_block(coco_target *target, bool again);
/* What the store said, if rc is its error; else the words for rc. */
COCO__IN const char *coco__said(const struct coco__run *run, coco_status rc);
/* Makes the handler where it isn't made: from the desired value of the container, or (NULL) from its record. */
COCO__IN coco_status coco__target_ready(coco_target *t, const coco_value *desired);
COCO__IN coco_status coco__target_title(coco_ctx *cx, coco_target *t, const char *title); /* unique in the run */
/* Gives the container's provider a new id: what was recorded below is void; for others from the precommit of by on. */
COCO__IN coco_status coco__provider_renew(struct coco__run *run, coco_target *old, struct coco__comp *by,
                                          coco_target **out);
/* The component that replaced it fails: it is there as before. */
COCO__IN coco_status coco__provider_restore(coco_target *old, coco_target *replacement);
/* Is it, or what it is in, gone or about to be? */
COCO__IN bool coco__target_gone(const coco_target *t);
/* Is what is recorded in it void? `by` has itself replaced what it is in; NULL: nobody asks. */
COCO__IN bool coco__target_void(const coco_target *t, const struct coco__comp *by);
COCO__IN coco_target *coco__target_now(coco_target *t); /* what took its place */
/* Sees to it that t->found is known; asks at most once in a run. Fails cx where it can't be told. */
COCO__IN coco_status coco__container_found(coco_ctx *cx, coco_target *t);
/* Is a memo's dependency on a provider as it was? If not, is it because the container is missing? */
COCO__IN coco_status coco__provider_holds(coco_ctx *cx, const uint8_t fp[COCO__FP], bool *holds, bool *missing);

/* ==== target.c: declarations, reconciliation ==== */

/* Turns a recorded entry into a change that deletes it; *skipped if it is void or waits for its container. */
typedef enum coco__delete_mode {
    COCO__DEL_CONDEMN, COCO__DEL_CONTENT, COCO__DEL_CONTAINER, COCO__DEL_VOID
} coco__delete_mode;
COCO__IN coco_status coco__declare_gone(struct coco__comp *comp, const coco__entry *e, coco__delete_mode mode);
/* Was it to be deleted in a container that another component has made anew since? It went with the old one. */
COCO__IN bool coco__became_void(const coco__change *c);
/* Adds to the recorded possibilities of a container what exists has found. */
COCO__IN void coco__found_possible(const coco_target *t, struct coco__state *s);
/* Reconciles a claim again with what its owner has now (at the precommit). */
COCO__IN coco_status coco__reclaim(struct coco__comp *comp, coco__change *c, const coco__state *now);

/* ==== record.c: records, tombstones, claims, precommit and commit in a round's transaction ==== */

struct coco__catch;
typedef struct coco__failed_path {
    struct coco__failed_path *next;
    char *path;
} coco__failed_path;

typedef struct coco__moved { /* a state that changed hands in this run */
    struct coco__moved *next;
    coco_str ekey;
    coco__place from;
    const char *from_path, *to_path, *state; /* printed */
    bool reported;
} coco__moved;

/* A container state that its component no longer declares: deleted after the tombstones, so that content goes first. */
typedef struct coco__condemned {
    struct coco__condemned *next;
    coco__place at;          /* of the component */
    coco_str path, ekey;
    coco_target *place, *child; /* provider it is in; provider of its content */
} coco__condemned;

typedef struct coco__tomb {
    struct coco__tomb *next;
    coco__place at;
    bool self_only; /* a component that became an inner node: what is below stays */
    bool removed;   /* mounted again, or worked off */
    bool kept;      /* left alone in this update */
    struct coco__tomb *next_removed;
    struct coco__tomb *next_added;
    struct coco__op *op; /* live: that asked for it; NULL: none */
    char key[];          /* in the database */
} coco__tomb;

typedef struct coco__run {
    coco_app *app;
    coco_env *env;
    const coco__mem *mem;
    coco_update_opts opts;
    bool preview, full, dropping;
    coco_str only;           /* encoded path of --only; p NULL: none */
    bool reached;            /* --only: it was mounted */
    coco__pool *pool;        /* NULL: one thread */
    struct coco__gather *gathers; /* calls of batched functions that wait */
    struct coco__live *live; /* NULL: nothing is followed */
    coco_live_map *maps;     /* collections in memory */
    bool ready;              /* live: all initial states have been in the targets */
    MDB_txn *reader;         /* cached read transaction */
    coco__meta meta, meta_stored;
    uint64_t number;         /* of this run */
    bool wrote;              /* a transaction has been committed */
    int64_t start_ms;
    uint64_t start_ns, round_ns;
    coco__arena arena;       /* lives until the update ends */
    coco__arena *passing;    /* for what the end of the update, or in live mode of a group of operations, settles */
    coco_ctx *cx;            /* for handlers: memory of the run */
    coco__table names, deps, depsets, depsets_by_id, targets, target_places, titles, memos;
    coco__table moved, moved_states; /* record keys of old owners and what is above; coco__moved by entry key */
    coco__table claims;              /* of the round being written */
    /* record key to coco__comp with recorded states that runs or waits for its commit */
    coco__table in_flight;
    coco__table memory;              /* coco_run_memory by tag */
    coco_str *name_list;     /* by id */
    uint64_t names_cap;
    uint64_t epoch;          /* raised when a provider changes: sets are judged again */
    coco__depset *dirty_sets;
    coco__depset *set_last;  /* loaded last; NULL: none */
    coco_target *known_targets, *dirty_targets;
    coco__fresh *queued_memos;
    size_t nqueued_memos, queued_bytes;
    struct coco__comp *open, **open_last, *applied, **applied_last, *deferred, *spare;
    struct coco__comp *committing, *applying; /* of the transaction being written */
    size_t nopen, napplied, deferred_bytes, spare_bytes;
    bool slice;              /* the transaction is of a slice of one component */
    bool unsynced;           /* a commit may be lost in a power cut */
    size_t inflight_bytes;
    coco__buf scratch, record, above; /* of the transaction's body */
    coco__merge merge;
    coco__buf key;                    /* of a state being declared */
    struct coco__node *persisted;     /* in the transaction being written: to be undone if it fails */
    uint64_t totals[4];               /* as written last with the run */
    coco__tomb *tombs, *tombs_removed; /* removed: to be taken out of the store */
    coco__tomb *tombs_added; /* to be put into it, before those are taken out */
    coco__table known, keys; /* stored memos that were found in this run; fingerprints of calls' keys; in … */
    coco__arena known_room;
    unsigned key_misses;     /* since a key was found there */
    coco__buf tomb_path;     /* of the tombstone walked last … */
    uint64_t tomb_parent;    /* … which stands below this number, … */
    size_t tomb_up;          /* … whose path is so long */
    coco__tomb *tombs_loaded;          /* in tombs, the first that an earlier update left */
    coco__condemned *condemned;
    coco__table tomb_places;          /* place key to coco__tomb */
    coco__moved *moves;
    coco__failed_path *failed, **failed_last;
    size_t nfailed_paths;
    uint64_t nfailed;
    coco_value value;        /* main's */
    coco_status root_status; /* its own failure */
    const char *root_message;
    bool ending;             /* memory isn't kept for reuse any more */
    coco_err cx_err;         /* of reads of the store */
    coco__buf lookup;        /* a record being looked up */
    uint64_t npasses;        /* of mount_each so far */
    coco__buf args;          /* arguments whose key was made last, … */
    uint64_t args_pass;      /* … in this pass (0: in none), … */
    size_t args_first;       /* … the first of them so long, … */
    uint8_t args_key[33 + 2 * COCO_MAX_PARAMS]; /* … and their key, … */
    size_t nargs_key;        /* … so long */
    coco__buf arg_bytes;     /* memory for the encoding of arguments */
    coco_err first;          /* first failure */
    coco_err fatal;          /* of the store: nothing more can be written */
    bool guard;              /* tripped */
    coco_err guard_err;
    bool blocked;            /* a container stayed because a delete in it failed */
    bool recheck_failed;
    uint64_t inserts, updates, deletes, saved_ns;
    double saved_units;
} coco__run;

COCO__IN coco_status coco__run_read(coco__run *run, coco__txn *t);
COCO__IN void coco__run_read_end(coco__run *run, coco__txn *t);
COCO__IN coco_status coco__stored(const coco__txn *t, const coco__place *at, coco__buf *copy, coco__rec *rec);
/* Where the node with an id stands, copied into run->lookup; COCO_ENOTFOUND where there is none. */
COCO__IN coco_status coco__place_of_id(coco__run *run, const coco__txn *t, uint64_t id, coco__place *at);
COCO__IN coco_status coco__store_rec(coco__run *run, const coco__txn *t, const coco__place *at, coco__rec *rec);
typedef enum coco__marks { COCO__SETTLED, COCO__UNSETTLED, COCO__MOVED } coco__marks; /* MOVED: by a move */
COCO__IN coco_status coco__mark_above(coco__run *run, const coco__txn *t, uint64_t parent, coco__marks mark);
/* Did it, or something below it, lose a state to another in this run? And was it pending before? */
COCO__IN bool coco__moved_away(coco__run *run, const coco__place *at, bool *was_pending);
/* Reads a record, copied into b; *payload.p NULL: there is none. Of a place; with any key; the number that it is. */
COCO__IN coco_status coco__run_get(coco__run *run, const coco__dbkey *k, coco__buf *b, coco_str *payload);
COCO__IN coco_status coco__run_number(coco__run *run, const coco__dbkey *k, uint64_t *n);
COCO__IN coco_status coco__record_read(coco__run *run, const coco__place *at, coco__buf *b, coco_str *payload);
COCO__IN coco_status coco__tomb_add(coco__run *run, const coco__place *at, bool self_only);
COCO__IN void coco__out_of_memory(coco__run *run); /* where nobody can be told: the update fails */
COCO__IN void coco__tomb_remove(coco__run *run, const coco__place *at);
COCO__IN coco_status coco__tombs_load(coco__run *run, const coco__txn *t);
COCO__IN coco_status coco__tombs_write(coco__run *run, const coco__txn *t); /* those that go */
COCO__IN coco_status coco__claims(struct coco__comp *c, const coco__txn *t);
COCO__IN coco_status coco__precommit(struct coco__comp *c, const coco__txn *t);
COCO__IN coco_status coco__commit(struct coco__comp *c, const coco__txn *t);
COCO__IN coco_status coco__commit_gone(struct coco__comp *c, const coco__txn *t); /* its gone children's tombstones */
COCO__IN coco_status coco__commit_change(struct coco__comp *c, coco__change *ch, const coco__txn *t, coco__rec *rec);
COCO__IN coco_status coco__commit_set(coco__run *run, const coco__rec *old, coco__depset *now);

/* ==== sink.c: batches of actions, retries ==== */

COCO__IN bool coco__apply_sinks(coco__run *run, struct coco__comp *list, bool together);

/* ==== failure.c: who is told of what has failed ==== */

COCO__IN void coco__fail(struct coco__comp *comp, coco_status code, const char *message);
/* true: a handler of the user's swallowed it */
COCO__IN bool coco__fail_path(coco__run *run, const coco_failure *f, struct coco__catch *catches);
/* A function has ended well although components that it used have failed: they are told of by themselves. */
COCO__IN void coco__fail_uncaught(struct coco__comp *comp);

/* ==== submit.c: rounds: precommit, apply, commit; retries ==== */

COCO__IN void coco__submit(struct coco__comp *comp);          /* its function and all below are through */
COCO__IN coco_status coco__flush(coco__run *run, bool last); /* one round; last: a commit alone must be durable too */
COCO__IN coco_status coco__drain(coco__run *run);    /* until nothing is left */
COCO__IN coco_status coco__run_record(coco__run *run, const coco__txn *t); /* writes the run's header and totals */
COCO__IN bool coco__totals_differ(const coco__run *run);
COCO__IN void coco__preview_apply(struct coco__comp *c);
COCO__IN coco_status coco__gone_deferred(coco__run *run);  /* tombstones of what sinks refused */
/* A transaction of an update ends with what else has changed since the last one. Then it is in, or to be made again. */
COCO__IN coco_status coco__counters_write(coco__run *run, const coco__txn *t);
/* the transaction that drops what nobody lists any more (sweep), and counts and totals with it */
COCO__IN coco_status coco__tidy_write(coco__run *run, const coco__txn *t, bool sweep);
COCO__IN void coco__transaction_done(coco__run *run);
COCO__IN void coco__transaction_undo(void *run);
COCO__IN coco_status coco__apply_deferred(coco__run *run, bool last); /* what sinks refused */
COCO__IN void coco__queue(struct coco__comp *comp);  /* a component with changes: for the next round */
/* something is about to wait for a round: its time starts with the first */
COCO__IN void coco__round_begin(coco__run *run);
COCO__IN void coco__done(struct coco__comp *comp);

/* at the end: a moved state whose old owner is still there is a duplicate */
COCO__IN coco_status coco__moves_check(coco__run *run);

/* ==== remove.c: tombstones, the guard, deletes ==== */

COCO__IN coco_status coco__commit_removal(struct coco__comp *c, const coco__txn *t, coco__rec *rec);
COCO__IN void coco__removal_committed(struct coco__comp *c);
COCO__IN void coco__condemned_add(struct coco__comp *c);
COCO__IN coco_status coco__tombs_work(coco__run *run);
/* What sinks refuse is tried again for the last time; then goes what waited for it: containers no longer declared, and
 * records of what is deleted now. */
COCO__IN coco_status coco__last_tries(coco__run *run);
COCO__IN coco_status coco__remove_all(coco__run *run); /* drop: every target state, then every record */
COCO__IN coco_status coco__forget_target(coco__run *run, const char *title, coco_err *err);

/* ==== component.c: coco_ctx; call, mount, use_mount, mount_each, map, states, ids ==== */

typedef struct coco__node { /* a component's own node, or an inner node below it */
    struct coco__node *up;
    struct coco__comp *comp;
    coco_str segment;   /* encoded; in the memory of the node's maker */
    uint64_t id;        /* 0: none yet */
    bool recorded;      /* a record was there at the start: children may be */
    bool was_component; /* an inner node that is recorded as a component */
    bool persisted;     /* id and parent are in the store */
    bool each;          /* belongs to a mount_each */
    bool incomplete;    /* its source failed or was stopped: nothing below is gone */
    coco_str source;    /* title */
    coco__table kids;   /* segment to coco__node (inner) or &coco__mounted */
    struct coco__node *next;      /* inner nodes of the component */
    struct coco__node *next_persisted;
} coco__node;

typedef struct coco__scope {
    struct coco__scope *up;
    coco_value key;
} coco__scope;

typedef struct coco__catch {
    struct coco__catch *up;
    coco_failure_fn fn;
    void *user;
} coco__catch;

/* of a used component, as long as it isn't known whether the caller fails with it */
typedef struct coco__used_failure {
    struct coco__used_failure *next;
    coco_failure failure;
    coco__catch *catches; /* handlers where it was mounted */
} coco__used_failure;

struct coco_handle {
    struct coco__comp *comp; /* NULL when done */
    coco__run *run;
    coco_status status;
    const char *message;     /* of a failure, in the mounting component's memory */
    bool applied;
};

typedef enum coco__comp_state { COCO__RUNNING, COCO__WAITING, COCO__OPEN, COCO__APPLIED, COCO__DONE } coco__comp_state;

typedef struct coco__comp {
    struct coco__comp *next; /* in a list of the run */
    struct coco__comp *parent;
    coco__run *run;
    coco__place at;          /* where it is recorded */
    coco_str path;           /* encoded, where the nodes above don't tell it (deletes) */
    coco__node node;
    coco__node *inner;       /* list of inner nodes */
    const coco_fn *fn;       /* NULL: a component that is being deleted */
    coco_mount_kind kind;
    coco__comp_state state;
    coco__arena arena;       /* of the thread that runs the function */
    coco__arena pooled;      /* with a pool: what the engine puts here, under its lock */
    coco__arena *shared;     /* the engine's memory: pooled, or arena without a pool */
    coco_args args;          /* while it is queued */
    size_t charged;          /* bytes of its memory when it was queued */
    size_t holds;            /* live parts in it, and components below that are held: it is kept when it is done */
    struct coco__op *op;     /* live: the operation that it belongs to */
    bool anchor;             /* the operation waits for this one by itself */
    struct coco__map_stage *staged; /* what it has declared into live maps; NULL: nothing */
    bool stand;              /* stands in for a component whose children operations mount */
    coco__rec rec;           /* as recorded, copied into arena; flags 0: nothing is */
    coco_str borrowed;       /* bytes of rec that aren't copied yet; p NULL: they are */
    coco__rec fresh;         /* what the commit records */
    coco__depset *set;       /* of the fresh memo */
    coco__owned owned;
    coco__buf uses;          /* fingerprints of the memos that its function has used, … */
    size_t uses_once;        /* … so many bytes of them in order, each once */
    coco__catch *catches;
    coco__used_failure *used_failures; /* of children, in case it ends well in spite of them */
    coco_handle *handle;
    size_t pending;          /* children not done */
    bool failed, failed_below, uncacheable;
    coco_status stopped;     /* a checkpoint said COCO_ESTOP or COCO_EDEADLINE */
    bool dirty;              /* there is something to write */
    bool all_new;            /* by COCO__R_NEW; its commit writes the record alone */
    bool above;              /* --only: runs, but isn't submitted */
    bool memo_above;         /* a memoized component stands above: report dependencies to it */
    bool recheck;
    bool ancestors_marked, marked;
    bool removed;            /* deleting: its record is gone */
    bool condemns;           /* it, or one below, has states whose delete waits for the end: stays pending */
    bool under_tomb;         /* delete pass: the tombstone stands above it */
    bool deleting, last_delete; /* delete pass; last: a leaf whose record goes with its states */
    bool hit;                /* not run */
    bool restamp;            /* a hit whose memo states are rewritten */
    bool no_write;           /* failed before it ran: nothing is recorded */
    coco__table ordinals;    /* next_id: calls so far by dep */
    coco__why why;
    coco__tomb *gone;        /* children to be entered as tombstones */
    coco_status code;        /* of its failure */
    coco_str flight;         /* its key in the run's in_flight; p NULL: it isn't there */
    coco_status claim_failed; /* with …; COCO_EDUP: another component has what it declares */
    const char *claim_error;
    coco_status apply_code;  /* of the sink */
    const char *apply_error;
    struct coco__condemned *condemned; /* containers whose delete waits for the end of the update */
} coco__comp;

struct coco_ctx {
    /* A frame begins with what its caller has of these: */
    coco__run *run;
    coco__comp *comp;      /* NULL: a handler's, a setup's or a hook's */
    coco_env *env;
    coco_app *app;
    coco__arena *arena;    /* where coco_alloc takes from: home, or a scratch arena */
    coco__arena *home;     /* lives as long as the component */
    coco__scope *scope;
    coco__catch *catches;
    uint64_t deadline;     /* monotonic ns; 0: none */
    const uint8_t *memo;   /* key of the innermost memoized call around, … */
    unsigned memo_depth;   /* … of so many */
    unsigned batch;        /* inside a batch: of no component */
    /* … and has these to itself: */
    coco_ctx *up;
    const coco_fn *fn;
    coco_status kept;      /* error kept */
    char *message;         /* of the last failure, */
    coco_status said;      /* and its code */
    coco_value result;
    coco__deps deps;
    coco__tracked *tracked;
    struct coco__deadline *deadlines; /* begun here */
    unsigned nforks;       /* threads of the user's that work for it */
    bool uncounted;        /* its thread doesn't count as active because of them */
    const coco_runner *held; /* of a batch: where its caller is already */
    bool uncacheable;
    bool owned;            /* declared a state or asked for an id: the memo belongs to the component */
    coco__buf uses, declared; /* of memoized calls: fingerprints; entry keys as blobs */
    double units;
    uint64_t ns;           /* that its call took; of one in a batch its share */
    struct coco__mark_stack *marks;
    struct coco__open_source *sources;
    coco__provided **providing; /* in a setup */
    struct coco__batch_job *batch_job; /* of a batch's cx: what it computes */
};

/* A memoized call that is under way. */
struct coco__memo_call {
    coco_ctx frame;
    coco_args args;
    uint8_t fp[COCO__FP];
    uint64_t begun;
    coco_str recheck; /* the stored memo that must come out again; p NULL: none */
    bool owned;       /* the memo is the component's */
    bool fresh;       /* it was found among those computed in this run */
    bool plain;       /* a call that reached its own key again: no memo is made */
};

/* context.c: what every function gets from its cx. A frame is begun for each call, run, and ended into its caller's. */
COCO__IN void coco__frame_init(coco_ctx *frame, coco_ctx *caller, const coco_fn *fn);
COCO__IN coco_status coco__args_count(coco_ctx *cx, const coco_fn *fn, size_t n); /* COCO_ETYPE: it takes another */
COCO__IN coco_status coco__args_copy(coco__arena *a, coco_args args, coco_args *out);
/* An item and what follows it, as the arguments of one call, in `all`. */
COCO__IN coco_args coco__args_of(coco_value all[COCO_MAX_PARAMS], coco_value item, coco_args args);
COCO__IN coco_status coco__logic_used(coco_ctx *frame, const coco_fn *fn); /* its call depends on its code */
COCO__IN coco_status coco__call_frame(coco_ctx *frame, const coco_fn *fn, coco_args args);
/* batch.c: computes the result of one call of a batched function, together with others where there are any. */
COCO__IN coco_status coco__batch_call(coco_ctx *frame, const coco_fn *fn, coco_args args);
typedef struct coco__map_call {
    const coco_value *items;
    size_t n;
    coco_args args;
    coco_value *results; /* may be NULL */
} coco__map_call;
COCO__IN coco_status coco__map_batched(coco_ctx *cx, const coco_fn *fn, const coco__map_call *call);
COCO__IN coco_status coco__frame_end(coco_ctx *frame, coco_ctx *caller);
COCO__IN coco_status coco__call(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_value *value);
/* A cx with memory of its own, for another thread that works for cx; it ends as a frame does. */
COCO__IN void coco__fork_init(coco_ctx *fork, coco_ctx *cx, coco__arena *home);
COCO__IN coco_status coco__say(coco_ctx *cx, coco_status rc, const char *text); /* coco_fail of a text that is there */
COCO__IN coco_status coco__keep(coco_ctx *cx, coco_status rc, const char *message); /* message may be NULL */
COCO__IN void coco__context_close(coco__provided **list);
COCO__IN coco_status coco__result_to(coco_ctx *cx, coco_value v, coco_value *out); /* copies, objects by their class */
/* What was kept, or EINVAL where there is no component: in a setup function. */
COCO__IN coco_status coco__inside(coco_ctx *cx, const char *what);
COCO__IN coco_status coco__iterate_check(coco_ctx *cx, const coco_source *src);
COCO__IN void coco__source_close(coco__run *run, coco_source *src);
/* Reports an item that can't be read; true: a handler of the user's swallowed it. */
COCO__IN bool coco__unread(coco_ctx *cx, const coco_source *src, coco_value key, coco_status code);
typedef struct coco__mount_call {
    const coco_fn *fn;
    coco_args args;
    coco_mount_kind kind;
    coco_value *value;    /* use_mount */
    coco_handle *handle;
    coco__node *up;       /* node the child stands under */
    coco_str segment;
    const coco_str *payload; /* of its record, where it was read ahead; NULL: look it up */
    const coco_feed *part;   /* the operator that mounts its own component; NULL: any other mount */
    struct coco__op *op;     /* the operation as which it does; NULL: that of the parent */
    uint64_t pass;           /* of the mount_each; 0: none */
} coco__mount_call;
COCO__IN void coco__comp_task(struct coco__comp *c); /* runs a component that was queued */
/* Makes and runs a child; makes room for it first. An error means that there was no mount. */
COCO__IN coco_status coco__mount_child(coco_ctx *cx, coco__comp *c, const coco__mount_call *m);
COCO__IN coco_status coco__make_room(coco_ctx *cx);
COCO__IN coco_status coco__each_node(coco_ctx *cx, coco_path path, const coco_fn *fn, coco__node **node);
/* A recorded child is gone: to be entered as a tombstone. */
COCO__IN coco_status coco__gone_add(coco__comp *c, coco__node *node, coco_str segment, bool self_only);
COCO__IN coco__comp *coco__comp_new(coco__run *run);
COCO__IN void coco__comp_rest(coco__comp *comp); /* frees what only a component that isn't done needs */
COCO__IN void coco__comp_free(coco__comp *comp);
COCO__IN uint64_t coco__node_id(coco__node *node);
COCO__IN coco_status coco__node_persist(coco__run *run, const coco__txn *t, coco__node *node);
COCO__IN coco__place coco__place_of(const coco__node *node);
COCO__IN coco_status coco__comp_load(coco__comp *comp, coco_str payload); /* decodes a copy into rec */
COCO__IN coco_status coco__run_root(coco__run *run);
COCO__IN coco_status coco__oom(coco_ctx *cx);
COCO__IN coco_status coco__value_refused(coco_ctx *cx, coco_status rc, const char *what);
COCO__IN bool coco__records(const coco_ctx *cx); /* something memoized stands around: dependencies matter */
COCO__IN bool coco__recheck_due(coco__run *run, const uint8_t *fp);

/* Recorded children of a node in order, read ahead in batches and copied. */
typedef struct coco__stream {
    coco__run *run;
    coco__arena arena; /* of the batch */
    struct coco__child { coco_str segment, payload; bool cut; } *children;
    size_t n, i;
    coco__dbkey last; /* where the next batch begins behind */
    bool ended;
    coco_str segment, payload; /* of the child that next has found; payload.p NULL: it is damaged */
    bool cut;                  /* its segment stands cut in the key */
    coco_status rc;
} coco__stream;
COCO__IN void coco__stream_open(coco__stream *s, coco__run *run, uint64_t id);
COCO__IN bool coco__stream_next(coco__stream *s);
COCO__IN coco_status coco__stream_close(coco__stream *s, coco_status rc); /* rc, or what has ended it */

/* Live parts keep the components whose memory they need. */
COCO__IN void coco__hold(coco__comp *c);
COCO__IN void coco__unhold(coco__comp *c);
COCO__IN coco_status coco__mount_at(coco_ctx *cx, coco_path path, coco__mount_call *m);
COCO__IN coco_status coco__mount(coco_ctx *cx, coco_path path, coco__mount_call *m, coco_handle **handle);
/* Walks scopes and all but the last element of path; the last one becomes segment, in the component's memory. */
COCO__IN coco_status coco__resolve(coco_ctx *cx, coco_path path, const coco_fn *fn, coco__node **up, coco_str *segment);
COCO__IN void coco__node_path(const coco__node *node, coco__buf *path); /* encoded */

/* One pass over a source: what it gives is mounted under node, what it doesn't is gone. */
typedef struct coco__pass {
    coco__node *node;
    coco_source *src;
    const coco_fn *fn;
    coco_args args;  /* behind the item */
    bool nothing_gone; /* what it doesn't give stays */
} coco__pass;
COCO__IN coco_status coco__each_pass(coco_ctx *cx, const coco__pass *pass);

/* ==== feed.c: what threads outside the engine hand in ==== */

typedef enum coco__op_kind {
    COCO__OP_TOUCH,
    COCO__OP_PUT,
    COCO__OP_DELETE,
    COCO__OP_FULL,  /* a view is listed anew; a live component runs */
    COCO__OP_STATE, /* nothing but a token */
    COCO__OP_REPORT /* a failure to be told */
} coco__op_kind;

typedef struct coco__op {
    struct coco__op *next;  /* in the queue, or begun */
    struct coco__op *later; /* of the same part, in the order of issue */
    coco_feed *part;
    coco__op_kind kind;
    coco__arena arena;      /* of this and what it points to */
    uint64_t seq, since;    /* its number; that of the oldest for which it stands */
    coco_str key;           /* encoded; of an operator all of the path; "" of a full pass; p NULL: none */
    coco_value at, value;   /* the key as it was given; the item */
    const coco_fn *fn;      /* an operator's: what is mounted, … */
    coco_path path;         /* … where, … */
    coco_args args;         /* … with what */
    coco_str token;         /* stored encoding, by itself; p NULL: none */
    const coco_err *err;    /* of a report */
    size_t open, closing;   /* its components that aren't done; of these in the transaction being written */
    bool done, failed;      /* failed: and no handler of the user's swallowed that */
    bool gone;              /* it waits for deletes */
    struct coco__op *outer; /* of the first full pass: the operation that mounts the live component; NULL: none */
} coco__op;

/* A live part: a watched source under a mount_each, or the long-running part of a live component (a coco_operator is
 * one, too). */
struct coco_feed {
    coco_feed *next, *next_at;  /* of the update; that ends with the same component */
    struct coco__live *live;
    coco_source *src;           /* NULL: a live component's */
    coco_status (*body)(coco_operator *op, const coco_value *args); /* NULL: an auto_refresh, or a source's */
    const coco_fn *fn;          /* of the children; of a live component the full pass */
    coco_args args;
    coco__comp *host;           /* whose memory it needs; operations begin when it is done */
    coco__node *node;           /* children stand under it; of a live component: it stands under it … */
    coco_str segment;           /* … here */
    coco_str at;                /* database key of the component that ends the part when it runs anew */
    coco__catch *catches;
    coco__arena arena;
    coco_value token;           /* as found at the start */
    unsigned interval_ms;       /* of full passes that come by themselves; 0: none */
    pthread_t thread;
    bool started;               /* there is one */
    /* Guarded by the lock of live: */
    coco__table waiting;        /* key to operation, not begun */
    coco__op *ops, **ops_last;  /* in the order of issue, but for the first ones that are done */
    coco_str reached;           /* last token with nothing unfinished before it … */
    uint64_t reached_seq;       /* … and its number */
    uint64_t synced;            /* ticket */
    bool ready, returned, closing;
    bool stuck;                 /* an operation failed: tokens no longer count */
    int stop[2];                /* pipe; -1 until somebody asks for it */
    coco_status rc;             /* of body or watch */
    /* The update's own: */
    coco__comp *stand;          /* of the group */
    coco__table running;        /* key to operation, begun */
    size_t nrunning;
    bool full;                  /* a full pass has begun */
    bool told;                  /* its end is reported */
    bool unlisted;              /* its last listing failed */
    uint64_t due;               /* next full pass, monotonic ns; 0: none */
    uint64_t sync_wait;         /* ticket that its watch owes an answer to */
    uint64_t stored_seq, storing_seq, told_seq; /* of tokens: stored, being stored, given to done */
};

typedef struct coco__live {
    coco__run *run;
    pthread_mutex_t lock;
    pthread_cond_t changed;     /* there is room; something is finished; the end */
    coco__op *queue, **queue_last;
    size_t nqueued;
    uint64_t seq, news, seen;   /* last operation; counts what may matter to the update's thread; that it has seen */
    bool sleeping, ending;
    bool nested;                /* a part stands, or has stood, below what another mounts */
    uint64_t sync_asked, sync_taken, sync_done; /* tickets */
    size_t nusers;              /* calls of coco_sync inside */
    /* The update's own: */
    coco_feed *parts;
    coco__table places;         /* `at` to the first part */
    coco__op *begun;
    size_t nbegun, nuntidy;     /* … in the group; since function memos that nobody lists were dropped */
    uint64_t group_ns;          /* when the group began; 0: there is none */
    uint64_t ready_seq, sync_seq; /* barriers: what was asked for until then is awaited; 0: none */
    bool sync_stuck;            /* a part couldn't be listed */
    bool ready;                 /* all initial states are in the targets */
    _Atomic bool tokens;        /* some part has given one */
    coco__arena group;          /* run->passing while operations run */
} coco__live;

COCO__IN coco_status coco__live_new(coco__run *run);
COCO__IN void coco__live_free(coco__run *run); /* all parts have ended */
COCO__IN void coco__live_poke(coco__live *l);  /* something may matter to the update's thread */
COCO__IN void coco__live_look(coco__live *l);  /* what has happened until now is seen */
COCO__IN void coco__live_sleep(coco__live *l, unsigned ms); /* until something happens, or the time is over */
COCO__IN coco_status coco__op_new(coco_feed *p, coco__op_kind kind, const coco_value *key, coco__op **out);
COCO__IN void coco__op_free(coco__op *op);
/* Takes op over; COCO_ESTOP where the part has ended. With waits it waits for room. */
COCO__IN coco_status coco__op_issue(coco__op *op, bool waits);
COCO__IN coco__op *coco__op_next(coco__live *l);  /* takes the first that may begin from the queue */
/* What has begun is finished where nothing of it is open; all: the group ends. false: nothing was. */
COCO__IN bool coco__ops_done(coco__live *l, bool all);
COCO__IN bool coco__ops_until(coco__live *l, uint64_t seq); /* is all that was asked for until then finished? */
COCO__IN coco_status coco__part_start(coco_feed *p);
COCO__IN void coco__part_stop(coco_feed *p);  /* its operations are dropped; its thread is told */

/* ==== part.c: live parts and their tokens; live.c: following them; livemap.c: collections in memory ==== */

COCO__IN coco_status coco__part_each(coco_ctx *cx, const coco__pass *pass, coco_feed **part);
COCO__IN void coco__part_end(coco_feed *p);
COCO__IN void coco__parts_gone(coco__live *l);  /* parts in components that are gone end before these are deleted */
COCO__IN void coco__parts_reap(coco__live *l, bool all); /* frees those that have ended; all: waits for their threads */
/* true: a handler of the user's swallowed it */
COCO__IN bool coco__part_fail(coco_feed *p, coco_status code, const char *message);
COCO__IN void coco__parts_told(coco__live *l);  /* a watch that has ended tells why */
COCO__IN coco_status coco__tokens_write(coco__live *l); /* of operations that had nothing to write */
COCO__IN coco_status coco__token_tell(coco_feed *p);    /* gives the source what is stored */
COCO__IN void coco__host_failed(coco__comp *c); /* its sources aren't followed any more */
COCO__IN void coco__part_ends_at(coco__run *run, const coco__place *at, const coco_feed *but);
COCO__IN bool coco__live_holds(const coco__run *run, uint64_t id); /* is it the node of a part? */
COCO__IN bool coco__live_tokens(const coco__run *run);
COCO__IN coco_status coco__live_store(coco__run *run, const coco__txn *t);
COCO__IN void coco__live_stored(coco__run *run);
/* Until everything followed is ready, or (live mode) until a stop. */
COCO__IN coco_status coco__live_follow(coco__run *run, bool until_ready);
COCO__IN void coco__live_end(coco__run *run);

COCO__IN bool coco__is_map(const coco_source *src);
COCO__IN void coco__map_follow(coco_source *src, coco_feed *part); /* the one that consumes it; NULL: no longer */
COCO__IN bool coco__map_followed(const coco_source *src);
COCO__IN void coco__maps_settle(coco__comp *c);  /* its function has ended well: what it didn't declare goes */
COCO__IN void coco__maps_unstage(coco__comp *c); /* it has failed, or ends */
/* Takes away what the component at owner has declared in another run than this one; 0: in any. */
COCO__IN void coco__maps_drop(coco__run *run, const coco__place *owner, uint64_t number);
COCO__IN void coco__maps_free(coco__run *run);

/* ==== app.c: environment, app, update, drop ==== */

COCO__IN coco_status coco__fork_check(const coco_env *env, coco_err *err);

/* ==== check.c, recount.c, repair.c, audit.c: every record walked, and what is wrong put right ==== */

/* All kinds of records: one that isn't here is a finding of check. */
#define COCO__KINDS "0123456789ACFIOPUV"
#define COCO__PAGES_DAMAGED "state database %s: pages damaged, restore a backup"
#define COCO__META_LEAP ((uint64_t)1 << 32) /* what is never given twice goes on so far behind what is seen */

/* How to put right what was found, in the order in which it is done: what follows from records is counted again only
 * when all records are whole. */
enum coco__fix_op {
    COCO__FIX_DAMAGED,  /* delete the record */
    COCO__FIX_PROVIDER, /* a target, from its number's record; payload: what that leads to */
    COCO__FIX_REBUILD,  /* a component, from what can be read of it and the owner index; payload: its segment */
    COCO__FIX_MOVE,     /* a component under a key that can't be its own goes below @lost */
    COCO__FIX_ATTACH,   /* what stands below a number that hangs nowhere goes there too */
    COCO__FIX_PENDING,  /* the components above run again */
    COCO__FIX_PUT,
    COCO__FIX_DEL
};
typedef struct coco__fix {
    struct coco__fix *next;
    enum coco__fix_op op;
    coco__dbkey key;  /* of the record that it is about */
    coco_str payload; /* to be put */
} coco__fix;

typedef struct coco__tally { /* of a function memo or a dependency set */
    uint8_t key[COCO__FP];   /* fingerprint, or number */
    uint64_t n;              /* uses that were found */
    bool there, seen, idle;  /* the memo is recorded; its count is, or who has the result; it is listed as idle */
} coco__tally;

typedef struct coco__seen_place { /* a provider, as recorded */
    uint64_t id, parent;
    uint64_t states;             /* found below it, where it is a top */
    coco_str title;
    coco__dbkey *key;            /* of its record */
    bool attachment, container;  /* container: its container's state was found */
} coco__seen_place;

/* One walk over an app's records. */
typedef struct coco__audit {
    coco__buf *told;       /* findings: path and words, each with its NUL; NULL: they are only counted */
    bool repair;           /* fixes are wanted */
    coco__fix *fixes;      /* last first */
    uint64_t nfound;
    coco_status rc;        /* what has gone wrong ends the walk: findings and fixes needn't be asked how they went */
    const coco__txn *t;
    coco__txn quiet;       /* the same, for records whose damage is told elsewhere */
    coco__arena arena, scratch; /* of the walk; of what is looked at, or of one fix */
    coco__table places, sets, uses; /* coco__seen_place by id; coco__tally by number and by fingerprint, … */
    coco__table results;   /* … and of bytes, by number */
    coco__buf bytes, record; /* record: to be put by a fix */
    coco__merge merge;     /* of a component that is put together anew, … */
    struct coco__rebuilt *rebuilt; /* … this one */
    coco__view view;
    coco__meta top;        /* one above the highest numbers seen */
    uint64_t nrows, nparents, nowners, npages; /* records; entries of indexes that are as they should be */
    uint64_t parent;       /* of the component being looked at, … */
    bool begun, sealed;    /* … there is one; a memo above it would hit */
    coco__place at;        /* the component, … */
    coco__ekey last;       /* … its entry before, … */
    uint64_t nstates;      /* … its target states so far, … */
    bool unsettled, strange; /* … one of them may be another than recorded; has another owner by the index */
    bool sound;            /* nothing is wrong with it yet */
} coco__audit;

/* One record; payload.p NULL: its checksum is wrong. */
typedef coco_status (*coco__row_fn)(coco__audit *a, const coco__dbkey *k, coco_str payload);
COCO__IN coco_status coco__each_row(coco__audit *a, const coco__dbkey *prefix, coco__row_fn fn);
COCO__IN coco_status coco__each_of(coco__audit *a, enum coco__kind kind, coco__row_fn fn);
COCO__IN coco_status coco__each_below(coco__audit *a, enum coco__kind kind, uint64_t id, coco__row_fn fn);
/* a record read beside the walk; damage counts as none: its own row tells it */
COCO__IN bool coco__peek(coco__audit *a, const coco__dbkey *k, coco_str *payload);
COCO__IN bool coco__peek_place(coco__audit *a, uint64_t id, coco__place *at);         /* of a number */
COCO__IN bool coco__peek_rec(coco__audit *a, const coco__place *at, coco__rec *rec); /* a whole one */
/* the place that a number has, if the whole record there has it, too */
COCO__IN bool coco__step_up(coco__audit *a, uint64_t id, coco__place *at, coco__rec *rec);
COCO__IN void coco__raise(uint64_t *top, uint64_t id);
COCO__IN uint64_t coco__key_number(const coco__dbkey *k); /* behind the kind; 0 if the key is malformed */

/* Tells a finding about the component at `at` (NULL: about none); a damaged record, to be deleted. */
COCO__IN coco_status coco__found(coco__audit *a, const coco__place *at, const char *fmt, ...) COCO__PRINTF(3, 4);
COCO__IN coco_status coco__damaged(coco__audit *a, const coco__dbkey *k, const char *what);
COCO__IN coco_status coco__fix_add(coco__audit *a, enum coco__fix_op op, const coco__dbkey *k, coco_str payload);
COCO__IN coco_status coco__fix_del(coco__audit *a, const coco__dbkey *k);
COCO__IN coco_status coco__fix_put(coco__audit *a, const coco__dbkey *k, const coco__buf *b);
COCO__IN coco_status coco__fix_number(coco__audit *a, const coco__dbkey *k, uint64_t n); /* 0: deletes the record */
COCO__IN coco_status coco__fix_rebuild(coco__audit *a, const coco__place *at);

/* counts more uses, or bytes */
COCO__IN coco__tally *coco__tally_add(coco__audit *a, coco__table *table, const void *key, size_t n, uint64_t more);
COCO__IN coco_status coco__use_set(coco__audit *a, uint64_t id); /* counts a use of a dependency set */
COCO__IN bool coco__set_there(coco__audit *a, uint64_t id);
/* the provider under which states are counted; NULL: id is void, as its provider or one above it is no more */
COCO__IN coco__seen_place *coco__top_of(coco__audit *a, uint64_t id);
COCO__IN bool coco__one_key(coco_str s); /* is it an encoded key, and no more? */
COCO__IN bool coco__target_key_sound(uint64_t parent, coco_str key);
COCO__IN coco__seen_place *coco__place_below(coco__audit *a, uint64_t space, coco_str key);
COCO__IN bool coco__any_child(const coco__txn *t, enum coco__kind kind, uint64_t id); /* an error counts as one */
COCO__IN bool coco__climb(coco__audit *a, uint64_t id, bool *sealed);

/* Can it be what it says? */
COCO__IN bool coco__states_sound(coco_str states);
COCO__IN bool coco__value_sound(coco__audit *a, coco_str stored);
COCO__IN bool coco__entry_sound(coco__audit *a, const coco__entry *e);
COCO__IN bool coco__memo_sound(coco__audit *a, const coco__rec *rec);
COCO__IN bool coco__rec_read(coco_str payload, coco__rec *rec); /* decodes it, too: its parts must go together */
COCO__IN coco_str coco__owner_value(coco__audit *a, coco_str ekey, coco_str payload);
COCO__IN bool coco__owner_true(coco__audit *a, coco_str ekey, coco_str payload);

COCO__IN bool coco__provider_sound(coco__audit *a, const coco__dbkey *k, coco_str payload, coco__seen_place *out);
COCO__IN coco_status coco__provider_row(coco__audit *a, const coco__dbkey *k, coco_str payload);
COCO__IN coco_status coco__provider_id_row(coco__audit *a, const coco__dbkey *k, coco_str payload);
COCO__IN coco_status coco__provider_end(coco__audit *a, const coco__seen_place *s);
COCO__IN coco_status coco__count_row(coco__audit *a, const coco__dbkey *k, coco_str payload);
COCO__IN coco_status coco__component_row(coco__audit *a, const coco__dbkey *k, coco_str payload);

/* repair.c: makes the fixes of the first sort that a walk has left */
COCO__IN coco_status coco__mend_round(coco__audit *a);

/* audit.c: runs body in a child process, in an environment of its own that is open for reading; out is what it put
 * out. COCO_ECORRUPT if it died. */
typedef coco_status (*coco__apart_fn)(coco_env *own, void *self, coco__buf *out, coco_err *err);
COCO__IN coco_status coco__apart(coco_env *env, coco__apart_fn body, void *self, coco__buf *out, coco_err *err);

COCO__IN coco_status coco__audit_run(coco__audit *a, const coco__txn *t); /* tell, self and repair are set */
COCO__IN void coco__audit_free(coco__audit *a);

#endif /* COCO_ENGINE_H */
