/* rows.h - rows of (int64 key, 200 bytes of text, 8 columns in all), the same ones for the library and for what is
 * written by hand, and the component that declares them. */
#ifndef COCO_BENCH_ROWS_H
#define COCO_BENCH_ROWS_H

#include "../connectors/rows.h"
#include "bench.h"

struct row {
    int64_t id;
    coco_str body;
    int64_t a, b;
    double c;
    bool d;
    coco_str e, f;
};

static const coco_schema ROWS = COCO_SCHEMA(struct row,
    COCO_FIELD(struct row, id, COCO_INT_T, .key = true), COCO_FIELD(struct row, body, COCO_TEXT_T),
    COCO_FIELD(struct row, a, COCO_INT_T), COCO_FIELD(struct row, b, COCO_INT_T),
    COCO_FIELD(struct row, c, COCO_DOUBLE_T), COCO_FIELD(struct row, d, COCO_BOOL_T),
    COCO_FIELD(struct row, e, COCO_TEXT_T), COCO_FIELD(struct row, f, COCO_TEXT_T));

/* One row's texts. */
struct texts {
    char body[208], e[32], f[32];
};

/* Writes word and number; making rows should not be what is measured. */
static inline coco_str row_text(char *out, const char *word, int64_t i)
{
    size_t n = strlen(word), digits = 1;

    for (int64_t rest = i; rest >= 10; rest /= 10) digits++;
    memcpy(out, word, n);
    for (size_t d = digits; d-- > 0; i /= 10) out[n + d] = (char)('0' + i % 10);
    return (coco_str){ out, n + digits };
}

/* Row i, whose texts are in t; its text differs where i is `changed`. */
static inline struct row row_make(int64_t i, int64_t changed, struct texts *t)
{
    memset(t->body, 'a' + (int)(i % 26), 200);
    row_text(t->body, "row ", i);
    if (i == changed) t->body[150] = '!';
    return (struct row){ i, { t->body, 200 }, i * 3, i * 7, (double)i / 3, i & 1, row_text(t->e, "e ", i),
                         row_text(t->f, "some f ", i) };
}

enum { ROWS_AT_ONCE = 32 };

/* Declares n rows, some at a time, as a program does that reads them from somewhere; changed: the one that differs, -1
 * for none. */
static inline coco_status rows_declare(coco_ctx *cx, coco_table *table, int64_t n, int64_t changed)
{
    struct texts t[ROWS_AT_ONCE];
    struct row rows[ROWS_AT_ONCE];
    size_t some = 0;

    for (int64_t i = 0; i < n; i++) {
        rows[some] = row_make(i, changed, &t[some]);
        if (++some < ROWS_AT_ONCE && i + 1 < n) continue;
        COCO_TRY(coco_declare_rows(cx, table, rows, some));
        some = 0;
    }
    return COCO_OK;
}

/* The options of the programs. */
#define ROWS_PARAMS \
    { "rows", "1000000", "rows of the table" }, { "changed", "-1", "the row that differs" }, \
    { "run", "0", "another number: the component runs again" }, { 0 }

COCO_FN(fill, (int64_t, n, int64_t, changed, int64_t, run, coco_table *, table), .memo = true)
{
    (void)run;
    return rows_declare(cx, table, n, changed);
}

static inline coco_status rows_mount(coco_ctx *cx, coco_table *table)
{
    return coco_mount(cx, COCO_AUTO, &fill,
                      COCO_ARGS(coco_int(bench_number(cx, "rows")), coco_int(bench_number(cx, "changed")),
                                coco_int(bench_number(cx, "run")), coco_table_value(table)), NULL);
}

#endif /* COCO_BENCH_ROWS_H */
