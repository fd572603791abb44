/* source.c - part of postgres.c: rows of a table or query as keyed items.
 *
 * The source has a connection of its own, in a read-only transaction with one snapshot, and a cursor from which it
 * fetches a batch at a time: a table of any size takes the memory of one batch. Where the key's types allow it, rows
 * come in the order of their encoded keys, which makes following the recorded children a merge. Columns and types are
 * asked for when the source is made, for the engine must know of the order; the snapshot is taken with the first item.
 */

#define COCO__PG_FETCH "FETCH FORWARD 1000 FROM coco_rows"

/* Types of values that are read as something else than text, by their fixed object ids. */
enum { COCO__PG_INT2 = 21, COCO__PG_INT4 = 23, COCO__PG_OID = 26, COCO__PG_FLOAT4 = 700, COCO__PG_VARCHAR = 1043,
       COCO__PG_TIMESTAMP = 1114, COCO__PG_TIMESTAMPTZ = 1184 };

/* A source under way. */
typedef struct coco__pg_reader {
    coco_postgres *db;
    const char *context;    /* name of the context key */
    coco_postgres_read read; /* copied: a source that is followed outlives the call that made it */
    bool keys_only;         /* for a list of what is there: keys as lists, no values */
    coco_str identity;
    PGconn *conn;           /* in its transaction; NULL: not begun, or over */
    bool over;              /* the listing has ended */
    atomic_bool *broken;    /* it failed, or a look at one row did: the watch asks for another */
    PGresult *batch;        /* rows fetched; NULL: fetch */
    int at;                 /* the next of them */
    const char **names;     /* of the columns; the first nkeys are the key */
    Oid *types;
    size_t n, nkeys;
    size_t version;         /* column that is the memo state; n: none */
    Oid vectors[2];         /* types vector and halfvec, 0 where there is no pgvector */
} coco__pg_reader;

/* ---- Values ---------------------------------------------------------------------------------------------------- */

/* A number in the form of SQL, whatever the program's locale. */
static double coco__pg_number(const char *s)
{
    char copy[64], *point;

    snprintf(copy, sizeof copy, "%s", s);
    if ((point = strchr(copy, '.')) != NULL) *point = *localeconv()->decimal_point;
    return strtod(copy, NULL);
}

static int coco__pg_hex(char c)
{
    return c >= 'a' ? c - 'a' + 10 : c - '0';
}

/* p may be where hex is. */
static coco_value coco__pg_bytes_in(uint8_t *p, const char *hex)
{
    size_t n = strlen(hex) / 2;

    hex += 2; /* \x */
    n = n ? n - 1 : 0;
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(coco__pg_hex(hex[2 * i]) << 4 | coco__pg_hex(hex[2 * i + 1]));
    return coco_bytes(p, n);
}

static coco_value coco__pg_bytes(coco_ctx *cx, const char *hex)
{
    uint8_t *p = coco_alloc(cx, strlen(hex) / 2 + 1);

    return p ? coco__pg_bytes_in(p, hex) : coco_null();
}

/* [1,2.5] */
static coco_value coco__pg_floats(coco_ctx *cx, const char *s)
{
    size_t n = 0, max = 1;
    float *f;

    for (const char *p = s; *p; p++) max += *p == ',';
    if (!(f = coco_alloc(cx, max * sizeof *f))) return coco_null();
    for (const char *p = s; *p && *p != ']' && *++p && *p != ']'; p += strcspn(p, ",]")) {
        char number[64];
        snprintf(number, sizeof number, "%.*s", (int)strcspn(p, ",]"), p);
        f[n++] = (float)coco__pg_number(number);
    }
    return coco_vector(f, n);
}

/* ISO 8601: "2026-01-31 12:00:00+00" becomes "2026-01-31T12:00:00Z". */
static coco_value coco__pg_moment_in(char *p, bool zone)
{
    size_t n = strlen(p);
    char *space = strchr(p, ' ');

    if (space) *space = 'T';
    if (zone && n > 3 && memcmp(p + n - 3, "+00", 3) == 0) {
        p[n - 3] = 'Z';
        n -= 2;
    }
    return coco_text_n((coco_str){ p, n });
}

