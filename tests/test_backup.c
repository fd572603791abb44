/* backup and compact (S11.4): hot, consistent, never over another file; whole at any point of a crash. */
#include "plan.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char file[100];

static const char *a_file(const char *name)
{
    snprintf(file, sizeof file, "%s-%s", w.dir, name);
    return file;
}

static void remove_dir(const char *dir)
{
    static const char *const files[] = { "data.mdb", "lock.mdb", "cocoindex.lock", "data.mdb.compact" };
    char path[200];

    for (size_t i = 0; i < 4; i++) snprintf(path, sizeof path, "%s/%s", dir, files[i]), remove(path);
    rmdir(dir);
}

static void expect_in_order(void)
{
    if (coco_check(w.env, NULL, &(coco_check_opts){ .same_process = true }, NULL, &w.err) != COCO_OK)
        fail_msg("%s", w.err.msg);
}

/* Puts a backup in the place of the database, as the manual says. */
static void restore(const char *backup)
{
    char path[100];

    restart();
    snprintf(path, sizeof path, "%s/lock.mdb", w.dir);
    remove(path);
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    copy_file(backup, path);
    assert_int_equal(open_world(), COCO_OK);
    expect_in_order();
}

static bool backup_wanted;

static void back_up_now(void)
{
    if (!backup_wanted) return;
    backup_wanted = false;
    if (coco_backup(w.env, a_file("backup"), &w.err) != COCO_OK) fail_msg("%s", w.err.msg);
}

/* What it holds is pending: the target is brought in step from there. */
static void backup_taken_during_an_update_opens_and_checks(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | b: tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=11 | c: tab.3=30");
    w.before_apply = back_up_now;
    backup_wanted = true;
    update(NULL);
    assert_false(backup_wanted);
    restore(a_file("backup"));
    remove(file);
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:3 = 30");
    expect_nothing_written();
}

static void backup_is_what_was_recorded(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10 | B: tab.2=20");
    update(NULL);
    assert_int_equal(coco_backup(w.env, a_file("backup"), &w.err), COCO_OK);
    plan("tab", "A: tab.1=11");
    update(NULL);
    restore(a_file("backup"));
    remove(file);
    plan("tab", "A: tab.1=11");
    update(NULL);
    expect_actions("~ tab:1", "- tab:2"); /* from where the backup stood */
}

static void backup_never_touches_an_existing_file(void **state)
{
    struct stat st;
    FILE *f;

    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    assert_non_null(f = fopen(a_file("backup"), "w"));
    fputs("precious", f);
    fclose(f);
    assert_int_equal(coco_backup(w.env, file, &w.err), COCO_EREFUSED);
    assert_non_null(strstr(w.err.msg, file));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 8);
    remove(file);
}

static void backup_where_there_is_no_directory_is_an_error(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    assert_int_equal(coco_backup(w.env, a_file("none/backup"), &w.err), COCO_ENOTFOUND);
}

/* ---- compact ---- */

static off_t db_size(void)
{
    struct stat st;
    char path[100];

    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

COCO_FN(many_rows, (int, n))
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    for (int i = 0; i < n; i++) COCO_TRY(coco_declare(cx, tab, coco_int(i), coco_int(i)));
    return COCO_OK;
}

static coco_value count_arg;
static void make_rows(int n)
{
    restart();
    count_arg = coco_int(n);
    w.config.args = (coco_args){ &count_arg, 1 };
    w.config.guard_states = 100000;
    program(&many_rows);
}

static void compacted_database_is_small_and_whole(void **state)
{
    off_t before;

    (void)state;
    make_rows(3000);
    update(NULL);
    make_rows(3);
    update(NULL);
    restart();
    before = db_size();
    if (coco_compact(&w.env_config, &w.err) != COCO_OK) fail_msg("%s", w.err.msg);
    assert_true(db_size() < before / 4);
    assert_int_equal(open_world(), COCO_OK);
    expect_in_order();
    update(NULL);
    expect_actions(NULL);
    make_rows(5);
    update(NULL);
    expect_actions("+ tab:3", "+ tab:4");
}

static void database_that_is_open_is_not_compacted(void **state)
{
    int ends[2], status;
    pid_t pid;
    char c, text[30];

    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    assert_int_equal(coco_compact(&w.env_config, &w.err), COCO_EBUSY);
    restart();
    assert_int_equal(pipe(ends), 0);
    if ((pid = fork()) == 0) { /* another process looks at it */
        coco_env_config look = { .db = w.dir, .read_only = true };
        coco_env *env;
        if (coco_env_open(&look, &env, NULL) != COCO_OK || write(ends[1], "x", 1) != 1) _exit(1);
        pause();
    }
    assert_int_equal(read(ends[0], &c, 1), 1);
    assert_int_equal(coco_compact(&w.env_config, &w.err), COCO_EBUSY);
    snprintf(text, sizeof text, "process %ld", (long)pid);
    assert_non_null(strstr(w.err.msg, text));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(ends[0]), close(ends[1]);
    assert_int_equal(coco_compact(&w.env_config, &w.err), COCO_OK);
    expect_nothing_written();
}

static void nothing_to_compact_is_an_error_and_makes_nothing(void **state)
{
    coco_env_config none = w.env_config;

    (void)state;
    none.db = a_file("nowhere");
    assert_int_equal(coco_compact(&none, &w.err), COCO_ENOTFOUND);
    assert_int_not_equal(access(file, F_OK), 0);
}

/* Killed after a moment that grows from round to round, until it is through. */
static void compact_killed_at_any_point_leaves_a_whole_database(void **state)
{
    int status = 1;

    (void)state;
    make_rows(3000);
    update(NULL);
    make_rows(1500);
    update(NULL);
    restart();
    for (useconds_t wait = 0, killed = 0; status != 0; wait += 100 + wait / 8) {
        pid_t pid = fork();
        if (pid == 0) {
            coco_env_config own = { .db = w.dir };
            _exit(coco_compact(&own, NULL) == COCO_OK ? 0 : 1);
        }
        usleep(wait);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(open_world(), COCO_OK);
        expect_in_order();
        restart();
        if (status == 0) assert_true(killed > 0);
        killed += WIFSIGNALED(status); /* else the copying child of one that was killed still had it open */
        usleep(2000);
    }
    update(NULL);
    expect_actions(NULL);
}

static int world_end_with_more(void **state)
{
    char path[100];

    snprintf(path, sizeof path, "%s/data.mdb.compact", w.dir);
    remove(path);
    remove_dir(a_file("restored"));
    return world_end(state);
}
#define BACKUP_TEST(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end_with_more)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BACKUP_TEST(backup_taken_during_an_update_opens_and_checks),
        BACKUP_TEST(backup_is_what_was_recorded),
        BACKUP_TEST(backup_never_touches_an_existing_file),
        BACKUP_TEST(backup_where_there_is_no_directory_is_an_error),
        BACKUP_TEST(compacted_database_is_small_and_whole),
        BACKUP_TEST(database_that_is_open_is_not_compacted),
        BACKUP_TEST(nothing_to_compact_is_an_error_and_makes_nothing),
        BACKUP_TEST(compact_killed_at_any_point_leaves_a_whole_database),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
