/* measure - runs a command and adds a line about it to a file.
 *
 *     measure FILE COMMAND ARGUMENT ...
 *
 * The line: seconds that passed, of user and of system time (with those of the children it waited for), KiB of
 * anonymous memory at the most, bytes written by write and its like. With CLOCK=cpu in the environment the first is
 * user and system time together. What the command prints is thrown away. Memory is looked at every 5 ms (VmHWM would
 * count the pages of a mapped database, which are the system's cache), the rest is exact. Ends with 1 where the command
 * failed. */
#define _DEFAULT_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static sigset_t child; /* SIGCHLD */

/* The number behind a name in /proc/PID/FILE; 0 where there is none. */
static long proc_number(pid_t pid, const char *file, const char *name)
{
    char line[200];
    long number = 0;
    FILE *f;

    snprintf(line, sizeof line, "/proc/%ld/%s", (long)pid, file);
    f = fopen(line, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) number = strtol(line + strlen(name), NULL, 10);
    if (f) fclose(f);
    return number;
}

static pid_t start(char **command)
{
    pid_t pid = fork();

    if (pid != 0) return pid;
    sigprocmask(SIG_UNBLOCK, &child, NULL);
    dup2(open("/dev/null", O_WRONLY), 1);
    execvp(command[0], command);
    perror(command[0]);
    _exit(127);
}

/* Waits for the end without taking the process away, so that its counters can still be read; the most memory it had. */
static long watch(pid_t pid)
{
    siginfo_t ended = { 0 };
    long most = 0, kib;

    while (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0) {
        if ((kib = proc_number(pid, "status", "RssAnon:")) > most) most = kib;
        sigtimedwait(&child, NULL, &(struct timespec){ 0, 5000000 });
    }
    return most;
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec * 1e-6; }

int main(int argc, char **argv)
{
    struct rusage used;
    const char *clock = getenv("CLOCK");
    double begun, took, user, system;
    long most, written;
    int status = 1;
    pid_t pid;
    FILE *out;

    if (argc < 3) return fprintf(stderr, "usage: measure FILE COMMAND ARGUMENT ...\n"), 2;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    begun = bench_now();
    bench_check((pid = start(argv + 2)) < 0, "fork");
    most = watch(pid);
    took = bench_now() - begun;
    written = proc_number(pid, "io", "wchar:");
    bench_check(wait4(pid, &status, 0, &used) != pid, "wait4");
    if (status != 0) return fprintf(stderr, "measure: %s failed\n", argv[2]), 1;
    bench_check(!(out = fopen(argv[1], "a")), argv[1]);
    user = seconds(used.ru_utime), system = seconds(used.ru_stime);
    if (clock && strcmp(clock, "cpu") == 0) took = user + system;
    fprintf(out, "%.6f %.6f %.6f %ld %ld\n", took, user, system, most, written);
    return fclose(out) != 0;
}
