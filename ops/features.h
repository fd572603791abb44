/* features.h - texts to vectors without a model, for cocoindex.h. Needs nothing else.
 *
 *     COCO_FN(chunk, (coco_str, text, coco_table *, table), .memo = true)
 *     {
 *         coco_value v;
 *
 *         COCO_TRY(coco_call(cx, &coco_features, COCO_ARGS(coco_text_n(text), coco_int(384)), &v));
 *         …
 *     }
 *
 * What it is. Each word, each pair of words in a row and each three letters in a row of a word (its ends marked) is
 * hashed to one of the dimensions, and counted there with the hash's sign; the vector holds the square roots of the
 * counts, scaled to length 1. So the dot product of two vectors says how many of these two texts have in common: near
 * duplicates, the same text with typing errors, other endings of a word and another order of sentences come out close.
 *
 * What it isn't. It knows nothing of meaning: "car" is as far from "automobile" as from "spoon", and long texts of one
 * language are a little alike in any case. For search by meaning take a model (embed.h).
 *
 * Equal texts have equal vectors, bit by bit, on every machine and with every compiler: all is computed in integers.
 * Upper and lower case of ASCII, Latin-1, Greek and Cyrillic letters are the same; accents count. Han, kana and hangul
 * characters are words each. What is neither letter nor digit only separates, and so do bytes that are not UTF-8. A
 * text without any word has the vector of "nothing", which is of length 1 too.
 *
 * Choose at least 256 dimensions for chunks of a page: below, different features fall together too often. */
#ifndef COCO_FEATURES_H
#define COCO_FEATURES_H

#include "../cocoindex.h"

#ifdef __cplusplus
extern "C" {
#endif

#define COCO_FEATURES_MAX 4096 /* dimensions at most; 1 at least */

/* Writes the vector of a text. Errors: COCO_EINVAL (dimensions). Thread-safe: yes. */
coco_status coco_features_of(coco_str text, size_t dimensions, float *vector);

/* {"model": "features-1", "dimensions": n}: what the vectors depend on, as the context value of a vector column. In
 * cx's memory. The model's number grows when the vectors become others. */
coco_value coco_features_identity(coco_ctx *cx, size_t dimensions);

#ifdef __cplusplus
}
#else
/* (coco_str, text, int64_t, dimensions): the vector of text. Not memoized: it is computed faster than looked up. */
COCO_FN_DECLARE(coco_features);
#endif
#endif /* COCO_FEATURES_H */
