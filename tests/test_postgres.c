/* test_postgres.c - PostgreSQL as a target: rows, types, ownership, sharing (C0, C3, S7).
 *
 * Each test has a database of its own on a real server that the program starts. */
#include "pg_world.h"

#include <math.h>

/* ---- Rows by a list ---------------------------------------------------------------------------------------------- */

struct pair {
    int64_t id, n;
};
static const coco_schema PAIRS = COCO_SCHEMA(struct pair,
    COCO_FIELD(struct pair, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct pair, n, COCO_INT_T));

COCO_FN(put_pair, (coco_value, item, coco_table *, table), .memo = true)
{
    struct pair p = { coco_int_of(coco_at(item, 0)), coco_int_of(coco_at(item, 1)) };

    plan.calls++;
    return coco_declare_row(cx, table, &p);
}

static coco_status pairs(coco_ctx *cx)
{
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "pairs", &PAIRS, plan.table, &t));
    return coco_mount_each(cx, COCO_AUTO, &put_pair, items(cx, plan.rows, true), COCO_ARGS(coco_table_value(t)));
}

/* C3: insert, update, delete; what didn't change is not written. */
static void rows_follow_what_is_declared(void **state)
{
    (void)state;
    plan.rows = "1=10 2=20 3=30";
    pg_update(pairs);
    expect_sql("SELECT * FROM pairs ORDER BY id", "1|10", "2|20", "3|30");
    plan.rows = "1=10 2=21 4=40";
    pg_update(pairs);
    expect_sql("SELECT * FROM pairs ORDER BY id", "1|10", "2|21", "4|40");
    assert_int_equal(w.result.inserts, 1);
    assert_int_equal(w.result.updates, 1);
    assert_int_equal(w.result.deletes, 1);
    expect_sql("SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = 'pairs'",
               "id|bigint|NO", "n|bigint|NO");
}

/* S7.3: a component without actions writes nothing. */
static void unchanged_row_is_not_written_again(void **state)
{
    int64_t written;

    (void)state;
    plan.rows = "1=10 2=20";
    pg_update(pairs);
    written = sql_int("SELECT sum(xmin::text::bigint) FROM pairs");
    restart();
    pg_choose(pairs);
    expect_nothing_written();
    assert_int_equal(sql_int("SELECT sum(xmin::text::bigint) FROM pairs"), written);
}

static void dropped_app_leaves_no_table(void **state)
{
    (void)state;
    plan.rows = "1=10";
    pg_update(pairs);
    pg_drop();
    expect_sql("SELECT to_regclass('pairs') IS NULL", "t");
}

/* C3: optional schema, created. */
static void schema_is_made_and_the_table_in_it(void **state)
{
    const coco_postgres_table_opts in_schema = { .schema = "some\"where" };

    (void)state;
    plan.table = &in_schema;
    plan.rows = "1=10 2=20";
    pg_update(pairs);
    expect_sql("SELECT * FROM \"some\"\"where\".pairs ORDER BY id", "1|10", "2|20");
    plan.rows = "2=21";
    pg_update(pairs);
    expect_sql("SELECT * FROM \"some\"\"where\".pairs ORDER BY id", "2|21");
}

/* S7.13, regressions: a table deleted behind the engine's back is made and filled again by a plain update. */
static void deleted_table_is_made_again(void **state)
{
    (void)state;
    plan.rows = "1=10 2=20";
    pg_update(pairs);
    sql("DROP TABLE pairs");
    restart();
    pg_update(pairs);
    expect_sql("SELECT * FROM pairs ORDER BY id", "1|10", "2|20");
    restart();
    pg_choose(pairs);
    expect_nothing_written();
}

