/* test_embed.c - the embedder against a real HTTP server that delays, fails, limits and breaks off: batches, limits,
 * threads, tries, halves. The rules are those of the manual in ops/embed.h. */
#include "embed_client.h"

/* ---- Batches and limits ---- */

static void every_text_is_embedded_exactly_once_and_gets_its_own_vector(void **state)
{
    (void)state;
    open_with(plain());
    ok(embed_n(1000, NULL));
    assert_int_equal(server.texts, 1000);
    assert_int_equal(embed_server_repeats(&server), 0);
    assert_int_equal(server.requests, 16); /* of 64 texts */
}

static void equal_texts_of_a_call_are_sent_once(void **state)
{
    coco_str t[6] = { COCO_STR("a"), COCO_STR("b"), COCO_STR("a"), COCO_STR(""), COCO_STR("b"), { NULL, 0 } };
    float v[6 * 8];

    (void)state;
    open_with(plain());
    ok(coco_embed_texts(e, &(coco_embed_call){ .texts = t, .n = 6, .vectors = v }, &err));
    for (size_t i = 0; i < 6; i++) assert_true(vector_is_of(v + i * 8, 8, t[i].p ? t[i] : COCO_STR("")));
    assert_int_equal(server.texts, 3);
}

/* Texts of one length, beginning, middle and end are told apart all the same, however many. */
static void texts_that_are_nearly_equal_are_told_apart(void **state)
{
    static const size_t counts[] = { 2, 50, 3000 };
    enum { MOST = 3000, BYTES = 300 };
    char *all = malloc((size_t)MOST * BYTES), number[8];
    float *v = malloc(sizeof(float) * 2 * MOST * 8);
    coco_str t[2 * MOST];

    (void)state;
    memset(all, 'x', (size_t)MOST * BYTES);
    for (size_t i = 0; i < MOST; i++)
        memcpy(all + i * BYTES + 100, number, (size_t)snprintf(number, sizeof number, "%zu", i));
    open_with(plain());
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        size_t n = counts[k]; /* each of them twice */
        embed_server_forget(&server);
        for (size_t i = 0; i < 2 * n; i++) t[i] = (coco_str){ all + i % n * BYTES, BYTES };
        ok(coco_embed_texts(e, &(coco_embed_call){ .texts = t, .n = 2 * n, .vectors = v }, &err));
        for (size_t i = 0; i < 2 * n; i++) assert_true(vector_is_of(v + i * 8, 8, t[i]));
        assert_int_equal(server.texts, n);
    }
    free(all);
    free(v);
}

static void a_batch_has_at_most_max_texts_and_max_bytes(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.max_texts = 10;
    open_with(o);
    ok(embed_n(95, NULL));
    assert_int_equal(server.most_texts, 10);
    assert_int_equal(server.requests, 10);
    embed_server_forget(&server);
    o.max_texts = 0;
    o.max_bytes = 20; /* three texts of six bytes */
    open_with(o);
    ok(embed_n(9, NULL));
    assert_int_equal(server.most_texts, 3);
}

static void a_text_longer_than_max_bytes_goes_alone(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.max_bytes = 2;
    open_with(o);
    ok(embed_n(5, NULL));
    assert_int_equal(server.requests, 5);
}

static void as_many_requests_are_under_way_as_allowed_and_no_more(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.max_texts = 1;
    o.max_requests = 3;
    server.delay_ms = 20;
    open_with(o);
    ok(embed_n(12, NULL));
    assert_int_equal(server.peak, 3);
}

/* No second may have more requests than the limit, tries counted. */
static void requests_begin_no_faster_than_the_rate(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.max_texts = 1;
    o.requests_per_second = 50;
    server.fail_times = 5;
    server.fail_status = 503;
    open_with(o);
    ok(embed_n(15, NULL));
    assert_int_equal(server.requests, 20);
    assert_true(server.times[19] - server.times[0] >= 0.36); /* 19 intervals of 20 ms, less what a thread may be late */
}

/* ---- Many threads ---- */

typedef struct share {
    pthread_t thread;
    size_t from, n;
    coco_status rc;
    bool right;
} share;

static void *embed_share(void *arg)
{
    share *s = arg;
    coco_str *t = numbered(s->from + s->n);
    float *v = calloc(s->n * 8, sizeof *v);

    s->rc = coco_embed_texts(e, &(coco_embed_call){ .texts = t + s->from, .n = s->n, .vectors = v }, NULL);
    s->right = s->rc == COCO_OK;
    for (size_t i = 0; i < s->n && s->right; i++) s->right = vector_is_of(v + i * 8, 8, t[s->from + i]);
    free(v);
    texts_free(t, s->from + s->n);
    return NULL;
}

