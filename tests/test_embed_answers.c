/* test_embed_answers.c - what the embedder makes of answers, right and wrong, of its options, and of its key. The rules
 * are those of the manual in ops/embed.h. */
#include "embed_client.h"

#include <ctype.h>
#include <locale.h>
#include <sys/wait.h>

/* ---- Right answers in unusual clothes ---- */

static void answers_may_come_in_any_order_spaced_or_without_index(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.encoding = COCO_EMBED_LIST;
    open_with(o);
    for (server.answer = EMBED_RIGHT; server.answer <= EMBED_NO_INDEX; server.answer++) {
        server.base64 = false;
        ok(embed_n(20, NULL));
        server.base64 = true; /* though a list was asked for */
        ok(embed_n(20, NULL));
    }
}

static void base64_is_asked_for_unless_options_or_extra_say_otherwise(void **state)
{
    static const struct { coco_embed_encoding encoding; const char *extra, *end; } kinds[] = {
        { COCO_EMBED_AUTO, NULL, "],\"encoding_format\":\"base64\"}" },
        { COCO_EMBED_BASE64, NULL, "],\"encoding_format\":\"base64\"}" },
        { COCO_EMBED_LIST, NULL, "]}" },
        { COCO_EMBED_AUTO, "{\"encoding_format\":\"float\"}", "],\"encoding_format\":\"float\"}" },
        { COCO_EMBED_BASE64, "{\"encoding_format\":\"float\"}", "],\"encoding_format\":\"float\"}" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        coco_embedder_opts o = plain();
        o.encoding = kinds[i].encoding;
        o.extra = kinds[i].extra;
        open_with(o);
        ok(embed_n(100, NULL));
        assert_true(strlen(server.last) > strlen(kinds[i].end));
        assert_string_equal(server.last + strlen(server.last) - strlen(kinds[i].end), kinds[i].end);
    }
}

static void server_that_refuses_base64_is_asked_for_lists_from_then_on(void **state)
{
    static const struct { unsigned status; const char *body; } kinds[] = {
        { 400, "{\"error\":{\"message\":\"Unknown parameter: 'encoding_format'.\"}}" },
        { 422, "{\"detail\":[{\"loc\":[\"body\",\"encoding_format\"],\"msg\":\"extra fields not permitted\"}]}" },
        { 500, "Base64 is not implemented" },
        { 501, "{\"error\":\"base64 encoding is not implemented\"}" },
    };
    coco_embedder_opts o = plain();

    (void)state;
    o.max_requests = 1;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        embed_server_forget(&server);
        server.form_status = kinds[i].status;
        server.no_base64 = kinds[i].body;
        open_with(o);
        ok(embed_n(100, NULL));
        ok(embed_n(100, NULL));
        /* 64 texts and 36; two more bodies were built before the first was refused. */
        assert_in_range(server.requests, 5, 6);
        assert_int_equal(server.texts, 200);
        assert_null(strstr(server.last, "encoding_format"));
        assert_int_equal(coco_embedder_stats_get(e).retries, 0);
    }
}

static void refusal_of_the_form_that_was_chosen_or_of_a_list_is_a_failure(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    server.form_status = 400;
    server.no_base64 = "{\"error\":{\"message\":\"no base64 here\"}}";
    o.encoding = COCO_EMBED_BASE64;
    open_with(o);
    assert_int_equal(embed_n(5, NULL), COCO_EFAIL);
    assert_non_null(strstr(err.msg, "answered 400: no base64 here"));
    assert_int_equal(server.requests, 1);
    embed_server_forget(&server);
    server.fail_times = -1;
    server.fail_status = 400;
    server.fail_body = "whatever is asked: encoding_format";
    open_with(plain());
    assert_int_equal(embed_n(5, NULL), COCO_EFAIL);
    assert_non_null(strstr(err.msg, "answered 400: whatever is asked"));
    assert_int_equal(server.requests, 2);
    server.fail_times = 0;
}

