/* raw.h - records of an app's database, read and written behind the library's back: what no update leaves. */
#ifndef COCO_TEST_RAW_H
#define COCO_TEST_RAW_H

#include "harness.h"

#include "../engine/engine.h"

#include <lmdb.h>

static MDB_env *raw;
static MDB_txn *txn;
static MDB_dbi dbi;

static inline void raw_begin(void)
{
    restart();
    assert_int_equal(mdb_env_create(&raw), 0);
    mdb_env_set_maxdbs(raw, 4);
    mdb_env_set_mapsize(raw, (size_t)1 << 30);
    assert_int_equal(mdb_env_open(raw, w.dir, MDB_NOSYNC, 0666), 0);
    assert_int_equal(mdb_txn_begin(raw, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "app:test", 0, &dbi), 0);
}

static inline void raw_end(void)
{
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(raw);
}

/* A record under a right checksum: it can be read. */
static inline void raw_put(const void *key, size_t n, const void *payload, size_t length)
{
    coco__txn t = { .env = w.env, .mdb = txn, .dbi = dbi };
    coco__dbkey k;

    memcpy(k.b, key, k.n = n);
    assert_int_equal(coco__put(&t, &k, payload, length), COCO_OK);
}

/* All records of a kind (0: of every), copied: keys, payloads without their checksums. */
typedef struct raw_record {
    size_t nkey, n;
    uint8_t key[600], payload[8000];
} raw_record;

static inline size_t raw_read(char kind, raw_record *out, size_t max)
{
    MDB_cursor *cur;
    MDB_val k, v;
    size_t n = 0;

    assert_int_equal(mdb_cursor_open(txn, dbi, &cur), 0);
    while (mdb_cursor_get(cur, &k, &v, MDB_NEXT) == 0) {
        if (kind && *(char *)k.mv_data != kind) continue;
        raw_record *r = &out[n++];
        assert_true(n <= max && k.mv_size <= sizeof r->key && v.mv_size >= 4 && v.mv_size - 4 <= sizeof r->payload);
        memcpy(r->key, k.mv_data, r->nkey = k.mv_size);
        memcpy(r->payload, (char *)v.mv_data + 4, r->n = v.mv_size - 4);
    }
    mdb_cursor_close(cur);
    return n;
}

#endif /* COCO_TEST_RAW_H */
