/* connect.c - part of postgres.c: connections, their errors, and SQL text.
 *
 * Invariants:
 *   1. A connection is used by one thread between take and give. At most COCO__PG_IDLE wait for their next use; more
 *      are closed when they are given back, and so is one that broke or was left inside a transaction.
 *   2. What libpq says of a connection string is never passed on, and in every other message the password is blotted
 *      out: the string reaches no error, log or state.
 *   3. Memory of the sink is libpq's: it hangs on an empty PGresult and goes with it. */

#define COCO__PG_IDLE 64

struct coco_postgres {
    coco_postgres_opts opts; /* with defaults filled in */
    const char *conninfo;    /* may hold a password */
    pthread_mutex_t lock;    /* guards idle, and the tables of the updates that use it */
    PGconn *idle[COCO__PG_IDLE];
    size_t nidle;
    PGconn *held;            /* the program's own (coco_postgres_handle) */
    PGresult *mem;           /* owns this */
};

/* ---- SQL text -------------------------------------------------------------------------------------------------- */

/* A growing text in libpq's memory. What it outgrew goes with the rest. */
typedef struct coco__pg_text {
    PGresult *mem;  /* owns p */
    char *p;        /* NUL-terminated; NULL where memory ran out or nothing was put */
    size_t n, cap;
    bool failed;    /* memory ran out */
} coco__pg_text;

static void *coco__pg_alloc(PGresult **mem, size_t n)
{
    if (!*mem) *mem = PQmakeEmptyPGresult(NULL, PGRES_EMPTY_QUERY);
    return *mem ? PQresultAlloc(*mem, n ? n : 1) : NULL;
}

static void coco__pg_put(coco__pg_text *t, const char *p, size_t n)
{
    size_t cap = t->cap ? t->cap : 512;
    char *bigger;

    while (cap < t->n + n + 1) cap *= 2;
    if (cap != t->cap && !t->failed) {
        if (!(bigger = coco__pg_alloc(&t->mem, cap))) t->failed = true;
        else if (t->n) memcpy(bigger, t->p, t->n);
        t->p = bigger;
        t->cap = cap;
    }
    if (t->failed) return;
    memcpy(t->p + t->n, p, n);
    t->p[t->n += n] = '\0';
}

static void coco__pg_puts(coco__pg_text *t, const char *s)
{
    coco__pg_put(t, s, strlen(s));
}

/* The text in quotes, which are doubled inside: an identifier with ", a literal with '. */
static void coco__pg_quote(coco__pg_text *t, const char *s, char quote)
{
    coco__pg_put(t, &quote, 1);
    for (size_t n; *s; s += n) {
        n = strcspn(s, (char[]){ quote, '\0' });
        coco__pg_put(t, s, n);
        if (s[n] != quote) continue;
        coco__pg_put(t, (char[]){ quote, quote }, 2);
        n++;
    }
    coco__pg_put(t, &quote, 1);
}

/* Formats: %s a text as it is, %i an identifier in quotes, %l a literal, %d an int, %% itself. */
static void coco__pg_putf(coco__pg_text *t, const char *fmt, ...)
{
    char number[16];
    va_list ap;

    va_start(ap, fmt);
    for (size_t n; *fmt; fmt += n) {
        if (*fmt != '%') {
            coco__pg_put(t, fmt, n = strcspn(fmt, "%"));
            continue;
        }
        n = 2;
        if (fmt[1] == 's') coco__pg_puts(t, va_arg(ap, const char *));
        else if (fmt[1] == 'i') coco__pg_quote(t, va_arg(ap, const char *), '"');
        else if (fmt[1] == 'l') coco__pg_quote(t, va_arg(ap, const char *), '\'');
        else if (fmt[1] == '%') coco__pg_puts(t, "%");
        else snprintf(number, sizeof number, "%d", va_arg(ap, int)), coco__pg_puts(t, number);
    }
    va_end(ap);
}

static void coco__pg_text_free(coco__pg_text *t)
{
    PQclear(t->mem);
    *t = (coco__pg_text){ 0 };
}

