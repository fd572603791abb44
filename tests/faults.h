/* faults.h - calls that fail, one after the other: of the C library, of LMDB, of a sink, of the allocator; and deaths
 * at any of those that change something.
 *
 * Include it first. A program that does stands between everything it links (the engine, connectors, LMDB, SQLite) and
 * the C library: what is defined here is found before what a shared library defines. Nothing in what is tested knows.
 *
 *     gate_arm(FAULT_SYSTEM, 17, 2);      the 17th system call fails, with the third of the errors that it may have
 *     coco_update(…);
 *     gate_open();                        nothing fails any more; gate->fired says whether it came to that
 *
 * Each call has a list of the errors that it may have. Variant v of it is error v. As many variants further the same
 * errors, as far as they may last, stay: from then on every call that may have it has it, as a full disk stays full.
 * The count is shared with child processes. */
#ifndef COCO_TEST_FAULTS_H
#define COCO_TEST_FAULTS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* RTLD_NEXT, open64 */
#endif
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

typedef enum fault_kind {
    FAULT_NONE,
    FAULT_MEMORY, /* allocations of the engine's gate */
    FAULT_STORE,  /* calls of LMDB */
    FAULT_SYSTEM, /* calls of the C library that may fail: by whomever */
    FAULT_SINK,   /* batches and actions */
    FAULT_DEATH   /* before a call that changes something outside, or in the store */
} fault_kind;

enum { GATE_TRANSIENT = 1, GATE_LASTING, GATE_AFTERWARDS, /* of sinks; the last: done, but said to have failed */
       GATE_SHORT = 10000 /* half of what was to be written */ };

static struct gate {
    _Atomic(fault_kind) kind;
    long n;                   /* the n-th call of the kind fails, … */
    atomic_long passed;       /* … of those that came */
    int variant;
    atomic_int nvariants;     /* of the call that failed */
    atomic_int code;          /* its error */
    atomic_bool fired, forever;
    const char *_Atomic call; /* its name */
    const MDB_txn *_Atomic bad; /* in which LMDB has failed: it can only be aborted */
    void (*dying)(void);
} *gate;

/* What records calls in place of failing them (power cuts); NULL: nothing. */
static void (*gate_watch)(const char *call, int fd, const struct iovec *v, int n, long long at);
/* What is told of names that came, went or changed: one in each of two directories, of which AT_FDCWD is one. */
static void (*gate_named)(const char *call, int dir, const char *name, int dir2, const char *name2);
/* What looks at the store after each commit; NULL: nothing. */
static void (*gate_committed)(MDB_env *env);

static inline void gate_find(void *out, const char *name)
{
    void *p = dlsym(RTLD_NEXT, name);

    if (!p) _exit(99);
    memcpy(out, &p, sizeof p);
}

