/* rebuild.c - part of postgres.c: tables are made, altered in place, or rebuilt.
 *
 * A table is brought from whatever is there to what is declared, by what is really there: so it doesn't matter which
 * of several recorded possibilities holds, or what somebody changed by hand. In place where the server can; else
 *
 *   1. a shadow table is made, empty, with the declared columns (in the batch that declares the table);
 *   2. rows, indexes and SQL commands go to the shadow, or are noted down with it: an index under a name of its own,
 *      its real one in its comment; commands in the shadow's comment;
 *   3. when the update has ended with nothing failed, one transaction drops the old table and gives the shadow and its
 *      indexes their names, with the old one's grants, and runs the commands.
 *
 * Until then readers see the old table, whole. If the process dies, or something fails, the shadow stays, and the next
 * update goes on filling it. Everything here is inside a transaction of the caller's. */

/* What is to become of a table. */
typedef struct coco__pg_table_op {
    coco__pg_table *table;
    coco_table_decl want; /* no columns: it is to go */
    const char **drops;   /* columns that earlier declarations had and this one hasn't */
    size_t ndrops;
    bool rebuild;         /* it can't be had in place */
    bool rows_come;       /* every row will be written again, so they may go to a new table */
    bool anew;            /* nothing that was begun before counts */
} coco__pg_table_op;

/* One change under way. */
typedef struct coco__pg_alter {
    PGconn *conn;
    coco__pg_table_op *op;
    coco__pg_shape shape;
    coco__pg_resolved *types; /* of the declared columns */
    coco__pg_text t;          /* the statement at hand, and all memory */
} coco__pg_alter;

/* ---- What a table stands on ------------------------------------------------------------------------------------ */

/* Asking first means that who may not create schemas or extensions can use those that are there. */
static coco_status coco__pg_make_schema(coco__pg_alter *a, coco_err *err)
{
    const char *schema = a->op->table->schema;
    bool there;

    if (!*schema) return COCO_OK;
    coco__pg_putf(&a->t, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %l)", schema);
    COCO_TRY(coco__pg_ask(a->conn, &a->t, &there, err));
    if (there) return COCO_OK;
    coco__pg_putf(&a->t, "CREATE SCHEMA IF NOT EXISTS %i", schema);
    return coco__pg_exec_text(a->conn, &a->t, err);
}

static coco_status coco__pg_make_extension(coco__pg_alter *a, coco_err *err)
{
    const coco_schema *s = &a->op->want.schema;
    bool there, can, wanted = false;

    for (size_t i = 0; i < s->n; i++) wanted |= coco__pg_is_vector(s->columns[i].type) && !s->columns[i].sql_type;
    if (!wanted) return COCO_OK;
    coco__pg_puts(&a->t, "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')");
    COCO_TRY(coco__pg_ask(a->conn, &a->t, &there, err));
    if (there) return COCO_OK;
    coco__pg_puts(&a->t, "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')");
    COCO_TRY(coco__pg_ask(a->conn, &a->t, &can, err));
    if (!can)
        return coco_err_set(err, COCO_ENOTFOUND, "table %s has a vector column, and this server has no pgvector: "
                            "install the extension \"vector\"", a->op->table->name);
    coco__pg_puts(&a->t, "CREATE EXTENSION IF NOT EXISTS vector");
    return coco__pg_exec_text(a->conn, &a->t, err);
}

/* ---- Made ------------------------------------------------------------------------------------------------------ */

static void coco__pg_put_column(coco__pg_text *t, const coco_column *c)
{
    coco__pg_putf(t, "%i ", c->name);
    coco__pg_put_type(t, c);
}

static void coco__pg_put_keys(coco__pg_text *t, const coco_schema *s)
{
    const char *comma = "";

    for (size_t i = 0; i < s->n; i++) {
        if (!s->columns[i].key) continue;
        coco__pg_putf(t, "%s%i", comma, s->columns[i].name);
        comma = ", ";
    }
}

