/* syntax.h - syntax trees for the recursive splitter of ops/text.h, by any tree-sitter grammar that the program links.
 * Needs tree-sitter (0.22 or later; the grammar's version decides) and ops/text.c.
 *
 * A whole program: every source file below src/ is split along its syntax, each chunk into a file of its own.
 *
 *     #include "cocoindex.h"
 *     #include "connectors/localfs.h"
 *     #include "ops/syntax.h"
 *
 *     const TSLanguage *tree_sitter_c(void);
 *     const TSLanguage *tree_sitter_python(void);
 *     static const coco_grammar GRAMMARS[] = { { "c", tree_sitter_c }, { "python", tree_sitter_python }, { 0 } };
 *
 *     COCO_FN(chunks_of, (coco_file *, file, coco_dir *, out), .memo = true)
 *     {
 *         coco_str path = coco_file_path(file), text;
 *         coco_chunks chunks;
 *
 *         COCO_TRY(coco_file_read_text(cx, file, &text));
 *         COCO_TRY(coco_split(cx, text, &(coco_split_opts){ .grammars = GRAMMARS, .chunk_size = 1000,
 *                             .language = coco_detect_language(path.p, text) }, &chunks));
 *         for (size_t i = 0; i < chunks.n; i++)
 *             COCO_TRY(coco_dir_declare_file(cx, out, coco_format(cx, "%s.%zu", path.p, i), chunks.items[i].text));
 *         return COCO_OK;
 *     }
 *
 *     COCO_FN(app_main, ())
 *     {
 *         coco_dir *out;
 *
 *         COCO_TRY(coco_mount_dir(cx, coco_text("chunks"), &out));
 *         return coco_mount_each(cx, COCO_AUTO, &chunks_of, coco_walk_dir(cx, coco_text("src"), NULL),
 *                                COCO_ARGS(coco_dir_value(out)));
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         return coco_main(argc, argv, &(coco_app_config){ .name = "chunks", .main = &app_main }, 1);
 *     }
 *
 * Build: cc chunks.c cocoindex_lmdb.c connectors/localfs.c ops/text.c ops/syntax.c c/parser.c python/parser.c
 * python/scanner.c -llmdb -lpcre2-8 -ltree-sitter -pthread
 *
 * Being linked is all: before main, syntax.c hands its functions to text.c (compilers without constructors: call
 * coco_syntax_start first). For one language by itself: .grammar = tree_sitter_python().
 *
 * How a tree divides a text. A node larger than an atom is divided into its children and the gaps between them; the
 * gaps, nodes without children and nodes deeper than max_depth are divided by the default levels. Nodes of some kinds
 * are not divided by their children, as in CocoIndex: in Markdown inline, indented_code_block and fenced_code_block.
 * Nodes for errors and for what is missing are nodes like others: a file that doesn't parse is split as far as it
 * does.
 *
 * Grammars. One made for a newer tree-sitter than the one linked is refused with COCO_EINVAL. Boundaries depend on the
 * grammar: another version of it may move them; name it in the function's version or deps. Markdown's is the grammar of
 * blocks (tree_sitter_markdown).
 *
 * Limits. tree-sitter takes its memory from malloc, about ten times the text, and ends the program when there is none
 * (ts_set_allocator). */
#ifndef COCO_SYNTAX_H
#define COCO_SYNTAX_H

#include "text.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct TSLanguage TSLanguage; /* as <tree_sitter/api.h> has it */

/* Makes grammars usable. Called before main where the compiler knows constructors. Thread-safe: no. */
void coco_syntax_start(void);

#ifdef __cplusplus
}
#endif
#endif /* COCO_SYNTAX_H */
