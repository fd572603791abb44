/* rows.c - part of postgres.c: rows are written and deleted.
 *
 * Two ways. In general an upsert from arrays, in statements of up to 1,000 rows or 4 MiB that go down the connection
 * without waiting for the one before (libpq's pipeline mode), so that rows are encoded while the server works. The
 * first fill of a table goes by COPY: into a table that was empty when this update first wrote to it, rows that by
 * their records were never written. Should one be there all the same, the COPY is undone and the arrays take its place.
 *
 * Measured on 100,000 rows of 8 columns and 200 bytes of text, µs a row: arrays one by one 5.8 to 7.5, arrays in a
 * pipeline 5.3 to 5.4; COPY into a temporary table and from there 5.0 to 7.7 in chunks of 1,000 to 5,000, 4.5 to 4.9 in
 * chunks of 100,000; COPY into the table itself 2.8 to 3.6. A single row costs 0.2 ms as an array, 1.0 ms by a
 * temporary table. So arrays win where batches are small and lose little where they are large, and COPY wins a first
 * fill. */

#define COCO__PG_WINDOW 3 /* statements on their way */

/* The place of a table's rows; self of their handler. */
typedef struct coco__pg_place {
    coco_rows rows;        /* the head that rows.h asks for */
    coco__pg_run *run;
    coco__pg_table *table;
} coco__pg_place;

/* A pipeline of statements on a connection. */
typedef struct coco__pg_pipe {
    PGconn *conn;
    size_t waiting;  /* statements whose answer is due */
    coco_status rc;  /* of the first that failed … */
    coco_err *err;   /* … and why */
} coco__pg_pipe;

/* Takes the answer to one statement: its result and the NULL behind it. */
static void coco__pg_pipe_take(coco__pg_pipe *p)
{
    PGresult *r = PQgetResult(p->conn);
    ExecStatusType status = PQresultStatus(r);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;

    p->waiting--;
    /* behind one that failed the rest is aborted, which tells nothing */
    if (!ok && p->rc == COCO_OK) p->rc = coco__pg_failed(p->conn, r, "", p->err);
    PQclear(r);
    while (PQstatus(p->conn) == CONNECTION_OK && (r = PQgetResult(p->conn)) != NULL) PQclear(r);
}

static void coco__pg_pipe_send(coco__pg_pipe *p, const char *sql, const coco__pg_chunk *k)
{
    const char *values[COCO_COLUMNS_MAX];
    int lengths[COCO_COLUMNS_MAX], formats[COCO_COLUMNS_MAX];

    for (size_t i = 0; i < k->narrays; i++) {
        values[i] = (const char *)k->arrays[i].begin;
        lengths[i] = (int)k->arrays[i].size;
        formats[i] = 1;
    }
    if (!PQsendQueryParams(p->conn, sql, (int)k->narrays, NULL, values, lengths, formats, 0) ||
        !PQsendFlushRequest(p->conn) || PQflush(p->conn) < 0) {
        p->rc = coco__pg_failed(p->conn, NULL, "", p->err);
        return;
    }
    p->waiting++;
    while (p->waiting >= COCO__PG_WINDOW && p->rc == COCO_OK) coco__pg_pipe_take(p);
}

/* Takes what is due and leaves the pipeline mode. */
static coco_status coco__pg_pipe_end(coco__pg_pipe *p)
{
    PGresult *r;
    bool synced = PQpipelineSync(p->conn) == 1;

    while (p->waiting && PQstatus(p->conn) == CONNECTION_OK) coco__pg_pipe_take(p);
    while (synced && PQstatus(p->conn) == CONNECTION_OK) {
        r = PQgetResult(p->conn);
        synced = PQresultStatus(r) != PGRES_PIPELINE_SYNC;
        PQclear(r);
    }
    if (PQstatus(p->conn) != CONNECTION_OK && p->rc == COCO_OK) p->rc = coco__pg_failed(p->conn, NULL, "", p->err);
    PQexitPipelineMode(p->conn);
    return p->rc;
}

