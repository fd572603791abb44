# test_tool.sh - the cocoindex tool: `init` writes a program that builds and runs, from the repository and against an
# installed library; `logic` makes an edited function run again, and nothing else (S4.9).
. tests/lib.sh

case $BUILD in /*) built=$BUILD ;; *) built=$top/$BUILD ;; esac
tool=$built/cocoindex
err=$tmp/err

# fresh: an empty directory to work in.
fresh() {
    rm -rf "$tmp/w"
    mkdir "$tmp/w"
    cd "$tmp/w"
}

# says FILE TEXT: the file has the text in one of its lines.
says() {
    grep -qF -- "$2" "$1" || { echo "no '$2' in $1:"; cat "$1"; return 1; }
}

# ---- init ------------------------------------------------------------------------------------------------------------

# copies: the program in this directory copies its documents, and only what changed.
copies() {
    ./fresh-app update
    cmp docs/hello.md out/hello.md
    echo more >docs/more.md
    ./fresh-app update --explain >ran
    says ran '/@copy/"more.md": ran: never run'
    fails grep -q '"hello.md": ran' ran
    ./fresh-app show --tree
    ./fresh-app drop -f
    [ ! -e out/hello.md ]
}

init_builds_in_the_repository() {
    fresh
    "$tool" init fresh-app
    cd fresh-app
    "$MAKE" CC="$CC" COCOINDEX_DIR="$top" COCOINDEX="$tool" CFLAGS='-Wall -Wextra -Werror'
    copies
    sed -i.bak 's/coco_str text;/coco_str text = { 0 };/' fresh-app.c
    ./fresh-app update
    "$MAKE" CC="$CC" COCOINDEX_DIR="$top" COCOINDEX="$tool" CFLAGS='-Wall -Wextra -Werror'
    ./fresh-app update --explain >ran
    says ran '"hello.md": ran: '
}

# The prefix is where the library is: nothing but what pkg-config and PATH say leads there.
init_builds_against_a_prefix() {
    "$MAKE" -s BUILD="$tmp/build" CC="$CC" CFLAGS=-O0 LDFLAGS= PREFIX="$tmp/prefix" install
    fresh
    PATH=$tmp/prefix/bin:$PATH
    PKG_CONFIG_PATH=$tmp/prefix/lib/pkgconfig LD_LIBRARY_PATH=$tmp/prefix/lib
    export PATH PKG_CONFIG_PATH LD_LIBRARY_PATH
    cocoindex init fresh-app
    cd fresh-app
    "$MAKE" CC="$CC" CFLAGS='-Wall -Wextra -Werror' LDFLAGS=
    [ -s fresh-app.logic.h ]
    copies
    "$MAKE" clean
    [ ! -e fresh-app ]
}

init_without_the_tool() {
    fresh
    "$tool" init fresh-app
    cd fresh-app
    "$MAKE" CC="$CC" COCOINDEX_DIR="$top" COCOINDEX=no-such-tool
    copies
    fails env PKG_CONFIG_PATH= PKG_CONFIG_LIBDIR=/nowhere "$MAKE" -B CC="$CC" 2>"$err"
    says "$err" COCOINDEX_DIR
}

init_never_overwrites() {
    fresh
    mkdir docs
    "$tool" init fresh-app
    echo mine >fresh-app/README.md
    fails "$tool" init fresh-app 2>"$err"
    says "$err" exists
    [ "$(cat fresh-app/README.md)" = mine ]
    fails "$tool" init 'bad name'
    fails "$tool" init docs
    fails "$tool" init
}

# ---- logic -----------------------------------------------------------------------------------------------------------

# logic_of BEFORE AFTER BODY: the logic of a function, with the header included before it, after it, or not at all.
logic_of() {
    cat >l.c <<END
#include "cocoindex.h"
$1
static int help(int a) { return a $3; }
COCO_FN(f, ()) { return help(0); }
$2
int main(void)
{
    coco_app_config config = { .name = "p", .main = &f };
    coco_env *env;
    coco_app *app;

    if (coco_env_open(&(coco_env_config){ .db = "db" }, &env, NULL) != 0) return 1;
    if (coco_app_open(env, &config, &app, NULL) != 0) return 1;
    for (int i = 0; i < 16; i++) printf("%02x", f.logic[i]);
    coco_app_close(app);
    coco_env_close(env);
    return 0;
}
END
    "$tool" logic -o l.logic.h l.c
    "$CC" -std=c11 -I"$top" -I. ${CFLAGS:-} ${LDFLAGS:-} l.c "$built/libcocoindex.a" -llmdb -pthread -o l
    ./l
}

logic_header_works_before_and_after() {
    fresh
    header='#include "l.logic.h"'
    none=$(logic_of '' '' '+ 1')
    before=$(logic_of "$header" '' '+ 1')
    after=$(logic_of '' "$header" '+ 1')
    both=$(logic_of "$header" "$header" '+ /* same */ 1')
    edited=$(logic_of "$header" '' '+ 2')
    [ -n "$none" ] && [ "$none" != "$before" ]
    [ "$before" = "$after" ]
    [ "$before" = "$both" ]
    [ "$before" != "$edited" ]
    printf 'int f(void) {\n' >bad.c
    fails "$tool" logic -o bad.h bad.c 2>"$err"
    says "$err" 'bad.c:1:'
    [ ! -e bad.h ]
}


