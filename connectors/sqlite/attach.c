/* attach.c - part of sqlite.c: what a table has besides rows: indexes, full-text indexes, SQL of the program's own.
 *
 * Each is a text that sets it up and one that takes it down; both stand in the table "coco_attachments" from the
 * transaction that set it up. So it can be taken down from there alone: when it is changed or no longer declared, when
 * its table is dropped, and when a rebuilt table takes the place of the old one. While a table is being rebuilt, what
 * is declared for it waits there (pending) for that moment. */

#define COCO__SQ_BOOK "coco_attachments"

/* The book is there only while it has entries: a database without attachments holds nothing of ours but tables. */
static coco_status coco__sq_book_make(coco_sqlite *s, coco_err *err)
{
    return coco__sq_exec(s, "CREATE TABLE IF NOT EXISTS " COCO__SQ_BOOK " (tbl TEXT NOT NULL, kind TEXT NOT NULL, "
                         "name TEXT NOT NULL, pending INTEGER NOT NULL, setup TEXT NOT NULL, teardown TEXT, "
                         "PRIMARY KEY (tbl, kind, name, pending)) WITHOUT ROWID", COCO__SQ_BOOK, err);
}

/* Takes the book away with its last entry. */
static coco_status coco__sq_book_tidy(coco_sqlite *s, coco_err *err)
{
    sqlite3_stmt *st;
    bool has, empty;
    int rc;

    COCO_TRY(coco__sq_has(s, COCO__SQ_BOOK, &has, err));
    if (!has) return COCO_OK;
    COCO_TRY(coco__sq_prepare(s, &st, COCO__SQ_BOOK, err, "SELECT 1 FROM " COCO__SQ_BOOK));
    rc = sqlite3_step(st);
    empty = rc == SQLITE_DONE;
    COCO_TRY(coco__sq_done(s, st, rc, COCO__SQ_BOOK, err));
    return empty ? coco__sq_exec(s, "DROP TABLE " COCO__SQ_BOOK, COCO__SQ_BOOK, err) : COCO_OK;
}

/* One entry of the book, in memory of its own. */
typedef struct coco__sq_entry {
    char *setup, *teardown; /* teardown may be NULL */
} coco__sq_entry;

typedef struct coco__sq_list {
    coco__sq_entry *v;
    size_t n;
} coco__sq_list;

static void coco__sq_entries_free(coco__sq_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        sqlite3_free(list->v[i].setup);
        sqlite3_free(list->v[i].teardown);
    }
    sqlite3_free(list->v);
}

/* Reads the entries of a table (kind and name NULL: all), so that no statement is open while their SQL runs. */
static coco_status coco__sq_entries(coco_sqlite *s, const char *const what[3], bool pending, coco__sq_list *list,
                                    coco_err *err)
{
    coco__sq_entry **v = &list->v;
    size_t *n = &list->n;
    sqlite3_stmt *st;
    int rc;

    *list = (coco__sq_list){ NULL, 0 };
    COCO_TRY(coco__sq_prepare(s, &st, what[0], err, "SELECT setup, teardown FROM " COCO__SQ_BOOK " WHERE tbl = %Q AND "
                              "(%Q IS NULL OR (kind = %Q AND name = %Q)) AND pending = %d", what[0], what[1], what[1],
                              what[2], pending));
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        coco__sq_entry *more = sqlite3_realloc64(*v, (*n + 1) * sizeof *more);
        if (!more) break;
        *v = more;
        more[*n] = (coco__sq_entry){ NULL, NULL };
        ++*n;
        if (!coco__sq_text(st, 0, &more[*n - 1].setup) || !coco__sq_text(st, 1, &more[*n - 1].teardown)) break;
    }
    if (rc != SQLITE_ROW) return coco__sq_done(s, st, rc, what[0], err);
    sqlite3_finalize(st);
    return coco__sq_oom(err);
}

/* Takes down, by the book, the attachments of a table (kind and name NULL: all), and strikes them out. */
static coco_status coco__sq_take_down(coco_sqlite *s, const char *const what[3], coco_err *err)
{
    coco__sq_list list;
    bool has;
    coco_status rc;

    COCO_TRY(coco__sq_has(s, COCO__SQ_BOOK, &has, err));
    if (!has) return COCO_OK;
    rc = coco__sq_entries(s, what, false, &list, err);
    for (size_t i = 0; rc == COCO_OK && i < list.n; i++)
        if (list.v[i].teardown) rc = coco__sq_exec(s, list.v[i].teardown, what[0], err);
    coco__sq_entries_free(&list);
    if (rc != COCO_OK) return rc;
    return coco__sq_run(s, what[0], err, "DELETE FROM " COCO__SQ_BOOK " WHERE tbl = %Q AND (%Q IS NULL OR "
                        "(kind = %Q AND name = %Q)) AND pending = 0", what[0], what[1], what[1], what[2]);
}

