/* plan.c - part of text.c: which atoms go together (spec: recursive splitter, 3).
 *
 * Plan i is the cheapest way to cover the atoms before atom i; plan 0 costs nothing. Its last chunk begins at some
 * atom s < i and ends with atom i - 1, and stands on plan p, where s <= p < i: the atoms from s to p - 1 are in
 * two chunks, they are the overlap. Without overlap p is s.
 *
 *   1. What a chunk that begins at s pays for what is before it, base(s), does not depend on where it ends, but for one
 *      thing: p must be known, and the overlap small enough: atom p may end at most `overlap` behind the start of
 *      atom s. So when atom i comes it is offered as p to each s before it within that distance. The cheapest p wins,
 *      of equal ones the latest.
 *   2. Plan i + 1 tries each s from i down while the chunk isn't too large. An atom too large by itself is a chunk by
 *      itself. Of equal costs the first, the shortest chunk, wins.
 *   3. As i grows, the lowest s that is tried grows: atoms below it (`low`) are forgotten. So are plans from which all
 *      of those still in use descend: now and then they are followed back to where they meet, and the chunks up to
 *      there are given out. In ordinary text that is a few chunks back, whatever the text's length.
 *   4. With overlap, in a text that repeats itself exactly, they may never meet: each plan of a period descends from
 *      that of its place in the period before, at equal costs, and the end of the text alone tells which is on the
 *      cheapest way. So when plans have long not met, the rest of the text is only surveyed. No link is kept; now and
 *      then a mark notes for each plan in use from which plan in use at the mark before it descends. Behind the end
 *      the marks tell where the cheapest way leads, and the whole text is planned once more: now the chunks up to a
 *      mark can be given out when it is reached.
 *
 * Costs are integers, rounded down where they are divided: equal on every machine. */

#define COCO__COST_SYNTAX 512          /* of a boundary that many levels too deep: the sum of this / 1, / 2 … */
#define COCO__COST_OVERLAP 512         /* of no overlap at all */
#define COCO__COST_BREAK 64            /* for each kind of line break that the boundary falls short of */
#define COCO__COST_SMALL 1048576       /* of a chunk under the minimum */
#define COCO__NO_LEVEL UINT16_MAX      /* of what is inside a chunk of one atom */

#ifdef COCO_SMALL
#define COCO__PLAN_FIRST 2
#define COCO__LONG 4
#define COCO__LONG_TIMES 8
#else
#define COCO__PLAN_FIRST 64    /* atoms and plans that there is room for at first */
#define COCO__LONG 4096        /* so many plans, and … */
#define COCO__LONG_TIMES 64    /* … so many times those in use, are kept unsettled, and lie between two marks */
#endif

/* Atom i, and plan i. */
typedef struct coco__cell {
    coco__atom atom;
    uint64_t cost;    /* of the plan */
    uint64_t ends;    /* where the plan ends, as coco__offset_cost */
    uint64_t begins;  /* where the atom begins, as coco__offset_cost */
    uint64_t base;    /* what a chunk that begins here pays for what is before it */
    uint32_t overlap; /* how many atoms of it are in the chunk before it: p - s */
    uint32_t from;    /* in a survey: the plan at the last mark that this one descends from, counted from its low */
} coco__cell;

/* The last chunk of a plan. */
typedef struct coco__link {
    size_t start, end; /* bytes */
    uint32_t back;     /* how many plans before is the one it stands on */
    bool used;         /* while links are followed back: on the way of one in use */
} coco__link;

/* Step 4: which plans were in use when plan `newest` was the last. */
typedef struct coco__mark {
    struct coco__mark *next; /* the one made before; when the way is known, the one behind */
    size_t low, newest;      /* the lowest and the highest in use */
    size_t way;              /* the one of them that is on the cheapest way */
    uint32_t from[];         /* the cells' `from` */
} coco__mark;

typedef coco_status (*coco__range_fn)(void *self, coco__span chunk);

typedef struct coco__plans {
    coco_allocator mem;
    uint64_t chunk_size, min_size, overlap, total; /* in the unit of sizes; total: of the text */
    coco__cell *cells;       /* of the atoms from `first` on */
    size_t first, low, next; /* low: the lowest one in use; next: the one to come, behind the last */
    size_t room;             /* cells that fit */
    coco__link *links;       /* of the plans from `root` on, the last of which all those in use descend from */
    size_t root, nlinks, link_room;
    uint32_t gap_costs[COCO__COST_SYNTAX + 1]; /* of a boundary so many levels too deep; the last is for all more */
    size_t ngaps;            /* how many of them are filled in */
    coco__mark *marks;       /* in a survey the last made, planning again the next to come */
    bool survey, again;      /* step 4: in the first pass, or in the second */
    bool led;                /* behind the first mark of the second: not all plans in use descend from the root */
    size_t given, skip;      /* chunks given out; of those in the second pass, how many were before */
    coco__range_fn fn;       /* gets the chunks */
    void *self;              /* of fn */
    coco_err *err;
} coco__plans;

