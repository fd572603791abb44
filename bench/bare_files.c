/* bare_files - the floor of what tree_copy does: the system calls and nothing else.
 *
 *     bare_files IN OUT   each file of IN: open, fstat, read, upper case, a temporary file written, renamed into OUT */
#define _DEFAULT_SOURCE
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void copy(int in, int out, const char *name)
{
    static char content[65536], big[65536];
    struct stat st;
    char temp[300];
    int fd = openat(in, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    bench_check(fd < 0 || fstat(fd, &st) != 0 || (n = read(fd, content, sizeof content)) != st.st_size, name);
    close(fd);
    bench_upper(big, content, (size_t)n);
    snprintf(temp, sizeof temp, ".%s.tmp", name);
    fd = openat(out, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bench_check(fd < 0 || write(fd, big, (size_t)n) != n, temp);
    close(fd);
    bench_check(renameat(out, temp, out, name) != 0, name);
}

static int enter(int parent, const char *name, bool make)
{
    int fd;

    bench_check(make && mkdirat(parent, name, 0777) != 0, name);
    bench_check((fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0, name);
    return fd;
}

static void copy_all(int in, int out)
{
    DIR *dir = fdopendir(in);
    const struct dirent *e;
    int to;

    while (dir && (e = readdir(dir)) != NULL) {
        if (e->d_name[0] == '.') continue;
        if (e->d_type != DT_DIR) {
            copy(in, out, e->d_name);
            continue;
        }
        to = enter(out, e->d_name, true);
        copy_all(enter(in, e->d_name, false), to);
        close(to);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    if (argc != 3) return fprintf(stderr, "usage: bare_files IN OUT\n"), 2;
    copy_all(enter(AT_FDCWD, argv[1], false), enter(AT_FDCWD, argv[2], true));
    return 0;
}
