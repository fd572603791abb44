/* check.c - the store of an app walked in one snapshot: findings, and what is primary, targets and components.
 *
 * Floor: above app, beside inspect; calls store, states, memo's decoder and key to print. recount.c goes on from here
 * to what follows from these records. Each record is decoded in key order, and looked for from the other side: the
 * owner of each target state, the place of each number. The use of function memos, of dependency sets and of targets is
 * added up in tables. Invariants:
 *   - Any bytes whatever may stand in a record: they lead to a line that names it, never further.
 *   - Where repair is asked for, each finding leaves a fix in a list (repair.c applies it when the walk is over), so
 *     that the walk never sees a half repaired store.
 * Memory: some 64 bytes a function memo, a dependency set and a provider; components cost none. */
#include "engine.h"

enum { COCO__FINDINGS_MAX = 10000 }; /* told; more are counted alone */

/* ---- Findings ---- */

COCO__IN coco_status coco__fix_add(coco__audit *a, enum coco__fix_op op, const coco__dbkey *k, coco_str payload)
{
    coco__fix *f;

    if (!a->repair) return COCO_OK;
    if (a->fixes && a->fixes->op == op && a->fixes->key.n == k->n && memcmp(a->fixes->key.b, k->b, k->n) == 0)
        return COCO_OK; /* the same component again */
    if (!(f = coco__arena_zalloc(&a->arena, sizeof *f))) return a->rc = COCO_ENOMEM;
    f->op = op;
    f->key = *k;
    f->payload = coco__arena_str(&a->arena, payload);
    if (!f->payload.p) return a->rc = COCO_ENOMEM;
    f->next = a->fixes;
    a->fixes = f;
    return COCO_OK;
}

COCO__IN coco_status coco__fix_del(coco__audit *a, const coco__dbkey *k)
{ return coco__fix_add(a, COCO__FIX_DEL, k, (coco_str){ "", 0 }); }

COCO__IN coco_status coco__fix_put(coco__audit *a, const coco__dbkey *k, const coco__buf *b)
{
    return b->failed ? (a->rc = COCO_ENOMEM) : coco__fix_add(a, COCO__FIX_PUT, k, coco__buf_view(b));
}

COCO__IN coco_status coco__fix_number(coco__audit *a, const coco__dbkey *k, uint64_t n)
{
    uint8_t varint[10];

    if (n == 0) return coco__fix_del(a, k);
    return coco__fix_add(a, COCO__FIX_PUT, k, (coco_str){ (char *)varint, coco__varint(varint, n) });
}

/* A record is put together anew from what can be read of it and from the indexes. */
COCO__IN coco_status coco__fix_rebuild(coco__audit *a, const coco__place *at)
{
    coco__dbkey k;

    coco__place_key(&k, COCO__COMPONENT, at);
    return coco__fix_add(a, COCO__FIX_REBUILD, &k, at->segment);
}

COCO__IN coco_status coco__found(coco__audit *a, const coco__place *at, const char *fmt, ...)
{
    char text[COCO_ERR_MAX];
    coco__buf path, *told = a->nfound++ < COCO__FINDINGS_MAX ? a->told : NULL;

    if (!told) return a->rc;
    COCO__FORMAT(text, fmt);
    coco__buf_init(&path, a->arena.mem);
    if (at && coco__place_path(&a->quiet, at, &path) == COCO_OK) coco__path_print(told, path.p, path.n);
    else if (at) {
        coco__buf_str(told, "?/");
        coco__key_print(told, at->segment.p, at->segment.n);
    }
    coco__buf_free(&path);
    coco__buf_byte(told, 0);
    coco__buf_put(told, text, strlen(text) + 1);
    if (told->failed) a->rc = COCO_ENOMEM;
    return a->rc;
}

/* About the component that is being looked at. */
static coco_status coco__unsound(coco__audit *a, const char *what)
{
    a->sound = false;
    return coco__found(a, &a->at, "%s", what);
}

/* ---- Walking ---- */

/* Calls fn (NULL: none) for each record whose key begins with prefix. LMDB's own damage shows as an error, or as keys
 * that don't ascend. */
