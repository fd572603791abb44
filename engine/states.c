/* states.c - what a component owns, as ordered entries: inline in its record while they are few, in pages beside it
 * when many.
 *
 * Floor: above store; knows entries and bytes, not what they mean. An entry's key is its space (a provider's id, or
 * one of the engine's own) and the cut form of the target key, so that entries, pages and LMDB share one order. While
 * a component runs, recorded entries are read page by page: an entry that stays as it is costs one "seen" bit at its
 * place (which also finds duplicates), one that changes is kept as a coco__change. Writing merges the changes into
 * the pages they fall in and leaves the others alone, so that one changed row of a million costs one page.
 *
 * A page's label is a lower bound of its keys; the first page has the empty label, so that every key falls into some
 * page.
 *
 * Where there were no states, and all that come are new and of one target, they are written once: at the precommit, as
 * they are from the commit on. Until then COCO__R_NEW in the record says that each may be absent as well. */
#include "engine.h"

/* ---- Entry keys and values ---- */

/* The space as an order-preserving number: its length in bytes, then the bytes, most significant first. */
COCO__IN coco_str coco__ekey_make(coco__ekey *k, uint64_t space, const void *key, size_t n)
{
    size_t length = 1;

    while (length < 8 && space >> 8 * length) length++;
    k->b[0] = (uint8_t)length;
    for (size_t i = length; i; i--, space >>= 8) k->b[i] = (uint8_t)space;
    k->n = 1 + length;
    k->n += coco__cut(k->b + k->n, key, n);
    return (coco_str){ (char *)k->b, k->n };
}

COCO__IN uint64_t coco__ekey_space(const uint8_t *p, size_t n, size_t *skip)
{
    uint64_t v = 0;

    if (n == 0 || p[0] == 0 || p[0] > 8 || n < 1u + p[0]) return 0;
    for (size_t i = 1; i <= p[0]; i++) v = v << 8 | p[i];
    if (skip) *skip = 1u + p[0];
    return v;
}

COCO__IN uint64_t coco__space_of(coco_str ekey, coco_str *key)
{
    size_t skip = 0;
    uint64_t space = coco__ekey_space((const uint8_t *)ekey.p, ekey.n, &skip);

    if (key) *key = (coco_str){ ekey.p + skip, ekey.n - skip };
    return space;
}

enum { COCO__E_CONTAINER = 1, COCO__E_USER = 2, COCO__E_CONDEMNED = 4, COCO__E_LONG = 8 };

COCO__IN const coco__state *coco__old_of(const coco__change *c)
{
    static const coco__state none;

    return c->old ? c->old : &none;
}

COCO__IN void coco__state_put(coco__buf *b, const coco__state *s, bool long_key)
{
    unsigned flags = (s->container ? COCO__E_CONTAINER : 0u) | (s->user_managed ? COCO__E_USER : 0u) |
                     (s->condemned ? COCO__E_CONDEMNED : 0u) | (long_key ? COCO__E_LONG : 0u);

    coco__buf_byte(b, (uint8_t)(flags | (unsigned)s->npossible << 4));
    coco__buf_varint(b, s->counter);
    if (long_key) coco__buf_blob(b, s->key.p, s->key.n);
    for (size_t i = 0; i < s->npossible; i++) {
        coco__buf_varint(b, s->possible[i].p ? s->possible[i].n + 1 : 0);
        if (s->possible[i].p) coco__buf_put(b, s->possible[i].p, s->possible[i].n);
    }
}

