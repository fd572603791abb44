/* text.h - splitting text into chunks, and which language a file is in, for cocoindex.h. Needs PCRE2 (10.40 or
 * later).
 *
 * A whole program: every file below docs/ is split, and each chunk becomes a file of its own, which says where it
 * is from. A file that changes is split again; of its chunks those that differ are written.
 *
 *     #include "cocoindex.h"
 *     #include "connectors/localfs.h"
 *     #include "ops/text.h"
 *
 *     COCO_FN(chunks_of, (coco_file *, file, coco_dir *, out), .memo = true)
 *     {
 *         coco_str path = coco_file_path(file), text;
 *         coco_chunks chunks;
 *
 *         COCO_TRY(coco_file_read_text(cx, file, &text));
 *         COCO_TRY(coco_split(cx, text, &(coco_split_opts){ .chunk_size = 1000, .chunk_overlap = 200 }, &chunks));
 *         for (size_t i = 0; i < chunks.n; i++) {
 *             const coco_chunk *c = &chunks.items[i];
 *             coco_str name = coco_format(cx, "%s.%zu", path.p, i);
 *             coco_str body = coco_format(cx, "line %u:\n%.*s\n", c->start.line, (int)c->text.n, c->text.p);
 *             COCO_TRY(coco_dir_declare_file(cx, out, name, body));
 *         }
 *         return COCO_OK;
 *     }
 *
 *     COCO_FN(app_main, ())
 *     {
 *         coco_dir *out;
 *
 *         COCO_TRY(coco_mount_dir(cx, coco_text("chunks"), &out));
 *         return coco_mount_each(cx, COCO_AUTO, &chunks_of, coco_walk_dir(cx, coco_text("docs"), NULL),
 *                                COCO_ARGS(coco_dir_value(out)));
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         return coco_main(argc, argv, &(coco_app_config){ .name = "chunks", .main = &app_main }, 1);
 *     }
 *
 * Build: cc chunks.c cocoindex_lmdb.c connectors/localfs.c ops/text.c -llmdb -lpcre2-8 -pthread (text.c includes
 * its parts in text/). With syntax trees also ops/syntax.c, see ops/syntax.h.
 *
 * The recursive splitter (coco_split). A text is divided, by what separates its larger parts first, until the
 * parts are small; then neighbours are put together again to chunks of at most chunk_size, so that chunks end
 * where much ends: a paragraph rather than a line, a line rather than a sentence. The boundaries are those that
 * CocoIndex finds, byte for byte. The levels: blank lines; lines; sentences (. ? ! and white space, 。？！); clauses
 * (; : - — and white space, ；：—); commas (, and white space, ，); white space. A custom language has levels of its
 * own. With a grammar the nodes of the syntax tree come first.
 *   - A chunk has no white space at its end, and at its start only the indentation of its first line.
 *   - It is larger than chunk_size only where it can't be divided: one word, one last part of a custom language.
 *   - What separates two chunks is in neither: white space, and the mark before it where the levels cut behind one.
 *   - Text of white space alone has no chunk.
 *
 * The separator splitter (coco_split_by). Cuts at every match of one of some expressions, and joins nothing.
 *
 * Chunks borrow: their text points into the text that was split, which must outlive them.
 *
 * Text is UTF-8. A character is a well-formed sequence, or a single byte that belongs to none: invalid text is
 * split like any other, nothing is replaced, and no character is cut. Expressions see such a byte as U+001A.
 *
 * Expressions are PCRE2's, with Unicode's classes and lines that end at \n; they see only the part that is to be
 * divided. CocoIndex takes those of the Rust crate regex. What both know means the same, but that \s takes U+180E
 * in. What is PCRE2's alone (looking around, back references) works too. An expression that would run for very
 * long fails with COCO_EFAIL.
 *
 * Time and memory. Linear in the text, also without any separator in it; the time for a byte grows with the number
 * of atoms (parts of at most chunk_overlap, or of min_chunk_size without overlap) that a chunk holds. Working
 * memory is a few hundred bytes for each atom of a few chunks, whatever the length of the text: some 100 KiB;
 * coco_split takes 64 bytes a chunk for the answer, and about 5 until it is complete. In a text that repeats itself
 * exactly no chunk may be settled before its end: it is gone through twice, and a sixteenth of a byte is kept for each
 * atom, which is at most 32 bytes a chunk of 1,000.
 *
 * Where this differs from CocoIndex on purpose:
 *   - sizes may be characters or tokens; there they are bytes
 *   - subtrees below max_depth count as plain text; there they are walked at any depth
 *   - a minimum above chunk_size is cut to it; there parts up to the minimum stay whole
 *   - a grammar that tree-sitter refuses is an error; there the default levels take over
 *   - names are compared without regard to case in ASCII; there in Unicode
 *   - file names, longer extensions and #! lines are known, and more extensions; where it gives an answer, it is the
 *     same
 *
 * Limits. A grammar sees texts below 4 GiB; longer ones are divided by the default levels. Lines and columns are
 * 32 bits. Thread-safe: all functions may be called on any thread; a coco_expressions belongs to one at a time. */
