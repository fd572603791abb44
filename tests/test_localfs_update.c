/* test_localfs_update.c - localfs in updates: files in and files out, by the public API alone (C0, C1, S6.3, S6.4 and
 * the bad input that concerns files).
 *
 * Each test runs in an empty directory of its own and ends with nothing allocated and no descriptor left open. The
 * program under test is chosen by `plan`: by default it copies every file below in/ to the same name below out/. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* nftw */
#endif
#include "../connectors/localfs.h"
#include "../connectors/localfs/hooks.inc"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

/* ---- The program ----------------------------------------------------------------------------------------------- */

COCO_FN_DECLARE(copy_file);
static coco_key PLACE = COCO_KEY("place", .detect_change = false);

/* What the program does in this test. */
static struct plan {
    coco_walk_opts walk;
    coco_file_opts *file;                 /* of the copies; NULL: the defaults */
    coco_dir_opts dir;
    const char *base;                     /* source; NULL: in */
    const char *place;                    /* source by the context key PLACE: its path */
    const char *out;                      /* target; NULL: out */
    coco_status (*main)(coco_ctx *cx);    /* NULL: copy */
    void (*before_read)(coco_file *file); /* between listing and reading */
    const char *name;                     /* for the mains that declare one file */
} plan;

COCO_FN(copy_file, (coco_file *, file, coco_dir *, out), .memo = true)
{
    coco_str content;

    if (plan.before_read) plan.before_read(file);
    COCO_TRY(coco_file_read(cx, file, &content));
    return coco_dir_declare_file_with(cx, out, coco_file_path(file), content, plan.file);
}

static coco_status copy_all(coco_ctx *cx)
{
    coco_value base = plan.place ? coco_context_ref(&PLACE) : coco_text(plan.base ? plan.base : "in");
    coco_dir *out;

    COCO_TRY(coco_mount_dir_with(cx, coco_text(plan.out ? plan.out : "out"), &plan.dir, &out));
    return coco_mount_each(cx, COCO_AUTO, &copy_file, coco_walk_dir(cx, base, &plan.walk),
                           COCO_ARGS(coco_dir_value(out)));
}

/* Gives the keys of the walk, one a line. */
static coco_status list_all(coco_ctx *cx)
{
    coco_source *files = coco_walk_dir(cx, coco_text("in"), &plan.walk);
    coco_str all = { "", 0 };

    COCO_EACH(cx, files, key, file) {
        assert_non_null(coco_object_of(file, &coco_file_class));
        all = coco_format(cx, "%.*s%s\n", (int)all.n, all.p, coco_text_of(key).p);
    }
    COCO_TRY(coco_error(cx));
    return coco_return(cx, coco_text_n(all));
}

COCO_FN(app_main, ())
{
    return plan.main ? plan.main(cx) : copy_all(cx);
}

/* ---- The harness ----------------------------------------------------------------------------------------------- */

static char home[4096], cwd[4096]; /* where we came from; the directory of the test */
static long live;                  /* allocations not freed */
static long memory;                /* their bytes … */
static atomic_long most_memory;    /* … and the most there were */

/* What the last update told. */
static struct seen {
    coco_status rc;
    uint64_t run, inserts, updates, deletes, failed;
    int started, hits;
    char failure[1024]; /* message of the last failed component or item */
    char notice[1024];  /* the last one */
    int notices;
    char error[COCO_ERR_MAX];
    char value[2000]; /* main's result, if a text */
} seen;

static void *counted(void *self, void *p, size_t n)
{
    (void)self;
    __atomic_sub_fetch(&memory, (long)malloc_usable_size(p), __ATOMIC_RELAXED);
    if (n == 0) {
        __atomic_sub_fetch(&live, p != NULL, __ATOMIC_RELAXED);
        free(p);
        return NULL;
    }
    __atomic_add_fetch(&live, p == NULL, __ATOMIC_RELAXED);
    p = realloc(p, n);
    long now = __atomic_add_fetch(&memory, (long)malloc_usable_size(p), __ATOMIC_RELAXED), most = most_memory;
    while (now > most && !atomic_compare_exchange_weak(&most_memory, &most, now)) continue;
    return p;
}

static void watch(void *user, const coco_event *e)
{
    (void)user;
    if (e->kind == COCO_EV_STARTED && strcmp(e->function, "copy_file") == 0) seen.started++;
    if (e->kind == COCO_EV_HIT) seen.hits++;
    if (e->kind == COCO_EV_NOTICE) {
        seen.notices++;
        snprintf(seen.notice, sizeof seen.notice, "%s", e->detail);
    }
}

static bool take_failure(void *user, const coco_failure *failure)
{
    (void)user;
    snprintf(seen.failure, sizeof seen.failure, "%s: %s", coco_status_name(failure->code), failure->message);
    return true;
}

static coco_status provide_place(coco_ctx *cx, void *user)
{
    (void)user;
    return plan.place ? coco_provide(cx, &PLACE, coco_text(plan.place)) : COCO_OK;
}

/* Opens everything, calls drop or update, and closes everything. */
static coco_status run_with(const coco_update_opts *opts, bool drop)
{
    coco_env_config config = { .db = "db", .allocator = { counted, NULL }, .on_event = watch,
                               .on_failure = take_failure, .setup = provide_place };
    coco_app_config main_app = { .name = "test", .main = &app_main };
    coco_result result = { 0 };
    coco_env *env = NULL;
    coco_app *app = NULL;
    coco_err err = { 0 };

    memset(&seen, 0, sizeof seen);
    most_memory = memory;
    if (coco_env_open(&config, &env, &err) != COCO_OK) fail_msg("%s", err.msg);
    if (coco_app_open(env, &main_app, &app, &err) != COCO_OK) fail_msg("%s", err.msg);
    seen.rc = drop ? coco_drop(app, &result, &err) : coco_update(app, opts, &result, &err);
    seen.run = result.run;
    seen.inserts = result.inserts;
    seen.updates = result.updates;
    seen.deletes = result.deletes;
    seen.failed = result.nfailed;
    snprintf(seen.error, sizeof seen.error, "%s", err.msg);
    snprintf(seen.value, sizeof seen.value, "%.*s", (int)coco_text_of(result.value).n, coco_text_of(result.value).p);
    coco_result_free(&result);
    coco_app_close(app);
    coco_env_close(env);
    return seen.rc;
}

static void update(void)
{
    if (run_with(NULL, false) != COCO_OK) fail_msg("%s; %s", seen.error, seen.failure);
}

/* An update in which something fails, with that in the message. */
static void update_fails(const char *code, const char *part)
{
    assert_int_not_equal(run_with(NULL, false), COCO_OK);
    if (!strstr(seen.failure, code) && strcmp(coco_status_name(seen.rc), code) != 0)
        fail_msg("expected %s, got %s; %s", code, seen.error, seen.failure);
    if (!strstr(seen.failure, part) && !strstr(seen.error, part))
        fail_msg("expected a message with \"%s\": %s; %s", part, seen.error, seen.failure);
}

/* Lets files become older than the clock's granularity, and updates until stamps are trusted. */
static void settle(void)
{
    nanosleep(&(struct timespec){ 0, 30000000 }, NULL);
    update();
}

static void check_counts(unsigned inserts, unsigned updates, unsigned deletes)
{
    assert_int_equal(seen.inserts, inserts);
    assert_int_equal(seen.updates, updates);
    assert_int_equal(seen.deletes, deletes);
}

