/* test_components.c - the model, keys and paths, mounting and running (S1, S2 and S3), and wrong use of the API.
 *
 * The program of a test is a plain function, `plan`, that runs as the body of main; `list` says what its source
 * holds. */
#include "harness.h"

#include <sys/wait.h>

static coco_status (*plan)(coco_ctx *cx);
static const char *list; /* for items() */
static bool ordered, broken;
static int schema = 1;

COCO_FN(app_main, ()) { return plan(cx); }

/* Declares one row: [key, value]. */
COCO_FN(row, (coco_value, kv, coco_target *, tab), .memo = true)
{
    return coco_declare(cx, tab, coco_at(kv, 0), coco_at(kv, 1));
}

/* The same, failing for a value over 99. */
COCO_FN(picky, (coco_value, kv, coco_target *, tab), .memo = true)
{
    if (coco_int_of(coco_at(kv, 1)) > 99) return coco_fail(cx, COCO_EFAIL, "over 99");
    return coco_declare(cx, tab, coco_at(kv, 0), coco_at(kv, 1));
}

COCO_FN(twice, (int64_t, i)) { return coco_return(cx, coco_int(2 * i)); }
COCO_FN(fails, ()) { return coco_fail(cx, COCO_EFAIL, "as asked"); }

static coco_status tab_of(coco_ctx *cx, coco_target **tab)
{
    return mount_tab(cx, "tab", MAP1("schema", coco_int(schema)), tab);
}

static coco_value pair(coco_ctx *cx, int64_t k, int64_t v)
{
    return coco_copy_value(cx, coco_list((coco_value[]){ coco_int(k), coco_int(v) }, 2));
}

/* A row for each item of the list. */
static coco_status rows(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &row, items(cx, list, ordered), COCO_ARGS(coco_target_value(tab)));
}

static void start(coco_status (*body)(coco_ctx *cx), const char *text)
{
    plan = body;
    list = text;
    ordered = broken = false;
    schema = 1;
    program(&app_main);
}

/* ---- S1: the model ----------------------------------------------------------------------------------------------- */

/* S1.1 */
static void smallest_set_of_actions_is_applied(void **state)
{
    (void)state;
    start(rows, "1=10 2=20 3=30");
    update(NULL);
    expect_actions("+ shelf:\"tab\"", "+ tab:1", "+ tab:2", "+ tab:3");
    list = "1=10 2=21 4=40";
    update(NULL);
    expect_actions("~ tab:2", "+ tab:4", "- tab:3");
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:1 = 10", "tab:2 = 21", "tab:4 = 40");
}

/* S1.1 */
static void update_in_which_nothing_changed_writes_nothing(void **state)
{
    (void)state;
    start(rows, "1=10 2=20");
    update(NULL);
    expect_nothing_written();
    restart();
    expect_nothing_written();
    expect_hits("/@row/1", "/@row/2");
}

static coco_status seven(coco_ctx *cx) { return coco_return(cx, coco_int(7)); }

/* S1.2 */
static void update_gives_back_the_value_of_main(void **state)
{
    (void)state;
    start(seven, NULL);
    update(NULL);
    assert_int_equal(coco_int_of(w.result.value), 7);
}

COCO_FN(remembered_main, (), .memo = true) { return coco_return(cx, coco_text("seven")); }

/* S1.2; also where the root isn't run */
static void unchanged_main_gives_back_its_stored_value(void **state)
{
    (void)state;
    program(&remembered_main);
    update(NULL);
    restart();
    update(NULL);
    expect_hits("/");
    assert_string_equal(coco_text_of(w.result.value).p, "seven");
}

/* S1.2 */
static void apps_of_one_environment_keep_their_state_apart(void **state)
{
    coco_app_config other_config = { .name = "other", .main = &app_main };
    coco_app *other;

    (void)state;
    start(rows, "1=10");
    update(NULL);
    assert_int_equal(coco_app_open(w.env, &other_config, &other, &w.err), COCO_OK);
    lines_clear(&w.actions);
    assert_int_equal(coco_update(other, NULL, NULL, &w.err), COCO_OK);
    LINES_EXPECT(&w.actions, "+ shelf:\"tab\"", "+ tab:1");
    expect_nothing_written();
    assert_int_equal(coco_drop(other, NULL, &w.err), COCO_OK);
    coco_app_close(other);
    update(NULL); /* the shelf is one: what the other took away is made again (S7.13) */
    expect_actions("+ shelf:\"tab\"", "+ tab:1");
}

/* S1.3 */
static void refused_state_fails_its_component_alone(void **state)
{
    (void)state;
    start(rows, "1=10 2=20 3=30");
    fault_on("tab:2", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/@row/2 COCO_EIO tab:2: refused");
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:1 = 10", "tab:3 = 30");
    faults_clear();
    update(NULL);
    expect_hits("/@row/1", "/@row/3");
    expect_actions("~ tab:2"); /* it may be there by now */
}

static coco_status two_kinds(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("a")), &row, COCO_ARGS(pair(cx, 1, 10), coco_target_value(tab)), NULL));
    return coco_mount(cx, COCO_PATH(coco_text("b")), &picky, COCO_ARGS(pair(cx, 2, 20), coco_target_value(tab)), NULL);
}

static coco_status two_kinds_swapped(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("a")), &picky, COCO_ARGS(pair(cx, 1, 10), coco_target_value(tab)),
                        NULL));
    return coco_mount(cx, COCO_PATH(coco_text("b")), &row, COCO_ARGS(pair(cx, 2, 20), coco_target_value(tab)), NULL);
}

/* S1.3 */
static void path_names_the_same_component_whatever_function_runs_there(void **state)
{
    (void)state;
    start(two_kinds, NULL);
    update(NULL);
    plan = two_kinds_swapped;
    update(NULL);
    expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/\"a\" another function before",
               "/\"b\" another function before");
    expect_actions(NULL);
    plan = two_kinds_swapped;
    expect_nothing_written();
}

static int setups, teardowns, closed_at[2], nclosed;
static coco_key FIRST = COCO_KEY("first"), SECOND = COCO_KEY("second", .detect_change = true);
static bool setup_fails;

static void close_noted(void *object) { closed_at[nclosed++] = *(int *)object; }

static const coco_class number_class = { .type = "int" };

static coco_status set_up(coco_ctx *cx, void *user)
{
    static int one = 1, two = 2;

    (void)user;
    setups++;
    COCO_TRY(coco_provide_close(cx, &FIRST, coco_object(&number_class, &one), close_noted));
    COCO_TRY(coco_provide_close(cx, &SECOND, coco_object(&number_class, &two), close_noted));
    return setup_fails ? coco_fail(cx, COCO_EIO, "no connection") : COCO_OK;
}

static void tear_down(void *user)
{
    (void)user;
    teardowns++;
}

static void start_with_setup(void)
{
    start(seven, NULL);
    SECOND.detect_change = false;
    setups = teardowns = nclosed = 0;
    setup_fails = false;
    w.env_config.setup = set_up;
    w.env_config.teardown = tear_down;
}

/* S1.7 */
static void setup_runs_once_before_the_first_update(void **state)
{
    (void)state;
    start_with_setup();
    open_world();
    assert_int_equal(setups, 0);
    update(NULL);
    update(NULL);
    assert_int_equal(setups, 1);
    assert_int_equal(teardowns, 0);
    restart();
    assert_int_equal(teardowns, 1);
    assert_int_equal(closed_at[0], 2); /* in reverse order */
    assert_int_equal(closed_at[1], 1);
}

/* S1.7 */
static void what_a_failed_setup_had_provided_is_closed(void **state)
{
    (void)state;
    start_with_setup();
    setup_fails = true;
    update_fails(COCO_EIO, NULL);
    assert_non_null(strstr(w.err.msg, "no connection"));
    assert_int_equal(nclosed, 2);
    assert_int_equal(teardowns, 1);
    setup_fails = false;
    nclosed = 0;
    update(NULL);
    restart();
    assert_int_equal(nclosed, 2);
    assert_int_equal(teardowns, 2);
}

