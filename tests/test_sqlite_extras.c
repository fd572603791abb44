/* test_sqlite_extras.c - what a SQLite table has besides rows: indexes, full-text search, SQL of the program's own,
 * vec0 tables; the search for vectors without an extension (C2, S7.8). COCO_VEC0 names the file of sqlite-vec. */
#include "rows_sqlite.h"

#include <dlfcn.h>

struct doc {
    int64_t id;
    const char *title, *body;
};
static const coco_schema DOCS = COCO_SCHEMA(struct doc,
    COCO_FIELD(struct doc, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct doc, title, COCO_TEXT_T),
    COCO_FIELD(struct doc, body, COCO_TEXT_T, .nullable = true));
static const coco_schema DOCS_BY_TITLE = COCO_SCHEMA(struct doc,
    COCO_FIELD(struct doc, id, COCO_INT_T),
    COCO_FIELD(struct doc, title, COCO_TEXT_T, .key = true),
    COCO_FIELD(struct doc, body, COCO_TEXT_T, .nullable = true));

/* What the program declares beside rows: bits of plan.n. */
enum { INDEX = 1, OTHER_INDEX = 2, FTS = 4, OTHER_FTS = 8, SQL = 16, OTHER_SQL = 32, NO_ROWS = 64, EDITED = 128 };

static coco_status extras(coco_ctx *cx)
{
    static const struct doc rows[] = { { 1, "apple pie", "sweet" }, { 2, "banana", NULL }, { 3, "apple", "sour" } };
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &DOCS, &docs));
    for (size_t i = 0; i < 3 && !(plan.n & NO_ROWS); i++) {
        struct doc row = rows[i];
        if (i == 0 && plan.n & EDITED) row.title = "cherry";
        COCO_TRY(coco_declare_row(cx, docs, &row));
    }
    if (plan.n & (INDEX | OTHER_INDEX))
        COCO_TRY(coco_sqlite_declare_index(cx, docs, "i", &(coco_sqlite_index){
            .columns = plan.n & INDEX ? "title, id" : "body", .unique = plan.n & INDEX }));
    if (plan.n & (FTS | OTHER_FTS))
        COCO_TRY(coco_sqlite_declare_fts(cx, docs, "f", &(coco_sqlite_fts){
            .columns = plan.n & FTS ? "title,body" : "body", .tokenize = plan.n & FTS ? "porter unicode61" : NULL }));
    if (plan.n & (SQL | OTHER_SQL))
        COCO_TRY(coco_sqlite_declare_sql(cx, docs, "v",
            plan.n & SQL ? "CREATE VIEW v AS SELECT 1 AS x" : "CREATE VIEW w AS SELECT 2 AS x",
            plan.n & SQL ? "DROP VIEW v" : "DROP VIEW w"));
    return COCO_OK;
}

static void index_is_made_changed_and_dropped(void **state)
{
    const char *all = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL";

    (void)state;
    plan.main = extras;
    plan.n = INDEX;
    update(NULL);
    expect_sql(all, "i|CREATE UNIQUE INDEX \"i\" ON \"docs\" (\"title\", \"id\")");
    update(NULL);
    expect_counts(0, 0, 0);
    plan.n = OTHER_INDEX;
    update(NULL);
    expect_counts(0, 1, 0);
    expect_sql(all, "i|CREATE INDEX \"i\" ON \"docs\" (\"body\")");
    plan.n = 0;
    update(NULL);
    expect_sql("SELECT name FROM sqlite_schema", "docs"); /* and the book went with its last entry */
}

static void full_text_index_is_kept_in_sync(void **state)
{
    const char *apple = "SELECT rowid FROM f WHERE f MATCH 'apples' ORDER BY rowid";

    (void)state;
    plan.main = extras;
    update(NULL);
    plan.n = FTS; /* on the filled table */
    update(NULL);
    expect_sql(apple, "1", "3");
    plan.n = FTS | EDITED;
    update(NULL);
    expect_sql(apple, "3");
    expect_sql("SELECT title FROM f WHERE f MATCH 'cherry'", "cherry");
    sql("INSERT INTO f(f, rank) VALUES ('integrity-check', 1)");
    plan.n = FTS | NO_ROWS;
    update(NULL);
    expect_sql(apple, NULL);
    sql("INSERT INTO f(f, rank) VALUES ('integrity-check', 1)");
    plan.n = OTHER_FTS;
    update(NULL);
    expect_sql("SELECT rowid FROM f WHERE f MATCH 'sour'", "3");
    plan.n = 0;
    update(NULL);
    expect_sql("SELECT name FROM sqlite_schema", "docs");
}

static void full_text_index_over_text_keys(void **state)
{
    (void)state;
    plan.main = extras;
    plan.schema = &DOCS_BY_TITLE;
    plan.n = FTS;
    update(NULL);
    expect_sql("SELECT d.id FROM f JOIN docs d ON d.rowid = f.rowid WHERE f MATCH 'sour'", "3");
    plan.n = FTS | EDITED; /* another key: one row goes, one comes */
    update(NULL);
    expect_sql("SELECT d.id FROM f JOIN docs d ON d.rowid = f.rowid WHERE f MATCH 'cherry'", "1");
    sql("INSERT INTO f(f, rank) VALUES ('integrity-check', 1)");
}

