/* wanted.c - part of localfs.c: one path by itself: whether a listing would give it, and the item for it. For live
 * mode, which hears of single paths. Nothing here is kept, so any thread may ask. */

/* Whether the globs let a listing come into the directory, given with a slash behind; *pruned as it then is. */
static bool coco__fs_way_in(const coco__fs_walk *w, coco_str path, bool *pruned)
{
    *pruned = false;
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] == '/' && !coco__fs_rules_enter(w->include, w->exclude, (coco_str){ path.p, i + 1 }, pruned))
            return false;
    return true;
}

/* What the ignore file of a directory says of the path below it, read in pieces of whole lines. What can't be read says
 * nothing: the listing reports it. */
static int coco__fs_ignore_file(int fd, coco_str path, bool dir)
{
    char buf[8192];
    size_t n = 0, whole;
    int says = 0, now;
    bool skip = false; /* in a line that is longer than any glob */
    ssize_t r;

    while ((r = coco__fs_read_some(fd, buf + n, sizeof buf - 1 - n)) > 0 || n > 0) {
        n += r > 0 ? (size_t)r : 0;
        if (r <= 0) buf[n++] = '\n';
        for (whole = n; whole > 0 && buf[whole - 1] != '\n'; whole--) continue;
        if (whole == 0 && n == sizeof buf - 1) n = 0, skip = true;
        if (whole == 0) continue;
        const char *from = skip ? (const char *)memchr(buf, '\n', whole) + 1 : buf;
        skip = false;
        now = coco__fs_ignore_says((coco_str){ from, (size_t)(buf + whole - from) }, path, dir);
        if (now != 0) says = now;
        memmove(buf, buf + whole, n - whole);
        n -= whole;
        if (r <= 0) break;
    }
    return says;
}

/* Whether the ignore files leave out the path, a directory's with a slash behind. The deepest that says something
 * decides. */
static bool coco__fs_ignored_one(const coco__fs_walk *w, coco_str path)
{
    bool dir = path.n && path.p[path.n - 1] == '/';
    coco_str plain = { path.p, path.n - dir };
    size_t at = plain.n;
    char file[PATH_MAX];
    int says = dir && coco_str_equal(coco_path_name(plain), COCO_STR(".git")), fd;

    while (at > 0 && says == 0) {
        for (at--; at > 0 && plain.p[at - 1] != '/'; at--) continue;
        if ((size_t)snprintf(file, sizeof file, "%.*s.gitignore", (int)at, plain.p) >= sizeof file) continue;
        fd = coco__fs_open(w->base->path, coco_str_of(file), O_RDONLY | O_NONBLOCK);
        if (fd < 0) continue;
        says = coco__fs_ignore_file(fd, (coco_str){ plain.p + at, plain.n - at }, dir);
        close(fd);
    }
    return says > 0;
}

/* The same of the path and of every directory on the way to it. */
static bool coco__fs_ignored_path(const coco__fs_walk *w, coco_str path)
{
    for (size_t i = 0; w->gitignore && i < path.n; i++)
        if ((path.p[i] == '/' || i + 1 == path.n) && coco__fs_ignored_one(w, (coco_str){ path.p, i + 1 })) return true;
    return false;
}

/* Whether a name on the way is one that is never given. */
static bool coco__fs_hidden(coco_str path)
{
    for (size_t i = 0; i < path.n; i++)
        if ((i == 0 || path.p[i - 1] == '/') && path.n - i >= 6 && memcmp(path.p + i, ".coco-", 6) == 0) return true;
    return false;
}

/* Whether one of the directories on the way is a symbolic link. */
static bool coco__fs_by_link(const coco__fs_walk *w, coco_str path)
{
    char full[PATH_MAX];
    struct stat st;
    size_t base = strlen(w->base->path) + 1;

    if (!coco__fs_full(w->base->path, path, full)) return false;
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] != '/') continue;
        full[base + i] = '\0';
        if (lstat(full, &st) == 0 && S_ISLNK(st.st_mode)) return true;
        full[base + i] = '/';
    }
    return false;
}

