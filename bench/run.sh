#!/bin/sh
# Runs the benchmarks and prints one table: each workload beside its reference and its budget (design: ratios in one run).
#
#     bench/run.sh [WORKLOAD ...]     all but ten_million, or those named: the functions bench_… below
#
# Ours and the reference take turns; times are medians, ratios the medians of the pairs. A first turn is not counted. The
# environment makes it smaller: FILES (100000), N components (1000000), ROWS (1000000), EDITS (1000), RUNS (5, fewer
# where the table says so). Data is on tmpfs (SHM) unless a row says disk (DISK). CLOCK=cpu counts the processors' time
# in place of what passed, for a machine that others use too; where that would tell nothing (threads, disks, servers) it
# is not used. REPORT names a file that gets the table and the machine, NOTE a sentence for it.
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
bin=$(cd "$build/bench" && pwd)
export CLOCK="${CLOCK:-wall}"
FILES=${FILES:-100000} N=${N:-1000000} ROWS=${ROWS:-1000000} EDITS=${EDITS:-1000} RUNS=${RUNS:-5}
dirs=$(((FILES + 99) / 100))
shm=${SHM:-/dev/shm}
[ -w "$shm" ] || shm=${TMPDIR:-/tmp}
unset COCOINDEX_DB COCOINDEX_THREADS COCOINDEX_MAX_INFLIGHT_COMPONENTS COCOINDEX_LMDB_MAP_SIZE

if [ $# -eq 0 ]; then
    set -- start cold warm shapes changed bump calls components pool states memos sqlite postgres live text embed size
fi
# PostgreSQL is started around all of it; where there is none (77) its rows are left out.
case " $* " in
*' postgres '*)
    if [ -z "${COCO_POSTGRES+set}" ] && [ -x "$bin/rows_pg" ]; then
        status=0
        BUILD=$build scripts/with-postgres sh bench/run.sh "$@" || status=$?
        [ $status -eq 77 ] || exit $status
    fi ;;
esac

work=$(mktemp -d "$shm/coco-bench-XXXXXX")
disk=$(mktemp -d "${DISK:-${TMPDIR:-/tmp}}/coco-bench-XXXXXX")
trap 'rm -rf "$work" "$disk"' EXIT
trap 'exit 130' INT TERM
place() { if [ "$1" = disk ]; then echo "$disk"; else echo "$work"; fi; }

. bench/lib.sh

# ---- Trees of files ------------------------------------------------------------------------------------------------------

tree_copy() { # DIR [OPTION ...]: the command for the tree in DIR
    dir=$1
    shift
    take "$bin/tree_copy" update -q --source "$dir/in" --out "$dir/out" --db "$dir/db" "$@"
}

# tree PLACE SHAPE: sets dir to a tree that is up to date.
tree() {
    dir=$(place "$1")/$2
    [ ! -d "$dir" ] || return 0
    mkdir "$dir"
    "$bin/make_tree" "$dir/in" "$FILES" "$dirs" "$2"
    settle
    "$bin/tree_copy" update -q --source "$dir/in" --out "$dir/out" --db "$dir/db"
}

# durable PLACE: sets commit to the seconds of a durable commit there.
durable() {
    before=$CLOCK CLOCK=wall
    ours() { take "$bin/bare_lmdb" commits "$(place "$where")/commits" 50; }
    alternate 3 ours
    commit=$(calc "$(paired '$1' ours) / 50") CLOCK=$before
}

# What was made isn't deleted on disk before the end: ext4 makes files ten times more slowly for a while after a deletion.
cold_at() {
    tree "$where" plain
    in=$dir/in count=0 cold=$(place "$where")/cold
    mkdir -p "$cold"
    fresh() {
        if [ "$where" = tmpfs ]; then rm -rf "$cold"; mkdir "$cold"; fi
        count=$((count + 1))
        to=$cold/$count
    }
    ours() { fresh; take "$bin/tree_copy" update -q --source "$in" --out "$to" --db "$to.db"; db=$to.db; }
    other() { state=$(calc "$(bytes_of "$db") / $FILES"); fresh; take "$bin/bare_files" "$in" "$to"; }
    runs=$RUNS
    if [ "$runs" -gt 3 ] && [ "$where" = disk ]; then runs=3; fi
    alternate "$runs" ours other
    a_file=$state
    items=$FILES state="$(printf %.0f "$state") bytes a file"
    budget='1.25 times' limit=1.25
    if [ "$where" = disk ]; then budget='' limit=''; fi
    row "cold, $FILES files, $where ($runs runs)" 'bare open, fstat, read, write, rename' \
        "$budget" "$(paired '$1 / $6')" "$limit"
    third() { fresh; take cp -r "$in" "$to"; }
    alternate "$runs" third
    value "cp -r of the same, $where" "$(seconds "$(paired '$1' third)")" '' 0 ''
}