/* regressions: lost_state_converges_onto_an_existing_target. */
static void lost_state_converges_onto_an_existing_target(void **state)
{
    (void)state;
    sql("CREATE TABLE pairs (id bigint PRIMARY KEY, n integer, extra text)");
    sql("INSERT INTO pairs VALUES (1, 5, 'theirs'), (9, 9, 'theirs')");
    plan.rows = "1=10 2=20";
    pg_update(pairs);
    expect_sql("SELECT * FROM pairs ORDER BY id", "1|10|theirs", "2|20|~", "9|9|theirs");
    expect_sql("SELECT data_type, is_nullable FROM information_schema.columns WHERE table_name = 'pairs' AND "
               "column_name = 'n'", "bigint|NO");
}

/* S7.7: never made, altered or dropped; the rows are kept in sync. */
static void user_managed_table_is_never_altered(void **state)
{
    const coco_postgres_table_opts user = { .user_managed = true };

    (void)state;
    plan.table = &user;
    sql("CREATE TABLE pairs (id bigint PRIMARY KEY, n bigint, extra text DEFAULT 'x')");
    plan.rows = "1=10 2=20";
    pg_update(pairs);
    plan.rows = "2=20";
    pg_update(pairs);
    expect_sql("SELECT * FROM pairs ORDER BY id", "2|20|x");
    pg_drop();
    expect_no_rows("SELECT * FROM pairs");
}

/* C3: a row that somebody else wrote is never touched, and two programs' rows keep apart. */
static void two_apps_share_a_table(void **state)
{
    const coco_postgres_table_opts user = { .user_managed = true };

    (void)state;
    plan.rows = "1=10 2=20";
    pg_update(pairs);
    coco_app_close(w.app);
    w.app = NULL;
    w.config.name = "other";
    plan.table = &user;
    plan.rows = "3=30 4=40";
    pg_update(pairs);
    expect_sql("SELECT * FROM pairs ORDER BY id", "1|10", "2|20", "3|30", "4|40");
    plan.rows = "4=41";
    pg_update(pairs);
    pg_drop();
    expect_sql("SELECT * FROM pairs ORDER BY id", "1|10", "2|20");
}

/* ---- Types ------------------------------------------------------------------------------------------------------- */

static const coco_schema ALL = { .columns = (const coco_column[]){
    { "id", .type = COCO_INT_T, .key = true },
    { "b", .type = COCO_BOOL_T, .nullable = true },
    { "i", .type = COCO_INT_T, .nullable = true },
    { "f", .type = COCO_DOUBLE_T, .nullable = true },
    { "t", .type = COCO_TEXT_T, .nullable = true },
    { "y", .type = COCO_BYTES_T, .nullable = true },
    { "u", .type = COCO_UUID_T, .nullable = true },
    { "at", .type = COCO_TIME_T, .nullable = true },
    { "d", .type = COCO_DATE_T, .nullable = true },
    { "c", .type = COCO_CLOCK_T, .nullable = true },
    { "v", .type = COCO_INTERVAL_T, .nullable = true },
    { "n", .type = COCO_DECIMAL_T, .nullable = true },
    { "j", .type = COCO_JSON_T, .nullable = true },
    { "small", .type = COCO_INT_T, .nullable = true, .sql_type = "smallint" },
    { "short", .type = COCO_TEXT_T, .nullable = true, .sql_type = "varchar(5)" },
}, .n = 15 };

static coco_value all_values;

static coco_status all_types(coco_ctx *cx)
{
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "all", &ALL, NULL, &t));
    for (size_t i = 0; i < coco_count(all_values); i++)
        COCO_TRY(coco_declare_values(cx, t, coco_at(all_values, i)));
    return COCO_OK;
}

#define PAIR(k, v) { COCO_STR(k), v }
#define MAP(...) coco_map_value((const coco_pair[]){ __VA_ARGS__ }, \
                                sizeof((const coco_pair[]){ __VA_ARGS__ }) / sizeof(coco_pair))

