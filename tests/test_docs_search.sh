# test_docs_search.sh - docs_search and the examples with tables do what their READMEs say: the index follows the documents by
# the smallest set of writes, and what is in it is found.
. tests/lib.sh

if [ ! -x "$BUILD/docs_search" ] || ! command -v sqlite3 >/dev/null; then
    echo 'skipped: docs_search is not built, or sqlite3 is not installed'
    finish
fi

index() {
    "$BUILD/docs_search" update --json --source "$tmp/docs" --index "$tmp/docs.sqlite" --db "$tmp/db" "$@" |
        tail -n 1 >"$tmp/summary"
}
search() {
    "$BUILD/docs_search" search "$1" --index "$tmp/docs.sqlite" --db "$tmp/db"
}
count() {
    sed 's/.*"targets"//' "$tmp/summary" | grep -o "\"$1\":[0-9]*" | awk -F: '{ n += $2 } END { print n + 0 }'
}
writes() { echo "$(count insert) $(count update) $(count delete)"; }
sql() { sqlite3 "$tmp/docs.sqlite" "$1"; }

sections() {
    mkdir "$tmp/docs"
    printf 'Before.\n\n# Apples\n\nRed ones.\n\n```\n# no heading\n```\n\nPears\n-----\n\nGreen ones.\n' >"$tmp/docs/fruit.md"
    printf 'One\nparagraph.\n\n\nAnother one about bicycles.\n' >"$tmp/docs/plain.txt"
    index
    [ "$(sql "SELECT group_concat(line || ':' || coalesce(heading, '-'), ' ') FROM
              (SELECT * FROM passages WHERE path = 'fruit.md' ORDER BY n)")" = '1:- 3:Apples 11:Pears' ]
    [ "$(sql "SELECT group_concat(line, ' ') FROM (SELECT * FROM passages WHERE path = 'plain.txt' ORDER BY n)")" = '1 5' ]
    [ "$(sql "SELECT count(*) FROM passages WHERE length(embedding) = 256 * 4")" -eq 5 ]
}

found() {
    search pears >"$tmp/out"
    head -n 2 "$tmp/out" >"$tmp/first"
    grep -q '^fruit.md:11  Pears  (words 1, vector ' "$tmp/first"
    search bicycle | grep -q 'about \*bicycles\*'
    search 'bicycel' | head -n 1 | grep -q '^plain.txt:5  (words -, vector 1)' # a misspelling: by its letters
    search 'zzz "quoted" AND NOT (' >/dev/null # no word is syntax
}

# Also where every passage has some distance to the words.
nothing() {
    for words in xylophone 'qwertz uiop'; do
        [ "$(search "$words")" = 'Nothing was found.' ] || return 1
    done
}

unchanged() {
    index
    index
    [ "$(writes)" = '0 0 0' ]
}

edited() {
    printf '\n# Plums\n\nBlue ones.\n' >>"$tmp/docs/fruit.md"
    index
    [ "$(writes)" = '1 0 0' ]
    search plums | head -n 1 | grep -q '^fruit.md:16  Plums'
}

deleted() {
    rm "$tmp/docs/plain.txt"
    index
    [ "$(count delete)" -eq 2 ]
    search bicycles >"$tmp/out"
    fails grep -q plain.txt "$tmp/out"
    [ "$(sql "SELECT count(*) FROM passages_fts WHERE passages_fts MATCH 'bicycles'")" -eq 0 ]
}

lost() {
    before=$(sql "SELECT count(*), sum(line) FROM passages")
    rm "$tmp/docs.sqlite" "$tmp/docs.sqlite-wal" "$tmp/docs.sqlite-shm" 2>/dev/null || :
    index
    [ "$(sql "SELECT count(*), sum(line) FROM passages")" = "$before" ]
}

long_section() {
    { echo '# Long'; i=0; while [ $i -lt 400 ]; do echo "Sentence number $i of many."; i=$((i + 1)); done; } >"$tmp/docs/long.md"
    index
    [ "$(sql "SELECT max(length(text)) <= 1000 AND count(*) > 5 FROM passages WHERE path = 'long.md'")" -eq 1 ]
    line=$(sql "SELECT line FROM passages WHERE path = 'long.md' AND text LIKE '%Sentence number 300 %'")
    text=$(sql "SELECT substr(text, 1, instr(text, char(10)) - 1) FROM passages WHERE path = 'long.md' AND line = $line")
    [ "$(sed -n "${line}p" "$tmp/docs/long.md")" = "$text" ]
}

