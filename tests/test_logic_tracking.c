/* test_logic_tracking.c - what invalidates a memo: logic, inputs, context, generated fingerprints; its reasons; and
 * remembered failures (S4).
 *
 * The functions: foo calls bar (through a plain helper) when asked to; both are tracked. A test changes their versions
 * between updates, as an edited program would. */
#include "harness.h"

#include <time.h>

static coco_status (*plan)(coco_ctx *cx);
static int64_t arg;    /* of the component under test */
static int64_t hidden; /* an input that nobody declares */
static bool broken;

COCO_FN(app_main, ()) { return plan(cx); }

COCO_FN(bar, (int64_t, i)) { return coco_return(cx, coco_int(i + hidden)); }
COCO_FN(memo_bar, (int64_t, i), .memo = true)
{
    coco_value v;

    COCO_TRY(coco_call(cx, &bar, COCO_ARGS(coco_int(i)), &v));
    return coco_return(cx, v);
}

/* A plain C function is no tracked one, but calls through it count. */
static coco_status helper(coco_ctx *cx, const coco_fn *fn, int64_t i, coco_value *v)
{
    return coco_call(cx, fn, COCO_ARGS(coco_int(i)), v);
}

/* Calls bar unless i is 0. */
COCO_FN(foo, (int64_t, i), .memo = true)
{
    coco_value v = coco_int(-1);

    if (broken) return coco_fail(cx, COCO_EFAIL, "broken");
    if (i) COCO_TRY(helper(cx, &bar, i, &v));
    return coco_return(cx, v);
}

/* Calls memo_bar, whose memo knows bar. */
COCO_FN(outer, (int64_t, i), .memo = true)
{
    coco_value v;

    COCO_TRY(coco_call(cx, &memo_bar, COCO_ARGS(coco_int(i)), &v));
    return coco_return(cx, v);
}

/* The same by a component of its own. */
COCO_FN(mounting, (int64_t, i), .memo = true)
{
    coco_value v;

    COCO_TRY(coco_use_mount(cx, COCO_AUTO, &memo_bar, COCO_ARGS(coco_int(i)), &v));
    return coco_return(cx, v);
}

static coco_status foo_at_1_and_0(coco_ctx *cx)
{
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(1)), &foo, COCO_ARGS(coco_int(1)), NULL));
    return coco_mount(cx, COCO_PATH(coco_int(0)), &foo, COCO_ARGS(coco_int(0)), NULL);
}

static const coco_fn *mounted;
static coco_status one(coco_ctx *cx)
{
    return coco_mount(cx, COCO_PATH(coco_text("x")), mounted, COCO_ARGS(coco_int(arg)), NULL);
}

static coco_fn *const all[] = { &app_main, &bar, &memo_bar, &foo, &outer, &mounting };

static void start(coco_status (*body)(coco_ctx *cx), const coco_fn *fn)
{
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        all[i]->version = 0;
        all[i]->deps = coco_null();
        all[i]->logic_tracking = COCO_LOGIC_FULL;
    }
    plan = body;
    mounted = fn;
    arg = 1;
    hidden = 0;
    broken = false;
    program(&app_main);
}

/* ---- S4.1: logic along the calls --------------------------------------------------------------------------------- */

/* S4.1 */
static void new_version_runs_the_function_again(void **state)
{
    (void)state;
    start(one, &foo);
    update(NULL);
    foo.version = 2;
    update(NULL);
    expect_why("/ not memoized", "/\"x\" logic changed (function foo)");
    update(NULL);
    expect_hits("/\"x\"");
}

/* S4.1 */
static void new_deps_value_runs_the_function_again(void **state)
{
    (void)state;
    start(one, &foo);
    foo.deps = coco_text("prompt one");
    update(NULL);
    foo.deps = coco_text("prompt two");
    update(NULL);
    expect_why("/ not memoized", "/\"x\" logic changed (function foo)");
}

/* S4.1 */
static void change_of_a_callee_runs_exactly_those_that_called_it(void **state)
{
    (void)state;
    start(foo_at_1_and_0, NULL);
    update(NULL);
    bar.version = 2;
    update(NULL);
    expect_why("/ not memoized", "/1 logic changed (function bar)");
    expect_hits("/0"); /* it never called bar */
}

