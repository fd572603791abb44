/* diff.c - part of rows.c: the difference of two declarations of a table, classed as C0.9 says.
 *
 *     a column added      in place, lossy: rows are declared and written again
 *     a column dropped    in place, rows kept
 *     a column changed    what the connector's convert says
 *     another key         rebuild: columns that are key now or were, their order, their types
 *
 * A table may have several possible declarations after a crash: the worst class over them counts. */

/* The column of that name, or NULL. Columns mostly stand where they stood. */
static const coco_column *coco__rows_column(const coco_schema *s, size_t hint, const char *name)
{
    if (hint < s->n && strcmp(coco_column_name(&s->columns[hint]), name) == 0) return &s->columns[hint];
    hint = coco_schema_find(s, name);
    return hint < s->n ? &s->columns[hint] : NULL;
}

static bool coco__rows_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool coco__rows_same_column(const coco_column *a, const coco_column *b)
{
    return a->type == b->type && a->key == b->key && a->nullable == b->nullable && a->dim == b->dim &&
           coco__rows_same_text(a->sql_type, b->sql_type);
}

/* The next key column from *i on. */
static const coco_column *coco__rows_next_key(const coco_schema *s, size_t *i)
{
    while (*i < s->n && !s->columns[*i].key) ++*i;
    return *i < s->n ? &s->columns[(*i)++] : NULL;
}

/* Their order counts, as it is that of the index and of a row's key in the records. */
static bool coco__rows_same_key(const coco_schema *a, const coco_schema *b)
{
    size_t i = 0, j = 0;

    for (;;) {
        const coco_column *x = coco__rows_next_key(a, &i), *y = coco__rows_next_key(b, &j);
        if (!x || !y) return x == y;
        if (x->type != y->type || strcmp(coco_column_name(x), coco_column_name(y)) != 0) return false;
    }
}

static void coco__rows_worse(coco_table_change *c, coco_children children, const char *why)
{
    if (children <= c->children) return;
    c->children = children;
    c->why = children == COCO_CHILDREN_DESTROYED ? why : c->why;
}

/* One pass over the columns, for steps of one kind, so that they come in order. */
static void coco__rows_steps(const coco_table_decl *from, const coco_table_decl *to, coco_step_kind kind,
                             coco_convert_fn convert, coco_table_change *out)
{
    const coco_schema *s = kind == COCO_STEP_DROP ? &from->schema : &to->schema;
    const coco_schema *other = kind == COCO_STEP_DROP ? &to->schema : &from->schema;

    for (size_t i = 0; i < s->n; i++) {
        const coco_column *c = &s->columns[i], *o = coco__rows_column(other, i, coco_column_name(c));
        if (kind == COCO_STEP_ALTER ? !o || coco__rows_same_column(o, c) : o != NULL) continue;
        out->steps[out->nsteps++] = kind == COCO_STEP_DROP ? (coco_step){ kind, c, NULL } : (coco_step){ kind, o, c };
        if (kind == COCO_STEP_ADD) coco__rows_worse(out, COCO_CHILDREN_LOSSY, NULL);
        if (kind != COCO_STEP_ALTER) continue;
        coco_convert how = convert ? convert(o, c) : COCO_CONVERT_REBUILD;
        if (how == COCO_CONVERT_LOSSY) coco__rows_worse(out, COCO_CHILDREN_LOSSY, NULL);
        if (how == COCO_CONVERT_REBUILD) coco__rows_worse(out, COCO_CHILDREN_DESTROYED, coco_column_name(c));
    }
}

coco_status coco_table_diff(coco_ctx *cx, const coco_table_decl *from, const coco_table_decl *to,
                            coco_convert_fn convert, coco_table_change *out)
{
    *out = (coco_table_change){ .children = COCO_CHILDREN_KEPT };
    if (!(out->steps = coco_alloc(cx, (from->schema.n + to->schema.n) * sizeof *out->steps))) return COCO_ENOMEM;
    coco__rows_steps(from, to, COCO_STEP_DROP, convert, out);
    coco__rows_steps(from, to, COCO_STEP_ALTER, convert, out);
    coco__rows_steps(from, to, COCO_STEP_ADD, convert, out);
    if (!coco__rows_same_key(&from->schema, &to->schema)) coco__rows_worse(out, COCO_CHILDREN_DESTROYED, "primary key");
    out->extra = !coco_str_equal(from->extra, to->extra);
    out->same = out->nsteps == 0 && out->children == COCO_CHILDREN_KEPT && !out->extra;
    return COCO_OK;
}

/* What the preview says of the way from one declaration: "+score -old ~title", or the reason of a rebuild. */
static coco_str coco__rows_change_text(coco_ctx *cx, const coco_table_change *c)
{
    coco_str text = COCO_STR("");

    if (c->children == COCO_CHILDREN_DESTROYED) return coco_format(cx, "rebuild: %s", c->why ? c->why : "unknown");
    for (size_t i = 0; i < c->nsteps && text.n < 200; i++) {
        const coco_step *s = &c->steps[i];
        text = coco_format(cx, "%.*s%s%c%s", (int)text.n, text.n ? text.p : "", i ? " " : "", "+-~"[s->kind],
                           coco_column_name(s->to ? s->to : s->from));
    }
    return text;
}

/* The class of the change from one possible record. */
static coco_status coco__rows_possible(coco_ctx *cx, coco_str record, const coco_table_decl *to,
                                       coco_convert_fn convert, coco_table_change *out, coco_table_decl *from)
{
    coco_status rc = coco_table_decode(cx, record, from);

    if (rc == COCO_OK) return coco_table_diff(cx, from, to, convert, out);
    if (rc != COCO_ECORRUPT) return rc;
    *out = (coco_table_change){ .children = COCO_CHILDREN_DESTROYED, .why = "its record can't be read" };
    *from = (coco_table_decl){ 0 };
    return COCO_OK;
}

coco_status coco_table_reconcile(coco_ctx *cx, const coco_change *in, coco_convert_fn convert, coco_decision *out,
                                 const coco_table_decl **from, coco_table_change *change)
{
    coco_str want = in->desired ? coco_text_of(*in->desired) : (coco_str){ NULL, 0 };
    coco_table_decl to = { 0 }, *old = coco_alloc(cx, sizeof *old);
    coco_table_change way = { 0 }, worst = { .same = true };
    size_t there = 0;

    if (!old) return COCO_ENOMEM;
    if (in->desired && coco_table_decode(cx, want, &to) != COCO_OK)
        return coco_fail(cx, COCO_ETYPE, "a table must be declared by its connector's own function");
    for (size_t i = 0; i < in->npossible; i++) {
        if (!in->possible[i].p) continue;
        there++;
        if (!in->desired || coco_str_equal(in->possible[i], want)) continue;
        COCO_TRY(coco__rows_possible(cx, in->possible[i], &to, convert, &way, old));
        if (worst.same || way.children > worst.children) worst = way;
    }
    out->act = in->desired ? !worst.same || in->may_be_missing || in->npossible != 1 : true;
    out->action.kind = !in->desired ? COCO_DELETE : there ? COCO_UPDATE : COCO_INSERT;
    if (worst.nsteps || worst.why) out->action.text = coco__rows_change_text(cx, &worst);
    if (in->desired) out->record = want;
    out->children = worst.children;
    if (from) *from = there == 1 && old->schema.n ? old : NULL;
    if (change) *change = worst;
    return COCO_OK;
}
