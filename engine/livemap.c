/* livemap.c - keyed collections in memory: some components declare entries, one mount_each consumes them (S8.5).
 *
 * Floor: above live. What a component declares is kept aside until its function has ended well; then it takes the place
 * of what the component declared before, and the part that consumes the map is told of each key that differs. A
 * component that fails leaves its entries as they are; one that is gone takes them along. Nothing is stored: a
 * component that declares is never answered from a memo. The consumer's first pass waits until all that was mounted is
 * done, so the order of mounts doesn't matter.
 *
 * Everything here is under the run's lock. */
#include "engine.h"

typedef struct coco__map_entry {
    coco__arena arena;     /* of this and what it points to */
    coco_str both, key;    /* bytes of the map's address and the encoded key; this alone */
    coco_value at, value;
    coco__place owner;     /* of the component that declared it */
    uint64_t number;       /* of that component's run */
    struct coco__map_entry *next; /* while it is kept aside */
    coco_live_map *map;
} coco__map_entry;

struct coco_live_map {
    coco_live_map *next;
    coco__run *run;
    char *name;
    coco__table entries;   /* key to entry */
    coco_feed *part;       /* that consumes it; NULL: none yet */
};

/* What a running component has declared. */
struct coco__map_stage {
    coco__map_entry *entries;
    coco__table seen;      /* map and key to entry */
};

static void coco__entry_free(coco__map_entry *e)
{
    coco__arena arena = e->arena;

    coco__arena_free(&arena);
}

static coco_live_map *coco__map_new(coco__run *run, const char *name)
{
    coco_live_map *m = coco__zalloc(run->mem, sizeof *m);

    if (!m || !(m->name = coco__strdup(run->mem, name))) {
        coco__free(run->mem, m);
        return NULL;
    }
    m->run = run;
    coco__table_init(&m->entries, run->mem);
    m->next = run->maps;
    return run->maps = m;
}

coco_live_map *coco_live_map_get(coco_ctx *cx, const char *name)
{
    coco_live_map *m;

    if (!cx->run) {
        coco__keep(cx, COCO_EINVAL, "a live map belongs to an update");
        return NULL;
    }
    coco__enter(cx->run);
    for (m = cx->run->maps; m && strcmp(m->name, name) != 0;) m = m->next;
    if (!m && !(m = coco__map_new(cx->run, name))) coco__keep(cx, coco__oom(cx), NULL);
    coco__leave(cx->run);
    return m;
}

/* ---- Declaring ---- */

static coco_status coco__entry_new(coco_ctx *cx, coco_live_map *map, coco_value key, coco_value value,
                                   coco__map_entry **out)
{
    coco__arena arena;
    coco__map_entry *e;
    coco__buf b;
    coco_status rc;

    coco__arena_init(&arena, cx->run->mem);
    if (!(e = coco__arena_zalloc(&arena, sizeof *e))) return coco__oom(cx);
    e->arena = arena;
    e->map = map;
    coco__buf_init(&b, cx->run->mem);
    coco__buf_put(&b, &map, sizeof map);
    rc = coco__key_put(&b, key);
    e->both = coco__buf_take(&b, &e->arena);
    e->owner = (coco__place){ cx->comp->at.parent, coco__arena_str(&e->arena, cx->comp->at.segment) };
    if (rc != COCO_OK) coco_fail(cx, rc, "live map %s: a key must be a stable key", map->name);
    else if (!e->both.p || !e->owner.segment.p || coco__value_copy(&e->arena, key, &e->at) != COCO_OK ||
             coco__value_copy(&e->arena, value, &e->value) != COCO_OK) rc = coco__oom(cx);
    else e->key = (coco_str){ e->both.p + sizeof map, e->both.n - sizeof map };
    if (rc == COCO_OK) *out = e;
    else coco__entry_free(e);
    return rc;
}

static coco_status coco__map_twice(coco_ctx *cx, const coco__map_entry *e, const char *how)
{
    coco__buf b;

    coco__buf_init(&b, cx->run->mem);
    coco__key_print(&b, e->key.p, e->key.n);
    coco_fail(cx, COCO_EDUP, "live map %s: the key %s is declared %s", e->map->name, coco__buf_cstr(&b), how);
    coco__buf_free(&b);
    return COCO_EDUP;
}