COCO__IN coco_status coco__state_get(uint32_t of, coco_str ekey, coco_str value, coco__state *s)
{
    coco__reader r = coco__reader_of(value.p, value.n);
    uint8_t flags = coco__read_byte(&r);

    memset(s, 0, sizeof *s);
    if (coco__space_of(ekey, &s->key) == 0) return COCO_ECORRUPT;
    s->container = flags & COCO__E_CONTAINER;
    s->user_managed = flags & COCO__E_USER;
    s->condemned = flags & COCO__E_CONDEMNED;
    s->counter = coco__read_varint(&r);
    if (flags & COCO__E_LONG) s->key = coco__read_blob(&r);
    s->npossible = flags >> 4;
    if (s->npossible > sizeof s->possible / sizeof s->possible[0]) return COCO_ECORRUPT;
    for (size_t i = 0; i < s->npossible; i++) {
        uint64_t n = coco__read_varint(&r);
        if (n == 0) continue;
        if (n - 1 > coco__left(&r)) return COCO_ECORRUPT;
        s->possible[i].n = (size_t)n - 1;
        s->possible[i].p = (const char *)coco__read_bytes(&r, (size_t)n - 1);
    }
    if ((of & COCO__R_NEW) && !s->container) coco__possible_add(s, (coco_str){ NULL, 0 });
    return r.bad || coco__left(&r) ? COCO_ECORRUPT : COCO_OK;
}

COCO__IN void coco__possible_add(coco__state *s, coco_str record)
{
    size_t max = sizeof s->possible / sizeof s->possible[0];

    for (size_t i = 0; i < s->npossible; i++)
        if (!s->possible[i].p == !record.p && coco__str_cmp(s->possible[i], record) == 0) return;
    if (s->npossible == max) { /* after many crashes: "may be anything" is an unreadable record */
        s->npossible = 0;
        s->possible[s->npossible++] = (coco_str){ NULL, 0 };
        s->possible[s->npossible++] = (coco_str){ "", 0 };
    }
    s->possible[s->npossible++] = record;
}

/* ---- Pages as bytes: entries with the length of the prefix shared with the key before ---- */

COCO__IN void coco__view_init(coco__view *v, const coco__mem *m)
{
    memset(v, 0, sizeof *v);
    coco__arena_init(&v->keys, m);
}

COCO__IN void coco__view_free(coco__view *v)
{
    coco__free(v->keys.mem, v->entries);
    coco__arena_free(&v->keys);
}

static coco_status coco__view_add(coco__view *v, coco_str ekey, coco_str value)
{
    if (!COCO__ROOM(v->keys.mem, v->entries, v->n, v->cap)) return COCO_ENOMEM;
    v->entries[v->n++] = (coco__entry){ ekey, value };
    return COCO_OK;
}

COCO__IN coco_status coco__view_decode(coco__view *v, coco_str bytes)
{
    coco__reader r = coco__reader_of(bytes.p, bytes.n);
    coco_str before = { "", 0 };

    v->n = 0;
    coco__arena_reset(&v->keys);
    while (coco__left(&r)) {
        uint64_t shared = coco__read_varint(&r);
        coco_str rest = coco__read_blob(&r), value = coco__read_blob(&r);
        if (r.bad || shared > before.n || shared + rest.n > COCO__EKEY_MAX) return COCO_ECORRUPT;
        char *out = coco__arena_alloc(&v->keys, (size_t)shared + rest.n);
        if (!out) return COCO_ENOMEM;
        memcpy(out, before.p, (size_t)shared);
        memcpy(out + shared, rest.p, rest.n);
        before = (coco_str){ out, (size_t)shared + rest.n };
        COCO_TRY(coco__view_add(v, before, value));
    }
    return COCO_OK;
}

static size_t coco__shared(coco_str a, coco_str b)
{
    size_t n = a.n < b.n ? a.n : b.n, i = 0;

    while (i < n && a.p[i] == b.p[i]) i++;
    return i;
}

static size_t coco__view_find(const coco__view *v, coco_str ekey, bool *found)
{
    size_t lo = 0, hi = v->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = coco__str_cmp(v->entries[mid].ekey, ekey);
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0) lo = mid + 1;
        else hi = mid;
    }
    *found = false;
    return lo;
}

/* ---- While the component runs ---- */

