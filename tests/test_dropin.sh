# test_dropin.sh - every way of taking the library into a program works: from the repository, from the two self-contained
# files, header-only, installed, fully static, and from C++17. The program is the one on the first page of cocoindex.h.
. tests/lib.sh

flags='-std=c11 -O0 -Wall -Wextra -Werror'
sed -n '/^ \*     #include "cocoindex.h"/,/^ \*     }$/p;/^ \*     int main/,/^ \*     }$/p' cocoindex.h | sed 's/^ \* \{0,5\}//' >"$tmp/greet.c"

# says_hello PROGRAM: it writes the greeting that it is given.
says_hello() {
    rm -rf "$tmp/run"
    mkdir "$tmp/run"
    (cd "$tmp/run" && "$1" update --text hello)
    [ "$(cat "$tmp/run/greeting.txt")" = hello ]
}

from_the_repository() {
    $CC $flags -I. "$tmp/greet.c" cocoindex_lmdb.c connectors/localfs.c -llmdb -pthread -o "$tmp/greet"
    says_hello "$tmp/greet"
}

two_files() {
    mkdir "$tmp/two"
    cp "$tmp/dist/cocoindex_lmdb.c" "$tmp/dist/cocoindex.h" "$tmp/greet.c" "$tmp/two"
    cp -R "$tmp/dist/connectors" "$tmp/two"
    cd "$tmp/two"
    $CC $flags greet.c cocoindex_lmdb.c connectors/localfs.c -llmdb -pthread -o greet
    says_hello "$tmp/two/greet"
}

unit_needs_no_header() {
    mkdir "$tmp/alone"
    cp "$tmp/dist/cocoindex_lmdb.c" "$tmp/alone"
    cd "$tmp/alone"
    $CC $flags -c cocoindex_lmdb.c
    $CC $flags -DCOCO_NO_CLI -DCOCO_NO_LIVE -DCOCO_NO_CHECK -c cocoindex_lmdb.c
}

header_only() {
    mkdir "$tmp/one"
    { echo '#define COCOINDEX_IMPLEMENTATION'; cat "$tmp/greet.c"; } >"$tmp/one/greet.c"
    cp "$tmp/dist/cocoindex.h" "$tmp/one"
    cp -R "$tmp/dist/connectors" "$tmp/one"
    cd "$tmp/one"
    $CC $flags greet.c connectors/localfs.c -llmdb -pthread -o greet
    says_hello "$tmp/one/greet"
}

# The installed tree is moved, as a package is, so pkg-config is told where it stands now.
installed_flags() {
    PKG_CONFIG_PATH="$tmp/root/opt/coco/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$tmp/root" pkg-config "$@" cocoindex
}

installed() {
    $MAKE -s BUILD="$tmp/build" CC="$CC" CFLAGS=-O0 DESTDIR="$tmp/root" PREFIX=/opt/coco install
    [ "$(installed_flags --modversion)" = "$(awk '/define COCO_VERSION_/ { v = v s $3; s = "." } END { print v }' cocoindex.h)" ]
    "$tmp/root/opt/coco/bin/cocoindex" --help
    $CC $flags "$tmp/greet.c" $(installed_flags --cflags --libs) -o "$tmp/greet-shared"
    LD_LIBRARY_PATH="$tmp/root/opt/coco/lib" says_hello "$tmp/greet-shared"
    $CC $flags "$tmp/greet.c" -static $(installed_flags --cflags --libs --static) -o "$tmp/greet-static"
    says_hello "$tmp/greet-static"
}

uninstalled() {
    $MAKE -s BUILD="$tmp/build" CC="$CC" CFLAGS=-O0 DESTDIR="$tmp/root" PREFIX=/opt/coco uninstall
    [ -z "$(find "$tmp/root" ! -type d)" ]
    [ ! -e "$tmp/root/opt/coco/include/cocoindex" ]
}

