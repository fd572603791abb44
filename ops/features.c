/* features.c - vectors of hashed words and letters. Integers alone decide what comes out, so that it is the same
 * everywhere: hashes byte by byte, counts, and a square root by digits. Calls cocoindex.h, nothing else; no memory but
 * the stack. */
#include "features.h"

/* How much one of each counts. A word of five letters has five threes, so its letters weigh about as much as it. */
enum { COCO__FT_WORD = 4, COCO__FT_PAIR = 2, COCO__FT_THREE = 1 };

/* Counting the features of one text. */
typedef struct coco__ft_counts {
    int64_t *count;       /* of each dimension, with sign */
    size_t dimensions;
    uint64_t word;        /* hash of the word that is being read; 0: none is */
    uint64_t before;      /* of the word before it; 0: it is the first */
    uint32_t last[2];     /* the two letters before, 0 where the word begins */
} coco__ft_counts;

/* ---- Letters ---- */

/* The next character, in lower case where we know it; 0 for what separates words. */
static uint32_t coco__ft_decode(const unsigned char **p, const unsigned char *end)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    uint32_t c = *(*p)++;
    size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : 9;

    if (!more) return c;
    if (more == 9 || (size_t)(end - *p) < more) return 0;
    c &= 0x3fu >> more;
    for (size_t i = 0; i < more; i++) {
        if (((*p)[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | ((*p)[i] & 0x3f);
    }
    if (c < least[more] || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff) return 0;
    *p += more;
    return c;
}

static uint32_t coco__ft_lower(uint32_t c)
{
    if (c >= 'A' && c <= 'Z') return c + 32;
    if (c < 0xc0) return c;
    if (c <= 0xde && c != 0xd7) return c + 32;             /* Latin-1 */
    if (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) return c + 32; /* Greek … */
    if (c == 0x3c2) return 0x3c3;                          /* … whose sigma has a form for the end of a word */
    if (c >= 0x410 && c <= 0x42f) return c + 32;           /* Cyrillic */
    if (c >= 0x400 && c <= 0x40f) return c + 80;
    return c;
}

static bool coco__ft_is_letter(uint32_t c)
{
    if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
    if (c < 0xc0) return c == 0xaa || c == 0xb5 || c == 0xba;
    if (c == 0xd7 || c == 0xf7) return false;
    if (c >= 0x2000 && c < 0x2c00) return c >= 0x2070 && c < 0x2190 && (c < 0x20a0 || c >= 0x2100); /* signs */
    if (c >= 0x2e00 && c < 0x2e80) return false;
    if (c >= 0x3000 && c < 0x3040) return c >= 0x3005 && c <= 0x3007;
    if (c >= 0xff00 && c < 0xff10) return false;
    if (c >= 0xe000 && c < 0xf900) return false; /* private */
    return !(c >= 0xfe00 && c < 0xfe10) && c != 0xfeff && !(c >= 0xfff0 && c < 0x10000);
}

/* Characters that are words: Han, kana, hangul. */
static bool coco__ft_is_word(uint32_t c)
{
    return (c >= 0x3040 && c < 0xa000 && !(c >= 0x3100 && c < 0x3400)) || (c >= 0xac00 && c < 0xd7b0) ||
           (c >= 0xf900 && c < 0xfb00) || (c >= 0x20000 && c < 0x32000);
}

/* ---- Features ---- */

/* FNV-1a, a character at a time, and a last stir, since the top bits choose the dimension. */
#define COCO__FT_BEGIN UINT64_C(14695981039346656037)

static uint64_t coco__ft_add(uint64_t h, uint64_t c)
{
    for (int i = 0; i < 3; i++) h = (h ^ (c >> 8 * i & 0xff)) * UINT64_C(1099511628211);
    return h;
}

static uint64_t coco__ft_stir(uint64_t h)
{
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

static void coco__ft_count(coco__ft_counts *f, uint64_t h, int weight)
{
    h = coco__ft_stir(h);
    f->count[(h >> 32) * f->dimensions >> 32] += h & 1 ? weight : -weight;
}

/* A letter, or 0 behind the last: three in a row are a feature. */
static void coco__ft_three(coco__ft_counts *f, uint32_t c)
{
    uint64_t h = coco__ft_add(coco__ft_add(coco__ft_add(COCO__FT_BEGIN ^ 3, f->last[0]), f->last[1]), c);

    if (f->last[1]) coco__ft_count(f, h, COCO__FT_THREE);
    f->last[0] = f->last[1];
    f->last[1] = c;
}

static void coco__ft_word_end(coco__ft_counts *f)
{
    if (!f->word) return;
    coco__ft_three(f, 0);
    coco__ft_count(f, f->word, COCO__FT_WORD);
    if (f->before) coco__ft_count(f, f->before * 3 ^ f->word, COCO__FT_PAIR);
    f->before = f->word;
    f->word = 0;
    f->last[0] = f->last[1] = 0;
}

static void coco__ft_text(coco__ft_counts *f, coco_str text)
{
    const unsigned char *p = (const unsigned char *)(text.n ? text.p : ""), *end = p + text.n;

    while (p < end) {
        uint32_t c = coco__ft_lower(coco__ft_decode(&p, end));
        bool alone = coco__ft_is_word(c);
        if (alone || !coco__ft_is_letter(c)) coco__ft_word_end(f);
        if (!alone && !coco__ft_is_letter(c)) continue;
        f->word = coco__ft_add(f->word ? f->word : COCO__FT_BEGIN, c);
        coco__ft_three(f, c);
        if (alone) coco__ft_word_end(f);
    }
    coco__ft_word_end(f);
}

/* ---- Vectors ---- */

/* The greatest r with r * r <= x, for x below 2^62. */
static uint64_t coco__ft_root(uint64_t x)
{
    uint64_t r = 0;

    for (uint64_t bit = UINT64_C(1) << 60; bit; bit >>= 2) {
        bool take = x >= r + bit;
        x -= take ? r + bit : 0;
        r = (r >> 1) + (take ? bit : 0);
    }
    return r;
}

static uint64_t coco__ft_total(const coco__ft_counts *f)
{
    uint64_t total = 0;

    for (size_t i = 0; i < f->dimensions; i++) total += (uint64_t)(f->count[i] < 0 ? -f->count[i] : f->count[i]);
    return total;
}

/* The root of count / total with its sign: of 62 bits behind the point, 31 are left. total is below 2^32. */
static float coco__ft_component(int64_t count, uint64_t total)
{
    uint64_t n = (uint64_t)(count < 0 ? -count : count), whole, x;
    double v;

    if (n == total) return count < 0 ? -1.0f : 1.0f;
    whole = (n << 31) / total;
    x = whole << 31 | ((n << 31) % total << 31) / total;
    v = (double)coco__ft_root(x) / 2147483648.0;
    return (float)(count < 0 ? -v : v);
}

coco_status coco_features_of(coco_str text, size_t dimensions, float *vector)
{
    int64_t count[COCO_FEATURES_MAX];
    coco__ft_counts f = { .count = count, .dimensions = dimensions };
    uint64_t total;

    if (dimensions < 1 || dimensions > COCO_FEATURES_MAX) return COCO_EINVAL;
    memset(count, 0, dimensions * sizeof *count);
    coco__ft_text(&f, text);
    while ((total = coco__ft_total(&f)) >> 32)
        for (size_t i = 0; i < dimensions; i++) count[i] /= 2;
    if (!total) { /* no word, or all cancelled out */
        coco__ft_count(&f, COCO__FT_BEGIN, COCO__FT_WORD);
        total = COCO__FT_WORD;
    }
    for (size_t i = 0; i < dimensions; i++) vector[i] = coco__ft_component(count[i], total);
    return COCO_OK;
}

/* ---- As the engine sees it ---- */

coco_value coco_features_identity(coco_ctx *cx, size_t dimensions)
{
    const coco_pair pairs[] = { { COCO_STR("model"), coco_text("features-1") },
                                { COCO_STR("dimensions"), coco_int((int64_t)dimensions) } };

    return coco_copy_value(cx, coco_map_value(pairs, 2));
}

COCO_FN(coco_features, (coco_str, text, int64_t, dimensions), .name = "coco_features", .version = 1)
{
    size_t n = dimensions > 0 && dimensions <= COCO_FEATURES_MAX ? (size_t)dimensions : 0;
    float *v;

    if (!n)
        return coco_fail(cx, COCO_EINVAL, "coco_features: from 1 to %d dimensions, not %lld", COCO_FEATURES_MAX,
                         (long long)dimensions);
    if (!(v = coco_alloc(cx, n * sizeof *v))) return COCO_ENOMEM;
    COCO_TRY(coco_features_of(text, n, v));
    return coco_return(cx, coco_vector(v, n));
}
