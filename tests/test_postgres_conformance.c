/* test_postgres_conformance.c - the handlers of the PostgreSQL connector through all that may happen to a state: what
 * is recorded, what is desired, what is really there (S7.2, S7.13). */
#include "pg_world.h"

#include "../connectors/conformance.h"

static lines violations;

static void note_violation(void *user, const char *text)
{
    (void)user;
    lines_add(&violations, "%s", text);
}

static void expect_conformance(coco_conformance *c)
{
    coco_conformance_result counts;
    coco_status rc;

    lines_clear(&violations);
    c->violation = note_violation;
    c->setup = pg_setup;
    rc = coco_conformance_run(c, w.dir, &counts, &w.err);
    for (size_t i = 0; i < violations.n && i < 12; i++) print_error("  %s\n", violations.v[i]);
    lines_clear(&violations);
    if (rc != COCO_OK) fail_msg("%s", w.err.msg);
    print_message("    %zu cases\n", counts.cases);
    assert_true(counts.cases > 50);
}

/* The first line of a query's result; "" where there is none. */
static const char *first_of(const char *query)
{
    static char line[400];
    static lines is;

    sql_lines_on(plan.conn, query, &is);
    snprintf(line, sizeof line, "%s", is.n ? is.v[0] : "");
    lines_clear(&is);
    return line;
}

static coco_status make_root(coco_ctx *cx, void *user, coco_target_handler *out)
{
    (void)user;
    return coco_target_make(cx, "postgres", coco_symbol("db"), out);
}

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

static const char *const tables[] = {
    "CREATE TABLE docs (id bigint PRIMARY KEY, a text NOT NULL)",
    "CREATE TABLE docs (id bigint PRIMARY KEY, a varchar(9))",
    "CREATE TABLE docs (id bigint, a bigint NOT NULL, PRIMARY KEY (id, a))",
    "CREATE TABLE docs (id bigint PRIMARY KEY)", /* half made */
};
#define SHAPE \
    "SELECT string_agg(attname || format_type(atttypid, atttypmod), ',' ORDER BY attname) FROM pg_attribute WHERE " \
    "attrelid = to_regclass('docs') AND attnum > 0 AND NOT attisdropped"
static const char *const shapes[] = { "atext,idbigint", "acharacter varying(9),idbigint", "abigint,idbigint" };

static coco_status set_table(void *user, int state)
{
    (void)user;
    PQclear(PQexec(plan.conn, "DROP TABLE IF EXISTS docs; DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM "
                              "pg_class WHERE relname LIKE 'coco_shadow%' AND relkind = 'r' LOOP EXECUTE "
                              "format('DROP TABLE %I', t); END LOOP; END $$"));
    if (state != COCO_REAL_NONE) sql(tables[state]);
    return COCO_OK;
}

static coco_status get_table(void *user, int *state)
{
    const char *shape = first_of(SHAPE);

    (void)user;
    *state = strcmp(shape, "~") == 0 ? COCO_REAL_NONE : COCO_REAL_OTHER;
    for (int i = 0; i < 3; i++)
        if (strcmp(shape, shapes[i]) == 0) *state = i;
    return COCO_OK;
}

static const coco_schema schemas[3] = {
    { .columns = (const coco_column[]){ { "id", .type = COCO_INT_T, .key = true }, { "a", .type = COCO_TEXT_T } },
      .n = 2 },
    { .columns = (const coco_column[]){ { "id", .type = COCO_INT_T, .key = true },
                                        { "a", .type = COCO_TEXT_T, .sql_type = "varchar(9)", .nullable = true } },
      .n = 2 },
    { .columns = (const coco_column[]){ { "id", .type = COCO_INT_T, .key = true },
                                        { "a", .type = COCO_INT_T, .key = true } },
      .n = 2 },
};
static coco_value declarations[3];
static char kept[3][200];

/* Declarations are made in a cx: in the main function of a program. */
static coco_status make_declarations(coco_ctx *cx)
{
    coco_str decl;

    for (int i = 0; i < 3; i++) {
        COCO_TRY(coco_table_declaration(cx, "docs", &schemas[i], COCO_STR(""), &decl));
        memcpy(kept[i], decl.p, decl.n);
        declarations[i] = coco_bytes(kept[i], decl.n);
    }
    return COCO_OK;
}

/* The state directory has to be empty again. */
static void in_a_program(coco_status (*main_fn)(coco_ctx *cx))
{
    static const char *const files[] = { "data.mdb", "lock.mdb", "cocoindex.lock" };
    char path[100];

    pg_update(main_fn);
    restart();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", w.dir, files[i]);
        remove(path);
    }
}

