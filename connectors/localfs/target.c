/* target.c - part of localfs.c: directories and files as targets.
 *
 * One root target, "localfs", holds what is named by its own path: mounted directories and single files. Its keys are
 * a path (a text), the name of a context key (a symbol), or [such a base, path below it]. A directory is a container;
 * the keys of its content are names in it, which may have slashes.
 *
 * Invariants:
 *   1. Nothing outside its base is reached through a name: names are checked before they are declared, and every step
 *      below the base is taken by openat with O_NOFOLLOW. The base itself is the user's word and may be a link.
 *   2. A reader sees the old file or the new: contents get their name by rename. The temporary name depends on the name
 *      alone, so whoever writes or deletes that name next removes what a crash left.
 *   3. Nothing is removed but what is recorded as ours, and directories that are empty. Whether a declared directory is
 *      ours (was not there when it was first declared) stands in its record, and stays there. Of the directories on the
 *      way to a name nobody knows who made them, because many components share them; they go when our deleting has
 *      emptied them, as with git.
 *   4. The sink keeps nothing between batches: what it holds open in one, it closes at its end.
 *
 * Tracking record: 0x10 plus 0 (file) or 1 (directory); flags; mode (varint); of a file its size (varint) and 16
 * bytes of fingerprint; `made` (varint): how many directories, counted from the state upward, were missing when it
 * was first declared. */

enum { COCO__FS_REC_FILE = 0x10, COCO__FS_REC_DIR = 0x11, COCO__FS_DURABLE = 1 };
#define COCO__FS_REC_MAX (2 + 10 + 10 + 16 + 10)

/* The place of a provider's content; self of its handler. */
typedef struct coco__fs_place {
    const char *base; /* directory that is the user's word; NULL: the root target, where keys say it */
    coco_str rel;     /* path of the container below it, "" for the base itself */
    coco_str title;   /* for messages and inspection */
    bool durable;     /* what is written here survives a power cut */
} coco__fs_place;

/* What is, or should be, at a place. */
typedef struct coco__fs_thing {
    bool dir;       /* else a file */
    unsigned flags; /* COCO__FS_DURABLE */
    uint64_t mode;  /* permission bits; 0: as the umask has it */
    uint64_t made;  /* directories that were missing, see above */
    uint64_t size;  /* of a file */
    uint8_t content[16]; /* fingerprint of a file's */
    bool parents;   /* make what is missing of the base too; not recorded */
    coco_str bytes; /* content; not recorded */
} coco__fs_thing;

/* An action: make path what `want` says, whatever of the possibilities is there. */
typedef struct coco__fs_op {
    const char *base;    /* entered as the user gave it, links and all */
    coco_str rel;        /* path below it; "" the base itself */
    size_t dir;          /* length of the part of rel that is its directory */
    size_t keep;         /* length of the part of rel that isn't ours to remove when it is empty: the container */
    bool inside;         /* the state of a container: what is missing below the base is made */
    bool remove;         /* else make `want` */
    bool may_file, may_dir; /* by the records, ours may be there as … */
    bool may_none;       /* … or not: a crash may have come between it and the directory made for it */
    uint64_t may_made;   /* directories to remove when empty, the state itself included if it is one */
    coco__fs_thing want; /* what should be there */
    char text[32];       /* for preview */
} coco__fs_op;

/* ---- Values and records ---------------------------------------------------------------------------------------- */

/* Reads a declared value: bytes or a text are a file's content; a map with "content" is a file, another one a
 * directory. */
static coco__fs_thing coco__fs_wanted(coco_value v)
{
    coco_value content = v.kind == COCO_MAP ? coco_get(v, "content") : v;
    coco__fs_thing t = { .dir = content.kind == COCO_NULL, .bytes = coco_text_of(content) };

    if (v.kind == COCO_MAP) {
        t.mode = (uint64_t)coco_int_of(coco_get(v, "mode"));
        t.made = (uint64_t)coco_int_of(coco_get(v, "made"));
        t.flags = coco_bool_of(coco_get(v, "durable")) ? COCO__FS_DURABLE : 0;
        t.parents = coco_bool_of(coco_get(v, "parents"));
    }
    t.size = t.bytes.n;
    return t;
}

/* Writes the tracking record and returns its length. */
static size_t coco__fs_record_put(const coco__fs_thing *t, uint8_t out[COCO__FS_REC_MAX])
{
    uint8_t *p = out;

    *p++ = t->dir ? COCO__FS_REC_DIR : COCO__FS_REC_FILE;
    *p++ = (uint8_t)t->flags;
    p = coco__fs_put_varint(p, t->mode);
    if (!t->dir) {
        p = coco__fs_put_varint(p, t->size);
        memcpy(p, t->content, 16);
        p += 16;
    }
    p = coco__fs_put_varint(p, t->made);
    return (size_t)(p - out);
}

