/* transport.c - part of embed.c: carries pieces to the server and their answers back, within the limits, for all
 * threads at once. It looks at nothing but statuses.
 *
 * libcurl takes about 10 us of CPU for a request and its answer, where bare sockets would take 3.5 and wrk takes 3
 * (bench/embed.c). That can't be set aside by options: driven by curl_multi_socket_action and epoll it takes as much,
 * since it goes into addresses, headers and the search for the connection. An HTTP of our own over its connections
 * (CURLOPT_CONNECT_ONLY) would gain with one short text a request alone. In a batch the texts and the vectors cost
 * more than HTTP, and the server more than both. So libcurl it is, with handles and connections that are kept. */

#define COCO__EMB_OPEN 1 /* a text that has neither vector nor failure */

/* One use of coco_embed_texts. The transport knows the first part, call.c the rest. */
struct coco__emb_call {
    coco__emb_call *next;      /* in the list of those that wait */
    pthread_cond_t changed;    /* there are answers, or the driver's role is free */
    coco__emb_list done;       /* answered, to be judged */
    size_t open;               /* pieces of it anywhere in the transport */

    const coco_embed_call *in; /* what is asked */
    const coco_str **texts;    /* the different ones among its texts … */
    size_t n;                  /* … of which there are so many … */
    size_t *which;             /* … and for each of in's texts, which of them it is */
    coco_status *status;       /* of each different text: 0, or why it has no vector; COCO__EMB_OPEN before */
    float *vectors;            /* of the different texts: in's, or, where some are equal, our own */
    size_t sent;               /* of the different texts, those that are in a piece or done */
    coco__emb_vectors answer;  /* the one that is being read */
    coco_err end;              /* what ended the call before all was done; code 0: nothing */
    size_t first;              /* the first text that failed; SIZE_MAX: none has … */
    coco_err why;              /* … and why */
    uint64_t tokens;           /* as the server counted them */
};

/* ---- Pieces ---- */

static void coco__emb_piece_free(coco_embedder *e, coco__emb_piece *p)
{
    coco__emb_buf_free(e, &p->body);
    coco__emb_buf_free(e, &p->answer);
    coco__emb_free(e, p);
}

/* A piece to fill in, with the buffers of an earlier one. Locks. */
static coco__emb_piece *coco__emb_piece_new(coco_embedder *e)
{
    coco__emb_piece *p;
    coco__emb_buf body, answer;

    pthread_mutex_lock(&e->lock);
    if ((p = e->spare) != NULL) e->spare = p->next;
    pthread_mutex_unlock(&e->lock);
    if (!p && !(p = coco__emb_alloc(e, sizeof *p))) return NULL;
    body = p->body, answer = p->answer;
    *p = (coco__emb_piece){ .e = e, .body = body, .answer = answer };
    return p;
}

/* Puts a piece aside for the next. Under the lock. */
static void coco__emb_piece_spare(coco_embedder *e, coco__emb_piece *p)
{
    p->next = e->spare;
    e->spare = p;
}

static void coco__emb_put_aside(coco_embedder *e, coco__emb_piece *p)
{
    pthread_mutex_lock(&e->lock);
    coco__emb_piece_spare(e, p);
    pthread_mutex_unlock(&e->lock);
}

/* libcurl's callback: more of the answer. */
static size_t coco__emb_receive(char *data, size_t size, size_t n, void *piece)
{
    coco__emb_piece *p = piece;

    n *= size;
    if (n > p->limit - p->answer.n) p->out.overflow = true;
    else if (!coco__emb_add(p->e, &p->answer, data, n)) p->out.no_memory = true;
    else return n;
    return n ? 0 : 1;
}

/* ---- Easy handles ---- */

/* A handle with all that is the same in every request. libcurl allocates the buffer for each one: 256 KiB would cost
 * 90 us in page faults. NULL: no memory, or an address that libcurl doesn't take. */
static CURL *coco__emb_easy(const coco_embedder *e)
{
    CURL *h = curl_easy_init();
    bool ok;

    if (!h) return NULL;
    ok = curl_easy_setopt(h, CURLOPT_URL, e->url) == CURLE_OK &&
         curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
         curl_easy_setopt(h, CURLOPT_HTTPHEADER, e->headers) == CURLE_OK &&
         curl_easy_setopt(h, CURLOPT_POST, 1L) == CURLE_OK &&
         curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
         curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)e->o.connect_ms) == CURLE_OK &&
         curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)e->o.timeout_ms) == CURLE_OK &&
         curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 64L << 10) == CURLE_OK &&
         curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, coco__emb_receive) == CURLE_OK;
    if (ok) return h;
    curl_easy_cleanup(h);
    return NULL;
}

