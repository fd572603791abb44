/* test_postgres_vector.c - vector columns and vector indexes in PostgreSQL with pgvector (C3). Needs a server that has
 * it: COCO_TEST_PGVECTOR, or scripts/fetch-pgvector. */
#include "pg_world.h"

static coco_key EMBEDDER = COCO_KEY("embedder", .detect_change = true);

struct item {
    int64_t id;
    coco_floats v, h;
};
static const coco_schema ITEMS = COCO_SCHEMA(struct item,
    COCO_FIELD(struct item, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct item, v, COCO_VECTOR_T, .dim_from = &EMBEDDER),
    COCO_FIELD(struct item, h, COCO_HALF_T, .dim = 3, .nullable = true));

static int64_t dimension;
static coco_postgres_vector_index ann;
static bool with_index;

static coco_status embedder_setup(coco_ctx *cx, void *user)
{
    COCO_TRY(coco_provide(cx, &EMBEDDER, coco_int(dimension)));
    return pg_setup(cx, user);
}

COCO_FN(put_item, (coco_value, item, coco_table *, table), .memo = true)
{
    const float half[3] = { 0.5f, -2, 65504 };
    float v[8];
    struct item it = { coco_int_of(coco_at(item, 0)), { v, (size_t)dimension }, { half, 3 } };

    for (int i = 0; i < 8; i++) v[i] = (float)coco_int_of(coco_at(item, 1)) + (float)i / 4;
    if (it.id == 2) it.h.p = NULL;
    return coco_declare_row(cx, table, &it);
}

static coco_status vectors(coco_ctx *cx)
{
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "items", &ITEMS, NULL, &t));
    if (with_index) COCO_TRY(coco_postgres_declare_vector_index(cx, t, "items_ann", &ann));
    return coco_mount_each(cx, COCO_AUTO, &put_item, items(cx, plan.rows, true), COCO_ARGS(coco_table_value(t)));
}

static int begin(void **state)
{
    int rc = pg_world_begin(state);

    w.env_config.setup = embedder_setup;
    with_index = false;
    dimension = 3;
    plan.rows = "1=1 2=-2";
    return rc;
}
#undef PG_TEST
#define PG_TEST(name) cmocka_unit_test_setup_teardown(name, begin, pg_world_end)

/* C3: the extension is created when a vector column is used; vectors travel in pgvector's own format. */
static void vectors_arrive_and_the_extension_is_made(void **state)
{
    (void)state;
    pg_update(vectors);
    expect_sql("SELECT * FROM items ORDER BY id", "1|[1,1.25,1.5]|[0.5,-2,65504]", "2|[-2,-1.75,-1.5]|~");
    expect_sql("SELECT id FROM items ORDER BY v <=> '[-1,-1,-1]' LIMIT 1", "2");
    restart();
    pg_choose(vectors);
    expect_nothing_written();
}

/* C0.9: the dimension comes from a context value; another one rebuilds the table, indexes included. */
static void changed_dimension_rebuilds_the_table(void **state)
{
    (void)state;
    with_index = true;
    ann = (coco_postgres_vector_index){ .column = "v" };
    pg_update(vectors);
    restart();
    dimension = 4;
    pg_update(vectors);
    expect_sql("SELECT id, v FROM items ORDER BY id", "1|[1,1.25,1.5,1.75]", "2|[-2,-1.75,-1.5,-1.25]");
    expect_sql("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'items'::regclass AND "
               "attname = 'v'", "vector(4)");
    expect_sql("SELECT indexname FROM pg_indexes WHERE tablename = 'items' ORDER BY 1", "items_ann", "items_pkey");
    restart();
    pg_choose(vectors);
    expect_nothing_written();
}

/* C3: hnsw, ivfflat; cosine, l2, inner product; parameters. */
static void vector_index_follows_its_declaration(void **state)
{
    static const struct {
        coco_postgres_vector_index index;
        const char *def;
    } all[] = {
        { { .column = "v" }, "USING hnsw (v vector_cosine_ops)" },
        { { .column = "v", .metric = COCO_POSTGRES_L2, .m = 8, .ef_construction = 32 },
          "USING hnsw (v vector_l2_ops) WITH (m='8', ef_construction='32')" },
        { { .column = "v", .metric = COCO_POSTGRES_DOT, .method = COCO_POSTGRES_IVFFLAT, .lists = 1 },
          "USING ivfflat (v vector_ip_ops) WITH (lists='1')" },
        { { .column = "h", .metric = COCO_POSTGRES_COSINE }, "USING hnsw (h halfvec_cosine_ops)" },
    };

    (void)state;
    with_index = true;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char def[200];
        ann = all[i].index;
        pg_update(vectors);
        snprintf(def, sizeof def, "CREATE INDEX items_ann ON public.items %s", all[i].def);
        expect_sql("SELECT indexdef FROM pg_indexes WHERE indexname = 'items_ann'", def);
    }
    ann.column = "id";
    pg_choose(vectors);
    assert_int_equal(try_update(NULL), COCO_EINVAL);
    assert_true(said("id is no vector column with a dimension"));
}

static const coco_schema ANY = { .columns = (const coco_column[]){
    { "id", .type = COCO_INT_T, .key = true }, { "v", .type = COCO_VECTOR_T } }, .n = 2 };

static coco_status any_length(coco_ctx *cx)
{
    coco_value row[2] = { coco_int(1), coco_vector((const float[]){ 1, 2 }, 2) };
    coco_table *t;

    COCO_TRY(coco_postgres_mount_table(cx, DB_REF, "anything", &ANY, NULL, &t));
    COCO_TRY(coco_declare_values(cx, t, coco_list(row, 2)));
    row[0] = coco_int(2);
    row[1] = coco_vector((const float[]){ 1, 2, 3 }, 3);
    return coco_declare_values(cx, t, coco_list(row, 2));
}

static void column_without_a_dimension_takes_every_length(void **state)
{
    (void)state;
    pg_update(any_length);
    expect_sql("SELECT v FROM anything ORDER BY id", "[1,2]", "[1,2,3]");
}

COCO_FN(check_row, (coco_row *, row))
{
    coco_value v = coco_row_get(row, "v"), h = coco_row_get(row, "h");

    plan.calls++;
    assert_int_equal(v.kind, COCO_VECTOR);
    assert_int_equal(coco_count(v), 3);
    assert_true((double)v.as.s.p.floats[2] == coco_float_of(coco_float(1.5)) || v.as.s.p.floats[2] < 0);
    assert_true(h.kind == COCO_VECTOR || h.kind == COCO_NULL);
    return COCO_OK;
}

static coco_status read_vectors(coco_ctx *cx)
{
    return coco_mount_each(cx, COCO_AUTO, &check_row, coco_postgres_rows(cx, DB_REF, &(coco_postgres_read){
                                                      .table = "items" }), COCO_NOARGS);
}

/* A source gives vectors as vectors. */
static void vectors_are_read_as_vectors(void **state)
{
    (void)state;
    pg_update(vectors);
    coco_app_close(w.app);
    w.app = NULL;
    w.config.name = "reader";
    pg_update(read_vectors);
    assert_int_equal(plan.calls, 2);
}

int main(void)
{
    const struct CMUnitTest postgres_vector[] = {
        PG_TEST(vectors_arrive_and_the_extension_is_made),
        PG_TEST(changed_dimension_rebuilds_the_table),
        PG_TEST(vector_index_follows_its_declaration),
        PG_TEST(column_without_a_dimension_takes_every_length),
        PG_TEST(vectors_are_read_as_vectors),
    };

    return PG_RUN(postgres_vector, true);
}