/* Whether the base is what it was when it was listed: else nothing is known of what is below it. */
static bool coco__fs_base_there(coco__fs_walk *w)
{
    const coco__fs_node *node;
    struct stat st;
    bool same = stat(w->base->path, &st) == 0 && S_ISDIR(st.st_mode);

    pthread_mutex_lock(&w->tree.lock);
    if (w->tree.lost) same = false;
    node = same && w->tree.feed ? coco__fs_tree_at(&w->tree, "", 0) : NULL;
    if (node) same = node->dev == st.st_dev && node->ino == st.st_ino;
    pthread_mutex_unlock(&w->tree.lock);
    return same;
}

/* Looks at the file. Returns 1, 0 (it is none, or gone) or COCO_EUNREAD. */
static int coco__fs_look_at(coco__fs_walk *w, coco_ctx *cx, coco_file *file)
{
    char full[PATH_MAX];
    struct stat st;
    int error = 0, fd;

    if (!coco__fs_full(w->base->path, file->path, full)) {
        error = (fd = coco__fs_file_fd(file, &file->listed)) < 0 ? errno : 0;
        if (fd >= 0) close(fd);
    } else if ((w->follow && stat(full, &st) == 0) || lstat(full, &st) == 0) { /* it may have come back in between */
        if (S_ISLNK(st.st_mode) && w->follow)
            return coco_fail(cx, COCO_EUNREAD, "%s: a symbolic link to nothing", full);
        if (!S_ISREG(st.st_mode)) return 0;
        file->listed = coco__fs_stamp_of(&st);
    } else {
        error = errno;
    }
    if (error == 0) return 1;
    if (error == EISDIR || error == ENODEV) return 0;
    if (error != ENOENT && error != ENOTDIR)
        return coco_fail(cx, COCO_EUNREAD, "%s/%s: %s", w->base->path, file->path.p, strerror(error));
    if (coco__fs_base_there(w)) return 0;
    return coco_fail(cx, COCO_EUNREAD, "%s/%s: the directory %s itself is gone", w->base->path, file->path.p,
                     w->base->path);
}

/* The item for a path that was touched: what a listing would give now. */
static int coco__fs_walk_get(coco_source *src, coco_ctx *cx, coco_value key, coco_value *value)
{
    coco__fs_walk *w = src->self;
    coco_str path = coco_text_of(key);
    coco_file *file;
    bool pruned;
    int rc;

    if (w->wrong) return coco_fail(cx, w->failed, "%s", w->why ? w->why : "out of memory");
    if (key.kind != COCO_TEXT_KIND || path.n == 0) return 0;
    if (!coco__fs_way_in(w, path, &pruned) || !coco__fs_globs_take(w, path, pruned) || coco__fs_hidden(path)) return 0;
    if (coco__fs_ignored_path(w, path) || (!w->follow && coco__fs_by_link(w, path))) return 0;
    if (!(file = coco__fs_file_new(cx, w->base, path))) return COCO_ENOMEM;
    file->start = coco__fs_now();
    if ((rc = coco__fs_look_at(w, cx, file)) != 1) return rc;
    *value = coco_object(&coco_file_class, file);
    return 1;
}

/* A listing from the beginning, in the memory of cx, which lasts as long as it. */
static coco_status coco__fs_walk_rewind(coco_source *src, coco_ctx *cx)
{
    coco__fs_walk *w = src->self;

    coco__fs_walk_close(src);
    if (w->wrong) return COCO_OK; /* next says so */
    w->cx = cx;
    w->first = (coco__fs_level){ 0 };
    w->path = (coco__fs_buf){ 0 };
    w->begun = false;
    w->failed = COCO_OK;
    return COCO_OK;
}
