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

/* Tests compile the floors one by one and link them; the library is one unit and keeps its internals to itself. */
#ifdef COCO__SEPARATE
#define COCO__IN
#else
#define COCO__IN static COCO__UNUSED /* what serves an option, or tests alone, is no warning in a host's build */
#endif

/* ==== base.c: allocation gate, arena, byte buffer, reader, tables, log
 * ===================================================== */

typedef struct coco__mem {
    coco_allocator gate; /* realloc NULL: libc's */
} coco__mem;

COCO__IN void *coco__alloc(const coco__mem *m, size_t n);             /* not zeroed; NULL on failure or n == 0 */
COCO__IN void *coco__zalloc(const coco__mem *m, size_t n);            /* zeroed */
COCO__IN void *coco__realloc(const coco__mem *m, void *p, size_t n);  /* n > 0 */
COCO__IN void coco__free(const coco__mem *m, void *p);                /* NULL is fine */
COCO__IN char *coco__strdup(const coco__mem *m, const char *s);

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
COCO__IN void coco__buf_be32(coco__buf *b, uint32_t v);
COCO__IN void coco__buf_be64(coco__buf *b, uint64_t v);
COCO__IN void coco__buf_varint(coco__buf *b, uint64_t v);    /* LEB128 */
COCO__IN void coco__buf_blob(coco__buf *b, const void *p, size_t n); /* varint length, bytes */
COCO__IN void coco__buf_str(coco__buf *b, const char *s);    /* the characters of s, without NUL */
COCO__IN void coco__buf_printf(coco__buf *b, const char *fmt, ...) COCO__PRINTF(2, 3);
COCO__IN const char *coco__buf_cstr(coco__buf *b);           /* NUL-terminated view; "" after a failure */
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
COCO__IN bool coco__table_next(const coco__table *t, size_t *i, coco__slot **slot); /* *i from 0; order is arbitrary */

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

COCO__IN uint64_t coco__load64(const uint8_t *p); /* little-endian */
/* fast, for tables and checksums; the same on every machine */
COCO__IN uint32_t coco__hash32(const void *p, size_t n, uint32_t seed);
COCO__IN uint64_t coco__monotonic_ns(void);
COCO__IN int64_t coco__wall_ms(void);
COCO__IN void coco__sleep_ms(unsigned ms);
COCO__IN uint64_t coco__random64(void); /* from the system; for uuids and jitter */

/* ==== fingerprint.c: BLAKE2b (the coco_hash_ calls of the header)
 * ========================================================== */

#define COCO__FP 16
/* The public coco_hash_* and coco_fingerprint_bytes stand in fingerprint.c. */

/* ==== value.c: values: canonical encoding, decoding, order, printing, JSON
 * ================================================= */

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
/* The length of the name in front, which needs no quotes as a symbol; p ends at n or with a NUL. */
COCO__IN size_t coco__bare_length(const char *p, size_t n);
COCO__IN void coco__value_print(coco__buf *b, coco_value v);
/* bytes as {"bytes":"hex"}-free hex text, NaN and infinities as null */
COCO__IN void coco__value_json(coco__buf *b, coco_value v);

/* ==== key.c: stable keys, component paths, their printed form and its parser
 * =============================================== */

/* Order-preserving, self-delimiting, total. COCO_ETYPE where the value isn't a stable key. Kinds order as null,
 * symbol, bool, int, text, bytes, uuid, list. */
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
COCO__IN coco_status coco__path_parse(const char *s, coco__buf *out, coco_err *err); /* COCO_EPARSE says where */

/* ==== event.c: events, counters, logs: every decision of the engine passes here
 * ============================================ */

struct coco__run;
struct coco__comp;

enum {
    COCO__STARTS,
    COCO__ADDED,
    COCO__REPROCESSED,
    COCO__UNCHANGED,
    COCO__DELETED,
    COCO__ERRORS,
    COCO__HITS,
    COCO__MISSES,
    COCO__NS,
    COCO__NCOUNTS
};
typedef struct coco__fn_counts {
    _Atomic uint64_t n[COCO__NCOUNTS];
} coco__fn_counts;
typedef struct coco__target_counts {
    struct coco__target_counts *next;
    char *title;
    _Atomic uint64_t inserts, updates, deletes, bytes;
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

/* ==== store.c: LMDB: environment, growth, transactions, keys, records and their codecs
 * ===================================== */


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
    pthread_mutex_t mutex;     /* apps, setup, writers */
    pthread_rwlock_t map_lock; /* readers share it, the grower of the map has it alone */
    coco__provided *context;
    int setup_state; /* 0 not run, 1 done, -1 failed */
    coco_app *apps;
    coco_env *next_open;
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
    _Atomic(struct coco__run *) run;
    coco_app *next;
};

