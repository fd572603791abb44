/* text.c - splitting text and detecting languages: the one file to compile. It includes its parts in the order in which
 * they build on each other; every name they share is static and begins coco__.
 *
 * Calls cocoindex.h and PCRE2, nothing else; tree-sitter is known to ops/syntax.c alone, which hands its functions over
 * (coco__syntax_link). Results are in cx's memory; working memory is the allocator's of the options, and all of it is
 * given back before a call returns. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* strcasecmp */
#endif
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include "text.h"

#include <assert.h>
#include <stdlib.h>
#include <strings.h>

#define COCO__SIZE_MAX ((uint64_t)1 << 30)  /* of what a caller's count says of one part */
#define COCO__TOTAL_MAX ((uint64_t)1 << 54) /* more than all sums; times 512 it fits in 64 bits */

/* What a zero allocator stands for. */
static void *coco__text_realloc(void *self, void *p, size_t n)
{
    (void)self;
    if (n) return realloc(p, n);
    free(p);
    return NULL;
}

/* The gate to the allocator; n 0 frees. */
static void *coco__text_mem(const coco_allocator *mem, void *p, size_t n)
{
    void *(*gate)(void *self, void *p, size_t n) = mem->realloc ? mem->realloc : coco__text_realloc;

    return p || n ? gate(mem->self, p, n) : NULL;
}

/* Bytes from start to end. */
typedef struct coco__span {
    size_t start, end;
} coco__span;

#include "text/utf8.c"       /* characters, white space, positions */
#include "text/expr.c"       /* the caller's expressions */
#include "text/levels.c"     /* the default levels */
#include "text/pieces.c"     /* from text to atoms */
#include "text/plan.c"       /* from atoms to chunks */
#include "text/separators.c" /* the separator splitter */
#include "text/language.c"   /* names of languages */
#include "text/split.c"      /* options and runs */
#include "text/chunk.c"      /* chunks as values */
