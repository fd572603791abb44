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

/* A record, copied, as puts move LMDB's memory; false, and all zeros: missing or damaged. Without memory all is taken
 * back. */
static bool coco__mend_rec(coco__audit *a, const coco__dbkey *k, coco__rec *rec)
{
    coco_str p;

    if (coco__peek(a, k, &p)) {
        p = coco__arena_str(&a->scratch, p);
        if (!p.p) a->rc = COCO_ENOMEM;
        if (p.p && coco__rec_read(p, rec)) return true;
    }
    memset(rec, 0, sizeof *rec);
    return false;
}

static coco_status coco__mend_put(coco__audit *a, const coco__dbkey *k, const coco__rec *rec)
{
    a->record.n = 0;
    coco__rec_put(&a->record, rec);
    return coco__put_buf(a->t, k, &a->record);
}

static coco_status coco__mend_place(coco__audit *a, uint64_t id, const coco__place *at)
{
    coco__dbkey k;

    a->record.n = 0;
    coco__place_put(&a->record, at);
    coco__dbkey_id(&k, COCO__PARENT, id, NULL, 0);
    return coco__put_buf(a->t, &k, &a->record);
}

static coco_status coco__mend_number(coco__audit *a, uint64_t *id)
{
    coco__meta meta;

    if (coco__meta_get(&a->quiet, &meta) != COCO_OK) meta = a->top;
    if (meta.next_id < a->top.next_id) meta.next_id = a->top.next_id;
    *id = meta.next_id++;
    a->top.next_id = meta.next_id;
    return coco__meta_put(a->t, &meta);
}

/* The memo of the component with a key, if it is there, and those above don't hit. */
static coco_status coco__mend_pending(coco__audit *a, const coco__dbkey *below)
{
    coco__dbkey k = *below;
    coco__place at;
    coco__rec rec;

    k.b[0] = COCO__COMPONENT;
    for (int depth = 0; depth < COCO__DEEPEST; depth++) {
        bool there = coco__mend_rec(a, &k, &rec);
        if (there && (rec.flags & (COCO__R_MEMO | COCO__R_PENDING)) == COCO__R_MEMO) {
            rec.flags |= COCO__R_PENDING;
            COCO_TRY(coco__mend_put(a, &k, &rec));
        }
        if (!coco__peek_place(a, coco__get_be64(k.b + 1), &at)) return COCO_OK;
        coco__place_key(&k, COCO__COMPONENT, &at);
    }
    return COCO_OK;
}

/* ---- Rebuilding a component ---- */

typedef struct coco__rebuilt {
    coco__audit *a;
    coco__dbkey key;    /* of its record */
    coco__place at;
    bool whole;         /* its record could be read */
    coco__rec rec;
    coco__owned owned;  /* its entries, as changes of an empty record */
    uint64_t nstates;   /* that it has now; rec's, until it is written, what its record counted */
} coco__rebuilt;

static coco_status coco__rebuilt_add(coco__rebuilt *b, coco_str ekey, coco_str value)
{
    coco__change *c;

    if (coco__owned_changed(&b->owned, ekey)) return COCO_OK;
    if (!(c = coco__owned_change(&b->owned, ekey))) return COCO_ENOMEM;
    c->after = coco__arena_str(&b->a->scratch, value);
    b->nstates += coco__space_of(ekey, NULL) >= COCO__S_FIRST_PROVIDER;
    return c->after.p ? COCO_OK : COCO_ENOMEM;
}

/* A state of which no more is known than that it may be there. Of a container the record is known (else p NULL), and
 * that it is there: or all that is recorded in it would be void. */
static coco_status coco__rebuilt_state(coco__rebuilt *b, coco_str ekey, coco__state *s, coco_str record)
{
    s->npossible = 2;
    s->possible[0] = record;
    s->possible[1] = (coco_str){ "", 0 };
    b->a->record.n = 0;
    coco__state_put(&b->a->record, s, s->key.n > COCO__CUT);
    if (b->a->record.failed) return COCO_ENOMEM;
    return coco__rebuilt_add(b, ekey, coco__buf_view(&b->a->record));
}

/* Keeps an entry that can be what it says, and isn't another component's. A container without a place for its content
 * may be there or not. */
