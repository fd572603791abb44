/* Existence (S7.13): each container that the system manages is asked for once a run; one that was lost is made anew
 * and refilled by a plain update; one that was changed is set right; what can't be told fails who asks, and is never
 * taken for "no". */
#include "plan.h"

/* ---- A program with an expensive function: it declares nothing, and its result goes into a row ---- */

static int calls;
static int64_t nitems;

COCO_FN(costly, (int64_t, n), .memo = true)
{
    __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    return coco_return(cx, coco_int(n * 10));
}

COCO_FN(item, (int64_t, n, coco_value, tab), .memo = true)
{
    coco_value v;

    COCO_TRY(coco_call(cx, &costly, COCO_ARGS(coco_int(n)), &v));
    return coco_declare(cx, coco_object_of(tab, &coco_target_class), coco_int(n), v);
}

COCO_FN(items_main, ())
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    for (int64_t i = 1; i <= nitems; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &item, COCO_ARGS(coco_int(i), coco_target_value(tab)), NULL));
    return COCO_OK;
}

static void items_program(int64_t n)
{
    calls = 0;
    nitems = n;
    program(&items_main);
}

/* S7.13 */
static void container_is_asked_for_once_a_run_however_many_depend_on_it(void **state)
{
    (void)state;
    items_program(50);
    update(NULL);
    expect_asked(NULL);
    expect_nothing_written();
    expect_asked("shelf:\"tab\"");
    restart();
    expect_nothing_written();
    expect_asked("shelf:\"tab\"");
    expect_ran("/", "/@shelf/\"tab\"");
}

/* S7.13: by a plain update, "calling the memoized expensive functions not once more" */
static void lost_container_is_refilled_without_calling_expensive_functions_again(void **state)
{
    (void)state;
    items_program(3);
    update(NULL);
    assert_int_equal(calls, 3);
    shelf_lose("shelf:\"tab\"");
    expect_shelf(NULL);
    update(NULL);
    expect_asked("shelf:\"tab\"");
    expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/1 target is missing (target tab)",
               "/2 target is missing (target tab)", "/3 target is missing (target tab)");
    expect_actions("+ shelf:\"tab\"", "+ tab:1", "+ tab:2", "+ tab:3");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20", "tab:3 = 30");
    assert_int_equal(calls, 3);
    expect_nothing_written();
    assert_int_equal(calls, 3);
}

/* S7.13: at the first memo check that depends on it */
static void container_behind_a_memo_is_asked_for_by_the_memo(void **state)
{
    (void)state;
    plan("", "A: [own] own.1=10 own.2=20");
    update(NULL);
    expect_nothing_written();
    expect_asked("shelf:\"own\"");
    expect_ran("/");
    restart();
    shelf_lose("shelf:\"own\"");
    update(NULL);
    expect_asked("shelf:\"own\"");
    expect_why("/ not memoized", "/\"A\" target is missing (target own)");
    expect_actions("+ shelf:\"own\"", "+ own:1", "+ own:2");
    expect_nothing_written();
}

COCO_FN(fill, (coco_value, tab), .memo = true)
{
    calls++;
    return coco_declare(cx, coco_object_of(tab, &coco_target_class), coco_int(1), coco_int(10));
}

COCO_FN(call_main, ())
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    return coco_call(cx, &fill, COCO_ARGS(coco_target_value(tab)), NULL);
}

/* S7.13, S6.2: a stored call that declared into it runs again, and only then */
static void function_memo_that_declared_into_a_lost_container_misses(void **state)
{
    (void)state;
    program(&call_main);
    calls = 0;
    update(NULL);
    expect_nothing_written();
    assert_int_equal(calls, 1);
    shelf_lose("shelf:\"tab\"");
    update(NULL);
    assert_int_equal(calls, 2);
    expect_events("call miss", "/ fill target is missing (target tab)");
    expect_actions("+ shelf:\"tab\"", "+ tab:1");
    expect_nothing_written();
    assert_int_equal(calls, 2);
}

