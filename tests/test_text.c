/* Splitting (spec: text.md): the recursive splitter and the separator splitter as CocoIndex has them, sizes, positions,
 * borrowed chunks, memory. The golden file holds what CocoIndex itself gave. */
#include "text.h"

#include <time.h>

#define S(literal) COCO_STR(literal)
#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define OPTS(...) ((coco_split_opts){ __VA_ARGS__ })

/* ---- The recursive splitter ------------------------------------------------------------------------------------- */

/* text.md: byte, character, line and column of every chunk as the original has them, at four settings. */
static void positions_are_those_of_the_original(void **state)
{
    (void)state;
    assert_int_equal(golden_check(NULL), 16);
}

/* Recursive 1: default levels, separators dropped between chunks. */
static void paragraphs_are_cut_before_lines(void **state)
{
    (void)state;
    split(S("Line 1.\nLine 2.\n\nLine 3."), OPTS(.chunk_size = 15));
    expect_chunks("Line 1.\nLine 2.|Line 3.");
    split(S("one two\nthree four\n\nfive six\nseven eight"), OPTS(.chunk_size = 22));
    expect_chunks("one two\nthree four|five six\nseven eight");
}

/* Recursive 1: 。！ end sentences, ， clauses. */
static void east_asian_marks_separate(void **state)
{
    (void)state;
    split(S("一二三四五。六七八九十！甲乙丙丁，戊己庚辛"), OPTS(.chunk_size = 20, .min_chunk_size = 8));
    expect_chunks("一二三四五|六七八九十|甲乙丙丁|戊己庚辛");
}

/* Recursive 2: a chunk that begins a line keeps its indentation; white space at ends goes. */
static void indentation_stays_and_other_white_space_goes(void **state)
{
    (void)state;
    split(S("\n\n  first part\n\n    second part   \n"), OPTS(.chunk_size = 16));
    expect_chunks("  first part|    second part");
}

/* Recursive: white space alone, in Unicode's sense, has no chunk. */
static void white_space_alone_has_no_chunk(void **state)
{
    (void)state;
    split(S(""), OPTS(.chunk_size = 10));
    assert_int_equal(found.n, 0);
    split(S(" \n\t \xC2\xA0 \xE3\x80\x80 \xE2\x80\xA8"), OPTS(.chunk_size = 2));
    assert_int_equal(found.n, 0);
}

/* Recursive 3: never larger than chunk_size, but for a single atom that can't be divided. */
static void only_what_is_indivisible_is_larger(void **state)
{
    (void)state;
    split(S("a bb abcdefghijklmnopqrstuvwxyz ccc"), OPTS(.chunk_size = 8));
    expect_chunks("a bb|abcdefghijklmnopqrstuvwxyz|ccc");
}

/* Recursive 3: overlap is given where it fits, and no more than asked for. */
static void neighbours_share_at_most_the_overlap(void **state)
{
    (void)state;
    split(S("aa bb cc dd ee ff gg hh ii jj kk"), OPTS(.chunk_size = 14, .chunk_overlap = 6));
    expect_chunks("aa bb cc dd ee|ee ff gg hh ii|ii jj kk");
    for (size_t i = 1; i < found.n; i++) assert_in_range(found.v[i - 1].end.byte - found.v[i].start.byte, 1, 6);
}

/* Recursive: overlap is capped at the minimum size. */
static void overlap_is_cut_to_the_minimum(void **state)
{
    static list first;
    size_t n;
    char *text = document("guide.md", false, &n);

    (void)state;
    split((coco_str){ text, n }, OPTS(.chunk_size = 200, .min_chunk_size = 40, .chunk_overlap = 40));
    first = found;
    split((coco_str){ text, n }, OPTS(.chunk_size = 200, .min_chunk_size = 40, .chunk_overlap = 1000));
    assert_int_equal(found.n, first.n);
    assert_memory_equal(found.v, first.v, first.n * sizeof first.v[0]);
    free(text);
}