/* Reads a record; false if it isn't one of this format. */
static bool coco__fs_record_get(coco_str record, coco__fs_thing *t)
{
    const uint8_t *p = (const uint8_t *)record.p, *end = p + record.n;

    *t = (coco__fs_thing){ 0 };
    if (record.n < 2 || (*p != COCO__FS_REC_FILE && *p != COCO__FS_REC_DIR)) return false;
    t->dir = *p++ == COCO__FS_REC_DIR;
    t->flags = *p++;
    if (!coco__fs_get_varint(&p, end, &t->mode)) return false;
    if (!t->dir) {
        if (!coco__fs_get_varint(&p, end, &t->size) || end - p < 16) return false;
        memcpy(t->content, p, 16);
        p += 16;
    }
    return coco__fs_get_varint(&p, end, &t->made) && p == end;
}

/* Why a name below a base is refused, or NULL. */
static const char *coco__fs_name_refused(coco_str name)
{
    if (name.n == 0) return "is empty";
    if (memchr(name.p, '\0', name.n)) return "has a NUL in it";
    if (name.p[0] == '/') return "is absolute";
    for (size_t i = 0, n; i <= name.n; i += n + 1) {
        const char *part = name.p + i, *slash = memchr(part, '/', name.n - i);
        n = slash ? (size_t)(slash - part) : name.n - i;
        if (n == 0) return "has an empty part";
        if (n == 2 && part[0] == '.' && part[1] == '.') return "leaves the directory";
        if (n == 1 && part[0] == '.') return "has the part \".\"";
        if (n >= 6 && memcmp(part, ".coco-", 6) == 0) return "begins with .coco-, which is for temporary files";
    }
    return NULL;
}

/* ---- Where a key stands ---------------------------------------------------------------------------------------- */

/* Fails unless the key is a name that may stand below the base. */
static coco_status coco__fs_check_name(coco_ctx *cx, const char *base, coco_value key)
{
    coco_str name = coco_text_of(key);
    const char *why = key.kind == COCO_TEXT_KIND ? coco__fs_name_refused(name) : "is not a text";

    if (!why) return COCO_OK;
    return coco_fail(cx, COCO_EREFUSED, "%s: the name \"%.*s\" %s", base, (int)name.n, name.n ? name.p : "", why);
}

/* Splits the whole path of a single file into the directory it is in, as base, and its name. */
static coco_status coco__fs_split(coco_ctx *cx, coco_str path, coco__fs_op *op)
{
    coco_str parent = coco_path_parent(path);

    op->rel = coco_path_name(path);
    COCO_TRY(coco__fs_check_name(cx, parent.n ? coco_copy(cx, parent).p : ".", coco_text_n(op->rel)));
    op->base = parent.n ? coco_copy(cx, parent).p : ".";
    return op->base ? COCO_OK : COCO_ENOMEM;
}

/* Fills in where the state with that key is; everything it points to lives as long as the place or the cx. */
static coco_status coco__fs_locate(coco_ctx *cx, const coco__fs_place *place, coco_value key, bool dir, coco__fs_op *op)
{
    op->rel = (coco_str){ "", 0 };
    if (place->base) {
        COCO_TRY(coco__fs_check_name(cx, place->base, key));
        op->base = place->base;
        op->rel = coco_path_join(cx, place->rel, coco_text_of(key));
        op->keep = place->rel.n;
        op->inside = true;
    } else if (key.kind == COCO_LIST && coco_count(key) == 2) {
        COCO_TRY(coco__fs_identified(cx, coco_at(key, 0), &op->base));
        COCO_TRY(coco__fs_check_name(cx, op->base, coco_at(key, 1)));
        op->rel = coco_copy(cx, coco_text_of(coco_at(key, 1)));
    } else if (key.kind == COCO_TEXT_KIND && !dir) {
        COCO_TRY(coco__fs_split(cx, coco_text_of(key), op));
    } else if (key.kind == COCO_TEXT_KIND || key.kind == COCO_SYMBOL) {
        COCO_TRY(coco__fs_identified(cx, key, &op->base));
    } else {
        return coco_fail(cx, COCO_ETYPE, "a directory or file must be named by a path");
    }
    if (!op->rel.p) return COCO_ENOMEM;
    op->dir = op->rel.n ? coco_path_parent(op->rel).n : 0;
    if (!place->base) op->keep = op->dir;
    return COCO_OK;
}

