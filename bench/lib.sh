# lib.sh - what the scripts of the benchmarks share: commands that take turns, medians, a table. Sourced with the top
# directory current; bin is the directory of the programs, work one for what is measured.

# ---- Measuring -----------------------------------------------------------------------------------------------------------

# alternate RUNS WHO ...: calls the functions WHO in turn, RUNS times, after a turn that isn't counted where RUNS is over
# 1. Each calls `take COMMAND ...` once.
alternate() {
    turns=$1
    shift
    rm -f "$work"/took.*
    turn=0
    if [ "$turns" -eq 1 ]; then turn=1; fi
    while [ "$turn" -le "$turns" ]; do
        for who in "$@"; do "$who"; done
        if [ "$turn" -eq 0 ]; then rm -f "$work"/took.*; fi
        turn=$((turn + 1))
    done
}
take() { "$bin/measure" "$work/took.$who" "$@"; }

# paired EXPRESSION [WHO ...]: the median of an awk expression over the turns; $1 to $5 are what measure says of the
# first (seconds, user, system, KiB, bytes written), $6 to $10 of the second, $11 … of the third.
paired() {
    expression=$1
    shift
    if [ $# -eq 0 ]; then set -- ours other; fi
    files=
    for name in "$@"; do [ ! -f "$work/took.$name" ] || files="$files $work/took.$name"; done
    # shellcheck disable=SC2086
    paste -d ' ' $files | awk "{ print $expression }" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

each() { paired "\$1 * 1e6 / $1" ours; } # microseconds, of so many items
calc() { awk "BEGIN { printf \"%.6g\", $1 }"; }
seconds() { awk -v t="$1" 'BEGIN { if (t < 0.1) printf "%.1f ms", t * 1e3; else printf "%.2f s", t }'; }
bytes_of() { stat -c %s "$1/data.mdb"; }
settle() { sleep 0.06; } # until no stamp is racy
lmdb_version() {
    awk '/define MDB_VERSION_(MAJOR|MINOR|PATCH)/ { v = v s $3; s = "." } END { print v }' /usr/include/lmdb.h
}

# ---- The table -----------------------------------------------------------------------------------------------------------

table=$work/table notes=$work/notes
: >"$notes"
items='' state='' met=0 missed=0

line() { # its cells
    row=
    for cell in "$@"; do row="$row| $cell "; done
    echo "$row|" | tee -a "$table"
}
line workload ours 'beside it' ratio budget met 'user + system' memory state >/dev/null
echo '| --- | --- | --- | --- | --- | --- | --- | --- | --- |' >>"$table"

# judge VALUE LIMIT: sets verdict; no limit, no verdict.
judge() {
    verdict=
    [ -n "$2" ] || return 0
    if [ "$(calc "$1 <= $2")" = 1 ]; then verdict=yes met=$((met + 1)); else verdict='**no**' missed=$((missed + 1)); fi
}

# row WORKLOAD BESIDE BUDGET VALUE LIMIT: what was measured last. BESIDE names the other, BUDGET says in words that VALUE
# is to be at most LIMIT. With items set, times are also given for each of them; with state, bytes.
row() {
    ours=$(seconds "$(paired '$1' ours)")
    if [ -n "$items" ]; then ours="$ours ($(printf %.2f "$(each "$items")") µs each)"; fi
    beside='' ratio=''
    if [ -n "$2" ]; then beside="$2: $(seconds "$(paired '$1' other)")" ratio=$(printf %.2f "$(paired '$1 / $6')"); fi
    judge "$4" "$5"
    processor="$(seconds "$(paired '$2' ours)") + $(seconds "$(paired '$3' ours)")"
    memory="$(printf %.1f "$(paired '$4 / 1024' ours)") MiB"
    line "$1" "$ours" "$beside" "$ratio" "$3" "$verdict" "$processor" "$memory" "$state"
    items='' state=''
}

# value WORKLOAD WHAT BUDGET VALUE LIMIT: something else than a time.
value() {
    judge "$4" "$5"
    line "$1" "$2" '' '' "$3" "$verdict" '' '' ''
}