static void threads_share(share *s, size_t n, size_t each)
{
    for (size_t i = 0; i < n; i++) {
        s[i] = (share){ .from = i * each, .n = each };
        assert_int_equal(pthread_create(&s[i].thread, NULL, embed_share, &s[i]), 0);
    }
    for (size_t i = 0; i < n; i++) pthread_join(s[i].thread, NULL);
}

static void the_limits_hold_over_all_threads(void **state)
{
    coco_embedder_opts o = plain();
    share s[32];

    (void)state;
    o.max_texts = 2;
    o.max_requests = 4;
    server.delay_ms = 1;
    open_with(o);
    threads_share(s, 32, 10);
    for (size_t i = 0; i < 32; i++) assert_true(s[i].right);
    assert_true(server.peak <= 4);
    assert_int_equal(server.texts, 320);
    assert_int_equal(embed_server_repeats(&server), 0);
}

static void threads_get_their_vectors_also_when_requests_fail(void **state)
{
    coco_embedder_opts o = plain();
    share s[16];

    (void)state;
    o.max_texts = 3;
    o.max_tries = 50;
    server.fail_times = 40;
    server.fail_status = 500;
    open_with(o);
    threads_share(s, 16, 20);
    for (size_t i = 0; i < 16; i++) assert_true(s[i].right);
    assert_int_equal(embed_server_repeats(&server), 0);
}

/* ---- Tries ---- */

static void what_may_pass_is_tried_again(void **state)
{
    const unsigned statuses[] = { 408, 409, 425, 429, 500, 502, 503, 504, 529 };

    (void)state;
    open_with(plain());
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        embed_server_forget(&server);
        server.fail_times = 2;
        server.fail_status = statuses[i];
        ok(embed_n(3, NULL));
        assert_int_equal(server.requests, 3);
        assert_int_equal(server.texts, 3);
    }
    assert_int_equal(coco_embedder_stats_get(e).retries, 18);
}

static void other_refusals_are_not_tried_again(void **state)
{
    const struct { unsigned status; coco_status rc; } no[] = {
        { 400, COCO_EFAIL }, { 401, COCO_EACCESS }, { 403, COCO_EACCESS }, { 404, COCO_ENOTFOUND }, { 422, COCO_EFAIL }
    };

    (void)state;
    open_with(plain());
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        embed_server_forget(&server);
        server.fail_times = 1;
        server.fail_status = no[i].status;
        server.fail_body = "{\"error\":{\"message\":\"no such thing\"}}";
        assert_int_equal(embed_n(3, NULL), no[i].rc);
        assert_non_null(strstr(err.msg, "no such thing"));
        assert_false(err.transient);
        assert_int_equal(server.requests, 1);
    }
}

static void tries_end_with_a_transient_error_that_counts_them(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.max_tries = 3;
    server.fail_times = -1;
    server.fail_status = 503;
    server.fail_body = "busy";
    open_with(o);
    assert_int_equal(embed_n(1, NULL), COCO_EIO);
    assert_int_equal(server.requests, 3);
    assert_true(err.transient);
    assert_non_null(strstr(err.msg, "answered 503: busy (3 tries in "));
}

static void the_budget_of_time_ends_the_tries(void **state)
{
    coco_embedder_opts o = plain();
    double t = embed_clock();

    (void)state;
    o.max_tries = 1000;
    o.backoff_ms = 40;
    o.retry_ms = 200;
    server.fail_times = -1;
    server.fail_status = 500;
    open_with(o);
    assert_int_equal(embed_n(1, NULL), COCO_EIO);
    assert_true(embed_clock() - t < 2);
    assert_true(server.requests > 1 && server.requests < 15);
}

static void waits_double(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.backoff_ms = 40;
    server.fail_times = 4;
    server.fail_status = 500;
    open_with(o);
    ok(embed_n(1, NULL));
    for (int i = 0; i < 4; i++) /* at least half of 40, 80, 160, 320 */
        assert_true(server.times[i + 1] - server.times[i] >= 0.020 * (1 << i) - 0.003);
    assert_true(server.times[4] - server.times[0] < 2);
}

