/* test_key.c - stable keys and paths: order of the encoding, decoding, printed form and parser.
 *
 * Random tests print their seed; SEED=n in the environment replays one. */
#include "../engine/engine.h"

#include <setjmp.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

/* An allocator that counts what is live and fails on demand. */
typedef struct counter {
    long live;  /* allocations not freed */
    long calls; /* so far */
    long fail;  /* the call that fails, and all behind it; 0: none */
} counter;

static counter count;
static uint64_t seed;
static coco__arena arena;  /* of the running test */
static coco__buf buf, text; /* likewise */

static void *counted(void *self, void *p, size_t n)
{
    counter *c = self;

    if (n == 0) {
        c->live -= p != NULL;
        free(p);
        return NULL;
    }
    if (++c->calls >= c->fail && c->fail) return NULL;
    c->live += p == NULL;
    return realloc(p, n);
}

static const coco__mem mem = { { counted, &count } };

static int begin(void **state)
{
    const char *s = getenv("SEED");

    (void)state;
    seed = s ? strtoull(s, NULL, 10) : 20240601;
    count = (counter){ 0 };
    coco__arena_init(&arena, &mem);
    coco__buf_init(&buf, &mem);
    coco__buf_init(&text, &mem);
    return 0;
}

static int end(void **state)
{
    (void)state;
    coco__arena_free(&arena);
    coco__buf_free(&buf);
    coco__buf_free(&text);
    assert_int_equal(count.live, 0);
    return 0;
}

/* splitmix64 */
static uint64_t chance(void)
{
    uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Short strings over the bytes that matter: 00, 01, FF, quotes, backslash, slash, parts of UTF-8. */
static coco_str random_str(void)
{
    static const char bytes[] = "\0\0\xff\x01" "ab\"\\/\n\xc3\xa4\xc2\x85\x7f";
    size_t n = chance() % 5, i;
    char *s = coco__arena_alloc(&arena, n);

    for (i = 0; i < n; i++) s[i] = bytes[chance() % 15];
    return (coco_str){ s, n };
}

static int64_t random_int(void)
{
    uint64_t v = UINT64_C(1) << chance() % 64;

    v += chance() % 3 - 1;
    return (int64_t)(chance() % 2 ? v : 0 - v);
}

static coco_value random_key(int depth)
{
    uint8_t uuid[16] = { 0 };
    coco_value v, *items;
    size_t n, i;

    switch (chance() % (depth > 0 ? 9 : 7)) {
    case 0: return coco_null();
    case 1: return coco_bool(chance() % 2);
    case 2: return coco_int(random_int());
    case 3: v = coco_text_n(random_str()); v.kind = COCO_SYMBOL; return v;
    case 4: v = coco_text_n(random_str()); v.kind = COCO_BYTES; return v;
    case 5: uuid[chance() % 16] = (uint8_t)chance(); return coco_uuid(uuid);
    case 6: return coco_text_n(random_str());
    default:
        n = chance() % 4;
        items = coco__arena_alloc(&arena, n * sizeof *items);
        for (i = 0; i < n; i++) items[i] = random_key(depth - 1);
        return coco_list(items, n);
    }
}

static coco_str put(coco_value key)
{
    buf.n = 0;
    assert_int_equal(coco__key_put(&buf, key), 0);
    return (coco_str){ coco__arena_copy(&arena, buf.p, buf.n), buf.n };
}

static int sign(int c)
{
    return (c > 0) - (c < 0);
}

static int bytes_compare(coco_str a, coco_str b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return c ? sign(c) : (a.n > b.n) - (a.n < b.n);
}

static const char *printed(coco_value key)
{
    coco_str s = put(key);

    text.n = 0;
    coco__key_print(&text, s.p, s.n);
    return coco__buf_cstr(&text);
}

static const char *path_printed(const void *p, size_t n)
{
    text.n = 0;
    coco__path_print(&text, p, n);
    return coco__buf_cstr(&text);
}

static void encodings_sort_as_keys_do(void **state)
{
    int i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 50000; i++) {
        coco_value a = random_key(3), b = random_key(3);

        assert_int_equal(bytes_compare(put(a), put(b)), sign(coco_compare(a, b)));
        coco__arena_reset(&arena);
    }
}

