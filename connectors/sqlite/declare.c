/* declare.c - part of sqlite.c: what a program calls to declare tables and what they have. What can be wrong with names
 * and options is found here, before anything is written; the SQL of attachments is made here. */

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

/* A name that sqlite-vec reads without quotes. */
static bool coco__sq_plain(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

    return n > 0 && name[n] == '\0' && (name[0] < '0' || name[0] > '9');
}

/* Whether a list of names with commas has the name; spaces around names don't count. */
static bool coco__sq_listed(const char *list, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',') {
        p += strspn(p, " ");
        size_t len = strcspn(p, ",");
        while (len && p[len - 1] == ' ') len--;
        if (len == n && memcmp(p, name, n) == 0) return true;
    }
    return false;
}

/* The part that a column has in a vec0 table; 0 with *why set: none. */
static char coco__sq_role(const coco_column *c, const coco_sqlite_table_opts *o, const char **why)
{
    const char *name = coco_column_name(c);

    *why = !coco__sq_plain(name)                                      ? "has a name that isn't plain"
           : c->key && c->type != COCO_INT_T                          ? "is a key and no int"
           : c->type == COCO_HALF_T                                   ? "is a half vector"
           : c->type == COCO_VECTOR_T && !c->dim && !c->dim_from      ? "is a vector without a dimension"
           : c->key && coco__sq_listed(o->partition, name)            ? "is key and partition key"
                                                                      : NULL;
    if (*why) return 0;
    if (c->key) return 'k';
    if (c->type == COCO_VECTOR_T) return 'v';
    return coco__sq_listed(o->partition, name) ? 'p' : coco__sq_listed(o->auxiliary, name) ? '+' : 'm';
}

/* What is special in a vec0 table stands in the record with the rest, so that a change of it is a change of the table.
 * */
static coco_status coco__sq_vec0_extra(coco_ctx *cx, const char *table, const coco_schema *s,
                                       const coco_sqlite_table_opts *o, coco_str *extra)
{
    size_t metric = o->metric ? strlen(o->metric) : 0;
    char *p = coco_alloc(cx, 1 + s->n + metric + 1);
    const char *why;

    if (!p) return COCO_ENOMEM;
    if (o->metric && strcmp(o->metric, "cosine") != 0 && strcmp(o->metric, "l2") != 0 && strcmp(o->metric, "l1") != 0)
        return coco_fail(cx, COCO_EINVAL, "table %s: no metric is called %s", table, o->metric);
    if (coco_schema_nkeys(s) != 1) return coco_fail(cx, COCO_EINVAL, "table %s: vec0 takes one key column", table);
    p[0] = '0' + COCO__SQ_VEC0;
    for (size_t i = 0; i < s->n; i++)
        if (!(p[1 + i] = coco__sq_role(&s->columns[i], o, &why)))
            return coco_fail(cx, COCO_EINVAL, "table %s: vec0: the column %s %s", table,
                             coco_column_name(&s->columns[i]), why);
    if (metric) memcpy(p + 1 + s->n, o->metric, metric);
    *extra = (coco_str){ p, 1 + s->n + metric };
    return COCO_OK;
}

/* The options that are part of the declaration; what can't be is refused here, before anything is written. */
static coco_status coco__sq_extra(coco_ctx *cx, const char *table, const coco_schema *s,
                                  const coco_sqlite_table_opts *o, coco_str *extra)
{
    int flags = (o->strict ? COCO__SQ_STRICT : 0) | (o->without_rowid ? COCO__SQ_WITHOUT_ROWID : 0);

    *extra = COCO_STR("");
    COCO_TRY(coco_schema_check(cx, table, s));
    if (sqlite3_strnicmp(table, "coco_", 5) == 0 || sqlite3_strnicmp(table, "sqlite_", 7) == 0)
        return coco_fail(cx, COCO_EINVAL, "a table can't be called %.100s: such names are reserved", table);
    if (o->vec0 && flags) return coco_fail(cx, COCO_EINVAL, "table %s: vec0 goes with neither strict nor "
                                           "without_rowid", table);
    if (o->vec0) return coco__sq_vec0_extra(cx, table, s, o, extra);
    if (flags) *extra = coco_format(cx, "%d", flags);
    return coco_error(cx);
}

