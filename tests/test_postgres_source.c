/* test_postgres_source.c - tables and queries of PostgreSQL as sources; and what verify and list say of a target's rows
 * (C0.2, C0.7, C3, S6.3, S7.13). */
#include "pg_world.h"

#include "../engine/engine.h" /* the handler of a target, whose hooks no command calls yet */

/* ---- Source ------------------------------------------------------------------------------------------------------ */

static coco_postgres_read what;
static lines seen;
static void (*between)(coco_value key); /* called in each row's function */

COCO_FN(see_row, (coco_row *, row), .memo = true)
{
    coco_str text;

    COCO_TRY(coco_print(cx, coco_row_map(row), &text));
    lines_add(&seen, "%.*s", (int)text.n, text.p);
    if (between) between(coco_row_key(row));
    return COCO_OK;
}

static coco_status see(coco_ctx *cx)
{
    return coco_mount_each(cx, COCO_AUTO, &see_row, coco_postgres_rows(cx, DB_REF, &what), COCO_NOARGS);
}

#define expect_seen(...) LINES_EXPECT(&seen, __VA_ARGS__)
#define expect_none_seen() lines_expect(&seen, (const char *const[]){ NULL }, __FILE__, __LINE__)

static void look(void)
{
    lines_clear(&seen);
    pg_update(see);
}

static int begin(void **state)
{
    what = (coco_postgres_read){ .table = "t" };
    between = NULL;
    return pg_world_begin(state);
}

static int end(void **state)
{
    lines_clear(&seen);
    return pg_world_end(state);
}
#define SOURCE_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* C3: a table as keyed rows, in the order of its primary key; what is unchanged costs no call, what goes is deleted. */
static void rows_of_a_table_are_items(void **state)
{
    (void)state;
    sql("CREATE TABLE t (a text, n int, b int, PRIMARY KEY (b, a)); INSERT INTO t VALUES ('x', 1, 2), ('y', 2, 1), "
        "('B', 3, 1), ('a', 4, 1)");
    look();
    expect_seen("{\"b\":1,\"a\":\"B\",\"n\":3}", "{\"b\":1,\"a\":\"a\",\"n\":4}", "{\"b\":1,\"a\":\"y\",\"n\":2}",
                "{\"b\":2,\"a\":\"x\",\"n\":1}");
    look();
    expect_none_seen();
    sql("UPDATE t SET n = 30 WHERE n = 3; DELETE FROM t WHERE n = 1");
    look();
    expect_seen("{\"b\":1,\"a\":\"B\",\"n\":30}");
    restart();
    pg_choose(see);
    expect_nothing_written();
}

/* C3: incremental by a column: it is the memo state, the content is not looked at. */
static void version_column_is_the_memo_state(void **state)
{
    (void)state;
    what.version = "v";
    what.columns = "n";
    sql("CREATE TABLE t (id int PRIMARY KEY, n int, v int); INSERT INTO t VALUES (1, 10, 1), (2, 20, 1)");
    look();
    expect_seen("{\"id\":1,\"v\":1,\"n\":10}", "{\"id\":2,\"v\":1,\"n\":20}");
    sql("UPDATE t SET n = 11 WHERE id = 1; UPDATE t SET n = 21, v = 2 WHERE id = 2");
    look();
    expect_seen("{\"id\":2,\"v\":2,\"n\":21}");
}

/* C3: a query, with values bound. */
static void query_with_parameters_is_a_source(void **state)
{
    const coco_value bind[] = { coco_int(1), coco_text("o'k") };

    (void)state;
    sql("CREATE TABLE t (id int, s text); INSERT INTO t VALUES (1, 'o''k'), (2, 'o''k'), (3, 'no')");
    what = (coco_postgres_read){ .query = "SELECT id, s, upper(s) AS \"U p\" FROM t WHERE id > $1 AND s = $2",
                                 .name = "some", .key = "id", .bind = bind, .nbind = 2 };
    look();
    expect_seen("{\"id\":2,\"s\":\"o'k\",\"U p\":\"O'K\"}");
    look();
    expect_none_seen();
}

static void change_under_way(coco_value key)
{
    if (coco_int_of(key) == 1)
        sql("UPDATE t SET n = -1; DELETE FROM t WHERE id = 2400; INSERT INTO t VALUES (0, 0), (9999, 0)");
}

/* C3: one snapshot, streamed: what changes meanwhile is the next update's. */
static void source_reads_one_snapshot_by_a_cursor(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    sql("CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 2500) i");
    between = change_under_way;
    look();
    assert_int_equal(seen.n, 2500);
    assert_string_equal(seen.v[2399], "{\"id\":2400,\"n\":2400}");
    between = NULL;
    look();
    assert_int_equal(seen.n, 2501);
    assert_string_equal(seen.v[0], "{\"id\":0,\"n\":0}");
}

