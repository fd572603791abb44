/* test_random - random programs, edits, kills and sink failures against an oracle: after every update that ends
 * well, the target equals what the declarations say, and the update after that writes nothing.
 *
 * The real target lies in shared memory: it outlives the killed updates. SEED=N replays one seed, STEPS=N changes
 * its length. */
#include "dump.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TABLES = 4, ITEMS = 10, ROWS = 24, WANTS = 6, KILLED = 77 };

/* What is really there, and when the process is to die. */
static struct real {
    struct { bool there; int64_t schema; } table[TABLES];
    struct { bool there; int64_t value; } row[TABLES][ROWS];
    int actions, die_at;
} *real;

/* What a component is to declare. */
struct want { int table, row; int64_t value; };
static struct {
    bool table[TABLES], takes_content[TABLES]; /* declared; deleting it removes its rows */
    int64_t schema[TABLES];
    struct item {
        bool there, memo, fails, second_group;
        int n;
        struct want want[WANTS];
    } item[ITEMS];
} world;

static struct { int row, times; bool transient, batch; } fault; /* row -1: none */

static uint64_t state;
static int below(int n)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (int)((state >> 16) % (uint64_t)n);
}

/* ---- The target ---- */

struct work { int table, row; int64_t value; bool rebuild, lossy; };

static coco_status refuse(coco_action *a, const char *why, bool transient)
{
    coco_err err;

    if (transient) coco_transient(&err, COCO_EIO, "%s", why);
    else coco_err_set(&err, COCO_EIO, "%s", why);
    return coco_action_fail(a, &err);
}

static void apply_table(coco_action *a, const struct work *w)
{
    bool rows = false;

    for (int r = 0; r < ROWS; r++) rows |= real->row[w->table][r].there;
    if (a->kind == COCO_DELETE && rows && !world.takes_content[w->table]) {
        refuse(a, "the container isn't empty", false);
        return;
    }
    for (int r = 0; r < ROWS; r++) {
        if (a->kind == COCO_DELETE || w->rebuild) real->row[w->table][r].there = false;
        if (w->lossy) real->row[w->table][r].value = -1;
    }
    real->table[w->table].there = a->kind != COCO_DELETE;
    real->table[w->table].schema = w->value;
    a->answer = COCO_OK;
}

static void apply_row(coco_action *a, const struct work *w)
{
    if (a->kind != COCO_DELETE && !real->table[w->table].there) {
        refuse(a, "the container isn't there", false);
        return;
    }
    real->row[w->table][w->row].there = a->kind != COCO_DELETE;
    real->row[w->table][w->row].value = w->value;
    if (!fault.batch) a->answer = COCO_OK;
}

static coco_status apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    (void)self;
    for (size_t i = 0; i < n; i++) {
        const struct work *w = actions[i]->value;
        if (real->die_at && ++real->actions >= real->die_at) _exit(KILLED);
        if (actions[i]->container) {
            apply_table(actions[i], w);
        } else if (w->row == fault.row && fault.times > 0) {
            fault.times--;
            if (fault.batch) return coco_err_set(err, COCO_EIO, "the batch failed");
            refuse(actions[i], "the row failed", fault.transient);
        } else {
            apply_row(actions[i], w);
        }
    }
    return COCO_OK;
}

static coco_sink sink = { .apply = apply, .max_actions = 7, .retry_ms = 200, .name = "real" };

/* Is the one possibility known, and still there? */
static bool known(const coco_change *in, int64_t *value)
{
    if (in->may_be_missing || in->npossible != 1 || in->possible[0].n != sizeof *value) return false;
    memcpy(value, in->possible[0].p, sizeof *value);
    return true;
}

static struct work *decide(coco_ctx *cx, const coco_change *in, coco_decision *out)
{
    struct work *w = coco_alloc(cx, sizeof *w);

