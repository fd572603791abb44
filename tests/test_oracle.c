/* test_oracle - random programs and random edits against a model of the least to do: after every update that went well
 * the targets are those of a run from nothing, and no function has run more often than it must; whatever was killed,
 * failed or stopped in between, and also where a part was updated, the lists were followed live while they were edited,
 * or somebody else deleted or altered a container.
 *
 * A script is a list of lines, edits and runs; it begins with no program at all. What breaks a promise is made smaller,
 * line by line, and printed as programs to read. Undisturbed, what is recorded is the same for any number of threads.
 * SEED=N replays one seed; FROM=N and SEEDS=N are the first and the last that are tried. */
#include "dump.h"
#include "oracle_places.h"
#include "oracle_lists.h"
#include "sanitized.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { BROKEN = 78 };

static bool reads_in_secret, bumps_itself; /* faults of the program, planted to see that they are found */

/* ---- The functions: each runs its body ---- */

static coco_target *table[TABLES], *index_place[TABLES];
static coco_key context_key[CONTEXTS] = { COCO_KEY("c0", .detect_change = true), COCO_KEY("c1", .detect_change = true),
                                          COCO_KEY("c2", .detect_change = true) };
static coco_key table_key[TABLES] = { COCO_KEY("t0", .detect_change = true), COCO_KEY("t1", .detect_change = true),
                                      COCO_KEY("t2", .detect_change = true) };
static coco_fn *const fns[FNS];

static coco_status declare(coco_ctx *cx, const statement *s, int x, int acc)
{
    coco_target *box;

    if (!coco_bool_of(coco_context(cx, &table_key[s->what]))) return COCO_OK;
    if (s->kind == DECLARE)
        return coco_declare(cx, s->indexed ? index_place[s->what] : table[s->what], coco_int(row_of(s, x)),
                            coco_int(s->by_value ? acc : 7));
    COCO_TRY(coco_declare_container(cx, table[s->what], coco_int(FIRST_BOX_KEY + s->which), coco_int(box_schema(acc)),
                                    &(coco_container_opts){ .title = coco_format(cx, "t%d.box%d", s->what,
                                                                                 s->which).p }, &box));
    COCO_TRY(coco_declare(cx, box, coco_int(0), coco_int(acc)));
    return coco_declare(cx, box, coco_int(1), coco_int(1));
}

static coco_status mount_items(coco_ctx *cx, const statement *s)
{
    coco_source *src = list_source_new(cx, s->which);

    return src ? coco_mount_each(cx, COCO_PATH(coco_int(s->slot)), fns[s->what], src, COCO_NOARGS) : COCO_ENOMEM;
}

static int read_param(coco_ctx *cx, int which)
{
    const char *const names[PARAMS] = { "p0", "p1" };

    return reads_in_secret ? now.param[which] : atoi(coco_text_of(coco_param(cx, names[which])).p);
}

static coco_status run_statement(coco_ctx *cx, const statement *s, int x, int *acc)
{
    int arg = s->by_value ? *acc : s->which;
    coco_value v = coco_null();

    switch (s->kind) {
    case DECLARE:
    case BOX: return declare(cx, s, x, *acc);
    case CALL: COCO_TRY(coco_call(cx, fns[s->what], COCO_ARGS(coco_int(arg)), &v)); break;
    case READ_CONTEXT: v = coco_context(cx, &context_key[s->what]); break;
    case READ_PARAM: v = coco_int(read_param(cx, s->what)); break;
    case MOUNT: return coco_mount(cx, COCO_PATH(coco_int(s->slot)), fns[s->what], COCO_ARGS(coco_int(arg)), NULL);
    case USE:
        COCO_TRY(coco_use_mount(cx, COCO_PATH(coco_int(s->slot)), fns[s->what], COCO_ARGS(coco_int(arg)), &v));
        break;
    case EACH: return mount_items(cx, s);
    case KINDS: break;
    }
    *acc = add_up(*acc, (int)coco_int_of(v));
    return COCO_OK;
}