/* S1.7 */
static void context_is_read_outside_components(void **state)
{
    (void)state;
    start_with_setup();
    open_world();
    assert_int_equal(coco_env_context(w.env, &FIRST).kind, COCO_NULL);
    assert_int_equal(coco_env_setup(w.env, &w.err), COCO_OK);
    assert_int_equal(*(int *)coco_object_of(coco_env_context(w.env, &FIRST), &number_class), 1);
    assert_int_equal(*(int *)coco_object_of(coco_app_context(w.app, &SECOND), &number_class), 2);
}

static const coco_param_def params[] = { { "color", "red", "what color" }, { "size", "1", "how large" }, { 0 } };

COCO_FN(colored, (coco_target *, tab), .memo = true)
{
    return coco_declare(cx, tab, coco_int(1), coco_param(cx, "color"));
}
COCO_FN(sized, (coco_target *, tab), .memo = true)
{
    return coco_declare(cx, tab, coco_int(2), coco_param(cx, "size"));
}
COCO_FN(shaped, (), .memo = true) { return coco_return(cx, coco_param(cx, "shape")); }

static coco_status by_params(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &colored, COCO_ARGS(coco_target_value(tab)), NULL));
    return coco_mount(cx, COCO_AUTO, &sized, COCO_ARGS(coco_target_value(tab)), NULL);
}

/* S1.8 */
static void parameter_is_a_dependency_of_those_that_read_it(void **state)
{
    (void)state;
    start(by_params, NULL);
    w.config.params = params;
    update(NULL);
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:1 = \"red\"", "tab:2 = \"1\"");
    assert_int_equal(coco_app_set_param(w.app, "color", "blue", &w.err), COCO_OK);
    update(NULL);
    expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/@colored parameter changed (parameter color)");
    expect_actions("~ tab:1");
}

static coco_status by_shape(coco_ctx *cx) { return coco_use_mount(cx, COCO_AUTO, &shaped, COCO_NOARGS, NULL); }

/* S1.8 */
static void unknown_parameter_is_an_error(void **state)
{
    (void)state;
    start(by_shape, NULL);
    w.config.params = params;
    update_fails(COCO_ENOTFOUND, NULL);
    assert_non_null(strstr(w.err.msg, "shape"));
    assert_int_equal(coco_app_set_param(w.app, "shape", "round", &w.err), COCO_ENOTFOUND);
}

COCO_FN(secretive, (), .memo = true)
{
    return coco_return(cx, coco_bool(coco_param(cx, "color").kind == COCO_TEXT_KIND));
}
static coco_status by_secret(coco_ctx *cx) { return coco_mount(cx, COCO_AUTO, &secretive, COCO_NOARGS, NULL); }

static bool holds(const char *bytes, size_t n, const char *word)
{
    for (size_t i = 0, len = strlen(word); i + len <= n; i++)
        if (memcmp(bytes + i, word, len) == 0) return true;
    return false;
}

/* S1.8 */
static void value_of_a_parameter_is_never_stored(void **state)
{
    static char bytes[1 << 20];
    char path[100];
    FILE *f;
    size_t n;

    (void)state;
    start(by_secret, NULL);
    w.config.params = params;
    open_world();
    assert_int_equal(coco_app_set_param(w.app, "color", "s3cr3t-ultramarine", &w.err), COCO_OK);
    update(NULL);
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_non_null(f = fopen(path, "rb"));
    n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_true(holds(bytes, n, "color"));
    assert_false(holds(bytes, n, "s3cr3t"));
}

/* ---- S2: stable keys and paths ----------------------------------------------------------------------------------- */

static coco_status all_keys(coco_ctx *cx)
{
    static const uint8_t uuid[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
    coco_value inner[] = { coco_text("x"), coco_int(-1) };
    coco_value keys[] = { coco_null(), coco_symbol("a"), coco_bool(true), coco_int(5), coco_text("a"),
                          coco_bytes("a", 1),
                          coco_uuid(uuid), coco_list(inner, 2) };
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        coco_value kv[] = { i == 1 ? coco_text("sym") : keys[i], coco_int((int64_t)i) };
        COCO_TRY(coco_mount(cx, COCO_PATH(keys[i]), &row, COCO_ARGS(coco_list(kv, 2), coco_target_value(tab)), NULL));
    }
    return COCO_OK;
}

/* S2.1, S2.2 */
static void every_kind_of_key_names_a_component_of_its_own(void **state)
{
    (void)state;
    start(all_keys, NULL);
    update(NULL);
    expect_ran("/", "/@shelf/\"tab\"", "/null", "/@a", "/true", "/5", "/\"a\"", "/b\"61\"",
               "/01020304-0506-0708-090a-0b0c0d0e0f10", "/[\"x\",-1]");
    expect_nothing_written();
    expect_hits("/null", "/@a", "/true", "/5", "/\"a\"", "/b\"61\"", "/01020304-0506-0708-090a-0b0c0d0e0f10",
                "/[\"x\",-1]");
}

static const char *const awkward = "a/b \"c\" \\ \n\xc3\xa9";

static coco_status awkward_path(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount(cx, COCO_PATH(coco_text("x"), coco_text(awkward)), &row,
                      COCO_ARGS(pair(cx, 1, list[0]), coco_target_value(tab)), NULL);
}

/* S2.2 */
static void printed_path_is_accepted_back(void **state)
{
    char path[200];

    (void)state;
    start(awkward_path, "1");
    update(NULL);
    snprintf(path, sizeof path, "%s", strchr(w.events.v[0], '/'));
    for (size_t i = 0; i < w.events.n; i++)
        if (strncmp(w.events.v[i], "committed /\"x\"", 14) == 0)
            snprintf(path, sizeof path, "%s", strchr(w.events.v[i], '/'));
    assert_non_null(strstr(path, "a/b"));
    list = "2";
    update(OPTS(.only = path));
    expect_actions("~ tab:1");
}

static coco_status bad_path(coco_ctx *cx)
{
    return coco_mount(cx, COCO_PATH(coco_float(1.5)), &twice, COCO_ARGS(coco_int(1)), NULL);
}

/* S2.1 */
static void float_is_no_path_element(void **state)
{
    (void)state;
    start(bad_path, NULL);
    update_fails(COCO_ETYPE, NULL);
}

static coco_status default_paths(coco_ctx *cx)
{
    COCO_TRY(coco_mount(cx, COCO_AUTO, &twice, COCO_ARGS(coco_int(1)), NULL));
    COCO_TRY(coco_scope_begin(cx, coco_text("in")));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &twice, COCO_ARGS(coco_int(1)), NULL));
    COCO_TRY(coco_scope_begin(cx, coco_int(2)));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("x"), coco_text("y")), &twice, COCO_ARGS(coco_int(1)), NULL));
    coco_scope_end(cx);
    coco_scope_end(cx);
    return rows(cx);
}

/* S2.3 */
static void path_is_by_default_the_name_of_the_function(void **state)
{
    (void)state;
    start(default_paths, "7=1");
    update(NULL);
    expect_ran("/", "/@twice", "/\"in\"/@twice", "/\"in\"/2/\"x\"/\"y\"", "/@shelf/\"tab\"", "/@row/7");
}

static coco_status second_mount_rc, second_declare_rc;

static coco_status mounts_twice(coco_ctx *cx)
{
    COCO_TRY(coco_mount(cx, COCO_AUTO, &twice, COCO_ARGS(coco_int(1)), NULL));
    second_mount_rc = coco_mount(cx, COCO_AUTO, &twice, COCO_ARGS(coco_int(2)), NULL);
    return COCO_OK;
}

/* S2.4 */
static void second_mount_at_a_path_is_an_error(void **state)
{
    (void)state;
    start(mounts_twice, NULL);
    update(NULL);
    assert_int_equal(second_mount_rc, COCO_EDUP);
    expect_ran("/", "/@twice");
}

static coco_status declares_twice(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    COCO_TRY(coco_declare(cx, tab, coco_int(1), coco_int(10)));
    second_declare_rc = coco_declare(cx, tab, coco_int(1), coco_int(10));
    return second_declare_rc;
}

static coco_status declares_once(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_declare(cx, tab, coco_int(1), coco_int(10));
}