    if (!w) return NULL;
    out->act = true;
    out->action.value = w;
    out->action.kind = !in->desired ? COCO_DELETE : in->npossible ? COCO_UPDATE : COCO_INSERT;
    if (!in->desired) return w;
    w->value = coco_int_of(*in->desired);
    out->record = coco_copy(cx, (coco_str){ (const char *)&w->value, sizeof w->value });
    return w;
}

static coco_status reconcile_row(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    struct work *w = decide(cx, in, out);
    int64_t before;

    if (!w) return COCO_ENOMEM;
    w->table = (int)(intptr_t)self;
    w->row = (int)coco_int_of(in->key);
    if (in->desired && known(in, &before) && before == w->value) out->act = false;
    return COCO_OK;
}

/* A schema differs in its hundreds: rebuilt; in its tens: its rows lose their values; in its units: nothing
 * happens to them. */
static coco_status reconcile_table(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    struct work *w = decide(cx, in, out);
    int64_t before = 0;

    (void)self;
    if (!w) return COCO_ENOMEM;
    w->table = (int)coco_int_of(in->key);
    if (!in->desired) return COCO_OK;
    bool sure = known(in, &before);
    out->act = !sure || before != w->value;
    w->rebuild = !sure || before / 100 != w->value / 100;
    w->lossy = !w->rebuild && before / 10 != w->value / 10;
    out->children = w->rebuild ? COCO_CHILDREN_DESTROYED : w->lossy ? COCO_CHILDREN_LOSSY : COCO_CHILDREN_KEPT;
    return COCO_OK;
}

static coco_status row_handler(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
                               coco_target_handler *out)
{
    (void)cx, (void)self, (void)desired, (void)record;
    *out = (coco_target_handler){ .name = "row", .self = (void *)(intptr_t)coco_int_of(key), .sink = &sink,
                                  .reconcile = reconcile_row };
    return COCO_OK;
}

static coco_status make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    (void)cx;
    *out = (coco_target_handler){ .name = "table", .sink = &sink, .reconcile = reconcile_table, .child = row_handler,
                                  .drop_removes_content = coco_bool_of(key) };
    return COCO_OK;
}

static coco_target_type type = { .name = "random", .make = make };
COCO_AT_START(random_target) { coco_target_register(&type); }

/* ---- The program ---- */

static coco_target *target[TABLES];

static coco_status declare_item(coco_ctx *cx, int i)
{
    const struct item *item = &world.item[i];

    if (item->fails) return coco_fail(cx, COCO_EFAIL, "this item fails");
    for (const struct want *w = item->want; w < item->want + item->n; w++)
        if (world.table[w->table]) COCO_TRY(coco_declare(cx, target[w->table], coco_int(w->row), coco_int(w->value)));
    return COCO_OK;
}

/* An item's memo key is all that it declares. */
static coco_status item_key(coco_ctx *cx, coco_value in, coco_value *out)
{
    const struct item *item = &world.item[coco_int_of(in)];
    coco_value *v = coco_alloc(cx, (TABLES + 3 * WANTS + 1) * sizeof *v);
    size_t n = 0;

    if (!v) return COCO_ENOMEM;
    for (int t = 0; t < TABLES; t++) v[n++] = coco_bool(world.table[t]);
    v[n++] = coco_bool(item->fails);
    for (int k = 0; k < item->n; k++) {
        v[n++] = coco_int(item->want[k].table);
        v[n++] = coco_int(item->want[k].row);
        v[n++] = coco_int(item->want[k].value);
    }
    *out = coco_list(v, n);
    return COCO_OK;
}

COCO_FN(called, (int, i), .memo = true, .memo_key = { item_key }) { return declare_item(cx, i); }
COCO_FN(memo_item, (int, i), .memo = true, .memo_key = { item_key }) { return declare_item(cx, i); }
COCO_FN(plain_item, (int, i))
{
    return i % 3 == 0 ? coco_call(cx, &called, COCO_ARGS(coco_int(i)), NULL) : declare_item(cx, i);
}

