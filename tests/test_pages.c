/* A component with many target states (S7, design "The store"): states in pages beside its record. One that
 * changes costs a page, not a record; declarations may come in any order; keys may be of any length. */
#include "harness.h"

/* A target whose sink does nothing: the numbers matter. */
static size_t ninserts, nupdates, ndeletes;

static coco_status null_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    (void)self, (void)err;
    for (size_t i = 0; i < n; i++) {
        coco_action_kind kind = actions[i]->kind;
        ++*(kind == COCO_INSERT ? &ninserts : kind == COCO_UPDATE ? &nupdates : &ndeletes);
    }
    return COCO_OK;
}

static coco_sink null_sink = { .apply = null_apply, .name = "void" };

static coco_status null_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    uint8_t fp[16];

    (void)self;
    out->act = true;
    out->action.kind = !in->desired ? COCO_DELETE : in->npossible ? COCO_UPDATE : COCO_INSERT;
    if (!in->desired) return COCO_OK;
    COCO_TRY(coco_fingerprint(*in->desired, fp));
    out->record = coco_copy(cx, (coco_str){ (const char *)fp, sizeof fp });
    out->act = in->may_be_missing || in->npossible != 1 || !coco_str_equal(in->possible[0], out->record);
    return COCO_OK;
}

static coco_status null_make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    (void)cx, (void)key;
    *out = (coco_target_handler){ .name = "void", .sink = &null_sink, .reconcile = null_reconcile };
    return COCO_OK;
}

static coco_target_type null_type = { "void", null_make, NULL };
COCO_AT_START(void_target) { coco_target_register(&null_type); }

/* What the one component declares: keys from, from + step … below to, but for `without`, in an order that `order`
 * says. */
static int64_t from, to, step, changed, value_of_changed, without;
static enum { ASCENDING, DESCENDING, SHUFFLED } order;
static size_t key_bytes; /* 0: integers; else texts of at least so many bytes that differ at their end */

static coco_value key_of(coco_ctx *cx, int64_t i)
{
    if (!key_bytes) return coco_int(i);
    return coco_text_n(coco_format(cx, "%0*d%08lld", (int)key_bytes, 7, (long long)i));
}

COCO_FN(many, ())
{
    coco_target *t = coco_target_new(cx, "void", coco_null(), "void");
    int64_t n = (to - from + step - 1) / step;

    for (int64_t i = 0; i < n; i++) {
        int64_t shuffled = i * 7919 % n; /* n is no multiple of 7919 */
        int64_t at = order == ASCENDING ? i : order == DESCENDING ? n - 1 - i : shuffled;
        int64_t key = from + at * step;
        if (key == without) continue;
        coco_scratch_begin(cx);
        COCO_TRY(coco_declare(cx, t, key_of(cx, key), coco_int(key == changed ? value_of_changed : key)));
        coco_scratch_end(cx);
    }
    return COCO_OK;
}

#ifdef COCO_SMALL
enum { MANY = 600, LOTS = 2000 };
#else
enum { MANY = 10000, LOTS = 100000 };
#endif

static void range(int64_t first, int64_t end, int64_t by)
{
    from = first, to = end, step = by;
    program(&many);
}

static int pages_begin(void **state)
{
    range(0, MANY, 1);
    changed = without = INT64_MIN;
    order = ASCENDING;
    key_bytes = 0;
    world_begin(state);
    w.env_config.on_event = NULL;
    program(&many);
    w.config.guard_states = 1000000000;
    return 0;
}
#define PAGES(name) cmocka_unit_test_setup_teardown(name, pages_begin, world_end)

static void expect_counts(size_t inserts, size_t updates, size_t deletes)
{
    ninserts = nupdates = ndeletes = 0;
    update(NULL);
    assert_int_equal(ninserts, inserts);
    assert_int_equal(nupdates, updates);
    assert_int_equal(ndeletes, deletes);
}

