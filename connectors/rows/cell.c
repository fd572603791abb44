/* cell.c - part of rows.c: columns of structs and value maps become cells, and cells an encoded row.
 *
 * An encoded row is its cells one after the other, in the schema's order: a byte 0 for null, else the column type, and
 * behind it 1 byte (bool), a varint (int, zigzag), 8 bytes (double; little-endian), 16 bytes (uuid), or a varint length
 * and that many bytes. It is kept short, because what costs time in an unchanged row is its fingerprint. Equal rows
 * have equal bytes on every machine: NaNs are one, JSON has its keys sorted.
 *
 * A row is read from its struct or map into an array of cells, which borrow; it is checked there, and then copied once,
 * into the buffer that the engine gets. A row that needs memory on the way (JSON, half floats) takes it in a scratch.
 */

#define COCO__ROWS_CELLS 48     /* of a row on the stack; more are allocated */
#define COCO__ROWS_KEYS 8       /* key columns of a row on the stack; more are allocated */
#define COCO__ROWS_BUFFER 2048  /* bytes of an encoded row on the stack; more are allocated */

/* What turns one row into bytes. */
typedef struct coco__rows_enc {
    coco_ctx *cx;
    const coco_rows *rows;     /* the table: names for messages, dimensions */
    const coco_column *column; /* the one at hand */
    size_t dim;                /* its dimension, 0: any */
    bool may_scratch;          /* what is allocated may go when the row is declared */
    bool scratch;              /* a scratch is open */
} coco__rows_enc;

static void *coco__rows_temp(coco__rows_enc *e, size_t n)
{
    if (e->may_scratch && !e->scratch) {
        coco_scratch_begin(e->cx);
        e->scratch = true;
    }
    return coco_alloc(e->cx, n ? n : 1);
}

static coco_status coco__rows_wrong(const coco__rows_enc *e, coco_status code, const char *what)
{
    return coco_fail(e->cx, code, "table %s, column %s: %s", e->rows->table, coco_column_name(e->column), what);
}

/* Null is refused here rather than by the system, which would fail a whole batch for it. */
static coco_status coco__rows_null(coco__rows_enc *e, coco_cell *cell)
{
    cell->null = true;
    return e->column->nullable ? COCO_OK : coco__rows_wrong(e, COCO_EINVAL, "null, and the column isn't nullable");
}

/* ---- Vectors and JSON -------------------------------------------------------------------------------------------- */

static bool coco__rows_little_endian(void)
{
    const uint16_t one = 1;
    uint8_t first;

    memcpy(&first, &one, 1);
    return first == 1;
}

/* Floats as bytes: as they lie in memory where that is little-endian, else, or as halves, converted. */
static coco_status coco__rows_floats(coco__rows_enc *e, const float *f, size_t n, coco_cell *cell)
{
    bool half = cell->type == COCO_HALF_T;
    uint8_t *p;

    if (e->dim && n != e->dim)
        return coco_fail(e->cx, COCO_EINVAL, "table %s, column %s: a vector of %zu, not of %zu", e->rows->table,
                         coco_column_name(e->column), n, e->dim);
    cell->s = (coco_str){ (const char *)f, n * sizeof(float) };
    if (!half && coco__rows_little_endian()) return COCO_OK;
    if (!(p = coco__rows_temp(e, n * sizeof(float)))) return COCO_ENOMEM;
    cell->s = (coco_str){ (char *)p, n * (half ? 2 : 4) };
    for (size_t i = 0; i < n; i++) {
        uint32_t x;
        memcpy(&x, &f[i], sizeof x);
        if (half) x = coco_half_of(f[i]);
        for (size_t b = 0; b < (half ? 2 : 4); b++) *p++ = (uint8_t)(x >> 8 * b);
    }
    return COCO_OK;
}

/* A list of numbers as floats. */
static coco_status coco__rows_float_list(coco__rows_enc *e, coco_value list, coco_cell *cell)
{
    size_t n = coco_count(list);
    float *f = coco__rows_temp(e, n * sizeof *f);

    if (!f) return COCO_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        coco_value v = coco_at(list, i);
        if (v.kind != COCO_FLOAT && v.kind != COCO_INT)
            return coco__rows_wrong(e, COCO_ETYPE, "a vector's list has something that is no number");
        f[i] = (float)coco_float_of(v);
    }
    return coco__rows_floats(e, f, n, cell);
}

