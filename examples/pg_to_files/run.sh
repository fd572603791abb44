#!/bin/sh
# A blog's articles from PostgreSQL as files, three times: from nothing, unchanged, and after one was edited and one deleted.
# Starts a PostgreSQL of its own where COCO_POSTGRES names none. Run it in the top directory.
set -eu
build=${BUILD:-build}
if [ -z "${COCO_POSTGRES:-}" ]; then
    scripts/with-postgres sh "$0" || { rc=$?; if [ $rc -eq 77 ]; then exit 0; fi; exit $rc; }
    exit 0
fi
work=$build/pg_to_files.demo
rm -rf "$work"
mkdir -p "$work"

update() {
    printf '\n%s\n' "$1"
    "$build/pg_to_files" update --explain --postgres "$COCO_POSTGRES" --out "$work/site" --db "$work/db"
}
sql() { psql -q "$COCO_POSTGRES" -c "$1"; }

sql "CREATE TABLE articles(slug text PRIMARY KEY, title text, body text, revision bigint);
     INSERT INTO articles VALUES ('hello', 'Hello', 'The first article.', 1), ('why', 'Why?', 'Because.', 1),
                                 ('draft 1', 'A draft', 'Not yet.', 1);"
update '1. From nothing: every article is written.'
ls "$work/site"
update '2. Nothing changed: no file is written.'
sql "UPDATE articles SET body = 'Because it is so.', revision = 2 WHERE slug = 'why';
     DELETE FROM articles WHERE slug = 'draft 1';"
update '3. One edited, one deleted.'
cat "$work/site/why.txt"
