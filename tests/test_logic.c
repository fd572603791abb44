/* test_logic.c - `cocoindex logic`: what changes a function's fingerprint, and what doesn't (S4.9). */
#include "cocoindex.h"
#include "tools/logic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define FP 33 /* 32 hex digits and NUL */

/* Makes a file of the text; its name is remove()d and freed by the caller. */
static char *file_of(const char *text)
{
    char *path = strdup("/tmp/coco-logic-XXXXXX");
    int fd = mkstemp(path);
    size_t n = strlen(text);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
    return path;
}

/* What the tool prints for a file of the text, and its status and message. Freed by the caller. */
static char *print_of(const char *text, int *status, char *message, size_t size)
{
    char *path = file_of(text), *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n), *err = tmpfile();

    *status = coco_logic_print(&path, 1, f, err);
    fclose(f);
    rewind(err);
    message[fread(message, 1, size - 1, err)] = '\0';
    fclose(err);
    remove(path);
    free(path);
    return out;
}

/* The fingerprint of ident in a file of the text; "" if it isn't there. */
static void fingerprint(const char *text, const char *ident, char fp[FP])
{
    char message[512], quoted[64], *out, *at;
    int status;

    out = print_of(text, &status, message, sizeof message);
    if (status != 0) print_error("%s", message);
    assert_int_equal(status, 0);
    snprintf(quoted, sizeof quoted, "\"%s\", \"", ident);
    at = strstr(out, quoted);
    fp[0] = '\0';
    if (at != NULL) snprintf(fp, FP, "%s", at + strlen(quoted));
    free(out);
}

/* Whether ident has one fingerprint in both texts. */
static bool same(const char *a, const char *b, const char *ident)
{
    char x[FP], y[FP];

    fingerprint(a, ident, x);
    fingerprint(b, ident, y);
    assert_string_not_equal(x, "");
    assert_string_not_equal(y, "");
    return strcmp(x, y) == 0;
}

/* Fails, and its message has the words. */
static void fails_with(const char *text, const char *words)
{
    char message[512];
    int status;

    free(print_of(text, &status, message, sizeof message));
    assert_int_equal(status, 2);
    if (strstr(message, words) == NULL) print_error("message: %s", message);
    assert_non_null(strstr(message, words));
}

/* Two tracked functions; f reaches first and second, g reaches second alone, neither reaches third. */
#define HELPERS "static int second(int a) { return a + 2; }\nstatic int first(int a) { return second(a) + 1; }\n"
#define THIRD "static int third(int a) { return a; }\n"
#define F "COCO_FN(f, (int, a), .memo = true) { return first(a); }\n"
#define G "COCO_FN(g, (int, a)) { return second(a); }\n"
#define BASE HELPERS THIRD F G

static void comments_and_layout_change_nothing(void **state)
{
    static const char SAME[] = "/* a */ static int\n\nsecond(int a){return a+2;} // b\n"
                               "static int first(int a) { /* { */ return second(a)   + 1; }\n" THIRD
                               "COCO_FN(\n  f, (int,\ta),\n  .memo = true\n)\n{ ret\\\nurn first(a); // }\n }\n" G;

    (void)state;
    assert_true(same(BASE, SAME, "f"));
    assert_true(same(BASE, SAME, "g"));
}

static void edited_body_changes_that_function_alone(void **state)
{
    static const char EDITED[] = HELPERS THIRD "COCO_FN(f, (int, a), .memo = true) { return first(a + 1); }\n" G;

    (void)state;
    assert_false(same(BASE, EDITED, "f"));
    assert_true(same(BASE, EDITED, "g"));
}

static void edited_helper_changes_exactly_the_functions_that_reach_it(void **state)
{
    static const char SECOND[] = "static int second(int a) { return a + 3; }\n"
                                 "static int first(int a) { return second(a) + 1; }\n" THIRD F G;
    static const char FIRST[] = "static int second(int a) { return a + 2; }\n"
                                "static int first(int a) { return second(a) + 9; }\n" THIRD F G;
    static const char UNUSED[] = HELPERS "static int third(int a) { return a + 1; }\n" F G;

    (void)state;
    assert_false(same(BASE, SECOND, "f"));
    assert_false(same(BASE, SECOND, "g"));
    assert_false(same(BASE, FIRST, "f"));
    assert_true(same(BASE, FIRST, "g"));
    assert_true(same(BASE, UNUSED, "f"));
    assert_true(same(BASE, UNUSED, "g"));
}

static void helpers_may_call_each_other(void **state)
{
#define RING(x) \
    "static int b(int);\nstatic int a(int n) { return n ? b(n - 1) : 0; }\n" \
    "static int b(int n) { return n ? a(n - " x ") : 1; }\nCOCO_FN(f, ()) { return a(1); }\n"

    (void)state;
    assert_true(same(RING("1"), RING("1"), "f"));
    assert_false(same(RING("1"), RING("2"), "f"));
}

static void helper_used_as_a_value_counts(void **state)
{
    (void)state;
    assert_false(same("static int less(int a) { return a; }\nCOCO_FN(f, ()) { return sort(&less); }",
                      "static int less(int a) { return -a; }\nCOCO_FN(f, ()) { return sort(&less); }", "f"));
}

