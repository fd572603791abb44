/* text.c - part of localfs.c: the content of a file as UTF-8 text.
 *
 * An encoding is a decoder of one character at a time. Text is decoded twice: once to count, once to write; text that
 * is UTF-8 already is neither. */

/* The code unit of n bytes at p. */
static uint32_t coco__fs_unit(const uint8_t *p, size_t n, bool big)
{
    uint32_t u = 0;

    for (size_t i = 0; i < n; i++) u |= (uint32_t)p[i] << 8 * (big ? n - 1 - i : i);
    return u;
}

/* A surrogate without its partner is one undecodable unit; the unit behind it is looked at anew. */
static size_t coco__fs_utf16_next(const uint8_t *p, const uint8_t *end, uint32_t *cp, bool big)
{
    uint32_t low, u;

    *cp = COCO__FS_BAD;
    if (end - p < 2) return 1;
    u = coco__fs_unit(p, 2, big);
    if (u < 0xD800 || u > 0xDFFF) return *cp = u, 2;
    if (u > 0xDBFF || end - p < 4) return 2;
    low = coco__fs_unit(p + 2, 2, big);
    if (low < 0xDC00 || low > 0xDFFF) return 2;
    *cp = 0x10000 + ((u - 0xD800) << 10) + (low - 0xDC00);
    return 4;
}

/* Units cut off at the end count as one. */
static size_t coco__fs_utf32_next(const uint8_t *p, const uint8_t *end, uint32_t *cp, bool big)
{
    uint32_t u;

    *cp = COCO__FS_BAD;
    if (end - p < 4) return (size_t)(end - p);
    u = coco__fs_unit(p, 4, big);
    if (u < 0xD800 || (u > 0xDFFF && u < 0x110000)) *cp = u;
    return 4;
}

/* One decoder for each byte order. */
static size_t coco__fs_utf16le(const uint8_t *p, const uint8_t *end, uint32_t *cp)
{
    return coco__fs_utf16_next(p, end, cp, false);
}

static size_t coco__fs_utf16be(const uint8_t *p, const uint8_t *end, uint32_t *cp)
{
    return coco__fs_utf16_next(p, end, cp, true);
}

static size_t coco__fs_utf32le(const uint8_t *p, const uint8_t *end, uint32_t *cp)
{
    return coco__fs_utf32_next(p, end, cp, false);
}

static size_t coco__fs_utf32be(const uint8_t *p, const uint8_t *end, uint32_t *cp)
{
    return coco__fs_utf32_next(p, end, cp, true);
}

/* The first 256 characters of Unicode, byte by byte. */
static size_t coco__fs_latin1(const uint8_t *p, const uint8_t *end, uint32_t *cp)
{
    (void)end;
    *cp = *p;
    return 1;
}

/* Latin-1 but for 32 bytes, which are printing characters. */
static size_t coco__fs_windows1252(const uint8_t *p, const uint8_t *end, uint32_t *cp)
{
    static const uint16_t high[32] = { /* 0x80 to 0x9F; 0: not assigned */
        0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0,
        0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A,
        0x0153, 0,      0x017E, 0x0178,
    };

    (void)end;
    *cp = *p;
    if (*p >= 0x80 && *p < 0xA0) *cp = high[*p - 0x80] ? high[*p - 0x80] : COCO__FS_BAD;
    return 1;
}

/* Decodes the character at p < end into *cp (COCO__FS_BAD: none) and returns how many bytes it took, at least one. */
typedef size_t (*coco__fs_decoder)(const uint8_t *p, const uint8_t *end, uint32_t *cp);

