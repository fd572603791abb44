# test_signals.sh - a program that is stopped by SIGINT at many moments, once or twice, in a plain and in a live update: the exit
# status says how it ended, `check` finds nothing, and the next update brings all in step with a run from nothing.
#
# The moments are spread over the time that an update takes here; SIGNALS says how many of each kind.
. tests/lib.sh

if [ ! -x "$BUILD/md2html" ]; then
    echo 'skipped: md2html is not built (md4c is not installed)'
    exit 0
fi

# after MS GAP COMMAND ...: SIGINT to the command after so many ms, and again GAP ms later if that isn't negative. A shell's
# background jobs wouldn't be reached before they have a handler.
cat >"$tmp/after.c" <<'END_OF_C'
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void nap(long ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

int main(int argc, char **argv)
{
    long after = atol(argv[1]), gap = atol(argv[2]);
    int status = 0;
    pid_t pid = fork();

    (void)argc;
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        execv(argv[3], argv + 3);
        _exit(127);
    }
    nap(after);
    kill(pid, SIGINT);
    if (gap >= 0) nap(gap), kill(pid, SIGINT);
    while (waitpid(pid, &status, 0) < 0) continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
END_OF_C

n=${SIGNALS:-6}
ended= # how updates ended: "130 0 130 "

md() { "$BUILD/md2html" "$@" --db "$tmp/db" --source "$tmp/docs" --out "$tmp/site"; }

# edit I: every file has another text, some come, some go.
edit() {
    mkdir -p "$tmp/docs/d$(($1 % 3))"
    for i in $(seq 60); do printf '# Page %d\n\nas of %d\n' "$i" "$1" >"$tmp/docs/p$i.md"; done
    rm -f "$tmp/docs/d$((($1 + 1) % 3))"/*.md
    for i in $(seq 10); do echo "$1" >"$tmp/docs/d$(($1 % 3))/q$i.md"; done
}

# Edits files while something follows them.
edit_on() {
    for i in $(seq 200); do
        [ ! -e "$tmp/enough" ] || return 0
        echo "# now $i" >"$tmp/docs/p$((i % 60)).md"
        sleep 0.01
    done
}

in_step() {
    "$BUILD/md2html" check --db "$tmp/db"
    md update -q
    "$BUILD/md2html" update -q --db "$tmp/new" --source "$tmp/docs" --out "$tmp/anew"
    diff -r "$tmp/site" "$tmp/anew"
    rm -rf "$tmp/new" "$tmp/anew"
    md update | grep -q '0 inserted, 0 updated, 0 deleted'
}

# interrupted GAP OPTION: n updates that are stopped, from the first moment to behind the end.
interrupted() {
    rm -rf "$tmp/db" "$tmp/site" "$tmp/docs"
    edit 0
    began=$(date +%s%N)
    md update -q
    took=$((($(date +%s%N) - began) / 1000000))
    for k in $(seq 0 $((n - 1))); do
        edit $((k + 1))
        rm -f "$tmp/enough"
        [ "$2" != --live ] || edit_on &
        rc=0
        "$tmp/after" $((took * k * 3 / 2 / n)) "$1" "$BUILD/md2html" update "$2" --db "$tmp/db" --source "$tmp/docs" \
            --out "$tmp/site" >"$tmp/err" 2>&1 || rc=$?
        touch "$tmp/enough"
        wait
        cat "$tmp/err"
        [ "$rc" -eq 0 ] || [ "$rc" -eq 130 ]
        ended="$ended$rc "
        in_step
    done
    echo "a whole update took $took ms; ended: $ended"
}

built() { "$CC" -std=c11 -D_DEFAULT_SOURCE "$tmp/after.c" -o "$tmp/after"; }
stopped() { interrupted -1 -q; }
stopped_live() { interrupted -1 --live; }
killed() { interrupted 0 -q; }
killed_later() { interrupted 3 -q; }
killed_live() { interrupted 1 --live; }

promise 'the sender of signals is built' built
promise update_that_is_stopped_at_any_moment_is_finished_by_the_next stopped
promise live_update_that_is_stopped_at_any_moment_is_finished_by_the_next stopped_live
promise second_signal_is_as_safe_as_a_crash killed
promise second_signal_while_the_first_is_obeyed_is_as_safe_as_a_crash killed_later
promise second_signal_in_live_mode_is_as_safe_as_a_crash killed_live
finish
