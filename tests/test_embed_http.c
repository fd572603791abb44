/* test_embed_http.c - the embedder's own HTTP against a server that says what it is told to, byte by byte: every form
 * of an answer, cut and split anywhere, unasked and endless ones; and what is libcurl's matter. */
#include "embed_client.h"

#include <dirent.h>
#include <netinet/tcp.h>

#define BODY "{\"data\":[{\"embedding\":[1.5,2]}]}"

/* ---- A server with a script ---- */

/* What it does. */
typedef struct plan {
    const char *words; /* what it answers … */
    size_t split;      /* … with a pause behind so many bytes, … */
    size_t cut;        /* … or, as the first answer, one byte less than so many and the end; 0: no */
    bool endless;      /* and then as many x as are taken */
    bool close;        /* the connection, behind each answer */
    const char *late;  /* said behind the first answer, unasked */
    bool deaf;         /* it reads no body before it answers */
    int silent;        /* so many requests have no answer, but the end */
} plan;
#define PLAN(...) set_plan((plan){ __VA_ARGS__ })

/* Serves one connection after the other. */
static struct script {
    int fd; /* that listens */
    pthread_t thread;
    char url[64];
    _Atomic int connections, lates; /* and how often it spoke unasked */
    pthread_mutex_t lock; /* of the rest */
    plan plan;
    char head[4096];      /* of the last request */
} s;

static void set_plan(plan p)
{
    pthread_mutex_lock(&s.lock);
    s.plan = p;
    pthread_mutex_unlock(&s.lock);
}

/* What is to be done now; what is done once is then over. */
static plan take_plan(void)
{
    plan p;

    pthread_mutex_lock(&s.lock);
    p = s.plan;
    s.plan.silent -= s.plan.silent > 0;
    if (!p.silent) s.plan.cut = 0, s.plan.late = NULL;
    pthread_mutex_unlock(&s.lock);
    return p;
}

static void last_head(char *out)
{
    pthread_mutex_lock(&s.lock);
    memcpy(out, s.head, sizeof s.head);
    pthread_mutex_unlock(&s.lock);
}

static void pause_ms(long ms) { nanosleep(&(struct timespec){ 0, ms * 1000000L }, NULL); }

/* Reads a request; false: there is none any more. */
static bool hear(int c)
{
    char head[sizeof s.head], in[65536], *length;
    size_t n = 0, body;

    memset(head, 0, sizeof head);
    while (!strstr(head, "\r\n\r\n")) /* by ones, so that nothing of the body is among it */
        if (n + 1 == sizeof head || recv(c, head + n++, 1, 0) <= 0) return false;
    pthread_mutex_lock(&s.lock);
    memcpy(s.head, head, sizeof head);
    body = s.plan.deaf ? 0 : SIZE_MAX;
    pthread_mutex_unlock(&s.lock);
    length = strstr(head, "Content-Length: ");
    if (body) body = length ? strtoull(length + 16, NULL, 10) : 0;
    while (body) {
        ssize_t got = recv(c, in, body < sizeof in ? body : sizeof in, 0);
        if (got <= 0) return false;
        body -= (size_t)got;
    }
    return true;
}

/* False: the client doesn't listen any more. */
static bool say(int c, const char *p, size_t n)
{
    for (ssize_t sent; n; p += sent, n -= (size_t)sent)
        if ((sent = send(c, p, n, MSG_NOSIGNAL)) <= 0) return false;
    return true;
}

/* Answers; false: the connection ends. */
static bool answer(int c)
{
    plan p = take_plan();
    size_t n = strlen(p.words);
    char xs[4096];

    if (p.silent) return false;
    if (p.cut) {
        say(c, p.words, p.cut - 1);
        return false;
    }
    say(c, p.words, p.split);
    if (p.split) pause_ms(1);
    say(c, p.words + p.split, n - p.split);
    memset(xs, 'x', sizeof xs);
    while (p.endless && say(c, xs, sizeof xs)) continue;
    if (p.late) {
        pause_ms(20);
        say(c, p.late, strlen(p.late));
        s.lates++;
    }
    return !p.close;
}

