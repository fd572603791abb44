/* test_embed_update.c - the embedder in updates: memos, batches, context, what is kept (S4.4, S6, S9.6). */
#include "embed_client.h"

#define CHUNKS 10000

static coco_key EMBEDDER = COCO_KEY("embedder", .detect_change = true);
static coco_embedder_opts opts; /* of the embedder that setup provides */
static int changed = -1;        /* the chunk that has another text */
static size_t nchunks;
static int right;               /* vectors that were as they should be */

static coco_status provide(coco_ctx *cx, void *user)
{
    (void)user;
    return coco_embedder_provide(cx, &EMBEDDER, &opts);
}

static void chunk_text(char *text, size_t size, size_t i)
{
    snprintf(text, size, "chunk %zu%s", i, (int)i == changed ? ", changed" : "");
}

static coco_value *chunks(coco_ctx *cx)
{
    coco_value *items = coco_alloc(cx, nchunks * sizeof *items);
    char text[64];

    for (size_t i = 0; items && i < nchunks; i++) {
        chunk_text(text, sizeof text, i);
        items[i] = coco_text_n(coco_copy(cx, coco_str_of(text)));
    }
    return items;
}

/* The identity of the embedder is the schema of the table; the vectors are only looked at. */
COCO_FN(embed_main, ())
{
    coco_value *items = chunks(cx), *vectors = coco_alloc(cx, nchunks * sizeof *vectors);
    coco_value embedder = coco_context(cx, &EMBEDDER);
    coco_embedder *it = coco_object_of(embedder, &coco_embedder_class);
    coco_target *tab;

    if (!items || !vectors) return COCO_ENOMEM;
    COCO_TRY(coco_error(cx));
    COCO_TRY(mount_tab(cx, "tab", coco_embedder_identity(it), &tab));
    COCO_TRY(coco_map(cx, &coco_embed, items, nchunks, COCO_ARGS(embedder), vectors));
    right = 0;
    for (size_t i = 0; i < nchunks; i++)
        right += coco_count(vectors[i]) == coco_embedder_dimensions(it) &&
                 vector_is_of(vectors[i].as.s.p.floats, coco_count(vectors[i]), coco_text_of(items[i]));
    return coco_declare(cx, tab, coco_int(1), coco_int(right));
}

/* One chunk of many components, each with a call of its own. */
COCO_FN(embed_chunk, (coco_value, i), .memo = true)
{
    coco_value v, embedder = coco_context(cx, &EMBEDDER);
    char text[64];

    chunk_text(text, sizeof text, (size_t)coco_int_of(coco_at(i, 1)));
    COCO_TRY(coco_call(cx, &coco_embed, COCO_ARGS(coco_text(text), embedder), &v));
    if (!vector_is_of(v.as.s.p.floats, coco_count(v), coco_str_of(text))) return COCO_EFAIL;
    return coco_declare(cx, crate(cx), coco_int(coco_int_of(coco_at(i, 1))), coco_int(1));
}

static char listing[40000];

COCO_FN(components_main, ())
{
    return coco_mount_each(cx, COCO_AUTO, &embed_chunk, items(cx, listing, false), COCO_NOARGS);
}

static int world_up(void **state)
{
    if (begin(state) != 0 || world_begin(state) != 0) return -1;
    opts = plain();
    nchunks = 100;
    changed = -1;
    w.env_config.setup = provide;
    program(&embed_main);
    return 0;
}

static int world_down(void **state)
{
    int rc = world_end(state);

    return rc | end(state);
}
#define UPDATED(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

/* ---- Memos ---- */

/* What must be shown: 10,000 chunks with one text changed are one request. */
static void one_changed_text_of_ten_thousand_is_one_request(void **state)
{
    (void)state;
    nchunks = CHUNKS;
    update(NULL);
    assert_int_equal(right, CHUNKS);
    assert_int_equal(server.texts, CHUNKS);
    assert_int_equal(embed_server_repeats(&server), 0);
    restart();
    embed_server_forget(&server);
    changed = 7777;
    update(OPTS(.full_reprocess = false));
    assert_int_equal(right, CHUNKS);
    assert_int_equal(server.requests, 1);
    assert_int_equal(server.texts, 1);
    assert_string_equal(server.log[0], "chunk 7777, changed");
}

static void nothing_changed_is_no_request(void **state)
{
    (void)state;
    update(NULL);
    restart();
    embed_server_forget(&server);
    update(NULL);
    assert_int_equal(server.requests, 0);
}

/* The engine's batches of 1,024 are cut into requests of 64, of which eight are under way at a time. */
static void a_map_keeps_as_many_requests_under_way_as_allowed(void **state)
{
    (void)state;
    nchunks = 1024;
    server.delay_ms = 20;
    update(NULL);
    assert_int_equal(server.requests, 16);
    assert_int_equal(server.most_texts, 64);
    assert_int_equal(server.peak, 8);
}

/* S9.6: calls of different components meet in a batch. */
static void components_on_threads_share_requests(void **state)
{
    size_t used = 0;

    (void)state;
    for (int i = 0; i < 500; i++) used += (size_t)snprintf(listing + used, sizeof listing - used, "%d=%d ", i, i);
    program(&components_main);
    w.config.threads = 64;
    update(NULL);
    assert_int_equal(server.texts, 500);
    assert_int_equal(embed_server_repeats(&server), 0);
#ifndef COCO_SMALL /* with tiny limits few components run at a time */
    assert_true(server.requests <= 125);
#endif
}

