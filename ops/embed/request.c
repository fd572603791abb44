/* request.c - part of embed.c: the body of a request, {"model": "m", "input": ["first", "second"]}. What is the same in
 * each, before and behind the texts, is made once, but for the form that is asked for. */

#ifdef COCO__EMB_AVX2
/* As the next one, 64 at a time. */
__attribute__((target("avx2")))
static size_t coco__emb_copy_wide(char *out, const unsigned char *p, size_t n)
{
    const __m256i blank = _mm256_set1_epi8(' '), quote = _mm256_set1_epi8('"'), back = _mm256_set1_epi8('\\');
    size_t done = 0;

    for (; n - done >= 64; done += 64) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(p + done));
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(p + done + 32));
        __m256i look = _mm256_cmpgt_epi8(blank, _mm256_min_epi8(a, b)); /* those from 0x80 on are negative */
        look = _mm256_or_si256(look, _mm256_or_si256(_mm256_cmpeq_epi8(a, quote), _mm256_cmpeq_epi8(b, quote)));
        look = _mm256_or_si256(look, _mm256_or_si256(_mm256_cmpeq_epi8(a, back), _mm256_cmpeq_epi8(b, back)));
        if (!_mm256_testz_si256(look, look)) break;
        _mm256_storeu_si256((__m256i *)(void *)(out + done), a);
        _mm256_storeu_si256((__m256i *)(void *)(out + done + 32), b);
    }
    return done;
}
#else
static size_t coco__emb_copy_wide(char *out, const unsigned char *p, size_t n)
{
    (void)out, (void)p, (void)n;
    return 0;
}
#endif

/* Copies the bytes at the beginning of n that stand for themselves, 32 at a time: printable ASCII other than " and \.
 * Returns how many. */
static size_t coco__emb_copy_plain(char *out, const unsigned char *p, size_t n)
{
    size_t done = n >= 64 && coco__emb_has_avx2() ? coco__emb_copy_wide(out, p, n) : 0;
#if defined(__GNUC__)
    typedef signed char bytes __attribute__((vector_size(16)));
    typedef uint64_t words __attribute__((vector_size(16)));

    for (; n - done >= 32; done += 32) {
        bytes a, b; /* those from 0x80 on are negative */
        memcpy(&a, p + done, 16);
        memcpy(&b, p + done + 16, 16);
        words look = (words)((a < ' ') | (a == '"') | (a == '\\') | (b < ' ') | (b == '"') | (b == '\\'));
        if (look[0] | look[1]) break;
        memcpy(out + done, &a, 16);
        memcpy(out + done + 16, &b, 16);
    }
#endif
    return done;
}

/* Writes what stands for the character at p, and tells how many bytes of p that were. Six bytes at most. */
static size_t coco__emb_escape(char *out, size_t *wrote, const unsigned char *p, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    size_t len;

    if (*p == '"' || *p == '\\') {
        out[0] = '\\', out[1] = (char)*p, *wrote = 2;
        return 1;
    }
    if (*p < 0x20) {
        const char *at = memchr("\bb\nn\tt\rr\ff", *p, 10);
        memcpy(out, "\\u00", 4);
        out[4] = hex[*p >> 4], out[5] = hex[*p & 15], *wrote = 6;
        if (at) out[1] = at[1], *wrote = 2;
        return 1;
    }
    if (*p < 0x80) {
        out[0] = (char)*p, *wrote = 1;
        return 1;
    }
    if ((len = coco__emb_utf8(p, n)) > 0) {
        memcpy(out, p, len);
        *wrote = len;
        return len;
    }
    memcpy(out, "\xef\xbf\xbd", 3);
    *wrote = 3;
    return 1;
}

/* Appends a JSON string. Room is made for the usual case, and again whenever that runs out. */
static bool coco__emb_add_string(const coco_embedder *e, coco__emb_buf *b, coco_str text)
{
    const unsigned char *p = (const unsigned char *)(text.n ? text.p : ""), *end = p + text.n;

    if (!coco__emb_add(e, b, "\"", 1)) return false;
    while (p < end) {
        if (!coco__emb_reserve(e, b, (size_t)(end - p) + 16)) return false;
        char *out = b->p + b->n, *full = b->p + b->cap - 8;
        while (p < end && out < full) {
            size_t wrote;
            if (end - p >= 8 && !coco__emb_odd8(coco__emb_load8((const char *)p))) {
                memcpy(out, p, 8);
                out += 8, p += 8;
                size_t room = out < full ? (size_t)(full - out) : 0, left = (size_t)(end - p);
                size_t plain = coco__emb_copy_plain(out, p, left < room ? left : room);
                out += plain, p += plain;
                continue;
            }
            p += coco__emb_escape(out, &wrote, p, (size_t)(end - p));
            out += wrote;
        }
        b->n = (size_t)(out - b->p);
    }
    return coco__emb_add(e, b, "\"", 1);
}

/* What stands before and behind the texts. extra is a JSON object, checked before: its members, without the braces. */
static bool coco__emb_frame(coco_embedder *e)
{
    const char *open = e->o.extra ? strchr(e->o.extra, '{') : NULL, *shut = open ? strrchr(open, '}') : NULL;
    char number[48];

    if (!coco__emb_adds(e, &e->head, "{\"model\":") || !coco__emb_add_string(e, &e->head, coco_str_of(e->o.model)) ||
        !coco__emb_adds(e, &e->head, ",\"input\":["))
        return false;
    if (e->o.dimensions && !e->o.dimensions_known) {
        snprintf(number, sizeof number, ",\"dimensions\":%zu", e->o.dimensions);
        if (!coco__emb_adds(e, &e->tail, number)) return false;
    }
    if (shut && strchr(open, '"') &&
        (!coco__emb_adds(e, &e->tail, ",") || !coco__emb_add(e, &e->tail, open + 1, (size_t)(shut - open) - 1)))
        return false;
    return coco__emb_adds(e, &e->tail, "}");
}

/* The whole body behind the gap, for texts at[0] … at[n-1]. */
static bool coco__emb_body(const coco_embedder *e, coco__emb_piece *piece, const coco_str *const *at, size_t n)
{
    coco__emb_buf *b = &piece->body;
    size_t total = e->gap + e->head.n + e->tail.n + 3 * n;

    for (size_t i = 0; i < n; i++) total += at[i]->n;
    b->n = 0;
    if (!coco__emb_reserve(e, b, total + total / 16 + 64)) return false;
    b->n = e->gap;
    if (!coco__emb_add(e, b, e->head.p, e->head.n)) return false;
    for (size_t i = 0; i < n; i++)
        if ((i && !coco__emb_add(e, b, ",", 1)) || !coco__emb_add_string(e, b, *at[i])) return false;
    return coco__emb_adds(e, b, piece->base64 ? "],\"encoding_format\":\"base64\"" : "]") &&
           coco__emb_add(e, b, e->tail.p, e->tail.n);
}
