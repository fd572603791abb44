/* embed - the embedder beside wrk: requests a second of one thread to a server that answers at once.
 *
 * build/bench/embed [SECONDS]: for three sizes of batch and vector, as lists and in base64, wrk (one thread, as many
 * connections as the embedder has requests under way), a bare loop over libcurl that sends the same body and keeps the
 * answer, and the embedder take turns for three rounds of SECONDS (default 2); a line each with the best of the three,
 * the CPU time of a request, the server's too, and the ratio: of the rates, and of what the rates would be by the CPU
 * times if client and server had a core each, which doesn't depend on what else the machine does (CLOCK=cpu: this one
 * is the line's last). The embedder builds each request and reads each vector, the other two do neither. The server is
 * libmicrohttpd in a process of its own and has its answer ready. The budget, at least 80 % of wrk's rate, is for two:
 * one reads what it is asked, as JSON, which is the least that a server without a model does; one looks at nothing. */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE
#include "../ops/embed.h"
#include "../tests/embed_server.h"

#include <curl/curl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define REQUESTS 8

/* What the server says, whatever it is asked; and whether it reads that. */
static struct MHD_Response *fixed;
static bool reads;

static enum MHD_Result answer(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                              const char *version, const char *data, size_t *n, void **state)
{
    embed_text *t = *state;
    json_t *request;

    (void)cls, (void)url, (void)method, (void)version;
    if (!t) {
        *state = calloc(1, sizeof *t);
        return *state ? MHD_YES : MHD_NO;
    }
    if (*n) {
        if (reads) embed_putn(t, data, *n);
        *n = 0;
        return MHD_YES;
    }
    if (reads) {
        if (!(request = json_loadb(t->p, t->n, 0, NULL))) return MHD_NO;
        json_decref(request);
    }
    return MHD_queue_response(c, 200, fixed);
}

/* A body of n vectors, as the tests' server writes it, with as many digits as the servers in use do. */
static char *vectors(size_t n, size_t dims, bool base64)
{
    embed_text t = { 0 };
    char line[100];
    float *v = malloc(dims * sizeof *v);

    embed_puts(&t, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < n; i++) {
        snprintf(line, sizeof line, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "", i);
        embed_puts(&t, line);
        for (size_t j = 0; j < dims; j++) v[j] = embed_float(line, strlen(line), j) / 20;
        embed_puts(&t, base64 ? "\"" : "[");
        if (base64) embed_base64(&t, (unsigned char *)v, dims * sizeof *v);
        for (size_t j = 0; j < dims && !base64; j++) {
            snprintf(line, sizeof line, "%s%.8g", j ? "," : "", (double)v[j]);
            embed_puts(&t, line);
        }
        embed_puts(&t, base64 ? "\"}" : "]}");
    }
    embed_puts(&t, "],\"model\":\"bench\",\"usage\":{\"prompt_tokens\":1,\"total_tokens\":1}}");
    free(v);
    return t.p;
}

/* Starts the server; its port comes through a pipe. Ended by its process id. */
static pid_t serve(const char *body, int *port)
{
    int fds[2];
    pid_t pid;

    if (pipe(fds) != 0 || (pid = fork()) < 0) exit(1);
    if (pid == 0) {
        struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        fixed = MHD_create_response_from_buffer(strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT);
        struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, answer, NULL,
                                                MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&addr,
                                                MHD_OPTION_NOTIFY_COMPLETED, embed_completed, NULL, MHD_OPTION_END);
        *port = d ? MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port : 0;
        if (write(fds[1], port, sizeof *port) != sizeof *port) _exit(1);
        for (;;) pause();
    }
    if (read(fds[0], port, sizeof *port) != sizeof *port || !*port) exit(1);
    close(fds[0]);
    close(fds[1]);
    return pid;
}