static void sql_is_set_up_and_taken_down(void **state)
{
    (void)state;
    plan.main = extras;
    plan.n = SQL;
    update(NULL);
    expect_sql("SELECT x FROM v", "1");
    plan.n = OTHER_SQL;
    update(NULL);
    expect_sql("SELECT x FROM w", "2");
    expect_sql("SELECT name FROM sqlite_schema WHERE type = 'view'", "w");
    restart();
    drop_all(); /* the teardown stands in the file */
    expect_sql("SELECT count(*) FROM sqlite_schema", "0");
}

static void extras_follow_a_rebuilt_table(void **state)
{
    (void)state;
    plan.main = extras;
    plan.n = INDEX | FTS | SQL;
    update(NULL);
    plan.schema = &DOCS_BY_TITLE;
    update(NULL);
    expect_sql("SELECT name FROM sqlite_schema WHERE name IN ('i', 'f', 'v') ORDER BY name", "f", "i", "v");
    expect_sql("SELECT d.id FROM f JOIN docs d ON d.rowid = f.rowid WHERE f MATCH 'sour'", "3");
    expect_sql("SELECT pending, count(*) FROM coco_attachments GROUP BY 1", "0|3");
    update(NULL);
    expect_counts(0, 0, 0);
    drop_all();
    expect_sql("SELECT count(*) FROM sqlite_schema", "0");
}

static void lost_state_sets_extras_up_again(void **state)
{
    char path[120];

    (void)state;
    plan.main = extras;
    plan.n = INDEX | FTS | SQL;
    update(NULL);
    restart();
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_int_equal(remove(path), 0);
    update(NULL);
    expect_sql("SELECT rowid FROM f WHERE f MATCH 'sour'", "3");
    expect_sql("SELECT count(*) FROM coco_attachments", "3");
}

static void extras_that_cannot_be_are_errors(void **state)
{
    (void)state;
    plan.main = extras;
    plan.n = FTS;
    plan.opts.without_rowid = true;
    update_fails(COCO_EINVAL, NULL);
    plan.opts.without_rowid = false;
    sql("DROP TABLE docs; CREATE TABLE f (x)");
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.err.msg, "table \"f\" already exists"));
    expect_sql("SELECT count(*) FROM docs", "0");
}

/* ---- Vectors ----------------------------------------------------------------------------------------------------- */

struct vec {
    int64_t id;
    const char *lang, *note;
    coco_floats v;
};
static const coco_schema VECS = COCO_SCHEMA(struct vec,
    COCO_FIELD(struct vec, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct vec, lang, COCO_TEXT_T),
    COCO_FIELD(struct vec, note, COCO_TEXT_T),
    COCO_FIELD(struct vec, v, COCO_VECTOR_T, .dim = 2));

static coco_status vectors(coco_ctx *cx)
{
    static const float at[4][2] = { { 1, 0 }, { 0, 1 }, { 1, 1 }, { -1, 0 } };
    coco_table *docs;

    COCO_TRY(mount_docs(cx, &VECS, &docs));
    for (int i = 0; i < 4 - plan.n; i++)
        COCO_TRY(coco_declare_row(cx, docs, &(struct vec){ i, i % 2 ? "en" : "de", "n", { at[(i + plan.n) & 3], 2 } }));
    return COCO_OK;
}
static void nearest_vectors_are_found_without_an_extension(void **state)
{
    static const float query[2] = { 1.0f, 0.1f };
    coco_sqlite_nearest what = { .table = "docs", .column = "v", .query = query, .n = 2 };
    coco_sqlite_hit hits[3];
    size_t n = 3;
    coco_sqlite *db;

    (void)state;
    plan.main = vectors;
    update(NULL);
    assert_int_equal(coco_sqlite_open(db_path, NULL, &db, &w.err), COCO_OK);
    assert_int_equal(coco_sqlite_vector_search(db, &what, hits, &n, &w.err), COCO_OK);
    assert_int_equal(n, 3);
    assert_int_equal(hits[0].rowid, 0);
    assert_int_equal(hits[1].rowid, 2);
    assert_int_equal(hits[2].rowid, 1);
    what.metric = COCO_SQLITE_DOT;
    assert_int_equal(coco_sqlite_vector_search(db, &what, hits, &n, &w.err), COCO_OK);
    assert_int_equal(hits[0].rowid, 2); /* the longer one */
    what.table = "nowhere";
    assert_int_equal(coco_sqlite_vector_search(db, &what, hits, &n, &w.err), COCO_EFAIL);
    coco_sqlite_close(db);
}

