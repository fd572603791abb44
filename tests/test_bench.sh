# test_bench.sh - the benchmarks at a size that takes seconds: each still runs and gives its row. Times mean nothing here.
. tests/lib.sh

report=$tmp/report.md

# has PATTERN ...: the report has a line for each.
has() {
    for pattern in "$@"; do grep -q "$pattern" "$report" || { echo "no $pattern"; cat "$report"; return 1; }; done
}

every_workload_runs() {
    FILES=300 N=1000 ROWS=1000 EDITS=20 RUNS=1 REPORT=$report BUILD=$BUILD CC=$CC SHM=$tmp DISK=$tmp sh bench/run.sh \
        start cold warm shapes changed bump calls components pool states memos sqlite postgres live ten_million
}

files_have_their_rows() {
    has '^| cold, 300 files, tmpfs .* bare open' '^| cold, 300 files, disk' '^| warm, nothing changed.* find -printf' \
        '^| warm, a deep tree' '^| warm, a wide tree' '^| warm, a long tree' '^| one file changed, disk' \
        '^| one file added, tmpfs' '^| one file removed, tmpfs' '^| another version, the same outputs.* cat of all'
}

no_target_is_written_for_equal_outputs() { has '^| targets written by it | 0 | .* yes |'; }

a_warm_file_costs_one_stat() {
    if ! command -v strace >/dev/null; then return 0; fi
    has '^| warm, system calls a file | 1.00 ' '^- System calls a file, warm: 1.00 (newfstatat 1.00)'
}

components_have_their_rows() {
    has '^| 1000 components, cold, tmpfs .* the same puts in LMDB' '^| 1000 components, cold, disk' \
        '^| 1000 components, warm' '^| all of them deleted' '^| 10000 components, warm' \
        '^| 1000 states of one component' '^| hits of function memos' \
        '^| hits that return 384 dimensions' '^| a program from start to end'
}

the_rest_has_its_rows() { has '^| 1000 rows, cold, SQLite .* by hand' '^| live, 20 edits' 'budgets met'; }

the_report_names_no_place_of_the_machine() {
    if grep -n "$tmp\|$PWD" "$report"; then return 1; fi
}

promise every_workload_runs every_workload_runs
promise files_have_their_rows files_have_their_rows
promise no_target_is_written_for_equal_outputs no_target_is_written_for_equal_outputs
promise a_warm_file_costs_one_stat a_warm_file_costs_one_stat
promise components_have_their_rows components_have_their_rows
promise the_rest_has_its_rows the_rest_has_its_rows
promise the_report_names_no_place_of_the_machine the_report_names_no_place_of_the_machine
finish
