/* The records' codecs: component records, places, pages of entries, states, function memos. */
#include "fuzz.h"

static void record(coco_str payload)
{
    coco__rec rec, again;
    coco__buf b, c;
    coco_err err;

    if (coco__rec_get(payload, &rec, &err) != COCO_OK) return;
    coco__buf_init(&b, &fuzz_mem);
    coco__buf_init(&c, &fuzz_mem);
    coco__rec_put(&b, &rec);
    PROMISE(coco__rec_get((coco_str){ b.p ? (char *)b.p : "", b.n }, &again, &err) == COCO_OK);
    coco__rec_put(&c, &again);
    PROMISE(coco__bytes_cmp(b.p, b.n, c.p, c.n) == 0);
    coco__buf_free(&b);
    coco__buf_free(&c);
}

static void state(const coco__entry *e)
{
    coco__state s, again;
    coco__buf b;

    if (coco__state_get(0, e->ekey, e->value, &s) != COCO_OK) return;
    coco__buf_init(&b, &fuzz_mem);
    coco__state_put(&b, &s, true);
    PROMISE(coco__state_get(0, e->ekey, (coco_str){ (char *)b.p, b.n }, &again) == COCO_OK);
    PROMISE(s.npossible == again.npossible && s.counter == again.counter && coco_str_equal(s.key, again.key));
    for (size_t i = 0; i < s.npossible; i++) PROMISE(coco_str_equal(s.possible[i], again.possible[i]));
    coco__buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    coco_str all = { (const char *)data, n };
    coco__place at;
    coco__memo m;
    coco__view v;

    record(all);
    coco__place_get(all, &at);
    coco__memo_get(all, &m);
    coco__view_init(&v, &fuzz_mem);
    if (coco__view_decode(&v, all) == COCO_OK)
        for (size_t i = 0; i < v.n; i++) state(&v.entries[i]);
    coco__view_free(&v);
    return 0;
}