# Four components. by_two reaches twice, by_three thrice, by_both the two through a third helper; outer calls inner, a
# tracked function that reaches twice.
write_program() {
    cat >p.c <<'END'
#include "cocoindex.h"
#include "connectors/localfs.h"

static int twice(int a) { return a * 2; }

static int thrice(int a)
{
    return a * 3;
}

static int sum(int a) { return twice(a) + thrice(a); }

static coco_status put(coco_ctx *cx, const char *name, int n)
{
    return coco_declare_file(cx, coco_text(name), coco_format(cx, "%d\n", n), NULL);
}

COCO_FN(by_two, (int, a), .memo = true) { return put(cx, "two.txt", twice(a)); }
COCO_FN(by_three, (int, a), .memo = true) { return put(cx, "three.txt", thrice(a)); }
COCO_FN(by_both, (int, a), .memo = true) { return put(cx, "both.txt", sum(a)); }
COCO_FN(inner, (int, a), .memo = true) { return coco_return(cx, coco_int(twice(a))); }

COCO_FN(outer, (int, a), .memo = true)
{
    coco_value v;

    COCO_TRY(coco_call(cx, &inner, COCO_ARGS(coco_int(a)), &v));
    return put(cx, "outer.txt", (int)coco_int_of(v) + 1);
}

COCO_FN(app_main, ())
{
    coco_args args = COCO_ARGS(coco_int(7));

    COCO_TRY(coco_mount(cx, COCO_AUTO, &by_two, args, NULL));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &by_three, args, NULL));
    COCO_TRY(coco_mount(cx, COCO_AUTO, &by_both, args, NULL));
    return coco_mount(cx, COCO_AUTO, &outer, args, NULL);
}

int main(int argc, char **argv)
{
    return coco_main(argc, argv, &(coco_app_config){ .name = "p", .main = &app_main }, 1);
}
END
}

# runs COMPONENT ...: builds the program and updates; these components run, besides the root.
runs() {
    "$tool" logic -o p.logic.h p.c
    "$CC" -std=c11 -I"$top" ${CFLAGS:-} ${LDFLAGS:-} -include p.logic.h p.c "$built/libcocoindex.a" -llmdb -pthread -o p
    ./p update --explain >out
    cat out
    sed -n 's,^/@\([a-z_]*\): ran: .*,\1,p' out | sort >ran
    [ "$(echo $(cat ran))" = "$*" ]
}

# edit SCRIPT: applies a sed script to the program, which it must change.
edit() {
    cp p.c before.c
    sed "$1" before.c >p.c
    fails cmp -s before.c p.c
}

edited_comment_runs_nothing() {
    fresh
    write_program
    runs by_both by_three by_two outer
    runs
    edit 's,return a \* 3;,/* the "triple" of a */ return a *   3; // not a '"'"','
    runs
    edit '1s,^,/* twice: a comment */,;s,^static int sum(int a) {,static int\nsum(int a) // adds\n{,'
    runs
}

edited_helper_runs_what_reaches_it() {
    fresh
    write_program
    runs by_both by_three by_two outer
    edit 's,a \* 3,a * 3 + 0,'
    runs by_both by_three
    edit 's,a \* 2,2 * a,'
    runs by_both by_two outer
    edit 's,return twice(a) + thrice(a),return thrice(a) + twice(a),'
    runs by_both
    edit 's,coco_int_of(v) + 1,coco_int_of(v) + 2,'
    runs outer
    [ "$(echo $(cat two.txt three.txt both.txt outer.txt))" = '14 21 35 16' ]
    edit 's,a \* 3 + 0,a * 4,'
    runs by_both by_three
    [ "$(echo $(cat three.txt both.txt))" = '28 42' ]
    runs
}

promise init_writes_a_program_that_builds_in_the_repository init_builds_in_the_repository
promise init_writes_a_program_that_builds_against_a_prefix init_builds_against_a_prefix
promise init_program_builds_without_the_tool init_without_the_tool
promise init_never_overwrites init_never_overwrites
promise logic_header_counts_before_and_after_the_functions logic_header_works_before_and_after
promise edited_comment_runs_nothing edited_comment_runs_nothing
promise edited_helper_runs_exactly_what_reaches_it edited_helper_runs_what_reaches_it
finish