/* ---- Statements ------------------------------------------------------------------------------------------------ */

/* unnest($1::bigint[], $2::text[]) AS u(c1, c2) */
static void coco__pg_put_unnest(coco__pg_text *t, const coco__pg_chunk *k)
{
    for (size_t i = 0; i < k->narrays; i++)
        coco__pg_putf(t, "%s$%d::%s[]", i ? ", " : "unnest(", (int)i + 1,
                      coco__pg_type_of(k->arrays[i].column->type)->wire);
    for (size_t i = 0; i < k->narrays; i++) coco__pg_putf(t, "%sc%d", i ? ", " : ") AS u(", (int)i + 1);
    coco__pg_puts(t, ")");
}

static void coco__pg_put_delete(coco__pg_text *t, const coco__pg_place *place, const coco__pg_chunk *k)
{
    coco__pg_puts(t, "DELETE FROM ");
    coco__pg_put_table(t, place->table, place->table->shadow);
    coco__pg_puts(t, " AS t USING ");
    coco__pg_put_unnest(t, k);
    for (size_t i = 0; i < k->narrays; i++) {
        coco__pg_putf(t, "%st.%i = u.c%d", i ? " AND " : " WHERE ", k->arrays[i].column->name, (int)i + 1);
        coco__pg_put_cast(t, k->arrays[i].column);
    }
}

static void coco__pg_put_upsert(coco__pg_text *t, const coco__pg_place *place, const coco__pg_chunk *k)
{
    const coco_schema *s = &place->rows.decl.schema;
    const char *comma = " DO UPDATE SET ";

    coco__pg_puts(t, "INSERT INTO ");
    coco__pg_put_table(t, place->table, place->table->shadow);
    for (size_t i = 0; i < s->n; i++) coco__pg_putf(t, "%s%i", i ? ", " : " (", s->columns[i].name);
    for (size_t i = 0; i < s->n; i++) {
        coco__pg_putf(t, "%su.c%d", i ? ", " : ") SELECT ", (int)i + 1);
        coco__pg_put_cast(t, &s->columns[i]);
    }
    coco__pg_puts(t, " FROM ");
    coco__pg_put_unnest(t, k);
    coco__pg_puts(t, " ON CONFLICT (");
    coco__pg_put_keys(t, s);
    coco__pg_puts(t, ")");
    for (size_t i = 0; i < s->n; i++) {
        if (s->columns[i].key) continue;
        coco__pg_putf(t, "%s%i = EXCLUDED.%i", comma, s->columns[i].name, s->columns[i].name);
        comma = ", ";
    }
    if (coco_schema_nkeys(s) == s->n) coco__pg_puts(t, " DO NOTHING");
}

/* How many of the actions fit into one statement. */
static size_t coco__pg_chunk_size(coco_action **actions, size_t n)
{
    size_t i = 0, bytes = 0;

    while (i < n && i < COCO__PG_CHUNK_ROWS && (i == 0 || bytes + actions[i]->bytes <= COCO__PG_CHUNK_BYTES))
        bytes += actions[i++]->bytes;
    return i;
}

/* Encodes a chunk and sends it; the bytes go with the statement, what describes them stays for the next. */
static void coco__pg_send_chunk(coco__pg_pipe *p, const coco__pg_chunk *k, const char *sql)
{
    coco__pg_chunk one = *k;

    one.mem = NULL;
    p->rc = coco__pg_fill(&one, p->err);
    if (p->rc == COCO_OK) coco__pg_pipe_send(p, sql, &one);
    PQclear(one.mem);
}

