/* Preview (S7.12): it tells what an update would do, containers and deletions included, and changes nothing. */
#include "plan.h"

/* The applied events of the last update or preview, sorted, without the component. */
static char *applied(void)
{
    lines l = { .n = 0 };
    char *all;

    for (size_t i = 0; i < w.events.n; i++)
        if (strncmp(w.events.v[i], "applied ", 8) == 0) lines_add(&l, "%s", w.events.v[i]);
    qsort(l.v, l.n, sizeof l.v[0], by_text);
    all = lines_join(l.v, l.n);
    lines_clear(&l);
    return all;
}

/* A preview of the plan tells what the update then does, and changes nothing by itself. */
static void preview_tells_what_the_update_does(const char *file, int line)
{
    uint8_t before[16], after[16];
    char *told, *done;
    uint64_t counts[3];
    coco_status rc;

    open_world();
    db_print(before);
    rc = try_update(OPTS(.preview = true));
    db_print(after);
    told = applied();
    counts[0] = w.result.inserts, counts[1] = w.result.updates, counts[2] = w.result.deletes;
    if (memcmp(before, after, 16) != 0) print_error("the preview wrote\n"), _fail(file, line);
    if (w.actions.n || w.result.run) print_error("the preview acted\n"), _fail(file, line);
    try_update(NULL);
    expect_rc(rc, file, line);
    done = applied();
    if (strcmp(told, done) != 0) print_error("told\n%sdone\n%s", told, done);
    bool same = strcmp(told, done) == 0 && counts[0] == w.result.inserts && counts[1] == w.result.updates &&
                counts[2] == w.result.deletes;
    free(told);
    free(done);
    if (!same) _fail(file, line);
}
#define preview_then_update() preview_tells_what_the_update_does(__FILE__, __LINE__)

#define PREVIEW(name, tables, text, tables_after, text_after) \
    static void name(void **state) \
    { \
        (void)state; \
        plan(tables, text); \
        update(NULL); \
        plan(tables_after, text_after); \
        preview_then_update(); \
    }

/* Regression: only flat targets could be previewed; users wrote their own manifests. */
PREVIEW(preview_covers_containers_and_deletions, "tab old", "a: tab.1=10 | b: tab.2=20 old.1=1 | c: tab.3=30",
        "tab new new/sub",
        "a: tab.1=11 | b: tab.2=20 new.1=1 new/sub.7=7 | d: tab.4=40")
PREVIEW(preview_of_a_first_update, "", "", "tab #box tab/sub",
        "a: tab.1=10 box.1=1 | B: tab/sub.2=20 tab@index.1=1 | a/c: [own] own.1=1")
PREVIEW(preview_of_an_unchanged_program, "tab #box", "a: tab.1=10 | B: box.2=20", "tab #box",
        "a: tab.1=10 | B: box.2=20")
PREVIEW(preview_of_a_destroyed_container, "tab+s1 tab/sub", "A: tab.1=10 | B: tab/sub.2=20 tab@index.1=1",
        "tab+s2 tab/sub",
        "A: tab.1=10 | B: tab/sub.2=20 tab@index.1=1")
PREVIEW(preview_of_a_lossy_change, "tab+l1", "A: tab.1=10 | b: tab.2=20", "tab+l2", "A: tab.1=10 | b: tab.2=21")
PREVIEW(preview_of_a_crate_that_goes, "#box tab", "a: box.1=10 | b: box.2=20 tab.1=1", "tab", "b: tab.1=1")
PREVIEW(preview_of_a_container_that_a_component_drops, "top", "t&: [tab] tab.7=70 | a: tab.1=10 | B: top.1=1",
        "top", "t&: | B: top.1=1")
PREVIEW(preview_of_rows_that_move, "tab", "a: tab.1=10 tab.2=20 | b: tab.3=30", "tab",
        "a: tab.1=10 tab.3=31 | b: tab.2=20")
PREVIEW(preview_of_a_container_that_moves_and_is_made_anew, "tab", "a: tab.1=10 | b: tab.2=20 [own+s1] own.7=7", "tab",
        "a: tab.1=10 [own+s2] own.7=8 | b: tab.2=20")
PREVIEW(preview_of_a_renamed_component, "tab", "a: tab.1=10 tab.2=20 | a/c: tab.3=30", "tab",
        "z: tab.1=10 tab.2=21 | z/c: tab.3=30")
PREVIEW(preview_of_a_user_managed_container, "tab", "a: tab.1=10", "tab+m", "a: tab.1=11 tab.2=20")

/* S7.12: tombstones and the guard are computed and shown. */
static void preview_says_that_the_guard_would_stop_it(void **state)
{
    (void)state;
    w.config.guard_states = 2;
    plan("tab", "a: tab.1=10 | b: tab.2=20 | c: tab.3=30 | d: tab.4=40");
    update(NULL);
    plan("tab", "d: tab.4=40");
    update_fails(COCO_EGUARD, OPTS(.preview = true));
    assert_non_null(strstr(w.err.msg, "3 of 4"));
    update_fails(COCO_EGUARD, NULL);
    update(OPTS(.preview = true, .allow_delete = true));
    assert_int_equal(w.result.deletes, 3);
}

