/* http.c - part of embed.c: the plain exchange, HTTP/1.1 over a connection that libcurl has made and keeps
 * (CURLOPT_CONNECT_ONLY).
 *
 * libcurl takes about 10 us of CPU more for a request and its answer, in addresses, headers and the search for the
 * connection, whatever options are set and however it is driven (bench/embed.c). So requests to http:// without proxy,
 * user and password go this way, and answers are read as servers write them: a head, then a body of a length, in
 * chunks, or up to the end. Whatever is odd in an answer (a chunk's extension, a trailer, a length said twice, a head
 * of more than 4 KiB, no HTTP at all) ends the connection, and the request goes once more through libcurl, as every
 * one after it does: what is strange is libcurl's matter, and so are its errors. */

#define COCO__EMB_HEAD_MAX 4096

/* What has become of an answer, so far. */
typedef enum coco__emb_fate {
    coco__emb_more,  /* it isn't whole */
    coco__emb_whole,
    coco__emb_odd,   /* libcurl shall ask again */
    coco__emb_stale, /* no byte of it has come, over a connection that was used before: another shall be made */
    coco__emb_broken /* the piece's outcome says how */
} coco__emb_fate;

/* What of an answer comes next. */
typedef enum coco__emb_next {
    coco__emb_head,    /* up to the empty line */
    coco__emb_length,  /* its body: left bytes of it, … */
    coco__emb_to_end,  /* … all until the connection is closed, … */
    coco__emb_chunk,   /* … or left bytes of a chunk, with what stands around these: */
    coco__emb_size, coco__emb_size_lf, coco__emb_chunk_cr, coco__emb_chunk_lf, coco__emb_last_cr, coco__emb_last_lf,
    coco__emb_nothing
} coco__emb_next;

/* An answer that is being read. */
typedef struct coco__emb_http {
    coco__emb_next next;
    uint64_t left;         /* bytes of the body, or of the chunk, that are to come */
    bool length, chunked;  /* said in the head */
    bool digits;           /* the chunk's size has some */
    bool keep;             /* the connection may be used again */
    size_t n;              /* bytes in head */
    char head[COCO__EMB_HEAD_MAX];
} coco__emb_http;

/* ---- The head ---- */

static bool coco__emb_same(coco_str s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

/* Decimal digits; false: there are none, other bytes too, or too many. */
static bool coco__emb_decimal(coco_str s, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        *v = *v * 10 + (uint64_t)(s.p[i] - '0');
    }
    return s.n > 0 && s.n <= 18;
}

/* Seconds, or a date. */
static long coco__emb_retry_after(const char *value, coco_str s)
{
    uint64_t v = 0;

    if (!coco__emb_decimal(s, &v)) {
        time_t at = curl_getdate(value, NULL), now = time(NULL);
        v = at > now ? (uint64_t)(at - now) : 0;
    }
    return v > LONG_MAX / 1000 ? LONG_MAX / 1000 : (long)v;
}

/* Where a redirect leads, as libcurl says it. */
static void coco__emb_location(const coco_embedder *e, const char *to, char *out, size_t size)
{
    CURLU *u = curl_url();
    char *whole = NULL;

    if (u && !curl_url_set(u, CURLUPART_URL, e->url, 0) && !curl_url_set(u, CURLUPART_URL, to, 0))
        curl_url_get(u, CURLUPART_URL, &whole, 0);
    if (whole) coco__emb_quote(e, whole, strcspn(whole, "?#"), out, size);
    curl_free(whole);
    curl_url_cleanup(u);
}

/* A line of the head, which ends with a zero. False: it is odd. */
static bool coco__emb_head_line(coco__emb_http *h, coco__emb_piece *p, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n), *value = colon ? colon + 1 : line;
    coco_str name = { line, (size_t)(value - line) - (colon != NULL) }, v;

    while (*value == ' ' || *value == '\t') value++;
    v = (coco_str){ value, strlen(value) };
    while (v.n && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t')) v.n--;
    if (name.n == 0 || strcspn(line, " \t") < name.n || value + strlen(value) != line + n) return false;
    if (coco__emb_same(name, "Content-Length")) {
        if (h->length || !coco__emb_decimal(v, &h->left)) return false;
        h->length = true;
    } else if (coco__emb_same(name, "Transfer-Encoding")) {
        if (h->chunked || !coco__emb_same(v, "chunked")) return false;
        h->chunked = true;
    } else if (coco__emb_same(name, "Connection")) {
        if (!coco__emb_same(v, "keep-alive")) h->keep = false;
    } else if (coco__emb_same(name, "Retry-After") && p->out.status >= 300) {
        p->out.retry_after = coco__emb_retry_after(value, v);
    } else if (coco__emb_same(name, "Location") && p->out.status >= 300) {
        coco__emb_location(p->e, value, p->out.location, sizeof p->out.location);
    }
    return true;
}

