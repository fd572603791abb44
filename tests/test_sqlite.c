/* test_sqlite.c - SQLite as a target: rows and their types, transactions, names and values that mean harm, what happens
 * behind the engine's back (C0, C2, S7). */
#include "rows_sqlite.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

struct doc {
    int64_t id;
    coco_str title;
};
static const coco_schema DOCS = COCO_SCHEMA(struct doc,
    COCO_FIELD(struct doc, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct doc, title, COCO_TEXT_T, .nullable = true));

static const char *const titles[] = { "zero", "one", "two", "three", "four" };

/* Rows 1 to plan.n, declared by the component that has the table. */
static coco_status some_rows(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &DOCS, &docs));
    for (int i = 1; i <= plan.n; i++)
        COCO_TRY(coco_declare_row(cx, docs, &(struct doc){ i, coco_str_of(titles[i % 5]) }));
    return COCO_OK;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static void rows_are_written(void **state)
{
    (void)state;
    plan.main = some_rows;
    plan.n = 3;
    update(NULL);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|one", "2|two", "3|three");
    expect_counts(4, 0, 0);
    expect_sql("PRAGMA journal_mode", "wal"); /* C2 */
}

static void unchanged_row_is_not_written_again(void **state)
{
    (void)state;
    plan.main = some_rows;
    plan.n = 3;
    update(NULL);
    sql("UPDATE docs SET title = 'by hand' WHERE id = 1");
    update(NULL);
    expect_counts(0, 0, 0);
    expect_sql("SELECT title FROM docs WHERE id = 1", "by hand");
}

static void row_that_is_no_longer_declared_is_deleted(void **state)
{
    (void)state;
    plan.main = some_rows;
    plan.n = 3;
    update(NULL);
    plan.n = 1;
    update(NULL);
    expect_counts(0, 0, 2);
    expect_sql("SELECT id FROM docs", "1");
    restart();
    drop_all();
    expect_sql("SELECT count(*) FROM sqlite_schema", "0");
}

/* C0.4, S7.4: rows of one component are never half written. */
static coco_status bad_batch(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(coco_sqlite_mount_table(cx, db_value(), "docs", &DOCS, NULL, &docs));
    for (int i = 1; i <= 5; i++)
        COCO_TRY(coco_declare_row(cx, docs, &(struct doc){ i, coco_str_of(i == 4 && plan.n ? "bad" : "good") }));
    return COCO_OK;
}
static void component_is_written_whole_or_not_at_all(void **state)
{
    (void)state;
    sql("CREATE TABLE docs (id INTEGER NOT NULL, title TEXT CHECK (title <> 'bad'), PRIMARY KEY (id))");
    plan.main = bad_batch;
    plan.n = 1;
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.err.msg, "row [4] of docs"));
    expect_sql("SELECT count(*) FROM docs", "0");
    plan.n = 0;
    update(NULL);
    expect_sql("SELECT count(*) FROM docs", "5");
}

COCO_FN(one_row, (int64_t, id, coco_table *, docs))
{
    return coco_declare_row(cx, docs, &(struct doc){ id, coco_str_of(id == 2 ? "bad" : "good") });
}
static coco_status rows_apart(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(coco_sqlite_mount_table(cx, db_value(), "docs", &DOCS, NULL, &docs));
    for (int i = 1; i <= 3; i++)
        COCO_TRY(mount_row(cx, &one_row, i, docs));
    return COCO_OK;
}
static void bad_row_fails_its_own_component_alone(void **state)
{
    (void)state;
    sql("CREATE TABLE docs (id INTEGER NOT NULL, title TEXT CHECK (title <> 'bad'), PRIMARY KEY (id))");
    plan.main = rows_apart;
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(w.failures.n, 1);
    assert_non_null(strstr(w.failures.v[0], "/2 COCO_EFAIL"));
    expect_sql("SELECT id FROM docs ORDER BY id", "1", "3");
}

/* ---- Types ------------------------------------------------------------------------------------------------------- */

