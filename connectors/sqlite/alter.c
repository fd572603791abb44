/* alter.c - part of sqlite.c: making, altering, rebuilding and dropping tables. The real table is looked at, whatever
 * the records say, so that every step converges on whatever is there.
 *
 * Three ways lead from a table to what is declared:
 *   1. In place: nullable columns are added.
 *   2. By a copy, within one transaction: any other change that keeps the rows. The copy gets the new columns, the old
 *      rows with their rowids, others' columns, and then the name; indexes and triggers are made again from their SQL.
 *   3. By a shadow: a change that voids the rows. A new table, coco_shadow_NAME, takes all rows that are declared from
 *      now on; the end of the first whole update puts it in the old one's place (coco__sq_finish); a vec0 table, by a
 *      copy. That there is a shadow stands in the file alone, so a crash at any point leaves the old table or the new.
 */

/* ---- By a copy --------------------------------------------------------------------------------------------------- */

/* What stands in a required column of rows that had nothing for it. */
static const char *coco__sq_zero(const coco_column *c)
{
    switch (c->type) {
    case COCO_BOOL_T: case COCO_INT_T: return "0";
    case COCO_DOUBLE_T: return "0.0";
    case COCO_BYTES_T: case COCO_VECTOR_T: case COCO_HALF_T: return "x''";
    default: return "''";
    }
}

/* The expression over the old table that gives the new column. */
static void coco__sq_copy_expr(sqlite3_str *sql, const coco_column *c, const coco__sq_column *old)
{
    bool fill = coco__sq_required(c) && (!old || !old->notnull) && !c->key;

    if (!old) {
        sqlite3_str_appendall(sql, coco__sq_required(c) ? coco__sq_zero(c) : "NULL");
        return;
    }
    if (fill) sqlite3_str_appendall(sql, "coalesce(");
    if (sqlite3_stricmp(old->type, coco__sq_type(c)) != 0)
        sqlite3_str_appendf(sql, "CAST(\"%w\" AS %s)", old->name, coco__sq_type(c));
    else sqlite3_str_appendf(sql, "\"%w\"", old->name);
    if (fill) sqlite3_str_appendf(sql, ", %s)", coco__sq_zero(c));
}

/* Rowids are copied where no key column stands for them: full-text indexes refer to rows by them. */
static char *coco__sq_copy_sql(const char *table, const coco__sq_want *want, const coco__sq_shape *shape)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    const coco_schema *s = &want->decl.schema;
    bool rowid = !shape->without_rowid && !coco__sq_rowid_column(&want->decl);

    sqlite3_str_appendf(sql, "INSERT INTO \"" COCO__SQ_COPY "%w\" (%s", table, rowid ? "rowid, " : "");
    for (size_t i = 0; i < s->n; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? ", " : "", s->columns[i].name);
    for (size_t i = 0; i < shape->n; i++)
        if (coco__sq_others(&shape->columns[i], want)) sqlite3_str_appendf(sql, ", \"%w\"", shape->columns[i].name);
    sqlite3_str_appendf(sql, ") SELECT %s", rowid ? "rowid, " : "");
    for (size_t i = 0; i < s->n; i++) {
        if (i) sqlite3_str_appendall(sql, ", ");
        coco__sq_copy_expr(sql, &s->columns[i], coco__sq_shape_column(shape, s->columns[i].name));
    }
    for (size_t i = 0; i < shape->n; i++)
        if (coco__sq_others(&shape->columns[i], want)) sqlite3_str_appendf(sql, ", \"%w\"", shape->columns[i].name);
    sqlite3_str_appendf(sql, " FROM \"%w\"", table);
    return sqlite3_str_finish(sql);
}

/* An index or trigger, to be made again. */
typedef struct coco__sq_again {
    char *name, *sql;
    bool index;
} coco__sq_again;

static void coco__sq_again_free(coco__sq_again *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sqlite3_free(v[i].name);
        sqlite3_free(v[i].sql);
    }
    sqlite3_free(v);
}