static coco_status coco__rebuilt_entry(coco__rebuilt *b, const coco__entry *e)
{
    uint64_t space = coco__space_of(e->ekey, NULL);
    coco__dbkey k;
    coco__place owner;
    coco__state s;
    coco_str p;

    if (!coco__entry_sound(b->a, e)) return COCO_OK;
    if (space < COCO__S_FIRST_PROVIDER) return coco__rebuilt_add(b, e->ekey, e->value);
    coco__dbkey_raw(&k, COCO__OWNER, e->ekey.p, e->ekey.n);
    if (coco__peek(b->a, &k, &p) && coco__place_get(p, &owner) == COCO_OK && !coco__place_equal(&owner, &b->at) &&
        coco__owner_true(b->a, e->ekey, p))
        return COCO_OK;
    if (coco__state_get(0, e->ekey, e->value, &s) != COCO_OK) return COCO_OK;
    if (s.container && !coco__place_below(b->a, space, s.key))
        return coco__rebuilt_state(b, e->ekey, &s, (coco_str){ NULL, 0 });
    return coco__rebuilt_add(b, e->ekey, e->value);
}

static coco_status coco__rebuilt_entries(coco__audit *a, const coco__dbkey *k, coco_str bytes)
{
    coco_status rc = coco__view_decode(&a->view, bytes);

    (void)k;
    if (rc == COCO_ECORRUPT) rc = COCO_OK, a->view.n = 0; /* the owner index knows its states */
    for (size_t i = 0; i < a->view.n && rc == COCO_OK; i++) rc = coco__rebuilt_entry(a->rebuilt, &a->view.entries[i]);
    return rc;
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
    b->at.segment = coco__arena_str(&b->a->scratch, at.segment);
    if (!b->at.segment.p) b->a->rc = COCO_ENOMEM;
    return b->at.segment.p != NULL;
}

static coco_status coco__rebuilt_number(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__rebuilt *b = a->rebuilt;

    if (k->n != 9 || (b->rec.flags & COCO__R_ID) || !coco__rebuilt_here(b, payload)) return COCO_OK;
    b->rec.flags |= COCO__R_ID;
    b->rec.id = coco__get_be64(k->b + 1);
    return COCO_OK;
}

static coco_status coco__rebuilt_owned(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__rebuilt *b = a->rebuilt;
    coco_str ekey = { (const char *)k->b + 1, k->n - 1 };
    coco__state s = { .container = false };
    uint64_t space = coco__space_of(ekey, &s.key);
    coco__provider_rec rec;
    coco__dbkey place;
    coco_str p;

    if (space < COCO__S_FIRST_PROVIDER || !coco__rebuilt_here(b, payload)) return COCO_OK;
    coco__dbkey_id(&place, COCO__PROVIDER, space, s.key.p, s.key.n);
    s.container = coco__peek(a, &place, &p) && coco__provider_get(p, &rec) == COCO_OK;
    if (!s.container && s.key.n > COCO__CUT) return COCO_OK; /* nobody knows it in full */
    if (!s.container) return coco__rebuilt_state(b, ekey, &s, (coco_str){ NULL, 0 });
    s.key = rec.key;
    s.user_managed = rec.user_managed;
    return coco__rebuilt_state(b, ekey, &s, rec.record);
}

/* Is the number that of another record than the one at `mine`? */
static bool coco__mend_taken(coco__audit *a, const coco__dbkey *mine, uint64_t id)
{
    coco__dbkey k;
    coco__place at;
    coco__rec rec;

    if (!coco__step_up(a, id, &at, &rec)) return false;
    coco__place_key(&k, COCO__COMPONENT, &at);
    return coco__bytes_cmp(k.b, k.n, mine->b, mine->n) != 0;
}

/* What is left of the entries; where states are missing, or the record is another's, the owner index adds them. */
static coco_status coco__rebuilt_gather(coco__rebuilt *b)
{
    if (!(b->rec.flags & COCO__R_ID)) COCO_TRY(coco__each_of(b->a, COCO__PARENT, coco__rebuilt_number));
    if (b->whole && !(b->rec.flags & COCO__R_PAGED)) {
        COCO_TRY(coco__rebuilt_entries(b->a, &b->key, b->rec.entries));
    } else if (b->rec.flags & COCO__R_ID) {
        COCO_TRY(coco__each_below(b->a, COCO__PAGE, b->rec.id, coco__rebuilt_entries));
    }
    bool anothers = (b->rec.flags & COCO__R_ID) && coco__mend_taken(b->a, &b->key, b->rec.id);
    if (b->whole && !anothers && b->nstates >= b->rec.nstates) return COCO_OK;
    return coco__each_of(b->a, COCO__OWNER, coco__rebuilt_owned);
}

