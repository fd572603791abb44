/* Deletes (S7.5, S7.11, S3.7, S3.10): what is no longer declared or mounted goes from the targets, children first;
 * what fails is tried again; drop and forget; the guard against mass deletion. */
#include "plan.h"

/* ---- No longer mounted ---- */

static void component_no_longer_mounted_is_deleted_with_its_children_first(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | a/b: tab.2=20 | a/b/c: tab.3=30 | d: tab.4=40");
    update(NULL);
    plan("tab", "d: tab.4=40");
    update(NULL);
    expect_events("gone", "/\"a\"");
    expect_actions("- tab:3", "- tab:2", "- tab:1");
    expect_events("deleted", "/\"a\"/\"b\"/\"c\"", "/\"a\"/\"b\"", "/\"a\"");
    assert_int_equal(w.result.deletes, 3);
    expect_nothing_written();
}

/* S7.11: the record goes only after success. */
static void failed_delete_is_tried_again_in_the_next_update(void **state)
{
    (void)state;
    plan("tab", "P: tab.9=90 | a: tab.1=10 tab.2=20 | b: tab.3=30");
    update(NULL);
    plan("tab", "P: tab.9=90");
    fault_on("tab:2", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"a\" COCO_EIO tab:2: refused");
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 20", "tab:9 = 90");
    faults_clear();
    update(NULL);
    expect_actions("- tab:1", "- tab:2"); /* one component is deleted as a whole */
    expect_shelf("shelf:\"tab\" = null", "tab:9 = 90");
    expect_nothing_written();
}

/* S7.11, S10.6: what is above it stays, too, and isn't said to be deleted. */
static void component_above_a_failed_delete_is_not_told_as_deleted(void **state)
{
    (void)state;
    plan("tab", "a: | a/b: tab.1=10 | a/c: tab.2=20");
    update(NULL);
    plan("tab", "");
    fault_on("tab:1", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_events("deleted", "/\"a\"/\"c\"");
    faults_clear();
    update(NULL);
    expect_events("deleted", "/\"a\"/\"b\"", "/\"a\"");
    expect_nothing_written();
}

/* S3.7: what is left is worked off also where the parent hits. */
static void tombstone_below_a_hit_is_worked_off(void **state)
{
    (void)state;
    plan("tab", "P: tab.9=90 | P/a: tab.1=10");
    update(NULL);
    plan("tab", "P: tab.9=91");
    fault_on("tab:1", -1, false);
    update_fails(COCO_EFAIL, NULL);
    faults_clear();
    update(NULL);
    update(NULL);
    expect_hits("/\"P\"");
    expect_shelf("shelf:\"tab\" = null", "tab:9 = 91");
}

/* S3.7 */
static void mounting_a_path_again_removes_its_tombstone(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "");
    fault_on("tab:1", -1, false);
    update_fails(COCO_EFAIL, NULL);
    faults_clear();
    plan("tab", "a: tab.1=10");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
    update(NULL);
    expect_actions(NULL);
    plan("tab", "");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null");
}

static void failed_component_deletes_none_of_its_children(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | a/b: tab.2=20");
    update(NULL);
    plan("tab", "a: !");
    update_fails(COCO_EFAIL, NULL);
    expect_actions(NULL);
    expect_events("gone", NULL);
}

/* S6.1, S7.5: the memo above a component that dropped a container is believed again once the container is gone. */
static void memo_above_a_dropped_container_hits_again(void **state)
{
    (void)state;
    plan("top", "P: top.1=1 | P/t: [tab] tab.7=70");
    update(NULL);
    plan("top", "P: top.2=2 | P/t: ");
    update(NULL);
    expect_shelf("shelf:\"top\" = null", "top:2 = 2");
    update(NULL);
    expect_hits("/\"P\"");
}

static void container_whose_delete_fails_is_dropped_by_the_next_update(void **state)
{
    (void)state;
    plan("top", "P: top.1=1 | P/t: [tab] tab.7=70");
    update(NULL);
    plan("top", "P: top.2=2 | P/t: ");
    fault_on("shelf:\"tab\"", -1, false);
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(w.failures.n, 1);
    assert_non_null(strstr(w.failures.v[0], "/\"P\"/\"t\" COCO_EIO shelf:\"tab\": refused"));
    faults_clear();
    update(NULL);
    expect_actions("- shelf:\"tab\"");
    update(NULL);
    expect_hits("/\"P\"");
    expect_actions(NULL);
}

