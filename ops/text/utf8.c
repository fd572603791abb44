/* utf8.c - part of text.c: characters, white space and positions. Pure functions on bytes.
 *
 * A character is a well-formed UTF-8 sequence, or one byte that belongs to none: so every text has characters, and none
 * is ever cut. White space is what Unicode calls White_Space. */

/* The well-formed sequence at p < end: its length, or 0 where there is none (overlong forms, surrogates and what is
 * past U+10FFFF are none). */
static size_t coco__text_sequence(const uint8_t *p, const uint8_t *end)
{
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;

    if (n < 2) return n;
    if ((size_t)(end - p) < n) return 0;
    if (p[0] == 0xE0 ? p[1] < 0xA0 : p[0] == 0xF0 ? p[1] < 0x90 : false) return 0;
    if (p[0] == 0xED ? p[1] > 0x9F : p[0] == 0xF4 ? p[1] > 0x8F : false) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    return n;
}

/* The length of the character at p < end. */
static size_t coco__text_character(const uint8_t *p, const uint8_t *end)
{
    size_t n = coco__text_sequence(p, end);

    return n ? n : 1;
}

#define COCO__TEXT_ONES 0x0101010101010101u
#define COCO__TEXT_HIGH 0x8080808080808080u

/* Eight bytes at p, and whether all are ASCII. */
static bool coco__text_ascii8(const uint8_t *p, uint64_t *word)
{
    memcpy(word, p, 8);
    return (*word & COCO__TEXT_HIGH) == 0;
}

/* The newlines among eight ASCII bytes: each is 0x80 in its byte of the answer. */
static uint64_t coco__text_newlines8(uint64_t word)
{
    uint64_t differs = (word ^ (COCO__TEXT_ONES * '\n')) + COCO__TEXT_ONES * 0x7F;

    return ~differs & COCO__TEXT_HIGH;
}

static size_t coco__text_count(const uint8_t *p, const uint8_t *end)
{
    size_t n = 0;
    uint64_t word;

    while (p < end) {
        if (end - p >= 8 && coco__text_ascii8(p, &word)) n += 8, p += 8;
        else p += coco__text_character(p, end), n++;
    }
    return n;
}

static bool coco__text_valid(const uint8_t *p, const uint8_t *end)
{
    uint64_t word;
    size_t n;

    while (p < end) {
        if (end - p >= 8 && coco__text_ascii8(p, &word)) {
            p += 8;
            continue;
        }
        if ((n = coco__text_sequence(p, end)) == 0) return false;
        p += n;
    }
    return true;
}

static bool coco__text_is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The length of the white space character at p < end, 0 if it is none. */
static size_t coco__text_space(const uint8_t *p, const uint8_t *end)
{
    if (p[0] < 0x80) return coco__text_is_space(p[0]);
    if (p[0] == 0xC2) return end - p > 1 && (p[1] == 0x85 || p[1] == 0xA0) ? 2 : 0; /* next line, no-break space */
    if (end - p < 3 || p[0] < 0xE1 || p[0] > 0xE3) return 0;
    if (p[0] == 0xE1) return p[1] == 0x9A && p[2] == 0x80 ? 3 : 0; /* Ogham space mark */
    if (p[0] == 0xE3) return p[1] == 0x80 && p[2] == 0x80 ? 3 : 0; /* ideographic space */
    if (p[1] == 0x81) return p[2] == 0x9F ? 3 : 0; /* medium mathematical space */
    /* U+2000 to U+200A, line and paragraph separators, narrow no-break space */
    return p[1] == 0x80 && ((p[2] >= 0x80 && p[2] <= 0x8A) || p[2] == 0xA8 || p[2] == 0xA9 || p[2] == 0xAF) ? 3 : 0;
}

/* The end of the run of white space that begins at p. */
static const uint8_t *coco__text_spaces(const uint8_t *p, const uint8_t *end)
{
    size_t n;

    while (p < end && (n = coco__text_space(p, end)) != 0) p += n;
    return p;
}

/* The start of the run of white space that ends at end. */
static const uint8_t *coco__text_spaces_back(const uint8_t *p, const uint8_t *end)
{
    for (;;) {
        if (p < end && coco__text_is_space(end[-1])) end--;
        else if (end - p >= 2 && end[-2] == 0xC2 && coco__text_space(end - 2, end) == 2) end -= 2;
        else if (end - p >= 3 && end[-3] >= 0xE1 && coco__text_space(end - 3, end) == 3) end -= 3;
        else return end;
    }
}

/* ---- Positions -------------------------------------------------------------------------------------------------- */

coco_position coco_position_after(coco_str text, coco_position from, size_t byte)
{
    const uint8_t *start = (const uint8_t *)text.p + from.byte, *p = start, *end = (const uint8_t *)text.p + byte;
    const uint8_t *limit = (const uint8_t *)text.p + text.n;
    size_t before = from.character;
    uint32_t line = from.line;
    uint64_t word;

    while (p < end) {
        if (end - p >= 8 && coco__text_ascii8(p, &word)) {
            from.line += (uint32_t)(((coco__text_newlines8(word) >> 7) * COCO__TEXT_ONES) >> 56);
            from.character += 8, p += 8;
        } else {
            from.line += *p == '\n';
            from.character++, p += coco__text_character(p, limit);
        }
    }
    from.byte = byte;
    from.column += (uint32_t)(from.character - before);
    if (from.line == line) return from;
    for (p = end; p[-1] != '\n';) p--; /* start of the line */
    from.column = (uint32_t)coco__text_count(p, end) + 1;
    return from;
}
