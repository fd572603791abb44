/* rows_pg - N rows of (int64 key, 200 bytes of text, 8 columns in all) into PostgreSQL, beside a program written by
 * hand that sends the same rows in the same batches: one transaction, statements of 1,000 rows as arrays.
 *
 * build/bench/rows_pg N DIR: by hand; cold; unchanged (the component is a hit); rerun with the same rows; one row
 * changed; a line each. It starts a server of its own (tests/pg_server.h), without durability on both sides. */
#define _XOPEN_SOURCE 700
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#include "../connectors/postgres.h"
#include "../tests/pg_server.h"

static coco_key DB = COCO_KEY("db", .detect_change = false);
static pg_server pg;
static int64_t count, generation, changed = -1;

struct row {
    int64_t id;
    coco_str body;
    int64_t a, b;
    double c;
    bool d;
    coco_str e, f;
};
static const coco_schema ROWS = COCO_SCHEMA(struct row,
    COCO_FIELD(struct row, id, COCO_INT_T, .key = true), COCO_FIELD(struct row, body, COCO_TEXT_T),
    COCO_FIELD(struct row, a, COCO_INT_T), COCO_FIELD(struct row, b, COCO_INT_T),
    COCO_FIELD(struct row, c, COCO_DOUBLE_T), COCO_FIELD(struct row, d, COCO_BOOL_T),
    COCO_FIELD(struct row, e, COCO_TEXT_T), COCO_FIELD(struct row, f, COCO_TEXT_T));

/* One row's texts. */
struct texts {
    char body[208], e[32], f[32];
};

/* Writes word and number; making rows should not be what is measured. */
static coco_str numbered(char *out, const char *word, int64_t i)
{
    size_t n = strlen(word), digits = 1;

    for (int64_t rest = i; rest >= 10; rest /= 10) digits++;
    memcpy(out, word, n);
    for (size_t d = digits; d-- > 0; i /= 10) out[n + d] = (char)('0' + i % 10);
    return (coco_str){ out, n + digits };
}

static void make_row(int64_t i, struct texts *t, struct row *r)
{
    memset(t->body, 'a' + (int)(i % 26), 200);
    numbered(t->body, "row ", i);
    if (i == changed) t->body[150] = '!';
    *r = (struct row){ i, { t->body, 200 }, i * 3, i * 7, (double)i / 3, i & 1, numbered(t->e, "e ", i),
                       numbered(t->f, "some f ", i) };
}

/* Time that passed, and this program's share of the processors in it. */
struct spent {
    double wall, cpu;
};

