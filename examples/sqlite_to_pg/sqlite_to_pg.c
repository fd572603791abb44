/* sqlite_to_pg - keeps a table of PostgreSQL in step with a table of SQLite, row by row, with computed columns.
 *
 *     sqlite_to_pg update --shop shop.sqlite --postgres "dbname=reports"
 *
 * The source is orders(id, customer, cents, note, changed); `changed` is a number that grows whenever the row changes,
 * and so the memo state of the row: an order whose number is the same isn't converted again, and nothing is sent for
 * it. */
#include "cocoindex.h"
#include "connectors/postgres.h"
#include "connectors/sqlite.h"

static coco_key REPORTS = COCO_KEY("reports");

/* What is read. */
struct order {
    int64_t id;
    coco_str customer;
    int64_t cents;
    coco_str note;
};

static const coco_schema ORDERS = COCO_SCHEMA(struct order,
    COCO_FIELD(struct order, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct order, customer, COCO_TEXT_T),
    COCO_FIELD(struct order, cents, COCO_INT_T),
    COCO_FIELD(struct order, note, COCO_TEXT_T, .nullable = true));

/* What is written. */
struct sale {
    int64_t id;
    coco_str customer;
    coco_str amount; /* in euros */
    coco_str size;
    coco_str note;
};

static const coco_schema SALES = COCO_SCHEMA(struct sale,
    COCO_FIELD(struct sale, id, COCO_INT_T, .key = true),
    COCO_FIELD(struct sale, customer, COCO_TEXT_T),
    COCO_FIELD(struct sale, amount, COCO_DECIMAL_T),
    COCO_FIELD(struct sale, size, COCO_TEXT_T),
    COCO_FIELD(struct sale, note, COCO_TEXT_T, .nullable = true));

COCO_FN(convert, (coco_row *, row, coco_table *, sales), .memo = true)
{
    struct order order;
    long long cents;

    COCO_TRY(coco_row_read(cx, row, &ORDERS, &order));
    cents = order.cents < 0 ? -order.cents : order.cents;
    struct sale sale = {
        .id = order.id,
        .customer = order.customer,
        .amount = coco_format(cx, "%s%lld.%02lld", order.cents < 0 ? "-" : "", cents / 100, cents % 100),
        .size = order.cents >= 100000 ? COCO_STR("large") : order.cents >= 0 ? COCO_STR("small") : COCO_STR("refund"),
        .note = order.note,
    };
    return coco_declare_row(cx, sales, &sale);
}

COCO_FN(app_main, ())
{
    coco_table *sales;
    coco_sqlite_read orders = { .table = "orders", .version = "changed", .title = "orders" };

    COCO_TRY(coco_postgres_mount_table(cx, coco_context_ref(&REPORTS), "sales", &SALES, NULL, &sales));
    COCO_TRY(coco_postgres_declare_index(cx, sales, "sales_customer",
                                         &(coco_postgres_index){ .columns = "customer" }));
    return coco_mount_each(cx, COCO_AUTO, &convert, coco_sqlite_rows(cx, coco_param(cx, "shop"), &orders),
                           COCO_ARGS(coco_table_value(sales)));
}

static coco_status setup(coco_ctx *cx, void *user)
{
    (void)user;
    return coco_postgres_provide(cx, &REPORTS, coco_text_of(coco_param(cx, "postgres")).p, NULL);
}

int main(int argc, char **argv)
{
    coco_app_config app = {
        .name = "sqlite_to_pg",
        .main = &app_main,
        .setup = setup,
        .params = (coco_param_def[]){ { "shop", "shop.sqlite", "SQLite file with the table orders" },
                                      { "postgres", "", "connection string of the database for the table sales" },
                                      { 0 } },
    };

    return coco_main(argc, argv, &app, 1);
}
