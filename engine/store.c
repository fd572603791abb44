/* store.c - the state database: transactions, keys, and the records' codecs.
 *
 * Floor: above base, fingerprint, value, key and open; below everything that knows what a component is. Invariants:
 *   - Every value starts with four bytes of checksum over key and payload (LMDB has none): a damaged record is an
 *     error that names it, never a wrong answer.
 *   - No transaction is open while user code runs, except that a handler's pure reconcile may run in a write
 *     transaction. */
#include "engine.h"

/* ---- Keys ---- */

COCO__IN size_t coco__cut(uint8_t out[COCO__CUT_LENGTH], const void *key, size_t n)
{
    if (n <= COCO__CUT) {
        if (n) memcpy(out, key, n);
        return n;
    }
    memcpy(out, key, COCO__CUT);
    coco_fingerprint_bytes(key, n, out + COCO__CUT);
    return COCO__CUT_LENGTH;
}

COCO__IN void coco__dbkey_raw(coco__dbkey *k, enum coco__kind kind, const void *suffix, size_t n)
{
    assert(n + 1 <= COCO__KEY_MAX);
    k->b[0] = (uint8_t)kind;
    if (n) memcpy(k->b + 1, suffix, n);
    k->n = 1 + n;
}

COCO__IN void coco__dbkey_id(coco__dbkey *k, enum coco__kind kind, uint64_t id, const void *suffix, size_t n)
{
    assert(n + 9 <= COCO__KEY_MAX);
    k->b[0] = (uint8_t)kind;
    coco__put_be64(k->b + 1, id);
    if (n) memcpy(k->b + 9, suffix, n);
    k->n = 9 + n;
}

COCO__IN void coco__place_key(coco__dbkey *k, enum coco__kind kind, const coco__place *at)
{
    coco__dbkey_id(k, kind, at->parent, NULL, 0);
    k->n += coco__cut(k->b + k->n, at->segment.p, at->segment.n);
}

/* ---- Reading and writing records ---- */

static coco_status coco__bad_record(coco_err *err, const char *what)
{
    return coco_err_set(err, COCO_ECORRUPT, "state database: malformed %s", what);
}

static void coco__describe_key(const MDB_val *key, char *out, size_t n)
{
    const uint8_t *b = key->mv_data;
    size_t used = (size_t)snprintf(out, n, "%c ", key->mv_size ? b[0] : '?');

    for (size_t i = 1; i < key->mv_size && used + 3 < n; i++)
        used += (size_t)snprintf(out + used, n - used, b[i] >= ' ' && b[i] < 127 ? "%c" : "%02x", b[i]);
}

static uint32_t coco__checksum(const MDB_val *key, const void *payload, size_t n)
{
    return coco__hash32(payload, n, coco__hash32(key->mv_data, key->mv_size, 0x636f636f));
}

COCO__IN coco_status coco__check_payload(const coco__txn *t, const MDB_val *key, const MDB_val *data, coco_str *payload)
{
    coco__reader r = coco__reader_of(data->mv_data, data->mv_size);
    uint32_t sum = coco__read_be32(&r);
    char name[200];

    if (!r.bad && sum == coco__checksum(key, r.p, coco__left(&r))) {
        *payload = (coco_str){ (const char *)r.p, coco__left(&r) };
        return COCO_OK;
    }
    coco__describe_key(key, name, sizeof name);
    return coco_err_set(t->err, COCO_ECORRUPT, "state database %s: record %s is damaged", t->env->dir, name);
}

/* Components' records, owners and tombstones are mostly used in order: from a cursor that stands near, LMDB finds their
 * places without a search. NULL: there is none for the key. */
static MDB_cursor *coco__near(const coco__txn *t, const coco__dbkey *k)
{
    coco__txn *txn = (coco__txn *)(uintptr_t)t;
    MDB_cursor **cur = k->b[0] == COCO__COMPONENT   ? &txn->records
                       : k->b[0] == COCO__OWNER     ? &txn->owners
                       : k->b[0] == COCO__TOMBSTONE ? &txn->tombs
                                                    : NULL;

    if (!cur || !t->writes) return NULL;
    if (!*cur) (void)mdb_cursor_open(t->mdb, t->dbi, cur); /* without memory it stays NULL */
    return *cur;
}

