/* test_value.c - values: accessors, equality and order, canonical and stored encodings, decoding, printing, JSON.
 *
 * Random tests print their seed; SEED=n in the environment replays one. */
#include "../engine/engine.h"

#include <math.h>
#include <setjmp.h>
/* setjmp, stdarg, stddef and stdint must stand before cmocka */
#include <cmocka.h>

/* An allocator that counts what is live and fails on demand. */
typedef struct counter {
    long live;  /* allocations not freed */
    long calls; /* so far */
    long fail;  /* the call that fails, and all behind it; 0: none */
    size_t bytes; /* asked for, in all */
} counter;

static counter count;
static uint64_t seed;
static coco__arena arena; /* of the running test */
static coco__buf buf;     /* likewise */

static void *counted(void *self, void *p, size_t n)
{
    counter *c = self;

    if (n == 0) {
        c->live -= p != NULL;
        free(p);
        return NULL;
    }
    if (++c->calls >= c->fail && c->fail) return NULL;
    c->bytes += n;
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
    return 0;
}

static int end(void **state)
{
    (void)state;
    coco__arena_free(&arena);
    coco__buf_free(&buf);
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

/* Few different values of each kind, so that equal ones are common. */
static coco_str random_str(void)
{
    static const char bytes[] = "ab\0\xff\xc3\xa4\"";
    size_t n = chance() % 4, i;
    char *s = coco__arena_alloc(&arena, n);

    for (i = 0; i < n; i++) s[i] = bytes[chance() % 7];
    return (coco_str){ s, n };
}

static coco_value random_value(int depth);

static coco_value random_vector(void)
{
    static const float floats[] = { 0.0F, -0.0F, 1.5F, -2.0F, 1e30F };
    size_t n = chance() % 3, i;
    float *f = coco__arena_alloc(&arena, n * sizeof *f);

    for (i = 0; i < n; i++) f[i] = chance() % 6 ? floats[chance() % 5] : NAN;
    return coco_vector(f, n);
}

static coco_value random_list(int depth)
{
    size_t n = chance() % 4, i;
    coco_value *items = coco__arena_alloc(&arena, n * sizeof *items);

    for (i = 0; i < n; i++) items[i] = random_value(depth - 1);
    return coco_list(items, n);
}

/* Keys differ in their first byte; a random rotation gives the order. */
static coco_value random_map(int depth)
{
    static const char *names[] = { "a", "b", "c", "d" };
    size_t n = chance() % 5, first = chance() % 4, i;
    coco_pair *pairs = coco__arena_alloc(&arena, n * sizeof *pairs);

    for (i = 0; i < n; i++) pairs[i] = (coco_pair){ coco_str_of(names[(first + i) % 4]), random_value(depth - 1) };
    return coco_map_value(pairs, n);
}

static coco_value random_scalar(void)
{
    static const double floats[] = { 0.0, -0.0, 1.5, -2.0, 1e300, 5e-324 };
    static const int64_t ints[] = { 0, 1, -1, 255, 256, -256, INT64_MAX, INT64_MIN };
    uint8_t uuid[16] = { 0 };
    coco_value v;

    switch (chance() % 8) {
    case 0: return coco_bool(chance() % 2);
    case 1: return coco_int(ints[chance() % 8]);
    case 2: return coco_float(chance() % 7 ? floats[chance() % 6] : NAN);
    case 3: return coco_text_n(random_str());
    case 4: v = coco_text_n(random_str()); return coco_bytes(v.as.s.p.bytes, v.as.s.u.n);
    case 5: v = coco_text_n(random_str()); v.kind = COCO_SYMBOL; return v;
    case 6: uuid[chance() % 16] = (uint8_t)chance() & 1; return coco_uuid(uuid);
    default: return coco_null();
    }
}

static coco_value random_value(int depth)
{
    uint64_t c = chance() % 8;

    if (depth > 0 && c == 0) return random_map(depth);
    if (depth > 0 && c == 1) return random_list(depth);
    return c == 2 ? random_vector() : random_scalar();
}

static coco_value get(coco_str encoded, coco_status expected)
{
    coco__reader r = coco__reader_of(encoded.p, encoded.n);
    coco_value v;

    assert_int_equal(coco__value_get(&r, &arena, &v), expected);
    assert_int_equal(coco__left(&r), 0);
    return v;
}

static coco_str put(coco_value v, coco__encoding how)
{
    buf.n = 0;
    assert_int_equal(coco__value_put(&buf, v, how), 0);
    return (coco_str){ coco__arena_copy(&arena, buf.p, buf.n), buf.n };
}

static const char *printed(coco_value v)
{
    buf.n = 0;
    coco__value_print(&buf, v);
    return coco__buf_cstr(&buf);
}

static const char *json(coco_value v)
{
    buf.n = 0;
    coco__value_json(&buf, v);
    return coco__buf_cstr(&buf);
}

static int sign(int c)
{
    return (c > 0) - (c < 0);
}

static const coco_class some_class = { .type = "some_class" }, other_class = { .type = "other_class" };

static void accessors_give_what_a_value_holds(void **state)
{
    coco_value items[] = { coco_int(1), coco_text("two") };
    coco_pair pairs[] = { { COCO_STR("k"), coco_int(5) }, { COCO_STR("l"), coco_bool(true) } };
    coco_value list = coco_list(items, 2), map = coco_map_value(pairs, 2), object = coco_object(&some_class, items);

    (void)state;
    assert_true(coco_str_equal(coco_text_of(coco_text("abc")), COCO_STR("abc")));
    assert_true(coco_str_equal(coco_text_of(coco_symbol("abc")), COCO_STR("abc")));
    assert_true(coco_str_equal(coco_text_of(coco_bytes("\0b", 2)), COCO_STR("\0b")));
    assert_int_equal(coco_int_of(coco_int(-5)), -5);
    assert_true(coco_float_of(coco_float(1.5)) == 1.5 && coco_float_of(coco_int(2)) == 2.0);
    assert_true(coco_bool_of(coco_bool(true)));
    assert_true(coco_object_of(object, &some_class) == items);
    assert_int_equal(coco_int_of(coco_at(list, 0)), 1);
    assert_int_equal(coco_int_of(coco_get(map, "k")), 5);
    assert_int_equal(coco_count(list), 2);
    assert_int_equal(coco_count(coco_text("abc")), 3);
}

static void another_kind_gives_nothing(void **state)
{
    coco_value object = coco_object(&some_class, &count);

    (void)state;
    assert_int_equal(coco_text_of(coco_int(1)).n, 0);
    assert_int_equal(coco_int_of(coco_float(1.5)), 0);
    assert_true(coco_float_of(coco_text("1")) == 0.0);
    assert_false(coco_bool_of(coco_int(1)));
    assert_null(coco_object_of(object, &other_class));
    assert_null(coco_object_of(coco_null(), &some_class));
    assert_int_equal(coco_at(coco_list(NULL, 0), 0).kind, COCO_NULL);
    assert_int_equal(coco_get(coco_map_value(NULL, 0), "k").kind, COCO_NULL);
    assert_int_equal(coco_get(coco_int(1), "k").kind, COCO_NULL);
    assert_int_equal(coco_count(object), 0);
    assert_int_equal(coco_text(NULL).kind, COCO_NULL);
    assert_int_equal(coco_symbol(NULL).kind, COCO_NULL);
    assert_int_equal(coco_str_of(NULL).n, 0);
}

static void constant_forms_equal_the_functions(void **state)
{
    static const coco_value text = COCO_TEXT("abc"), integer = COCO_INTEGER(7);

    (void)state;
    assert_true(coco_equal(text, coco_text("abc")));
    assert_true(coco_equal(integer, coco_int(7)));
}

static void equal_values_encode_equally_and_only_they(void **state)
{
    int i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 20000; i++) {
        coco_value a = random_value(3), b = chance() % 4 ? random_value(3) : a;
        coco_str x = put(a, COCO__CANONICAL), y = put(b, COCO__CANONICAL);
        uint8_t f[16], g[16];

        assert_int_equal(coco_equal(a, b), coco_str_equal(x, y));
        assert_int_equal(coco_compare(a, b) == 0, coco_str_equal(x, y));
        assert_int_equal(coco_fingerprint(a, f), 0);
        coco_fingerprint_bytes(x.p, x.n, g);
        assert_memory_equal(f, g, 16);
        coco__arena_reset(&arena);
    }
}

