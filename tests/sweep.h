/* sweep.h - whatever fails, in turn: a test says what is done, and every call on the way fails once.
 *
 *     static const sweep changing = { .before = put_back, .act = change, .look = content, .rest = nothing_was_done };
 *     sweep_over(&changing, FAULT_STORE);
 *
 * For the first, the second, … call of a kind, with each of its errors, once and for good (faults.h): `before` puts
 * what outlives a process as it was; `act` meets the fault. Then
 *   1. it succeeded, and what should be there is there, or its error has a message that names what failed;
 *   2. nothing is allocated or open once all is closed;
 *   3. the database opens, and `check` finds nothing;
 *   4. `act` again, undisturbed, or every other time `back`, comes to what an undisturbed run gives;
 *   5. `rest` agrees that there is nothing left to do.
 * At FAULT_DEATH a child process acts, and dies; 3 to 5 are its parent's. A sweep takes every call to the 40th (under
 * sanitizers, the 8th), then steps that grow; FULL=1 takes them all. sweep_counts, as a group's teardown, prints how many
 * faults there were. */
#ifndef COCO_TEST_SWEEP_H
#define COCO_TEST_SWEEP_H

#include "faults.h"

#include "harness.h"
#include "sanitized.h"

#include <sys/wait.h>

typedef struct sweep {
    void (*before)(void);
    coco_status (*act)(void);  /* leaves its status in w.rc, its error in w.err */
    coco_status (*back)(void); /* makes what was there before `act`; NULL: `act` each time */
    char *(*look)(void);       /* what is outside, as text; freed */
    void (*rest)(void);        /* does it again, and fails where something is done; NULL: not asked */
    void (*save)(void);        /* in a child that dies, what memory alone holds; … */
    void (*load)(void);        /* … and back; NULL: nothing */
    const char *names;         /* a message without any of w.dir, this and "out of memory" names nothing */
} sweep;

static const char *const fault_words[] = { "", "failing allocations", "failing store calls", "failing system calls",
                                           "failing actions", "deaths" };
static long swept[FAULT_DEATH + 1];

static inline int sweep_counts(void **state)
{
    (void)state;
    for (int k = FAULT_MEMORY; k <= FAULT_DEATH; k++)
        if (swept[k]) print_message("swept: %ld %s\n", swept[k], fault_words[k]);
    return 0;
}

static inline long sweep_next(long n)
{
    const char *full = getenv("FULL");

    return full && *full ? n + 1 : n + 1 + n / (SANITIZED ? 8 : 40);
}

/* ---- Where faults are met ---- */

static inline void *failing_realloc(void *self, void *p, size_t n)
{
    static const int errors[] = { ENOMEM, 0 };

    if (n && gate_error(FAULT_MEMORY, "realloc", errors)) return NULL;
    return counted_realloc(self, p, n);
}

static inline void dying_event(void *user, const coco_event *e)
{
    on_event(user, e);
    gate_die(coco_event_name(e->kind));
}

static inline coco_status gate_fails(int e, const char *what, coco_err *err)
{
    return e == GATE_TRANSIENT ? coco_transient(err, COCO_EIO, "%s refused", what)
                               : coco_err_set(err, COCO_EIO, "%s refused", what);
}

/* Action by action, as a connector without transactions does it. */
static inline coco_status failing_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    static const int errors[] = { GATE_TRANSIENT, GATE_LASTING, GATE_AFTERWARDS, 0 };
    int e = gate_error(FAULT_SINK, "batch", errors);
    char name[700];

    if (e && e != GATE_AFTERWARDS) return gate_fails(e, "batch", err);
    for (size_t i = 0; i < n; i++) {
        coco_err own = { 0 };
        int a = gate_error(FAULT_SINK, "action", errors);
        gate_die("action");
        if (a == 0 || a == GATE_AFTERWARDS) COCO_TRY(shelf_apply(self, &actions[i], 1, err));
        if (a) lines_add(&w.actions, "! %s", action_name(actions[i], name, sizeof name));
        if (a) gate_fails(a, name, &own), coco_action_fail(actions[i], &own);
    }
    gate_die("batch");
    return e ? gate_fails(e, "batch", err) : COCO_OK;
}

static inline void sweep_world(void)
{
    shelf_sink.apply = failing_apply;
    shelf_sink.retry_ms = 30;
    w.env_config.allocator.realloc = failing_realloc;
    w.env_config.on_event = dying_event;
}

/* ---- One fault ---- */

static inline int open_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");

    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

static inline void sweep_say(fault_kind kind, const char *what)
{
    print_error("%s: %ld of the %s, %s, error %d%s: %s\n", what, gate->n, fault_words[kind],
                gate->call ? gate->call : "?", gate->code, gate->forever ? " for good" : "", w.err.msg);
    for (size_t i = 0; i < w.failures.n && i < 5; i++) print_error("  %s\n", w.failures.v[i]);
    for (size_t i = 0; i < w.actions.n && i < 20; i++) print_error("  %s\n", w.actions.v[i]);
}

#define sweep_holds(kind, condition, what) \
    do { \
        if (!(condition)) { \
            sweep_say(kind, what); \
            fail(); \
        } \
    } while (0)

static inline bool sweep_named(const sweep *s)
{
    const char *said = w.failures.n ? w.failures.v[0] : w.err.msg;

    if (w.err.msg[0] == 0) return false;
    return strstr(w.err.msg, w.dir) || strstr(w.err.msg, "memory") || strstr(w.err.msg, "refused") ||
           (s->names && (strstr(w.err.msg, s->names) || strstr(said, s->names)));
}