struct all {
    bool b;
    int32_t small;
    int64_t i;
    double d;
    coco_str text, bytes;
    uint8_t uuid[16];
    const char *time, *date, *clock, *interval, *decimal;
    coco_value json;
    coco_floats vector, half;
    coco_opt_bool ob;
    coco_opt_int oi;
    coco_opt_double od;
    coco_opt_uuid ou;
};
static const coco_schema ALL = COCO_SCHEMA(struct all,
    COCO_FIELD(struct all, i, COCO_INT_T, .key = true), COCO_FIELD(struct all, b, COCO_BOOL_T),
    COCO_FIELD(struct all, small, COCO_INT_T), COCO_FIELD(struct all, d, COCO_DOUBLE_T),
    COCO_FIELD(struct all, text, COCO_TEXT_T), COCO_FIELD(struct all, bytes, COCO_BYTES_T, .nullable = true),
    COCO_FIELD(struct all, uuid, COCO_UUID_T), COCO_FIELD(struct all, time, COCO_TIME_T),
    COCO_FIELD(struct all, date, COCO_DATE_T), COCO_FIELD(struct all, clock, COCO_CLOCK_T),
    COCO_FIELD(struct all, interval, COCO_INTERVAL_T), COCO_FIELD(struct all, decimal, COCO_DECIMAL_T),
    COCO_FIELD(struct all, json, COCO_JSON_T), COCO_FIELD(struct all, vector, COCO_VECTOR_T, .dim = 2),
    COCO_FIELD(struct all, half, COCO_HALF_T, .nullable = true),
    COCO_FIELD(struct all, ob, COCO_BOOL_T, .nullable = true), COCO_FIELD(struct all, oi, COCO_INT_T, .nullable = true),
    COCO_FIELD(struct all, od, COCO_DOUBLE_T, .nullable = true),
    COCO_FIELD(struct all, ou, COCO_UUID_T, .nullable = true));

static coco_status all_types(coco_ctx *cx)
{
    struct all full = { .b = true, .small = -7, .i = INT64_MIN, .d = 0.5, .text = COCO_STR("a\0b"),
                        .bytes = COCO_STR("\xff\0"), .uuid = { 1, 2, 3 }, .time = "2026-01-31T12:00:00Z",
                        .date = "2024-02-29", .clock = "23:59:59.25", .interval = "P1DT2H", .decimal = "-12.50",
                        .json = MAP(PAIR("z", coco_int(1)), PAIR("a", coco_text("x"))),
                        .vector = { (const float[]){ 1.0f, -2.5f }, 2 }, .half = { (const float[]){ 0.5f }, 1 },
                        .ob = { true, false }, .oi = { true, 0 }, .od = { true, -0.25 }, .ou = { true, { 0xff } } };
    struct all none = full;
    coco_table *t;

    none.i = 5;
    none.bytes.p = NULL, none.half.p = NULL;
    none.ob.set = none.oi.set = none.od.set = none.ou.set = false;
    none.json = coco_null();
    none.text = (coco_str){ NULL, 0 };
    COCO_TRY(coco_sqlite_mount_table(cx, db_value(), "t", &ALL, NULL, &t));
    COCO_TRY(coco_declare_row(cx, t, &full));
    return coco_declare_row(cx, t, &none);
}
static void every_type_is_stored_as_the_manual_says(void **state)
{
    (void)state;
    plan.main = all_types;
    update(NULL);
    expect_sql("SELECT i, b, small, d, hex(text), bytes, uuid, time, date, clock FROM t ORDER BY i",
               "-9223372036854775808|1|-7|0.5f|610062|x'ff00'|01020300-0000-0000-0000-000000000000|"
               "2026-01-31T12:00:00Z|2024-02-29|23:59:59.25",
               "5|1|-7|0.5f||NULL|01020300-0000-0000-0000-000000000000|2026-01-31T12:00:00Z|2024-02-29|23:59:59.25");
    expect_sql("SELECT interval, decimal, typeof(decimal), json, vector, half, ob, oi, od, ou FROM t ORDER BY i",
               "P1DT2H|-12.50|text|{\"a\":\"x\",\"z\":1}|x'0000803f000020c0'|x'0038'|0|0|-0.25f|"
               "ff000000-0000-0000-0000-000000000000",
               "P1DT2H|-12.50|text|null|x'0000803f000020c0'|NULL|NULL|NULL|NULL|NULL");
    update(NULL);
    expect_counts(0, 0, 0);
}

/* A struct of plain members is encoded as it is read; by values the same rows are the same, to the byte. */
struct plain {
    int64_t id;
    int32_t small;
    double d;
    bool flag;
    coco_str text, bytes;
};
static const coco_schema PLAIN = COCO_SCHEMA(struct plain,
    COCO_FIELD(struct plain, id, COCO_INT_T, .key = true), COCO_FIELD(struct plain, small, COCO_INT_T),
    COCO_FIELD(struct plain, d, COCO_DOUBLE_T), COCO_FIELD(struct plain, flag, COCO_BOOL_T),
    COCO_FIELD(struct plain, text, COCO_TEXT_T, .key = true),
    COCO_FIELD(struct plain, bytes, COCO_BYTES_T, .nullable = true));

