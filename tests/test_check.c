/* check and check --repair (S11.4, S11.5): what every kind of update leaves passes; whatever one record may suffer is
 * found and named, put right, and the next update converges. */
#include "plan.h"
#include "raw.h"

#include <fcntl.h>
#include <sys/wait.h>

/* ---- Checking ---- */

static lines problems;

static coco_status note_problem(void *user, const coco_problem *p)
{
    (void)user;
    lines_add(&problems, "%s%s%s%s", p->repaired ? "repaired " : "", p->path, *p->path ? " " : "", p->what);
    return COCO_OK;
}

static coco_status check_with(const coco_check_opts *opts)
{
    const coco_check_visitor v = { NULL, note_problem };

    lines_clear(&problems);
    memset(&w.err, 0, sizeof w.err);
    assert_int_equal(open_world(), COCO_OK);
    return coco_check(w.env, "test", opts, &v, &w.err);
}
static coco_status check_here(void) { return check_with(&(coco_check_opts){ .same_process = true }); }
static coco_status repair(void) { return check_with(&(coco_check_opts){ .repair = true, .same_process = true }); }

#define expect_problems(...) LINES_EXPECT(&problems, __VA_ARGS__)

static void passes(void)
{
    if (check_here() == COCO_OK) return;
    for (size_t i = 0; i < problems.n; i++) print_error("  %s\n", problems.v[i]);
    fail_msg("%s", w.err.msg);
}

/* ---- LMDB behind the library's back ---- */

enum harm { TURN_A_BIT, TAKE_AWAY, CUT_SHORT, HARMS };

static bool holds(const void *p, size_t n, const char *text)
{
    for (size_t i = 0, len = strlen(text); i + len <= n; i++)
        if (memcmp((const char *)p + i, text, len) == 0) return true;
    return false;
}

/* Does harm to the n-th record whose key begins with kind (0: of all) and holds a text; false: there are not so many.
 * name gets what can be told of its key. */
static bool do_harm(char kind, const char *text, size_t n, enum harm harm, char name[80])
{
    MDB_cursor *cur;
    MDB_val k, v;
    static char copy[1 << 16];
    int rc;

    raw_begin();
    assert_int_equal(mdb_cursor_open(txn, dbi, &cur), 0);
    for (rc = mdb_cursor_get(cur, &k, &v, MDB_FIRST); rc == 0; rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT))
        if ((!kind || *(char *)k.mv_data == kind) && holds(k.mv_data, k.mv_size, text) && n-- == 0) break;
    if (rc == 0) {
        for (size_t i = 0, at = 0; i < k.mv_size && at < 76; i++) {
            const unsigned char c = ((unsigned char *)k.mv_data)[i];
            at += (size_t)snprintf(name + at, 80 - at, c > ' ' && c < 127 ? "%c" : "%02x", c);
        }
        assert_true(v.mv_size < sizeof copy);
        memcpy(copy, v.mv_data, v.mv_size);
        copy[v.mv_size - 1] ^= 4;
        if (harm == CUT_SHORT) v.mv_size /= 2;
        v.mv_data = copy;
        rc = harm == TAKE_AWAY ? mdb_cursor_del(cur, 0) : mdb_cursor_put(cur, &k, &v, MDB_CURRENT);
        assert_int_equal(rc, 0);
    }
    mdb_cursor_close(cur);
    raw_end();
    return rc == 0;
}

static void harm(char kind, const char *text, size_t n, enum harm harm)
{
    char key[80];

    assert_true(do_harm(kind, text, n, harm, key));
    w.unsound = true;
}

/* The record of a kind whose key (of a number: what it leads to) holds a text gets the payload of another under a right
 * checksum: it can be read. */