static int coco__rows_pair_order(const void *a, const void *b)
{
    const coco_str *x = &((const coco_pair *)a)->key, *y = &((const coco_pair *)b)->key;
    size_t n = x->n < y->n ? x->n : y->n;
    int order = n ? memcmp(x->p, y->p, n) : 0;

    return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* The value with the keys of its maps in order: equal maps then print alike. */
static coco_status coco__rows_sorted(coco__rows_enc *e, coco_value v, coco_value *out)
{
    size_t n = coco_count(v);
    coco_pair *pairs;
    coco_value *items;

    *out = v;
    if (v.kind == COCO_LIST) {
        if (!(items = coco__rows_temp(e, n * sizeof *items))) return COCO_ENOMEM;
        for (size_t i = 0; i < n; i++) COCO_TRY(coco__rows_sorted(e, coco_at(v, i), &items[i]));
        *out = coco_list(items, n);
    } else if (v.kind == COCO_MAP) {
        if (!(pairs = coco__rows_temp(e, n * sizeof *pairs))) return COCO_ENOMEM;
        for (size_t i = 0; i < n; i++) {
            pairs[i].key = v.as.s.p.pairs[i].key;
            COCO_TRY(coco__rows_sorted(e, v.as.s.p.pairs[i].value, &pairs[i].value));
        }
        qsort(pairs, n, sizeof *pairs, coco__rows_pair_order);
        *out = coco_map_value(pairs, n);
    }
    return COCO_OK;
}

/* Sorted first: equal maps must be equal rows (S5.2), and printing keeps the order that it finds. */
static coco_status coco__rows_json(coco__rows_enc *e, coco_value v, coco_cell *cell)
{
    if (!coco__rows_temp(e, 1)) return COCO_ENOMEM; /* opens the scratch */
    COCO_TRY(coco__rows_sorted(e, v, &v));
    if (coco_print_json(e->cx, v, &cell->s) != COCO_OK)
        return coco__rows_wrong(e, COCO_ETYPE, "the value can't be JSON");
    return COCO_OK;
}

/* ---- Cells from values ------------------------------------------------------------------------------------------- */

/* A text for any column that is carried as text; a uuid becomes its bytes, so that its case makes no difference. */
static coco_status coco__rows_text(coco__rows_enc *e, coco_str s, coco_cell *cell)
{
    uint8_t *uuid;

    if (!s.p) s = COCO_STR("");
    cell->s = s;
    if (cell->type == COCO_BYTES_T) return COCO_OK;
    if (cell->type == COCO_UUID_T) {
        if (!(uuid = coco__rows_temp(e, 16))) return COCO_ENOMEM;
        cell->s = (coco_str){ (char *)uuid, 16 };
        return coco_uuid_parse(s, uuid) ? COCO_OK : coco__rows_wrong(e, COCO_EINVAL, "not a uuid");
    }
    if (coco__rows_text_fits(cell->type, s)) return COCO_OK;
    if (cell->type == COCO_TEXT_T || cell->type == COCO_JSON_T)
        return coco__rows_wrong(e, COCO_EINVAL, "text that is not UTF-8");
    return coco_fail(e->cx, COCO_EINVAL, "table %s, column %s: \"%.*s\" is no %s", e->rows->table,
                     coco_column_name(e->column), (int)(s.n < 60 ? s.n : 60), s.n ? s.p : "",
                     coco_type_name(cell->type));
}

static coco_status coco__rows_decimal_int(coco__rows_enc *e, int64_t i, coco_cell *cell)
{
    if (!coco__rows_temp(e, 1)) return COCO_ENOMEM;
    cell->s = coco_format(e->cx, "%lld", (long long)i);
    return cell->s.p ? COCO_OK : COCO_ENOMEM;
}

/* Whether a value of that kind may stand in a column of that type. */
static bool coco__rows_kind_fits(coco_type type, coco_kind kind)
{
    switch (type) {
    case COCO_BOOL_T: return kind == COCO_BOOL;
    case COCO_INT_T: return kind == COCO_INT;
    case COCO_DOUBLE_T: return kind == COCO_FLOAT || kind == COCO_INT;
    case COCO_BYTES_T: return kind == COCO_BYTES;
    case COCO_UUID_T: return kind == COCO_UUID || kind == COCO_TEXT_KIND;
    case COCO_DECIMAL_T: return kind == COCO_TEXT_KIND || kind == COCO_INT;
    case COCO_JSON_T: return kind != COCO_OBJECT;
    case COCO_VECTOR_T: case COCO_HALF_T: return kind == COCO_VECTOR || kind == COCO_LIST;
    default: return kind == COCO_TEXT_KIND;
    }
}

/* A null is the null of SQL where the column takes it; else, in a JSON column, it is a value like others. */
static coco_status coco__rows_from_value(coco__rows_enc *e, coco_value v, coco_cell *cell)
{
    if (v.kind == COCO_NULL && (cell->type != COCO_JSON_T || e->column->nullable)) return coco__rows_null(e, cell);
    if (!coco__rows_kind_fits(cell->type, v.kind))
        return coco_fail(e->cx, COCO_ETYPE, "table %s, column %s: the value's kind doesn't fit the type %s",
                         e->rows->table, coco_column_name(e->column), coco_type_name(cell->type));
    switch (cell->type) {
    case COCO_BOOL_T: cell->as.boolean = v.as.boolean; return COCO_OK;
    case COCO_INT_T: cell->as.integer = v.as.integer; return COCO_OK;
    case COCO_DOUBLE_T: cell->as.real = coco_float_of(v); return COCO_OK;
    case COCO_JSON_T: return coco__rows_json(e, v, cell);
    case COCO_VECTOR_T: case COCO_HALF_T:
        if (v.kind == COCO_LIST) return coco__rows_float_list(e, v, cell);
        return coco__rows_floats(e, v.as.s.p.floats, v.as.s.u.n, cell);
    case COCO_UUID_T:
        if (v.kind != COCO_UUID) break;
        if (!(cell->s.p = coco__rows_temp(e, 16))) return COCO_ENOMEM;
        cell->s.n = 16;
        memcpy((char *)(uintptr_t)cell->s.p, v.as.uuid, 16);
        return COCO_OK;
    case COCO_DECIMAL_T:
        if (v.kind == COCO_INT) return coco__rows_decimal_int(e, v.as.integer, cell);
        break;
    default: break;
    }
    return coco__rows_text(e, (coco_str){ v.as.s.p.text, v.as.s.u.n }, cell);
}

/* ---- Cells from members of structs ------------------------------------------------------------------------------- */

/* A member that has a null of its own; *null says whether it is that. */
static const void *coco__rows_optional(const coco_column *c, const char *at, bool *null)
{
    size_t v;

    *null = false;
    switch (c->member) {
    case COCO__M_OPT_BOOL: v = offsetof(coco_opt_bool, v); break;
    case COCO__M_OPT_INT: v = offsetof(coco_opt_int, v); break;
    case COCO__M_OPT_DOUBLE: v = offsetof(coco_opt_double, v); break;
    case COCO__M_OPT_UUID: v = offsetof(coco_opt_uuid, v); break;
    default: return at;
    }
    *null = !*(const bool *)at; /* `set` stands first in each of them */
    return at + v;
}

static coco_status coco__rows_from_text(coco__rows_enc *e, coco_str s, bool may_be_empty, coco_cell *cell)
{
    if (s.p) return coco__rows_text(e, s, cell);
    if (e->column->nullable || !may_be_empty || s.n) return coco__rows_null(e, cell);
    return coco__rows_text(e, COCO_STR(""), cell);
}

/* No floats and no vector are two things: p says which. */
static coco_status coco__rows_from_vector(coco__rows_enc *e, const coco_floats *f, coco_cell *cell)
{
    return f->p ? coco__rows_floats(e, f->p, f->n, cell) : coco__rows_null(e, cell);
}

static coco_status coco__rows_from_member(coco__rows_enc *e, const void *row, coco_cell *cell)
{
    const coco_column *c = e->column;
    bool null;
    const void *at = coco__rows_optional(c, (const char *)row + c->offset, &null);

    if (null) return coco__rows_null(e, cell);
    switch (c->member) {
    case COCO__M_BOOL: case COCO__M_OPT_BOOL: cell->as.boolean = *(const bool *)at; return COCO_OK;
    case COCO__M_INT64: case COCO__M_OPT_INT: cell->as.integer = *(const int64_t *)at; return COCO_OK;
    case COCO__M_INT32: cell->as.integer = *(const int32_t *)at; return COCO_OK;
    case COCO__M_DOUBLE: case COCO__M_OPT_DOUBLE: cell->as.real = *(const double *)at; return COCO_OK;
    case COCO__M_FLOAT: cell->as.real = (double)*(const float *)at; return COCO_OK;
    case COCO__M_UUID: case COCO__M_OPT_UUID: cell->s = (coco_str){ at, 16 }; return COCO_OK;
    case COCO__M_STR: return coco__rows_from_text(e, *(const coco_str *)at, true, cell);
    case COCO__M_CSTR: return coco__rows_from_text(e, coco_str_of(*(const char *const *)at), false, cell);
    case COCO__M_FLOATS: return coco__rows_from_vector(e, at, cell);
    case COCO__M_VALUE: return coco__rows_from_value(e, *(const coco_value *)at, cell);
    default: return coco__rows_wrong(e, COCO_EINVAL, "was declared without a struct: use coco_declare_values");
    }
}

/* ---- Rows as cells ----------------------------------------------------------------------------------------------- */

/* The column i of the table, with the struct's offsets where there is one. */
static void coco__rows_turn(coco__rows_enc *e, const coco_schema *s, size_t i, coco_cell *cell)
{
    e->column = &s->columns[i];
    e->dim = e->rows->decl.schema.columns[i].dim;
    cell->type = e->column->type;
    cell->null = false;
}

static coco_status coco__rows_struct_cells(coco__rows_enc *e, const coco_schema *s, const void *row, coco_cell *cells)
{
    for (size_t i = 0; i < s->n; i++) {
        coco__rows_turn(e, s, i, &cells[i]);
        COCO_TRY(coco__rows_from_member(e, row, &cells[i]));
    }
    return COCO_OK;
}

static bool coco__rows_is(coco_str s, const char *name)
{
    size_t n = strlen(name);

    return s.n == n && memcmp(s.p, name, n) == 0;
}

/* Names something in the map that no column is called. */
static coco_status coco__rows_unknown(const coco__rows_enc *e, const coco_schema *s, coco_value map)
{
    for (size_t i = 0; i < coco_count(map); i++) {
        coco_str key = map.as.s.p.pairs[i].key;
        size_t j = 0;
        while (j < s->n && !coco__rows_is(key, coco_column_name(&s->columns[j]))) j++;
        if (j == s->n)
            return coco_fail(e->cx, COCO_EINVAL, "table %s has no column %.*s", e->rows->table,
                             (int)(key.n < 100 ? key.n : 100), key.p);
    }
    return coco_fail(e->cx, COCO_EDUP, "table %s: a column comes twice in the values", e->rows->table);
}

/* From a map by column names, or a list in the columns' order. */
static coco_status coco__rows_value_cells(coco__rows_enc *e, const coco_schema *s, coco_value v, coco_cell *cells)
{
    size_t found = 0;

    if (v.kind != COCO_MAP && (v.kind != COCO_LIST || coco_count(v) != s->n))
        return coco_fail(e->cx, COCO_ETYPE, "table %s: a row must be a map of values by column", e->rows->table);
    for (size_t i = 0; i < s->n; i++) {
        coco_value value = coco_at(v, i);
        const char *name = coco_column_name(&s->columns[i]);
        if (v.kind == COCO_MAP) {
            const coco_pair *p = v.as.s.p.pairs;
            size_t n = coco_count(v), at = i < n && coco__rows_is(p[i].key, name) ? i : 0;
            while (at < n && !coco__rows_is(p[at].key, name)) at++;
            value = at < n ? p[at].value : coco_null();
            found += at < n;
        }
        coco__rows_turn(e, s, i, &cells[i]);
        COCO_TRY(coco__rows_from_value(e, value, &cells[i]));
    }
    return v.kind == COCO_MAP && found != coco_count(v) ? coco__rows_unknown(e, s, v) : COCO_OK;
}

/* ---- Encoded rows ------------------------------------------------------------------------------------------------ */

/* At most: a tag, and a varint or eight bytes, or a length and the bytes. */
static size_t coco__rows_bound(const coco_cell *cells, size_t n)
{
    size_t bound = 0;

    for (size_t i = 0; i < n; i++)
        bound += 11 + (cells[i].null || cells[i].type <= COCO_DOUBLE_T ? 0 : cells[i].s.n);
    return bound;
}

static uint8_t *coco__rows_put_le64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i);
    return p + 8;
}

