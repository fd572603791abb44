/* rows.h - tables and rows for the tabular connectors (sqlite.h, postgres.h): one way to say what a table holds, and
 * what connectors share. Needs cocoindex.h alone; compile connectors/rows.c once.
 *
 * A schema is declared once from a C struct; a row is then the struct:
 *
 *     struct doc {
 *         int64_t id;
 *         coco_str title, body;
 *         coco_opt_double score;
 *         coco_floats embedding;
 *     };
 *
 *     static const coco_schema DOCS = COCO_SCHEMA(struct doc,
 *         COCO_FIELD(struct doc, id, COCO_INT_T, .key = true),
 *         COCO_FIELD(struct doc, title, COCO_TEXT_T, .sql_type = "varchar(200)"),
 *         COCO_FIELD(struct doc, body, COCO_TEXT_T, .column = "text", .nullable = true),
 *         COCO_FIELD(struct doc, score, COCO_DOUBLE_T, .nullable = true),
 *         COCO_FIELD(struct doc, embedding, COCO_VECTOR_T, .dim_from = &EMBEDDER));
 *
 *     COCO_FN(index_doc, (coco_file *, file, coco_table *, docs), .memo = true)
 *     {
 *         struct doc row = { .id = 1, .title = coco_file_path(file) };
 *         …
 *         return coco_declare_row(cx, docs, &row);
 *     }
 *
 *     COCO_FN(app_main, ())
 *     {
 *         coco_table *docs;
 *
 *         COCO_TRY(coco_sqlite_mount_table(cx, coco_text("docs.sqlite"), "docs", &DOCS, NULL, &docs));
 *         return coco_mount_each(cx, COCO_AUTO, &index_doc, coco_walk_dir(…), COCO_ARGS(coco_table_value(docs)));
 *     }
 *
 * Types. What a struct's member may be, and what a value (coco_declare_values, or a coco_value member) may be:
 *
 *     column type      member                              value
 *     COCO_BOOL_T      bool, coco_opt_bool                 bool
 *     COCO_INT_T       int64_t, int32_t, coco_opt_int      int
 *     COCO_DOUBLE_T    double, float, coco_opt_double      float, int
 *     COCO_TEXT_T      coco_str, const char *              text
 *     COCO_BYTES_T     coco_str                            bytes
 *     COCO_UUID_T      uint8_t[16], coco_opt_uuid, texts   uuid, text
 *     COCO_TIME_T      coco_str, const char *              text: 2026-01-31T12:00:00Z (a zone: Z or +01:00; none: UTC)
 *     COCO_DATE_T      coco_str, const char *              text: 2026-01-31
 *     COCO_CLOCK_T     coco_str, const char *              text: 12:00:00.5
 *     COCO_INTERVAL_T  coco_str, const char *              text: P1DT2H (ISO 8601)
 *     COCO_DECIMAL_T   coco_str, const char *              text: -12.50 (also 1e5), int
 *     COCO_JSON_T      coco_value, coco_str (JSON as is)   anything but objects
 *     COCO_VECTOR_T    coco_floats                         vector, list of numbers
 *     COCO_HALF_T      coco_floats (kept as float16)       vector, list of numbers
 *
 * A member of type coco_value fits any column. A wrong C type doesn't compile ("fits").
 *
 * Null. A column takes null only if it is .nullable. Null is: p NULL of a coco_str, coco_floats or const char *; a
 * coco_value of kind null; an optional (coco_opt_int …) that is not set, as a zeroed one is. In a column that isn't
 * nullable a coco_str with p NULL and n 0 is the empty text. bool, int64_t, double and uint8_t[16] are never null.
 *
 * Keys. At least one column is .key; several together are the key, in the order of the columns. They can't be
 * nullable, and are of the types bool, int, text, bytes, uuid, time, date, clock or decimal. A row's state prints as
 * TITLE:[5], TITLE:["a",5].
 *
 * Vectors. The dimension is .dim, or comes from the context value that .dim_from names: an int, a map with
 * "dimensions", or an object whose memo key is such a map (an embedder). If that value (made with .detect_change)
 * changes, a plain update rebuilds the column and runs again what fills it. Without any dimension the column takes
 * vectors of every length, where the system can.
 *
 * Changes of a schema are carried out by the next update, on the filled table:
 *     column added                                  in place; rows are declared and written again
 *     column dropped                                in place
 *     type, nullability, SQL type, dimension        in place where the system can convert, then rows are written again;
 *                                                   else the table is rebuilt
 *     primary key                                   the table is rebuilt
 *
 * Limits. 2,000 columns a table; 1 MiB for the encoded declaration. A schema made with COCO_SCHEMA must be static, one
 * that is made at run time must live until the update ends. A coco_table lives like the coco_target behind it. */
