/* tree_copy - every file below a directory, in upper case, at the same place below another: one memoized component a
 * file, the whole way from disk to disk.
 *
 *     tree_copy update --source DIR --out DIR --db DIR
 *
 * TREE_COPY_VERSION=N in the environment is the version of the function: another one makes every file run again, with
 * the same output. */
#define _DEFAULT_SOURCE
#include "../connectors/localfs.h"
#include "bench.h"

COCO_FN(copy, (coco_file *, file, coco_dir *, out), .memo = true)
{
    coco_str text;
    char *big;

    COCO_TRY(coco_file_read(cx, file, &text));
    if (!(big = coco_alloc(cx, text.n + 1))) return COCO_ENOMEM;
    bench_upper(big, text.p, text.n);
    return coco_dir_declare_file(cx, out, coco_file_path(file), (coco_str){ big, text.n });
}

COCO_FN(app_main, ())
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_param(cx, "out"), &out));
    return coco_mount_each(cx, COCO_AUTO, &copy, coco_walk_dir(cx, coco_param(cx, "source"), NULL),
                           COCO_ARGS(coco_dir_value(out)));
}

int main(int argc, char **argv)
{
    const char *version = getenv("TREE_COPY_VERSION");
    coco_app_config app = {
        .name = "tree_copy", .main = &app_main,
        .params = (coco_param_def[]){ { "source", "in", "directory to copy" }, { "out", "out", "where to" }, { 0 } },
    };

    if (version) copy.version = strtoll(version, NULL, 10);
    return coco_main(argc, argv, &app, 1);
}
