/* function.c - part of embed.c: an embedder as the engine sees it. */

/* The identity of an embedder: what its vectors depend on. */
coco_value coco_embedder_identity(const coco_embedder *e)
{
    return coco_map_value(e->identity, e->o.extra ? 3 : 2);
}

static coco_status coco__emb_memo_key(coco_ctx *cx, void *object, coco_value *key)
{
    (void)cx;
    *key = coco_embedder_identity(object);
    return COCO_OK;
}

coco_class coco_embedder_class = { .type = "coco_embedder", .memo_key = coco__emb_memo_key };

coco_value coco_embedder_value(coco_embedder *e) { return coco_object(&coco_embedder_class, e); }

static void coco__emb_close(void *embedder) { coco_embedder_close(embedder); }

coco_status coco_embedder_provide(coco_ctx *cx, const coco_key *key, const coco_embedder_opts *opts)
{
    coco_embedder *e;
    coco_err err;
    coco_status rc;

    if ((rc = coco_embedder_open(opts, &e, &err)) != COCO_OK) return coco_fail(cx, rc, "%s", err.msg);
    if ((rc = coco_provide_close(cx, key, coco_embedder_value(e), coco__emb_close)) != COCO_OK) coco_embedder_close(e);
    return rc;
}

/* The calls of a batch that one embedder is asked for. */
typedef struct coco__emb_asked {
    coco_ctx *cx;
    coco_str *texts;
    size_t *calls; /* text i's place in the batch */
    size_t n;
} coco__emb_asked;

static void coco__emb_asked_failed(void *group, size_t i, const coco_err *why)
{
    const coco__emb_asked *g = group;

    coco_batch_fail(g->cx, g->calls[i], why->code, "%s", why->msg);
}

/* Gathers what is left for the embedder of calls[first]; what is gathered has no null result any more. */
static void coco__emb_asked_fill(coco__emb_asked *g, const coco_args *calls, size_t n, size_t first,
                                 coco_value *results)
{
    g->n = 0;
    for (size_t i = first; i < n; i++) {
        if (results[i].kind != COCO_NULL || calls[i].v[1].as.s.u.object != calls[first].v[1].as.s.u.object) continue;
        g->calls[g->n] = i;
        g->texts[g->n++] = coco_text_of(calls[i].v[0]);
        results[i] = coco_bool(false);
    }
}

/* A failure is that of the calls it concerns, never of the batch: the engine would halve it and ask again, which has
 * been done here where it helps. */
COCO_BATCH_FN(coco_embed, (coco_str, text, coco_embedder *, embedder), .name = "coco_embed", .memo = true,
              .version = 1, .max_batch = 1024)
{
    coco__emb_asked g = { cx, coco_alloc(cx, n * sizeof *g.texts), coco_alloc(cx, n * sizeof *g.calls), 0 };

    if (!g.texts || !g.calls) return COCO_ENOMEM;
    for (size_t first = 0; first < n; first++) {
        coco_embedder *e = coco_object_of(calls[first].v[1], &coco_embedder_class);
        if (results[first].kind != COCO_NULL) continue;
        coco__emb_asked_fill(&g, calls, n, first, results);
        float *v = coco_alloc(cx, g.n * e->dimensions * sizeof *v);
        if (!v) return COCO_ENOMEM;
        coco_embed_call call = { .texts = g.texts, .n = g.n, .vectors = v, .cx = cx, .user = &g,
                                 .failed = coco__emb_asked_failed };
        coco_status rc = coco_embed_texts(e, &call, NULL);
        if (rc == COCO_ESTOP || rc == COCO_ENOMEM) return rc;
        for (size_t i = 0; i < g.n; i++) results[g.calls[i]] = coco_vector(v + i * e->dimensions, e->dimensions);
    }
    return COCO_OK;
}
