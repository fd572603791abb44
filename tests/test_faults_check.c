/* What reads a database meets the same faults as what writes it (S11.4, S11.5): while check or a listing runs, or a
 * repair after one record of each kind was harmed, each allocation, each call of LMDB and each system call fails in
 * turn, in this process and in the child that does the work. It succeeds, or says what went wrong; nothing is left
 * allocated or open; and the same once more, undisturbed, comes to what an undisturbed run gives. */
#include "scenarios.h"

#include "raw.h"

static lines seen;

static coco_status see_component(void *user, const coco_component_info *i)
{
    (void)user;
    lines_add(&seen, "%s %s %zu %zu", i->path, i->function ? i->function : "-", i->nstates, i->nmemos);
    return COCO_OK;
}

static coco_status see_state(void *user, const coco_component_info *i, const coco_state_info *s)
{
    (void)user;
    (void)i;
    lines_add(&seen, "  %s%s", s->state, s->container ? " container" : "");
    return COCO_OK;
}

static coco_status see_problem(void *user, const coco_problem *p)
{
    (void)user;
    lines_add(&seen, "%s%s %s", p->repaired ? "repaired " : "", p->path, p->what);
    return COCO_OK;
}

/* ---- A database, sound or harmed ---- */

enum harm { NO_HARM, LOST, CUT, MISPLACED };

/* Of the records of a kind, the one in the middle; false: there is none. */
static bool middle_of(char kind, MDB_val *k, MDB_val *v)
{
    size_t n = 0, seen_before = 0;
    MDB_cursor *cur;

    assert_int_equal(mdb_cursor_open(txn, dbi, &cur), 0);
    while (mdb_cursor_get(cur, k, v, MDB_NEXT) == 0) n += *(char *)k->mv_data == kind;
    for (int rc = mdb_cursor_get(cur, k, v, MDB_FIRST); n && rc == 0; rc = mdb_cursor_get(cur, k, v, MDB_NEXT))
        if (*(char *)k->mv_data == kind && seen_before++ == n / 2) break;
    mdb_cursor_close(cur);
    return n > 0;
}

/* The record goes from its key to another. */
static void misplace(const raw_record *r, size_t length, uint64_t below)
{
    MDB_val k = { r->nkey, (void *)(uintptr_t)r->key };
    uint8_t key[sizeof r->key + 1];

    memcpy(key, r->key, r->nkey);
    key[r->nkey] = 1;
    if (below) coco__put_be64(key + 1, below);
    assert_int_equal(mdb_del(txn, dbi, &k, NULL), 0);
    raw_put(key, length, r->payload, r->n);
}

/* Components under keys that aren't theirs, below a number that nobody has, and one with the record of another; no
 * counters and no root. */
static void misplace_components(void)
{
    static raw_record records[40];
    size_t n = raw_read(COCO__COMPONENT, records, 40);
    MDB_val meta = { 1, "0" }, root = { records[0].nkey, records[0].key };

    assert_true(n > 8);
    misplace(&records[n - 1], records[n - 1].nkey + 1, 0);
    misplace(&records[n - 2], records[n - 2].nkey - 1, 0);
    misplace(&records[n - 3], records[n - 3].nkey, 99);
    raw_put(records[3].key, records[3].nkey, records[4].payload, records[4].n);
    assert_int_equal(mdb_del(txn, dbi, &meta, NULL), 0);
    assert_int_equal(mdb_del(txn, dbi, &root, NULL), 0);
}

static void harm_one_of_each_kind(enum harm harm)
{
    raw_begin();
    if (harm == MISPLACED) misplace_components();
    for (const char *kind = "0123456789ACFIOPU"; (harm == LOST || harm == CUT) && *kind; kind++) {
        MDB_val k, v;

        if (!middle_of(*kind, &k, &v)) continue;
        char key[600], value[600];
        assert_true(k.mv_size <= sizeof key);
        v.mv_size = v.mv_size / 2 < sizeof value ? v.mv_size / 2 : sizeof value;
        k.mv_data = memcpy(key, k.mv_data, k.mv_size); /* what LMDB writes moves what it has shown */
        v.mv_data = memcpy(value, v.mv_data, v.mv_size);
        assert_int_equal(harm == LOST ? mdb_del(txn, dbi, &k, NULL) : mdb_put(txn, dbi, &k, &v, 0), 0);
    }
    raw_end();
}

static void settle(enum harm harm)
{
    restart();
    sweep_world();
    unlink(own_db);
    plan("tab #box tab/sub", "a: tab.1=10 box.1=1 | B: tab.2=*20 tab/sub.5=50 | a/c: tab.3=*30 | A: tab.500-800=1 |"
                             " d&: [own] own.4=40 | d/E: tab@index.1=1");
    update(NULL);
    harm_one_of_each_kind(harm);
    db_save();
    w.unsound = harm != NO_HARM;
}

/* ---- One fault after the other ---- */

typedef struct work {
    coco_status (*run)(void); /* meets the fault; its error in w.err, what it finds in `seen` */
    void (*holds)(void);      /* what is so after each of them */
    enum harm harm;
} work;

