/* What went wrong for users of the original and has no better place among the tests: each under the name that the list
 * of such defects gives it. */
#include "harness.h"

#include "../connectors/localfs.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- Memo values ---- */

enum { VECTOR = 384, VALUES = 300 };

COCO_FN(embed, (int, i), .memo = true)
{
    float v[VECTOR];

    for (int j = 0; j < VECTOR; j++) v[j] = (float)(i * VECTOR + j);
    return coco_return(cx, coco_copy_value(cx, coco_vector(v, VECTOR)));
}

COCO_FN(embed_all, ())
{
    for (int i = 0; i < VALUES; i++) COCO_TRY(coco_call(cx, &embed, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

static off_t db_size(void)
{
    struct stat st;
    char path[100];

    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* There a vector of 1.5 KB cost 6 KB: the state was larger than the data. */
static void memo_values_cost_what_they_weigh(void **state)
{
    (void)state;
    program(&embed_all);
    update(NULL);
#ifdef COCO_SMALL
    assert_true(db_size() > 0); /* rounds of two write each page many times */
#else
    assert_true(db_size() < (off_t)(2 * VALUES * VECTOR * sizeof(float)));
#endif
    restart();
    update(NULL);
    assert_int_equal(w.result.run, 0); /* each hits */
}

/* ---- Identity ---- */

static atomic_int runs; /* by any thread */

COCO_FN(counted, (int, i), .memo = true)
{
    runs++;
    return coco_return(cx, coco_int(i));
}

static int components; /* mounted by many */

COCO_FN(many, ())
{
    for (int i = 0; i < components; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &counted, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* The command line in a child process, its output on `out`; what it ran, or 100 and more for a failure. */
static pid_t by_command_line(const char *name, const char *dir, int out)
{
    char argv[6][80] = { "", "update", "--no-env", "--db", "" };
    char *args[] = { argv[0], argv[1], argv[2], argv[3], argv[4], NULL };
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid != 0) return pid;
    snprintf(argv[0], sizeof argv[0], "%s", name);
    snprintf(argv[4], sizeof argv[4], "%s", w.dir);
    if (chdir(dir) != 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0) _exit(101);
    runs = 0;
    int rc = coco_main(5, args, &w.config, 1);
    _exit(rc ? 100 + rc : runs);
}

/* There the same functions had other names when the program was started another way, and nothing hit. */
static void identity_is_independent_of_how_the_program_starts(void **state)
{
    int status, ends[2];

    (void)state;
    program(&many);
    components = 20;
    update(NULL);
    assert_int_equal(runs, 20);
    restart();
    assert_int_equal(pipe(ends), 0);
    pid_t pid = by_command_line("/elsewhere/other-name", "/", ends[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(ends[0]), close(ends[1]);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    runs = 0;
    update(NULL);
    assert_int_equal(runs, 0);
}

/* ---- Progress ---- */

/* There the display hung, or flooded logs, where its output was piped. Nobody reads this pipe until the update has
 * ended; what it then holds is a few lines. */
static void progress_never_blocks_or_floods(void **state)
{
    static char said[1 << 16];
    int status, ends[2];
    size_t newlines = 0;
    pid_t done = 0;

    (void)state;
    program(&many);
    components = 5000;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = by_command_line("many", "/", ends[1]);
    for (int i = 0; i < 12000 && (done = waitpid(pid, &status, WNOHANG)) == 0; i++) usleep(10000);
    if (done == 0) kill(pid, SIGKILL), waitpid(pid, &status, 0);
    assert_int_equal(done, pid);
    close(ends[1]);
    for (ssize_t n, used = 0; (n = read(ends[0], said + used, sizeof said - 1 - (size_t)used)) > 0;) used += n;
    close(ends[0]);
    for (const char *p = said; (p = strchr(p, '\n')) != NULL; p++) newlines++;
    if (newlines > 40) fail_msg("%s", said);
}

/* ---- A moved output directory ---- */

static char out_dir[100];

COCO_FN(write_one, (int, i, coco_dir *, out), .memo = true)
{
    return coco_dir_declare_file(cx, out, coco_format(cx, "%d.txt", i), COCO_STR("content"));
}

COCO_FN(write_all, ())
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_text(out_dir), &out));
    for (int i = 0; i < 20; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &write_one, COCO_ARGS(coco_int(i), coco_dir_value(out)), NULL));
    return COCO_OK;
}

static int files_in(const char *dir)
{
    char path[120];
    int n = 0;

    for (int i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "%s/%d.txt", dir, i);
        n += access(path, F_OK) == 0;
    }
    return n;
}

/* There all threads slept for ever. */
static void moved_output_directory_never_hangs(void **state)
{
    char first[100];

    (void)state;
    program(&write_all);
    snprintf(out_dir, sizeof out_dir, "%s/one", w.dir);
    snprintf(first, sizeof first, "%s", out_dir);
    update(NULL);
    assert_int_equal(files_in(first), 20);
    restart();
    snprintf(out_dir, sizeof out_dir, "%s/two", w.dir);
    update(NULL);
    assert_int_equal(files_in(out_dir), 20);
    assert_int_equal(files_in(first), 0);
    update(NULL);
    assert_int_equal(w.result.inserts + w.result.updates + w.result.deletes, 0);
    drop_all();
    assert_int_equal(files_in(out_dir), 0);
}

/* ---- Memory ---- */

static size_t in_use, at_most;

/* The size stands before each allocation. */
static void *weighed_realloc(void *self, void *p, size_t n)
{
    size_t *block = p ? (size_t *)p - 2 : NULL, old = block ? block[0] : 0;

    (void)self;
    in_use -= old;
    if (n == 0) return free(block), NULL;
    if (!(block = realloc(block, n + 2 * sizeof *block))) return NULL;
    block[0] = n;
    in_use += n;
    if (in_use > at_most) at_most = in_use;
    return block + 2;
}

static int edited; /* the item with another value */

static int numbers_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    intptr_t i = (intptr_t)src->self;

    (void)cx;
    if (i == components) return 0;
    src->self = (void *)(i + 1);
    *key = coco_int(i);
    *value = coco_int(i == edited ? -1 : i);
    return 1;
}

COCO_FN(from_source, ())
{
    coco_source *src = coco_source_new(cx);

    if (!src) return coco_error(cx);
    src->ordered = true;
    src->next = numbers_next;
    return coco_mount_each(cx, COCO_AUTO, &counted, src, COCO_NOARGS);
}

/* Bytes at most while one of n components changes. */
static size_t bytes_for_a_change_among(int n)
{
    components = n;
    edited = -1;
    program(&from_source);
    w.config.guard_states = 1u << 30;
    update(NULL);
    restart();
    edited = n / 2;
    at_most = in_use;
    runs = 0;
    update(NULL);
    restart();
    assert_int_equal(runs, 1);
    return at_most;
}

/* There every component cost 4.4 KB of memory, changed or not. */
static void cost_follows_the_change_not_the_size_in_memory(void **state)
{
    size_t few, lots;

    (void)state;
    w.env_config.allocator.realloc = weighed_realloc;
    w.env_config.on_event = NULL;
    few = bytes_for_a_change_among(2000);
    lots = bytes_for_a_change_among(40000);
    if (lots > few + (64 << 10)) fail_msg("%zu bytes among 2,000 components, %zu among 40,000", few, lots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memo_values_cost_what_they_weigh),
        TEST(identity_is_independent_of_how_the_program_starts),
        TEST(progress_never_blocks_or_floods),
        TEST(moved_output_directory_never_hangs),
        TEST(cost_follows_the_change_not_the_size_in_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
