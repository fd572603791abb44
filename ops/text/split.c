/* split.c - part of text.c: options, the run from text to chunks, and the chunks as a caller gets them. */

#define COCO__DEFAULT_CHUNK 1000
#define COCO__DEFAULT_DEPTH 500
#define COCO__MAX_DEPTH 60000 /* levels are kept in 16 bits */

/* ---- Positions of chunks -------------------------------------------------------------------------------------------
 * */

#define COCO__SEEN 8

/* Turns byte ranges into chunks. A chunk begins near the end of the one before, mostly behind it; with overlap a little
 * before it, and now and then before its start too. So the latest starts are kept to count from. */
typedef struct coco__locator {
    coco_str text;
    coco_position end;              /* of the last chunk */
    coco_position seen[COCO__SEEN]; /* starts of the latest chunks; the first are the text's */
    size_t n;                       /* chunks so far */
} coco__locator;

static void coco__locate_begin(coco__locator *l, coco_str text)
{
    l->text = text;
    l->n = 0;
    l->end = (coco_position){ 0, 0, 1, 1 };
    for (size_t i = 0; i < COCO__SEEN; i++) l->seen[i] = l->end;
}

static coco_chunk coco__locate(coco__locator *l, coco__span range)
{
    coco_position near = { 0, 0, 1, 1 };
    coco_chunk c = { .text = { l->text.p + range.start, range.end - range.start } };

    if (l->end.byte <= range.start) near = l->end;
    for (size_t i = 0; i < COCO__SEEN; i++)
        if (l->seen[i].byte <= range.start && l->seen[i].byte > near.byte) near = l->seen[i];
    c.start = coco_position_after(l->text, near, range.start);
    c.end = l->end = coco_position_after(l->text, c.start, range.end);
    l->seen[l->n++ % COCO__SEEN] = c.start;
    return c;
}

/* ---- The run ---------------------------------------------------------------------------------------------------- */

/* One splitting: what is to be freed behind it. */
typedef struct coco__split {
    coco_split_opts opts; /* with defaults filled in */
    coco__pieces pieces;
    coco__plans plans;
    coco_expressions *own;       /* made for this call, or NULL */
    coco__levels custom;         /* of the custom language */
} coco__split;

static bool coco__name_equal(const char *a, const char *b) { return a && b && strcasecmp(a, b) == 0; }

/* Whether a custom language goes by that name. */
static bool coco__custom_is(const coco_custom_language *l, const char *name)
{
    if (coco__name_equal(l->name, name)) return true;
    for (const char *const *alias = l->aliases; alias && *alias; alias++)
        if (coco__name_equal(*alias, name)) return true;
    return false;
}

/* The custom language of that name; an error where two languages share a name. */
static coco_status coco__custom_find(const coco_custom_language *all, const char *name,
                                     const coco_custom_language **out, coco_err *err)
{
    *out = NULL;
    for (const coco_custom_language *l = all; l && l->name; l++) {
        for (const coco_custom_language *m = all; m < l; m++) {
            const char *twice = coco__custom_is(m, l->name) ? l->name : NULL;
            for (const char *const *a = l->aliases; a && *a && !twice; a++)
                if (coco__custom_is(m, *a)) twice = *a;
            if (twice) return coco_err_set(err, COCO_EDUP, "custom languages %s and %s: both are called %s", m->name,
                                           l->name, twice);
        }
        if (!*out && coco__custom_is(l, name)) *out = l;
    }
    return COCO_OK;
}