#ifndef COCO_ROWS_H
#define COCO_ROWS_H

#include "../cocoindex.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Schemas ----------------------------------------------------------------------------------------------------- */

/* The numbers stand in tracking records: never change one. */
typedef enum coco_type {
    COCO_BOOL_T = 1,
    COCO_INT_T,
    COCO_DOUBLE_T,
    COCO_TEXT_T,
    COCO_BYTES_T,
    COCO_UUID_T,
    COCO_TIME_T,     /* a point in time */
    COCO_DATE_T,
    COCO_CLOCK_T,    /* a time of day */
    COCO_INTERVAL_T,
    COCO_DECIMAL_T,
    COCO_JSON_T,
    COCO_VECTOR_T,   /* float32, dim of them */
    COCO_HALF_T,     /* float16, dim of them */
    COCO__TYPE_END
} coco_type;

/* Members that may be null, and vectors. */
typedef struct coco_opt_bool {
    bool set; /* else null */
    bool v;
} coco_opt_bool;
typedef struct coco_opt_int {
    bool set; /* else null */
    int64_t v;
} coco_opt_int;
typedef struct coco_opt_double {
    bool set; /* else null */
    double v;
} coco_opt_double;
typedef struct coco_opt_uuid {
    bool set; /* else null */
    uint8_t v[16];
} coco_opt_uuid;
typedef struct coco_floats {
    const float *p; /* NULL: null */
    size_t n;
} coco_floats;

/* One column. COCO_FIELD makes one from a struct's member; by hand for rows without a struct: name, type and what else
 * is wanted. Zero is the default. */
typedef struct coco_column {
    const char *name;         /* of the member, and of the column where .column doesn't say otherwise */
    const char *column;       /* its name in the table; NULL: name */
    coco_type type;
    bool key;                 /* part of the primary key */
    bool nullable;
    const char *sql_type;     /* the system's own type, in place of that of the connector's type map */
    size_t dim;               /* of a vector; 0: dim_from, else any */
    const coco_key *dim_from; /* a context value that names a dimension, as above */
    size_t offset;            /* filled in by COCO_FIELD: of the member … */
    int member;               /* … and its C type (enum coco__member); 0: rows of this schema come as values */
    size_t checked;           /* by COCO_FIELD: the compile-time check */
} coco_column;

/* What a table holds. */
typedef struct coco_schema {
    const coco_column *columns;
    size_t n;
    size_t row_size; /* sizeof the struct; 0: rows come as values */
} coco_schema;

#define COCO_COLUMNS_MAX 2000

#ifndef __cplusplus
/* C types of members. */
enum coco__member {
    COCO__M_NONE,
    COCO__M_BOOL,
    COCO__M_INT64,
    COCO__M_INT32,
    COCO__M_DOUBLE,
    COCO__M_FLOAT,
    COCO__M_STR,
    COCO__M_CSTR,
    COCO__M_UUID,
    COCO__M_VALUE,
    COCO__M_FLOATS,
    COCO__M_OPT_BOOL,
    COCO__M_OPT_INT,
    COCO__M_OPT_DOUBLE,
    COCO__M_OPT_UUID
};
#define COCO__MEMBER(S, M) \
    _Generic(&((S *)0)->M, bool *: COCO__M_BOOL, int64_t *: COCO__M_INT64, int32_t *: COCO__M_INT32, \
             double *: COCO__M_DOUBLE, float *: COCO__M_FLOAT, coco_str *: COCO__M_STR, const char **: COCO__M_CSTR, \
             char **: COCO__M_CSTR, uint8_t(*)[16]: COCO__M_UUID, coco_value *: COCO__M_VALUE, \
             coco_floats *: COCO__M_FLOATS, coco_opt_bool *: COCO__M_OPT_BOOL, coco_opt_int *: COCO__M_OPT_INT, \
             coco_opt_double *: COCO__M_OPT_DOUBLE, coco_opt_uuid *: COCO__M_OPT_UUID, default: COCO__M_NONE)
