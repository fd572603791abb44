/* Whatever may fail in an update, a preview or a drop fails, call after call (S9, S11.1): allocations, calls of LMDB
 * with each of their errors, system calls of the store, actions and batches of a sink, once and for good. What
 * sweep.h says holds each time. */
#include "scenarios.h"

#define FAILS(name, ...) \
    static void name##_survives_any_failing_store_call(void **state) \
    { \
        (void)state; \
        scenario_sweep(&(const scenario){ __VA_ARGS__ }, FAULT_STORE); \
    } \
    static void name##_survives_any_failing_allocation(void **state) \
    { \
        (void)state; \
        scenario_sweep(&(const scenario){ __VA_ARGS__ }, FAULT_MEMORY); \
    } \
    static void name##_survives_any_failing_action(void **state) \
    { \
        (void)state; \
        scenario_sweep(&(const scenario){ __VA_ARGS__ }, FAULT_SINK); \
    } \
    static void name##_survives_any_failing_system_call(void **state) \
    { \
        (void)state; \
        scenario_sweep(&(const scenario){ __VA_ARGS__ }, FAULT_SYSTEM); \
    }
SCENARIOS(FAILS)

static const scenario several = { "tab+l1 #box", "a: tab.1=10 tab.2=20 | B: tab.3=30 box.1=1 | c: [own] tab.4=40",
                                  "tab+l2 tab/sub", "a: tab.1=11 | B: tab.2=20 tab/sub.3=30 | B/x: [own] own.1=*1" };

static void preview_survives_any_failing_store_call(void **state)
{
    (void)state;
    scenario_preview_sweep(&several, FAULT_STORE);
}

static void preview_survives_any_failing_allocation(void **state)
{
    (void)state;
    scenario_preview_sweep(&several, FAULT_MEMORY);
}

static void drop_survives_any_failing_store_call(void **state)
{
    (void)state;
    scenario_drop_sweep(&several, FAULT_STORE);
}

static void drop_survives_any_failing_allocation(void **state)
{
    (void)state;
    scenario_drop_sweep(&several, FAULT_MEMORY);
}

static void drop_survives_any_failing_action(void **state)
{
    (void)state;
    scenario_drop_sweep(&several, FAULT_SINK);
}

#define FAULT_TESTS(name, ...) \
    SCENARIO_TEST(name##_survives_any_failing_store_call), SCENARIO_TEST(name##_survives_any_failing_allocation), \
        SCENARIO_TEST(name##_survives_any_failing_action), SCENARIO_TEST(name##_survives_any_failing_system_call),

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SCENARIOS(FAULT_TESTS)
        SCENARIO_TEST(preview_survives_any_failing_store_call),
        SCENARIO_TEST(preview_survives_any_failing_allocation),
        SCENARIO_TEST(drop_survives_any_failing_store_call),
        SCENARIO_TEST(drop_survives_any_failing_allocation),
        SCENARIO_TEST(drop_survives_any_failing_action),
    };

    if (argc > 1) cmocka_set_test_filter(argv[1]); /* one test, or those of a pattern */
    return cmocka_run_group_tests(tests, NULL, sweep_counts);
}
