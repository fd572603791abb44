/* Ownership (S7.9): a target state has one owner; it moves without a delete or a needless rewrite; two
 * declarations are an error. */
#include "plan.h"

/* S7.9: no delete, no rewrite; the row is there all the time. */
static void row_moves_to_another_component_without_an_action(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20 | b: tab.3=30");
    update(NULL);
    plan("tab", "a: tab.1=10 | b: tab.2=20 tab.3=30");
    update(NULL);
    expect_actions(NULL);
    expect_events("moved", "/\"b\" tab:2 /\"a\"");
    plan("tab", "a: tab.1=10 | b: tab.3=30");
    update(NULL);
    expect_actions("- tab:2");
}

/* S7.9 */
static void row_moves_with_a_new_value_as_an_update(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20 | b: tab.3=30");
    update(NULL);
    plan("tab", "a: tab.1=10 | b: tab.2=21 tab.3=30");
    update(NULL);
    expect_actions("~ tab:2");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 21", "tab:3 = 30");
}

/* S7.9: claims come before deletes in a round, whichever component comes first. */
static void claims_come_before_deletes(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | b: tab.2=20");
    update(NULL);
    plan("tab", "a: tab.2=20 | b: tab.1=10");
    update(NULL);
    expect_actions(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    update(NULL);
    expect_actions(NULL);
}

/* S7.9: an owner with a tombstone hands over. */
static void renamed_component_keeps_its_rows(void **state)
{
    (void)state;
    plan("tab", "old: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "new: tab.1=10 tab.2=20");
    update(NULL);
    expect_actions(NULL);
    expect_events("deleted", "/\"old\"");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    drop_all();
    expect_shelf(NULL);
}

/* S7.9, S3.7: the owner is deleted with what it still has. */
static void tombstoned_owner_deletes_only_what_nobody_claimed(void **state)
{
    (void)state;
    plan("tab", "old: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "new: tab.2=20");
    update(NULL);
    expect_actions("- tab:1");
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 20");
}

/* S7.9: the claim comes while the parent waits for its child. */
static void row_moves_from_a_component_to_its_child(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=10 | a/c: tab.2=20");
    update(NULL);
    expect_actions(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    update(NULL);
    expect_actions(NULL);
}

static void row_moves_from_a_component_to_a_child_it_uses(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=10 | a/c&: tab.2=20");
    plan_children_first = true;
    update(NULL);
    expect_actions(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    update(NULL);
    expect_actions(NULL);
}

static void row_moves_from_a_child_to_its_parent(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | a/c: tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=10 tab.2=20 | a/c: tab.3=30");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20", "tab:3 = 30");
    update(NULL);
    expect_actions(NULL);
}

/* S7.9: the child has run and let go, though the delete of what was its container waits for the end of the update. */
static void container_moves_from_a_child_to_its_parent(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | a/C: tab.2=20 [own] own.7=7");
    update(NULL);
    plan("tab", "a: tab.1=10 [own] own.7=8 | a/C: tab.2=20");
    update(NULL);
    expect_events("moved", "/\"a\" shelf:\"own\" /\"a\"/\"C\"");
    expect_shelf("own:7 = 8", "shelf:\"own\" = null", "shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    update(NULL);
    expect_hits("/\"a\"/\"C\"");
    expect_actions(NULL);
}

/* S7.9: the memo of the old owner isn't believed any more. */
static void memoized_owner_runs_again_when_its_row_was_taken(void **state)
{
    (void)state;
    plan("tab", "b: tab.3=30 | A: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "b: tab.2=20 tab.3=30 | A: tab.1=10 tab.2=20");
    update_fails(COCO_EFAIL, NULL);
    expect_actions(NULL);
    assert_int_equal(w.failures.n, 1);
    assert_non_null(strstr(w.failures.v[0], "COCO_EDUP"));
    assert_non_null(strstr(w.failures.v[0], "/\"A\""));
    assert_non_null(strstr(w.failures.v[0], "\"b\""));
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20", "tab:3 = 30");
}

/* S7.9: an owner that hit before the claim is still there when the update ends. */
static void owner_that_was_not_run_makes_the_claim_a_duplicate(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10 tab.2=20 | b: tab.3=30");
    update(NULL);
    plan("tab", "A: tab.1=10 tab.2=20 | b: tab.2=20 tab.3=30");
    update_fails(COCO_EFAIL, NULL);
    expect_actions(NULL);
    assert_int_equal(w.failures.n, 1);
    assert_non_null(strstr(w.failures.v[0], "COCO_EDUP"));
    assert_non_null(strstr(w.failures.v[0], "/\"A\""));
    assert_non_null(strstr(w.failures.v[0], "/\"b\""));
    plan("tab", "A: tab.1=10 | b: tab.2=20 tab.3=30");
    update(NULL);
    expect_actions(NULL);
}

static void expect_duplicate(const char *one, const char *other)
{
    size_t found = 0;

    for (size_t i = 0; i < w.failures.n; i++)
        found += strstr(w.failures.v[i], "COCO_EDUP") && strstr(w.failures.v[i], one) && strstr(w.failures.v[i],
                other);
    assert_int_equal(w.failures.n, 1);
    assert_int_equal(found, 1);
    assert_int_equal(w.result.nfailed, 1);
}

/* S7.9: in one round. */
static void two_components_that_declare_one_row_are_an_error_with_both_paths(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | b: tab.1=11");
    update_fails(COCO_EFAIL, NULL);
    expect_duplicate("/\"a\"", "/\"b\"");
    assert_int_equal(w.nshelf, 2);
}

/* S7.9: in two rounds: the first is written when the second declares. */
static void duplicate_in_a_later_round_is_an_error_with_both_paths(void **state)
{
    (void)state;
    plan("tab", "a&: tab.1=10 | b: tab.1=11");
    update_fails(COCO_EFAIL, NULL);
    expect_duplicate("/\"a\"", "/\"b\"");
    assert_int_equal(w.nshelf, 2);
}

/* S7.9: the row comes to be in a child between the parent's declaration and its precommit. */
static void duplicate_of_parent_and_used_child_loses_no_row(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | a/c&: tab.1=10");
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(w.nshelf, 2);
    expect_duplicate("/\"a\"", "/\"a\"/\"c\"");
    plan("tab", "x: tab.2=20"); /* whoever has it, it goes with its owner */
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 20");
}

/* S7.9: the parent keeps the row (no action, nothing else changed), and the child declares it too. */
static void child_that_declares_what_its_parent_keeps_is_a_duplicate(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=10 tab.2=20 | a/c: tab.2=20");
    update_fails(COCO_EFAIL, NULL);
    expect_duplicate("/\"a\"", "/\"a\"/\"c\"");
}

/* S7.9: also where the parent has something to write. */
static void child_that_declares_what_its_changing_parent_keeps_is_a_duplicate(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=11 tab.2=20 | a/c: tab.2=20");
    update_fails(COCO_EFAIL, NULL);
    expect_duplicate("/\"a\"", "/\"a\"/\"c\"");
}

static void child_that_declares_what_its_parent_changes_is_a_duplicate(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=10 tab.2=21 | a/c: tab.2=22");
    update_fails(COCO_EFAIL, NULL);
    expect_duplicate("/\"a\"", "/\"a\"/\"c\"");
    plan("tab", "a: tab.1=10 | a/c: tab.2=22");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 22");
}

/* S2.4 */
static void row_declared_twice_in_one_component_is_an_error(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20 tab.1=10");
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"a\" COCO_EDUP tab:1 is declared twice in one component");
    expect_shelf("shelf:\"tab\" = null");
    plan("tab", "a: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=10 tab.2=20 tab.1=10");
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"a\" COCO_EDUP tab:1 is declared twice in one component");
    plan("tab", "a: tab.1=11 tab.2=20 tab.1=11");
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"a\" COCO_EDUP tab:1 is declared twice in one component");
}

/* Regression: the new owner's sink failed; the row was lost or duplicated. */
static void ownership_move_survives_a_failing_sink(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20 | b: tab.3=30");
    update(NULL);
    plan("tab", "a: tab.1=10 | b: tab.2=21 tab.3=30");
    fault_on("tab:2", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"b\" COCO_EIO tab:2: refused");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20", "tab:3 = 30");
    faults_clear();
    update(NULL);
    expect_actions("~ tab:2");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 21", "tab:3 = 30");
    update(NULL);
    expect_actions(NULL);
    plan("tab", "a: tab.1=10 | b: tab.3=30");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:3 = 30");
}

/* S7.9: the old owner's own trouble is no duplicate. */
static void failing_old_owner_is_not_a_duplicate(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20 | b: tab.3=30");
    update(NULL);
    plan("tab", "a: tab.1=11 | b: tab.2=20 tab.3=30");
    fault_on("tab:1", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"a\" COCO_EIO tab:1: refused");
    faults_clear();
    update(NULL);
    expect_actions("~ tab:1");
}

static void tombstoned_owner_whose_delete_fails_is_not_a_duplicate(void **state)
{
    (void)state;
    plan("tab", "old: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "new: tab.2=20");
    fault_on("tab:1", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"old\" COCO_EIO tab:1: refused");
    faults_clear();
    update(NULL);
    expect_actions("- tab:1");
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 20");
}

/* S7.9, S7.4: the owner waits for its last try while another declares its row. */
static void row_of_a_component_set_aside_is_a_duplicate(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | z: tab.9=90");
    update(NULL);
    plan("tab", "a: tab.1=11 | u&: tab.5=50 | b: tab.1=12 | z: tab.9=90");
    fault_on("tab:1", 1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_duplicate("/\"a\"", "/\"b\"");
    assert_string_equal(shelf_find("tab:1")->value, "11");
    plan("tab", "a: tab.1=13 | u&: tab.5=50 | z: tab.9=90");
    update(NULL);
    assert_string_equal(shelf_find("tab:1")->value, "13");
}

/* S7.9, S3.11 */
static void partial_update_refuses_the_row_of_a_skipped_owner(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | b: tab.3=30");
    update(NULL);
    plan("tab", "a: tab.2=20 | b: tab.1=11 tab.3=30");
    update_fails(COCO_EFAIL, OPTS(.only = "/\"b\""));
    expect_duplicate("/\"a\"", "/\"b\"");
    expect_actions(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:3 = 30");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 20", "tab:3 = 30");
}

/* S7.9: a container moves with its content. */
static void container_moves_with_its_content(void **state)
{
    (void)state;
    plan("", "a: [tab] tab.1=10 | b: ");
    update(NULL);
    plan("", "a: | b: [tab] tab.1=10");
    update(NULL);
    expect_actions(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
    update(NULL);
    expect_actions(NULL);
    plan("", "a: | b: ");
    update(NULL);
    expect_shelf(NULL);
}

/* S7.9, S7.5: in the crate a container takes its content along; one that only moved doesn't. */
static void moved_crate_does_not_hide_the_deletes_in_it(void **state)
{
    (void)state;
    plan("", "a&: [#box] | r: box.1=10 | s: box.2=20");
    update(NULL);
    plan("", "a: | b&: [#box] | r: box.1=10");
    update(NULL);
    expect_actions("- box:2");
    expect_shelf("box:1 = 10", "crate:\"box\" = null");
}

/* S7.9: possibilities move along: what a crash or failure left open stays open. */
static void moved_row_keeps_its_possibilities(void **state)
{
    (void)state;
    plan("tab", "a: tab.2=20 | b: tab.3=30");
    update(NULL);
    plan("tab", "a: tab.2=21 | b: tab.3=30");
    fault_on("tab:2", -1, false);
    update_fails(COCO_EFAIL, NULL);
    faults_clear();
    plan("tab", "a: | b: tab.2=20 tab.3=30");
    update(NULL);
    expect_actions("~ tab:2"); /* 20 or 21: it isn't kept */
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 20", "tab:3 = 30");
}

/* S3.7, S7.11: who would have made it anew has failed, so it goes, and all that was recorded of its content. */
static void container_goes_although_its_next_owner_fails(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 [own+s1] own.7=7 | b: tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=10 | b: tab.2=20 [own+s2] own.7=8 !");
    update_fails(COCO_EFAIL, NULL);
    expect_actions("- own:7", "- shelf:\"own\"");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    expect_sound(__FILE__, __LINE__);
}

/* The same when that one failed first: until its precommit a container is made anew for nobody else. */
static void container_goes_although_its_next_owner_failed_before(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | b: tab.2=20 [own+s1] own.7=7");
    update(NULL);
    plan("tab", "a: tab.1=10 [own+s2] own.7=8 ! | b: tab.2=20");
    update_fails(COCO_EFAIL, NULL);
    expect_actions("- own:7", "- shelf:\"own\"");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    expect_sound(__FILE__, __LINE__);
}

/* S7.11: what was in the old container isn't deleted from the new one. The child runs when its parent has let go, which
 * is submitted when the child is through. */
static void container_made_anew_below_keeps_its_rows(void **state)
{
    (void)state;
    w.config.threads = 1;
    w.config.max_inflight = 3;
    plan("tab", "a: tab.1=10 [own+s1] own.7=7 | a/b: tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=10 | a/b: tab.2=20 [own+s2] own.7=8");
    update(NULL);
    expect_actions("~ shelf:\"own\"", "+ own:7");
    expect_shelf("own:7 = 8", "shelf:\"own\" = {\"schema\":2}", "shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    expect_sound(__FILE__, __LINE__);
}

/* S7.9: who ran in this update and let go need not run in the next. */
static void parent_whose_container_went_to_its_child_is_a_hit_next_time(void **state)
{
    (void)state;
    w.config.threads = 1;
    plan("tab", "A: tab.1=10 [own] own.7=7 | A/b: tab.2=20");
    update(NULL);
    plan("tab", "A: tab.1=10 | A/b: tab.2=20 [own] own.7=7");
    update(NULL);
    expect_actions(NULL);
    update(NULL);
    expect_ran("/", "/@shelf/\"tab\"");
}

/* S7.9: nor need who stands above one that let go. */
static void ancestor_of_who_let_go_of_a_container_is_a_hit_next_time(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10 | A/B: tab.2=20 [own] own.7=7 | C: tab.3=30");
    update(NULL);
    plan("tab", "A: tab.1=11 | A/B: tab.2=20 | C: tab.3=30 [own] own.7=7");
    update(NULL);
    expect_actions("~ tab:1");
    update(NULL);
    expect_ran("/", "/@shelf/\"tab\"");
}

/* S10.3: chance decides whether the owner is looked at before its row is taken, and not what is said of it. */
static void reason_of_an_owner_that_has_another_is_not_that_its_row_was_taken(void **state)
{
    (void)state;
    for (int used = 0; used < 2; used++) { /* then it is through before the next is looked at */
        plan("tab", used ? "A&: tab.1=10 | B: tab.2=20" : "A: tab.1=10 | B: tab.2=20");
        update(NULL);
        plan("tab", used ? "A&: tab.1=10 tab.2=20 | B: tab.3=30" : "A: tab.1=10 tab.2=20 | B: tab.3=30");
        update(NULL);
        expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/\"A\" input changed (argument words)",
                   "/\"B\" input changed (argument words)");
    }
}

/* The same of one that an update before left pending … */
static void reason_of_an_owner_that_was_pending_is_not_that_its_row_was_taken(void **state)
{
    (void)state;
    for (int used = 0; used < 2; used++) {
        plan("tab", used ? "A&: tab.1=10 | B: tab.2=20" : "A: tab.1=10 | B: tab.2=20");
        update(NULL);
        plan("tab", used ? "A&: tab.1=10 | B: tab.2=21" : "A: tab.1=10 | B: tab.2=21");
        fault_on("tab:2", -1, false);
        update_fails(COCO_EFAIL, NULL);
        faults_clear();
        plan("tab", used ? "A&: tab.1=10 tab.2=20 | B: tab.3=30" : "A: tab.1=10 tab.2=20 | B: tab.3=30");
        update(NULL);
        expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/\"A\" input changed (argument words)",
                   "/\"B\" pending");
        expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20", "tab:3 = 30");
        drop_all();
    }
}

/* … and of what stands above an owner: its memo doesn't stand for the row any more, when that was taken before. */
static void reason_of_what_stands_above_an_owner_is_not_that_its_row_was_taken(void **state)
{
    (void)state;
    for (int used = 0; used < 2; used++) {
        plan("tab", used ? "A&: tab.1=10 | C: tab.4=40 | C/B: tab.2=20" : "A: tab.1=10 | C: tab.4=40 | C/B: tab.2=20");
        update(NULL);
        plan("tab", used ? "A&: tab.1=10 tab.2=20 | C: tab.4=41 | C/B: tab.3=30"
                         : "A: tab.1=10 tab.2=20 | C: tab.4=41 | C/B: tab.3=30");
        update(NULL);
        expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/\"A\" input changed (argument words)",
                   "/\"C\" input changed (argument words)", "/\"C\"/\"B\" input changed (argument words)");
        drop_all();
    }
}

/* S7.4, S7.11 */
static void delete_that_is_tried_again_spares_a_container_made_anew(void **state)
{
    (void)state;
    w.config.max_inflight = 1;
    plan("tab", "a: tab.1=10 [own+s1] own.7=7 | b: tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=10 | b: tab.2=20 [own+s2] own.7=8");
    fault_on("own:7", 1, false);
    update(NULL);
    expect_actions("! own:7", "~ shelf:\"own\"", "+ own:7");
    expect_shelf("own:7 = 8", "shelf:\"own\" = {\"schema\":2}", "shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    expect_sound(__FILE__, __LINE__);
}

static void stop_now(void) { coco_app_stop(w.app); }

/* S7.9: what an owner let go of before a stop it doesn't let go of again; it may be taken all the same. */
static void container_let_go_before_a_stop_moves_in_the_next_update(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10 [own] own.7=7 | B: tab.2=20");
    update(NULL);
    plan("tab", "A: tab.1=11 | B: tab.2=20");
    w.before_apply = stop_now;
    update_fails(COCO_ESTOP, NULL);
    w.before_apply = NULL;
    plan("tab", "A: tab.1=11 | B: tab.2=20 [own] own.7=7");
    update(NULL);
    expect_actions("+ own:7");
    expect_shelf("own:7 = 7", "shelf:\"own\" = null", "shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 20");
    expect_sound(__FILE__, __LINE__);
    update(NULL);
    expect_ran("/", "/@shelf/\"tab\"");
}

static void save_the_database(void) { db_save(); }

/* S7.9, S11.4: a row was taken from a component that is gone. It is pending until its delete, and what stands above it
 * is not. */
static void crash_before_the_old_owner_is_deleted_leaves_a_sound_state(void **state)
{
    (void)state;
    plan("tab", "b: tab.1=10 | A: tab.2=20 | A/c: tab.5=50 tab.6=60");
    update(NULL);
    plan("tab", "b: tab.1=10 tab.5=50 | A: tab.2=21");
    w.before_apply = save_the_database; /* at last when only the delete is left */
    update(NULL);
    expect_actions("~ tab:2", "- tab:6");
    w.before_apply = NULL;
    db_crash();
    assert_int_equal(open_world(), COCO_OK);
    expect_sound(__FILE__, __LINE__);
}

COCO_FN(declares_its_value, (coco_value, item, coco_target *, tab))
{
    return coco_declare(cx, tab, coco_at(item, 1), coco_null());
}

static const char *listed;

COCO_FN(each_listed, ())
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    return coco_mount_each(cx, COCO_AUTO, &declares_its_value, items(cx, listed, true),
                           COCO_ARGS(coco_target_value(tab)));
}

/* S7.9: recorded children are read ahead; what one of them had when it was read may be another's since. */
static void owner_whose_record_was_read_before_the_move_lets_go(void **state)
{
    (void)state;
    program(&each_listed);
    w.config.max_inflight = 1;
    listed = "5=9";
    update(NULL);
    listed = "1=9 5=12";
    update(NULL);
    expect_actions("+ tab:12");
    expect_shelf("shelf:\"tab\" = null", "tab:12 = null", "tab:9 = null");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(row_moves_to_another_component_without_an_action),
        TEST(row_moves_with_a_new_value_as_an_update),
        TEST(claims_come_before_deletes),
        TEST(renamed_component_keeps_its_rows),
        TEST(tombstoned_owner_deletes_only_what_nobody_claimed),
        TEST(row_moves_from_a_component_to_its_child),
        TEST(row_moves_from_a_component_to_a_child_it_uses),
        TEST(row_moves_from_a_child_to_its_parent),
        TEST(container_moves_from_a_child_to_its_parent),
        TEST(memoized_owner_runs_again_when_its_row_was_taken),
        TEST(owner_that_was_not_run_makes_the_claim_a_duplicate),
        TEST(two_components_that_declare_one_row_are_an_error_with_both_paths),
        TEST(duplicate_in_a_later_round_is_an_error_with_both_paths),
        TEST(duplicate_of_parent_and_used_child_loses_no_row),
        TEST(child_that_declares_what_its_parent_keeps_is_a_duplicate),
        TEST(child_that_declares_what_its_changing_parent_keeps_is_a_duplicate),
        TEST(child_that_declares_what_its_parent_changes_is_a_duplicate),
        TEST(row_declared_twice_in_one_component_is_an_error),
        TEST(ownership_move_survives_a_failing_sink),
        TEST(failing_old_owner_is_not_a_duplicate),
        TEST(tombstoned_owner_whose_delete_fails_is_not_a_duplicate),
        TEST(row_of_a_component_set_aside_is_a_duplicate),
        TEST(partial_update_refuses_the_row_of_a_skipped_owner),
        TEST(container_moves_with_its_content),
        TEST(container_let_go_before_a_stop_moves_in_the_next_update),
        TEST(crash_before_the_old_owner_is_deleted_leaves_a_sound_state),
        TEST(container_goes_although_its_next_owner_fails),
        TEST(container_goes_although_its_next_owner_failed_before),
        TEST(container_made_anew_below_keeps_its_rows),
        TEST(parent_whose_container_went_to_its_child_is_a_hit_next_time),
        TEST(ancestor_of_who_let_go_of_a_container_is_a_hit_next_time),
        TEST(reason_of_an_owner_that_has_another_is_not_that_its_row_was_taken),
        TEST(reason_of_an_owner_that_was_pending_is_not_that_its_row_was_taken),
        TEST(reason_of_what_stands_above_an_owner_is_not_that_its_row_was_taken),
        TEST(delete_that_is_tried_again_spares_a_container_made_anew),
        TEST(owner_whose_record_was_read_before_the_move_lets_go),
        TEST(moved_crate_does_not_hide_the_deletes_in_it),
        TEST(moved_row_keeps_its_possibilities),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
