/* attach.c - part of postgres.c: what a table has besides rows: indexes, unique constraints, SQL of the program's own.
 *
 * The desired value, which is also the tracking record: parts, each with its length and a colon before it: the kind
 * ("index", "unique" or "sql"), and of an index its definition behind ON TABLE, of SQL its teardown and its setup.
 *
 * An index is made under a name of its own and takes the declared one when it is whole, in the place of the one before
 * it: readers never lack it, and what a crash or a failure left is found and dropped. On a table with rows it is made
 * CONCURRENTLY, outside the batch's transaction, when the batch's rows are in. A unique index becomes a constraint that
 * is checked at the commit, so that values may be swapped between the rows of one batch. */

typedef enum coco__pg_kind { COCO__PG_UNKNOWN, COCO__PG_INDEX, COCO__PG_UNIQUE, COCO__PG_SQL } coco__pg_kind;

/* What one attachment is. */
typedef struct coco__pg_thing {
    coco__pg_kind kind;
    const char *setup;    /* an index's definition, or the SQL */
    const char *teardown; /* of SQL; "" if there is none */
} coco__pg_thing;

/* The place of a table's attachments; self of their handlers. */
typedef struct coco__pg_side {
    coco__pg_run *run;
    coco__pg_table *table;
} coco__pg_side;

/* An action on one. */
typedef struct coco__pg_side_op {
    coco__pg_table *table;
    const char *name;
    coco__pg_thing want;   /* kind unknown: it is to go */
    const char **teardown; /* of SQL that may be in force, ended with NULL */
    bool may_index;        /* an index of that name may be there */
} coco__pg_side_op;

/* A new index's own name, until it is whole. */
static void coco__pg_temporary(const coco__pg_table *table, const char *name, char out[32])
{
    coco_hash h;
    uint8_t fp[16];

    coco_hash_begin(&h);
    coco_hash_add(&h, table->name, strlen(table->name) + 1);
    coco_hash_add(&h, name, strlen(name));
    coco_hash_end(&h, fp);
    memcpy(out, "coco_index_", 12);
    for (size_t i = 0; i < 8; i++) snprintf(out + 11 + 2 * i, 3, "%02x", fp[i]);
}

/* ---- Records --------------------------------------------------------------------------------------------------- */

/* A text out of a record, NUL-terminated in cx's memory. */
static bool coco__pg_thing_part(coco_ctx *cx, coco_str *rest, const char **out)
{
    coco_str s;

    return coco__pg_comment_next(rest, &s) && (*out = coco_copy(cx, s).p) != NULL;
}

/* Reads a record; what can't be read is of unknown kind. */
static coco__pg_thing coco__pg_thing_of(coco_ctx *cx, coco_str record)
{
    static const char *const kinds[] = { "", "index", "unique", "sql" };
    coco__pg_thing t = { .setup = "", .teardown = "" };
    const char *kind;

    if (!coco__pg_thing_part(cx, &record, &kind)) return t;
    for (int i = COCO__PG_SQL; i > COCO__PG_UNKNOWN; i--)
        if (strcmp(kind, kinds[i]) == 0) t.kind = (coco__pg_kind)i;
    if (t.kind == COCO__PG_SQL && !coco__pg_thing_part(cx, &record, &t.teardown)) t.kind = COCO__PG_UNKNOWN;
    if (!coco__pg_thing_part(cx, &record, &t.setup)) t.kind = COCO__PG_UNKNOWN;
    return t;
}

/* ---- SQL ------------------------------------------------------------------------------------------------------- */

/* Notes commands down with the shadow, in the place of earlier ones of that name; none where setup is NULL. */
static coco_status coco__pg_note(PGconn *conn, const coco__pg_side_op *op, coco_err *err)
{
    PGresult *r = coco__pg_comment(conn, op->table, err);
    coco__pg_text notes = { 0 }, t = { 0 };
    coco_str rest, part[3];
    coco_status rc;

    if (!r) return err->code;
    rest = coco_str_of(coco__pg_result(r, 0, 0));
    while (coco__pg_comment_next(&rest, &part[0]) && coco__pg_comment_next(&rest, &part[1]) &&
           coco__pg_comment_next(&rest, &part[2]))
        for (size_t i = 0; i < 3 && !coco_str_equal(part[0], coco_str_of(op->name)); i++)
            coco__pg_comment_put(&notes, part[i]);
    if (op->want.kind == COCO__PG_SQL) {
        coco__pg_comment_put(&notes, coco_str_of(op->name));
        coco__pg_comment_put(&notes, coco_str_of(op->want.teardown));
        coco__pg_comment_put(&notes, coco_str_of(op->want.setup));
    }
    coco__pg_puts(&t, "COMMENT ON TABLE ");
    coco__pg_put_table(&t, op->table, true);
    coco__pg_putf(&t, " IS %l", notes.p ? notes.p : "");
    t.failed |= notes.failed;
    rc = coco__pg_exec_text(conn, &t, err);
    coco__pg_text_free(&notes);
    coco__pg_text_free(&t);
    PQclear(r);
    return rc;
}

