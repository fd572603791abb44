/* table.c - part of rows.c: the handle of a table, declaring rows in it, and reconciling them.
 *
 * A row is declared as its encoded bytes, under the list of its key values; its tracking record is the fingerprint of
 * the bytes. So a row that is as it was costs its encoding, one fingerprint and one comparison; only a row that changed
 * is copied, once, into the action. */

struct coco_table {
    coco_target *target;       /* the place of its rows; its self begins with a coco_rows */
    const coco_schema *schema; /* as the program gave it, with the offsets of its struct */
    bool plain;                /* a struct of nothing but what coco__rows_put_plain takes */
};

static coco_status coco__rows_table_key(coco_ctx *cx, void *object, coco_value *key)
{
    return coco_target_class.memo_key(cx, ((coco_table *)object)->target, key);
}

/* The target behind it lives until the update ends, and so must the schema (rows.h): the handle alone is copied. */
static coco_status coco__rows_table_copy(coco_ctx *cx, void *object, void **out)
{
    coco_table *copy = coco_alloc(cx, sizeof *copy);

    if (!copy) return COCO_ENOMEM;
    *copy = *(coco_table *)object;
    *out = copy;
    return COCO_OK;
}

coco_class coco_table_class = { .type = "coco_table", .memo_key = coco__rows_table_key, .copy = coco__rows_table_copy };

coco_value coco_table_value(coco_table *table)
{
    return coco_object(&coco_table_class, table);
}

coco_target *coco_table_target(coco_table *table)
{
    return table->target;
}

const coco_schema *coco_table_schema(const coco_table *table)
{
    return &((const coco_rows *)coco_target_self(table->target))->decl.schema;
}

/* ---- The place of the rows --------------------------------------------------------------------------------------- */

coco_status coco_rows_init(coco_ctx *cx, coco_rows *rows, const char *table, const coco_value *desired,
                           coco_str record)
{
    coco_str decl = desired ? coco_text_of(*desired) : record;
    coco_status rc = coco_table_decode(cx, decl, &rows->decl);

    rows->table = table;
    if (rc == COCO_ECORRUPT) return coco_fail(cx, rc, "table %s: its record can't be read", table);
    return rc;
}

/* Whether the place of the rows is what was declared. */
static bool coco__rows_current(const coco_rows *rows, const coco_table_decl *decl)
{
    const coco_schema *a = &rows->decl.schema, *b = &decl->schema;

    if (a->n != b->n || !coco_str_equal(rows->decl.extra, decl->extra)) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!coco__rows_same_column(&a->columns[i], &b->columns[i]) ||
            strcmp(a->columns[i].name, b->columns[i].name) != 0)
            return false;
    return true;
}

/* Columns of the declaration, in memory of the update: their names point into its copy, NUL-terminated there. */
static coco_status coco__rows_renew(coco_ctx *cx, coco_rows *rows, const coco_table_decl *decl)
{
    size_t n = decl->schema.n * sizeof(coco_column), bytes = n + decl->extra.n;
    char *p, *text;

    for (size_t i = 0; i < decl->schema.n; i++)
        bytes += strlen(decl->schema.columns[i].name) + coco_str_of(decl->schema.columns[i].sql_type).n + 2;
    if (!(p = coco_run_memory(cx, &rows->decl, bytes))) return coco_error(cx) ? coco_error(cx) : COCO_ENOMEM;
    coco_column *columns = (coco_column *)(void *)p;
    text = p + n;
    for (size_t i = 0; i < decl->schema.n; i++) {
        columns[i] = decl->schema.columns[i];
        columns[i].name = strcpy(text, columns[i].name);
        text += strlen(text) + 1;
        if (columns[i].sql_type) columns[i].sql_type = strcpy(text, columns[i].sql_type), text += strlen(text) + 1;
    }
    if (decl->extra.n) memcpy(text, decl->extra.p, decl->extra.n);
    rows->decl = (coco_table_decl){ { columns, decl->schema.n, 0 }, { text, decl->extra.n } };
    return COCO_OK;
}

/* The handler may have been made from a record, before the declaration: rows are encoded by what is declared now. */
coco_status coco_table_new(coco_ctx *cx, coco_target *target, const coco_schema *s, coco_str decl, coco_table **table)
{
    coco_rows *rows = coco_target_self(target);
    coco_table_decl now;

    *table = NULL;
    COCO_TRY(coco_table_decode(cx, decl, &now));
    if (!coco__rows_current(rows, &now)) COCO_TRY(coco__rows_renew(cx, rows, &now));
    if (!(*table = coco_alloc(cx, sizeof **table))) return COCO_ENOMEM;
    **table = (coco_table){ target, s, coco__rows_plain(s) };
    return COCO_OK;
}

/* ---- Declaring --------------------------------------------------------------------------------------------------- */

/* One row on its way: as a struct, or as values. */
typedef struct coco__rows_in {
    const void *row;  /* NULL: values */
    coco_value values;
} coco__rows_in;

