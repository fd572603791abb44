/* oracle_model.h - what a program declares when it runs from nothing, and the least that must run to come there from
 * another program. Written from the rules (S3, S4, S6, S7), simple on purpose: no records, no memory of earlier updates
 * but their programs.
 *
 * After an update that went well, what is memoized is all that the program's run from nothing would memoize, no more.
 * So the least to do is a matter of two traces: a memoized call or component need not run if the old trace has it and
 * nothing that it depends on differs. What it depends on are sets of functions, contexts, parameters and places, as
 * bits of one number. */
#ifndef COCO_TEST_ORACLE_MODEL_H
#define COCO_TEST_ORACLE_MODEL_H

#include "oracle_program.h"

enum { NODES = 400 };

/* Dependencies as bits. Whether a table is there is read as a context. */
static inline uint64_t fn_bit(int f) { return (uint64_t)1 << f; }
static inline uint64_t context_bit(int c) { return (uint64_t)1 << (FNS + c); }
static inline uint64_t table_bit(int t) { return (uint64_t)1 << (FNS + CONTEXTS + t); }
static inline uint64_t param_bit(int c) { return (uint64_t)1 << (FNS + CONTEXTS + TABLES + c); }
static inline uint64_t place_bit(int p) { return (uint64_t)1 << (FNS + CONTEXTS + TABLES + PARAMS + p); }

/* One run of a function: of a component or a call. */
typedef struct node {
    bool component, declares, lists; /* it or something below it declares a state, goes over a list */
    int f, x, parent, component_node;
    uint64_t path;  /* of the component, as a number */
    int slot, key;  /* of the component: its path below its parent's, ITEMS: no key */
    uint64_t deps;  /* its own and those of all below it */
} node;

typedef struct trace {
    node v[NODES];
    uint64_t mount[NODES]; /* places in the path at which something is mounted, also an empty list */
    int n, nmounts;
    bool wrong; /* this is no program: something declared or mounted twice, too large … */
    struct { bool there; int schema; } container[PLACES];
    struct { bool there; int value; uint64_t owner; } row[PLACES][ROWS];
} trace;

static int model_run(trace *t, const program *p, node what);

static void model_row(trace *t, int place, int row, int value, uint64_t owner)
{
    t->wrong |= t->row[place][row].there;
    t->row[place][row].there = true;
    t->row[place][row].value = value;
    t->row[place][row].owner = owner;
}

static void model_declare(trace *t, const program *p, node *n, const statement *s, int acc)
{
    int place = s->kind == BOX ? box_of(s->what, s->which) : s->indexed ? index_of(s->what) : s->what;

    n->deps |= table_bit(s->what);
    if (!p->table[s->what]) return;
    n->declares = true;
    n->deps |= place_bit(place) | place_bit(s->what);
    if (s->kind == BOX) {
        t->wrong |= t->container[place].there;
        t->container[place].there = true;
        t->container[place].schema = box_schema(acc);
        model_row(t, place, 0, acc, n->path);
        model_row(t, place, 1, 1, n->path);
    } else {
        model_row(t, place, row_of(s, n->x), s->by_value ? acc : 7, n->path);
    }
}

/* Runs a child of node i; returns its result. */
static int model_child(trace *t, const program *p, int i, const statement *s, int key, int x)
{
    bool component = s->kind != CALL;
    node what = { .component = component, .f = s->what, .x = x, .parent = i, .path = t->v[i].path,
                  .slot = s->slot, .key = key, .component_node = t->v[i].component_node };
    int at = t->n, result;

    if (s->what <= t->v[i].f || s->what >= FNS || t->n == NODES) {
        t->wrong = true;
        return 0;
    }
    if (component) what.path = (t->v[i].path ^ (uint64_t)(s->slot * 16 + key + 1)) * 1099511628211u;
    for (int k = 0; component && k < t->n; k++) t->wrong |= t->v[k].component && t->v[k].path == what.path;
    result = model_run(t, p, what);
    t->v[i].deps |= t->v[at].deps;
    t->v[i].declares |= !component && t->v[at].declares;
    t->v[i].lists |= t->v[at].lists;
    return result;
}

static void model_mount(trace *t, const node *n, const statement *s)
{
    uint64_t place = n->path * 31 + (uint64_t)s->slot;

    for (int k = 0; k < t->nmounts; k++) t->wrong |= t->mount[k] == place;
    if (t->nmounts == NODES) t->wrong = true;
    else t->mount[t->nmounts++] = place;
}

static void model_each(trace *t, const program *p, int i, const statement *s)
{
    t->v[i].lists = true;
    t->wrong |= s->what >= FNS; /* also of an empty list */
    for (int k = 0; k < ITEMS; k++)
        if (p->item[s->which][k].there) model_child(t, p, i, s, k, p->item[s->which][k].value);
}

