/* `check --repair`, backup and compaction, each call on the way failing in turn, each death (S11.4, S11.5): whatever
 * happens, the database opens; what was whole is whole, and what was damaged is repaired by the next attempt. A copy
 * under its final name is whole. */
#include "scenarios.h"

static char copy_dir[100], copy_file_name[120];

/* ---- Repair: of a database in which records of several kinds are damaged ---- */

static void damage_one_of_each(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_cursor *cur;
    MDB_val k, v;
    uint8_t last = 0, copy[4000];

    assert_int_equal(mdb_cursor_open(txn, dbi, &cur), 0);
    while (mdb_cursor_get(cur, &k, &v, MDB_NEXT) == 0) {
        uint8_t kind = *(uint8_t *)k.mv_data;
        if (kind == last || !strchr("5CIO", kind)) continue;
        last = kind;
        assert_true(v.mv_size < sizeof copy);
        memcpy(copy, v.mv_data, v.mv_size);
        copy[v.mv_size - 1] ^= 4;
        v.mv_data = copy;
        assert_int_equal(mdb_cursor_put(cur, &k, &v, MDB_CURRENT), 0);
    }
    mdb_cursor_close(cur);
}

static void damage_database(void)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_set_mapsize(env, (size_t)1 << 30), 0);
    assert_int_equal(mdb_env_open(env, w.dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "app:test", 0, &dbi), 0);
    damage_one_of_each(txn, dbi);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    w.unsound = true; /* until it is repaired */
}

static coco_status check_here(bool repair)
{
    return w.rc = coco_check(w.env, NULL, &(coco_check_opts){ .repair = repair, .same_process = true }, NULL, &w.err);
}

static coco_status repair_and_update(void)
{
    begin_run();
    if (open_world() != COCO_OK || check_here(true) != COCO_OK || check_here(false) != COCO_OK) return w.rc;
    return scenario_act();
}

/* ---- Backup and compaction: of a whole one ---- */

static coco_status back_up(void)
{
    begin_run();
    remove(copy_file_name);
    if (open_world() == COCO_OK) w.rc = coco_backup(w.env, copy_file_name, &w.err);
    return w.rc;
}

/* "", or what is wrong with the copy. */
static char *look_at_copy(void)
{
    const coco_env_config reading = { .db = copy_dir, .read_only = true };
    const coco_check_opts here = { .same_process = true };
    coco_err err = { 0 };
    coco_env *env;

    if (coco_env_open(&reading, &env, &err) == COCO_OK) {
        coco_check(env, "test", &here, NULL, &err);
        coco_env_close(env);
    }
    return strdup(err.msg);
}

static coco_status compact(void)
{
    restart();
    begin_run();
    w.rc = coco_compact(&w.env_config, &w.err);
    return w.rc == COCO_OK ? open_world() : w.rc;
}

static void nothing_is_to_be_done(void)
{
    if (scenario_act() != COCO_OK) fail_msg("%s", w.err.msg);
    expect_actions(NULL);
}

/* ---- Sweeps ---- */

#define TABLES "tab #box tab/sub"
#define WORDS "a: tab.1=10 box.1=*1 | B: tab.2=20 tab/sub.5=50 | a/C: tab.3=30"
static const scenario recorded = { TABLES, WORDS, TABLES, WORDS };

static void repairing(fault_kind kind)
{
    static const sweep s = { scenario_before, repair_and_update, NULL, shelf_text, nothing_is_to_be_done,
                             scenario_save, scenario_load, "/" };

    scenario_begins(&recorded);
    damage_database();
    copy_file(own_db, before_db);
    sweep_over(&s, kind);
}

static void backing_up(fault_kind kind)
{
    static const sweep s = { scenario_before, back_up, NULL, look_at_copy, nothing_is_to_be_done, NULL, NULL, "/" };

    scenario_begins(&recorded);
    sweep_over(&s, kind);
}

static void compacting(fault_kind kind)
{
    static const sweep s = { scenario_before, compact, NULL, shelf_text, nothing_is_to_be_done, NULL, NULL, "/" };

    scenario_begins(&recorded);
    sweep_over(&s, kind);
}

#define KINDS(X, what) \
    X(what, store_call, FAULT_STORE) X(what, system_call, FAULT_SYSTEM) X(what, allocation, FAULT_MEMORY) \
    X(what, point_of_death, FAULT_DEATH)
#define ALL(X) KINDS(X, repairing) KINDS(X, backing_up) KINDS(X, compacting)
#define SWEEPS(what, each, kind) \
    static void what##_survives_any_##each(void **state) \
    { \
        (void)state; \
        what(kind); \
    }
ALL(SWEEPS)

static int copies_begin(void **state)
{
    scenario_begin(state);
    snprintf(copy_dir, sizeof copy_dir, "%s.copy", w.dir);
    snprintf(copy_file_name, sizeof copy_file_name, "%s/data.mdb", copy_dir);
    return mkdir(copy_dir, 0700);
}

/* A death may leave a copy under another name. */
static int copies_end(void **state)
{
    char path[400];
    struct dirent *e;
    DIR *d = opendir(copy_dir);

    while (d && (e = readdir(d)) != NULL) snprintf(path, sizeof path, "%s/%s", copy_dir, e->d_name), remove(path);
    if (d) closedir(d);
    rmdir(copy_dir);
    snprintf(path, sizeof path, "%s.compact", own_db);
    remove(path);
    return scenario_end(state);
}

#define SWEEP_TEST(what, each, kind) \
    cmocka_unit_test_setup_teardown(what##_survives_any_##each, copies_begin, copies_end),

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { ALL(SWEEP_TEST) };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, sweep_counts);
}
