/* each.c - mount_each, and what a component keeps between its runs: states and ids.
 *
 * Floor: beside component. Recorded children are read ahead in batches, copied, with no read transaction open while
 * user code runs. An ordered source is walked beside them (a merge: no lookup, no set in memory); of any other source
 * a 16-byte fingerprint a key tells at the end what came. Keys too long for the database are recorded in a cut form
 * whose order isn't theirs: they are looked up one by one and matched as a set. */
#include "engine.h"

/* ---- Recorded children ---- */

COCO__IN void coco__stream_open(coco__stream *s, coco__run *run, uint64_t id)
{
    *s = (coco__stream){ .run = run, .arena.mem = run->mem };
    coco__dbkey_id(&s->last, COCO__COMPONENT, id, NULL, 0);
}

COCO__IN coco_status coco__stream_close(coco__stream *s, coco_status rc)
{
    coco__arena_free(&s->arena);
    return rc == COCO_OK ? s->rc : rc;
}

static coco_status coco__stream_keep(coco__stream *s, const coco__txn *t, const MDB_val *key, const MDB_val *data)
{
    struct coco__child *c = &s->children[s->n++];
    coco__rec rec;
    coco_str payload, segment = { (char *)key->mv_data + 9, key->mv_size - 9 };
    bool whole = coco__check_payload(t, key, data, &payload) == COCO_OK; /* else the mount will say so */

    c->cut = segment.n > COCO__CUT;
    if (whole && c->cut && coco__rec_get(payload, &rec, t->err) == COCO_OK && rec.flags & COCO__R_LONG)
        segment = rec.segment;
    c->segment = coco__arena_str(&s->arena, segment);
    c->payload = whole ? coco__arena_str(&s->arena, payload) : (coco_str){ NULL, 0 };
    return c->segment.p && (c->payload.p || !whole) ? COCO_OK : COCO_ENOMEM;
}

static coco_status coco__stream_fill(coco__stream *s)
{
    coco__txn t;
    coco__scan scan;
    coco_status rc = COCO_OK;
    bool again = s->children != NULL; /* the first may have the key it begins at: no segment, as the root */

    coco__arena_reset(&s->arena);
    if (!(s->children = coco__arena_alloc(&s->arena, COCO__READ_AHEAD * sizeof *s->children))) return COCO_ENOMEM;
    s->n = s->i = 0;
    COCO_TRY(coco__run_read(s->run, &t));
    coco__scan_open(&scan, &t, &s->last, 9);
    bool more = coco__scan_next(&scan);
    if (more && again && coco__bytes_cmp(scan.key.mv_data, scan.key.mv_size, s->last.b, s->last.n) == 0)
        more = coco__scan_next(&scan); /* the batch before ended with it */
    while (more && rc == COCO_OK && s->n < COCO__READ_AHEAD && s->arena.total < 131072) {
        rc = coco__stream_keep(s, &t, &scan.key, &scan.data);
        memcpy(s->last.b, scan.key.mv_data, s->last.n = scan.key.mv_size);
        more = coco__scan_next(&scan);
    }
    s->ended = !more;
    rc = coco__scan_close(&scan, rc);
    coco__run_read_end(s->run, &t);
    return rc;
}

COCO__IN bool coco__stream_next(coco__stream *s)
{
    if (s->i == s->n && !s->ended) s->rc = coco__stream_fill(s);
    if (s->rc != COCO_OK || s->i == s->n) return false;
    const struct coco__child *c = &s->children[s->i++];
    s->segment = c->segment;
    s->payload = c->payload;
    s->cut = c->cut;
    return true;
}

/* ---- mount_each ---- */

typedef struct coco__unread_range {
    struct coco__unread_range *next;
    coco_str bytes; /* encoded key, or the encoding of a text prefix */
    bool prefix;
} coco__unread_range;