/* Recursive 3: chunk_size holds also where the minimum is larger. */
static void minimum_is_cut_to_the_chunk_size(void **state)
{
    (void)state;
    split(S("aaaa bbbb cccc dddd"), OPTS(.chunk_size = 9, .min_chunk_size = 100, .chunk_overlap = 100));
    for (size_t i = 0; i < found.n; i++) assert_in_range(found.v[i].text.n, 1, 9);
}

/* Recursive: all zero is chunks of 1,000 bytes, the minimum half of it. */
static void defaults_are_a_thousand_bytes(void **state)
{
    static list first;
    size_t n;
    char *text = document("guide.md", false, &n);

    (void)state;
    split((coco_str){ text, n }, OPTS(0));
    first = found;
    split((coco_str){ text, n }, OPTS(.chunk_size = 1000, .min_chunk_size = 500));
    assert_int_equal(found.n, first.n);
    assert_memory_equal(found.v, first.v, first.n * sizeof first.v[0]);
    free(text);
}

/* ---- Sizes ------------------------------------------------------------------------------------------------------ */

/* The star of text.md: sizes in characters. */
static void sizes_may_be_characters(void **state)
{
    (void)state;
    split(S("äöü äöü äöü äöü"), OPTS(.chunk_size = 7));
    expect_chunks("äöü|äöü|äöü|äöü");
    split(S("äöü äöü äöü äöü"), OPTS(.chunk_size = 7, .unit = COCO_UNIT_CHARACTERS));
    expect_chunks("äöü äöü|äöü äöü");
}

/* In ASCII both are the same. */
static void characters_split_ascii_as_bytes_do(void **state)
{
    static list first;
    size_t n;
    char *text = document("shelf.c", false, &n);

    (void)state;
    for (size_t overlap = 0; overlap < 60; overlap += 20) {
        split((coco_str){ text, n }, OPTS(.chunk_size = 120, .chunk_overlap = overlap));
        first = found;
        split((coco_str){ text, n }, OPTS(.chunk_size = 120, .chunk_overlap = overlap, .unit = COCO_UNIT_CHARACTERS));
        assert_int_equal(found.n, first.n);
        assert_memory_equal(found.v, first.v, first.n * sizeof first.v[0]);
    }
    free(text);
}

/* A token is a word here. */
static size_t words(void *user, coco_str text)
{
    size_t n = 0;

    ++*(size_t *)user;
    for (size_t i = 0; i < text.n; i++) n += text.p[i] > ' ' && (i == 0 || text.p[i - 1] <= ' ');
    return n;
}

/* The star of text.md: sizes in tokens, by the caller's count. */
static void sizes_may_be_tokens(void **state)
{
    size_t calls = 0;

    (void)state;
    split(S("one two three four five six seven eight nine ten"),
          OPTS(.chunk_size = 4, .min_chunk_size = 1, .count = words, .user = &calls));
    expect_chunks("one two three four|five six seven eight|nine ten");
    split(S("one two three four five six seven"),
          OPTS(.chunk_size = 3, .min_chunk_size = 1, .chunk_overlap = 1, .count = words, .user = &calls));
    for (size_t i = 0; i < found.n; i++) assert_true(words(&calls, found.v[i].text) <= 3);
    assert_true(calls > 0);
}

/* ---- Custom languages ------------------------------------------------------------------------------------------- */

static const coco_custom_language log_language[] = {
    { "log", LIST(".log", "journal"), LIST("^== ", "\\n", "\\s*;\\s*") }, { 0 }
};

/* Custom languages: levels of their own, found by name and alias in any case, before all others. */
static void custom_language_has_its_own_levels(void **state)
{
    static const char *const names[] = { "log", ".LOG", "Journal" };
    const coco_custom_language dashes[] = { { "markdown", NULL, LIST("---") }, { 0 } };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        split(S("a b c; d e f\ng h; i j"),
              OPTS(.chunk_size = 8, .language = names[i], .custom_languages = log_language));
        expect_chunks("a b c|d e f|g h; i j");
    }
    split(S("Part1---Part2---Part3"), OPTS(.chunk_size = 10, .min_chunk_size = 4, .language = "markdown",
                                           .custom_languages = dashes));
    expect_chunks("Part1|Part2|Part3");
    split(S("a b c; d"), OPTS(.chunk_size = 4, .language = "none such", .custom_languages = log_language));
    expect_chunks("a b|c; d");
}

