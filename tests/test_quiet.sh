# test_quiet.sh - the second update in a row in which nothing changed writes no byte to the database or the output,
# syncs nothing and opens no source file: strace says so. (The first may restamp files that were new when it saw them,
# S6.4.)
. tests/lib.sh

if ! strace -o "$tmp/probe" true 2>/dev/null; then
    echo 'skipped: strace is not installed, or may not trace'
    exit 0
fi

cat >"$tmp/prog.c" <<'END'
#include "cocoindex.h"
#include "connectors/localfs.h"

COCO_FN(copy, (coco_file *, file, coco_dir *, out), .memo = true)
{
    coco_str content;

    COCO_TRY(coco_file_read(cx, file, &content));
    return coco_dir_declare_file(cx, out, coco_file_path(file), content);
}

COCO_FN(app_main, ())
{
    coco_dir *out;

    COCO_TRY(coco_mount_dir(cx, coco_text("out"), &out));
    return coco_mount_each(cx, COCO_AUTO, &copy, coco_walk_dir(cx, coco_text("in"), NULL),
                           COCO_ARGS(coco_dir_value(out)));
}

int main(int argc, char **argv)
{
    return coco_main(argc, argv, &(coco_app_config){ .name = "quiet", .main = &app_main }, 1);
}
END
"$CC" -std=c11 -I. ${CFLAGS:-} ${LDFLAGS:-} "$tmp/prog.c" "$BUILD/libcocoindex.a" -llmdb -pthread -o "$tmp/prog" || exit 1

mkdir -p "$tmp/in/sub/deep"
for i in 1 2 3 4 5 6 7 8 9; do
    echo "one $i" >"$tmp/in/file$i.txt"
    echo "two $i" >"$tmp/in/sub/deep/file$i.txt"
done

update() {
    (cd "$tmp" && "$@" ./prog update --quiet --no-env --db state)
}

# What would be changed or is read, by kind. Descriptors print as their paths (-y).
traced() {
    update strace -f -y -o trace -e trace="$1"
}
writing=write,writev,pwrite64,pwritev,fsync,fdatasync,sync_file_range,msync,ftruncate
writing=$writing,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat
writing=$writing,chmod,fchmod,fchmodat,utimensat

contents() {
    find "$1" -type f -name '*.txt' | sort | xargs cat | cksum
}

first_update_is_seen_to_write_and_read() {
    traced "$writing,openat,open"
    grep -q 'pwrite64\|writev' "$tmp/trace"
    grep -q 'fdatasync\|fsync\|msync' "$tmp/trace"
    grep -q 'rename' "$tmp/trace"
    grep -q 'in/sub/deep/file9.txt' "$tmp/trace"
    [ "$(contents "$tmp/in")" = "$(contents "$tmp/out")" ]
}

second_update_without_a_change_writes_nothing() {
    sleep 0.1 # files become older than the clock's granularity
    update
    cksum "$tmp"/state/* >"$tmp/before"
    traced "$writing"
    fails grep -v '^[0-9]* *+++\|mkdir(.* EEXIST' "$tmp/trace" # it is asked for, and is there
    cksum "$tmp"/state/data.mdb | fails grep -vxFf "$tmp/before"
}

second_update_without_a_change_reads_no_source_file() {
    traced openat,open
    grep -q '"in"' "$tmp/trace"
    fails grep 'file[0-9]*\.txt' "$tmp/trace"
}

update_after_touching_reads_and_writes_no_output() {
    touch "$tmp/in/file1.txt"
    traced "$writing,openat,open"
    grep -q 'in/file1.txt' "$tmp/trace"
    fails grep 'in/file2.txt\|rename\|out/.*txt' "$tmp/trace"
}

one_changed_file_reads_and_writes_one() {
    sleep 0.1
    update
    echo changed >"$tmp/in/file2.txt"
    traced "openat,open,rename,renameat,renameat2"
    [ "$(grep -c 'rename' "$tmp/trace")" = 1 ]
    [ "$(grep -c 'in/.*txt' "$tmp/trace")" = 1 ]
    [ "$(cat "$tmp/out/file2.txt")" = changed ]
}

promise first_update_is_seen_to_write_and_read first_update_is_seen_to_write_and_read
promise second_update_without_a_change_writes_nothing second_update_without_a_change_writes_nothing
promise second_update_without_a_change_reads_no_source_file second_update_without_a_change_reads_no_source_file
promise update_after_touching_reads_and_writes_no_output update_after_touching_reads_and_writes_no_output
promise one_changed_file_reads_and_writes_one one_changed_file_reads_and_writes_one
finish
