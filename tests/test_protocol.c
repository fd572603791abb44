/* The crash protocol, watched: the seven invariants of engine/submit.c, at every moment of the scenarios' updates, of
 * those in which an action fails or the process dies, and of the recoveries after them. After each commit the records
 * are read and the shelf is laid beside them; after each batch, the shelf beside what is recorded durably. Then
 *   - what is on the shelf is a possibility of one owner (1, 2, 3, 4, 6): an action that no durable precommit covers, a
 *     possibility dropped too early, a delete's record or an owner gone too early leave something that is none;
 *   - what is not there may be absent, by what is recorded, or is in a container that isn't there (1, 3);
 *   - a state with more possibilities than one is of a pending component (7), and no memo above it is in force (5, 7);
 *   - what is recorded hangs, up to the root, on what is recorded (4);
 *   - a component that hits isn't pending (7). */
#include "scenarios.h"

#include "engine/engine.h"

enum { MOST = 2000, SIZE = sizeof ((thing *)NULL)->record };

static struct provider {
    char title[80]; /* stays known when the provider is no more */
    uint64_t parent, counter;
    bool attachment, current;
} providers[MOST]; /* by number */

typedef struct noted { /* a recorded target state */
    char name[100];
    const struct provider *in;
    bool valid;        /* its provider is there, … */
    bool sure;         /* … and by what is recorded so is the state */
    size_t n;          /* of its possibilities, without "absent" */
    uint8_t possible[8][SIZE];
} noted;

typedef struct picture { /* what is recorded */
    noted v[MOST];
    size_t n;
    char pending[MOST][60]; /* paths */
    size_t npending;
} picture;

static picture now, durable;
static bool stale, broken; /* stale: the database is another than it was */
static pid_t watching;
static long moments;

/* A child that is to die tells its parent by its status. */
#define HOLDS(condition, ...) \
    do { \
        if (condition) break; \
        if (!broken) print_error("not so: " __VA_ARGS__), print_error("\n"); \
        broken = true; \
        if (getpid() != watching) _exit(9); \
    } while (0)

/* ---- What is recorded ---- */

static void read_providers(const coco__txn *t)
{
    coco__dbkey all;
    coco__scan s;
    coco_str p;

    for (size_t i = 0; i < MOST; i++) providers[i].current = false;
    coco__dbkey_raw(&all, COCO__PROVIDER, NULL, 0);
    coco__scan_open(&s, t, &all, all.n);
    while (coco__scan_next(&s)) {
        coco__provider_rec rec;
        assert_int_equal(coco__check_payload(t, &s.key, &s.data, &p), COCO_OK);
        assert_int_equal(coco__provider_get(p, &rec), COCO_OK);
        assert_true(rec.id < MOST);
        providers[rec.id] = (struct provider){ .parent = coco__get_be64((const uint8_t *)s.key.mv_data + 1),
                                               .counter = rec.counter, .attachment = rec.attachment, .current = true };
        snprintf(providers[rec.id].title, sizeof providers[0].title, "%.*s", (int)rec.title.n, rec.title.p);
    }
    assert_int_equal(coco__scan_close(&s, COCO_OK), COCO_OK);
}

static void note_state(picture *out, uint64_t provider, const coco__state *s)
{
    static const coco__mem mem = { { NULL, NULL } };
    const struct provider *in = &providers[provider];
    noted *e = &out->v[out->n++];
    coco__buf key;

    assert_true(out->n < MOST && provider < MOST);
    *e = (noted){ .in = in, .valid = in->current, .sure = in->current && in->counter == s->counter };
    for (size_t i = 0; i < s->npossible; i++) {
        if (!s->possible[i].p) e->sure = false;
        else memcpy(e->possible[e->n++], s->possible[i].p, SIZE);
    }
    coco__buf_init(&key, &mem);
    coco__key_print(&key, s->key.p, s->key.n);
    snprintf(e->name, sizeof e->name, "%s:%s", in->title, coco__buf_cstr(&key));
    coco__buf_free(&key);
}

/* Notes the states; is one of them between two values? */
static bool note_entries(picture *out, const coco__rec *rec, coco_str bytes)
{
    static const coco__mem mem = { { NULL, NULL } };
    bool unsettled = false;
    coco__view v;

    coco__view_init(&v, &mem);
    assert_int_equal(coco__view_decode(&v, bytes), COCO_OK);
    for (size_t i = 0; i < v.n; i++) {
        coco_str ekey = v.entries[i].ekey;
        uint64_t space = coco__ekey_space((const uint8_t *)ekey.p, ekey.n, NULL);
        coco__state s;
        if (space < COCO__S_FIRST_PROVIDER) continue;
        assert_int_equal(coco__state_get(rec->flags, ekey, v.entries[i].value, &s), COCO_OK);
        note_state(out, space, &s);
        unsettled |= s.npossible != 1;
    }
    coco__view_free(&v);
    return unsettled;
}