static void put_bytes(const char *path, const void *p, size_t n)
{
    char dir[4096];
    FILE *f;

    snprintf(dir, sizeof dir, "%s", path);
    for (char *slash = strchr(dir, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(dir, 0777);
        *slash = '/';
    }
    assert_non_null(f = fopen(path, "w"));
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static void put(const char *path, const char *content)
{
    put_bytes(path, content, strlen(content));
}

static bool there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void check_file(const char *path, const char *content)
{
    char buf[1000];
    FILE *f = fopen(path, "r");
    size_t n;

    if (!f) fail_msg("%s: %s", path, strerror(errno));
    n = fread(buf, 1, sizeof buf - 1, f);
    fclose(f);
    buf[n] = '\0';
    assert_string_equal(buf, content);
}

static int descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    if (!dir) return 0;
    while (readdir(dir)) n++;
    closedir(dir);
    return n;
}

static int descriptors_before;

/* Runs with the rights of nobody where the test is run by root; false where that doesn't help. */
static bool without_rights(void)
{
    return geteuid() != 0 || (chmod(".", 0777) == 0 && seteuid(65534) == 0);
}

static void with_rights(void)
{
    if (geteuid() != getuid()) assert_int_equal(seteuid(getuid()), 0);
}

static int begin(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    memset(&plan, 0, sizeof plan);
    live = 0;
    if (!getcwd(home, sizeof home)) return -1;
    snprintf(cwd, sizeof cwd, "%s/localfs.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(cwd) || chdir(cwd) != 0) return -1;
    descriptors_before = descriptors();
    return mkdir("in", 0777);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)where;
    if (kind == FTW_DNR) chmod(path, 0700);
    return remove(path);
}

static int end(void **state)
{
    int left = descriptors() - descriptors_before;

    (void)state;
    with_rights();
    coco__fs_hooks.put_ms = 0;
    if (chdir(home) != 0 || nftw(cwd, remove_one, 20, FTW_DEPTH | FTW_PHYS) != 0) return -1;
    assert_int_equal(live, 0);
    assert_int_equal(left, 0);
    return 0;
}

/* ---- Copying --------------------------------------------------------------------------------------------------- */

static void files_are_copied_to_where_they_are_declared(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    put("in/sub/dir/b.txt", "B");
    put("in/empty", "");
    update();
    check_file("out/a.txt", "A");
    check_file("out/sub/dir/b.txt", "B");
    check_file("out/empty", "");
    check_counts(4, 0, 0);
}

static void second_update_without_a_change_writes_nothing(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    put("in/b/c.txt", "C");
    update();
    settle();
    check_counts(0, 0, 0);
    update();
    assert_int_equal(seen.run, 0);
    assert_int_equal(seen.started, 0);
}

static void changed_file_is_written_again_alone(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    put("in/b.txt", "B");
    update();
    settle();
    put("in/a.txt", "A2");
    update();
    check_counts(0, 1, 0);
    assert_int_equal(seen.started, 1);
    check_file("out/a.txt", "A2");
}

static void touched_file_is_not_run_again(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    update();
    settle();
    assert_int_equal(utimensat(AT_FDCWD, "in/a.txt", NULL, 0), 0);
    update();
    assert_int_equal(seen.started, 0);
    check_counts(0, 0, 0);
}

static void edit_within_the_clocks_granularity_is_not_missed(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        put("in/a.txt", i % 2 ? "odd" : "eve");
        update();
        check_file("out/a.txt", i % 2 ? "odd" : "eve");
    }
}

static void file_replaced_by_one_of_equal_time_and_size_is_seen(void **state)
{
    struct timespec times[2] = { { 1000000000, 5 }, { 1000000000, 5 } };

    (void)state;
    put("in/a.txt", "one");
    put("other", "two");
    assert_int_equal(utimensat(AT_FDCWD, "in/a.txt", times, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, "other", times, 0), 0);
    update();
    settle();
    assert_int_equal(rename("other", "in/a.txt"), 0);
    update();
    check_file("out/a.txt", "two");
}

static void deleted_file_takes_its_copy_and_emptied_directories_along(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    put("in/sub/dir/b.txt", "B");
    update();
    assert_int_equal(remove("in/sub/dir/b.txt"), 0);
    update();
    check_counts(0, 0, 1);
    assert_false(there("out/sub"));
    assert_true(there("out/a.txt"));
}

static void files_that_the_target_did_not_write_stay(void **state)
{
    (void)state;
    put("in/sub/a.txt", "A");
    update();
    put("out/sub/mine.txt", "mine");
    assert_int_equal(remove("in/sub/a.txt"), 0);
    update();
    assert_false(there("out/sub/a.txt"));
    check_file("out/sub/mine.txt", "mine");
}

static void drop_removes_what_the_target_made_and_nothing_else(void **state)
{
    (void)state;
    put("in/sub/a.txt", "A");
    update();
    assert_int_equal(run_with(NULL, true), COCO_OK);
    assert_false(there("out"));
    put("out/mine.txt", "mine");
    update();
    assert_int_equal(run_with(NULL, true), COCO_OK);
    check_file("out/mine.txt", "mine");
    assert_false(there("out/sub"));
}

static void directory_that_was_there_before_stays(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    assert_int_equal(mkdir("out", 0777), 0);
    update();
    assert_int_equal(run_with(NULL, true), COCO_OK);
    assert_true(there("out"));
    assert_false(there("out/a.txt"));
}

static void odd_names_are_names_like_others(void **state)
{
    char longest[300] = "in/", copy[300] = "out/";

    (void)state;
    memset(longest + 3, 'n', 255);
    memset(copy + 4, 'n', 255);
    put(longest, "long");
    put("in/new\nline", "1");
    put("in/quo\"te'", "2");
    put("in/-rf *", "3");
    put("in/back\\slash", "4");
    put("in/\xC3\xA9", "5");
    update();
    check_file(copy, "long");
    check_file("out/new\nline", "1");
    check_file("out/quo\"te'", "2");
    check_file("out/-rf *", "3");
    check_file("out/back\\slash", "4");
    check_file("out/\xC3\xA9", "5");
    settle();
    update();
    assert_int_equal(seen.run, 0);
}

static void directory_with_foreign_files_stays_with_a_notice(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    update();
    assert_int_equal(seen.notices, 0);
    put("out/mine", "mine");
    assert_int_equal(run_with(NULL, true), COCO_OK);
    assert_int_equal(seen.notices, 1);
    assert_non_null(strstr(seen.notice, "out stays"));
    check_file("out/mine", "mine");
}

/* ---- Files where directories were, and the reverse ------------------------------------------------------------- */

static void file_becomes_a_directory_and_a_file_again(void **state)
{
    (void)state;
    put("in/x", "file");
    update();
    assert_int_equal(remove("in/x"), 0);
    put("in/x/y", "below");
    update();
    check_file("out/x/y", "below");
    assert_int_equal(remove("in/x/y"), 0);
    assert_int_equal(remove("in/x"), 0);
    put("in/x", "again");
    update();
    check_file("out/x", "again");
}

/* What one component declares: names of files, with `/` at the end of directories, in which a file "in" is declared;
 * `>` before a name declares it in a component of its own. */
static const char *const *swaps;

static coco_status declare_swap(coco_ctx *cx, coco_dir *out, const char *name)
{
    size_t n = strlen(name);
    coco_dir *child;

    if (name[n - 1] != '/') return coco_dir_declare_file(cx, out, coco_str_of(name), coco_str_of(name));
    COCO_TRY(coco_dir_declare_dir(cx, out, (coco_str){ name, n - 1 }, &child));
    return coco_dir_declare_file(cx, child, COCO_STR("in"), coco_str_of(name));
}

COCO_FN(swap_one, (const char *, name, coco_dir *, out), .memo = true) { return declare_swap(cx, out, name); }

static coco_status declare_swaps(coco_ctx *cx)
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_text("out"), &out));
    for (const char *const *name = swaps; *name; name++) {
        if (**name == '>')
            COCO_TRY(coco_mount(cx, COCO_PATH(coco_text(*name)), &swap_one,
                                COCO_ARGS(coco_text(*name + 1), coco_dir_value(out)), NULL));
        else
            COCO_TRY(declare_swap(cx, out, *name));
    }
    return COCO_OK;
}

