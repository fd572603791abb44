/* backup.c - copies of a state database: coco_backup beside whatever runs, coco_compact in its place.
 *
 * Floor: above audit. Both copy page by page of the tree, leaving out what is free, in a child process: a damaged page
 * is met there, and no copy that holds one gets a name. A copy is made under another name, synced, and then named, so
 * that a crash at any point leaves a whole file under each final name.
 *
 * Compacting puts another file in the database's place, which nobody may have open: LMDB's readers and writers of one
 * database agree through its lock file, and would take the old file's state for the new one's. LMDB locks the first
 * byte of that file as long as an environment is open, shared; so having it alone means that nobody has, and whoever
 * opens meanwhile waits. */
#include "engine.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static coco_status coco__file_error(coco_err *err, const char *path, int e)
{
    return coco_err_set(err, e == EEXIST ? COCO_EREFUSED : coco__mdb_code(e), "%s: %s", path, strerror(e));
}

/* In the child: the copy, and that it is on the disk. */
static coco_status coco__copy_body(coco_env *own, void *self, coco__buf *out, coco_err *err)
{
    const int *fd = self;
    int rc = mdb_env_copyfd2(own->mdb, *fd, MDB_CP_COMPACT);

    (void)out;
    if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND)
        return coco_err_set(err, COCO_ECORRUPT, COCO__PAGES_DAMAGED, own->dir);
    if (rc) return coco__mdb_error(err, rc, own, "copy");
    return fsync(*fd) == 0 ? COCO_OK : coco_err_set(err, COCO_EIO, "%s: sync the copy: %s", own->dir, strerror(errno));
}

static coco_status coco__copy_to(coco_env *env, int fd, coco_err *err)
{
    coco__buf out;
    coco_status rc;

    coco__buf_init(&out, &env->mem);
    rc = coco__apart(env, coco__copy_body, &fd, &out, err);
    coco__buf_free(&out);
    return rc;
}

/* A name in a directory is on the disk when the directory is. */
static coco_status coco__sync_dir(const char *path, coco_err *err)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int fd, e = 0;

    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + (slash == path) : 1, slash ? path : ".");
    if ((fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) return coco__file_error(err, dir, errno);
    if (fsync(fd) != 0 && errno != EINVAL) e = errno;
    close(fd);
    return e ? coco__file_error(err, dir, e) : COCO_OK;
}

coco_status coco_backup(coco_env *env, const char *file, coco_err *err)
{
    char path[PATH_MAX];
    struct stat st;
    coco_status rc;
    int fd;

    COCO_TRY(coco__fork_check(env, err));
    if (lstat(file, &st) == 0) return coco__file_error(err, file, EEXIST); /* before the work; link decides */
    if (snprintf(path, sizeof path, "%s.XXXXXX", file) >= (int)sizeof path)
        return coco__file_error(err, file, ENAMETOOLONG);
    if ((fd = mkstemp(path)) < 0) return coco__file_error(err, path, errno);
    rc = coco__copy_to(env, fd, err);
    close(fd);
    if (rc == COCO_OK && link(path, file) != 0) rc = coco__file_error(err, file, errno); /* never over another */
    unlink(path);
    return rc == COCO_OK ? coco__sync_dir(file, err) : rc;
}

/* ---- Compacting ---- */

/* With the writer's lock held: copies, and puts the copy in the database's place once LMDB's environment is closed. */
static coco_status coco__compact(coco_env *env, const char *from, const char *to, coco_err *err)
{
    struct stat st;
    coco_status rc;
    int fd = open(to, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600), alone = -1;

    if (fd < 0) return coco__file_error(err, to, errno);
    rc = coco__copy_to(env, fd, err);
    if (rc == COCO_OK && (stat(from, &st) != 0 || fchmod(fd, st.st_mode & 07777) != 0 || fsync(fd) != 0))
        rc = coco__file_error(err, to, errno);
    close(fd);
    if (rc == COCO_OK) {
        mdb_env_close(env->mdb);
        env->mdb = NULL;
        rc = coco__lock_alone(env->dir, "lock.mdb", 1, &alone, err);
    }
    if (rc == COCO_OK && rename(to, from) != 0) rc = coco__file_error(err, from, errno);
    if (rc == COCO_OK) rc = coco__sync_dir(from, err);
    else unlink(to);
    if (alone >= 0) close(alone);
    return rc;
}

coco_status coco_compact(const coco_env_config *config, coco_err *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    coco_env_config quiet = config ? *config : (coco_env_config){ .db = NULL };
    coco_env *env;
    coco_status rc;

    quiet.setup = NULL;
    quiet.teardown = NULL;
    quiet.read_only = true; /* nothing is made where there is nothing */
    COCO_TRY(coco_env_open(&quiet, &env, err));
    if (snprintf(from, sizeof from, "%s/data.mdb", env->dir) >= (int)sizeof from - 16)
        rc = coco__file_error(err, env->dir, ENAMETOOLONG);
    else rc = coco__store_lock(env, err);
    if (rc == COCO_OK) {
        snprintf(to, sizeof to, "%s/data.mdb.compact", env->dir);
        rc = coco__compact(env, from, to, err);
        coco__store_unlock(env);
    }
    coco_env_close(env);
    return rc;
}
