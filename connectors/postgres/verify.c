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

/* Columns that the server prints in a form of its own: it compares them itself, with what was declared. */
static bool coco__pg_keeps(const coco_column *c)
{
    return !coco__pg_is_vector(c->type) &&
           (c->sql_type || (coco__pg_is_text(c->type) && c->type != COCO_TEXT_T && c->type != COCO_DATE_T));
}

/* A parameter as what would travel for the column, in the column's type. */
static void coco__pg_put_param(coco__pg_text *t, const coco_column *c, int n)
{
    coco__pg_putf(t, "$%d::text::%s::", n, coco__pg_type_of(c->type)->wire);
    coco__pg_put_type(t, c);
}

/* The query for one row by its key: the keys are its first parameters, then come kept values. These are compared as
 * texts: not every type knows what is equal. */
static void coco__pg_put_row_query(coco__pg_text *t, const coco__pg_place *place)
{
    const coco_schema *s = &place->rows.decl.schema;
    int n = (int)coco_schema_nkeys(s);
    const char *between = " WHERE ";

    for (size_t i = 0; i < s->n; i++) {
        const coco_column *c = &s->columns[i];
        coco__pg_putf(t, "%s%i", i ? ", " : "SELECT ", c->name);
        if (!coco__pg_keeps(c)) continue;
        coco__pg_puts(t, "::text IS NOT DISTINCT FROM ");
        coco__pg_put_param(t, c, ++n);
        coco__pg_puts(t, "::text");
    }
    coco__pg_puts(t, " FROM ");
    coco__pg_put_table(t, place->table, place->table->shadow);
    n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!s->columns[i].key) continue;
        coco__pg_putf(t, "%s%i = ", between, s->columns[i].name);
        coco__pg_put_param(t, &s->columns[i], ++n);
        between = " AND ";
    }
}

/* A row being looked at. */
typedef struct coco__pg_looked {
    const coco__pg_place *place;
    coco_cell *kept;     /* by column, where kept */
    bool all;            /* the record has them */
    const char **params;
} coco__pg_looked;

/* The kept cells of a record; and parameters from them, behind those of the key. */
static coco_status coco__pg_kept(coco_ctx *cx, coco__pg_looked *l, coco_str record, size_t n)
{
    const coco_schema *s = &l->place->rows.decl.schema;
    coco_str rest = { record.p + 16, record.n > 16 ? record.n - 16 : 0 };

    l->all = record.n >= 16;
    for (size_t i = 0; i < s->n; i++) {
        if (!coco__pg_keeps(&s->columns[i])) continue;
        l->all = l->all && coco_cell_next(&rest, &l->kept[i]) &&
                 (l->kept[i].null || l->kept[i].type == s->columns[i].type);
        if (!l->all) l->kept[i] = (coco_cell){ .null = true };
        coco_value v = coco_cell_value(cx, &l->kept[i]);
        char *text = (char *)(uintptr_t)(l->params[n++] = coco__pg_param(cx, v));
        if (v.kind == COCO_TEXT_KIND && text) /* the server has no NULs: they were left out */
            *(char *)coco__pg_put_stripped((uint8_t *)text, coco_text_of(v)) = '\0';
    }
    return coco_error(cx);
}

/* The fingerprint of the row that was read, with the kept cells as they were declared. Null where null was never
 * declared can't be encoded. */
static bool coco__pg_row_print(coco_ctx *cx, const coco__pg_looked *l, coco_value *values, uint8_t fp[16])
{
    const coco_schema *s = &l->place->rows.decl.schema;
    coco_cell *cells = coco_alloc(cx, s->n * sizeof *cells);
    coco_str row;

    for (size_t i = 0; i < s->n; i++) /* one of JSON would be taken for a text; any value does */
        if (coco__pg_keeps(&s->columns[i]))
            values[i] = s->columns[i].type == COCO_JSON_T ? coco_null() : coco_cell_value(cx, &l->kept[i]);
    if (!cells || coco_row_encode(cx, &l->place->rows, coco_list(values, s->n), &row, NULL) != COCO_OK) return false;
    for (size_t i = 0; i < s->n && coco_cell_next(&row, &cells[i]); i++)
        if (coco__pg_keeps(&s->columns[i])) cells[i] = l->kept[i];
    if (coco_row_encode_cells(cx, cells, s->n, &row) != COCO_OK) return false;
    coco_row_record(row, fp);
    return true;
}

/* Answers one finding from the row that was read; rd has its result. */
static coco_status coco__pg_compare(coco_ctx *cx, const coco__pg_looked *l, const coco__pg_reader *rd, coco_finding *f)
{
    const coco_schema *s = &l->place->rows.decl.schema;
    coco_value *values = coco_alloc(cx, s->n * sizeof *values);
    bool same = l->all, told = l->all;
    uint8_t fp[16];

    if (!values) return COCO_ENOMEM;
    f->verdict = COCO_STATE_MISSING;
    if (PQntuples(rd->batch) == 0) return COCO_OK;
    for (size_t i = 0; i < s->n; i++) {
        const coco_column *c = &s->columns[i];
        if (coco__pg_keeps(c)) same = same && *PQgetvalue(rd->batch, 0, (int)i) == 't';
        else values[i] = coco__pg_value(cx, rd, 0, i);
        told = told && !(coco__pg_is_vector(c->type) && c->sql_type);
    }
    if (same && coco__pg_row_print(cx, l, values, fp)) same = memcmp(f->record.p, fp, sizeof fp) == 0;
    else same = false;
    f->verdict = same ? COCO_STATE_OK : told ? COCO_STATE_DIFFERENT : COCO_STATE_UNKNOWN;
    return COCO_OK;
}

static coco_status coco__pg_verify_one(coco_ctx *cx, coco__pg_place *place, coco__pg_reader *rd, const char *sql,
                                       coco_finding *f)
{
    size_t columns = place->rows.decl.schema.n, n = coco_count(f->key);
    coco__pg_looked l = { .place = place, .kept = coco_alloc(cx, columns * sizeof *l.kept),
                          .params = coco_alloc(cx, (n + columns) * sizeof *l.params) };
    int nparams = (int)n;
    coco_err err = { 0 };
    coco_status rc;

    if (!l.kept || !l.params) return COCO_ENOMEM;
    for (size_t i = 0; i < n; i++) l.params[i] = coco__pg_param(cx, coco_at(f->key, i));
    for (size_t i = 0; i < columns; i++) nparams += coco__pg_keeps(&place->rows.decl.schema.columns[i]);
    COCO_TRY(coco__pg_kept(cx, &l, f->record, n));
    if (!(rd->batch = coco__pg_query_with(rd->conn, sql, nparams, l.params, &err)))
        return coco_fail(cx, err.code, "%s", err.msg);
    for (size_t i = 0; i < rd->n; i++) rd->types[i] = PQftype(rd->batch, (int)i);
    rc = coco__pg_compare(cx, &l, rd, f);
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
