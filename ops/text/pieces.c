/* pieces.c - part of text.c: from a text to its atoms, one at a time (spec: recursive splitter, 1 and 2).
 *
 * A stack of frames stands for the recursion. The first frame gives one piece, the whole text. A piece no larger than
 * the atom size is an atom; any other gets a frame of its own, which divides it: by a level's separators, or by the
 * children of its syntax node with the gaps between them. A piece of the last level is an atom however large.
 *
 * The number of frames when an atom is found is its level. The boundary between two atoms is as deep as the shallowest
 * that the stack has been since the first of the two; a piece of white space alone is passed over.
 *
 * Sizes are measured in bytes, characters or the caller's tokens. An atom's place on that scale is counted from atom to
 * atom: `from` and `to` differ by its size, and `to` of one and `from` of the next by the size of the gap. */

/* A separator of some level or a division by it: custom expressions, or the default levels. */
typedef struct coco__levels {
    coco__expr **exprs; /* n of them; NULL: the default levels */
    unsigned n;
} coco__levels;

static const coco__levels coco__default_levels = { NULL, COCO__LEVELS };

typedef struct coco__piece {
    size_t start, end;
    const coco__levels *levels; /* NULL: a syntax node, the one its frame's walk is at */
    unsigned next;              /* the level that divides it */
} coco__piece;

typedef enum coco__frame_state {
    COCO__FRAME_FRESH, /* nothing given yet; nodes: the walk is at a child not given yet */
    COCO__FRAME_GIVEN, /* levels: a separator was found; nodes: the child that the walk is at was given */
    COCO__FRAME_LAST   /* nothing more, but for the gap behind the last child */
} coco__frame_state;

typedef enum coco__frame_kind { COCO__FRAME_ONCE, COCO__FRAME_TEXT, COCO__FRAME_NODES } coco__frame_kind;

typedef struct coco__frame {
    coco__frame_kind kind; /* gives the piece itself, its parts by a level, or a node's children */
    coco__frame_state state;
    coco__piece whole; /* what it divides; once: what it gives */
    size_t pos;        /* what is before it was given */
} coco__frame;

typedef struct coco__atom {
    size_t start, end;      /* bytes */
    uint64_t from, to;      /* the same in the unit of sizes */
    uint16_t level;         /* of the boundary before it */
    uint8_t before, inside; /* kind of line break before and inside: none 0, newline 1, blank line 2 */
} coco__atom;

typedef struct coco__pieces {
    const coco_split_opts *opts;
    coco_str text;
    const char *subject;         /* what expressions see of it */
    size_t atom_size;
    coco_allocator mem;
    coco_expressions *exprs;     /* of the custom language, if any */
    coco_err *err;
    const coco__syntax *syntax;  /* walks the tree, if there is one */
    void *tree;
    coco__frame *frames;
    size_t depth, room;          /* frames in use, and that fit */
    size_t min_level;            /* shallowest depth since the last atom */
    size_t last_end;             /* of the last atom, in bytes … */
    uint64_t last_to;            /* … and in the unit of sizes */
} coco__pieces;

/* ---- Sizes ------------------------------------------------------------------------------------------------------ */

/* The size of the bytes from a to b. A callback's answer is cut, so that sums can't overflow. */
static uint64_t coco__size(const coco__pieces *s, size_t a, size_t b)
{
    size_t n;

    if (s->opts->count) {
        n = a == b ? 0 : s->opts->count(s->opts->user, (coco_str){ s->text.p + a, b - a });
        return n < COCO__SIZE_MAX ? n : COCO__SIZE_MAX;
    }
    if (s->opts->unit == COCO_UNIT_BYTES) return b - a;
    return coco__text_count((const uint8_t *)s->text.p + a, (const uint8_t *)s->text.p + b);
}

