/* The hooks by which a handler tells what is really there (S7.13): exists, with the handlers and context values that it
 * is asked with, also by many threads; verify, as localfs keeps it. */
#include "harness.h"

#include "../connectors/localfs.h"
#include "../engine/engine.h"

#include <fcntl.h>
#include <sys/stat.h>

/* ---- exists ---- */

/* A target whose containers hold the number they were declared with; exists needs a context value. */
static coco_key WHERE = COCO_KEY("where", .detect_change = false);
static lines seen_by;
static bool with_where;
static int64_t nest_number, there_at;
static int nest_asked;
static coco_sink nest_sink;

static coco_status nest_apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    (void)self, (void)actions, (void)n, (void)err;
    return COCO_OK;
}

static coco_status nest_reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    lines_add(&seen_by, "%s", (const char *)self);
    if (in->desired) COCO_TRY(coco_print(cx, *in->desired, &out->record));
    out->act = !in->desired || in->npossible != 1 || in->may_be_missing ||
               !coco_str_equal(in->possible[0], out->record);
    out->action.kind = in->desired ? COCO_UPDATE : COCO_DELETE;
    return COCO_OK;
}

static coco_status nest_exists(coco_ctx *cx, void *self, coco_value key, coco_str record, bool *exists,
                               coco_str *shape)
{
    coco_value where = coco_context_named(cx, "where");

    (void)self, (void)key, (void)record, (void)shape;
    if (where.kind == COCO_NULL) return coco_error(cx);
    __atomic_add_fetch(&nest_asked, 1, __ATOMIC_RELAXED);
    *exists = coco_alloc(cx, 1000) && coco_int_of(where) == there_at;
    return COCO_OK;
}

static coco_status nest_handler(coco_ctx *cx, const char *self, coco_target_handler *out);
static coco_status nest_child(coco_ctx *cx, void *self, coco_value key, const coco_value *desired, coco_str record,
                              coco_target_handler *out)
{
    (void)self, (void)key;
    if (desired) return nest_handler(cx, coco_format(cx, "declared %d", (int)coco_int_of(*desired)).p, out);
    return nest_handler(cx, coco_format(cx, "recorded %.*s", (int)record.n, record.p).p, out);
}

static coco_status nest_handler(coco_ctx *cx, const char *self, coco_target_handler *out)
{
    (void)cx;
    if (!self) return COCO_ENOMEM;
    nest_sink = (coco_sink){ .apply = nest_apply, .name = "nest" };
    *out = (coco_target_handler){ .name = "nest", .self = (void *)(uintptr_t)self, .sink = &nest_sink,
                                  .reconcile = nest_reconcile, .child = nest_child, .exists = nest_exists };
    return COCO_OK;
}

static coco_status nest_make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    (void)key;
    return nest_handler(cx, "root", out);
}
static coco_target_type nest_type = { "nest", nest_make, NULL };
COCO_AT_START(nest) { coco_target_register(&nest_type); }

COCO_FN(nest_part, (int64_t, number), .memo = true)
{
    coco_target *nest = coco_target_new(cx, "nest", coco_null(), "nest"), *outer, *inner;

    COCO_TRY(coco_declare_container(cx, nest, coco_text("outer"), coco_int(number), NULL, &outer));
    COCO_TRY(coco_declare_container(cx, outer, coco_text("inner"), coco_int(number), NULL, &inner));
    return coco_declare(cx, inner, coco_int(1), coco_int(1));
}
COCO_FN(nest_main, ())
{
    return coco_mount(cx, COCO_AUTO, &nest_part, COCO_ARGS(coco_int(nest_number)), NULL);
}

COCO_FN(nest_own, (int64_t, n), .memo = true)
{
    coco_target *nest = coco_target_new(cx, "nest", coco_null(), "nest"), *own;

    COCO_TRY(coco_declare_container(cx, nest, coco_int(n), coco_int(1), NULL, &own));
    return coco_declare(cx, own, coco_int(1), coco_int(1));
}
COCO_FN(nests_main, ())
{
    for (int64_t i = 0; i < 40; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &nest_own, COCO_ARGS(coco_int(i)), NULL));
    return COCO_OK;
}

static coco_status provide_where(coco_ctx *cx, void *user)
{
    (void)user;
    return with_where ? coco_provide(cx, &WHERE, coco_int(5)) : COCO_OK;
}

static void nest_begin(void)
{
    with_where = true;
    there_at = 5;
    nest_number = 1;
    w.config.setup = provide_where;
    program(&nest_main);
    update(NULL);
    restart();
    lines_clear(&seen_by);
}

