#!/bin/sh
# Runs the benchmarks: components and rows on tmpfs where there is one, and a tree of files beside its floors.
# N=COUNT changes the size (default 1,000,000 components, FILES=100000 files).
set -eu
build=${BUILD:-build}
bin=$(cd "$build/bench" && pwd)
n=${N:-1000000}
files=${FILES:-100000}
base=/dev/shm
[ -w "$base" ] || base=${TMPDIR:-/tmp}
dir=$(mktemp -d "$base/coco-bench-XXXXXX")
trap 'rm -rf "$dir"' EXIT

echo "== $n components with one target state each"
"$bin/components" "$n" "$dir/components"
echo "== the same with a pool of two threads; then a CPU-bound function, by one thread and by two"
COCOINDEX_THREADS=2 "$bin/components" "$n" "$dir/components2"
"$bin/pool" cpu 10000 "$dir/pool"
echo "== $n target states of one component"
"$bin/components" rows "$n" "$dir/rows"
echo "== $files files: the bare system calls, then an update, cold and warm; find beside it"
"$bin/files" make "$dir" "$files"
"$bin/files" bare "$dir"
"$bin/files" update "$dir"
"$bin/files" update "$dir"
"$bin/files" update "$dir"
echo "== live: 1,000 edits among 10,000 files in memory, then on disk; 100,000 edits as fast as they go"
"$bin/live" "$dir/live" 10000 1000
disk=$(mktemp -d "${TMPDIR:-/tmp}/coco-bench-XXXXXX")
trap 'rm -rf "$dir" "$disk"' EXIT
"$bin/live" "$disk/live" 10000 1000
"$bin/live" "$dir/flat" 10000 100000 flat
cd "$dir"
for i in 1 2 3; do
    /usr/bin/env time -f 'find -printf  %e s' find in -type f -printf '%T@ %s\n' 2>&1 >/dev/null || true
done
cd - >/dev/null
echo "== rows: a table of 8 columns beside a hand-written program, in SQLite and in PostgreSQL"
[ ! -x "$bin/rows_sqlite" ] || "$bin/rows_sqlite" "${ROWS:-1000000}" "$dir"
[ ! -x "$bin/rows_pg" ] || "$bin/rows_pg" "${ROWS:-1000000}" "$dir"
echo "== text: splitting"
[ ! -x "$bin/text" ] || "$bin/text"
echo "== live: from rename to the target replaced"
[ ! -x "$bin/live" ] || "$bin/live" "$dir"
