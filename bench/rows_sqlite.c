/* rows_sqlite.c - rows of 8 columns and 200 bytes of text: a SQLite table filled by hand and by the library, then
 * updates in which nothing changed, everything is declared again, and one row is another. CPU time of the process, so
 * that a shared machine counts less.
 *
 *     rows_sqlite [ROWS] [DIRECTORY] */
#define _XOPEN_SOURCE 700
#include "cocoindex.h"
#include "connectors/sqlite.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct item {
    int64_t id;
    coco_str text;
    int64_t a, b;
    double c;
    coco_str d;
    bool e;
    int64_t f;
};
static const coco_schema ITEMS = COCO_SCHEMA(struct item,
    COCO_FIELD(struct item, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct item, text, COCO_TEXT_T),
    COCO_FIELD(struct item, a, COCO_INT_T),
    COCO_FIELD(struct item, b, COCO_INT_T),
    COCO_FIELD(struct item, c, COCO_DOUBLE_T),
    COCO_FIELD(struct item, d, COCO_TEXT_T),
    COCO_FIELD(struct item, e, COCO_BOOL_T),
    COCO_FIELD(struct item, f, COCO_INT_T));

static int n = 1000000, changed; /* rows; the one that is another (0: none) */
static bool memoized;
static char dir[300], text[200];

static struct item item_of(int i)
{
    for (int k = 0; k < 8; k++) text[k] = (char)('a' + (i >> (4 * k)) % 16);
    return (struct item){ i, { text, sizeof text }, i * 2, i % 7, i * 0.5, COCO_STR("constant"), i & 1,
                          -i + (i == changed) };
}

static coco_status declare_all(coco_ctx *cx, coco_table *table)
{
    for (int i = 1; i <= n; i++) {
        struct item item = item_of(i);
        COCO_TRY(coco_declare_row(cx, table, &item));
    }
    return COCO_OK;
}
COCO_FN(rows, (coco_table *, table)) { return declare_all(cx, table); }
COCO_FN(memo_rows, (coco_table *, table), .memo = true) { return declare_all(cx, table); }

COCO_FN(app_main, ())
{
    coco_table *table;
    coco_str path = coco_format(cx, "%s/coco.sqlite", dir);

    COCO_TRY(coco_sqlite_mount_table(cx, coco_text_n(path), "items", &ITEMS, NULL, &table));
    return coco_use_mount(cx, COCO_PATH(coco_text("rows")), memoized ? &memo_rows : &rows,
                          COCO_ARGS(coco_table_value(table)), NULL);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(int bad, const char *what)
{
    if (!bad) return;
    fprintf(stderr, "rows_sqlite: %s\n", what);
    exit(1);
}

static double report(const char *what, double seconds)
{
    printf("%-26s %8.3f s %8.3f us a row\n", what, seconds, seconds * 1e6 / n);
    return seconds;
}

static void bind(sqlite3_stmt *st, const struct item *r)
{
    sqlite3_bind_int64(st, 1, r->id);
    sqlite3_bind_text(st, 2, r->text.p, (int)r->text.n, SQLITE_STATIC);
    sqlite3_bind_int64(st, 3, r->a);
    sqlite3_bind_int64(st, 4, r->b);
    sqlite3_bind_double(st, 5, r->c);
    sqlite3_bind_text(st, 6, r->d.p, (int)r->d.n, SQLITE_STATIC);
    sqlite3_bind_int64(st, 7, r->e);
    sqlite3_bind_int64(st, 8, r->f);
}

/* The same statement, in one transaction, as one component's rows are. */
static double by_hand(void)
{
    static const char *const sql =
        "INSERT INTO t VALUES(?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT(id) DO UPDATE SET text=excluded.text,a=excluded.a,"
        "b=excluded.b,c=excluded.c,d=excluded.d,e=excluded.e,f=excluded.f";
    char path[400];
    sqlite3 *db;
    sqlite3_stmt *st;
    double begun = now();

    snprintf(path, sizeof path, "%s/hand.sqlite", dir);
    check(sqlite3_open(path, &db), "open");
    check(sqlite3_exec(db, "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;"
                           " CREATE TABLE t(id INTEGER NOT NULL, text TEXT NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL,"
                           " c REAL NOT NULL, d TEXT NOT NULL, e INTEGER NOT NULL, f INTEGER NOT NULL, PRIMARY KEY(id));"
                           " BEGIN IMMEDIATE", 0, 0, 0), "create");
    check(sqlite3_prepare_v2(db, sql, -1, &st, NULL), "prepare");
    for (int i = 1; i <= n; i++) {
        struct item item = item_of(i);
        bind(st, &item);
        check(sqlite3_step(st) != SQLITE_DONE, "insert");
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    check(sqlite3_exec(db, "COMMIT", 0, 0, 0), "commit");
    sqlite3_close(db);
    return report("by hand", now() - begun);
}

static double update(const char *what)
{
    coco_env *env;
    coco_app *app;
    coco_err err;
    char db[400];
    double begun;

    snprintf(db, sizeof db, "%s/state", dir);
    check(coco_env_open(&(coco_env_config){ .db = db }, &env, &err), err.msg);
    check(coco_app_open(env, &(coco_app_config){ .name = "rows", .main = &app_main }, &app, &err), err.msg);
    begun = now();
    check(coco_update(app, NULL, NULL, &err), err.msg);
    begun = now() - begun;
    coco_app_close(app);
    coco_env_close(env);
    return report(what, begun);
}

int main(int argc, char **argv)
{
    double hand;
    char line[400];

    memset(text, 'x', sizeof text);
    if (argc > 1) n = atoi(argv[1]);
    snprintf(dir, sizeof dir, "%s/coco-rows-XXXXXX", argc > 2 ? argv[2] : "/tmp");
    check(!mkdtemp(dir), "mkdtemp");
    hand = by_hand();
    printf("%-26s %8.2f (budget 1.3)\n", "cold / by hand", update("cold") / hand);
    update("the same rows again");
    changed = n / 2;
    update("one of them another");
    memoized = true;
    update("memoized, first");
    update("memoized, unchanged");
    snprintf(line, sizeof line, "rm -r %s", dir);
    return system(line);
}
