/* fuzz_text.c - any bytes through both splitters and the detector. The first bytes of an input choose the options.
 * Checked: chunks come in the order of their ends and lie within the text; what no chunk covers is white space, marks
 * of the default levels or a separator; a chunk larger than chunk_size has no place to be cut; no chunk begins or ends
 * inside a character; positions are those counted from the start; sizes in characters and tokens hold as those in
 * bytes do. */
#include "ops/text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool right)
{
    if (!right) abort();
}

typedef struct run {
    coco_str text;
    const coco_split_opts *opts; /* NULL: the separator splitter */
    size_t end;                  /* of the last chunk */
    bool marks;                  /* what separates may be other than white space */
} run;

/* One character to a token. */
static size_t characters(void *user, coco_str text)
{
    size_t n = 0;

    (void)user;
    for (size_t i = 0; i < text.n; i++) n += ((unsigned char)text.p[i] & 0xC0) != 0x80;
    return n;
}

/* Whether a character of well-formed text goes on at byte i: what comes before it begins one that is longer. */
static bool is_inside(coco_str text, size_t i)
{
    const uint8_t *p = (const uint8_t *)text.p;

    for (size_t back = 1; back < 4 && back <= i && i < text.n; back++) {
        uint8_t lead = p[i - back], second = p[i - back + 1];
        size_t n = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
        bool whole = n > back && i - back + n <= text.n;
        for (size_t k = 1; whole && k < n; k++) whole = (p[i - back + k] & 0xC0) == 0x80;
        if (whole && lead == 0xE0) whole = second >= 0xA0;
        if (whole && lead == 0xED) whole = second <= 0x9F;
        if (whole && lead == 0xF0) whole = second >= 0x90;
        if (whole && lead == 0xF4) whole = second <= 0x8F;
        if (whole) return true;
    }
    return false;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The bytes that a default level may drop: ASCII space and marks; others belong to marks and spaces of three bytes. */
static bool is_dropped(char c) { return is_space(c) || strchr(".?!;:-,", c) || (unsigned char)c >= 0x80; }

static void check_position(coco_str text, const coco_position *p)
{
    coco_position from = { 0, 0, 1, 1 }, is = coco_position_after(text, from, p->byte);

    check(is.character == p->character && is.line == p->line && is.column == p->column);
}

static size_t size_of(const coco_split_opts *o, coco_str text)
{
    if (o->count) return o->count(o->user, text);
    if (o->unit == COCO_UNIT_BYTES) return text.n;
    return coco_position_after(text, (coco_position){ 0, 0, 1, 1 }, text.n).character;
}

/* A chunk larger than it may be has, but for its indentation, nothing that separates words. */
static void check_size(const coco_split_opts *o, coco_str text)
{
    size_t limit = o->chunk_size ? o->chunk_size : 1000;

    if (size_of(o, text) <= limit) return;
    while (text.n && (text.p[0] == ' ' || text.p[0] == '\t')) text.p++, text.n--;
    if (size_of(o, text) <= limit) return;
    for (size_t i = 0; i < text.n; i++) check(!is_space(text.p[i]));
}

static coco_status each(void *user, const coco_chunk *c)
{
    run *r = user;
    coco_str text = r->text;

    check(c->text.p == text.p + c->start.byte && c->start.byte <= c->end.byte && c->end.byte <= text.n);
    check(c->text.n == c->end.byte - c->start.byte);
    check(!is_inside(text, c->start.byte) && !is_inside(text, c->end.byte));
    if (text.n < 600) {
        check_position(text, &c->start);
        check_position(text, &c->end);
    }
    check(c->end.byte >= r->end);
    if (r->opts) {
        check(c->text.n > 0 && c->end.byte > r->end);
        for (size_t i = r->end; i < c->start.byte && !r->marks; i++) check(is_dropped(text.p[i]));
        if (!r->marks) check_size(r->opts, c->text);
    }
    r->end = c->end.byte;
    return COCO_OK;
}

static void fuzz_split(coco_str text, const uint8_t o[6])
{
    static const char *const levels[] = { "\\n+", "[,;]", "b*", "^|\\b", NULL };
    static const coco_custom_language custom[] = { { "custom", NULL, levels }, { NULL, NULL, NULL } };
    coco_split_opts opts = { .chunk_size = o[0], .min_chunk_size = o[1] == 255 ? COCO_NO_MIN : o[1],
                             .chunk_overlap = o[2], .unit = o[3] & 1 ? COCO_UNIT_CHARACTERS : COCO_UNIT_BYTES,
                             .count = (o[3] & 6) == 6 ? characters : NULL, .custom_languages = custom,
                             .language = (o[3] & 24) == 24 ? "custom" : NULL };
    run r = { .text = text, .opts = &opts, .marks = opts.language != NULL };

    check(coco_split_each(text, &opts, each, &r, NULL) == COCO_OK);
    for (size_t i = r.end; i < text.n && !r.marks; i++) check(is_dropped(text.p[i]));
}

static void fuzz_separate(coco_str text, const uint8_t o[6])
{
    static const char *const sets[4][3] = { { "\\n\\n+", NULL, NULL }, { "a*", "^b", NULL }, { "\\s", "。", NULL },
                                            { "$", "\\B", NULL } };
    coco_separator_opts opts = { .separators = sets[o[4] & 3], .keep = (coco_keep)((o[4] >> 2) % 3),
                                 .include_empty = (o[4] & 16) != 0, .keep_space = (o[4] & 32) != 0 };
    run r = { .text = text };

    check(coco_split_by_each(text, &opts, each, &r, NULL) == COCO_OK);
}

/* The text itself as an expression: an error or not, but nothing worse. */
static void fuzz_expression(coco_str text)
{
    char expression[40];
    const char *const list[] = { expression, NULL };
    run r = { .text = text };
    size_t n = text.n < sizeof expression - 1 ? text.n : sizeof expression - 1;

    memcpy(expression, text.p, n);
    expression[n] = '\0';
    if (text.n < 400) coco_split_by_each(text, &(coco_separator_opts){ .separators = list }, each, &r, NULL);
}

static void fuzz_detect(coco_str text)
{
    char path[64];
    size_t n = text.n < sizeof path - 1 ? text.n : sizeof path - 1;
    const char *found;

    memcpy(path, text.p, n);
    path[n] = '\0';
    found = coco_detect_language(path, text);
    check(!found || coco_language_name(found) == found);
    coco_language_name(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    coco_str text;

    if (size < 6) return 0;
    text = (coco_str){ (const char *)data + 6, size - 6 };
    fuzz_split(text, data);
    fuzz_separate(text, data);
    if (data[5] == 'x') fuzz_expression(text);
    fuzz_detect(text);
    return 0;
}
