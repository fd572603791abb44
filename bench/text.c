/* text - the recursive splitter in MB/s, on one core: the default levels, chunks of 1,000 bytes, without overlap and
 * with 200 bytes, on ordinary text and on what is hard for a splitter; and the memory that it takes beside the text.
 *
 * build/bench/text [FOLDER ...]    ordinary text is the text files of the folders; /usr/share/doc and /usr/include
 *
 * The budgets: 300 MB/s and 150 MB/s on ordinary text; the text and 64 bytes a chunk. scripts/peer-text --bench
 * measures CocoIndex beside it in one run. */
#define _XOPEN_SOURCE 700
#include "../ops/text.h"

#include <ftw.h>
#include <stdlib.h>
#include <time.h>

#define MOST ((size_t)32 << 20) /* bytes of ordinary text */
#define FILE_MOST 300000        /* larger files are no ordinary text */
#define REPEATS 7               /* the best counts: the machine does other things too */

static char *text;
static size_t used;

/* Memory of a splitting: now, and the most at any time. */
static size_t live, peak;

static void *counted(void *self, void *p, size_t n)
{
    size_t *h = p ? (size_t *)p - 2 : NULL;

    (void)self;
    live -= h ? h[0] : 0;
    if (!n) return free(h), NULL;
    if (!(h = realloc(h, n + 2 * sizeof *h))) abort();
    h[0] = n;
    live += n;
    if (live > peak) peak = live;
    return h + 2;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Adds a file to the text; returns 1 when there is enough. */
static int add(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    FILE *f;
    size_t n;

    (void)ftw;
    if (kind != FTW_F || st->st_size > FILE_MOST) return 0;
    if (used + (size_t)st->st_size + 1 > MOST) return 1;
    if (!(f = fopen(path, "rb"))) return 0;
    n = fread(text + used, 1, (size_t)st->st_size, f);
    fclose(f);
    if (n == 0 || memchr(text + used, '\0', n) || text[used] == 0x1F) return 0; /* compressed, programs */
    used += n;
    text[used++] = '\n';
    return 0;
}

static coco_status each(void *user, const coco_chunk *c)
{
    size_t *sum = user;

    sum[0]++;
    sum[1] += c->end.character + c->start.line;
    return COCO_OK;
}

/* Prints the best of some runs; returns its MB/s. */
static double measure(const char *name, coco_str t, coco_split_opts opts)
{
    size_t sum[2] = { 0, 0 };
    double best = 0;

    for (int i = 0; i < REPEATS; i++) {
        double begin = now(), speed;
        sum[0] = 0;
        if (coco_split_each(t, &opts, each, sum, NULL) != COCO_OK) abort();
        speed = (double)t.n / 1e6 / (now() - begin);
        if (speed > best) best = speed;
    }
    opts.allocator = (coco_allocator){ counted, NULL };
    peak = 0;
    if (coco_split_each(t, &opts, each, sum, NULL) != COCO_OK) abort();
    printf("%-40s %6.1f MB, overlap %3zu: %5.0f MB/s, %8zu chunks, %6zu KiB of working memory\n", name,
           (double)t.n / 1e6, opts.chunk_overlap, best, sum[0] / 2, peak >> 10);
    return best;
}

/* Both overlaps. */
static void measure_both(const char *name, coco_str t)
{
    measure(name, t, (coco_split_opts){ .chunk_size = 1000 });
    measure(name, t, (coco_split_opts){ .chunk_size = 1000, .chunk_overlap = 200 });
}

/* The bytes of `unit` over and over, in place of the text. */
static coco_str repeated(const char *unit, size_t n)
{
    size_t len = strlen(unit);

    for (size_t i = 0; i < n; i++) text[i] = unit[i % len];
    return (coco_str){ text, n };
}

/* Words of random lengths on one line, in place of the text. */
static coco_str one_line(size_t n)
{
    uint32_t r = 1;

    for (size_t i = 0; i < n; i++) {
        r = r * 1664525u + 1013904223u;
        text[i] = r >> 29 == 0 && i && text[i - 1] != ' ' ? ' ' : (char)('a' + (r >> 16) % 26);
    }
    return (coco_str){ text, n };
}

int main(int argc, char **argv)
{
    static const char *const usual[] = { "/usr/share/doc", "/usr/include" };
    double plain, overlapped;
    coco_str t;

    if (!(text = malloc(MOST))) return 1;
    for (int i = 0; i < (argc > 1 ? argc - 1 : 2); i++)
        if (nftw(argc > 1 ? argv[i + 1] : usual[i], add, 16, FTW_PHYS) > 0) break;
    t = (coco_str){ text, used };
    plain = measure("ordinary text (budget 300)", t, (coco_split_opts){ .chunk_size = 1000 });
    overlapped = measure("ordinary text (budget 150)", t,
                         (coco_split_opts){ .chunk_size = 1000, .chunk_overlap = 200 });
    measure("ordinary text, in characters", t, (coco_split_opts){ .chunk_size = 1000, .unit = COCO_UNIT_CHARACTERS });
    measure_both("no separator", repeated("x", 5000000));
    measure_both("no separator, four times as much", repeated("x", 20000000));
    measure_both("words on one line", one_line(10000000));
    measure_both("the same words over and over", repeated("the same words and ", 10000000));
    measure_both("Chinese", repeated("一二三四五六七八九十，甲乙丙丁戊己庚辛壬癸。", 10000000 / 66 * 66));
    free(text);
    return plain >= 300 && overlapped >= 150 ? 0 : 1;
}
