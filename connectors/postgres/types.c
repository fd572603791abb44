/* types.c - part of postgres.c: the type map, and rows as the parameters of a statement.
 *
 * Many rows go as one statement with one array a column, in libpq's binary format: numbers, text, bytes, uuids and
 * vectors as they are; times, decimals and JSON as text that the server's own input functions read (unnest of text[],
 * then a cast). Arrays are measured first and then filled, so each is allocated once, at its size. */

/* Object ids of built-in types; they are fixed. */
enum { COCO__PG_BOOL = 16, COCO__PG_BYTEA = 17, COCO__PG_INT8 = 20, COCO__PG_TEXT = 25, COCO__PG_FLOAT8 = 701,
       COCO__PG_UUID = 2950 };

/* How a column type stands in SQL, and how its values travel. */
typedef struct coco__pg_type {
    const char *sql;  /* type of the column */
    const char *wire; /* element type of the array that carries it */
    Oid oid;          /* of wire; 0: an extension's, asked for */
} coco__pg_type;

static const coco__pg_type *coco__pg_type_of(coco_type type)
{
    static const coco__pg_type map[] = {
        [COCO_BOOL_T] = { "boolean", "boolean", COCO__PG_BOOL },
        [COCO_INT_T] = { "bigint", "bigint", COCO__PG_INT8 },
        [COCO_DOUBLE_T] = { "double precision", "double precision", COCO__PG_FLOAT8 },
        [COCO_TEXT_T] = { "text", "text", COCO__PG_TEXT },
        [COCO_BYTES_T] = { "bytea", "bytea", COCO__PG_BYTEA },
        [COCO_UUID_T] = { "uuid", "uuid", COCO__PG_UUID },
        [COCO_TIME_T] = { "timestamp with time zone", "text", COCO__PG_TEXT },
        [COCO_DATE_T] = { "date", "text", COCO__PG_TEXT },
        [COCO_CLOCK_T] = { "time without time zone", "text", COCO__PG_TEXT },
        [COCO_INTERVAL_T] = { "interval", "text", COCO__PG_TEXT },
        [COCO_DECIMAL_T] = { "numeric", "text", COCO__PG_TEXT },
        [COCO_JSON_T] = { "jsonb", "text", COCO__PG_TEXT },
        [COCO_VECTOR_T] = { "vector", "vector", 0 },
        [COCO_HALF_T] = { "halfvec", "halfvec", 0 },
    };

    assert(type > 0 && (size_t)type < sizeof map / sizeof map[0]);
    return &map[type];
}

static bool coco__pg_is_vector(coco_type type)
{
    return type == COCO_VECTOR_T || type == COCO_HALF_T;
}

/* The column's type: "bigint", "vector(3)", or the program's own. */
static void coco__pg_put_type(coco__pg_text *t, const coco_column *c)
{
    if (c->sql_type) coco__pg_puts(t, c->sql_type);
    else coco__pg_puts(t, coco__pg_type_of(c->type)->sql);
    if (!c->sql_type && c->dim) coco__pg_putf(t, "(%d)", (int)c->dim);
}

/* The cast from what travels to the column's type, without its length or precision: a cast with those would cut what
 * is too long, the assignment to the column refuses it. */
static void coco__pg_put_cast(coco__pg_text *t, const coco_column *c)
{
    const coco__pg_type *type = coco__pg_type_of(c->type);
    const char *s = c->sql_type, *open = s ? strchr(s, '(') : NULL, *close = open ? strchr(open, ')') : NULL;
    size_t n = open ? (size_t)(open - s) : s ? strlen(s) : 0;

    if (!s && strcmp(type->sql, type->wire) == 0) return;
    coco__pg_puts(t, "::");
    if (!s) coco__pg_puts(t, type->sql);
    /* without a length these mean one character and one bit */
    else if ((n == 4 && strncasecmp(s, "char", n) == 0) || (n == 9 && strncasecmp(s, "character", n) == 0))
        coco__pg_puts(t, "bpchar");
    else if (n == 3 && strncasecmp(s, "bit", n) == 0) coco__pg_puts(t, "varbit");
    else coco__pg_put(t, s, n);
    if (close) coco__pg_puts(t, close + 1);
}

/* ---- Chunks of rows -------------------------------------------------------------------------------------------- */

