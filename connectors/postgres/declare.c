/* declare.c - part of postgres.c: what a program calls to declare tables and what they have. */

#define COCO__PG_NAME_MAX 63 /* bytes of a name; the server would cut a longer one without a word */

static coco_status coco__pg_check_name(coco_ctx *cx, const char *what, const char *name)
{
    size_t n = strlen(name);

    if (n == 0) return coco_fail(cx, COCO_EINVAL, "%s has no name", what);
    if (n <= COCO__PG_NAME_MAX) return COCO_OK;
    return coco_fail(cx, COCO_EINVAL, "the name of %s is %zu bytes long, over PostgreSQL's %d: \"%.40s…\"", what, n,
                     COCO__PG_NAME_MAX, name);
}

/* An SQL type goes into statements as it is: it must be nothing but a type. */
static coco_status coco__pg_check_type(coco_ctx *cx, const char *table, const coco_column *c)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ (),.[]\"";

    if (!c->sql_type || strspn(c->sql_type, allowed) == strlen(c->sql_type)) return COCO_OK;
    return coco_fail(cx, COCO_EINVAL, "table %s: column %s: \"%s\" is no SQL type", table, coco_column_name(c),
                     c->sql_type);
}

static coco_status coco__pg_check(coco_ctx *cx, const char *name, const coco_schema *s,
                                  const coco_postgres_table_opts *o)
{
    COCO_TRY(coco_schema_check(cx, name, s));
    COCO_TRY(coco__pg_check_name(cx, "a table", name));
    if (strncmp(name, "coco_", 5) == 0)
        return coco_fail(cx, COCO_EINVAL, "table %s: names that begin with coco_ are the connector's own", name);
    if (o->schema) COCO_TRY(coco__pg_check_name(cx, "a schema", o->schema));
    if (s->n > COCO_POSTGRES_COLUMNS_MAX)
        return coco_fail(cx, COCO_EINVAL, "table %s has %zu columns, over %d", name, s->n, COCO_POSTGRES_COLUMNS_MAX);
    for (size_t i = 0; i < s->n; i++) {
        COCO_TRY(coco__pg_check_name(cx, "a column", coco_column_name(&s->columns[i])));
        COCO_TRY(coco__pg_check_type(cx, name, &s->columns[i]));
    }
    return COCO_OK;
}

/* A table to be declared. */
typedef struct coco__pg_wanted {
    coco_value db;
    const char *name;
    const coco_schema *schema;
    const coco_postgres_table_opts *opts; /* never NULL */
    bool mount;                           /* in a component of its own */
} coco__pg_wanted;

static coco_status coco__pg_declare(coco_ctx *cx, const coco__pg_wanted *w, coco_table **table)
{
    coco_container_opts container = { .title = w->opts->title, .user_managed = w->opts->user_managed };
    coco_value both[2] = { coco_text(w->opts->schema), coco_text(w->name) };
    coco_value key = w->opts->schema ? coco_list(both, 2) : both[1];
    coco_target *root, *target;
    const char *context;
    coco_str decl;

    *table = NULL;
    if (!coco__pg_db(cx, w->db, &context)) return coco_error(cx) ? coco_error(cx) : COCO_ETYPE;
    COCO_TRY(coco__pg_check(cx, w->name, w->schema, w->opts));
    COCO_TRY(coco_table_declaration(cx, w->name, w->schema, COCO_STR(""), &decl));
    if (!(root = coco_target_new(cx, "postgres", coco_symbol(context), NULL))) return coco_error(cx);
    if (w->mount) COCO_TRY(coco_mount_target(cx, root, key, coco_bytes(decl.p, decl.n), &container, &target));
    else COCO_TRY(coco_declare_container(cx, root, key, coco_bytes(decl.p, decl.n), &container, &target));
    return coco_table_new(cx, target, w->schema, decl, table);
}

static const coco_postgres_table_opts coco__pg_table_defaults;

coco_status coco_postgres_mount_table(coco_ctx *cx, coco_value db, const char *name, const coco_schema *schema,
                                      const coco_postgres_table_opts *opts, coco_table **table)
{
    return coco__pg_declare(cx, &(coco__pg_wanted){ db, name, schema, opts ? opts : &coco__pg_table_defaults, true },
                            table);
}

coco_status coco_postgres_declare_table(coco_ctx *cx, coco_value db, const char *name, const coco_schema *schema,
                                        const coco_postgres_table_opts *opts, coco_table **table)
{
    return coco__pg_declare(cx, &(coco__pg_wanted){ db, name, schema, opts ? opts : &coco__pg_table_defaults, false },
                            table);
}

/* ---- What a table has besides rows ----------------------------------------------------------------------------- */

/* Declares an attachment: its parts, as attach.c reads them. */
static coco_status coco__pg_declare_side(coco_ctx *cx, coco_table *table, const char *name, const char *const *parts)
{
    coco_target *side;
    coco_str record = COCO_STR("");
    const char *kind;

    COCO_TRY(coco__pg_check_name(cx, "an index or command", name));
    for (; *parts; parts++) {
        record = coco_format(cx, "%.*s%zu:%s", (int)record.n, record.p, strlen(*parts), *parts);
        if (!record.p) return COCO_ENOMEM;
    }
    kind = strncmp(record.p, "3:sql", 5) == 0 ? "sql" : "index";
    COCO_TRY(coco_attachment(cx, coco_table_target(table), kind, &side));
    return coco_declare(cx, side, coco_text(name), coco_bytes(record.p, record.n));
}

