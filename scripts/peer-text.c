/* peer-text.c - what scripts/peer-text.py calls: the splitters on plain arrays. Built into a shared library by
 * scripts/peer-text, with the grammars of scripts/fetch-grammars where they are. */
#include "../ops/text.h"

#include <stdlib.h>
#include <time.h>

/* Eight numbers a chunk: byte, character, line and column of its start and of its end. */
typedef struct peer_chunks {
    uint64_t *v; /* of the caller */
    size_t n, room;
} peer_chunks;

/* The options of one call, as the script gives them: zeros as in coco_split_opts. */
typedef struct peer_opts {
    size_t chunk_size, min_chunk_size, chunk_overlap;
    const char *language;
    const char *const *separators; /* of the custom language "custom", or of the separator splitter; or NULL */
    int keep, include_empty, keep_space;
} peer_opts;

int peer_split(const char *p, size_t n, const peer_opts *opts, peer_chunks *out);
int peer_split_by(const char *p, size_t n, const peer_opts *opts, peer_chunks *out);
double peer_time(const char *p, size_t n, const peer_opts *opts);
const char *peer_detect(const char *path);

#ifdef COCO_TEST_GRAMMARS
const struct TSLanguage *tree_sitter_c(void);
const struct TSLanguage *tree_sitter_python(void);
const struct TSLanguage *tree_sitter_rust(void);
const struct TSLanguage *tree_sitter_javascript(void);
const struct TSLanguage *tree_sitter_markdown(void);
static const coco_grammar grammars[] = { { "c", tree_sitter_c },
                                         { "python", tree_sitter_python },
                                         { "rust", tree_sitter_rust },
                                         { "javascript", tree_sitter_javascript },
                                         { "markdown", tree_sitter_markdown },
                                         { 0 } };
#else
static const coco_grammar grammars[] = { { 0 } };
#endif

static coco_status add(void *user, const coco_chunk *c)
{
    peer_chunks *out = user;
    const coco_position *ends[2] = { &c->start, &c->end };

    if (out->n == out->room) return COCO_EFULL;
    for (size_t i = 0; i < 2; i++) {
        uint64_t *v = out->v + out->n * 8 + i * 4;
        v[0] = ends[i]->byte, v[1] = ends[i]->character, v[2] = ends[i]->line, v[3] = ends[i]->column;
    }
    out->n++;
    return COCO_OK;
}

static coco_status nothing(void *user, const coco_chunk *c)
{
    *(size_t *)user += c->text.n;
    return COCO_OK;
}

static coco_split_opts options(const peer_opts *o, const coco_custom_language *custom)
{
    return (coco_split_opts){ .chunk_size = o->chunk_size, .min_chunk_size = o->min_chunk_size,
                              .chunk_overlap = o->chunk_overlap, .language = o->language, .grammars = grammars,
                              .custom_languages = o->separators ? custom : NULL };
}

static int report(coco_status rc, const coco_err *err)
{
    if (rc) fprintf(stderr, "%s: %s\n", coco_status_name(rc), err->msg);
    return rc;
}

int peer_split(const char *p, size_t n, const peer_opts *o, peer_chunks *out)
{
    coco_custom_language custom[2] = { { "custom", NULL, o->separators }, { 0 } };
    coco_split_opts opts = options(o, custom);
    coco_err err = { 0 };

    return report(coco_split_each((coco_str){ p, n }, &opts, add, out, &err), &err);
}

int peer_split_by(const char *p, size_t n, const peer_opts *o, peer_chunks *out)
{
    coco_separator_opts opts = { .separators = o->separators, .keep = (coco_keep)o->keep,
                                 .include_empty = o->include_empty != 0, .keep_space = o->keep_space != 0 };
    coco_err err = { 0 };

    return report(coco_split_by_each((coco_str){ p, n }, &opts, add, out, &err), &err);
}

/* Seconds of one recursive splitting, of this thread alone: the machine does other things too. */
double peer_time(const char *p, size_t n, const peer_opts *o)
{
    coco_split_opts opts = options(o, NULL);
    struct timespec a, b;
    size_t bytes = 0;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    if (coco_split_each((coco_str){ p, n }, &opts, nothing, &bytes, NULL) != COCO_OK) return -1;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    return (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
}

const char *peer_detect(const char *path) { return coco_detect_language(path, (coco_str){ 0 }); }
