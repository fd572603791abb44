/* watch.c - part of localfs.c: a listing that is followed. The source is a view: the engine lists it, and this tells
 * of each path to which something happened; what became of it, coco__fs_walk_get finds out.
 *
 * The watch of a directory begins before its names are read, be it by the listing or, for one that appears later, by
 * the thread that runs here. So whatever happens to a name is either seen in the listing or told by an event (S8.7).
 * What is told may have been seen, or be undone by now: that costs a look, nothing more. Where it isn't known what
 * happened (the queue overflowed, a directory with files moved away, an ignore file changed) all is listed anew; that
 * is asked for once for all the events read together.
 *
 *   a file is closed after writing, or renamed into place     told at once (or after close_ms)
 *   it is written to, or made                                 told when it is closed, or quiet for quiet_ms
 *   it goes, or its attributes change                         told a moment later: an editor that moves a file away
 *                                                             and writes it anew is no delete
 *   a directory appears                                       watched, read, and each file in it told
 *   a directory is deleted                                    the files in it were told before
 *   it is moved away or between                               all is listed anew; where it comes to, it appears
 *   the base goes, is replaced or unmounted                   a failure; looked for, and listed anew when it is back
 *
 * Where the system has no watches (left), and on file systems that others write to over a network, all is listed anew
 * every poll_ms. And since a watch may go silent without a word: now and then the base is opened, which the system
 * tells of; if it doesn't, the watch is begun anew, and so is the listing. The source's rescan_ms is the last
 * resort. */

#define COCO__FS_QUIET_MS 500
#define COCO__FS_GOING_MS 20
#define COCO__FS_POLL_MS 2000
#define COCO__FS_LOST_MS 100    /* between two looks for a base that is gone */
#define COCO__FS_CHECK_MS 10000 /* between two looks whether the watch still works; what is asked has that long */
#define COCO__FS_TICK_MS 2000   /* between two looks whether the base is still the same */
#define COCO__FS_RESCAN_MS 3600000
#define COCO__FS_COOKIE ".coco-sync-%ld-%p-" /* of a process and a source; a number in hex follows */

/* A directory that has appeared, to be looked into. */
typedef struct coco__fs_news {
    struct coco__fs_news *next;
    bool linked;
    size_t n;    /* length of … */
    char path[]; /* … its path, with a slash behind */
} coco__fs_news;

typedef struct coco__fs_watch {
    coco__fs_walk *w;
    coco__fs_tree *t;
    coco_feed *feed;
    coco__fs_pending pending;
    coco__fs_news *news;
    uint64_t swept;    /* the last round whose leftovers were taken out */
    bool missed;       /* all must be listed anew */
    bool over;         /* the update ends */
    bool probing;      /* the base was opened, and the system hasn't told so yet */
    bool unmounted;    /* the base is lost, and this is why … */
    struct stat under; /* … and what stood at its path then */
    int64_t tick_at, check_at, poll_at; /* ms of the steady clock: what is due next */
} coco__fs_watch;

/* ---- Telling --------------------------------------------------------------------------------------------------- */

/* Reports a failure, and goes on. */
static void coco__fs_report(const coco__fs_watch *x, coco_status code, const char *path, const char *what)
{
    coco_err err = { 0 };

    coco_err_set(&err, code, "%s%s%s: %s", x->w->base->path, *path ? "/" : "", path, what);
    coco_feed_fail(x->feed, &err);
}

/* The answer of the feed to what it was told. */
static void coco__fs_told(coco__fs_watch *x, coco_status rc)
{
    if (rc == COCO_ESTOP) x->over = true;
    else if (rc != COCO_OK) x->missed = true;
}

/* Tells of a path now. */
static void coco__fs_tell(coco__fs_watch *x, coco_str path)
{
    if (x->over || x->t->lost || coco__fs_ignored_path(x->w, path)) return;
    coco__fs_told(x, coco_feed_touch(x->feed, coco_text_n(path)));
}

/* Tells of a path after that reason's time. */
static void coco__fs_tell_later(coco__fs_watch *x, coco_str path, coco__fs_wait why)
{
    if (why == COCO__FS_CLOSED && x->pending.delay[why] == 0) {
        coco__fs_pending_drop(&x->pending, coco__fs_pending_at(&x->pending, path));
        coco__fs_tell(x, path);
    } else if (!coco__fs_pending_put(&x->pending, path, why)) {
        coco__fs_tell(x, path);
    }
}

