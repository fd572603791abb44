/* test_postgres_schema.c - changes of PostgreSQL tables, on filled ones: what is done in place, what is rebuilt, and
 * what readers see meanwhile; indexes and SQL beside the rows (C0.9, C3, S7.6, S7.8, S7.13). */
#include "pg_world.h"

#include <pthread.h>

/* ---- A program over any schema ----------------------------------------------------------------------------------- */

static coco_schema schema; /* of the table "docs" */
static coco_status (*beside)(coco_ctx *cx, coco_table *t); /* declares what stands beside the rows; may be NULL */
static int64_t poison;     /* the row with this id fails; 0: none */

#define SCHEMA(...) \
    (schema = (coco_schema){ .columns = (const coco_column[]){ __VA_ARGS__ }, \
                             .n = sizeof((const coco_column[]){ __VA_ARGS__ }) / sizeof(coco_column) })
#define ID { "id", .type = COCO_INT_T, .key = true }
#define N { "n", .type = COCO_INT_T }

/* Stands for what costs: it must not be called again when only the table changes. */
COCO_FN(expensive, (int64_t, n), .memo = true)
{
    plan.calls++;
    return coco_return(cx, coco_int(n));
}

/* A value for a column by its type; for the column "alpha" a text that is no number. */
static coco_value value_for(coco_ctx *cx, const coco_column *c, int64_t n)
{
    if (c->type == COCO_INT_T) return coco_int(n);
    if (c->type == COCO_TEXT_T)
        return coco_text_n(coco_format(cx, "%s%lld", strcmp(c->name, "alpha") == 0 ? "x" : "", (long long)n));
    if (c->type == COCO_DOUBLE_T) return coco_float((double)n / 2);
    if (c->type == COCO_BOOL_T) return coco_bool(n % 2);
    return coco_text("2026-01-31");
}

COCO_FN(put_doc, (coco_value, item, coco_table *, table), .memo = true)
{
    const coco_schema *s = coco_table_schema(table);
    coco_pair pairs[10];
    coco_value n;

    COCO_TRY(coco_call(cx, &expensive, COCO_ARGS(coco_at(item, 1)), &n));
    if (poison && coco_int_of(coco_at(item, 0)) == poison) return coco_fail(cx, COCO_EFAIL, "poisoned");
    for (size_t i = 0; i < s->n; i++) {
        pairs[i].key = coco_str_of(s->columns[i].name);
        pairs[i].value = i == 0 ? coco_at(item, 0) : value_for(cx, &s->columns[i], coco_int_of(n));
    }
    return coco_declare_values(cx, table, coco_map_value(pairs, s->n));
}

static coco_status docs(coco_ctx *cx)
{
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "docs", &schema, NULL, &t));
    if (beside) COCO_TRY(beside(cx, t));
    return coco_mount_each(cx, COCO_AUTO, &put_doc, items(cx, plan.rows, true), COCO_ARGS(coco_table_value(t)));
}

static int begin(void **state)
{
    beside = NULL;
    poison = 0;
    return pg_world_begin(state);
}
#undef PG_TEST
#define PG_TEST(name) cmocka_unit_test_setup_teardown(name, begin, pg_world_end)

/* The columns of the table as one line: "id bigint!, n text". */
#define COLUMNS \
    "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '!' ELSE '' " \
    "END, ', ' ORDER BY attname) FROM pg_attribute WHERE attrelid = 'docs'::regclass AND attnum > 0 AND NOT attisdropped"
#define OID "SELECT 'docs'::regclass::oid::int8"
#define LEFTOVERS "SELECT relname FROM pg_class WHERE relname LIKE 'coco%'"

/* The second update of an unchanged program does nothing at all: what the first did is whole. */
static void settled(void)
{
    int64_t oid = sql_int(OID);

    restart();
    pg_choose(docs);
    expect_nothing_written();
    assert_int_equal(sql_int(OID), oid);
    expect_no_rows(LEFTOVERS);
}

static void fill(void)
{
    plan.rows = "1=10 2=20 3=30";
    pg_update(docs);
    assert_int_equal(plan.calls, 3);
}

/* ---- Columns ----------------------------------------------------------------------------------------------------- */