static coco_status plain_rows(coco_ctx *cx)
{
    static char filled[3000];
    coco_table *t;

    memset(filled, 'x', sizeof filled);
    COCO_TRY(coco_sqlite_mount_table(cx, db_value(), "t", &PLAIN, NULL, &t));
    struct plain rows[] = {
        { INT64_MIN, INT32_MIN, -0.0, true, COCO_STR("a\0b"), COCO_STR("\xff\0") },
        { INT64_MAX, 64, 1e300, false, COCO_STR(""), COCO_STR("") },
        { -64, -65, 0.1, true, COCO_STR("\u00e9\u20ac\U0001f600 and thirty-two bytes more, and a bit, \u00e9"),
          { NULL, 0 } },
        { 0, 0, 0, false, { NULL, 0 }, { NULL, 0 } },
        { 1, 1, 1, true, { filled, 1000 }, { filled, 1000 } },
        { 2, 1, 1, true, { filled, 3000 }, { filled, 31 } },
        { 3, 1, 1, true, { filled, 64 }, { filled, 1900 } },
    };
    const size_t n = sizeof rows / sizeof rows[0];
    if (plan.n == 3) return coco_declare_rows(cx, t, rows, n);
    if (plan.n == 4) rows[5].text = COCO_STR("\xff\xff");
    if (plan.n == 5) rows[2] = rows[1];
    if (plan.n > 3) return coco_declare_rows(cx, t, rows, n);
    for (size_t i = 0; i < n; i++) {
        const struct plain *r = &rows[i];
        if (plan.n == 0) COCO_TRY(coco_declare_row(cx, t, r));
        else COCO_TRY(coco_declare_values(cx, t, MAP(PAIR("id", coco_int(r->id)), PAIR("small", coco_int(r->small)),
                                                     PAIR("d", coco_float(r->d)), PAIR("flag", coco_bool(r->flag)),
                                                     PAIR("text", coco_text_n(r->text)),
                                                     PAIR("bytes", r->bytes.p ? coco_bytes(r->bytes.p, r->bytes.n)
                                                                              : coco_null()))));
    }
    if (plan.n < 2) return COCO_OK;
    return coco_declare_row(cx, t, &(struct plain){ .text = COCO_STR("thirty-two bytes of text, and \xff\xff") });
}
static void plain_struct_is_the_row_of_its_values(void **state)
{
    (void)state;
    plan.main = plain_rows;
    update(NULL);
    expect_sql("SELECT count(*), sum(length(text)), sum(length(bytes)) FROM t", "7|4108|2933");
    plan.n = 1;
    update(NULL);
    expect_counts(0, 0, 0);
    plan.n = 2;
    update_fails(COCO_EINVAL, NULL);
    assert_non_null(strstr(w.err.msg, "column text: text that is not UTF-8"));
}

/* Some of them by the long way, with others on either side. */
static void array_of_structs_is_the_rows_of_each(void **state)
{
    (void)state;
    plan.main = plain_rows;
    update(NULL);
    expect_counts(8, 0, 0);
    plan.n = 3;
    update(NULL);
    expect_counts(0, 0, 0);
    plan.n = 4;
    update_fails(COCO_EINVAL, NULL);
    assert_non_null(strstr(w.err.msg, "column text: text that is not UTF-8"));
    plan.n = 5;
    update_fails(COCO_EDUP, NULL);
}

/* A vector is none of the members that are encoded as they are read. */
struct pointed {
    int64_t id;
    coco_floats v;
};
static const coco_schema POINTED = COCO_SCHEMA(struct pointed, COCO_FIELD(struct pointed, id, COCO_INT_T, .key = true),
                                               COCO_FIELD(struct pointed, v, COCO_VECTOR_T, .dim = 2));
static coco_status pointed_rows(coco_ctx *cx)
{
    const float at[] = { 1, 2, 3 };
    const struct pointed rows[] = { { 1, { at, 2 } }, { 2, { at + 1, 2 } }, { 3, { at, 2 } } };
    coco_table *t;

    COCO_TRY(coco_sqlite_mount_table(cx, db_value(), "points", &POINTED, NULL, &t));
    COCO_TRY(coco_declare_rows(cx, t, NULL, 0));
    if (plan.n) return coco_declare_rows(cx, t, NULL, 1);
    return coco_declare_rows(cx, t, rows, 3);
}
static void array_of_structs_with_vectors_is_the_rows_of_each(void **state)
{
    (void)state;
    plan.main = pointed_rows;
    update(NULL);
    expect_sql("SELECT id, hex(v) FROM points", "1|0000803F00000040", "2|0000004000004040", "3|0000803F00000040");
    plan.n = 1;
    update_fails(COCO_EINVAL, NULL);
    assert_non_null(strstr(w.err.msg, "no row to declare"));
}