/* Tells of what has waited long enough; all: of everything. */
static void coco__fs_tell_due(coco__fs_watch *x, bool all)
{
    int64_t now = coco__fs_ms();

    for (coco__fs_wish *wish; (wish = coco__fs_pending_first(&x->pending)) != NULL && (all || wish->due <= now);) {
        coco__fs_tell(x, (coco_str){ wish->path, wish->n });
        coco__fs_pending_drop(&x->pending, wish);
    }
}

/* Has everything listed anew if it must be. */
static void coco__fs_tell_missed(coco__fs_watch *x)
{
    if (!x->missed || x->over || x->t->lost) return;
    x->missed = false;
    x->poll_at = coco__fs_ms() + (x->w->poll_ms ? x->w->poll_ms : COCO__FS_POLL_MS);
    coco__fs_told(x, coco_feed_rescan(x->feed));
}

/* Events were lost, the cookie of a barrier maybe among them: a listing makes up for all that came before. */
static void coco__fs_lost_events(coco__fs_watch *x)
{
    uint64_t ticket;

    x->missed = true;
    pthread_mutex_lock(&x->t->lock);
    ticket = x->t->ticket;
    pthread_mutex_unlock(&x->t->lock);
    coco__fs_tell_missed(x);
    if (ticket) coco_feed_synced(x->feed, ticket);
}

/* ---- The base -------------------------------------------------------------------------------------------------- */

static void coco__fs_forget_all(coco__fs_watch *x, bool lost)
{
    pthread_mutex_lock(&x->t->lock);
    if (coco__fs_tree_at(x->t, "", 0)) coco__fs_tree_remove(x->t, coco__fs_tree_at(x->t, "", 0));
    x->t->lost = lost;
    pthread_mutex_unlock(&x->t->lock);
    x->probing = false;
}

/* The base is gone: nothing is told of what is below it, for that isn't known to be gone. */
static void coco__fs_lose(coco__fs_watch *x, const char *why, bool unmounted)
{
    if (x->t->lost) return;
    coco__fs_forget_all(x, true);
    x->unmounted = unmounted && stat(x->w->base->path, &x->under) == 0;
    coco__fs_report(x, COCO_EIO, "", why);
}