static void *serve(void *arg)
{
    char rest[4096];
    int one = 1;

    (void)arg;
    for (int c; (c = accept(s.fd, NULL, NULL)) >= 0; close(c)) {
        setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        s.connections++;
        while (hear(c) && answer(c)) continue;
        shutdown(c, SHUT_WR);
        while (recv(c, rest, sizeof rest, 0) > 0) continue;
    }
    return NULL;
}

static int script_begin(void **state)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof addr;

    (void)state;
    memset(&s, 0, sizeof s);
    memset(&err, 0, sizeof err);
    pthread_mutex_init(&s.lock, NULL);
    unsetenv("http_proxy");
    s.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(s.fd, (struct sockaddr *)&addr, n) != 0 || listen(s.fd, 16) != 0) return -1;
    getsockname(s.fd, (struct sockaddr *)&addr, &n);
    snprintf(s.url, sizeof s.url, "http://127.0.0.1:%d/v1", ntohs(addr.sin_port));
    return pthread_create(&s.thread, NULL, serve, NULL);
}

static int script_end(void **state)
{
    (void)state;
    coco_embedder_close(e);
    e = NULL;
    shutdown(s.fd, SHUT_RDWR);
    pthread_join(s.thread, NULL);
    close(s.fd);
    pthread_mutex_destroy(&s.lock);
    assert_int_equal(emb_live, 0);
    return 0;
}
#define SCRIPTED(name) cmocka_unit_test_setup_teardown(name, script_begin, script_end)

/* ---- The client ---- */

/* One connection, two tries, vectors of two numbers. */
static coco_embedder_opts one_line(void)
{
    return (coco_embedder_opts){ .url = s.url, .model = "test", .dimensions = 2, .dimensions_known = true,
                                 .max_requests = 1, .max_tries = 2, .backoff_ms = 1,
                                 .allocator = { emb_realloc, NULL } };
}

static coco_status ask(void)
{
    float v[2] = { 0, 0 };
    coco_status rc = coco_embed_texts(e, &(coco_embed_call){ .texts = &COCO_STR("text"), .n = 1, .vectors = v }, &err);

    if (rc == COCO_OK) assert_true(v[0] == 1.5f && v[1] == 2);
    return rc;
}

/* BODY is 32 bytes, 0x20. */
#define LENGTH "Content-Length: 32\r\n"
static const struct form {
    const char *words;
    bool kept; /* the connection is used again */
    bool end;  /* it must be closed, as the end of the answer */
} forms[] = {
    { "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" LENGTH "\r\n" BODY, true, false },
    { "HTTP/1.1 200\r\nconnection:Keep-Alive \r\ncontent-length:32 \r\n\r\n" BODY, true, false },
    { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" LENGTH "\r\n" BODY, true, false },
    { "HTTP/1.1 200 OK\n" "Content-Length: 32\n\n" BODY, true, false },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n" BODY "\r\n0\r\n\r\n", true, false },
    { "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1\r\n{\r\n"
      "001F\r\n\"data\":[{\"embedding\":[1.5,2]}]}\r\n0\r\n\r\n",
      true, false },
    { "HTTP/1.1 200 OK\r\nConnection: close\r\n" LENGTH "\r\n" BODY, false, false },
    { "HTTP/1.0 200 OK\r\n" LENGTH "\r\n" BODY, false, false },
    { "HTTP/1.1 200 OK\r\n\r\n" BODY, false, true },
    /* Odd: libcurl reads them. */
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20;x=y\r\n" BODY "\r\n0\r\n\r\n", true, false },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n" BODY "\r\n0\r\nX-Sum: 1\r\n\r\n", true, false },
    { "HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\n" LENGTH "\r\n" BODY, true, false },
};
#define FORMS (sizeof forms / sizeof forms[0])

/* ---- Answers ---- */