/* S2.4; also in the second run, where both find it recorded */
static void second_declaration_of_a_state_is_an_error(void **state)
{
    (void)state;
    start(declares_twice, NULL);
    update_fails(COCO_EDUP, NULL);
    assert_non_null(strstr(w.err.msg, "tab:1"));
    plan = declares_once;
    update(NULL);
    plan = declares_twice;
    update_fails(COCO_EDUP, NULL);
    assert_int_equal(second_declare_rc, COCO_EDUP);
    assert_non_null(strstr(w.err.msg, "tab:1"));
    plan = declares_once;
    update(NULL);
    expect_actions(NULL);
}

static int nlong; /* keys of 3,000 bytes that differ in the last one, also in the container's name */

static coco_status long_keys(coco_ctx *cx)
{
    static char text[3001];
    coco_target *tab;

    memset(text, 'x', 3000);
    COCO_TRY(tab_of(cx, &tab));
    for (int i = 0; i < nlong; i++) {
        text[2999] = (char)('a' + i);
        coco_value kv[] = { coco_text(text), coco_int(i) };
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_text(text), coco_text(text)), &row,
                            COCO_ARGS(coco_copy_value(cx, coco_list(kv, 2)), coco_target_value(tab)), NULL));
    }
    return COCO_OK;
}

/* S2.5 */
static void keys_have_no_length_limit(void **state)
{
    (void)state;
    start(long_keys, NULL);
    nlong = 5;
    update(NULL);
    assert_int_equal(w.result.inserts, 6);
    expect_nothing_written();
    nlong = 2;
    update(NULL);
    assert_int_equal(w.result.deletes, 3);
    nlong = 5;
    update(NULL);
    assert_int_equal(w.result.inserts, 3);
}

static int64_t nested_to;

COCO_FN(nest, (int64_t, depth, coco_target *, tab))
{
    COCO_TRY(coco_declare(cx, tab, coco_int(depth), coco_int(0)));
    if (depth == nested_to) return COCO_OK;
    return coco_mount(cx, COCO_PATH(coco_text("a longer element"), coco_int(depth)), &nest,
                      COCO_ARGS(coco_int(depth + 1), coco_target_value(tab)), NULL);
}

static coco_status nested(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount(cx, COCO_AUTO, &nest, COCO_ARGS(coco_int(0), coco_target_value(tab)), NULL);
}

/* S2.5 */
static void components_nest_deep(void **state)
{
    (void)state;
    start(nested, NULL);
    nested_to = 60;
    update(NULL);
    assert_int_equal(w.result.inserts, 62);
    nested_to = 10;
    update(NULL);
    assert_int_equal(w.result.deletes, 50);
    update(NULL);
    expect_actions(NULL);
}

static int stage;

/* 0: /"a" and /"a"/"b"; 1: only below; 2: only above; 3: nothing. */
static coco_status staged(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    coco_args a = COCO_ARGS(pair(cx, 1, 10), coco_target_value(tab)),
        b = COCO_ARGS(pair(cx, 2, 20), coco_target_value(tab));
    if (stage == 0 || stage == 2) COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("a")), &row, a, NULL));
    if (stage == 1) COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("a"), coco_text("b")), &row, b, NULL));
    return COCO_OK;
}

static int visited;
static coco_status count_component(void *user, const coco_component_info *info)
{
    (void)user, (void)info;
    visited++;
    return COCO_OK;
}

/* Components and inner nodes that are recorded. */
static int recorded(void)
{
    coco_inspect_visitor v = { .component = count_component };

    visited = 0;
    assert_int_equal(coco_inspect(w.env, "test", NULL, 0, &v, &w.err), COCO_OK);
    return visited;
}

/* S2.6 */
static void inner_node_goes_with_its_last_child(void **state)
{
    (void)state;
    start(staged, NULL);
    stage = 1;
    update(NULL);
    assert_int_equal(recorded(), 5); /* root, @shelf, tab, "a", "b" */
    stage = 3;
    update(NULL);
    expect_actions("- tab:2");
    assert_int_equal(recorded(), 3);
}

/* S2.6 */
static void path_turns_from_component_to_inner_node_and_back(void **state)
{
    (void)state;
    start(staged, NULL);
    stage = 2;
    update(NULL);
    expect_actions("+ shelf:\"tab\"", "+ tab:1");
    stage = 1;
    update(NULL);
    expect_actions("+ tab:2", "- tab:1");
    update(NULL);
    expect_actions(NULL);
    stage = 2;
    update(NULL);
    expect_actions("+ tab:1", "- tab:2");
    update(NULL);
    expect_actions(NULL);
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:1 = 10");
}

COCO_FN(parent, (int64_t, kids, coco_target *, tab))
{
    for (int64_t i = 0; i < kids; i++) {
        coco_value kv[] = { coco_int(i), coco_int(i) };
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("kid"), coco_int(i)), &row,
                            COCO_ARGS(coco_list(kv, 2), coco_target_value(tab)), NULL));
    }
    return COCO_OK;
}

/* Kids of /"p", mounted by the component "p" (0) or by the root through the inner node (1). */
static coco_status adopted(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    if (stage == 0)
        return coco_mount(cx, COCO_PATH(coco_text("p")), &parent, COCO_ARGS(coco_int(2), coco_target_value(tab)), NULL);
    COCO_TRY(coco_scope_begin(cx, coco_text("p")));
    for (int64_t i = 0; i < 2; i++) {
        coco_value kv[] = { coco_int(i), coco_int(i) };
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("kid"), coco_int(i)), &row,
                            COCO_ARGS(coco_list(kv, 2), coco_target_value(tab)), NULL));
    }
    return COCO_OK;
}

/* S2.6 */
static void what_is_mounted_below_stays_when_a_component_becomes_an_inner_node(void **state)
{
    (void)state;
    start(adopted, NULL);
    stage = 0;
    update(NULL);
    stage = 1;
    update(NULL);
    expect_actions(NULL);
    expect_hits("/\"p\"/\"kid\"/0", "/\"p\"/\"kid\"/1");
    stage = 0;
    update(NULL);
    expect_actions(NULL);
    expect_hits("/\"p\"/\"kid\"/0", "/\"p\"/\"kid\"/1");
}

static const char *title_of_second;

static coco_status two_of_one_name(coco_ctx *cx)
{
    coco_target *a, *b;

    COCO_TRY(coco_mount_target(cx, root(cx), coco_text("tab"), coco_int(1), NULL, &a));
    return coco_mount_target(cx, crate(cx), coco_text("tab"), coco_int(1),
                             &(coco_container_opts){ .title = title_of_second }, &b);
}

/* S2.7 */
static void equal_titles_are_an_error_unless_told_apart(void **state)
{
    (void)state;
    start(two_of_one_name, NULL);
    title_of_second = NULL;
    update_fails(COCO_EDUP, NULL);
    assert_non_null(strstr(w.err.msg, "\"tab\""));
    assert_non_null(strstr(w.err.msg, "shelf:"));
    assert_non_null(strstr(w.err.msg, "crate:"));
    title_of_second = "second";
    update(NULL);
}

/* ---- S3: mounting and running ------------------------------------------------------------------------------------ */

static coco_status handle_rc[2], ready_rc;
static bool ready_before;

COCO_FN(with_child, (int64_t, v, coco_target *, tab)) /* declares nothing; its child does */
{
    return coco_mount(cx, COCO_AUTO, &picky, COCO_ARGS(pair(cx, 5, v), coco_target_value(tab)), NULL);
}

static coco_status mounts_two(coco_ctx *cx)
{
    coco_target *tab;
    coco_handle *good, *bad;

    COCO_TRY(tab_of(cx, &tab));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(1)), &picky, COCO_ARGS(pair(cx, 1, 10), coco_target_value(tab)), &good));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(2)), &picky, COCO_ARGS(pair(cx, 2, 100), coco_target_value(tab)), &bad));
    ready_rc = coco_ready(cx, good);
    COCO_TRY(ready_rc);
    ready_before = shelf_find("tab:1") != NULL;
    ready_rc = coco_ready(cx, bad);
    handle_rc[0] = coco_handle_status(good);
    handle_rc[1] = coco_handle_status(bad);
    return COCO_OK;
}

