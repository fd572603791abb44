/* watch.c - part of postgres.c: a table or query that is followed.
 *
 * Without notify the engine lists the rows anew in an interval; the watch only waits for the end. With it:
 *   1. The watch connects, listens, and sees to the triggers; then the rows are listed. So a commit is either in the
 *      listing's snapshot or told by a notification behind it (S8.7).
 *   2. A notification carries the key of a row as text; the key is touched, and coco__pg_get reads the row. Its text is
 *      that of the server's output functions under the settings of coco__pg_prepare, which the trigger's function sets
 *      too, so that a key told is the key listed.
 *   3. Where it isn't known what happened, all is listed anew: the connection was lost, triggers were missing, a
 *      notification has no key, there are too many of them, or a listing or look failed.
 * Every CHECK_MS it is asked whether the triggers are still there (a table that was replaced has none), which also
 * finds a connection that died without a word. Nothing here waits without looking for the end of the update. */

#define COCO__PG_POLL_MS 2000
#define COCO__PG_RESCAN_MS 3600000
#define COCO__PG_CHECK_MS 5000
#define COCO__PG_SLICE_MS 50         /* between two looks for the end, while nobody tells of it */
#define COCO__PG_RETRY_MS 100        /* doubling to … */
#define COCO__PG_RETRY_MAX_MS 10000
#define COCO__PG_TOUCHES 1000        /* notifications read at once that are worth a look each */
#define COCO__PG_NOTIFY_KEYS 32      /* columns of a key, as in the server's indexes */

typedef struct coco__pg_watcher {
    coco_feed *feed;     /* through which it tells */
    coco__pg_reader *rd; /* whose rows */
    PGconn *conn;        /* its own; NULL: none */
    char name[48];       /* of function, trigger and channel */
    unsigned retry_ms;   /* before the next try to connect */
    int64_t check_at;    /* ms of the steady clock */
    bool begun;          /* the listing no longer waits for the watch */
    bool lost;           /* there is no connection, and that was told */
    bool missed;         /* all must be listed anew */
} coco__pg_watcher;

static int64_t coco__pg_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- Waiting --------------------------------------------------------------------------------------------------- */

/* Waits for the server, at most so long: 1 it is ready, 0 it isn't, COCO_ESTOP the update ends. The descriptor tells of
 * the end only when the update's thread doesn't wait for the watch to begin. */
static int coco__pg_wait(const coco__pg_watcher *x, PGconn *conn, short events, int64_t ms)
{
    struct pollfd fds[2] = { { .fd = coco_feed_stop_fd(x->feed), .events = POLLIN },
                             { .fd = conn ? PQsocket(conn) : -1, .events = events } };
    int64_t until = coco__pg_ms() + (ms > 0 ? ms : 0), left;

    do {
        left = until - coco__pg_ms();
        if (!x->begun && left > COCO__PG_SLICE_MS) left = COCO__PG_SLICE_MS;
        poll(fds, 2, left > 0 ? (int)left : 0);
        if (coco_feed_stopping(x->feed)) return COCO_ESTOP;
    } while (!fds[1].revents && coco__pg_ms() < until);
    return fds[1].revents != 0;
}

/* Makes a connection; out is NULL after a failure. */
static coco_status coco__pg_watch_connect(const coco__pg_watcher *x, PGconn **out, coco_err *err)
{
    const coco_postgres *db = x->rd->db;
    PGconn *conn = coco__pg_dial(db, false);
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    int64_t until = coco__pg_ms() + (int64_t)db->opts.connect_timeout_s * 1000;
    int got = 1;

    while (conn && PQstatus(conn) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED &&
           got == 1) {
        got = coco__pg_wait(x, conn, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, until - coco__pg_ms());
        if (got == 1) state = PQconnectPoll(conn);
    }
    if (got == 1) return coco__pg_greet(db, conn, out, err);
    PQfinish(conn);
    *out = NULL;
    return got < 0 ? COCO_ESTOP : coco_transient(err, COCO_EIO, "connect: the server does not answer");
}