static double cpu(int who)
{
    struct rusage u;

    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

typedef struct rate {
    double per_second, cpu; /* requests; seconds of CPU for one */
    double count;           /* of requests in all */
} rate;

/* Seconds of CPU that the server has used. */
static double server_cpu(pid_t server)
{
    struct timespec t = { 0, 0 };
    clockid_t clock;

    if (clock_getcpuclockid(server, &clock) == 0) clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* wrk with the same request. */
static rate run_wrk(const char *url, const char *request, int seconds)
{
    char script[] = "/tmp/coco-bench-XXXXXX", command[400], line[200];
    double before = cpu(RUSAGE_CHILDREN);
    rate r = { -1, 0, 0 };
    int fd = mkstemp(script);
    FILE *f = fdopen(fd, "w"), *out;

    fprintf(f, "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\nwrk.body = [==[%s]==]\n",
            request);
    fclose(f);
    snprintf(command, sizeof command, "wrk -t1 -c%d -d%ds -s %s %s/embeddings 2>/dev/null", REQUESTS, seconds, script,
             url);
    if (!(out = popen(command, "r"))) return r;
    while (fgets(line, sizeof line, out)) {
        sscanf(line, "Requests/sec: %lf", &r.per_second);
        sscanf(line, " %lf requests in", &r.count);
    }
    pclose(out);
    unlink(script);
    r.cpu = r.count > 0 ? (cpu(RUSAGE_CHILDREN) - before) / r.count : 0;
    return r;
}

/* ---- The bare loop over libcurl ---- */

typedef struct loop {
    CURLM *multi;
    CURL *easy[REQUESTS];
    embed_text answers[REQUESTS]; /* the last answer of each */
} loop;

static size_t keep(char *data, size_t size, size_t n, void *to)
{
    embed_putn(to, data, size * n);
    return size * n;
}

static void loop_begin(loop *l, const char *url, const char *request, struct curl_slist *headers)
{
    l->multi = curl_multi_init();
    for (int i = 0; i < REQUESTS; i++) {
        CURL *h = l->easy[i] = curl_easy_init();
        curl_easy_setopt(h, CURLOPT_URL, url);
        curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 64L << 10);
        curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE, (long)strlen(request));
        curl_easy_setopt(h, CURLOPT_POSTFIELDS, request);
        curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, keep);
        curl_easy_setopt(h, CURLOPT_WRITEDATA, &l->answers[i]);
        curl_easy_setopt(h, CURLOPT_PRIVATE, &l->answers[i]);
        curl_multi_add_handle(l->multi, h);
    }
}

static void loop_end(loop *l)
{
    for (int i = 0; i < REQUESTS; i++) {
        curl_multi_remove_handle(l->multi, l->easy[i]);
        curl_easy_cleanup(l->easy[i]);
        free(l->answers[i].p);
    }
    curl_multi_cleanup(l->multi);
}

/* Sends anew what has been answered; returns how many. */
static size_t loop_turn(loop *l)
{
    size_t n = 0;
    int left;

    for (const CURLMsg *m; (m = curl_multi_info_read(l->multi, &left)) != NULL; n++) {
        CURL *h = m->easy_handle;
        char *text = NULL;
        if (m->data.result != CURLE_OK) exit(1);
        curl_easy_getinfo(h, CURLINFO_PRIVATE, &text);
        ((embed_text *)(void *)text)->n = 0;
        curl_multi_remove_handle(l->multi, h);
        curl_multi_add_handle(l->multi, h);
    }
    return n;
}

static rate run_libcurl(const char *url, const char *request, int seconds)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json"),
                      *whole = curl_slist_append(headers, "Expect:");
    double begun = embed_clock(), used = cpu(RUSAGE_SELF), t;
    loop l = { 0 };
    size_t n = 0, more;
    char address[80];
    int running;

    snprintf(address, sizeof address, "%s/embeddings", url);
    loop_begin(&l, address, request, whole);
    while ((t = embed_clock() - begun) < seconds) {
        curl_multi_perform(l.multi, &running);
        n += more = loop_turn(&l);
        if (!more) curl_multi_poll(l.multi, NULL, 0, 100, NULL);
    }
    loop_end(&l);
    curl_slist_free_all(whole);
    return (rate){ (double)n / t, (cpu(RUSAGE_SELF) - used) / (double)n, (double)n };
}

/* ---- The embedder ---- */

static rate run_embedder(coco_embedder *e, const coco_embed_call *call, int seconds)
{
    double begun = embed_clock(), used = cpu(RUSAGE_SELF), t;
    uint64_t before = coco_embedder_stats_get(e).requests, n;
    coco_err err;

    do {
        if (coco_embed_texts(e, call, &err) != COCO_OK) {
            fprintf(stderr, "%s\n", err.msg);
            exit(1);
        }
    } while ((t = embed_clock() - begun) < seconds);
    n = coco_embedder_stats_get(e).requests - before;
    return (rate){ (double)n / t, (cpu(RUSAGE_SELF) - used) / (double)n, (double)n };
}