bench_cold() {
    where=tmpfs
    cold_at
    value 'state on disk of a file' "$(printf %.0f "$a_file") bytes" '300 bytes with the owner index' "$a_file" 300
    where=disk CLOCK=wall
    cold_at
}

# beside_find SHAPE
beside_find() {
    tree tmpfs "$1"
    ours() { tree_copy "$dir"; }
    other() { take find "$dir/in" -type f -printf '%T@ %s\n'; }
    alternate "$RUNS" ours other
    items=$FILES
}

bench_warm() {
    beside_find plain
    row "warm, nothing changed, $FILES files in $dirs directories" 'find -printf' '1.0 times' "$(paired '$1 / $6')" 1.0
    if command -v git >/dev/null; then
        repository() { git --git-dir="$work/git" --work-tree="$dir/in" "$@"; }
        git init -q --bare "$work/git"
        repository -c core.bare=false add -A .
        settle
        other() { take git --git-dir="$work/git" --work-tree="$dir/in" -c core.bare=false status --porcelain; }
        repository -c core.bare=false status >/dev/null
        alternate "$RUNS" ours other
        row 'the same' 'git status' '' 0 ''
    fi
    if command -v rsync >/dev/null; then
        rsync -a "$dir/in/" "$dir/mirror"
        other() { take rsync -a "$dir/in/" "$dir/mirror"; }
        alternate "$RUNS" ours other
        row 'the same' 'rsync -a' '' 0 ''
        rm -rf "$dir/mirror"
    fi
}

bench_shapes() {
    for shape in deep wide long; do
        beside_find $shape
        row "warm, a $shape tree" 'find -printf' '1.0 times' "$(paired '$1 / $6')" 1.0
        rm -rf "$dir"
    done
}

# one WHAT: what ours has done is beside a warm run; the difference counts, which is less than one run differs from another.
one() {
    other() { tree_copy "$dir"; }
    alternate $((RUNS * 8)) ours other
    more=$(paired '$1 - $6')
    row "one file $1, $where ($((RUNS * 8)) runs): $(seconds "$more") more" 'nothing changed' \
        "1 ms and 3 durable commits of $(seconds "$commit") more" "$more" "(0.001 + 3 * $commit)"
}

bench_changed() {
    for where in tmpfs disk; do
        tree "$where" plain
        durable
        file=$(find "$dir/in" -name 'f*' | head -n 1) new=$(dirname "$file")/new
        ours() { echo "edit $turn" >"$file"; settle; tree_copy "$dir"; }
        one changed
        ours() { echo "new $turn" >"$new.$turn"; settle; tree_copy "$dir"; }
        one added
        ours() { rm "$new.$turn"; settle; tree_copy "$dir"; }
        one removed
    done
}

bench_bump() {
    tree tmpfs plain
    touch "$work/before"
    settle
    version=1
    ours() {
        version=$((version + 1))
        TREE_COPY_VERSION=$version
        export TREE_COPY_VERSION
        tree_copy "$dir"
    }
    other() { take sh -c 'find "$0" -type f -print0 | xargs -0 cat' "$dir/in"; }
    third() { tree_copy "$dir"; }
    alternate "$RUNS" ours other third
    unset TREE_COPY_VERSION
    items=$FILES
    row 'another version, the same outputs' 'cat of all' '1.2 times and the warm time' \
        "$(paired '$1 - $11 - 1.2 * $6' ours other third)" 0
    written=$(find "$dir/out" -newer "$work/before" | wc -l)
    value 'targets written by it' "$written" none "$written" 0
    "$bin/tree_copy" update -q --source "$dir/in" --out "$dir/out" --db "$dir/db"
}