COCO__IN coco_status coco__mdb_error(coco_err *err, int rc, const coco_env *env, const char *what);
COCO__IN coco_status coco__store_open(coco_env *env, coco_err *err);
COCO__IN void coco__store_close(coco_env *env);
COCO__IN void coco__dbi_lock(void); /* around opening and dropping a named database, inside the transaction */
COCO__IN void coco__dbi_unlock(void);
/* opens its dbi; has_dbi false if there is none */
COCO__IN coco_status coco__store_app(coco_app *app, bool create, coco_err *err);
/* the one updating process; COCO_EBUSY names the holder */
COCO__IN coco_status coco__store_lock(coco_env *env, coco_err *err);
COCO__IN void coco__store_unlock(coco_env *env);
COCO__IN unsigned coco__fork_generation(void);

/* Database keys: a kind byte, big-endian 64-bit id, suffix. A suffix over COCO__CUT bytes becomes its first COCO__CUT
 * bytes and its fingerprint: the cut form, by which entries are ordered everywhere. */
#ifdef COCO_SMALL
#define COCO__CUT 16 /* not below COCO__FP: keys that are fingerprints must stay whole */
#define COCO__PAGE_BYTES 120
#define COCO__INLINE_BYTES 80
#define COCO__READ_AHEAD 3
#define COCO__SLICE 3
#define COCO__ROUND 2
#else
#define COCO__CUT 470
#define COCO__PAGE_BYTES 1850 /* two fit into a page of LMDB */
#define COCO__INLINE_BYTES 1800
#define COCO__READ_AHEAD 256
#define COCO__SLICE 8192 /* changes of one component in a transaction */
#define COCO__ROUND 1024
#endif
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
    COCO__COMPONENT = 'C',   /* + parent id + cut segment: a component or inner node */
    COCO__MEMO = 'F',        /* + fingerprint (no id): a function memo of the app */
    COCO__PARENT = 'I',      /* + id: parent id, segment */
    COCO__OWNER = 'O',       /* + entry key (no id): parent id, segment of the owning component */
    COCO__PAGE = 'P',        /* + id + entry key of its first entry ("" for the first page): entries */
    COCO__MEMO_USES = 'U'    /* + fingerprint: number of component records that list it, if any */
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
    bool full;      /* the map was full: grow and try again */
} coco__txn;

/* COCO_ENOTFOUND without a message where there is none; a wrong checksum is COCO_ECORRUPT naming the key. Borrows
 * from LMDB. */
COCO__IN coco_status coco__get(const coco__txn *t, const coco__dbkey *k, coco_str *payload);
COCO__IN coco_status coco__put(const coco__txn *t, const coco__dbkey *k, const void *payload, size_t n);
COCO__IN coco_status coco__del(const coco__txn *t, const coco__dbkey *k); /* missing is fine */
COCO__IN coco_status coco__del_range(const coco__txn *t, const coco__dbkey *prefix);
COCO__IN coco_status coco__check_payload(const coco__txn *t, const MDB_val *key, const MDB_val *data,
                                         coco_str *payload);

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
    COCO__R_UNITS = 256
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

/* Where a component is recorded. */
typedef struct coco__place {
    uint64_t parent;
    coco_str segment; /* full, encoded */
} coco__place;
COCO__IN void coco__place_key(coco__dbkey *k, enum coco__kind kind, const coco__place *at);
COCO__IN void coco__place_put(coco__buf *b, const coco__place *at);
COCO__IN coco_status coco__place_get(coco_str payload, coco__place *at);
/* The encoded path of a place, by climbing. */
COCO__IN coco_status coco__place_path(const coco__txn *t, const coco__place *at, coco__buf *path);

/* ==== states.c: what a component owns, as ordered entries in its record or in pages
 * ======================================== */

