/* apply.c - part of localfs.c: batches of the target's sink.
 *
 * Most of what a new file takes is the system's work. Where many files in a row are to be put, a second thread puts
 * some of them:
 *   1. The caller takes files from the front of the row, the helper from its back, until they meet: so both are seldom
 *      in one directory, where one would wait for the other.
 *   2. No two files of a row have one temporary name in one directory (write.c, invariant 2): where that can't be
 *      ruled out, there is no helper.
 *   3. The helper answers nothing and fails nothing: what it couldn't put, the caller puts again, and tells why not. */

enum {
    COCO__FS_ROW_LEAST = 64,  /* files in a row that a thread pays for: it takes as long to begin as three of them */
    COCO__FS_ROW_MOST = 1024, /* at a time */
    COCO__FS_ROW_TAKE = 8     /* files taken at once */
};

typedef struct coco__fs_row {
    coco_action *const *actions;
    pthread_mutex_t lock;
    size_t front, back; /* what nobody has taken */
    bool failed[COCO__FS_ROW_MOST]; /* by the helper */
} coco__fs_row;

/* Each action is answered on its own: one bad file fails its own component alone. */
static void coco__fs_answer(coco__fs_writer *w, coco_action *action)
{
    const coco__fs_op *op = action->value;
    coco_err err = { 0 };
    coco_status rc = op->remove ? coco__fs_remove(w, action, &err)
                     : op->want.dir ? coco__fs_put_dir(w, op, &err) : coco__fs_put_file(w, op, &err);

    action->answer = COCO_OK;
    if (rc != COCO_OK) coco_action_fail(action, &err);
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

/* Takes files from one end; false: there are none left. */
static bool coco__fs_row_take(coco__fs_row *r, bool back, size_t *from, size_t *to)
{
    pthread_mutex_lock(&r->lock);
    size_t n = r->back - r->front < COCO__FS_ROW_TAKE ? r->back - r->front : COCO__FS_ROW_TAKE;
    *from = back ? r->back - n : r->front;
    *to = *from + n;
    if (back) r->back = *from;
    else r->front = *to;
    pthread_mutex_unlock(&r->lock);
    return n > 0;
}

static void *coco__fs_row_help(void *self)
{
    coco__fs_row *r = self;
    coco__fs_writer w = { NULL, -1, false };
    size_t from, to;

    while (coco__fs_row_take(r, true, &from, &to))
        for (; from < to; from++) r->failed[from] = coco__fs_put_file(&w, r->actions[from]->value, NULL) != COCO_OK;
    coco__fs_leave(&w);
    return NULL;
}

/* Is the action one of a row that begins with first? Below one base no two paths lead to one directory, since no links
 * are followed there. */
static bool coco__fs_row_has(const coco__fs_op *first, const coco__fs_op *op)
{
    return !op->remove && !op->want.dir && (op->base == first->base || strcmp(op->base, first->base) == 0);
}

/* Invariant 2: how many actions come before one with a temporary name, in one directory, that was there before. */
static size_t coco__fs_row_distinct(coco_action *const *actions, size_t n)
{
    uint64_t marks[2 * COCO__FS_ROW_MOST] = { 0 }; /* a hash table; 0: free */
    const size_t slots = sizeof marks / sizeof *marks;

    for (size_t i = 0; i < n; i++) {
        const coco__fs_op *op = actions[i]->value;
        uint64_t mark = (coco__fs_temp_hash(op) * 31 + coco__fs_hash(op->rel.p, op->dir)) | 1;
        size_t at = (size_t)(mark >> 32) % slots;
        while (marks[at] && marks[at] != mark) at = (at + 1) % slots;
        if (marks[at]) return i;
        marks[at] = mark;
    }
    return n;
}

/* The length of the row that the actions begin with, 1 for what isn't a file; less than COCO__FS_ROW_LEAST: not worth a
 * thread. */
static size_t coco__fs_row_length(coco_action *const *actions, size_t n)
{
    const coco__fs_op *first = actions[0]->value;
    size_t length = 1;

    if (!coco__fs_row_has(first, first)) return 1;
    while (length < n && length < COCO__FS_ROW_MOST && coco__fs_row_has(first, actions[length]->value)) length++;
    return length < COCO__FS_ROW_LEAST ? length : coco__fs_row_distinct(actions, length);
}

/* Puts a row of files; false: there is no thread to be had, and nothing was done. */
static bool coco__fs_row_put(coco__fs_writer *w, coco_action **actions, size_t n)
{
    coco__fs_row r = { .actions = actions, .lock = PTHREAD_MUTEX_INITIALIZER, .back = n };
    coco__fs_writer before = *w;
    pthread_t helper;
    size_t from, to;

    if (!coco__fs_thread_begin(&helper, coco__fs_row_help, &r)) return false;
    *w = (coco__fs_writer){ NULL, -1, false };
    while (coco__fs_row_take(&r, false, &from, &to))
        for (; from < to; from++) coco__fs_answer(w, actions[from]);
    pthread_join(helper, NULL);
    pthread_mutex_destroy(&r.lock);
    for (from = r.back; from < n; from++) {
        actions[from]->answer = COCO_OK;
        if (r.failed[from]) coco__fs_answer(w, actions[from]);
    }
    coco__fs_leave(&before); /* what deletes have emptied has files again, or goes */
    return true;
}

/* ---- The sink -------------------------------------------------------------------------------------------------- */

static coco_status coco__fs_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    coco__fs_writer w = { NULL, -1, false };

    (void)self;
    for (size_t i = 0, row; i < n; i += row) {
        row = coco__fs_row_length(actions + i, n - i);
        if (row >= COCO__FS_ROW_LEAST && coco__fs_processors() > 1 && coco__fs_row_put(&w, actions + i, row)) continue;
        for (size_t k = i; k < i + row; k++) coco__fs_answer(&w, actions[k]);
    }
    coco__fs_leave(&w);
    (void)err;
    return COCO_OK;
}

static coco_sink coco__fs_sink = { .apply = coco__fs_apply, .name = "localfs" };
