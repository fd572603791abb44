/* source.c - part of sqlite.c: rows of a table or query as items. A reader has a connection and one read transaction of
 * its own, so what it gives is one snapshot, whatever is written meanwhile. In live mode it begins anew for each
 * listing: columns that were added or dropped meanwhile are seen then. */

typedef struct coco__sq_reader {
    coco_sqlite *s;          /* its own connection */
    sqlite3_stmt *st;
    coco_sqlite_read read;   /* what to read, copied: a source that is followed outlives the call that made it */
    size_t n;                /* columns of the result */
    const char **names;      /* their names */
    size_t *keys, nkeys;     /* which are the key */
    size_t version;          /* which is the version; n: none */
    coco_str identity;       /* of the source */
    coco__sq_table *table;   /* a listing of keys alone, typed by its schema; else NULL */
    atomic_bool busy;        /* a listing was broken off by a lock: the watch asks for another */
    coco_status failed;      /* the first answer, where it can't begin … */
    const char *message;     /* … and why */
} coco__sq_reader;

static void coco__sq_reader_close(coco_source *src)
{
    coco__sq_reader *r = src->self;

    sqlite3_finalize(r->st);
    coco_sqlite_close(r->s);
    r->st = NULL;
    r->s = NULL;
}

/* ---- Items ------------------------------------------------------------------------------------------------------- */

/* A value of the result, borrowing until the next step. */
static coco_value coco__sq_value(sqlite3_stmt *st, int at)
{
    const void *p;

    switch (sqlite3_column_type(st, at)) {
    case SQLITE_INTEGER: return coco_int(sqlite3_column_int64(st, at));
    case SQLITE_FLOAT: return coco_float(sqlite3_column_double(st, at));
    case SQLITE_BLOB:
        p = sqlite3_column_blob(st, at);
        return coco_bytes(p ? p : "", (size_t)sqlite3_column_bytes(st, at));
    case SQLITE_TEXT:
        p = sqlite3_column_text(st, at);
        return coco_text_n((coco_str){ p ? p : "", (size_t)sqlite3_column_bytes(st, at) });
    default: return coco_null();
    }
}

/* A key must be a stable key: floats and nulls are none. */
static coco_status coco__sq_item_key(coco_ctx *cx, const coco__sq_reader *r, const coco_value *values, coco_value *key)
{
    coco_value *items = coco_alloc(cx, r->nkeys * sizeof *items);

    if (!items) return COCO_ENOMEM;
    for (size_t i = 0; i < r->nkeys; i++) {
        items[i] = values[r->keys[i]];
        if (items[i].kind == COCO_NULL || items[i].kind == COCO_FLOAT)
            return coco_fail(cx, COCO_ETYPE, "%s: the key column %s is %s in a row", r->identity.p,
                             r->names[r->keys[i]], items[i].kind == COCO_NULL ? "null" : "a float");
    }
    *key = r->nkeys == 1 ? items[0] : coco_list(items, r->nkeys);
    return COCO_OK;
}

/* All of a row is copied into the item's memory: SQLite's own goes with the next step. */
static int coco__sq_item(coco__sq_reader *r, coco_ctx *cx, coco_value *key, coco_value *value)
{
    coco_value *values = coco_alloc(cx, r->n * sizeof *values);
    coco_row_parts parts = { .identity = r->identity, .names = r->names, .values = values, .n = r->n };
    coco_row *row;

    if (!values) return COCO_ENOMEM;
    for (size_t i = 0; i < r->n; i++) values[i] = coco__sq_value(r->st, (int)i);
    COCO_TRY(coco__sq_item_key(cx, r, values, &parts.key));
    if (r->version < r->n) parts.version = values[r->version];
    if (!(row = coco_row_new(cx, &parts))) return COCO_ENOMEM;
    *key = coco_row_key(row);
    *value = coco_row_value(row);
    return 1;
}

/* The key alone, of the types that it is declared with. */
static int coco__sq_item_typed(coco__sq_reader *r, coco_ctx *cx, coco_value *key)
{
    const coco_schema *s = &r->table->rows.decl.schema;
    coco_value *items = coco_alloc(cx, r->n * sizeof *items);
    size_t n = 0;

    if (!items) return COCO_ENOMEM;
    for (size_t i = 0; i < s->n; i++) {
        uint8_t *uuid = s->columns[i].key ? coco_alloc(cx, 16) : NULL;
        coco_cell cell;
        if (!s->columns[i].key) continue;
        if (!uuid) return COCO_ENOMEM;
        /* what isn't of the declared type is no row of ours: it is told by what it is */
        if (coco__sq_cell(r->st, (int)n, &s->columns[i], uuid, &cell)) items[n] = coco_cell_value(cx, &cell);
        else items[n] = coco__sq_value(r->st, (int)n);
        n++;
    }
    *key = coco_copy_value(cx, coco_list(items, n));
    return coco_error(cx) ? coco_error(cx) : 1;
}

