/* target.c - part of sqlite.c: the sink and the handlers.
 *
 * A batch is one transaction: tables made and altered, attachments that go or change taken down, rows deleted, rows
 * written, attachments set up, tables dropped. If anything fails all of it is undone, and the engine tries the batch's
 * components one by one; so the rows of one component are written together or not at all. */

/* ---- The sink ---------------------------------------------------------------------------------------------------- */

static const char *coco__sq_key_name(const coco_action *a, char **name)
{
    coco_str key = coco_text_of(a->key);

    return *name = sqlite3_mprintf("%.*s", (int)key.n, key.p);
}

/* One table made, altered (drop false) or dropped. */
static coco_status coco__sq_table_action(coco__sq_root *root, coco_action *a, coco_err *err)
{
    coco_sqlite *s = root->db;
    char *name;
    coco_status rc;

    if (!coco__sq_key_name(a, &name)) return coco__sq_oom(err);
    coco__sq_forget_statements(s);
    rc = coco__sq_note_seen(root, name);
    if (rc == COCO_OK && a->kind == COCO_DELETE) rc = coco__sq_drop_table(s, name, err);
    else if (rc == COCO_OK) rc = coco__sq_set_table(s, name, a, err);
    sqlite3_free(name);
    return rc;
}

/* The engine puts tables to be made or altered first and those to be dropped last. */
static coco_status coco__sq_tables(coco__sq_root *root, coco_action **actions, size_t n, coco_err *err)
{
    for (size_t i = 0; i < n && actions[i]->container; i++) COCO_TRY(coco__sq_table_action(root, actions[i], err));
    return COCO_OK;
}

/* How many actions come before the tables to be dropped; *attached: are there attachments among them? A batch may be of
 * a million rows: only where the target changes is more looked at. */
static size_t coco__sq_sort_out(coco_action **actions, size_t n, bool *attached)
{
    const coco_target *last = NULL;

    while (n && actions[n - 1]->container && actions[n - 1]->kind == COCO_DELETE) n--;
    *attached = false;
    for (size_t i = 0; i < n; i++) {
        if (actions[i]->target == last || actions[i]->container) continue;
        last = actions[i]->target;
        *attached |= coco__sq_is_attachment(actions[i]);
    }
    return n;
}

static coco_status coco__sq_batch(coco__sq_root *root, coco_action **actions, size_t n, coco_err *err)
{
    coco_sqlite *s = root->db;
    bool attached;
    size_t before = coco__sq_sort_out(actions, n, &attached);

    COCO_TRY(coco__sq_tables(root, actions, before, err));
    for (size_t i = 0; attached && i < before; i++)
        if (coco__sq_is_attachment(actions[i])) COCO_TRY(coco__sq_attach_before(s, actions[i], err));
    COCO_TRY(coco__sq_rows(actions, before, err));
    for (size_t i = 0; attached && i < before; i++)
        if (coco__sq_is_attachment(actions[i])) COCO_TRY(coco__sq_attach_after(s, actions[i], err));
    if (attached) coco__sq_forget_statements(s); /* a trigger may be new */
    return coco__sq_tables(root, actions + before, n - before, err);
}

