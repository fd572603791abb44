/* harness.h - what tests of the engine stand on: a state directory per test, an allocator that counts and can fail, an
 * in-memory target "shelf" that keeps its content across updates, and the decisions of each update as lines of text.
 *
 * A test program is one or more COCO_FNs; TEST(name) gives each test a fresh world, and its end asserts that nothing is
 * allocated. `update` opens what isn't open; `restart` closes it, as if the process had ended. Expectations take the
 * exact sequence of lines, or NULL for none:
 *
 *     COCO_FN(app_main, ())
 *     {
 *         coco_target *tab;
 *         COCO_TRY(mount_tab(cx, "tab", MAP1("schema", coco_int(1)), &tab));
 *         return coco_declare(cx, tab, coco_int(1), coco_int(10));
 *     }
 *     …
 *     program(&app_main);
 *     update(NULL);
 *     expect_ran("/", "/@shelf/\"tab\"");
 *     expect_actions("+ shelf:\"tab\"", "+ tab:1");
 *     expect_shelf("shelf:\"tab\" = {\"schema\":1}", "tab:1 = 10");
 *
 * Only the public API is used. Everything is static inline, so that a test need not use all of it. */
#ifndef COCO_TEST_HARNESS_H
#define COCO_TEST_HARNESS_H

#include "cocoindex.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

/* ---- Lines of text ----------------------------------------------------------------------------------------------- */

typedef struct lines {
    char *v[4000];
    size_t n;
} lines;

/* Threads of the pool by the environment (COCOINDEX_THREADS); a promise about the order holds with none. */
static inline unsigned threads_asked(void)
{
    const char *n = getenv("COCOINDEX_THREADS");

    return n ? (unsigned)strtoul(n, NULL, 10) : 0;
}
#define ONE_THREAD_ONLY() \
    do { \
        if (threads_asked()) skip(); \
    } while (0)

static inline void lines_clear(lines *l)
{
    while (l->n) free(l->v[--l->n]);
}

static inline void lines_add(lines *l, const char *fmt, ...) COCO__PRINTF(2, 3);
static inline void lines_add(lines *l, const char *fmt, ...)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* sinks, sources and functions run on any thread */
    char line[8192];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&mutex);
    /* large programs are judged by their counts */
    if (l->n < sizeof l->v / sizeof l->v[0]) l->v[l->n++] = strdup(line);
    pthread_mutex_unlock(&mutex);
}

static inline char *lines_join(char *const *v, size_t n)
{
    size_t size = 1, used = 0;
    char *all;

    for (size_t i = 0; i < n; i++) size += strlen(v[i]) + 1;
    all = calloc(1, size);
    for (size_t i = 0; all && i < n; i++) used += (size_t)snprintf(all + used, size - used, "%s\n", v[i]);
    return all;
}

static inline int lines_order(const void *a, const void *b)
{ return strcmp(*(char *const *)(uintptr_t)a, *(char *const *)(uintptr_t)b); }

/* With a pool (COCOINDEX_THREADS) the lines may come in any order. */
static inline void lines_expect(const lines *l, const char *const *want, const char *file, int line)
{
    size_t n = 0;
    char **got = calloc(l->n + 1, sizeof *got), **wanted, *is, *should;
    bool equal;

    while (want[n]) n++;
    wanted = calloc(n + 1, sizeof *wanted);
    assert_true(got && wanted);
    for (size_t i = 0; i < l->n; i++) got[i] = l->v[i];
    for (size_t i = 0; i < n; i++) wanted[i] = (char *)(uintptr_t)want[i];
    if (threads_asked()) {
        qsort(got, l->n, sizeof *got, lines_order);
        qsort(wanted, n, sizeof *wanted, lines_order);
    }
    is = lines_join(got, l->n);
    should = lines_join(wanted, n);
    free(got);
    free(wanted);
    equal = strcmp(is, should) == 0;
    if (!equal) print_error("expected\n%sgot\n%s", should, is);
    free(is);
    free(should);
    if (!equal) _fail(file, line);
}
#define LINES_EXPECT(l, ...) lines_expect(l, (const char *const[]){ __VA_ARGS__, NULL }, __FILE__, __LINE__)

/* ---- The world of one test --------------------------------------------------------------------------------------- */

