/* verify.c - part of sqlite.c: is what is recorded there? Tables by their columns and key; rows by reading them back
 * and encoding them again, so all declared columns are compared; attachments by the book and their object's name. */

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

/* A declared column as it really is; false where it is as declared. */
static bool coco__sq_really(const coco__sq_column *is, coco_column *c)
{
    bool other = sqlite3_stricmp(is->type, coco__sq_type(c)) != 0;

    if (other) c->sql_type = is->type[0] ? is->type : "(none)";
    if (c->key || c->nullable == !is->notnull) return other;
    c->nullable = !is->notnull;
    return true;
}

/* The declaration that fits what is there: columns that are missing are left out, types and the key are the real ones.
 * NULL text: nothing differs. */
static coco_status coco__sq_shape_record(coco_ctx *cx, const char *table, const coco__sq_shape *shape, coco_str record,
                                         coco_str *out)
{
    coco_table_decl decl;
    coco_column *columns;
    const coco__sq_column *is;
    bool other = false;
    size_t n = 0;
    coco_status rc = coco_table_decode(cx, record, &decl);

    *out = (coco_str){ NULL, 0 };
    if (rc == COCO_ECORRUPT || (rc == COCO_OK && coco__sq_flags(&decl) & COCO__SQ_VEC0)) return COCO_OK;
    COCO_TRY(rc);
    if (!(columns = coco_alloc(cx, (decl.schema.n + 1) * sizeof *columns))) return COCO_ENOMEM;
    for (size_t i = 0; i < decl.schema.n; i++) {
        if (!(is = coco__sq_shape_column(shape, decl.schema.columns[i].name))) continue;
        columns[n] = decl.schema.columns[i];
        other |= coco__sq_really(is, &columns[n++]);
    }
    if (!other && n == decl.schema.n && coco__sq_same_key(shape, &decl.schema)) return COCO_OK;
    if (!coco__sq_same_key(shape, &decl.schema)) /* whatever it is, it isn't the declared one */
        columns[n++] = (coco_column){ .name = "(another key)", .type = COCO_INT_T, .key = true };
    return coco_table_declaration(cx, table, &(coco_schema){ .columns = columns, .n = n }, decl.extra, out);
}

/* Looks for the table, or the shadow that is to become it. */
static coco_status coco__sq_look(coco_ctx *cx, coco_sqlite *s, const char *table, coco_str record, coco_str *shape,
                                 bool *exists)
{
    coco__sq_shape is = { 0 };
    coco_err err = { 0 };
    bool shadowed = false, has = false;
    const char *name = table;
    coco_status rc = coco__sq_ready(s, false, &err);

    *exists = false;
    if (rc == COCO_OK && s->db) rc = coco__sq_has(s, table, &has, &err);
    if (rc == COCO_OK && s->db) rc = coco__sq_shadowed(s, table, &shadowed, &err);
    if (rc == COCO_OK && shadowed && !(name = coco_format(cx, COCO__SQ_SHADOW "%s", table).p)) rc = COCO_ENOMEM;
    if (rc == COCO_OK && (has || shadowed)) rc = coco__sq_shape_read(s, name, &is, &err);
    *exists = is.n > 0;
    if (rc != COCO_OK) coco_fail(cx, rc, "%s", err.msg);
    else if (*exists) rc = coco__sq_shape_record(cx, table, &is, record, shape);
    coco__sq_shape_free(&is);
    return rc;
}

/* Asked before anything is written. What is asked for is noted: its shadow, left by an update that failed or died, may
 * be shown at the end of this one. */
static coco_status coco__sq_exists(coco_ctx *cx, void *self, coco_value key, coco_str record, bool *exists,
                                   coco_str *shape)
{
    coco__sq_root *root = self;
    const char *table = coco_copy(cx, coco_text_of(key)).p;
    coco_status rc;

    if (!table) return COCO_ENOMEM;
    pthread_mutex_lock(&root->db->lock);
    rc = coco__sq_note_seen(root, table);
    if (rc == COCO_OK) rc = coco__sq_look(cx, root->db, table, record, shape, exists);
    pthread_mutex_unlock(&root->db->lock);
    return rc;
}

