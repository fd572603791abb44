/* Splitting along syntax trees (spec: text.md, recursive splitter 1): five languages as CocoIndex splits them, terminal
 * nodes, depth, errors. Needs the grammars that scripts/fetch-grammars fetches. */
#include "text.h"

#include "ops/syntax.h"

#ifndef COCO_TEST_GRAMMARS

int main(void)
{
    puts("skipped: grammars not installed (scripts/fetch-grammars)");
    return 0;
}

#else

#define OPTS(...) ((coco_split_opts){ __VA_ARGS__ })

const TSLanguage *tree_sitter_c(void);
const TSLanguage *tree_sitter_python(void);
const TSLanguage *tree_sitter_rust(void);
const TSLanguage *tree_sitter_javascript(void);
const TSLanguage *tree_sitter_markdown(void);

static const coco_grammar grammars[] = { { "c", tree_sitter_c },       { "py", tree_sitter_python },
                                         { "rust", tree_sitter_rust }, { "javascript", tree_sitter_javascript },
                                         { "md", tree_sitter_markdown }, { 0 } };

/* text.md: byte, character, line and column of every chunk as the original has them; C, JavaScript (with errors in it),
 * Markdown, Python and Rust at four settings. */
static void positions_are_those_of_the_original(void **state)
{
    (void)state;
    assert_int_equal(golden_check(grammars), 20);
}

/* Recursive 1: a tree divides by its children first, here by functions rather than blank lines. */
static void tree_divides_before_blank_lines(void **state)
{
    const coco_str text = COCO_STR("def f():\n    a = 1\n\n    b = 2\ndef g():\n    c = 3\n");

    (void)state;
    split(text, OPTS(.chunk_size = 36, .min_chunk_size = 10));
    expect_chunks("def f():\n    a = 1|    b = 2\ndef g():\n    c = 3");
    split(text, OPTS(.chunk_size = 36, .min_chunk_size = 10, .grammar = tree_sitter_python()));
    expect_chunks("def f():\n    a = 1\n\n    b = 2|def g():\n    c = 3");
}

/* The grammar is found by name, alias and extension; a language without one has the default levels. */
static void grammar_is_found_by_any_name_of_the_language(void **state)
{
    static const char *const names[] = { "python", "PY", ".py", ".pyi" };
    static list first;
    size_t n;
    char *text = document("shelf.py", false, &n);

    (void)state;
    split((coco_str){ text, n }, OPTS(.chunk_size = 120, .grammar = tree_sitter_python()));
    first = found;
    for (size_t i = 0; i < 4; i++) {
        split((coco_str){ text, n }, OPTS(.chunk_size = 120, .language = names[i], .grammars = grammars));
        assert_int_equal(found.n, first.n);
        assert_memory_equal(found.v, first.v, first.n * sizeof first.v[0]);
    }
    split((coco_str){ text, n }, OPTS(.chunk_size = 120));
    first = found;
    split((coco_str){ text, n }, OPTS(.chunk_size = 120, .language = "haskell", .grammars = grammars));
    assert_int_equal(found.n, first.n);
    assert_memory_equal(found.v, first.v, first.n * sizeof first.v[0]);
    free(text);
}

/* Custom languages come before trees. */
static void custom_language_is_preferred_to_a_tree(void **state)
{
    const char *const separators[] = { "=", NULL };
    const coco_custom_language custom[] = { { "python", NULL, separators }, { 0 } };

    (void)state;
    split(COCO_STR("abc = def"), OPTS(.chunk_size = 5, .language = "python", .grammars = grammars,
                                      .custom_languages = custom));
    expect_chunks("abc|def");
}

/* Terminal nodes: Markdown's inline nodes and code blocks are text, so the levels of text divide them, whether the
 * language is named or the grammar says which it is; the list items around them come from the tree. */
static void terminal_nodes_are_divided_as_text(void **state)
{
    const coco_str text = COCO_STR("A *b c d* e *f g h i* j\n\n- k\n- l *m* n\n");
    const coco_str code = COCO_STR("```\none; two\n\nthree; four\n```\n");

    (void)state;
    split(text, OPTS(.chunk_size = 12, .min_chunk_size = 3));
    expect_chunks("A *b c d* e|*f g h i* j|- k| l *m* n");
    split(text, OPTS(.chunk_size = 12, .min_chunk_size = 3, .language = "markdown", .grammars = grammars));
    expect_chunks("A *b c d* e|*f g h i* j|- k|- l *m* n");
    split(code, OPTS(.chunk_size = 16, .min_chunk_size = 4, .grammar = tree_sitter_markdown()));
    expect_chunks("```\none; two|three; four\n```");
}

/* Depth: nodes more than max_depth below the root are text, which has no separators here. */
static void deep_nodes_are_opaque(void **state)
{
    enum { DEPTH = 3000 };
    static char text[2 * DEPTH + 1];

    (void)state;
    memset(text, '[', DEPTH);
    memset(text + DEPTH, ']', DEPTH);
    split((coco_str){ text, 2 * DEPTH },
          OPTS(.chunk_size = 40, .min_chunk_size = 4, .grammar = tree_sitter_javascript(), .max_depth = 60000));
    for (size_t i = 0; i < found.n; i++) assert_true(found.v[i].text.n <= 40);
    split((coco_str){ text, 2 * DEPTH },
          OPTS(.chunk_size = 40, .min_chunk_size = 4, .grammar = tree_sitter_javascript()));
    for (size_t i = 0; i < found.n; i++)
        if (found.v[i].text.n > 40) assert_in_range(found.v[i].text.n, 4800, 5600);
    assert_in_range(found.n, 10, 60);
}

/* Error nodes are nodes: what doesn't parse at all is split, and nothing is lost. */
static void text_that_does_not_parse_is_split(void **state)
{
    const coco_str text = COCO_STR(")) if ( [ def } \xFF\xFE while { ;; == fn )( \"abc 'x' */ /* \n\n ]] int x y z");

    (void)state;
    for (const coco_grammar *g = grammars; g->language; g++) {
        size_t end = 0;
        split(text, OPTS(.chunk_size = 12, .min_chunk_size = 3, .grammar = g->grammar()));
        for (size_t i = 0; i < found.n; i++) {
            for (; end < found.v[i].start.byte; end++) assert_true(text.p[end] == ' ' || text.p[end] == '\n' ||
                                                                   text.p[end] == ';');
            end = found.v[i].end.byte;
        }
        assert_int_equal(end, text.n);
    }
}

/* White space around the root, and no text at all. */
static void empty_texts_have_no_chunks(void **state)
{
    (void)state;
    for (const coco_grammar *g = grammars; g->language; g++) {
        split((coco_str){ 0 }, OPTS(.chunk_size = 4, .grammar = g->grammar()));
        assert_int_equal(found.n, 0);
        split(COCO_STR("\n\n   \n          \n"), OPTS(.chunk_size = 4, .grammar = g->grammar()));
        assert_int_equal(found.n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEXT_TEST(positions_are_those_of_the_original),
        TEXT_TEST(tree_divides_before_blank_lines),
        TEXT_TEST(grammar_is_found_by_any_name_of_the_language),
        TEXT_TEST(custom_language_is_preferred_to_a_tree),
        TEXT_TEST(terminal_nodes_are_divided_as_text),
        TEXT_TEST(deep_nodes_are_opaque),
        TEXT_TEST(text_that_does_not_parse_is_split),
        TEXT_TEST(empty_texts_have_no_chunks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