/* Values instead of a struct, and those that don't fit. */
static coco_value the_values;
static coco_status values(coco_ctx *cx)
{
    const coco_schema *s = COLUMNS({ .name = "id", .type = COCO_INT_T, .key = true },
                                   { .name = "when", .type = COCO_DATE_T, .nullable = true },
                                   { .name = "v", .type = COCO_VECTOR_T, .dim = 2, .nullable = true },
                                   { .name = "x", .type = COCO_DOUBLE_T, .nullable = true },
                                   { .name = "u", .type = COCO_UUID_T, .nullable = true },
                                   { .name = "t", .type = COCO_TEXT_T, .nullable = true });
    coco_table *t;

    COCO_TRY(coco_sqlite_mount_table(cx, db_value(), "t", s, NULL, &t));
    return coco_declare_values(cx, t, the_values);
}
static void values_become_a_row(void **state)
{
    const coco_value list[2] = { coco_int(1), coco_float(0.5) };

    (void)state;
    plan.main = values;
    the_values = MAP(PAIR("x", coco_int(2)), PAIR("v", coco_list(list, 2)), PAIR("id", coco_int(9)),
                     PAIR("u", coco_text("FF000000-0000-0000-0000-000000000000")));
    update(NULL);
    expect_sql("SELECT * FROM t", "9|NULL|x'0000803f0000003f'|2f|ff000000-0000-0000-0000-000000000000|NULL");
    update(NULL);
    expect_counts(0, 0, 0);
}
static void value_that_does_not_fit_is_an_error_that_names_it(void **state)
{
    const struct {
        coco_status rc;
        const char *words;
        coco_pair wrong;
    } cases[] = {
        { COCO_EINVAL, "table t, column when: \"2026-02-30\" is no date", PAIR("when", COCO_TEXT("2026-02-30")) },
        { COCO_ETYPE, "table t, column when", PAIR("when", COCO_INTEGER(5)) },
        { COCO_ETYPE, "table t, column v", PAIR("v", COCO_INTEGER(1)) },
        { COCO_EINVAL, "not a uuid", PAIR("u", COCO_TEXT("ff")) },
        { COCO_EINVAL, "text that is not UTF-8", PAIR("t", COCO_TEXT("\xc3(")) },
        { COCO_EINVAL, "has no column nobody", PAIR("nobody", COCO_INTEGER(1)) },
    };

    (void)state;
    plan.main = values;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coco_pair pairs[2] = { PAIR("id", coco_int(1)), cases[i].wrong };
        the_values = coco_map_value(pairs, 2);
        update_fails(cases[i].rc, NULL);
        if (!strstr(w.err.msg, cases[i].words)) fail_msg("%s", w.err.msg);
    }
    the_values = MAP(PAIR("t", coco_text("no key")));
    update_fails(COCO_EINVAL, NULL);
    the_values = MAP(PAIR("id", coco_int(1)), PAIR("v", coco_vector((const float[]){ 1, 2, 3 }, 3)));
    update_fails(COCO_EINVAL, NULL);
    the_values = MAP(PAIR("id", coco_int(1)), PAIR("x", coco_float((double)__builtin_nanf(""))));
    update_fails(COCO_EINVAL, NULL);
    assert_non_null(strstr(w.err.msg, "NaN"));
    expect_sql("SELECT count(*) FROM t", "0");
}

/* Several key columns, all of them the row. */
static coco_status pairs_only(coco_ctx *cx)
{
    const coco_schema *s = COLUMNS({ .name = "a", .type = COCO_TEXT_T, .key = true },
                                   { .name = "b", .type = COCO_BYTES_T, .key = true },
                                   { .name = "c", .type = COCO_BOOL_T, .key = true });
    coco_table *t;

    COCO_TRY(coco_sqlite_mount_table(cx, db_value(), "t", s, NULL, &t));
    for (int i = 0; i < plan.n; i++)
        COCO_TRY(coco_declare_values(cx, t, MAP(PAIR("a", coco_text("k")), PAIR("b", coco_bytes("\0", (size_t)i)),
                                                PAIR("c", coco_bool(i == 1)))));
    return COCO_OK;
}
static void keys_of_several_columns(void **state)
{
    (void)state;
    plan.main = pairs_only;
    plan.n = 2;
    update(NULL);
    expect_sql("SELECT * FROM t ORDER BY b", "k|x''|0", "k|x'00'|1");
    plan.n = 1;
    update(NULL);
    expect_sql("SELECT * FROM t", "k|x''|0");
    expect_counts(0, 0, 1);
}

/* ---- Harm -------------------------------------------------------------------------------------------------------- */