/* S4.1 */
static void memo_hit_reports_its_dependencies_upward(void **state)
{
    (void)state;
    start(one, &outer);
    update(NULL);
    outer.version = 2;
    update(NULL); /* outer runs, memo_bar hits */
    expect_ran("/", "/\"x\"");
    expect_events("call hit", "/\"x\" memo_bar");
    bar.version = 2;
    update(NULL);
    expect_why("/ not memoized", "/\"x\" logic changed (function bar)");
    expect_events("call miss", "/\"x\" memo_bar logic changed (function bar)");
}

/* S4.1 */
static void hit_of_a_used_component_reports_its_dependencies_upward(void **state)
{
    (void)state;
    start(one, &mounting);
    update(NULL);
    mounting.version = 2;
    update(NULL);
    expect_hits("/\"x\"/@memo_bar");
    bar.version = 2;
    update(NULL);
    expect_why("/ not memoized", "/\"x\" logic changed (function bar)",
               "/\"x\"/@memo_bar logic changed (function bar)");
}

COCO_FN(mounts_only, (int64_t, i), .memo = true)
{
    return coco_mount(cx, COCO_AUTO, &memo_bar, COCO_ARGS(coco_int(i)), NULL);
}

/* S4.1, S6.1: the memo stands for everything below */
static void change_of_a_mounted_child_runs_the_memoized_parent(void **state)
{
    (void)state;
    start(one, &mounts_only);
    update(NULL);
    update(NULL);
    expect_hits("/\"x\"");
    bar.version = 2;
    update(NULL);
    expect_why("/ not memoized", "/\"x\" logic changed (function bar)",
               "/\"x\"/@memo_bar logic changed (function bar)");
}

/* ---- S4.2: logic_tracking ---------------------------------------------------------------------------------------- */

/* S4.2 */
static void self_follows_its_own_logic_alone(void **state)
{
    (void)state;
    start(one, &foo);
    foo.logic_tracking = COCO_LOGIC_SELF;
    update(NULL);
    bar.version = 2;
    update(NULL);
    expect_hits("/\"x\"");
    foo.version = 2;
    update(NULL);
    expect_why("/ not memoized", "/\"x\" logic changed (function foo)");
}

/* S4.2 */
static void none_follows_no_logic(void **state)
{
    (void)state;
    start(one, &foo);
    foo.logic_tracking = COCO_LOGIC_NONE;
    update(NULL);
    bar.version = 2;
    foo.version = 2;
    update(NULL);
    expect_hits("/\"x\"");
}

/* S4.2 */
static void deps_without_tracking_are_an_error(void **state)
{
    (void)state;
    start(one, &foo);
    foo.logic_tracking = COCO_LOGIC_NONE;
    foo.deps = coco_int(1);
    update_fails(COCO_EINVAL, NULL);
    assert_non_null(strstr(w.err.msg, "foo"));
    foo.deps = coco_null();
    foo.logic_tracking = COCO_LOGIC_FULL;
}

/* ---- S4.3: inputs ------------------------------------------------------------------------------------------------ */

/* S4.3 */
static void changed_argument_runs_the_function_again(void **state)
{
    (void)state;
    start(one, &foo);
    update(NULL);
    arg = 2;
    update(NULL);
    expect_why("/ not memoized", "/\"x\" input changed (argument i)");
    arg = 2;
    update(NULL);
    expect_hits("/\"x\"");
}

/* Calls memo_bar with what it doesn't get as an argument. */
COCO_FN(reads_hidden, (int64_t, i), .memo = true)
{
    (void)i;
    return coco_call(cx, &memo_bar, COCO_ARGS(coco_int(hidden)), NULL);
}

/* S4.3 */
static void inputs_of_a_callee_are_no_inputs_of_the_caller(void **state)
{
    (void)state;
    start(one, &reads_hidden);
    update(NULL);
    hidden = 5;
    update(NULL);
    expect_hits("/\"x\"");
}

/* ---- S4.4: context ----------------------------------------------------------------------------------------------- */

static coco_key WATCHED = COCO_KEY("watched", .detect_change = true), LOOSE = COCO_KEY("loose");
static coco_key WATCHED_ELSEWHERE = COCO_KEY("watched", .detect_change = true);
static int64_t provided;
static bool without;