static coco_value coco__pg_moment(coco_ctx *cx, const char *s, bool zone)
{
    coco_str copy = coco_copy(cx, coco_str_of(s));

    return copy.p ? coco__pg_moment_in((char *)(uintptr_t)copy.p, zone) : coco_null();
}

static coco_value coco__pg_value(coco_ctx *cx, const coco__pg_reader *rd, int row, size_t column)
{
    const char *s = PQgetvalue(rd->batch, row, (int)column);
    uint8_t uuid[16];
    Oid type = rd->types[column];

    if (PQgetisnull(rd->batch, row, (int)column)) return coco_null();
    switch (type) {
    case COCO__PG_BOOL: return coco_bool(*s == 't');
    case COCO__PG_INT2: case COCO__PG_INT4: case COCO__PG_INT8: case COCO__PG_OID:
        return coco_int(strtoll(s, NULL, 10));
    case COCO__PG_FLOAT4: case COCO__PG_FLOAT8: return coco_float(coco__pg_number(s));
    case COCO__PG_BYTEA: return coco__pg_bytes(cx, s);
    case COCO__PG_TIMESTAMP: case COCO__PG_TIMESTAMPTZ: return coco__pg_moment(cx, s, type == COCO__PG_TIMESTAMPTZ);
    case COCO__PG_UUID:
        if (coco_uuid_parse(coco_str_of(s), uuid)) return coco_uuid(uuid);
        break;
    default:
        if (type == rd->vectors[0] || type == rd->vectors[1]) return coco__pg_floats(cx, s);
        break;
    }
    return coco_text_n(coco_copy(cx, coco_str_of(s)));
}

/* Whether the order of the type's values is that of the encoded keys; *text needs to be told so. */
static bool coco__pg_orders(Oid type, bool *text)
{
    *text = type == COCO__PG_TEXT || type == COCO__PG_VARCHAR;
    return *text || type == COCO__PG_BOOL || type == COCO__PG_INT2 || type == COCO__PG_INT4 || type == COCO__PG_INT8 ||
           type == COCO__PG_BYTEA || type == COCO__PG_UUID;
}

/* ---- Columns --------------------------------------------------------------------------------------------------- */

static bool coco__pg_has_name(const char *const *names, size_t n, coco_str name)
{
    for (size_t i = 0; i < n; i++)
        if (coco_str_equal(coco_str_of(names[i]), name)) return true;
    return false;
}

/* Adds the names of a list with commas that aren't there yet. */
static coco_status coco__pg_add_names(coco_ctx *cx, coco__pg_reader *rd, const char *list)
{
    for (size_t n; list && *list; list += n + (list[n] == ',')) {
        n = strcspn(list, ",");
        coco_str name = { list, n };
        while (name.n && *name.p == ' ') name.p++, name.n--;
        while (name.n && name.p[name.n - 1] == ' ') name.n--;
        if (name.n == 0 || coco__pg_has_name(rd->names, rd->n, name)) continue;
        if (rd->n == COCO_COLUMNS_MAX) return coco_fail(cx, COCO_EINVAL, "over %d columns", COCO_COLUMNS_MAX);
        if (!(rd->names[rd->n++] = coco_copy(cx, name).p)) return COCO_ENOMEM;
    }
    return COCO_OK;
}