COCO__IN void coco__owned_init(coco__owned *o, struct coco__run *run, coco__arena *arena, const coco__rec *rec)
{
    const coco__mem *m = arena->mem;

    memset(o, 0, sizeof *o);
    o->run = run;
    o->arena = arena;
    o->id = rec->id;
    o->paged = rec->flags & COCO__R_PAGED;
    o->inline_bytes = rec->entries;
    o->current = SIZE_MAX;
    o->last = &o->changes;
    coco__view_init(&o->view, m);
    coco__buf_init(&o->data, m);
    coco__table_init(&o->changed, m);
}

COCO__IN void coco__owned_free(coco__owned *o)
{
    if (!o->run) return;
    coco__view_free(&o->view);
    coco__buf_free(&o->data);
    coco__table_free(&o->changed);
    o->run = NULL;
}

static coco__page *coco__page_add(coco__owned *o, coco_str label)
{
    if (o->npages == o->cap) {
        size_t cap = o->cap ? o->cap * 2 : 1;
        coco__page *p = coco__arena_alloc(o->arena, cap * sizeof *p);
        if (!p) return NULL;
        if (o->npages) memcpy(p, o->pages, o->npages * sizeof *p);
        o->pages = p;
        o->cap = cap;
    }
    o->pages[o->npages] = (coco__page){ .label = label };
    return &o->pages[o->npages++];
}

static coco_status coco__owned_list(coco__owned *o)
{
    coco__dbkey prefix;
    coco__scan s;
    coco__txn t;
    coco_status rc = COCO_OK;

    if (o->listed) return rc;
    if (!o->paged) {
        if (!coco__page_add(o, (coco_str){ 0 })) return COCO_ENOMEM;
    } else {
        COCO_TRY(coco__run_read(o->run, &t));
        coco__dbkey_id(&prefix, COCO__PAGE, o->id, NULL, 0);
        coco__scan_open(&s, &t, &prefix, prefix.n);
        while (rc == COCO_OK && coco__scan_next(&s)) {
            coco_str label = { (char *)s.key.mv_data + prefix.n, s.key.mv_size - prefix.n };
            label = coco__arena_str(o->arena, label);
            if (!label.p || !coco__page_add(o, label)) rc = COCO_ENOMEM;
        }
        rc = coco__scan_close(&s, rc);
        coco__run_read_end(o->run, &t);
    }
    o->listed = rc == COCO_OK;
    return rc;
}

static coco_status coco__page_load(coco__owned *o, size_t i)
{
    coco__page *page = &o->pages[i];
    coco_str bytes = page->pinned.p ? page->pinned : o->inline_bytes;
    coco__dbkey k;

    if (o->current == i) return COCO_OK;
    o->current = SIZE_MAX;
    if (o->paged && !page->pinned.p) {
        coco__dbkey_id(&k, COCO__PAGE, o->id, page->label.p, page->label.n);
        COCO_TRY(coco__run_get(o->run, &k, &o->data, &bytes)); /* none: a claim emptied it meanwhile */
    }
    COCO_TRY(coco__view_decode(&o->view, bytes));
    if (!page->seen && !(page->seen = coco__arena_zalloc(o->arena, o->view.n / 8 + 1))) return COCO_ENOMEM;
    page->n = (uint32_t)o->view.n;
    o->current = i;
    o->pos = SIZE_MAX;
    return COCO_OK;
}

static size_t coco__page_of(const coco__owned *o, coco_str ekey)
{
    size_t lo = 0, hi = o->npages;

    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (coco__str_cmp(o->pages[mid].label, ekey) <= 0) lo = mid;
        else hi = mid;
    }
    return lo;
}

COCO__IN coco_status coco__owned_find(coco__owned *o, coco_str ekey, coco__entry **found)
{
    size_t next = o->pos + 1; /* declarations often come in order; SIZE_MAX wraps to 0 */
    bool there = o->current != SIZE_MAX && next < o->view.n && coco_str_equal(o->view.entries[next].ekey, ekey);

    *found = NULL;
    if (!there) {
        if (!o->paged && o->inline_bytes.n == 0) return COCO_OK;
        COCO_TRY(coco__owned_list(o));
        if (o->npages == 0) return COCO_OK;
        COCO_TRY(coco__page_load(o, coco__page_of(o, ekey)));
        next = coco__view_find(&o->view, ekey, &there);
    }
    if (!there) return COCO_OK;
    o->pos = next;
    *found = &o->view.entries[next];
    return COCO_OK;
}