static coco_status coco__map_stage(coco_ctx *cx, coco__map_entry *e)
{
    struct coco__map_stage *s = cx->comp->staged;
    const coco__map_entry *is = coco__table_get(&e->map->entries, e->key.p, e->key.n);

    if (!s) {
        if (!(s = coco__zalloc(cx->run->mem, sizeof *s))) return coco__oom(cx);
        coco__table_init(&s->seen, cx->run->mem);
        cx->comp->staged = s;
    }
    if (coco__table_get(&s->seen, e->both.p, e->both.n)) return coco__map_twice(cx, e, "twice in one component");
    /* later, what another has may be moving here */
    if (is && !coco__place_equal(&is->owner, &e->owner) && cx->run->passing == &cx->run->arena)
        return coco__map_twice(cx, e, "by another component too");
    if (!coco__table_put(&s->seen, e->both.p, e->both.n, e)) return coco__oom(cx);
    e->next = s->entries;
    s->entries = e;
    return COCO_OK;
}

static coco_status coco__map_declare(coco_ctx *cx, coco_live_map *map, coco_value key, coco_value value)
{
    coco__map_entry *e = NULL;

    COCO_TRY(coco__inside(cx, "an entry of a live map"));
    if (!map) return coco_fail(cx, COCO_EINVAL, "declared into no live map");
    cx->uncacheable = true; /* a hit would declare nothing */
    COCO_TRY(coco__entry_new(cx, map, key, value, &e));
    coco_status rc = coco__map_stage(cx, e);
    if (rc != COCO_OK) coco__entry_free(e);
    return rc;
}

coco_status coco_live_map_declare(coco_ctx *cx, coco_live_map *map, coco_value key, coco_value value)
{
    COCO__INSIDE(cx->run, coco_status, coco__map_declare(cx, map, key, value));
}

/* ---- What becomes of it ---- */

/* The consumer asks for the entry when its turn has come (coco__map_get). */
static void coco__map_touch(coco_live_map *map, const coco_value *key)
{
    coco__op *op;

    if (!map->part) return;
    if (coco__op_new(map->part, COCO__OP_TOUCH, key, &op) == COCO_OK) coco__op_issue(op, false);
    else coco_feed_rescan(map->part); /* no memory for one: all are looked at */
}

/* The table borrows the key of the entry it holds: the old one is taken out before it is freed. */
static void coco__map_put(coco__map_entry *e)
{
    coco_live_map *map = e->map;
    coco__map_entry *old = coco__table_get(&map->entries, e->key.p, e->key.n);
    bool same = old && coco_equal(old->value, e->value);

    if (old) coco__table_remove(&map->entries, old->key.p, old->key.n);
    if (coco__table_put(&map->entries, e->key.p, e->key.n, e)) {
        if (!same) coco__map_touch(map, &e->at);
    } else {
        coco__map_touch(map, &e->at);
        coco__entry_free(e);
    }
    if (old) coco__entry_free(old);
}

COCO__IN void coco__maps_drop(coco__run *run, const coco__place *owner, uint64_t number)
{
    for (coco_live_map *map = run->maps; map; map = map->next) {
        coco__map_entry *gone = NULL, *e;
        for (size_t i = 0; (e = coco__table_next(&map->entries, &i)) != NULL;) {
            if (e->number == number || !coco__place_equal(&e->owner, owner)) continue;
            e->next = gone;
            gone = e;
        }
        for (coco__map_entry *next; gone; gone = next) {
            next = gone->next;
            coco__table_remove(&map->entries, gone->key.p, gone->key.n);
            coco__map_touch(map, &gone->at);
            coco__entry_free(gone);
        }
    }
}

COCO__IN void coco__maps_settle(coco__comp *c)
{
    static _Atomic uint64_t numbers;
    uint64_t number = atomic_fetch_add(&numbers, 1) + 1;

    if (!c->run->maps) return;
    for (coco__map_entry *e = c->staged ? c->staged->entries : NULL, *next; e; e = next) {
        next = e->next;
        e->number = number;
        coco__map_put(e);
    }
    if (c->staged) c->staged->entries = NULL;
    coco__maps_unstage(c);
    coco__maps_drop(c->run, &c->at, number);
}

