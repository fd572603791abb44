/* test_state_and_ids.c - what a component keeps between its runs: small values and stable ids. */
#include "harness.h"

#include <pthread.h>

#define KEYS 300

static struct knobs {
    bool use, set, again; /* what `counter` does with its state */
    bool fail, other;
    int64_t initial, next;
    int n;
    const char *dep;
} k;
static coco_value seen;     /* what the component read last */
static int64_t ids[KEYS];
static uint8_t uuids[8][16];

static int begin(void **state)
{
    memset(&k, 0, sizeof k);
    memset(ids, 0, sizeof ids);
    memset(uuids, 0, sizeof uuids);
    seen = coco_null();
    k.dep = "dep";
    return world_begin(state);
}
#define KEEP_TEST(name) cmocka_unit_test_setup_teardown(name, begin, world_end)

/* ---- States ------------------------------------------------------------------------------------------------------ */

COCO_FN(counter, (coco_target *, tab))
{
    coco_value v;

    if (k.use) {
        COCO_TRY(coco_use_state(cx, coco_text("count"), coco_int(k.initial), &v));
        seen = coco_int(coco_int_of(v));
        if (k.set) COCO_TRY(coco_state_set(cx, coco_text("count"), coco_int(k.next)));
        if (k.again) COCO_TRY(coco_use_state(cx, coco_text("count"), coco_int(k.initial), &v));
        if (k.again) seen = coco_int(coco_int_of(v));
    }
    if (k.fail) return coco_fail(cx, COCO_EFAIL, "failed on purpose");
    return coco_declare(cx, tab, coco_int(0), coco_int(0));
}
COCO_FN(counts, ())
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    return coco_mount(cx, COCO_AUTO, &counter, COCO_ARGS(coco_target_value(tab)), NULL);
}

COCO_FN(digs, ())
{
    coco_value deep[2] = { coco_null() }, v;

    for (int i = 0; i < 300; i++) {
        coco_value *one = coco_alloc(cx, sizeof *one);
        if (!one) return COCO_ENOMEM;
        *one = deep[0];
        deep[0] = coco_list(one, 1);
    }
    if (k.use) return coco_use_state(cx, coco_text("deep"), deep[0], &v);
    return k.set ? coco_generate_id(cx, deep[0], &ids[0]) : coco_return(cx, deep[0]);
}

/* S2.1 */
static void value_that_is_nested_too_deep_is_called_so(void **state)
{
    static const char *const says[] = { "a state can't be nested so deep", "the dep of an id can't be nested so deep",
                                        "digs: the result of a memoized function can't be nested so deep" };

    (void)state;
    for (int i = 0; i < 3; i++) {
        k.use = i == 0, k.set = i == 1;
        digs.memo = i == 2;
        program(&digs);
        update_fails(COCO_EINVAL, NULL);
        assert_non_null(strstr(w.err.msg, says[i]));
    }
    digs.memo = false;
}

static void reads(int64_t want)
{
    seen = coco_null();
    update(NULL);
    assert_int_equal(seen.kind, COCO_INT);
    assert_int_equal(coco_int_of(seen), want);
}

/* S6.7 */
static void state_is_initial_first_and_then_what_it_was(void **state)
{
    (void)state;
    program(&counts);
    k.use = true;
    k.initial = 5;
    reads(5);
    k.initial = 6;
    reads(5);
    expect_nothing_written();
}

/* S6.7 */
static void state_is_what_was_set_last(void **state)
{
    (void)state;
    program(&counts);
    k.use = k.set = true;
    k.next = 1;
    reads(0);
    k.next = 2;
    reads(1);
    restart();
    reads(2);
    expect_nothing_written();
}

/* S6.7 */
static void state_set_in_a_run_is_read_back_in_it(void **state)
{
    (void)state;
    program(&counts);
    k.use = k.set = k.again = true;
    k.next = 9;
    reads(9);
    k.next = 10;
    reads(10);
}

/* S6.7 */
static void state_that_is_not_used_is_forgotten(void **state)
{
    (void)state;
    program(&counts);
    k.use = k.set = true;
    k.next = 7;
    reads(0);
    k.use = false;
    update(NULL);
    k.use = true;
    reads(0);
}