# slope NAME COMMAND ...: runs COMMAND TREE for a tree and for one with twice as many files in as many directories: what the
# second asks of the system more is what a file costs. Sets calls to the sum, and writes it down.
slope() {
    name=$1
    shift
    for i in 1 2; do strace -f -qq -c -o "$work/strace.$i" "$@" "$work/calls/$i" >/dev/null; done
    calls=$(awk -v name="$name" -v out="$notes" '$4 ~ /^[0-9]+$/ && $NF != "total" { n[$NF] += FILENAME ~ /1$/ ? -$4 : $4 }
        END { for (c in n) { a = n[c] / 400; sum += a; if (a >= 0.01) all = all sprintf(", %s %.2f", c, a) }
              print "- System calls a file, " name ": " sprintf("%.2f", sum) " (" substr(all, 3) ")" >>out; print sum }' \
        "$work/strace.1" "$work/strace.2")
}

bench_calls() {
    command -v strace >/dev/null || return 0
    mkdir -p "$work/calls"
    for i in 1 2; do mkdir "$work/calls/$i"; "$bin/make_tree" "$work/calls/$i/in" $((400 * i)) 20; done
    settle
    for state in cold warm; do
        slope $state sh -c '"$0" update -q --source "$1/in" --out "$1/out" --db "$1/db"' "$bin/tree_copy"
    done
    state=
    value 'warm, system calls a file' "$(printf %.2f "$calls")" 'one stat, no open, no write' "$calls" 1.02
    slope 'bare copy' sh -c '"$0" "$1/in" "$1/bare"' "$bin/bare_files"
}

# ---- Components ----------------------------------------------------------------------------------------------------------

components() { take "$bin/components" update -q --db "$db" "$@"; }
fresh_db() { rm -rf "$db" "$db.bare"; }

components_cold() { # where
    db=$(place "$where")/components
    fresh_db
    LMDB_TRACE="$work/trace" LD_PRELOAD="$bin/lmdb_trace.so" "$bin/components" update -q --n "$N" --db "$db"
    ours() { fresh_db; components --n "$N"; }
    other() { take "$bin/bare_lmdb" replay "$db.bare" "$work/trace"; }
    alternate "$RUNS" ours other
    rm -f "$work/trace"
    items=$N state="$(calc "int($(bytes_of "$db") / $N)") bytes each"
    if [ "$where" = tmpfs ]; then
        row "$N components, cold, tmpfs" 'the same puts in LMDB' '4 µs each' "$(each "$N")" 4
    else
        row "$N components, cold, disk" 'the same puts in LMDB' '1.5 times' "$(paired '$1 / $6')" 1.5
    fi
}

bench_components() {
    where=tmpfs
    components_cold
    before=$CLOCK where=disk CLOCK=wall
    components_cold
    where=tmpfs CLOCK=$before
    db=$work/components
    "$bin/components" update -q --n "$N" --db "$db"
    ours() { components --n "$N"; }
    alternate "$RUNS" ours
    items=$N
    row "$N components, warm" '' '0.5 µs each' "$(each "$N")" 0.5
    bump=0
    ours() { bump=$((bump + 1)); components --n "$N" --changed $((N / 2)) --bump $bump; }
    other() { components --n "$N" --changed $((N / 2)) --bump $bump; }
    alternate "$RUNS" ours other
    row 'one of them changed' 'nothing changed' '' 0 ''
    generation=0
    ours() { generation=$((generation + 1)); components --n "$N" --generation $generation; }
    alternate "$RUNS" ours
    items=$N
    row 'all of them changed' '' '' 0 ''
    ours() { components --n 0 --allow-delete; }
    alternate 1 ours
    items=$N
    row 'all of them deleted (1 run)' '' '' 0 ''
    ours() { fresh_db; components --n $((N / 10)) --memos 10; }
    alternate "$RUNS" ours
    items=$N
    row "$((N / 10)) components with 10 function memos each, cold: a memo" '' '' 0 ''
    fresh_db
}

bench_pool() {
    CLOCK=wall
    db=$work/components
    ours() { fresh_db; components --n "$N" --threads 2; }
    other() { fresh_db; components --n "$N"; }
    runs=$(((RUNS + 1) / 2))
    alternate "$runs" ours other
    items=$N
    row "$N components, cold, a pool of two ($runs runs)" 'no pool' '1.5 times' "$(paired '$1 / $6')" 1.5
    fresh_db
    for map in 0 1; do
        pool() { take "$bin/pool" update -q --items $((N / 100)) --map $map --db "$db" "$@"; }
        ours() { pool --threads 2; }
        other() { pool; }
        alternate "$RUNS" ours other
        row "a function that computes, map=$map, two threads" 'one thread' '0.6 times' "$(paired '$1 / $6')" 0.6
    done
    fresh_db
}

# Ten times as many: as long for each, in bounded memory.
bench_ten_million() {
    db=$work/components
    many=$((N * 10))
    for state in cold warm; do
        prepare() { if [ $state = cold ]; then db=$work/components.$1; fresh_db; else db=$work/components.$1; fi; }
        ours() { prepare many; components --n "$many"; }
        other() { prepare few; components --n "$N"; }
        alternate 1 ours other
        items=$many
        case=$state
        state=
        row "$many components, $case (1 run)" "$N" 'as long for each, within 20 %' "$(paired '$1 / $6 / 10')" 1.2
        value 'their memory' "$(calc "int($(paired '$4' ours) / 102.4) / 10") MiB" '64 MiB' "$(paired '$4' ours)" 65536
    done
    rm -rf "$work/components.many" "$work/components.few"
}

# One component with many target states.
bench_states() {
    db=$work/components
    ours() { fresh_db; components --n "$N" --rows 1; }
    alternate "$RUNS" ours
    items=$N state="$(calc "int($(bytes_of "$db") / $N)") bytes each"
    row "$N states of one component, cold" '' '' 0 ''
    ours() { components --n "$N" --rows 1; }
    alternate "$RUNS" ours
    items=$N
    row 'declared again' '' '0.6 µs each' "$(each "$N")" 0.6
    bump=0
    ours() { bump=$((bump + 1)); components --n "$N" --rows 1 --changed $((N / 2)) --bump $bump; }
    alternate "$RUNS" ours
    items=$N
    row 'one of them changed' '' '0.6 µs each' "$(each "$N")" 0.6
    value 'written for it' "$(paired '$5' ours) bytes" '64 KiB' "$(paired '$5' ours)" 65536
    fresh_db
}

# ---- Function memos, starting --------------------------------------------------------------------------------------------

# hits ENTRIES CALLERS DIMS BYTES: measures hits beside bare reads of as many bytes.
hits() {
    db=$work/memos.$1.$3 entries=$1 callers=$2 dims=$3 bytes=$4
    ours() { take "$bin/memos" update -q --entries "$entries" --callers "$callers" --dims "$dims" --db "$db"; }
    alternate 1 ours
    other() { take "$bin/bare_lmdb" get "$db.bare" "$entries" "$callers" "$bytes"; }
    alternate "$RUNS" ours other
    items=$((entries * callers))
}

bench_memos() {
    few=$((N / 100))
    hits $few 100 0 40
    row "hits of function memos, $few entries" 'bare mdb_get' '0.6 µs each' "$(each "$items")" 0.6
    hits "$N" 1 0 40
    row "the same, $N entries" 'bare mdb_get' '1.6 µs each' "$(each "$items")" 1.6
    hits $few 10 384 1536
    each=$(calc "int($(bytes_of "$db") / $few)")
    row "hits that return 384 dimensions, $few entries" 'mdb_get and one copy' '' 0 ''
    value 'state of such an entry' "$each bytes" '1.6 KB' "$each" 1638
    rm -rf "$work"/memos.*
}

bench_start() {
    db=$work/start
    ours() { components --n 0; }
    alternate $((RUNS * 4)) ours
    row "a program from start to end, nothing to do ($((RUNS * 4)) runs)" '' '2 ms' "$(paired '$1' ours)" 0.002
}

# ---- Rows ----------------------------------------------------------------------------------------------------------------

# rows SYSTEM COUNT: rows_ours OPTION ... and rows_hand are the commands, rows_fresh takes away what they made.
rows() {
    ours() { rows_fresh; rows_ours; }
    other() { rows_fresh; rows_hand; }
    runs=$RUNS
    if [ "$2" -ge 1000000 ] && [ "$runs" -gt 3 ]; then runs=3; fi
    alternate "$runs" ours other
    items=$2
    row "$2 rows, cold, $1 ($runs runs)" 'by hand' '1.3 times' "$(paired '$1 / $6')" 1.3
    rows_fresh
    ours() { rows_ours; }
    alternate 1 ours
    alternate "$runs" ours
    row 'unchanged' '' '' 0 ''
    run=0
    ours() { run=$((run + 1)); rows_ours --run $run; }
    alternate "$runs" ours
    items=$2
    row 'declared again, the same' '' '0.6 µs each' "$(each "$2")" 0.6
    ours() { run=$((run + 1)); rows_ours --run $run --changed $run; }
    alternate "$runs" ours
    items=$2
    row 'declared again, two others' '' '' 0 ''
    rows_fresh
}

bench_sqlite() {
    [ -x "$bin/rows_sqlite" ] || return 0
    rows_fresh() { rm -rf "$work/sqlite"; mkdir "$work/sqlite"; }
    rows_ours() {
        take "$bin/rows_sqlite" update -q --rows "$count" --file "$work/sqlite/ours" --db "$work/sqlite/db" "$@"
    }
    rows_hand() { take "$bin/rows_sqlite" hand "$work/sqlite/hand" "$count"; }
    for count in $((ROWS / 10)) "$ROWS"; do rows SQLite "$count"; done
}

bench_postgres() {
    [ -n "${COCO_POSTGRES-}" ] || return 0
    CLOCK=wall
    rows_fresh() {
        rm -rf "$work/postgres"
        psql -q "$COCO_POSTGRES" -c 'SET client_min_messages = error' -c 'DROP TABLE IF EXISTS ours, hand' -c CHECKPOINT
    }
    rows_ours() { take "$bin/rows_pg" update -q --rows "$count" --table ours --db "$work/postgres" "$@"; }
    rows_hand() { take "$bin/rows_pg" hand hand "$count"; }
    for count in $((ROWS / 10)) "$ROWS"; do rows PostgreSQL "$count"; done
}

# ---- Live, text, code ----------------------------------------------------------------------------------------------------

bench_live() {
    edits=$EDITS files=$(((FILES + 9) / 10)) stops=$(((EDITS + 49) / 50))
    for where in tmpfs disk; do
        "$bin/live" "$(place $where)/live" "$files" "$edits" >"$work/live.out"
        read -r p50 p99 longest commit <"$work/live.out"
        value "live, $edits edits among $files files, $where: file to target, p50" "$p50 ms" '2 ms' "$p50" 2
        value 'p99' "$p99 ms (longest $longest)" "10 ms and 2 durable commits of $commit ms" "$p99" "(10 + 2 * $commit)"
        "$bin/live" "$(place $where)/live" "$files" "$stops" stop >"$work/live.out"
        read -r p50 p99 longest <"$work/live.out"
        value "stopped at $stops moments, $where: until it has ended, longest" "$longest ms" '1000 ms' "$longest" 1000
    done
}

bench_text() {
    [ -x "$bin/text" ] || return 0
    "$bin/text" >"$work/text.out" || :
    for budget in 300 150; do
        speed=$(sed -n "s/.*(budget $budget).*: *\([0-9]*\) MB.*/\1/p" "$work/text.out")
        overlap=
        if [ $budget = 150 ]; then overlap=', overlap of 200'; fi
        value "splitting text$overlap" "$speed MB/s" "at least $budget MB/s" "-$speed" -$budget
    done
}

bench_embed() {
    [ -x "$bin/embed" ] && command -v wrk >/dev/null || return 0
    "$bin/embed" 1 >"$work/embed.out"
    while IFS=: read -r body found percent; do
        value "embedding, $body" "$found" 'at least 80 % of wrk' "-${percent% %}" -80
    done <"$work/embed.out"
}

bench_size() {
    of_size() { sh scripts/size 2>/dev/null | sed -n "s/^$1.* \\([0-9]*\\) of .*/\\1/p"; }
    text=$(of_size 'catch-up mode') whole=$(of_size 'the whole core')
    value 'stripped code of catch-up mode, -Os' "$text bytes" '160 KiB' "$text" 163840
    value '… with live mode, checking and backup' "$whole bytes" '' 0 ''
}

# ---- All of it -----------------------------------------------------------------------------------------------------------

machine() {
    echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores," \
        "$(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo) of memory;" \
        "Linux $(uname -r | sed 's/[^0-9.].*//'), disk: $(stat -f -c %T "$disk");" \
        "$("${CC:-cc}" --version | head -n 1), -O2;" \
        "LMDB $(lmdb_version)"
}

report() {
    echo '# Benchmarks'
    echo
    cat <<TEXT
The last run of \`make bench\` that was kept, by \`make bench REPORT=BENCHMARKS.md\`. Ours and what stands beside it take
turns in one run; times are medians of $RUNS turns after one that is not counted, or of as many as the row says; ratios are
medians of the pairs. User and system time, and the most anonymous memory, are ours. What the programs do is said in
\`bench/run.sh\` and in the opening comments of \`bench/*.c\`. \`make bench-peer\` measures CocoIndex itself beside this
library, \`make bench-guard\` counts instructions.
TEXT
    echo
    machine
    if [ -n "${NOTE-}" ]; then echo; echo "$NOTE"; fi
    echo
    cat "$table"
    echo
    [ "$asked" = wall ] || {
        echo 'Times are those of the processors, but for cold runs on disk, durable commits, pools, PostgreSQL and live updates.'
        echo
    }
    echo "$met budgets met, $missed missed."
    if [ -s "$notes" ]; then echo; cat "$notes"; fi
}

asked=$CLOCK
for workload in "$@"; do
    echo "== $workload" >&2
    CLOCK=$asked
    "bench_$workload"
done
echo
echo "$met budgets met, $missed missed"
if [ -n "${REPORT-}" ]; then report >"$REPORT"; fi