/* A number that really is another's is given up for one that leads here, if there is any. */
static coco_status coco__rebuilt_keep_number(coco__rebuilt *b)
{
    if (!(b->rec.flags & COCO__R_ID)) return COCO_OK;
    if (coco__mend_taken(b->a, &b->key, b->rec.id)) {
        b->rec.flags &= ~(uint32_t)COCO__R_ID;
        b->rec.id = 0;
        COCO_TRY(coco__each_of(b->a, COCO__PARENT, coco__rebuilt_number));
        if (!(b->rec.flags & COCO__R_ID)) return COCO_OK;
    }
    COCO_TRY(coco__del_id(b->a->t, COCO__PAGE, b->rec.id));
    return coco__mend_place(b->a, b->rec.id, &b->at);
}

static coco_status coco__rebuilt_write(coco__rebuilt *b)
{
    coco__rec *rec = &b->rec;
    coco_str p;
    size_t bytes = 0;

    COCO_TRY(coco__rebuilt_keep_number(b));
    if (b->owned.nchanges) rec->flags |= COCO__R_COMPONENT;
    bool below = (rec->flags & COCO__R_ID) && coco__any_child(b->a->t, COCO__COMPONENT, rec->id);
    if (!(rec->flags & COCO__R_COMPONENT)) {
        if (!below && (rec->flags & COCO__R_ID)) COCO_TRY(coco__del_id(b->a->t, COCO__PARENT, rec->id));
        if (!below) return coco__del(b->a->t, &b->key);
        rec->flags &= COCO__R_ID | COCO__R_SOURCE;
    }
    for (const coco__change *c = b->owned.changes; c; c = c->next) bytes += c->ekey.n + c->after.n + 6;
    if (bytes > COCO__INLINE_BYTES && !(rec->flags & COCO__R_ID)) {
        COCO_TRY(coco__mend_number(b->a, &rec->id));
        rec->flags |= COCO__R_ID;
        COCO_TRY(coco__mend_place(b->a, rec->id, &b->at));
    }
    rec->flags &= ~(uint32_t)(COCO__R_PAGED | COCO__R_LONG);
    if (rec->flags & COCO__R_COMPONENT) rec->flags |= COCO__R_PENDING | (b->whole ? 0u : (uint32_t)COCO__R_NEW);
    if (!coco__memo_sound(b->a, rec)) {
        rec->flags &= ~(uint32_t)(COCO__R_MEMO | COCO__R_FAILED);
        rec->argkey = rec->states = rec->result = (coco_str){ NULL, 0 };
    }
    if (b->at.segment.n > COCO__CUT) rec->flags |= COCO__R_LONG, rec->segment = b->at.segment;
    if (coco__get_id(&b->a->quiet, COCO__NAME, rec->fn, &p) != COCO_OK) rec->fn = 0;
    rec->entries = (coco_str){ NULL, 0 };
    rec->nstates = b->nstates;
    COCO_TRY(coco__owned_write(&b->owned, b->a->t, rec, true, &b->a->merge));
    return coco__mend_put(b->a, &b->key, rec);
}

static coco_status coco__rebuild(coco__audit *a, const coco__fix *f)
{
    coco__rebuilt b = { .a = a, .key = f->key };
    coco__rec none = { .flags = 0 };
    coco_status rc;

    b.at = (coco__place){ coco__get_be64(f->key.b + 1), f->payload };
    b.whole = coco__mend_rec(a, &f->key, &b.rec);
    /* as in coco__entry_remove: nothing is read through it */
    coco__owned_init(&b.owned, (struct coco__run *)(uintptr_t)1, &a->scratch, &none);
    a->rebuilt = &b;
    rc = coco__rebuilt_gather(&b);
    bool known = b.whole || b.owned.nchanges || (b.rec.flags & COCO__R_ID) || b.at.segment.n != COCO__CUT_LENGTH;
    if (rc == COCO_OK) rc = known ? coco__rebuilt_write(&b) : coco__del(a->t, &b.key);
    coco__owned_free(&b.owned);
    return rc == COCO_OK ? coco__mend_pending(a, &f->key) : rc;
}

