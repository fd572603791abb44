/* live - how long a change takes from the source to the target in a live update: N files in directories of 100, each
 * through one memoized component that copies it.
 *
 *     live DIR FILES EDITS        the time from the rename of a source file to the target file replaced, one after the
 *                                 other: p50, p99 and longest in ms, and what a durable commit takes there
 *     live DIR FILES EDITS flat   as fast as it goes: a line now and then with the memory and the descriptors
 *     live DIR FILES NEW burst    NEW files in new directories of 100 at once: seconds to make them, and until all of
 *                                 them are in the target
 *     live DIR FILES TIMES stop   all files are changed, and the update is stopped after 0 to 200 ms, so many times:
 *                                 p50, p99 and longest from the stop to the end in ms
 *
 * The target directory is watched by the benchmark itself, as any reader would, so that the moment of replacement is
 * known without asking again and again. */
#define _DEFAULT_SOURCE
#include "../connectors/localfs.h"
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

COCO_FN(copy, (coco_file *, file, coco_dir *, out), .memo = true)
{
    coco_str content;

    COCO_TRY(coco_file_read(cx, file, &content));
    return coco_dir_declare_file(cx, out, coco_file_path(file), content);
}

COCO_FN(app_main, ())
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_text("out"), &out));
    return coco_mount_each(cx, COCO_AUTO, &copy,
                           coco_walk_dir(cx, coco_text("in"), &(coco_walk_opts){ .live = true }),
                           COCO_ARGS(coco_dir_value(out)));
}

/* ---- Files ----------------------------------------------------------------------------------------------------- */

static void name_of(char *path, size_t size, const char *top, int i)
{
    snprintf(path, size, "%s/d%04d/f%06d", top, i / 100, i);
}

/* Writes the file aside and renames it into place; returns the moment before the rename. */
static double replace(int i, int edit)
{
    char path[64], content[64];
    FILE *f = fopen("aside", "w");
    double t;

    snprintf(content, sizeof content, "file %d edit %d\n", i, edit);
    if (!f || fputs(content, f) < 0 || fclose(f) != 0) abort();
    name_of(path, sizeof path, "in", i);
    t = bench_now();
    if (rename("aside", path) != 0) abort();
    return t;
}

static void make(int from, int to)
{
    char path[64];

    mkdir("in", 0777);
    for (int i = from; i < to; i++) {
        if (i % 100 == 0 || i == from) {
            snprintf(path, sizeof path, "in/d%04d", i / 100);
            mkdir(path, 0777);
        }
        replace(i, -1);
    }
}

/* ---- One after the other --------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Reads events until one tells that something was renamed into place; the moment. */
static double replaced(int watch)
{
    union {
        struct inotify_event e;
        char p[8192];
    } buf;
    ssize_t n;

    while ((n = read(watch, buf.p, sizeof buf)) > 0)
        for (char *p = buf.p; p < buf.p + n; p += sizeof buf.e + ((struct inotify_event *)(void *)p)->len)
            if (((struct inotify_event *)(void *)p)->mask & IN_MOVED_TO) return bench_now();
    abort();
}

/* A durable commit as the database's are, on this file system: pages, then the page that makes them valid, each
 * awaited. Two of them are part of the budget. */
static double commit_time(void)
{
    int fd = open("commit", O_RDWR | O_CREAT | O_TRUNC, 0666);
    char page[8192] = { 0 };
    double t = bench_now();

    for (int i = 0; i < 200; i++)
        if (pwrite(fd, page, sizeof page, (i % 2) * 8192) < 0 || fdatasync(fd) != 0) abort();
    close(fd);
    return (bench_now() - t) / 100;
}

static void measure(coco_app *app, int files, int edits)
{
    double *took = calloc((size_t)edits, sizeof *took), commit = commit_time();
    int watch = inotify_init1(IN_CLOEXEC);
    char dir[64];

    (void)app;
    if (!took) abort();
    for (int d = 0; d < (files + 99) / 100; d++) {
        snprintf(dir, sizeof dir, "out/d%04d", d);
        if (inotify_add_watch(watch, dir, IN_MOVED_TO) < 0) abort();
    }
    for (int i = 0; i < edits; i++) {
        double t = replace((int)((long)i * 7919 % files), i);
        took[i] = replaced(watch) - t;
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL); /* the commit behind it is no part of the next one's time */
    }
    close(watch);
    qsort(took, (size_t)edits, sizeof *took, by_size);
    printf("%.3f %.3f %.3f %.3f\n", took[edits / 2] * 1e3, took[edits * 99 / 100] * 1e3, took[edits - 1] * 1e3,
           commit * 1e3);
    free(took);
}

/* ---- As fast as it goes ---------------------------------------------------------------------------------------- */

