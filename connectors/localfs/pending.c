/* pending.c - part of localfs.c: paths that something happened to, and of which it is told a little later, unless
 * something more happens meanwhile.
 *
 * There are three reasons to wait, each of one length. So each has a queue of its own in which the newest stands last,
 * and a path that is put back goes to the end: the first of the three queues' heads is the next, and nothing has to be
 * sorted. */

/* Why a path waits. */
typedef enum coco__fs_wait {
    COCO__FS_WRITING, /* it is being written: until it is closed, or quiet */
    COCO__FS_CLOSED,  /* as the options say, for more to come */
    COCO__FS_GOING,   /* it went, or its attributes changed: it may come back at once */
    COCO__FS_WAITS
} coco__fs_wait;

typedef struct coco__fs_wish {
    struct coco__fs_wish *by_path;     /* the next in its slot */
    struct coco__fs_wish *next, *prev; /* in its queue */
    coco__fs_wait why;
    int64_t due; /* ms of the steady clock */
    size_t n;    /* length of … */
    char path[]; /* … the path */
} coco__fs_wish;

typedef struct coco__fs_pending {
    coco_feed *feed;              /* for memory */
    coco__fs_wish **slots;        /* cap of them, a power of two; by path */
    size_t cap, n;
    coco__fs_wish *head[COCO__FS_WAITS], *tail[COCO__FS_WAITS];
    int64_t delay[COCO__FS_WAITS]; /* in ms */
} coco__fs_pending;

/* Milliseconds of a clock that nobody sets. */
static int64_t coco__fs_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static coco__fs_wish **coco__fs_pending_slot(const coco__fs_pending *p, coco_str path)
{
    coco__fs_wish **slot = &p->slots[coco__fs_tree_hash(path.p, path.n) & (p->cap - 1)];

    while (*slot && !((*slot)->n == path.n && memcmp((*slot)->path, path.p, path.n) == 0)) slot = &(*slot)->by_path;
    return slot;
}

static coco__fs_wish *coco__fs_pending_at(const coco__fs_pending *p, coco_str path)
{
    return p->n ? *coco__fs_pending_slot(p, path) : NULL;
}

static bool coco__fs_pending_grow(coco__fs_pending *p)
{
    coco__fs_wish **were = p->slots, **slots, *next, **slot;
    size_t old = p->cap, cap = old ? old * 2 : 64;

    if (p->n < old) return true;
    if (!(slots = coco__fs_mem(p->feed, NULL, cap * sizeof *slots))) return false;
    memset(slots, 0, cap * sizeof *slots);
    p->slots = slots;
    p->cap = cap;
    for (size_t i = 0; i < old; i++)
        for (coco__fs_wish *wish = were[i]; wish; wish = next) {
            next = wish->by_path;
            wish->by_path = NULL;
            slot = coco__fs_pending_slot(p, (coco_str){ wish->path, wish->n });
            *slot = wish;
        }
    if (were) coco__fs_mem(p->feed, were, 0);
    return true;
}

static void coco__fs_pending_unqueue(coco__fs_pending *p, coco__fs_wish *wish)
{
    *(wish->prev ? &wish->prev->next : &p->head[wish->why]) = wish->next;
    *(wish->next ? &wish->next->prev : &p->tail[wish->why]) = wish->prev;
}

/* Lets the path wait, from now, for that reason; an earlier one no longer counts. False: no memory. */
static bool coco__fs_pending_put(coco__fs_pending *p, coco_str path, coco__fs_wait why)
{
    coco__fs_wish *wish = coco__fs_pending_at(p, path);

    if (wish) {
        coco__fs_pending_unqueue(p, wish);
    } else {
        if (!coco__fs_pending_grow(p) || !(wish = coco__fs_mem(p->feed, NULL, sizeof *wish + path.n + 1))) return false;
        *wish = (coco__fs_wish){ .n = path.n };
        memcpy(wish->path, path.p, path.n);
        wish->path[path.n] = '\0';
        *coco__fs_pending_slot(p, path) = wish;
        p->n++;
    }
    wish->why = why;
    wish->due = coco__fs_ms() + p->delay[why];
    wish->next = NULL;
    wish->prev = p->tail[why];
    *(wish->prev ? &wish->prev->next : &p->head[why]) = wish;
    p->tail[why] = wish;
    return true;
}

/* It needn't wait any longer. */
static void coco__fs_pending_drop(coco__fs_pending *p, coco__fs_wish *wish)
{
    coco__fs_wish **slot;

    if (!wish) return;
    slot = coco__fs_pending_slot(p, (coco_str){ wish->path, wish->n });
    *slot = wish->by_path;
    coco__fs_pending_unqueue(p, wish);
    coco__fs_mem(p->feed, wish, 0);
    p->n--;
}

/* The one that is due first; NULL: none waits. */
static coco__fs_wish *coco__fs_pending_first(const coco__fs_pending *p)
{
    coco__fs_wish *first = NULL;

    for (int why = 0; why < COCO__FS_WAITS; why++)
        if (p->head[why] && (!first || p->head[why]->due < first->due)) first = p->head[why];
    return first;
}

static void coco__fs_pending_free(coco__fs_pending *p)
{
    for (coco__fs_wish *wish; (wish = coco__fs_pending_first(p)) != NULL;) coco__fs_pending_drop(p, wish);
    if (p->slots) coco__fs_mem(p->feed, p->slots, 0);
}