/* Recorded ones stand together: the first is the first entry, or label, behind where the least key would be. */
COCO__IN coco_status coco__owned_memos(coco__owned *o, bool *any)
{
    coco_str least = { (const char[]){ 1, COCO__S_MEMO }, 2 }, first = { 0 };
    coco__entry *e;

    if (!o->memos) {
        COCO_TRY(coco__owned_find(o, least, &e)); /* reads the page */
        size_t at = coco__view_find(&o->view, least, any), next = o->current + 1;
        if (at < o->view.n) first = o->view.entries[at].ekey;
        else if (next < o->npages) first = o->pages[next].label;
        o->memos = coco__space_of(first, NULL) == COCO__S_MEMO ? 1 : -1;
    }
    *any = o->memos > 0;
    return COCO_OK;
}

COCO__IN bool coco__owned_mark(coco__owned *o)
{
    coco__page *page = &o->pages[o->current];
    uint8_t bit = (uint8_t)(1u << (o->pos & 7)), *byte = &page->seen[o->pos >> 3];

    assert(o->pos < page->n);
    if (*byte & bit) return false;
    *byte = (uint8_t)(*byte | bit);
    page->nseen++;
    return true;
}

COCO__IN coco_status coco__owned_pin(coco__owned *o, coco_str ekey, bool *seen)
{
    coco__page *page;
    coco__entry *e;

    *seen = false;
    if (!o->listed || o->npages == 0) return COCO_OK;
    COCO_TRY(coco__owned_find(o, ekey, &e));
    if (o->current == SIZE_MAX) return COCO_OK; /* nothing is recorded */
    page = &o->pages[o->current];
    if (o->paged && !page->pinned.p && !(page->pinned = coco__arena_str(o->arena, coco__buf_view(&o->data))).p)
        return COCO_ENOMEM;
    *seen = e && page->seen[o->pos >> 3] >> (o->pos & 7) & 1;
    return COCO_OK;
}

/* ---- Changes ---- */

/* Is the key behind those of all changes? As long as they come in order, none is looked up. */
static bool coco__owned_behind(const coco__owned *o, coco_str ekey)
{
    if (!o->changes) return true;
    const coco__change *last = (coco__change *)(void *)((char *)o->last - offsetof(coco__change, next));
    return o->sorted && coco__str_cmp(last->ekey, ekey) < 0;
}

COCO__IN coco__change *coco__owned_changed(coco__owned *o, coco_str ekey)
{
    if (coco__owned_behind(o, ekey)) return NULL;
    while (o->untabled && coco__table_put(&o->changed, o->untabled->ekey.p, o->untabled->ekey.n, o->untabled))
        o->untabled = o->untabled->next;
    coco__change *c = coco__table_get(&o->changed, ekey.p, ekey.n);
    for (coco__change *rest = o->untabled; rest && !c; rest = rest->next) /* there was no memory for the table */
        if (coco__str_cmp(rest->ekey, ekey) == 0) c = rest;
    return c;
}

/* Room for so many is made at a time, 1, 2, 4 …, that a small component takes little. */
static void *coco__block_take(const coco__owned *o, struct coco__block *b, size_t size)
{
    size_t n = o->nchanges < 64 ? o->nchanges + 1 : 64;

    if (!b->left) {
        if (!(b->at = coco__arena_zalloc(o->arena, n * size))) return NULL;
        b->left = n;
    }
    b->left--;
    b->at += size;
    return b->at - size;
}

COCO__IN coco_action *coco__owned_action(coco__owned *o)
{
    return coco__block_take(o, &o->action_room, sizeof(coco_action));
}

