/* transport.c - part of embed.c: carries pieces to the server and their answers back, within the limits, for all
 * threads at once. It looks at nothing but statuses.
 *
 * A request goes over a line: a connection on which http.c speaks for itself, where the address is plain, else a handle
 * of libcurl's, which then carries the whole of it. Both keep connections, and wait in one call of curl_multi_poll. */

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

/* ---- Lines ---- */

/* What a line's easy handle is used for. */
typedef enum coco__emb_use {
    coco__emb_off,     /* nothing; it isn't in the multi handle */
    coco__emb_carry,   /* libcurl carries the whole request */
    coco__emb_connect, /* libcurl makes the connection … */
    coco__emb_open     /* … and keeps it for us, as long as the handle stays in the multi handle */
} coco__emb_use;

/* A way to the server; there are as many as requests may be under way. */
struct coco__emb_line {
    CURL *easy;
    coco__emb_use use;
    char why[CURL_ERROR_SIZE]; /* libcurl's words */
    coco__emb_piece *piece;    /* that is under way on it */
    /* For http.c: */
    curl_socket_t fd;          /* the connection, while it is open */
    bool used;                 /* an answer has come over it */
    int64_t at;                /* when the request began, or the last answer had come */
    size_t sent;               /* of piece's body: up to here */
    coco__emb_http http;       /* the answer */
};

/* Makes a handle with all that is the same in every request. libcurl allocates the buffer for each one: 256 KiB would
 * cost 90 us in page faults. False: no memory, or an address that libcurl doesn't take. */
static bool coco__emb_easy(const coco_embedder *e, coco__emb_line *l)
{
    CURL *h = l->easy = curl_easy_init();

    return h && curl_easy_setopt(h, CURLOPT_URL, e->url) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_HTTPHEADER, e->headers) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)e->o.connect_ms) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)e->o.timeout_ms) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 64L << 10) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, coco__emb_receive) == CURLE_OK &&
           (!e->plain || curl_easy_setopt(h, CURLOPT_PROXY, "") == CURLE_OK) && /* there was none */
           curl_easy_setopt(h, CURLOPT_ERRORBUFFER, l->why) == CURLE_OK &&
           curl_easy_setopt(h, CURLOPT_PRIVATE, l) == CURLE_OK;
}

static void coco__emb_shut(coco_embedder *e, coco__emb_line *l)
{
    if (l->use == coco__emb_off) return;
    e->carried -= l->use != coco__emb_open;
    curl_multi_remove_handle(e->multi, l->easy);
    l->use = coco__emb_off;
}

/* The piece has come to an end. */
static void coco__emb_end(coco_embedder *e, coco__emb_piece *p)
{
    p->line->piece = NULL;
    e->ended[e->nended++] = p;
}

/* Gives the line to libcurl, to carry the request or, where http.c does that, to connect. */
static void coco__emb_give_libcurl(coco_embedder *e, coco__emb_line *l)
{
    coco__emb_piece *p = l->piece;
    bool ok;

    coco__emb_shut(e, l);
    l->use = e->plain ? coco__emb_connect : coco__emb_carry;
    l->why[0] = '\0';
    ok = curl_easy_setopt(l->easy, CURLOPT_CONNECT_ONLY, e->plain ? 1L : 0L) == CURLE_OK &&
         curl_easy_setopt(l->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(p->body.n - e->gap)) == CURLE_OK &&
         curl_easy_setopt(l->easy, CURLOPT_POSTFIELDS, p->body.p + e->gap) == CURLE_OK &&
         curl_easy_setopt(l->easy, CURLOPT_WRITEDATA, p) == CURLE_OK &&
         curl_multi_add_handle(e->multi, l->easy) == CURLM_OK;
    if (ok) {
        e->carried++;
        return;
    }
    l->use = coco__emb_off;
    p->out.no_memory = true;
    coco__emb_end(e, p);
}

/* Notes how a request by libcurl ended. The address of a redirect loses what may be secret. */
static void coco__emb_ended(const coco_embedder *e, coco__emb_line *l, CURLcode code)
{
    coco__emb_piece *p = l->piece;
    curl_off_t after = 0;
    const char *to = NULL;

    p->out.code = code;
    memcpy(p->out.why, l->why, sizeof l->why);
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &p->out.status);
    if (p->out.status < 300) return;
    curl_easy_getinfo(l->easy, CURLINFO_RETRY_AFTER, &after);
    p->out.retry_after = after > LONG_MAX / 1000 ? LONG_MAX / 1000 : (long)after;
    curl_easy_getinfo(l->easy, CURLINFO_REDIRECT_URL, &to);
    if (to) coco__emb_quote(e, to, strcspn(to, "?#"), p->out.location, sizeof p->out.location);
}

