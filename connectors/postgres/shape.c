/* shape.c - part of postgres.c: what a table really looks like, beside what was declared.
 *
 * A table may have a shadow: a table of another name that is filled while readers still see the old one, and takes its
 * name when the update has ended well (rebuild.c). Whether there is one is asked of the database, nowhere else kept, so
 * that a rebuild outlives the process: as long as the shadow is there, rows go into it and it is the table that counts.
 */

/* A table as this update knows it; one a name, shared by its handlers. */
typedef struct coco__pg_table {
    const char *schema;    /* "": the first of the search path */
    const char *name;
    char shadow_name[32];  /* of its shadow */
    const coco_rows *rows; /* its newest declaration; NULL: none known yet */
    const char **required; /* columns that the record says are never null, where rows is NULL */
    size_t nrequired;
    bool looked;           /* shadow is known */
    bool shadow;           /* there is one: rows go there */
    bool filled;           /* it had rows when this update first wrote many, or refused to take them by COPY */
    bool empty;            /* it had none then */
    bool tighten;          /* NOT NULL is to be set on columns when the rows are there */
    struct coco__pg_table *next;
} coco__pg_table;

/* One update's use of one connection object; made with the root handler, lives until the update ends. */
typedef struct coco__pg_run {
    coco_postgres *db;
    const char *name;       /* of the context key */
    coco_sink sink;         /* its self is this */
    coco__pg_table *tables; /* guarded by db's lock */
} coco__pg_run;

/* A column as it is. */
typedef struct coco__pg_real {
    const char *name, *type; /* type as the system prints it */
    Oid oid;                 /* of its type, with … */
    int mod;                 /* … length or precision */
    bool not_null;
    int key;                 /* place in the primary key from 1; 0: none */
} coco__pg_real;

/* A relation as it is. */
typedef struct coco__pg_shape {
    bool there, shadow_there; /* under its name; under the shadow's */
    bool odd;                 /* what bears the name is no table */
    bool of_shadow;           /* the columns are the shadow's: it counts where it is there */
    coco__pg_real *columns;
    size_t n;
    PGresult *mem;            /* owns the above */
} coco__pg_shape;

/* A declared column's type as the server sees it. */
typedef struct coco__pg_resolved {
    Oid oid;
    int mod;
} coco__pg_resolved;

/* ---- Tables of a run ------------------------------------------------------------------------------------------- */

/* Names of a table's state. */
static void coco__pg_key_names(coco_value key, coco_str *schema, coco_str *name)
{
    bool both = key.kind == COCO_LIST;

    *schema = both ? coco_text_of(coco_at(key, 0)) : COCO_STR("");
    *name = coco_text_of(both ? coco_at(key, 1) : key);
}

static bool coco__pg_named(const coco__pg_table *t, coco_str schema, coco_str name)
{
    return coco_str_equal(coco_str_of(t->schema), schema) && coco_str_equal(coco_str_of(t->name), name);
}

/* What the update knows of the table, made at the first call. Each new one hangs on the address of the link to it,
 * because memory of the update is had by address. */
static coco__pg_table *coco__pg_table_of(coco_ctx *cx, coco__pg_run *run, coco_value key)
{
    coco__pg_table **at = &run->tables, *t;
    coco_str schema, name;
    uint8_t fp[16];
    char *text;

    coco__pg_key_names(key, &schema, &name);
    pthread_mutex_lock(&run->db->lock);
    while (*at && !coco__pg_named(*at, schema, name)) at = &(*at)->next;
    if (!*at && (t = coco_run_memory(cx, at, sizeof *t + schema.n + name.n + 2)) != NULL) {
        text = (char *)(t + 1);
        t->schema = memcpy(text, schema.p, schema.n);
        t->name = memcpy(text + schema.n + 1, name.p, name.n);
        coco_fingerprint_bytes(name.p, name.n, fp);
        memcpy(t->shadow_name, "coco_shadow_", 13);
        for (size_t i = 0; i < 8; i++) snprintf(t->shadow_name + 12 + 2 * i, 3, "%02x", fp[i]);
        *at = t;
    }
    t = *at;
    pthread_mutex_unlock(&run->db->lock);
    return t;
}

