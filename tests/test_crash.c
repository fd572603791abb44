/* Crashes (S7.3, S11.1): a child process dies at every point of an update in turn: before and after each action of
 * a sink, inside a transaction, before and after each commit. Whatever it left, the next update gives what an
 * undisturbed one gives, the one after it has nothing to do, and a drop leaves nothing behind. The same holds when
 * any one allocation fails. */
#include "plan.h"

#include <sys/wait.h>

/* ---- The shelf as a file: what outlives the process ---- */

static char shelf_path[100], before_path[100], before_db[100];

static void shelf_save(const char *path)
{
    FILE *f = fopen(path, "w");

    if (!f) _exit(8);
    for (size_t i = 0; i < w.nshelf; i++)
        fprintf(f, "%s\t%s\t%s\t%d\n", w.shelf[i].name, w.shelf[i].value, w.shelf[i].place ? w.shelf[i].place : "-",
                w.shelf[i].unique);
    fclose(f);
}

static void shelf_load(const char *path)
{
    char line[1000], *save;
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    while (w.nshelf) shelf_take(&w.shelf[0]);
    while (fgets(line, sizeof line, f)) {
        thing *t = &w.shelf[w.nshelf++];
        t->name = strdup(strtok_r(line, "\t", &save));
        t->value = strdup(strtok_r(NULL, "\t", &save));
        const char *inside = strtok_r(NULL, "\t", &save);
        t->place = strcmp(inside, "-") ? strdup(inside) : NULL;
        t->unique = atoi(strtok_r(NULL, "\n", &save));
    }
    fclose(f);
}

static char *shelf_text(void)
{
    lines l = { .n = 0 };
    char *all;

    for (size_t i = 0; i < w.nshelf; i++) lines_add(&l, "%s = %s", w.shelf[i].name, w.shelf[i].value);
    qsort(l.v, l.n, sizeof l.v[0], by_text);
    all = lines_join(l.v, l.n);
    lines_clear(&l);
    return all;
}

/* ---- The points of an update ---- */

static int point, dies_at;

static void pass(void)
{
    if (++point != dies_at) return;
    shelf_save(shelf_path);
    _exit(7);
}

static void crash_event(void *user, const coco_event *e)
{
    if (e->kind == COCO_EV_PRECOMMIT || e->kind == COCO_EV_APPLIED || e->kind == COCO_EV_COMMITTED ||
        e->kind == COCO_EV_DELETED || e->kind == COCO_EV_MOVED || e->kind == COCO_EV_STARTED)
        pass();
    on_event(user, e);
}

/* Action by action, as a connector without transactions does it. */
static coco_status crash_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    for (size_t i = 0; i < n; i++) {
        pass();
        COCO_TRY(shelf_apply(self, &actions[i], 1, err));
    }
    pass();
    return COCO_OK;
}

typedef struct scenario {
    const char *tables, *text, *tables_after, *text_after;
    bool drop; /* in place of the second update */
} scenario;

static coco_status go(const scenario *s)
{
    if (s->drop) return try_drop();
    plan(s->tables_after, s->text_after);
    return try_update(NULL);
}

/* The child updates and dies at the point; returns false if it came to the end. */
static bool crash_at(const scenario *s, int n)
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        point = 0;
        dies_at = n;
        shelf_sink.apply = crash_apply;
        w.env_config.on_event = crash_event;
        go(s);
        shelf_save(shelf_path);
        _exit(w.rc == COCO_OK ? 0 : 6);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 7) assert_int_equal(WEXITSTATUS(status), 0);
    return WEXITSTATUS(status) == 7;
}

static void crash_recovers(const scenario *s, int n, const char *want)
{
    char *is, db[100];

    snprintf(db, sizeof db, "%s/data.mdb", w.dir);
    copy_file(before_db, db);
    shelf_load(before_path);
    if (!crash_at(s, n)) {
        dies_at = -1;
        return;
    }
    shelf_load(shelf_path);
    if (go(s) != COCO_OK) print_error("point %d: %s\n", n, w.err.msg);
    assert_int_equal(w.rc, COCO_OK);
    is = shelf_text();
    if (strcmp(is, want) != 0) print_error("point %d: expected\n%sgot\n%s", n, want, is);
    assert_string_equal(is, want);
    free(is);
    if (!s->drop) {
        update(NULL);
        if (w.actions.n) print_error("point %d: not at rest\n", n);
        expect_actions(NULL);
        drop_all();
        if (w.nshelf) print_error("point %d: something is left on the shelf\n", n);
        expect_shelf(NULL);
    }
    restart();
}

