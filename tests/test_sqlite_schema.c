/* test_sqlite_schema.c - changes of a table's declaration on the filled table (C0.9, C2, S7.6): a table says which are
 * made in place and which by a rebuild; who reads meanwhile sees the old table or the new one, never an empty or half
 * filled one; and nothing expensive is computed again. */
#include "rows_sqlite.h"

#define ROWS 40

/* ---- The program: ROWS rows, each by a component with a memo, from an expensive function ------------------------- */

static _Atomic int expensive_calls, row_calls;
static bool one_fails; /* the component of row 7 fails */

COCO_FN(expensive, (int64_t, id), .memo = true)
{
    expensive_calls++;
    return coco_return(cx, coco_int(id * 10));
}

/* A value for the column, made from the row's number. */
static coco_value value_for(coco_ctx *cx, const coco_column *c, int64_t n)
{
    float f[3] = { (float)n, 1, 2 };

    switch (c->type) {
    case COCO_BOOL_T: return coco_bool(n % 20 == 0);
    case COCO_INT_T: return coco_int(n);
    case COCO_DOUBLE_T: return coco_float((double)n / 2);
    case COCO_BYTES_T: return coco_bytes("bytes", 5);
    case COCO_DATE_T: return coco_text("2026-01-31");
    case COCO_JSON_T: return coco_list(NULL, 0);
    case COCO_VECTOR_T: return coco_copy_value(cx, coco_vector(f, c->dim));
    default: return coco_text_n(coco_format(cx, "%d", (int)n));
    }
}

COCO_FN(some_row, (int64_t, id, coco_table *, docs), .memo = true)
{
    const coco_schema *s = coco_table_schema(docs);
    coco_value n, values[8];
    coco_pair pairs[8];

    row_calls++;
    COCO_TRY(coco_call(cx, &expensive, COCO_ARGS(coco_int(id)), &n));
    if (one_fails && id == 7) return coco_fail(cx, COCO_EFAIL, "not this one");
    for (size_t i = 0; i < s->n; i++) {
        values[i] = value_for(cx, &s->columns[i], coco_int_of(n));
        pairs[i] = (coco_pair){ coco_str_of(s->columns[i].name), values[i] };
    }
    return coco_declare_values(cx, docs, coco_map_value(pairs, s->n));
}

static coco_status many_rows(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(mount_docs(cx, NULL, &docs));
    for (int i = 1; i <= ROWS; i++)
        COCO_TRY(mount_row(cx, &some_row, i, docs));
    return COCO_OK;
}

#define ID { .name = "id", .type = COCO_INT_T, .key = true }
#define A(...) { .name = "a", .type = __VA_ARGS__ }
#define B(...) { .name = "b", .type = __VA_ARGS__ }

/* ---- Readers that poll ------------------------------------------------------------------------------------------- */

static int polls;
static const char *polled; /* a query that must give ROWS at any time; NULL: nobody polls */