/* The table's primary key, in its order. */
static coco_status coco__pg_add_primary(coco_ctx *cx, coco__pg_reader *rd, coco_err *err)
{
    coco__pg_table table = { .schema = rd->read.schema ? rd->read.schema : "", .name = rd->read.table,
                             .shadow_name = "\x01" };
    coco__pg_shape s;
    coco_status rc = coco__pg_look(rd->conn, &table, &s, err);

    for (size_t want = 1, i = 0; rc == COCO_OK && i < s.n; i++) {
        if (s.columns[i].key != (int)want) continue;
        if (!(rd->names[rd->n++] = coco_copy(cx, coco_str_of(s.columns[i].name)).p)) rc = COCO_ENOMEM;
        want++;
        i = (size_t)-1; /* from the front again */
    }
    if (rc == COCO_OK && !s.there)
        rc = coco_err_set(err, COCO_ENOTFOUND, "there is no table or view \"%s\"", rd->read.table);
    PQclear(s.mem);
    return rc;
}

static void coco__pg_put_from(coco__pg_text *t, const coco__pg_reader *rd)
{
    if (rd->read.query) coco__pg_putf(t, " FROM (%s) AS q", rd->read.query);
    else coco__pg_puts(t, " FROM ");
    if (!rd->read.query && rd->read.schema) coco__pg_putf(t, "%i.", rd->read.schema);
    if (!rd->read.query) coco__pg_putf(t, "%i", rd->read.table);
}

/* A value as a statement's parameter: its text, in cx's memory. */
static const char *coco__pg_param(coco_ctx *cx, coco_value v)
{
    coco_str s;

    if (v.kind == COCO_NULL) return NULL;
    if (v.kind == COCO_TEXT_KIND) return coco_copy(cx, coco_text_of(v)).p;
    if (v.kind == COCO_FLOAT) return coco_format(cx, "%.17g", v.as.real).p;
    if (v.kind == COCO_BYTES) {
        s = coco_format(cx, "\\x");
        for (size_t i = 0; i < coco_count(v); i++)
            s = coco_format(cx, "%s%02x", s.p, ((const uint8_t *)coco_text_of(v).p)[i]);
        return s.p;
    }
    return coco_print(cx, v, &s) == COCO_OK ? coco_copy(cx, s).p : NULL;
}

