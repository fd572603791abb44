/* test_live_crash.c - live mode against crashes and against an oracle: a token never passes work that isn't durable
 * (S8.1), whatever the moment at which the process dies; random edits of a followed source, with containers that come
 * and go and functions that fail, leave what a plain update of the last state leaves. */
#include "stream.h"

#include <sys/wait.h>

/* A process that dies leaves threads behind: that is the test. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "report_thread_leaks=0"; }

/* ---- A feed that goes on where its token says -------------------------------------------------------------------- */

typedef struct entry {
    int key, value; /* value 0: deleted */
} entry;

static const entry journal[] = { { 1, 11 }, { 2, 12 }, { 3, 13 }, { 1, 21 }, { 2, 0 },  { 7, 17 }, { 4, 14 }, { 4, 24 },
                                 { 5, 15 }, { 8, 18 }, { 3, 0 },  { 2, 22 }, { 1, 0 },  { 6, 16 },
                                 { 5, 25 }, { 1, 31 } };
enum { JOURNAL = sizeof journal / sizeof journal[0] };
static int found;
static bool one_by_one; /* the feed takes its time */

static coco_status journal_watch(coco_source *src, coco_feed *feed)
{
    coco_status rc = COCO_OK;

    (void)src;
    found = (int)coco_int_of(coco_feed_token(feed));
    for (int i = found; i < JOURNAL && rc == COCO_OK; i++) {
        const entry *e = &journal[i];
        rc = e->value ? coco_feed_put(feed, coco_int(e->key), coco_int(e->value), coco_int(i + 1))
                      : coco_feed_delete(feed, coco_int(e->key), coco_int(i + 1));
        if (one_by_one) nap(2);
    }
    coco_feed_ready(feed);
    return rc;
}

static coco_status journal_plan(coco_ctx *cx)
{
    coco_target *tab;
    coco_source *src;

    COCO_TRY(tab_of(cx, &tab));
    if (!(src = coco_source_new(cx))) return coco_error(cx);
    src->title = "journal";
    src->watch = journal_watch;
    return coco_mount_each(cx, COCO_AUTO, &fussy, src, COCO_ARGS(coco_target_value(tab)));
}

/* ---- Dying ------------------------------------------------------------------------------------------------------- */

static char shelf_path[100];
static atomic_int point;
static int dies_at;
static pthread_mutex_t shelf_lock = PTHREAD_MUTEX_INITIALIZER;

static void shelf_save(void)
{
    FILE *f = fopen(shelf_path, "w");

    if (!f) _exit(8);
    for (size_t i = 0; i < w.nshelf; i++)
        fprintf(f, "%s\t%s\t%s\n", w.shelf[i].name, w.shelf[i].value, w.shelf[i].place ? w.shelf[i].place : "-");
    fclose(f);
}

static void shelf_load(void)
{
    char line[1000], *save;
    FILE *f = fopen(shelf_path, "r");

    while (w.nshelf) shelf_take(&w.shelf[0]);
    while (f && fgets(line, sizeof line, f)) {
        thing *t = &w.shelf[w.nshelf++];
        t->name = strdup(strtok_r(line, "\t", &save));
        t->value = strdup(strtok_r(NULL, "\t", &save));
        const char *within = strtok_r(NULL, "\n", &save);
        t->place = strcmp(within, "-") ? strdup(within) : NULL;
    }
    if (f) fclose(f);
}

static void pass(void)
{
    if (++point != dies_at) return;
    pthread_mutex_lock(&shelf_lock);
    shelf_save();
    _exit(7);
}

static void crash_event(void *user, const coco_event *e)
{
    if (e->kind == COCO_EV_PRECOMMIT || e->kind == COCO_EV_APPLIED || e->kind == COCO_EV_COMMITTED ||
        e->kind == COCO_EV_DELETED || e->kind == COCO_EV_GONE || e->kind == COCO_EV_STARTED)
        pass();
    on_event(user, e);
}

static coco_status crash_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    for (size_t i = 0; i < n; i++) {
        pass();
        pthread_mutex_lock(&shelf_lock);
        coco_status rc = shelf_apply(self, &actions[i], 1, err);
        pthread_mutex_unlock(&shelf_lock);
        COCO_TRY(rc);
    }
    pass();
    return COCO_OK;
}

/* The child catches up and dies at the point; false if it came to the end. */
static bool crash_at(int n)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        point = 0;
        dies_at = n;
        shelf_sink.apply = crash_apply;
        w.env_config.on_event = crash_event;
        try_update(NULL);
        shelf_save();
        _exit(w.rc == COCO_OK ? 0 : 6);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 7 || WEXITSTATUS(status) == 0);
    return WEXITSTATUS(status) == 7;
}