COCO__IN coco_status coco__each_row(coco__audit *a, const coco__dbkey *prefix, coco__row_fn fn)
{
    coco__dbkey before = { .n = 0 };
    coco__scan s;
    coco_str payload;
    coco_status rc = COCO_OK;
    bool broken = false;

    if (a->rc != COCO_OK) return a->rc;
    coco__scan_open(&s, a->t, prefix, prefix->n);
    while (rc == COCO_OK && coco__scan_next(&s)) {
        broken = s.key.mv_size > COCO__KEY_MAX ||
                 coco__bytes_cmp(before.b, before.n, s.key.mv_data, s.key.mv_size) >= 0;
        if (broken) break;
        memcpy(before.b, s.key.mv_data, before.n = s.key.mv_size);
        a->nrows++;
        if (coco__check_payload(&a->quiet, &s.key, &s.data, &payload) != COCO_OK) payload = (coco_str){ NULL, 0 };
        if (fn) rc = fn(a, &before, payload);
        if (rc == COCO_OK) rc = a->rc;
    }
    broken |= s.rc == MDB_CORRUPTED || s.rc == MDB_PAGE_NOTFOUND;
    rc = coco__scan_close(&s, rc);
    return a->rc = broken ? coco_err_set(a->t->err, COCO_ECORRUPT, COCO__PAGES_DAMAGED, a->t->env->dir) : rc;
}

COCO__IN coco_status coco__each_of(coco__audit *a, enum coco__kind kind, coco__row_fn fn)
{
    coco__dbkey prefix;

    coco__dbkey_raw(&prefix, kind, NULL, 0);
    return coco__each_row(a, &prefix, fn);
}

/* Those of a number, which a pass over the whole kind counts. */
COCO__IN coco_status coco__each_below(coco__audit *a, enum coco__kind kind, uint64_t id, coco__row_fn fn)
{
    uint64_t nrows = a->nrows;
    coco__dbkey prefix;

    coco__dbkey_id(&prefix, kind, id, NULL, 0);
    coco__each_row(a, &prefix, fn);
    a->nrows = nrows;
    return a->rc;
}

COCO__IN bool coco__peek(coco__audit *a, const coco__dbkey *k, coco_str *payload)
{
    if (coco__get(&a->quiet, k, payload) == COCO_OK) return true;
    *payload = (coco_str){ NULL, 0 };
    return false;
}

COCO__IN bool coco__peek_place(coco__audit *a, uint64_t id, coco__place *at)
{
    coco_str p;

    return coco__get_id(&a->quiet, COCO__PARENT, id, &p) == COCO_OK && coco__place_get(p, at) == COCO_OK;
}

COCO__IN bool coco__peek_rec(coco__audit *a, const coco__place *at, coco__rec *rec)
{
    coco__dbkey k;
    coco_str p;

    coco__place_key(&k, COCO__COMPONENT, at);
    return coco__peek(a, &k, &p) && coco__rec_read(p, rec);
}

COCO__IN bool coco__step_up(coco__audit *a, uint64_t id, coco__place *at, coco__rec *rec)
{
    return coco__peek_place(a, id, at) && (at->parent || !at->segment.n) && coco__peek_rec(a, at, rec) &&
           (rec->flags & COCO__R_ID) && rec->id == id;
}

COCO__IN void coco__raise(uint64_t *top, uint64_t id)
{
    if (id >= *top && id < UINT64_MAX) *top = id + 1;
}

COCO__IN uint64_t coco__key_number(const coco__dbkey *k) { return k->n == 9 ? coco__get_be64(k->b + 1) : 0; }

COCO__IN coco_status coco__damaged(coco__audit *a, const coco__dbkey *k, const char *what)
{
    coco__found(a, NULL, "%s is damaged", what);
    return coco__fix_add(a, COCO__FIX_DAMAGED, k, (coco_str){ "", 0 });
}

/* ---- Tallies: what the records of components and memos add up to ---- */

COCO__IN coco__tally *coco__tally_add(coco__audit *a, coco__table *table, const void *key, size_t n, uint64_t more)
{
    coco__tally *t = coco__table_get(table, key, n);

    if (!t && (t = coco__arena_zalloc(&a->arena, sizeof *t)) != NULL) {
        memcpy(t->key, key, n);
        if (!coco__table_put(table, t->key, n, t)) t = NULL;
    }
    if (t) t->n += more;
    else a->rc = COCO_ENOMEM;
    return t;
}

