/* shape.c - part of sqlite.c: tables as they are in the file, and as a declaration wants them. */

#define COCO__SQ_SHADOW "coco_shadow_" /* before a table's name: the one that is being filled */
#define COCO__SQ_COPY "coco_copy_"     /* the one into which a table is copied, within one transaction */

/* A column as it is. */
typedef struct coco__sq_column {
    char *name, *type, *def; /* def: its default as SQL, or NULL */
    bool notnull;
    int pk;                  /* its place in the primary key, from 1; 0: none */
    int hidden;              /* 2 or 3: generated */
} coco__sq_column;

typedef struct coco__sq_shape {
    coco__sq_column *columns;
    size_t n;                /* 0: no such table */
    bool without_rowid;
} coco__sq_shape;

static void coco__sq_shape_free(coco__sq_shape *shape)
{
    for (size_t i = 0; i < shape->n; i++) {
        sqlite3_free(shape->columns[i].name);
        sqlite3_free(shape->columns[i].type);
        sqlite3_free(shape->columns[i].def);
    }
    sqlite3_free(shape->columns);
    *shape = (coco__sq_shape){ 0 };
}

/* A column of a result as text of its own; NULL for null. */
static bool coco__sq_text(sqlite3_stmt *st, int column, char **out)
{
    const unsigned char *text = sqlite3_column_text(st, column);

    *out = NULL;
    return sqlite3_column_type(st, column) == SQLITE_NULL || (text && (*out = sqlite3_mprintf("%s", text)) != NULL);
}

static bool coco__sq_shape_add(coco__sq_shape *shape, sqlite3_stmt *st)
{
    coco__sq_column *c = sqlite3_realloc64(shape->columns, (shape->n + 1) * sizeof *c);

    if (!c) return false;
    shape->columns = c;
    c += shape->n++;
    *c = (coco__sq_column){ .notnull = sqlite3_column_int(st, 2), .pk = sqlite3_column_int(st, 4),
                            .hidden = sqlite3_column_int(st, 5) };
    return coco__sq_text(st, 0, &c->name) && coco__sq_text(st, 1, &c->type) && coco__sq_text(st, 3, &c->def) &&
           c->name && c->type;
}

/* Reads what is there; a table that isn't has no columns. Freed by the caller also after a failure. */
static coco_status coco__sq_shape_read(coco_sqlite *s, const char *table, coco__sq_shape *shape, coco_err *err)
{
    sqlite3_stmt *st;
    int rc;

    *shape = (coco__sq_shape){ 0 };
    COCO_TRY(coco__sq_prepare(s, &st, table, err, "SELECT name, type, \"notnull\", dflt_value, pk, hidden "
                              "FROM pragma_table_xinfo(%Q, 'main')", table));
    while ((rc = sqlite3_step(st)) == SQLITE_ROW)
        if (!coco__sq_shape_add(shape, st)) {
            sqlite3_finalize(st);
            return coco__sq_oom(err);
        }
    COCO_TRY(coco__sq_done(s, st, rc, table, err));
    COCO_TRY(coco__sq_prepare(s, &st, table, err, "SELECT wr FROM pragma_table_list(%Q) WHERE schema = 'main'", table));
    rc = sqlite3_step(st);
    shape->without_rowid = rc == SQLITE_ROW && sqlite3_column_int(st, 0);
    return coco__sq_done(s, st, rc, table, err);
}

/* Names of columns are equal in either case, as SQLite has them. */
static const coco__sq_column *coco__sq_shape_column(const coco__sq_shape *shape, const char *name)
{
    for (size_t i = 0; i < shape->n; i++)
        if (sqlite3_stricmp(shape->columns[i].name, name) == 0) return &shape->columns[i];
    return NULL;
}

/* What a column is declared as. */
static const char *coco__sq_type(const coco_column *c)
{
    if (c->sql_type) return c->sql_type;
    switch (c->type) {
    case COCO_BOOL_T: case COCO_INT_T: return "INTEGER";
    case COCO_DOUBLE_T: return "REAL";
    case COCO_BYTES_T: case COCO_VECTOR_T: case COCO_HALF_T: return "BLOB";
    default: return "TEXT";
    }
}

/* NOT NULL in the table; key columns too, since SQLite alone would let them be null. */
static bool coco__sq_required(const coco_column *c)
{
    return !c->nullable;
}

/* The column that is the rowid by another name: one int key. NULL: none. */
static const coco_column *coco__sq_rowid_column(const coco_table_decl *decl)
{
    const coco_column *key = NULL;

    if (coco__sq_flags(decl) & COCO__SQ_WITHOUT_ROWID) return NULL;
    for (size_t i = 0; i < decl->schema.n; i++) {
        const coco_column *c = &decl->schema.columns[i];
        if (c->key && key) return NULL;
        if (c->key) key = c;
    }
    return key && sqlite3_stricmp(coco__sq_type(key), "INTEGER") == 0 ? key : NULL;
}

