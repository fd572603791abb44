/* bench.h - what the benchmark programs share: a clock, the work that stands for the user's own, and ending badly. */
#ifndef COCO_BENCH_H
#define COCO_BENCH_H

#include "../cocoindex.h"

#include <stdlib.h>
#include <time.h>

static inline double bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The work done on a file, by the library's programs and by hand-written ones alike. */
static inline void bench_upper(char *to, const char *from, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] = (char)(from[i] >= 'a' && from[i] <= 'z' ? from[i] - 32 : from[i]);
}

/* Ends the program where bad is true: a benchmark that went on would measure something else. */
static inline void bench_check(bool bad, const char *what)
{
    if (!bad) return;
    perror(what);
    exit(1);
}

/* A parameter of the app, or a word of the command line, as a number. */
static inline int64_t bench_number(coco_ctx *cx, const char *name)
{
    coco_str text = coco_text_of(coco_param(cx, name));

    return text.n ? strtoll(text.p, NULL, 10) : 0;
}

static inline int64_t bench_word(int argc, char **argv, int i, int64_t otherwise)
{
    return argc > i ? strtoll(argv[i], NULL, 10) : otherwise;
}

#endif /* COCO_BENCH_H */
