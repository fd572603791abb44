/* The store (S11): one updating process, any number of readers, growth, formats, damage, forks. */
#include "plan.h"
#include "engine/engine.h"

#include <lmdb.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- Other processes: made before anything is opened here ---- */

static int to_child[2], from_child[2];
static pid_t child;

static void child_waits(void)
{
    char c;

    if (write(from_child[1], "x", 1) != 1 || read(to_child[0], &c, 1) != 1) _exit(5);
}

/* Runs fn in another process. */
static void start_child(void (*fn)(void))
{
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(from_child), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fn();
        _exit(0);
    }
}

static void await_child(void)
{
    char c;

    assert_int_equal(read(from_child[0], &c, 1), 1);
}

static void continue_child(void) { assert_int_equal(write(to_child[1], "x", 1), 1); }

static void end_child(void)
{
    int status;

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    for (int i = 0; i < 2; i++) close(to_child[i]), close(from_child[i]);
}

/* ---- LMDB behind the library's back ---- */

static MDB_env *raw;
static MDB_txn *raw_txn;
static MDB_dbi raw_dbi;

static void raw_begin(const char *name)
{
    assert_int_equal(mdb_env_create(&raw), 0);
    mdb_env_set_maxdbs(raw, 4);
    mdb_env_set_mapsize(raw, (size_t)1 << 28);
    assert_int_equal(mdb_env_open(raw, w.dir, 0, 0666), 0);
    assert_int_equal(mdb_txn_begin(raw, NULL, 0, &raw_txn), 0);
    assert_int_equal(mdb_dbi_open(raw_txn, name, 0, &raw_dbi), 0);
}

static void raw_put(const char *key, const void *value, size_t n)
{
    MDB_val k = { strlen(key), (void *)(uintptr_t)key }, v = { n, (void *)(uintptr_t)value };

    assert_int_equal(mdb_put(raw_txn, raw_dbi, &k, &v, 0), 0);
}

static void raw_end(void)
{
    assert_int_equal(mdb_txn_commit(raw_txn), 0);
    mdb_env_close(raw);
}

/* ---- One updating process ---- */

static void child_updates(void)
{
    w.before_apply = child_waits;
    plan("", "a: [tab]");
    if (try_update(NULL) != COCO_OK) _exit(4);
}

/* S11.2 */
static void second_updating_process_is_told_who_is_at_it(void **state)
{
    char pid[30];

    (void)state;
    start_child(child_updates);
    await_child();
    snprintf(pid, sizeof pid, "process %ld", (long)child);
    plan("", "b: [other]");
    update_fails(COCO_EBUSY, NULL);
    assert_non_null(strstr(w.err.msg, pid));
    try_drop();
    assert_int_equal(w.rc, COCO_EBUSY);
    continue_child();
    end_child();
    update(NULL);
    expect_actions("+ shelf:\"other\"", "- shelf:\"tab\"");
}

/* S11.2 */
static void directory_is_opened_once_in_a_process(void **state)
{
    coco_env *env = (coco_env *)(uintptr_t)1;
    coco_err err;

    (void)state;
    plan("tab", "");
    update(NULL);
    assert_int_equal(coco_env_open(&w.env_config, &env, &err), COCO_EBUSY);
    assert_null(env);
    restart();
    assert_int_equal(coco_env_open(&w.env_config, &env, &err), COCO_OK);
    coco_env_close(env);
}

/* S11.1: it is mapped, and a full disk under a map kills. */
static void lock_file_has_its_blocks_before_it_is_written_to(void **state)
{
    char path[100];
    struct stat st;

    (void)state;
    plan("", "");
    update(NULL);
    snprintf(path, sizeof path, "%s/lock.mdb", w.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 >= st.st_size);
}

static void app_is_opened_once(void **state)
{
    coco_app *app = (coco_app *)(uintptr_t)1;

    (void)state;
    plan("tab", "");
    update(NULL);
    assert_int_equal(coco_app_open(w.env, &w.config, &app, &w.err), COCO_EDUP);
    assert_null(app);
}