COCO__IN coco_status coco__get(const coco__txn *t, const coco__dbkey *k, coco_str *payload)
{
    MDB_val key = { k->n, (void *)(uintptr_t)k->b }, data;
    MDB_cursor *near = coco__near(t, k);
    int rc = near ? mdb_cursor_get(near, &key, &data, MDB_SET) : mdb_get(t->mdb, t->dbi, &key, &data);

    if (rc == MDB_NOTFOUND) return COCO_ENOTFOUND;
    if (rc) return coco__mdb_error(t->err, rc, t->env, "read");
    return coco__check_payload(t, &key, &data, payload);
}

static coco_status coco__done_with(const coco__txn *t, int rc, const char *what)
{
    if (rc == 0) return COCO_OK;
    if (rc == MDB_MAP_FULL) ((coco__txn *)(uintptr_t)t)->full = true;
    return coco__mdb_error(t->err, rc, t->env, what);
}

/* The same, where finding nothing is no failure. */
static coco_status coco__ended(const coco__txn *t, int rc, const char *what)
{
    return coco__done_with(t, rc == MDB_NOTFOUND ? 0 : rc, what);
}

COCO__IN coco_status coco__put(const coco__txn *t, const coco__dbkey *k, const void *payload, size_t n)
{
    MDB_cursor *near = coco__near(t, k);
    MDB_val key = { k->n, (void *)(uintptr_t)k->b }, data = { n + 4, NULL };
    uint32_t sum = coco__checksum(&key, payload, n);
    int rc = k->b[0] == COCO__RESULT ? mdb_put(t->mdb, t->dbi, &key, &data, MDB_RESERVE | MDB_APPEND) : MDB_KEYEXIST;

    if (rc == MDB_KEYEXIST)
        rc = near ? mdb_cursor_put(near, &key, &data, MDB_RESERVE) : mdb_put(t->mdb, t->dbi, &key, &data, MDB_RESERVE);
    COCO_TRY(coco__done_with(t, rc, "write"));
    uint8_t *out = data.mv_data;
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(sum >> (24 - 8 * i));
    if (n) memcpy(out + 4, payload, n);
    return COCO_OK;
}

COCO__IN coco_status coco__put_buf(const coco__txn *t, const coco__dbkey *k, const coco__buf *b)
{
    return b->failed ? COCO_ENOMEM : coco__put(t, k, b->p, b->n);
}

COCO__IN coco_status coco__put_number(const coco__txn *t, const coco__dbkey *k, uint64_t n)
{
    uint8_t varint[10];

    return n ? coco__put(t, k, varint, coco__varint(varint, n)) : coco__del(t, k);
}

COCO__IN coco_status coco__get_id(const coco__txn *t, enum coco__kind kind, uint64_t id, coco_str *payload)
{
    coco__dbkey k;

    coco__dbkey_id(&k, kind, id, NULL, 0);
    return coco__get(t, &k, payload);
}

COCO__IN coco_status coco__get_number(const coco__txn *t, const coco__dbkey *k, uint64_t *n)
{
    coco_str p = { NULL, 0 };
    coco_status rc = coco__get(t, k, &p);
    coco__reader r = coco__reader_of(p.p, p.n);

    *n = rc == COCO_OK ? coco__read_varint(&r) : 0;
    return rc == COCO_ENOTFOUND ? COCO_OK : rc == COCO_OK && r.bad ? COCO_ECORRUPT : rc;
}

COCO__IN coco_status coco__del(const coco__txn *t, const coco__dbkey *k)
{
    MDB_val key = { k->n, (void *)(uintptr_t)k->b }, data;
    MDB_cursor *near = coco__near(t, k);
    int rc = near ? mdb_cursor_get(near, &key, &data, MDB_SET) : mdb_del(t->mdb, t->dbi, &key, NULL);

    if (near && rc == 0) rc = mdb_cursor_del(near, 0);
    return coco__ended(t, rc, "delete");
}

