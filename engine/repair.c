/* repair.c - what a walk has found wrong is put right.
 *
 * Floor: above check. The walk leaves fixes; those of the first sort that there are (engine.h) are made, and the walk
 * begins again, until nothing is found: all of it in one write transaction, so that a crash leaves the state as it was
 * or whole. What a fix must never do is lose a target state:
 *   1. A component whose record can't be read is put together from what is left: its pages, its number, and the owner
 *      index, which knows its target states. All that is known of such a state is that it may be there ("absent" and
 *      an unreadable record are its possibilities; of a container the record stands with its content's place), and its
 *      component is pending: the next update declares it again or deletes it.
 *   2. What hangs nowhere goes below the root at @lost, where the next update finds it no longer mounted: what is
 *      declared elsewhere is claimed from there, the rest is deleted from the targets.
 *   3. Whatever was rebuilt is pending, and so is every memo above it.
 * Each round leaves fewer records that aren't what their keys say, or where all are, none that doesn't follow from
 * them: rounds end. Of function memos, dependency sets, names, runs and tombstones none is ever made. A target is made
 * only where it is sound to the walk, from a number that has none, and a number only for a target that isn't found by
 * its own: so targets without a number, those that aren't sound, numbers without a target, and then both become fewer.
 * Of components it is shown, not proved: test_repair puts each record in the place of each other of its kind and
 * changes bytes of each, and needs 6 rounds of the 64 that there may be; beyond them nothing is written. */
#include "engine.h"

/* ---- Fixes ---- */

typedef struct coco__mend {
    coco__audit *a;
    const coco__txn *t;
    coco__txn quiet;     /* the same, for records that can't be read */
    coco__arena arena;   /* of one fix */
    coco__buf out, bytes;
    coco__merge merge;
} coco__mend;

/* A record, copied, as puts move LMDB's memory; p NULL: missing or damaged. Without memory all is taken back. */
static coco_str coco__mend_read(coco__mend *m, const coco__dbkey *k)
{
    coco_str p;

    if (coco__get(&m->quiet, k, &p) != COCO_OK) return (coco_str){ NULL, 0 };
    p = coco__arena_str(&m->arena, p);
    if (!p.p) m->a->rc = COCO_ENOMEM;
    return p;
}

static bool coco__mend_read_place(coco__mend *m, const coco__dbkey *k, coco__place *at)
{
    return coco__place_get(coco__mend_read(m, k), at) == COCO_OK;
}

/* Where the component with a number stands. */
static bool coco__mend_place_of(coco__mend *m, uint64_t id, coco__place *at)
{
    coco__dbkey k;

    coco__dbkey_id(&k, COCO__PARENT, id, NULL, 0);
    return coco__mend_read_place(m, &k, at);
}

static bool coco__mend_rec(coco__mend *m, const coco__dbkey *k, coco__rec *rec)
{
    coco_str p = coco__mend_read(m, k);

    if (p.p && coco__rec_read(p, rec)) return true;
    memset(rec, 0, sizeof *rec);
    return false;
}

static coco_status coco__mend_put(coco__mend *m, const coco__dbkey *k, const coco__rec *rec)
{
    m->bytes.n = 0;
    coco__rec_put(&m->bytes, rec);
    return coco__put_buf(m->t, k, &m->bytes);
}

static coco_status coco__mend_place(coco__mend *m, uint64_t id, const coco__place *at)
{
    coco__dbkey k;

    m->bytes.n = 0;
    coco__place_put(&m->bytes, at);
    coco__dbkey_id(&k, COCO__PARENT, id, NULL, 0);
    return coco__put_buf(m->t, &k, &m->bytes);
}

static coco_status coco__mend_number(coco__mend *m, uint64_t *id)
{
    coco__meta meta;

    if (coco__meta_get(&m->quiet, &meta) != COCO_OK) meta = m->a->top;
    if (meta.next_id < m->a->top.next_id) meta.next_id = m->a->top.next_id;
    *id = meta.next_id++;
    m->a->top.next_id = meta.next_id;
    return coco__meta_put(m->t, &meta);
}