/* Goes through the steps, one update each, back again, and through them from nothing. */
static void check_swaps(const char *const steps[][4], int n)
{
    char path[64];

    plan.main = declare_swaps;
    for (int i = 0; i < 2 * n - 1; i++) {
        swaps = steps[i < n ? i : 2 * n - 2 - i];
        if (run_with(NULL, false) != COCO_OK) fail_msg("step %d, to %s: %s; %s", i, *swaps, seen.error, seen.failure);
        for (const char *const *name = swaps; *name; name++) {
            const char *plain = *name + (**name == '>');
            snprintf(path, sizeof path, "out/%s%s", plain, plain[strlen(plain) - 1] == '/' ? "in" : "");
            check_file(path, plain);
        }
    }
    assert_int_equal(run_with(NULL, true), COCO_OK);
    assert_false(there("out"));
}

static void swap_within_one_component_takes_one_update(void **state)
{
    static const char *const steps[][4] = { { "x" }, { "x/y" }, { "x" }, { "x/" }, { "x" }, { "x/" }, { "x/in/z" },
                                            { "x/", "y" }, { "x", "y/" } };

    (void)state;
    check_swaps(steps, sizeof steps / sizeof steps[0]);
}

static void swap_between_components_takes_one_update(void **state)
{
    static const char *const steps[][4] = { { ">x" }, { ">x/y" }, { ">x/", "y" }, { ">x/y/z" }, { ">x" }, { ">x/" },
                                            { ">x/y", ">y" }, { ">x", ">y/" }, { "x/", ">y" } };

    (void)state;
    check_swaps(steps, sizeof steps / sizeof steps[0]);
}

/* ---- Targets below sources ------------------------------------------------------------------------------------- */

static void target_below_the_source_is_left_out_with_a_notice(void **state)
{
    (void)state;
    plan.out = "in/sub/out";
    put("in/a", "A");
    put("in/sub/b", "B");
    for (int i = 0; i < 3; i++) {
        update();
        check_counts(i ? 0 : 3, 0, 0);
        assert_int_equal(seen.notices, 1);
        assert_non_null(strstr(seen.notice, "in/sub/out/ is left out of the listing"));
    }
    check_file("in/sub/out/sub/b", "B");
    assert_false(there("in/sub/out/sub/out"));
}

static coco_status list_and_mount(coco_ctx *cx)
{
    coco_dir *out;

    COCO_TRY(list_all(cx));
    COCO_TRY(coco_mount_dir(cx, coco_text("in/out"), &out));
    return coco_dir_declare_file(cx, out, COCO_STR("made"), COCO_STR("made"));
}

static void target_mounted_after_the_listing_around_it_is_refused(void **state)
{
    (void)state;
    plan.main = list_and_mount;
    put("in/a", "A");
    update_fails("COCO_EINVAL", "in/out is below");
    assert_false(there("in/out"));
    plan.walk.exclude = "out";
    update();
    check_file("in/out/made", "made");
}

static void base_named_by_a_context_key_may_move(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    plan.place = "in";
    update();
    settle();
    assert_int_equal(rename("in", "elsewhere"), 0);
    plan.place = "elsewhere";
    update();
    assert_int_equal(seen.started, 0);
    check_counts(0, 0, 0);
    assert_int_equal(mkdir("in", 0777), 0);
}

COCO_FN(keeper, (), .memo = true)
{
    coco_dir *out;

    COCO_TRY(coco_declare_dir(cx, coco_text("in/out"), NULL, &out));
    return coco_dir_declare_file(cx, out, COCO_STR("made"), COCO_STR("made"));
}

static coco_status keep_and_list(coco_ctx *cx)
{
    COCO_TRY(coco_use_mount(cx, COCO_AUTO, &keeper, COCO_NOARGS, NULL));
    return list_all(cx);
}

/* C1, S7.13: its component isn't run, so nothing declares it */
static void target_behind_a_memo_is_left_out_of_the_listing_with_a_notice(void **state)
{
    (void)state;
    plan.main = keep_and_list;
    put("in/a", "A");
    for (int i = 0; i < 3; i++) {
        update();
        assert_int_equal(seen.hits, i ? 1 : 0);
        assert_int_equal(seen.notices, 1);
        assert_non_null(strstr(seen.notice, "in/out/ is left out of the listing"));
        assert_string_equal(seen.value, "a\n");
    }
}

/* ---- What happens behind the engine's back (S7.13) --------------------------------------------------------------- */

static unsigned mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static coco_status declare_nested(coco_ctx *cx)
{
    coco_dir *out, *child;

    COCO_TRY(coco_declare_dir(cx, coco_text("deep/out"), &plan.dir, &out));
    if (!plan.name) return COCO_OK;
    COCO_TRY(coco_dir_declare_dir(cx, out, coco_str_of(plan.name), &child));
    return coco_dir_declare_file(cx, child, COCO_STR("x/y"), COCO_STR("below"));
}

static void remove_tree(const char *path)
{
    assert_int_equal(nftw(path, remove_one, 20, FTW_DEPTH | FTW_PHYS), 0);
}

static void deleted_output_directory_is_refilled_by_a_plain_update(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    put("in/sub/b.txt", "B");
    update();
    settle();
    remove_tree("out");
    update();
    check_counts(3, 0, 0);
    check_file("out/a.txt", "A");
    check_file("out/sub/b.txt", "B");
    update();
    assert_int_equal(seen.run, 0);
    assert_int_equal(seen.started, 0);
    assert_int_equal(run_with(NULL, true), COCO_OK);
    assert_false(there("out"));
}

static void directory_deleted_inside_the_output_is_refilled(void **state)
{
    (void)state;
    plan.main = declare_nested;
    plan.name = "nest";
    update();
    remove_tree("deep/out/nest");
    update();
    check_counts(2, 0, 0);
    check_file("deep/out/nest/x/y", "below");
    remove_tree("deep");
    update();
    check_counts(3, 0, 0);
    check_file("deep/out/nest/x/y", "below");
    update();
    assert_int_equal(seen.run, 0);
    assert_int_equal(run_with(NULL, true), COCO_OK);
    assert_false(there("deep"));
}

static void file_where_the_output_directory_was_is_a_clear_error(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    update();
    remove_tree("out");
    put("out", "in the way");
    update_fails("COCO_EFAIL", "out: a file is in the way of the directory");
    check_file("out", "in the way");
    assert_int_equal(remove("out"), 0);
    update();
    check_file("out/a.txt", "A");
}

static void changed_mode_of_the_output_directory_is_set_right(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    plan.dir.mode = 0750;
    update();
    settle();
    assert_int_equal(chmod("out", 0700), 0);
    update();
    check_counts(0, 1, 0);
    assert_int_equal(seen.started, 0);
    assert_int_equal(mode_of("out"), 0750);
    update();
    assert_int_equal(seen.run, 0);
}

static void output_that_cannot_be_looked_at_is_not_taken_for_deleted(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    plan.out = "top/out";
    if (!without_rights()) skip();
    update();
    settle();
    assert_int_equal(chmod("top", 0), 0);
    update_fails("COCO_EACCESS", "can't tell whether target top/out exists: top/out: Permission denied");
    assert_int_equal(chmod("top", 0777), 0);
    update();
    check_counts(0, 0, 0);
    check_file("top/out/a.txt", "A");
}

/* ---- The walk -------------------------------------------------------------------------------------------------- */

static void check_listing(const char *expected)
{
    plan.main = list_all;
    update();
    assert_string_equal(seen.value, expected);
}

static void walk_gives_paths_in_byte_order(void **state)
{
    (void)state;
    put("in/a/x", "");
    put("in/a.d/z", "");
    put("in/a-b", "");
    put("in/a0", "");
    put("in/a.txt", "");
    put("in/b/c/d", "");
    put("in/b/c.d", "");
    put("in/.hidden", "");
    check_listing(".hidden\na-b\na.d/z\na.txt\na/x\na0\nb/c.d\nb/c/d\n");
}

static void include_filters_files_and_exclude_prunes_directories(void **state)
{
    (void)state;
    put("in/a.md", "");
    put("in/b.txt", "");
    put("in/lib/c.md", "");
    put("in/lib/deep/d.md", "");
    plan.walk.include = "**/*.md";
    check_listing("a.md\nlib/c.md\nlib/deep/d.md\n");
    plan.walk.exclude = "lib/deep\n";
    check_listing("a.md\nlib/c.md\n");
    plan.walk.exclude = "**/lib/";
    check_listing("a.md\n");
    plan.walk.include = "lib/**\nb.*";
    plan.walk.exclude = NULL;
    check_listing("b.txt\nlib/c.md\nlib/deep/d.md\n");
}

