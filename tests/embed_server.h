/* embed_server.h - an HTTP server that answers as /v1/embeddings does, for tests: libmicrohttpd on a free loopback
 * port, a thread a connection. It embeds by a hash of the text, so that a test can tell whose vector it got; it can
 * delay, refuse, fail so many times, break off and answer nonsense of many kinds; and it counts requests, texts and how
 * many requests it worked on at a time. Set the fields before the requests they are for; read the counts after these.
 *
 * Everything is static inline, so that a test need not use all of it. */
#ifndef COCO_TEST_EMBED_SERVER_H
#define COCO_TEST_EMBED_SERVER_H

#include <arpa/inet.h>
#include <assert.h>
#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What an answer is; those up to EMBED_NO_INDEX are right. */
typedef enum embed_answer {
    EMBED_RIGHT, EMBED_REVERSED, EMBED_SPACED, EMBED_NO_INDEX,
    EMBED_ONE_LESS, EMBED_ONE_MORE, EMBED_WRONG_INDEX, EMBED_NEGATIVE_INDEX, EMBED_TEXT_INDEX, EMBED_SAME_INDEX,
    EMBED_NAN, EMBED_INFINITE, EMBED_NULLS, EMBED_WORDS, EMBED_NESTED, EMBED_LONGER, EMBED_SHORTER, EMBED_NO_NUMBERS,
    EMBED_NO_VECTOR, EMBED_SHORT_BASE64, EMBED_BAD_BASE64, EMBED_CUT, EMBED_TWO_VECTORS, EMBED_ENDLESS,
    EMBED_BROKEN_OFF, EMBED_CLOSED
} embed_answer;

typedef struct embed_server {
    /* What it does. */
    size_t dimensions;       /* of what it gives, unless the request asks for others */
    int delay_ms;            /* before each answer */
    int fail_times;          /* so many requests are answered with … */
    unsigned fail_status;    /* … this status, … */
    const char *fail_body;   /* … this text, … */
    const char *fail_header; /* … and this header: "Retry-After" … */
    const char *fail_value;  /* … with this value */
    int break_times;         /* so many requests are broken off in the middle of the answer */
    size_t max_texts;        /* more in a request: 413 */
    size_t max_bytes;        /* a longer text: 400, as a model's context length is exceeded */
    const char *poison;      /* a text that holds this: 400, for no reason of length */
    const char *no_base64;   /* who asks for base64: form_status with this text */
    unsigned form_status;
    const char *key;         /* asked for; others get 401 and their header back */
    embed_answer answer;
    bool base64;             /* whatever was asked for */
    const char *body;        /* this in place of an answer, with … */
    unsigned status;         /* … this status (0: 200) */

    /* What it saw. */
    size_t requests, texts, most_texts, largest; /* requests; texts embedded; most in one request; longest body */
    int now, peak;           /* requests worked on, and at most */
    double times[4096];      /* when each came, in seconds */
    char *log[20000];        /* the texts embedded */
    char *last;              /* body of the last request */

    struct MHD_Daemon *daemon;
    pthread_mutex_t lock;
    char url[64];
} embed_server;

static inline double embed_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Component j of the vector of a text. */
static inline float embed_float(const char *text, size_t n, size_t j)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
    h = (h + j) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 31;
    return (float)((double)(int64_t)(h % 2000001) - 1000000) / 1e6f;
}

/* ---- Text that grows ---- */

typedef struct embed_text {
    char *p;
    size_t n, cap;
} embed_text;

static inline void embed_putn(embed_text *t, const char *s, size_t n)
{
    if (t->n + n + 1 > t->cap) t->p = realloc(t->p, t->cap = 2 * (t->n + n + 1));
    memcpy(t->p + t->n, s, n);
    t->p[t->n += n] = '\0';
}

static inline void embed_puts(embed_text *t, const char *s) { embed_putn(t, s, strlen(s)); }

static inline void embed_base64(embed_text *t, const unsigned char *p, size_t n)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        char four[5] = { letters[v >> 18], letters[v >> 12 & 63], i + 1 < n ? letters[v >> 6 & 63] : '=',
                         i + 2 < n ? letters[v & 63] : '=', 0 };
        embed_puts(t, four);
    }
}

/* ---- Answers ---- */

