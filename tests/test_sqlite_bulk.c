/* test_sqlite_bulk.c - SQLite as a target: many new rows by one statement come to what they come to one by one (C2);
 * the first rows of a new file. Each case runs twice, on a table as it stands and on one with a trigger that does
 * nothing, whose rows go alone. */
#include "rows_sqlite.h"

#include <math.h>
#include <pthread.h>

struct item {
    int64_t id;
    coco_str title;
    coco_opt_double n;
    coco_str bytes;
    bool flag;
    coco_opt_uuid uuid;
    coco_floats v;
};
static const coco_schema ITEMS = COCO_SCHEMA(struct item,
    COCO_FIELD(struct item, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct item, title, COCO_TEXT_T, .nullable = true),
    COCO_FIELD(struct item, n, COCO_DOUBLE_T, .nullable = true),
    COCO_FIELD(struct item, bytes, COCO_BYTES_T), COCO_FIELD(struct item, flag, COCO_BOOL_T),
    COCO_FIELD(struct item, uuid, COCO_UUID_T, .nullable = true), COCO_FIELD(struct item, v, COCO_VECTOR_T, .dim = 2));

enum { MANY = 100 };

static bool with_nan;

static coco_status many_items(coco_ctx *cx)
{
    const float v[2] = { 1.0f, -2.5f };
    coco_table *docs;

    plan.opts.user_managed = true;
    COCO_TRY(mount_docs(cx, &ITEMS, &docs));
    for (int i = 1; i <= MANY; i++) {
        struct item item = { .id = i, .title = coco_format(cx, "t%d", i), .n = { i != 20, i / 2.0 },
                             .bytes = i % 7 ? COCO_STR("\xff\0x") : COCO_STR(""), .flag = i & 1,
                             .uuid = { i % 3 != 0, { (uint8_t)i, 2 } }, .v = { v, 2 } };
        if (i == 10) item.title = COCO_STR("a\0b");
        if (i == 11) item.title = COCO_STR("");
        if (i == 12) item.title = (coco_str){ NULL, 0 };
        if (i == 50 && with_nan) item.n.v = (double)NAN;
        COCO_TRY(coco_declare_row(cx, docs, &item));
    }
    return COCO_OK;
}

/* Statements of the connector that take many rows are counted as they begin. */
static int at_once;
static int traced(unsigned event, void *self, void *st, void *text)
{
    (void)event, (void)self, (void)st;
    at_once += strncmp(text, "INSERT OR FAIL", 14) == 0;
    return 0;
}
static int trace(sqlite3 *db, const char **words, const struct sqlite3_api_routines *api)
{
    (void)words, (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, traced, NULL);
}

#define TABLE "CREATE TABLE docs (id INTEGER PRIMARY KEY, title TEXT%s, n REAL, bytes BLOB, flag INTEGER, uuid TEXT, " \
              "v BLOB, mine TEXT DEFAULT 'd')%s; "

/* One case: what is said of the title, of the table, what is in it already; the error, and how often many go in. */
typedef struct bulk_case {
    const char *title, *table, *there, *error;
    int at_once;
} bulk_case;

static char *bulk_run(void **state, const bulk_case *c, bool alone)
{
    lines is = { .n = 0 };
    sqlite3 *db;

    assert_int_equal(db_end(state), 0);
    assert_int_equal(db_begin(state), 0);
    plan.main = many_items;
    sql(TABLE, c->title, c->table);
    sql("%s", c->there);
    if (alone) sql("CREATE TRIGGER quiet AFTER INSERT ON docs WHEN 0 BEGIN SELECT 1; END");
    at_once = 0;
    if (c->error) update_fails(with_nan ? COCO_EINVAL : COCO_EFAIL, NULL); /* and is tried again at the end */
    else update(NULL);
    assert_int_equal(at_once, alone ? 0 : c->at_once);
    if (c->error && !strstr(w.err.msg, c->error)) fail_msg("%s, not %s", w.err.msg, c->error);
    lines_add(&is, "%s %d %d", c->error ? strstr(w.err.msg, "sqlite: ") : "", (int)w.result.inserts,
              (int)w.result.updates);
    db = db_open();
    db_lines(db, "SELECT id, typeof(title), hex(title), typeof(n), n, typeof(bytes), bytes, typeof(flag), flag, uuid, "
             "typeof(v), v, mine FROM docs ORDER BY id", &is);
    db_lines(db, "PRAGMA integrity_check", &is);
    sqlite3_close(db);
    char *all = lines_join(is.v, is.n);
    lines_clear(&is);
    return all;
}