/* sqlite-vec 0.1.9 leaves a little memory behind; it is told by the whole stack. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:vec0.so"; }
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "fast_unwind_on_malloc=0"; }

static coco_key DB = COCO_KEY("vecdb");
static const char *extension, *metric = "cosine";
static coco_status setup_vec(coco_ctx *cx, void *user)
{
    (void)user;
    return coco_sqlite_provide(cx, &DB, db_path, &(coco_sqlite_opts){ .extensions = extension });
}
static coco_status vec0_rows(coco_ctx *cx)
{
    static const float at[4][2] = { { 1, 0 }, { 0, 1 }, { 1, 1 }, { -1, 0 } };
    coco_sqlite_table_opts o = { .vec0 = true, .partition = "lang", .auxiliary = "note", .metric = metric };
    coco_table *vecs;

    COCO_TRY(coco_sqlite_mount_table(cx, coco_context_ref(&DB), "vecs", plan.schema ? plan.schema : &VECS, &o, &vecs));
    for (int i = 0; i < 4 - plan.n; i++)
        COCO_TRY(coco_declare_row(cx, vecs, &(struct vec){ i, i % 2 ? "en" : "de", "n", { at[(i + plan.n) & 3], 2 } }));
    return COCO_OK;
}
static void vec0_table_is_filled_and_searched(void **state)
{
    sqlite3_stmt *st;

    (void)state;
    if (!(extension = getenv("COCO_VEC0"))) {
        print_message("skipped: sqlite-vec not installed\n");
        skip();
    }
    assert_non_null(dlopen(extension, RTLD_NOW | RTLD_NODELETE)); /* stays mapped, so that its leaks can be told */
    w.env_config.setup = setup_vec;
    plan.main = vec0_rows;
    update(NULL);
    for (int round = 0; round < 2; round++) {
        sqlite3 *db = coco_sqlite_handle(coco_sqlite_of(coco_env_context(w.env, &DB)), &w.err);
        assert_non_null(db);
        int rc = sqlite3_prepare_v2(db, "SELECT group_concat(id || note) FROM (SELECT id, note FROM vecs WHERE v MATCH "
                                    "'[0.1,1]' AND lang = 'de' AND k = 2 ORDER BY distance)", -1, &st, NULL);
        assert_int_equal(rc, SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        assert_string_equal(sqlite3_column_text(st, 0), round ? "0n,2n" : "2n,0n");
        sqlite3_finalize(st);
        plan.n = 1; /* the vectors move on, one row goes */
        if (round == 0) update(NULL);
        if (round == 0) expect_counts(0, 3, 1);
    }
    update(NULL);
    expect_counts(0, 0, 0);
    drop_all();
    expect_sql("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'vecs%'", "0");
}
/* Looks after every event how many rows of vecs there are, without the extension. */
static int polls;
static void poll_vecs(void *user, const coco_event *e)
{
    on_event(user, e);
    if (plan.n == 0) return;
    expect_sql("SELECT count(*) FROM vecs_rowids", "4");
    polls++;
}

/* C0.9, also where the system can't rename. */
static void vec0_table_is_never_empty_while_it_is_rebuilt(void **state)
{
    (void)state;
    if (!(extension = getenv("COCO_VEC0"))) {
        print_message("skipped: sqlite-vec not installed\n");
        skip();
    }
    w.env_config.setup = setup_vec;
    w.env_config.on_event = poll_vecs;
    plan.main = vec0_rows;
    update(NULL);
    expect_sql("SELECT sql LIKE '%=cosine%' FROM sqlite_schema WHERE name = 'vecs'", "1");
    metric = "l2";
    plan.n = -1; /* five rows of it */
    polls = 0;
    restart();
    update(NULL);
    plan.n = 0;
    assert_true(polls > 3);
    expect_sql("SELECT sql LIKE '%=l2%' FROM sqlite_schema WHERE name = 'vecs'", "1");
    expect_sql("SELECT count(*) FROM vecs_rowids", "5");
    expect_sql("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'coco_shadow%'", "0");
    metric = "cosine";
}
static void missing_extension_is_told_clearly(void **state)
{
    (void)state;
    w.env_config.setup = setup_vec;
    plan.main = vec0_rows;
    extension = "/nowhere/vec0.so";
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.err.msg, "the extension /nowhere/vec0.so can't be loaded"));
    restart();
    extension = NULL;
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.err.msg, "no such module: vec0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DB_TEST(index_is_made_changed_and_dropped),
        DB_TEST(full_text_index_is_kept_in_sync),
        DB_TEST(full_text_index_over_text_keys),
        DB_TEST(sql_is_set_up_and_taken_down),
        DB_TEST(extras_follow_a_rebuilt_table),
        DB_TEST(lost_state_sets_extras_up_again),
        DB_TEST(extras_that_cannot_be_are_errors),
        DB_TEST(nearest_vectors_are_found_without_an_extension),
        DB_TEST(vec0_table_is_filled_and_searched),
        DB_TEST(vec0_table_is_never_empty_while_it_is_rebuilt),
        DB_TEST(missing_extension_is_told_clearly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
