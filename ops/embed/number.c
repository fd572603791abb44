/* number.c - part of embed.c: what vectors are written in, to float32. Answers are nearly all numbers, so this is the
 * inner loop of the embedder; measured by bench/embed.c.
 *
 * A decimal number in three steps:
 *   1. Its digits are read into one integer m, up to eight at a time and without asking how many they are, and the
 *      place of the point and the exponent into ten: the value is m * 10^ten. Signs and lengths of real vectors are
 *      chance, so what depends on them is computed, not branched on.
 *   2. d = m * 10^ten in double arithmetic, which rounds m, the power and the product: d is off by at most two units
 *      in its last place. That can't change the float, unless d lies that close to the middle between two floats:
 *      then, and only then,
 *   3. strtod decides, in the C locale; and so it does for numbers of more digits than m has room for. */

#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#define COCO__EMB_AVX2
static bool coco__emb_has_avx2(void) { return __builtin_cpu_supports("avx2"); }
#else
static bool coco__emb_has_avx2(void) { return false; }
#endif

/* Eight bytes as an integer whose lowest byte is the first. */
static inline uint64_t coco__emb_load8(const char *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

/* The number of zero bits below the lowest one; v isn't 0. */
static inline unsigned coco__emb_low_zeros(uint64_t v)
{
#if defined(__GNUC__)
    return (unsigned)__builtin_ctzll(v);
#else
    unsigned n = 0;
    for (; !(v & 1); v >>= 1) n++;
    return n;
#endif
}

/* The bytes among eight that need a look, by their top bits: all but printable ASCII other than " and \. A byte is
 * zero, or below n, where subtracting takes a bit from above its own; that may blame a good one behind a bad one. */
static inline uint64_t coco__emb_odd8(uint64_t v)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t quote = v ^ (ones * '"'), back = v ^ (ones * '\\');

    return ((v - ones * 0x20) | (quote - ones) | (back - ones) | v) & tops;
}

/* The value of eight digits, given as 0 to 9 in each byte: pairs, fours, eight. */
static inline uint64_t coco__emb_value8(uint64_t v)
{
    v = v * 10 + (v >> 8);
    return (((v & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064)) +
            (((v >> 16) & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001))) >> 32;
}

/* Appends up to eight digits at p to *m and returns how many they are. A byte is no digit where, less '0', it is above
 * 9: then it or its sum with 0x76 has the top bit. A carry reaches only bytes behind the first such one. */
static inline unsigned coco__emb_block(const char *p, uint64_t *m)
{
    static const uint32_t tens[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000 };
    uint64_t v = coco__emb_load8(p) ^ UINT64_C(0x3030303030303030);
    uint64_t other = (v | (v + UINT64_C(0x7676767676767676))) & UINT64_C(0x8080808080808080);
    unsigned n = other ? coco__emb_low_zeros(other) / 8 : 8;

    if (n == 0) return 0;
    *m = *m * tens[n] + coco__emb_value8(v << (64 - 8 * n));
    return n;
}

/* Appends the digits at p to *m. */
static inline const char *coco__emb_digits(const char *p, uint64_t *m)
{
    unsigned n;

    do p += n = coco__emb_block(p, m);
    while (n == 8);
    return p;
}

/* The exponent behind e or E, held within a range that needs no more; NULL: no digits. */
static const char *coco__emb_exponent(const char *p, int *ten)
{
    bool minus = *p == '-';
    int x = 0;

    if (*p == '-' || *p == '+') p++;
    if ((unsigned)(*p - '0') >= 10) return NULL;
    for (; (unsigned)(*p - '0') < 10; p++)
        if (x < 10000) x = x * 10 + (*p - '0');
    *ten += minus ? -x : x;
    return p;
}

static const double coco__emb_tens[] = {
    1e-22, 1e-21, 1e-20, 1e-19, 1e-18, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8,
    1e-7,  1e-6,  1e-5,  1e-4,  1e-3,  1e-2,  1e-1,  1e0,   1e1,   1e2,   1e3,   1e4,   1e5,   1e6,  1e7,
    1e8,   1e9,   1e10,  1e11,  1e12,  1e13,  1e14,  1e15,  1e16,  1e17,  1e18,  1e19,  1e20,  1e21, 1e22
};

/* Step 2: whether the float of what d, off by a few units, stands for is that of d. */
static inline bool coco__emb_certain(double d)
{
    uint64_t bits, middle = UINT64_C(1) << 28;

    memcpy(&bits, &d, 8);
    bits &= 2 * middle - 1; /* what a float has no room for */
    return bits - (middle - 16) > 32 && d > 1e-37 && d < 1e38;
}

/* Step 3, of a number without its sign. */
static double coco__emb_strtod(const coco_embedder *e, const char *p)
{
    locale_t before = uselocale(e->c_locale);
    double d = strtod(p, NULL);

    uselocale(before);
    return d;
}