typedef struct coco__each {
    coco_ctx *cx;
    const coco__pass *pass;
    coco_source *src;
    uint64_t number;          /* of the pass */
    coco__stream stream;      /* recorded children */
    bool got;                 /* it isn't at its end */
    bool through;             /* its next child is to be read. A source may know its order from its first item on */
    coco__buf segment, before; /* encoded key of the item, and of the one before */
    coco__set16 came;         /* keys of an unordered source, cut keys of an ordered one */
    coco__unread_range *unread;
    coco__tomb *cuts;         /* recorded children with cut keys that may come yet */
} coco__each;

static bool coco__each_keeps(const coco__each *e, coco_str segment)
{
    for (const coco__unread_range *u = e->unread; u; u = u->next)
        if (segment.n >= u->bytes.n && (u->prefix || segment.n == u->bytes.n) &&
            memcmp(segment.p, u->bytes.p, u->bytes.n) == 0)
            return true;
    return false;
}

/* A recorded child is gone, unless it has come. */
static coco_status coco__each_gone(coco__each *e, coco_str segment)
{
    uint8_t fp[COCO__FP];

    if (e->pass->nothing_gone || e->cx->comp->above || coco__each_keeps(e, segment)) return COCO_OK;
    coco_fingerprint_bytes(segment.p, segment.n, fp);
    return coco__set16_has(&e->came, fp) ? COCO_OK : coco__gone_add(e->cx->comp, e->pass->node, segment, false);
}

static coco_status coco__each_advance(coco__each *e)
{
    e->through = false;
    while ((e->got = coco__stream_next(&e->stream)) && e->stream.cut) {
        coco__tomb *c = coco__arena_zalloc(e->cx->comp->shared, sizeof *c);
        if (!c || !(c->at.segment = coco__arena_str(e->cx->comp->shared, e->stream.segment)).p) return COCO_ENOMEM;
        c->next = e->cuts;
        e->cuts = c;
    }
    return e->stream.rc;
}

/* Passes over what is recorded before the key; what is passed over is gone. */
static coco_status coco__each_seek(coco__each *e, coco_str segment, const coco_str **payload)
{
    static const coco_str none = { NULL, 0 };
    const coco_str *is = &e->stream.segment;
    int order = 1;

    *payload = NULL;
    if (!e->stream.run) return COCO_OK;
    if (e->through) COCO_TRY(coco__each_advance(e));
    while (e->got && (order = coco__str_cmp(*is, segment)) < 0) {
        COCO_TRY(coco__each_gone(e, *is));
        COCO_TRY(coco__each_advance(e));
    }
    e->through = e->got && order == 0;
    *payload = !e->through ? &none : e->stream.payload.p ? &e->stream.payload : NULL;
    return COCO_OK;
}

static coco_status coco__each_key_error(coco__each *e, coco_status code)
{
    bool twice = code == COCO_EDUP;
    coco__buf b;

    coco__buf_init(&b, e->cx->run->mem);
    coco__key_print(&b, e->segment.p, e->segment.n);
    coco__buf_str(&b, twice ? " twice" : " came after ");
    if (!twice) coco__key_print(&b, e->before.p, e->before.n);
    coco_fail(e->cx, code, "%s: the source %s key %s", e->pass->fn->name,
              twice ? "gave the" : "says it is ordered, but:", coco__buf_cstr(&b));
    coco__buf_free(&b);
    return code;
}

/* Takes an item's key, which must be new, and in order. */
static coco_status coco__each_key(coco__each *e, coco_value key)
{
    coco__buf before = e->segment;
    uint8_t fp[COCO__FP];

    e->segment = e->before;
    e->before = before;
    e->segment.n = 0;
    coco_status rc = coco__key_put(&e->segment, key);
    if (rc != COCO_OK)
        return coco_fail(e->cx, rc, "%s: the source gave a key that isn't a stable key", e->pass->fn->name);
    if (e->src->ordered) {
        int order = coco__str_cmp(coco__buf_view(&e->segment), coco__buf_view(&before));
        if (order <= 0) return coco__each_key_error(e, order ? COCO_EINVAL : COCO_EDUP);
        if (e->segment.n <= COCO__CUT) return COCO_OK;
    }
    coco_fingerprint_bytes(e->segment.p, e->segment.n, fp);
    int added = coco__set16_add(&e->came, fp);
    return added > 0 ? COCO_OK : added < 0 ? coco__oom(e->cx) : coco__each_key_error(e, COCO_EDUP);
}

