/* test_host.c - what a host program sees: updates that are started and awaited, several apps at once, calls from any
 * thread, no growth over thousands of updates, and a clear error after fork (S10.1, S11.2). */
#include "harness.h"

#include <dirent.h>
#include <sys/wait.h>
#include <time.h>

static _Atomic int gate, inside;

static void nap(long ms) { nanosleep(&(struct timespec){ 0, ms * 1000000 }, NULL); }

/* Stays inside until the gate opens, or a stop. */
COCO_FN(held, (int64_t, i))
{
    (void)i;
    inside++;
    while (!gate && coco_checkpoint(cx) == COCO_OK) nap(1);
    inside--;
    return coco_checkpoint(cx);
}

static int64_t nitems = 3;
static coco_target *tab;

COCO_FN(row, (int64_t, i), .memo = true) { return coco_declare(cx, tab, coco_int(i), coco_int(i * 10)); }

COCO_FN(rows_main, ())
{
    COCO_TRY(mount_tab(cx, "tab", coco_null(), &tab));
    for (int64_t i = 0; i < nitems; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &row, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}
COCO_FN(held_main, ())
{
    COCO_TRY(coco_use_mount(cx, COCO_PATH(coco_text("first")), &rows_main, COCO_NOARGS, NULL));
    return coco_mount(cx, COCO_AUTO, &held, COCO_ARGS(coco_int(0)), NULL);
}
COCO_FN(quiet_main, ()) { return coco_return(cx, coco_text("done")); }

static void wait_inside(int n)
{
    for (int i = 0; i < 10000 && inside < n; i++) nap(1);
    assert_int_equal(inside, n);
}

static uint64_t starts_of(const char *name)
{
    coco_stats s;
    uint64_t n = 0;

    assert_int_equal(coco_stats_get(w.app, &s), COCO_OK);
    for (size_t i = 0; i < s.nfns; i++)
        if (strcmp(s.fns[i].name, name) == 0) n = s.fns[i].starts;
    coco_stats_free(&s);
    return n;
}

static void begin(const coco_fn *main_fn)
{
    gate = 0;
    nitems = 3;
    program(main_fn);
    assert_int_equal(open_world(), COCO_OK);
}

/* S10.1 */
static void started_update_can_be_watched_and_awaited(void **state)
{
    coco_running *u;
    coco_result r;

    (void)state;
    begin(&held_main);
    assert_int_equal(coco_update_start(w.app, NULL, &u, &w.err), COCO_OK);
    wait_inside(1);
    assert_false(coco_update_done(u));
    assert_int_equal(starts_of("row"), 3);
    assert_int_equal(coco_update(w.app, NULL, NULL, &w.err), COCO_EBUSY); /* one at a time */
    gate = 1;
    assert_int_equal(coco_update_wait(u, &r, &w.err), COCO_OK);
    assert_true(r.inserts >= 4);
    coco_result_free(&r);
}

static void started_update_can_be_stopped(void **state)
{
    coco_running *u;

    (void)state;
    begin(&held_main);
    assert_int_equal(coco_update_start(w.app, NULL, &u, &w.err), COCO_OK);
    wait_inside(1);
    coco_app_stop(w.app);
    assert_int_equal(coco_update_wait(u, NULL, &w.err), COCO_ESTOP);
    gate = 1;
    update(NULL); /* the next one finishes */
    expect_nothing_written();
}

static void failure_of_a_started_update_is_what_wait_returns(void **state)
{
    coco_running *u;

    (void)state;
    begin(&quiet_main);
    assert_int_equal(coco_update_start(w.app, OPTS(.only = "/\"nowhere\""), &u, &w.err), COCO_OK);
    assert_int_equal(coco_update_wait(u, NULL, &w.err), COCO_ENOTFOUND);
    assert_non_null(strstr(w.err.msg, "nowhere"));
}

/* ---- Several apps ------------------------------------------------------------------------------------------------ */

static _Atomic int applying, overlaps;

static coco_status apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    (void)self, (void)actions, (void)n, (void)err;
    if (applying++) overlaps++;
    nap(1);
    applying--;
    return COCO_OK;
}
static coco_sink counter_sink = { .apply = apply, .name = "counter" };
static coco_status keep_one(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    (void)self;
    out->act = in->npossible == 0 || !in->desired;
    out->action.kind = in->desired ? COCO_INSERT : COCO_DELETE;
    if (in->desired) out->record = coco_copy(cx, COCO_STR("1"));
    return COCO_OK;
}
static coco_status counter_make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    (void)cx, (void)key;
    *out = (coco_target_handler){ .name = "counter", .sink = &counter_sink, .reconcile = keep_one };
    return COCO_OK;
}
static coco_target_type counter = { "counter", counter_make, NULL };
COCO_AT_START(counter) { coco_target_register(&counter); }

