/* answer.c - part of embed.c: what an answer says.
 *
 * An answer is a small JSON document with large vectors in it. For each number jansson takes 340 ns and an allocation,
 * cJSON 170, and the network 4. So a reader of our own goes over it once at 14, strictly by RFC 8259 (but for
 * invalid UTF-8, which doesn't concern us, and escapes in the few names it knows), allocates nothing, and reads the
 * vectors where it finds them (number.c). Zeros behind the last byte stop every scan. */

#define COCO__EMB_DEPTH 64 /* of lists and objects in one another */

/* The vectors of one answer. */
typedef struct coco__emb_vectors {
    float *v;          /* for one that isn't read in its place */
    size_t cap;        /* floats that v has room for */
    float *out;        /* text i's goes to i * dimensions; NULL: none is kept */
    const float *at;   /* the one that was read last */
    bool *there;       /* which have come */
    size_t n, want;    /* read, and asked for */
    size_t dimensions; /* of each; 0: as the first has */
    uint64_t tokens;   /* as the server counted them */
} coco__emb_vectors;

/* A place in an answer. */
typedef struct coco__emb_reader {
    const coco_embedder *e;
    coco__emb_vectors *a;
    const char *begin, *p, *end;
    int depth;                   /* of lists and objects around p */
    size_t entries;              /* of "data" that are read */
    bool data;                   /* there was a "data" */
    bool indexed, vector;        /* the entry has an index, a vector: */
    int64_t index;
    coco_err *err;
} coco__emb_reader;

typedef coco_status (*coco__emb_member)(coco__emb_reader *r, coco_str name);