/* C0.9: in place, lossy: rows are declared and upserted again; what costs is not called once more. */
static void added_column_is_filled_by_a_plain_update(void **state)
{
    int64_t oid;

    (void)state;
    SCHEMA(ID, N);
    fill();
    oid = sql_int(OID);
    SCHEMA(ID, N, { "s", .type = COCO_TEXT_T }, { "o", .type = COCO_DOUBLE_T, .nullable = true });
    pg_update(docs);
    expect_sql("SELECT id, n, s, o FROM docs ORDER BY id", "1|10|10|5", "2|20|20|10", "3|30|30|15");
    expect_sql(COLUMNS, "id bigint!, n bigint!, o double precision, s text!");
    assert_int_equal(sql_int(OID), oid);
    assert_int_equal(plan.calls, 3);
    settled();
}

/* C0.9: in place, children kept. */
static void dropped_column_leaves_rows_alone(void **state)
{
    int64_t oid;

    (void)state;
    SCHEMA(ID, N, { "s", .type = COCO_TEXT_T });
    fill();
    oid = sql_int(OID);
    sql("ALTER TABLE docs ADD COLUMN theirs text DEFAULT 'y'");
    SCHEMA(ID, { "s", .type = COCO_TEXT_T });
    pg_update(docs);
    expect_sql(COLUMNS, "id bigint!, s text!, theirs text");
    /* the rows' functions ran, as their table changed, and declared what is there but for the column */
    assert_int_equal(w.result.deletes, 0);
    assert_int_equal(sql_int(OID), oid);
    assert_int_equal(plan.calls, 3);
    settled();
}

/* C0.9: in place where the system can convert (lossy) … */
static void convertible_type_is_changed_in_place(void **state)
{
    int64_t oid;

    (void)state;
    SCHEMA(ID, N);
    fill();
    oid = sql_int(OID);
    SCHEMA(ID, { "n", .type = COCO_TEXT_T });
    pg_update(docs);
    expect_sql(COLUMNS, "id bigint!, n text!");
    SCHEMA(ID, { "n", .type = COCO_DOUBLE_T });
    pg_update(docs);
    expect_sql(COLUMNS, "id bigint!, n double precision!");
    expect_sql("SELECT n FROM docs ORDER BY id", "5", "10", "15");
    SCHEMA(ID, { "n", .type = COCO_TEXT_T, .sql_type = "varchar(9)" });
    pg_update(docs);
    expect_sql(COLUMNS, "id bigint!, n character varying(9)!");
    assert_int_equal(sql_int(OID), oid);
    assert_int_equal(plan.calls, 3);
    settled();
}

/* … else rebuilt: the content of "alpha" is no number, and nothing casts a number to a date. */
static void unconvertible_type_is_rebuilt(void **state)
{
    int64_t oid;

    (void)state;
    SCHEMA(ID, { "alpha", .type = COCO_TEXT_T });
    fill();
    oid = sql_int(OID);
    SCHEMA(ID, { "alpha", .type = COCO_INT_T });
    pg_update(docs);
    expect_sql(COLUMNS, "alpha bigint!, id bigint!");
    expect_sql("SELECT alpha FROM docs ORDER BY id", "10", "20", "30");
    assert_true(sql_int(OID) != oid);
    SCHEMA(ID, { "alpha", .type = COCO_DATE_T });
    pg_update(docs);
    expect_sql(COLUMNS, "alpha date!, id bigint!");
    assert_int_equal(plan.calls, 3);
    settled();
}

/* C3: NOT NULL is added only when it holds. */
static void not_null_comes_and_goes_in_place(void **state)
{
    int64_t oid;

    (void)state;
    SCHEMA(ID, { "n", .type = COCO_INT_T, .nullable = true });
    fill();
    oid = sql_int(OID);
    sql("INSERT INTO docs VALUES (9, NULL)");
    SCHEMA(ID, N);
    pg_update(docs);
    expect_sql(COLUMNS, "id bigint!, n bigint");
    sql("DELETE FROM docs WHERE id = 9");
    pg_update(docs);
    expect_sql(COLUMNS, "id bigint!, n bigint!");
    SCHEMA(ID, { "n", .type = COCO_INT_T, .nullable = true });
    pg_update(docs);
    expect_sql(COLUMNS, "id bigint!, n bigint");
    assert_int_equal(sql_int(OID), oid);
    settled();
}

/* ---- Rebuilt ----------------------------------------------------------------------------------------------------- */