static void expect_as_alone(void **state, const bulk_case *c)
{
    char *together = bulk_run(state, c, false), *alone = bulk_run(state, c, true);

    assert_string_equal(together, alone);
    free(together), free(alone);
}

static void many_rows_are_as_one_by_one(void **state)
{
    static const bulk_case cases[] = {
        { "", "", "", NULL, 1 },
        { "", " STRICT", "", NULL, 1 },
        { "", " WITHOUT ROWID", "", NULL, 1 },
        { "", "", "CREATE INDEX i ON docs (upper(title)); CREATE UNIQUE INDEX u ON docs (n, title)", NULL, 1 },
        { "", "", "CREATE TABLE coco_rows (x); INSERT INTO coco_rows VALUES (1)", NULL, 0 },
        /* rows that are there: others' columns of them stay */
        { "", "", "INSERT INTO docs (id, mine) VALUES (1, 'a'), (60, 'b'), (100, 'c')", NULL, 3 },
        { "", "", "INSERT INTO docs (id, mine) WITH RECURSIVE n(i) AS (SELECT 30 UNION ALL SELECT i + 1 FROM n "
          "WHERE i < 50) SELECT i, 'e' FROM n", NULL, 8 },
        /* unique values in the way: for now, for good; as the table has it */
        { " UNIQUE", "", "INSERT INTO docs (id, title) VALUES (90, 't30')", NULL, 3 },
        { " UNIQUE", "", "INSERT INTO docs (id, title) VALUES (500, 't30')", "UNIQUE constraint failed: docs.title",
          4 },
        { " UNIQUE ON CONFLICT REPLACE", "", "INSERT INTO docs (id, title) VALUES (500, 't30')", NULL, 2 },
        { " UNIQUE ON CONFLICT IGNORE", "", "INSERT INTO docs (id, title) VALUES (500, 't30')", NULL, 2 },
        /* rows that can't be */
        { " CHECK (title <> 't70')", "", "", "(row [70] of docs)", 2 },
        { " NOT NULL", "", "", "(row [12] of docs)", 2 },
        { " NOT NULL ON CONFLICT REPLACE DEFAULT 'none'", "", "", NULL, 2 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) expect_as_alone(state, &cases[i]);
}

/* It comes in the middle, and is told by its row's and its column's name. */
static void nan_among_many_rows_is_named(void **state)
{
    with_nan = true;
    expect_as_alone(state, &(bulk_case){ "", "", "", "a NaN can't be stored (column n of docs)", 2 });
    with_nan = false;
}

/* More columns than the function has. */
static coco_status wide_rows(coco_ctx *cx)
{
    coco_column columns[70] = { { .name = "id", .type = COCO_INT_T, .key = true } };
    coco_schema wide = { .columns = columns, .n = (size_t)plan.n };
    coco_value values[70];
    coco_table *docs;

    for (int i = 1; i < plan.n; i++) {
        columns[i] = (coco_column){ .name = coco_format(cx, "c%d", i).p, .type = COCO_INT_T };
        values[i] = coco_int(i * 10);
    }
    COCO_TRY(mount_docs(cx, &wide, &docs));
    for (int i = 1; i <= MANY; i++) {
        coco_pair pairs[70];
        values[0] = coco_int(i);
        for (int k = 0; k < plan.n; k++) pairs[k] = (coco_pair){ coco_str_of(columns[k].name), values[k] };
        COCO_TRY(coco_declare_values(cx, docs, coco_map_value(pairs, (size_t)plan.n)));
    }
    return COCO_OK;
}
static void rows_may_have_many_columns(void **state)
{
    (void)state;
    plan.main = wide_rows;
    plan.n = 64;
    at_once = 0;
    update(NULL);
    assert_int_equal(at_once, 1);
    expect_sql("SELECT count(*) FROM docs WHERE c63 = 630", "100");
    plan.n = 65; /* in place: rows that are there are written again */
    update(NULL);
    expect_sql("SELECT count(*) FROM docs WHERE c64 = 640", "100");
    db_delete();
    update(NULL);
    assert_int_equal(at_once, 1);
    expect_sql("SELECT count(*) FROM docs WHERE c64 = 640 AND c1 = 10", "100");
}

/* A full-text index of the same batch has triggers from then on. */
static coco_status searched(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &ITEMS, &docs));
    COCO_TRY(coco_sqlite_declare_fts(cx, docs, "f", &(coco_sqlite_fts){ .columns = "title" }));
    for (int i = 1; i <= plan.n; i++)
        COCO_TRY(coco_declare_row(cx, docs, &(struct item){ .id = i, .title = coco_format(cx, "word%d", i),
                                                            .v = { (const float[]){ 0, 0 }, 2 } }));
    return COCO_OK;
}
static void full_text_index_has_rows_of_both_ways(void **state)
{
    if (!sqlite3_compileoption_used("ENABLE_FTS5")) skip();
    (void)state;
    plan.main = searched;
    at_once = 0;
    for (plan.n = MANY; plan.n <= 3 * MANY; plan.n += MANY) update(NULL);
    assert_int_equal(at_once, 1);
    expect_sql("SELECT rowid FROM f WHERE f MATCH 'word7 OR word107 OR word207' ORDER BY rowid", "7", "107", "207");
    sql("INSERT INTO f(f) VALUES ('integrity-check')");
}

