/* verify.c - part of postgres.c: does a table exist, and are its rows as recorded? */

/* Columns whose NOT NULL is missing: noted for the end of the update, by name, from the record. */
static coco_status coco__pg_require(coco_ctx *cx, coco__pg_table *table, const coco_table_decl *was,
                                    const coco__pg_shape *s)
{
    size_t bytes = 0, n = 0;
    char *p;

    for (size_t i = 0; i < was->schema.n; i++) {
        const coco_column *c = &was->schema.columns[i];
        const coco__pg_real *real = coco__pg_find(s, c->name);
        if (c->nullable || (real && real->not_null)) continue;
        bytes += sizeof(char *) + strlen(c->name) + 1;
        n++;
    }
    if (!n || table->required) return COCO_OK;
    if (!(table->required = coco_run_memory(cx, &table->required, bytes))) return COCO_ENOMEM;
    p = (char *)(table->required + n);
    for (size_t i = 0; i < was->schema.n; i++) {
        const coco_column *c = &was->schema.columns[i];
        const coco__pg_real *real = coco__pg_find(s, c->name);
        if (c->nullable || (real && real->not_null)) continue;
        table->required[table->nrequired++] = strcpy(p, c->name);
        p += strlen(p) + 1;
    }
    table->tighten = true;
    return COCO_OK;
}

/* What the record would be for what is there. */
static coco_status coco__pg_exists_shape(coco_ctx *cx, PGconn *conn, coco__pg_shape *s, coco_str record,
                                         coco_str *shape)
{
    coco__pg_resolved *types = NULL;
    PGresult *mem = NULL;
    coco_err err = { 0 };
    coco_table_decl was;
    coco_status rc;

    *shape = record;
    if (coco_table_decode(cx, record, &was) != COCO_OK) return coco_error(cx);
    rc = coco__pg_resolve(conn, &was.schema, &mem, &types, &err);
    if (rc == COCO_OK) rc = coco__pg_shape_record(cx, s, &was, types, shape);
    else if (err.transient) rc = coco_fail(cx, rc, "%s", err.msg);
    else rc = COCO_OK, *shape = COCO_STR("?"); /* a type that is no longer known: nothing is as it was */
    PQclear(mem);
    return rc;
}

/* Whose existence is asked, and by what. */
typedef struct coco__pg_asked {
    coco__pg_run *run;
    coco__pg_table *table;
    PGconn *conn;
} coco__pg_asked;

/* Looks at the table. What the update knows of it changes under the lock: others may be asked at the same time. */
static coco_status coco__pg_exists_look(coco_ctx *cx, const coco__pg_asked *a, coco_str record, coco_str *shape)
{
    coco__pg_table seen = *a->table;
    coco_err err = { 0 };
    coco__pg_shape s;
    coco_table_decl was;
    coco_status rc = coco__pg_look(a->conn, &seen, &s, &err);

    *shape = (coco_str){ NULL, 0 };
    if (rc != COCO_OK) rc = coco_fail(cx, rc, "%s", err.msg);
    else if (s.there || s.shadow_there) rc = coco__pg_exists_shape(cx, a->conn, &s, record, shape);
    pthread_mutex_lock(&a->run->db->lock);
    a->table->looked = seen.looked;
    a->table->shadow = seen.shadow;
    if (rc == COCO_OK && shape->p && coco_table_decode(cx, record, &was) == COCO_OK)
        rc = coco__pg_require(cx, a->table, &was, &s);
    pthread_mutex_unlock(&a->run->db->lock);
    PQclear(s.mem);
    return rc;
}