static void pruned_directory_is_entered_for_what_is_taken_back_in(void **state)
{
    (void)state;
    put("in/build/keep/a", "");
    put("in/build/other/b", "");
    put("in/build/c", "");
    put("in/d", "");
    plan.walk.exclude = "build\n!build/keep";
    check_listing("build/keep/a\nd\n");
    plan.walk.exclude = "build\n!build/*";
    check_listing("build/c\nbuild/keep/a\nbuild/other/b\nd\n");
}

static void temporary_names_of_the_target_are_never_given(void **state)
{
    (void)state;
    put("in/.coco-0123456789abcdef", "");
    put("in/sub/.coco-x/a", "");
    put("in/a", "");
    check_listing("a\n");
}

static void ignore_files_are_honoured_where_asked_for(void **state)
{
    (void)state;
    put("in/.gitignore", "# comment\n*.o\n/only\nbuild/\n!keep.o\n");
    put("in/a.o", "");
    put("in/keep.o", "");
    put("in/only", "");
    put("in/sub/only", "");
    put("in/sub/build/x", "");
    put("in/sub/.gitignore", "!*.o\n");
    put("in/sub/b.o", "");
    put("in/.git/config", "");
    plan.walk.gitignore = true;
    check_listing(".gitignore\nkeep.o\nsub/.gitignore\nsub/b.o\nsub/only\n");
}

static void links_are_followed_or_skipped_as_asked(void **state)
{
    (void)state;
    put("in/real/a", "");
    put("in/b", "");
    assert_int_equal(symlink("real", "in/dir"), 0);
    assert_int_equal(symlink("b", "in/file"), 0);
    check_listing("b\ndir/a\nfile\nreal/a\n");
    plan.walk.symlinks = COCO_SYMLINKS_SKIP;
    check_listing("b\nreal/a\n");
}

/* ---- A large one, of which another thread looks at files ahead ---- */

enum { MANY = 3000, MANY_DIRS = 3 };

/* The i-th file, in the order of the paths; its size is i % 50. */
static const char *many_path(char path[40], int i)
{
    const int each = MANY / MANY_DIRS;
    bool deep = i % each >= 400 && i % each < 600; /* files, a directory, files */

    snprintf(path, 40, deep ? "d%d/m/f%04d" : i % each < 400 ? "d%d/f%04d" : "d%d/n%04d", i / each, i);
    return path;
}

/* The first n files, with links where that will do, which take less time to make. */
static void put_many(int n)
{
    char path[40], full[50], first[50];

    for (int i = 0; i < n; i++) {
        snprintf(full, sizeof full, "in/%s", many_path(path, i));
        snprintf(first, sizeof first, "in/%s", many_path(path, i % 50));
        if (i >= 50 && link(first, full) == 0) continue;
        put_bytes(full, "..................................................", (size_t)i % 50);
    }
}

static struct { int stop_at, slow_at, given; } large; /* 0: never */

/* Each file comes once, in order, with the size that is its own. */
static coco_status list_large(coco_ctx *cx)
{
    coco_source *files = coco_walk_dir(cx, coco_text("in"), &plan.walk);
    char path[40], full[50];
    int i = 0;

    large.given = 0;
    COCO_EACH(cx, files, key, file) {
        i += large.slow_at && i == large.slow_at + 1; /* it is gone */
        assert_string_equal(coco_text_of(key).p, many_path(path, i));
        assert_int_equal(coco_file_size(coco_object_of(file, &coco_file_class)), i % 50);
        large.given++;
        if (large.stop_at && i == large.stop_at) break;
        if (large.slow_at && i == large.slow_at - 30)
            nanosleep(&(struct timespec){ 0, 30000000 }, NULL); /* the other thread gets ahead */
        if (large.slow_at && i == large.slow_at) {
            nanosleep(&(struct timespec){ 0, 200000000 }, NULL);
            snprintf(full, sizeof full, "in/%s", many_path(path, i + 1));
            assert_int_equal(unlink(full), 0);
        }
        i++;
    }
    return coco_error(cx);
}

static void large_listing_gives_each_file_once_in_order_as_it_is(void **state)
{
    (void)state;
    put_many(MANY);
    plan.main = list_large;
    large.stop_at = large.slow_at = 0;
    for (int turn = 0; turn < 3; turn++) {
        update();
        assert_int_equal(large.given, MANY);
    }
}

static void large_listing_may_end_anywhere(void **state)
{
    (void)state;
    put_many(MANY);
    plan.main = list_large;
    large.slow_at = 0;
    for (large.stop_at = 990; large.stop_at < 1500; large.stop_at += 37) {
        update();
        assert_int_equal(large.given, large.stop_at + 1);
    }
}

/* What was seen of a file long before it is given isn't what is given. */
static void file_that_vanishes_while_the_one_before_takes_long_is_not_given(void **state)
{
    (void)state;
    put_many(MANY);
    plan.main = list_large;
    large.stop_at = 0;
    large.slow_at = 1150;
    update();
    assert_int_equal(large.given, MANY - 1);
}

enum { NEXT_FROM = 1100 };

/* Lists 1,100 files, of which the last takes long, and what is behind them into next_given. */
static char next_given[200000];
static void (*before_the_next)(void);
static coco_status list_the_next(coco_ctx *cx)
{
    coco_source *files = coco_walk_dir(cx, coco_text("in"), &plan.walk);
    size_t n = 0;
    int i = 0;

    next_given[0] = '\0';
    COCO_EACH(cx, files, key, file) {
        (void)file;
        if (++i == NEXT_FROM && before_the_next) before_the_next();
        if (i > NEXT_FROM) n += (size_t)snprintf(next_given + n, sizeof next_given - n, "%s\n", coco_text_of(key).p);
        assert_true(n < sizeof next_given);
    }
    return coco_error(cx);
}

static void lists_next(const char *expected)
{
    plan.main = list_the_next;
    update();
    assert_string_equal(next_given, expected);
}

static void put_before_the_next(void)
{
    char path[50];

    for (int i = 0; i < NEXT_FROM; i++) {
        snprintf(path, sizeof path, "in/a/f%04d", i);
        put(path, "");
    }
}

/* Directories are listed before their turn, as those of any kind: empty, hidden, with an ignore file, links, in others,
 * one that is this app's target, and one of which a list is too long for that. */
static void directories_that_are_listed_ahead_give_what_is_in_them(void **state)
{
    char path[300], name[201];

    (void)state;
    put_before_the_next();
    memset(name, 'n', 200), name[200] = '\0';
    for (int i = 0; i < 400; i++) {
        snprintf(path, sizeof path, "in/z/%s%03d", name, i);
        put(path, "");
    }
    put("in/b/1", ""), put("in/b/x/2", ""), put("in/b/x/y/3", ""), put("in/b/z", "");
    assert_int_equal(mkdir("in/c", 0777), 0);
    put("in/d/.gitignore", "*.o"), put("in/d/o.o", ""), put("in/d/p", "");
    put("in/e/.hidden", ""), put("in/e/.coco-0", ""), put("in/excluded/1", "");
    assert_int_equal(symlink("b", "in/f"), 0);
    put("in/g/cocoindex.lock", ""), put("in/g/1", "");
    put("in/h", ""), put("in/i/1", ""), put("in/j", "");
    plan.walk.exclude = "excluded\nz/*9";
    plan.walk.gitignore = true;
    char *want = malloc(200000), *at = want;
    at += sprintf(at, "b/1\nb/x/2\nb/x/y/3\nb/z\nd/.gitignore\nd/p\ne/.hidden\nf/1\nf/x/2\nf/x/y/3\nf/z\n"
                  "h\ni/1\nj\n");
    for (int i = 0; i < 400; i++)
        if (i % 10 != 9) at += sprintf(at, "z/%s%03d\n", name, i);
    before_the_next = NULL;
    for (int turn = 0; turn < 5; turn++) lists_next(want);
    free(want);
}

