/* Language detection (spec: text.md): by name, extension and #! line; the original's 148 names with their aliases. */
#include "text.h"

#include "ops/languages.h"

#define NOTHING ((coco_str){ 0 })

static void expect_language(const char *path, const char *text, const char *want)
{
    const char *is = coco_detect_language(path, coco_str_of(text));

    if (!is != !want || (is && strcmp(is, want) != 0))
        fail_msg("%s: %s, should be %s", path ? path : text, is ? is : "unknown", want ? want : "unknown");
}

/* text.md: extensions, in any case, of a path; the last one decides, unless only a longer one is known. */
static void extensions_decide(void **state)
{
    (void)state;
    expect_language("main.py", NULL, "python");
    expect_language("/a.rs/b.d/x.RS", NULL, "rust");
    expect_language("header.h", NULL, "cpp");
    expect_language("config.h.in", NULL, "c");
    expect_language("state.tfstate.backup", NULL, "json");
    expect_language("a.JSON-TMLanguage", NULL, "json");
    expect_language("x.xyz", NULL, NULL);
    expect_language("noextension", NULL, NULL);
    expect_language("dir.py/noextension", NULL, NULL);
    expect_language("c:\\dir\\x.c", NULL, "c");
    expect_language("", NULL, NULL);
    expect_language(NULL, NULL, NULL);
}

/* The star of text.md: names such as Makefile and Dockerfile, also with an ending. */
static void names_of_files_decide(void **state)
{
    (void)state;
    expect_language("src/Makefile", NULL, "make");
    expect_language("Makefile.am", NULL, "make");
    expect_language("makefile.txt", NULL, NULL);
    expect_language("Dockerfile", NULL, "dockerfile");
    expect_language("Dockerfile.test", NULL, "dockerfile");
    expect_language("CMakeLists.txt", NULL, "cmake");
    expect_language("go.mod", NULL, "gomod");
    expect_language("go.sum", NULL, "gosum");
    expect_language("meson.build", NULL, "meson");
    expect_language("requirements.txt", NULL, "requirements");
    expect_language(".bashrc", NULL, "bash");
    expect_language(".gitignore", NULL, "gitignore");
    expect_language("Cargo.lock", NULL, "toml");
}

/* The star of text.md: a #! line, with env, its options, directories and versions; a known name comes first. */
static void first_line_decides_where_the_name_does_not(void **state)
{
    (void)state;
    expect_language("run", "#!/bin/sh\necho", "bash");
    expect_language("run", "#!/usr/bin/env python3.11\n", "python");
    expect_language("run", "#! /usr/bin/python2.7 -u", "python");
    expect_language("run", "#!/usr/bin/env -S node --experimental\r\n", "javascript");
    expect_language("run", "#!/usr/bin/env -i A=b -u C perl -w\n", "perl");
    expect_language("run", "#!/usr/bin/env -Sdeno run\n", "typescript");
    expect_language("run", "#!/opt/lua-5.4\n", "lua");
    expect_language(NULL, "#!/usr/bin/Rscript\n", "r");
    expect_language("run.rb", "#!/bin/sh\n", "ruby");
    expect_language("run", "#!/usr/bin/unheard-of\n", NULL);
    expect_language("run", "#!/usr/bin/env\n", NULL);
    expect_language("run", "#!\npython", NULL);
    expect_language("run", "#!", NULL);
    expect_language("run", " #!/bin/sh", NULL);
}

/* Names and aliases, in any case, give the name. */
static void aliases_have_one_name(void **state)
{
    (void)state;
    assert_string_equal(coco_language_name("C++"), "cpp");
    assert_string_equal(coco_language_name("golang"), "go");
    assert_string_equal(coco_language_name(".PY"), "python");
    assert_ptr_equal(coco_language_name("MD"), coco_language_name("markdown"));
    assert_null(coco_language_name("nothing of the kind"));
    assert_null(coco_language_name(""));
    assert_null(coco_language_name(NULL));
}

#define ROW(name, aliases, files, interpreters) { name, aliases, files, interpreters },
static const char *const rows[][4] = { COCO_LANGUAGES(ROW) };
#define ROWS (sizeof rows / sizeof rows[0])

/* text.md: at least the 148 names of the original. The names that have no extension of their own are listed in the
 * table like all others. */
static void at_least_the_original_names_are_known(void **state)
{
    static const char *const some[] = { "actionscript", "beancount", "capnp", "embeddedtemplate", "gosum", "hyprlang",
                                        "linkerscript", "ninja", "po", "re2c", "smithy", "tsx", "ungrammar", "zig" };

    (void)state;
    assert_true(ROWS >= 148);
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
        assert_string_equal(coco_language_name(some[i]), some[i]);
}

/* No word stands twice: every alias, name of a file and interpreter in the table leads to its own row. */
static void every_word_of_the_table_leads_to_its_row(void **state)
{
    char word[80], line[100];
    int n, used;

    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        for (size_t k = 0; k < 4; k++)
            for (const char *p = rows[i][k]; sscanf(p, "%79s%n", word, &n) == 1; p += n) {
                used = snprintf(line, sizeof line, "#!%s\n", word);
                assert_in_range(used, 1, sizeof line - 1);
                if (k < 2) assert_string_equal(coco_language_name(word), rows[i][0]);
                if (k == 2) expect_language(word, NULL, rows[i][0]);
                if (k == 3) expect_language(NULL, line, rows[i][0]);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEXT_TEST(extensions_decide),
        TEXT_TEST(names_of_files_decide),
        TEXT_TEST(first_line_decides_where_the_name_does_not),
        TEXT_TEST(aliases_have_one_name),
        TEXT_TEST(at_least_the_original_names_are_known),
        TEXT_TEST(every_word_of_the_table_leads_to_its_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