static void give_record(enum coco__kind kind, const char *text, const char *other)
{
    MDB_cursor *cur;
    MDB_val k, v;
    coco__dbkey to = { .n = 0 };
    char payload[4096];
    size_t length = 0;

    raw_begin();
    assert_int_equal(mdb_cursor_open(txn, dbi, &cur), 0);
    for (int rc = mdb_cursor_get(cur, &k, &v, MDB_FIRST); rc == 0; rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) {
        if (*(char *)k.mv_data != (char)kind) continue;
        const MDB_val *in = kind == COCO__PARENT ? &v : &k;
        if (holds(in->mv_data, in->mv_size, text)) memcpy(to.b, k.mv_data, to.n = k.mv_size);
        if (holds(in->mv_data, in->mv_size, other)) memcpy(payload, (char *)v.mv_data + 4, length = v.mv_size - 4);
    }
    mdb_cursor_close(cur);
    assert_true(to.n && length);
    raw_put(to.b, to.n, payload, length);
    raw_end();
    w.unsound = true;
}

/* ---- A program with everything that can be recorded ---- */

COCO_FN(doubled, (int, i), .memo = true) { return coco_return(cx, coco_int(2 * i)); }
COCO_FN(deeper, (int, i), .memo = true) /* its result is kept apart */
{
    char much[PLAN_MUCH];
    coco_value v;

    COCO_TRY(coco_call(cx, &doubled, COCO_ARGS(coco_int(i)), &v));
    memset(much, 'a' + i % 26, sizeof much);
    const coco_value both[] = { coco_int(coco_int_of(v) + 1), coco_text_n((coco_str){ much, sizeof much }) };
    return coco_return(cx, coco_list(both, 2));
}
COCO_FN(write_row, (int, i, coco_value, tab), .memo = true)
{
    return coco_declare(cx, coco_object_of(tab, &coco_target_class), coco_int(100 + i), coco_int(i));
}
COCO_FN(leaf, (int, i, coco_value, tab), .memo = true)
{
    coco_value v;

    COCO_TRY(coco_call(cx, &deeper, COCO_ARGS(coco_int(i)), &v));
    return coco_declare(cx, coco_object_of(tab, &coco_target_class), coco_int(i), coco_at(v, 0));
}
COCO_FN(item_row, (coco_value, kv, coco_value, tab), .memo = true)
{
    return coco_declare(cx, coco_object_of(tab, &coco_target_class), coco_at(kv, 0), coco_at(kv, 1));
}
COCO_FN(many, (int, n, coco_value, tab), .memo = true)
{
    for (int i = 0; i < n; i++)
        COCO_TRY(coco_declare(cx, coco_object_of(tab, &coco_target_class), coco_int(1000 + i), coco_int(i)));
    return COCO_OK;
}
COCO_FN(keeper, (coco_value, tab))
{
    coco_value was;
    int64_t id;

    COCO_TRY(coco_use_state(cx, coco_text("seen"), coco_int(7), &was));
    COCO_TRY(coco_generate_id(cx, coco_text("a"), &id));
    COCO_TRY(coco_call(cx, &write_row, COCO_ARGS(coco_int(5), tab), NULL));
    return coco_declare(cx, coco_object_of(tab, &coco_target_class), coco_int(50), coco_int(1));
}
COCO_FN(group, (int, n, coco_value, tab), .memo = true)
{
    for (int i = 1; i <= n; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("sub"), coco_int(i)), &leaf, COCO_ARGS(coco_int(i), tab), NULL));
    return COCO_OK;
}
COCO_FN(boxes, (bool, less))
{
    coco_target *box, *index;

    COCO_TRY(coco_declare_container(cx, root(cx), coco_text("box"), coco_null(), NULL, &box));
    COCO_TRY(coco_attachment(cx, box, "index", &index));
    COCO_TRY(coco_declare(cx, index, coco_int(1), coco_int(1)));
    return less ? COCO_OK : coco_declare(cx, box, coco_int(2), coco_int(2));
}