/* Opens. What is then asked for is answered over a new connection, or (again) over one that has had an answer with a
 * length: the next one is read to where it stays. */
static void open_line(bool again)
{
    PLAN(.words = forms[0].words);
    open_with(one_line());
    if (again) ok(ask());
}

static void every_form_of_an_answer_is_read_wherever_it_is_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * FORMS; i++)
        for (size_t split = 0; split < strlen(forms[i / 2].words); split++) {
            open_line(i % 2);
            PLAN(.words = forms[i / 2].words, .split = split, .close = forms[i / 2].end);
            if (ask() != COCO_OK) fail_msg("%zu split at %zu: %s", i, split, err.msg);
        }
}

static void connections_are_kept_where_the_answer_allows_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) {
        int before = s.connections, odd = i >= FORMS - 3; /* then there is a second one, of libcurl's */
        PLAN(.words = forms[i].words, .close = forms[i].end);
        open_with(one_line());
        for (int k = 0; k < 5; k++) ok(ask());
        if (s.connections - before != (forms[i].kept ? 1 + odd : 5)) fail_msg("%zu: %d", i, s.connections - before);
    }
}

static void an_answer_cut_off_at_any_byte_is_asked_for_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * FORMS; i++) {
        if (forms[i / 2].end) continue; /* where it ends, it is whole */
        for (size_t cut = 0; cut < strlen(forms[i / 2].words); cut++) {
            open_line(i % 2);
            PLAN(.words = forms[i / 2].words, .cut = cut + 1);
            if (ask() != COCO_OK) fail_msg("%zu cut at %zu: %s", i, cut, err.msg);
        }
    }
}

static void an_answer_that_stays_cut_off_is_an_error_that_says_so(void **state)
{
    static const struct { const char *words, *says; } kinds[] = {
        { "HTTP/1.1 200 OK\r\n" LENGTH "\r\n{", "transfer closed with 31 bytes remaining to read (2 tries" },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{", "transfer closed with outstanding" },
        { "", "Empty reply from server (2 tries" },
        { "HTTP/1.1 100 Continue\r\n\r\n", "transfer closed" },
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof kinds[0]; i++) {
        open_line(i % 2);
        PLAN(.words = kinds[i / 2].words, .close = true);
        assert_int_equal(ask(), COCO_EIO);
        assert_true(err.transient);
        if (!strstr(err.msg, kinds[i / 2].says)) fail_msg("%zu: %s", i, err.msg);
    }
}

/* A connection that the server has given up is no failure of the request. */
static void a_kept_connection_that_was_closed_is_replaced(void **state)
{
    (void)state;
    PLAN(.words = forms[0].words);
    open_with(one_line());
    ok(ask());
    PLAN(.words = forms[0].words, .silent = 1); /* closed as the request comes */
    ok(ask());
    assert_int_equal(s.connections, 2);
    PLAN(.words = forms[0].words, .close = true); /* closed while it is idle */
    for (int i = 0; i < 3; i++) {
        ok(ask());
        pause_ms(5);
    }
    assert_int_equal(coco_embedder_stats_get(e).retries, 0);
}

static void what_comes_unasked_is_no_answer(void **state)
{
    static const char wrong[] = "HTTP/1.1 400 No\r\nContent-Length: 5\r\n\r\nwrong";
    static char words[500]; /* the server's thread may outlive the test */

    (void)state;
    snprintf(words, sizeof words, "%s%s", forms[0].words, wrong);
    PLAN(.words = words); /* at once */
    open_with(one_line());
    for (int i = 0; i < 5; i++) ok(ask());
    assert_int_equal(s.connections, 5);
    for (int i = 0; i < 5; i++) { /* at once, behind the second answer over a connection */
        open_line(true);
        PLAN(.words = words);
        ok(ask());
        ok(ask());
    }
    assert_int_equal(s.connections, 15);
    for (int i = 0; i < 3; i++) { /* later */
        PLAN(.words = forms[0].words, .late = wrong);
        ok(ask());
        while (s.lates == i) pause_ms(1);
        ok(ask());
    }
}

static void nonsense_is_a_clear_error(void **state)
{
    static const struct { const char *words; coco_status rc; const char *says; } kinds[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 32\r\nContent-Length: 31\r\n\r\n" BODY, COCO_EPARSE, "" },
        { "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" BODY, COCO_EIO, "" },
        { "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" BODY, COCO_EIO, "" },
        { "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{", COCO_EPARSE, "ends too early" },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n" BODY, COCO_EIO, "" },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1e\r\n" BODY "\r\n0\r\n\r\n", COCO_EIO, "" },
        { "HTTP/1.1 abc OK\r\n\r\n", COCO_EIO, "" },
        { "HTTP/7.1 200 OK\r\n\r\n", COCO_EIO, "" },
        { "220 mail.example.org ESMTP\r\n", COCO_EIO, "HTTP/0.9" },
        { "HTTP/1.1 204 No Content\r\n\r\n", COCO_EPARSE, "the answer is empty" },
        { "HTTP/1.1 304 Not Modified\r\n\r\n", COCO_EFAIL, "answered 304" },
        { "HTTP/1.1 302 Found\r\nLocation: ../other?secret=1\r\nContent-Length: 0\r\n\r\n", COCO_EFAIL,
          "/other: none" },
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof kinds[0]; i++) {
        open_line(i % 2);
        PLAN(.words = kinds[i / 2].words, .close = true);
        coco_status rc = ask();
        if (rc == COCO_OK || (rc != kinds[i / 2].rc && i > 1) || !strstr(err.msg, kinds[i / 2].says))
            fail_msg("%zu: %d %s", i, rc, err.msg);
        assert_null(strstr(err.msg, "secret"));
    }
}