COCO_FN(counts, (int64_t, i))
{ return coco_declare(cx, coco_target_new(cx, "counter", coco_null(), "counter"), coco_int(i), coco_int(i)); }
COCO_FN(counts_main, ())
{
    for (int64_t i = 0; i < 100; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &counts, COCO_ARGS(coco_int(i)), NULL));
    return coco_mount(cx, COCO_AUTO, &held, COCO_ARGS(coco_int(0)), NULL);
}

enum { APPS = 4 };

/* Opens APPS apps, in one environment or in one each, and updates them at once; all are inside at the same time. */
static void update_at_once(bool one_env)
{
    coco_env *envs[APPS];
    coco_app *apps[APPS];
    coco_running *u[APPS];
    coco_result r;
    char dirs[APPS][100], names[APPS][16], file[500];
    static const char *const files[] = { "data.mdb", "lock.mdb", "cocoindex.lock" };

    gate = 0;
    for (int i = 0; i < APPS; i++) {
        coco_env_config config = w.env_config;
        snprintf(dirs[i], sizeof dirs[i], "%s-%d", w.dir, one_env ? 0 : i);
        snprintf(names[i], sizeof names[i], "app%d", i);
        config.db = dirs[i];
        config.on_event = NULL;
        if (i && one_env) envs[i] = envs[0];
        else assert_int_equal(coco_env_open(&config, &envs[i], &w.err), COCO_OK);
        const coco_app_config app = { .name = names[i], .main = &counts_main, .threads = (unsigned)i % 3,
                                      .max_inflight = 10 };
        assert_int_equal(coco_app_open(envs[i], &app, &apps[i], &w.err), COCO_OK);
    }
    for (int i = 0; i < APPS; i++) assert_int_equal(coco_update_start(apps[i], NULL, &u[i], &w.err), COCO_OK);
    wait_inside(APPS);
    gate = 1;
    for (int i = 0; i < APPS; i++) {
        assert_int_equal(coco_update_wait(u[i], &r, &w.err), COCO_OK);
        assert_int_equal(r.inserts, 100);
        coco_result_free(&r);
        coco_app_close(apps[i]);
    }
    for (int i = 0; i < (one_env ? 1 : APPS); i++) {
        coco_env_close(envs[i]);
        for (size_t f = 0; f < 3; f++) snprintf(file, sizeof file, "%s/%s", dirs[i], files[f]), unlink(file);
        rmdir(dirs[i]);
    }
}

/* S11.2 */
static void apps_of_one_environment_update_at_once(void **state)
{
    (void)state;
    update_at_once(true);
}

/* S11.2; the sink is one and the same, and doesn't apply twice at a time. */
static void apps_of_several_environments_update_at_once(void **state)
{
    (void)state;
    overlaps = 0;
    update_at_once(false);
    assert_int_equal(overlaps, 0);
}

/* ---- Again and again --------------------------------------------------------------------------------------------- */

static int open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;

    for (; d && readdir(d);) n++;
    if (d) closedir(d);
    return n;
}

/* Every tenth update has something to do. */
static void thousands_of_updates_grow_neither_memory_nor_files(void **state)
{
    const char *many = getenv("UPDATES");
    int n = many ? atoi(many) : 1000;
    long live = 0;
    int files = 0;

    (void)state;
    begin(&rows_main);
    w.env_config.on_event = NULL;
    restart();
    for (int i = 0; i < n; i++) {
        nitems = 3 + i / 10 % 2;
        update(NULL);
        coco_result_free(&w.result);
        if (i == 50) live = w.live, files = open_files();
    }
    assert_in_range(w.live, 1, live + 2);
    assert_int_equal(open_files(), files);
}

