/* docs_search - keeps a search index in step with a tree of documents, and searches it by words and by meaning.
 *
 *     docs_search update --source docs --index docs.sqlite
 *     docs_search search "how do I configure it" --index docs.sqlite
 *
 * One memoized component a file (index_file): its passages become rows of a table, with a vector each. A file that
 * didn't change isn't read; of one that did, only passages with a new text are embedded, since vectors come from
 * memoized calls. Another model, or size of vectors, embeds all anew and rebuilds the column.
 *
 * The index is a SQLite file, or with --postgres a database of PostgreSQL. Vectors come from --embed URL --model NAME,
 * or from features of the letters and words, which need no model and no network, and find near-duplicates and
 * misspellings, not meaning. */
#include "cocoindex.h"
#include "connectors/localfs.h"
#include "connectors/sqlite.h"
#include "ops/features.h"
#ifdef HAVE_EMBED
#include "ops/embed.h"
#endif
#ifdef HAVE_POSTGRES
#include "connectors/postgres.h"

#include <libpq-fe.h>
#endif
#include "passages.h"
#include "search.h"

#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>

static coco_key DB = COCO_KEY("db");
/* What makes vectors: an embedder, or {"model", "dimensions"} of the built-in features; null: there are no vectors. */
static coco_key EMBEDDER = COCO_KEY("embedder", .detect_change = true);

enum { FEATURES = 256 }; /* dimensions of the built-in features */

struct row {
    coco_str path;
    int64_t n, line;
    coco_str heading, text;
    coco_floats embedding;
};

/* Full text needs nothing but the first five. */
static const coco_schema PASSAGES = COCO_SCHEMA(struct row,
    COCO_FIELD(struct row, path, COCO_TEXT_T, .key = true),
    COCO_FIELD(struct row, n, COCO_INT_T, .key = true),
    COCO_FIELD(struct row, line, COCO_INT_T),
    COCO_FIELD(struct row, heading, COCO_TEXT_T, .nullable = true),
    COCO_FIELD(struct row, text, COCO_TEXT_T),
    COCO_FIELD(struct row, embedding, COCO_VECTOR_T, .dim_from = &EMBEDDER));

/* Who made the vectors: one row, or none where there are no vectors. */
struct maker {
    coco_str model;
    int64_t dimensions;
};

static const coco_schema MAKER = COCO_SCHEMA(struct maker,
    COCO_FIELD(struct maker, model, COCO_TEXT_T, .key = true),
    COCO_FIELD(struct maker, dimensions, COCO_INT_T));

#ifdef HAVE_POSTGRES
static coco_schema without_vectors(void)
{
    return (coco_schema){ PASSAGES.columns, PASSAGES.n - 1, PASSAGES.row_size };
}
#endif

static const char *param(coco_ctx *cx, const char *name)
{
    const char *value = coco_text_of(coco_param(cx, name)).p;

    return value ? value : "";
}

/* ---- From documents to rows ---- */

/* What is embedded of a passage: its heading tells what it is about. */
static coco_value text_of(coco_ctx *cx, const struct passage *p)
{
    if (!p->heading.n) return coco_text_n(p->text);
    return coco_text_n(coco_format(cx, "%.*s\n%.*s", (int)p->heading.n, p->heading.p, (int)p->text.n, p->text.p));
}

static coco_status embed(coco_ctx *cx, const struct passages *p, coco_value *vectors)
{
    coco_value embedder = coco_context(cx, &EMBEDDER), *texts = coco_alloc(cx, (p->n + 1) * sizeof *texts);

    if (!texts || coco_error(cx)) return coco_error(cx);
    for (size_t i = 0; i < p->n; i++) texts[i] = text_of(cx, &p->items[i]);
#ifdef HAVE_EMBED
    if (embedder.kind == COCO_OBJECT) return coco_map(cx, &coco_embed, texts, p->n, COCO_ARGS(embedder), vectors);
#endif
    return embedder.kind == COCO_MAP ? coco_map(cx, &coco_features, texts, p->n, COCO_ARGS(coco_int(FEATURES)), vectors)
                                     : COCO_OK;
}