/* ---- Formats ---- */

/* S11.3: refused, and not modified. */
static void newer_format_is_refused_and_left_as_it_is(void **state)
{
    static const uint8_t version[4] = { 0, 0, 0, COCO_FORMAT_VERSION + 1 };
    uint8_t before[16], after[16];

    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    restart();
    raw_begin(NULL);
    raw_put("cocoindex", version, sizeof version);
    raw_end();
    db_print(before);
    assert_int_equal(open_world(), COCO_EVERSION);
    assert_null(w.env);
    assert_non_null(strstr(w.err.msg, "format 2"));
    db_print(after);
    assert_memory_equal(before, after, 16);
}

static void database_of_another_program_is_refused_and_left_as_it_is(void **state)
{
    uint8_t before[16], after[16];

    (void)state;
    raw_begin(NULL);
    raw_put("customers", "1", 1);
    raw_end();
    db_print(before);
    assert_int_equal(open_world(), COCO_EINVAL);
    assert_non_null(strstr(w.err.msg, "another program"));
    db_print(after);
    assert_memory_equal(before, after, 16);
}

static void file_that_is_no_database_is_refused(void **state)
{
    char path[100];

    (void)state;
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 2000; i++) fputs("not a database ", f);
    fclose(f);
    assert_int_equal(open_world(), COCO_EINVAL);
    assert_null(w.env);
}

/* ---- Permissions ---- */

static void directory_without_permission_is_an_error_that_names_it(void **state)
{
    bool root_user = geteuid() == 0;

    (void)state;
    plan("tab", "");
    assert_int_equal(chmod(w.dir, 0500), 0);
    if (root_user) assert_int_equal(seteuid(65534), 0);
    coco_status rc = open_world();
    if (root_user) assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, COCO_EACCESS);
    assert_non_null(strstr(w.err.msg, w.dir));
    assert_int_equal(chmod(w.dir, 0700), 0);
    assert_int_equal(open_world(), COCO_OK);
}

static void update_of_a_read_only_environment_is_refused(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    restart();
    w.env_config.read_only = true;
    update_fails(COCO_EACCESS, NULL);
}

static void missing_directory_is_not_made_for_a_reader(void **state)
{
    struct stat st;

    (void)state;
    rmdir(w.dir);
    w.env_config.read_only = true;
    assert_int_equal(open_world(), COCO_ENOTFOUND);
    assert_int_not_equal(stat(w.dir, &st), 0);
}

/* ---- Growth ---- */

static int64_t nrows;

COCO_FN(row, (int64_t, i)) { return coco_declare(cx, plan_target(cx, "tab"), coco_int(i),
        coco_text("some text that takes its room")); }

