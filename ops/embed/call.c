/* call.c - part of embed.c: one call of coco_embed_texts. It cuts its texts into pieces, keeps up to twice as many of
 * them in the transport as may be under way (so that one is ready whenever one ends, and calls of other threads get
 * their turn), judges the answers, and sends again what may pass. */

/* ---- The different texts ---- */

/* A hash of bytes, for this process alone: four lanes, so that one multiplication needn't wait for another. */
static uint64_t coco__emb_mix(const char *p, size_t n)
{
    const uint64_t k = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t h = n * k, v = 0, lane[4] = { 1, 2, 3, 4 };

    for (; n >= 32; p += 32, n -= 32)
        for (int i = 0; i < 4; i++) {
            lane[i] = (lane[i] ^ coco__emb_load8(p + 8 * i)) * k;
            lane[i] ^= lane[i] >> 32;
        }
    for (int i = 0; i < 4; i++) h = (h ^ lane[i]) * k ^ h >> 29;
    for (; n >= 8; p += 8, n -= 8) h = (h ^ coco__emb_load8(p)) * k ^ h >> 29;
    if (n) memcpy(&v, p, n);
    h = (h ^ v) * k;
    return h ^ h >> 32;
}

/* A hash that touches little of a long text: of its length, its beginning, middle and end. */
static uint64_t coco__emb_sample(const char *p, size_t n)
{
    char some[96 + sizeof n];

    if (n <= sizeof some) return coco__emb_mix(p, n);
    memcpy(some, p, 32);
    memcpy(some + 32, p + n / 2, 32);
    memcpy(some + 64, p + n - 32, 32);
    memcpy(some + 96, &n, sizeof n);
    return coco__emb_mix(some, sizeof some);
}

/* A place in the table of the different texts. */
typedef struct coco__emb_slot {
    size_t hash, text; /* which of them; SIZE_MAX: the slot is free */
} coco__emb_slot;

/* Fills in which, texts and n; table has size entries, a power of two. By hashes of the whole texts, or of samples:
 * false then, if so many of different texts are alike that the others would take too long. All hashes come first, so
 * that one text needn't wait for memory until another has its place. */
static bool coco__emb_distinct(coco__emb_call *c, coco__emb_slot *table, size_t size, bool whole)
{
    size_t vain = 0;

    c->n = 0;
    for (size_t i = 0; i < size; i++) table[i].text = SIZE_MAX;
    for (size_t i = 0; i < c->in->n; i++) {
        const coco_str *t = &c->in->texts[i];
        c->which[i] = (size_t)(whole ? coco__emb_mix(t->p, t->n) : coco__emb_sample(t->p, t->n));
    }
    for (size_t i = 0; i < c->in->n; i++) {
        const coco_str *t = &c->in->texts[i];
        size_t hash = c->which[i], at = hash & (size - 1);
        for (; table[at].text != SIZE_MAX; at = (at + 1) & (size - 1)) {
            if (table[at].hash != hash) continue;
            if (coco_str_equal(*c->texts[table[at].text], *t)) break;
            if (++vain > 4 * c->in->n && !whole) return false;
        }
        if (table[at].text == SIZE_MAX) {
            table[at] = (coco__emb_slot){ hash, c->n };
            c->texts[c->n++] = t;
        }
        c->which[i] = table[at].text;
    }
    return true;
}

/* Gives back what the call holds; its pieces are with the transport by then. */
static void coco__emb_call_end(coco_embedder *e, coco__emb_call *c)
{
    if (c->vectors != c->in->vectors) coco__emb_free(e, c->vectors);
    coco__emb_free(e, c->texts);
    coco__emb_free(e, c->which);
    coco__emb_free(e, c->status);
    coco__emb_free(e, c->answer.v);
    coco__emb_free(e, c->answer.there);
    pthread_cond_destroy(&c->changed);
}

/* Finds the different texts. Where some are equal, vectors come into memory of our own first: one may have several
 * places. While the dimensions are looked for (e->dimensions is 0) none are kept. */
static coco_status coco__emb_call_begin(coco_embedder *e, coco__emb_call *c)
{
    size_t n = c->in->n, size = 4;
    coco__emb_slot *table;
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    coco__emb_list_init(&c->done);
    c->first = SIZE_MAX;
    c->vectors = c->in->vectors;
    while (size < 2 * n) size *= 2;
    table = coco__emb_alloc(e, size * sizeof *table);
    c->texts = coco__emb_alloc(e, n * sizeof(const coco_str *));
    c->which = coco__emb_alloc(e, n * sizeof *c->which);
    c->status = coco__emb_alloc(e, n * sizeof *c->status);
    if (!table || !c->texts || !c->which || !c->status) {
        coco__emb_free(e, table);
        return COCO_ENOMEM;
    }
    if (!coco__emb_distinct(c, table, size, false)) coco__emb_distinct(c, table, size, true);
    coco__emb_free(e, table);
    for (size_t i = 0; i < c->n; i++) c->status[i] = COCO__EMB_OPEN;
    if (c->n == n) return COCO_OK;
    c->vectors = coco__emb_alloc(e, c->n * e->dimensions * sizeof(float));
    return c->vectors ? COCO_OK : COCO_ENOMEM;
}