/* ---- The sink: steps below a base ------------------------------------------------------------------------------ */

#define COCO__FS_LED_OUT "a symbolic link, which could lead out of the directory"
#define COCO__FS_FILE_IN_WAY "a file is in the way of the directory"
#define COCO__FS_DIR_IN_WAY "a directory that is not empty is in the way of the file"

/* The directory of the last action, kept open for the next, which is often in the same. */
typedef struct coco__fs_writer {
    const coco__fs_op *at; /* an action in that directory; NULL: none open */
    int fd;
    bool emptied;          /* something was deleted in it: it may be empty now */
} coco__fs_writer;

/* Sets err for a part of the action's path, the first n bytes of its rel. */
static coco_status coco__fs_err(coco_err *err, const coco__fs_op *op, size_t n, coco_status code, const char *what)
{
    return coco_err_set(err, code, "%s%s%.*s: %s", op->base, n ? "/" : "", (int)n, op->rel.p, what);
}

static coco_status coco__fs_errno(coco_err *err, const coco__fs_op *op, size_t n, int error)
{
    return coco__fs_err(err, op, n, coco__fs_status(error), strerror(error));
}

/* One name of a path, NUL-terminated, in buf; false if the system has none so long. */
static bool coco__fs_part(const char *p, size_t n, char buf[NAME_MAX + 1])
{
    if (n > NAME_MAX) return errno = ENAMETOOLONG, false;
    memcpy(buf, p, n);
    buf[n] = '\0';
    return true;
}

/* Enters the directory name in *fd, made if it may be, and puts its descriptor into *fd. Returns 0 or an errno; ELOOP
 * says that name is a symbolic link. */
static int coco__fs_step(int *fd, const char *name, bool make, bool durable)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int next = openat(*fd, name, flags), error = errno;
    struct stat st;

    if (next < 0 && error == ENOENT && make) {
        if (mkdirat(*fd, name, 0777) != 0 && errno != EEXIST) return errno;
        if (durable && fsync(*fd) != 0) return errno;
        next = openat(*fd, name, flags);
        error = errno;
    }
    if (next < 0) {
        if (error == ENOTDIR && fstatat(*fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) return ELOOP;
        return error;
    }
    close(*fd);
    *fd = next;
    return 0;
}

/* Makes the directories above the path. */
static int coco__fs_make_parents(const char *path)
{
    char buf[PATH_MAX];
    size_t n = strlen(path);

    if (n >= sizeof buf) return ENAMETOOLONG;
    memcpy(buf, path, n + 1);
    for (char *slash = strchr(buf + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(buf, 0777) != 0 && errno != EEXIST && errno != EISDIR && access(buf, F_OK) != 0) return errno;
        *slash = '/';
    }
    return 0;
}

/* Opens the base directory of the action, made if it may be. */
static int coco__fs_base_open(const coco__fs_op *op, bool make)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    int fd = open(op->base, flags), error;

    if (fd >= 0 || errno != ENOENT || !make || !op->want.parents) return fd;
    error = coco__fs_make_parents(op->base);
    if (!error && mkdir(op->base, 0777) != 0 && errno != EEXIST) error = errno;
    return error ? (errno = error, -1) : open(op->base, flags);
}

/* Opens the directory of the action, the first n bytes of its rel, without following links below the base. What is
 * missing of it is made if make says so; also a container, which may have been there for files below it that are no
 * longer declared, and gone with the last. */
static coco_status coco__fs_dir_open(const coco__fs_op *op, size_t n, bool make, int *out, coco_err *err)
{
    bool durable = op->want.flags & COCO__FS_DURABLE;
    int fd = coco__fs_base_open(op, make), error = errno;
    char name[NAME_MAX + 1];

    if (fd < 0) return coco__fs_errno(err, op, 0, error);
    for (size_t i = 0, len; i < n; i += len + 1) {
        len = strcspn(op->rel.p + i, "/");
        bool may_make = make && (op->inside || op->want.parents);
        error = coco__fs_part(op->rel.p + i, len, name) ? coco__fs_step(&fd, name, may_make, durable) : errno;
        if (error == 0) continue;
        close(fd);
        /* A link is refused whether or not it leads out: it may be turned to do so at any time. */
        if (error == ELOOP)
            return coco__fs_err(err, op, i + len, COCO_EREFUSED, COCO__FS_LED_OUT);
        if (error == ENOTDIR && make) return coco__fs_err(err, op, i + len, COCO_EFAIL, COCO__FS_FILE_IN_WAY);
        return coco__fs_errno(err, op, i + len, error);
    }
    *out = fd;
    return COCO_OK;
}