/* One NaN for all, so that equal values give equal bytes. */
static uint8_t *coco__rows_put_double(uint8_t *p, double d)
{
    uint64_t bits;

    if (isnan(d)) bits = UINT64_C(0x7ff8000000000000);
    else memcpy(&bits, &d, sizeof bits);
    return coco__rows_put_le64(p, bits);
}

static uint8_t *coco__rows_put_int(uint8_t *p, int64_t i)
{
    return coco__rows_put_varint(p, (uint64_t)i << 1 ^ (uint64_t)(i >> 63));
}

static uint8_t *coco__rows_put_cell(uint8_t *p, const coco_cell *cell)
{
    *p++ = cell->null ? 0 : (uint8_t)cell->type;
    if (cell->null) return p;
    switch (cell->type) {
    case COCO_BOOL_T: *p++ = cell->as.boolean; return p;
    case COCO_INT_T: return coco__rows_put_int(p, cell->as.integer);
    case COCO_DOUBLE_T: return coco__rows_put_double(p, cell->as.real);
    case COCO_UUID_T: memcpy(p, cell->s.p, 16); return p + 16;
    default: return coco__rows_put_str(p, cell->s);
    }
}

static size_t coco__rows_put(uint8_t *out, const coco_cell *cells, size_t n)
{
    uint8_t *p = out;

    for (size_t i = 0; i < n; i++) p = coco__rows_put_cell(p, &cells[i]);
    return (size_t)(p - out);
}

