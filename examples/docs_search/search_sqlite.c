/* search_sqlite.c - candidates from SQLite: full-text search by FTS5; nearest vectors by sqlite-vec's functions where
 * the extension is loaded, else by looking at all vectors. */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include "search.h"

#include "connectors/sqlite.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static coco_status failed(sqlite3 *db, coco_err *err)
{
    return coco_err_set(err, COCO_EFAIL, "the index can't be searched: %s", sqlite3_errmsg(db));
}

static char *column(sqlite3_stmt *q, int i)
{
    const unsigned char *text = sqlite3_column_text(q, i);

    return text ? strdup((const char *)text) : NULL;
}

/* Columns: rowid, path, line, heading, snippet. */
static void take(struct found *f, sqlite3_stmt *q)
{
    if (f->path) return;
    f->path = column(q, 1);
    f->line = sqlite3_column_int64(q, 2);
    f->heading = column(q, 3);
    f->snippet = column(q, 4);
}

/* "word" OR "word": each word quoted, so that nothing in it is syntax. */
static char *match_of(const char *words, const char *joint)
{
    char *all = malloc(strlen(words) * (strlen(joint) + 4) + 1), *out = all;

    if (!all) return NULL;
    *out = 0;
    for (const char *p = words; *p;) {
        size_t n = strcspn(p, " \t\r\n\"");
        if (n) out += sprintf(out, "%s\"%.*s\"", out == all ? "" : joint, (int)n, p);
        p += n + (p[n] != 0);
    }
    return all;
}

static coco_status by_words(sqlite3 *db, struct search *s, const char *match, coco_err *err)
{
    static const char sql[] =
        "SELECT p.rowid, p.path, p.line, p.heading, snippet(passages_fts, 1, char(1), char(2), '…', 24)"
        " FROM passages_fts f JOIN passages p ON p.rowid = f.rowid WHERE passages_fts MATCH ?1"
        " ORDER BY bm25(passages_fts, 4.0, 1.0) LIMIT ?2";
    sqlite3_stmt *q;
    int rank = 0, rc;

    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK) return failed(db, err);
    sqlite3_bind_text(q, 1, match, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 2, CANDIDATES);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        struct found *f = search_found(s, sqlite3_column_int64(q, 0));
        if (!f) break;
        f->by_words = ++rank;
        take(f, q);
    }
    sqlite3_finalize(q);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? COCO_OK : failed(db, err);
}

/* Path, line and text of a passage that only its vector found. */
static coco_status describe(sqlite3 *db, struct found *f, coco_err *err)
{
    sqlite3_stmt *q;
    int rc;

    if (sqlite3_prepare_v2(db, "SELECT rowid, path, line, heading, substr(text, 1, 200) FROM passages WHERE rowid = ?1",
                           -1, &q, NULL) != SQLITE_OK)
        return failed(db, err);
    sqlite3_bind_int64(q, 1, f->id);
    if ((rc = sqlite3_step(q)) == SQLITE_ROW) take(f, q);
    sqlite3_finalize(q);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? COCO_OK : failed(db, err);
}

static coco_status nearest_by_extension(sqlite3 *db, const struct search *s, coco_sqlite_hit *hits, size_t *n,
                                        coco_err *err)
{
    sqlite3_stmt *q;
    size_t max = *n;
    int rc;

    *n = 0;
    if (sqlite3_prepare_v2(db, "SELECT rowid, vec_distance_cosine(embedding, ?1) AS d FROM passages"
                               " WHERE length(embedding) = ?2 ORDER BY d LIMIT ?3", -1, &q, NULL) != SQLITE_OK)
        return failed(db, err);
    sqlite3_bind_blob(q, 1, s->vector, (int)(s->dimensions * sizeof(float)), SQLITE_STATIC);
    sqlite3_bind_int64(q, 2, (sqlite3_int64)(s->dimensions * sizeof(float)));
    sqlite3_bind_int64(q, 3, (sqlite3_int64)max);
    while ((rc = sqlite3_step(q)) == SQLITE_ROW && *n < max)
        hits[(*n)++] = (coco_sqlite_hit){ sqlite3_column_int64(q, 0), sqlite3_column_double(q, 1) };
    sqlite3_finalize(q);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? COCO_OK : failed(db, err);
}

static coco_status by_vector(coco_sqlite *db, sqlite3 *handle, struct search *s, bool extension, coco_err *err)
{
    coco_sqlite_hit hits[CANDIDATES];
    coco_sqlite_nearest what = { .table = "passages", .column = "embedding", .query = s->vector, .n = s->dimensions,
                                 .metric = COCO_SQLITE_COSINE };
    size_t n = CANDIDATES;

    COCO_TRY(extension ? nearest_by_extension(handle, s, hits, &n, err)
                       : coco_sqlite_vector_search(db, &what, hits, &n, err));
    for (size_t i = 0; i < n && hits[i].distance <= s->farthest; i++) {
        struct found *f = search_found(s, hits[i].rowid);
        if (!f) break;
        f->by_vector = (int)i + 1;
        COCO_TRY(describe(handle, f, err));
    }
    return COCO_OK;
}

coco_status search_sqlite(coco_sqlite *db, struct search *s, bool extension, coco_err *err)
{
    sqlite3 *handle = coco_sqlite_handle(db, err);
    char *all = match_of(s->words, " "), *any = match_of(s->words, " OR ");
    coco_status rc = handle ? COCO_OK : err->code;

    if (rc == COCO_OK && (!all || !any)) rc = coco_err_set(err, COCO_ENOMEM, "out of memory");
    if (rc == COCO_OK && *all) rc = by_words(handle, s, all, err);
    if (rc == COCO_OK && *any && s->n == 0) rc = by_words(handle, s, any, err); /* no passage has all of them */
    if (rc == COCO_OK && s->vector) rc = by_vector(db, handle, s, extension, err);
    free(all);
    free(any);
    return rc;
}

void made_by_sqlite(coco_sqlite *db, char *out, size_t size)
{
    static const char sql[] = "SELECT model || ' (' || dimensions || ' dimensions)' FROM vectors_by";
    sqlite3 *handle = coco_sqlite_handle(db, NULL);
    sqlite3_stmt *q;

    *out = 0;
    if (!handle || sqlite3_prepare_v2(handle, sql, -1, &q, NULL) != SQLITE_OK) return;
    if (sqlite3_step(q) == SQLITE_ROW) snprintf(out, size, "%s", (const char *)sqlite3_column_text(q, 0));
    sqlite3_finalize(q);
}
