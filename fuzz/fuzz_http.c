/* What a server says, as an answer over the embedder's own HTTP: however it is cut into pieces, and wherever they come
 * to, the same is read, or the same is wrong with it. The first byte says whether the connection was used before and
 * how it ends, the second how long pieces are. */
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

/* Reads an answer whose first step bytes come to where its body is wanted, as over a connection that was used before. */
static void read_placed(reading *r, coco_embedder *e, const char *p, size_t n, size_t step, bool used, int error)
{
    coco__emb_buf *a = &r->piece.answer;

    memset(r, 0, sizeof *r);
    r->piece = (coco__emb_piece){ .e = e, .limit = 200 };
    if (step > n) step = n;
    PROMISE(coco__emb_reserve(e, a, step));
    if (step) memcpy(a->p, p, step);
    if (step) r->fate = coco__emb_feed_first(&r->http, &r->piece, step);
    p += step, n -= step;
    if (n && r->fate == coco__emb_whole) r->http.keep = false;
    if (n && r->fate == coco__emb_more && r->http.next == coco__emb_length &&
        r->http.left <= r->piece.limit - coco__emb_heard(&r->piece).n) {
        size_t more = n < r->http.left + 1 ? n : (size_t)r->http.left + 1;
        PROMISE(coco__emb_add(e, a, p, more));
        a->n -= more;
        r->fate = coco__emb_feed_body(&r->http, &r->piece, more);
    } else if (n && r->fate == coco__emb_more) {
        r->fate = coco__emb_feed(&r->http, &r->piece, p, n);
    }
    if (r->fate == coco__emb_more) r->fate = coco__emb_feed_end(&r->http, &r->piece, used, error);
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
    PROMISE(coco_str_equal(coco__emb_heard(&a->piece), coco__emb_heard(&b->piece)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static coco_embedder e = { .url = (char *)(uintptr_t)"http://localhost/v1/embeddings" };
    static reading whole, ones, pieces, placed;
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
    read_placed(&placed, &e, (const char *)data + 2, n - 2, 2 + data[1], used, error);
    are_equal(&whole, &pieces);
    are_equal(&whole, &placed);
    if (whole.fate == coco__emb_whole) PROMISE(whole.piece.out.status >= 200 && whole.piece.out.code == CURLE_OK);
    if (whole.fate == coco__emb_broken) PROMISE(whole.piece.out.code != CURLE_OK);
    coco__emb_buf_free(&e, &whole.piece.answer);
    coco__emb_buf_free(&e, &ones.piece.answer);
    coco__emb_buf_free(&e, &pieces.piece.answer);
    coco__emb_buf_free(&e, &placed.piece.answer);
    return 0;
}
