/* row.c - part of rows.c: rows read from a table or query, the items of the connectors' sources.
 *
 * The memo key of a row is [identity of the source, key]; its memo state is 0 and the fingerprint of the version, or 1
 * and that of the content. */

struct coco_row {
    coco_str identity;       /* of the source */
    coco_value key, map;     /* the item's key; values by column */
    coco_value version;      /* null: the content decides */
};

static coco_status coco__rows_row_key(coco_ctx *cx, void *object, coco_value *key)
{
    const coco_row *row = object;
    coco_value *items = coco_alloc(cx, 2 * sizeof *items);

    if (!items) return COCO_ENOMEM;
    items[0] = coco_text_n(row->identity);
    items[1] = row->key;
    *key = coco_list(items, 2);
    return COCO_OK;
}

/* One length for both, so that a source that gains a version column makes old states differ, not unreadable. */
static coco_status coco__rows_row_state(coco_ctx *cx, void *object, coco_str stored, coco_str *state, bool *valid)
{
    const coco_row *row = object;
    bool version = row->version.kind != COCO_NULL;
    uint8_t bytes[17] = { !version };

    COCO_TRY(coco_fingerprint(version ? row->version : row->map, bytes + 1));
    *state = coco_copy(cx, (coco_str){ (const char *)bytes, sizeof bytes });
    *valid = stored.p && coco_str_equal(stored, *state);
    return state->p ? COCO_OK : COCO_ENOMEM;
}

static coco_status coco__rows_row_copy(coco_ctx *cx, void *object, void **out)
{
    const coco_row *row = object;
    coco_row *copy = coco_alloc(cx, sizeof *copy);

    if (!copy) return COCO_ENOMEM;
    copy->identity = coco_copy(cx, row->identity);
    copy->key = coco_copy_value(cx, row->key);
    copy->map = coco_copy_value(cx, row->map);
    copy->version = coco_copy_value(cx, row->version);
    *out = copy;
    return coco_error(cx);
}

coco_class coco_row_class = { .type = "coco_row", .memo_key = coco__rows_row_key, .memo_state = coco__rows_row_state,
                              .copy = coco__rows_row_copy };

coco_row *coco_row_new(coco_ctx *cx, const coco_row_parts *parts)
{
    coco_row *row = coco_alloc(cx, sizeof *row);
    coco_pair *pairs = coco_alloc(cx, (parts->n + 1) * sizeof *pairs);

    if (!row || !pairs) return NULL;
    for (size_t i = 0; i < parts->n; i++) {
        pairs[i].key = coco_copy(cx, coco_str_of(parts->names[i]));
        pairs[i].value = coco_copy_value(cx, parts->values[i]);
    }
    row->identity = coco_copy(cx, parts->identity);
    row->key = coco_copy_value(cx, parts->key);
    row->version = coco_copy_value(cx, parts->version);
    row->map = coco_map_value(pairs, parts->n);
    return coco_error(cx) ? NULL : row;
}

coco_value coco_row_value(coco_row *row)
{
    return coco_object(&coco_row_class, row);
}

coco_value coco_row_key(const coco_row *row)
{
    return row->key;
}

coco_value coco_row_map(const coco_row *row)
{
    return row->map;
}

coco_value coco_row_get(const coco_row *row, const char *column)
{
    return coco_get(row->map, column);
}

/* ---- Into a struct ----------------------------------------------------------------------------------------------- */

static void coco__rows_store_null(const coco_column *c, char *at)
{
    if (c->member == COCO__M_VALUE) *(coco_value *)(void *)at = coco_null(); /* the rest was zeroed: null, or none */
}

