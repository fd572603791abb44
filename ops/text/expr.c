/* expr.c - part of text.c: the caller's expressions, compiled by PCRE2 and kept by their text. The only part that knows
 * PCRE2, which gets its memory from the same allocator as all else (its compiled code apart, which is mapped).
 *
 * What the original's expressions mean is kept: \s, \d, \w and \b know all of Unicode, a line ends at \n alone, $ and ^
 * are the ends of the text (or, multi-line, of each line, also of an empty last one), and an expression sees nothing
 * outside the range it is asked about. PCRE2 takes well-formed text alone; in other text each byte that belongs to no
 * character is shown to it as U+001A, in a copy. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define COCO__EXPR_FLAGS (PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_CIRCUMFLEX | PCRE2_NEVER_BACKSLASH_C)
#define COCO__EXPR_JIT_STACK ((size_t)1 << 20) /* beyond it an expression is interpreted */

typedef struct coco__expr {
    struct coco__expr *next;
    pcre2_code *code;
    uint32_t flags; /* that it was compiled with */
    size_t n;       /* bytes of text */
    char text[];    /* the expression, NUL-terminated for messages */
} coco__expr;

struct coco_expressions {
    coco_allocator mem;
    pcre2_general_context *general; /* the allocator, as PCRE2 sees it */
    pcre2_compile_context *compile; /* newline is \n */
    pcre2_match_context *match;     /* the stack for compiled code */
    pcre2_match_data *data;         /* of the last match: its start and end */
    pcre2_jit_stack *stack;         /* NULL: PCRE2 has no just-in-time compiler here */
    coco__expr *first;              /* most recent first */
};

static void *coco__expr_take(PCRE2_SIZE n, void *mem) { return coco__text_mem(mem, NULL, n); }
static void coco__expr_give(void *p, void *mem) { coco__text_mem(mem, p, 0); }

coco_status coco_expressions_new(const coco_allocator *allocator, coco_expressions **out)
{
    coco_allocator mem = allocator ? *allocator : (coco_allocator){ 0 };
    coco_expressions *x = *out = coco__text_mem(&mem, NULL, sizeof *x);

    if (!x) return COCO_ENOMEM;
    *x = (coco_expressions){ .mem = mem };
    x->general = pcre2_general_context_create(coco__expr_take, coco__expr_give, &x->mem);
    if (x->general) {
        x->compile = pcre2_compile_context_create(x->general);
        x->match = pcre2_match_context_create(x->general);
        x->data = pcre2_match_data_create(1, x->general);
    }
    if (!x->compile || !x->match || !x->data) {
        coco_expressions_free(x);
        *out = NULL;
        return COCO_ENOMEM;
    }
    pcre2_set_newline(x->compile, PCRE2_NEWLINE_LF);
    if ((x->stack = pcre2_jit_stack_create(32 << 10, COCO__EXPR_JIT_STACK, x->general)) != NULL)
        pcre2_jit_stack_assign(x->match, NULL, x->stack);
    return COCO_OK;
}

void coco_expressions_free(coco_expressions *x)
{
    if (!x) return;
    for (coco__expr *e = x->first, *next; e; e = next) {
        next = e->next;
        pcre2_code_free(e->code);
        coco__text_mem(&x->mem, e, 0);
    }
    pcre2_jit_stack_free(x->stack);
    pcre2_match_data_free(x->data);
    pcre2_match_context_free(x->match);
    pcre2_compile_context_free(x->compile);
    pcre2_general_context_free(x->general);
    coco__text_mem(&x->mem, x, 0);
}

