/* search.c - part of sqlite.c: the nearest vectors without an extension: every row is looked at, the best are kept in a
 * heap with the worst of them on top. */

static void coco__sq_swap(coco_sqlite_hit *a, coco_sqlite_hit *b)
{
    coco_sqlite_hit c = *a;

    *a = *b;
    *b = c;
}

/* Is a worse than b? Equal distances go by rowid, so that a search gives the same rows each time. */
static bool coco__sq_worse(const coco_sqlite_hit *a, const coco_sqlite_hit *b)
{
    return a->distance > b->distance || (a->distance == b->distance && a->rowid > b->rowid);
}

/* Restores the heap below i, whose hit may be better than those under it. */
static void coco__sq_sink_down(coco_sqlite_hit *heap, size_t n, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && coco__sq_worse(&heap[child + 1], &heap[child])) child++;
        if (!coco__sq_worse(&heap[child], &heap[i])) return;
        coco__sq_swap(&heap[child], &heap[i]);
    }
}

/* Adds a hit; once there is no room, only in place of a worse one. */
static void coco__sq_heap_add(coco_sqlite_hit *heap, size_t *n, size_t room, coco_sqlite_hit hit)
{
    size_t i = *n;

    if (i < room) {
        heap[(*n)++] = hit;
        for (; i && coco__sq_worse(&heap[i], &heap[(i - 1) / 2]); i = (i - 1) / 2)
            coco__sq_swap(&heap[i], &heap[(i - 1) / 2]);
    } else if (room && coco__sq_worse(&heap[0], &hit)) {
        heap[0] = hit;
        coco__sq_sink_down(heap, room, 0);
    }
}

/* The bytes of a blob are not aligned, and little-endian on every machine. */
static float coco__sq_float_at(const uint8_t *p, size_t i, bool half)
{
    uint32_t x;
    float f;

    p += i * (half ? 2 : 4);
    x = (uint32_t)p[0] | (uint32_t)p[1] << 8;
    if (half) return coco_half_float((uint16_t)x);
    x |= (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    memcpy(&f, &x, sizeof f);
    return f;
}

/* In double precision: the order of near neighbours must not hang on rounding. */
static double coco__sq_distance(const coco_sqlite_nearest *what, const uint8_t *p)
{
    double dot = 0, a = 0, b = 0, square = 0;

    for (size_t i = 0; i < what->n; i++) {
        double x = (double)what->query[i], y = (double)coco__sq_float_at(p, i, what->half);
        dot += x * y;
        a += x * x;
        b += y * y;
        square += (x - y) * (x - y);
    }
    if (what->metric == COCO_SQLITE_DOT) return -dot;
    if (what->metric == COCO_SQLITE_L2) return sqrt(square);
    return a > 0 && b > 0 ? 1 - dot / sqrt(a * b) : 1;
}

/* The scan holds the connection; it reads one snapshot. */
static coco_status coco__sq_scan(coco_sqlite *db, const coco_sqlite_nearest *what, coco_sqlite_hit *hits, size_t *n,
                                 coco_err *err)
{
    size_t room = *n, bytes = what->n * (what->half ? 2 : 4);
    sqlite3_stmt *st;
    int rc;

    *n = 0;
    COCO_TRY(coco__sq_ready(db, false, err));
    if (!db->db) return coco_err_set(err, COCO_ENOTFOUND, "%s: no such database", db->path);
    COCO_TRY(coco__sq_prepare(db, &st, what->table, err, "SELECT rowid, \"%w\" FROM \"%w\"", what->column,
                              what->table));
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        const uint8_t *p = sqlite3_column_type(st, 1) == SQLITE_BLOB ? sqlite3_column_blob(st, 1) : NULL;
        coco_sqlite_hit hit = { sqlite3_column_int64(st, 0), 0 };
        if (!p || (size_t)sqlite3_column_bytes(st, 1) != bytes) continue;
        hit.distance = coco__sq_distance(what, p);
        if (!isnan(hit.distance)) coco__sq_heap_add(hits, n, room, hit);
    }
    COCO_TRY(coco__sq_done(db, st, rc, what->table, err));
    for (size_t i = *n; i > 1; i--) { /* the worst goes to the end, again and again */
        coco__sq_swap(&hits[0], &hits[i - 1]);
        coco__sq_sink_down(hits, i - 1, 0);
    }
    return COCO_OK;
}

coco_status coco_sqlite_vector_search(coco_sqlite *db, const coco_sqlite_nearest *what, coco_sqlite_hit *hits,
                                      size_t *n, coco_err *err)
{
    coco_status rc;

    if (!db || !what->table || !what->column || !what->query || !what->n)
        return coco_err_set(err, COCO_EINVAL, "a vector search lacks table, column or query");
    pthread_mutex_lock(&db->lock);
    rc = coco__sq_scan(db, what, hits, n, err);
    pthread_mutex_unlock(&db->lock);
    return rc;
}
