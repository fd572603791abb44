/* tree.c - part of localfs.c: the directories that a live source watches.
 *
 * One node a directory, found by its path and by its watch. Two threads work here: the listing adds each directory
 * before it looks into it (so nothing that happens in between is missed, S8.7), and the watch adds those that appear
 * later, takes out those that go, and reads events. One lock guards the tables; nodes are freed by the watch alone, so
 * what it holds stays valid without the lock, and the path of a node never changes: a directory that moves is another.
 *
 * A listing gives each directory it meets the number of its round. What a finished listing hasn't met is gone: the
 * watch takes it out (coco__fs_tree_sweep).
 *
 * Links may lead to one directory by several paths. The system has one watch for all of them; the nodes share it. */

struct coco__fs_hooks coco__fs_hooks;

#define COCO__FS_EVENTS \
    (IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | \
     IN_MOVE_SELF)

typedef struct coco__fs_node {
    struct coco__fs_node *parent;  /* NULL: this is the base */
    struct coco__fs_node *first;   /* of its children … */
    struct coco__fs_node *next, **prev; /* … which are linked so */
    struct coco__fs_node *by_path, *by_wd; /* the next in the slot of each table */
    int wd;           /* its watch; -1: none */
    dev_t dev;        /* identity of the directory … */
    ino_t ino;        /* … for loops and for a base that is replaced */
    uint64_t round;   /* of the last listing that met it */
    bool pruned;      /* excluded: only what is taken back in is given; by its path alone, so it never changes */
    bool linked;      /* reached by a symbolic link, or a file so reached: no directory above tells of its changes */
    size_t n;         /* length of … */
    char path[];      /* … its path below the base, with a slash behind; "" for the base; a file's without slash */
} coco__fs_node;

typedef struct coco__fs_tree {
    pthread_mutex_t lock;
    coco_feed *feed;        /* NULL: not watched (now) */
    int fd;                 /* of the system's watches; -1: none, changes are looked for */
    coco__fs_node **paths, **wds; /* cap slots each, a power of two */
    size_t cap, n;
    uint64_t round;         /* of the listing under way, or the last */
    uint64_t whole;         /* the last round that came to its end */
    bool blind;             /* the system has no watches, or doesn't tell everything */
    size_t unwatched;       /* directories for which there was no watch left, in the last listing */
    const char *why;        /* of the two … */
    bool told;              /* … and whether the user was told */
    bool unread;            /* a directory couldn't be listed: what goes with it is known to a listing alone */
    uint64_t ticket;        /* of the last barrier that was asked for; 0: none */
    bool lost;              /* the base is gone: nothing below it is known to be gone */
} coco__fs_tree;

/* Memory of what the watch keeps: like realloc. */
static void *coco__fs_mem(coco_feed *feed, void *p, size_t n)
{
    return coco_feed_realloc(feed, p, n);
}

/* ---- Tables ---------------------------------------------------------------------------------------------------- */

