/* test_inspect.c - coco_inspect and coco_inspect_apps by the public API: what they tell, in which order, beside a
 * running update and from another process (S10.3, S11.5, S11.6).
 *
 * The program under test is chosen by `plan`: main mounts one component an item, each of which declares states into a
 * target that keeps nothing. Run as `test_inspect look DIR` the program is the other process: it prints what it sees, a
 * component a line; as `test_inspect grow DIR` it updates, with far more components than there were. */
#include "../cocoindex.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

/* ---- A target that keeps nothing ------------------------------------------------------------------------------- */

static bool refuse_deletes;

static coco_status shelf_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    (void)self;
    for (size_t i = 0; i < n; i++)
        if (refuse_deletes && actions[i]->kind == COCO_DELETE) return coco_err_set(err, COCO_EIO, "refused");
    return COCO_OK;
}

static coco_sink shelf_sink = { .apply = shelf_apply, .name = "shelf" };

static coco_status shelf_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    (void)cx, (void)self;
    if (!in->desired) {
        out->act = true;
        out->action.kind = COCO_DELETE;
        return COCO_OK;
    }
    out->record = coco_text_of(*in->desired);
    if (in->npossible == 1 && !in->may_be_missing && coco_str_equal(in->possible[0], out->record)) return COCO_OK;
    out->act = true;
    out->action.kind = in->npossible ? COCO_UPDATE : COCO_INSERT;
    return COCO_OK;
}

static coco_status shelf_make(coco_ctx *cx, coco_value key, coco_target_handler *out);

static coco_status shelf_child(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
                               coco_target_handler *out)
{
    (void)self, (void)desired, (void)record;
    return shelf_make(cx, key, out);
}

static coco_status shelf_make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    (void)cx, (void)key;
    *out = (coco_target_handler){ .name = "shelf", .sink = &shelf_sink, .reconcile = shelf_reconcile,
                                  .child = shelf_child };
    return COCO_OK;
}

static coco_target_type shelf_type = { .name = "shelf", .make = shelf_make };
COCO_AT_START(shelf) { coco_target_register(&shelf_type); }

/* ---- The program ----------------------------------------------------------------------------------------------- */

COCO_FN_DECLARE(item);
COCO_FN_DECLARE(length);

/* What the program does in this test. */
static struct plan {
    int nitems;                /* named a0000, a0001 … */
    int nstates;               /* of each; 0: one */
    const char *text;          /* value of the items */
    bool box;                  /* main declares a container, and a state in it */
    bool longer;               /* main mounts a component with a long path that declares a state with a long key */
    bool deep;                 /* main mounts a component below two inner nodes */
    void (*inside)(void);      /* called by the last item, while the update runs */
} plan;

COCO_FN(length, (coco_str, s), .memo = true)
{
    return coco_return(cx, coco_int((int64_t)s.n));
}

COCO_FN(item, (coco_str, name), .memo = true, .version = 3)
{
    coco_target *shelf = coco_target_new(cx, "shelf", coco_text("top"), NULL);
    coco_str number = { name.p + 1, 4 };
    int n = atoi(coco_copy(cx, number).p);

    COCO_TRY(coco_call(cx, &length, COCO_ARGS(coco_text_n(name)), NULL));
    for (int i = 0; i < (plan.nstates ? plan.nstates : 1); i++)
        COCO_TRY(coco_declare(cx, shelf, coco_int(100000 * n + i), coco_text_n(name)));
    if (plan.inside && n == plan.nitems - 1) plan.inside();
    return COCO_OK;
}

COCO_FN(leaf, ()) { return COCO_OK; }

COCO_FN(long_leaf, (coco_str, name))
{
    return coco_declare(cx, coco_target_new(cx, "shelf", coco_text("top"), NULL), coco_text_n(name), coco_text("x"));
}