static void the_request_holds_what_the_options_say(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.dimensions_known = false;
    o.dimensions = 5;
    o.extra = " {\"input_type\": \"passage\"} ";
    o.model = "a \"model\"";
    open_with(o);
    ok(embed_n(1, NULL));
    assert_string_equal(server.last, "{\"model\":\"a \\\"model\\\"\",\"input\":[\"text 0\"],"
                                     "\"encoding_format\":\"base64\",\"dimensions\":5,"
                                     "\"input_type\": \"passage\"}");
    assert_int_equal(server.requests, 1);
}

static void every_text_arrives_as_it_is(void **state)
{
    char all[127], bad[] = "a\xff\xc3\xa9\xed\xa0\x80z\xf0\x9f\x98\x80\xc3";
    coco_str t[2] = { { all, 127 }, { bad, sizeof bad - 1 } };
    float v[16];
    const char *mended = "a\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xf0\x9f\x98\x80\xef\xbf\xbd";

    (void)state;
    for (int i = 0; i < 127; i++) all[i] = (char)(i + 1);
    open_with(plain());
    ok(coco_embed_texts(e, &(coco_embed_call){ .texts = t, .n = 2, .vectors = v }, &err));
    assert_memory_equal(server.log[0], all, 127);
    assert_string_equal(server.log[1], mended);
}

/* Many are looked at together: one that needs a second look may be any of them. */
static void a_character_of_a_long_text_arrives_wherever_it_stands(void **state)
{
    static const char *const others[] = { "\"", "\\", "\n", "\x01", "\x1f", "\x7f", "\xc3\xa9" };
    coco_str t[140];
    float v[140 * 8];

    (void)state;
    open_with(plain());
    for (size_t k = 0; k < sizeof others / sizeof others[0]; k++) {
        for (size_t i = 0; i < 140; i++) {
            char *p = calloc(1, 160);
            memset(p, 'x', 150);
            memcpy(p + i, others[k], strlen(others[k]));
            t[i] = (coco_str){ p, 150 };
        }
        ok(coco_embed_texts(e, &(coco_embed_call){ .texts = t, .n = 140, .vectors = v }, &err));
        for (size_t i = 0; i < 140; i++) {
            assert_true(vector_is_of(v + i * 8, 8, t[i])); /* which is made of what arrived */
            free((void *)(uintptr_t)t[i].p);
        }
    }
}

/* Numbers are rounded to double and then to float, as numpy does it, whatever the locale. */
static void numbers_are_read_as_strtod_does(void **state)
{
    static const char *const odd[] = { "0", "-0", "0.0", "1e-45", "1e-46", "3.4028234e38", "1E+2", "-1.5e-3", "0.1",
                                       "1.00000005960464477539062500001", "1.000000059604644775390625",
                                       "1.0000000596046447", "9007199254740993", "123456789012345678901234567890",
                                       "0.000000000000000000000000000001", "1e-400", "0e999999999999", "33554433",
                                       "16777217", "0.012345678901234567", "-0.00012345678901234567",
                                       "8.5899345920000001e9", "1.1754943508222875e-38" };
    size_t n = 20000, nodd = sizeof odd / sizeof odd[0];
    embed_text t = { 0 };
    float *want = calloc(n, sizeof *want), *v = calloc(n, sizeof *v);
    coco_embedder_opts o = plain();
    uint64_t r = 88172645463325252;

    (void)state;
    embed_puts(&t, "{\"data\":[{\"embedding\":[");
    for (size_t i = 0; i < n; i++) {
        char number[64];
        r ^= r << 13, r ^= r >> 7, r ^= r << 17;
        snprintf(number, sizeof number, i % 3 ? "%.*g" : "%.*f", (int)(r % 19 + 1),
                 (double)(int64_t)r / 9.3e18 / (i % 5 ? 1 : 3e5));
        if (i < nodd) snprintf(number, sizeof number, "%s", odd[i]);
        want[i] = (float)strtod(number, NULL);
        if (i) embed_puts(&t, ",");
        embed_puts(&t, number);
    }
    embed_puts(&t, "]}]}");
    server.body = t.p;
    o.dimensions = n;
    setlocale(LC_ALL, "de_DE.UTF-8");
    open_with(o);
    ok(coco_embed_texts(e, &(coco_embed_call){ .texts = &COCO_STR("x"), .n = 1, .vectors = v }, &err));
    setlocale(LC_ALL, "C");
    for (size_t i = 0; i < n; i++) assert_memory_equal(&v[i], &want[i], sizeof v[i]);
    free(want);
    free(v);
    free(t.p);
}