#define COCO__BIT(m) (1u << COCO__M_##m)
#define COCO__TEXTS (COCO__BIT(STR) | COCO__BIT(CSTR))
/* The members that fit a column type, as bits. */
#define COCO__FITTING(T) \
    (COCO__BIT(VALUE) | \
     ((T) == COCO_BOOL_T     ? COCO__BIT(BOOL) | COCO__BIT(OPT_BOOL) \
      : (T) == COCO_INT_T    ? COCO__BIT(INT64) | COCO__BIT(INT32) | COCO__BIT(OPT_INT) \
      : (T) == COCO_DOUBLE_T ? COCO__BIT(DOUBLE) | COCO__BIT(FLOAT) | COCO__BIT(OPT_DOUBLE) \
      : (T) == COCO_UUID_T   ? COCO__BIT(UUID) | COCO__BIT(OPT_UUID) | COCO__TEXTS \
      : (T) == COCO_BYTES_T || (T) == COCO_JSON_T  ? COCO__BIT(STR) \
      : (T) == COCO_VECTOR_T || (T) == COCO_HALF_T ? COCO__BIT(FLOATS) \
                                                   : COCO__TEXTS))
#define COCO__CHECK(S, M, T) \
    sizeof(struct { \
        _Static_assert((COCO__FITTING(T) >> COCO__MEMBER(S, M)) & 1u, "the member's C type fits the column type"); \
        char checked; \
    })

/* COCO_FIELD(struct doc, title, COCO_TEXT_T, .nullable = true, …): the column of a member. COCO_SCHEMA(struct doc,
 * fields …): the initialiser of a schema; at file scope it is static. */
#define COCO_FIELD(S, M, ...) \
    { .name = #M, .offset = offsetof(S, M), .member = COCO__MEMBER(S, M), \
      .checked = COCO__CHECK(S, M, COCO__HEAD(__VA_ARGS__, ~)), .type = __VA_ARGS__ }
#define COCO_SCHEMA(S, ...) \
    { .columns = (const coco_column[]){ __VA_ARGS__ }, \
      .n = sizeof((const coco_column[]){ __VA_ARGS__ }) / sizeof(coco_column), .row_size = sizeof(S) }
#endif

const char *coco_type_name(coco_type type);                /* "int"; "?" of none */
const char *coco_column_name(const coco_column *c);        /* in the table */
size_t coco_schema_find(const coco_schema *s, const char *column); /* its index; s->n: none has that name */
size_t coco_schema_nkeys(const coco_schema *s);            /* number of key columns */

/* Fails with COCO_EINVAL, naming table and column, unless the schema can be a table: names that are unique (ASCII
 * letters of either case are equal), not empty and UTF-8, known types, a key, no nullable key, dimensions for vectors
 * alone. */
coco_status coco_schema_check(coco_ctx *cx, const char *table, const coco_schema *s);

/* ---- Tables and rows: for programs ------------------------------------------------------------------------------- */

/* A table to declare rows in, made by a connector (coco_sqlite_mount_table, coco_postgres_mount_table). */
typedef struct coco_table coco_table;
extern coco_class coco_table_class; /* memo key: that of its target; may be returned */

coco_value coco_table_value(coco_table *table); /* as an argument of a function */
coco_target *coco_table_target(coco_table *table);
const coco_schema *coco_table_schema(const coco_table *table); /* as declared, with dimensions */

/* Declares that the table has the row: the struct from which its schema was made, or the values in a map by column
 * name (a column that isn't there is null; one that the table doesn't have is an error). Encoded at the call, applied
 * when the component is submitted. Errors, naming table and column: COCO_ETYPE (a value of the wrong type), COCO_EINVAL
 * (null in a column that isn't nullable, a vector of the wrong length, a malformed uuid, time or decimal; text that
 * isn't UTF-8), COCO_EDUP (the key is declared twice in this component). */
coco_status coco_declare_row(coco_ctx *cx, coco_table *table, const void *row);
coco_status coco_declare_values(coco_ctx *cx, coco_table *table, coco_value map);

/* Declares an array of n structs, in order, in less time than each by itself: four rows are fingerprinted at once, and
 * that is most of what a row costs that doesn't change. Errors: as above, those of the first row that has one; the rows
 * in front of it are declared. */
coco_status coco_declare_rows(coco_ctx *cx, coco_table *table, const void *rows, size_t n);

/* A row read from a table or query: the item of the connectors' sources. As a memo key it is its source and key; its
 * memo state is the version where the source has a column for that, else the content. */
typedef struct coco_row coco_row;
extern coco_class coco_row_class;