/* A state on the shelf. */
typedef struct thing {
    char *name, *value; /* TITLE:key, printed value */
    char *place;        /* title of its content, where it is a container; else NULL */
    bool unique;        /* container: no two rows of one value */
    uint8_t record[48]; /* its tracking record */
} thing;

/* What goes wrong with an action on `name` (or, name "", with any batch): `times` tries fail, -1 for all. */
typedef struct fault {
    char name[80];
    int times;
    bool transient;
} fault;

static struct world {
    coco_env_config env_config; /* may be changed before the first update */
    coco_app_config config;
    coco_env *env;
    coco_app *app;
    char dir[64], saved[80];
    long live, calls, fail_at; /* allocations: not freed, made, and the one that fails (0: none) */
    thing shelf[4000];
    size_t nshelf;
    fault faults[16];
    size_t nfaults;
    void (*before_apply)(void); /* called when a batch reaches the sink */
    bool unsound; /* the test has damaged the database: its end doesn't check it */
    lines actions, events, failures;
    lines asked;        /* containers that were asked for: TITLE:key */
    bool shapes;        /* exists tells what is there, too */
    const char *unsure; /* the container that exists can't tell of; NULL: none */
    int batches;
    coco_status rc; /* of the last update */
    coco_result result;
    coco_err err;
} w;

static inline void *counted_realloc(void *self, void *p, size_t n)
{
    (void)self;
    if (n == 0) {
        __atomic_sub_fetch(&w.live, p != NULL, __ATOMIC_RELAXED);
        free(p);
        return NULL;
    }
    if (__atomic_add_fetch(&w.calls, 1, __ATOMIC_RELAXED) == w.fail_at) return NULL;
    __atomic_add_fetch(&w.live, p == NULL, __ATOMIC_RELAXED);
    return realloc(p, n);
}

/* An event as a line: "started /@item/1 never run", "applied / shelf:\"tab\" insert", "call hit / twice". */
static inline void on_event(void *user, const coco_event *e)
{
    static const char *const kinds[] = { "insert", "update", "delete" };
    bool call = e->kind == COCO_EV_CALL_HIT || e->kind == COCO_EV_CALL_MISS;
    const char *words[] = { call ? e->function : "", e->state, e->kind == COCO_EV_APPLIED ? kinds[e->action] : "",
                            e->detail };
    char line[2000];
    size_t n = (size_t)snprintf(line, sizeof line, "%s %s", coco_event_name(e->kind), e->path);

    (void)user;
    for (size_t i = 0; i < 4; i++)
        if (words[i][0] && n < sizeof line) n += (size_t)snprintf(line + n, sizeof line - n, " %s", words[i]);
    lines_add(&w.events, "%s", line);
}

/* A failure as a line: "/@item/1 COCO_EFAIL the message"; it is passed on. */
static inline bool on_failure(void *user, const coco_failure *f)
{
    (void)user;
    lines_add(&w.failures, "%s %s %s", f->path, coco_status_name(f->code), f->message);
    return false;
}

/* ---- The shelf: the target --------------------------------------------------------------------------------------- */

/* Where an action goes; the handler's self. */
typedef struct place {
    const char *title;
    bool root, attachment;
} place;

/* What an action carries: the desired value as it will stand on the shelf. */
typedef struct cargo {
    const char *value;
    bool unique;
    uint8_t record[48];
} cargo;

static inline thing *shelf_find(const char *name)
{
    for (size_t i = 0; i < w.nshelf; i++)
        if (strcmp(w.shelf[i].name, name) == 0) return &w.shelf[i];
    return NULL;
}

static inline void shelf_take(thing *t)
{
    free(t->name);
    free(t->value);
    free(t->place);
    *t = w.shelf[--w.nshelf];
}

/* Takes off the content of a container, at any depth; returns how much there was. With drop false it is only
 * counted. */
static inline size_t shelf_content(const char *title, bool drop)
{
    size_t n = 0, len = strlen(title);

    for (size_t i = w.nshelf; i-- > 0;) {
        const char *name = w.shelf[i].name;
        if (strncmp(name, title, len) != 0 || (name[len] != ':' && name[len] != '/')) continue;
        n++;
        if (drop) shelf_take(&w.shelf[i]);
    }
    return n;
}