/* A reader that polls while a table is rebuilt. */
static struct poller {
    pthread_t thread;
    _Atomic int stop;
    int64_t least, reads, errors; /* rows seen */
} poller;

static void *poll_rows(void *unused)
{
    PGconn *conn = PQconnectdb(plan.conninfo);

    (void)unused;
    while (!poller.stop) {
        PGresult *r = PQexec(conn, "SELECT count(*) FROM docs");
        if (PQresultStatus(r) != PGRES_TUPLES_OK) poller.errors++, print_error("%s", PQresultErrorMessage(r));
        else if (strtoll(PQgetvalue(r, 0, 0), NULL, 10) < poller.least)
            poller.least = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
        PQclear(r);
        poller.reads++;
    }
    PQfinish(conn);
    return NULL;
}

#define MANY 2000

COCO_FN(put_many, (int, from, coco_table *, table))
{
    const coco_schema *s = coco_table_schema(table);
    coco_pair pairs[4];

    for (int id = from; id < from + 100; id++) {
        for (size_t i = 0; i < s->n; i++) pairs[i] = (coco_pair){ coco_str_of(s->columns[i].name), coco_int(id) };
        COCO_TRY(coco_declare_values(cx, table, coco_map_value(pairs, s->n)));
    }
    return COCO_OK;
}

static coco_status many(coco_ctx *cx)
{
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "docs", &schema, NULL, &t));
    for (int from = 1; from < MANY; from += 100)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(from)), &put_many, COCO_ARGS(coco_int(from), coco_table_value(t)),
                            NULL));
    return COCO_OK;
}

/* C0.9: a rebuild fills a shadow table and swaps it in one transaction: readers never see the table empty. */
static void readers_never_see_a_half_filled_table(void **state)
{
    static const coco_column one_key[] = { ID, N }, two_keys[] = { ID, { "n", .type = COCO_INT_T, .key = true } };

    (void)state;
    schema = (coco_schema){ .columns = one_key, .n = 2 };
    plan.opts.max_actions = 100; /* twenty transactions */
    pg_update(many);
    poller = (struct poller){ .least = MANY };
    assert_int_equal(pthread_create(&poller.thread, NULL, poll_rows, NULL), 0);
    for (int i = 0; i < 6; i++) {
        schema.columns = i % 2 ? one_key : two_keys;
        pg_update(many);
    }
    poller.stop = 1;
    pthread_join(poller.thread, NULL);
    assert_int_equal(poller.errors, 0);
    assert_true(poller.reads > 0);
    assert_int_equal(poller.least, MANY);
    expect_no_rows(LEFTOVERS);
}

/* C0.9: primary key changed: rebuilt, what costs is not called once more. */
static void changed_key_rebuilds_the_table(void **state)
{
    int64_t oid;

    (void)state;
    SCHEMA(ID, N);
    fill();
    sql("CREATE ROLE reader_of_docs; GRANT SELECT ON docs TO reader_of_docs");
    oid = sql_int(OID);
    SCHEMA(ID, { "n", .type = COCO_INT_T, .key = true });
    pg_update(docs);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|10", "2|20", "3|30");
    expect_sql("SELECT pg_get_constraintdef(oid), conname FROM pg_constraint WHERE conrelid = 'docs'::regclass AND "
               "contype = 'p'", "PRIMARY KEY (id, n)|docs_pkey");
    expect_sql("SELECT has_table_privilege('reader_of_docs', 'docs', 'SELECT')", "t");
    assert_true(sql_int(OID) != oid);
    assert_int_equal(plan.calls, 3);
    settled();
    sql("DROP OWNED BY reader_of_docs; DROP ROLE reader_of_docs");
}

/* regressions: old records below are void, they are never deletes over rows just written. */
static void destroyed_container_never_deletes_fresh_grandchildren(void **state)
{
    (void)state;
    SCHEMA(ID, N);
    fill();
    SCHEMA(ID, { "n", .type = COCO_INT_T, .key = true });
    plan.rows = "1=10 2=20";
    pg_update(docs);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|10", "2|20");
    pg_update(docs);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|10", "2|20");
    assert_int_equal(w.result.deletes, 0);
    settled();
}