static coco_status coco__each_unread(coco__each *e, coco_ctx *item, coco_value key, coco_value value)
{
    coco__unread_range *u = coco__arena_zalloc(e->cx->comp->shared, sizeof *u);
    coco_status rc = COCO_OK;
    coco__buf b;

    if (!u) return coco__oom(e->cx);
    coco__buf_init(&b, e->cx->run->mem);
    u->prefix = coco_bool_of(value);
    if (u->prefix) coco__key_text_prefix(&b, coco_text_of(key));
    else rc = coco__key_put(&b, key);
    u->bytes = coco__buf_take(&b, e->cx->comp->shared);
    if (rc != COCO_OK || !u->bytes.p) return rc != COCO_OK ? rc : coco__oom(e->cx);
    u->next = e->unread;
    e->unread = u;
    bool swallowed = coco__unread(item, e->src, key, COCO_EUNREAD);
    if (e->cx->comp->op && !swallowed) e->cx->comp->op->failed = true;
    return COCO_OK;
}

static coco_status coco__each_mount(coco__each *e, coco__comp *c, coco_value value)
{
    coco_value all[COCO_MAX_PARAMS];
    coco__mount_call m = { .fn = e->pass->fn, .kind = COCO_MOUNT_EACH, .up = e->pass->node, .pass = e->number,
                           .args = coco__args_of(all, value, e->pass->args), .segment = coco__buf_view(&e->segment) };
    coco_status rc = COCO_OK;

    if (e->src->ordered && m.segment.n <= COCO__CUT) rc = coco__each_seek(e, m.segment, &m.payload);
    if (rc == COCO_OK) rc = coco__make_room(e->cx);
    if (rc != COCO_OK) {
        coco__comp_free(c);
        return rc;
    }
    return coco__mount_child(e->cx, c, &m);
}

/* One item: its memory is that of the component that will run it. Returns 1, 0 at the end, or an error. */
static int coco__each_item(coco__each *e)
{
    coco__comp *c = coco__comp_new(e->cx->run);
    coco_ctx item;
    coco_value key = coco_null(), value = coco_null();
    coco_status rc = coco_checkpoint(e->cx);

    if (!c) return coco__oom(e->cx);
    coco__frame_init(&item, e->cx, e->cx->fn);
    item.arena = item.home = &c->arena;
    if (rc == COCO_OK) COCO__USER(item.run, rc = e->src->next(e->src, &item, &key, &value));
    if (rc == 1 && item.kept) rc = item.kept;
    if (rc == COCO_EUNREAD && (rc = coco__each_unread(e, &item, key, value)) == COCO_OK) rc = 2;
    else if (rc < 0 && rc != COCO_ESTOP) coco__say(e->cx, rc, item.message ? item.message : coco_status_text(rc));
    item.said = COCO_OK; /* the message ends with the item */
    coco_status ended = coco__frame_end(&item, e->cx);
    if (rc >= 0 && ended != COCO_OK) rc = ended;
    if (rc == 1 && (rc = coco__each_key(e, key)) == COCO_OK) {
        rc = coco__each_mount(e, c, value);
        return rc == COCO_OK ? 1 : rc;
    }
    coco__comp_free(c);
    return rc == 2 ? 1 : rc;
}