static coco_status coco__rows_cells(coco__rows_enc *e, const coco_schema *s, const coco__rows_in *in, coco_cell *cells)
{
    return in->row ? coco__rows_struct_cells(e, s, in->row, cells) : coco__rows_value_cells(e, s, in->values, cells);
}

/* The values of the key columns, as a list over items. */
static coco_value coco__rows_key(coco_ctx *cx, const coco_schema *s, const coco_cell *cells, coco_value *items)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++)
        if (s->columns[i].key) items[n++] = coco_cell_value(cx, &cells[i]);
    return coco_list(items, n);
}

/* Encodes the cells and declares them. The buffer is on the stack where the row is small: the engine copies what it
 * keeps. */
static coco_status coco__rows_declare_cells(coco__rows_enc *e, coco_table *table, const coco_cell *cells)
{
    const coco_schema *s = table->schema;
    uint8_t small[COCO__ROWS_BUFFER], *bytes = small;
    size_t bound = coco__rows_bound(cells, s->n), nkeys = coco_schema_nkeys(s), n;
    coco_value few[COCO__ROWS_KEYS], *keys = few;

    if (bound > sizeof small && !(bytes = coco__rows_temp(e, bound))) return COCO_ENOMEM;
    if (nkeys > COCO__ROWS_KEYS && !(keys = coco__rows_temp(e, nkeys * sizeof *keys))) return COCO_ENOMEM;
    n = coco__rows_put(bytes, cells, s->n);
    return coco_declare(e->cx, table->target, coco__rows_key(e->cx, s, cells, keys), coco_bytes(bytes, n));
}

/* Declares rows of plain structs, as many as are fingerprinted side by side. *done: how many; where it is fewer than n
 * and COCO__ROWS_LANES, the next one takes the long way. */
static coco_status coco__rows_declare_plain(coco_ctx *cx, coco_table *table, const char *rows, size_t n, size_t *done)
{
    const coco_schema *s = table->schema;
    uint8_t bytes[COCO__ROWS_LANES][COCO__ROWS_BUFFER], records[COCO__ROWS_LANES][16], *end;
    coco_value keys[COCO__ROWS_LANES][COCO__ROWS_KEYS], *key;
    coco_str encoded[COCO__ROWS_LANES];
    size_t i, nkeys = 0;

    for (i = 0; i < n && i < COCO__ROWS_LANES; i++) {
        key = keys[i];
        if (!(end = coco__rows_put_plain(s, rows + i * s->row_size, bytes[i], &key))) break;
        encoded[i] = (coco_str){ (char *)bytes[i], (size_t)(end - bytes[i]) };
        nkeys = (size_t)(key - keys[i]);
    }
    *done = i;
    coco_row_records(encoded, *done, records);
    for (i = 0; i < *done; i++) {
        coco_value desired[] = { coco_bytes(bytes[i], encoded[i].n), coco_bytes(records[i], 16) };
        COCO_TRY(coco_declare(cx, table->target, coco_list(keys[i], nkeys), coco_list(desired, 2)));
    }
    return COCO_OK;
}

static coco_status coco__rows_declare(coco_ctx *cx, coco_table *table, const coco__rows_in *in)
{
    coco__rows_enc e = { .cx = cx, .may_scratch = true };
    coco_cell few[COCO__ROWS_CELLS], *cells = few;
    coco_status rc = COCO_OK;

    e.rows = coco_target_self(table->target);
    if (table->schema->n > COCO__ROWS_CELLS && !(cells = coco__rows_temp(&e, table->schema->n * sizeof *cells)))
        rc = COCO_ENOMEM;
    if (rc == COCO_OK) rc = coco__rows_cells(&e, table->schema, in, cells);
    if (rc == COCO_OK) rc = coco__rows_declare_cells(&e, table, cells);
    if (e.scratch) coco_scratch_end(cx);
    return rc;
}

coco_status coco_declare_row(coco_ctx *cx, coco_table *table, const void *row)
{
    return coco_declare_rows(cx, table, row, 1);
}

coco_status coco_declare_rows(coco_ctx *cx, coco_table *table, const void *rows, size_t n)
{
    const char *row = rows;

    COCO_TRY(coco_error(cx));
    if (!table) return coco_fail(cx, COCO_EINVAL, "no table to declare a row in");
    if (!rows && n) return coco_fail(cx, COCO_EINVAL, "no row to declare");
    if (!table->schema->row_size)
        return coco_fail(cx, COCO_EINVAL, "the table was declared without a struct: use coco_declare_values");
    for (size_t done; n; n -= done, row += done * table->schema->row_size) {
        done = 0;
        if (table->plain) COCO_TRY(coco__rows_declare_plain(cx, table, row, n, &done));
        if (done) continue;
        COCO_TRY(coco__rows_declare(cx, table, &(coco__rows_in){ .row = row }));
        done = 1;
    }
    return COCO_OK;
}