static coco_status run_body(coco_ctx *cx, int f, int x)
{
    int acc = x;

    __atomic_add_fetch(&real->runs[f][x], 1, __ATOMIC_RELAXED);
    for (const statement *s = now.fn[f].s; s < now.fn[f].s + now.fn[f].n; s++)
        COCO_TRY(run_statement(cx, s, x, &acc));
    if (fault.fn == f) return coco_fail(cx, COCO_EFAIL, "f%d fails", f);
    return coco_return(cx, coco_int(acc));
}

static coco_status declare_table(coco_ctx *cx, int t)
{
    coco_container_opts opts = { .title = coco_format(cx, "t%d", t).p };
    bool takes = takes_content(t);
    coco_target *root = coco_target_new(cx, "places", coco_bool(takes), takes ? "taking" : "keeping");

    COCO_TRY(coco_mount_target(cx, root, coco_int(t), coco_int(now.schema[t]), &opts, &table[t]));
    return coco_attachment(cx, table[t], "index", &index_place[t]);
}

COCO_FN(f0, (int, x))
{
    for (int t = 0; t < TABLES; t++)
        if (now.table[t]) COCO_TRY(declare_table(cx, t));
    return run_body(cx, 0, x);
}
COCO_FN(f1, (int, x)) { return run_body(cx, 1, x); }
COCO_FN(f2, (int, x)) { return run_body(cx, 2, x); }
COCO_FN(f3, (int, x)) { return run_body(cx, 3, x); }
COCO_FN(f4, (int, x)) { return run_body(cx, 4, x); }
COCO_FN(f5, (int, x)) { return run_body(cx, 5, x); }
COCO_FN(f6, (int, x)) { return run_body(cx, 6, x); }
COCO_FN(f7, (int, x)) { return run_body(cx, 7, x); }
COCO_FN(f8, (int, x)) { return run_body(cx, 8, x); }
COCO_FN(f9, (int, x)) { return run_body(cx, 9, x); }
static coco_fn *const fns[FNS] = { &f0, &f1, &f2, &f3, &f4, &f5, &f6, &f7, &f8, &f9 };

/* ---- An update ---- */

static void broken(const char *fmt, ...) COCO__PRINTF(1, 2);
static void broken(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    fflush(stderr);
    _exit(BROKEN);
}

static char db[64];
static unsigned threads;

static int failures;
static void on_event(void *user, const coco_event *e)
{
    (void)user;
    if (e->kind == COCO_EV_FAILED) __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
    pass_point();
}

static coco_status setup(coco_ctx *cx, void *user)
{
    (void)user;
    for (int c = 0; c < CONTEXTS; c++) COCO_TRY(coco_provide(cx, &context_key[c], coco_int(now.context[c])));
    for (int t = 0; t < TABLES; t++) COCO_TRY(coco_provide(cx, &table_key[t], coco_bool(now.table[t])));
    return COCO_OK;
}

/* A logic is a version, or a value that it depends on. */
static void set_logic(void)
{
    static int64_t bumps;

    for (int f = 0; f < FNS; f++) {
        fns[f]->memo = now.fn[f].memo;
        fns[f]->version = f % 2 ? logic_of(&now, f) : 1;
        if (bumps_itself && f == FIRST_CALLED) fns[f]->version = ++bumps;
        fns[f]->deps = f % 2 ? coco_null() : coco_int(logic_of(&now, f));
    }
}

static coco_status say_problem(void *user, const coco_problem *p)
{
    (void)user;
    fprintf(stderr, "check: %s: %s\n", p->path, p->what);
    return COCO_OK;
}

static coco_status check(coco_env *env, coco_err *err)
{
    const coco_check_visitor v = { NULL, say_problem };

    return coco_check(env, NULL, &(coco_check_opts){ .same_process = true }, &v, err);
}

static bool any_number; /* of threads: a script is played with each, undisturbed, and … */
static char *recorded[200]; /* … what the first has left in the database after each update, all others leave */
static int nrecorded;

static void keep_or_compare(void)
{
    char *is = dump_app(app), *want = recorded[nrecorded];

    if (threads && strcmp(is, want) != 0)
        broken("with %u threads update %d leaves\n%s\nwith 0\n%s", threads, nrecorded, is, want);
    if (threads) free(is);
    else recorded[nrecorded] = is;
    nrecorded++;
}

typedef coco_status act_fn(const coco_update_opts *opts, coco_err *err);