/* The identity of a database, and the root target for it; NULL with the error kept or set. */
static coco_status coco__sq_root_of(coco_ctx *cx, coco_value db, coco_target **root)
{
    const coco_key *key = coco_context_ref_of(db);
    const char *path;

    *root = NULL;
    if (key) {
        (void)coco_context(cx, key); /* a dependency, if it is one */
        COCO_TRY(coco_error(cx));
        db = coco_symbol(key->name);
    } else {
        COCO_TRY(coco__sq_path(cx, db, "the database", &path));
    }
    *root = coco_target_new(cx, "sqlite", db, NULL);
    return *root ? COCO_OK : coco_error(cx);
}

/* What one call declares. */
typedef struct coco__sq_call {
    coco_value db;
    const char *name;
    const coco_schema *schema;
    const coco_sqlite_table_opts *opts;
    bool mount; /* in a component of its own */
} coco__sq_call;

/* The declaration's bytes are the value, and will be the record: one thing to compare. */
static coco_status coco__sq_declare(coco_ctx *cx, const coco__sq_call *c, coco_table **table)
{
    static const coco_sqlite_table_opts defaults;
    const coco_sqlite_table_opts *o = c->opts ? c->opts : &defaults;
    coco_container_opts container = { .title = o->title, .user_managed = o->user_managed };
    coco_str extra, decl;
    coco_target *root, *rows;

    *table = NULL;
    COCO_TRY(coco__sq_extra(cx, c->name, c->schema, o, &extra));
    COCO_TRY(coco_table_declaration(cx, c->name, c->schema, extra, &decl));
    COCO_TRY(coco__sq_root_of(cx, c->db, &root));
    coco_value key = coco_text(c->name), value = coco_bytes(decl.p, decl.n);
    if (c->mount) COCO_TRY(coco_mount_target(cx, root, key, value, &container, &rows));
    else COCO_TRY(coco_declare_container(cx, root, key, value, &container, &rows));
    return coco_table_new(cx, rows, c->schema, decl, table);
}

coco_status coco_sqlite_mount_table(coco_ctx *cx, coco_value db, const char *name, const coco_schema *schema,
                                    const coco_sqlite_table_opts *opts, coco_table **table)
{
    return coco__sq_declare(cx, &(coco__sq_call){ db, name, schema, opts, true }, table);
}

coco_status coco_sqlite_declare_table(coco_ctx *cx, coco_value db, const char *name, const coco_schema *schema,
                                      const coco_sqlite_table_opts *opts, coco_table **table)
{
    return coco__sq_declare(cx, &(coco__sq_call){ db, name, schema, opts, false }, table);
}

/* ---- Attachments ------------------------------------------------------------------------------------------------- */

/* Names one by one, from a list with commas or from parts. */
typedef struct coco__sq_names_of {
    const char *list;
    const char *const *parts;
} coco__sq_names_of;

/* Copies the next name into cx's memory; NULL at the end, or with the error kept. */
static const char *coco__sq_next_name(coco_ctx *cx, coco__sq_names_of *names)
{
    coco_str name;

    if (names->parts) return *names->parts ? *names->parts++ : NULL;
    if (!names->list || !*names->list) return NULL;
    names->list += strspn(names->list, " ");
    name = (coco_str){ names->list, strcspn(names->list, ",") };
    names->list += name.n + (names->list[name.n] == ',');
    while (name.n && name.p[name.n - 1] == ' ') name.n--;
    return coco_copy(cx, name).p;
}

/* Appends the columns, quoted, each behind a text; fails unless the table has them. */
static coco_status coco__sq_put_columns(coco_ctx *cx, sqlite3_str *sql, const coco__sq_table *t,
                                        coco__sq_names_of names, const char *before)
{
    const char *name;
    size_t n = 0;

    while ((name = coco__sq_next_name(cx, &names)) != NULL) {
        if (coco_schema_find(&t->rows.decl.schema, name) == t->rows.decl.schema.n)
            return coco_fail(cx, COCO_EINVAL, "table %s has no column %.100s", t->rows.table, name);
        sqlite3_str_appendf(sql, "%s%s\"%w\"", n++ ? ", " : "", before, name);
    }
    COCO_TRY(coco_error(cx));
    return n ? COCO_OK : coco_fail(cx, COCO_EINVAL, "table %s: no column is named", t->rows.table);
}