/* Whether two actions are in one directory. */
static bool coco__fs_together(const coco__fs_op *a, const coco__fs_op *b)
{
    return a->dir == b->dir && a->keep == b->keep && (a->base == b->base || strcmp(a->base, b->base) == 0) &&
           memcmp(a->rel.p, b->rel.p, a->dir) == 0;
}

/* Removes the action's directory if it is empty, and so those above it up to the container (invariant 3). */
static void coco__fs_prune(const coco__fs_op *op)
{
    char name[NAME_MAX + 1];
    int fd;

    for (coco_str dir = { op->rel.p, op->dir }; dir.n > op->keep; dir = coco_path_parent(dir)) {
        coco_str last = coco_path_name(dir);
        if (coco__fs_dir_open(op, coco_path_parent(dir).n, false, &fd, NULL) != COCO_OK) continue;
        bool gone = coco__fs_part(last.p, last.n, name) && (unlinkat(fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
        close(fd);
        if (!gone) return;
    }
}

/* Closes the directory that is open, and removes it if our deleting has emptied it. */
static void coco__fs_leave(coco__fs_writer *w)
{
    const coco__fs_op *op = w->at;

    if (!op) return;
    assert(w->fd >= 0 && op->dir <= op->rel.n);
    close(w->fd);
    w->at = NULL;
    if (w->emptied) coco__fs_prune(op);
    w->emptied = false;
}

/* Has the directory of the action open. */
static coco_status coco__fs_at(coco__fs_writer *w, const coco__fs_op *op, bool make, coco_err *err)
{
    if (w->at && coco__fs_together(w->at, op)) return COCO_OK;
    coco__fs_leave(w);
    COCO_TRY(coco__fs_dir_open(op, op->dir, make, &w->fd, err));
    w->at = op;
    return COCO_OK;
}

/* The action's own name, and its temporary one. */
typedef struct coco__fs_names {
    char name[NAME_MAX + 1], temp[24];
} coco__fs_names;

/* The hash (FNV-1a) need not be strong: two names that share a temporary one are written one after the other. */
static bool coco__fs_names_of(const coco__fs_op *op, coco__fs_names *out)
{
    coco_str name = coco_path_name(op->rel);
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < name.n; i++) hash = (hash ^ (uint8_t)name.p[i]) * UINT64_C(0x100000001b3);
    memcpy(out->temp, ".coco-", 6);
    for (int i = 0; i < 16; i++) out->temp[6 + i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
    out->temp[22] = '\0';
    return coco__fs_part(name.p, name.n, out->name);
}

/* ---- The sink: actions ----------------------------------------------------------------------------------------- */

/* Writes the content into a new file temp of the directory dir. Returns 0 or an errno; then nothing is left of it. */
static int coco__fs_write_temp(int dir, const char *temp, const coco__fs_thing *want)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const mode_t mode = want->mode ? (mode_t)want->mode : 0666;
    int fd = openat(dir, temp, flags, mode), error = 0;
    ssize_t r;

    if (fd < 0 && errno == EEXIST) { /* a crash left it */
        if (unlinkat(dir, temp, 0) != 0) return errno;
        fd = openat(dir, temp, flags, mode);
    }
    if (fd < 0) return errno;
    for (size_t n = 0; n < want->bytes.n && !error; n += (size_t)r) {
        do r = write(fd, want->bytes.p + n, want->bytes.n - n);
        while (r < 0 && errno == EINTR);
        if (r < 0) error = errno;
    }
    if (!error && want->mode && fchmod(fd, mode) != 0) error = errno;
    if (!error && (want->flags & COCO__FS_DURABLE) && fsync(fd) != 0) error = errno;
    if (close(fd) != 0 && !error) error = errno;
    if (error) unlinkat(dir, temp, 0);
    return error;
}

/* Writes the file beside its place and renames it there (invariant 2). */
static coco_status coco__fs_put_file(coco__fs_writer *w, const coco__fs_op *op, coco_err *err)
{
    coco__fs_names n;
    int error;

    if (!coco__fs_names_of(op, &n)) return coco__fs_errno(err, op, op->rel.n, errno);
    COCO_TRY(coco__fs_at(w, op, true, err));
    error = coco__fs_write_temp(w->fd, n.temp, &op->want);
    if (error == ENOENT) { /* the directory that we had open was removed meanwhile: take the new one of its name */
        coco__fs_leave(w);
        COCO_TRY(coco__fs_at(w, op, true, err));
        error = coco__fs_write_temp(w->fd, n.temp, &op->want);
    }
    if (error) return coco__fs_errno(err, op, op->rel.n, error);
    if (renameat(w->fd, n.temp, w->fd, n.name) != 0) {
        error = errno;
        if (error == EISDIR || error == ENOTEMPTY || error == EEXIST) { /* a directory where the file should be */
            bool gone = unlinkat(w->fd, n.name, AT_REMOVEDIR) == 0;
            error = gone ? 0 : errno;
            if (gone && renameat(w->fd, n.temp, w->fd, n.name) != 0) error = errno;
        }
        if (error) unlinkat(w->fd, n.temp, 0);
        if (error == ENOTEMPTY || error == EEXIST)
            return coco__fs_err(err, op, op->rel.n, COCO_EFAIL, COCO__FS_DIR_IN_WAY);
        if (error) return coco__fs_errno(err, op, op->rel.n, error);
    }
    if ((op->want.flags & COCO__FS_DURABLE) && fsync(w->fd) != 0) return coco__fs_errno(err, op, op->dir, errno);
    return COCO_OK;
}

/* Makes the directory name in dir (AT_FDCWD and a path for a base). Returns 0 or an errno. A base may be a link to
 * one. */
static int coco__fs_make_dir(int dir, const char *name, const coco__fs_op *op)
{
    mode_t mode = op->want.mode ? (mode_t)op->want.mode : 0777;
    bool made = mkdirat(dir, name, mode) == 0;
    struct stat st;

    if (!made) {
        if (errno != EEXIST) return errno;
        if (fstatat(dir, name, &st, dir == AT_FDCWD ? 0 : AT_SYMLINK_NOFOLLOW) != 0) return errno;
        if (!S_ISDIR(st.st_mode)) {
            if (S_ISLNK(st.st_mode)) return ELOOP;
            if (!op->may_file) return EEXIST;
            if (unlinkat(dir, name, 0) != 0 || mkdirat(dir, name, mode) != 0) return errno;
        } else if (!op->want.mode || (st.st_mode & 07777) == mode) {
            return 0;
        }
    }
    if (op->want.mode && fchmodat(dir, name, mode, 0) != 0) return errno;
    return 0;
}

/* Makes the directory, or sees to it that it is one with the mode asked for. */
static coco_status coco__fs_put_dir(coco__fs_writer *w, const coco__fs_op *op, coco_err *err)
{
    coco__fs_names n;
    int error = 0;

    coco__fs_leave(w);
    if (op->rel.n) {
        if (!coco__fs_names_of(op, &n)) return coco__fs_errno(err, op, op->rel.n, errno);
        COCO_TRY(coco__fs_at(w, op, true, err));
        error = coco__fs_make_dir(w->fd, n.name, op);
        if (!error && (op->want.flags & COCO__FS_DURABLE) && fsync(w->fd) != 0) error = errno;
    } else {
        if (op->want.parents) error = coco__fs_make_parents(op->base);
        if (!error) error = coco__fs_make_dir(AT_FDCWD, op->base, op);
    }
    if (error == EEXIST) return coco__fs_err(err, op, op->rel.n, COCO_EFAIL, COCO__FS_FILE_IN_WAY);
    if (error == ELOOP) return coco__fs_err(err, op, op->rel.n, COCO_EREFUSED, COCO__FS_LED_OUT);
    return error ? coco__fs_errno(err, op, op->rel.n, error) : COCO_OK;
}

/* Removes directories from base/rel upward, as long as they are empty, at most n of them. False with errno if the
 * first of them stays. */
static bool coco__fs_remove_up(const char *base, coco_str rel, uint64_t n)
{
    char buf[PATH_MAX], *slash;
    bool gone = n == 0;

    if (snprintf(buf, sizeof buf, "%s%s%.*s", base, rel.n ? "/" : "", (int)rel.n, rel.p) >= (int)sizeof buf)
        return true;
    while (n-- > 0 && rmdir(buf) == 0) {
        gone = true;
        if (!(slash = strrchr(buf, '/')) || slash == buf) break;
        *slash = '\0';
    }
    return gone;
}

/* Tells that a directory of ours, which should go, has something in it. */
static void coco__fs_stays(coco_action *action, const coco__fs_op *op, int error)
{
    if (error != ENOTEMPTY && error != EEXIST) return;
    coco_action_note(action, "%s%s%.*s stays: there is something in it that is not of this target", op->base,
                     op->rel.n ? "/" : "", (int)op->rel.n, op->rel.p);
}

/* Whether removing failed only because there is nothing of ours to remove. */
static bool coco__fs_not_there(int dir, const char *name, int error)
{
    struct stat st;

    if (error == ENOENT || error == ENOTDIR || error == EISDIR) return true;
    return error == EPERM && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Removes what is ours. That it isn't there, or something else is by now, is as good as removed. */
static coco_status coco__fs_remove(coco__fs_writer *w, coco_action *action, coco_err *err)
{
    const coco__fs_op *op = action->value;
    coco__fs_names n;
    coco_status rc;

    if (op->rel.n == 0) {
        coco__fs_leave(w);
        if (!coco__fs_remove_up(op->base, op->rel, op->may_made)) coco__fs_stays(action, op, errno);
        return COCO_OK;
    }
    if (!coco__fs_names_of(op, &n)) return COCO_OK; /* too long to have been written */
    if (op->may_dir) coco__fs_leave(w);
    rc = coco__fs_at(w, op, false, err);
    if (rc == COCO_ENOTFOUND && op->may_none) coco__fs_prune(op);
    if (rc == COCO_ENOTFOUND) return COCO_OK;
    if (rc != COCO_OK) return rc;
    w->emptied |= op->may_none;
    if (op->may_file) {
        unlinkat(w->fd, n.temp, 0);
        if (unlinkat(w->fd, n.name, 0) == 0) w->emptied = true;
        else if (!coco__fs_not_there(w->fd, n.name, errno)) return coco__fs_errno(err, op, op->rel.n, errno);
    }
    if (op->may_dir && op->may_made) {
        if (unlinkat(w->fd, n.name, AT_REMOVEDIR) == 0) w->emptied = true;
        else coco__fs_stays(action, op, errno);
    }
    if (op->may_file && op->may_made && !op->may_dir) {
        coco__fs_leave(w);
        coco__fs_remove_up(op->base, (coco_str){ op->rel.p, op->dir }, op->may_made);
    }
    return COCO_OK;
}

/* Each action is answered on its own: one bad file fails its own component alone. */
static coco_status coco__fs_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    coco__fs_writer w = { NULL, -1, false };

    (void)self; /* invariant 4 */
    for (size_t i = 0; i < n; i++) {
        const coco__fs_op *op = actions[i]->value;
        coco_err own = { 0 };
        coco_status rc = op->remove ? coco__fs_remove(&w, actions[i], &own)
                         : op->want.dir ? coco__fs_put_dir(&w, op, &own) : coco__fs_put_file(&w, op, &own);
        actions[i]->answer = COCO_OK;
        if (rc != COCO_OK) coco_action_fail(actions[i], &own);
    }
    coco__fs_leave(&w);
    (void)err;
    return COCO_OK;
}

static coco_sink coco__fs_sink = { .apply = coco__fs_apply, .name = "localfs" };

/* ---- The handler ----------------------------------------------------------------------------------------------- */

/* Whether the records say that just this is there. */
static bool coco__fs_is_there(const coco_change *in, const uint8_t *record, size_t n)
{
    return in->npossible == 1 && !in->may_be_missing && in->possible[0].p && in->possible[0].n == n &&
           memcmp(in->possible[0].p, record, n) == 0;
}

/* Takes from the recorded possibilities what may be there. */
static void coco__fs_possible(const coco_change *in, coco__fs_op *op, uint64_t *made)
{
    coco__fs_thing old;

    for (size_t i = 0; i < in->npossible; i++) {
        if (!in->possible[i].p) op->may_none = true;
        if (!in->possible[i].p) continue;
        if (coco__fs_record_get(in->possible[i], &old)) {
            if (old.dir) op->may_dir = true;
            else op->may_file = true;
            if (old.made > *made) *made = old.made;
        } else {
            op->may_file = op->may_dir = true;
        }
    }
}

/* "N bytes", at the end of text; by hand, since it is made for each file and mostly for nobody. */
static coco_str coco__fs_bytes_text(char text[32], size_t n)
{
    char *p = text + 26;

    memcpy(p, " bytes", 6);
    do *--p = (char)('0' + n % 10);
    while (n /= 10);
    return (coco_str){ p, (size_t)(text + 32 - p) };
}

/* The action: its own copy of everything. */
static coco_status coco__fs_act(coco_ctx *cx, const coco__fs_place *place, const coco_change *in,
                                const coco__fs_op *plan, coco_decision *out)
{
    coco__fs_op *op = coco_alloc(cx, sizeof *op);

    if (!op) return COCO_ENOMEM;
    *op = *plan;
    COCO_TRY(coco__fs_locate(cx, place, in->key, op->remove ? op->may_dir && !op->may_file : op->want.dir, op));
    if (place->durable) op->want.flags |= COCO__FS_DURABLE;
    if (place->base) op->want.parents = false; /* the container's own action makes what is above it */
    if (!op->remove && !op->want.dir) {
        op->want.bytes = coco_copy(cx, op->want.bytes);
        if (!op->want.bytes.p) return COCO_ENOMEM;
        out->action.text = coco__fs_bytes_text(op->text, op->want.bytes.n);
        out->action.bytes = op->want.bytes.n;
    }
    out->act = true;
    out->action.kind = op->remove ? COCO_DELETE : op->may_file || op->may_dir ? COCO_UPDATE : COCO_INSERT;
    out->action.value = op;
    return COCO_OK;
}

/* What is recorded as just what is wanted stays; all else is an action, which copes with whatever is there. */
static coco_status coco__fs_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    coco__fs_op plan = { .remove = in->desired == NULL };
    uint8_t record[COCO__FS_REC_MAX];
    uint64_t made = 0;
    size_t n;

    coco__fs_possible(in, &plan, &made);
    plan.may_made = made;
    if (plan.remove) {
        if (!plan.may_file && !plan.may_dir) return COCO_OK;
        return coco__fs_act(cx, self, in, &plan, out);
    }
    plan.want = coco__fs_wanted(*in->desired);
    if (plan.want.made < made) plan.want.made = made;
    if (!plan.want.dir) coco_fingerprint_bytes(plan.want.bytes.p, plan.want.bytes.n, plan.want.content);
    n = coco__fs_record_put(&plan.want, record);
    if (coco__fs_is_there(in, record, n)) return COCO_OK;
    out->record = coco_copy(cx, (coco_str){ (const char *)record, n });
    if (!out->record.p) return COCO_ENOMEM;
    /* Where a file becomes a directory nothing is below it yet; where a directory becomes a file, what is below it
     * must be deleted state by state, for the rest of its content is not ours. */
    out->children = plan.want.dir && plan.may_file ? COCO_CHILDREN_DESTROYED : COCO_CHILDREN_KEPT;
    return coco__fs_act(cx, self, in, &plan, out);
}