/* ---- From any thread --------------------------------------------------------------------------------------------- */

static coco_status nothing(void *user, const coco_component_info *info)
{
    (void)user, (void)info;
    return COCO_OK;
}

static void *looks_around(void *arg)
{
    coco_err err;
    coco_stats s;
    const coco_inspect_visitor v = { .component = nothing };
    long failures = 0;

    (void)arg;
    for (int i = 0; i < 50; i++) {
        failures += coco_stats_get(w.app, &s) != COCO_OK;
        coco_stats_free(&s);
        failures += coco_inspect(w.env, "test", NULL, 0, &v, &err) != COCO_OK;
        failures += coco_check(w.env, NULL, &(coco_check_opts){ .same_process = true }, NULL, &err) != COCO_OK;
    }
    return (void *)failures;
}

/* S10.3, S11.6 */
static void statistics_inspection_and_check_work_on_any_thread_beside_updates(void **state)
{
    pthread_t threads[3];
    void *failures;

    (void)state;
    begin(&rows_main);
    w.config.threads = 2;
    restart();
    update(NULL);
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, looks_around, NULL);
    for (int i = 0; i < 30; i++) {
        nitems = 3 + i % 5;
        update(NULL);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &failures);
        assert_null(failures);
    }
}

/* ---- After fork -------------------------------------------------------------------------------------------------- */

static coco_status one_app(void *user, const char *app, bool has_run)
{
    (void)user, (void)app, (void)has_run;
    return COCO_OK;
}

/* The number of the first call in the child that isn't refused; 0: all are. */
static int refused(void)
{
    coco_err err;
    coco_stats s;
    coco_app *app;
    coco_running *u;
    const coco_inspect_visitor v = { .component = nothing };
    const coco_app_config another = { .name = "another", .main = &quiet_main };

    if (coco_update(w.app, NULL, NULL, &err) != COCO_EFORK || !strstr(err.msg, "fork")) return 1;
    if (coco_update_start(w.app, NULL, &u, &err) != COCO_EFORK) return 2;
    if (coco_drop(w.app, NULL, &err) != COCO_EFORK) return 3;
    if (coco_forget(w.app, "shelf:\"tab\"", &err) != COCO_EFORK) return 4;
    if (coco_app_open(w.env, &another, &app, &err) != COCO_EFORK) return 5;
    if (coco_env_setup(w.env, &err) != COCO_EFORK) return 6;
    if (coco_app_setup(w.app, &err) != COCO_EFORK) return 7;
    if (coco_inspect(w.env, "test", NULL, 0, &v, &err) != COCO_EFORK) return 8;
    if (coco_inspect_apps(w.env, one_app, NULL, &err) != COCO_EFORK) return 9;
    if (coco_check(w.env, NULL, NULL, NULL, &err) != COCO_EFORK) return 10;
    if (coco_stats_get(w.app, &s) != COCO_EFORK) return 11;
    if (coco_app_set_param(w.app, "p", "2", &err) != COCO_EFORK) return 12;
    return 0;
}

/* S11.2; and what closes does no harm to the parent's. */
static void every_call_after_fork_is_refused(void **state)
{
    static const coco_param_def params[] = { { "p", "1", "" }, { 0 } };
    int status;
    pid_t pid;

    (void)state;
    begin(&rows_main);
    restart();
    w.config.params = params;
    update(NULL);
    if ((pid = fork()) == 0) {
        int n = refused();
        coco_app_close(w.app);
        coco_env_close(w.env);
        _exit(n);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    nitems = 5;
    update(NULL);
    expect_nothing_written();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(started_update_can_be_watched_and_awaited),
        TEST(started_update_can_be_stopped),
        TEST(failure_of_a_started_update_is_what_wait_returns),
        TEST(apps_of_one_environment_update_at_once),
        TEST(apps_of_several_environments_update_at_once),
        TEST(thousands_of_updates_grow_neither_memory_nor_files),
        TEST(statistics_inspection_and_check_work_on_any_thread_beside_updates),
        TEST(every_call_after_fork_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