/* Is the real table's primary key that of the declaration, in order? */
static bool coco__sq_same_key(const coco__sq_shape *shape, const coco_schema *s)
{
    int place = 0, there = 0;

    for (size_t i = 0; i < shape->n; i++) there += shape->columns[i].pk > 0;
    for (size_t i = 0; i < s->n; i++) {
        const coco__sq_column *c;
        if (!s->columns[i].key) continue;
        c = coco__sq_shape_column(shape, s->columns[i].name);
        if (!c || c->pk != ++place) return false;
    }
    return place == there;
}

/* ---- CREATE TABLE ------------------------------------------------------------------------------------------------ */

/* Columns that the real table has and that are neither declared nor to be dropped: others' columns, which stay. */
static bool coco__sq_others(const coco__sq_column *c, const coco__sq_want *want)
{
    for (size_t i = 0; i < want->ndrops; i++)
        if (sqlite3_stricmp(c->name, want->drops[i]) == 0) return false;
    for (size_t i = 0; i < want->decl.schema.n; i++)
        if (sqlite3_stricmp(c->name, want->decl.schema.columns[i].name) == 0) return false;
    return true;
}

static void coco__sq_create_columns(sqlite3_str *sql, const coco__sq_want *want, const coco__sq_shape *with)
{
    const coco_schema *s = &want->decl.schema;

    for (size_t i = 0; i < s->n; i++)
        sqlite3_str_appendf(sql, "%s\"%w\" %s%s", i ? ", " : "", s->columns[i].name, coco__sq_type(&s->columns[i]),
                            coco__sq_required(&s->columns[i]) ? " NOT NULL" : "");
    for (size_t i = 0; with && i < with->n; i++) {
        const coco__sq_column *c = &with->columns[i];
        if (!coco__sq_others(c, want)) continue;
        sqlite3_str_appendf(sql, ", \"%w\" %s%s", c->name, c->type, c->notnull ? " NOT NULL" : "");
        if (c->def) sqlite3_str_appendf(sql, " DEFAULT (%s)", c->def);
    }
}

/* The statement that makes the table under a name; with: the real one, whose other columns are to stay. Freed by
 * sqlite3_free; NULL: out of memory. */
static char *coco__sq_create_sql(const char *prefix, const char *table, const coco__sq_want *want,
                                 const coco__sq_shape *with)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    const coco_schema *s = &want->decl.schema;
    unsigned flags = coco__sq_flags(&want->decl);
    const char *comma = "";

    sqlite3_str_appendf(sql, "CREATE TABLE \"%w%w\" (", prefix, table);
    coco__sq_create_columns(sql, want, with);
    sqlite3_str_appendall(sql, ", PRIMARY KEY (");
    for (size_t i = 0; i < s->n; i++) {
        if (!s->columns[i].key) continue;
        sqlite3_str_appendf(sql, "%s\"%w\"", comma, s->columns[i].name);
        comma = ", ";
    }
    sqlite3_str_appendf(sql, "))%s%s%s", flags & COCO__SQ_STRICT ? " STRICT" : "",
                        (flags & COCO__SQ_STRICT) && (flags & COCO__SQ_WITHOUT_ROWID) ? "," : "",
                        flags & COCO__SQ_WITHOUT_ROWID ? " WITHOUT ROWID" : "");
    return sqlite3_str_finish(sql);
}

/* The same for a table of sqlite-vec. Its names are plain (declare.c sees to that): it has no quotes. */
static char *coco__sq_create_vec0(const char *prefix, const char *table, const coco_table_decl *decl)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    size_t n = decl->schema.n;
    coco_str metric = { decl->extra.p + 1 + n, decl->extra.n - 1 - n };

    sqlite3_str_appendf(sql, "CREATE VIRTUAL TABLE \"%w%w\" USING vec0(", prefix, table);
    for (size_t i = 0; i < n; i++) {
        const coco_column *c = &decl->schema.columns[i];
        char role = decl->extra.p[1 + i];
        sqlite3_str_appendf(sql, "%s%s%s ", i ? ", " : "", role == '+' ? "+" : "", c->name);
        if (role == 'v') sqlite3_str_appendf(sql, "float[%llu]", (unsigned long long)c->dim);
        else sqlite3_str_appendall(sql, coco__sq_type(c)[0] == 'R' ? "FLOAT" : coco__sq_type(c));
        if (role == 'v' && metric.n) sqlite3_str_appendf(sql, " distance_metric=%.*s", (int)metric.n, metric.p);
        if (role == 'k') sqlite3_str_appendall(sql, " PRIMARY KEY");
        if (role == 'p') sqlite3_str_appendall(sql, " PARTITION KEY");
    }
    sqlite3_str_appendall(sql, ")");
    return sqlite3_str_finish(sql);
}