/* S3.1 */
static void failure_of_a_mounted_child_is_told_by_its_handle(void **state)
{
    (void)state;
    start(mounts_two, NULL);
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(ready_rc, COCO_OK);
    assert_int_equal(handle_rc[0], COCO_OK);
    assert_int_equal(handle_rc[1], COCO_EFAIL);
    expect_failures("/2 COCO_EFAIL over 99");
    assert_int_equal(w.result.nfailed, 1);
}

static coco_status readies_tree(coco_ctx *cx)
{
    coco_target *tab;
    coco_handle *h;

    COCO_TRY(tab_of(cx, &tab));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &with_child, COCO_ARGS(coco_int(50), coco_target_value(tab)), &h));
    COCO_TRY(coco_ready(cx, h));
    ready_before = shelf_find("tab:5") != NULL;
    return COCO_OK;
}

/* S3.1 */
static void ready_waits_for_everything_below(void **state)
{
    (void)state;
    start(readies_tree, NULL);
    ready_before = false;
    update(NULL);
    assert_true(ready_before);
}

static coco_status uses(coco_ctx *cx)
{
    coco_value v;

    COCO_TRY(coco_use_mount(cx, COCO_AUTO, &twice, COCO_ARGS(coco_int(21)), &v));
    COCO_TRY(coco_return(cx, v));
    return broken ? coco_use_mount(cx, COCO_AUTO, &fails, COCO_NOARGS, NULL) : COCO_OK;
}

/* S3.2 */
static void use_mount_gives_the_value_and_the_failure(void **state)
{
    (void)state;
    start(uses, NULL);
    update(NULL);
    assert_int_equal(coco_int_of(w.result.value), 42);
    broken = true;
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/ COCO_EFAIL as asked"); /* once: by the caller */
    assert_int_equal(w.result.nfailed, 1);
}

static coco_status uses_row(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    ready_before = shelf_find("shelf:\"tab\"") != NULL;
    COCO_TRY(coco_use_mount(cx, COCO_AUTO, &row, COCO_ARGS(pair(cx, 1, 10), coco_target_value(tab)), NULL));
    ready_before = ready_before && shelf_find("tab:1") != NULL;
    return COCO_OK;
}

/* S3.2, S3.4 */
static void use_mount_returns_after_the_states_are_applied(void **state)
{
    (void)state;
    start(uses_row, NULL);
    update(NULL);
    assert_true(ready_before);
}

static coco_status uses_refused(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_use_mount(cx, COCO_AUTO, &row, COCO_ARGS(pair(cx, 1, 10), coco_target_value(tab)), NULL);
}

/* S3.2 */
static void refused_state_of_a_used_child_fails_the_caller(void **state)
{
    (void)state;
    start(uses_refused, NULL);
    fault_on("tab:1", 99, false);
    update_fails(COCO_EIO, NULL);
    assert_non_null(strstr(w.err.msg, "tab:1"));
    faults_clear();
    update(NULL);
    expect_actions("~ tab:1");
}

/* S3.3 */
static void each_item_is_a_component_of_its_own(void **state)
{
    (void)state;
    start(rows, "b=1 a=2");
    update(NULL);
    expect_ran("/", "/@shelf/\"tab\"", "/@row/\"b\"", "/@row/\"a\"");
    list = "a=2 b=3";
    update(NULL);
    expect_ran("/", "/@shelf/\"tab\"", "/@row/\"b\"");
    expect_hits("/@row/\"a\"");
    expect_actions("~ tab:\"b\"");
}

COCO_FN(listed, (coco_value, item))
{
    (void)item;
    return 0;
}

static bool looks_at_source;

/* A maker of another author's: it can't return a status. */
static coco_source *broken_source(coco_ctx *cx)
{
    if (!broken) return items(cx, list, false);
    coco_keep_error(cx, coco_fail(cx, COCO_EIO, "no such catalogue"));
    return NULL;
}

static coco_status maker_fails(coco_ctx *cx)
{
    coco_source *src = broken_source(cx);
    coco_target *tab = NULL;

    if (!src && !looks_at_source) return 0; /* as if there were nothing */
    if (!broken) COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &row, src, COCO_ARGS(coco_target_value(tab)));
}

/* C0.4: by an author who has cocoindex.h alone */
static void error_of_a_source_maker_fails_the_function_whether_it_looks_or_not(void **state)
{
    (void)state;
    start(maker_fails, "a=1 b=2");
    update(NULL);
    broken = true;
    for (int looks = 0; looks < 2; looks++) {
        looks_at_source = looks;
        update_fails(COCO_EIO, NULL);
        assert_non_null(strstr(w.err.msg, "no such catalogue"));
        expect_actions(NULL);
    }
    broken = false;
    update(NULL);
    expect_actions(NULL); /* nothing was deleted */
}

static coco_status two_sources(coco_ctx *cx)
{
    coco_value v[3] = { coco_int(1), coco_int(2), coco_int(3) };
    coco_source *more = items(cx, list, false);
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    if (broken && more) more->size = 2;
    COCO_TRY(coco_mount_each(cx, COCO_PATH(coco_text("x")), &listed, coco_source_of(cx, v, v, 3), COCO_NOARGS));
    return coco_mount_each(cx, COCO_PATH(coco_text("y")), &listed, more, COCO_NOARGS);
}

/* S10.2: what share and remaining time of the progress are told by */
static void expected_items_are_known_where_all_sources_of_a_function_tell_their_size(void **state)
{
    coco_stats stats;

    (void)state;
    start(two_sources, "a=1 b=2");
    for (int told = 0; told < 2; told++) {
        uint64_t expected = 99;
        broken = told;
        update(NULL);
        assert_int_equal(coco_stats_get(w.app, &stats), 0);
        for (size_t i = 0; i < stats.nfns; i++)
            if (strcmp(stats.fns[i].name, "listed") == 0) expected = stats.fns[i].expected;
        coco_stats_free(&stats);
        assert_int_equal(expected, told ? 5 : 0);
    }
}

COCO_FN(checks, (int64_t, i))
{
    if (i < 0) return coco_fail(cx, COCO_EFAIL, "%d is negative", (int)i);
    return coco_return(cx, coco_int(i * i));
}

static int64_t mapped[3];

static coco_status maps(coco_ctx *cx)
{
    coco_value in[] = { coco_int(3), broken ? coco_int(-1) : coco_int(1), broken ? coco_int(-2) : coco_int(2) }, out[3];

    COCO_TRY(coco_map(cx, &checks, in, 3, COCO_NOARGS, out));
    for (int i = 0; i < 3; i++) mapped[i] = coco_int_of(out[i]);
    return COCO_OK;
}

/* S3.5 */
static void map_gives_results_in_input_order_or_the_first_failure(void **state)
{
    (void)state;
    start(maps, NULL);
    update(NULL);
    assert_int_equal(mapped[0], 9);
    assert_int_equal(mapped[1], 1);
    assert_int_equal(mapped[2], 4);
    broken = true;
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/ COCO_EFAIL -1 is negative");
}

COCO_FN(remembered_parent, (int64_t, v, coco_target *, tab), .memo = true)
{
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(1)), &picky, COCO_ARGS(pair(cx, 1, 10), coco_target_value(tab)), NULL));
    return coco_mount(cx, COCO_PATH(coco_int(2)), &row, COCO_ARGS(pair(cx, 2, v), coco_target_value(tab)), NULL);
}

static coco_status family(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount(cx, COCO_PATH(coco_text("p")), &remembered_parent,
                      COCO_ARGS(coco_int(20), coco_target_value(tab)), NULL);
}

/* S3.6 */
static void memo_of_an_ancestor_waits_until_all_below_succeeded(void **state)
{
    (void)state;
    start(family, NULL);
    fault_on("tab:1", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"p\"/1 COCO_EIO tab:1: refused");
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:2 = 20");
    faults_clear();
    update(NULL);
    expect_ran("/", "/@shelf/\"tab\"", "/\"p\"", "/\"p\"/1");
    expect_hits("/\"p\"/2");
    update(NULL);
    expect_hits("/\"p\"");
}

/* S3.6 */
static void parent_is_committed_after_its_children(void **state)
{
    (void)state;
    start(family, NULL);
    update(NULL);
    expect_events("committed", "/@shelf/\"tab\"", "/\"p\"/1", "/\"p\"/2", "/\"p\"", "/");
}