/* Looks whether it is back. What stands at the path when a file system was unmounted isn't it. */
static void coco__fs_find(coco__fs_watch *x)
{
    int fd = open(x->w->base->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    bool back = fd >= 0 && fstat(fd, &st) == 0;

    if (fd >= 0) close(fd);
    if (back && x->unmounted && st.st_dev == x->under.st_dev && st.st_ino == x->under.st_ino) back = false;
    if (!back) return;
    pthread_mutex_lock(&x->t->lock);
    x->t->lost = false;
    pthread_mutex_unlock(&x->t->lock);
    coco__fs_lost_events(x);
}

/* Whether the directory at the path of the base is the one that is watched, and may be read. */
static void coco__fs_check_base(coco__fs_watch *x)
{
    const coco__fs_node *base = coco__fs_tree_find(x->t, COCO_STR(""));
    int fd = open(x->w->base->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = errno;
    struct stat st;
    bool same = true;

    if (fd >= 0 && base && fstat(fd, &st) == 0) {
        pthread_mutex_lock(&x->t->lock);
        same = base->dev == st.st_dev && base->ino == st.st_ino;
        pthread_mutex_unlock(&x->t->lock);
    }
    if (fd >= 0) close(fd);
    if (fd < 0) coco__fs_lose(x, strerror(error), false);
    else if (!same) coco__fs_lose(x, "another directory stands there now", false);
}

/* ---- Directories that appear ----------------------------------------------------------------------------------- */

static void coco__fs_appear(coco__fs_watch *x, coco_str path, bool linked)
{
    coco__fs_news *news = coco__fs_mem(x->feed, NULL, sizeof *news + path.n + 1);

    if (!news) {
        x->missed = true;
        return;
    }
    *news = (coco__fs_news){ .next = x->news, .linked = linked, .n = path.n };
    memcpy(news->path, path.p, path.n);
    news->path[path.n] = '\0';
    x->news = news;
}

/* A name that is no text has no key; it is told when it appears. */
static bool coco__fs_name_told(const coco__fs_watch *x, const char *name, bool fresh)
{
    char escaped[4 * (NAME_MAX + 1)];
    size_t n = strlen(name);

    if (coco__fs_utf8_valid(name, n)) return true;
    coco__fs_escape(name, n, escaped);
    if (fresh) coco__fs_report(x, COCO_EUNREAD, escaped, "the name is not UTF-8");
    return false;
}

/* path and a name, with a slash behind if it is a directory; false: too long. */
static bool coco__fs_join(char out[PATH_MAX], const coco__fs_node *node, const char *name, bool dir, coco_str *path)
{
    int n = snprintf(out, PATH_MAX, "%s%s%s", node->path, name, dir ? "/" : "");

    *path = (coco_str){ out, (size_t)n };
    return n > 0 && n < PATH_MAX;
}

static bool coco__fs_dir_wanted(const coco__fs_watch *x, coco_str path)
{
    bool pruned;

    return coco__fs_way_in(x->w, path, &pruned) && !coco__fs_ignored_path(x->w, path);
}

/* One name in a directory that has appeared, or a link whose own name has. */
static void coco__fs_appeared(coco__fs_watch *x, const coco__fs_node *node, const char *name, int kind)
{
    const coco__fs_entry link = { .fd = -1, .linked = true };
    coco__fs_entry entry = link;
    bool dir = kind == COCO__FS_DIR || kind == COCO__FS_LINKED_DIR;
    char buf[PATH_MAX];
    coco_str path;

    if (!coco__fs_join(buf, node, name, dir, &path)) {
        x->missed = true;
    } else if (dir) {
        if (coco__fs_dir_wanted(x, path)) coco__fs_appear(x, path, kind == COCO__FS_LINKED_DIR);
    } else if (coco__fs_globs_take(x->w, path, node->pruned)) {
        entry.path = path;
        if (kind == COCO__FS_LINKED) coco__fs_tree_link_to(x->t, x->w->base->path, &entry);
        coco__fs_tell_later(x, path, COCO__FS_CLOSED);
    }
}

/* What an entry is, as the listing sees it. */
static int coco__fs_kind_at(const coco__fs_walk *w, int dir, const char *name)
{
    struct stat st;
    bool link;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return COCO__FS_UNKNOWN;
    link = S_ISLNK(st.st_mode);
    if (link && !w->follow) return COCO__FS_OTHER;
    if (link && fstatat(dir, name, &st, 0) != 0) return COCO__FS_UNKNOWN;
    if (S_ISDIR(st.st_mode)) return link ? COCO__FS_LINKED_DIR : COCO__FS_DIR;
    return !S_ISREG(st.st_mode) ? COCO__FS_OTHER : link ? COCO__FS_LINKED : COCO__FS_FILE;
}

/* Reads the names in a directory that is watched now. */
static void coco__fs_read_names(coco__fs_watch *x, const coco__fs_node *node, int fd)
{
    DIR *dir = fdopendir(fd);
    const struct dirent *e;

    if (!dir) close(fd);
    while (dir && !x->over && (errno = 0, e = readdir(dir)) != NULL) {
        const char *name = e->d_name;
        if (name[0] == '.' && (!name[1] || !strcmp(name, "..") || strncmp(name, ".coco-", 6) == 0)) continue;
        if (!coco__fs_name_told(x, name, true)) continue;
        coco__fs_appeared(x, node, name, coco__fs_kind_at(x->w, dirfd(dir), name));
    }
    if (!dir || errno != 0) x->missed = true;
    if (dir) closedir(dir);
}

/* Watches a directory and reads it. One that is watched already, as itself, was read before. */
static void coco__fs_look_into(coco__fs_watch *x, const coco__fs_news *news)
{
    coco_str path = { news->path, news->n }, plain = { news->path, news->n - 1 };
    coco__fs_entry entry = { .path = path, .linked = news->linked };
    coco__fs_node *node = coco__fs_tree_find(x->t, path);
    int flags = O_RDONLY | O_DIRECTORY | (news->linked ? 0 : O_NOFOLLOW);
    char buf[PATH_MAX];
    struct stat st;
    bool known;

    snprintf(buf, sizeof buf, "%.*s", (int)plain.n, plain.p); /* without its slash, which would follow a link */
    entry.fd = coco__fs_open(x->w->base->path, (coco_str){ buf, plain.n }, flags);
    if (entry.fd < 0 || fstat(entry.fd, &st) != 0) {
        if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) x->missed = true; /* the listing reports it */
    } else if (!coco__fs_is_target(x->w->marks, &st, NULL) && faccessat(entry.fd, COCO__FS_STATE_LOCK, F_OK, 0) != 0) {
        entry.st = &st;
        coco__fs_way_in(x->w, path, &entry.pruned);
        known = node && coco__fs_tree_is(x->t, node, &st);
        if (node && !known) { /* what the other still has to tell is lost */
            coco__fs_tree_forget(x->t, node);
            x->missed = true;
        }
        if (news->linked && coco__fs_tree_circle(x->t, path, &st)) x->missed = true, known = true;
        node = known ? NULL : coco__fs_tree_enter(x->t, x->w->base->path, &entry);
        if (node) {
            coco__fs_read_names(x, node, entry.fd);
            entry.fd = -1; /* closed by then */
        }
        x->missed |= !known && !node;
    }
    if (entry.fd >= 0) close(entry.fd);
}

static void coco__fs_look_into_news(coco__fs_watch *x)
{
    for (coco__fs_news *news; (news = x->news) != NULL;) {
        x->news = news->next;
        if (!x->over) coco__fs_look_into(x, news);
        coco__fs_mem(x->feed, news, 0);
    }
}

/* ---- Events ---------------------------------------------------------------------------------------------------- */

#ifdef COCO__FS_INOTIFY

/* Opens the base so that the system tells of it, which says that it still does. The mask is put back by the answer. */
static void coco__fs_probe(coco__fs_watch *x)
{
    int wd = inotify_add_watch(x->t->fd, x->w->base->path, COCO__FS_EVENTS | IN_OPEN | IN_ONLYDIR), fd;

    if (wd < 0) return;
    x->probing = true;
    if ((fd = open(x->w->base->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0) close(fd);
}

static void coco__fs_probed(coco__fs_watch *x)
{
    if (!x->probing) return;
    x->probing = false;
    inotify_add_watch(x->t->fd, x->w->base->path, COCO__FS_EVENTS | IN_ONLYDIR);
}

/* Takes out what is at the path and below, if it is watched. */
static bool coco__fs_disappear(coco__fs_watch *x, coco_str path)
{
    coco__fs_node *node = coco__fs_tree_find(x->t, path);

    coco__fs_tree_forget(x->t, node);
    return node != NULL;
}

/* Tells of what has gone below the directory (with a slash behind), which has gone itself: it won't be back at once,
 * and what takes the place of the directory must find it gone. */
static void coco__fs_tell_below(coco__fs_watch *x, coco_str dir)
{
    for (coco__fs_wish *wish = x->pending.head[COCO__FS_GOING], *next; wish; wish = next) {
        next = wish->next;
        if (wish->n < dir.n || memcmp(wish->path, dir.p, dir.n) != 0) continue;
        coco__fs_tell(x, (coco_str){ wish->path, wish->n });
        coco__fs_pending_drop(&x->pending, wish);
    }
}

/* Something happened to a directory, by its name in the one above; path is with a slash. */
static void coco__fs_dir_event(coco__fs_watch *x, uint32_t mask, coco_str path)
{
    const coco_str plain = { path.p, path.n - 1 };
    char full[PATH_MAX];

    if (mask & (IN_CREATE | IN_MOVED_TO)) { /* a file that had its name is gone, and won't be back at once */
        if (coco__fs_pending_at(&x->pending, plain)) coco__fs_tell(x, plain);
        coco__fs_pending_drop(&x->pending, coco__fs_pending_at(&x->pending, plain));
    }
    if (!coco__fs_dir_wanted(x, path)) return;
    if (mask & (IN_CREATE | IN_MOVED_TO)) {
        coco__fs_appear(x, path, false);
    } else if (mask & IN_MOVED_FROM) {
        coco__fs_disappear(x, path);
        x->missed = true;
    } else if (mask & IN_DELETE) {
        pthread_mutex_lock(&x->t->lock);
        x->missed |= x->t->unread;
        pthread_mutex_unlock(&x->t->lock);
        coco__fs_tell_below(x, path); /* it tells of its end itself: a newer one may stand there by now, watched */
    } else if ((mask & IN_ATTRIB) && coco__fs_full(x->w->base->path, path, full)) {
        /* What may be read now appears; what no longer may be is for the listing to report. */
        if (faccessat(AT_FDCWD, full, R_OK | X_OK, AT_EACCESS) == 0) coco__fs_appear(x, path, false);
        else if (coco__fs_disappear(x, path)) x->missed = true;
    }
}

/* A name that is no directory's, or a link's to one, has appeared in the directory. */
static void coco__fs_name_event(coco__fs_watch *x, const coco__fs_node *node, const struct inotify_event *e,
                                coco_str path)
{
    char full[PATH_MAX];
    struct stat st;
    bool whole = e->mask & IN_MOVED_TO; /* with all its content */

    if (!coco__fs_full(x->w->base->path, path, full) || lstat(full, &st) != 0) {
        coco__fs_tell_later(x, path, COCO__FS_GOING);
    } else if (S_ISLNK(st.st_mode)) {
        coco__fs_appeared(x, node, e->name, coco__fs_kind_at(x->w, AT_FDCWD, full));
        coco__fs_look_into_news(x);
    } else if (coco__fs_globs_take(x->w, path, node->pruned)) {
        coco__fs_tell_later(x, path, whole || st.st_nlink > 1 ? COCO__FS_CLOSED : COCO__FS_WRITING);
    }
}

/* Something happened to what is no directory. */
static void coco__fs_file_event(coco__fs_watch *x, const coco__fs_node *node, const struct inotify_event *e,
                                coco_str path)
{
    char dir[PATH_MAX];
    coco_str slashed;

    if ((e->mask & (IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)) && x->w->follow) {
        /* What was a link may have been a link to a directory. */
        coco__fs_disappear(x, path);
        if (coco__fs_join(dir, node, e->name, true, &slashed) && coco__fs_disappear(x, slashed)) x->missed = true;
    }
    if (x->w->gitignore && strcmp(e->name, ".gitignore") == 0 && (e->mask & ~(uint32_t)(IN_CREATE | IN_MODIFY)))
        x->missed = true;
    if (e->mask & (IN_CREATE | IN_MOVED_TO)) {
        coco__fs_name_event(x, node, e, path);
        return;
    }
    if (!coco__fs_globs_take(x->w, path, node->pruned)) return;
    if (e->mask & IN_CLOSE_WRITE) coco__fs_tell_later(x, path, COCO__FS_CLOSED);
    else if (e->mask & IN_MODIFY) coco__fs_tell_later(x, path, COCO__FS_WRITING);
    else if (e->mask & (IN_DELETE | IN_MOVED_FROM)) coco__fs_tell_later(x, path, COCO__FS_GOING);
    else if (!coco__fs_pending_at(&x->pending, path)) coco__fs_tell_later(x, path, COCO__FS_GOING);
}

/* The cookie of a barrier has come: all that happened before it has been read (S8.8). */
static void coco__fs_cookie(coco__fs_watch *x, const char *name)
{
    char mine[80];
    size_t n = (size_t)snprintf(mine, sizeof mine, COCO__FS_COOKIE, (long)getpid(), (void *)x->w);

    if (strncmp(name, mine, n) != 0) return;
    coco__fs_tell_due(x, true);
    coco__fs_tell_missed(x);
    coco_feed_synced(x->feed, strtoull(name + n, NULL, 16));
}

/* Something happened to a name in the directory. */
static void coco__fs_named(coco__fs_watch *x, const coco__fs_node *node, const struct inotify_event *e)
{
    bool dir = e->mask & IN_ISDIR;
    char buf[PATH_MAX];
    coco_str path;

    if (strncmp(e->name, ".coco-", 6) == 0) {
        if ((e->mask & IN_CREATE) && node->n == 0) coco__fs_cookie(x, e->name);
        return;
    }
    if ((e->mask & IN_OPEN) || !coco__fs_name_told(x, e->name, e->mask & (IN_CREATE | IN_MOVED_TO))) return;
    if (!coco__fs_join(buf, node, e->name, dir, &path)) x->missed = true;
    else if (!dir) coco__fs_file_event(x, node, e, path);
    else coco__fs_dir_event(x, e->mask, path);
    coco__fs_look_into_news(x);
}

/* Something happened to a file that a link leads to. Where another takes its place, the watch moves on to that. */
static void coco__fs_linked_file(coco__fs_watch *x, coco__fs_node *node, uint32_t mask)
{
    coco__fs_entry entry = { .fd = -1, .linked = true };
    char buf[PATH_MAX];

    snprintf(buf, sizeof buf, "%s", node->path);
    entry.path = (coco_str){ buf, strlen(buf) };
    if (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB | IN_IGNORED | IN_UNMOUNT)) {
        coco__fs_tree_forget(x->t, node);
        coco__fs_tree_link_to(x->t, x->w->base->path, &entry);
    }
    if (mask & IN_MODIFY) coco__fs_tell_later(x, entry.path, COCO__FS_WRITING);
    else coco__fs_tell_later(x, entry.path, mask & IN_CLOSE_WRITE ? COCO__FS_CLOSED : COCO__FS_GOING);
}

/* Something happened to the directory itself. */
static void coco__fs_self(coco__fs_watch *x, coco__fs_node *node, uint32_t mask)
{
    bool gone = mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED);

    if (node->n == 0) {
        if (mask & IN_OPEN) coco__fs_probed(x);
        if (mask & IN_ATTRIB) coco__fs_check_base(x);
        if (gone) coco__fs_lose(x, mask & IN_UNMOUNT ? "it was unmounted" : "it was removed or moved away",
                                mask & IN_UNMOUNT);
        return;
    }
    if (!gone || (mask == IN_MOVE_SELF && !coco__fs_tree_linked(x->t, node))) return; /* told by the one above */
    pthread_mutex_lock(&x->t->lock);
    /* What is watched below a directory that has ended was made below another of that name, and has more to tell. */
    x->missed |= node->linked || node->first || (mask & IN_UNMOUNT);
    coco__fs_tree_remove(x->t, node);
    pthread_mutex_unlock(&x->t->lock);
}

static void coco__fs_event(coco__fs_watch *x, const struct inotify_event *e)
{
    coco__fs_node *node, *next;

    if (e->mask & IN_Q_OVERFLOW) {
        coco__fs_lost_events(x);
        return;
    }
    for (node = coco__fs_tree_of(x->t, e->wd, NULL); node; node = next) {
        next = coco__fs_tree_of(x->t, e->wd, node);
        if (e->len > 0) coco__fs_named(x, node, e);
        else if (node->n > 0 && node->path[node->n - 1] != '/') coco__fs_linked_file(x, node, e->mask);
        else coco__fs_self(x, node, e->mask & ~(uint32_t)IN_ISDIR);
    }
}

/* Reads what the system has to tell. */
static void coco__fs_events(coco__fs_watch *x)
{
    union {
        struct inotify_event aligned;
        char p[16384];
    } buf;
    const struct inotify_event *e;
    ssize_t n;

    while (!x->over && (n = read(x->t->fd, buf.p, sizeof buf.p)) > 0) {
        for (const char *p = buf.p; p < buf.p + n; p += sizeof *e + e->len) {
            e = (const struct inotify_event *)(const void *)p;
            coco__fs_hooks.events++;
            if (!coco__fs_hooks.deaf) coco__fs_event(x, e);
        }
    }
}

#endif /* COCO__FS_INOTIFY */

/* ---- The thread ------------------------------------------------------------------------------------------------ */

/* File systems on which others write, whose changes no system here tells of: NFS, SMB and CIFS, 9P, FUSE, AFS, Ceph,
 * Lustre. */
static bool coco__fs_is_remote(const char *path)
{
#ifdef COCO__FS_INOTIFY
    static const uint32_t magics[] = { 0x6969, 0x517B, 0xFF534D42, 0xFE534D42, 0x01021997, 0x65735546, 0x5346414F,
                                       0x00C36400, 0x0BD00BD0 };
    struct statfs fs;

    if (statfs(path, &fs) != 0) return false;
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if ((uint32_t)fs.f_type == magics[i]) return true;
#else
    (void)path;
#endif
    return false;
}

/* Opens the system's watches, unless the options ask for looking. -1: there are none. */
static int coco__fs_watches(const coco__fs_walk *w, const char **why)
{
    int fd = -1;

#ifdef COCO__FS_INOTIFY
    if (w->poll_ms) return -1;
    fd = coco__fs_hooks.none ? (errno = EMFILE, -1) : inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) *why = strerror(errno);
#else
    (void)w;
    *why = "not on this system";
#endif
    return fd;
}

