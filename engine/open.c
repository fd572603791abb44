/* open.c - the state directory: LMDB's environment, its format, the size of the map, one named database per app (the
 * unnamed one holds the format), and the one process that may update.
 *
 * Floor: above base, below store. The map grows only while no reader of this process holds map_lock. */
#include "engine.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define COCO__MAGIC "cocoindex"
#define COCO__DEFAULT_MAP ((size_t)64 << 30)
enum { COCO__READERS = 510, COCO__LOCK_BYTES = COCO__READERS * 64 + 4096 }; /* a reader has a cache line in it */

static pthread_mutex_t coco__open_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t coco__dbi_mutex = PTHREAD_MUTEX_INITIALIZER; /* taken last, with a transaction begun */
static coco_env *coco__open_envs; /* of this process, to refuse a directory opened twice */
static _Atomic unsigned coco__fork_count;
static pthread_once_t coco__fork_once = PTHREAD_ONCE_INIT;

/* No other thread holds the process's own locks at a fork: a child may open an environment (coco_check's does). */
static void coco__before_fork(void)
{
    pthread_mutex_lock(&coco__open_mutex);
    pthread_mutex_lock(&coco__dbi_mutex);
}
static void coco__after_fork(void)
{
    pthread_mutex_unlock(&coco__dbi_mutex);
    pthread_mutex_unlock(&coco__open_mutex);
}
static void coco__after_fork_child(void)
{
    coco__fork_count++;
    coco__after_fork();
}
static void coco__watch_fork(void) { pthread_atfork(coco__before_fork, coco__after_fork, coco__after_fork_child); }

COCO__IN unsigned coco__fork_generation(void)
{
    pthread_once(&coco__fork_once, coco__watch_fork);
    return coco__fork_count;
}

/* ---- Errors ---- */

COCO__IN coco_status coco__mdb_code(int rc)
{
    switch (rc) {
    case ENOMEM: return COCO_ENOMEM;
    case ENOENT: return COCO_ENOTFOUND;
    case EACCES:
    case EPERM:
    case EROFS: return COCO_EACCESS;
    case ENOSPC:
    case EDQUOT:
    case MDB_MAP_FULL: return COCO_EFULL;
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE: return COCO_EINVAL;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC: return COCO_ECORRUPT;
    default: return COCO_EIO;
    }
}

COCO__IN coco_status coco__mdb_error(coco_err *err, int rc, const coco_env *env, const char *what)
{
    return coco_err_set(err, coco__mdb_code(rc), "%s: state database %s: %s", what, env->dir, mdb_strerror(rc));
}

/* ---- Opening ---- */

static coco_status coco__make_dir(coco_env *env, coco_err *err)
{
    struct stat st;

    if (!env->config.read_only && mkdir(env->dir, 0777) != 0 && errno != EEXIST)
        return coco_err_set(err, coco__mdb_code(errno), "state directory %s: %s", env->dir, strerror(errno));
    if (stat(env->dir, &st) != 0)
        return coco_err_set(err, COCO_ENOTFOUND, "state directory %s: %s", env->dir, strerror(errno));
    if (!S_ISDIR(st.st_mode)) return coco_err_set(err, COCO_EINVAL, "state directory %s: not a directory", env->dir);
    env->dev = (uint64_t)st.st_dev, env->ino = (uint64_t)st.st_ino;
    return COCO_OK;
}

static coco_status coco__open_register(coco_env *env, coco_err *err)
{
    coco_status rc = COCO_OK;

    pthread_mutex_lock(&coco__open_mutex);
    for (coco_env *e = coco__open_envs; e; e = e->next_open)
        if (e->dev == env->dev && e->ino == env->ino && e->fork_gen == env->fork_gen)
            rc = coco_err_set(err, COCO_EBUSY, "state directory %s is open in this process already", env->dir);
    if (rc == COCO_OK) {
        env->next_open = coco__open_envs;
        coco__open_envs = env;
    }
    pthread_mutex_unlock(&coco__open_mutex);
    return rc;
}

/* LMDB maps its lock file and writes to it: where the disk is full that would kill the process. So the blocks of a new
 * one are taken before. Returns 0, or that there is no room. */
static int coco__lock_room(const coco_env *env)
{
    int rc = 0;
#ifdef __linux__
    char path[PATH_MAX];
    struct stat st;

    snprintf(path, sizeof path, "%s/lock.mdb", env->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) return 0; /* LMDB will say why */
    if (fstat(fd, &st) == 0 && st.st_size == 0) rc = posix_fallocate(fd, 0, COCO__LOCK_BYTES);
    close(fd);
#endif
    return rc == ENOSPC ? rc : 0;
}

