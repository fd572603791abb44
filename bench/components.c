/* components - N components with one target state each, whose sink does nothing: what the engine itself costs.
 *
 * build/bench/components N DIR: cold, warm, one changed, all changed, delete; a line each with microseconds a
 * component and the growth of anonymous memory. build/bench/components rows N DIR: one component that declares N
 * rows, cold, again, one changed. */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE
#include "../cocoindex.h"

#include <stdlib.h>
#include <time.h>

static int64_t count, bump, changed = -1;

static coco_status apply(void *self, coco_action **actions, size_t n, coco_err *err)
{
    (void)self, (void)actions, (void)n, (void)err;
    return COCO_OK;
}

static coco_sink sink = { .apply = apply, .name = "nothing" };

static coco_status reconcile(coco_ctx *cx, void *self, const coco_change *in, coco_decision *out)
{
    int64_t v = in->desired ? coco_int_of(*in->desired) : 0;

    (void)self;
    if (in->desired && !in->may_be_missing && in->npossible == 1 && in->possible[0].n == sizeof v &&
        memcmp(in->possible[0].p, &v, sizeof v) == 0)
        return COCO_OK;
    out->act = true;
    out->action.kind = !in->desired ? COCO_DELETE : in->npossible ? COCO_UPDATE : COCO_INSERT;
    if (in->desired) out->record = coco_copy(cx, (coco_str){ (const char *)&v, sizeof v });
    return COCO_OK;
}

static coco_status make(coco_ctx *cx, coco_value key, coco_target_handler *out)
{
    (void)cx, (void)key;
    *out = (coco_target_handler){ .name = "nothing", .sink = &sink, .reconcile = reconcile };
    return COCO_OK;
}

static coco_target_type type = { .name = "nothing", .make = make };
COCO_AT_START(nothing) { coco_target_register(&type); }

struct numbers { int64_t i, n; };

static int next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    struct numbers *s = src->self;

    (void)cx;
    if (s->i == s->n) return 0;
    *key = coco_int(s->i++);
    *value = coco_int(s->i - 1 == changed ? -1 : (s->i - 1) * 2 + bump);
    return 1;
}

COCO_FN(item, (int64_t, v, coco_target *, t), .memo = true)
{
    return coco_declare(cx, t, coco_int(v < 0 ? changed * 2 : v / 2 * 2), coco_int(v));
}

COCO_FN(app_main, ())
{
    coco_source *src = coco_source_new(cx);
    struct numbers *s = coco_alloc(cx, sizeof *s);
    coco_target *t = coco_target_new(cx, "nothing", coco_null(), NULL);

    if (!src || !s) return coco_error(cx);
    *s = (struct numbers){ 0, count };
    src->title = "numbers";
    src->ordered = true;
    src->self = s;
    src->next = next;
    return coco_mount_each(cx, COCO_AUTO, &item, src, COCO_ARGS(coco_target_value(t)));
}

COCO_FN(rows_main, ())
{
    coco_target *t = coco_target_new(cx, "nothing", coco_null(), NULL);

    for (int64_t i = 0; i < count; i++)
        COCO_TRY(coco_declare(cx, t, coco_int(i), coco_int(i == changed ? -1 : i + bump)));
    return COCO_OK;
}

/* The number behind a name in a file of /proc. */
static long proc_number(const char *path, const char *name)
{
    char line[200];
    long number = 0;
    FILE *f = fopen(path, "r");

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) number = strtol(line + strlen(name), NULL, 10);
    if (f) fclose(f);
    return number;
}

static long anonymous_kib(void) { return proc_number("/proc/self/status", "RssAnon:"); }
static long written_bytes(void) { return proc_number("/proc/self/io", "wchar:"); }

static int run(coco_app *app, const char *what)
{
    coco_result r;
    coco_err err;
    struct timespec a, b;
    long before = written_bytes();

    clock_gettime(CLOCK_MONOTONIC, &a);
    coco_status rc = coco_update(app, &(coco_update_opts){ .allow_delete = true }, &r, &err);
    clock_gettime(CLOCK_MONOTONIC, &b);
    double us = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 1e3;
    printf("%-12s %8.3f us each %9.1f ms  +%llu ~%llu -%llu  %ld KiB anonymous, %ld bytes written%s%s\n", what,
           us / (double)(count ? count : 1), us / 1e3, (unsigned long long)r.inserts, (unsigned long long)r.updates,
           (unsigned long long)r.deletes, anonymous_kib(), written_bytes() - before, rc ? "  " : "", rc ? err.msg : "");
    coco_result_free(&r);
    return rc != COCO_OK;
}

int main(int argc, char **argv)
{
    bool rows = argc > 3 && strcmp(argv[1], "rows") == 0;
    coco_env *env;
    coco_app *app;
    coco_err err;
    coco_app_config config = { .name = "bench", .main = rows ? &rows_main : &app_main };
    int failed = 0;

    if (argc < 3) return fprintf(stderr, "usage: components [rows] N DIR\n"), 2;
    int64_t n = count = strtoll(argv[rows ? 2 : 1], NULL, 10);
    if (coco_env_open(&(coco_env_config){ .db = argv[rows ? 3 : 2] }, &env, &err) ||
        coco_app_open(env, &config, &app, &err))
        return fprintf(stderr, "%s\n", err.msg), 3;
    failed |= run(app, "cold") | run(app, "warm");
    changed = n / 2;
    failed |= run(app, "one changed") | run(app, "warm");
    bump = 1;
    changed = -1;
    failed |= run(app, "all changed");
    count = 0;
    failed |= run(app, "delete");
    coco_app_close(app);
    coco_env_close(env);
    return failed;
}