/* Compiles the levels of a custom language. */
static coco_status coco__custom_open(coco__split *s, const coco_custom_language *l)
{
    coco__pieces *p = &s->pieces;
    size_t n = 0;

    while (l->separators && l->separators[n]) n++;
    if (n > COCO__MAX_DEPTH) return coco_err_set(p->err, COCO_EINVAL, "custom language %s: %zu levels", l->name, n);
    if (!s->opts.expressions && coco_expressions_new(&p->mem, &s->own) != COCO_OK)
        return coco_err_set(p->err, COCO_ENOMEM, "out of memory for expressions");
    p->exprs = s->own ? s->own : s->opts.expressions;
    /* one more, so that no level at all is still custom */
    if (!(s->custom.exprs = coco__text_mem(&p->mem, NULL, (n + 1) * sizeof(coco__expr *))))
        return coco_err_set(p->err, COCO_ENOMEM, "out of memory for expressions");
    for (; s->custom.n < n; s->custom.n++)
        COCO_TRY(coco__expr_get(p->exprs, coco_str_of(l->separators[s->custom.n]), 0,
                                &s->custom.exprs[s->custom.n], p->err));
    return coco__expr_subject(&p->mem, p->text, &p->subject, p->err);
}

/* The grammar that the options give for the language: NULL for none. */
static const struct TSLanguage *coco__grammar_of(const coco_split_opts *opts)
{
    const char *name = coco_language_name(opts->language);

    if (opts->grammar) return opts->grammar;
    for (const coco_grammar *g = opts->grammars; g && g->language; g++) {
        const char *known = coco_language_name(g->language);
        if (coco__name_equal(g->language, opts->language) || (name && known == name)) return g->grammar();
    }
    return NULL;
}

static const coco__syntax *coco__syntax_linked;

void coco__syntax_link(const coco__syntax *syntax) { coco__syntax_linked = syntax; }

/* How the whole text is divided: by a custom language, by its syntax tree, or by the default levels. */
static coco_status coco__root(coco__split *s, coco__piece *root)
{
    coco__pieces *p = &s->pieces;
    const struct TSLanguage *grammar;
    const coco_custom_language *custom;

    *root = (coco__piece){ 0, p->text.n, &coco__default_levels, 0 };
    COCO_TRY(coco__custom_find(s->opts.custom_languages, s->opts.language, &custom, p->err));
    if (custom) {
        root->levels = &s->custom;
        return coco__custom_open(s, custom);
    }
    if (!(grammar = coco__grammar_of(&s->opts))) return COCO_OK;
    if (!coco__syntax_linked)
        return coco_err_set(p->err, COCO_EINVAL, "a grammar is given, but ops/syntax.c is not part of the program");
    p->syntax = coco__syntax_linked;
    COCO_TRY(p->syntax->open(grammar, p->text, coco_language_name(s->opts.language), &p->tree, p->err));
    if (p->tree) root->levels = NULL;
    return COCO_OK;
}

static void coco__split_defaults(coco_split_opts *o)
{
    if (!o->chunk_size) o->chunk_size = COCO__DEFAULT_CHUNK;
    if (!o->min_chunk_size) o->min_chunk_size = o->chunk_size / 2;
    if (o->min_chunk_size == COCO_NO_MIN) o->min_chunk_size = 0;
    /* else parts larger than chunk_size would not be divided */
    if (o->min_chunk_size > o->chunk_size) o->min_chunk_size = o->chunk_size;
    if (o->chunk_overlap > o->min_chunk_size) o->chunk_overlap = o->min_chunk_size;
    if (!o->max_depth) o->max_depth = COCO__DEFAULT_DEPTH;
    if (o->max_depth > COCO__MAX_DEPTH) o->max_depth = COCO__MAX_DEPTH;
}

/* All of the text in the unit of sizes. What a caller's count says of the whole need not be the sum of its parts:
 * there an amount that no sum reaches stands for it, since only differences count. */
static uint64_t coco__total(const coco__pieces *p)
{
    return p->opts->count ? COCO__TOTAL_MAX : p->opts->chunk_overlap ? coco__size(p, 0, p->text.n) : 0;
}

