/* Local files in and out, each call failing in turn, each death (S6, S7.3): a program that copies a directory, one file
 * edited, one deleted, one moved into a directory that is new. Of what it reads from disk and writes there every system
 * call fails with each of its errors, for whomever it was made. What sweep.h says holds each time; a file under its
 * final name is always whole. */
#include "files.h"

COCO_FN(copy_one, (coco_file *, file, coco_dir *, out), .memo = true)
{
    coco_str content;

    COCO_TRY(coco_file_read(cx, file, &content));
    return coco_dir_declare_file(cx, out, coco_file_path(file), content);
}

COCO_FN(copy_all, ())
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_text(target), &out));
    return coco_mount_each(cx, COCO_AUTO, &copy_one, coco_walk_dir(cx, coco_text(source), NULL),
                           COCO_ARGS(coco_dir_value(out)));
}

static int many; /* files that are new: enough for two threads to write them */

static void source_before(void)
{
    take_tree(source);
    put(source, "one.txt", "first\n");
    put(source, "two.txt", "second\n");
    put(source, "sub/three.txt", "third\n");
    put(source, "sub/four.txt", "fourth\n");
}

static void source_after(void)
{
    take_tree(source);
    put(source, "one.txt", "first, edited\n");
    put(source, "sub/three.txt", "third\n");
    put(source, "new/deep/four.txt", "fourth\n");
    for (int i = 0; i < many; i++) {
        char name[20];
        snprintf(name, sizeof name, "%c/%d", i < many / 2 ? 'p' : 'q', i);
        put(source, name, name);
    }
}

/* ---- Sweeps ---- */

static coco_status act(void) { return try_update(NULL); }

static coco_status back(void)
{
    source_before();
    return try_update(NULL);
}

static void before(void)
{
    if (access(before_db, F_OK) == 0) copy_file(before_db, own_db);
    take_tree(target);
    put(target, "one.txt", "first\n");
    put(target, "two.txt", "second\n");
    put(target, "sub/three.txt", "third\n");
    put(target, "sub/four.txt", "fourth\n");
    source_after();
}

static void rests(void)
{
    update(NULL);
    assert_int_equal(w.result.inserts + w.result.updates + w.result.deletes, 0);
}

static const sweep copying = { .before = before, .act = act, .back = back, .look = look, .rest = rests,
                               .names = "/" };

static void sweep_files(fault_kind kind)
{
    program(&copy_all);
    sweep_world();
    before();
    if (back() != COCO_OK) fail_msg("%s", w.err.msg);
    restart();
    copy_file(own_db, before_db);
    sweep_over(&copying, kind);
}

static void files_survive_any_failing_system_call(void **state)
{
    (void)state;
    sweep_files(FAULT_SYSTEM);
}

static void files_survive_any_failing_store_call(void **state)
{
    (void)state;
    sweep_files(FAULT_STORE);
}

static void files_survive_any_failing_allocation(void **state)
{
    (void)state;
    sweep_files(FAULT_MEMORY);
}

static void files_survive_a_crash_anywhere(void **state)
{
    (void)state;
    sweep_files(FAULT_DEATH);
}

static void many_files_survive_any_failing_system_call(void **state)
{
    (void)state;
    many = 66;
    sweep_files(FAULT_SYSTEM);
    many = 0;
}

static void many_files_survive_a_crash_anywhere(void **state)
{
    (void)state;
    many = 66;
    sweep_files(FAULT_DEATH);
    many = 0;
}

/* ---- What an fsync of a directory that fails leaves behind ---- */

static int synced; /* directories */

static void count_synced(const char *call, int fd, const struct iovec *v, int n, long long at)
{
    struct stat st;

    (void)v, (void)n, (void)at;
    if (strcmp(call, "fsync") == 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) synced++;
}

COCO_FN(copy_durably, ())
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir_with(cx, coco_text(target), &(coco_dir_opts){ .durable = true }, &out));
    return coco_mount_each(cx, COCO_AUTO, &copy_one, coco_walk_dir(cx, coco_text(source), NULL),
                           COCO_ARGS(coco_dir_value(out)));
}

/* Fills a directory that is new, and its parents, from a new database; the n-th system call fails, and what that
 * leaves undone is done. */
static bool fill_with_failing(long n)
{
    snprintf(target, sizeof target, "%s/to%ld/out", base, n);
    restart();
    remove(own_db);
    synced = 0;
    gate_watch = count_synced;
    gate_arm(FAULT_SYSTEM, n, 0);
    coco_status rc = try_update(NULL);
    gate_open();
    if (rc != COCO_OK) {
        restart();
        update(NULL);
    }
    gate_watch = NULL;
    return gate->fired;
}

static void directory_whose_fsync_failed_is_synced_in_the_end(void **state)
{
    int undisturbed, failed = 0;

    (void)state;
    program(&copy_durably);
    sweep_world();
    source_after();
    fill_with_failing(1000000);
    undisturbed = synced;
    for (long n = 1; fill_with_failing(n); n++) {
        if (strcmp(gate->call, "fsync") != 0) continue;
        failed++;
        if (synced < undisturbed) fail_msg("call %ld: %d directories synced, not %d", n, synced, undisturbed);
    }
    assert_true(failed > 5);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        FILES_TEST(files_survive_any_failing_system_call),
        FILES_TEST(files_survive_any_failing_store_call),
        FILES_TEST(files_survive_any_failing_allocation),
        FILES_TEST(files_survive_a_crash_anywhere),
        FILES_TEST(many_files_survive_any_failing_system_call),
        FILES_TEST(many_files_survive_a_crash_anywhere),
        FILES_TEST(directory_whose_fsync_failed_is_synced_in_the_end),
    };

    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, sweep_counts);
}