/* From here on each directory that a listing enters is watched. Returns whether one has begun before. */
static bool coco__fs_watch_begin(coco__fs_watch *x)
{
    const char *why = NULL;
    int fd = coco__fs_watches(x->w, &why);
    bool late;

    if (!why && !x->w->poll_ms && coco__fs_is_remote(x->w->base->path)) why = "others may write to its file system";
    pthread_mutex_lock(&x->t->lock);
    x->t->feed = x->feed;
    x->t->fd = fd;
    x->t->why = why;
    x->t->blind = why != NULL;
    late = x->t->round > 0;
    pthread_mutex_unlock(&x->t->lock);
    return late;
}

static void coco__fs_watch_end(coco__fs_watch *x)
{
    coco__fs_tree *t = x->t;

    coco__fs_forget_all(x, false);
    pthread_mutex_lock(&t->lock);
    if (t->paths) coco__fs_mem(t->feed, t->paths, 0);
    if (t->wds) coco__fs_mem(t->feed, t->wds, 0);
    if (t->fd >= 0) close(t->fd);
    t->paths = t->wds = NULL;
    t->cap = 0;
    t->fd = -1;
    t->feed = NULL;
    pthread_mutex_unlock(&t->lock);
    coco__fs_look_into_news(x);
    coco__fs_pending_free(&x->pending);
}

