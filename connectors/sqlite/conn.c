/* conn.c - part of sqlite.c: connections, errors, running statements.
 *
 * Invariants:
 *   1. The file is opened at the first use and made at the first write: a preview makes nothing.
 *   2. A file that was deleted or replaced is noticed before each use (SQLite tells), and opened anew.
 *   3. Whoever uses `db` holds `lock`: sinks, existence checks and comparisons may come from different threads. */

struct coco__sq_table;

struct coco_sqlite {
    const char *path;            /* behind the struct, as are the other strings */
    const char *journal, *synchronous, *extensions; /* options, as given */
    unsigned busy_ms;
    bool owned;                  /* by SQLite's allocator; else it goes with the update */
    pthread_mutex_t lock;
    sqlite3 *db;                 /* NULL: not open */
    bool writes;                 /* the journal mode is set */
    bool fresh;                  /* … but the file was empty, and its own mode waits for the first rows */
    bool bulk;                   /* it knows the function of bulk.c */
    size_t max_actions;          /* rows in a transaction */
    struct coco__sq_table *tables; /* of updates that run: they have statements prepared */
    struct coco_sqlite *next;    /* in the update's list */
};

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

static coco_status coco__sq_status(int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY: case SQLITE_LOCKED: return COCO_EBUSY;
    case SQLITE_NOMEM: return COCO_ENOMEM;
    case SQLITE_FULL: return COCO_EFULL;
    case SQLITE_PERM: case SQLITE_READONLY: case SQLITE_AUTH: return COCO_EACCESS;
    case SQLITE_IOERR: case SQLITE_CANTOPEN: case SQLITE_CORRUPT: case SQLITE_NOTADB: return COCO_EIO;
    default: return COCO_EFAIL;
    }
}

/* Sets err to what SQLite said last, behind the file's name and a word of ours. A lock held by others passes. */
static coco_status coco__sq_error(coco_sqlite *s, coco_err *err, const char *what)
{
    int code = s->db ? sqlite3_extended_errcode(s->db) : SQLITE_NOMEM;
    coco_status rc = coco__sq_status(code);
    const char *words = s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code);

    coco_err_set(err, rc, "%s: %s%s%s", s->path, what ? what : "", what ? ": " : "", words);
    if (err && rc == COCO_EBUSY) err->transient = true;
    return rc;
}

static coco_status coco__sq_oom(coco_err *err)
{
    return coco_err_set(err, COCO_ENOMEM, "out of memory");
}

/* ---- Statements -------------------------------------------------------------------------------------------------- */

static coco_status coco__sq_exec(coco_sqlite *s, const char *sql, const char *what, coco_err *err)
{
    if (!sql) return coco__sq_oom(err);
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? COCO_OK : coco__sq_error(s, err, what);
}

/* The same with the text made as sqlite3_mprintf does: %w is for identifiers in "", %Q a literal, never for values of
 * rows. what is the table's name, for messages. */
static coco_status coco__sq_run(coco_sqlite *s, const char *what, coco_err *err, const char *fmt, ...)
{
    va_list ap;
    char *sql;
    coco_status rc;

    va_start(ap, fmt);
    sql = sqlite3_vmprintf(fmt, ap);
    va_end(ap);
    rc = coco__sq_exec(s, sql, what, err);
    sqlite3_free(sql);
    return rc;
}

/* Prepares a statement, made as above; finalized by the caller. */
static coco_status coco__sq_prepare(coco_sqlite *s, sqlite3_stmt **st, const char *what, coco_err *err, const char *fmt,
                                    ...)
{
    va_list ap;
    char *sql;
    int rc;

    *st = NULL;
    va_start(ap, fmt);
    sql = sqlite3_vmprintf(fmt, ap);
    va_end(ap);
    if (!sql) return coco__sq_oom(err);
    rc = sqlite3_prepare_v2(s->db, sql, -1, st, NULL);
    sqlite3_free(sql);
    return rc == SQLITE_OK ? COCO_OK : coco__sq_error(s, err, what);
}

/* Ends a statement, which was stepped until rc: COCO_OK where that says row or done. */
static coco_status coco__sq_done(coco_sqlite *s, sqlite3_stmt *st, int rc, const char *what, coco_err *err)
{
    coco_status status = rc == SQLITE_DONE || rc == SQLITE_ROW ? COCO_OK : coco__sq_error(s, err, what);

    sqlite3_finalize(st);
    return status;
}