/* S7.6, S7.13: only what depends on the lost one runs */
static void content_of_other_containers_is_left_alone(void **state)
{
    (void)state;
    plan("tab box", "A: tab.1=10 | B: box.1=20");
    update(NULL);
    shelf_lose("shelf:\"tab\"");
    update(NULL);
    expect_asked("shelf:\"tab\"", "shelf:\"box\"");
    expect_ran("/", "/@shelf/\"tab\"", "/@shelf/\"box\"", "/\"A\"");
    expect_actions("+ shelf:\"tab\"", "+ tab:1");
}

/* S7.13: what stands in a missing container is missing, and isn't asked for */
static void container_in_a_lost_one_is_lost_too(void **state)
{
    (void)state;
    plan("tab tab/sub", "A: tab.1=10 | B: tab/sub.2=20");
    update(NULL);
    expect_nothing_written();
    expect_asked("shelf:\"tab\"", "tab:\"sub\"");
    shelf_lose("shelf:\"tab\"");
    expect_shelf(NULL);
    update(NULL);
    expect_asked("shelf:\"tab\"");
    expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/@shelf/[\"tab\",\"sub\"] not memoized",
               "/\"A\" target is missing (target tab)", "/\"B\" target schema changed (target tab/sub)");
    expect_shelf("shelf:\"tab\" = null", "tab/sub:2 = 20", "tab:\"sub\" = null", "tab:1 = 10");
    expect_nothing_written();
}

/* S7.13 */
static void lost_inner_container_leaves_the_outer_one_alone(void **state)
{
    (void)state;
    plan("tab tab/sub", "A: tab.1=10 | B: tab/sub.2=20");
    update(NULL);
    shelf_lose("tab:\"sub\"");
    update(NULL);
    expect_asked("shelf:\"tab\"", "tab:\"sub\"");
    expect_ran("/", "/@shelf/\"tab\"", "/@shelf/[\"tab\",\"sub\"]", "/\"B\"");
    expect_actions("+ tab:\"sub\"", "+ tab/sub:2");
}

/* S7.8, S7.13: an attachment belongs to its container */
static void attachments_of_a_lost_container_are_made_again(void **state)
{
    (void)state;
    plan("tab", "A: tab@index.1=5 | B: tab.1=10");
    update(NULL);
    expect_nothing_written();
    expect_asked("shelf:\"tab\"");
    shelf_lose("shelf:\"tab\"");
    update(NULL);
    expect_asked("shelf:\"tab\"");
    expect_actions("+ shelf:\"tab\"", "+ tab/index:1", "+ tab:1");
    expect_nothing_written();
}

/* S7.13, S7.11: what is no longer declared in a lost container is dropped without an action */
static void rows_of_a_lost_container_that_are_gone_need_no_delete(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10 tab.2=20 | B: tab.3=30");
    update(NULL);
    shelf_lose("shelf:\"tab\"");
    plan("tab", "A: tab.1=10");
    update(NULL);
    expect_actions("+ shelf:\"tab\"", "+ tab:1");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
    expect_nothing_written();
}

/* S7.13, S7.11: nor does a lost container that is no longer declared need a new one */
static void lost_container_that_is_no_longer_declared_is_not_made(void **state)
{
    (void)state;
    plan("tab box", "A: tab.1=10 | B: box.1=10");
    update(NULL);
    shelf_lose("shelf:\"tab\"");
    plan("box", "B: box.1=10");
    update(NULL);
    expect_shelf("box:1 = 10", "shelf:\"box\" = null");
    expect_nothing_written();
    shelf_lose("shelf:\"box\"");
    drop_all();
    expect_shelf(NULL);
}

/* S7.7 */
static void container_that_the_user_manages_is_not_asked_for(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10");
    update(NULL);
    plan("tab+m", "A: tab.1=10");
    update(NULL);
    expect_nothing_written();
    expect_asked(NULL);
    plan("tab", "A: tab.1=10");
    update(NULL);
    expect_nothing_written();
    expect_asked("shelf:\"tab\"");
}

