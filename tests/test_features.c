/* test_features.c - hashed features: what the manual in ops/features.h promises. */
#include "harness.h"
#include "ops/features.h"

#define DIMENSIONS 384

static double dot(const char *a, const char *b)
{
    float x[DIMENSIONS], y[DIMENSIONS];
    double sum = 0;

    assert_int_equal(coco_features_of(coco_str_of(a), DIMENSIONS, x), COCO_OK);
    assert_int_equal(coco_features_of(coco_str_of(b), DIMENSIONS, y), COCO_OK);
    for (size_t i = 0; i < DIMENSIONS; i++) sum += (double)x[i] * (double)y[i];
    return sum;
}

static const char *const passage =
    "The engine works out what changed in the sources, runs only the functions that depend on it, and applies the "
    "smallest set of inserts, updates and deletes to the targets.";

static void every_vector_has_length_one(void **state)
{
    static const char *const texts[] = { "", " ", "a", "a a a a", "Hello, world!", "...",
                                         "\xff\xfe", "中文", "ab cd ef" };
    static const size_t sizes[] = { 1, 2, 3, 64, 384, 1000, COCO_FEATURES_MAX };
    float v[COCO_FEATURES_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            double sum = 0;
            assert_int_equal(coco_features_of(coco_str_of(texts[i]), sizes[k], v), COCO_OK);
            for (size_t j = 0; j < sizes[k]; j++) sum += (double)v[j] * (double)v[j];
            if (sum < 0.999999 || sum > 1.000001) fail_msg("%s, %zu: %.9f", texts[i], sizes[k], sum);
        }
}

static void a_text_with_typing_errors_is_close(void **state)
{
    (void)state;
    assert_true(dot(passage, "The engin works out what chagned in the sources, runs only the fucntions that depend on "
                             "it, and aplies the smallest set of inserts, updates adn deletes to the targets.") > 0.7);
    assert_true(dot("configuration", "configuraton") > 0.5);
}

static void a_near_duplicate_is_closer_than_another_text(void **state)
{
    double near = dot(passage, "The engine works out what has changed, runs only functions that depend on it, and "
                               "applies the smallest set of inserts, updates and deletes.");
    double far = dot(passage, "Boil the potatoes for twenty minutes, drain them, and serve with butter and salt.");

    (void)state;
    assert_true(near > 0.75);
    assert_true(far < 0.25);
}

static void other_endings_of_a_word_are_nearer_than_other_words(void **state)
{
    (void)state;
    assert_true(dot("indexing documents", "index the document") > dot("indexing documents", "a purple elephant") + 0.2);
}

static void case_and_punctuation_do_not_count(void **state)
{
    (void)state;
    assert_true(dot("Hello, World!", "hello world") > 0.999999);
    assert_true(dot("ÄRGER Σοφός ЁЖИК Über", "ärger ΣΟΦΌΣ ёжик über") > 0.7);
    assert_true(dot("МОСКВА", "москва") > 0.999999);
    assert_true(dot("hello\xff\xc3(world", "hello world") > 0.999999);
}

static void characters_of_chinese_and_japanese_are_words(void **state)
{
    (void)state;
    assert_true(dot("数据库增量更新", "增量更新数据库") > 0.7);
    assert_true(dot("数据库增量更新", "天气很好") < 0.2);
    assert_true(dot("データの更新", "データを更新する") > 0.5);
    assert_true(dot("数据，库。", "数据库") > 0.999999);
}

static void order_of_words_counts_a_little(void **state)
{
    double turned = dot("the dog bites the man", "the man bites the dog");

    (void)state;
    assert_true(turned > 0.8 && turned < 0.999);
}

/* Equal on every machine: the vectors' fingerprints as they were first computed. */
static void vectors_are_the_same_everywhere(void **state)
{
    static const struct { const char *text; size_t n; const char *fingerprint; } golden[] = {
        { "", 384, "9ecd7c6fbd34f6d7baeb80128fda93d2" },
        { "Hello, world!", 384, "436e18ca82345ec682f69d1f86e9ed64" },
        { "数据库增量更新 naïve 42", 100, "36e9508462bf8a3c98cf8cd3ffcf5b0f" },
    };
    float v[DIMENSIONS];
    uint8_t fp[16];
    char hex[33];

    (void)state;
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        assert_int_equal(coco_features_of(coco_str_of(golden[i].text), golden[i].n, v), COCO_OK);
        assert_int_equal(coco_fingerprint(coco_vector(v, golden[i].n), fp), COCO_OK);
        for (int j = 0; j < 16; j++) snprintf(hex + 2 * j, 3, "%02x", fp[j]);
        assert_string_equal(hex, golden[i].fingerprint);
    }
}

static void a_large_text_has_a_vector_like_any(void **state)
{
    size_t n = (size_t)8 << 20;
    char *text = malloc(n);
    float v[8];
    double sum = 0;

    (void)state;
    for (size_t i = 0; i < n; i++) text[i] = i % 5 == 4 ? ' ' : (char)('a' + i / 7 % 26);
    assert_int_equal(coco_features_of((coco_str){ text, n }, 8, v), COCO_OK);
    for (size_t i = 0; i < 8; i++) sum += (double)v[i] * (double)v[i];
    assert_true(sum > 0.999999 && sum < 1.000001);
    free(text);
}

static void dimensions_out_of_range_are_an_error(void **state)
{
    float v;

    (void)state;
    assert_int_equal(coco_features_of(COCO_STR("a"), 0, &v), COCO_EINVAL);
    assert_int_equal(coco_features_of(COCO_STR("a"), COCO_FEATURES_MAX + 1, &v), COCO_EINVAL);
}

/* ---- In an update ---- */

static int64_t asked = 32;

COCO_FN(features_main, ())
{
    float want[64];
    coco_value v;
    coco_target *tab;

    COCO_TRY(coco_call(cx, &coco_features, COCO_ARGS(coco_text("a text"), coco_int(asked)), &v));
    if (coco_count(v) != (size_t)asked || coco_features_of(COCO_STR("a text"), (size_t)asked, want) != COCO_OK ||
        !coco_equal(v, coco_vector(want, (size_t)asked)))
        return COCO_EFAIL;
    COCO_TRY(mount_tab(cx, "tab", coco_features_identity(cx, (size_t)asked), &tab));
    return coco_declare(cx, tab, coco_int(1), coco_int(1));
}

static void another_size_rebuilds_what_names_the_identity(void **state)
{
    (void)state;
    program(&features_main);
    update(NULL);
    expect_shelf("shelf:\"tab\" = {\"model\":\"features-1\",\"dimensions\":32}", "tab:1 = 1");
    asked = 64;
    update(NULL);
    expect_actions("~ shelf:\"tab\"");
    asked = -1;
    update_fails(COCO_EINVAL, NULL);
    assert_non_null(strstr(w.err.msg, "from 1 to 4096 dimensions, not -1"));
    asked = 32;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_has_length_one),
        cmocka_unit_test(a_text_with_typing_errors_is_close),
        cmocka_unit_test(a_near_duplicate_is_closer_than_another_text),
        cmocka_unit_test(other_endings_of_a_word_are_nearer_than_other_words),
        cmocka_unit_test(case_and_punctuation_do_not_count),
        cmocka_unit_test(characters_of_chinese_and_japanese_are_words),
        cmocka_unit_test(order_of_words_counts_a_little),
        cmocka_unit_test(vectors_are_the_same_everywhere),
        cmocka_unit_test(a_large_text_has_a_vector_like_any),
        cmocka_unit_test(dimensions_out_of_range_are_an_error),
        TEST(another_size_rebuilds_what_names_the_identity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