/* An entry: key = ordered space number + cut key; spaces below 16 are the engine's own, others are provider ids. */
enum { COCO__S_USE = 1, COCO__S_MEMO = 2, COCO__S_STATE = 3, COCO__S_ID = 4, COCO__S_FIRST_PROVIDER = 16 };
#define COCO__EKEY_MAX (9 + COCO__CUT_LENGTH)
typedef struct coco__ekey {
    size_t n;
    uint8_t b[COCO__EKEY_MAX];
} coco__ekey;
COCO__IN void coco__ekey_make(coco__ekey *k, uint64_t space, const void *key, size_t n);
COCO__IN uint64_t coco__ekey_space(const uint8_t *p, size_t n, size_t *skip); /* 0 if malformed */
COCO__IN int coco__bytes_cmp(const void *a, size_t na, const void *b, size_t nb);

struct coco__change;
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
COCO__IN coco_status coco__state_get(coco_str ekey, coco_str value, coco__state *s);

typedef struct coco__entry {
    coco_str ekey, value;
} coco__entry;

/* What happens to one entry in this run. At the precommit it becomes `before` (p NULL: as recorded; a flag says
 * "removed"), at the commit `after` (p NULL: removed). */
typedef struct coco__change {
    struct coco__change *next; /* of the component, in the order of declaration */
    coco_str ekey, key;        /* key: full encoded */
    coco_str before, after;
    bool claimed;              /* new here: taken from nobody or from `owner` */
    bool cancelled;            /* another component of the round claimed what was to be deleted */
    coco_target *target;       /* NULL for the engine's own entries */
    coco_target *child;        /* of a container */
    coco_action *action;       /* NULL: none */
    coco__state *old;          /* possibilities used; NULL: none */
    coco_str record;           /* new; p NULL: absent */
    coco_value *desired;       /* copied where a claim may have to be reconciled again */
    coco__place owner;         /* claimed from; segment.p NULL: nobody */
    bool container, user_managed;
    bool was;                  /* it is in the component's own record */
    uint8_t child_fate;        /* of a container's content: COCO__CHILD_… */
    bool is_void;              /* recorded under a provider that is no more */
    bool moved;                /* taken from another component in the transaction being written */
    coco_target *replaced;     /* provider of the container's content until now */
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
    coco__entry *entries; /* keys point into `keys`, values into the bytes that were decoded */
    size_t n, cap;
    coco__buf keys;
} coco__view;

typedef struct coco__owned {
    struct coco__run *run;
    coco__arena *arena;     /* of the component */
    uint64_t id;            /* of the component, where paged */
    bool paged, listed;     /* listed: labels are read */
    bool sorted;            /* changes are in entry order */
    coco__change *all;      /* of a large component that is written in slices: changes is the rest */
    coco__page *pages;      /* one without a label for inline entries */
    size_t npages, cap;
    coco_str inline_bytes;
    size_t current, pos;    /* page decoded in `view` (SIZE_MAX: none); entry found last */
    coco__view view;
    coco__buf data;         /* bytes of the current page */
    coco__table changed;    /* entry key to coco__change */
    coco__change *changes, **last;
    size_t nchanges;
} coco__owned;

COCO__IN void coco__owned_init(coco__owned *o, struct coco__run *run, coco__arena *arena, const coco__rec *rec);
COCO__IN void coco__owned_free(coco__owned *o);
/* Finds a recorded entry; *found NULL if there is none. Valid until the next call. seen_before: it was marked
 * already. */
COCO__IN coco_status coco__owned_find(coco__owned *o, coco_str ekey, coco__entry **found);
COCO__IN bool coco__owned_mark(coco__owned *o); /* marks the entry found last as seen; false if it was */
/* Was the recorded entry marked? It is about to be taken: what was read with it stays in sight as it is. */
COCO__IN coco_status coco__owned_pin(coco__owned *o, coco_str ekey, bool *seen);
COCO__IN coco__change *coco__owned_changed(coco__owned *o, coco_str ekey);
/* a new, zeroed change; ekey is copied; NULL: no memory */
COCO__IN coco__change *coco__owned_change(coco__owned *o, coco_str ekey);
/* Calls fn for each recorded entry (unseen_only: that was not marked and has no change), in order. */
typedef coco_status (*coco__entry_fn)(void *self, const coco__entry *e);
COCO__IN coco_status coco__owned_each(coco__owned *o, bool unseen_only, coco__entry_fn fn, void *self);
/* Merges changes into rec's entries (inline, or pages through t), as of the precommit or the commit. out holds inline
 * bytes. */