/* S6.7 */
static void full_reprocess_clears_states(void **state)
{
    (void)state;
    program(&counts);
    k.use = k.set = true;
    k.next = 7;
    reads(0);
    k.set = false;
    k.initial = 3;
    update(OPTS(.full_reprocess = true));
    assert_int_equal(coco_int_of(seen), 3);
    reads(3);
}

/* S6.7, S6.6 */
static void state_set_under_full_reprocess_is_read_back_and_kept(void **state)
{
    (void)state;
    program(&counts);
    k.use = k.set = k.again = true;
    k.next = 7;
    reads(7);
    k.next = 8;
    update(OPTS(.full_reprocess = true));
    assert_int_equal(coco_int_of(seen), 8);
    k.set = false;
    reads(8);
}

/* S6.7: a failed run keeps nothing. */
static void failed_run_leaves_the_state_as_it_was(void **state)
{
    (void)state;
    program(&counts);
    k.use = k.set = true;
    k.next = 1;
    reads(0);
    k.next = 2;
    k.fail = true;
    update_fails(COCO_EFAIL, NULL);
    k.fail = false;
    reads(1);
}

/* S6.7, S7.12 */
static void preview_leaves_the_state_as_it_was(void **state)
{
    (void)state;
    program(&counts);
    k.use = k.set = true;
    k.next = 1;
    reads(0);
    k.next = 2;
    update(OPTS(.preview = true));
    assert_int_equal(coco_int_of(seen), 1);
    reads(1);
}

COCO_FN(asks_state, (), .memo = true)
{
    coco_value v;
    coco_status rc = coco_use_state(cx, coco_text("count"), coco_int(1), &v);

    k.n++;
    return k.fail ? rc : COCO_OK;
}
COCO_FN(calls_asks_state, ())
{
    return coco_call(cx, &asks_state, COCO_NOARGS, NULL);
}

/* S6.7 */
static void state_inside_a_memoized_call_is_an_error(void **state)
{
    (void)state;
    program(&calls_asks_state);
    k.fail = true;
    update_fails(COCO_EMEMO, NULL);
    k.fail = false; /* also where the call hides it, nothing is cached */
    update(NULL);
    update(NULL);
    assert_int_equal(k.n, 3);
}

COCO_FN(bad_state, ())
{
    static const coco_class any = { .type = "any" };
    coco_value v;

    if (k.other) return coco_use_state(cx, coco_float(1.5), coco_int(1), &v);
    return coco_use_state(cx, coco_text("ok"), coco_object(&any, &k), &v);
}

/* S6.7 */
static void state_has_a_stable_key_and_no_object(void **state)
{
    (void)state;
    program(&bad_state);
    update_fails(COCO_ETYPE, NULL);
    k.other = true;
    update_fails(COCO_ETYPE, NULL);
}

COCO_FN(many_states, ())
{
    coco_value v;
    char name[900];

    memset(name, 'k', sizeof name);
    for (int i = 0; i < KEYS; i++) {
        size_t n = 20 + (size_t)(i % 3) * 400;
        snprintf(name, sizeof name, "%06d", i);
        name[6] = 'k';
        COCO_TRY(coco_use_state(cx, coco_text_n((coco_str){ name, n }), coco_int(0), &v));
        ids[i] = coco_int_of(v);
        COCO_TRY(coco_state_set(cx, coco_text_n((coco_str){ name, n }), coco_int(ids[i] + i)));
    }
    return COCO_OK;
}

/* S2.5, S6.7 */
static void any_number_of_states_with_keys_of_any_length_are_kept(void **state)
{
    (void)state;
    program(&many_states);
    for (int run = 0; run < 3; run++) {
        update(NULL);
        for (int i = 0; i < KEYS; i++) assert_int_equal(ids[i], run * i);
    }
}

COCO_FN(kept, (int64_t, n))
{
    coco_value v;

    COCO_TRY(coco_use_state(cx, coco_text("count"), coco_int(n), &v));
    ids[n] = coco_int_of(v);
    return coco_state_set(cx, coco_text("count"), coco_int(ids[n] + 10));
}
COCO_FN(two_kept, ())
{
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(0)), &kept, COCO_ARGS(coco_int(0)), NULL));
    return coco_mount(cx, COCO_PATH(coco_int(1)), &kept, COCO_ARGS(coco_int(1)), NULL);
}