/* ---- Errors ---------------------------------------------------------------------------------------------------- */

/* What a SQLSTATE means here. Classes 08 (connection), 40 (rolled back: deadlock), 53 (resources), 57 (the operator's
 * doing) and a lock that couldn't be had pass by themselves. */
static coco_status coco__pg_status(const char *state, bool *transient)
{
    static const struct {
        const char *prefix;
        bool transient;
        coco_status code;
    } known[] = {
        { "53100", true, COCO_EFULL },    { "08", true, COCO_EIO },         { "40", true, COCO_EIO },
        { "53", true, COCO_EIO },         { "57", true, COCO_EIO },         { "55P03", true, COCO_EIO },
        { "28", false, COCO_EACCESS },    { "42501", false, COCO_EACCESS }, { "42P01", false, COCO_ENOTFOUND },
        { "3D000", false, COCO_ENOTFOUND },
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strncmp(state, known[i].prefix, strlen(known[i].prefix)) != 0) continue;
        *transient = known[i].transient;
        return known[i].code;
    }
    *transient = false;
    return COCO_EFAIL;
}

/* Blots the secret out of the text, and makes it one line. */
static void coco__pg_blot(char *text, const char *secret)
{
    size_t n = secret ? strlen(secret) : 0, end = strlen(text);

    for (char *at = text; n && (at = strstr(at, secret)) != NULL; at += n) memset(at, '*', n);
    for (size_t i = 0; i < end; i++)
        if (text[i] == '\n' || text[i] == '\t') text[i] = ' ';
    while (end && text[end - 1] == ' ') text[--end] = '\0';
}

/* Sets err from a result that failed (or, r NULL, from the connection), in the server's words. */
static coco_status coco__pg_failed(PGconn *conn, const PGresult *r, const char *what, coco_err *err)
{
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    const char *said = r ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = r ? PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL) : NULL;
    char text[COCO_ERR_MAX];
    bool transient = true; /* without a state it is the connection that failed */
    coco_status code = state ? coco__pg_status(state, &transient) : COCO_EIO;

    if (!said) said = PQerrorMessage(conn);
    if (!*said) said = "the connection is lost";
    snprintf(text, sizeof text, "%s%s%s%s%s%s%s%s", what, *what ? ": " : "", said, detail ? ": " : "",
             detail ? detail : "", state ? " (SQLSTATE " : "", state ? state : "", state ? ")" : "");
    coco__pg_blot(text, PQpass(conn));
    return transient ? coco_transient(err, code, "%s", text) : coco_err_set(err, code, "%s", text);
}

/* ---- Connections ----------------------------------------------------------------------------------------------- */

static void coco__pg_silent(void *user, const PGresult *r)
{
    (void)user, (void)r; /* notices are for people at a prompt */
}

/* How values are read and written, and how long anything may take. */
static coco_status coco__pg_prepare(const coco_postgres *db, PGconn *conn, coco_err *err)
{
    char sql[500];
    PGresult *r;
    coco_status rc = COCO_OK;

    snprintf(sql, sizeof sql,
             "SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; "
             "SET IntervalStyle = 'iso_8601'; SET extra_float_digits = 3; SET bytea_output = 'hex'; "
             "SET standard_conforming_strings = on; SET statement_timeout = %u; SET lock_timeout = %u",
             db->opts.statement_timeout_ms, db->opts.lock_timeout_ms);
    PQsetNoticeReceiver(conn, coco__pg_silent, NULL);
    r = PQexec(conn, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK) rc = coco__pg_failed(conn, r, "connect", err);
    PQclear(r);
    return rc;
}

/* The server's refusal of a connection has no SQLSTATE in libpq's interface; what it says of credentials and of a
 * database that isn't there does not pass by itself. */
static bool coco__pg_hopeless(const char *message)
{
    static const char *const words[] = { "authentication failed", "does not exist", "no pg_hba.conf entry",
                                         "no password supplied", "not permitted to log in", "permission denied" };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(message, words[i])) return true;
    return false;
}