static char long_name[10001];
static const char *hostile;
static coco_status hostile_names(coco_ctx *cx)
{
    coco_column columns[2] = { { .name = hostile, .type = COCO_TEXT_T, .key = true },
                               { .name = "v", .type = COCO_TEXT_T } };
    const coco_schema s = { .columns = columns, .n = 2 };
    coco_pair pairs[2] = { { coco_str_of(hostile), coco_text(hostile) }, PAIR("v", coco_text(hostile)) };
    coco_table *t;

    COCO_TRY(coco_sqlite_mount_table(cx, db_value(), hostile, &s, NULL, &t));
    COCO_TRY(coco_sqlite_declare_index(cx, t, coco_format(cx, "i%s", hostile).p,
                                       &(coco_sqlite_index){ .parts = (const char *const[]){ hostile, NULL } }));
    if (plan.n) COCO_TRY(coco_sqlite_declare_fts(cx, t, coco_format(cx, "f%s", hostile).p,
                                       &(coco_sqlite_fts){ .parts = (const char *const[]){ hostile, "v", NULL } }));
    return coco_declare_values(cx, t, coco_map_value(pairs, 2));
}
/* C0.5 */
static void hostile_names_and_values_work(void **state)
{
    static const char *const names[] = { "\"; DROP TABLE docs; --", "a'b\"c", "%s%n", "a\nb", "select", " ", "[x]",
                                         "?1", long_name };
    char query[20100];

    (void)state;
    memset(long_name, 'n', sizeof long_name - 1);
    plan.main = hostile_names;
    sql("CREATE TABLE docs (x)");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        plan.n = strlen(names[i]) < 100 && !strchr(names[i], '\n');
        hostile = names[i];
        update(NULL);
        sqlite3_snprintf(sizeof query, query, "SELECT count(*) FROM \"%w\" WHERE v = %Q", hostile, hostile);
        expect_sql(query, "1");
    }
    expect_sql("SELECT count(*) FROM docs", "0");
    drop_all();
    expect_sql("SELECT name FROM sqlite_schema", "docs");
}
static void reserved_and_empty_names_are_refused(void **state)
{
    static const char *const names[] = { "", "coco_attachments", "COCO_x", "sqlite_x", "a\xff" };

    (void)state;
    plan.main = hostile_names;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        hostile = names[i];
        update_fails(COCO_EINVAL, NULL);
    }
    assert_int_not_equal(access(db_path, F_OK), 0);
}

/* ---- Unique values that move ------------------------------------------------------------------------------------- */

static coco_status ring(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &DOCS, &docs));
    COCO_TRY(coco_sqlite_declare_index(cx, docs, "u", &(coco_sqlite_index){ .columns = "title", .unique = true }));
    for (int i = 0; i < 4; i++)
        COCO_TRY(coco_declare_row(cx, docs, &(struct doc){ i, coco_str_of(titles[(i + plan.n) % 4]) }));
    return COCO_OK;
}
static void unique_values_move_around_a_ring(void **state)
{
    (void)state;
    plan.main = ring;
    update(NULL);
    sql("ALTER TABLE docs ADD COLUMN mine TEXT");
    sql("UPDATE docs SET mine = id * 10");
    for (plan.n = 1; plan.n < 4; plan.n++) update(NULL);
    expect_sql("SELECT * FROM docs ORDER BY id", "0|three|0", "1|zero|10", "2|one|20", "3|two|30");
}
COCO_FN(ring_row, (int64_t, id, coco_table *, docs))
{
    return coco_declare_row(cx, docs, &(struct doc){ id, coco_str_of(titles[(id + plan.n) % 4]) });
}
static coco_status ring_apart(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &DOCS, &docs));
    COCO_TRY(coco_sqlite_declare_index(cx, docs, "u", &(coco_sqlite_index){ .columns = "title", .unique = true }));
    for (int i = 0; i < 4; i++)
        COCO_TRY(mount_row(cx, &ring_row, i, docs));
    return COCO_OK;
}
static void unique_values_move_between_components(void **state)
{
    (void)state;
    plan.main = ring_apart;
    update(NULL);
    plan.n = 1;
    update(NULL); /* S7.4: in rounds of one, what fails is tried again together at the end */
    expect_sql("SELECT * FROM docs ORDER BY id", "0|one", "1|two", "2|three", "3|zero");
}
/* More than are in flight at a time: each batch fails, and all of them together are right. */
enum { MANY = 1500 };
COCO_FN(turned_row, (int64_t, id, coco_table *, docs))
{
    return coco_declare_row(cx, docs, &(struct doc){ id, coco_format(cx, "%d", (int)((id + plan.n) % MANY)) });
}
static coco_status many_apart(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &DOCS, &docs));
    COCO_TRY(coco_sqlite_declare_index(cx, docs, "u", &(coco_sqlite_index){ .columns = "title", .unique = true }));
    for (int i = 0; i < MANY; i++) COCO_TRY(mount_row(cx, &turned_row, i, docs));
    return COCO_OK;
}
static void unique_values_of_many_components_are_turned_in_one_update(void **state)
{
    (void)state;
    plan.main = many_apart;
    update(NULL);
    plan.n = 1;
    update(NULL);
    expect_sql("SELECT count(*) FROM docs WHERE title = (id + 1) % 1500", "1500");
}
static coco_status twins(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &DOCS, &docs));
    COCO_TRY(coco_sqlite_declare_index(cx, docs, "u", &(coco_sqlite_index){ .columns = "title", .unique = true }));
    if (plan.n == 1) COCO_TRY(coco_declare_row(cx, docs, &(struct doc){ 1, COCO_STR("same") }));
    return plan.n ? coco_declare_row(cx, docs, &(struct doc){ 2, COCO_STR("same") }) : COCO_OK;
}
static void values_that_are_not_unique_are_an_error(void **state)
{
    (void)state;
    plan.main = twins;
    update(NULL);
    plan.n = 1;
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.err.msg, "UNIQUE constraint failed"));
    expect_sql("SELECT count(*) FROM docs", "0");
}