/* ---- Indexes --------------------------------------------------------------------------------------------------- */

/* Drops what this table has as an index of either name, with the constraint that it may stand for. What bears the name
 * and belongs to another table is left alone. */
static coco_status coco__pg_drop_index(PGconn *conn, const coco__pg_side_op *op, const char *name, coco_err *err)
{
    coco__pg_text t = { 0 };
    coco_status rc;

    coco__pg_putf(&t, "SELECT CASE WHEN k.oid IS NULL THEN format('DROP INDEX %%I.%%I', n.nspname, x.relname) ELSE "
                      "format('ALTER TABLE %%I.%%I DROP CONSTRAINT %%I', n.nspname, c.relname, k.conname) END FROM "
                      "pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid JOIN "
                      "pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_constraint k ON k.conindid = x.oid AND "
                      "k.contype = 'u' WHERE x.relname = %l AND c.relname IN (%l, %l) AND NOT i.indisprimary AND "
                      COCO__PG_NAMESPACE, name, op->table->name, op->table->shadow_name, op->table->schema);
    rc = coco__pg_run_each(conn, &t, err);
    coco__pg_text_free(&t);
    return rc;
}

static void coco__pg_put_index(coco__pg_text *t, const coco__pg_table *table, const char *index)
{
    if (*table->schema) coco__pg_putf(t, "%i.", table->schema);
    coco__pg_putf(t, "%i", index);
}

/* A new index that belongs to a shadow: its name, for when the shadow takes the table's place. */
static coco_status coco__pg_name_later(PGconn *conn, const coco__pg_side_op *op, const char *made, coco_err *err)
{
    coco__pg_text t = { 0 }, name = { 0 };
    coco_status rc;

    coco__pg_putf(&name, "cocoindex: %s", op->name);
    coco__pg_puts(&t, "COMMENT ON INDEX ");
    coco__pg_put_index(&t, op->table, made);
    coco__pg_putf(&t, " IS %l", name.p ? name.p : "");
    t.failed |= name.failed;
    rc = coco__pg_exec_text(conn, &t, err);
    coco__pg_text_free(&name);
    coco__pg_text_free(&t);
    return rc;
}

/* The new index takes the name of the one before it, or becomes the constraint. */
static coco_status coco__pg_take_name(PGconn *conn, const coco__pg_side_op *op, const char *made, coco_err *err)
{
    bool shadow = op->table->shadow, unique = op->want.kind == COCO__PG_UNIQUE;
    coco__pg_text t = { 0 };
    coco_status rc = shadow ? COCO_OK : coco__pg_drop_index(conn, op, op->name, err);

    coco__pg_puts(&t, unique ? "ALTER TABLE " : "ALTER INDEX ");
    if (unique) coco__pg_put_table(&t, op->table, shadow);
    else coco__pg_put_index(&t, op->table, made);
    if (unique)
        coco__pg_putf(&t, " ADD CONSTRAINT %i UNIQUE USING INDEX %i DEFERRABLE INITIALLY DEFERRED",
                      shadow ? made : op->name, made);
    else coco__pg_putf(&t, " RENAME TO %i", op->name);
    if (rc == COCO_OK && (unique || !shadow)) rc = coco__pg_exec_text(conn, &t, err);
    coco__pg_text_free(&t);
    return rc == COCO_OK && shadow ? coco__pg_name_later(conn, op, made, err) : rc;
}

/* CREATE INDEX, without readers or writers waiting for it where there is something to index. */
static coco_status coco__pg_create_index(PGconn *conn, const coco__pg_side_op *op, const char *made, coco_err *err)
{
    coco__pg_text t = { 0 };
    bool rows = false;
    coco_status rc = COCO_OK;

    if (!op->table->shadow) {
        coco__pg_puts(&t, "SELECT EXISTS (SELECT FROM ");
        coco__pg_put_table(&t, op->table, false);
        coco__pg_puts(&t, ")");
        rc = coco__pg_ask(conn, &t, &rows, err);
    }
    coco__pg_putf(&t, "CREATE %sINDEX %s%i ON ", op->want.kind == COCO__PG_UNIQUE ? "UNIQUE " : "",
                  rows ? "CONCURRENTLY " : "", made);
    coco__pg_put_table(&t, op->table, op->table->shadow);
    coco__pg_putf(&t, " %s", op->want.setup);
    if (rc == COCO_OK) rc = coco__pg_exec_text(conn, &t, err);
    coco__pg_text_free(&t);
    return rc;
}

