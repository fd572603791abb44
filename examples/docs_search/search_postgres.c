/* search_postgres.c - candidates from PostgreSQL: its own full-text search, and pgvector where the table has
 * vectors. */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include "search.h"

#ifdef HAVE_POSTGRES
#include "connectors/postgres.h"

#include <libpq-fe.h>
#include <stdlib.h>

static coco_status failed(PGconn *db, coco_err *err)
{
    return coco_err_set(err, COCO_EFAIL, "the index can't be searched: %s", PQerrorMessage(db));
}

static char *column(PGresult *r, int row, int i)
{
    return PQgetisnull(r, row, i) ? NULL : strdup(PQgetvalue(r, row, i));
}

/* Rows of: path, line, heading, snippet, number. A passage is named by its path and number; the id is their hash. */
static coco_status take(PGconn *db, PGresult *r, struct search *s, bool words, coco_err *err)
{
    coco_status rc = PQresultStatus(r) == PGRES_TUPLES_OK ? COCO_OK : failed(db, err);

    for (int i = 0; rc == COCO_OK && i < PQntuples(r); i++) {
        uint8_t fp[16];
        int64_t id;
        char *name = NULL;
        struct found *f;
        size_t n = strlen(PQgetvalue(r, i, 0)) + strlen(PQgetvalue(r, i, 4)) + 2;

        if (!(name = malloc(n))) return coco_err_set(err, COCO_ENOMEM, "out of memory");
        coco_fingerprint_bytes(name, (size_t)snprintf(name, n, "%s:%s", PQgetvalue(r, i, 0), PQgetvalue(r, i, 4)), fp);
        free(name);
        memcpy(&id, fp, sizeof id);
        if (!(f = search_found(s, id))) break;
        *(words ? &f->by_words : &f->by_vector) = i + 1;
        if (f->path) continue;
        f->path = column(r, i, 0);
        f->line = atoll(PQgetvalue(r, i, 1));
        f->heading = column(r, i, 2);
        f->snippet = column(r, i, 3);
    }
    PQclear(r);
    return rc;
}

static coco_status by_words(PGconn *db, struct search *s, const char *query, coco_err *err)
{
    const char *values[] = { query };

    return take(db, PQexecParams(db,
        "SELECT path, line, heading, ts_headline('english', text, q, E'StartSel=\"\\x01\",StopSel=\"\\x02\","
        "MaxWords=30,MinWords=12'), n FROM passages, websearch_to_tsquery('english', $1) q"
        " WHERE to_tsvector('english', coalesce(heading, '') || ' ' || text) @@ q"
        " ORDER BY ts_rank_cd(to_tsvector('english', coalesce(heading, '') || ' ' || text), q) DESC, path, n LIMIT 50",
        1, NULL, values, NULL, NULL, 0), s, true, err);
}

/* [1,2.5,…] */
static char *vector_text(const float *v, size_t n)
{
    char *text = malloc(n * 16 + 3), *p = text;

    if (!text) return NULL;
    *p++ = '[';
    for (size_t i = 0; i < n; i++) p += sprintf(p, "%s%.8g", i ? "," : "", (double)v[i]);
    strcpy(p, "]");
    return text;
}

static coco_status by_vector(PGconn *db, struct search *s, coco_err *err)
{
    char *text = vector_text(s->vector, s->dimensions);
    char farthest[32];
    const char *values[] = { text, farthest };
    PGresult *r;

    snprintf(farthest, sizeof farthest, "%.4f", s->farthest);
    if (!text) return coco_err_set(err, COCO_ENOMEM, "out of memory");
    r = PQexecParams(db, "SELECT path, line, heading, left(text, 200), n FROM passages"
                         " WHERE (embedding <=> $1::vector) <= $2::float8"
                         " ORDER BY embedding <=> $1::vector, path, n LIMIT 50", 2, NULL, values, NULL, NULL, 0);
    free(text);
    return take(db, r, s, false, err);
}

/* a b c, or a or b or c: without quotes, and without a - before a word, which would ask for passages that lack it. */
static char *query_of(const char *words, const char *joint)
{
    char *all = malloc(strlen(words) * 5 + 1), *out = all;

    if (!all) return NULL;
    *out = 0;
    for (const char *p = words; *p;) {
        size_t n = strcspn(p += strspn(p, "- \t\r\n\""), " \t\r\n\"");
        if (n) out += sprintf(out, "%s%.*s", out == all ? "" : joint, (int)n, p);
        p += n;
    }
    return all;
}

coco_status search_postgres(coco_postgres *pool, struct search *s, coco_err *err)
{
    PGconn *db = coco_postgres_handle(pool, err);
    char *all = query_of(s->words, " "), *any = query_of(s->words, " or ");
    coco_status rc = db ? COCO_OK : err->code;

    if (rc == COCO_OK && (!all || !any)) rc = coco_err_set(err, COCO_ENOMEM, "out of memory");
    if (rc == COCO_OK) rc = by_words(db, s, all, err);
    if (rc == COCO_OK && s->n == 0) rc = by_words(db, s, any, err);
    if (rc == COCO_OK && s->vector) rc = by_vector(db, s, err);
    free(all);
    free(any);
    return rc;
}

void made_by_postgres(coco_postgres *pool, char *out, size_t size)
{
    PGconn *db = coco_postgres_handle(pool, NULL);
    PGresult *r = db ? PQexec(db, "SELECT model || ' (' || dimensions || ' dimensions)' FROM vectors_by") : NULL;

    *out = 0;
    if (PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1) snprintf(out, size, "%s", PQgetvalue(r, 0, 0));
    PQclear(r);
}
#else
coco_status search_postgres(struct coco_postgres *pool, struct search *s, coco_err *err)
{
    (void)pool, (void)s;
    return coco_err_set(err, COCO_EINVAL, "built without PostgreSQL (libpq)");
}

void made_by_postgres(struct coco_postgres *pool, char *out, size_t size)
{
    (void)pool, (void)size;
    *out = 0;
}
#endif
