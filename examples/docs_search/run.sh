#!/bin/sh
# Indexes the documents of the md2html example three times (from nothing, unchanged, one page edited) and searches them. Run it
# in the top directory.
set -eu
build=${BUILD:-build}
work=$build/docs_search.demo
rm -rf "$work"
mkdir -p "$work"
cp -R examples/md2html/docs "$work/docs"

update() {
    printf '\n%s\n' "$1"
    "$build/docs_search" update --explain --source "$work/docs" --index "$work/docs.sqlite" --db "$work/db"
}
search() {
    printf '\n%s\n' "\$ docs_search search $1"
    "$build/docs_search" search "$1" --index "$work/docs.sqlite" --db "$work/db" | head -n 8
}

update '1. From nothing: every page is divided into passages, and each gets a row and a vector.'
update '2. Nothing changed: no page is read, and nothing is written.'
printf '\n## Zebra crossings\n\nA section about zebras was added by the demo.\n' >>"$work/docs/guide/first-steps.md"
update '3. One page edited: its new passage is embedded, the others keep their vectors.'
search 'zebra'
search 'incremental update'