static coco_status set_up(coco_ctx *cx, void *user)
{
    (void)user;
    if (!without) COCO_TRY(coco_provide(cx, &WATCHED, coco_int(provided)));
    return coco_provide(cx, &LOOSE, coco_int(provided));
}

COCO_FN(reads_watched, (int64_t, i), .memo = true, .logic_tracking = COCO_LOGIC_NONE)
{
    (void)i;
    return coco_return(cx, coco_context(cx, &WATCHED_ELSEWHERE));
}
COCO_FN(reads_loose, (int64_t, i), .memo = true)
{
    (void)i;
    return coco_return(cx, coco_context(cx, &LOOSE));
}
COCO_FN(calls_reader, (int64_t, i), .memo = true, .logic_tracking = COCO_LOGIC_SELF)
{
    return coco_call(cx, &reads_watched, COCO_ARGS(coco_int(i)), NULL);
}

static coco_status readers(coco_ctx *cx)
{
    COCO_TRY(coco_mount(cx, COCO_AUTO, &reads_watched, COCO_ARGS(coco_int(1)), NULL));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &reads_loose, COCO_ARGS(coco_int(1)), NULL));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &calls_reader, COCO_ARGS(coco_int(1)), NULL));
    return coco_mount(cx, COCO_AUTO, &foo, COCO_ARGS(coco_int(1)), NULL);
}

static void start_readers(void)
{
    start(readers, NULL);
    provided = 1;
    without = false;
    w.env_config.setup = set_up;
}

/* S4.4 */
static void changed_context_runs_its_readers_and_their_callers_alone(void **state)
{
    (void)state;
    start_readers();
    update(NULL);
    provided = 2;
    restart();
    update(NULL);
    expect_why("/ not memoized", "/@reads_watched context changed (key watched)",
               "/@calls_reader context changed (key watched)");
    expect_hits("/@reads_loose", "/@foo");
    restart();
    expect_nothing_written();
}

/* S4.4 */
static void context_that_is_no_longer_provided_is_a_change(void **state)
{
    (void)state;
    start_readers();
    update(NULL);
    without = true;
    restart();
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/@reads_watched COCO_ENOTFOUND context key watched isn't provided",
                    "/@calls_reader COCO_ENOTFOUND context key watched isn't provided");
    without = false;
    restart();
    update(NULL); /* as it was when the memos were made */
    expect_hits("/@reads_watched", "/@reads_loose", "/@calls_reader", "/@foo");
}

/* ---- S4.5: any other change -------------------------------------------------------------------------------------- */

/* S4.5 */
static void memo_is_valid_again_when_the_logic_is_as_it_was(void **state)
{
    (void)state;
    start(one, &foo);
    update(NULL);
    foo.version = 2;
    broken = true;
    update_fails(COCO_EFAIL, NULL); /* before any precommit: the memo stays */
    foo.version = 0;
    update(NULL);
    expect_hits("/\"x\"");
}

/* S4.5 */
static void old_logic_runs_again_where_newer_has_replaced_its_memo(void **state)
{
    (void)state;
    start(one, &foo);
    update(NULL);
    foo.version = 2;
    update(NULL);
    foo.version = 0;
    update(NULL);
    expect_why("/ not memoized", "/\"x\" logic changed (function foo)");
}

/* S4.5 */
static void vanished_callee_is_a_change(void **state)
{
    (void)state;
    start(one, &foo);
    update(NULL);
    bar.name = "renamed";
    update(NULL);
    bar.name = "bar";
    expect_why("/ not memoized", "/\"x\" logic changed (function bar)");
}

/* ---- S4.6: memo keys of arguments -------------------------------------------------------------------------------- */

static coco_status by_tens(coco_ctx *cx, coco_value in, coco_value *out)
{
    (void)cx;
    *out = coco_int(coco_int_of(in) / 10);
    return COCO_OK;
}

COCO_FN(choosy, (int64_t, exact, int64_t, skipped, int64_t, tens), .memo = true,
        .memo_key = { NULL, coco_memo_skip, by_tens })
{
    return coco_return(cx, coco_int(exact + skipped + tens));
}