/* Custom languages: an expression that matches nothing at all moves on by a character. */
static void empty_matches_move_on(void **state)
{
    const coco_custom_language letters[] = { { "letters", NULL, LIST("x*") }, { 0 } };

    (void)state;
    split(S("aäxxb"), OPTS(.chunk_size = 1, .language = "letters", .custom_languages = letters));
    expect_chunks("a|ä|b");
}

static coco_status status_of(coco_split_opts opts, coco_err *err)
{
    found.n = 0;
    opts.allocator = counting;
    return coco_split_each(S("some text that is long enough to be cut"), &opts, keep_chunk, &found, err);
}

/* Errors name the expression, and the languages that share a name. */
static void wrong_custom_languages_are_errors(void **state)
{
    const coco_custom_language broken[] = { { "broken", NULL, LIST("a(b") }, { 0 } };
    const coco_custom_language twice[] = { { "one", LIST("same"), LIST(",") }, { "two", LIST("SAME"), LIST(",") },
                                                  { 0 } };
    coco_err err = { 0 };

    (void)state;
    assert_int_equal(status_of(OPTS(.chunk_size = 5, .language = "broken", .custom_languages = broken), &err),
                     COCO_EPARSE);
    assert_non_null(strstr(err.msg, "expression a(b: missing closing parenthesis"));
    assert_int_equal(status_of(OPTS(.chunk_size = 5, .custom_languages = twice), &err), COCO_EDUP);
    assert_string_equal(err.msg, "custom languages one and two: both are called SAME");
    assert_int_equal(found.n, 0);
}