coco_value coco_row_value(coco_row *row);                        /* as an argument of a function */
coco_value coco_row_key(const coco_row *row);                    /* the one key value, or a list of them */
coco_value coco_row_map(const coco_row *row);                    /* values by column name */
coco_value coco_row_get(const coco_row *row, const char *column); /* null where there is none */

/* Fills in the struct of the schema from the row's columns of those names; texts and vectors borrow from the row.
 * Errors: COCO_ETYPE, COCO_EINVAL as above, COCO_ENOTFOUND (no such column and not nullable). */
coco_status coco_row_read(coco_ctx *cx, const coco_row *row, const coco_schema *s, void *out);

/* ---- Declarations of tables: for connectors ---------------------------------------------------------------------- */

/* A connector declares a table as the state key under its root target, with the encoded declaration (bytes) as the
 * desired value; the same bytes are its tracking record:
 *
 *     COCO_TRY(coco_table_declaration(cx, name, schema, extra, &decl));
 *     COCO_TRY(coco_mount_target(cx, root, key, coco_bytes(decl.p, decl.n), &opts, &target));
 *     return coco_table_new(cx, target, schema, table);
 *
 * In its `child` hook it makes the place of the rows, whose handler's self begins with a coco_rows, from the desired
 * bytes or the record: coco_rows_init. The handler's reconcile is coco_rows_reconcile. An action of it then has the
 * encoded row as its value (coco_row_of) and the list of key values as its key. */
typedef struct coco_table_decl {
    coco_schema schema; /* resolved: column names in .name, dimensions in .dim; no offsets */
    coco_str extra;     /* what the connector records besides; opaque, "" if nothing */
} coco_table_decl;

/* Checks the schema, takes dimensions from the context, and encodes. *out is in cx's memory: deterministic, small.
 * Errors: COCO_EINVAL as coco_schema_check; COCO_ETYPE (dim_from names no dimension); COCO_ENOTFOUND (not provided). */
coco_status coco_table_declaration(coco_ctx *cx, const char *table, const coco_schema *s, coco_str extra,
                                   coco_str *out);

/* Decodes; names and extra are copied into cx's memory. Every length is checked. Errors: COCO_ECORRUPT (the record
 * "may be anything"), COCO_ENOMEM. */
coco_status coco_table_decode(coco_ctx *cx, coco_str record, coco_table_decl *out);

/* What a connector can do about a column that changed. */
typedef enum coco_convert {
    COCO_CONVERT_KEPT,   /* in place, and the rows are as they would be written now */
    COCO_CONVERT_LOSSY,  /* in place, and the rows must be written again */
    COCO_CONVERT_REBUILD /* not in place: the table is made anew */
} coco_convert;
typedef coco_convert (*coco_convert_fn)(const coco_column *from, const coco_column *to);

typedef enum coco_step_kind { COCO_STEP_ADD, COCO_STEP_DROP, COCO_STEP_ALTER } coco_step_kind;
typedef struct coco_step {
    coco_step_kind kind;
    const coco_column *from, *to; /* in the two declarations; NULL: not there */
} coco_step;

/* The way from one declaration to another. */
typedef struct coco_table_change {
    bool same;              /* nothing to do */
    bool extra;             /* the connector's own part differs: it judges that itself */
    coco_children children; /* DESTROYED: rebuild; steps say what differs all the same */
    const char *why;        /* of a rebuild: "primary key" or the column's name */
    coco_step *steps;       /* drops first, then alters, then adds */
    size_t nsteps;
} coco_table_change;

/* The difference, classed as in "Changes of a schema" above. Columns are the same if
 * their names are; their order means nothing, but for the key's. In cx's memory. Errors: COCO_ENOMEM. */
coco_status coco_table_diff(coco_ctx *cx, const coco_table_decl *from, const coco_table_decl *to,
                            coco_convert_fn convert, coco_table_change *out);

/* The whole decision for a table's state, for a handler's reconcile: compares in->desired (the bytes) with every
 * possible record, fills in *out (act, kind, text, record, children; the worst over the possibilities; what can't be
 * read is DESTROYED) and leaves out->action.value to the connector. from: the one possible declaration, where there is
 * just one that could be read, else NULL; change: the way from there. Either may be NULL if not wanted. */
coco_status coco_table_reconcile(coco_ctx *cx, const coco_change *in, coco_convert_fn convert, coco_decision *out,
                                 const coco_table_decl **from, coco_table_change *change);

/* ---- Rows: for connectors ---------------------------------------------------------------------------------------- */