static int on_shelf(int key)
{
    char name[40];

    snprintf(name, sizeof name, "tab:%d", key);
    const thing *t = shelf_find(name);
    return t ? atoi(t->value) : 0;
}

/* What the token has passed is there, or something behind it is about to take its place. */
static void token_stands_for(const int *shelf, int token)
{
    for (int key = 1; key < 10; key++) {
        int is = 0, i = 0;
        for (; i < token; i++)
            if (journal[i].key == key) is = journal[i].value;
        bool fits = shelf[key] == is;
        for (; i < JOURNAL; i++) fits |= journal[i].key == key;
        if (!fits) print_error("token %d: %d = %d, should be %d\n", token, key, shelf[key], is);
        assert_true(fits);
    }
}

static void every_crash_recovers(void)
{
    bool more = true;

    start(journal_plan);
    snprintf(shelf_path, sizeof shelf_path, "%s/shelf", w.dir);
    for (int n = 1; more; n++) {
        int shelf[10];
        more = crash_at(n);
        shelf_load();
        for (int key = 0; key < 10; key++) shelf[key] = on_shelf(key);
        w.env_config.on_event = on_event;
        update(NULL);
        token_stands_for(shelf, found);
        expect_shelf("shelf:\"tab\" = null", "tab:1 = 31", "tab:2 = 22", "tab:4 = 24", "tab:5 = 25", "tab:6 = 16",
                     "tab:7 = 17", "tab:8 = 18");
        update(NULL);
        assert_int_equal(found, JOURNAL);
        expect_actions(NULL);
        drop_all();
        expect_shelf(NULL);
        restart();
        assert_true(n < 500);
    }
    remove(shelf_path);
}

/* S8.1, S7.3 */
static void token_never_passes_what_a_crash_undid(void **state)
{
    (void)state;
    one_by_one = false;
    every_crash_recovers();
}

/* S8.1, S7.3: each operation in a group of its own */
static void token_of_a_slow_feed_never_passes_what_a_crash_undid(void **state)
{
    (void)state;
    one_by_one = true;
    every_crash_recovers();
    one_by_one = false;
}

COCO_FN(leaf, (int64_t, v, coco_target *, tab)) { return coco_declare(cx, tab, coco_int(1000 + v % 3), coco_int(v)); }

/* ---- Memory that runs out ---------------------------------------------------------------------------------------- */

static atomic_int steps;

static coco_status few_steps(coco_operator *op, const coco_value *args)
{
    steps = (int)coco_int_of(coco_operator_state(op));
    COCO_TRY(coco_operator_update(op, COCO_PATH(coco_int(9)), &fussy, COCO_ARGS(coco_int(19), args[0])));
    COCO_TRY(coco_operator_delete(op, COCO_PATH(coco_int(8))));
    COCO_TRY(coco_operator_set_state(op, coco_int(1)));
    return coco_operator_update_full(op);
}

COCO_FN(entries, (coco_target *, tab))
{
    (void)tab;
    COCO_TRY(coco_live_map_declare(cx, coco_live_map_get(cx, "between"), coco_int(1), coco_int(15)));
    return coco_mount(cx, COCO_PATH(coco_int(9)), &fussy, COCO_ARGS(coco_int(19), coco_target_value(tab)), NULL);
}

/* A feed, a live component, and a map that this one fills. */
static coco_status all_plan(coco_ctx *cx)
{
    static const coco_live_fn live = { &entries, few_steps };
    coco_target *tab;
    coco_source *src = coco_source_new(cx);

    COCO_TRY(tab_of(cx, &tab));
    if (!src) return coco_error(cx);
    src->title = "journal";
    src->watch = journal_watch;
    COCO_TRY(coco_mount_each(cx, COCO_PATH(coco_text("feed")), &fussy, src, COCO_ARGS(coco_target_value(tab))));
    COCO_TRY(coco_mount_each(cx, COCO_PATH(coco_text("map")), &leaf,
                             coco_live_map_source(cx, coco_live_map_get(cx, "between")),
                             COCO_ARGS(coco_target_value(tab))));
    return coco_mount_live(cx, COCO_AUTO, &live, COCO_ARGS(coco_target_value(tab)), NULL);
}