/* ---- Behind the engine's back ------------------------------------------------------------------------------------ */

static _Atomic int expensive_calls;
COCO_FN(expensive, (int64_t, id), .memo = true)
{
    expensive_calls++;
    return coco_return(cx, coco_text(titles[id % 5]));
}
COCO_FN(memo_row, (int64_t, id, coco_table *, docs), .memo = true)
{
    coco_value title;

    COCO_TRY(coco_call(cx, &expensive, COCO_ARGS(coco_int(id)), &title));
    return coco_declare_row(cx, docs, &(struct doc){ id, coco_text_of(title) });
}
static coco_status memo_rows(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &DOCS, &docs));
    for (int i = 1; i <= 3; i++)
        COCO_TRY(mount_row(cx, &memo_row, i, docs));
    return COCO_OK;
}

/* S7.13 */
static void deleted_target_file_is_made_again(void **state)
{
    (void)state;
    plan.main = memo_rows;
    expensive_calls = 0;
    update(NULL);
    db_delete();
    update(NULL);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|one", "2|two", "3|three");
    restart();
    db_delete();
    update(NULL);
    expect_sql("SELECT count(*) FROM docs", "3");
    assert_int_equal(expensive_calls, 3);
}
static void deleted_table_is_made_again(void **state)
{
    (void)state;
    plan.main = memo_rows;
    expensive_calls = 0;
    update(NULL);
    sql("DROP TABLE docs");
    update(NULL);
    expect_sql("SELECT count(*) FROM docs", "3");
    assert_int_equal(expensive_calls, 3);
    update(NULL);
    expect_counts(0, 0, 0);
}
static void dropped_column_comes_back(void **state)
{
    (void)state;
    plan.main = memo_rows;
    update(NULL);
    sql("ALTER TABLE docs DROP COLUMN title");
    update(NULL);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|one", "2|two", "3|three");
}
static void lost_state_converges_onto_an_existing_target(void **state)
{
    char path[120];

    (void)state;
    plan.main = memo_rows;
    update(NULL);
    sql("UPDATE docs SET title = 'other' WHERE id = 2");
    restart();
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_int_equal(remove(path), 0);
    update(NULL);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|one", "2|two", "3|three");
}
static void table_of_others_with_another_key_is_an_error(void **state)
{
    (void)state;
    sql("CREATE TABLE docs (title TEXT PRIMARY KEY, id INTEGER); INSERT INTO docs VALUES ('theirs', 1)");
    plan.main = some_rows;
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.err.msg, "another primary key"));
    expect_sql("SELECT title FROM docs", "theirs");
}

/* ---- Others' tables and rows ------------------------------------------------------------------------------------- */

/* S7.7 */
static void user_managed_table_is_left_and_its_rows_kept(void **state)
{
    (void)state;
    plan.main = some_rows;
    plan.n = 2;
    plan.opts.user_managed = true;
    update_fails(COCO_EFAIL, NULL); /* it isn't there, and nobody makes it */
    sql("CREATE TABLE docs (id INTEGER PRIMARY KEY, title TEXT, mine TEXT DEFAULT 'x');"
        "INSERT INTO docs VALUES (7, 't', 'm')");
    update(NULL);
    expect_sql("SELECT * FROM docs ORDER BY id", "1|one|x", "2|two|x", "7|t|m");
    drop_all();
    expect_sql("SELECT * FROM docs", "7|t|m");
}

