/* open.c - part of embed.c: options, opening, closing. */

static CURLcode coco__emb_curl; /* what curl_global_init said */

static void coco__emb_init(void)
{
    coco__emb_curl = curl_global_init(CURL_GLOBAL_DEFAULT);
    coco__emb_base64_init();
}

/* ---- Options ---- */

static coco_status coco__emb_check_extra(coco_embedder_opts *o, coco_err *err)
{
    json_error_t why;
    json_t *root = json_loads(o->extra, JSON_REJECT_DUPLICATES, &why);
    bool object = json_is_object(root);

    if (json_object_get(root, "encoding_format")) o->encoding = COCO_EMBED_LIST; /* it says itself what it wants */
    json_decref(root);
    return object ? COCO_OK : coco_err_set(err, COCO_EINVAL, "embedder: extra is no JSON object: %s", why.text);
}

static coco_status coco__emb_check(coco_embedder_opts *o, coco_err *err)
{
    if (!o->url || (strncasecmp(o->url, "http://", 7) != 0 && strncasecmp(o->url, "https://", 8) != 0))
        return coco_err_set(err, COCO_EINVAL, "embedder: url must begin with http:// or https://");
    if (!o->model || !*o->model) return coco_err_set(err, COCO_EINVAL, "embedder: no model is given");
    if (o->dimensions > COCO__EMB_MAX_DIMENSIONS)
        return coco_err_set(err, COCO_EINVAL, "embedder: at most %d dimensions, not %zu", COCO__EMB_MAX_DIMENSIONS,
                            o->dimensions);
    if (o->dimensions_known && !o->dimensions)
        return coco_err_set(err, COCO_EINVAL, "embedder: dimensions_known without dimensions");
    if (!(o->requests_per_second >= 0))
        return coco_err_set(err, COCO_EINVAL, "embedder: requests_per_second is negative");
    if (o->max_requests > 1024)
        return coco_err_set(err, COCO_EINVAL, "embedder: at most 1024 requests at a time, not %u", o->max_requests);
    return o->extra ? coco__emb_check_extra(o, err) : COCO_OK;
}

/* What the manual says of zeros. */
static void coco__emb_defaults(coco_embedder_opts *o)
{
    if (!o->key_header) o->key_header = "Authorization: Bearer ";
    if (!o->max_texts) o->max_texts = 64;
    if (!o->max_bytes) o->max_bytes = (size_t)256 << 10;
    if (!o->max_requests) o->max_requests = 8;
    if (!o->connect_ms) o->connect_ms = 10000;
    if (!o->timeout_ms) o->timeout_ms = 60000;
    if (!o->max_tries) o->max_tries = 6;
    if (!o->backoff_ms) o->backoff_ms = 500;
    if (!o->retry_ms) o->retry_ms = 60000;
}

/* The endpoint, and what of it may be shown: no user, no password, no query. */
static bool coco__emb_address(coco_embedder *e, const char *url)
{
    static const char end[] = "/embeddings";
    size_t n = strlen(url), path, user;
    const char *host = strstr(url, "://") + 3, *at;

    e->url = coco__emb_alloc(e, n + sizeof end);
    e->shown = coco__emb_alloc(e, n + sizeof end);
    if (!e->url || !e->shown) return false;
    memcpy(e->url, url, n);
    if (!strchr(url, '?')) {
        while (n && url[n - 1] == '/') n--;
        e->url[n] = '\0';
        if (n < sizeof end - 1 || memcmp(url + n - (sizeof end - 1), end, sizeof end - 1) != 0)
            memcpy(e->url + n, end, sizeof end);
    }
    path = strcspn(host, "/?#");
    /* The last @ before the path ends user and password, which may hold one themselves. */
    for (at = host, user = 0; (at = memchr(at, '@', path - (size_t)(at - host))) != NULL; at++)
        user = (size_t)(at - host) + 1;
    host = e->url + (host - url);
    memcpy(e->shown, e->url, (size_t)(host - e->url));
    memcpy(e->shown + (host - e->url), host + user, strcspn(host + user, "?#"));
    return true;
}

static bool coco__emb_header(coco_embedder *e, const char *line)
{
    struct curl_slist *more = curl_slist_append(e->headers, line);

    if (more) e->headers = more;
    return more != NULL;
}