/* The memo of the component with a key, if it is there, and those above don't hit. */
static coco_status coco__mend_pending(coco__mend *m, const coco__dbkey *below)
{
    coco__dbkey k = *below;
    coco__place at;
    coco__rec rec;

    k.b[0] = COCO__COMPONENT;
    for (int depth = 0; depth < COCO__DEEPEST; depth++) {
        bool there = coco__mend_rec(m, &k, &rec);
        if (there && (rec.flags & (COCO__R_MEMO | COCO__R_PENDING)) == COCO__R_MEMO) {
            rec.flags |= COCO__R_PENDING;
            COCO_TRY(coco__mend_put(m, &k, &rec));
        }
        if (!coco__mend_place_of(m, coco__get_be64(k.b + 1), &at)) return COCO_OK;
        coco__place_key(&k, COCO__COMPONENT, &at);
    }
    return COCO_OK;
}

/* ---- Rebuilding a component ---- */

typedef struct coco__rebuilt {
    coco__mend *m;
    coco__dbkey key;    /* of its record */
    coco__place at;
    bool whole;         /* its record could be read */
    coco__rec rec;
    coco__owned owned;  /* its entries, as changes of an empty record */
    uint64_t nstates, noted; /* states that it has now; that its record counted */
} coco__rebuilt;

static coco_status coco__rebuilt_add(coco__rebuilt *b, coco_str ekey, coco_str value)
{
    coco__change *c;

    if (coco__owned_changed(&b->owned, ekey)) return COCO_OK;
    if (!(c = coco__owned_change(&b->owned, ekey))) return COCO_ENOMEM;
    c->after = coco__arena_str(&b->m->arena, value);
    b->nstates += coco__ekey_space((const uint8_t *)ekey.p, ekey.n, NULL) >= COCO__S_FIRST_PROVIDER;
    return c->after.p ? COCO_OK : COCO_ENOMEM;
}

/* A state of which no more is known than that it may be there. Of a container the record is known (else p NULL), and
 * that it is there: or all that is recorded in it would be void. */
static coco_status coco__rebuilt_state(coco__rebuilt *b, coco_str ekey, coco__state *s, coco_str record)
{
    s->npossible = 2;
    s->possible[0] = record;
    s->possible[1] = (coco_str){ "", 0 };
    b->m->bytes.n = 0;
    coco__state_put(&b->m->bytes, s, s->key.n > COCO__CUT);
    if (b->m->bytes.failed) return COCO_ENOMEM;
    return coco__rebuilt_add(b, ekey, coco__buf_view(&b->m->bytes));
}

/* Keeps an entry that can be what it says, and isn't another component's. A container without a place for its content
 * may be there or not. */
static coco_status coco__rebuilt_entry(coco__rebuilt *b, const coco__entry *e)
{
    uint64_t space = coco__ekey_space((const uint8_t *)e->ekey.p, e->ekey.n, NULL);
    coco__dbkey k;
    coco__place owner;
    coco__state s;

    if (!coco__entry_sound(b->m->a, e)) return COCO_OK;
    if (space < COCO__S_FIRST_PROVIDER) return coco__rebuilt_add(b, e->ekey, e->value);
    coco__dbkey_raw(&k, COCO__OWNER, e->ekey.p, e->ekey.n);
    coco_str p = coco__mend_read(b->m, &k);
    if (p.p && coco__place_get(p, &owner) == COCO_OK && coco__owner_true(b->m->a, e->ekey, p) &&
        !coco__place_equal(&owner, &b->at))
        return COCO_OK;
    if (coco__state_get(0, e->ekey, e->value, &s) != COCO_OK) return COCO_OK;
    if (s.container && !coco__place_below(b->m->a, space, s.key))
        return coco__rebuilt_state(b, e->ekey, &s, (coco_str){ NULL, 0 });
    return coco__rebuilt_add(b, e->ekey, e->value);
}