static void coco__fs_handler(coco__fs_place *place, coco_target_handler *out);

/* The place of a directory's content; from the record alone where it is only to be deleted. */
static coco_status coco__fs_child(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
                                  coco_target_handler *out)
{
    const coco__fs_place *place = self;
    coco__fs_place *child = coco_alloc(cx, sizeof *child);
    coco__fs_thing thing = { 0 };
    coco__fs_op op = { 0 };

    if (!child) return COCO_ENOMEM;
    COCO_TRY(coco__fs_locate(cx, place, key, true, &op));
    if (desired) thing = coco__fs_wanted(*desired);
    else (void)coco__fs_record_get(record, &thing);
    child->base = coco_copy(cx, coco_str_of(op.base)).p;
    child->rel = coco_copy(cx, op.rel);
    child->durable = place->durable || (thing.flags & COCO__FS_DURABLE);
    child->title = place->base ? coco_path_join(cx, place->title, coco_text_of(key)) : coco_copy(cx, coco_text_of(key));
    if (!child->base || !child->rel.p || !child->title.p) return COCO_ENOMEM;
    coco__fs_handler(child, out);
    return COCO_OK;
}

/* Opens the directory of a state for a look; *fd is -1 where it, or one above it, isn't there. */
static coco_status coco__fs_look(coco_ctx *cx, coco__fs_op *op, int *fd)
{
    coco_err err = { 0 };
    coco_status rc = coco__fs_dir_open(op, op->dir, false, fd, &err);

    if (rc == COCO_OK) return rc;
    *fd = -1;
    return rc == COCO_ENOTFOUND ? COCO_OK : coco_fail(cx, rc, "%s", err.msg);
}

