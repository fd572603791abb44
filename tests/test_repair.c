/* check --repair after records that are whole but wrong (S11.5): of each kind, every two exchanged, and every one in
 * the place of every other, under right checksums. One repair is enough, and the next update converges. */
#include "scenarios.h"

#include "raw.h"

static const scenario store = {
    "tab #box tab/sub",
    "a: tab.1=10 box.1=1 | B: tab.2=*20 tab/sub.5=50 | a/c: tab.3=30 | a/c/e: tab.6=60 | a/c/e/f: tab.7=70 |"
    " d&: [own] own.4=40 | d/E: tab@index.1=1 | d/E/g: tab.8=*80 | P: tab.100-150=1",
    "tab tab/sub", "a: tab.1=11 | B: tab.2=*20 | a/c: tab.9=30 | d&: [own] own.4=40"
};

static raw_record records[400];
static lines problems;

static coco_status note_problem(void *user, const coco_problem *p)
{
    (void)user;
    lines_add(&problems, "%s%s%s%s", p->repaired ? "repaired " : "", p->path, *p->path ? " " : "", p->what);
    return COCO_OK;
}

static coco_status check_with(bool repair)
{
    const coco_check_visitor v = { NULL, note_problem };

    lines_clear(&problems);
    memset(&w.err, 0, sizeof w.err);
    assert_int_equal(open_world(), COCO_OK);
    return coco_check(w.env, "test", &(coco_check_opts){ .repair = repair, .same_process = true }, &v, &w.err);
}

/* What was done, and what was found then. */
static char harm[200];
static lines said;

static void holds(bool is, const char *what)
{
    if (is) return;
    print_error("%s: %s: %s\n", harm, what, w.err.msg);
    for (size_t i = 0; i < said.n && i < 30; i++) print_error("  at first: %s\n", said.v[i]);
    for (size_t i = 0; i < problems.n && i < 30; i++) print_error("  %s\n", problems.v[i]);
    for (size_t i = 0; i < w.failures.n && i < 5; i++) print_error("  %s\n", w.failures.v[i]);
    fail();
}

static void comes_to(coco_status rc, const char *want, const char *what)
{
    char *is = shelf_text();

    holds(rc == COCO_OK, what);
    if (strcmp(is, want) != 0) print_error("expected\n%sgot\n%s", want, is);
    holds(strcmp(is, want) == 0, what);
    free(is);
    holds(check_with(false) == COCO_OK, "check after the update");
}

/* What can be read of a record's key. */
static const char *key_text(const raw_record *r)
{
    static char text[2][200];
    static int turn;
    char *out = text[turn ^= 1];

    for (size_t i = 0, at = 0; i < r->nkey && at < 190; i++)
        at += (size_t)snprintf(out + at, 200 - at, r->key[i] > ' ' && r->key[i] < 127 ? "%c" : "%02x", r->key[i]);
    return out;
}

/* The records i and j as they were, or exchanged, or j in both places. */
enum wrong { EXCHANGED, IN_BOTH };

static bool put_wrong(size_t i, size_t j, enum wrong as)
{
    if (records[i].n == records[j].n && memcmp(records[i].payload, records[j].payload, records[i].n) == 0) return false;
    scenario_before();
    raw_begin();
    raw_put(records[i].key, records[i].nkey, records[j].payload, records[j].n);
    if (as == EXCHANGED) raw_put(records[j].key, records[j].nkey, records[i].payload, records[i].n);
    raw_end();
    w.unsound = true;
    snprintf(harm, sizeof harm, "%s %s and %s", as == EXCHANGED ? "exchange of" : "in the first's place the second:",
             key_text(&records[i]), key_text(&records[j]));
    return true;
}

static void one_repair_is_enough(size_t i, size_t j, enum wrong as, size_t after, char *const want[2])
{
    if (!put_wrong(i, j, as)) return;
    bool found = check_with(false) != COCO_OK;
    lines_clear(&said);
    for (size_t p = 0; p < problems.n; p++) lines_add(&said, "%s", problems.v[p]);
    holds(check_with(true) == COCO_OK, "repair");
    holds(check_with(false) == COCO_OK, "check after the repair");
    if (found) comes_to(after ? scenario_act() : scenario_back(), want[after], "update");
    restart();
}