static coco_status coco__sq_again_read(coco_sqlite *s, const char *table, coco__sq_again **v, size_t *n, coco_err *err)
{
    sqlite3_stmt *st;
    int rc;

    *v = NULL;
    *n = 0;
    COCO_TRY(coco__sq_prepare(s, &st, table, err, "SELECT name, sql, type = 'index' FROM sqlite_schema WHERE "
                              "tbl_name = %Q COLLATE NOCASE AND sql IS NOT NULL AND type IN ('index', 'trigger')",
                              table));
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        coco__sq_again *more = sqlite3_realloc64(*v, (*n + 1) * sizeof *more);
        if (!more) break;
        *v = more;
        more += (*n)++;
        *more = (coco__sq_again){ .index = sqlite3_column_int(st, 2) };
        if (!coco__sq_text(st, 0, &more->name) || !coco__sq_text(st, 1, &more->sql)) break;
    }
    if (rc != SQLITE_ROW) return coco__sq_done(s, st, rc, table, err);
    sqlite3_finalize(st);
    return coco__sq_oom(err);
}

/* Does an index stand on a column that goes? It goes with it. */
static coco_status coco__sq_index_goes(coco_sqlite *s, const char *index, const coco__sq_want *want, bool *goes,
                                       coco_err *err)
{
    sqlite3_stmt *st;
    int rc;

    *goes = false;
    COCO_TRY(coco__sq_prepare(s, &st, index, err, "SELECT name FROM pragma_index_info(%Q)", index));
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(st, 0);
        for (size_t i = 0; name && i < want->ndrops; i++) *goes |= sqlite3_stricmp(name, want->drops[i]) == 0;
    }
    return coco__sq_done(s, st, rc, index, err);
}

/* Leaves out of the list the indexes that go; tells so. */
static coco_status coco__sq_again_sift(coco_sqlite *s, coco_action *a, const coco__sq_want *want, coco__sq_again *v,
                                       size_t n, coco_err *err)
{
    bool goes;

    for (size_t i = 0; i < n; i++) {
        if (!v[i].index) continue;
        COCO_TRY(coco__sq_index_goes(s, v[i].name, want, &goes, err));
        if (!goes) continue;
        coco_action_note(a, "%s: the index %s went with a column that is no longer declared", s->path, v[i].name);
        sqlite3_free(v[i].sql);
        v[i].sql = NULL;
    }
    return COCO_OK;
}

/* Copies the table into one as declared, which takes its name (SQLite's own procedure for such changes; with the old
 * meaning of renaming, so that views and triggers which name the table stay as they are). */
static coco_status coco__sq_copy_steps(coco_sqlite *s, const char *table, const coco__sq_want *want,
                                       const coco__sq_shape *shape, coco_err *err)
{
    char *create = coco__sq_create_sql(COCO__SQ_COPY, table, want, shape);
    char *copy = coco__sq_copy_sql(table, want, shape);
    coco_status rc = coco__sq_run(s, table, err, "DROP TABLE IF EXISTS \"" COCO__SQ_COPY "%w\"", table);

    if (rc == COCO_OK) rc = coco__sq_exec(s, create, table, err);
    if (rc == COCO_OK) rc = coco__sq_exec(s, copy, table, err);
    if (rc == COCO_OK) rc = coco__sq_run(s, table, err, "DROP TABLE \"%w\"", table);
    if (rc == COCO_OK)
        rc = coco__sq_run(s, table, err, "ALTER TABLE \"" COCO__SQ_COPY "%w\" RENAME TO \"%w\"", table, table);
    sqlite3_free(create);
    sqlite3_free(copy);
    return rc;
}

static coco_status coco__sq_copy(coco_sqlite *s, const char *table, coco_action *a, const coco__sq_want *want,
                                 const coco__sq_shape *shape, coco_err *err)
{
    coco__sq_again *v;
    size_t n;
    int legacy = 0;
    coco_status rc;

    for (size_t i = 0; i < shape->n; i++)
        if (shape->columns[i].hidden && coco__sq_others(&shape->columns[i], want))
            return coco_err_set(err, COCO_EFAIL, "%s: %s can't be altered: it has the generated column %s", s->path,
                                table, shape->columns[i].name);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, -1, &legacy);
    rc = coco__sq_again_read(s, table, &v, &n, err);
    if (rc == COCO_OK) rc = coco__sq_again_sift(s, a, want, v, n, err);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, 1, NULL);
    if (rc == COCO_OK) rc = coco__sq_copy_steps(s, table, want, shape, err);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, legacy, NULL);
    for (size_t i = 0; rc == COCO_OK && i < n; i++)
        if (v[i].sql) rc = coco__sq_exec(s, v[i].sql, table, err);
    coco__sq_again_free(v, n);
    return rc;
}

