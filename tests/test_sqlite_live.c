/* test_sqlite_live.c - a table or query of SQLite that is followed by polling data_version (C2, S8.3, S8.7, S8.8). Each
 * test runs without a pool and with one of two threads. */
#include "rows_sqlite.h"

#include "rows_live.h"

static coco_sqlite_read what; /* what the program reads */
static coco_value bound[1];   /* its parameter */

/* The strings and values of a source are its own: what they were made from is overwritten here. */
static coco_status follow(coco_ctx *cx)
{
    coco_sqlite_read mine = what;
    coco_value bind[1] = { bound[0] };
    char table[40] = "";
    coco_source *src;

    if (what.table) snprintf(table, sizeof table, "%s", what.table), mine.table = table;
    mine.bind = bind;
    src = coco_sqlite_rows(cx, db_value(), &mine);
    memset(table, 'x', sizeof table - 1);
    bind[0] = coco_null();
    return shelve(cx, src);
}

static int begin(void **state)
{
    int rc = db_begin(state);

    live_setup();
    plan.main = follow;
    what = (coco_sqlite_read){ .table = "src", .live = true, .poll_ms = 20 };
    bound[0] = coco_null();
    return rc;
}
static int end(void **state)
{
    live_end();
    return db_end(state);
}
#define LIVE_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void make_table(void)
{
    sql("CREATE TABLE src (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO src VALUES (1, 10), (2, 20)");
}

/* C2: what others insert, update and delete reaches the target by itself. */
static void changes_of_others_are_followed(void **state)
{
    (void)state;
    make_table();
    go_live();
    sql("INSERT INTO src VALUES (3, 30)");
    await_applied(1);
    sql("UPDATE src SET v = 21 WHERE id = 2");
    await_applied(2);
    sql("DELETE FROM src WHERE id = 1");
    await_applied(3);
    halt_live(COCO_OK);
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 21", "tab:3 = 30");
}

/* C2: the same in a database whose readers and writers wait for each other, and in one with a log. */
static void changes_in_a_log_are_followed(void **state)
{
    (void)state;
    sql("PRAGMA journal_mode = wal");
    changes_of_others_are_followed(state);
}

/* S8.8: the same program; what live mode has done, a plain update finds done. */
static void catch_up_gives_the_same(void **state)
{
    (void)state;
    make_table();
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    go_live();
    expect_actions(NULL);
    sql("UPDATE src SET v = v + 1; INSERT INTO src VALUES (3, 30)");
    await_applied(3);
    halt_live(COCO_OK);
    update(NULL);
    expect_actions(NULL);
    sql("DELETE FROM src WHERE id < 3");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:3 = 30");
}

/* A source that isn't live is listed once, in a live update too. */
static void source_that_is_not_live_is_not_followed(void **state)
{
    (void)state;
    make_table();
    what.live = false;
    go_live();
    sql("UPDATE src SET v = v + 1");
    live_nap(200);
    halt_live(COCO_OK);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
}

/* S8.3: a change that another connection has under way isn't seen before its commit, nor does its lock do harm. */
static void commit_counts(void **state)
{
    sqlite3 *db;

    (void)state;
    make_table();
    go_live();
    db = db_open();
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE; UPDATE src SET v = v + 1", NULL, NULL, NULL), SQLITE_OK);
    live_nap(150);
    AWAIT(live.applied == 0 && live.failures == 0);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    await_applied(2);
    halt_live(COCO_OK);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 21");
}

static void query_with_parameters_is_followed(void **state)
{
    (void)state;
    make_table();
    what.table = NULL;
    what.query = "SELECT id, v FROM src WHERE v >= ?1";
    what.name = "large";
    what.key = "id";
    what.nbind = 1;
    bound[0] = coco_int(20);
    go_live();
    sql("UPDATE src SET v = 30 WHERE id = 1");
    await_applied(1);
    sql("UPDATE src SET v = 1 WHERE id = 2");
    await_applied(2);
    halt_live(COCO_OK);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 30");
}

/* A file that is gone says nothing of its rows; one that takes its place does (S3.7, S8.7). */
static void file_that_is_replaced_is_read(void **state)
{
    (void)state;
    make_table();
    go_live();
    db_delete();
    await_failure("no such database");
    live_nap(100);
    AWAIT(live.applied == 0 && live.failures == 1);
    /* one commit: an empty table would be read, too */
    sql("BEGIN; CREATE TABLE src (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO src VALUES (2, 22); COMMIT");
    await_applied(2);
    halt_live(COCO_EFAIL);
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 22");
}

/* A listing that fails deletes nothing; the next commit is another try. */
static void table_that_is_gone_for_a_while_keeps_its_rows(void **state)
{
    (void)state;
    make_table();
    go_live();
    sql("ALTER TABLE src RENAME TO away");
    await_failure("no such table");
    AWAIT(live.applied == 0);
    sql("ALTER TABLE away RENAME TO src; ALTER TABLE src ADD COLUMN w; UPDATE src SET v = 11, w = 1 WHERE id = 1");
    await_applied(1);
    halt_live(COCO_EFAIL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 20");
}

/* A failed listing lets go of its snapshot: the log can be emptied. */
static void listing_that_breaks_off_holds_no_lock(void **state)
{
    (void)state;
    sql("PRAGMA journal_mode = wal; CREATE TABLE src (id, v INTEGER);"
        "INSERT INTO src VALUES (1, 10), (2, 20), (3, 30)");
    what.key = "id";
    go_live();
    sql("UPDATE src SET id = 1.5 WHERE id = 2");
    await_failure("is a float");
    expect_sql("PRAGMA wal_checkpoint(TRUNCATE)", "0|0|0");
    sql("UPDATE src SET id = 4 WHERE id = 1.5");
    await_applied(2);
    halt_live(COCO_EFAIL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:3 = 30", "tab:4 = 20");
}

/* S8.7: what coco_sync waits for is all that was committed before, whatever the interval; and the stop is quick. */
static void sync_does_not_wait_for_the_interval(void **state)
{
    (void)state;
    make_table();
    what.poll_ms = 3600000;
    go_live();
    sql("DELETE FROM src WHERE id = 2");
    live_sync();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
    halt_live(COCO_OK);
}

/* Many commits in a row end in what the last one left. */
static void many_commits_converge(void **state)
{
    (void)state;
    make_table();
    go_live();
    for (int i = 0; i < 200; i++)
        sql("INSERT INTO src VALUES (%d, 0); UPDATE src SET v = %d WHERE id = 1; DELETE FROM src WHERE id = %d", i + 10,
            i, i + 9);
    live_sync();
    halt_live(COCO_OK);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 199", "tab:2 = 20", "tab:209 = 0");
    update(NULL);
    expect_actions(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_TEST(changes_of_others_are_followed),
        LIVE_TEST(changes_in_a_log_are_followed),
        LIVE_TEST(catch_up_gives_the_same),
        LIVE_TEST(source_that_is_not_live_is_not_followed),
        LIVE_TEST(commit_counts),
        LIVE_TEST(query_with_parameters_is_followed),
        LIVE_TEST(file_that_is_replaced_is_read),
        LIVE_TEST(table_that_is_gone_for_a_while_keeps_its_rows),
        LIVE_TEST(listing_that_breaks_off_holds_no_lock),
        LIVE_TEST(sync_does_not_wait_for_the_interval),
        LIVE_TEST(many_commits_converge),
    };

    unsetenv("COCOINDEX_THREADS");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    setenv("COCOINDEX_THREADS", "2", 1);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