/* S6.7 */
static void each_component_has_its_own_states(void **state)
{
    (void)state;
    program(&two_kept);
    update(NULL);
    update(NULL);
    assert_int_equal(ids[0], 10);
    assert_int_equal(ids[1], 11);
}

/* ---- Ids --------------------------------------------------------------------------------------------------------- */

COCO_FN(numbered, (int64_t, n))
{
    COCO_TRY(coco_generate_id(cx, coco_text(k.dep), &ids[n]));
    return k.fail ? coco_fail(cx, COCO_EFAIL, "failed on purpose") : COCO_OK;
}
COCO_FN(numbers, ())
{
    for (int64_t i = 0; i < k.n; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &numbered, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S6.8 */
static void ids_start_at_1_differ_and_stay(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    program(&numbers);
    k.n = 3;
    for (int run = 0; run < 3; run++) {
        memset(ids, 0, sizeof ids);
        update(run == 2 ? OPTS(.full_reprocess = true) : NULL);
        for (int i = 0; i < 3; i++) assert_int_equal(ids[i], i + 1);
    }
    expect_nothing_written();
}

/* S6.8 */
static void id_is_never_given_twice(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    program(&numbers);
    k.n = 3;
    update(NULL);
    k.n = 0;
    update(NULL);
    restart();
    k.n = 2;
    update(NULL);
    assert_int_equal(ids[0], 4);
    assert_int_equal(ids[1], 5);
}

/* S6.8 */
static void id_that_is_no_longer_used_is_forgotten(void **state)
{
    (void)state;
    program(&numbers);
    k.n = 1;
    update(NULL);
    k.dep = "another";
    update(NULL);
    assert_int_equal(ids[0], 2);
    k.dep = "dep";
    update(NULL);
    assert_int_equal(ids[0], 3);
}

/* S6.8: an id that a failed component saw may be outside already. */
static void id_that_a_failed_component_saw_is_not_given_to_another(void **state)
{
    int64_t first;

    (void)state;
    program(&numbers);
    k.n = 1;
    k.fail = true;
    update_fails(COCO_EFAIL, NULL);
    first = ids[0];
    k.fail = false;
    k.dep = "another";
    update(NULL);
    assert_int_not_equal(ids[0], first);
}

/* S7.12 */
static void preview_gives_the_ids_that_the_run_gives(void **state)
{
    (void)state;
    ONE_THREAD_ONLY();
    program(&numbers);
    k.n = 2;
    update(OPTS(.preview = true));
    assert_int_equal(ids[1], 2);
    memset(ids, 0, sizeof ids);
    update(NULL);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[1], 2);
}

COCO_FN(puts_id, (coco_target *, tab))
{
    COCO_TRY(coco_generate_id(cx, coco_text("dep"), &ids[0]));
    return coco_declare(cx, tab, coco_int(ids[0]), coco_text("row"));
}
COCO_FN(puts_ids, ())
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    return coco_mount(cx, COCO_AUTO, &puts_id, COCO_ARGS(coco_target_value(tab)), NULL);
}

static void save_at_the_row(void)
{
    for (size_t i = 0; i < w.nshelf; i++)
        if (strcmp(w.shelf[i].name, "shelf:\"tab\"") == 0) db_save();
}

/* S6.8, S7.3: an id that went into a target is in the store before. */
static void id_in_a_target_survives_a_crash(void **state)
{
    (void)state;
    program(&puts_ids);
    w.before_apply = save_at_the_row;
    update(NULL);
    w.before_apply = NULL;
    db_crash();
    update(NULL);
    assert_int_equal(ids[0], 1);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = \"row\"");
}

COCO_FN(nth, ())
{
    for (int i = 0; i < k.n; i++) COCO_TRY(coco_next_id(cx, coco_text(i % 2 ? "odd" : "even"), &ids[i]));
    return coco_generate_id(cx, coco_text("even"), &ids[k.n]);
}

