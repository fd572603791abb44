/* Target states (S7.1 to S7.8, S7.10): what handlers are told and held to, batches and their order, failing sinks
 * and what they leave open, containers and their content, attachments, containers that the user manages. */
#include "plan.h"

#include <lmdb.h>

/* ---- A handler that writes down what it is asked, and breaks its duties when told to ---- */

static lines asked;
static enum { DUTIFUL, KEEPS, NO_RECORD, RECORD_OF_NOTHING, LARGE_RECORD } conduct;
static size_t weight;                 /* of each action */
static lines batches;                 /* each batch as "sink: + 1, ~ 2" */
static coco_sink sinks[100];

static coco_status probe_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    char line[400];
    const coco_sink *s = self;
    size_t used = (size_t)snprintf(line, sizeof line, "%s:", s->name);

    (void)err;
    for (size_t i = 0; i < n && used < sizeof line; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, " %c%s%lld", "+~-"[actions[i]->kind],
                actions[i]->container ? "c" : "",
                                 (long long)coco_int_of(actions[i]->key));
    lines_add(&batches, "%s", line);
    return COCO_OK;
}

static coco_status probe_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    char line[300];
    size_t used = (size_t)snprintf(line, sizeof line, "%lld %s:", (long long)coco_int_of(in->key),
            in->desired ? "wanted" : "not wanted");
    coco_str record = { 0 };
    bool same = in->desired && in->npossible == 1 && !in->may_be_missing;

    (void)self;
    for (size_t i = 0; i < in->npossible; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, " %.*s",
                in->possible[i].p ? (int)in->possible[i].n : 6,
                                 in->possible[i].p ? in->possible[i].p : "absent");
    lines_add(&asked, "%s%s", line, in->may_be_missing ? " (may be missing)" : "");
    if (in->desired) COCO_TRY(coco_print(cx, *in->desired, &record));
    out->act = conduct == KEEPS ? false : !same || !coco_str_equal(in->possible[0], record);
    if (conduct == LARGE_RECORD && in->desired) record = coco_format(cx, "%*s", (1 << 20) + 1, "");
    out->record = conduct == NO_RECORD ? (coco_str){ 0 } : conduct == RECORD_OF_NOTHING ? COCO_STR("x") : record;
    out->action.kind = !in->desired ? COCO_DELETE : in->npossible ? COCO_UPDATE : COCO_INSERT;
    out->action.bytes = weight;
    return COCO_OK;
}

static coco_status probe_child(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
        coco_target_handler *out)
{
    (void)cx, (void)self, (void)key, (void)desired, (void)record;
    *out = (coco_target_handler){ .name = "probe", .sink = &sinks[0], .reconcile = probe_reconcile,
                                  .child = probe_child };
    return COCO_OK;
}

/* The root with key n writes to sink n. */
static coco_status probe_make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    coco_sink *s = &sinks[coco_int_of(key)];

    if (!s->apply) *s = (coco_sink){ .apply = probe_apply, .name = coco_int_of(key) ? "other" : "first" };
    s->self = s;
    if (!sinks[0].apply) sinks[0] = (coco_sink){ .self = &sinks[0], .apply = probe_apply, .name = "first" };
    COCO_TRY(probe_child(cx, NULL, key, NULL, (coco_str){ 0 }, out));
    out->sink = s;
    return COCO_OK;
}

static coco_target_type probe_type = { "probe", probe_make, NULL };
COCO_AT_START(probe) { coco_target_register(&probe_type); }

static coco_target *probe(coco_ctx *cx, int64_t n)
{
    return coco_target_new(cx, "probe", coco_int(n), coco_format(cx, "probe%d", (int)n).p);
}

/* States of one component: key and value. value -1: not declared. */
static int64_t wanted[8], nwanted;

COCO_FN(probe_main, ())
{
    for (int64_t i = 0; i < nwanted; i++)
        if (wanted[i] >= 0) COCO_TRY(coco_declare(cx, probe(cx, 0), coco_int(i + 1), coco_int(wanted[i])));
    return COCO_OK;
}

static void want(int64_t one)
{
    nwanted = 1;
    wanted[0] = one;
    lines_clear(&asked);
    lines_clear(&batches);
    program(&probe_main);
}

static int probe_begin(void **state)
{
    memset(sinks, 0, sizeof sinks);
    conduct = DUTIFUL;
    weight = 0;
    return world_begin(state);
}

static int probe_end(void **state)
{
    lines_clear(&asked);
    lines_clear(&batches);
    return world_end(state);
}
#define PROBE(name) cmocka_unit_test_setup_teardown(name, probe_begin, probe_end)

/* S7.1, S7.2 */
static void new_state_was_never_tracked_and_may_be_missing(void **state)
{
    (void)state;
    want(10);
    update(NULL);
    LINES_EXPECT(&asked, "1 wanted: (may be missing)");
    want(10);
    update(NULL);
    LINES_EXPECT(&asked, "1 wanted: 10");
    LINES_EXPECT(&batches, NULL);
    want(11);
    update(NULL);
    LINES_EXPECT(&asked, "1 wanted: 10");
    LINES_EXPECT(&batches, "first: ~1");
    want(-1);
    update(NULL);
    LINES_EXPECT(&asked, "1 not wanted: 11");
    LINES_EXPECT(&batches, "first: -1");
}