static inline void sweep_looks(const sweep *s, fault_kind kind, const char *want, const char *when)
{
    char *is = s->look();

    if (strcmp(is, want) != 0) print_error("expected\n%sgot\n%s", want, is);
    sweep_holds(kind, strcmp(is, want) == 0, when);
    free(is);
}

static const sweep *sweep_dying;
static inline void sweep_dies(void)
{
    if (sweep_dying->save) sweep_dying->save();
}

static inline void sweep_acts(const sweep *s, fault_kind kind)
{
    int status;
    pid_t pid;

    if (kind != FAULT_DEATH) {
        s->act();
        gate_open();
        return;
    }
    sweep_dying = s;
    gate->dying = sweep_dies;
    if ((pid = fork()) == 0) {
        s->act();
        gate_open(); /* the end of a process is none of its calls */
        _exit(w.rc == COCO_OK ? 0 : 6);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    gate_open();
    bool told = gate->fired && WIFEXITED(status) && WEXITSTATUS(status) == 6; /* by a child of its own, which died */
    sweep_holds(kind, told || (WIFEXITED(status) && WEXITSTATUS(status) == (gate->fired ? 7 : 0)), "dies otherwise");
    if (gate->fired && s->load) s->load();
}

/* False when the n-th call never came. */
static inline bool sweep_once(const sweep *s, fault_kind kind, long n, int variant, char *const want[2])
{
    bool back = s->back && (n + variant) % 2;
    int files;

    s->before();
    files = open_files();
    gate_arm(kind, n, variant);
    sweep_acts(s, kind);
    if (!gate->fired) return restart(), false;
    swept[kind]++;
    if (kind != FAULT_DEATH) {
        if (w.rc == COCO_OK) sweep_looks(s, kind, want[0], "succeeds, but left something else");
        else sweep_holds(kind, kind == FAULT_MEMORY || sweep_named(s), "fails without a name");
        restart();
        sweep_holds(kind, w.live == 0, "leaks memory");
        sweep_holds(kind, open_files() == files, "leaks a descriptor");
    }
    w.rc = open_world();
    sweep_holds(kind, w.rc == COCO_OK, "doesn't open any more");
    sweep_holds(kind, w.unsound ||
                coco_check(w.env, NULL, &(coco_check_opts){ .same_process = true }, NULL, &w.err) == COCO_OK,
                "leaves a wrong database");
    sweep_holds(kind, (back ? s->back : s->act)() == COCO_OK, "the next update fails");
    sweep_looks(s, kind, want[back], back ? "on the way back, left something else" : "isn't put right");
    if (s->rest && !back) s->rest();
    restart();
    return true;
}

/* What undisturbed runs give: of `act`, and of `back` after it. */
static inline void sweep_wants(const sweep *s, char *want[2])
{
    s->before();
    if (s->act() != COCO_OK) fail_msg("undisturbed: %s", w.err.msg);
    expect_sound(__FILE__, __LINE__);
    want[0] = s->look();
    if (s->back && s->back() != COCO_OK) fail_msg("undisturbed, back: %s", w.err.msg);
    expect_sound(__FILE__, __LINE__);
    want[1] = s->look();
    restart();
}

static inline void sweep_over(const sweep *s, fault_kind kind)
{
    char *want[2];
    bool came = true;

    sweep_wants(s, want);
    for (long n = 1; came; n = sweep_next(n)) {
        came = sweep_once(s, kind, n, 0, want);
        for (int v = 1, of = gate->nvariants; came && v < of; v++) sweep_once(s, kind, n, v, want);
    }
    free(want[0]);
    free(want[1]);
}

/* ---- The shelf, as something that outlives the process ---- */

static inline void shelf_save(const char *path)
{
    FILE *f = fopen(path, "w");

    if (!f) _exit(8);
    for (size_t i = 0; i < w.nshelf; i++) {
        const thing *t = &w.shelf[i];
        fprintf(f, "%s\t%s\t%s\t%d\t", t->name, t->value, t->place ? t->place : "-", t->unique);
        for (size_t b = 0; b < sizeof t->record; b++) fprintf(f, "%02x", t->record[b]);
        fprintf(f, "\n");
    }
    fclose(f);
}

static inline void shelf_load(const char *path)
{
    char line[1000], *save;
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    while (w.nshelf) shelf_take(&w.shelf[0]);
    while (fgets(line, sizeof line, f)) {
        thing *t = &w.shelf[w.nshelf++];
        t->name = strdup(strtok_r(line, "\t", &save));
        t->value = strdup(strtok_r(NULL, "\t", &save));
        const char *inside = strtok_r(NULL, "\t", &save);
        t->place = strcmp(inside, "-") ? strdup(inside) : NULL;
        t->unique = atoi(strtok_r(NULL, "\t", &save));
        const char *hex = strtok_r(NULL, "\n", &save);
        for (size_t b = 0; b < sizeof t->record; b++) {
            unsigned byte;
            assert_int_equal(sscanf(hex + 2 * b, "%2x", &byte), 1);
            t->record[b] = (uint8_t)byte;
        }
    }
    fclose(f);
}

static inline char *shelf_text(void)
{
    static lines l;
    char *all;

    for (size_t i = 0; i < w.nshelf; i++) lines_add(&l, "%s = %s", w.shelf[i].name, w.shelf[i].value);
    qsort(l.v, l.n, sizeof l.v[0], by_text);
    all = lines_join(l.v, l.n);
    lines_clear(&l);
    return all;
}

#endif /* COCO_TEST_SWEEP_H */