static bool coco__emb_load(CURL *h, coco__emb_piece *p)
{
    p->out = (coco__emb_outcome){ .code = CURLE_OK };
    p->answer.n = 0;
    return curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)p->body.n) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_POSTFIELDS, p->body.p) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_WRITEDATA, p) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_ERRORBUFFER, p->out.why) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_PRIVATE, p) == CURLE_OK;
}

/* Notes how the request ended. The address of a redirect loses what may be secret. */
static void coco__emb_ended(const coco_embedder *e, coco__emb_piece *p, CURLcode code)
{
    curl_off_t after = 0;
    const char *to = NULL;

    p->out.code = code;
    curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &p->out.status);
    if (p->out.status < 300) return;
    curl_easy_getinfo(p->easy, CURLINFO_RETRY_AFTER, &after);
    p->out.retry_after = after > LONG_MAX / 1000 ? LONG_MAX / 1000 : (long)after;
    curl_easy_getinfo(p->easy, CURLINFO_REDIRECT_URL, &to);
    if (to) coco__emb_quote(e, to, strcspn(to, "?#"), p->out.location, sizeof p->out.location);
}

/* ---- The driver ---- */

/* When the piece may begin: now, or a later time. */
static int64_t coco__emb_due(const coco_embedder *e, const coco__emb_piece *p)
{
    int64_t t = p->not_before > e->hold ? p->not_before : e->hold;

    return t > e->next_start ? t : e->next_start;
}

/* Takes from the queue what may begin now, into the flight and into e->begun. Returns when the next may begin,
 * INT64_MAX if that depends on others. Under the lock. */
static int64_t coco__emb_begin(coco_embedder *e, int64_t now, size_t *nbegun)
{
    int64_t next = INT64_MAX;

    for (coco__emb_piece **at = &e->queue.first; *at && e->inflight < e->o.max_requests;) {
        int64_t due = coco__emb_due(e, *at);
        if (due > now) {
            next = due < next ? due : next;
            at = &(*at)->next;
            continue;
        }
        coco__emb_piece *p = coco__emb_list_take(&e->queue, at);
        p->tries++;
        p->easy = e->idle[--e->nidle];
        p->next = e->flight;
        e->flight = p;
        e->inflight++;
        e->stats.requests++;
        e->begun[(*nbegun)++] = p;
        if (e->o.requests_per_second > 0)
            e->next_start = now + (int64_t)(1e9 / e->o.requests_per_second);
    }
    return next;
}

/* The piece is no longer under way: to its call, or aside. Under the lock. */
static void coco__emb_land(coco_embedder *e, coco__emb_piece *p)
{
    coco__emb_piece **at = &e->flight;

    while (*at != p) at = &(*at)->next;
    *at = p->next;
    e->inflight--;
    e->idle[e->nidle++] = p->easy;
    p->easy = NULL;
    if (!p->call) {
        coco__emb_piece_spare(e, p);
        return;
    }
    coco__emb_list_add(&p->call->done, p);
    pthread_cond_signal(&p->call->changed);
}

/* Breaks off the requests of calls that have left. In the driver's role, under the lock. */
static void coco__emb_abandon(coco_embedder *e)
{
    for (coco__emb_piece *p = e->flight, *next; p; p = next) {
        next = p->next;
        if (p->call) continue;
        curl_multi_remove_handle(e->multi, p->easy);
        coco__emb_land(e, p);
    }
}

/* Takes what has come to an end from libcurl, into e->ended. Returns how many. */
static size_t coco__emb_collect(coco_embedder *e)
{
    size_t n = 0;
    int left;

    for (const CURLMsg *m; (m = curl_multi_info_read(e->multi, &left)) != NULL;) {
        CURL *easy = m->easy_handle;
        CURLcode code = m->data.result; /* m is gone with the handle */
        char *piece = NULL;
        if (m->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &piece);
        coco__emb_ended(e, (coco__emb_piece *)(void *)piece, code);
        curl_multi_remove_handle(e->multi, easy);
        e->ended[n++] = (coco__emb_piece *)(void *)piece;
    }
    return n;
}