static void retry_after_in_seconds_holds_back_every_request(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.max_texts = 1;
    o.max_requests = 1;
    server.fail_times = 1;
    server.fail_status = 429;
    server.fail_header = "Retry-After";
    server.fail_value = "1";
    open_with(o);
    ok(embed_n(4, NULL));
    assert_int_equal(server.requests, 5);
    for (size_t i = 1; i < 5; i++) assert_true(server.times[i] - server.times[0] >= 0.99);
}

static void retry_after_may_be_a_date(void **state)
{
    time_t at = time(NULL) + 2;
    char date[64];

    (void)state;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&at));
    server.fail_times = 1;
    server.fail_status = 503;
    server.fail_header = "Retry-After";
    server.fail_value = date;
    open_with(plain());
    ok(embed_n(1, NULL));
    assert_true(time(NULL) >= at);
    assert_true(server.times[1] - server.times[0] < 4);
}

static void a_retry_after_beyond_the_budget_fails_at_once(void **state)
{
    (void)state;
    server.fail_times = 1;
    server.fail_status = 429;
    server.fail_header = "Retry-After";
    server.fail_value = "3600";
    open_with(plain());
    assert_int_equal(embed_n(1, NULL), COCO_EFAIL);
    assert_true(err.transient);
    assert_non_null(strstr(err.msg, "asked to wait longer than retry_ms allows"));
}

static void an_answer_that_breaks_off_is_asked_for_again(void **state)
{
    (void)state;
    server.break_times = 2;
    open_with(plain());
    ok(embed_n(5, NULL));
    assert_int_equal(server.requests, 3);
    assert_int_equal(server.texts, 5);
}

static void a_connection_closed_without_an_answer_is_a_transient_error(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.max_tries = 2;
    server.answer = EMBED_CLOSED;
    open_with(o);
    assert_int_equal(embed_n(1, NULL), COCO_EIO);
    assert_true(err.transient);
    assert_non_null(strstr(err.msg, "Empty reply from server"));
}

static void a_server_that_is_not_there_is_a_transient_error_that_names_it(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.url = "http://127.0.0.1:1/v1";
    o.max_tries = 2;
    open_with(o);
    assert_int_equal(embed_n(1, NULL), COCO_EIO);
    assert_true(err.transient);
    assert_non_null(strstr(err.msg, "embedding by test at http://127.0.0.1:1/v1/embeddings: Failed to connect"));
}

static void a_slow_answer_is_given_up_after_timeout_ms(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.timeout_ms = 50;
    o.max_tries = 2;
    server.delay_ms = 300;
    open_with(o);
    assert_int_equal(embed_n(1, NULL), COCO_EIO);
    assert_non_null(strstr(err.msg, "timed out"));
}

static void connections_are_kept(void **state)
{
    (void)state;
    open_with(plain());
    for (int i = 0; i < 20; i++) ok(embed_n(1, NULL));
    assert_int_equal(MHD_get_daemon_info(server.daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections, 1);
}

/* ---- Too large ---- */

static void a_batch_that_is_too_large_is_halved(void **state)
{
    (void)state;
    server.max_texts = 10;
    open_with(plain());
    ok(embed_n(64, NULL));
    assert_int_equal(server.texts, 64);
    assert_int_equal(embed_server_repeats(&server), 0);
    assert_int_equal(server.requests, 1 + 2 + 4 + 8); /* 64, 32, 16, 8 */
}

static void a_text_that_is_too_large_fails_alone(void **state)
{
    coco_status each[20];
    coco_str *t = numbered(20);
    float v[20 * 8];
    coco_status rc;

    (void)state;
    free((void *)(uintptr_t)t[13].p);
    t[13] = coco_str_of(strdup("a text that is longer than this model's context"));
    server.max_bytes = 10;
    open_with(plain());
    rc = coco_embed_texts(e, &(coco_embed_call){ .texts = t, .n = 20, .vectors = v, .each = each }, &err);
    assert_int_equal(rc, COCO_EINVAL);
    assert_non_null(strstr(err.msg, "a text of 47 bytes is too large: answered 400: This model's maximum"));
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(each[i], i == 13 ? COCO_EINVAL : COCO_OK);
        if (i != 13) assert_true(vector_is_of(v + i * 8, 8, t[i]));
    }
    assert_int_equal(server.texts, 19);
    assert_int_equal(embed_server_repeats(&server), 0);
    texts_free(t, 20);
}