COCO__IN coco_status coco__owned_write(coco__owned *o, const coco__txn *t, coco__rec *rec, bool commit, coco__buf *out);
/* Cuts the changes behind the first n, in entry order; returns what was cut off. */
COCO__IN coco__change *coco__owned_cut(coco__owned *o, size_t n);
/* One entry of any recorded component, through t; copied into a. value.p NULL: there is none. */
COCO__IN coco_status coco__entry_get(const coco__txn *t, const coco__rec *rec, coco_str ekey, coco__arena *a,
                                     coco_str *value);
COCO__IN coco_status coco__entry_remove(const coco__txn *t, coco__rec *rec, coco_str ekey, coco__buf *out);
COCO__IN void coco__view_init(coco__view *v, const coco__mem *m);
COCO__IN void coco__view_free(coco__view *v);
COCO__IN coco_status coco__view_decode(coco__view *v, coco_str bytes); /* borrows bytes; COCO_ECORRUPT, COCO_ENOMEM */


/* ==== logic.c: functions, context keys, parameters, logic fingerprints, dependency sets
 * ==================================== */

typedef enum coco__dep_kind { COCO__D_LOGIC = 1, COCO__D_CONTEXT, COCO__D_PARAM, COCO__D_PROVIDER } coco__dep_kind;

