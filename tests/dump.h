/* dump.h - all that an app's database holds, as lines of text in order, to compare what two updates have recorded.
 *
 * Numbers that stand for something are printed as what they stand for: components as paths, targets as titles,
 * functions as names, dependency sets as what is in them. Left out are numbers of runs, times, costs and generated ids;
 * indexes, which coco_check holds against the records; and where pages are cut.
 */
#ifndef COCO_TEST_DUMP_H
#define COCO_TEST_DUMP_H

#include "../engine/engine.h"

#include <stdlib.h>

enum { DUMP_LINES = 20000 };

typedef struct dump {
    coco__txn t;
    coco_err err;
    coco__buf line; /* being put together */
    char *lines[DUMP_LINES];
    size_t n;
} dump;

static inline int dump_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)(uintptr_t)a, *(char *const *)(uintptr_t)b);
}

static inline char *dump_text(coco__buf *b)
{
    char *s = strdup(coco__buf_cstr(b));

    if (b->failed || !s) abort();
    b->n = 0;
    return s;
}

static inline void dump_end_line(dump *d)
{
    if (d->n == DUMP_LINES) abort();
    d->lines[d->n++] = dump_text(&d->line);
}

static inline void dump_bytes(coco__buf *b, coco_str s)
{
    for (size_t i = 0; i < s.n; i++) coco__buf_printf(b, "%02x", (unsigned)(uint8_t)s.p[i]);
}

static inline void dump_place(dump *d, coco__buf *b, const coco__place *at)
{
    coco__buf path;

    coco__buf_init(&path, b->mem);
    if (coco__place_path(&d->t, at, &path) != COCO_OK) coco__buf_printf(b, "(nowhere)");
    coco__path_print(b, path.p, path.n);
    if (!path.n) coco__buf_byte(b, '/');
    coco__buf_free(&path);
}

static inline void dump_number(dump *d, coco__buf *b, uint64_t id)
{
    coco__place at;
    coco_str p;

    if (coco__get_id(&d->t, COCO__PARENT, id, &p) != COCO_OK || coco__place_get(p, &at) != COCO_OK) abort();
    dump_place(d, b, &at);
}

static inline void dump_provider(dump *d, coco__buf *b, uint64_t id)
{
    coco__provider_rec rec;
    coco__dbkey k;
    coco_str p;

    if (coco__get_id(&d->t, COCO__PROVIDER_ID, id, &p) != COCO_OK) {
        coco__buf_printf(b, "(no target)");
        return;
    }
    if (coco__get_be64((const uint8_t *)p.p)) {
        dump_provider(d, b, coco__get_be64((const uint8_t *)p.p));
        coco__buf_byte(b, '>');
    }
    coco__dbkey_raw(&k, COCO__PROVIDER, p.p, p.n);
    if (coco__get(&d->t, &k, &p) != COCO_OK || coco__provider_get(p, &rec) != COCO_OK) abort();
    coco__buf_printf(b, "%.*s%s", (int)rec.title.n, rec.title.p, rec.attachment ? "+" : "");
    dump_bytes(b, rec.key);
}

static inline void dump_ekey(dump *d, coco__buf *b, coco_str ekey)
{
    size_t skip = 0;
    uint64_t space = coco__ekey_space((const uint8_t *)ekey.p, ekey.n, &skip);

    if (space < COCO__S_FIRST_PROVIDER) coco__buf_printf(b, "%d", (int)space);
    else dump_provider(d, b, space);
    coco__buf_byte(b, ':');
    dump_bytes(b, (coco_str){ ekey.p + skip, ekey.n - skip });
}

/* ---- Memos ------------------------------------------------------------------------------------------------------- */

static inline void dump_dependency(dump *d, coco__buf *b, coco_str dep)
{
    const uint8_t *fp = (const uint8_t *)dep.p + 1;

    coco__buf_printf(b, " %d%.*s=", dep.p[0], (int)(dep.n - 1 - COCO__FP), dep.p + 1 + COCO__FP);
    if (dep.p[0] != COCO__D_PROVIDER) {
        dump_bytes(b, (coco_str){ (const char *)fp, COCO__FP });
        return;
    }
    dump_provider(d, b, coco__get_be64(fp));
    coco__buf_printf(b, "#%d", (int)coco__get_be64(fp + 8));
}

