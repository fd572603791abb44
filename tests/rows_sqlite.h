/* rows_sqlite.h - what the tests of the SQLite connector stand on, beside harness.h: a directory with a database for
 * each test, a program chosen by `plan`, and the content of the database as lines of text.
 *
 *     plan.main = two_rows;
 *     update(NULL);
 *     expect_sql("SELECT id, title FROM docs ORDER BY id", "1|one", "2|two");
 *
 * The tests look at the file through a connection of their own, opened for each question. */
#ifndef COCO_TEST_ROWS_SQLITE_H
#define COCO_TEST_ROWS_SQLITE_H

#include "harness.h"

#include "../connectors/sqlite.h"

#include <sqlite3.h>
#include <sys/stat.h>

/* What the program does in this test. */
static struct plan {
    coco_status (*main)(coco_ctx *cx);
    int n;                       /* free for the test */
    const coco_schema *schema;   /* of docs; NULL: the test's default */
    coco_sqlite_table_opts opts; /* of docs */
} plan;

static char db_dir[80], db_path[140];

COCO_FN(app_main, ()) { return plan.main(cx); }

/* ---- The database, from outside ---------------------------------------------------------------------------------- */

static inline sqlite3 *db_open(void)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    return db;
}

/* Runs statements as somebody else would. */
static inline void sql(const char *fmt, ...)
{
    sqlite3 *db = db_open();
    char *text, *words = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = sqlite3_vmprintf(fmt, ap);
    va_end(ap);
    if (sqlite3_exec(db, text, NULL, NULL, &words) != SQLITE_OK) fail_msg("%s: %s", text, words);
    sqlite3_free(text);
    sqlite3_close(db);
}

/* The rows of a query as lines: columns joined by |, null as NULL, blobs as x'hex', reals as %g. */
static inline void db_lines(sqlite3 *db, const char *query, lines *out)
{
    sqlite3_stmt *st;
    char line[4000];

    if (sqlite3_prepare_v2(db, query, -1, &st, NULL) != SQLITE_OK) fail_msg("%s: %s", query, sqlite3_errmsg(db));
    while (sqlite3_step(st) == SQLITE_ROW) {
        size_t n = 0;
        line[0] = '\0';
        for (int i = 0; i < sqlite3_column_count(st) && n < sizeof line - 1; i++) {
            if (i) line[n++] = '|';
            switch (sqlite3_column_type(st, i)) {
            case SQLITE_NULL: n += (size_t)snprintf(line + n, sizeof line - n, "NULL"); break;
            case SQLITE_FLOAT:
                n += (size_t)snprintf(line + n, sizeof line - n, "%gf", sqlite3_column_double(st, i));
                break;
            case SQLITE_BLOB:
                n += (size_t)snprintf(line + n, sizeof line - n, "x'");
                for (int b = 0; b < sqlite3_column_bytes(st, i) && n + 3 < sizeof line; b++)
                    n += (size_t)snprintf(line + n, sizeof line - n, "%02x",
                                          ((const unsigned char *)sqlite3_column_blob(st, i))[b]);
                n += (size_t)snprintf(line + n, sizeof line - n, "'");
                break;
            default: n += (size_t)snprintf(line + n, sizeof line - n, "%s", sqlite3_column_text(st, i));
            }
        }
        lines_add(out, "%s", line);
    }
    sqlite3_finalize(st);
}

static inline void sql_expect(const char *query, const char *const *want, const char *file, int line)
{
    static lines is;
    sqlite3 *db = db_open();

    lines_clear(&is);
    db_lines(db, query, &is);
    sqlite3_close(db);
    lines_expect(&is, want, file, line);
    lines_clear(&is);
}
#define expect_sql(query, ...) sql_expect(query, (const char *const[]){ __VA_ARGS__, NULL }, __FILE__, __LINE__)

/* What the last update applied. */
#define expect_counts(i, u, d) \
    do { \
        if (w.result.inserts != (i) || w.result.updates != (u) || w.result.deletes != (d)) \
            fail_msg("%d inserts, %d updates, %d deletes", (int)w.result.inserts, (int)w.result.updates, \
                     (int)w.result.deletes); \
    } while (0)

/* ---- Declaring --------------------------------------------------------------------------------------------------- */

static inline coco_value db_value(void) { return coco_text(db_path); }

static inline coco_status mount_docs(coco_ctx *cx, const coco_schema *fallback, coco_table **table)
{
    return coco_sqlite_mount_table(cx, db_value(), "docs", plan.schema ? plan.schema : fallback, &plan.opts, table);
}

#define PAIR(k, v) { COCO_STR(k), v }
#define MAP(...) \
    coco_map_value((const coco_pair[]){ __VA_ARGS__ }, sizeof((const coco_pair[]){ __VA_ARGS__ }) / sizeof(coco_pair))

static inline coco_status mount_row(coco_ctx *cx, const coco_fn *fn, int id, coco_table *docs)
{
    return coco_mount(cx, COCO_PATH(coco_int(id)), fn, COCO_ARGS(coco_int(id), coco_table_value(docs)), NULL);
}

/* A schema by hand: COLUMNS({ .name = "id", .type = COCO_INT_T, .key = true }, …). */
#define COLUMNS(...) \
    (&(const coco_schema){ .columns = (const coco_column[]){ __VA_ARGS__ }, \
                           .n = sizeof((const coco_column[]){ __VA_ARGS__ }) / sizeof(coco_column) })

/* ---- A test's begin and end -------------------------------------------------------------------------------------- */

static inline int db_begin(void **state)
{
    memset(&plan, 0, sizeof plan);
    if (world_begin(state) != 0) return 1;
    snprintf(db_dir, sizeof db_dir, "%s.db", w.dir);
    assert_int_equal(mkdir(db_dir, 0700), 0);
    snprintf(db_path, sizeof db_path, "%s/docs.sqlite", db_dir);
    program(&app_main);
    return 0;
}

static inline void db_delete(void)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
    char path[160];

    for (size_t i = 0; i < 4; i++) snprintf(path, sizeof path, "%s%s", db_path, ends[i]), remove(path);
}

static inline int db_end(void **state)
{
    int rc = world_end(state);

    db_delete();
    rmdir(db_dir);
    return rc;
}
#define DB_TEST(name) cmocka_unit_test_setup_teardown(name, db_begin, db_end)

#endif /* COCO_TEST_ROWS_SQLITE_H */