/* By the same look at the table as for existence. */
static coco_status coco__sq_verify_tables(coco_ctx *cx, void *self, coco_finding *states, size_t n)
{
    bool exists;

    for (size_t i = 0; i < n; i++) {
        coco_str shape = { NULL, 0 };
        COCO_TRY(coco__sq_exists(cx, self, states[i].key, states[i].record, &exists, &shape));
        states[i].verdict = !exists ? COCO_STATE_MISSING : shape.p ? COCO_STATE_DIFFERENT : COCO_STATE_OK;
        if (shape.p) states[i].detail = COCO_STR("columns or primary key");
    }
    return COCO_OK;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

/* The value of a result as a cell of the column; false: it can't be what was written. */
static bool coco__sq_cell(sqlite3_stmt *st, int at, const coco_column *c, uint8_t uuid[16], coco_cell *cell)
{
    int type = sqlite3_column_type(st, at);

    *cell = (coco_cell){ .type = c->type, .null = type == SQLITE_NULL };
    if (cell->null) return true;
    switch (c->type) {
    case COCO_BOOL_T: cell->as.boolean = sqlite3_column_int64(st, at) == 1; return type == SQLITE_INTEGER;
    case COCO_INT_T: cell->as.integer = sqlite3_column_int64(st, at); return type == SQLITE_INTEGER;
    case COCO_DOUBLE_T:
        cell->as.real = sqlite3_column_double(st, at);
        return type == SQLITE_FLOAT || type == SQLITE_INTEGER;
    case COCO_BYTES_T: case COCO_VECTOR_T: case COCO_HALF_T:
        cell->s = (coco_str){ sqlite3_column_blob(st, at), (size_t)sqlite3_column_bytes(st, at) };
        return type == SQLITE_BLOB;
    default: break;
    }
    cell->s.p = (const char *)sqlite3_column_text(st, at);
    cell->s.n = (size_t)sqlite3_column_bytes(st, at);
    if (c->type != COCO_UUID_T) return type == SQLITE_TEXT;
    if (!coco_uuid_parse(cell->s, uuid)) return false;
    cell->s = (coco_str){ (char *)uuid, 16 };
    return type == SQLITE_TEXT;
}

/* Compares the row at which the statement stands. */
static coco_status coco__sq_compare(coco_ctx *cx, const coco__sq_table *t, sqlite3_stmt *st, coco_finding *f)
{
    const coco_schema *s = &t->rows.decl.schema;
    coco_cell *cells = coco_alloc(cx, s->n * sizeof *cells);
    uint8_t(*uuids)[16] = coco_alloc(cx, s->n * sizeof *uuids), record[16];
    coco_str row;

    if (!cells || !uuids) return COCO_ENOMEM;
    f->verdict = COCO_STATE_DIFFERENT;
    for (size_t i = 0; i < s->n; i++) {
        if (coco__sq_cell(st, (int)i, &s->columns[i], uuids[i], &cells[i])) continue;
        f->detail = coco_format(cx, "%s", s->columns[i].name);
        return coco_error(cx);
    }
    COCO_TRY(coco_row_encode_cells(cx, cells, s->n, &row));
    coco_row_record(row, record);
    if (f->record.n == sizeof record && memcmp(f->record.p, record, sizeof record) == 0) f->verdict = COCO_STATE_OK;
    return COCO_OK;
}

/* A table that is being rebuilt is compared with what its shadow holds, as its records are about that. */
static coco_status coco__sq_select(coco__sq_table *t, sqlite3_stmt **st, coco_err *err)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    bool shadowed;
    coco_status rc = coco__sq_shadowed(t->db, t->rows.table, &shadowed, err);

    sqlite3_str_appendall(sql, "SELECT ");
    coco__sq_names(sql, &t->rows.decl.schema, -1, ", ", "\"%w\"");
    sqlite3_str_appendf(sql, " FROM \"%w%w\"", rc == COCO_OK && shadowed ? COCO__SQ_SHADOW : "", t->rows.table);
    coco__sq_where_key(sql, &t->rows.decl.schema);
    char *text = sqlite3_str_finish(sql);
    if (rc == COCO_OK) return coco__sq_prepare_kept(t->db, text, t->rows.table, st, err);
    sqlite3_free(text);
    return rc;
}

