/* passages.c - Markdown's headings are found by md4c, which tells code from headings; long sections are divided by the
 * recursive splitter. */
#include "passages.h"

#include "ops/text.h"

#include <md4c.h>

enum { LONGEST = 1000 }; /* bytes of a passage, unless it can't be divided */

struct heading {
    size_t start;  /* of its line */
    coco_str text; /* without marks */
};

/* What is known while md4c walks through the document. */
struct walk {
    coco_ctx *cx;
    coco_str doc;
    struct heading *headings;
    size_t n, cap;
    int depth;       /* of quotes and lists around: a heading in there divides nothing */
    bool inside;     /* a heading's text is being read */
    bool begun;      /* its first text was seen */
};

static struct heading *more_headings(struct walk *w)
{
    if (w->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 16;
        struct heading *v = coco_alloc(w->cx, cap * sizeof *v);

        if (!v) return NULL;
        if (w->n) memcpy(v, w->headings, w->n * sizeof *v);
        w->headings = v;
        w->cap = cap;
    }
    return &w->headings[w->n++];
}

static bool nests(MD_BLOCKTYPE type)
{
    return type == MD_BLOCK_QUOTE || type == MD_BLOCK_UL || type == MD_BLOCK_OL;
}

static int enter_block(MD_BLOCKTYPE type, void *detail, void *self)
{
    struct walk *w = self;

    (void)detail;
    w->depth += nests(type);
    w->inside = type == MD_BLOCK_H && w->depth == 0;
    w->begun = false;
    return 0;
}

static int leave_block(MD_BLOCKTYPE type, void *detail, void *self)
{
    struct walk *w = self;

    (void)detail;
    w->depth -= nests(type);
    w->inside = false;
    return 0;
}

static int span(MD_SPANTYPE type, void *detail, void *self)
{
    (void)type, (void)detail, (void)self;
    return 0;
}

/* A piece of text; what is no entity or break points into the document. */
static int text(MD_TEXTTYPE type, const MD_CHAR *p, MD_SIZE n, void *self)
{
    struct walk *w = self;
    bool borrowed = (uintptr_t)p >= (uintptr_t)w->doc.p && (uintptr_t)p < (uintptr_t)w->doc.p + w->doc.n;
    struct heading *h;

    (void)type;
    if (!w->inside) return 0;
    if (!w->begun) {
        if (!borrowed) return 0;
        if (!(h = more_headings(w))) return -1;
        h->start = (size_t)(p - w->doc.p);
        while (h->start > 0 && w->doc.p[h->start - 1] != '\n') h->start--;
        h->text = (coco_str){ NULL, 0 };
        w->begun = true;
    }
    h = &w->headings[w->n - 1];
    h->text = coco_format(w->cx, "%.*s%.*s", (int)h->text.n, h->text.p ? h->text.p : "", (int)n, p);
    return h->text.p ? 0 : -1;
}

static coco_status headings_of(struct walk *w)
{
    MD_PARSER parser = { .flags = MD_DIALECT_GITHUB, .enter_block = enter_block, .leave_block = leave_block,
                         .enter_span = span, .leave_span = span, .text = text };

    if (w->doc.n > UINT32_MAX / 2) return coco_fail(w->cx, COCO_EINVAL, "a document of over 2 GiB");
    if (md_parse(w->doc.p, (MD_SIZE)w->doc.n, &parser, w) == 0) return COCO_OK;
    return coco_error(w->cx) ? coco_error(w->cx) : coco_fail(w->cx, COCO_EFAIL, "md4c can't parse it");
}

/* ---- Passages ---- */

struct making {
    coco_ctx *cx;
    coco_str doc;
    struct passages *out;
    size_t cap;
    coco_position at; /* somewhere before what comes next, so that lines are counted once */
};

static coco_status add(struct making *m, coco_str heading, coco_str text)
{
    struct passages *out = m->out;

    if (out->n == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 16;
        struct passage *v = coco_alloc(m->cx, cap * sizeof *v);

        if (!v) return coco_error(m->cx);
        if (out->n) memcpy(v, out->items, out->n * sizeof *v);
        out->items = v;
        m->cap = cap;
    }
    m->at = coco_position_after(m->doc, m->at, (size_t)(text.p - m->doc.p));
    out->items[out->n++] = (struct passage){ heading, text, m->at.line };
    return COCO_OK;
}

static coco_str trimmed(coco_str s)
{
    while (s.n && strchr(" \t\r\n", s.p[s.n - 1])) s.n--;
    while (s.n && strchr("\r\n", *s.p)) s.p++, s.n--;
    return s;
}

/* A section or paragraph, in parts where it is long. */
static coco_status add_divided(struct making *m, coco_str heading, coco_str text)
{
    coco_split_opts opts = { .chunk_size = LONGEST };
    coco_chunks parts;

    text = trimmed(text);
    if (text.n <= LONGEST) return text.n || heading.n ? add(m, heading, text) : COCO_OK;
    COCO_TRY(coco_split(m->cx, text, &opts, &parts));
    for (size_t i = 0; i < parts.n; i++) {
        coco_str part = parts.items[i].text;
        COCO_TRY(add(m, heading, part));
    }
    return COCO_OK;
}

static size_t line_end(coco_str doc, size_t at)
{
    while (at < doc.n && doc.p[at] != '\n') at++;
    return at < doc.n ? at + 1 : at;
}

/* A heading's line is not part of its section's text, but the section begins there: its line is the heading's. */
static coco_status add_section(struct making *m, const struct heading *h, size_t end)
{
    size_t body = line_end(m->doc, h->start), before = m->out->n;
    coco_position start = coco_position_after(m->doc, m->at, h->start);

    if (body > end) body = end;
    COCO_TRY(add_divided(m, h->text, (coco_str){ m->doc.p + body, end - body }));
    if (m->out->n > before) m->out->items[before].line = start.line;
    return COCO_OK;
}

static coco_status add_markdown(struct making *m)
{
    struct walk w = { .cx = m->cx, .doc = m->doc };
    coco_str none = { NULL, 0 };

    COCO_TRY(headings_of(&w));
    COCO_TRY(add_divided(m, none, (coco_str){ m->doc.p, w.n ? w.headings[0].start : m->doc.n }));
    for (size_t i = 0; i < w.n; i++)
        COCO_TRY(add_section(m, &w.headings[i], i + 1 < w.n ? w.headings[i + 1].start : m->doc.n));
    return COCO_OK;
}

static bool blank_line(coco_str doc, size_t at, size_t end)
{
    while (at < end && strchr(" \t\r\n", doc.p[at])) at++;
    return at == end;
}

static coco_status add_paragraphs(struct making *m)
{
    coco_str none = { NULL, 0 };
    size_t from = 0;

    for (size_t at = 0, end; at < m->doc.n; at = end) {
        end = line_end(m->doc, at);
        if (!blank_line(m->doc, at, end)) continue;
        COCO_TRY(add_divided(m, none, (coco_str){ m->doc.p + from, at - from }));
        from = end;
    }
    return add_divided(m, none, (coco_str){ m->doc.p + from, m->doc.n - from });
}

coco_status passages_of(coco_ctx *cx, coco_str text, bool markdown, struct passages *out)
{
    struct making m = { .cx = cx, .doc = text, .out = out, .at = { 0, 0, 1, 1 } };

    *out = (struct passages){ NULL, 0 };
    if (text.n == 0) return COCO_OK;
    return markdown ? add_markdown(&m) : add_paragraphs(&m);
}