static coco_status coco__rebuilt_entries(coco__rebuilt *b, const coco__dbkey *k, coco_str bytes)
{
    coco__view v;
    coco_status rc;

    (void)k;
    coco__view_init(&v, b->m->arena.mem);
    rc = coco__view_decode(&v, bytes);
    if (rc == COCO_ECORRUPT) rc = COCO_OK, v.n = 0; /* what came before the damage has no keys yet */
    for (size_t i = 0; i < v.n && rc == COCO_OK; i++) rc = coco__rebuilt_entry(b, &v.entries[i]);
    coco__view_free(&v);
    return rc;
}

/* Calls fn for each record of a kind that can be read; of pages, for the component's own. */
typedef coco_status (*coco__mend_fn)(coco__rebuilt *b, const coco__dbkey *k, coco_str payload);

static coco_status coco__mend_each(coco__rebuilt *b, enum coco__kind kind, coco__mend_fn fn)
{
    coco__scan s;
    coco__dbkey k; /* what all of them begin with, then each */
    coco_str p;
    coco_status rc = COCO_OK;

    coco__dbkey_id(&k, kind, b->rec.id, NULL, 0);
    if (kind != COCO__PAGE) k.n = 1;
    coco__scan_open(&s, b->m->t, &k, k.n);
    while (rc == COCO_OK && coco__scan_next(&s)) {
        memcpy(k.b, s.key.mv_data, k.n = s.key.mv_size);
        if (coco__check_payload(&b->m->quiet, &s.key, &s.data, &p) == COCO_OK) rc = fn(b, &k, p);
    }
    return coco__scan_close(&s, rc);
}

/* Does an index entry's place belong to the record? One cut in its key is told in full there. */
static bool coco__rebuilt_here(coco__rebuilt *b, coco_str payload)
{
    coco__place at;
    coco__dbkey k;

    if (coco__place_get(payload, &at) != COCO_OK || at.parent != b->at.parent) return false;
    coco__place_key(&k, COCO__COMPONENT, &at);
    if (coco__bytes_cmp(k.b, k.n, b->key.b, b->key.n) != 0) return false;
    if (b->at.segment.n <= COCO__CUT) return true;
    coco_str copy = coco__arena_str(&b->m->arena, at.segment);
    if (copy.p) b->at.segment = copy;
    return copy.p != NULL;
}

static coco_status coco__rebuilt_number(coco__rebuilt *b, const coco__dbkey *k, coco_str payload)
{
    if (k->n != 9 || (b->rec.flags & COCO__R_ID) || !coco__rebuilt_here(b, payload)) return COCO_OK;
    b->rec.flags |= COCO__R_ID;
    b->rec.id = coco__get_be64(k->b + 1);
    return COCO_OK;
}

static coco_status coco__rebuilt_owned(coco__rebuilt *b, const coco__dbkey *k, coco_str payload)
{
    coco_str ekey = { (const char *)k->b + 1, k->n - 1 };
    size_t skip;
    uint64_t space = coco__ekey_space(k->b + 1, k->n - 1, &skip);
    coco__state s = { .container = false };
    coco__provider_rec rec;
    coco__dbkey place;

    if (space < COCO__S_FIRST_PROVIDER || !coco__rebuilt_here(b, payload)) return COCO_OK;
    s.key = (coco_str){ ekey.p + skip, ekey.n - skip };
    coco__dbkey_id(&place, COCO__PROVIDER, space, s.key.p, s.key.n);
    s.container = coco__provider_get(coco__mend_read(b->m, &place), &rec) == COCO_OK;
    if (!s.container && s.key.n > COCO__CUT) return COCO_OK; /* nobody knows it in full */
    if (!s.container) return coco__rebuilt_state(b, ekey, &s, (coco_str){ NULL, 0 });
    s.key = rec.key;
    s.user_managed = rec.user_managed;
    return coco__rebuilt_state(b, ekey, &s, rec.record);
}