static bool note_all_entries(picture *out, const coco__txn *t, const coco__rec *rec)
{
    bool unsettled = false;
    coco__dbkey pages;
    coco__scan s;
    coco_str p;

    if (!(rec->flags & COCO__R_PAGED)) return note_entries(out, rec, rec->entries);
    coco__dbkey_id(&pages, COCO__PAGE, rec->id, NULL, 0);
    coco__scan_open(&s, t, &pages, pages.n);
    while (coco__scan_next(&s)) {
        assert_int_equal(coco__check_payload(t, &s.key, &s.data, &p), COCO_OK);
        unsettled |= note_entries(out, rec, p);
    }
    assert_int_equal(coco__scan_close(&s, COCO_OK), COCO_OK);
    return unsettled;
}

/* From a component up to the root. What stands above a tombstone goes on without what is below. */
static void look_above(const coco__txn *t, coco__place at, const char *path, bool pending)
{
    coco__dbkey k;
    coco__rec rec;
    coco_str p;

    for (;;) {
        uint64_t id = at.parent;
        coco__place_key(&k, COCO__TOMBSTONE, &at);
        if (coco__get(t, &k, &p) == COCO_OK) pending = false;
        if (!id) return;
        bool there = coco__get_id(t, COCO__PARENT, id, &p) == COCO_OK && coco__place_get(p, &at) == COCO_OK;
        coco__place_key(&k, COCO__COMPONENT, &at);
        there = there && coco__get(t, &k, &p) == COCO_OK && coco__rec_get(p, &rec, t->err) == COCO_OK;
        HOLDS(there && rec.id == id, "4: %s is left below what is gone", path);
        if (!there) return;
        HOLDS(!pending || !(rec.flags & COCO__R_MEMO) || rec.flags & COCO__R_PENDING,
              "5, 7: a memo above %s stands for more than is committed", path);
    }
}

static void note_component(picture *out, const coco__txn *t, const MDB_val *key, coco_str payload)
{
    static const coco__mem mem = { { NULL, NULL } };
    const char *k = key->mv_data;
    coco__place at = { coco__get_be64((const uint8_t *)k + 1), { k + 9, key->mv_size - 9 } };
    coco__buf path;
    coco__rec rec;

    assert_int_equal(coco__rec_get(payload, &rec, t->err), COCO_OK);
    if (rec.flags & COCO__R_LONG) at.segment = rec.segment;
    coco__buf_init(&path, &mem);
    const char *shown = coco__place_path(t, &at, &path) == COCO_OK ? coco__path_shown(&path) : "a record";
    bool pending = rec.flags & COCO__R_PENDING, unsettled = note_all_entries(out, t, &rec);
    HOLDS(pending || !unsettled, "7: %s isn't pending, but a state of it has several possibilities", shown);
    look_above(t, at, shown, pending);
    if (pending) snprintf(out->pending[out->npending++], sizeof out->pending[0], "%s", shown);
    coco__buf_free(&path);
}

static int by_name(const void *a, const void *b) { return strcmp(((const noted *)a)->name, ((const noted *)b)->name); }

static void read_components(picture *out, const coco__txn *t)
{
    coco__dbkey all;
    coco__scan s;
    coco_str p;

    read_providers(t);
    coco__dbkey_raw(&all, COCO__COMPONENT, NULL, 0);
    coco__scan_open(&s, t, &all, all.n);
    while (coco__scan_next(&s)) {
        assert_int_equal(coco__check_payload(t, &s.key, &s.data, &p), COCO_OK);
        note_component(out, t, &s.key, p);
    }
    assert_int_equal(coco__scan_close(&s, COCO_OK), COCO_OK);
    qsort(out->v, out->n, sizeof out->v[0], by_name);
}

static void take_picture(picture *out, MDB_env *env)
{
    coco_err err = { 0 };
    coco__txn t = { .env = w.env, .err = &err };

    out->n = out->npending = 0;
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &t.mdb), 0);
    if (mdb_dbi_open(t.mdb, "app:test", 0, &t.dbi) == 0) read_components(out, &t);
    mdb_txn_abort(t.mdb);
}