static void every_two(char kind, const char *name)
{
    size_t n;
    char *want[2];

    scenario_begins(&store);
    want[0] = shelf_text();
    assert_int_equal(scenario_act(), COCO_OK);
    want[1] = shelf_text();
    scenario_before();
    raw_begin();
    n = raw_read(kind, records, sizeof records / sizeof records[0]);
    raw_end();
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            if (i != j) one_repair_is_enough(i, j, i < j ? EXCHANGED : IN_BOTH, (i + j) % 2, want);
            if (i != j) one_repair_is_enough(i, j, i < j ? IN_BOTH : EXCHANGED, (i + j + 1) % 2, want);
        }
    print_message("%zu records of %s\n", n, name);
    scenario_before();
    w.unsound = false;
    free(want[0]), free(want[1]);
    lines_clear(&problems), lines_clear(&said);
}

#define KINDS(X) \
    X(COCO__RUN, runs) X(COCO__NAME, names) X(COCO__COUNT_OF, counts_of_states) X(COCO__PROVIDER, targets) \
    X(COCO__PROVIDER_ID, numbers_of_targets) X(COCO__DEPSET, dependency_sets) X(COCO__DEPSET_FP, prints_of_sets) \
    X(COCO__COMPONENT, components) X(COCO__MEMO, function_memos) X(COCO__PARENT, numbers_of_components) \
    X(COCO__OWNER, owners) X(COCO__PAGE, pages) X(COCO__MEMO_USES, use_counts) X(COCO__RESULT, results)