static coco_status coco__pg_create(coco__pg_alter *a, bool shadow, coco_err *err)
{
    const coco_schema *s = &a->op->want.schema;

    coco__pg_puts(&a->t, "CREATE TABLE ");
    coco__pg_put_table(&a->t, a->op->table, shadow);
    for (size_t i = 0; i < s->n; i++) {
        coco__pg_puts(&a->t, i ? ", " : " (");
        coco__pg_put_column(&a->t, &s->columns[i]);
        if (!s->columns[i].nullable) coco__pg_puts(&a->t, " NOT NULL");
    }
    coco__pg_puts(&a->t, ", PRIMARY KEY (");
    coco__pg_put_keys(&a->t, s);
    coco__pg_puts(&a->t, "))");
    COCO_TRY(coco__pg_exec_text(a->conn, &a->t, err));
    a->op->table->shadow = shadow;
    a->op->table->empty = a->op->table->filled = false;
    return COCO_OK;
}

static coco_status coco__pg_drop(PGconn *conn, const coco__pg_table *table, bool shadow, coco_err *err)
{
    coco__pg_text t = { 0 };
    coco_status rc;

    coco__pg_puts(&t, "DROP TABLE IF EXISTS ");
    coco__pg_put_table(&t, table, shadow);
    rc = coco__pg_exec_text(conn, &t, err);
    coco__pg_text_free(&t);
    return rc;
}

static coco_status coco__pg_make_shadow(coco__pg_alter *a, coco_err *err)
{
    if (!a->op->rows_come)
        return coco_err_set(err, COCO_EFAIL, "table %s is not what it was a moment ago", a->op->table->name);
    COCO_TRY(coco__pg_drop(a->conn, a->op->table, true, err));
    return coco__pg_create(a, true, err);
}

/* ---- Altered in place ------------------------------------------------------------------------------------------ */

/* The beginning of a change of the table that counts. */
static void coco__pg_begin_alter(coco__pg_alter *a, const char *what, const char *column)
{
    coco__pg_puts(&a->t, "ALTER TABLE ");
    coco__pg_put_table(&a->t, a->op->table, a->shape.of_shadow);
    coco__pg_putf(&a->t, " %s %i", what, column);
}

static coco_status coco__pg_drop_columns(coco__pg_alter *a, coco_err *err)
{
    for (size_t i = 0; i < a->op->ndrops; i++) {
        if (!coco__pg_find(&a->shape, a->op->drops[i])) continue;
        coco__pg_begin_alter(a, "DROP COLUMN", a->op->drops[i]);
        COCO_TRY(coco__pg_exec_text(a->conn, &a->t, err));
    }
    return COCO_OK;
}

/* Whether the server refused to convert what is in the column, or has no way to. */
static bool coco__pg_unconvertible(const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);

    return state && (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 || strcmp(state, "42846") == 0 ||
                     strcmp(state, "42804") == 0);
}

/* Changes the type under a savepoint; *cant says that the content can't be converted. */
static coco_status coco__pg_alter_type(coco__pg_alter *a, const coco_column *c, bool *cant, coco_err *err)
{
    PGresult *r;
    coco_status rc = COCO_OK;

    COCO_TRY(coco__pg_exec(a->conn, "SAVEPOINT coco", err));
    coco__pg_begin_alter(a, "ALTER COLUMN", c->name);
    coco__pg_puts(&a->t, " TYPE ");
    coco__pg_put_type(&a->t, c);
    coco__pg_putf(&a->t, " USING %i::", c->name);
    coco__pg_put_type(&a->t, c);
    if (a->t.failed) return coco_err_set(err, COCO_ENOMEM, "out of memory");
    r = PQexec(a->conn, a->t.p);
    a->t.n = 0;
    if (PQresultStatus(r) != PGRES_COMMAND_OK) {
        *cant = a->op->rows_come && coco__pg_unconvertible(r);
        rc = *cant ? coco__pg_exec(a->conn, "ROLLBACK TO SAVEPOINT coco", err)
                   : coco__pg_failed(a->conn, r, c->name, err);
    }
    PQclear(r);
    return rc == COCO_OK ? coco__pg_exec(a->conn, "RELEASE SAVEPOINT coco", err) : rc;
}

