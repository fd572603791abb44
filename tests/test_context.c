/* What a function's cx gives and refuses: arguments of the wrong kind, what may be done in a setup function, values
 * that are provided (S1.7, S4); and whatever call fails under a function that makes use of all of it. */
#include "scenarios.h"

/* ---- Arguments ---- */

typedef struct gadget {
    int n;
} gadget;

static coco_status copy_gadget(coco_ctx *cx, void *object, void **copy)
{
    gadget *t = coco_alloc(cx, sizeof *t);

    if (t) *t = *(const gadget *)object;
    *copy = t;
    return coco_error(cx);
}

static coco_status key_of_gadget(coco_ctx *cx, void *object, coco_value *key)
{
    (void)cx;
    *key = coco_int(((gadget *)object)->n);
    return COCO_OK;
}

static const coco_class gadget_class = { .type = "gadget", .copy = copy_gadget, .memo_key = key_of_gadget };
static const coco_class other_class = { .type = "other" };
static gadget a_gadget = { 7 };

COCO_FN(takes, (bool, yes, int, i, int64_t, big, double, d, coco_str, s, const char *, c, const gadget *, t))
{
    return coco_return(cx, coco_text_n(coco_format(cx, "%d %d %lld %g %.*s %s %d", yes, i, (long long)big, d, (int)s.n,
                                                   s.p, c, t->n)));
}

static int wrong_at;         /* the argument that is another; -1: none */
static coco_value wrong_one;
static char said[COCO_ERR_MAX];

COCO_FN(calls_takes, ())
{
    coco_value args[] = { coco_bool(true), coco_int(1), coco_int(1LL << 40), coco_float(1.5), coco_text("text"),
                          coco_text("c"), coco_object(&gadget_class, &a_gadget) }, v;

    if (wrong_at >= 0) args[wrong_at] = wrong_one;
    coco_status rc = coco_call(cx, &takes, (coco_args){ args, 7 }, &v);
    snprintf(said, sizeof said, "%s", rc == COCO_OK ? "" : coco_error_message(cx));
    if (rc == COCO_OK) snprintf(said, sizeof said, "%.*s", (int)coco_text_of(v).n, coco_text_of(v).p);
    return wrong_at < 0 || rc == COCO_ETYPE ? COCO_OK : rc == COCO_OK ? COCO_EFAIL : rc;
}

static void calling_with(int at, coco_value v, const char *says)
{
    wrong_at = at, wrong_one = v;
    program(&calls_takes);
    update(OPTS(.full_reprocess = true));
    if (!strstr(said, says)) fail_msg("%s, not %s", said, says);
}

static void argument_of_another_kind_is_told(void **state)
{
    const char cut[] = { 'a', 0, 'b' };

    (void)state;
    calling_with(-1, coco_null(), "1 1 1099511627776 1.5 text c 7");
    calling_with(0, coco_int(1), ", got int");
    calling_with(1, coco_text("1"), "argument 2 (i) wants int, got text");
    calling_with(1, coco_int(1LL << 40), "wants int, got int");
    calling_with(2, coco_float(1), "argument 3 (big) wants int64_t, got float");
    calling_with(3, coco_bool(true), "argument 4 (d) wants double, got bool");
    calling_with(4, coco_null(), "argument 5 (s) wants coco_str, got null");
    calling_with(5, coco_bytes("x", 1), "argument 6 (c) wants const char *, got bytes");
    calling_with(5, coco_text_n((coco_str){ cut, 3 }), "argument 6 (c) wants const char *, got text");
    calling_with(6, coco_object(&other_class, &a_gadget), "argument 7 (t) wants const gadget *, got other");
    calling_with(6, coco_list(NULL, 0), "got list");
}

