/* schema.c - part of rows.c: schemas, and the record of a table's declaration.
 *
 * The record, which is also the desired value: 0x54, number of columns, then of each column its name, type, flags, SQL
 * type and dimension; then the connector's extra. Numbers are varints, texts have their length before them. Flags: 1
 * key, 2 nullable, 4 an SQL type follows. One declaration has one record, byte for byte. */

enum { COCO__ROWS_TABLE = 0x54, COCO__ROWS_KEY = 1, COCO__ROWS_NULLABLE = 2, COCO__ROWS_SQL = 4 };

static const char *const coco__rows_types[] = { "?",    "bool", "int",    "double",   "text",    "bytes", "uuid",
                                                "time", "date", "clock",  "interval", "decimal", "json",  "vector",
                                                "half" };

const char *coco_type_name(coco_type type)
{
    return type > 0 && type < COCO__TYPE_END ? coco__rows_types[type] : coco__rows_types[0];
}

const char *coco_column_name(const coco_column *c)
{
    return c->column ? c->column : c->name;
}

size_t coco_schema_find(const coco_schema *s, const char *column)
{
    size_t i = 0;

    while (i < s->n && strcmp(coco_column_name(&s->columns[i]), column) != 0) i++;
    return i;
}

size_t coco_schema_nkeys(const coco_schema *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) n += s->columns[i].key;
    return n;
}

/* ---- Checks ------------------------------------------------------------------------------------------------------ */

static bool coco__rows_is_vector(coco_type type)
{
    return type == COCO_VECTOR_T || type == COCO_HALF_T;
}

/* Types whose values are stable keys, and equal only if they are the same. */
static bool coco__rows_may_be_key(coco_type type)
{
    return type != COCO_DOUBLE_T && type != COCO_INTERVAL_T && type != COCO_JSON_T && !coco__rows_is_vector(type);
}

/* What is wrong with a column, but for its name; NULL: nothing. */
static const char *coco__rows_column_wrong(const coco_column *c)
{
    if (c->type <= 0 || c->type >= COCO__TYPE_END) return "has no known type";
    if (c->key && c->nullable) return "is a key and nullable";
    if (c->key && !coco__rows_may_be_key(c->type)) return "is of a type that can't be a key";
    if ((c->dim || c->dim_from) && !coco__rows_is_vector(c->type)) return "has a dimension and is no vector";
    if (c->dim && c->dim_from) return "has two dimensions";
    if (c->sql_type && !*c->sql_type) return "has an empty SQL type";
    return NULL;
}

/* ASCII letters of either case are one, as in SQLite's names. */
static bool coco__rows_same_name(const char *a, const char *b)
{
    for (;; a++, b++) {
        unsigned char x = (unsigned char)*a, y = (unsigned char)*b;
        if (x >= 'A' && x <= 'Z') x = (unsigned char)(x + 32);
        if (y >= 'A' && y <= 'Z') y = (unsigned char)(y + 32);
        if (x != y) return false;
        if (!x) return true;
    }
}

static coco_status coco__rows_check_names(coco_ctx *cx, const char *table, const coco_schema *s, size_t at)
{
    const char *name = coco_column_name(&s->columns[at]);

    if (!name || !*name) return coco_fail(cx, COCO_EINVAL, "table %s: column %zu has no name", table, at + 1);
    if (!coco__rows_utf8(coco_str_of(name)))
        return coco_fail(cx, COCO_EINVAL, "table %s: the name of column %zu is not UTF-8", table, at + 1);
    for (size_t i = 0; i < at; i++)
        if (coco__rows_same_name(coco_column_name(&s->columns[i]), name))
            return coco_fail(cx, COCO_EINVAL, "table %s: two columns are called %s", table, name);
    return COCO_OK;
}