/* Looks at what is where the action would go; its mode is 0 where nothing is. Links are followed to a base alone. */
static coco_status coco__fs_stat(coco_ctx *cx, coco__fs_op *op, struct stat *st)
{
    coco__fs_names n;
    int fd, rc, error;

    st->st_mode = 0;
    if (op->rel.n == 0) {
        rc = stat(op->base, st);
        error = errno;
    } else {
        COCO_TRY(coco__fs_look(cx, op, &fd));
        if (fd < 0) return COCO_OK;
        rc = coco__fs_names_of(op, &n) ? fstatat(fd, n.name, st, AT_SYMLINK_NOFOLLOW) : -1;
        error = errno;
        close(fd);
    }
    if (rc == 0) return COCO_OK;
    st->st_mode = 0;
    return error == ENOENT || error == ENOTDIR ? COCO_OK : coco__fs_fail(cx, op->base, op->rel, error);
}

/* A container is a directory. One with another mode than it was given is set right. */
static coco_status coco__fs_exists(coco_ctx *cx, void *self, coco_value key, coco_str record, bool *exists,
                                   coco_str *shape)
{
    coco__fs_op op = { 0 };
    coco__fs_thing thing;
    uint8_t is[COCO__FS_REC_MAX];
    struct stat st;

    COCO_TRY(coco__fs_locate(cx, self, key, true, &op));
    if (op.rel.n == 0) COCO_TRY(coco__fs_mark_target(cx, op.base, false)); /* a memo may stand for the declaration */
    COCO_TRY(coco__fs_stat(cx, &op, &st));
    *exists = S_ISDIR(st.st_mode);
    if (!*exists || !coco__fs_record_get(record, &thing) || !thing.dir || !thing.mode) return COCO_OK;
    thing.mode = st.st_mode & 07777;
    *shape = coco_copy(cx, (coco_str){ (const char *)is, coco__fs_record_put(&thing, is) });
    return shape->p ? COCO_OK : COCO_ENOMEM;
}