/* After the last item: whatever is recorded and didn't come. */
static coco_status coco__each_rest(coco__each *e)
{
    if (e->through) COCO_TRY(coco__each_advance(e));
    while (e->got) {
        COCO_TRY(coco__each_gone(e, e->stream.segment));
        COCO_TRY(coco__each_advance(e));
    }
    for (const coco__tomb *c = e->cuts; c; c = c->next) COCO_TRY(coco__each_gone(e, c->at.segment));
    return COCO_OK;
}

COCO__IN coco_status coco__each_pass(coco_ctx *cx, const coco__pass *pass)
{
    coco__each e = { .cx = cx, .pass = pass, .src = pass->src, .number = ++cx->run->npasses,
                     .through = pass->node->recorded };
    coco__tomb *gone = cx->comp->gone;
    coco_status rc = COCO_OK;
    int got = 1;

    coco__buf_init(&e.segment, cx->run->mem);
    coco__buf_init(&e.before, cx->run->mem);
    coco__set16_init(&e.came, cx->run->mem);
    if (e.through) coco__stream_open(&e.stream, cx->run, pass->node->id);
    while (rc == COCO_OK && got == 1) {
        got = coco__each_item(&e);
        if (got < 0) rc = got;
    }
    if (rc == COCO_OK) rc = coco__each_rest(&e);
    if (rc != COCO_OK) cx->comp->gone = gone; /* what the walk has passed over isn't gone either */
    if (e.stream.run) coco__stream_close(&e.stream, COCO_OK);
    coco__buf_free(&e.segment);
    coco__buf_free(&e.before);
    coco__set16_free(&e.came);
    return rc;
}

/* Checks the call and takes the node that it has to itself. */
static coco_status coco__each_begin(coco_ctx *cx, coco_path path, coco__pass *pass)
{
    const coco_source *src = pass->src;

    COCO_TRY(coco__iterate_check(cx, src));
    if ((size_t)pass->fn->nparams != pass->args.n + 1)
        return coco_fail(cx, COCO_ETYPE, "%s: takes %d arguments; mount_each gives the item and %zu more",
                         pass->fn->name, pass->fn->nparams, pass->args.n);
    COCO_TRY(coco__each_node(cx, path, pass->fn, &pass->node));
    pass->node->each = true;
    pass->node->source = coco__arena_str(cx->comp->shared, coco_str_of(src->title));
    return pass->node->source.p ? COCO_OK : coco__oom(cx);
}

/* A feed, and a map in memory, tell what there is when this component is done: until then nothing is gone. */
static coco_status coco__mount_each(coco_ctx *cx, coco_path path, const coco_fn *fn, coco_source *src, coco_args args)
{
    coco__pass pass = { .src = src, .fn = fn, .args = args };
    coco_feed *part = NULL;
    coco_status rc = coco__each_begin(cx, path, &pass);
    bool map = coco__is_map(src), later = src && (!src->next || map), whole = !cx->run->preview && !cx->run->only.p;
    bool followed = src && whole && (map || (src->watch && (cx->run->opts.live || !src->next)));

    if (rc == COCO_OK && src->size && !cx->run->only.p) coco__count_fn(cx->run->app, fn, COCO__EXPECTED, src->size);
    else if (rc == COCO_OK) coco__count_fn(cx->run->app, fn, COCO__UNSIZED, 1);
    if (rc == COCO_OK && followed && src->made_in_scratch)
        rc = coco_fail(cx, COCO_EINVAL, "%s: a source that is followed was made in a scratch", fn->name);
    if (rc == COCO_OK && followed) rc = coco__part_each(cx, &pass, &part);
    if (rc == COCO_OK && !later) rc = coco__each_pass(cx, &pass);
    if (pass.node && (later || rc != COCO_OK)) pass.node->incomplete = true;
    if (part && rc != COCO_OK) coco__part_end(part);
    if (!part) coco__source_close(cx->run, src);
    if (rc != COCO_OK && cx->said != rc) coco__say(cx, rc, coco_status_text(rc));
    return rc;
}

