/* test_batch.c - batched functions: which calls are computed together (S9.6). */
#include "harness.h"

#include <time.h>

static coco_status (*plan)(coco_ctx *cx);

COCO_FN(app_main, ()) { return plan(cx); }

static lines batches;   /* arguments of each batch: "1 2 3" */
static int64_t poison;  /* a batch with it fails; -1: none */
static int64_t refused; /* a call that fails alone; -1: none */
static int nitems;
static bool asks_back; /* the batch calls a memoized function */

COCO_FN(weight, (int64_t, i), .memo = true) { return coco_return(cx, coco_int(i + 1000)); }

static coco_status compute(coco_ctx *cx, const coco_args *calls, size_t n, coco_value *results)
{
    char line[2000];
    size_t used = 0;
    coco_status rc = COCO_OK;

    for (size_t i = 0; i < n; i++) {
        int64_t v = coco_int_of(calls[i].v[0]);
        used += (size_t)snprintf(line + used, sizeof line - used, "%s%lld", i ? " " : "", (long long)v);
        if (v == poison) rc = COCO_EFAIL;
        if (v == refused) coco_batch_fail(cx, i, COCO_EPARSE, "call %d is refused", (int)v);
        results[i] = coco_text(coco_format(cx, "<%lld>", (long long)v).p);
        if (asks_back) COCO_TRY(coco_call(cx, &weight, COCO_ARGS(coco_int(v)), NULL));
        coco_cost(cx, 1);
    }
    lines_add(&batches, "%s", line);
    return rc == COCO_OK ? rc : coco_fail(cx, rc, "the batch can't be computed");
}

COCO_BATCH_FN(embed, (int64_t, i), .max_batch = 4) { return compute(cx, calls, n, results); }
COCO_BATCH_FN(embed_memo, (int64_t, i), .max_batch = 4, .memo = true) { return compute(cx, calls, n, results); }

static const coco_fn *mapped;
static int64_t list[100];

static coco_status maps(coco_ctx *cx)
{
    coco_value items[100], results[100];

    for (int i = 0; i < nitems; i++) items[i] = coco_int(list[i]);
    coco_status rc = coco_map(cx, mapped, items, (size_t)nitems, COCO_NOARGS, results);
    for (int i = 0; i < nitems && rc == COCO_OK; i++)
        if (!coco_equal(results[i], coco_text(coco_format(cx, "<%lld>", (long long)list[i]).p)))
            return coco_fail(cx, COCO_EFAIL, "result %d is another's", i);
    return rc;
}

static void start(coco_status (*body)(coco_ctx *cx), const coco_fn *fn, int n, unsigned threads)
{
    lines_clear(&batches);
    poison = refused = -1;
    asks_back = false;
    mapped = fn;
    nitems = n;
    for (int i = 0; i < n; i++) list[i] = i;
    plan = body;
    w.config.threads = threads;
    w.config.max_inflight = 200;
    program(&app_main);
}
#define expect_batches(...) (LINES_EXPECT(&batches, __VA_ARGS__), lines_clear(&batches))

/* S9.6: at any number of threads, 0 included */
static void one_map_gives_whole_batches(void **state)
{
    (void)state;
    for (unsigned t = 0; t < 3; t++) {
        start(maps, &embed, 10, t);
        update(NULL);
        expect_batches("0 1 2 3", "4 5 6 7", "8 9");
        restart();
    }
}

/* S9.6 */
static void memo_hits_are_taken_out_first(void **state)
{
    (void)state;
    start(maps, &embed_memo, 3, 0);
    update(NULL);
    expect_batches("0 1 2");
    nitems = 8;
    for (int i = 0; i < 8; i++) list[i] = i;
    update(NULL);
    expect_batches("3 4 5 6", "7");
    update(NULL);
    expect_batches(NULL);
}

/* S9.6, S6.5 */
static void same_key_is_computed_once_in_a_map(void **state)
{
    (void)state;
    start(maps, &embed_memo, 6, 0);
    list[1] = list[3] = list[5] = 0;
    update(NULL);
    size_t n = 0;
    for (size_t i = 0; i < batches.n; i++)
        for (const char *p = batches.v[i]; *p; p++) n += *p == '0';
    assert_int_equal(n, 1);
}

/* S9.6: halved until the call that can't be computed stands alone */
static void bad_item_is_isolated_and_the_others_stand(void **state)
{
    (void)state;
    start(maps, &embed_memo, 4, 0);
    poison = 2;
    update_fails(COCO_EFAIL, NULL);
    expect_failures("/ COCO_EFAIL the batch can't be computed");
    expect_batches("0 1 2 3", "0 1", "2 3", "2", "3");
    poison = -1;
    update(NULL); /* 0, 1 and 3 have kept their memos */
    expect_batches("2");
}

/* S9.6 */
static void call_refused_by_the_body_fails_alone(void **state)
{
    (void)state;
    start(maps, &embed_memo, 4, 0);
    refused = 1;
    update_fails(COCO_EPARSE, NULL);
    expect_failures("/ COCO_EPARSE call 1 is refused");
    expect_batches("0 1 2 3");
    refused = -1;
    update(NULL);
    expect_batches("1");
}