static void order_is_total(void **state)
{
    int i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 50000; i++) {
        coco_value a = random_value(2), b = random_value(2), c = random_value(2);

        assert_int_equal(coco_compare(a, a), 0);
        assert_int_equal(sign(coco_compare(a, b)), -sign(coco_compare(b, a)));
        if (coco_compare(a, b) <= 0 && coco_compare(b, c) <= 0) assert_true(coco_compare(a, c) <= 0);
        coco__arena_reset(&arena);
    }
}

static void values_read_back_from_both_encodings(void **state)
{
    int i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 10000; i++) {
        coco_value v = random_value(4), copy;
        coco_str stored = put(v, COCO__STORED), again;

        copy = get(stored, 0);
        again = put(copy, COCO__STORED);
        assert_true(coco_equal(copy, v));
        assert_true(coco_str_equal(again, stored));
        assert_true(coco_equal(get(put(v, COCO__CANONICAL), 0), v));
        assert_int_equal(coco__value_copy(&arena, v, &copy), 0);
        assert_true(coco_equal(copy, v));
        coco__arena_reset(&arena);
    }
}

/* Every value that is cut off anywhere is refused. */
static void cut_off_values_are_refused(void **state)
{
    int i;
    size_t n;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 300; i++) {
        coco_str s = put(random_value(3), COCO__CANONICAL);

        for (n = 0; n < s.n; n++) {
            char *exact = malloc(n ? n : 1); /* lets the sanitizer see a read beyond */

            assert_non_null(exact);
            memcpy(exact, s.p, n);
            assert_int_equal(get((coco_str){ exact, n }, COCO_ECORRUPT).kind, COCO_NULL);
            free(exact);
        }
        coco__arena_reset(&arena);
    }
}