/* ---- Failures ---- */

/* One of the different texts has failed. */
static void coco__emb_text_fails(coco__emb_call *c, size_t text, const coco_err *why)
{
    c->status[text] = why->code;
    if (text < c->first) {
        c->first = text;
        c->why = *why;
    }
    for (size_t i = 0; c->in->failed && i < c->in->n; i++)
        if (c->which[i] == text) c->in->failed(c->in->user, i, why);
}

/* The call has failed, by a piece or as a whole: what isn't under way is taken back. */
static void coco__emb_call_fails(coco_embedder *e, coco__emb_call *c, const coco__emb_piece *p, const coco_err *why)
{
    for (size_t i = 0; p && i < p->n; i++) coco__emb_text_fails(c, p->from + i, why);
    if (!c->end.code) c->end = *why;
    pthread_mutex_lock(&e->lock);
    c->open -= coco__emb_withdraw(e, c);
    pthread_mutex_unlock(&e->lock);
}

/* Out of memory ends the call; p, if there is one, was to be judged. */
static void coco__emb_no_memory(coco_embedder *e, coco__emb_call *c, const coco__emb_piece *p)
{
    coco_err why;

    coco__emb_oom(&why);
    coco__emb_call_fails(e, c, p, &why);
}

/* ---- Sending ---- */

/* Builds the request for n texts and hands it over. */
static void coco__emb_send(coco_embedder *e, coco__emb_call *c, coco__emb_piece *p, size_t from, size_t n)
{
    size_t dims = e->dimensions ? e->dimensions : COCO__EMB_MAX_DIMENSIONS;

    p->from = from;
    p->n = n;
    p->limit = ((size_t)1 << 20) + n * (1024 + 32 * dims);
    p->tries = 0;
    p->first_failed = p->not_before = 0;
    pthread_mutex_lock(&e->lock);
    p->base64 = e->base64;
    pthread_mutex_unlock(&e->lock);
    if (!coco__emb_body(e, p, c->texts + from, n)) {
        coco__emb_no_memory(e, c, p);
        coco__emb_put_aside(e, p);
        return;
    }
    c->open++;
    pthread_mutex_lock(&e->lock);
    coco__emb_post(e, c, p);
    pthread_mutex_unlock(&e->lock);
}

/* How many of the texts from `from` on go into one request. */
static size_t coco__emb_cut(const coco_embedder *e, const coco__emb_call *c, size_t from)
{
    size_t n = 1, bytes = c->texts[from]->n;

    while (n < e->o.max_texts && from + n < c->n && bytes + c->texts[from + n]->n <= e->o.max_bytes)
        bytes += c->texts[from + n++]->n;
    return n;
}

/* Hands over pieces until enough wait: bodies are built only as they are needed, so a call over many texts takes the
 * memory of a few requests. */
static void coco__emb_fill(coco_embedder *e, coco__emb_call *c)
{
    while (!c->end.code && c->sent < c->n && c->open < 2 * (size_t)e->o.max_requests) {
        size_t from = c->sent, n = coco__emb_cut(e, c, from);
        coco__emb_piece *p = coco__emb_piece_new(e);
        if (!p) {
            coco__emb_no_memory(e, c, NULL);
            return;
        }
        c->sent += n;
        coco__emb_send(e, c, p, from, n);
    }
}

/* ---- Judging ---- */

/* The time before the next try, of which half is left to chance. */
static int64_t coco__emb_backoff(coco_embedder *e, unsigned tries)
{
    int64_t wait = (int64_t)e->o.backoff_ms * COCO__EMB_MS, most = 20 * COCO__EMB_SECOND;

    for (unsigned i = 1; i < tries && wait < most; i++) wait *= 2;
    if (wait > most) wait = most;
    e->dice ^= e->dice << 13, e->dice ^= e->dice >> 7, e->dice ^= e->dice << 17; /* xorshift64 */
    return wait - (int64_t)(e->dice % ((uint64_t)wait / 2 + 1));
}