COCO_FN(app_main, ())
{
    size_t n = (size_t)plan.nitems;
    coco_value *keys = coco_alloc(cx, (n + 1) * sizeof *keys), *values = coco_alloc(cx, (n + 1) * sizeof *values);
    coco_target *shelf = coco_target_new(cx, "shelf", coco_text("top"), NULL), *box;
    coco_source *src;

    COCO_TRY(coco_error(cx));
    for (size_t i = 0; i < n; i++) {
        keys[i] = coco_text_n(coco_format(cx, "a%04zu", i));
        values[i] = coco_text_n(coco_format(cx, "a%04zu%s", i, plan.text ? plan.text : ""));
    }
    if (plan.box) {
        COCO_TRY(coco_declare_container(cx, shelf, coco_text("box"), coco_text("wood"), NULL, &box));
        COCO_TRY(coco_declare(cx, box, coco_text("thing"), coco_text("x")));
    }
    if (plan.deep) {
        coco_path path = COCO_PATH(coco_text("z"), coco_int(1), coco_text("x/y"));
        COCO_TRY(coco_mount(cx, path, &leaf, COCO_NOARGS, NULL));
    }
    if (plan.longer) {
        coco_value name = coco_text_n(coco_format(cx, "%03000d", 7));
        COCO_TRY(coco_mount(cx, COCO_PATH(name, name), &long_leaf, COCO_ARGS(name), NULL));
    }
    src = coco_source_of(cx, keys, values, n);
    COCO_TRY(coco_error(cx));
    src->title = "items";
    return coco_mount_each(cx, COCO_AUTO, &item, src, COCO_NOARGS);
}

/* ---- The harness ----------------------------------------------------------------------------------------------- */

static char db[] = "/tmp/coco-inspect-XXXXXX";
static size_t map_size; /* 0: the default */
static const char *program;
static _Atomic long live; /* allocations not freed */
static long fail_at;      /* the allocation to fail, counted down; 0: none */
static coco_env *env;
static coco_app *app;

static void *counted(void *self, void *p, size_t n)
{
    (void)self;
    if (n == 0) {
        live -= p != NULL;
        free(p);
        return NULL;
    }
    if (fail_at && --fail_at == 0) return NULL;
    live += p == NULL;
    return realloc(p, n);
}

static void open_env(bool read_only)
{
    coco_env_config config = { .db = db, .allocator = { counted, NULL }, .read_only = read_only, .map_size = map_size };
    coco_err err = { 0 };

    if (coco_env_open(&config, &env, &err) != COCO_OK) fail_msg("%s", err.msg);
}

static void open_app(void)
{
    coco_app_config config = { .name = "test", .main = &app_main };
    coco_err err = { 0 };

    open_env(false);
    if (coco_app_open(env, &config, &app, &err) != COCO_OK) fail_msg("%s", err.msg);
}

static void close_all(void)
{
    coco_app_close(app);
    coco_env_close(env);
    app = NULL;
    env = NULL;
}

static coco_status update(void)
{
    return coco_update(app, NULL, NULL, NULL);
}

/* Updates as the plan says, in an environment of its own, and leaves it open for reading alone. */
static void recorded(void)
{
    open_app();
    assert_int_equal(update(), COCO_OK);
    close_all();
    open_env(true);
}

static int setup(void **state)
{
    (void)state;
    memset(&plan, 0, sizeof plan);
    refuse_deletes = false;
    fail_at = 0;
    map_size = 0;
    strcpy(db + strlen(db) - 6, "XXXXXX");
    return mkdtemp(db) == NULL;
}

static int teardown(void **state)
{
    static const char *const files[] = { "data.mdb", "lock.mdb", "cocoindex.lock" };
    char path[sizeof db + 32];

    (void)state;
    close_all();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", db, files[i]);
        unlink(path);
    }
    rmdir(db);
    if (live != 0) print_error("%ld allocations not freed\n", live);
    return live != 0;
}

/* What a visit saw. */
static struct seen {
    char paths[200000], states[20000]; /* a line each; a state's is "PATH STATE" */
    int ncomponents, nstates, stop_after;
    coco_component_info last, root;    /* strings below */
    char function[64], reason[200], source[64];
    coco_state_info state;
    coco_err err;
} seen;

static coco_status see(void *user, const coco_component_info *info)
{
    size_t n = strlen(seen.paths);

    (void)user;
    if (n + 300 < sizeof seen.paths) snprintf(seen.paths + n, sizeof seen.paths - n, "%s\n", info->path);
    seen.last = *info;
    if (info->depth == 0) seen.root = *info;
    snprintf(seen.function, sizeof seen.function, "%s", info->function ? info->function : "-");
    snprintf(seen.reason, sizeof seen.reason, "%s", info->reason ? info->reason : "-");
    if (info->source) snprintf(seen.source, sizeof seen.source, "%s %s", info->path, info->source);
    return ++seen.ncomponents == seen.stop_after ? COCO_EFAIL : COCO_OK;
}