COCO__IN void coco__scan_open(coco__scan *s, const coco__txn *t, const coco__dbkey *from, size_t nshared)
{
    *s = (coco__scan){ .t = t, .key = { from->n, (void *)(uintptr_t)from->b }, .from = from, .nshared = nshared };
    s->rc = mdb_cursor_open(t->mdb, t->dbi, &s->cur);
}

static bool coco__scan_go(coco__scan *s, MDB_cursor_op op)
{
    s->begun = true;
    if (s->rc == 0) s->rc = mdb_cursor_get(s->cur, &s->key, &s->data, op);
    return s->rc == 0 && s->key.mv_size >= s->nshared && memcmp(s->key.mv_data, s->from->b, s->nshared) == 0;
}

COCO__IN bool coco__scan_next(coco__scan *s)
{
    return coco__scan_go(s, s->begun ? MDB_NEXT : s->key.mv_size ? MDB_SET_RANGE : MDB_FIRST);
}

COCO__IN bool coco__scan_back(coco__scan *s)
{
    bool there = coco__scan_go(s, MDB_SET_RANGE), none = s->rc == MDB_NOTFOUND;

    if (there && s->key.mv_size == s->from->n && memcmp(s->key.mv_data, s->from->b, s->from->n) == 0) return true;
    if (none) s->rc = 0;
    return coco__scan_go(s, none ? MDB_LAST : MDB_PREV);
}

COCO__IN coco_status coco__scan_close(coco__scan *s, coco_status rc)
{
    if (s->cur) mdb_cursor_close(s->cur);
    if (rc != COCO_OK && rc != COCO_ENOTFOUND) return rc;
    coco_status ended = coco__ended(s->t, s->rc, "read");
    return ended == COCO_OK ? rc : ended;
}

COCO__IN coco_status coco__first(const coco__txn *t, const coco__dbkey *prefix, coco__dbkey *found)
{
    MDB_cursor *near = coco__near(t, prefix); /* behind what was deleted last there is mostly another one */
    coco__scan s;
    bool there;

    assert(!near || !found);
    if (near && mdb_cursor_get(near, &s.key, &s.data, MDB_GET_CURRENT) == 0 && s.key.mv_size >= prefix->n &&
        memcmp(s.key.mv_data, prefix->b, prefix->n) == 0)
        return COCO_OK;
    coco__scan_open(&s, t, prefix, prefix->n);
    there = coco__scan_next(&s);
    if (there && found) memcpy(found->b, s.key.mv_data, found->n = s.key.mv_size);
    return coco__scan_close(&s, there ? COCO_OK : COCO_ENOTFOUND);
}

COCO__IN coco_status coco__del_range(const coco__txn *t, const coco__dbkey *prefix, uint64_t *n)
{
    coco__scan s;

    coco__scan_open(&s, t, prefix, prefix->n);
    while (coco__scan_next(&s) && (s.rc = mdb_cursor_del(s.cur, 0)) == 0)
        if (n) ++*n;
    return coco__scan_close(&s, coco__ended(t, s.rc, "delete"));
}

COCO__IN coco_status coco__del_id(const coco__txn *t, enum coco__kind kind, uint64_t id)
{
    coco__dbkey k;

    coco__dbkey_id(&k, kind, id, NULL, 0);
    return coco__del_range(t, &k, NULL);
}

/* ---- Results ---- */

/* Under a memo's fingerprint results would come in no order, and what is as large as a vector would leave half of
 * LMDB's pages empty. In the order of their making pieces fill them; what fills pages of its own is one piece. */