/* ---- Targets ---- */

/* The state of the container whose content stands at (parent, suffix), from the component that owns it. */
static bool coco__mend_container(coco__audit *a, uint64_t parent, coco_str suffix, coco__state *s)
{
    coco__ekey e;
    coco__dbkey k;
    coco_str p, value;

    coco__ekey_make(&e, parent, NULL, 0);
    memcpy(e.b + e.n, suffix.p, suffix.n);
    e.n += suffix.n;
    coco_str ekey = { (char *)e.b, e.n };
    coco__dbkey_raw(&k, COCO__OWNER, e.b, e.n);
    if (!coco__peek(a, &k, &p)) return false;
    value = coco__owner_value(a, ekey, p);
    ekey.p = coco__arena_copy(&a->scratch, e.b, e.n); /* the state borrows its key */
    if (!ekey.p) a->rc = COCO_ENOMEM;
    return value.p && ekey.p && coco__state_get(0, ekey, value, s) == COCO_OK && s->container;
}

/* A target's record anew: under the same number, as what is below it is recorded with it; with a counter that it can't
 * have had, so that everything below is written again. Its title comes with its next action. Where it wouldn't be sound
 * to the walk, the number goes, so that no round makes what another takes away. */
static coco_status coco__mend_provider(coco__audit *a, const coco__fix *f)
{
    if (f->payload.n < 9 || f->payload.n > 8 + COCO__CUT_LENGTH) return coco__del(a->t, &f->key);
    uint64_t parent = coco__get_be64((const uint8_t *)f->payload.p);
    coco_str suffix = { f->payload.p + 8, f->payload.n - 8 };
    bool attachment = (uint8_t)suffix.p[0] == 0xfe, found = false;
    coco__provider_rec rec = { .id = coco__get_be64(f->key.b + 1), .counter = a->top.next_run,
                               .attachment = attachment, .record = { "", 0 } };
    coco__state s = { .key = suffix };
    coco__seen_place seen;
    coco__dbkey k;
    coco_str there;

    coco__dbkey_id(&k, COCO__PROVIDER, parent, suffix.p, suffix.n);
    if (!attachment && parent) found = coco__mend_container(a, parent, suffix, &s);
    if (attachment) s.key = (coco_str){ suffix.p + 1, suffix.n - 1 };
    bool may = !coco__peek(a, &k, &there) && (!parent || attachment || found);
    for (size_t i = 0; i < s.npossible; i++)
        if (s.possible[i].p) rec.record = s.possible[i];
    rec.user_managed = s.user_managed;
    rec.title = rec.key = s.key;
    a->bytes.n = a->record.n = 0;
    coco__key_print(&a->bytes, s.key.p, s.key.n);
    if (!attachment) rec.title = coco__buf_view(&a->bytes);
    coco__provider_put(&a->record, &rec);
    if (a->bytes.failed || a->record.failed) a->rc = COCO_ENOMEM;
    if (!may || !coco__provider_sound(a, &k, coco__buf_view(&a->record), &seen)) return coco__del(a->t, &f->key);
    return coco__put_buf(a->t, &k, &a->record);
}

/* ---- What hangs nowhere ---- */

/* The root with a number of its own, to run again: made, if need be. With another's number its states are lost, and
 * found again by the owner index. */
static coco_status coco__mend_root(coco__audit *a, uint64_t *id)
{
    coco__place at = { 0, { "", 0 } };
    coco__dbkey k;
    coco__rec rec;

    coco__place_key(&k, COCO__COMPONENT, &at);
    coco__mend_rec(a, &k, &rec);
    if ((rec.flags & COCO__R_ID) && coco__mend_taken(a, &k, rec.id)) {
        if (rec.flags & COCO__R_PAGED) rec.nstates = 0, rec.entries = (coco_str){ NULL, 0 };
        rec.flags &= ~(uint32_t)(COCO__R_ID | COCO__R_PAGED);
    }
    if (!(rec.flags & COCO__R_ID)) {
        COCO_TRY(coco__mend_number(a, &rec.id));
        COCO_TRY(coco__mend_place(a, rec.id, &at));
    }
    rec.flags |= COCO__R_COMPONENT | COCO__R_ID | COCO__R_PENDING;
    *id = rec.id;
    return coco__mend_put(a, &k, &rec);
}