static void signs_of_a_batch_too_large_are_those_of_known_servers(void **state)
{
    const struct { unsigned status; const char *body; } say[] = {
        { 413, "{\"error\":\"batch size 64 > maximum allowed batch size 32\",\"error_type\":\"Validation\"}" },
        { 400, "{\"error\":{\"message\":\"Invalid 'input': maximum request size is 300000 tokens per request.\"}}" },
        { 400, "{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"no\"}}" },
        { 500, "{\"error\":{\"message\":\"input (600 tokens) is too large to process\"}}" },
        { 400, "{\"error\":\"the input length exceeds the context length\"}" },
        { 422, "{\"detail\":\"Too Many Inputs\"}" },
    };

    (void)state;
    open_with(plain());
    for (size_t i = 0; i < sizeof say / sizeof say[0]; i++) {
        embed_server_forget(&server);
        server.fail_times = 1;
        server.fail_status = say[i].status;
        server.fail_body = say[i].body;
        ok(embed_n(4, NULL));
        assert_int_equal(server.requests, 3);
    }
}

static void a_failure_keeps_the_vectors_that_came_before_it(void **state)
{
    coco_embedder_opts o = plain();
    coco_status each[40];

    (void)state;
    o.max_texts = 1;
    o.max_requests = 1;
    server.poison = "text 7";
    open_with(o);
    assert_int_equal(embed_n(40, each), COCO_EFAIL);
    for (size_t i = 0; i < 40; i++) assert_int_equal(each[i], i < 7 ? COCO_OK : COCO_EFAIL);
    assert_int_equal(server.requests, 8); /* nothing more is sent */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(every_text_is_embedded_exactly_once_and_gets_its_own_vector),
        SERVED(equal_texts_of_a_call_are_sent_once),
        SERVED(texts_that_are_nearly_equal_are_told_apart),
        SERVED(a_batch_has_at_most_max_texts_and_max_bytes),
        SERVED(a_text_longer_than_max_bytes_goes_alone),
        SERVED(as_many_requests_are_under_way_as_allowed_and_no_more),
        SERVED(requests_begin_no_faster_than_the_rate),
        SERVED(the_limits_hold_over_all_threads),
        SERVED(threads_get_their_vectors_also_when_requests_fail),
        SERVED(what_may_pass_is_tried_again),
        SERVED(other_refusals_are_not_tried_again),
        SERVED(tries_end_with_a_transient_error_that_counts_them),
        SERVED(the_budget_of_time_ends_the_tries),
        SERVED(waits_double),
        SERVED(retry_after_in_seconds_holds_back_every_request),
        SERVED(retry_after_may_be_a_date),
        SERVED(a_retry_after_beyond_the_budget_fails_at_once),
        SERVED(an_answer_that_breaks_off_is_asked_for_again),
        SERVED(a_connection_closed_without_an_answer_is_a_transient_error),
        SERVED(a_server_that_is_not_there_is_a_transient_error_that_names_it),
        SERVED(a_slow_answer_is_given_up_after_timeout_ms),
        SERVED(connections_are_kept),
        SERVED(a_batch_that_is_too_large_is_halved),
        SERVED(a_text_that_is_too_large_fails_alone),
        SERVED(signs_of_a_batch_too_large_are_those_of_known_servers),
        SERVED(a_failure_keeps_the_vectors_that_came_before_it),
    };

    const struct CMUnitTest carried[] = {
        SERVED(every_text_is_embedded_exactly_once_and_gets_its_own_vector),
        SERVED(as_many_requests_are_under_way_as_allowed_and_no_more),
        SERVED(the_limits_hold_over_all_threads),
        SERVED(threads_get_their_vectors_also_when_requests_fail),
        SERVED(what_may_pass_is_tried_again),
        SERVED(retry_after_in_seconds_holds_back_every_request),
        SERVED(an_answer_that_breaks_off_is_asked_for_again),
        SERVED(a_connection_closed_without_an_answer_is_a_transient_error),
        SERVED(a_server_that_is_not_there_is_a_transient_error_that_names_it),
        SERVED(a_slow_answer_is_given_up_after_timeout_ms),
        SERVED(connections_are_kept),
        SERVED(a_batch_that_is_too_large_is_halved),
    };
    int failed = cmocka_run_group_tests_name("over its own HTTP", tests, NULL, NULL);

    curls = true;
    return failed + cmocka_run_group_tests_name("over libcurl's", carried, NULL, NULL);
}