/* Begins what was taken from the queue and lets libcurl work; sleeps up to wait ms if nothing came to an end. */
static size_t coco__emb_work(coco_embedder *e, size_t nbegun, int wait)
{
    size_t nended = 0;
    int running;

    for (size_t i = 0; i < nbegun; i++) {
        coco__emb_piece *p = e->begun[i];
        if (coco__emb_load(p->easy, p) && curl_multi_add_handle(e->multi, p->easy) == CURLM_OK) continue;
        p->out.no_memory = true;
        e->ended[nended++] = p;
    }
    curl_multi_perform(e->multi, &running);
    if (nended) return nended;
    if ((nended = coco__emb_collect(e)) == 0) curl_multi_poll(e->multi, NULL, 0, wait, NULL);
    return nended;
}

/* A round in the driver's role, at most 100 ms long. Under the lock, which is given up meanwhile. */
static void coco__emb_drive(coco_embedder *e)
{
    int64_t now = coco__emb_now(), next;
    size_t nbegun = 0, nended;

    e->driven = true;
    coco__emb_abandon(e);
    next = coco__emb_begin(e, now, &nbegun);
    if (next > now + 100 * COCO__EMB_MS) next = now + 100 * COCO__EMB_MS;
    pthread_mutex_unlock(&e->lock);
    nended = coco__emb_work(e, nbegun, (int)((next - now + COCO__EMB_MS - 1) / COCO__EMB_MS));
    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < nended; i++) coco__emb_land(e, e->ended[i]);
    e->driven = false;
}

/* Sleeps until there are answers for c or the driver's role is free, at most 100 ms. Under the lock. */
static void coco__emb_sleep(coco_embedder *e, coco__emb_call *c)
{
    coco__emb_call **at = &e->waiting;
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100 * COCO__EMB_MS;
    if (until.tv_nsec >= COCO__EMB_SECOND) until.tv_sec++, until.tv_nsec -= COCO__EMB_SECOND;
    c->next = e->waiting;
    e->waiting = c;
    pthread_cond_timedwait(&c->changed, &e->lock, &until);
    while (*at != c) at = &(*at)->next;
    *at = c->next;
}

/* ---- What a call does with it ---- */

/* Hands a piece over, to begin at not_before at the earliest. Under the lock. */
static void coco__emb_post(coco_embedder *e, coco__emb_call *c, coco__emb_piece *p)
{
    p->call = c;
    coco__emb_list_add(&e->queue, p);
    if (e->driven) curl_multi_wakeup(e->multi);
}

/* Waits for answers to c's pieces, carrying everybody's meanwhile if nobody else does; returns after 100 ms at the
 * latest. Gives the answers that have come. Under the lock. */
static coco__emb_piece *coco__emb_take(coco_embedder *e, coco__emb_call *c)
{
    coco__emb_piece *first;

    if (!c->done.first) {
        if (e->driven) coco__emb_sleep(e, c);
        else coco__emb_drive(e);
    }
    first = c->done.first;
    coco__emb_list_init(&c->done);
    /* Whoever goes to judge answers leaves the role to one that sleeps. */
    if (first && !e->driven && e->waiting) pthread_cond_signal(&e->waiting->changed);
    return first;
}

/* Takes back what c has in the queue. Returns how many. Under the lock. */
static size_t coco__emb_withdraw(coco_embedder *e, coco__emb_call *c)
{
    size_t n = 0;

    for (coco__emb_piece **at = &e->queue.first; *at;) {
        if ((*at)->call != c) {
            at = &(*at)->next;
            continue;
        }
        coco__emb_piece_spare(e, coco__emb_list_take(&e->queue, at));
        n++;
    }
    return n;
}

/* The call is over, perhaps before its time: what is under way has no owner any more. Under the lock. */
static void coco__emb_leave(coco_embedder *e, coco__emb_call *c)
{
    coco__emb_withdraw(e, c);
    for (coco__emb_piece *p = e->flight; p; p = p->next)
        if (p->call == c) p->call = NULL;
    while (c->done.first) coco__emb_piece_spare(e, coco__emb_list_take(&c->done, &c->done.first));
    if (!e->driven && e->waiting) pthread_cond_signal(&e->waiting->changed);
}