/* ---- Nonsense ---- */

static void every_kind_of_wrong_answer_has_its_own_clear_error(void **state)
{
    static const struct { embed_answer answer; bool base64; const char *says; } kinds[] = {
        { EMBED_ONE_LESS, false, "the answer has 4 vectors, but 5 texts were sent" },
        { EMBED_ONE_MORE, false, "the answer has more than the 5 vectors asked for" },
        { EMBED_WRONG_INDEX, false, "data[4] of the answer has the index 5, but 5 texts were sent" },
        { EMBED_NEGATIVE_INDEX, false, "data[0] of the answer has the index -10, but" },
        { EMBED_TEXT_INDEX, false, "the index of data[0] of the answer is no integer" },
        { EMBED_SAME_INDEX, false, "the index 0 comes twice" },
        { EMBED_NAN, false, "number 1 of vector 0 of the answer is no JSON number: \"NaN," },
        { EMBED_NAN, true, "vector 0 of the answer holds NaN" },
        { EMBED_INFINITE, false, "vector 0 of the answer holds NaN or a number beyond what a float32 can hold" },
        { EMBED_NULLS, false, "number 1 of vector 0 of the answer is no JSON number: \"null," },
        { EMBED_WORDS, false, "number 1 of vector 0 of the answer is no JSON number: \"\"1\"," },
        { EMBED_NESTED, false, "number 0 of vector 0 of the answer is no JSON number: \"[" },
        { EMBED_LONGER, false, "vector 0 of the answer has 9 dimensions, not 8" },
        { EMBED_LONGER, true, "vector 0 of the answer has 9 dimensions, not 8" },
        { EMBED_SHORTER, false, "vector 0 of the answer has 7 dimensions, not 8" },
        { EMBED_NO_NUMBERS, false, "vector 0 of the answer is empty" },
        { EMBED_NO_NUMBERS, true, "vector 0 of the answer is empty" },
        { EMBED_NO_VECTOR, false, "data[0] of the answer has no \"embedding\" of numbers" },
        { EMBED_SHORT_BASE64, true, "vector 0 of the answer is cut off: 39 letters of base64 are no whole float32s" },
        { EMBED_BAD_BASE64, true, "vector 0 of the answer is not base64" },
        { EMBED_CUT, false, "the answer ends within vector" },
        { EMBED_TWO_VECTORS, false, "data[0] of the answer has two vectors" },
        { EMBED_ENDLESS, false, "the answer to 5 texts is longer than" },
    };

    coco_embedder_opts o = plain();

    (void)state;
    o.encoding = COCO_EMBED_LIST;
    open_with(o);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        embed_server_forget(&server);
        server.answer = kinds[i].answer;
        server.base64 = kinds[i].base64;
        assert_int_equal(embed_n(5, NULL), COCO_EPARSE);
        if (!strstr(err.msg, kinds[i].says)) fail_msg("%zu: %s", i, err.msg);
        assert_false(err.transient);
        assert_int_equal(server.requests, 1);
    }
}

