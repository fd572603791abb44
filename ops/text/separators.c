/* separators.c - part of text.c: the separator splitter (spec: text, separator splitter). */

typedef struct coco__separation {
    const coco_separator_opts *opts;
    coco_str text;
    coco__range_fn fn; /* gets the pieces */
    void *self;        /* of fn */
} coco__separation;

static bool coco__is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r'; }

static coco_status coco__separated(const coco__separation *s, size_t start, size_t end)
{
    while (!s->opts->keep_space && start < end && coco__is_blank(s->text.p[start])) start++;
    while (!s->opts->keep_space && start < end && coco__is_blank(s->text.p[end - 1])) end--;
    if (start == end && !s->opts->include_empty) return COCO_OK;
    return s->fn(s->self, (coco__span){ start, end });
}

/* The expressions as alternatives of one. */
static coco_status coco__joined(const coco_separator_opts *opts, coco_str *out)
{
    size_t n = 0;
    char *p;

    for (const char *const *e = opts->separators; *e; e++) n += strlen(*e) + 5;
    if (!(p = coco__text_mem(&opts->allocator, NULL, n + 1))) return COCO_ENOMEM;
    *out = (coco_str){ p, n - 1 };
    for (const char *const *e = opts->separators; *e; e++) p += sprintf(p, "(?:%s)%s", *e, e[1] ? "|" : "");
    return COCO_OK;
}

/* Gives the pieces between the matches of e in subject, which is the text as expressions see it. */
static coco_status coco__separate_at(const coco__separation *s, coco_expressions *x, const coco__expr *e,
                                     const char *subject, coco_err *err)
{
    coco_str range = { subject, s->text.n };
    coco__span m = { 0, 0 };
    size_t start = 0;
    bool again = false;
    int rc;

    for (; (rc = coco__expr_next(x, e, range, again, &m, err)) > 0; m.start = m.end, again = true) {
        COCO_TRY(coco__separated(s, start, s->opts->keep == COCO_KEEP_LEFT ? m.end : m.start));
        start = s->opts->keep == COCO_KEEP_RIGHT ? m.start : m.end;
    }
    return rc < 0 ? rc : coco__separated(s, start, s->text.n);
}

/* The same for all separators of the options, compiled or found in x. */
static coco_status coco__separate_with(const coco__separation *s, coco_expressions *x, coco_err *err)
{
    const coco_allocator *mem = &s->opts->allocator;
    const char *subject = s->text.p;
    coco__expr *e;
    coco_str joined;
    coco_status rc;

    if (coco__joined(s->opts, &joined) != COCO_OK) return COCO_ENOMEM;
    rc = coco__expr_get(x, joined, PCRE2_MULTILINE, &e, err);
    coco__text_mem(mem, (void *)(uintptr_t)joined.p, 0);
    if (rc == COCO_OK) rc = coco__expr_subject(mem, s->text, &subject, err);
    if (rc == COCO_OK) rc = coco__separate_at(s, x, e, subject, err);
    if (subject != s->text.p) coco__text_mem(mem, (void *)(uintptr_t)subject, 0);
    return rc;
}

static coco_status coco__separate(coco_str text, const coco_separator_opts *opts, coco__range_fn fn, void *self,
                                  coco_err *err)
{
    static const coco_separator_opts none;
    coco__separation s = { opts ? opts : &none, text, fn, self };
    coco_expressions *own = NULL;
    coco_err unwanted;
    coco_status rc = COCO_OK;

    if (!err) err = &unwanted;
    err->msg[0] = '\0';
    if (!text.n) s.text.p = "";
    if (!s.opts->separators || !s.opts->separators[0]) return coco__separated(&s, 0, text.n);
    if (!s.opts->expressions) rc = coco_expressions_new(&s.opts->allocator, &own);
    if (rc == COCO_OK) rc = coco__separate_with(&s, own ? own : s.opts->expressions, err);
    coco_expressions_free(own);
    if (rc == COCO_ENOMEM && !err->msg[0]) coco_err_set(err, rc, "out of memory while splitting %zu bytes", text.n);
    return rc;
}