/* Compares the content of the file, which has the recorded size. */
static coco_verdict coco__fs_compare(coco_ctx *cx, coco__fs_op *op, const coco__fs_thing *thing, coco_str *detail)
{
    coco__fs_names n;
    uint8_t fp[16];
    int dir, fd = -1, error;

    if (coco__fs_look(cx, op, &dir) != COCO_OK || dir < 0) return COCO_STATE_UNKNOWN;
    if (coco__fs_names_of(op, &n)) fd = openat(dir, n.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    error = fd < 0 ? errno : coco__fs_hash_fd(fd, fp);
    if (fd >= 0) close(fd);
    close(dir);
    *detail = error ? coco_str_of(strerror(error)) : COCO_STR("content");
    return error ? COCO_STATE_UNKNOWN : memcmp(fp, thing->content, 16) ? COCO_STATE_DIFFERENT : COCO_STATE_OK;
}

static void coco__fs_verify_one(coco_ctx *cx, const coco__fs_place *place, coco_finding *f)
{
    coco__fs_thing thing;
    coco__fs_op op = { 0 };
    struct stat st;

    if (!coco__fs_record_get(f->record, &thing)) return;
    if (coco__fs_locate(cx, place, f->key, thing.dir, &op) != COCO_OK || coco__fs_stat(cx, &op, &st) != COCO_OK) {
        f->detail = coco_str_of(coco_error_message(cx));
        return;
    }
    f->verdict = st.st_mode ? COCO_STATE_DIFFERENT : COCO_STATE_MISSING;
    if (!st.st_mode) return;
    if (thing.dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode)) f->detail = COCO_STR("kind");
    else if (thing.mode && (st.st_mode & 07777) != thing.mode) f->detail = COCO_STR("mode");
    else if (thing.dir) f->verdict = COCO_STATE_OK;
    else if ((uint64_t)st.st_size != thing.size) f->detail = COCO_STR("size");
    else f->verdict = coco__fs_compare(cx, &op, &thing, &f->detail);
    if (f->verdict == COCO_STATE_OK) f->detail = (coco_str){ 0 };
}

/* A file is compared by size, content and the mode it was given, a directory by being one and by its mode. */
static coco_status coco__fs_verify(coco_ctx *cx, void *self, coco_finding *states, size_t n)
{
    for (size_t i = 0; i < n; i++) coco__fs_verify_one(cx, self, &states[i]);
    return coco_error(cx);
}

static void coco__fs_handler(coco__fs_place *place, coco_target_handler *out)
{
    out->name = "localfs";
    out->self = place;
    out->sink = &coco__fs_sink;
    out->reconcile = coco__fs_reconcile;
    out->child = coco__fs_child;
    out->exists = coco__fs_exists;
    out->verify = coco__fs_verify;
    out->title = place->title;
}

static coco_status coco__fs_make_root(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    coco__fs_place *root = coco_alloc(cx, sizeof *root);

    (void)key;
    if (!root) return COCO_ENOMEM;
    root->title = COCO_STR("localfs");
    coco__fs_handler(root, out);
    return COCO_OK;
}

static coco_target_type coco__fs_type = { .name = "localfs", .make = coco__fs_make_root };

COCO_AT_START(coco__fs_target)
{
    coco_target_register(&coco__fs_type);
}