/* Whether a piece is small enough to be an atom. A character has one to four bytes: most pieces need no counting. */
static bool coco__fits(const coco__pieces *s, const coco__piece *piece)
{
    size_t n = piece->end - piece->start;

    if (!s->opts->count && n <= s->atom_size) return true;
    if (!s->opts->count && (s->opts->unit == COCO_UNIT_BYTES || n / 4 > s->atom_size)) return false;
    return coco__size(s, piece->start, piece->end) <= s->atom_size;
}

/* ---- Line breaks ------------------------------------------------------------------------------------------------ */

/* The first \n or \r at or behind p, or NULL; eight bytes at a time. */
static const char *coco__break(const char *p, const char *end)
{
    uint64_t word, lf, cr;

    for (; end - p >= 8; p += 8) {
        memcpy(&word, p, 8);
        lf = word ^ (COCO__TEXT_ONES * '\n');
        cr = word ^ (COCO__TEXT_ONES * '\r');
        /* a byte that is 0 borrows from itself; what is found above it may be wrong, that there is one isn't */
        if ((((lf - COCO__TEXT_ONES) & ~lf) | ((cr - COCO__TEXT_ONES) & ~cr)) & COCO__TEXT_HIGH) break;
    }
    while (p < end && *p != '\n' && *p != '\r') p++;
    return p < end ? p : NULL;
}

/* The kind of line break in the bytes from a to b. A run of \n and \r is a blank line if its first byte comes in it
 * again: so \n\n and \r\n\r\n are, and \r\n is not. */
static uint8_t coco__breaks(const coco__pieces *s, size_t a, size_t b)
{
    const char *p = s->text.p + a, *end = s->text.p + b;
    uint8_t kind = 0;

    while (p < end && (p = coco__break(p, end)) != NULL) {
        char first = *p++;
        kind = 1;
        for (; p < end && (*p == '\n' || *p == '\r'); p++)
            if (*p == first) return 2;
    }
    return kind;
}

/* ---- Atoms ------------------------------------------------------------------------------------------------------ */

/* Makes an atom of a piece, trimmed; false if it is white space alone. Behind a line break its start moves back over
 * spaces and tabs, so that the indentation stays. */
static bool coco__collect(coco__pieces *s, const coco__piece *piece, coco__atom *atom)
{
    const uint8_t *base = (const uint8_t *)s->text.p, *p = base + piece->start, *end = base + piece->end;
    size_t start;

    if (piece->start < s->last_end) p = base + s->last_end; /* nodes that overlap */
    if (p >= end || (end = coco__text_spaces_back(p, end)) == p) return false;
    p = coco__text_spaces(p, end);
    start = (size_t)(p - base);
    *atom = (coco__atom){ .end = (size_t)(end - base), .level = (uint16_t)s->min_level,
                          .before = coco__breaks(s, s->last_end, start),
                          .inside = coco__breaks(s, start, (size_t)(end - base)) };
    while (atom->before && start > s->last_end && (base[start - 1] == ' ' || base[start - 1] == '\t')) start--;
    atom->start = start;
    atom->from = s->last_to + coco__size(s, s->last_end, start);
    atom->to = atom->from + coco__size(s, start, atom->end);
    s->min_level = s->depth;
    s->last_end = atom->end;
    s->last_to = atom->to;
    return true;
}

/* ---- Frames ----------------------------------------------------------------------------------------------------- */

static coco_status coco__push(coco__pieces *s, coco__frame_kind kind, const coco__piece *whole)
{
    if (s->depth == s->room) {
        size_t room = s->room ? s->room * 2 : 16;
        coco__frame *frames = coco__text_mem(&s->mem, s->frames, room * sizeof *frames);
        if (!frames) return coco_err_set(s->err, COCO_ENOMEM, "out of memory for %zu levels", room);
        s->frames = frames, s->room = room;
    }
    s->frames[s->depth++] = (coco__frame){ .kind = kind, .whole = *whole, .pos = whole->start };
    return COCO_OK;
}

static void coco__pop(coco__pieces *s)
{
    if (s->frames[--s->depth].kind == COCO__FRAME_NODES) s->syntax->up(s->tree);
    if (s->depth < s->min_level) s->min_level = s->depth;
}