/* The state opens and is sound, before and after. */
static coco_status update_by(act_fn *act, const coco_update_opts *opts, coco_err *err)
{
    coco_env_config env_config = { .db = db, .map_size = (size_t)1 << 22, .setup = setup, .on_event = on_event };
    char text[PARAMS][16];
    coco_param_def params[PARAMS + 1] = { { "p0", text[0], "" }, { "p1", text[1], "" }, { NULL, NULL, NULL } };
    coco_app_config config = { .name = "oracle", .main = &f0, .args = COCO_ARGS(coco_int(0)), .params = params,
                               .max_inflight = 3, .guard_states = 100000, .threads = threads };
    coco_env *env = NULL;
    coco_status rc, sound = COCO_OK;

    for (int p = 0; p < PARAMS; p++) snprintf(text[p], sizeof text[p], "%d", now.param[p]);
    set_logic();
    memset(real->acts, 0, sizeof real->acts);
    memset(real->runs, 0, sizeof real->runs);
    real->point = 0;
    real->updates++;
    app = NULL;
    rc = coco_env_open(&env_config, &env, err);
    if (rc == COCO_OK) sound = check(env, err);
    if (rc == COCO_OK) rc = coco_app_open(env, &config, &app, err);
    if (rc == COCO_OK && sound == COCO_OK) rc = act(opts, err);
    if (app && sound == COCO_OK) sound = check(env, rc == COCO_OK ? err : NULL);
    if (any_number && rc == COCO_OK) keep_or_compare();
    coco_app_close(app);
    coco_env_close(env);
    for (int f = 0; f < FNS; f++)
        for (int x = 0; x < VALUES; x++) real->function_runs += real->runs[f][x];
    return sound == COCO_OK ? rc : COCO_ECORRUPT;
}

static coco_status catch_up(const coco_update_opts *opts, coco_err *err) { return coco_update(app, opts, NULL, err); }
static coco_status update(const coco_update_opts *opts, coco_err *err) { return update_by(catch_up, opts, err); }

/* ---- Runs: lines of a script that aren't edits ---- */

typedef enum run_kind {
    PLAIN, PLAIN_TOO, FULL, PREVIEW, RECHECK, KILL, KILL_TOO, FAIL_ROW, FAIL_FN, STOP, ONLY, LOSE, ALTER, DROP, LIVE, RUNS
} run_kind;
static const char *const run_name[RUNS] = {
    "update", "update", "update, all anew", "preview", "update, rechecked", "update, killed", "update, killed",
    "update, a row fails", "update, a function fails", "update, stopped", "update of a part", "a container is deleted",
    "a container is altered", "drop", "live update"
};

static past old;
static trace want;

static void expect_targets(void)
{
    for (int p = 0; p < PLACES; p++) {
        bool container = p < TABLES || p >= 2 * TABLES;
        if (container && (real->container[p].there != want.container[p].there ||
                          (want.container[p].there && real->container[p].schema != want.container[p].schema)))
            broken("container %d: wanted %d with schema %d, found %d with %d", p, want.container[p].there,
                   want.container[p].schema, real->container[p].there, (int)real->container[p].schema);
        for (int r = 0; r < ROWS; r++) {
            bool there = want.row[p][r].there;
            if (there != real->row[p][r].there || (there && real->row[p][r].value != want.row[p][r].value))
                broken("row %d of place %d: wanted %d with %d, found %d with %d", r, p, there, want.row[p][r].value,
                       real->row[p][r].there, (int)real->row[p][r].value);
        }
    }
}

static void expect_least_runs(void)
{
    model_counts least;

    model_least(&old, &now, &want, least);
    for (int f = 0; f < FNS; f++)
        for (int x = 0; x < VALUES; x++)
            if (real->runs[f][x] > least[f][x])
                broken("f%d(%d) ran %d times, at most %d are needed", f, x, real->runs[f][x], least[f][x]);
}

/* A row that stays as it was isn't written, another one once; one that moves to another component, or whose container
 * is made anew or loses values, twice. */