/* Makes an index, outside a transaction. It may take longer than a statement usually may. */
static coco_status coco__pg_index_apply(const coco_postgres *db, PGconn *conn, const coco__pg_side_op *op,
                                        coco_err *err)
{
    char made[32], limit[64];
    coco_status rc;

    coco__pg_temporary(op->table, op->name, made);
    snprintf(limit, sizeof limit, "SET statement_timeout = %u", db->opts.statement_timeout_ms);
    COCO_TRY(coco__pg_look_shadow(conn, op->table, err));
    COCO_TRY(coco__pg_drop_index(conn, op, made, err));
    COCO_TRY(coco__pg_exec(conn, "SET statement_timeout = 0", err));
    rc = coco__pg_create_index(conn, op, made, err);
    if (PQstatus(conn) == CONNECTION_OK) PQclear(PQexec(conn, limit));
    if (rc == COCO_OK) rc = coco__pg_exec(conn, "BEGIN", err);
    if (rc == COCO_OK) rc = coco__pg_end(conn, coco__pg_take_name(conn, op, made, err), err);
    if (rc != COCO_OK && PQstatus(conn) == CONNECTION_OK) coco__pg_drop_index(conn, op, made, NULL);
    return rc;
}

/* The part of an attachment's action that belongs into the batch's transaction: all but making an index. */
static coco_status coco__pg_side_apply(PGconn *conn, const coco__pg_side_op *op, coco_err *err)
{
    char made[32];

    COCO_TRY(coco__pg_look_shadow(conn, op->table, err));
    if (op->may_index && op->want.kind != COCO__PG_INDEX && op->want.kind != COCO__PG_UNIQUE) {
        coco__pg_temporary(op->table, op->name, made);
        COCO_TRY(coco__pg_drop_index(conn, op, op->name, err));
        COCO_TRY(coco__pg_drop_index(conn, op, made, err));
    }
    for (size_t i = 0; op->teardown[i] && !op->table->shadow; i++)
        COCO_TRY(coco__pg_exec_setup(conn, op->teardown[i], "", err));
    if (op->table->shadow && (op->want.kind == COCO__PG_SQL || op->teardown[0])) return coco__pg_note(conn, op, err);
    if (op->want.kind != COCO__PG_SQL) return COCO_OK;
    return coco__pg_exec_setup(conn, op->want.teardown, op->want.setup, err);
}

/* ---- Handlers -------------------------------------------------------------------------------------------------- */

static coco_status coco__pg_side_text(coco_ctx *cx, const coco__pg_thing *t, coco_action *a)
{
    if (!coco_is_preview(cx)) return COCO_OK;
    a->text = t->kind == COCO__PG_SQL ? COCO_STR("SQL") : coco_copy(cx, coco_str_of(t->setup));
    return a->text.p ? COCO_OK : COCO_ENOMEM;
}

/* What may be in force of an attachment, by its records. */
static coco_status coco__pg_side_possible(coco_ctx *cx, const coco_change *in, coco__pg_side_op *op, bool *there)
{
    size_t n = 0;

    if (!(op->teardown = coco_alloc(cx, (in->npossible + 1) * sizeof *op->teardown))) return COCO_ENOMEM;
    for (size_t i = 0; i < in->npossible; i++) {
        coco__pg_thing t;
        if (!in->possible[i].p) continue;
        *there = true;
        t = coco__pg_thing_of(cx, in->possible[i]);
        if (t.kind == COCO__PG_SQL && *t.teardown) op->teardown[n++] = t.teardown;
        op->may_index |= t.kind != COCO__PG_SQL;
    }
    return coco_error(cx);
}

static coco_status coco__pg_side_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    const coco__pg_side *side = self;
    coco_str want = in->desired ? coco_text_of(*in->desired) : (coco_str){ NULL, 0 };
    coco__pg_side_op *op;
    bool there = false;

    if (in->desired && in->npossible == 1 && !in->may_be_missing && in->possible[0].p &&
        coco_str_equal(in->possible[0], want))
        return COCO_OK;
    if (!(op = coco_alloc(cx, sizeof *op))) return COCO_ENOMEM;
    op->table = side->table;
    op->name = coco_copy(cx, coco_text_of(in->key)).p;
    if (!op->name) return COCO_ENOMEM;
    COCO_TRY(coco__pg_side_possible(cx, in, op, &there));
    if (in->desired) op->want = coco__pg_thing_of(cx, want);
    if (in->desired && op->want.kind == COCO__PG_UNKNOWN)
        return coco_fail(cx, COCO_ETYPE, "an index must be declared by coco_postgres_declare_index and the like");
    out->act = true;
    out->action.kind = !in->desired ? COCO_DELETE : there ? COCO_UPDATE : COCO_INSERT;
    out->action.value = op;
    out->record = want;
    return in->desired ? coco__pg_side_text(cx, &op->want, &out->action) : COCO_OK;
}