/* Runs SQL text (several statements are one transaction), and gives the last result, or NULL with err set. */
static PGresult *coco__pg_watch_query(const coco__pg_watcher *x, coco__pg_text *t, coco_err *err)
{
    PGresult *last = NULL, *r;
    int got = 1;

    if (t->failed) return coco_err_set(err, COCO_ENOMEM, "out of memory"), NULL;
    if (!PQsendQuery(x->conn, t->p)) return coco__pg_failed(x->conn, NULL, "", err), NULL;
    for (;;) {
        while (got >= 0 && PQisBusy(x->conn)) {
            got = coco__pg_wait(x, x->conn, POLLIN, COCO__PG_CHECK_MS);
            if (got == 1 && !PQconsumeInput(x->conn)) break;
        }
        if (got < 0) break; /* the connection is ended with what it does */
        if ((r = PQgetResult(x->conn)) == NULL) break;
        if (last && PQresultStatus(last) == PGRES_FATAL_ERROR) PQclear(r);
        else PQclear(last), last = r;
    }
    t->n = 0;
    if (got >= 0 && (PQresultStatus(last) == PGRES_TUPLES_OK || PQresultStatus(last) == PGRES_COMMAND_OK)) return last;
    if (got < 0) coco_err_set(err, COCO_ESTOP, "stopped");
    else coco__pg_failed(x->conn, last, "", err);
    PQclear(last);
    return NULL;
}

/* ---- The triggers ---------------------------------------------------------------------------------------------- */

/* The name stands for the table as the program names it, and for its key. */
static void coco__pg_watch_name(coco__pg_watcher *x)
{
    const coco__pg_reader *rd = x->rd;
    uint8_t fp[16];
    coco_hash h;
    size_t n;

    coco_hash_begin(&h);
    coco_hash_add(&h, "1", 1); /* of the function's text */
    if (rd->read.schema) coco_hash_add(&h, rd->read.schema, strlen(rd->read.schema) + 1);
    coco_hash_add(&h, rd->read.table, strlen(rd->read.table) + 1);
    for (size_t i = 0; i < rd->nkeys; i++) coco_hash_add(&h, rd->names[i], strlen(rd->names[i]) + 1);
    coco_hash_end(&h, fp);
    n = (size_t)snprintf(x->name, sizeof x->name, "coco_notify_");
    for (size_t i = 0; i < 16; i++) n += (size_t)snprintf(x->name + n, sizeof x->name - n, "%02x", fp[i]);
}

/* The key of the row NEW or OLD: its columns as text, with commas; ~ and commas inside are ~0 and ~1. */
static void coco__pg_put_told(coco__pg_text *t, const coco__pg_reader *rd, const char *row)
{
    for (size_t i = 0; i < rd->nkeys; i++)
        coco__pg_putf(t, "%sreplace(replace(format('%%s', %s.%i), '~', '~0'), ',', '~1')", i ? " || ',' || " : "", row,
                      rd->names[i]);
}

static void coco__pg_put_body(coco__pg_text *t, const coco__pg_watcher *x)
{
    static const char tell[] = "PERFORM pg_notify(%l, CASE WHEN octet_length(%s) > 7900 THEN '' ELSE %s END); ";

    coco__pg_putf(t, "DECLARE k text; was text; BEGIN "
                     "IF TG_OP = 'TRUNCATE' THEN PERFORM pg_notify(%l, ''); RETURN NULL; END IF; "
                     "IF TG_OP <> 'DELETE' THEN k := ", x->name);
    coco__pg_put_told(t, x->rd, "NEW");
    coco__pg_puts(t, "; ");
    coco__pg_putf(t, tell, x->name, "k", "k");
    coco__pg_puts(t, "END IF; IF TG_OP <> 'INSERT' THEN was := ");
    coco__pg_put_told(t, x->rd, "OLD");
    coco__pg_puts(t, "; IF was IS DISTINCT FROM k THEN ");
    coco__pg_putf(t, tell, x->name, "was", "was");
    coco__pg_puts(t, "END IF; END IF; RETURN NULL; END");
}

