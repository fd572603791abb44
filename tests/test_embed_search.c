/* test_embed_search.c - docs_search with a server for embeddings: each passage is embedded once, another model
 * embeds anew, and the key stands nowhere. Runs the program that was built ($BUILD/docs_search) against a server
 * of its own. */
#define _XOPEN_SOURCE 700 /* realpath, mkdtemp, popen */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* the four above must stand before cmocka */
#include <cmocka.h>

#include "embed_server.h"

static embed_server server;
static char dir[] = "/tmp/coco-search-XXXXXX", program[400];

static int run(const char *words)
{
    char line[2000];

    snprintf(line, sizeof line, "cd %s && SECRET=sesame %s %s >out 2>err", dir, program, words);
    return system(line);
}

static int update(const char *model, const char *more)
{
    char words[600];

    snprintf(words, sizeof words,
             "update -q --source docs --index i.sqlite --db db --embed %s --model %s --key-env SECRET %s", server.url, model,
             more);
    server.texts = server.requests = 0;
    return run(words);
}

static void write_file(const char *name, const char *text)
{
    char path[100];
    FILE *f;

    snprintf(path, sizeof path, "%s/docs/%s", dir, name);
    assert_non_null(f = fopen(path, "w"));
    fputs(text, f);
    fclose(f);
}

/* The first line that docs_search said. */
static void said(const char *where, char *line, int size)
{
    char path[200];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, where);
    assert_non_null(f = fopen(path, "r"));
    if (!fgets(line, size, f)) *line = 0;
    fclose(f);
}

/* The number that sqlite3 prints. */
static long sql(const char *query)
{
    char line[1000], answer[100] = "";
    FILE *p;

    snprintf(line, sizeof line, "sqlite3 %s/i.sqlite \"%s\"", dir, query);
    assert_non_null(p = popen(line, "r"));
    if (!fgets(answer, sizeof answer, p)) answer[0] = 0;
    pclose(p);
    return strtol(answer, NULL, 10);
}

/* Issue: every text embedded exactly once; of a changed file only what is new. */
static void only_new_passages_are_embedded(void **state)
{
    (void)state;
    write_file("a.md", "# One\n\nFirst.\n\n# Two\n\nSecond.\n");
    write_file("b.md", "# Three\n\nThird.\n");
    assert_int_equal(update("m1", ""), 0);
    assert_int_equal(server.texts, 3 + 1); /* and one text to find the dimensions */
    assert_int_equal(sql("SELECT count(*) FROM passages WHERE length(embedding) = 8 * 4"), 3);
    assert_int_equal(update("m1", ""), 0);
    assert_int_equal(server.texts, 1);
    write_file("a.md", "# Zero\n\nBefore.\n\n# One\n\nFirst.\n\n# Two\n\nSecond.\n");
    assert_int_equal(update("m1", ""), 0);
    assert_int_equal(server.texts, 1 + 1);
    assert_int_equal(server.requests, 2);
}

/* Another model or size embeds all anew and rebuilds the column, by a plain update. */
static void another_model_embeds_anew(void **state)
{
    (void)state;
    assert_int_equal(update("m2", ""), 0);
    assert_int_equal(server.texts, 4 + 1);
    server.dimensions = 16;
    assert_int_equal(update("m2", ""), 0);
    assert_int_equal(server.texts, 4 + 1);
    assert_int_equal(sql("SELECT count(*) FROM passages WHERE length(embedding) = 16 * 4"), 4);
}

/* Both ranks are printed. */
static void search_joins_words_and_vectors(void **state)
{
    char words[300], line[200];

    (void)state;
    snprintf(words, sizeof words, "search second --index i.sqlite --db db --embed %s --model m2 --key-env SECRET",
             server.url);
    assert_int_equal(run(words), 0);
    said("err", line, sizeof line);
    assert_string_equal(line, "");
    said("out", line, sizeof line);
    assert_non_null(strstr(line, "a.md:9  Two  (words 1, vector "));
}

/* Vectors of two models can't be compared, even if they are as long. */
static void search_by_another_model_is_by_words_and_says_so(void **state)
{
    char words[300], line[400], says[400];

    (void)state;
    for (int i = 0; i < 2; i++) { /* the built-in features; a model of the same size */
        snprintf(words, sizeof words, "search second --index i.sqlite --db db --model m1 --embed %s",
                 i ? server.url : "''");
        assert_int_equal(run(words), 0);
        said("out", line, sizeof line);
        assert_non_null(strstr(line, "a.md:9  Two  (words 1)"));
        said("err", line, sizeof line);
        snprintf(says, sizeof says, "docs_search: the index has vectors by m2 (16 dimensions), not by %s dimensions): "
                 "searching by words alone\n", i ? "m1 (16" : "features-1 (256");
        assert_string_equal(line, says);
    }
}

/* C0.5 */
static void key_stands_nowhere(void **state)
{
    char line[300];

    (void)state;
    server.key = "other"; /* the server refuses, and repeats the key */
    assert_int_not_equal(update("m3", ""), 0);
    server.key = NULL;
    snprintf(line, sizeof line, "grep -rq sesame %s", dir);
    assert_int_not_equal(system(line), 0);
}

static int begin(void **state)
{
    const char *build = getenv("BUILD");
    char docs[100];

    (void)state;
    if (!mkdtemp(dir)) return -1;
    snprintf(docs, sizeof docs, "mkdir %s/docs", dir);
    server.dimensions = 8;
    if (!realpath(build ? build : "build", program) || system(docs) != 0) return -1;
    snprintf(program + strlen(program), 40, "/docs_search");
    return embed_server_start(&server) ? 0 : -1;
}

static int end(void **state)
{
    char line[100];

    (void)state;
    embed_server_stop(&server);
    snprintf(line, sizeof line, "rm -rf %s", dir);
    return system(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_new_passages_are_embedded),
        cmocka_unit_test(another_model_embeds_anew),
        cmocka_unit_test(search_joins_words_and_vectors),
        cmocka_unit_test(search_by_another_model_is_by_words_and_says_so),
        cmocka_unit_test(key_stands_nowhere),
    };
    char path[400];
    const char *build = getenv("BUILD");

    snprintf(path, sizeof path, "%s/docs_search", build ? build : "build");
    if (access(path, X_OK) != 0) {
        puts("skipped: docs_search not built here");
        return 0;
    }
    return cmocka_run_group_tests(tests, begin, end);
}
