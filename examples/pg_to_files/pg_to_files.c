/* pg_to_files - keeps a directory in step with a table of PostgreSQL: one text file a row.
 *
 *     pg_to_files update --postgres "dbname=blog" --out site
 *
 * The source is articles(slug, title, body, revision); `revision` grows whenever an article changes, and so it is the
 * memo state of the row: an article of the same revision is neither converted nor written again, one that is deleted
 * loses its file. The table is read in one snapshot, by a cursor: it may be larger than memory. */
#include "cocoindex.h"
#include "connectors/localfs.h"
#include "connectors/postgres.h"

static coco_key BLOG = COCO_KEY("blog");

/* A slug as a file name: what isn't a letter, digit, `-` or `_` becomes its code, so that two slugs never meet. */
static coco_str file_name(coco_ctx *cx, coco_str slug)
{
    char *out = coco_alloc(cx, slug.n * 3 + 5), *p = out;

    if (!out) return (coco_str){ NULL, 0 };
    for (size_t i = 0; i < slug.n; i++) {
        unsigned char c = (unsigned char)slug.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';

        if (plain) *p++ = (char)c;
        else p += snprintf(p, 4, "%%%02X", c);
    }
    p += snprintf(p, 5, ".txt");
    return (coco_str){ out, (size_t)(p - out) };
}

COCO_FN(write_article, (coco_row *, row, coco_dir *, out), .memo = true)
{
    coco_str slug = coco_text_of(coco_row_get(row, "slug")), title = coco_text_of(coco_row_get(row, "title")),
             body = coco_text_of(coco_row_get(row, "body")), name = file_name(cx, slug);

    if (!name.p) return coco_error(cx);
    return coco_dir_declare_file(cx, out, name, coco_format(cx, "%.*s\n\n%.*s\n", (int)title.n, title.p ? title.p : "",
                                                            (int)body.n, body.p ? body.p : ""));
}

COCO_FN(app_main, ())
{
    coco_postgres_read articles = { .table = "articles", .version = "revision", .columns = "slug,title,body,revision",
                                    .title = "articles" };
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_param(cx, "out"), &out));
    return coco_mount_each(cx, COCO_AUTO, &write_article, coco_postgres_rows(cx, coco_context_ref(&BLOG), &articles),
                           COCO_ARGS(coco_dir_value(out)));
}

static coco_status setup(coco_ctx *cx, void *user)
{
    (void)user;
    return coco_postgres_provide(cx, &BLOG, coco_text_of(coco_param(cx, "postgres")).p, NULL);
}

int main(int argc, char **argv)
{
    coco_app_config app = {
        .name = "pg_to_files",
        .main = &app_main,
        .setup = setup,
        .params = (coco_param_def[]){ { "postgres", "", "connection string of the database with the table articles" },
                                      { "out", "site", "directory for the files" },
                                      { 0 } },
    };

    return coco_main(argc, argv, &app, 1);
}
