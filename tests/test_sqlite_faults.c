/* test_sqlite_faults.c - SQLite as a target while every system call fails in turn, SQLite's own included, and every
 * call of the store, and while the process dies anywhere (S7.3, S7.13): rows that change, a table that is rebuilt, many
 * rows at once, a new file. What sweep.h says holds each time. */
#include "sweep.h"

#include "rows_sqlite.h"

static char own_db[100], before_db[100], before_sqlite[160];
typedef enum update_kind { CHANGED, REBUILT, MANY /* rows by one statement */, NEW_FILE } update_kind;
static update_kind kind_of;
static bool later; /* after the change */

#define ID { .name = "id", .type = COCO_INT_T, .key = true }
static const coco_schema *const narrow = COLUMNS(ID, { .name = "a", .type = COCO_TEXT_T });
static const coco_schema *const wide = COLUMNS(ID, { .name = "a", .type = COCO_INT_T }, { .name = "b",
                                               .type = COCO_TEXT_T, .nullable = true });

COCO_FN(one_row, (int64_t, id, coco_table *, docs, int64_t, n), .memo = true)
{
    bool text = coco_table_schema(docs)->n == 2;
    coco_value a = text ? coco_text_n(coco_format(cx, "text %d", (int)n)) : coco_int(n);

    return coco_declare_values(cx, docs, MAP(PAIR("id", coco_int(id)), PAIR("a", a)));
}

COCO_FN(many_rows, (coco_table *, docs), .memo = true)
{
    for (int i = 100; i < 140; i++)
        COCO_TRY(coco_declare_values(cx, docs, MAP(PAIR("id", coco_int(i)), PAIR("a", coco_text("many")))));
    return COCO_OK;
}

static coco_status rows(coco_ctx *cx)
{
    coco_table *docs;
    int from = later ? 3 : 1, to = later ? 9 : 6;

    COCO_TRY(coco_sqlite_mount_table(cx, db_value(), "docs", kind_of == REBUILT && later ? wide : narrow, NULL, &docs));
    if (kind_of >= MANY && later)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("many")), &many_rows, COCO_ARGS(coco_table_value(docs)), NULL));
    for (int i = from; i <= to; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &one_row,
                            COCO_ARGS(coco_int(i), coco_table_value(docs), coco_int(later && i == 4 ? 40 : i)), NULL));
    return COCO_OK;
}

static coco_status act(void)
{
    later = true;
    return try_update(NULL);
}

static coco_status back(void)
{
    later = false;
    return try_update(NULL);
}

static char *look(void)
{
    lines is = { .n = 0 };
    sqlite3 *db = db_open();
    char *all;

    db_lines(db, "SELECT sql FROM sqlite_master WHERE name NOT LIKE 'coco%' ORDER BY name", &is);
    db_lines(db, "SELECT * FROM docs ORDER BY id", &is);
    db_lines(db, "PRAGMA integrity_check", &is);
    sqlite3_close(db);
    all = lines_join(is.v, is.n);
    lines_clear(&is);
    return all;
}

static void before(void)
{
    copy_file(before_db, own_db);
    db_delete();
    if (kind_of != NEW_FILE) copy_file(before_sqlite, db_path);
}

static void rests(void)
{
    update(NULL);
    assert_int_equal(w.result.inserts + w.result.updates + w.result.deletes, 0);
}

static void sweep_sqlite(fault_kind kind, update_kind of)
{
    static const sweep writing = { .before = before, .act = act, .back = back, .look = look, .rest = rests,
                                   .names = "docs" };

    kind_of = of;
    plan.main = rows;
    sweep_world();
    if (back() != COCO_OK) fail_msg("%s", w.err.msg);
    restart();
    copy_file(own_db, before_db);
    sql("PRAGMA wal_checkpoint(TRUNCATE)");
    copy_file(db_path, before_sqlite);
    sweep_over(&writing, kind);
}

#define SWEEP(name, kind, of) \
    static void name(void **state) \
    { \
        (void)state; \
        sweep_sqlite(kind, of); \
    }
SWEEP(rows_survive_any_failing_system_call, FAULT_SYSTEM, CHANGED)
SWEEP(rows_survive_any_failing_store_call, FAULT_STORE, CHANGED)
SWEEP(rows_survive_any_failing_allocation, FAULT_MEMORY, CHANGED)
SWEEP(rows_survive_a_crash_anywhere, FAULT_DEATH, CHANGED)
SWEEP(rebuilt_table_survives_any_failing_system_call, FAULT_SYSTEM, REBUILT)
SWEEP(rebuilt_table_survives_any_failing_allocation, FAULT_MEMORY, REBUILT)
SWEEP(rebuilt_table_survives_a_crash_anywhere, FAULT_DEATH, REBUILT)
SWEEP(many_rows_survive_any_failing_system_call, FAULT_SYSTEM, MANY)
SWEEP(many_rows_survive_any_failing_allocation, FAULT_MEMORY, MANY)
SWEEP(many_rows_survive_a_crash_anywhere, FAULT_DEATH, MANY)
SWEEP(new_file_survives_any_failing_system_call, FAULT_SYSTEM, NEW_FILE)
SWEEP(new_file_survives_any_failing_allocation, FAULT_MEMORY, NEW_FILE)
SWEEP(new_file_survives_a_crash_anywhere, FAULT_DEATH, NEW_FILE)

static int sqlite_begin(void **state)
{
    gate_arm(FAULT_NONE, 0, 0);
    if (db_begin(state) != 0) return 1;
    snprintf(own_db, sizeof own_db, "%s/data.mdb", w.dir);
    snprintf(before_db, sizeof before_db, "%s/db0", w.dir);
    snprintf(before_sqlite, sizeof before_sqlite, "%s/sqlite0", db_dir);
    return 0;
}

static int sqlite_end(void **state)
{
    remove(before_db), remove(before_sqlite);
    return db_end(state);
}
#define SWEEP_TEST(name) cmocka_unit_test_setup_teardown(name, sqlite_begin, sqlite_end)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SWEEP_TEST(rows_survive_any_failing_system_call),
        SWEEP_TEST(rows_survive_any_failing_store_call),
        SWEEP_TEST(rows_survive_any_failing_allocation),
        SWEEP_TEST(rows_survive_a_crash_anywhere),
        SWEEP_TEST(rebuilt_table_survives_any_failing_system_call),
        SWEEP_TEST(rebuilt_table_survives_any_failing_allocation),
        SWEEP_TEST(rebuilt_table_survives_a_crash_anywhere),
        SWEEP_TEST(many_rows_survive_any_failing_system_call),
        SWEEP_TEST(many_rows_survive_any_failing_allocation),
        SWEEP_TEST(many_rows_survive_a_crash_anywhere),
        SWEEP_TEST(new_file_survives_any_failing_system_call),
        SWEEP_TEST(new_file_survives_any_failing_allocation),
        SWEEP_TEST(new_file_survives_a_crash_anywhere),
    };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, sweep_counts);
}
