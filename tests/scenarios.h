/* scenarios.h - updates for whatever may happen in them: what there was before, and what comes after. Each scenario is
 * a sweep (sweep.h) over the shelf; SCENARIOS(X) gives X(NAME, tables, text, tables after, text after), as of plan.h.
 *
 *     #define DIES(name, ...) static void name##_survives_a_crash_anywhere(void **state) { scenario_sweep(…); }
 *     SCENARIOS(DIES) */
#ifndef COCO_TEST_SCENARIOS_H
#define COCO_TEST_SCENARIOS_H

#include "sweep.h"

#include "plan.h"

#define SCENARIOS(X) \
    X(first_update, "", "", "tab #box tab/sub", "a: tab.1=10 box.1=1 | B: tab.2=20 tab/sub.5=50 | a/c: tab.3=30") \
    X(change_of_rows, "tab", "a: tab.1=10 tab.2=20 | B: tab.3=30 tab.4=40 | C: tab.6=60", "tab", \
      "a: tab.1=11 tab.5=50 | B: tab.3=31 tab.4=40 | C: tab.6=60") \
    X(move_of_rows, "tab", "a: tab.1=10 tab.2=20 | B: tab.3=30 tab.4=40 | C: tab.6=60", "tab", \
      "a: tab.1=10 tab.3=30 | B: tab.2=21 tab.4=40 | C: tab.6=60 tab.7=70") \
    X(move_to_a_child, "tab", "A: tab.1=10 tab.2=20 tab.3=30", "tab", "A: tab.1=10 | A/C: tab.2=20 | A/d&: tab.3=31") \
    X(renaming_of_components, "tab", "a: tab.1=10 | a/B: tab.2=20 tab.3=30", "tab", \
      "z: tab.1=10 | z/B: tab.2=20 tab.9=90") \
    X(rebuilt_table, "tab+s1 tab/sub", "A: tab.1=10 tab.2=20 | B: tab/sub.1=10 tab@index.1=1", "tab+s2 tab/sub", \
      "A: tab.1=10 tab.2=20 | B: tab/sub.1=10 tab@index.1=1") \
    X(lossy_change, "tab+l1", "A: tab.1=10 tab.2=20 | b: tab.3=30", "tab+l2", "A: tab.1=10 tab.2=20 | b: tab.3=31") \
    X(deletion, "tab #box #box/in", \
      "a: tab.1=10 | a/B: tab.2=20 box.1=1 | c: box/in.1=1 tab.3=30 | D: tab.4=40", "tab", "D: tab.4=40") \
    X(deletion_of_a_container, "top", "t&: [tab] tab.7=70 | a: tab.1=10 | B: tab.2=20 top.1=1", "top", \
      "t&: | B: top.1=1") \
    X(container_condemned_below_a_memo, "top", "P: top.1=1 | P/t: [tab] tab.7=70", "top", "P: top.2=2 | P/t: ") \
    X(container_moved_and_renamed, "", "a&: [#box] [tab] | r: box.1=10 tab.1=1 | s: box.2=20", "", \
      "b&: [#box] | r: box.1=10 | q: box.3=30") \
    X(container_let_go_and_taken, "tab", "a: tab.1=10 [own] | b: tab.2=20", "tab", "a: tab.1=10 | b: tab.2=20 [own]") \
    X(container_that_becomes_a_row, "tab tab/x", "a: tab/x.1=10 | B: tab.2=2", "tab", "a: tab.x=5 | B: tab.2=2") \
    X(value_taken_over_from_a_gone_child, "tab+u", \
      "p: tab.9=90 | p/a: tab.1=10 | P: tab.8=80 | P/a: tab.2=20 | P/a/b: tab.3=30", "tab+u", \
      "p: tab.9=10 | P: tab.8=20 tab.7=30") \
    X(change_of_an_attachment, "tab", "A: tab@index.1=1 tab@index.2=2 | b: tab.1=1", "tab", \
      "A: tab@index.1=1 tab@index.2=3 | b: tab.1=1 tab@index.4=4") \
    X(change_of_function_memos, "tab", "A: tab.1=*5 tab.2=*6 | b: tab.3=*5 tab.4=*7", "tab", \
      "A: tab.1=*5 tab.2=*8 | b: tab.3=*9") \
    X(change_of_pages, "tab", "A: tab.1-300=10 | b: tab.500=1", "tab", \
      "A: tab.1-100=10 tab.101-103=11 tab.150-310=10 | b: tab.500-502=2")

typedef struct scenario {
    const char *tables, *text, *tables_after, *text_after;
} scenario;

static const scenario *playing;
static char shelf_path[100], before_path[100], before_db[100], own_db[100];

static inline coco_status scenario_act(void)
{
    plan(playing->tables_after, playing->text_after);
    return try_update(NULL);
}

static inline coco_status scenario_back(void)
{
    plan(playing->tables, playing->text);
    return try_update(NULL);
}

static inline coco_status scenario_preview(void)
{
    plan(playing->tables_after, playing->text_after);
    return try_update(OPTS(.preview = true));
}

static inline void scenario_before(void)
{
    copy_file(before_db, own_db);
    shelf_load(before_path);
}

static inline void scenario_save(void) { shelf_save(shelf_path); }
static inline void scenario_load(void) { shelf_load(shelf_path); }

/* Nothing is done a second time; and a drop leaves nothing behind. */
static inline void scenario_rests(void)
{
    char *left;

    update(NULL);
    expect_actions(NULL);
    drop_all();
    left = shelf_text();
    assert_string_equal(left, "");
    free(left);
}

/* What there was before, made and kept. */
static inline void scenario_begins(const scenario *s)
{
    playing = s;
    sweep_world();
    if (scenario_back() != COCO_OK) fail_msg("%s", w.err.msg);
    restart();
    copy_file(own_db, before_db);
    shelf_save(before_path);
}

static inline void scenario_sweep(const scenario *s, fault_kind kind)
{
    static const sweep updating = { scenario_before, scenario_act, scenario_back, shelf_text, scenario_rests,
                                    scenario_save, scenario_load, "/" };

    scenario_begins(s);
    sweep_over(&updating, kind);
}

static inline void scenario_preview_sweep(const scenario *s, fault_kind kind)
{
    static const sweep previewing = { scenario_before, scenario_preview, NULL, shelf_text, NULL, NULL, NULL, "/" };

    scenario_begins(s);
    sweep_over(&previewing, kind);
}

static inline void scenario_drop_sweep(const scenario *s, fault_kind kind)
{
    static const sweep dropping = { scenario_before, try_drop, scenario_back, shelf_text, NULL, scenario_save,
                                    scenario_load, "/" };

    scenario_begins(s);
    sweep_over(&dropping, kind);
}

static int scenario_begin(void **state)
{
    gate_arm(FAULT_NONE, 0, 0);
    world_begin(state);
    snprintf(shelf_path, sizeof shelf_path, "%s/shelf", w.dir);
    snprintf(before_path, sizeof before_path, "%s/shelf0", w.dir);
    snprintf(before_db, sizeof before_db, "%s/db0", w.dir);
    snprintf(own_db, sizeof own_db, "%s/data.mdb", w.dir);
    return 0;
}

static int scenario_end(void **state)
{
    remove(shelf_path), remove(before_path), remove(before_db);
    return world_end(state);
}
#define SCENARIO_TEST(name) cmocka_unit_test_setup_teardown(name, scenario_begin, scenario_end)

#endif /* COCO_TEST_SCENARIOS_H */