/* Stores a cell of the type that the column has. */
static coco_status coco__rows_store(coco__rows_enc *e, const coco_cell *cell, coco_value v, void *at)
{
    switch (e->column->member) {
    case COCO__M_BOOL: *(bool *)at = cell->as.boolean; break;
    case COCO__M_INT64: *(int64_t *)at = cell->as.integer; break;
    case COCO__M_DOUBLE: *(double *)at = cell->as.real; break;
    case COCO__M_FLOAT: *(float *)at = (float)cell->as.real; break;
    case COCO__M_STR: *(coco_str *)at = cell->s; break;
    case COCO__M_UUID: memcpy(at, cell->s.p, 16); break;
    case COCO__M_VALUE: *(coco_value *)at = v; break;
    case COCO__M_OPT_BOOL: *(coco_opt_bool *)at = (coco_opt_bool){ true, cell->as.boolean }; break;
    case COCO__M_OPT_INT: *(coco_opt_int *)at = (coco_opt_int){ true, cell->as.integer }; break;
    case COCO__M_OPT_DOUBLE: *(coco_opt_double *)at = (coco_opt_double){ true, cell->as.real }; break;
    case COCO__M_OPT_UUID:
        ((coco_opt_uuid *)at)->set = true;
        memcpy(((coco_opt_uuid *)at)->v, cell->s.p, 16);
        break;
    case COCO__M_INT32:
        if (cell->as.integer < INT32_MIN || cell->as.integer > INT32_MAX)
            return coco__rows_wrong(e, COCO_EINVAL, "the number doesn't fit an int32_t");
        *(int32_t *)at = (int32_t)cell->as.integer;
        break;
    case COCO__M_CSTR:
        *(const char **)at = coco_copy(e->cx, cell->s).p;
        return *(const char **)at ? COCO_OK : COCO_ENOMEM;
    case COCO__M_FLOATS:
        if (v.kind != COCO_VECTOR) v = coco_cell_value(e->cx, cell);
        *(coco_floats *)at = (coco_floats){ v.as.s.p.floats, v.as.s.u.n };
        return v.kind == COCO_VECTOR ? COCO_OK : COCO_ENOMEM;
    default: return coco__rows_wrong(e, COCO_EINVAL, "is no member of a struct");
    }
    return COCO_OK;
}

/* What systems without a type of their own for it give in its place: bools and numbers of either kind, JSON text. */
static coco_value coco__rows_lenient(coco_type type, coco_value v)
{
    if (type == COCO_BOOL_T && v.kind == COCO_INT) return coco_bool(v.as.integer != 0);
    if (type == COCO_INT_T && v.kind == COCO_BOOL) return coco_int(v.as.boolean);
    return v;
}

/* Bytes that hold floats, as SQLite keeps them. */
static bool coco__rows_packed(coco_type type, coco_value v)
{
    return coco__rows_is_vector(type) && v.kind == COCO_BYTES && coco_count(v) % (type == COCO_HALF_T ? 2 : 4) == 0;
}

/* What a system has no type for comes as something else: vectors as bytes, JSON as text, bools as numbers. */
static coco_status coco__rows_read_column(coco__rows_enc *e, const coco_row *row, void *out)
{
    const coco_column *c = e->column;
    coco_value v = coco__rows_lenient(c->type, coco_row_get(row, coco_column_name(c)));
    char *at = (char *)out + c->offset;
    coco_cell cell = { .type = c->type };

    if (v.kind == COCO_NULL && c->nullable) {
        coco__rows_store_null(c, at);
        return COCO_OK;
    }
    if (v.kind == COCO_NULL) return coco__rows_wrong(e, COCO_ENOTFOUND, "the row has no value for it");
    if (coco__rows_packed(c->type, v) || (c->type == COCO_JSON_T && v.kind == COCO_TEXT_KIND))
        cell.s = coco_text_of(v);
    else COCO_TRY(coco__rows_from_value(e, v, &cell));
    return coco__rows_store(e, &cell, v, at);
}

coco_status coco_row_read(coco_ctx *cx, const coco_row *row, const coco_schema *s, void *out)
{
    const coco_rows rows = { .table = "(row)" };
    coco__rows_enc e = { .cx = cx, .rows = &rows };

    if (!s->row_size) return coco_fail(cx, COCO_EINVAL, "the schema was made without a struct");
    memset(out, 0, s->row_size);
    for (size_t i = 0; i < s->n; i++) {
        e.column = &s->columns[i];
        e.dim = e.column->dim;
        COCO_TRY(coco__rows_read_column(&e, row, out));
    }
    return COCO_OK;
}