static coco__cell *coco__cell_at(coco__plans *s, size_t i) { return &s->cells[i - s->first]; }

/* ---- Costs ---------------------------------------------------------------------------------------------------------
 * */

/* An offset on the scale of the overlap's cost, growing towards the start of the text. */
static uint64_t coco__offset_cost(const coco__plans *s, uint64_t offset)
{
    return s->overlap ? (s->total - offset) * COCO__COST_OVERLAP / s->overlap : 0;
}

/* Fills in the costs of gaps up to that many levels. */
static void coco__gaps(coco__plans *s, size_t levels)
{
    if (levels > COCO__COST_SYNTAX) levels = COCO__COST_SYNTAX;
    for (; s->ngaps <= levels; s->ngaps++)
        s->gap_costs[s->ngaps] = s->gap_costs[s->ngaps - 1] + (uint32_t)(COCO__COST_SYNTAX / s->ngaps);
}

static uint64_t coco__gap_cost(const coco__plans *s, uint16_t boundary, uint16_t inside)
{
    size_t gap = boundary > inside ? (size_t)(boundary - inside) : 0;

    return s->gap_costs[gap < COCO__COST_SYNTAX ? gap : COCO__COST_SYNTAX];
}

static uint64_t coco__break_cost(uint8_t boundary, uint8_t inside)
{
    return boundary < inside ? (uint64_t)(inside - boundary) * COCO__COST_BREAK : 0;
}

/* What a chunk that begins at `at` pays when it stands on the plan of `on`. */
static uint64_t coco__base(const coco__plans *s, const coco__cell *at, const coco__cell *on)
{
    if (!s->overlap) return on->cost + COCO__COST_OVERLAP / 2;
    return on->cost + COCO__COST_OVERLAP - (on->ends < at->begins ? at->begins - on->ends : 0);
}

/* ---- Memory --------------------------------------------------------------------------------------------------------
 * */

/* Makes room for one cell more: forgets those below low, or doubles the room where these are less than half. */
static coco_status coco__cell_room(coco__plans *s)
{
    size_t gone = s->low - s->first, used = s->next - s->first, room = s->room;

    if (used < room) return COCO_OK;
    if (gone * 2 <= room) {
        coco__cell *cells;
        room = room ? room * 2 : COCO__PLAN_FIRST;
        if (!(cells = coco__text_mem(&s->mem, s->cells, room * sizeof *cells))) return COCO_ENOMEM;
        s->cells = cells, s->room = room;
    }
    if (gone) memmove(s->cells, s->cells + gone, (used - gone) * sizeof *s->cells);
    s->first = s->low;
    return COCO_OK;
}

/* The plan from which all those in use (from low to the newest) descend, found by replacing the newest by the one it
 * stands on until one is left. */
static size_t coco__meet(coco__plans *s)
{
    size_t k = s->nlinks - 1, used = 0;

    for (size_t i = s->low > s->root ? s->low - s->root : 0; i < s->nlinks; i++) s->links[i].used = true, used++;
    for (;; k--) {
        coco__link *l = &s->links[k];
        if (!l->used) continue;
        l->used = false;
        if (used == 1) return k;
        if (l[-(ptrdiff_t)l->back].used) used--;
        l[-(ptrdiff_t)l->back].used = true;
    }
}

/* In the second pass a plan that should descend from the root doesn't. */
static coco_status coco__other_sizes(coco__plans *s)
{
    return coco_err_set(s->err, COCO_EINVAL, "count has given two sizes for one text");
}

static coco_status coco__give_one(coco__plans *s, const coco__link *l)
{
    if (s->skip) {
        s->skip--;
        return COCO_OK;
    }
    s->given++;
    return s->fn(s->self, (coco__span){ l->start, l->end });
}

/* Gives out the chunks between the root and plan k, which becomes the root. Their links are turned round, to be
 * followed forwards. */