/* Runs a statement with the query's parameters. */
static PGresult *coco__pg_read_query(coco_ctx *cx, const coco__pg_reader *rd, const coco__pg_text *t, coco_err *err)
{
    const char **params = coco_alloc(cx, (rd->read.nbind + 1) * sizeof *params);

    if (!params || t->failed) {
        coco_err_set(err, COCO_ENOMEM, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < rd->read.nbind; i++) params[i] = coco__pg_param(cx, rd->read.bind[i]);
    return coco__pg_query_with(rd->conn, t->p, (int)rd->read.nbind, params, err);
}

/* Adds all columns of the table or query. */
static coco_status coco__pg_add_all(coco_ctx *cx, coco__pg_reader *rd, coco_err *err)
{
    coco__pg_text t = { 0 };
    PGresult *r;
    coco_status rc = COCO_OK;

    coco__pg_puts(&t, "SELECT *");
    coco__pg_put_from(&t, rd);
    coco__pg_puts(&t, " LIMIT 0");
    r = coco__pg_read_query(cx, rd, &t, err);
    coco__pg_text_free(&t);
    for (int i = 0; r && i < PQnfields(r) && rc == COCO_OK; i++) {
        coco_str name = coco_str_of(PQfname(r, i));
        if (coco__pg_has_name(rd->names, rd->n, name) || rd->n == COCO_COLUMNS_MAX) continue;
        if (!(rd->names[rd->n++] = coco_copy(cx, name).p)) rc = coco_err_set(err, COCO_ENOMEM, "out of memory");
    }
    PQclear(r);
    return r ? rc : err->code;
}

static void coco__pg_put_select(coco__pg_text *t, const coco__pg_reader *rd)
{
    for (size_t i = 0; i < rd->n; i++) coco__pg_putf(t, "%s%i", i ? ", " : "SELECT ", rd->names[i]);
    coco__pg_put_from(t, rd);
}

/* Learns the columns and their types. */
static coco_status coco__pg_columns(coco_ctx *cx, coco__pg_reader *rd, coco_err *err)
{
    coco__pg_text t = { 0 };
    PGresult *r;

    if (!(rd->names = coco_alloc(cx, (COCO_COLUMNS_MAX + 1) * sizeof *rd->names))) return COCO_ENOMEM;
    if (rd->read.key) COCO_TRY(coco__pg_add_names(cx, rd, rd->read.key));
    else if (rd->read.table) COCO_TRY(coco__pg_add_primary(cx, rd, err));
    if ((rd->nkeys = rd->n) == 0) return coco_err_set(err, COCO_EINVAL, "it has no primary key: name the key columns");
    if (!rd->keys_only) {
        COCO_TRY(coco__pg_add_names(cx, rd, rd->read.version));
        if (rd->read.columns) COCO_TRY(coco__pg_add_names(cx, rd, rd->read.columns));
        else COCO_TRY(coco__pg_add_all(cx, rd, err));
    }
    rd->version = rd->n;
    for (size_t i = 0; rd->read.version && i < rd->n; i++)
        if (strcmp(rd->names[i], rd->read.version) == 0) rd->version = i;
    coco__pg_put_select(&t, rd);
    coco__pg_puts(&t, " LIMIT 0");
    r = coco__pg_read_query(cx, rd, &t, err);
    coco__pg_text_free(&t);
    if (!r || !(rd->types = coco_alloc(cx, rd->n * sizeof *rd->types))) {
        PQclear(r);
        return r ? COCO_ENOMEM : err->code;
    }
    for (size_t i = 0; i < rd->n; i++) rd->types[i] = PQftype(r, (int)i);
    PQclear(r);
    return COCO_OK;
}

/* ---- The cursor ------------------------------------------------------------------------------------------------ */

static coco_status coco__pg_read_vectors(coco__pg_reader *rd, coco_err *err)
{
    PGresult *r = coco__pg_query(rd->conn, "SELECT coalesce(to_regtype('vector')::oid, 0), "
                                           "coalesce(to_regtype('halfvec')::oid, 0)", err);

    if (!r) return err->code;
    for (int i = 0; i < 2; i++) rd->vectors[i] = (Oid)strtoul(PQgetvalue(r, 0, i), NULL, 10);
    PQclear(r);
    return COCO_OK;
}

/* Whether rows can come in the order of their keys. */
static bool coco__pg_may_order(const coco__pg_reader *rd)
{
    bool ordered = true, text;

    for (size_t i = 0; i < rd->nkeys; i++) ordered &= coco__pg_orders(rd->types[i], &text);
    return ordered;
}

static coco_status coco__pg_read_begin(coco_ctx *cx, coco__pg_reader *rd, coco_err *err)
{
    coco__pg_text t = { 0 };
    PGresult *r;
    bool text;

    COCO_TRY(coco__pg_exec(rd->conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err));
    coco__pg_puts(&t, "DECLARE coco_rows NO SCROLL CURSOR FOR ");
    coco__pg_put_select(&t, rd);
    for (size_t i = 0; coco__pg_may_order(rd) && i < rd->nkeys; i++) {
        coco__pg_putf(&t, "%s%i", i ? ", " : " ORDER BY ", rd->names[i]);
        if (coco__pg_orders(rd->types[i], &text) && text) coco__pg_puts(&t, " COLLATE \"C\"");
    }
    r = coco__pg_read_query(cx, rd, &t, err);
    coco__pg_text_free(&t);
    PQclear(r);
    return r ? COCO_OK : err->code;
}

static coco_status coco__pg_key_value(coco_ctx *cx, const coco__pg_reader *rd, coco_value *key)
{
    coco_value *items = coco_alloc(cx, rd->nkeys * sizeof *items);

    if (!items) return COCO_ENOMEM;
    for (size_t i = 0; i < rd->nkeys; i++) {
        items[i] = coco__pg_value(cx, rd, rd->at, i);
        if (items[i].kind == COCO_NULL || items[i].kind == COCO_FLOAT || items[i].kind == COCO_VECTOR)
            return coco_fail(cx, COCO_ETYPE, "the key column %s holds a %s", rd->names[i],
                             items[i].kind == COCO_NULL ? "null" : "value that can't be a key");
    }
    *key = rd->nkeys == 1 && !rd->keys_only ? items[0] : coco_list(items, rd->nkeys);
    return COCO_OK;
}

static coco_status coco__pg_item(coco_ctx *cx, const coco__pg_reader *rd, coco_value *key, coco_value *value)
{
    coco_row_parts parts = { .identity = rd->identity, .names = rd->names, .n = rd->n };
    coco_value *values;
    coco_row *row;

    COCO_TRY(coco__pg_key_value(cx, rd, key));
    *value = coco_null();
    if (rd->keys_only) return COCO_OK;
    if (!(values = coco_alloc(cx, rd->n * sizeof *values))) return COCO_ENOMEM;
    for (size_t i = 0; i < rd->n; i++) values[i] = coco__pg_value(cx, rd, rd->at, i);
    parts.values = values;
    parts.key = *key;
    if (rd->version < rd->n) parts.version = values[rd->version];
    if (!(row = coco_row_new(cx, &parts))) return COCO_ENOMEM;
    *value = coco_row_value(row);
    return COCO_OK;
}

static int coco__pg_read_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    coco__pg_reader *rd = src->self;
    coco_err err = { 0 };
    coco_status rc;

    if (!rd->conn) {
        COCO_TRY(coco__pg_take_cx(cx, rd->db, &rd->conn));
        rc = coco__pg_read_begin(cx, rd, &err);
        if (rc != COCO_OK) return coco_fail(cx, rc, "%s: %s", src->title, err.msg[0] ? err.msg : coco_status_text(rc));
    }
    if (!rd->batch || (rd->at == PQntuples(rd->batch) && rd->at > 0)) {
        PQclear(rd->batch);
        rd->at = 0;
        if (!(rd->batch = coco__pg_query(rd->conn, COCO__PG_FETCH, &err)))
            return coco_fail(cx, err.code, "%s: %s", src->title, err.msg);
    }
    if (PQntuples(rd->batch) == 0) return 0;
    COCO_TRY(coco__pg_item(cx, rd, key, value));
    rd->at++;
    return 1;
}