#ifdef COCO__FS_INOTIFY
/* The system no longer tells of anything: begins anew with watches of its own. */
static void coco__fs_watch_anew(coco__fs_watch *x)
{
    const char *why = NULL;
    int fd, old = x->t->fd;

    coco__fs_forget_all(x, false);
    fd = coco__fs_watches(x->w, &why);
    pthread_mutex_lock(&x->t->lock);
    x->t->fd = fd;
    pthread_mutex_unlock(&x->t->lock);
    close(old);
    coco__fs_report(x, COCO_EIO, "", "the system told of no change any more: the watch was begun anew");
    coco__fs_lost_events(x);
}
#endif

static unsigned coco__fs_check_ms(void)
{
    return coco__fs_hooks.check_ms ? coco__fs_hooks.check_ms : COCO__FS_CHECK_MS;
}

/* What is due by the clock. */
static void coco__fs_tick(coco__fs_watch *x)
{
    int64_t now = coco__fs_ms();
    bool polls;

    if (now >= x->tick_at) {
        if (x->t->lost) coco__fs_find(x);
        else coco__fs_check_base(x);
        x->tick_at = now + (x->t->lost ? COCO__FS_LOST_MS : COCO__FS_TICK_MS);
    }
#ifdef COCO__FS_INOTIFY
    if (now >= x->check_at && x->t->fd >= 0 && !x->t->lost) {
        if (x->probing) coco__fs_watch_anew(x);
        else coco__fs_probe(x);
        x->check_at = now + coco__fs_check_ms();
    }
#endif
    pthread_mutex_lock(&x->t->lock);
    polls = x->t->fd < 0 || x->t->blind || x->t->unwatched > 0;
    pthread_mutex_unlock(&x->t->lock);
    if (polls && now >= x->poll_at) x->missed = true;
}