static void endless_answers_are_cut_off(void **state)
{
    static const struct { const char *head; coco_status rc; const char *says; } kinds[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", COCO_EPARSE, "is longer than 1049664 bytes" },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2000000\r\n", COCO_EPARSE,
          "is longer than 1049664 bytes" },
        { "HTTP/1.1 200 OK\r\n\r\n", COCO_EPARSE, "is longer than 1049664 bytes" },
        { "HTTP/1.1 400 No\r\nContent-Length: 999999999999\r\n\r\n", COCO_EFAIL, "answered 400: xxxx" },
        { "HTTP/1.1 200 OK\r\nX-Long: ", COCO_EIO, "" },
    };

    (void)state;
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof kinds[0]; i++) {
        open_line(i % 2);
        PLAN(.words = kinds[i / 2].head, .endless = true, .close = true);
        coco_status rc = ask();
        if (rc == COCO_OK || (*kinds[i / 2].says && rc != kinds[i / 2].rc) || !strstr(err.msg, kinds[i / 2].says))
            fail_msg("%zu: %d %s", i, rc, err.msg);
    }
}

static void an_answer_that_stalls_is_given_up_after_timeout_ms(void **state)
{
    coco_embedder_opts o = one_line();

    (void)state;
    o.timeout_ms = 300;
    PLAN(.words = "HTTP/1.1 200 OK\r\n" LENGTH "\r\n{\"data\"");
    open_with(o);
    assert_int_equal(ask(), COCO_EIO);
    assert_non_null(strstr(err.msg, "Operation timed out after 300 milliseconds with 7 bytes received (2 tries"));
    assert_int_equal(s.connections, 2);
}