/* A failure that may pass: the piece is queued once more (true), or the call fails. */
static bool coco__emb_again(coco_embedder *e, coco__emb_call *c, coco__emb_piece *p, coco_err *why)
{
    int64_t now = coco__emb_now(), after = (int64_t)p->out.retry_after * COCO__EMB_SECOND, wait, past;
    bool again;

    if (!p->first_failed) p->first_failed = now;
    past = now - p->first_failed;
    pthread_mutex_lock(&e->lock);
    wait = coco__emb_backoff(e, p->tries);
    if (after > wait) wait = after;
    again = !c->end.code && p->tries < e->o.max_tries && past + wait <= (int64_t)e->o.retry_ms * COCO__EMB_MS;
    if (again) {
        if (after && now + after > e->hold) e->hold = now + after;
        e->stats.retries++;
        p->not_before = now + wait;
        c->open++;
        coco__emb_post(e, c, p);
    }
    pthread_mutex_unlock(&e->lock);
    if (again) return true;
    why->transient = true;
    snprintf(why->msg + strlen(why->msg), sizeof why->msg - strlen(why->msg), " (%u tries in %.1f s%s)", p->tries,
             (double)past / 1e9, after ? ", asked to wait longer than retry_ms allows" : "");
    coco__emb_call_fails(e, c, p, why);
    return false;
}

/* Too large: two halves in place of the piece (true), or a text's own failure. */
static bool coco__emb_halve(coco_embedder *e, coco__emb_call *c, coco__emb_piece *p)
{
    size_t from = p->from, n = p->n, half = n / 2;
    coco__emb_piece *other;
    char said[512];
    coco_err why;

    if (n == 1) {
        coco__emb_message(e, coco__emb_heard(p), said, sizeof said);
        coco__emb_fail(e, &why, COCO_EINVAL, "a text of %zu bytes is too large: answered %ld: %s", c->texts[from]->n,
                       p->out.status, said);
        coco__emb_text_fails(c, from, &why);
        return false;
    }
    if (c->end.code) return false;
    if (!(other = coco__emb_piece_new(e))) {
        coco__emb_no_memory(e, c, p);
        return false;
    }
    coco__emb_send(e, c, p, from, half);
    coco__emb_send(e, c, other, from + half, n - half);
    return true;
}

/* Base64 was asked for, and not liked: the piece is sent again without (true), as all later ones are. */
static bool coco__emb_as_list(coco_embedder *e, coco__emb_call *c, coco__emb_piece *p)
{
    if (c->end.code) return false;
    pthread_mutex_lock(&e->lock);
    e->base64 = false;
    pthread_mutex_unlock(&e->lock);
    coco__emb_send(e, c, p, p->from, p->n);
    return true;
}

/* Vectors have come. */
static void coco__emb_accept(coco_embedder *e, coco__emb_call *c, coco__emb_piece *p)
{
    coco__emb_vectors *a = &c->answer;
    bool *there = coco__emb_realloc(e, a->there, p->n * sizeof *there);
    coco_err why;

    if (there) a->there = there;
    if (!there || !coco__emb_reserve(e, &p->answer, COCO__EMB_PAD)) {
        coco__emb_no_memory(e, c, p);
        return;
    }
    memset(p->answer.p + p->answer.n, 0, COCO__EMB_PAD);
    a->want = p->n;
    a->out = c->vectors ? c->vectors + p->from * e->dimensions : NULL;
    if (coco__emb_answer(e, a, coco__emb_heard(p), &why) != COCO_OK) {
        coco__emb_call_fails(e, c, p, &why);
        return;
    }
    if (!e->dimensions) e->dimensions = a->dimensions; /* while the embedder is opened, by one thread */
    for (size_t i = 0; i < p->n; i++) c->status[p->from + i] = COCO_OK;
    c->tokens += a->tokens;
}

/* Whether the transport failed in a way that another try may not. */
static bool coco__emb_may_recover(CURLcode code)
{
    return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
           code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT || code == CURLE_SEND_ERROR ||
           code == CURLE_RECV_ERROR || code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING ||
           code == CURLE_SSL_CONNECT_ERROR || code == CURLE_HTTP2 || code == CURLE_HTTP2_STREAM;
}

/* No answer came, or none that is whole. True: the piece is queued again. */
static bool coco__emb_transport_failed(coco_embedder *e, coco__emb_call *c, coco__emb_piece *p)
{
    const char *words = *p->out.why ? p->out.why : curl_easy_strerror(p->out.code);
    coco_err why;

    if (p->out.no_memory) {
        coco__emb_no_memory(e, c, p);
        return false;
    }
    if (p->out.overflow)
        coco__emb_fail(e, &why, COCO_EPARSE, "the answer to %zu texts is longer than %zu bytes", p->n, p->limit);
    else
        coco__emb_fail(e, &why, COCO_EIO, "%s", words);
    if (coco__emb_may_recover(p->out.code)) return coco__emb_again(e, c, p, &why);
    coco__emb_call_fails(e, c, p, &why);
    return false;
}

