/* target.c - part of postgres.c: the handlers and the sink.
 *
 * Root targets "postgres", one a connection's context key; its states are tables: a text, or [schema, table]. A table's
 * rows are reconciled by rows.h. What a table needs of a change (which columns to drop, whether it may be rebuilt) is
 * worked out in reconcile, from the records; how it is done, in the sink, from what is really there.
 *
 * A batch is one transaction: tables, deletes, rows, commands. Indexes come behind it, each by itself, so their actions
 * are answered one by one. */

/* ---- Decisions ------------------------------------------------------------------------------------------------- */

/* What the server can do about a column. What it can't convert after all is rebuilt (coco__pg_alter_table): every row
 * comes again in either case. */
static coco_convert coco__pg_convert(const coco_column *from, const coco_column *to)
{
    bool same = from->type == to->type && from->dim == to->dim && !from->sql_type == !to->sql_type &&
                (!from->sql_type || strcmp(from->sql_type, to->sql_type) == 0);

    if (same && from->key == to->key) return COCO_CONVERT_KEPT; /* only whether it may be null */
    if (coco__pg_is_vector(from->type) || coco__pg_is_vector(to->type)) return COCO_CONVERT_REBUILD;
    return COCO_CONVERT_LOSSY;
}

/* The columns that a possible declaration has and the wanted one hasn't. */
static coco_status coco__pg_collect_drops(coco_ctx *cx, const coco_table_decl *was, coco__pg_table_op *op)
{
    const char **all = coco_alloc(cx, (op->ndrops + was->schema.n) * sizeof *all);

    if (!all) return COCO_ENOMEM;
    if (op->ndrops) memcpy(all, op->drops, op->ndrops * sizeof *all);
    op->drops = all;
    for (size_t i = 0; i < was->schema.n; i++) {
        const char *name = was->schema.columns[i].name;
        bool known = coco_schema_find(&op->want.schema, name) < op->want.schema.n;
        for (size_t j = 0; j < op->ndrops; j++) known |= strcmp(all[j], name) == 0;
        if (!known) all[op->ndrops++] = name;
    }
    return COCO_OK;
}

static coco_status coco__pg_table_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    coco__pg_table_op *op = coco_alloc(cx, sizeof *op);
    coco_table_change change;
    coco_table_decl was;

    if (!op || !(op->table = coco__pg_table_of(cx, self, in->key))) return COCO_ENOMEM;
    COCO_TRY(coco_table_reconcile(cx, in, coco__pg_convert, out, NULL, &change));
    out->action.value = op;
    if (!in->desired) return COCO_OK;
    if (coco_table_decode(cx, coco_text_of(*in->desired), &op->want) != COCO_OK) return COCO_ETYPE;
    /* what may be missing may be anything else, too: the rows must come, for a table that has to be made anew */
    if (in->may_be_missing && out->children == COCO_CHILDREN_KEPT) out->children = COCO_CHILDREN_LOSSY;
    op->rebuild = out->children == COCO_CHILDREN_DESTROYED;
    op->anew = op->rebuild || out->action.kind == COCO_INSERT;
    op->rows_come = op->anew || out->children == COCO_CHILDREN_LOSSY;
    for (size_t i = 0; i < in->npossible; i++) {
        op->anew |= !in->possible[i].p;
        op->rows_come |= !in->possible[i].p;
        if (!in->possible[i].p || coco_table_decode(cx, in->possible[i], &was) != COCO_OK) continue;
        COCO_TRY(coco__pg_collect_drops(cx, &was, op));
    }
    return COCO_OK;
}

/* A NUL in a text, which the server can't store: refused here, where the row is known, unless it is to be left out. */
static coco_status coco__pg_no_nul(coco_ctx *cx, const coco__pg_place *place, const coco_change *in)
{
    const coco_schema *s = &place->rows.decl.schema;
    bool strip = place->run->db->opts.nul == COCO_POSTGRES_NUL_STRIP;
    uint8_t record[16];
    coco_str rest = coco_row_desired(in->desired, record), key;
    coco_cell cell;

    for (size_t i = 0; i < s->n && coco_cell_next(&rest, &cell); i++) {
        if (cell.null || !coco__pg_is_text(cell.type) || !coco__pg_nuls(cell.s)) continue;
        if (strip && !s->columns[i].key) continue;
        COCO_TRY(coco_print(cx, in->key, &key));
        return coco_fail(cx, COCO_EINVAL, "table %s, row %.*s, column %s: a NUL in a text, which PostgreSQL can't "
                         "store", place->rows.table, (int)(key.n < 200 ? key.n : 200), key.p, s->columns[i].name);
    }
    return COCO_OK;
}