static void kinds_sort_in_the_order_of_the_header(void **state)
{
    uint8_t uuid[16] = { 0 };
    coco_value keys[10];
    coco_str last = { "", 0 }, s;
    size_t i;

    (void)state;
    keys[0] = coco_null();
    keys[1] = coco_symbol("z");
    keys[2] = coco_bool(false);
    keys[3] = coco_bool(true);
    keys[4] = coco_int(INT64_MIN);
    keys[5] = coco_int(INT64_MAX);
    keys[6] = coco_text("");
    keys[7] = coco_bytes("", 0);
    keys[8] = coco_uuid(uuid);
    keys[9] = coco_list(NULL, 0);
    for (i = 0; i < 10; i++, last = s) {
        s = put(keys[i]);
        assert_true(bytes_compare(last, s) < 0);
    }
}

/* So a text and the same with a zero behind it are told apart by what follows, which is never FF behind a whole key. */
static void only_ff_continues_a_whole_key(void **state)
{
    int i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 50000; i++) {
        coco_str a = put(random_key(3)), b = put(random_key(3));

        if (a.n < b.n && memcmp(a.p, b.p, a.n) == 0) assert_int_equal((uint8_t)b.p[a.n], 0xff);
        coco__arena_reset(&arena);
    }
}

static void keys_read_back(void **state)
{
    int i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 20000; i++) {
        coco_value key = random_key(4), out;
        coco_str s = put(key);
        coco__reader r;

        coco__buf_put(&buf, "tail", 4);
        r = coco__reader_of(buf.p, buf.n);
        assert_int_equal(coco__key_get(&r, &arena, &out), 0);
        assert_int_equal(coco__left(&r), 4);
        assert_true(coco_equal(key, out));
        assert_int_equal(coco__key_length(buf.p, buf.n), s.n);
        coco__arena_reset(&arena);
    }
}

static void cut_off_keys_are_refused(void **state)
{
    int i;
    size_t n;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 2000; i++) {
        coco_str s = put(random_key(3));

        for (n = 0; n < s.n; n++) {
            uint8_t *exact = malloc(n ? n : 1); /* lets the sanitizer see a read beyond */
            coco__reader r;
            coco_value out;
            coco_status rc;
            size_t length;

            assert_non_null(exact);
            memcpy(exact, s.p, n);
            r = coco__reader_of(exact, n);
            rc = coco__key_get(&r, &arena, &out);
            length = coco__key_length(exact, n);
            free(exact);
            if ((uint8_t)s.p[n] == 0xff && length == n) continue; /* cut within an escaped zero: a shorter text */
            assert_int_equal(rc, COCO_ECORRUPT);
            assert_int_equal(length, 0);
        }
        coco__arena_reset(&arena);
    }
}

/* What decodes is what the encoder gives, so that equal keys are equal bytes even after damage. */
static void changed_bytes_decode_to_what_encodes_so(void **state)
{
    int i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 50000; i++) {
        coco_str s = put(random_key(3));
        coco_value out;
        coco__reader r;
        size_t len;

        ((char *)(uintptr_t)s.p)[chance() % s.n] ^= (char)(1 << chance() % 8);
        len = coco__key_length((const uint8_t *)s.p, s.n);
        r = coco__reader_of(s.p, s.n);
        assert_int_equal(coco__key_get(&r, &arena, &out) == 0, len > 0);
        if (len) assert_true(coco_str_equal(put(out), (coco_str){ s.p, len }));
        coco__arena_reset(&arena);
    }
}

