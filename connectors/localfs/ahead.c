/* ahead.c - part of localfs.c: a thread that looks at files of a listed directory before they are asked for, and lists
 * the directory that comes next.
 *
 * Most of a listing in which nothing has changed is one fstatat a file; what the engine does with the file takes half
 * as long. In a large listing a second thread does some of those calls meanwhile. Each file is looked at by whoever
 * claims it first, so nobody waits, but for a call that is being made:
 *   1. Files have numbers that only grow. What is seen stands beside the number of its file, and whether it is done; to
 *      claim a file is to put its number there, which one of the two does.
 *   2. The helper has a run of files, at most AHEAD_MOST beyond the one at hand, up to the next directory; so no two
 *      that matter share a place. The walk gives it another run when half of it is used up.
 *   3. What was seen long ago isn't used: a caller for whom files are slow work needs no help.
 *   4. While nearly all files that are given are read, as in a first update, the helper reads small ones too, and
 *      takes their fingerprints; only where each item has memory of its own, in which that stays until it is used.
 *   5. Behind the last file before a directory the helper lists that one, or as much of it as it has room for: the walk
 *      goes on from there. Of what is watched nothing is listed before its watch is there.
 * The directory is open, and its list stays as it is, until coco__fs_ahead_stop has returned. */

/* What is known of an entry when it is listed: the byte before its name. */
enum {
    COCO__FS_FILE = 1,   /* a regular file */
    COCO__FS_DIR,        /* a directory */
    COCO__FS_LINKED_DIR, /* a link to a directory */
    COCO__FS_OTHER,      /* a pipe, a socket, a device: never given */
    COCO__FS_UNKNOWN,    /* can't be looked at: reported as a file and as a directory, since it may be either */
    COCO__FS_BAD_NAME,   /* not UTF-8; the name in the list is the escaped one */
    COCO__FS_LINKED,     /* a link to a regular file */
    COCO__FS_KINDS = 7,  /* mask of the above */
    COCO__FS_PRUNED = 8  /* excluded directory, entered for a glob that takes back in */
};

enum {
    COCO__FS_AHEAD_FROM = 1000, /* files that a walk gives before a thread pays */
    COCO__FS_AHEAD_LEAST = 16,  /* entries left in the directory */
    COCO__FS_AHEAD_MOST = 128,
    COCO__FS_AHEAD_TRIES = 30000, /* of the helper to find work, before it sleeps: some 0.7 ms */
    COCO__FS_AHEAD_WAIT = 5000,   /* of the walk to see that a call is through */
    COCO__FS_AHEAD_BYTES = 8192,  /* of a file that is read, with what is known of it */
    COCO__FS_AHEAD_NAMES = 65536  /* bytes of a directory that is listed */
};
#define COCO__FS_AHEAD_NAP 1000000   /* ns; a directory is listed in less */

/* What fstatat says of an entry. */
typedef struct coco__fs_seen {
    int error;    /* 0, or an errno */
    bool regular; /* a file */
    coco__fs_stamp stamp;
    const coco__fs_early *early; /* NULL, or as long as nothing else is looked at */
} coco__fs_seen;

static void coco__fs_stat_at(int dir, const char *name, bool follow, coco__fs_seen *out)
{
    struct stat st;

    out->early = NULL;
    out->error = fstatat(dir, name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) == 0 ? 0 : errno;
    if (out->error) return;
    out->regular = S_ISREG(st.st_mode);
    out->stamp = coco__fs_stamp_of(&st);
}

/* A directory and its list, or as much of it as there is room for. */
typedef struct coco__fs_listed {
    const char *name; /* in the list of the directory above; NULL: nothing is listed */
    DIR *dir;         /* gives the rest */
    int64_t at;       /* when it was opened */
    bool whole;       /* there is no rest */
    size_t n;         /* bytes of … */
    char entries[COCO__FS_AHEAD_NAMES]; /* … types, each with its name and a NUL behind */
} coco__fs_listed;

static void coco__fs_listed_drop(coco__fs_listed *l)
{
    if (l->name) closedir(l->dir);
    l->name = NULL;
}