static void expect_least_actions(const struct real *before)
{
    uint64_t changes = model_changes(&old.p[0], &now, false) | old.lost;
    const trace *was = &old.t[0];

    for (int p = 0; p < PLACES; p++) {
        int t = table_of_box(p) >= 0 ? table_of_box(p) : container_of(p);
        bool anew = changes & (place_bit(t) | table_bit(t) | place_bit(p));
        if (p >= 2 * TABLES) anew |= was->container[p].schema / 10 != want.container[p].schema / 10;
        for (int r = 0; r < ROWS; r++) {
            bool differs = before->row[p][r].there != real->row[p][r].there ||
                           (before->row[p][r].there && before->row[p][r].value != real->row[p][r].value);
            int most = anew || was->row[p][r].owner != want.row[p][r].owner ? 2 : differs;
            if (real->acts[p][r] > most)
                broken("row %d of place %d was written %d times, needed %d", r, p, real->acts[p][r], most);
        }
    }
}

static void went_well(void)
{
    old.n = 1;
    old.nothing_holds = false;
    old.lost = 0;
    old.p[0] = now;
    old.t[0] = want;
}

/* What a disturbed update may have left counts beside what was there. */
static void was_disturbed(bool everything)
{
    real->disturbed++;
    old.nothing_holds |= everything || old.n == 0 || old.n == PASTS;
    if (old.n == PASTS) old.n--;
    old.p[old.n] = now;
    old.t[old.n++] = want;
}

static void run_well(run_kind kind)
{
    struct real before = *real;
    coco_err err = { 0 };
    coco_update_opts opts = { .full_reprocess = kind == FULL, .recheck = kind == RECHECK ? 100 : 0 };
    bool counts = kind == PLAIN || kind == PLAIN_TOO;

    if (update(&opts, &err) != COCO_OK) broken("%s", err.msg);
    expect_targets();
    if (kind == FULL) old.nothing_holds = true;
    if (counts || kind == FULL) expect_least_runs();
    if (counts && old.n == 1 && !old.nothing_holds) expect_least_actions(&before);
    went_well();
}

static void run_preview(void)
{
    struct real before = *real;
    coco_err err = { 0 };

    if (update(&(coco_update_opts){ .preview = true }, &err) == COCO_ECORRUPT) broken("preview: %s", err.msg);
    if (memcmp(before.container, real->container, sizeof before.container) ||
        memcmp(before.row, real->row, sizeof before.row)) broken("the preview changed a target");
}

/* The child dies at some event or action. */
static void run_killed(int at)
{
    int status = 0;
    pid_t pid;

    real->die_at = 1 + at;
    if ((pid = fork()) == 0) {
        coco_err err = { 0 };
        if (update(NULL, &err) == COCO_ECORRUPT) broken("%s", err.msg);
        _exit(0);
    }
    real->die_at = 0;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) broken("the update crashed by itself");
    if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != KILLED) broken("the update ended with %d", status);
    was_disturbed(false);
}

static void run_failing(run_kind kind, const int n[6])
{
    coco_err err = { 0 };

    fault.fn = kind == FAIL_FN ? n[1] % FNS : -1;
    fault.place = n[1] % PLACES;
    fault.row = n[2] % 4;
    fault.times = kind == FAIL_ROW ? 1 + n[3] % 4 : 0;
    fault.transient = n[4] % 2;
    fault.batch = !fault.transient && n[4] % 3 == 0;
    real->stop_at = kind == STOP ? 1 + n[1] % 60 : 0;
    if (update(NULL, &err) == COCO_ECORRUPT) broken("%s", err.msg);
    real->stop_at = 0;
    fault.times = 0;
    fault.fn = -1;
    fault.batch = false;
    was_disturbed(false);
}

/* The printed path of a component of the trace. */
static void print_path(const trace *t, int i, char *path, size_t size)
{
    const node *n = &t->v[i];
    size_t at;

    if (n->parent < 0) {
        *path = '\0';
        return;
    }
    print_path(t, t->v[n->parent].component_node, path, size);
    at = strlen(path);
    at += (size_t)snprintf(path + at, size - at, "/%d", n->slot);
    if (n->key < ITEMS) snprintf(path + at, size - at, "/%d", n->key);
}

/* What is there and below alone; a claim on what another has may be refused. */
static void run_part(const int n[6])
{
    char path[200];
    coco_err err = { 0 };
    int i = n[1] % want.n;

    print_path(&want, want.v[i].component_node, path, sizeof path);
    if (!*path) strcpy(path, "/");
    if (update(&(coco_update_opts){ .only = path }, &err) == COCO_ECORRUPT) broken("%s", err.msg);
    was_disturbed(false);
}

