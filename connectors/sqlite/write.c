/* write.c - part of sqlite.c: rows, one by one. Statements are prepared once an update and table.
 *
 * A value that moves from one row to another under a unique index is in the way until the other row has let go. Rows
 * that meet this are set aside; after all others they are tried again, and if that doesn't help, those among them that
 * are in the table first let go: their unique columns get placeholders. What then still fails isn't unique. */

/* ---- Statements -------------------------------------------------------------------------------------------------- */

/* Keys are compared with =, never IS: a key is never null, and = uses the index of any version of SQLite. */
static void coco__sq_where_key(sqlite3_str *sql, const coco_schema *s)
{
    const char *between = " WHERE ";
    int n = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (!s->columns[i].key) continue;
        sqlite3_str_appendf(sql, "%s\"%w\" = ?%d", between, s->columns[i].name, ++n);
        between = " AND ";
    }
}

/* Names, with or without key columns; fmt takes one or two names. */
static void coco__sq_names(sqlite3_str *sql, const coco_schema *s, int key, const char *between, const char *fmt)
{
    const char *sep = "";

    for (size_t i = 0; i < s->n; i++) {
        if (key >= 0 && s->columns[i].key != (bool)key) continue;
        sqlite3_str_appendall(sql, sep);
        sqlite3_str_appendf(sql, fmt, s->columns[i].name, s->columns[i].name);
        sep = between;
    }
}

/* The upsert: others' columns of a row that is there stay. A virtual table knows none: it is deleted and inserted. */
static char *coco__sq_upsert_sql(const char *prefix, const coco__sq_table *t)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    const coco_schema *s = &t->rows.decl.schema;

    sqlite3_str_appendf(sql, "INSERT INTO \"%w%w\" (", prefix, t->rows.table);
    coco__sq_names(sql, s, -1, ", ", "\"%w\"");
    sqlite3_str_appendall(sql, ") VALUES (");
    for (size_t i = 0; i < s->n; i++) sqlite3_str_appendf(sql, "%s?%d", i ? ", " : "", (int)i + 1);
    sqlite3_str_appendall(sql, ")");
    if (coco__sq_flags(&t->rows.decl) & COCO__SQ_VEC0) return sqlite3_str_finish(sql);
    sqlite3_str_appendall(sql, " ON CONFLICT (");
    coco__sq_names(sql, s, true, ", ", "\"%w\"");
    sqlite3_str_appendall(sql, coco_schema_nkeys(s) == s->n ? ") DO NOTHING" : ") DO UPDATE SET ");
    coco__sq_names(sql, s, false, ", ", "\"%w\" = excluded.\"%w\"");
    return sqlite3_str_finish(sql);
}

/* One row at a time: with a prepared statement and no network that is as fast as any list of keys. */
static char *coco__sq_remove_sql(const char *prefix, const coco__sq_table *t)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);

    sqlite3_str_appendf(sql, "DELETE FROM \"%w%w\"", prefix, t->rows.table);
    coco__sq_where_key(sql, &t->rows.decl.schema);
    return sqlite3_str_finish(sql);
}

/* Prepares a statement that is kept, from a text that is freed here (NULL: memory ran out while it was made). */
static coco_status coco__sq_prepare_kept(coco_sqlite *s, char *sql, const char *table, sqlite3_stmt **st, coco_err *err)
{
    int rc = sql ? sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL) : SQLITE_NOMEM;

    sqlite3_free(sql);
    return rc == SQLITE_OK ? COCO_OK : coco__sq_error(s, err, table);
}