/* The whole head, n bytes of it. False: it is odd. */
static bool coco__emb_read_head(coco__emb_http *h, coco__emb_piece *p, size_t n)
{
    char *at = h->head, *end = at + n, *eol;
    uint64_t status;

    if (n < 14 || (at[7] != '0' && at[7] != '1') || at[8] != ' ' || strchr(" \r\n", at[12]) == NULL ||
        !coco__emb_decimal((coco_str){ at + 9, 3 }, &status))
        return false;
    p->out.status = (long)status;
    h->keep = at[7] == '1';
    h->length = h->chunked = false;
    for (at = (char *)memchr(at, '\n', n) + 1; (eol = memchr(at, '\n', (size_t)(end - at))) != NULL; at = eol + 1) {
        size_t len = (size_t)(eol - at) - (eol > at && eol[-1] == '\r');
        at[len] = '\0';
        if (len && !coco__emb_head_line(h, p, at, len)) return false;
    }
    h->n = 0;
    if (status < 200) return status != 101 && !h->length && !h->chunked; /* 100: another head follows */
    if (status == 204 || status == 304 || (h->length && h->chunked)) return false;
    h->next = h->chunked ? coco__emb_size : !h->length ? coco__emb_to_end : h->left ? coco__emb_length
            : coco__emb_nothing;
    if (h->next == coco__emb_to_end) h->keep = false;
    if (h->chunked) h->left = 0;
    return true;
}

/* ---- Bytes ---- */

/* What has come of the answer's body. */
static coco_str coco__emb_heard(const coco__emb_piece *p)
{
    return (coco_str){ p->answer.n ? p->answer.p + p->head : "", p->answer.n - p->head };
}

/* Before a try: nothing has come. */
static void coco__emb_forget(coco__emb_piece *p)
{
    p->out = (coco__emb_outcome){ .code = CURLE_OK };
    p->answer.n = p->head = 0;
}

/* libcurl's callback: more of the answer. */
static size_t coco__emb_receive(char *data, size_t size, size_t n, void *piece)
{
    coco__emb_piece *p = piece;

    n *= size;
    if (n > p->limit - coco__emb_heard(p).n) p->out.overflow = true;
    else if (!coco__emb_add(p->e, &p->answer, data, n)) p->out.no_memory = true;
    else return n;
    return n ? 0 : 1;
}

/* Takes bytes of the head, as many as belong to it (*used). False: it is odd. */
static bool coco__emb_feed_head(coco__emb_http *h, coco__emb_piece *p, const char *data, size_t n, size_t *used)
{
    size_t before = h->n, more = n < sizeof h->head - before ? n : sizeof h->head - before;
    const char *at = h->head + (before > 3 ? before - 3 : 0), *end = h->head + before + more;

    memcpy(h->head + before, data, more);
    h->n += more;
    *used = more;
    if (memcmp(h->head, "HTTP/1.", h->n < 7 ? h->n : 7) != 0) return false;
    for (; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++) {
        size_t empty = end - at > 1 && at[1] == '\n' ? 2 : end - at > 2 && at[1] == '\r' && at[2] == '\n' ? 3 : 0;
        if (!empty) continue;
        *used = (size_t)(at - h->head) + empty - before;
        return coco__emb_read_head(h, p, before + *used);
    }
    return h->n < sizeof h->head;
}