/* ---- Beside it, the shelf ---- */

static void thing_is_possible(const picture *p, const thing *t)
{
    size_t owners = 0, lo = 0, hi = p->n;
    bool possible = false;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (strcmp(p->v[mid].name, t->name) < 0) lo = mid + 1;
        else hi = mid;
    }
    for (; lo < p->n && strcmp(p->v[lo].name, t->name) == 0; lo++) {
        owners += p->v[lo].valid;
        for (size_t i = 0; i < p->v[lo].n; i++) possible |= memcmp(p->v[lo].possible[i], t->record, SIZE) == 0;
    }
    HOLDS(owners <= 1, "6: %s has %zu owners", t->name, owners);
    HOLDS(possible, "1, 2, 3, 4, 6: %s is on the shelf as no record says", t->name);
}

/* What is in a container went with it. */
static bool container_there(const struct provider *p)
{
    if (p->attachment) p = &providers[p->parent];
    for (size_t i = 0; p->parent && i < w.nshelf; i++)
        if (w.shelf[i].place && strcmp(w.shelf[i].place, p->title) == 0) return true;
    return !p->parent;
}

static void shelf_is_recorded(const picture *p)
{
    moments++;
    for (size_t i = 0; i < w.nshelf; i++) thing_is_possible(p, &w.shelf[i]);
    for (size_t i = 0; i < p->n; i++)
        HOLDS(!p->v[i].sure || shelf_find(p->v[i].name) || !container_there(p->v[i].in),
              "1, 3: %s is not on the shelf, as no record says", p->v[i].name);
}

/* ---- The moments ---- */

static fault_kind pause_faults(void)
{
    fault_kind kind = gate->kind;

    gate->kind = FAULT_NONE;
    return kind;
}

static void watch_commit(MDB_env *env)
{
    unsigned flags = 0;
    fault_kind kind = pause_faults();

    if (w.env && !stale) {
        take_picture(&now, env);
        mdb_env_get_flags(env, &flags);
        if (!(flags & MDB_NOMETASYNC)) durable = now;
        shelf_is_recorded(&now);
    }
    gate->kind = kind;
}

static void watch_event(void *user, const coco_event *e)
{
    fault_kind kind = pause_faults();

    if (stale) {
        stale = false;
        take_picture(&now, w.env->mdb);
        durable = now;
        shelf_is_recorded(&now);
    }
    for (size_t i = 0; e->kind == COCO_EV_HIT && i < now.npending; i++)
        HOLDS(strcmp(now.pending[i], e->path) != 0, "7: %s is pending, and hits", e->path);
    gate->kind = kind;
    dying_event(user, e);
}

static coco_status watch_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    coco_status rc = failing_apply(self, actions, n, err);

    HOLDS(!stale, "1: an action came before any event");
    shelf_is_recorded(&durable);
    shelf_is_recorded(&now);
    return rc;
}

/* ---- The traces ---- */

static void watched_before(void)
{
    scenario_before();
    stale = true;
}

static void load_watched(void)
{
    scenario_load();
    stale = true;
}

static void keeps_the_protocol(const scenario *s, fault_kind kind)
{
    static const sweep watched = { watched_before, scenario_act, scenario_back, shelf_text, scenario_rests,
                                   scenario_save, load_watched, "/" };

    watching = getpid();
    stale = true;
    broken = false;
    scenario_begins(s);
    shelf_sink.apply = watch_apply;
    w.env_config.on_event = watch_event;
    gate_committed = watch_commit;
    sweep_over(&watched, kind);
    gate_committed = NULL;
    assert_false(broken);
}

#define WATCHED(name, ...) \
    static void name##_keeps_the_protocol_when_actions_fail(void **state) \
    { \
        (void)state; \
        keeps_the_protocol(&(const scenario){ __VA_ARGS__ }, FAULT_SINK); \
    } \
    static void name##_keeps_the_protocol_after_a_crash(void **state) \
    { \
        (void)state; \
        keeps_the_protocol(&(const scenario){ __VA_ARGS__ }, FAULT_DEATH); \
    }
SCENARIOS(WATCHED)

static int say_moments(void **state)
{
    (void)state;
    print_message("swept: %ld moments of the crash protocol\n", moments);
    return 0;
}

#define WATCHED_TESTS(name, ...) \
    SCENARIO_TEST(name##_keeps_the_protocol_when_actions_fail), SCENARIO_TEST(name##_keeps_the_protocol_after_a_crash),

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { SCENARIOS(WATCHED_TESTS) };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, say_moments);
}