/* FNV-1a; the paths are the user's own, nobody gains by making them collide. */
static size_t coco__fs_tree_hash(const char *path, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)path[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

static size_t coco__fs_wd_hash(int wd)
{
    return (size_t)((uint32_t)wd * 0x9E3779B1u);
}

static void coco__fs_tree_link(coco__fs_tree *t, coco__fs_node *node)
{
    coco__fs_node **slot = &t->paths[coco__fs_tree_hash(node->path, node->n) & (t->cap - 1)];

    node->by_path = *slot;
    *slot = node;
}

static void coco__fs_tree_link_wd(coco__fs_tree *t, coco__fs_node *node)
{
    coco__fs_node **slot = &t->wds[coco__fs_wd_hash(node->wd) & (t->cap - 1)];

    node->by_wd = *slot;
    *slot = node;
}

#ifdef COCO__FS_INOTIFY
static void coco__fs_tree_unlink_wd(coco__fs_tree *t, coco__fs_node *node)
{
    coco__fs_node **slot = &t->wds[coco__fs_wd_hash(node->wd) & (t->cap - 1)];

    if (node->wd < 0) return;
    while (*slot != node) slot = &(*slot)->by_wd;
    *slot = node->by_wd;
    node->wd = -1;
}
#endif

/* Doubles the tables when they are full; false: no memory. */
static bool coco__fs_tree_grow(coco__fs_tree *t)
{
    size_t cap = t->cap ? t->cap * 2 : 64, bytes = cap * sizeof *t->paths, old = t->cap;
    coco__fs_node **paths, **wds, **were = t->paths;

    if (t->n < t->cap) return true;
    paths = coco__fs_mem(t->feed, NULL, bytes);
    wds = paths ? coco__fs_mem(t->feed, NULL, bytes) : NULL;
    if (!wds) {
        if (paths) coco__fs_mem(t->feed, paths, 0);
        return false;
    }
    memset(paths, 0, bytes);
    memset(wds, 0, bytes);
    if (t->wds) coco__fs_mem(t->feed, t->wds, 0);
    t->paths = paths;
    t->wds = wds;
    t->cap = cap;
    for (size_t i = 0; i < old; i++)
        for (coco__fs_node *node = were[i], *next; node; node = next) {
            next = node->by_path;
            coco__fs_tree_link(t, node);
            if (node->wd >= 0) coco__fs_tree_link_wd(t, node);
        }
    if (were) coco__fs_mem(t->feed, were, 0);
    return true;
}

static coco__fs_node *coco__fs_tree_at(const coco__fs_tree *t, const char *path, size_t n)
{
    coco__fs_node *node = t->n ? t->paths[coco__fs_tree_hash(path, n) & (t->cap - 1)] : NULL;

    while (node && !(node->n == n && (n == 0 || memcmp(node->path, path, n) == 0))) node = node->by_path;
    return node;
}

#ifdef COCO__FS_INOTIFY
/* The first node with that watch, or the one behind `after`. */
static coco__fs_node *coco__fs_tree_of(coco__fs_tree *t, int wd, const coco__fs_node *after)
{
    coco__fs_node *node;

    pthread_mutex_lock(&t->lock);
    node = after ? after->by_wd : t->n ? t->wds[coco__fs_wd_hash(wd) & (t->cap - 1)] : NULL;
    while (node && node->wd != wd) node = node->by_wd;
    pthread_mutex_unlock(&t->lock);
    return node;
}
#endif

/* ---- Nodes ----------------------------------------------------------------------------------------------------- */

/* What is known of a directory when it is entered. */
typedef struct coco__fs_entry {
    coco_str path;  /* with a slash behind; "" for the base */
    int fd;         /* open; for a file that a link leads to -1 */
    const struct stat *st;
    bool pruned, linked;
} coco__fs_entry;

/* The node above that path, which has one: a listing comes from above, and so does the watch. NULL for the base. */
static coco__fs_node *coco__fs_tree_parent(const coco__fs_tree *t, coco_str path)
{
    size_t n = path.n ? path.n - 1 : 0;

    while (n > 0 && path.p[n - 1] != '/') n--;
    return path.n ? coco__fs_tree_at(t, path.p, n) : NULL;
}

/* Makes a node. NULL: no memory, or nothing is known of the directory it is in. */
static coco__fs_node *coco__fs_tree_new(coco__fs_tree *t, const coco__fs_entry *e)
{
    coco__fs_node *parent = coco__fs_tree_parent(t, e->path), *node;

    if ((e->path.n && !parent) || !coco__fs_tree_grow(t)) return NULL;
    if (!(node = coco__fs_mem(t->feed, NULL, sizeof *node + e->path.n + 1))) return NULL;
    *node = (coco__fs_node){ .parent = parent, .wd = -1, .pruned = e->pruned, .n = e->path.n };
    if (e->path.n) memcpy(node->path, e->path.p, e->path.n);
    node->path[e->path.n] = '\0';
    if (parent) {
        if ((node->next = parent->first) != NULL) node->next->prev = &node->next;
        node->prev = &parent->first;
        parent->first = node;
    }
    coco__fs_tree_link(t, node);
    t->n++;
    return node;
}

#ifdef COCO__FS_INOTIFY
/* Asks the system to tell of the open directory, or of the file at the path below the base. -1 with errno. */
static int coco__fs_watch_add(const coco__fs_tree *t, const char *base, const coco__fs_entry *e)
{
    char path[PATH_MAX];
    int wd;

    if (coco__fs_hooks.watches && t->n > coco__fs_hooks.watches) return errno = ENOSPC, -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", e->fd);
    if (e->fd >= 0 && ((wd = inotify_add_watch(t->fd, path, COCO__FS_EVENTS | IN_ONLYDIR)) >= 0 || errno != ENOENT))
        return wd;
    /* No /proc. What happens to the path meanwhile is told by the directory above. */
    if (!coco__fs_full(base, e->path.n ? e->path : COCO_STR("."), path)) return errno = ENAMETOOLONG, -1;
    return inotify_add_watch(t->fd, path, COCO__FS_EVENTS);
}

/* Takes the watch off the node. Nodes of one directory share it: it ends with the last. */
static void coco__fs_tree_unwatch(coco__fs_tree *t, coco__fs_node *node)
{
    int wd = node->wd;
    const coco__fs_node *other;

    if (wd < 0) return;
    coco__fs_tree_unlink_wd(t, node);
    other = t->wds[coco__fs_wd_hash(wd) & (t->cap - 1)];
    while (other && other->wd != wd) other = other->by_wd;
    if (!other) inotify_rm_watch(t->fd, wd); /* of a directory that is gone the system has done it: no harm */
}

/* Gives the node the watch of that number, which may be the one it has. */
static void coco__fs_tree_watch(coco__fs_tree *t, coco__fs_node *node, int wd)
{
    if (wd == node->wd) return;
    coco__fs_tree_unwatch(t, node);
    node->wd = wd;
    coco__fs_tree_link_wd(t, node);
}
#endif

/* Adds the directory to those that are watched, or finds it there; before it is looked into. The tree may not be
 * watched: then nothing is done. Returns the node; NULL where there is none. */
static coco__fs_node *coco__fs_tree_enter(coco__fs_tree *t, const char *base, const coco__fs_entry *e)
{
    coco__fs_node *node = NULL;

    pthread_mutex_lock(&t->lock);
    if (t->feed && !(node = coco__fs_tree_at(t, e->path.p, e->path.n))) node = coco__fs_tree_new(t, e);
    if (t->feed && !node) t->unread = true;
    if (node) {
        node->dev = e->st->st_dev;
        node->ino = e->st->st_ino;
        node->round = t->round;
        node->linked = e->linked;
    }
#ifdef COCO__FS_INOTIFY
    if (node && t->fd >= 0) {
        int wd = coco__fs_watch_add(t, base, e);
        if (wd >= 0) coco__fs_tree_watch(t, node, wd);
        else if (errno == ENOSPC || errno == ENOMEM) t->unwatched++, t->why = strerror(errno);
    }
#else
    (void)base;
#endif
    pthread_mutex_unlock(&t->lock);
    return node;
}

/* The same for a link to a file: the file may change where no directory that is watched tells of it. */
static void coco__fs_tree_link_to(coco__fs_tree *t, const char *base, const coco__fs_entry *e)
{
    struct stat nothing = { 0 };
    coco__fs_entry entry = *e;

    entry.st = &nothing;
    coco__fs_tree_enter(t, base, &entry);
}

/* Takes out a node and all below it. */
static void coco__fs_tree_remove(coco__fs_tree *t, coco__fs_node *node)
{
    coco__fs_node **slot, *parent;

    for (coco__fs_node *at = node; at; at = parent) {
        if (at->first) {
            parent = at->first;
            continue;
        }
        parent = at == node ? NULL : at->parent;
#ifdef COCO__FS_INOTIFY
        coco__fs_tree_unwatch(t, at);
#endif
        slot = &t->paths[coco__fs_tree_hash(at->path, at->n) & (t->cap - 1)];
        while (*slot != at) slot = &(*slot)->by_path;
        *slot = at->by_path;
        if (at->prev && (*at->prev = at->next) != NULL) at->next->prev = at->prev;
        coco__fs_mem(t->feed, at, 0);
        t->n--;
    }
}

static void coco__fs_tree_forget(coco__fs_tree *t, coco__fs_node *node)
{
    pthread_mutex_lock(&t->lock);
    if (node) coco__fs_tree_remove(t, node);
    pthread_mutex_unlock(&t->lock);
}

/* The node at the path, as the watch may use it. */
static coco__fs_node *coco__fs_tree_find(coco__fs_tree *t, coco_str path)
{
    coco__fs_node *node;

    pthread_mutex_lock(&t->lock);
    node = coco__fs_tree_at(t, path.p, path.n);
    pthread_mutex_unlock(&t->lock);
    return node;
}

/* ---- Rounds ---------------------------------------------------------------------------------------------------- */

/* A listing begins. False: the base is lost, and a listing would only find out that everything is gone. */
static bool coco__fs_tree_begin(coco__fs_tree *t)
{
    bool lost;

    pthread_mutex_lock(&t->lock);
    t->round++;
    t->unread = false;
    t->unwatched = 0;
    lost = t->lost;
    pthread_mutex_unlock(&t->lock);
    return !lost;
}

/* A directory can't be listed. */
static void coco__fs_tree_unread(coco__fs_tree *t)
{
    pthread_mutex_lock(&t->lock);
    t->unread = true;
    pthread_mutex_unlock(&t->lock);
}

/* A listing has come to its end. */
static void coco__fs_tree_end(coco__fs_tree *t)
{
    pthread_mutex_lock(&t->lock);
    t->whole = t->round;
    pthread_mutex_unlock(&t->lock);
}

/* Takes out what the last whole listing hasn't met. The node of the base stays in any case. */
static void coco__fs_tree_sweep(coco__fs_tree *t, uint64_t *swept)
{
    coco__fs_node *at, *next;

    pthread_mutex_lock(&t->lock);
    at = t->whole != *swept ? coco__fs_tree_at(t, "", 0) : NULL;
    *swept = t->whole;
    for (; at; at = next) { /* in preorder; what is taken out is passed over with all below it */
        bool gone = at->parent && at->round < t->whole;
        next = gone ? NULL : at->first;
        for (const coco__fs_node *up = at; !next && up; up = up->parent) next = up->next;
        if (gone) coco__fs_tree_remove(t, at);
    }
    pthread_mutex_unlock(&t->lock);
}

/* Whether the directory is one of those on the way to the path: a link there to it would lead in a circle. */
static bool coco__fs_tree_circle(coco__fs_tree *t, coco_str path, const struct stat *st)
{
    const coco__fs_node *node;

    pthread_mutex_lock(&t->lock);
    node = coco__fs_tree_parent(t, path);
    while (node && !(node->dev == st->st_dev && node->ino == st->st_ino)) node = node->parent;
    pthread_mutex_unlock(&t->lock);
    return node != NULL;
}

/* Whether the node is watched and stands for that directory. */
static bool coco__fs_tree_is(coco__fs_tree *t, const coco__fs_node *node, const struct stat *st)
{
    bool is;

    pthread_mutex_lock(&t->lock);
    is = node->wd >= 0 && node->dev == st->st_dev && node->ino == st->st_ino;
    pthread_mutex_unlock(&t->lock);
    return is;
}

#ifdef COCO__FS_INOTIFY
static bool coco__fs_tree_linked(coco__fs_tree *t, const coco__fs_node *node)
{
    bool linked;

    pthread_mutex_lock(&t->lock);
    linked = node->linked;
    pthread_mutex_unlock(&t->lock);
    return linked;
}
#endif
