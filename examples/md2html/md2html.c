/* md2html - keeps a directory of HTML in step with a directory of Markdown, with an index of all pages.
 *
 *     md2html update --source docs --out site
 *     md2html update --live --source docs --out site
 *
 * One memoized component a page (convert), so a page is read and rendered again only when its file changed; the
 * index is declared by a component (index_page) from the titles of all pages, each found by a memoized function
 * (page_title), so the index is written again only when a title, or the list of pages, changed. Live, a page follows
 * its file at once, the index within a second. */
#include "cocoindex.h"
#include "connectors/localfs.h"

#include <limits.h>
#include <md4c-html.h>

/* HTML in the making. The memory is cx's, so nothing is freed; after a failed growth the rest is dropped and cx
 * has the error. */
struct html {
    coco_ctx *cx;
    char *p;       /* what was written so far */
    size_t n, cap; /* bytes written, bytes there are */
    bool failed;   /* memory ran out */
};

static void put(struct html *out, const char *s, size_t n)
{
    if (n > out->cap - out->n && !out->failed) {
        size_t cap = (out->n + n) * 2;
        char *p = coco_alloc(out->cx, cap);

        out->failed = p == NULL;
        if (p) {
            if (out->n > 0) memcpy(p, out->p, out->n);
            out->p = p;
            out->cap = cap;
        }
    }
    if (out->failed) return;
    if (n > 0) memcpy(out->p + out->n, s, n);
    out->n += n;
}

static void put_str(struct html *out, const char *s)
{
    put(out, s, strlen(s));
}

/* Text as it must stand between tags and in quoted attributes. */
static void put_text(struct html *out, coco_str s)
{
    for (size_t i = 0; i < s.n; i++)
        switch (s.p[i]) {
        case '&': put_str(out, "&amp;"); break;
        case '<': put_str(out, "&lt;"); break;
        case '>': put_str(out, "&gt;"); break;
        case '"': put_str(out, "&quot;"); break;
        default: put(out, s.p + i, 1);
        }
}

/* A relative path as a link: what isn't plainly a path character is escaped, so that any file name works. */
static void put_link(struct html *out, coco_str path)
{
    put_str(out, "./"); /* a first segment with a colon would read as a scheme */
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        char hex[4];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("/-_.~", c))) {
            put(out, path.p + i, 1);
        } else {
            snprintf(hex, sizeof hex, "%%%02X", c);
            put(out, hex, 3);
        }
    }
}

static void put_head(struct html *out, coco_str title)
{
    put_str(out, "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>");
    put_text(out, title);
    put_str(out, "</title>\n");
}

static coco_status finish(struct html *out, coco_str *html)
{
    *html = (coco_str){ out->p, out->n };
    return out->failed ? coco_error(out->cx) : 0;
}

static void put_rendered(const MD_CHAR *s, MD_SIZE n, void *out)
{
    put(out, s, n);
}

/* The text of the first level-one heading, or the file's own path where there is none. */
static coco_str title_of(coco_str md, coco_str path)
{
    const char *line = md.p, *end = md.p + md.n;

    while (line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));

        if (!stop) stop = end;
        if (stop - line > 2 && line[0] == '#' && line[1] == ' ') {
            for (line += 2; stop > line && strchr(" #\r", stop[-1]); stop--) continue;
            return (coco_str){ line, (size_t)(stop - line) };
        }
        line = stop < end ? stop + 1 : end;
    }
    return path;
}

static coco_status markdown_to_html(coco_ctx *cx, coco_str md, coco_str path, coco_str *html)
{
    struct html out = { .cx = cx };

    if (md.n > UINT_MAX) return coco_fail(cx, COCO_EINVAL, "md4c takes pages of at most 4 GiB");
    put_head(&out, title_of(md, path));
    if (md_html(md.p, (MD_SIZE)md.n, put_rendered, &out, MD_DIALECT_GITHUB, 0) != 0)
        return coco_fail(cx, COCO_EFAIL, "md4c can't render this page");
    return finish(&out, html);
}

/* Markdown file in, HTML file out. */
COCO_FN(convert, (coco_file *, file, coco_dir *, site), .memo = true)
{
    coco_str md, html;

    COCO_TRY(coco_file_read_text(cx, file, &md));
    COCO_TRY(markdown_to_html(cx, md, coco_file_path(file), &html));
    return coco_dir_declare_file(cx, site, coco_path_with_suffix(cx, file, ".html"), html);
}

/* Markdown file in, title out. */
COCO_FN(page_title, (coco_file *, file), .memo = true)
{
    coco_str md;

    COCO_TRY(coco_file_read_text(cx, file, &md));
    return coco_return(cx, coco_text_n(title_of(md, coco_file_path(file))));
}

static const coco_walk_opts MARKDOWN = { .include = "**/*.md", .live = true };

/* Declares index.html, one line a page. A tree with an index.md of its own has that page in its place. */
COCO_FN(index_page, (coco_dir *, site))
{
    coco_source *pages = coco_walk_dir(cx, coco_param(cx, "source"), &MARKDOWN);
    struct html out = { .cx = cx };
    coco_str html;
    bool has_own = false;

    put_head(&out, COCO_STR("Index"));
    put_str(&out, "<h1>Index</h1>\n<ul>\n");
    COCO_EACH(cx, pages, key, page) {
        coco_file *file = coco_object_of(page, &coco_file_class);
        coco_value title;

        has_own = has_own || coco_str_equal(coco_text_of(key), COCO_STR("index.md"));
        /* A page that can't be read is convert's failure to report; here it keeps its place under its path. */
        if (coco_call(cx, &page_title, COCO_ARGS(page), &title) != 0) title = key;
        put_str(&out, "<li><a href=\"");
        put_link(&out, coco_path_with_suffix(cx, file, ".html"));
        put_str(&out, "\">");
        put_text(&out, coco_text_of(title));
        put_str(&out, "</a></li>\n");
    }
    COCO_TRY(coco_error(cx));
    if (has_own) return 0;
    put_str(&out, "</ul>\n");
    COCO_TRY(finish(&out, &html));
    return coco_dir_declare_file(cx, site, COCO_STR("index.html"), html);
}

COCO_FN(app_main, ())
{
    coco_dir *site;

    COCO_TRY(coco_mount_dir(cx, coco_param(cx, "out"), &site));
    COCO_TRY(coco_mount_each(cx, COCO_AUTO, &convert, coco_walk_dir(cx, coco_param(cx, "source"), &MARKDOWN),
                             COCO_ARGS(coco_dir_value(site))));
    return coco_auto_refresh(cx, COCO_AUTO, &index_page, 1000, COCO_ARGS(coco_dir_value(site)));
}

static const coco_param_def PARAMS[] = {
    { "source", "docs", "directory of Markdown files" },
    { "out", "site", "directory for the HTML" },
    { 0 },
};
static const coco_app_config MD2HTML = { .name = "md2html", .main = &app_main, .params = PARAMS };

#ifndef MD2HTML_INCLUDED /* ../live_site/live_site.c has a main of its own */
int main(int argc, char **argv)
{
    return coco_main(argc, argv, &MD2HTML, 1);
}
#endif
