/* inspect.c - what is recorded: apps, components and their target states, from the database alone.
 *
 * Floor: above app; calls store and states, and memo and key to print. The tree is walked depth first in key order, in batches. A
 * batch reads at most COCO__LOOK_RECORDS records in one read transaction and prints what the visitor is to see into an arena;
 * then the transaction ends and the visitor is called. Invariants:
 *   - No transaction is open while the visitor runs, and none for longer than a batch: an update beside it, here or in another
 *     process, is never held up, and the pages that it frees are soon used again.
 *   - Between batches only keys are kept (levels, page): what was removed meanwhile is passed over, what came ahead is seen.
 *   - A damaged record ends nothing but the visit of its component: it is told at the end, by the component's path. */
#include "engine.h"

#ifdef COCO_SMALL
#define COCO__LOOK_RECORDS 7
#else
#define COCO__LOOK_RECORDS 1000
#endif
#define COCO__LOOK_FACTS 64

typedef struct coco__level { /* the children of one component or inner node */
    coco__dbkey from;        /* where the next one is sought */
    size_t npath;            /* length of the parent's printed path */
    bool gone;               /* a tombstone stands on the parent or above */
} coco__level;

typedef struct coco__fact { /* a small record that many components refer to */
    enum coco__kind kind;   /* name of a function, title of a provider, start of a run */
    uint64_t id;
    int64_t time;
    char *text;             /* allocated; NULL: none */
} coco__fact;

typedef struct coco__seen { /* what the visitor is to be told */
    struct coco__seen *next;
    const coco_component_info *info;
    coco_state_info state; /* its text NULL: the component itself */
} coco__seen;

typedef struct coco__look {
    coco_app app;       /* stands for the one looked at, which needn't be open: environment, name and database only */
    const coco_inspect_visitor *v;
    size_t limit;       /* levels below the first component; 0: all */
    coco__buf start;    /* encoded path of the first component */
    int base;           /* its depth */
    bool begun, ended;
    MDB_txn *reader;    /* cached */
    coco__txn t;        /* of the batch */
    MDB_cursor *cur;    /* of the batch */
    size_t left;        /* records until the snapshot is renewed */
    coco__arena arena;  /* of the batch, and the component in progress */
    coco__mark kept;    /* behind the component in progress */
    coco__seen *seen, **last;
    coco__buf path;     /* printed, of the component being visited; empty for the root */
    coco__level *levels;
    size_t nlevels, cap;
    coco_component_info *info; /* of the component being visited */
    enum { COCO__LOOK_NEXT, COCO__LOOK_MEASURE, COCO__LOOK_STATES } phase; /* of a component with pages */
    bool counted;       /* all entries of function memos have been seen */
    coco__dbkey page;   /* where the phase goes on */
    coco__view view;    /* of the entries being read */
    coco__fact facts[COCO__LOOK_FACTS]; /* by id; another one takes the place */
    coco_err said;      /* by the store */
    coco_err damage;    /* the first damaged record */
} coco__look;

/* ---- Damage ---- */

/* Takes a missing or damaged record for no record; the damage is told at the end. */
static coco_status coco__look_forgive(coco__look *l, coco_status rc)
{
    const char *what = l->said.code == COCO_ECORRUPT ? l->said.msg : coco_status_text(COCO_ECORRUPT);

    if (rc == COCO_ENOTFOUND) return COCO_OK;
    if (rc != COCO_ECORRUPT) return rc;
    if (!l->damage.code) coco_err_set(&l->damage, rc, "%s: %s", l->path.n ? coco__buf_cstr(&l->path) : "/", what);
    l->said.code = COCO_OK;
    return COCO_OK;
}

/* ---- Names, titles and runs ---- */

static coco_status coco__fact_title(const coco__txn *t, uint64_t id, coco_str *title)
{
    coco__dbkey k;
    coco_str p;

    coco__dbkey_id(&k, COCO__PROVIDER_ID, id, NULL, 0);
    COCO_TRY(coco__get(t, &k, &p));
    if (p.n < 8 || p.n >= COCO__KEY_MAX) return COCO_ECORRUPT;
    coco__dbkey_raw(&k, COCO__PROVIDER, p.p, p.n);
    COCO_TRY(coco__get(t, &k, &p));
    coco__reader r = coco__reader_of(p.p, p.n);
    if (coco__read_varint(&r) != id) return COCO_ENOTFOUND; /* another one has its place now */
    coco__read_varint(&r);
    coco__read_byte(&r);
    *title = coco__read_blob(&r);
    return r.bad ? COCO_ECORRUPT : COCO_OK;
}

