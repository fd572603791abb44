/* test_rows.c - schemas, declarations and their difference, encoded rows: what the tabular connectors share (C0.9, S5).
 *
 * Each test is the body of a program's main function, since memory comes from a cx. */
#include "harness.h"

#include "../connectors/rows.h"

#include <math.h>

static coco_status (*body)(coco_ctx *cx);
COCO_FN(app_main, ()) { return body(cx); }

#define BODY(name) \
    static coco_status name##_body(coco_ctx *cx); \
    static void name(void **state) \
    { \
        (void)state; \
        body = name##_body; \
        program(&app_main); \
        update(NULL); \
    } \
    static coco_status name##_body(coco_ctx *cx)

#define COLUMNS(...) \
    (&(const coco_schema){ .columns = (const coco_column[]){ __VA_ARGS__ }, \
                           .n = sizeof((const coco_column[]){ __VA_ARGS__ }) / sizeof(coco_column) })
#define ID { .name = "id", .type = COCO_INT_T, .key = true }

/* ---- Schemas ----------------------------------------------------------------------------------------------------- */

BODY(schema_that_cannot_be_a_table_is_refused)
{
    const struct {
        const coco_schema *schema;
        const char *words;
    } cases[] = {
        { COLUMNS({ .name = "a", .type = COCO_INT_T }), "has no key column" },
        { COLUMNS(ID, { .name = "", .type = COCO_INT_T }), "column 2 has no name" },
        { COLUMNS(ID, { .name = "ID", .type = COCO_INT_T }), "two columns are called ID" },
        { COLUMNS(ID, { .name = "\xff", .type = COCO_INT_T }), "is not UTF-8" },
        { COLUMNS(ID, { .name = "a" }), "column a has no known type" },
        { COLUMNS(ID, { .name = "a", .type = (coco_type)99 }), "column a has no known type" },
        { COLUMNS({ .name = "a", .type = COCO_INT_T, .key = true, .nullable = true }), "a key and nullable" },
        { COLUMNS({ .name = "a", .type = COCO_DOUBLE_T, .key = true }), "a type that can't be a key" },
        { COLUMNS({ .name = "a", .type = COCO_JSON_T, .key = true }), "a type that can't be a key" },
        { COLUMNS(ID, { .name = "a", .type = COCO_TEXT_T, .dim = 3 }), "has a dimension and is no vector" },
        { COLUMNS(ID, { .name = "a", .type = COCO_TEXT_T, .sql_type = "" }), "has an empty SQL type" },
        { &(const coco_schema){ 0 }, "has no columns" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(coco_schema_check(cx, "t", cases[i].schema), COCO_EINVAL);
        if (!strstr(coco_error_message(cx), cases[i].words)) fail_msg("%zu: %s", i, coco_error_message(cx));
    }
    assert_int_equal(coco_schema_check(cx, "", COLUMNS(ID)), COCO_EINVAL);
    return coco_schema_check(cx, "t", COLUMNS(ID));
}

/* ---- Declarations ------------------------------------------------------------------------------------------------ */

static coco_str declaration(coco_ctx *cx, const coco_schema *s, const char *extra)
{
    coco_str out = { NULL, 0 };

    assert_int_equal(coco_table_declaration(cx, "t", s, coco_str_of(extra), &out), COCO_OK);
    return out;
}

BODY(declaration_is_encoded_and_decoded)
{
    coco_str record = declaration(cx, COLUMNS(ID, { .name = "m", .column = "a", .type = COCO_VECTOR_T, .dim = 300,
                                                    .nullable = true, .sql_type = "x(1)" }), "more");
    coco_table_decl decl;

    COCO_TRY(coco_table_decode(cx, record, &decl));
    assert_int_equal(decl.schema.n, 2);
    assert_string_equal(decl.schema.columns[1].name, "a");
    assert_string_equal(decl.schema.columns[1].sql_type, "x(1)");
    assert_int_equal(decl.schema.columns[1].dim, 300);
    assert_true(decl.schema.columns[0].key && decl.schema.columns[1].nullable);
    assert_true(coco_str_equal(decl.extra, COCO_STR("more")));
    assert_true(coco_str_equal(record, declaration(cx, &decl.schema, "more")));
    return COCO_OK;
}

/* Whatever stands in a record: an error, or a declaration that encodes to the same bytes again. */
BODY(damaged_declaration_is_corrupt_and_never_a_crash)
{
    coco_str record = declaration(cx, COLUMNS(ID, { .name = "a", .type = COCO_TEXT_T, .sql_type = "clob" }), "e");
    coco_str again;
    char *bytes = malloc(record.n + 1);
    coco_table_decl decl;
    unsigned seed = 1;

    for (size_t n = 0; n < record.n; n++) {
        memcpy(bytes, record.p, record.n);
        assert_int_equal(coco_table_decode(cx, (coco_str){ bytes, n }, &decl), COCO_ECORRUPT);
    }
    memcpy(bytes, record.p, record.n - 2); /* a length that takes a byte more than it needs */
    memcpy(bytes + record.n - 2, "\x81\0e", 3);
    assert_int_equal(coco_table_decode(cx, (coco_str){ bytes, record.n + 1 }, &decl), COCO_ECORRUPT);
    for (int round = 0; round < 20000; round++) {
        coco_scratch_begin(cx);
        memcpy(bytes, record.p, record.n);
        for (int k = 0; k < 1 + round % 3; k++) {
            seed = seed * 1103515245 + 12345;
            bytes[(seed >> 16) % record.n] = (char)(seed >> 8);
        }
        coco_status rc = coco_table_decode(cx, (coco_str){ bytes, record.n }, &decl);
        assert_true(rc == COCO_OK || rc == COCO_ECORRUPT);
        if (rc == COCO_OK && coco_schema_check(cx, "t", &decl.schema) == COCO_OK) {
            assert_int_equal(coco_table_declaration(cx, "t", &decl.schema, decl.extra, &again), COCO_OK);
            assert_int_equal(again.n, record.n);
        }
        coco_scratch_end(cx);
    }
    free(bytes);
    return COCO_OK;
}

static coco_convert may_convert(const coco_column *from, const coco_column *to)
{
    if (to->type == COCO_TEXT_T) return COCO_CONVERT_LOSSY;
    return from->type == to->type ? COCO_CONVERT_KEPT : COCO_CONVERT_REBUILD;
}

BODY(difference_of_declarations_is_classed)
{
#define A(...) { .name = "a", .type = __VA_ARGS__ }
    const struct {
        const coco_schema *from, *to;
        coco_children children;
        const char *steps; /* a letter and a name each */
    } cases[] = {
        { COLUMNS(ID, A(COCO_INT_T)), COLUMNS(ID, A(COCO_INT_T)), COCO_CHILDREN_KEPT, "" },
        { COLUMNS(ID), COLUMNS(ID, A(COCO_INT_T)), COCO_CHILDREN_LOSSY, "+a" },
        { COLUMNS(ID, A(COCO_INT_T)), COLUMNS(ID), COCO_CHILDREN_KEPT, "-a" },
        { COLUMNS(ID, A(COCO_INT_T)), COLUMNS({ .name = "b", .type = COCO_INT_T }, ID), COCO_CHILDREN_LOSSY, "-a+b" },
        { COLUMNS(ID, A(COCO_INT_T)), COLUMNS(A(COCO_INT_T), ID), COCO_CHILDREN_KEPT, "" },
        { COLUMNS(ID, A(COCO_INT_T)), COLUMNS(ID, A(COCO_TEXT_T)), COCO_CHILDREN_LOSSY, "~a" },
        { COLUMNS(ID, A(COCO_INT_T)), COLUMNS(ID, A(COCO_BOOL_T)), COCO_CHILDREN_DESTROYED, "~a" },
        { COLUMNS(ID, A(COCO_INT_T)), COLUMNS(ID, A(COCO_INT_T, .nullable = true)), COCO_CHILDREN_KEPT, "~a" },
        { COLUMNS(ID, A(COCO_INT_T)), COLUMNS(ID, A(COCO_INT_T, .key = true)), COCO_CHILDREN_DESTROYED, "~a" },
        { COLUMNS(ID, A(COCO_INT_T, .key = true)), COLUMNS(A(COCO_INT_T, .key = true), ID), COCO_CHILDREN_DESTROYED,
          "" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coco_table_decl from, to;
        coco_table_change change;
        char steps[20] = "";
        COCO_TRY(coco_table_decode(cx, declaration(cx, cases[i].from, ""), &from));
        COCO_TRY(coco_table_decode(cx, declaration(cx, cases[i].to, ""), &to));
        COCO_TRY(coco_table_diff(cx, &from, &to, may_convert, &change));
        for (size_t j = 0; j < change.nsteps; j++) {
            const coco_step *s = &change.steps[j];
            size_t n = strlen(steps);
            snprintf(steps + n, sizeof steps - n, "%c%s", "+-~"[s->kind], (s->to ? s->to : s->from)->name);
        }
        if (change.children != cases[i].children || strcmp(steps, cases[i].steps) != 0)
            fail_msg("%zu: %d \"%s\"", i, (int)change.children, steps);
        assert_int_equal(change.same, change.children == COCO_CHILDREN_KEPT && !steps[0]);
    }
    return COCO_OK;
}

/* S7.2: over several possibilities the worst counts, and what can't be read may be anything. */
BODY(every_possible_declaration_counts)
{
    coco_str new = declaration(cx, COLUMNS(ID, { .name = "a", .type = COCO_TEXT_T }), "");
    coco_str lossy = declaration(cx, COLUMNS(ID), ""), none = { NULL, 0 }, bad = COCO_STR("bad");
    coco_str rebuilt = declaration(cx, COLUMNS({ .name = "a", .type = COCO_TEXT_T, .key = true }), "");
    const struct {
        coco_str possible[2];
        size_t n;
        bool act;
        coco_action_kind kind;
        coco_children children;
    } cases[] = {
        { { none }, 0, true, COCO_INSERT, COCO_CHILDREN_KEPT },
        { { new }, 1, false, COCO_UPDATE, COCO_CHILDREN_KEPT },
        { { lossy }, 1, true, COCO_UPDATE, COCO_CHILDREN_LOSSY },
        { { new, lossy }, 2, true, COCO_UPDATE, COCO_CHILDREN_LOSSY },
        { { rebuilt, lossy }, 2, true, COCO_UPDATE, COCO_CHILDREN_DESTROYED },
        { { none, new }, 2, true, COCO_UPDATE, COCO_CHILDREN_KEPT },
        { { bad }, 1, true, COCO_UPDATE, COCO_CHILDREN_DESTROYED },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coco_value desired = coco_bytes(new.p, new.n);
        coco_change in = { .desired = &desired, .possible = cases[i].possible, .npossible = cases[i].n };
        coco_decision out = { 0 };
        COCO_TRY(coco_table_reconcile(cx, &in, may_convert, &out, NULL, NULL));
        if (out.act != cases[i].act || out.children != cases[i].children ||
            (out.act && out.action.kind != cases[i].kind))
            fail_msg("%zu: %d %d %d", i, out.act, (int)out.action.kind, (int)out.children);
        in.desired = NULL;
        memset(&out, 0, sizeof out);
        COCO_TRY(coco_table_reconcile(cx, &in, may_convert, &out, NULL, NULL));
        assert_true(out.act && out.action.kind == COCO_DELETE && !out.record.p);
    }
    return COCO_OK;
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static coco_rows rows_of(coco_ctx *cx, const coco_schema *s)
{
    coco_rows rows;
    coco_value desired;
    coco_str decl = declaration(cx, s, "");

    memset(&rows, 0, sizeof rows);
    desired = coco_bytes(decl.p, decl.n);
    assert_int_equal(coco_rows_init(cx, &rows, "t", &desired, (coco_str){ NULL, 0 }), COCO_OK);
    return rows;
}

BODY(row_is_encoded_and_read_back)
{
    const float f[2] = { 1.5f, -2 };
    const uint8_t uuid[16] = { 9 };
    const coco_value values[] = { coco_int(INT64_MIN), coco_int(-1), coco_float(-0.0), coco_bool(true),
                                  coco_text("t\xc3\xa4"), coco_bytes("\0\1", 2), coco_uuid(uuid), coco_vector(f, 2),
                                  coco_null() };
    coco_rows rows = rows_of(cx, COLUMNS(ID, { .name = "i", .type = COCO_INT_T },
                                         { .name = "d", .type = COCO_DOUBLE_T }, { .name = "b", .type = COCO_BOOL_T },
                                         { .name = "t", .type = COCO_TEXT_T },
                                         { .name = "y", .type = COCO_BYTES_T }, { .name = "u", .type = COCO_UUID_T },
                                         { .name = "v", .type = COCO_VECTOR_T },
                                         { .name = "n", .type = COCO_INT_T, .nullable = true }));
    coco_str row, rest;
    coco_value key;
    coco_cell cell;
    size_t i = 0;

    COCO_TRY(coco_row_encode(cx, &rows, coco_list(values, 9), &row, &key));
    assert_true(coco_equal(key, coco_list(values, 1)));
    for (rest = row; coco_cell_next(&rest, &cell); i++) assert_true(coco_equal(coco_cell_value(cx, &cell), values[i]));
    assert_int_equal(i, 9);
    assert_int_equal(rest.n, 0);
    for (size_t n = 0; n < row.n; n++) /* cut anywhere it is not a whole row */
        for (rest = (coco_str){ row.p, n }, i = 0; coco_cell_next(&rest, &cell); i++) assert_true(i < 9);
    return COCO_OK;
}

/* S5.2: equal values, equal bytes. */
BODY(equal_rows_have_equal_bytes)
{
    const coco_pair inner[2] = { { COCO_STR("x"), coco_int(1) }, { COCO_STR("a"), coco_int(2) } };
    const coco_pair renni[2] = { inner[1], inner[0] };
    const coco_pair one[3] = { { COCO_STR("id"), coco_int(1) }, { COCO_STR("j"), coco_map_value(inner, 2) },
                               { COCO_STR("d"), coco_float((double)NAN) } };
    const coco_pair two[3] = { { COCO_STR("d"), coco_float(-(double)NAN) }, { COCO_STR("j"), coco_map_value(renni, 2) },
                               one[0] };
    coco_rows rows = rows_of(cx, COLUMNS(ID, { .name = "j", .type = COCO_JSON_T },
                                         { .name = "d", .type = COCO_DOUBLE_T }));
    coco_str a, b;

    COCO_TRY(coco_row_encode(cx, &rows, coco_map_value(one, 3), &a, NULL));
    COCO_TRY(coco_row_encode(cx, &rows, coco_map_value(two, 3), &b, NULL));
    assert_true(coco_str_equal(a, b));
    return COCO_OK;
}

BODY(texts_have_the_form_of_their_type)
{
    static const struct {
        coco_type type;
        const char *good, *bad; /* words */
    } cases[] = {
        { COCO_DATE_T, "2026-01-31 2024-02-29 2000-02-29", "2026-1-31 2026-13-01 2023-02-29 1900-02-29 2026-01-00 x" },
        { COCO_CLOCK_T, "00:00 23:59:59 12:00:00.123456789 23:59:60", "24:00 1:00 12:60 12:00:00. 12:00:00Z" },
        { COCO_TIME_T, "2026-01-31T12:00:00Z 2026-01-31T12:00:00.5+01:00 2026-01-31T12:00:00-08 2026-01-31T12:00",
          "2026-01-31 2026-01-31T 2026-01-31T12:00:00+ 2026-01-31T12:00:00Zx 2026-01-31T12:00:00+99:00" },
        { COCO_INTERVAL_T, "P1D PT0S P1Y2M3DT4H5M6.5S -P1W", "P 1D PT P1S P1.5D P1D2Y PT1M1H" },
        { COCO_DECIMAL_T, "0 -1.50 +.5 5. 1e10 12345678901234567890.1", ". e5 1e 1.2.3 NaN 0x1 1,5" },
        { COCO_UUID_T, "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "f81d4fae7dec11d0a76500a0c91e6bf6 "
          "g81d4fae-7dec-11d0-a765-00a0c91e6bf6 f81d4fae-7dec-11d0-a765-00a0c91e6bf" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        coco_column columns[2] = { ID, { .name = "a", .type = cases[i].type } };
        coco_rows rows = rows_of(cx, &(coco_schema){ .columns = columns, .n = 2 });
        for (int bad = 0; bad < 2; bad++) {
            const char *p = bad ? cases[i].bad : cases[i].good;
            for (size_t n; *p; p += n + (p[n] == ' ')) {
                coco_value values[2] = { coco_int(1), coco_text_n((coco_str){ p, n = strcspn(p, " ") }) };
                coco_str row;
                coco_status rc = coco_row_encode(cx, &rows, coco_list(values, 2), &row, NULL);
                if (rc != (bad ? COCO_EINVAL : COCO_OK)) fail_msg("%.*s", (int)n, p);
            }
        }
    }
    return COCO_OK;
}

/* Every half float survives; others round to the nearest, ties to even. */
static void half_floats_round_as_ieee_says(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x10000; h++) {
        float f = coco_half_float((uint16_t)h);
        if (f == f) assert_int_equal(coco_half_of(f), h);
        else assert_true((coco_half_of(f) & 0x7c00) == 0x7c00 && (coco_half_of(f) & 0x3ff));
    }
    assert_int_equal(coco_half_of(65520.0f), 0x7c00);
    assert_int_equal(coco_half_of(65519.0f), 0x7bff);
    assert_int_equal(coco_half_of(1.0f + 1.0f / 2048), 0x3c00); /* a tie: to even */
    assert_int_equal(coco_half_of(1.0f + 3.0f / 2048), 0x3c02);
    assert_int_equal(coco_half_of(1e-8f), 0);
    assert_int_equal(coco_half_of(5.9604645e-8f), 1);
}

/* Of two to five rows whose lengths differ, ending in their last blocks at the same and at different turns, anywhere in
 * memory: the digests of each by itself. */
static void fingerprints_of_several_rows_are_those_of_each(void **state)
{
    enum { LONGEST = 5000 };
    static uint8_t bytes[LONGEST + 64];
    uint8_t out[5][16], alone[16];
    coco_str rows[5];
    uint64_t chance = 1;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * i >> 3 ^ i);
    for (size_t turn = 0; turn < 12000; turn++) {
        size_t n = turn % 6;
        for (size_t i = 0; i < n; i++) {
            chance = chance * 6364136223846793005u + 1442695040888963407u;
            size_t most = turn % 7 ? 601 : LONGEST, from = chance >> 58;
            rows[i] = (coco_str){ (const char *)bytes + from, i == turn % 5 ? turn / 18 : (size_t)(chance >> 20) % most };
        }
        coco_row_records(rows, n, out);
        for (size_t i = 0; i < n; i++) {
            coco_row_record(rows[i], alone);
            assert_memory_equal(out[i], alone, 16);
        }
    }
    for (size_t n = 0; n <= 600; n++) { /* four of one length */
        for (size_t i = 0; i < 4; i++) rows[i] = (coco_str){ (const char *)bytes + 17 * i + n % 8, n };
        coco_row_records(rows, 4, out);
        for (size_t i = 0; i < 4; i++) {
            coco_row_record(rows[i], alone);
            assert_memory_equal(out[i], alone, 16);
        }
    }
}

BODY(names_are_quoted)
{
    assert_true(coco_str_equal(coco_sql_quoted(cx, "a\"b", '"'), COCO_STR("\"a\"\"b\"")));
    assert_true(coco_str_equal(coco_sql_quoted(cx, "", '\''), COCO_STR("''")));
    return COCO_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(schema_that_cannot_be_a_table_is_refused),
        TEST(declaration_is_encoded_and_decoded),
        TEST(damaged_declaration_is_corrupt_and_never_a_crash),
        TEST(difference_of_declarations_is_classed),
        TEST(every_possible_declaration_counts),
        TEST(row_is_encoded_and_read_back),
        TEST(equal_rows_have_equal_bytes),
        TEST(texts_have_the_form_of_their_type),
        TEST(half_floats_round_as_ieee_says),
        TEST(fingerprints_of_several_rows_are_those_of_each),
        TEST(names_are_quoted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