/* count texts of `size` letters, all different. */
static coco_str *texts_of(size_t count, size_t size)
{
    coco_str *t = malloc(count * sizeof *t);

    for (size_t i = 0; i < count; i++) {
        char *p = malloc(size + 1);
        for (size_t j = 0; j < size; j++) p[j] = j % 7 == 6 ? ' ' : (char)('a' + (i * 31 + j * 17) % 26);
        snprintf(p, size, "%zu", i);
        p[strlen(p)] = ' ';
        t[i] = (coco_str){ p, size };
    }
    return t;
}

static char *request_of(const coco_str *texts, size_t n)
{
    embed_text t = { 0 };

    embed_puts(&t, "{\"model\":\"bench\",\"input\":[");
    for (size_t i = 0; i < n; i++) {
        char *one = malloc(texts[i].n + 4);
        snprintf(one, texts[i].n + 4, "%s\"%.*s\"", i ? "," : "", (int)texts[i].n, texts[i].p);
        embed_puts(&t, one);
        free(one);
    }
    embed_puts(&t, "]}");
    return t.p;
}

static rate better(rate a, rate b) { return b.per_second > a.per_second ? b : a; }

/* A line: what was measured, the numbers, and wrk's part in percent. */
static void tell(const char *what, const rate *wrk, const rate *bare, const rate *we, double server)
{
    double by_rates = we->per_second / wrk->per_second * 100;
    double by_cpu = fmax(wrk->cpu, server) / fmax(we->cpu, server) * 100;
    const char *clock = getenv("CLOCK");

    printf("%s:wrk %.0f/s %.1f µs, libcurl %.0f/s %.1f µs, ", what, wrk->per_second, wrk->cpu * 1e6, bare->per_second,
           bare->cpu * 1e6);
    printf("we %.0f/s %.1f µs, server %.1f µs (CPU of a request; with a core each %.0f %%)", we->per_second, we->cpu * 1e6,
           server * 1e6, by_cpu);
    printf(":%.0f %%\n", clock && strcmp(clock, "cpu") == 0 ? by_cpu : by_rates);
    fflush(stdout);
}

static void compare(size_t batch, size_t size, size_t dims, bool base64, int seconds)
{
    char *body = vectors(batch, dims, base64), url[64], what[120];
    size_t n = batch * 256;
    coco_str *texts = texts_of(n, size);
    float *v = malloc(n * dims * sizeof *v);
    char *request = request_of(texts, batch);
    coco_embed_call call = { .texts = texts, .n = n, .vectors = v };
    rate wrk = { 0 }, bare = { 0 }, we = { 0 }, last;
    double server_used = 0, requests = 0;
    coco_embedder *e;
    coco_err err;
    int port;
    pid_t server = serve(body, &port);

    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", port);
    coco_embedder_opts o = { .url = url, .model = "bench", .dimensions = dims, .dimensions_known = true,
                             .max_texts = batch, .max_bytes = (size_t)1 << 30, .max_requests = REQUESTS,
                             .encoding = base64 ? COCO_EMBED_BASE64 : COCO_EMBED_LIST };
    if (coco_embedder_open(&o, &e, &err) != COCO_OK) exit(1);
    for (int i = 0; i < 3; i++) {
        wrk = better(wrk, run_wrk(url, request, seconds));
        bare = better(bare, run_libcurl(url, request, seconds));
        server_used -= server_cpu(server);
        last = run_embedder(e, &call, seconds);
        server_used += server_cpu(server);
        requests += last.count;
        we = better(we, last);
    }
    snprintf(what, sizeof what, "%zu texts of %zu bytes, %zu dims %s%s", batch, size, dims,
             base64 ? "in base64" : "as list", reads ? "" : ", answered unread");
    tell(what, &wrk, &bare, &we, server_used / requests);
    coco_embedder_close(e);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)texts[i].p);
    free(texts), free(v), free(request), free(body);
}

int main(int argc, char **argv)
{
    static const struct { size_t batch, size, dims; } cases[] = { { 1, 20, 8 }, { 16, 1000, 384 }, { 100, 1000, 1536 } };
    int seconds = argc > 1 ? atoi(argv[1]) : 2;

    if (system("command -v wrk >/dev/null") != 0) {
        puts("skipped: wrk not installed");
        return 0;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] * 4; i++) {
        reads = i % 4 < 2;
        compare(cases[i / 4].batch, cases[i / 4].size, cases[i / 4].dims, i % 2, seconds);
    }
    return 0;
}