/* Strikes out what waits for a table to be rebuilt (kind and name NULL: all of it). */
static coco_status coco__sq_unwait(coco_sqlite *s, const char *const what[3], coco_err *err)
{
    bool has;

    COCO_TRY(coco__sq_has(s, COCO__SQ_BOOK, &has, err));
    if (!has) return COCO_OK;
    return coco__sq_run(s, what[0], err, "DELETE FROM " COCO__SQ_BOOK " WHERE tbl = %Q AND (%Q IS NULL OR "
                        "(kind = %Q AND name = %Q)) AND pending = 1", what[0], what[1], what[1], what[2]);
}

/* Sets up what waited, the rebuilt table being in its place now. */
static coco_status coco__sq_set_up_waiting(coco_sqlite *s, const char *table, coco_err *err)
{
    const char *what[3] = { table, NULL, NULL };
    coco__sq_list list;
    bool has;
    coco_status rc;

    COCO_TRY(coco__sq_has(s, COCO__SQ_BOOK, &has, err));
    if (!has) return COCO_OK;
    rc = coco__sq_entries(s, what, true, &list, err);
    for (size_t i = 0; rc == COCO_OK && i < list.n; i++) rc = coco__sq_exec(s, list.v[i].setup, table, err);
    coco__sq_entries_free(&list);
    if (rc != COCO_OK) return rc;
    return coco__sq_run(s, table, err, "UPDATE " COCO__SQ_BOOK " SET pending = 0 WHERE tbl = %Q AND pending = 1",
                        table);
}

/* ---- Actions ----------------------------------------------------------------------------------------------------- */

static bool coco__sq_is_attachment(const coco_action *a)
{
    return !a->container && ((const coco_rows *)coco_target_self(a->target))->system == coco__sq_is_attached;
}

/* Is the table being rebuilt? The file alone knows. */
static coco_status coco__sq_shadowed(coco_sqlite *s, const char *table, bool *shadowed, coco_err *err)
{
    char *name = sqlite3_mprintf(COCO__SQ_SHADOW "%s", table);
    coco_status rc = name ? coco__sq_has(s, name, shadowed, err) : coco__sq_oom(err);

    sqlite3_free(name);
    return rc;
}

/* The part before the rows: takes down what is there under that name. */
static coco_status coco__sq_attach_before(coco_sqlite *s, const coco_action *a, coco_err *err)
{
    const coco__sq_attachments *of = coco_target_self(a->target);
    char *name = sqlite3_mprintf("%.*s", (int)coco_text_of(a->key).n, coco_text_of(a->key).p);
    const char *what[3] = { of->rows.table, of->kind, name };
    bool shadowed;
    coco_status rc = name ? coco__sq_shadowed(s, of->rows.table, &shadowed, err) : coco__sq_oom(err);

    if (rc == COCO_OK) rc = shadowed ? coco__sq_unwait(s, what, err) : coco__sq_take_down(s, what, err);
    if (rc == COCO_OK && a->kind == COCO_DELETE) rc = coco__sq_book_tidy(s, err);
    sqlite3_free(name);
    return rc;
}

/* The part after the rows: sets up, or leaves that for later. */
static coco_status coco__sq_attach_after(coco_sqlite *s, const coco_action *a, coco_err *err)
{
    const coco__sq_attachments *of = coco_target_self(a->target);
    const coco__sq_setup *setup = a->value;
    coco_str name = coco_text_of(a->key);
    bool shadowed;

    if (a->kind == COCO_DELETE) return COCO_OK;
    COCO_TRY(coco__sq_shadowed(s, of->rows.table, &shadowed, err));
    COCO_TRY(coco__sq_book_make(s, err));
    if (!shadowed) COCO_TRY(coco__sq_exec(s, setup->setup, of->rows.table, err));
    return coco__sq_run(s, of->rows.table, err, "INSERT OR REPLACE INTO " COCO__SQ_BOOK " (tbl, kind, name, pending, "
                        "setup, teardown) VALUES (%Q, %Q, '%.*q', %d, %Q, %Q)", of->rows.table, of->kind, (int)name.n,
                        name.p, shadowed, setup->setup, setup->teardown);
}