COCO__IN coco__change *coco__owned_change(coco__owned *o, coco_str ekey)
{
    coco__change *c = coco__block_take(o, &o->change_room, sizeof *c);

    char *key = c && ekey.n <= sizeof c->room ? c->room : coco__arena_alloc(o->arena, ekey.n);

    if (!c || !key) return NULL;
    c->ekey = (coco_str){ memcpy(key, ekey.p, ekey.n), ekey.n };
    o->sorted = coco__owned_behind(o, ekey);
    if (!o->untabled) o->untabled = c;
    *o->last = c;
    o->last = &c->next;
    o->nchanges++;
    return c;
}

COCO__IN coco_status coco__owned_each(coco__owned *o, bool unseen_only, coco__entry_fn fn, void *self)
{
    COCO_TRY(coco__owned_list(o));
    for (size_t i = 0; i < o->npages; i++) {
        const coco__page *page = &o->pages[i];
        if (unseen_only && page->seen && page->nseen == page->n) continue;
        COCO_TRY(coco__page_load(o, i));
        for (size_t j = 0; j < o->view.n; j++) {
            const coco__entry *e = &o->view.entries[j];
            if (unseen_only && (page->seen[j >> 3] >> (j & 7) & 1 || coco__owned_changed(o, e->ekey))) continue;
            COCO_TRY(fn(self, e));
        }
    }
    return COCO_OK;
}

/* ---- Writing ---- */

/* Merge sort of a list, without memory: takes the first n from it, and returns them in order. */
static coco__change *coco__sorted(coco__change **list, size_t n)
{
    coco__change *head = *list, **last = &head, *a, *b;

    if (n < 2) {
        *list = head->next, head->next = NULL;
        return head;
    }
    a = coco__sorted(list, n / 2);
    b = coco__sorted(list, n - n / 2);
    for (coco__change **first; a && b; last = &(*last)->next) {
        first = coco__str_cmp(a->ekey, b->ekey) <= 0 ? &a : &b;
        *last = *first, *first = (*first)->next;
    }
    *last = a ? a : b;
    return head;
}

static void coco__sort_changes(coco__owned *o)
{
    if (o->sorted || !o->changes) return;
    o->changes = coco__sorted(&(coco__change *){ o->changes }, o->nchanges);
    for (o->last = &o->changes; *o->last; o->last = &(*o->last)->next) continue;
    o->sorted = true;
    coco__table_clear(&o->changed);
    o->untabled = o->changes;
}

COCO__IN coco__change *coco__owned_cut(coco__owned *o, size_t n, coco__change **last)
{
    coco__sort_changes(o);
    for (*last = o->changes; n > 1; n--) *last = (*last)->next;
    coco__change *rest = (*last)->next;
    (*last)->next = NULL;
    return rest;
}

/* At the precommit all that the state may be is recorded: what it was, and what it becomes. */
static void coco__state_before(const coco__change *c, coco__state *s)
{
    *s = *coco__old_of(c);
    s->container |= c->container; /* what becomes a row keeps its content's place until the commit */
    s->key = c->key;
    s->condemned = false;
    if (s->npossible == 0) coco__possible_add(s, (coco_str){ NULL, 0 });
    coco__possible_add(s, c->record);
}

static void coco__state_after(const coco__change *c, coco__state *s)
{
    if (c->condemned) *s = *c->old, s->condemned = true;
    else *s = (coco__state){ .container = c->container, .user_managed = c->user_managed, .key = c->key,
                        .counter = c->counter, .npossible = 1, .possible = { c->record } };
}

COCO__IN bool coco__change_stays(const coco__change *c)
{ return c->after.p || c->condemned || (c->target && c->record.p); }

COCO__IN size_t coco__change_bytes(const coco__change *c)
{
    const coco__state *old = coco__old_of(c);
    size_t bytes = c->ekey.n + c->record.n + c->after.n + c->key.n + 32;

    for (size_t i = 0; i < old->npossible; i++) bytes += old->possible[i].n + 4;
    return bytes;
}

COCO__IN void coco__merge_init(coco__merge *m, const coco__mem *mem)
{
    *m = (coco__merge){ .values = { .mem = mem }, .value = { .mem = mem }, .out = { .mem = mem } };
    coco__view_init(&m->base, mem);
    coco__view_init(&m->into, mem);
}