static coco_status coco__pg_exists(coco_ctx *cx, void *self, coco_value key, coco_str record, bool *exists,
                                   coco_str *shape)
{
    coco__pg_asked a = { .run = self, .table = coco__pg_table_of(cx, self, key) };
    coco_postgres *db = a.run->db;
    coco_status rc = COCO_OK;
    bool lost = true;

    if (!a.table) return COCO_ENOMEM;
    for (int tries = 0; lost && tries < 2; tries++) {
        COCO_TRY(coco__pg_take_cx(cx, db, &a.conn));
        rc = coco__pg_exists_look(cx, &a, record, shape);
        lost = rc != COCO_OK && PQstatus(a.conn) != CONNECTION_OK; /* it may have died while it waited in the pool */
        coco__pg_give(db, a.conn);
    }
    *exists = shape->p != NULL;
    return rc;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

/* Whether what is read back has the form that was declared: times, numbers and JSON come as the server prints them. */
static bool coco__pg_reads_alike(const coco_schema *s)
{
    for (size_t i = 0; i < s->n; i++) {
        coco_type type = s->columns[i].type;
        if (s->columns[i].sql_type || type == COCO_TIME_T || type == COCO_CLOCK_T || type == COCO_INTERVAL_T ||
            type == COCO_DECIMAL_T || type == COCO_JSON_T)
            return false;
    }
    return true;
}

/* The query for one row by its key. */
static void coco__pg_put_row_query(coco__pg_text *t, const coco__pg_place *place)
{
    const coco_schema *s = &place->rows.decl.schema;
    int n = 0;

    for (size_t i = 0; i < s->n; i++) coco__pg_putf(t, "%s%i", i ? ", " : "SELECT ", s->columns[i].name);
    coco__pg_puts(t, " FROM ");
    coco__pg_put_table(t, place->table, place->table->shadow);
    for (size_t i = 0; i < s->n; i++) {
        if (!s->columns[i].key) continue;
        coco__pg_putf(t, "%s%i = $%d", n ? " AND " : " WHERE ", s->columns[i].name, n + 1);
        n++;
        coco__pg_puts(t, "::text");
        if (strcmp(coco__pg_type_of(s->columns[i].type)->sql, "text") == 0 && !s->columns[i].sql_type) continue;
        coco__pg_puts(t, "::");
        if (s->columns[i].sql_type) coco__pg_puts(t, s->columns[i].sql_type);
        else coco__pg_puts(t, coco__pg_type_of(s->columns[i].type)->sql);
    }
}

/* Answers one finding from the row that was read; rd has its result. */
static coco_status coco__pg_compare(coco_ctx *cx, const coco__pg_place *place, const coco__pg_reader *rd,
                                    coco_finding *f)
{
    const coco_schema *s = &place->rows.decl.schema;
    coco_value *values = coco_alloc(cx, s->n * sizeof *values);
    coco_str row;
    uint8_t fp[16];

    if (!values) return COCO_ENOMEM;
    f->verdict = COCO_STATE_MISSING;
    if (PQntuples(rd->batch) == 0) return COCO_OK;
    for (size_t i = 0; i < s->n; i++) values[i] = coco__pg_value(cx, rd, 0, i);
    f->verdict = coco__pg_reads_alike(s) ? COCO_STATE_DIFFERENT : COCO_STATE_UNKNOWN;
    /* null where null was never declared can't be encoded: it differs */
    if (coco_row_encode(cx, &place->rows, coco_list(values, s->n), &row, NULL) != COCO_OK) return COCO_OK;
    coco_row_record(row, fp);
    if (f->record.n == sizeof fp && memcmp(f->record.p, fp, sizeof fp) == 0) f->verdict = COCO_STATE_OK;
    return COCO_OK;
}

static coco_status coco__pg_verify_one(coco_ctx *cx, coco__pg_place *place, coco__pg_reader *rd, const char *sql,
                                       coco_finding *f)
{
    size_t n = coco_count(f->key);
    const char **params = coco_alloc(cx, (n + 1) * sizeof *params);
    coco_err err = { 0 };
    coco_status rc;

    if (!params) return COCO_ENOMEM;
    for (size_t i = 0; i < n; i++) params[i] = coco__pg_param(cx, coco_at(f->key, i));
    if (!(rd->batch = coco__pg_query_with(rd->conn, sql, (int)n, params, &err)))
        return coco_fail(cx, err.code, "%s", err.msg);
    for (size_t i = 0; i < rd->n; i++) rd->types[i] = PQftype(rd->batch, (int)i);
    rc = coco__pg_compare(cx, place, rd, f);
    PQclear(rd->batch);
    rd->batch = NULL;
    return rc;
}

static coco_status coco__pg_verify(coco_ctx *cx, void *self, coco_finding *states, size_t n)
{
    coco__pg_place *place = self;
    coco__pg_reader rd = { .db = place->run->db, .n = place->rows.decl.schema.n };
    coco__pg_text t = { 0 };
    coco_err err = { 0 };
    coco_status rc;

    if (!(rd.types = coco_alloc(cx, rd.n * sizeof *rd.types))) return COCO_ENOMEM;
    COCO_TRY(coco__pg_take_cx(cx, rd.db, &rd.conn));
    rc = coco__pg_look_shadow(rd.conn, place->table, &err);
    if (rc == COCO_OK) rc = coco__pg_read_vectors(&rd, &err);
    if (rc != COCO_OK) rc = coco_fail(cx, rc, "%s", err.msg);
    coco__pg_put_row_query(&t, place);
    if (t.failed) rc = COCO_ENOMEM;
    for (size_t i = 0; i < n && rc == COCO_OK; i++) {
        coco_scratch_begin(cx);
        rc = coco__pg_verify_one(cx, place, &rd, t.p, &states[i]);
        coco_scratch_end(cx);
    }
    coco__pg_text_free(&t);
    coco__pg_give(rd.db, rd.conn);
    return rc;
}

/* The keys of all rows, also of those that nobody declared. */
static coco_status coco__pg_list(coco_ctx *cx, void *self, coco_source **keys)
{
    const coco__pg_place *place = self;
    coco__pg_reader rd = { .db = place->run->db, .context = place->run->name, .keys_only = true };

    rd.read.table = place->table->shadow ? place->table->shadow_name : place->table->name;
    rd.read.schema = *place->table->schema ? place->table->schema : NULL;
    *keys = coco__pg_source(cx, &rd);
    return *keys ? COCO_OK : COCO_ENOMEM;
}