/* C3, the type map: every type, and null in each. */
static void every_type_arrives_as_it_was_declared(void **state)
{
    const uint8_t uuid[16] = { 0xf8, 0x1d, 0x4f, 0xae, 0x7d, 0xec, 0x11, 0xd0,
                               0xa7, 0x65, 0x00, 0xa0, 0xc9, 0x1e, 0x6b, 0xf6 };
    const coco_value list[3] = { coco_int(1), coco_null(), coco_text("q\"\\") };
    const coco_pair json[] = { PAIR("k", coco_list(list, 3)) };
    const coco_pair row[] = {
        PAIR("id", coco_int(INT64_MIN)), PAIR("b", coco_bool(true)), PAIR("i", coco_int(INT64_MAX)),
        PAIR("f", coco_float(0.1)), PAIR("t", coco_text("gr\xc3\xbc\xc3\x9f ' \" \\ ; DROP TABLE \xe2\x82\xac")),
        PAIR("y", coco_bytes("\0\xff\\x'", 5)), PAIR("u", coco_uuid(uuid)),
        PAIR("at", coco_text("2026-01-31T12:00:00.25+01:00")), PAIR("d", coco_text("2026-01-31")),
        PAIR("c", coco_text("23:59:59.5")), PAIR("v", coco_text("P1DT2H")),
        PAIR("n", coco_text("-12345678901234567890.0123456789")), PAIR("j", coco_map_value(json, 1)),
        PAIR("small", coco_int(-7)), PAIR("short", coco_text("12345")) };
    coco_value both[2] = { coco_map_value(row, sizeof row / sizeof row[0]), MAP(PAIR("id", coco_int(2))) };

    (void)state;
    all_values = coco_list(both, 2);
    pg_update(all_types);
    sql("SET TimeZone = 'UTC'");
    expect_sql("SELECT id, b, i, f FROM \"all\" ORDER BY id", "-9223372036854775808|t|9223372036854775807|0.1",
               "2|~|~|~");
    expect_sql("SELECT t, y, u FROM \"all\" WHERE id < 0", "gr\xc3\xbc\xc3\x9f ' \" \\ ; DROP TABLE \xe2\x82\xac|"
               "\\x00ff5c7827|f81d4fae-7dec-11d0-a765-00a0c91e6bf6");
    expect_sql("SELECT at, d, c, v, n FROM \"all\" WHERE id < 0", "2026-01-31 11:00:00.25+00|2026-01-31|23:59:59.5|"
               "1 day 02:00:00|-12345678901234567890.0123456789");
    expect_sql("SELECT j, small, short FROM \"all\" WHERE id < 0", "{\"k\": [1, null, \"q\\\"\\\\\"]}|-7|12345");
    expect_sql("SELECT count(*) FROM \"all\" WHERE id = 2 AND num_nulls(b, i, f, t, y, u, at, d, c, v, n, j, small, "
               "short) = 14", "1");
    restart();
    pg_choose(all_types);
    expect_nothing_written();
}

/* C0.5: what doesn't fit is refused by the server, never cut; the update says which table and why. */
static void too_long_text_is_refused_not_cut(void **state)
{
    coco_value one = MAP(PAIR("id", coco_int(1)), PAIR("short", coco_text("123456")));

    (void)state;
    all_values = coco_list(&one, 1);
    pg_choose(all_types);
    assert_int_equal(try_update(NULL), COCO_EFAIL);
    assert_true(said("value too long for type character varying(5)"));
    expect_no_rows("SELECT * FROM \"all\"");
}

/* Special floats keep their nature. */
static void floats_without_a_number_are_kept(void **state)
{
    coco_value list[3] = { MAP(PAIR("id", coco_int(1)), PAIR("f", coco_float((double)NAN))),
                           MAP(PAIR("id", coco_int(2)), PAIR("f", coco_float(-(double)INFINITY))),
                           MAP(PAIR("id", coco_int(3)), PAIR("f", coco_float(-0.0))) };

    (void)state;
    all_values = coco_list(list, 3);
    pg_update(all_types);
    expect_sql("SELECT id, f FROM \"all\" ORDER BY id", "1|NaN", "2|-Infinity", "3|-0");
}