COCO__IN coco_status coco__result_put(const coco__txn *t, coco_str bytes, uint64_t *number)
{
    size_t most = bytes.n > 64 * (size_t)COCO__PIECE ? bytes.n : COCO__PIECE, at = 0;
    coco__dbkey k;
    coco__scan s;

    coco__dbkey_id(&k, COCO__RESULT, UINT64_MAX, NULL, 0);
    coco__scan_open(&s, t, &k, 1);
    *number = coco__scan_back(&s) && s.key.mv_size == 10 ? coco__get_be64((uint8_t *)s.key.mv_data + 1) + 1 : 1;
    COCO_TRY(coco__scan_close(&s, COCO_OK));
    for (uint8_t i = 0; at < bytes.n; i++, at += most) {
        coco__dbkey_id(&k, COCO__RESULT, *number, &i, 1);
        COCO_TRY(coco__put(t, &k, bytes.p + at, bytes.n - at < most ? bytes.n - at : most));
    }
    return COCO_OK;
}

COCO__IN coco_status coco__result_get(const coco__txn *t, uint64_t number, char *out, size_t n)
{
    coco_status rc = COCO_OK;
    coco__dbkey k;
    coco__scan s;
    coco_str piece;

    coco__dbkey_id(&k, COCO__RESULT, number, NULL, 0);
    coco__scan_open(&s, t, &k, k.n);
    while (rc == COCO_OK && n && coco__scan_next(&s)) {
        rc = coco__check_payload(t, &s.key, &s.data, &piece);
        if (rc != COCO_OK || piece.n > n) break;
        memcpy(out, piece.p, piece.n);
        out += piece.n, n -= piece.n;
    }
    rc = coco__scan_close(&s, rc);
    return rc == COCO_OK && n ? coco__bad_record(t->err, "result of a function memo") : rc;
}

/* ---- Transactions ---- */

COCO__IN coco_status coco__write(coco_app *app, const coco__writer *w, coco_err *err)
{
    COCO_TRY(coco__store_app(app, true, err));
    for (;;) {
        coco__txn t = { .dbi = app->dbi, .env = app->env, .err = err, .writes = true };
        COCO_TRY(coco__txn_begin(app->env, 0, &t.mdb, "write", err));
        mdb_env_set_flags(app->env->mdb, MDB_NOMETASYNC, !w->durable);
        coco_status rc = w->body(w->self, &t);
        if (rc == COCO_OK) rc = coco__done_with(&t, mdb_txn_commit(t.mdb), "commit");
        else mdb_txn_abort(t.mdb);
        if (rc == COCO_OK) return rc;
        if (w->undo) w->undo(w->self);
        if (!t.full) return rc;
        COCO_TRY(coco__resize(app->env, true, err));
    }
}

COCO__IN coco_status coco__read_begin(coco_app *app, MDB_txn **cached, coco__txn *t, coco_err *err)
{
    coco_env *env = app->env;
    int rc = 0;

    *t = (coco__txn){ .dbi = app->dbi, .env = env, .err = err };
    for (int tries = 0; tries < 3; tries++) {
        pthread_rwlock_rdlock(&env->map_lock);
        rc = *cached ? mdb_txn_renew(*cached) : mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, cached);
        if (rc == 0) {
            t->mdb = *cached;
            return COCO_OK;
        }
        pthread_rwlock_unlock(&env->map_lock);
        if (*cached) mdb_txn_abort(*cached);
        *cached = NULL;
        if (rc != MDB_MAP_RESIZED) break;
        COCO_TRY(coco__resize(env, false, err));
    }
    return coco__mdb_error(err, rc, env, "read");
}

COCO__IN void coco__read_end(coco_app *app, coco__txn *t)
{
    mdb_txn_reset(t->mdb);
    t->mdb = NULL;
    pthread_rwlock_unlock(&app->env->map_lock);
}

/* ---- Codecs ---- */

