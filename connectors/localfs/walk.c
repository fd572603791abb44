/* walk.c - part of localfs.c: the source that lists a directory tree in order, as a stream.
 *
 * One level for each directory on the way down holds its descriptor and the names in it that are wanted, sorted.
 * Names stand in one buffer, each as a kind byte and the name, directories with a slash behind: then plain strcmp
 * gives the byte order of whole paths (S3.12), because what differs in two paths differs in the first names that do.
 * Levels, like the buffers in them, are kept for the next directory of that depth, so a walk takes memory for the
 * largest directories on one way down, however many there are. A file on the list costs one fstatat and one
 * allocation.
 *
 * What can't be read is never passed over in silence and never taken for gone: it is answered with COCO_EUNREAD. What
 * vanished between listing and looking is gone. */

#define COCO__FS_STATE_LOCK "cocoindex.lock" /* stands in the state directory of every environment */

/* Memory of the walk's cx that grows; what it outgrew stays taken, which doubling keeps below its size. */
typedef struct coco__fs_buf {
    char *p;
    size_t n, cap;
} coco__fs_buf;

typedef struct coco__fs_level {
    struct coco__fs_level *up, *down; /* down is kept for reuse */
    DIR *dir;          /* open while the level is in use */
    dev_t dev;         /* identity of the directory … */
    ino_t ino;         /* … for loops */
    size_t prefix;     /* length of its path, with a slash behind */
    bool pruned;       /* excluded: only what is taken back in is given */
    coco__fs_buf names;
    coco__fs_buf sorted; /* of char *: the names in order */
    coco__fs_buf ignore; /* its .gitignore */
    size_t next, count;  /* in sorted */
} coco__fs_level;

typedef struct coco__fs_walk {
    coco_ctx *cx; /* that made the source, or had it listed anew: the memory of the listing */
    coco_ctx *at; /* of the item that is being looked for */
    coco__fs_base *base;
    coco__fs_rule *include, *exclude;
    const char *include_globs, *exclude_globs; /* as given; NULL: none */
    bool follow, gitignore;
    bool begun;           /* the base is open, or was, and the entries are being given */
    bool marked;          /* the overlap was told of the listing */
    bool watched;         /* it began with a watch */
    bool wrong;           /* the options are: no listing will do */
    coco_status failed;   /* 0, or what the base or the options fail with … */
    const char *why;      /* … and the message; NULL: no memory for it */
    int64_t start;        /* when the listing began, ns since 1970 */
    coco__fs_marks *marks; /* of the update */
    size_t given;         /* files */
    atomic_size_t reads;  /* of them, by whom they were given to */
    coco__fs_ahead *ahead; /* looks at some of them; NULL: nobody does */
    coco__fs_level first; /* the base */
    coco__fs_level *top;  /* the directory being given; NULL: at the end */
    coco__fs_buf path;    /* path of top, then of the entry at hand */
    coco__fs_tree tree;   /* live: what is watched */
    unsigned quiet_ms, close_ms, poll_ms; /* as the options say, with their defaults */
} coco__fs_walk;

/* Room for n bytes more; false: no memory. */
static bool coco__fs_buf_room(coco_ctx *cx, coco__fs_buf *b, size_t n)
{
    size_t cap = b->cap ? b->cap : 1024;
    char *p;

    if (b->n + n <= b->cap) return true;
    while (cap < b->n + n) cap *= 2;
    if (!(p = coco_alloc(cx, cap))) return false;
    if (b->n) memcpy(p, b->p, b->n);
    b->p = p;
    b->cap = cap;
    return true;
}

/* ---- Ignore files ---------------------------------------------------------------------------------------------- */

