/* The conformance test for target handlers (S7.2): localfs and the harness's shelf pass it, and handlers that neglect a
 * duty are found out. */
#include "../connectors/conformance.h"
#include "../connectors/localfs.h"
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

static lines violations;

static void note_violation(void *user, const char *text)
{
    (void)user;
    lines_add(&violations, "%s", text);
}

static coco_conformance_result counts;

static coco_status run(coco_conformance *c)
{
    lines_clear(&violations);
    c->violation = note_violation;
    return coco_conformance_run(c, w.dir, &counts, &w.err);
}

static void expect_conformance(coco_conformance *c)
{
    coco_status rc = run(c);

    for (size_t i = 0; i < violations.n && i < 20; i++) print_error("  %s\n", violations.v[i]);
    if (rc != COCO_OK) fail_msg("%s", w.err.msg);
    print_message("%zu cases\n", counts.cases);
    assert_true(counts.cases > 50);
}

/* ---- The shelf ---- */

static coco_status make_shelf(coco_ctx *cx, void *user, coco_target_handler *out)
{
    coco_status rc = shelf_handler(cx, user, false, out);

    if (rc == COCO_OK) ((place *)out->self)->root = strcmp(user, "shelf") == 0;
    return rc;
}

static const coco_value numbers[] = { COCO_INTEGER(1), COCO_INTEGER(2), COCO_INTEGER(3) };

static void put_on_shelf(const char *name, int value, const char *inside)
{
    char text[12];
    thing *t = &w.shelf[w.nshelf++];

    snprintf(text, sizeof text, "%d", value);
    *t = (thing){ .name = strdup(name), .value = strdup(text), .place = inside ? strdup(inside) : NULL };
    shelf_record(coco_int(value), t->record);
}

static coco_status set_row(void *user, int state)
{
    (void)user;
    while (w.nshelf) shelf_take(&w.shelf[0]);
    put_on_shelf("shelf:\"tab\"", 0, "tab");
    if (state != COCO_REAL_NONE) put_on_shelf("tab:7", state + 1, NULL);
    return COCO_OK;
}

static coco_status get_row(void *user, int *state)
{
    const thing *t = shelf_find("tab:7");

    (void)user;
    *state = t ? atoi(t->value) - 1 : COCO_REAL_NONE;
    return COCO_OK;
}

static void rows_of_the_shelf_conform(void **state)
{
    char tab[] = "tab";
    coco_conformance c = { .make = make_shelf, .set = set_row, .get = get_row, .user = tab, .key = coco_int(7),
                           .desired = numbers, .ndesired = 3 };

    (void)state;
    expect_conformance(&c);
}

static coco_status set_table(void *user, int state)
{
    (void)user;
    while (w.nshelf) shelf_take(&w.shelf[0]);
    if (state != COCO_REAL_NONE) put_on_shelf("shelf:\"tab\"", state + 1, "tab");
    return COCO_OK;
}

static coco_status get_table(void *user, int *state)
{
    const thing *t = shelf_find("shelf:\"tab\"");

    (void)user;
    *state = t ? atoi(t->value) - 1 : COCO_REAL_NONE;
    return COCO_OK;
}

static void containers_of_the_shelf_conform(void **state)
{
    char shelf[] = "shelf";
    coco_conformance c = { .make = make_shelf, .set = set_table, .get = get_table, .user = shelf,
                           .key = coco_text("tab"),
                           .desired = numbers, .ndesired = 3, .container = true };

    (void)state;
    expect_conformance(&c);
}

/* ---- localfs ---- */

static char base[80];

static coco_status make_base(coco_ctx *cx, void *user, coco_target_handler *out)
{
    (void)user;
    return coco_target_make(cx, "localfs", coco_null(), out);
}

/* The handler of what is in a directory. */
static coco_status make_content(coco_ctx *cx, void *user, coco_target_handler *out)
{
    coco_target_handler root_handler;
    coco_value dir = coco_map_value(NULL, 0);

    (void)user;
    COCO_TRY(make_base(cx, NULL, &root_handler));
    return root_handler.child(cx, root_handler.self, coco_text(base), &dir, (coco_str){ NULL, 0 }, out);
}

static void empty_dir(const char *path)
{
    DIR *d = opendir(path);
    char name[400];

    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (remove(name) != 0) fail_msg("%s: %s", name, strerror(errno));
    }
    if (d) closedir(d);
}

static const coco_value texts[] = { COCO_TEXT("one"), COCO_TEXT("another") };

/* Odd states: a longer file that nobody declared; an empty directory in the file's place. */
static coco_status set_file(void *user, int state)
{
    static const char *const contents[] = { "one", "another", "what somebody else wrote" };
    char path[100];
    FILE *f;

    (void)user;
    mkdir(base, 0777);
    empty_dir(base);
    snprintf(path, sizeof path, "%s/f", base);
    if (state == COCO_REAL_NONE) return COCO_OK;
    assert_non_null(f = fopen(path, "w"));
    fputs(contents[state], f);
    fclose(f);
    return COCO_OK;
}

static coco_status get_file(void *user, int *state)
{
    char path[100], text[40] = "";
    FILE *f;

    (void)user;
    snprintf(path, sizeof path, "%s/f", base);
    *state = COCO_REAL_NONE;
    if (!(f = fopen(path, "r"))) return COCO_OK;
    *state = COCO_REAL_OTHER;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    for (int i = 0; i < 2; i++)
        if (coco_str_equal(coco_str_of(text), coco_text_of(texts[i]))) *state = i;
    return COCO_OK;
}