/* Brings one declared column to be. NOT NULL waits until the rows are there. */
static coco_status coco__pg_alter_column(coco__pg_alter *a, size_t i, bool *cant, coco_err *err)
{
    const coco_column *c = &a->op->want.schema.columns[i];
    const coco__pg_real *real = coco__pg_find(&a->shape, c->name);

    if (!c->nullable && !(real && real->not_null)) a->op->table->tighten = true;
    if (!real) {
        coco__pg_begin_alter(a, "ADD COLUMN", c->name);
        coco__pg_puts(&a->t, " ");
        coco__pg_put_type(&a->t, c);
        return coco__pg_exec_text(a->conn, &a->t, err);
    }
    if (!coco__pg_same_type(real, &a->types[i])) COCO_TRY(coco__pg_alter_type(a, c, cant, err));
    if (*cant || !c->nullable || !real->not_null) return COCO_OK;
    coco__pg_begin_alter(a, "ALTER COLUMN", c->name);
    coco__pg_puts(&a->t, " DROP NOT NULL");
    return coco__pg_exec_text(a->conn, &a->t, err);
}

static coco_status coco__pg_alter_table(coco__pg_alter *a, coco_err *err)
{
    bool cant = a->op->rebuild || !coco__pg_same_key(&a->shape, &a->op->want.schema);

    if (!cant) COCO_TRY(coco__pg_exec(a->conn, "SAVEPOINT coco_table", err));
    if (!cant) COCO_TRY(coco__pg_drop_columns(a, err));
    for (size_t i = 0; i < a->op->want.schema.n && !cant; i++) {
        COCO_TRY(coco__pg_alter_column(a, i, &cant, err));
        if (cant) COCO_TRY(coco__pg_exec(a->conn, "ROLLBACK TO SAVEPOINT coco_table", err));
    }
    return cant ? coco__pg_make_shadow(a, err) : COCO_OK;
}

/* Looks, and does what is to be done. */
static coco_status coco__pg_bring(coco__pg_alter *a, coco_err *err)
{
    coco__pg_table *table = a->op->table;

    COCO_TRY(coco__pg_make_schema(a, err));
    COCO_TRY(coco__pg_make_extension(a, err));
    if (a->op->anew) COCO_TRY(coco__pg_drop(a->conn, table, true, err));
    COCO_TRY(coco__pg_look(a->conn, table, &a->shape, err));
    if (a->shape.odd) return coco_err_set(err, COCO_EFAIL, "%s is there, and is no table", table->name);
    COCO_TRY(coco__pg_resolve(a->conn, &a->op->want.schema, &a->t.mem, &a->types, err));
    if (!a->shape.there && !a->shape.shadow_there) return coco__pg_create(a, false, err);
    return coco__pg_alter_table(a, err);
}

/* Makes the table what the action wants, or takes it away with all that is in it. */
static coco_status coco__pg_table_apply(PGconn *conn, coco__pg_table_op *op, coco_err *err)
{
    coco__pg_alter a = { .conn = conn, .op = op };
    coco_status rc;

    if (!op->want.schema.n) {
        op->table->shadow = false;
        COCO_TRY(coco__pg_drop(conn, op->table, true, err));
        return coco__pg_drop(conn, op->table, false, err);
    }
    rc = coco__pg_bring(&a, err);
    PQclear(a.shape.mem);
    coco__pg_text_free(&a.t);
    return rc;
}

/* ---- When the rows are there ----------------------------------------------------------------------------------- */

/* Runs each statement that the query puts together. */
static coco_status coco__pg_run_each(PGconn *conn, coco__pg_text *t, coco_err *err)
{
    PGresult *r = t->failed ? NULL : coco__pg_query(conn, t->p, err);
    coco_status rc = COCO_OK;

    if (t->failed) return coco_err_set(err, COCO_ENOMEM, "out of memory");
    t->n = 0;
    for (int i = 0; r && i < PQntuples(r) && rc == COCO_OK; i++)
        rc = coco__pg_exec(conn, coco__pg_result(r, i, 0), err);
    PQclear(r);
    return r ? rc : err->code;
}