static inline const char *place_of_key(const place *p, coco_value key, char *out, size_t size)
{
    char text[200];

    if (key.kind == COCO_INT) snprintf(text, sizeof text, "%lld", (long long)key.as.integer);
    else snprintf(text, sizeof text, "%.*s", (int)coco_text_of(key).n, coco_text_of(key).p);
    snprintf(out, size, p->root ? "%.0s%s" : "%s/%s", p->title, text);
    return out;
}

/* TITLE:key of a state. */
static inline const char *state_name(const place *p, coco_value key, char *out, size_t size)
{
    const char *quote = key.kind == COCO_TEXT_KIND ? "\"" : "";
    char text[300];

    place_of_key(&(place){ "", true, false }, key, text, sizeof text);
    snprintf(out, size, "%s:%s%s%s", p->title, quote, text, quote);
    return out;
}
static inline const char *action_name(const coco_action *a, char *out, size_t size)
{
    return state_name(coco_target_self(a->target), a->key, out, size);
}

/* Takes a container and its content off the shelf behind the engine's back. */
static inline void shelf_lose(const char *name)
{
    thing *t = shelf_find(name);
    char inside[300];

    assert_non_null(t);
    assert_non_null(t->place);
    snprintf(inside, sizeof inside, "%s", t->place);
    shelf_content(inside, true);
    shelf_take(shelf_find(name));
}

/* Decides whether an action (or, name "", a batch) fails now. */
static inline bool faulty(const char *name, bool *transient)
{
    for (size_t i = 0; i < w.nfaults; i++) {
        fault *f = &w.faults[i];
        if (strcmp(f->name, name) != 0 || f->times == 0) continue;
        if (f->times > 0) f->times--;
        *transient = f->transient;
        return true;
    }
    return false;
}

/* What stands in the way of an action, as a database would say; NULL: nothing. */
static inline const char *shelf_refuses(const coco_action *a, const char *name)
{
    const place *p = coco_target_self(a->target);
    const thing *container = NULL;
    const cargo *c = a->value;
    char inside[300];

    for (size_t i = 0; i < w.nshelf && !container; i++)
        if (w.shelf[i].place && strcmp(w.shelf[i].place, p->title) == 0) container = &w.shelf[i];
    if (a->kind == COCO_DELETE)
        return a->container && strncmp(name, "crate:", 6) != 0 && shelf_find(name) &&
               shelf_content(place_of_key(p, a->key, inside, sizeof inside), false) ? "not empty" : NULL;
    if (!p->root && !p->attachment && !container) return "no such container";
    for (size_t i = 0, len = strlen(p->title); container && container->unique && i < w.nshelf; i++)
        if (strncmp(w.shelf[i].name, p->title, len) == 0 && w.shelf[i].name[len] == ':' &&
            strcmp(w.shelf[i].name, name) != 0 && strcmp(w.shelf[i].value, c->value) == 0)
            return "not unique";
    return NULL;
}

static inline void shelf_put(const coco_action *a, const char *name)
{
    const place *p = coco_target_self(a->target);
    char inside[300];
    thing *t = shelf_find(name);
    const cargo *c = a->value;

    place_of_key(p, a->key, inside, sizeof inside);
    if (a->kind == COCO_DELETE) {
        if (!t) return;
        if (a->container) shelf_content(inside, true);
        if ((t = shelf_find(name)) != NULL) shelf_take(t);
        return;
    }
    if (!t) {
        assert_true(w.nshelf < sizeof w.shelf / sizeof w.shelf[0]);
        t = &w.shelf[w.nshelf++];
        *t = (thing){ .name = strdup(name) };
    }
    free(t->value);
    free(t->place);
    *t = (thing){ t->name, strdup(c->value), a->container ? strdup(inside) : NULL, c->unique, { 0 } };
    memcpy(t->record, c->record, sizeof t->record);
}

static inline coco_status shelf_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    char name[700];
    bool transient = false;

    (void)self;
    w.batches++;
    if (w.before_apply) w.before_apply();
    if (faulty("", &transient))
        return transient ? coco_transient(err, COCO_EIO, "batch refused")
            : coco_err_set(err, COCO_EIO, "batch refused");
    for (size_t i = 0; i < n; i++) {
        const char *refused = shelf_refuses(actions[i], action_name(actions[i], name, sizeof name));
        coco_err e = { 0 };
        if (faulty(name, &transient)) refused = "refused";
        lines_add(&w.actions, "%c %s", refused ? '!' : "+~-"[actions[i]->kind], name);
        if (!refused) shelf_put(actions[i], name);
        else if (transient) coco_transient(&e, COCO_EIO, "%s", refused), coco_action_fail(actions[i], &e);
        else coco_err_set(&e, COCO_EIO, "%s", refused), coco_action_fail(actions[i], &e);
        transient = false;
    }
    return COCO_OK;
}