/* S7.5: content before container. */
static void container_stays_while_the_delete_of_its_content_fails(void **state)
{
    (void)state;
    plan("tab tab/sub other", "a: tab/sub.1=10 tab/sub.2=20 other.1=1");
    update(NULL);
    plan("", "");
    fault_on("tab/sub:2", -1, false);
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(w.failures.n, 1);
    assert_non_null(strstr(w.failures.v[0], "/\"a\" COCO_EIO tab/sub:2: refused"));
    expect_shelf("shelf:\"tab\" = null", "tab/sub:2 = 20", "tab:\"sub\" = null");
    faults_clear();
    update(NULL);
    expect_shelf(NULL);
    expect_nothing_written();
}

/* Of a component that a sink refuses for good, what was deleted is gone, and its container may go. */
static void container_goes_although_its_component_fails_elsewhere(void **state)
{
    (void)state;
    plan("tab other", "a: tab.1=10 other.2=20");
    update(NULL);
    plan("other", "a: other.2=21");
    fault_on("other:2", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_shelf("other:2 = 20", "shelf:\"other\" = null");
    faults_clear();
    update(NULL);
    expect_shelf("other:2 = 21", "shelf:\"other\" = null");
    expect_nothing_written();
}

static void container_goes_after_the_last_try_of_its_content(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20 | a/b: tab.3=30");
    update(NULL);
    plan("", "");
    fault_on("tab:2", 1, false);
    update(NULL);
    expect_failures(NULL);
    expect_shelf(NULL);
    expect_nothing_written();
}

static void condemned_container_stays_while_a_running_component_fails_to_empty_it(void **state)
{
    (void)state;
    plan("", "t&: [tab] | a: tab.1=10 tab.2=20");
    update(NULL);
    plan("", "t&: | a: ");
    fault_on("tab:2", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"a\" COCO_EIO tab:2: refused");
    assert_non_null(shelf_find("shelf:\"tab\""));
    faults_clear();
    update(NULL);
    expect_shelf(NULL);
    update(NULL);
    expect_actions(NULL);
}

/* S7.4: a passing refusal is tried again by who was refused, and by nobody else. */
static void container_whose_delete_is_refused_twice_is_deleted_once(void **state)
{
    (void)state;
    plan("top tab tab/sub", "a: tab/sub.7=7 top.1=10");
    update(NULL);
    plan("top", "a: top.1=10");
    fault_on("tab:\"sub\"", 2, false);
    update(NULL);
    expect_actions("- tab/sub:7", "! tab:\"sub\"", "! tab:\"sub\"", "- tab:\"sub\"");
    expect_sound(__FILE__, __LINE__);
    update(NULL);
    expect_actions("- shelf:\"tab\"");
    expect_shelf("shelf:\"top\" = null", "top:1 = 10");
}

static void nested_containers_go_bottom_up(void **state)
{
    (void)state;
    plan("tab tab/sub tab/sub/low", "a: tab/sub/low.1=10 tab.2=20");
    update(NULL);
    plan("", "");
    update(NULL);
    expect_actions("- tab:2", "- tab/sub/low:1", "- tab/sub:\"low\"", "- tab:\"sub\"", "- shelf:\"tab\"");
    expect_nothing_written();
}

/* S7.5: a crate's row that another component still declares into another container stays. */
static void crate_takes_along_only_its_own_content(void **state)
{
    (void)state;
    plan("#box tab", "a: box.1=10 tab.1=10 | b: box.2=20");
    update(NULL);
    plan("tab", "a: tab.1=10");
    update(NULL);
    expect_actions("- box:1", "- crate:\"box\""); /* a runs, and doesn't know yet that the crate goes */
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
    expect_nothing_written();
}

static void crate_that_fails_to_go_keeps_its_content(void **state)
{
    (void)state;
    plan("#box", "a: box.1=10");
    update(NULL);
    plan("", "");
    fault_on("crate:\"box\"", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_shelf("box:1 = 10", "crate:\"box\" = null");
    faults_clear();
    update(NULL);
    expect_actions("- crate:\"box\"");
    expect_shelf(NULL);
    expect_nothing_written();
}

/* ---- A path that turns from inner node to component and back (S2.6) ---- */

static bool here, below;

COCO_FN(one_row, (int64_t, key)) { return coco_declare(cx, plan_target(cx, "tab"), coco_int(key), coco_int(1)); }

COCO_FN(turning_main, ())
{
    char tab[] = "tab";

    plan_ntargets = 0;
    COCO_TRY(plan_container(cx, tab, false));
    if (below) COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("d"), coco_text("x")), &one_row, COCO_ARGS(coco_int(1)),
            NULL));
    return here ? coco_mount(cx, COCO_PATH(coco_text("d")), &one_row, COCO_ARGS(coco_int(2)), NULL) : COCO_OK;
}