/* ---- Most rows: encoded as they are read, without cells ---------------------------------------------------------- */

static bool coco__rows_plain(const coco_schema *s)
{
    bool plain = s->row_size && coco_schema_nkeys(s) <= COCO__ROWS_KEYS;

    for (size_t i = 0; i < s->n; i++) {
        const coco_column *c = &s->columns[i];
        plain &= (c->member >= COCO__M_BOOL && c->member <= COCO__M_DOUBLE) ||
                 (c->member == COCO__M_STR && (c->type == COCO_TEXT_T || c->type == COCO_BYTES_T));
    }
    return plain;
}

static coco_value coco__rows_plain_value(const coco_column *c, const void *at)
{
    const coco_str *s = at;

    switch (c->member) {
    case COCO__M_BOOL: return coco_bool(*(const bool *)at);
    case COCO__M_INT64: return coco_int(*(const int64_t *)at);
    case COCO__M_INT32: return coco_int(*(const int32_t *)at);
    case COCO__M_DOUBLE: return coco_float(*(const double *)at);
    default: return c->type == COCO_BYTES_T ? coco_bytes(s->p, s->n) : coco_text_n(*s);
    }
}

/* The same bytes as by way of cells, and the key columns' values to *key, which moves on; the end. NULL: a null, a text
 * that isn't UTF-8 or a row that is too large for the buffer, which all take the long way. */