/* Ends the transaction that is open. */
static coco_status coco__sq_end(coco_sqlite *s, coco_status rc, coco_err *err)
{
    if (rc == COCO_OK) rc = coco__sq_exec(s, "COMMIT", NULL, err);
    if (rc == COCO_OK) return rc;
    if (!sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    coco__sq_forget_statements(s); /* they may be for a shadow that is undone */
    return rc;
}

/* The lock on the file is taken at once (IMMEDIATE): a transaction that reads first could fail when it wants to write.
 * */
static coco_status coco__sq_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    coco__sq_root *root = self;
    coco_sqlite *s = root->db;
    coco_status rc;

    pthread_mutex_lock(&s->lock);
    rc = coco__sq_ready(s, true, err);
    if (rc == COCO_OK) rc = coco__sq_exec(s, "BEGIN IMMEDIATE", NULL, err);
    /* its own lock, which each of its calls takes, costs less when it is held already */
    sqlite3_mutex *own = rc == COCO_OK ? sqlite3_db_mutex(s->db) : NULL;
    sqlite3_mutex_enter(own);
    if (rc == COCO_OK) rc = coco__sq_end(s, coco__sq_batch(root, actions, n, err), err);
    if (rc == COCO_OK && !actions[n - 1]->container) coco__sq_settle(s);
    sqlite3_mutex_leave(own);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* Shows the rebuilt tables of this update, each in a transaction. */
static coco_status coco__sq_show(coco__sq_root *root, coco_err *err)
{
    coco_sqlite *s = root->db;
    bool shadowed;

    for (const coco__sq_seen *t = root->seen; t; t = t->next) {
        COCO_TRY(coco__sq_shadowed(s, t->name, &shadowed, err));
        if (!shadowed) continue;
        COCO_TRY(coco__sq_ready(s, true, err));
        COCO_TRY(coco__sq_exec(s, "BEGIN IMMEDIATE", NULL, err));
        COCO_TRY(coco__sq_end(s, coco__sq_shadow_end(s, t->name, err), err));
    }
    return COCO_OK;
}

/* The end of an update. Only a whole one shows what was rebuilt: after a failure the new table may lack rows that the
 * old one has. What was opened for a path is closed. */
static coco_status coco__sq_finish(void *self, bool whole, coco_err *err)
{
    coco__sq_root *root = self;
    coco_sqlite *s = root->db;
    coco_status rc = COCO_OK;

    pthread_mutex_lock(&s->lock);
    coco__sq_unlist(root);
    if (whole && root->seen) rc = coco__sq_ready(s, false, err);
    if (rc == COCO_OK && whole && s->db) rc = coco__sq_show(root, err);
    coco__sq_forget_seen(root);
    if (s->db) coco__sq_settle(s);
    if (!s->owned) coco__sq_disconnect(s);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- The database of a root target ------------------------------------------------------------------------------- */

/* Connections that an update opened for paths, in its memory. */
typedef struct coco__sq_opened {
    coco_sqlite *first;
} coco__sq_opened;

static const char coco__sq_opened_tag = 'o';
static pthread_mutex_t coco__sq_opened_lock = PTHREAD_MUTEX_INITIALIZER;

/* Its tag is the one before it in the list: each block of an update's memory needs another address as tag. */
static coco_sqlite *coco__sq_open_new(coco_ctx *cx, coco__sq_opened *opened, const char *path)
{
    const void *tag = opened->first ? (const void *)opened->first : (const void *)opened;
    coco_sqlite *s = coco_run_memory(cx, tag, coco__sq_size(path, &coco__sq_defaults));

    if (!s) return NULL;
    coco__sq_init(s, path, &coco__sq_defaults);
    s->next = opened->first;
    return opened->first = s;
}

/* The update's connection for a path; NULL with the error kept. */
static coco_sqlite *coco__sq_of_path(coco_ctx *cx, const char *path)
{
    coco__sq_opened *opened;
    coco_sqlite *s;

    pthread_mutex_lock(&coco__sq_opened_lock);
    opened = coco_run_memory(cx, &coco__sq_opened_tag, sizeof *opened);
    s = opened ? opened->first : NULL;
    while (s && strcmp(s->path, path) != 0) s = s->next;
    if (opened && !s) s = coco__sq_open_new(cx, opened, path);
    pthread_mutex_unlock(&coco__sq_opened_lock);
    return s;
}

/* A path given by the program or recorded, NUL-terminated. */
static coco_status coco__sq_path(coco_ctx *cx, coco_value v, const char *name, const char **path)
{
    coco_str s = coco_text_of(v);

    if (v.kind != COCO_TEXT_KIND || s.n == 0 || memchr(s.p, '\0', s.n))
        return coco_fail(cx, v.kind == COCO_TEXT_KIND ? COCO_EREFUSED : COCO_ETYPE, "%s is no path of a database",
                         name);
    *path = coco_copy(cx, s).p;
    return *path ? COCO_OK : COCO_ENOMEM;
}

/* The connection for an identity: a path, or the name of a context key. */
static coco_status coco__sq_identified(coco_ctx *cx, coco_value id, coco__sq_root *root)
{
    coco_value given = id;

    root->title = coco_copy(cx, coco_text_of(id)).p;
    if (!root->title) return COCO_ENOMEM;
    if (id.kind == COCO_SYMBOL) {
        given = coco_context_named(cx, root->title);
        COCO_TRY(coco_error(cx));
        if ((root->db = coco_sqlite_of(given)) != NULL) return COCO_OK;
        if (given.kind != COCO_TEXT_KIND)
            return coco_fail(cx, COCO_ENOPROVIDER, "the context key %s provides no SQLite database", root->title);
    }
    const char *path;
    COCO_TRY(coco__sq_path(cx, given, root->title, &path));
    root->db = coco__sq_of_path(cx, path);
    return root->db ? COCO_OK : COCO_ENOMEM;
}

/* ---- Reconciling ------------------------------------------------------------------------------------------------- */

static bool coco__sq_textual(coco_type type)
{
    return type == COCO_TEXT_T || (type >= COCO_UUID_T && type <= COCO_JSON_T);
}

/* What can be converted where it stands, so that it means the same. */
static coco_convert coco__sq_convert(const coco_column *from, const coco_column *to)
{
    if (from->type == to->type) return from->dim == to->dim ? COCO_CONVERT_LOSSY : COCO_CONVERT_REBUILD;
    bool number = from->type == COCO_INT_T || from->type == COCO_DOUBLE_T;
    if (to->type == COCO_TEXT_T && (number || coco__sq_textual(from->type))) return COCO_CONVERT_LOSSY;
    if (from->type == COCO_BOOL_T && to->type == COCO_INT_T) return COCO_CONVERT_LOSSY;
    return from->type == COCO_INT_T && to->type == COCO_DOUBLE_T ? COCO_CONVERT_LOSSY : COCO_CONVERT_REBUILD;
}

/* Adds the columns of a possible declaration that are no longer declared. */
static coco_status coco__sq_drops(coco_ctx *cx, coco_str record, coco__sq_want *want)
{
    coco_table_decl old;
    coco_status rc = coco_table_decode(cx, record, &old);
    const char **drops;

    if (rc == COCO_ECORRUPT) return COCO_OK;
    COCO_TRY(rc);
    if (!(drops = coco_alloc(cx, (want->ndrops + old.schema.n) * sizeof *drops))) return COCO_ENOMEM;
    if (want->ndrops) memcpy(drops, want->drops, want->ndrops * sizeof *drops);
    want->drops = drops;
    for (size_t i = 0; i < old.schema.n; i++)
        if (coco_schema_find(&want->decl.schema, old.schema.columns[i].name) == want->decl.schema.n)
            drops[want->ndrops++] = old.schema.columns[i].name;
    return COCO_OK;
}

/* The decision is the shared one; a change of options, and any change of a vec0 table, rebuilds. Columns to drop are
 * those of any possible declaration: what was never declared is somebody else's. */
static coco_status coco__sq_reconcile_table(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    coco_table_change change;
    coco__sq_want *want;

    (void)self;
    COCO_TRY(coco_table_reconcile(cx, in, coco__sq_convert, out, NULL, &change));
    if (!in->desired || !out->act) return COCO_OK;
    if (!(want = coco_alloc(cx, sizeof *want))) return COCO_ENOMEM;
    COCO_TRY(coco_table_decode(cx, out->record, &want->decl));
    if (!change.same && (change.extra || coco__sq_flags(&want->decl) & COCO__SQ_VEC0))
        out->children = COCO_CHILDREN_DESTROYED;
    want->destroy = out->children == COCO_CHILDREN_DESTROYED;
    for (size_t i = 0; i < in->npossible; i++)
        if (in->possible[i].p) COCO_TRY(coco__sq_drops(cx, in->possible[i], want));
    out->action.value = want;
    return COCO_OK;
}

/* An attachment's record is the fingerprint of its two texts. */
static coco_status coco__sq_reconcile_attached(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    uint8_t record[16];
    coco__sq_setup *setup;
    bool same = in->npossible == 1 && !in->may_be_missing, there = false;

    (void)self;
    for (size_t i = 0; i < in->npossible; i++) there |= in->possible[i].p != NULL;
    out->act = true;
    out->action.kind = !in->desired ? COCO_DELETE : there ? COCO_UPDATE : COCO_INSERT;
    if (!in->desired) return COCO_OK;
    COCO_TRY(coco_fingerprint(*in->desired, record));
    if (same && in->possible[0].n == sizeof record && memcmp(in->possible[0].p, record, sizeof record) == 0) {
        out->act = false;
        return COCO_OK;
    }
    if (!(setup = coco_alloc(cx, sizeof *setup))) return COCO_ENOMEM;
    setup->setup = coco_copy(cx, coco_text_of(coco_at(*in->desired, 0))).p;
    if (coco_at(*in->desired, 1).kind == COCO_TEXT_KIND)
        setup->teardown = coco_copy(cx, coco_text_of(coco_at(*in->desired, 1))).p;
    out->action.value = setup;
    out->record = coco_copy(cx, (coco_str){ (const char *)record, sizeof record });
    return coco_error(cx);
}

/* ---- Handlers ---------------------------------------------------------------------------------------------------- */

static coco_status coco__sq_exists(coco_ctx *cx, void *self, coco_value key, coco_str record, bool *exists,
                                   coco_str *shape);
static coco_status coco__sq_verify_tables(coco_ctx *cx, void *self, coco_finding *states, size_t n);
static coco_status coco__sq_verify_rows(coco_ctx *cx, void *self, coco_finding *states, size_t n);
static coco_status coco__sq_verify_attached(coco_ctx *cx, void *self, coco_finding *states, size_t n);
static coco_status coco__sq_list_rows(coco_ctx *cx, void *self, coco_source **keys);

/* Each kind has a place of its own, so that an index and SQL may have the same name. */
static coco_status coco__sq_attachment(coco_ctx *cx, void *self, const char *name, coco_target_handler *out)
{
    coco__sq_table *table = self;
    coco__sq_attachments *of = coco_alloc(cx, sizeof *of);

    if (strcmp(name, "index") != 0 && strcmp(name, "fts") != 0 && strcmp(name, "sql") != 0)
        return coco_fail(cx, COCO_EINVAL, "a table of SQLite has no attachment %s", name);
    if (!of) return COCO_ENOMEM;
    of->rows.table = table->rows.table;
    of->rows.system = coco__sq_is_attached;
    of->table = table;
    if (!(of->kind = coco_copy(cx, coco_str_of(name)).p)) return COCO_ENOMEM;
    *out = (coco_target_handler){ .name = "sqlite", .self = of, .sink = &table->root->sink,
                                  .reconcile = coco__sq_reconcile_attached, .verify = coco__sq_verify_attached };
    return COCO_OK;
}

static coco_status coco__sq_child(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
                                  coco_target_handler *out)
{
    coco__sq_root *root = self;
    coco__sq_table *t = coco_alloc(cx, sizeof *t);
    const char *name = coco_copy(cx, coco_text_of(key)).p;

    if (!t || !name) return COCO_ENOMEM;
    COCO_TRY(coco_rows_init(cx, &t->rows, name, desired, record));
    t->rows.system = coco__sq_is_rows;
    t->db = root->db;
    t->root = root;
    *out = (coco_target_handler){ .name = "sqlite", .self = t, .sink = &root->sink,
                                  .reconcile = coco_rows_reconcile, .attachment = coco__sq_attachment,
                                  .verify = coco__sq_verify_rows, .list = coco__sq_list_rows };
    out->title = coco_format(cx, "%s/%s", root->title, name);
    return out->title.p ? COCO_OK : COCO_ENOMEM;
}

/* No I/O: the file is opened when something is asked of it. */
static coco_status coco__sq_make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    coco__sq_root *root = coco_alloc(cx, sizeof *root);

    if (!root) return COCO_ENOMEM;
    if (key.kind != COCO_TEXT_KIND && key.kind != COCO_SYMBOL)
        return coco_fail(cx, COCO_ETYPE, "a database must be named by a path or a context key");
    COCO_TRY(coco__sq_identified(cx, key, root));
    root->sink = (coco_sink){ .self = root, .apply = coco__sq_apply, .finish = coco__sq_finish, .name = "sqlite",
                              .max_actions = root->db->max_actions };
    *out = (coco_target_handler){ .name = "sqlite", .self = root, .sink = &root->sink,
                                  .reconcile = coco__sq_reconcile_table, .child = coco__sq_child,
                                  .exists = coco__sq_exists, .verify = coco__sq_verify_tables,
                                  .drop_removes_content = true };
    return COCO_OK;
}

static coco_target_type coco__sq_target = { "sqlite", coco__sq_make, NULL };

COCO_AT_START(coco__sq_target)
{
    coco_target_register(&coco__sq_target);
}
