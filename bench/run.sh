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
echo "== $n target states of one component"
"$bin/components" rows "$n" "$dir/rows"
echo "== $files files: the bare system calls, then an update, cold and warm; find beside it"
"$bin/files" make "$dir" "$files"
"$bin/files" bare "$dir"
"$bin/files" update "$dir"
"$bin/files" update "$dir"
"$bin/files" update "$dir"
cd "$dir"
for i in 1 2 3; do
    /usr/bin/env time -f 'find -printf  %e s' find in -type f -printf '%T@ %s\n' 2>&1 >/dev/null || true
done