static void number_is_taken_for_what_it_is_close_to(void **state)
{
    (void)state;
    wrong_at = 3, wrong_one = coco_int(4);
    program(&calls_takes);
    update_fails(COCO_EFAIL, NULL); /* as the call went well */
    assert_non_null(strstr(said, "4 text"));
    wrong_at = 4, wrong_one = coco_bytes("bytes", 5);
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(said, "bytes"));
    wrong_at = 5, wrong_one = coco_text("");
    update_fails(COCO_EFAIL, NULL);
}

/* ---- Setup functions ---- */

static coco_key THING = COCO_KEY("gadget", .detect_change = true), NUMBER = COCO_KEY("number", .detect_change = true),
                LOOSE = COCO_KEY("loose");
enum { WELL, TWICE, NO_KEY, NO_PRINT, BAD_KEY };
static int providing;

static coco_status key_fails(coco_ctx *cx, void *object, coco_value *key)
{
    (void)object;
    *key = coco_null();
    return coco_fail(cx, COCO_EIO, "no key today");
}
static const coco_class keyless_class = { .type = "keyless" };
static const coco_class failing_class = { .type = "failing", .memo_key = key_fails };

/* Nothing of an update is there: what needs one says so, or gives nothing. */
static coco_status outside_a_component(coco_ctx *cx)
{
    coco_value v;
    coco_ctx *fork;
    static int tag;

    if (coco_is_live(cx) || coco_is_preview(cx) || coco_run_memory(cx, &tag, 8)) return COCO_EFAIL;
    coco_notice(cx, "%s", "nobody hears of it");
    if (coco_call(cx, &takes, COCO_NOARGS, &v) != COCO_EINVAL) return COCO_EFAIL;
    if (coco_scope_begin(cx, coco_text("s")) != COCO_EINVAL) return COCO_EFAIL;
    if (coco_catch_begin(cx, NULL, NULL) != COCO_EINVAL) return COCO_EFAIL;
    coco_scope_end(cx);
    coco_catch_end(cx);
    COCO_TRY(coco_cx_fork(cx, &fork)); /* a thread may help */
    if (!coco_alloc(fork, 8)) return COCO_EFAIL;
    COCO_TRY(coco_cx_join(cx, fork));
    coco_str s = coco_format(cx, "%d", 5);
    if (!s.p || coco_text_of(coco_copy_value(cx, coco_text_n(s))).n != 1) return COCO_EFAIL;
    if (coco_int_of(coco_context(cx, &LOOSE)) != 3) return COCO_EFAIL;
    return coco_error(cx);
}

static coco_status set_up(coco_ctx *cx, void *user)
{
    static const coco_class *const classes[] = { [NO_KEY] = &keyless_class, [BAD_KEY] = &failing_class };

    (void)user;
    COCO_TRY(coco_provide(cx, &LOOSE, coco_int(3)));
    COCO_TRY(coco_provide(cx, &THING, coco_object(&gadget_class, &a_gadget)));
    if (providing == TWICE) COCO_TRY(coco_provide(cx, &LOOSE, coco_int(4)));
    if (providing == NO_KEY || providing == BAD_KEY)
        return coco_provide(cx, &NUMBER, coco_object(classes[providing], &a_gadget));
    if (providing == NO_PRINT)
        return coco_provide(cx, &NUMBER, coco_list((coco_value[]){ coco_object(&keyless_class, &a_gadget) }, 1));
    COCO_TRY(coco_provide(cx, &NUMBER, coco_int(5)));
    return outside_a_component(cx);
}

COCO_FN(provides_late, ())
{
    return coco_provide(cx, &NUMBER, coco_int(1));
}

static void setting_up(int how, coco_status rc, const char *says)
{
    restart();
    providing = how;
    w.env_config.setup = set_up;
    program(&calls_takes);
    wrong_at = -1;
    update_fails(rc, NULL);
    if (!strstr(w.err.msg, says)) fail_msg("%s, not %s", w.err.msg, says);
}