static void change_the_next(void)
{
    nanosleep(&(struct timespec){ 0, 200000000 }, NULL);
    put("in/b/new", "");
    assert_int_equal(unlink("in/b/old"), 0);
}

/* What was listed long before its turn isn't what is given. */
static void directory_that_changes_while_the_file_before_takes_long_is_listed_as_it_is(void **state)
{
    (void)state;
    put_before_the_next();
    put("in/b/old", ""), put("in/b/stays", "");
    before_the_next = change_the_next;
    lists_next("b/new\nb/stays\n");
}

static void replace_the_next(void)
{
    assert_int_equal(rename("in/b", "was"), 0);
    assert_int_equal(rename("other", "in/b"), 0);
    assert_int_equal(rename("in/c", "in/d"), 0);
}

/* Whichever of the two was seen: nothing is torn, and what is gone is no error. */
static void directory_that_is_replaced_when_it_was_listed_is_either_of_the_two(void **state)
{
    (void)state;
    put_before_the_next();
    put("in/b/old", ""), put("other/new", ""), put("in/c/1", "");
    before_the_next = replace_the_next;
    plan.main = list_the_next;
    update();
    assert_true(strncmp(next_given, "b/old\n", 6) == 0 || strncmp(next_given, "b/new\n", 6) == 0);
}

/* ---- A large one that is copied: small files are read ahead, and put by two threads ---- */

enum { SOME = 1300, SLOW = 1210, BATCH = 300 };

/* Each file says which it is, and in which state. */
static void put_numbered(int i, char mark)
{
    char path[40], full[50], content[100];

    snprintf(full, sizeof full, "in/%s", many_path(path, i));
    snprintf(content, sizeof content, "%c %s", mark, path);
    put(full, content);
}

static void check_numbered(int i, char mark)
{
    char path[40], full[50], content[100];

    snprintf(full, sizeof full, "out/%s", many_path(path, i));
    snprintf(content, sizeof content, "%c %s", mark, path);
    check_file(full, content);
}

/* Of the files of a large listing, the first n. */
static void put_all_numbered(int n)
{
    for (int i = 0; i < n; i++) put_numbered(i, 'a');
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL); /* their stamps can be trusted */
}

static bool is_slow(coco_file *file)
{
    char path[40];

    return strcmp(coco_file_path(file).p, many_path(path, SLOW)) == 0;
}

/* One file is slow, so that those behind it have been read, and changes one of them, to as many bytes and with the old
 * time. */
static void change_one_ahead(coco_file *file)
{
    struct stat st;
    char path[40], full[50];

    if (!is_slow(file)) return;
    nanosleep(&(struct timespec){ 0, 30000000 }, NULL);
    snprintf(full, sizeof full, "in/%s", many_path(path, SLOW + 5));
    assert_int_equal(stat(full, &st), 0);
    put_numbered(SLOW + 5, 'b');
    assert_int_equal(utimensat(AT_FDCWD, full, (struct timespec[]){ st.st_atim, st.st_mtim }, 0), 0);
}

static void file_that_changes_after_it_was_read_ahead_is_copied_by_the_next_update(void **state)
{
    (void)state;
    put("in/d1/large", "");
    assert_int_equal(truncate("in/d1/large", 100000), 0);
    put_all_numbered(SOME);
    plan.before_read = change_one_ahead;
    update();
    check_counts(SOME + 2, 0, 0);
    assert_int_equal(seen.started, SOME + 1);
    plan.before_read = NULL;
    update();
    assert_true(seen.started <= 1);
    for (int i = 0; i < SOME; i++) check_numbered(i, i == SLOW + 5 ? 'b' : 'a');
    settle();
    update();
    assert_int_equal(seen.run, 0);
    assert_int_equal(seen.started, 0);
}

static char read_first[20], read_then[20]; /* of the slow file, which changes between */

COCO_FN(read_file, (coco_file *, file), .memo = true)
{
    coco_str content;
    char full[100];

    COCO_TRY(coco_file_read(cx, file, &content));
    if (!is_slow(file)) return COCO_OK;
    snprintf(read_first, sizeof read_first, "%s", content.p);
    snprintf(full, sizeof full, "in/%s", coco_file_path(file).p);
    assert_int_equal(unlink(full), 0);
    put(full, "as it is");
    nanosleep(&(struct timespec){ 0, 30000000 }, NULL); /* those behind it are read */
    COCO_TRY(coco_file_read(cx, file, &content));
    snprintf(read_then, sizeof read_then, "%s", content.p);
    return COCO_OK;
}

static coco_status read_all(coco_ctx *cx)
{
    return coco_mount_each(cx, COCO_AUTO, &read_file, coco_walk_dir(cx, coco_text("in"), &plan.walk), COCO_NOARGS);
}

static void file_that_was_read_ahead_is_read_again_as_it_is_now(void **state)
{
    (void)state;
    put_many(SOME);
    plan.main = read_all;
    update();
    assert_string_equal(read_first, "..........");
    assert_string_equal(read_then, "as it is");
}

static coco_status read_by_hand(coco_ctx *cx)
{
    coco_source *files = coco_walk_dir(cx, coco_text("in"), NULL);
    coco_str content;

    COCO_EACH(cx, files, key, file) {
        coco_scratch_begin(cx);
        COCO_TRY(coco_file_read(cx, coco_object_of(file, &coco_file_class), &content));
        coco_scratch_end(cx);
    }
    return coco_error(cx);
}

/* What is read ahead stays with the item it is for; an item of a listing by hand has no memory of its own. */
static void contents_read_in_a_listing_by_hand_are_not_kept(void **state)
{
    static char content[6000];
    long before = 0;
    char path[30];

    (void)state;
    memset(content, 'c', sizeof content);
    put_bytes("in/0000", content, sizeof content);
    plan.main = read_by_hand;
    for (int i = 1; i < SOME; i++) {
        snprintf(path, sizeof path, "in/%04d", i);
        assert_int_equal(link("in/0000", path), 0);
        if (i != 900) continue;
        update();
        before = most_memory;
    }
    update();
    assert_true(most_memory - before < 200 * (long)sizeof content);
}

static void file_larger_than_max_read_is_told_among_those_that_are_read_ahead(void **state)
{
    (void)state;
    put_many(SOME);
    put("in/d1/f1250x", "a text of more than twenty bytes, and than those of the others");
    plan.main = read_all;
    plan.walk.max_read = 50;
    update_fails("COCO_EUNREAD", "in/d1/f1250x: 62 bytes are more than max_read allows (50)");
    assert_int_equal(seen.failed, 1);
}

/* In whichever thread: the others are written, and the next update writes these. */
static void files_of_a_large_batch_that_cannot_be_written_fail_alone(void **state)
{
    static const int in_the_way[] = { 3, 70, 150, 222, 299 };
    const size_t n = sizeof in_the_way / sizeof *in_the_way;
    char path[40], full[60];

    (void)state;
    put_all_numbered(BATCH);
    for (size_t i = 0; i < n; i++) {
        snprintf(full, sizeof full, "out/%s/of/theirs", many_path(path, in_the_way[i]));
        put(full, "");
    }
    update_fails("COCO_EFAIL", "out/d0/f0299: a directory that is not empty is in the way of the file");
    assert_int_equal(seen.failed, n);
    for (size_t i = 0; i < n; i++) {
        snprintf(full, sizeof full, "out/%s/of/theirs", many_path(path, in_the_way[i]));
        assert_int_equal(unlink(full), 0);
        *strrchr(full, '/') = '\0';
        assert_int_equal(rmdir(full), 0);
    }
    update();
    assert_int_equal(seen.started, n);
    for (int i = 0; i < BATCH; i++) check_numbered(i, 'a');
}

static int filled; /* how often */

static coco_status fill_one_directory(coco_ctx *cx)
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_text("out"), &out));
    for (int i = 0; i < 70; i++)
        COCO_TRY(coco_dir_declare_file(cx, out, coco_format(cx, "v/%d-%d", filled, i), COCO_STR("")));
    return COCO_OK;
}

