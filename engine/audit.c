/* audit.c - coco_check: the walk, here or in a child process, and the repair; what was found is told afterwards.
 *
 * Floor: above repair. LMDB trusts its pages: a damaged one may kill the process that reads it. So what reads all of a
 * store runs in a child process (coco__apart), which says through a pipe how it went; if it dies, pages are damaged,
 * and that is what is told. The child opens an environment of its own and uses libc's memory; it takes no lock that
 * another thread of the parent may hold. */
#include "engine.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COCO__REPAIR_ROUNDS = 64 };

/* ---- In a child process ---- */

static bool coco__pipe_write(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n) {
        ssize_t got = write(fd, at, n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

/* Says {status and message, what the body put out}. */
static void coco__apart_child(const coco_env *env, coco__apart_fn body, void *self, int fd)
{
    static const int deadly[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };
    static const coco__mem libc;
    coco_env_config config = { .db = env->dir, .read_only = true, .map_size = env->map_size };
    coco_env *own;
    coco__buf out;
    coco_err err = { 0 };
    coco_status rc;

    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) signal(deadly[i], SIG_DFL);
    coco__buf_init(&out, &libc);
    rc = coco_env_open(&config, &own, &err);
    if (rc == COCO_OK) rc = body(own, self, &out, &err);
    err.code = rc == COCO_OK && out.failed ? COCO_ENOMEM : rc;
    _exit(!coco__pipe_write(fd, &err, sizeof err) || !coco__pipe_write(fd, out.p, out.n));
}

/* All that comes through the pipe. */
static coco_status coco__pipe_read(int fd, coco__buf *b)
{
    char bytes[4096];
    ssize_t got;

    while ((got = read(fd, bytes, sizeof bytes)) != 0) {
        if (got > 0) coco__buf_put(b, bytes, (size_t)got);
        else if (errno != EINTR) return COCO_EIO;
    }
    return b->failed ? COCO_ENOMEM : COCO_OK;
}

static coco_status coco__apart_said(const coco_env *env, coco__buf *out, int status, coco_err *err)
{
    coco_err said;

    if (status != 0 || out->n < sizeof said)
        return coco_err_set(err, COCO_ECORRUPT, COCO__PAGES_DAMAGED, env->dir);
    memcpy(&said, out->p, sizeof said);
    memmove(out->p, out->p + sizeof said, out->n -= sizeof said);
    if (said.code != COCO_OK && err) *err = said;
    return said.code;
}

COCO__IN coco_status coco__apart(coco_env *env, coco__apart_fn body, void *self, coco__buf *out, coco_err *err)
{
    int ends[2], status = 0, dead;
    coco_status rc;
    pid_t pid;

    if (pipe(ends) != 0) return coco_err_set(err, COCO_EIO, "%s: pipe: %s", env->dir, strerror(errno));
    if ((pid = fork()) == 0) {
        close(ends[0]);
        coco__apart_child(env, body, self, ends[1]);
    }
    close(ends[1]);
    rc = pid < 0 ? coco_err_set(err, COCO_EIO, "%s: fork: %s", env->dir, strerror(errno))
                 : coco__pipe_read(ends[0], out);
    close(ends[0]);
    if (pid < 0) return rc;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    if (env->mdb) mdb_reader_check(env->mdb, &dead); /* one that died leaves its place in the table of readers */
    if (rc != COCO_OK) return coco_err_set(err, rc, "%s: read in a child process: %s", env->dir, coco_status_text(rc));
    return coco__apart_said(env, out, status, err);
}

/* ---- Findings ---- */

/* Findings kept until no transaction is open: the first ones, and how many there were. */
typedef struct coco__findings {
    coco__buf text;   /* path and words, each with its NUL */
    uint64_t n;
    bool fixed;       /* something was */
} coco__findings;

/* What the first round finds is told: later ones find what it has left, or the same again when the map has grown. */
static coco_status coco__repair_body(void *self, coco__txn *t)
{
    coco__findings *f = self;
    coco_status rc;

    for (int round = 0; round < COCO__REPAIR_ROUNDS; round++) {
        coco__audit a = { .told = f->n ? NULL : &f->text, .repair = true };
        rc = coco__audit_run(&a, t);
        uint64_t found = a.nfound;
        if (f->n == 0) f->n = found;
        if (rc == COCO_OK && found) rc = coco__mend_round(&a);
        coco__audit_free(&a);
        if (rc != COCO_OK || found == 0) return rc;
        f->fixed = true;
    }
    return coco_err_set(t->err, COCO_ECORRUPT, "state database %s: can't be repaired", t->env->dir);
}

static coco_status coco__check_here(coco_app *app, coco__findings *f, bool repair, coco_err *err)
{
    coco__writer w = { coco__repair_body, NULL, f, true };
    coco__audit a = { .told = &f->text };
    MDB_txn *reader = NULL;
    coco__txn t;
    coco_status rc;

    COCO_TRY(coco__store_app(app, false, err));
    if (!app->has_dbi) return COCO_OK;
    if (repair) return coco__write(app, &w, err);
    COCO_TRY(coco__read_begin(app, &reader, &t, err));
    rc = coco__audit_run(&a, &t);
    f->n = a.nfound;
    coco__audit_free(&a);
    coco__read_end(app, &t);
    mdb_txn_abort(reader);
    return rc;
}

/* In the child: their text, and how many. */
static coco_status coco__check_apart(coco_env *own, void *self, coco__buf *out, coco_err *err)
{
    coco_app app = { .env = own, .name = self };
    coco__findings f = { .text = *out };
    coco_status rc = coco__check_here(&app, &f, false, err);

    *out = f.text;
    coco__buf_be64(out, f.n);
    return rc;
}

/* ---- coco_check ---- */

/* One call of coco_check. */
typedef struct coco__checking {
    coco_env *env;
    const char *app; /* NULL: all */
    const coco_check_opts *opts;
    const coco_check_visitor *v;
    bool known;      /* the app is there */
    coco_status rc;  /* of the first that isn't in order … */
    coco_err err;    /* … and its message */
} coco__checking;

/* Tells what was found; the first finding is the message. */
static coco_status coco__tell_findings(const coco_check_visitor *v, const char *app, const coco__findings *f,
                                       coco_err *err)
{
    for (size_t at = 0; at < f->text.n;) {
        const char *path = (char *)f->text.p + at, *what = path + strlen(path) + 1;
        coco_problem p = { .app = app, .path = path, .what = what, .repaired = f->fixed };
        if (at == 0)
            coco_err_set(err, COCO_ECORRUPT, "%s: %llu problem%s, the first: %s%s%s", app, (unsigned long long)f->n,
                         f->n == 1 ? "" : "s", path, *path ? ": " : "", what);
        if (v && v->problem) COCO_TRY(v->problem(v->user, &p));
        at += (size_t)(what + strlen(what) + 1 - path);
    }
    return f->n && !f->fixed ? COCO_ECORRUPT : COCO_OK;
}

static coco_status coco__check_app(const coco__checking *c, const char *name, coco_err *err)
{
    coco_app app = { .env = c->env, .name = name };
    coco__findings f = { .n = 0 };
    coco_status rc = COCO_OK;

    coco__buf_init(&f.text, &c->env->mem);
    if (!c->opts->same_process) {
        rc = coco__apart(c->env, coco__check_apart, (void *)(uintptr_t)name, &f.text, err);
        if (rc == COCO_OK) f.n = coco__get_be64(f.text.p + (f.text.n -= 8));
    }
    if (rc == COCO_OK && (c->opts->same_process || (c->opts->repair && f.n))) {
        f.text.n = f.n = 0;
        rc = coco__check_here(&app, &f, c->opts->repair, err);
    }
    if (rc == COCO_OK) rc = coco__tell_findings(c->v, name, &f, err);
    if (rc == COCO_ENOMEM) coco__no_memory(err);
    coco__buf_free(&f.text);
    return rc;
}

/* An app that is open here may not be updated meanwhile. */
static coco_status coco__check_hold(coco_env *env, const char *name, coco_app **held, coco_err *err)
{
    coco_status rc = COCO_OK;

    *held = NULL;
    pthread_mutex_lock(&env->mutex);
    for (coco_app *a = env->apps; a; a = a->next) {
        if (strcmp(a->name, name) != 0) continue;
        if (atomic_exchange(&a->running, 1)) rc = coco_err_set(err, COCO_EBUSY, "app %s is being updated", name);
        else *held = a;
    }
    pthread_mutex_unlock(&env->mutex);
    return rc;
}

static coco_status coco__check_alone(const coco__checking *c, const char *name, coco_err *err)
{
    coco_app *held;
    coco_status rc;

    if (c->env->config.read_only)
        return coco_err_set(err, COCO_EACCESS, "state directory %s is open for reading only", c->env->dir);
    COCO_TRY(coco__check_hold(c->env, name, &held, err));
    rc = coco__store_lock(c->env, err);
    if (rc == COCO_OK) {
        rc = coco__check_app(c, name, err);
        coco__store_unlock(c->env);
    }
    if (held) held->running = 0;
    return rc;
}

/* What is wrong with one doesn't keep the others from being looked at. */
static coco_status coco__check_each(void *user, const char *name, bool has_run)
{
    coco__checking *c = user;
    coco_err err = { 0 };
    coco_status rc;

    (void)has_run;
    if (c->app && strcmp(c->app, name) != 0) return COCO_OK;
    c->known = true;
    rc = c->opts->repair ? coco__check_alone(c, name, &err) : coco__check_app(c, name, &err);
    if (c->rc == COCO_OK) c->rc = rc, c->err = err;
    return rc == COCO_ECORRUPT ? COCO_OK : rc;
}

coco_status coco_check(coco_env *env, const char *app, const coco_check_opts *opts, const coco_check_visitor *v,
                       coco_err *err)
{
    static const coco_check_opts none;
    coco__checking c = { .env = env, .app = app, .opts = opts ? opts : &none, .v = v };
    coco_status rc = coco_inspect_apps(env, coco__check_each, &c, err);

    if (c.rc != COCO_OK && err) *err = c.err;
    if (c.rc != COCO_OK) return c.rc;
    if (rc == COCO_OK && app && !c.known) return coco_err_set(err, COCO_ENOTFOUND, "%s holds no app %s", env->dir, app);
    return rc;
}
