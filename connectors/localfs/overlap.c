/* overlap.c - part of localfs.c: a listing never gives what the same app writes (C1), or a pipeline whose output lies
 * below its source would feed on itself.
 *
 * Every update keeps a list of the directories that it writes to and of those that it lists, in memory that all its
 * components share. A walk doesn't enter a directory of the first kind; those count that are known when it gets there,
 * be it by a declaration or by the check of a memo that stands for one. A directory declared below a base that was
 * listed before it comes too late, and is refused: the next update would take what it holds for input.
 *
 * Directories that exist are compared by device and inode, since links may lead to one by several paths; those that
 * don't exist yet by their paths, with the links in what exists of them resolved.
 *
 * Components that declare directories may run on several threads, and a watch on another: one lock guards all lists. */

/* A directory that this update lists or writes to. */
typedef struct coco__fs_mark {
    struct coco__fs_mark *next;
    char *path; /* without links, as far as it existed */
    const char *include, *exclude; /* globs of a listing; NULL: none */
    bool told;  /* of one that is written to: a notice of it was given */
} coco__fs_mark;

/* The lists, in the memory of the update. */
typedef struct coco__fs_marks {
    coco__fs_mark *listed, *written;
    const void *tag; /* for the memory of the next mark: the newest one; NULL: none yet */
} coco__fs_marks;

static const char coco__fs_marks_tag = 'm';
static pthread_mutex_t coco__fs_marks_lock = PTHREAD_MUTEX_INITIALIZER;

static coco__fs_marks *coco__fs_marks_of(coco_ctx *cx)
{
    return coco_run_memory(cx, &coco__fs_marks_tag, sizeof(coco__fs_marks));
}

/* Resolves the links in what exists of the path; false where that can't be told. */
static bool coco__fs_real(const char *path, char out[PATH_MAX])
{
    char head[PATH_MAX];
    size_t n = 0, end, used;

    if (path[0] != '/' && (!getcwd(head, sizeof head) || (n = strlen(head)) == 0)) return false;
    if (n + strlen(path) + 2 > sizeof head) return false;
    end = n += (size_t)sprintf(head + n, "%s%s", n ? "/" : "", path);
    while (!realpath(head, out)) {
        if (errno != ENOENT && errno != ENOTDIR) return false;
        head[end] = end < n ? '/' : '\0';
        do end--;
        while (end > 0 && head[end] != '/');
        head[end] = '\0';
        if (end == 0) break;
    }
    if (end == 0) strcpy(out, "/");
    if (end == n) return true;
    used = strlen(out) - (out[1] == '\0'); /* without the slash of the root */
    if (used + n - end + 1 > PATH_MAX) return false;
    memcpy(out + used, head + end, n - end + 1);
    out[used] = '/';
    return true;
}

/* Puts a directory on one of the lists; the strings stand behind the mark. */
static coco_status coco__fs_mark_add(coco_ctx *cx, coco__fs_marks *marks, coco__fs_mark **list,
                                     const char *const from[3])
{
    char *to[3];
    size_t n = sizeof(coco__fs_mark);
    coco__fs_mark *mark;

    for (int i = 0; i < 3; i++) n += from[i] ? strlen(from[i]) + 1 : 0;
    mark = coco_run_memory(cx, marks->tag ? marks->tag : marks, n);
    if (!mark) return coco_error(cx);
    marks->tag = mark;
    n = sizeof *mark;
    for (int i = 0; i < 3; i++) {
        to[i] = from[i] ? strcpy((char *)mark + n, from[i]) : NULL;
        n += from[i] ? strlen(from[i]) + 1 : 0;
    }
    mark->path = to[0];
    mark->include = to[1];
    mark->exclude = to[2];
    mark->next = *list;
    *list = mark;
    return COCO_OK;
}