/* The first answer is what went wrong at the beginning, if anything did. */
static int coco__sq_reader_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    coco__sq_reader *r = src->self;
    coco_err err = { 0 };
    int rc, got;

    if (r->failed) return coco_fail(cx, r->failed, "%s", r->message);
    if (!r->st) return 0;
    rc = sqlite3_step(r->st);
    if (rc == SQLITE_DONE) return 0;
    if (rc != SQLITE_ROW) {
        coco_status status = coco__sq_error(r->s, &err, NULL);
        if (status == COCO_EBUSY) atomic_store(&r->busy, true);
        return coco_fail(cx, status, "%s", err.msg);
    }
    *value = coco_null();
    got = r->table ? coco__sq_item_typed(r, cx, key) : coco__sq_item(r, cx, key, value);
    if (got < 0) sqlite3_reset(r->st); /* lets go of the snapshot: in live mode nobody closes the source now */
    return got;
}

/* ---- Beginning --------------------------------------------------------------------------------------------------- */

static coco_status coco__sq_read_copy(coco_ctx *cx, const coco_sqlite_read *read, coco_sqlite_read *out)
{
    coco_value *bind = coco_alloc(cx, (read->nbind + 1) * sizeof *bind);
    const char **texts[] = { &out->table, &out->query, &out->name, &out->key, &out->version, &out->columns };

    if (!bind) return COCO_ENOMEM;
    *out = *read;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (*texts[i]) *texts[i] = coco_copy(cx, coco_str_of(*texts[i])).p;
    for (size_t i = 0; i < read->nbind; i++) bind[i] = coco_copy_value(cx, read->bind[i]);
    out->bind = bind;
    return coco_error(cx);
}

/* Makes a connection of the reader's own to what the program named. */
static coco_status coco__sq_reader_open(coco_ctx *cx, coco_value db, coco__sq_reader *r, const char **name)
{
    const coco_key *key = coco_context_ref_of(db);
    coco_sqlite *given;
    coco_sqlite_opts o = { 0 };
    coco_err err = { 0 };
    const char *path = NULL;

    if (key) db = coco_context(cx, key);
    COCO_TRY(coco_error(cx));
    if ((given = coco_sqlite_of(db)) != NULL) {
        path = given->path;
        o = (coco_sqlite_opts){ .busy_ms = given->busy_ms, .extensions = given->extensions };
    } else {
        COCO_TRY(coco__sq_path(cx, db, key ? key->name : "the database", &path));
    }
    *name = key ? key->name : path;
    coco_status rc = coco_sqlite_open(path, &o, &r->s, &err);
    return rc == COCO_OK ? rc : coco_fail(cx, rc, "%s", err.msg);
}

/* Fails cx with what SQLite said. */
static coco_status coco__sq_reader_error(coco_ctx *cx, const coco__sq_reader *r, const char *what)
{
    coco_err err = { 0 };
    coco_status rc = coco__sq_error(r->s, &err, what);

    return coco_fail(cx, rc, "%s", err.msg);
}

/* The names of a table's primary key, with commas; "rowid" where it has none. */
static coco_status coco__sq_default_key(coco_ctx *cx, coco__sq_reader *r, const char *table, coco__sq_names_of *key)
{
    coco__sq_shape shape;
    coco_err err = { 0 };
    coco_status rc = coco__sq_shape_read(r->s, table, &shape, &err);
    const char **parts = coco_alloc(cx, (shape.n + 1) * sizeof *parts);
    size_t n = 0;

    if (rc != COCO_OK) coco_fail(cx, rc, "%s", err.msg);
    else if (shape.n == 0) rc = coco_fail(cx, COCO_ENOTFOUND, "%s: no such table: %.100s", r->s->path, table);
    for (int place = 1; parts && rc == COCO_OK && (size_t)place <= shape.n; place++)
        for (size_t i = 0; i < shape.n; i++)
            if (shape.columns[i].pk == place) parts[n++] = coco_copy(cx, coco_str_of(shape.columns[i].name)).p;
    if (rc == COCO_OK && n == 0)
        rc = coco_fail(cx, COCO_EINVAL, "%s: %.100s has no primary key: name one", r->s->path, table);
    coco__sq_shape_free(&shape);
    key->parts = parts;
    return rc == COCO_OK ? coco_error(cx) : rc;
}

