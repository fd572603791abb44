# test_terminal.sh - the progress display in a real terminal (tmux): one line a function, redrawn in place; failures
# above it; the first Ctrl-C stops.
. tests/lib.sh

if ! command -v tmux >/dev/null; then
    echo 'skipped: tmux is not installed'
    exit 0
fi

# Each of 40 components takes 50 ms (150 with SLOW); a third of the way one fails.
cat >"$tmp/prog.c" <<'END'
#include "cocoindex.h"
#include <stdlib.h>
#include <time.h>

COCO_FN(work, (int64_t, i), .memo = true)
{
    struct timespec wait = { .tv_nsec = (getenv("SLOW") ? 150 : 50) * 1000 * 1000 };

    nanosleep(&wait, NULL);
    return i == 13 ? coco_fail(cx, COCO_EFAIL, "unlucky") : 0;
}

/* With SIZED a source tells how many there are. */
COCO_FN(app_main, ())
{
    coco_value keys[40];

    for (int64_t i = 0; i < 40; i++) keys[i] = coco_int(i);
    if (getenv("SIZED"))
        return coco_mount_each(cx, COCO_AUTO, &work, coco_source_of(cx, keys, keys, 40), COCO_NOARGS);
    for (int64_t i = 0; i < 40; i++)
        COCO_TRY(coco_mount(cx, COCO_PATH(coco_int(i)), &work, COCO_ARGS(coco_int(i)), NULL));
    return 0;
}

int main(int argc, char **argv)
{
    return coco_main(argc, argv, &(coco_app_config){ .name = "busy", .main = &app_main }, 1);
}
END
"$CC" -std=c11 -I. ${CFLAGS:-} "$tmp/prog.c" "$BUILD/libcocoindex.a" -llmdb -pthread -o "$tmp/prog" || exit 1

mux() {
    tmux -S "$tmp/mux" -f /dev/null "$@"
}

# start NAME [VARIABLE=VALUE]: runs an update with a new database in a terminal of 60 columns and 12 lines.
start() {
    set -- "$1" "${2-}"
    mux new-session -d -s "$1" -x 60 -y 12 \
        "cd '$tmp' && $2 TERM=xterm ./prog update --db '$1.db'; echo \"ended with \$?\"; sleep 60"
}

screen() {
    mux capture-pane -p -t "$1"
}

# wait_for NAME TEXT: until the terminal shows the text, ten seconds at most.
wait_for() {
    for tries in $(seq 100); do
        if screen "$1" | grep -qF "$2"; then return 0; fi
        sleep 0.1
    done
    screen "$1"
    return 1
}

counted() {
    screen "$1" | sed -n 's/^work: \([0-9]*\) added.*/\1/p' | tail -n 1
}

redraws_in_place() {
    start redraw
    wait_for redraw 'work: '
    sleep 0.5
    first=$(counted redraw)
    [ "$(screen redraw | grep -c '^work: ')" -eq 1 ]
    sleep 0.5
    second=$(counted redraw)
    [ "$second" -gt "$first" ]
    wait_for redraw 'ended with 1'
    screen redraw
    [ "$(screen redraw | grep -c '^work: ')" -eq 1 ]
    [ "$(screen redraw | grep -c 'unlucky')" -eq 1 ]
    [ "$(screen redraw | grep -n 'unlucky' | cut -d: -f1)" -lt "$(screen redraw | grep -n '^work: ' | cut -d: -f1)" ]
    mux kill-session -t redraw
}

interrupt_stops() {
    start stop
    wait_for stop 'work: '
    mux send-keys -t stop C-c
    wait_for stop 'Stopping'
    wait_for stop 'ended with 130'
    screen stop
    [ "$(counted stop)" -lt 39 ]
    screen stop | grep -q '^busy: .*stopped'
    mux kill-session -t stop
}

shares() {
    start share 'SIZED=1 SLOW=1'
    for tries in $(seq 100); do
        if screen share | grep -qE '^work: .* [1-9][0-9]?%, [0-9]+ s left$'; then break; fi
        sleep 0.1
    done
    screen share | grep -qE '^work: .* [1-9][0-9]?%, [0-9]+ s left$'
    wait_for share 'ended with 1'
    screen share | grep -qE '^work: 39 added, 1 failed, [0-9]+/s, 100%$'
    mux kill-session -t share
    SIZED=1 "$tmp/prog" update --db "$tmp/piped.db" >"$tmp/piped" 2>/dev/null || true
    grep -qE '^work: .* [1-9][0-9]?%, [0-9]+ s left$' "$tmp/piped"
    grep -qE '^work: 39 added, 1 failed, [0-9]+/s, 100%$' "$tmp/piped"
}

promise share_and_remaining_time_are_told_where_the_source_knows_its_size shares
promise progress_is_redrawn_in_place_with_failures_above redraws_in_place
promise first_interrupt_stops_and_says_so interrupt_stops
mux kill-server 2>/dev/null
finish