static coco_sink shelf_sink = { .apply = shelf_apply, .name = "shelf", .retry_ms = 200 };

/* A record is three fingerprints: of the value's "schema", of its "lossy", and of all of it. */
static inline coco_status shelf_record(coco_value v, uint8_t fp[48])
{
    COCO_TRY(coco_fingerprint(coco_get(v, "schema"), fp));
    COCO_TRY(coco_fingerprint(coco_get(v, "lossy"), fp + 16));
    return coco_fingerprint(v, fp + 32);
}

/* Changes a state to what would have been declared as v, behind the engine's back. */
static inline void shelf_alter(const char *name, coco_value v, const char *printed)
{
    thing *t = shelf_find(name);

    assert_non_null(t);
    assert_int_equal(shelf_record(v, t->record), COCO_OK);
    free(t->value);
    t->value = strdup(printed);
}

static inline coco_status shelf_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    uint8_t fp[48];
    coco_str text;
    bool destroyed = false, lossy = false, other = in->npossible != 1 || in->may_be_missing, there = false;

    (void)self;
    for (size_t i = 0; i < in->npossible; i++) there |= in->possible[i].p != NULL;
    out->act = true;
    out->action.kind = !in->desired ? COCO_DELETE : there ? COCO_UPDATE : COCO_INSERT;
    if (!in->desired) return COCO_OK;
    COCO_TRY(shelf_record(*in->desired, fp));
    for (size_t i = 0; i < in->npossible; i++) {
        coco_str old = in->possible[i];
        destroyed |= old.n == sizeof fp && memcmp(old.p, fp, 16) != 0;
        lossy |= old.n == sizeof fp && memcmp(old.p + 16, fp + 16, 16) != 0;
        other |= old.n != sizeof fp || memcmp(old.p, fp, sizeof fp) != 0;
    }
    out->act = other;
    out->children = destroyed ? COCO_CHILDREN_DESTROYED : lossy ? COCO_CHILDREN_LOSSY : COCO_CHILDREN_KEPT;
    out->record = coco_copy(cx, (coco_str){ (const char *)fp, sizeof fp });
    if (!other) return COCO_OK;
    COCO_TRY(coco_print(cx, *in->desired, &text));
    cargo *c = coco_alloc(cx, sizeof *c);
    if (!c) return COCO_ENOMEM;
    *c = (cargo){ coco_copy(cx, text).p, coco_bool_of(coco_get(*in->desired, "unique")), { 0 } };
    memcpy(c->record, fp, sizeof fp);
    out->action.value = c;
    return out->record.p && c->value ? COCO_OK : COCO_ENOMEM;
}

static inline coco_status shelf_handler(coco_ctx *cx, const char *title, bool attachment, coco_target_handler *out);

static inline coco_status shelf_child(coco_ctx *cx, void *self, coco_value key, const coco_value *desired,
                                      coco_str record, coco_target_handler *out)
{
    char title[300];

    (void)desired, (void)record;
    return shelf_handler(cx, place_of_key(self, key, title, sizeof title), false, out);
}

static inline coco_status shelf_attachment(coco_ctx *cx, void *self, const char *name, coco_target_handler *out)
{
    const place *p = self;

    if (strcmp(name, "index") != 0) return coco_fail(cx, COCO_EINVAL, "%s has no attachment %s", p->title, name);
    return shelf_handler(cx, coco_format(cx, "%s/%s", p->title, name).p, true, out);
}

static inline coco_status shelf_exists(coco_ctx *cx, void *self, coco_value key, coco_str record, bool *exists,
                                       coco_str *shape)
{
    char name[700];
    thing *t = shelf_find(state_name(self, key, name, sizeof name));

    (void)record;
    lines_add(&w.asked, "%s", name);
    if (w.unsure && strcmp(w.unsure, name) == 0) return coco_fail(cx, COCO_EIO, "the shelf is out of sight");
    *exists = t != NULL;
    if (t && w.shapes) *shape = coco_copy(cx, (coco_str){ (char *)t->record, sizeof t->record });
    return COCO_OK;
}