/* A connection that is made (waits), or whose making has begun. */
static PGconn *coco__pg_dial(const coco_postgres *db, bool waits)
{
    char timeout[16];
    /* what stands later wins: the connection string, which dbname may be */
    const char *keys[] = { "connect_timeout", "fallback_application_name", "dbname", NULL };
    const char *values[] = { timeout, "cocoindex", db->conninfo, NULL };

    snprintf(timeout, sizeof timeout, "%u", db->opts.connect_timeout_s);
    return waits ? PQconnectdbParams(keys, values, 1) : PQconnectStartParams(keys, values, 1);
}

/* Has a connection that was made, or wasn't, ready for use; else ends it and gives NULL. */
static coco_status coco__pg_greet(const coco_postgres *db, PGconn *conn, PGconn **out, coco_err *err)
{
    char text[COCO_ERR_MAX];
    coco_status rc = COCO_EIO;

    *out = conn;
    if (!conn) return coco_err_set(err, COCO_ENOMEM, "out of memory");
    if (PQstatus(conn) == CONNECTION_OK && (rc = coco__pg_prepare(db, conn, err)) == COCO_OK) return COCO_OK;
    if (PQstatus(conn) != CONNECTION_OK) {
        snprintf(text, sizeof text, "%s", PQerrorMessage(conn));
        coco__pg_blot(text, PQpass(conn));
        rc = coco__pg_hopeless(text) ? coco_err_set(err, COCO_EACCESS, "connect: %s", text)
                                     : coco_transient(err, COCO_EIO, "connect: %s", text);
    }
    PQfinish(conn);
    *out = NULL;
    return rc;
}

static coco_status coco__pg_connect(const coco_postgres *db, PGconn **out, coco_err *err)
{
    return coco__pg_greet(db, coco__pg_dial(db, true), out, err);
}

/* Whether a connection that waited is still good: a server that ended it has sent its reason, and then the end. */
static bool coco__pg_alive(PGconn *conn)
{
    struct pollfd fd = { .fd = PQsocket(conn), .events = POLLIN };

    while (PQstatus(conn) == CONNECTION_OK && poll(&fd, 1, 0) > 0)
        if (!PQconsumeInput(conn)) return false;
    return PQstatus(conn) == CONNECTION_OK;
}

/* A connection of the pool, or a new one. One whose server has closed it in the meantime is passed over. */
static coco_status coco__pg_take(coco_postgres *db, PGconn **out, coco_err *err)
{
    for (;;) {
        pthread_mutex_lock(&db->lock);
        *out = db->nidle ? db->idle[--db->nidle] : NULL;
        pthread_mutex_unlock(&db->lock);
        if (!*out) return coco__pg_connect(db, out, err);
        if (coco__pg_alive(*out)) return COCO_OK;
        PQfinish(*out);
    }
}

/* Closes what waits: where one connection has died, the others mostly have too. */
static void coco__pg_empty_pool(coco_postgres *db)
{
    pthread_mutex_lock(&db->lock);
    while (db->nidle) PQfinish(db->idle[--db->nidle]);
    pthread_mutex_unlock(&db->lock);
}

static void coco__pg_give(coco_postgres *db, PGconn *conn)
{
    bool keep;

    if (!conn) return;
    keep = PQstatus(conn) == CONNECTION_OK && PQtransactionStatus(conn) == PQTRANS_IDLE;
    pthread_mutex_lock(&db->lock);
    keep = keep && db->nidle < COCO__PG_IDLE;
    if (keep) db->idle[db->nidle++] = conn;
    pthread_mutex_unlock(&db->lock);
    if (keep) return;
    if (PQstatus(conn) != CONNECTION_OK) coco__pg_empty_pool(db);
    PQfinish(conn);
}

/* Takes a connection for a function or hook, trying for a while with growing pauses: the sink has the engine's
 * retries, these have none. */