/* Reads the directory's .gitignore; false with errno if there is one that can't be read. */
static bool coco__fs_ignore_read(coco__fs_walk *w, coco__fs_level *level)
{
    int fd = openat(dirfd(level->dir), ".gitignore", O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = 0;
    coco__fs_buf *b = &level->ignore;
    ssize_t r;

    if (fd < 0) return errno == ENOENT || errno == ELOOP;
    for (;;) {
        if (!coco__fs_buf_room(w->cx, b, 4096)) {
            error = ENOMEM;
            break;
        }
        if ((r = coco__fs_read_some(fd, b->p + b->n, 4095)) <= 0) {
            error = r < 0 && errno != EISDIR ? errno : 0;
            break;
        }
        b->n += (size_t)r;
    }
    close(fd);
    errno = error;
    return error == 0;
}

/* Whether one line of an ignore file matches the path (relative to the file's directory); *back: with a `!`. A glob
 * without a slash before its end is for names at any depth. */
static bool coco__fs_ignore_line(const char *line, size_t n, coco_str path, bool dir, bool *back)
{
    char glob[COCO__FS_GLOB_MAX + 1];
    coco_str name = coco_path_name(path);

    if (n && line[n - 1] == '\r') n--;
    while (n && line[n - 1] == ' ' && !(n > 1 && line[n - 2] == '\\')) n--;
    *back = n && *line == '!';
    line += *back;
    n -= *back;
    if (n == 0 || (*line == '#' && !*back)) return false;
    if (line[n - 1] == '/') {
        if (!dir) return false;
        n--;
    }
    if (n == 0 || n > COCO__FS_GLOB_MAX) return false;
    if (!memchr(line, '/', n)) path = name;
    if (*line == '/') line++, n--;
    memcpy(glob, line, n);
    glob[n] = '\0';
    return coco__fs_glob_plain(glob, path.p, path.p + path.n, false);
}

/* What one ignore file says of the path, relative to its directory: 1 leave it out, -1 take it, 0 nothing. The last
 * line that matches decides. */
static int coco__fs_ignore_says(coco_str text, coco_str path, bool dir)
{
    const char *line = text.n ? text.p : "", *end = line + text.n;
    int says = 0;
    bool back;

    for (size_t n; line < end; line += n + 1) {
        const char *eol = memchr(line, '\n', (size_t)(end - line));
        n = (size_t)((eol ? eol : end) - line);
        if (coco__fs_ignore_line(line, n, path, dir, &back)) says = back ? -1 : 1;
    }
    return says;
}

/* Whether the ignore files on the way leave the path out: the deepest that says something decides. */
static bool coco__fs_ignored(const coco__fs_walk *w, coco_str path, bool dir)
{
    int says = dir && coco_str_equal(coco_path_name(path), COCO_STR(".git"));

    for (const coco__fs_level *level = w->top; level && says == 0; level = level->up)
        says = coco__fs_ignore_says((coco_str){ level->ignore.p, level->ignore.n },
                                    (coco_str){ path.p + level->prefix, path.n - level->prefix }, dir);
    return says > 0;
}

/* ---- Listing one directory ------------------------------------------------------------------------------------- */

/* Whether the globs give the file; pruned: of its directory. */
static bool coco__fs_globs_take(const coco__fs_walk *w, coco_str path, bool pruned)
{
    const coco__fs_rule *rule = w->include;

    while (rule && !coco__fs_rule_matches(rule, path.p, path.n, false)) rule = rule->next;
    return (rule || !w->include) && !coco__fs_rules_exclude(w->exclude, path, false, pruned);
}

/* Whether the file at w->path is to be given. */
static bool coco__fs_wants_file(const coco__fs_walk *w, coco_str path)
{
    if (!coco__fs_globs_take(w, path, w->top->pruned)) return false;
    return !w->gitignore || !coco__fs_ignored(w, path, false);
}

/* Whether the directory at w->path, with a slash behind, is to be entered, and if so whether as a pruned one. */
static bool coco__fs_wants_dir(const coco__fs_walk *w, coco_str path, bool *pruned)
{
    *pruned = w->top->pruned;
    if (!coco__fs_rules_enter(w->include, w->exclude, path, pruned)) return false;
    return !w->gitignore || !coco__fs_ignored(w, (coco_str){ path.p, path.n - 1 }, true);
}

/* What an entry is; links are followed as the options say. */
static int coco__fs_kind(const coco__fs_walk *w, const char *name, unsigned char type)
{
    struct stat st;
    bool link = false;

#ifdef DT_REG
    if (type == DT_REG) return COCO__FS_FILE;
    if (type == DT_DIR) return COCO__FS_DIR;
    if (type != DT_UNKNOWN && type != DT_LNK) return COCO__FS_OTHER;
    link = type == DT_LNK;
#endif
    if (!link) {
        if (fstatat(dirfd(w->top->dir), name, &st, AT_SYMLINK_NOFOLLOW) != 0) return COCO__FS_UNKNOWN;
        link = S_ISLNK(st.st_mode);
    }
    if (link && !w->follow) return COCO__FS_OTHER;
    if (link && fstatat(dirfd(w->top->dir), name, &st, 0) != 0) return COCO__FS_UNKNOWN;
    if (S_ISDIR(st.st_mode)) return link ? COCO__FS_LINKED_DIR : COCO__FS_DIR;
    return !S_ISREG(st.st_mode) ? COCO__FS_OTHER : link ? COCO__FS_LINKED : COCO__FS_FILE;
}

/* A name that is not UTF-8, with \xHH for its bytes that are none. */
static void coco__fs_escape(const char *name, size_t n, char *out)
{
    const uint8_t *p = (const uint8_t *)name, *end = p + n;
    uint32_t cp;

    while (p < end) {
        size_t len = coco__fs_utf8_next(p, end, &cp);
        for (const uint8_t *past = p + len; p < past; p++)
            out += cp == COCO__FS_BAD ? sprintf(out, "\\x%02x", *p) : (*out = (char)*p, 1);
    }
    *out = '\0';
}

/* Puts the entry of that kind on the list of the top level if it is wanted. */
static bool coco__fs_list_as(coco__fs_walk *w, const char *name, size_t n, int kind, bool dir)
{
    coco__fs_level *level = w->top;
    bool pruned = false;
    coco_str path;
    char *at;

    w->path.n = level->prefix;
    if (!coco__fs_buf_room(w->cx, &w->path, n + 2)) return false;
    memcpy(w->path.p + w->path.n, name, n);
    if (dir) w->path.p[w->path.n + n++] = '/';
    path = (coco_str){ w->path.p, w->path.n + n };
    if (!(dir ? coco__fs_wants_dir(w, path, &pruned) : coco__fs_wants_file(w, path))) return true;
    if (!coco__fs_buf_room(w->cx, &level->names, n + 2)) return false;
    at = level->names.p + level->names.n;
    *at++ = (char)(kind | (pruned ? COCO__FS_PRUNED : 0));
    memcpy(at, path.p + level->prefix, n);
    at[n] = '\0';
    level->names.n += n + 2;
    level->count++;
    return true;
}

/* Lists one entry, as a file, a directory, both or nothing. */
static bool coco__fs_list_entry(coco__fs_walk *w, const char *name, unsigned char type)
{
    size_t n = strlen(name);
    char escaped[4 * (NAME_MAX + 1)];
    int kind;

    if (name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.') || strncmp(name, ".coco-", 6) == 0)) return true;
    if ((kind = coco__fs_kind(w, name, type)) == COCO__FS_OTHER) return true;
    if (!coco__fs_utf8_valid(name, n)) {
        coco__fs_escape(name, n, escaped);
        return coco__fs_list_as(w, escaped, strlen(escaped), COCO__FS_BAD_NAME,
                                kind != COCO__FS_FILE && kind != COCO__FS_LINKED);
    }
    if (kind == COCO__FS_UNKNOWN && !coco__fs_list_as(w, name, n, kind, true)) return false;
    return coco__fs_list_as(w, name, n, kind, kind == COCO__FS_DIR || kind == COCO__FS_LINKED_DIR);
}

static int coco__fs_name_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Reads and sorts the names of the top level, of which some are listed or, NULL, none. False with errno. */
static bool coco__fs_list(coco__fs_walk *w, const coco__fs_listed *listed)
{
    coco__fs_level *level = w->top;
    const struct dirent *e = NULL;
    char **sorted, *at;
    int error;

    level->next = level->count = 0;
    level->names.n = level->sorted.n = level->ignore.n = 0;
    if (w->gitignore && !coco__fs_ignore_read(w, level)) return false;
    for (size_t i = 0; listed && i < listed->n; i += 1 + strlen(listed->entries + i + 1) + 1)
        if (!coco__fs_list_entry(w, listed->entries + i + 1, (unsigned char)listed->entries[i]))
            return errno = ENOMEM, false;
    errno = 0;
    while (!(listed && listed->whole) && (errno = 0, (e = readdir(level->dir)) != NULL))
        if (!coco__fs_list_entry(w, e->d_name, coco__fs_entry_type(e))) return errno = ENOMEM, false;
    if ((error = errno) != 0) return errno = error, false;
    if (!coco__fs_buf_room(w->cx, &level->sorted, (level->count + 1) * sizeof *sorted)) return errno = ENOMEM, false;
    sorted = (char **)(void *)level->sorted.p;
    at = level->names.p;
    for (size_t i = 0; i < level->count; i++, at += strlen(at) + 1) sorted[i] = ++at;
    qsort(sorted, level->count, sizeof *sorted, coco__fs_name_order);
    return true;
}

/* ---- The walk -------------------------------------------------------------------------------------------------- */

/* Back to the directory above; from the base, the listing is at its end. */
static void coco__fs_leave_level(coco__fs_walk *w)
{
    if (w->ahead && w->ahead->of == w->top) coco__fs_ahead_stop(w->ahead);
    closedir(w->top->dir);
    w->top->dir = NULL;
    w->top = w->top->up;
    if (w->top) return;
    if (w->ahead) coco__fs_ahead_end(w->ahead);
    w->ahead = NULL;
    w->given = 0;
    atomic_store(&w->reads, 0);
}

/* The level below the top one, ready for a directory whose path (with a slash) is w->path. */
static coco__fs_level *coco__fs_level_down(coco__fs_walk *w, size_t prefix, bool pruned)
{
    coco__fs_level *level = w->top->down;

    if (!level) {
        if (!(level = coco_alloc(w->cx, sizeof *level))) return NULL;
        level->up = w->top;
        w->top->down = level;
    }
    level->prefix = prefix;
    level->pruned = pruned;
    return level;
}

/* Whether the directory is one that the walk is in already. */
static bool coco__fs_is_above(const coco__fs_level *level, const struct stat *st)
{
    while (level && !(level->dev == st->st_dev && level->ino == st->st_ino)) level = level->up;
    return level != NULL;
}

/* Whether the directory is one that the app writes to, or in which an environment has its state (which changes with
 * each update): neither is given. Tells so once of the first kind. */
static bool coco__fs_is_ours(const coco__fs_walk *w, int fd, const struct stat *st)
{
    bool first = false;

    if (!coco__fs_is_target(w->marks, st, &first)) return faccessat(fd, COCO__FS_STATE_LOCK, F_OK, 0) == 0;
    if (first) coco_notice(w->at, "%s/%s is left out of the listing: this app writes to it", w->base->path, w->path.p);
    return true;
}

/* Enters the directory of that name (with its slash) below the top one. Returns 0 or an errno: ENOENT, it is gone;
 * ELOOP, the walk is in it. */
static int coco__fs_enter(coco__fs_walk *w, char *name, size_t prefix)
{
    bool linked = (name[-1] & COCO__FS_KINDS) == COCO__FS_LINKED_DIR;
    size_t n = strlen(name);
    coco__fs_level *level = coco__fs_level_down(w, prefix, name[-1] & COCO__FS_PRUNED);
    struct stat st;
    int fd, error = 0;

    if (!level) return ENOMEM;
    DIR *listed = w->ahead ? coco__fs_ahead_take(w->ahead, name) : NULL;
    assert(name[n - 1] == '/');
    name[n - 1] = '\0'; /* a slash would follow a link */
    fd = listed ? dirfd(listed)
                : openat(dirfd(w->top->dir), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (linked ? 0 : O_NOFOLLOW));
    error = fd < 0 ? errno : fstat(fd, &st) != 0 ? errno : linked && coco__fs_is_above(w->top, &st) ? ELOOP : 0;
    name[n - 1] = '/';
    if (error == 0 && !(level->dir = listed ? listed : fdopendir(fd))) error = errno;
    if (error) {
        if (listed) closedir(listed);
        else if (fd >= 0) close(fd);
        return error;
    }
    level->dev = st.st_dev;
    level->ino = st.st_ino;
    w->top = level;
    if (coco__fs_is_ours(w, fd, &st)) return coco__fs_leave_level(w), 0;
    coco__fs_tree_enter(&w->tree, w->base->path,
                        &(coco__fs_entry){ { w->path.p, prefix }, fd, &st, level->pruned, linked });
    if (coco__fs_list(w, listed ? &w->ahead->listed : NULL)) return 0;
    error = errno;
    coco__fs_leave_level(w);
    return error;
}

/* What `next` was called with. */
typedef struct coco__fs_give {
    coco__fs_walk *w;
    coco_ctx *cx; /* of the item */
    coco_value *key, *value;
} coco__fs_give;

/* Answers that the path can't be read; a directory stands for all below it. */
static int coco__fs_unread(const coco__fs_give *g, coco_str path, const char *why)
{
    coco_str copy = coco_copy(g->cx, path);

    if (!copy.p) return COCO_ENOMEM;
    *g->key = coco_text_n(copy);
    *g->value = coco_bool(path.p[path.n - 1] == '/');
    if (path.p[path.n - 1] == '/') coco__fs_tree_unread(&g->w->tree);
    return coco_fail(g->cx, COCO_EUNREAD, "%s/%s: %s", g->w->base->path, copy.p, why);
}

/* Where the walk goes on behind the top level, if that can be foreseen: a directory that is listed above. */
static void coco__fs_foresee(const coco__fs_walk *w, coco__fs_ahead *a)
{
    const coco__fs_level *level = w->top->up;

    while (level && level->next == level->count) level = level->up;
    a->lists = !w->watched;
    a->then = !level || w->watched ? NULL : ((char **)(void *)level->sorted.p)[level->next];
    if (a->then && (a->then[-1] & COCO__FS_KINDS) != COCO__FS_DIR) a->then = NULL;
    if (a->then) a->above = dirfd(level->dir);
}

/* Looks at the file at hand, if that hasn't been done. */
static void coco__fs_look_now(coco__fs_walk *w, const char *name, coco__fs_seen *out)
{
    coco__fs_level *level = w->top;
    coco__fs_ahead *a = w->ahead;

    if (++w->given == COCO__FS_AHEAD_FROM) a = w->ahead = coco__fs_ahead_begin(w->cx, &w->reads);
    if (a) a->keeps = w->at != w->cx;
    if (a && a->of != level) {
        coco__fs_ahead_stop(a);
        a->of = level;
        a->dir = dirfd(level->dir);
        a->follow = w->follow;
        coco__fs_ahead_names(a, (char *const *)(void *)level->sorted.p, level->count);
        coco__fs_foresee(w, a);
    }
    if (a && coco__fs_ahead_saw(a, level->next - 1, out)) return;
    coco__fs_stat_at(dirfd(level->dir), name, w->follow, out);
}

/* Gives the file whose path is in w->path, as a listed item. Returns 1, 0 (it is gone, or no longer a file) or an
 * error. */
static int coco__fs_item(const coco__fs_give *g, coco_str path, bool linked)
{
    coco__fs_walk *w = g->w;
    const char *name = path.p + w->top->prefix;
    const coco__fs_entry entry = { path, -1, NULL, false, true };
    coco__fs_seen seen;
    coco_file *file;

    if (linked) coco__fs_tree_link_to(&w->tree, w->base->path, &entry);
    coco__fs_look_now(w, name, &seen);
    if (seen.error) return seen.error == ENOENT ? 0 : coco__fs_unread(g, path, strerror(seen.error));
    if (!seen.regular) return 0;
    if (!(file = coco__fs_file_new(g->cx, w->base, path))) return COCO_ENOMEM;
    if (seen.early && !(file->early = coco__fs_early_copy(g->cx, seen.early))) return COCO_ENOMEM;
    file->start = w->start;
    file->listed = seen.stamp;
    *g->key = coco_text_n(file->path);
    *g->value = coco_object(&coco_file_class, file);
    return 1;
}

/* Why an entry could not be looked at when it was listed. */
static const char *coco__fs_look_again(const coco__fs_walk *w, const char *name)
{
    char plain[NAME_MAX + 1];
    size_t n = strcspn(name, "/");
    struct stat st;

    snprintf(plain, sizeof plain, "%.*s", (int)n, name);
    if (fstatat(dirfd(w->top->dir), plain, &st, 0) == 0) return "changed while it was listed";
    return errno == ENOENT ? "a symbolic link to nothing" : strerror(errno);
}

/* Gives what the entry stands for: 1 an item, 0 nothing (a directory was entered, or it is gone), or an error. */
static int coco__fs_give_entry(const coco__fs_give *g, char *name)
{
    coco__fs_walk *w = g->w;
    size_t n = strlen(name), prefix = w->top->prefix;
    coco_str path;
    int error;

    w->path.n = prefix;
    if (!coco__fs_buf_room(w->cx, &w->path, n + 1)) return COCO_ENOMEM;
    memcpy(w->path.p + prefix, name, n + 1);
    path = (coco_str){ w->path.p, prefix + n };
    switch (name[-1] & COCO__FS_KINDS) {
    case COCO__FS_FILE: return coco__fs_item(g, path, false);
    case COCO__FS_LINKED: return coco__fs_item(g, path, true);
    case COCO__FS_UNKNOWN: return coco__fs_unread(g, path, coco__fs_look_again(w, name));
    case COCO__FS_BAD_NAME: return coco__fs_unread(g, path, "the name is not UTF-8");
    default: break;
    }
    error = coco__fs_enter(w, name, path.n);
    if (error == 0 || error == ENOENT || error == ENOTDIR) return 0;
    if (error == ENOMEM) return COCO_ENOMEM;
    path.p = w->path.p; /* may have moved, with the path in it, while the directory was listed */
    return coco__fs_unread(g, path, error == ELOOP ? "a symbolic link to a directory above it" : strerror(error));
}

/* Notes what is listed, for targets that are declared later. What an ignore file says of them isn't foreseen. */
static coco_status coco__fs_walk_mark(coco__fs_walk *w)
{
    char path[PATH_MAX];

    if (w->marked) return COCO_OK;
    w->marked = true;
    if (!w->marks || w->gitignore || !coco__fs_real(w->base->path, path)) return coco_error(w->cx);
    return coco__fs_mark_listed(w->cx, w->marks, (const char *const[]){ path, w->include_globs, w->exclude_globs });
}

/* Opens the base directory and lists it. */
static coco_status coco__fs_walk_start(coco__fs_walk *w)
{
    coco__fs_level *first = &w->first;
    struct stat st;
    int error;

    w->begun = true;
    w->start = coco__fs_now();
    if (!coco__fs_tree_begin(&w->tree))
        return coco_fail(w->at, COCO_EIO, "%s is gone: waiting until it is back", w->base->path);
    pthread_mutex_lock(&w->tree.lock);
    w->watched = w->tree.feed != NULL;
    pthread_mutex_unlock(&w->tree.lock);
    first->dir = opendir(w->base->path);
    if (!first->dir) return coco__fs_fail(w->at, w->base->path, (coco_str){ NULL, 0 }, errno);
    w->top = first;
    if (fstat(dirfd(first->dir), &st) == 0) {
        const coco__fs_entry entry = { { NULL, 0 }, dirfd(first->dir), &st, false, false };
        first->dev = st.st_dev;
        first->ino = st.st_ino;
        coco__fs_tree_enter(&w->tree, w->base->path, &entry);
        if (coco__fs_list(w, NULL)) return coco__fs_walk_mark(w);
    }
    error = errno;
    coco__fs_leave_level(w);
    return coco__fs_fail(w->at, w->base->path, (coco_str){ NULL, 0 }, error);
}

/* All was given. Tells once if the system doesn't tell of all changes. */
static void coco__fs_walk_end(coco__fs_walk *w)
{
    const char *why;
    bool tell;

    coco__fs_tree_end(&w->tree);
    pthread_mutex_lock(&w->tree.lock);
    tell = w->tree.feed && !w->tree.told && (w->tree.blind || w->tree.unwatched > 0);
    why = w->tree.why;
    w->tree.told |= tell;
    pthread_mutex_unlock(&w->tree.lock);
    if (tell) coco_notice(w->at, "%s: the system doesn't tell of all changes (%s): they are looked for every few "
                          "seconds", w->base->path, why);
}

/* Entries until one gives an answer. */
static int coco__fs_walk_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    coco__fs_walk *w = src->self;
    const coco__fs_give g = { w, cx, key, value };

    w->at = cx;
    if (!w->failed && !w->begun && (w->failed = coco__fs_walk_start(w)) != 0) {
        w->why = coco_copy(w->cx, coco_str_of(coco_error_message(cx))).p;
        return w->failed;
    }
    if (w->failed) return coco_fail(cx, w->failed, "%s", w->why ? w->why : "out of memory");
    while (w->top) {
        coco__fs_level *level = w->top;
        if (level->next == level->count) {
            coco__fs_leave_level(w);
            if (!w->top) coco__fs_walk_end(w);
            continue;
        }
        int rc = coco__fs_give_entry(&g, ((char **)(void *)level->sorted.p)[level->next++]);
        if (rc != 0) return rc;
    }
    return 0;
}

/* Also what a new listing begins with. */
static void coco__fs_walk_close(coco_source *src)
{
    coco__fs_walk *w = src->self;

    while (w->top) coco__fs_leave_level(w);
}

/* Takes in what the program said. */
static coco_status coco__fs_walk_init(coco__fs_walk *w, coco_value base, const coco_walk_opts *o, coco_source *src)
{
    const char *path;
    coco_value id;

    COCO_TRY(coco__fs_resolve(w->cx, base, &id, &path));
    COCO_TRY(coco__fs_base_new(w->cx, id, path, &w->base));
    src->title = o->title ? coco_copy(w->cx, coco_str_of(o->title)).p : coco_text_of(id).p;
    if (o->max_read) w->base->max_read = o->max_read;
    w->base->reads = &w->reads;
    w->follow = o->symlinks == COCO_SYMLINKS_FOLLOW;
    w->gitignore = o->gitignore;
    w->include_globs = o->include ? coco_copy(w->cx, coco_str_of(o->include)).p : NULL;
    w->exclude_globs = o->exclude ? coco_copy(w->cx, coco_str_of(o->exclude)).p : NULL;
    w->marks = coco__fs_marks_of(w->cx);
    COCO_TRY(coco__fs_rules(w->cx, o->include, false, &w->include));
    return coco__fs_rules(w->cx, o->exclude, true, &w->exclude);
}

/* A source without what live mode asks for: coco_walk_dir adds it. What is wrong is its first answer, not NULL: a
 * program that looks for NULL alone must not go on as if the directory were empty, for then all that was made of it
 * would be deleted. */
static coco_source *coco__fs_walk_new(coco_ctx *cx, coco_value base, const coco_walk_opts *opts)
{
    coco__fs_walk *w = coco_alloc(cx, sizeof *w);
    coco_source *src = coco_source_new(cx);

    if (!w || !src) return NULL;
    w->cx = cx;
    w->tree.fd = -1;
    pthread_mutex_init(&w->tree.lock, NULL);
    src->title = "localfs";
    src->ordered = true;
    src->self = w;
    src->next = coco__fs_walk_next;
    src->close = coco__fs_walk_close;
    w->failed = coco__fs_walk_init(w, base, opts, src);
    w->wrong = w->failed != 0;
    if (w->failed) w->why = coco_copy(cx, coco_str_of(coco_error_message(cx))).p;
    return src;
}