static coco_status rows_from(coco_ctx *cx)
{
    coco_sqlite_table_opts o = { .user_managed = true };
    int first = coco_text_of(coco_param(cx, "first")).p[0] - '0';
    coco_table *docs;

    COCO_TRY(coco_sqlite_mount_table(cx, db_value(), "docs", &DOCS, &o, &docs));
    for (int i = first; i < first + plan.n; i++)
        COCO_TRY(coco_declare_row(cx, docs, &(struct doc){ i, coco_str_of(titles[i % 5]) }));
    return COCO_OK;
}
static void two_apps_share_a_table(void **state)
{
    static const coco_param_def params[] = { { "first", "1", "" }, { 0 } };

    (void)state;
    sql("CREATE TABLE docs (id INTEGER PRIMARY KEY, title TEXT)");
    w.config.params = params;
    plan.main = rows_from;
    plan.n = 2;
    for (int app = 0; app < 2; app++) {
        w.config.name = app ? "b" : "a";
        restart();
        open_world();
        assert_int_equal(coco_app_set_param(w.app, "first", app ? "5" : "1", NULL), COCO_OK);
        update(NULL);
    }
    expect_sql("SELECT id FROM docs ORDER BY id", "1", "2", "5", "6");
    drop_all();
    expect_sql("SELECT id FROM docs ORDER BY id", "1", "2");
}

/* S7.9: a row that another component declares moves, and is neither deleted nor written again. */
static coco_status owners(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &DOCS, &docs));
    return coco_mount(cx, COCO_PATH(coco_int(plan.n)), &ring_row, COCO_ARGS(coco_int(1), coco_table_value(docs)), NULL);
}
COCO_FN(same_row, (int64_t, id, coco_table *, docs))
{
    return coco_declare_row(cx, docs, &(struct doc){ id, COCO_STR("same") });
}
static coco_status moving(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &DOCS, &docs));
    return coco_mount(cx, COCO_PATH(coco_int(plan.n)), &same_row, COCO_ARGS(coco_int(1), coco_table_value(docs)), NULL);
}
static void row_moves_between_components_without_a_delete(void **state)
{
    (void)state;
    plan.main = moving;
    update(NULL);
    sql("UPDATE docs SET title = 'by hand'");
    plan.n = 1;
    update(NULL);
    expect_counts(0, 0, 0);
    expect_sql("SELECT * FROM docs", "1|by hand");
    plan.main = owners; /* declared with another title: updated in place */
    plan.n = 2;
    update(NULL);
    expect_counts(0, 1, 0);
}

/* ---- Connections ------------------------------------------------------------------------------------------------- */

static coco_key DB = COCO_KEY("thedb");
static coco_status setup_db(coco_ctx *cx, void *user)
{
    (void)user;
    return coco_sqlite_provide(cx, &DB, db_path, &(coco_sqlite_opts){ .journal = "delete" });
}
static coco_status by_key(coco_ctx *cx)
{
    coco_table *docs;

    COCO_TRY(coco_sqlite_mount_table(cx, coco_context_ref(&DB), "docs", &DOCS, NULL, &docs));
    return coco_declare_row(cx, docs, &(struct doc){ 1, COCO_STR("x") });
}
/* The key's name is the identity: the file may move. */
static void provided_connection_is_known_by_its_key(void **state)
{
    char other[140];

    (void)state;
    w.env_config.setup = setup_db;
    plan.main = by_key;
    update(NULL);
    expect_events("applied", "/@sqlite/@thedb/\"docs\" thedb:\"docs\" insert", "/ thedb/docs:[1] insert");
    expect_sql("PRAGMA journal_mode", "delete");
    sqlite3 *db = coco_sqlite_handle(coco_sqlite_of(coco_env_context(w.env, &DB)), &w.err);
    assert_non_null(db);
    restart();
    snprintf(other, sizeof other, "%s/moved.sqlite", db_dir);
    assert_int_equal(rename(db_path, other), 0);
    snprintf(db_path, sizeof db_path, "%s", other);
    update(NULL);
    expect_counts(0, 0, 0);
}

static void preview_makes_no_file(void **state)
{
    (void)state;
    plan.main = some_rows;
    plan.n = 2;
    update(OPTS(.preview = true));
    expect_counts(3, 0, 0);
    assert_int_not_equal(access(db_path, F_OK), 0);
}

static void unopenable_database_is_an_error_that_names_it(void **state)
{
    (void)state;
    plan.main = some_rows;
    snprintf(db_path, sizeof db_path, "%s/none/x.sqlite", db_dir);
    update_fails(COCO_EIO, NULL);
    assert_non_null(strstr(w.err.msg, "none/x.sqlite: unable to open database file"));
}