COCO__IN bool coco__set_there(coco__audit *a, uint64_t id)
{
    coco_str p;

    return coco__get_id(&a->quiet, COCO__DEPSET, id, &p) == COCO_OK;
}

COCO__IN coco_status coco__use_set(coco__audit *a, uint64_t id)
{
    uint8_t be[8];

    coco__put_be64(be, id);
    coco__tally_add(a, &a->sets, be, sizeof be, 1);
    coco__raise(&a->top.next_depset, id);
    return a->rc;
}

/* ---- Providers ---- */

COCO__IN bool coco__one_key(coco_str s) { return s.n && coco__key_length((const uint8_t *)s.p, s.n) == s.n; }

static bool coco__is_cut_of(const void *p, size_t n, coco_str key)
{
    uint8_t cut[COCO__CUT_LENGTH];

    return coco__bytes_cmp(cut, coco__cut(cut, key.p, key.n), p, n) == 0;
}

/* May a target in the one with a number have the key? That of a type is a list of its name and its own key. */
COCO__IN bool coco__target_key_sound(uint64_t parent, coco_str key)
{ return coco__one_key(key) && (parent || (key.n > 2 && key.p[0] == COCO__KEY_LIST && key.p[1] == COCO__KEY_SYMBOL)); }

/* Decodes a provider's record, whose key below its parent must follow from it. */
COCO__IN bool coco__provider_sound(coco__audit *a, const coco__dbkey *k, coco_str payload, coco__seen_place *out)
{
    coco__provider_rec rec;

    if (coco__provider_get(payload, &rec) != COCO_OK || k->n < 9 || rec.id < COCO__S_FIRST_PROVIDER) return false;
    *out = (coco__seen_place){ .id = rec.id, .parent = coco__get_be64(k->b + 1), .title = rec.title,
                               .attachment = rec.attachment };
    if (out->parent >= out->id) return false; /* numbers rise on the way down */
    if (rec.attachment ? !out->parent : !coco__target_key_sound(out->parent, rec.key)) return false;
    a->bytes.n = 0;
    coco__provider_suffix(&a->bytes, rec.key, rec.attachment);
    if (a->bytes.failed) a->rc = COCO_ENOMEM;
    return coco__is_cut_of(k->b + 9, k->n - 9, coco__buf_view(&a->bytes));
}

COCO__IN coco_status coco__provider_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__seen_place seen = { .id = 0 }, *s;
    coco__dbkey by_id;
    coco_str p;

    if (!payload.p || !coco__provider_sound(a, k, payload, &seen))
        return coco__damaged(a, k, "the record of a target");
    coco__raise(&a->top.next_provider, seen.id);
    if (coco__table_get(&a->places, &seen.id, sizeof seen.id)) {
        coco__found(a, NULL, "target %.*s has the id of another", (int)seen.title.n, seen.title.p);
        return coco__fix_del(a, k);
    }
    if (!(s = coco__arena_copy(&a->arena, &seen, sizeof seen))) return COCO_ENOMEM;
    if (!(s->title = coco__arena_str(&a->arena, seen.title)).p) return COCO_ENOMEM;
    if (!(s->key = coco__arena_copy(&a->arena, k, sizeof *k))) return COCO_ENOMEM;
    if (!coco__table_put(&a->places, &s->id, sizeof s->id, s)) return COCO_ENOMEM;
    coco__dbkey_id(&by_id, COCO__PROVIDER_ID, seen.id, NULL, 0);
    if (coco__peek(a, &by_id, &p) && coco__bytes_cmp(p.p, p.n, k->b + 1, k->n - 1) == 0) return COCO_OK;
    coco__found(a, NULL, "target %.*s is not found by its id", (int)seen.title.n, seen.title.p);
    return coco__fix_add(a, COCO__FIX_PUT, &by_id, (coco_str){ (const char *)k->b + 1, k->n - 1 });
}

COCO__IN coco__seen_place *coco__top_of(coco__audit *a, uint64_t id)
{
    coco__seen_place *s = coco__table_get(&a->places, &id, sizeof id), *below = s;

    while (s && s->parent) { /* numbers rise on the way down */
        below = s;
        s = coco__table_get(&a->places, &s->parent, sizeof s->parent);
    }
    return s ? below : NULL;
}

