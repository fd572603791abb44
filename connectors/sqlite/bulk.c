/* bulk.c - part of sqlite.c: many new rows by one statement.
 *
 * SQLite takes them from a table-valued function of ours, by INSERT … SELECT: that costs it a third less than to have
 * each bound, stepped and reset. What a row comes to is what it would come to alone:
 *   1. OR FAIL leaves in what went in before a row that can't, and needs no journal of the statement.
 *   2. The function stands at that row. It goes alone, by the upsert; the rows behind it follow.
 *   3. Triggers and foreign keys would have SQLite take in all rows before it writes the first one: there each row goes
 *      alone, as it does where rows that had gone in turn out to be undone. */

enum { COCO__SQ_BULK = 32,        /* new rows one after the other that are worth it */
       COCO__SQ_BULK_COLUMNS = 64, /* of the function; a table with more has its rows go alone */
       COCO__SQ_BULK_MISSES = 8 };  /* rows that can't go in: behind these all go alone */

static const char coco__sq_bulk_type[] = "coco rows"; /* of the pointer that the function is given */

/* What the function gives: the argument of a call, which no text of SQL can make. */
typedef struct coco__sq_bulk {
    coco_action **rows;
    size_t n, at;
} coco__sq_bulk;

/* ---- The function ------------------------------------------------------------------------------------------------ */

typedef struct coco__sq_cursor {
    sqlite3_vtab_cursor base; /* first: it is what SQLite knows */
    coco__sq_bulk *bulk;
    coco_str rest; /* of the row at hand: its cells from … */
    int next;      /* … this column on */
} coco__sq_cursor;

static int coco__sq_vtab_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
                                 char **error)
{
    sqlite3_str *sql = sqlite3_str_new(db);
    char *text;
    int rc;

    (void)aux, (void)argc, (void)argv, (void)error;
    sqlite3_str_appendall(sql, "CREATE TABLE x (");
    for (int i = 0; i < COCO__SQ_BULK_COLUMNS; i++) sqlite3_str_appendf(sql, "c%d, ", i);
    sqlite3_str_appendall(sql, "rows HIDDEN)");
    text = sqlite3_str_finish(sql);
    rc = text ? sqlite3_declare_vtab(db, text) : SQLITE_NOMEM;
    sqlite3_free(text);
    if (rc == SQLITE_OK && !(*out = sqlite3_malloc(sizeof **out))) rc = SQLITE_NOMEM;
    if (rc == SQLITE_OK) **out = (sqlite3_vtab){ 0 };
    return rc;
}

static int coco__sq_vtab_disconnect(sqlite3_vtab *table)
{
    sqlite3_free(table);
    return SQLITE_OK;
}

/* The pointer is the one constraint; a plan without it is none. */
static int coco__sq_vtab_best(sqlite3_vtab *table, sqlite3_index_info *info)
{
    (void)table;
    for (int i = 0; i < info->nConstraint; i++) {
        if (info->aConstraint[i].iColumn != COCO__SQ_BULK_COLUMNS || !info->aConstraint[i].usable) continue;
        info->aConstraintUsage[i].argvIndex = 1;
        info->aConstraintUsage[i].omit = 1;
        return SQLITE_OK;
    }
    return SQLITE_CONSTRAINT;
}

static int coco__sq_vtab_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
    coco__sq_cursor *c = sqlite3_malloc(sizeof *c);

    (void)table;
    if (!c) return SQLITE_NOMEM;
    memset(c, 0, sizeof *c);
    *out = &c->base;
    return SQLITE_OK;
}

static int coco__sq_vtab_close(sqlite3_vtab_cursor *cursor)
{
    sqlite3_free(cursor);
    return SQLITE_OK;
}

static int coco__sq_vtab_eof(sqlite3_vtab_cursor *cursor)
{
    const coco__sq_bulk *bulk = ((coco__sq_cursor *)cursor)->bulk;

    return !bulk || bulk->at >= bulk->n;
}

static int coco__sq_vtab_row(coco__sq_cursor *c)
{
    c->next = 0;
    if (!coco__sq_vtab_eof(&c->base)) c->rest = coco_row_of(c->bulk->rows[c->bulk->at]);
    return SQLITE_OK;
}

static int coco__sq_vtab_filter(sqlite3_vtab_cursor *cursor, int plan, const char *text, int n, sqlite3_value **args)
{
    coco__sq_cursor *c = (coco__sq_cursor *)cursor;

    (void)plan, (void)text;
    c->bulk = n ? sqlite3_value_pointer(args[0], coco__sq_bulk_type) : NULL;
    return coco__sq_vtab_row(c);
}