static void files_of_localfs_conform(void **state)
{
    coco_conformance c = { .make = make_content, .set = set_file, .get = get_file, .key = coco_text("f"),
                           .desired = texts, .ndesired = 2, .nodd = 1 };

    (void)state;
    snprintf(base, sizeof base, "%s-files", w.dir);
    expect_conformance(&c);
    empty_dir(base);
    rmdir(base);
}

/* Two modes of a directory that was missing before. */
static const coco_pair modes[2][2] = {
    { { { "mode", 4 }, COCO_INTEGER(0700) }, { { "made", 4 }, COCO_INTEGER(1) } },
    { { { "mode", 4 }, COCO_INTEGER(0750) }, { { "made", 4 }, COCO_INTEGER(1) } },
};

static coco_status set_dir(void *user, int state)
{
    (void)user;
    rmdir(base);
    if (state == COCO_REAL_NONE) return COCO_OK;
    assert_int_equal(mkdir(base, 0777), 0);
    return chmod(base, state == 0 ? 0700 : state == 1 ? 0750 : 0777) == 0 ? COCO_OK : COCO_EIO;
}

static coco_status get_dir(void *user, int *state)
{
    struct stat st;

    (void)user;
    *state = stat(base, &st) != 0 ? COCO_REAL_NONE
             : (st.st_mode & 07777) == 0700 ? 0 : (st.st_mode & 07777) == 0750 ? 1 : COCO_REAL_OTHER;
    return COCO_OK;
}

static void directories_of_localfs_conform(void **state)
{
    coco_value values[2] = { coco_map_value(modes[0], 2), coco_map_value(modes[1], 2) };
    coco_conformance c = { .make = make_base, .set = set_dir, .get = get_dir, .key = coco_text(base), .desired = values,
                           .ndesired = 2, .nodd = 1, .container = true, .keeps_unknown = true };

    (void)state;
    snprintf(base, sizeof base, "%s-dir", w.dir);
    c.key = coco_text(base);
    expect_conformance(&c);
    rmdir(base);
}

/* ---- Handlers that neglect a duty ---- */

static enum neglected { KEEPS_TOO_MUCH, FORGETS_THE_RECORD, INSERTS_ONLY, TWO_FACED } neglect;

static coco_status careless_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    static int turn;
    coco_change sure = *in;

    COCO_TRY(shelf_reconcile(cx, self, in, out));
    if (neglect == KEEPS_TOO_MUCH && in->npossible) {
        sure.npossible = 1;
        sure.may_be_missing = false;
        memset(out, 0, sizeof *out);
        return shelf_reconcile(cx, self, &sure, out);
    }
    if (neglect == FORGETS_THE_RECORD) out->record = (coco_str){ NULL, 0 };
    if (neglect == TWO_FACED && out->act && ++turn % 2) out->children = COCO_CHILDREN_LOSSY;
    return COCO_OK;
}

static coco_status careless_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    char name[700];

    for (size_t i = 0; neglect == INSERTS_ONLY && i < n; i++)
        if (shelf_find(action_name(actions[i], name, sizeof name)) && actions[i]->kind != COCO_DELETE)
            return coco_err_set(err, COCO_EIO, "%s is there already", name);
    return shelf_apply(self, actions, n, err);
}

static coco_sink careless_sink = { .apply = careless_apply, .name = "careless" };

static coco_status make_careless(coco_ctx *cx, void *user, coco_target_handler *out)
{
    COCO_TRY(make_shelf(cx, user, out));
    out->reconcile = careless_reconcile;
    out->sink = &careless_sink;
    return COCO_OK;
}

static void expect_found_out(enum neglected how, const char *words)
{
    char tab[] = "tab";
    coco_conformance c = { .make = make_careless, .set = set_row, .get = get_row, .user = tab, .key = coco_int(7),
                           .desired = numbers, .ndesired = 2 };
    bool said = false;

    neglect = how;
    assert_int_equal(run(&c), COCO_EFAIL);
    assert_true(counts.violations == violations.n);
    for (size_t i = 0; i < violations.n; i++) said |= strstr(violations.v[i], words) != NULL;
    if (!said) fail_msg("not told: %s; but %s", words, violations.n ? violations.v[0] : "nothing");
}

static void handler_that_keeps_what_may_not_be_there_is_found_out(void **state)
{
    (void)state;
    expect_found_out(KEEPS_TOO_MUCH, "it keeps what may not be there");
}
static void handler_without_a_record_is_found_out(void **state)
{
    (void)state;
    expect_found_out(FORGETS_THE_RECORD, "it gives no record");
}
static void sink_that_does_not_converge_is_found_out(void **state)
{
    (void)state;
    expect_found_out(INSERTS_ONLY, "applied again");
}
static void handler_with_a_memory_is_found_out(void **state)
{
    (void)state;
    expect_found_out(TWO_FACED, "asked twice it answers differently");
}

static void nothing_to_desire_is_an_error(void **state)
{
    coco_conformance c = { .make = make_shelf, .set = set_row, .get = get_row };

    (void)state;
    assert_int_equal(run(&c), COCO_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rows_of_the_shelf_conform),
        TEST(containers_of_the_shelf_conform),
        TEST(files_of_localfs_conform),
        TEST(directories_of_localfs_conform),
        TEST(handler_that_keeps_what_may_not_be_there_is_found_out),
        TEST(handler_without_a_record_is_found_out),
        TEST(sink_that_does_not_converge_is_found_out),
        TEST(handler_with_a_memory_is_found_out),
        TEST(nothing_to_desire_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