/* One dependency of a memo: something and the value it had. Interned in the run: equal ones are one pointer. */
typedef struct coco__dep {
    coco__dep_kind kind;
    coco_str name;             /* function, context key, parameter; title of a target */
    uint8_t fp[COCO__FP];      /* provider: id and counter as two big-endian numbers */
    coco_str bytes;            /* encoded */
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
COCO__IN coco_status coco__depset_of(struct coco__run *run, const coco__deps *d, coco__depset **set);
/* *set NULL if it isn't there */
COCO__IN coco_status coco__depset_load(struct coco__run *run, uint64_t id, coco__depset **set);
COCO__IN bool coco__depset_valid(struct coco__run *run, coco__depset *set);
COCO__IN void coco__depset_use(struct coco__run *run, coco__depset *set, int delta); /* inside a transaction's body */
COCO__IN coco_status coco__depsets_write(struct coco__run *run, const coco__txn *t);
COCO__IN const coco__provided *coco__provided_find(const struct coco__run *run, coco_str name);

COCO__IN coco_status coco__names_load(struct coco__run *run, const coco__txn *t);
COCO__IN coco_status coco__names_write(struct coco__run *run, const coco__txn *t);

/* ==== memo.c: memo keys, memo states, function memos
 * ======================================================================= */

/* Why something runs. */
typedef enum coco__reason {
    COCO__WHY_NEW = 1,
    COCO__WHY_PENDING,
    COCO__WHY_INPUT,
    COCO__WHY_STATE,
    COCO__WHY_LOGIC,
    COCO__WHY_CONTEXT,
    COCO__WHY_PARAM,
    COCO__WHY_SCHEMA,
    COCO__WHY_FORCED,
    COCO__WHY_NOMEMO,
    COCO__WHY_RECHECK,
    COCO__WHY_FUNCTION,
    COCO__WHY_RETRY,
    COCO__WHY_MOVED
} coco__reason;
typedef struct coco__why {
    coco__reason reason;
    coco_str detail; /* argument, function, key, parameter or target */
} coco__why;
COCO__IN void coco__why_print(coco__buf *b, coco__why why);
COCO__IN void coco__emit_call(coco_ctx *cx, const coco_fn *fn, bool hit, coco__why why); /* event.c */

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

/* The key of a call's arguments: their encoding, or its fingerprint where that is shorter. In cx's memory. */
COCO__IN coco_status coco__argkey(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_str *key);
/* Memo states of arguments and tracked objects after a run; and their check: *valid, the states as they are now in
 * *now. */
COCO__IN coco_status coco__states_take(coco_ctx *cx, const coco_fn *fn, coco_args args, coco__tracked *tracked,
                                       coco_str *states);
COCO__IN coco_status coco__states_check(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_str stored, coco_str *now,
                                        coco__why *why);
/* The tracked objects in the states of a hit, reported upward; and those of a frame that ends, to its caller. */
COCO__IN coco_status coco__states_tracked(coco_ctx *cx, coco_str states, coco__tracked **list);
COCO__IN coco_status coco__tracked_pass(coco_ctx *frame, coco_ctx *caller);

/* A function memo of the app that was computed in this run and isn't stored yet. */
typedef struct coco__fresh {
    struct coco__fresh *next;
    uint8_t fp[COCO__FP];
    coco__buf payload;
    coco__depset *set;
    bool running; /* being computed: a call that reaches it again runs unmemoized */
} coco__fresh;

COCO__IN coco_status coco__call_memoized(coco_ctx *cx, const coco_fn *fn, coco_args args, coco_value *value);
COCO__IN coco_status coco__memo_use(const coco__txn *t, const char *fp, int delta);
/* of a memo's dependency set */
COCO__IN coco_status coco__memo_set_use(struct coco__run *run, coco_str value, int delta);
/* the transaction is committed: they are found in the store now */
COCO__IN void coco__memos_written(struct coco__run *run);
COCO__IN coco_status coco__memos_write(struct coco__run *run, const coco__txn *t);
COCO__IN coco_status coco__memos_sweep(struct coco__run *run, const coco__txn *t); /* drops those with count 0 */

/* ==== target.c: providers, handlers, declarations, reconciliation
 * ========================================================== */

struct coco_target {
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
    bool gone;                /* replaced or destroyed in this run */
    struct coco__comp *owner; /* declares it in this run and isn't applied yet */
    int64_t delta;            /* of the states counted under it (top), in the transaction being written */
    bool dirty;
    coco_target *next_dirty;
    uint64_t doomed;          /* states that tombstones would delete (guard) */
    bool condemned;           /* to be deleted in this update */
    bool tripped;             /* by the guard */
};

COCO__IN coco_status coco__target_at(struct coco__run *run, coco_target *parent, coco_str key, coco_str attachment,
                                     coco_target **out);
/* *target NULL: void */
COCO__IN coco_status coco__target_by_id(struct coco__run *run, uint64_t id, coco_target **target);
COCO__IN void coco__state_name(coco__buf *b, const coco_target *target, coco_str key); /* TITLE:key */
COCO__IN coco_status coco__provider_write(const coco__txn *t, coco_target *target);
COCO__IN coco_status coco__provider_destroy(const coco__txn *t, coco_target *target); /* with everything below */
COCO__IN coco_status coco__providers_count(struct coco__run *run, const coco__txn *t); /* writes the deltas */
COCO__IN void coco__target_count(coco_target *target, int delta);
COCO__IN coco_status coco__top_states(struct coco__run *run, coco_target *top, uint64_t *n);
/* Turns a recorded entry into a change that deletes it; *skipped if it is void or waits for its container. */
typedef enum coco__delete_mode {
    COCO__DEL_CONDEMN,
    COCO__DEL_CONTENT,
    COCO__DEL_CONTAINER,
    COCO__DEL_VOID
} coco__delete_mode;
COCO__IN coco_status coco__declare_gone(struct coco__comp *comp, const coco__entry *e, coco__delete_mode mode);
/* Reconciles a claim again with what its owner has now (at the precommit). */
COCO__IN coco_status coco__reclaim(struct coco__comp *comp, coco__change *c, const coco__state *now);

/* ==== submit.c: rounds: precommit, apply, commit; retries
 * ================================================================== */

struct coco__catch;
struct coco__node;
struct coco__condemned;
typedef struct coco__failed_path {
    struct coco__failed_path *next;
    char *path;
} coco__failed_path;

typedef struct coco__moved { /* a state that changed hands in this run */
    struct coco__moved *next;
    coco_str ekey, from_key;    /* of the state; database key of the old owner's record */
    coco__place from;
    char *from_path, *to_path;  /* printed */
    char *state;                /* printed */
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
    bool kept;      /* by the guard, for a later update */
    struct coco__tomb *next_removed;
} coco__tomb;

typedef struct coco__run {
    coco_app *app;
    coco_env *env;
    const coco__mem *mem;
    coco_update_opts opts;
    bool preview, full, dropping;
    coco_str only;           /* encoded path of --only; p NULL: none */
    bool reached;            /* --only: it was mounted */
    MDB_txn *reader;         /* cached read transaction */
    coco__meta meta, meta_stored;
    uint64_t number;         /* of this run */
    bool wrote;              /* a transaction has been committed */
    int64_t start_ms;
    uint64_t start_ns, round_ns;
    coco__arena arena;       /* lives until the update ends */
    coco_ctx *cx;            /* for handlers: memory of the run */
    coco__table names, deps, depsets, depsets_by_id, targets, target_places, titles, memos;
    coco__table moved, moved_states; /* old owners by record key; states by entry key */
    coco__table claims;              /* of the round being written */
    /* record key to coco__comp with recorded states that runs or waits for its commit */
    coco__table in_flight;
    coco__table memory;              /* coco_run_memory by tag */
    coco_str *name_list;     /* by id */
    uint64_t names_cap, names_stored;
    uint64_t epoch;          /* raised when a provider changes: sets are judged again */
    coco__depset *dirty_sets;
    coco_target *dirty_targets;
    coco__fresh *queued_memos;
    size_t nqueued_memos, queued_bytes;
    struct coco__comp *open, **open_last, *applied, **applied_last, *deferred, *spare;
    struct coco__comp *committing, *applying; /* of the transaction being written */
    size_t nopen, napplied, ndeferred, nspare;
    bool unsynced;           /* a commit may be lost in a power cut */
    size_t inflight_bytes;
    coco__buf scratch, record, pages; /* of the transaction's body */
    struct coco__node *persisted;     /* in the transaction being written: to be undone if it fails */
    uint64_t totals[4];               /* as written last with the run */
    coco__tomb *tombs, *tombs_removed; /* removed: to be taken out of the store */
    coco__tomb *tombs_loaded;          /* in tombs, the first that an earlier update left */
    coco__condemned *condemned;
    coco__table tomb_places;          /* place key to coco__tomb */
    coco__moved *moves;
    coco__failed_path *failed, **failed_last;
    size_t nfailed_paths;
    uint64_t nfailed;
    coco_status root_status; /* main's own failure */
    const char *root_message;
    bool ending;             /* memory isn't kept for reuse any more */
    coco_err cx_err;         /* of reads of the store */
    coco__buf lookup;        /* a record being looked up */
    coco_err first;          /* first failure */
    coco_err fatal;          /* of the store: nothing more can be written */
    bool guard;              /* tripped */
    coco_err guard_err;
    bool recheck_failed;
    uint64_t inserts, updates, deletes, saved_ns;
    double saved_units;
} coco__run;

COCO__IN coco_status coco__run_read(coco__run *run, coco__txn *t);
COCO__IN void coco__run_read_end(coco__run *run, coco__txn *t);
COCO__IN void coco__submit(struct coco__comp *comp);          /* its function and all below are through */
COCO__IN coco_status coco__flush(coco__run *run, bool last); /* one round; last: a commit alone must be durable too */
COCO__IN coco_status coco__drain(coco__run *run);    /* until nothing is left */
COCO__IN coco_status coco__run_record(coco__run *run, const coco__txn *t); /* writes the run's header and totals */
COCO__IN bool coco__totals_differ(const coco__run *run);
COCO__IN coco_status coco__apply_deferred(coco__run *run); /* the last try of what sinks refused */
COCO__IN void coco__queue(struct coco__comp *comp);  /* a component with changes: for the next round */
/* something is about to wait for a round: its time starts with the first */
COCO__IN void coco__round_begin(coco__run *run);
COCO__IN void coco__fail(struct coco__comp *comp, coco_status code, const char *message);
COCO__IN void coco__fail_path(coco__run *run, const coco_failure *f, struct coco__catch *catches);
COCO__IN void coco__done(struct coco__comp *comp);
COCO__IN coco_status coco__tomb_add(coco__run *run, const coco__place *at, bool self_only);
COCO__IN void coco__tomb_remove(coco__run *run, const coco__place *at);

COCO__IN bool coco__moved_away(coco__run *run, const coco__place *at); /* did it lose a state to another in this run? */
/* at the end: a moved state whose old owner is still there is a duplicate */
COCO__IN coco_status coco__moves_check(coco__run *run);

/* ==== remove.c: tombstones, the guard, deletes
 * ============================================================================= */

COCO__IN coco_status coco__commit_removal(struct coco__comp *c, const coco__txn *t, coco__rec *rec);
COCO__IN void coco__removal_committed(struct coco__comp *c);
COCO__IN void coco__condemned_add(struct coco__comp *c);
COCO__IN coco_status coco__tombs_load(coco__run *run, const coco__txn *t);
COCO__IN coco_status coco__tombs_work(coco__run *run);
COCO__IN coco_status coco__remove_all(coco__run *run); /* drop: every target state, then every record */
COCO__IN coco_status coco__forget_target(coco__run *run, const char *title, coco_err *err);
COCO__IN coco_status coco__stored(coco__run *run, const coco__txn *t, const coco__place *at, coco__buf *copy,
                                  coco__rec *rec);
/* Where the node with an id stands, copied into run->lookup; COCO_ENOTFOUND where there is none. */
COCO__IN coco_status coco__place_of_id(coco__run *run, const coco__txn *t, uint64_t id, coco__place *at);
COCO__IN coco_status coco__store_rec(coco__run *run, const coco__txn *t, const coco__place *at, coco__rec *rec);
COCO__IN coco_status coco__commit_change(struct coco__comp *c, coco__change *ch, const coco__txn *t, coco__rec *rec);
COCO__IN coco_status coco__commit_set(struct coco__comp *c, const coco__rec *old, bool has_new);
COCO__IN void coco__preview_apply(struct coco__comp *c);
COCO__IN coco_status coco__mark_above(coco__run *run, const coco__txn *t, uint64_t parent, bool pending);
COCO__IN coco_status coco__drop_record(coco__run *run, const coco__txn *t, const coco__place *at, const coco__rec *rec);

/* ==== component.c: coco_ctx; call, mount, use_mount, mount_each, map, states, ids
 * ========================================== */

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
    coco__arena arena;
    coco__rec rec;           /* as recorded, copied into arena; flags 0: nothing is */
    coco__rec fresh;         /* what the commit records */
    coco__depset *set;       /* of the fresh memo */
    coco__owned owned;
    coco__catch *catches;
    coco__used_failure *used_failures; /* of children, in case it ends well in spite of them */
    coco_handle *handle;
    size_t pending;          /* children not done */
    bool failed, failed_below, uncacheable, stopped;
    bool dirty;              /* there is something to write */
    bool above;              /* --only: runs, but isn't submitted */
    bool memo_above;         /* a memoized component stands above: report dependencies to it */
    bool recheck;
    bool precommitted, ancestors_marked, marked;
    bool removed;            /* deleting: its record is gone */
    bool condemns;           /* it, or one below, has states whose delete waits for the end: stays pending */
    bool under_tomb;         /* delete pass: the tombstone stands above it */
    bool deleting, last_delete; /* delete pass; last: a leaf whose record goes with its states */
    bool recorded;           /* there is a record, rec */
    bool hit;                /* not run */
    bool restamp;            /* a hit whose memo states are rewritten */
    bool no_write;           /* failed before it ran: nothing is recorded */
    coco__table ordinals;    /* next_id: calls so far by dep */
    coco__why why;
    coco__tomb *gone;        /* children to be entered as tombstones */
    uint64_t nstates_new, nstates_gone;
    coco_status code;        /* of its failure */
    coco_str flight;         /* its key in the run's in_flight; p NULL: it isn't there */
    bool claim_failed;       /* another component has what it declares */
    char *claim_error;
    coco_status apply_code;  /* of the sink */
    char *apply_error;
    struct coco__condemned *condemned; /* containers whose delete waits for the end of the update */
    size_t nactions, nbytes;
} coco__comp;