static coco_status rows_then_fail(coco_ctx *cx)
{
    COCO_TRY(rows(cx));
    return broken ? coco_fail(cx, COCO_EFAIL, "after the rows") : COCO_OK;
}

/* S3.7 */
static void nothing_is_gone_when_the_parent_fails(void **state)
{
    (void)state;
    start(rows_then_fail, "1=10 2=20");
    update(NULL);
    broken = true;
    list = "2=21";
    update_fails(COCO_EFAIL, NULL);
    expect_actions("~ tab:2");
    broken = false;
    update(NULL);
    expect_actions("- tab:1");
}

static coco_status rows_whatever(coco_ctx *cx)
{
    coco_status rc = rows(cx);

    return rc == COCO_EIO ? COCO_OK : rc;
}

/* S3.7 */
static void child_of_a_run_that_failed_is_gone_when_it_is_not_mounted(void **state)
{
    (void)state;
    start(rows_then_fail, "9=90");
    broken = true;
    update_fails(COCO_EFAIL, NULL);
    expect_actions("+ shelf:\"tab\"", "+ tab:9");
    broken = false;
    list = "1=10";
    update(NULL);
    expect_actions("+ tab:1", "- tab:9");
}

/* S3.7 */
static void nothing_is_gone_below_a_source_that_failed(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        ordered = i == 1;
        start(rows_whatever, "1=10 2=20 3=30");
        ordered = i == 1;
        update(NULL);
        list = "1=11 3=31 !";
        update(NULL);
        expect_actions("~ tab:1", "~ tab:3");
        list = "1=11 3=31";
        update(NULL);
        expect_actions("- tab:2");
        drop_all();
    }
}

/* S3.7 */
static void nothing_unreadable_is_gone(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        start(rows, "1=10 2=20 a/x=1 a/y=2 b=3");
        ordered = i == 1;
        update(NULL);
        list = "?1 2=20 ?a/* b=3";
        update_fails(COCO_EFAIL, NULL);
        expect_failures("items:1 COCO_EUNREAD no permission", "items:\"a/\" COCO_EUNREAD no permission");
        expect_actions(NULL);
        list = "2=20 a/y=2 b=3";
        update(NULL);
        expect_actions("- tab:1", "- tab:\"a/x\"");
        drop_all();
    }
}

COCO_FN(group, (coco_value, kv, coco_target *, tab))
{
    int64_t n = coco_int_of(coco_at(kv, 1)), base = coco_int_of(coco_at(kv, 0));

    COCO_TRY(coco_declare(cx, tab, coco_int(base), coco_int(n)));
    for (int64_t i = 1; i <= n; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &row, COCO_ARGS(pair(cx, base + i, i), coco_target_value(tab)),
                            NULL));
    return broken ? coco_fail(cx, COCO_EFAIL, "broken") : COCO_OK;
}

static coco_status groups(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount_each(cx, COCO_AUTO, &group, items(cx, list, ordered), COCO_ARGS(coco_target_value(tab)));
}

/* S3.7 */
static void gone_components_are_deleted_after_the_root_children_first(void **state)
{
    (void)state;
    start(groups, "10=2 20=1");
    update(NULL);
    list = "20=1";
    update(NULL);
    expect_events("gone", "/@group/10"); /* the topmost path only */
    expect_events("deleted", "/@group/10/1", "/@group/10/2", "/@group/10");
    assert_int_equal(w.result.deletes, 3);
    for (size_t i = 0, root_done = 0; i < w.events.n; i++) {
        root_done |= strcmp(w.events.v[i], "committed /") == 0;
        if (strncmp(w.events.v[i], "deleted", 7) == 0) assert_true(root_done);
    }
    assert_int_equal(recorded(), 6); /* root, @shelf, tab, @group, 20, 1 */
}

/* S3.7 */
static void children_of_a_component_that_never_succeeded_are_gone_with_it(void **state)
{
    (void)state;
    start(groups, "10=2 20=0");
    broken = true;
    update_fails(COCO_EFAIL, NULL);
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:11 = 1", "tab:12 = 2");
    broken = false;
    list = "20=0";
    update(NULL);
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:20 = 0");
    assert_int_equal(recorded(), 5); /* root, @shelf, tab, @group, 20 */
}

/* S3.7 */
static void failed_delete_is_tried_again_in_the_next_update(void **state)
{
    (void)state;
    start(groups, "10=2 20=1");
    update(NULL);
    list = "20=1";
    fault_on("tab:11", 99, false);
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(shelf_find("tab:11"));
    faults_clear();
    restart();
    update(NULL);
    assert_null(shelf_find("tab:11"));
    assert_null(shelf_find("tab:10"));
    expect_nothing_written();
}

COCO_FN(owner, (int64_t, n), .memo = true)
{
    coco_target *own;

    return n > 1 ? COCO_OK : coco_declare_container(cx, root(cx), coco_text("own"), coco_int(1), NULL, &own);
}
COCO_FN(owners_parent, (int64_t, n), .memo = true)
{
    return coco_mount(cx, COCO_AUTO, &owner, COCO_ARGS(coco_int(n)), NULL);
}
static coco_status own_below_memo(coco_ctx *cx)
{
    return coco_mount(cx, COCO_AUTO, &owners_parent, COCO_ARGS(coco_int(stage)), NULL);
}

/* S3.7, S7.5: the delete of a container waits for the end of the update, also for that of a later one */
static void failed_delete_of_a_container_is_tried_again_below_a_memo(void **state)
{
    (void)state;
    start(own_below_memo, NULL);
    stage = 1;
    update(NULL);
    stage = 2;
    fault_on("shelf:\"own\"", 99, false);
    update_fails(COCO_EFAIL, NULL);
    faults_clear();
    update(NULL);
    expect_actions("- shelf:\"own\"");
    update(NULL);
    expect_hits("/@owners_parent");
    expect_nothing_written();
}

static int applies;
static void save_at_second_apply(void)
{
    if (++applies == 1) db_save();
}

static int64_t nkids;
static coco_status memo_family(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount(cx, COCO_PATH(coco_text("p")), &parent, COCO_ARGS(coco_int(nkids), coco_target_value(tab)), NULL);
}

/* S3.7 */
static void tombstone_left_by_a_crash_is_worked_off_where_the_parent_hits(void **state)
{
    (void)state;
    start(memo_family, NULL);
    parent.memo = true;
    nkids = 2;
    update(NULL);
    nkids = 1;
    applies = 0;
    w.before_apply = save_at_second_apply; /* the deletes are on their way */
    update(NULL);
    w.before_apply = NULL;
    assert_int_equal(w.result.deletes, 1);
    db_crash();
    update(NULL);
    expect_hits("/\"p\"");
    expect_actions("- tab:1");
    expect_nothing_written();
    parent.memo = false;
}

static coco_status family_or_not(coco_ctx *cx)
{
    return nkids ? memo_family(cx) : tab_of(cx, &(coco_target *){ NULL });
}

/* S3.7, S6.11: what was deleted before a delete failed comes back, though the parent's memo is as good as ever */
static void half_deleted_family_that_is_mounted_again_is_whole(void **state)
{
    (void)state;
    start(family_or_not, NULL);
    parent.memo = true;
    nkids = 2;
    update(NULL);
    nkids = 0;
    fault_on("tab:1", 99, false);
    update_fails(COCO_EFAIL, NULL);
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:1 = 1");
    faults_clear();
    nkids = 2;
    update(NULL);
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:0 = 0", "tab:1 = 1");
    expect_nothing_written();
    parent.memo = false;
}

/* S3.7 */
static void mounting_a_path_again_removes_its_tombstone(void **state)
{
    (void)state;
    start(rows, "1=10 2=20 3=30");
    w.config.guard_states = 1;
    update(NULL);
    list = "3=30";
    update_fails(COCO_EGUARD, NULL);
    expect_actions(NULL);
    list = "1=10 2=20 3=30";
    update(NULL);
    expect_actions(NULL);
    expect_hits("/@row/1", "/@row/2", "/@row/3");
    expect_nothing_written();
}