static void every_kind_of_nonsense_has_its_own_clear_error(void **state)
{
    static const struct { const char *body, *says; unsigned status; coco_status rc; } kinds[] = {
        { "", "the answer is empty", 200, COCO_EPARSE },
        { "hello", "the answer is not JSON", 200, COCO_EPARSE },
        { "<html>\n <body>Please log  in</body></html>", "from byte 0 on: <html> <body>Please log in</body></html>",
          200, COCO_EPARSE },
        { "<html>no</html>", "answered 405: <html>no</html>", 405, COCO_EFAIL },
        { "{\"data\":[{\"embedding\":[1,2]}", "the answer is not JSON", 200, COCO_EPARSE },
        { "{\"data\":[{\"embedding\":[1,2", "the answer ends within vector 0", 200, COCO_EPARSE },
        { "{\"data\":[{\"embedding\":\"AAAA", "the answer ends within vector 0", 200, COCO_EPARSE },
        { "{\"data\":[{\"embedding\":[01,2]}]}", "number 1 of vector 0 of the answer is no JSON number",
          200, COCO_EPARSE },
        { "{\"data\":[{\"embedding\":[1.,2]}]}", "number 0 of vector 0 of the answer is no JSON number",
          200, COCO_EPARSE },
        { "{\"data\":[{\"embedding\":[1,2,]}]}", "number 2 of vector 0 of the answer is no JSON number",
          200, COCO_EPARSE },
        { "{\"data\":[{\"embedding\":[1,2]}]} x", "the answer is not JSON", 200, COCO_EPARSE },
        { "[{\"embedding\":[1,2]}]", "the answer is JSON, but has no list \"data\"", 200, COCO_EPARSE },
        { "{\"embedding\":[1,2]}", "the answer is JSON, but has no list \"data\"", 200, COCO_EPARSE },
        { "{\"data\":{\"embedding\":[1,2]}}", "the answer is JSON, but has no list \"data\"", 200, COCO_EPARSE },
        { "{\"data\":[[\"embedding\",[1,2]]]}", "data[0] of the answer is no object", 200, COCO_EPARSE },
        { "{\"data\":[{\"embedding\":null}]}", "data[0] of the answer has no \"embedding\" of numbers",
          200, COCO_EPARSE },
        { "null", "the answer is JSON, but has no list \"data\"", 200, COCO_EPARSE },
        { "{\"error\":{\"message\":\"overloaded\"}}", "the answer is JSON, but has no list \"data\"",
          200, COCO_EPARSE },
        { "{\"error\":\"said as text\"}", "answered 400: said as text", 400, COCO_EFAIL },
        { "{\"detail\":\"said in detail\"}", "answered 422: said in detail", 422, COCO_EFAIL },
        { "\x01\x02\xff text", "answered 400: ? text", 400, COCO_EFAIL },
        { "", "answered 400: nothing more was said", 400, COCO_EFAIL },
    };
    coco_embedder_opts o = plain();

    (void)state;
    o.dimensions = 2;
    open_with(o);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        server.body = kinds[i].body;
        server.status = kinds[i].status;
        coco_status rc = embed_n(1, NULL);
        if (rc != kinds[i].rc || !strstr(err.msg, kinds[i].says)) fail_msg("%zu: %d %s", i, rc, err.msg);
    }
}

/* Answers with a few bytes changed, from a fixed seed: whatever the embedder takes for JSON, jansson does too. */
static void what_is_taken_is_json(void **state)
{
    static const char letters[] = "{}[]\",:0123456789.-+eE \n\\tfun\x01";
    uint64_t r = UINT64_C(0x9e3779b97f4a7c15);
    int taken = 0;

    (void)state;
    server.fail_times = 0;
    server.answer = EMBED_NO_INDEX;
    open_with(plain());
    ok(embed_n(2, NULL));
    json_t *request = json_loads(server.last, 0, NULL);
    char *right = embed_answer_to(&server, request), *changed = strdup(right);
    size_t n = strlen(right);
    for (int i = 0; i < 3000; i++) {
        float v[16];
        memcpy(changed, right, n);
        for (int k = 0; k < 1 + i % 3; k++) {
            r ^= r << 13, r ^= r >> 7, r ^= r << 17;
            changed[r % n] = letters[(r >> 32) % (sizeof letters - 1)];
        }
        server.body = changed;
        coco_str texts[2] = { COCO_STR("text 0"), COCO_STR("text 1") };
        coco_status rc = coco_embed_texts(e, &(coco_embed_call){ .texts = texts, .n = 2, .vectors = v }, &err);
        json_t *root = json_loads(changed, 0, NULL);
        if (rc == COCO_OK && !root) fail_msg("%s", changed);
        if (rc != COCO_OK) assert_int_equal(rc, COCO_EPARSE);
        taken += rc == COCO_OK;
        json_decref(root);
    }
    assert_in_range(taken, 300, 2700); /* both happen */
    json_decref(request);
    free(right);
    free(changed);
}