static void directory_that_a_batch_empties_and_fills_stays(void **state)
{
    struct stat before, after;

    (void)state;
    plan.main = fill_one_directory;
    filled = 1;
    update();
    assert_int_equal(stat("out/v", &before), 0);
    filled = 2;
    update();
    check_counts(70, 0, 70);
    assert_int_equal(stat("out/v", &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
}

/* Two names with one FNV-1a hash, on which temporary names rest: the first of a batch and the first of its last eight,
 * which two threads begin with if nothing is done about it. */
static void files_of_a_large_batch_with_one_temporary_name_keep_their_contents(void **state)
{
    char full[100];

    (void)state;
    put("in/8yn0iYCKYHlIj4-BwPqk", "one");
    put("in/GReLUrM4wMqfg9yzV3KQ", "the other");
    for (int i = 0; i < 80; i++) {
        snprintf(full, sizeof full, i < 73 ? "in/9%02d" : "in/Z%02d", i);
        put(full, "");
    }
    coco__fs_hooks.put_ms = 2;
    update();
    check_file("out/8yn0iYCKYHlIj4-BwPqk", "one");
    check_file("out/GReLUrM4wMqfg9yzV3KQ", "the other");
}

/* Each file takes 1.3 ms, after the thousandth, and every tenth has one removed that comes 90 later. */
static coco_status list_slowly(coco_ctx *cx)
{
    coco_source *files = coco_walk_dir(cx, coco_text("in"), NULL);
    char path[40], full[50];
    int i = 0;

    COCO_EACH(cx, files, key, file) {
        (void)file;
        while (strcmp(coco_text_of(key).p, many_path(path, i)) != 0) i++; /* it is gone */
        assert_false(i >= 1150 && i < 1240 && i % 10 == 0);
        if (i >= 1000) nanosleep(&(struct timespec){ 0, 1250000 }, NULL);
        if (i >= 1060 && i < 1150 && i % 10 == 0) {
            snprintf(full, sizeof full, "in/%s", many_path(path, i + 90));
            assert_int_equal(unlink(full), 0);
        }
        i++;
    }
    assert_int_equal(i, SOME);
    return coco_error(cx);
}

/* What was seen of it was true a tenth of a second ago, and isn't any more. */
static void file_that_vanished_more_than_a_tenth_of_a_second_ago_is_not_given(void **state)
{
    (void)state;
    put_many(SOME);
    plan.main = list_slowly;
    update();
}

static void malformed_glob_is_a_clear_error(void **state)
{
    (void)state;
    plan.walk.include = "**/*.md\n[a";
    update_fails("COCO_EINVAL", "\"[a\" has a [ without ]");
    plan.walk.include = "/docs/*";
    update_fails("COCO_EINVAL", "\"/docs/*\"");
}

/* ---- Bad input ------------------------------------------------------------------------------------------------- */

static void missing_source_directory_deletes_nothing(void **state)
{
    (void)state;
    put("in/a.txt", "A");
    update();
    assert_int_equal(rename("in", "away"), 0);
    update_fails("COCO_ENOTFOUND", "in: No such file or directory");
    check_file("out/a.txt", "A");
    assert_int_equal(rename("away", "in"), 0);
    update();
}

static void unreadable_directory_keeps_what_is_recorded_there(void **state)
{
    (void)state;
    put("in/open/a", "A");
    put("in/shut/b", "B");
    if (!without_rights()) skip();
    update();
    with_rights();
    assert_int_equal(chmod("in/shut", 0), 0);
    put("in/open/a", "A2");
    assert_true(without_rights());
    update_fails("COCO_EUNREAD", "in/shut");
    with_rights();
    check_file("out/open/a", "A2");
    check_file("out/shut/b", "B");
    assert_int_equal(chmod("in/shut", 0777), 0);
    assert_true(without_rights());
    update();
}

/* The size of a file as listed, and what was read of it, in the order in which they don't fit. */
COCO_FN(content_then_size, (coco_file *, file, coco_dir *, out), .memo = true)
{
    coco_str content;

    if (plan.before_read) plan.before_read(file);
    COCO_TRY(coco_file_read(cx, file, &content));
    content = coco_format(cx, "%s, of %d bytes", content.p, (int)coco_file_size(file));
    return coco_dir_declare_file(cx, out, coco_file_path(file), content);
}

static coco_status contents_then_sizes(coco_ctx *cx)
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_text("out"), &out));
    return coco_mount_each(cx, COCO_AUTO, &content_then_size, coco_walk_dir(cx, coco_text("in"), NULL),
                           COCO_ARGS(coco_dir_value(out)));
}

static void lengthen(coco_file *file)
{
    (void)file;
    put("in/a", "longer");
}

static void what_is_asked_of_the_listing_after_reading_another_state_is_asked_again(void **state)
{
    (void)state;
    put("in/a", "short");
    settle();
    put("in/a", "brief");
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    plan.main = contents_then_sizes;
    plan.before_read = lengthen;
    update();
    nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
    plan.before_read = NULL;
    update();
    check_file("out/a", "longer, of 6 bytes");
}

static void unreadable_file_fails_its_component_alone(void **state)
{
    (void)state;
    put("in/a", "A");
    put("in/b", "B");
    assert_int_equal(chmod("in/a", 0), 0);
    if (!without_rights()) skip();
    update_fails("COCO_EACCESS", "in/a: Permission denied");
    assert_int_equal(seen.failed, 1);
    check_file("out/b", "B");
}

static void name_that_is_not_utf8_is_reported_and_the_rest_goes_on(void **state)
{
    (void)state;
    put("in/caf\xE9", "1");
    put("in/fine", "2");
    put("in/bad\xFF/below", "3");
    update_fails("COCO_EUNREAD", "the name is not UTF-8");
    assert_int_equal(seen.failed, 2);
    check_file("out/fine", "2");
    assert_int_equal(remove("in/caf\xE9"), 0);
    assert_int_equal(remove("in/bad\xFF/below"), 0);
    assert_int_equal(remove("in/bad\xFF"), 0);
    update();
}

static void link_to_a_directory_above_is_reported(void **state)
{
    (void)state;
    put("in/sub/a", "A");
    assert_int_equal(symlink("..", "in/sub/loop"), 0);
    update_fails("COCO_EUNREAD", "in/sub/loop/: a symbolic link to a directory above it");
    check_file("out/sub/a", "A");
    plan.walk.symlinks = COCO_SYMLINKS_SKIP;
    update();
}

static void link_to_nothing_is_reported(void **state)
{
    (void)state;
    put("in/a", "A");
    assert_int_equal(symlink("nowhere", "in/link"), 0);
    update_fails("COCO_EUNREAD", "in/link");
    check_file("out/a", "A");
}

static void vanish(coco_file *file)
{
    if (coco_str_equal(coco_file_path(file), COCO_STR("gone"))) remove("in/gone");
}

static void file_that_vanishes_before_it_is_read_is_named(void **state)
{
    (void)state;
    put("in/gone", "G");
    put("in/stays", "S");
    plan.before_read = vanish;
    update_fails("COCO_ENOTFOUND", "in/gone: No such file or directory");
    check_file("out/stays", "S");
    update();
    assert_false(there("out/gone"));
}

static void file_too_large_to_read_at_once_is_named(void **state)
{
    (void)state;
    put("in/big", "");
    put("in/small", "S");
    if (truncate("in/big", (off_t)4 << 30) != 0) skip();
    update_fails("COCO_EUNREAD", "in/big: 4294967296 bytes");
    check_file("out/small", "S");
    plan.walk.max_read = 3;
    assert_int_equal(truncate("in/big", 4), 0);
    update_fails("COCO_EUNREAD", "in/big: 4 bytes");
    assert_int_equal(truncate("in/big", 3), 0);
    update();
}

static coco_status declare_name(coco_ctx *cx)
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_text("out"), &out));
    return coco_dir_declare_file(cx, out, coco_str_of(plan.name), COCO_STR("x"));
}