#define WRONG(kind, name) \
    static void one_repair_is_enough_for_##name(void **state) \
    { \
        (void)state; \
        every_two((char)(kind), #name); \
    }
KINDS(WRONG)

/* ---- Whatever bytes ---- */

/* What is left when a delete fails: a tombstone, a memo that nobody lists; and what a feed has kept. */
static void settle_with_leftovers(void)
{
    char text[1000];
    uint8_t token[16];
    coco__buf value;
    static const coco__mem libc;

    snprintf(text, sizeof text, "%s | z: tab.90=*90 | z/y: tab.91=1", store.text);
    playing = &store;
    sweep_world();
    plan(store.tables, text);
    update(NULL);
    fault_on("tab:90", -1, false);
    assert_int_not_equal(scenario_back(), COCO_OK);
    faults_clear();
    raw_begin();
    coco__dbkey k;
    coco__buf_init(&value, &libc);
    assert_int_equal(coco__value_put(&value, coco_int(7), COCO__STORED), COCO_OK);
    coco__dbkey_id(&k, COCO__LIVE, 1, NULL, 0);
    assert_true(value.n <= sizeof token);
    raw_put(k.b, k.n, value.p, value.n);
    coco__buf_free(&value);
    raw_end();
    copy_file(own_db, before_db);
    shelf_save(before_path);
}

static coco_status see_component(void *user, const coco_component_info *i)
{
    (void)user, (void)i;
    return COCO_OK;
}

static coco_status see_state(void *user, const coco_component_info *i, const coco_state_info *s)
{
    (void)user, (void)i, (void)s;
    return COCO_OK;
}

/* What isn't as it should be may be listed and updated: that fails with a message, or goes on. */
static void used_as_it_is(void)
{
    const coco_inspect_visitor v = { NULL, see_component, see_state };
    coco_status rc;

    memset(&w.err, 0, sizeof w.err);
    assert_int_equal(open_world(), COCO_OK);
    rc = coco_inspect(w.env, "test", NULL, 0, &v, &w.err);
    holds(rc == COCO_OK || w.err.msg[0], "listing");
    rc = scenario_act();
    holds(rc == COCO_OK || w.err.msg[0], "update before the repair");
}

static void holds_after_harm(bool used)
{
    w.unsound = true;
    if (used) used_as_it_is();
    check_with(false);
    lines_clear(&said);
    for (size_t p = 0; p < problems.n; p++) lines_add(&said, "%s", problems.v[p]);
    holds(check_with(true) == COCO_OK, "repair");
    holds(check_with(false) == COCO_OK, "check after the repair");
    holds(scenario_back() == COCO_OK, "update");
    holds(check_with(false) == COCO_OK, "check after the update");
    restart();
}

/* The n-th change of a payload; false: there are no more. */
static bool changed_payload(raw_record *r, size_t n)
{
    const size_t bytes = SANITIZED ? 8 : r->key[0] == COCO__COMPONENT ? 48 : 16;

    if (n == 0) r->n = 0;
    else if (n == 1) r->n /= 2;
    else if (n == 2) r->payload[r->n++] = 1;
    else if (n - 3 < 3 * bytes && (n - 3) / 3 < r->n) {
        uint8_t *byte = &r->payload[(n - 3) / 3];
        *byte = (uint8_t)(n % 3 == 0 ? *byte ^ 1 : n % 3 == 1 ? 0 : 0xff);
    } else return false;
    return true;
}

static bool changed_key(raw_record *r, size_t n)
{
    switch (n) {
    case 0: r->key[r->nkey++] = 1; return true;
    case 1: r->nkey--; return r->nkey > 0;
    case 2: if (r->nkey > 8) r->key[8] = 0x63; return true;
    case 3: if (r->nkey > 8) r->key[8] = 0; return true;
    case 4: r->key[r->nkey - 1] ^= 1; return true;
    case 5: r->key[0] = 'Z'; return true;
    case 6: r->nkey = r->nkey < 5 ? r->nkey : 5; return true;
    default: return false;
    }
}

static void put_changed(const raw_record *was, const raw_record *is, bool keep, const char *what)
{
    static bool used = true;

    MDB_val k = { was->nkey, (void *)(uintptr_t)was->key };

    scenario_before();
    raw_begin();
    if (!keep) assert_int_equal(mdb_del(txn, dbi, &k, NULL), 0);
    raw_put(is->key, is->nkey, is->payload, is->n);
    raw_end();
    snprintf(harm, sizeof harm, "%s: %s, now %s", what, key_text(was), key_text(is));
    holds_after_harm(used = !used);
}

static void whatever_bytes_stand_in_a_record_one_repair_is_enough(void **state)
{
    static raw_record r;
    size_t n, of_kind = 0;

    (void)state;
    settle_with_leftovers();
    raw_begin();
    n = raw_read(0, records, sizeof records / sizeof records[0]);
    raw_end();
    for (size_t i = 0; i < n; i++) {
        of_kind = i && records[i].key[0] == records[i - 1].key[0] ? of_kind + 1 : 0;
        if (of_kind > (SANITIZED ? 2 : 8) && records[i].key[0] != COCO__COMPONENT) continue;
        for (size_t c = 0; r = records[i], changed_payload(&r, c); c++) {
            char what[40];
            snprintf(what, sizeof what, "change %zu of the payload", c);
            put_changed(&records[i], &r, true, what);
        }
        for (size_t c = 0; r = records[i], changed_key(&r, c); c++) {
            put_changed(&records[i], &r, false, "key changed");
            put_changed(&records[i], &r, true, "copied");
        }
    }
    scenario_before();
    w.unsound = false;
    lines_clear(&problems), lines_clear(&said);
}

/* Its kind is no index of any table. What had the set runs again. */
static void dependency_of_no_known_kind_is_found_and_repaired(void **state)
{
    size_t n, changed = 0;

    (void)state;
    scenario_begins(&store);
    raw_begin();
    n = raw_read(COCO__DEPSET, records, sizeof records / sizeof records[0]);
    for (size_t i = 0; i < n; i++) {
        if (records[i].n < 3) continue; /* use count, length, kind */
        records[i].payload[2] = 0x7f;
        raw_put(records[i].key, records[i].nkey, records[i].payload, records[i].n);
        changed++;
    }
    raw_end();
    assert_true(changed > 0);
    w.unsound = true;
    assert_int_equal(check_with(false), COCO_ECORRUPT);
    assert_string_equal(problems.v[0], "a dependency set is damaged");
    assert_int_equal(check_with(true), COCO_OK);
    assert_int_equal(check_with(false), COCO_OK);
    assert_int_equal(scenario_back(), COCO_OK);
    assert_true(w.result.run > 0);
    lines_clear(&problems);
}

/* Where a record's own segment can't be read, its key has one; below a number none is empty. */
static void component_without_a_segment_stands_under_no_key_of_its_own(void **state)
{
    bool found = false;
    size_t i = 0;

    (void)state;
    scenario_begins(&store);
    raw_begin();
    raw_read(COCO__COMPONENT, records, sizeof records / sizeof records[0]);
    while (records[i].nkey <= 9) i++;
    raw_put(records[i].key, 9, records[i].payload, records[i].n);
    raw_end();
    w.unsound = true;
    assert_int_equal(check_with(false), COCO_ECORRUPT);
    for (i = 0; i < problems.n; i++)
        found |= strcmp(problems.v[i], "a component's record stands under a key that isn't its own") == 0;
    assert_true(found);
    assert_int_equal(check_with(true), COCO_OK);
    assert_int_equal(check_with(false), COCO_OK);
    assert_int_equal(scenario_back(), COCO_OK);
    lines_clear(&problems);
}

/* Numbers of targets rise on the way down: one whose record is lost isn't put together below itself, nor below one with
 * a higher number, again and again. */
static void target_is_not_put_together_below_itself(void **state)
{
    size_t n;

    (void)state;
    scenario_begins(&store);
    raw_begin();
    n = raw_read(COCO__PROVIDER_ID, records, sizeof records / sizeof records[0]);
    raw_end();
    assert_true(n > 1);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            uint8_t key[COCO__KEY_MAX] = { COCO__PROVIDER };
            size_t nkey = 1 + records[i].n;
            MDB_val k = { nkey, key };
            memcpy(key + 1, records[i].payload, records[i].n);
            scenario_before();
            raw_begin();
            assert_int_equal(mdb_del(txn, dbi, &k, NULL), 0);
            memcpy(key + 1, records[j].key + 1, 8);
            raw_put(records[i].key, records[i].nkey, key + 1, records[i].n);
            raw_end();
            snprintf(harm, sizeof harm, "the number %s leads below %s", key_text(&records[i]), key_text(&records[j]));
            holds_after_harm((i + j) % 2);
        }
    scenario_before();
    w.unsound = false;
    lines_clear(&problems), lines_clear(&said);
}