/* Regression: a path that was an inner node became a component: orphans. */
static void directory_path_becomes_component_and_back(void **state)
{
    (void)state;
    program(&turning_main);
    here = false, below = true;
    update(NULL);
    here = true, below = false;
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 1");
    here = false, below = true;
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 1");
    expect_nothing_written();
    below = false;
    update(NULL);
    expect_shelf("shelf:\"tab\" = null");
    expect_nothing_written();
}

/* ---- Drop ---- */

static void drop_removes_everything_and_forgets(void **state)
{
    (void)state;
    plan("tab #box tab/sub", "a: tab.1=10 | a/B: tab/sub.1=1 box.1=1 [own] own.1=1");
    update(NULL);
    drop_all();
    expect_shelf(NULL);
    drop_all();
    expect_actions(NULL);
    update(NULL);
    expect_why("/ never run", "/@shelf/\"tab\" never run", "/@shelf/true/\"box\" never run",
            "/@shelf/[\"tab\",\"sub\"] never run", "/\"a\" never run",
               "/\"a\"/\"B\" never run");
}

/* S7.11: fails if anything failed; the rest is done and isn't done again. */
static void failed_drop_can_be_dropped_again(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | b: tab.2=20 | c: tab.3=30");
    update(NULL);
    fault_on("tab:2", -1, false);
    try_drop();
    assert_int_equal(w.rc, COCO_EFAIL);
    assert_non_null(shelf_find("tab:2"));
    assert_null(shelf_find("tab:1"));
    assert_null(shelf_find("tab:3"));
    faults_clear();
    drop_all();
    assert_string_equal(w.actions.v[0], "- tab:2");
    assert_int_equal(w.actions.n, 2);
    expect_shelf(NULL);
}

static void failed_drop_can_be_updated_again(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10 | B: tab.2=20");
    update(NULL);
    fault_on("tab:2", -1, false);
    try_drop();
    assert_int_equal(w.rc, COCO_EFAIL);
    faults_clear();
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    update(NULL);
    expect_actions(NULL);
}

/* ---- No handler (S7.11) ---- */

static void target_without_a_handler_stays_recorded_and_is_named(void **state)
{
    (void)state;
    plan("tab other", "a: tab.1=10");
    update(NULL);
    plan("", "");
    shelf_type.name = "not here";
    update_fails(COCO_EFAIL, NULL);
    shelf_type.name = "shelf";
    assert_true(w.failures.n > 0);
    assert_non_null(strstr(w.failures.v[0], "COCO_ENOPROVIDER"));
    assert_non_null(strstr(w.failures.v[0], "shelf"));
    expect_actions(NULL);
    update(NULL);
    expect_shelf(NULL);
    expect_nothing_written();
}

static void row_without_a_handler_fails_its_component(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20");
    update(NULL);
    restart();
    plan("tab", "a: tab.1=10");
    update(NULL);
    expect_actions("- tab:2");
}

/* ---- Forget ---- */