/* One step up: is the number's place that of a record with this number? *at is the place. */
static bool coco__mend_up(coco__mend *m, uint64_t id, coco__place *at)
{
    coco__dbkey k;
    coco__rec rec;

    if (!coco__mend_place_of(m, id, at) || (!at->parent && at->segment.n)) return false;
    coco__place_key(&k, COCO__COMPONENT, at);
    return coco__mend_rec(m, &k, &rec) && (rec.flags & COCO__R_ID) && rec.id == id;
}

/* Is the number that of another record than the one at `mine`? */
static bool coco__mend_taken(coco__mend *m, const coco__dbkey *mine, uint64_t id)
{
    coco__dbkey k;
    coco__place at;

    if (!coco__mend_up(m, id, &at)) return false;
    coco__place_key(&k, COCO__COMPONENT, &at);
    return coco__bytes_cmp(k.b, k.n, mine->b, mine->n) != 0;
}

/* What is left of the entries; where states are missing, or the record is another's, the owner index adds them. */
static coco_status coco__rebuilt_gather(coco__rebuilt *b)
{
    if (!(b->rec.flags & COCO__R_ID)) COCO_TRY(coco__mend_each(b, COCO__PARENT, coco__rebuilt_number));
    if (b->whole && !(b->rec.flags & COCO__R_PAGED)) {
        COCO_TRY(coco__rebuilt_entries(b, NULL, b->rec.entries));
    } else if (b->rec.flags & COCO__R_ID) {
        COCO_TRY(coco__mend_each(b, COCO__PAGE, coco__rebuilt_entries));
    }
    bool anothers = (b->rec.flags & COCO__R_ID) && coco__mend_taken(b->m, &b->key, b->rec.id);
    if (b->whole && !anothers && b->nstates >= b->noted) return COCO_OK;
    return coco__mend_each(b, COCO__OWNER, coco__rebuilt_owned);
}

/* A number that really is another's is given up for one that leads here, if there is any. */
static coco_status coco__rebuilt_keep_number(coco__rebuilt *b)
{
    if (!(b->rec.flags & COCO__R_ID)) return COCO_OK;
    if (coco__mend_taken(b->m, &b->key, b->rec.id)) {
        b->rec.flags &= ~(uint32_t)COCO__R_ID;
        b->rec.id = 0;
        COCO_TRY(coco__mend_each(b, COCO__PARENT, coco__rebuilt_number));
        if (!(b->rec.flags & COCO__R_ID)) return COCO_OK;
    }
    COCO_TRY(coco__del_id(b->m->t, COCO__PAGE, b->rec.id));
    return coco__mend_place(b->m, b->rec.id, &b->at);
}

static coco_status coco__rebuilt_drop(coco__rebuilt *b)
{
    if (b->rec.flags & COCO__R_ID) COCO_TRY(coco__del_id(b->m->t, COCO__PARENT, b->rec.id));
    return coco__del(b->m->t, &b->key);
}