static void tables_conform(void **state)
{
    coco_conformance c = { .make = make_root, .set = set_table, .get = get_table, .key = COCO_TEXT("docs"),
                           .desired = declarations, .ndesired = 3, .nodd = 1, .container = true };

    (void)state;
    in_a_program(make_declarations);
    expect_conformance(&c);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static coco_value row_values[3];
static char row_bytes[3][100];
static coco_value row_key[1] = { COCO_INTEGER(7) };

static coco_status make_rows(coco_ctx *cx)
{
    static const char *const texts[] = { "x", "y", "" };
    coco_rows table = { .table = "docs" };

    COCO_TRY(make_declarations(cx));
    COCO_TRY(coco_rows_init(cx, &table, "docs", &declarations[0], (coco_str){ NULL, 0 }));
    for (int i = 0; i < 3; i++) {
        const coco_value values[2] = { row_key[0], coco_text(texts[i]) };
        coco_str row;
        COCO_TRY(coco_row_encode(cx, &table, coco_list(values, 2), &row, NULL));
        memcpy(row_bytes[i], row.p, row.n);
        row_values[i] = coco_bytes(row_bytes[i], row.n);
    }
    return COCO_OK;
}

static coco_status make_table(coco_ctx *cx, void *user, coco_target_handler *out)
{
    coco_target_handler root_handler = { 0 };

    COCO_TRY(make_root(cx, user, &root_handler));
    return root_handler.child(cx, root_handler.self, coco_text("docs"), &declarations[0], (coco_str){ NULL, 0 }, out);
}

static coco_status set_row(void *user, int state)
{
    static const char *const inserts[] = { "INSERT INTO docs VALUES (7, 'x')", "INSERT INTO docs VALUES (7, 'y')",
                                           "INSERT INTO docs VALUES (7, '')", "INSERT INTO docs VALUES (7, NULL)" };

    (void)user;
    PQclear(PQexec(plan.conn, "CREATE TABLE IF NOT EXISTS docs (id bigint PRIMARY KEY, a text); DELETE FROM docs"));
    if (state >= 0) sql(inserts[state]);
    return COCO_OK;
}

static coco_status get_row(void *user, int *state)
{
    const char *is = first_of("SELECT coalesce(':' || a, 'null') FROM docs WHERE id = 7");

    (void)user;
    *state = !*is ? COCO_REAL_NONE : strcmp(is, ":x") == 0 ? 0 : strcmp(is, ":y") == 0 ? 1 : strcmp(is, ":") == 0 ? 2
           : COCO_REAL_OTHER;
    return COCO_OK;
}

static void rows_conform(void **state)
{
    coco_conformance c = { .make = make_table, .set = set_row, .get = get_row, .key = coco_list(row_key, 1),
                           .desired = row_values, .ndesired = 3, .nodd = 1 };

    (void)state;
    in_a_program(make_rows);
    expect_conformance(&c);
}

/* ---- Indexes ----------------------------------------------------------------------------------------------------- */

static coco_value indexes[2];

static coco_status make_index(coco_ctx *cx, void *user, coco_target_handler *out)
{
    coco_target_handler table = { 0 };

    COCO_TRY(make_table(cx, user, &table));
    return table.attachment(cx, table.self, "index", out);
}

static coco_status set_index(void *user, int state)
{
    (void)user;
    PQclear(PQexec(plan.conn, "DROP TABLE IF EXISTS docs; CREATE TABLE docs (id bigint PRIMARY KEY, a text, b text)"));
    if (state == 0) sql("CREATE INDEX i ON docs (a)");
    if (state == 1) sql("ALTER TABLE docs ADD CONSTRAINT i UNIQUE (b) DEFERRABLE INITIALLY DEFERRED");
    return COCO_OK;
}

static coco_status get_index(void *user, int *state)
{
    const char *is = first_of("SELECT indexdef FROM pg_indexes WHERE indexname = 'i'");

    (void)user;
    *state = !*is ? COCO_REAL_NONE : strstr(is, "(a)") ? 0 : strstr(is, "UNIQUE") ? 1 : COCO_REAL_OTHER;
    return COCO_OK;
}

static void indexes_conform(void **state)
{
    coco_conformance c = { .make = make_index, .set = set_index, .get = get_index, .key = COCO_TEXT("i"),
                           .desired = indexes, .ndesired = 2 };

    (void)state;
    indexes[0] = coco_bytes("5:index15:USING btree (a)", 25);
    indexes[1] = coco_bytes("6:unique15:USING btree (b)", 26);
    in_a_program(make_rows);
    expect_conformance(&c);
}

int main(void)
{
    const struct CMUnitTest postgres_conformance[] = { PG_TEST(tables_conform), PG_TEST(rows_conform),
                                                       PG_TEST(indexes_conform) };

    return PG_RUN(postgres_conformance, false);
}
