/* pool - what the pool of threads gains: a function of some 50 us of computing over N items, in every update.
 *
 *     pool update --items N [--map 1] [--threads T] --db DIR
 *
 * By mount_each, or with --map 1 by coco_map in one component. The engine's own overhead with a pool: components. */
#define _DEFAULT_SOURCE
#include "bench.h"

#define WORK ((size_t)50 << 10) /* bytes that each item hashes */

COCO_FN(item, (int64_t, i))
{
    unsigned char block[4096], fp[16];
    coco_hash h;

    memset(block, (int)(i & 255), sizeof block);
    coco_hash_begin(&h);
    for (size_t n = 0; n < WORK; n += sizeof block) coco_hash_add(&h, block, sizeof block);
    coco_hash_end(&h, fp);
    return coco_return(cx, coco_bytes(fp, sizeof fp));
}

COCO_FN(app_main, ())
{
    int64_t n = bench_number(cx, "items");
    coco_value *items = coco_alloc(cx, (size_t)n * sizeof *items);

    if (!items) return COCO_ENOMEM;
    for (int64_t i = 0; i < n; i++) items[i] = coco_int(i);
    if (bench_number(cx, "map")) return coco_map(cx, &item, items, (size_t)n, COCO_NOARGS, NULL);
    return coco_mount_each(cx, COCO_AUTO, &item, coco_source_of(cx, items, items, (size_t)n), COCO_NOARGS);
}

int main(int argc, char **argv)
{
    coco_app_config app = {
        .name = "pool", .main = &app_main,
        .params = (coco_param_def[]){ { "items", "10000", "calls" }, { "map", "0", "1: coco_map" }, { 0 } },
    };

    return coco_main(argc, argv, &app, 1);
}