/* A rebuild that fails half-way leaves the old table to readers, and goes on in the next update, in another process. */
static void interrupted_rebuild_goes_on_in_the_next_update(void **state)
{
    (void)state;
    SCHEMA(ID, N);
    fill();
    SCHEMA(ID, { "n", .type = COCO_INT_T, .key = true });
    poison = 2;
    assert_int_equal(try_update(NULL), COCO_EFAIL);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|10", "2|20", "3|30");
    expect_sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'coco_shadow_%' AND relkind = 'r'", "1");
    restart();
    assert_int_equal(try_update(NULL), COCO_EFAIL);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|10", "2|20", "3|30");
    restart();
    poison = 0;
    plan.rows = "1=11 2=20 3=30";
    pg_update(docs);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|11", "2|20", "3|30");
    settled();
}

/* The program changes once more while a rebuild is unfinished. */
static void unfinished_rebuild_takes_another_change(void **state)
{
    (void)state;
    SCHEMA(ID, N);
    fill();
    SCHEMA(ID, { "n", .type = COCO_INT_T, .key = true });
    poison = 2;
    assert_int_equal(try_update(NULL), COCO_EFAIL);
    poison = 0;
    SCHEMA(ID, { "n", .type = COCO_INT_T, .key = true }, { "s", .type = COCO_TEXT_T });
    pg_update(docs);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|10|10", "2|20|20", "3|30|30");
    settled();
    SCHEMA({ "id", .type = COCO_INT_T }, { "n", .type = COCO_INT_T, .key = true });
    poison = 1;
    assert_int_equal(try_update(NULL), COCO_EFAIL);
    poison = 0;
    SCHEMA(ID, { "n", .type = COCO_INT_T });
    pg_update(docs);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|10", "2|20", "3|30");
    settled();
}

/* regressions: a change that fails is an error, never a record that says new over an old column. */
static void failed_alter_is_an_error(void **state)
{
    (void)state;
    SCHEMA(ID, N);
    fill();
    sql("CREATE VIEW v AS SELECT n FROM docs");
    SCHEMA(ID, { "n", .type = COCO_TEXT_T });
    pg_choose(docs);
    assert_int_equal(try_update(NULL), COCO_EFAIL);
    assert_true(said("cannot alter type of a column used by a view"));
    expect_sql(COLUMNS, "id bigint!, n bigint!");
    expect_sql("SELECT * FROM docs ORDER BY id", "1|10", "2|20", "3|30");
    assert_int_equal(try_update(NULL), COCO_EFAIL);
    sql("DROP VIEW v");
    pg_update(docs);
    expect_sql(COLUMNS, "id bigint!, n text!");
    settled();
}

/* A view in the way of a rebuild: the error names it, the old table stays, and the swap comes when it is gone. */
static void view_in_the_way_of_a_rebuild_is_an_error(void **state)
{
    (void)state;
    SCHEMA(ID, N);
    fill();
    sql("CREATE VIEW v AS SELECT n FROM docs");
    SCHEMA(ID, { "n", .type = COCO_INT_T, .key = true });
    pg_choose(docs);
    assert_int_not_equal(try_update(NULL), COCO_OK);
    assert_true(said("view v depends on table docs"));
    expect_sql("SELECT count(*) FROM v", "3");
    sql("DROP VIEW v");
    pg_update(docs);
    settled();
    expect_sql("SELECT * FROM docs ORDER BY id", "1|10", "2|20", "3|30");
}

/* ---- Changed by hand --------------------------------------------------------------------------------------------- */

/* S7.13: what exists finds is compared with the record; columns are altered back, and rows written again. */
static void table_altered_by_hand_is_set_right(void **state)
{
    (void)state;
    SCHEMA(ID, N, { "s", .type = COCO_TEXT_T, .nullable = true });
    fill();
    sql("ALTER TABLE docs DROP COLUMN n");
    restart();
    pg_update(docs);
    expect_sql("SELECT id, n FROM docs ORDER BY id", "1|10", "2|20", "3|30");
    expect_sql(COLUMNS, "id bigint!, n bigint!, s text");
    sql("ALTER TABLE docs ALTER n TYPE text, ALTER s SET NOT NULL");
    restart();
    pg_update(docs);
    expect_sql(COLUMNS, "id bigint!, n bigint!, s text");
    sql("ALTER TABLE docs ALTER n DROP NOT NULL");
    restart();
    pg_update(docs);
    expect_sql(COLUMNS, "id bigint!, n bigint!, s text");
    sql("ALTER TABLE docs DROP CONSTRAINT docs_pkey");
    restart();
    pg_update(docs);
    expect_sql("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'docs'::regclass AND contype = "
               "'p'", "PRIMARY KEY (id)");
    expect_sql("SELECT id, n FROM docs ORDER BY id", "1|10", "2|20", "3|30");
    assert_int_equal(plan.calls, 3);
    settled();
}