static void moved_helper_and_function_change_nothing(void **state)
{
    static const char MOVED[] = G THIRD "static int first(int a) { return second(a) + 1; }\n"
                                F "static int second(int a) { return a + 2; }\n";

    (void)state;
    assert_true(same(BASE, MOVED, "f"));
    assert_true(same(BASE, MOVED, "g"));
}

static void version_is_left_out(void **state)
{
    (void)state;
    assert_true(same("COCO_FN(f, (int, a), .version = 1, .memo = true) { return 0; }",
                     "COCO_FN(f, (int, a), .memo = true, .version = MAX(2, 3)) { return 0; }", "f"));
    assert_true(same("COCO_FN(f, (int, a), .version = 1) { return 0; }", "COCO_FN(f, (int, a)) { return 0; }", "f"));
    assert_false(same("COCO_FN(f, ()) { x.version = 1; }", "COCO_FN(f, ()) { x.version = 2; }", "f"));
}

static void parameters_and_other_fields_count(void **state)
{
    (void)state;
    assert_false(same("COCO_FN(f, (int, a)) { return 0; }", "COCO_FN(f, (int64_t, a)) { return 0; }", "f"));
    assert_false(same("COCO_FN(f, ()) { return 0; }", "COCO_FN(f, (), .memo = true) { return 0; }", "f"));
}

static void constants_types_and_enumerations_of_the_file_count(void **state)
{
    (void)state;
    assert_false(same("static const char *P = \"one\";\nCOCO_FN(f, ()) { return ask(P); }",
                      "static const char *P = \"two\";\nCOCO_FN(f, ()) { return ask(P); }", "f"));
    assert_false(same("enum { SIZE = 5, N };\nCOCO_FN(f, ()) { return SIZE; }",
                      "enum { SIZE = 6, N };\nCOCO_FN(f, ()) { return SIZE; }", "f"));
    assert_false(same("typedef struct { int a; } t;\nCOCO_FN(f, ()) { t x; return 0; }",
                      "typedef struct { long a; } t;\nCOCO_FN(f, ()) { t x; return 0; }", "f"));
    assert_false(same("struct s { int a; };\nCOCO_FN(f, ()) { struct s x; return 0; }",
                      "struct s { long a; };\nCOCO_FN(f, ()) { struct s x; return 0; }", "f"));
    assert_true(same("static int other[] = { 1 };\nCOCO_FN(f, ()) { return 0; }",
                     "static int other[] = { 2 };\nCOCO_FN(f, ()) { return 0; }", "f"));
}

static void called_tracked_function_is_not_reached(void **state)
{
    (void)state; /* the engine follows it when it is called */
    assert_true(same("COCO_FN(g, ()) { return 1; }\nCOCO_FN(f, ()) { return coco_call(cx, &g); }",
                     "COCO_FN(g, ()) { return 2; }\nCOCO_FN(f, ()) { return coco_call(cx, &g); }", "f"));
}

static void function_registered_by_hand_is_found(void **state)
{
#define BY_HAND(body, version) \
    "static coco_status call_it(coco_ctx *cx, const coco_value *args) { " body " }\n" \
    "static coco_fn hand = { .name = \"hand\", .call = call_it, .version = " version " };\n"

    (void)state;
    assert_true(same(BY_HAND("return 0;", "0"), BY_HAND("return  0 ;", "7"), "hand"));
    assert_false(same(BY_HAND("return 0;", "0"), BY_HAND("return 1;", "0"), "hand"));
    assert_true(same(BASE "static coco_fn *p = &f;\n", BASE, "f"));
}

static void strings_and_characters_are_read_as_such(void **state)
{
#define ODD(x) \
    "static const char *s(void) { return \"} \\\" /* // {\"; }\n" \
    "static int c(void) { return '{' + '\\'' + '\"' + " x "; }\n" \
    "COCO_FN(f, ()) { s(); }\nCOCO_FN(g, ()) { c(); }\n"

    (void)state;
    assert_true(same(ODD("1"), ODD("2"), "f"));
    assert_false(same(ODD("1"), ODD("2"), "g"));
    assert_false(same("COCO_FN(f, ()) { return \"a  b\"; }", "COCO_FN(f, ()) { return \"a b\"; }", "f"));
    assert_false(same("COCO_FN(f, ()) { return a - -b; }", "COCO_FN(f, ()) { return a--b; }", "f"));
}

static void branches_of_a_conditional_may_open_one_brace(void **state)
{
#define BRANCHES(x) \
    "static int h(int a)\n{\n#ifdef X\n    if (a) {\n#else\n    if (" x ") {\n#endif\n        return 1;\n    }\n" \
    "    return 0;\n}\n#error don't\nCOCO_FN(f, ()) { return h(1); }\nCOCO_FN(g, ()) { return 2; }\n"

    (void)state;
    assert_true(same(BRANCHES("!a"), BRANCHES("! a"), "f"));
    assert_false(same(BRANCHES("!a"), BRANCHES("a"), "f"));
    assert_true(same(BRANCHES("!a"), BRANCHES("a"), "g"));
}