/* Waits until something happens or is due. */
static void coco__fs_sleep(const coco__fs_watch *x)
{
    bool held = coco__fs_hooks.hold;
    struct pollfd fds[2] = { { .fd = coco_feed_stop_fd(x->feed), .events = POLLIN },
                             { .fd = held ? -1 : x->t->fd, .events = POLLIN } };
    const coco__fs_wish *first = coco__fs_pending_first(&x->pending);
    int64_t until = x->tick_at, now = coco__fs_ms();

    if (first && first->due < until) until = first->due;
    if (x->t->fd >= 0 && x->check_at < until) until = x->check_at;
    if (x->t->fd < 0 && x->poll_at < until) until = x->poll_at;
    if (held && until > now + 10) until = now + 10;
    poll(fds, 2, until > now ? (int)(until - now) : 0);
}

/* The watch: on a thread of its own until the update ends. */
static coco_status coco__fs_walk_watch(coco_source *src, coco_feed *feed)
{
    coco__fs_walk *w = src->self;
    coco__fs_watch x = { .w = w, .t = &w->tree, .feed = feed, .pending = { .feed = feed } };
    int64_t now = coco__fs_ms();

    if (w->wrong) return COCO_OK; /* the listing says so */
    x.pending.delay[COCO__FS_WRITING] = w->quiet_ms;
    x.pending.delay[COCO__FS_CLOSED] = w->close_ms;
    x.pending.delay[COCO__FS_GOING] = COCO__FS_GOING_MS;
    x.tick_at = now + COCO__FS_TICK_MS;
    x.check_at = now + coco__fs_check_ms();
    x.poll_at = now + (w->poll_ms ? w->poll_ms : COCO__FS_POLL_MS);
    x.missed = coco__fs_watch_begin(&x);
    coco_feed_ready(feed);
    while (!x.over && !coco_feed_stopping(feed)) {
        coco__fs_tell_missed(&x);
        coco__fs_sleep(&x);
#ifdef COCO__FS_INOTIFY
        if (x.t->fd >= 0 && !coco__fs_hooks.hold) coco__fs_events(&x);
#endif
        coco__fs_tree_sweep(x.t, &x.swept);
        coco__fs_tell_due(&x, false);
        coco__fs_tick(&x);
    }
    coco__fs_watch_end(&x);
    return COCO_OK;
}