static inline coco_status shelf_verify(coco_ctx *cx, void *self, coco_finding *states, size_t n)
{
    char name[700];

    (void)cx;
    for (size_t i = 0; i < n; i++) {
        coco_finding *f = &states[i];
        const thing *t = shelf_find(state_name(self, f->key, name, sizeof name));
        bool same = t && f->record.n == sizeof t->record && memcmp(f->record.p, t->record, f->record.n) == 0;
        f->verdict = same ? COCO_STATE_OK : t ? COCO_STATE_DIFFERENT : COCO_STATE_MISSING;
        if (t && !same) f->detail = COCO_STR("value");
    }
    return COCO_OK;
}

static inline coco_status shelf_handler(coco_ctx *cx, const char *title, bool attachment, coco_target_handler *out)
{
    place *p = coco_alloc(cx, sizeof *p);

    if (!p || !title || !(p->title = coco_copy(cx, coco_str_of(title)).p)) return COCO_ENOMEM;
    p->attachment = attachment;
    *out = (coco_target_handler){ .name = "shelf", .self = p, .sink = &shelf_sink, .reconcile = shelf_reconcile,
                                  .child = shelf_child, .attachment = shelf_attachment, .exists = shelf_exists,
                                  .verify = shelf_verify };
    return COCO_OK;
}

/* Two kinds of root: what is in a container of the crate goes with it, on the shelf it must be taken out first. */
static inline coco_status shelf_make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    COCO_TRY(shelf_handler(cx, coco_bool_of(key) ? "crate" : "shelf", false, out));
    ((place *)out->self)->root = true;
    out->drop_removes_content = coco_bool_of(key);
    return COCO_OK;
}

static coco_target_type shelf_type = { "shelf", shelf_make, NULL };
COCO_AT_START(shelf) { coco_target_register(&shelf_type); }

/* For programs: a container of the shelf for everyone to declare into; schema such as MAP1("schema", coco_int(1)),
 * or null. */
static inline coco_target *root(coco_ctx *cx) { return coco_target_new(cx, "shelf", coco_null(), "shelf"); }
static inline coco_target *crate(coco_ctx *cx) { return coco_target_new(cx, "shelf", coco_bool(true), "crate"); }
static inline coco_status mount_tab(coco_ctx *cx, const char *name, coco_value schema, coco_target **out)
{
    return coco_mount_target(cx, root(cx), coco_text(name), schema, NULL, out);
}
#define MAP1(k, v) coco_map_value((const coco_pair[]){ { COCO_STR(k), v } }, 1)

/* ---- A source ---------------------------------------------------------------------------------------------------- */

/* The words of a text as items: "1=10" has the int key 1 and the value [1,10]; "a=10" a text key. "?1" and "?a" can't
 * be read, nor can anything that begins with a for "?a*"; "!" ends the listing with COCO_EIO. The text must outlive the
 * source. */
static inline int items_next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    const char *p = src->self, *end, *equals;
    coco_value kv[2];

    while (*p == ' ') p++;
    for (end = p; *end && *end != ' ';) end++;
    src->self = (void *)(uintptr_t)end;
    if (p == end) return 0;
    if (*p == '!') return coco_fail(cx, COCO_EIO, "the listing broke off");
    bool unread = *p == '?', all = end[-1] == '*';
    p += unread;
    for (equals = p; equals < end && *equals != '=';) equals++;
    *key = *p >= '0' && *p <= '9' ? coco_int(atoi(p))
        : coco_text_n((coco_str){ p, (size_t)(equals - p) - (all ? 1 : 0) });
    *value = coco_bool(all);
    if (unread) return coco_fail(cx, COCO_EUNREAD, "no permission");
    kv[0] = *key, kv[1] = coco_int(atoi(equals + 1));
    *value = coco_copy_value(cx, coco_list(kv, 2));
    return 1;
}