coco_status coco_mount_each(coco_ctx *cx, coco_path path, const coco_fn *fn, coco_source *src, coco_args args)
{
    COCO__INSIDE(cx->run, coco_status, coco__mount_each(cx, path, fn, src, args));
}

/* ---- What a component keeps: states and ids ---- */

static coco_status coco__state_check(coco_ctx *cx, coco_value key, coco__buf *b)
{
    coco_status rc;

    COCO_TRY(coco__inside(cx, "a state"));
    if (cx->memo_depth) {
        cx->uncacheable = true;
        return coco_fail(cx, COCO_EMEMO, "a state can't be used inside a memoized call");
    }
    rc = coco__key_put(b, key);
    return rc == COCO_OK ? rc : coco_fail(cx, rc, "a state's key must be a stable key");
}

static coco_status coco__state_access(coco_ctx *cx, coco_value key, coco_value value, bool set, coco_str *was)
{
    coco__buf k, v;
    coco_status rc;

    *was = (coco_str){ 0 };
    coco__enter(cx->run);
    coco__buf_init(&k, cx->run->mem);
    coco__buf_init(&v, cx->run->mem);
    rc = coco__state_check(cx, key, &k);
    coco_str name = { (char *)k.p, k.n };
    if (rc == COCO_OK && !set) rc = coco__own(&cx->comp->owned, COCO__S_STATE, name, (coco_str){ 0 }, was);
    if (rc == COCO_OK && !was->p) {
        rc = coco__value_put(&v, value, COCO__STORED);
        if (rc != COCO_OK) coco__value_refused(cx, rc, "a state");
        else rc = coco__own(&cx->comp->owned, COCO__S_STATE, name, (coco_str){ (char *)v.p, v.n }, NULL);
    }
    coco__buf_free(&k);
    coco__buf_free(&v);
    coco__leave(cx->run);
    return rc;
}

coco_status coco_use_state(coco_ctx *cx, coco_value key, coco_value initial, coco_value *value)
{
    coco_str was;

    *value = coco_null();
    COCO_TRY(coco__state_access(cx, key, initial, false, &was));
    if (was.p) {
        coco__reader r = coco__reader_of(was.p, was.n);
        return coco__value_get(&r, cx->home, value);
    }
    *value = coco_copy_value(cx, initial);
    return cx->kept;
}

coco_status coco_state_set(coco_ctx *cx, coco_value key, coco_value value)
{
    coco_str was;

    return coco__state_access(cx, key, value, true, &was);
}

/* The n-th call with one dep: counted in the component. */
static coco_status coco__ordinal(coco_ctx *cx, coco_str dep, uint64_t *n)
{
    coco__comp *c = cx->comp;
    uint64_t *count;

    if (!c->ordinals.mem) coco__table_init(&c->ordinals, cx->run->mem);
    if (!(count = coco__table_get(&c->ordinals, dep.p, dep.n))) {
        char *copy = coco__arena_copy(c->shared, dep.p, dep.n);
        if (!copy || !(count = coco__arena_zalloc(c->shared, sizeof *count)) ||
            !coco__table_put(&c->ordinals, copy, dep.n, count))
            return coco__oom(cx);
    }
    *n = ++*count;
    return COCO_OK;
}

/* The key of an id: kind, ordinal (0: the same for every call), dep. */
static coco_status coco__id_key(coco_ctx *cx, uint8_t kind, coco_value dep, bool next, coco__buf *b)
{
    uint64_t n = 0;
    coco_status rc;

    COCO_TRY(coco__inside(cx, "an id"));
    /* A memoized call counts for itself: whether it runs or hits, the others get the same ordinals. */
    coco__buf_byte(b, next && cx->memo ? (uint8_t)(kind - 'a' + 'A') : kind);
    if (next && cx->memo) coco__buf_put(b, cx->memo, COCO__FP);
    rc = coco__value_put(b, dep, COCO__CANONICAL);
    if (rc != COCO_OK) return coco__value_refused(cx, rc, "the dep of an id");
    if (next) COCO_TRY(coco__ordinal(cx, (coco_str){ (char *)b->p, b->n }, &n));
    coco__buf_varint(b, n);
    return b->failed ? coco__oom(cx) : COCO_OK;
}