static coco_status drop(const coco_update_opts *opts, coco_err *err)
{
    (void)opts;
    return coco_drop(app, NULL, err);
}

static void run_drop(void)
{
    coco_err err = { 0 };

    if (update_by(drop, NULL, &err) != COCO_OK) broken("%s", err.msg);
    for (int p = 0; p < PLACES; p++)
        for (int r = 0; r < ROWS; r++)
            if (real->container[p].there || real->row[p][r].there) broken("place %d is left by a drop", p);
    old.n = 0;
    old.lost = 0;
    old.nothing_holds = false;
}

/* Edits an item, or swaps two, while a live update runs, and tells it. An edit that makes no program isn't made. */
static void edit_live(const line *e)
{
    program next = now;

    edit(&next, e);
    model(&want, &next);
    if (want.wrong) return;
    pthread_mutex_lock(&items_lock);
    memcpy(now.item, next.item, sizeof now.item);
    pthread_cond_broadcast(&items_edited);
    pthread_mutex_unlock(&items_lock);
}

static uint64_t live_seed;
static int live_below(int n)
{
    live_seed = live_seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((live_seed >> 33) % (uint64_t)n);
}

/* What each sync promises holds as long as nothing has failed. */
static coco_status live(const coco_update_opts *opts, coco_err *err)
{
    static const edit_kind kinds[] = { ITEM, ITEM_VALUE, SWAP };
    coco_running *running;
    coco_status rc = COCO_OK;

    failures = 0;
    COCO_TRY(coco_update_start(app, opts, &running, err));
    for (int rounds = 1 + live_below(4); rounds && rc == COCO_OK; rounds--) {
        if ((rc = coco_sync(app, 60000, err)) == COCO_EDEADLINE) broken("a live update isn't in sync");
        model(&want, &now);
        if (rc == COCO_OK && !__atomic_load_n(&failures, __ATOMIC_RELAXED)) expect_targets();
        for (int n = live_below(4); n && rounds > 1; n--) {
            line e = { .kind = (int)kinds[live_below(3)] };
            for (int i = 0; i < 6; i++) e.n[i] = live_below(1000);
            edit_live(&e);
        }
    }
    model(&want, &now);
    coco_app_stop(app);
    return coco_update_wait(running, NULL, err);
}

/* Killed, with a row that fails, or undisturbed; edits that are made in a process that is killed are as if they had
 * been taken back. */
static void run_live(const int n[6])
{
    coco_update_opts opts = { .live = true };
    coco_err err = { 0 };
    int how = n[4] % 4, status = 0;
    pid_t pid = 0;

    live_seed = (uint64_t)n[1] * 1000000 + (uint64_t)(n[2] * 1000 + n[3]);
    if (how == 0) real->die_at = 1 + n[5] % 150;
    if (how == 1) fault.place = n[1] % PLACES, fault.row = n[2] % 4, fault.times = 1 + n[3] % 3;
    if (how == 0 && (pid = fork()) != 0) {
        real->die_at = 0;
        if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) broken("the live update crashed by itself");
        if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != KILLED) broken("it ended with %d", status);
        was_disturbed(true);
        return;
    }
    coco_status rc = update_by(live, &opts, &err);
    if (rc == COCO_ECORRUPT) broken("%s", err.msg);
    if (how == 0) _exit(0);
    fault.times = 0;
    if (rc == COCO_OK) expect_targets(), went_well();
    else was_disturbed(true);
}

static void run(run_kind kind, const int n[6])
{
    int place = n[1] % 2 ? n[2] % TABLES : box_of(0, n[2] % (TABLES * BOXES));

    model(&want, &now);
    if (kind == DROP && n[1] % 4) kind = PLAIN;
    if (any_number && kind != FULL && kind != LOSE && kind != ALTER) kind = PLAIN;
    if (kind == LOSE || kind == ALTER) old.lost |= place_bit(place);
    if (kind == PREVIEW) run_preview();
    else if (kind == KILL || kind == KILL_TOO) run_killed(n[1] % 60);
    else if (kind == FAIL_ROW || kind == FAIL_FN || kind == STOP) run_failing(kind, n);
    else if (kind == ONLY) run_part(n);
    else if (kind == LOSE) lose(place);
    else if (kind == ALTER) alter(place, n[3] % 300);
    else if (kind == DROP) run_drop();
    else if (kind == LIVE) run_live(n);
    else run_well(kind);
}