static coco_status coco__give(coco__plans *s, size_t k)
{
    uint32_t forward = 0, back;
    size_t i;

    for (i = k; i > 0; i -= back) {
        back = s->links[i].back;
        if (back > i) return coco__other_sizes(s);
        s->links[i].back = forward;
        forward = back;
    }
    for (i = forward; i > 0 && i <= k; i = s->links[i].back ? i + s->links[i].back : 0)
        COCO_TRY(coco__give_one(s, &s->links[i]));
    memmove(s->links, s->links + k, (s->nlinks - k) * sizeof *s->links);
    s->root += k;
    s->nlinks -= k;
    return COCO_OK;
}

/* Makes a mark at the newest plan. */
static coco_status coco__note(coco__plans *s, size_t newest)
{
    size_t n = newest + 1 - s->low;
    coco__mark *m = coco__text_mem(&s->mem, NULL, sizeof *m + n * sizeof m->from[0]);

    if (!m) return COCO_ENOMEM;
    *m = (coco__mark){ .next = s->marks, .low = s->low, .newest = newest };
    for (uint32_t i = 0; i < n; i++) {
        coco__cell *c = coco__cell_at(s, s->low + i);
        m->from[i] = c->from;
        c->from = i;
    }
    s->marks = m;
    return COCO_OK;
}

/* At a mark of the survey: the plan on the way is settled. */
static coco_status coco__pass(coco__plans *s)
{
    coco__mark *m = s->marks;
    size_t way = m->way;

    s->marks = m->next;
    s->led = true;
    coco__text_mem(&s->mem, m, 0);
    return way < s->root ? coco__other_sizes(s) : coco__give(s, way - s->root);
}

/* Whether plans from `since` on are more than are to be kept unsettled. */
static bool coco__is_long(const coco__plans *s, size_t since, size_t newest)
{
    return newest - since >= COCO__LONG && (newest - since) / COCO__LONG_TIMES >= newest + 1 - s->low;
}

/* Makes room for one link more: gives out what is settled, and doubles the room where that was less than half; or lets
 * the survey begin, which keeps none. */
static coco_status coco__link_room(coco__plans *s, size_t newest)
{
    size_t room = s->link_room ? s->link_room * 2 : COCO__PLAN_FIRST;
    coco__link *links;

    if (s->nlinks < s->link_room) return COCO_OK;
    if (s->nlinks && !s->led) COCO_TRY(coco__give(s, coco__meet(s)));
    if (s->nlinks * 2 < s->link_room) return COCO_OK;
    if (!s->again && coco__is_long(s, s->root, newest)) {
        s->links = coco__text_mem(&s->mem, s->links, 0);
        s->nlinks = s->link_room = 0;
        s->survey = true;
        return coco__note(s, newest);
    }
    if (!(links = coco__text_mem(&s->mem, s->links, room * sizeof *links))) return COCO_ENOMEM;
    s->links = links, s->link_room = room;
    return COCO_OK;
}

/* Before a plan is made: settles what can be, and sees to it that there is room. */
static coco_status coco__settle(coco__plans *s, size_t newest)
{
    if (s->survey) return coco__is_long(s, s->marks->newest, newest) ? coco__note(s, newest) : COCO_OK;
    if (s->marks && s->marks->newest == newest) COCO_TRY(coco__pass(s));
    return coco__link_room(s, newest);
}

/* ---- Plans ---------------------------------------------------------------------------------------------------------
 * */

/* Step 1: atom i as what a chunk stands on, for those that begin with it or a little before it. */
static void coco__offer(coco__plans *s, size_t i)
{
    coco__cell *on = coco__cell_at(s, i), *low = coco__cell_at(s, s->low);

    on->begins = coco__offset_cost(s, on->atom.from);
    on->base = coco__base(s, on, on);
    on->overlap = 0;
    if (!s->overlap) return;
    for (coco__cell *c = on; c-- > low && on->atom.to - c->atom.from <= s->overlap;) {
        const coco__cell *best = c + c->overlap;
        if (on->cost + on->ends > best->cost + best->ends) continue;
        c->overlap = (uint32_t)(on - c);
        c->base = coco__base(s, c, on);
    }
}

/* Costs of both ends of a chunk, while it takes in one atom after the other towards the start: what is inside it. */
typedef struct coco__inside {
    uint16_t level; /* shallowest boundary inside */
    uint8_t kind;   /* widest line break inside an atom but the first */
    uint64_t end;   /* what the end costs for falling short of these */
} coco__inside;

static coco__inside coco__inside_more(const coco__plans *s, const coco__atom *behind, uint16_t level, uint8_t kind)
{
    uint64_t end = coco__gap_cost(s, behind->level, level) + coco__break_cost(behind->before, kind);

    return (coco__inside){ level, kind, end };
}