/* Takes a byte around chunks. False: it is odd. */
static bool coco__emb_feed_frame(coco__emb_http *h, char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *digit = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

    switch (h->next) {
    case coco__emb_size:
        if (digit) {
            h->left = h->left << 4 | (uint64_t)(digit - digits);
            h->digits = true;
            return h->left >> 40 == 0;
        }
        h->next = coco__emb_size_lf;
        return c == '\r' && h->digits;
    case coco__emb_size_lf:
        h->next = h->left ? coco__emb_chunk : coco__emb_last_cr;
        h->digits = false;
        return c == '\n';
    case coco__emb_chunk_cr: h->next = coco__emb_chunk_lf; return c == '\r';
    case coco__emb_chunk_lf: h->next = coco__emb_size; return c == '\n';
    case coco__emb_last_cr: h->next = coco__emb_last_lf; return c == '\r';
    default: h->next = coco__emb_nothing; return c == '\n';
    }
}

/* Bytes of the body have been taken. */
static void coco__emb_had(coco__emb_http *h, size_t n)
{
    if (h->next == coco__emb_to_end || (h->left -= n) > 0) return;
    h->next = h->next == coco__emb_chunk ? coco__emb_chunk_cr : coco__emb_nothing;
}

/* Takes the next bytes of an answer. What comes behind its end ends the connection too. */
static coco__emb_fate coco__emb_feed(coco__emb_http *h, coco__emb_piece *p, const char *data, size_t n)
{
    for (size_t used; n && h->next != coco__emb_nothing; data += used, n -= used) {
        used = 1;
        if (h->next == coco__emb_head) {
            if (!coco__emb_feed_head(h, p, data, n, &used)) return coco__emb_odd;
        } else if (h->next >= coco__emb_size) {
            if (!coco__emb_feed_frame(h, *data)) return coco__emb_odd;
        } else {
            used = h->next == coco__emb_to_end || n < h->left ? n : (size_t)h->left;
            p->out.code = CURLE_WRITE_ERROR; /* as libcurl calls it */
            if (coco__emb_receive((char *)(uintptr_t)data, 1, used, p) != used) return coco__emb_broken;
            p->out.code = CURLE_OK;
            coco__emb_had(h, used);
        }
    }
    if (n) h->keep = false;
    return h->next == coco__emb_nothing ? coco__emb_whole : coco__emb_more;
}

/* Takes n bytes of a body that lie in their place, behind what has come. */
static coco__emb_fate coco__emb_feed_body(coco__emb_http *h, coco__emb_piece *p, size_t n)
{
    if (n > h->left) h->keep = false, n = (size_t)h->left;
    p->answer.n += n;
    coco__emb_had(h, n);
    return h->next == coco__emb_nothing ? coco__emb_whole : coco__emb_more;
}

/* Takes the first n bytes of an answer, which lie where its body is wanted. A body of a length stays there. */
static coco__emb_fate coco__emb_feed_first(coco__emb_http *h, coco__emb_piece *p, size_t n)
{
    coco__emb_buf all = p->answer;
    coco__emb_fate fate;
    size_t head;

    if (!coco__emb_feed_head(h, p, all.p, n, &head)) return coco__emb_odd;
    if (h->next == coco__emb_length && h->left <= p->limit) {
        p->answer.n = p->head = head;
        return coco__emb_feed_body(h, p, n - head);
    }
    p->answer = (coco__emb_buf){ 0 };
    fate = coco__emb_feed(h, p, all.p + head, n - head);
    coco__emb_buf_free(p->e, &all);
    return fate;
}

/* Nothing more comes; error: errno, or 0 where the server has closed. In libcurl's words. */
static coco__emb_fate coco__emb_feed_end(const coco__emb_http *h, coco__emb_piece *p, bool used, int error)
{
    bool none = h->next == coco__emb_head && h->n == 0 && p->out.status == 0;

    if (none && used) return coco__emb_stale;
    if (h->next == coco__emb_to_end && !error) return coco__emb_whole;
    if (h->next == coco__emb_head && h->n && !error) return coco__emb_odd;
    p->out.code = error ? CURLE_RECV_ERROR : none ? CURLE_GOT_NOTHING : CURLE_PARTIAL_FILE;
    if (error) snprintf(p->out.why, sizeof p->out.why, "Recv failure: %s", strerror(error));
    else if (none) snprintf(p->out.why, sizeof p->out.why, "Empty reply from server");
    else if (h->next == coco__emb_length)
        snprintf(p->out.why, sizeof p->out.why, "transfer closed with %llu bytes remaining to read",
                 (unsigned long long)h->left);
    else snprintf(p->out.why, sizeof p->out.why, "transfer closed with outstanding read data remaining");
    return coco__emb_broken;
}