static void forgotten_target_is_not_touched(void **state)
{
    (void)state;
    plan("tab other", "A: tab.1=10 | B: other.2=20");
    update(NULL);
    assert_int_equal(coco_forget(w.app, "tab", &w.err), COCO_OK);
    plan("other", "B: other.2=20");
    update(NULL);
    expect_actions(NULL);
    expect_hits("/\"B\"");
    expect_shelf("other:2 = 20", "shelf:\"other\" = null", "shelf:\"tab\" = null", "tab:1 = 10");
    expect_nothing_written();
}

static void forgotten_target_that_is_declared_again_is_made_anew(void **state)
{
    (void)state;
    plan("tab other", "A: tab.1=10 | B: other.2=20");
    update(NULL);
    assert_int_equal(coco_forget(w.app, "tab", &w.err), COCO_OK);
    update(NULL);
    expect_actions("+ shelf:\"tab\"", "+ tab:1");
    expect_hits("/\"B\"");
    update(NULL);
    expect_actions(NULL);
}

static void forgetting_an_unknown_target_is_an_error(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    assert_int_equal(coco_forget(w.app, "nonsense", &w.err), COCO_ENOTFOUND);
    assert_non_null(strstr(w.err.msg, "nonsense"));
    expect_nothing_written();
}

static void drop_after_forget_leaves_the_forgotten(void **state)
{
    (void)state;
    plan("tab other", "a: tab.1=10 other.2=20");
    update(NULL);
    assert_int_equal(coco_forget(w.app, "tab", &w.err), COCO_OK);
    drop_all();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
}

/* ---- The guard (S3.10) ---- */

static void guarded(void)
{
    w.config.guard_states = 3;
    plan("tab other", "a: tab.1=10 | b: tab.2=20 | c: tab.3=30 | d: tab.4=40 | e: tab.5=50 | o: other.1=1 other.2=2");
    update(NULL);
}

static void mass_deletion_is_stopped_before_the_first_delete(void **state)
{
    (void)state;
    guarded();
    plan("tab other", "e: tab.5=51 | p: other.3=3");
    update_fails(COCO_EGUARD, NULL);
    assert_non_null(strstr(w.err.msg, "tab"));
    assert_non_null(strstr(w.err.msg, "4 of 5"));
    expect_actions("~ tab:5", "+ other:3", "- other:1", "- other:2"); /* everything else is done */
    update_fails(COCO_EGUARD, NULL); /* the tombstones stay */
    expect_actions(NULL);
    update(OPTS(.allow_delete = true));
    expect_actions("- tab:4", "- tab:3", "- tab:2", "- tab:1");
    update(NULL);
    expect_actions(NULL);
}

static void components_that_come_back_are_not_deleted_by_a_later_update(void **state)
{
    (void)state;
    guarded();
    plan("tab other", "e: tab.5=50 | o: other.1=1 other.2=2");
    update_fails(COCO_EGUARD, NULL);
    plan("tab other", "a: tab.1=10 | b: tab.2=20 | c: tab.3=30 | d: tab.4=40 | e: tab.5=50 | o: other.1=1 other.2=2");
    update(NULL);
    expect_actions(NULL);
    expect_nothing_written();
}

static void half_of_the_states_may_go(void **state)
{
    (void)state;
    w.config.guard_states = 2;
    plan("tab", "a: tab.1=10 | b: tab.2=20 | c: tab.3=30 | d: tab.4=40 | e: tab.5=50 tab.6=60");
    update(NULL);
    plan("tab", "d: tab.4=40 | e: tab.5=50 tab.6=60");
    update(NULL);
    assert_int_equal(w.result.deletes, 3);
}

static void component_that_stops_declaring_most_of_its_states_fails(void **state)
{
    (void)state;
    w.config.guard_states = 3;
    plan("tab", "a: tab.1=10 tab.2=20 tab.3=30 tab.4=40 tab.5=50 | b: tab.6=60");
    update(NULL);
    plan("tab", "a: tab.1=11 | b: tab.6=61");
    update_fails(COCO_EGUARD, NULL);
    expect_actions("~ tab:6");
    assert_non_null(strstr(w.failures.v[0], "/\"a\" COCO_EGUARD"));
    update(OPTS(.allow_delete = true));
    assert_int_equal(w.result.deletes, 4);
}

