/* file.c - part of localfs.c: base directories and files: reading, and what the engine must know of a file.
 *
 * The memo key of a file is [base identity, relative path]; the base identity is the path as given (a text) or the
 * name of the context key (a symbol). Its memo state is
 *
 *     flags (1 byte, 0x20 added: the format), mtime (ns, 8 bytes), ctime less mtime (zigzag varint), size, inode
 *     (varints), 16 bytes: fingerprint of the content (absent with COCO__FS_NO_CONTENT); or flags alone with
 *     COCO__FS_MISSING
 *
 * Invariants:
 *   1. After a function ran, its state describes what the function saw: the stamp was taken before the content was
 *      read, and the content is that which was read. Where that can't be had (the file changed between two looks at
 *      it), the state is one that is never valid: COCO__FS_RACY with COCO__FS_NO_CONTENT.
 *   2. A stamp that a later change might leave as it is (racy, S6.4) is never trusted: the content is compared. */

/* A base directory, shared by the files below it, which may be used by several threads: it doesn't change. */
typedef struct coco__fs_base {
    coco_value id;   /* identity across runs: text or symbol */
    const char *path;
    size_t max_read; /* bytes that coco_file_read takes */
    atomic_size_t *reads; /* counts the files that are read whole; NULL: nobody wants to know */
} coco__fs_base;

/* What tells one state of a file from another without reading. */
typedef struct coco__fs_stamp {
    int64_t mtime, ctime; /* ns since 1970 */
    uint64_t size, ino;
} coco__fs_stamp;

/* What was read of a file before it was given. */
typedef struct coco__fs_early {
    int64_t at;           /* when, by coco__fs_moment */
    coco__fs_stamp stamp; /* taken before reading */
    uint8_t content[16];  /* fingerprint */
    size_t n;
    char bytes[];         /* and a NUL */
} coco__fs_early;

enum {
    COCO__FS_MISSING = 1,    /* of a file: the listing found none */
    COCO__FS_LISTING = 2,    /* the caller has asked what the listing said */
    COCO__FS_OPENED = 4,     /* opened by the caller: `seen` holds */
    COCO__FS_READ = 8,       /* read whole by the caller: `content` holds */
    COCO__FS_MIXED = 16,     /* the caller has seen two states of it */
    COCO__FS_HASHED = 32     /* `hashed` and `hash` hold */
};

struct coco_file {
    const coco__fs_base *base;
    coco_str path;         /* below the base, NUL-terminated */
    unsigned flags;        /* COCO__FS_MISSING … */
    int64_t start;         /* when the scan that gave it began, ns since 1970: what is changed from then on is racy */
    coco__fs_stamp listed; /* by the walk, or when opened by path */
    const coco__fs_early *early; /* NULL: it wasn't */
    coco__fs_stamp seen;   /* when the caller first opened it */
    uint8_t content[16];   /* fingerprint of what the caller read */
    coco__fs_stamp hashed; /* when it was last fingerprinted for a memo … */
    uint8_t hash[16];      /* … and the result */
};

#define COCO__FS_OLD 100000000 /* ns: what was seen before that isn't given */
#define COCO__FS_MAX_READ ((size_t)1 << 30)
#define COCO__FS_PIECE 16384 /* bytes read at a time for a fingerprint, on the stack */

/* ---- Errors and time ------------------------------------------------------------------------------------------- */

/* The status that says what an errno means to a user; the message keeps the system's own words. */
static coco_status coco__fs_status(int error)
{
    switch (error) {
    case ENOENT: case ENOTDIR: return COCO_ENOTFOUND;
    case EACCES: case EPERM: case EROFS: return COCO_EACCESS;
    case ENOSPC: case EFBIG: case EDQUOT: return COCO_EFULL;
    case ENAMETOOLONG: case ELOOP: case EINVAL: case EILSEQ: return COCO_EREFUSED;
    case ENOMEM: return COCO_ENOMEM;
    default: return COCO_EIO;
    }
}