static void malformed_keys_are_refused(void **state)
{
    static const coco_str bad[] = {
        { "", 0 },
        { "\x00", 1 },
        { "\x01", 1 },                                 /* the end of a list that never began */
        { "\x1b", 1 },                                 /* no such tag */
        { "\x0f\x00", 2 },                             /* zero in one byte */
        { "\x10\x00\x05", 3 },                         /* five in two */
        { "\x16\x80\x00\x00\x00\x00\x00\x00\x00", 9 }, /* 2^63 */
        { "\x06\x7f\xff\xff\xff\xff\xff\xff\xfe", 9 }, /* -2^63-1 */
        { "\x0d\xff", 2 },                             /* minus zero */
        { "\x17" "ab", 3 },                            /* no terminator */
        { "\x17" "ab\x00\xff", 5 },                    /* nor here */
        { "\x1a\x02", 2 },                             /* no end of the list */
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        coco__reader r = coco__reader_of(bad[i].p, bad[i].n);
        coco_value out;

        assert_int_equal(coco__key_get(&r, &arena, &out), COCO_ECORRUPT);
        assert_int_equal(coco__key_length((const uint8_t *)bad[i].p, bad[i].n), 0);
    }
}

static void what_is_no_stable_key_is_refused(void **state)
{
    float f = 1;
    coco_value inner = coco_float(1.5);

    (void)state;
    assert_int_equal(coco__key_put(&buf, inner), COCO_ETYPE);
    assert_int_equal(coco__key_put(&buf, coco_vector(&f, 1)), COCO_ETYPE);
    assert_int_equal(coco__key_put(&buf, coco_map_value(NULL, 0)), COCO_ETYPE);
    assert_int_equal(coco__key_put(&buf, coco_object(NULL, &f)), COCO_ETYPE);
    assert_int_equal(coco__key_put(&buf, coco_list(&inner, 1)), COCO_ETYPE);
    assert_int_equal(buf.n, 0);
}

/* depth lists within each other. */
static coco_value nested(size_t depth)
{
    coco_value v = coco_null();

    while (depth--) v = coco_list(coco__arena_copy(&arena, &v, sizeof v), 1);
    return v;
}

static void nesting_has_a_limit(void **state)
{
    coco_str s = put(nested(200));
    uint8_t bytes[1000];
    char brackets[300];
    coco__reader r;
    coco_value out;
    coco_err err;

    (void)state;
    assert_int_equal(coco__key_length((const uint8_t *)s.p, s.n), s.n);
    r = coco__reader_of(s.p, s.n);
    assert_int_equal(coco__key_get(&r, &arena, &out), 0);
    assert_int_equal(coco__key_put(&buf, nested(201)), COCO_EINVAL);
    memset(bytes, 0x1a, 201);
    memset(bytes + 201, 0x01, 201);
    r = coco__reader_of(bytes, 402);
    assert_int_equal(coco__key_get(&r, &arena, &out), COCO_ECORRUPT);
    assert_int_equal(coco__key_length(bytes, 402), 0);
    assert_int_equal(coco__key_length(bytes + 1, 400), 400);
    memset(brackets, '[', 299);
    brackets[0] = '/';
    brackets[299] = '\0';
    assert_int_equal(coco__path_parse(brackets, &buf, &err), COCO_EPARSE);
    assert_non_null(strstr(err.msg, "at byte 203: lists are nested too deep"));
}

static void text_prefix_covers_what_begins_so(void **state)
{
    int i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 50000; i++) {
        coco_str prefix = random_str(), whole = random_str(), encoded;
        bool begins = prefix.n <= whole.n && memcmp(prefix.p, whole.p, prefix.n) == 0;

        encoded = put(coco_text_n(whole));
        buf.n = 0;
        coco__key_text_prefix(&buf, prefix);
        assert_int_equal(buf.n <= encoded.n && memcmp(buf.p, encoded.p, buf.n) == 0, begins);
        coco__arena_reset(&arena);
    }
}

static void keys_print_as_the_rules_say(void **state)
{
    static const char *expected[] = { "null", "@convert", "true", "5", "\"quoted\"", "b\"6869\"",
                                      "00112233-4455-6677-8899-aabbccddeeff", "[\"a/b\",-7,[]]" };
    coco_value items[3], keys[8];
    uint8_t uuid[16];
    size_t i;

    (void)state;
    for (i = 0; i < 16; i++) uuid[i] = (uint8_t)(i * 0x11);
    items[0] = coco_text("a/b");
    items[1] = coco_int(-7);
    items[2] = coco_list(NULL, 0);
    keys[0] = coco_null();
    keys[1] = coco_symbol("convert");
    keys[2] = coco_bool(true);
    keys[3] = coco_int(5);
    keys[4] = coco_text("quoted");
    keys[5] = coco_bytes("hi", 2);
    keys[6] = coco_uuid(uuid);
    keys[7] = coco_list(items, 3);
    for (i = 0; i < 8; i++) assert_string_equal(printed(keys[i]), expected[i]);
}

