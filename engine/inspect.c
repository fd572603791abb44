/* inspect.c - what is recorded: apps, components and their target states, from the database alone.
 *
 * Floor: above app; calls store and states, and key and memo to print. The tree is walked depth first in key order, in
 * batches: a batch reads at most COCO__LOOK_RECORDS records in one read transaction and prints what the visitor is to
 * see into an arena; then the transaction ends and the visitor is called. Invariants:
 *   - No transaction is open while the visitor runs, and none lasts longer than a batch: an update beside it, here or
 *     in another process, isn't held up, and the pages that it frees are soon used again.
 *   - Between batches only keys are kept: what was removed meanwhile is passed over, what came ahead is seen.
 *   - A damaged record costs the visit of its component and of what is below it, no more; it is told at the end. */
#include "engine.h"

#ifdef COCO_SMALL
#define COCO__LOOK_RECORDS 7
#else
#define COCO__LOOK_RECORDS 1000
#endif

typedef struct coco__level { /* the children of one component or inner node */
    coco__dbkey from;        /* where the next one is sought */
    size_t npath;            /* length of the parent's printed path */
    bool gone;               /* a tombstone stands on the parent or above it */
} coco__level;

typedef struct coco__seen { /* what the visitor is to be told */
    struct coco__seen *next;
    const coco_component_info *info;
    coco_state_info state; /* its text NULL: the component itself */
} coco__seen;

typedef struct coco__look {
    coco_app app;        /* stands for the one looked at, which needn't be open: environment, name and database alone */
    const coco_inspect_visitor *v;
    size_t limit;        /* levels below the first component; 0: all */
    coco__buf start;     /* encoded path of the first component */
    int base;            /* its depth */
    bool begun;
    MDB_txn *reader;     /* cached */
    coco__txn t;         /* of the batch */
    size_t left;         /* records until the snapshot is renewed */
    coco__arena arena;   /* of the batch */
    coco__mark kept;     /* behind the component whose pages are being read */
    coco__seen *seen, **last;
    coco__level *levels; /* from the first component's children down to where the walk is */
    size_t nlevels, cap;
    coco__buf path;      /* printed, of the component being visited; empty for the root */
    coco_component_info *info; /* of it, … */
    uint32_t flags;      /* … of its record, and … */
    size_t bytes;        /* … of its record with key */
    coco__dbkey page;    /* next page of its states; n 0: none to read */
    coco__view view;     /* entries being read */
    coco__buf text;      /* being printed */
    coco_err said, damage; /* by the store; of the first damaged record */
} coco__look;

/* Takes a missing or damaged record for none; the damage is told at the end. */
static coco_status coco__look_forgive(coco__look *l, coco_status rc)
{
    const char *what = l->said.code == COCO_ECORRUPT ? l->said.msg : coco_status_text(COCO_ECORRUPT);

    if (rc == COCO_ENOTFOUND) return COCO_OK;
    if (rc != COCO_ECORRUPT) return rc;
    if (!l->damage.code) coco_err_set(&l->damage, rc, "%s: %s", l->path.n ? coco__buf_cstr(&l->path) : "/", what);
    l->said.code = COCO_OK;
    return COCO_OK;
}

/* ---- One component ---- */

/* A record that components refer to by number; p NULL if there is none. */
static coco_status coco__look_up(coco__look *l, enum coco__kind kind, uint64_t id, coco_str *p)
{
    *p = (coco_str){ 0 };
    return coco__look_forgive(l, coco__get_id(&l->t, kind, id, p));
}

/* Title of a provider; p NULL: it is no more, and what was in it is void. */
static coco_status coco__look_title(coco__look *l, uint64_t id, coco_str *title)
{
    coco__provider_rec rec = { .id = 0 };
    coco__dbkey k;
    coco_str at, p = { 0 };
    coco_status rc;

    *title = (coco_str){ 0 };
    COCO_TRY(coco__look_up(l, COCO__PROVIDER_ID, id, &at));
    if (at.n < 8 || at.n >= COCO__KEY_MAX) return COCO_OK;
    coco__dbkey_raw(&k, COCO__PROVIDER, at.p, at.n);
    rc = coco__get(&l->t, &k, &p);
    if (rc == COCO_OK) rc = coco__provider_get(p, &rec);
    if (rc == COCO_OK && rec.id == id) *title = rec.title; /* else another one has its place */
    return coco__look_forgive(l, rc);
}

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