/* C3: values of every type. */
static void values_are_read_by_their_types(void **state)
{
    (void)state;
    sql("CREATE TABLE t (id smallint PRIMARY KEY, b bool, i bigint, r real, f float8, y bytea, u uuid, ts timestamptz, "
        "tn timestamp, d date, c time, v interval, n numeric, j jsonb, a int[]); INSERT INTO t VALUES (1, true, "
        "9223372036854775807, 0.5, 0.1, '\\x00ff', 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6', '2026-01-31 12:00:00+01', "
        "'2026-01-31 12:00:00.5', '2026-01-31', '12:00', '1 day 2 hours', 12.50, '{\"k\": 1}', '{1,2}')");
    what.columns = "b,i,r,f,y,u";
    look();
    expect_seen("{\"id\":1,\"b\":true,\"i\":9223372036854775807,\"r\":0.5,\"f\":0.1,\"y\":b\"00ff\","
                "\"u\":f81d4fae-7dec-11d0-a765-00a0c91e6bf6}");
    sql("INSERT INTO t VALUES (2)");
    look();
    expect_seen("{\"id\":2,\"b\":null,\"i\":null,\"r\":null,\"f\":null,\"y\":null,\"u\":null}");
    sql("DELETE FROM t WHERE id = 2");
    what.columns = " ts, tn, d, c, v, n, j, a";
    look();
    assert_string_equal(seen.v[0], "{\"id\":1,\"ts\":\"2026-01-31T11:00:00Z\",\"tn\":\"2026-01-31T12:00:00.5\","
                                   "\"d\":\"2026-01-31\",\"c\":\"12:00:00\",\"v\":\"P1DT2H\",\"n\":\"12.50\","
                                   "\"j\":\"{\\\"k\\\": 1}\",\"a\":\"{1,2}\"}");
}

struct person {
    int64_t id;
    const char *name;
    coco_opt_double weight;
};
static const coco_schema PEOPLE = COCO_SCHEMA(struct person,
    COCO_FIELD(struct person, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct person, name, COCO_TEXT_T),
    COCO_FIELD(struct person, weight, COCO_DOUBLE_T, .nullable = true));

COCO_FN(copy_person, (coco_row *, row, coco_table *, table), .memo = true)
{
    struct person p;

    COCO_TRY(coco_row_read(cx, row, &PEOPLE, &p));
    p.id *= 2;
    return coco_declare_row(cx, table, &p);
}

static coco_status copy_people(coco_ctx *cx)
{
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "copies", &PEOPLE, NULL, &t));
    return coco_mount_each(cx, COCO_AUTO, &copy_person, coco_postgres_rows(cx, DB_REF, &what),
                           COCO_ARGS(coco_table_value(t)));
}

/* From one table into another, by a struct. */
static void rows_go_from_table_to_table(void **state)
{
    (void)state;
    sql("CREATE SCHEMA s; CREATE TABLE s.people (id bigint PRIMARY KEY, name text, weight float8); INSERT INTO "
        "s.people VALUES (1, 'Ada', 60.5), (2, 'Bob', NULL)");
    what = (coco_postgres_read){ .schema = "s", .table = "people" };
    pg_update(copy_people);
    expect_sql("SELECT * FROM copies ORDER BY id", "2|Ada|60.5", "4|Bob|~");
    sql("DELETE FROM s.people WHERE id = 1; UPDATE s.people SET name = 'Bea'");
    pg_update(copy_people);
    expect_sql("SELECT * FROM copies ORDER BY id", "4|Bea|~");
}

/* What is wrong is the first answer, and deletes nothing (S3.10). */
static void what_is_wrong_with_a_source_is_said(void **state)
{
    static const struct {
        coco_postgres_read read;
        const char *says;
    } all[] = {
        { { .table = "none" }, "there is no table or view \"none\"" },
        { { .table = "no_key" }, "it has no primary key" },
        { { .table = "t", .key = "none" }, "column \"none\" does not exist" },
        { { .query = "SELECT 1 AS a" }, "a query needs the names of its key columns" },
        { { .query = "SELECT 1 AS a FROM", .key = "a" }, "syntax error" },
        { { .query = "SELECT NULL::int AS a", .key = "a" }, "the key column a holds a null" },
        { { .query = "SELECT 1.5::float8 AS a", .key = "a" }, "value that can't be a key" },
        { { .query = "SELECT 1 AS a UNION ALL SELECT 1", .key = "a" }, "1" },
        { { 0 }, "a source is a table or a query" },
    };

    (void)state;
    sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE no_key (a int); INSERT INTO t VALUES (1)");
    look();
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        what = all[i].read;
        pg_choose(see);
        assert_int_not_equal(try_update(NULL), COCO_OK);
        assert_true(said(all[i].says));
        assert_int_equal(w.result.deletes, 0);
    }
}