/* Something else bears the name. */
static void view_under_the_name_is_an_error(void **state)
{
    (void)state;
    sql("CREATE VIEW docs AS SELECT 1 AS id");
    SCHEMA(ID, N);
    pg_choose(docs);
    assert_int_not_equal(try_update(NULL), COCO_OK);
    assert_true(said("docs is there, and is no table"));
}

/* ---- A target that is captured ----------------------------------------------------------------------------------- */

static coco_table *captured;

COCO_FN(put_captured, (int64_t, id), .memo = true)
{
    const coco_schema *s = coco_table_schema(captured);
    coco_pair pairs[4];

    for (size_t i = 0; i < s->n; i++) pairs[i] = (coco_pair){ coco_str_of(s->columns[i].name), coco_int(id) };
    return coco_declare_values(cx, captured, coco_map_value(pairs, s->n));
}

static coco_status capture(coco_ctx *cx)
{
    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "docs", &schema, NULL, &captured));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(1)), &put_captured, COCO_ARGS(coco_int(1)), NULL));
    return coco_mount(cx, COCO_PATH(coco_int(2)), &put_captured, COCO_ARGS(coco_int(2)), NULL);
}

/* regressions: the table was used without being an argument; its schema changes. */
static void captured_target_change_invalidates_memo(void **state)
{
    (void)state;
    SCHEMA(ID);
    pg_update(capture);
    SCHEMA(ID, { "m", .type = COCO_INT_T });
    pg_update(capture);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|1", "2|2");
    SCHEMA(ID, { "m", .type = COCO_INT_T, .key = true });
    pg_update(capture);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|1", "2|2");
}

/* ---- Indexes ----------------------------------------------------------------------------------------------------- */

static coco_postgres_index index_of; /* "docs_index" */

static coco_status an_index(coco_ctx *cx, coco_table *t)
{
    return coco_postgres_declare_index(cx, t, "docs_index", &index_of);
}
#define INDEX "SELECT indexdef FROM pg_indexes WHERE tablename = 'docs' AND indexname <> 'docs_pkey'"

/* C3: btree, unique, gin; made, changed, gone. */
static void index_follows_its_declaration(void **state)
{
    (void)state;
    SCHEMA(ID, N, { "j", .type = COCO_JSON_T, .nullable = true });
    schema.n = 2;
    beside = an_index;
    index_of = (coco_postgres_index){ .columns = "n" };
    fill();
    expect_sql(INDEX, "CREATE INDEX docs_index ON public.docs USING btree (n)");
    settled();
    index_of = (coco_postgres_index){ .columns = "n, id", .unique = true };
    pg_update(docs);
    expect_sql(INDEX, "CREATE UNIQUE INDEX docs_index ON public.docs USING btree (n, id)");
    settled();
    index_of = (coco_postgres_index){ .parts = (const char *const[]){ "n", NULL }, .method = "hash" };
    pg_update(docs);
    expect_sql(INDEX, "CREATE INDEX docs_index ON public.docs USING hash (n)");
    beside = NULL;
    pg_update(docs);
    expect_no_rows(INDEX);
    schema.n = 3;
    plan.rows = "";
    beside = an_index;
    index_of = (coco_postgres_index){ .columns = "j", .method = "gin", .opclass = "jsonb_path_ops" };
    pg_update(docs);
    expect_sql(INDEX, "CREATE INDEX docs_index ON public.docs USING gin (j jsonb_path_ops)");
    settled();
}

/* C3: a failed index is dropped and is an error; the old one stays. */
static void failed_index_is_dropped_and_an_error(void **state)
{
    (void)state;
    SCHEMA(ID, N);
    beside = an_index;
    index_of = (coco_postgres_index){ .columns = "n" };
    plan.rows = "1=10 2=10";
    pg_update(docs);
    index_of.unique = true;
    assert_int_not_equal(try_update(NULL), COCO_OK);
    assert_true(said("could not create unique index"));
    expect_sql(INDEX, "CREATE INDEX docs_index ON public.docs USING btree (n)");
    expect_no_rows(LEFTOVERS);
    plan.rows = "1=10 2=20";
    pg_update(docs);
    expect_sql(INDEX, "CREATE UNIQUE INDEX docs_index ON public.docs USING btree (n)");
    settled();
}