static coco_status coco__rebuilt_write(coco__rebuilt *b)
{
    coco__rec *rec = &b->rec;
    coco__dbkey k;
    size_t bytes = 0;

    COCO_TRY(coco__rebuilt_keep_number(b));
    if (b->owned.nchanges) rec->flags |= COCO__R_COMPONENT;
    bool below = (rec->flags & COCO__R_ID) && coco__any_child(b->m->t, COCO__COMPONENT, rec->id);
    if (!(rec->flags & COCO__R_COMPONENT)) {
        if (!below) return coco__rebuilt_drop(b);
        rec->flags &= COCO__R_ID | COCO__R_SOURCE;
    }
    for (const coco__change *c = b->owned.changes; c; c = c->next) bytes += c->ekey.n + c->after.n + 6;
    if (bytes > COCO__INLINE_BYTES && !(rec->flags & COCO__R_ID)) {
        COCO_TRY(coco__mend_number(b->m, &rec->id));
        rec->flags |= COCO__R_ID;
        COCO_TRY(coco__mend_place(b->m, rec->id, &b->at));
    }
    rec->flags &= ~(uint32_t)(COCO__R_PAGED | COCO__R_LONG);
    if (rec->flags & COCO__R_COMPONENT) rec->flags |= COCO__R_PENDING | (b->whole ? 0u : (uint32_t)COCO__R_NEW);
    if (!coco__memo_sound(b->m->a, rec)) {
        rec->flags &= ~(uint32_t)(COCO__R_MEMO | COCO__R_FAILED);
        rec->argkey = rec->states = rec->result = (coco_str){ NULL, 0 };
    }
    if (b->at.segment.n > COCO__CUT) rec->flags |= COCO__R_LONG, rec->segment = b->at.segment;
    coco__dbkey_id(&k, COCO__NAME, rec->fn, NULL, 0);
    if (!coco__mend_read(b->m, &k).p) rec->fn = 0;
    rec->entries = (coco_str){ NULL, 0 };
    rec->nstates = b->nstates;
    COCO_TRY(coco__owned_write(&b->owned, b->m->t, rec, true, &b->m->merge));
    return coco__mend_put(b->m, &b->key, rec);
}

static coco_status coco__rebuild(coco__mend *m, const coco__fix *f)
{
    coco__rebuilt b = { .m = m, .key = f->key };
    coco__rec none = { .flags = 0 };
    coco_status rc;

    b.at = (coco__place){ coco__get_be64(f->key.b + 1), f->payload };
    b.whole = coco__mend_rec(m, &f->key, &b.rec);
    b.noted = b.rec.nstates;
    /* as in coco__entry_remove: nothing is read through it */
    coco__owned_init(&b.owned, (struct coco__run *)(uintptr_t)1, &m->arena, &none);
    rc = coco__rebuilt_gather(&b);
    if (rc == COCO_OK) rc = b.at.segment.n <= COCO__CUT || b.at.segment.n != COCO__CUT_LENGTH || b.whole ||
                            b.owned.nchanges || (b.rec.flags & COCO__R_ID) ? coco__rebuilt_write(&b)
                                                                         : coco__del(m->t, &b.key);
    coco__owned_free(&b.owned);
    return rc == COCO_OK ? coco__mend_pending(m, &f->key) : rc;
}

/* ---- Targets ---- */

/* The state of the container whose content stands at (parent, suffix), from the component that owns it. */
static bool coco__mend_container(coco__mend *m, uint64_t parent, coco_str suffix, coco__state *s)
{
    coco__ekey e;
    coco__dbkey k;
    coco__place at;
    coco__rec rec;
    coco_str value = { NULL, 0 };

    coco__ekey_make(&e, parent, NULL, 0);
    memcpy(e.b + e.n, suffix.p, suffix.n);
    e.n += suffix.n;
    coco_str ekey = { (char *)e.b, e.n };
    coco__dbkey_raw(&k, COCO__OWNER, e.b, e.n);
    if (!coco__mend_read_place(m, &k, &at)) return false;
    coco__place_key(&k, COCO__COMPONENT, &at);
    if (!coco__mend_rec(m, &k, &rec)) return false;
    coco_status rc = coco__entry_get(&m->quiet, &rec, ekey, &m->arena, &value);
    ekey.p = coco__arena_copy(&m->arena, e.b, e.n); /* the state borrows its key */
    if (rc == COCO_ENOMEM || !ekey.p) m->a->rc = COCO_ENOMEM;
    return rc == COCO_OK && value.p && ekey.p && coco__state_get(0, ekey, value, s) == COCO_OK && s->container;
}