/* ---- Lines of http.c ---- */

/* Sends what the connection takes. An error shows when the answer is read: there may be one. */
static void coco__emb_send_more(coco__emb_line *l)
{
    const coco__emb_buf *b = &l->piece->body;
    ssize_t n = send(l->fd, b->p + l->sent, b->n - l->sent, MSG_NOSIGNAL);

    if (n >= 0) l->sent += (size_t)n;
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) l->sent = b->n;
}

/* Begins an exchange over the open connection. */
static void coco__emb_ask(const coco_embedder *e, coco__emb_line *l)
{
    coco__emb_buf *b = &l->piece->body;
    char *p = b->p + e->gap - 4;

    memcpy(p, "\r\n\r\n", 4);
    for (size_t n = b->n - e->gap; n; n /= 10) *--p = (char)('0' + n % 10);
    p -= e->lead.n;
    memcpy(p, e->lead.p, e->lead.n);
    l->sent = (size_t)(p - b->p);
    l->http.next = coco__emb_head;
    l->http.n = 0;
    coco__emb_send_more(l);
}

/* Whether the open connection can be used for another request: what came, or that it was closed, meanwhile ends it. So
 * does time, since others on the way may have forgotten it. Right behind an answer, with which all that was there has
 * been read, a look isn't worth its price. */
