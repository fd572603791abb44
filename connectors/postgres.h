/* postgres.h - PostgreSQL as a target and as a source, for cocoindex.h. Needs libpq 14 or later (-lpq), a server 13 or
 * later, and rows.h; vectors need the extension pgvector on the server.
 *
 * A whole program: each text file becomes a row.
 *
 *     #include "cocoindex.h"
 *     #include "connectors/localfs.h"
 *     #include "connectors/postgres.h"
 *     #include <stdlib.h>
 *
 *     static coco_key DB = COCO_KEY("db", .detect_change = false);
 *
 *     struct note {
 *         const char *path;
 *         coco_str text;
 *     };
 *     static const coco_schema NOTES = COCO_SCHEMA(struct note,
 *         COCO_FIELD(struct note, path, COCO_TEXT_T, .key = true),
 *         COCO_FIELD(struct note, text, COCO_TEXT_T));
 *
 *     COCO_FN(index_note, (coco_file *, file, coco_table *, notes), .memo = true)
 *     {
 *         struct note note = { .path = coco_file_path(file).p };
 *
 *         COCO_TRY(coco_file_read_text(cx, file, &note.text));
 *         return coco_declare_row(cx, notes, &note);
 *     }
 *
 *     COCO_FN(app_main, ())
 *     {
 *         coco_table *notes;
 *
 *         COCO_TRY(coco_postgres_mount_table(cx, coco_context_ref(&DB), "notes", &NOTES, NULL, &notes));
 *         return coco_mount_each(cx, COCO_AUTO, &index_note, coco_walk_dir(cx, coco_text("notes"), NULL),
 *                                COCO_ARGS(coco_table_value(notes)));
 *     }
 *
 *     static coco_status setup(coco_ctx *cx, void *user)
 *     {
 *         (void)user;
 *         return coco_postgres_provide(cx, &DB, getenv("NOTES_DB"), NULL);
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         return coco_main(argc, argv, &(coco_app_config){ .name = "notes", .main = &app_main, .setup = setup }, 1);
 *     }
 *
 * Build: cc notes.c cocoindex_lmdb.c connectors/localfs.c connectors/rows.c connectors/postgres.c \
 *        $(pkg-config --cflags --libs libpq) -llmdb -pthread
 *
 * Connections. A database is named by the context key that provides its connection, never by the connection string: the
 * key's name is the identity across runs, and the string, which may hold a password, reaches no error, log or state.
 * The connection object holds a pool: each thread that needs a connection takes one; broken ones are replaced.
 *
 * Types. What a column is declared as, unless its .sql_type says otherwise:
 *     bool      boolean            uuid      uuid                        decimal      numeric
 *     int       bigint             time      timestamp with time zone    json         jsonb
 *     double    double precision   date      date                        vector       vector(n), vector
 *     text      text               clock     time                        half vector  halfvec(n), halfvec
 *     bytes     bytea              interval  interval
 * A .sql_type must be a type of the server that the values can be cast to ("integer", "varchar(200)", "citext"); it is
 * not "serial". Text and JSON can't hold a NUL: the row fails, unless coco_postgres_opts.nul says that NULs are left
 * out.
 *
 * How it writes. A batch is one transaction; the rows of one component are never half written. Rows are upserted by
 * their key, so columns which the table has besides stay as they are, and rows that nobody declared are never touched:
 * programs may share a table, as long as one at most manages it (coco_postgres_table_opts.user_managed for the others).
 * Unique indexes that are declared here are checked at the commit: values may be swapped between the rows of a batch. A
 * unique value that moves between components of different batches: the component that comes first fails and is tried
 * again at the end of the update.
 *
 * Changes of a schema, on the filled table, each in one transaction:
 *     column added           in place, rows are written again. NOT NULL is set at the end of the update
 *     column dropped         in place; its indexes go with it
 *     NOT NULL or not        in place; set at the end of the update, if it holds then
 *     type, SQL type         in place where the server can convert what is there (ALTER TYPE … USING), rows are written
 *                            again; else rebuilt
 *     a vector's dimension, the primary key
 *                            rebuilt: rows go to the table "coco_shadow_…", which takes the table's place, with its
 *                            indexes and the old one's grants, at the end of the first update that did everything
 *                            without a failure. Until then readers see the old table as it was. Columns, rows, triggers
 *                            and policies that others added to it are lost with it. A view or foreign key on the table
 *                            is in the way: the update fails naming it, and the old table stays.
 * A change that fails is an error, and the table stays as it was. A transaction at repeatable read that began before a
 * rebuild ended and reads the table only afterwards sees it empty, as after TRUNCATE.
 *
 * Indexes are made when the rows that come with them are in: declare them in the component that mounts the rows', and
 * they are built after the first fill. On a table with rows they are made CONCURRENTLY.
 *
 * Existence and verification. A table deleted by someone else is made and filled again by a plain update; columns that
 * were dropped or altered by hand, or another primary key, are set right. `verify` compares all declared columns of a
 * row. What the server prints in a form of its own (time, clock, interval, decimal, json, columns with an .sql_type) is
 * compared there, with the value as it was declared, which stands in the row's record; where these values take over
 * 1,000 bytes in a row, and for vectors with an .sql_type, a row that doesn't read as declared is "can't tell".
 *
 * Limits. Names of tables, columns, schemas and indexes: 63 bytes, no table name that begins with coco_. 800 columns a
 * table. Not for use through a pooler that hands out connections by transaction. */