COCO_FN(deep_user, (int64_t, depth))
{
    coco_value v = coco_int(0);

    if (depth > 0) COCO_TRY(coco_use_mount(cx, COCO_AUTO, &deep_user, COCO_ARGS(coco_int(depth - 1)), &v));
    return coco_return(cx, coco_int(coco_int_of(v) + 1));
}

static coco_status deep_use(coco_ctx *cx)
{
    coco_value v;

    COCO_TRY(coco_use_mount(cx, COCO_AUTO, &deep_user, COCO_ARGS(coco_int(20)), &v));
    COCO_TRY(coco_return(cx, v));
    return rows(cx);
}

/* S3.8 */
static void limit_of_one_in_flight_never_deadlocks(void **state)
{
    (void)state;
    start(deep_use, "1=10 2=20 3=30");
    w.config.max_inflight = 1;
    update(NULL);
    assert_int_equal(coco_int_of(w.result.value), 21);
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:1 = 10", "tab:2 = 20", "tab:3 = 30");
    assert_true(w.batches >= 4); /* each row before the next is started */
}

/* S3.8 */
static void limit_in_flight_comes_from_the_environment_too(void **state)
{
    (void)state;
    setenv("COCOINDEX_MAX_INFLIGHT_COMPONENTS", "1", 1);
    start(rows, "1=10 2=20 3=30");
    update(NULL);
    unsetenv("COCOINDEX_MAX_INFLIGHT_COMPONENTS");
    assert_true(w.batches >= 4);
}

/* S3.8 */
static void limit_of_memory_in_flight_is_kept(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    start(rows, "1=10 2=20 3=30");
    w.config.max_inflight_bytes = 1; /* one component alone may exceed it */
    update(NULL);
    assert_true(w.batches >= 4);
}

/* S3.9 */
static void mounted_child_runs_before_mount_returns(void **state)
{
    (void)state;
    start(groups, "10=2 20=1");
    update(NULL);
    expect_ran("/", "/@shelf/\"tab\"", "/@group/10", "/@group/10/1", "/@group/10/2", "/@group/20", "/@group/20/1");
}

/* ---- S3.10: the guard against mass deletion ---------------------------------------------------------------------- */

static const char *const ten = "1=1 2=1 3=1 4=1 5=1 6=1 7=1 8=1 9=1 10=1";

static void start_guarded(void)
{
    start(rows, ten);
    w.config.guard_states = 4;
    update(NULL);
}

/* S3.10 */
static void mass_deletion_stops_before_its_first_delete(void **state)
{
    (void)state;
    start_guarded();
    list = "1=2 20=1";
    update_fails(COCO_EGUARD, NULL);
    expect_actions("~ tab:1", "+ tab:20"); /* everything else is done */
    assert_non_null(strstr(w.err.msg, "tab"));
    assert_non_null(strstr(w.err.msg, "9"));
    restart();
    update_fails(COCO_EGUARD, NULL);
    expect_actions(NULL);
    list = ten; /* the cause is removed */
    update(NULL);
    expect_actions("~ tab:1", "- tab:20");
}

/* S3.10 */
static void allow_delete_lets_the_guard_pass_once(void **state)
{
    (void)state;
    start_guarded();
    list = "1=1";
    update_fails(COCO_EGUARD, NULL);
    update(OPTS(.allow_delete = true));
    assert_int_equal(w.result.deletes, 9);
    expect_nothing_written();
}

/* S3.10 */
static void guard_lets_pass_half_and_few(void **state)
{
    (void)state;
    start_guarded();
    list = "1=1 2=1 3=1 4=1 5=1"; /* five of ten: more than four, not more than half */
    update(NULL);
    assert_int_equal(w.result.deletes, 5);
    list = "1=1"; /* four of five: not more than four */
    update(NULL);
    assert_int_equal(w.result.deletes, 4);
}

/* S3.10 */
static void drop_is_not_guarded(void **state)
{
    (void)state;
    start_guarded();
    drop_all();
    expect_shelf(NULL);
}

static int nshown;
static coco_status one_declares_all(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    for (int i = 0; i < nshown; i++) COCO_TRY(coco_declare(cx, tab, coco_int(i), coco_int(i)));
    return COCO_OK;
}

/* S3.10 */
static void component_that_stops_declaring_most_of_its_states_fails(void **state)
{
    (void)state;
    start(one_declares_all, NULL);
    w.config.guard_states = 4;
    nshown = 10;
    update(NULL);
    nshown = 3;
    update_fails(COCO_EGUARD, NULL);
    expect_actions(NULL);
    expect_events("precommit", NULL);
    nshown = 5;
    update(NULL);
    assert_int_equal(w.result.deletes, 5);
    nshown = 0;
    update(OPTS(.allow_delete = true));
    assert_int_equal(w.result.deletes, 5);
}

static coco_status no_table(coco_ctx *cx)
{
    (void)cx;
    return COCO_OK;
}

/* S3.10 */
static void deleting_a_container_counts_what_is_in_it(void **state)
{
    (void)state;
    start_guarded();
    plan = no_table;
    update_fails(COCO_EGUARD, NULL);
    expect_actions(NULL);
    update(OPTS(.allow_delete = true));
    expect_shelf(NULL);
}

static coco_status own_container(coco_ctx *cx)
{
    coco_target *tab;

    if (broken) return COCO_OK;
    COCO_TRY(coco_declare_container(cx, stage ? crate(cx) : root(cx), coco_text("tab"), coco_int(1), NULL, &tab));
    for (int i = 0; i < 10; i++) COCO_TRY(coco_declare(cx, tab, coco_int(i), coco_int(i)));
    return COCO_OK;
}

/* S3.10 */
static void guard_watches_containers_that_a_running_component_drops(void **state)
{
    (void)state;
    for (stage = 0; stage < 2; stage++) {
        start(own_container, NULL);
        w.config.guard_states = 4;
        update(NULL);
        broken = true;
        update_fails(COCO_EGUARD, NULL);
        expect_actions(NULL);
        update_fails(COCO_EGUARD, NULL);
        expect_actions(NULL);
        update(OPTS(.allow_delete = true));
        expect_shelf(NULL);
        restart();
    }
}

COCO_FN(keeper, ())
{
    coco_target *spare;

    COCO_TRY(coco_declare_container(cx, root(cx), coco_text("spare"), coco_int(1), NULL, &spare));
    return coco_declare(cx, spare, coco_int(1), coco_int(1));
}

static coco_status container_of_others(coco_ctx *cx)
{
    coco_target *tab;

    if (broken) return COCO_OK;
    COCO_TRY(coco_mount_target(cx, crate(cx), coco_text("tab"), coco_int(1), NULL, &tab));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &keeper, COCO_NOARGS, NULL));
    return coco_mount_each(cx, COCO_AUTO, &row, items(cx, list, ordered), COCO_ARGS(coco_target_value(tab)));
}

/* S3.10 */
static void guard_stops_one_target_and_lets_the_others_go(void **state)
{
    (void)state;
    start(container_of_others, ten);
    w.config.guard_states = 4;
    update(NULL);
    broken = true;
    update_fails(COCO_EGUARD, NULL);
    expect_actions("- spare:1", "- shelf:\"spare\"");
    update(OPTS(.allow_delete = true));
    expect_actions("- crate:\"tab\"");
    expect_shelf(NULL);
    expect_nothing_written();
}

/* S3.10: the defaults */
static void guard_counts_in_thousands_by_default(void **state)
{
    static char text[20000];
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 1500; i++) n += (size_t)snprintf(text + n, sizeof text - n, "%d=1 ", i);
    start(rows, text);
    update(NULL);
    assert_int_equal(w.result.inserts, 1501);
    list = "";
    update_fails(COCO_EGUARD, NULL);
    list = text + strlen("0=1 1=1 2=1 ") * 80; /* some hundred less */
    while (*list != ' ') list++;
    update(NULL);
    assert_true(w.result.deletes > 100 && w.result.deletes < 1000);
}

/* ---- S3.11: partial update --------------------------------------------------------------------------------------- */

