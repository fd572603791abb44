/* test_sqlite_conformance.c - the handlers of the SQLite connector through all that may happen to a state: what is
 * recorded, what is desired, what is really there (S7.2, S7.13). */
#include "rows_sqlite.h"

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
    static lines is;
    sqlite3 *db = db_open();

    lines_clear(&is);
    db_lines(db, query, &is);
    sqlite3_close(db);
    return is.n ? is.v[0] : "";
}

static coco_status make_root(coco_ctx *cx, void *user, coco_target_handler *out)
{
    (void)user;
    return coco_target_make(cx, "sqlite", coco_text(db_path), out);
}

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

static const char *const tables[] = {
    "CREATE TABLE docs (id INTEGER NOT NULL, a TEXT NOT NULL, PRIMARY KEY (id))",
    "CREATE TABLE docs (id INTEGER NOT NULL, a varchar(9), PRIMARY KEY (id))",
    "CREATE TABLE docs (id INTEGER NOT NULL, a INTEGER NOT NULL, PRIMARY KEY (id))",
    "CREATE TABLE docs (id INTEGER PRIMARY KEY)", /* half made */
};
static const char *const shapes[] = { "idINTEGER,aTEXT", "idINTEGER,avarchar(9)", "idINTEGER,aINTEGER" };
#define SHAPE "SELECT group_concat(name || type) FROM pragma_table_info('docs')"

static coco_status set_table(void *user, int state)
{
    (void)user;
    sql("DROP TABLE IF EXISTS docs; DROP TABLE IF EXISTS coco_shadow_docs; DROP TABLE IF EXISTS coco_attachments");
    if (state != COCO_REAL_NONE) sql("%s", tables[state]);
    return COCO_OK;
}
static coco_status get_table(void *user, int *state)
{
    const char *shape = first_of(SHAPE);

    (void)user;
    *state = strcmp(shape, "NULL") == 0 ? COCO_REAL_NONE : COCO_REAL_OTHER;
    for (int i = 0; i < 3; i++)
        if (strcmp(shape, shapes[i]) == 0) *state = i;
    return COCO_OK;
}

#define ID { .name = "id", .type = COCO_INT_T, .key = true }
static const coco_schema *const schemas[] = {
    COLUMNS(ID, { .name = "a", .type = COCO_TEXT_T }),
    COLUMNS(ID, { .name = "a", .type = COCO_TEXT_T, .sql_type = "varchar(9)", .nullable = true }),
    COLUMNS(ID, { .name = "a", .type = COCO_INT_T }),
};
static coco_value declarations[3];
static char kept[3][200];

/* Declarations are made in a cx: in the main function of a program. */
static coco_status make_declarations(coco_ctx *cx)
{
    coco_str decl;

    for (int i = 0; i < 3; i++) {
        COCO_TRY(coco_table_declaration(cx, "docs", schemas[i], COCO_STR(""), &decl));
        memcpy(kept[i], decl.p, decl.n);
        declarations[i] = coco_bytes(kept[i], decl.n);
    }
    return COCO_OK;
}

/* The state directory has to be empty again. */
static void in_a_program(coco_status (*main_fn)(coco_ctx *cx))
{
    char path[100];

    plan.main = main_fn;
    update(NULL);
    restart();
    for (int i = 0; i < 3; i++) {
        static const char *const files[] = { "data.mdb", "lock.mdb", "cocoindex.lock" };
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

static coco_value rows[3];
static char row_bytes[3][100];
static coco_value row_key[1] = { COCO_INTEGER(7) };

static coco_status make_rows(coco_ctx *cx)
{
    coco_rows table = { .table = "docs" };

    COCO_TRY(make_declarations(cx));
    COCO_TRY(coco_rows_init(cx, &table, "docs", &declarations[0], (coco_str){ NULL, 0 }));
    for (int i = 0; i < 3; i++) {
        const coco_value values[2] = { row_key[0], coco_text(((const char *[]){ "x", "y", "" })[i]) };
        coco_str row;
        COCO_TRY(coco_row_encode(cx, &table, coco_list(values, 2), &row, NULL));
        memcpy(row_bytes[i], row.p, row.n);
        rows[i] = coco_bytes(row_bytes[i], row.n);
    }
    return COCO_OK;
}
static coco_status make_table(coco_ctx *cx, void *user, coco_target_handler *out)
{
    coco_target_handler root_handler;

    COCO_TRY(make_root(cx, user, &root_handler));
    return root_handler.child(cx, root_handler.self, coco_text("docs"), &declarations[0], (coco_str){ NULL, 0 }, out);
}
static coco_status set_row(void *user, int state)
{
    (void)user;
    sql("CREATE TABLE IF NOT EXISTS docs (id INTEGER NOT NULL, a TEXT, PRIMARY KEY (id)); DELETE FROM docs");
    if (state >= 0) sql("INSERT INTO docs VALUES (7, %Q)", ((const char *[]){ "x", "y", "", NULL })[state]);
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
                           .desired = rows, .ndesired = 3, .nodd = 1 };

    (void)state;
    in_a_program(make_rows);
    expect_conformance(&c);
}

/* ---- Indexes ----------------------------------------------------------------------------------------------------- */

static const coco_value on_a[2] = { COCO_TEXT("CREATE INDEX i ON docs (a)"), COCO_TEXT("DROP INDEX IF EXISTS i") };
static const coco_value on_b[2] = { COCO_TEXT("CREATE INDEX i ON docs (b)"), COCO_TEXT("DROP INDEX IF EXISTS i") };
static coco_value indexes[2];

static coco_status make_index(coco_ctx *cx, void *user, coco_target_handler *out)
{
    coco_target_handler table;

    COCO_TRY(make_table(cx, user, &table));
    return table.attachment(cx, table.self, "index", out);
}
static coco_status set_index(void *user, int state)
{
    (void)user;
    sql("DROP TABLE IF EXISTS docs; DROP TABLE IF EXISTS coco_attachments;"
        "CREATE TABLE docs (id INTEGER PRIMARY KEY, a, b)");
    if (state < 0) return COCO_OK;
    sql("CREATE INDEX i ON docs (%s); CREATE TABLE coco_attachments (tbl TEXT NOT NULL, kind TEXT NOT NULL, "
        "name TEXT NOT NULL, pending INTEGER NOT NULL, setup TEXT NOT NULL, teardown TEXT, "
        "PRIMARY KEY (tbl, kind, name, pending)) WITHOUT ROWID; INSERT INTO coco_attachments VALUES "
        "('docs', 'index', 'i', 0, 'CREATE INDEX i ON docs (%s)', 'DROP INDEX IF EXISTS i')",
        state ? "b" : "a", state ? "b" : "a");
    return COCO_OK;
}
static coco_status get_index(void *user, int *state)
{
    const char *is = first_of("SELECT name FROM pragma_index_info('i')");

    (void)user;
    *state = !*is ? COCO_REAL_NONE : is[0] == 'a' ? 0 : 1;
    return COCO_OK;
}
static void indexes_conform(void **state)
{
    coco_conformance c = { .make = make_index, .set = set_index, .get = get_index, .key = COCO_TEXT("i"),
                           .desired = indexes, .ndesired = 2 };

    (void)state;
    indexes[0] = coco_list(on_a, 2), indexes[1] = coco_list(on_b, 2);
    in_a_program(make_rows);
    expect_conformance(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { DB_TEST(tables_conform), DB_TEST(rows_conform), DB_TEST(indexes_conform) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