static bool is_markdown(coco_str path)
{
    coco_str suffix = coco_path_suffix(path);

    return coco_str_equal(suffix, COCO_STR(".md")) || coco_str_equal(suffix, COCO_STR(".markdown"));
}

/* What passages.c does is out of sight of the generated fingerprint: raise deps when it changes. */
COCO_FN(index_file, (coco_file *, file, coco_table *, table), .memo = true, .deps = COCO_INTEGER(1))
{
    struct passages passages;
    coco_value *vectors;
    coco_str text;

    COCO_TRY(coco_file_read_text(cx, file, &text));
    COCO_TRY(passages_of(cx, text, is_markdown(coco_file_path(file)), &passages));
    if (!(vectors = coco_alloc(cx, (passages.n + 1) * sizeof *vectors))) return coco_error(cx);
    COCO_TRY(embed(cx, &passages, vectors));
    for (size_t i = 0; i < passages.n; i++) {
        const struct passage *p = &passages.items[i];
        struct row row = { coco_file_path(file), (int64_t)i, p->line, p->heading, p->text, { NULL, 0 } };

        if (vectors[i].kind == COCO_VECTOR)
            row.embedding = (coco_floats){ vectors[i].as.s.p.floats, coco_count(vectors[i]) };
        COCO_TRY(coco_declare_row(cx, table, &row));
    }
    return COCO_OK;
}

/* ---- The index ---- */

/* {"model", "dimensions"} of what makes vectors; null: nothing does. */
static coco_value maker_of(coco_value embedder)
{
#ifdef HAVE_EMBED
    coco_embedder *e = coco_object_of(embedder, &coco_embedder_class);
    if (e) return coco_embedder_identity(e);
#endif
    return embedder;
}

/* The search command compares it with what makes the words' vector. */
static coco_status declare_maker(coco_ctx *cx, coco_table *table)
{
    coco_value m = maker_of(coco_context(cx, &EMBEDDER));
    struct maker row = { coco_text_of(coco_get(m, "model")), coco_int_of(coco_get(m, "dimensions")) };

    return m.kind == COCO_MAP ? coco_declare_row(cx, table, &row) : coco_error(cx);
}

static coco_status mount_sqlite(coco_ctx *cx, coco_table **table)
{
    coco_table *maker;

    COCO_TRY(coco_sqlite_mount_table(cx, coco_context_ref(&DB), "vectors_by", &MAKER, NULL, &maker));
    COCO_TRY(declare_maker(cx, maker));
    COCO_TRY(coco_sqlite_mount_table(cx, coco_context_ref(&DB), "passages", &PASSAGES, NULL, table));
    return coco_sqlite_declare_fts(cx, *table, "passages_fts",
                                   &(coco_sqlite_fts){ .columns = "heading,text", .tokenize = "porter unicode61" });
}

#ifdef HAVE_POSTGRES
static coco_status mount_postgres(coco_ctx *cx, coco_table **table)
{
    static coco_schema plain;
    bool vectors = coco_context(cx, &EMBEDDER).kind != COCO_NULL;
    coco_table *maker;

    plain = without_vectors();
    COCO_TRY(coco_postgres_mount_table(cx, coco_context_ref(&DB), "vectors_by", &MAKER, NULL, &maker));
    COCO_TRY(declare_maker(cx, maker));
    COCO_TRY(coco_postgres_mount_table(cx, coco_context_ref(&DB), "passages", vectors ? &PASSAGES : &plain, NULL,
                                       table));
    if (vectors)
        COCO_TRY(coco_postgres_declare_vector_index(cx, *table, "passages_nearest",
                                                    &(coco_postgres_vector_index){ .column = "embedding" }));
    return coco_postgres_declare_sql(cx, *table, "passages_words",
        "CREATE INDEX passages_words ON passages"
        " USING gin (to_tsvector('english', coalesce(heading, '') || ' ' || text))",
        "DROP INDEX IF EXISTS passages_words");
}
#endif