COCO__IN void coco__maps_unstage(coco__comp *c)
{
    if (!c->staged) return;
    for (coco__map_entry *e = c->staged->entries, *next; e; e = next) {
        next = e->next;
        coco__entry_free(e);
    }
    coco__table_free(&c->staged->seen);
    coco__free(c->run->mem, c->staged);
    c->staged = NULL;
}

COCO__IN void coco__maps_free(coco__run *run)
{
    for (coco_live_map *m = run->maps, *next; m; m = next) {
        coco__map_entry *e;
        next = m->next;
        for (size_t i = 0; (e = coco__table_next(&m->entries, &i)) != NULL;) coco__entry_free(e);
        coco__table_free(&m->entries);
        coco__free(run->mem, m->name);
        coco__free(run->mem, m);
    }
    run->maps = NULL;
}

/* ---- Consuming ---- */

/* One listing: the keys that there are when it begins, in order. */
typedef struct coco__map_source {
    coco_live_map *map;
    coco_str *keys;
    size_t n, i;
} coco__map_source;

static int coco__map_order(const void *a, const void *b)
{
    const coco_str *x = a, *y = b;

    return coco__bytes_cmp(x->p, x->n, y->p, y->n);
}

/* Sources are called without the run's lock. */
static int coco__map_give(coco_ctx *cx, const coco_live_map *map, coco_str key, coco_value *value)
{
    coco__enter(cx->run);
    const coco__map_entry *e = coco__table_get(&map->entries, key.p, key.n);
    if (e) *value = coco_copy_value(cx, e->value);
    coco__leave(cx->run);
    return e ? (cx->kept ? cx->kept : 1) : 0;
}

static int coco__map_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    coco__map_source *s = src->self;
    int got = 0;

    while (got == 0 && s->i < s->n) {
        coco_str at = s->keys[s->i++];
        coco__reader r = coco__reader_of(at.p, at.n);
        if ((got = coco__map_give(cx, s->map, at, value)) != 1) continue;
        coco_status rc = coco__key_get(&r, cx->arena, key);
        if (rc != COCO_OK) return rc;
    }
    return got;
}

static int coco__map_get(coco_source *src, coco_ctx *cx, coco_value key, coco_value *value)
{
    const coco__map_source *s = src->self;
    coco__buf b;
    int got;

    coco__buf_init(&b, cx->run->mem);
    got = coco__key_put(&b, key);
    if (got == COCO_OK) got = coco__map_give(cx, s->map, coco__buf_view(&b), value);
    coco__buf_free(&b);
    return got;
}

/* Keys are copied: what is mounted while they are listed may change the map. */
static coco_status coco__map_rewind(coco_source *src, coco_ctx *cx)
{
    coco__map_source *s = src->self;
    const coco__map_entry *e;

    coco__enter(cx->run);
    s->n = s->i = 0;
    s->keys = coco_alloc(cx, (s->map->entries.n + 1) * sizeof *s->keys);
    for (size_t i = 0; s->keys && (e = coco__table_next(&s->map->entries, &i)) != NULL;) {
        s->keys[s->n] = coco_copy(cx, e->key);
        if (!s->keys[s->n++].p) break;
    }
    coco__leave(cx->run);
    if (cx->kept) return cx->kept;
    qsort(s->keys, s->n, sizeof *s->keys, coco__map_order);
    return COCO_OK;
}

coco_source *coco_live_map_source(coco_ctx *cx, coco_live_map *map)
{
    coco_source *src = coco_source_new(cx);
    coco__map_source *s = coco_alloc(cx, sizeof *s);

    if (!src || !s) return NULL;
    if (!map) {
        coco_fail(cx, COCO_EINVAL, "the source of no live map");
        return NULL;
    }
    s->map = map;
    src->title = map->name;
    src->ordered = true;
    src->self = s;
    src->next = coco__map_next;
    src->get = coco__map_get;
    src->rewind = coco__map_rewind;
    return src;
}

COCO__IN bool coco__is_map(const coco_source *src) { return src && src->next == coco__map_next; }

COCO__IN void coco__map_follow(coco_source *src, coco_feed *part)
{ ((coco__map_source *)src->self)->map->part = part; }

COCO__IN bool coco__map_followed(const coco_source *src)
{ return ((const coco__map_source *)src->self)->map->part != NULL; }