/* An index of that name on somebody else's table is left alone. */
static void index_of_another_table_is_left_alone(void **state)
{
    (void)state;
    sql("CREATE TABLE theirs (a int); CREATE INDEX docs_index ON theirs (a)");
    SCHEMA(ID, N);
    beside = an_index;
    index_of = (coco_postgres_index){ .columns = "n" };
    plan.rows = "1=10";
    pg_choose(docs);
    assert_int_not_equal(try_update(NULL), COCO_OK);
    assert_true(said("relation \"docs_index\" already exists"));
    expect_sql("SELECT tablename FROM pg_indexes WHERE indexname = 'docs_index'", "theirs");
}

/* C0.9: a rebuilt table has its indexes, under their names. */
static void rebuilt_table_has_its_indexes(void **state)
{
    (void)state;
    SCHEMA(ID, N);
    beside = an_index;
    index_of = (coco_postgres_index){ .columns = "n", .unique = true };
    fill();
    SCHEMA(ID, { "n", .type = COCO_INT_T, .key = true });
    pg_update(docs);
    expect_sql(INDEX, "CREATE UNIQUE INDEX docs_index ON public.docs USING btree (n)");
    expect_sql("SELECT conname, condeferred FROM pg_constraint WHERE conrelid = 'docs'::regclass AND contype = 'u'",
               "docs_index|t");
    settled();
    index_of.unique = false;
    SCHEMA(ID, N);
    pg_update(docs);
    expect_sql(INDEX, "CREATE INDEX docs_index ON public.docs USING btree (n)");
    settled();
}

/* ---- SQL --------------------------------------------------------------------------------------------------------- */

static const char *setup, *teardown;

static coco_status some_sql(coco_ctx *cx, coco_table *t)
{
    return coco_postgres_declare_sql(cx, t, "search", setup, teardown);
}

/* C3: SQL commands with teardown. */
static void sql_is_set_up_changed_and_torn_down(void **state)
{
    (void)state;
    SCHEMA(ID, N);
    beside = some_sql;
    setup = "ALTER TABLE docs ADD COLUMN twice bigint GENERATED ALWAYS AS (n * 2) STORED";
    teardown = "ALTER TABLE docs DROP COLUMN twice";
    fill();
    expect_sql("SELECT id, n, twice FROM docs ORDER BY id", "1|10|20", "2|20|40", "3|30|60");
    settled();
    setup = "ALTER TABLE docs ADD COLUMN twice bigint GENERATED ALWAYS AS (n * 3) STORED";
    pg_update(docs);
    expect_sql("SELECT id, n, twice FROM docs WHERE id = 1", "1|10|30");
    /* a rebuilt table gets it when it takes its place */
    SCHEMA(ID, { "n", .type = COCO_INT_T, .key = true });
    pg_update(docs);
    expect_sql("SELECT id, n, twice FROM docs ORDER BY id", "1|10|30", "2|20|60", "3|30|90");
    settled();
    beside = NULL;
    pg_update(docs);
    expect_sql(COLUMNS, "id bigint!, n bigint!");
    settled();
}

/* A setup that fails is the server's error, and leaves nothing. */
static void failing_sql_is_an_error(void **state)
{
    (void)state;
    SCHEMA(ID, N);
    beside = some_sql;
    setup = "CREATE VIEW good AS SELECT 1; SELECT no_such_function()";
    teardown = "DROP VIEW good";
    plan.rows = "1=10";
    pg_choose(docs);
    assert_int_not_equal(try_update(NULL), COCO_OK);
    assert_true(said("function no_such_function() does not exist"));
    expect_sql("SELECT to_regclass('good') IS NULL", "t");
    setup = "CREATE VIEW good AS SELECT 1";
    pg_update(docs);
    expect_sql("SELECT to_regclass('good') IS NULL", "f");
    settled();
}

/* ---- The table of changes ---------------------------------------------------------------------------------------- */