COCO_FN(rows_main, ())
{
    char tab[] = "tab";

    plan_ntargets = 0;
    COCO_TRY(plan_container(cx, tab, false));
    for (int64_t i = 0; i < nrows; i++) COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &row,
            COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* Regression: 55,000 files: map full at 4 GiB, 13,636 errors. Every transaction may find the map full: moves,
 * deletes, drops too. */
static void map_grows_under_load(void **state)
{
    (void)state;
    w.env_config.map_size = (size_t)1 << 16;
    w.config.max_inflight = 700;
    w.config.guard_states = 100000;
    nrows = 3000;
    program(&rows_main);
    update(NULL);
    assert_int_equal(w.nshelf, 3001);
    restart(); /* the file is larger now than the map that is asked for */
    nrows = 10;
    update(NULL);
    assert_int_equal(w.nshelf, 11);
    expect_nothing_written();
}

static void map_that_is_full_in_the_middle_of_a_round_takes_nothing_twice(void **state)
{
    (void)state;
    for (size_t size = 40960; size < 40960 + 16 * 4096; size += 4096) {
        w.env_config.map_size = size;
        plan("tab", "a: tab.1=10 tab.2=20 | b: tab.3=30 | C: tab.4=40 tab.5=50 tab.6=60 | C/d: tab.7=70");
        update(NULL);
        plan("tab other+s1", "a: tab.1=11 | b: tab.2=20 tab.3=30 tab.7=70 | z: tab.4=40 tab.5=51 other.1=1");
        update(NULL);
        expect_shelf("other:1 = 1", "shelf:\"other\" = {\"schema\":1}", "shelf:\"tab\" = null", "tab:1 = 11",
                "tab:2 = 20", "tab:3 = 30", "tab:4 = 40",
                     "tab:5 = 51", "tab:7 = 70");
        update(NULL);
        expect_actions(NULL);
        drop_all();
        expect_shelf(NULL);
        restart();
    }
}

/* ---- Damage ---- */

/* Turns a bit in the value of the first component record whose key contains a byte. */
static void damage(int byte)
{
    MDB_cursor *cur;
    MDB_val k = { 1, (void *)(uintptr_t)"C" }, v;
    char copy[4000];

    restart();
    w.unsound = true;
    raw_begin("app:test");
    assert_int_equal(mdb_cursor_open(raw_txn, raw_dbi, &cur), 0);
    assert_int_equal(mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE), 0);
    while (!memchr((char *)k.mv_data + 1, byte, k.mv_size - 1)) assert_int_equal(mdb_cursor_get(cur, &k, &v,
            MDB_NEXT), 0);
    assert_true(v.mv_size < sizeof copy);
    memcpy(copy, v.mv_data, v.mv_size);
    copy[v.mv_size - 1] ^= 4;
    v.mv_data = copy;
    assert_int_equal(mdb_cursor_put(cur, &k, &v, MDB_CURRENT), 0);
    mdb_cursor_close(cur);
    raw_end();
}

/* S11.5: named, never a wrong hit; the others go on. */
static void damaged_record_is_an_error_that_names_its_component(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10 | B: tab.2=20");
    update(NULL);
    damage('A');
    plan("tab", "A: tab.1=10 | B: tab.2=21");
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(w.failures.n, 1);
    assert_non_null(strstr(w.failures.v[0], "/\"A\" COCO_ECORRUPT"));
    expect_actions("~ tab:2");
}

static void damaged_root_record_is_an_error(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10 | B: tab.2=20");
    update(NULL);
    damage(0);
    update_fails(COCO_ECORRUPT, NULL);
    expect_actions(NULL);
}

/* ---- Fork ---- */

static void after_a_fork_the_child_may_not_go_on(void **state)
{
    int status;

    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        coco_err err;
        coco_app *app;
        coco_app_config other = { .name = "other", .main = &plan_main };
        int bad = 0;
        bad |= coco_update(w.app, NULL, NULL, &err) != COCO_EFORK;
        bad |= coco_drop(w.app, NULL, &err) != COCO_EFORK;
        bad |= coco_forget(w.app, "tab", &err) != COCO_EFORK;
        bad |= coco_app_open(w.env, &other, &app, &err) != COCO_EFORK;
        coco_app_close(w.app);
        coco_env_close(w.env);
        _exit(bad);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    plan("tab", "a: tab.1=11"); /* and the parent goes on undisturbed */
    update(NULL);
    expect_actions("~ tab:1");
}

/* ---- Readers ---- */

static int ncomponents, npending;

static coco_status count_component(void *user, const coco_component_info *info)
{
    (void)user;
    ncomponents++;
    npending += info->pending;
    return COCO_OK;
}

/* Opens for reading, and counts what is recorded. */
static coco_status look(void)
{
    coco_env_config config = { .db = w.dir, .read_only = true };
    coco_inspect_visitor v = { .component = count_component };
    coco_env *env;
    coco_err err;
    coco_status rc = coco_env_open(&config, &env, &err);

    ncomponents = npending = 0;
    if (rc == COCO_OK) rc = coco_inspect(env, "test", NULL, 0, &v, &err);
    coco_env_close(env);
    return rc;
}