/* A file that isn't there has none of the rows. Memory for one row at a time: there may be millions. */
static coco_status coco__sq_verify_some(coco_ctx *cx, coco__sq_table *t, coco_finding *states, size_t n, coco_err *err)
{
    sqlite3_stmt *st = NULL;
    coco_status rc = coco__sq_ready(t->db, false, err);

    for (size_t i = 0; !t->db->db && i < n; i++) states[i].verdict = COCO_STATE_MISSING;
    if (rc != COCO_OK || !t->db->db) return rc;
    rc = coco__sq_select(t, &st, err);
    for (size_t i = 0; i < n && rc == COCO_OK; i++) {
        coco_scratch_begin(cx);
        int step = coco__sq_bind_key(st, states[i].key) == SQLITE_OK ? sqlite3_step(st) : SQLITE_ERROR;
        if (step == SQLITE_DONE) states[i].verdict = COCO_STATE_MISSING;
        else if (step == SQLITE_ROW) rc = coco__sq_compare(cx, t, st, &states[i]);
        else rc = coco__sq_error(t->db, err, t->rows.table);
        sqlite3_reset(st);
        coco_scratch_end(cx);
        if (states[i].detail.n) states[i].detail = COCO_STR("a column's type");
    }
    sqlite3_finalize(st);
    return rc;
}

static coco_status coco__sq_verify_rows(coco_ctx *cx, void *self, coco_finding *states, size_t n)
{
    coco__sq_table *t = self;
    coco_err err = { 0 };
    coco_status rc;

    pthread_mutex_lock(&t->db->lock);
    rc = coco__sq_verify_some(cx, t, states, n, &err);
    pthread_mutex_unlock(&t->db->lock);
    return rc != COCO_OK && err.code ? coco_fail(cx, rc, "%s", err.msg) : rc;
}

/* ---- Attachments ------------------------------------------------------------------------------------------------- */

/* Reads the entry of the book and judges it by its record. */
static coco_status coco__sq_verify_entry(coco__sq_attachments *of, const char *name, coco_finding *f, coco_err *err)
{
    const char *what[3] = { of->rows.table, of->kind, name };
    coco_sqlite *s = of->table->db;
    coco__sq_list list = { NULL, 0 };
    bool has = false, object = true, pending = false;
    uint8_t record[16];
    coco_status rc = coco__sq_has(s, COCO__SQ_BOOK, &has, err);

    f->verdict = COCO_STATE_MISSING;
    if (rc == COCO_OK && has) rc = coco__sq_shadowed(s, of->rows.table, &pending, err);
    if (rc == COCO_OK && has) rc = coco__sq_entries(s, what, pending, &list, err);
    if (rc == COCO_OK && list.n && !pending && strcmp(of->kind, "sql") != 0) {
        sqlite3_stmt *st;
        rc = coco__sq_prepare(s, &st, name, err, "SELECT 1 FROM sqlite_schema WHERE name = %Q COLLATE NOCASE", name);
        int step = rc == COCO_OK ? sqlite3_step(st) : SQLITE_DONE;
        object = step == SQLITE_ROW;
        if (rc == COCO_OK) rc = coco__sq_done(s, st, step, name, err);
    }
    if (rc == COCO_OK && list.n && object) {
        coco_value both[2] = { coco_text(list.v[0].setup), coco_text(list.v[0].teardown) };
        rc = coco_fingerprint(coco_list(both, 2), record);
        f->verdict = f->record.n == 16 && memcmp(f->record.p, record, 16) == 0 ? COCO_STATE_OK : COCO_STATE_DIFFERENT;
    }
    coco__sq_entries_free(&list);
    return rc;
}

/* What waits for a rebuild is as recorded if the book says so. */
static coco_status coco__sq_verify_attached(coco_ctx *cx, void *self, coco_finding *states, size_t n)
{
    coco__sq_attachments *of = self;
    coco_err err = { 0 };
    coco_status rc;

    pthread_mutex_lock(&of->table->db->lock);
    rc = coco__sq_ready(of->table->db, false, &err);
    for (size_t i = 0; i < n && rc == COCO_OK; i++) {
        const char *name = coco_copy(cx, coco_text_of(states[i].key)).p;
        if (!name) rc = COCO_ENOMEM;
        else if (!of->table->db->db) states[i].verdict = COCO_STATE_MISSING;
        else rc = coco__sq_verify_entry(of, name, &states[i], &err);
    }
    pthread_mutex_unlock(&of->table->db->lock);
    return rc != COCO_OK && err.code ? coco_fail(cx, rc, "%s", err.msg) : rc;
}