static double clock_of(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct spent since(struct spent begun)
{
    return (struct spent){ clock_of(CLOCK_MONOTONIC) - begun.wall, clock_of(CLOCK_PROCESS_CPUTIME_ID) - begun.cpu };
}
#define NOW since((struct spent){ 0 })

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
    struct row r;
    uint64_t bits;

    for (int c = 0; c < COLUMNS; c++)
        at[c] = put32(put32(put32(put32(put32(arrays[c], 1), 0), types[c]), (uint32_t)n), 1);
    for (int64_t i = from; i < from + n; i++) {
        make_row(i, &t, &r);
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

static void sql(PGconn *conn, const char *text)
{
    PGresult *r = PQexec(conn, text);

    if (PQresultStatus(r) != PGRES_COMMAND_OK) fprintf(stderr, "%s", PQerrorMessage(conn)), exit(1);
    PQclear(r);
}

static struct spent by_hand(PGconn *conn)
{
    static const int formats[COLUMNS] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    const char *values[COLUMNS];
    struct spent begun = NOW;

    sql(conn, "CREATE TABLE hand (id bigint PRIMARY KEY, body text NOT NULL, a bigint NOT NULL, b bigint NOT NULL, "
              "c float8 NOT NULL, d bool NOT NULL, e text NOT NULL, f text NOT NULL)");
    sql(conn, "BEGIN");
    PQclear(PQprepare(conn, "put", "INSERT INTO hand SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], "
                      "$4::bigint[], $5::float8[], $6::bool[], $7::text[], $8::text[]) ON CONFLICT (id) DO UPDATE SET "
                      "body = EXCLUDED.body, a = EXCLUDED.a, b = EXCLUDED.b, c = EXCLUDED.c, d = EXCLUDED.d, "
                      "e = EXCLUDED.e, f = EXCLUDED.f", 0, NULL));
    for (int64_t i = 0; i < count; i += CHUNK) {
        encode(i, count - i < CHUNK ? count - i : CHUNK);
        for (int c = 0; c < COLUMNS; c++) values[c] = arrays[c];
        PGresult *r = PQexecPrepared(conn, "put", COLUMNS, values, lengths, formats, 1);
        if (PQresultStatus(r) != PGRES_COMMAND_OK) fprintf(stderr, "%s", PQerrorMessage(conn)), exit(1);
        PQclear(r);
    }
    sql(conn, "COMMIT");
    return since(begun);
}

/* ---- By the connector -------------------------------------------------------------------------------------------- */

COCO_FN(fill, (int64_t, n, int64_t, run, coco_table *, table), .memo = true)
{
    struct texts t;
    struct row r;

    (void)run;
    for (int64_t i = 0; i < n; i++) {
        make_row(i, &t, &r);
        COCO_TRY(coco_declare_row(cx, table, &r));
    }
    return COCO_OK;
}

COCO_FN(app_main, ())
{
    coco_table *table;

    COCO_TRY(coco_postgres_mount_table(cx, coco_context_ref(&DB), "engine", &ROWS, NULL, &table));
    return coco_mount(cx, COCO_AUTO, &fill,
                      COCO_ARGS(coco_int(count), coco_int(generation), coco_table_value(table)), NULL);
}

static coco_status setup(coco_ctx *cx, void *user)
{
    return coco_postgres_provide(cx, &DB, user, NULL);
}

static struct spent update(const char *dir, char *conninfo)
{
    coco_env_config config = { .db = dir, .setup = setup, .user = conninfo };
    coco_env *env;
    coco_app *app;
    coco_err err = { 0 };
    struct spent begun;

    if (coco_env_open(&config, &env, &err) != COCO_OK ||
        coco_app_open(env, &(coco_app_config){ .name = "rows", .main = &app_main }, &app, &err) != COCO_OK)
        fprintf(stderr, "%s\n", err.msg), exit(1);
    begun = NOW;
    if (coco_update(app, NULL, NULL, &err) != COCO_OK) fprintf(stderr, "%s\n", err.msg), exit(1);
    begun = since(begun);
    coco_app_close(app);
    coco_env_close(env);
    return begun;
}

static void line(const char *what, struct spent s)
{
    printf("%-28s %8.3f s  %6.2f us a row, of which %.2f in this program\n", what, s.wall, s.wall / (double)count * 1e6,
           s.cpu / (double)count * 1e6);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char conninfo[200];
    struct spent hand, cold;
    PGconn *conn;

    if (argc != 3) return fprintf(stderr, "usage: rows_pg N DIR\n"), 2;
    count = strtoll(argv[1], NULL, 10);
    if (!pg_start(&pg, false)) return printf("skipped: PostgreSQL not installed\n"), 0;
    conn = PQconnectdb(pg_conninfo(&pg, "postgres", conninfo, sizeof conninfo));
    line("by hand", hand = by_hand(conn));
    sql(conn, "CHECKPOINT");
    line("cold", cold = update(argv[2], conninfo));
    printf("%-28s %8.2f times, at most 1.3\n", "cold beside by hand", cold.wall / hand.wall);
    sql(conn, "CHECKPOINT");
    line("unchanged", update(argv[2], conninfo));
    generation++;
    line("rerun, the same rows", update(argv[2], conninfo));
    generation++;
    changed = count / 2;
    line("rerun, one row changed", update(argv[2], conninfo));
    PQfinish(conn);
    pg_stop(&pg);
    return 0;
}
