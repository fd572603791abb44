/* Crashes (S7.3, S11.1): a child process dies at every point of an update in turn: at each decision of the engine,
 * before and after each action of a sink, before each write and sync of the store, before and after each commit. Whatever it
 * left, the next update gives what an undisturbed one gives, also where the sources have gone back to what they were
 * meanwhile; the one after it has nothing to do, and a drop leaves nothing behind. */
#include "scenarios.h"

#define DIES(name, ...) \
    static void name##_survives_a_crash_anywhere(void **state) \
    { \
        (void)state; \
        scenario_sweep(&(const scenario){ __VA_ARGS__ }, FAULT_DEATH); \
    }
SCENARIOS(DIES)

static void dropping_survives_a_crash_anywhere(void **state)
{
    (void)state;
    scenario_drop_sweep(&(const scenario){ "tab #box tab/sub",
            "a: tab.1=10 box.1=1 | B: tab.2=20 tab/sub.5=50 | a/c: tab.3=30 [own] own.1=1", NULL, NULL }, FAULT_DEATH);
}

/* Dies at the n-th point of the update that `act` is; the shelf is as it left it. */
static void die_at(coco_status (*act)(void), long n)
{
    static sweep dying = { .save = scenario_save, .load = scenario_load };

    dying.act = act;
    gate_arm(FAULT_DEATH, n, 0);
    sweep_acts(&dying, FAULT_DEATH);
    if (gate->fired) swept[FAULT_DEATH]++;
}

/* S7.3: two crashes one after the other. */
static void second_crash_in_the_recovery_is_survived_too(void **state)
{
    const scenario first = { "tab", "a: tab.1=10 tab.2=20 | B: tab.3=30", "tab",
                             "a: tab.1=11 tab.3=31 | B: tab.2=21" };
    /* the sources changed in between */
    const scenario again = { first.tables, first.text, "tab", "a: tab.2=12 tab.3=32 | B: tab.1=22" };
    char *want, *is;

    (void)state;
    scenario_begins(&first);
    playing = &again;
    scenario_before();
    assert_int_equal(scenario_act(), COCO_OK);
    want = shelf_text();
    restart();
    for (int n = 1; n < 40; n += 3)
        for (int m = 1; m < 40; m += 3) {
            scenario_before();
            playing = &first;
            die_at(scenario_act, n);
            playing = &again;
            die_at(scenario_act, m);
            assert_int_equal(scenario_act(), COCO_OK);
            is = shelf_text();
            assert_string_equal(is, want);
            free(is);
            update(NULL);
            expect_actions(NULL);
            restart();
        }
    free(want);
}

#define DEATH_TEST(name, ...) SCENARIO_TEST(name##_survives_a_crash_anywhere),

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SCENARIOS(DEATH_TEST)
        SCENARIO_TEST(dropping_survives_a_crash_anywhere),
        SCENARIO_TEST(second_crash_in_the_recovery_is_survived_too),
    };

    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one test, or those of a pattern */
    return cmocka_run_group_tests(tests, NULL, sweep_counts);
}