/* Has the statements ready, for the table or the shadow that is being filled. */
static coco_status coco__sq_table_ready(coco__sq_table *t, coco_err *err)
{
    const char *prefix = "";
    bool shadowed;

    if (t->upsert && t->remove) return COCO_OK;
    if (!t->listed) {
        t->next = t->db->tables;
        t->db->tables = t;
        t->listed = true;
    }
    coco__sq_table_forget(t);
    COCO_TRY(coco__sq_shadowed(t->db, t->rows.table, &shadowed, err));
    if (shadowed) prefix = COCO__SQ_SHADOW;
    COCO_TRY(coco__sq_prepare_kept(t->db, coco__sq_upsert_sql(prefix, t), t->rows.table, &t->upsert, err));
    return coco__sq_prepare_kept(t->db, coco__sq_remove_sql(prefix, t), t->rows.table, &t->remove, err);
}

/* ---- Values ------------------------------------------------------------------------------------------------------ */

static int coco__sq_bind_uuid(sqlite3_stmt *st, int at, const uint8_t uuid[16])
{
    char text[37];

    coco_uuid_print(uuid, text);
    return sqlite3_bind_text(st, at, text, 36, SQLITE_TRANSIENT);
}

/* Texts and bytes are bound where they stand: the action outlives the step. Never a NULL pointer, which would be the
 * null of SQL. */
static int coco__sq_bind_cell(sqlite3_stmt *st, int at, const coco_cell *cell)
{
    if (cell->null) return sqlite3_bind_null(st, at);
    switch (cell->type) {
    case COCO_BOOL_T: return sqlite3_bind_int(st, at, cell->as.boolean);
    case COCO_INT_T: return sqlite3_bind_int64(st, at, cell->as.integer);
    case COCO_DOUBLE_T: return sqlite3_bind_double(st, at, cell->as.real);
    case COCO_UUID_T: return coco__sq_bind_uuid(st, at, (const uint8_t *)cell->s.p);
    case COCO_BYTES_T: case COCO_VECTOR_T: case COCO_HALF_T:
        return sqlite3_bind_blob64(st, at, cell->s.n ? cell->s.p : "", cell->s.n, SQLITE_STATIC);
    default: return sqlite3_bind_text64(st, at, cell->s.n ? cell->s.p : "", cell->s.n, SQLITE_STATIC, SQLITE_UTF8);
    }
}

/* A key, or a parameter of a query: values that may not outlive the call are copied. */
static int coco__sq_bind_value(sqlite3_stmt *st, int at, coco_value v)
{
    coco_str s = coco_text_of(v);

    switch (v.kind) {
    case COCO_BOOL: return sqlite3_bind_int(st, at, v.as.boolean);
    case COCO_INT: return sqlite3_bind_int64(st, at, v.as.integer);
    case COCO_FLOAT: return sqlite3_bind_double(st, at, v.as.real);
    case COCO_TEXT_KIND: return sqlite3_bind_text64(st, at, s.n ? s.p : "", s.n, SQLITE_TRANSIENT, SQLITE_UTF8);
    case COCO_BYTES: return sqlite3_bind_blob64(st, at, s.n ? s.p : "", s.n, SQLITE_TRANSIENT);
    case COCO_UUID: return coco__sq_bind_uuid(st, at, v.as.uuid);
    default: return sqlite3_bind_null(st, at);
    }
}

static int coco__sq_bind_key(sqlite3_stmt *st, coco_value key)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < coco_count(key) && rc == SQLITE_OK; i++)
        rc = coco__sq_bind_value(st, (int)i + 1, coco_at(key, i));
    return rc;
}

/* ---- One row ----------------------------------------------------------------------------------------------------- */

/* Names the row in an error: its table and key, shortened. */
static coco_status coco__sq_row_error(coco__sq_table *t, const coco_action *a, coco_err *err)
{
    char key[120] = "";
    size_t used = 0;
    coco_err e = { 0 };
    coco_status rc = coco__sq_error(t->db, &e, NULL);

    for (size_t i = 0; i < coco_count(a->key) && used < sizeof key - 1; i++) {
        coco_value v = coco_at(a->key, i);
        coco_str s = coco_text_of(v);
        sqlite3_snprintf((int)(sizeof key - used), key + used, "%s", i ? "," : "");
        used += strlen(key + used);
        if (v.kind == COCO_INT)
            sqlite3_snprintf((int)(sizeof key - used), key + used, "%lld", (long long)v.as.integer);
        else
            sqlite3_snprintf((int)(sizeof key - used), key + used, v.kind == COCO_TEXT_KIND ? "\"%.*s\"" : "%.*s…",
                             v.kind == COCO_TEXT_KIND ? (int)(s.n < 60 ? s.n : 60) : 0, s.n ? s.p : "");
        used += strlen(key + used);
    }
    coco_err_set(err, rc, "%s (row [%s] of %s)", e.msg, key, t->rows.table);
    if (err) err->transient = e.transient;
    return rc;
}

