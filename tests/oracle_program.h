/* oracle_program.h - programs as data, for test_oracle.c: what functions do, what they read, and the edits that make
 * one program from another. A program begins empty and is made by edits alone, so that fewer edits are a smaller program.
 *
 * A function's body is a list of statements over an accumulator, which begins as its argument and is its result; so
 * whatever a function reads shows in what it and its callers declare. Its logic is its body, and whether it is memoized
 * (else what is memoized since would have no memo below a hit): an edited body is another version, the old body the old
 * version. */
#ifndef COCO_TEST_ORACLE_PROGRAM_H
#define COCO_TEST_ORACLE_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Functions: main, those that are mounted, those that are called; each calls and mounts later ones alone. Values and
 * arguments are below VALUES. Places: tables, their indexes, and the boxes in them. */
enum { FNS = 10, FIRST_CALLED = 5, STATEMENTS = 8, VALUES = 50, CONTEXTS = 3, PARAMS = 2, LISTS = 2, ITEMS = 6 };
enum { TABLES = 3, BOXES = 4, ROWS = 32, PLACES = TABLES * (2 + BOXES) };

typedef enum statement_kind { DECLARE, BOX, CALL, READ_CONTEXT, READ_PARAM, MOUNT, USE, EACH, KINDS } statement_kind;

typedef struct statement {
    statement_kind kind;
    int what;       /* table, function, context or parameter */
    int which;      /* row, box, list; or the constant argument of a call */
    int slot;       /* of what is mounted: its key in the path */
    bool indexed;   /* DECLARE: into the table's index */
    bool moves;     /* DECLARE: the row depends on the argument */
    bool by_value;  /* the accumulator is what is declared, or the argument */
} statement;

typedef struct function {
    bool memo;
    int salt, n; /* a version to bump by hand; statements */
    statement s[STATEMENTS];
} function;

typedef struct program {
    function fn[FNS];
    int context[CONTEXTS], param[PARAMS], schema[TABLES];
    bool table[TABLES];
    struct { bool there; int value; } item[LISTS][ITEMS];
} program;

static inline int index_of(int table) { return TABLES + table; }
static inline int box_of(int table, int box) { return 2 * TABLES + table * BOXES + box; }
/* The place in which a box stands, -1 for others. */
static inline int table_of_box(int place) { return place < 2 * TABLES ? -1 : (place - 2 * TABLES) / BOXES; }
/* Whether what is in `inner` goes when the container `outer` does. */
static inline bool is_within(int inner, int outer)
{
    return inner == outer || (outer < TABLES && (inner == index_of(outer) || table_of_box(inner) == outer));
}

static inline int row_of(const statement *s, int x) { return (s->which + (s->moves ? x : 0)) % ROWS; }
static inline int add_up(int acc, int v) { return (acc * 3 + v + 1) % VALUES; }
static inline int box_schema(int acc) { return acc * 7; }

static inline int64_t logic_of(const program *p, int f)
{
    uint64_t h = 14695981039346656037u;
    int words[1 + 7 * STATEMENTS] = { p->fn[f].salt * 2 + p->fn[f].memo }, n = 1;

    for (const statement *s = p->fn[f].s; s < p->fn[f].s + p->fn[f].n; s++) {
        int all[] = { (int)s->kind, s->what, s->which, s->slot, s->indexed, s->moves, s->by_value };
        memcpy(words + n, all, sizeof all);
        n += 7;
    }
    for (int i = 0; i < n; i++) h = (h ^ (uint64_t)words[i]) * 1099511628211u;
    return (int64_t)(h >> 1 | 1);
}

/* ---- Edits ---- */

typedef enum edit_kind {
    ADD, ADD_TOO, TAKE, MOVE, CHANGE, BUMP, MEMO, CONTEXT, PARAM, ITEM, ITEM_TOO, ITEM_VALUE, SWAP, TABLE, SCHEMA, EDITS
} edit_kind;

/* A line of a script: an edit, or (kind >= EDITS, see test_oracle.c) a run; n are what it is made of. */
typedef struct line { int kind, n[6]; } line;

/* What function f may hold: main mounts, what is mounted does everything, what is called mounts nothing. */
static inline statement_kind kind_of(int n, int f)
{
    static const statement_kind of_main[] = { MOUNT, EACH, USE, MOUNT, EACH, CALL, DECLARE, READ_CONTEXT },
        mounted[] = { DECLARE, CALL, MOUNT, CALL, USE, EACH, BOX, DECLARE, READ_CONTEXT, READ_PARAM },
        called[] = { DECLARE, CALL, READ_CONTEXT, BOX, CALL, READ_PARAM };

    return f == 0 ? of_main[n % 8] : f < FIRST_CALLED ? mounted[n % 10] : called[n % 6];
}

/* Functions mount and call later ones; the last of either kind none. */
static inline int callee_of(statement_kind kind, int n, int f)
{
    int first = kind == CALL && f < FIRST_CALLED ? FIRST_CALLED : f + 1, end = kind == CALL ? FNS : FIRST_CALLED;

    return first < end ? first + n % (end - first) : FNS;
}