static coco_status see_state(void *user, const coco_component_info *info, const coco_state_info *state)
{
    size_t n = strlen(seen.states);

    (void)user;
    snprintf(seen.states + n, sizeof seen.states - n, "%s %s\n", info->path, state->state);
    seen.state = *state;
    seen.nstates++;
    return COCO_OK;
}

static const coco_inspect_visitor components = { NULL, see, NULL }, everything = { NULL, see, see_state };

/* The same lines, of any length, in seen.states. */
static coco_status see_long(void *user, const coco_component_info *info)
{
    size_t n = strlen(seen.states);

    (void)user;
    assert_true(snprintf(seen.states + n, sizeof seen.states - n, "%s\n", info->path) < (int)(sizeof seen.states - n));
    return COCO_OK;
}

static const coco_inspect_visitor long_texts = { NULL, see_long, see_state };

static coco_status look(const char *path, int depth, const coco_inspect_visitor *v)
{
    int stop_after = seen.stop_after;

    memset(&seen, 0, sizeof seen);
    seen.stop_after = stop_after;
    return coco_inspect(env, "test", path, depth, v, &seen.err);
}

/* ---- What is told ---------------------------------------------------------------------------------------------- */

static void components_come_in_path_order(void **state)
{
    (void)state;
    plan = (struct plan){ .nitems = 2, .deep = true };
    recorded();
    assert_int_equal(look(NULL, 0, &components), COCO_OK);
    assert_string_equal(seen.paths, "/\n/@item\n/@item/\"a0000\"\n/@item/\"a0001\"\n"
                                    "/\"z\"\n/\"z\"/1\n/\"z\"/1/\"x/y\"\n");
}

static void a_component_is_told_with_what_it_is(void **state)
{
    (void)state;
    plan = (struct plan){ .nitems = 1, .nstates = 2 };
    recorded();
    assert_int_equal(look("/@item/\"a0000\"", 0, &components), COCO_OK);
    assert_int_equal(seen.ncomponents, 1);
    assert_string_equal(seen.function, "item");
    assert_string_equal(seen.reason, "never run");
    assert_int_equal(seen.last.depth, 2);
    assert_int_equal(seen.last.version, 3);
    assert_int_equal(seen.last.nstates, 2);
    assert_int_equal(seen.last.nmemos, 1);
    assert_int_equal(seen.last.run, 1);
    assert_true(seen.last.memo && !seen.last.pending && !seen.last.tombstone);
    assert_true(seen.last.bytes > 30 && seen.last.bytes < 1000);
    assert_true(seen.last.time > 1600000000000);
    assert_null(seen.last.source);
}

static void an_inner_node_has_no_function_and_may_have_a_source(void **state)
{
    (void)state;
    plan.nitems = 1;
    recorded();
    assert_int_equal(look("/@item", 0, &components), COCO_OK);
    assert_string_equal(seen.source, "/@item items");
    assert_int_equal(look("/", 1, &components), COCO_OK);
    assert_string_equal(seen.function, "-");
    assert_string_equal(seen.reason, "-");
    assert_int_equal(seen.root.depth, 0);
}

static void depth_limits_the_levels_below(void **state)
{
    (void)state;
    plan = (struct plan){ .nitems = 1, .deep = true };
    recorded();
    assert_int_equal(look("/", 1, &components), COCO_OK);
    assert_string_equal(seen.paths, "/\n/@item\n/\"z\"\n");
    assert_int_equal(look("/", 2, &components), COCO_OK);
    assert_string_equal(seen.paths, "/\n/@item\n/@item/\"a0000\"\n/\"z\"\n/\"z\"/1\n");
    assert_int_equal(look("/\"z\"", 1, &components), COCO_OK);
    assert_string_equal(seen.paths, "/\"z\"\n/\"z\"/1\n");
    assert_int_equal(seen.last.depth, 2);
}