COCO__IN coco_status coco__meta_get(const coco__txn *t, coco__meta *m)
{
    coco__dbkey k;
    coco_str p;
    coco_status rc;

    coco__dbkey_raw(&k, COCO__META, NULL, 0);
    *m = (coco__meta){ 1, COCO__S_FIRST_PROVIDER, 1, 1, 1, 1 };
    if ((rc = coco__get(t, &k, &p)) != COCO_OK) return rc == COCO_ENOTFOUND ? COCO_OK : rc;
    coco__reader r = coco__reader_of(p.p, p.n);
    bool wrong = false; /* none begins at 0 */
    for (uint64_t *v = &m->next_id; v <= &m->next_name; v++) wrong |= !(*v = coco__read_varint(&r));
    wrong |= m->next_provider < COCO__S_FIRST_PROVIDER || m->next_name > COCO__NAMES_MAX;
    return r.bad || wrong ? coco__bad_record(t->err, "counters") : COCO_OK;
}

COCO__IN coco_status coco__meta_put(const coco__txn *t, const coco__meta *m)
{
    uint8_t out[sizeof *m / sizeof m->next_id * 10];
    size_t n = 0;
    coco__dbkey k;

    for (const uint64_t *v = &m->next_id; v <= &m->next_name; v++) n += coco__varint(out + n, *v);
    coco__dbkey_raw(&k, COCO__META, NULL, 0);
    return coco__put(t, &k, out, n);
}

static void coco__put_str(coco__buf *b, coco_str s) { coco__buf_blob(b, s.p, s.n); }

/* Field order is the record format; inline entries end the record. */
COCO__IN void coco__rec_put(coco__buf *b, const coco__rec *r)
{
    uint64_t bits;

    coco__buf_varint(b, r->flags);
    if (r->flags & COCO__R_ID) coco__buf_varint(b, r->id);
    if (r->flags & COCO__R_LONG) coco__put_str(b, r->segment);
    if (r->flags & COCO__R_SOURCE) coco__put_str(b, r->source);
    if (!(r->flags & COCO__R_COMPONENT)) return;
    coco__buf_varint(b, r->fn);
    coco__buf_varint(b, r->run);
    coco__buf_byte(b, (uint8_t)r->reason);
    coco__put_str(b, r->detail);
    coco__buf_varint(b, coco__zigzag(r->version));
    coco__buf_varint(b, r->ns / 1000);
    coco__buf_varint(b, r->nstates);
    if (r->flags & COCO__R_UNITS) {
        memcpy(&bits, &r->units, sizeof bits);
        coco__buf_be64(b, bits);
    }
    if (r->flags & (COCO__R_MEMO | COCO__R_FAILED)) {
        coco__put_str(b, r->argkey);
        coco__buf_varint(b, r->depset);
        coco__put_str(b, r->states);
    }
    if (r->flags & COCO__R_MEMO) coco__put_str(b, r->result);
    if (r->flags & COCO__R_FAILED) {
        coco__buf_varint(b, r->fail_count);
        coco__buf_varint(b, (uint64_t)r->fail_time);
    }
    if (!(r->flags & COCO__R_PAGED)) coco__buf_put(b, r->entries.p, r->entries.n);
}

static void coco__rec_component(coco__reader *r, coco__rec *out)
{
    uint64_t bits;

    out->fn = coco__read_varint(r);
    out->run = coco__read_varint(r);
    out->reason = coco__read_byte(r);
    out->detail = coco__read_blob(r);
    out->version = coco__unzigzag(coco__read_varint(r));
    out->ns = coco__read_varint(r) * 1000;
    out->nstates = coco__read_varint(r);
    if (out->flags & COCO__R_UNITS) {
        bits = coco__read_be64(r);
        memcpy(&out->units, &bits, sizeof bits);
    }
    if (out->flags & (COCO__R_MEMO | COCO__R_FAILED)) {
        out->argkey = coco__read_blob(r);
        out->depset = coco__read_varint(r);
        out->states = coco__read_blob(r);
    }
    if (out->flags & COCO__R_MEMO) out->result = coco__read_blob(r);
    if (out->flags & COCO__R_FAILED) {
        out->fail_count = coco__read_varint(r);
        out->fail_time = (int64_t)coco__read_varint(r);
    }
    if (!(out->flags & COCO__R_PAGED)) out->entries = (coco_str){ (const char *)r->p, coco__left(r) };
}