#ifndef COCO_TEXT_H
#define COCO_TEXT_H

#include "../cocoindex.h"

#ifdef __cplusplus
extern "C" {
#endif

struct TSLanguage; /* tree-sitter's; known to ops/syntax.c alone */

/* ---- Chunks ----------------------------------------------------------------------------------------------------- */

/* A place in a text, before a character or at the end. */
typedef struct coco_position {
    size_t byte, character; /* how many are before it */
    uint32_t line, column;  /* from 1; column counts characters */
} coco_position;

typedef struct coco_chunk {
    coco_str text; /* borrowed from the text that was split */
    coco_position start, end;
} coco_chunk;

typedef struct coco_chunks {
    coco_chunk *items; /* in cx's memory, in the order of their ends */
    size_t n;
} coco_chunks;

/* The position of a byte at or behind `from` ({ 0, 0, 1, 1 } is the start); it must be the first of a character, or the
 * end of the text. */
coco_position coco_position_after(coco_str text, coco_position from, size_t byte);

/* For functions that take a chunk: COCO_FN(embed_chunk, (coco_chunk *, chunk)). Memo key: text, start and end; pass
 * coco_text_n(chunk->text) instead where the place doesn't matter, and a shifted chunk stays unchanged. Can be
 * returned. */
extern const coco_class coco_chunk_class;
coco_value coco_chunk_value(const coco_chunk *chunk);
/* One for each chunk, for coco_map and coco_source_of; NULL when out of memory (the error is kept in cx). */
coco_value *coco_chunk_values(coco_ctx *cx, const coco_chunks *chunks);

/* A plain value: {"text", "start": {"byte", "character", "line", "column"}, "end": {…}}. A text that isn't UTF-8 is
 * given as bytes. Errors: COCO_ENOMEM. */
coco_status coco_chunk_map(coco_ctx *cx, const coco_chunk *chunk, coco_value *out);

/* Gets one chunk, which is its own for the length of the call. What it returns but 0 ends the splitting. */
typedef coco_status (*coco_chunk_fn)(void *user, const coco_chunk *chunk);

/* ---- Expressions ---------------------------------------------------------------------------------------------------
 * */

/* Expressions that were compiled, kept from call to call: compiling takes longer than splitting a page. Give it to
 * every call whose options have expressions; where there is none, each call compiles its own. It only grows. allocator
 * may be NULL. Errors: COCO_ENOMEM (*out is NULL). */
typedef struct coco_expressions coco_expressions;
coco_status coco_expressions_new(const coco_allocator *allocator, coco_expressions **out);
void coco_expressions_free(coco_expressions *x);

/* ---- The recursive splitter ------------------------------------------------------------------------------------- */

typedef enum coco_unit { COCO_UNIT_BYTES, COCO_UNIT_CHARACTERS } coco_unit;

/* The size of a text in the caller's unit, such as a model's tokens; the same for the same text. Called for each part
 * at each level, at most as many times over the text as there are levels, and for each atom and each gap between two
 * atoms, all that twice in a text that repeats itself; the size of a chunk is the sum of these. So no chunk exceeds
 * chunk_size if the parts of a text count together at least as much as the whole. */
typedef size_t (*coco_count_fn)(void *user, coco_str text);

/* A language with levels of its own. */
typedef struct coco_custom_language {
    const char *name;
    const char *const *aliases;    /* ends with NULL; may be NULL */
    const char *const *separators; /* expressions, one a level, for the largest parts first; ends with NULL */
} coco_custom_language;

/* A language with a syntax tree: { "python", tree_sitter_python }. */
typedef struct coco_grammar {
    const char *language; /* a name or alias */
    const struct TSLanguage *(*grammar)(void);
} coco_grammar;

#define COCO_NO_MIN SIZE_MAX

/* All zero is the default. */
typedef struct coco_split_opts {
    size_t chunk_size;     /* at most so large; 0: 1,000 */
    size_t min_chunk_size; /* rather not smaller, at most chunk_size; 0: half of it. COCO_NO_MIN: none is too small */
    size_t chunk_overlap;  /* so much of a chunk, at most, is in the next one too; cut to min_chunk_size */
    coco_unit unit;        /* of the three above */
    coco_count_fn count;   /* counts them instead; NULL: by unit */
    void *user;            /* passed to count */
    const char *language;  /* name, alias or extension, in any case; NULL or unknown: the default levels */
    const coco_custom_language *custom_languages; /* before all others; ends with { 0 }; may be NULL */
    const struct TSLanguage *grammar; /* the language's: tree_sitter_python() … */
    const coco_grammar *grammars;     /* … or taken from these by `language`; ends with { 0 } */
    unsigned max_depth;            /* nodes this far below the root aren't divided by their children; 0: 500 */
    coco_expressions *expressions; /* compiled before; NULL: compiled for this call */
    coco_allocator allocator;      /* of working memory; zero: realloc and free */
} coco_split_opts;

/* Splits text into chunks, an array in cx's memory. opts may be NULL. On failure chunks is empty.
 * Errors: COCO_EPARSE (an expression; the message says where), COCO_EFAIL (an expression ran too long), COCO_EDUP (two
 * custom languages of one name), COCO_EINVAL (a grammar without ops/syntax.c, or of another version; a count that
 * gives two sizes for one text, where that is found out), COCO_ENOMEM. */
coco_status coco_split(coco_ctx *cx, coco_str text, const coco_split_opts *opts, coco_chunks *chunks);

/* The same without a cx, one chunk at a time, as soon as it is settled. err may be NULL. Returns also what fn did. */
coco_status coco_split_each(coco_str text, const coco_split_opts *opts, coco_chunk_fn fn, void *user, coco_err *err);

/* ---- The separator splitter ------------------------------------------------------------------------------------- */

typedef enum coco_keep {
    COCO_KEEP_NONE, /* separators are dropped */
    COCO_KEEP_LEFT, /* a separator ends the chunk before it */
    COCO_KEEP_RIGHT /* a separator begins the chunk behind it */
} coco_keep;

/* All zero is the default. */
typedef struct coco_separator_opts {
    const char *const *separators; /* expressions, any of which separates; multi-line; ends with NULL. NULL: no cut */
    coco_keep keep;                /* what becomes of the separator */
    bool include_empty;            /* give empty chunks too */
    bool keep_space;               /* leave ASCII white space at both ends of chunks */
    coco_expressions *expressions; /* as above */
    coco_allocator allocator;      /* as above */
} coco_separator_opts;

/* Errors: COCO_EPARSE, COCO_EFAIL, COCO_ENOMEM, as above. */
coco_status coco_split_by(coco_ctx *cx, coco_str text, const coco_separator_opts *opts, coco_chunks *chunks);
coco_status coco_split_by_each(coco_str text, const coco_separator_opts *opts, coco_chunk_fn fn, void *user,
                               coco_err *err);

/* ---- Languages -----------------------------------------------------------------------------------------------------
 * */

/* The table ops/languages.h has them; add to it there. Names are those of CocoIndex. */

/* The name of the language in a file: by the extension of its path; by its whole name (Makefile, go.mod); by a #! line
 * at the start of its text, which may be empty or a part of it. path may be NULL. NULL: not known. */
const char *coco_detect_language(const char *path, coco_str text);

/* The name of the language that goes by a name, an alias or an extension with its dot, in any case; NULL: not known.
 * Equal names are equal pointers. */
const char *coco_language_name(const char *name);

/* ---- For ops/syntax.c ------------------------------------------------------------------------------------------- */

/* A walk over a syntax tree, at one node at a time. */
typedef struct coco__syntax {
    /* Parses text; the walk is at the root. *tree NULL without an error: the text has no tree, it is plain. */
    coco_status (*open)(const struct TSLanguage *grammar, coco_str text, const char *language, void **tree,
                        coco_err *err);
    void (*close)(void *tree);
    bool (*at)(void *tree, size_t *start, size_t *end); /* the bytes of the node; whether its kind is never divided */
    bool (*down)(void *tree);                           /* to its first child; false if it has none */
    bool (*next)(void *tree);                           /* to its next sibling; false if it was the last */
    void (*up)(void *tree);                             /* to its parent */
} coco__syntax;

void coco__syntax_link(const coco__syntax *syntax); /* before main */

#ifdef __cplusplus
}
#endif
#endif /* COCO_TEXT_H */
