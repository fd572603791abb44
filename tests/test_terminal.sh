# test_terminal.sh - the progress display in a real terminal (tmux), of an update and of one that follows changes: one line a
# function, redrawn in place, also in a terminal that is narrow or that is resized; failures above it; the first Ctrl-C stops,
# the second one ends at once.
. tests/lib.sh

if ! command -v tmux >/dev/null; then
    echo 'skipped: tmux is not installed'
    exit 0
fi

# Each of 40 components takes 50 ms (150 with SLOW); a third of the way one fails. With STUCK the sixth doesn't return.
cat >"$tmp/prog.c" <<'END'
#include "cocoindex.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

COCO_FN(work, (int64_t, i), .memo = true)
{
    struct timespec wait = { .tv_nsec = (getenv("SLOW") ? 150 : 50) * 1000 * 1000 };

    nanosleep(&wait, NULL);
    if (i == 5 && getenv("STUCK")) {
        fprintf(stderr, "stuck\n");
        for (;;) nanosleep(&wait, NULL);
    }
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
"$CC" -std=c11 -I. ${CFLAGS:-} ${LDFLAGS:-} "$tmp/prog.c" "$BUILD/libcocoindex.a" -llmdb -pthread -o "$tmp/prog" || exit 1

# Copies in/ to out/.
cat >"$tmp/follow.c" <<'END'
#include "cocoindex.h"
#include "connectors/localfs.h"

COCO_FN(copy, (coco_file *, file, coco_dir *, out), .memo = true)
{
    coco_str content;

    COCO_TRY(coco_file_read(cx, file, &content));
    if (coco_str_equal(content, COCO_STR("bad\n"))) return coco_fail(cx, COCO_EFAIL, "unlucky");
    return coco_dir_declare_file(cx, out, coco_file_path(file), content);
}

COCO_FN(app_main, ())
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_text("out"), &out));
    return coco_mount_each(cx, COCO_AUTO, &copy,
                           coco_walk_dir(cx, coco_text("in"), &(coco_walk_opts){ .live = true }),
                           COCO_ARGS(coco_dir_value(out)));
}

int main(int argc, char **argv)
{
    return coco_main(argc, argv, &(coco_app_config){ .name = "follow", .main = &app_main }, 1);
}
END
"$CC" -std=c11 -I. ${CFLAGS:-} ${LDFLAGS:-} "$tmp/follow.c" "$BUILD/libcocoindex.a" -llmdb -pthread -o "$tmp/follow" || exit 1

mux() {
    tmux -S "$tmp/mux" -f /dev/null "$@"
}

# The server ends with its last session, maybe while the next one is about to start: one stays.
mux new-session -d -s stays 'sleep 3600' || exit 1

# start NAME [VARIABLE=VALUE [COLUMNS [PROGRAM]]]: runs an update with a new database in a terminal of 60 columns and 12 lines.
start() {
    mux new-session -d -s "$1" -x "${3:-60}" -y 12 \
        "cd '$tmp' && ${2-} TERM=xterm ./${4:-prog update} --db '$1.db'; echo \"ended with \$?\"; sleep 60"
}

screen() {
    mux capture-pane -p -t "$1"
}

# wait_for NAME TEXT [N]: until the terminal shows the text, on N lines (any number of them), a minute at most.
wait_for() {
    for tries in $(seq 600); do
        lines=$(screen "$1" | grep -cF "$2") || true
        if [ "$lines" -gt 0 ] && [ "$lines" -eq "${3:-$lines}" ]; then return 0; fi
        sleep 0.1
    done
    screen "$1"
    return 1
}

counted() {
    screen "$1" | sed -n 's/^work: \([0-9]*\).*/\1/p' | tail -n 1
}

# moves_on NAME: until the count on the last line has grown.
moves_on() {
    was=$(counted "$1")
    for tries in $(seq 600); do
        if [ "$(counted "$1" | grep . || echo 0)" -gt "${was:-0}" ]; then return 0; fi
        sleep 0.05
    done
    screen "$1"
    return 1
}

redraws_in_place() {
    start redraw SLOW=1
    wait_for redraw 'work: '
    for again in 1 2 3; do
        moves_on redraw
        [ "$(screen redraw | grep -c '^work: ')" -eq 1 ]
    done
    wait_for redraw 'ended with 1'
    screen redraw
    [ "$(screen redraw | grep -c '^work: ')" -eq 1 ]
    [ "$(screen redraw | grep -c 'unlucky')" -eq 1 ]
    [ "$(screen redraw | grep -n 'unlucky' | cut -d: -f1)" -lt "$(screen redraw | grep -n '^work: ' | cut -d: -f1)" ]
    mux kill-session -t redraw
}

# A line that wrapped would leave its second half behind at each redraw.
narrow() {
    start narrow SLOW=1 14
    wait_for narrow 'work: '
    for again in 1 2 3; do
        moves_on narrow
        [ "$(screen narrow | grep -c '^work: ')" -eq 1 ]
        [ "$(screen narrow | sed '/^work: /,$!d' | grep -c .)" -eq 1 ]
    done
    mux kill-session -t narrow
}

resized() {
    start resized SLOW=1
    wait_for resized 'work: '
    for columns in 40 30 80; do
        mux resize-window -t resized -x "$columns" -y 12
        moves_on resized
        moves_on resized
        screen resized | grep . | tail -n 1 | grep -q '^work: '
    done
    wait_for resized 'ended with 1'
    mux kill-session -t resized
}

second_interrupt_ends() {
    start second STUCK=1
    wait_for second stuck
    mux send-keys -t second C-c
    wait_for second Stopping
    mux send-keys -t second C-c
    wait_for second 'ended with 130'
    mux kill-session -t second
}

follows() {
    mkdir -p "$tmp/in"
    echo 1 >"$tmp/in/a"
    start live '' 60 'follow update --live'
    wait_for live 'following changes'
    echo 2 >"$tmp/in/b"
    wait_for live 'copy: 2 added' 1
    echo 3 >"$tmp/in/c"
    wait_for live 'copy: 3 added' 1
    [ "$(screen live | grep -c '^copy: ')" -eq 1 ]
    echo bad >"$tmp/in/d"
    wait_for live unlucky 1
    wait_for live 'copy: 3 added, 1 failed' 1
    [ "$(screen live | grep -c '^copy: ')" -eq 1 ]
    rm "$tmp/in/d"
    mux send-keys -t live C-c
    wait_for live Stopping
    wait_for live 'ended with 1'
    mux kill-session -t live
}

# What it copied tells that its app is open: Ctrl-C before that ends it at once, with 130.
quiet_says_nothing() {
    rm -rf "$tmp/in/d" "$tmp/out"
    start quiet '' 60 'follow update --live --quiet'
    for tries in $(seq 600); do if [ -e "$tmp/out/c" ]; then break; fi; sleep 0.1; done
    mux send-keys -t quiet C-c
    wait_for quiet 'ended with 0'
    [ "$(screen quiet | grep -cvE '^(\^C|Stopping|)$')" -eq 1 ]
    mux kill-session -t quiet
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
    for tries in $(seq 600); do
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
promise line_is_cut_in_a_narrow_terminal narrow
promise progress_goes_on_in_a_terminal_that_is_resized resized
promise first_interrupt_stops_and_says_so interrupt_stops
promise second_interrupt_ends_at_once second_interrupt_ends
promise what_is_followed_is_shown_in_place follows
promise quiet_says_nothing_while_it_follows quiet_says_nothing
mux kill-server 2>/dev/null
finish