/* Runs a statement that gives no rows. The reset comes after the error was read, which it would clear. */
static coco_status coco__sq_step(coco__sq_table *t, sqlite3_stmt *st, const coco_action *a, coco_err *err)
{
    int rc = sqlite3_step(st);
    coco_status status = rc == SQLITE_DONE || rc == SQLITE_ROW ? COCO_OK : coco__sq_row_error(t, a, err);

    sqlite3_reset(st);
    return status;
}

static coco_status coco__sq_remove(coco__sq_table *t, const coco_action *a, coco_err *err)
{
    if (coco__sq_bind_key(t->remove, a->key) != SQLITE_OK) return coco__sq_row_error(t, a, err);
    return coco__sq_step(t, t->remove, a, err);
}

/* SQLite would store a NaN as null, silently: an error instead. */
static coco_status coco__sq_bind_row(coco__sq_table *t, const coco_action *a, coco_err *err)
{
    coco_str rest = coco_row_of(a);
    coco_cell cell;
    int at = 0;

    while (coco_cell_next(&rest, &cell)) {
        if (!cell.null && cell.type == COCO_DOUBLE_T && isnan(cell.as.real))
            return coco_err_set(err, COCO_EINVAL, "%s: a NaN can't be stored (column %s of %s)", t->db->path,
                                t->rows.decl.schema.columns[at].name, t->rows.table);
        if (coco__sq_bind_cell(t->upsert, ++at, &cell) != SQLITE_OK) return coco__sq_row_error(t, a, err);
    }
    assert(rest.n == 0 && (size_t)at == t->rows.decl.schema.n);
    return COCO_OK;
}

/* Writes the row. clash (may be NULL): told that another row is in the way, which is no error then. */
static coco_status coco__sq_upsert(coco__sq_table *t, const coco_action *a, bool *clash, coco_err *err)
{
    int rc;
    coco_status status;

    if (coco__sq_flags(&t->rows.decl) & COCO__SQ_VEC0) COCO_TRY(coco__sq_remove(t, a, err));
    COCO_TRY(coco__sq_bind_row(t, a, err));
    rc = sqlite3_step(t->upsert);
    if (clash) *clash = rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_ROWID;
    status = rc == SQLITE_DONE || (clash && *clash) ? COCO_OK : coco__sq_row_error(t, a, err);
    sqlite3_reset(t->upsert);
    return status;
}

/* ---- Rows that are in each other's way --------------------------------------------------------------------------- */

/* Rows that were set aside. */
typedef struct coco__sq_clashes {
    coco_action **v; /* borrowed from the batch */
    size_t n, cap;
} coco__sq_clashes;

static coco_status coco__sq_clash_add(coco__sq_clashes *c, coco_action *a, coco_err *err)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 16;
        coco_action **v = sqlite3_realloc64(c->v, cap * sizeof(coco_action *));
        if (!v) return coco__sq_oom(err);
        c->v = v;
        c->cap = cap;
    }
    c->v[c->n++] = a;
    return COCO_OK;
}

/* A value that no row has, of the column's type. */
static const char *coco__sq_placeholder(const char *type)
{
    if (sqlite3_stricmp(type, "INTEGER") == 0 || sqlite3_stricmp(type, "REAL") == 0) return "random()";
    return sqlite3_stricmp(type, "BLOB") == 0 ? "randomblob(16)" : "hex(randomblob(16))";
}