static void coco__pg_put_followed(coco__pg_text *t, const coco__pg_reader *rd)
{
    if (rd->read.schema) coco__pg_putf(t, "%i.", rd->read.schema);
    coco__pg_putf(t, "%i", rd->read.table);
}

static coco_status coco__pg_watch_install(const coco__pg_watcher *x, coco_err *err)
{
    static const char *const events[] = { "INSERT OR UPDATE OR DELETE", "TRUNCATE" };
    static const char *const each[] = { "ROW", "STATEMENT" };
    coco__pg_text body = { 0 }, t = { 0 };
    PGresult *r = NULL;

    coco__pg_put_body(&body, x);
    if (!body.failed)
        coco__pg_putf(&t, "CREATE OR REPLACE FUNCTION %i() RETURNS trigger LANGUAGE plpgsql "
                          "SET search_path = pg_catalog SET TimeZone = 'UTC' SET DateStyle = 'ISO, YMD' "
                          "SET IntervalStyle = 'iso_8601' SET bytea_output = 'hex' "
                          "SET standard_conforming_strings = on AS %l", x->name, body.p);
    for (int i = 0; i < 2; i++) {
        const char *all = i ? "_all" : "";
        coco__pg_putf(&t, "; DROP TRIGGER IF EXISTS \"%s%s\" ON ", x->name, all);
        coco__pg_put_followed(&t, x->rd);
        coco__pg_putf(&t, "; CREATE TRIGGER \"%s%s\" AFTER %s ON ", x->name, all, events[i]);
        coco__pg_put_followed(&t, x->rd);
        coco__pg_putf(&t, " FOR EACH %s EXECUTE FUNCTION %i()", each[i], x->name);
    }
    if (body.failed) coco_err_set(err, COCO_ENOMEM, "out of memory");
    else r = coco__pg_watch_query(x, &t, err);
    coco__pg_text_free(&body);
    coco__pg_text_free(&t);
    PQclear(r);
    return r ? COCO_OK : err->code;
}

/* Whether both triggers are there and fire. */
static coco_status coco__pg_watch_installed(const coco__pg_watcher *x, bool *there, coco_err *err)
{
    coco__pg_text table = { 0 }, t = { 0 };
    PGresult *r = NULL;

    coco__pg_put_followed(&table, x->rd);
    if (table.failed) coco_err_set(err, COCO_ENOMEM, "out of memory");
    else coco__pg_putf(&t, "SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgrelid = %l::regclass AND tgname IN "
                           "(%l, %l || '_all') AND tgenabled <> 'D'", table.p, x->name, x->name);
    if (!table.failed) r = coco__pg_watch_query(x, &t, err);
    if (r) *there = strcmp(PQgetvalue(r, 0, 0), "2") == 0;
    PQclear(r);
    coco__pg_text_free(&t);
    coco__pg_text_free(&table);
    return r ? COCO_OK : err->code;
}

/* Sees to the triggers; where they were missing, so may be what they would have told. */
static coco_status coco__pg_watch_check(coco__pg_watcher *x, coco_err *err)
{
    bool there = false;

    x->missed |= atomic_exchange(x->rd->broken, false);
    x->check_at = coco__pg_ms() + COCO__PG_CHECK_MS;
    COCO_TRY(coco__pg_watch_installed(x, &there, err));
    if (there) return COCO_OK;
    x->missed = true;
    return coco__pg_watch_install(x, err);
}

/* ---- Hearing --------------------------------------------------------------------------------------------------- */

/* One column of a key, in the place of its text. */
static coco_value coco__pg_heard(char *s, Oid type)
{
    uint8_t uuid[16];

    switch (type) {
    case COCO__PG_BOOL: return coco_bool(*s == 't');
    case COCO__PG_INT2: case COCO__PG_INT4: case COCO__PG_INT8: case COCO__PG_OID:
        return coco_int(strtoll(s, NULL, 10));
    case COCO__PG_BYTEA: return coco__pg_bytes_in((uint8_t *)s, s);
    case COCO__PG_TIMESTAMP: case COCO__PG_TIMESTAMPTZ: return coco__pg_moment_in(s, type == COCO__PG_TIMESTAMPTZ);
    case COCO__PG_UUID: return coco_uuid_parse(coco_str_of(s), uuid) ? coco_uuid(uuid) : coco_text(s);
    default: return coco_text(s);
    }
}