COCO_FN(everything, (bool, less))
{
    coco_target *tab, *sub, *tub;
    coco_value t, s;

    COCO_TRY(mount_tab(cx, "tab", MAP1("schema", coco_int(1)), &tab));
    COCO_TRY(coco_mount_target(cx, tab, coco_text("sub"), coco_null(), NULL, &sub));
    t = coco_target_value(tab), s = coco_target_value(sub);
    if (!less) {
        COCO_TRY(coco_mount_target(cx, crate(cx), coco_text("tub"), coco_null(), NULL, &tub));
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("in tub")), &keeper, COCO_ARGS(coco_target_value(tub)), NULL));
    }
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("group")), &group, COCO_ARGS(coco_int(less ? 1 : 3), s),
                        NULL));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("many")), &many, COCO_ARGS(coco_int(less ? 60 : 120), t), NULL));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("boxes")), &boxes, COCO_ARGS(coco_bool(less)), NULL));
    if (!less) COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("kept")), &keeper, COCO_ARGS(t), NULL));
    return coco_mount_each(cx, COCO_AUTO, &item_row, items(cx, less ? "b=2 d=4" : "a=1 b=2 c=3 d=4", true),
                           COCO_ARGS(t));
}

/* States with keys so long that a page holds a few, below a path that no component has. */
COCO_FN(wide, (int, n, coco_value, tab), .memo = true)
{
    char key[500];

    for (int i = 1; i <= n; i++) {
        memset(key, 'a' + i, sizeof key);
        coco_value text = coco_text_n((coco_str){ key, i == n ? sizeof key : 400 });
        COCO_TRY(coco_declare(cx, coco_object_of(tab, &coco_target_class), text, coco_null()));
    }
    return COCO_OK;
}
COCO_FN(everything_wide, (bool, less))
{
    coco_target *tab, *index;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    COCO_TRY(coco_attachment(cx, tab, "index", &index));
    COCO_TRY(coco_declare(cx, index, coco_int(1), coco_int(1)));
    COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("a"), coco_text("b")), &wide,
                        COCO_ARGS(coco_int(less ? 6 : 8), coco_target_value(tab)), NULL));
    return coco_mount_each(cx, COCO_AUTO, &item_row, items(cx, less ? "b=2" : "a=1 b=2", true),
                           COCO_ARGS(coco_target_value(tab)));
}

static const char *words_arg;
COCO_FN(long_key, ())
{
    coco_target *tab;

    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    return coco_mount_each(cx, COCO_AUTO, &item_row, items(cx, words_arg, false), COCO_ARGS(coco_target_value(tab)));
}

static coco_fn *whole = &everything; /* the program */
static coco_value less_arg;
static void make_everything(bool less) /* less: half of it is no longer declared */
{
    restart();
    less_arg = coco_bool(less);
    w.config.args = (coco_args){ &less_arg, 1 };
    program(whole);
}

/* What is on the shelf as text, sorted. */
static char *shelf_text(void)
{
    static lines is;
    char *text;

    lines_clear(&is);
    for (size_t i = 0; i < w.nshelf; i++) lines_add(&is, "%s = %s", w.shelf[i].name, w.shelf[i].value);
    qsort(is.v, is.n, sizeof is.v[0], by_text);
    text = lines_join(is.v, is.n);
    lines_clear(&is);
    return text;
}

static thing kept_shelf[4000];
static size_t nkept;

static thing copy_thing(const thing *t)
{
    thing copy = *t;

    copy.name = strdup(t->name);
    copy.value = strdup(t->value);
    copy.place = t->place ? strdup(t->place) : NULL;
    return copy;
}

static void keep_shelf(void)
{
    for (nkept = 0; nkept < w.nshelf; nkept++) kept_shelf[nkept] = copy_thing(&w.shelf[nkept]);
}

static void put_shelf_back(void)
{
    while (w.nshelf) shelf_take(&w.shelf[0]);
    for (; w.nshelf < nkept; w.nshelf++) w.shelf[w.nshelf] = copy_thing(&kept_shelf[w.nshelf]);
}

static void forget_shelf(void)
{
    for (size_t i = 0; i < nkept; i++) free(kept_shelf[i].name), free(kept_shelf[i].value), free(kept_shelf[i].place);
    nkept = 0;
}

/* ---- Whatever one record may suffer ---- */

static char saved_db[80];

static void put_db_back(void)
{
    char path[100];

    restart();
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    copy_file(saved_db, path);
    put_shelf_back();
}

/* What an undisturbed run of the whole program, and then of the reduced one, leaves on the shelf. */
static char *wanted[2];