static void the_reason_is_that_of_the_last_run(void **state)
{
    (void)state;
    plan.nitems = 1;
    recorded();
    close_all();
    plan.text = "changed";
    recorded();
    assert_int_equal(look("/@item/\"a0000\"", 0, &components), COCO_OK);
    assert_string_equal(seen.reason, "input changed (argument name)");
    assert_int_equal(seen.last.run, 2);
}

static void states_print_as_title_and_key(void **state)
{
    (void)state;
    plan = (struct plan){ .nitems = 1, .box = true };
    recorded();
    assert_int_equal(look("/", 0, &everything), COCO_OK);
    assert_string_equal(seen.states, "/ top:\"box\"\n/ box:\"thing\"\n/@item/\"a0000\" top:0\n");
    assert_int_equal(seen.state.bytes, 5);
    assert_false(seen.state.container || seen.state.in_flight);
}

static void thousands_of_states_of_one_component_all_come_once(void **state)
{
    (void)state;
    plan = (struct plan){ .nitems = 1, .nstates = 5000 };
    recorded();
    assert_int_equal(look("/@item/\"a0000\"", 0, &everything), COCO_OK);
    assert_int_equal(seen.ncomponents, 1);
    assert_int_equal(seen.nstates, 5000);
    assert_int_equal(seen.last.nstates, 5000);
    assert_int_equal(seen.last.nmemos, 1);
    assert_true(seen.last.bytes > 50000);
    assert_non_null(strstr(seen.states, "top:0\n/@item/\"a0000\" top:1\n/@item/\"a0000\" top:2\n"));
}

static void long_paths_and_keys_are_told_in_full(void **state)
{
    char name[3001], path[6100], text[16000];

    (void)state;
    plan.longer = true;
    recorded();
    snprintf(name, sizeof name, "%03000d", 7);
    snprintf(path, sizeof path, "/\"%s\"/\"%s\"", name, name);
    assert_int_equal(look(path, 0, &long_texts), COCO_OK);
    snprintf(text, sizeof text, "%s\n%s top:\"%s\"\n", path, path, name);
    assert_string_equal(seen.states, text);
    assert_int_equal(look("/", 0, &long_texts), COCO_OK);
    assert_non_null(strstr(seen.states, text));
}

static void fifteen_hundred_components_all_come_in_order(void **state)
{
    char line[40];
    const char *at = seen.paths;

    (void)state;
    plan.nitems = 1500;
    recorded();
    assert_int_equal(look("/@item", 0, &everything), COCO_OK);
    assert_int_equal(seen.ncomponents, 1501);
    assert_int_equal(seen.nstates, 1500);
    for (int i = 0; i < 1500; i++) {
        snprintf(line, sizeof line, "\n/@item/\"a%04d\"\n", i);
        assert_non_null(at = strstr(at, line));
    }
}

static void what_is_gone_and_not_yet_deleted_is_marked(void **state)
{
    (void)state;
    plan.nitems = 2;
    recorded();
    close_all();
    open_app();
    plan.nitems = 1;
    refuse_deletes = true;
    assert_int_equal(update(), COCO_EFAIL);
    assert_int_equal(look("/@item/\"a0001\"", 0, &components), COCO_OK);
    assert_true(seen.last.tombstone);
    assert_int_equal(look("/@item/\"a0000\"", 0, &components), COCO_OK);
    assert_false(seen.last.tombstone);
    refuse_deletes = false;
    assert_int_equal(update(), COCO_OK);
    assert_int_equal(look("/@item/\"a0001\"", 0, &components), COCO_ENOTFOUND);
}

static void what_a_refused_delete_leaves_is_in_flight(void **state)
{
    (void)state;
    plan.nitems = 1;
    recorded();
    close_all();
    open_app();
    plan.nitems = 0;
    refuse_deletes = true;
    assert_int_equal(update(), COCO_EFAIL);
    assert_int_equal(look("/@item/\"a0000\"", 0, &everything), COCO_OK);
    assert_int_equal(seen.nstates, 1);
    assert_true(seen.state.in_flight && seen.last.pending);
}

/* ---- What can go wrong ----------------------------------------------------------------------------------------- */

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    plan.nitems = 1;
    recorded();
    assert_int_equal(look("/\"nosuch\"", 0, &components), COCO_ENOTFOUND);
    assert_non_null(strstr(seen.err.msg, "/\"nosuch\""));
    assert_int_equal(look("/@item/\"a0000\"/1", 0, &components), COCO_ENOTFOUND);
    assert_int_equal(coco_inspect(env, "nosuch", NULL, 0, &components, &seen.err), COCO_ENOTFOUND);
    assert_non_null(strstr(seen.err.msg, "nosuch"));
    assert_int_equal(seen.ncomponents, 0);
}

