/* test_localfs.c - localfs without an environment: globs and the parts of paths (C1). */
#include "../connectors/localfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

/* A glob, a path, and whether they match. */
typedef struct glob_case {
    const char *glob, *path;
    bool matches;
} glob_case;

static void check_globs(const glob_case *cases)
{
    for (; cases->glob; cases++)
        if (coco_glob_match(cases->glob, coco_str_of(cases->path)) != cases->matches)
            fail_msg("the glob %s %s %s", cases->glob, cases->matches ? "should match" : "must not match", cases->path);
}

static void star_stays_within_one_name(void **state)
{
    (void)state;
    check_globs((const glob_case[]){
        { "*.md", "a.md", true },    { "*.md", "a/b.md", false },  { "*", "", true },          { "*", ".hidden", true },
        { "a*", "a", true },         { "*a*b", "xaxaxb", true },    { "*a*b", "xaxax", false },
        { "a/*/c", "a/b/c", true },
        { "a/*/c", "a/c", false },   { "a/*/c", "a/b/b/c", false }, { "a*c/d", "abc/d", true },
        { "*.t.*", "a.t.t.g", true },
        { "*/*", "a/b", true },      { "*/*", "a", false },         { 0 },
    });
}

static void two_stars_cross_directories(void **state)
{
    (void)state;
    check_globs((const glob_case[]){
        { "**", "a/b/c", true },           { "**.md", "a/b.md", true },        { "**.md", "b.md", true },
        { "**/*.md", "b.md", true },       { "**/*.md", "a/b/c.md", true },    { "**/b.md", "ab.md", false },
        { "**/b.md", "a/b.md", true },     { "docs/**", "docs/a/b", true },    { "docs/**", "docs", false },
        { "docs/**/x", "docs/x", true },   { "docs/**/x", "docs/a/b/x", true }, { "docs/**/x", "docs/ax", false },
        { "a/**/b/**/c", "a/b/b/c", true }, { "a/**/b/**/c", "a/c", false },   { "**/a*/x", "b/ac/ad/x", true },
        { "**/*a/b", "a/x/ya/b", true },   { "a**z", "a/b/z", true },          { "**/", "a", false },
        { 0 },
    });
}

static void question_mark_is_one_character(void **state)
{
    (void)state;
    check_globs((const glob_case[]){
        { "?", "a", true }, { "?", "\xC3\xA9", true }, { "?", "\xF0\x9F\x98\x80", true }, { "??", "\xC3\xA9", false },
        { "?", "", false }, { "a?b", "a/b", false },   { "*?", "\xC3\xA9", true },        { 0 },
    });
}

static void sets_take_ranges_and_negation(void **state)
{
    (void)state;
    check_globs((const glob_case[]){
        { "[a-c]", "b", true },    { "[a-c]", "d", false },  { "[!a-c]", "d", true },         { "[^a-c]", "a", false },
        { "[]]", "]", true },      { "[!]]", "a", true },    { "[a-]", "-", true },           { "[\\]a]", "]", true },
        { "x[!a]y", "x/y", false }, { "[/]", "/", false },   { "[\xC3\xA0-\xC3\xBF]", "\xC3\xA9", true },
        { "[ab][cd]", "bc", true }, { "[*]", "*", true },    { "[*]", "x", false },           { "[{]", "{", true },
        { 0 },
    });
}

static void braces_give_alternatives(void **state)
{
    (void)state;
    check_globs((const glob_case[]){
        { "{a,b}", "b", true },             { "{a,b}", "c", false },         { "*.{md,txt}", "x.txt", true },
        { "{a,{b,c}d}e", "cde", true },     { "{a,{b,c}d}e", "ce", false },  { "a{,b}", "a", true },
        { "{docs/**,*.md}", "docs/x", true }, { "{a,b}/{c,d}", "b/c", true }, { "\\{a,b}", "{a,b}", true },
        { "{a\\,b,c}", "a,b", true },       { "{a}", "a", true },
        { 0 },
    });
}

static void backslash_takes_the_meaning_away(void **state)
{
    (void)state;
    check_globs((const glob_case[]){
        { "\\*", "*", true }, { "\\*", "a", false }, { "a\\?", "a?", true }, { "\\[a]", "[a]", true },
        { "\\\\", "\\", true }, { 0 },
    });
}

static void odd_names_match_as_they_are(void **state)
{
    (void)state;
    check_globs((const glob_case[]){
        { "*", "new\nline", true }, { "*\"*", "a\"b'c", true }, { "?a", "\xFF" "a", true },
        { "new?line", "new\nline", true }, { 0 },
    });
    assert_true(coco_glob_match("a*", (coco_str){ "ab/c", 2 }));
    assert_true(coco_glob_match("*", (coco_str){ NULL, 0 }));
}