/* A barrier: a file of our own in the base, whose event comes behind those of all that happened before. */
static coco_status coco__fs_walk_sync(coco_source *src, coco_feed *feed, uint64_t ticket)
{
    coco__fs_walk *w = src->self;
    char name[80], path[PATH_MAX];
    bool told;
    int n, fd;

    (void)feed;
    pthread_mutex_lock(&w->tree.lock);
    w->tree.ticket = ticket;
    told = w->tree.feed && w->tree.fd >= 0 && !w->tree.blind && w->tree.unwatched == 0 && !w->tree.lost &&
           coco__fs_tree_at(&w->tree, "", 0);
    pthread_mutex_unlock(&w->tree.lock);
    if (!told || w->wrong) return COCO_EFAIL; /* a listing will tell */
    n = snprintf(name, sizeof name, COCO__FS_COOKIE "%llx", (long)getpid(), (void *)w, (unsigned long long)ticket);
    if (!coco__fs_full(w->base->path, (coco_str){ name, (size_t)n }, path)) return COCO_EFAIL;
    if ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0) return coco__fs_status(errno);
    close(fd);
    unlink(path);
    return COCO_OK;
}

coco_source *coco_walk_dir(coco_ctx *cx, coco_value base, const coco_walk_opts *opts)
{
    static const coco_walk_opts defaults;
    const coco_walk_opts *o = opts ? opts : &defaults;
    coco_source *src = coco__fs_walk_new(cx, base, o);
    coco__fs_walk *w = src ? src->self : NULL;

    if (!src || !o->live) return src;
    w->quiet_ms = o->quiet_ms ? o->quiet_ms : COCO__FS_QUIET_MS;
    w->close_ms = o->close_ms;
    w->poll_ms = o->poll_ms;
    src->watch = coco__fs_walk_watch;
    src->watch_first = true;
    src->get = coco__fs_walk_get;
    src->rewind = coco__fs_walk_rewind;
    src->sync = coco__fs_walk_sync;
    src->rescan_ms = o->rescan_ms ? o->rescan_ms : COCO__FS_RESCAN_MS;
    return src;
}
