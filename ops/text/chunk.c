/* chunk.c - part of text.c: chunks as values, for calls, results and rows. */

static coco_value coco__position_value(coco_ctx *cx, const coco_position *p)
{
    coco_pair *pairs = coco_alloc(cx, 4 * sizeof *pairs);

    if (!pairs) return coco_null();
    pairs[0] = (coco_pair){ COCO_STR("byte"), coco_int((int64_t)p->byte) };
    pairs[1] = (coco_pair){ COCO_STR("character"), coco_int((int64_t)p->character) };
    pairs[2] = (coco_pair){ COCO_STR("line"), coco_int(p->line) };
    pairs[3] = (coco_pair){ COCO_STR("column"), coco_int(p->column) };
    return coco_map_value(pairs, 4);
}

coco_status coco_chunk_map(coco_ctx *cx, const coco_chunk *chunk, coco_value *out)
{
    const uint8_t *p = (const uint8_t *)chunk->text.p;
    coco_pair *pairs = coco_alloc(cx, 3 * sizeof *pairs);

    if (!pairs) return coco_error(cx);
    /* a text value is UTF-8: what isn't goes as bytes */
    pairs[0] = (coco_pair){ COCO_STR("text"), coco__text_valid(p, p + chunk->text.n) ? coco_text_n(chunk->text)
                            : coco_bytes(p, chunk->text.n) };
    pairs[1] = (coco_pair){ COCO_STR("start"), coco__position_value(cx, &chunk->start) };
    pairs[2] = (coco_pair){ COCO_STR("end"), coco__position_value(cx, &chunk->end) };
    *out = coco_map_value(pairs, 3);
    return coco_error(cx);
}

static coco_status coco__chunk_memo_key(coco_ctx *cx, void *object, coco_value *key)
{ return coco_chunk_map(cx, object, key); }

static coco_status coco__chunk_copy(coco_ctx *cx, void *object, void **out)
{
    const coco_chunk *from = object;
    coco_chunk *to = *out = coco_alloc(cx, sizeof *to);

    if (!to) return coco_error(cx);
    *to = *from;
    to->text = coco_copy(cx, from->text);
    return coco_error(cx);
}

const coco_class coco_chunk_class = { .type = "coco_chunk", .memo_key = coco__chunk_memo_key,
                                      .copy = coco__chunk_copy };

coco_value coco_chunk_value(const coco_chunk *chunk)
{ return coco_object(&coco_chunk_class, (void *)(uintptr_t)chunk); }

coco_value *coco_chunk_values(coco_ctx *cx, const coco_chunks *chunks)
{
    coco_value *values = coco_alloc(cx, chunks->n * sizeof *values);

    for (size_t i = 0; values && i < chunks->n; i++) values[i] = coco_chunk_value(&chunks->items[i]);
    return values;
}