static void settle_everything(void)
{
    snprintf(saved_db, sizeof saved_db, "%s/saved", w.dir);
    make_everything(false);
    update(NULL);
    update(NULL);
    passes();
    db_save();
    keep_shelf();
    wanted[0] = shelf_text();
    make_everything(true);
    update(NULL);
    wanted[1] = shelf_text();
    passes();
}

/* Where the two part. */
static void tell_difference(const char *what, const char *is, const char *should)
{
    while (*is && *is == *should) is++, should++;
    fail_msg("%s: the shelf holds …%.60s\nin place of …%.60s", what, is, should);
}

static void converges(bool less, const char *what)
{
    char *is;

    make_everything(less);
    if (try_update(NULL) != COCO_OK) {
        for (size_t i = 0; i < w.failures.n; i++) print_error("  %s\n", w.failures.v[i]);
        fail_msg("%s: update: %s", what, w.err.msg);
    }
    is = shelf_text();
    if (strcmp(is, wanted[less]) != 0) tell_difference(what, is, wanted[less]);
    free(is);
    if (check_here() == COCO_OK) return;
    for (size_t i = 0; i < problems.n; i++) print_error("  %s\n", problems.v[i]);
    fail_msg("%s: check after the update: %s", what, w.err.msg);
}

/* One record harmed: found (but for what may be missing without harm), put right, and nothing is lost. */
static bool survives(size_t n, enum harm h, bool less)
{
    static const char *const harms[] = { "a bit of", "the loss of", "half of" };
    char what[160], key[80] = "";
    bool there;

    put_db_back();
    there = do_harm(0, "", n, h, key);
    if (!there) return false;
    snprintf(what, sizeof what, "%s record %zu, %s%s", harms[h], n, key, less ? ", then less" : "");
    coco_status rc = check_here();
    if (rc != COCO_ECORRUPT && !(h == TAKE_AWAY && memchr("1F", key[0], 2)))
        fail_msg("%s wasn't found: %s", what, coco_status_name(rc));
    if (repair() != COCO_OK) {
        for (size_t i = 0; i < problems.n; i++) print_error("  %s\n", problems.v[i]);
        fail_msg("%s: repair: %s", what, w.err.msg);
    }
    if (check_here() != COCO_OK) {
        for (size_t i = 0; i < problems.n; i++) print_error("  %s\n", problems.v[i]);
        fail_msg("%s: after the repair: %s", what, w.err.msg);
    }
    converges(less, what);
    return true;
}

/* S11.5: dropped, and made anew by the next update; no target state is lost, also where it is no longer declared. */
static void every_record_may_be_harmed_and_repaired(void **state)
{
    (void)state;
    settle_everything();
    for (int h = 0; h < HARMS; h++)
        for (int less = 0; less < 2; less++)
            for (size_t n = 0; survives(n, (enum harm)h, less); n++) continue;
    put_db_back();
    forget_shelf();
    free(wanted[0]), free(wanted[1]);
}

/* The app's record lost, numbers are given out again that others have; each time another record is lost beside it. */
static bool update_ends(size_t n, bool less)
{
    char key[80];

    put_db_back();
    harm(COCO__META, "", 0, TAKE_AWAY);
    if (!do_harm(0, "", n, TAKE_AWAY, key)) return false;
    make_everything(less);
    (void)try_update(NULL);
    if (repair() != COCO_OK) fail_msg("%s: repair: %s", key, w.err.msg);
    if (check_here() != COCO_OK) fail_msg("%s: after the repair: %s", key, w.err.msg);
    return true;
}

static void update_ends_where_numbers_are_given_out_twice(void **state)
{
    (void)state;
    whole = &everything_wide;
    settle_everything();
    for (int less = 0; less < 2; less++)
        for (size_t n = 0; update_ends(n, less); n++) continue;
    whole = &everything;
    put_db_back();
    forget_shelf();
    free(wanted[0]), free(wanted[1]);
}

/* ---- What is said, and of what ---- */

static bool said(const char *words)
{
    for (size_t i = 0; i < problems.n; i++)
        if (strstr(problems.v[i], words)) return true;
    return false;
}

