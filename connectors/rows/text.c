/* text.c - part of rows.c: what is carried as text. Checks are of the form, so that a malformed value is an error that
 * names its column before anything is written; nothing is rewritten, a text is stored as it was given. */

#define COCO__ROWS_WORD 8 /* bytes looked at together */

/* Skips bytes below 0x80, four words or one at a time: most text is that. */
static const uint8_t *coco__rows_ascii(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 4 * COCO__ROWS_WORD) {
        uint64_t words[4];
        memcpy(words, p, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080u) break;
        p += sizeof words;
    }
    while (end - p >= COCO__ROWS_WORD) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        if (word & 0x8080808080808080u) break;
        p += COCO__ROWS_WORD;
    }
    while (p < end && *p < 0x80) p++;
    return p;
}

/* Length of the character at p, which is over 0x7f; 0 if it is none of well-formed UTF-8. */
static size_t coco__rows_utf8_char(const uint8_t *p, size_t left)
{
    size_t n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;

    if (*p < 0xc2 || *p > 0xf4 || left < n) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f)) return 0; /* overlong, surrogate */
    if ((*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)) return 0; /* overlong, too large */
    return n;
}

static bool coco__rows_utf8(coco_str s)
{
    const uint8_t *p = (const uint8_t *)s.p, *end = p + s.n;
    size_t n;

    for (p = coco__rows_ascii(p, end); p < end; p = coco__rows_ascii(p + n, end))
        if ((n = coco__rows_utf8_char(p, (size_t)(end - p))) == 0) return false;
    return true;
}

coco_str coco_sql_quoted(coco_ctx *cx, const char *name, char quote)
{
    size_t n = strlen(name), used = 0;
    char *out = coco_alloc(cx, 2 * n + 3);

    if (!out) return (coco_str){ "", 0 };
    out[used++] = quote;
    for (size_t i = 0; i < n; i++) {
        if (name[i] == quote) out[used++] = quote;
        out[used++] = name[i];
    }
    out[used++] = quote;
    return (coco_str){ out, used };
}

/* ---- A reader of short texts ------------------------------------------------------------------------------------- */

typedef struct coco__rows_scan {
    const char *p, *end; /* what is left */
} coco__rows_scan;

static bool coco__rows_take(coco__rows_scan *s, char c)
{
    if (s->p == s->end || *s->p != c) return false;
    s->p++;
    return true;
}

/* Takes digits, at most max of them; returns how many. The number stands in *value while it fits. */
static size_t coco__rows_digits(coco__rows_scan *s, size_t max, unsigned *value)
{
    size_t n = 0;

    for (*value = 0; n < max && s->p < s->end && *s->p >= '0' && *s->p <= '9'; n++)
        *value = *value * 10 + (unsigned)(*s->p++ - '0');
    return n;
}

static bool coco__rows_two(coco__rows_scan *s, unsigned max, unsigned *value)
{
    return coco__rows_digits(s, 2, value) == 2 && *value <= max;
}