/* ---- Verify and list --------------------------------------------------------------------------------------------- */

static const coco_schema PLAIN = { .columns = (const coco_column[]){
    { "id", .type = COCO_INT_T, .key = true }, { "k", .type = COCO_TEXT_T, .key = true },
    { "f", .type = COCO_DOUBLE_T, .nullable = true }, { "y", .type = COCO_BYTES_T, .nullable = true },
    { "u", .type = COCO_UUID_T, .nullable = true }, { "d", .type = COCO_DATE_T, .nullable = true } }, .n = 6 };
/* Of each kind that the server prints in a form of its own. */
static const coco_schema PRINTED = { .columns = (const coco_column[]){
    { "id", .type = COCO_INT_T, .key = true }, { "t", .type = COCO_TIME_T, .key = true },
    { "c", .type = COCO_CLOCK_T }, { "i", .type = COCO_INTERVAL_T }, { "n", .type = COCO_DECIMAL_T },
    { "j", .type = COCO_JSON_T, .nullable = true }, { "x", .type = COCO_JSON_T, .sql_type = "json" },
    { "r", .type = COCO_DOUBLE_T, .sql_type = "numeric(10,3)" },
    { "p", .type = COCO_TEXT_T, .sql_type = "char(5)", .nullable = true },
    { "s", .type = COCO_INT_T, .sql_type = "smallint" } }, .n = 10 };

static const coco_schema *plain_schema = &PLAIN;
static lines verdicts;
static size_t long_text; /* in the last column of JSON of row 3 */

static coco_value plain_row(coco_value v[10], int64_t id)
{
    v[0] = coco_int(id), v[1] = coco_text("k'"), v[2] = coco_float(0.1), v[3] = coco_bytes("\0\xff", 2);
    v[4] = coco_uuid((const uint8_t *)"0123456789abcdef"), v[5] = coco_text("2026-01-31");
    return coco_list(v, plain_schema->n);
}

static coco_value printed_row(coco_ctx *cx, coco_value v[10], int64_t id)
{
    coco_pair *pairs = coco_alloc(cx, 2 * sizeof *pairs);
    char *text = coco_alloc(cx, long_text + 1);

    if (!text || !pairs) return coco_null();
    memset(text, 'x', long_text);
    pairs[0] = (coco_pair){ COCO_STR("long"), coco_int(1) };
    pairs[1] = (coco_pair){ COCO_STR("b"), coco_float(1.5) };
    v[0] = coco_int(id), v[1] = coco_text("2026-01-31T12:00:00.500+01:00"), v[2] = coco_text("04:05");
    v[3] = coco_text("P1DT26H"), v[4] = coco_text(id == 2 ? "1e2" : "-012.50"), v[5] = coco_map_value(pairs, 2);
    v[6] = coco_text_n((coco_str){ text, id == 3 ? long_text : 0 }), v[7] = coco_float(0.1), v[8] = coco_text("ab");
    v[9] = coco_int(-7);
    if (id == 2) v[5] = v[8] = coco_null();
    return coco_list(v, plain_schema->n);
}

static coco_value some_row(coco_ctx *cx, coco_value v[10], int64_t id)
{
    return plain_schema == &PLAIN ? plain_row(v, id) : printed_row(cx, v, id);
}

static const char *verdict_name(coco_verdict v)
{
    static const char *const names[] = { "ok", "missing", "different", "unknown" };

    return names[v];
}

