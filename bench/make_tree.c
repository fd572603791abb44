/* make_tree - a tree of files of 1 to 4 KiB of text, the same one for the same arguments.
 *
 *     make_tree DIR FILES DIRECTORIES [plain | deep | wide | long]
 *
 * plain spreads the files over DIRECTORIES side by side (default 1,000); deep nests these in chains of 100; wide puts
 * all files into one directory; long gives files and directories names of 200 bytes. A stamp that is as young as the
 * data is racy: wait 50 ms before what is measured. */
#define _DEFAULT_SOURCE
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHAIN 100     /* directories below each other in a deep tree */
#define LONG_NAME 200 /* bytes of a name in a long one */

enum shape { PLAIN, DEEP, WIDE, LONG };

/* KIND and number, made long where names are to be long. */
static void name_of(char name[LONG_NAME + 1], char kind, int64_t i, enum shape shape)
{
    int n = snprintf(name, LONG_NAME, "%c%06lld%s", kind, (long long)i, kind == 'f' ? ".txt" : "");

    if (shape != LONG) return;
    memmove(name + LONG_NAME - n, name, (size_t)n + 1);
    memset(name, 'x', (size_t)(LONG_NAME - n));
}

static int enter(int parent, const char *name)
{
    int fd;

    bench_check(mkdirat(parent, name, 0777) != 0 && errno != EEXIST, name);
    bench_check((fd = openat(parent, name, O_RDONLY | O_DIRECTORY)) < 0, name);
    return fd;
}

/* The directory with number i. */
static int directory(int top, int64_t i, enum shape shape)
{
    char name[LONG_NAME + 1];
    int fd, next;

    if (shape == WIDE) return dup(top);
    name_of(name, 'd', shape == DEEP ? i / CHAIN : i, shape);
    fd = enter(top, name);
    for (int64_t level = 0; shape == DEEP && level < i % CHAIN; level++) {
        next = enter(fd, "d");
        close(fd);
        fd = next;
    }
    return fd;
}

static void fill(int dir, int64_t i, enum shape shape)
{
    char name[LONG_NAME + 1], content[4096];
    size_t size = 1024 + (size_t)(i * 7919 % 3072);
    int fd;

    for (size_t k = 0; k < size; k++) content[k] = (char)(k % 61 == 60 ? '\n' : 'a' + (k + (size_t)i) % 26);
    name_of(name, 'f', i, shape);
    bench_check((fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0666)) < 0, name);
    bench_check(write(fd, content, size) != (ssize_t)size, name);
    close(fd);
}

static enum shape shape_of(const char *word)
{
    static const char *const names[] = { "plain", "deep", "wide", "long" };
    enum shape shape = PLAIN;

    while (shape < LONG && strcmp(word, names[shape]) != 0) shape++;
    return shape;
}

int main(int argc, char **argv)
{
    int64_t files = bench_word(argc, argv, 2, 100000), dirs = bench_word(argc, argv, 3, 1000);
    enum shape shape = argc > 4 ? shape_of(argv[4]) : PLAIN;
    int top, dir;

    if (argc < 3 || files < 1 || dirs < 1)
        return fprintf(stderr, "usage: make_tree DIR FILES [DIRECTORIES [SHAPE]]\n"), 2;
    if (dirs > files) dirs = files;
    bench_check(mkdir(argv[1], 0777) != 0, argv[1]);
    bench_check((top = open(argv[1], O_RDONLY | O_DIRECTORY)) < 0, argv[1]);
    for (int64_t d = 0; d < dirs; d++) {
        dir = directory(top, d, shape);
        for (int64_t i = d * files / dirs; i < (d + 1) * files / dirs; i++) fill(dir, i, shape);
        close(dir);
    }
    return close(top);
}