/* S7.2 */
static void full_reprocess_says_that_states_may_be_missing(void **state)
{
    (void)state;
    want(10);
    update(NULL);
    want(10);
    update(OPTS(.full_reprocess = true));
    LINES_EXPECT(&asked, "1 wanted: 10 (may be missing)");
    LINES_EXPECT(&batches, "first: ~1");
}

static coco_status refusing_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    (void)self, (void)actions, (void)n;
    return coco_err_set(err, COCO_EIO, "no");
}

/* S7.3: all possibilities stay until a sink has said that one of them is true. */
static void failed_sink_leaves_every_possibility(void **state)
{
    (void)state;
    want(10);
    sinks[0] = (coco_sink){ .apply = refusing_apply, .name = "first" };
    update_fails(COCO_EIO, NULL);
    want(11);
    update_fails(COCO_EIO, NULL);
    LINES_EXPECT(&asked, "1 wanted: 10 absent (may be missing)");
    want(10);
    update_fails(COCO_EIO, NULL);
    LINES_EXPECT(&asked, "1 wanted: 10 absent 11 (may be missing)");
    want(-1);
    update_fails(COCO_EIO, NULL);
    LINES_EXPECT(&asked, "1 not wanted: 10 absent 11 (may be missing)");
    want(12);
    sinks[0].apply = NULL;
    update(NULL);
    LINES_EXPECT(&asked, "1 wanted: 10 absent 11 (may be missing)");
    want(12);
    update(NULL);
    LINES_EXPECT(&asked, "1 wanted: 12");
    LINES_EXPECT(&batches, NULL);
}

COCO_FN(probe_part, (int64_t, value))
{
    return coco_declare(cx, probe(cx, 0), coco_int(1), coco_int(value));
}

static const char *part_name;

COCO_FN(probe_parts, ())
{
    return coco_mount(cx, COCO_PATH(coco_text(part_name)), &probe_part, COCO_ARGS(coco_int(10)), NULL);
}

/* S7.3, S7.9: the state of a component of nothing but new ones, which is written once, too. */
static void who_takes_a_state_from_a_component_that_failed_is_told_that_it_may_be_missing(void **state)
{
    (void)state;
    part_name = "one";
    sinks[0] = (coco_sink){ .apply = refusing_apply, .name = "first" };
    program(&probe_parts);
    update_fails(COCO_EFAIL, NULL);
    part_name = "other";
    sinks[0].apply = NULL;
    lines_clear(&asked);
    program(&probe_parts);
    update(NULL);
    LINES_EXPECT(&asked, "1 wanted: 10 absent (may be missing)");
    lines_clear(&asked);
    program(&probe_parts);
    update(NULL);
    LINES_EXPECT(&asked, "1 wanted: 10");
}

/* S7.2: a failed delete may have worked. */
static void failed_delete_leaves_a_state_that_may_be_missing(void **state)
{
    (void)state;
    want(10);
    update(NULL);
    want(-1);
    sinks[0].apply = refusing_apply;
    update_fails(COCO_EIO, NULL);
    want(10);
    sinks[0].apply = NULL;
    update(NULL);
    LINES_EXPECT(&asked, "1 wanted: 10 absent (may be missing)");
    LINES_EXPECT(&batches, "first: ~1");
}

/* S7.2: more possibilities than are kept become "may be anything". */
static void many_failures_end_in_a_record_that_nobody_can_read(void **state)
{
    (void)state;
    sinks[0] = (coco_sink){ .apply = refusing_apply, .name = "first" };
    for (int i = 0; i < 30; i++) {
        want(i);
        update_fails(COCO_EIO, NULL);
        assert_non_null(strstr(asked.v[0], "may be missing"));
    }
    want(5);
    sinks[0].apply = NULL;
    update(NULL);
    LINES_EXPECT(&batches, "first: ~1");
    want(5);
    update(NULL);
    LINES_EXPECT(&asked, "1 wanted: 5");
}

/* S7.2: the engine holds handlers to their duties. */
static void handler_may_not_keep_what_may_be_missing(void **state)
{
    (void)state;
    want(10);
    conduct = KEEPS;
    update_fails(COCO_EINVAL, NULL);
    assert_non_null(strstr(w.err.msg, "probe0"));
}

static void handler_must_give_a_record_for_what_should_exist(void **state)
{
    (void)state;
    want(10);
    conduct = NO_RECORD;
    update_fails(COCO_EINVAL, NULL);
}

static void handler_may_not_give_a_record_for_what_should_not_exist(void **state)
{
    (void)state;
    want(10);
    update(NULL);
    want(-1);
    conduct = RECORD_OF_NOTHING;
    update_fails(COCO_EINVAL, NULL);
    conduct = DUTIFUL;
    want(-1);
    update(NULL);
    LINES_EXPECT(&batches, "first: -1");
}