/* The rare numbers: of many digits (first to end, the point among them), of many zeros, in doubt. */
static double coco__emb_rare(const coco_embedder *e, const char *first, const char *end, uint64_t m, int ten)
{
    const char *p = first;
    size_t n = 0;
    double d;

    while (*p == '0' || *p == '.') p++;
    for (; p < end; p++) n += *p != '.';
    if (n == 0) return 0;
    d = n > 19 || ten < -22 || ten > 22 ? 0 : (double)m * coco__emb_tens[ten + 22];
    return coco__emb_certain(d) ? d : coco__emb_strtod(e, first);
}

/* Reads the JSON number at p, behind which COCO__EMB_PAD zeros stand at the end of all. Returns what is behind it, or
 * NULL if none stands here. */
static inline const char *coco__emb_number(const coco_embedder *e, const char *p, float *out)
{
    uint32_t minus = *p == '-', bits;
    const char *first = p + minus, *end, *point;
    uint64_t m = 0;
    int ten = 0;
    double d;

    if ((unsigned)(*first - '0') >= 10) return NULL;
    end = *first == '0' ? first + 1 : coco__emb_digits(first, &m); /* 0 stands alone: 01 is no number */
    if (*end == '.') {
        point = end + 1;
        end = coco__emb_digits(point, &m);
        if (end == point) return NULL;
        ten = (int)(point - end < -10000 ? -10000 : point - end);
    }
    p = end;
    if ((*p | 0x20) == 'e' && !(p = coco__emb_exponent(p + 1, &ten))) return NULL;
    d = end - first <= (*first == '0' ? 21 : 19) && (unsigned)(ten + 22) <= 44 ? (double)m * coco__emb_tens[ten + 22]
                                                                               : 0;
    if (!coco__emb_certain(d)) d = coco__emb_rare(e, first, end, m, ten);
    *out = (float)d;
    memcpy(&bits, out, 4);
    bits |= minus << 31;
    memcpy(out, &bits, 4);
    return p;
}

/* Whether all are numbers, neither NaN nor infinite: no exponent has all its bits. */
static bool coco__emb_finite(const float *v, size_t n)
{
    const uint32_t exponent = 0x7f800000, one = 0x00800000;
    uint32_t over = 0, bits;

#if defined(__GNUC__)
    typedef uint32_t four __attribute__((vector_size(16)));
    four a, b, all = { 0 };
    for (; n >= 8; v += 8, n -= 8) {
        memcpy(&a, v, 16);
        memcpy(&b, v + 4, 16);
        all |= ((a & exponent) + one) | ((b & exponent) + one);
    }
    over = all[0] | all[1] | all[2] | all[3];
#endif
    for (; n; v++, n--) {
        memcpy(&bits, v, 4);
        over |= (bits & exponent) + one;
    }
    return over >> 31 == 0;
}

/* ---- Base64 ---- */

/* What each of the four letters of a group adds to its three bytes; a letter that isn't one sets the top bit. */
static uint32_t coco__emb_base64[4][256];

static void coco__emb_base64_init(void)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    memset(coco__emb_base64, 0xff, sizeof coco__emb_base64);
    for (uint32_t i = 0; i < 64; i++)
        for (int place = 0; place < 4; place++)
            coco__emb_base64[place][(unsigned char)letters[i]] = i << (18 - 6 * place);
}

/* Eight bytes, the highest first. */
static inline void coco__emb_store8(unsigned char *out, uint64_t v)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    v = __builtin_bswap64(v);
#else
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(v >> (56 - 8 * i));
    memcpy(&v, bytes, 8);
#endif
    memcpy(out, &v, 8);
}

static inline uint32_t coco__emb_group(const unsigned char *s)
{
    return coco__emb_base64[0][s[0]] | coco__emb_base64[1][s[1]] | coco__emb_base64[2][s[2]] |
           coco__emb_base64[3][s[3]];
}

/* The number of bytes that n letters, the last of them perhaps =, stand for; SIZE_MAX: such a length can't be. */
static size_t coco__emb_base64_size(const char *s, size_t n)
{
    while (n && s[n - 1] == '=') n--;
    return n % 4 == 1 ? SIZE_MAX : n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0);
}

#ifdef COCO__EMB_AVX2
#define COCO__EMB_TWICE(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__) /* a table of 16 bytes, for each half */

/* Decodes 32 letters into 12 bytes of each half, after Mula and Lemire, "Faster Base64 Encoding and Decoding using AVX2
 * Instructions": a letter's upper half says what is to be added for its value (but for /), both halves whether it is
 * one. What isn't, goes into *wrong, and the greatest float, without its sign, into *most. */