/* Declares the two texts under the name; frees them. rc: what came of making them. */
static coco_status coco__sq_attach(coco_ctx *cx, coco_table *table, const char *const kind_and_name[2],
                                   sqlite3_str *const texts[2], coco_status rc)
{
    char *setup = sqlite3_str_finish(texts[0]), *teardown = sqlite3_str_finish(texts[1]);
    coco_value both[2] = { coco_text(setup), coco_text(teardown) };
    coco_target *target;

    if (rc == COCO_OK && !setup) rc = COCO_ENOMEM;
    if (rc == COCO_OK) rc = coco_attachment(cx, coco_table_target(table), kind_and_name[0], &target);
    if (rc == COCO_OK) rc = coco_declare(cx, target, coco_text(kind_and_name[1]), coco_list(both, 2));
    sqlite3_free(setup);
    sqlite3_free(teardown);
    return rc;
}

/* The table, if it is one of ours and the name can be one. */
static coco_status coco__sq_attachable(coco_ctx *cx, coco_table *table, const char *name, coco__sq_table **out)
{
    COCO_TRY(coco_error(cx));
    if (!table) return coco_fail(cx, COCO_EINVAL, "%s is declared for no table", name ? name : "an index");
    *out = coco_target_self(coco_table_target(table));
    if ((*out)->rows.system != coco__sq_is_rows)
        return coco_fail(cx, COCO_EINVAL, "table %s is not one of SQLite", (*out)->rows.table);
    if (!name || !*name) return coco_fail(cx, COCO_EINVAL, "table %s: an index has no name", (*out)->rows.table);
    if (coco__sq_flags(&(*out)->rows.decl) & COCO__SQ_VEC0)
        return coco_fail(cx, COCO_EINVAL, "table %s is a vec0 table: it can have no %s", (*out)->rows.table, name);
    return COCO_OK;
}

coco_status coco_sqlite_declare_index(coco_ctx *cx, coco_table *table, const char *name, const coco_sqlite_index *index)
{
    coco__sq_table *t;
    sqlite3_str *texts[2];
    coco_status rc;

    COCO_TRY(coco__sq_attachable(cx, table, name, &t));
    texts[0] = sqlite3_str_new(NULL), texts[1] = sqlite3_str_new(NULL);
    sqlite3_str_appendf(texts[0], "CREATE %sINDEX \"%w\" ON \"%w\" (", index->unique ? "UNIQUE " : "", name,
                        t->rows.table);
    rc = coco__sq_put_columns(cx, texts[0], t, (coco__sq_names_of){ index->columns, index->parts }, "");
    sqlite3_str_appendall(texts[0], ")");
    sqlite3_str_appendf(texts[1], "DROP INDEX IF EXISTS \"%w\"", name);
    return coco__sq_attach(cx, table, (const char *const[2]){ "index", name }, texts, rc);
}

/* A trigger that keeps the index in sync: takes the old texts out, puts the new ones in. */
static coco_status coco__sq_fts_trigger(coco_ctx *cx, sqlite3_str *sql, const coco__sq_table *t, const char *name,
                                        const coco_sqlite_fts *fts)
{
    static const char *const events[] = { "INSERT", "DELETE", "UPDATE" };
    const coco_column *key = coco__sq_rowid_column(&t->rows.decl);
    const char *rowid = key ? key->name : "rowid";
    coco__sq_names_of names = { fts->columns, fts->parts };

    for (int i = 0; i < 3; i++) {
        sqlite3_str_appendf(sql, "CREATE TRIGGER \"%w_%s\" AFTER %s ON \"%w\"", name, events[i], events[i],
                            t->rows.table);
        if (i == 2) { /* a row that is written again as it was costs the index nothing */
            sqlite3_str_appendf(sql, " WHEN (old.\"%w\", ", rowid);
            COCO_TRY(coco__sq_put_columns(cx, sql, t, names, "old."));
            sqlite3_str_appendf(sql, ") IS NOT (new.\"%w\", ", rowid);
            COCO_TRY(coco__sq_put_columns(cx, sql, t, names, "new."));
            sqlite3_str_appendall(sql, ")");
        }
        sqlite3_str_appendall(sql, " BEGIN ");
        for (int side = 0; side < 2; side++) { /* 0: the old texts go, 1: the new ones come */
            if (side == i) continue; /* an insert has no old, a delete no new ones */
            sqlite3_str_appendf(sql, "INSERT INTO \"%w\" (rowid, ", name);
            if (side == 0) sqlite3_str_appendf(sql, "\"%w\", ", name);
            COCO_TRY(coco__sq_put_columns(cx, sql, t, names, ""));
            sqlite3_str_appendf(sql, ") VALUES (%s.\"%w\", %s", side ? "new" : "old", rowid, side ? "" : "'delete', ");
            COCO_TRY(coco__sq_put_columns(cx, sql, t, names, side ? "new." : "old."));
            sqlite3_str_appendall(sql, "); ");
        }
        sqlite3_str_appendall(sql, "END; ");
    }
    return COCO_OK;
}