static void malformed_glob_matches_nothing(void **state)
{
    char deep[200] = "", longer[2000];

    (void)state;
    check_globs((const glob_case[]){
        { "[a", "[a", false }, { "{a,b", "a", false }, { "a\\", "a\\", false }, { "[", "[", false },
        { "{[a}", "a", false }, { 0 },
    });
    for (int i = 0; i < 11; i++) strcat(deep, "{a,b}");
    assert_false(coco_glob_match(deep, coco_str_of("aaaaaaaaaaa")));
    memset(longer, 'a', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    assert_false(coco_glob_match(longer, coco_str_of(longer)));
}

/* Matching by trying everything: the oracle of the random test. Only letters, `*`, `**` and `?`. */
static bool oracle(const char *glob, const char *at, const char *s)
{
    if (*at == '\0') return *s == '\0';
    if (at[0] == '*' && at[1] == '*') {
        bool whole = at[2] == '/' && (at == glob || at[-1] == '/');
        const char *rest = at + (whole ? 3 : 2);
        for (const char *t = s;; t++) {
            if ((!whole || t == s || t[-1] == '/') && oracle(glob, rest, t)) return true;
            if (*t == '\0') return false;
        }
    }
    if (*at == '*') {
        for (const char *t = s;; t++) {
            if (oracle(glob, at + 1, t)) return true;
            if (*t == '\0' || *t == '/') return false;
        }
    }
    if (*s == '\0' || (*at == '?' ? *s == '/' : *at != *s)) return false;
    return oracle(glob, at + 1, s + 1);
}

static void globs_agree_with_trying_everything(void **state)
{
    const char *seed = getenv("SEED");
    uint64_t z = seed ? strtoull(seed, NULL, 10) : 20240601;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        char glob[16], path[16];
        for (int which = 0; which < 2; which++) {
            char *out = which ? path : glob;
            size_t n = (size_t)(z >> 33) % 10;
            for (size_t i = 0; i < n; i++) {
                z = z * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                out[i] = (which ? "ab/ab/" : "ab/**?")[(z >> 33) % 6];
            }
            out[n] = '\0';
            z = z * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        }
        if (strstr(glob, "***")) continue; /* where the pair begins is a matter of taste */
        if (coco_glob_match(glob, coco_str_of(path)) != oracle(glob, glob, path))
            fail_msg("round %d: %s and %s; SEED=%s replays it", round, glob, path, seed ? seed : "20240601");
    }
}

static void check_part(coco_str (*part)(coco_str), const char *path, const char *expected)
{
    coco_str got = part(coco_str_of(path));

    if (!coco_str_equal(got, coco_str_of(expected)))
        fail_msg("of %s: %.*s, expected %s", path, (int)got.n, got.n ? got.p : "", expected);
}

static void paths_come_apart(void **state)
{
    (void)state;
    check_part(coco_path_parent, "a/b/c.md", "a/b");
    check_part(coco_path_parent, "c.md", "");
    check_part(coco_path_parent, "/c", "/");
    check_part(coco_path_parent, "", "");
    check_part(coco_path_name, "a/b/c.md", "c.md");
    check_part(coco_path_name, "c", "c");
    check_part(coco_path_name, "a/", "");
    check_part(coco_path_stem, "a/b.tar.gz", "b.tar");
    check_part(coco_path_stem, "a.d/b", "b");
    check_part(coco_path_suffix, "a/b.tar.gz", ".gz");
    check_part(coco_path_suffix, "a.d/b", "");
}

static void leading_dot_begins_no_suffix(void **state)
{
    (void)state;
    check_part(coco_path_suffix, ".bashrc", "");
    check_part(coco_path_stem, "home/.bashrc", ".bashrc");
    check_part(coco_path_suffix, ".config.json", ".json");
    check_part(coco_path_suffix, "a.", "");
    check_part(coco_path_stem, "a.", "a.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(star_stays_within_one_name),
        cmocka_unit_test(two_stars_cross_directories),
        cmocka_unit_test(question_mark_is_one_character),
        cmocka_unit_test(sets_take_ranges_and_negation),
        cmocka_unit_test(braces_give_alternatives),
        cmocka_unit_test(backslash_takes_the_meaning_away),
        cmocka_unit_test(odd_names_match_as_they_are),
        cmocka_unit_test(malformed_glob_matches_nothing),
        cmocka_unit_test(globs_agree_with_trying_everything),
        cmocka_unit_test(paths_come_apart),
        cmocka_unit_test(leading_dot_begins_no_suffix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