/* The headers of each request; the key is read here and nowhere else. */
static coco_status coco__emb_headers(coco_embedder *e, coco_err *err)
{
    const char *key = e->o.key_env ? getenv(e->o.key_env) : NULL;
    char *line;
    bool ok = coco__emb_header(e, "Content-Type: application/json") &&
              coco__emb_header(e, "Accept: application/json") &&
              coco__emb_header(e, "Expect:"); /* don't ask before sending */

    if (!ok) return coco__emb_oom(err);
    if (!e->o.key_env) return COCO_OK;
    if (!key || !*key)
        return coco_err_set(err, COCO_ENOTFOUND, "embedder: the environment has no %s, or it is empty", e->o.key_env);
    for (const char *p = key; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 127)
            return coco_err_set(err, COCO_EINVAL, "embedder: the key in %s has a blank or control character",
                                e->o.key_env);
    e->key = coco__emb_strdup(e, key, strlen(key));
    line = coco__emb_alloc(e, strlen(e->o.key_header) + strlen(key) + 1);
    ok = e->key && line;
    if (ok) {
        memcpy(line, e->o.key_header, strlen(e->o.key_header));
        memcpy(line + strlen(e->o.key_header), key, strlen(key));
        ok = coco__emb_header(e, line);
    }
    coco__emb_free(e, line);
    return ok ? COCO_OK : coco__emb_oom(err);
}

/* Copies of the strings that are used after open. */
static bool coco__emb_strings(coco_embedder *e, const coco_embedder_opts *o)
{
    e->model = coco__emb_strdup(e, o->model, strlen(o->model));
    e->extra = o->extra ? coco__emb_strdup(e, o->extra, strlen(o->extra)) : NULL;
    e->o.url = e->o.key_env = e->o.key_header = NULL;
    e->o.model = e->model;
    e->o.extra = e->extra;
    return e->model && (!o->extra || e->extra) && coco__emb_address(e, o->url);
}

/* Whether requests are for http.c. The other addresses, and what stands between, are libcurl's matter. */
static bool coco__emb_is_plain(const coco_embedder *e, const coco_embedder_opts *o)
{
    static const char *const proxies[] = { "http_proxy", "all_proxy", "ALL_PROXY" };
    const char *line = o->key_header;

    for (size_t i = 0; i < sizeof proxies / sizeof proxies[0]; i++)
        if (getenv(proxies[i]) && *getenv(proxies[i])) return false;
    for (const char *p = e->url; *p; p++)
        if (*p <= ' ' || *p >= 127 || strchr("@%\\", *p)) return false;
    if (o->key_env && (!strchr(line, ':') || strpbrk(line, "\r\n;") || strncasecmp(line, "Host", 4) == 0)) return false;
    return strncasecmp(e->url, "http://", 7) == 0;
}

/* Adds the part of the address to the head of http.c's requests, as libcurl writes it. */
static bool coco__emb_lead_part(coco_embedder *e, CURLU *u, CURLUPart what, const char *before)
{
    char *part = NULL;
    CURLUcode rc = curl_url_get(u, what, &part, 0);
    bool usual = part && what == CURLUPART_PORT && strcmp(part, "80") == 0;
    bool ok = rc == CURLUE_NO_QUERY || rc == CURLUE_NO_PORT || usual ||
              (rc == CURLUE_OK && coco__emb_adds(e, &e->lead, before) && coco__emb_adds(e, &e->lead, part));

    curl_free(part);
    return ok;
}

/* The head of http.c's requests. */
static bool coco__emb_lead(coco_embedder *e, const coco_embedder_opts *o)
{
    CURLU *u = coco__emb_is_plain(e, o) ? curl_url() : NULL;
    bool ok;

    if (!u || curl_url_set(u, CURLUPART_URL, e->url, 0) != CURLUE_OK) {
        curl_url_cleanup(u);
        return true;
    }
    ok = coco__emb_lead_part(e, u, CURLUPART_PATH, "POST ") && coco__emb_lead_part(e, u, CURLUPART_QUERY, "?") &&
         coco__emb_lead_part(e, u, CURLUPART_HOST, " HTTP/1.1\r\nHost: ") &&
         coco__emb_lead_part(e, u, CURLUPART_PORT, ":");
    for (const struct curl_slist *h = e->headers; h && ok; h = h->next)
        ok = strcmp(h->data, "Expect:") == 0 ||
             (coco__emb_adds(e, &e->lead, "\r\n") && coco__emb_adds(e, &e->lead, h->data));
    ok = ok && coco__emb_adds(e, &e->lead, "\r\nContent-Length: ");
    curl_url_cleanup(u);
    e->plain = ok;
    e->gap = e->lead.n + 24;
    return ok;
}

/* ---- Open and close ---- */

/* All lines at once: later nothing can fail for want of one. */
static bool coco__emb_handles(coco_embedder *e)
{
    size_t n = e->o.max_requests;

    e->idle = coco__emb_alloc(e, n * sizeof *e->idle);
    e->lines = coco__emb_alloc(e, n * sizeof *e->lines);
    e->fds = coco__emb_alloc(e, n * sizeof *e->fds);
    e->begun = coco__emb_alloc(e, n * sizeof *e->begun);
    e->ended = coco__emb_alloc(e, n * sizeof *e->ended);
    e->multi = curl_multi_init();
    if (!e->idle || !e->lines || !e->fds || !e->begun || !e->ended || !e->multi) return false;
    if (curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, (long)n) != CURLM_OK) return false;
    for (; e->nidle < n; e->nidle++) {
        e->idle[e->nidle] = &e->lines[e->nidle];
        if (!coco__emb_easy(e, &e->lines[e->nidle])) return false;
    }
    return true;
}

