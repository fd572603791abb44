/* Declarations of tables and encoded rows, as they stand in tracking records and go to sinks: what decodes encodes to
 * the same bytes, two declarations have a difference of which every step names its columns, a row is read cell by cell
 * and no further than its end. The first byte is the length of the first of two declarations; all of it is a row. */
#include "fuzz.h"

#include "../connectors/rows.h"

#include <unistd.h>

static coco_convert convert(const coco_column *from, const coco_column *to)
{
    return to->type == COCO_TEXT_T ? COCO_CONVERT_LOSSY
        : from->type == to->type ? COCO_CONVERT_KEPT : COCO_CONVERT_REBUILD;
}

static coco_status declaration(coco_ctx *cx, coco_str record, coco_table_decl *decl)
{
    coco_str again;
    coco_status rc = coco_table_decode(cx, record, decl);

    PROMISE(rc == COCO_OK || rc == COCO_ECORRUPT);
    if (rc != COCO_OK || coco_schema_check(cx, "t", &decl->schema) != COCO_OK) return rc;
    PROMISE(coco_table_declaration(cx, "t", &decl->schema, decl->extra, &again) == COCO_OK);
    PROMISE(coco_str_equal(record, again));
    return COCO_OK;
}

static void difference(coco_ctx *cx, const coco_table_decl *from, const coco_table_decl *to)
{
    coco_table_change change;

    PROMISE(coco_table_diff(cx, from, to, convert, &change) == COCO_OK);
    for (size_t i = 0; i < change.nsteps; i++) {
        const coco_step *s = &change.steps[i];
        PROMISE((s->kind != COCO_STEP_ADD) == (s->from != NULL) && (s->kind != COCO_STEP_DROP) == (s->to != NULL));
    }
    if (change.same) PROMISE(change.nsteps == 0 && change.children == COCO_CHILDREN_KEPT);
}

static void row(coco_ctx *cx, coco_str rest)
{
    const char *end = rest.p + rest.n;
    coco_cell cell;

    while (coco_cell_next(&rest, &cell)) {
        PROMISE(rest.p + rest.n == end);
        if (cell.type > COCO_DOUBLE_T && cell.s.n) PROMISE(cell.s.p < end && cell.s.p + cell.s.n <= end);
        coco_cell_value(cx, &cell);
    }
}

static coco_str input;

COCO_FN(fuzz_rows_main, ())
{
    size_t n = input.n ? (uint8_t)*input.p : 0;
    coco_table_decl from, to;

    if (!input.n) return COCO_OK;
    if (n > input.n - 1) n = input.n - 1;
    coco_str first = { input.p + 1, n }, second = { input.p + 1 + n, input.n - 1 - n };
    coco_status one = declaration(cx, first, &from), two = declaration(cx, second, &to);
    if (one == COCO_OK && two == COCO_OK) difference(cx, &from, &to);
    row(cx, (coco_str){ input.p + 1, input.n - 1 });
    return COCO_OK;
}

/* Memory comes from a cx alone: an update that writes nothing gives one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static coco_app *app;
    static char dir[64];
    coco_env *env;

    if (!app) {
        coco_env_config config = { .db = dir, .map_size = (size_t)1 << 20 };
        coco_app_config main_app = { .name = "fuzz", .main = &fuzz_rows_main };
        snprintf(dir, sizeof dir, "%s/coco-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        PROMISE(mkdtemp(dir));
        PROMISE(coco_env_open(&config, &env, NULL) == COCO_OK);
        PROMISE(coco_app_open(env, &main_app, &app, NULL) == COCO_OK);
    }
    input = (coco_str){ (const char *)data, n };
    PROMISE(coco_update(app, NULL, NULL, NULL) == COCO_OK);
    return 0;
}
