/* components - what the engine itself costs: components with one target state each, whose sink does nothing.
 *
 *     components update --n N [--memos M] [--generation G] [--changed I --bump B] [--rows 1] --db DIR
 *
 * Cold where DIR is new, else warm; all changed: another G; one changed: another B; deleted: --n 0 --allow-delete.
 * Each component calls M memoized functions of its own. --rows 1: one component that declares all N states, and runs in
 * every update. */
#define _DEFAULT_SOURCE
#include "bench.h"

#define GENERATIONS 1000 /* a number stands for a key and what generation its value is of */

/* ---- A target that does nothing ---------------------------------------------------------------------------------- */

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

/* ---- Components -------------------------------------------------------------------------------------------------- */

struct numbers {
    int64_t i, n, generation, changed, bump;
};

static int64_t number(const struct numbers *s, int64_t i)
{
    return i * GENERATIONS + s->generation + (i == s->changed ? s->bump : 0);
}

static int next(coco_source *src, coco_ctx *cx, coco_value *key, coco_value *value)
{
    struct numbers *s = src->self;

    (void)cx;
    if (s->i == s->n) return 0;
    *key = coco_int(s->i);
    *value = coco_int(number(s, s->i++));
    return 1;
}

COCO_FN(part, (int64_t, v, int64_t, i), .memo = true) { return coco_return(cx, coco_int(v + i)); }

COCO_FN(item, (int64_t, v, int64_t, memos, coco_target *, t), .memo = true)
{
    for (int64_t i = 0; i < memos; i++) COCO_TRY(coco_call(cx, &part, COCO_ARGS(coco_int(v), coco_int(i)), NULL));
    return coco_declare(cx, t, coco_int(v / GENERATIONS), coco_int(v));
}

static coco_status declare_all(coco_ctx *cx, const struct numbers *s, coco_target *t)
{
    for (int64_t i = 0; i < s->n; i++) COCO_TRY(coco_declare(cx, t, coco_int(i), coco_int(number(s, i))));
    return COCO_OK;
}

COCO_FN(app_main, ())
{
    coco_source *src = coco_source_new(cx);
    struct numbers *s = coco_alloc(cx, sizeof *s);
    coco_target *t = coco_target_new(cx, "nothing", coco_null(), NULL);

    if (!src || !s || !t) return coco_error(cx);
    *s = (struct numbers){ 0, bench_number(cx, "n"), bench_number(cx, "generation"), bench_number(cx, "changed"),
                           bench_number(cx, "bump") };
    if (bench_number(cx, "rows")) return declare_all(cx, s, t);
    src->title = "numbers";
    src->ordered = true;
    src->self = s;
    src->next = next;
    return coco_mount_each(cx, COCO_AUTO, &item, src,
                           COCO_ARGS(coco_int(bench_number(cx, "memos")), coco_target_value(t)));
}

int main(int argc, char **argv)
{
    coco_app_config app = {
        .name = "components", .main = &app_main,
        .params = (coco_param_def[]){ { "n", "1000000", "components, or rows" },
                                      { "memos", "0", "function memos of each" },
                                      { "generation", "0", "of all values" },
                                      { "changed", "-1", "the one that differs" },
                                      { "bump", "0", "by how much" },
                                      { "rows", "0", "1: all of one component" },
                                      { 0 } },
    };

    return coco_main(argc, argv, &app, 1);
}