COCO__IN coco_status coco__provider_id_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    uint64_t id = coco__key_number(k);
    const coco__seen_place *s = coco__table_get(&a->places, &id, sizeof id);

    coco__raise(&a->top.next_provider, id);
    if (s && payload.p) return COCO_OK; /* compared from the other side */
    coco__found(a, NULL, "target number %llu has no record", (unsigned long long)id);
    return coco__fix_add(a, payload.p && id ? COCO__FIX_PROVIDER : COCO__FIX_DAMAGED, k, payload);
}

/* What is recorded below it is void then, and goes. */
static coco_status coco__drop_provider(coco__audit *a, const coco__seen_place *s, const char *why)
{
    coco__dbkey by_id;

    coco__found(a, NULL, "target %.*s %s", (int)s->title.n, s->title.p, why);
    coco__dbkey_id(&by_id, COCO__PROVIDER_ID, s->id, NULL, 0);
    coco__fix_del(a, &by_id);
    return coco__fix_del(a, s->key);
}

/* After all components: the number of states, and the container that a provider stands for. */
COCO__IN coco_status coco__provider_end(coco__audit *a, const coco__seen_place *s)
{
    coco__dbkey k;
    uint64_t n;

    if (!coco__top_of(a, s->id)) return coco__drop_provider(a, s, "stands in one that is gone");
    if (s->parent && !s->attachment && !s->container)
        return coco__drop_provider(a, s, "is the content of a container that no component has");
    coco__dbkey_id(&k, COCO__COUNT_OF, s->id, NULL, 0);
    coco__get_number(&a->quiet, &k, &n);
    if (n == s->states) return COCO_OK;
    coco__found(a, NULL, "target %.*s: %llu states are counted, %llu are there", (int)s->title.n, s->title.p,
                (unsigned long long)n, (unsigned long long)s->states);
    return coco__fix_number(a, &k, s->states);
}

COCO__IN coco_status coco__count_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    uint64_t id = coco__key_number(k);
    const coco__seen_place *s = coco__table_get(&a->places, &id, sizeof id);

    if (!payload.p) return coco__damaged(a, k, "a count of states");
    if (s) return COCO_OK; /* compared there */
    coco__found(a, NULL, "states are counted of a target that is gone");
    return coco__fix_del(a, k);
}

/* ---- Components ---- */

COCO__IN bool coco__states_sound(coco_str states)
{
    coco__reader r = coco__reader_of(states.p, states.n);

    while (coco__left(&r) && !r.bad) {
        uint64_t tag = coco__read_varint(&r);
        if (tag > COCO_MAX_PARAMS && tag != 15) return false;
        if (tag == 0) coco__read_blob(&r);             /* its class … */
        if (tag == 0 || tag == 15) coco__read_blob(&r); /* … and its key */
        coco__read_blob(&r);
    }
    return !r.bad;
}

COCO__IN bool coco__value_sound(coco__audit *a, coco_str stored)
{
    coco__reader r = coco__reader_of(stored.p, stored.n);
    coco__mark mark = coco__arena_mark(&a->scratch);
    coco_value v;
    coco_status rc = stored.n ? coco__value_get(&r, &a->scratch, &v) : COCO_OK;

    coco__arena_release(&a->scratch, mark);
    return rc != COCO_ECORRUPT && coco__left(&r) == 0;
}

/* Climbs from a parent id to the root: is every link there from both sides? *sealed: a memo above would hit without
 * looking below. */
COCO__IN bool coco__climb(coco__audit *a, uint64_t id, bool *sealed)
{
    coco__place at = { 0, { "", 0 } };
    coco__dbkey k;
    coco__rec rec;
    coco_str p;
    bool gone = false; /* a tombstone between: what is above goes on without it */

    *sealed = false;
    for (int depth = 0; id; depth++) {
        if (depth == COCO__DEEPEST || !coco__step_up(a, id, &at, &rec)) return false;
        if (!gone) *sealed |= (rec.flags & (COCO__R_MEMO | COCO__R_PENDING)) == COCO__R_MEMO;
        coco__place_key(&k, COCO__TOMBSTONE, &at);
        gone |= coco__peek(a, &k, &p);
        id = at.parent;
    }
    return true;
}