static int coco__sq_vtab_next(sqlite3_vtab_cursor *cursor)
{
    coco__sq_cursor *c = (coco__sq_cursor *)cursor;

    c->bulk->at++;
    return coco__sq_vtab_row(c);
}

static int coco__sq_vtab_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid)
{
    *rowid = (sqlite3_int64)((coco__sq_cursor *)cursor)->bulk->at;
    return SQLITE_OK;
}

/* As coco__sq_bind_cell has it. Columns are asked for in their order, as a rule. A NaN, which would become null, fails
 * here and is named when its row goes alone. */
static int coco__sq_vtab_column(sqlite3_vtab_cursor *cursor, sqlite3_context *cx, int i)
{
    coco__sq_cursor *c = (coco__sq_cursor *)cursor;
    coco_cell cell = { .null = true };
    char uuid[37];

    if (i < c->next) coco__sq_vtab_row(c);
    while (c->next <= i && coco_cell_next(&c->rest, &cell)) c->next++;
    if (c->next <= i || cell.null) return SQLITE_OK; /* null, that is */
    switch (cell.type) {
    case COCO_BOOL_T: sqlite3_result_int(cx, cell.as.boolean); break;
    case COCO_INT_T: sqlite3_result_int64(cx, cell.as.integer); break;
    case COCO_DOUBLE_T:
        if (isnan(cell.as.real)) return SQLITE_ERROR;
        sqlite3_result_double(cx, cell.as.real);
        break;
    case COCO_UUID_T:
        coco_uuid_print((const uint8_t *)cell.s.p, uuid);
        sqlite3_result_text(cx, uuid, 36, SQLITE_TRANSIENT);
        break;
    case COCO_BYTES_T: case COCO_VECTOR_T: case COCO_HALF_T:
        sqlite3_result_blob64(cx, cell.s.n ? cell.s.p : "", cell.s.n, SQLITE_STATIC);
        break;
    default: sqlite3_result_text64(cx, cell.s.n ? cell.s.p : "", cell.s.n, SQLITE_STATIC, SQLITE_UTF8);
    }
    return SQLITE_OK;
}

/* Without xCreate: it is there by its name, and can't be made under another. */
static const sqlite3_module coco__sq_bulk_module = {
    .xConnect = coco__sq_vtab_connect, .xBestIndex = coco__sq_vtab_best, .xDisconnect = coco__sq_vtab_disconnect,
    .xOpen = coco__sq_vtab_open, .xClose = coco__sq_vtab_close, .xFilter = coco__sq_vtab_filter,
    .xNext = coco__sq_vtab_next, .xEof = coco__sq_vtab_eof, .xColumn = coco__sq_vtab_column,
    .xRowid = coco__sq_vtab_rowid,
};

/* ---- The statement ----------------------------------------------------------------------------------------------- */

/* Has each row its statement to itself whatever we do: triggers of anybody's, foreign keys that are enforced? */
static bool coco__sq_alone(coco__sq_table *t, const char *prefix)
{
    sqlite3_stmt *st;
    int enforced = 1, rc;

    if (sqlite3_db_config(t->db->db, SQLITE_DBCONFIG_ENABLE_FKEY, -1, &enforced) != SQLITE_OK || enforced) return true;
    if (coco__sq_prepare(t->db, &st, NULL, NULL, "SELECT 1 FROM (SELECT type, tbl_name FROM sqlite_schema UNION ALL "
                         "SELECT type, tbl_name FROM sqlite_temp_schema) WHERE type = 'trigger' AND "
                         "tbl_name = '%q%q' COLLATE NOCASE", prefix, t->rows.table) != COCO_OK)
        return true;
    rc = sqlite3_step(st);
    sqlite3_finalize(st);
    return rc != SQLITE_DONE;
}

static bool coco__sq_bulk_function(coco_sqlite *s)
{
    if (!s->bulk) s->bulk = sqlite3_create_module(s->db, "coco_rows", &coco__sq_bulk_module, NULL) == SQLITE_OK;
    return s->bulk;
}

