/* pg_world.h - what tests of the PostgreSQL connector stand on: harness.h, a server for the test program (pg_server.h),
 * and for each test a database of its own, which the context key DB names.
 *
 *     static coco_status one_row(coco_ctx *cx) { … coco_postgres_mount_table(cx, DB_REF, …) … }
 *     …
 *     pg_update(one_row);
 *     expect_sql("SELECT id, note FROM docs ORDER BY id", "1|first", "2|second");
 *
 * The registered main calls what the test chose. */
#ifndef COCO_TEST_PG_WORLD_H
#define COCO_TEST_PG_WORLD_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* nftw */
#endif
#include "../connectors/postgres.h"
#include "harness.h"
#include "pg_server.h"

static pg_server pg;
static coco_key DB = COCO_KEY("db", .detect_change = false);
#define DB_REF coco_context_ref(&DB)

/* What this test runs with. */
static struct pg_plan {
    coco_status (*main)(coco_ctx *cx);
    coco_postgres_opts opts;
    const char *rows;      /* items, as in harness.h: "1=10 2=20" */
    const coco_postgres_table_opts *table;
    char db[40];           /* the database */
    char conninfo[300];
    PGconn *conn;          /* the test's own */
    unsigned long serial;  /* of databases */
    _Atomic int calls;     /* of what a test counts */
} plan;

COCO_FN(pg_main, ())
{
    return plan.main(cx);
}

static inline coco_status pg_setup(coco_ctx *cx, void *user)
{
    (void)user;
    return coco_postgres_provide(cx, &DB, plan.conninfo, &plan.opts);
}

/* ---- SQL --------------------------------------------------------------------------------------------------------- */

/* The rows of a query as lines, columns with a bar between them, null as ~; or the error. */
static inline void sql_lines_on(PGconn *conn, const char *sql, lines *out)
{
    PGresult *r = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(r);
    char line[4000];

    lines_clear(out);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) lines_add(out, "error %s", PQresultErrorMessage(r));
    for (int i = 0; status == PGRES_TUPLES_OK && i < PQntuples(r); i++) {
        size_t n = 0;
        line[0] = '\0';
        for (int j = 0; j < PQnfields(r) && n < sizeof line; j++)
            n += (size_t)snprintf(line + n, sizeof line - n, "%s%s", j ? "|" : "",
                                  PQgetisnull(r, i, j) ? "~" : PQgetvalue(r, i, j));
        lines_add(out, "%s", line);
    }
    PQclear(r);
}

static inline void sql_expect(const char *sql, const char *const *want, const char *file, int line)
{
    static lines is;

    sql_lines_on(plan.conn, sql, &is);
    lines_expect(&is, want, file, line);
    lines_clear(&is);
}
#define expect_sql(query, ...) \
    sql_expect(query, &(const char *const[]){ "", __VA_ARGS__, NULL }[1], __FILE__, __LINE__)
#define expect_no_rows(query) sql_expect(query, (const char *const[]){ NULL }, __FILE__, __LINE__)
/* runs SQL; a failure fails the test */
#define sql(text) sql_expect(text, (const char *const[]){ NULL }, __FILE__, __LINE__)

/* ---- Updates ----------------------------------------------------------------------------------------------------- */

static inline void pg_choose(coco_status (*fn)(coco_ctx *cx))
{
    plan.main = fn;
    program(&pg_main);
}

static inline void pg_update_ok(coco_status (*fn)(coco_ctx *cx), const char *file, int line)
{
    pg_choose(fn);
    try_update(NULL);
    expect_rc(COCO_OK, file, line);
}
#define pg_update(fn) pg_update_ok(fn, __FILE__, __LINE__)

/* Does any message of the last update hold the text? */
static inline bool said(const char *text)
{
    bool found = strstr(w.err.msg, text) != NULL;

    for (size_t i = 0; i < w.failures.n; i++) found |= strstr(w.failures.v[i], text) != NULL;
    if (!found) print_error("not said: %s; but: %s\n%s", text, w.err.msg, w.failures.n ? w.failures.v[0] : "");
    return found;
}

static inline void pg_drop_ok(const char *file, int line)
{
    try_drop();
    expect_rc(COCO_OK, file, line);
}
#define pg_drop() pg_drop_ok(__FILE__, __LINE__)

static inline int64_t sql_int(const char *query)
{
    PGresult *r = PQexec(plan.conn, query);
    int64_t v = PQntuples(r) == 1 ? strtoll(PQgetvalue(r, 0, 0), NULL, 10) : -1;

    PQclear(r);
    return v;
}

/* ---- A test's begin and end -------------------------------------------------------------------------------------- */

static inline void pg_no_notice(void *user, const PGresult *r)
{
    (void)user, (void)r;
}

static inline int pg_world_begin(void **state)
{
    PGconn *admin;
    char text[300];

    world_begin(state);
    plan = (struct pg_plan){ .serial = plan.serial + 1, .rows = "" };
    snprintf(plan.db, sizeof plan.db, "test%lu", plan.serial);
    admin = PQconnectdb(pg_conninfo(&pg, "postgres", text, sizeof text));
    snprintf(text, sizeof text, "CREATE DATABASE %s STRATEGY file_copy", plan.db);
    PGresult *r = PQexec(admin, text);
    if (PQresultStatus(r) != PGRES_COMMAND_OK) print_error("%s", PQerrorMessage(admin));
    PQclear(r);
    PQfinish(admin);
    pg_conninfo(&pg, plan.db, plan.conninfo, sizeof plan.conninfo);
    plan.conn = PQconnectdb(plan.conninfo);
    assert_int_equal(PQstatus(plan.conn), CONNECTION_OK);
    PQsetNoticeReceiver(plan.conn, pg_no_notice, NULL);
    w.env_config.setup = pg_setup;
    return 0;
}

static inline int pg_world_end(void **state)
{
    PQfinish(plan.conn);
    plan.conn = NULL;
    return world_end(state);
}
#define PG_TEST(name) cmocka_unit_test_setup_teardown(name, pg_world_begin, pg_world_end)

/* Runs the tests with a server; says so where there is none. */
static inline int pg_run(const char *group, const struct CMUnitTest *tests, size_t n, bool vector)
{
    int failed;

    if (!pg_start(&pg, vector)) {
        printf("skipped: %s not installed\n", vector ? "pgvector" : "PostgreSQL");
        return 0;
    }
    if (getenv("ONLY")) cmocka_set_test_filter(getenv("ONLY"));
    failed = _cmocka_run_group_tests(group, tests, n, NULL, NULL);
    pg_stop(&pg);
    return failed;
}
#define PG_RUN(tests, vector) pg_run(#tests, tests, sizeof tests / sizeof tests[0], vector)

#endif /* COCO_TEST_PG_WORLD_H */