static void a_redirect_is_not_followed_but_named(void **state)
{
    char self[100];

    (void)state;
    snprintf(self, sizeof self, "%s/embeddings?secret=1", server.url); /* to itself: a loop, if it were followed */
    server.fail_times = -1;
    server.fail_status = 307;
    server.fail_header = "Location";
    server.fail_value = self;
    open_with(plain());
    assert_int_equal(embed_n(1, NULL), COCO_EFAIL);
    assert_int_equal(server.requests, 1);
    assert_non_null(strstr(err.msg, "answered 307, a redirect to http://127.0.0.1:"));
    assert_null(strstr(err.msg, "secret"));
}

static void a_server_that_speaks_no_http_is_a_clear_error(void **state)
{
    static const struct { const char *words, *says; coco_status rc; } kinds[] = {
        { "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/0.9", COCO_EIO },
        { "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"data\":[", "491 bytes", COCO_EIO },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "", COCO_EIO },
        { "HTTP/1.1 200 OK\r\n\r\n", "the answer is empty", COCO_EPARSE },
    };
    coco_embedder_opts o = plain();

    (void)state;
    o.max_tries = 2;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        embed_mute mute;
        embed_mute_start(&mute, kinds[i].words);
        o.url = mute.url;
        open_with(o);
        coco_status rc = embed_n(1, NULL);
        embed_mute_stop(&mute);
        if (rc != kinds[i].rc || !strstr(err.msg, kinds[i].says)) fail_msg("%zu: %d %s", i, rc, err.msg);
    }
}

/* One of 64 floats' letters is another byte: of each kind, at each place, since they are read several at a time. */
static void a_byte_that_is_no_letter_of_base64_is_found_wherever_it_stands(void **state)
{
    static const char others[] = "*,-.=:@[_`{ \x80\xff";
    coco_embedder_opts o = plain();
    char body[500], *letters;
    float v[64];

    (void)state;
    snprintf(body, sizeof body, "{\"data\":[{\"embedding\":\"%0342d==\"}]}", 0);
    letters = strchr(body, '0');
    o.dimensions = 64;
    open_with(o);
    server.body = body;
    for (size_t i = 0; i < 342; i++) {
        char c = letters[i];
        letters[i] = others[i % (sizeof others - 1)];
        assert_int_equal(embed_n(1, NULL), COCO_EPARSE);
        if (letters[i] != '=') assert_non_null(strstr(err.msg, "is not base64"));
        letters[i] = c;
    }
    for (size_t i = 0; i < 256 * 8; i++) { /* whatever byte, at one place of each kind */
        size_t at = i % 8 * 43;
        letters[at] = (char)(i / 8);
        bool letter = i / 8 < 128 && (isalnum((int)i / 8) || i / 8 == '+' || i / 8 == '/');
        if (letters[at] && letters[at] != '"') {
            coco_embed_call call = { .texts = &COCO_STR("x"), .n = 1, .vectors = v };
            assert_int_equal(coco_embed_texts(e, &call, &err), letter ? COCO_OK : COCO_EPARSE);
        }
        letters[at] = '0';
    }
}