COCO_FN(one_embeds, (int64_t, i))
{
    coco_value v;

    COCO_TRY(coco_call(cx, mapped, COCO_ARGS(coco_int(i)), &v));
    return coco_equal(v, coco_text(coco_format(cx, "<%lld>", (long long)i).p)) ? COCO_OK : COCO_EFAIL;
}
static coco_status components_embed(coco_ctx *cx)
{
    for (int64_t i = 0; i < nitems; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &one_embeds, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S9.6: no thread runs user code any more when eight of them wait: so they meet in two full batches. */
static void calls_of_different_components_meet_up_to_the_number_of_threads(void **state)
{
    (void)state;
    start(components_embed, &embed, 8, 8);
    update(NULL);
    assert_int_equal(batches.n, 2);
    lines_clear(&batches);
    restart();
    start(components_embed, &embed, 6, 2); /* two at a time */
    update(NULL);
    assert_int_equal(batches.n, 3);
    lines_clear(&batches);
    if (threads_asked()) return;
    restart();
    start(components_embed, &embed, 3, 0); /* each by itself */
    update(NULL);
    expect_batches("0", "1", "2");
}

/* S9.6: also where the function is so short that it would not be worth a thread. */
static void short_functions_meet_after_hundreds_of_calls(void **state)
{
    (void)state;
    start(components_embed, &embed, 100, 4);
    update(NULL);
    assert_true(batches.n <= 30); /* alone, there would be 100 */
    lines_clear(&batches);
}

static _Atomic int late_done;

COCO_FN(is_late, ())
{
    nanosleep(&(struct timespec){ 0, 100000000 }, NULL);
    late_done = 1;
    return coco_call(cx, mapped, COCO_ARGS(coco_int(99)), NULL);
}
static coco_status one_is_late(coco_ctx *cx)
{
    late_done = 0;
    COCO_TRY(coco_mount(cx, COCO_AUTO, &is_late, COCO_NOARGS, NULL));
    return components_embed(cx);
}

/* S9.6 */
static void batch_waits_for_who_still_runs(void **state)
{
    (void)state;
    start(one_is_late, &embed, 2, 4);
    update(NULL);
    assert_int_equal(batches.n, 1);
    lines_clear(&batches);
}

static coco_status calls_three(coco_ctx *cx)
{
    for (int64_t i = 0; i < 3; i++) COCO_TRY(coco_call(cx, mapped, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* What a batch calls, every call of it depends on; what it costs is shared out. */
static void what_a_batch_depends_on_each_of_its_calls_does(void **state)
{
    (void)state;
    start(calls_three, &embed_memo, 3, 0);
    asks_back = true;
    update(NULL);
    lines_clear(&batches);
    update(NULL);
    expect_batches(NULL);
    assert_true(w.result.saved_units > 2.9 && w.result.saved_units < 3.1);
    restart();
    weight.version = 7;
    update(NULL);
    weight.version = 0;
    expect_batches("0", "1", "2");
}

static coco_runner gpu = COCO_RUNNER("gpu");
COCO_BATCH_FN(on_gpu, (int64_t, i), .max_batch = 4, .runner = &gpu) { return compute(cx, calls, n, results); }
COCO_FN(holds_gpu, (int64_t, i), .runner = &gpu)
{ return coco_call(cx, &on_gpu, COCO_ARGS(coco_int(i)), NULL); }
static coco_status hold_gpu(coco_ctx *cx)
{
    for (int64_t i = 0; i < nitems; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &holds_gpu, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S9.6, S9.7: who holds the runner that the batch wants would wait for itself. */
static void batch_of_a_function_on_the_same_runner_ends(void **state)
{
    (void)state;
    for (unsigned t = 0; t < 5; t += 2) {
        start(hold_gpu, &on_gpu, 6, t);
        update(NULL);
        assert_int_equal(batches.n, 6);
        lines_clear(&batches);
        restart();
    }
}

COCO_FN(gpu_embeds, (int64_t, i), .runner = &gpu)
{ return coco_call(cx, &embed, COCO_ARGS(coco_int(i)), NULL); }
static coco_status gpus_embed(coco_ctx *cx)
{
    for (int64_t i = 0; i < nitems; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &gpu_embeds, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

/* S9.6, S9.7: those who wait for the runner run no user code: the batch of who has it starts. */
static void waiting_for_a_runner_holds_up_no_batch(void **state)
{
    (void)state;
    start(gpus_embed, &embed, 6, 4);
    update(NULL);
    assert_int_equal(batches.n, 6);
    lines_clear(&batches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_map_gives_whole_batches),
        TEST(memo_hits_are_taken_out_first),
        TEST(same_key_is_computed_once_in_a_map),
        TEST(bad_item_is_isolated_and_the_others_stand),
        TEST(call_refused_by_the_body_fails_alone),
        TEST(calls_of_different_components_meet_up_to_the_number_of_threads),
        TEST(short_functions_meet_after_hundreds_of_calls),
        TEST(batch_waits_for_who_still_runs),
        TEST(what_a_batch_depends_on_each_of_its_calls_does),
        TEST(batch_of_a_function_on_the_same_runner_ends),
        TEST(waiting_for_a_runner_holds_up_no_batch),
    };

    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    lines_clear(&batches);
    return rc;
}