static int64_t three[3];
static coco_status choose(coco_ctx *cx)
{
    coco_value v;

    COCO_TRY(coco_call(cx, &choosy, COCO_ARGS(coco_int(three[0]), coco_int(three[1]), coco_int(three[2])), &v));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("x")), &choosy,
                        COCO_ARGS(coco_int(three[0]), coco_int(three[1]), coco_int(three[2])), NULL));
    return coco_return(cx, v);
}

/* S4.6 */
static void argument_may_be_left_out_of_the_key_or_transformed_for_it(void **state)
{
    (void)state;
    start(choose, NULL);
    memcpy(three, (int64_t[]){ 1, 2, 30 }, sizeof three);
    update(NULL);
    memcpy(three, (int64_t[]){ 1, 7, 39 }, sizeof three);
    update(NULL);
    expect_hits("/\"x\"");
    expect_events("call hit", "/ choosy");
    assert_int_equal(coco_int_of(w.result.value), 33);
    three[2] = 40;
    update(NULL);
    expect_why("/ not memoized", "/\"x\" input changed (argument tens)");
    three[0] = 2;
    update(NULL);
    expect_why("/ not memoized", "/\"x\" input changed (argument exact)");
}

static const coco_class opaque = { .type = "int" };
static coco_status with_object(coco_ctx *cx)
{
    return coco_mount(cx, COCO_PATH(coco_text("x")), &foo, COCO_ARGS(coco_object(&opaque, &arg)), NULL);
}

/* S5.3 */
static void object_that_can_not_be_a_key_is_an_error_that_names_the_argument(void **state)
{
    (void)state;
    start(with_object, NULL);
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.err.msg, "foo: argument 1 i (int)"));
}

/* ---- S4.7: what a memoized function may not do ------------------------------------------------------------------- */

static coco_status inner_rc;

COCO_FN(mounts_inside, (int64_t, i), .memo = true)
{
    inner_rc = coco_mount(cx, COCO_AUTO, &bar, COCO_ARGS(coco_int(i)), NULL);
    return broken ? inner_rc : COCO_OK;
}
COCO_FN(uses_inside, (int64_t, i), .memo = true)
{
    inner_rc = coco_use_mount(cx, COCO_AUTO, &bar, COCO_ARGS(coco_int(i)), NULL);
    return broken ? inner_rc : COCO_OK;
}
COCO_FN(iterates, (int64_t, i), .memo = true)
{
    (void)i;
    COCO_EACH(cx, items(cx, "1=1 2=2", true), key, value) (void)value;
    return inner_rc = coco_error(cx);
}
COCO_FN(mounts_each, (int64_t, i), .memo = true)
{
    (void)i;
    return inner_rc = coco_mount_each(cx, COCO_AUTO, &foo, items(cx, "1=1", true), COCO_NOARGS);
}

static coco_status calls_it(coco_ctx *cx) { return coco_call(cx, mounted, COCO_ARGS(coco_int(arg)), NULL); }

/* Calls fn in two updates; each must refuse with COCO_EMEMO and find nothing cached. */
static void refuses_twice(const coco_fn *fn, bool fails)
{
    start(calls_it, fn);
    broken = fails;
    for (int i = 0; i < 2; i++) {
        inner_rc = COCO_OK;
        if (fails) update_fails(COCO_EMEMO, NULL);
        else update(NULL);
        assert_int_equal(inner_rc, COCO_EMEMO);
        expect_events("call hit", NULL);
    }
}

/* S4.7 */
static void memoized_call_may_not_mount(void **state)
{
    (void)state;
    refuses_twice(&mounts_inside, true);
    refuses_twice(&mounts_inside, false); /* though it swallows the error */
    refuses_twice(&uses_inside, true);
}

/* S4.7 */
static void memoized_call_may_not_iterate_over_a_source(void **state)
{
    (void)state;
    refuses_twice(&iterates, true);
    refuses_twice(&mounts_each, true);
}

/* S4.7 */
static void mounted_memoized_function_may_mount_but_not_iterate(void **state)
{
    (void)state;
    start(one, &mounts_only);
    update(NULL);
    mounted = &iterates;
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(inner_rc, COCO_EMEMO);
    mounted = &mounts_each;
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(inner_rc, COCO_EMEMO);
}

/* A note: an object in the world outside; text NULL: there is none. */
static const char *note_text;