static coco_status coco__pg_rows_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    COCO_TRY(coco_rows_reconcile(cx, self, in, out));
    return out->act && in->desired ? coco__pg_no_nul(cx, self, in) : COCO_OK;
}

/* ---- The sink -------------------------------------------------------------------------------------------------- */

/* A row's key is a list, an attachment's a text. */
static bool coco__pg_is_rows(const coco_action *a)
{
    return !a->container && a->key.kind == COCO_LIST;
}

static bool coco__pg_is_side(const coco_action *a)
{
    return !a->container && !coco__pg_is_rows(a);
}

/* Whether the action makes an index, which comes after the transaction. */
static bool coco__pg_is_index(const coco_action *a)
{
    const coco__pg_side_op *op = a->value;

    return coco__pg_is_side(a) && (op->want.kind == COCO__PG_INDEX || op->want.kind == COCO__PG_UNIQUE);
}

/* The rows from i on that one series of statements can carry: of one table, and all to be deleted or none. */
static size_t coco__pg_together(coco_action **actions, size_t i, size_t n)
{
    const void *place = coco_target_self(actions[i]->target);
    size_t end = i + 1;

    while (end < n && coco__pg_is_rows(actions[end]) && coco_target_self(actions[end]->target) == place &&
           (actions[end]->kind == COCO_DELETE) == (actions[i]->kind == COCO_DELETE))
        end++;
    return end;
}

/* Rows and tables in the order they come; what is declared beside rows (side true) in a pass of its own. */
static coco_status coco__pg_pass(PGconn *conn, coco_action **actions, size_t n, bool side, coco_err *err)
{
    for (size_t i = 0, next; i < n; i = next) {
        next = i + 1;
        if (coco__pg_is_side(actions[i]) != side) continue;
        if (coco__pg_is_rows(actions[i])) {
            next = coco__pg_together(actions, i, n);
            COCO_TRY(coco__pg_rows_apply(conn, coco_target_self(actions[i]->target), actions + i, next - i, err));
        } else if (side) {
            COCO_TRY(coco__pg_side_apply(conn, actions[i]->value, err));
        } else {
            COCO_TRY(coco__pg_table_apply(conn, actions[i]->value, err));
        }
    }
    return COCO_OK;
}

/* Where the containers' deletes begin: the order in a batch puts them last. */
static size_t coco__pg_drops_at(coco_action **actions, size_t n)
{
    while (n && actions[n - 1]->container && actions[n - 1]->kind == COCO_DELETE) n--;
    return n;
}

/* The batch but for new indexes, in one transaction. */
static coco_status coco__pg_transaction(PGconn *conn, coco_action **actions, size_t n, coco_err *err)
{
    size_t drops = coco__pg_drops_at(actions, n);
    coco_status rc;

    COCO_TRY(coco__pg_exec(conn, "BEGIN", err));
    rc = coco__pg_pass(conn, actions, drops, false, err);
    if (rc == COCO_OK) rc = coco__pg_pass(conn, actions, drops, true, err);
    if (rc == COCO_OK) rc = coco__pg_pass(conn, actions + drops, n - drops, false, err);
    return coco__pg_end(conn, rc, err);
}

/* What a transaction that was rolled back did to tables is not so: it is looked up again. */
static void coco__pg_forget_tables(coco__pg_run *run)
{
    pthread_mutex_lock(&run->db->lock);
    for (coco__pg_table *t = run->tables; t; t = t->next) t->looked = t->shadow = t->empty = t->filled = false;
    pthread_mutex_unlock(&run->db->lock);
}

static coco_status coco__pg_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    coco__pg_run *run = self;
    PGconn *conn;
    coco_err e = { 0 };
    coco_status rc = coco__pg_take(run->db, &conn, err);

    if (rc != COCO_OK) return rc;
    rc = coco__pg_transaction(conn, actions, n, err);
    if (rc != COCO_OK) coco__pg_forget_tables(run);
    for (size_t i = 0; i < n && rc == COCO_OK; i++) {
        if (coco__pg_is_index(actions[i]) && coco__pg_index_apply(run->db, conn, actions[i]->value, &e) != COCO_OK)
            coco_action_fail(actions[i], &e);
        else actions[i]->answer = COCO_OK;
    }
    coco__pg_give(run->db, conn);
    return rc;
}

