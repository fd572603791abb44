/* lmdb_trace - a library to preload: writes down which puts, deletes and commits a program asks of LMDB, for bare_lmdb
 * to do again without the program.
 *
 *     LMDB_TRACE=FILE LD_PRELOAD=lmdb_trace.so PROGRAM …
 *
 * A record: the operation ('p', 'd', 'c', or 'C' of a commit that needn't sync the meta page), a byte, the key's length
 * in two, the value's in four, the key. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct lmdb_trace_record {
    char op, pad;
    uint16_t key;
    uint32_t value;
};

static FILE *out;
static int lazy;   /* MDB_NOMETASYNC is set */
static int inside; /* a call of LMDB, which may come to one of these functions itself */

/* LMDB's own function; opens the trace at the first call. */
static void *real(const char *name)
{
    const char *file = getenv("LMDB_TRACE");

    if (!out && !(out = fopen(file ? file : "/dev/null", "w"))) abort();
    return dlsym(RTLD_NEXT, name);
}

static void note(char op, const MDB_val *key, const MDB_val *value)
{
    struct lmdb_trace_record r = { op, 0, key ? (uint16_t)key->mv_size : 0, value ? (uint32_t)value->mv_size : 0 };

    fwrite(&r, sizeof r, 1, out);
    if (key) fwrite(key->mv_data, 1, key->mv_size, out);
}

int mdb_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned flags)
{
    static int (*put)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *, unsigned);

    if (!put) *(void **)&put = real("mdb_put");
    note('p', key, data);
    inside++;
    int rc = put(txn, dbi, key, data, flags);
    inside--;
    return rc;
}

int mdb_cursor_put(MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned flags)
{
    static int (*put)(MDB_cursor *, MDB_val *, MDB_val *, unsigned);

    if (!put) *(void **)&put = real("mdb_cursor_put");
    if (!inside) note('p', key, data);
    return put(cursor, key, data, flags);
}

int mdb_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data)
{
    static int (*del)(MDB_txn *, MDB_dbi, MDB_val *, MDB_val *);

    if (!del) *(void **)&del = real("mdb_del");
    note('d', key, NULL);
    return del(txn, dbi, key, data);
}

int mdb_txn_commit(MDB_txn *txn)
{
    static int (*commit)(MDB_txn *);

    if (!commit) *(void **)&commit = real("mdb_txn_commit");
    note(lazy ? 'C' : 'c', NULL, NULL);
    inside++;
    int rc = commit(txn);
    inside--;
    return rc;
}

int mdb_env_set_flags(MDB_env *env, unsigned flags, int on)
{
    static int (*set)(MDB_env *, unsigned, int);

    if (!set) *(void **)&set = real("mdb_env_set_flags");
    if (flags & MDB_NOMETASYNC) lazy = on;
    return set(env, flags, on);
}
