/* watch.c - part of sqlite.c: a table or query that is followed. SQLite tells nobody of a change, but it can be asked
 * cheaply: PRAGMA data_version gives another number once another connection has committed anything to the file. So a
 * connection that does nothing else asks every poll_ms, and when the number is another one, the rows are listed anew:
 * what didn't change costs a look at its memo, what is no longer there is gone.
 *
 * The first number is read before the listing begins, and a listing's snapshot is younger than the number it was asked
 * for: no commit falls between (S8.7). A number counts for one connection alone: where the file was deleted or
 * replaced, a new connection is made, and the rows are listed in any case. A file that is gone, or can't be read, is a
 * failure, told once; what was read from it stays, until it is back. */

#define COCO__SQ_POLL_MS 500

typedef struct coco__sq_watcher {
    coco_feed *feed;    /* through which it tells */
    coco__sq_reader *r; /* whose rows */
    coco_sqlite *s;     /* its own connection */
    int64_t version;    /* the number it gave last */
    bool opened;        /* the connection is a new one, which has given none */
    bool lost;          /* the last look failed, and that was told */
    bool missed;        /* all must be listed anew */
} coco__sq_watcher;

/* Opens the file that stands at the path now. */
static coco_status coco__sq_watch_ready(coco__sq_watcher *x, coco_err *err)
{
    struct stat st;
    int moved = 0;

    if (x->s->db && sqlite3_file_control(x->s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved)
        coco__sq_disconnect(x->s);
    if (x->s->db) return COCO_OK;
    if (stat(x->s->path, &st) != 0) return coco_err_set(err, COCO_ENOTFOUND, "%s: no such database", x->s->path);
    x->opened = true;
    return coco__sq_connect(x->s, false, err);
}

/* Asks for the number. A lock that somebody holds is no answer: he will have committed the next time. */
static coco_status coco__sq_watch_look(coco__sq_watcher *x, coco_err *err)
{
    int64_t version = x->version;
    sqlite3_stmt *st;
    int rc;

    COCO_TRY(coco__sq_watch_ready(x, err));
    COCO_TRY(coco__sq_prepare(x->s, &st, NULL, err, "PRAGMA data_version"));
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) version = sqlite3_column_int64(st, 0);
    COCO_TRY(coco__sq_done(x->s, st, rc, NULL, err));
    x->missed |= x->opened || x->lost || version != x->version;
    x->version = version;
    x->opened = x->lost = false;
    return COCO_OK;
}

static void coco__sq_watch_step(coco__sq_watcher *x)
{
    coco_err err = { 0 };
    coco_status rc = coco__sq_watch_look(x, &err);

    if (rc != COCO_OK && rc != COCO_EBUSY && !x->lost) {
        coco_feed_fail(x->feed, &err);
        x->lost = true;
    }
    x->missed |= atomic_exchange(&x->r->busy, false);
    if (!x->lost && x->missed && coco_feed_rescan(x->feed) == COCO_OK) x->missed = false;
}

/* The watch: on a thread of its own until the update ends. What fails at the beginning, the listing tells. */
static coco_status coco__sq_watch(coco_source *src, coco_feed *feed)
{
    coco__sq_reader *r = src->self;
    const coco_sqlite_opts o = { .busy_ms = 1 }; /* a stop ends it at once */
    struct pollfd stop = { .fd = coco_feed_stop_fd(feed), .events = POLLIN };
    coco__sq_watcher x = { .feed = feed, .r = r };
    coco_err err = { 0 };
    int ms = r->read.poll_ms > INT32_MAX ? INT32_MAX : r->read.poll_ms ? (int)r->read.poll_ms : COCO__SQ_POLL_MS;

    COCO_TRY(coco_sqlite_open(r->s->path, &o, &x.s, &err));
    x.missed = coco__sq_watch_look(&x, &err) != COCO_OK;
    coco_feed_ready(feed);
    while (poll(&stop, 1, ms) <= 0 && !coco_feed_stopping(feed)) coco__sq_watch_step(&x);
    coco_sqlite_close(x.s);
    return COCO_OK;
}