/* What the place that the owner index gives for an entry really has there, in scratch memory; p NULL: nothing. */
COCO__IN coco_str coco__owner_value(coco__audit *a, coco_str ekey, coco_str payload)
{
    coco__place at;
    coco__rec rec;
    coco_str value = { NULL, 0 };

    if (coco__place_get(payload, &at) == COCO_OK && coco__peek_rec(a, &at, &rec) &&
        coco__entry_get(&a->quiet, &rec, ekey, &a->scratch, &value) == COCO_ENOMEM)
        a->rc = COCO_ENOMEM;
    return value;
}

COCO__IN bool coco__owner_true(coco__audit *a, coco_str ekey, coco_str payload)
{
    coco__mark mark = coco__arena_mark(&a->scratch);
    bool there = coco__owner_value(a, ekey, payload).p;

    coco__arena_release(&a->scratch, mark);
    return there;
}

/* The record of a container's place; NULL: there is none. */
COCO__IN coco__seen_place *coco__place_below(coco__audit *a, uint64_t space, coco_str key)
{
    coco__dbkey k;
    uint64_t id;

    coco__place_key(&k, COCO__PROVIDER, &(coco__place){ space, key });
    coco__get_number(&a->quiet, &k, &id);
    return coco__table_get(&a->places, &id, sizeof id);
}

/* Is the owner index's way to the state the one to the component being looked at? */
static coco_status coco__check_owner(coco__audit *a, const coco__entry *e, const coco__seen_place *in, coco_str key)
{
    coco__place owner;
    coco__dbkey k;
    coco_str p;

    coco__dbkey_raw(&k, COCO__OWNER, e->ekey.p, e->ekey.n);
    if (coco__peek(a, &k, &p) && coco__place_get(p, &owner) == COCO_OK && coco__place_equal(&owner, &a->at)) {
        a->nowners++;
        return COCO_OK;
    }
    a->bytes.n = 0;
    coco__state_print(&a->bytes, in->title, key);
    if (p.p && coco__owner_true(a, e->ekey, p)) {
        a->sound = false;
        return coco__found(a, &a->at, "another component owns its target state %s", coco__buf_cstr(&a->bytes));
    }
    a->strange |= p.p != NULL;
    coco__found(a, &a->at, "the owner index doesn't lead to it from its target state %s",
                coco__buf_cstr(&a->bytes));
    a->bytes.n = 0;
    coco__place_put(&a->bytes, &a->at);
    return coco__fix_put(a, &k, &a->bytes);
}

/* A state that isn't void: counted under its top, found by the owner index; of a container the content has a place. */
static coco_status coco__check_state(coco__audit *a, const coco__entry *e, uint64_t space)
{
    coco__seen_place *s = coco__table_get(&a->places, &space, sizeof space), *top = coco__top_of(a, space);
    coco__state state;

    coco__raise(&a->top.next_provider, space);
    a->nstates++;
    if (!top || coco__state_get(0, e->ekey, e->value, &state) != COCO_OK) return COCO_OK;
    top->states++;
    a->unsettled |= state.npossible != 1 || !state.possible[0].p || state.condemned;
    if (state.container) {
        coco__seen_place *below = coco__place_below(a, space, state.key);
        if (below) below->container = true;
        else if (!coco__any_absent(&state))
            coco__unsound(a, "a container of it has no place for its content");
    }
    return coco__check_owner(a, e, s, state.key);
}

COCO__IN bool coco__entry_sound(coco__audit *a, const coco__entry *e)
{
    coco_str key;
    uint64_t space = coco__space_of(e->ekey, &key);
    coco__memo m;
    coco__state s;

    switch (space) {
    case 0: return false;
    case COCO__S_USE: return key.n == COCO__FP && e->value.n == 0;
    case COCO__S_MEMO:
        return key.n == COCO__FP && coco__memo_get(e->value, &m) == COCO_OK && coco__states_sound(m.states) &&
               coco__value_sound(a, m.result) && coco__set_there(a, m.set);
    case COCO__S_STATE: return e->value.n && coco__value_sound(a, e->value);
    case COCO__S_ID: return e->value.n == 8;
    default:
        return space >= COCO__S_FIRST_PROVIDER && coco__state_get(0, e->ekey, e->value, &s) == COCO_OK &&
               coco__one_key(s.key) && coco__is_cut_of(key.p, key.n, s.key);
    }
}

