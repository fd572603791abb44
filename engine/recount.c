/* recount.c - the rest of a walk: what follows from targets and components, and whether it does.
 *
 * Floor: above check. Use counts are compared with what was added up, counters with the highest numbers seen. An index
 * is right when each record has its entry, which check.c has looked for, and there are as many entries as such records;
 * only where the numbers differ are the entries gone through one by one, to name those that lead nowhere. */
#include "engine.h"

/* ---- What others refer to ---- */

/* Pieces are added up before their memos come. */
static coco_status coco__result_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    if (!payload.p || k->n != 10) return coco__damaged(a, k, "a piece of a function memo's result");
    coco__tally_add(a, &a->results, k->b + 1, 8, payload.n);
    return COCO_OK;
}

/* One that is kept apart is there as a whole, and this memo's alone. */
static bool coco__result_sound(coco__audit *a, const coco__memo *m)
{
    uint8_t number[8];
    coco__tally *t;

    if (!m->number) return coco__value_sound(a, m->result);
    coco__put_be64(number, m->number);
    t = coco__table_get(&a->results, number, sizeof number);
    if (!t || t->seen || t->n != m->result.n) return false;
    coco__mark mark = coco__arena_mark(&a->scratch);
    char *p = coco__arena_alloc(&a->scratch, m->result.n);
    t->seen = !p || (coco__result_get(&a->quiet, m->number, p, m->result.n) == COCO_OK &&
                     coco__value_sound(a, (coco_str){ p, m->result.n }));
    coco__arena_release(&a->scratch, mark);
    return t->seen;
}

static coco_status coco__result_gone(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    (void)payload;
    return coco__fix_del(a, k);
}

static void coco__results_end(coco__audit *a)
{
    const coco__tally *t;

    for (size_t i = 0; (t = coco__table_next(&a->results, &i)) != NULL;) {
        if (t->seen) continue;
        coco__found(a, NULL, "a result belongs to no function memo");
        coco__each_below(a, COCO__RESULT, coco__get_be64(t->key), coco__result_gone);
    }
}

static coco_status coco__memo_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__memo m;
    coco__tally *t;

    if (!payload.p || k->n != 1 + COCO__FP || coco__memo_get(payload, &m) != COCO_OK ||
        !coco__states_sound(m.states) || !coco__result_sound(a, &m))
        return coco__damaged(a, k, "a function memo");
    coco__use_set(a, m.set);
    if (!coco__set_there(a, m.set)) return coco__damaged(a, k, "the dependency set of a function memo");
    coco__raise(&a->top.next_run, m.run);
    if ((t = coco__tally_add(a, &a->uses, k->b + 1, COCO__FP, 0))) t->there = true;
    return COCO_OK;
}

static coco_status coco__uses_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__tally *t = k->n == 1 + COCO__FP ? coco__table_get(&a->uses, k->b + 1, COCO__FP) : NULL;
    coco__reader r = coco__reader_of(payload.p, payload.n);
    uint64_t n = coco__read_varint(&r), is = t ? t->n : 0;

    if (t) t->seen = true;
    if (payload.p && !r.bad && n == is && n) return COCO_OK;
    coco__found(a, NULL, "a function memo is used by %llu components, %llu are counted",
                (unsigned long long)is, (unsigned long long)n);
    return coco__fix_number(a, k, is);
}

static coco_status coco__idle_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__tally *t = k->n == 1 + COCO__FP ? coco__table_get(&a->uses, k->b + 1, COCO__FP) : NULL;

    if (t && t->n == 0) t->idle = true;
    if (payload.p && k->n == 1 + COCO__FP && (!t || t->n == 0)) return COCO_OK;
    coco__found(a, NULL, "a function memo that is used is listed as idle");
    return coco__fix_del(a, k);
}

/* Use counts without a record, and memos that nobody uses and no sweep would find. */
static void coco__uses_end(coco__audit *a)
{
    const coco__tally *t;
    coco__dbkey k;

    for (size_t i = 0; (t = coco__table_next(&a->uses, &i)) != NULL;) {
        coco__dbkey_raw(&k, t->n ? COCO__MEMO_USES : COCO__MEMO_IDLE, t->key, COCO__FP);
        if (t->n && !t->seen) {
            coco__found(a, NULL, "the use count of a function memo is gone");
            coco__fix_number(a, &k, t->n);
        } else if (t->n == 0 && t->there && !t->idle) {
            coco__found(a, NULL, "a function memo that nobody uses isn't listed as idle");
            coco__fix_add(a, COCO__FIX_PUT, &k, (coco_str){ "", 0 });
        }
    }
}