static void coco__pg_read_close(coco_source *src)
{
    coco__pg_reader *rd = src->self;

    PQclear(rd->batch);
    rd->batch = NULL;
    if (!rd->conn) return;
    PQclear(PQexec(rd->conn, "ROLLBACK"));
    coco__pg_give(rd->db, rd->conn);
    rd->conn = NULL;
}

/* The transaction ends with the last row, or the first error: in live mode nobody closes the source then. */
static int coco__pg_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    coco__pg_reader *rd = src->self;
    int got = rd->over ? 0 : coco__pg_read_next(src, cx, key, value);

    if (got == 1) return got;
    coco__pg_read_close(src);
    rd->over = true;
    if (got < 0 && rd->broken) atomic_store(rd->broken, true);
    return got;
}

static coco_status coco__pg_rewind(coco_source *src, coco_ctx *cx)
{
    coco__pg_reader *rd = src->self;

    (void)cx;
    coco__pg_read_close(src);
    rd->over = false;
    return COCO_OK;
}

/* The answer of a source that can't be read at all. */
typedef struct coco__pg_refusal {
    coco_status code;
    const char *message;
} coco__pg_refusal;

static int coco__pg_refuse(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    const coco__pg_refusal *r = src->self;

    (void)key, (void)value;
    return coco_fail(cx, r->code, "%s: %s", src->title, r->message);
}

static coco_source *coco__pg_refused(coco_ctx *cx, const char *title, coco_status code, const char *why)
{
    coco_source *src = coco_source_new(cx);
    coco__pg_refusal *r = coco_alloc(cx, sizeof *r);

    if (!src || !r || !(r->message = coco_copy(cx, coco_str_of(why)).p)) return NULL;
    r->code = code;
    src->title = title;
    src->self = r;
    src->next = coco__pg_refuse;
    return src;
}