/* *fact NULL: there is none, or it is damaged. Valid until the next call. */
static coco_status coco__look_fact(coco__look *l, enum coco__kind kind, uint64_t id, const coco__fact **fact)
{
    const coco__mem *m = &l->app.env->mem;
    coco__fact *f = &l->facts[(id * 3 + (uint64_t)kind) % COCO__LOOK_FACTS];
    coco__dbkey k;
    coco_str p = { 0 };
    coco_status rc;

    *fact = f;
    if (f->text && f->kind == kind && f->id == id) return COCO_OK;
    *fact = NULL;
    coco__dbkey_id(&k, kind, id, NULL, 0);
    rc = kind == COCO__PROVIDER ? coco__fact_title(&l->t, id, &p) : coco__get(&l->t, &k, &p);
    if (rc != COCO_OK) return coco__look_forgive(l, rc);
    coco__free(m, f->text);
    *f = (coco__fact){ .kind = kind, .id = id, .text = coco__alloc(m, p.n + 1) };
    if (!f->text) return COCO_ENOMEM;
    if (p.n) memcpy(f->text, p.p, p.n);
    f->text[p.n] = '\0';
    coco__reader r = coco__reader_of(p.p, p.n);
    if (kind == COCO__RUN) f->time = (int64_t)coco__read_varint(&r);
    *fact = f;
    return COCO_OK;
}

/* ---- What is told ---- */

/* Puts the component being visited, or (not NULL) a state of it, on the list. */
static coco_status coco__look_put(coco__look *l, const coco_state_info *state)
{
    coco__seen *s = coco__arena_zalloc(&l->arena, sizeof *s);

    if (!s) return COCO_ENOMEM;
    s->info = l->info;
    if (state) s->state = *state;
    *l->last = s;
    l->last = &s->next;
    return COCO_OK;
}

static coco_status coco__look_text(coco__look *l, const void *p, size_t n, const char **out)
{
    *out = coco__arena_copy(&l->arena, p ? p : "", n);
    return *out ? COCO_OK : COCO_ENOMEM;
}

static coco_status coco__look_buf(coco__look *l, coco__buf *b, const char **out)
{
    coco_status rc = b->failed ? COCO_ENOMEM : coco__look_text(l, b->p, b->n, out);

    coco__buf_free(b);
    return rc;
}

/* How the component ran last. */
static coco_status coco__look_ran(coco__look *l, const coco__rec *rec)
{
    coco_component_info *i = l->info;
    const coco__fact *fact;
    coco__buf reason;

    i->memo = rec->flags & COCO__R_MEMO;
    i->nstates = (size_t)rec->nstates;
    i->run = rec->run;
    i->version = rec->version;
    i->seconds = (double)rec->ns / 1e9;
    COCO_TRY(coco__look_fact(l, COCO__RUN, rec->run, &fact));
    i->time = fact ? fact->time : 0;
    COCO_TRY(coco__look_fact(l, COCO__NAME, rec->fn, &fact));
    COCO_TRY(coco__look_text(l, fact ? fact->text : NULL, fact ? strlen(fact->text) : 0, &i->function));
    coco__buf_init(&reason, l->arena.mem);
    coco__why_print(&reason, (coco__why){ (coco__reason)rec->reason, rec->detail });
    return coco__look_buf(l, &reason, &i->reason);
}

/* Begins the component at l->path; bytes of its record alone. */
static coco_status coco__look_info(coco__look *l, const coco__rec *rec, size_t bytes, bool gone)
{
    coco_component_info *i = coco__arena_zalloc(&l->arena, sizeof *i);

    if (!i || l->path.failed) return COCO_ENOMEM;
    l->info = i;
    i->depth = l->base + (int)l->nlevels;
    i->bytes = bytes;
    i->pending = rec->flags & COCO__R_PENDING;
    i->tombstone = gone;
    COCO_TRY(coco__look_text(l, l->path.n ? l->path.p : (const void *)"/", l->path.n ? l->path.n : 1, &i->path));
    if (rec->source.n) COCO_TRY(coco__look_text(l, rec->source.p, rec->source.n, &i->source));
    if (rec->flags & COCO__R_COMPONENT) COCO_TRY(coco__look_ran(l, rec));
    l->kept = coco__arena_mark(&l->arena);
    return COCO_OK;
}

/* ---- Entries ---- */

