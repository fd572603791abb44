/* oracle_places.h - the target of test_oracle.c: tables, their indexes, and boxes in them, in memory that outlives a
 * process that is killed. It refuses what a real one would: a row without its container, a container's delete while
 * something is in it. */
#ifndef COCO_TEST_ORACLE_PLACES_H
#define COCO_TEST_ORACLE_PLACES_H

#include "cocoindex.h"
#include "oracle_model.h"

#include <string.h>
#include <unistd.h>

enum { KILLED = 77, FIRST_BOX_KEY = 100 };

/* What is really there, what has happened to it in this update, and when the process is to die. Shared: it outlives
 * killed updates. */
static struct real {
    struct { bool there; int64_t schema; } container[PLACES];
    struct { bool there; int64_t value; } row[PLACES][ROWS];
    int acts[PLACES][ROWS];
    int runs[FNS][VALUES];
    int point, die_at, stop_at;
    int programs, edits, updates, disturbed, function_runs;
} *real;

static struct { int place, row, times, fn; bool transient, batch; } fault;
static coco_app *app;

static void pass_point(void)
{
    int point = __atomic_add_fetch(&real->point, 1, __ATOMIC_RELAXED);

    if (real->die_at && point >= real->die_at) _exit(KILLED);
    if (real->stop_at && point == real->stop_at) coco_app_stop(app);
}

/* ---- The target: places with rows ---- */

struct work { int place, row; int64_t value; coco_children children; };

static coco_status refuse(coco_action *a, const char *why, bool transient)
{
    coco_err err;

    if (transient) coco_transient(&err, COCO_EIO, "%s", why);
    else coco_err_set(&err, COCO_EIO, "%s", why);
    return coco_action_fail(a, &err);
}

/* Whether the tables' root takes their content away with them; boxes always do. */
static bool takes_content(int place) { return place == 1 || place >= TABLES; }

static void apply_container(coco_action *a, const struct work *w)
{
    bool gone = a->kind == COCO_DELETE, rows = false;

    for (int p = 0; p < PLACES; p++) {
        bool inside = is_within(p, w->place);
        for (int r = 0; r < ROWS && inside; r++) {
            rows |= real->row[p][r].there;
            if ((gone && takes_content(w->place)) || w->children == COCO_CHILDREN_DESTROYED) real->row[p][r].there = false;
            if (p == w->place && w->children == COCO_CHILDREN_LOSSY) real->row[p][r].value = -1;
        }
        if (inside && !gone && w->children == COCO_CHILDREN_DESTROYED) real->container[p].there = false;
        if (inside && gone && p != w->place) rows |= real->container[p].there, real->container[p].there = false;
    }
    if (gone && rows && !takes_content(w->place) && w->children != COCO_CHILDREN_DESTROYED) {
        refuse(a, "the container isn't empty", false);
        return;
    }
    real->container[w->place].there = !gone;
    real->container[w->place].schema = w->value;
    a->answer = COCO_OK;
}

static int container_of(int place)
{
    return place < TABLES || place >= 2 * TABLES ? place : place - TABLES;
}

static void apply_row(coco_action *a, const struct work *w)
{
    real->acts[w->place][w->row]++;
    if (a->kind != COCO_DELETE && !real->container[container_of(w->place)].there) {
        refuse(a, "the container isn't there", false);
        return;
    }
    real->row[w->place][w->row].there = a->kind != COCO_DELETE;
    real->row[w->place][w->row].value = w->value;
    if (!fault.batch) a->answer = COCO_OK;
}

static coco_status apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    (void)self;
    for (size_t i = 0; i < n; i++) {
        const struct work *w = actions[i]->value;
        pass_point();
        if (fault.times > 0 && w->place == fault.place && (actions[i]->container || w->row % 4 == fault.row)) {
            fault.times--;
            if (fault.batch) return coco_err_set(err, COCO_EIO, "the batch failed");
            refuse(actions[i], "the row failed", fault.transient);
        } else if (actions[i]->container) {
            apply_container(actions[i], w);
        } else {
            apply_row(actions[i], w);
        }
    }
    return COCO_OK;
}

static coco_sink sink = { .apply = apply, .max_actions = 7, .retry_ms = 50, .name = "places" };