static void child_reads_twice(void)
{
    child_waits();
    if (look() != COCO_OK || ncomponents == 0 || npending == 0) _exit(3);
    child_waits();
    if (look() != COCO_OK || npending != 0) _exit(2);
}

static void let_the_reader_read(void)
{
    w.before_apply = NULL;
    continue_child();
    await_child();
}

/* Regression, S11.6: inspection beside a running update failed with EINVAL. */
static void second_process_can_inspect(void **state)
{
    (void)state;
    start_child(child_reads_twice);
    await_child();
    plan("tab", "a: tab.1=10 | b: tab.2=20");
    w.before_apply = let_the_reader_read; /* the update goes on when the reader has read */
    update(NULL);
    continue_child();
    end_child();
}

static void child_looks_and_dies(void)
{
    coco_env_config config = { .db = w.dir, .read_only = true };
    coco_inspect_visitor v = { .component = count_component };
    coco_env *env;

    if (coco_env_open(&config, &env, NULL) != COCO_OK || coco_inspect(env, "test", NULL, 0, &v,
            NULL) != COCO_OK) _exit(3);
    _exit(0); /* closes nothing */
}

/* Regression: readers full until processes were killed. LMDB has room for 510 here. */
static void reader_slots_do_not_leak(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    restart();
    for (int i = 0; i < 530; i++) {
        start_child(child_looks_and_dies);
        end_child();
    }
    plan("tab", "a: tab.1=11");
    update(NULL);
    restart();
    assert_int_equal(look(), COCO_OK);
}

/* ---- Progress ---- */

static int batches_left;

static void die_soon(void)
{
    if (--batches_left == 0) _exit(0);
}

static void child_updates_rows_and_dies(void)
{
    w.before_apply = die_soon;
    batches_left = 6;
    nrows = 1000;
    w.config.max_inflight = 100;
    program(&rows_main);
    try_update(NULL);
    _exit(9);
}

/* Regression: a watchdog killed a 30-minute reprocess that had written nothing to disk yet; it never finished. */
static void long_runs_keep_their_progress(void **state)
{
    size_t adds = 0;

    (void)state;
    start_child(child_updates_rows_and_dies);
    end_child();
    w.shelf[w.nshelf++] = (thing){ .name = strdup("shelf:\"tab\""), .value = strdup("null"), .place = strdup("tab") };
    nrows = 1000;
    program(&rows_main);
    update(NULL);
    for (size_t i = 0; i < w.actions.n; i++) adds += w.actions.v[i][0] == '+';
    assert_in_range(adds, 400, 800); /* the rest of the 1,000 was done, or begun */
    assert_int_equal(w.result.inserts, adds);
}

/* ---- Records ---- */

enum { NKINDS = 4, NKEYS = 600 };

/* Records as they must be: 0 none, or how long one is and one more. */
typedef struct model {
    size_t n[NKINDS][NKEYS];
    uint64_t random;
    int at; /* keys are mostly used in order */
    bool ending;
} model;

static uint64_t chance(model *m) { return (m->random = m->random * UINT64_C(6364136223846793005) + 1) >> 33; }

static void record_key(coco__dbkey *k, int kind, int i)
{
    static const enum coco__kind kinds[NKINDS] = { COCO__COMPONENT, COCO__OWNER, COCO__TOMBSTONE, COCO__NAME };
    const uint8_t suffix[2] = { (uint8_t)(i % 100), (uint8_t)kind };

    coco__dbkey_id(k, kinds[kind], 1000 + (uint64_t)i / 100, suffix, sizeof suffix);
}

static void expect_record(const model *m, const coco__txn *t, int kind, int i)
{
    coco__dbkey k;
    coco_str p;

    record_key(&k, kind, i);
    assert_int_equal(coco__get(t, &k, &p), m->n[kind][i] ? COCO_OK : COCO_ENOTFOUND);
    if (!m->n[kind][i]) return;
    assert_int_equal(p.n, m->n[kind][i] - 1);
    for (size_t at = 0; at < p.n; at++) assert_int_equal(p.p[at], (char)(i + (int)p.n));
}

