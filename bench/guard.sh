#!/bin/sh
# Counts the instructions of the hot paths by callgrind, for one item each, and compares them with bench/guard.txt: one that
# has grown by more than 5 % fails. UPDATE=1 writes the file anew.
#
# An item costs what a larger run takes more than a smaller one, by item; starting and ending cancel out. The counts are
# of all code, the libraries' too, so they hold for one compiler, C library and LMDB: where those are others, nothing is
# compared. Data is on tmpfs (SHM).
set -eu
cd "$(dirname "$0")/.."
bin=$(cd "${BUILD:-build}/bench" && pwd)
kept=bench/guard.txt
shm=${SHM:-/dev/shm}
[ -w "$shm" ] || shm=${TMPDIR:-/tmp}
command -v valgrind >/dev/null || { echo 'skipped: valgrind not installed'; exit 0; }
work=$(mktemp -d "$shm/coco-guard-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
. bench/lib.sh
unset COCOINDEX_DB COCOINDEX_THREADS COCOINDEX_MAX_INFLIGHT_COMPONENTS
export COCOINDEX_LMDB_MAP_SIZE=1073741824 # valgrind doesn't grant the address space that is asked for by itself

made_by() {
    echo "# $("${CC:-cc}" --version | head -n 1), $(getconf GNU_LIBC_VERSION 2>/dev/null || echo 'another libc')," \
        "LMDB $(lmdb_version), $(uname -m)"
}

# Each path takes a size and runs the command in front of it: `count` once, or nothing.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>"$work/said" >/dev/null
    sed -n 's/.*Collected : //p' "$work/said" >"$work/counted"
}
file() { $1 "$bin/tree_copy" update -q --source "$work/in.$2" --out "$work/out.$2" --db "$work/files.$2"; }
component() { $1 "$bin/components" update -q --n "$2" --db "$work/components.$2"; }
state() { $1 "$bin/components" update -q --n "$2" --rows 1 --db "$work/states.$2"; }
memo() { $1 "$bin/memos" update -q --entries "$2" --callers 2 --db "$work/memos.$2"; }

# path NAME FUNCTION SMALL LARGE DIVISOR: a line with the instructions of an item.
path() {
    $2 count "$3"
    small=$(cat "$work/counted")
    $2 count "$4"
    echo "$1 $((($(cat "$work/counted") - small) / (($4 - $3) * $5)))" | tee -a "$work/now"
}

for n in 300 900; do "$bin/make_tree" "$work/in.$n" $n 20; done
settle
made_by >"$work/now"
path file_cold file 300 900 1
path file_warm file 300 900 1
path component_cold component 2000 6000 1
path component_warm component 2000 6000 1
path state_cold state 2000 6000 1
path state_again state 2000 6000 1
memo env 1000
memo env 3000
path memo_hit memo 1000 3000 2

if [ -n "${UPDATE-}" ]; then
    cp "$work/now" $kept
    echo "$kept is written anew"
elif [ "$(head -n 1 $kept)" != "$(head -n 1 "$work/now")" ]; then
    echo "not compared: $kept was made by $(head -n 1 $kept | cut -c3-)"
else
    awk 'FNR == 1 { next } NR == FNR { kept[$1] = $2; next }
         { more = ($2 / kept[$1] - 1) * 100; 
           printf "%-16s %8d, kept %8d: %+.1f %%%s\n", $1, $2, kept[$1], more, (more > 5 ? " TOO MUCH" : "")
           if (more > 5) bad = 1; if (more < -5) better = 1 }
         END { if (better) print "much less than was kept: make bench-guard UPDATE=1"; exit bad }' $kept "$work/now"
fi
