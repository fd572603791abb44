/* bare_lmdb - floors of what the engine asks of LMDB.
 *
 *     bare_lmdb replay DIR TRACE             the puts, deletes and commits that lmdb_trace.so has written down
 *     bare_lmdb get DIR ENTRIES ROUNDS BYTES each entry read and copied, ROUNDS times, by keys of 16 random bytes; a
 *                                            new DIR is filled first
 *     bare_lmdb commits DIR N                durable commits of one small put */
#define _DEFAULT_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static MDB_env *env;
static MDB_txn *txn;
static MDB_dbi dbi;

static void check(int rc, const char *what)
{
    if (rc == 0) return;
    fprintf(stderr, "bare_lmdb: %s: %s\n", what, mdb_strerror(rc));
    exit(1);
}

static void begin(unsigned flags) { check(mdb_txn_begin(env, NULL, flags, &txn), "begin"); }

static void commit(bool lazy)
{
    check(mdb_env_set_flags(env, MDB_NOMETASYNC, lazy), "flags");
    check(mdb_txn_commit(txn), "commit");
}

/* Opens the environment as the engine does; whether it was there. */
static bool open_env(const char *dir)
{
    bool there = mkdir(dir, 0777) != 0;

    check(mdb_env_create(&env), "create");
    check(mdb_env_set_mapsize(env, (size_t)16 << 30), "size");
    check(mdb_env_set_maxdbs(env, 4), "databases");
    check(mdb_env_open(env, dir, MDB_NOTLS, 0666), dir);
    begin(0);
    check(mdb_dbi_open(txn, "a", MDB_CREATE, &dbi), "database");
    commit(false);
    return there;
}

static void put(const void *key, size_t nkey, const void *value, size_t n)
{
    MDB_val k = { nkey, (void *)(uintptr_t)key }, v = { n, NULL };

    check(mdb_put(txn, dbi, &k, &v, MDB_RESERVE), "put");
    if (value) memcpy(v.mv_data, value, n);
    else memset(v.mv_data, 7, n);
}

/* ---- Replay ------------------------------------------------------------------------------------------------------ */

/* As lmdb_trace writes them. */
struct record {
    char op, pad;
    uint16_t key;
    uint32_t value;
};

static void step(const struct record *r, const void *key)
{
    MDB_val k = { r->key, (void *)(uintptr_t)key };
    int rc;

    switch (r->op) {
    case 'p': put(key, r->key, NULL, r->value); break;
    case 'd':
        rc = mdb_del(txn, dbi, &k, NULL);
        check(rc == MDB_NOTFOUND ? 0 : rc, "del");
        break;
    default:
        commit(r->op == 'C');
        begin(0);
    }
}

static void replay(const char *trace)
{
    int fd = open(trace, O_RDONLY);
    struct stat st;
    struct record r;
    const char *p, *end;

    bench_check(fd < 0 || fstat(fd, &st) != 0, trace);
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    bench_check(p == MAP_FAILED, trace);
    begin(0);
    for (end = p + st.st_size; p < end; p += sizeof r + r.key) {
        memcpy(&r, p, sizeof r);
        step(&r, p + sizeof r);
    }
    commit(false);
}

/* ---- Reads and commits ------------------------------------------------------------------------------------------- */

static void key_of(int64_t i, uint8_t key[16]) { coco_fingerprint_bytes(&i, sizeof i, key); }

static void fill(int64_t entries, size_t bytes)
{
    uint8_t key[16];

    begin(0);
    for (int64_t i = 0; i < entries; i++) {
        key_of(i, key);
        put(key, sizeof key, NULL, bytes);
    }
    commit(false);
}

/* One transaction as long as the engine's reader lives; the keys are made before, so that reading alone is measured. */
static void get(int64_t entries, int64_t rounds, size_t bytes)
{
    uint8_t(*keys)[16] = malloc((size_t)entries * 16);
    char *copy = malloc(bytes + 1);
    MDB_val k, v;

    bench_check(!keys || !copy, "malloc");
    for (int64_t i = 0; i < entries; i++) key_of(i, keys[i]);
    begin(MDB_RDONLY);
    for (int64_t i = 0; i < entries * rounds; i++) {
        k = (MDB_val){ 16, keys[i % entries] };
        check(mdb_get(txn, dbi, &k, &v), "get");
        memcpy(copy, v.mv_data, v.mv_size);
    }
    mdb_txn_abort(txn);
    free(keys), free(copy);
}

static void commits(int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        begin(0);
        put(&i, sizeof i, &i, sizeof i);
        commit(false);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 3 ? argv[1] : "";
    bool there;

    if (argc < 4) return fprintf(stderr, "usage: bare_lmdb replay DIR TRACE | get DIR ENTRIES … | commits DIR N\n"), 2;
    there = open_env(argv[2]);
    if (strcmp(what, "replay") == 0) {
        replay(argv[3]);
    } else if (strcmp(what, "commits") == 0) {
        commits(bench_word(argc, argv, 3, 100));
    } else {
        size_t bytes = (size_t)bench_word(argc, argv, 5, 40);
        if (!there) fill(bench_word(argc, argv, 3, 0), bytes);
        get(bench_word(argc, argv, 3, 0), bench_word(argc, argv, 4, 1), bytes);
    }
    mdb_env_close(env);
    return 0;
}