/* Is there a table, view or virtual table of that name? */
static coco_status coco__sq_has(coco_sqlite *s, const char *name, bool *has, coco_err *err)
{
    sqlite3_stmt *st;
    int rc;

    COCO_TRY(coco__sq_prepare(s, &st, name, err, "SELECT 1 FROM sqlite_schema WHERE name = %Q COLLATE NOCASE "
                              "AND type IN ('table', 'view')", name));
    rc = sqlite3_step(st);
    *has = rc == SQLITE_ROW;
    return coco__sq_done(s, st, rc, name, err);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static void coco__sq_forget_statements(coco_sqlite *s);

/* Statements go first; what is still open elsewhere (a reader of the program's) keeps the handle alive until it is
 * closed. */
static void coco__sq_disconnect(coco_sqlite *s)
{
    coco__sq_forget_statements(s);
    sqlite3_close_v2(s->db);
    s->db = NULL;
    s->writes = s->fresh = s->bulk = false;
}

static coco_status coco__sq_load(coco_sqlite *s, const char *line, size_t n, coco_err *err)
{
    char *file = sqlite3_mprintf("%.*s", (int)n, line), *words = NULL;
    coco_status rc = COCO_OK;

    if (!file) return coco__sq_oom(err);
    if (sqlite3_load_extension(s->db, file, NULL, &words) != SQLITE_OK)
        rc = coco_err_set(err, COCO_EFAIL, "%s: the extension %s can't be loaded: %s", s->path, file,
                          words ? words : "unknown");
    sqlite3_free(words);
    sqlite3_free(file);
    return rc;
}

/* Loading is allowed only while the listed files are loaded: SQL can't load more. */
static coco_status coco__sq_extensions(coco_sqlite *s, coco_err *err)
{
    const char *line = s->extensions;

    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
    for (size_t n; line && *line; line += n + (line[n] == '\n')) {
        n = strcspn(line, "\n");
        if (n) COCO_TRY(coco__sq_load(s, line, n, err));
    }
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    return COCO_OK;
}

static coco_status coco__sq_connect(coco_sqlite *s, bool write, coco_err *err)
{
    int flags = SQLITE_OPEN_READWRITE | (write ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_FULLMUTEX;
    coco_status rc = COCO_OK;

    if (sqlite3_open_v2(s->path, &s->db, flags, NULL) != SQLITE_OK) rc = coco__sq_error(s, err, NULL);
    if (rc == COCO_OK) {
        sqlite3_extended_result_codes(s->db, 1);
        sqlite3_busy_timeout(s->db, (int)s->busy_ms);
        rc = coco__sq_extensions(s, err);
    }
    if (rc != COCO_OK) coco__sq_disconnect(s);
    return rc;
}

/* Is it to be WAL, and empty? In a file that holds nothing a rollback journal has nothing to keep: its first rows are
 * written once; in WAL they are written into the log, and from there into the file. */
static coco_status coco__sq_fresh(coco_sqlite *s, coco_err *err)
{
    sqlite3_stmt *st;
    int rc;

    if (sqlite3_stricmp(s->journal, "wal") != 0) return COCO_OK;
    COCO_TRY(coco__sq_prepare(s, &st, "page count", err, "PRAGMA page_count"));
    rc = sqlite3_step(st);
    s->fresh = rc == SQLITE_ROW && sqlite3_column_int(st, 0) == 0;
    return coco__sq_done(s, st, rc, "page count", err);
}

/* Has the connection open. Without write, a file that isn't there leaves it closed (s->db NULL), and that is no error.
 * The lock is held. */
static coco_status coco__sq_ready(coco_sqlite *s, bool write, coco_err *err)
{
    struct stat st;
    int moved = 0;

    if (s->db && sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved)
        coco__sq_disconnect(s);
    if (!s->db && !write && stat(s->path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR)) return COCO_OK;
    if (!s->db) COCO_TRY(coco__sq_connect(s, write, err));
    if (!write || s->writes) return COCO_OK;
    COCO_TRY(coco__sq_fresh(s, err));
    if (s->journal[0] && !s->fresh)
        COCO_TRY(coco__sq_run(s, "journal mode", err, "PRAGMA journal_mode = %Q", s->journal));
    COCO_TRY(coco__sq_run(s, "synchronous", err, "PRAGMA synchronous = %Q", s->synchronous));
    s->writes = true;
    return COCO_OK;
}

/* After the first rows of a new file, at the end of an update at the latest: the journal mode is set. Where somebody is
 * in the way it is tried again before the next batch. */
static void coco__sq_settle(coco_sqlite *s)
{
    if (!s->fresh) return;
    s->fresh = s->writes = false;
    (void)coco__sq_ready(s, true, NULL);
}

/* ---- Making and ending ------------------------------------------------------------------------------------------- */

static const coco_sqlite_opts coco__sq_defaults;

/* Bytes of a connection with its strings. */
static size_t coco__sq_size(const char *path, const coco_sqlite_opts *o)
{
    size_t n = sizeof(coco_sqlite) + strlen(path) + 1 + 64;

    n += o->journal ? strlen(o->journal) : 0;
    n += o->synchronous ? strlen(o->synchronous) : 0;
    return n + (o->extensions ? strlen(o->extensions) : 0);
}

static const char *coco__sq_string(char **at, const char *s)
{
    char *copy = strcpy(*at, s);

    *at += strlen(s) + 1;
    return copy;
}

/* Fills in zeroed memory of that size. */
static void coco__sq_init(coco_sqlite *s, const char *path, const coco_sqlite_opts *o)
{
    char *at = (char *)(s + 1);

    s->path = coco__sq_string(&at, path);
    s->journal = coco__sq_string(&at, o->journal ? o->journal : "wal");
    s->synchronous = coco__sq_string(&at, o->synchronous ? o->synchronous : "normal");
    s->extensions = coco__sq_string(&at, o->extensions ? o->extensions : "");
    s->busy_ms = o->busy_ms ? o->busy_ms : 10000;
    s->max_actions = o->max_actions ? o->max_actions : 10000;
    pthread_mutex_init(&s->lock, NULL);
}

coco_status coco_sqlite_open(const char *path, const coco_sqlite_opts *opts, coco_sqlite **db, coco_err *err)
{
    const coco_sqlite_opts *o = opts ? opts : &coco__sq_defaults;
    size_t n;

    *db = NULL;
    if (!path || !*path) return coco_err_set(err, COCO_EINVAL, "the database has an empty path");
    if (o->busy_ms > INT32_MAX) return coco_err_set(err, COCO_EINVAL, "%s: busy_ms is too large", path);
    n = coco__sq_size(path, o);
    if (!(*db = sqlite3_malloc64(n))) return coco__sq_oom(err);
    memset(*db, 0, n);
    coco__sq_init(*db, path, o);
    (*db)->owned = true;
    return COCO_OK;
}

void coco_sqlite_close(coco_sqlite *db)
{
    if (!db) return;
    coco__sq_disconnect(db);
    pthread_mutex_destroy(&db->lock);
    if (db->owned) sqlite3_free(db);
}

static void coco__sq_close_object(void *object)
{
    coco_sqlite_close(object);
}

coco_class coco_sqlite_class = { .type = "coco_sqlite" };

coco_value coco_sqlite_value(coco_sqlite *db)
{
    return coco_object(&coco_sqlite_class, db);
}

coco_sqlite *coco_sqlite_of(coco_value v)
{
    return v.kind == COCO_OBJECT ? coco_object_of(v, &coco_sqlite_class) : NULL;
}

coco_status coco_sqlite_provide(coco_ctx *cx, const coco_key *key, const char *path, const coco_sqlite_opts *opts)
{
    coco_sqlite *db;
    coco_err err;
    coco_status rc = coco_sqlite_open(path, opts, &db, &err);

    if (rc != COCO_OK) return coco_fail(cx, rc, "%s", err.msg);
    rc = coco_provide_close(cx, key, coco_sqlite_value(db), coco__sq_close_object);
    if (rc != COCO_OK) coco_sqlite_close(db);
    return rc;
}

struct sqlite3 *coco_sqlite_handle(coco_sqlite *db, coco_err *err)
{
    coco_status rc;

    pthread_mutex_lock(&db->lock);
    rc = coco__sq_ready(db, false, err);
    pthread_mutex_unlock(&db->lock);
    if (rc == COCO_OK && !db->db) coco_err_set(err, COCO_ENOTFOUND, "%s: no such file", db->path);
    return rc == COCO_OK ? db->db : NULL;
}