coco_status coco_declare_values(coco_ctx *cx, coco_table *table, coco_value map)
{
    COCO_TRY(coco_error(cx));
    if (!table) return coco_fail(cx, COCO_EINVAL, "no table to declare a row in");
    return coco__rows_declare(cx, table, &(coco__rows_in){ .values = map });
}

coco_status coco_row_encode(coco_ctx *cx, const coco_rows *rows, coco_value values, coco_str *row, coco_value *key)
{
    coco__rows_enc e = { .cx = cx, .rows = rows };
    const coco_schema *s = &rows->decl.schema;
    coco_cell *cells = coco_alloc(cx, s->n * sizeof *cells);
    coco_value *keys = coco_alloc(cx, coco_schema_nkeys(s) * sizeof *keys);
    uint8_t *bytes;

    if (!cells || !keys) return COCO_ENOMEM;
    COCO_TRY(coco__rows_value_cells(&e, s, values, cells));
    if (!(bytes = coco_alloc(cx, coco__rows_bound(cells, s->n)))) return COCO_ENOMEM;
    *row = (coco_str){ (char *)bytes, coco__rows_put(bytes, cells, s->n) };
    if (key) *key = coco__rows_key(cx, s, cells, keys);
    return COCO_OK;
}

coco_status coco_row_encode_cells(coco_ctx *cx, const coco_cell *cells, size_t n, coco_str *row)
{
    uint8_t *bytes = coco_alloc(cx, coco__rows_bound(cells, n) + 1);

    if (!bytes) return COCO_ENOMEM;
    *row = (coco_str){ (char *)bytes, coco__rows_put(bytes, cells, n) };
    return COCO_OK;
}

/* ---- Reconciling ------------------------------------------------------------------------------------------------- */

/* Puts the cells of columns to be kept behind the fingerprint; the record's length. */
static size_t coco__rows_keep(const coco_rows *rows, coco_str row, uint8_t record[16 + COCO_ROWS_KEPT])
{
    size_t n = 16;
    coco_cell cell;

    for (size_t i = 0; rows->keeps && i < rows->decl.schema.n; i++) {
        const char *begin = row.p;
        if (!coco_cell_next(&row, &cell)) return 16;
        if (!rows->keeps(&rows->decl.schema.columns[i])) continue;
        size_t more = (size_t)(row.p - begin);
        if (n + more > 16 + COCO_ROWS_KEPT) return 16;
        memcpy(record + n, begin, more);
        n += more;
    }
    return n;
}

/* What leads to the row's bytes, the bytes, and the record, in one piece. */
static coco_status coco__rows_carry(coco_ctx *cx, coco_str row, coco_str record, coco_decision *out)
{
    char *bytes = coco_alloc(cx, row.n + record.n);
    coco_action *a = &out->action;

    if (!bytes) return COCO_ENOMEM;
    if (row.n) memcpy(bytes, row.p, row.n);
    out->record = (coco_str){ memcpy(bytes + row.n, record.p, record.n), record.n };
    a->value = bytes;
    a->bytes = row.n;
    if (!coco_is_preview(cx)) return COCO_OK;
    a->text = coco_format(cx, "%zu bytes", row.n);
    return COCO_OK;
}

coco_str coco_row_desired(const coco_value *desired, uint8_t record[16])
{
    const bool known = desired->kind == COCO_LIST;
    const coco_value row = known ? coco_at(*desired, 0) : *desired;
    const coco_str bytes = coco_text_of(row), given = known ? coco_text_of(coco_at(*desired, 1)) : bytes;

    if (row.kind != COCO_BYTES || (known && given.n != 16)) return (coco_str){ NULL, 0 };
    if (known) memcpy(record, given.p, 16);
    else coco_row_record(bytes, record);
    return bytes;
}

/* The fingerprint decides; only what is acted on is copied. */
coco_status coco_rows_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    const coco_rows *rows = self;
    uint8_t record[16 + COCO_ROWS_KEPT];
    bool there = false, same = in->npossible == 1 && !in->may_be_missing;

    for (size_t i = 0; i < in->npossible; i++) there |= in->possible[i].p != NULL;
    out->act = true;
    out->action.kind = !in->desired ? COCO_DELETE : there ? COCO_UPDATE : COCO_INSERT;
    if (!in->desired) return COCO_OK;
    coco_str row = coco_row_desired(in->desired, record);
    if (!row.p)
        return coco_fail(cx, COCO_ETYPE, "table %s: rows are declared with coco_declare_row or coco_declare_values",
                         rows->table);
    if (same && in->possible[0].n >= 16 && memcmp(in->possible[0].p, record, 16) == 0) {
        out->act = false;
        return COCO_OK;
    }
    return coco__rows_carry(cx, row, (coco_str){ (const char *)record, coco__rows_keep(rows, row, record) }, out);
}

coco_str coco_row_of(const coco_action *a)
{
    return (coco_str){ a->value, a->value ? a->bytes : 0 };
}