/* ---- A new file -------------------------------------------------------------------------------------------------- */

static sqlite3 *reader;
static void *reader_ends(void *arg)
{
    (void)arg;
    usleep(100000);
    sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL);
    return NULL;
}

static pthread_t thread;
static coco_status read_meanwhile(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &ITEMS, &docs));
    expect_sql("PRAGMA journal_mode", "delete");
    for (int i = 1; i <= MANY; i++)
        COCO_TRY(coco_declare_row(cx, docs, &(struct item){ .id = i, .v = { (const float[]){ 0, 0 }, 2 } }));
    reader = db_open();
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT * FROM docs", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(pthread_create(&thread, NULL, reader_ends, NULL), 0);
    return COCO_OK;
}
/* Until it has rows, a new file has a rollback journal, whose commit waits for readers. */
static void first_rows_wait_for_a_reader(void **state)
{
    (void)state;
    plan.main = read_meanwhile;
    update(NULL);
    pthread_join(thread, NULL);
    sqlite3_close(reader);
    expect_sql("SELECT count(*) FROM docs", "100");
    expect_sql("PRAGMA journal_mode", "wal");
}

static coco_status no_rows(coco_ctx *cx)
{
    coco_table *docs;

    return mount_docs(cx, &ITEMS, &docs);
}
static void file_without_rows_is_wal_all_the_same(void **state)
{
    (void)state;
    plan.main = no_rows;
    update(NULL);
    expect_sql("PRAGMA journal_mode", "wal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(many_rows_are_as_one_by_one),
        DB_TEST(nan_among_many_rows_is_named),
        DB_TEST(rows_may_have_many_columns),
        DB_TEST(full_text_index_has_rows_of_both_ways),
        DB_TEST(first_rows_wait_for_a_reader),
        DB_TEST(file_without_rows_is_wal_all_the_same),
    };

    sqlite3_auto_extension((void (*)(void))trace);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