static coco_status coco__look_ran(coco__look *l, const coco__rec *rec, coco_component_info *i)
{
    coco_str p;

    i->memo = rec->flags & COCO__R_MEMO;
    i->nstates = (size_t)rec->nstates;
    i->run = rec->run;
    i->version = rec->version;
    i->seconds = (double)rec->ns / 1e9;
    COCO_TRY(coco__look_up(l, COCO__RUN, rec->run, &p));
    coco__reader r = coco__reader_of(p.p, p.n);
    if (p.p) i->time = (int64_t)coco__read_varint(&r);
    COCO_TRY(coco__look_up(l, COCO__NAME, rec->fn, &p));
    i->function = coco__arena_str(&l->arena, p).p;
    coco__why_print(&l->text, (coco__why){ (coco__reason)rec->reason, rec->detail });
    i->reason = coco__buf_take(&l->text, &l->arena).p;
    return i->function && i->reason ? COCO_OK : COCO_ENOMEM;
}

static coco_status coco__look_info(coco__look *l, const coco__rec *rec, bool gone)
{
    coco_component_info *i = coco__arena_zalloc(&l->arena, sizeof *i);
    const char *path = l->path.n ? coco__buf_cstr(&l->path) : "/";

    if (!i || l->path.failed || !(i->path = coco__arena_text(&l->arena, path))) return COCO_ENOMEM;
    l->info = i;
    i->depth = l->base + (int)l->nlevels;
    i->pending = rec->flags & COCO__R_PENDING;
    i->tombstone = gone;
    i->bytes = l->bytes;
    if (rec->source.n && !(i->source = coco__arena_str(&l->arena, rec->source).p)) return COCO_ENOMEM;
    if (rec->flags & COCO__R_COMPONENT) COCO_TRY(coco__look_ran(l, rec, i));
    l->flags = rec->flags;
    l->kept = coco__arena_mark(&l->arena);
    return COCO_OK;
}

/* ---- Its entries ---- */

/* Counts function memos, which come first; false when the last has been seen. */
static bool coco__look_count(coco__look *l)
{
    for (size_t j = 0; j < l->view.n; j++, l->info->nmemos++)
        if (coco__space_of(l->view.entries[j].ekey, NULL) != COCO__S_USE) return false;
    return true;
}

static coco_status coco__look_state(coco__look *l, const coco__entry *e)
{
    uint64_t space = coco__space_of(e->ekey, NULL);
    coco_state_info info = { 0 };
    coco__state s;
    coco_str title;
    coco_status rc;

    if (space > 0 && space < COCO__S_FIRST_PROVIDER) return COCO_OK;
    if ((rc = coco__state_get(l->flags, e->ekey, e->value, &s)) != COCO_OK) return coco__look_forgive(l, rc);
    COCO_TRY(coco__look_title(l, space, &title));
    if (!title.p) return COCO_OK;
    info.container = s.container;
    info.in_flight = s.npossible != 1 || s.condemned;
    for (size_t j = 0; j < s.npossible; j++) info.bytes += s.possible[j].n;
    coco__state_print(&l->text, title, s.key);
    info.state = coco__buf_take(&l->text, &l->arena).p;
    return info.state ? coco__look_put(l, &info) : COCO_ENOMEM;
}

static coco_status coco__look_states(coco__look *l)
{
    coco_status rc = COCO_OK;

    for (size_t j = 0; j < l->view.n && rc == COCO_OK; j++) rc = coco__look_state(l, &l->view.entries[j]);
    l->left -= l->view.n < l->left ? l->view.n : l->left;
    return rc;
}

/* Goes over pages: to measure them and count function memos, all at once, as no more than the first few are decoded for
 * that; or for the states, with pauses, until l->page is empty. */