/* Sends the rows as arrays. */
static coco_status coco__pg_by_arrays(PGconn *conn, const coco__pg_place *place, coco__pg_chunk *k, coco_err *err)
{
    coco__pg_pipe p = { .conn = conn, .err = err };
    coco_action **actions = k->actions;
    size_t n = k->n;
    coco__pg_text t = { 0 };

    if (k->keys) coco__pg_put_delete(&t, place, k);
    else coco__pg_put_upsert(&t, place, k);
    if (t.failed) p.rc = coco_err_set(err, COCO_ENOMEM, "out of memory");
    else if (!PQenterPipelineMode(conn)) p.rc = coco__pg_failed(conn, NULL, "", err);
    if (p.rc == COCO_OK) {
        for (size_t at = 0; at < n && p.rc == COCO_OK; at += k->n) {
            k->actions = actions + at;
            k->n = coco__pg_chunk_size(actions + at, n - at);
            coco__pg_send_chunk(&p, k, t.p);
        }
        coco__pg_pipe_end(&p);
    }
    coco__pg_text_free(&t);
    return p.rc;
}

/* ---- COPY ------------------------------------------------------------------------------------------------------ */

#define COCO__PG_COPY_ROWS 200 /* fewer are as fast as arrays */
#define COCO__PG_COPY_BUFFER ((size_t)64 << 10)

/* Whether rows of the table can go in the server's binary form as they are, without a cast. */
static bool coco__pg_copyable(const coco_schema *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const coco__pg_type *type = coco__pg_type_of(s->columns[i].type);
        if (s->columns[i].sql_type || (strcmp(type->sql, type->wire) != 0 && s->columns[i].type != COCO_JSON_T))
            return false;
    }
    return true;
}

static bool coco__pg_all_new(coco_action *const *actions, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (actions[i]->kind != COCO_INSERT) return false;
    return true;
}

/* Whether the table was empty when this update first had many rows for it. */
static coco_status coco__pg_was_empty(PGconn *conn, coco__pg_table *table, coco_err *err)
{
    coco__pg_text t = { 0 };
    bool rows;
    coco_status rc;

    if (table->empty || table->filled) return COCO_OK;
    coco__pg_puts(&t, "SELECT EXISTS (SELECT FROM ");
    coco__pg_put_table(&t, table, table->shadow);
    coco__pg_puts(&t, ")");
    rc = coco__pg_ask(conn, &t, &rows, err);
    coco__pg_text_free(&t);
    table->filled = rows;
    table->empty = rc == COCO_OK && !rows;
    return rc;
}

static void coco__pg_copy_measure(coco__pg_chunk *k, coco__pg_array *a, const coco_cell *cell)
{
    (void)a;
    k->size += 4 + coco__pg_element_size(k, cell) + (cell->type == COCO_JSON_T);
}

static void coco__pg_copy_cell(coco__pg_chunk *k, coco__pg_array *a, const coco_cell *cell)
{
    size_t n = coco__pg_element_size(k, cell);

    a->at = k->out;
    coco__pg_put_element(k, a, cell);
    if (!cell->null && cell->type == COCO_JSON_T) { /* jsonb begins with a version */
        memmove(k->out + 5, k->out + 4, n);
        coco__pg_put32(k->out, (uint32_t)n + 1);
        k->out[4] = 1;
        a->at++;
    }
    k->out = a->at;
}

