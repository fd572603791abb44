/* test_sqlite_source.c - SQLite as a source: tables and queries as keyed rows, their memo states, what is wrong with
 * them; rows into structs (C2, S6.3). */
#include "rows_sqlite.h"

#include <inttypes.h>

static coco_sqlite_read what; /* what the program reads */
static char out_path[160];
static _Atomic int row_calls;

struct out {
    coco_value key;
    coco_str text;
};
static const coco_schema OUT = COCO_SCHEMA(struct out,
    COCO_FIELD(struct out, key, COCO_TEXT_T, .key = true), COCO_FIELD(struct out, text, COCO_TEXT_T));

/* Writes the row's key and its values, as JSON, into another database. */
COCO_FN(copy_row, (coco_row *, row, coco_table *, out), .memo = true)
{
    struct out o;
    coco_str key;

    row_calls++;
    COCO_TRY(coco_print(cx, coco_row_key(row), &key));
    COCO_TRY(coco_print_json(cx, coco_row_map(row), &o.text));
    o.key = coco_text_n(key);
    return coco_declare_row(cx, out, &o);
}
static coco_status copy_all(coco_ctx *cx)
{
    coco_table *out;

    COCO_TRY(coco_sqlite_mount_table(cx, coco_text(out_path), "out", &OUT, NULL, &out));
    return coco_mount_each(cx, COCO_AUTO, &copy_row, coco_sqlite_rows(cx, db_value(), &what),
                           COCO_ARGS(coco_table_value(out)));
}

/* The rows that came out. */
static void out_expect(const char *const *want, const char *file, int line)
{
    char kept[sizeof db_path];

    memcpy(kept, db_path, sizeof kept);
    memcpy(db_path, out_path, sizeof db_path);
    sql_expect("SELECT key, text FROM out ORDER BY key", want, file, line);
    memcpy(db_path, kept, sizeof kept);
}
#define expect_out(...) out_expect((const char *const[]){ __VA_ARGS__, NULL }, __FILE__, __LINE__)

static int source_begin(void **state)
{
    int rc = db_begin(state);

    snprintf(out_path, sizeof out_path, "%s/out.sqlite", db_dir);
    plan.main = copy_all;
    what = (coco_sqlite_read){ .table = "src" };
    row_calls = 0;
    return rc;
}
static int source_end(void **state)
{
    static const char *const ends[] = { "", "-wal", "-shm" };
    char path[200];

    for (size_t i = 0; i < 3; i++) snprintf(path, sizeof path, "%s%s", out_path, ends[i]), remove(path);
    return db_end(state);
}
#define SOURCE_TEST(name) cmocka_unit_test_setup_teardown(name, source_begin, source_end)

static void table_is_read_by_its_primary_key(void **state)
{
    (void)state;
    sql("CREATE TABLE src (a TEXT, b INTEGER, v, PRIMARY KEY (b, a)); "
        "INSERT INTO src VALUES ('x', 2, 1.5), ('b', 1, NULL), ('a', 1, 'text')");
    update(NULL);
    expect_out("[1,\"a\"]|{\"a\":\"a\",\"b\":1,\"v\":\"text\"}", "[1,\"b\"]|{\"a\":\"b\",\"b\":1,\"v\":null}",
               "[2,\"x\"]|{\"a\":\"x\",\"b\":2,\"v\":1.5}");
}