/* Prepares the statement, or leaves t->bulk NULL: then the rows go alone, which is never wrong. */
static void coco__sq_bulk_prepare(coco__sq_table *t)
{
    const coco_schema *s = &t->rows.decl.schema;
    bool shadowed;

    if (s->n > COCO__SQ_BULK_COLUMNS || coco__sq_flags(&t->rows.decl) & COCO__SQ_VEC0) return;
    if (coco__sq_shadowed(t->db, t->rows.table, &shadowed, NULL) != COCO_OK) return;
    const char *prefix = shadowed ? COCO__SQ_SHADOW : "";
    if (coco__sq_alone(t, prefix) || !coco__sq_bulk_function(t->db)) return;
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendf(sql, "INSERT OR FAIL INTO \"%w%w\" (", prefix, t->rows.table);
    coco__sq_names(sql, s, -1, ", ", "\"%w\"");
    sqlite3_str_appendall(sql, ") SELECT ");
    for (size_t i = 0; i < s->n; i++) sqlite3_str_appendf(sql, "%sc%d", i ? ", " : "", (int)i);
    sqlite3_str_appendall(sql, " FROM coco_rows(?1)");
    (void)coco__sq_prepare_kept(t->db, sqlite3_str_finish(sql), NULL, &t->bulk, NULL);
}

static bool coco__sq_bulk_ready(coco__sq_table *t)
{
    if (!t->bulk && !t->bulk_tried) coco__sq_bulk_prepare(t);
    t->bulk_tried = true;
    return t->bulk != NULL;
}

/* ---- Rows of a batch --------------------------------------------------------------------------------------------- */

static coco_status coco__sq_row(coco__sq_table *t, coco_action *a, coco__sq_clashes *clashes, coco_err *err)
{
    bool clash;

    if (a->kind == COCO_DELETE) return coco__sq_remove(t, a, err);
    COCO_TRY(coco__sq_upsert(t, a, &clash, err));
    return clash ? coco__sq_clash_add(clashes, a, err) : COCO_OK;
}

/* Runs the statement from where the function stands, to the end or to a row that can't go in. *in: the rows before are
 * in; else what stopped it has undone them, or may have, and the function stands where it began. */
static coco_status coco__sq_bulk_step(coco__sq_table *t, coco__sq_bulk *bulk, bool *in, coco_err *err)
{
    size_t from = bulk->at;
    int rc = sqlite3_step(t->bulk);
    coco_status status = COCO_OK;

    *in = rc == SQLITE_DONE || (size_t)sqlite3_changes(t->db->db) == bulk->at - from;
    if (!*in) bulk->at = from;
    if (rc != SQLITE_DONE && sqlite3_get_autocommit(t->db->db))
        status = coco__sq_row_error(t, bulk->rows[bulk->at < bulk->n ? bulk->at : from], err);
    sqlite3_reset(t->bulk);
    return status;
}

static coco_status coco__sq_bulk_rows(coco__sq_table *t, coco_action **rows, size_t n, coco__sq_clashes *clashes,
                                      coco_err *err)
{
    coco__sq_bulk bulk = { rows, n, 0 };
    bool in = sqlite3_bind_pointer(t->bulk, 1, &bulk, coco__sq_bulk_type, NULL) == SQLITE_OK;
    coco_status rc = COCO_OK;

    for (size_t misses = 0; rc == COCO_OK && bulk.at < n; misses++) {
        if (in && misses < COCO__SQ_BULK_MISSES) rc = coco__sq_bulk_step(t, &bulk, &in, err);
        if (rc == COCO_OK && bulk.at < n) rc = coco__sq_row(t, rows[bulk.at++], clashes, err);
    }
    sqlite3_clear_bindings(t->bulk);
    return rc;
}

/* How many new rows of one table stand first. */
static size_t coco__sq_many(coco_action *const *actions, size_t n)
{
    size_t many = 0;

    while (many < n && actions[many]->kind == COCO_INSERT && actions[many]->target == actions[0]->target) many++;
    return many;
}

/* Writes the rows of a batch: deletes come first, as the engine orders them. */
static coco_status coco__sq_rows(coco_action **actions, size_t n, coco_err *err)
{
    coco__sq_clashes clashes = { 0 };
    coco_status rc = COCO_OK;

    for (size_t i = 0, done, alone = 0; i < n && rc == COCO_OK; i += done) {
        coco__sq_table *t = coco_target_self(actions[i]->target);
        done = 1;
        if (actions[i]->container || t->rows.system != coco__sq_is_rows) continue;
        if (!t->upsert) rc = coco__sq_table_ready(t, err);
        size_t many = rc == COCO_OK && i >= alone ? coco__sq_many(actions + i, n - i) : 0;
        if (many >= COCO__SQ_BULK && coco__sq_bulk_ready(t)) {
            rc = coco__sq_bulk_rows(t, actions + i, done = many, &clashes, err);
        } else {
            if (many) alone = i + many;
            if (rc == COCO_OK) rc = coco__sq_row(t, actions[i], &clashes, err);
        }
    }
    if (rc == COCO_OK) rc = coco__sq_clashes_end(&clashes, err);
    sqlite3_free(clashes.v);
    return rc;
}