static void name_that_leaves_the_directory_is_refused(void **state)
{
    static const char *const names[] = { "../x", "a/../../x", "/x", "", "a//b", "./x", "a/", ".coco-x", "a/.coco-x/b",
                                         ".." };

    (void)state;
    plan.main = declare_name;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        plan.name = names[i];
        update_fails("COCO_EREFUSED", "out: the name");
    }
    assert_false(there("x"));
}

static void link_below_the_target_is_not_followed(void **state)
{
    (void)state;
    assert_int_equal(mkdir("out", 0777), 0);
    assert_int_equal(mkdir("outside", 0777), 0);
    assert_int_equal(symlink("../outside", "out/link"), 0);
    put("in/link/a", "A");
    put("in/b", "B");
    update_fails("COCO_EREFUSED", "out/link: a symbolic link");
    assert_false(there("outside/a"));
    check_file("out/b", "B");
    assert_int_equal(remove("out/link"), 0);
    update();
    check_file("out/link/a", "A");
}

static void link_of_the_declared_name_is_replaced(void **state)
{
    (void)state;
    put("outside", "safe");
    assert_int_equal(mkdir("out", 0777), 0);
    assert_int_equal(symlink("../outside", "out/a"), 0);
    put("in/a", "A");
    update();
    check_file("out/a", "A");
    check_file("outside", "safe");
}

static void foreign_directory_in_the_way_is_a_clear_error(void **state)
{
    (void)state;
    put("in/a", "A");
    put("in/b", "B");
    put("out/a/mine", "mine");
    update_fails("COCO_EFAIL", "out/a: a directory that is not empty is in the way");
    check_file("out/a/mine", "mine");
    check_file("out/b", "B");
    assert_int_equal(remove("out/a/mine"), 0);
    update();
    check_file("out/a", "A");
}

static void target_that_may_not_be_written_is_a_clear_error(void **state)
{
    (void)state;
    put("in/a", "A");
    assert_int_equal(mkdir("out", 0555), 0);
    if (!without_rights()) skip();
    update_fails("COCO_EACCESS", "out/a: Permission denied");
    with_rights();
    assert_int_equal(chmod("out", 0777), 0);
    assert_true(without_rights());
    update();
    check_file("out/a", "A");
}

/* A limit on the size of files stands for the full disk: writing fails half way. */
static void file_that_finds_no_room_is_a_clear_error(void **state)
{
    struct rlimit before, limit;

    (void)state;
    put("in/big", "");
    put("in/small", "S");
    assert_int_equal(truncate("in/big", (off_t)65 << 20), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)64 << 20;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    run_with(NULL, false);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_not_equal(seen.rc, COCO_OK);
    assert_non_null(strstr(seen.failure, "COCO_EFULL"));
    assert_non_null(strstr(seen.failure, "out/big: File too large"));
    check_file("out/small", "S");
    update();
    assert_true(there("out/big"));
}

static void target_that_is_a_file_is_a_clear_error(void **state)
{
    (void)state;
    put("in/a", "A");
    put("out", "a file");
    update_fails("COCO_EFAIL", "out: a file is in the way of the directory");
    check_file("out", "a file");
    assert_int_equal(remove("out"), 0);
    update();
    check_file("out/a", "A");
}

/* ---- Writing --------------------------------------------------------------------------------------------------- */

static void what_a_crash_left_goes_with_the_next_write(void **state)
{
    const char *temp = "out/.coco-af63dc4c8601ec8c"; /* FNV-1a of "a" */

    (void)state;
    put("in/a", "A");
    put(temp, "half");
    update();
    assert_false(there(temp));
    check_file("out/a", "A");
    put(temp, "half");
    assert_int_equal(remove("in/a"), 0);
    update();
    assert_false(there(temp));
}

static void mode_is_as_asked_and_a_change_of_it_is_applied(void **state)
{
    coco_file_opts opts = { .mode = 0640, .durable = true };

    (void)state;
    put("in/a", "A");
    plan.file = &opts;
    plan.dir = (coco_dir_opts){ .mode = 0750, .durable = true };
    update();
    assert_int_equal(mode_of("out/a"), 0640);
    assert_int_equal(mode_of("out"), 0750);
    plan.dir.mode = 0700;
    update();
    assert_int_equal(mode_of("out"), 0700);
}

static coco_status declare_single(coco_ctx *cx)
{
    return coco_declare_file(cx, coco_text(plan.name), COCO_STR("x"), plan.file);
}

static void single_file_needs_its_directory_unless_told_to_make_it(void **state)
{
    coco_file_opts opts = { .create_parents = true };

    (void)state;
    plan.main = declare_single;
    plan.name = "deep/er/file";
    update_fails("COCO_ENOTFOUND", "deep/er: No such file or directory");
    plan.file = &opts;
    update();
    check_file("deep/er/file", "x");
    assert_int_equal(run_with(NULL, true), COCO_OK);
    assert_false(there("deep"));
    plan.file = NULL;
    plan.name = "./plain";
    update();
    check_file("plain", "x");
}

static void declared_directory_stays_when_empty_and_goes_when_undeclared(void **state)
{
    (void)state;
    plan.main = declare_nested;
    plan.name = "nest";
    update();
    check_file("deep/out/nest/x/y", "below");
    plan.name = NULL;
    update();
    assert_false(there("deep/out/nest"));
    assert_true(there("deep/out"));
    assert_int_equal(run_with(NULL, true), COCO_OK);
    assert_false(there("deep"));
}

static void parents_of_a_directory_are_made_unless_told_not_to(void **state)
{
    (void)state;
    plan.main = declare_nested;
    plan.name = "nest";
    plan.dir.no_parents = true;
    update_fails("COCO_ENOTFOUND", "deep/out: No such file or directory");
    assert_int_equal(mkdir("deep", 0777), 0);
    update();
    check_file("deep/out/nest/x/y", "below");
}

/* ---- Reading --------------------------------------------------------------------------------------------------- */

static coco_status read_text(coco_ctx *cx)
{
    coco_file *file;
    coco_str text;

    COCO_TRY(coco_file_open(cx, coco_text("in"), COCO_STR("t"), &file));
    COCO_TRY(coco_file_read_text_as(cx, file, plan.name, &text));
    return coco_return(cx, coco_text_n(text));
}

static void check_text(const char *encoding, const void *bytes, size_t n, const char *expected)
{
    plan.main = read_text;
    plan.name = encoding;
    put_bytes("in/t", bytes, n);
    update();
    assert_string_equal(seen.value, expected);
}

static void text_is_decoded_by_its_mark(void **state)
{
    (void)state;
    check_text(NULL, "h\xC3\xA9", 3, "h\xC3\xA9");
    check_text(NULL, "\xEF\xBB\xBFhi", 5, "hi");
    check_text(NULL, "\xFF\xFEh\0\x3D\xD8\x00\xDE", 8, "h\xF0\x9F\x98\x80");
    check_text(NULL, "\xFE\xFF\0h", 4, "h");
    check_text(NULL, "\xFF\xFE\0\0h\0\0\0", 8, "h");
    check_text(NULL, "\0\0\xFE\xFF\0\0\0h", 8, "h");
}

static void text_is_decoded_by_the_encoding_named(void **state)
{
    (void)state;
    check_text("Latin-1", "\xE9", 1, "\xC3\xA9");
    check_text("windows-1252", "\x80", 1, "\xE2\x82\xAC");
    check_text("utf-16be", "\0h", 2, "h");
    check_text("UTF-16", "\xFE\xFF\0h", 4, "h");
    check_text("utf-16", "h\0", 2, "h");
    plan.name = "ebcdic";
    update_fails("COCO_EINVAL", "unknown encoding \"ebcdic\"");
}

static void what_cannot_be_decoded_is_replaced(void **state)
{
    (void)state;
    check_text(NULL, "a\xFFz", 3, "a\xEF\xBF\xBDz");
    check_text(NULL, "\xE2\x82z", 3, "\xEF\xBF\xBDz");
    check_text("utf-16le", "\x00\xD8h\0", 4, "\xEF\xBF\xBDh");
    check_text("windows-1252", "\x81", 1, "\xEF\xBF\xBD");
}

