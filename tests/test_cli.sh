# test_cli.sh - a program's command line: commands, options, parameters, .env, exit codes, what is printed where. And
# what the cocoindex tool has of it: ls, show.
. tests/lib.sh

# Two apps: `site` copies Markdown (a text that begins with "fail" fails, "slow" waits), `other` has its environment.
cat >"$tmp/prog.c" <<'END'
#include "cocoindex.h"
#include "connectors/localfs.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static coco_status set_up(coco_ctx *cx, void *user)
{
    (void)user;
    return getenv("NOSETUP") ? coco_fail(cx, COCO_EIO, "no such model") : 0;
}

/* Its second argument, which it doesn't tell of, is the environment. */
COCO_FN(shout, (coco_value, text), .memo = true)
{
    coco_str word = coco_text_of(text);
    const char *mark = getenv("MARK") ? getenv("MARK") : "";

    return coco_return(cx, coco_text_n(coco_format(cx, "%.*s%s", (int)word.n, word.p, mark)));
}

COCO_FN(copy, (coco_file *, file, coco_dir *, out), .memo = true)
{
    struct timespec wait = { .tv_nsec = 100 * 1000 * 1000 };
    coco_str text;

    COCO_TRY(coco_file_read_text(cx, file, &text));
    if (text.n >= 4 && memcmp(text.p, "fail", 4) == 0) return coco_fail(cx, COCO_EFAIL, "as it was told");
    if (text.n >= 4 && memcmp(text.p, "slow", 4) == 0) nanosleep(&wait, NULL);
    coco_cost(cx, 10);
    if (text.n >= 5 && memcmp(text.p, "shout", 5) == 0) {
        coco_value loud;

        COCO_TRY(coco_call(cx, &shout, COCO_ARGS(coco_text_n(text)), &loud));
        text = coco_text_of(loud);
    }
    return coco_dir_declare_file(cx, out, coco_path_with_suffix(cx, file, ".txt"), text);
}

COCO_FN(app_main, ())
{
    coco_walk_opts opts = { .include = "**.md" };
    coco_dir *out;

    if (getenv("NOMAIN")) return coco_fail(cx, COCO_EFAIL, "main was told to");
    if (getenv("NOTICE")) coco_notice(cx, "%s", getenv("NOTICE"));
    COCO_TRY(coco_mount_dir_with(cx, coco_param(cx, "out"), &(coco_dir_opts){ .title = "out" }, &out));
    return coco_mount_each(cx, COCO_AUTO, &copy, coco_walk_dir(cx, coco_param(cx, "source"), &opts),
                           COCO_ARGS(coco_dir_value(out)));
}

COCO_FN(other_main, ()) { return 0; }

static int greet(coco_app *app, int nargs, char **args)
{
    printf("source=%s args=%d %s GREETING=%s\n", coco_app_param(app, "source"), nargs, nargs > 0 ? args[0] : "-",
           getenv("GREETING") ? getenv("GREETING") : "unset");
    return 7;
}