/* ---- Another model, another size, another place ---- */

static void another_model_embeds_anew_and_rebuilds_the_column(void **state)
{
    (void)state;
    update(NULL);
    restart();
    embed_server_forget(&server);
    opts.model = "another";
    update(NULL);
    assert_int_equal(server.texts, 100);
    expect_actions("~ shelf:\"tab\"");
}

static void another_size_embeds_anew_and_rebuilds_the_column(void **state)
{
    (void)state;
    opts.dimensions = 0;
    opts.dimensions_known = false;
    update(NULL);
    restart();
    embed_server_forget(&server);
    server.dimensions = 16; /* the same name gives other vectors: the probe sees it */
    update(NULL);
    assert_int_equal(right, 100);
    assert_int_equal(server.texts, 101);
    expect_actions("~ shelf:\"tab\"");
}

static void another_address_embeds_nothing(void **state)
{
    static embed_server other;

    (void)state;
    update(NULL);
    restart();
    assert_true(embed_server_start(&other));
    opts.url = other.url;
    opts.max_texts = 3;
    opts.encoding = COCO_EMBED_BASE64;
    update(NULL);
    assert_int_equal(other.requests, 0);
    restart();
    embed_server_stop(&other);
}

/* ---- Failures ---- */

static void a_text_that_is_too_large_fails_alone_and_the_rest_is_kept(void **state)
{
    (void)state;
    changed = 42;
    server.max_bytes = 12;
    update_fails(COCO_EINVAL, NULL);
    assert_non_null(strstr(w.err.msg, "a text of 17 bytes is too large"));
    assert_int_equal(server.texts, 99);
    changed = -1;
    update(NULL);
    assert_int_equal(server.texts, 100);
    assert_int_equal(embed_server_repeats(&server), 0);
}

/* A server that refuses everything is asked once, not once for each half of the batch. */
static void a_refusal_fails_the_batch_with_one_request(void **state)
{
    (void)state;
    server.fail_times = -1;
    server.fail_status = 403;
    update_fails(COCO_EACCESS, NULL);
    assert_true(server.requests <= 8);
    assert_non_null(strstr(w.err.msg, "answered 403: try again"));
}

static void the_update_after_a_failure_embeds_only_what_is_missing(void **state)
{
    (void)state;
    nchunks = 1000;
    opts.max_requests = 1;
    server.poison = "chunk 512";
    update_fails(COCO_EFAIL, NULL);
    assert_int_equal(server.texts, 512);
    server.poison = NULL;
    update(NULL);
    assert_int_equal(server.texts, 1000);
    assert_int_equal(embed_server_repeats(&server), 0);
}

static void *stop_soon(void *arg)
{
    (void)arg;
    usleep(100000);
    coco_app_stop(w.app);
    return NULL;
}

static void a_stop_request_ends_the_wait(void **state)
{
    double t = embed_clock();
    pthread_t thread;

    (void)state;
    server.delay_ms = 3000;
    assert_int_equal(open_world(), COCO_OK);
    pthread_create(&thread, NULL, stop_soon, NULL);
    update_fails(COCO_ESTOP, NULL);
    pthread_join(thread, NULL);
    assert_true(embed_clock() - t < 2);
}

/* ---- The key ---- */

#define KEY "sk-a-very-secret-key"

/* C0.5: neither messages nor the database hold the key. */
static void the_key_is_in_no_event_and_not_in_the_database(void **state)
{
    char path[100], *all;
    FILE *f;
    size_t n;

    (void)state;
    setenv("COCO_TEST_KEY", KEY, 1);
    opts.key_env = "COCO_TEST_KEY";
    server.key = KEY;
    update(NULL);
    server.key = "another";
    changed = 5;
    update_fails(COCO_EACCESS, NULL);
    unsetenv("COCO_TEST_KEY");
    assert_non_null(strstr(w.err.msg, "wrong key: Bearer [key]"));
    for (size_t i = 0; i < w.events.n; i++) assert_null(strstr(w.events.v[i], "secret"));
    for (size_t i = 0; i < w.failures.n; i++) assert_null(strstr(w.failures.v[i], "secret"));
    snprintf(path, sizeof path, "%s/data.mdb", w.dir);
    assert_non_null(f = fopen(path, "rb"));
    assert_non_null(all = malloc(1 << 24));
    n = fread(all, 1, 1 << 24, f);
    fclose(f);
    for (size_t i = 0; i + sizeof KEY <= n; i++) assert_true(memcmp(all + i, KEY, sizeof KEY - 1) != 0);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPDATED(one_changed_text_of_ten_thousand_is_one_request),
        UPDATED(nothing_changed_is_no_request),
        UPDATED(a_map_keeps_as_many_requests_under_way_as_allowed),
        UPDATED(components_on_threads_share_requests),
        UPDATED(another_model_embeds_anew_and_rebuilds_the_column),
        UPDATED(another_size_embeds_anew_and_rebuilds_the_column),
        UPDATED(another_address_embeds_nothing),
        UPDATED(a_text_that_is_too_large_fails_alone_and_the_rest_is_kept),
        UPDATED(a_refusal_fails_the_batch_with_one_request),
        UPDATED(the_update_after_a_failure_embeds_only_what_is_missing),
        UPDATED(a_stop_request_ends_the_wait),
        UPDATED(the_key_is_in_no_event_and_not_in_the_database),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