/* ---- What is there -------------------------------------------------------------------------------------------- */

static void coco__pg_put_table(coco__pg_text *t, const coco__pg_table *table, bool shadow)
{
    if (*table->schema) coco__pg_putf(t, "%i.", table->schema);
    coco__pg_putf(t, "%i", shadow ? table->shadow_name : table->name);
}

/* The names of the table's relations as a query's literals. */
#define COCO__PG_NAMESPACE "n.nspname = coalesce(nullif(%l, ''), current_schema()::text)"

static const char *coco__pg_result(const PGresult *r, int row, int column)
{
    return PQgetvalue(r, row, column);
}

/* Takes the columns of one of the two relations out of the result. */
static void coco__pg_shape_take(const PGresult *r, const char *relation, coco__pg_shape *s)
{
    for (int i = 0; i < PQntuples(r); i++) {
        coco__pg_real *c = &s->columns[s->n];
        if (strcmp(coco__pg_result(r, i, 0), relation) != 0 || PQgetisnull(r, i, 2)) continue;
        c->name = coco__pg_result(r, i, 2);
        c->type = coco__pg_result(r, i, 3);
        c->oid = (Oid)strtoul(coco__pg_result(r, i, 4), NULL, 10);
        c->mod = (int)strtol(coco__pg_result(r, i, 5), NULL, 10);
        c->not_null = *coco__pg_result(r, i, 6) == 't';
        c->key = (int)strtol(coco__pg_result(r, i, 7), NULL, 10);
        s->n++;
    }
}

/* Reads what is there under the table's name and its shadow's. Freed by PQclear(mem). */
static coco_status coco__pg_look(PGconn *conn, coco__pg_table *table, coco__pg_shape *s, coco_err *err)
{
    coco__pg_text t = { 0 };
    PGresult *r;

    *s = (coco__pg_shape){ 0 };
    coco__pg_putf(&t, "SELECT c.relname, c.relkind IN ('r', 'p'), a.attname, format_type(a.atttypid, a.atttypmod), "
                      "a.atttypid, a.atttypmod, a.attnotnull, coalesce(array_position(i.indkey::int2[], a.attnum), -1)"
                      " + 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attribute a ON "
                      "a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_index i ON i.indrelid ="
                      " c.oid AND i.indisprimary WHERE c.relname IN (%l, %l) AND " COCO__PG_NAMESPACE
                      " ORDER BY a.attnum", table->name, table->shadow_name, table->schema);
    r = t.failed ? NULL : coco__pg_query(conn, t.p, err);
    if (t.failed) coco_err_set(err, COCO_ENOMEM, "out of memory");
    coco__pg_text_free(&t);
    if (!r) return err->code;
    s->mem = r;
    if (!(s->columns = PQresultAlloc(r, ((size_t)PQntuples(r) + 1) * sizeof *s->columns)))
        return coco_err_set(err, COCO_ENOMEM, "out of memory");
    for (int i = 0; i < PQntuples(r); i++) {
        bool live = strcmp(coco__pg_result(r, i, 0), table->name) == 0;
        *(live ? &s->there : &s->shadow_there) = true;
        s->odd |= live && *coco__pg_result(r, i, 1) != 't';
    }
    s->of_shadow = s->shadow_there;
    coco__pg_shape_take(r, s->of_shadow ? table->shadow_name : table->name, s);
    table->looked = true;
    table->shadow = s->shadow_there;
    return COCO_OK;
}

/* Whether rows go into the shadow. */
static coco_status coco__pg_look_shadow(PGconn *conn, coco__pg_table *table, coco_err *err)
{
    coco__pg_shape s;
    coco_status rc;

    if (table->looked) return COCO_OK;
    rc = coco__pg_look(conn, table, &s, err);
    PQclear(s.mem);
    return rc;
}