static uint8_t *coco__rows_put_plain(const coco_schema *s, const void *row, uint8_t bytes[COCO__ROWS_BUFFER],
                                     coco_value **key)
{
    uint8_t *p = bytes;
    const coco_str *text;

    for (const coco_column *c = s->columns; c < s->columns + s->n; c++) {
        const void *at = (const char *)row + c->offset;
        size_t left = (size_t)(bytes + COCO__ROWS_BUFFER - p);
        if (left < 16) return NULL;
        *p++ = (uint8_t)c->type;
        switch (c->member) {
        case COCO__M_BOOL: *p++ = *(const bool *)at; break;
        case COCO__M_INT64: p = coco__rows_put_int(p, *(const int64_t *)at); break;
        case COCO__M_INT32: p = coco__rows_put_int(p, *(const int32_t *)at); break;
        case COCO__M_DOUBLE: p = coco__rows_put_double(p, *(const double *)at); break;
        default:
            text = at;
            if (!text->p || text->n > left - 16 || (c->type == COCO_TEXT_T && !coco__rows_utf8(*text))) return NULL;
            p = coco__rows_put_str(p, *text);
        }
        if (c->key) *(*key)++ = coco__rows_plain_value(c, at);
    }
    return p;
}

static uint64_t coco__rows_get_le64(const char *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++) v |= (uint64_t)(uint8_t)p[i] << 8 * i;
    return v;
}