/* Pages of the file whose content differs from a copy: what an update wrote, but for rewrites of the same bytes. */
static size_t pages_written(void)
{
    static char a[4096], b[4096];
    char path[100];
    size_t n = 0, got, before;

    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    FILE *is = fopen(path, "rb"), *was = fopen(w.saved, "rb");
    assert_non_null(is);
    assert_non_null(was);
    while ((got = fread(a, 1, sizeof a, is)) > 0) {
        before = fread(b, 1, sizeof b, was);
        n += before != got || memcmp(a, b, got) != 0;
    }
    fclose(is);
    fclose(was);
    return n;
}

/* design, budgets: one changed row writes at most 64 KiB. */
static void one_changed_state_of_many_writes_at_most_64_kib(void **state)
{
    (void)state;
    range(0, LOTS, 1);
    expect_counts(LOTS, 0, 0);
    changed = LOTS / 2;
    for (value_of_changed = -10; value_of_changed < -1; value_of_changed++) {
        db_save();
        expect_counts(0, 1, 0);
        assert_in_range(pages_written(), 1, 16);
    }
    expect_counts(0, 1, 0);
    expect_counts(0, 0, 0);
}

static void unchanged_states_write_nothing(void **state)
{
    (void)state;
    expect_counts(MANY, 0, 0);
    expect_nothing_written();
}

static coco_status refusing_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    (void)self, (void)actions, (void)n;
    return coco_err_set(err, COCO_EIO, "no");
}

/* S7.3: all of them are new, and are written once, before the sink is asked. */
static void new_states_that_a_sink_refused_may_be_missing(void **state)
{
    (void)state;
    null_sink.apply = refusing_apply;
    update_fails(COCO_EIO, NULL);
    null_sink.apply = null_apply;
    restart();
    without = 11;
    expect_counts(0, MANY - 1, 1);
    expect_counts(0, 0, 0);
    without = INT64_MIN;
    expect_counts(1, 0, 0);
}

/* A restart in between: what counts is on disk. */
static void declarations_may_come_in_any_order(void **state)
{
    (void)state;
    order = SHUFFLED;
    expect_counts(MANY, 0, 0);
    restart();
    order = ASCENDING;
    expect_counts(0, 0, 0);
    order = DESCENDING;
    expect_counts(0, 0, 0);
    order = SHUFFLED;
    changed = 5;
    value_of_changed = -1;
    without = 11;
    expect_counts(0, 1, 1);
    expect_nothing_written();
}

static void states_inserted_between_others_find_their_pages(void **state)
{
    (void)state;
    range(0, MANY, 2);
    expect_counts(MANY / 2, 0, 0);
    range(0, MANY, 1);
    order = SHUFFLED;
    expect_counts(MANY / 2, 0, 0);
    restart();
    order = ASCENDING;
    expect_counts(0, 0, 0);
    range(-100, MANY + 100, 1);
    expect_counts(200, 0, 0);
    expect_counts(0, 0, 0);
}

static void most_states_may_go(void **state)
{
    (void)state;
    expect_counts(MANY, 0, 0);
    range(0, MANY, 50);
    expect_counts(0, 0, MANY - MANY / 50);
    restart();
    expect_nothing_written();
    range(0, MANY, 1);
    expect_counts(MANY - MANY / 50, 0, 0);
    range(7, 8, 1);
    expect_counts(0, 0, MANY - 1);
    expect_nothing_written();
    drop_all();
}

static void all_states_may_go_and_come_back(void **state)
{
    (void)state;
    range(0, 500, 1);
    expect_counts(500, 0, 0);
    range(0, 0, 1);
    expect_counts(0, 0, 500);
    expect_nothing_written();
    range(0, 500, 1);
    expect_counts(500, 0, 0);
    expect_nothing_written();
}

/* From a record with few states to pages. */
static void growing_one_by_one_loses_nothing(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 60; n++) {
        range(0, n * 5, 1);
        expect_counts(5, 0, 0);
    }
    for (int64_t n = 59; n > 0; n--) {
        range(0, n * 5 - 5, 1);
        expect_counts(0, 0, 5);
    }
    expect_nothing_written();
}