/* C3: text with NUL fails, with the key named, before anything is written … */
static void nul_in_a_text_fails_and_names_the_row(void **state)
{
    coco_value one = MAP(PAIR("id", coco_int(77)), PAIR("t", coco_text_n(COCO_STR("a\0b"))));

    (void)state;
    all_values = coco_list(&one, 1);
    pg_choose(all_types);
    assert_int_equal(try_update(NULL), COCO_EINVAL);
    assert_true(said("row [77], column t: a NUL in a text"));
}

/* … or is left out where the options say so. */
static void nul_in_a_text_is_left_out_on_request(void **state)
{
    coco_value one = MAP(PAIR("id", coco_int(77)), PAIR("t", coco_text_n(COCO_STR("a\0b\0"))));

    (void)state;
    plan.opts.nul = COCO_POSTGRES_NUL_STRIP;
    all_values = coco_list(&one, 1);
    pg_update(all_types);
    expect_sql("SELECT id, t FROM \"all\"", "77|ab");
}

/* ---- Keys of every type ------------------------------------------------------------------------------------------ */

static const coco_schema KEYS = { .columns = (const coco_column[]){
    { "i", .type = COCO_INT_T, .key = true }, { "t", .type = COCO_TEXT_T, .key = true },
    { "b", .type = COCO_BOOL_T, .key = true }, { "y", .type = COCO_BYTES_T, .key = true },
    { "u", .type = COCO_UUID_T, .key = true }, { "at", .type = COCO_TIME_T, .key = true },
    { "d", .type = COCO_DATE_T, .key = true }, { "n", .type = COCO_DECIMAL_T, .key = true },
}, .n = 8 };

static int nkeys;

static coco_status all_keys(coco_ctx *cx)
{
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "keys", &KEYS, NULL, &t));
    for (int i = 0; i < nkeys; i++) {
        coco_value v[8] = { coco_int(i), coco_text("a'\"\\"), coco_bool(i & 1), coco_bytes("\0\1", 2),
                            coco_uuid((const uint8_t *)"0123456789abcdef"), coco_text("2026-01-31T12:00:00Z"),
                            coco_text("2026-01-31"), coco_text("1.50") };
        COCO_TRY(coco_declare_values(cx, t, coco_list(v, 8)));
    }
    return COCO_OK;
}

/* Rows are found again by keys of every type; a table of keys alone has nothing to update. */
static void rows_are_deleted_by_keys_of_every_type(void **state)
{
    (void)state;
    nkeys = 3;
    pg_update(all_keys);
    expect_sql("SELECT count(*) FROM keys", "3");
    nkeys = 1;
    pg_update(all_keys);
    expect_sql("SELECT i, n FROM keys", "0|1.50");
}

/* ---- Many rows --------------------------------------------------------------------------------------------------- */

static const coco_schema MANY = { .columns = (const coco_column[]){
    { "id", .type = COCO_INT_T, .key = true }, { "t", .type = COCO_TEXT_T, .nullable = true },
    { "j", .type = COCO_JSON_T }, { "y", .type = COCO_BYTES_T } }, .n = 4 };

static int64_t nmany, big;

static coco_status many(coco_ctx *cx)
{
    coco_pair pair = { COCO_STR("k"), coco_null() };
    char *bytes = coco_alloc(cx, (size_t)big + 1);
    coco_table *t;

    memset(bytes, 0xab, (size_t)big);
    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "many", &MANY, NULL, &t));
    for (int64_t i = 0; i < nmany; i++) {
        pair.value = coco_int(i);
        coco_value v[4] = { coco_int(i), i % 7 ? coco_text("some text") : coco_null(), coco_map_value(&pair, 1),
                            coco_bytes(bytes, i == 500 ? (size_t)big : 3) };
        COCO_TRY(coco_declare_values(cx, t, coco_list(v, 4)));
    }
    return COCO_OK;
}

#define MANY_ARE "SELECT count(*), count(t), sum((j->>'k')::int), sum(length(y)) FROM many"