#define COCO__PG_CHUNK_ROWS 1000
#define COCO__PG_CHUNK_BYTES ((size_t)4 << 20)

/* One array parameter. */
typedef struct coco__pg_array {
    const coco_column *column; /* whose values it carries */
    Oid oid;                   /* of its elements */
    size_t size;               /* of the whole, in bytes */
    bool nulls;                /* some element is null */
    uint8_t *begin, *at;       /* the bytes, and where the next go */
} coco__pg_array;

/* Rows on their way into one statement. */
typedef struct coco__pg_chunk {
    coco_action **actions;
    size_t n;              /* of the actions */
    bool keys;             /* the keys alone, for a delete */
    bool strip;            /* NUL in texts is left out */
    coco__pg_array *arrays;
    size_t narrays;
    uint8_t *out;          /* COPY: where the next bytes go … */
    size_t size;           /* … and how many the row at hand has */
    PGresult *mem;         /* owns arrays and their bytes */
} coco__pg_chunk;

static uint8_t *coco__pg_put32(uint8_t *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--) *p++ = (uint8_t)(v >> 8 * i);
    return p;
}

static uint8_t *coco__pg_put64(uint8_t *p, uint64_t v)
{
    return coco__pg_put32(coco__pg_put32(p, (uint32_t)(v >> 32)), (uint32_t)v);
}

static bool coco__pg_is_text(coco_type type)
{
    return coco__pg_type_of(type)->oid == COCO__PG_TEXT;
}

static size_t coco__pg_nuls(coco_str s)
{
    size_t n = 0;

    for (const char *p = s.p, *end = s.p + s.n; s.n && (p = memchr(p, '\0', (size_t)(end - p))) != NULL; p++) n++;
    return n;
}

/* The bytes of an element behind its length. */
static size_t coco__pg_element_size(const coco__pg_chunk *k, const coco_cell *cell)
{
    if (cell->null) return 0;
    switch (cell->type) {
    case COCO_BOOL_T: return 1;
    case COCO_INT_T: case COCO_DOUBLE_T: return 8;
    case COCO_VECTOR_T: case COCO_HALF_T: return 4 + cell->s.n;
    default: return cell->s.n - (k->strip && coco__pg_is_text(cell->type) ? coco__pg_nuls(cell->s) : 0);
    }
}

/* pgvector's own format: dimension, an unused number, and the floats or halves, all big-endian. */
static uint8_t *coco__pg_put_vector(uint8_t *p, const coco_cell *cell)
{
    size_t width = cell->type == COCO_HALF_T ? 2 : 4, n = cell->s.n / width;
    const uint8_t *from = (const uint8_t *)cell->s.p;

    p = coco__pg_put32(p, (uint32_t)n << 16);
    for (size_t i = 0; i < n; i++, from += width)
        for (size_t b = width; b-- > 0;) *p++ = from[b];
    return p;
}

static uint8_t *coco__pg_put_stripped(uint8_t *p, coco_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i]) *p++ = (uint8_t)s.p[i];
    return p;
}

static void coco__pg_put_element(coco__pg_chunk *k, coco__pg_array *a, const coco_cell *cell)
{
    size_t n = coco__pg_element_size(k, cell);
    uint64_t bits;

    a->at = coco__pg_put32(a->at, cell->null ? UINT32_MAX : (uint32_t)n);
    if (cell->null) return;
    switch (cell->type) {
    case COCO_BOOL_T: *a->at++ = cell->as.boolean; return;
    case COCO_INT_T: a->at = coco__pg_put64(a->at, (uint64_t)cell->as.integer); return;
    case COCO_DOUBLE_T:
        memcpy(&bits, &cell->as.real, sizeof bits);
        a->at = coco__pg_put64(a->at, bits);
        return;
    case COCO_VECTOR_T: case COCO_HALF_T: a->at = coco__pg_put_vector(a->at, cell); return;
    default: break;
    }
    if (n != cell->s.n) {
        a->at = coco__pg_put_stripped(a->at, cell->s);
    } else if (n) {
        memcpy(a->at, cell->s.p, n);
        a->at += n;
    }
}