static inline void embed_put_list(embed_server *s, embed_text *t, const float *v, size_t n)
{
    char number[48];

    embed_puts(t, s->answer == EMBED_NESTED ? "[[" : s->answer == EMBED_SPACED ? "[ \r\n\t" : "[");
    for (size_t j = 0; j < n; j++) {
        snprintf(number, sizeof number, s->answer == EMBED_SPACED ? "%.17g \n" : "%.9g", (double)v[j]);
        if (j) embed_puts(t, s->answer == EMBED_SPACED ? " ,\t " : ",");
        embed_puts(t, j == 1 && s->answer == EMBED_NAN ? "NaN" : j == 1 && s->answer == EMBED_NULLS ? "null"
                    : j == 1 && s->answer == EMBED_INFINITE ? "1e39" : j == 1 && s->answer == EMBED_WORDS ? "\"1\""
                    : number);
    }
    embed_puts(t, s->answer == EMBED_NESTED ? "]]" : "]");
}

static inline void embed_put_vector(embed_server *s, embed_text *t, const char *text, size_t dims, bool base64)
{
    size_t n = s->answer == EMBED_LONGER ? dims + 1 : s->answer == EMBED_SHORTER ? dims - 1
             : s->answer == EMBED_NO_NUMBERS ? 0 : dims;
    float *v = malloc((n + 1) * sizeof *v);

    for (size_t j = 0; j < n; j++) v[j] = embed_float(text, strlen(text), j);
    if (s->answer == EMBED_NO_VECTOR) {
        embed_puts(t, "12");
    } else if (base64) {
        if (s->answer == EMBED_NAN) memcpy(v, "\xff\xff\xff\xff", 4);
        embed_puts(t, "\"");
        embed_base64(t, (unsigned char *)v, n * sizeof *v);
        if (s->answer == EMBED_SHORT_BASE64) t->p[t->n -= 5] = '\0';
        if (s->answer == EMBED_BAD_BASE64) t->p[t->n - 5] = '*';
        embed_puts(t, "\"");
    } else {
        embed_put_list(s, t, v, n);
    }
    free(v);
}

/* The entry of text i of n. */
static inline void embed_put_entry(embed_server *s, embed_text *t, const char *text, size_t i, size_t n)
{
    char line[100];
    size_t at = s->answer == EMBED_WRONG_INDEX && i == n - 1 ? n : s->answer == EMBED_SAME_INDEX ? 0 : i;

    snprintf(line, sizeof line, "{\"object\":\"embedding\",\"index\":%s%zu%s,\"embedding\" : ",
             s->answer == EMBED_NEGATIVE_INDEX ? "-1" : s->answer == EMBED_TEXT_INDEX ? "\"" : "", at,
             s->answer == EMBED_TEXT_INDEX ? "\"" : "");
    embed_puts(t, s->answer == EMBED_NO_INDEX ? "{\"object\":\"embedding\",\"note\":\"\\\"embedding\\\":[1]\","
                                               "\"\\\"embedding\":[7],\"embedding\":" : line);
    (void)text;
}

static inline char *embed_answer_to(embed_server *s, json_t *request)
{
    json_t *input = json_object_get(request, "input");
    const char *form = json_string_value(json_object_get(request, "encoding_format"));
    json_int_t asked = json_integer_value(json_object_get(request, "dimensions"));
    size_t n = json_array_size(input), dims = asked ? (size_t)asked : s->dimensions, first = 0, last = n;
    bool base64 = s->base64 || (form && strcmp(form, "base64") == 0);
    embed_text t = { 0 };
    char line[100];

    if (s->answer == EMBED_ONE_LESS) first = 1;
    if (s->answer == EMBED_ONE_MORE) last = n + 1;
    embed_puts(&t, "{\"object\":\"list\",\"data\":[");
    for (size_t k = first; k < last; k++) {
        size_t i = s->answer == EMBED_REVERSED ? n - 1 - k : k;
        const char *text = json_string_value(json_array_get(input, i < n ? i : 0));
        if (k > first) embed_puts(&t, ",");
        embed_put_entry(s, &t, text, i, n);
        embed_put_vector(s, &t, text, dims, base64);
        if (s->answer == EMBED_TWO_VECTORS) embed_puts(&t, ",\"embedding\":[1,2]");
        embed_puts(&t, "}");
    }
    snprintf(line, sizeof line, "],\"model\":\"test\",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", n, n);
    embed_puts(&t, line);
    if (s->answer == EMBED_CUT) t.p[t.n / 2] = '\0';
    return t.p;
}

