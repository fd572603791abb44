/* test_postgres_live.c - a table or query of PostgreSQL that is followed, by NOTIFY and by polling (C3, S8.3, S8.7,
 * S8.8). Each test runs without a pool and with one of two threads. */
#include "pg_world.h"

#include "rows_live.h"

static coco_postgres_read what;

static coco_status follow(coco_ctx *cx)
{
    return shelve(cx, coco_postgres_rows(cx, DB_REF, &what));
}

static int begin(void **state)
{
    int rc = pg_world_begin(state);

    live_setup();
    pg_choose(follow);
    plan.opts.retry_ms = 100;
    what = (coco_postgres_read){ .table = "src", .live = true, .notify = true };
    return rc;
}
static int end(void **state)
{
    live_end();
    return pg_world_end(state);
}
#define LIVE_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void make_table(void)
{
    sql("CREATE TABLE src (id int PRIMARY KEY, v int); INSERT INTO src VALUES (1, 10), (2, 20)");
}

/* C3: what others insert, update and delete is told by the server; nothing is listed anew for an hour. */
static void changes_are_told_by_the_server(void **state)
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
    sql("UPDATE src SET id = 4 WHERE id = 3");
    await_applied(5);
    sql("BEGIN; INSERT INTO src VALUES (5, 50); ROLLBACK; TRUNCATE src; INSERT INTO src VALUES (6, 60)");
    await_applied(8);
    halt_live(COCO_OK);
    expect_shelf("shelf:\"tab\" = null", "tab:6 = 60");
}

/* C3: without notify, by polling; no trigger is made. */
static void changes_are_found_by_polling(void **state)
{
    (void)state;
    make_table();
    what = (coco_postgres_read){ .query = "SELECT id, v FROM src WHERE v < 100", .key = "id", .live = true,
                                 .poll_ms = 20 };
    go_live();
    sql("INSERT INTO src VALUES (3, 30); UPDATE src SET v = 100 WHERE id = 1");
    await_applied(2);
    halt_live(COCO_OK);
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 20", "tab:3 = 30");
    assert_int_equal(sql_int("SELECT count(*) FROM pg_trigger"), 0);
}

/* S8.8: the same program in both modes; a plain update makes no trigger, and finds done what live mode has done. */
static void catch_up_gives_the_same(void **state)
{
    (void)state;
    make_table();
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
    assert_int_equal(sql_int("SELECT count(*) FROM pg_trigger"), 0);
    go_live();
    sql("UPDATE src SET v = v + 1; INSERT INTO src VALUES (3, 30)");
    await_applied(3);
    halt_live(COCO_OK);
    update(NULL);
    expect_actions(NULL);
    sql("DELETE FROM src WHERE id < 3");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:3 = 30");
}

/* A key that is told is the key that was listed, whatever its type and the settings of who writes. */
static void keys_of_every_type_are_told_as_listed(void **state)
{
    (void)state;
    sql("CREATE TABLE src (t text, n bigint, b boolean, u uuid, y bytea, z timestamptz, d interval, v int, "
        "PRIMARY KEY (t, n, b, u, y, z, d))");
    sql("INSERT INTO src VALUES ('a,~1~', -5, true, 'ffffffff-0000-0000-0000-000000000001', '\\x00ff', "
        "'2026-01-31 12:00:00.5+00', '1 day 2 hours', 1), "
        "('', 7, false, 'ffffffff-0000-0000-0000-000000000002', '', '2026-01-31 12:00:00+00', '1 second', 2)");
    go_live();
    sql("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET IntervalStyle = 'postgres'; "
        "SET bytea_output = 'escape'; SET standard_conforming_strings = off; UPDATE src SET v = v + 10");
    await_applied(2);
    sql("DELETE FROM src WHERE v = 12");
    await_applied(3);
    halt_live(COCO_OK);
    update(NULL);
    expect_actions(NULL);
}

/* A notification holds 8,000 bytes. */
static void key_too_long_to_be_told_is_found(void **state)
{
    (void)state;
    sql("CREATE TABLE src (id text PRIMARY KEY, v int); ALTER TABLE src ALTER id SET STORAGE plain");
    go_live();
    sql("ALTER TABLE src DROP CONSTRAINT src_pkey; INSERT INTO src VALUES (repeat('x', 7950), 1)");
    await_applied(1);
    sql("DELETE FROM src");
    await_applied(2);
    halt_live(COCO_OK);
}

/* More changes at once than are worth a look each. */
static void many_changes_at_once_converge(void **state)
{
    (void)state;
    make_table();
    go_live();
    sql("INSERT INTO src SELECT i, 1 FROM generate_series(1000, 3999) i");
    await_applied(3000);
    sql("DELETE FROM src WHERE id >= 3000; UPDATE src SET v = 2 WHERE id >= 1000");
    await_applied(3000 + 3000);
    halt_live(COCO_OK);
}

/* Triggers stay, and are used again; what a name needs is quoted. */
static void triggers_are_made_once(void **state)
{
    (void)state;
    sql("CREATE SCHEMA \"my 's\"; CREATE TABLE \"my 's\".\"a \"\"b'\" (\"k'\"\",~\" int PRIMARY KEY, v int)");
    what.schema = "my 's";
    what.table = "a \"b'";
    for (int i = 1; i < 3; i++) {
        go_live();
        sql(i == 1 ? "INSERT INTO \"my 's\".\"a \"\"b'\" VALUES (1, 1)" : "DELETE FROM \"my 's\".\"a \"\"b'\"");
        await_applied(1);
        halt_live(COCO_OK);
        assert_int_equal(sql_int("SELECT count(*) FROM pg_trigger"), 2);
        assert_int_equal(sql_int("SELECT count(*) FROM pg_proc WHERE proname LIKE 'coco!_notify!_%' ESCAPE '!'"), 1);
    }
}

