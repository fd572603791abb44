/* sqlite.h - SQLite as a target and as a source, for cocoindex.h. Needs SQLite 3.37 or later (-lsqlite3) and rows.h.
 *
 * A whole program: each line of a text file becomes a row, with full-text search kept in sync.
 *
 *     #include "cocoindex.h"
 *     #include "connectors/localfs.h"
 *     #include "connectors/sqlite.h"
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
 *         COCO_TRY(coco_sqlite_mount_table(cx, coco_text("notes.sqlite"), "notes", &NOTES, NULL, &notes));
 *         COCO_TRY(coco_sqlite_declare_fts(cx, notes, "notes_fts", &(coco_sqlite_fts){ .columns = "text" }));
 *         return coco_mount_each(cx, COCO_AUTO, &index_note, coco_walk_dir(cx, coco_text("notes"), NULL),
 *                                COCO_ARGS(coco_table_value(notes)));
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         return coco_main(argc, argv, &(coco_app_config){ .name = "notes", .main = &app_main }, 1);
 *     }
 *
 * Build: cc notes.c cocoindex_lmdb.c connectors/localfs.c connectors/rows.c connectors/sqlite.c \
 *        -llmdb -lsqlite3 -lm -pthread
 *
 * Databases. Wherever one is asked for: a text is the path of a file, which is itself the identity of what is below;
 * coco_context_ref(&KEY) stands for what the context key provides, a path or a connection (coco_sqlite_provide, which
 * takes options), and then the key's name is the identity: the file may move.
 *
 * Types. What a column is declared as, unless its .sql_type says otherwise:
 *     bool, int     INTEGER (bool: 0 and 1)          text                              TEXT, UTF-8, may hold NULs
 *     double        REAL (NaN: an error; -0.0: 0.0)  uuid, time, date, clock, interval TEXT as given; uuid: lower case
 *     bytes         BLOB                             decimal, json                     TEXT
 *     vector        BLOB of little-endian float32    half vector                       BLOB of little-endian float16
 *
 * How it writes. A batch is one transaction; the rows of one component are never half written. Rows are upserted by
 * their key, so that columns which the table has besides stay as they are, and rows that nobody declared are never
 * touched. Where a value moves from one row to another under a unique index, the rows in question first let go of
 * theirs, all within the transaction; between components of different batches, the one that comes first is tried again
 * at the end of the update. Many new rows go in by one statement, from a table-valued function of the connector's
 * (coco_rows), unless the table has triggers; what a row comes to is the same. A file that the update makes is
 * WAL from its first rows on: these go straight into the file, and readers wait for their commit.
 *
 * Changes of a schema, on the filled table, each in one transaction:
 *     column added           in place, lossy. One that isn't nullable gets 0, '' or x'' until its rows are written
 *     column dropped         in place, kept; also if it is indexed, its indexes go
 *     nullable or not, SQL type; any type but vectors, bytes and bool to text; bool to int; int to double
 *                            in place, lossy
 *     other types, a vector's dimension, the primary key, strict, without_rowid; any change of a vec0 table
 *                            rebuilt: rows go to the table "coco_shadow_NAME", and take the table's place at the end of
 *                            the first update that did everything without a failure. Until then readers see the old
 *                            table as it was. Columns and rows which others added to it are lost with it.
 * What is made in place keeps columns that others added, and indexes and triggers.
 *
 * What a table has besides rows (indexes, full-text search, SQL of the program's own) stands with its teardown in the
 * table "coco_attachments", so that it can be taken down when the program that made it is gone. Names that begin with
 * coco_ are refused for tables.
 *
 * Existence and verification. A database file or table deleted by someone else is made and filled again by a plain
 * update; a column dropped or changed and another primary key are set right. `verify` compares all declared columns of
 * a row.
 *
 * Limits. A connection belongs to one environment at a time; every use of it takes its turn. Text keys: full-text
 * search and coco_sqlite_vector_search go by rowid, which VACUUM may change in tables without an int key; afterwards
 * INSERT INTO fts(fts) VALUES('rebuild'). A database in memory (:memory:) can't be a source. Errors and records never
 * hold values of rows. */
#ifndef COCO_SQLITE_H
#define COCO_SQLITE_H

#include "rows.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;

/* ---- Connections ------------------------------------------------------------------------------------------------- */

