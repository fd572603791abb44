#!/bin/sh
# The same pipelines in CocoIndex, installed from PyPI into a virtual environment, beside ours: `make bench-peer`.
#
#     bench/peer/run.sh [tree_copy | components | sqlite | postgres ...]     all, or those named
#
# Each runs on one core, where CocoIndex is faster than on two. Of CocoIndex only the update itself counts, without the
# start of Python; of ours the whole process. FILES (100000), N components (100000), ROWS (100000) and RUNS (1) choose the
# size; VENV is the virtual environment (BUILD/peer/venv), PYTHON what makes it, COCOINDEX the version (1.0.26). REPORT
# names a file to which the table is appended, NOTE a sentence for it; CLOCK=cpu as in bench/run.sh, but for PostgreSQL.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
bin=$(cd "$build/bench" && pwd)
FILES=${FILES:-100000} N=${N:-100000} ROWS=${ROWS:-100000} RUNS=${RUNS:-1}
if [ $# -eq 0 ]; then set -- tree_copy components sqlite postgres; fi
if [ -z "${COCO_POSTGRES+set}" ]; then
    status=0
    BUILD=$build scripts/with-postgres sh bench/peer/run.sh "$@" || status=$?
    [ $status -eq 77 ] || exit $status
fi

export COCOINDEX_DISABLE_USAGE_TRACKING=1 CLOCK="${CLOCK:-wall}"
venv=${VENV:-$build/peer/venv}
mkdir -p "$build/peer"
if [ ! -x "$venv/bin/python" ]; then "${PYTHON:-python3}" -m venv "$venv"; fi
"$venv/bin/python" -c 'import cocoindex, asyncpg' 2>/dev/null ||
    "$venv/bin/pip" install -q "cocoindex[postgres]==${COCOINDEX:-1.0.26}"

shm=${SHM:-/dev/shm}
[ -w "$shm" ] || shm=${TMPDIR:-/tmp}
work=$(mktemp -d "$shm/coco-peer-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
. bench/lib.sh

pinned() { if command -v taskset >/dev/null; then taskset -c 0 "$@"; else "$@"; fi; }
# take_peer SCRIPT OPTION ...: a run of bench/peer/SCRIPT, with the seconds that it prints.
take_peer() {
    script=$1
    shift
    took=$(pinned "$venv/bin/python" "bench/peer/$script" "$@" 2>"$work/said") || { cat "$work/said" >&2; exit 1; }
    echo "$took 0 0 0 0" >>"$work/took.$who"
}
take_ours() { pinned "$bin/measure" "$work/took.$who" "$@"; }

# compare STATE WHAT TIMES: ours and other take turns; TIMES is how many times faster we are to be, empty: no budget. Where
# STATE is cold, fresh takes away what both have made.
compare() {
    before=:
    if [ "$1" = cold ]; then before=fresh; fi
    alternate "$RUNS" ours other
    times=$(paired '$6 / $1')
    row "$2, $1: $(printf %.0f "$times") times faster" CocoIndex "${3:+$3 times}" "-$times" "${3:+-$3}"
}

peer_tree_copy() {
    "$bin/make_tree" "$work/in" "$FILES" $(((FILES + 99) / 100))
    settle
    fresh() { rm -rf "$work"/out* "$work"/db*; }
    ours() { $before; take_ours "$bin/tree_copy" update -q --source "$work/in" --out "$work/out" --db "$work/db"; }
    other() { take_peer tree_copy.py --source "$work/in" --out "$work/out.peer" --db "$work/db.peer"; }
    compare cold "$FILES files" 15
    compare warm "$FILES files" 140
    diff -rq "$work/out" "$work/out.peer" >&2
    rm -rf "$work/in"
    fresh
}

peer_components() {
    fresh() { rm -rf "$work"/db*; }
    ours() { $before; take_ours "$bin/components" update -q --n "$N" --db "$work/db"; }
    other() { take_peer components.py --n "$N" --generation 0 --db "$work/db.peer"; }
    compare cold "$N components" ''
    compare warm "$N components" ''
    fresh
}

# rows SYSTEM: ours and other fill a table of their own from all rows; again: --run is another number.
rows() {
    run=0
    compare cold "$ROWS rows, $1" ''
    compare warm "$ROWS rows, $1" ''
    run=1
    RUNS=1 compare again "$ROWS rows, $1, declared" ''
    fresh
}

peer_sqlite() {
    [ -x "$bin/rows_sqlite" ] || return 0
    fresh() { rm -rf "$work"/db* "$work"/*.sqlite*; }
    ours() {
        $before
        take_ours "$bin/rows_sqlite" update -q --rows "$ROWS" --run "$run" --file "$work/ours.sqlite" --db "$work/db"
    }
    other() { take_peer rows.py --rows "$ROWS" --run "$run" --to "$work/peer.sqlite" --db "$work/db.peer"; }
    rows SQLite
}

peer_postgres() {
    [ -n "${COCO_POSTGRES-}" ] && [ -x "$bin/rows_pg" ] || return 0
    CLOCK=wall
    fresh() {
        rm -rf "$work"/db*
        psql -q "$COCO_POSTGRES" -c 'SET client_min_messages = error' -c 'DROP TABLE IF EXISTS ours, peer' -c CHECKPOINT
    }
    ours() { $before; take_ours "$bin/rows_pg" update -q --rows "$ROWS" --run "$run" --table ours --db "$work/db"; }
    other() { take_peer rows.py --rows "$ROWS" --run "$run" --to "$COCO_POSTGRES" --db "$work/db.peer"; }
    rows PostgreSQL
}

for workload in "$@"; do
    echo "== $workload" >&2
    "peer_$workload"
done
if [ -n "${REPORT-}" ]; then
    {
        echo
        echo "## Beside CocoIndex $("$venv/bin/pip" show cocoindex | sed -n 's/^Version: //p'), by \`make bench-peer\`"
        echo
        if [ -n "${NOTE-}" ]; then echo "$NOTE"; echo; fi
        cat "$table"
    } >>"$REPORT"
fi