COCO__IN void coco__merge_free(coco__merge *m)
{
    coco__view_free(&m->base);
    coco__view_free(&m->into);
    coco__arena_free(&m->values);
    coco__buf_free(&m->value);
    coco__buf_free(&m->out);
}

/* One change, beside the entry recorded under its key, if there is one. What nothing happens to outside, the precommit
 * leaves as it is. */
static coco_status coco__merge_change(coco__merge *m, const coco__change *c, const coco__entry *base)
{
    coco__state s;

    /* still recorded, although another component has it: that was in a try of this transaction */
    if (c->cancelled) return base ? coco__view_add(&m->into, c->ekey, base->value) : COCO_OK;
    if (m->commit ? c->after.p != NULL : c->early) return coco__view_add(&m->into, c->ekey, c->after);
    if (m->commit && !coco__change_stays(c)) return COCO_OK;
    if (!m->commit && (!c->target || (!c->action && !c->claimed)))
        return base ? coco__view_add(&m->into, c->ekey, base->value) : COCO_OK;
    if (m->commit) coco__state_after(c, &s);
    else coco__state_before(c, &s);
    m->value.n = 0;
    coco__state_put(&m->value, &s, s.key.n > COCO__CUT);
    coco_str value = { coco__arena_copy(&m->values, m->value.p, m->value.n), m->value.n };
    return m->value.failed || !value.p ? COCO_ENOMEM : coco__view_add(&m->into, c->ekey, value);
}

/* Merges the changes below `end` (p NULL: all) into the entries of base; *c advances. */
static coco_status coco__merge_page(coco__merge *m, coco__change **c, coco_str end)
{
    const coco__view *base = &m->base;
    size_t i = 0;

    m->into.n = 0;
    coco__arena_reset(&m->values);
    for (; *c && (!end.p || coco__str_cmp((*c)->ekey, end) < 0); *c = (*c)->next) {
        bool same = false;
        for (; i < base->n; i++) {
            int order = coco__str_cmp(base->entries[i].ekey, (*c)->ekey);
            if ((same = order == 0) || order > 0) break;
            COCO_TRY(coco__view_add(&m->into, base->entries[i].ekey, base->entries[i].value));
        }
        COCO_TRY(coco__merge_change(m, *c, same ? &base->entries[i++] : NULL));
    }
    for (; i < base->n; i++) COCO_TRY(coco__view_add(&m->into, base->entries[i].ekey, base->entries[i].value));
    return COCO_OK;
}

/* What an entry takes in a page, at most: same is what its key shares with the one before, at least. */
static size_t coco__entry_bytes(const coco__entry *e, size_t same) { return e->ekey.n - same + e->value.n + 3; }

static void coco__view_encode(const coco__view *v, size_t from, size_t to, coco__buf *out)
{
    coco_str before = { 0 };

    for (size_t i = from; i < to; before = v->entries[i++].ekey) {
        const coco__entry *e = &v->entries[i];
        size_t shared = coco__shared(before, e->ekey);
        coco__buf_varint(out, shared);
        coco__buf_blob(out, e->ekey.p + shared, e->ekey.n - shared);
        coco__buf_blob(out, e->value.p, e->value.n);
    }
}

/* Writes the entries as pages of about equal size, the first under label; an emptied page goes, unless it is the first,
 * which has one entry as soon as there are others: with few bytes behind the last owner LMDB fills its pages of owners.
 * Every third waits for the others: where pages come in order, LMDB leaves room for one more in each of its own. */