/* SELECT columns FROM table ORDER BY key. Text is ordered by its bytes, whatever the column's collation. */
static coco_status coco__sq_select_table(coco_ctx *cx, coco__sq_reader *r, const coco_sqlite_read *read,
                                         coco__sq_names_of key)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    coco__sq_names_of columns = { .list = read->columns };
    const char *name, *sep = "";
    char *text;
    int rc;

    sqlite3_str_appendall(sql, "SELECT ");
    if (!read->columns) sqlite3_str_appendall(sql, "*");
    for (; (name = coco__sq_next_name(cx, &columns)) != NULL; sep = ", ")
        sqlite3_str_appendf(sql, "%s\"%w\"", sep, name);
    sqlite3_str_appendf(sql, " FROM \"%w\"", read->table);
    for (sep = " ORDER BY "; (name = coco__sq_next_name(cx, &key)) != NULL; sep = ", ")
        sqlite3_str_appendf(sql, "%s\"%w\" COLLATE BINARY", sep, name);
    text = sqlite3_str_finish(sql);
    rc = text ? sqlite3_prepare_v2(r->s->db, text, -1, &r->st, NULL) : SQLITE_NOMEM;
    sqlite3_free(text);
    COCO_TRY(coco_error(cx));
    return rc == SQLITE_OK ? COCO_OK : coco__sq_reader_error(cx, r, read->table);
}

/* A query is the program's own text, but only one that reads, and its values are bound. */
static coco_status coco__sq_select_query(coco_ctx *cx, coco__sq_reader *r, const coco_sqlite_read *read)
{
    const char *rest;

    if (!read->query || !read->key)
        return coco_fail(cx, COCO_EINVAL, "%s: %s", r->s->path,
                         read->query ? "a query's key columns must be named" : "neither a table nor a query is named");
    if (sqlite3_prepare_v2(r->s->db, read->query, -1, &r->st, &rest) != SQLITE_OK)
        return coco__sq_reader_error(cx, r, read->name);
    if (!r->st || !sqlite3_stmt_readonly(r->st) || rest[strspn(rest, " \t\r\n;")])
        return coco_fail(cx, COCO_EINVAL, "%s: a query must be one statement that reads", r->s->path);
    for (size_t i = 0; i < read->nbind; i++)
        if (coco__sq_bind_value(r->st, (int)i + 1, read->bind[i]) != SQLITE_OK)
            return coco__sq_reader_error(cx, r, "binding");
    return COCO_OK;
}

/* The place of a column in the result; n where it isn't there. */
static size_t coco__sq_result_column(const coco__sq_reader *r, const char *name)
{
    size_t i = 0;

    while (i < r->n && sqlite3_stricmp(r->names[i], name) != 0) i++;
    return i;
}

/* Finds names, key and version in the result. */
static coco_status coco__sq_result(coco_ctx *cx, coco__sq_reader *r, coco__sq_names_of key, const char *version)
{
    const char *name;

    r->n = (size_t)sqlite3_column_count(r->st);
    r->names = coco_alloc(cx, r->n * sizeof *r->names);
    r->keys = coco_alloc(cx, r->n * sizeof *r->keys);
    if (!r->names || !r->keys) return COCO_ENOMEM;
    for (size_t i = 0; i < r->n; i++)
        if (!(r->names[i] = coco_copy(cx, coco_str_of(sqlite3_column_name(r->st, (int)i))).p)) return COCO_ENOMEM;
    while ((name = coco__sq_next_name(cx, &key)) != NULL) {
        size_t at = coco__sq_result_column(r, name);
        if (at == r->n || r->nkeys == r->n)
            return coco_fail(cx, COCO_EINVAL, "%s: no column %.100s for the key", r->identity.p, name);
        r->keys[r->nkeys++] = at;
    }
    COCO_TRY(coco_error(cx));
    r->version = version ? coco__sq_result_column(r, version) : r->n;
    if (version && r->version == r->n)
        return coco_fail(cx, COCO_EINVAL, "%s: no column %.100s for the version", r->identity.p, version);
    return COCO_OK;
}