static void setup_provides_each_value_once_and_with_a_fingerprint(void **state)
{
    (void)state;
    setting_up(WELL, COCO_OK, "");
    assert_int_equal(coco_int_of(coco_env_context(w.env, &LOOSE)), 3);
    assert_int_equal(coco_int_of(coco_app_context(w.app, &LOOSE)), 3);
    setting_up(TWICE, COCO_EDUP, "loose is provided twice");
    setting_up(NO_KEY, COCO_ETYPE, "a keyless can't be fingerprinted");
    setting_up(NO_PRINT, COCO_ETYPE, "the value can't be fingerprinted");
    setting_up(BAD_KEY, COCO_EIO, "no key today");
    assert_int_equal(coco_env_context(w.env, &LOOSE).kind, COCO_NULL);
    assert_int_equal(coco_app_context(w.app, &LOOSE).kind, COCO_NULL);
}

static void value_is_provided_in_a_setup_function_alone(void **state)
{
    (void)state;
    program(&provides_late);
    update_fails(COCO_EINVAL, NULL);
    assert_non_null(strstr(w.err.msg, "provided in a setup function"));
}

/* ---- Whatever fails under a function that uses all of it ---- */

static coco_status state_of_gadget(coco_ctx *cx, void *object, coco_str stored, coco_str *state, bool *valid)
{
    *state = coco_format(cx, "%d", ((gadget *)object)->n);
    *valid = !stored.p || coco_str_equal(stored, *state);
    return coco_error(cx);
}

static coco_status open_gadget(coco_ctx *cx, coco_value key, void **object)
{
    gadget *g = coco_alloc(cx, sizeof *g);

    if (g) g->n = (int)coco_int_of(key);
    *object = g;
    return coco_error(cx);
}

static coco_class tracked_class = { .type = "gadget", .copy = copy_gadget, .memo_key = key_of_gadget,
                                    .memo_state = state_of_gadget, .reopen = open_gadget };
COCO_AT_START(tracked_class) { coco_class_register(&tracked_class); }

static coco_key TRACKED = COCO_KEY("tracked", .detect_change = true);
static coco_status provide_all(coco_ctx *cx, void *user)
{
    (void)user;
    COCO_TRY(coco_provide(cx, &NUMBER, coco_int(5)));
    return coco_provide(cx, &TRACKED, coco_object(&tracked_class, &a_gadget));
}

static coco_runner bench = COCO_RUNNER("bench");
static coco_rate pace = { .per_second = 1e9, .burst = 1000 };

COCO_BATCH_FN(triples, (int64_t, i), .max_batch = 3, .memo = true)
{
    for (size_t k = 0; k < n; k++) results[k] = coco_int(3 * coco_int_of(calls[k].v[0]));
    return COCO_OK;
}

COCO_FN(on_bench, (int64_t, i), .runner = &bench, .share = 0.5)
{
    COCO_TRY(coco_rate_wait(cx, &pace, 1));
    return coco_return(cx, coco_int(i + 1));
}

/* A memo of its own, with each thing that it may depend on. */
COCO_FN(depends, (int64_t, i, coco_value, tab), .memo = true)
{
    static const char *const words[] = { "a", "b" };
    coco_value both[2], v;
    coco_str text;

    COCO_TRY(coco_track(cx, &tracked_class, &a_gadget));
    coco_value number = coco_context(cx, &NUMBER), param = coco_param(cx, "word");
    gadget *g = coco_object_of(coco_context(cx, &TRACKED), &tracked_class);
    COCO_TRY(coco_error(cx));
    COCO_TRY(coco_call(cx, &on_bench, COCO_ARGS(coco_int(i)), &v));
    both[0] = coco_int(coco_int_of(v) + coco_int_of(number) + g->n);
    both[1] = coco_copy_value(cx, coco_list((coco_value[]){ coco_text(words[i % 2]), param }, 2));
    COCO_TRY(coco_print(cx, both[1], &text));
    COCO_TRY(coco_print_json(cx, both[1], &text));
    COCO_TRY(coco_declare(cx, coco_object_of(tab, &coco_target_class), coco_int(i), coco_list(both, 2)));
    return coco_return(cx, coco_list(both, 2));
}