static long anonymous_kb(void)
{
    char line[200];
    long kb = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");

    while (f && fgets(line, sizeof line, f)) sscanf(line, "Anonymous: %ld", &kb);
    if (f) fclose(f);
    return kb;
}

static int descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    while (dir && readdir(dir)) n++;
    closedir(dir);
    return n;
}

static long database_kb(void)
{
    struct stat st;

    return stat("db/data.mdb", &st) == 0 ? (long)(st.st_blocks / 2) : 0;
}

static void show(int edits, double from)
{
    printf("%7d edits  %6.1f s  anonymous %ld KB  descriptors %d  database %ld KB\n", edits, bench_now() - from,
           anonymous_kb(), descriptors(), database_kb());
    fflush(stdout);
}

static void flat(coco_app *app, int files, int edits)
{
    coco_err err = { 0 };
    double from = bench_now();

    for (int i = 0; i <= edits; i++) {
        replace((int)((long)i * 7919 % files), i);
        if (i % 100 == 99 && coco_sync(app, 0, &err) != 0) fprintf(stderr, "%s\n", err.msg), exit(1);
        if (i % (edits / 10) == 0) show(i, from);
    }
}

/* ---- At once --------------------------------------------------------------------------------------------------- */

static void burst(coco_app *app, int files, int new_files)
{
    coco_err err = { 0 };
    struct stat st;
    char path[64];
    double from = bench_now(), made;

    make(files, files + new_files);
    made = bench_now();
    if (coco_sync(app, 0, &err) != 0) fprintf(stderr, "%s\n", err.msg), exit(1);
    printf("%.3f %.3f\n", made - from, bench_now() - from);
    for (int i = 0; i < files + new_files; i++) {
        name_of(path, sizeof path, "out", i);
        if (stat(path, &st) != 0) fprintf(stderr, "%s was missed\n", path), exit(1);
    }
}

/* ---- The update ------------------------------------------------------------------------------------------------ */

static volatile int ready;

static void on_event(void *user, const coco_event *e)
{
    (void)user;
    if (e->kind == COCO_EV_READY) __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
}

static coco_running *begin(coco_app *app)
{
    coco_running *running;
    coco_err err = { 0 };

    if (coco_update_start(app, &(coco_update_opts){ .live = true }, &running, &err) != 0)
        fprintf(stderr, "%s\n", err.msg), exit(1);
    return running;
}

/* Seconds from the stop to the end. */
static double end(coco_app *app, coco_running *running)
{
    coco_err err = { 0 };
    double from = bench_now();
    coco_status rc;

    coco_app_stop(app);
    rc = coco_update_wait(running, NULL, &err);
    if (rc != 0 && rc != COCO_ESTOP) fprintf(stderr, "%s\n", err.msg), exit(1);
    return bench_now() - from;
}

static void stop(coco_app *app, int files, int times)
{
    double *took = calloc((size_t)times, sizeof *took);

    if (!took) abort();
    for (int i = 0; i < times; i++) {
        for (int k = 0; k < files; k++) replace(k, i);
        coco_running *running = begin(app);
        nanosleep(&(struct timespec){ 0, (long)(i * 37 % 200) * 1000000 }, NULL);
        took[i] = end(app, running);
    }
    qsort(took, (size_t)times, sizeof *took, by_size);
    printf("%.3f %.3f %.3f\n", took[times / 2] * 1e3, took[times * 99 / 100] * 1e3, took[times - 1] * 1e3);
    free(took);
}

static int run(int files, int edits, void (*what)(coco_app *app, int files, int edits))
{
    coco_running *running;
    coco_env *env;
    coco_app *app;
    coco_err err = { 0 };

    if (coco_env_open(&(coco_env_config){ .db = "db", .on_event = on_event }, &env, &err) != 0 ||
        coco_app_open(env, &(coco_app_config){ .name = "live", .main = &app_main }, &app, &err) != 0)
        return fprintf(stderr, "%s\n", err.msg), 1;
    running = begin(app);
    while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE) && !coco_update_done(running))
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    if (what != stop) what(app, files, edits);
    end(app, running);
    if (what == stop) stop(app, files, edits);
    coco_app_close(app);
    coco_env_close(env);
    return 0;
}

int main(int argc, char **argv)
{
    const char *how = argc > 4 ? argv[4] : "";

    if (argc < 4) return fprintf(stderr, "usage: live DIR FILES EDITS [flat|burst|stop]\n"), 2;
    mkdir(argv[1], 0777);
    if (chdir(argv[1]) != 0) return perror(argv[1]), 1;
    make(0, atoi(argv[2]));
    return run(atoi(argv[2]), atoi(argv[3]), !strcmp(how, "flat") ? flat : !strcmp(how, "burst") ? burst
                                           : !strcmp(how, "stop") ? stop : measure);
}