/* The embedder's number of dimensions: as the options say, or as the server answers to one text. */
static coco_status coco__emb_probe(coco_embedder *e, coco_err *err)
{
    coco_str text = COCO_STR("dimensions");

    if ((e->dimensions = e->o.dimensions) > 0) return COCO_OK;
    return coco_embed_texts(e, &(coco_embed_call){ .texts = &text, .n = 1 }, err);
}

/* The memo key borrows from here, so it costs no memory of a cx. */
static void coco__emb_describe(coco_embedder *e)
{
    e->identity[0] = (coco_pair){ COCO_STR("model"), coco_text(e->o.model) };
    e->identity[1] = (coco_pair){ COCO_STR("dimensions"), coco_int((int64_t)e->dimensions) };
    e->identity[2] = (coco_pair){ COCO_STR("extra"), coco_text(e->o.extra) };
}

/* Whatever fails here, close can undo: every part is null until it is there. */
static coco_status coco__emb_start(coco_embedder *e, const coco_embedder_opts *o, coco_err *err)
{
    coco_status rc;

    e->pid = getpid();
    e->dice = (uint64_t)coco__emb_now() | 1;
    e->base64 = o->encoding != COCO_EMBED_LIST;
    coco__emb_list_init(&e->queue);
    pthread_mutex_init(&e->lock, NULL);
    e->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!e->c_locale) return coco__emb_oom(err);
    if ((rc = coco__emb_headers(e, err)) != COCO_OK) return rc;
    if (!coco__emb_strings(e, o) || !coco__emb_lead(e, o) || !coco__emb_frame(e) || !coco__emb_handles(e))
        return coco__emb_oom(err);
    if ((rc = coco__emb_probe(e, err)) != COCO_OK) return rc;
    coco__emb_describe(e);
    return COCO_OK;
}

coco_status coco_embedder_open(const coco_embedder_opts *opts, coco_embedder **out, coco_err *err)
{
    coco_embedder_opts o = *opts;
    coco_embedder scratch = { .o.allocator = opts->allocator }, *e;
    coco_status rc;

    *out = NULL;
    pthread_once(&coco__emb_once, coco__emb_init);
    if (coco__emb_curl != CURLE_OK)
        return coco_err_set(err, COCO_EFAIL, "libcurl: %s", curl_easy_strerror(coco__emb_curl));
    COCO_TRY(coco__emb_check(&o, err));
    coco__emb_defaults(&o);
    if (!(e = coco__emb_alloc(&scratch, sizeof *e))) return coco__emb_oom(err);
    e->o = o;
    if ((rc = coco__emb_start(e, &o, err)) == COCO_OK) *out = e;
    else coco_embedder_close(e);
    return rc;
}

/* Ends what libcurl holds. */
static void coco__emb_close_transport(coco_embedder *e)
{
    for (coco__emb_piece *p = e->flight, *next; p; p = next) {
        next = p->next;
        assert(!p->call);
        coco__emb_piece_free(e, p);
    }
    for (size_t i = 0; e->lines && i < e->o.max_requests; i++) {
        coco__emb_shut(e, &e->lines[i]);
        curl_easy_cleanup(e->lines[i].easy);
    }
    curl_multi_cleanup(e->multi);
    curl_slist_free_all(e->headers);
    for (coco__emb_piece *p; (p = e->spare) != NULL;) {
        e->spare = p->next;
        coco__emb_piece_free(e, p);
    }
}

void coco_embedder_close(coco_embedder *e)
{
    if (!e) return;
    assert(!e->queue.first && !e->driven && !e->waiting);
    coco__emb_close_transport(e);
    if (e->c_locale) freelocale(e->c_locale);
    pthread_mutex_destroy(&e->lock);
    coco__emb_buf_free(e, &e->head);
    coco__emb_buf_free(e, &e->tail);
    coco__emb_buf_free(e, &e->lead);
    coco__emb_free(e, e->idle);
    coco__emb_free(e, e->lines);
    coco__emb_free(e, e->fds);
    coco__emb_free(e, e->begun);
    coco__emb_free(e, e->ended);
    coco__emb_free(e, e->url);
    coco__emb_free(e, e->shown);
    coco__emb_free(e, e->key);
    coco__emb_free(e, e->model);
    coco__emb_free(e, e->extra);
    coco__emb_free(e, e);
}

/* ---- What is known of it ---- */

size_t coco_embedder_dimensions(const coco_embedder *e) { return e->dimensions; }
const char *coco_embedder_model(const coco_embedder *e) { return e->o.model; }

coco_embedder_stats coco_embedder_stats_get(coco_embedder *e)
{
    coco_embedder_stats stats;

    pthread_mutex_lock(&e->lock);
    stats = e->stats;
    pthread_mutex_unlock(&e->lock);
    return stats;
}