static coco_status look(coco_ctx *cx)
{
    uint8_t fp[16], expected[16];
    coco_file *file;
    coco_str part;

    COCO_TRY(coco_file_open(cx, coco_text("in"), COCO_STR("t"), &file));
    assert_true(coco_file_exists(file));
    assert_int_equal(coco_file_size(file), 6);
    assert_int_equal(coco_file_mtime(file), 1000000000000000007);
    COCO_TRY(coco_file_read_range(cx, file, 2, 3, &part));
    assert_true(coco_str_equal(part, COCO_STR("cde")));
    COCO_TRY(coco_file_read_range(cx, file, 4, 100, &part));
    assert_true(coco_str_equal(part, COCO_STR("ef")));
    COCO_TRY(coco_file_read_range(cx, file, 100, 1, &part));
    assert_int_equal(part.n, 0);
    COCO_TRY(coco_file_fingerprint(cx, file, fp));
    coco_fingerprint_bytes("abcdef", 6, expected);
    assert_memory_equal(fp, expected, 16);
    assert_true(coco_str_equal(coco_path_with_suffix(cx, file, ".html"), COCO_STR("t.html")));
    assert_true(coco_str_equal(coco_path_join(cx, COCO_STR("a"), COCO_STR("b")), COCO_STR("a/b")));
    assert_true(coco_str_equal(coco_path_join(cx, COCO_STR("a/"), COCO_STR("/b")), COCO_STR("/b")));
    return COCO_OK;
}

static void file_tells_its_size_time_ranges_and_fingerprint(void **state)
{
    (void)state;
    put("in/t", "abcdef");
    assert_int_equal(utimensat(AT_FDCWD, "in/t", (struct timespec[]){ { 1000000000, 7 }, { 1000000000, 7 } }, 0), 0);
    plan.main = look;
    update();
}

/* ---- Files opened by path -------------------------------------------------------------------------------------- */

static int templates_run;

COCO_FN(expand, (coco_str, name), .memo = true)
{
    coco_file *file;
    coco_str text = COCO_STR("(none)");

    templates_run++;
    COCO_TRY(coco_file_open(cx, coco_text("in"), name, &file));
    if (coco_file_exists(file)) COCO_TRY(coco_file_read_text(cx, file, &text));
    return coco_return(cx, coco_text_n(text));
}

static coco_status call_expand(coco_ctx *cx)
{
    coco_value value;

    COCO_TRY(coco_call(cx, &expand, COCO_ARGS(coco_text("template")), &value));
    return coco_return(cx, value);
}

static void template_opened_by_path_is_an_input_also_when_missing(void **state)
{
    static const char *const contents[] = { NULL, "one", "two", NULL };

    (void)state;
    plan.main = call_expand;
    templates_run = 0;
    for (int i = 0; i < 4; i++) {
        if (contents[i]) put("in/template", contents[i]);
        else remove("in/template");
        update();
        assert_string_equal(seen.value, contents[i] ? contents[i] : "(none)");
        assert_int_equal(templates_run, i + 1);
        settle();
        update();
        assert_int_equal(templates_run, i + 1);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_are_copied_to_where_they_are_declared),
        TEST(second_update_without_a_change_writes_nothing),
        TEST(changed_file_is_written_again_alone),
        TEST(touched_file_is_not_run_again),
        TEST(edit_within_the_clocks_granularity_is_not_missed),
        TEST(file_replaced_by_one_of_equal_time_and_size_is_seen),
        TEST(deleted_file_takes_its_copy_and_emptied_directories_along),
        TEST(files_that_the_target_did_not_write_stay),
        TEST(drop_removes_what_the_target_made_and_nothing_else),
        TEST(directory_that_was_there_before_stays),
        TEST(odd_names_are_names_like_others),
        TEST(directory_with_foreign_files_stays_with_a_notice),
        TEST(file_becomes_a_directory_and_a_file_again),
        TEST(swap_within_one_component_takes_one_update),
        TEST(swap_between_components_takes_one_update),
        TEST(target_below_the_source_is_left_out_with_a_notice),
        TEST(target_mounted_after_the_listing_around_it_is_refused),
        TEST(base_named_by_a_context_key_may_move),
        TEST(target_behind_a_memo_is_left_out_of_the_listing_with_a_notice),
        TEST(deleted_output_directory_is_refilled_by_a_plain_update),
        TEST(directory_deleted_inside_the_output_is_refilled),
        TEST(file_where_the_output_directory_was_is_a_clear_error),
        TEST(changed_mode_of_the_output_directory_is_set_right),
        TEST(output_that_cannot_be_looked_at_is_not_taken_for_deleted),
        TEST(walk_gives_paths_in_byte_order),
        TEST(include_filters_files_and_exclude_prunes_directories),
        TEST(pruned_directory_is_entered_for_what_is_taken_back_in),
        TEST(temporary_names_of_the_target_are_never_given),
        TEST(ignore_files_are_honoured_where_asked_for),
        TEST(links_are_followed_or_skipped_as_asked),
        TEST(large_listing_gives_each_file_once_in_order_as_it_is),
        TEST(large_listing_may_end_anywhere),
        TEST(file_that_vanishes_while_the_one_before_takes_long_is_not_given),
        TEST(directories_that_are_listed_ahead_give_what_is_in_them),
        TEST(directory_that_changes_while_the_file_before_takes_long_is_listed_as_it_is),
        TEST(directory_that_is_replaced_when_it_was_listed_is_either_of_the_two),
        TEST(file_that_changes_after_it_was_read_ahead_is_copied_by_the_next_update),
        TEST(file_that_was_read_ahead_is_read_again_as_it_is_now),
        TEST(contents_read_in_a_listing_by_hand_are_not_kept),
        TEST(file_that_vanished_more_than_a_tenth_of_a_second_ago_is_not_given),
        TEST(file_larger_than_max_read_is_told_among_those_that_are_read_ahead),
        TEST(files_of_a_large_batch_that_cannot_be_written_fail_alone),
        TEST(directory_that_a_batch_empties_and_fills_stays),
        TEST(files_of_a_large_batch_with_one_temporary_name_keep_their_contents),
        TEST(malformed_glob_is_a_clear_error),
        TEST(missing_source_directory_deletes_nothing),
        TEST(unreadable_directory_keeps_what_is_recorded_there),
        TEST(what_is_asked_of_the_listing_after_reading_another_state_is_asked_again),
        TEST(unreadable_file_fails_its_component_alone),
        TEST(name_that_is_not_utf8_is_reported_and_the_rest_goes_on),
        TEST(link_to_a_directory_above_is_reported),
        TEST(link_to_nothing_is_reported),
        TEST(file_that_vanishes_before_it_is_read_is_named),
        TEST(file_too_large_to_read_at_once_is_named),
        TEST(name_that_leaves_the_directory_is_refused),
        TEST(link_below_the_target_is_not_followed),
        TEST(link_of_the_declared_name_is_replaced),
        TEST(foreign_directory_in_the_way_is_a_clear_error),
        TEST(target_that_may_not_be_written_is_a_clear_error),
        TEST(file_that_finds_no_room_is_a_clear_error),
        TEST(target_that_is_a_file_is_a_clear_error),
        TEST(what_a_crash_left_goes_with_the_next_write),
        TEST(mode_is_as_asked_and_a_change_of_it_is_applied),
        TEST(single_file_needs_its_directory_unless_told_to_make_it),
        TEST(declared_directory_stays_when_empty_and_goes_when_undeclared),
        TEST(parents_of_a_directory_are_made_unless_told_not_to),
        TEST(text_is_decoded_by_its_mark),
        TEST(text_is_decoded_by_the_encoding_named),
        TEST(what_cannot_be_decoded_is_replaced),
        TEST(file_tells_its_size_time_ranges_and_fingerprint),
        TEST(template_opened_by_path_is_an_input_also_when_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