/* ---- In place ---------------------------------------------------------------------------------------------------- */

/* Does anything differ that ADD COLUMN can't set right? */
static bool coco__sq_needs_copy(const coco__sq_want *want, const coco__sq_shape *shape)
{
    const coco_schema *s = &want->decl.schema;

    for (size_t i = 0; i < want->ndrops; i++)
        if (coco__sq_shape_column(shape, want->drops[i])) return true;
    for (size_t i = 0; i < s->n; i++) {
        const coco_column *c = &s->columns[i];
        const coco__sq_column *is = coco__sq_shape_column(shape, c->name);
        if (!is && coco__sq_required(c)) return true;
        if (!is) continue;
        if (sqlite3_stricmp(is->type, coco__sq_type(c)) != 0) return true;
        if (!c->key && is->notnull != coco__sq_required(c)) return true;
    }
    return false;
}

/* Brings a table that is there to its declaration, its rows kept. */
static coco_status coco__sq_evolve(coco_sqlite *s, const char *table, coco_action *a, const coco__sq_shape *shape,
                                   coco_err *err)
{
    const coco__sq_want *want = a->value;
    const coco_schema *schema = &want->decl.schema;

    if (!coco__sq_same_key(shape, schema))
        return coco_err_set(err, COCO_EFAIL, "%s: the table %s is there with another primary key: drop it, or declare "
                            "another name", s->path, table);
    if (coco__sq_needs_copy(want, shape)) return coco__sq_copy(s, table, a, want, shape, err);
    for (size_t i = 0; i < schema->n; i++)
        if (!coco__sq_shape_column(shape, schema->columns[i].name))
            COCO_TRY(coco__sq_run(s, table, err, "ALTER TABLE \"%w\" ADD COLUMN \"%w\" %s", table,
                                  schema->columns[i].name, coco__sq_type(&schema->columns[i])));
    return COCO_OK;
}

/* The name takes a prefix for a shadow. */
static coco_status coco__sq_create(coco_sqlite *s, const char *prefix, const char *table, const coco__sq_want *want,
                                   coco_err *err)
{
    bool vec0 = coco__sq_flags(&want->decl) & COCO__SQ_VEC0;
    char *sql = vec0 ? coco__sq_create_vec0(prefix, table, &want->decl)
                     : coco__sq_create_sql(prefix, table, want, NULL);
    coco_status rc = coco__sq_exec(s, sql, table, err);

    sqlite3_free(sql);
    return rc;
}

/* ---- By a shadow ------------------------------------------------------------------------------------------------- */

/* A shadow that an earlier update left holds rows under a declaration that is void: it goes, with what waits for it. */
static coco_status coco__sq_shadow_begin(coco_sqlite *s, const char *table, const coco__sq_want *want, coco_err *err)
{
    const char *what[3] = { table, NULL, NULL };

    COCO_TRY(coco__sq_run(s, table, err, "DROP TABLE IF EXISTS \"" COCO__SQ_SHADOW "%w\"", table));
    COCO_TRY(coco__sq_unwait(s, what, err));
    return coco__sq_create(s, COCO__SQ_SHADOW, table, want, err);
}

/* Drops the table with all that it has; its shadow is left. */
static coco_status coco__sq_drop_real(coco_sqlite *s, const char *table, coco_err *err)
{
    const char *what[3] = { table, NULL, NULL };

    COCO_TRY(coco__sq_take_down(s, what, err));
    return coco__sq_run(s, table, err, "DROP TABLE IF EXISTS \"%w\"", table);
}

/* A virtual table can't be renamed: it is made again under the name and takes the shadow's rows. rest: its SQL behind
 * the name; columns: a list of them. */
static coco_status coco__sq_shadow_pour(coco_sqlite *s, const char *table, const char *rest, const char *columns,
                                        coco_err *err)
{
    COCO_TRY(coco__sq_run(s, table, err, "CREATE VIRTUAL TABLE \"%w\"%s", table, rest));
    COCO_TRY(coco__sq_run(s, table, err, "INSERT INTO \"%w\" (%s) SELECT %s FROM \"" COCO__SQ_SHADOW "%w\"", table,
                          columns, columns, table));
    return coco__sq_run(s, table, err, "DROP TABLE \"" COCO__SQ_SHADOW "%w\"", table);
}

