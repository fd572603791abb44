#!/bin/sh
# Serves a copy of md2html's documents, edits one page, and shows that the stream of its changes tells of it. With an argument it
# serves until Ctrl-C: open the address in a browser, and edit what is in the source directory. Run it in the top directory.
set -eu
build=${BUILD:-build}
work=$build/live_site.demo
rm -rf "$work"
mkdir -p "$work"
cp -R examples/md2html/docs "$work/docs"
if [ $# -gt 0 ]; then
    echo "Edit what is in $work/docs; Ctrl-C ends it."
    exec "$build/live_site" "$work/docs" "$work/site" "$work/db" 8080
fi
"$build/live_site" "$work/docs" "$work/site" "$work/db" >"$work/address" 2>"$work/said" &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
tries=0
until grep -q following "$work/said"; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { cat "$work/said"; exit 1; }
    sleep 0.1
done
url=$(cat "$work/address")
echo "Serving $work/site at $url"
page=guide/first-steps.html
state=$(curl -s "$url$page" | sed -n 's/.*state=\([^&]*\)&.*/\1/p')
curl -sN --max-time 5 "${url}.changes?state=$state&page=/$page" >"$work/changes" &
sleep 0.2
echo 'This line was added while the page was open.' >>"$work/docs/guide/first-steps.md"
wait $! || true
grep -q 'data: changed' "$work/changes"
curl -s "$url$page" | grep -q 'added while the page was open'
echo "An edit of $work/docs/guide/first-steps.md: the open page was told, and shows it."
kill -INT "$server"
wait "$server"
trap - EXIT
