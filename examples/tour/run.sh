#!/bin/sh
# Runs the tour. Run it in the top directory.
set -eu
build=${BUILD:-build}
exec "$build/tour" "$build/tour.db"