/* The update says so, or succeeds; nothing leaks; the next one converges. */
static void any_allocation_may_fail(void **state)
{
    bool reached = true;

    (void)state;
    for (long n = 1; reached; n += 1 + n / 40) {
        start(all_plan);
        w.env_config.on_event = NULL;
        assert_int_equal(open_world(), COCO_OK);
        w.fail_at = w.calls + n;
        try_update(NULL);
        reached = w.calls >= w.fail_at;
        w.fail_at = 0;
        if (w.rc != COCO_OK && w.rc != COCO_ENOMEM && w.rc != COCO_EFAIL) print_error("%ld: %s\n", n, w.err.msg);
        assert_true(w.rc == COCO_OK || w.rc == COCO_ENOMEM || w.rc == COCO_EFAIL);
        update(NULL);
        update(NULL);
        expect_actions(NULL);
        if (w.nshelf != 10) print_error("allocation %ld\n", n);
        expect_shelf("shelf:\"tab\" = null", "tab:1 = 31", "tab:1000 = 15", "tab:2 = 22", "tab:4 = 24", "tab:5 = 25",
                     "tab:6 = 16", "tab:7 = 17", "tab:8 = 18", "tab:9 = 19");
        drop_all();
        expect_shelf(NULL);
        restart();
        assert_int_equal(w.live, 0);
    }
}

/* ---- Against an oracle ------------------------------------------------------------------------------------------- */

static uint64_t seed;

static unsigned dice(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

/* [k, v]: by v a row, a container with rows, children with rows of the same keys, or a failure. */
COCO_FN(various, (coco_value, kv, coco_target *, tab))
{
    int64_t k = coco_int_of(coco_at(kv, 0)), v = coco_int_of(coco_at(kv, 1));
    coco_target *own;

    if (v % 10 == 9) return coco_fail(cx, COCO_EFAIL, "nine");
    if (v % 10 < 5) return coco_declare(cx, tab, coco_int(k), coco_int(v));
    if (v % 10 < 7) {
        coco_value name = coco_text_n(coco_format(cx, "own%d", (int)k));
        COCO_TRY(coco_declare_container(cx, root(cx), name, coco_int(v % 2), NULL, &own));
        return coco_declare(cx, own, coco_int(1), coco_int(v));
    }
    return coco_mount(cx, COCO_PATH(coco_int(v % 10)), &leaf,
                      COCO_ARGS(coco_int(k * 3), coco_target_value(tab)), NULL);
}

static coco_status various_plan(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &various, view_of(cx, 0), COCO_ARGS(coco_target_value(tab)));
}

static char *shelf_lines(void)
{
    lines l = { .n = 0 };
    char *all;

    for (size_t i = 0; i < w.nshelf; i++) lines_add(&l, "%s = %s", w.shelf[i].name, w.shelf[i].value);
    qsort(l.v, l.n, sizeof l.v[0], by_text);
    all = lines_join(l.v, l.n);
    lines_clear(&l);
    return all;
}

/* Values that take a row away from another item are left out: who declares first has it. */
static int random_value(int key)
{
    int v = (int)dice(4) ? 1 + (int)dice(90) : 0;

    return v && v % 10 >= 7 && v % 10 != 9 && key > 3 ? v - 5 : v;
}

static void random_edits(int rounds)
{
    start(various_plan);
    for (int i = 1; i <= 12; i++) set(streams, i, random_value(i));
    go_ready();
    for (int n = 0; n < rounds; n++) {
        for (int edits = 1 + (int)dice(6); edits > 0; edits--) {
            int key = 1 + (int)dice(14);
            set(streams, key, random_value(key));
            if (dice(20)) tell(streams, TOUCH, key, 0, 0);
            else tell(streams, RESCAN, 0, 0, 0);
        }
        if (dice(3) == 0) in_sync();
    }
    for (int i = 1; i <= 14; i++) /* at last nothing fails */
        if (streams[0].value[i] % 10 == 9) change(streams, i, streams[0].value[i] + 1);
    for (int i = 1; i <= 14; i++) tell(streams, TOUCH, i, 0, 0);
    in_sync();
}

/* S8: live mode leaves what an update of the last state leaves, and this has nothing to do */
static void random_edits_give_what_an_update_gives(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 77 + i;
        uint64_t was = seed;
        random_edits(30);
        coco_app_stop(w.app);
        wait_for_end();
        char *live = shelf_lines();
        restart();
        try_update(NULL);
        drop_all();
        expect_shelf(NULL);
        update(NULL);
        char *anew = shelf_lines();
        if (strcmp(live, anew) != 0) print_error("SEED=%llu\nanew\n%slive\n%s", (unsigned long long)was, anew, live);
        assert_string_equal(live, anew);
        free(live);
        free(anew);
        drop_all();
    }
}

RUN_BOTH(TEST(token_never_passes_what_a_crash_undid),
         TEST(token_of_a_slow_feed_never_passes_what_a_crash_undid),
         TEST(any_allocation_may_fail), TEST(random_edits_give_what_an_update_gives))