/* An expression that doesn't come to an end is an error that says so. */
static void endless_expression_is_an_error(void **state)
{
    const coco_custom_language endless[] = { { "endless", NULL, LIST("(a+)+$") }, { 0 } };
    coco_split_opts opts = OPTS(.chunk_size = 5, .language = "endless", .custom_languages = endless,
                                .allocator = counting);
    coco_err err = { 0 };

    (void)state;
    assert_int_equal(coco_split_each(S("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), &opts, keep_chunk, &found,
                                     &err), COCO_EFAIL);
    assert_non_null(strstr(err.msg, "expression (a+)+$: "));
}

/* Without ops/syntax.c in the program, or with it but another grammar: a grammar is not passed over in silence. */
static void grammar_of_no_known_version_is_an_error(void **state)
{
    static const uint32_t version[64] = { 9999 };
    const struct TSLanguage *grammar = (const void *)version;
    coco_err err = { 0 };

    (void)state;
    assert_int_equal(status_of(OPTS(.chunk_size = 5, .grammar = grammar), &err), COCO_EINVAL);
    assert_true(err.msg[0] != '\0');
}

/* Compiled expressions are kept: later calls take less, and give the same. */
static void kept_expressions_give_the_same(void **state)
{
    coco_expressions *x;
    coco_split_opts opts = OPTS(.chunk_size = 8, .language = "log", .custom_languages = log_language);
    long calls = 0;

    (void)state;
    assert_int_equal(coco_expressions_new(&counting, &opts.expressions), COCO_OK);
    for (int i = 0; i < 3; i++) {
        calls = mem.calls;
        split(S("a b c; d e f\ng h; i j"), opts);
        expect_chunks("a b c|d e f|g h; i j");
    }
    calls = mem.calls - calls;
    x = opts.expressions;
    opts.expressions = NULL;
    mem.calls = 0;
    split(S("a b c; d e f\ng h; i j"), opts);
    expect_chunks("a b c|d e f|g h; i j");
    assert_true(calls < mem.calls);
    coco_expressions_free(x);
}

/* ---- The separator splitter ------------------------------------------------------------------------------------- */

/* Separator splitter: dropped, kept left, kept right. */
static void separators_are_dropped_or_kept(void **state)
{
    (void)state;
    separate(S("A. B. C."), (coco_separator_opts){ .separators = LIST("\\.") });
    expect_chunks("A|B|C");
    separate(S("A. B. C."), (coco_separator_opts){ .separators = LIST("\\."), .keep = COCO_KEEP_LEFT });
    expect_chunks("A.|B.|C.");
    separate(S("A. B. C."), (coco_separator_opts){ .separators = LIST("\\."), .keep = COCO_KEEP_RIGHT });
    expect_chunks("A|. B|. C|.");
}

/* Separator splitter: several expressions are alternatives, ^ and $ are those of lines. */
static void expressions_are_alternatives_in_multi_line_mode(void **state)
{
    (void)state;
    separate(S("# one\ntext # no\n# two\n---\nend"),
             (coco_separator_opts){ .separators = LIST("^# ", "^---$"), .keep = COCO_KEEP_RIGHT });
    expect_chunks("# one\ntext # no|# two|---\nend");
}

/* Separator splitter: empty pieces by option; trimming is of ASCII white space, and can be left out. */
static void empty_pieces_and_white_space_are_options(void **state)
{
    (void)state;
    separate(S("a|| b "), (coco_separator_opts){ .separators = LIST("\\|") });
    expect_chunks("a|b");
    separate(S("a|| b "), (coco_separator_opts){ .separators = LIST("\\|"), .include_empty = true });
    expect_chunks("a||b");
    separate(S("a|| b "), (coco_separator_opts){ .separators = LIST("\\|"), .keep_space = true });
    expect_chunks("a| b ");
    separate(S(" \xC2\xA0x\v"), (coco_separator_opts){ .separators = NULL });
    expect_chunks("\xC2\xA0x\v");
}

/* ---- Characters and positions ----------------------------------------------------------------------------------- */

/* Recursive 4: invalid UTF-8 is passed through byte by byte; positions count such a byte as a character. */
static void invalid_bytes_are_kept_and_counted(void **state)
{
    const coco_custom_language any[] = { { "any", NULL, LIST("\\.") }, { 0 } };

    (void)state;
    split(S("\xFF\xFE \xE4\xB8. \xF0\x9F ok"), OPTS(.chunk_size = 4, .min_chunk_size = 1));
    expect_chunks("\xFF\xFE|\xE4\xB8|\xF0\x9F|ok");
    assert_int_equal(found.v[3].start.byte, 10);
    assert_int_equal(found.v[3].start.character, 10);
    split(S("\xFF.\xE2\x82.\xE2\x82\xAC"), OPTS(.chunk_size = 3, .min_chunk_size = 1, .language = "any",
                                                .custom_languages = any));
    expect_chunks("\xFF|\xE2\x82|\xE2\x82\xAC");
    assert_int_equal(found.v[2].end.character, 6);
}

/* Positions: lines and columns from 1, columns in characters, \r\n is one line break. */
static void positions_count_characters_and_lines(void **state)
{
    coco_str text = S("aä\nb\r\n\xF0\x9F\x98\x84 c");
    coco_position p = { 0, 0, 1, 1 };

    (void)state;
    p = coco_position_after(text, p, 3);
    assert_int_equal(p.character, 2);
    assert_int_equal(p.line, 1);
    assert_int_equal(p.column, 3);
    p = coco_position_after(text, p, 11);
    assert_int_equal(p.character, 7);
    assert_int_equal(p.line, 3);
    assert_int_equal(p.column, 2);
    p = coco_position_after(text, p, text.n);
    assert_int_equal(p.column, 4);
}

/* Positions are the same whichever way they are counted: eight bytes at a time or one. */
static void positions_do_not_depend_on_where_counting_begins(void **state)
{
    size_t n;
    char *text = document("zh.txt", true, &n);
    coco_str t = { text, n };
    coco_position step = { 0, 0, 1, 1 };

    (void)state;
    for (size_t i = 0; i <= n; i++) {
        coco_position whole;
        if (i < n && (text[i] & 0xC0) == 0x80) continue;
        whole = coco_position_after(t, (coco_position){ 0, 0, 1, 1 }, i);
        step = coco_position_after(t, step, i);
        assert_memory_equal(&whole, &step, sizeof whole);
    }
    free(text);
}

/* Chunks borrow from the text. */
static void chunks_point_into_the_text(void **state)
{
    size_t n;
    char *text = document("ja.txt", false, &n);

    (void)state;
    split((coco_str){ text, n }, OPTS(.chunk_size = 90, .chunk_overlap = 30));
    assert_true(found.n > 5);
    for (size_t i = 0; i < found.n; i++) {
        const coco_chunk *c = &found.v[i];
        assert_ptr_equal(c->text.p, text + c->start.byte);
        assert_int_equal(c->text.n, c->end.byte - c->start.byte);
        assert_true((c->text.p[0] & 0xC0) != 0x80);
    }
    free(text);
}

/* ---- Time and memory -------------------------------------------------------------------------------------------- */

static coco_status count_chunk(void *user, const coco_chunk *c)
{
    (void)c;
    ++*(size_t *)user;
    return COCO_OK;
}

/* n bytes of words, the same in every run, with `behind` behind every so many; none: one word. To be freed. */
static char *written(size_t n, unsigned every, const char *behind)
{
    char *p = malloc(n + 64);
    uint32_t r = 12345;
    size_t at = 0;

    assert_non_null(p);
    for (unsigned word = 1; at < n; word++) {
        for (r = r * 1103515245u + 12345u; at < n; p[at++] = (char)('a' + (r >> 20) % 26))
            if (every && (r = r * 1103515245u + 12345u) >> 29 == 0) break;
        if (every && at < n) at += (size_t)sprintf(p + at, "%s", word % every ? " " : behind);
    }
    return p;
}

/* Chunks are settled and forgotten as the splitting goes on: memory doesn't grow with the text. */
static void working_memory_does_not_grow_with_the_text(void **state)
{
    static const struct kind {
        unsigned every;
        const char *behind;
    } kinds[] = { { 0, "" }, { 1, " " }, { 12, ". " }, { 9, "\n" }, { 40, "\n\n" } };
    size_t n = 1 << 20;

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (size_t overlap = 0; overlap <= 200; overlap += 100) {
            char *text = written(n, kinds[i].every, kinds[i].behind);
            size_t chunks = 0;
            coco_split_opts opts = OPTS(.chunk_size = 1000, .chunk_overlap = overlap, .allocator = counting);
            mem.peak = 0;
            assert_int_equal(coco_split_each((coco_str){ text, n }, &opts, count_chunk, &chunks, NULL), COCO_OK);
            assert_true(chunks > 0);
            if (mem.peak > 600000) fail_msg("kind %zu, overlap %zu: %zu bytes", i, overlap, mem.peak);
            free(text);
        }
}

/* `unit` over and over, n bytes of it; to be freed. */
static coco_str repeated(const char *unit, size_t n)
{
    char *p = malloc(n);

    assert_non_null(p);
    for (size_t i = 0, len = strlen(unit); i < n; i++) p[i] = unit[i % len];
    return (coco_str){ p, n };
}

static const char *const units[] = { "the same words and ", "a ", "one line\n", "One. Two, three; four!\n\n" };
enum { UNITS = sizeof units / sizeof units[0] };

/* In a text that repeats itself exactly no chunk is settled before the end. Working memory stays below the 64 bytes a
 * chunk of the answer all the same, but for what it has in any text. */
static void repetition_takes_no_more_memory_than_the_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < UNITS; i++) {
        coco_str text = repeated(units[i], 3000000);
        size_t chunks = 0;
        coco_split_opts opts = OPTS(.chunk_size = 1000, .chunk_overlap = 200, .allocator = counting);
        mem.peak = 0;
        assert_int_equal(coco_split_each(text, &opts, count_chunk, &chunks, NULL), COCO_OK);
        if (mem.peak > 900000 + 64 * chunks) fail_msg("%s: %zu bytes, %zu chunks", units[i], mem.peak, chunks);
        free((void *)(uintptr_t)text.p);
    }
}