/* S6.8 */
static void nth_call_with_one_dep_has_its_own_id(void **state)
{
    int64_t first[5];

    (void)state;
    program(&nth);
    k.n = 4;
    update(NULL);
    memcpy(first, ids, sizeof first);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++) assert_int_not_equal(first[i], first[j]);
    memset(ids, 0, sizeof ids);
    update(NULL);
    assert_memory_equal(ids, first, sizeof first);
    k.n = 2; /* the rest is forgotten */
    update(NULL);
    assert_int_equal(ids[2], first[4]);
    k.n = 4;
    update(NULL);
    assert_int_equal(ids[1], first[1]);
    assert_true(ids[2] > first[4]);
}

static pthread_mutex_t noted = PTHREAD_MUTEX_INITIALIZER;

COCO_FN(numbers_in, (int64_t, n), .memo = true)
{
    pthread_mutex_lock(&noted);
    k.next++;
    pthread_mutex_unlock(&noted);
    COCO_TRY(coco_next_id(cx, coco_text("x"), &ids[n]));
    if (n == 1) COCO_TRY(coco_generate_id(cx, coco_text("shared"), &ids[10]));
    return coco_return(cx, coco_int(ids[n]));
}
COCO_FN(calls_numbers_in, ())
{
    coco_value v;

    for (int64_t i = 0; i < k.n; i++) {
        COCO_TRY(coco_call(cx, &numbers_in, COCO_ARGS(coco_int(i)), &v));
        ids[i] = coco_int_of(v);
    }
    COCO_TRY(coco_next_id(cx, coco_text("x"), &ids[20]));
    return coco_generate_id(cx, coco_text("shared"), &ids[11]);
}

/* S6.8, S6.2: whether the calls before run or hit. */
static void nth_id_is_the_same_when_calls_hit(void **state)
{
    int64_t first[21];

    (void)state;
    program(&calls_numbers_in);
    k.n = 3;
    update(NULL);
    memcpy(first, ids, sizeof first);
    assert_int_equal(first[10], first[11]);
    assert_int_not_equal(first[20], first[0]);
    assert_int_not_equal(first[20], first[2]);
    assert_int_equal(k.next, 3);
    update(NULL);
    assert_int_equal(k.next, 3);
    assert_memory_equal(ids, first, sizeof first);
    expect_nothing_written();
    numbers_in.version = 2;
    update(NULL);
    numbers_in.version = 0;
    assert_int_equal(k.next, 6);
    assert_memory_equal(ids, first, sizeof first);
}

COCO_FN(twice_in, ())
{
    coco_value a, b;

    COCO_TRY(coco_call(cx, &numbers_in, COCO_ARGS(coco_int(0)), &a));
    COCO_TRY(coco_call(cx, &numbers_in, COCO_ARGS(coco_int(0)), &b));
    return coco_equal(a, b) ? COCO_OK : COCO_EFAIL;
}

/* S6.2: in its first run too. */
static void call_that_asked_for_an_id_is_found_again_in_the_same_run(void **state)
{
    (void)state;
    program(&twice_in);
    update(NULL);
    assert_int_equal(k.next, 1);
    update(NULL);
    assert_int_equal(k.next, 1);
    expect_nothing_written();
}

COCO_FN(in_component, (int64_t, n))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &numbers_in, COCO_ARGS(coco_int(0)), &v));
    ids[5 + n] = coco_int_of(v);
    return COCO_OK;
}
COCO_FN(in_components, ())
{
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(0)), &in_component, COCO_ARGS(coco_int(0)), NULL));
    return coco_mount(cx, COCO_PATH(coco_int(1)), &in_component, COCO_ARGS(coco_int(1)), NULL);
}

/* S6.5 */
static void call_that_asked_for_an_id_belongs_to_its_component(void **state)
{
    (void)state;
    program(&in_components);
    update(NULL);
    assert_int_equal(k.next, 2);
    assert_int_not_equal(ids[5], ids[6]);
    update(NULL);
    assert_int_equal(k.next, 2);
    expect_nothing_written();
}

COCO_FN(wraps_numbers, (int64_t, n), .memo = true)
{
    coco_value v;

    __atomic_add_fetch(&k.initial, 1, __ATOMIC_RELAXED);
    COCO_TRY(coco_call(cx, &numbers_in, COCO_ARGS(coco_int(n)), &v));
    return coco_return(cx, v);
}
COCO_FN(calls_wraps_numbers, ())
{
    return coco_call(cx, &wraps_numbers, COCO_ARGS(coco_int(0)), NULL);
}