__attribute__((target("avx2")))
static inline __m256i coco__emb_base64_32(const char *s, __m256i *wrong, __m256i *most)
{
    const __m256i slash = _mm256_set1_epi8('/'), /* and the bits of either half that count */
        add = COCO__EMB_TWICE(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0),
        upper = COCO__EMB_TWICE(16, 16, 1, 2, 4, 8, 4, 8, 16, 16, 16, 16, 16, 16, 16, 16),
        lower = COCO__EMB_TWICE(21, 17, 17, 17, 17, 17, 17, 17, 17, 17, 19, 26, 27, 27, 27, 26),
        bytes = COCO__EMB_TWICE(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)s);
    __m256i high = _mm256_and_si256(_mm256_srli_epi32(v, 4), slash), low = _mm256_and_si256(v, slash);
    __m256i is = _mm256_and_si256(_mm256_shuffle_epi8(upper, high), _mm256_shuffle_epi8(lower, low));

    *wrong = _mm256_or_si256(*wrong, is);
    v = _mm256_add_epi8(v, _mm256_shuffle_epi8(add, _mm256_add_epi8(high, _mm256_cmpeq_epi8(v, slash))));
    v = _mm256_madd_epi16(_mm256_maddubs_epi16(v, _mm256_set1_epi32(0x01400140)), _mm256_set1_epi32(0x00011000));
    v = _mm256_shuffle_epi8(v, bytes);
    *most = _mm256_max_epi32(*most, _mm256_and_si256(v, _mm256_set1_epi32(INT32_MAX)));
    return v;
}

/* Decodes as many letters as can be 32 at a time, and returns how many; *bad: not all of them are letters; *finite: all
 * floats are, see coco__emb_finite. Five times as fast as the tables. */
__attribute__((target("avx2")))
static size_t coco__emb_base64_wide(const char *s, size_t n, unsigned char *out, bool *bad, bool *finite)
{
    __m256i wrong = _mm256_setzero_si256(), most = wrong, v;
    unsigned char last[32];
    size_t at = 0;

    for (; n - at >= 48; at += 32, out += 24) { /* writes 28 bytes */
        v = coco__emb_base64_32(s + at, &wrong, &most);
        _mm_storeu_si128((__m128i *)(void *)out, _mm256_castsi256_si128(v));
        _mm_storeu_si128((__m128i *)(void *)(out + 12), _mm256_extracti128_si256(v, 1));
    }
    if (n - at >= 32) {
        v = coco__emb_base64_32(s + at, &wrong, &most);
        _mm256_storeu_si256((__m256i *)(void *)last, v);
        memcpy(out, last, 12);
        memcpy(out + 12, last + 16, 12);
        at += 32;
    }
    *bad = !_mm256_testz_si256(wrong, wrong);
    *finite = _mm256_movemask_epi8(_mm256_cmpgt_epi32(most, _mm256_set1_epi32(0x7f7fffff))) == 0;
    return at;
}

#else
static size_t coco__emb_base64_wide(const char *s, size_t n, unsigned char *out, bool *bad, bool *finite)
{
    (void)s, (void)n, (void)out;
    *bad = false, *finite = true;
    return 0;
}
#endif

/* Decodes n letters into the bytes they stand for. Returns false where one is no letter. Two groups at a time are
 * written as eight bytes, of which the last two are no part of them: not so close to the end. */
static bool coco__emb_base64_decode(const char *letters, size_t n, unsigned char *out)
{
    const unsigned char *s = (const unsigned char *)letters;
    unsigned char last[4] = { 'A', 'A', 'A', 'A' };
    uint32_t all = 0, v, w;

    for (; n >= 12; n -= 8, s += 8, out += 6) {
        all |= (v = coco__emb_group(s)) | (w = coco__emb_group(s + 4));
        coco__emb_store8(out, (uint64_t)v << 40 | (uint64_t)w << 16);
    }
    for (; n >= 4; n -= 4, s += 4, out += 3) {
        all |= v = coco__emb_group(s);
        out[0] = (unsigned char)(v >> 16), out[1] = (unsigned char)(v >> 8), out[2] = (unsigned char)v;
    }
    memcpy(last, s, n);
    all |= v = coco__emb_group(last);
    if (n > 1) out[0] = (unsigned char)(v >> 16);
    if (n > 2) out[1] = (unsigned char)(v >> 8);
    return all >> 24 == 0;
}

/* The vector in n letters of base64, of count floats in little-endian order; *finite: all of them are. Returns false
 * where one is no letter. */
static bool coco__emb_base64_floats(const char *letters, size_t n, float *out, size_t count, bool *finite)
{
    bool bad = false;
    size_t done = 0;

    *finite = true;
    while (n && letters[n - 1] == '=') n--;
    if (n >= 32 && coco__emb_has_avx2()) done = coco__emb_base64_wide(letters, n, (unsigned char *)out, &bad, finite);
    if (bad || !coco__emb_base64_decode(letters + done, n - done, (unsigned char *)out + done / 4 * 3)) return false;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &out[i], 4);
        bits = __builtin_bswap32(bits);
        memcpy(&out[i], &bits, 4);
    }
#endif
    done = done / 16 * 3; /* floats, of which wide has told */
    *finite = *finite && coco__emb_finite(out + done, count - done);
    return true;
}