static coco_status coco__int_id(coco_ctx *cx, coco_value dep, bool next, int64_t *id)
{
    coco__buf k;
    coco_str was = { 0 };
    uint8_t be[8];
    coco__ekey ekey;
    coco_status rc;

    *id = 0;
    coco__buf_init(&k, cx->run->mem);
    rc = coco__id_key(cx, 'i', dep, next, &k);
    coco_str name = { (char *)k.p, k.n };
    if (rc == COCO_OK) rc = coco__own(&cx->comp->owned, COCO__S_ID, name, (coco_str){ 0 }, &was);
    if (rc == COCO_OK && was.n == sizeof be) {
        *id = (int64_t)coco__get_be64((const uint8_t *)was.p);
    } else if (rc == COCO_OK) {
        *id = (int64_t)cx->run->meta.next_int_id++;
        coco__put_be64(be, (uint64_t)*id);
        rc = coco__own(&cx->comp->owned, COCO__S_ID, name, (coco_str){ (char *)be, sizeof be }, NULL);
    }
    if (rc == COCO_OK && cx->memo_depth) {
        cx->owned = true;
        name = coco__ekey_make(&ekey, COCO__S_ID, name.p, name.n);
        coco__buf_blob(&cx->declared, name.p, name.n);
    }
    coco__buf_free(&k);
    return rc;
}

static coco_status coco__int_id_locked(coco_ctx *cx, coco_value dep, bool next, int64_t *id)
{
    COCO__INSIDE(cx->run, coco_status, coco__int_id(cx, dep, next, id));
}

coco_status coco_generate_id(coco_ctx *cx, coco_value dep, int64_t *id)
{ return coco__int_id_locked(cx, dep, false, id); }
coco_status coco_next_id(coco_ctx *cx, coco_value dep, int64_t *id) { return coco__int_id_locked(cx, dep, true, id); }

/* A uuid of version 8 (RFC 9562) from app, path, dep and ordinal: the same in every run without being stored. */
static coco_status coco__uuid(coco_ctx *cx, coco_value dep, bool next, uint8_t uuid[16])
{
    coco__buf k, path;
    coco_hash h;
    coco_status rc;

    memset(uuid, 0, 16);
    coco__buf_init(&k, cx->run->mem);
    coco__buf_init(&path, cx->run->mem);
    rc = coco__id_key(cx, 'u', dep, next, &k);
    if (rc == COCO_OK) {
        coco__node_path(&cx->comp->node, &path);
        coco_hash_begin(&h);
        coco_hash_add(&h, cx->app->name, strlen(cx->app->name) + 1);
        coco__buf_be64(&path, path.n);
        coco_hash_add(&h, path.p, path.n);
        coco_hash_add(&h, k.p, k.n);
        coco_hash_end(&h, uuid);
        uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x80);
        uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
        if (path.failed) rc = coco__oom(cx);
        if (cx->memo_depth) cx->owned = true;
    }
    coco__buf_free(&k);
    coco__buf_free(&path);
    return rc;
}

static coco_status coco__uuid_locked(coco_ctx *cx, coco_value dep, bool next, uint8_t uuid[16])
{
    COCO__INSIDE(cx->run, coco_status, coco__uuid(cx, dep, next, uuid));
}

coco_status coco_generate_uuid(coco_ctx *cx, coco_value dep, uint8_t uuid[16])
{ return coco__uuid_locked(cx, dep, false, uuid); }
coco_status coco_next_uuid(coco_ctx *cx, coco_value dep, uint8_t uuid[16])
{ return coco__uuid_locked(cx, dep, true, uuid); }