static coco_status mix_chunk(void *user, const coco_chunk *c)
{
    uint64_t *sum = user;

    *sum = (*sum * 31 + c->start.byte) * 31 + c->end.byte;
    return COCO_OK;
}

/* Such a text is gone through twice, and has the chunks that CocoIndex finds. */
static void repetition_is_cut_as_the_original_does(void **state)
{
    static const uint64_t sums[UNITS] = { UINT64_C(0x0333a4fb8cade5a8), UINT64_C(0x2915c1b82099a062),
                                          UINT64_C(0x22c75dbd88000364), UINT64_C(0x3af59a567c6922fa) };

    (void)state;
    for (size_t i = 0; i < UNITS; i++) {
        coco_str text = repeated(units[i], 200000);
        uint64_t sum = 0;
        coco_split_opts opts = OPTS(.chunk_size = 100, .chunk_overlap = 30, .allocator = counting);
        assert_int_equal(coco_split_each(text, &opts, mix_chunk, &sum, NULL), COCO_OK);
        assert_int_equal(sum, sums[i]);
        free((void *)(uintptr_t)text.p);
    }
}

static size_t fickle(void *user, coco_str text)
{
    uint32_t *r = user;

    *r = *r * 1664525u + 1013904223u;
    return text.n + (*r >> 30);
}