/* A target's record anew: under the same number, as what is below it is recorded with it; with a counter that it can't
 * have had, so that everything below is written again. Its title comes with its next action. Where it wouldn't be sound
 * to the walk, the number goes, so that no round makes what another takes away. */
static coco_status coco__mend_provider(coco__mend *m, const coco__fix *f)
{
    if (f->payload.n < 9 || f->payload.n > 8 + COCO__CUT_LENGTH) return coco__del(m->t, &f->key);
    uint64_t parent = coco__get_be64((const uint8_t *)f->payload.p);
    coco_str suffix = { f->payload.p + 8, f->payload.n - 8 };
    bool attachment = (uint8_t)suffix.p[0] == 0xfe, found = false;
    coco__provider_rec rec = { .id = coco__get_be64(f->key.b + 1), .counter = m->a->top.next_run,
                               .attachment = attachment, .record = { "", 0 } };
    coco__state s = { .key = suffix };
    coco__seen_place seen;
    coco__dbkey k;
    coco__buf title;

    coco__dbkey_id(&k, COCO__PROVIDER, parent, suffix.p, suffix.n);
    if (!attachment && parent) found = coco__mend_container(m, parent, suffix, &s);
    if (attachment) s.key = (coco_str){ suffix.p + 1, suffix.n - 1 };
    bool may = !coco__mend_read(m, &k).p && (!parent || attachment || found);
    for (size_t i = 0; i < s.npossible; i++)
        if (s.possible[i].p) rec.record = s.possible[i];
    rec.user_managed = s.user_managed;
    rec.title = rec.key = s.key;
    coco__buf_init(&title, m->arena.mem);
    coco__key_print(&title, s.key.p, s.key.n);
    if (!attachment) rec.title = coco__buf_view(&title);
    m->bytes.n = 0;
    coco__provider_put(&m->bytes, &rec);
    if (title.failed || m->bytes.failed) m->a->rc = COCO_ENOMEM;
    coco__buf_free(&title);
    if (!may || !coco__provider_sound(m->a, &k, coco__buf_view(&m->bytes), &seen)) return coco__del(m->t, &f->key);
    return coco__put_buf(m->t, &k, &m->bytes);
}

/* ---- What hangs nowhere ---- */

/* The root with a number of its own, to run again: made, if need be. With another's number its states are lost, and
 * found again by the owner index. */
static coco_status coco__mend_root(coco__mend *m, uint64_t *id)
{
    coco__place at = { 0, { "", 0 } };
    coco__dbkey k;
    coco__rec rec;

    coco__place_key(&k, COCO__COMPONENT, &at);
    coco__mend_rec(m, &k, &rec);
    if ((rec.flags & COCO__R_ID) && coco__mend_taken(m, &k, rec.id)) {
        if (rec.flags & COCO__R_PAGED) rec.nstates = 0, rec.entries = (coco_str){ NULL, 0 };
        rec.flags &= ~(uint32_t)(COCO__R_ID | COCO__R_PAGED);
    }
    if (!(rec.flags & COCO__R_ID)) {
        COCO_TRY(coco__mend_number(m, &rec.id));
        COCO_TRY(coco__mend_place(m, rec.id, &at));
    }
    rec.flags |= COCO__R_COMPONENT | COCO__R_ID | COCO__R_PENDING;
    *id = rec.id;
    return coco__mend_put(m, &k, &rec);
}