static inline coco_source *items(coco_ctx *cx, const char *text, bool ordered)
{
    coco_source *src = coco_source_new(cx);

    if (!src) return NULL;
    src->title = "items";
    src->ordered = ordered;
    src->self = (void *)(uintptr_t)text;
    src->next = items_next;
    return src;
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

static inline void program(const coco_fn *main_fn) { w.config.main = main_fn; }

/* Closes what is open, as the end of a process does. The shelf stays. */
static inline void restart(void)
{
    coco_result_free(&w.result);
    coco_app_close(w.app);
    coco_env_close(w.env);
    w.app = NULL;
    w.env = NULL;
}

/* Opens what isn't open; the status stands in w.rc, the message in w.err. */
static inline coco_status open_world(void)
{
    w.env_config.db = w.dir;
    if (!w.env && (w.rc = coco_env_open(&w.env_config, &w.env, &w.err)) != COCO_OK) return w.rc;
    if (!w.app && (w.rc = coco_app_open(w.env, &w.config, &w.app, &w.err)) != COCO_OK) return w.rc;
    return w.rc = COCO_OK;
}

static inline void begin_run(void)
{
    coco_result_free(&w.result);
    memset(&w.err, 0, sizeof w.err);
    lines_clear(&w.actions);
    lines_clear(&w.events);
    lines_clear(&w.failures);
    lines_clear(&w.asked);
    w.batches = 0;
}

/* An update whatever comes of it; what it did stands in w. */
static inline coco_status try_update(const coco_update_opts *opts)
{
    begin_run();
    if (open_world() == COCO_OK) w.rc = coco_update(w.app, opts, &w.result, &w.err);
    return w.rc;
}

static inline coco_status try_drop(void)
{
    begin_run();
    if (open_world() == COCO_OK) w.rc = coco_drop(w.app, &w.result, &w.err);
    return w.rc;
}

static inline void expect_rc(coco_status rc, const char *file, int line)
{
    if (w.rc == rc) return;
    print_error("expected %s, got %s: %s\n", coco_status_name(rc), coco_status_name(w.rc), w.err.msg);
    for (size_t i = 0; i < w.failures.n; i++) print_error("  %s\n", w.failures.v[i]);
    _fail(file, line);
}
#define update(opts) (try_update(opts), expect_rc(COCO_OK, __FILE__, __LINE__))
#define update_fails(rc, opts) (try_update(opts), expect_rc(rc, __FILE__, __LINE__))
#define drop_all() (try_drop(), expect_rc(COCO_OK, __FILE__, __LINE__))
#define OPTS(...) (&(coco_update_opts){ __VA_ARGS__ })

/* ---- Faults ------------------------------------------------------------------------------------------------------ */

/* The next `times` actions on name (TITLE:key; "" is any batch as a whole) fail; -1: until faults_clear. */
static inline void fault_on(const char *name, int times, bool transient)
{
    fault *f = &w.faults[w.nfaults++];

    assert_true(w.nfaults <= sizeof w.faults / sizeof w.faults[0]);
    snprintf(f->name, sizeof f->name, "%s", name);
    f->times = times;
    f->transient = transient;
}
static inline void faults_clear(void) { w.nfaults = 0; }

static inline void copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    static char buf[1 << 16];

    assert_non_null(in);
    assert_non_null(out);
    for (size_t n; (n = fread(buf, 1, sizeof buf, in)) > 0;) assert_int_equal(fwrite(buf, 1, n, out), n);
    fclose(in);
    fclose(out);
}

/* A crash: db_save at some moment of an update (in before_apply), db_crash after it. The database is then as it was,
 * the shelf keeps what it got. */
static inline void db_save(void)
{
    char path[100];

    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    copy_file(path, w.saved);
}
static inline void db_crash(void)
{
    char path[100];

    restart();
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    copy_file(w.saved, path);
}

/* Bytes of the database as a fingerprint: what writes nothing leaves it as it is. */
static inline void db_print(uint8_t fp[16])
{
    char path[100];
    static char buf[1 << 16];
    coco_hash h;
    FILE *f;

    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_non_null(f = fopen(path, "rb"));
    coco_hash_begin(&h);
    for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;) coco_hash_add(&h, buf, n);
    coco_hash_end(&h, fp);
    fclose(f);
}

/* ---- Expectations ------------------------------------------------------------------------------------------------ */

/* The events whose line begins with `word`, without it; `whole` false cuts the line after the path. */
static inline void events_expect(const char *word, bool whole, const char *const *want, const char *file, int line)
{
    static lines some;
    size_t n = strlen(word);

    lines_clear(&some);
    for (size_t i = 0; i < w.events.n; i++) {
        const char *e = w.events.v[i];
        if (strncmp(e, word, n) != 0 || e[n] != ' ') continue;
        lines_add(&some, "%.*s", whole ? (int)strlen(e) : (int)strcspn(e + n + 1, " "), e + n + 1);
    }
    lines_expect(&some, want, file, line);
    lines_clear(&some);
}
#define EVENTS_EXPECT(word, whole, ...) \
    events_expect(word, whole, (const char *const[]){ __VA_ARGS__, NULL }, __FILE__, __LINE__)