static coco_status note_key(coco_ctx *cx, void *object, coco_value *key)
{
    (void)cx;
    *key = coco_text(object);
    return COCO_OK;
}

static coco_status note_state(coco_ctx *cx, void *object, coco_str stored, coco_str *state, bool *valid)
{
    coco_str now = note_text ? coco_str_of(note_text) : COCO_STR("(missing)");

    (void)object;
    if (note_text && strcmp(note_text, "(torn)") == 0) return coco_fail(cx, COCO_EIO, "the note is torn");
    *valid = !stored.p || coco_str_equal(stored, now);
    *state = now;
    return COCO_OK;
}

static coco_status note_reopen(coco_ctx *cx, coco_value key, void **object)
{
    *object = (void *)(uintptr_t)coco_copy(cx, coco_text_of(key)).p;
    return *object ? COCO_OK : COCO_ENOMEM;
}

static coco_class note_class = { .type = "note", .memo_key = note_key, .memo_state = note_state,
                                 .reopen = note_reopen };
COCO_AT_START(note_class) { coco_class_register(&note_class); }

COCO_FN(reads_note, (int64_t, i))
{
    static char name[] = "template";

    (void)i;
    COCO_TRY(coco_track(cx, &note_class, name));
    return coco_return(cx, coco_text(note_text));
}
COCO_FN(memo_note, (int64_t, i), .memo = true)
{
    coco_value v;

    COCO_TRY(coco_call(cx, &reads_note, COCO_ARGS(coco_int(i)), &v));
    return coco_return(cx, v);
}
COCO_FN(above_note, (int64_t, i), .memo = true)
{
    coco_value v;

    COCO_TRY(coco_call(cx, &memo_note, COCO_ARGS(coco_int(i)), &v));
    return coco_return(cx, v);
}

/* S4.7 */
static void file_opened_inside_a_call_is_a_dependency_also_while_it_is_missing(void **state)
{
    (void)state;
    start(one, &above_note);
    note_text = NULL;
    update(NULL);
    expect_nothing_written();
    note_text = "dear reader";
    update(NULL);
    expect_why("/ not memoized", "/\"x\" input changed (argument note: content)");
    expect_events("call miss", "/\"x\" memo_note input changed (argument note: content)");
    expect_nothing_written();
    above_note.version = 2; /* it runs, the call hits and reports the note upward */
    update(NULL);
    expect_events("call hit", "/\"x\" memo_note");
    note_text = "dear listener";
    update(NULL);
    expect_ran("/", "/\"x\"");
    note_text = NULL;
    update(NULL);
    expect_ran("/", "/\"x\"");
    above_note.version = 0;
}

/* ---- S4.8: failures ---------------------------------------------------------------------------------------------- */

COCO_FN(may_fail, (int64_t, i), .memo = true)
{
    return broken ? coco_fail(cx, COCO_EFAIL, "broken") : coco_return(cx, coco_int(i));
}

/* S4.8 */
static void failure_is_never_cached(void **state)
{
    (void)state;
    start(calls_it, &may_fail);
    broken = true;
    update_fails(COCO_EFAIL, NULL);
    update_fails(COCO_EFAIL, NULL);
    expect_events("call miss", "/ may_fail never run");
    start(one, &may_fail);
    broken = true;
    update_fails(COCO_EFAIL, NULL);
    broken = false;
    update(NULL);
    expect_ran("/", "/\"x\"");
}

/* ---- S4.9: generated fingerprints -------------------------------------------------------------------------------- */

static char generated[33] = "00000000000000000000000000000001";
static const coco_logic_entry entries[] = { { "tests/test_logic_tracking.c", "bar", generated },
                                            { "elsewhere.c", "foo", "ffffffffffffffffffffffffffffffff" } };
static coco_logic_table table = { entries, 2, NULL };

/* S4.9: the table is registered when the program starts, before or after the functions */
COCO_AT_START(table) { coco_logic_register(&table); }

/* S4.9 */
static void changed_body_is_changed_logic(void **state)
{
    (void)state;
    start(foo_at_1_and_0, NULL);
    update(NULL);
    generated[31]++;
    update(NULL);
    expect_why("/ not memoized", "/1 logic changed (function bar)");
    expect_hits("/0");
    restart();
    expect_nothing_written();
}