/* The encodings, those with a mark so that none is hidden by a shorter one. */
static const struct coco__fs_encoding {
    const char *name;      /* as users give it, in any case */
    coco__fs_decoder next; /* takes it apart */
    const char *mark;      /* byte order mark, "" for none */
    size_t nmark;          /* its length */
} coco__fs_encodings[] = {
    { "utf-8", coco__fs_utf8_next, "\xEF\xBB\xBF", 3 },
    { "utf-32le", coco__fs_utf32le, "\xFF\xFE\0\0", 4 },
    { "utf-32be", coco__fs_utf32be, "\0\0\xFE\xFF", 4 },
    { "utf-16le", coco__fs_utf16le, "\xFF\xFE", 2 },
    { "utf-16be", coco__fs_utf16be, "\xFE\xFF", 2 },
    { "latin-1", coco__fs_latin1, "", 0 },
    { "iso-8859-1", coco__fs_latin1, "", 0 },
    { "windows-1252", coco__fs_windows1252, "", 0 },
};
#define COCO__FS_NENCODINGS (sizeof coco__fs_encodings / sizeof coco__fs_encodings[0])

/* The encoding that the name and the text's mark say: a mark decides for no name, and the byte order for utf-16 and
 * utf-32 (little-endian without one). NULL: no such name. */
static const struct coco__fs_encoding *coco__fs_encoding_of(const char *name, coco_str s)
{
    const struct coco__fs_encoding *e, *found = NULL;
    size_t n = name ? strlen(name) : 0;
    bool family = name && (strcasecmp(name, "utf-16") == 0 || strcasecmp(name, "utf-32") == 0);

    for (size_t i = 0; i < COCO__FS_NENCODINGS; i++) {
        e = &coco__fs_encodings[i];
        bool marked = e->nmark && s.n >= e->nmark && memcmp(s.p, e->mark, e->nmark) == 0;
        if (!name && marked) return e;
        if (name && strcasecmp(name, e->name) == 0) return e;
        if (family && strncasecmp(name, e->name, n) == 0 && (marked || !found)) found = e;
    }
    return name ? found : &coco__fs_encodings[0];
}

/* Writes the character as UTF-8 (out NULL: counts only) and returns its length. */
static size_t coco__fs_utf8_put(char *out, uint32_t cp)
{
    size_t n;

    if (cp == COCO__FS_BAD) cp = 0xFFFD;
    n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    if (!out) return n;
    for (size_t i = n - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)(n == 1 ? cp : (0xF00u >> n & 0xFF) | cp);
    return n;
}

/* Decodes s into out (NULL: counts only) and returns the length. */
static size_t coco__fs_decode(coco__fs_decoder next, coco_str s, char *out)
{
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n;
    size_t n = 0;
    uint32_t cp;

    while (p < end) {
        p += next(p, end, &cp);
        n += coco__fs_utf8_put(out ? out + n : NULL, cp);
    }
    return n;
}

coco_status coco_file_read_text_as(coco_ctx *cx, coco_file *file, const char *encoding, coco_str *text)
{
    const struct coco__fs_encoding *e;
    coco_str s;
    size_t n;
    char *out;

    COCO_TRY(coco_file_read(cx, file, &s));
    e = coco__fs_encoding_of(encoding, s);
    if (!e) return coco_fail(cx, COCO_EINVAL, "unknown encoding \"%s\"", encoding);
    if (e->nmark && s.n >= e->nmark && memcmp(s.p, e->mark, e->nmark) == 0) {
        s.p += e->nmark;
        s.n -= e->nmark;
    }
    *text = s;
    if (e->next == coco__fs_utf8_next && coco__fs_utf8_valid(s.p, s.n)) return COCO_OK;
    /* The mark is not part of the text, and text that is UTF-8 already is given as it was read. */
    n = coco__fs_decode(e->next, s, NULL);
    if (!(out = coco_alloc(cx, n + 1))) return COCO_ENOMEM;
    coco__fs_decode(e->next, s, out);
    *text = (coco_str){ out, n };
    return COCO_OK;
}

coco_status coco_file_read_text(coco_ctx *cx, coco_file *file, coco_str *text)
{
    return coco_file_read_text_as(cx, file, NULL, text);
}
