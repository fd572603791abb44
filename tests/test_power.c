/* A power cut (S11.1): what the disk holds then is not what the process wrote. power.h says which disks are made of one
 * update. The shelf is as the last action left it: what is outside has no power cut of its own here; that of files is
 * test_power_files.c's. */
#include "scenarios.h"

#include "power.h"

static char *file_text(const char *path)
{
    static char text[1 << 16];
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return strdup(text);
}

static void record(const char *call, int fd, const struct iovec *v, int n, long long at)
{
    power_record(call, fd, v, n, at);
}

static coco_status recorded_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    for (size_t i = 0; i < n; i++) {
        COCO_TRY(shelf_apply(self, &actions[i], 1, err));
        shelf_save(shelf_path);
        deed_add((deed){ .kind = OUTSIDE, .what = file_text(shelf_path) });
    }
    return COCO_OK;
}

static void shelf_then(size_t until, const bool *lost)
{
    FILE *shelf;

    (void)lost;
    shelf_load(before_path);
    while (until && deeds[until - 1].kind != OUTSIDE) until--;
    if (!until) return;
    assert_non_null(shelf = fopen(shelf_path, "w"));
    fputs(deeds[until - 1].what, shelf);
    fclose(shelf);
    shelf_load(shelf_path);
}

static void every_power_cut_recovers(const scenario *s)
{
    static const sweep any = { .before = scenario_before, .act = scenario_act, .back = scenario_back,
                               .look = shelf_text };
    power p = { .act = scenario_act, .back = scenario_back, .look = shelf_text, .outside = shelf_then };

    scenario_begins(s);
    sweep_wants(&any, p.want);
    scenario_before();
    shelf_sink.apply = recorded_apply;
    gate_watch = record;
    assert_int_equal(scenario_act(), COCO_OK);
    gate_watch = NULL;
    restart();
    shelf_sink.apply = failing_apply;
    power_cuts(&p);
}

#define CUTS(name, ...) \
    static void name##_survives_a_power_cut(void **state) \
    { \
        (void)state; \
        every_power_cut_recovers(&(const scenario){ __VA_ARGS__ }); \
    }
SCENARIOS(CUTS)

#define CUT_TEST(name, ...) SCENARIO_TEST(name##_survives_a_power_cut),

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { SCENARIOS(CUT_TEST) };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, say_disks);
}