static void every_crash_recovers(const scenario *s)
{
    char db[100], *want;

    snprintf(db, sizeof db, "%s/data.mdb", w.dir);
    plan(s->tables, s->text);
    update(NULL);
    restart();
    copy_file(db, before_db);
    shelf_save(before_path);
    assert_int_equal(go(s), COCO_OK);
    want = shelf_text();
    restart();
    dies_at = 0;
    int n = 1;
    for (; dies_at >= 0; n++) crash_recovers(s, n, want);
    assert_true(n > 5);
    free(want);
}
static int crash_begin(void **state)
{
    world_begin(state);
    snprintf(shelf_path, sizeof shelf_path, "%s/shelf", w.dir);
    snprintf(before_path, sizeof before_path, "%s/shelf0", w.dir);
    snprintf(before_db, sizeof before_db, "%s/db0", w.dir);
    return 0;
}

static int crash_end(void **state)
{
    remove(shelf_path), remove(before_path), remove(before_db);
    return world_end(state);
}
#define CRASHES(name) cmocka_unit_test_setup_teardown(name, crash_begin, crash_end)

#define CRASH(name, ...) \
    static void name(void **state) \
    { \
        (void)state; \
        every_crash_recovers(&(scenario){ __VA_ARGS__, false }); \
    }

CRASH(first_update_survives_a_crash_anywhere, "", "", "tab #box tab/sub",
        "a: tab.1=10 box.1=1 | B: tab.2=20 tab/sub.5=50 | a/c: tab.3=30")
CRASH(changed_rows_survive_a_crash_anywhere, "tab", "a: tab.1=10 tab.2=20 | B: tab.3=30 tab.4=40 | C: tab.6=60",
        "tab",
      "a: tab.1=11 tab.5=50 | B: tab.3=31 tab.4=40 | C: tab.6=60")
CRASH(moved_rows_survive_a_crash_anywhere, "tab", "a: tab.1=10 tab.2=20 | B: tab.3=30 tab.4=40 | C: tab.6=60", "tab",
      "a: tab.1=10 tab.3=30 | B: tab.2=21 tab.4=40 | C: tab.6=60 tab.7=70")
CRASH(rows_moved_to_a_child_survive_a_crash_anywhere, "tab", "A: tab.1=10 tab.2=20 tab.3=30", "tab",
        "A: tab.1=10 | A/C: tab.2=20 | A/d&: tab.3=31")
CRASH(renamed_components_survive_a_crash_anywhere, "tab", "a: tab.1=10 | a/B: tab.2=20 tab.3=30", "tab",
        "z: tab.1=10 | z/B: tab.2=20 tab.9=90")
CRASH(destroyed_container_survives_a_crash_anywhere, "tab+s1 tab/sub",
        "A: tab.1=10 tab.2=20 | B: tab/sub.1=10 tab@index.1=1", "tab+s2 tab/sub",
      "A: tab.1=10 tab.2=20 | B: tab/sub.1=10 tab@index.1=1")
CRASH(lossy_change_survives_a_crash_anywhere, "tab+l1", "A: tab.1=10 tab.2=20 | b: tab.3=30", "tab+l2",
        "A: tab.1=10 tab.2=20 | b: tab.3=31")
CRASH(tombstones_survive_a_crash_anywhere, "tab #box #box/in",
        "a: tab.1=10 | a/B: tab.2=20 box.1=1 | c: box/in.1=1 tab.3=30 | D: tab.4=40", "tab",
      "D: tab.4=40")
CRASH(condemned_container_survives_a_crash_anywhere, "top",
        "t&: [tab] tab.7=70 | a: tab.1=10 | B: tab.2=20 top.1=1", "top", "t&: | B: top.1=1")
CRASH(container_condemned_below_a_memo_survives_a_crash_anywhere, "top", "P: top.1=1 | P/t: [tab] tab.7=70", "top",
        "P: top.2=2 | P/t: ")
CRASH(container_moved_and_renamed_survives_a_crash_anywhere, "",
        "a&: [#box] [tab] | r: box.1=10 tab.1=1 | s: box.2=20", "",
      "b&: [#box] | r: box.1=10 | q: box.3=30")
CRASH(container_that_becomes_a_row_survives_a_crash_anywhere, "tab tab/x", "a: tab/x.1=10 | B: tab.2=2", "tab",
        "a: tab.x=5 | B: tab.2=2")
CRASH(value_taken_over_from_a_gone_child_survives_a_crash_anywhere, "tab+u",
      "p: tab.9=90 | p/a: tab.1=10 | P: tab.8=80 | P/a: tab.2=20 | P/a/b: tab.3=30", "tab+u",
      "p: tab.9=10 | P: tab.8=20 tab.7=30")
static void dropping_survives_a_crash_anywhere(void **state)
{
    (void)state;
    every_crash_recovers(&(scenario){ "tab #box tab/sub",
            "a: tab.1=10 box.1=1 | B: tab.2=20 tab/sub.5=50 | a/c: tab.3=30 [own] own.1=1", NULL, NULL, true });
}

