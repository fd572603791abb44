/* What a server says, as an answer over the embedder's own HTTP: however it is cut into pieces, the same is read, or
 * the same is wrong with it. The first byte says whether the connection was used before and how it ends, the second how
 * long pieces are. */
#define _GNU_SOURCE /* as the part does */
#include "fuzz.h"

#include "../ops/embed.c" /* in place of its object */

typedef struct reading {
    coco__emb_http http;
    coco__emb_piece piece;
    coco__emb_fate fate;
} reading;

/* Reads an answer in pieces of step bytes. */
static void read_in(reading *r, coco_embedder *e, const char *p, size_t n, size_t step, bool used, int error)
{
    memset(r, 0, sizeof *r);
    r->piece = (coco__emb_piece){ .e = e, .limit = 200 };
    for (; n && r->fate == coco__emb_more; p += step, n -= step) {
        if (step > n) step = n;
        r->fate = coco__emb_feed(&r->http, &r->piece, p, step);
    }
    if (r->fate == coco__emb_more) r->fate = coco__emb_feed_end(&r->http, &r->piece, used, error);
    if (n) r->http.keep = false;
}

static void are_equal(const reading *a, const reading *b)
{
    PROMISE(a->fate == b->fate);
    if (a->fate == coco__emb_odd) return; /* of which all is forgotten */
    PROMISE(a->http.keep == b->http.keep || a->fate != coco__emb_whole);
    PROMISE(a->piece.out.code == b->piece.out.code && a->piece.out.status == b->piece.out.status);
    PROMISE(a->piece.out.overflow == b->piece.out.overflow);
    PROMISE(strcmp(a->piece.out.location, b->piece.out.location) == 0);
    if (a->piece.out.overflow) return; /* the piece that doesn't fit is left out */
    PROMISE(a->piece.answer.n == b->piece.answer.n);
    PROMISE(a->piece.answer.n == 0 || memcmp(a->piece.answer.p, b->piece.answer.p, a->piece.answer.n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static coco_embedder e = { .url = (char *)(uintptr_t)"http://localhost/v1/embeddings" };
    static reading whole, ones, pieces;
    bool used;
    int error;

    if (n < 2) return 0;
    used = data[0] & 1;
    error = data[0] & 2 ? ECONNRESET : 0;
    read_in(&whole, &e, (const char *)data + 2, n - 2, n, used, error);
    read_in(&ones, &e, (const char *)data + 2, n - 2, 1, used, error);
    read_in(&pieces, &e, (const char *)data + 2, n - 2, 2 + data[1], used, error);
    PROMISE(whole.piece.answer.n <= whole.piece.limit);
    are_equal(&whole, &ones);
    are_equal(&whole, &pieces);
    if (whole.fate == coco__emb_whole) PROMISE(whole.piece.out.status >= 200 && whole.piece.out.code == CURLE_OK);
    if (whole.fate == coco__emb_broken) PROMISE(whole.piece.out.code != CURLE_OK);
    coco__emb_buf_free(&e, &whole.piece.answer);
    coco__emb_buf_free(&e, &ones.piece.answer);
    coco__emb_buf_free(&e, &pieces.piece.answer);
    return 0;
}