static bool coco__deps_sound(coco_str bytes)
{
    coco__reader r = coco__reader_of(bytes.p, bytes.n);

    while (coco__left(&r) && !r.bad) {
        coco_str one = coco__read_blob(&r);
        if (one.n < 1 + COCO__FP || one.p[0] < COCO__D_LOGIC || one.p[0] > COCO__D_PROVIDER) return false;
    }
    return !r.bad;
}

static coco_status coco__depset_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    const coco__tally *t = k->n == 9 ? coco__table_get(&a->sets, k->b + 1, 8) : NULL;
    uint64_t n, is = t ? t->n : 0, id = coco__key_number(k), found;
    coco_str bytes;
    uint8_t fp[COCO__FP];
    coco__dbkey by_fp;

    coco__raise(&a->top.next_depset, id);
    if (coco__depset_get(payload, &n, &bytes) != COCO_OK || k->n != 9 || !coco__deps_sound(bytes))
        return coco__damaged(a, k, "a dependency set");
    if (n != is) {
        coco__found(a, NULL, "dependency set %llu is used %llu times, %llu are counted",
                    (unsigned long long)id, (unsigned long long)is, (unsigned long long)n);
        if (!is) return coco__fix_del(a, k);
        a->bytes.n = 0;
        coco__buf_varint(&a->bytes, is);
        coco__buf_put(&a->bytes, bytes.p, bytes.n);
        coco__fix_put(a, k, &a->bytes);
    }
    coco_fingerprint_bytes(bytes.p, bytes.n, fp);
    coco__dbkey_raw(&by_fp, COCO__DEPSET_FP, fp, COCO__FP);
    coco__get_number(&a->quiet, &by_fp, &found);
    if (found == id) return COCO_OK;
    if (found && coco__set_there(a, found)) return coco__damaged(a, k, "a dependency set that is there twice");
    coco__found(a, NULL, "dependency set %llu is not found by its fingerprint", (unsigned long long)id);
    return coco__fix_number(a, &by_fp, id);
}

static coco_status coco__depset_fp_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__reader r = coco__reader_of(payload.p, payload.n);
    uint64_t id = coco__read_varint(&r), uses;
    uint8_t fp[COCO__FP];
    coco_str p;

    if (!r.bad && k->n == 1 + COCO__FP && coco__get_id(&a->quiet, COCO__DEPSET, id, &p) == COCO_OK &&
        coco__depset_get(p, &uses, &p) == COCO_OK) {
        coco_fingerprint_bytes(p.p, p.n, fp);
        if (memcmp(fp, k->b + 1, COCO__FP) == 0) return COCO_OK;
    }
    coco__found(a, NULL, "a dependency set's fingerprint leads to no set with it");
    return coco__fix_del(a, k);
}

static coco_status coco__name_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    uint64_t id = coco__key_number(k);

    if (!payload.n || !id || id >= COCO__NAMES_MAX) return coco__damaged(a, k, "the name of a function");
    coco__raise(&a->top.next_name, id);
    return COCO_OK;
}

static coco_status coco__run_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__reader r = coco__reader_of(payload.p, payload.n);

    coco__raise(&a->top.next_run, coco__key_number(k));
    coco__read_varint(&r); /* start, end, mode, build; totals may be cut */
    coco__read_varint(&r);
    coco__read_byte(&r);
    coco__read_blob(&r);
    return payload.p && !r.bad && k->n == 9 ? COCO_OK : coco__damaged(a, k, "the record of a run");
}

static coco_status coco__tombstone_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__place at = { 0, { NULL, 0 } };
    coco__dbkey c = *k;
    coco_str p;
    bool ok = payload.p && payload.n && k->n >= 9;

    if (k->n >= 9) at = (coco__place){ coco__get_be64(k->b + 1), { (const char *)k->b + 9, k->n - 9 } };
    if (ok && payload.n > 1) {
        at.segment = (coco_str){ payload.p + 1, payload.n - 1 };
        coco__place_key(&c, COCO__TOMBSTONE, &at);
        ok = coco__bytes_cmp(c.b, c.n, k->b, k->n) == 0;
    }
    c.b[0] = COCO__COMPONENT;
    if (ok && coco__get(&a->quiet, &c, &p) != COCO_ENOTFOUND) return COCO_OK;
    coco__found(a, k->n >= 9 ? &at : NULL, ok ? "a tombstone stands on nothing" : "its tombstone is damaged");
    coco__fix_add(a, COCO__FIX_PENDING, k, (coco_str){ "", 0 });
    return coco__fix_del(a, k);
}

static coco_status coco__live_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__dbkey node = *k;
    coco_str p;

    node.b[0] = COCO__PARENT;
    if (payload.p && payload.n && k->n == 9 && coco__value_sound(a, payload) &&
        coco__get(&a->quiet, &node, &p) != COCO_ENOTFOUND)
        return COCO_OK;
    return coco__damaged(a, k, "what a feed or live component keeps");
}

