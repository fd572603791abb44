#!/bin/sh
# Converts a copy of the documents three times: from nothing, unchanged, and with one page edited. Run it in the top directory.
set -eu
build=${BUILD:-build}
work=$build/demo
rm -rf "$work"
mkdir -p "$work"
cp -R examples/md2html/docs "$work/docs"

update() {
    printf '\n%s\n' "$1"
    "$build/md2html" update --explain --source "$work/docs" --out "$work/site" --db "$work/db"
}

update '1. From nothing: every page is converted.'
update '2. Nothing changed: no page is converted, and nothing is written.'
printf '\nThis line was added by the demo.\n' >>"$work/docs/guide/first-steps.md"
update '3. One page edited: that page is converted, and the index stays as it is.'
printf '\nThe site is in %s/site: open index.html there.\n' "$work"