/* Where the closing quote of a vector should be stands another one: the first one counts. */
static void base64_ends_at_the_first_quote(void **state)
{
    static const struct { size_t dims; const char *body; coco_status rc; const char *says; } kinds[] = {
        { 1, "{\"data\":[{\"embedding\":\"AADAPw\",\"index\":0}]}", COCO_OK, "" },
        { 2, "{\"data\":[{\"embedding\":\"AADAPw==\",\"x\":1}]}", COCO_EPARSE, "has 1 dimensions, not 2" },
        { 2, "{\"data\":[{\"embedding\":\"AADAPw\", \"x\":1}]}", COCO_EPARSE, "has 1 dimensions, not 2" },
        { 2, "{\"data\":[{\"embedding\":\"AADAP\",  \"x\":1}]}", COCO_EPARSE, "5 letters of base64" },
        { 2, "{\"data\":[{\"embedding\":\"AADAPw**\",,\"x\":1}]}", COCO_EPARSE, "is cut off: 8 letters" },
    };
    coco_embedder_opts o = plain();

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        float v[2] = { 0, 0 };
        coco_embed_call call = { .texts = &COCO_STR("x"), .n = 1, .vectors = v };
        o.dimensions = kinds[i].dims;
        open_with(o);
        server.body = kinds[i].body;
        assert_int_equal(coco_embed_texts(e, &call, &err), kinds[i].rc);
        if (kinds[i].rc == COCO_OK) assert_true(v[0] == 1.5f);
        else if (!strstr(err.msg, kinds[i].says)) fail_msg("%zu: %s", i, err.msg);
    }
}

/* One of so many floats is no number, or infinite: numbers whose letters end within 32, and with them. */
static void nan_and_infinity_in_base64_are_found_wherever_they_stand(void **state)
{
    static const uint32_t others[] = { 0x7f800000, 0xff800000, 0x7f800001, 0xffc00000, 0x7fffffff, 0xffffffff,
                                       0x7f7fffff, 0xff7fffff, 0x007fffff, 0x80000000 };
    coco_embedder_opts o = plain();

    (void)state;
    for (o.dimensions = 24; o.dimensions <= 64; o.dimensions += 40) {
        size_t n = o.dimensions;
        uint32_t bits[64] = { 0 };
        float *v = malloc(n * sizeof *v);
        open_with(o);
        for (size_t i = 0; i < 10 * n; i++) {
            coco_embed_call call = { .texts = &COCO_STR("x"), .n = 1, .vectors = v };
            embed_text t = { 0 };
            bits[i % n] = others[i / n];
            embed_puts(&t, "{\"data\":[{\"embedding\":\"");
            embed_base64(&t, (unsigned char *)bits, n * sizeof *v);
            embed_puts(&t, "\"}]}");
            server.body = t.p;
            assert_int_equal(coco_embed_texts(e, &call, &err), i / n < 6 ? COCO_EPARSE : COCO_OK);
            if (i / n < 6) assert_non_null(strstr(err.msg, "holds NaN or a number beyond"));
            else assert_memory_equal(v, bits, n * sizeof *v);
            bits[i % n] = 0;
            free(t.p);
        }
        free(v);
    }
    server.body = NULL;
}

/* Padding stands for nothing, however much of it there is: no room is made for it, and nothing is written there. */
static void endless_padding_of_base64_is_not_decoded(void **state)
{
    const size_t n = 40000;
    coco_embedder_opts o = plain();
    char *body = malloc(n + 100);
    float v[3] = { 1, 1, 1 };
    coco_embed_call call = { .texts = &COCO_STR("x"), .n = 1, .vectors = v };
    int at;

    (void)state;
    assert_non_null(body);
    at = sprintf(body, "{\"data\":[{\"embedding\":\"AAAAAAAAAAAAAAAA");
    memset(body + at, '=', n);
    strcpy(body + at + n, "\"}]}");
    o.dimensions = 3;
    open_with(o);
    server.body = body;
    assert_int_equal(coco_embed_texts(e, &call, &err), COCO_OK);
    assert_true(v[0] == 0 && v[1] == 0 && v[2] == 0);
    free(body);
}