/* What the system says of its kind, where it does. */
static unsigned char coco__fs_entry_type(const struct dirent *e)
{
#ifdef DT_UNKNOWN
    return e->d_type;
#else
    return (void)e, 0;
#endif
}

enum { COCO__FS_AHEAD_IDLE, COCO__FS_AHEAD_ASKED, COCO__FS_AHEAD_BUSY };

typedef struct coco__fs_ahead {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    atomic_int state; /* IDLE: what follows is the walk's, else it stays as it is */
    const void *of;   /* whose list it is; NULL: nobody's */
    char *const *names;
    size_t n;
    int dir;
    bool follow;
    bool lists;        /* directories, too */
    int above;         /* where the walk goes on behind the list: a directory and the name in it of one … */
    const char *then;  /* … with its slash; NULL: nowhere, or that isn't to be listed */
    coco__fs_listed listed;
    bool slow;         /* the caller is: no more help with this directory */
    bool keeps;        /* what is read has a place to stay */
    size_t next, end;  /* the helper's run */
    uint64_t first;    /* number of the first name */
    int64_t asked;     /* when the run was given … */
    int64_t since;     /* … and when the first was of which something is left */
    atomic_bool stop, asleep, quit;
    bool wakeful;      /* the helper's: work comes soon */
    coco_ctx *cx;      /* of the listing */
    const atomic_size_t *reads; /* how many files the caller has read … */
    size_t given;      /* … and was given */
    size_t reads_before, given_before; /* when that was compared */
    char *room;        /* AHEAD_BYTES for each look; NULL: there was no need yet */
    char *bytes;       /* the same, while files are read; else NULL */
    struct {
        _Atomic uint64_t turn; /* twice the number of who was claimed last; 1 more: done */
        coco__fs_seen look;
    } looks[COCO__FS_AHEAD_MOST];
} coco__fs_ahead;

/* Invariant 1. */
static bool coco__fs_ahead_claim(_Atomic uint64_t *turn, uint64_t number)
{
    uint64_t was = atomic_load(turn);

    return was < 2 * number && atomic_compare_exchange_strong(turn, &was, 2 * number);
}

/* ---- The helper ------------------------------------------------------------------------------------------------ */

/* Reads a small file into the place of its look. What isn't as it should be is left to the caller. */
static const coco__fs_early *coco__fs_ahead_read(coco__fs_ahead *a, size_t at, const char *name)
{
    coco__fs_early *e = (coco__fs_early *)(void *)(a->bytes + at * COCO__FS_AHEAD_BYTES);
    const size_t room = COCO__FS_AHEAD_BYTES - sizeof *e;
    int fd = openat(a->dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    ssize_t n = -1;

    if (fd < 0) return NULL;
    e->at = coco__fs_moment();
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) n = coco__fs_read_some(fd, e->bytes, room);
    close(fd);
    if (n <= 0 || n != st.st_size || (size_t)n == room) return NULL;
    e->bytes[n] = '\0';
    e->n = (size_t)n;
    e->stamp = coco__fs_stamp_of(&st);
    coco_fingerprint_bytes(e->bytes, e->n, e->content);
    return e;
}

static void coco__fs_ahead_look(coco__fs_ahead *a, size_t at, const char *name)
{
    coco__fs_seen *s = &a->looks[at].look;

    coco__fs_stat_at(a->dir, name, a->follow, s);
    if (a->bytes && s->error == 0 && s->regular && s->stamp.size < COCO__FS_AHEAD_BYTES - sizeof *s->early)
        s->early = coco__fs_ahead_read(a, at, name);
}