/* ---- Index entries that lead nowhere ---- */

static coco_status coco__owner_count(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco_str key;
    uint64_t space = coco__space_of((coco_str){ (const char *)k->b + 1, k->n - 1 }, &key);
    coco__place at;

    if (space >= COCO__S_FIRST_PROVIDER && (key.n > COCO__CUT || coco__target_key_sound(space, key)) &&
        coco__place_get(payload, &at) == COCO_OK)
        return COCO_OK;
    return coco__damaged(a, k, "an entry of the owner index");
}

/* A record that can't be read, or is gone, may have had the state; one that is whole hasn't. */
static coco_status coco__owner_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco_str ekey = { (const char *)k->b + 1, k->n - 1 }, key;
    uint64_t space = coco__space_of(ekey, &key);
    coco__place at;
    coco__dbkey c;
    coco__rec rec;
    coco_str p;
    bool sealed, lost = coco__top_of(a, space);

    if (coco__place_get(payload, &at) != COCO_OK) return COCO_OK; /* told before */
    if (lost && coco__owner_true(a, ekey, payload)) return COCO_OK;
    for (const coco__fix *f = a->fixes; f; f = f->next) /* its component has been found */
        if (f->op == COCO__FIX_PUT && coco__bytes_cmp(f->key.b, f->key.n, k->b, k->n) == 0) return COCO_OK;
    lost &= at.parent ? coco__one_key(at.segment) && coco__climb(a, at.parent, &sealed) : at.segment.n == 0;
    lost &= !coco__peek_rec(a, &at, &rec);
    coco__dbkey_id(&c, COCO__PROVIDER, space, key.p, key.n);
    if (key.n > COCO__CUT) lost &= coco__peek(a, &c, &p); /* else nobody knows its key in full */
    coco__found(a, &at, "the owner index leads to it from a target state that it %s",
                lost ? "may have had" : "hasn't");
    return lost ? coco__fix_rebuild(a, &at) : coco__fix_del(a, k);
}

static coco_status coco__parent_count(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    coco__place at;

    coco__raise(&a->top.next_id, coco__key_number(k));
    if (coco__key_number(k) && coco__place_get(payload, &at) == COCO_OK) return COCO_OK;
    return coco__damaged(a, k, "the place of a component");
}

static coco_status coco__parent_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    uint64_t id = coco__key_number(k);
    coco__place at;
    coco__rec rec;

    if (coco__place_get(payload, &at) != COCO_OK) return COCO_OK;
    bool whole = coco__peek_rec(a, &at, &rec);
    if (whole && (rec.flags & COCO__R_ID) && rec.id == id) return COCO_OK;
    coco__found(a, &at, "number %llu leads to it, which isn't its own", (unsigned long long)id);
    bool used = coco__any_child(a->t, COCO__COMPONENT, id) || coco__any_child(a->t, COCO__PAGE, id);
    if (whole && (rec.flags & COCO__R_ID)) return coco__fix_del(a, k); /* what is below hangs nowhere then */
    return used ? coco__fix_rebuild(a, &at) : coco__fix_del(a, k);
}

static coco_status coco__page_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    uint64_t id = k->n >= 9 ? coco__get_be64(k->b + 1) : 0;
    coco__place at;
    coco__rec rec;

    (void)payload;
    if (coco__peek_place(a, id, &at)) {
        if (!coco__peek_rec(a, &at, &rec)) return coco__fix_rebuild(a, &at); /* the record's own finding names it */
        if ((rec.flags & COCO__R_PAGED) && rec.id == id) return COCO_OK;
    }
    coco__found(a, NULL, "a page of target states belongs to no component");
    return coco__fix_del(a, k);
}

/* Counts an index; where it has not just the entries that it should have, goes through them. */
static void coco__check_index(coco__audit *a, enum coco__kind kind, const uint64_t *right, coco__row_fn count,
                              coco__row_fn each)
{
    uint64_t before = a->nrows, after;

    coco__each_of(a, kind, count);
    after = a->nrows;
    if (after - before != *right) coco__each_of(a, kind, each);
    a->nrows = after;
}

/* ---- Counters ---- */