static const coco__pg_real *coco__pg_find(const coco__pg_shape *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->columns[i].name, name) == 0) return &s->columns[i];
    return NULL;
}

/* Asks the server what the declared types are; they need not be known by the name that it prints. The answer is in
 * mem's memory. */
static coco_status coco__pg_resolve(PGconn *conn, const coco_schema *schema, PGresult **mem, coco__pg_resolved **out,
                                    coco_err *err)
{
    coco__pg_text t = { 0 };
    PGresult *r = NULL;

    coco__pg_puts(&t, "SELECT ");
    for (size_t i = 0; i < schema->n; i++) {
        coco__pg_puts(&t, i ? ", pg_typeof(NULL::" : "pg_typeof(NULL::");
        coco__pg_put_type(&t, &schema->columns[i]);
        coco__pg_puts(&t, ")::oid, NULL::");
        coco__pg_put_type(&t, &schema->columns[i]);
    }
    *out = coco__pg_alloc(mem, schema->n * sizeof **out);
    if (t.failed || !*out) coco_err_set(err, COCO_ENOMEM, "out of memory");
    else r = coco__pg_query(conn, t.p, err);
    coco__pg_text_free(&t);
    if (!r) return err->code;
    for (size_t i = 0; i < schema->n; i++) {
        (*out)[i].oid = (Oid)strtoul(coco__pg_result(r, 0, (int)i * 2), NULL, 10);
        (*out)[i].mod = PQfmod(r, (int)i * 2 + 1);
    }
    PQclear(r);
    return COCO_OK;
}

static bool coco__pg_same_type(const coco__pg_real *real, const coco__pg_resolved *want)
{
    return real->oid == want->oid && real->mod == want->mod;
}

/* Whether the primary key is the declared one: the same columns in the same order. */
static bool coco__pg_same_key(const coco__pg_shape *s, const coco_schema *schema)
{
    int want = 0, is = 0;

    for (size_t i = 0; i < s->n; i++) is += s->columns[i].key > 0;
    for (size_t i = 0; i < schema->n; i++) {
        const coco__pg_real *real;
        if (!schema->columns[i].key) continue;
        real = coco__pg_find(s, schema->columns[i].name);
        if (!real || real->key != ++want) return false;
    }
    return want == is;
}

/* The record that the recorded table would have as it really is: the recorded one where nothing differs that matters.
 * Columns that nobody declared don't matter, nor does a missing NOT NULL, which is set when it holds. A table without
 * the recorded key is beyond repair: its record can't be read. */
static coco_status coco__pg_shape_record(coco_ctx *cx, const coco__pg_shape *s, const coco_table_decl *was,
                                         const coco__pg_resolved *types, coco_str *record)
{
    coco_column *columns = coco_alloc(cx, was->schema.n * sizeof *columns);
    coco_schema is = { .columns = columns };
    bool same = true;

    if (!columns) return COCO_ENOMEM;
    if (!coco__pg_same_key(s, &was->schema)) {
        *record = COCO_STR("?");
        return COCO_OK;
    }
    for (size_t i = 0; i < was->schema.n; i++) {
        const coco__pg_real *real = coco__pg_find(s, was->schema.columns[i].name);
        coco_column *c = &columns[is.n];
        same = same && real && coco__pg_same_type(real, &types[i]);
        if (!real) continue;
        same = same && !(real->not_null && was->schema.columns[i].nullable);
        is.n++;
        *c = was->schema.columns[i];
        if (real->not_null) c->nullable = false;
        if (coco__pg_same_type(real, &types[i])) continue;
        c->sql_type = coco_copy(cx, coco_str_of(real->type)).p;
        c->dim = 0;
        if (!c->sql_type) return COCO_ENOMEM;
    }
    return same ? COCO_OK : coco_table_declaration(cx, "table", &is, was->extra, record);
}