/* C3: a first fill goes by COPY, what follows by arrays, and both write the same; rows larger than a buffer, too. */
static void first_fill_and_what_follows_write_the_same(void **state)
{
    (void)state;
    nmany = 1000, big = 300000;
    pg_update(many);
    expect_sql(MANY_ARE, "1000|857|499500|302997");
    sql("UPDATE many SET j = '{}', t = 'x', y = ''");
    try_update(&(coco_update_opts){ .full_reprocess = true });
    expect_sql(MANY_ARE, "1000|857|499500|302997");
    nmany = 3000, big = 9000000;
    pg_update(many);
    expect_sql(MANY_ARE, "3000|2571|4498500|9008997");
    nmany = 0;
    pg_choose(many);
    try_update(&(coco_update_opts){ .allow_delete = true });
    expect_sql(MANY_ARE, "0|0|~|~");
}

/* A table that COPY can't fill is filled all the same. */
static void table_that_refuses_copy_is_filled(void **state)
{
    (void)state;
    nmany = 0, big = 3;
    pg_update(many);
    sql("CREATE FUNCTION no_copy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF current_query() LIKE 'COPY%' THEN "
        "RAISE 'no copy here'; END IF; RETURN NEW; END $$; CREATE TRIGGER no_copy BEFORE "
        "INSERT ON many FOR EACH ROW EXECUTE FUNCTION no_copy()");
    nmany = 1000;
    pg_update(many);
    expect_sql(MANY_ARE, "1000|857|499500|3000");
}

static coco_status vector_here(coco_ctx *cx)
{
    static const coco_column columns[] = { { "id", .type = COCO_INT_T, .key = true }, { "v", .type = COCO_VECTOR_T } };
    static const coco_schema s = { .columns = columns, .n = 2 };
    coco_table *t;

    return coco_postgres_mount_table(cx, DB_REF, "vectors", &s, NULL, &t);
}

/* C3: clear report where pgvector is absent. */
static void absent_pgvector_is_said(void **state)
{
    (void)state;
    pg_choose(vector_here);
    assert_int_not_equal(try_update(NULL), COCO_OK);
    assert_true(said("table vectors has a vector column, and this server has no pgvector"));
}

/* ---- Ownership and uniqueness ------------------------------------------------------------------------------------ */

static bool moved;

COCO_FN(owner_of_pair, (bool, here, coco_table *, table))
{
    struct pair p = { 1, 10 };

    return here ? coco_declare_row(cx, table, &p) : COCO_OK;
}

static coco_status owners(coco_ctx *cx)
{
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "pairs", &PAIRS, NULL, &t));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("a")), &owner_of_pair,
                        COCO_ARGS(coco_bool(!moved), coco_table_value(t)), NULL));
    return coco_mount(cx, COCO_PATH(coco_text("b")), &owner_of_pair, COCO_ARGS(coco_bool(moved), coco_table_value(t)),
                      NULL);
}

/* S7.9: a state moves with its possibilities; no delete and no needless rewrite is sent. */
static void ownership_moves_without_a_delete(void **state)
{
    int64_t written;

    (void)state;
    moved = false;
    pg_update(owners);
    written = sql_int("SELECT xmin::text::bigint FROM pairs");
    moved = true;
    pg_update(owners);
    expect_sql("SELECT * FROM pairs", "1|10");
    assert_int_equal(w.result.deletes, 0);
    assert_int_equal(sql_int("SELECT xmin::text::bigint FROM pairs"), written);
}

COCO_FN(owner_of_value, (bool, here, coco_table *, table))
{
    struct pair p = { 1, moved ? 11 : 10 };

    return here ? coco_declare_row(cx, table, &p) : COCO_OK;
}

static coco_status failing_owners(coco_ctx *cx)
{
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "pairs", &PAIRS, NULL, &t));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("a")), &owner_of_value,
                        COCO_ARGS(coco_bool(!moved), coco_table_value(t)), NULL));
    return coco_mount(cx, COCO_PATH(coco_text("b")), &owner_of_value, COCO_ARGS(coco_bool(moved), coco_table_value(t)),
                      NULL);
}