static coco_status coco__pg_take_patiently(coco_ctx *cx, coco_postgres *db, PGconn **out, coco_err *err)
{
    coco_status rc;

    for (unsigned wait = 20, waited = 0;; waited += wait, wait *= 2) {
        err->transient = false;
        if ((rc = coco__pg_take(db, out, err)) == COCO_OK) return rc;
        if (!err->transient || waited + wait > db->opts.retry_ms) return rc;
        if ((rc = coco_checkpoint(cx)) != COCO_OK) return coco_err_set(err, rc, "%s", coco_status_text(rc));
        nanosleep(&(struct timespec){ wait / 1000, (long)(wait % 1000) * 1000000 }, NULL);
    }
}

static coco_status coco__pg_take_cx(coco_ctx *cx, coco_postgres *db, PGconn **out)
{
    coco_err err = { 0 };
    coco_status rc = coco__pg_take_patiently(cx, db, out, &err);

    return rc == COCO_OK ? rc : coco_fail(cx, rc, "%s", err.msg);
}

/* ---- Statements ------------------------------------------------------------------------------------------------ */

/* Runs SQL text and gives its result, to be cleared; NULL after a failure, with err set. */
static PGresult *coco__pg_query(PGconn *conn, const char *sql, coco_err *err)
{
    PGresult *r = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(r);

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) return r;
    coco__pg_failed(conn, r, "", err);
    PQclear(r);
    return NULL;
}