/* Declares rows 1 to 3, and asks of them as they are now. */
static coco_status verify_rows(coco_ctx *cx)
{
    coco_finding f[3] = { { .verdict = COCO_STATE_UNKNOWN } };
    coco_value v[10], k;
    coco_source *list;
    coco_table *t;
    coco_str row, text;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "plain", plain_schema, NULL, &t));
    const coco_target_handler *h = &coco_table_target(t)->handler;
    for (int i = 0; i < 3; i++) COCO_TRY(coco_declare_values(cx, t, some_row(cx, v, i + 1)));
    if (!plan.calls) return COCO_OK;
    for (int i = 0; i < 3; i++) {
        coco_decision d = { 0 };
        COCO_TRY(coco_row_encode(cx, h->self, some_row(cx, v, i + 1), &row, &k));
        coco_value desired = coco_bytes(row.p, row.n);
        COCO_TRY(h->reconcile(cx, h->self, &(coco_change){ .key = k, .desired = &desired }, &d));
        f[i] = (coco_finding){ .key = coco_copy_value(cx, k), .verdict = COCO_STATE_UNKNOWN, .record = d.record };
    }
    COCO_TRY(h->verify(cx, h->self, f, 3));
    for (int i = 0; i < 3; i++) lines_add(&verdicts, "%s", verdict_name(f[i].verdict));
    COCO_TRY(h->list(cx, h->self, &list));
    COCO_EACH(cx, list, item, value)
    {
        (void)value;
        COCO_TRY(coco_print(cx, item, &text));
        lines_add(&verdicts, "%.*s", (int)text.n, text.p);
    }
    return coco_error(cx);
}

static void ask(void)
{
    lines_clear(&verdicts);
    plan.calls = 1;
    pg_update(verify_rows);
    plan.calls = 0;
}

/* S7.13: ok, missing, different; and what nobody declared is listed. */
static void verify_tells_what_became_of_rows(void **state)
{
    (void)state;
    plain_schema = &PLAIN;
    pg_update(verify_rows);
    ask();
    LINES_EXPECT(&verdicts, "ok", "ok", "ok", "[1,\"k'\"]", "[2,\"k'\"]", "[3,\"k'\"]");
    sql("UPDATE plain SET f = 0.2 WHERE id = 1; DELETE FROM plain WHERE id = 2; INSERT INTO plain VALUES (9, 'new')");
    ask();
    LINES_EXPECT(&verdicts, "different", "missing", "ok", "[1,\"k'\"]", "[3,\"k'\"]", "[9,\"new\"]");
    lines_clear(&verdicts);
}

static void expect_verdicts(const char *a, const char *b, const char *c)
{
    ask();
    assert_string_equal(verdicts.v[0], a);
    assert_string_equal(verdicts.v[1], b);
    assert_string_equal(verdicts.v[2], c);
    lines_clear(&verdicts);
}

/* Columns that the server prints in its own form are compared there. */
static void verify_compares_what_the_server_prints_its_own_way(void **state)
{
    static const char *const changes[] = {
        "c = '04:06'", "i = '1 day 25:00:00'", "n = -12.51", "j = '{\"b\": 1.5, \"long\": 2}'", "j = NULL",
        "x = '\"y\"'", "r = 0.101", "p = 'abc'", "p = NULL", "s = -8",
    };
    char text[200];

    (void)state;
    plain_schema = &PRINTED;
    pg_update(verify_rows);
    expect_verdicts("ok", "ok", "ok");
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        sql("CREATE TABLE kept AS SELECT * FROM plain WHERE id = 1");
        snprintf(text, sizeof text, "UPDATE plain SET %s WHERE id = 1", changes[i]);
        sql(text);
        expect_verdicts("different", "ok", "ok");
        sql("DELETE FROM plain WHERE id = 1; INSERT INTO plain SELECT * FROM kept; DROP TABLE kept");
    }
    sql("UPDATE plain SET p = 'null' WHERE id = 2; UPDATE plain SET t = t + interval '1 second' WHERE id = 3");
    expect_verdicts("ok", "different", "missing");
}

/* The record doesn't grow with what it keeps. */
static void verify_cant_tell_of_long_values_that_are_printed_anew(void **state)
{
    (void)state;
    plain_schema = &PRINTED;
    long_text = COCO_ROWS_KEPT + 1;
    pg_update(verify_rows);
    expect_verdicts("ok", "ok", "unknown");
    sql("DELETE FROM plain WHERE id = 3");
    expect_verdicts("ok", "ok", "missing");
    long_text = 0;
}

int main(void)
{
    const struct CMUnitTest postgres_source[] = {
        SOURCE_TEST(rows_of_a_table_are_items),
        SOURCE_TEST(version_column_is_the_memo_state),
        SOURCE_TEST(query_with_parameters_is_a_source),
        SOURCE_TEST(source_reads_one_snapshot_by_a_cursor),
        SOURCE_TEST(values_are_read_by_their_types),
        SOURCE_TEST(rows_go_from_table_to_table),
        SOURCE_TEST(what_is_wrong_with_a_source_is_said),
        SOURCE_TEST(verify_tells_what_became_of_rows),
        SOURCE_TEST(verify_compares_what_the_server_prints_its_own_way),
        SOURCE_TEST(verify_cant_tell_of_long_values_that_are_printed_anew),
    };

    return PG_RUN(postgres_source, false);
}
