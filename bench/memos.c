/* memos - what a hit of a function memo costs: components that run in every update and call one memoized function on
 * every entry, with an argument of 32 bytes.
 *
 *     memos update --entries N --callers C [--dims D] --db DIR
 *
 * The function returns a number, or with --dims a vector. The first update computes each entry once; after it every
 * call is a hit. */
#define _DEFAULT_SOURCE
#include "bench.h"

#define MOST_DIMS 4096

COCO_FN(embed, (coco_str, text, int64_t, dims), .memo = true)
{
    float v[MOST_DIMS];

    if (dims == 0) return coco_return(cx, coco_int((int64_t)text.n));
    for (int64_t i = 0; i < dims; i++) v[i] = (float)text.p[i % 32] / (float)(i + 1);
    return coco_return(cx, coco_vector(v, (size_t)dims));
}

/* A text of 32 bytes for a number. */
static coco_str text_of(char text[32], int64_t i)
{
    memset(text, '0', 32);
    for (char *at = text + 32; i; i /= 10) *--at = (char)('0' + i % 10);
    return (coco_str){ text, 32 };
}

COCO_FN(caller, (int64_t, entries, int64_t, dims))
{
    coco_status rc = COCO_OK;
    coco_value v;
    char text[32];

    for (int64_t i = 0; i < entries && rc == COCO_OK; i++) {
        coco_scratch_begin(cx);
        rc = coco_call(cx, &embed, COCO_ARGS(coco_text_n(text_of(text, i)), coco_int(dims)), &v);
        coco_scratch_end(cx);
    }
    return rc;
}

COCO_FN(app_main, ())
{
    int64_t entries = bench_number(cx, "entries"), dims = bench_number(cx, "dims");

    if (dims > MOST_DIMS) return coco_fail(cx, COCO_EINVAL, "at most %d dimensions", MOST_DIMS);
    for (int64_t i = 0; i < bench_number(cx, "callers"); i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &caller, COCO_ARGS(coco_int(entries), coco_int(dims)), NULL));
    return COCO_OK;
}

int main(int argc, char **argv)
{
    coco_app_config app = {
        .name = "memos", .main = &app_main,
        .params = (coco_param_def[]){ { "entries", "10000", "different arguments" },
                                      { "callers", "1", "components that call the function on all of them" },
                                      { "dims", "0", "of the vectors returned; 0: numbers" },
                                      { 0 } },
    };

    return coco_main(argc, argv, &app, 1);
}
