/* rows_sqlite - a SQLite table filled by the library and by hand.
 *
 *     rows_sqlite update --rows N --file FILE [--changed I] [--run R] --db DIR
 *     rows_sqlite hand FILE N   the same rows by the same statement, in one transaction, as one component's are */
#define _XOPEN_SOURCE 700
#include "../connectors/sqlite.h"
#include "rows.h"

#include <sqlite3.h>

COCO_FN(app_main, ())
{
    coco_table *table;

    COCO_TRY(coco_sqlite_mount_table(cx, coco_param(cx, "file"), "items", &ROWS, NULL, &table));
    return rows_mount(cx, table);
}

/* ---- By hand ----------------------------------------------------------------------------------------------------- */

static sqlite3 *db;

static void check(bool bad, const char *what)
{
    if (!bad) return;
    fprintf(stderr, "rows_sqlite: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static void bind_text(sqlite3_stmt *st, int i, coco_str s) { sqlite3_bind_text(st, i, s.p, (int)s.n, SQLITE_STATIC); }

static void insert(sqlite3_stmt *st, const struct row *r)
{
    sqlite3_bind_int64(st, 1, r->id);
    bind_text(st, 2, r->body);
    sqlite3_bind_int64(st, 3, r->a);
    sqlite3_bind_int64(st, 4, r->b);
    sqlite3_bind_double(st, 5, r->c);
    sqlite3_bind_int64(st, 6, r->d);
    bind_text(st, 7, r->e);
    bind_text(st, 8, r->f);
    check(sqlite3_step(st) != SQLITE_DONE, "insert");
    sqlite3_reset(st);
}

static int by_hand(const char *file, int64_t n)
{
    static const char *const begin =
        "PRAGMA journal_mode=wal; PRAGMA synchronous=normal; CREATE TABLE t(id INTEGER NOT NULL, body TEXT NOT NULL, "
        "a INTEGER NOT NULL, b INTEGER NOT NULL, c REAL NOT NULL, d INTEGER NOT NULL, e TEXT NOT NULL, "
        "f TEXT NOT NULL, PRIMARY KEY(id)); BEGIN IMMEDIATE";
    static const char *const put =
        "INSERT INTO t VALUES(?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT(id) DO UPDATE SET body=excluded.body,a=excluded.a,"
        "b=excluded.b,c=excluded.c,d=excluded.d,e=excluded.e,f=excluded.f";
    struct texts t;
    sqlite3_stmt *st;

    check(sqlite3_open(file, &db), "open");
    check(sqlite3_exec(db, begin, 0, 0, 0), "create");
    check(sqlite3_prepare_v2(db, put, -1, &st, NULL), "prepare");
    for (int64_t i = 0; i < n; i++) {
        struct row r = row_make(i, -1, &t);
        insert(st, &r);
    }
    sqlite3_finalize(st);
    check(sqlite3_exec(db, "COMMIT", 0, 0, 0), "commit");
    return sqlite3_close(db);
}

int main(int argc, char **argv)
{
    coco_app_config app = {
        .name = "rows", .main = &app_main,
        .params = (coco_param_def[]){ { "file", "rows.sqlite", "the database" }, ROWS_PARAMS },
    };

    if (argc == 4 && strcmp(argv[1], "hand") == 0) return by_hand(argv[2], bench_word(argc, argv, 3, 0));
    return coco_main(argc, argv, &app, 1);
}