/* S7.11, S7.13: a memo asks by handlers made from records; what is declared then is judged by its own */
static void handler_made_to_ask_is_made_again_for_the_declaration(void **state)
{
    (void)state;
    nest_begin();
    expect_nothing_written();
    LINES_EXPECT(&seen_by, NULL);
    restart();
    update(OPTS(.recheck = 100));
    LINES_EXPECT(&seen_by, "root", "declared 1", "declared 1");
    lines_clear(&seen_by);
}

/* S7.13: the hook may use context values; without them it can't tell */
static void exists_sees_context_values(void **state)
{
    (void)state;
    nest_begin();
    expect_nothing_written();
    with_where = false;
    restart();
    update_fails(COCO_EFAIL, NULL);
    assert_non_null(strstr(w.err.msg, "can't tell whether target outer exists"));
    assert_non_null(strstr(w.err.msg, "where"));
    with_where = true;
    restart();
    expect_nothing_written();
    lines_clear(&seen_by);
}

/* S7.13, S3.9: many are asked for at the same time, each once */
static void threads_ask_for_each_container_once(void **state)
{
    (void)state;
    w.config.threads = 4;
    nest_begin();
    program(&nests_main);
    restart();
    update(NULL);
    restart();
    nest_asked = 0;
    expect_nothing_written();
    assert_int_equal(nest_asked, 40);
    there_at = 6;
    restart();
    nest_asked = 0;
    update(NULL);
    assert_int_equal(nest_asked, 40);
    assert_int_equal(w.result.updates, 80);
    lines_clear(&seen_by);
}

/* ---- verify: the hook's contract, as localfs keeps it ---- */

static struct verified {
    const char *name;    /* of a file in the state directory */
    coco_value desired;
    coco_finding finding;
    char detail[200];
} verified;

COCO_FN(verify_main, ())
{
    coco_target *fs = coco_target_new(cx, "localfs", coco_null(), NULL);
    coco_str path = coco_format(cx, "%s/%s", w.dir, verified.name);
    coco_decision d = { 0 };
    coco_finding *f = &verified.finding;

    if (!fs || !path.p) return coco_error(cx);
    coco_change in = { .key = coco_text_n(path), .desired = &verified.desired };
    COCO_TRY(fs->handler.reconcile(cx, fs->handler.self, &in, &d));
    *f = (coco_finding){ .key = in.key, .record = d.record, .verdict = COCO_STATE_UNKNOWN };
    COCO_TRY(fs->handler.verify(cx, fs->handler.self, f, 1));
    snprintf(verified.detail, sizeof verified.detail, "%.*s", (int)f->detail.n, f->detail.n ? f->detail.p : "");
    return COCO_OK;
}

static void expect_verdict(coco_verdict verdict, const char *detail)
{
    program(&verify_main);
    update(NULL);
    assert_int_equal(verified.finding.verdict, verdict);
    assert_string_equal(verified.detail, detail);
}

static const char *at(const char *name)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/%s", w.dir, name);
    return path;
}

static void write_file(const char *content, mode_t mode)
{
    int fd;

    assert_true((fd = open(at(verified.name), O_WRONLY | O_CREAT | O_TRUNC, 0666)) >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* C1, S7.13 */
static void verify_tells_whether_a_file_is_as_it_was_written(void **state)
{
    const coco_pair pairs[] = { { COCO_STR("content"), COCO_TEXT("one") },
                                { COCO_STR("mode"), COCO_INTEGER(0600) } };

    (void)state;
    verified.name = "saved"; /* the harness removes it */
    verified.desired = coco_map_value(pairs, 2);
    expect_verdict(COCO_STATE_MISSING, "");
    write_file("one", 0600);
    expect_verdict(COCO_STATE_OK, "");
    write_file("one", 0644);
    expect_verdict(COCO_STATE_DIFFERENT, "mode");
    write_file("two", 0600);
    expect_verdict(COCO_STATE_DIFFERENT, "content");
    write_file("three", 0600);
    expect_verdict(COCO_STATE_DIFFERENT, "size");
    assert_int_equal(remove(at("saved")), 0);
    assert_int_equal(mkdir(at("saved"), 0777), 0);
    expect_verdict(COCO_STATE_DIFFERENT, "kind");
    assert_int_equal(rmdir(at("saved")), 0);
    verified.name = "saved/below"; /* a directory on the way isn't there */
    expect_verdict(COCO_STATE_MISSING, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(handler_made_to_ask_is_made_again_for_the_declaration),
        TEST(exists_sees_context_values),
        TEST(threads_ask_for_each_container_once),
        TEST(verify_tells_whether_a_file_is_as_it_was_written),
    };

    return cmocka_run_group_tests_name("existence hooks", tests, NULL, NULL);
}