typedef struct coco_sqlite coco_sqlite;
extern coco_class coco_sqlite_class; /* can't be a memo key */

/* All zero is the default. The strings are copied. */
typedef struct coco_sqlite_opts {
    const char *journal;     /* journal_mode; NULL: "wal"; "": as the file has it */
    const char *synchronous; /* NULL: "normal": a power cut may undo the last updates, the next one sets it right */
    unsigned busy_ms;        /* wait for a lock held by others; 0: 10,000 */
    const char *extensions;  /* files to load, one a line, such as the path of vec0.so; NULL: none */
    size_t max_actions;      /* rows in a transaction, more only for one component; 0: 10,000 */
} coco_sqlite_opts;

/* A connection; the file is opened at its first use, and made at the first write. opts may be NULL. coco_sqlite_close
 * ends it; NULL is accepted. Thread-safe: yes. Errors: COCO_EINVAL (options, empty path), COCO_ENOMEM. */
coco_status coco_sqlite_open(const char *path, const coco_sqlite_opts *opts, coco_sqlite **db, coco_err *err);
void coco_sqlite_close(coco_sqlite *db);

/* In a setup function: opens, provides under the key, and closes with the environment. */
coco_status coco_sqlite_provide(coco_ctx *cx, const coco_key *key, const char *path, const coco_sqlite_opts *opts);

coco_value coco_sqlite_value(coco_sqlite *db);
coco_sqlite *coco_sqlite_of(coco_value v); /* NULL if v is no connection: for coco_app_context */

/* SQLite's own handle, for queries beside updates (a search command). NULL with err set where the file can't be opened
 * or isn't there. Not while an update runs. */
struct sqlite3 *coco_sqlite_handle(coco_sqlite *db, coco_err *err);

/* ---- Target ------------------------------------------------------------------------------------------------------ */

/* All zero is the default. */
typedef struct coco_sqlite_table_opts {
    const char *title;   /* in TITLE:[key]; NULL: DATABASE/TABLE */
    bool user_managed;   /* never made, altered or dropped; its rows are still kept in sync */
    bool strict;         /* STRICT */
    bool without_rowid;  /* WITHOUT ROWID */
    /* A vec0 table of sqlite-vec, which must be loaded (coco_sqlite_opts.extensions): one int key, vectors with a
     * dimension; the other columns are metadata, but for those named here, with commas. Names must be plain. */
    bool vec0;
    const char *partition; /* partition keys */
    const char *auxiliary; /* columns that are stored and not indexed */
    const char *metric;    /* "cosine", "l2", "l1"; NULL: l2 */
} coco_sqlite_table_opts;

/* Declares a table of the database, in a component of its own, and makes it: usable everywhere when it returns. opts
 * may be NULL. Errors: those of coco_schema_check; COCO_EINVAL (options that don't go together, a name that begins with
 * coco_), COCO_EDUP (mounted twice), COCO_EFAIL with SQLite's words (extension not loaded, the table is there with
 * another primary key and wasn't ours). */
coco_status coco_sqlite_mount_table(coco_ctx *cx, coco_value db, const char *name, const coco_schema *schema,
                                    const coco_sqlite_table_opts *opts, coco_table **table);

/* The same in the running component: the table and its rows are one unit. */
coco_status coco_sqlite_declare_table(coco_ctx *cx, coco_value db, const char *name, const coco_schema *schema,
                                      const coco_sqlite_table_opts *opts, coco_table **table);

/* ---- What a table has besides rows ------------------------------------------------------------------------------- */

typedef struct coco_sqlite_index {
    const char *columns; /* names, with commas; a name with a comma: see parts */
    const char *const *parts; /* in place of columns: names, NULL at the end */
    bool unique;
} coco_sqlite_index;

/* Full-text search by FTS5 over text columns, kept in sync by triggers; the table `name` refers to the table's content
 * by rowid (SELECT … FROM name WHERE name MATCH 'words' ORDER BY rank). */
typedef struct coco_sqlite_fts {
    const char *columns;      /* names, with commas … */
    const char *const *parts; /* … or one by one, NULL at the end */
    const char *tokenize;     /* FTS5's option, such as "porter unicode61"; NULL: its default */
    const char *prefix;       /* such as "2 3"; NULL: none */
} coco_sqlite_fts;