/* Goes through the text once: its atoms, and the plans over them. */
static coco_status coco__split_pass(coco__split *s, const coco__piece *root)
{
    coco__atom atom;
    int rc;

    s->pieces.last_end = s->pieces.last_to = 0;
    COCO_TRY(coco__push(&s->pieces, COCO__FRAME_ONCE, root));
    if ((rc = coco__next_atom(&s->pieces, &atom)) <= 0) return rc; /* white space alone has no chunk */
    do COCO_TRY(coco__plan_atom(&s->plans, &atom));
    while ((rc = coco__next_atom(&s->pieces, &atom)) > 0);
    if (rc < 0) return rc;
    COCO_TRY(coco__plan_atom(&s->plans, &atom));
    return coco__plan_end(&s->plans);
}

static coco_status coco__split_all(coco__split *s)
{
    coco__piece root;

    COCO_TRY(coco__root(s, &root));
    COCO_TRY(coco__split_pass(s, &root));
    return s->plans.again ? coco__split_pass(s, &root) : COCO_OK;
}

static void coco__split_free(coco__split *s)
{
    coco_allocator *mem = &s->pieces.mem;

    if (s->pieces.tree) s->pieces.syntax->close(s->pieces.tree);
    if (s->pieces.subject && s->pieces.subject != s->pieces.text.p)
        coco__text_mem(mem, (void *)(uintptr_t)s->pieces.subject, 0);
    coco__text_mem(mem, s->pieces.frames, 0);
    coco__plans_free(&s->plans);
    coco__text_mem(mem, s->custom.exprs, 0);
    coco_expressions_free(s->own);
}

/* Splits text and gives fn each chunk's bytes. */
static coco_status coco__split_run(coco_str text, const coco_split_opts *opts, coco__range_fn fn, void *self,
                                   coco_err *err)
{
    coco__split s = { .opts = opts ? *opts : (coco_split_opts){ 0 } };
    const coco_split_opts *o = &s.opts;
    coco_err own;
    coco_status rc;

    if (!err) err = &own;
    err->msg[0] = '\0';
    if (!text.n) text.p = "";
    coco__split_defaults(&s.opts);
    s.pieces.opts = o;
    s.pieces.text = text;
    s.pieces.mem = s.plans.mem = o->allocator;
    s.pieces.err = s.plans.err = err;
    s.pieces.atom_size = o->chunk_overlap ? o->chunk_overlap : o->min_chunk_size;
    s.plans.chunk_size = o->chunk_size;
    s.plans.min_size = o->min_chunk_size;
    s.plans.overlap = o->chunk_overlap;
    s.plans.total = coco__total(&s.pieces);
    s.plans.ngaps = 1;
    s.plans.fn = fn;
    s.plans.self = self;
    rc = coco__split_all(&s);
    coco__split_free(&s);
    if (rc == COCO_ENOMEM && !err->msg[0]) coco_err_set(err, rc, "out of memory while splitting %zu bytes", text.n);
    return rc;
}

/* ---- One chunk at a time -------------------------------------------------------------------------------------------
 * */

/* A caller's function, and where the text is. */
typedef struct coco__teller {
    coco__locator locator;
    coco_chunk_fn fn;
    void *user;
} coco__teller;

static coco_status coco__tell(void *self, coco__span range)
{
    coco__teller *t = self;
    coco_chunk c = coco__locate(&t->locator, range);

    return t->fn(t->user, &c);
}

coco_status coco_split_each(coco_str text, const coco_split_opts *opts, coco_chunk_fn fn, void *user, coco_err *err)
{
    coco__teller t = { .fn = fn, .user = user };

    coco__locate_begin(&t.locator, text);
    return coco__split_run(text, opts, coco__tell, &t, err);
}

coco_status coco_split_by_each(coco_str text, const coco_separator_opts *opts, coco_chunk_fn fn, void *user,
                               coco_err *err)
{
    coco__teller t = { .fn = fn, .user = user };

    coco__locate_begin(&t.locator, text);
    return coco__separate(text, opts, coco__tell, &t, err);
}

/* ---- All chunks ------------------------------------------------------------------------------------------------- */

/* How many chunks there are is known when the last is found. Until then each is kept in a few bytes: how far its end
 * is from the end before, and its length, both in sevens of bits. Blocks are freed as they are read, while the chunks
 * in full are filled in. */
