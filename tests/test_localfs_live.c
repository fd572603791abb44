/* test_localfs_live.c - localfs live: a directory that is followed, by the public API (C1 "Live:", S8.7, S8.8).
 *
 * Each test runs in an empty directory of its own, in which a live update copies every file below in/ to the same name
 * below out/. `begin_live` returns when the initial state is there, `in_sync` when all that was done is; `end_live`
 * stops it, checks that out/ holds what in/ does, and that a plain update finds nothing to do. Where a test says how
 * long something may take, the bounds are far from what is usual, so that a loaded machine keeps them. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* nftw */
#endif
#include "../connectors/localfs.h"
#include "../connectors/localfs/hooks.inc"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

/* ---- The program ----------------------------------------------------------------------------------------------- */

static struct plan {
    coco_walk_opts walk;
    const char *base;          /* NULL: in */
    const char *out;           /* NULL: out */
    void (*during_scan)(void); /* called once, when the first file is read */
    void (*at_file)(coco_str path); /* called when a file is read */
} plan;

/* What the update tells, from any of its threads. */
static struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool ready;
    int started, inserts, updates, deletes, failures, notices;
    char failure[1024], notice[1024]; /* the last ones */
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

COCO_FN(copy_file, (coco_file *, file, coco_dir *, out), .memo = true)
{
    void (*during_scan)(void) = __atomic_exchange_n(&plan.during_scan, NULL, __ATOMIC_RELAXED);
    coco_str content;

    if (during_scan) during_scan();
    if (plan.at_file) plan.at_file(coco_file_path(file));
    COCO_TRY(coco_file_read(cx, file, &content));
    return coco_dir_declare_file(cx, out, coco_file_path(file), content);
}

COCO_FN(app_main, ())
{
    coco_value base = coco_text(plan.base ? plan.base : "in");
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_text(plan.out ? plan.out : "out"), &out));
    return coco_mount_each(cx, COCO_AUTO, &copy_file, coco_walk_dir(cx, base, &plan.walk),
                           COCO_ARGS(coco_dir_value(out)));
}

/* ---- The harness ----------------------------------------------------------------------------------------------- */

static char home[4096], cwd[4096]; /* where we came from; the directory of the test */
static long live_memory;           /* allocations not freed */
static int descriptors_before;
static coco_env *env;
static coco_app *app;
static coco_running *running;

static void *counted(void *self, void *p, size_t n)
{
    (void)self;
    if (n == 0) {
        __atomic_sub_fetch(&live_memory, p != NULL, __ATOMIC_RELAXED);
        free(p);
        return NULL;
    }
    __atomic_add_fetch(&live_memory, p == NULL, __ATOMIC_RELAXED);
    return realloc(p, n);
}

