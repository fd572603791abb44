/* write.c - part of localfs.c: what the target's sink does: it makes files and directories what they should be.
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
 *   4. Nothing is kept between batches: what is held open in one is closed at its end (apply.c). */

enum { COCO__FS_DURABLE = 1 };

/* What is, or should be, at a place. */
typedef struct coco__fs_thing {
    bool dir;       /* else a file */
    unsigned flags; /* COCO__FS_DURABLE */
    uint64_t mode;  /* permission bits; 0: as the umask has it */
    uint64_t made;  /* directories that were missing, counted from the state upward, when it was first declared */
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

/* ---- Steps below a base ---------------------------------------------------------------------------------------- */

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

/* What was done in the directory is done for good, if that was asked for. Returns 0 or an errno. */
static int coco__fs_sync(int fd, const coco__fs_op *op)
{
    return (op->want.flags & COCO__FS_DURABLE) && fsync(fd) != 0 ? errno : 0;
}

/* Enters the directory name in *fd, made if it may be, and puts its descriptor into *fd. Returns 0 or an errno; ELOOP
 * says that name is a symbolic link. */
static int coco__fs_step(int *fd, const char *name, bool make, const coco__fs_op *op)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int next = openat(*fd, name, flags), error = errno;
    struct stat st;

    if (next < 0 && error == ENOENT && make) {
        if (mkdirat(*fd, name, 0777) != 0 && errno != EEXIST) return errno;
        if ((error = coco__fs_sync(*fd, op)) != 0) return unlinkat(*fd, name, AT_REMOVEDIR), error;
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

/* The same of what was done to the name that the path ends with. */
static int coco__fs_sync_above(const char *path, const coco__fs_op *op)
{
    const char *slash = strrchr(path, '/');
    char above[PATH_MAX] = ".";
    int fd, error;

    if (!(op->want.flags & COCO__FS_DURABLE)) return 0;
    if (slash) snprintf(above, sizeof above, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if ((fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) return errno;
    error = coco__fs_sync(fd, op);
    close(fd);
    return error;
}

/* Makes a directory by its whole path, if it isn't there. */
static int coco__fs_make_one(const char *path, const coco__fs_op *op)
{
    int error;

    if (mkdir(path, 0777) != 0) return errno == EEXIST || errno == EISDIR ? 0 : errno;
    if ((error = coco__fs_sync_above(path, op)) != 0) rmdir(path); /* so that it is made, and synced, again */
    return error;
}

/* Makes the directories above the action's base. */
static int coco__fs_make_parents(const coco__fs_op *op)
{
    char buf[PATH_MAX];
    size_t n = strlen(op->base);
    int error;

    if (n >= sizeof buf) return ENAMETOOLONG;
    memcpy(buf, op->base, n + 1);
    for (char *slash = strchr(buf + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        error = coco__fs_make_one(buf, op);
        if (error && access(buf, F_OK) != 0) return error;
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
    error = coco__fs_make_parents(op);
    if (!error) error = coco__fs_make_one(op->base, op);
    return error ? (errno = error, -1) : open(op->base, flags);
}

/* Opens the directory of the action, the first n bytes of its rel, without following links below the base. What is
 * missing of it is made if make says so; also a container, which may have been there for files below it that are no
 * longer declared, and gone with the last. */
static coco_status coco__fs_dir_open(const coco__fs_op *op, size_t n, bool make, int *out, coco_err *err)
{
    int fd = coco__fs_base_open(op, make), error = errno;
    char name[NAME_MAX + 1];

    if (fd < 0) return coco__fs_errno(err, op, 0, error);
    for (size_t i = 0, len; i < n; i += len + 1) {
        len = strcspn(op->rel.p + i, "/");
        bool may_make = make && (op->inside || op->want.parents);
        error = coco__fs_part(op->rel.p + i, len, name) ? coco__fs_step(&fd, name, may_make, op) : errno;
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
        if (gone) coco__fs_sync(fd, op);
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

/* FNV-1a */
static uint64_t coco__fs_hash(const char *p, size_t n)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < n; i++) hash = (hash ^ (uint8_t)p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* It need not be strong: two names that share a temporary one are written one after the other. */
static uint64_t coco__fs_temp_hash(const coco__fs_op *op)
{
    coco_str name = coco_path_name(op->rel);

    return coco__fs_hash(name.p, name.n);
}

static bool coco__fs_names_of(const coco__fs_op *op, coco__fs_names *out)
{
    coco_str name = coco_path_name(op->rel);
    uint64_t hash = coco__fs_temp_hash(op);

    memcpy(out->temp, ".coco-", 6);
    for (int i = 0; i < 16; i++) out->temp[6 + i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
    out->temp[22] = '\0';
    return coco__fs_part(name.p, name.n, out->name);
}

/* ---- Actions ----------------------------------------------------------------------------------------------------- */

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
    if (coco__fs_hooks.put_ms) poll(NULL, 0, (int)coco__fs_hooks.put_ms);
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
    error = coco__fs_sync(w->fd, op);
    return error ? coco__fs_errno(err, op, op->dir, error) : COCO_OK;
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
        if (!error) error = coco__fs_sync(w->fd, op);
    } else {
        if (op->want.parents) error = coco__fs_make_parents(op);
        if (!error) error = coco__fs_make_dir(AT_FDCWD, op->base, op);
        if (!error) error = coco__fs_sync_above(op->base, op);
    }
    if (error == EEXIST) return coco__fs_err(err, op, op->rel.n, COCO_EFAIL, COCO__FS_FILE_IN_WAY);
    if (error == ELOOP) return coco__fs_err(err, op, op->rel.n, COCO_EREFUSED, COCO__FS_LED_OUT);
    return error ? coco__fs_errno(err, op, op->rel.n, error) : COCO_OK;
}

/* Removes directories of the action's path, the first n bytes of its rel, and upward, as long as they are empty and
 * ours; some may not have come to be. False with errno if the first of them stays. */
static bool coco__fs_remove_up(const coco__fs_op *op, size_t n)
{
    char buf[PATH_MAX], *slash;
    uint64_t most = op->may_made;
    bool gone = most == 0;

    if (snprintf(buf, sizeof buf, "%s%s%.*s", op->base, n ? "/" : "", (int)n, op->rel.p) >= (int)sizeof buf)
        return true;
    while (most-- > 0 && (rmdir(buf) == 0 || errno == ENOENT)) {
        gone = true;
        coco__fs_sync_above(buf, op);
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
    const bool single = op->may_file && op->may_made && !op->may_dir; /* above it may be directories of ours */
    coco__fs_names n;
    coco_status rc;
    int error;

    if (op->rel.n == 0) {
        coco__fs_leave(w);
        if (!coco__fs_remove_up(op, 0)) coco__fs_stays(action, op, errno);
        return COCO_OK;
    }
    if (!coco__fs_names_of(op, &n)) return COCO_OK; /* too long to have been written */
    if (op->may_dir) coco__fs_leave(w);
    rc = coco__fs_at(w, op, false, err);
    if (rc == COCO_ENOTFOUND && op->may_none) coco__fs_prune(op);
    if (rc == COCO_ENOTFOUND && single) coco__fs_remove_up(op, op->dir);
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
    if ((error = coco__fs_sync(w->fd, op)) != 0) return coco__fs_errno(err, op, op->dir, error);
    if (single) {
        coco__fs_leave(w);
        coco__fs_remove_up(op, op->dir);
    }
    return COCO_OK;
}