static void a_path_that_is_none_is_refused(void **state)
{
    (void)state;
    plan.nitems = 1;
    recorded();
    assert_int_equal(look("/\"open", 0, &components), COCO_EPARSE);
    assert_int_equal(look("", 0, &components), COCO_EPARSE);
}

static void the_visitor_ends_the_visit(void **state)
{
    (void)state;
    plan.nitems = 5;
    recorded();
    seen.stop_after = 3;
    assert_int_equal(look("/", 0, &components), COCO_EFAIL);
    assert_int_equal(seen.ncomponents, 3);
    seen.stop_after = 0;
}

/* Spoils the record whose key holds the text. */
static void damage(const char *text)
{
    MDB_env *mdb;
    MDB_txn *txn;
    MDB_cursor *cur;
    MDB_dbi dbi;
    MDB_val key, data;
    char bytes[4096], *record = NULL;

    assert_int_equal(mdb_env_create(&mdb), 0);
    mdb_env_set_maxdbs(mdb, 4);
    assert_int_equal(mdb_env_open(mdb, db, 0, 0666), 0);
    assert_int_equal(mdb_txn_begin(mdb, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "app:test", 0, &dbi), 0);
    assert_int_equal(mdb_cursor_open(txn, dbi, &cur), 0);
    while (!record && mdb_cursor_get(cur, &key, &data, MDB_NEXT) == 0) {
        const char *k = key.mv_data; /* 'C', 8 bytes of parent, a tag, the text */
        if (*k != 'C' || key.mv_size < 10 + strlen(text) || memcmp(k + 10, text, strlen(text)) != 0) continue;
        assert_true(data.mv_size <= sizeof bytes);
        record = memcpy(bytes, data.mv_data, data.mv_size);
    }
    assert_non_null(record);
    bytes[data.mv_size - 1] ^= 1;
    data.mv_data = bytes;
    assert_int_equal(mdb_cursor_put(cur, &key, &data, MDB_CURRENT), 0);
    mdb_cursor_close(cur);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(mdb);
}

static void a_damaged_record_is_named_and_the_rest_is_visited(void **state)
{
    (void)state;
    plan.nitems = 3;
    recorded();
    close_all();
    damage("a0001");
    open_env(true);
    assert_int_equal(look("/", 0, &components), COCO_ECORRUPT);
    assert_non_null(strstr(seen.err.msg, "/@item/\"a0001\""));
    assert_string_equal(seen.paths, "/\n/@item\n/@item/\"a0000\"\n/@item/\"a0002\"\n");
}

static void lack_of_memory_is_an_error_wherever_it_comes(void **state)
{
    coco_status rc = COCO_ENOMEM;
    int tries = 0;

    (void)state;
    plan = (struct plan){ .nitems = 20, .box = true, .nstates = 200 };
    recorded();
    for (; rc != COCO_OK; tries++) {
        long before = live;
        fail_at = tries + 1;
        rc = look("/", 0, &everything);
        assert_true(rc == COCO_OK || rc == COCO_ENOMEM);
        assert_int_equal(live, before);
        if (fail_at > 0) break;
    }
    assert_int_equal(rc, COCO_OK);
    assert_int_equal(seen.nstates, 20 * 200 + 2);
    assert_true(tries > 5);
}

/* ---- Beside an update ------------------------------------------------------------------------------------------ */

static void look_inside(void) { assert_int_equal(look("/", 0, &everything), COCO_OK); }

static void an_update_can_be_looked_at_from_within(void **state)
{
    (void)state;
    plan.nitems = 3;
    open_app();
    assert_int_equal(update(), COCO_OK);
    plan = (struct plan){ .nitems = 4, .inside = look_inside, .text = "changed" };
    assert_int_equal(update(), COCO_OK);
    assert_non_null(strstr(seen.paths, "/@item/\"a0002\"\n"));
    assert_int_equal(look("/@item", 0, &components), COCO_OK);
    assert_int_equal(seen.ncomponents, 5);
}