/* S3.11 */
static void only_updates_what_is_there_and_below(void **state)
{
    (void)state;
    start(groups, "10=2 20=1 30=0");
    update(NULL);
    list = "10=3 20=2";
    update(OPTS(.only = "/@group/10"));
    expect_ran("/", "/@shelf/\"tab\"", "/@group/10", "/@group/10/3");
    expect_actions("+ tab:13", "~ tab:10");
    update(NULL);
    expect_actions("+ tab:22", "~ tab:20", "- tab:30");
}

/* S3.11 */
static void what_is_gone_below_the_path_is_deleted_by_a_partial_update(void **state)
{
    (void)state;
    start(groups, "10=2 20=1");
    update(NULL);
    list = "10=1";
    update(OPTS(.only = "/@group/10"));
    expect_actions("~ tab:10", "- tab:12");
    update(NULL);
    expect_events("deleted", "/@group/20/1", "/@group/20");
}

static coco_status main_above(coco_ctx *cx)
{
    coco_target *tab;
    coco_value v;

    COCO_TRY(tab_of(cx, &tab));
    if (nshown) COCO_TRY(coco_declare(cx, tab, coco_int(1), coco_int(nshown)));
    COCO_TRY(coco_use_state(cx, coco_int(1), coco_int(0), &v));
    COCO_TRY(coco_state_set(cx, coco_int(1), coco_int(coco_int_of(v) + 1)));
    return coco_mount_each(cx, COCO_AUTO, &group, items(cx, list, ordered), COCO_ARGS(coco_target_value(tab)));
}

/* S3.11 */
static void components_above_the_path_are_left_as_recorded(void **state)
{
    (void)state;
    start(main_above, "10=0 20=0");
    nshown = 1;
    update(NULL);
    nshown = 2;
    list = "10=0";
    update(OPTS(.only = "/@group/10"));
    expect_actions(NULL);
    nshown = 0;
    update(OPTS(.only = "/@group/10"));
    expect_actions(NULL);
    update(NULL);
    expect_actions("- tab:1", "- tab:20");
}

/* S3.11 */
static void path_that_nobody_mounts_is_not_reached_and_not_deleted(void **state)
{
    (void)state;
    start(groups, "10=0 20=0");
    update(NULL);
    list = "10=0";
    update_fails(COCO_ENOTFOUND, OPTS(.only = "/@group/20"));
    assert_non_null(strstr(w.err.msg, "not reached"));
    expect_actions(NULL);
}

COCO_FN(quiet_parent, (int64_t, n, coco_target *, tab), .memo = true)
{
    return coco_mount(cx, COCO_PATH(coco_int(1)), &row, COCO_ARGS(pair(cx, 1, n), coco_target_value(tab)), NULL);
}

static coco_status quiet(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    return coco_mount(cx, COCO_PATH(coco_text("q")), &quiet_parent,
                      COCO_ARGS(coco_int(nshown), coco_target_value(tab)), NULL);
}

/* S3.11 */
static void valid_hit_above_answers_for_the_path(void **state)
{
    (void)state;
    start(quiet, NULL);
    nshown = 1;
    update(NULL);
    update(OPTS(.only = "/\"q\"/1"));
    expect_ran("/", "/@shelf/\"tab\"");
    expect_hits("/\"q\"");
    nshown = 2;
    update(OPTS(.only = "/\"q\"/1"));
    expect_actions("~ tab:1");
    update(NULL); /* its own memo is left as recorded: it runs */
    expect_ran("/", "/@shelf/\"tab\"", "/\"q\"");
    expect_hits("/\"q\"/1");
}

COCO_FN(used_parent, (int64_t, n, coco_target *, tab), .memo = true)
{
    coco_value v;

    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(1)), &row, COCO_ARGS(pair(cx, 1, n), coco_target_value(tab)), NULL));
    COCO_TRY(coco_use_mount(cx, COCO_PATH(coco_int(2)), &twice, COCO_ARGS(coco_int(n)), &v));
    return coco_return(cx, v);
}

static coco_status uses_then_groups(coco_ctx *cx)
{
    coco_target *tab;
    coco_value v;

    COCO_TRY(tab_of(cx, &tab));
    COCO_TRY(coco_use_mount(cx, COCO_PATH(coco_text("u")), &used_parent,
                            COCO_ARGS(coco_int(nshown), coco_target_value(tab)), &v));
    COCO_TRY(coco_return(cx, v));
    return coco_mount_each(cx, COCO_AUTO, &group, items(cx, list, ordered), COCO_ARGS(coco_target_value(tab)));
}

/* S3.11: a used component off the way runs, but its mounts don't, and so no memo may stand for them */
static void used_component_runs_as_always_without_its_mounts(void **state)
{
    (void)state;
    start(uses_then_groups, "10=0");
    nshown = 1;
    update(NULL);
    nshown = 2;
    update(OPTS(.only = "/@group/10"));
    assert_int_equal(coco_int_of(w.result.value), 4);
    expect_actions(NULL);
    update(NULL);
    expect_actions("~ tab:1");
    update(OPTS(.only = "/\"u\"/2"));
    expect_hits("/\"u\"");
    nshown = 3;
    update(OPTS(.only = "/\"u\"/2"));
}

COCO_FN(declares_in_a_call, (int64_t, n, coco_target *, tab), .memo = true)
{
    return coco_declare(cx, tab, coco_int(50), coco_int(n));
}
COCO_FN(calls_what_declares, (int64_t, n, coco_target *, tab), .memo = true)
{
    return coco_call(cx, &declares_in_a_call, COCO_ARGS(coco_int(n), coco_target_value(tab)), NULL);
}

static coco_status calls_then_groups(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    COCO_TRY(coco_call(cx, &calls_what_declares, COCO_ARGS(coco_int(nshown), coco_target_value(tab)), NULL));
    return coco_mount_each(cx, COCO_AUTO, &group, items(cx, list, ordered), COCO_ARGS(coco_target_value(tab)));
}

/* S3.11, S5.1: what a call declares above the path is left as recorded, so its memo would stand for nothing. */
static void call_that_declares_above_the_path_leaves_no_memo(void **state)
{
    (void)state;
    start(calls_then_groups, "10=0");
    nshown = 1;
    update(NULL);
    nshown = 2;
    update(OPTS(.only = "/@group/10"));
    expect_actions(NULL);
    update(NULL);
    expect_actions("~ tab:50");
    update(OPTS(.only = "/@group/10"));
    expect_events("call hit", "/ calls_what_declares");
}

/* ---- S3.12: a mount_each has its path to itself ------------------------------------------------------------------ */

static coco_status rc_of_second;

static coco_status each_twice(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    COCO_TRY(coco_mount_each(cx, COCO_PATH(coco_text("x")), &row, items(cx, "1=1", false),
                             COCO_ARGS(coco_target_value(tab))));
    rc_of_second = coco_mount_each(cx, COCO_PATH(coco_text("x")), &row, items(cx, "2=1", false),
                                   COCO_ARGS(coco_target_value(tab)));
    return COCO_OK;
}

static coco_status mount_below_each(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    COCO_TRY(coco_mount_each(cx, COCO_PATH(coco_text("x")), &row, items(cx, "1=1", false),
                             COCO_ARGS(coco_target_value(tab))));
    rc_of_second = coco_mount(cx, COCO_PATH(coco_text("x"), coco_int(2)), &row,
                              COCO_ARGS(pair(cx, 2, 1), coco_target_value(tab)), NULL);
    return COCO_OK;
}

static bool with_another;

static coco_status each_over_mount(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    if (with_another)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("another")), &row, COCO_ARGS(pair(cx, 2, 1), coco_target_value(tab)),
                            NULL));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("x"), coco_int(1)), &row,
                        COCO_ARGS(pair(cx, 1, 1), coco_target_value(tab)), NULL));
    rc_of_second = coco_mount_each(cx, COCO_PATH(coco_text("x")), &row, items(cx, "2=1", false),
                                   COCO_ARGS(coco_target_value(tab)));
    return COCO_OK;
}

/* S3.12 */
static void path_of_a_mount_each_is_its_own(void **state)
{
    (void)state;
    start(each_twice, NULL);
    update(NULL);
    assert_int_equal(rc_of_second, COCO_EDUP);
    plan = mount_below_each;
    update(NULL);
    assert_int_equal(rc_of_second, COCO_EDUP);
    plan = each_over_mount;
    update(NULL);
    assert_int_equal(rc_of_second, COCO_EDUP);
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:1 = 1");
}