/* ---- Requests ---- */

static inline enum MHD_Result embed_reply(struct MHD_Connection *c, unsigned status, char *body, const char *header,
                                          const char *value)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result ok;

    if (header) MHD_add_response_header(r, header, value);
    ok = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return ok;
}

static inline ssize_t embed_endless(void *cls, uint64_t pos, char *buf, size_t max)
{
    (void)cls, (void)pos;
    memset(buf, ' ', max);
    return (ssize_t)max;
}

static inline ssize_t embed_break_off(void *cls, uint64_t pos, char *buf, size_t max)
{
    (void)cls;
    if (pos) return MHD_CONTENT_READER_END_WITH_ERROR;
    memset(buf, ' ', max < 50 ? max : 50);
    return (ssize_t)(max < 50 ? max : 50);
}

static inline enum MHD_Result embed_stream(struct MHD_Connection *c, uint64_t size, MHD_ContentReaderCallback reader)
{
    struct MHD_Response *r = MHD_create_response_from_callback(size, 65536, reader, NULL, NULL);
    enum MHD_Result ok = MHD_queue_response(c, 200, r);

    MHD_destroy_response(r);
    return ok;
}

/* Why a request is refused: the status and the text, or 0. */
static inline unsigned embed_refuses(embed_server *s, json_t *root, const char **why)
{
    json_t *input = json_object_get(root, "input");

    if ((*why = s->no_base64) && json_object_get(root, "encoding_format")) return s->form_status;
    *why = "{\"error\":{\"message\":\"batch of the wrong size\"}}";
    if (s->max_texts && json_array_size(input) > s->max_texts) return 413;
    for (size_t i = 0; i < json_array_size(input); i++) {
        const char *text = json_string_value(json_array_get(input, i));
        *why = "{\"error\":{\"message\":\"This model's maximum context length is 8 tokens\"}}";
        if (s->max_bytes && strlen(text) > s->max_bytes) return 400;
        *why = "{\"error\":{\"message\":\"the input is not allowed\"}}";
        if (s->poison && strstr(text, s->poison)) return 400;
    }
    return 0;
}

/* Answers a whole request. Under the lock. */
static inline enum MHD_Result embed_serve(embed_server *s, struct MHD_Connection *c, const char *body, size_t n)
{
    const char *auth = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization"), *why;
    char bearer[200], echo[400];
    json_t *root = json_loadb(body, n, 0, NULL), *input = json_object_get(root, "input");
    unsigned no = embed_refuses(s, root, &why);
    char *text = NULL;

    snprintf(bearer, sizeof bearer, "Bearer %s", s->key ? s->key : "");
    if (s->key && (!auth || strcmp(auth, bearer) != 0)) {
        snprintf(echo, sizeof echo, "{\"error\":{\"message\":\"wrong key: %s\"}}", auth ? auth : "none");
        no = 401, why = echo;
    }
    if (s->fail_times) {
        s->fail_times -= s->fail_times > 0;
        json_decref(root);
        return embed_reply(c, s->fail_status, strdup(s->fail_body ? s->fail_body : "try again"), s->fail_header,
                           s->fail_value);
    }
    if (no) text = strdup(why);
    else if (s->body) text = strdup(s->body), no = s->status ? s->status : 200;
    else if (s->answer < EMBED_ENDLESS && s->break_times == 0) {
        for (size_t i = 0; i < json_array_size(input) && s->texts < 20000; i++)
            s->log[s->texts++] = strdup(json_string_value(json_array_get(input, i)));
        text = embed_answer_to(s, root), no = 200;
    }
    json_decref(root);
    if (text) return embed_reply(c, no, text, s->fail_header, s->fail_value);
    if (s->answer == EMBED_CLOSED) return MHD_NO;
    if (s->answer == EMBED_ENDLESS) return embed_stream(c, MHD_SIZE_UNKNOWN, embed_endless);
    s->break_times -= s->break_times > 0;
    return embed_stream(c, 1000, embed_break_off);
}