static int model_run(trace *t, const program *p, node what)
{
    int i = t->n++, acc = what.x;
    const function *f = &p->fn[what.f];

    if (what.component) what.component_node = i;
    what.deps = fn_bit(what.f);
    t->v[i] = what;
    for (const statement *s = f->s; s < f->s + f->n && !t->wrong; s++) {
        int arg = s->by_value ? acc : s->which;
        if (s->kind >= MOUNT) model_mount(t, &t->v[i], s);
        switch (s->kind) {
        case DECLARE:
        case BOX: model_declare(t, p, &t->v[i], s, acc); break;
        case CALL:
        case USE: acc = add_up(acc, model_child(t, p, i, s, ITEMS, arg)); break;
        case MOUNT: model_child(t, p, i, s, ITEMS, arg); break;
        case EACH: model_each(t, p, i, s); break;
        case READ_CONTEXT: acc = add_up(acc, p->context[s->what]), t->v[i].deps |= context_bit(s->what); break;
        case READ_PARAM: acc = add_up(acc, p->param[s->what]), t->v[i].deps |= param_bit(s->what); break;
        case KINDS: break;
        }
    }
    t->wrong |= f->memo && t->v[i].lists;
    return acc;
}

/* Runs a program from nothing. */
static void model(trace *t, const program *p)
{
    memset(t, 0, sizeof *t);
    for (int i = 0; i < TABLES; i++) {
        t->container[i].there = p->table[i];
        t->container[i].schema = p->schema[i];
    }
    model_run(t, p, (node){ .component = true, .parent = -1, .path = 1 });
}

/* ---- The least to do ---- */

/* Another schema by the hundreds destroys what is in a container, by the tens loses its values. After a disturbance
 * it isn't known which of the two schemas is there, and it is made anew. */
static uint64_t model_changes(const program *from, const program *to, bool disturbed)
{
    uint64_t d = 0;

    for (int f = 0; f < FNS; f++)
        if (logic_of(from, f) != logic_of(to, f)) d |= fn_bit(f);
    for (int c = 0; c < CONTEXTS; c++)
        if (from->context[c] != to->context[c]) d |= context_bit(c);
    for (int c = 0; c < PARAMS; c++)
        if (from->param[c] != to->param[c]) d |= param_bit(c);
    for (int t = 0; t < TABLES; t++) {
        bool again = from->table[t] != to->table[t];
        if (again) d |= table_bit(t);
        again |= disturbed ? from->schema[t] != to->schema[t] : from->schema[t] / 10 != to->schema[t] / 10;
        if (again) d |= place_bit(t) | place_bit(index_of(t));
    }
    return d;
}

/* What an update begins with: the programs since the last one that went well, it included (none at first), and their
 * traces. What any of them may have left counts as left. */
enum { PASTS = 8 };
typedef struct past {
    program p[PASTS];
    trace t[PASTS];
    int n;
    bool nothing_holds; /* everything must run */
    uint64_t lost;      /* places that somebody else has deleted or altered since */
} past;

/* Whether `old` holds the memo of node n, and it is valid. */
static bool model_holds(const past *old, int i, const program *now, const node *n)
{
    const trace *t = &old->t[i];
    uint64_t changes = model_changes(&old->p[i], now, old->n > 1) | old->lost;

    if (!old->p[i].fn[n->f].memo) return false;
    for (const node *o = t->v; o < t->v + t->n; o++) {
        if (o->component != n->component || o->f != n->f || o->x != n->x || (o->deps & changes)) continue;
        if ((!n->component && !o->declares) || o->path == n->path) return true;
    }
    return false;
}

/* How often each function must run at most with each argument: runs[f][x]. */
typedef int model_counts[FNS][VALUES];

static bool model_done(const trace *t, const bool *ran, int i)
{
    const node *n = &t->v[i];

    for (int k = 0; k < i; k++)
        if (ran[k] && !t->v[k].component && t->v[k].f == n->f && t->v[k].x == n->x && !t->v[k].declares) return true;
    return false;
}

static void model_least(const past *old, const program *now, const trace *t, model_counts runs)
{
    bool ran[NODES] = { false };

    memset(runs, 0, sizeof(model_counts));
    for (int i = 0; i < t->n; i++) {
        const node *n = &t->v[i];
        bool hit = now->fn[n->f].memo && old->n && !old->nothing_holds;
        if (n->parent >= 0 && !ran[n->parent]) continue;
        for (int k = 0; k < old->n && hit; k++) hit = model_holds(old, k, now, n);
        if (now->fn[n->f].memo && !n->component && !hit) hit = model_done(t, ran, i);
        ran[i] = !hit;
        if (!hit) runs[n->f][n->x]++;
    }
}

#endif