/* Was it to be rebuilt, and may hold what it held before? Those rows have no states any more. */
static bool rebuild_unfinished(const coco_change *in)
{
    int64_t first, other;

    for (size_t i = 1; i < in->npossible; i++) {
        if (in->possible[0].n != sizeof first || in->possible[i].n != sizeof other) continue;
        memcpy(&first, in->possible[0].p, sizeof first);
        memcpy(&other, in->possible[i].p, sizeof other);
        if (first / 100 != other / 100) return true;
    }
    return false;
}

/* Is the one possibility known, and still there? */
static bool known(const coco_change *in, int64_t *value)
{
    if (in->may_be_missing || in->npossible != 1 || in->possible[0].n != sizeof *value) return false;
    memcpy(value, in->possible[0].p, sizeof *value);
    return true;
}

static coco_status decide(coco_ctx *cx, const coco_change *in, struct work w, coco_decision *out)
{
    struct work *kept = coco_alloc(cx, sizeof *kept);
    int64_t before = 0;
    bool sure = known(in, &before);

    if (!kept) return COCO_ENOMEM;
    out->act = true;
    out->action.kind = !in->desired ? COCO_DELETE : in->npossible ? COCO_UPDATE : COCO_INSERT;
    out->action.value = kept;
    *kept = w;
    kept->children = rebuild_unfinished(in) ? COCO_CHILDREN_DESTROYED : COCO_CHILDREN_KEPT;
    if (!in->desired) return COCO_OK;
    kept->value = coco_int_of(*in->desired);
    out->record = coco_copy(cx, (coco_str){ (const char *)&kept->value, sizeof kept->value });
    out->act = !sure || before != kept->value;
    kept->children = !sure || before / 100 != kept->value / 100 ? COCO_CHILDREN_DESTROYED
        : before / 10 != kept->value / 10 ? COCO_CHILDREN_LOSSY : COCO_CHILDREN_KEPT;
    if (w.row < 0) out->children = kept->children;
    return COCO_OK;
}

static void handler(int place, coco_target_handler *out);

/* Rows and boxes; self is the place. */
static coco_status reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    int place = (int)(intptr_t)self, key = (int)coco_int_of(in->key);

    if (place < 0) return decide(cx, in, (struct work){ .place = key, .row = -1 }, out);
    if (key >= FIRST_BOX_KEY) place = box_of(place, key - FIRST_BOX_KEY), key = -1;
    return decide(cx, in, (struct work){ .place = place, .row = key }, out);
}

static coco_status child(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
                         coco_target_handler *out)
{
    int place = (int)(intptr_t)self, inner = (int)coco_int_of(key);

    (void)cx, (void)desired, (void)record;
    handler(place < 0 ? inner : box_of(place, inner - FIRST_BOX_KEY), out);
    return COCO_OK;
}

/* What is there may be told with it, or not. */
static coco_status exists(coco_ctx *cx, void *self, coco_value key, coco_str record, bool *there, coco_str *shape)
{
    int place = (int)(intptr_t)self, inner = (int)coco_int_of(key);
    int at = place < 0 ? inner : box_of(place, inner - FIRST_BOX_KEY);

    (void)record;
    *there = real->container[at].there;
    if (*there && at % 2)
        *shape = coco_copy(cx, (coco_str){ (const char *)&real->container[at].schema, sizeof(int64_t) });
    return coco_error(cx);
}

static coco_status attachment(coco_ctx *cx, void *self, const char *name, coco_target_handler *out)
{
    (void)cx, (void)name;
    handler(index_of((int)(intptr_t)self), out);
    return COCO_OK;
}

static void handler(int place, coco_target_handler *out)
{
    *out = (coco_target_handler){ .name = "places", .self = (void *)(intptr_t)place, .sink = &sink,
                                  .reconcile = reconcile, .child = child, .attachment = attachment,
                                  .exists = exists, .drop_removes_content = true };
}

static coco_status make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    (void)cx;
    handler(-1, out);
    out->drop_removes_content = coco_bool_of(key);
    return COCO_OK;
}

static coco_target_type type = { .name = "places", .make = make };
COCO_AT_START(oracle_target) { coco_target_register(&type); }

/* Somebody else deletes a container, with all that is in it, or gives it another schema. */
static void lose(int place)
{
    for (int p = 0; p < PLACES; p++) {
        if (!is_within(p, place)) continue;
        real->container[p].there = false;
        for (int r = 0; r < ROWS; r++) real->row[p][r].there = false;
    }
}

static void alter(int place, int schema)
{
    if (real->container[place].there && place % 2) real->container[place].schema = schema; /* else nobody would know */
}

#endif