static coco_status coco__look_pages(coco__look *l, bool measure)
{
    bool counting = true, paused = false;
    coco_status rc = COCO_OK;
    coco__scan s;
    coco_str bytes;

    coco__scan_open(&s, &l->t, &l->page, 9);
    while (rc == COCO_OK && coco__scan_next(&s)) {
        paused = !measure && l->left == 0;
        if (paused) {
            memcpy(l->page.b, s.key.mv_data, l->page.n = s.key.mv_size);
            break;
        }
        if (measure) l->info->bytes += s.key.mv_size + s.data.mv_size;
        if (!counting) continue;
        rc = coco__check_payload(&l->t, &s.key, &s.data, &bytes);
        if (rc == COCO_OK) rc = coco__view_decode(&l->view, bytes);
        if (rc != COCO_OK) rc = coco__look_forgive(l, rc);
        else if (measure) counting = coco__look_count(l);
        else rc = coco__look_states(l);
    }
    if (!measure && !paused) l->page.n = 0;
    return coco__scan_close(&s, rc);
}

static coco_status coco__look_entries(coco__look *l, const coco__rec *rec)
{
    coco_status rc;

    if (rec->flags & COCO__R_PAGED) {
        coco__dbkey_id(&l->page, COCO__PAGE, rec->id, NULL, 0);
        COCO_TRY(coco__look_pages(l, true));
        if (!l->v->state) l->page.n = 0;
        return coco__look_put(l, NULL);
    }
    if ((rc = coco__view_decode(&l->view, rec->entries)) != COCO_OK) l->view.n = 0;
    COCO_TRY(coco__look_forgive(l, rc));
    coco__look_count(l);
    COCO_TRY(coco__look_put(l, NULL));
    return l->v->state ? coco__look_states(l) : COCO_OK;
}

/* ---- The tree ---- */

static coco_status coco__look_down(coco__look *l, uint64_t id, bool gone)
{
    if (l->limit && l->nlevels >= l->limit) return COCO_OK;
    if (l->nlevels == COCO__DEEPEST) return coco__look_forgive(l, COCO_ECORRUPT);
    if (!COCO__ROOM(l->arena.mem, l->levels, l->nlevels, l->cap)) return COCO_ENOMEM;
    coco__level *top = &l->levels[l->nlevels++];
    coco__dbkey_id(&top->from, COCO__COMPONENT, id, NULL, 0);
    top->npath = l->path.n;
    top->gone = gone;
    return COCO_OK;
}

/* Reads the record at key and appends its segment to l->path; flags 0: damaged. *here: a tombstone stands on it or
 * above, *below: what is below it goes too. */
static coco_status coco__look_read(coco__look *l, const coco__dbkey *key, coco__rec *rec, bool *here, bool *below)
{
    coco__dbkey tomb = *key;
    coco_str payload = { 0 }, segment = { (const char *)key->b + 9, key->n - 9 };
    coco_status rc = coco__get(&l->t, key, &payload);

    if (rc == COCO_ENOTFOUND) return rc;
    l->bytes = key->n + 4 + payload.n;
    if (rc == COCO_OK) rc = coco__rec_get(payload, rec, &l->said);
    if (rc == COCO_OK && rec->flags & COCO__R_LONG) segment = rec->segment;
    if (segment.n) coco__path_print(&l->path, segment.p, segment.n);
    if (l->path.failed) return COCO_ENOMEM;
    if (rc != COCO_OK) {
        rec->flags = 0;
        return coco__look_forgive(l, rc);
    }
    tomb.b[0] = COCO__TOMBSTONE;
    if ((rc = coco__get(&l->t, &tomb, &payload)) == COCO_OK) {
        *here = true;
        *below |= payload.n == 0 || payload.p[0] == 0;
    }
    return coco__look_forgive(l, rc);
}