static void printed_keys_parse_to_the_same_key(void **state)
{
    int i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 50000; i++) {
        coco_value key = random_key(3);
        coco_str encoded = put(key);
        coco_err err;

        text.n = buf.n = 0;
        coco__buf_byte(&text, '/');
        coco__key_print(&text, encoded.p, encoded.n);
        assert_int_equal(coco__path_parse(coco__buf_cstr(&text), &buf, &err), 0);
        assert_true(coco_str_equal((coco_str){ (const char *)buf.p, buf.n }, encoded));
        coco__arena_reset(&arena);
    }
}

static void printed_paths_parse_to_the_same_path(void **state)
{
    int i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 20000; i++) {
        size_t n = chance() % 4, path;
        const char *s;
        coco_str whole;
        coco_err err;

        for (path = 0, buf.n = 0; path < n; path++) assert_int_equal(coco__key_put(&buf, random_key(2)), 0);
        whole = (coco_str){ coco__arena_copy(&arena, buf.p, buf.n), buf.n };
        s = path_printed(whole.p, whole.n);
        buf.n = 0;
        assert_int_equal(coco__path_parse(s, &buf, &err), 0);
        assert_true(coco_str_equal((coco_str){ (const char *)buf.p, buf.n }, whole));
        coco__arena_reset(&arena);
    }
}

static void paths_print_with_slashes(void **state)
{
    (void)state;
    assert_string_equal(path_printed("", 0), "/");
    assert_int_equal(coco__key_put(&buf, coco_symbol("convert")), 0);
    assert_int_equal(coco__key_put(&buf, coco_text("a/b.md")), 0);
    assert_string_equal(path_printed(buf.p, buf.n), "/@convert/\"a/b.md\"");
}

static void malformed_bytes_print_as_hex(void **state)
{
    (void)state;
    assert_int_equal(coco__key_put(&buf, coco_int(5)), 0);
    coco__buf_put(&buf, "\x00\xfe", 2);
    assert_string_equal(path_printed(buf.p, buf.n), "/5/b\"00fe\"");
    text.n = 0;
    coco__key_print(&text, buf.p, buf.n);
    assert_string_equal(coco__buf_cstr(&text), "b\"0f0500fe\"");
}

static void what_a_user_types_parses_too(void **state)
{
    static const struct {
        const char *typed, *printed;
    } cases[] = {
        { "/", "/" },
        { "/0/-1", "/0/-1" },
        { "/b\"ABcd\"", "/b\"abcd\"" },
        { "/\"\\u00e4\\u20ac\\x41\"", "/\"\xc3\xa4\xe2\x82\xac" "A\"" },
        { "/@\"plain\"", "/@plain" },
        { "/12345678-1234-1234-1234-1234567890AB", "/12345678-1234-1234-1234-1234567890ab" },
        { "/12345678/[[],[null,true,false]]", "/12345678/[[],[null,true,false]]" },
        { "/-9223372036854775808/9223372036854775807", "/-9223372036854775808/9223372036854775807" },
    };
    coco_err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf.n = 0;
        assert_int_equal(coco__path_parse(cases[i].typed, &buf, &err), 0);
        assert_string_equal(path_printed(buf.p, buf.n), cases[i].printed);
    }
}