bool coco_cell_next(coco_str *rest, coco_cell *cell)
{
    coco_str s;
    uint64_t bits;

    if (rest->n == 0 || (uint8_t)*rest->p >= COCO__TYPE_END) return false;
    cell->type = (coco_type)(uint8_t)*rest->p;
    cell->null = cell->type == 0;
    rest->p++;
    rest->n--;
    switch ((int)cell->type) {
    case 0: return true;
    case COCO_BOOL_T:
        if (!coco__rows_get_bytes(rest, 1, &s)) return false;
        cell->as.boolean = *s.p != 0;
        return true;
    case COCO_INT_T:
        if (!coco__rows_get_varint(rest, &bits)) return false;
        cell->as.integer = (int64_t)(bits >> 1 ^ (0 - (bits & 1)));
        return true;
    case COCO_DOUBLE_T:
        if (!coco__rows_get_bytes(rest, 8, &s)) return false;
        bits = coco__rows_get_le64(s.p);
        memcpy(&cell->as.real, &bits, sizeof bits);
        return true;
    case COCO_UUID_T: return coco__rows_get_bytes(rest, 16, &cell->s);
    default: return coco__rows_get_str(rest, &cell->s);
    }
}

/* The floats of a vector's cell, in cx's memory. */
static coco_value coco__rows_cell_vector(coco_ctx *cx, const coco_cell *cell)
{
    size_t size = cell->type == COCO_HALF_T ? 2 : 4, n = cell->s.n / size;
    float *f = coco_alloc(cx, n * sizeof *f + 1);

    for (size_t i = 0; f && i < n; i++) {
        const uint8_t *p = (const uint8_t *)cell->s.p + i * size;
        uint32_t x = (uint32_t)p[0] | (uint32_t)p[1] << 8;
        if (size == 4) x |= (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        if (size == 4) memcpy(&f[i], &x, sizeof x);
        else f[i] = coco_half_float((uint16_t)x);
    }
    return f ? coco_vector(f, n) : coco_null();
}

coco_value coco_cell_value(coco_ctx *cx, const coco_cell *cell)
{
    if (cell->null) return coco_null();
    switch (cell->type) {
    case COCO_BOOL_T: return coco_bool(cell->as.boolean);
    case COCO_INT_T: return coco_int(cell->as.integer);
    case COCO_DOUBLE_T: return coco_float(cell->as.real);
    case COCO_BYTES_T: return coco_bytes(cell->s.p, cell->s.n);
    case COCO_UUID_T: return coco_uuid((const uint8_t *)cell->s.p);
    case COCO_VECTOR_T: case COCO_HALF_T: return coco__rows_cell_vector(cx, cell);
    default: return coco_text_n(cell->s);
    }
}

void coco_row_record(coco_str row, uint8_t out[16])
{
    coco_fingerprint_bytes(row.p, row.n, out);
}