/* The update is over, and nothing failed: NOT NULL is set where it holds now, and shadows take their tables' places.
 * Else both wait for an update that does. */
static coco_status coco__pg_finish(void *self, bool whole, coco_err *err)
{
    coco__pg_run *run = self;
    PGconn *conn = NULL;
    coco_status rc = COCO_OK;

    for (coco__pg_table *t = run->tables; t && rc == COCO_OK; t = t->next) {
        if (!whole || (!t->tighten && !t->shadow)) continue;
        if (!conn) rc = coco__pg_take(run->db, &conn, err);
        if (rc == COCO_OK && t->tighten) rc = coco__pg_tighten(conn, t, err);
        if (rc == COCO_OK && t->shadow) rc = coco__pg_swap(conn, t, err);
    }
    coco__pg_give(run->db, conn);
    return rc;
}

/* ---- Handlers -------------------------------------------------------------------------------------------------- */

static coco_status coco__pg_attachment(coco_ctx *cx, void *self, const char *name, coco_target_handler *out)
{
    const coco__pg_place *place = self;
    coco__pg_side *side = coco_alloc(cx, sizeof *side);

    if (!side) return COCO_ENOMEM;
    if (strcmp(name, "index") != 0 && strcmp(name, "sql") != 0)
        return coco_fail(cx, COCO_EINVAL, "a table has no %s", name);
    *side = (coco__pg_side){ place->run, place->table };
    out->name = "postgres";
    out->self = side;
    out->sink = &place->run->sink;
    out->reconcile = coco__pg_side_reconcile;
    return COCO_OK;
}

static coco_status coco__pg_child(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
                                  coco_target_handler *out)
{
    coco__pg_place *place = coco_alloc(cx, sizeof *place);
    coco__pg_run *run = self;
    coco_str title;

    if (!place || !(place->table = coco__pg_table_of(cx, run, key))) return COCO_ENOMEM;
    COCO_TRY(coco_rows_init(cx, &place->rows, place->table->name, desired, record));
    place->rows.system = "postgres";
    place->rows.keeps = coco__pg_keeps;
    place->run = run;
    place->table->rows = &place->rows;
    title = coco_format(cx, "%s/%s%s%s", run->name, place->table->schema, *place->table->schema ? "." : "",
                        place->table->name);
    if (!title.p) return COCO_ENOMEM;
    *out = (coco_target_handler){ .name = "postgres", .self = place, .sink = &run->sink, .title = title,
                                  .reconcile = coco__pg_rows_reconcile, .attachment = coco__pg_attachment,
                                  .verify = coco__pg_verify, .list = coco__pg_list };
    return COCO_OK;
}

static coco_status coco__pg_make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    coco__pg_run *run = coco_alloc(cx, sizeof *run);
    coco_str name = coco_copy(cx, coco_text_of(key));
    coco_value v;

    if (!run || !name.p) return COCO_ENOMEM;
    v = coco_context_named(cx, name.p);
    run->db = coco_postgres_of(v);
    run->name = name.p;
    if (!run->db) {
        COCO_TRY(coco_error(cx));
        return coco_fail(cx, COCO_ETYPE, "the context value \"%s\" is no PostgreSQL connection", name.p);
    }
    run->sink = (coco_sink){ .self = run, .apply = coco__pg_apply, .finish = coco__pg_finish, .name = "postgres",
                             .max_actions = run->db->opts.max_actions ? run->db->opts.max_actions : 10000,
                             .retry_ms = run->db->opts.retry_ms };
    *out = (coco_target_handler){ .name = "postgres", .self = run, .sink = &run->sink, .title = name,
                                  .reconcile = coco__pg_table_reconcile, .child = coco__pg_child,
                                  .exists = coco__pg_exists, .drop_removes_content = true };
    return COCO_OK;
}

static coco_target_type coco__pg_type_root = { .name = "postgres", .make = coco__pg_make };

COCO_AT_START(coco__pg_target)
{
    coco_target_register(&coco__pg_type_root);
}
