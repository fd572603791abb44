/* harness.h - what tests of the engine stand on: a state directory per test, an allocator that counts and can fail, an
 * in-memory target "shelf" that keeps its content across updates, and the decisions of each update as lines of text.
 *
 * A test program is one or more COCO_FNs; TEST(name) gives each test a fresh world, and its end asserts that nothing is
 * allocated. `update` opens what isn't open; `restart` closes it, as if the process had ended. Expectations take the
 * exact sequence of lines, or NULL for none:
 *
 *     COCO_FN(app_main, ()) { … coco_declare(cx, table(cx, "tab", NULL), coco_int(1), coco_int(10)) … }
 *     program(&app_main);
 *     update(NULL);
 *     expect_ran("/", "/[@shelf,\"tab\"]");
 *     expect_actions("+ shelf:\"tab\"", "+ tab:1");
 *     expect_shelf("shelf:\"tab\" = {}", "tab:1 = 10");
 *
 * Only the public API is used. Everything is static inline, so that a test need not use all of it. */
#ifndef COCO_TEST_HARNESS_H
#define COCO_TEST_HARNESS_H

#include "cocoindex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

/* ---- Lines of text ------------------------------------------------------------------------------------------------------ */

typedef struct lines {
    char *v[4000];
    size_t n;
} lines;

static inline void lines_clear(lines *l)
{
    while (l->n) free(l->v[--l->n]);
}

static inline void lines_add(lines *l, const char *fmt, ...) COCO__PRINTF(2, 3);
static inline void lines_add(lines *l, const char *fmt, ...)
{
    va_list ap;

    if (l->n == sizeof l->v / sizeof l->v[0]) return; /* large programs are judged by their counts */
    va_start(ap, fmt);
    if (vasprintf(&l->v[l->n], fmt, ap) >= 0) l->n++;
    va_end(ap);
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

static inline void lines_expect(const lines *l, const char *const *want, const char *file, int line)
{
    size_t n = 0;
    char *is = lines_join(l->v, l->n), *should;
    bool equal;

    while (want[n]) n++;
    should = lines_join((char *const *)(uintptr_t)want, n);
    equal = strcmp(is, should) == 0;
    if (!equal) print_error("expected\n%sgot\n%s", should, is);
    free(is);
    free(should);
    if (!equal) _fail(file, line);
}
#define LINES_EXPECT(l, ...) lines_expect(l, (const char *const[]){ __VA_ARGS__, NULL }, __FILE__, __LINE__)

/* ---- The world of one test ---------------------------------------------------------------------------------------------- */

/* A state on the shelf. */
typedef struct thing {
    char *name, *value; /* TITLE:key, printed value */
    char *place;        /* title of its content, where it is a container; else NULL */
    bool unique;        /* container: no two rows of one value */
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
    char dir[64], saved[64];
    long live, calls, fail_at; /* allocations: not freed, made, and the one that fails (0: none) */
    thing shelf[4000];
    size_t nshelf;
    fault faults[16];
    size_t nfaults;
    void (*before_apply)(void); /* called when a batch reaches the sink */
    lines actions, events, failures;
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
    const char *words[] = { call ? e->function : "", e->state, e->kind == COCO_EV_APPLIED ? kinds[e->action] : "", e->detail };
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

/* ---- The shelf: the target ---------------------------------------------------------------------------------------------- */

/* Where an action goes; the handler's self. */
typedef struct place {
    const char *title;
    bool root, attachment;
} place;

/* What an action carries: the desired value as it will stand on the shelf. */
typedef struct cargo {
    char *value;
    bool unique;
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

/* Takes off the content of a container, at any depth; returns how much there was. With drop false it is only counted. */
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

/* TITLE:key of an action. */
static inline const char *action_name(const coco_action *a, char *out, size_t size)
{
    const place *p = coco_target_self(a->target);
    const char *quote = a->key.kind == COCO_TEXT_KIND ? "\"" : "";
    char key[300];

    place_of_key(&(place){ "", true, false }, a->key, key, sizeof key);
    snprintf(out, size, "%s:%s%s%s", p->title, quote, key, quote);
    return out;
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
        if (strncmp(w.shelf[i].name, p->title, len) == 0 && w.shelf[i].name[len] == ':' && strcmp(w.shelf[i].name, name) != 0 &&
            strcmp(w.shelf[i].value, c->value) == 0) return "not unique";
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
    *t = (thing){ t->name, strdup(c->value), a->container ? strdup(inside) : NULL, c->unique };
}

static inline coco_status shelf_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    char name[300];
    bool transient = false;

    (void)self;
    w.batches++;
    if (w.before_apply) w.before_apply();
    if (faulty("", &transient))
        return transient ? coco_transient(err, COCO_EIO, "batch refused") : coco_err_set(err, COCO_EIO, "batch refused");
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
    COCO_TRY(coco_fingerprint(coco_get(*in->desired, "schema"), fp));
    COCO_TRY(coco_fingerprint(coco_get(*in->desired, "lossy"), fp + 16));
    COCO_TRY(coco_fingerprint(*in->desired, fp + 32));
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
    *c = (cargo){ coco_copy(cx, text).p ? (char *)(uintptr_t)text.p : NULL, coco_bool_of(coco_get(*in->desired, "unique")) };
    out->action.value = c;
    return out->record.p && c->value ? COCO_OK : COCO_ENOMEM;
}