/* Is there one that begins as the i-th key does, but for its suffix? */
static void expect_first(const model *m, const coco__txn *t, int kind, int i)
{
    coco__dbkey k;
    bool any = false;

    record_key(&k, kind, i);
    k.n -= 2;
    for (int j = i / 100 * 100; j < i / 100 * 100 + 100; j++) any |= m->n[kind][j] != 0;
    assert_int_equal(coco__first(t, &k, NULL), any ? COCO_OK : COCO_ENOTFOUND);
}

static coco_status random_records(void *self, coco__txn *t)
{
    model *m = self;
    coco__dbkey k;
    char payload[900];

    for (int step = 0; step < 2000; step++) {
        int kind = (int)(chance(m) % NKINDS), i = m->at = (chance(m) % 16 ? m->at + 1 : (int)chance(m)) % NKEYS;
        size_t n = chance(m) % (chance(m) % 8 ? 60 : sizeof payload);
        record_key(&k, kind, i);
        switch (chance(m) % (m->ending ? 2 : 5)) {
        case 0:
            COCO_TRY(coco__del(t, &k));
            m->n[kind][i] = 0;
            expect_first(m, t, kind, i);
            break;
        case 1: expect_first(m, t, kind, (int)chance(m) % NKEYS); break;
        case 2: expect_record(m, t, kind, i); break;
        default:
            memset(payload, i + (int)n, n);
            COCO_TRY(coco__put(t, &k, payload, n));
            m->n[kind][i] = n + 1;
        }
    }
    for (int kind = 0; kind < NKINDS; kind++)
        for (int i = 0; i < NKEYS; i++) expect_record(m, t, kind, i);
    return COCO_OK;
}

static coco_status no_records(void *self, coco__txn *t)
{
    model *m = self;
    coco__dbkey k;

    for (int i = NKEYS; i--;)
        for (int kind = 0; kind < NKINDS; kind++) {
            record_key(&k, kind, i);
            COCO_TRY(coco__del(t, &k));
            m->n[kind][i] = 0;
            expect_first(m, t, kind, i);
        }
    return COCO_OK;
}

/* Kinds of records that are mostly used in order are used from where the last one was. */
static void records_are_found_whatever_was_used_before(void **state)
{
    model m = { .random = 1 };
    coco__writer all = { random_records, NULL, &m, false }, none = { no_records, NULL, &m, false };

    (void)state;
    plan("tab", "");
    update(NULL);
    for (int i = 0; i < 60; i++) {
        m.ending = i % 4 == 3;
        assert_int_equal(coco__write(w.app, &all, &w.err), COCO_OK);
    }
    assert_int_equal(coco__write(w.app, &none, &w.err), COCO_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(second_updating_process_is_told_who_is_at_it),
        TEST(directory_is_opened_once_in_a_process),
        TEST(lock_file_has_its_blocks_before_it_is_written_to),
        TEST(app_is_opened_once),
        TEST(newer_format_is_refused_and_left_as_it_is),
        TEST(database_of_another_program_is_refused_and_left_as_it_is),
        TEST(file_that_is_no_database_is_refused),
        TEST(directory_without_permission_is_an_error_that_names_it),
        TEST(update_of_a_read_only_environment_is_refused),
        TEST(missing_directory_is_not_made_for_a_reader),
        TEST(map_grows_under_load),
        TEST(map_that_is_full_in_the_middle_of_a_round_takes_nothing_twice),
        TEST(damaged_record_is_an_error_that_names_its_component),
        TEST(damaged_root_record_is_an_error),
        TEST(after_a_fork_the_child_may_not_go_on),
        TEST(second_process_can_inspect),
        TEST(reader_slots_do_not_leak),
        TEST(long_runs_keep_their_progress),
        TEST(records_are_found_whatever_was_used_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