static void look_before_anything_is_recorded(void)
{
    coco_status rc = look("/", 0, &components);

    assert_true(rc == COCO_OK || rc == COCO_ENOTFOUND);
}

static void a_first_update_can_be_looked_at(void **state)
{
    (void)state;
    plan = (struct plan){ .nitems = 50, .inside = look_before_anything_is_recorded };
    open_app();
    assert_int_equal(update(), COCO_OK);
    assert_int_equal(look("/@item", 0, &components), COCO_OK);
    assert_int_equal(seen.ncomponents, 51);
}

static atomic_bool updated;

static coco_status count(void *user, const coco_component_info *info)
{
    (void)info;
    ++*(int *)user;
    return COCO_OK;
}

static void *look_until_updated(void *failures)
{
    do {
        int n = 0;
        coco_inspect_visitor v = { &n, count, NULL };
        if (coco_inspect(env, "test", "/@item", 0, &v, NULL) != COCO_OK || n < 1501) ++*(int *)failures;
    } while (!updated);
    return NULL;
}

static void another_thread_can_look_while_an_update_runs(void **state)
{
    pthread_t thread;
    int failures = 0;

    (void)state;
    plan.nitems = 1500;
    open_app();
    assert_int_equal(update(), COCO_OK);
    updated = false;
    assert_int_equal(pthread_create(&thread, NULL, look_until_updated, &failures), 0);
    plan = (struct plan){ .nitems = 3000, .text = "changed" };
    coco_status rc = update();
    updated = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(rc, COCO_OK);
    assert_int_equal(failures, 0);
}

static coco_status see_and_update(void *user, const coco_component_info *info)
{
    if (seen.ncomponents == 0) {
        plan.nitems = 1;
        assert_int_equal(coco_update(app, &(coco_update_opts){ .allow_delete = true }, NULL, NULL), COCO_OK);
    }
    return see(user, info);
}

static void the_visitor_may_update_what_it_visits(void **state)
{
    coco_inspect_visitor v = { NULL, see_and_update, see_state };

    (void)state;
    plan.nitems = 3000;
    open_app();
    assert_int_equal(update(), COCO_OK);
    assert_int_equal(look("/", 0, &v), COCO_OK);
    assert_true(seen.ncomponents < 1100);
    assert_int_equal(look("/@item", 0, &components), COCO_OK);
    assert_int_equal(seen.ncomponents, 2);
}

static coco_status print_component(void *user, const coco_component_info *info)
{
    (void)user;
    printf("%s %s\n", info->path, info->function ? info->function : "-");
    return COCO_OK;
}

static int look_from_another_process(const char *dir)
{
    coco_env_config config = { .db = dir, .read_only = true };
    coco_inspect_visitor v = { NULL, print_component, NULL };
    coco_err err = { 0 };
    coco_env *other;
    coco_status rc = coco_env_open(&config, &other, &err);

    if (rc == COCO_OK) rc = coco_inspect(other, "test", NULL, 0, &v, &err);
    if (rc != COCO_OK) printf("%s\n", err.msg);
    coco_env_close(other);
    return rc != COCO_OK;
}

static char told[20000];
static int told_status;

static int grow_in_another_process(const char *dir)
{
    snprintf(db, sizeof db, "%s", dir);
    map_size = 262144;
    plan.nitems = 5000;
    open_app();
    coco_status rc = update();
    close_all();
    return rc != COCO_OK;
}

/* Runs the other process and waits for it. */
static void run_another_process(const char *what)
{
    int ends[2];
    size_t n = 0;
    ssize_t got;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    if ((pid = fork()) == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execl(program, program, what, db, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while ((got = read(ends[0], told + n, sizeof told - 1 - n)) > 0) n += (size_t)got;
    told[n] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &told_status, 0), pid);
}

static void ask_another_process(void) { run_another_process("look"); }

static void another_process_can_look_while_an_update_runs(void **state)
{
    (void)state;
    plan.nitems = 2;
    open_app();
    assert_int_equal(update(), COCO_OK);
    plan = (struct plan){ .nitems = 3, .inside = ask_another_process };
    assert_int_equal(update(), COCO_OK);
    assert_int_equal(told_status, 0);
    assert_non_null(strstr(told, "/ app_main\n/@item -\n/@item/\"a0000\" item\n/@item/\"a0001\" item\n"));
}

