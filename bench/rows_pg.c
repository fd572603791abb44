/* rows_pg - a PostgreSQL table filled by the library and by hand, in the database that COCO_POSTGRES names.
 *
 *     scripts/with-postgres rows_pg update --rows N --table NAME [--changed I] [--run R] --db DIR
 *     scripts/with-postgres rows_pg hand NAME N   the same rows in the same batches: one transaction, statements of
 *                                                 1,000 rows as arrays */
#define _XOPEN_SOURCE 700
#include "../connectors/postgres.h"
#include "rows.h"

#include <libpq-fe.h>

static coco_key DB = COCO_KEY("db", .detect_change = false);

COCO_FN(app_main, ())
{
    coco_table *table;
    coco_str name = coco_text_of(coco_param(cx, "table"));

    COCO_TRY(coco_postgres_mount_table(cx, coco_context_ref(&DB), name.p, &ROWS, NULL, &table));
    return rows_mount(cx, table);
}

static coco_status setup(coco_ctx *cx, void *user)
{
    return coco_postgres_provide(cx, &DB, user, NULL);
}

/* ---- By hand ----------------------------------------------------------------------------------------------------- */

#define CHUNK 1000
#define COLUMNS 8
static const Oid types[COLUMNS] = { 20, 25, 20, 20, 701, 16, 25, 25 };
static char arrays[COLUMNS][CHUNK * 220 + 20];
static int lengths[COLUMNS];

static char *put32(char *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--) *p++ = (char)(v >> 8 * i);
    return p;
}

static char *put64(char *p, uint64_t v)
{
    return put32(put32(put32(p, 8), (uint32_t)(v >> 32)), (uint32_t)v);
}

static char *put_text(char *p, coco_str s)
{
    p = put32(p, (uint32_t)s.n);
    memcpy(p, s.p, s.n);
    return p + s.n;
}

static void encode(int64_t from, int64_t n)
{
    char *at[COLUMNS];
    struct texts t;
    uint64_t bits;

    for (int c = 0; c < COLUMNS; c++)
        at[c] = put32(put32(put32(put32(put32(arrays[c], 1), 0), types[c]), (uint32_t)n), 1);
    for (int64_t i = from; i < from + n; i++) {
        struct row r = row_make(i, -1, &t);
        memcpy(&bits, &r.c, 8);
        at[0] = put64(at[0], (uint64_t)r.id);
        at[1] = put_text(at[1], r.body);
        at[2] = put64(at[2], (uint64_t)r.a);
        at[3] = put64(at[3], (uint64_t)r.b);
        at[4] = put64(at[4], bits);
        at[5] = put32(at[5], 1);
        *at[5]++ = r.d;
        at[6] = put_text(at[6], r.e);
        at[7] = put_text(at[7], r.f);
    }
    for (int c = 0; c < COLUMNS; c++) lengths[c] = (int)(at[c] - arrays[c]);
}

static void done(PGconn *conn, PGresult *r)
{
    if (PQresultStatus(r) != PGRES_COMMAND_OK) fprintf(stderr, "rows_pg: %s", PQerrorMessage(conn)), exit(1);
    PQclear(r);
}

static void sql(PGconn *conn, const char *format, const char *table)
{
    char text[1000];

    snprintf(text, sizeof text, format, table);
    done(conn, PQexec(conn, text));
}

static int by_hand(const char *conninfo, const char *table, int64_t n)
{
    static const int formats[COLUMNS] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    const char *values[COLUMNS];
    PGconn *conn = PQconnectdb(conninfo);

    sql(conn, "CREATE TABLE \"%s\" (id bigint PRIMARY KEY, body text NOT NULL, a bigint NOT NULL, b bigint NOT NULL, "
              "c float8 NOT NULL, d bool NOT NULL, e text NOT NULL, f text NOT NULL)", table);
    sql(conn, "BEGIN", "");
    sql(conn, "PREPARE put AS INSERT INTO \"%s\" SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], "
              "$4::bigint[], $5::float8[], $6::bool[], $7::text[], $8::text[]) ON CONFLICT (id) DO UPDATE SET "
              "body = EXCLUDED.body, a = EXCLUDED.a, b = EXCLUDED.b, c = EXCLUDED.c, d = EXCLUDED.d, "
              "e = EXCLUDED.e, f = EXCLUDED.f", table);
    for (int c = 0; c < COLUMNS; c++) values[c] = arrays[c];
    for (int64_t i = 0; i < n; i += CHUNK) {
        encode(i, n - i < CHUNK ? n - i : CHUNK);
        done(conn, PQexecPrepared(conn, "put", COLUMNS, values, lengths, formats, 1));
    }
    sql(conn, "COMMIT", "");
    PQfinish(conn);
    return 0;
}

int main(int argc, char **argv)
{
    char *conninfo = getenv("COCO_POSTGRES");
    coco_app_config app = {
        .name = "rows", .main = &app_main, .setup = setup, .user = conninfo,
        .params = (coco_param_def[]){ { "table", "rows", "the table" }, ROWS_PARAMS },
    };

    if (!conninfo) return fprintf(stderr, "rows_pg: COCO_POSTGRES isn't set\n"), 2;
    if (argc == 4 && strcmp(argv[1], "hand") == 0) return by_hand(conninfo, argv[2], bench_word(argc, argv, 3, 0));
    return coco_main(argc, argv, &app, 1);
}