/* Gives the shadow the table's name. head: how the SQL of a virtual table begins. */
static coco_status coco__sq_shadow_named(coco_sqlite *s, const char *table, const char *head, coco_err *err)
{
    char *rest = NULL, *columns = NULL;
    sqlite3_stmt *st;
    coco_status status;

    COCO_TRY(coco__sq_prepare(s, &st, table, err, "SELECT substr(sql, %d), (SELECT group_concat('\"' || replace(name, "
                              "'\"', '\"\"') || '\"') FROM pragma_table_info('" COCO__SQ_SHADOW "%q')) FROM "
                              "sqlite_schema WHERE substr(sql, 1, %d) = %Q", (int)strlen(head) + 1, table,
                              (int)strlen(head), head));
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW && (!coco__sq_text(st, 0, &rest) || !coco__sq_text(st, 1, &columns))) rc = SQLITE_NOMEM;
    status = coco__sq_done(s, st, rc, table, err);
    if (status == COCO_OK && rest) status = coco__sq_shadow_pour(s, table, rest, columns, err);
    else if (status == COCO_OK)
        status = coco__sq_run(s, table, err, "ALTER TABLE \"" COCO__SQ_SHADOW "%w\" RENAME TO \"%w\"", table, table);
    sqlite3_free(rest);
    sqlite3_free(columns);
    return status;
}

static coco_status coco__sq_shadow_name(coco_sqlite *s, const char *table, coco_err *err)
{
    char *head = sqlite3_mprintf("CREATE VIRTUAL TABLE \"" COCO__SQ_SHADOW "%w\"", table);
    coco_status rc = head ? coco__sq_shadow_named(s, table, head, err) : coco__sq_oom(err);

    sqlite3_free(head);
    return rc;
}

/* Puts the shadow, which is filled, in the table's place. */
static coco_status coco__sq_shadow_end(coco_sqlite *s, const char *table, coco_err *err)
{
    int legacy = 0;
    coco_status rc;

    sqlite3_db_config(s->db, SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, -1, &legacy);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, 1, NULL);
    rc = coco__sq_drop_real(s, table, err);
    if (rc == COCO_OK) rc = coco__sq_shadow_name(s, table, err);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, legacy, NULL);
    if (rc == COCO_OK) rc = coco__sq_set_up_waiting(s, table, err);
    return rc == COCO_OK ? coco__sq_book_tidy(s, err) : rc;
}

/* ---- Actions ----------------------------------------------------------------------------------------------------- */

/* Makes the table what is declared, from whatever is there. */
static coco_status coco__sq_set_table(coco_sqlite *s, const char *table, coco_action *a, coco_err *err)
{
    const coco__sq_want *want = a->value;
    coco__sq_shape shape = { 0 };
    char *shadow = sqlite3_mprintf(COCO__SQ_SHADOW "%s", table);
    bool shadowed = false, has = false;
    coco_status rc = shadow ? coco__sq_has(s, shadow, &shadowed, err) : coco__sq_oom(err);

    if (rc == COCO_OK) rc = coco__sq_has(s, table, &has, err);
    if (rc == COCO_OK && want->destroy && has) {
        rc = coco__sq_shadow_begin(s, table, want, err);
    } else if (rc == COCO_OK && !has && !(shadowed && !want->destroy)) {
        rc = coco__sq_run(s, table, err, "DROP TABLE IF EXISTS \"%w\"", shadow);
        if (rc == COCO_OK) rc = coco__sq_create(s, "", table, want, err);
    } else if (rc == COCO_OK && !(coco__sq_flags(&want->decl) & COCO__SQ_VEC0)) { /* which can't be altered */
        rc = coco__sq_shape_read(s, shadowed ? shadow : table, &shape, err);
        if (rc == COCO_OK) rc = coco__sq_evolve(s, shadowed ? shadow : table, a, &shape, err);
    }
    coco__sq_shape_free(&shape);
    sqlite3_free(shadow);
    return rc;
}

/* A shadow may be all that there is, if somebody dropped the table itself. */
static coco_status coco__sq_drop_table(coco_sqlite *s, const char *table, coco_err *err)
{
    const char *what[3] = { table, NULL, NULL };

    COCO_TRY(coco__sq_unwait(s, what, err));
    COCO_TRY(coco__sq_run(s, table, err, "DROP TABLE IF EXISTS \"" COCO__SQ_SHADOW "%w\"", table));
    COCO_TRY(coco__sq_drop_real(s, table, err));
    return coco__sq_book_tidy(s, err);
}
