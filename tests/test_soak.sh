# Whole programs under SIGKILL, a full disk, a jumping clock and a second updater: a little of what `make soak` does.
. tests/lib.sh

programs() { BUILD=$BUILD $MAKE -s BUILD="$BUILD" CC="$CC" soak-programs; }
promise 'the programs of the soak are built' programs
for kind in md2html docs_search many full clock two; do
    case $kind in docs_search | md2html) [ -x "$BUILD/$kind" ] || { echo "skipped: soak $kind: it isn't built"; continue; } ;; esac
    KILLS=${SOAK_KILLS:-20} SEED=${SEED:-$$} BUILD=$BUILD COMPARE_EVERY=10 scripts/soak "$kind" || broken=$((broken + 1))
done
finish