/* One entry of the component being looked at. */
static coco_status coco__check_entry(coco__audit *a, const coco__entry *e)
{
    coco_str key;
    uint64_t space = coco__space_of(e->ekey, &key);
    coco__memo m;

    if (coco__bytes_cmp(a->last.b, a->last.n, e->ekey.p, e->ekey.n) >= 0)
        return coco__unsound(a, "its entries are out of order");
    memcpy(a->last.b, e->ekey.p, a->last.n = e->ekey.n);
    if (!coco__entry_sound(a, e)) {
        a->nstates += space >= COCO__S_FIRST_PROVIDER;
        return coco__unsound(a, space == COCO__S_MEMO ? "a memo of it is malformed, or its dependency set gone"
                                                      : "what it has recorded is malformed");
    }
    if (space == COCO__S_USE) coco__tally_add(a, &a->uses, key.p, COCO__FP, 1);
    if (space == COCO__S_MEMO && coco__memo_get(e->value, &m) == COCO_OK) return coco__use_set(a, m.set);
    if (space == COCO__S_ID) coco__raise(&a->top.next_int_id, coco__get_be64((const uint8_t *)e->value.p));
    return space >= COCO__S_FIRST_PROVIDER ? coco__check_state(a, e, space) : COCO_OK;
}

/* Of a page its label is where they begin at the earliest. */
static coco_status coco__check_entries(coco__audit *a, coco_str bytes, coco_str label)
{
    coco_status rc = coco__view_decode(&a->view, bytes);

    if (rc == COCO_ECORRUPT) return coco__unsound(a, "its entries are malformed");
    if (rc != COCO_OK) a->rc = rc;
    else if (a->view.n && coco__str_cmp(a->view.entries[0].ekey, label) < 0)
        return coco__unsound(a, "a page of its target states is labelled wrong");
    for (size_t i = 0; i < a->view.n && a->rc == COCO_OK; i++) coco__check_entry(a, &a->view.entries[i]);
    return a->rc;
}

/* A page's keys lie from its label up to the next one's: what came before it is smaller. */
static coco_status coco__own_page_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco_str label = { (const char *)k->b + 9, k->n - 9 };

    a->npages++;
    if (!payload.p) return coco__unsound(a, "a page of its target states is damaged");
    if (coco__bytes_cmp(a->last.b, a->last.n, label.p, label.n) >= 0 && (label.n || a->last.n))
        return coco__unsound(a, "a page of its target states begins before the one before it ends");
    return coco__check_entries(a, payload, label);
}

COCO__IN bool coco__any_child(const coco__txn *t, enum coco__kind kind, uint64_t id)
{
    coco__dbkey k;

    coco__dbkey_id(&k, kind, id, NULL, 0);
    return coco__first(t, &k, NULL) != COCO_ENOTFOUND;
}

/* The id by which children and pages find it. */
static coco_status coco__check_id(coco__audit *a, const coco__rec *rec)
{
    coco__place at;

    coco__raise(&a->top.next_id, rec->id);
    if (!coco__peek_place(a, rec->id, &at) || !coco__place_equal(&at, &a->at))
        return coco__unsound(a, "its children and pages are not found by its number");
    a->nparents++;
    if ((rec->flags & COCO__R_COMPONENT) || coco__any_child(a->t, COCO__COMPONENT, rec->id)) return COCO_OK;
    if (rec->flags & COCO__R_SOURCE) return COCO_OK; /* it was followed when its last item went */
    return coco__unsound(a, "an inner node that nothing stands below");
}

/* A component's memo, or what is kept of a failure. */
COCO__IN bool coco__memo_sound(coco__audit *a, const coco__rec *rec)
{
    bool has = rec->flags & (COCO__R_MEMO | COCO__R_FAILED);

    return coco__states_sound(rec->states) && coco__value_sound(a, rec->result) &&
           (!has || coco__set_there(a, rec->depset));
}