static void expect_said(const char *words)
{
    if (said(words)) return;
    for (size_t i = 0; i < problems.n; i++) print_error("  %s\n", problems.v[i]);
    fail_msg("nobody said: %s", words);
}

/* S11.5 */
static void damaged_record_is_named_by_check(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10 | B: tab.2=20");
    update(NULL);
    harm('C', "A", 0, TURN_A_BIT);
    assert_int_equal(check_here(), COCO_ECORRUPT);
    expect_said("/\"A\" its record is damaged");
    assert_non_null(strstr(w.err.msg, "/\"A\""));
}

static void what_was_repaired_is_told_and_passes(void **state)
{
    (void)state;
    plan("tab", "A: tab.1=10 | B: tab.2=20");
    update(NULL);
    harm('C', "A", 0, TURN_A_BIT);
    assert_int_equal(repair(), COCO_OK);
    expect_said("repaired /\"A\" its record is damaged");
    passes();
    assert_int_equal(repair(), COCO_OK);
    expect_problems(NULL);
    update(NULL);
    expect_actions("~ tab:1"); /* what it holds wasn't known any more */
}

static void lost_owner_entry_is_found_and_repaired(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    harm('O', "", 1, TAKE_AWAY);
    assert_int_equal(check_here(), COCO_ECORRUPT);
    expect_said("/\"a\" the owner index doesn't lead to it from its target state tab:1");
    assert_int_equal(repair(), COCO_OK);
    passes();
    expect_nothing_written();
    plan("tab", "b: tab.1=10"); /* it is claimed from its owner, as if nothing had been */
    update(NULL);
    expect_actions(NULL);
}

/* Counted again from the components (S6.5). */
static void wrong_use_count_is_recounted(void **state)
{
    (void)state;
    make_everything(false);
    update(NULL);
    harm('U', "", 0, TAKE_AWAY);
    assert_int_equal(check_here(), COCO_ECORRUPT);
    expect_said("the use count of a function memo is gone");
    assert_int_equal(repair(), COCO_OK);
    passes();
    expect_nothing_written();
}

/* A state whose key is too long for the database is known in full by its record alone: made anew where declared. */
static void state_with_a_long_key_is_made_anew(void **state)
{
    static char words[900], key[600];

    (void)state;
    memset(key, 'k', sizeof key - 1);
    snprintf(words, sizeof words, "%s=1", key);
    words_arg = words;
    program(&long_key);
    update(NULL);
    harm('C', "kk", 0, TURN_A_BIT);
    if (repair() != COCO_OK) {
        for (size_t i = 0; i < problems.n; i++) print_error("  %.100s\n", problems.v[i]);
        fail_msg("%s", w.err.msg);
    }
    passes();
    update(NULL);
    assert_int_equal(w.actions.n, 1);
    expect_nothing_written();
}

/* What hangs nowhere is found by the next update, and deleted or claimed. */
static void what_hangs_nowhere_is_claimed_from_the_lost(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10 | a/b: tab.2=20 | a/c: tab.3=30");
    update(NULL);
    harm('I', "", 2, TAKE_AWAY);
    harm('C', "a", 0, TAKE_AWAY); /* /"a" itself: nothing says where its children were */
    assert_int_equal(repair(), COCO_OK);
    passes();
    plan("tab", "a: tab.1=10 | a/b: tab.2=20");
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
}

/* Its record says that it has no number, but components stand below the number that leads to it. */
static void component_with_anothers_record_keeps_what_stands_below_it(void **state)
{
    (void)state;
    plan("tab", "above: tab.1=10 | above/b: tab.2=20 | other: tab.3=30");
    update(NULL);
    give_record(COCO__COMPONENT, "above", "other");
    assert_int_equal(check_here(), COCO_ECORRUPT);
    expect_said("leads to it, which isn't its own");
    if (repair() != COCO_OK) fail_msg("%s", w.err.msg);
    passes();
    plan("tab", "above: tab.1=10 | above/b: tab.2=20");
    update(NULL);
    passes();
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 20");
}