#define expect_events(kind, ...) EVENTS_EXPECT(kind, true, __VA_ARGS__) /* "gone", "/@item/1" */
#define expect_ran(...) EVENTS_EXPECT("started", false, __VA_ARGS__)    /* paths, in order */
#define expect_why(...) EVENTS_EXPECT("started", true, __VA_ARGS__)     /* "/@item/1 never run" */
#define expect_hits(...) EVENTS_EXPECT("hit", false, __VA_ARGS__)
#define expect_actions(...) LINES_EXPECT(&w.actions, __VA_ARGS__) /* "+ tab:1", "~ tab:2", "- tab:3", "! tab:4" */
#define expect_failures(...) LINES_EXPECT(&w.failures, __VA_ARGS__) /* "/@item/1 COCO_EFAIL message" */
#define expect_asked(...) LINES_EXPECT(&w.asked, __VA_ARGS__)     /* containers whose existence was asked for */

static inline int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* What is on the shelf, sorted by name: "tab:1 = 10". */
static inline void shelf_expect(const char *const *want, const char *file, int line)
{
    static lines is;

    lines_clear(&is);
    for (size_t i = 0; i < w.nshelf; i++) lines_add(&is, "%s = %s", w.shelf[i].name, w.shelf[i].value);
    qsort(is.v, is.n, sizeof is.v[0], by_text);
    lines_expect(&is, want, file, line);
    lines_clear(&is);
}
#define expect_shelf(...) shelf_expect((const char *const[]){ __VA_ARGS__, NULL }, __FILE__, __LINE__)

/* An update that runs no memoized function, sends no action and leaves the database as it is, byte for byte. */
static inline void update_writes_nothing(const char *file, int line)
{
    uint8_t before[16], after[16];

    db_print(before);
    try_update(NULL);
    expect_rc(COCO_OK, file, line);
    db_print(after);
    lines_expect(&w.actions, (const char *const[]){ NULL }, file, line);
    if (w.result.run == 0 && memcmp(before, after, 16) == 0) return;
    print_error("the database was written\n");
    _fail(file, line);
}
#define expect_nothing_written() update_writes_nothing(__FILE__, __LINE__)

/* ---- A test's begin and end -------------------------------------------------------------------------------------- */

static inline int world_begin(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    /* memory if there is some */
    snprintf(w.dir, sizeof w.dir, "%s/coco-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.saved, sizeof w.saved, "%s/saved", w.dir);
    w.env_config = (coco_env_config){ .allocator = { counted_realloc, NULL }, .on_event = on_event,
                                      .on_failure = on_failure, .map_size = (size_t)1 << 30 };
    w.config = (coco_app_config){ .name = "test" };
    return 0;
}

/* Nothing may be wrong with what is recorded; says what is. */
static inline coco_status say_problem(void *user, const coco_problem *p)
{
    (void)user;
    print_error("check: %s: %s\n", p->path, p->what);
    return COCO_OK;
}
static inline void expect_sound(const char *file, int line)
{
    const coco_check_visitor v = { NULL, say_problem };
    const coco_check_opts here = { .same_process = true };

    if (coco_check(w.env, NULL, &here, &v, &w.err) == COCO_OK) return;
    print_error("check: %s\n", w.err.msg);
    _fail(file, line);
}

static inline int world_end(void **state)
{
    static const char *const files[] = { "data.mdb", "lock.mdb", "cocoindex.lock", "saved" };
    char path[100];

    (void)state;
    w.before_apply = NULL;
    if (w.env && !w.unsound) expect_sound(__FILE__, __LINE__);
    restart();
    begin_run();
    while (w.nshelf) shelf_take(&w.shelf[0]);
    for (size_t i = 0; i < 4; i++) snprintf(path, sizeof path, "%s/%s", w.dir, files[i]), remove(path);
    rmdir(w.dir);
    assert_int_equal(w.live, 0);
    return 0;
}
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_begin, world_end)

#endif /* COCO_TEST_HARNESS_H */