COCO_FN(app_main, ())
{
    coco_walk_opts opts = { .include = "**.md\n**.markdown\n**.txt", .live = true, .title = "docs" };
    coco_table *table;

#ifdef HAVE_POSTGRES
    COCO_TRY(*param(cx, "postgres") ? mount_postgres(cx, &table) : mount_sqlite(cx, &table));
#else
    COCO_TRY(mount_sqlite(cx, &table));
#endif
    return coco_mount_each(cx, COCO_AUTO, &index_file, coco_walk_dir(cx, coco_param(cx, "source"), &opts),
                           COCO_ARGS(coco_table_value(table)));
}

/* ---- Setup: the connection, and what makes vectors ---- */

static coco_status provide_embedder(coco_ctx *cx)
{
    const char *key = param(cx, "key-env");

    if (!*param(cx, "embed")) return coco_provide(cx, &EMBEDDER, coco_features_identity(cx, FEATURES));
#ifdef HAVE_EMBED
    return coco_embedder_provide(cx, &EMBEDDER,
                                 &(coco_embedder_opts){ .url = param(cx, "embed"), .model = param(cx, "model"),
                                                        .key_env = *key ? key : NULL });
#else
    (void)key;
    return coco_fail(cx, COCO_EINVAL, "--embed: built without libcurl and jansson");
#endif
}

static coco_status setup_sqlite(coco_ctx *cx)
{
    const char *vec = param(cx, "vec");

    COCO_TRY(coco_sqlite_provide(cx, &DB, param(cx, "index"), &(coco_sqlite_opts){ .extensions = *vec ? vec : NULL }));
    return provide_embedder(cx);
}

#ifdef HAVE_POSTGRES
/* Without pgvector there is full text alone, unless vectors were asked for. */
static coco_status setup_postgres(coco_ctx *cx)
{
    coco_postgres *db;
    PGconn *c;
    PGresult *r;
    coco_err err;
    bool has;

    COCO_TRY(coco_postgres_provide(cx, &DB, param(cx, "postgres"), NULL));
    db = coco_postgres_of(coco_context(cx, &DB));
    if (!(c = coco_postgres_handle(db, &err))) return coco_fail(cx, err.code, "%s", err.msg);
    r = PQexec(c, "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'");
    has = PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1;
    PQclear(r);
    if (has) return provide_embedder(cx);
    if (*param(cx, "embed")) return coco_fail(cx, COCO_EINVAL, "--embed: the server has no pgvector");
    return coco_provide(cx, &EMBEDDER, coco_null());
}
#endif

static coco_status setup(coco_ctx *cx, void *user)
{
    (void)user;
    if (!*param(cx, "postgres")) return setup_sqlite(cx);
#ifdef HAVE_POSTGRES
    return setup_postgres(cx);
#else
    return coco_fail(cx, COCO_EINVAL, "--postgres: built without libpq");
#endif
}

/* ---- The search command ---- */

/* Texts that have nothing in common are that similar by features once in a thousand times: 3 / sqrt(FEATURES). What a
 * model says of such texts only its makers know. */
#define BY_CHANCE 0.1875

/* The words' own vector, of malloc; NULL where there are no vectors. */
static coco_status embed_words(coco_value embedder, const char *words, float **vector, struct search *s, coco_err *err)
{
    size_t dimensions = FEATURES;

    *vector = NULL;
    s->farthest = 1 - BY_CHANCE;
    if (embedder.kind == COCO_NULL) return COCO_OK;
#ifdef HAVE_EMBED
    coco_embedder *e = coco_object_of(embedder, &coco_embedder_class);
    if (e) dimensions = coco_embedder_dimensions(e), s->farthest = 2;
#endif
    if (!(*vector = malloc(dimensions * sizeof **vector))) return coco_err_set(err, COCO_ENOMEM, "out of memory");
    s->dimensions = dimensions;
#ifdef HAVE_EMBED
    coco_str text = coco_str_of(words);
    if (e) return coco_embed_texts(e, &(coco_embed_call){ .texts = &text, .n = 1, .vectors = *vector }, err);
#endif
    return coco_features_of(coco_str_of(words), FEATURES, *vector);
}

