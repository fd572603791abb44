/* syntax.c - the one place that knows tree-sitter: a walk over a syntax tree, as ops/text.h asks for it. Calls
 * cocoindex.h and tree-sitter, nothing else.
 *
 * One cursor walks the whole tree: the splitter goes down and up as it divides nodes, so a level costs it no memory. */
#include "syntax.h"

#include <stdlib.h>
#include <tree_sitter/api.h>

#define COCO__TERMINALS 4

/* Kinds of nodes that are never divided by their children. */
static const struct coco__terminals {
    const char *language;
    const char *kinds[COCO__TERMINALS]; /* unused: NULL */
} coco__terminals[] = {
    { "markdown", { "inline", "indented_code_block", "fenced_code_block" } },
};

typedef struct coco__tree {
    TSParser *parser;
    TSTree *tree;
    TSTreeCursor cursor;
    TSSymbol terminals[COCO__TERMINALS]; /* 0: none */
} coco__tree;

/* The name that a grammar knows itself by; NULL: it is too old to say. */
static const char *coco__grammar_name(const TSLanguage *grammar)
{
#if TREE_SITTER_LANGUAGE_VERSION >= 15
    return ts_language_name(grammar);
#else
    (void)grammar;
    return NULL;
#endif
}

static void coco__find_terminals(coco__tree *t, const TSLanguage *grammar, const char *language)
{
    if (!language) language = coco__grammar_name(grammar);
    for (size_t i = 0; language && i < sizeof coco__terminals / sizeof coco__terminals[0]; i++) {
        if (strcmp(coco__terminals[i].language, language) != 0) continue;
        for (size_t k = 0; k < COCO__TERMINALS && coco__terminals[i].kinds[k]; k++) {
            const char *kind = coco__terminals[i].kinds[k];
            t->terminals[k] = ts_language_symbol_for_name(grammar, kind, (uint32_t)strlen(kind), true);
        }
    }
}

static void coco__tree_close(void *tree)
{
    coco__tree *t = tree;

    if (t->tree) {
        ts_tree_cursor_delete(&t->cursor);
        ts_tree_delete(t->tree);
    }
    ts_parser_delete(t->parser);
    free(t);
}

static coco_status coco__tree_open(const struct TSLanguage *grammar, coco_str text, const char *language, void **tree,
                                   coco_err *err)
{
    coco__tree *t;

    *tree = NULL;
    if (text.n >= UINT32_MAX) return COCO_OK;
    if (!(t = calloc(1, sizeof *t))) return coco_err_set(err, COCO_ENOMEM, "out of memory for a syntax tree");
    t->parser = ts_parser_new();
    if (!ts_parser_set_language(t->parser, grammar)) {
        coco__tree_close(t);
        return coco_err_set(err, COCO_EINVAL, "the grammar for %s is not of a version that tree-sitter takes here",
                            language ? language : "the text");
    }
    coco__find_terminals(t, grammar, language);
    t->tree = ts_parser_parse_string(t->parser, NULL, text.p, (uint32_t)text.n);
    if (!t->tree) {
        coco__tree_close(t);
        return COCO_OK;
    }
    t->cursor = ts_tree_cursor_new(ts_tree_root_node(t->tree));
    *tree = t;
    return COCO_OK;
}

static bool coco__tree_at(void *tree, size_t *start, size_t *end)
{
    coco__tree *t = tree;
    TSNode node = ts_tree_cursor_current_node(&t->cursor);
    TSSymbol kind = ts_node_symbol(node);

    *start = ts_node_start_byte(node);
    *end = ts_node_end_byte(node);
    for (size_t i = 0; i < COCO__TERMINALS; i++)
        if (kind && t->terminals[i] == kind) return true;
    return false;
}

static bool coco__tree_down(void *tree) { return ts_tree_cursor_goto_first_child(&((coco__tree *)tree)->cursor); }
static bool coco__tree_next(void *tree) { return ts_tree_cursor_goto_next_sibling(&((coco__tree *)tree)->cursor); }
static void coco__tree_up(void *tree) { ts_tree_cursor_goto_parent(&((coco__tree *)tree)->cursor); }

void coco_syntax_start(void)
{
    static const coco__syntax syntax = { coco__tree_open, coco__tree_close, coco__tree_at, coco__tree_down,
                                         coco__tree_next, coco__tree_up };

    coco__syntax_link(&syntax);
}

COCO_AT_START(coco__syntax) { coco_syntax_start(); }
