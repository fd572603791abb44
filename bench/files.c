/* files - N files of 1 to 4 KiB in directories of 100, through one memoized component each that writes the content in
 * upper case to the same relative path: what the whole way from disk to disk costs.
 *
 * build/bench/files make DIR N     makes DIR/in
 * build/bench/files bare DIR       the floor: open, fstat, read, write a temporary file, rename, into DIR/bare
 * build/bench/files update DIR     an update from DIR/in to DIR/out, state in DIR/db: cold at first, then warm */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE
#include "../connectors/localfs.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void upper(char *to, const char *from, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] = (char)(from[i] >= 'a' && from[i] <= 'z' ? from[i] - 32 : from[i]);
}

/* ---- The tree -------------------------------------------------------------------------------------------------- */

static int make(int n)
{
    char content[4096], path[64];
    FILE *f;

    if (mkdir("in", 0777) != 0) return perror("in"), 1;
    for (int i = 0; i < n; i++) {
        size_t size = 1024 + (size_t)i * 7919 % 3072;
        for (size_t k = 0; k < size; k++) content[k] = (char)(k % 61 == 60 ? '\n' : 'a' + (k + (size_t)i) % 26);
        snprintf(path, sizeof path, "in/d%04d", i / 100);
        if (i % 100 == 0) mkdir(path, 0777);
        snprintf(path, sizeof path, "in/d%04d/file%06d.txt", i / 100, i);
        if (!(f = fopen(path, "w")) || fwrite(content, 1, size, f) != size || fclose(f) != 0) return perror(path), 1;
    }
    return 0;
}

/* ---- The floor ------------------------------------------------------------------------------------------------- */

static void bare_file(int in, int out, const char *name)
{
    static char content[65536], big[65536];
    struct stat st;
    char temp[300];
    int fd = openat(in, name, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) != 0 || (n = read(fd, content, sizeof content)) < 0) abort();
    close(fd);
    upper(big, content, (size_t)n);
    snprintf(temp, sizeof temp, ".%s.tmp", name);
    fd = openat(out, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 || write(fd, big, (size_t)n) != n) abort();
    close(fd);
    if (renameat(out, temp, out, name) != 0) abort();
}

static void bare(int in, int out)
{
    DIR *dir = fdopendir(in);
    const struct dirent *e;
    int from, to;

    while (dir && (e = readdir(dir)) != NULL) {
        if (e->d_name[0] == '.') continue;
        if (e->d_type != DT_DIR) {
            bare_file(in, out, e->d_name);
            continue;
        }
        from = openat(in, e->d_name, O_RDONLY | O_DIRECTORY);
        mkdirat(out, e->d_name, 0777);
        to = openat(out, e->d_name, O_RDONLY | O_DIRECTORY);
        bare(from, to);
        close(to);
    }
    closedir(dir);
}

/* ---- The library ----------------------------------------------------------------------------------------------- */

COCO_FN(shout, (coco_file *, file, coco_dir *, out), .memo = true)
{
    coco_str text;
    char *big;

    COCO_TRY(coco_file_read(cx, file, &text));
    if (!(big = coco_alloc(cx, text.n + 1))) return COCO_ENOMEM;
    upper(big, text.p, text.n);
    return coco_dir_declare_file(cx, out, coco_file_path(file), (coco_str){ big, text.n });
}

COCO_FN(app_main, ())
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_text("out"), &out));
    return coco_mount_each(cx, COCO_AUTO, &shout, coco_walk_dir(cx, coco_text("in"), NULL),
                           COCO_ARGS(coco_dir_value(out)));
}

static int update(void)
{
    coco_result r = { 0 };
    coco_env *env;
    coco_app *app;
    coco_err err = { 0 };
    double t = now();

    if (coco_env_open(&(coco_env_config){ .db = "db" }, &env, &err) != 0 ||
        coco_app_open(env, &(coco_app_config){ .name = "files", .main = &app_main }, &app, &err) != 0 ||
        coco_update(app, NULL, &r, &err) != 0)
        return fprintf(stderr, "%s\n", err.msg), 1;
    coco_app_close(app);
    coco_env_close(env);
    printf("update %.3f s  run %llu +%llu ~%llu -%llu\n", now() - t, (unsigned long long)r.run,
           (unsigned long long)r.inserts, (unsigned long long)r.updates, (unsigned long long)r.deletes);
    coco_result_free(&r);
    return 0;
}

int main(int argc, char **argv)
{
    double t = now();

    if (argc < 3 || chdir(argv[2]) != 0) return fprintf(stderr, "usage: files make DIR N | bare DIR | update DIR\n"), 2;
    if (strcmp(argv[1], "make") == 0) return make(argc > 3 ? atoi(argv[3]) : 100000);
    if (strcmp(argv[1], "update") == 0) return update();
    mkdir("bare", 0777);
    bare(open("in", O_RDONLY | O_DIRECTORY), open("bare", O_RDONLY | O_DIRECTORY));
    printf("bare   %.3f s\n", now() - t);
    return 0;
}