/* S6.2 */
static void nested_call_that_asked_for_an_id_stays_alive_under_a_hit(void **state)
{
    (void)state;
    program(&calls_wraps_numbers);
    update(NULL);
    update(NULL);
    expect_nothing_written();
    wraps_numbers.version = 2;
    update(NULL);
    wraps_numbers.version = 0;
    assert_int_equal(k.initial, 2);
    assert_int_equal(k.next, 1);
}

COCO_FN(uuid_of, (int64_t, n))
{
    COCO_TRY(coco_generate_uuid(cx, coco_text(k.dep), uuids[n * 4]));
    COCO_TRY(coco_next_uuid(cx, coco_text(k.dep), uuids[n * 4 + 1]));
    return coco_next_uuid(cx, coco_text(k.dep), uuids[n * 4 + 2]);
}
COCO_FN(uuids_of, ())
{
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(0)), &uuid_of, COCO_ARGS(coco_int(0)), NULL));
    return coco_mount(cx, COCO_PATH(coco_int(1)), &uuid_of, COCO_ARGS(coco_int(1)), NULL);
}

/* S6.8 */
static void uuids_differ_by_component_and_call_and_stay(void **state)
{
    uint8_t first[8][16];

    (void)state;
    program(&uuids_of);
    update(NULL);
    memcpy(first, uuids, sizeof first);
    for (int i = 0; i < 7; i++) {
        if (i == 3) continue;
        assert_int_equal(first[i][6] >> 4, 8); /* version and variant of RFC 9562 */
        assert_int_equal(first[i][8] >> 6, 2);
        for (int j = 0; j < i; j++) assert_memory_not_equal(first[i], first[j], 16);
    }
    memset(uuids, 0, sizeof uuids);
    restart();
    update(OPTS(.full_reprocess = true));
    assert_memory_equal(uuids, first, sizeof first);
}

COCO_FN(uuid_in, (), .memo = true)
{
    uint8_t uuid[16];

    k.next++;
    COCO_TRY(coco_generate_uuid(cx, coco_text("dep"), uuid));
    return coco_return(cx, coco_uuid(uuid));
}
COCO_FN(calls_uuid_in, (int64_t, n))
{
    coco_value v;

    COCO_TRY(coco_call(cx, &uuid_in, COCO_NOARGS, &v));
    memcpy(uuids[n], v.as.uuid, 16);
    return COCO_OK;
}
COCO_FN(uuids_in, ())
{
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(0)), &calls_uuid_in, COCO_ARGS(coco_int(0)), NULL));
    return coco_mount(cx, COCO_PATH(coco_int(1)), &calls_uuid_in, COCO_ARGS(coco_int(1)), NULL);
}

/* S6.5, S6.8 */
static void call_that_asked_for_a_uuid_belongs_to_its_component(void **state)
{
    (void)state;
    program(&uuids_in);
    update(NULL);
    assert_memory_not_equal(uuids[0], uuids[1], 16);
    update(NULL);
    assert_int_equal(k.next, 2);
    expect_nothing_written();
}

/* ---- Partial updates: what stands above PATH runs, but is left as recorded --------------------------------------- */

COCO_FN(below, (int64_t, id))
{
    ids[1] = id;
    return COCO_OK;
}
COCO_FN(above, ())
{
    coco_value v;
    int64_t id;

    COCO_TRY(coco_generate_id(cx, coco_text("dep"), &id));
    COCO_TRY(coco_use_state(cx, coco_text("count"), coco_int(5), &v));
    seen = coco_int(coco_int_of(v));
    COCO_TRY(coco_state_set(cx, coco_text("count"), coco_int(k.next)));
    return coco_mount(cx, COCO_PATH(coco_text("x")), &below, COCO_ARGS(coco_int(id)), NULL);
}

/* S3.11 */
static void components_above_a_partial_update_see_their_states_and_ids(void **state)
{
    (void)state;
    program(&above);
    k.next = 6;
    update(NULL);
    assert_int_equal(ids[1], 1);
    ids[1] = 0;
    k.next = 7;
    update(OPTS(.only = "/\"x\""));
    assert_int_equal(ids[1], 1);
    assert_int_equal(coco_int_of(seen), 6);
    reads(6);
}