static void update_of_components_that_stand_in_one_another_fails_until_repaired(void **state)
{
    (void)state;
    plan("tab", "above: tab.1=10 | above/deep: tab.2=20 | above/deep/end: tab.3=30");
    update(NULL);
    give_record(COCO__PARENT, "above", "deep");
    plan("tab", "above: tab.1=10 | above/deep: tab.2=21 | above/deep/end: tab.3=30");
    assert_int_equal(try_update(NULL), COCO_ECORRUPT);
    assert_non_null(strstr(w.err.msg, "stand in one another"));
    assert_int_equal(check_here(), COCO_ECORRUPT);
    for (size_t i = 0; i < problems.n; i++) assert_true(strlen(problems.v[i]) < 200); /* their paths don't go on and on */
    if (repair() != COCO_OK) fail_msg("%s", w.err.msg);
    passes();
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 10", "tab:2 = 21", "tab:3 = 30");
}

/* A key too long for an entry's is cut there; in full it stands in the value, and must be the one that was cut. */
static void state_whose_key_is_anothers_is_mended(void **state)
{
    static raw_record records[256];
    char key[500];

    (void)state;
    memset(key, 'i', sizeof key);
    whole = &everything_wide;
    make_everything(false);
    update(NULL);
    raw_begin();
    size_t n = raw_read(0, records, 256);
    for (size_t i = 0; i < n; i++)
        for (size_t at = 0; at + sizeof key <= records[i].n; at++) {
            if (memcmp(records[i].payload + at, key, sizeof key) != 0) continue;
            records[i].payload[at + sizeof key - 1] = 'j';
            raw_put(records[i].key, records[i].nkey, records[i].payload, records[i].n);
            w.unsound = true;
        }
    raw_end();
    assert_true(w.unsound);
    assert_int_equal(check_here(), COCO_ECORRUPT);
    expect_said("what it has recorded is malformed");
    if (repair() != COCO_OK) fail_msg("%s", w.err.msg);
    passes();
    make_everything(false);
    update(NULL);
    passes();
    whole = &everything;
}

/* All names are loaded at once: their numbers are bounded. */
static void name_with_a_number_too_high_is_damage(void **state)
{
    coco__dbkey k;

    (void)state;
    plan("tab", "A: tab.1=10");
    update(NULL);
    coco__dbkey_id(&k, COCO__NAME, COCO__NAMES_MAX, NULL, 0);
    raw_begin();
    raw_put(k.b, k.n, "f", 1);
    raw_end();
    w.unsound = true;
    assert_int_equal(check_here(), COCO_ECORRUPT);
    expect_said("the name of a function is damaged");
    if (repair() != COCO_OK) fail_msg("%s", w.err.msg);
    passes();
}

/* What stands below number so-and-so stands in itself then. */
static void stand_in_itself(const char *text)
{
    static const coco__mem libc;
    static raw_record links[64];
    coco__buf itself;

    coco__buf_init(&itself, &libc);
    raw_begin();
    size_t n = raw_read(COCO__PARENT, links, 64);
    for (size_t i = 0; i < n; i++) {
        if (!holds(links[i].payload, links[i].n, text)) continue;
        itself.n = 0;
        coco__place_put(&itself, &(coco__place){ coco__get_be64(links[i].key + 1), { "", 0 } });
        raw_put(links[i].key, links[i].nkey, itself.p, itself.n);
    }
    raw_end();
    coco__buf_free(&itself);
    w.unsound = true;
}

/* The inner nodes above what is deleted are looked at one after the other, as long as nothing stands below them. */
static void deletion_ends_where_a_component_stands_in_itself(void **state)
{
    (void)state;
    plan("tab", "above: | above/end: | other: | other/kid: ");
    update(NULL);
    stand_in_itself("above");
    give_record(COCO__COMPONENT, "end", "other"); /* with a number: it goes without a commit, which would climb */
    plan("tab", "");
    alarm(60);
    (void)try_update(NULL);
    alarm(0);
    if (repair() != COCO_OK) fail_msg("%s", w.err.msg);
    passes();
    update(NULL);
    expect_shelf("shelf:\"tab\" = null");
}