/* Function memos come first: behind the last of them nothing is left to count. */
static void coco__look_count(coco__look *l)
{
    for (size_t j = 0; j < l->view.n && !l->counted; j++) {
        coco_str ekey = l->view.entries[j].ekey;

        if (coco__ekey_space((const uint8_t *)ekey.p, ekey.n, NULL) == COCO__S_USE) l->info->nmemos++;
        else l->counted = true;
    }
}

static coco_status coco__look_state(coco__look *l, const coco__entry *e)
{
    uint64_t space = coco__ekey_space((const uint8_t *)e->ekey.p, e->ekey.n, NULL);
    coco_state_info info = { 0 };
    const coco__fact *title;
    coco__state s;
    coco__buf b;

    if (space > 0 && space < COCO__S_FIRST_PROVIDER) return COCO_OK;
    COCO_TRY(coco__look_forgive(l, coco__state_get(e->ekey, e->value, &s)));
    if (s.npossible == 0) return COCO_OK; /* damaged */
    COCO_TRY(coco__look_fact(l, COCO__PROVIDER, space, &title));
    if (!title) return COCO_OK; /* void: the container it was in is no more */
    info.container = s.container;
    info.in_flight = s.npossible > 1 || s.condemned;
    for (size_t j = 0; j < s.npossible; j++) info.bytes += s.possible[j].n;
    coco__buf_init(&b, l->arena.mem);
    coco__buf_printf(&b, "%s:", title->text);
    coco__key_print(&b, s.key.p, s.key.n);
    COCO_TRY(coco__look_buf(l, &b, &info.state));
    return coco__look_put(l, &info);
}

static coco_status coco__look_states(coco__look *l)
{
    coco_status rc = COCO_OK;

    for (size_t j = 0; j < l->view.n && rc == COCO_OK; j++) rc = coco__look_state(l, &l->view.entries[j]);
    l->left -= l->view.n < l->left ? l->view.n : l->left;
    return rc;
}

static coco_status coco__look_inline(coco__look *l, coco_str entries)
{
    l->counted = false;
    COCO_TRY(coco__look_forgive(l, coco__view_decode(&l->view, entries)));
    coco__look_count(l);
    COCO_TRY(coco__look_put(l, NULL));
    return l->v->state ? coco__look_states(l) : COCO_OK;
}

static coco_status coco__look_page(coco__look *l, const MDB_val *key, const MDB_val *data)
{
    coco_str bytes = { 0 };
    coco_status rc;

    if (l->phase == COCO__LOOK_MEASURE) l->info->bytes += key->mv_size + data->mv_size;
    if (l->phase == COCO__LOOK_MEASURE && l->counted) return COCO_OK;
    rc = coco__check_payload(&l->t, key, data, &bytes);
    if (rc == COCO_OK) rc = coco__view_decode(&l->view, bytes);
    if (rc != COCO_OK) return coco__look_forgive(l, rc);
    if (l->phase == COCO__LOOK_STATES) return coco__look_states(l);
    coco__look_count(l);
    return COCO_OK;
}

/* Pages are gone through twice: the component is told, with its size, before its states are. */
static coco_status coco__look_pages(coco__look *l)
{
    MDB_val key = { l->page.n, l->page.b }, data;
    int got;

    for (got = mdb_cursor_get(l->cur, &key, &data, MDB_SET_RANGE);
         got == 0 && key.mv_size >= 9 && memcmp(key.mv_data, l->page.b, 9) == 0; got = mdb_cursor_get(l->cur, &key, &data, MDB_NEXT)) {
        if (l->left == 0) {
            memcpy(l->page.b, key.mv_data, l->page.n = key.mv_size);
            return COCO_OK;
        }
        l->left--;
        COCO_TRY(coco__look_page(l, &key, &data));
    }
    if (got != 0 && got != MDB_NOTFOUND) return coco__mdb_error(&l->said, got, l->app.env, "read");
    bool measured = l->phase == COCO__LOOK_MEASURE;
    l->phase = measured && l->v->state ? COCO__LOOK_STATES : COCO__LOOK_NEXT;
    l->page.n = 9;
    return measured ? coco__look_put(l, NULL) : COCO_OK;
}

/* ---- The tree ---- */

static coco_status coco__look_down(coco__look *l, uint64_t id, bool gone)
{
    if (l->limit && l->nlevels >= l->limit) return COCO_OK;
    if (l->nlevels == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        coco__level *v = coco__realloc(l->arena.mem, l->levels, cap * sizeof *v);
        if (!v) return COCO_ENOMEM;
        l->levels = v;
        l->cap = cap;
    }
    coco__level *top = &l->levels[l->nlevels++];
    coco__dbkey_id(&top->from, COCO__COMPONENT, id, NULL, 0);
    top->npath = l->path.n;
    top->gone = gone;
    return COCO_OK;
}