/* The part of path that is below dir, "" for dir itself; NULL where it isn't below. */
static const char *coco__fs_below(const char *dir, const char *path)
{
    size_t n = strlen(dir);

    if (n == 1) return path + 1; /* the root */
    if (strncmp(dir, path, n) != 0) return NULL;
    return path[n] == '/' ? path + n + 1 : path[n] == '\0' ? path + n : NULL;
}

/* Whether the globs of the listing let it enter the directory with that path below its base. */
static coco_status coco__fs_would_enter(coco_ctx *cx, const coco__fs_mark *listing, const char *rel, bool *enters)
{
    coco__fs_rule *include = NULL, *exclude = NULL;
    bool pruned = false;
    char path[PATH_MAX + 1];
    size_t n = strlen(rel);

    COCO_TRY(coco__fs_rules(cx, listing->include, false, &include));
    COCO_TRY(coco__fs_rules(cx, listing->exclude, true, &exclude));
    memcpy(path, rel, n);
    path[n++] = '/';
    *enters = true;
    for (size_t i = 0; i < n && *enters; i++)
        if (path[i] == '/') *enters = coco__fs_rules_enter(include, exclude, (coco_str){ path, i + 1 }, &pruned);
    return COCO_OK;
}

/* Notes the directory, whose path is without links, as one that is written to; the lists are locked. */
static coco_status coco__fs_mark_written(coco_ctx *cx, coco__fs_marks *marks, const char *path, bool late)
{
    const char *rel;
    bool enters;

    for (const coco__fs_mark *m = marks->written; m; m = m->next)
        if (strcmp(m->path, path) == 0) return COCO_OK;
    for (const coco__fs_mark *m = late ? marks->listed : NULL; m; m = m->next) {
        if (!(rel = coco__fs_below(m->path, path)) || !*rel) continue;
        COCO_TRY(coco__fs_would_enter(cx, m, rel, &enters));
        if (enters)
            return coco_fail(cx, COCO_EINVAL, "the target directory %s is below %s, which was listed before: mount it "
                             "before, so that the listing leaves it out", path, m->path);
    }
    return coco__fs_mark_add(cx, marks, &marks->written, (const char *const[]){ path, NULL, NULL });
}

/* Notes that the app writes to the directory. late: whether a listing that may have given what is in it is an error. */
static coco_status coco__fs_mark_target(coco_ctx *cx, const char *base, bool late)
{
    coco__fs_marks *marks = coco__fs_marks_of(cx);
    char path[PATH_MAX];
    coco_status rc;

    if (!marks || !coco__fs_real(base, path)) return coco_error(cx);
    pthread_mutex_lock(&coco__fs_marks_lock);
    rc = coco__fs_mark_written(cx, marks, path, late);
    pthread_mutex_unlock(&coco__fs_marks_lock);
    return rc;
}

/* Notes that the directory, whose path is without links, is listed by those globs. */
static coco_status coco__fs_mark_listed(coco_ctx *cx, coco__fs_marks *marks, const char *const from[3])
{
    coco_status rc;

    pthread_mutex_lock(&coco__fs_marks_lock);
    rc = coco__fs_mark_add(cx, marks, &marks->listed, from);
    pthread_mutex_unlock(&coco__fs_marks_lock);
    return rc;
}

/* Whether the directory with that identity is written to; *first, which may be NULL: nobody was told so yet. */
static bool coco__fs_is_target(coco__fs_marks *marks, const struct stat *dir, bool *first)
{
    struct stat st;
    bool found = false;

    if (!marks) return false;
    pthread_mutex_lock(&coco__fs_marks_lock);
    for (coco__fs_mark *m = marks->written; m && !found; m = m->next) {
        found = stat(m->path, &st) == 0 && st.st_dev == dir->st_dev && st.st_ino == dir->st_ino;
        if (!found || !first) continue;
        *first = !m->told;
        m->told = true;
    }
    pthread_mutex_unlock(&coco__fs_marks_lock);
    return found;
}