static coco_status run_again(const work *what)
{
    coco_status rc;

    lines_clear(&seen);
    memset(&w.err, 0, sizeof w.err);
    rc = open_world();
    return rc == COCO_OK ? what->run() : rc;
}

/* False when the n-th call never came. */
static bool fails_once(const work *what, fault_kind kind, long n, int variant, coco_status usual, const char *found)
{
    int files;
    coco_status rc;
    char *is;

    db_crash(); /* the database as it was */
    files = open_files();
    gate_arm(kind, n, variant);
    rc = run_again(what);
    gate_open();
    if (!gate->fired) return false;
    swept[kind]++;
    sweep_holds(kind, rc == usual || rc != COCO_OK, "succeeds, where an undisturbed run doesn't");
    sweep_holds(kind, rc == COCO_OK || w.err.msg[0], "fails without a word");
    sweep_holds(kind, kind != FAULT_MEMORY || rc == usual || rc == COCO_ENOMEM, "takes want of memory for damage");
    restart();
    sweep_holds(kind, w.live == 0, "leaks memory");
    sweep_holds(kind, open_files() == files, "leaks a descriptor");
    if (what->holds) what->holds();
    if (what->harm == NO_HARM) {
        rc = run_again(what);
        is = lines_join(seen.v, seen.n);
        sweep_holds(kind, rc == usual && strcmp(is, found) == 0, "once more, comes to something else");
        free(is);
    }
    restart();
    return true;
}

static void every_fault_of(const work *what, fault_kind kind)
{
    coco_status usual;
    bool came = true;
    char *found;

    settle(what->harm);
    usual = run_again(what);
    found = lines_join(seen.v, seen.n);
    restart();
    if (what->holds) what->holds();
    for (long n = 1; came; n = sweep_next(n)) {
        came = fails_once(what, kind, n, 0, usual, found);
        for (int v = 1, of = gate->nvariants; came && v < of; v++) fails_once(what, kind, n, v, usual, found);
    }
    db_crash();
    restart();
    free(found);
    lines_clear(&seen);
}

static void every_fault(const work *what)
{
    every_fault_of(what, FAULT_MEMORY);
    every_fault_of(what, FAULT_STORE);
    every_fault_of(what, FAULT_SYSTEM);
}

/* ---- What is done ---- */

static coco_status check_with(coco_check_opts opts)
{
    const coco_check_visitor v = { NULL, see_problem };

    return coco_check(w.env, "test", &opts, &v, &w.err);
}
static coco_status check_here(void) { return check_with((coco_check_opts){ .same_process = true }); }
static coco_status check_apart(void) { return check_with((coco_check_opts){ .same_process = false }); }
static coco_status repair(void) { return check_with((coco_check_opts){ .repair = true, .same_process = true }); }

static coco_status list(void)
{
    const coco_inspect_visitor v = { NULL, see_component, see_state };

    return coco_inspect(w.env, "test", NULL, 0, &v, &w.err);
}

/* ---- What holds after it ---- */

static void repaired_by_the_next(void)
{
    assert_int_equal(open_world(), COCO_OK);
    if (repair() != COCO_OK) fail_msg("repair: %s", w.err.msg);
    if (check_here() != COCO_OK) fail_msg("after the repair: %s", w.err.msg);
    if (try_update(NULL) != COCO_OK) fail_msg("update after the repair: %s", w.err.msg);
    if (check_here() != COCO_OK) fail_msg("after the update: %s", w.err.msg);
    restart();
}

static void check_survives_any_fault(void **state)
{
    (void)state;
    every_fault(&(const work){ check_here, NULL, NO_HARM });
}

static void check_by_a_child_survives_any_fault(void **state)
{
    (void)state;
    every_fault(&(const work){ check_apart, NULL, NO_HARM });
}

static void listing_survives_any_fault(void **state)
{
    (void)state;
    every_fault(&(const work){ list, NULL, NO_HARM });
}

static void repair_of_a_sound_database_survives_any_fault(void **state)
{
    (void)state;
    every_fault(&(const work){ repair, NULL, NO_HARM });
}

static void repair_of_lost_records_survives_any_fault(void **state)
{
    (void)state;
    every_fault(&(const work){ repair, repaired_by_the_next, LOST });
}

static void repair_of_half_records_survives_any_fault(void **state)
{
    (void)state;
    every_fault(&(const work){ repair, repaired_by_the_next, CUT });
}

static void repair_of_misplaced_components_survives_any_fault(void **state)
{
    (void)state;
    every_fault(&(const work){ repair, repaired_by_the_next, MISPLACED });
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SCENARIO_TEST(check_survives_any_fault),
        SCENARIO_TEST(check_by_a_child_survives_any_fault),
        SCENARIO_TEST(listing_survives_any_fault),
        SCENARIO_TEST(repair_of_a_sound_database_survives_any_fault),
        SCENARIO_TEST(repair_of_lost_records_survives_any_fault),
        SCENARIO_TEST(repair_of_half_records_survives_any_fault),
        SCENARIO_TEST(repair_of_misplaced_components_survives_any_fault),
    };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, sweep_counts);
}