/* S7.3: two crashes one after the other. */
static void second_crash_in_the_recovery_is_survived_too(void **state)
{
    scenario s = { "tab", "a: tab.1=10 tab.2=20 | B: tab.3=30", "tab", "a: tab.1=11 tab.3=31 | B: tab.2=21", false };
    scenario again = s;
    char db[100], *want, *is;

    (void)state;
    snprintf(db, sizeof db, "%s/data.mdb", w.dir);
    plan(s.tables, s.text);
    update(NULL);
    restart();
    copy_file(db, before_db);
    shelf_save(before_path);
    again.text_after = "a: tab.2=12 tab.3=32 | B: tab.1=22"; /* the sources changed in between */
    assert_int_equal(go(&again), COCO_OK);
    want = shelf_text();
    restart();
    for (int n = 1; n < 16; n += 2)
        for (int m = 1; m < 16; m += 2) {
            copy_file(before_db, db);
            shelf_load(before_path);
            crash_at(&s, n);
            shelf_load(shelf_path);
            crash_at(&again, m);
            shelf_load(shelf_path);
            assert_int_equal(go(&again), COCO_OK);
            is = shelf_text();
            assert_string_equal(is, want);
            free(is);
            update(NULL);
            expect_actions(NULL);
            restart();
        }
    free(want);
}

/* ---- Memory that runs out: the Nth allocation fails, for every N ---- */

typedef enum what { UPDATE, PREVIEW, DROP } what;

/* The update, preview or drop says so, or succeeds; nothing leaks; what follows converges. Returns false when n
 * was never reached. */
static bool allocation_fails(const scenario *s, what it, long n)
{
    plan(s->tables, s->text);
    update(NULL);
    plan(s->tables_after, s->text_after);
    w.fail_at = w.calls + n;
    if (it == DROP) try_drop();
    else try_update(it == PREVIEW ? OPTS(.preview = true) : NULL);
    bool reached = w.calls >= w.fail_at;
    w.fail_at = 0;
    if (w.rc != COCO_OK && w.rc != COCO_ENOMEM && w.rc != COCO_EFAIL) print_error("allocation %ld: %s\n", n,
            w.err.msg);
    assert_true(w.rc == COCO_OK || w.rc == COCO_ENOMEM || w.rc == COCO_EFAIL);
    if (it != DROP) {
        update(NULL);
        update(NULL);
        expect_actions(NULL);
    }
    drop_all();
    expect_shelf(NULL);
    restart();
    assert_int_equal(w.live, 0);
    return reached;
}

static void every_allocation_may_fail(what it, const char *after)
{
    const scenario s = { "tab+l1 #box", "a: tab.1=10 tab.2=20 | B: tab.3=30 box.1=1 | c: [own] tab.4=40",
            "tab+l2 tab/sub", after, false };

    for (long n = 1; allocation_fails(&s, it, n); n++) continue;
}

static void update_survives_any_failing_allocation(void **state)
{
    (void)state;
    every_allocation_may_fail(UPDATE, "a: tab.1=11 | B: tab.2=20 tab/sub.3=30 tab@index.1=1 | B/x: [own] own.1=1");
}

static void preview_survives_any_failing_allocation(void **state)
{
    (void)state;
    every_allocation_may_fail(PREVIEW, "B: tab.1=10 tab.2=22 | c: tab.3=3");
}

static void drop_survives_any_failing_allocation(void **state)
{
    (void)state;
    every_allocation_may_fail(DROP, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CRASHES(first_update_survives_a_crash_anywhere),
        CRASHES(changed_rows_survive_a_crash_anywhere),
        CRASHES(moved_rows_survive_a_crash_anywhere),
        CRASHES(rows_moved_to_a_child_survive_a_crash_anywhere),
        CRASHES(renamed_components_survive_a_crash_anywhere),
        CRASHES(destroyed_container_survives_a_crash_anywhere),
        CRASHES(lossy_change_survives_a_crash_anywhere),
        CRASHES(tombstones_survive_a_crash_anywhere),
        CRASHES(condemned_container_survives_a_crash_anywhere),
        CRASHES(container_condemned_below_a_memo_survives_a_crash_anywhere),
        CRASHES(container_moved_and_renamed_survives_a_crash_anywhere),
        CRASHES(container_that_becomes_a_row_survives_a_crash_anywhere),
        CRASHES(value_taken_over_from_a_gone_child_survives_a_crash_anywhere),
        CRASHES(dropping_survives_a_crash_anywhere),
        CRASHES(second_crash_in_the_recovery_is_survived_too),
        CRASHES(update_survives_any_failing_allocation),
        CRASHES(preview_survives_any_failing_allocation),
        CRASHES(drop_survives_any_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