static void record_over_one_mebibyte_is_refused(void **state)
{
    (void)state;
    want(10);
    conduct = LARGE_RECORD;
    update_fails(COCO_EINVAL, NULL);
}

/* ---- Batches (S7.4) ---- */

static int64_t ncomps, per_comp, nroots;

COCO_FN(rows, (int64_t, from))
{
    for (int64_t i = 0; i < per_comp; i++) COCO_TRY(coco_declare(cx, probe(cx, from % nroots),
            coco_int(from * 10 + i), coco_int(1)));
    return COCO_OK;
}

COCO_FN(rows_main, ())
{
    for (int64_t i = 0; i < ncomps; i++) COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &rows,
            COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

static void comps(int64_t n, int64_t each, int64_t roots)
{
    ncomps = n;
    per_comp = each;
    nroots = roots;
    w.config.max_inflight = 1000;
    program(&rows_main);
}

static void components_share_a_batch(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    comps(3, 2, 1);
    update(NULL);
    LINES_EXPECT(&batches, "first: +0 +1 +10 +11 +20 +21");
}

/* S7.4: whole components only; a larger one is a batch of its own. */
static void sink_limit_closes_a_batch_before_the_next_component(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    comps(4, 2, 1);
    sinks[0] = (coco_sink){ .apply = probe_apply, .name = "first", .max_actions = 5 };
    update(NULL);
    LINES_EXPECT(&batches, "first: +0 +1 +10 +11", "first: +20 +21 +30 +31");
}

static void large_component_is_a_batch_of_its_own(void **state)
{
    (void)state;
    comps(2, 3, 1);
    sinks[0] = (coco_sink){ .apply = probe_apply, .name = "first", .max_actions = 2 };
    update(NULL);
    LINES_EXPECT(&batches, "first: +0 +1 +2", "first: +10 +11 +12");
}

static void sink_limit_of_bytes_closes_a_batch(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    comps(4, 1, 1);
    weight = 100;
    sinks[0] = (coco_sink){ .apply = probe_apply, .name = "first", .max_bytes = 200 };
    update(NULL);
    LINES_EXPECT(&batches, "first: +0 +10", "first: +20 +30");
}

static void each_sink_gets_its_own_batches(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    comps(4, 1, 2);
    update(NULL);
    LINES_EXPECT(&batches, "first: +0 +20", "other: +10 +30");
}

/* However many sinks a round has, each gets its actions. */
static void hundred_sinks_in_one_round_all_apply(void **state)
{
    (void)state;
    comps(100, 1, 100);
    update(NULL);
    assert_int_equal(batches.n, 100);
    assert_int_equal(w.result.inserts, 100);
}

static bool reversed;

COCO_FN(order_main, ())
{
    coco_target *c, *d;

    if (reversed) return COCO_OK;
    COCO_TRY(coco_declare(cx, probe(cx, 0), coco_int(1), coco_int(wanted[0])));
    COCO_TRY(coco_declare_container(cx, probe(cx, 0), coco_int(2), coco_null(), NULL, &c));
    if (wanted[0] < 2) COCO_TRY(coco_declare(cx, c, coco_int(3), coco_int(1)));
    COCO_TRY(coco_declare(cx, c, coco_int(6), coco_int(wanted[0])));
    COCO_TRY(coco_declare_container(cx, c, coco_int(4), coco_null(), NULL, &d));
    return coco_declare(cx, d, coco_int(5), coco_int(1));
}

/* S7.4: containers created top down, deletes, upserts, containers deleted bottom up. */
static void order_in_a_batch_is_containers_deletes_upserts(void **state)
{
    (void)state;
    reversed = false;
    wanted[0] = 1;
    program(&order_main);
    update(NULL);
    LINES_EXPECT(&batches, "first: +c2 +c4 +1 +3 +6 +5");
    lines_clear(&batches);
    wanted[0] = 2;
    update(NULL);
    LINES_EXPECT(&batches, "first: -3 ~1 ~6");
    lines_clear(&batches);
    reversed = true;
    update(NULL);
    assert_int_equal(batches.n, 3);
    assert_string_equal(batches.v[1], "first: -c4");
    assert_string_equal(batches.v[2], "first: -c2");
}

COCO_FN(two_sinks_row, ())
{
    return coco_declare(cx, probe(cx, 0), coco_int(9), coco_int(1));
}

/* The container is of sink 1, its rows of sink 0. */
COCO_FN(two_sinks_table, ())
{
    coco_target *c;

    COCO_TRY(coco_declare_container(cx, probe(cx, 1), coco_int(2), coco_null(), NULL, &c));
    return coco_declare(cx, c, coco_int(3), coco_int(1));
}

COCO_FN(two_sinks_main, ())
{
    COCO_TRY(coco_mount(cx, COCO_AUTO, &two_sinks_row, COCO_NOARGS, NULL));
    return coco_mount(cx, COCO_AUTO, &two_sinks_table, COCO_NOARGS, NULL);
}

/* S7.5 */
static void container_of_another_sink_is_made_before_its_rows(void **state)
{
    (void)state;
    program(&two_sinks_main);
    w.config.max_inflight = 1000;
    update(NULL);
    assert_string_equal(batches.v[0], "other: +c2");
}

/* ---- Failures (S7.4, S7.10) ---- */

static void one_bad_row_fails_its_own_component_alone(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | b: tab.2=20 tab.3=30 | c: tab.4=40");
    fault_on("tab:2", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"b\" COCO_EIO tab:2: refused");
    assert_non_null(shelf_find("tab:1"));
    assert_non_null(shelf_find("tab:4"));
    faults_clear();
    update(NULL);
    expect_ran("/", "/@shelf/\"tab\"", "/\"a\"", "/\"b\"", "/\"c\"");
    expect_actions("~ tab:2", "~ tab:3"); /* absent or there: both were told to the handler */
}

static int refused_batches;
static coco_status all_or_nothing(void *self, coco_action **actions, size_t n, coco_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (coco_int_of(actions[i]->key) == 10) {
            refused_batches++;
            return coco_err_set(err, COCO_EIO, "bad row");
        }
    return probe_apply(self, actions, n, err);
}

/* S7.4: a sink that fails without saying which. */
static void batch_refused_as_a_whole_is_applied_one_component_at_a_time(void **state)
{
    (void)state;
    comps(4, 1, 1);
    refused_batches = 0;
    sinks[0] = (coco_sink){ .apply = all_or_nothing, .name = "first" };
    update_fails(COCO_EFAIL, NULL);
    LINES_EXPECT(&batches, "first: +0", "first: +20", "first: +30");
    expect_failures("/1 COCO_EIO probe0:10: bad row");
    assert_int_equal(refused_batches, 3); /* together, alone, and the last try at the end */
}

/* S7.4: values swapped between two rows under a unique constraint. */
static void swapped_unique_values_are_applied_by_the_end(void **state)
{
    (void)state;
    plan("tab+u", "a: tab.1=10 | b: tab.2=20 | c: tab.3=30");
    update(NULL);
    plan("tab+u", "a: tab.1=20 | b: tab.2=21 | c: tab.3=30");
    update(NULL);
    expect_failures(NULL);
    expect_shelf("shelf:\"tab\" = {\"unique\":true}", "tab:1 = 20", "tab:2 = 21", "tab:3 = 30");
}

/* S7.4: the delete that made room comes from a tombstone. */
static void unique_value_freed_by_a_tombstone_is_applied_by_the_end(void **state)
{
    (void)state;
    plan("tab+u", "a: tab.1=10 | b: tab.2=20");
    update(NULL);
    plan("tab+u", "c: tab.5=20 | a: tab.1=10");
    update(NULL);
    expect_failures(NULL);
    expect_shelf("shelf:\"tab\" = {\"unique\":true}", "tab:1 = 10", "tab:5 = 20");
}

/* S3.7, S7.4: the last try comes after the deletes, those of the component's own gone children too. */
static void unique_value_freed_by_an_own_gone_child_is_applied_by_the_end(void **state)
{
    (void)state;
    plan("tab+u", "p: tab.9=90 | p/a: tab.1=10 | p/a/b: tab.2=20");
    update(NULL);
    plan("tab+u", "p: tab.9=20");
    update(NULL);
    expect_failures(NULL);
    expect_events("gone", "/\"p\"/\"a\"");
    expect_shelf("shelf:\"tab\" = {\"unique\":true}", "tab:9 = 20");
    expect_nothing_written();
}

/* S3.7, S7.10: a component whose function returned says what is gone, also if its sink fails for good. */
static void gone_children_of_a_component_that_fails_for_good_are_deleted(void **state)
{
    (void)state;
    plan("tab+u", "p: tab.9=90 | p/a: tab.1=10");
    update(NULL);
    plan("tab+u", "p: tab.9=91");
    fault_on("tab:9", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/\"p\" COCO_EIO tab:9: refused");
    expect_shelf("shelf:\"tab\" = {\"unique\":true}", "tab:9 = 90");
    faults_clear();
    update(NULL);
    expect_actions("~ tab:9");
    expect_nothing_written();
}

static bool child_has_it;

COCO_FN(one_unique, ()) { return coco_declare(cx, plan_target(cx, "tab"), coco_int(1), coco_int(10)); }

COCO_FN(handing_main, ())
{
    char tab[] = "tab+u";

    plan_ntargets = 0;
    COCO_TRY(plan_container(cx, tab, false));
    if (child_has_it) return coco_mount(cx, COCO_AUTO, &one_unique, COCO_NOARGS, NULL);
    return coco_declare(cx, plan_target(cx, "tab"), coco_int(9), coco_int(10));
}

/* S3.7, S7.4: so it is with the root. */
static void unique_value_that_the_root_takes_from_a_gone_child_is_applied_by_the_end(void **state)
{
    (void)state;
    program(&handing_main);
    child_has_it = true;
    update(NULL);
    child_has_it = false;
    update(NULL);
    expect_failures(NULL);
    expect_shelf("shelf:\"tab\" = {\"unique\":true}", "tab:9 = 10");
    expect_nothing_written();
}

/* S9.1, S7.10 */
static void root_whose_sink_fails_for_good_fails_the_update_and_is_tried_again(void **state)
{
    (void)state;
    program(&handing_main);
    child_has_it = false;
    fault_on("tab:9", -1, false);
    update_fails(COCO_EIO, NULL);
    expect_failures("/ COCO_EIO tab:9: refused");
    assert_string_equal(w.err.msg, "tab:9: refused");
    faults_clear();
    update(NULL);
    expect_shelf("shelf:\"tab\" = {\"unique\":true}", "tab:9 = 10");
}

static void transient_failure_is_tried_again(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20");
    fault_on("tab:1", 2, true);
    update(NULL);
    expect_actions("+ shelf:\"tab\"", "! tab:1", "+ tab:2", "! tab:1", "+ tab:1");
    expect_failures(NULL);
}

/* S7.5: the change of a container may lose or destroy what is in it, so it comes first in every try. */
static void content_of_a_container_that_is_tried_again_comes_again_after_it(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 [own+l1] own.7=7 | b: tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=11 [own+l2] own.7=7 | b: tab.2=21");
    fault_on("shelf:\"own\"", 1, true);
    update(NULL);
    expect_actions("! shelf:\"own\"", "~ tab:1", "~ own:7", "~ tab:2", "~ shelf:\"own\"", "~ own:7");
}

static void transient_failure_of_a_batch_is_tried_again(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    fault_on("", 2, true);
    update(NULL);
    assert_int_equal(w.batches, 4);
}

static void transient_failure_beyond_the_budget_is_a_failure(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    fault_on("tab:1", -1, true);
    update_fails(COCO_EFAIL, NULL);
    assert_in_range(w.batches, 4, 40); /* with backoff, within 200 ms, twice */
    expect_failures("/\"a\" COCO_EIO tab:1: refused");
}

static void permanent_failure_is_not_retried_with_backoff(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    fault_on("tab:1", -1, false);
    update_fails(COCO_EFAIL, NULL);
    expect_actions("+ shelf:\"tab\"", "! tab:1", "! tab:1"); /* and the last try at the end */
}

static void failed_component_keeps_its_previous_targets(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "a: tab.1=11 !");
    update_fails(COCO_EFAIL, NULL);
    expect_actions(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
}

static void failed_container_fails_who_mounts_it(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    fault_on("shelf:\"tab\"", -1, false);
    update_fails(COCO_EIO, NULL);
    expect_shelf(NULL);
    faults_clear();
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
}

/* ---- Containers (S7.5, S7.6) ---- */

static void container_comes_before_its_content_and_goes_after_it(void **state)
{
    (void)state;
    plan("", "a: [tab] tab.1=10 | b: ");
    update(NULL);
    expect_actions("+ shelf:\"tab\"", "+ tab:1");
    plan("", "a: | b: ");
    update(NULL);
    expect_actions("- tab:1", "- shelf:\"tab\"");
    expect_shelf(NULL);
    expect_nothing_written();
}

static void container_declared_by_one_component_goes_after_the_content_of_others(void **state)
{
    (void)state;
    plan("", "t&: [tab] | a: tab.1=10 | b: tab.2=20");
    update(NULL);
    plan("", "t&: ");
    update(NULL);
    assert_int_equal(w.actions.n, 3);
    assert_string_equal(w.actions.v[2], "- shelf:\"tab\"");
    expect_shelf(NULL);
    expect_nothing_written();
}

/* S7.5 */
static void content_of_a_crate_goes_without_an_action(void **state)
{
    (void)state;
    plan("#box", "a: box.1=10 | b: box.2=20");
    update(NULL);
    plan("", "");
    update(NULL);
    expect_actions("- crate:\"box\"");
    expect_shelf(NULL);
    expect_nothing_written();
}

/* S7.5: also where one component declares both. */
static void crate_that_a_running_component_drops_takes_its_content_along(void **state)
{
    (void)state;
    plan("", "t&: [#box] | a: box.1=10 | b: ");
    update(NULL);
    plan("", "t&: | b: ");
    update(NULL);
    expect_actions("- crate:\"box\"");
    expect_nothing_written();
}

static void unchanged_container_leaves_its_rows_alone(void **state)
{
    (void)state;
    plan("tab+s1", "a: tab.1=10");
    update(NULL);
    update(NULL);
    expect_actions(NULL);
}

/* S7.6: destroyed: everything below is void, and declared anew; memoized functions run again. */
static void destroyed_container_is_filled_again(void **state)
{
    (void)state;
    plan("tab+s1", "A: tab.1=10 | B: tab.2=20");
    update(NULL);
    update(NULL);
    expect_hits("/\"A\"", "/\"B\"");
    plan("tab+s2", "A: tab.1=10 | B: tab.2=20");
    update(NULL);
    expect_actions("~ shelf:\"tab\"", "+ tab:1", "+ tab:2");
    update(NULL);
    expect_hits("/\"A\"", "/\"B\"");
    expect_actions(NULL);
}

/* S7.6: lossy: rows are upserted again. */
static void lossy_change_writes_the_rows_again(void **state)
{
    (void)state;
    plan("tab+l1", "A: tab.1=10 | b: tab.2=20");
    update(NULL);
    plan("tab+l2", "A: tab.1=10 | b: tab.2=20");
    update(NULL);
    expect_actions("~ shelf:\"tab\"", "~ tab:1", "~ tab:2");
    update(NULL);
    expect_hits("/\"A\"");
    expect_actions(NULL);
}

/* Regression, S7.6: the target isn't an argument of the function. */
static void captured_target_change_invalidates_memo(void **state)
{
    (void)state;
    plan("tab+s1 other", "A: tab.1=10 | B: other.1=10");
    update(NULL);
    plan("tab+s2 other", "A: tab.1=10 | B: other.1=10");
    update(NULL);
    expect_hits("/\"B\"");
    expect_actions("~ shelf:\"tab\"", "+ tab:1");
}

/* Regression: a primary-key change invalidated one level; old records below were replayed as deletes over rows
 * just written. */
static void destroyed_container_never_deletes_fresh_grandchildren(void **state)
{
    (void)state;
    plan("tab+s1 tab/sub", "a: tab/sub.1=10 tab/sub.2=20");
    update(NULL);
    plan("tab+s2 tab/sub", "a: tab/sub.1=10 | b: tab/sub.2=20");
    update(NULL);
    for (size_t i = 0; i < w.actions.n; i++) assert_int_not_equal(w.actions.v[i][0], '-');
    expect_shelf("shelf:\"tab\" = {\"schema\":2}", "tab/sub:1 = 10", "tab/sub:2 = 20", "tab:\"sub\" = null");
    update(NULL);
    expect_actions(NULL);
}

static void destroyed_container_never_deletes_rows_no_longer_declared(void **state)
{
    (void)state;
    plan("tab+s1", "a: tab.1=10 tab.2=20 | b: tab.3=30");
    update(NULL);
    plan("tab+s2", "a: tab.1=10");
    update(NULL);
    expect_actions("~ shelf:\"tab\"", "+ tab:1");
    update(NULL);
    expect_actions(NULL);
}

/* S7.6: a failure between the container and its rows loses nothing. */
static void rows_of_a_destroyed_container_come_after_a_failure(void **state)
{
    (void)state;
    plan("tab+s1", "A: tab.1=10 | B: tab.2=20");
    update(NULL);
    plan("tab+s2", "A: tab.1=10 | B: tab.2=20");
    fault_on("tab:2", -1, false);
    update_fails(COCO_EFAIL, NULL);
    faults_clear();
    update(NULL);
    expect_hits("/\"A\"");
    expect_actions("~ tab:2");
}

/* Regression: a swallowed ALTER left the old column behind a record that said new. */
static void failed_alter_is_an_error(void **state)
{
    (void)state;
    plan("tab+l1", "a: tab.1=10");
    update(NULL);
    plan("tab+l2", "a: tab.1=10");
    fault_on("shelf:\"tab\"", -1, false);
    update_fails(COCO_EIO, NULL);
    faults_clear();
    update(NULL);
    expect_actions("~ shelf:\"tab\"", "~ tab:1");
    assert_string_equal(shelf_find("shelf:\"tab\"")->value, "{\"lossy\":2}");
}

/* Regression */
static void full_reprocess_evolves_schema_too(void **state)
{
    (void)state;
    plan("tab+s1", "A: tab.1=10");
    update(NULL);
    plan("tab+s2", "A: tab.1=10");
    update(OPTS(.full_reprocess = true));
    expect_actions("~ shelf:\"tab\"", "+ tab:1");
    assert_string_equal(shelf_find("shelf:\"tab\"")->value, "{\"schema\":2}");
    update(NULL);
    expect_actions(NULL);
}

/* S6.6: it doesn't resurrect what isn't declared. */
static void full_reprocess_applies_every_declared_state_again(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10 tab.2=20");
    update(NULL);
    plan("tab", "A: tab.1=10");
    update(OPTS(.full_reprocess = true));
    expect_actions("~ shelf:\"tab\"", "- tab:2", "~ tab:1");
}

/* S7.6: a container that comes back has another id: what was recorded before is void. */
static void container_that_comes_back_is_filled_anew(void **state)
{
    (void)state;
    plan("#box", "A: box.1=10");
    update(NULL);
    plan("", "B: ");
    update(NULL);
    expect_shelf(NULL);
    plan("#box", "A: box.1=10");
    update(NULL);
    expect_actions("+ crate:\"box\"", "+ box:1");
}

/* Regression: the state directory was lost while the table existed. */
static void lost_state_converges_onto_an_existing_target(void **state)
{
    char path[100];

    (void)state;
    plan("tab", "a: tab.1=10 | b: tab.2=20");
    update(NULL);
    restart();
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_int_equal(remove(path), 0);
    plan("tab", "a: tab.1=11 | b: tab.2=20");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 20");
    update(NULL);
    expect_actions(NULL);
}

/* A row whose key was a container's. */
static void container_becomes_a_row_and_back(void **state)
{
    (void)state;
    plan("tab tab/x", "a: tab/x.1=10");
    update(NULL);
    plan("tab", "a: tab.x=5");
    update(NULL);
    assert_string_equal(shelf_find("tab:\"x\"")->value, "5");
    plan("tab tab/x", "a: tab/x.1=10");
    update(NULL);
    assert_non_null(shelf_find("tab/x:1"));
    update(NULL);
    expect_actions(NULL);
}

static bool a_row;
COCO_FN(same_value_main, ())
{
    coco_target *box;

    if (a_row) return coco_declare(cx, root(cx), coco_text("tab"), coco_null());
    COCO_TRY(coco_declare_container(cx, root(cx), coco_text("tab"), coco_null(), NULL, &box));
    return coco_declare(cx, box, coco_int(1), coco_int(10));
}

/* One isn't the other, though they have the same record: it is made, and recorded as what it is. */
static void row_becomes_a_container_of_the_same_value_and_back(void **state)
{
    (void)state;
    program(&same_value_main);
    for (int i = 0; i < 4; i++) {
        restart();
        a_row = i % 2 == 0;
        update(NULL);
        expect_sound(__FILE__, __LINE__);
        assert_int_equal(shelf_find("tab:1") != NULL, !a_row);
    }
}

/* ---- Attachments (S7.8) and user-managed containers (S7.7) ---- */

static void attachment_is_kept_apart_from_rows_and_cleaned_up_like_them(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 tab@index.1=5 tab@index.2=6");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab/index:1 = 5", "tab/index:2 = 6", "tab:1 = 10");
    plan("tab", "a: tab.1=10 tab@index.1=5");
    update(NULL);
    expect_actions("- tab/index:2");
    update(NULL);
    expect_actions(NULL);
    plan("tab", "b: tab.1=10");
    update(NULL);
    expect_actions("- tab/index:1");
}