COCO__IN coco_status coco__rec_get(coco_str payload, coco__rec *out, coco_err *err)
{
    coco__reader r = coco__reader_of(payload.p, payload.n);

    memset(out, 0, sizeof *out);
    out->flags = (uint32_t)coco__read_varint(&r);
    if (out->flags & COCO__R_ID) out->id = coco__read_varint(&r);
    if (out->flags & COCO__R_LONG) out->segment = coco__read_blob(&r);
    if (out->flags & COCO__R_SOURCE) out->source = coco__read_blob(&r);
    if (out->flags & COCO__R_COMPONENT) coco__rec_component(&r, out);
    if (r.bad || out->flags > COCO__R_ALL) return coco__bad_record(err, "component record");
    return COCO_OK;
}

COCO__IN void coco__provider_put(coco__buf *b, const coco__provider_rec *p)
{
    coco__buf_varint(b, p->id);
    coco__buf_varint(b, p->counter);
    coco__buf_byte(b, p->user_managed);
    coco__put_str(b, p->title);
    coco__put_str(b, p->record);
    coco__buf_byte(b, p->attachment);
    coco__put_str(b, p->key);
}

COCO__IN coco_status coco__provider_get(coco_str payload, coco__provider_rec *p)
{
    coco__reader r = coco__reader_of(payload.p, payload.n);

    p->id = coco__read_varint(&r);
    p->counter = coco__read_varint(&r);
    p->user_managed = coco__read_byte(&r);
    p->title = coco__read_blob(&r);
    p->record = coco__read_blob(&r);
    p->attachment = coco__read_byte(&r);
    p->key = coco__read_blob(&r);
    return r.bad || coco__left(&r) ? COCO_ECORRUPT : COCO_OK;
}

COCO__IN void coco__provider_suffix(coco__buf *b, coco_str key, bool attachment)
{
    if (attachment) coco__buf_byte(b, 0xfe);
    coco__buf_put(b, key.p, key.n);
}

COCO__IN void coco__place_put(coco__buf *b, const coco__place *at)
{
    coco__buf_varint(b, at->parent);
    coco__buf_put(b, at->segment.p, at->segment.n);
}

COCO__IN coco_status coco__place_get(coco_str payload, coco__place *at)
{
    coco__reader r = coco__reader_of(payload.p, payload.n);

    at->parent = coco__read_varint(&r);
    at->segment = (coco_str){ (const char *)r.p, coco__left(&r) };
    return r.bad ? COCO_ECORRUPT : COCO_OK;
}

COCO__IN bool coco__place_equal(const coco__place *a, const coco__place *b)
{ return a->parent == b->parent && coco_str_equal(a->segment, b->segment); }

/* Segments come last first: gather them, then turn the whole around segment by segment. */
COCO__IN coco_status coco__place_path(const coco__txn *t, const coco__place *at, coco__buf *path)
{
    coco__place p = *at;
    coco__buf up;
    coco__dbkey k;
    coco_str payload;
    coco_status rc = COCO_OK;

    coco__buf_init(&up, path->mem);
    for (int depth = 0; rc == COCO_OK; depth++) {
        coco__buf_put(&up, p.segment.p, p.segment.n);
        coco__buf_be64(&up, p.segment.n);
        if (p.parent == 0) break;
        coco__dbkey_id(&k, COCO__PARENT, p.parent, NULL, 0);
        if (depth == COCO__DEEPEST) rc = coco_err_set(t->err, COCO_ECORRUPT, COCO__CIRCLE);
        else if ((rc = coco__get(t, &k, &payload)) == COCO_OK) rc = coco__place_get(payload, &p);
    }
    if (rc == COCO_ENOTFOUND) rc = coco__bad_record(t->err, "path: an ancestor is missing");
    for (size_t end = up.n; rc == COCO_OK && !up.failed && end > 0;) {
        size_t n = (size_t)coco__get_be64(up.p + (end -= 8));
        coco__buf_put(path, up.p + (end -= n), n);
    }
    if (up.failed || path->failed) rc = coco__no_memory(t->err);
    coco__buf_free(&up);
    return rc;
}
