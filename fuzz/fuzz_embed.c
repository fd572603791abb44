/* What an embedding server answers, as JSON: it is read or refused; what is read is JSON to jansson too, and the
 * vectors are its numbers, rounded to float32. The first byte says how many texts were sent. */
#define _GNU_SOURCE /* as the part does */
#include "fuzz.h"

#include "../ops/embed.c" /* in place of its object */

/* The float at `at` of a vector in base64, letter by letter. */
static float reference(const char *letters, size_t at)
{
    static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char bytes[4];
    float f;

    for (size_t i = 0; i < 4; i++) {
        size_t bit = (4 * at + i) * 8, first = bit / 6;
        unsigned high = (unsigned)(strchr(all, letters[first]) - all);
        unsigned low = (unsigned)(strchr(all, letters[first + 1]) - all);
        bytes[i] = (unsigned char)((high << 6 | low) >> (4 - bit % 6));
    }
    memcpy(&f, bytes, 4);
    return f;
}

/* jansson reads the same; what it refuses for its own reasons (UTF-8, NUL, duplicates, overflow) isn't asked of it. */
static void reads_the_same(const coco__emb_vectors *a, const char *text, size_t n)
{
    json_error_t err;
    json_t *root, *data;

    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] >= 0x80 || text[i] == '\\') return;
    root = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &err);
    if (!root && (json_error_code(&err) == json_error_duplicate_key ||
                  json_error_code(&err) == json_error_numeric_overflow)) return;
    PROMISE(root);
    data = json_object_get(root, "data");
    PROMISE(json_array_size(data) == a->want);
    for (size_t i = 0; i < a->want; i++) {
        const json_t *entry = json_array_get(data, i), *vector = json_object_get(entry, "embedding");
        const json_t *index = json_object_get(entry, "index");
        const float *v = a->out + (index ? (size_t)json_number_value(index) : i) * a->dimensions;
        for (size_t k = 0; k < json_array_size(vector); k++)
            PROMISE((float)json_number_value(json_array_get(vector, k)) == v[k]);
        for (size_t k = 0; json_is_string(vector) && k < a->dimensions; k++)
            PROMISE(reference(json_string_value(vector), k) == v[k]);
    }
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static coco_embedder e;
    static float out[4 * COCO__EMB_MAX_DIMENSIONS];
    bool there[4];
    coco__emb_vectors a = { .out = out, .there = there, .want = n ? 1 + data[0] % 4 : 1 };
    coco__emb_buf b = { 0 };
    coco_str heard;
    coco_err err;
    char said[200];

    if (!n) return 0;
    if (!e.c_locale) {
        e.c_locale = newlocale(LC_ALL_MASK, "C", NULL);
        coco__emb_base64_init();
    }
    e.o.model = "m";
    PROMISE(coco__emb_add(&e, &b, (const char *)data + 1, n - 1) && coco__emb_reserve(&e, &b, COCO__EMB_PAD));
    memset(b.p + b.n, 0, COCO__EMB_PAD);
    heard = (coco_str){ b.p, b.n };
    if (coco__emb_answer(&e, &a, heard, &err) == COCO_OK) {
        PROMISE(a.n == a.want && a.dimensions > 0);
        for (size_t i = 0; i < a.want; i++) PROMISE(there[i]);
        reads_the_same(&a, b.p, b.n);
    }
    coco__emb_message(&e, heard, said, sizeof said);
    PROMISE(*said);
    coco__emb_too_large(500, heard);
    coco__emb_free(&e, a.v);
    coco__emb_buf_free(&e, &b);
    return 0;
}