/* The server said no. True: the piece, or its halves, are queued again. */
static bool coco__emb_refused(coco_embedder *e, coco__emb_call *c, coco__emb_piece *p)
{
    long status = p->out.status;
    coco_status rc = status == 401 || status == 403 ? COCO_EACCESS : status == 404 ? COCO_ENOTFOUND
                   : status >= 500                  ? COCO_EIO : COCO_EFAIL;
    char said[512];
    coco_err why;

    /* Before the tries: a 500 that speaks of length will not pass. */
    if (coco__emb_too_large(status, coco__emb_heard(p))) return coco__emb_halve(e, c, p);
    if (e->o.encoding == COCO_EMBED_AUTO && p->base64 && coco__emb_form_refused(status, coco__emb_heard(p)))
        return coco__emb_as_list(e, c, p);
    coco__emb_message(e, coco__emb_heard(p), said, sizeof said);
    if (*p->out.location)
        coco__emb_fail(e, &why, rc, "answered %ld, a redirect to %s: none is followed", status, p->out.location);
    else
        coco__emb_fail(e, &why, rc, "answered %ld: %s", status, said);
    if (coco__emb_may_pass(status)) return coco__emb_again(e, c, p, &why);
    coco__emb_call_fails(e, c, p, &why);
    return false;
}

/* Judges what came of a piece: vectors, another try, halves, or a failure. Only then it is put aside. */
static void coco__emb_settle(coco_embedder *e, coco__emb_call *c, coco__emb_piece *p)
{
    bool again = false, cut = p->out.overflow && p->out.status >= 300; /* a long refusal is one all the same */

    c->open--;
    if (p->out.no_memory || (p->out.code != CURLE_OK && !cut)) again = coco__emb_transport_failed(e, c, p);
    else if (p->out.status >= 200 && p->out.status < 300) coco__emb_accept(e, c, p);
    else again = coco__emb_refused(e, c, p);
    if (!again) coco__emb_put_aside(e, p);
}

/* ---- The call ---- */

/* Sends, waits and judges until every text has a vector or a failure, the call has failed, or it was stopped. */
static void coco__emb_run(coco_embedder *e, coco__emb_call *c)
{
    coco_err why;

    while ((!c->end.code && c->sent < c->n) || c->open) {
        coco__emb_piece *p, *next;
        coco__emb_fill(e, c);
        pthread_mutex_lock(&e->lock);
        p = c->open ? coco__emb_take(e, c) : NULL;
        pthread_mutex_unlock(&e->lock);
        for (; p; p = next) {
            next = p->next;
            coco__emb_settle(e, c, p);
        }
        if (!c->in->cx || coco_checkpoint(c->in->cx) == COCO_OK) continue;
        coco_err_set(&why, coco_checkpoint(c->in->cx), "%s", coco_error_message(c->in->cx));
        coco__emb_call_fails(e, c, NULL, &why);
        return;
    }
}

/* Gives the caller what it asked for. */
static coco_status coco__emb_give(coco_embedder *e, coco__emb_call *c, coco_err *err)
{
    size_t d = e->dimensions, given = 0;

    for (size_t i = 0; i < c->n; i++) {
        given += c->status[i] == COCO_OK;
        if (c->status[i] == COCO__EMB_OPEN) coco__emb_text_fails(c, i, &c->end);
    }
    for (size_t i = 0; i < c->in->n; i++) {
        size_t from = c->which[i];
        if (c->in->each) c->in->each[i] = c->status[from];
        if (c->vectors != c->in->vectors && c->status[from] == COCO_OK)
            memcpy(c->in->vectors + i * d, c->vectors + from * d, d * sizeof(float));
    }
    pthread_mutex_lock(&e->lock);
    coco__emb_leave(e, c);
    e->stats.texts += given;
    e->stats.tokens += c->tokens;
    pthread_mutex_unlock(&e->lock);
    if (c->in->cx && c->tokens) coco_cost(c->in->cx, (double)c->tokens);
    if (given == c->n) return COCO_OK;
    if (err) *err = c->why;
    return c->why.code;
}

coco_status coco_embed_texts(coco_embedder *e, const coco_embed_call *call, coco_err *err)
{
    coco__emb_call c = { .in = call };
    coco_status rc;

    if (getpid() != e->pid) return coco_err_set(err, COCO_EFORK, "the embedder was opened before a fork");
    if (call->n == 0) return COCO_OK;
    if ((rc = coco__emb_call_begin(e, &c)) != COCO_OK) {
        for (size_t i = 0; call->each && i < call->n; i++) call->each[i] = rc;
        coco__emb_oom(err);
    } else {
        coco__emb_run(e, &c);
        rc = coco__emb_give(e, &c, err);
    }
    coco__emb_call_end(e, &c);
    return rc;
}