static const struct change {
    const char *name;
    coco_column from, to; /* the second column; type 0: none */
    const char *done;
} all_changes[] = {
    { "column added, nullable", { 0 }, { "c", .type = COCO_TEXT_T, .nullable = true }, "in place, rows written" },
    { "column added, required", { 0 }, { "c", .type = COCO_TEXT_T }, "in place, rows written" },
    { "column dropped", { "c", .type = COCO_TEXT_T }, { 0 }, "in place, rows kept" },
    { "required to nullable", { "c", .type = COCO_TEXT_T }, { "c", .type = COCO_TEXT_T, .nullable = true },
      "in place, rows kept" },
    { "nullable to required", { "c", .type = COCO_TEXT_T, .nullable = true }, { "c", .type = COCO_TEXT_T },
      "in place, rows kept" },
    { "int to text", { "c", .type = COCO_INT_T }, { "c", .type = COCO_TEXT_T }, "in place, rows written" },
    { "int to double", { "c", .type = COCO_INT_T }, { "c", .type = COCO_DOUBLE_T }, "in place, rows written" },
    { "text to int, numbers", { "c", .type = COCO_TEXT_T }, { "c", .type = COCO_INT_T }, "in place, rows written" },
    { "text to int, words", { "alpha", .type = COCO_TEXT_T }, { "alpha", .type = COCO_INT_T }, "rebuilt" },
    { "int to bool, no cast", { "c", .type = COCO_INT_T }, { "c", .type = COCO_BOOL_T }, "rebuilt" },
    { "key column added", { "c", .type = COCO_INT_T }, { "c", .type = COCO_INT_T, .key = true }, "rebuilt" },
};

/* What was done for each change of C0.9 on a filled table. */
static void changes_are_done_as_the_manual_says(void **state)
{
    (void)state;
    plan.rows = "1=10 2=20 3=30";
    for (size_t i = 0; i < sizeof all_changes / sizeof all_changes[0]; i++) {
        const struct change *c = &all_changes[i];
        coco_column columns[2] = { ID, c->from };
        int64_t oid, writes, calls;
        const char *done;

        schema = (coco_schema){ .columns = columns, .n = c->from.type ? 2 : 1 };
        pg_update(docs);
        oid = sql_int(OID);
        calls = plan.calls;
        columns[1] = c->to;
        schema.n = c->to.type ? 2 : 1;
        pg_update(docs);
        writes = (int64_t)(w.result.inserts + w.result.updates) - 1; /* the table's own */
        done = sql_int(OID) != oid ? "rebuilt" : writes >= 3 ? "in place, rows written" : "in place, rows kept";
        printf("    %-24s %s\n", c->name, done);
        assert_string_equal(done, c->done);
        assert_int_equal(plan.calls, calls);
        expect_sql("SELECT count(*) FROM docs", "3");
        settled();
        pg_drop();
        plan.calls = 0;
    }
}

int main(void)
{
    const struct CMUnitTest postgres_schema[] = {
        PG_TEST(added_column_is_filled_by_a_plain_update),
        PG_TEST(dropped_column_leaves_rows_alone),
        PG_TEST(convertible_type_is_changed_in_place),
        PG_TEST(unconvertible_type_is_rebuilt),
        PG_TEST(not_null_comes_and_goes_in_place),
        PG_TEST(readers_never_see_a_half_filled_table),
        PG_TEST(changed_key_rebuilds_the_table),
        PG_TEST(destroyed_container_never_deletes_fresh_grandchildren),
        PG_TEST(interrupted_rebuild_goes_on_in_the_next_update),
        PG_TEST(unfinished_rebuild_takes_another_change),
        PG_TEST(failed_alter_is_an_error),
        PG_TEST(view_in_the_way_of_a_rebuild_is_an_error),
        PG_TEST(table_altered_by_hand_is_set_right),
        PG_TEST(view_under_the_name_is_an_error),
        PG_TEST(captured_target_change_invalidates_memo),
        PG_TEST(index_follows_its_declaration),
        PG_TEST(failed_index_is_dropped_and_an_error),
        PG_TEST(index_of_another_table_is_left_alone),
        PG_TEST(rebuilt_table_has_its_indexes),
        PG_TEST(sql_is_set_up_changed_and_torn_down),
        PG_TEST(failing_sql_is_an_error),
        PG_TEST(changes_are_done_as_the_manual_says),
    };

    return PG_RUN(postgres_schema, false);
}