/* Whoever could use the old table can use the new one. */
static coco_status coco__pg_copy_grants(PGconn *conn, const coco__pg_table *table, coco__pg_text *t, coco_err *err)
{
    coco__pg_putf(t, "SELECT format('GRANT %%s ON %%I.%%I TO %%s%%s', a.privilege_type, n.nspname, %l::text, CASE "
                     "a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN "
                     "a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM pg_class c JOIN pg_namespace n ON "
                     "n.oid = c.relnamespace, aclexplode(c.relacl) a WHERE c.relname = %l AND a.grantee <> c.relowner "
                     "AND " COCO__PG_NAMESPACE, table->shadow_name, table->name, table->schema);
    return coco__pg_run_each(conn, t, err);
}

/* Gives the indexes of what was the shadow their names: those in their comments, and the key's the usual one. */
static coco_status coco__pg_name_indexes(PGconn *conn, const coco__pg_table *table, coco__pg_text *t, coco_err *err)
{
    coco__pg_putf(t, "SELECT format('ALTER INDEX %%I.%%I RENAME TO %%I', n.nspname, x.relname, coalesce(substr("
                     "obj_description(x.oid, 'pg_class'), 12), left(c.relname, 58) || '_pkey')) FROM pg_class c JOIN "
                     "pg_namespace n ON n.oid = c.relnamespace JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x "
                     "ON x.oid = i.indexrelid WHERE c.relname = %l AND (i.indisprimary AND to_regclass(format("
                     "'%%I.%%I', n.nspname, left(c.relname, 58) || '_pkey')) IS NULL OR obj_description(x.oid, "
                     "'pg_class') LIKE 'cocoindex: %%') AND " COCO__PG_NAMESPACE, table->name, table->schema);
    COCO_TRY(coco__pg_run_each(conn, t, err));
    coco__pg_putf(t, "SELECT format('COMMENT ON INDEX %%I.%%I IS NULL', n.nspname, x.relname) FROM pg_class c JOIN "
                     "pg_namespace n ON n.oid = c.relnamespace JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x "
                     "ON x.oid = i.indexrelid WHERE c.relname = %l AND obj_description(x.oid, 'pg_class') LIKE "
                     "'cocoindex: %%' AND " COCO__PG_NAMESPACE, table->name, table->schema);
    return coco__pg_run_each(conn, t, err);
}

/* What the shadow's comment holds; NULL after a failure. To be cleared. */
static PGresult *coco__pg_comment(PGconn *conn, const coco__pg_table *table, coco_err *err)
{
    coco__pg_text t = { 0 };
    PGresult *r = NULL;

    coco__pg_putf(&t, "SELECT coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class c JOIN pg_namespace n ON "
                      "n.oid = c.relnamespace WHERE c.relname = %l AND " COCO__PG_NAMESPACE, table->shadow_name,
                  table->schema);
    if (t.failed) coco_err_set(err, COCO_ENOMEM, "out of memory");
    else r = coco__pg_query(conn, t.p, err);
    coco__pg_text_free(&t);
    if (r && PQntuples(r) == 0) {
        coco_err_set(err, COCO_ENOTFOUND, "the table that %s is rebuilt in is gone", table->name);
        PQclear(r);
        return NULL;
    }
    return r;
}

/* Takes the next text off a comment: its length, a colon, and the text. */
static bool coco__pg_comment_next(coco_str *rest, coco_str *text)
{
    size_t n = 0;

    while (rest->n && *rest->p >= '0' && *rest->p <= '9') n = n * 10 + (size_t)(*rest->p - '0'), rest->p++, rest->n--;
    if (rest->n < n + 1 || *rest->p != ':') return false;
    *text = (coco_str){ rest->p + 1, n };
    *rest = (coco_str){ rest->p + 1 + n, rest->n - n - 1 };
    return true;
}

static void coco__pg_comment_put(coco__pg_text *t, coco_str text)
{
    coco__pg_putf(t, "%d:", (int)text.n);
    coco__pg_put(t, text.p, text.n);
}

/* Runs the commands that were noted down: a name, a teardown, a setup. */
static coco_status coco__pg_run_noted(PGconn *conn, coco_str notes, coco__pg_text *t, coco_err *err)
{
    coco_str name, sql[2];

    while (coco__pg_comment_next(&notes, &name) && coco__pg_comment_next(&notes, &sql[0]) &&
           coco__pg_comment_next(&notes, &sql[1])) {
        coco_status rc;
        t->n = 0;
        coco__pg_put(t, sql[0].p, sql[0].n);
        coco__pg_put(t, "", 1); /* two texts in one, each with its end */
        coco__pg_put(t, sql[1].p, sql[1].n);
        if (t->failed) return coco_err_set(err, COCO_ENOMEM, "out of memory");
        rc = coco__pg_exec_setup(conn, t->p, t->p + sql[0].n + 1, err);
        t->n = 0;
        COCO_TRY(rc);
    }
    return COCO_OK;
}