/* S8.7: a table that takes the place of another gets triggers, and is read. */
static void table_that_is_replaced_is_followed(void **state)
{
    (void)state;
    make_table();
    go_live();
    sql("BEGIN; DROP TABLE src; CREATE TABLE src (id int PRIMARY KEY, v int); INSERT INTO src VALUES (1, 11); COMMIT");
    await_applied(2);
    sql("INSERT INTO src VALUES (3, 33)");
    await_applied(3);
    halt_live(COCO_OK);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:3 = 33");
}

/* A connection that is ended is told of, made again, and what happened meanwhile is found. */
static void lost_connection_is_made_again(void **state)
{
    (void)state;
    make_table();
    go_live();
    sql("ALTER TABLE src DISABLE TRIGGER USER; UPDATE src SET v = 11 WHERE id = 1; "
        "ALTER TABLE src ENABLE TRIGGER USER");
    assert_true(sql_int("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                        "AND datname = current_database()") > 0);
    await_applied(1);
    await_failure("COCO_EIO");
    sql("UPDATE src SET v = 22 WHERE id = 2");
    await_applied(2);
    AWAIT(live.failures == 1);
    halt_live(COCO_EFAIL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 22");
}

/* The server itself goes and comes back; meanwhile a stop is as quick as ever. */
static void server_that_goes_and_comes_back_is_followed(void **state)
{
    char *run[] = { "postgres", "-D", "data", "-k", pg.dir, "-c", "listen_addresses=", "-c", "fsync=off", NULL };

    (void)state;
    make_table();
    go_live();
    PQfinish(plan.conn);
    kill(pg.pid, SIGINT);
    waitpid(pg.pid, NULL, 0);
    await_failure("COCO_EIO");
    live_nap(300);
    pg.pid = pg__spawn(&pg, run);
    assert_true(pg.pid > 0 && pg__up(&pg));
    plan.conn = PQconnectdb(plan.conninfo);
    sql("INSERT INTO src VALUES (3, 30); DELETE FROM src WHERE id = 1");
    await_applied(2);
    halt_live(COCO_EFAIL);
    expect_shelf("shelf:\"tab\" = null", "tab:2 = 20", "tab:3 = 30");
}

/* Who may not make triggers is told so, and the rows are read now and then all the same; a stop doesn't wait for it. */
static void triggers_that_cannot_be_made_are_told(void **state)
{
    (void)state;
    sql("CREATE VIEW src AS SELECT 1 AS id, 10 AS v");
    what.key = "id";
    go_live();
    await_failure("iews cannot have row-level");
    sql("CREATE OR REPLACE VIEW src AS SELECT 1 AS id, 11 AS v");
    await_applied(1);
    halt_live(COCO_EFAIL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11");
}

/* A lock of others on the table delays the triggers, not a stop. */
static void stop_does_not_wait_for_a_lock(void **state)
{
    (void)state;
    make_table();
    sql("BEGIN; LOCK TABLE src IN ROW EXCLUSIVE MODE");
    live_begin();
    live_nap(200);
    halt_live(COCO_ESTOP);
    sql("COMMIT");
}

/* No listing keeps its transaction: the server may clean up behind it. */
static void listing_leaves_no_transaction(void **state)
{
    (void)state;
    make_table();
    go_live();
    assert_int_equal(sql_int("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                             "state LIKE 'idle in%'"), 0);
    live_sync();
    assert_int_equal(sql_int("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                             "state LIKE 'idle in%'"), 0);
    halt_live(COCO_OK);
}

static void query_that_shall_notify_is_refused(void **state)
{
    (void)state;
    what = (coco_postgres_read){ .query = "SELECT 1 AS id, 2 AS v", .key = "id", .live = true, .notify = true };
    update_fails(COCO_EINVAL, NULL);
    assert_true(said("only a table can notify"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIVE_TEST(changes_are_told_by_the_server),
        LIVE_TEST(changes_are_found_by_polling),
        LIVE_TEST(catch_up_gives_the_same),
        LIVE_TEST(keys_of_every_type_are_told_as_listed),
        LIVE_TEST(key_too_long_to_be_told_is_found),
        LIVE_TEST(many_changes_at_once_converge),
        LIVE_TEST(triggers_are_made_once),
        LIVE_TEST(table_that_is_replaced_is_followed),
        LIVE_TEST(lost_connection_is_made_again),
        LIVE_TEST(server_that_goes_and_comes_back_is_followed),
        LIVE_TEST(triggers_that_cannot_be_made_are_told),
        LIVE_TEST(stop_does_not_wait_for_a_lock),
        LIVE_TEST(listing_leaves_no_transaction),
        LIVE_TEST(query_that_shall_notify_is_refused),
    };

    unsetenv("COCOINDEX_THREADS");
    int failed = PG_RUN(tests, false);
    setenv("COCOINDEX_THREADS", "2", 1);
    return failed + PG_RUN(tests, false);
}