static void changed_bytes_never_decode_to_something_else_encoded(void **state)
{
    int i;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 20000; i++) {
        coco_str s = put(random_value(3), COCO__STORED);
        coco__reader r;
        coco_value v;
        size_t used;

        ((char *)(uintptr_t)s.p)[chance() % s.n] ^= (char)(1 << chance() % 8);
        r = coco__reader_of(s.p, s.n);
        if (coco__value_get(&r, &arena, &v) == 0) {
            used = s.n - coco__left(&r);
            assert_true(coco_str_equal(put(v, COCO__STORED), (coco_str){ s.p, used }));
        }
        coco__arena_reset(&arena);
    }
}

static void malformed_encodings_are_refused(void **state)
{
    static const coco_str bad[] = {
        { "", 0 },
        { "\x00", 1 },                                     /* no tag */
        { "\x0d", 1 },                                     /* nor this */
        { "\x05\x80\x00", 3 },                             /* a varint that isn't the shortest */
        { "\x06\x7f\xf8\x00\x00\x00\x00\x00\x01", 9 },     /* another NaN */
        { "\x0a\x01\x01\x00\xc0\xff", 6 },                 /* the same in a vector */
        { "\x07\x05" "abcd", 6 },                          /* a text that is too short */
        { "\x0b\x02\x01", 3 },                             /* an item is missing */
        { "\x0c\x02\x01k\x01\x01k\x01", 8 },               /* a key that came twice */
        { "\x0c\x03\x01k\x01\x01j\x01\x01k\x01", 11 },     /* the same, not side by side */
        { "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 }, /* a vector of 2^64-1 */
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) get(bad[i], COCO_ECORRUPT);
}

/* A list of n that begins with a list of n-2 that …: what each promises is there for one of them alone. */
static void counts_that_overlap_take_no_memory(void **state)
{
    enum { N = 60000 };
    uint8_t *bytes = calloc(1, N);
    size_t i, n;

    (void)state;
    assert_non_null(bytes);
    for (i = 0; i + 4 < 800; i += 4) {
        n = N - i - 4;
        bytes[i] = 0x0b;
        bytes[i + 1] = (uint8_t)(n | 0x80);
        bytes[i + 2] = (uint8_t)(n >> 7 | 0x80);
        bytes[i + 3] = (uint8_t)(n >> 14);
    }
    get((coco_str){ (const char *)bytes, N }, COCO_ECORRUPT);
    assert_true(count.bytes < 100 * (size_t)N);
    free(bytes);
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
    char bytes[1000];
    coco_value copy;
    uint8_t fp[16];
    size_t i;

    (void)state;
    assert_true(coco_equal(get(put(nested(200), COCO__CANONICAL), 0), nested(200)));
    buf.n = 0;
    assert_int_equal(coco__value_put(&buf, nested(201), COCO__STORED), COCO_EINVAL);
    assert_int_equal(buf.n, 0);
    assert_int_equal(coco_fingerprint(nested(201), fp), COCO_EINVAL);
    assert_int_equal(coco__value_copy(&arena, nested(201), &copy), COCO_EINVAL);
    assert_int_equal(copy.kind, COCO_NULL);
    for (i = 0; i < 402; i += 2) memcpy(bytes + i, "\x0b\x01", 2);
    bytes[402] = 1;
    get((coco_str){ bytes, 403 }, COCO_ECORRUPT);
    get((coco_str){ bytes + 2, 401 }, 0);
    assert_int_equal(strlen(printed(nested(300))), 200 + 4 + 200);
}

static void nans_are_one_value_and_zeros_are_two(void **state)
{
    uint64_t bits = UINT64_C(0xfff8000000000123);
    uint32_t bits32 = 0xffc00001;
    double odd;
    float odd32, plain32 = NAN, zero32 = 0.0F, minus32 = -0.0F;

    (void)state;
    memcpy(&odd, &bits, 8);
    memcpy(&odd32, &bits32, 4);
    assert_true(coco_equal(coco_float(odd), coco_float(NAN)));
    assert_true(coco_equal(coco_vector(&odd32, 1), coco_vector(&plain32, 1)));
    assert_true(coco_str_equal(put(coco_float(odd), COCO__CANONICAL), put(coco_float(NAN), COCO__CANONICAL)));
    assert_true(coco_str_equal(put(coco_vector(&odd32, 1), COCO__STORED), put(coco_vector(&plain32, 1), COCO__STORED)));
    assert_false(coco_equal(coco_float(0.0), coco_float(-0.0)));
    assert_false(coco_equal(coco_vector(&zero32, 1), coco_vector(&minus32, 1)));
    assert_true(coco_compare(coco_float(-0.0), coco_float(0.0)) < 0);
    assert_true(coco_compare(coco_float(-INFINITY), coco_float(-1e300)) < 0);
    assert_true(coco_compare(coco_float(INFINITY), coco_float(NAN)) < 0);
}

enum { LARGE = 1000 };

/* A map of LARGE entries in an order chosen by step (prime to LARGE). */
static coco_value large_map(size_t step)
{
    coco_pair *pairs = coco__arena_alloc(&arena, LARGE * sizeof *pairs);
    char key[8];
    size_t i, k;

    for (i = 0, k = 0; i < LARGE; i++, k = (k + step) % LARGE) {
        snprintf(key, sizeof key, "%zu", k);
        pairs[i].key = (coco_str){ coco__arena_copy(&arena, key, strlen(key)), strlen(key) };
        pairs[i].value = coco_int((int64_t)k);
    }
    return coco_map_value(pairs, LARGE);
}

static void value_maps_fingerprint_without_order(void **state)
{
    coco_value a = large_map(1), b = large_map(37);
    uint8_t f[16], g[16];

    (void)state;
    assert_int_equal(coco_fingerprint(a, f), 0);
    assert_int_equal(coco_fingerprint(b, g), 0);
    assert_memory_equal(f, g, 16);
    assert_true(coco_equal(a, b));
    assert_true(coco_str_equal(put(a, COCO__CANONICAL), put(b, COCO__CANONICAL)));
    assert_false(coco_str_equal(put(a, COCO__STORED), put(b, COCO__STORED)));
}

static void large_map_sorts_without_memory_too(void **state)
{
    coco_value a = large_map(37), twin = large_map(37);
    coco_str expected = put(a, COCO__CANONICAL);

    (void)state;
    ((coco_pair *)(uintptr_t)twin.as.s.p.pairs)[500].key = twin.as.s.p.pairs[3].key;
    buf.n = 0;
    count.calls = 0;
    count.fail = 1;
    assert_int_equal(coco__value_put(&buf, a, COCO__CANONICAL), 0);
    assert_true(count.calls > 0);
    assert_true(coco_str_equal((coco_str){ (const char *)buf.p, buf.n }, expected));
    assert_int_equal(coco__value_put(&buf, twin, COCO__CANONICAL), COCO_EINVAL);
    count.fail = 0;
    assert_int_equal(coco__value_put(&buf, twin, COCO__CANONICAL), COCO_EINVAL);
}

static void a_key_that_came_twice_is_invalid(void **state)
{
    coco_pair a = { COCO_STR("a"), coco_int(2) }, b = { COCO_STR("b"), coco_int(1) }, pairs[] = { b, a, b };
    coco_value v = coco_map_value(pairs, 3);
    uint8_t fp[16];

    (void)state;
    assert_int_equal(coco__value_put(&buf, v, COCO__CANONICAL), COCO_EINVAL);
    assert_int_equal(coco__value_put(&buf, v, COCO__STORED), COCO_EINVAL);
    assert_int_equal(coco_fingerprint(v, fp), COCO_EINVAL);
    assert_int_equal(buf.n, 0);
    assert_true(coco_equal(v, v));
}

static void objects_have_no_encoding(void **state)
{
    coco_value object = coco_object(&some_class, &count), copy;
    uint8_t fp[16];

    (void)state;
    assert_int_equal(coco__value_put(&buf, coco_list(&object, 1), COCO__STORED), COCO_ETYPE);
    assert_int_equal(buf.n, 0);
    assert_int_equal(coco_fingerprint(object, fp), COCO_ETYPE);
    assert_int_equal(coco__value_copy(&arena, coco_list(&object, 1), &copy), 0);
    assert_ptr_equal(coco_object_of(coco_at(copy, 0), &some_class), &count);
    assert_true(coco_equal(copy, coco_list(&object, 1)));
}

/* The number is what this encoding gives: it stands in databases, so a change is a new COCO_FORMAT_VERSION. */
static void fingerprint_is_the_same_on_every_machine(void **state)
{
    static const uint8_t expected[16] = {
        0x28, 0x25, 0x02, 0x88, 0x74, 0x84, 0x50, 0xd9,
        0x84, 0xad, 0x84, 0x8a, 0x19, 0xfd, 0x4a, 0x9c,
    };
    static const float f[] = { 1, 2.5F };
    uint8_t uuid[16], fp[16];
    coco_value items[4];
    coco_pair p[6];
    size_t i;

    (void)state;
    for (i = 0; i < 16; i++) uuid[i] = (uint8_t)(i * 37 + 11);
    items[0] = coco_int(-3);
    items[1] = coco_bool(true);
    items[2] = coco_uuid(uuid);
    items[3] = coco_bytes("\1\2", 2);
    p[0] = (coco_pair){ COCO_STR("z"), coco_list(items, 4) };
    p[1] = (coco_pair){ COCO_STR("a"), coco_vector(f, 2) };
    p[2] = (coco_pair){ COCO_STR("m"), coco_float(-0.0) };
    p[3] = (coco_pair){ COCO_STR("s"), coco_symbol("sym") };
    p[4] = (coco_pair){ COCO_STR("n"), coco_null() };
    p[5] = (coco_pair){ COCO_STR("t"), coco_text("text") };
    assert_int_equal(coco_fingerprint(coco_map_value(p, 6), fp), 0);
    assert_memory_equal(fp, expected, 16);
}

static void copies_outlive_what_they_were_made_of(void **state)
{
    char text[] = "text", key[] = "key";
    float f[] = { 1, 2 };
    coco_value items[2], copy;
    coco_pair pair = { coco_str_of(key), coco_null() };

    (void)state;
    items[0] = coco_text(text);
    items[1] = coco_vector(f, 2);
    pair.value = coco_list(items, 2);
    assert_int_equal(coco__value_copy(&arena, coco_map_value(&pair, 1), &copy), 0);
    memset(text, 'x', 4);
    memset(key, 'x', 3);
    memset(f, 0, sizeof f);
    items[0] = items[1] = coco_null();
    pair.value = coco_null();
    assert_string_equal(printed(copy), "{\"key\":[\"text\",<1,2>]}");
    assert_string_equal(coco_text_of(coco_at(coco_get(copy, "key"), 0)).p, "text");
}

/* The Nth allocation fails, for every N. */
static void lack_of_memory_is_a_status(void **state)
{
    coco_value v = large_map(37), out;
    coco_str stored = put(v, COCO__STORED);
    coco_status rc;
    coco__arena a;
    coco__buf b;
    long n;

    (void)state;
    for (n = 1, rc = COCO_ENOMEM; rc; n++) {
        coco__reader r = coco__reader_of(stored.p, stored.n);

        coco__arena_init(&a, &mem);
        coco__buf_init(&b, &mem);
        count.calls = 0;
        count.fail = n;
        rc = coco__value_get(&r, &a, &out);
        if (rc == 0) rc = coco__value_copy(&a, out, &out);
        if (rc == 0) rc = coco__value_put(&b, out, COCO__CANONICAL);
        count.fail = 0;
        assert_true(rc == 0 || rc == COCO_ENOMEM);
        coco__arena_free(&a);
        coco__buf_free(&b);
    }
    assert_true(n > 10);
}

static void printing_follows_the_header(void **state)
{
    static const float f[] = { 1, 2.5F, 0.1F };
    uint8_t uuid[16] = {
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
        0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10,
    };
    coco_value items[] = { coco_text("a"), coco_int(5), coco_null() };
    coco_pair pairs[] = { { COCO_STR("k"), coco_int(1) }, { COCO_STR("\""), coco_bool(false) } };

    (void)state;
    assert_string_equal(printed(coco_null()), "null");
    assert_string_equal(printed(coco_symbol("convert")), "@convert");
    assert_string_equal(printed(coco_symbol("a b")), "@\"a b\"");
    assert_string_equal(printed(coco_symbol("")), "@\"\"");
    assert_string_equal(printed(coco_symbol("1a")), "@\"1a\"");
    assert_string_equal(printed(coco_symbol("_x.y-1")), "@_x.y-1");
    assert_string_equal(printed(coco_bool(true)), "true");
    assert_string_equal(printed(coco_int(INT64_MIN)), "-9223372036854775808");
    assert_string_equal(printed(coco_text("quoted")), "\"quoted\"");
    assert_string_equal(printed(coco_bytes("\x00\xff", 2)), "b\"00ff\"");
    assert_string_equal(printed(coco_uuid(uuid)), "01234567-89ab-cdef-fedc-ba9876543210");
    assert_string_equal(printed(coco_list(items, 3)), "[\"a\",5,null]");
    assert_string_equal(printed(coco_vector(f, 3)), "<1,2.5,0.1>");
    assert_string_equal(printed(coco_map_value(pairs, 2)), "{\"k\":1,\"\\\"\":false}");
    assert_string_equal(printed(coco_object(&some_class, items)), "(some_class)");
    assert_string_equal(printed(coco_object(NULL, items)), "(object)");
}

static void floats_print_shortest_and_never_like_ints(void **state)
{
    int i;

    (void)state;
    assert_string_equal(printed(coco_float(1.5)), "1.5");
    assert_string_equal(printed(coco_float(1)), "1.0");
    assert_string_equal(printed(coco_float(-0.0)), "-0.0");
    assert_string_equal(printed(coco_float(0.1)), "0.1");
    assert_string_equal(printed(coco_float(1e300)), "1e+300");
    assert_string_equal(printed(coco_float(NAN)), "nan");
    assert_string_equal(printed(coco_float(-INFINITY)), "-inf");
    print_message("SEED=%llu\n", (unsigned long long)seed);
    for (i = 0; i < 2000; i++) {
        uint64_t bits = chance();
        double d;

        memcpy(&d, &bits, 8);
        if (!isnan(d)) assert_true(coco_equal(coco_float(strtod(printed(coco_float(d)), NULL)), coco_float(d)));
    }
}

static void texts_print_escaped(void **state)
{
    (void)state;
    assert_string_equal(printed(coco_text("a\"b\\c\nd\te\x01\x7f")), "\"a\\\"b\\\\c\\nd\\te\\u0001\\u007f\"");
    assert_string_equal(printed(coco_text("\xc3\xa4\xe2\x82\xac")), "\"\xc3\xa4\xe2\x82\xac\"");
    assert_string_equal(printed(coco_text("\xf0\x9f\x98\x80")), "\"\xf0\x9f\x98\x80\"");
    assert_string_equal(printed(coco_text("\xc2\x9b")), "\"\\u009b\"");
    assert_string_equal(printed(coco_text("a\xff\xc3")), "\"a\\xff\\xc3\"");
    assert_string_equal(printed(coco_text("\xed\xa0\x80")), "\"\\xed\\xa0\\x80\"");
    assert_string_equal(printed(coco_text("\xc0\x80\xf4\x90\x80\x80")), "\"\\xc0\\x80\\xf4\\x90\\x80\\x80\"");
    assert_string_equal(printed(coco_text_n(COCO_STR("\0"))), "\"\\u0000\"");
}

static void json_is_json(void **state)
{
    static const float f[] = { 1, NAN };
    uint8_t uuid[16] = { 0 };
    coco_value items[5];
    coco_pair pairs[] = { { COCO_STR("k"), coco_bytes("\x01\xff", 2) }, { COCO_STR("l\n"), coco_symbol("sym") } };

    (void)state;
    items[0] = coco_float(NAN);
    items[1] = coco_float(INFINITY);
    items[2] = coco_vector(f, 2);
    items[3] = coco_uuid(uuid);
    items[4] = coco_object(&some_class, items);
    assert_string_equal(json(coco_list(items, 5)),
                        "[null,null,[1,null],\"00000000-0000-0000-0000-000000000000\",null]");
    assert_string_equal(json(coco_text_n((coco_str){ NULL, 0 })), "\"\"");
    assert_string_equal(json(coco_text("\t")), "\"\\t\"");
    assert_string_equal(json(coco_map_value(pairs, 2)), "{\"k\":\"01ff\",\"l\\n\":\"sym\"}");
    assert_string_equal(json(coco_text("a\xff")), "\"a\xef\xbf\xbd\"");
    assert_string_equal(json(coco_float(2)), "2.0");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(accessors_give_what_a_value_holds),
        TEST(another_kind_gives_nothing),
        TEST(constant_forms_equal_the_functions),
        TEST(equal_values_encode_equally_and_only_they),
        TEST(order_is_total),
        TEST(values_read_back_from_both_encodings),
        TEST(cut_off_values_are_refused),
        TEST(changed_bytes_never_decode_to_something_else_encoded),
        TEST(malformed_encodings_are_refused),
        TEST(counts_that_overlap_take_no_memory),
        TEST(nesting_has_a_limit),
        TEST(nans_are_one_value_and_zeros_are_two),
        TEST(value_maps_fingerprint_without_order),
        TEST(large_map_sorts_without_memory_too),
        TEST(a_key_that_came_twice_is_invalid),
        TEST(objects_have_no_encoding),
        TEST(fingerprint_is_the_same_on_every_machine),
        TEST(copies_outlive_what_they_were_made_of),
        TEST(lack_of_memory_is_a_status),
        TEST(printing_follows_the_header),
        TEST(floats_print_shortest_and_never_like_ints),
        TEST(texts_print_escaped),
        TEST(json_is_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