/* Declares an index, a full-text index, or statements of the program's own: setup when first declared or changed,
 * teardown (may be NULL) before that and when it is no longer declared. They run in the transaction of the batch, the
 * setup after the rows that come with it; in a table that is being rebuilt, when it takes its place. A teardown must
 * succeed on whatever is there (IF EXISTS). Errors: COCO_EINVAL (no such column, a table without rowid or vec0),
 * COCO_EDUP; the component fails with COCO_EFAIL and SQLite's words (rows that aren't unique, no FTS5). */
coco_status coco_sqlite_declare_index(coco_ctx *cx, coco_table *table, const char *name,
                                      const coco_sqlite_index *index);
coco_status coco_sqlite_declare_fts(coco_ctx *cx, coco_table *table, const char *name, const coco_sqlite_fts *fts);
coco_status coco_sqlite_declare_sql(coco_ctx *cx, coco_table *table, const char *name, const char *setup,
                                    const char *teardown);

/* ---- Source ------------------------------------------------------------------------------------------------------ */

/* What to read; copied. */
typedef struct coco_sqlite_read {
    const char *table;       /* a table or view; or … */
    const char *query;       /* … one SELECT; with it a name for it: */
    const char *name;        /* part of the identity of its rows; NULL: the query's text */
    const coco_value *bind;  /* values of its ?1, ?2 … */
    size_t nbind;
    const char *key;         /* key columns, with commas; NULL: the table's primary key (a query needs it) */
    const char *version;     /* a column that changes whenever the row does: then it is the memo state; NULL: content */
    const char *columns;     /* of a table: names, with commas; NULL: all */
    const char *title;       /* NULL: DATABASE/TABLE or the name */
    bool live;               /* in a live update it is followed (below); in catch-up mode this makes no difference */
    unsigned poll_ms;        /* live: time between two looks; 0: 500 */
} coco_sqlite_read;

/* The rows as items: the key is that of the row (several columns: a list), the value a coco_row. One snapshot, streamed
 * on a connection of its own. Values come as SQLite keeps them: int, float, text, bytes, null. A table is read in the
 * order of its key; rows with equal keys of a query are COCO_EDUP. What is wrong is the first answer of the source:
 * COCO_ENOTFOUND (no such file), COCO_EINVAL (no key, no such column), COCO_ETYPE (a key that is null or a float),
 * COCO_EFAIL with SQLite's words.
 *
 * Live: a connection of its own asks every poll_ms whether anybody has committed to the file (PRAGMA data_version), and
 * then the rows are listed anew, from a new snapshot: those that are no longer there are gone, those that are unchanged
 * cost a look at their memo (name a version column where rows are large). A file that is gone is a failure, told
 * once; one that takes its place is read. When a listing fails (the table is gone), what was read before stays. Commits
 * of the update itself count too: a target in the same file costs a listing that finds nothing. At the beginning file
 * and table must be there. */
coco_source *coco_sqlite_rows(coco_ctx *cx, coco_value db, const coco_sqlite_read *read);

/* ---- Search ------------------------------------------------------------------------------------------------------ */

typedef enum coco_sqlite_metric { COCO_SQLITE_COSINE, COCO_SQLITE_L2, COCO_SQLITE_DOT } coco_sqlite_metric;
typedef struct coco_sqlite_nearest {
    const char *table, *column; /* a vector column */
    const float *query;
    size_t n;                   /* its floats; vectors of other lengths are passed over */
    coco_sqlite_metric metric;  /* distance: 1 - cosine, Euclidean, or the negative dot product */
    bool half;                  /* the column is of half vectors */
} coco_sqlite_nearest;
typedef struct coco_sqlite_hit {
    int64_t rowid;
    double distance; /* smaller is nearer */
} coco_sqlite_hit;

/* The *n nearest rows, nearest first, by looking at all of them: exact, no extension needed. *n is the room in hits
 * before and how many were found after. Errors: COCO_EINVAL, COCO_ENOTFOUND, COCO_EFAIL with SQLite's words. */
coco_status coco_sqlite_vector_search(coco_sqlite *db, const coco_sqlite_nearest *what, coco_sqlite_hit *hits,
                                      size_t *n, coco_err *err);

#ifdef __cplusplus
}
#endif
#endif /* COCO_SQLITE_H */