/* S7.10: somebody else holds the file's lock for longer than the connection waits: tried again. */
static sqlite3 *holder;
static void *let_go(void *arg)
{
    (void)arg;
    usleep(300000);
    sqlite3_exec(holder, "COMMIT", NULL, NULL, NULL);
    return NULL;
}
static coco_status setup_impatient(coco_ctx *cx, void *user)
{
    (void)user;
    return coco_sqlite_provide(cx, &DB, db_path, &(coco_sqlite_opts){ .busy_ms = 1 });
}
static void locked_database_is_tried_again(void **state)
{
    pthread_t thread;

    (void)state;
    w.env_config.setup = setup_impatient;
    plan.main = by_key;
    sql("PRAGMA journal_mode = wal; CREATE TABLE other (x)");
    holder = db_open();
    assert_int_equal(sqlite3_exec(holder, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(pthread_create(&thread, NULL, let_go, NULL), 0);
    update(NULL);
    pthread_join(thread, NULL);
    sqlite3_close(holder);
    expect_sql("SELECT * FROM docs", "1|x");
}

/* In the child: the function that the trigger calls ends the process. */
static void die(sqlite3_context *c, int n, sqlite3_value **v)
{
    (void)c, (void)n, (void)v;
    kill(getpid(), SIGKILL);
}
static int kill_at_boom(sqlite3 *db, const char **words, const struct sqlite3_api_routines *api)
{
    (void)words, (void)api;
    return sqlite3_create_function(db, "boom", 0, SQLITE_UTF8, NULL, die, NULL, NULL);
}

/* A process that dies in the middle of a batch leaves nothing of it; the next update writes it. */
static void killed_writer_leaves_whole_batches(void **state)
{
    pid_t child;
    int status;

    (void)state;
    plan.main = some_rows;
    plan.n = 4;
    sql("CREATE TABLE docs (id INTEGER NOT NULL, title TEXT, PRIMARY KEY (id)); CREATE TABLE log (x);"
        "CREATE TRIGGER boom AFTER INSERT ON docs WHEN new.id = 3 BEGIN SELECT boom(); END");
    if ((child = fork()) == 0) {
        sqlite3_auto_extension((void (*)(void))kill_at_boom);
        try_update(NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    expect_sql("SELECT count(*) FROM docs", "0");
    sql("DROP TRIGGER boom");
    update(NULL);
    expect_sql("SELECT count(*) FROM docs", "4");
}

static void full_reprocess_writes_every_row_again(void **state)
{
    (void)state;
    plan.main = some_rows;
    plan.n = 2;
    update(NULL);
    sql("UPDATE docs SET title = 'by hand'; DELETE FROM docs WHERE id = 2");
    update(OPTS(.full_reprocess = true));
    expect_sql("SELECT * FROM docs ORDER BY id", "1|one", "2|two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(rows_are_written),
        DB_TEST(unchanged_row_is_not_written_again),
        DB_TEST(row_that_is_no_longer_declared_is_deleted),
        DB_TEST(component_is_written_whole_or_not_at_all),
        DB_TEST(bad_row_fails_its_own_component_alone),
        DB_TEST(every_type_is_stored_as_the_manual_says),
        DB_TEST(plain_struct_is_the_row_of_its_values),
        DB_TEST(array_of_structs_is_the_rows_of_each),
        DB_TEST(array_of_structs_with_vectors_is_the_rows_of_each),
        DB_TEST(values_become_a_row),
        DB_TEST(value_that_does_not_fit_is_an_error_that_names_it),
        DB_TEST(keys_of_several_columns),
        DB_TEST(hostile_names_and_values_work),
        DB_TEST(reserved_and_empty_names_are_refused),
        DB_TEST(unique_values_move_around_a_ring),
        DB_TEST(unique_values_move_between_components),
        DB_TEST(unique_values_of_many_components_are_turned_in_one_update),
        DB_TEST(values_that_are_not_unique_are_an_error),
        DB_TEST(deleted_target_file_is_made_again),
        DB_TEST(deleted_table_is_made_again),
        DB_TEST(dropped_column_comes_back),
        DB_TEST(lost_state_converges_onto_an_existing_target),
        DB_TEST(table_of_others_with_another_key_is_an_error),
        DB_TEST(user_managed_table_is_left_and_its_rows_kept),
        DB_TEST(two_apps_share_a_table),
        DB_TEST(row_moves_between_components_without_a_delete),
        DB_TEST(provided_connection_is_known_by_its_key),
        DB_TEST(preview_makes_no_file),
        DB_TEST(unopenable_database_is_an_error_that_names_it),
        DB_TEST(locked_database_is_tried_again),
        DB_TEST(killed_writer_leaves_whole_batches),
        DB_TEST(full_reprocess_writes_every_row_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