/* Fails cx for a path below a base ("" for the base itself). */
static coco_status coco__fs_fail(coco_ctx *cx, const char *base, coco_str path, int error)
{
    bool join = path.n > 0 && path.p[0] != '/';

    return coco_fail(cx, coco__fs_status(error), "%s%s%.*s: %s", join || path.n == 0 ? base : "", join ? "/" : "",
                     (int)path.n, path.n ? path.p : "", strerror(error));
}

/* The same for a file. */
static coco_status coco__fs_file_fail(coco_ctx *cx, const coco_file *file, int error)
{
    return coco__fs_fail(cx, file->base->path, file->path, error);
}

static int64_t coco__fs_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t coco__fs_clock(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return coco__fs_ns(t);
}

/* The clock that stamps are taken from. */
static int64_t coco__fs_now(void)
{
    return coco__fs_clock(CLOCK_REALTIME);
}

/* A clock that is asked for each file: some milliseconds matter to nobody. */
static int64_t coco__fs_moment(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
    return coco__fs_clock(CLOCK_MONOTONIC_COARSE);
#else
    return coco__fs_clock(CLOCK_MONOTONIC);
#endif
}

static coco__fs_stamp coco__fs_stamp_of(const struct stat *st)
{
#ifdef __APPLE__
    return (coco__fs_stamp){ coco__fs_ns(st->st_mtimespec), coco__fs_ns(st->st_ctimespec), (uint64_t)st->st_size,
                             (uint64_t)st->st_ino };
#else
    return (coco__fs_stamp){ coco__fs_ns(st->st_mtim), coco__fs_ns(st->st_ctim), (uint64_t)st->st_size,
                             (uint64_t)st->st_ino };
#endif
}

/* S6.4: inode and ctime count beside mtime and size. The device doesn't: it may be numbered anew at each start. */
static bool coco__fs_same(const coco__fs_stamp *a, const coco__fs_stamp *b)
{
    return a->mtime == b->mtime && a->ctime == b->ctime && a->size == b->size && a->ino == b->ino;
}

/* Whether a change after start might leave this time as it is: clocks of file systems tick in steps of up to 10 ms, and
 * times in whole seconds come from those that know no finer. */
static bool coco__fs_recent(int64_t t, int64_t start)
{
    return t >= start - (t % 1000000000 == 0 ? 2000000000 : 10000000);
}

/* Invariant 2. */
static bool coco__fs_racy(const coco__fs_stamp *s, int64_t start)
{
    return coco__fs_recent(s->mtime, start) || coco__fs_recent(s->ctime, start);
}

/* ---- Bases and files ------------------------------------------------------------------------------------------- */

/* Copies a path without empty and `.` parts and slashes at its end: one identity, however it is written. */
static coco_str coco__fs_path_clean(coco_ctx *cx, coco_str path)
{
    char *out = coco_alloc(cx, path.n + 2);
    size_t n = 0, end;

    if (!out) return (coco_str){ NULL, 0 };
    if (path.n && path.p[0] == '/') out[n++] = '/';
    for (size_t i = 0; i < path.n; i = end + 1) {
        for (end = i; end < path.n && path.p[end] != '/'; end++) continue;
        if (end == i || (end == i + 1 && path.p[i] == '.')) continue;
        if (n && out[n - 1] != '/') out[n++] = '/';
        memcpy(out + n, path.p + i, end - i);
        n += end - i;
    }
    if (n == 0 && path.n) out[n++] = '.';
    return (coco_str){ out, n };
}

/* Fails unless path is a text without NUL; what says what it should be. */
static coco_status coco__fs_check_path(coco_ctx *cx, coco_value path, const char *what)
{
    if (path.kind != COCO_TEXT_KIND) {
        COCO_TRY(coco_error(cx));
        return coco_fail(cx, COCO_ETYPE, "%s must be a path, as a text", what);
    }
    if (path.as.s.u.n && memchr(path.as.s.p.text, '\0', path.as.s.u.n))
        return coco_fail(cx, COCO_EREFUSED, "%s has a NUL in it", what);
    return COCO_OK;
}