/* Learns the columns by a connection that is given back: a source may be made and never read. */
static coco_status coco__pg_prepare_read(coco_ctx *cx, coco__pg_reader *rd, coco_err *err)
{
    coco_status rc = COCO_OK;
    bool lost = true;

    for (int tries = 0; lost && tries < 2; tries++) {
        rd->n = 0;
        COCO_TRY(coco__pg_take_patiently(cx, rd->db, &rd->conn, err));
        rc = coco__pg_read_vectors(rd, err);
        if (rc == COCO_OK) rc = coco__pg_columns(cx, rd, err);
        lost = rc != COCO_OK && PQstatus(rd->conn) != CONNECTION_OK; /* it may have died while it waited in the pool */
        coco__pg_give(rd->db, rd->conn);
        rd->conn = NULL;
    }
    return rc;
}

static coco_status coco__pg_read_copy(coco_ctx *cx, const coco_postgres_read *read, coco_postgres_read *out)
{
    coco_value *bind = coco_alloc(cx, (read->nbind + 1) * sizeof *bind);
    const char **texts[] = { &out->table, &out->schema, &out->query, &out->name,
                             &out->key, &out->version, &out->columns, &out->title };

    if (!bind) return COCO_ENOMEM;
    *out = *read;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (*texts[i]) *texts[i] = coco_copy(cx, coco_str_of(*texts[i])).p;
    for (size_t i = 0; i < read->nbind; i++) bind[i] = coco_copy_value(cx, read->bind[i]);
    out->bind = bind;
    return coco_error(cx);
}

static coco_status coco__pg_follow(coco_ctx *cx, coco_source *src);

static coco_source *coco__pg_source(coco_ctx *cx, const coco__pg_reader *what)
{
    coco_source *src = coco_source_new(cx);
    coco__pg_reader *rd = coco_alloc(cx, sizeof *rd);
    const coco_postgres_read *r;
    coco_err err = { 0 };
    coco_status rc;

    if (!src || !rd) return NULL;
    *rd = *what;
    r = &rd->read;
    if (coco__pg_read_copy(cx, &what->read, &rd->read) != COCO_OK) return NULL;
    rd->identity = coco_format(cx, "%s/%s%s%s", rd->context, r->schema ? r->schema : "", r->schema ? "." : "",
                               r->name ? r->name : r->query ? r->query : r->table);
    if (!rd->identity.p) return NULL;
    src->title = r->title ? r->title : rd->identity.p;
    rc = coco__pg_prepare_read(cx, rd, &err);
    if (rc == COCO_ENOMEM && !err.code) return NULL;
    if (rc != COCO_OK) return coco__pg_refused(cx, src->title, rc, err.msg[0] ? err.msg : coco_status_text(rc));
    src->ordered = coco__pg_may_order(rd);
    src->self = rd;
    src->next = coco__pg_next;
    src->close = coco__pg_read_close;
    return !r->live || coco__pg_follow(cx, src) == COCO_OK ? src : NULL;
}

coco_source *coco_postgres_rows(coco_ctx *cx, coco_value db, const coco_postgres_read *read)
{
    coco__pg_reader rd = { .read = *read };
    const char *wrong = NULL;

    rd.context = "postgres";
    if (!(rd.db = coco__pg_db(cx, db, &rd.context))) wrong = coco_error_message(cx);
    else if (!read->table == !read->query) wrong = "a source is a table or a query";
    else if (read->query && !read->key) wrong = "a query needs the names of its key columns";
    else if (read->query && read->notify) wrong = "only a table can notify";
    return wrong ? coco__pg_refused(cx, rd.context, rd.db ? COCO_EINVAL : COCO_ETYPE, wrong) : coco__pg_source(cx, &rd);
}