static inline statement statement_of(const int n[6], int f)
{
    statement_kind kind = kind_of(n[1], f);

    switch (kind) {
    case DECLARE:
        return (statement){ .kind = kind, .what = n[2] % TABLES, .which = n[3] % ROWS, .indexed = n[4] % 5 == 0,
                            .moves = n[4] & 8, .by_value = n[4] & 16 };
    case BOX: return (statement){ .kind = kind, .what = n[2] % TABLES, .which = n[3] % BOXES };
    case READ_CONTEXT: return (statement){ .kind = kind, .what = n[2] % CONTEXTS };
    case READ_PARAM: return (statement){ .kind = kind, .what = n[2] % PARAMS };
    case CALL:
        return (statement){ .kind = kind, .what = callee_of(kind, n[2], f), .which = n[3] % 5, .by_value = n[4] & 1 };
    default:
        return (statement){ .kind = kind, .what = callee_of(kind, n[2], f), .which = n[3] % LISTS, .slot = n[5] % 10,
                            .by_value = n[4] & 1 };
    }
}

static inline void add_statement(function *f, statement s)
{
    if (f->n < STATEMENTS) f->s[f->n++] = s;
}

static inline statement take_statement(function *f, int i)
{
    statement s = f->s[i];

    memmove(f->s + i, f->s + i + 1, (size_t)(--f->n - i) * sizeof *f->s);
    return s;
}

static inline void swap_items(program *p, int list, int i, int k)
{
    int value = p->item[list][i].value;

    p->item[list][i].value = p->item[list][k].value;
    p->item[list][k].value = value;
}

/* May make a program that isn't one (model.h says so): then it isn't made. */
static inline void edit(program *p, const line *e)
{
    const int *n = e->n;
    int i = n[0] % FNS, list = n[1] % LISTS, k = n[2] % ITEMS;
    function *f = &p->fn[i], *to = &p->fn[n[3] % FNS];

    switch ((edit_kind)e->kind) {
    case ADD:
    case ADD_TOO: add_statement(f, statement_of(n, i)); break;
    case TAKE: if (f->n) take_statement(f, n[1] % f->n); break;
    case MOVE: if (f->n && to->n < STATEMENTS) add_statement(to, take_statement(f, n[1] % f->n)); break;
    case CHANGE: if (f->n) f->s[n[1] % f->n].which = n[2] % LISTS; break;
    case BUMP: f->salt = n[1] % 4; break;
    case MEMO: f->memo = i && !f->memo; break;
    case CONTEXT: p->context[n[1] % CONTEXTS] = n[2] % 4; break;
    case PARAM: p->param[n[1] % PARAMS] = n[2] % 4; break;
    case ITEM:
    case ITEM_TOO: p->item[list][k].there = !p->item[list][k].there, p->item[list][k].value = n[3] % VALUES; break;
    case ITEM_VALUE: p->item[list][k].value = n[3] % VALUES; break;
    case SWAP: swap_items(p, list, k, n[3] % ITEMS); break;
    case TABLE: p->table[n[1] % TABLES] = !p->table[n[1] % TABLES]; break;
    case SCHEMA: p->schema[n[1] % TABLES] = n[2] % 300; break;
    case EDITS: break;
    }
}

/* ---- Printing ---- */

static inline void print_statement(FILE *out, const statement *s)
{
    char arg[20];

    if (s->by_value) snprintf(arg, sizeof arg, "acc");
    else snprintf(arg, sizeof arg, "%d", s->which);
    switch (s->kind) {
    case DECLARE:
        fprintf(out, "    declare t%d%s[%d%s] = %s\n", s->what, s->indexed ? ".index" : "", s->which,
                s->moves ? " + x" : "", s->by_value ? "acc" : "7");
        break;
    case BOX: fprintf(out, "    declare t%d.box%d with the schema and a row of acc\n", s->what, s->which); break;
    case CALL: fprintf(out, "    acc += f%d(%s)\n", s->what, arg); break;
    case READ_CONTEXT: fprintf(out, "    acc += context%d\n", s->what); break;
    case READ_PARAM: fprintf(out, "    acc += param%d\n", s->what); break;
    case MOUNT: fprintf(out, "    mount f%d(%s) at /%d\n", s->what, arg, s->slot); break;
    case USE: fprintf(out, "    acc += use_mount f%d(%s) at /%d\n", s->what, arg, s->slot); break;
    case EACH: fprintf(out, "    mount_each f%d at /%d of list%d\n", s->what, s->slot, s->which); break;
    case KINDS: break;
    }
}

static inline void print_program(FILE *out, const program *p)
{
    for (int t = 0; t < TABLES; t++)
        if (p->table[t]) fprintf(out, "table t%d, schema %d\n", t, p->schema[t]);
    for (int c = 0; c < CONTEXTS; c++) fprintf(out, "context%d = %d%s", c, p->context[c], c + 1 < CONTEXTS ? ", " : "");
    for (int c = 0; c < PARAMS; c++) fprintf(out, "%sparam%d = %d", c ? ", " : "\n", c, p->param[c]);
    fprintf(out, "\n");
    for (int l = 0; l < LISTS; l++) {
        fprintf(out, "list%d:", l);
        for (int k = 0; k < ITEMS; k++)
            if (p->item[l][k].there) fprintf(out, " %d=%d", k, p->item[l][k].value);
        fprintf(out, "\n");
    }
    for (int f = 0; f < FNS; f++) {
        if (f && !p->fn[f].n && !p->fn[f].salt && !p->fn[f].memo) continue;
        fprintf(out, "f%d(x)%s, bumped to %d:\n", f, p->fn[f].memo ? " memoized" : "", p->fn[f].salt);
        for (int i = 0; i < p->fn[f].n; i++) print_statement(out, &p->fn[f].s[i]);
    }
}

#endif