static coco_status coco__look_at(coco__look *l, const coco__dbkey *key, bool gone)
{
    coco__rec rec;
    bool here = gone;

    l->left--;
    COCO_TRY(coco__look_read(l, key, &rec, &here, &gone));
    if (rec.flags == 0) return COCO_OK;
    COCO_TRY(coco__look_info(l, &rec, here));
    COCO_TRY(coco__look_entries(l, &rec));
    return rec.flags & COCO__R_ID ? coco__look_down(l, rec.id, gone) : COCO_OK;
}

/* The next child on the deepest level, or up from it. */
static coco_status coco__look_next(coco__look *l)
{
    coco__level *top = &l->levels[l->nlevels - 1];
    coco__dbkey found;
    coco__scan s;
    bool there;

    coco__scan_open(&s, &l->t, &top->from, 9);
    there = coco__scan_next(&s);
    if (there) memcpy(found.b, s.key.mv_data, found.n = s.key.mv_size);
    COCO_TRY(coco__scan_close(&s, COCO_OK));
    if (!there) {
        l->nlevels--;
        return COCO_OK;
    }
    top->from = found;
    top->from.b[top->from.n++] = 0; /* no key lies between the two */
    l->path.n = top->npath;
    return coco__look_at(l, &found, top->gone);
}

/* Goes down from the root to the component asked for. */
static coco_status coco__look_start(coco__look *l)
{
    coco__place at = { 0, { "", 0 } };
    bool here = false, gone = false;
    coco__dbkey k;
    coco__rec rec;

    l->begun = true;
    coco__place_key(&k, COCO__COMPONENT, &at);
    for (size_t done = 0; done < l->start.n; done += at.segment.n, l->base++) {
        COCO_TRY(coco__look_read(l, &k, &rec, &here, &gone));
        if (rec.flags == 0) return COCO_OK;
        if (!(rec.flags & COCO__R_ID)) return COCO_ENOTFOUND;
        const uint8_t *next = l->start.p + done;
        at = (coco__place){ rec.id, { (const char *)next, coco__key_length(next, l->start.n - done) } };
        assert(at.segment.n); /* the parser wrote it */
        coco__place_key(&k, COCO__COMPONENT, &at);
    }
    return coco__look_at(l, &k, gone);
}

/* ---- Batches ---- */

/* Begins to read the app's database, unless it has none (has_dbi). It may have been dropped since the last time, or
 * made. */
static coco_status coco__look_open(coco_app *app, MDB_txn **reader, coco__txn *t, coco_err *err)
{
    app->has_dbi = false;
    COCO_TRY(coco__store_app(app, false, err));
    return app->has_dbi ? coco__read_begin(app, reader, t, err) : COCO_OK;
}

static bool coco__look_ended(const coco__look *l) { return l->begun && l->nlevels == 0 && l->page.n == 0; }

static coco_status coco__look_batch(coco__look *l)
{
    coco_status rc = COCO_OK;

    l->left = COCO__LOOK_RECORDS;
    l->last = &l->seen;
    l->seen = NULL;
    if (l->page.n) coco__arena_release(&l->arena, l->kept);
    else coco__arena_reset(&l->arena);
    COCO_TRY(coco__look_open(&l->app, &l->reader, &l->t, &l->said));
    if (!l->app.has_dbi)
        return coco_err_set(&l->said, COCO_ENOTFOUND, "%s holds no app %s", l->app.env->dir, l->app.name);
    if (!l->begun) rc = coco__look_start(l);
    while (rc == COCO_OK && l->left && !coco__look_ended(l))
        rc = l->page.n ? coco__look_pages(l, false) : coco__look_next(l);
    coco__read_end(&l->app, &l->t);
    return rc;
}

static coco_status coco__look_tell(coco__look *l)
{
    coco_status rc = COCO_OK;

    for (const coco__seen *s = l->seen; s && rc == COCO_OK; s = s->next)
        rc = s->state.state ? l->v->state(l->v->user, s->info, &s->state) : l->v->component(l->v->user, s->info);
    return rc == COCO_OK ? rc : coco_err_set(&l->said, rc, "%s", coco_status_text(rc));
}