/* ---- What can't be told ---- */

/* S7.13: at the declaration */
static void error_of_exists_fails_the_component_that_declares(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10");
    update(NULL);
    w.unsure = "shelf:\"tab\"";
    update_fails(COCO_EIO, NULL);
    expect_failures("/ COCO_EIO can't tell whether target tab exists: the shelf is out of sight");
    expect_asked("shelf:\"tab\"");
    expect_actions(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
    w.unsure = NULL;
    update(NULL);
    expect_ran("/", "/@shelf/\"tab\"");
    expect_actions(NULL);
    expect_nothing_written();
}

/* S7.13: at a memo check; asked once, each that depends on it fails by itself, the others go on */
static void error_of_exists_fails_each_memo_that_asks_and_nothing_else(void **state)
{
    (void)state;
    plan("box", "A: [own] own.1=10 | B: box.1=20");
    update(NULL);
    w.unsure = "shelf:\"own\"";
    plan("box", "A: [own] own.1=10 | B: box.1=21");
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"A\" COCO_EIO can't tell whether target own exists: the shelf is out of sight");
    expect_actions("~ box:1");
    w.unsure = NULL;
    update(NULL);
    expect_hits("/\"A\"", "/\"B\"");
    expect_actions(NULL);
}

/* ---- Shapes: what is really there ---- */

/* S7.13, S7.2: another shape counts beside what is recorded; content that is kept is not run again */
static void altered_container_is_set_right_and_its_content_kept(void **state)
{
    (void)state;
    w.shapes = true;
    items_program(2);
    update(NULL);
    expect_nothing_written();
    shelf_alter("shelf:\"tab\"", coco_int(7), "7");
    update(NULL);
    expect_actions("~ shelf:\"tab\"");
    expect_hits("/1", "/2");
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    expect_nothing_written();
    expect_asked("shelf:\"tab\"");
}

/* S7.6, S7.13 */
static void container_altered_destructively_is_refilled(void **state)
{
    (void)state;
    w.shapes = true;
    items_program(2);
    update(NULL);
    shelf_alter("shelf:\"tab\"", MAP1("schema", coco_int(7)), "other");
    update(NULL);
    expect_actions("~ shelf:\"tab\"", "+ tab:1", "+ tab:2");
    assert_int_equal(calls, 2);
    expect_nothing_written();
}

/* S7.6, S7.13 */
static void container_altered_with_a_loss_gets_its_rows_again(void **state)
{
    (void)state;
    w.shapes = true;
    items_program(2);
    update(NULL);
    shelf_alter("shelf:\"tab\"", MAP1("lossy", coco_int(7)), "other");
    update(NULL);
    expect_actions("~ shelf:\"tab\"", "~ tab:1", "~ tab:2");
    expect_nothing_written();
}

/* S7.13: the memo that declared it is the first to see it */
static void altered_container_behind_a_memo_is_set_right(void **state)
{
    (void)state;
    w.shapes = true;
    plan("", "A: [own] own.1=10");
    update(NULL);
    shelf_alter("shelf:\"own\"", coco_int(7), "7");
    update(NULL);
    expect_why("/ not memoized", "/\"A\" target schema changed (target own)");
    expect_actions("~ shelf:\"own\"");
    expect_nothing_written();
}

/* ---- Other ways to update ---- */

/* S7.12 */
static void preview_tells_that_a_lost_container_would_be_refilled(void **state)
{
    uint8_t before[16], after[16];

    (void)state;
    items_program(2);
    update(NULL);
    shelf_lose("shelf:\"tab\"");
    db_print(before);
    update(OPTS(.preview = true));
    db_print(after);
    assert_memory_equal(before, after, 16);
    expect_asked("shelf:\"tab\"");
    expect_actions(NULL);
    assert_int_equal(w.result.inserts, 3);
    assert_int_equal(w.result.updates + w.result.deletes, 0);
    update(NULL);
    expect_actions("+ shelf:\"tab\"", "+ tab:1", "+ tab:2");
}