/* Where keys are cut short (SMALL=1), the name of what is lost below so high a number is too long for its record's. */
static void lost_below_the_highest_number_is_found_by_its_name(void **state)
{
    static const coco__mem libc;
    const coco__rec rec = { .flags = COCO__R_COMPONENT | COCO__R_PENDING };
    coco__buf key, payload;

    (void)state;
    scenario_begins(&store);
    coco__buf_init(&key, &libc);
    coco__buf_init(&payload, &libc);
    coco__buf_byte(&key, COCO__COMPONENT);
    coco__buf_be64(&key, (uint64_t)1 << 62);
    coco__key_put(&key, coco_text("x"));
    coco__rec_put(&payload, &rec);
    raw_begin();
    raw_put(key.p, key.n, payload.p, payload.n);
    raw_end();
    coco__buf_free(&key);
    coco__buf_free(&payload);
    snprintf(harm, sizeof harm, "a component below the highest number");
    holds_after_harm(true);
    w.unsound = false;
    lines_clear(&problems), lines_clear(&said);
}

int main(int argc, char **argv)
{
#define TESTED(kind, name) SCENARIO_TEST(one_repair_is_enough_for_##name),
    const struct CMUnitTest tests[] = {
        KINDS(TESTED)
        SCENARIO_TEST(whatever_bytes_stand_in_a_record_one_repair_is_enough),
        SCENARIO_TEST(dependency_of_no_known_kind_is_found_and_repaired),
        SCENARIO_TEST(component_without_a_segment_stands_under_no_key_of_its_own),
        SCENARIO_TEST(target_is_not_put_together_below_itself),
        SCENARIO_TEST(lost_below_the_highest_number_is_found_by_its_name),
    };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