fully_static() {
    $MAKE -s BUILD="$tmp/build" CC="$CC" CFLAGS=-O0 static
    for program in cocoindex tour; do
        fails ldd "$tmp/build/static/$program"
    done
    "$tmp/build/static/tour" "$tmp/tour.db"
}

without_live_mode() {
    $CC $flags -I. -DCOCO_NO_LIVE "$tmp/greet.c" cocoindex_lmdb.c connectors/localfs.c -llmdb -pthread -o "$tmp/greet-nolive"
    says_hello "$tmp/greet-nolive"
    fails sh -c "cd '$tmp/run' && '$tmp/greet-nolive' update --live --text hello" 2>"$tmp/said"
    grep -q COCO_NO_LIVE "$tmp/said"
}

catch_up_mode_alone() {
    $CC $flags -I. -DCOCO_NO_CLI -DCOCO_NO_LIVE -DCOCO_NO_CHECK -c cocoindex_lmdb.c -o "$tmp/small.o"
    $CC $flags -I. -c connectors/localfs.c -o "$tmp/localfs.o"
    $CXX -std=c++17 -I. -c tests/cxx.cc -o "$tmp/small-cxx.o"
    $CXX "$tmp/small-cxx.o" "$tmp/small.o" "$tmp/localfs.o" -llmdb -pthread -o "$tmp/small"
    [ "$("$tmp/small" "$tmp/small.db" "$tmp/small.txt")" = 'ok: 1' ]
    fails sh -c "nm -u '$tmp/small.o' | grep coco_"
}

a_feed_without_live_mode() {
    cat >"$tmp/feed.c" <<'END'
#include "cocoindex.h"
static coco_status watch(coco_source *src, coco_feed *feed) { (void)src; coco_feed_ready(feed); return COCO_OK; }
COCO_FN(item, (coco_value, v)) { (void)v; return coco_return(cx, coco_null()); }
COCO_FN(root, ())
{
    coco_source *src = coco_alloc(cx, sizeof *src);
    *src = (coco_source){ .watch = watch };
    return coco_mount_each(cx, COCO_AUTO, &item, src, COCO_NOARGS);
}
int main(int argc, char **argv)
{
    coco_app_config app = { .name = "feed", .main = &root };
    return coco_main(argc, argv, &app, 1);
}
END
    $CC $flags -I. -DCOCO_NO_LIVE "$tmp/feed.c" cocoindex_lmdb.c -llmdb -pthread -o "$tmp/feed"
    fails "$tmp/feed" update --db "$tmp/feed.db" 2>"$tmp/said"
    grep -q COCO_NO_LIVE "$tmp/said"
}

from_cxx17() {
    $CXX -std=c++17 -Wall -Wextra -Wpedantic -Werror -I. -c tests/cxx.cc -o "$tmp/cxx.o"
    $CXX "$tmp/cxx.o" "$BUILD/libcocoindex.a" -llmdb -pthread -o "$tmp/cxx"
    [ "$("$tmp/cxx" "$tmp/cxx.db" "$tmp/hello.txt")" = 'ok: 1' ]
    [ "$(cat "$tmp/hello.txt")" = 'hello, world' ]
}

promise repository_compiles_with_a_program from_the_repository
promise dist_is_written $MAKE -s DIST="$tmp/dist" dist
promise two_self_contained_files_compile_with_a_program two_files
promise the_self_contained_unit_needs_no_other_file unit_needs_no_header
promise the_header_alone_is_the_library header_only
promise installed_library_is_found_by_pkg_config installed
promise uninstall_leaves_nothing uninstalled
promise programs_link_fully_static fully_static
promise header_serves_cxx17 from_cxx17
promise build_without_live_mode_says_so_where_it_is_asked_for without_live_mode
promise build_without_live_mode_refuses_a_source_that_only_tells_changes a_feed_without_live_mode
promise catch_up_mode_alone_does_an_update catch_up_mode_alone
finish