static void attachments_of_a_destroyed_container_are_made_again(void **state)
{
    (void)state;
    plan("tab+s1", "A: tab@index.1=5");
    update(NULL);
    plan("tab+s2", "A: tab@index.1=5");
    update(NULL);
    expect_actions("~ shelf:\"tab\"", "+ tab/index:1");
}

static void unknown_attachment_is_an_error_that_names_it(void **state)
{
    (void)state;
    plan("tab", "a: tab@nonsense.1=5");
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.failures.v[0], "nonsense"));
}

static void user_managed_container_is_never_touched_and_its_content_is_synced(void **state)
{
    (void)state;
    w.shelf[w.nshelf++] = (thing){ .name = strdup("shelf:\"tab\""), .value = strdup("mine"), .place = strdup("tab") };
    plan("tab+m", "a: tab.1=10 | b: tab.2=20");
    update(NULL);
    expect_actions("+ tab:1", "+ tab:2");
    update(NULL);
    expect_actions(NULL);
    plan("tab+m+s2", "a: tab.1=11");
    update(NULL);
    expect_actions("~ tab:1", "- tab:2");
    plan("", "");
    update(NULL);
    expect_actions("- tab:1");
    expect_shelf("shelf:\"tab\" = mine");
    expect_nothing_written();
}