/* The statement by which a row lets go of its unique values; NULL in *st where no unique index has columns of ours. */
static coco_status coco__sq_let_go_prepare(coco__sq_table *t, sqlite3_stmt **st, coco_err *err)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    const coco_schema *s = &t->rows.decl.schema;
    const char *table = t->rows.table;
    sqlite3_stmt *unique;
    bool shadowed, any = false;
    int rc;
    coco_status status = coco__sq_shadowed(t->db, table, &shadowed, err);
    const char *prefix = status == COCO_OK && shadowed ? COCO__SQ_SHADOW : "";

    *st = NULL;
    sqlite3_str_appendf(sql, "UPDATE \"%w%w\"", prefix, table);
    if (status == COCO_OK)
        status = coco__sq_prepare(t->db, &unique, table, err, "SELECT DISTINCT i.name FROM "
                                  "pragma_index_list('%q%q') l, pragma_index_info(l.name) i WHERE l.\"unique\" AND "
                                  "l.origin <> 'pk'", prefix, table);
    if (status == COCO_OK) {
        while ((rc = sqlite3_step(unique)) == SQLITE_ROW) {
            const char *name = (const char *)sqlite3_column_text(unique, 0);
            size_t i = name ? coco_schema_find(s, name) : s->n;
            if (i == s->n || s->columns[i].key) continue;
            sqlite3_str_appendf(sql, "%s\"%w\" = %s", any ? ", " : " SET ", name,
                                coco__sq_placeholder(coco__sq_type(&s->columns[i])));
            any = true;
        }
        status = coco__sq_done(t->db, unique, rc, table, err);
    }
    coco__sq_where_key(sql, s);
    char *text = sqlite3_str_finish(sql);
    if (status == COCO_OK && any) status = coco__sq_prepare_kept(t->db, text, table, st, err);
    else sqlite3_free(text);
    return status;
}

/* All clashing rows of one table let go. */
static coco_status coco__sq_let_go(coco__sq_table *t, coco__sq_clashes *c, coco_err *err)
{
    sqlite3_stmt *st;
    coco_status rc = coco__sq_let_go_prepare(t, &st, err);

    for (size_t i = 0; rc == COCO_OK && st && i < c->n; i++) {
        if (coco_target_self(c->v[i]->target) != t) continue;
        rc = coco__sq_bind_key(st, c->v[i]->key) == SQLITE_OK ? coco__sq_step(t, st, c->v[i], err)
                                                              : coco__sq_row_error(t, c->v[i], err);
    }
    sqlite3_finalize(st);
    return rc;
}

/* Tries those that were set aside again, and keeps those that still clash. */
static coco_status coco__sq_clashes_again(coco__sq_clashes *c, coco_err *err)
{
    size_t kept = 0;
    bool clash;

    for (size_t i = 0; i < c->n; i++) {
        coco__sq_table *t = coco_target_self(c->v[i]->target);
        COCO_TRY(coco__sq_table_ready(t, err));
        COCO_TRY(coco__sq_upsert(t, c->v[i], &clash, err));
        if (clash) c->v[kept++] = c->v[i];
    }
    c->n = kept;
    return COCO_OK;
}

/* First without force: most clashes are with a row that came later in the batch and has moved on by now. */
static coco_status coco__sq_clashes_end(coco__sq_clashes *c, coco_err *err)
{
    if (c->n) COCO_TRY(coco__sq_clashes_again(c, err));
    for (size_t i = 0; i < c->n; i++) {
        coco__sq_table *t = coco_target_self(c->v[i]->target);
        bool first = true;
        for (size_t j = 0; j < i && first; j++) first = coco_target_self(c->v[j]->target) != t;
        if (first) COCO_TRY(coco__sq_let_go(t, c, err));
    }
    for (size_t i = 0; i < c->n; i++) COCO_TRY(coco__sq_upsert(coco_target_self(c->v[i]->target), c->v[i], NULL, err));
    return COCO_OK;
}