struct coco_ctx {
    coco__run *run;
    coco__comp *comp;      /* NULL: a handler's, a setup's or a hook's */
    coco_ctx *up;
    const coco_fn *fn;
    coco__arena *arena;    /* where coco_alloc takes from: home, or a scratch arena */
    coco__arena *home;     /* lives as long as the component */
    coco_status kept;      /* error kept */
    char *message;         /* of the last failure, */
    coco_status said;      /* and its code */
    coco_value result;
    coco__deps deps;
    coco__tracked *tracked;
    coco__scope *scope;
    coco__catch *catches;
    unsigned memo_depth;   /* memoized calls around */
    const uint8_t *memo;   /* key of the innermost of them */
    bool uncacheable;
    bool owned;            /* declared a state or asked for an id: the memo belongs to the component */
    coco__buf uses, declared; /* of memoized calls: fingerprints; entry keys as blobs */
    double units;
    struct coco__mark_stack *marks;
    struct coco__open_source *sources;
    coco_env *env;
    coco_app *app;
    coco__provided **providing; /* in a setup */
};

/* context.c: what every function gets from its cx. A frame is begun for each call, run, and ended into its caller's. */
COCO__IN coco_status coco__frame_init(coco_ctx *frame, coco_ctx *caller, const coco_fn *fn);
COCO__IN coco_status coco__call_frame(coco_ctx *frame, coco_ctx *caller, const coco_fn *fn, coco_args args);
COCO__IN coco_status coco__frame_end(coco_ctx *frame, coco_ctx *caller);
COCO__IN coco_status coco__keep(coco_ctx *cx, coco_status rc, const char *message); /* message may be NULL */
COCO__IN void coco__context_close(const coco__mem *mem, coco__provided **list);
COCO__IN coco_status coco__stopped(const coco__run *run);
COCO__IN coco_status coco__result_to(coco_ctx *cx, coco_value v, coco_value *out); /* copies, objects by their class */
COCO__IN coco_status coco__iterate_check(coco_ctx *cx, const coco_source *src);
COCO__IN void coco__source_close(coco_source *src);
COCO__IN void coco__unread(coco_ctx *cx, const coco_source *src, coco_value key); /* reports an unreadable item */
typedef struct coco__mount_call {
    const coco_fn *fn;
    coco_args args;
    coco_mount_kind kind;
    coco_value *value;    /* use_mount */
    coco_handle *handle;
    coco__node *up;       /* node the child stands under */
    coco_str segment;
    const coco_str *payload; /* of its record, where it was read ahead; NULL: look it up */
} coco__mount_call;
/* Makes and runs a child; makes room for it first. An error means that there was no mount. */
COCO__IN coco_status coco__mount_child(coco_ctx *cx, coco__comp *c, const coco__mount_call *m);
COCO__IN coco_status coco__make_room(coco_ctx *cx);
COCO__IN coco_status coco__each_node(coco_ctx *cx, coco_path path, const coco_fn *fn, coco__buf *segment,
                                     coco__node **node);