static bool coco__emb_usable(const coco__emb_line *l, int64_t now)
{
    char c;

    if (now - l->at < COCO__EMB_MS) return true;
    return now - l->at < 100 * COCO__EMB_SECOND && recv(l->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

/* Takes what has come. A long body goes straight to its place, and so does a whole answer where the last one over this
 * line had a length: one read is enough then. */
static coco__emb_fate coco__emb_hear(coco__emb_line *l)
{
    coco__emb_piece *p = l->piece;
    coco__emb_http *h = &l->http;
    coco__emb_buf *a = &p->answer;
    char in[16384];

    for (;;) {
        bool first = h->next == coco__emb_head && h->n == 0 && h->length;
        bool body = h->next == coco__emb_length && h->left <= p->limit - coco__emb_heard(p).n;
        size_t room = body ? (size_t)h->left + 1 : h->next == coco__emb_head ? COCO__EMB_HEAD_MAX : sizeof in;
        if ((first || body) && !coco__emb_reserve(p->e, a, room)) {
            p->out.no_memory = true;
            return coco__emb_broken;
        }
        if (first) room = a->cap;
        ssize_t n = recv(l->fd, first ? a->p : body ? a->p + a->n : in, room, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return coco__emb_more;
        if (n <= 0) return coco__emb_feed_end(h, p, l->used, n < 0 ? errno : 0);
        coco__emb_fate fate = first ? coco__emb_feed_first(h, p, (size_t)n)
                            : body  ? coco__emb_feed_body(h, p, (size_t)n) : coco__emb_feed(h, p, in, (size_t)n);
        if (fate != coco__emb_more || (size_t)n < room) return fate;
    }
}

/* A line can be read, or written. */
static void coco__emb_go_on(coco_embedder *e, coco__emb_line *l, int64_t now)
{
    coco__emb_piece *p = l->piece;
    coco__emb_fate fate;

    if (l->sent < p->body.n) coco__emb_send_more(l);
    if ((fate = coco__emb_hear(l)) == coco__emb_more) return;
    if (fate == coco__emb_odd) e->plain = false;
    if (fate == coco__emb_odd || fate == coco__emb_stale) {
        coco__emb_forget(p);
        coco__emb_give_libcurl(e, l);
        return;
    }
    if (fate == coco__emb_broken || !l->http.keep || l->sent < p->body.n) coco__emb_shut(e, l);
    l->used = true;
    l->at = now;
    coco__emb_end(e, p);
}

/* The request takes too long. */
static void coco__emb_late(coco_embedder *e, coco__emb_line *l)
{
    coco__emb_piece *p = l->piece;

    p->out.code = CURLE_OPERATION_TIMEDOUT;
    snprintf(p->out.why, sizeof p->out.why, "Operation timed out after %u milliseconds with %zu bytes received",
             e->o.timeout_ms, coco__emb_heard(p).n);
    coco__emb_shut(e, l);
    coco__emb_end(e, p);
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
        p->line = e->idle[--e->nidle];
        p->line->piece = p;
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
    e->idle[e->nidle++] = p->line;
    p->line = NULL;
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
        coco__emb_shut(e, p->line);
        p->line->piece = NULL;
        coco__emb_land(e, p);
    }
}

/* Takes from libcurl what has come to an end: whole requests, and connections, over which requests then begin. */
static void coco__emb_collect(coco_embedder *e)
{
    int left;

    for (const CURLMsg *m; (m = curl_multi_info_read(e->multi, &left)) != NULL;) {
        CURLcode code = m->data.result; /* m is gone with the handle */
        char *private = NULL;
        coco__emb_line *l;
        if (m->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        l = (coco__emb_line *)(void *)private;
        if (l->use == coco__emb_connect && code == CURLE_OK &&
            curl_easy_getinfo(l->easy, CURLINFO_ACTIVESOCKET, &l->fd) == CURLE_OK && l->fd != CURL_SOCKET_BAD) {
            e->carried--;
            l->use = coco__emb_open;
            l->used = false;
            coco__emb_ask(e, l);
            continue;
        }
        coco__emb_ended(e, l, code);
        coco__emb_shut(e, l);
        coco__emb_end(e, l->piece);
    }
}

/* Begins the request of a piece that has its line: over its connection, or by way of libcurl. */
static void coco__emb_set_out(coco_embedder *e, coco__emb_piece *p, int64_t now)
{
    coco__emb_line *l = p->line;
    bool open = e->plain && l->use == coco__emb_open && coco__emb_usable(l, now);

    coco__emb_forget(p);
    l->at = now;
    if (open) coco__emb_ask(e, l);
    else coco__emb_give_libcurl(e, l);
}

/* Sleeps until something can go on, wait ms at most, and lets it. */
static void coco__emb_wait(coco_embedder *e, int wait)
{
    int64_t now = coco__emb_now(), most = (int64_t)e->o.timeout_ms * COCO__EMB_MS;
    unsigned n = 0, i = 0;

    for (coco__emb_piece *p = e->flight; p; p = p->next) {
        if (p->line->use != coco__emb_open) continue;
        int64_t left = (p->line->at + most - now + COCO__EMB_MS - 1) / COCO__EMB_MS;
        wait = left < wait ? left < 0 ? 0 : (int)left : wait;
        e->fds[n] = (struct curl_waitfd){ .fd = p->line->fd, .events = CURL_WAIT_POLLIN };
        if (p->line->sent < p->body.n) e->fds[n].events |= CURL_WAIT_POLLOUT;
        n++;
    }
    curl_multi_poll(e->multi, e->fds, n, wait, NULL);
    now = coco__emb_now();
    for (coco__emb_piece *p = e->flight; p && i < n; p = p->next) {
        if (p->line->use != coco__emb_open) continue;
        if (e->fds[i++].revents) coco__emb_go_on(e, p->line, now);
        else if (now - p->line->at >= most) coco__emb_late(e, p->line);
    }
}

/* Takes from the queue what may begin now, and begins it. Returns when the next may. Under the lock, which is given up
 * meanwhile. */
static int64_t coco__emb_set_out_all(coco_embedder *e, int64_t now)
{
    size_t nbegun = 0;
    int64_t next = coco__emb_begin(e, now, &nbegun);
    int running;

    if (!nbegun && !e->carried) return next;
    pthread_mutex_unlock(&e->lock);
    for (size_t i = 0; i < nbegun; i++) coco__emb_set_out(e, e->begun[i], now);
    if (e->carried) {
        curl_multi_perform(e->multi, &running);
        coco__emb_collect(e);
    }
    pthread_mutex_lock(&e->lock);
    return next;
}

/* Hands over what came to an end. Returns whether all of it was answered with success. Under the lock. */
static bool coco__emb_land_all(coco_embedder *e)
{
    bool well = true;

    for (size_t i = 0; i < e->nended; i++) {
        const coco__emb_outcome *out = &e->ended[i]->out;
        well = well && out->code == CURLE_OK && out->status / 100 == 2;
        coco__emb_land(e, e->ended[i]);
    }
    e->nended = 0;
    return well;
}

/* A round in the driver's role, at most 100 ms long. Under the lock, which is given up meanwhile. What waits goes out
 * at its end too, over the lines that have become free: the server shall not wait until the answers are read. But not
 * after a failure, from which a call may learn that nothing more is to be sent, or not yet. */
static void coco__emb_drive(coco_embedder *e)
{
    int64_t now = coco__emb_now(), next;

    e->driven = true;
    coco__emb_abandon(e);
    next = coco__emb_set_out_all(e, now);
    if (next > now + 100 * COCO__EMB_MS) next = now + 100 * COCO__EMB_MS;
    if (!e->nended) {
        pthread_mutex_unlock(&e->lock);
        coco__emb_wait(e, (int)((next - now + COCO__EMB_MS - 1) / COCO__EMB_MS));
        pthread_mutex_lock(&e->lock);
    }
    if (coco__emb_land_all(e)) coco__emb_set_out_all(e, coco__emb_now());
    coco__emb_land_all(e);
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
