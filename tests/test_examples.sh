# test_examples.sh - the examples do what their READMEs say: the tour prints its lesson, and md2html keeps a site in step by the
# smallest set of writes.
. tests/lib.sh

tour() {
    "$BUILD/tour" "$tmp/tour.db" >"$tmp/tour.out"
    diff examples/tour/expected.txt "$tmp/tour.out"
    "$BUILD/tour" "$tmp/tour.db" | diff examples/tour/expected.txt -
}

site() {
    "$BUILD/md2html" update --json --source "$tmp/docs" --out "$tmp/$1" --db "$tmp/$1.db" | tail -n 1 >"$tmp/summary"
}

# count ACTION: how many of them the last update's summary tells of, over all targets.
count() {
    sed 's/.*"targets"//' "$tmp/summary" | grep -o "\"$1\":[0-9]*" | awk -F: '{ n += $2 } END { print n + 0 }'
}

# of FUNCTION WHAT: what it says of a function.
of() {
    sed -n "s/.*\"$1\":{[^}]*\"$2\":\([0-9]*\).*/\1/p" "$tmp/summary"
}

writes() {
    echo "$(count insert) $(count update) $(count delete)"
}

# as_from_nothing: a site made from nothing is equal to the one that was kept in step.
as_from_nothing() {
    rm -rf "$tmp/fresh" "$tmp/fresh.db"
    cp "$tmp/summary" "$tmp/summary.kept"
    site fresh
    diff -r "$tmp/fresh" "$tmp/site"
    mv "$tmp/summary.kept" "$tmp/summary"
}

from_nothing() {
    cp -R examples/md2html/docs "$tmp/docs"
    pages=$(find "$tmp/docs" -name '*.md' | wc -l)
    site site
    [ "$(of convert added)" -eq "$pages" ]
    [ "$(find "$tmp/site" -name '*.html' | wc -l)" -eq $((pages + 1)) ]
    [ "$(grep -c '<li>' "$tmp/site/index.html")" -eq "$pages" ]
}

unchanged() {
    site site
    site site
    [ "$(writes)" = '0 0 0' ]
    [ "$(of convert reprocessed)" -eq 0 ]
}

edited() {
    echo 'One more line.' >>"$tmp/docs/guide/failures.md"
    site site
    [ "$(of convert reprocessed)" -eq 1 ]
    [ "$(writes)" = '0 1 0' ]
    as_from_nothing
}

retitled() {
    sed -i.bak '1s/.*/# Failing well/' "$tmp/docs/guide/failures.md"
    rm "$tmp/docs/guide/failures.md.bak"
    site site
    [ "$(of convert reprocessed)" -eq 1 ]
    [ "$(writes)" = '0 2 0' ]
    grep -q 'Failing well' "$tmp/site/index.html"
    as_from_nothing
}

touched() {
    touch "$tmp/docs/guide/first-steps.md"
    site site
    [ "$(of convert reprocessed)" -eq 0 ]
    [ "$(writes)" = '0 0 0' ]
}

deleted() {
    rm "$tmp/docs/what-it-is.md"
    site site
    [ "$(writes)" = '0 1 1' ]
    [ ! -e "$tmp/site/what-it-is.html" ]
    as_from_nothing
}

moved() {
    pages=$(find "$tmp/docs/concepts" -name '*.md' | wc -l)
    mv "$tmp/docs/concepts" "$tmp/docs/ideas"
    site site
    [ "$(writes)" = "$pages 1 $pages" ]
    [ ! -e "$tmp/site/concepts" ]
    as_from_nothing
}

own_index() {
    echo '# Welcome' >"$tmp/docs/index.md"
    site site
    grep -q 'Welcome' "$tmp/site/index.html"
    as_from_nothing
    rm "$tmp/docs/index.md"
    site site
    fails grep -q 'Welcome' "$tmp/site/index.html"
    as_from_nothing
}

odd_names() {
    mkdir "$tmp/docs/a b"
    echo '# <odd> & "quoted"' >"$tmp/docs/a b/50% #1?.md"
    site site
    grep -qF '<a href="./a%20b/50%25%20%231%3F.html">&lt;odd&gt; &amp; &quot;quoted&quot;</a>' "$tmp/site/index.html"
    as_from_nothing
}

promise tour_prints_its_lesson tour
if [ -x "$BUILD/md2html" ]; then
    promise every_page_is_converted_and_indexed from_nothing
    promise unchanged_site_is_not_written unchanged
    promise edited_page_is_rewritten_alone edited
    promise new_title_rewrites_the_index_too retitled
    promise touched_page_is_not_converted touched
    promise deleted_page_takes_its_file_along deleted
    promise moved_directory_moves_its_files moved
    promise own_index_page_takes_the_place_of_the_index own_index
    promise any_file_name_is_linked odd_names
else
    echo 'skipped: md2html is not built (md4c is not installed)'
fi
finish