/* Step 2: the first atom of the last chunk of plan i + 1, and what the plan costs. This is where the time goes; what is
 * inside seldom changes from one atom to the next, so the end's costs are kept. */
static coco__cell *coco__choose(coco__plans *s, size_t i, uint64_t *least)
{
    coco__cell *last = coco__cell_at(s, i), *low = coco__cell_at(s, s->low), *best = NULL, *c;
    const coco__atom *behind = &last[1].atom;
    coco__inside in = { COCO__NO_LEVEL, 0, 0 };
    uint64_t to = last->atom.to, smallest = UINT64_MAX;

    for (c = last; to - c->atom.from <= s->chunk_size; c--) {
        uint64_t cost = c->base + in.end + (to - c->atom.from < s->min_size ? COCO__COST_SMALL : 0);
        if (c->atom.level > in.level) cost += coco__gap_cost(s, c->atom.level, in.level);
        if (c->atom.before < in.kind) cost += coco__break_cost(c->atom.before, in.kind);
        if (cost < smallest) best = c, smallest = cost;
        if (c == low) break;
        if (c->atom.level < in.level || c->atom.inside > in.kind)
            in = coco__inside_more(s, behind, c->atom.level < in.level ? c->atom.level : in.level,
                                   c->atom.inside > in.kind ? c->atom.inside : in.kind);
    }
    *least = smallest;
    if (to - c->atom.from > s->chunk_size) s->low = s->first + (size_t)(c - s->cells) + 1;
    return best;
}

/* The same for an atom that is too large: it is a chunk by itself, on its own plan. */
static coco__cell *coco__choose_large(coco__plans *s, size_t i, uint64_t *least)
{
    coco__cell *c = coco__cell_at(s, i);

    *least = c->cost + (c->atom.to - c->atom.from < s->min_size ? COCO__COST_SMALL : 0);
    c->overlap = 0;
    s->low = i + 1; /* no later chunk takes it in */
    return c;
}

/* Plan i + 1; the atom behind is known by now, and has its cell. */
static coco_status coco__plan(coco__plans *s, size_t i)
{
    coco__cell *last, *start;
    uint64_t cost = 0;

    COCO_TRY(coco__settle(s, i)); /* first: what is in use is what was so before atom i */
    coco__offer(s, i);
    last = coco__cell_at(s, i);
    start = last->atom.to - last->atom.from > s->chunk_size ? coco__choose_large(s, i, &cost)
        : coco__choose(s, i, &cost);
    last[1].cost = cost;
    last[1].ends = coco__offset_cost(s, last->atom.to);
    last[1].from = start[start->overlap].from;
    if (s->survey) return COCO_OK;
    s->links[s->nlinks++] = (coco__link){ start->atom.start, last->atom.end,
                                          (uint32_t)(last + 1 - start) - start->overlap, false };
    return COCO_OK;
}

/* Takes the next atom, or the end of the text, which has a cell of its own; the plan up to it is made at once. */
static coco_status coco__plan_atom(coco__plans *s, const coco__atom *atom)
{
    COCO_TRY(coco__cell_room(s));
    coco__gaps(s, atom->level);
    *coco__cell_at(s, s->next++) = (coco__cell){ .atom = *atom };
    if (s->next > 1) return coco__plan(s, s->next - 2);
    s->cells->ends = coco__offset_cost(s, 0);
    COCO_TRY(coco__link_room(s, 0));
    s->links[s->nlinks++] = (coco__link){ 0 };
    return COCO_OK;
}

/* After a survey: follows the marks back along the cheapest way, and turns them round for the second pass. */
static void coco__find_way(coco__plans *s)
{
    uint32_t from = coco__cell_at(s, s->next - 1)->from;
    coco__mark *behind = NULL;

    for (coco__mark *m = s->marks, *before; m; m = before) {
        before = m->next;
        m->way = m->low + from;
        from = m->from[from];
        m->next = behind;
        behind = m;
    }
    s->marks = behind;
}

/* After the end of the text: gives out the rest, or makes ready for the second pass. */
static coco_status coco__plan_end(coco__plans *s)
{
    if (!s->survey) return coco__give(s, s->nlinks - 1);
    coco__find_way(s);
    s->survey = false, s->again = true;
    s->first = s->low = s->next = s->root = 0;
    s->skip = s->given;
    return COCO_OK;
}

static void coco__plans_free(coco__plans *s)
{
    for (coco__mark *m; (m = s->marks) != NULL; coco__text_mem(&s->mem, m, 0)) s->marks = m->next;
    coco__text_mem(&s->mem, s->cells, 0);
    coco__text_mem(&s->mem, s->links, 0);
}