#ifndef COCO_POSTGRES_H
#define COCO_POSTGRES_H

#include "rows.h"

#ifdef __cplusplus
extern "C" {
#endif

struct pg_conn;

#define COCO_POSTGRES_COLUMNS_MAX 800

/* ---- Connections ------------------------------------------------------------------------------------------------- */

typedef struct coco_postgres coco_postgres;
extern coco_class coco_postgres_class; /* can't be a memo key */

typedef enum coco_postgres_nul {
    COCO_POSTGRES_NUL_FAIL, /* a text with a NUL fails, naming its row */
    COCO_POSTGRES_NUL_STRIP /* NULs are left out; not in keys */
} coco_postgres_nul;

/* All zero is the default. */
typedef struct coco_postgres_opts {
    unsigned connect_timeout_s;    /* 0: 10; the connection string's own counts first */
    unsigned statement_timeout_ms; /* 0: 600,000; building an index has none */
    unsigned lock_timeout_ms;      /* wait for a lock held by others; 0: 30,000 */
    unsigned retry_ms;             /* budget for transient failures, with growing pauses; 0: 10,000 */
    size_t max_actions;            /* rows in a transaction, more only for one component; 0: 10,000 */
    coco_postgres_nul nul;         /* NULs in texts */
} coco_postgres_opts;

/* A pool of connections to what the string (key=value pairs or a URI; NULL: libpq's environment variables) names; the
 * server is called at the first use. opts may be NULL. coco_postgres_close ends it; NULL is accepted. Thread-safe: yes.
 * Errors: COCO_EINVAL (malformed string), COCO_ENOMEM. */
coco_status coco_postgres_open(const char *conninfo, const coco_postgres_opts *opts, coco_postgres **db, coco_err *err);
void coco_postgres_close(coco_postgres *db);

/* In a setup function: opens, provides under the key, and closes with the environment. */
coco_status coco_postgres_provide(coco_ctx *cx, const coco_key *key, const char *conninfo,
                                  const coco_postgres_opts *opts);

coco_value coco_postgres_value(coco_postgres *db);
coco_postgres *coco_postgres_of(coco_value v); /* NULL if v is no connection: for coco_app_context */

/* A connection of libpq's for the program's own queries (a search command), always the same one; NULL with err set
 * where there is none to be had. For one thread at a time. */
struct pg_conn *coco_postgres_handle(coco_postgres *db, coco_err *err);

/* ---- Target ------------------------------------------------------------------------------------------------------ */

/* All zero is the default. */
typedef struct coco_postgres_table_opts {
    const char *title;  /* in TITLE:[key]; NULL: KEY/TABLE or KEY/SCHEMA.TABLE */
    const char *schema; /* made if it isn't there, never dropped; NULL: the first of the search path */
    bool user_managed;  /* never made, altered or dropped; its rows are still kept in sync */
} coco_postgres_table_opts;

/* Declares a table of the database (coco_context_ref of its key), in a component of its own, and makes it: usable
 * everywhere when it returns. opts may be NULL. A table of that name that is there is taken over, with its rows, and
 * altered to fit. Errors: those of coco_schema_check; COCO_EINVAL (a name that is too long or begins with coco_),
 * COCO_EDUP (mounted twice), COCO_ENOTFOUND (no pgvector), COCO_EACCESS, COCO_EFAIL with the server's words. */
coco_status coco_postgres_mount_table(coco_ctx *cx, coco_value db, const char *name, const coco_schema *schema,
                                      const coco_postgres_table_opts *opts, coco_table **table);

/* The same in the running component: the table and its rows are one unit. */
coco_status coco_postgres_declare_table(coco_ctx *cx, coco_value db, const char *name, const coco_schema *schema,
                                        const coco_postgres_table_opts *opts, coco_table **table);

/* ---- What a table has besides rows ------------------------------------------------------------------------------- */

typedef struct coco_postgres_index {
    const char *columns;      /* names, with commas; a name with a comma: see parts */
    const char *const *parts; /* in place of columns: names, NULL at the end */
    bool unique;              /* a constraint, checked at the commit (deferrable) */
    const char *method;       /* "gin", "gist", "hash", "brin" …; NULL: btree */
    const char *opclass;      /* of its columns, such as "jsonb_path_ops"; NULL: the type's own */
} coco_postgres_index;

typedef enum coco_postgres_ann { COCO_POSTGRES_HNSW, COCO_POSTGRES_IVFFLAT } coco_postgres_ann;
typedef enum coco_postgres_metric { COCO_POSTGRES_COSINE, COCO_POSTGRES_L2, COCO_POSTGRES_DOT } coco_postgres_metric;
typedef struct coco_postgres_vector_index {
    const char *column;              /* of vectors or half vectors, with a dimension */
    coco_postgres_ann method;        /* default hnsw */
    coco_postgres_metric metric;     /* operators <=>, <-> and <#> */
    unsigned m, ef_construction;     /* hnsw; 0: pgvector's own */
    unsigned lists;                  /* ivfflat; 0: pgvector's own */
} coco_postgres_vector_index;

/* Declares an index, a vector index, or statements of the program's own. setup runs when first declared or changed;
 * teardown (may be NULL), of which what isn't there is no failure, before that and when it is no longer declared. They
 * run in the transaction of the batch, the setup after the rows that come with it; with a table that is being rebuilt,
 * when it takes its place. An index of the table that has the name already is replaced. Errors: COCO_EINVAL (no such
 * column, name too long), COCO_EDUP; the component fails with COCO_EFAIL and the server's words (rows that aren't
 * unique). */
coco_status coco_postgres_declare_index(coco_ctx *cx, coco_table *table, const char *name,
                                        const coco_postgres_index *index);
coco_status coco_postgres_declare_vector_index(coco_ctx *cx, coco_table *table, const char *name,
                                               const coco_postgres_vector_index *index);
coco_status coco_postgres_declare_sql(coco_ctx *cx, coco_table *table, const char *name, const char *setup,
                                      const char *teardown);

/* ---- Source ------------------------------------------------------------------------------------------------------ */

/* What to read; copied. */
typedef struct coco_postgres_read {
    const char *table;      /* a table or view … */
    const char *schema;     /* … in this schema; NULL: by the search path; or … */
    const char *query;      /* … one SELECT; with it a name for it: */
    const char *name;       /* part of the identity of its rows; NULL: the query's text */
    const coco_value *bind; /* values of its $1, $2 … */
    size_t nbind;
    const char *key;        /* key columns, with commas; NULL: the table's primary key (a query needs it) */
    const char *version;    /* a column that changes whenever the row does: then it is the memo state; NULL: content */
    const char *columns;    /* names, with commas; NULL: all */
    const char *title;      /* NULL: KEY/TABLE or KEY/NAME */
    bool live;              /* in a live update it is followed (below); in catch-up mode this makes no difference */
    bool notify;            /* live, of a table: the server tells of changes, by a trigger that is made for it */
    unsigned poll_ms;       /* live: the rows are listed anew so long after each listing; 0: 2,000, with notify 1 h */
} coco_postgres_read;

/* The rows as items: the key is that of the row (several columns: a list), the value a coco_row. One snapshot at
 * repeatable read, streamed by a cursor on a connection of its own. Values: bool, int (smallint to bigint, oid), float
 * (real, double precision), bytes, uuid, vectors; timestamps as 2026-01-31T12:00:00Z, intervals as P1DT2H; all else as
 * the server prints it. What is wrong is the first answer of the source: COCO_ENOTFOUND (no such table), COCO_EINVAL
 * (no key), COCO_ETYPE (a key that is null or a float), COCO_EDUP (equal keys), COCO_EFAIL with the server's words.
 *
 * Live, without notify: all rows are read every poll_ms; those that are unchanged cost a look at their memo.
 *
 * Live, with notify: triggers on the table, named coco_notify_…, call a function of the same name, which tells the key
 * of each row that is inserted, updated or deleted to a channel of the same name (NOTIFY); a connection of the source's
 * own listens, and each row told of is read by its key. TRUNCATE, a key of more than 7,900 bytes, and more than 1,000
 * changes at once have all rows listed anew. The triggers are made when they aren't there, with the right to make
 * triggers on the table and functions in the first schema of the search path; they stay, so that several programs may
 * share them, and go with DROP FUNCTION "coco_notify_…" CASCADE. They don't fire for what replication writes. When the
 * connection is lost, or the triggers can't be made, that is told once; it is tried again, after 100 ms at first and
 * after 10 s at most, and then all rows are listed anew.
 *
 * The columns of a source that is followed are those it had at the beginning; then server and table must be there. */
coco_source *coco_postgres_rows(coco_ctx *cx, coco_value db, const coco_postgres_read *read);

#ifdef __cplusplus
}
#endif
#endif /* COCO_POSTGRES_H */
