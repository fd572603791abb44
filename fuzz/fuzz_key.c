/* Keys and printed paths: what decodes encodes to the same bytes; what is printed parses back (S2.1, S2.2). */
#include "fuzz.h"

static void parses_back(const uint8_t *path, size_t n)
{
    coco__buf text, again;

    coco__buf_init(&text, &fuzz_mem);
    coco__buf_init(&again, &fuzz_mem);
    coco__path_print(&text, path, n);
    PROMISE(coco__path_parse(coco__buf_cstr(&text), &again, NULL) == COCO_OK);
    PROMISE(coco__bytes_cmp(path, n, again.p, again.n) == 0);
    coco__buf_free(&text);
    coco__buf_free(&again);
}

/* The bytes as a path of encoded keys, as far as they are ones. */
static void decodes(const uint8_t *data, size_t n)
{
    size_t whole = 0, one;
    coco__arena a;
    coco__buf b;

    coco__arena_init(&a, &fuzz_mem);
    coco__buf_init(&b, &fuzz_mem);
    while (whole < n && (one = coco__key_length(data + whole, n - whole)) != 0) {
        coco__reader r = coco__reader_of(data + whole, n - whole);
        coco_value v;
        if (coco__key_get(&r, &a, &v) != COCO_OK) break;
        PROMISE(coco__left(&r) == n - whole - one);
        b.n = 0;
        PROMISE(coco__key_put(&b, v) == COCO_OK);
        PROMISE(b.n == one && memcmp(b.p, data + whole, one) == 0);
        PROMISE(coco_compare(v, v) == 0);
        whole += one;
    }
    parses_back(data, whole);
    b.n = 0;
    coco__path_print(&b, data, n); /* whatever it is */
    coco__buf_free(&b);
    coco__arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    coco__buf text, path;
    coco_err err;

    coco__buf_init(&text, &fuzz_mem);
    coco__buf_init(&path, &fuzz_mem);
    decodes(data, n);
    coco__buf_put(&text, data, n);
    if (coco__path_parse(coco__buf_cstr(&text), &path, &err) == COCO_OK) parses_back(path.p, path.n);
    coco__buf_free(&text);
    coco__buf_free(&path);
    return 0;
}