/* ---- Scripts ---- */

enum { LINES = 160, FIRST_RUN = 70 };
static char output[80]; /* of a failing script */

static void remove_db(void)
{
    static const char *const files[] = { "data.mdb", "lock.mdb", "cocoindex.lock" };
    char path[128];

    for (size_t i = 0; i < 3; i++) snprintf(path, sizeof path, "%s/%s", db, files[i]), unlink(path);
    rmdir(db);
}

/* An edit that doesn't make a program isn't made. */
static void try_edit(const line *e)
{
    program before = now;

    edit(&now, e);
    model(&want, &now);
    if (want.wrong) now = before;
    else real->edits++;
}

static void play(const line *script, int n, bool aloud)
{
    static const line last = { EDITS + PLAIN, { 0 } };
    program shown = { .param = { -1 } };

    for (int i = 0; i < n + 2; i++) {
        const line *l = i < n ? &script[i] : &last;
        if (l->kind < EDITS) {
            try_edit(l);
            continue;
        }
        if (aloud && memcmp(&shown, &now, sizeof now) != 0) print_program(stderr, &now);
        if (aloud)
            fprintf(stderr, "==> %s (%d %d %d %d)\n\n", run_name[l->kind - EDITS], l->n[1], l->n[2], l->n[3], l->n[4]);
        shown = now;
        run((run_kind)(l->kind - EDITS), l->n);
    }
}

static void begin(void)
{
    remove_db();
    memset(real->container, 0, sizeof real->container);
    memset(real->row, 0, sizeof real->row);
    memset(&now, 0, sizeof now);
    memset(&old, 0, sizeof old);
}

static void play_with_any_number(const line *script, int n, bool aloud)
{
    static const unsigned numbers[] = { 0, 1, 2, 8 };

    for (int t = 0; t < 4; t++) {
        begin();
        threads = numbers[t];
        coco__yields += threads;
        nrecorded = 0;
        play(script, n, aloud && t == 0);
    }
}

/* Plays a script in a process of its own; returns whether it kept its promises. */
static bool holds(const line *script, int n, bool aloud)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    int status = 0;
    pid_t pid;

    fflush(NULL);
    begin();
    if ((pid = fork()) == 0) {
        if (!aloud && !freopen(output, "w", stderr)) _exit(1);
        fault.fn = -1;
        /* cmocka's handlers would go on with the tests here */
        for (size_t i = 0; i < 4; i++) signal(signals[i], SIG_DFL);
        alarm(120);
        (any_number ? play_with_any_number : play)(script, n, aloud);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    remove_db();
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What a script said that broke its promise: it may be rare, and never come again. */
static void print_output(void)
{
    char text[1000];
    FILE *f = fopen(output, "r");

    while (f && fgets(text, sizeof text, f)) print_error("%s", text);
    if (f) fclose(f);
}

/* Tries whether a plain update does in place of a disturbed one. */
static void make_plain(line *script, int n)
{
    for (int i = 0; i < n; i++) {
        line was = script[i];
        if (was.kind <= EDITS + PLAIN_TOO) continue;
        script[i] = (line){ .kind = EDITS + PLAIN };
        if (holds(script, n, false)) script[i] = was;
    }
}

/* Takes away lines, in chunks that become smaller, as long as the script still breaks its promise. */
static int shrink(line *script, int n)
{
    static line tried[LINES];

    for (int chunk = n / 2; chunk > 0; chunk = chunk > 1 ? chunk / 2 : 0) {
        for (int at = n - chunk; at >= 0; at -= chunk) {
            memcpy(tried, script, (size_t)at * sizeof *script);
            memcpy(tried + at, script + at + chunk, (size_t)(n - at - chunk) * sizeof *script);
            if (holds(tried, n - chunk, false)) continue;
            memcpy(script, tried, (size_t)(n -= chunk) * sizeof *script);
            if (at > n) at = n;
        }
    }
    make_plain(script, n);
    return n;
}

static uint64_t state;
static int below(int n)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (int)((state >> 16) % (uint64_t)n);
}