/* Looks at the file after every event of the engine, as another process would. */
static void poll_event(void *user, const coco_event *e)
{
    sqlite3_stmt *st;
    sqlite3 *db;

    on_event(user, e);
    if (!polled || (e->kind != COCO_EV_APPLIED && e->kind != COCO_EV_STARTED && e->kind != COCO_EV_PRECOMMIT)) return;
    db = db_open();
    assert_int_equal(sqlite3_prepare_v2(db, polled, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    if (sqlite3_column_int(st, 0) != ROWS) fail_msg("a reader saw %d rows", sqlite3_column_int(st, 0));
    sqlite3_finalize(st);
    sqlite3_close(db);
    polls++;
}

static int schema_begin(void **state)
{
    int rc = db_begin(state);

    w.env_config.on_event = poll_event;
    w.config.max_inflight = 8; /* several batches an update */
    polled = NULL;
    expensive_calls = row_calls = 0;
    polls = 0;
    one_fails = false;
    plan.main = many_rows;
    return rc;
}
#define SCHEMA_TEST(name) cmocka_unit_test_setup_teardown(name, schema_begin, db_end)

/* ---- What is done for which change ------------------------------------------------------------------------------- */

typedef enum how { KEPT, LOSSY, REBUILT } how;
static const char *const how_names[] = { "in place, kept", "in place, lossy", "rebuilt" };

static const struct change {
    const char *what;
    how done;
    coco_column before[3], after[3]; /* beside id; they end with no name */
    unsigned flags;                  /* 1: strict afterwards, 2: without rowid afterwards */
    const char *query, *row;         /* of row 2, afterwards */
} changes[] = {
    { "column added, nullable", LOSSY, { A(COCO_TEXT_T) }, { A(COCO_TEXT_T), B(COCO_INT_T, .nullable = true) }, 0,
      "a, b", "20|20" },
    { "column added, required", LOSSY, { A(COCO_TEXT_T) }, { A(COCO_TEXT_T), B(COCO_TEXT_T) }, 0, "a, b", "20|20" },
    { "column added, required vector", LOSSY, { A(COCO_TEXT_T) }, { A(COCO_TEXT_T), B(COCO_VECTOR_T, .dim = 1) }, 0,
      "a, b", "20|x'0000a041'" },
    { "column dropped", KEPT, { A(COCO_TEXT_T), B(COCO_INT_T) }, { A(COCO_TEXT_T) }, 0, "*", "20|20" },
    { "column renamed", LOSSY, { A(COCO_TEXT_T) }, { B(COCO_TEXT_T) }, 0, "*", "20|20" },
    { "made nullable", LOSSY, { A(COCO_TEXT_T) }, { A(COCO_TEXT_T, .nullable = true) }, 0, "a", "20" },
    { "made required", LOSSY, { A(COCO_TEXT_T, .nullable = true) }, { A(COCO_TEXT_T) }, 0, "a", "20" },
    { "int to text", LOSSY, { A(COCO_INT_T) }, { A(COCO_TEXT_T) }, 0, "typeof(a), a", "text|20" },
    { "int to double", LOSSY, { A(COCO_INT_T) }, { A(COCO_DOUBLE_T) }, 0, "a", "10f" },
    { "bool to int", LOSSY, { A(COCO_BOOL_T) }, { A(COCO_INT_T) }, 0, "a", "20" },
    { "date to text", LOSSY, { A(COCO_DATE_T) }, { A(COCO_TEXT_T) }, 0, "a", "20" },
    { "another SQL type", LOSSY, { A(COCO_TEXT_T) }, { A(COCO_TEXT_T, .sql_type = "varchar(9)") }, 0, "a", "20" },
    { "text to int", REBUILT, { A(COCO_TEXT_T) }, { A(COCO_INT_T) }, 0, "typeof(a), a", "integer|20" },
    { "text to bytes", REBUILT, { A(COCO_TEXT_T) }, { A(COCO_BYTES_T) }, 0, "a", "x'6279746573'" },
    { "another dimension", REBUILT, { A(COCO_VECTOR_T, .dim = 1) }, { A(COCO_VECTOR_T, .dim = 2) }, 0, "a",
      "x'0000a0410000803f'" },
    { "key column added", REBUILT, { A(COCO_TEXT_T) }, { A(COCO_TEXT_T, .key = true) }, 0, "id, a", "20|20" },
    { "made strict", REBUILT, { A(COCO_TEXT_T) }, { A(COCO_TEXT_T) }, 1, "a", "20" },
    { "made without rowid", REBUILT, { A(COCO_TEXT_T) }, { A(COCO_TEXT_T) }, 2, "a", "20" },
};

static coco_schema with_id(coco_column all[4], const coco_column more[3])
{
    size_t n = 1;

    all[0] = (coco_column)ID;
    for (size_t i = 0; i < 3 && more[i].name; i++) all[n++] = more[i];
    return (coco_schema){ .columns = all, .n = n };
}

/* How the engine saw the change: did the memos that stand for the rows hold? */
static how how_done(void)
{
    if (row_calls == 0) return KEPT;
    return w.result.inserts == ROWS ? REBUILT : LOSSY;
}

static void every_change_is_made_on_the_filled_table(void **state)
{
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const struct change *c = &changes[i];
        coco_column before[4], after[4];
        coco_schema old = with_id(before, c->before), new = with_id(after, c->after);
        char query[200];
        if (i) schema_begin(state);
        plan.schema = &old;
        update(NULL);
        polled = "SELECT count(*) FROM docs";
        row_calls = expensive_calls = 0;
        polls = 0;
        plan.schema = &new;
        plan.opts.strict = c->flags == 1;
        plan.opts.without_rowid = c->flags == 2;
        update(NULL);
        print_message("    %-32s %s\n", c->what, how_names[how_done()]);
        if (how_done() != c->done) fail_msg("%s: %s", c->what, how_names[how_done()]);
        if (expensive_calls) fail_msg("%s: %d expensive calls", c->what, expensive_calls);
        assert_true(polls > 0);
        snprintf(query, sizeof query, "SELECT %s FROM docs WHERE id = 20", c->query);
        expect_sql(query, c->row);
        expect_sql("SELECT count(*), (SELECT count(*) FROM sqlite_schema WHERE name LIKE 'coco%') FROM docs", "40|0");
        polled = NULL;
        row_calls = 0;
        update(NULL);
        expect_counts(0, 0, 0);
        assert_int_equal(row_calls, 0);
        if (i + 1 < sizeof changes / sizeof changes[0]) db_end(state);
    }
}

/* ---- Rebuilds ---------------------------------------------------------------------------------------------------- */

static const coco_column text_column = A(COCO_TEXT_T), int_column = A(COCO_INT_T);

static coco_schema two(coco_column all[2], coco_column second)
{
    all[0] = (coco_column)ID;
    all[1] = second;
    return (coco_schema){ .columns = all, .n = 2 };
}

/* A failure leaves the old table in its place; the first update without one shows the new table. */
static void half_filled_table_is_not_shown(void **state)
{
    coco_column a[2], b[2];
    coco_schema old = two(a, text_column), new = two(b, int_column);

    (void)state;
    plan.schema = &old;
    update(NULL);
    polled = "SELECT count(*) FROM docs WHERE typeof(a) = 'text'";
    plan.schema = &new;
    one_fails = true;
    update_fails(COCO_EFAIL, NULL);
    expect_sql("SELECT count(*), min(typeof(a)) FROM docs", "40|text");
    restart();
    one_fails = false;
    row_calls = 0;
    update(NULL);
    polled = NULL;
    assert_int_equal(row_calls, 1); /* those that were filled stay filled */
    expect_sql("SELECT count(*), min(typeof(a)) FROM docs", "40|integer");
    expect_sql("SELECT name FROM sqlite_schema", "docs");
}

static void crash_during_a_rebuild_leaves_the_old_table(void **state)
{
    coco_column a[2], b[2];
    coco_schema old = two(a, text_column), new = two(b, int_column);

    (void)state;
    plan.schema = &old;
    update(NULL);
    db_save();
    plan.schema = &new;
    one_fails = true;
    update_fails(COCO_EFAIL, NULL);
    db_crash(); /* the state knows of none of it */
    one_fails = false;
    update(NULL);
    expect_sql("SELECT count(*), min(typeof(a)) FROM docs", "40|integer");
    expect_sql("SELECT name FROM sqlite_schema", "docs");
}

static void change_back_before_the_rebuild_was_shown(void **state)
{
    coco_column a[2], b[2];
    coco_schema old = two(a, text_column), new = two(b, int_column);

    (void)state;
    plan.schema = &old;
    update(NULL);
    plan.schema = &new;
    one_fails = true;
    update_fails(COCO_EFAIL, NULL);
    plan.schema = &old;
    one_fails = false;
    update(NULL);
    expect_sql("SELECT count(*), min(typeof(a)) FROM docs", "40|text");
    expect_sql("SELECT name FROM sqlite_schema", "docs");
}

static void drop_during_a_rebuild_leaves_nothing(void **state)
{
    coco_column a[2], b[2];
    coco_schema old = two(a, text_column), new = two(b, int_column);

    (void)state;
    plan.schema = &old;
    update(NULL);
    plan.schema = &new;
    one_fails = true;
    update_fails(COCO_EFAIL, NULL);
    drop_all();
    expect_sql("SELECT count(*) FROM sqlite_schema", "0");
}

/* A primary key changed: what was recorded below is void, and never replayed as deletes over what was just written. */
static void destroyed_container_never_deletes_fresh_grandchildren(void **state)
{
    coco_column a[2], b[2];
    coco_schema old = two(a, text_column), new = two(b, text_column);

    (void)state;
    b[1].key = true;
    plan.schema = &old;
    update(NULL);
    plan.schema = &new;
    update(NULL);
    assert_int_equal(w.result.deletes, 0);
    expect_sql("SELECT count(*) FROM docs", "40");
    restart();
    update(NULL);
    expect_counts(0, 0, 0);
    expect_sql("SELECT count(*) FROM docs", "40");
}

static void full_reprocess_evolves_schema_too(void **state)
{
    coco_column a[2], b[2];
    coco_schema old = two(a, text_column), new = two(b, int_column);

    (void)state;
    plan.schema = &old;
    update(NULL);
    plan.schema = &new;
    update(OPTS(.full_reprocess = true));
    expect_sql("SELECT count(*), min(typeof(a)) FROM docs", "40|integer");
}

/* The alteration fails (a generated column of somebody else's is in the way): an error, the record doesn't say new. */
static void failed_alter_is_an_error(void **state)
{
    coco_column a[2], b[2];
    coco_schema old = two(a, text_column), new = two(b, text_column);

    (void)state;
    b[1].sql_type = "varchar(3)";
    plan.schema = &old;
    update(NULL);
    sql("ALTER TABLE docs ADD COLUMN g TEXT AS (a || a)");
    plan.schema = &new;
    update_fails(COCO_EFAIL, NULL);
    expect_sql("SELECT type FROM pragma_table_info('docs') WHERE name = 'a'", "TEXT");
    update_fails(COCO_EFAIL, NULL);
    sql("ALTER TABLE docs DROP COLUMN g");
    update(NULL);
    expect_sql("SELECT type FROM pragma_table_info('docs') WHERE name = 'a'", "varchar(3)");
    expect_sql("SELECT count(*) FROM docs", "40");
}

/* ---- What others added ------------------------------------------------------------------------------------------- */

static void alterations_keep_what_others_added(void **state)
{
    coco_column a[2], b[2];
    coco_schema old = two(a, text_column), new = two(b, text_column);

    (void)state;
    b[1].sql_type = "varchar(3)";
    plan.schema = &old;
    update(NULL);
    sql("ALTER TABLE docs ADD COLUMN mine TEXT NOT NULL DEFAULT 'x'; UPDATE docs SET mine = 'm' || id;"
        "CREATE INDEX theirs ON docs (mine); CREATE VIEW v AS SELECT a FROM docs;"
        "INSERT INTO docs VALUES (901, 'b', 'c');"
        "CREATE TABLE log (t); CREATE TRIGGER tr AFTER UPDATE ON docs BEGIN INSERT INTO log VALUES (new.id); END");
    plan.schema = &new;
    update(NULL);
    expect_sql("SELECT * FROM docs WHERE id IN (20, 901)", "20|20|m20", "901|b|c");
    expect_sql("SELECT name FROM sqlite_schema WHERE type <> 'table' ORDER BY name", "theirs", "tr", "v");
    expect_sql("SELECT count(*) FROM v", "41");
    expect_sql("SELECT count(*) FROM log", "40");
}

static void dropping_an_indexed_column_works(void **state)
{
    coco_column a[3] = { ID, { .name = "a", .type = COCO_TEXT_T }, { .name = "b", .type = COCO_TEXT_T } }, b[2];
    coco_schema old = { .columns = a, .n = 3 }, new = two(b, text_column);

    (void)state;
    plan.schema = &old;
    update(NULL);
    sql("CREATE INDEX on_b ON docs (b); CREATE INDEX on_a ON docs (a)");
    plan.schema = &new;
    update(NULL);
    expect_sql("SELECT * FROM docs WHERE id = 20", "20|20");
    expect_sql("SELECT name FROM sqlite_schema WHERE type = 'index'", "on_a");
}

/* Text keys have rowids that others may refer to. */
static void alterations_keep_rowids(void **state)
{
    coco_column a[2] = { { .name = "k", .type = COCO_TEXT_T, .key = true }, { .name = "a", .type = COCO_TEXT_T } };
    coco_column b[2] = { { .name = "k", .type = COCO_TEXT_T, .key = true },
                         { .name = "a", .type = COCO_TEXT_T, .sql_type = "clob" } };
    coco_schema old = { .columns = a, .n = 2 }, new = { .columns = b, .n = 2 };

    (void)state;
    plan.schema = &old;
    update(NULL);
    sql("UPDATE docs SET rowid = 1000 + rowid");
    plan.schema = &new;
    update(NULL);
    expect_sql("SELECT min(rowid) > 1000, count(*) FROM docs", "1|40");
}

/* ---- Dimensions from the context --------------------------------------------------------------------------------- */

static coco_key MODEL = COCO_KEY("model", .detect_change = true);
static int model_dim;
static coco_status setup_model(coco_ctx *cx, void *user)
{
    const coco_pair model[2] = { PAIR("name", coco_text("m")), PAIR("dimensions", coco_int(model_dim)) };

    (void)user;
    return coco_provide(cx, &MODEL, coco_map_value(model, 2));
}
static void column_follows_the_dimension_of_its_embedder(void **state)
{
    coco_column a[2];
    coco_schema s = two(a, (coco_column){ .name = "v", .type = COCO_VECTOR_T, .dim_from = &MODEL });

    (void)state;
    w.env_config.setup = setup_model;
    plan.schema = &s;
    model_dim = 2;
    update(NULL);
    expect_sql("SELECT DISTINCT length(v) FROM docs", "8");
    restart();
    model_dim = 3;
    update(NULL);
    expect_sql("SELECT DISTINCT length(v), count(*) FROM docs", "12|40");
    restart();
    model_dim = 0;
    update_fails(COCO_ETYPE, NULL);
    assert_non_null(strstr(w.err.msg, "table docs: column v: the context key model names no dimension"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCHEMA_TEST(every_change_is_made_on_the_filled_table),
        SCHEMA_TEST(half_filled_table_is_not_shown),
        SCHEMA_TEST(crash_during_a_rebuild_leaves_the_old_table),
        SCHEMA_TEST(change_back_before_the_rebuild_was_shown),
        SCHEMA_TEST(drop_during_a_rebuild_leaves_nothing),
        SCHEMA_TEST(destroyed_container_never_deletes_fresh_grandchildren),
        SCHEMA_TEST(full_reprocess_evolves_schema_too),
        SCHEMA_TEST(failed_alter_is_an_error),
        SCHEMA_TEST(alterations_keep_what_others_added),
        SCHEMA_TEST(dropping_an_indexed_column_works),
        SCHEMA_TEST(alterations_keep_rowids),
        SCHEMA_TEST(column_follows_the_dimension_of_its_embedder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
