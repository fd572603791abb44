/* embed.h - texts to vectors by any server that answers as OpenAI's /v1/embeddings does, for cocoindex.h. Needs
 * libcurl (7.85 or later) and jansson.
 *
 * A whole program: each Markdown file below docs/ becomes a file with its vector. A text is sent once: while text and
 * model stay the same, its vector comes from the memo; another model, or another number of dimensions, embeds anew.
 *
 *     #include "cocoindex.h"
 *     #include "connectors/localfs.h"
 *     #include "ops/embed.h"
 *
 *     static coco_key EMBEDDER = COCO_KEY("embedder", .detect_change = true);
 *
 *     COCO_FN(vector_of, (coco_file *, file, coco_dir *, out), .memo = true)
 *     {
 *         coco_value v;
 *         coco_str text;
 *
 *         COCO_TRY(coco_file_read_text(cx, file, &text));
 *         COCO_TRY(coco_call(cx, &coco_embed, COCO_ARGS(coco_text_n(text), coco_context(cx, &EMBEDDER)), &v));
 *         return coco_dir_declare_file(cx, out, coco_path_with_suffix(cx, file, ".f32"),
 *                                      (coco_str){ (const char *)v.as.s.p.floats, coco_count(v) * sizeof(float) });
 *     }
 *
 *     COCO_FN(app_main, ())
 *     {
 *         coco_dir *out;
 *
 *         COCO_TRY(coco_mount_dir(cx, coco_text("vectors"), &out));
 *         return coco_mount_each(cx, COCO_AUTO, &vector_of,
 *                                coco_walk_dir(cx, coco_text("docs"), &(coco_walk_opts){ .include = "**.md" }),
 *                                COCO_ARGS(coco_dir_value(out)));
 *     }
 *
 *     static coco_status setup(coco_ctx *cx, void *user)
 *     {
 *         (void)user;
 *         return coco_embedder_provide(cx, &EMBEDDER, &(coco_embedder_opts){
 *             .url = "https://api.openai.com/v1", .model = "text-embedding-3-small", .key_env = "OPENAI_API_KEY" });
 *     }
 *
 *     int main(int argc, char **argv)
 *     {
 *         return coco_main(argc, argv, &(coco_app_config){ .name = "vectors", .main = &app_main, .setup = setup }, 1);
 *     }
 *
 * Build: cc vectors.c cocoindex_lmdb.c connectors/localfs.c ops/embed.c -llmdb -lcurl -ljansson -pthread (embed.c
 * includes its parts in embed/).
 *
 * Identity. The memo key of an embedder is {"model", "dimensions"}, with "extra" where the options have it; neither the
 * address nor the key counts, so a server may move. Provided under a context key with detect_change it makes whatever
 * reads it, and a vector column that names the key, new when model or dimensions are.
 *
 * Requests. Texts of one call, and of one batch of the engine, are put together up to max_texts and max_bytes; equal
 * ones are sent once. At most max_requests are under way and at most requests_per_second begin, over all threads that
 * use the embedder; it has no thread of its own, the calling threads carry each other's requests. Connections are kept.
 *
 * What fails. Tried again with exponential backoff and jitter, up to max_tries and within retry_ms: the statuses 408,
 * 409, 425, 429 and 5xx, and failures of the transport (no connection, broken off, timed out). A Retry-After (seconds
 * or a date) of such an answer holds back all requests of the embedder; one beyond retry_ms fails at once. A batch is
 * too large when the answer is 413, or another 4xx that isn't tried again, or 500, and its text has one of "context
 * length", "context_length", "context size", "input length", "batch size", "too large", "is too long", "array too
 * long", "string too long", "too many inputs", "too many tokens", "tokens per request", "array_above_max_length" and
 * "string_above_max_length", in any case: it is cut in halves, down to one text, whose failure is that text's alone.
 * Every other failure (401, an answer that is no embedding of these texts, a redirect: none is followed) ends the
 * call: nothing more is sent, what is under way is awaited, and texts embedded until then have their vectors.
 *
 * The key is read from the environment when the embedder is opened, and sent to the server; it stands in no message,
 * log or database. Where an answer repeats it, the message shows [key]. Addresses are shown without user, password and
 * query.
 *
 * Vectors are float32. Numbers of a list are rounded to double and then to float, as numpy does it; base64 is of
 * little-endian float32, half the bytes and some thirty times as fast to read. So base64 is asked for, as OpenAI's own
 * clients do, unless the options or extra say otherwise; where an answer 4xx that isn't tried again, or 500 or 501,
 * names "encoding_format" or "base64", the request is sent again without, and so are all later ones. The answer's form
 * decides, whatever was asked for.
 *
 * Limits. An answer may have 1 MiB and, for each text, 1 KiB and 32 bytes a dimension (2 MiB while the number of
 * dimensions is unknown). Bytes of a text that are not UTF-8 are sent as U+FFFD. Proxies are libcurl's matter
 * (http_proxy and so on, as the environment has them when the embedder is opened). libcurl and jansson take their
 * memory from malloc; all else comes from the allocator. */
#ifndef COCO_EMBED_H
#define COCO_EMBED_H