/* S2.5 */
static void keys_over_511_bytes_are_told_apart(void **state)
{
    (void)state;
    key_bytes = 700;
    range(0, 300, 1);
    expect_counts(300, 0, 0);
    restart();
    order = SHUFFLED;
    without = 9;
    changed = 200;
    value_of_changed = -5;
    expect_counts(0, 1, 1);
    expect_nothing_written();
    ndeletes = 0;
    drop_all();
    assert_int_equal(ndeletes, 299);
}

static void ends_of_the_range_are_kept_apart(void **state)
{
    (void)state;
    expect_counts(MANY, 0, 0);
    range(0, MANY, 1);
    to = MANY + 1;
    step = MANY; /* 0 and MANY */
    expect_counts(1, 0, MANY - 1);
}

/* ---- Components at long paths, and rows at long keys, that move ---- */

static bool renamed;
static char long_key[2000];

COCO_FN(one, (coco_str, name))
{
    coco_target *t = coco_target_new(cx, "void", coco_null(), "void");

    return coco_declare(cx, t, coco_text_n(name), coco_int(1));
}

COCO_FN(long_main, ())
{
    coco_str name;

    for (int i = 0; i < 50; i++) {
        if (renamed && i % 10 == 3) continue;
        name = coco_format(cx, "%s%d", long_key, i);
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("in"), coco_text_n(name)), &one, COCO_ARGS(coco_text_n(name)),
                NULL));
    }
    if (!renamed) return COCO_OK;
    name = coco_format(cx, "%s%d", long_key, 3);
    return coco_mount(cx, COCO_PATH(coco_text("moved"), coco_text_n(name)), &one, COCO_ARGS(coco_text_n(name)), NULL);
}

static void long_paths_and_keys_move_and_go(void **state)
{
    (void)state;
    memset(long_key, 'k', sizeof long_key - 1);
    renamed = false;
    program(&long_main);
    expect_counts(50, 0, 0);
    expect_counts(0, 0, 0);
    restart();
    renamed = true;
    expect_counts(0, 0, 4);
    expect_nothing_written();
    ndeletes = 0;
    drop_all();
    assert_int_equal(ndeletes, 46);
}

/* ---- A component with pages that is one no more ---- */

static enum { ABOVE, BELOW_ONLY, ELSEWHERE } rows_at;

COCO_FN(turning_main, ())
{
    if (rows_at == ABOVE) return coco_mount(cx, COCO_PATH(coco_text("x")), &many, COCO_NOARGS, NULL);
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("x"), coco_text("y")), &one, COCO_ARGS(coco_text("in y")), NULL));
    if (rows_at == BELOW_ONLY) return COCO_OK;
    return coco_mount(cx, COCO_PATH(coco_text("z")), &many, COCO_NOARGS, NULL);
}

static void component_that_turns_into_an_inner_node_leaves_no_pages(void **state)
{
    (void)state;
    for (int after = BELOW_ONLY; after <= ELSEWHERE; after++) {
        rows_at = ABOVE;
        program(&turning_main);
        expect_counts(MANY, 0, 0);
        restart();
        rows_at = after == BELOW_ONLY ? BELOW_ONLY : ELSEWHERE;
        expect_counts(1, 0, after == BELOW_ONLY ? MANY : 0);
        expect_sound(__FILE__, __LINE__);
        drop_all();
        restart();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAGES(one_changed_state_of_many_writes_at_most_64_kib),
        PAGES(unchanged_states_write_nothing),
        PAGES(new_states_that_a_sink_refused_may_be_missing),
        PAGES(declarations_may_come_in_any_order),
        PAGES(states_inserted_between_others_find_their_pages),
        PAGES(most_states_may_go),
        PAGES(all_states_may_go_and_come_back),
        PAGES(growing_one_by_one_loses_nothing),
        PAGES(keys_over_511_bytes_are_told_apart),
        PAGES(ends_of_the_range_are_kept_apart),
        PAGES(long_paths_and_keys_move_and_go),
        PAGES(component_that_turns_into_an_inner_node_leaves_no_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