/* A program of many edits, then a few edits between runs. */
static int make_script(uint64_t seed, line *script)
{
    state = seed * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < 20; i++) below(2);
    for (int i = 0; i < LINES; i++) {
        bool runs = i >= FIRST_RUN && below(5) < 2;
        script[i].kind = runs ? EDITS + below(RUNS) : i >= FIRST_RUN ? below(EDITS) : i < TABLES ? TABLE
            : i < TABLES + 6 ? MEMO : i < TABLES + 12 ? ITEM : ADD;
        for (int k = 0; k < 6; k++) script[i].n[k] = below(1000);
        if (i < TABLES) script[i].n[1] = i;
        if (!runs && below(5) == 0) script[i].n[0] = 0;
    }
    return LINES;
}

/* Plays the script of a seed; what is broken is made smaller and said. */
static bool seed_holds(uint64_t seed, int *left)
{
    static line script[LINES];
    int n = make_script(seed, script);

    real->programs++;
    if (holds(script, n, false)) return true;
    print_error("SEED=%llu said:\n", (unsigned long long)seed);
    print_output();
    *left = shrink(script, n);
    print_error("SEED=%llu breaks a promise; the least of it that does so, %d lines:\n", (unsigned long long)seed,
                *left);
    holds(script, *left, true);
    return false;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *v = getenv(name);

    return v ? strtoull(v, NULL, 10) : otherwise;
}

static void try_seeds(uint64_t upto)
{
    uint64_t first = number("SEED", number("FROM", 1)), last = getenv("SEED") ? first : number("SEEDS", upto);
    int left, nbroken = 0;

    memset(real, 0, sizeof *real);
    for (uint64_t seed = first; seed <= last && nbroken < 3; seed++) {
        threads = seed % 4 == 0 ? 2 : 0;
        coco__yields = any_number ? (unsigned)seed * 8 : threads ? (unsigned)seed : 0;
        nbroken += !seed_holds(seed, &left);
    }
    print_message("%d programs (SEED=%llu to %llu), %d edits, %d updates, %d of them disturbed, %d runs of functions\n",
                  real->programs, (unsigned long long)first, (unsigned long long)last, real->edits, real->updates,
                  real->disturbed, real->function_runs);
    assert_int_equal(nbroken, 0);
}

/* S1.1, S3, S4, S6, S7, S11.1 */
static void random_programs_end_as_from_nothing_and_run_no_more_than_they_must(void **unused)
{
    (void)unused;
    try_seeds(SANITIZED ? 50 : 200);
}

/* S3.9: the same targets and the same records, up to ids, times and costs */
static void random_programs_record_the_same_with_any_number_of_threads(void **unused)
{
    (void)unused;
    any_number = true;
    try_seeds(SANITIZED ? 8 : 25);
    any_number = false;
}

static void is_found_and_shrinks(bool *planted)
{
    int left = LINES;

    memset(real, 0, sizeof *real);
    threads = 0;
    *planted = true;
    for (uint64_t seed = 1; seed <= 50 && left == LINES; seed++) seed_holds(seed, &left);
    *planted = false;
    assert_in_range(left, 2, 12);
}

/* The oracle itself: what is wrong with a program is found, and little of it is left to read. */
static void an_input_that_is_not_declared_is_found_and_shrinks(void **unused)
{
    (void)unused;
    is_found_and_shrinks(&reads_in_secret);
}

static void a_run_too_many_is_found_and_shrinks(void **unused)
{
    (void)unused;
    is_found_and_shrinks(&bumps_itself);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_input_that_is_not_declared_is_found_and_shrinks),
        cmocka_unit_test(a_run_too_many_is_found_and_shrinks),
        cmocka_unit_test(random_programs_end_as_from_nothing_and_run_no_more_than_they_must),
        cmocka_unit_test(random_programs_record_the_same_with_any_number_of_threads),
    };

    snprintf(db, sizeof db, "%s/coco-oracle-%ld", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (long)getpid());
    snprintf(output, sizeof output, "%s.out", db);
    real = mmap(NULL, sizeof *real, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int rc = real == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
    unlink(output);
    return rc;
}
