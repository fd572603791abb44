/* levels.c - part of text.c: the default levels, scanned by hand. What each separates, as an expression:
 *
 *     0  \n\n+                      blank lines
 *     1  \n                         lines
 *     2  [.?!]\s+|。|？|！            sentences
 *     3  [;:\-—]\s+|；|：|—+          clauses
 *     4  ,\s+|，                     commas
 *     5  \s+                        words
 *
 * The first two are found by memchr. For the others a table says which bytes can begin a separator of which level; most
 * text is passed over a byte at a time by that table alone. */

#define COCO__LEVELS 6

/* Bit l - 2 of a byte's entry: it may begin a separator of level l. */
static const uint8_t coco__level_starts[256] = {
    ['.'] = 1, ['?'] = 1, ['!'] = 1, [';'] = 2, [':'] = 2, ['-'] = 2, [','] = 4,
    ['\t'] = 8, ['\n'] = 8, ['\v'] = 8, ['\f'] = 8, ['\r'] = 8, [' '] = 8, [0xC2] = 8, [0xE1] = 8,
    [0xE2] = 2 | 8, [0xE3] = 1 | 8, [0xEF] = 1 | 2 | 4,
};

/* Whether the three bytes at p are those given; of them the first is known to be. */
static bool coco__level_is(const uint8_t *p, const uint8_t *end, uint8_t second, uint8_t third)
{
    return end - p >= 3 && p[1] == second && p[2] == third;
}

/* The length of the dash and what is behind it: white space, or more dashes. 0: no dash. */
static size_t coco__level_dashes(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *q = p, *spaces;

    if (!coco__level_is(p, end, 0x80, 0x94)) return 0;
    if ((spaces = coco__text_spaces(p + 3, end)) != p + 3) return (size_t)(spaces - p);
    while (q < end && *q == 0xE2 && coco__level_is(q, end, 0x80, 0x94)) q += 3;
    return (size_t)(q - p);
}

/* The length of the separator of a level from 2 on that begins at p, 0 if none does; p's byte is one that may begin
 * it. */
static size_t coco__level_length(unsigned level, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *spaces;

    if (level == 5) return (size_t)(coco__text_spaces(p, end) - p);
    if (*p < 0x80) {
        spaces = coco__text_spaces(p + 1, end);
        return spaces > p + 1 ? (size_t)(spaces - p) : 0;
    }
    if (*p == 0xE2) return coco__level_dashes(p, end);
    if (*p == 0xE3) return coco__level_is(p, end, 0x80, 0x82) ? 3 : 0; /* 。 */
    if (level == 2) return coco__level_is(p, end, 0xBC, 0x9F) || coco__level_is(p, end, 0xBC, 0x81) ? 3 : 0; /* ？ ！ */
    if (level == 3) return coco__level_is(p, end, 0xBC, 0x9B) || coco__level_is(p, end, 0xBC, 0x9A) ? 3 : 0; /* ； ： */
    return coco__level_is(p, end, 0xBC, 0x8C) ? 3 : 0; /* ， */
}

/* The first separator of a level between p and end; its length, 0 if there is none. */
static size_t coco__level_find(unsigned level, const uint8_t *p, const uint8_t *end, const uint8_t **at)
{
    uint8_t bit = (uint8_t)(1u << (level - 2));
    size_t n;

    for (;; p++) {
        while (end - p >= 4 && !((coco__level_starts[p[0]] | coco__level_starts[p[1]] | coco__level_starts[p[2]] |
                                  coco__level_starts[p[3]]) & bit)) p += 4;
        while (p < end && !(coco__level_starts[*p] & bit)) p++;
        if (p >= end) return 0;
        if ((n = coco__level_length(level, p, end)) != 0) break;
    }
    *at = p;
    return n;
}

/* The same for the levels of newlines: one, or two and more. */
static size_t coco__level_newlines(unsigned level, const uint8_t *p, const uint8_t *end, const uint8_t **at)
{
    const uint8_t *q;

    for (; p < end && (q = memchr(p, '\n', (size_t)(end - p))) != NULL; p = q + 1) {
        *at = q;
        if (level == 1) return 1;
        if (q + 1 == end || q[1] != '\n') continue;
        while (q < end && *q == '\n') q++;
        return (size_t)(q - *at);
    }
    return 0;
}

/* The first separator of a default level in the text from m->start on. */
static bool coco__level_next(unsigned level, coco_str range, coco__span *m)
{
    const uint8_t *begin = (const uint8_t *)range.p, *p = begin + m->start, *end = begin + range.n, *at = p;
    size_t n = level < 2 ? coco__level_newlines(level, p, end, &at) : coco__level_find(level, p, end, &at);

    m->start = (size_t)(at - begin);
    m->end = m->start + n;
    return n > 0;
}