/* Of two backslashes the second is the splice, and the first would escape the end of the line. */
static void literal_that_is_open_in_a_directive_ends_with_its_line(void **state)
{
#define OPEN(x) "#error don't\\\\\n\nCOCO_FN(f, ()) { return " x "; }\n"

    (void)state;
    assert_true(same(OPEN("1"), OPEN(" 1 /* one */"), "f"));
    assert_false(same(OPEN("1"), OPEN("2"), "f"));
}

static void function_of_two_branches_is_one_entry(void **state)
{
    char message[512], *out;
    int status;

    (void)state;
    out = print_of("#ifdef X\nCOCO_FN(f, ()) { return 1; }\n#else\nCOCO_FN(f, ()) { return 2; }\n#endif\n", &status,
                   message, sizeof message);
    assert_int_equal(status, 0);
    assert_non_null(strstr(out, "_entries, 1, NULL"));
    free(out);
}

static void odd_declarators_are_understood(void **state)
{
#define ODD_HELPERS(x, use) \
    "static int (*pick(int a))(int) { return " x "; }\nstatic struct s *make(void) __attribute__((unused));\n" \
    "static struct s *make(void) { return " x "; }\nextern int far(void);\n" \
    "static int (*const table[])(int) = { " x " };\nCOCO_FN(f, ()) { " use "; }\n"

    (void)state;
    assert_false(same(ODD_HELPERS("0", "pick(1)"), ODD_HELPERS("1", "pick(1)"), "f"));
    assert_false(same(ODD_HELPERS("0", "make()"), ODD_HELPERS("1", "make()"), "f"));
    assert_false(same(ODD_HELPERS("0", "table[0]"), ODD_HELPERS("1", "table[0]"), "f"));
    assert_true(same(ODD_HELPERS("0", "far()"), ODD_HELPERS("1", "far()"), "f"));
}

static void errors_name_the_file_and_the_line(void **state)
{
    char *missing = strdup("/nonexistent/logic.c"), message[256];
    FILE *err = tmpfile(), *out = tmpfile();

    (void)state;
    fails_with("int a;\nstatic int f(void) {\n", ":2: `{` is never closed");
    fails_with("int a;\n}\n", ":2: `}` closes nothing");
    fails_with("int a;\n\nchar *s = \"x;\n", ":3: a string is never closed");
    fails_with("int a; /* b", ":1: a comment is never closed");
    fails_with("COCO_FN(f, ());", ":1: COCO_FN(f) has no body");
    assert_int_equal(coco_logic_print(&missing, 1, out, err), 2);
    rewind(err);
    message[fread(message, 1, sizeof message - 1, err)] = '\0';
    assert_non_null(strstr(message, "/nonexistent/logic.c: "));
    assert_int_equal(ftell(out), 0);
    fclose(err);
    fclose(out);
    free(missing);
}

static void several_files_have_guards_of_their_own(void **state)
{
    char *files[2] = { file_of(F HELPERS), file_of(G HELPERS) }, *out = NULL, *first;
    size_t n;
    FILE *f = open_memstream(&out, &n);

    (void)state;
    assert_int_equal(coco_logic_print(files, 2, f, stderr), 0);
    fclose(f);
    first = strstr(out, "#ifndef COCO_LOGIC_");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "#ifndef COCO_LOGIC_"));
    for (int i = 0; i < 2; i++) {
        assert_non_null(strstr(out, strrchr(files[i], '/') + 1));
        remove(files[i]);
        free(files[i]);
    }
    free(out);
}

static void file_without_tracked_functions_gives_an_empty_header(void **state)
{
    char message[64], *out;
    int status;

    (void)state;
    out = print_of("int x;\n", &status, message, sizeof message);
    assert_int_equal(status, 0);
    assert_null(strstr(out, "coco_logic_register"));
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comments_and_layout_change_nothing),
        cmocka_unit_test(edited_body_changes_that_function_alone),
        cmocka_unit_test(edited_helper_changes_exactly_the_functions_that_reach_it),
        cmocka_unit_test(helpers_may_call_each_other),
        cmocka_unit_test(helper_used_as_a_value_counts),
        cmocka_unit_test(moved_helper_and_function_change_nothing),
        cmocka_unit_test(version_is_left_out),
        cmocka_unit_test(parameters_and_other_fields_count),
        cmocka_unit_test(constants_types_and_enumerations_of_the_file_count),
        cmocka_unit_test(called_tracked_function_is_not_reached),
        cmocka_unit_test(function_registered_by_hand_is_found),
        cmocka_unit_test(strings_and_characters_are_read_as_such),
        cmocka_unit_test(branches_of_a_conditional_may_open_one_brace),
        cmocka_unit_test(literal_that_is_open_in_a_directive_ends_with_its_line),
        cmocka_unit_test(function_of_two_branches_is_one_entry),
        cmocka_unit_test(odd_declarators_are_understood),
        cmocka_unit_test(errors_name_the_file_and_the_line),
        cmocka_unit_test(several_files_have_guards_of_their_own),
        cmocka_unit_test(file_without_tracked_functions_gives_an_empty_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