static void a_list_that_begins_with_a_comma_is_no_json(void **state)
{
    static const char *const bodies[] = { "{\"data\":[,{\"embedding\":[1]}]}", "{,\"data\":[{\"embedding\":[1]}]}" };
    coco_embedder_opts o = plain();
    float v[1];
    coco_embed_call call = { .texts = &COCO_STR("x"), .n = 1, .vectors = v };

    (void)state;
    o.dimensions = 1;
    open_with(o);
    for (size_t i = 0; i < 2; i++) {
        server.body = bodies[i];
        assert_int_equal(coco_embed_texts(e, &call, &err), COCO_EPARSE);
    }
}

/* ---- Opening ---- */

static void dimensions_are_found_by_one_request(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    server.dimensions = 384;
    o.dimensions = 0;
    o.dimensions_known = false;
    open_with(o);
    assert_int_equal(coco_embedder_dimensions(e), 384);
    assert_int_equal(server.requests, 1);
    ok(embed_n(70, NULL));
    assert_int_equal(server.requests, 3);
}

static void options_that_can_not_be_are_errors(void **state)
{
    const coco_embedder_opts bad[] = {
        { .model = "m" }, { .url = "ftp://x/v1", .model = "m" }, { .url = server.url },
        { .url = server.url, .model = "m", .dimensions = 70000 }, { .url = server.url, .model = "m", .extra = "{" },
        { .url = server.url, .model = "m", .extra = "[1]" }, { .url = server.url, .model = "m", .max_requests = 2000 },
        { .url = server.url, .model = "m", .dimensions_known = true },
        { .url = server.url, .model = "m", .requests_per_second = -1 },
    };
    coco_embedder *none = (coco_embedder *)&server;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(coco_embedder_open(&bad[i], &none, &err), COCO_EINVAL);
        assert_null(none);
    }
}

static void the_address_is_completed(void **state)
{
    static const char *const ends[] = { "", "/", "/embeddings", "/embeddings/" };
    coco_embedder_opts o = plain();
    char url[100];

    (void)state;
    server.fail_times = -1;
    server.fail_status = 400;
    o.url = url;
    for (size_t i = 0; i < 4; i++) {
        snprintf(url, sizeof url, "%s%s", server.url, ends[i]);
        open_with(o);
        assert_int_equal(embed_n(1, NULL), COCO_EFAIL);
        assert_non_null(strstr(err.msg, "/v1/embeddings: answered 400"));
    }
}

/* ---- The key ---- */

#define KEY "sk-a-very-secret-key"

static void the_key_comes_from_the_environment(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    server.key = KEY;
    o.key_env = "COCO_TEST_KEY";
    setenv("COCO_TEST_KEY", KEY, 1);
    open_with(o);
    ok(embed_n(3, NULL));
    unsetenv("COCO_TEST_KEY");
    coco_embedder_close(e);
    assert_int_equal(coco_embedder_open(&o, &e, &err), COCO_ENOTFOUND);
    assert_non_null(strstr(err.msg, "COCO_TEST_KEY"));
}

static void a_malformed_key_is_an_error_that_does_not_show_it(void **state)
{
    coco_embedder_opts o = plain();

    (void)state;
    o.key_env = "COCO_TEST_KEY";
    setenv("COCO_TEST_KEY", KEY "\nX-Other: 1", 1);
    assert_int_equal(coco_embedder_open(&o, &e, &err), COCO_EINVAL);
    assert_null(strstr(err.msg, "secret"));
}

/* C0.5: the server says the key back in every way it can; no message has it. */
static void no_message_holds_the_key(void **state)
{
    coco_embedder_opts o = plain();
    char long_body[2000], url[200];

    (void)state;
    o.key_env = "COCO_TEST_KEY";
    o.max_tries = 1;
    snprintf(url, sizeof url, "http://user:%s@%s?key=%s", KEY, server.url + 7, KEY);
    o.url = url;
    setenv("COCO_TEST_KEY", KEY, 1);
    open_with(o);
    snprintf(long_body, sizeof long_body, "%0188d%s%s %s", 1, KEY, KEY, KEY);
    const char *const bodies[] = { "{\"error\":{\"message\":\"wrong: Bearer " KEY "\"}}", KEY, long_body,
                                   "{\"data\":[{\"embedding\":[" KEY "]}]}",
                                   "{\"data\":[{\"embedding\":[1 1234567" KEY "]}]}" };
    for (size_t i = 0; i < 15; i++) {
        server.body = bodies[i % 5];
        server.status = i < 5 ? 200 : i < 10 ? 401 : 307;
        server.fail_header = i < 10 ? NULL : "Location";
        server.fail_value = "http://elsewhere/" KEY "?" KEY;
        assert_int_not_equal(embed_n(1, NULL), COCO_OK);
        if (strstr(err.msg, "secret") || strstr(err.msg, "sk-a")) fail_msg("%zu: %s", i, err.msg);
    }
    unsetenv("COCO_TEST_KEY");
}