#define COCO__BLOCK_SIZE 8192
#define COCO__RANGE_MAX 20 /* bytes of two numbers */

typedef struct coco__block {
    struct coco__block *next;
    size_t used; /* bytes of data */
    uint8_t data[COCO__BLOCK_SIZE - 2 * sizeof(size_t)];
} coco__block;

typedef struct coco__ranges {
    coco_allocator mem;
    coco__block *first, *last;
    size_t n, end; /* chunks; end of the last one */
} coco__ranges;

static void coco__put_number(coco__block *b, size_t v)
{
    for (; v >= 128; v >>= 7) b->data[b->used++] = (uint8_t)(v | 128);
    b->data[b->used++] = (uint8_t)v;
}

static size_t coco__get_number(const coco__block *b, size_t *at)
{
    size_t v = 0;

    for (unsigned shift = 0;; shift += 7) {
        v |= (size_t)(b->data[*at] & 127) << shift;
        if (!(b->data[(*at)++] & 128)) return v;
    }
}

static coco_status coco__ranges_add(void *self, coco__span range)
{
    coco__ranges *r = self;

    if (!r->last || r->last->used + COCO__RANGE_MAX > sizeof r->last->data) {
        coco__block *b = coco__text_mem(&r->mem, NULL, sizeof *b);
        if (!b) return COCO_ENOMEM;
        b->next = NULL, b->used = 0;
        if (r->last) r->last->next = b;
        else r->first = b;
        r->last = b;
    }
    coco__put_number(r->last, range.end - r->end);
    coco__put_number(r->last, range.end - range.start);
    r->end = range.end;
    r->n++;
    return COCO_OK;
}

static void coco__ranges_drop(coco__ranges *r)
{
    coco__block *b = r->first;

    if (b) r->first = b->next;
    coco__text_mem(&r->mem, b, 0);
}

/* The chunks in cx's memory. Empties the ranges, also when it fails. */
static coco_status coco__ranges_take(coco_ctx *cx, coco__ranges *r, coco_str text, coco_chunks *out)
{
    coco__locator l;
    size_t end = 0, length, i = 0;

    *out = (coco_chunks){ NULL, r->n };
    if (r->n && !(out->items = coco_alloc(cx, r->n * sizeof *out->items))) out->n = 0;
    coco__locate_begin(&l, text);
    for (; r->first; coco__ranges_drop(r)) {
        for (size_t at = 0; at < r->first->used && out->items; i++) {
            end += coco__get_number(r->first, &at);
            length = coco__get_number(r->first, &at);
            out->items[i] = coco__locate(&l, (coco__span){ end - length, end });
        }
    }
    return out->n == r->n ? COCO_OK : COCO_ENOMEM;
}

static coco_status coco__split_result(coco_ctx *cx, coco__ranges *r, coco_status rc, const coco_err *err)
{
    if (rc == COCO_OK) return rc;
    while (r->first) coco__ranges_drop(r);
    return coco_fail(cx, rc, "%s", err->msg);
}

coco_status coco_split(coco_ctx *cx, coco_str text, const coco_split_opts *opts, coco_chunks *chunks)
{
    coco__ranges r = { 0 };
    coco_err err;
    coco_status rc;

    *chunks = (coco_chunks){ 0 };
    if (opts) r.mem = opts->allocator;
    rc = coco__split_run(text, opts, coco__ranges_add, &r, &err);
    return rc ? coco__split_result(cx, &r, rc, &err) : coco__ranges_take(cx, &r, text, chunks);
}

coco_status coco_split_by(coco_ctx *cx, coco_str text, const coco_separator_opts *opts, coco_chunks *chunks)
{
    coco__ranges r = { 0 };
    coco_err err;
    coco_status rc;

    *chunks = (coco_chunks){ 0 };
    if (opts) r.mem = opts->allocator;
    rc = coco__separate(text, opts, coco__ranges_add, &r, &err);
    return rc ? coco__split_result(cx, &r, rc, &err) : coco__ranges_take(cx, &r, text, chunks);
}