/* The head of the self of a handler of rows. */
typedef struct coco_rows {
    const char *table;      /* its name, for messages */
    coco_table_decl decl;   /* as declared in this update, else as recorded */
    const char *system;     /* "sqlite": whose table it is, for what a connector declares beside rows */
    /* Columns whose values stand in the record, too, behind the fingerprint: the system gives them back in a form of
     * its own, and a verify hook has it compare them itself. NULL: none. */
    bool (*keeps)(const coco_column *column);
} coco_rows;

/* Fills in the head from the desired value, or from the record where desired is NULL. Errors: COCO_ECORRUPT. */
coco_status coco_rows_init(coco_ctx *cx, coco_rows *rows, const char *table, const coco_value *desired,
                           coco_str record);

/* The table handle of a declared target; s is what the program gave (offsets of members), decl the bytes declared. It
 * brings the head of the target's self up to date, if that was made from an older record. */
coco_status coco_table_new(coco_ctx *cx, coco_target *target, const coco_schema *s, coco_str decl,
                           coco_table **table);

/* Reconciles a row: the record is its 16-byte fingerprint, and behind it the cells of columns that rows.keeps names,
 * where they take at most COCO_ROWS_KEPT bytes. What the action carries is read with coco_row_of. */
#define COCO_ROWS_KEPT 1000
coco_status coco_rows_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out);
coco_str coco_row_of(const coco_action *a); /* the encoded row; empty for a delete */

/* The encoded row that a desired value of a handler's reconcile stands for, and what its tracking record begins with.
 * The value is the row (bytes), or a list of both, for a row whose fingerprint is known. p NULL: neither. */
coco_str coco_row_desired(const coco_value *desired, uint8_t record[16]);

/* One column of an encoded row. */
typedef struct coco_cell {
    coco_type type;
    bool null;
    union {
        bool boolean;
        int64_t integer;
        double real;
    } as;
    coco_str s; /* text, time …, decimal, JSON text: UTF-8; bytes; uuid: 16 bytes; vectors: little-endian floats, 4 or
                   2 bytes each, unaligned */
} coco_cell;

/* Reads an encoded row cell by cell, all columns in the schema's order, key columns included:
 *     coco_str rest = coco_row_of(a);
 *     while (coco_cell_next(&rest, &cell)) …
 * false at the end, and where the bytes aren't a row. */
bool coco_cell_next(coco_str *rest, coco_cell *cell);

/* Encodes values (a map by column name, or a list in the schema's order) as coco_declare_values does, into cx's memory;
 * *key (may be NULL) gets the list of key values. With coco_row_record, which makes the tracking record of an encoded
 * row, a verify hook compares what it read back. Errors: as coco_declare_values. */
coco_status coco_row_encode(coco_ctx *cx, const coco_rows *rows, coco_value values, coco_str *row, coco_value *key);
void coco_row_record(coco_str row, uint8_t out[16]);
void coco_row_records(const coco_str *rows, size_t n, uint8_t (*out)[16]); /* of several, in less time */

/* The same from cells in the schema's order, unchecked: what a system gave back. */
coco_status coco_row_encode_cells(coco_ctx *cx, const coco_cell *cells, size_t n, coco_str *row);

/* A cell as a value (JSON comes as text), borrowing. */
coco_value coco_cell_value(coco_ctx *cx, const coco_cell *cell);

/* A row for a source: identity names the source (and its query) across runs, names and values the columns; version
 * null: the content is the memo state. nkey columns at the front are the key. Copied into cx's memory. */
typedef struct coco_row_parts {
    coco_str identity;
    const char *const *names; /* of the columns */
    const coco_value *values;
    size_t n;                 /* columns */
    coco_value key;           /* the item's key */
    coco_value version;       /* null: none */
} coco_row_parts;
coco_row *coco_row_new(coco_ctx *cx, const coco_row_parts *parts);

/* ---- Small things ------------------------------------------------------------------------------------------------ */

/* An identifier or a text in quotes (doubled inside), in cx's memory: what stands in SQL text. Never for values.
 * Empty, with the error kept, where memory ran out. */
coco_str coco_sql_quoted(coco_ctx *cx, const char *name, char quote);

/* IEEE half precision, to nearest even. */
uint16_t coco_half_of(float f);
float coco_half_float(uint16_t h);

/* "f81d4fae-7dec-…" to and from bytes. */
bool coco_uuid_parse(coco_str text, uint8_t out[16]);
void coco_uuid_print(const uint8_t uuid[16], char out[37]);

#ifdef __cplusplus
}
#endif
#endif /* COCO_ROWS_H */