int main(int argc, char **argv)
{
    const char *param = getenv("PARAM");
    coco_app_config apps[] = {
        { .name = "site", .main = &app_main, .setup = set_up,
          .commands = (coco_command[]){ { "greet", "[WORD]", "greets", greet }, { 0 } },
          .params = (coco_param_def[]){ { "source", "docs", "where the texts are" }, { "out", "site", "where they go" },
                                        { param, NULL, NULL }, { 0 } } },
        { .name = "other", .main = &other_main, .env = "staging",
          .commands = (coco_command[]){ { "greet", NULL, NULL, greet }, { "wave", NULL, "waves", greet }, { 0 } } },
        { .name = "other", .main = &other_main },
    };

    return coco_main(argc, argv, apps, getenv("BOTH") ? atoi(getenv("BOTH")) : 1);
}
END
"$CC" -std=c11 -I. ${CFLAGS:-} ${LDFLAGS:-} "$tmp/prog.c" "$BUILD/libcocoindex.a" -llmdb -pthread -o "$tmp/prog" || exit 1
# Writes into an LMDB environment what no program of this library would: lmdb DIR KEY 32-BIT-NUMBER [DATABASE]. In the
# key _ is a NUL byte.
cat >"$tmp/lmdb.c" <<'END'
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    unsigned n = argc >= 4 ? (unsigned)atoi(argv[3]) : 0;
    unsigned char be[4] = { n >> 24 & 255, n >> 16 & 255, n >> 8 & 255, n & 255 };
    MDB_val key = { strlen(argv[2]), argv[2] }, data = { sizeof be, be };
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    for (char *p = argv[2]; (p = strchr(p, '_')) != NULL;) *p = 0, p++;
    if (mdb_env_create(&env) || mdb_env_set_maxdbs(env, 4) || mdb_env_open(env, argv[1], 0, 0666)) return 1;
    if (mdb_txn_begin(env, NULL, 0, &txn) || mdb_dbi_open(txn, argc > 4 ? argv[4] : NULL, 0, &dbi)) return 1;
    if (mdb_put(txn, dbi, &key, &data, 0) || mdb_txn_commit(txn)) return 1;
    mdb_env_close(env);
    return 0;
}
END
"$CC" -std=c11 "$tmp/lmdb.c" -llmdb -pthread -o "$tmp/lmdb" || exit 1
case $BUILD in /*) built=$BUILD ;; *) built=$top/$BUILD ;; esac
tool=$built/cocoindex
out=$tmp/out
err=$tmp/err
unset GREETING BOTH PARAM NOSETUP NOMAIN NOTICE MARK

# fresh: an empty directory with two documents, to work in.
fresh() {
    rm -rf "$tmp/w"
    mkdir -p "$tmp/w/docs"
    cd "$tmp/w"
    echo one >docs/a.md
    echo two >docs/b.md
}

# run STATUS ARGUMENT ...: runs the program; what it says is in $out and $err. Fails if the exit status is another.
run() {
    wanted=$1
    shift
    status=0
    "$tmp/prog" "$@" >"$out" 2>"$err" </dev/null || status=$?
    [ "$status" -eq "$wanted" ] || { echo "exit status $status, not $wanted"; cat "$out" "$err"; return 1; }
}

# says FILE TEXT: the file has the text in one of its lines.
says() {
    grep -qF -- "$2" "$1" || { echo "no '$2' in $1:"; cat "$1"; return 1; }
}

update() {
    wanted=$1
    shift
    run "$wanted" update "$@"
}

# with_both STATUS ARGUMENT ...: the same for the program with two apps.
with_both() {
    (BOTH=${APPS:-2} && export BOTH && run "$@")
}

all_well_is_0() {
    fresh
    update 0
    [ "$(cat site/a.txt)" = one ]
    [ ! -s "$err" ]
}

failures_are_1() {
    fresh
    echo fail >docs/c.md
    update 1
    says "$err" '/@copy/"c.md"'
    says "$err" 'as it was told'
    [ "$(grep -c 'as it was told' "$err")" -eq 1 ]
    says "$err" '1 failed:'
    [ -e site/a.txt ]
    echo well >docs/c.md
    update 0
    [ -e site/c.txt ]
}

failed_paths_are_20_and_a_count() {
    fresh
    for i in $(seq 1 25); do echo fail >"docs/f$i.md"; done
    update 1
    says "$err" '25 failed:'
    [ "$(grep -c '^  /@copy/' "$err")" -eq 20 ]
    says "$err" 'and 5 more'
}

wrong_usage_is_2() {
    fresh
    run 2
    run 2 updat
    says "$err" 'did you mean update?'
    run 2 update --sourcee x
    says "$err" 'did you mean --source?'
    run 2 update --threads many
    says "$err" 'many'
    run 2 update --source
    says "$err" 'wants a value'
    run 2 update --quiet=1
    run 2 update nosuch
    says "$err" 'no app nosuch'
    run 2 update --only 'nopath'
    says "$err" 'path nopath: at byte 1'
    [ ! -s "$out" ]
    run 2 updaet
    says "$err" 'did you mean update?'
    run 2 update -x
    says "$err" 'unknown option -x'
    run 2 update --max-inflight=-1
    run 2 show a b
    run 2 ls a
    run 2 update -L --preview
    says "$err" 'exclude each other'
    run 2 update -L --only /x
    says "$err" 'exclude each other'
    [ ! -e site ]
}

state_that_cannot_be_opened_is_3() {
    fresh
    update 3 --db missing/deep/db
    says "$err" missing
    echo text >file
    update 3 --db file
    run 3 ls --db file
    run 3 show --db file
}

# unchanged_by COMMAND ...: the database is byte for byte what it was.
unchanged_by() {
    before=$(cksum <"$tmp/w/.cocoindex/data.mdb")
    "$@"
    [ "$before" = "$(cksum <"$tmp/w/.cocoindex/data.mdb")" ]
}

newer_format_is_refused() {
    fresh
    update 0
    "$tmp/lmdb" .cocoindex cocoindex 99
    for command in update drop ls show; do
        unchanged_by run 3 "$command"
        says "$err" 'format 99'
    done
    "$tmp/lmdb" .cocoindex cocoindex 1
    echo more >docs/c.md
    update 0
    [ "$(cat site/c.txt)" = more ]
}

other_database_is_refused() {
    fresh
    mkdir .cocoindex
    "$tmp/lmdb" .cocoindex somebody 1
    for command in update drop ls show; do
        unchanged_by run 3 "$command"
        says "$err" "another program's"
    done
}

second_updater_is_refused() {
    fresh
    for i in $(seq 1 20); do echo slow >"docs/s$i.md"; done
    "$tmp/prog" update -q &
    pid=$!
    sleep 0.5
    update 3
    says "$err" "updated by process $pid"
    run 3 drop -f
    run 0 ls
    run 0 show -r
    wait $pid
    [ "$(find site -name '*.txt' | wc -l)" -eq 22 ]
    update 0
}

# The superuser may do anything: another user tries then, where there is a way to become one.
without_permission() {
    fresh
    update 0
    chmod -R a-w .cocoindex
    chmod a+rx "$tmp"
    if [ "$(id -u)" -eq 0 ]; then
        as='setpriv --reuid=65534 --clear-groups'
        $as true || as='su -s /bin/sh nobody -c exec\ "$0"\ "$@"'
        $as true || return 0
    fi
    for command in update 'drop -f'; do
        status=0
        ${as-} "$tmp/prog" $command >"$out" 2>"$err" </dev/null || status=$?
        cat "$err"
        [ "$status" -eq 3 ]
        says "$err" .cocoindex
        says "$err" ermission
    done
    chmod -R u+w .cocoindex
    echo more >docs/c.md
    update 0
    [ "$(cat site/c.txt)" = more ]
}

setup_that_fails_is_3() {
    fresh
    (NOSETUP=1 && export NOSETUP && update 3)
    says "$err" 'no such model'
    [ ! -e site ]
    update 0
}

failing_main_is_told_once() {
    fresh
    (NOMAIN=1 && export NOMAIN && update 1)
    [ "$(grep -c 'main was told to' "$err")" -eq 1 ]
    says "$out" 'not complete'
    update 0
}

notices_are_told() {
    fresh
    (NOTICE='mind the step' && export NOTICE && update 0)
    [ "$(grep -c 'mind the step' "$err")" -eq 1 ]
    (NOTICE='mind the step' && export NOTICE && update 0 --quiet)
    [ ! -s "$err" ]
}

recheck_finds_what_is_not_declared() {
    fresh
    echo shout >docs/a.md
    update 0
    update 0 --recheck 100
    (MARK='!' && export MARK && update 0)
    says "$out" 'copy: 2 unchanged'
    (MARK='!' && export MARK && update 1 --recheck 100%)
    says "$err" copy
    (MARK='!' && export MARK && update 0 --full-reprocess)
    says site/a.txt '!'
    run 2 update --recheck 101
}

guard_is_4() {
    fresh
    for i in $(seq 1 1200); do echo "$i" >"docs/n$i.md"; done
    update 0
    rm docs/n*.md
    update 4
    says "$err" 'allow-delete'
    [ -e site/n1.txt ]
    update 0 --allow-delete
    [ ! -e site/n1.txt ]
}

signals_stop_with_130() {
    fresh
    for i in $(seq 1 60); do echo slow >"docs/s$i.md"; done
    "$tmp/prog" update >"$out" 2>"$err" &
    pid=$!
    sleep 1
    kill -INT $pid
    status=0
    wait $pid || status=$?
    [ "$status" -eq 130 ]
    says "$err" Stopping
    says "$out" stopped
    update 0
    [ "$(find site -name '*.txt' | wc -l)" -eq 62 ]
}

second_signal_ends_at_once() {
    fresh
    for i in $(seq 1 60); do echo slow >"docs/s$i.md"; done
    "$tmp/prog" update >"$out" 2>"$err" &
    pid=$!
    sleep 0.5
    kill -TERM $pid
    kill -TERM $pid 2>/dev/null || true
    status=0
    wait $pid || status=$?
    [ "$status" -eq 130 ]
    update 0
    [ "$(find site -name '*.txt' | wc -l)" -eq 62 ]
}

parameters_are_options() {
    fresh
    run 0 update --help
    says "$out" '--source'
    says "$out" 'where the texts are (default: docs)'
    mkdir texts
    echo three >texts/c.md
    run 0 update --source=texts
    [ "$(cat site/c.txt)" = three ]
    (PARAM=threads && export PARAM && run 2 update)
    says "$err" 'threads'
}

own_commands_get_their_words() {
    fresh
    run 7 greet --source x word --own-option
    says "$out" 'source=x args=2 word'
    run 0 --help
    says "$out" greets
}

env_file_is_read() {
    fresh
    mkdir -p deep/er
    printf '# comment\nexport GREETING="hi \\"there\\"" # more\nCOCOINDEX_DB=%s/w/state\n' "$tmp" >.env
    (cd deep/er && run 7 greet && says "$out" 'GREETING=hi "there"')
    [ -d state ]
    (GREETING=set && export GREETING && run 7 greet && says "$out" 'GREETING=set')
    run 7 greet --no-env
    says "$out" 'GREETING=unset'
    printf "GREETING='a # b'\n" >other.env
    run 7 greet -e other.env
    says "$out" 'GREETING=a # b'
    run 2 greet -e none.env
    says "$err" none.env
    printf 'A=1\nwrong line\n' >.env
    run 2 update
    says "$err" '.env:2:'
    printf 'A="open\n' >.env
    run 2 update
    says "$err" '.env:1:'
}

summary_is_one_object() {
    fresh
    update 0 --json
    tail -n 1 "$out" >last
    grep -qE '^\{"type":"summary","app":"site","seconds":[0-9.]+,"functions":\{.*\},"targets":\{.*\},"failed":\[\]\}$' \
        last
    says last '"copy":{"added":2,"reprocessed":0,"unchanged":0,"deleted":0,"errors":0,"memo_hits":'
    says last '"out":{"insert":2,"update":0,"delete":0}'
    echo fail >docs/a.md
    update 1 --json
    tail -n 1 "$out" >last
    says last '"failed":["/@copy/\"a.md\""]'
    says "$out" '{"type":"failure","path":"/@copy/\"a.md\""'
}

quiet_prints_failures_alone() {
    fresh
    update 0 -q
    [ ! -s "$out" ]
    [ ! -s "$err" ]
    echo fail >docs/c.md
    update 1 -q
    [ ! -s "$out" ]
    [ "$(wc -l <"$err")" -eq 1 ]
}

piped_progress_is_a_line_a_function() {
    fresh
    update 0
    says "$out" 'copy: 2 added'
    says "$out" 'site: '
    [ "$(grep -c '^copy:' "$out")" -eq 1 ]
    fails grep -q "$(printf '\033')" "$out"
    update 0
    says "$out" 'copy: 2 unchanged'
    says "$out" 'memos saved'
    says "$out" '20 units'
}

explain_says_why_it_ran() {
    fresh
    update 0 --explain
    says "$out" '/@copy/"a.md": ran: never run'
    update 0
    update 0
    echo changed >docs/a.md
    update 0 --explain
    says "$out" '/@copy/"a.md": ran: input changed (argument file'
    fails grep -q '"b.md": ran' "$out"
}

preview_changes_nothing() {
    fresh
    update 0 --preview
    says "$out" '+ out:"a.txt"'
    says "$out" '(container)'
    says "$out" 'to add, 0 to change, 0 to remove'
    [ ! -e site ]
    update 0
    echo changed >docs/a.md
    rm docs/b.md
    update 0 --preview
    says "$out" '~ out:"a.txt"'
    says "$out" '- out:"b.txt"'
    says "$out" '0 to add, 1 to change, 1 to remove'
    [ "$(cat site/a.txt)" = one ]
    update 0 --preview --json
    says "$out" '{"type":"action","action":"delete","state":"out:\"b.txt\""'
}

only_updates_one_path() {
    fresh
    update 0
    echo changed >docs/a.md
    echo changed >docs/b.md
    update 0 --only '/@copy/"b.md"'
    [ "$(cat site/a.txt)" = one ]
    [ "$(cat site/b.txt)" = changed ]
    update 1 --only '/@copy/"none.md"'
    says "$err" 'not reached'
}

drop_asks() {
    fresh
    run 0 drop
    says "$out" 'nothing to drop'
    [ ! -e .cocoindex ]
    update 0
    run 1 drop
    [ -e site/a.txt ]
    echo yes | "$tmp/prog" drop >"$out" 2>"$err"
    [ ! -e site/a.txt ]
    update 0
    run 0 drop -f
    [ ! -e site ]
    run 0 drop -f
    says "$out" 'nothing to drop'
}

forget_leaves_the_target() {
    fresh
    update 0
    run 2 drop -f --forget nosuch
    says "$err" nosuch
    run 0 drop -f --forget out
    [ -e site/a.txt ]
    run 0 show --target-states -r
    fails grep -q 'out:"a.txt"' "$out"
}

reset_begins_anew() {
    fresh
    update 0
    update 1 --reset
    says "$err" 'yes'
    update 0 --reset -f
    says "$out" 'copy: 2 added'
    update 2 --reset --preview
}

ls_lists_apps() {
    fresh
    with_both 0 ls
    says "$out" 'other@staging'
    [ "$(grep -c 'never run' "$out")" -eq 2 ]
    [ ! -e .cocoindex ]
    with_both 0 update site
    with_both 0 update other@staging
    with_both 2 update
    [ -d .cocoindex/staging ]
    with_both 0 ls --json
    says "$out" '{"type":"app","app":"site","env":null,"has_run":true,"in_program":true}'
}

show_lists_components() {
    fresh
    run 0 show
    says "$err" 'nothing has run'
    update 0
    run 0 show -r
    says "$out" '/@copy/"a.md"'
    run 0 show '/@copy'
    says "$out" '/@copy/"b.md"'
    run 0 show --tree
    says "$out" '    "a.md"'
    run 0 show -lr
    says "$out" 'copy '
    run 0 show '/@copy/"a.md"' --target-states
    says "$out" 'out:"a.txt"'
    run 0 show --json -r
    says "$out" '{"type":"component","path":"/@copy/\"a.md\"","function":"copy"'
    run 2 show '/@nosuch'
    says "$err" '/@nosuch'
    run 2 show '/"open'
}

tool_reads_the_database_alone() {
    fresh
    update 0
    "$tool" ls >"$out"
    says "$out" 'site'
    "$tool" show -r >"$out"
    says "$out" '/@copy/"a.md"'
    "$tool" show site --db .cocoindex --target-states -r >"$out"
    says "$out" 'out:"a.txt"'
    fails "$tool" show nosuch
    fails "$tool" ls --db missing
    [ ! -e missing ]
}

several_apps_are_told_apart() {
    fresh
    with_both 0 --help
    says "$out" 'other@staging'
    says "$out" waves
    with_both 0 update --help
    says "$out" 'parameters of site:'
    for command in update drop show 'greet word'; do with_both 2 $command; done
    (APPS=3 && with_both 2 update other)
    says "$err" 'several apps are called other'
    with_both 0 update site
    (APPS=3 && with_both 0 update other@staging)
    with_both 2 update site@nowhere
    with_both 2 update site other
    with_both 7 greet site word
    says "$out" 'args=1 word'
    with_both 7 wave
    (APPS=3 && with_both 7 greet other@staging)
    with_both 2 greet nosuch
    with_both 0 show site -l
    with_both 0 show other
    with_both 2 show nosuch
    with_both 2 show site /@nosuch
    with_both 0 ls --json
    says "$out" '"app":"other","env":"staging","has_run":true'
    run 0 ls --db .cocoindex/staging
    says "$out" 'not in this program'
    run 0 ls --json --db .cocoindex/staging
    says "$out" '"app":"other","env":null,"has_run":true,"in_program":false'
}

every_database_is_looked_after() {
    fresh
    with_both 3 check
    with_both 0 update site
    with_both 3 check
    with_both 3 compact other
    with_both 3 backup other copy
    with_both 0 update other
    with_both 0 check
    says "$out" 'staging: in order'
    [ "$(grep -c 'in order' "$out")" -eq 2 ]
    with_both 0 check other
    with_both 0 check site
    says "$out" 'site: in order'
    with_both 0 check --json
    [ ! -s "$out" ]
    with_both 2 check nosuch
    with_both 2 check site other
    with_both 2 compact
    says "$err" "which app's database?"
    with_both 2 compact nosuch
    with_both 2 compact site other
    with_both 0 compact other
    with_both 2 backup copy
    with_both 2 backup nosuch copy
    with_both 2 backup
    with_both 0 backup site copy
    with_both 2 backup site copy
    with_both 3 backup site missing/copy
    run 0 compact
    run 0 backup copy2
    [ -s copy ] && [ -s copy2 ]
    run 3 check --db "$(printf 'x%.0s' $(seq 5000))"
    says "$err" 'too long'
    run 3 compact --db "$(printf 'x%.0s' $(seq 5000))"
}

problems_are_listed_and_repaired() {
    fresh
    update 0
    "$tmp/lmdb" .cocoindex 9________ 1 app:site
    "$tmp/lmdb" .cocoindex Zz 1 app:site
    run 1 check
    says "$out" 'site: a record of no known kind is damaged'
    says "$out" 'tombstone is damaged'
    run 1 check --json
    says "$out" '{"type":"problem","app":"site","path":"","problem":"a record of no known kind is damaged","repaired":false}'
    cp -r .cocoindex second
    run 0 check --repair --json --db second
    says "$out" '"repaired":true}'
    run 0 check --repair
    says "$out" '(repaired)'
    run 0 check
    fails grep -q repaired "$out"
    update 0
}

show_knows_every_name() {
    fresh
    mkdir docs/sub
    echo one >'docs/we"ird\.md'
    echo two >docs/sub/c.md
    update 0
    run 0 show --tree
    says "$out" '    "sub/c.md"'
    says "$out" '    "we\"ird\\.md"'
    run 0 show --tree --target-states -l
    says "$out" 'out:"sub/c.txt"'
    run 0 show -lr --json
    says "$out" '"path":"/@copy","function":null'
    run 0 show -r --target-states --json
    says "$out" '{"type":"target_state","path":"/@copy/\"a.md\"","state":"out:\"a.txt\"","container":false'
    says "$out" '"container":true'
    says "$out" 'docs'
    run 0 show -r --target-states
    says "$out" '  container'
    run 2 show site other
    run 2 show /a /b
    run 0 show site /
    fails "$tool" update
    for words in 'show nosuch' 'show site /@nosuch' 'compact site' 'backup site copy' 'check --recheck 1'; do
        status=0
        "$tool" $words 2>"$err" || status=$?
        [ "$status" -eq 2 ]
    done
}

options_have_two_forms() {
    fresh
    printf 'COCOINDEX_DB=state\n' >vars
    update 0 -qevars --threads 2 --max-inflight=7
    [ -d state ]
    [ ! -s "$out" ]
    update 0 --db= -q --only / --
    update 0 --db state --quiet site
    run 0 -h
    run 0 drop --help
    says "$out" 'usage:'
    run 0 drop -fq --db state
    [ ! -s "$out" ]
    run 0 drop -fq --db state
    [ ! -s "$out" ]
    for wrong in -e '--recheck 5%x' '--recheck 50%%' '--threads 99999999999' --threads= -q=1 -qz '--max-inflight x'; do
        update 2 $wrong
    done
    run 2 drop site other
    run 2 compact site other
    run 2 update -- --quiet
    run 2 update -
    run 2 update $(for i in $(seq 70); do echo "--source=$i"; done)
    says "$err" 'too many parameters'
    (COCOINDEX_LOG_LEVEL=error && export COCOINDEX_LOG_LEVEL && update 0)
    (COCOINDEX_DB= && export COCOINDEX_DB && update 0 && [ -d .cocoindex ])
}

# env_line STATUS LINE [TEXT]: a .env of that line (a format of printf); GREETING is TEXT then.
env_line() {
    printf "$2" >.env
    run "$1" greet
    [ $# -lt 3 ] || says "$out" "GREETING=$3"
}

env_lines_are_as_a_shell_has_them() {
    fresh
    env_line 7 'export\tGREETING=a\n' a
    env_line 7 'exported=1\nGREETING=a#b # c\n' 'a#b'
    env_line 7 'GREETING=#all\n' ''
    env_line 7 '\n  \n#\nGREETING = no\n' no
    env_line 7 'GREETING=two words  \r\n' 'two words'
    env_line 7 'GREETING="q" # c' q
    env_line 7 "GREETING='a\\\\nb'" 'a\nb'
    env_line 7 'GREETING="tab\\tr\\rx\\q"' "tab$(printf '\t')r$(printf '\r')xq"
    env_line 7 'GREETING="one\\ntwo"\n' one
    says "$out" two
    env_line 2 'GREETING="q" x\n'
    says "$err" 'closing quote'
    env_line 2 '1A=x\n'
    says "$err" 'KEY=VALUE expected'
    env_line 2 '=x\n'
    env_line 2 'A.B=x\n'
    env_line 2 'A=\000b\n'
    says "$err" 'NUL'
    rm .env
    mkdir .env
    run 7 greet
    run 2 greet -e .env
}

promise an_update_without_failures_ends_with_0 all_well_is_0
promise failures_are_told_once_and_end_with_1 failures_are_1
promise failed_paths_are_listed_up_to_20 failed_paths_are_20_and_a_count
promise wrong_usage_ends_with_2_and_a_hint wrong_usage_is_2
promise state_that_cannot_be_opened_ends_with_3 state_that_cannot_be_opened_is_3
promise database_of_a_newer_format_is_left_as_it_is newer_format_is_refused
promise database_of_another_program_is_left_as_it_is other_database_is_refused
promise second_updating_process_is_refused_by_name second_updater_is_refused
promise missing_permission_is_told_and_ends_with_3 without_permission
promise setup_that_fails_ends_with_3 setup_that_fails_is_3
promise failure_of_main_is_told_once failing_main_is_told_once
promise notices_are_told_unless_quiet notices_are_told
promise undeclared_input_is_found_by_recheck recheck_finds_what_is_not_declared
promise guard_against_mass_deletion_ends_with_4 guard_is_4
promise first_signal_finishes_what_is_in_flight signals_stop_with_130
promise second_signal_ends_at_once second_signal_ends_at_once
promise app_parameters_are_options parameters_are_options
promise own_commands_get_parameters_and_words own_commands_get_their_words
promise env_file_is_found_upward_and_never_overrides env_file_is_read
promise json_ends_with_the_summary_object summary_is_one_object
promise quiet_prints_failures_alone quiet_prints_failures_alone
promise piped_progress_is_a_line_a_function piped_progress_is_a_line_a_function
promise explain_says_what_ran_and_why explain_says_why_it_ran
promise preview_lists_actions_and_changes_nothing preview_changes_nothing
promise only_updates_one_path only_updates_one_path
promise drop_asks_first_and_says_when_there_is_nothing drop_asks
promise forgotten_target_stays_as_it_is forget_leaves_the_target
promise reset_drops_first reset_begins_anew
promise ls_lists_what_never_ran_and_environments ls_lists_apps
promise show_lists_components_and_states show_lists_components
promise tool_reads_a_database_without_the_program tool_reads_the_database_alone
promise several_apps_are_told_apart several_apps_are_told_apart
promise check_compact_and_backup_know_every_database every_database_is_looked_after
promise problems_are_listed_and_repaired problems_are_listed_and_repaired
promise show_tells_names_apart_and_states show_knows_every_name
promise options_have_two_forms_and_limits options_have_two_forms
promise env_lines_are_as_a_shell_has_them env_lines_are_as_a_shell_has_them
finish