static coco_status coco__pages_put(const coco__txn *t, uint64_t id, coco_str label, const coco__view *v, coco__buf *out)
{
    /* what the first and the last key share, all of them do */
    size_t same = v->n ? coco__shared(v->entries[0].ekey, v->entries[v->n - 1].ekey) : 0, total = 0, bytes;
    coco__dbkey k;

    for (size_t i = 0; i < v->n; i++) total += coco__entry_bytes(&v->entries[i], same);
    size_t share = total / (total / COCO__PAGE_BYTES + 1) + 1, first = label.n || total < COCO__PAGE_BYTES ? share : 1;
    coco__dbkey_id(&k, COCO__PAGE, id, label.p, label.n);
    if (v->n == 0) return label.n ? coco__del(t, &k) : coco__put(t, &k, NULL, 0);
    for (size_t third = 0; third < 2; third++)
        for (size_t i = 0, from = 0, piece = 0; i < v->n; piece++) {
            for (from = i, bytes = 0; i < v->n && bytes < (from ? share : first); i++)
                bytes += coco__entry_bytes(&v->entries[i], same);
            if (piece % 3 / 2 != third) continue;
            out->n = 0;
            coco__view_encode(v, from, i, out);
            if (out->failed) return COCO_ENOMEM;
            if (from) coco__dbkey_id(&k, COCO__PAGE, id, v->entries[from].ekey.p, v->entries[from].ekey.n);
            COCO_TRY(coco__put(t, &k, out->p, out->n));
        }
    return COCO_OK;
}

/* The page that ekey falls in, copied (LMDB's memory moves under writes): its label, bytes, and the label behind it. */
typedef struct coco__page_at {
    coco__dbkey key, next; /* next.n 0: none */
    coco__buf bytes;
} coco__page_at;

static coco_status coco__page_seek(const coco__txn *t, uint64_t id, coco_str ekey, coco__page_at *at)
{
    coco__scan s;
    coco_str payload = { 0 };
    coco_status rc = COCO_OK;

    coco__dbkey_id(&at->key, COCO__PAGE, id, ekey.p, ekey.n);
    coco__scan_open(&s, t, &at->key, 9);
    at->bytes.n = at->next.n = 0;
    if (coco__scan_back(&s)) {
        memcpy(at->key.b, s.key.mv_data, at->key.n = s.key.mv_size);
        rc = coco__check_payload(t, &s.key, &s.data, &payload);
        coco__buf_put(&at->bytes, payload.p, payload.n);
        if (coco__scan_next(&s)) memcpy(at->next.b, s.key.mv_data, at->next.n = s.key.mv_size);
    } else {
        at->key.n = 9; /* the first page, not there yet */
    }
    rc = coco__scan_close(&s, rc);
    return at->bytes.failed ? COCO_ENOMEM : rc;
}

static coco_status coco__write_pages(coco__owned *o, const coco__txn *t, uint64_t id, coco__merge *m)
{
    coco__change *c = o->changes;
    coco__page_at at;
    coco_status rc = COCO_OK;

    coco__buf_init(&at.bytes, o->arena->mem);
    while (c && rc == COCO_OK) {
        rc = coco__page_seek(t, id, c->ekey, &at);
        if (rc == COCO_OK) rc = coco__view_decode(&m->base, (coco_str){ (const char *)at.bytes.p, at.bytes.n });
        coco_str end = at.next.n ? (coco_str){ (const char *)at.next.b + 9, at.next.n - 9 } : (coco_str){ 0 };
        if (rc == COCO_OK) rc = coco__merge_page(m, &c, end);
        if (rc == COCO_OK)
            rc = coco__pages_put(t, id, (coco_str){ (const char *)at.key.b + 9, at.key.n - 9 }, &m->into, &m->out);
    }
    coco__buf_free(&at.bytes);
    return rc;
}

static coco_status coco__write_inline(coco__owned *o, const coco__txn *t, coco__rec *rec, coco__merge *m)
{
    coco__change *c = o->changes;
    coco__buf *out = &m->out;
    coco_status rc = coco__view_decode(&m->base, rec->entries);

    if (rc == COCO_OK) rc = coco__merge_page(m, &c, (coco_str){ 0 });
    out->n = 0;
    if (rc == COCO_OK) coco__view_encode(&m->into, 0, m->into.n, out);
    if (rc == COCO_OK && out->n > COCO__INLINE_BYTES && (rec->flags & COCO__R_ID)) {
        rec->flags |= COCO__R_PAGED;
        rec->entries = (coco_str){ 0 };
        rc = coco__pages_put(t, rec->id, (coco_str){ 0 }, &m->into, out);
    } else if (rc == COCO_OK) {
        rec->entries = (coco_str){ (const char *)out->p, out->n };
    }
    return out->failed ? COCO_ENOMEM : rc;
}

