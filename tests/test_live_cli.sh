# test_live_cli.sh - `update --live` at the command line: it follows the files, one signal is its ordinary end, a second one ends
# it at once, and what it prints stays small.
. tests/lib.sh

if [ ! -x "$BUILD/md2html" ]; then
    echo 'skipped: md2html is not built (md4c is not installed)'
    exit 0
fi

# until_it COMMAND ...: a minute at most.
until_it() {
    for tries in $(seq 1200); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.05
    done
    cat "$tmp/out" "$tmp/err" 2>/dev/null
    return 1
}

# start OPTION ...: a live update of $tmp/docs in the background; $live is its process.
start() {
    rm -rf "$tmp/docs" "$tmp/site" "$tmp/db"
    mkdir "$tmp/docs"
    echo '# One' >"$tmp/docs/one.md"
    "$BUILD/md2html" update --live "$@" --source "$tmp/docs" --out "$tmp/site" --db "$tmp/db" >"$tmp/out" 2>"$tmp/err" &
    live=$!
}

ends_with() {
    rc=0
    wait "$live" || rc=$?
    [ "$rc" -eq "$1" ]
}

followed() {
    start
    until_it grep -q 'following changes' "$tmp/out"
    grep -q '<h1>One</h1>' "$tmp/site/one.html"
    mkdir "$tmp/docs/sub"
    echo '# Two' >"$tmp/docs/sub/two.md"
    until_it grep -q '<h1>Two</h1>' "$tmp/site/sub/two.html"
    echo '# Uno' >"$tmp/docs/one.md"
    until_it grep -q '<h1>Uno</h1>' "$tmp/site/one.html"
    until_it grep -q 'Uno' "$tmp/site/index.html"
    rm "$tmp/docs/one.md"
    until_it [ ! -e "$tmp/site/one.html" ]
    until_it fails grep -q one.html "$tmp/site/index.html"
    kill -INT "$live"
    ends_with 0
    grep -q '^Stopping$' "$tmp/err"
    grep -q '^md2html: .* inserted, .* in .* s$' "$tmp/out"
    [ "$(wc -l <"$tmp/out")" -lt 30 ]
}

in_step_afterwards() {
    "$BUILD/md2html" update --source "$tmp/docs" --out "$tmp/site" --db "$tmp/db" | grep -q '0 inserted, 0 updated, 0 deleted'
}

terminated() {
    start -q
    until_it [ -e "$tmp/site/index.html" ]
    kill -TERM "$live"
    ends_with 0
    [ ! -s "$tmp/out" ]
}

json() {
    start --json
    until_it grep -q '"type":"ready"' "$tmp/out"
    kill -INT "$live"
    ends_with 0
    tail -n 1 "$tmp/out" | grep -q '"type":"summary"'
}

# A function that doesn't come back, so that the first signal has something to wait for.
cat >"$tmp/prog.c" <<'END'
#include "cocoindex.h"
#include <time.h>

COCO_FN(app_main, ())
{
    struct timespec wait = { .tv_sec = 30 };

    puts("at work");
    fflush(stdout);
    while (nanosleep(&wait, &wait) != 0) continue;
    return 0;
}

int main(int argc, char **argv)
{
    return coco_main(argc, argv, &(coco_app_config){ .name = "busy", .main = &app_main }, 1);
}
END

second_signal() {
    "$CC" -std=c11 -D_DEFAULT_SOURCE -I. ${CFLAGS:-} ${LDFLAGS:-} "$tmp/prog.c" "$BUILD/libcocoindex.a" -llmdb -pthread -o "$tmp/prog"
    "$tmp/prog" update --live --db "$tmp/busy" >"$tmp/out" 2>"$tmp/err" &
    live=$!
    until_it grep -q 'at work' "$tmp/out"
    kill -INT "$live"
    until_it grep -q Stopping "$tmp/err"
    kill -INT "$live"
    ends_with 130
}

excluded() {
    fails "$BUILD/md2html" update --live --preview --db "$tmp/none" 2>"$tmp/err"
    grep -q 'exclude each other' "$tmp/err"
}

promise live_update_follows_its_files_until_a_signal followed
promise next_update_finds_nothing_to_do in_step_afterwards
promise sigterm_is_an_ordinary_end_and_quiet_is_quiet terminated
promise json_tells_when_it_is_ready_and_ends_with_the_summary json
promise second_signal_ends_it_at_once second_signal
promise live_excludes_preview excluded
finish