/* Ends the column at the next comma and undoes its escapes; gives the one behind, NULL: there is none. */
static char *coco__pg_heard_next(char *s)
{
    size_t n = strcspn(s, ",");
    char *behind = s[n] ? s + n + 1 : NULL, *to = s;

    s[n] = '\0';
    for (; *s; s++) {
        if (*s == '~' && s[1]) *to++ = *++s == '1' ? ',' : '~';
        else *to++ = *s;
    }
    *to = '\0';
    return behind;
}

/* Tells of the row with the key. */
static void coco__pg_hear_one(coco__pg_watcher *x, char *told)
{
    coco_value items[COCO__PG_NOTIFY_KEYS];
    size_t n = 0, want = x->rd->nkeys;

    for (char *s = *told ? told : NULL, *behind; s && n < want; s = behind) {
        behind = coco__pg_heard_next(s);
        items[n] = coco__pg_heard(s, x->rd->types[n]);
        n++;
    }
    if (n != want || coco_feed_touch(x->feed, n == 1 ? items[0] : coco_list(items, n)) != COCO_OK) x->missed = true;
}

static void coco__pg_hear(coco__pg_watcher *x)
{
    PGnotify *told;

    for (int n = 0; (told = PQnotifies(x->conn)) != NULL; n++) {
        if (n < COCO__PG_TOUCHES) coco__pg_hear_one(x, told->extra);
        else x->missed = true;
        PQfreemem(told);
    }
}

/* ---- One row --------------------------------------------------------------------------------------------------- */

static PGresult *coco__pg_get_query(coco_ctx *cx, const coco__pg_reader *rd, coco_value key, coco_err *err)
{
    const char *params[COCO__PG_NOTIFY_KEYS];
    coco__pg_text t = { 0 };
    PGresult *r = NULL;

    coco__pg_put_select(&t, rd);
    for (size_t i = 0; i < rd->nkeys; i++) {
        params[i] = coco__pg_param(cx, rd->nkeys == 1 ? key : coco_at(key, i));
        coco__pg_putf(&t, "%s%i = $%d", i ? " AND " : " WHERE ", rd->names[i], (int)i + 1);
    }
    if (t.failed) coco_err_set(err, COCO_ENOMEM, "out of memory");
    else r = coco__pg_query_with(rd->conn, t.p, (int)rd->nkeys, params, err);
    coco__pg_text_free(&t);
    return r;
}

/* Two texts may be equal to the server and different keys here (citext, numeric): then it is another row's. */
static int coco__pg_get(coco_source *src, coco_ctx *cx, coco_value key, coco_value *value)
{
    coco__pg_reader one = *(coco__pg_reader *)src->self;
    coco_err err = { 0 };
    coco_value is;
    int got = 0;

    COCO_TRY(coco__pg_take_cx(cx, one.db, &one.conn));
    one.at = 0;
    one.batch = coco__pg_get_query(cx, &one, key, &err);
    if (!one.batch) got = coco_fail(cx, err.code, "%s: %s", src->title, err.msg);
    else if (PQntuples(one.batch) > 1) got = coco_fail(cx, COCO_EDUP, "%s: rows with equal keys", src->title);
    else if (PQntuples(one.batch) == 1) got = coco__pg_item(cx, &one, &is, value);
    if (got == COCO_OK && one.batch && PQntuples(one.batch) == 1) got = coco_equal(is, key);
    PQclear(one.batch);
    coco__pg_give(one.db, one.conn);
    if (got < 0) atomic_store(one.broken, true);
    return got;
}

/* ---- The watch ------------------------------------------------------------------------------------------------- */

/* Gives the connection up. What fails without the connection being lost may be missed for long. */
static void coco__pg_watch_lose(coco__pg_watcher *x, const coco_err *err)
{
    if (!x->lost && err->code != COCO_ESTOP) coco_feed_fail(x->feed, err);
    x->missed |= x->lost && x->conn && PQstatus(x->conn) == CONNECTION_OK;
    x->lost = true;
    PQfinish(x->conn);
    x->conn = NULL;
}