/* Resolves a base as given (a path or a context key) into its identity, its path and its title. */
static coco_status coco__fs_resolve(coco_ctx *cx, coco_value base, coco_value *id, const char **path)
{
    const coco_key *key = coco_context_ref_of(base);
    coco_str clean;

    if (key) base = coco_context(cx, key);
    COCO_TRY(coco__fs_check_path(cx, base, key ? key->name : "the directory"));
    clean = coco__fs_path_clean(cx, coco_text_of(base));
    if (!clean.p) return COCO_ENOMEM;
    *id = key ? coco_symbol(key->name) : coco_text_n(clean);
    *path = clean.p;
    return COCO_OK;
}

static coco_status coco__fs_base_new(coco_ctx *cx, coco_value id, const char *path, coco__fs_base **out)
{
    coco__fs_base *base = coco_alloc(cx, sizeof *base);

    if (!base) return COCO_ENOMEM;
    *base = (coco__fs_base){ .id = id, .path = path, .max_read = COCO__FS_MAX_READ };
    *out = base;
    return COCO_OK;
}

/* A file with nothing known of it yet, in one piece with its path. */
static coco_file *coco__fs_file_new(coco_ctx *cx, const coco__fs_base *base, coco_str path)
{
    coco_file *file = coco_alloc(cx, sizeof *file + path.n + 1);
    char *copy;

    if (!file) return NULL;
    copy = (char *)(file + 1);
    memcpy(copy, path.p, path.n);
    file->base = base;
    file->path = (coco_str){ copy, path.n };
    return file;
}

/* Puts base and path together; false if they don't fit. */
static bool coco__fs_full(const char *base, coco_str path, char buf[PATH_MAX])
{
    size_t n = path.p[0] == '/' ? 0 : strlen(base);

    if (n + path.n + 2 > PATH_MAX) return false;
    memcpy(buf, base, n);
    if (n) buf[n++] = '/';
    memcpy(buf + n, path.p, path.n + 1);
    return true;
}