/* A count that gives other sizes in the second pass does no harm. */
static void fickle_count_is_an_error_or_none(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed < 20; seed++) {
        coco_str text = repeated("a b\n", 40000);
        size_t chunks = 0;
        uint32_t r = seed;
        coco_split_opts opts = OPTS(.chunk_size = 60, .chunk_overlap = 20, .count = fickle, .user = &r,
                                    .allocator = counting);
        coco_err err = { 0 };
        coco_status rc = coco_split_each(text, &opts, count_chunk, &chunks, &err);
        if (rc == COCO_EINVAL) assert_string_equal(err.msg, "count has given two sizes for one text");
        else assert_int_equal(rc, COCO_OK);
        free((void *)(uintptr_t)text.p);
    }
}

/* Recursive 4: linear, also without any separator: four times the text takes at most eight times as long. */
static void time_is_linear_in_a_text_without_separators(void **state)
{
    double seconds[2];

    (void)state;
    for (int k = 0; k < 2; k++) {
        size_t n = (size_t)(k ? 8 : 2) << 20, chunks = 0;
        char *text = written(n, 0, "");
        coco_split_opts opts = OPTS(.chunk_size = 1000, .chunk_overlap = 200, .allocator = counting);
        clock_t begin = clock();
        assert_int_equal(coco_split_each((coco_str){ text, n }, &opts, count_chunk, &chunks, NULL), COCO_OK);
        seconds[k] = (double)(clock() - begin) / CLOCKS_PER_SEC;
        assert_int_equal(chunks, 1);
        free(text);
    }
    assert_true(seconds[1] < 8 * seconds[0] + 0.2);
}

/* Whether what came of an allocation that failed, if one did, is right: the error, or, where PCRE2 can do without, the
 * chunks. */
static void check_failed(coco_status rc, const coco_err *err, size_t chunks)
{
    assert_int_equal(mem.blocks, 0);
    if (rc == COCO_OK) assert_int_equal(found.n, chunks);
    else assert_int_equal(rc, COCO_ENOMEM);
    assert_true(rc == COCO_OK || err->msg[0] != '\0');
}

/* Every allocation that fails is COCO_ENOMEM, and all that was taken is given back. */
static void every_failed_allocation_is_reported(void **state)
{
    coco_split_opts opts = OPTS(.chunk_size = 8, .chunk_overlap = 2, .language = "log",
                                .custom_languages = log_language, .allocator = counting);
    coco_separator_opts separators = { .separators = LIST("b"), .allocator = counting };
    coco_str text = S("a b c; d e f\ng h; \xFF i j k l m n o p q r s t u v w x y z a b c d e f");
    bool failed = true;

    (void)state;
    for (long i = 1; failed; i++) {
        coco_err err = { 0 };
        coco_status rc;
        mem.calls = 0, mem.fail_at = i, found.n = 0;
        rc = coco_split_each(text, &opts, keep_chunk, &found, &err);
        failed = mem.calls >= i;
        check_failed(rc, &err, 4);
        mem.calls = 0, found.n = 0;
        rc = coco_split_by_each(text, &separators, keep_chunk, &found, &err);
        check_failed(rc, &err, 3);
        assert_true(i > 12 || failed);
    }
}