static coco_status coco__pg_check_table(coco_ctx *cx, coco_table *table, const char *name)
{
    const coco_rows *rows = table ? coco_target_self(coco_table_target(table)) : NULL;

    if (rows && rows->system && strcmp(rows->system, "postgres") == 0) return COCO_OK;
    return coco_fail(cx, COCO_EINVAL, "%s: no PostgreSQL table to declare it for", name);
}

/* Puts a column that the table must have behind the list, in quotes. */
static coco_status coco__pg_index_column(coco_ctx *cx, coco_table *table, const char *column, const char *opclass,
                                         coco_str *list)
{
    const coco_schema *s = coco_table_schema(table);
    coco_str name = coco_sql_quoted(cx, column, '"'), class = COCO_STR("");

    if (coco_schema_find(s, column) == s->n) return coco_fail(cx, COCO_EINVAL, "the table has no column %s", column);
    if (opclass) class = coco_sql_quoted(cx, opclass, '"');
    if (!name.p || !class.p) return COCO_ENOMEM;
    *list = coco_format(cx, "%.*s%s%.*s%s%.*s", (int)list->n, list->p, list->n ? ", " : "", (int)name.n, name.p,
                        opclass ? " " : "", (int)class.n, class.p);
    return list->p ? COCO_OK : COCO_ENOMEM;
}

/* The columns of an index, named one by one or in one text with commas. */
static coco_status coco__pg_index_columns(coco_ctx *cx, coco_table *table, const coco_postgres_index *index,
                                          coco_str *list)
{
    coco__pg_reader names = { .n = 0 };

    *list = COCO_STR("");
    for (const char *const *p = index->parts; p && *p; p++)
        COCO_TRY(coco__pg_index_column(cx, table, *p, index->opclass, list));
    if (index->columns) {
        if (!(names.names = coco_alloc(cx, (COCO_COLUMNS_MAX + 1) * sizeof *names.names))) return COCO_ENOMEM;
        COCO_TRY(coco__pg_add_names(cx, &names, index->columns));
    }
    for (size_t i = 0; i < names.n; i++)
        COCO_TRY(coco__pg_index_column(cx, table, names.names[i], index->opclass, list));
    return list->n ? COCO_OK : coco_fail(cx, COCO_EINVAL, "an index needs columns");
}

coco_status coco_postgres_declare_index(coco_ctx *cx, coco_table *table, const char *name,
                                        const coco_postgres_index *index)
{
    const char *method = index->method ? index->method : "btree";
    coco_str list, quoted = coco_sql_quoted(cx, method, '"'), text;

    COCO_TRY(coco__pg_check_table(cx, table, name));
    if (index->unique && strcmp(method, "btree") != 0)
        return coco_fail(cx, COCO_EINVAL, "index %s: only a btree index can be unique", name);
    COCO_TRY(coco__pg_index_columns(cx, table, index, &list));
    text = coco_format(cx, "USING %.*s (%.*s)", (int)quoted.n, quoted.p, (int)list.n, list.p);
    if (!quoted.p || !text.p) return COCO_ENOMEM;
    return coco__pg_declare_side(cx, table, name,
                                 (const char *const[]){ index->unique ? "unique" : "index", text.p, NULL });
}

/* The parameters of a vector index: WITH (…), or nothing. */
static coco_str coco__pg_vector_with(coco_ctx *cx, const coco_postgres_vector_index *index)
{
    const struct { const char *name; unsigned value; } all[] = {
        { "m", index->m }, { "ef_construction", index->ef_construction }, { "lists", index->lists } };
    coco_str with = COCO_STR("");

    for (size_t i = 0; i < 3 && with.p; i++)
        if (all[i].value)
            with = coco_format(cx, "%.*s%s%s = %u", (int)with.n, with.p, with.n ? ", " : " WITH (", all[i].name,
                               all[i].value);
    return with.n ? coco_format(cx, "%.*s)", (int)with.n, with.p) : with;
}

coco_status coco_postgres_declare_vector_index(coco_ctx *cx, coco_table *table, const char *name,
                                               const coco_postgres_vector_index *index)
{
    static const char *const metrics[] = { "cosine", "l2", "ip" };
    const coco_schema *s;
    coco_str list = COCO_STR(""), with = coco__pg_vector_with(cx, index), text;
    const coco_column *c;
    size_t i;

    COCO_TRY(coco__pg_check_table(cx, table, name));
    s = coco_table_schema(table);
    if ((i = coco_schema_find(s, index->column)) == s->n || !coco__pg_is_vector((c = &s->columns[i])->type) || !c->dim)
        return coco_fail(cx, COCO_EINVAL, "index %s: %s is no vector column with a dimension", name, index->column);
    text = coco_format(cx, "%s_%s_ops", coco__pg_type_of(c->type)->sql, metrics[index->metric]);
    COCO_TRY(coco__pg_index_column(cx, table, index->column, text.p, &list));
    text = coco_format(cx, "USING %s (%.*s)%.*s", index->method == COCO_POSTGRES_IVFFLAT ? "ivfflat" : "hnsw",
                       (int)list.n, list.p, (int)with.n, with.p ? with.p : "");
    if (!with.p || !text.p) return COCO_ENOMEM;
    return coco__pg_declare_side(cx, table, name, (const char *const[]){ "index", text.p, NULL });
}

coco_status coco_postgres_declare_sql(coco_ctx *cx, coco_table *table, const char *name, const char *setup,
                                      const char *teardown)
{
    COCO_TRY(coco__pg_check_table(cx, table, name));
    return coco__pg_declare_side(cx, table, name,
                                 (const char *const[]){ "sql", teardown ? teardown : "", setup, NULL });
}