/* Makes `real` what is called by that name without this file. */
#define GATE_REAL(type, name, params) \
    typedef type gate_fn params; \
    static gate_fn *_Atomic real; \
    if (!real) { \
        gate_fn *found; \
        gate_find(&found, #name); \
        real = found; \
    }

static inline void gate_arm(fault_kind kind, long n, int variant)
{
    if (!gate) {
        gate = mmap(NULL, sizeof *gate, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (gate == MAP_FAILED) _exit(98);
    }
    *gate = (struct gate){ .n = n, .variant = variant, .dying = gate->dying };
    gate->kind = kind; /* last: it counts from here */
}

static inline void gate_open(void) { gate->kind = FAULT_NONE; }

/* The error that a call is to have now, of those that it may have (ended by 0); 0: none. */
static inline int gate_error(fault_kind kind, const char *call, const int *errors)
{
    int n = 0, lasting = 0;
    bool may = false;

    if (!gate || gate->kind != kind) return 0;
    long passed = ++gate->passed;
    for (; errors[n]; n++) {
        may |= gate->forever && errors[n] == gate->code;
        lasting += errors[n] != EINTR && errors[n] != GATE_SHORT; /* they stand behind those that may last */
    }
    if (passed != gate->n) return may ? gate->code : 0;
    gate->fired = true;
    gate->call = call;
    gate->nvariants = n + lasting;
    gate->code = errors[gate->variant % n];
    /* where threads or processes share the count another call may come than in the try before */
    gate->forever = gate->variant >= n && gate->code != EINTR && gate->code != GATE_SHORT;
    return gate->code;
}

/* A point at which the process may die. */
static inline void gate_die(const char *call)
{
    if (!gate || gate->kind != FAULT_DEATH) return;
    if (++gate->passed != gate->n) return;
    gate->fired = true;
    gate->call = call;
    gate->kind = FAULT_NONE;
    if (gate->dying) gate->dying();
    syscall(SYS_exit_group, 7); /* past all that looks back at what was done until then */
}

/* ---- The C library ----------------------------------------------------------------------------------------------- */

/* A call that fails with `bad` and errno; before it the process may die if it changes something. */
#define GATE_CALL(type, bad, name, params, args, dies, ...) \
    type name params \
    { \
        static const int errors[] = { __VA_ARGS__, 0 }; \
        int e; \
        GATE_REAL(type, name, params) \
        if (dies) gate_die(#name); \
        if ((e = gate_error(FAULT_SYSTEM, #name, errors)) == 0) return real args; \
        errno = e; \
        return bad; \
    }

/* The same of a call that changes names. */
#define GATE_NAMES(name, params, args, names, ...) \
    int name params \
    { \
        static const int errors[] = { __VA_ARGS__, 0 }; \
        int e; \
        GATE_REAL(int, name, params) \
        gate_die(#name); \
        if ((e = gate_error(FAULT_SYSTEM, #name, errors)) != 0) return errno = e, -1; \
        e = real args; \
        if (e == 0 && gate_named) gate_named names; \
        return e; \
    }

GATE_NAMES(mkdir, (const char *p, mode_t m), (p, m), ("mkdir", AT_FDCWD, p, 0, NULL), ENOSPC, EACCES)
GATE_NAMES(mkdirat, (int d, const char *p, mode_t m), (d, p, m), ("mkdir", d, p, 0, NULL), ENOSPC, EACCES)
GATE_NAMES(rmdir, (const char *p), (p), ("unlink", AT_FDCWD, p, 0, NULL), EIO)
GATE_NAMES(unlink, (const char *p), (p), ("unlink", AT_FDCWD, p, 0, NULL), EIO)
GATE_NAMES(unlinkat, (int d, const char *p, int f), (d, p, f), ("unlink", d, p, 0, NULL), EIO, EACCES)
GATE_NAMES(rename, (const char *a, const char *b), (a, b), ("rename", AT_FDCWD, a, AT_FDCWD, b), ENOSPC, EIO)
GATE_NAMES(renameat, (int d, const char *a, int e2, const char *b), (d, a, e2, b), ("rename", d, a, e2, b), ENOSPC, EIO)
GATE_CALL(int, -1, link, (const char *a, const char *b), (a, b), true, ENOSPC)
GATE_CALL(int, -1, fchmod, (int fd, mode_t m), (fd, m), true, EIO)
GATE_CALL(int, -1, fchmodat, (int d, const char *p, mode_t m, int f), (d, p, m, f), true, EIO)
GATE_CALL(int, -1, access, (const char *p, int m), (p, m), false, EACCES)
GATE_CALL(int, -1, faccessat, (int d, const char *p, int m, int f), (d, p, m, f), false, EACCES)
GATE_CALL(int, -1, stat, (const char *p, struct stat *s), (p, s), false, EIO, ENOMEM)
GATE_CALL(int, -1, lstat, (const char *p, struct stat *s), (p, s), false, EIO)
GATE_CALL(int, -1, fstat, (int fd, struct stat *s), (fd, s), false, EIO)
GATE_CALL(int, -1, fstatat, (int d, const char *p, struct stat *s, int f), (d, p, s, f), false, EIO)
GATE_CALL(int, -1, statfs, (const char *p, struct statfs *s), (p, s), false, EIO)
GATE_CALL(DIR *, NULL, opendir, (const char *p), (p), false, EMFILE, EACCES)
GATE_CALL(DIR *, NULL, fdopendir, (int fd), (fd), false, ENOMEM)
GATE_CALL(struct dirent *, NULL, readdir, (DIR *d), (d), false, EIO)
GATE_CALL(ssize_t, -1, read, (int fd, void *b, size_t n), (fd, b, n), false, EIO, EINTR)
GATE_CALL(ssize_t, -1, pread, (int fd, void *b, size_t n, off_t at), (fd, b, n, at), false, EIO)
GATE_CALL(ssize_t, -1, pread64, (int fd, void *b, size_t n, off64_t at), (fd, b, n, at), false, EIO)
GATE_CALL(int, -1, ftruncate, (int fd, off_t n), (fd, n), true, ENOSPC, EIO)
GATE_CALL(int, -1, ftruncate64, (int fd, off64_t n), (fd, n), true, ENOSPC, EIO)
GATE_CALL(int, -1, mkstemp, (char *p), (p), true, EMFILE, ENOSPC)
GATE_CALL(char *, NULL, realpath, (const char *p, char *out), (p, out), false, EACCES)
GATE_CALL(int, -1, pipe, (int ends[2]), (ends), false, EMFILE)
GATE_CALL(pid_t, -1, fork, (void), (), false, EAGAIN)

static const int gate_open_errors[] = { EMFILE, ENOSPC, EACCES, EINTR, 0 };

#define GATE_OPEN(name, params, args, dir, path, flags) \
    int name params \
    { \
        va_list ap; \
        mode_t mode = 0; \
        int e; \
        GATE_REAL(int, name, params) \
        va_start(ap, flags); \
        if (flags & (O_CREAT | __O_TMPFILE)) mode = (mode_t)va_arg(ap, int); \
        va_end(ap); \
        if (flags & O_CREAT) gate_die(#name); \
        if ((e = gate_error(FAULT_SYSTEM, #name, gate_open_errors)) != 0) return errno = e, -1; \
        e = real args; \
        if (e >= 0 && flags & O_CREAT && gate_named) gate_named("create", dir, path, 0, NULL); \
        return e; \
    }
GATE_OPEN(open, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD, path, flags)
GATE_OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD, path, flags)
GATE_OPEN(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode), dir, path, flags)

/* Writes, which may come to half of it. */
static inline ssize_t gate_write(const char *call, size_t *n)
{
    static const int errors[] = { ENOSPC, EIO, EINTR, GATE_SHORT, 0 };
    int e;

    gate_die(call);
    e = gate_error(FAULT_SYSTEM, call, errors);
    if (e == GATE_SHORT && *n > 1) *n /= 2;
    else if (e && e != GATE_SHORT) return errno = e, -1;
    return 0;
}

ssize_t write(int fd, const void *b, size_t n)
{
    const struct iovec v = { (void *)(uintptr_t)b, n };
    GATE_REAL(ssize_t, write, (int, const void *, size_t))

    if (gate_write("write", &n) < 0) return -1;
    if (gate_watch) gate_watch("write", fd, &v, 1, -1);
    return real(fd, b, n);
}

#define GATE_PWRITE(name, offset) \
    ssize_t name(int fd, const void *b, size_t n, offset at) \
    { \
        const struct iovec v = { (void *)(uintptr_t)b, n }; \
        GATE_REAL(ssize_t, name, (int, const void *, size_t, offset)) \
        if (gate_write(#name, &n) < 0) return -1; \
        if (gate_watch) gate_watch(#name, fd, &v, 1, at); \
        return real(fd, b, n, at); \
    }
GATE_PWRITE(pwrite, off_t)
GATE_PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *v, int count)
{
    size_t n = (size_t)count;

    GATE_REAL(ssize_t, writev, (int, const struct iovec *, int))
    if (gate_write("writev", &n) < 0) return -1;
    if (gate_watch) gate_watch("writev", fd, v, count, -1);
    return real(fd, v, (int)n);
}

#define GATE_SYNC(name, ...) \
    int name(int fd) \
    { \
        static const int errors[] = { __VA_ARGS__, 0 }; \
        int e; \
        GATE_REAL(int, name, (int)) \
        gate_die(#name); \
        if ((e = gate_error(FAULT_SYSTEM, #name, errors)) != 0) return errno = e, -1; \
        if (gate_watch) gate_watch(#name, fd, NULL, 0, 0); \
        return real(fd); \
    }
GATE_SYNC(fdatasync, EIO, ENOSPC)
GATE_SYNC(fsync, EIO, EINTR)

/* ---- LMDB -------------------------------------------------------------------------------------------------------- */

/* Of a call in a transaction (or NULL). After most errors LMDB takes nothing more of that transaction. */
static inline int gate_store(const char *call, const MDB_txn *txn, const int *errors)
{
    int e;

    if (!gate || gate->kind != FAULT_STORE) return 0;
    if (txn && txn == gate->bad) return MDB_BAD_TXN;
    e = gate_error(FAULT_STORE, call, errors);
    if (e && strcmp(call, "mdb_cursor_open") != 0) gate->bad = txn;
    return e;
}

#define GATE_STORE(name, params, args, txn, ...) \
    int name params \
    { \
        static const int errors[] = { __VA_ARGS__, 0 }; \
        int e; \
        GATE_REAL(int, name, params) \
        return (e = gate_store(#name, txn, errors)) != 0 ? e : real args; \
    }

GATE_STORE(mdb_env_create, (MDB_env **e2), (e2), NULL, ENOMEM)
GATE_STORE(mdb_env_open, (MDB_env *n, const char *p, unsigned f, mdb_mode_t m), (n, p, f, m), NULL, ENOMEM, EIO, EACCES,
           EAGAIN, ENOSPC, MDB_INVALID)
GATE_STORE(mdb_env_set_mapsize, (MDB_env *n, size_t s), (n, s), NULL, ENOMEM, EINVAL)
GATE_STORE(mdb_env_info, (MDB_env *n, MDB_envinfo *i), (n, i), NULL, EINVAL)
GATE_STORE(mdb_env_sync, (MDB_env *n, int force), (n, force), NULL, EIO)
GATE_STORE(mdb_env_copyfd2, (MDB_env *n, mdb_filehandle_t fd, unsigned f), (n, fd, f), NULL, ENOSPC, EIO, MDB_CORRUPTED)
GATE_STORE(mdb_txn_renew, (MDB_txn *t), (t), NULL, MDB_MAP_RESIZED, MDB_PANIC)
GATE_STORE(mdb_dbi_open, (MDB_txn *t, const char *n, unsigned f, MDB_dbi *d), (t, n, f, d), t, MDB_DBS_FULL, ENOMEM)
GATE_STORE(mdb_stat, (MDB_txn *t, MDB_dbi d, MDB_stat *s), (t, d, s), t, EINVAL)
GATE_STORE(mdb_drop, (MDB_txn *t, MDB_dbi d, int del), (t, d, del), t, ENOMEM, MDB_MAP_FULL)
GATE_STORE(mdb_get, (MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v), (t, d, k, v), t, MDB_CORRUPTED, MDB_PAGE_NOTFOUND)
GATE_STORE(mdb_put, (MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v, unsigned f), (t, d, k, v, f), t, MDB_MAP_FULL,
           MDB_TXN_FULL, ENOMEM)
GATE_STORE(mdb_del, (MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v), (t, d, k, v), t, MDB_MAP_FULL, MDB_TXN_FULL, EIO)
GATE_STORE(mdb_cursor_open, (MDB_txn *t, MDB_dbi d, MDB_cursor **c), (t, d, c), t, ENOMEM)
GATE_STORE(mdb_cursor_get, (MDB_cursor *c, MDB_val *k, MDB_val *v, MDB_cursor_op op), (c, k, v, op),
           mdb_cursor_txn(c), MDB_CORRUPTED, MDB_PAGE_NOTFOUND)
GATE_STORE(mdb_cursor_del, (MDB_cursor *c, unsigned f), (c, f), mdb_cursor_txn(c), MDB_MAP_FULL, ENOMEM)

int mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **out)
{
    static const int reading[] = { MDB_READERS_FULL, MDB_MAP_RESIZED, ENOMEM, 0 };
    static const int writing[] = { MDB_MAP_RESIZED, ENOMEM, MDB_PANIC, 0 };
    int e;

    GATE_REAL(int, mdb_txn_begin, (MDB_env *, MDB_txn *, unsigned, MDB_txn **))
    e = gate_store("mdb_txn_begin", NULL, flags & MDB_RDONLY ? reading : writing);
    if (!e && gate) gate->bad = NULL;
    return e ? e : real(env, parent, flags, out);
}

/* One that fails has ended the transaction all the same. The process may die before and after it. */
int mdb_txn_commit(MDB_txn *txn)
{
    static const int errors[] = { ENOSPC, EIO, ENOMEM, MDB_MAP_FULL, 0 };
    MDB_env *env = mdb_txn_env(txn);
    int rc;

    GATE_REAL(int, mdb_txn_commit, (MDB_txn *))
    gate_die("mdb_txn_commit");
    if ((rc = gate_store("mdb_txn_commit", txn, errors)) != 0) return mdb_txn_abort(txn), rc;
    rc = real(txn);
    if (rc == 0 && gate_committed) gate_committed(env);
    gate_die("mdb_txn_commit");
    return rc;
}

#endif /* COCO_TEST_FAULTS_H */