/* FTS5 with external content: the texts stand once, in the table. `rebuild` takes in the rows that are there. */
static coco_status coco__sq_fts_setup(coco_ctx *cx, sqlite3_str *sql, const coco__sq_table *t, const char *name,
                                      const coco_sqlite_fts *fts)
{
    const coco_column *key = coco__sq_rowid_column(&t->rows.decl);

    sqlite3_str_appendf(sql, "CREATE VIRTUAL TABLE \"%w\" USING fts5(", name);
    COCO_TRY(coco__sq_put_columns(cx, sql, t, (coco__sq_names_of){ fts->columns, fts->parts }, ""));
    sqlite3_str_appendf(sql, ", content=%Q, content_rowid=%Q", t->rows.table, key ? key->name : "rowid");
    if (fts->tokenize) sqlite3_str_appendf(sql, ", tokenize=%Q", fts->tokenize);
    if (fts->prefix) sqlite3_str_appendf(sql, ", prefix=%Q", fts->prefix);
    sqlite3_str_appendf(sql, "); INSERT INTO \"%w\" (\"%w\") VALUES ('rebuild'); ", name, name);
    return coco__sq_fts_trigger(cx, sql, t, name, fts);
}

coco_status coco_sqlite_declare_fts(coco_ctx *cx, coco_table *table, const char *name, const coco_sqlite_fts *fts)
{
    coco__sq_table *t;
    sqlite3_str *texts[2];
    coco_status rc;

    COCO_TRY(coco__sq_attachable(cx, table, name, &t));
    if (coco__sq_flags(&t->rows.decl) & COCO__SQ_WITHOUT_ROWID)
        return coco_fail(cx, COCO_EINVAL, "table %s has no rowids: it can have no full-text index", t->rows.table);
    if (!sqlite3_compileoption_used("ENABLE_FTS5"))
        coco_notice(cx, "this SQLite says nothing of FTS5; it must come as an extension");
    texts[0] = sqlite3_str_new(NULL), texts[1] = sqlite3_str_new(NULL);
    rc = coco__sq_fts_setup(cx, texts[0], t, name, fts);
    sqlite3_str_appendf(texts[1], "DROP TRIGGER IF EXISTS \"%w_INSERT\"; DROP TRIGGER IF EXISTS \"%w_DELETE\"; "
                        "DROP TRIGGER IF EXISTS \"%w_UPDATE\"; DROP TABLE IF EXISTS \"%w\"", name, name, name, name);
    return coco__sq_attach(cx, table, (const char *const[2]){ "fts", name }, texts, rc);
}

/* The program's own text is run as it stands: it is part of the program, not data. */
coco_status coco_sqlite_declare_sql(coco_ctx *cx, coco_table *table, const char *name, const char *setup,
                                    const char *teardown)
{
    coco__sq_table *t;
    sqlite3_str *texts[2];

    COCO_TRY(coco__sq_attachable(cx, table, name, &t));
    if (!setup || !*setup) return coco_fail(cx, COCO_EINVAL, "table %s: %s has nothing to set up", t->rows.table, name);
    texts[0] = sqlite3_str_new(NULL), texts[1] = sqlite3_str_new(NULL);
    sqlite3_str_appendall(texts[0], setup);
    if (teardown) sqlite3_str_appendall(texts[1], teardown);
    return coco__sq_attach(cx, table, (const char *const[2]){ "sql", name }, texts, COCO_OK);
}