/* S3.10: deleting a container counts every state recorded below it. */
static void guard_counts_what_a_container_takes_along(void **state)
{
    (void)state;
    w.config.guard_states = 3;
    plan("#box", "a: box.1=10 box.2=20 | b: box.3=30 | c: box.4=40");
    update(NULL);
    plan("", "");
    update_fails(COCO_EGUARD, NULL);
    expect_actions(NULL);
    assert_int_equal(w.nshelf, 5);
    update(OPTS(.allow_delete = true));
    expect_actions("- crate:\"box\"");
    expect_shelf(NULL);
    expect_nothing_written();
}

/* S3.10: everything else is done, also of a component that has both. */
static void guard_holds_back_only_the_states_of_its_target(void **state)
{
    (void)state;
    w.config.guard_states = 3;
    plan("tab other", "A: tab.1=10 other.1=1 | A/B: other.2=2 | c: tab.2=20 tab.3=30 | d: tab.4=40 | e: tab.5=50");
    update(NULL);
    plan("tab other", "e: tab.5=50");
    update_fails(COCO_EGUARD, NULL);
    assert_non_null(strstr(w.err.msg, "4 of 5"));
    expect_actions("- other:2", "- other:1");
    plan("tab other", "A: tab.1=10 other.1=1 | A/B: other.2=2 | e: tab.5=50");
    update(NULL);
    expect_actions("+ other:2", "+ other:1", "- tab:4", "- tab:2", "- tab:3");
    plan("tab other", "e: tab.5=50");
    update(NULL);
    expect_shelf("shelf:\"other\" = null", "shelf:\"tab\" = null", "tab:5 = 50");
    expect_nothing_written();
}

/* S7.12: the guard is computed and shown. */
static void preview_shows_what_the_guard_would_let_go(void **state)
{
    (void)state;
    w.config.guard_states = 3;
    plan("tab other", "a: other.1=1 | a/b: tab.1=10 | a/c: other.2=2 | d: tab.2=20 tab.3=30 | e: tab.4=40 tab.5=50");
    update(NULL);
    plan("tab other", "");
    update_fails(COCO_EGUARD, OPTS(.preview = true));
    expect_events("deleted", "/\"a\"/\"c\"");
    expect_events("applied", "/\"a\"/\"c\" other:2 delete", "/\"a\" other:1 delete");
}

/* S6.7, S6.8: a component held back keeps what it has of its own. */
static void guard_keeps_the_memos_of_what_it_holds_back(void **state)
{
    (void)state;
    guarded();
    plan("tab other", "A: tab.1=10 | B: tab.2=20 | C: tab.3=30 | D: tab.4=40 | e: tab.5=50 | o: other.1=1 other.2=2");
    update(NULL);
    plan("tab other", "e: tab.5=50 | o: other.1=1 other.2=2");
    update_fails(COCO_EGUARD, NULL);
    plan("tab other", "A: tab.1=10 | B: tab.2=20 | C: tab.3=30 | D: tab.4=40 | e: tab.5=50 | o: other.1=1 other.2=2");
    update(NULL);
    expect_hits("/\"A\"", "/\"B\"", "/\"C\"", "/\"D\"");
    expect_actions(NULL);
}

/* S3.10: the total is right after a container within the target was made anew. */
static void guard_forgets_what_a_destroyed_container_had(void **state)
{
    (void)state;
    w.config.guard_states = 3;
    plan("tab tab/sub+s1", "a: tab/sub.1=10 tab/sub.2=20 | b: tab/sub.3=30 tab/sub.4=40");
    update(NULL);
    plan("tab tab/sub+s2", "a: tab/sub.1=10 tab/sub.2=20 | b: tab/sub.3=30 tab/sub.4=40");
    update(NULL);
    plan("tab tab/sub+s3", "a: tab/sub.1=10 tab/sub.2=20 | b: tab/sub.3=30");
    update(NULL);
    plan("tab tab/sub+s3", "a: tab/sub.1=10 tab/sub.2=20 | b: tab/sub.3=30 tab/sub.4=40");
    update(NULL);
    plan("tab tab/sub+s3", "");
    update_fails(COCO_EGUARD, NULL);
    assert_non_null(strstr(w.err.msg, "4 of 5"));
}