static inline enum MHD_Result embed_handle(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                                           const char *version, const char *data, size_t *n, void **state)
{
    embed_server *s = cls;
    embed_text *t = *state;
    enum MHD_Result ok;

    (void)url, (void)method, (void)version;
    if (!t) {
        *state = calloc(1, sizeof *t);
        pthread_mutex_lock(&s->lock);
        if (++s->now > s->peak) s->peak = s->now;
        s->times[s->requests++ % 4096] = embed_clock();
        pthread_mutex_unlock(&s->lock);
        return MHD_YES;
    }
    if (*n) {
        embed_putn(t, data, *n);
        *n = 0;
        return MHD_YES;
    }
    if (s->delay_ms) nanosleep(&(struct timespec){ s->delay_ms / 1000, s->delay_ms % 1000 * 1000000L }, NULL);
    pthread_mutex_lock(&s->lock);
    if (t->n > s->largest) s->largest = t->n;
    json_t *root = json_loadb(t->p ? t->p : "", t->n, 0, NULL);
    if (json_array_size(json_object_get(root, "input")) > s->most_texts)
        s->most_texts = json_array_size(json_object_get(root, "input"));
    json_decref(root);
    free(s->last);
    s->last = t->p ? strdup(t->p) : NULL;
    s->now--; /* before the answer goes out: the client may begin the next one at once */
    ok = embed_serve(s, c, t->p ? t->p : "", t->n);
    pthread_mutex_unlock(&s->lock);
    return ok;
}

static inline void embed_completed(void *cls, struct MHD_Connection *c, void **state,
                                   enum MHD_RequestTerminationCode why)
{
    embed_text *t = *state;

    (void)cls, (void)c, (void)why;
    if (t) free(t->p);
    free(t);
    *state = NULL;
}

/* ---- Begin and end ---- */

/* Starts it on a free port of the loopback; false: it can't be. */
static inline bool embed_server_start(embed_server *s)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    memset(s, 0, sizeof *s);
    s->dimensions = 8;
    pthread_mutex_init(&s->lock, NULL);
    s->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL, 0,
                                 NULL, NULL, embed_handle, s, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&addr,
                                 MHD_OPTION_NOTIFY_COMPLETED, embed_completed, NULL, MHD_OPTION_END);
    if (!s->daemon) return false;
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d/v1",
             (int)MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    return true;
}

/* Forgets what it saw. */
static inline void embed_server_forget(embed_server *s)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->texts; i++) free(s->log[i]);
    s->texts = s->requests = s->most_texts = s->largest = 0;
    s->peak = 0;
    pthread_mutex_unlock(&s->lock);
}

static inline void embed_server_stop(embed_server *s)
{
    MHD_stop_daemon(s->daemon);
    embed_server_forget(s);
    free(s->last);
    s->last = NULL;
    pthread_mutex_destroy(&s->lock);
}

static inline int embed_by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* How many texts were embedded more than once. */
static inline size_t embed_server_repeats(embed_server *s)
{
    size_t n = 0;

    qsort(s->log, s->texts, sizeof s->log[0], embed_by_text);
    for (size_t i = 1; i < s->texts; i++) n += strcmp(s->log[i - 1], s->log[i]) == 0;
    return n;
}

/* ---- A server that speaks no HTTP ---- */

/* Takes one connection after the other, reads something, says its words, closes. */
typedef struct embed_mute {
    int fd;            /* that listens */
    const char *words; /* what it says */
    pthread_t thread;
    char url[64];
} embed_mute;

static inline void *embed_mute_run(void *arg)
{
    embed_mute *m = arg;
    char buf[4096];

    for (int c; (c = accept(m->fd, NULL, NULL)) >= 0; close(c))
        if (read(c, buf, sizeof buf) > 0 && write(c, m->words, strlen(m->words)) < 0) continue;
    return NULL;
}

static inline void embed_mute_start(embed_mute *m, const char *words)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof addr;

    m->words = words;
    m->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(m->fd, (struct sockaddr *)&addr, n) != 0 || listen(m->fd, 16) != 0) abort();
    getsockname(m->fd, (struct sockaddr *)&addr, &n);
    snprintf(m->url, sizeof m->url, "http://127.0.0.1:%d/v1", ntohs(addr.sin_port));
    pthread_create(&m->thread, NULL, embed_mute_run, m);
}

static inline void embed_mute_stop(embed_mute *m)
{
    shutdown(m->fd, SHUT_RDWR);
    pthread_join(m->thread, NULL);
    close(m->fd);
}

#endif /* COCO_TEST_EMBED_SERVER_H */