static char *joined(int nargs, char **args)
{
    size_t n = 1;
    char *all, *p;

    for (int i = 0; i < nargs; i++) n += strlen(args[i]) + 1;
    if (!(p = all = calloc(1, n))) return NULL;
    for (int i = 0; i < nargs; i++) p += sprintf(p, "%s%s", i ? " " : "", args[i]);
    return all;
}

/* Whether vectors of the words would be by what made those of the index; if not, says so. */
static bool vectors_fit(coco_value embedder, coco_value db)
{
    coco_value m = maker_of(embedder);
    char theirs[300], ours[300] = "no model";

    if (m.kind == COCO_MAP)
        snprintf(ours, sizeof ours, "%s (%lld dimensions)", coco_text_of(coco_get(m, "model")).p,
                 (long long)coco_int_of(coco_get(m, "dimensions")));
    if (coco_sqlite_of(db)) made_by_sqlite(coco_sqlite_of(db), theirs, sizeof theirs);
#ifdef HAVE_POSTGRES
    else made_by_postgres(coco_postgres_of(db), theirs, sizeof theirs);
#endif
    if (!*theirs || strcmp(theirs, ours) == 0) return true;
    fprintf(stderr, "docs_search: the index has vectors by %s, not by %s: searching by words alone\n",
            theirs, ours);
    return false;
}

/* Whether there is a letter, a digit, or a character that isn't ASCII. */
static bool has_word(const char *p)
{
    while (*p && !isalnum((unsigned char)*p) && (unsigned char)*p < 0x80) p++;
    return *p != 0;
}

static int search(coco_app *app, int nargs, char **args)
{
    const char *vec = coco_app_param(app, "vec");
    struct search s = { .n = 0 };
    coco_err err = { 0 };
    float *vector = NULL;
    char *words = joined(nargs, args);
    coco_status rc = words ? COCO_OK : coco_err_set(&err, COCO_ENOMEM, "out of memory");

    if (rc == COCO_OK && !has_word(words)) rc = coco_err_set(&err, COCO_EINVAL, "search for what? Give some words");
    coco_value embedder = coco_app_context(app, &EMBEDDER), db = coco_app_context(app, &DB);
    if (rc == COCO_OK && vectors_fit(embedder, db)) rc = embed_words(embedder, words, &vector, &s, &err);
    s.words = words;
    s.vector = vector;
    if (rc == COCO_OK && coco_sqlite_of(db)) rc = search_sqlite(coco_sqlite_of(db), &s, vec && *vec, &err);
#ifdef HAVE_POSTGRES
    else if (rc == COCO_OK) rc = search_postgres(coco_postgres_of(db), &s, &err);
#endif
    if (rc == COCO_OK) {
        search_rank(&s);
        search_print(&s, isatty(1));
    } else {
        fprintf(stderr, "docs_search: %s\n", err.msg);
    }
    search_free(&s);
    free(vector);
    free(words);
    return rc == COCO_OK ? 0 : rc == COCO_EINVAL ? 2 : 1;
}

int main(int argc, char **argv)
{
    coco_app_config app = {
        .name = "docs_search",
        .main = &app_main,
        .setup = setup,
        .params = (coco_param_def[]){ { "source", "docs", "directory of Markdown and text files" },
                                      { "index", "docs.sqlite", "the SQLite file to keep the index in" },
                                      { "postgres", "", "connection string of PostgreSQL, in place of a SQLite file" },
                                      { "embed", "", "address of a server for embeddings: http://localhost:8080/v1" },
                                      { "model", "", "what that server calls the model" },
                                      { "key-env", "", "environment variable that holds the server's key" },
                                      { "vec", "", "file of the sqlite-vec extension, to search vectors by" },
                                      { 0 } },
        .commands = (coco_command[]){ { "search", "WORDS", "print the best passages for the words", search }, { 0 } },
    };

    return coco_main(argc, argv, &app, 1);
}
