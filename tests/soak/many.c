/* many.c - a program of many components, for scripts/soak: each file of the source holds lines "KEY VALUE"; each line
 * is a component that writes KEY.txt, so that a line which moves to another file takes its output along. */
#include "cocoindex.h"
#include "connectors/localfs.h"

COCO_FN(render, (coco_str, value), .memo = true)
{
    coco_str text = coco_format(cx, "%.*s, rendered\n", (int)value.n, value.p);

    return coco_return(cx, coco_text_n(text));
}

COCO_FN(line, (coco_str, key, coco_str, value, coco_dir *, out), .memo = true)
{
    coco_value text;

    COCO_TRY(coco_call(cx, &render, COCO_ARGS(coco_text_n(value)), &text));
    return coco_dir_declare_file(cx, out, coco_format(cx, "%.*s.txt", (int)key.n, key.p), coco_text_of(text));
}

COCO_FN(file_of_lines, (coco_file *, file, coco_dir *, out), .memo = true)
{
    coco_str text;

    COCO_TRY(coco_file_read_text(cx, file, &text));
    for (const char *p = text.p, *end = p + text.n, *eol, *space; p < end; p = eol + 1) {
        if (!(eol = memchr(p, '\n', (size_t)(end - p)))) eol = end;
        if (!(space = memchr(p, ' ', (size_t)(eol - p)))) continue; /* half a line: the file is being written */
        coco_value key = coco_text_n((coco_str){ p, (size_t)(space - p) });
        coco_value value = coco_text_n((coco_str){ space + 1, (size_t)(eol - space - 1) });
        COCO_TRY(coco_mount(cx, COCO_PATH(key), &line, COCO_ARGS(key, value, coco_dir_value(out)), NULL));
    }
    return COCO_OK;
}

COCO_FN(app_main, ())
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_param(cx, "out"), &out));
    return coco_mount_each(cx, COCO_AUTO, &file_of_lines, coco_walk_dir(cx, coco_param(cx, "source"), NULL),
                           COCO_ARGS(coco_dir_value(out)));
}

int main(int argc, char **argv)
{
    coco_app_config app = { .name = "many", .main = &app_main,
                            .params = (coco_param_def[]){ { "source", "source", "directory of files of lines" },
                                                          { "out", "out", "directory for the outputs" }, { 0 } } };

    return coco_main(argc, argv, &app, 1);
}