/* Reserves the address space, halving what the machine doesn't grant. */
static int coco__open_mdb(coco_env *env)
{
    unsigned flags = MDB_NOTLS | (env->config.read_only ? (unsigned)MDB_RDONLY : 0);
    int rc = env->config.read_only ? 0 : coco__lock_room(env);

    if (rc != 0) return rc;
    for (env->map_size = env->config.map_size ? env->config.map_size : COCO__DEFAULT_MAP;; env->map_size /= 2) {
        if ((rc = mdb_env_create(&env->mdb)) != 0) return rc;
        mdb_env_set_maxdbs(env->mdb, 1024);
        mdb_env_set_maxreaders(env->mdb, COCO__READERS);
        rc = mdb_env_set_mapsize(env->mdb, env->map_size);
        if (rc == 0) rc = mdb_env_open(env->mdb, env->dir, flags, 0666);
        if (rc == 0) return 0;
        mdb_env_close(env->mdb);
        env->mdb = NULL;
        if ((rc != ENOMEM && rc != EINVAL) || env->map_size < (size_t)16 << 20) return rc;
    }
}

/* Reads the format, or writes it. MDB_NOTFOUND: nothing is there at all; MDB_INVALID: another program's. */
static int coco__format(coco_env *env, bool write, uint32_t *version)
{
    uint8_t ours[4] = { 0, 0, 0, COCO_FORMAT_VERSION };
    MDB_val k = { sizeof COCO__MAGIC - 1, (void *)(uintptr_t)COCO__MAGIC }, v = { sizeof ours, ours };
    MDB_txn *txn = NULL;
    MDB_stat st;
    MDB_dbi dbi;
    int rc = mdb_txn_begin(env->mdb, NULL, write ? 0 : MDB_RDONLY, &txn);

    if (rc == 0) rc = mdb_dbi_open(txn, NULL, 0, &dbi);
    if (rc == 0) rc = write ? mdb_put(txn, dbi, &k, &v, 0) : mdb_get(txn, dbi, &k, &v);
    if (rc == MDB_NOTFOUND && (mdb_stat(txn, dbi, &st) != 0 || st.ms_entries != 0)) rc = MDB_INVALID;
    if (rc == 0) {
        coco__reader r = coco__reader_of(v.mv_data, v.mv_size);
        *version = coco__read_be32(&r);
        if (r.bad) *version = UINT32_MAX;
    }
    if (rc == 0 && write) return mdb_txn_commit(txn);
    if (txn) mdb_txn_abort(txn);
    return rc;
}

static coco_status coco__check_format(coco_env *env, coco_err *err)
{
    uint32_t version = COCO_FORMAT_VERSION;
    int rc = coco__format(env, false, &version);

    if (rc == MDB_NOTFOUND) rc = env->config.read_only ? 0 : coco__format(env, true, &version);
    if (rc == MDB_INVALID)
        return coco_err_set(err, COCO_EINVAL, "%s holds another program's database, not one of this library", env->dir);
    if (version > COCO_FORMAT_VERSION)
        return coco_err_set(err, COCO_EVERSION, "state database %s has format %u; this library knows up to %d",
                            env->dir, (unsigned)version, COCO_FORMAT_VERSION);
    return rc ? coco__mdb_error(err, rc, env, "open") : COCO_OK;
}

COCO__IN coco_status coco__store_open(coco_env *env, coco_err *err)
{
    coco_status status;
    int rc, dead;

    env->lock_fd = -1;
    COCO_TRY(coco__make_dir(env, err));
    COCO_TRY(coco__open_register(env, err));
    rc = coco__open_mdb(env);
    if (rc == EACCES && env->config.read_only)
        status = coco_err_set(err, COCO_EACCESS,
                              "state database %s: no permission to write its lock file; read a copy made by `backup`",
                              env->dir);
    else if (rc != 0)
        status = coco__mdb_error(err, rc, env, "open");
    else
        status = coco__check_format(env, err);
    if (status == COCO_OK && !env->config.read_only) mdb_reader_check(env->mdb, &dead);
    if (status != COCO_OK) coco__store_close(env);
    return status;
}