COCO__IN coco_status coco__gone_child(coco__comp *c, coco__node *node, coco_str segment);
COCO__IN coco__comp *coco__comp_new(coco__run *run);
COCO__IN void coco__comp_free(coco__comp *comp);
COCO__IN uint64_t coco__node_id(coco__node *node);
COCO__IN void coco__comp_path(const coco__comp *comp, coco__buf *path); /* encoded */
COCO__IN coco_status coco__node_persist(coco__run *run, const coco__txn *t, coco__node *node);
COCO__IN void coco__place_of(const coco__node *node, coco__place *at);
COCO__IN coco_status coco__comp_load(coco__comp *comp, coco_str payload); /* decodes a copy into rec */
COCO__IN coco_status coco__run_root(coco__run *run, coco_value *value);
COCO__IN coco_status coco__oom(coco_ctx *cx);
COCO__IN bool coco__records(const coco_ctx *cx); /* something memoized stands around: dependencies matter */
/* engine's own entries */
COCO__IN coco_status coco__own(coco__comp *comp, uint64_t space, coco_str key, coco_str value, coco_str *was);
COCO__IN bool coco__recheck_due(coco__run *run, const uint8_t *fp);

/* Recorded children of a node in order, read ahead in batches and copied. */
typedef struct coco__stream {
    coco__run *run;
    uint64_t id;
    coco__buf data;   /* of the batch */
    struct coco__child { size_t segment, nsegment, payload, npayload; bool cut, bad; } *children;
    size_t n, i;
    coco__dbkey last; /* where the next batch begins behind */
    bool begun, ended;
} coco__stream;
COCO__IN void coco__stream_open(coco__stream *s, coco__run *run, uint64_t id);
/* 1, 0 at the end, error */
COCO__IN int coco__stream_next(coco__stream *s, coco_str *segment, coco_str *payload, bool *cut);
COCO__IN void coco__stream_close(coco__stream *s);

/* ==== app.c: environment, app, update, drop
 * ================================================================================ */

COCO__IN coco_status coco__fork_check(const coco_env *env, coco_err *err);

#endif /* COCO_ENGINE_H */