#include "../cocoindex.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct coco_embedder coco_embedder; /* one model at one server */

extern coco_class coco_embedder_class;

typedef enum coco_embed_encoding {
    COCO_EMBED_AUTO,  /* base64; lists from a server that refuses it */
    COCO_EMBED_LIST,  /* numbers; nothing is said in the request: every server knows it */
    COCO_EMBED_BASE64 /* "encoding_format": "base64" */
} coco_embed_encoding;

/* All zero is the default, but url and model must be given. The strings are copied. */
typedef struct coco_embedder_opts {
    const char *url;        /* http or https; "/embeddings" is added, unless the path ends so or there is a query */
    const char *model;      /* as the server calls it */
    const char *key_env;    /* name of the environment variable that holds the key; NULL: no key is sent */
    const char *key_header; /* what stands before the key; NULL: "Authorization: Bearer " */
    const char *extra;      /* a JSON object whose members are added to each request: {"input_type":"passage"} */
    size_t dimensions;      /* asked of the server in each request; 0: what the model gives, found by one request when
                               the embedder is opened. At most 65,536 */
    bool dimensions_known;  /* dimensions is the model's own: not sent, and no request is made to find it */
    size_t max_texts;       /* in a request; 0: 64 */
    size_t max_bytes;       /* of the texts of a request, unless it has only one; 0: 256 KiB */
    unsigned max_requests;  /* under way at a time; 0: 8 */
    double requests_per_second; /* evenly spaced, tries counted; 0: no limit */
    unsigned connect_ms;    /* for a connection; 0: 10,000 */
    unsigned timeout_ms;    /* for one try; 0: 60,000 */
    unsigned max_tries;     /* of one request; 0: 6 */
    unsigned backoff_ms;    /* before the second try, doubling up to 20 s, of which a random half is left out; 0: 500 */
    unsigned retry_ms;      /* from the first failure of a request to its last try; 0: 60,000 */
    coco_embed_encoding encoding; /* what is asked for */
    coco_allocator allocator;     /* thread-safe; zero: realloc and free of the C library */
} coco_embedder_opts;

/* Opens an embedder; asks the server for the number of dimensions where the options don't say it. On failure *e is
 * NULL. Thread-safe: yes. Errors: COCO_EINVAL (an option), COCO_ENOTFOUND (the environment has no such variable),
 * COCO_ENOMEM, and those of coco_embed_texts. */
coco_status coco_embedder_open(const coco_embedder_opts *opts, coco_embedder **e, coco_err *err);
void coco_embedder_close(coco_embedder *e); /* when no thread uses it any more */

/* In a setup function: opens one and provides it under key, to be closed when the environment or app is. */
coco_status coco_embedder_provide(coco_ctx *cx, const coco_key *key, const coco_embedder_opts *opts);

coco_value coco_embedder_value(coco_embedder *e); /* as an argument or a context value */
/* {"model", "dimensions"}, and "extra" where there is one: what its vectors depend on. Borrows from e. */
coco_value coco_embedder_identity(const coco_embedder *e);
size_t coco_embedder_dimensions(const coco_embedder *e);
const char *coco_embedder_model(const coco_embedder *e);

/* Counts since the embedder was opened. */
typedef struct coco_embedder_stats {
    uint64_t requests; /* sent, second tries and the search for the dimensions included */
    uint64_t retries;  /* of these, tried again */
    uint64_t texts;    /* that got a vector */
    uint64_t tokens;   /* as the server counted them */
} coco_embedder_stats;
coco_embedder_stats coco_embedder_stats_get(coco_embedder *e); /* Thread-safe: yes. */

/* n texts to embed. */
typedef struct coco_embed_call {
    const coco_str *texts;
    size_t n;
    float *vectors;    /* n times dimensions of them: text i's begin at i * dimensions */
    coco_status *each; /* NULL, or a status for each text: 0 where its vector stands */
    coco_ctx *cx;      /* NULL, or the caller's: a stop request ends the call, and tokens count as its cost */
    void (*failed)(void *user, size_t i, const coco_err *why); /* NULL, or told of each text that has failed */
    void *user;
} coco_embed_call;

/* Embeds the texts and returns when all have their vectors or nothing more can be done. Returns the first failure in
 * the order of the texts; err is then transient if it was of the kinds that are tried again. Thread-safe: yes, a cx is
 * used on the calling thread only. Errors: COCO_EACCESS (401, 403), COCO_ENOTFOUND (404), COCO_EPARSE (no embedding of
 * these texts), COCO_EIO (transport, 5xx), COCO_EINVAL (one text is too large), COCO_EFAIL (any other answer),
 * COCO_ESTOP, COCO_EFORK, COCO_ENOMEM. */
coco_status coco_embed_texts(coco_embedder *e, const coco_embed_call *call, coco_err *err);

#ifdef __cplusplus
}
#else
/* (coco_str, text, coco_embedder *, embedder): the vector of text; memoized and batched. Over many texts:
 *     coco_map(cx, &coco_embed, texts, n, COCO_ARGS(coco_context(cx, &EMBEDDER)), vectors) */
COCO_FN_DECLARE(coco_embed);
#endif
#endif /* COCO_EMBED_H */