/* The Nth allocation fails, for every N: an error, nothing leaks, and what was embedded is right. */
static void want_of_memory_is_an_error_wherever_it_comes(void **state)
{
    coco_embedder_opts o = plain();
    coco_status rc = COCO_ENOMEM, each[40];
    long n = 1;

    (void)state;
    o.max_texts = 8;
    o.max_requests = 2;
    o.extra = "{\"a\":1}";
    server.max_texts = 4; /* halves too */
    for (; rc != COCO_OK; n++) {
        emb_fail_in = n;
        rc = coco_embedder_open(&o, &e, &err);
        if (rc == COCO_OK) rc = embed_n(40, each);
        emb_fail_in = 0;
        if (rc != COCO_OK) assert_int_equal(rc, COCO_ENOMEM);
        coco_embedder_close(e);
        e = NULL;
        assert_int_equal(emb_live, 0);
    }
    assert_true(n > 30);
}

static void after_a_fork_the_child_may_not_use_it(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    open_with(plain());
    if ((pid = fork()) == 0) {
        float v[8];
        _exit(coco_embed_texts(e, &(coco_embed_call){ .texts = &COCO_STR("x"), .n = 1, .vectors = v }, NULL) !=
              COCO_EFORK);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}


int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(answers_may_come_in_any_order_spaced_or_without_index),
        SERVED(base64_is_asked_for_unless_options_or_extra_say_otherwise),
        SERVED(server_that_refuses_base64_is_asked_for_lists_from_then_on),
        SERVED(refusal_of_the_form_that_was_chosen_or_of_a_list_is_a_failure),
        SERVED(the_request_holds_what_the_options_say),
        SERVED(every_text_arrives_as_it_is),
        SERVED(a_character_of_a_long_text_arrives_wherever_it_stands),
        SERVED(numbers_are_read_as_strtod_does),
        SERVED(every_kind_of_wrong_answer_has_its_own_clear_error),
        SERVED(every_kind_of_nonsense_has_its_own_clear_error),
        SERVED(what_is_taken_is_json),
        SERVED(a_byte_that_is_no_letter_of_base64_is_found_wherever_it_stands),
        SERVED(base64_ends_at_the_first_quote),
        SERVED(nan_and_infinity_in_base64_are_found_wherever_they_stand),
        SERVED(endless_padding_of_base64_is_not_decoded),
        SERVED(a_list_that_begins_with_a_comma_is_no_json),
        SERVED(a_redirect_is_not_followed_but_named),
        SERVED(a_server_that_speaks_no_http_is_a_clear_error),
        SERVED(dimensions_are_found_by_one_request),
        SERVED(options_that_can_not_be_are_errors),
        SERVED(the_address_is_completed),
        SERVED(the_key_comes_from_the_environment),
        SERVED(a_malformed_key_is_an_error_that_does_not_show_it),
        SERVED(no_message_holds_the_key),
        SERVED(want_of_memory_is_an_error_wherever_it_comes),
        SERVED(after_a_fork_the_child_may_not_use_it),
    };

    int failed = cmocka_run_group_tests_name("over its own HTTP", tests, NULL, NULL);

    curls = true;
    return failed + cmocka_run_group_tests_name("over libcurl's", tests, NULL, NULL);
}
