/* pool - what the pool of threads gains and costs.
 *
 * build/bench/pool cpu N DIR: a function of some 100 us over N items, by one thread and by two: seconds, and their
 * ratio. The engine's own overhead with a pool: COCOINDEX_THREADS=2 build/bench/components. */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE
#include "../cocoindex.h"

#include <stdlib.h>

static int64_t count;
static size_t work; /* bytes that each item hashes */

COCO_FN(item, (int64_t, i))
{
    unsigned char block[4096], fp[16] = { 0 };
    coco_hash h;

    memset(block, (int)(i & 255), sizeof block);
    coco_hash_begin(&h);
    for (size_t n = 0; n < work; n += sizeof block) coco_hash_add(&h, block, sizeof block);
    coco_hash_end(&h, fp);
    return fp[0] == 0 && fp[1] == 0 && fp[2] == 0 && fp[3] == 0 && fp[4] == 0 ? coco_checkpoint(cx) : COCO_OK;
}

static bool mapping;

COCO_FN(app_main, ())
{
    coco_value *items = coco_alloc(cx, (size_t)count * sizeof *items);

    if (!items) return COCO_ENOMEM;
    for (int64_t i = 0; i < count; i++) items[i] = coco_int(i);
    if (mapping) return coco_map(cx, &item, items, (size_t)count, COCO_NOARGS, NULL);
    return coco_mount_each(cx, COCO_AUTO, &item, coco_source_of(cx, items, items, (size_t)count), COCO_NOARGS);
}

static double seconds(const char *db, unsigned threads)
{
    coco_env *env;
    coco_app *app;
    coco_err err;
    coco_result r;
    coco_app_config config = { .name = "pool", .main = &app_main, .threads = threads };

    if (coco_env_open(&(coco_env_config){ .db = db }, &env, &err) || coco_app_open(env, &config, &app, &err) ||
        coco_update(app, NULL, &r, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    double s = r.seconds;
    coco_result_free(&r);
    coco_app_close(app);
    coco_env_close(env);
    return s;
}

int main(int argc, char **argv)
{
    if (argc < 4) return fprintf(stderr, "usage: pool cpu N DIR\n"), 2;
    count = strtoll(argv[2], NULL, 10);
    work = 50 << 10;
    for (int way = 0; way < 2; way++) {
        mapping = way == 1;
        seconds(argv[3], 0);
        double one = seconds(argv[3], 0), two = seconds(argv[3], 2);
        printf("%-10s %lld items: one thread %.3f s (%.1f us each), two %.3f s, ratio %.2f\n",
               mapping ? "map" : "mount_each", (long long)count, one, one * 1e6 / (double)count, two, two / one);
    }
    return 0;
}