/* S4.9 */
static void explicit_version_counts_alone(void **state)
{
    (void)state;
    start(foo_at_1_and_0, NULL);
    bar.version = 7;
    update(NULL);
    generated[31]++;
    update(NULL);
    expect_hits("/1", "/0");
}

/* ---- S4.10: reasons ---------------------------------------------------------------------------------------------- */

static int64_t schema;

COCO_FN(declares, (int64_t, i, coco_target *, tab), .memo = true)
{
    return coco_declare(cx, tab, coco_int(i), coco_int(i));
}

static coco_status declared(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", MAP1("schema", coco_int(schema)), &tab));
    return coco_mount(cx, COCO_PATH(coco_text("x")), &declares, COCO_ARGS(coco_int(arg), coco_target_value(tab)), NULL);
}

/* S4.10 */
static void first_run_says_never_run(void **state)
{
    (void)state;
    start(declared, NULL);
    schema = 1;
    update(NULL);
    expect_why("/ never run", "/@shelf/\"tab\" never run", "/\"x\" never run");
}

/* S4.10 */
static void crash_after_the_precommit_says_pending(void **state)
{
    (void)state;
    start(declared, NULL);
    schema = 1;
    update(NULL);
    arg = 2;
    w.before_apply = db_save;
    update(NULL);
    w.before_apply = NULL;
    db_crash();
    update(NULL);
    expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/\"x\" pending");
    expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:2 = 2");
}

/* S4.10 */
static void changed_schema_names_the_target(void **state)
{
    (void)state;
    start(declared, NULL);
    schema = 1;
    update(NULL);
    schema = 2;
    update(NULL);
    expect_why("/ not memoized", "/@shelf/\"tab\" not memoized", "/\"x\" target schema changed (target tab)");
}

/* S4.10 */
static void full_reprocess_says_forced(void **state)
{
    (void)state;
    start(declared, NULL);
    schema = 1;
    update(NULL);
    update(OPTS(.full_reprocess = true));
    expect_why("/ forced", "/@shelf/\"tab\" forced", "/\"x\" forced");
}

/* S4.10 */
static void call_knows_the_reason_of_its_miss(void **state)
{
    (void)state;
    start(calls_it, &memo_bar);
    update(NULL);
    expect_events("call miss", "/ memo_bar never run");
    bar.version = 2;
    update(NULL);
    expect_events("call miss", "/ memo_bar logic changed (function bar)");
    update(OPTS(.full_reprocess = true));
    expect_events("call miss", "/ memo_bar forced");
}

/* ---- S4.11: remembered failures ---------------------------------------------------------------------------------- */

COCO_FN(dear, (int64_t, i, coco_target *, tab), .memo = true, .remember_failure_ms = 100000)
{
    COCO_TRY(coco_declare(cx, tab, coco_int(1), coco_int(i)));
    return i > 1 ? coco_fail(cx, COCO_EFAIL, "no %d", (int)i) : COCO_OK;
}

static coco_status dearly(coco_ctx *cx)
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    return coco_mount(cx, COCO_PATH(coco_text("x")), &dear, COCO_ARGS(coco_int(arg), coco_target_value(tab)), NULL);
}

static void start_dear(unsigned ms)
{
    start(dearly, NULL);
    dear.remember_failure_ms = ms;
    dear.version = 0;
    update(NULL);
    arg = 2;
    update_fails(COCO_EFAIL, NULL);
    expect_ran("/", "/@shelf/\"tab\"", "/\"x\"");
}

/* S4.11 */
static void remembered_failure_waits_counts_and_keeps_the_targets(void **state)
{
    (void)state;
    start_dear(100000);
    for (int i = 0; i < 2; i++) {
        update_fails(COCO_EFAIL, NULL);
        expect_ran("/", "/@shelf/\"tab\"");
        expect_failures("/\"x\" COCO_EWAIT failed 1 time before and isn't due again yet");
        assert_int_equal(w.result.nfailed, 1);
        expect_shelf("shelf:\"tab\" = null", "tab:1 = 1");
        restart();
    }
}

