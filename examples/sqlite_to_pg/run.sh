#!/bin/sh
# Reports from a shop: a table of SQLite copied to PostgreSQL three times: from nothing, unchanged, and after one order was
# changed, one added and one deleted. Starts a PostgreSQL of its own where COCO_POSTGRES names none. Run it in the top
# directory.
set -eu
build=${BUILD:-build}
if [ -z "${COCO_POSTGRES:-}" ]; then
    scripts/with-postgres sh "$0" || { rc=$?; if [ $rc -eq 77 ]; then exit 0; fi; exit $rc; }
    exit 0
fi
work=$build/sqlite_to_pg.demo
rm -rf "$work"
mkdir -p "$work"

update() {
    printf '\n%s\n' "$1"
    "$build/sqlite_to_pg" update --explain --shop "$work/shop.sqlite" --postgres "$COCO_POSTGRES" --db "$work/db"
}
sql() { sqlite3 "$work/shop.sqlite" "$1"; }
show() { psql -q "$COCO_POSTGRES" -c 'SELECT * FROM sales ORDER BY id'; }

sql "CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT, cents INTEGER, note TEXT, changed INTEGER);
     INSERT INTO orders VALUES (1, 'Ada', 1999, NULL, 1), (2, 'Grace', 250000, 'by Friday', 1), (3, 'Edsger', -500, NULL, 1);"
update '1. From nothing: every order is converted.'
show
update '2. Nothing changed: no order is converted, and nothing is sent.'
sql "UPDATE orders SET cents = 2999, changed = 2 WHERE id = 1;
     INSERT INTO orders VALUES (4, 'Barbara', 100, NULL, 1);
     DELETE FROM orders WHERE id = 3;"
update '3. One changed, one added, one deleted.'
show
