/* embed_client.h - what the tests of the embedder share: a server and an embedder for each test, and an allocator that
 * counts. Numbered texts have vectors that can be told apart. */
#ifndef COCO_TEST_EMBED_CLIENT_H
#define COCO_TEST_EMBED_CLIENT_H

#include "harness.h"
#include "embed_server.h"
#include "ops/embed.h"

static embed_server server;
static coco_embedder *e;
static coco_err err;
static long emb_live;    /* allocations of the embedder that aren't freed */
static bool curls;       /* libcurl is to carry every request, as it does where a proxy is set, also for those without */
static long emb_fail_in; /* so many more succeed before one fails; 0: none does */

static inline void *emb_realloc(void *self, void *p, size_t n)
{
    (void)self;
    if (n && emb_fail_in && --emb_fail_in == 0) return NULL;
    if (!p && n) __atomic_add_fetch(&emb_live, 1, __ATOMIC_RELAXED);
    if (n) return realloc(p, n);
    if (p) __atomic_sub_fetch(&emb_live, 1, __ATOMIC_RELAXED);
    free(p);
    return NULL;
}

/* The options of most tests: short waits, eight known dimensions. */
static inline coco_embedder_opts plain(void)
{
    return (coco_embedder_opts){ .url = server.url, .model = "test", .dimensions = 8, .dimensions_known = true,
                                 .backoff_ms = 2, .allocator = { emb_realloc, NULL } };
}

static inline void open_with(coco_embedder_opts o)
{
    coco_embedder_close(e);
    if (coco_embedder_open(&o, &e, &err) != COCO_OK) fail_msg("%s", err.msg);
}

static inline int begin(void **state)
{
    (void)state;
    memset(&err, 0, sizeof err);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("no_proxy", "127.0.0.1", 1);
    if (!curls) unsetenv("http_proxy");
    return embed_server_start(&server) ? 0 : -1;
}

static inline int end(void **state)
{
    (void)state;
    coco_embedder_close(e);
    e = NULL;
    embed_server_stop(&server);
    assert_int_equal(emb_live, 0);
    return 0;
}
#define SERVED(name) cmocka_unit_test_setup_teardown(name, begin, end)

/* ---- Texts and vectors ---- */

/* "text 0", "text 1" … */
static inline coco_str *numbered(size_t n)
{
    coco_str *t = calloc(n, sizeof *t);

    for (size_t i = 0; i < n; i++) {
        char line[32];
        snprintf(line, sizeof line, "text %zu", i);
        t[i] = coco_str_of(strdup(line));
    }
    return t;
}

static inline void texts_free(coco_str *t, size_t n)
{
    for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)t[i].p);
    free(t);
}

static inline bool vector_is_of(const float *v, size_t dims, coco_str text)
{
    for (size_t j = 0; j < dims; j++)
        if (v[j] != embed_float(text.p, text.n, j)) return false;
    return true;
}

/* Embeds n numbered texts and compares every vector that should stand. */
static inline coco_status embed_n(size_t n, coco_status *each)
{
    coco_str *t = numbered(n);
    size_t dims = coco_embedder_dimensions(e);
    float *v = calloc(n * dims, sizeof *v);
    coco_status rc = coco_embed_texts(e, &(coco_embed_call){ .texts = t, .n = n, .vectors = v, .each = each }, &err);

    for (size_t i = 0; i < n; i++)
        if (each ? each[i] == COCO_OK : rc == COCO_OK) assert_true(vector_is_of(v + i * dims, dims, t[i]));
    free(v);
    texts_free(t, n);
    return rc;
}
#define ok(call) \
    do { \
        if ((call) != COCO_OK) fail_msg("%s", err.msg); \
    } while (0)

#endif /* COCO_TEST_EMBED_CLIENT_H */