/* The order within a set is that of numbers. */
static inline void dump_set(dump *d, coco__buf *b, coco_str bytes)
{
    coco__reader r = coco__reader_of(bytes.p, bytes.n);
    char *deps[100];
    coco__buf one;
    size_t n = 0;

    coco__buf_init(&one, b->mem);
    while (coco__left(&r) && n < 100) {
        dump_dependency(d, &one, coco__read_blob(&r));
        deps[n++] = dump_text(&one);
    }
    coco__buf_free(&one);
    qsort(deps, n, sizeof deps[0], dump_order);
    coco__buf_printf(b, " needs");
    for (size_t i = 0; i < n; i++) {
        coco__buf_str(b, deps[i]);
        free(deps[i]);
    }
}

static inline void dump_set_of(dump *d, coco__buf *b, uint64_t id)
{
    uint64_t uses;
    coco_str p;

    if (coco__get_id(&d->t, COCO__DEPSET, id, &p) != COCO_OK || coco__depset_get(p, &uses, &p) != COCO_OK) abort();
    dump_set(d, b, p);
}

static inline void dump_memo(dump *d, coco__buf *b, coco_str payload)
{
    coco__memo m;
    coco__reader r;

    if (coco__memo_get(payload, &m) != COCO_OK) abort();
    char *apart = m.number ? malloc(m.result.n + 1) : NULL;
    if (apart && coco__result_get(&d->t, m.number, apart, m.result.n) != COCO_OK) abort();
    if (apart) m.result.p = apart;
    dump_set_of(d, b, m.set);
    coco__buf_printf(b, ", states ");
    dump_bytes(b, m.states);
    coco__buf_printf(b, ", uses ");
    dump_bytes(b, m.uses);
    coco__buf_printf(b, ", gives ");
    dump_bytes(b, m.result);
    free(apart);
    coco__buf_printf(b, ", declares");
    for (r = coco__reader_of(m.declared.p, m.declared.n); coco__left(&r);) {
        coco__buf_byte(b, ' ');
        dump_ekey(d, b, coco__read_blob(&r));
    }
}

/* ---- Components -------------------------------------------------------------------------------------------------- */

static inline void dump_state(coco__buf *b, const coco__entry *e)
{
    coco__state s;

    if (coco__state_get(0, e->ekey, e->value, &s) != COCO_OK) abort();
    coco__buf_printf(b, "%s%s%s #%d", s.container ? " container" : "", s.user_managed ? " user's" : "",
                     s.condemned ? " condemned" : "", (int)s.counter);
    for (size_t i = 0; i < s.npossible; i++) {
        coco__buf_printf(b, s.possible[i].p ? " is " : " absent");
        dump_bytes(b, s.possible[i]);
    }
}

/* A line for each entry of the component that `whose` begins it with. */
static inline void dump_entries(dump *d, const char *whose, coco_str bytes)
{
    coco__view v;

    coco__view_init(&v, d->line.mem);
    if (coco__view_decode(&v, bytes) != COCO_OK) abort();
    for (size_t i = 0; i < v.n; i++) {
        const coco__entry *e = &v.entries[i];
        uint64_t space = coco__ekey_space((const uint8_t *)e->ekey.p, e->ekey.n, NULL);
        coco__buf_printf(&d->line, "%s has ", whose);
        dump_ekey(d, &d->line, e->ekey);
        if (space == COCO__S_MEMO) dump_memo(d, &d->line, e->value);
        else if (space >= COCO__S_FIRST_PROVIDER) dump_state(&d->line, e);
        else if (space != COCO__S_ID) dump_bytes(&d->line, e->value);
        dump_end_line(d);
    }
    coco__view_free(&v);
}

static inline void dump_component(dump *d, const coco__place *at, coco_str payload)
{
    coco__rec rec;
    coco__buf whose, *b = &d->line;
    coco_str name = { "-", 1 };

    if (coco__rec_get(payload, &rec, &d->err) != COCO_OK) abort();
    coco__buf_init(&whose, b->mem);
    dump_place(d, &whose, at);
    if (rec.flags & COCO__R_COMPONENT && coco__get_id(&d->t, COCO__NAME, rec.fn, &name) != COCO_OK) abort();
    coco__buf_printf(b, "%s is %.*s, flags %x, source %.*s, version %d, %d states, why %d %.*s, failed %d times, key ",
                     coco__buf_cstr(&whose), (int)name.n, name.p, (unsigned)(rec.flags & ~(uint32_t)COCO__R_PAGED),
                     (int)rec.source.n, rec.source.p, (int)rec.version, (int)rec.nstates, rec.reason,
                     (int)rec.detail.n, rec.detail.p, (int)rec.fail_count);
    dump_bytes(b, rec.argkey);
    coco__buf_printf(b, ", states ");
    dump_bytes(b, rec.states);
    coco__buf_printf(b, ", gives ");
    dump_bytes(b, rec.result);
    if (rec.flags & (COCO__R_MEMO | COCO__R_FAILED)) dump_set_of(d, b, rec.depset);
    dump_end_line(d);
    if (!(rec.flags & COCO__R_PAGED)) dump_entries(d, coco__buf_cstr(&whose), rec.entries);
    coco__buf_free(&whose);
}