coco_status coco_inspect(coco_env *env, const char *app, const char *path, int depth, const coco_inspect_visitor *v,
                         coco_err *err)
{
    coco__look l = { .app = { .env = env, .name = app }, .v = v, .limit = depth > 0 ? (size_t)depth : 0 };
    coco_status rc;

    COCO_TRY(coco__fork_check(env, err));
    coco__arena_init(&l.arena, &env->mem);
    coco__buf_init(&l.start, &env->mem);
    coco__buf_init(&l.path, &env->mem);
    coco__buf_init(&l.text, &env->mem);
    coco__view_init(&l.view, &env->mem);
    rc = coco__path_parse(path ? path : "/", &l.start, &l.said);
    while (rc == COCO_OK && !coco__look_ended(&l))
        if ((rc = coco__look_batch(&l)) == COCO_OK) rc = coco__look_tell(&l);
    if (rc == COCO_ENOTFOUND && l.begun && l.said.code != rc) {
        if (l.start.n == 0) rc = COCO_OK; /* an app whose first update got nowhere */
        else coco_err_set(&l.said, rc, "%s: nothing is recorded there", path);
    }
    if (rc == COCO_OK) rc = l.damage.code;
    if (rc != COCO_OK && err) *err = l.damage.code == rc ? l.damage : l.said;
    if (rc != COCO_OK && err && err->code != rc) coco_err_set(err, rc, "%s", coco_status_text(rc));
    if (l.reader) mdb_txn_abort(l.reader);
    coco__buf_free(&l.start);
    coco__buf_free(&l.path);
    coco__buf_free(&l.text);
    coco__view_free(&l.view);
    coco__arena_free(&l.arena);
    coco__free(&env->mem, l.levels);
    return rc;
}

/* ---- Apps ---- */

/* The names of the databases, each with its NUL. */
static coco_status coco__apps_read(coco_app *any, MDB_txn **reader, coco__buf *names, coco_err *err)
{
    coco__dbkey prefix;
    coco_status rc;
    coco__scan s;
    coco__txn t;

    COCO_TRY(coco__read_begin(any, reader, &t, err));
    int got = mdb_dbi_open(t.mdb, NULL, 0, &t.dbi);
    if (got == 0) {
        memcpy(prefix.b, "app:", prefix.n = 4);
        coco__scan_open(&s, &t, &prefix, prefix.n);
        while (coco__scan_next(&s)) {
            coco__buf_put(names, (char *)s.key.mv_data + prefix.n, s.key.mv_size - prefix.n);
            coco__buf_byte(names, 0);
        }
        rc = coco__scan_close(&s, names->failed ? COCO_ENOMEM : COCO_OK);
    } else {
        rc = coco__mdb_error(err, got, any->env, "read");
    }
    coco__read_end(any, &t);
    return rc == COCO_ENOMEM ? coco__no_memory(err) : rc;
}

coco_status coco_inspect_apps(coco_env *env, coco_status (*fn)(void *user, const char *app, bool has_run), void *user,
                              coco_err *err)
{
    coco_app app = { .env = env };
    MDB_txn *reader = NULL;
    coco__buf names;
    coco__txn t;
    MDB_stat st;
    coco_status rc;

    COCO_TRY(coco__fork_check(env, err));
    coco__buf_init(&names, &env->mem);
    rc = coco__apps_read(&app, &reader, &names, err);
    for (size_t at = 0; rc == COCO_OK && at < names.n; at += strlen(app.name) + 1) {
        app.name = (char *)names.p + at;
        rc = coco__look_open(&app, &reader, &t, err);
        if (rc != COCO_OK || !app.has_dbi) continue;
        int got = mdb_stat(t.mdb, t.dbi, &st);
        coco__read_end(&app, &t);
        if (got) rc = coco__mdb_error(err, got, env, "read");
        else if ((rc = fn(user, app.name, st.ms_entries > 0)) != COCO_OK)
            coco_err_set(err, rc, "%s", coco_status_text(rc));
    }
    if (reader) mdb_txn_abort(reader);
    coco__buf_free(&names);
    return rc;
}