/* S7.7, S7.5: rows in other components go before the place is forgotten. */
static void rows_of_a_dropped_user_managed_container_are_deleted(void **state)
{
    (void)state;
    w.shelf[w.nshelf++] = (thing){ .name = strdup("shelf:\"tab\""), .value = strdup("mine"), .place = strdup("tab") };
    plan("", "t&: [tab+m] | a: tab.1=10 | b: tab.2=20");
    update(NULL);
    plan("", "t&: ");
    update(NULL);
    expect_shelf("shelf:\"tab\" = mine");
    expect_nothing_written();
}

static void drop_leaves_a_user_managed_container(void **state)
{
    (void)state;
    w.shelf[w.nshelf++] = (thing){ .name = strdup("shelf:\"tab\""), .value = strdup("mine"), .place = strdup("tab") };
    plan("tab+m", "a: tab.1=10");
    update(NULL);
    drop_all();
    expect_actions("- tab:1");
    expect_shelf("shelf:\"tab\" = mine");
}

static void container_given_to_the_user_and_taken_back(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    plan("tab+m", "a: tab.1=10");
    update(NULL);
    expect_actions(NULL);
    plan("tab+s2", "a: tab.1=10");
    update(NULL);
    assert_string_equal(w.actions.v[0], "+ shelf:\"tab\""); /* what is there isn't known any more */
    update(NULL);
    expect_actions(NULL);
    plan("", "");
    update(NULL);
    expect_shelf(NULL);
}