/* ---- Beside others ---- */

static void repair_is_refused_while_an_update_runs(void)
{
    coco_err err;

    assert_int_equal(coco_check(w.env, "test", &(coco_check_opts){ .repair = true, .same_process = true }, NULL, &err),
                     COCO_EBUSY);
    assert_int_equal(coco_check(w.env, "test", NULL, NULL, &err), COCO_OK); /* a consistent snapshot */
    assert_int_equal(coco_check(w.env, "test", &(coco_check_opts){ .same_process = true }, NULL, &err), COCO_OK);
}

static void check_works_beside_an_update_and_repair_does_not(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    plan("tab", "a: tab.1=11 | b: tab.2=20");
    w.before_apply = repair_is_refused_while_an_update_runs;
    update(NULL);
    expect_shelf("shelf:\"tab\" = null", "tab:1 = 11", "tab:2 = 20");
}

static void unknown_app_is_an_error(void **state)
{
    (void)state;
    plan("tab", "a: tab.1=10");
    update(NULL);
    assert_int_equal(coco_check(w.env, "nobody", NULL, NULL, &w.err), COCO_ENOTFOUND);
    assert_int_equal(coco_check(w.env, NULL, NULL, NULL, &w.err), COCO_OK);
}

/* ---- Damaged pages (S11.5) ---- */

/* Fills the pages that hold a text, of whatever age, with what no page holds. */
static void spoil_pages(const char *text)
{
    char path[100], bytes[4096];
    long spoilt = 0;
    FILE *f;

    restart();
    w.unsound = true;
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_non_null(f = fopen(path, "r+b"));
    for (long page = 0; fread(bytes, sizeof bytes, 1, f) == 1; page++) {
        if (holds(bytes, sizeof bytes, text) && !holds(bytes, sizeof bytes, "app:test")) { /* else it doesn't open */
            memset(bytes, 0xff, sizeof bytes);
            assert_int_equal(fseek(f, page * (long)sizeof bytes, SEEK_SET), 0);
            assert_int_equal(fwrite(bytes, sizeof bytes, 1, f), 1);
            spoilt++;
        }
        assert_int_equal(fseek(f, (page + 1) * (long)sizeof bytes, SEEK_SET), 0);
    }
    fclose(f);
    assert_true(spoilt > 0);
}

static void page_damage_is_reported_by_a_child(void **state)
{
    char file[100];

    (void)state;
    make_everything(false);
    update(NULL);
    spoil_pages("in tub"); /* a path */
    if (open_world() != COCO_OK) fail_msg("%s", w.err.msg);
    assert_int_equal(coco_check(w.env, NULL, NULL, NULL, &w.err), COCO_ECORRUPT);
    assert_non_null(strstr(w.err.msg, "pages damaged, restore a backup"));
    assert_int_equal(coco_check(w.env, NULL, &(coco_check_opts){ .repair = true }, NULL, &w.err), COCO_ECORRUPT);
    snprintf(file, sizeof file, "%s/copy", w.dir);
    assert_int_equal(coco_backup(w.env, file, &w.err), COCO_ECORRUPT);
    assert_int_not_equal(access(file, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_record_may_be_harmed_and_repaired),
        TEST(update_ends_where_numbers_are_given_out_twice),
        TEST(damaged_record_is_named_by_check),
        TEST(what_was_repaired_is_told_and_passes),
        TEST(lost_owner_entry_is_found_and_repaired),
        TEST(wrong_use_count_is_recounted),
        TEST(state_with_a_long_key_is_made_anew),
        TEST(what_hangs_nowhere_is_claimed_from_the_lost),
        TEST(component_with_anothers_record_keeps_what_stands_below_it),
        TEST(update_of_components_that_stand_in_one_another_fails_until_repaired),
        TEST(state_whose_key_is_anothers_is_mended),
        TEST(name_with_a_number_too_high_is_damage),
        TEST(deletion_ends_where_a_component_stands_in_itself),
        TEST(check_works_beside_an_update_and_repair_does_not),
        TEST(unknown_app_is_an_error),
        TEST(page_damage_is_reported_by_a_child),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