static void guard_stops_a_condemned_container(void **state)
{
    (void)state;
    w.config.guard_states = 3;
    plan("", "t&: [#box] | a: box.1=10 box.2=20 | b: box.3=30 | c: box.4=40");
    update(NULL);
    plan("", "t&: ");
    update_fails(COCO_EGUARD, NULL);
    expect_actions(NULL);
    assert_int_equal(w.nshelf, 5);
    update(OPTS(.allow_delete = true));
    expect_shelf(NULL);
}

static void rows_that_move_are_no_deletion(void **state)
{
    (void)state;
    guarded();
    plan("tab other", "all: tab.1=10 tab.2=20 tab.3=30 tab.4=40 tab.5=50 | o: other.1=1 other.2=2");
    update(NULL);
    expect_actions(NULL);
}

static void drop_is_not_guarded(void **state)
{
    (void)state;
    guarded();
    drop_all();
    expect_shelf(NULL);
}

/* The counter follows deletes and inserts: after rows came and went the share is right. */
static void guard_counts_what_is_there_now(void **state)
{
    (void)state;
    guarded();
    plan("tab other", "a: tab.1=10 | b: tab.2=20 | c: tab.3=30");
    update(NULL);
    plan("tab other", "a: tab.1=10 | b: tab.2=20 | c: tab.3=30 | x: tab.11=1 tab.12=2 tab.13=3 tab.14=4 tab.15=5");
    update(NULL);
    plan("tab other", "a: tab.1=10 | b: tab.2=20 | c: tab.3=30");
    update_fails(COCO_EGUARD, NULL);
    assert_non_null(strstr(w.err.msg, "5 of 8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(component_no_longer_mounted_is_deleted_with_its_children_first),
        TEST(failed_delete_is_tried_again_in_the_next_update),
        TEST(component_above_a_failed_delete_is_not_told_as_deleted),
        TEST(tombstone_below_a_hit_is_worked_off),
        TEST(mounting_a_path_again_removes_its_tombstone),
        TEST(failed_component_deletes_none_of_its_children),
        TEST(memo_above_a_dropped_container_hits_again),
        TEST(container_whose_delete_fails_is_dropped_by_the_next_update),
        TEST(container_stays_while_the_delete_of_its_content_fails),
        TEST(container_goes_although_its_component_fails_elsewhere),
        TEST(container_goes_after_the_last_try_of_its_content),
        TEST(condemned_container_stays_while_a_running_component_fails_to_empty_it),
        TEST(container_whose_delete_is_refused_twice_is_deleted_once),
        TEST(nested_containers_go_bottom_up),
        TEST(crate_takes_along_only_its_own_content),
        TEST(crate_that_fails_to_go_keeps_its_content),
        TEST(directory_path_becomes_component_and_back),
        TEST(drop_removes_everything_and_forgets),
        TEST(failed_drop_can_be_dropped_again),
        TEST(failed_drop_can_be_updated_again),
        TEST(target_without_a_handler_stays_recorded_and_is_named),
        TEST(row_without_a_handler_fails_its_component),
        TEST(forgotten_target_is_not_touched),
        TEST(forgotten_target_that_is_declared_again_is_made_anew),
        TEST(forgetting_an_unknown_target_is_an_error),
        TEST(drop_after_forget_leaves_the_forgotten),
        TEST(mass_deletion_is_stopped_before_the_first_delete),
        TEST(components_that_come_back_are_not_deleted_by_a_later_update),
        TEST(half_of_the_states_may_go),
        TEST(component_that_stops_declaring_most_of_its_states_fails),
        TEST(guard_counts_what_a_container_takes_along),
        TEST(guard_holds_back_only_the_states_of_its_target),
        TEST(preview_shows_what_the_guard_would_let_go),
        TEST(guard_keeps_the_memos_of_what_it_holds_back),
        TEST(guard_forgets_what_a_destroyed_container_had),
        TEST(guard_stops_a_condemned_container),
        TEST(rows_that_move_are_no_deletion),
        TEST(drop_is_not_guarded),
        TEST(guard_counts_what_is_there_now),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