/* ---- Records ----------------------------------------------------------------------------------------------------- */

static inline void dump_page(dump *d, uint64_t id, coco_str payload)
{
    coco__buf whose;

    coco__buf_init(&whose, d->line.mem);
    dump_number(d, &whose, id);
    dump_entries(d, coco__buf_cstr(&whose), payload);
    coco__buf_free(&whose);
}

static inline void dump_target(dump *d, coco_str payload)
{
    coco__provider_rec rec;
    uint64_t states = 0;
    coco__dbkey k;

    if (coco__provider_get(payload, &rec) != COCO_OK) abort();
    coco__dbkey_id(&k, COCO__COUNT_OF, rec.id, NULL, 0);
    coco__get_number(&d->t, &k, &states);
    coco__buf_printf(&d->line, "target ");
    dump_provider(d, &d->line, rec.id);
    coco__buf_printf(&d->line, " #%d%s, %d states, is ", (int)rec.counter, rec.user_managed ? " user's" : "",
                     (int)states);
    dump_bytes(&d->line, rec.record);
    dump_end_line(d);
}

static inline void dump_record(dump *d, const coco__scan *s, coco_str p)
{
    const char *k = s->key.mv_data;
    coco_str rest = { k + 1, s->key.mv_size - 1 };
    uint64_t uses, id = rest.n >= 8 ? coco__get_be64((const uint8_t *)rest.p) : 0;
    coco__place at = { id, { rest.p + 8, rest.n - 8 } };

    switch (k[0]) {
    case COCO__COMPONENT: dump_component(d, &at, p); return;
    case COCO__PAGE: dump_page(d, id, p); return;
    case COCO__PROVIDER: dump_target(d, p); return;
    case COCO__DEPSET:
        if (coco__depset_get(p, &uses, &p) != COCO_OK) abort();
        coco__buf_printf(&d->line, "a set used %d times", (int)uses);
        dump_set(d, &d->line, p);
        break;
    case COCO__MEMO:
    case COCO__MEMO_IDLE:
    case COCO__MEMO_USES:
        coco__buf_printf(&d->line, "%s ", k[0] == COCO__MEMO ? "memo" : k[0] == COCO__MEMO_IDLE ? "idle" : "uses of");
        dump_bytes(&d->line, rest);
        if (k[0] == COCO__MEMO) dump_memo(d, &d->line, p);
        else dump_bytes(&d->line, p);
        break;
    case COCO__TOMBSTONE:
        coco__buf_printf(&d->line, "tombstone ");
        dump_place(d, &d->line, &at);
        break;
    case COCO__OWNER:
        dump_ekey(d, &d->line, rest);
        if (coco__place_get(p, &at) != COCO_OK) abort();
        coco__buf_printf(&d->line, " belongs to ");
        dump_place(d, &d->line, &at);
        break;
    case COCO__LIVE:
        dump_number(d, &d->line, id);
        coco__buf_printf(&d->line, " stands at ");
        dump_bytes(&d->line, p);
        break;
    default: return;
    }
    dump_end_line(d);
}

/* What the app's database holds; to be freed. No update of it may run. */
static inline char *dump_app(coco_app *app)
{
    static const coco__mem libc;
    static const coco__dbkey all = { 0, { 0 } };
    dump *d = calloc(1, sizeof *d);
    MDB_txn *reader = NULL;
    coco__scan s;
    coco_str p;

    if (!d || coco__read_begin(app, &reader, &d->t, &d->err) != COCO_OK) abort();
    coco__buf_init(&d->line, &libc);
    coco__scan_open(&s, &d->t, &all, 0);
    while (coco__scan_next(&s)) {
        if (coco__check_payload(&d->t, &s.key, &s.data, &p) != COCO_OK) abort();
        dump_record(d, &s, p);
    }
    if (coco__scan_close(&s, COCO_OK) != COCO_OK) abort();
    coco__read_end(app, &d->t);
    mdb_txn_abort(reader);
    qsort(d->lines, d->n, sizeof d->lines[0], dump_order);
    for (size_t i = 0; i < d->n; i++) {
        coco__buf_printf(&d->line, "%s\n", d->lines[i]);
        free(d->lines[i]);
    }
    char *text = dump_text(&d->line);
    coco__buf_free(&d->line);
    free(d);
    return text;
}

#endif /* COCO_TEST_DUMP_H */
