/* text.h - what the tests of ops/text.h and ops/syntax.h share: a counting allocator, chunks collected as lines,
 * documents and their golden positions. */
#ifndef COCO_TEST_TEXT_H
#define COCO_TEST_TEXT_H

#include "ops/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

#define DATA "tests/data/text/"

/* Memory that a splitting took: not freed, the most at any time, calls, and the call that fails (0: none). */
static struct memory {
    size_t live, peak;
    long blocks, calls, fail_at;
} mem;

typedef union header {
    size_t n;
    max_align_t align;
} header;

static inline void *counted(void *self, void *p, size_t n)
{
    header *h = p ? (header *)p - 1 : NULL;

    (void)self;
    if (n && ++mem.calls == mem.fail_at) return NULL;
    mem.live -= h ? h->n : 0;
    mem.blocks += (n != 0) - (h != NULL);
    if (!n) {
        free(h);
        return NULL;
    }
    if (!(h = realloc(h, sizeof *h + n))) abort();
    h->n = n;
    mem.live += n;
    if (mem.live > mem.peak) mem.peak = mem.live;
    return h + 1;
}

static const coco_allocator counting = { counted, NULL };

static inline int text_setup(void **state)
{
    (void)state;
    mem = (struct memory){ 0 };
    return 0;
}

static inline int text_teardown(void **state)
{
    (void)state;
    return mem.blocks != 0 || mem.live != 0;
}
#define TEXT_TEST(f) cmocka_unit_test_setup_teardown(f, text_setup, text_teardown)

/* ---- Chunks ----------------------------------------------------------------------------------------------------- */

typedef struct list {
    coco_chunk v[20000];
    size_t n;
} list;

static list found;

static inline coco_status keep_chunk(void *user, const coco_chunk *c)
{
    list *l = user;

    assert_true(l->n < sizeof l->v / sizeof l->v[0]);
    l->v[l->n++] = *c;
    return COCO_OK;
}

/* The chunks of a text, with the counting allocator. */
static inline void split(coco_str text, coco_split_opts opts)
{
    coco_err err = { 0 };

    found.n = 0;
    opts.allocator = counting;
    if (coco_split_each(text, &opts, keep_chunk, &found, &err) != COCO_OK) fail_msg("%s", err.msg);
}

static inline void separate(coco_str text, coco_separator_opts opts)
{
    coco_err err = { 0 };

    found.n = 0;
    opts.allocator = counting;
    if (coco_split_by_each(text, &opts, keep_chunk, &found, &err) != COCO_OK) fail_msg("%s", err.msg);
}

/* The texts of the chunks with | between them. */
static inline void expect_chunks(const char *want)
{
    static char is[1 << 16];
    size_t n = 0;

    for (size_t i = 0; i < found.n; i++)
        n += (size_t)snprintf(is + n, sizeof is - n, "%s%.*s", i ? "|" : "", (int)found.v[i].text.n, found.v[i].text.p);
    is[n] = '\0';
    assert_string_equal(is, want);
}

/* ---- Documents -----------------------------------------------------------------------------------------------------
 * */

/* A file of tests/data/text, with \r\n for \n if crlf; to be freed. */
static inline char *document(const char *name, bool crlf, size_t *n)
{
    char path[200], *text = malloc(1 << 20);
    FILE *f;
    int c;

    snprintf(path, sizeof path, DATA "%s", name);
    if (!(f = fopen(path, "rb"))) fail_msg("%s can't be opened; tests run in the top directory", path);
    assert_non_null(text);
    for (*n = 0; (c = getc(f)) != EOF; text[(*n)++] = (char)c)
        if (crlf && c == '\n') text[(*n)++] = '\r';
    fclose(f);
    return text;
}

/* One line of the golden file: what CocoIndex made of a document. */
typedef struct golden {
    char name[40], language[20];
    int crlf;
    long size, least, overlap;
    size_t n;
} golden;

static inline bool golden_next(FILE *f, golden *g)
{
    return fscanf(f, "%39s %d %ld %ld %ld %19s %zu", g->name, &g->crlf, &g->size, &g->least, &g->overlap, g->language,
                  &g->n) == 7;
}

/* The chunks of g beside those found. */
static inline void golden_compare(FILE *f, const golden *g)
{
    size_t v[8];

    assert_int_equal(found.n, g->n);
    for (size_t i = 0; i < g->n; i++) {
        const coco_position *p = &found.v[i].start, *q = &found.v[i].end;
        size_t is[8] = { p->byte, p->character, p->line, p->column, q->byte, q->character, q->line, q->column };
        for (size_t k = 0; k < 8; k++) {
            assert_int_equal(fscanf(f, "%zu", &v[k]), 1);
            if (is[k] != v[k])
                fail_msg("%s %s, size %ld: number %zu of chunk %zu is %zu, should be %zu", g->name, g->language,
                         g->size, k, i, is[k], v[k]);
        }
    }
}

static inline void golden_skip(FILE *f, const golden *g)
{
    size_t v;

    for (size_t i = 0; i < g->n * 8; i++) assert_int_equal(fscanf(f, "%zu", &v), 1);
}

/* Splits the documents of the golden file, those with a language or those without, and compares. Returns how many. */
static inline int golden_check(const coco_grammar *grammars)
{
    FILE *f = fopen(DATA "positions.golden", "rb");
    golden g;
    int checked = 0;

    assert_non_null(f);
    while (golden_next(f, &g)) {
        size_t n;
        char *text;
        if ((g.language[0] != '-') != (grammars != NULL)) {
            golden_skip(f, &g);
            continue;
        }
        text = document(g.name, g.crlf != 0, &n);
        split((coco_str){ text, n },
              (coco_split_opts){ .chunk_size = (size_t)g.size, .chunk_overlap = (size_t)g.overlap,
                                 .min_chunk_size = g.least < 0 ? COCO_NO_MIN : (size_t)g.least,
                                 .language = g.language, .grammars = grammars });
        golden_compare(f, &g);
        free(text);
        checked++;
    }
    fclose(f);
    return checked;
}

#endif /* COCO_TEST_TEXT_H */