COCO_FN(group, (int, second))
{
    for (int i = 0; i < ITEMS; i++)
        if (world.item[i].there && world.item[i].second_group == (second == 1))
            COCO_TRY(coco_mount(cx, COCO_PATH(coco_text("item"), coco_int(i)),
                                world.item[i].memo ? &memo_item : &plain_item, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* Tables 0 and 1 are components of their own, with rows from items; 2 and 3 belong to the root, with every fifth
 * row. */
static coco_status declare_table(coco_ctx *cx, int t)
{
    coco_target *root =
        coco_target_new(cx, "random", coco_bool(world.takes_content[t]), world.takes_content[t] ? "taking" : "keeping");
    coco_container_opts opts = { .title = coco_format(cx, "t%d", t).p };
    coco_value key = coco_int(t), schema = coco_int(world.schema[t]);

    target[t] = NULL;
    if (!world.table[t]) return COCO_OK;
    if (t < 2) return coco_mount_target(cx, root, key, schema, &opts, &target[t]);
    COCO_TRY(coco_declare_container(cx, root, key, schema, &opts, &target[t]));
    for (int r = 0; r < ROWS; r += 5)
        COCO_TRY(coco_declare(cx, target[t], coco_int(r), coco_int(world.schema[t] * 1000 + r)));
    return COCO_OK;
}

COCO_FN(random_main, ())
{
    const coco_value groups[] = { coco_int(0), coco_int(1) };
    coco_source *source = coco_source_of(cx, groups, groups, 2);

    for (int t = 0; t < TABLES; t++) COCO_TRY(declare_table(cx, t));
    if (source) source->ordered = true;
    return coco_mount_each(cx, COCO_AUTO, &group, source, COCO_NOARGS);
}

/* ---- Edits and the oracle ---- */

static bool wanted_elsewhere(const struct item *but, struct want w)
{
    for (const struct item *o = world.item; o < world.item + ITEMS; o++)
        for (int k = 0; o != but && o->there && k < o->n; k++)
            if (o->want[k].table == w.table && o->want[k].row == w.row) return true;
    return false;
}

static bool wanted_here(const struct item *item, struct want w)
{
    for (int k = 0; k < item->n; k++)
        if (item->want[k].table == w.table && item->want[k].row == w.row) return true;
    return false;
}

static void come_or_go(struct item *item)
{
    int n = 0;

    item->there = !item->there;
    for (int k = 0; item->there && k < item->n; k++)
        if (!wanted_elsewhere(item, item->want[k])) item->want[n++] = item->want[k];
    if (item->there) item->n = n;
}

static void move_row(struct item *from, struct item *to)
{
    if (from == to || !from->n || to->n == WANTS || !from->there || !to->there) return;
    to->want[to->n++] = from->want[--from->n];
    if (below(2)) to->want[to->n - 1].value = below(5);
}

static void add_row(struct item *item)
{
    struct want w = { below(2), below(ROWS), below(5) };

    if (item->there && item->n < WANTS && !wanted_elsewhere(item, w) && !wanted_here(item, w))
        item->want[item->n++] = w;
}

static void edit(void)
{
    struct item *item = &world.item[below(ITEMS)];
    int t = below(TABLES);

    switch (below(11)) {
    case 0: come_or_go(item); break;
    case 1:
    case 2: add_row(item); break;
    case 3: if (item->n) item->want[below(item->n)].value = below(5); break;
    case 4: if (item->n) item->n--; break;
    case 5:
    case 6: move_row(item, &world.item[below(ITEMS)]); break;
    case 7: world.schema[t] = below(400); break;
    case 8:
        world.table[t] = !world.table[t];
        if (world.table[t] && !real->table[t].there) world.takes_content[t] = below(2);
        break;
    case 9: item->memo = !item->memo; break;
    case 10: item->second_group = !item->second_group; break;
    default: break;
    }
}

static bool expected(int t, int r, int64_t *value)
{
    if (!world.table[t]) return false;
    *value = world.schema[t] * 1000 + r;
    if (t >= 2) return r % 5 == 0;
    for (const struct item *item = world.item; item < world.item + ITEMS; item++)
        for (int k = 0; item->there && k < item->n; k++)
            if (item->want[k].table == t && item->want[k].row == r) {
                *value = item->want[k].value;
                return true;
            }
    return false;
}

static void expect_converged(void)
{
    int64_t value = 0;

    for (int t = 0; t < TABLES; t++) {
        assert_int_equal(real->table[t].there, world.table[t]);
        if (world.table[t]) assert_int_equal(real->table[t].schema, world.schema[t]);
        for (int r = 0; r < ROWS; r++) {
            bool there = expected(t, r, &value);
            if (real->row[t][r].there != there || (there && real->row[t][r].value != value))
                fail_msg("row %d of table %d: wanted %d with %ld, found %d with %ld", r, t, there, (long)value,
                         real->row[t][r].there, (long)real->row[t][r].value);
        }
    }
}

/* ---- Steps ---- */

static char db[64];
static unsigned pool_threads;
static size_t in_flight = 3;
static bool recording;
static char *record; /* what is recorded after the last update, if it is wanted */

static coco_status say_problem(void *user, const coco_problem *p)
{
    (void)user;
    print_error("check: %s: %s\n", p->path, p->what);
    return COCO_OK;
}

static void expect_sound(coco_env *env)
{
    const coco_check_visitor v = { NULL, say_problem };
    coco_err err = { 0 };

    if (coco_check(env, NULL, &(coco_check_opts){ .same_process = true }, &v, &err) != COCO_OK) fail_msg("%s", err.msg);
}

static coco_status update(const coco_update_opts *opts, coco_result *result, coco_err *err)
{
    coco_env *env = NULL;
    coco_app *app = NULL;
    coco_app_config config = { .name = "random", .main = &random_main, .max_inflight = in_flight,
                               .guard_states = 100000, .threads = pool_threads };
    coco_status rc;

    memset(result, 0, sizeof *result);
    rc = coco_env_open(&(coco_env_config){ .db = db, .map_size = (size_t)1 << 20 }, &env, err);
    if (rc == COCO_OK) expect_sound(env); /* also after a kill */
    if (rc == COCO_OK) rc = coco_app_open(env, &config, &app, err);
    if (rc == COCO_OK) rc = coco_update(app, opts, result, err);
    if (app && recording) record = dump_app(app);
    if (app) expect_sound(env); /* whatever came of it */
    coco_app_close(app);
    coco_env_close(env);
    return rc;
}

static void update_and_forget(const coco_update_opts *opts)
{
    coco_result result;
    coco_err err;

    update(opts, &result, &err);
    coco_result_free(&result);
}

/* An update that dies at a random action of its sink. */
static void killed_update(void)
{
    int status = 0;
    pid_t pid;

    real->actions = 0;
    real->die_at = 1 + below(12);
    if ((pid = fork()) == 0) {
        update_and_forget(NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == KILLED));
    real->die_at = 0;
}

static void previewed_update(void)
{
    struct real before = *real;

    update_and_forget(&(coco_update_opts){ .preview = true });
    assert_memory_equal(&before, real, sizeof before);
}

static void failing_update(void)
{
    fault.row = below(ROWS);
    fault.transient = below(2);
    fault.batch = !fault.transient && below(3) == 0;
    fault.times = fault.transient ? 1 : 3;
    world.item[below(ITEMS)].fails = below(2);
    update_and_forget(NULL);
    fault.row = -1;
    fault.batch = false;
    for (int i = 0; i < ITEMS; i++) world.item[i].fails = false;
}

static void step(void)
{
    coco_result result;
    coco_err err;

    for (int n = 1 + below(5); n > 0; n--) edit();
    switch (below(10)) {
    case 0:
    case 1:
    case 2: killed_update(); break;
    case 3: previewed_update(); break;
    case 4:
    case 5: failing_update(); break;
    default: break;
    }
    if (below(2)) edit();
    if (update(&(coco_update_opts){ .full_reprocess = below(15) == 0 }, &result, &err) != COCO_OK)
        fail_msg("%s", err.msg);
    coco_result_free(&result);
    expect_converged();
    if (update(NULL, &result, &err) != COCO_OK) fail_msg("%s", err.msg);
    assert_int_equal(result.inserts + result.updates + result.deletes, 0);
    assert_int_equal(result.run, 0); /* nothing changed: no trace */
    coco_result_free(&result);
}

static void remove_db(void)
{
    char path[128];
    static const char *const files[] = { "data.mdb", "lock.mdb", "cocoindex.lock" };

    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", db, files[i]);
        unlink(path);
    }
    rmdir(db);
}

static void begin_seed(uint64_t seed)
{
    memset(real, 0, sizeof *real);
    memset(&world, 0, sizeof world);
    fault.row = -1;
    world.table[0] = world.table[1] = true;
    state = seed * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < 20; i++) below(2);
    snprintf(db, sizeof db, "/tmp/coco-random-%ld", (long)getpid());
    remove_db();
}

static void run_seed(uint64_t seed, int steps)
{
    begin_seed(seed);
    for (int s = 0; s < steps; s++) step();
    remove_db();
}

/* S3, S6, S7, S11.1 and the crash protocol */
static void random_edits_kills_and_failures_end_where_a_run_from_nothing_would(void **unused)
{
    const char *seed = getenv("SEED"), *steps = getenv("STEPS");
    uint64_t first = seed ? strtoull(seed, NULL, 10) : 1, last = seed ? first : 8;

    (void)unused;
    for (uint64_t s = first; s <= last; s++) {
        print_message("SEED=%llu\n", (unsigned long long)s);
        run_seed(s, steps ? atoi(steps) : 40);
    }
}

enum { EDITS = 25 };

/* Edits and updates; leaves what is recorded after each. */
static void run_edits(uint64_t seed, unsigned threads, char *records[EDITS])
{
    coco_result result;
    coco_err err;

    begin_seed(seed);
    pool_threads = threads;
    in_flight = seed % 2 ? 3 : 50;
    coco__yields = (unsigned)seed * 8 + threads;
    recording = true;
    for (int i = 0; i < EDITS; i++) {
        for (int n = 1 + below(6); n > 0; n--) edit();
        if (update(&(coco_update_opts){ .full_reprocess = below(15) == 0 }, &result, &err) != COCO_OK)
            fail_msg("threads %u, update %d: %s", threads, i, err.msg);
        coco_result_free(&result);
        expect_converged();
        records[i] = record;
        record = NULL;
    }
    recording = false;
    coco__yields = 0;
    pool_threads = 0;
    in_flight = 3;
    remove_db();
}

/* S3.9: the same targets and the same records, whatever the number of threads and who was faster */
static void random_edits_end_the_same_with_any_number_of_threads(void **unused)
{
    static const unsigned threads[] = { 1, 2, 8 };
    const char *seed = getenv("SEED");
    uint64_t first = seed ? strtoull(seed, NULL, 10) : 1, last = seed ? first : 6;
    char *want[EDITS], *is[EDITS];

    (void)unused;
    for (uint64_t s = first; s <= last; s++) {
        print_message("SEED=%llu\n", (unsigned long long)s);
        run_edits(s, 0, want);
        for (size_t t = 0; t < 3; t++) {
            run_edits(s, threads[t], is);
            for (int i = 0; i < EDITS; i++) {
                assert_string_equal(is[i], want[i]);
                free(is[i]);
            }
        }
        for (int i = 0; i < EDITS; i++) free(want[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_edits_kills_and_failures_end_where_a_run_from_nothing_would),
        cmocka_unit_test(random_edits_end_the_same_with_any_number_of_threads),
    };

    real = mmap(NULL, sizeof *real, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return real == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