static void only_changed_rows_are_processed(void **state)
{
    (void)state;
    sql("CREATE TABLE src (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO src VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    update(NULL);
    assert_int_equal(row_calls, 3);
    sql("UPDATE src SET v = 'B' WHERE id = 2; DELETE FROM src WHERE id = 3; INSERT INTO src VALUES (4, 'd')");
    row_calls = 0;
    update(NULL);
    assert_int_equal(row_calls, 2);
    expect_out("1|{\"id\":1,\"v\":\"a\"}", "2|{\"id\":2,\"v\":\"B\"}", "4|{\"id\":4,\"v\":\"d\"}");
    update(NULL);
    assert_int_equal(row_calls, 2);
}

/* With a version the content isn't looked at: that is the promise which the program makes. */
static void version_is_the_memo_state(void **state)
{
    (void)state;
    sql("CREATE TABLE src (id INTEGER PRIMARY KEY, v TEXT, ver INTEGER);"
        "INSERT INTO src VALUES (1, 'a', 1), (2, 'b', 1)");
    what.version = "ver";
    update(NULL);
    row_calls = 0;
    sql("UPDATE src SET v = 'unseen' WHERE id = 1; UPDATE src SET v = 'seen', ver = 2 WHERE id = 2");
    update(NULL);
    assert_int_equal(row_calls, 1);
    expect_out("1|{\"id\":1,\"v\":\"a\",\"ver\":1}", "2|{\"id\":2,\"v\":\"seen\",\"ver\":2}");
}

static void query_with_parameters_is_read(void **state)
{
    const coco_value bind[1] = { coco_text("yes") };

    (void)state;
    sql("CREATE TABLE src (id INTEGER PRIMARY KEY, tag TEXT);"
        "INSERT INTO src VALUES (1, 'yes'), (2, 'no'), (3, 'yes')");
    what = (coco_sqlite_read){ .query = "SELECT tag || id AS k FROM src WHERE tag = ?1", .name = "tagged", .key = "k",
                               .bind = bind, .nbind = 1 };
    update(NULL);
    expect_out("\"yes1\"|{\"k\":\"yes1\"}", "\"yes3\"|{\"k\":\"yes3\"}");
}

/* What is read is one snapshot, and in the order of bytes whatever the collation. */
static void text_keys_come_in_the_order_of_bytes(void **state)
{
    (void)state;
    sql("CREATE TABLE src (k TEXT PRIMARY KEY COLLATE NOCASE);"
        "INSERT INTO src VALUES ('b'), ('A'), ('c'), ('D'), ('\xc3\xa4')");
    update(NULL);
    assert_int_equal(row_calls, 5);
}

static void what_is_wrong_is_told(void **state)
{
    static const struct {
        coco_sqlite_read what;
        coco_status rc;
        const char *words;
    } cases[] = {
        { { .table = "none" }, COCO_ENOTFOUND, "no such table: none" },
        { { .table = "nokey" }, COCO_EINVAL, "has no primary key" },
        { { .table = "src", .key = "x" }, COCO_EFAIL, "no such column" },
        { { .table = "src", .version = "x" }, COCO_EINVAL, "no column x for the version" },
        { { .query = "SELECT 1 AS a" }, COCO_EINVAL, "must be named" },
        { { .query = "DELETE FROM src", .key = "a" }, COCO_EINVAL, "one statement that reads" },
        { { .query = "SELECT 1 AS a; SELECT 2", .key = "a" }, COCO_EINVAL, "one statement that reads" },
        { { .query = "SELECT 1.5 AS a", .key = "a" }, COCO_ETYPE, "is a float" },
        { { .query = "SELECT NULL AS a", .key = "a" }, COCO_ETYPE, "is null" },
        { { .query = "SELECT 1 AS a UNION ALL SELECT 1", .key = "a" }, COCO_EDUP, "" },
        { { 0 }, COCO_EINVAL, "neither a table nor a query" },
    };

    (void)state;
    update_fails(COCO_ENOTFOUND, NULL);
    assert_non_null(strstr(w.err.msg, "no such database"));
    sql("CREATE TABLE src (id INTEGER PRIMARY KEY); CREATE TABLE nokey (x)");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        what = cases[i].what;
        update_fails(cases[i].rc, NULL);
        if (!strstr(w.err.msg, cases[i].words)) fail_msg("%zu: %s", i, w.err.msg);
    }
}

/* ---- Into a struct ----------------------------------------------------------------------------------------------- */

struct in {
    int32_t id;
    bool flag;
    coco_opt_double x;
    const char *name;
    coco_floats v;
    uint8_t u[16];
    coco_value any;
};
static const coco_schema IN = COCO_SCHEMA(struct in,
    COCO_FIELD(struct in, id, COCO_INT_T, .key = true), COCO_FIELD(struct in, flag, COCO_BOOL_T),
    COCO_FIELD(struct in, x, COCO_DOUBLE_T, .nullable = true),
    COCO_FIELD(struct in, name, COCO_TEXT_T, .column = "the name"),
    COCO_FIELD(struct in, v, COCO_VECTOR_T, .dim = 2), COCO_FIELD(struct in, u, COCO_UUID_T),
    COCO_FIELD(struct in, any, COCO_JSON_T, .nullable = true));

static coco_status into_structs(coco_ctx *cx)
{
    struct in in;

    COCO_EACH(cx, coco_sqlite_rows(cx, db_value(), &what), key, value) {
        COCO_TRY(coco_row_read(cx, coco_object_of(value, &coco_row_class), &IN, &in));
        assert_int_equal(coco_int_of(key), in.id);
        assert_true(in.flag);
        assert_int_equal(in.x.set, in.id == 1);
        assert_string_equal(in.name, "n");
        assert_true(in.v.n == 2 && in.v.p[1] == -2.5f);
        assert_int_equal(in.u[0], 0xff);
        assert_int_equal(in.any.kind, in.id == 1 ? COCO_TEXT_KIND : COCO_NULL);
        row_calls++;
    }
    return coco_error(cx);
}
static void row_fills_a_struct(void **state)
{
    (void)state;
    sql("CREATE TABLE src (id INTEGER PRIMARY KEY, flag, x, \"the name\", v, u, any); "
        "INSERT INTO src VALUES (1, 1, 2, 'n', x'0000803f000020c0', 'ff000000-0000-0000-0000-000000000000', '[1]'), "
        "(2, 1, NULL, 'n', x'0000803f000020c0', 'ff000000-0000-0000-0000-000000000000', NULL)");
    plan.main = into_structs;
    update(NULL);
    assert_int_equal(row_calls, 2);
    sql("UPDATE src SET flag = NULL WHERE id = 2");
    update_fails(COCO_ENOTFOUND, NULL);
    assert_non_null(strstr(w.err.msg, "column flag: the row has no value for it"));
    sql("UPDATE src SET flag = 'x' WHERE id = 2");
    update_fails(COCO_ETYPE, NULL);
    sql("DELETE FROM src WHERE id = 2; UPDATE src SET id = 3000000000");
    update_fails(COCO_EINVAL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOURCE_TEST(table_is_read_by_its_primary_key),
        SOURCE_TEST(only_changed_rows_are_processed),
        SOURCE_TEST(version_is_the_memo_state),
        SOURCE_TEST(query_with_parameters_is_read),
        SOURCE_TEST(text_keys_come_in_the_order_of_bytes),
        SOURCE_TEST(what_is_wrong_is_told),
        SOURCE_TEST(row_fills_a_struct),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