/* Reads the record at key, one segment behind l->path, which takes it on. flags 0: damaged. */
static coco_status coco__look_read(coco__look *l, const coco__dbkey *key, coco__rec *rec, size_t *bytes)
{
    coco_str payload = { 0 }, segment = { (const char *)key->b + 9, key->n - 9 };
    coco_status rc = coco__get(&l->t, key, &payload);

    if (rc == COCO_ENOTFOUND) return rc;
    if (rc == COCO_OK) rc = coco__rec_get(payload, rec, &l->said);
    if (rc == COCO_OK && rec->flags & COCO__R_LONG) segment = rec->segment;
    if (segment.n) coco__path_print(&l->path, segment.p, segment.n);
    *bytes = key->n + 4 + payload.n;
    if (rc == COCO_ECORRUPT) rec->flags = 0;
    return coco__look_forgive(l, rc);
}

/* *here: a tombstone stands on this component or above; *below: what is below it is gone too. */
static coco_status coco__look_gone(coco__look *l, const coco__dbkey *key, bool *here, bool *below)
{
    coco__dbkey tomb = *key;
    coco_str p = { 0 };
    coco_status rc;

    tomb.b[0] = COCO__TOMBSTONE;
    rc = coco__get(&l->t, &tomb, &p);
    if (rc == COCO_OK) {
        *here = true;
        *below = *below || !(p.n && p.p[0]);
    }
    return coco__look_forgive(l, rc);
}

static coco_status coco__look_at(coco__look *l, const coco__dbkey *key, bool gone)
{
    coco__rec rec;
    size_t bytes;
    bool here = gone;

    COCO_TRY(coco__look_read(l, key, &rec, &bytes));
    l->left -= l->left > 0;
    if (rec.flags == 0) return COCO_OK;
    COCO_TRY(coco__look_gone(l, key, &here, &gone));
    COCO_TRY(coco__look_info(l, &rec, bytes, here));
    if (rec.flags & COCO__R_ID) COCO_TRY(coco__look_down(l, rec.id, gone));
    if (!(rec.flags & COCO__R_PAGED)) return coco__look_inline(l, rec.entries);
    l->phase = COCO__LOOK_MEASURE;
    l->counted = false;
    coco__dbkey_id(&l->page, COCO__PAGE, rec.id, NULL, 0);
    return COCO_OK;
}

/* The next child on the deepest level, or up from it. */
static coco_status coco__look_next(coco__look *l)
{
    coco__level *top = &l->levels[l->nlevels - 1];
    MDB_val key = { top->from.n, top->from.b }, data;
    coco__dbkey found;
    int rc = mdb_cursor_get(l->cur, &key, &data, MDB_SET_RANGE);

    if (rc != 0 && rc != MDB_NOTFOUND) return coco__mdb_error(&l->said, rc, l->app.env, "read");
    if (rc != 0 || key.mv_size < 9 || memcmp(key.mv_data, top->from.b, 9) != 0) {
        l->nlevels--;
        return COCO_OK;
    }
    memcpy(found.b, key.mv_data, found.n = key.mv_size);
    top->from = found;
    top->from.b[top->from.n++] = 0; /* no key lies between the two */
    l->path.n = top->npath;
    return coco__look_at(l, &found, top->gone);
}

/* Goes down from the root to the component asked for. */
static coco_status coco__look_start(coco__look *l)
{
    coco__place at = { 0, { "", 0 } };
    const uint8_t *p = l->start.p;
    coco__dbkey k;
    bool here = false, gone = false;

    l->begun = true;
    coco__place_key(&k, COCO__COMPONENT, &at);
    for (size_t left = l->start.n, n; left; left -= n, p += n, l->base++) {
        coco__rec rec;
        size_t bytes;
        COCO_TRY(coco__look_read(l, &k, &rec, &bytes));
        if (rec.flags == 0) return COCO_OK;
        if (!(rec.flags & COCO__R_ID)) return COCO_ENOTFOUND;
        COCO_TRY(coco__look_gone(l, &k, &here, &gone));
        n = coco__key_length(p, left);
        assert(n); /* it was encoded by the parser */
        at = (coco__place){ rec.id, { (const char *)p, n } };
        coco__place_key(&k, COCO__COMPONENT, &at);
    }
    return coco__look_at(l, &k, gone);
}