coco_status coco_schema_check(coco_ctx *cx, const char *table, const coco_schema *s)
{
    const char *wrong;

    if (!table || !*table) return coco_fail(cx, COCO_EINVAL, "a table has no name");
    if (!coco__rows_utf8(coco_str_of(table))) return coco_fail(cx, COCO_EINVAL, "a table's name is not UTF-8");
    if (!s || s->n == 0) return coco_fail(cx, COCO_EINVAL, "table %s has no columns", table);
    if (s->n > COCO_COLUMNS_MAX)
        return coco_fail(cx, COCO_EINVAL, "table %s has %zu columns, over %d", table, s->n, COCO_COLUMNS_MAX);
    for (size_t i = 0; i < s->n; i++) {
        COCO_TRY(coco__rows_check_names(cx, table, s, i));
        if ((wrong = coco__rows_column_wrong(&s->columns[i])) != NULL)
            return coco_fail(cx, COCO_EINVAL, "table %s: column %s %s", table, coco_column_name(&s->columns[i]), wrong);
    }
    if (coco_schema_nkeys(s) == 0) return coco_fail(cx, COCO_EINVAL, "table %s has no key column", table);
    return COCO_OK;
}

/* ---- Encoding ---------------------------------------------------------------------------------------------------- */

static uint8_t *coco__rows_put_varint(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

static uint8_t *coco__rows_put_str(uint8_t *p, coco_str s)
{
    p = coco__rows_put_varint(p, s.n);
    if (s.n) memcpy(p, s.p, s.n);
    return p + s.n;
}

/* Reads a varint; false where it doesn't end, is over 64 bits or longer than it need be. */
static bool coco__rows_get_varint(coco_str *rest, uint64_t *v)
{
    unsigned shift = 0;

    if (rest->n && (uint8_t)*rest->p < 0x80) { /* most */
        *v = (uint8_t)*rest->p++;
        rest->n--;
        return true;
    }
    for (*v = 0; rest->n; shift += 7) {
        uint8_t b = (uint8_t)*rest->p;
        if (shift == 63 && b > 1) return false;
        rest->p++;
        rest->n--;
        *v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) return b != 0;
        if (shift == 63) return false;
    }
    return false;
}

/* Takes n bytes, borrowed. */
static bool coco__rows_get_bytes(coco_str *rest, size_t n, coco_str *s)
{
    if (n > rest->n) return false;
    *s = (coco_str){ rest->p, n };
    rest->p += n;
    rest->n -= n;
    return true;
}

static bool coco__rows_get_str(coco_str *rest, coco_str *s)
{
    uint64_t n;

    return coco__rows_get_varint(rest, &n) && n <= rest->n && coco__rows_get_bytes(rest, (size_t)n, s);
}

/* The dimension of a vector column: its own, or that of the context value that names it. */
static coco_status coco__rows_dimension(coco_ctx *cx, const char *table, const coco_column *c, size_t *dim)
{
    coco_value v;

    *dim = c->dim;
    if (!c->dim_from) return COCO_OK;
    v = coco_context(cx, c->dim_from);
    COCO_TRY(coco_error(cx));
    if (v.kind == COCO_OBJECT && v.as.s.p.cls->memo_key) COCO_TRY(v.as.s.p.cls->memo_key(cx, v.as.s.u.object, &v));
    if (v.kind == COCO_MAP) v = coco_get(v, "dimensions");
    if (v.kind != COCO_INT || v.as.integer < 1 || v.as.integer > 1000000)
        return coco_fail(cx, COCO_ETYPE, "table %s: column %s: the context key %s names no dimension", table,
                         coco_column_name(c), c->dim_from->name);
    *dim = (size_t)v.as.integer;
    return COCO_OK;
}

static uint8_t *coco__rows_put_column(uint8_t *p, const coco_column *c, size_t dim)
{
    p = coco__rows_put_str(p, coco_str_of(coco_column_name(c)));
    *p++ = (uint8_t)c->type;
    *p++ = (uint8_t)((c->key ? COCO__ROWS_KEY : 0) | (c->nullable ? COCO__ROWS_NULLABLE : 0) |
                     (c->sql_type ? COCO__ROWS_SQL : 0));
    if (c->sql_type) p = coco__rows_put_str(p, coco_str_of(c->sql_type));
    return coco__rows_put_varint(p, dim);
}