/* The same where a text is gone through twice. */
static void failed_allocation_in_a_repetition_is_reported(void **state)
{
    coco_split_opts opts = OPTS(.chunk_size = 100, .chunk_overlap = 30, .allocator = counting);
    coco_str text = repeated("a b ", 60000);
    coco_status rc = COCO_ENOMEM;

    (void)state;
    for (long i = 1; rc != COCO_OK; i++) {
        size_t chunks = 0;
        mem.calls = 0, mem.fail_at = i;
        rc = coco_split_each(text, &opts, count_chunk, &chunks, NULL);
        assert_int_equal(mem.blocks, 0);
        assert_true(rc == COCO_ENOMEM || i > 9);
    }
    free((void *)(uintptr_t)text.p);
}

static coco_status refuse(void *user, const coco_chunk *c)
{
    (void)c;
    return ++*(int *)user == 2 ? COCO_ESTOP : COCO_OK;
}

/* What the callback returns ends the splitting. */
static void callback_can_stop(void **state)
{
    coco_split_opts opts = OPTS(.chunk_size = 3, .allocator = counting);
    int calls = 0;

    (void)state;
    assert_int_equal(coco_split_each(S("aaa bbb ccc ddd"), &opts, refuse, &calls, NULL), COCO_ESTOP);
    assert_int_equal(calls, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEXT_TEST(positions_are_those_of_the_original),
        TEXT_TEST(paragraphs_are_cut_before_lines),
        TEXT_TEST(east_asian_marks_separate),
        TEXT_TEST(indentation_stays_and_other_white_space_goes),
        TEXT_TEST(white_space_alone_has_no_chunk),
        TEXT_TEST(only_what_is_indivisible_is_larger),
        TEXT_TEST(neighbours_share_at_most_the_overlap),
        TEXT_TEST(overlap_is_cut_to_the_minimum),
        TEXT_TEST(minimum_is_cut_to_the_chunk_size),
        TEXT_TEST(defaults_are_a_thousand_bytes),
        TEXT_TEST(sizes_may_be_characters),
        TEXT_TEST(characters_split_ascii_as_bytes_do),
        TEXT_TEST(sizes_may_be_tokens),
        TEXT_TEST(custom_language_has_its_own_levels),
        TEXT_TEST(empty_matches_move_on),
        TEXT_TEST(wrong_custom_languages_are_errors),
        TEXT_TEST(endless_expression_is_an_error),
        TEXT_TEST(grammar_of_no_known_version_is_an_error),
        TEXT_TEST(kept_expressions_give_the_same),
        TEXT_TEST(separators_are_dropped_or_kept),
        TEXT_TEST(expressions_are_alternatives_in_multi_line_mode),
        TEXT_TEST(empty_pieces_and_white_space_are_options),
        TEXT_TEST(invalid_bytes_are_kept_and_counted),
        TEXT_TEST(positions_count_characters_and_lines),
        TEXT_TEST(positions_do_not_depend_on_where_counting_begins),
        TEXT_TEST(chunks_point_into_the_text),
        TEXT_TEST(working_memory_does_not_grow_with_the_text),
        TEXT_TEST(repetition_takes_no_more_memory_than_the_answer),
        TEXT_TEST(repetition_is_cut_as_the_original_does),
        TEXT_TEST(fickle_count_is_an_error_or_none),
        TEXT_TEST(time_is_linear_in_a_text_without_separators),
        TEXT_TEST(every_failed_allocation_is_reported),
        TEXT_TEST(failed_allocation_in_a_repetition_is_reported),
        TEXT_TEST(callback_can_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