/* Invariant 5. What goes wrong here goes wrong where the walk does it, too. */
static void coco__fs_ahead_list(coco__fs_ahead *a, int above, const char *name)
{
    coco__fs_listed *l = &a->listed;
    char plain[NAME_MAX + 1];
    size_t n = strcspn(name, "/");
    const struct dirent *e;

    if (l->name == name || n > NAME_MAX) return;
    coco__fs_listed_drop(l);
    memcpy(plain, name, n);
    plain[n] = '\0';
    l->at = coco__fs_moment();
    int fd = openat(above, plain, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return;
    if (!(l->dir = fdopendir(fd))) {
        close(fd);
        return;
    }
    l->name = name;
    l->n = 0;
    l->whole = false;
    while (l->n + NAME_MAX + 2 <= sizeof l->entries) {
        errno = 0;
        e = readdir(l->dir);
        n = e ? strlen(e->d_name) + 1 : 0;
        if ((!e && errno) || n > NAME_MAX + 1) { /* some systems' names are longer */
            coco__fs_listed_drop(l);
            return;
        }
        l->whole = !e;
        if (!e) return;
        l->entries[l->n++] = (char)coco__fs_entry_type(e);
        memcpy(l->entries + l->n, e->d_name, n);
        l->n += n;
    }
}

static void coco__fs_ahead_run(coco__fs_ahead *a)
{
    size_t i = a->next;

    for (; i < a->end && !atomic_load(&a->stop); i++) {
        size_t at = i % COCO__FS_AHEAD_MOST;
        int kind = a->names[i][-1] & COCO__FS_KINDS;
        if (kind == COCO__FS_DIR && a->lists) coco__fs_ahead_list(a, a->dir, a->names[i]);
        if (kind != COCO__FS_FILE && kind != COCO__FS_LINKED) return;
        if (!coco__fs_ahead_claim(&a->looks[at].turn, a->first + i)) continue;
        coco__fs_ahead_look(a, at, a->names[i]);
        atomic_store(&a->looks[at].turn, 2 * (a->first + i) + 1);
    }
    if (i == a->n && a->then && !atomic_load(&a->stop)) coco__fs_ahead_list(a, a->above, a->then);
}

/* Sleeps until there is something to do. Where that took long, staying awake for it would be of no use next time. */
static void coco__fs_ahead_sleep(coco__fs_ahead *a)
{
    int64_t since = coco__fs_clock(CLOCK_MONOTONIC);

    pthread_mutex_lock(&a->lock);
    atomic_store(&a->asleep, true);
    while (atomic_load(&a->state) == COCO__FS_AHEAD_IDLE && !atomic_load(&a->quit))
        pthread_cond_wait(&a->woken, &a->lock);
    atomic_store(&a->asleep, false);
    pthread_mutex_unlock(&a->lock);
    a->wakeful = coco__fs_clock(CLOCK_MONOTONIC) - since < COCO__FS_AHEAD_NAP;
}

/* Waits for a run; false: there is none to come. */
static bool coco__fs_ahead_asked(coco__fs_ahead *a)
{
    for (int tries = 0; !atomic_load(&a->quit); tries++) {
        int asked = COCO__FS_AHEAD_ASKED;
        if (atomic_compare_exchange_strong(&a->state, &asked, COCO__FS_AHEAD_BUSY)) return true;
        if (a->wakeful && tries < COCO__FS_AHEAD_TRIES) continue;
        coco__fs_ahead_sleep(a);
        tries = 0;
    }
    return false;
}

static void *coco__fs_ahead_thread(void *self)
{
    coco__fs_ahead *a = self;

    while (coco__fs_ahead_asked(a)) {
        coco__fs_ahead_run(a);
        atomic_store(&a->state, COCO__FS_AHEAD_IDLE);
    }
    return NULL;
}

/* ---- The walk's side ------------------------------------------------------------------------------------------- */

static void coco__fs_ahead_wake(coco__fs_ahead *a)
{
    if (!atomic_load(&a->asleep)) return;
    pthread_mutex_lock(&a->lock);
    pthread_cond_signal(&a->woken);
    pthread_mutex_unlock(&a->lock);
}

/* The helper, in memory of cx until coco__fs_ahead_end; NULL: it wouldn't help, or there is none to be had. */
static coco__fs_ahead *coco__fs_ahead_begin(coco_ctx *cx, const atomic_size_t *reads)
{
    coco__fs_ahead *a = coco__fs_processors() > 1 ? coco_alloc(cx, sizeof *a) : NULL;

    if (!a) return NULL;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->woken, NULL);
    a->first = 1;
    a->wakeful = true;
    a->cx = cx;
    a->reads = reads;
    a->given = COCO__FS_AHEAD_FROM;
    if (coco__fs_thread_begin(&a->thread, coco__fs_ahead_thread, a)) return a;
    pthread_cond_destroy(&a->woken);
    pthread_mutex_destroy(&a->lock);
    return NULL;
}