/* Puts the record of something lost below the root: @lost-N. */
static coco_status coco__mend_lost(coco__audit *a, uint64_t n, coco__rec *rec)
{
    char name[40];
    coco__place at;
    coco__dbkey k;

    COCO_TRY(coco__mend_root(a, &at.parent));
    snprintf(name, sizeof name, "lost-%llu", (unsigned long long)n);
    a->bytes.n = 0;
    coco__key_put(&a->bytes, coco_symbol(name));
    at.segment = coco__buf_view(&a->bytes);
    if (a->bytes.failed) return COCO_ENOMEM;
    rec->flags &= ~(uint32_t)COCO__R_LONG;
    if (at.segment.n > COCO__CUT) rec->flags |= COCO__R_LONG, rec->segment = at.segment;
    coco__place_key(&k, COCO__COMPONENT, &at);
    COCO_TRY(coco__mend_put(a, &k, rec));
    return rec->flags & COCO__R_ID ? coco__mend_place(a, rec->id, &at) : COCO_OK;
}

/* What stands below a number, or below the one where its way up ends, goes to @lost. */
static coco_status coco__mend_attach(coco__audit *a, const coco__fix *f)
{
    uint64_t id = coco__get_be64(f->key.b + 1);
    coco__place at;
    coco__rec rec;

    /* a circle is opened anywhere */
    for (int depth = 0; depth < COCO__DEEPEST && coco__step_up(a, id, &at, &rec); depth++)
        if ((id = at.parent) == 0) return COCO_OK; /* an earlier fix has seen to it */
    rec = (coco__rec){ .flags = COCO__R_ID, .id = id };
    return coco__mend_lost(a, id, &rec);
}

static coco_status coco__mend_move(coco__audit *a, const coco__fix *f)
{
    coco__rec rec;
    uint64_t n;

    if (coco__mend_rec(a, &f->key, &rec) && (rec.nstates || (rec.flags & COCO__R_ID))) {
        COCO_TRY(coco__mend_number(a, &n));
        if (rec.flags & COCO__R_COMPONENT) rec.flags |= COCO__R_PENDING;
        COCO_TRY(coco__mend_lost(a, n, &rec));
    }
    return coco__del(a->t, &f->key);
}

/* ---- One round of fixes ---- */

static coco_status coco__mend_one(coco__audit *a, const coco__fix *f)
{
    switch (f->op) {
    case COCO__FIX_REBUILD: return coco__rebuild(a, f);
    case COCO__FIX_PROVIDER: return coco__mend_provider(a, f);
    case COCO__FIX_MOVE: return coco__mend_move(a, f);
    case COCO__FIX_ATTACH: return coco__mend_attach(a, f);
    case COCO__FIX_PENDING: return f->key.n >= 9 ? coco__mend_pending(a, &f->key) : COCO_OK;
    case COCO__FIX_PUT: return coco__put(a->t, &f->key, f->payload.p, f->payload.n);
    default: return coco__del(a->t, &f->key);
    }
}

/* Those that are done together. */
static int coco__fix_sort(enum coco__fix_op op) { return op < COCO__FIX_PENDING ? (int)op : COCO__FIX_PENDING; }

COCO__IN coco_status coco__mend_round(coco__audit *a)
{
    int first = COCO__FIX_DEL;
    coco_status rc = COCO_OK;

    for (const coco__fix *f = a->fixes; f; f = f->next)
        if (coco__fix_sort(f->op) < first) first = coco__fix_sort(f->op);
    for (const coco__fix *f = a->fixes; f && rc == COCO_OK; f = f->next) {
        if (coco__fix_sort(f->op) == first && (rc = coco__mend_one(a, f)) == COCO_OK) rc = a->rc;
        coco__arena_reset(&a->scratch);
    }
    return rc;
}