COCO_FN(gives_objects, (int64_t, i))
{
    return coco_return(cx, coco_list((coco_value[]){ coco_int(i), coco_object(&tracked_class, &a_gadget) }, 2));
}

COCO_FN(item, (coco_value, kv, coco_value, tab))
{
    return coco_declare(cx, coco_object_of(tab, &coco_target_class), coco_at(kv, 0), coco_at(kv, 1));
}

/* ---- Loops in a scratch ---- */

typedef struct counter { /* a source of 1 to 3 with memory of its own */
    int64_t n;
    bool closed;
} counter;
static int nclosed;

static int count_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    counter *c = src->self;

    (void)cx;
    if (c->n == 3) return 0;
    *key = *value = coco_int(++c->n);
    return 1;
}

static void count_close(coco_source *src)
{
    counter *c = src->self;

    nclosed += !c->closed;
    c->closed = true;
}

static coco_source *counting(coco_ctx *cx)
{
    coco_source *src = coco_source_new(cx);

    if (!src || !(src->self = coco_alloc(cx, sizeof(counter)))) return NULL;
    src->next = count_next;
    src->close = count_close;
    return src;
}

static int loops_wrong;

COCO_FN(loops_in_scratches, ())
{
    int64_t sum = 0;

    loops_wrong = nclosed = 0;
    for (int i = 0; i < 3; i++) {
        coco_source *before = counting(cx);
        coco_scratch_begin(cx);
        COCO_EACH(cx, counting(cx), outer, o)
        {
            coco_scratch_begin(cx);
            COCO_EACH(cx, counting(cx), inner, n)
            {
                sum += coco_int_of(n) * coco_int_of(o);
                if (i == 1) break;
            }
            coco_scratch_end(cx);
            if (i == 2) break;
        }
        COCO_EACH(cx, before, key, value)
        {
            if (coco_int_of(value) == i) break;
        }
        loops_wrong += nclosed != (i == 0 ? 5 : i == 1 ? 9 : 11); /* what was left waits for the end */
        coco_scratch_end(cx);
        loops_wrong += nclosed != (i == 0 ? 5 : i == 1 ? 10 : 13);
    }
    return coco_return(cx, coco_int(sum));
}

/* A scratch takes its memory along: what is read in it is closed before. */
static void source_left_in_a_scratch_is_closed_at_its_end(void **state)
{
    (void)state;
    program(&loops_in_scratches);
    update(NULL);
    assert_int_equal(loops_wrong, 0);
    assert_int_equal(nclosed, 13);
}

/* The same by hand: a source's items, one more thread's cx, marks, scopes, handlers, states and ids. */
static coco_status by_hand(coco_ctx *cx, coco_target *tab)
{
    coco_value sum_of, was;
    coco_ctx *fork;
    uint8_t uuid[16];
    int64_t id, sum = 0;
    static int tag;

    if (!coco_run_memory(cx, &tag, 100) || !coco_run_memory(cx, &tag, 100)) return coco_error(cx);
    COCO_TRY(coco_catch_begin(cx, NULL, NULL));
    COCO_TRY(coco_scope_begin(cx, coco_text("scope")));
    COCO_EACH(cx, items(cx, "x=1 y=2 z=3", false), key, value) sum += coco_int_of(coco_at(value, 1));
    COCO_TRY(coco_error(cx));
    COCO_TRY(coco_use_state(cx, coco_text("runs"), coco_int(0), &was));
    COCO_TRY(coco_state_set(cx, coco_text("runs"), coco_int(sum)));
    COCO_TRY(coco_generate_id(cx, coco_text("one"), &id));
    COCO_TRY(coco_next_uuid(cx, coco_text("two"), uuid));
    COCO_TRY(coco_cx_fork(cx, &fork));
    coco_status rc = coco_call(fork, &on_bench, COCO_ARGS(coco_int(sum)), &sum_of);
    coco_status joined = coco_cx_join(cx, fork);
    COCO_TRY(rc != COCO_OK ? rc : joined);
    coco_scratch_begin(cx);
    rc = coco_declare(cx, tab, coco_text_n(coco_format(cx, "sum%d", 1)), sum_of);
    coco_scratch_end(cx);
    coco_scope_end(cx);
    coco_catch_end(cx);
    coco_notice(cx, "%s", "all by hand");
    return rc;
}