/* It looks at nothing any more. */
static void coco__fs_ahead_stop(coco__fs_ahead *a)
{
    int asked = COCO__FS_AHEAD_ASKED;

    a->of = NULL;
    if (atomic_compare_exchange_strong(&a->state, &asked, COCO__FS_AHEAD_IDLE)) return;
    atomic_store(&a->stop, true);
    while (atomic_load(&a->state) != COCO__FS_AHEAD_IDLE) sched_yield();
    atomic_store(&a->stop, false);
}

static void coco__fs_ahead_end(coco__fs_ahead *a)
{
    coco__fs_ahead_stop(a);
    atomic_store(&a->quit, true);
    coco__fs_ahead_wake(a);
    pthread_join(a->thread, NULL);
    coco__fs_listed_drop(&a->listed);
    pthread_cond_destroy(&a->woken);
    pthread_mutex_destroy(&a->lock);
}

/* The directory of that name, if it has been listed; NULL: it is to be opened. The list stays until the next run. */
static DIR *coco__fs_ahead_take(coco__fs_ahead *a, const char *name)
{
    coco__fs_listed *l = &a->listed;

    coco__fs_ahead_stop(a);
    if (l->name != name || coco__fs_moment() - l->at > COCO__FS_OLD) {
        coco__fs_listed_drop(l); /* before its name can be another's */
        return NULL;
    }
    l->name = NULL;
    return l->dir;
}

/* Another list; its names get numbers above all until now. */
static void coco__fs_ahead_names(coco__fs_ahead *a, char *const *names, size_t n)
{
    a->first += a->n;
    a->names = names;
    a->n = n;
    a->end = 0;
    a->slow = false;
}

/* Invariant 4, with the helper idle. */
static void coco__fs_ahead_predict(coco__fs_ahead *a)
{
    size_t reads = atomic_load_explicit(a->reads, memory_order_relaxed);

    if (a->given - a->given_before < COCO__FS_AHEAD_LEAST) return;
    bool most = a->keeps && (reads - a->reads_before) * 8 >= (a->given - a->given_before) * 7;
    a->reads_before = reads;
    a->given_before = a->given;
    if (most && !a->room) a->room = coco_alloc(a->cx, (size_t)COCO__FS_AHEAD_MOST * COCO__FS_AHEAD_BYTES);
    a->bytes = most ? a->room : NULL;
}

/* Invariant 2: names beyond the i-th. */
static void coco__fs_ahead_ask(coco__fs_ahead *a, size_t i)
{
    if (a->end == a->n || a->end > i + COCO__FS_AHEAD_MOST / 2 || a->n - i <= COCO__FS_AHEAD_LEAST) return;
    if (atomic_load(&a->state) != COCO__FS_AHEAD_IDLE) return;
    coco__fs_ahead_predict(a);
    int64_t now = coco__fs_moment();
    a->since = a->end > i ? a->asked : now;
    a->asked = now;
    a->next = a->end > i ? a->end : i + 1;
    a->end = a->n - i > COCO__FS_AHEAD_MOST ? i + COCO__FS_AHEAD_MOST : a->n;
    atomic_store(&a->state, COCO__FS_AHEAD_ASKED);
    coco__fs_ahead_wake(a);
}

/* What was seen of the i-th name; false: it is for the caller to look. */
static bool coco__fs_ahead_saw(coco__fs_ahead *a, size_t i, coco__fs_seen *out)
{
    size_t at = i % COCO__FS_AHEAD_MOST;
    uint64_t number = a->first + i;

    a->given++;
    if (a->slow) return false;
    coco__fs_ahead_ask(a, i);
    if (coco__fs_ahead_claim(&a->looks[at].turn, number)) return false;
    a->slow = coco__fs_moment() - a->since > COCO__FS_OLD; /* invariant 3 */
    if (a->slow) return false;
    for (int tries = 0; atomic_load(&a->looks[at].turn) != 2 * number + 1; tries++)
        if (tries >= COCO__FS_AHEAD_WAIT) sched_yield(); /* it has no processor */
    *out = a->looks[at].look;
    return true;
}