static void a_map_that_another_process_grew_is_followed(void **state)
{
    (void)state;
    plan.nitems = 1;
    map_size = 262144;
    recorded();
    run_another_process("grow");
    assert_int_equal(told_status, 0);
    assert_int_equal(look("/@item", 0, &components), COCO_OK);
    assert_int_equal(seen.ncomponents, 5001);
}

/* ---- Apps ------------------------------------------------------------------------------------------------------ */

static char apps[200];

static coco_status see_app(void *user, const char *name, bool has_run)
{
    size_t n = strlen(apps);

    snprintf(apps + n, sizeof apps - n, "%s %d\n", name, has_run);
    return *(coco_status *)user;
}

static void apps_that_have_run_are_listed(void **state)
{
    coco_app_config config = { .name = "another", .main = &leaf };
    coco_status answer = COCO_OK;
    coco_app *other;

    (void)state;
    apps[0] = '\0';
    open_app();
    assert_int_equal(coco_inspect_apps(env, see_app, &answer, NULL), COCO_OK);
    assert_string_equal(apps, "");
    assert_int_equal(update(), COCO_OK);
    assert_int_equal(coco_inspect_apps(env, see_app, &answer, NULL), COCO_OK);
    assert_string_equal(apps, "test 1\n");
    assert_int_equal(coco_app_open(env, &config, &other, NULL), COCO_OK);
    assert_int_equal(coco_update(other, NULL, NULL, NULL), COCO_OK);
    coco_app_close(other);
    close_all();
    open_env(true);
    apps[0] = '\0';
    assert_int_equal(coco_inspect_apps(env, see_app, &answer, NULL), COCO_OK);
    assert_string_equal(apps, "another 1\ntest 1\n");
    apps[0] = '\0';
    answer = COCO_EFAIL;
    assert_int_equal(coco_inspect_apps(env, see_app, &answer, NULL), COCO_EFAIL);
    assert_string_equal(apps, "another 1\n");
}

static void a_dropped_app_is_not_listed(void **state)
{
    coco_status answer = COCO_OK;

    (void)state;
    plan.nitems = 1;
    open_app();
    assert_int_equal(update(), COCO_OK);
    assert_int_equal(look(NULL, 0, &components), COCO_OK);
    assert_int_equal(coco_drop(app, NULL, NULL), COCO_OK);
    apps[0] = '\0';
    assert_int_equal(coco_inspect_apps(env, see_app, &answer, NULL), COCO_OK);
    assert_string_equal(apps, "");
    assert_int_equal(look(NULL, 0, &components), COCO_ENOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(components_come_in_path_order),
        TEST(a_component_is_told_with_what_it_is),
        TEST(an_inner_node_has_no_function_and_may_have_a_source),
        TEST(depth_limits_the_levels_below),
        TEST(the_reason_is_that_of_the_last_run),
        TEST(states_print_as_title_and_key),
        TEST(thousands_of_states_of_one_component_all_come_once),
        TEST(long_paths_and_keys_are_told_in_full),
        TEST(fifteen_hundred_components_all_come_in_order),
        TEST(what_is_gone_and_not_yet_deleted_is_marked),
        TEST(what_a_refused_delete_leaves_is_in_flight),
        TEST(what_is_not_there_is_not_found),
        TEST(a_path_that_is_none_is_refused),
        TEST(the_visitor_ends_the_visit),
        TEST(a_damaged_record_is_named_and_the_rest_is_visited),
        TEST(lack_of_memory_is_an_error_wherever_it_comes),
        TEST(an_update_can_be_looked_at_from_within),
        TEST(a_first_update_can_be_looked_at),
        TEST(another_thread_can_look_while_an_update_runs),
        TEST(the_visitor_may_update_what_it_visits),
        TEST(another_process_can_look_while_an_update_runs),
        TEST(a_map_that_another_process_grew_is_followed),
        TEST(apps_that_have_run_are_listed),
        TEST(a_dropped_app_is_not_listed),
    };

    if (argc == 3 && strcmp(argv[1], "look") == 0) return look_from_another_process(argv[2]);
    if (argc == 3 && strcmp(argv[1], "grow") == 0) return grow_in_another_process(argv[2]);
    program = argv[0];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
