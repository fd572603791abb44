/* pg_server.h - a PostgreSQL of one's own for a test program or benchmark: made in a temporary directory, reached by a
 * Unix socket alone, run as "nobody" where the caller is root (the server refuses root), ended by its process id, and
 * by the death of the program at the latest.
 *
 *     static pg_server pg;
 *     if (!pg_start(&pg, false)) … "skipped: PostgreSQL not installed" …
 *     pg_conninfo(&pg, "postgres", buf, sizeof buf);
 *     …
 *     pg_stop(&pg);
 *
 * Binaries: the newest of /usr/lib/postgresql/VERSION/bin, else the directory of initdb in PATH. With pgvector: the
 * directory that COCO_TEST_PGVECTOR names (it holds bin/), else what scripts/fetch-pgvector has fetched into
 * BUILD/pgvector. Everything is static inline, so that a test need not use all of it. */
#ifndef COCO_TEST_PG_SERVER_H
#define COCO_TEST_PG_SERVER_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

typedef struct pg_server {
    char dir[64];  /* holds data/, the socket and the log */
    char bin[400]; /* directory of initdb and postgres */
    pid_t pid;     /* of the server; 0: not running */
} pg_server;

/* Becomes who may run a server, with the output in the log; for a forked child. */
static inline void pg__child(const pg_server *s)
{
    const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
    char log[100];
    int fd;

    snprintf(log, sizeof log, "%s/log", s->dir);
    if (nobody && (setgroups(0, NULL) != 0 || setgid(nobody->pw_gid) != 0 || setuid(nobody->pw_uid) != 0)) _exit(126);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGINT);
#endif
    if (chdir(s->dir) != 0 || (fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666)) < 0) _exit(126);
    dup2(fd, 1);
    dup2(fd, 2);
}

/* Starts args[0] of the binaries. It is called by its path, or it would look for its companions in PATH. */
static inline pid_t pg__spawn(const pg_server *s, char **args)
{
    char path[500];
    pid_t pid;

    snprintf(path, sizeof path, "%s/%s", s->bin, args[0]);
    args[0] = path;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        pg__child(s);
        unsetenv("PGOPTIONS");
        execv(path, args);
        _exit(127);
    }
    return pid;
}

static inline bool pg__executable(const char *dir)
{
    char path[500];

    snprintf(path, sizeof path, "%s/initdb", dir);
    return access(path, X_OK) == 0;
}

/* The last of the directories that match, by the number in them. */
static inline bool pg__glob(const char *pattern, char *out, size_t size)
{
    glob_t found;
    long best = -1;

    if (glob(pattern, 0, NULL, &found) != 0) return false;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        long version = strtol(found.gl_pathv[i] + strcspn(found.gl_pathv[i], "0123456789"), NULL, 10);
        if (version <= best || !pg__executable(found.gl_pathv[i])) continue;
        best = version;
        snprintf(out, size, "%s", found.gl_pathv[i]);
    }
    globfree(&found);
    return best >= 0;
}

/* Where the binaries are; false where there are none. */
static inline bool pg__find(pg_server *s, bool vector)
{
    const char *dir = getenv("COCO_TEST_PGVECTOR"), *build = getenv("BUILD"), *path = getenv("PATH");
    char real[400];

    if (vector) {
        if (dir) snprintf(s->bin, sizeof s->bin, "%s/bin", dir);
        else snprintf(s->bin, sizeof s->bin, "%s/pgvector/bin", build ? build : "build");
        if (!realpath(s->bin, real)) return false;
        snprintf(s->bin, sizeof s->bin, "%s", real);
        return pg__executable(s->bin);
    }
    if (pg__glob("/usr/lib/postgresql/*/bin", s->bin, sizeof s->bin)) return true;
    for (const char *p = path ? path : ""; *p; p += strcspn(p, ":"), p += *p == ':') {
        snprintf(s->bin, sizeof s->bin, "%.*s", (int)strcspn(p, ":"), p);
        if (pg__executable(s->bin)) return true;
    }
    return false;
}

/* What to connect to: a database of the server. */
static inline const char *pg_conninfo(const pg_server *s, const char *db, char *out, size_t size)
{
    snprintf(out, size, "host=%s dbname=%s user=test", s->dir, db);
    return out;
}

static inline void pg__wait_ms(long ms)
{
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static inline int pg__remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* Ends the server, if it runs, and takes its directory away. */
static inline void pg_stop(pg_server *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGINT); /* "fast": ends the sessions */
        waitpid(s->pid, NULL, 0);
        s->pid = 0;
    }
    if (s->dir[0]) nftw(s->dir, pg__remove, 16, FTW_DEPTH | FTW_PHYS);
    s->dir[0] = '\0';
}

static inline void pg__show_log(const pg_server *s)
{
    char path[100], line[500];
    FILE *f;

    snprintf(path, sizeof path, "%s/log", s->dir);
    if (!(f = fopen(path, "r"))) return;
    while (fgets(line, sizeof line, f)) fputs(line, stderr);
    fclose(f);
}

static inline bool pg__up(pg_server *s)
{
    char conninfo[200];

    pg_conninfo(s, "postgres", conninfo, sizeof conninfo);
    for (int i = 0; i < 3000; i++, pg__wait_ms(10)) {
        if (PQping(conninfo) == PQPING_OK) return true;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) return s->pid = 0, false;
    }
    return false;
}

/* Makes and starts a server, with pgvector's files or without; false where the binaries are missing, or (told on
 * stderr) where it doesn't start. Durability is off: nothing here outlives the test. */
static inline bool pg_start(pg_server *s, bool vector)
{
    char *init[] = { "initdb", "-D", "data", "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", NULL };
    char *run[] = { "postgres", "-D", "data", "-k", s->dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c",
                    "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "max_wal_size=8GB", "-c",
                    "shared_buffers=128MB", NULL };
    const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
    int status = -1;
    pid_t pid;

    memset(s, 0, sizeof *s);
    if (!pg__find(s, vector)) return false;
    snprintf(s->dir, sizeof s->dir, "/tmp/coco-pg-XXXXXX");
    if (!mkdtemp(s->dir)) return s->dir[0] = '\0', false;
    if (nobody && chown(s->dir, nobody->pw_uid, nobody->pw_gid) != 0) return pg_stop(s), false;
    pid = pg__spawn(s, init);
    if (pid > 0) waitpid(pid, &status, 0);
    if (status == 0) s->pid = pg__spawn(s, run);
    if (status == 0 && s->pid > 0 && pg__up(s)) return true;
    pg__show_log(s);
    pg_stop(s);
    return false;
}

#endif /* COCO_TEST_PG_SERVER_H */
