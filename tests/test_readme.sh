# test_readme.sh - the README is true: its program is extracted and built by the commands that it shows, these are run, and what
# they print is compared with what the README says they print. Times are made equal first.
. tests/lib.sh

# What a reader of the repository has: the program and the transcript run in a directory that looks like its top.
mkdir "$tmp/top"
for f in cocoindex.h cocoindex_lmdb.c engine connectors; do ln -s "$top/$f" "$tmp/top/$f"; done
awk '/^```c$/ { on = !done; next } /^```$/ { if (on) done = 1; on = 0; next } on' README.md >"$tmp/top/notes.c"
awk '/^```console$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$tmp/shown"

# A slow machine also has something to say of what its memos saved.
timeless() {
    sed -e 's/in [0-9.]* s/in N s/' -e 's/; memos saved .*//' "$1"
}

transcript() {
    [ -s "$tmp/top/notes.c" ]
    [ -s "$tmp/shown" ]
    mkdir "$tmp/bin"
    ln -s "$(command -v "$CC")" "$tmp/bin/cc" # what the README calls cc is the compiler under test
    PATH="$tmp/bin:$PATH"
    cd "$tmp/top"
    grep '^\$ ' "$tmp/shown" | while IFS= read -r line; do
        printf '%s\n' "$line"
        sh -c "${line#??}" </dev/null 2>&1 || true
    done >"$tmp/real"
    timeless "$tmp/shown" >"$tmp/shown.n"
    timeless "$tmp/real" >"$tmp/real.n"
    diff "$tmp/shown.n" "$tmp/real.n"
}

short_enough() {
    [ "$(wc -l <README.md)" -lt 250 ]
}

promise readme_program_builds_and_prints_what_it_says transcript
promise readme_is_under_250_lines short_enough
finish