static void on_event(void *user, const coco_event *e)
{
    (void)user;
    pthread_mutex_lock(&seen.lock);
    if (e->kind == COCO_EV_STARTED && strcmp(e->function, "copy_file") == 0) seen.started++;
    if (e->kind == COCO_EV_APPLIED && !e->container) {
        if (e->action == COCO_INSERT) seen.inserts++;
        else if (e->action == COCO_UPDATE) seen.updates++;
        else seen.deletes++;
    }
    if (e->kind == COCO_EV_READY) seen.ready = true;
    if (e->kind == COCO_EV_NOTICE) {
        seen.notices++;
        snprintf(seen.notice, sizeof seen.notice, "%s", e->detail);
    }
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

static bool on_failure(void *user, const coco_failure *f)
{
    (void)user;
    pthread_mutex_lock(&seen.lock);
    seen.failures += f->code != COCO_ENOTFOUND; /* a file may go between look and read; it is looked at again */
    snprintf(seen.failure, sizeof seen.failure, "%s: %s", coco_status_name(f->code), f->message);
    pthread_mutex_unlock(&seen.lock);
    return true;
}

static void open_app(void)
{
    const coco_env_config config = { .db = "db", .allocator = { counted, NULL }, .on_event = on_event,
                                     .on_failure = on_failure, .map_size = (size_t)1 << 30 };
    const coco_app_config main_app = { .name = "test", .main = &app_main };
    coco_err err = { 0 };

    if (coco_env_open(&config, &env, &err) != COCO_OK) fail_msg("%s", err.msg);
    if (coco_app_open(env, &main_app, &app, &err) != COCO_OK) fail_msg("%s", err.msg);
}

static void forget_seen(void)
{
    pthread_mutex_lock(&seen.lock);
    seen.started = seen.inserts = seen.updates = seen.deletes = seen.failures = seen.notices = 0;
    seen.failure[0] = seen.notice[0] = '\0';
    pthread_mutex_unlock(&seen.lock);
}

static int count_of(const int *n)
{
    int is;

    pthread_mutex_lock(&seen.lock);
    is = *n;
    pthread_mutex_unlock(&seen.lock);
    return is;
}

/* Whether the last failure, or the last notice, says that. */
static bool says(const char *told, const char *part)
{
    bool does;

    pthread_mutex_lock(&seen.lock);
    does = strstr(told, part) != NULL;
    pthread_mutex_unlock(&seen.lock);
    return does;
}

static void pass(int ms)
{
    nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

#define AT_ONCE 5000 /* ms; without waiting for anything it is a few */

static int64_t clock_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Starts the live update, and returns when what is there at first is in the targets. */
static void begin_live(void)
{
    coco_err err = { 0 };
    struct timespec until;
    int late = 0;

    open_app();
    plan.walk.live = true;
    if (!plan.walk.quiet_ms) plan.walk.quiet_ms = 60000; /* who waits for that wasn't told at once */
    forget_seen();
    seen.ready = false;
    if (coco_update_start(app, &(coco_update_opts){ .live = true }, &running, &err) != COCO_OK) fail_msg("%s", err.msg);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&seen.lock);
    while (!seen.ready && late == 0) late = pthread_cond_timedwait(&seen.changed, &seen.lock, &until);
    pthread_mutex_unlock(&seen.lock);
    if (late) fail_msg("not ready after 30 s; %s", seen.failure);
}

/* Returns when all that was done to the files is in the targets. */
static void in_sync(void)
{
    coco_err err = { 0 };

    if (coco_sync(app, 60000, &err) != COCO_OK) fail_msg("%s; %s", err.msg, seen.failure);
}

static void stop(void)
{
    coco_result result = { 0 };
    coco_err err = { 0 };
    coco_status rc;

    coco_app_stop(app);
    rc = coco_update_wait(running, &result, &err);
    running = NULL;
    coco_result_free(&result);
    if (rc != COCO_OK && rc != COCO_ESTOP && rc != COCO_EFAIL) fail_msg("%s: %s", coco_status_name(rc), err.msg);
}

static void close_app(void)
{
    if (running) stop();
    coco_app_close(app);
    coco_env_close(env);
    app = NULL;
    env = NULL;
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

static int begin(void **state)
{
    const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    (void)state;
    memset(&plan, 0, sizeof plan);
    live_memory = 0;
    if (!getcwd(home, sizeof home)) return -1;
    snprintf(cwd, sizeof cwd, "%s/localfs-live.XXXXXX", tmp);
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

static void remove_tree(const char *path)
{
    assert_int_equal(nftw(path, remove_one, 20, FTW_DEPTH | FTW_PHYS), 0);
}

static int end(void **state)
{
    int left;

    (void)state;
    coco__fs_hooks.hold = coco__fs_hooks.deaf = coco__fs_hooks.none = false;
    coco__fs_hooks.watches = coco__fs_hooks.check_ms = 0;
    close_app();
    left = descriptors() - descriptors_before;
    if (chdir(home) != 0) return -1;
    remove_tree(cwd);
    assert_int_equal(live_memory, 0);
    assert_int_equal(left, 0);
    return 0;
}

/* ---- Files ----------------------------------------------------------------------------------------------------- */

static void make_parents(const char *path)
{
    char dir[4096];

    snprintf(dir, sizeof dir, "%s", path);
    for (char *slash = strchr(dir, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(dir, 0777);
        *slash = '/';
    }
}

/* Writes a file in place, as a shell's > does. */
static void put(const char *path, const char *content)
{
    FILE *f;

    make_parents(path);
    assert_non_null(f = fopen(path, "w"));
    assert_int_equal(fwrite(content, 1, strlen(content), f), strlen(content));
    fclose(f);
}

/* Writes a file aside and renames it into place. */
static void put_whole(const char *path, const char *content)
{
    put("aside", content);
    make_parents(path);
    assert_int_equal(rename("aside", path), 0);
}

/* The content of a file; "" if there is none. */
static const char *content_of(const char *path)
{
    static char buf[4096];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(buf, 1, sizeof buf - 1, f) : 0;

    if (f) fclose(f);
    buf[n] = '\0';
    return buf;
}

static bool there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* Waits until the file has the content ("": is gone); returns how long that took, in ms. */
static int until(const char *path, const char *content)
{
    int64_t from = clock_ms();

    while (*content ? strcmp(content_of(path), content) != 0 : there(path)) {
        if (clock_ms() - from > 120000) fail_msg("%s isn't \"%s\" after 120 s; %s", path, content, seen.failure);
        pass(1);
    }
    return (int)(clock_ms() - from);
}

static const char *from_tree, *to_tree; /* what same_there compares */
static size_t tree_files;

static int same_there(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    char other[4096], content[4096];

    (void)st, (void)where;
    if (kind != FTW_F) return 0;
    tree_files++;
    snprintf(other, sizeof other, "%s%s", to_tree, path + strlen(from_tree));
    snprintf(content, sizeof content, "%s", content_of(path));
    if (there(other) && strcmp(content_of(other), content) == 0) return 0;
    print_error("%s isn't what %s is\n", other, path);
    return 1;
}

static size_t files_in(const char *from, const char *to)
{
    from_tree = from;
    to_tree = to;
    tree_files = 0;
    assert_int_equal(nftw(from, same_there, 20, 0), 0);
    return tree_files;
}

/* out/ holds what in/ does, and nothing else. Returns how many files. */
static size_t check_same(void)
{
    size_t n = files_in("in", "out");

    assert_int_equal(files_in("out", "in"), n);
    return n;
}

/* Stops following, and checks that a plain update has nothing to do. */
static void check_settled(void)
{
    coco_result result = { 0 };
    coco_err err = { 0 };

    stop();
    if (coco_update(app, NULL, &result, &err) != COCO_OK) fail_msg("%s; %s", err.msg, seen.failure);
    assert_int_equal(result.inserts, 0);
    assert_int_equal(result.updates, 0);
    assert_int_equal(result.deletes, 0);
    coco_result_free(&result);
}

/* The end of a test: nothing failed, the copies are what the files are, as a fresh run would make them. */
static void end_live(void)
{
    in_sync();
    check_same();
    if (count_of(&seen.failures) > 0) fail_msg("%s", seen.failure);
    check_settled();
}

/* ---- Files that change ----------------------------------------------------------------------------------------- */

static void initial_files_are_processed_before_it_is_ready(void **state)
{
    (void)state;
    put("in/a", "1");
    put("in/b/c", "2");
    begin_live();
    assert_int_equal(check_same(), 2);
    end_live();
}

static void file_renamed_into_place_is_processed_at_once(void **state)
{
    (void)state;
    begin_live();
    put_whole("in/a", "1");
    assert_true(until("out/a", "1") < AT_ONCE);
    put_whole("in/a", "2");
    assert_true(until("out/a", "2") < AT_ONCE);
    end_live();
}

static void file_closed_after_writing_is_processed_at_once(void **state)
{
    (void)state;
    put("in/a", "1");
    begin_live();
    put("in/a", "2");
    assert_true(until("out/a", "2") < AT_ONCE);
    put("in/b", "3");
    assert_true(until("out/b", "3") < AT_ONCE);
    end_live();
}

static void write_piece(int fd, const char *piece)
{
    assert_int_equal(write(fd, piece, strlen(piece)), (ssize_t)strlen(piece));
}

static void file_that_is_being_written_is_processed_when_it_is_closed(void **state)
{
    int fd;

    (void)state;
    plan.walk.quiet_ms = 60000;
    begin_live();
    assert_true((fd = open("in/a", O_WRONLY | O_CREAT, 0666)) >= 0);
    for (int i = 0; i < 5; i++) {
        write_piece(fd, "x");
        pass(20);
        assert_false(there("out/a"));
    }
    close(fd);
    assert_true(until("out/a", "xxxxx") < 5000);
    assert_int_equal(count_of(&seen.started), 1);
    end_live();
}

static void file_that_stays_open_is_processed_after_a_quiet_time(void **state)
{
    int fd;

    (void)state;
    plan.walk.quiet_ms = 100;
    begin_live();
    assert_true((fd = open("in/a", O_WRONLY | O_CREAT, 0666)) >= 0);
    write_piece(fd, "log 1\n");
    assert_true(until("out/a", "log 1\n") >= 80);
    write_piece(fd, "log 2\n");
    assert_true(until("out/a", "log 1\nlog 2\n") >= 80);
    close(fd);
    end_live();
}

static void close_ms_gathers_what_is_closed_again_and_again(void **state)
{
    (void)state;
    plan.walk.close_ms = 300;
    begin_live();
    for (int i = 0; i < 10; i++) put("in/a", i < 9 ? "early" : "last");
    assert_true(until("out/a", "last") >= 250);
    assert_int_equal(count_of(&seen.started), 1);
    end_live();
}

static void deleted_file_goes_and_comes_back(void **state)
{
    (void)state;
    put("in/a", "1");
    put("in/b", "1");
    begin_live();
    assert_int_equal(unlink("in/a"), 0);
    until("out/a", "");
    put("in/a", "2");
    until("out/a", "2");
    end_live();
}

/* An editor that moves the old file away and writes a new one: readers of the target never miss the file. */
static void file_moved_away_and_written_anew_is_no_delete(void **state)
{
    (void)state;
    put("in/a", "1");
    begin_live();
    assert_int_equal(rename("in/a", "away"), 0);
    put("in/a", "2");
    until("out/a", "2");
    assert_int_equal(count_of(&seen.deletes), 0);
    end_live();
}

static void new_mode_or_time_alone_writes_nothing(void **state)
{
    (void)state;
    put("in/a", "1");
    begin_live();
    forget_seen();
    assert_int_equal(chmod("in/a", 0600), 0);
    in_sync();
    assert_int_equal(count_of(&seen.inserts) + count_of(&seen.updates) + count_of(&seen.started), 0);
    end_live();
}

static void hard_and_symbolic_links_appear_at_once(void **state)
{
    (void)state;
    put("kept", "1");
    plan.walk.quiet_ms = 60000;
    begin_live();
    assert_int_equal(link("kept", "in/hard"), 0);
    assert_int_equal(symlink("../kept", "in/soft"), 0);
    until("out/hard", "1");
    until("out/soft", "1");
    end_live();
}

/* ---- Directories that change ----------------------------------------------------------------------------------- */

static void new_directories_are_watched_and_read_at_once(void **state)
{
    (void)state;
    begin_live();
    put("in/a/b/c/d/e", "1");
    put("in/a/b/x", "2");
    until("out/a/b/c/d/e", "1");
    put("in/a/b/c/d/e", "3"); /* the watch is there */
    assert_true(until("out/a/b/c/d/e", "3") < AT_ONCE);
    end_live();
}

static void removed_directory_takes_its_files_along(void **state)
{
    (void)state;
    put("in/a/b/c", "1");
    put("in/a/d", "2");
    begin_live();
    remove_tree("in/a");
    in_sync();
    assert_false(there("out/a"));
    end_live();
}

static void directory_moved_out_takes_its_files_along(void **state)
{
    (void)state;
    put("in/a/b/c", "1");
    put("in/d", "2");
    begin_live();
    assert_int_equal(rename("in/a", "away"), 0);
    in_sync();
    assert_false(there("out/a"));
    put("away/b/c", "not ours any more");
    end_live();
}

static void directory_moved_in_brings_its_files(void **state)
{
    (void)state;
    put("aside2/b/c", "1");
    put("aside2/d", "2");
    begin_live();
    assert_int_equal(rename("aside2", "in/a"), 0);
    until("out/a/b/c", "1");
    put("in/a/b/c", "3");
    assert_true(until("out/a/b/c", "3") < AT_ONCE);
    end_live();
}

static void directory_renamed_moves_its_files(void **state)
{
    (void)state;
    put("in/a/b/c", "1");
    begin_live();
    assert_int_equal(rename("in/a", "in/z"), 0);
    put("in/z/b/c", "2");
    put("in/z/b/d", "3");
    in_sync();
    assert_false(there("out/a"));
    assert_string_equal(content_of("out/z/b/d"), "3");
    end_live();
}

static void storm_of_renames_ends_where_the_files_are(void **state)
{
    char from[100], to[60];

    (void)state;
    for (int i = 0; i < 20; i++) {
        snprintf(from, sizeof from, "in/d%d/f", i);
        put(from, from);
    }
    begin_live();
    for (int round = 0; round < 30; round++)
        for (int i = 0; i < 20; i++) {
            snprintf(from, sizeof from, round % 2 ? "in/e%d" : "in/d%d", i);
            snprintf(to, sizeof to, round % 2 ? "in/d%d" : "in/e%d", i);
            assert_int_equal(rename(from, to), 0);
            snprintf(from, sizeof from, "%s/f", to);
            if (i % 3 == 0) put(from, "changed");
        }
    end_live();
}

/* ---- The scan -------------------------------------------------------------------------------------------------- */

static void edit_everywhere(void)
{
    char path[100];

    for (int i = 0; i < 50; i++) {
        snprintf(path, sizeof path, "in/d%02d/f", i);
        put(path, "edited");
        snprintf(path, sizeof path, "in/d%02d/new", i);
        put(path, "new");
    }
    remove_tree("in/d07");
    put("in/fresh/x/y", "fresh");
    assert_int_equal(rename("in/d11", "in/d99"), 0);
}

/* S8.7: the watch begins before the listing. */
static void edits_during_the_initial_scan_are_not_missed(void **state)
{
    char path[100];

    (void)state;
    for (int i = 0; i < 50; i++) {
        snprintf(path, sizeof path, "in/d%02d/f", i);
        put(path, path);
    }
    plan.during_scan = edit_everywhere;
    begin_live();
    in_sync();
    assert_string_equal(content_of("out/d00/f"), "edited");
    assert_string_equal(content_of("out/d49/new"), "new");
    end_live();
}

enum { EACH_DIRS = 16, EACH_FILES = 110 };

/* Near the end of each directory the next gets a file. */
static void edit_the_next(coco_str file)
{
    char path[100];
    int d, f;

    if (sscanf(file.p, "d%d/f%d", &d, &f) != 2) return;
    if (f == EACH_FILES - 40) pass(5); /* who lists ahead gets there */
    if (f != EACH_FILES - 3 || d == EACH_DIRS - 1) return;
    snprintf(path, sizeof path, "in/d%02d/new", d + 1);
    put(path, "new");
}

/* Of a directory that is watched nothing is listed before the watch is there, also in a large listing. */
static void file_that_appears_in_the_directory_that_is_listed_next_is_not_missed(void **state)
{
    char path[100];

    (void)state;
    for (int i = 0; i < EACH_DIRS * EACH_FILES; i++) {
        snprintf(path, sizeof path, "in/d%02d/f%03d", i / EACH_FILES, i % EACH_FILES);
        put(path, "");
    }
    plan.at_file = edit_the_next;
    begin_live();
    in_sync();
    for (int i = 1; i < EACH_DIRS; i++) {
        snprintf(path, sizeof path, "out/d%02d/new", i);
        assert_string_equal(content_of(path), "new");
    }
    end_live();
}

#define BURST_DIRS 100
#define BURST_FILES 100

static void burst(void)
{
    char path[100];

    for (int i = 0; i < BURST_DIRS; i++)
        for (int k = 0; k < BURST_FILES; k++) {
            snprintf(path, sizeof path, "in/d%02d/f%02d", i, k);
            put(path, path);
        }
}

static void burst_of_new_files_in_new_directories_is_caught_up(void **state)
{
    (void)state;
    begin_live();
    burst();
    in_sync();
    assert_int_equal(check_same(), BURST_DIRS * BURST_FILES);
    end_live();
}

/* More events than the system's queue holds (16,384): a rescan, not a loss. */
static void overflowing_queue_causes_a_rescan_not_a_loss(void **state)
{
    (void)state;
    for (int i = 0; i < BURST_DIRS; i++) {
        char path[100];
        snprintf(path, sizeof path, "in/d%02d/first", i);
        put(path, path);
    }
    begin_live();
    coco__fs_hooks.hold = true;
    burst();
    remove_tree("in/d13");
    put("in/new/after/the/burst", "1");
    coco__fs_hooks.hold = false;
    in_sync();
    assert_int_equal(check_same(), (BURST_DIRS - 1) * (BURST_FILES + 1) + 1);
    put("in/new/after/the/burst", "2"); /* what was missed is watched */
    assert_true(until("out/new/after/the/burst", "2") < AT_ONCE);
    end_live();
}

/* ---- Watches that are not to be had or die --------------------------------------------------------------------- */

static void too_many_watches_are_told_and_looked_for(void **state)
{
    (void)state;
    coco__fs_hooks.watches = 3;
    for (int i = 0; i < 10; i++) put((char[]){ 'i', 'n', '/', (char)('a' + i), '/', 'f', '\0' }, "1");
    begin_live();
    put("in/j/f", "2");
    put("in/new/f", "3");
    until("out/j/f", "2");
    until("out/new/f", "3");
    assert_int_equal(count_of(&seen.notices), 1);
    assert_true(says(seen.notice, "doesn't tell of all changes"));
    end_live();
}

static void system_without_watches_is_told_and_looked_at(void **state)
{
    (void)state;
    coco__fs_hooks.none = true;
    begin_live();
    put("in/a/b", "1");
    until("out/a/b", "1");
    put("in/a/b", "2");
    in_sync();
    assert_string_equal(content_of("out/a/b"), "2");
    assert_int_equal(count_of(&seen.notices), 1);
    end_live();
}

static void polling_finds_what_events_would_tell(void **state)
{
    (void)state;
    plan.walk.poll_ms = 50;
    put("in/a/b", "1");
    put("in/c", "1");
    begin_live();
    put("in/a/b", "22");
    put("in/d/e", "3");
    assert_int_equal(unlink("in/c"), 0);
    until("out/a/b", "22");
    until("out/d/e", "3");
    until("out/c", "");
    assert_int_equal(count_of(&seen.notices), 0);
    end_live();
}

/* The system's watcher went silent after days. */
static void watcher_that_dies_is_noticed(void **state)
{
    (void)state;
    coco__fs_hooks.check_ms = 200;
    put("in/a", "1");
    begin_live();
    coco__fs_hooks.deaf = true;
    put("in/a", "2");
    for (int i = 0; i < 3000 && !says(seen.failure, "begun anew"); i++) pass(10);
    assert_true(says(seen.failure, "begun anew"));
    coco__fs_hooks.deaf = false;
    until("out/a", "2");
    pass(600); /* what was asked of the deaf is forgotten */
    forget_seen();
    put("in/a", "3");
    assert_true(until("out/a", "3") < AT_ONCE);
    end_live();
}

static void interval_lists_all_anew(void **state)
{
    (void)state;
    plan.walk.rescan_ms = 200;
    put("in/a", "1");
    begin_live();
    coco__fs_hooks.deaf = true;
    put("in/a", "2");
    until("out/a", "2");
    coco__fs_hooks.deaf = false;
    end_live();
}

static void watch_that_works_stays(void **state)
{
    (void)state;
    coco__fs_hooks.check_ms = 20;
    begin_live();
    pass(300);
    put_whole("in/a", "1");
    until("out/a", "1");
    end_live(); /* nothing was reported */
}

/* Until then the listing that comes by itself has found the file. */
static void hold_and_remake_a_directory(void)
{
    put("in/d/old", "1");
    plan.walk.rescan_ms = 500;
    begin_live();
    coco__fs_hooks.hold = true;
    remove_tree("in/d");
    put("in/d/e/new", "1");
    until("out/d/e/new", "1");
}

/* S8.7: what a listing has found in a new directory stays watched when the end of the old one is told */
static void file_in_a_directory_made_anew_is_seen_to_go(void **state)
{
    (void)state;
    hold_and_remake_a_directory();
    remove_tree("in/d");
    coco__fs_hooks.hold = false;
    in_sync();
    assert_false(there("out/d"));
    end_live();
}

/* S8.7 */
static void file_in_a_directory_replaced_twice_is_seen_to_go(void **state)
{
    (void)state;
    hold_and_remake_a_directory();
    remove_tree("in/d");
    put("in/d/e/newest", "2");
    coco__fs_hooks.hold = false;
    in_sync();
    assert_false(there("out/d/e/new"));
    end_live();
}

/* ---- The base -------------------------------------------------------------------------------------------------- */

static void base_that_goes_is_a_failure_and_taken_up_again(void **state)
{
    (void)state;
    put("in/a", "1");
    put("in/b", "1");
    begin_live();
    assert_int_equal(rename("in", "away"), 0);
    for (int i = 0; i < 3000 && count_of(&seen.failures) == 0; i++) pass(10);
    assert_true(says(seen.failure, "in: it was removed or moved away"));
    pass(300);
    assert_true(there("out/a")); /* it isn't known to be gone */
    put("away/a", "2");
    assert_int_equal(rename("away", "in"), 0);
    until("out/a", "2");
    put("in/b", "3");
    assert_true(until("out/b", "3") < AT_ONCE);
    forget_seen();
    end_live();
}

/* S8.8: what can't be listed isn't in sync */
static void sync_waits_for_a_base_that_is_gone(void **state)
{
    coco_err err = { 0 };

    (void)state;
    put("in/a", "1");
    begin_live();
    assert_int_equal(rename("in", "away"), 0);
    for (int i = 0; i < 3000 && count_of(&seen.failures) == 0; i++) pass(10);
    put("away/a", "2");
    assert_int_equal(coco_sync(app, 200, &err), COCO_EDEADLINE);
    assert_int_equal(rename("away", "in"), 0);
    in_sync();
    assert_string_equal(content_of("out/a"), "2");
    forget_seen();
    end_live();
}

static void base_that_is_replaced_is_taken_up(void **state)
{
    (void)state;
    put("in/a", "1");
    put("next/b", "2");
    begin_live();
    in_sync();
    assert_int_equal(rename("in", "away"), 0);
    assert_int_equal(rename("next", "in"), 0);
    until("out/b", "2");
    until("out/a", "");
    assert_int_equal(count_of(&seen.failures), 1);
    forget_seen();
    end_live();
}

/* ---- What is given --------------------------------------------------------------------------------------------- */

static void globs_apply_to_events_too(void **state)
{
    (void)state;
    plan.walk.include = "**.md";
    plan.walk.exclude = "draft/\n!draft/**/keep.md\n*.tmp.md";
    begin_live();
    put("in/a.md", "1");
    put("in/a.txt", "no");
    put("in/x.tmp.md", "no");
    put("in/draft/a.md", "no");
    put("in/draft/b/keep.md", "2");
    put("in/.coco-0123456789abcdef", "no");
    until("out/draft/b/keep.md", "2");
    in_sync();
    assert_int_equal(files_in("out", "in"), 2);
    put("in/draft/b/keep.md", "3");
    assert_true(until("out/draft/b/keep.md", "3") < AT_ONCE);
    check_settled();
}

static void ignore_files_apply_to_events_and_may_change(void **state)
{
    (void)state;
    plan.walk.gitignore = true;
    put("in/.gitignore", "*.o\nbuild/\n");
    put("in/sub/.gitignore", "!keep.o\n");
    begin_live();
    put("in/a.o", "no");
    put("in/build/x", "no");
    put("in/sub/keep.o", "1");
    put("in/sub/b", "2");
    in_sync();
    assert_false(there("out/a.o") || there("out/build"));
    assert_true(there("out/sub/keep.o") && there("out/sub/b"));
    put("in/.gitignore", "sub/\n");
    in_sync();
    assert_true(there("out/a.o") && there("out/build/x"));
    assert_false(there("out/sub"));
    put("in/build/x", "4");
    until("out/build/x", "4");
    put("in/.gitignore", "");
    end_live();
}

static void target_inside_the_source_is_not_followed(void **state)
{
    (void)state;
    plan.base = ".";
    plan.out = "site";
    plan.walk.include = "in/**";
    plan.walk.exclude = NULL;
    put("in/a", "1");
    begin_live();
    put("in/b", "2");
    until("site/in/b", "2");
    in_sync();
    check_settled();
}

/* A listing that takes everything: neither the copies nor the state of the app feed it. */
static void state_and_targets_do_not_feed_the_source(void **state)
{
    (void)state;
    plan.base = ".";
    plan.out = "site";
    put("in/a", "1");
    begin_live();
    put("in/b", "2");
    until("site/in/b", "2");
    in_sync();
    forget_seen();
    pass(700);
    in_sync();
    assert_int_equal(count_of(&seen.inserts) + count_of(&seen.updates) + count_of(&seen.started), 0);
    assert_false(there("site/db") || there("site/site"));
    check_settled();
}

static void links_are_followed_and_may_change(void **state)
{
    (void)state;
    put("far/f", "1");
    put("far2/f", "2");
    put("one", "1");
    assert_int_equal(symlink("../far", "in/dir"), 0);
    assert_int_equal(symlink("../one", "in/file"), 0);
    begin_live();
    put("far/f", "3");
    until("out/dir/f", "3");
    put("far/new/g", "4");
    until("out/dir/new/g", "4");
    put("one", "5");
    until("out/file", "5");
    put_whole("one", "6");
    until("out/file", "6");
    put("one", "7");
    until("out/file", "7");
    assert_int_equal(unlink("in/dir"), 0);
    assert_int_equal(symlink("../far2", "in/dir"), 0);
    until("out/dir/f", "2");
    in_sync();
    assert_false(there("out/dir/new"));
    put("far2/f", "8");
    until("out/dir/f", "8");
    check_settled();
}

static void links_that_are_skipped_are_not_followed(void **state)
{
    (void)state;
    plan.walk.symlinks = COCO_SYMLINKS_SKIP;
    put("far/f", "1");
    put("in/was", "1");
    begin_live();
    assert_int_equal(symlink("../far", "in/dir"), 0);
    assert_int_equal(symlink("../far/f", "in/file"), 0);
    assert_int_equal(unlink("in/was"), 0);
    assert_int_equal(symlink("../far/f", "in/was"), 0);
    in_sync();
    assert_false(there("out/dir") || there("out/file") || there("out/was"));
    check_settled();
}

static void name_that_is_not_utf8_is_reported(void **state)
{
    (void)state;
    begin_live();
    put("in/bad\xFF", "1");
    put("in/good", "2");
    until("out/good", "2");
    for (int i = 0; i < 3000 && count_of(&seen.failures) == 0; i++) pass(10);
    assert_true(says(seen.failure, "bad\\xff: the name is not UTF-8"));
}

static void file_becomes_a_directory_and_back(void **state)
{
    (void)state;
    put("in/a", "1");
    begin_live();
    assert_int_equal(unlink("in/a"), 0);
    put("in/a/b", "2");
    until("out/a/b", "2");
    remove_tree("in/a");
    put("in/a", "3");
    until("out/a", "3");
    end_live();
}

/* ---- Barriers -------------------------------------------------------------------------------------------------- */

/* S8.8 */
static void sync_waits_for_what_is_still_being_written(void **state)
{
    int fd;

    (void)state;
    plan.walk.quiet_ms = 60000;
    begin_live();
    assert_true((fd = open("in/a", O_WRONLY | O_CREAT, 0666)) >= 0);
    write_piece(fd, "half");
    in_sync();
    assert_string_equal(content_of("out/a"), "half");
    write_piece(fd, " and half");
    close(fd);
    in_sync();
    assert_string_equal(content_of("out/a"), "half and half");
    assert_false(there("in/.coco-sync"));
    end_live();
}

static void sync_leaves_no_trace_and_is_exact(void **state)
{
    char text[20];

    (void)state;
    begin_live();
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "%d", i);
        if (i % 2) put("in/a", text);
        else put_whole("in/a", text);
        in_sync();
        assert_string_equal(content_of("out/a"), text);
    }
    assert_int_equal(check_same(), 1);
    end_live();
}

static void sync_lists_anew_where_there_is_no_cookie(void **state)
{
    (void)state;
    plan.walk.poll_ms = 60000;
    begin_live();
    put("in/a", "1");
    in_sync();
    assert_string_equal(content_of("out/a"), "1");
    end_live();
}

/* ---- Everything at once ---------------------------------------------------------------------------------------- */

static unsigned seed;

static int some(int n)
{
    seed = seed * 1664525u + 1013904223u;
    return (int)(seed >> 8) % n;
}

static void name_some(char *path, size_t size, int depth)
{
    size_t n = (size_t)snprintf(path, size, "in");

    for (int i = 0; i < depth; i++) n += (size_t)snprintf(path + n, size - n, "/d%d", some(4));
}

static void edit_something(void)
{
    char path[200], other[200], text[20];
    struct stat st;

    name_some(path, sizeof path, 1 + some(3));
    name_some(other, sizeof other, 1 + some(3));
    snprintf(text, sizeof text, "%d", some(1000000));
    switch (some(8)) {
    case 0: mkdir(path, 0777); break;
    case 1: if (lstat(path, &st) == 0) remove_tree(path); break;
    case 2: rename(path, other); break;
    case 3: rename(path, "away"); if (there("away")) remove_tree("away"); break;
    default:
        make_parents(path);
        strcat(path, some(2) ? "/f" : "/g");
        make_parents(path);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) break;
        if (some(2)) put(path, text);
        else put_whole(path, text);
    }
}

static void random_edits_end_as_a_fresh_run_would(void **state)
{
    const char *given = getenv("SEED");

    (void)state;
    seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
    print_message("SEED=%u\n", seed);
    begin_live();
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 60; i++) edit_something();
        if (round % 3 == 0) pass(some(30));
        if (round % 7 == 3) coco__fs_hooks.hold = true;
        if (round % 7 == 5) coco__fs_hooks.hold = false;
        if (round % 7 != 3 && round % 7 != 4) {
            in_sync();
            check_same();
        }
    }
    coco__fs_hooks.hold = false;
    end_live();
}