/* A component whose record could be decoded: its memo, its name, its entries, what they add up to. */
static coco_status coco__check_component(coco__audit *a, const coco__rec *rec)
{
    bool pending = rec->flags & COCO__R_PENDING;
    coco__dbkey tomb;
    coco_str p;

    a->nstates = a->last.n = 0;
    a->unsettled = rec->flags & COCO__R_NEW, a->strange = false;
    coco__raise(&a->top.next_run, rec->run);
    if (coco__get_id(&a->quiet, COCO__NAME, rec->fn, &p) != COCO_OK && !(rec->fn == 0 && pending)) /* 0: rebuilt */
        coco__unsound(a, "the name of its function is gone");
    if (rec->flags & (COCO__R_MEMO | COCO__R_FAILED)) coco__use_set(a, rec->depset);
    if (!coco__memo_sound(a, rec)) coco__unsound(a, "its memo is malformed, or its dependency set gone");
    if (rec->flags & COCO__R_PAGED) {
        coco__each_below(a, COCO__PAGE, rec->id, coco__own_page_row);
    } else {
        coco__check_entries(a, rec->entries, (coco_str){ "", 0 });
    }
    coco__place_key(&tomb, COCO__TOMBSTONE, &a->at);
    if (a->strange) coco__fix_add(a, COCO__FIX_PENDING, &tomb, (coco_str){ "", 0 });
    if (a->nstates != rec->nstates) {
        coco__found(a, &a->at, "%llu target states are counted, %llu are there",
                    (unsigned long long)rec->nstates, (unsigned long long)a->nstates);
        a->sound = false;
    }
    if (a->unsettled && (rec->flags & COCO__R_MEMO) && !pending)
        return coco__unsound(a, "its memo stands for a target state that isn't settled");
    if (!pending || !a->sealed || coco__peek(a, &tomb, &p)) return COCO_OK; /* gone: what is above goes on without it */
    return coco__unsound(a, "pending below a memo that would hit");
}

/* Is the record's key that of the segment? *at is where it stands. */
static bool coco__segment_sound(const coco__dbkey *k, const coco__rec *rec, coco__place *at)
{
    at->parent = coco__get_be64(k->b + 1);
    at->segment = (coco_str){ (const char *)k->b + 9, k->n - 9 };
    if (rec->flags & COCO__R_LONG) at->segment = rec->segment;
    if (!at->parent) return at->segment.n == 0 && k->n == 9;
    return coco__is_cut_of(k->b + 9, k->n - 9, at->segment) && coco__one_key(at->segment);
}

COCO__IN bool coco__rec_read(coco_str payload, coco__rec *rec)
{
    const uint32_t both = COCO__R_COMPONENT | COCO__R_ID;

    if (coco__rec_get(payload, rec, NULL) != COCO_OK || !(rec->flags & both)) return false;
    if (!(rec->flags & COCO__R_ID) != !rec->id) return false;
    return !(rec->flags & COCO__R_PAGED) || (rec->flags & both) == both;
}

COCO__IN coco_status coco__component_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__rec rec = { .flags = 0 };

    if (k->n < 9) return coco__damaged(a, k, "the record of a component");
    if (!a->begun || a->parent != coco__get_be64(k->b + 1)) {
        a->begun = true;
        a->parent = coco__get_be64(k->b + 1);
        coco__raise(&a->top.next_id, a->parent);
        if (!coco__climb(a, a->parent, &a->sealed)) {
            coco__found(a, NULL, "components stand below number %llu, which hangs nowhere",
                        (unsigned long long)a->parent);
            coco__fix_add(a, COCO__FIX_ATTACH, k, (coco_str){ "", 0 });
        }
    }
    a->sound = payload.p && coco__rec_read(payload, &rec);
    bool placed = coco__segment_sound(k, &rec, &a->at);
    if (!a->sound) {
        if (!placed) a->at.segment = (coco_str){ (const char *)k->b + 9, k->n - 9 }; /* the record tells another one */
        coco__unsound(a, "its record is damaged");
    } else if (!placed) {
        coco__found(a, NULL, "a component's record stands under a key that isn't its own");
        return coco__fix_add(a, COCO__FIX_MOVE, k, (coco_str){ "", 0 });
    } else {
        if (rec.flags & COCO__R_ID) coco__check_id(a, &rec);
        if (rec.flags & COCO__R_COMPONENT) coco__check_component(a, &rec);
    }
    return a->sound ? COCO_OK : coco__fix_add(a, COCO__FIX_REBUILD, k, a->at.segment); /* it may be cut */
}