static void a_message_says_what_and_where(void **state)
{
    static const struct {
        const char *path, *message;
    } cases[] = {
        { "", "at byte 1: a path begins with /" },
        { "convert", "at byte 1: a path begins with /" },
        { "/5/", "at byte 4: expected a key" },
        { "//5", "at byte 2: expected a key" },
        { "/truex", "at byte 6: expected / or the end" },
        { "/convert", "at byte 2: expected a key" },
        { "/05", "at byte 2: a number has no zero in front" },
        { "/-0", "at byte 2: a number has no zero in front" },
        { "/9223372036854775808", "at byte 2: the number is beyond 64 bits" },
        { "/-9223372036854775809", "at byte 2: the number is beyond 64 bits" },
        { "/\"abc", "at byte 6: the closing quote is missing" },
        { "/\"a\\q\"", "at byte 5: unknown escape" },
        { "/\"\\u12\"", "at byte 4: \\u needs four hex digits" },
        { "/\"\\ud800\"", "at byte 4: \\u needs four hex digits" },
        { "/\"\\x1\"", "at byte 4: \\x needs two hex digits" },
        { "/\"\\", "at byte 4: unknown escape" },
        { "/b\"0\"", "at byte 4: expected two hex digits or the closing quote" },
        { "/b\"00", "at byte 6: expected two hex digits or the closing quote" },
        { "/@1", "at byte 3: expected a name or a quoted text behind @" },
        { "/@", "at byte 3: expected a name or a quoted text behind @" },
        { "/[1,2", "at byte 6: expected , or ]" },
        { "/[1,", "at byte 5: expected a key" },
        { "/[1 ,2]", "at byte 4: expected , or ]" },
    };
    coco_err err;
    size_t i;

    (void)state;
    coco__buf_str(&buf, "before");
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(coco__path_parse(cases[i].path, &buf, &err), COCO_EPARSE);
        assert_int_equal(err.code, COCO_EPARSE);
        assert_non_null(strstr(err.msg, cases[i].path));
        assert_non_null(strstr(err.msg, cases[i].message));
        assert_int_equal(coco__path_parse(cases[i].path, &buf, NULL), COCO_EPARSE);
        assert_int_equal(buf.n, 6);
    }
}

/* The Nth allocation fails, for every N. */
static void lack_of_memory_is_a_status(void **state)
{
    static const char typed[] =
        "/[\"a long text, longer than the first growth of a buffer: sixty-four\",1,2,3,4,5,6,7,8]/@s";
    coco_status rc = COCO_ENOMEM;
    coco__arena a;
    coco__buf b, c;
    coco_value out;
    long n;

    (void)state;
    for (n = 1; rc; n++) {
        coco__reader r;

        coco__arena_init(&a, &mem);
        coco__buf_init(&b, &mem);
        coco__buf_init(&c, &mem);
        count.calls = 0;
        count.fail = n;
        rc = coco__path_parse(typed, &b, NULL);
        r = coco__reader_of(b.p, b.n);
        if (rc == 0) rc = coco__key_get(&r, &a, &out);
        if (rc == 0) rc = coco__key_put(&c, out);
        if (rc == 0) coco__path_print(&c, b.p, b.n);
        if (rc == 0 && c.failed) rc = COCO_ENOMEM;
        count.fail = 0;
        assert_true(rc == 0 || rc == COCO_ENOMEM);
        coco__arena_free(&a);
        coco__buf_free(&b);
        coco__buf_free(&c);
    }
    assert_true(n > 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(encodings_sort_as_keys_do),
        TEST(kinds_sort_in_the_order_of_the_header),
        TEST(only_ff_continues_a_whole_key),
        TEST(keys_read_back),
        TEST(cut_off_keys_are_refused),
        TEST(changed_bytes_decode_to_what_encodes_so),
        TEST(malformed_keys_are_refused),
        TEST(what_is_no_stable_key_is_refused),
        TEST(nesting_has_a_limit),
        TEST(text_prefix_covers_what_begins_so),
        TEST(keys_print_as_the_rules_say),
        TEST(printed_keys_parse_to_the_same_key),
        TEST(printed_paths_parse_to_the_same_path),
        TEST(paths_print_with_slashes),
        TEST(malformed_bytes_print_as_hex),
        TEST(what_a_user_types_parses_too),
        TEST(a_message_says_what_and_where),
        TEST(lack_of_memory_is_a_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