/* The next part of a piece by the separators of its level: 1, 0 or an error. What is behind the last separator is a
 * part unless it is empty. */
static int coco__next_part(coco__pieces *s, coco__frame *f, coco__piece *part)
{
    const coco__levels *levels = f->whole.levels;
    size_t start = f->whole.start, n = f->whole.end - start;
    coco__span m = { f->pos - start, n };
    int found;

    if (f->state == COCO__FRAME_LAST) return 0;
    found = levels->exprs ? coco__expr_next(s->exprs, levels->exprs[f->whole.next], (coco_str){ s->subject + start, n },
                                            f->state == COCO__FRAME_GIVEN, &m, s->err)
        : coco__level_next(f->whole.next, (coco_str){ s->text.p + start, n }, &m);
    if (found < 0) return found;
    *part = (coco__piece){ f->pos, f->whole.end, levels, f->whole.next + 1 };
    f->state = found ? COCO__FRAME_GIVEN : COCO__FRAME_LAST;
    if (!found) return f->pos < f->whole.end;
    part->end = start + m.start;
    f->pos = start + m.end;
    return 1;
}

/* The gap up to `end`, for the default levels; false if there is none. */
static bool coco__gap(coco__frame *f, size_t end, coco__piece *gap)
{
    if (f->pos >= end) return false;
    *gap = (coco__piece){ f->pos, end, &coco__default_levels, 0 };
    f->pos = end;
    return true;
}

/* The next child of a node, or the gap before it or behind the last. */
static int coco__next_child(coco__pieces *s, coco__frame *f, coco__piece *child)
{
    if (f->state == COCO__FRAME_GIVEN) f->state = s->syntax->next(s->tree) ? COCO__FRAME_FRESH : COCO__FRAME_LAST;
    if (f->state == COCO__FRAME_LAST) return coco__gap(f, f->whole.end, child);
    *child = (coco__piece){ 0 };
    s->syntax->at(s->tree, &child->start, &child->end);
    if (coco__gap(f, child->start, child)) return 1;
    f->pos = child->end;
    f->state = COCO__FRAME_GIVEN;
    return 1;
}

static int coco__next_piece(coco__pieces *s, coco__piece *piece)
{
    coco__frame *f = &s->frames[s->depth - 1];

    if (f->kind == COCO__FRAME_TEXT) return coco__next_part(s, f, piece);
    if (f->kind == COCO__FRAME_NODES) return coco__next_child(s, f, piece);
    *piece = f->whole;
    if (f->state == COCO__FRAME_LAST) return 0;
    f->state = COCO__FRAME_LAST;
    return 1;
}

/* Divides a piece that is too large. A node without children to divide by becomes text, which counts as a level. The
 * root's node may be smaller than the text: what is outside it is white space. */
static coco_status coco__divide(coco__pieces *s, const coco__piece *piece)
{
    coco__piece text = { piece->start, piece->end, &coco__default_levels, 0 }, node = *piece;

    if (piece->levels) return coco__push(s, COCO__FRAME_TEXT, piece);
    if (s->syntax->at(s->tree, &node.start, &node.end) || s->depth > s->opts->max_depth || !s->syntax->down(s->tree))
        return coco__push(s, COCO__FRAME_ONCE, &text);
    return coco__push(s, COCO__FRAME_NODES, &node);
}

/* The next atom: 1, 0 at the end of the text, or an error. */
static int coco__next_atom(coco__pieces *s, coco__atom *atom)
{
    coco__piece piece;
    int rc;

    while (s->depth) {
        if ((rc = coco__next_piece(s, &piece)) < 0) return rc;
        if (rc == 0) coco__pop(s);
        else if (!coco__fits(s, &piece) && !(piece.levels && piece.next >= piece.levels->n))
            COCO_TRY(coco__divide(s, &piece));
        else if (coco__collect(s, &piece, atom)) return 1;
    }
    *atom = (coco__atom){ s->text.n, s->text.n, s->last_to, s->last_to, (uint16_t)s->min_level, 2, 0 };
    return 0;
}