/* S3.7: what is gone beside a mount_each that was refused goes. */
static void refused_mount_each_keeps_nothing_else(void **state)
{
    (void)state;
    with_another = true;
    start(each_over_mount, NULL);
    update(NULL);
    with_another = false;
    update(NULL);
    assert_int_equal(rc_of_second, COCO_EDUP);
    expect_actions("- tab:2");
}

/* S3.12 */
static void ordered_source_out_of_order_is_an_error_that_names_both_keys(void **state)
{
    (void)state;
    start(rows, "1=1 3=1 2=1");
    ordered = true;
    update_fails(COCO_EINVAL, NULL);
    assert_non_null(strstr(w.err.msg, "key 2"));
    assert_non_null(strstr(w.err.msg, "3"));
}

/* S3.12, S2.4 */
static void key_that_comes_twice_is_an_error(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        start(rows, "1=1 2=1 2=1");
        ordered = i == 1;
        update_fails(COCO_EDUP, NULL);
        assert_non_null(strstr(w.err.msg, "key 2"));
    }
}

/* ---- Wrong use --------------------------------------------------------------------------------------------------- */

static coco_status wrong_rc[8];

static coco_status wrong_arguments(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(tab_of(cx, &tab));
    wrong_rc[0] = coco_mount(cx, COCO_PATH(coco_int(1)), &twice, COCO_NOARGS, NULL);
    wrong_rc[1] = coco_call(cx, &twice, COCO_ARGS(coco_int(1), coco_int(2)), NULL);
    wrong_rc[2] = coco_call(cx, &twice, COCO_ARGS(coco_text("1")), NULL);
    wrong_rc[3] = coco_call(cx, &row, COCO_ARGS(pair(cx, 1, 1)), NULL);
    wrong_rc[4] = coco_call(cx, &row, COCO_ARGS(pair(cx, 1, 1), coco_object(&number_class, &stage)), NULL);
    wrong_rc[5] = coco_mount_each(cx, COCO_AUTO, &twice, items(cx, "1=1", false), COCO_ARGS(coco_int(1)));
    wrong_rc[6] = coco_use_mount(cx, COCO_PATH(coco_int(2)), &twice, COCO_ARGS(coco_text("x")), NULL);
    return COCO_OK;
}

/* bad input: number and types of arguments */
static void wrong_arguments_are_a_clear_error(void **state)
{
    (void)state;
    start(wrong_arguments, NULL);
    try_update(NULL);
    for (int i = 0; i < 7; i++) assert_int_equal(wrong_rc[i], COCO_ETYPE);
}

static coco_status wrong_type(coco_ctx *cx) { return coco_call(cx, &twice, COCO_ARGS(coco_text("1")), NULL); }

/* bad input: the message names function and parameter */
static void wrong_type_names_the_parameter(void **state)
{
    (void)state;
    start(wrong_type, NULL);
    update_fails(COCO_ETYPE, NULL);
    assert_non_null(strstr(w.err.msg, "twice"));
    assert_non_null(strstr(w.err.msg, "(i) wants int64_t"));
}

/* bad input, S4.9: the registry can't forget, so this runs in a process of its own */
static void two_functions_of_one_name_are_an_error_at_the_start(void **state)
{
    static coco_fn other = { .name = "twice" };
    int status;

    (void)state;
    start(seven, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        other.call = row.call;
        coco_register(&other);
        try_update(NULL);
        _exit(w.rc == COCO_EDUP && strstr(w.err.msg, "twice") ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(smallest_set_of_actions_is_applied),
        TEST(update_in_which_nothing_changed_writes_nothing),
        TEST(update_gives_back_the_value_of_main),
        TEST(unchanged_main_gives_back_its_stored_value),
        TEST(apps_of_one_environment_keep_their_state_apart),
        TEST(refused_state_fails_its_component_alone),
        TEST(path_names_the_same_component_whatever_function_runs_there),
        TEST(setup_runs_once_before_the_first_update),
        TEST(what_a_failed_setup_had_provided_is_closed),
        TEST(context_is_read_outside_components),
        TEST(parameter_is_a_dependency_of_those_that_read_it),
        TEST(unknown_parameter_is_an_error),
        TEST(value_of_a_parameter_is_never_stored),
        TEST(every_kind_of_key_names_a_component_of_its_own),
        TEST(printed_path_is_accepted_back),
        TEST(float_is_no_path_element),
        TEST(path_is_by_default_the_name_of_the_function),
        TEST(second_mount_at_a_path_is_an_error),
        TEST(second_declaration_of_a_state_is_an_error),
        TEST(keys_have_no_length_limit),
        TEST(components_nest_deep),
        TEST(inner_node_goes_with_its_last_child),
        TEST(path_turns_from_component_to_inner_node_and_back),
        TEST(what_is_mounted_below_stays_when_a_component_becomes_an_inner_node),
        TEST(equal_titles_are_an_error_unless_told_apart),
        TEST(failure_of_a_mounted_child_is_told_by_its_handle),
        TEST(ready_waits_for_everything_below),
        TEST(use_mount_gives_the_value_and_the_failure),
        TEST(use_mount_returns_after_the_states_are_applied),
        TEST(refused_state_of_a_used_child_fails_the_caller),
        TEST(each_item_is_a_component_of_its_own),
        TEST(error_of_a_source_maker_fails_the_function_whether_it_looks_or_not),
        TEST(expected_items_are_known_where_all_sources_of_a_function_tell_their_size),
        TEST(map_gives_results_in_input_order_or_the_first_failure),
        TEST(memo_of_an_ancestor_waits_until_all_below_succeeded),
        TEST(parent_is_committed_after_its_children),
        TEST(nothing_is_gone_when_the_parent_fails),
        TEST(child_of_a_run_that_failed_is_gone_when_it_is_not_mounted),
        TEST(nothing_is_gone_below_a_source_that_failed),
        TEST(nothing_unreadable_is_gone),
        TEST(gone_components_are_deleted_after_the_root_children_first),
        TEST(children_of_a_component_that_never_succeeded_are_gone_with_it),
        TEST(failed_delete_is_tried_again_in_the_next_update),
        TEST(failed_delete_of_a_container_is_tried_again_below_a_memo),
        TEST(tombstone_left_by_a_crash_is_worked_off_where_the_parent_hits),
        TEST(half_deleted_family_that_is_mounted_again_is_whole),
        TEST(mounting_a_path_again_removes_its_tombstone),
        TEST(limit_of_one_in_flight_never_deadlocks),
        TEST(limit_in_flight_comes_from_the_environment_too),
        TEST(limit_of_memory_in_flight_is_kept),
        TEST(mounted_child_runs_before_mount_returns),
        TEST(mass_deletion_stops_before_its_first_delete),
        TEST(allow_delete_lets_the_guard_pass_once),
        TEST(guard_lets_pass_half_and_few),
        TEST(drop_is_not_guarded),
        TEST(component_that_stops_declaring_most_of_its_states_fails),
        TEST(deleting_a_container_counts_what_is_in_it),
        TEST(guard_watches_containers_that_a_running_component_drops),
        TEST(guard_stops_one_target_and_lets_the_others_go),
        TEST(guard_counts_in_thousands_by_default),
        TEST(only_updates_what_is_there_and_below),
        TEST(what_is_gone_below_the_path_is_deleted_by_a_partial_update),
        TEST(components_above_the_path_are_left_as_recorded),
        TEST(path_that_nobody_mounts_is_not_reached_and_not_deleted),
        TEST(valid_hit_above_answers_for_the_path),
        TEST(used_component_runs_as_always_without_its_mounts),
        TEST(call_that_declares_above_the_path_leaves_no_memo),
        TEST(path_of_a_mount_each_is_its_own),
        TEST(refused_mount_each_keeps_nothing_else),
        TEST(ordered_source_out_of_order_is_an_error_that_names_both_keys),
        TEST(key_that_comes_twice_is_an_error),
        TEST(wrong_arguments_are_a_clear_error),
        TEST(wrong_type_names_the_parameter),
        TEST(two_functions_of_one_name_are_an_error_at_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