static void coco__pg_watch_begin(coco__pg_watcher *x)
{
    coco__pg_text t = { 0 };
    coco_err err = { 0 };
    coco_status rc = coco__pg_watch_connect(x, &x->conn, &err);
    PGresult *r;

    /* triggers are made under a lock for which writers wait: better tried again than waited for */
    coco__pg_putf(&t, "SET lock_timeout = 2000; LISTEN %i", x->name);
    if (rc == COCO_OK && (r = coco__pg_watch_query(x, &t, &err)) == NULL) rc = err.code;
    else if (rc == COCO_OK) PQclear(r);
    coco__pg_text_free(&t);
    if (rc == COCO_OK) rc = coco__pg_watch_check(x, &err);
    if (rc != COCO_OK) {
        x->retry_ms = x->retry_ms * 2 < COCO__PG_RETRY_MAX_MS ? x->retry_ms * 2 : COCO__PG_RETRY_MAX_MS;
        coco__pg_watch_lose(x, &err);
        return;
    }
    x->missed |= x->lost;
    x->lost = false;
    x->retry_ms = COCO__PG_RETRY_MS;
}

static void coco__pg_watch_step(coco__pg_watcher *x)
{
    coco_err err = { 0 };
    coco_status rc = COCO_OK;

    if (x->missed && coco_feed_rescan(x->feed) == COCO_OK) x->missed = false;
    if (!x->conn) {
        if (coco__pg_wait(x, NULL, 0, x->retry_ms) >= 0) coco__pg_watch_begin(x);
        return;
    }
    if (coco__pg_wait(x, x->conn, POLLIN, x->check_at - coco__pg_ms()) < 0) return;
    if (!PQconsumeInput(x->conn)) rc = coco__pg_failed(x->conn, NULL, "listening", &err);
    else if (coco__pg_ms() >= x->check_at) rc = coco__pg_watch_check(x, &err);
    coco__pg_hear(x);
    if (rc != COCO_OK) coco__pg_watch_lose(x, &err);
}

/* On a thread of its own until the update ends. */
static coco_status coco__pg_watch(coco_source *src, coco_feed *feed)
{
    coco__pg_watcher x = { .feed = feed, .rd = src->self, .retry_ms = COCO__PG_RETRY_MS };

    coco__pg_watch_name(&x);
    coco__pg_watch_begin(&x);
    x.missed = false; /* the listing comes now */
    x.begun = true;
    coco_feed_ready(feed);
    while (!coco_feed_stopping(feed)) coco__pg_watch_step(&x);
    PQfinish(x.conn);
    return COCO_OK;
}

/* Without notify the engine's interval does it all. */
static coco_status coco__pg_watch_nothing(coco_source *src, coco_feed *feed)
{
    struct pollfd stop = { .fd = coco_feed_stop_fd(feed), .events = POLLIN };

    (void)src;
    while (!coco_feed_stopping(feed)) poll(&stop, 1, COCO__PG_CHECK_MS);
    return COCO_OK;
}

static coco_status coco__pg_follow(coco_ctx *cx, coco_source *src)
{
    coco__pg_reader *rd = src->self;
    bool notify = rd->read.notify;

    if (notify && rd->nkeys > COCO__PG_NOTIFY_KEYS)
        return coco_fail(cx, COCO_EINVAL, "%s: a table that notifies has a key of at most %d columns", src->title,
                         COCO__PG_NOTIFY_KEYS);
    if (!(rd->broken = coco_alloc(cx, sizeof *rd->broken))) return COCO_ENOMEM;
    atomic_init(rd->broken, false);
    src->rewind = coco__pg_rewind;
    src->watch = notify ? coco__pg_watch : coco__pg_watch_nothing;
    src->watch_first = notify;
    src->get = notify ? coco__pg_get : NULL;
    src->rescan_ms = rd->read.poll_ms ? rd->read.poll_ms : notify ? COCO__PG_RESCAN_MS : COCO__PG_POLL_MS;
    return COCO_OK;
}