/* Puts the record of something lost below the root: @lost-N. */
static coco_status coco__mend_lost(coco__mend *m, uint64_t n, coco__rec *rec)
{
    char name[40];
    coco__place at;
    coco__dbkey k;
    coco__buf b;

    COCO_TRY(coco__mend_root(m, &at.parent));
    snprintf(name, sizeof name, "lost-%llu", (unsigned long long)n);
    coco__buf_init(&b, m->arena.mem);
    coco__key_put(&b, coco_symbol(name));
    at.segment = coco__buf_take(&b, &m->arena);
    if (!at.segment.p) return COCO_ENOMEM;
    rec->flags &= ~(uint32_t)COCO__R_LONG;
    if (at.segment.n > COCO__CUT) rec->flags |= COCO__R_LONG, rec->segment = at.segment;
    coco__place_key(&k, COCO__COMPONENT, &at);
    COCO_TRY(coco__mend_put(m, &k, rec));
    return rec->flags & COCO__R_ID ? coco__mend_place(m, rec->id, &at) : COCO_OK;
}

/* What stands below a number, or below the one where its way up ends, goes to @lost. */
static coco_status coco__mend_attach(coco__mend *m, const coco__fix *f)
{
    coco__place at = { coco__get_be64(f->key.b + 1), { NULL, 0 } };
    coco__rec rec = { .flags = COCO__R_ID, .id = at.parent };

    /* a circle is opened anywhere */
    for (int depth = 0; depth < COCO__DEEPEST && coco__mend_up(m, rec.id, &at); depth++) {
        if (!at.parent) return COCO_OK; /* an earlier fix has seen to it */
        rec.id = at.parent;
    }
    return coco__mend_lost(m, rec.id, &rec);
}

static coco_status coco__mend_move(coco__mend *m, const coco__fix *f)
{
    coco__rec rec;
    uint64_t n;

    if (coco__mend_rec(m, &f->key, &rec) && (rec.nstates || (rec.flags & COCO__R_ID))) {
        COCO_TRY(coco__mend_number(m, &n));
        if (rec.flags & COCO__R_COMPONENT) rec.flags |= COCO__R_PENDING;
        COCO_TRY(coco__mend_lost(m, n, &rec));
    }
    return coco__del(m->t, &f->key);
}

/* ---- One round of fixes ---- */

static coco_status coco__mend_one(coco__mend *m, const coco__fix *f)
{
    switch (f->op) {
    case COCO__FIX_REBUILD: return coco__rebuild(m, f);
    case COCO__FIX_PROVIDER: return coco__mend_provider(m, f);
    case COCO__FIX_MOVE: return coco__mend_move(m, f);
    case COCO__FIX_ATTACH: return coco__mend_attach(m, f);
    case COCO__FIX_PENDING: return f->key.n >= 9 ? coco__mend_pending(m, &f->key) : COCO_OK;
    case COCO__FIX_PUT: return coco__put(m->t, &f->key, f->payload.p, f->payload.n);
    default: return coco__del(m->t, &f->key);
    }
}

/* Those that are done together. */
static int coco__fix_sort(enum coco__fix_op op) { return op < COCO__FIX_PENDING ? (int)op : COCO__FIX_PENDING; }

COCO__IN coco_status coco__mend_round(coco__audit *a, const coco__txn *t)
{
    coco__mend m = { .a = a, .t = t, .quiet = *t };
    int first = COCO__FIX_DEL;
    coco_status rc = COCO_OK;

    m.quiet.err = NULL;
    coco__arena_init(&m.arena, &t->env->mem);
    coco__buf_init(&m.out, &t->env->mem);
    coco__buf_init(&m.bytes, &t->env->mem);
    coco__merge_init(&m.merge, &t->env->mem);
    for (const coco__fix *f = a->fixes; f; f = f->next)
        if (coco__fix_sort(f->op) < first) first = coco__fix_sort(f->op);
    for (const coco__fix *f = a->fixes; f && rc == COCO_OK; f = f->next) {
        if (coco__fix_sort(f->op) == first && (rc = coco__mend_one(&m, f)) == COCO_OK) rc = a->rc;
        coco__arena_reset(&m.arena);
    }
    coco__buf_free(&m.out);
    coco__buf_free(&m.bytes);
    coco__merge_free(&m.merge);
    coco__arena_free(&m.arena);
    return rc;
}