/* The answer comes while the request is being sent. */
static void a_refusal_before_the_end_of_the_request_is_heard(void **state)
{
    size_t n = (size_t)16 << 20;
    coco_str text = { malloc(n), n };
    float v[2];

    (void)state;
    memset((char *)(uintptr_t)text.p, 'x', n);
    PLAN(.words = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!", .deaf = true, .close = true);
    open_with(one_line());
    coco_embed_call call = { .texts = &text, .n = 1, .vectors = v };
    assert_int_equal(coco_embed_texts(e, &call, &err), COCO_EINVAL);
    assert_non_null(strstr(err.msg, "is too large: answered 413: no!"));
    free((void *)(uintptr_t)text.p);
}

static size_t open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    size_t n = 0;

    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

static void no_connection_is_left_open(void **state)
{
    size_t before;

    (void)state;
    open_with(one_line());
    coco_embedder_close(e);
    e = NULL;
    before = open_files();
    for (size_t i = 0; i < 5; i++) {
        PLAN(.words = forms[0].words, .cut = i * 20);
        open_with(one_line());
        ok(ask());
        coco_embedder_close(e);
        e = NULL;
    }
    for (int i = 0; i < 500 && open_files() != before; i++) pause_ms(10); /* the server closes its ends by itself */
    assert_int_equal(open_files(), before);
}

/* ---- Requests ---- */

/* libcurl carries every request where there is a proxy, also for hosts that don't need it. */
static void by_libcurl(void)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("no_proxy", "127.0.0.1", 1);
}

static void the_request_is_the_one_that_libcurl_sends(void **state)
{
    static const char *const ends[] = { "", "/", "/a/../embeddings", "/x/embeddings?api=1&q=a+b", "#part" };
    coco_embedder_opts o = one_line();
    char url[200], head[sizeof s.head], by_curl[sizeof s.head];

    (void)state;
    PLAN(.words = forms[0].words);
    setenv("COCO_TEST_KEY", "sk-key", 1);
    o.url = url;
    for (size_t i = 0; i < 2 * sizeof ends / sizeof ends[0]; i++) {
        snprintf(url, sizeof url, "%s%s", s.url, ends[i / 2]);
        o.key_env = i % 2 ? "COCO_TEST_KEY" : NULL;
        unsetenv("http_proxy");
        open_with(o);
        ok(ask());
        last_head(head);
        by_libcurl();
        open_with(o);
        ok(ask());
        last_head(by_curl);
        assert_string_equal(head, by_curl);
    }
    unsetenv("COCO_TEST_KEY");
}

static void proxies_and_passwords_are_left_to_libcurl(void **state)
{
    coco_embedder_opts o = one_line();
    char proxy[80], url[sizeof s.url + 40], head[sizeof s.head];

    (void)state;
    PLAN(.words = forms[0].words);
    snprintf(proxy, sizeof proxy, "%.*s", (int)(strlen(s.url) - 3), s.url);
    snprintf(url, sizeof url, "http://name:password@%.50s", s.url + 7);
    o.url = url;
    open_with(o);
    ok(ask());
    last_head(head);
    assert_non_null(strstr(head, "Authorization: Basic bmFtZTpwYXNzd29yZA=="));
    setenv("http_proxy", proxy, 1);
    unsetenv("no_proxy");
    o.url = "http://no.such.host.invalid/v1";
    open_with(o);
    ok(ask());
    last_head(head);
    assert_ptr_equal(strstr(head, "POST http://no.such.host.invalid/v1/embeddings HTTP/1.1\r\n"), head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRIPTED(every_form_of_an_answer_is_read_wherever_it_is_split),
        SCRIPTED(connections_are_kept_where_the_answer_allows_it),
        SCRIPTED(an_answer_cut_off_at_any_byte_is_asked_for_again),
        SCRIPTED(an_answer_that_stays_cut_off_is_an_error_that_says_so),
        SCRIPTED(a_kept_connection_that_was_closed_is_replaced),
        SCRIPTED(what_comes_unasked_is_no_answer),
        SCRIPTED(nonsense_is_a_clear_error),
        SCRIPTED(endless_answers_are_cut_off),
        SCRIPTED(an_answer_that_stalls_is_given_up_after_timeout_ms),
        SCRIPTED(a_refusal_before_the_end_of_the_request_is_heard),
        SCRIPTED(no_connection_is_left_open),
        SCRIPTED(the_request_is_the_one_that_libcurl_sends),
        SCRIPTED(proxies_and_passwords_are_left_to_libcurl),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