static coco_status coco__expr_compile(coco_expressions *x, coco_str text, uint32_t flags, coco__expr **out,
                                      coco_err *err)
{
    coco__expr *e = coco__text_mem(&x->mem, NULL, sizeof *e + text.n + 1);
    PCRE2_SIZE at;
    PCRE2_UCHAR why[256];
    int rc;

    if (!e) return coco_err_set(err, COCO_ENOMEM, "out of memory for an expression");
    *e = (coco__expr){ .next = x->first, .flags = flags, .n = text.n };
    if (text.n) memcpy(e->text, text.p, text.n);
    e->text[text.n] = '\0';
    e->code = pcre2_compile((PCRE2_SPTR)e->text, text.n, COCO__EXPR_FLAGS | flags, &rc, &at, x->compile);
    if (!e->code) {
        pcre2_get_error_message(rc, why, sizeof why);
        rc = rc == PCRE2_ERROR_HEAP_FAILED ? coco_err_set(err, COCO_ENOMEM, "out of memory for an expression")
            : coco_err_set(err, COCO_EPARSE, "expression %s: %s at byte %zu", e->text, (const char *)why, (size_t)at);
        coco__text_mem(&x->mem, e, 0);
        return rc;
    }
    /* without a just-in-time compiler, or where it won't have this expression, matching interprets */
    pcre2_jit_compile(e->code, PCRE2_JIT_COMPLETE);
    *out = x->first = e;
    return COCO_OK;
}

/* The compiled expression of that text and flags, kept from an earlier call where it can be. */
static coco_status coco__expr_get(coco_expressions *x, coco_str text, uint32_t flags, coco__expr **out, coco_err *err)
{
    for (coco__expr *e = x->first; e; e = e->next) {
        if (e->flags != flags || e->n != text.n || memcmp(e->text, text.p, text.n) != 0) continue;
        *out = e;
        return COCO_OK;
    }
    return coco__expr_compile(x, text, flags, out, err);
}

/* One match of e in a range of well-formed text, not before m->start: 1 with its start and end, 0, or an error. */
static int coco__expr_match(coco_expressions *x, const coco__expr *e, coco_str range, coco__span *m, coco_err *err)
{
    PCRE2_UCHAR why[256];
    int rc = pcre2_match(e->code, (PCRE2_SPTR)range.p, range.n, m->start, PCRE2_NO_UTF_CHECK, x->data, x->match);

    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(e->code, (PCRE2_SPTR)range.p, range.n, m->start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, x->data,
                         x->match);
    if (rc == PCRE2_ERROR_NOMATCH) return 0;
    if (rc < 0) {
        pcre2_get_error_message(rc, why, sizeof why);
        return coco_err_set(err, rc == PCRE2_ERROR_NOMEMORY ? COCO_ENOMEM : COCO_EFAIL, "expression %s: %s", e->text,
                            (const char *)why);
    }
    m->start = pcre2_get_ovector_pointer(x->data)[0];
    m->end = pcre2_get_ovector_pointer(x->data)[1];
    /* \K in a lookahead can put the start behind the end */
    if (m->start > m->end) m->start = m->end;
    return 1;
}

/* The next match in range, where the search goes on at m->start, which is the end of the match before if `again`. An
 * empty match there is passed over: the search goes on one character further. */
static int coco__expr_next(coco_expressions *x, const coco__expr *e, coco_str range, bool again, coco__span *m,
                           coco_err *err)
{
    size_t from = m->start;
    int rc = coco__expr_match(x, e, range, m, err);

    if (rc <= 0 || !again || m->start < m->end || m->end > from) return rc;
    if (from == range.n) return 0;
    m->start = from + coco__text_character((const uint8_t *)range.p + from, (const uint8_t *)range.p + range.n);
    return coco__expr_match(x, e, range, m, err);
}

/* What expressions see of a text: itself if it is well-formed, else a copy with U+001A for every byte that belongs to
 * no character, to be freed by the caller. */
static coco_status coco__expr_subject(const coco_allocator *mem, coco_str text, const char **out, coco_err *err)
{
    const uint8_t *p = (const uint8_t *)text.p, *end = p + text.n;
    uint8_t *copy, *to;

    *out = text.p;
    if (coco__text_valid(p, end)) return COCO_OK;
    if (!(copy = to = coco__text_mem(mem, NULL, text.n)))
        return coco_err_set(err, COCO_ENOMEM, "out of memory for %zu bytes of text", text.n);
    while (p < end) {
        size_t n = coco__text_sequence(p, end);
        if (n) memcpy(to, p, n);
        else n = 1, *to = 0x1A;
        p += n, to += n;
    }
    *out = (const char *)copy;
    return COCO_OK;
}