/* S4.11 */
static void changed_input_is_tried_at_once(void **state)
{
    (void)state;
    start_dear(100000);
    arg = 3;
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"x\" COCO_EFAIL no 3");
    dear.version = 2; /* as is changed logic */
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"x\" COCO_EFAIL no 3");
    arg = 0;
    update(NULL);
    expect_actions("~ tab:1");
    update(NULL);
    expect_hits("/\"x\"");
    dear.version = 0;
}

/* S4.11 */
static void only_and_full_reprocess_try_at_once(void **state)
{
    (void)state;
    start_dear(100000);
    update_fails(COCO_EFAIL, OPTS(.only = "/\"x\""));
    expect_failures("/\"x\" COCO_EFAIL no 2");
    update_fails(COCO_EFAIL, OPTS(.full_reprocess = true));
    expect_failures("/\"x\" COCO_EFAIL no 2");
}

static void sleep_ms(long ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

/* S4.11 */
static void wait_doubles_with_each_failure(void **state)
{
    (void)state;
    start_dear(300);
    sleep_ms(320);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"x\" COCO_EFAIL no 2");
    sleep_ms(320);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"x\" COCO_EWAIT failed 2 times before and isn't due again yet");
    sleep_ms(320);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"x\" COCO_EFAIL no 2");
}

COCO_FN(fails_with_a_note, (), .remember_failure_ms = 100000)
{
    static char name[] = "template";

    COCO_TRY(coco_track(cx, &note_class, name));
    return coco_fail(cx, COCO_EFAIL, "failed on purpose");
}

static coco_status mounts_a_failure(coco_ctx *cx)
{
    return coco_mount(cx, COCO_PATH(coco_text("x")), &fails_with_a_note, COCO_NOARGS, NULL);
}

/* S4.11, S9.1: what can't be remembered is told as it failed, and tried again. */
static void failure_whose_inputs_can_not_be_looked_at_is_told_as_it_was(void **state)
{
    (void)state;
    start(mounts_a_failure, NULL);
    note_text = "(torn)";
    for (int i = 0; i < 2; i++) {
        update_fails(COCO_EFAIL, NULL);
        expect_failures("/\"x\" COCO_EFAIL failed on purpose");
    }
    note_text = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(new_version_runs_the_function_again),
        TEST(new_deps_value_runs_the_function_again),
        TEST(change_of_a_callee_runs_exactly_those_that_called_it),
        TEST(memo_hit_reports_its_dependencies_upward),
        TEST(hit_of_a_used_component_reports_its_dependencies_upward),
        TEST(change_of_a_mounted_child_runs_the_memoized_parent),
        TEST(self_follows_its_own_logic_alone),
        TEST(none_follows_no_logic),
        TEST(deps_without_tracking_are_an_error),
        TEST(changed_argument_runs_the_function_again),
        TEST(inputs_of_a_callee_are_no_inputs_of_the_caller),
        TEST(changed_context_runs_its_readers_and_their_callers_alone),
        TEST(context_that_is_no_longer_provided_is_a_change),
        TEST(memo_is_valid_again_when_the_logic_is_as_it_was),
        TEST(old_logic_runs_again_where_newer_has_replaced_its_memo),
        TEST(vanished_callee_is_a_change),
        TEST(argument_may_be_left_out_of_the_key_or_transformed_for_it),
        TEST(object_that_can_not_be_a_key_is_an_error_that_names_the_argument),
        TEST(memoized_call_may_not_mount),
        TEST(memoized_call_may_not_iterate_over_a_source),
        TEST(mounted_memoized_function_may_mount_but_not_iterate),
        TEST(file_opened_inside_a_call_is_a_dependency_also_while_it_is_missing),
        TEST(failure_is_never_cached),
        TEST(changed_body_is_changed_logic),
        TEST(explicit_version_counts_alone),
        TEST(first_run_says_never_run),
        TEST(crash_after_the_precommit_says_pending),
        TEST(changed_schema_names_the_target),
        TEST(full_reprocess_says_forced),
        TEST(call_knows_the_reason_of_its_miss),
        TEST(remembered_failure_waits_counts_and_keeps_the_targets),
        TEST(changed_input_is_tried_at_once),
        TEST(only_and_full_reprocess_try_at_once),
        TEST(wait_doubles_with_each_failure),
        TEST(failure_whose_inputs_can_not_be_looked_at_is_told_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