/* Names and types as the system will have them: an override of a column's name is the name here. */
coco_status coco_table_declaration(coco_ctx *cx, const char *table, const coco_schema *s, coco_str extra, coco_str *out)
{
    size_t bound = 32 + extra.n, dim;
    uint8_t *bytes, *p;

    COCO_TRY(coco_schema_check(cx, table, s));
    for (size_t i = 0; i < s->n; i++)
        bound += strlen(coco_column_name(&s->columns[i])) + coco_str_of(s->columns[i].sql_type).n + 32;
    if (bound > (size_t)1 << 20)
        return coco_fail(cx, COCO_EINVAL, "table %s: its declaration is over 1 MiB", table);
    if (!(p = bytes = coco_alloc(cx, bound))) return COCO_ENOMEM;
    *p++ = COCO__ROWS_TABLE;
    p = coco__rows_put_varint(p, s->n);
    for (size_t i = 0; i < s->n; i++) {
        COCO_TRY(coco__rows_dimension(cx, table, &s->columns[i], &dim));
        p = coco__rows_put_column(p, &s->columns[i], dim);
    }
    p = coco__rows_put_str(p, extra);
    *out = (coco_str){ (char *)bytes, (size_t)(p - bytes) };
    return COCO_OK;
}

/* ---- Decoding ---------------------------------------------------------------------------------------------------- */

/* A text without NULs, copied. A damaged record sets no bad. */
static bool coco__rows_get_name(coco_ctx *cx, coco_str *rest, const char **name)
{
    coco_str s;

    if (!coco__rows_get_str(rest, &s) || s.n == 0 || memchr(s.p, '\0', s.n)) return false;
    return (*name = coco_copy(cx, s).p) != NULL;
}

static bool coco__rows_get_column(coco_ctx *cx, coco_str *rest, coco_column *c)
{
    uint64_t dim;
    unsigned type, flags;

    if (!coco__rows_get_name(cx, rest, &c->name) || rest->n < 2) return false;
    type = (uint8_t)rest->p[0];
    flags = (uint8_t)rest->p[1];
    rest->p += 2;
    rest->n -= 2;
    if (flags > (COCO__ROWS_KEY | COCO__ROWS_NULLABLE | COCO__ROWS_SQL)) return false;
    c->type = (coco_type)type;
    c->key = flags & COCO__ROWS_KEY;
    c->nullable = flags & COCO__ROWS_NULLABLE;
    if ((flags & COCO__ROWS_SQL) && !coco__rows_get_name(cx, rest, &c->sql_type)) return false;
    if (!coco__rows_get_varint(rest, &dim) || dim > SIZE_MAX) return false;
    c->dim = (size_t)dim;
    return coco__rows_column_wrong(c) == NULL;
}

coco_status coco_table_decode(coco_ctx *cx, coco_str record, coco_table_decl *out)
{
    coco_str rest = record, extra, copy;
    coco_column *columns;
    uint64_t n;

    *out = (coco_table_decl){ 0 };
    if (rest.n < 2 || (uint8_t)*rest.p != COCO__ROWS_TABLE) return COCO_ECORRUPT;
    rest.p++;
    rest.n--;
    /* a column takes four bytes at least, so a damaged number asks for no great memory */
    if (!coco__rows_get_varint(&rest, &n) || n == 0 || n > COCO_COLUMNS_MAX || n > rest.n / 4) return COCO_ECORRUPT;
    if (!(columns = coco_alloc(cx, (size_t)n * sizeof *columns))) return COCO_ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (!coco__rows_get_column(cx, &rest, &columns[i])) return coco_error(cx) ? coco_error(cx) : COCO_ECORRUPT;
    out->schema = (coco_schema){ .columns = columns, .n = (size_t)n };
    if (!coco__rows_get_str(&rest, &extra) || rest.n || coco_schema_nkeys(&out->schema) == 0) return COCO_ECORRUPT;
    copy = coco_copy(cx, extra);
    if (!copy.p) return COCO_ENOMEM;
    out->extra = copy;
    return COCO_OK;
}
