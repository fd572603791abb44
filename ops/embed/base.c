/* base.c - part of embed.c: memory, time, and messages that hold no secret. */

/* ---- Memory ---- */

static void *coco__emb_realloc(const coco_embedder *e, void *p, size_t n)
{
    if (e->o.allocator.realloc) return e->o.allocator.realloc(e->o.allocator.self, p, n);
    if (n) return realloc(p, n);
    free(p);
    return NULL;
}

static void *coco__emb_alloc(const coco_embedder *e, size_t n)
{
    void *p = coco__emb_realloc(e, NULL, n ? n : 1);

    if (p) memset(p, 0, n);
    return p;
}

static void coco__emb_free(const coco_embedder *e, void *p)
{
    if (p) coco__emb_realloc(e, p, 0);
}

static char *coco__emb_strdup(const coco_embedder *e, const char *s, size_t n)
{
    char *p = coco__emb_alloc(e, n + 1);

    if (p) memcpy(p, s, n);
    return p;
}

/* Room for more bytes behind b's. */
static bool coco__emb_reserve(const coco_embedder *e, coco__emb_buf *b, size_t more)
{
    size_t cap = b->cap ? b->cap : 1024;
    char *p;

    if (more > SIZE_MAX / 2 - b->n) return false;
    if (b->cap - b->n >= more) return true;
    while (cap - b->n < more) cap *= 2;
    if (!(p = coco__emb_realloc(e, b->p, cap))) return false;
    b->p = p;
    b->cap = cap;
    return true;
}

static bool coco__emb_add(const coco_embedder *e, coco__emb_buf *b, const char *p, size_t n)
{
    if (!coco__emb_reserve(e, b, n)) return false;
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return true;
}

static bool coco__emb_adds(const coco_embedder *e, coco__emb_buf *b, const char *s)
{
    return coco__emb_add(e, b, s, strlen(s));
}

static void coco__emb_buf_free(const coco_embedder *e, coco__emb_buf *b)
{
    coco__emb_free(e, b->p);
    *b = (coco__emb_buf){ 0 };
}

static void coco__emb_list_init(coco__emb_list *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static void coco__emb_list_add(coco__emb_list *l, coco__emb_piece *p)
{
    p->next = NULL;
    *l->end = p;
    l->end = &p->next;
}

/* Takes the piece that *at points to out of l. */
static coco__emb_piece *coco__emb_list_take(coco__emb_list *l, coco__emb_piece **at)
{
    coco__emb_piece *p = *at;

    *at = p->next;
    if (!*at) l->end = at;
    return p;
}

/* ---- Time ---- */

#define COCO__EMB_MS INT64_C(1000000)
#define COCO__EMB_SECOND INT64_C(1000000000)

/* Nanoseconds of a clock that only goes forward; never 0. */
static int64_t coco__emb_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * COCO__EMB_SECOND + t.tv_nsec + 1;
}

/* ---- Messages ---- */

/* The bytes of the UTF-8 character at p, 2 to 4; 0 where there is none (surrogates and long forms aren't). */
static size_t coco__emb_utf8(const unsigned char *p, size_t n)
{
    size_t len = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;

    if (*p < 0xc2 || *p > 0xf4 || n < len) return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (*p == 0xe0 && p[1] < 0xa0) return 0;
    if (*p == 0xed && p[1] > 0x9f) return 0;
    if (*p == 0xf0 && p[1] < 0x90) return 0;
    return *p == 0xf4 && p[1] > 0x8f ? 0 : len;
}

/* Copies what a server said into out, up to size, on one line, as UTF-8 and without the key. The key is looked for in
 * all n bytes, so that no part of it is left where out ends. */
static void coco__emb_quote(const coco_embedder *e, const char *p, size_t n, char *out, size_t size)
{
    size_t nkey = e->key ? strlen(e->key) : 0, used = 0, len;

    for (const char *end = p + n; p < end && used + 8 < size; p += len) {
        unsigned char c = (unsigned char)*p;
        len = 1;
        if (nkey && (size_t)(end - p) >= nkey && memcmp(p, e->key, nkey) == 0) {
            memcpy(out + used, "[key]", 5);
            used += 5;
            len = nkey;
        } else if (c <= ' ' || c == 127) {
            if (used && out[used - 1] != ' ') out[used++] = ' ';
        } else if (c < 0x80) {
            out[used++] = *p;
        } else if ((len = coco__emb_utf8((const unsigned char *)p, (size_t)(end - p))) > 0) {
            memcpy(out + used, p, len);
            used += len;
        } else {
            out[used++] = '?';
            len = 1;
        }
    }
    while (used && out[used - 1] == ' ') used--;
    out[used] = '\0';
}

/* An error in the name of the embedder: "embedding by MODEL at URL: …". The whole message passes the filter, since a
 * model's name or libcurl's words may hold the key too. */
static coco_status coco__emb_fail(const coco_embedder *e, coco_err *err, coco_status rc, const char *fmt, ...)
    COCO__PRINTF(4, 5);
static coco_status coco__emb_fail(const coco_embedder *e, coco_err *err, coco_status rc, const char *fmt, ...)
{
    char text[COCO_ERR_MAX], whole[2 * COCO_ERR_MAX], safe[COCO_ERR_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(whole, sizeof whole, "embedding by %s at %s: %s", e->o.model, e->shown, text);
    coco__emb_quote(e, whole, strlen(whole), safe, sizeof safe);
    return coco_err_set(err, rc, "%s", safe);
}

static coco_status coco__emb_oom(coco_err *err) { return coco_err_set(err, COCO_ENOMEM, "out of memory"); }