/* Opens path below base. A path too long for the system in one piece is taken in several. */
static int coco__fs_open(const char *base, coco_str path, int flags)
{
    char buf[PATH_MAX];
    int fd = AT_FDCWD, next;

    if (coco__fs_full(base, path, buf)) return open(buf, flags | O_CLOEXEC);
    if (path.p[0] != '/' && (fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) return -1;
    while (path.n >= sizeof buf) {
        size_t n = sizeof buf - 1;
        while (n > 0 && path.p[n] != '/') n--;
        memcpy(buf, path.p, n);
        buf[n] = '\0';
        next = n ? openat(fd, buf, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : (errno = ENAMETOOLONG, -1);
        if (fd != AT_FDCWD) close(fd);
        if ((fd = next) < 0) return -1;
        path.p += n + 1;
        path.n -= n + 1;
    }
    next = openat(fd, path.p, flags | O_CLOEXEC);
    if (fd != AT_FDCWD) close(fd);
    return next;
}

/* 0, or an errno for what is not a regular file. */
static int coco__fs_kind_error(const struct stat *st)
{
    return S_ISREG(st->st_mode) ? 0 : S_ISDIR(st->st_mode) ? EISDIR : ENODEV;
}

/* Opens the file as it is now; -1 with errno set. O_NONBLOCK: a pipe that took its place must not hold us up. */
static int coco__fs_file_fd(const coco_file *file, coco__fs_stamp *stamp)
{
    int fd = coco__fs_open(file->base->path, file->path, O_RDONLY | O_NONBLOCK | O_NOCTTY), error;
    struct stat st;

    if (fd < 0) return -1;
    error = fstat(fd, &st) != 0 ? errno : coco__fs_kind_error(&st);
    if (error) {
        close(fd);
        errno = error;
        return -1;
    }
    *stamp = coco__fs_stamp_of(&st);
    return fd;
}

coco_str coco_file_path(const coco_file *file)
{
    return file->path;
}

bool coco_file_exists(coco_file *file)
{
    file->flags |= COCO__FS_LISTING;
    return !(file->flags & COCO__FS_MISSING);
}

uint64_t coco_file_size(coco_file *file)
{
    file->flags |= COCO__FS_LISTING;
    return file->listed.size;
}

int64_t coco_file_mtime(coco_file *file)
{
    file->flags |= COCO__FS_LISTING;
    return file->listed.mtime;
}

coco_value coco_file_value(coco_file *file)
{
    return coco_object(&coco_file_class, file);
}

/* ---- Reading --------------------------------------------------------------------------------------------------- */

/* Notes which state of the file the caller sees (invariant 1). */
static void coco__fs_sees(coco_file *file, const coco__fs_stamp *stamp)
{
    if (!(file->flags & COCO__FS_OPENED)) file->seen = *stamp;
    else if (!coco__fs_same(stamp, &file->seen)) file->flags |= COCO__FS_MIXED;
    file->flags |= COCO__FS_OPENED;
}

/* Opens the file for the caller. */
static coco_status coco__fs_begin(coco_ctx *cx, coco_file *file, int *fd, coco__fs_stamp *stamp)
{
    *fd = coco__fs_file_fd(file, stamp);
    if (*fd < 0) return coco__fs_file_fail(cx, file, errno);
    coco__fs_sees(file, stamp);
    return COCO_OK;
}

/* Notes the fingerprint of the whole content as the caller has read it. */
static void coco__fs_note(coco_file *file, const uint8_t fp[16])
{
    if ((file->flags & COCO__FS_READ) && memcmp(file->content, fp, 16) != 0) file->flags |= COCO__FS_MIXED;
    file->flags |= COCO__FS_READ;
    memcpy(file->content, fp, 16);
}

/* Reads until n bytes or the end; the number read, or -1. */
static ssize_t coco__fs_read_some(int fd, char *buf, size_t n)
{
    ssize_t r;

    do r = read(fd, buf, n);
    while (r < 0 && errno == EINTR);
    return r;
}

/* An item that can't be read this way, but in others. */
static coco_status coco__fs_too_large(coco_ctx *cx, const coco_file *file, uint64_t size)
{
    return coco_fail(cx, COCO_EUNREAD, "%s/%s: %llu bytes are more than max_read allows (%zu): read it in ranges",
                     file->base->path, file->path.p, (unsigned long long)size, file->base->max_read);
}

/* Reads all of fd, of which fstat said that it has size bytes. One byte more is asked for: a file that gives just its
 * size is at its end, one that grows meanwhile (or says 0, as those of /proc do) fills the buffer and gets a larger
 * one. */
static coco_status coco__fs_read_all(coco_ctx *cx, const coco_file *file, int fd, size_t size, coco_str *out)
{
    size_t cap = size + 1, n = 0;
    char *buf = coco_alloc(cx, cap), *larger;
    ssize_t r;

    for (;;) {
        if (!buf) return COCO_ENOMEM;
        r = coco__fs_read_some(fd, buf + n, cap - n);
        if (r < 0) return coco__fs_file_fail(cx, file, errno);
        n += (size_t)r;
        if (r == 0 || (n == size && size > 0)) break;
        if (n < cap) continue;
        if (n > file->base->max_read) return coco__fs_too_large(cx, file, n);
        cap = cap * 2 + 4096;
        if ((larger = coco_alloc(cx, cap)) != NULL) memcpy(larger, buf, n);
        buf = larger;
    }
    *out = (coco_str){ buf, n };
    return COCO_OK;
}

static const coco__fs_early *coco__fs_early_copy(coco_ctx *cx, const coco__fs_early *early)
{
    size_t n = sizeof *early + early->n + 1;
    void *copy = coco_alloc(cx, n);

    return copy ? memcpy(copy, early, n) : NULL;
}

/* What was read early, if that will do: not long ago, and the first time, so that who reads twice sees what is there
 * now. It is as true as what a function has read itself that takes a while. */
static const coco__fs_early *coco__fs_take_early(coco_file *file)
{
    const coco__fs_early *e = file->early;

    if (file->base->reads) atomic_fetch_add_explicit(file->base->reads, 1, memory_order_relaxed);
    file->early = NULL;
    if (!e || (file->flags & COCO__FS_OPENED) || e->n > file->base->max_read) return NULL;
    if (coco__fs_moment() - e->at > COCO__FS_OLD) return NULL;
    coco__fs_sees(file, &e->stamp);
    coco__fs_note(file, e->content);
    return e;
}

coco_status coco_file_read(coco_ctx *cx, coco_file *file, coco_str *content)
{
    const coco__fs_early *early = coco__fs_take_early(file);
    coco__fs_stamp stamp;
    coco_status rc;
    uint8_t fp[16];
    int fd;

    if (early) return *content = (coco_str){ early->bytes, early->n }, COCO_OK;
    COCO_TRY(coco__fs_begin(cx, file, &fd, &stamp));
    rc = stamp.size > file->base->max_read ? coco__fs_too_large(cx, file, stamp.size)
                                           : coco__fs_read_all(cx, file, fd, (size_t)stamp.size, content);
    close(fd);
    COCO_TRY(rc);
    coco_fingerprint_bytes(content->p, content->n, fp);
    coco__fs_note(file, fp);
    return COCO_OK;
}

coco_status coco_file_read_range(coco_ctx *cx, coco_file *file, uint64_t offset, size_t n, coco_str *content)
{
    coco__fs_stamp stamp;
    ssize_t r = 0;
    size_t got = 0;
    char *buf;
    int fd, error;

    COCO_TRY(coco__fs_begin(cx, file, &fd, &stamp));
    if (offset >= stamp.size) n = 0;
    else if (n > stamp.size - offset) n = (size_t)(stamp.size - offset);
    buf = coco_alloc(cx, n + 1);
    for (; buf && got < n; got += (size_t)r) {
        do r = pread(fd, buf + got, n - got, (off_t)(offset + got));
        while (r < 0 && errno == EINTR);
        if (r <= 0) break;
    }
    error = errno;
    close(fd);
    if (!buf) return COCO_ENOMEM;
    if (r < 0) return coco__fs_file_fail(cx, file, error);
    *content = (coco_str){ buf, got };
    return COCO_OK;
}

/* The fingerprint of what is left of fd. Returns 0 or an errno. */
static int coco__fs_hash_fd(int fd, uint8_t out[16])
{
    char buf[COCO__FS_PIECE];
    coco_hash hash;
    ssize_t r;

    coco_hash_begin(&hash);
    while ((r = coco__fs_read_some(fd, buf, sizeof buf)) > 0) coco_hash_add(&hash, buf, (size_t)r);
    coco_hash_end(&hash, out);
    return r < 0 ? errno : 0;
}

coco_status coco_file_fingerprint(coco_ctx *cx, coco_file *file, uint8_t out[16])
{
    const coco__fs_early *early = coco__fs_take_early(file);
    coco__fs_stamp stamp;
    int fd, error;

    if (early) return memcpy(out, early->content, 16), COCO_OK;
    COCO_TRY(coco__fs_begin(cx, file, &fd, &stamp));
    error = coco__fs_hash_fd(fd, out);
    close(fd);
    if (error) return coco__fs_file_fail(cx, file, error);
    coco__fs_note(file, out);
    return COCO_OK;
}

/* ---- Memo state ------------------------------------------------------------------------------------------------ */

enum { COCO__FS_RACY = 1, COCO__FS_GONE = 2, COCO__FS_NO_CONTENT = 4, COCO__FS_FORMAT = 0x20 };
#define COCO__FS_STATE_MAX (1 + 8 + 3 * 10 + 16)

typedef struct coco__fs_state {
    unsigned flags; /* COCO__FS_RACY … */
    coco__fs_stamp stamp;
    uint8_t content[16];
} coco__fs_state;

/* LEB128; returns what is behind it. */
static uint8_t *coco__fs_put_varint(uint8_t *p, uint64_t v)
{
    for (; v > 127; v >>= 7) *p++ = (uint8_t)(v | 0x80);
    *p++ = (uint8_t)v;
    return p;
}

/* Reads a varint at *p, before end, into *v; false if it is cut off or too long. */
static bool coco__fs_get_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t byte = *(*p)++;
        *v |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

/* Signed numbers as unsigned, small ones small, and back. The sums wrap around, as unsigned ones do. */
static uint64_t coco__fs_zigzag(uint64_t v)
{
    return v << 1 ^ (v >> 63 ? UINT64_MAX : 0);
}

static uint64_t coco__fs_unzigzag(uint64_t v)
{
    return v >> 1 ^ (v & 1 ? UINT64_MAX : 0);
}

/* Writes a state into cx's memory. */
static coco_status coco__fs_state_put(coco_ctx *cx, const coco__fs_state *st, coco_str *out)
{
    uint8_t buf[COCO__FS_STATE_MAX], *p = buf;
    uint64_t mtime = (uint64_t)st->stamp.mtime;

    *p++ = (uint8_t)(COCO__FS_FORMAT | st->flags);
    if (!(st->flags & COCO__FS_GONE)) {
        for (int i = 0; i < 8; i++) *p++ = (uint8_t)(mtime >> (8 * i));
        p = coco__fs_put_varint(p, coco__fs_zigzag((uint64_t)st->stamp.ctime - mtime));
        p = coco__fs_put_varint(p, st->stamp.size);
        p = coco__fs_put_varint(p, st->stamp.ino);
        if (!(st->flags & COCO__FS_NO_CONTENT)) {
            memcpy(p, st->content, 16);
            p += 16;
        }
    }
    assert((size_t)(p - buf) <= sizeof buf);
    *out = coco_copy(cx, (coco_str){ (const char *)buf, (size_t)(p - buf) });
    return out->p ? COCO_OK : COCO_ENOMEM;
}

/* Reads a stored state; false if it isn't one of this format. */
static bool coco__fs_state_get(coco_str stored, coco__fs_state *st)
{
    const uint8_t *p = (const uint8_t *)stored.p, *end = p + stored.n;
    uint64_t mtime = 0, ctime;

    /* Only this format is read: anything else counts as changed, which is always safe. */
    if (stored.n == 0 || (*p & 0xF0) != COCO__FS_FORMAT) return false;
    st->flags = *p++ & 0x0Fu;
    if (st->flags & COCO__FS_GONE) return p == end;
    if (end - p < 8) return false;
    for (int i = 0; i < 8; i++) mtime |= (uint64_t)*p++ << (8 * i);
    if (!coco__fs_get_varint(&p, end, &ctime) || !coco__fs_get_varint(&p, end, &st->stamp.size) ||
        !coco__fs_get_varint(&p, end, &st->stamp.ino))
        return false;
    st->stamp.mtime = (int64_t)mtime;
    st->stamp.ctime = (int64_t)(mtime + coco__fs_unzigzag(ctime));
    if (st->flags & COCO__FS_NO_CONTENT) return p == end;
    if (end - p != 16) return false;
    memcpy(st->content, p, 16);
    return true;
}

/* The fingerprint of the file as it is now, for a memo; remembered with the stamp taken before reading. False: it
 * can't be read, which is for the function to find out. */
static bool coco__fs_hash_now(coco_file *file)
{
    coco__fs_stamp stamp;
    int fd = coco__fs_file_fd(file, &stamp);

    if (fd < 0) return false;
    if ((file->flags & COCO__FS_HASHED) && coco__fs_same(&stamp, &file->hashed) &&
        !coco__fs_racy(&stamp, file->start)) {
        close(fd);
        return true;
    }
    file->flags &= ~(unsigned)COCO__FS_HASHED;
    file->hashed = stamp;
    if (coco__fs_hash_fd(fd, file->hash) == 0) file->flags |= COCO__FS_HASHED;
    close(fd);
    return file->flags & COCO__FS_HASHED;
}

/* The state after the function ran: what it saw (invariant 1). */
static coco_status coco__fs_state_after(coco_ctx *cx, coco_file *file, coco_str *out)
{
    bool opened = file->flags & COCO__FS_OPENED, sure;
    coco__fs_state st = { 0, opened ? file->seen : file->listed, { 0 } };

    if (coco__fs_racy(&st.stamp, file->start)) st.flags |= COCO__FS_RACY;
    if (opened && (file->flags & COCO__FS_LISTING) && !coco__fs_same(&file->seen, &file->listed))
        file->flags |= COCO__FS_MIXED;
    if (file->flags & COCO__FS_MIXED) {
        st.flags = COCO__FS_RACY | COCO__FS_NO_CONTENT;
    } else if (!opened && (file->flags & COCO__FS_MISSING)) {
        st.flags = COCO__FS_GONE;
    } else if (file->flags & COCO__FS_READ) {
        memcpy(st.content, file->content, 16);
    } else {
        /* Ranges were read, or nothing: the content is taken now, and holds if the file is still the same. Of ranges
         * that is known only by a stamp to be trusted; who read nothing has seen no more than the stamp. */
        sure = coco__fs_hash_now(file) && coco__fs_same(&file->hashed, &st.stamp);
        if (sure && !(opened && (st.flags & COCO__FS_RACY))) memcpy(st.content, file->hash, 16);
        else if (file->flags & COCO__FS_HASHED) st.flags = COCO__FS_RACY | COCO__FS_NO_CONTENT;
        else st.flags |= COCO__FS_NO_CONTENT;
    }
    return coco__fs_state_put(cx, &st, out);
}

/* S6.3: the stamp decides where it can be trusted, else the content. */
static coco_status coco__fs_memo_state(coco_ctx *cx, void *object, coco_str stored, coco_str *state, bool *valid)
{
    coco_file *file = object;
    coco__fs_state old;

    *valid = false;
    if (!stored.p) return *valid = true, coco__fs_state_after(cx, file, state);
    *state = stored;
    if (!coco__fs_state_get(stored, &old)) return COCO_OK;
    if ((file->flags & COCO__FS_MISSING) || (old.flags & COCO__FS_GONE)) {
        *valid = (file->flags & COCO__FS_MISSING) && (old.flags & COCO__FS_GONE);
        return COCO_OK;
    }
    if (!(old.flags & COCO__FS_RACY) && coco__fs_same(&old.stamp, &file->listed)) return *valid = true, COCO_OK;
    if ((old.flags & COCO__FS_NO_CONTENT) || old.stamp.size != file->listed.size) return COCO_OK;
    if (!coco__fs_hash_now(file) || memcmp(old.content, file->hash, 16) != 0) return COCO_OK;
    /* The content is what it was: only the stamp is written anew, so that the next update needn't read. */
    *valid = true;
    old.stamp = file->hashed;
    old.flags = coco__fs_racy(&old.stamp, file->start) ? COCO__FS_RACY : 0;
    return coco__fs_state_put(cx, &old, state);
}

/* ---- The class ------------------------------------------------------------------------------------------------- */

/* Identity, not freshness: where the file is, not what is in it. */
static coco_status coco__fs_memo_key(coco_ctx *cx, void *object, coco_value *key)
{
    const coco_file *file = object;
    coco_value *parts = coco_alloc(cx, 2 * sizeof *parts);

    if (!parts) return COCO_ENOMEM;
    parts[0] = file->base->id;
    parts[1] = coco_text_n(file->path);
    *key = coco_list(parts, 2);
    return COCO_OK;
}

/* A copy that stands alone: the original's base goes with the cx it was made in. */
static coco_status coco__fs_file_copy(coco_ctx *cx, void *object, void **out)
{
    const coco_file *file = object;
    coco_file *copy = coco__fs_file_new(cx, NULL, file->path);
    coco__fs_base *base;
    coco_str path;

    if (!copy) return COCO_ENOMEM;
    path = copy->path;
    COCO_TRY(coco__fs_base_new(cx, coco_copy_value(cx, file->base->id), NULL, &base));
    base->path = coco_copy(cx, coco_str_of(file->base->path)).p;
    if (!base->path) return COCO_ENOMEM;
    base->max_read = file->base->max_read;
    *copy = *file;
    copy->early = NULL;
    copy->base = base;
    copy->path = path;
    *out = copy;
    return COCO_OK;
}

/* A file by its path, as it is now. *error is 0 (a missing file included), or why nothing is known of it. */
static coco_status coco__fs_file_at(coco_ctx *cx, const coco__fs_base *base, coco_str path, coco_file **out, int *error)
{
    char full[PATH_MAX];
    coco_file *file;
    struct stat st;
    int fd;

    if (!(file = coco__fs_file_new(cx, base, path))) return COCO_ENOMEM;
    *out = file;
    file->start = coco__fs_now();
    if (coco__fs_full(base->path, path, full)) {
        *error = stat(full, &st) != 0 ? errno : coco__fs_kind_error(&st);
        if (*error == 0) file->listed = coco__fs_stamp_of(&st);
    } else {
        *error = (fd = coco__fs_file_fd(file, &file->listed)) < 0 ? errno : 0;
        if (fd >= 0) close(fd);
    }
    if (*error == ENOENT || *error == ENOTDIR) {
        file->flags |= COCO__FS_MISSING;
        *error = 0;
    }
    return COCO_OK;
}

/* The path of a base from its identity. */
static coco_status coco__fs_identified(coco_ctx *cx, coco_value id, const char **path)
{
    coco_value given = id;
    coco_str clean;

    if (id.kind == COCO_SYMBOL) {
        const char *name = coco_copy(cx, coco_text_of(id)).p;
        if (!name) return COCO_ENOMEM;
        given = coco_context_named(cx, name);
        if (given.kind != COCO_TEXT_KIND)
            return coco_fail(cx, COCO_ENOPROVIDER, "the context key %s provides no path", name);
    }
    COCO_TRY(coco__fs_check_path(cx, given, "the base directory"));
    clean = coco__fs_path_clean(cx, coco_text_of(given));
    *path = clean.p;
    return clean.p ? COCO_OK : COCO_ENOMEM;
}

/* For the check of what a memo tracked. */
static coco_status coco__fs_reopen(coco_ctx *cx, coco_value key, void **object)
{
    coco_value id = coco_at(key, 0), name = coco_at(key, 1);
    coco_file *file = NULL;
    coco__fs_base *base;
    const char *path;
    int error;

    if ((id.kind != COCO_TEXT_KIND && id.kind != COCO_SYMBOL) || name.kind != COCO_TEXT_KIND)
        return coco_fail(cx, COCO_ECORRUPT, "a recorded file has no path");
    COCO_TRY(coco__fs_identified(cx, id, &path));
    COCO_TRY(coco__fs_base_new(cx, id, path, &base));
    COCO_TRY(coco__fs_file_at(cx, base, coco_text_of(name), &file, &error));
    *object = file; /* where it can't be looked at its stamp is zero: never valid, and the function meets the error */
    return COCO_OK;
}

coco_class coco_file_class = { .type = "coco_file", .memo_key = coco__fs_memo_key, .memo_state = coco__fs_memo_state,
                                     .copy = coco__fs_file_copy, .reopen = coco__fs_reopen };

COCO_AT_START(coco__fs_file_class)
{
    coco_class_register(&coco_file_class);
}

coco_status coco_file_open(coco_ctx *cx, coco_value base, coco_str path, coco_file **file)
{
    coco__fs_base *below;
    const char *dir;
    coco_value id;
    int error;

    *file = NULL;
    COCO_TRY(coco__fs_resolve(cx, base, &id, &dir));
    COCO_TRY(coco__fs_base_new(cx, id, dir, &below));
    COCO_TRY(coco__fs_check_path(cx, coco_text_n(path), "the path"));
    path = coco__fs_path_clean(cx, path);
    if (!path.p) return COCO_ENOMEM;
    if (path.n == 0) return coco_fail(cx, COCO_EREFUSED, "the path of a file is empty");
    COCO_TRY(coco__fs_file_at(cx, below, path, file, &error));
    if (error == EISDIR || error == ENODEV)
        return coco_fail(cx, COCO_EUNREAD, "%s/%s: not a regular file", dir, path.p);
    if (error) return coco__fs_file_fail(cx, *file, error);
    return coco_track(cx, &coco_file_class, *file);
}