/* Watches and descriptors don't grow with what comes and goes. */
static void descriptors_stay_flat(void **state)
{
    int before;

    (void)state;
    begin_live();
    put("in/a/b", "1");
    in_sync();
    before = descriptors();
    for (int i = 0; i < 100; i++) {
        put("in/d/e/f", "1");
        in_sync();
        remove_tree("in/d");
    }
    in_sync();
    assert_int_equal(descriptors(), before);
    end_live();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(initial_files_are_processed_before_it_is_ready),
        TEST(file_renamed_into_place_is_processed_at_once),
        TEST(file_closed_after_writing_is_processed_at_once),
        TEST(file_that_is_being_written_is_processed_when_it_is_closed),
        TEST(file_that_stays_open_is_processed_after_a_quiet_time),
        TEST(close_ms_gathers_what_is_closed_again_and_again),
        TEST(deleted_file_goes_and_comes_back),
        TEST(file_moved_away_and_written_anew_is_no_delete),
        TEST(new_mode_or_time_alone_writes_nothing),
        TEST(hard_and_symbolic_links_appear_at_once),
        TEST(new_directories_are_watched_and_read_at_once),
        TEST(removed_directory_takes_its_files_along),
        TEST(directory_moved_out_takes_its_files_along),
        TEST(directory_moved_in_brings_its_files),
        TEST(directory_renamed_moves_its_files),
        TEST(storm_of_renames_ends_where_the_files_are),
        TEST(edits_during_the_initial_scan_are_not_missed),
        TEST(file_that_appears_in_the_directory_that_is_listed_next_is_not_missed),
        TEST(burst_of_new_files_in_new_directories_is_caught_up),
        TEST(overflowing_queue_causes_a_rescan_not_a_loss),
        TEST(too_many_watches_are_told_and_looked_for),
        TEST(system_without_watches_is_told_and_looked_at),
        TEST(polling_finds_what_events_would_tell),
        TEST(watcher_that_dies_is_noticed),
        TEST(interval_lists_all_anew),
        TEST(watch_that_works_stays),
        TEST(file_in_a_directory_made_anew_is_seen_to_go),
        TEST(file_in_a_directory_replaced_twice_is_seen_to_go),
        TEST(base_that_goes_is_a_failure_and_taken_up_again),
        TEST(sync_waits_for_a_base_that_is_gone),
        TEST(base_that_is_replaced_is_taken_up),
        TEST(globs_apply_to_events_too),
        TEST(ignore_files_apply_to_events_and_may_change),
        TEST(target_inside_the_source_is_not_followed),
        TEST(state_and_targets_do_not_feed_the_source),
        TEST(links_are_followed_and_may_change),
        TEST(links_that_are_skipped_are_not_followed),
        TEST(name_that_is_not_utf8_is_reported),
        TEST(file_becomes_a_directory_and_back),
        TEST(sync_waits_for_what_is_still_being_written),
        TEST(sync_leaves_no_trace_and_is_exact),
        TEST(sync_lists_anew_where_there_is_no_cookie),
        TEST(random_edits_end_as_a_fresh_run_would),
        TEST(descriptors_stay_flat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