COCO__IN coco_status coco__owned_write(coco__owned *o, const coco__txn *t, coco__rec *rec, bool commit, coco__merge *m)
{
    if (!o->changes) return COCO_OK; /* as of a hit */
    coco__sort_changes(o);
    m->commit = commit;
    return rec->flags & COCO__R_PAGED ? coco__write_pages(o, t, rec->id, m) : coco__write_inline(o, t, rec, m);
}

/* ---- Single entries of any component ---- */

COCO__IN coco_status coco__entry_get(const coco__txn *t, const coco__rec *rec, coco_str ekey, coco__arena *a,
                                     coco_str *value)
{
    coco__page_at at;
    coco__view v;
    coco_status rc = COCO_OK;
    coco_str bytes = rec->entries;
    bool found = false;

    *value = (coco_str){ 0 };
    coco__buf_init(&at.bytes, a->mem);
    coco__view_init(&v, a->mem);
    if (rec->flags & COCO__R_PAGED) {
        rc = coco__page_seek(t, rec->id, ekey, &at);
        bytes = (coco_str){ (const char *)at.bytes.p, at.bytes.n };
    }
    if (rc == COCO_OK) rc = coco__view_decode(&v, bytes);
    size_t i = rc == COCO_OK ? coco__view_find(&v, ekey, &found) : 0;
    if (found && !(*value = coco__arena_str(a, v.entries[i].value)).p) rc = COCO_ENOMEM;
    coco__view_free(&v);
    coco__buf_free(&at.bytes);
    return rc;
}

COCO__IN coco_status coco__entry_remove(const coco__txn *t, coco__rec *rec, coco_str ekey, coco__merge *m)
{
    coco__arena arena;
    coco__owned o;
    coco_status rc = COCO_ENOMEM;

    coco__arena_init(&arena, m->out.mem);
    /* used only to merge one removal; reads nothing */
    coco__owned_init(&o, (struct coco__run *)(uintptr_t)1, &arena, rec);
    if (coco__owned_change(&o, ekey)) rc = coco__owned_write(&o, t, rec, true, m);
    coco__owned_free(&o);
    coco__arena_free(&arena);
    return rc;
}

/* ---- The engine's own entries ---- */

COCO__IN coco_status coco__own(coco__owned *o, uint64_t space, coco_str key, coco_str value, coco_str *was)
{
    coco__ekey k;
    coco__change *ch;
    coco__entry *e;

    coco_str ekey = coco__ekey_make(&k, space, key.p, key.n);
    ch = coco__owned_changed(o, ekey);
    if (space == COCO__S_MEMO) o->memos = 1;
    if (!ch) {
        COCO_TRY(coco__owned_find(o, ekey, &e));
        bool given = e && was && !(space == COCO__S_STATE && o->run->full);
        if (given && !(*was = coco__arena_str(o->arena, e->value)).p) return COCO_ENOMEM;
        bool same = e && value.p && coco_str_equal(e->value, value);
        if (e) coco__owned_mark(o);
        if (same || !value.p) return COCO_OK;
        coco_str old = { 0 };
        if (e && space == COCO__S_MEMO && !(old = coco__arena_str(o->arena, e->value)).p) return COCO_ENOMEM;
        if (!(ch = coco__owned_change(o, ekey))) return COCO_ENOMEM;
        ch->was = e != NULL;
        ch->record = old;
    } else {
        if (was) *was = ch->after;
        if (!value.p) return COCO_OK;
    }
    ch->after = coco__arena_str(o->arena, value);
    ch->early = space == COCO__S_ID; /* ids are kept from the precommit on */
    return ch->after.p ? COCO_OK : COCO_ENOMEM;
}