static bool coco__rows_scan_date(coco__rows_scan *s)
{
    static const unsigned days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    unsigned year, month, day;

    if (coco__rows_digits(s, 4, &year) != 4 || !coco__rows_take(s, '-') || !coco__rows_two(s, 12, &month) ||
        !coco__rows_take(s, '-') || !coco__rows_two(s, 31, &day) || month == 0 || day == 0 || day > days[month - 1])
        return false;
    return month != 2 || day != 29 || (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

static bool coco__rows_scan_clock(coco__rows_scan *s)
{
    unsigned v;

    if (!coco__rows_two(s, 23, &v) || !coco__rows_take(s, ':') || !coco__rows_two(s, 59, &v)) return false;
    if (!coco__rows_take(s, ':')) return true;
    if (!coco__rows_two(s, 60, &v)) return false;
    return !coco__rows_take(s, '.') || coco__rows_digits(s, 9, &v) > 0;
}

static bool coco__rows_scan_time(coco__rows_scan *s)
{
    unsigned v;

    if (!coco__rows_scan_date(s) || (!coco__rows_take(s, 'T') && !coco__rows_take(s, ' '))) return false;
    if (!coco__rows_scan_clock(s)) return false;
    if (coco__rows_take(s, 'Z') || s->p == s->end) return true;
    if (!coco__rows_take(s, '+') && !coco__rows_take(s, '-')) return false;
    if (!coco__rows_two(s, 15, &v)) return false;
    return s->p == s->end || (coco__rows_take(s, ':') && coco__rows_two(s, 59, &v));
}

/* Numbers with their letters, in this order. Returns how many there were, or -1. */
static int coco__rows_scan_units(coco__rows_scan *s, const char *units)
{
    unsigned v;
    int n = 0;

    while (s->p < s->end && *s->p != 'T') {
        if (coco__rows_digits(s, 18, &v) == 0) return -1;
        if (coco__rows_take(s, '.') && (coco__rows_digits(s, 9, &v) == 0 || s->p == s->end || *s->p != 'S')) return -1;
        while (*units && (s->p == s->end || *s->p != *units)) units++;
        if (!*units) return -1;
        s->p++;
        units++;
        n++;
    }
    return n;
}

static bool coco__rows_scan_interval(coco__rows_scan *s)
{
    int days;

    (void)coco__rows_take(s, '-');
    if (!coco__rows_take(s, 'P') || (days = coco__rows_scan_units(s, "YMWD")) < 0) return false;
    if (coco__rows_take(s, 'T')) return coco__rows_scan_units(s, "HMS") > 0;
    return days > 0;
}

static bool coco__rows_scan_decimal(coco__rows_scan *s)
{
    unsigned v;
    size_t n;

    if (!coco__rows_take(s, '-')) (void)coco__rows_take(s, '+');
    n = coco__rows_digits(s, SIZE_MAX, &v);
    if (coco__rows_take(s, '.')) n += coco__rows_digits(s, SIZE_MAX, &v);
    if (n == 0) return false;
    if (!coco__rows_take(s, 'e') && !coco__rows_take(s, 'E')) return true;
    if (!coco__rows_take(s, '-')) (void)coco__rows_take(s, '+');
    return coco__rows_digits(s, 4, &v) > 0;
}

/* Whether a text has the form that the column type asks for. */
static bool coco__rows_text_fits(coco_type type, coco_str text)
{
    coco__rows_scan s = { text.n ? text.p : "", (text.n ? text.p : "") + text.n };
    bool ok = type == COCO_DATE_T       ? coco__rows_scan_date(&s)
              : type == COCO_CLOCK_T    ? coco__rows_scan_clock(&s)
              : type == COCO_TIME_T     ? coco__rows_scan_time(&s)
              : type == COCO_INTERVAL_T ? coco__rows_scan_interval(&s)
              : type == COCO_DECIMAL_T  ? coco__rows_scan_decimal(&s)
                                        : true;

    return type == COCO_TEXT_T || type == COCO_JSON_T ? coco__rows_utf8(text) : ok && s.p == s.end;
}

/* ---- Uuids ------------------------------------------------------------------------------------------------------- */

static int coco__rows_hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool coco_uuid_parse(coco_str text, uint8_t out[16])
{
    size_t n = 0;

    if (text.n != 36) return false;
    for (size_t i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text.p[i] != '-') return false;
            continue;
        }
        int high = coco__rows_hex(text.p[i]), low = coco__rows_hex(text.p[++i]);
        if (high < 0 || low < 0) return false;
        out[n++] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void coco_uuid_print(const uint8_t uuid[16], char out[37])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
        *out++ = digits[uuid[i] >> 4];
        *out++ = digits[uuid[i] & 15];
    }
    *out = '\0';
}

/* ---- Half floats ------------------------------------------------------------------------------------------------- */

uint16_t coco_half_of(float f)
{
    uint32_t x, sign, mant, half, rest;
    int exp;

    memcpy(&x, &f, sizeof x);
    sign = x >> 16 & 0x8000u;
    exp = (int)(x >> 23 & 0xff) - 127 + 15;
    mant = x & 0x7fffffu;
    if (exp >= 0xff - 127 + 15) return (uint16_t)(sign | 0x7c00u | (mant ? 0x200u : 0u)); /* infinite, or no number */
    if (exp >= 31) return (uint16_t)(sign | 0x7c00u);
    if (exp < -10) return (uint16_t)sign;
    if (exp <= 0) { /* subnormal: the leading one becomes explicit */
        unsigned shift = (unsigned)(14 - exp);
        mant |= 0x800000u;
        half = mant >> shift;
        rest = mant & ((1u << shift) - 1);
        half += rest > 1u << (shift - 1) || (rest == 1u << (shift - 1) && (half & 1));
        return (uint16_t)(sign | half);
    }
    half = (uint32_t)exp << 10 | mant >> 13;
    rest = mant & 0x1fffu;
    half += rest > 0x1000u || (rest == 0x1000u && (half & 1)); /* may carry into the exponent, as it should */
    return (uint16_t)(sign | half);
}

float coco_half_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = h >> 10 & 31u, mant = h & 0x3ffu, x;
    float f;

    if (exp == 0) {
        f = ldexpf((float)mant, -24);
        return sign ? -f : f;
    }
    x = sign | (exp == 31 ? 0x7f800000u : (exp + 112) << 23) | mant << 13;
    memcpy(&f, &x, sizeof f);
    return f;
}