/* Begins a listing: the file is the one that stands at the path now. */
static coco_status coco__sq_reader_select(coco_ctx *cx, coco__sq_reader *r)
{
    const coco_sqlite_read *read = &r->read;
    coco__sq_names_of key = { .list = read->key };
    coco_err err = { 0 };
    coco_status rc = coco__sq_ready(r->s, false, &err);

    if (rc != COCO_OK) return coco_fail(cx, rc, "%s", err.msg);
    if (!r->s->db) return coco_fail(cx, COCO_ENOTFOUND, "%s: no such database", r->s->path);
    r->nkeys = 0;
    /* else a column that isn't there is taken for a text */
    if (read->table) sqlite3_db_config(r->s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    if (read->table && !read->key) COCO_TRY(coco__sq_default_key(cx, r, read->table, &key));
    if (read->table) COCO_TRY(coco__sq_select_table(cx, r, read, key));
    else COCO_TRY(coco__sq_select_query(cx, r, read));
    return coco__sq_result(cx, r, key, read->version);
}

/* The identity has the path, or the key's name, but never what a connection may hold besides. */
static coco_status coco__sq_reader_begin(coco_ctx *cx, coco_value db, const coco_sqlite_read *read, coco__sq_reader *r,
                                         coco_source *src)
{
    const char *name = NULL;

    COCO_TRY(coco__sq_read_copy(cx, read, &r->read));
    COCO_TRY(coco__sq_reader_open(cx, db, r, &name));
    r->identity = coco_format(cx, "%s/%s", name, read->table ? read->table : read->name ? read->name
                                                 : read->query ? read->query : "");
    src->title = read->title ? coco_copy(cx, coco_str_of(read->title)).p : r->identity.p;
    COCO_TRY(coco_error(cx));
    src->ordered = read->table != NULL;
    return coco__sq_reader_select(cx, r);
}

static coco_status coco__sq_reader_rewind(coco_source *src, coco_ctx *cx)
{
    coco__sq_reader *r = src->self;
    coco_status rc;

    sqlite3_finalize(r->st);
    r->st = NULL;
    rc = coco__sq_reader_select(cx, r);
    if (rc == COCO_EBUSY) atomic_store(&r->busy, true);
    return rc;
}

static coco_status coco__sq_watch(coco_source *src, coco_feed *feed);

coco_source *coco_sqlite_rows(coco_ctx *cx, coco_value db, const coco_sqlite_read *read)
{
    coco_source *src = coco_source_new(cx);
    coco__sq_reader *r = coco_alloc(cx, sizeof *r);

    if (!src || !r) return NULL;
    src->self = r;
    src->title = "sqlite";
    src->next = coco__sq_reader_next;
    src->close = coco__sq_reader_close;
    r->failed = coco__sq_reader_begin(cx, db, read, r, src);
    if (r->failed) r->message = coco_copy(cx, coco_str_of(coco_error_message(cx))).p;
    if (r->failed && !r->message) r->message = "out of memory";
    if (r->failed || !read->live) return src;
    src->rewind = coco__sq_reader_rewind;
    src->watch = coco__sq_watch;
    src->watch_first = true;
    return src;
}

/* ---- What is there, for verification ----------------------------------------------------------------------------- */

static coco_status coco__sq_list_select(coco__sq_table *t, coco__sq_reader *r, coco_err *err)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    bool shadowed;
    coco_status rc = coco__sq_shadowed(r->s, t->rows.table, &shadowed, err);

    sqlite3_str_appendall(sql, "SELECT ");
    coco__sq_names(sql, &t->rows.decl.schema, true, ", ", "\"%w\"");
    sqlite3_str_appendf(sql, " FROM \"%w%w\"", rc == COCO_OK && shadowed ? COCO__SQ_SHADOW : "", t->rows.table);
    char *text = sqlite3_str_finish(sql);
    if (rc == COCO_OK) return coco__sq_prepare_kept(r->s, text, t->rows.table, &r->st, err);
    sqlite3_free(text);
    return rc;
}

/* On a connection of its own, so that the listing is one snapshot beside what the update does. */
static coco_status coco__sq_list_rows(coco_ctx *cx, void *self, coco_source **keys)
{
    coco__sq_table *t = self;
    coco_source *src = coco_source_new(cx);
    coco__sq_reader *r = coco_alloc(cx, sizeof *r);
    coco_sqlite_opts o = { .busy_ms = t->db->busy_ms, .extensions = t->db->extensions };
    coco_err err = { 0 };
    coco_status rc;

    if (!src || !r) return COCO_ENOMEM;
    src->self = r;
    src->title = t->rows.table;
    src->next = coco__sq_reader_next;
    src->close = coco__sq_reader_close;
    r->table = t;
    r->n = coco_schema_nkeys(&t->rows.decl.schema);
    rc = coco_sqlite_open(t->db->path, &o, &r->s, &err);
    if (rc == COCO_OK) rc = coco__sq_ready(r->s, false, &err);
    if (rc == COCO_OK && r->s->db) rc = coco__sq_list_select(t, r, &err);
    if (rc == COCO_OK) {
        *keys = src;
        return rc;
    }
    coco__sq_reader_close(src);
    return coco_fail(cx, rc, "%s", err.msg);
}