/* S7.12: what an earlier update left is shown too. */
static void preview_covers_tombstones_of_an_earlier_update(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | b: tab.2=20");
    update(NULL);
    plan("tab", "b: tab.2=20");
    fault_on("tab:1", -1, false);
    update_fails(COCO_EFAIL, NULL);
    faults_clear();
    preview_then_update();
}

static int64_t id_seen, id_of_child;

COCO_FN(numbered, (int64_t, n))
{
    int64_t id;

    COCO_TRY(coco_generate_id(cx, coco_int(n), &id));
    id_of_child = id;
    return coco_return(cx, coco_int(id * 100));
}

COCO_FN(numbered_main, ())
{
    coco_value v;
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    COCO_TRY(coco_use_mount(cx, COCO_AUTO, &numbered, COCO_ARGS(coco_int(7)), &v));
    COCO_TRY(coco_generate_id(cx, coco_int(7), &id_seen));
    return coco_declare(cx, tab, coco_int(id_seen), v);
}

/* S7.12: use_mount gives its value though nothing is applied; ids are those that the run would give. */
static void preview_gives_the_ids_that_the_update_gives(void **state)
{
    int64_t seen, child;

    (void)state;
    program(&numbered_main);
    update(OPTS(.preview = true));
    seen = id_seen, child = id_of_child;
    expect_events("applied", "/@shelf/\"tab\" shelf:\"tab\" insert", "/ tab:2 insert");
    update(NULL);
    assert_int_equal(id_seen, seen);
    assert_int_equal(id_of_child, child);
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 100");
}

static void preview_before_the_first_update_leaves_no_app_behind(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    update(OPTS(.preview = true));
    assert_int_equal(w.result.inserts, 2);
    expect_shelf(NULL);
    update(NULL);
    expect_why("/ never run", "/@shelf/\"tab\" never run", "/\"a\" never run");
}

static void failure_in_a_preview_is_reported(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | b: !");
    update_fails(COCO_EFAIL, OPTS(.preview = true));
    expect_failures("/\"b\" COCO_EFAIL failed as planned");
}

static coco_status child_but_old(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
                                 coco_target_handler *out)
{
    if (coco_str_equal(coco_text_of(key), COCO_STR("old"))) return coco_fail(cx, COCO_EIO, "out of sight");
    return shelf_child(cx, self, key, desired, record, out);
}

static coco_status make_but_old(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    COCO_TRY(shelf_make(cx, key, out));
    out->child = child_but_old;
    return COCO_OK;
}

/* S7.5: what is in a container can't be deleted, so it stays; a preview tells so. */
static void container_of_what_can_not_be_deleted_stays(void **state)
{
    (void)state;
    plan("tab old more", "a: tab.1=10 tab.2=20 | b: old.3=30 | c: more.4=40");
    update(NULL);
    plan("tab", "a: tab.1=10");
    shelf_type.make = make_but_old;
    for (int preview = 1; preview >= 0; preview--) {
        update_fails(COCO_EFAIL, OPTS(.preview = preview));
        expect_events("applied", "/\"a\" tab:2 delete", "/\"c\" more:4 delete",
                      "/@shelf/\"more\" shelf:\"more\" delete");
        assert_int_equal(w.result.deletes, 3);
    }
    shelf_type.make = shelf_make;
    expect_shelf("old:3 = 30", "shelf:\"old\" = null", "shelf:\"tab\" = null", "tab:1 = 10");
    update(NULL);
    expect_actions("- old:3", "- shelf:\"old\"");
    expect_nothing_written();
}

static void duplicate_is_found_by_a_preview(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.1=11");
    update_fails(COCO_EFAIL, OPTS(.preview = true));
    assert_non_null(strstr(w.failures.v[0], "COCO_EDUP"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(preview_covers_containers_and_deletions),
        TEST(preview_of_a_first_update),
        TEST(preview_of_an_unchanged_program),
        TEST(preview_of_a_destroyed_container),
        TEST(preview_of_a_lossy_change),
        TEST(preview_of_a_crate_that_goes),
        TEST(preview_of_a_container_that_a_component_drops),
        TEST(preview_of_rows_that_move),
        TEST(preview_of_a_container_that_moves_and_is_made_anew),
        TEST(preview_of_a_renamed_component),
        TEST(preview_of_a_user_managed_container),
        TEST(preview_says_that_the_guard_would_stop_it),
        TEST(preview_covers_tombstones_of_an_earlier_update),
        TEST(preview_gives_the_ids_that_the_update_gives),
        TEST(preview_before_the_first_update_leaves_no_app_behind),
        TEST(failure_in_a_preview_is_reported),
        TEST(container_of_what_can_not_be_deleted_stays),
        TEST(duplicate_is_found_by_a_preview),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