/* A value of a key as a cell; it borrows from the value. */
static coco_cell coco__pg_key_cell(coco_type type, const coco_value *v)
{
    coco_cell cell = { .type = type, .null = v->kind == COCO_NULL };

    if (v->kind == COCO_BOOL) cell.as.boolean = v->as.boolean;
    else if (v->kind == COCO_INT) cell.as.integer = v->as.integer;
    else if (v->kind == COCO_UUID) cell.s = (coco_str){ (const char *)v->as.uuid, 16 };
    else cell.s = coco_text_of(*v);
    return cell;
}

/* Calls put for each cell of the action; false where it isn't a row of this table. */
static bool coco__pg_each_cell(coco__pg_chunk *k, const coco_action *a,
                               void (*put)(coco__pg_chunk *k, coco__pg_array *array, const coco_cell *cell))
{
    coco_str rest = k->keys ? (coco_str){ NULL, 0 } : coco_row_of(a);
    coco_cell cell;

    if (k->keys && coco_count(a->key) != k->narrays) return false;
    for (size_t i = 0; i < k->narrays; i++) {
        if (k->keys) cell = coco__pg_key_cell(k->arrays[i].column->type, &a->key.as.s.p.items[i]);
        else if (!coco_cell_next(&rest, &cell)) return false;
        if (!cell.null && cell.type != k->arrays[i].column->type) return false;
        put(k, &k->arrays[i], &cell);
    }
    return rest.n == 0;
}

static void coco__pg_measure(coco__pg_chunk *k, coco__pg_array *a, const coco_cell *cell)
{
    a->size += 4 + coco__pg_element_size(k, cell);
    a->nulls |= cell->null;
}

/* Object ids of the extension's types, where a column needs one. */
static coco_status coco__pg_vector_oid(PGconn *conn, coco__pg_array *a, coco_err *err)
{
    const char *type = coco__pg_type_of(a->column->type)->wire;
    PGresult *r = coco__pg_query_with(conn, "SELECT to_regtype($1)::oid", 1, &type, err);

    if (!r) return err->code;
    a->oid = (Oid)strtoul(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return a->oid ? COCO_OK : coco_err_set(err, COCO_ENOTFOUND, "there is no type %s: pgvector isn't installed", type);
}

/* Makes the arrays of a chunk: one a column, or one a key column. */
static coco_status coco__pg_arrays(PGconn *conn, coco__pg_chunk *k, const coco_schema *s, coco_err *err)
{
    k->narrays = 0;
    if (!(k->arrays = coco__pg_alloc(&k->mem, s->n * sizeof *k->arrays)))
        return coco_err_set(err, COCO_ENOMEM, "out of memory");
    for (size_t i = 0; i < s->n; i++) {
        coco__pg_array *a = &k->arrays[k->narrays];
        if (k->keys && !s->columns[i].key) continue;
        *a = (coco__pg_array){ .column = &s->columns[i], .oid = coco__pg_type_of(s->columns[i].type)->oid };
        if (!a->oid) COCO_TRY(coco__pg_vector_oid(conn, a, err));
        k->narrays++;
    }
    return COCO_OK;
}

/* Fills the arrays with the rows. */
static coco_status coco__pg_fill(coco__pg_chunk *k, coco_err *err)
{
    for (size_t i = 0; i < k->narrays; i++) k->arrays[i].size = 20, k->arrays[i].nulls = false;
    for (size_t i = 0; i < k->n; i++)
        if (!coco__pg_each_cell(k, k->actions[i], coco__pg_measure))
            return coco_err_set(err, COCO_ECORRUPT, "a row doesn't fit the table's declaration");
    for (size_t i = 0; i < k->narrays; i++) {
        coco__pg_array *a = &k->arrays[i];
        if (a->size > INT32_MAX) return coco_err_set(err, COCO_EINVAL, "a row is too large for the server");
        if (!(a->begin = coco__pg_alloc(&k->mem, a->size))) return coco_err_set(err, COCO_ENOMEM, "out of memory");
        a->at = coco__pg_put32(a->begin, 1); /* dimensions */
        a->at = coco__pg_put32(a->at, a->nulls);
        a->at = coco__pg_put32(a->at, a->oid);
        a->at = coco__pg_put32(a->at, (uint32_t)k->n);
        a->at = coco__pg_put32(a->at, 1); /* lower bound */
    }
    for (size_t i = 0; i < k->n; i++) coco__pg_each_cell(k, k->actions[i], coco__pg_put_element);
    return COCO_OK;
}