/* S2.7 */
static void two_targets_of_one_title_are_an_error(void **state)
{
    (void)state;
    plan("tab #tab", "a: tab.1=10");
    update_fails(COCO_EDUP, NULL);
    assert_non_null(strstr(w.err.msg, "\"tab\""));
}

/* S7.5: nobody declares into a place that isn't there yet. */
static void row_in_a_container_that_is_not_applied_is_refused(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    plan("", "t: [tab] | a: tab.1=10");
    w.config.max_inflight = 1000;
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.failures.v[0], "/\"a\" COCO_EINVAL"));
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10");
}

/* Regression: index entries of deleted components stayed for ever. */
static void deleted_component_leaves_no_owner_entry(void **state)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cur;
    MDB_val key, data;

    (void)state;
    plan("tab #box", "a: tab.1=10 box.1=1 | b: tab.2=20");
    update(NULL);
    plan("tab", "c: ");
    update(NULL);
    restart();
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 10);
    assert_int_equal(mdb_env_open(env, w.dir, MDB_RDONLY, 0666), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "app:test", 0, &dbi), 0);
    assert_int_equal(mdb_cursor_open(txn, dbi, &cur), 0);
    size_t owners = 0;
    while (mdb_cursor_get(cur, &key, &data, MDB_NEXT) == 0) owners += *(char *)key.mv_data == 'O';
    assert_int_equal(owners, 1); /* the container itself */
    mdb_cursor_close(cur);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROBE(new_state_was_never_tracked_and_may_be_missing),
        PROBE(full_reprocess_says_that_states_may_be_missing),
        PROBE(failed_sink_leaves_every_possibility),
        PROBE(who_takes_a_state_from_a_component_that_failed_is_told_that_it_may_be_missing),
        PROBE(failed_delete_leaves_a_state_that_may_be_missing),
        PROBE(many_failures_end_in_a_record_that_nobody_can_read),
        PROBE(handler_may_not_keep_what_may_be_missing),
        PROBE(handler_must_give_a_record_for_what_should_exist),
        PROBE(handler_may_not_give_a_record_for_what_should_not_exist),
        PROBE(record_over_one_mebibyte_is_refused),
        PROBE(components_share_a_batch),
        PROBE(sink_limit_closes_a_batch_before_the_next_component),
        PROBE(large_component_is_a_batch_of_its_own),
        PROBE(sink_limit_of_bytes_closes_a_batch),
        PROBE(each_sink_gets_its_own_batches),
        PROBE(hundred_sinks_in_one_round_all_apply),
        PROBE(order_in_a_batch_is_containers_deletes_upserts),
        PROBE(container_of_another_sink_is_made_before_its_rows),
        TEST(one_bad_row_fails_its_own_component_alone),
        PROBE(batch_refused_as_a_whole_is_applied_one_component_at_a_time),
        TEST(swapped_unique_values_are_applied_by_the_end),
        TEST(unique_value_freed_by_a_tombstone_is_applied_by_the_end),
        TEST(unique_value_freed_by_an_own_gone_child_is_applied_by_the_end),
        TEST(gone_children_of_a_component_that_fails_for_good_are_deleted),
        TEST(unique_value_that_the_root_takes_from_a_gone_child_is_applied_by_the_end),
        TEST(root_whose_sink_fails_for_good_fails_the_update_and_is_tried_again),
        TEST(transient_failure_is_tried_again),
        TEST(content_of_a_container_that_is_tried_again_comes_again_after_it),
        TEST(transient_failure_of_a_batch_is_tried_again),
        TEST(transient_failure_beyond_the_budget_is_a_failure),
        TEST(permanent_failure_is_not_retried_with_backoff),
        TEST(failed_component_keeps_its_previous_targets),
        TEST(failed_container_fails_who_mounts_it),
        TEST(container_comes_before_its_content_and_goes_after_it),
        TEST(container_declared_by_one_component_goes_after_the_content_of_others),
        TEST(content_of_a_crate_goes_without_an_action),
        TEST(crate_that_a_running_component_drops_takes_its_content_along),
        TEST(unchanged_container_leaves_its_rows_alone),
        TEST(destroyed_container_is_filled_again),
        TEST(lossy_change_writes_the_rows_again),
        TEST(captured_target_change_invalidates_memo),
        TEST(destroyed_container_never_deletes_fresh_grandchildren),
        TEST(destroyed_container_never_deletes_rows_no_longer_declared),
        TEST(rows_of_a_destroyed_container_come_after_a_failure),
        TEST(failed_alter_is_an_error),
        TEST(full_reprocess_evolves_schema_too),
        TEST(full_reprocess_applies_every_declared_state_again),
        TEST(container_that_comes_back_is_filled_anew),
        TEST(lost_state_converges_onto_an_existing_target),
        TEST(container_becomes_a_row_and_back),
        TEST(row_becomes_a_container_of_the_same_value_and_back),
        TEST(attachment_is_kept_apart_from_rows_and_cleaned_up_like_them),
        TEST(attachments_of_a_destroyed_container_are_made_again),
        TEST(unknown_attachment_is_an_error_that_names_it),
        TEST(user_managed_container_is_never_touched_and_its_content_is_synced),
        TEST(rows_of_a_dropped_user_managed_container_are_deleted),
        TEST(drop_leaves_a_user_managed_container),
        TEST(container_given_to_the_user_and_taken_back),
        TEST(two_targets_of_one_title_are_an_error),
        TEST(row_in_a_container_that_is_not_applied_is_refused),
        TEST(deleted_component_leaves_no_owner_entry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