/* S6.6 */
static void full_reprocess_makes_a_lost_container(void **state)
{
    (void)state;
    items_program(2);
    update(NULL);
    shelf_lose("shelf:\"tab\"");
    update(OPTS(.full_reprocess = true));
    expect_actions("+ shelf:\"tab\"", "+ tab:1", "+ tab:2");
    expect_nothing_written();
}

/* S9: what --only doesn't look at is refilled by the next whole update */
static void partial_update_makes_a_lost_container_and_the_next_fills_it(void **state)
{
    (void)state;
    items_program(3);
    update(NULL);
    shelf_lose("shelf:\"tab\"");
    update(OPTS(.only = "/2"));
    expect_actions("+ shelf:\"tab\"", "+ tab:2");
    update(NULL);
    expect_asked("shelf:\"tab\"");
    expect_actions("+ tab:1", "+ tab:3");
    expect_nothing_written();
}

static coco_target *above;

COCO_FN(below, ()) { return coco_declare(cx, above, coco_int(1), coco_int(10)); }
COCO_FN(middle, ())
{
    COCO_TRY(coco_declare_container(cx, root(cx), coco_text("tab"), coco_null(), NULL, &above));
    COCO_TRY(coco_declare(cx, above, coco_int(2), coco_int(20)));
    coco_target *sub;
    COCO_TRY(coco_declare_container(cx, above, coco_text("sub"), coco_null(), NULL, &sub));
    return coco_declare(cx, sub, coco_int(3), coco_int(30));
}
static bool with_below;
COCO_FN(above_main, ())
{
    COCO_TRY(coco_use_mount(cx, COCO_PATH(coco_text("m")), &middle, COCO_NOARGS, NULL));
    return with_below ? coco_mount(cx, COCO_PATH(coco_text("b")), &below, COCO_NOARGS, NULL) : COCO_OK;
}

/* S7.13, S7.9: the rows of a lost container move to nobody */
static void lost_container_declared_without_a_mount_is_made_with_all_in_it(void **state)
{
    (void)state;
    with_below = true;
    program(&above_main);
    update(NULL);
    expect_nothing_written();
    shelf_lose("shelf:\"tab\"");
    update(NULL);
    expect_asked("shelf:\"tab\"");
    expect_shelf("shelf:\"tab\" = null", "tab/sub:3 = 30", "tab:\"sub\" = null", "tab:1 = 10", "tab:2 = 20");
    expect_nothing_written();
}

COCO_FN(outer_main, ())
{
    coco_target *sub;

    COCO_TRY(coco_declare_container(cx, root(cx), coco_text("tab"), coco_null(), NULL, &above));
    COCO_TRY(coco_declare_container(cx, above, coco_text("sub"), coco_null(), NULL, &sub));
    COCO_TRY(coco_declare(cx, above, coco_int(2), coco_int(20)));
    return with_below ? coco_mount(cx, COCO_PATH(coco_text("b")), &below, COCO_NOARGS, NULL) : COCO_OK;
}

/* S7.13, --only: were a row put into what its maker doesn't make again, the rest would never come back */
static void partial_update_refuses_a_row_in_a_lost_container_that_it_does_not_make(void **state)
{
    (void)state;
    with_below = false;
    program(&outer_main);
    update(NULL);
    shelf_lose("shelf:\"tab\"");
    with_below = true;
    update_fails(COCO_EFAIL, OPTS(.only = "/\"b\""));
    expect_failures("/\"b\" COCO_ENOTFOUND target tab is missing, and what declares it is no part of this update");
    expect_asked("shelf:\"tab\"");
    expect_actions(NULL);
    with_below = false;
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:\"sub\" = null", "tab:2 = 20");
}

/* ---- Crashes, failures and moves ---- */