/* The same with text parameters. */
static PGresult *coco__pg_query_with(PGconn *conn, const char *sql, int n, const char *const *params, coco_err *err)
{
    PGresult *r = PQexecParams(conn, sql, n, NULL, params, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(r);

    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return r;
    coco__pg_failed(conn, r, "", err);
    PQclear(r);
    return NULL;
}

static coco_status coco__pg_exec(PGconn *conn, const char *sql, coco_err *err)
{
    PGresult *r = coco__pg_query(conn, sql, err);

    PQclear(r);
    return r ? COCO_OK : err->code;
}

/* Runs a text that was put together, and empties it for the next. */
static coco_status coco__pg_exec_text(PGconn *conn, coco__pg_text *t, coco_err *err)
{
    coco_status rc = t->failed ? coco_err_set(err, COCO_ENOMEM, "out of memory") : coco__pg_exec(conn, t->p, err);

    t->n = 0;
    return rc;
}

/* Runs the program's own SQL: first the teardown (may be empty), of which what isn't there is no failure. Inside a
 * transaction. */
static coco_status coco__pg_exec_setup(PGconn *conn, const char *teardown, const char *setup, coco_err *err)
{
    static const char *const absent[] = { "42P01", "42704", "42883", "42703", "3F000" };
    const char *state;
    PGresult *r;
    bool ignored = false;

    COCO_TRY(coco__pg_exec(conn, "SAVEPOINT coco", err));
    r = PQexec(conn, teardown);
    state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    for (size_t i = 0; state && i < sizeof absent / sizeof absent[0]; i++) ignored |= strcmp(state, absent[i]) == 0;
    if (state && !ignored) coco__pg_failed(conn, r, "teardown", err);
    PQclear(r);
    if (state && !ignored) return err->code;
    if (ignored) COCO_TRY(coco__pg_exec(conn, "ROLLBACK TO SAVEPOINT coco", err));
    return coco__pg_exec(conn, setup, err);
}

/* Whether the query gives a row, whose first column is true. */
static coco_status coco__pg_ask(PGconn *conn, coco__pg_text *t, bool *yes, coco_err *err)
{
    PGresult *r;

    *yes = false;
    if (t->failed) return coco_err_set(err, COCO_ENOMEM, "out of memory");
    if (!(r = coco__pg_query(conn, t->p, err))) return err->code;
    *yes = PQntuples(r) > 0 && *PQgetvalue(r, 0, 0) == 't';
    PQclear(r);
    t->n = 0;
    return COCO_OK;
}

/* ---- Opening --------------------------------------------------------------------------------------------------- */

static coco_status coco__pg_check_conninfo(const char *conninfo, coco_err *err)
{
    char *said = NULL;
    PQconninfoOption *parsed = PQconninfoParse(conninfo, &said);
    bool bad = said != NULL;

    PQfreemem(said); /* it quotes from the string, which may hold a password */
    PQconninfoFree(parsed);
    if (bad) return coco_err_set(err, COCO_EINVAL, "the connection string is malformed (it isn't shown, for it may "
                                 "hold a password)");
    return parsed ? COCO_OK : coco_err_set(err, COCO_ENOMEM, "out of memory");
}

coco_status coco_postgres_open(const char *conninfo, const coco_postgres_opts *opts, coco_postgres **out, coco_err *err)
{
    PGresult *mem = NULL;
    coco_postgres *db;
    size_t n;

    *out = NULL;
    if (!conninfo) conninfo = "";
    n = strlen(conninfo);
    COCO_TRY(coco__pg_check_conninfo(conninfo, err));
    if (!(db = coco__pg_alloc(&mem, sizeof *db + n + 1)) || pthread_mutex_init(&db->lock, NULL) != 0) {
        PQclear(mem);
        return coco_err_set(err, COCO_ENOMEM, "out of memory");
    }
    db->mem = mem;
    db->conninfo = memcpy(db + 1, conninfo, n + 1);
    db->held = NULL;
    db->nidle = 0;
    db->opts = opts ? *opts : (coco_postgres_opts){ 0 };
    if (!db->opts.connect_timeout_s) db->opts.connect_timeout_s = 10;
    if (!db->opts.statement_timeout_ms) db->opts.statement_timeout_ms = 600000;
    if (!db->opts.lock_timeout_ms) db->opts.lock_timeout_ms = 30000;
    if (!db->opts.retry_ms) db->opts.retry_ms = 10000;
    *out = db;
    return COCO_OK;
}

void coco_postgres_close(coco_postgres *db)
{
    if (!db) return;
    PQfinish(db->held);
    coco__pg_empty_pool(db);
    pthread_mutex_destroy(&db->lock);
    PQclear(db->mem);
}

struct pg_conn *coco_postgres_handle(coco_postgres *db, coco_err *err)
{
    if (db->held && PQstatus(db->held) == CONNECTION_OK) return db->held;
    PQfinish(db->held);
    db->held = NULL;
    return coco__pg_take(db, &db->held, err) == COCO_OK ? db->held : NULL;
}

coco_class coco_postgres_class = { .type = "coco_postgres" };

coco_value coco_postgres_value(coco_postgres *db)
{
    return coco_object(&coco_postgres_class, db);
}

coco_postgres *coco_postgres_of(coco_value v)
{
    return coco_object_of(v, &coco_postgres_class);
}

static void coco__pg_close(void *object)
{
    coco_postgres_close(object);
}

coco_status coco_postgres_provide(coco_ctx *cx, const coco_key *key, const char *conninfo,
                                  const coco_postgres_opts *opts)
{
    coco_err err = { 0 };
    coco_postgres *db;
    coco_status rc = coco_postgres_open(conninfo, opts, &db, &err);

    if (rc != COCO_OK) return coco_fail(cx, rc, "%s: %s", key->name, err.msg);
    rc = coco_provide_close(cx, key, coco_postgres_value(db), coco__pg_close);
    if (rc != COCO_OK) coco_postgres_close(db);
    return rc;
}

/* The connection that a program named by its context key; NULL with the error kept in cx. */
static coco_postgres *coco__pg_db(coco_ctx *cx, coco_value ref, const char **name)
{
    const coco_key *key = coco_context_ref_of(ref);
    coco_postgres *db;

    if (!key) {
        coco_fail(cx, COCO_ETYPE, "a PostgreSQL connection is named by coco_context_ref of its key");
        return NULL;
    }
    *name = key->name;
    if ((db = coco_postgres_of(coco_context(cx, key))) != NULL) return db;
    if (!coco_error(cx)) coco_fail(cx, COCO_ETYPE, "the context value \"%s\" is no PostgreSQL connection", key->name);
    return NULL;
}