COCO__IN void coco__store_close(coco_env *env)
{
    bool here = env->fork_gen == coco__fork_generation();
    coco_env **e = &coco__open_envs;

    pthread_mutex_lock(&coco__open_mutex);
    while (*e && *e != env) e = &(*e)->next_open;
    if (*e) *e = env->next_open;
    pthread_mutex_unlock(&coco__open_mutex);
    if (env->mdb && here) mdb_env_close(env->mdb);
    env->mdb = NULL;
    if (env->lock_fd >= 0) close(env->lock_fd);
    env->lock_fd = -1;
}

/* LMDB gives up its map before it asks for another, and is lost where that is refused: whether there is room for a
 * larger one is tried first. */
static int coco__room_for(size_t size)
{
    void *p = size ? mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) : MAP_FAILED;

    return p == MAP_FAILED ? ENOMEM : munmap(p, size);
}

COCO__IN coco_status coco__resize(coco_env *env, bool grow, coco_err *err)
{
    MDB_envinfo info;
    int rc;

    pthread_rwlock_wrlock(&env->map_lock);
    rc = grow ? coco__room_for(env->map_size * 2) : 0;
    if (rc == 0) rc = mdb_env_set_mapsize(env->mdb, grow ? env->map_size * 2 : 0);
    if (rc == 0 && mdb_env_info(env->mdb, &info) == 0) env->map_size = info.me_mapsize;
    pthread_rwlock_unlock(&env->map_lock);
    return rc ? coco__mdb_error(err, rc, env, grow ? "grow" : "follow growth") : COCO_OK;
}

COCO__IN coco_status coco__txn_begin(coco_env *env, unsigned flags, MDB_txn **txn, const char *what, coco_err *err)
{
    int rc = mdb_txn_begin(env->mdb, NULL, flags, txn);

    if (rc == MDB_MAP_RESIZED) {
        COCO_TRY(coco__resize(env, false, err));
        rc = mdb_txn_begin(env->mdb, NULL, flags, txn);
    }
    return rc ? coco__mdb_error(err, rc, env, what) : COCO_OK;
}

/* LMDB wants named databases opened, and closed by a drop, in one transaction at a time, up to its end. */
COCO__IN void coco__dbi_lock(void) { pthread_mutex_lock(&coco__dbi_mutex); }
COCO__IN void coco__dbi_unlock(void) { pthread_mutex_unlock(&coco__dbi_mutex); }

COCO__IN coco_status coco__store_app(coco_app *app, bool create, coco_err *err)
{
    coco_env *env = app->env;
    char name[256];
    MDB_txn *txn;
    int rc;

    if (app->has_dbi) return COCO_OK;
    snprintf(name, sizeof name, "app:%s", app->name);
    COCO_TRY(coco__txn_begin(env, create ? 0 : MDB_RDONLY, &txn, "open", err));
    coco__dbi_lock();
    rc = mdb_dbi_open(txn, name, create ? MDB_CREATE : 0, &app->dbi);
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
        app->has_dbi = rc == 0;
    } else {
        mdb_txn_abort(txn);
        if (rc == MDB_NOTFOUND && !create) rc = 0;
    }
    coco__dbi_unlock();
    return rc ? coco__mdb_error(err, rc, env, "open") : COCO_OK;
}

/* ---- The one updating process ---- */

COCO__IN coco_status coco__lock_alone(const char *dir, const char *name, off_t n, int *fd, coco_err *err)
{
    struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = n };
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (*fd < 0 && (*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        return coco_err_set(err, coco__mdb_code(errno), "lock file %s: %s", path, strerror(errno));
    if (fcntl(*fd, F_SETLK, &fl) == 0) return COCO_OK;
    fl.l_type = F_WRLCK;
    if (fcntl(*fd, F_GETLK, &fl) != 0 || fl.l_type == F_UNLCK) fl.l_pid = 0;
    return coco_err_set(err, COCO_EBUSY, "state directory %s is %s process %ld", dir,
                        n ? "open in" : "being updated by", (long)fl.l_pid);
}

COCO__IN coco_status coco__store_lock(coco_env *env, coco_err *err)
{
    coco_status rc = COCO_OK;

    pthread_mutex_lock(&env->mutex);
    if (env->writers == 0) rc = coco__lock_alone(env->dir, "cocoindex.lock", 0, &env->lock_fd, err);
    if (rc == COCO_OK) env->writers++;
    pthread_mutex_unlock(&env->mutex);
    return rc;
}

COCO__IN void coco__store_unlock(coco_env *env)
{
    struct flock fl = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

    pthread_mutex_lock(&env->mutex);
    if (--env->writers == 0 && env->lock_fd >= 0) fcntl(env->lock_fd, F_SETLK, &fl);
    pthread_mutex_unlock(&env->mutex);
}