/* ---- Lack of memory ---------------------------------------------------------------------------------------------- */

COCO_FN(keeps_all, (int64_t, n, coco_target *, tab))
{
    coco_value v;
    int64_t id;
    uint8_t uuid[16];

    COCO_TRY(coco_use_state(cx, coco_text("count"), coco_int(n), &v));
    COCO_TRY(coco_state_set(cx, coco_text("count"), coco_int(coco_int_of(v))));
    COCO_TRY(coco_call(cx, &wraps_numbers, COCO_ARGS(coco_int(n)), NULL));
    COCO_TRY(coco_next_uuid(cx, coco_text("dep"), uuid));
    COCO_TRY(coco_next_id(cx, coco_text("dep"), &id));
    return coco_declare(cx, tab, coco_int(n), coco_list((const coco_value[]){ v, coco_uuid(uuid) }, 2));
}
COCO_FN(keeps_each, ())
{
    coco_target *tab;
    coco_value keys[] = { coco_int(0), coco_int(1) };

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    return coco_mount_each(cx, COCO_AUTO, &keeps_all, coco_source_of(cx, keys, keys, 2),
                           COCO_ARGS(coco_target_value(tab)));
}

/* Whichever allocation fails, nothing leaks, and what was kept before is there afterwards. */
static void update_that_runs_out_of_memory_loses_nothing_that_was_kept(void **state)
{
    bool failed = true;

    (void)state;
    program(&keeps_each);
    update(NULL);
    for (long n = 1; failed; n += n < 60 ? 1 : 2) {
        assert_int_equal(open_world(), COCO_OK);
        w.fail_at = w.calls + n;
        try_update(n % 3 ? NULL : OPTS(.full_reprocess = true));
        failed = w.calls >= w.fail_at;
        w.fail_at = 0;
        update(NULL);
        expect_nothing_written();
        assert_int_equal(w.nshelf, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEEP_TEST(value_that_is_nested_too_deep_is_called_so),
        KEEP_TEST(state_is_initial_first_and_then_what_it_was),
        KEEP_TEST(state_is_what_was_set_last),
        KEEP_TEST(state_set_in_a_run_is_read_back_in_it),
        KEEP_TEST(state_that_is_not_used_is_forgotten),
        KEEP_TEST(full_reprocess_clears_states),
        KEEP_TEST(state_set_under_full_reprocess_is_read_back_and_kept),
        KEEP_TEST(failed_run_leaves_the_state_as_it_was),
        KEEP_TEST(preview_leaves_the_state_as_it_was),
        KEEP_TEST(state_inside_a_memoized_call_is_an_error),
        KEEP_TEST(state_has_a_stable_key_and_no_object),
        KEEP_TEST(any_number_of_states_with_keys_of_any_length_are_kept),
        KEEP_TEST(each_component_has_its_own_states),
        KEEP_TEST(ids_start_at_1_differ_and_stay),
        KEEP_TEST(id_is_never_given_twice),
        KEEP_TEST(id_that_is_no_longer_used_is_forgotten),
        KEEP_TEST(id_that_a_failed_component_saw_is_not_given_to_another),
        KEEP_TEST(preview_gives_the_ids_that_the_run_gives),
        KEEP_TEST(id_in_a_target_survives_a_crash),
        KEEP_TEST(nth_call_with_one_dep_has_its_own_id),
        KEEP_TEST(nth_id_is_the_same_when_calls_hit),
        KEEP_TEST(call_that_asked_for_an_id_is_found_again_in_the_same_run),
        KEEP_TEST(call_that_asked_for_an_id_belongs_to_its_component),
        KEEP_TEST(nested_call_that_asked_for_an_id_stays_alive_under_a_hit),
        KEEP_TEST(uuids_differ_by_component_and_call_and_stay),
        KEEP_TEST(call_that_asked_for_a_uuid_belongs_to_its_component),
        KEEP_TEST(components_above_a_partial_update_see_their_states_and_ids),
        KEEP_TEST(update_that_runs_out_of_memory_loses_nothing_that_was_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