same_as_from_nothing() {
    "$BUILD/docs_search" update -q --source "$tmp/docs" --index "$tmp/fresh.sqlite" --db "$tmp/fresh.db"
    sql "SELECT path, n, line, heading, text, hex(embedding) FROM passages ORDER BY path, n" >"$tmp/kept"
    sqlite3 "$tmp/fresh.sqlite" "SELECT path, n, line, heading, text, hex(embedding) FROM passages ORDER BY path, n" |
        diff - "$tmp/kept"
}

usage() {
    status=0
    "$BUILD/docs_search" search --index "$tmp/docs.sqlite" --db "$tmp/db" 2>"$tmp/err" || status=$?
    [ $status -eq 2 ]
    status=0
    search ' * ' 2>"$tmp/err" || status=$?
    [ $status -eq 2 ]
    grep -q 'search for what' "$tmp/err"
    status=0
    "$BUILD/docs_search" search x --index "$tmp/none.sqlite" --db "$tmp/db" 2>"$tmp/err" || status=$?
    [ $status -eq 1 ]
    grep -q 'none.sqlite' "$tmp/err"
}

# With a PostgreSQL of its own.
in_postgres() {
    scripts/with-postgres sh -euc '
        update() { "$1/docs_search" update -q --source "$2/docs" --postgres "$COCO_POSTGRES" --db "$2/pg.db"; }
        update "$1" "$2"
        [ "$(psql -qtA "$COCO_POSTGRES" -c "SELECT count(*) FROM passages")" = "$(sqlite3 "$2/docs.sqlite" "SELECT count(*) FROM passages")" ]
        "$1/docs_search" search pears --postgres "$COCO_POSTGRES" --db "$2/pg.db" | head -n 1 | grep -q "^fruit.md:11  Pears"
        "$1/docs_search" search -pears --postgres "$COCO_POSTGRES" --db "$2/pg.db" | head -n 1 | grep -q "^fruit.md:11  Pears"
        psql -q "$COCO_POSTGRES" -c "DROP TABLE passages"
        update "$1" "$2"
        "$1/docs_search" search plums --postgres "$COCO_POSTGRES" --db "$2/pg.db" | head -n 1 | grep -q "^fruit.md:16  Plums"
        ' sh "$BUILD" "$tmp"
}

# The three updates of a run script: from nothing, unchanged, and with one changed (and others added or deleted).
example() {
    BUILD=$BUILD sh "examples/$1/run.sh" >"$tmp/out" 2>&1 || { cat "$tmp/out"; return 1; }
    grep "^$1: [0-9]" "$tmp/out" | sed 's/ in .*//' >"$tmp/counts"
    printf '%s\n' "$2" "$1: 0 inserted, 0 updated, 0 deleted" "$3" | diff - "$tmp/counts"
}
sales() { example sqlite_to_pg 'sqlite_to_pg: 5 inserted, 0 updated, 0 deleted' 'sqlite_to_pg: 1 inserted, 1 updated, 1 deleted'; }
articles() { example pg_to_files 'pg_to_files: 4 inserted, 0 updated, 0 deleted' 'pg_to_files: 0 inserted, 1 updated, 1 deleted'; }

promise each_section_becomes_a_row_with_its_line sections
promise best_passages_are_found_by_words_and_by_letters found
promise words_that_are_nowhere_find_nothing nothing
promise unchanged_documents_write_nothing unchanged
promise new_section_is_the_only_row_that_is_written edited
promise deleted_file_leaves_the_index_and_its_full_text deleted
promise index_that_was_deleted_is_made_again lost
promise long_section_is_divided_and_lines_are_right long_section
promise index_equals_one_from_nothing same_as_from_nothing
promise search_says_what_is_wrong usage
if [ -x "$BUILD/sqlite_to_pg" ] && scripts/with-postgres true 2>/dev/null; then
    promise the_same_index_in_postgresql in_postgres
    promise sqlite_to_pg_copies_what_changed sales
    promise pg_to_files_writes_what_changed articles
else
    echo 'skipped: PostgreSQL not installed'
fi
finish