/* Puts the rows into the stream, a buffer at a time. false: the connection failed, or a row is none of the table. */
static bool coco__pg_copy_rows(PGconn *conn, coco__pg_chunk *k)
{
    static const char head[19] = "PGCOPY\n\377\r\n"; /* and no flags, no extension */
    size_t room = COCO__PG_COPY_BUFFER;
    uint8_t *buffer = coco__pg_alloc(&k->mem, room);

    if (!buffer || PQputCopyData(conn, head, sizeof head) != 1) return false;
    k->out = buffer;
    for (size_t i = 0; i < k->n; i++) {
        k->size = 2;
        if (!coco__pg_each_cell(k, k->actions[i], coco__pg_copy_measure)) return false;
        if ((size_t)(k->out - buffer) + k->size > room) {
            if (PQputCopyData(conn, (char *)buffer, (int)(k->out - buffer)) != 1) return false;
            if (k->size > room && !(buffer = coco__pg_alloc(&k->mem, room = k->size * 2))) return false;
            k->out = buffer;
        }
        *k->out++ = (uint8_t)(k->narrays >> 8);
        *k->out++ = (uint8_t)k->narrays;
        coco__pg_each_cell(k, k->actions[i], coco__pg_copy_cell);
    }
    return PQputCopyData(conn, (char *)buffer, (int)(k->out - buffer)) == 1 && PQputCopyData(conn, "\377\377", 2) == 1;
}

static bool coco__pg_copy_begin(PGconn *conn, const coco__pg_place *place)
{
    const coco_schema *s = &place->rows.decl.schema;
    coco__pg_text t = { 0 };
    PGresult *r = NULL;
    bool begun;

    coco__pg_puts(&t, "COPY ");
    coco__pg_put_table(&t, place->table, place->table->shadow);
    for (size_t i = 0; i < s->n; i++) coco__pg_putf(&t, "%s%i", i ? ", " : " (", s->columns[i].name);
    coco__pg_puts(&t, ") FROM STDIN BINARY");
    if (!t.failed) r = PQexec(conn, t.p);
    begun = PQresultStatus(r) == PGRES_COPY_IN;
    PQclear(r);
    coco__pg_text_free(&t);
    return begun;
}

/* Copies the rows under a savepoint. *done false: they couldn't be, and nothing is as if they had been. */
static coco_status coco__pg_by_copy(PGconn *conn, const coco__pg_place *place, coco__pg_chunk *k, bool *done,
                                    coco_err *err)
{
    PGresult *r;

    COCO_TRY(coco__pg_exec(conn, "SAVEPOINT coco_copy", err));
    if (coco__pg_copy_begin(conn, place)) {
        bool sent = coco__pg_copy_rows(conn, k);
        PQputCopyEnd(conn, sent ? NULL : "undone");
        *done = true;
        while ((r = PQgetResult(conn)) != NULL) {
            *done = *done && PQresultStatus(r) == PGRES_COMMAND_OK;
            PQclear(r);
        }
    }
    if (PQstatus(conn) != CONNECTION_OK) return coco__pg_failed(conn, NULL, "", err);
    if (*done) return coco__pg_exec(conn, "RELEASE SAVEPOINT coco_copy", err);
    place->table->filled = true; /* no further try in this update */
    place->table->empty = false;
    return coco__pg_exec(conn, "ROLLBACK TO SAVEPOINT coco_copy", err);
}

/* Writes or deletes rows of one table. */
static coco_status coco__pg_rows_apply(PGconn *conn, const coco__pg_place *place, coco_action **actions, size_t n,
                                       coco_err *err)
{
    coco__pg_chunk k = { .actions = actions, .n = n, .keys = actions[0]->kind == COCO_DELETE,
                         .strip = place->run->db->opts.nul == COCO_POSTGRES_NUL_STRIP };
    const coco_schema *s = &place->rows.decl.schema;
    bool done = false;
    coco_status rc = coco__pg_look_shadow(conn, place->table, err);

    if (rc == COCO_OK) rc = coco__pg_arrays(conn, &k, s, err);
    if (rc == COCO_OK && n >= COCO__PG_COPY_ROWS && coco__pg_copyable(s) && coco__pg_all_new(actions, n)) {
        rc = coco__pg_was_empty(conn, place->table, err);
        if (rc == COCO_OK && place->table->empty) rc = coco__pg_by_copy(conn, place, &k, &done, err);
    }
    if (rc == COCO_OK && !done) rc = coco__pg_by_arrays(conn, place, &k, err);
    PQclear(k.mem);
    return rc;
}