/* regressions: the new owner's write is refused; the row is neither lost nor doubled, the next update sets it right. */
static void ownership_move_survives_a_failing_sink(void **state)
{
    (void)state;
    moved = false;
    pg_update(failing_owners);
    sql("ALTER TABLE pairs ADD CHECK (n < 11)");
    moved = true;
    assert_int_equal(try_update(NULL), COCO_EFAIL);
    assert_true(said("violates check constraint"));
    expect_sql("SELECT * FROM pairs", "1|10");
    sql("ALTER TABLE pairs DROP CONSTRAINT pairs_n_check");
    pg_update(failing_owners);
    expect_sql("SELECT * FROM pairs", "1|11");
}

static coco_status unique_pairs(coco_ctx *cx)
{
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "pairs", &PAIRS, NULL, &t));
    COCO_TRY(coco_postgres_declare_index(cx, t, "pairs_n", &(coco_postgres_index){ .columns = "n", .unique = true }));
    return coco_mount_each(cx, COCO_AUTO, &put_pair, items(cx, plan.rows, true), COCO_ARGS(coco_table_value(t)));
}

/* C3: values swapped between rows under a unique constraint. */
static void unique_values_are_swapped_between_rows(void **state)
{
    (void)state;
    plan.rows = "1=10 2=20 3=30";
    pg_update(unique_pairs);
    plan.rows = "1=20 2=30 3=10";
    pg_update(unique_pairs);
    expect_sql("SELECT * FROM pairs ORDER BY id", "1|20", "2|30", "3|10");
}

/* S7.4: also between batches; what was refused is tried together at the end of the update. */
static void unique_values_are_swapped_between_batches(void **state)
{
    (void)state;
    plan.opts.max_actions = 2;
    plan.rows = "1=10 2=20 3=30 4=40";
    pg_update(unique_pairs);
    plan.rows = "1=30 2=21 3=10 4=41";
    pg_update(unique_pairs);
    expect_sql("SELECT * FROM pairs ORDER BY id", "1|30", "2|21", "3|10", "4|41");
}

/* C0.4, S7.4: one bad row fails its own component alone. */
static void bad_row_fails_its_component_alone(void **state)
{
    (void)state;
    plan.rows = "1=10 2=20 3=30";
    pg_update(unique_pairs);
    plan.rows = "1=10 2=30 3=30 4=40";
    assert_int_equal(try_update(NULL), COCO_EFAIL);
    assert_int_equal(w.result.nfailed, 1);
    assert_true(said("duplicate key value violates unique constraint \"pairs_n\""));
    expect_sql("SELECT * FROM pairs ORDER BY id", "1|10", "2|20", "3|30", "4|40");
}

int main(void)
{
    const struct CMUnitTest postgres[] = {
        PG_TEST(rows_follow_what_is_declared),
        PG_TEST(unchanged_row_is_not_written_again),
        PG_TEST(dropped_app_leaves_no_table),
        PG_TEST(schema_is_made_and_the_table_in_it),
        PG_TEST(deleted_table_is_made_again),
        PG_TEST(lost_state_converges_onto_an_existing_target),
        PG_TEST(user_managed_table_is_never_altered),
        PG_TEST(two_apps_share_a_table),
        PG_TEST(every_type_arrives_as_it_was_declared),
        PG_TEST(too_long_text_is_refused_not_cut),
        PG_TEST(floats_without_a_number_are_kept),
        PG_TEST(nul_in_a_text_fails_and_names_the_row),
        PG_TEST(nul_in_a_text_is_left_out_on_request),
        PG_TEST(rows_are_deleted_by_keys_of_every_type),
        PG_TEST(first_fill_and_what_follows_write_the_same),
        PG_TEST(table_that_refuses_copy_is_filled),
        PG_TEST(absent_pgvector_is_said),
        PG_TEST(ownership_moves_without_a_delete),
        PG_TEST(ownership_move_survives_a_failing_sink),
        PG_TEST(unique_values_are_swapped_between_rows),
        PG_TEST(unique_values_are_swapped_between_batches),
        PG_TEST(bad_row_fails_its_component_alone),
    };

    return PG_RUN(postgres, false);
}