/* S7.3, S7.13: lost after the action, before the commit */
static void container_lost_in_flight_is_made_anew(void **state)
{
    (void)state;
    items_program(2);
    w.before_apply = db_save;
    update(NULL);
    w.before_apply = NULL;
    db_crash();
    shelf_lose("shelf:\"tab\"");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    expect_nothing_written();
}

/* S7.3: an update that was to refill it died on the way */
static void refill_that_was_cut_short_is_finished_by_the_next_update(void **state)
{
    (void)state;
    items_program(2);
    update(NULL);
    shelf_lose("shelf:\"tab\"");
    w.before_apply = db_save;
    update(NULL);
    w.before_apply = NULL;
    db_crash();
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    expect_nothing_written();
    assert_int_equal(calls, 2);
}

/* S7.10: a lost container that can't be made is asked for, and made, again */
static void failed_remake_is_tried_again(void **state)
{
    (void)state;
    items_program(2);
    update(NULL);
    shelf_lose("shelf:\"tab\"");
    fault_on("shelf:\"tab\"", -1, false);
    update_fails(COCO_EIO, NULL);
    expect_shelf(NULL);
    faults_clear();
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    expect_nothing_written();
    assert_int_equal(calls, 2);
}

/* S7.9, S7.13 */
static void lost_container_that_moves_is_made_by_its_new_owner(void **state)
{
    (void)state;
    plan("", "a: [own] own.1=10");
    update(NULL);
    shelf_lose("shelf:\"own\"");
    plan("", "b: [own] own.1=10");
    update(NULL);
    expect_actions("+ shelf:\"own\"", "+ own:1");
    expect_shelf("own:1 = 10", "shelf:\"own\" = null");
    expect_nothing_written();
}

/* S7.9, S7.13 */
static void altered_container_that_moves_is_set_right_by_its_new_owner(void **state)
{
    (void)state;
    w.shapes = true;
    plan("", "a: [own] own.1=10");
    update(NULL);
    shelf_alter("shelf:\"own\"", coco_int(7), "7");
    plan("", "b: [own] own.1=10");
    update(NULL);
    expect_actions("~ shelf:\"own\"");
    expect_shelf("own:1 = 10", "shelf:\"own\" = null");
    expect_nothing_written();
}

/* S7.7: who takes a lost container over answers for it */
static void lost_container_given_to_the_user_is_not_made(void **state)
{
    (void)state;
    plan("", "a: [own] own.1=10");
    update(NULL);
    shelf_lose("shelf:\"own\"");
    plan("own+m", "");
    update(NULL);
    expect_shelf(NULL);
}

/* S7.13: out of memory at any moment of the asking and the refill is an error, and the next update converges */
static void refill_survives_any_failing_allocation(void **state)
{
    (void)state;
    items_program(2);
    update(NULL);
    for (long n = 1;; n++) {
        if (shelf_find("shelf:\"tab\"")) shelf_lose("shelf:\"tab\"");
        restart();
        w.calls = 0;
        w.fail_at = n;
        try_update(NULL);
        bool reached = w.calls >= n;
        w.fail_at = 0;
        if (!reached) break;
        update(NULL);
        expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    }
    assert_int_equal(w.rc, COCO_OK);
    assert_int_equal(calls, 2);
}

/* ---- Random losses, changes, crashes and failures; what is there in the end is what is declared ---- */

static uint64_t seed;