static coco_status coco__pg_swap_steps(PGconn *conn, const coco__pg_table *table, coco__pg_text *t, coco_err *err)
{
    PGresult *notes = coco__pg_comment(conn, table, err);
    coco_status rc;

    if (!notes) return err->code;
    rc = coco__pg_copy_grants(conn, table, t, err);
    if (rc == COCO_OK) rc = coco__pg_drop(conn, table, false, err);
    coco__pg_puts(t, "ALTER TABLE ");
    coco__pg_put_table(t, table, true);
    coco__pg_putf(t, " RENAME TO %i; COMMENT ON TABLE ", table->name);
    coco__pg_put_table(t, table, false);
    coco__pg_puts(t, " IS NULL");
    if (rc == COCO_OK) rc = coco__pg_exec_text(conn, t, err);
    if (rc == COCO_OK) rc = coco__pg_name_indexes(conn, table, t, err);
    if (rc == COCO_OK) rc = coco__pg_run_noted(conn, coco_str_of(coco__pg_result(notes, 0, 0)), t, err);
    PQclear(notes);
    return rc;
}

/* Ends a transaction as rc says; a failure of the commit is the caller's. */
static coco_status coco__pg_end(PGconn *conn, coco_status rc, coco_err *err)
{
    if (rc == COCO_OK) return coco__pg_exec(conn, "COMMIT", err);
    PQclear(PQexec(conn, "ROLLBACK"));
    return rc;
}

/* The shadow takes the table's place. */
static coco_status coco__pg_swap(PGconn *conn, coco__pg_table *table, coco_err *err)
{
    coco__pg_text t = { 0 };
    coco_status rc = coco__pg_exec(conn, "BEGIN", err);

    if (rc == COCO_OK) rc = coco__pg_end(conn, coco__pg_swap_steps(conn, table, &t, err), err);
    coco__pg_text_free(&t);
    if (rc == COCO_OK) table->shadow = false;
    return rc;
}

/* Sets NOT NULL on a column where it isn't and holds. */
static coco_status coco__pg_tighten_column(PGconn *conn, const coco__pg_table *table, const coco__pg_real *real,
                                           coco__pg_text *t, coco_err *err)
{
    bool holds;

    if (!real || real->not_null) return COCO_OK;
    coco__pg_puts(t, "SELECT NOT EXISTS (SELECT FROM ");
    coco__pg_put_table(t, table, table->shadow);
    coco__pg_putf(t, " WHERE %i IS NULL)", real->name);
    COCO_TRY(coco__pg_ask(conn, t, &holds, err));
    if (!holds) return COCO_OK;
    coco__pg_puts(t, "ALTER TABLE ");
    coco__pg_put_table(t, table, table->shadow);
    coco__pg_putf(t, " ALTER COLUMN %i SET NOT NULL", real->name);
    return coco__pg_exec_text(conn, t, err);
}

static coco_status coco__pg_tighten(PGconn *conn, coco__pg_table *table, coco_err *err)
{
    coco__pg_text t = { 0 };
    coco__pg_shape s;
    coco_status rc = coco__pg_look(conn, table, &s, err);

    for (size_t i = 0; i < table->nrequired && rc == COCO_OK; i++)
        rc = coco__pg_tighten_column(conn, table, coco__pg_find(&s, table->required[i]), &t, err);
    for (size_t i = 0; table->rows && i < table->rows->decl.schema.n && rc == COCO_OK; i++) {
        const coco_column *c = &table->rows->decl.schema.columns[i];
        if (!c->nullable) rc = coco__pg_tighten_column(conn, table, coco__pg_find(&s, c->name), &t, err);
    }
    PQclear(s.mem);
    coco__pg_text_free(&t);
    return rc;
}
