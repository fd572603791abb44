# lib.sh - for the test scripts: a scratch directory, and promises that are kept or not. Sourced with the top directory current.
# The environment gives BUILD (what was built), CC, CXX and MAKE. A script ends with `finish`.

set -u
BUILD=${BUILD:-build}
CC=${CC:-cc}
CXX=${CXX:-c++}
MAKE=${MAKE:-make}
top=$PWD
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
broken=0
unset COCOINDEX_DB

# promise NAME COMMAND ...: runs the command (a function, mostly) with set -e, and shows what it said if it fails. Not called
# in a condition, where the shell would ignore set -e.
promise() {
    promise_name=$1
    shift
    (set -e; "$@") >"$tmp/.log" 2>&1
    if [ $? -eq 0 ]; then
        echo "ok $promise_name"
    else
        echo "not ok $promise_name"
        sed 's/^/    /' "$tmp/.log"
        broken=$((broken + 1))
    fi
}

# fails COMMAND ...: true if the command fails.
fails() {
    if "$@"; then return 1; fi
}

finish() {
    [ "$broken" -eq 0 ]
    exit
}