static unsigned roll(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

static const char *const containers[] = { "shelf:\"tab\"", "tab:\"sub\"", "shelf:\"own\"", "crate:\"box\"" };

/* One thing that goes wrong behind the engine's back. */
static void meddle(void)
{
    const char *name = containers[roll(4)];

    if (!shelf_find(name)) return;
    if (roll(2)) shelf_lose(name);
    else if (w.shapes) shelf_alter(name, MAP1("schema", coco_int(2 + roll(7))), "meddled with");
}

static void update_somehow(void)
{
    bool dies = roll(3) == 0;

    if (roll(3) == 0) fault_on(containers[roll(4)], 1, false);
    if (dies) w.before_apply = db_save;
    try_update(NULL);
    dies &= w.batches > 0;
    w.before_apply = NULL;
    if (dies) db_crash();
    faults_clear();
}

static void random_losses(uint64_t s)
{
    char tables[60], tab[60], sub[60];

    seed = s;
    for (int step = 0; step < 40; step++) {
        unsigned a = roll(2), b = roll(2);
        snprintf(tables, sizeof tables, "tab+s%u tab/sub+l%u #box", a, b);
        snprintf(tab, sizeof tab, "shelf:\"tab\" = {\"schema\":%u}", a);
        snprintf(sub, sizeof sub, "tab:\"sub\" = {\"lossy\":%u}", b);
        plan(tables, "A: tab.1=10 tab@index.1=5 | b: tab.2=20 | C: tab/sub.3=30 | D: [own] own.4=40 | E: box.5=50");
        for (unsigned i = roll(3); i > 0; i--) meddle();
        update_somehow();
        for (unsigned i = roll(2); i > 0; i--) meddle();
        if (roll(2)) restart();
        update(NULL);
        expect_shelf("box:5 = 50", "crate:\"box\" = null", "own:4 = 40", "shelf:\"own\" = null", tab,
                     "tab/index:1 = 5", "tab/sub:3 = 30", sub, "tab:1 = 10", "tab:2 = 20");
        expect_nothing_written();
    }
}

/* S7.13 in any order with S7.3, S7.6 and S7.10 */
static void whatever_is_lost_when_comes_back(void **state)
{
    const char *only = getenv("SEED");

    for (uint64_t s = only ? (uint64_t)atoll(only) : 1; s <= (only ? (uint64_t)atoll(only) : 8); s++) {
        print_message("SEED=%llu\n", (unsigned long long)s);
        w.shapes = s % 2;
        random_losses(s);
        world_end(state);
        world_begin(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(container_is_asked_for_once_a_run_however_many_depend_on_it),
        TEST(lost_container_is_refilled_without_calling_expensive_functions_again),
        TEST(container_behind_a_memo_is_asked_for_by_the_memo),
        TEST(function_memo_that_declared_into_a_lost_container_misses),
        TEST(content_of_other_containers_is_left_alone),
        TEST(container_in_a_lost_one_is_lost_too),
        TEST(lost_inner_container_leaves_the_outer_one_alone),
        TEST(attachments_of_a_lost_container_are_made_again),
        TEST(rows_of_a_lost_container_that_are_gone_need_no_delete),
        TEST(lost_container_that_is_no_longer_declared_is_not_made),
        TEST(container_that_the_user_manages_is_not_asked_for),
        TEST(error_of_exists_fails_the_component_that_declares),
        TEST(error_of_exists_fails_each_memo_that_asks_and_nothing_else),
        TEST(altered_container_is_set_right_and_its_content_kept),
        TEST(container_altered_destructively_is_refilled),
        TEST(container_altered_with_a_loss_gets_its_rows_again),
        TEST(altered_container_behind_a_memo_is_set_right),
        TEST(preview_tells_that_a_lost_container_would_be_refilled),
        TEST(full_reprocess_makes_a_lost_container),
        TEST(partial_update_makes_a_lost_container_and_the_next_fills_it),
        TEST(lost_container_declared_without_a_mount_is_made_with_all_in_it),
        TEST(partial_update_refuses_a_row_in_a_lost_container_that_it_does_not_make),
        TEST(container_lost_in_flight_is_made_anew),
        TEST(refill_that_was_cut_short_is_finished_by_the_next_update),
        TEST(failed_remake_is_tried_again),
        TEST(lost_container_that_moves_is_made_by_its_new_owner),
        TEST(altered_container_that_moves_is_set_right_by_its_new_owner),
        TEST(lost_container_given_to_the_user_is_not_made),
        TEST(refill_survives_any_failing_allocation),
        TEST(whatever_is_lost_when_comes_back),
    };

    return cmocka_run_group_tests_name("existence", tests, NULL, NULL);
}
