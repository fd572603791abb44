# test_store_commands.sh - check, compact and backup, of the tool and of a program (S11.4, S11.5; spec/cli.md).
. tests/lib.sh

tool=$BUILD/cocoindex
program=$BUILD/tour

fresh() { rm -rf "$tmp/db"; "$program" "$tmp/db" >/dev/null; }
status() { set +e; "$@" >"$tmp/out" 2>&1; got=$?; set -e; }

check_says_that_all_is_in_order() {
    fresh
    "$tool" check --db "$tmp/db" | grep -q 'in order'
    "$tool" check --db "$tmp/db" tour | grep -q '^tour: in order'
    test -z "$("$tool" check --db "$tmp/db" --json)"
}

check_of_what_is_not_there_creates_nothing() {
    status "$tool" check --db "$tmp/none"
    test "$got" -eq 3
    status "$tool" compact --db "$tmp/none"
    test "$got" -eq 3
    test ! -e "$tmp/none"
}

backup_is_a_file_that_opens_and_is_never_overwritten() {
    fresh
    "$tool" backup --db "$tmp/db" "$tmp/copy"
    status "$tool" backup --db "$tmp/db" "$tmp/copy"
    test "$got" -eq 2
    mkdir "$tmp/restored"
    cp "$tmp/copy" "$tmp/restored/data.mdb"
    "$tool" check --db "$tmp/restored" | grep -q 'in order'
    test "$("$tool" show -r --db "$tmp/restored")" = "$("$tool" show -r --db "$tmp/db")"
}

compacted_database_shows_the_same() {
    fresh
    "$tool" show -r --db "$tmp/db" >"$tmp/before"
    "$tool" compact --db "$tmp/db"
    "$tool" show -r --db "$tmp/db" | cmp - "$tmp/before"
}

# Pages are overwritten behind the first four; whatever LMDB makes of that, no command dies of it.
damaged_pages_are_told_by_every_command_that_looks() {
    fresh
    "$tool" show -r --db "$tmp/db" >"$tmp/before"
    size=$(wc -c <"$tmp/db/data.mdb")
    for page in 2 3 4 5 6 7 8 9 10; do
        rm -rf "$tmp/bad"
        cp -r "$tmp/db" "$tmp/bad"
        test $((page * 4096)) -lt "$size" || continue
        tr '\0' '\377' </dev/zero | dd of="$tmp/bad/data.mdb" bs=4096 seek="$page" count=1 conv=notrunc 2>/dev/null
        for command in check show "check --repair"; do
            status "$tool" $command --db "$tmp/bad"
            test "$got" -le 3
        done
    done
}

words_too_many_or_too_few_are_wrong_usage() {
    fresh
    for command in "check tour other" "compact tour" backup "backup a b c" "show --repair"; do
        status "$tool" $command --db "$tmp/db"
        test "$got" -eq 2
    done
}

promise check_says_that_all_is_in_order check_says_that_all_is_in_order
promise check_of_what_is_not_there_creates_nothing check_of_what_is_not_there_creates_nothing
promise backup_is_a_file_that_opens_and_is_never_overwritten backup_is_a_file_that_opens_and_is_never_overwritten
promise compacted_database_shows_the_same compacted_database_shows_the_same
promise damaged_pages_are_told_by_every_command_that_looks damaged_pages_are_told_by_every_command_that_looks
promise words_too_many_or_too_few_are_wrong_usage words_too_many_or_too_few_are_wrong_usage
finish