COCO_FN(uses_everything, ())
{
    coco_value inputs[7], results[7], v;
    coco_target *tab;
    coco_handle *handle;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    coco_value t = coco_target_value(tab);
    for (int i = 0; i < 7; i++) inputs[i] = coco_int(i);
    COCO_TRY(coco_map(cx, &triples, inputs, 7, COCO_NOARGS, results));
    COCO_TRY(coco_map(cx, &on_bench, inputs, 7, COCO_NOARGS, NULL));
    COCO_TRY(coco_call(cx, &depends, COCO_ARGS(coco_int(1), t), &v));
    COCO_TRY(coco_call(cx, &gives_objects, COCO_ARGS(coco_int(1)), &v));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("below")), &depends, COCO_ARGS(coco_int(2), t), &handle));
    COCO_TRY(coco_ready(cx, handle));
    COCO_TRY(coco_use_mount(cx, COCO_PATH(coco_text("used")), &depends, COCO_ARGS(coco_int(3), t), &v));
    COCO_TRY(coco_mount_each(cx, COCO_AUTO, &item, items(cx, "p=1 q=2", true), COCO_ARGS(t)));
    return by_hand(cx, tab);
}

static coco_status use_everything(void)
{
    static const coco_param_def params[] = { { "word", "w", NULL }, { NULL, NULL, NULL } };

    w.env_config.setup = provide_all;
    w.config.params = params;
    program(&uses_everything);
    return try_update(NULL);
}

static void from_nothing(void)
{
    restart();
    unlink(own_db);
    shelf_load(before_path);
}

static void from_the_same(void)
{
    restart();
    copy_file(before_db, own_db);
    shelf_load(before_path);
    a_gadget.n = 8; /* memos ask, and don't hold */
}

static void nothing_is_left(void)
{
    update(NULL);
    expect_actions(NULL);
}

static void sweep_all(void (*before)(void), bool first)
{
    static sweep all = { .act = use_everything, .look = shelf_text, .rest = nothing_is_left, .names = "/" };

    sweep_world();
    a_gadget.n = 7;
    if (!first && use_everything() != COCO_OK) fail_msg("%s", w.err.msg);
    restart();
    if (!first) copy_file(own_db, before_db);
    shelf_save(before_path);
    all.before = before;
    sweep_over(&all, FAULT_MEMORY);
    sweep_over(&all, FAULT_STORE);
}

static void first_use_of_everything_survives_any_fault(void **state)
{
    (void)state;
    sweep_all(from_nothing, true);
}

static void use_of_everything_again_survives_any_fault(void **state)
{
    (void)state;
    sweep_all(from_the_same, false);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SCENARIO_TEST(argument_of_another_kind_is_told),
        SCENARIO_TEST(number_is_taken_for_what_it_is_close_to),
        SCENARIO_TEST(setup_provides_each_value_once_and_with_a_fingerprint),
        SCENARIO_TEST(value_is_provided_in_a_setup_function_alone),
        SCENARIO_TEST(source_left_in_a_scratch_is_closed_at_its_end),
        SCENARIO_TEST(first_use_of_everything_survives_any_fault),
        SCENARIO_TEST(use_of_everything_again_survives_any_fault),
    };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, sweep_counts);
}