static const char *coco__emb_blank(const char *p)
{
    while (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') p++;
    return p;
}

/* ---- JSON ---- */

/* What stands at p can't stand there. */
static coco_status coco__emb_bad(coco__emb_reader *r, const char *p)
{
    char near[100];

    if (p >= r->end) return coco__emb_fail(r->e, r->err, COCO_EPARSE, "the answer is not JSON: it ends too early");
    coco__emb_quote(r->e, p, (size_t)(r->end - p), near, sizeof near);
    return coco__emb_fail(r->e, r->err, COCO_EPARSE, "the answer is not JSON from byte %zu on: %s",
                          (size_t)(p - r->begin), near);
}

/* Whether p, behind a backslash, is an escape; *n: its length. */
static bool coco__emb_escaped(const char *p, size_t *n)
{
    *n = 1;
    if (*p != 'u') return *p && strchr("\"\\/bfnrt", *p) != NULL;
    *n = 5;
    for (int i = 1; i < 5; i++)
        if (!isxdigit((unsigned char)p[i])) return false;
    return true;
}

/* The first byte from p on that may be none of a string's plain ones. */
static const char *coco__emb_plain_end(const char *p)
{
    uint64_t odd;

    while (!(odd = coco__emb_odd8(coco__emb_load8(p)))) p += 8;
    return p + coco__emb_low_zeros(odd) / 8;
}

/* Passes over a string; *s is what stands between the quotes. */
static coco_status coco__emb_string(coco__emb_reader *r, coco_str *s)
{
    const char *p = r->p;
    size_t n;

    if (*p != '"') return coco__emb_bad(r, p);
    while (*(p = coco__emb_plain_end(p + 1)) != '"') {
        if ((unsigned char)*p < ' ') return coco__emb_bad(r, p);
        if (*p != '\\') continue;
        if (!coco__emb_escaped(p + 1, &n)) return coco__emb_bad(r, p);
        p += n;
    }
    *s = (coco_str){ r->p + 1, (size_t)(p - r->p) - 1 };
    r->p = p + 1;
    return COCO_OK;
}

static coco_status coco__emb_skip(coco__emb_reader *r);

static coco_status coco__emb_skip_member(coco__emb_reader *r, coco_str name)
{
    (void)name;
    return coco__emb_skip(r);
}

/* An object: each member goes to fn, which passes over its value. */
static coco_status coco__emb_object(coco__emb_reader *r, coco__emb_member fn)
{
    coco_str name;

    if (*r->p != '{' || ++r->depth > COCO__EMB_DEPTH) return coco__emb_bad(r, r->p);
    r->p = coco__emb_blank(r->p + 1);
    for (bool more = *r->p != '}'; more;) {
        COCO_TRY(coco__emb_string(r, &name));
        r->p = coco__emb_blank(r->p);
        if (*r->p != ':') return coco__emb_bad(r, r->p);
        r->p = coco__emb_blank(r->p + 1);
        COCO_TRY(fn(r, name));
        r->p = coco__emb_blank(r->p);
        if ((more = *r->p == ',')) r->p = coco__emb_blank(r->p + 1);
    }
    if (*r->p != '}') return coco__emb_bad(r, r->p);
    r->p++, r->depth--;
    return COCO_OK;
}

/* A list: fn passes over each of its values. */
static coco_status coco__emb_list_of(coco__emb_reader *r, coco_status (*fn)(coco__emb_reader *r))
{
    if (*r->p != '[' || ++r->depth > COCO__EMB_DEPTH) return coco__emb_bad(r, r->p);
    r->p = coco__emb_blank(r->p + 1);
    for (bool more = *r->p != ']'; more;) {
        COCO_TRY(fn(r));
        r->p = coco__emb_blank(r->p);
        if ((more = *r->p == ',')) r->p = coco__emb_blank(r->p + 1);
    }
    if (*r->p != ']') return coco__emb_bad(r, r->p);
    r->p++, r->depth--;
    return COCO_OK;
}

/* Passes over any value. */
static coco_status coco__emb_skip(coco__emb_reader *r)
{
    static const char *const words[] = { "true", "false", "null" };
    const char *end;
    coco_str s;
    float f;

    if (*r->p == '{') return coco__emb_object(r, coco__emb_skip_member);
    if (*r->p == '[') return coco__emb_list_of(r, coco__emb_skip);
    if (*r->p == '"') return coco__emb_string(r, &s);
    for (size_t i = 0; i < 3 && *r->p >= 'f'; i++)
        if (strncmp(r->p, words[i], strlen(words[i])) == 0) {
            r->p += strlen(words[i]);
            return COCO_OK;
        }
    if (!(end = coco__emb_number(r->e, r->p, &f))) return coco__emb_bad(r, r->p);
    r->p = end;
    return COCO_OK;
}

/* Passes over a value; *is: whether it is an integer, which is then in *i. */
static coco_status coco__emb_integer(coco__emb_reader *r, bool *is, int64_t *i)
{
    const char *first = r->p;
    uint64_t m = 0;
    size_t minus = *first == '-';

    COCO_TRY(coco__emb_skip(r));
    *is = r->p > first + minus && r->p - first < 18 && coco__emb_digits(first + minus, &m) == r->p;
    *i = minus ? -(int64_t)m : (int64_t)m;
    return COCO_OK;
}

/* ---- Vectors ---- */

/* Room for a vector of up to n floats; NULL: no memory. */
static float *coco__emb_vector_room(const coco_embedder *e, coco__emb_vectors *a, size_t n)
{
    float *v;

    if (n + 2 <= a->cap) return a->v;
    if (!(v = coco__emb_realloc(e, a->v, (n + 2) * sizeof *v))) return NULL;
    a->v = v;
    a->cap = n + 2;
    return v;
}

/* A vector has been read; whether all its numbers are finite. */
static coco_status coco__emb_vector_done(const coco_embedder *e, coco__emb_vectors *a, const float *v, size_t n,
                                         bool finite, coco_err *err)
{
    if (n == 0) return coco__emb_fail(e, err, COCO_EPARSE, "vector %zu of the answer is empty", a->n);
    if (a->dimensions && n != a->dimensions)
        return coco__emb_fail(e, err, COCO_EPARSE, "vector %zu of the answer has %zu dimensions, not %zu", a->n, n,
                              a->dimensions);
    if (n > COCO__EMB_MAX_DIMENSIONS)
        return coco__emb_fail(e, err, COCO_EPARSE, "vector %zu of the answer has %zu dimensions; at most %d can be",
                              a->n, n, COCO__EMB_MAX_DIMENSIONS);
    if (!finite)
        return coco__emb_fail(e, err, COCO_EPARSE,
                              "vector %zu of the answer holds NaN or a number beyond what a float32 can hold", a->n);
    a->at = v;
    a->dimensions = n;
    a->n++;
    return COCO_OK;
}

/* Reads numbers up to the end of the list, room of them at most. Returns where it stopped: behind the bracket, or at
 * what is no number (*n then tells how far it came). */
static const char *coco__emb_numbers(const coco_embedder *e, const char *p, float *out, size_t room, size_t *n)
{
    const char *end;

    for (*n = 0; *n < room; p = *p <= ' ' ? coco__emb_blank(p) : p) {
        if (!(end = coco__emb_number(e, p, &out[*n]))) return p;
        ++*n;
        p = *end == ',' ? end : coco__emb_blank(end);
        if (*p != ',') return *p == ']' ? p + 1 : p;
        p++;
    }
    return p;
}

/* The reader is behind the opening bracket, and then behind the closing one. */
static coco_status coco__emb_read_list(coco__emb_reader *r)
{
    const coco_embedder *e = r->e;
    coco__emb_vectors *a = r->a;
    size_t room = a->dimensions ? a->dimensions + 1 : COCO__EMB_MAX_DIMENSIONS + 1, n;
    float *v = coco__emb_vector_room(e, a, room);
    const char *end;
    char near[24];

    if (!v) return coco__emb_oom(r->err);
    r->p = coco__emb_blank(r->p);
    if (*r->p == ']') return coco__emb_vector_done(e, a, v, 0, true, r->err);
    end = coco__emb_numbers(e, r->p, v, room, &n);
    if (end[-1] == ']') {
        r->p = end;
        return coco__emb_vector_done(e, a, v, n, coco__emb_finite(v, n), r->err);
    }
    if (n == room)
        return coco__emb_fail(e, r->err, COCO_EPARSE, "vector %zu of the answer has more than %zu dimensions", a->n,
                              room - 1);
    if (end == r->end) return coco__emb_fail(e, r->err, COCO_EPARSE, "the answer ends within vector %zu", a->n);
    coco__emb_quote(e, end, strnlen(end, COCO_ERR_MAX), near, sizeof near);
    return coco__emb_fail(e, r->err, COCO_EPARSE, "number %zu of vector %zu of the answer is no JSON number: \"%s\"", n,
                          a->n, near);
}

/* Reads the base64 between the reader and the quote, and passes over both. */
static coco_status coco__emb_decode(coco__emb_reader *r, const char *quote)
{
    const coco_embedder *e = r->e;
    coco__emb_vectors *a = r->a;
    size_t letters = (size_t)(quote - r->p), bytes = coco__emb_base64_size(r->p, letters);
    bool finite;
    float *v;

    if (bytes % 4)
        return coco__emb_fail(e, r->err, COCO_EPARSE,
                              "vector %zu of the answer is cut off: %zu letters of base64 are no whole float32s", a->n,
                              letters);
    if (a->dimensions && bytes / 4 != a->dimensions)
        return coco__emb_vector_done(e, a, NULL, bytes / 4, true, r->err);
    /* Most answers are in order: then this is its place already. */
    if (a->out && a->dimensions && !a->there[a->n]) v = a->out + a->n * a->dimensions;
    else if (!(v = coco__emb_vector_room(e, a, bytes / 4))) return coco__emb_oom(r->err);
    if (!coco__emb_base64_floats(r->p, letters, v, bytes / 4, &finite))
        return coco__emb_fail(e, r->err, COCO_EPARSE, "vector %zu of the answer is not base64", a->n);
    COCO_TRY(coco__emb_vector_done(e, a, v, bytes / 4, finite, r->err));
    r->p = quote + 1;
    return COCO_OK;
}

/* The reader is behind the opening quote, and then behind the closing one. As a rule that is where the dimensions say:
 * what is decoded up to there has no quote in it, so it needn't be looked for. */
static coco_status coco__emb_read_base64(coco__emb_reader *r)
{
    size_t left = (size_t)(r->end - r->p), n = (r->a->dimensions * 4 + 2) / 3 * 4;
    coco_status rc = n < left && r->p[n] == '"' ? coco__emb_decode(r, r->p + n) : COCO_EPARSE;
    const char *quote;

    if (rc != COCO_EPARSE) return rc;
    if ((quote = memchr(r->p, '"', left)) != NULL) return coco__emb_decode(r, quote);
    return coco__emb_fail(r->e, r->err, COCO_EPARSE, "the answer ends within vector %zu", r->a->n);
}

/* ---- The shape ---- */

static inline bool coco__emb_named(coco_str name, const char *is)
{
    size_t n = strlen(is);

    return name.n == n && memcmp(name.p, is, n) == 0;
}

/* The value of "embedding". */
static coco_status coco__emb_vector(coco__emb_reader *r)
{
    bool list = *r->p == '[';

    if (!list && *r->p != '"') return coco__emb_skip(r);
    if (r->a->n == r->a->want)
        return coco__emb_fail(r->e, r->err, COCO_EPARSE, "the answer has more than the %zu vectors asked for",
                              r->a->want);
    if (r->vector)
        return coco__emb_fail(r->e, r->err, COCO_EPARSE, "data[%zu] of the answer has two vectors", r->entries);
    r->p++;
    r->vector = true;
    return list ? coco__emb_read_list(r) : coco__emb_read_base64(r);
}

static coco_status coco__emb_entry_member(coco__emb_reader *r, coco_str name)
{
    if (coco__emb_named(name, "embedding")) return coco__emb_vector(r);
    if (!coco__emb_named(name, "index")) return coco__emb_skip(r);
    COCO_TRY(coco__emb_integer(r, &r->indexed, &r->index));
    if (r->indexed) return COCO_OK;
    return coco__emb_fail(r->e, r->err, COCO_EPARSE, "the index of data[%zu] of the answer is no integer", r->entries);
}

/* Brings the vector that was read last to its place. */
static void coco__emb_keep(const coco__emb_vectors *a, size_t i)
{
    float *place = a->out ? a->out + i * a->dimensions : NULL;

    if (place && place != a->at) memcpy(place, a->at, a->dimensions * sizeof *place);
}

/* An entry of "data": whose vector it has. */
static coco_status coco__emb_entry(coco__emb_reader *r)
{
    size_t i = r->entries, want = r->a->want;

    r->indexed = r->vector = false;
    if (*r->p != '{') return coco__emb_fail(r->e, r->err, COCO_EPARSE, "data[%zu] of the answer is no object", i);
    COCO_TRY(coco__emb_object(r, coco__emb_entry_member));
    if (!r->indexed) r->index = (int64_t)i; /* some servers leave out what is 0 */
    if (!r->vector)
        return coco__emb_fail(r->e, r->err, COCO_EPARSE, "data[%zu] of the answer has no \"embedding\" of numbers", i);
    if (r->index < 0 || (uint64_t)r->index >= want)
        return coco__emb_fail(r->e, r->err, COCO_EPARSE,
                              "data[%zu] of the answer has the index %lld, but %zu texts were sent", i,
                              (long long)r->index, want);
    if (r->a->there[r->index])
        return coco__emb_fail(r->e, r->err, COCO_EPARSE, "the index %lld comes twice in the answer",
                              (long long)r->index);
    r->a->there[r->index] = true;
    coco__emb_keep(r->a, (size_t)r->index);
    r->entries++;
    return COCO_OK;
}

static coco_status coco__emb_usage_member(coco__emb_reader *r, coco_str name)
{
    int64_t tokens;
    bool is;

    COCO_TRY(coco__emb_integer(r, &is, &tokens));
    if (is && tokens > 0 && coco__emb_named(name, "total_tokens")) r->a->tokens = (uint64_t)tokens;
    return COCO_OK;
}

static coco_status coco__emb_root_member(coco__emb_reader *r, coco_str name)
{
    if (coco__emb_named(name, "usage") && *r->p == '{') return coco__emb_object(r, coco__emb_usage_member);
    if (!coco__emb_named(name, "data") || *r->p != '[') return coco__emb_skip(r);
    r->data = true;
    return coco__emb_list_of(r, coco__emb_entry);
}

static coco_status coco__emb_judge(coco__emb_reader *r)
{
    r->p = coco__emb_blank(r->p);
    COCO_TRY(*r->p == '{' ? coco__emb_object(r, coco__emb_root_member) : coco__emb_skip(r));
    r->p = coco__emb_blank(r->p);
    if (r->p != r->end) return coco__emb_bad(r, r->p);
    if (!r->data)
        return coco__emb_fail(r->e, r->err, COCO_EPARSE, "the answer is JSON, but has no list \"data\"");
    if (r->entries == r->a->want) return COCO_OK;
    return coco__emb_fail(r->e, r->err, COCO_EPARSE, "the answer has %zu vectors, but %zu texts were sent", r->entries,
                          r->a->want);
}

/* Reads the vectors of a successful answer, behind which COCO__EMB_PAD zeros stand; there must have room for a->want.
 * After an error what is in out is void. Errors: COCO_EPARSE, COCO_ENOMEM. */
static coco_status coco__emb_answer(const coco_embedder *e, coco__emb_vectors *a, coco_str s, coco_err *err)
{
    coco__emb_reader r = { .e = e, .a = a, .begin = s.p, .p = s.p, .end = s.p + s.n, .err = err };

    if (s.n == 0) return coco__emb_fail(e, err, COCO_EPARSE, "the answer is empty");
    a->n = 0;
    a->tokens = 0;
    a->dimensions = e->dimensions;
    memset(a->there, 0, a->want * sizeof *a->there);
    return coco__emb_judge(&r);
}

/* ---- Answers that say no ---- */

static const char *coco__emb_said(const json_t *root)
{
    const json_t *error = json_object_get(root, "error");
    const char *const names[] = { "message", "error", "detail" };
    const char *s = json_string_value(json_object_get(error, "message"));

    for (size_t i = 0; !s && i < sizeof names / sizeof names[0]; i++)
        s = json_string_value(json_object_get(root, names[i]));
    return s;
}

/* What the server said, into out: the message of a JSON error, else the beginning of the text. */
static void coco__emb_message(const coco_embedder *e, coco_str heard, char *out, size_t size)
{
    json_t *root = json_loadb(heard.p, heard.n, JSON_REJECT_DUPLICATES, NULL);
    const char *s = coco__emb_said(root);

    if (s) coco__emb_quote(e, s, strlen(s), out, size);
    else coco__emb_quote(e, heard.p, heard.n, out, size < 200 ? size : 200);
    json_decref(root);
    if (!*out) snprintf(out, size, "nothing more was said");
}

/* Whether another try may help. */
static bool coco__emb_may_pass(long status)
{
    return status == 408 || status == 409 || status == 425 || status == 429 || status >= 500;
}

/* Whether the answer has one of the n signs, in any case. Only its beginning is looked at. */
static bool coco__emb_says(coco_str heard, const char *const *signs, size_t count)
{
    char text[4096];
    size_t n = heard.n < sizeof text ? heard.n : sizeof text - 1;

    for (size_t i = 0; i < n; i++) text[i] = heard.p[i] ? heard.p[i] : ' ';
    text[n] = '\0';
    for (size_t i = 0; i < count; i++)
        if (strcasestr(text, signs[i])) return true;
    return false;
}

/* Whether the request itself may be what is refused: its text tells then. */
static bool coco__emb_blames_request(long status)
{
    return status >= 400 && status <= 500 && (status == 500 || !coco__emb_may_pass(status));
}

/* Whether the answer says that the batch is too large: the rule in the manual. */
static bool coco__emb_too_large(long status, coco_str heard)
{
    static const char *const signs[] = {
        "context length", "context_length", "context size", "input length", "batch size", "too large", "is too long",
        "array too long", "string too long", "too many inputs", "too many tokens", "tokens per request",
        "array_above_max_length", "string_above_max_length"
    };

    return status == 413 ||
           (coco__emb_blames_request(status) && coco__emb_says(heard, signs, sizeof signs / sizeof signs[0]));
}

/* Whether the answer says that base64 isn't to be had: the rule in the manual. */
static bool coco__emb_form_refused(long status, coco_str heard)
{
    static const char *const signs[] = { "encoding_format", "base64" };

    return (coco__emb_blames_request(status) || status == 501) && coco__emb_says(heard, signs, 2);
}
