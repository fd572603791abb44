/* place.c - part of sqlite.c: what handlers and actions carry.
 *
 * The root target "sqlite" stands for one database: its key is a path (a text) or the name of a context key (a symbol).
 * Its states are tables, by name. The places of rows and of attachments begin with a coco_rows, whose `system` tells
 * them apart, so that the sink sees from an action's target what it is about. */

static const char coco__sq_is_rows[] = "sqlite", coco__sq_is_attached[] = "sqlite attachments";

enum { COCO__SQ_STRICT = 1, COCO__SQ_WITHOUT_ROWID = 2, COCO__SQ_VEC0 = 4 };

/* A table that was asked for in this update: its shadow may be shown at the end. */
typedef struct coco__sq_seen {
    struct coco__sq_seen *next;
    char name[]; /* NUL-terminated */
} coco__sq_seen;

/* One database in one update; self of the root handler and of the sink. Apps that share a connection and are updated at
 * the same time have one each, so that none shows or forgets what is the other's. */
typedef struct coco__sq_root {
    coco_sqlite *db;
    const char *title;   /* the path as given, or the key's name */
    coco_sink sink;      /* its identity groups batches */
    coco__sq_seen *seen;
} coco__sq_root;

/* The rows of one table; self of their handler. */
typedef struct coco__sq_table {
    coco_rows rows;            /* the head */
    coco_sqlite *db;           /* that of the root … */
    coco__sq_root *root;
    bool listed;               /* in db->tables */
    struct coco__sq_table *next;
    sqlite3_stmt *upsert;      /* prepared once an update, for the table or its shadow … */
    sqlite3_stmt *remove;      /* … NULL: not yet */
    sqlite3_stmt *bulk;        /* many new rows at once; NULL: not yet, or (bulk_tried) they go alone */
    bool bulk_tried;
} coco__sq_table;

/* Indexes, full-text indexes or SQL of one table; self of their handlers. */
typedef struct coco__sq_attachments {
    coco_rows rows;        /* the head: table's name, and that this isn't rows */
    coco__sq_table *table;
    const char *kind;      /* "index", "fts", "sql" */
} coco__sq_attachments;

/* An action on a table. */
typedef struct coco__sq_want {
    coco_table_decl decl; /* what it should be */
    bool owned;           /* it is, or may be, there because of us */
    bool destroy;         /* the handler said that its content is made anew */
    const char **drops;   /* columns that were ours and should go */
    size_t ndrops;
} coco__sq_want;

/* An action on an attachment. */
typedef struct coco__sq_setup {
    const char *setup, *teardown; /* SQL */
} coco__sq_setup;

/* The connector's part of a declaration: nothing, or a digit of flags, a letter for each column of a vec0 table (k key,
 * v vector, p partition, + auxiliary, m metadata), and its metric. */
static unsigned coco__sq_flags(const coco_table_decl *decl)
{
    return decl->extra.n ? (unsigned)(decl->extra.p[0] - '0') & 7u : 0;
}

static void coco__sq_table_forget(coco__sq_table *t)
{
    sqlite3_finalize(t->upsert);
    sqlite3_finalize(t->remove);
    sqlite3_finalize(t->bulk);
    t->upsert = t->remove = t->bulk = NULL;
    t->bulk_tried = false;
}

static void coco__sq_forget_statements(coco_sqlite *s)
{
    for (coco__sq_table *t = s->tables; t; t = t->next) coco__sq_table_forget(t);
}

/* Remembers that this update is about the table: it may show the table's shadow at its end. */
static coco_status coco__sq_note_seen(coco__sq_root *root, const char *table)
{
    coco__sq_seen *seen = root->seen;

    while (seen && strcmp(seen->name, table) != 0) seen = seen->next;
    if (seen) return COCO_OK;
    if (!(seen = sqlite3_malloc64(sizeof *seen + strlen(table) + 1))) return COCO_ENOMEM;
    strcpy(seen->name, table);
    seen->next = root->seen;
    root->seen = seen;
    return COCO_OK;
}

static void coco__sq_forget_seen(coco__sq_root *root)
{
    for (coco__sq_seen *next; root->seen; root->seen = next) {
        next = root->seen->next;
        sqlite3_free(root->seen);
    }
}

/* Takes the update's tables off the connection's list: their memory ends with it. */
static void coco__sq_unlist(coco__sq_root *root)
{
    coco__sq_table **at = &root->db->tables;

    while (*at) {
        if ((*at)->root != root) {
            at = &(*at)->next;
            continue;
        }
        coco__sq_table_forget(*at);
        (*at)->listed = false;
        *at = (*at)->next;
    }
}