static void coco__check_meta(coco__audit *a)
{
    coco__meta is = { 0, 0, 0, 0, 0, 0 };
    const uint64_t *seen = &a->top.next_id;
    uint64_t *m = &is.next_id;
    coco__dbkey k;
    coco_str p;
    bool low = false;

    coco__dbkey_raw(&k, COCO__META, NULL, 0);
    coco_status rc = coco__get(&a->quiet, &k, &p);
    if (rc == COCO_OK) rc = coco__meta_get(&a->quiet, &is);
    if (rc == COCO_ENOTFOUND && a->nrows == 0) return; /* nothing has been recorded */
    a->nrows += rc != COCO_ENOTFOUND;
    for (size_t i = 0; i < sizeof is / sizeof *m; i++) {
        low |= rc == COCO_OK && m[i] < seen[i];
        if (rc != COCO_OK || m[i] < seen[i]) m[i] = seen[i];
    }
    if (rc != COCO_OK) is.next_provider += COCO__META_LEAP, is.next_int_id += COCO__META_LEAP;
    if (rc == COCO_OK && !low) return;
    coco__found(a, NULL,
                rc == COCO_OK ? "a counter stands below what it has given" : "the counters are damaged");
    a->bytes.n = 0;
    for (size_t i = 0; i < sizeof is / sizeof *m; i++) coco__buf_varint(&a->bytes, m[i]);
    coco__fix_put(a, &k, &a->bytes);
}

static coco_status coco__unknown_row(coco__audit *a, const coco__dbkey *k, coco_str payload)
{
    (void)payload;
    if (k->n && memchr(COCO__KINDS, k->b[0], sizeof COCO__KINDS - 1)) return COCO_OK;
    return coco__damaged(a, k, "a record of no known kind");
}

static coco_status coco__check_unknown(coco__audit *a)
{
    coco__dbkey all = { .n = 0 };
    MDB_stat st;
    int rc = mdb_stat(a->t->mdb, a->t->dbi, &st);

    if (a->rc == COCO_OK && rc) return coco__mdb_error(a->t->err, rc, a->t->env, "read");
    return st.ms_entries == a->nrows ? a->rc : coco__each_row(a, &all, coco__unknown_row);
}

/* ---- The whole ---- */

static coco_status coco__audit_walk(coco__audit *a)
{
    const coco__seen_place *place;

    coco__each_of(a, COCO__PROVIDER, coco__provider_row);
    coco__each_of(a, COCO__PROVIDER_ID, coco__provider_id_row);
    coco__each_of(a, COCO__NAME, coco__name_row);
    coco__each_of(a, COCO__RUN, coco__run_row);
    coco__each_of(a, COCO__COMPONENT, coco__component_row);
    coco__check_index(a, COCO__PARENT, &a->nparents, coco__parent_count, coco__parent_row);
    coco__check_index(a, COCO__OWNER, &a->nowners, coco__owner_count, coco__owner_row);
    coco__check_index(a, COCO__PAGE, &a->npages, NULL, coco__page_row); /* looked at with their components */
    coco__each_of(a, COCO__RESULT, coco__result_row);
    coco__each_of(a, COCO__MEMO, coco__memo_row);
    coco__results_end(a);
    coco__each_of(a, COCO__MEMO_USES, coco__uses_row);
    coco__each_of(a, COCO__MEMO_IDLE, coco__idle_row);
    coco__uses_end(a);
    coco__each_of(a, COCO__DEPSET, coco__depset_row);
    coco__each_of(a, COCO__DEPSET_FP, coco__depset_fp_row);
    coco__each_of(a, COCO__COUNT_OF, coco__count_row);
    for (size_t i = 0; (place = coco__table_next(&a->places, &i)) != NULL;) coco__provider_end(a, place);
    coco__each_of(a, COCO__TOMBSTONE, coco__tombstone_row);
    coco__each_of(a, COCO__LIVE, coco__live_row);
    coco__check_meta(a);
    return coco__check_unknown(a);
}

COCO__IN coco_status coco__audit_run(coco__audit *a, const coco__txn *t)
{
    a->t = t;
    a->quiet = *t;
    a->quiet.err = NULL;
    a->top = (coco__meta){ 1, COCO__S_FIRST_PROVIDER, 1, 1, 1, 1 };
    coco__arena_init(&a->arena, &t->env->mem);
    coco__arena_init(&a->scratch, &t->env->mem);
    coco__table_init(&a->places, &t->env->mem);
    coco__table_init(&a->sets, &t->env->mem);
    coco__table_init(&a->uses, &t->env->mem);
    coco__table_init(&a->results, &t->env->mem);
    coco__buf_init(&a->bytes, &t->env->mem);
    coco__buf_init(&a->record, &t->env->mem);
    coco__merge_init(&a->merge, &t->env->mem);
    coco__view_init(&a->view, &t->env->mem);
    return coco__audit_walk(a);
}

COCO__IN void coco__audit_free(coco__audit *a)
{
    coco__view_free(&a->view);
    coco__merge_free(&a->merge);
    coco__buf_free(&a->record);
    coco__buf_free(&a->bytes);
    coco__table_free(&a->results);
    coco__table_free(&a->uses);
    coco__table_free(&a->sets);
    coco__table_free(&a->places);
    coco__arena_free(&a->scratch);
    coco__arena_free(&a->arena);
}
