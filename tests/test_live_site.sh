# test_live_site.sh - examples/live_site: pages are served with the script, their files stay clean, and the stream of a page tells
# of its changes. With Chromium, also what a user sees: an open page shows an edit by itself.
. tests/lib.sh

if [ ! -x "$BUILD/live_site" ] || ! command -v curl >/dev/null; then
    echo 'skipped: live_site is not built, or curl is not installed'
    exit 0
fi

until_it() {
    for tries in $(seq 1200); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.05
    done
    cat "$tmp/said"
    return 1
}

cp -R examples/md2html/docs "$tmp/docs"
"$BUILD/live_site" "$tmp/docs" "$tmp/site" "$tmp/db" >"$tmp/address" 2>"$tmp/said" &
server=$!
trap 'kill $server 2>/dev/null; wait; rm -rf "$tmp"' EXIT
until_it grep -q following "$tmp/said" || exit 1
url=$(cat "$tmp/address")
page=guide/failures.html

# listen PAGE STATE: what its stream says in the next seconds goes to $tmp/changes.
listen() {
    curl -sN --max-time 20 "$url.changes?state=$2&page=/$1" >"$tmp/changes" &
    listener=$!
}

state_of() {
    curl -s "$url$1" | sed -n 's/.*state=\([^&]*\)&.*/\1/p'
}

served_with_script() {
    curl -s "$url$page" | grep -q EventSource
    curl -s "$url" | grep -q '<h1>Index</h1>'
    fails grep -r EventSource "$tmp/site"
}

told() {
    listen "$page" "$(state_of "$page")"
    sleep 0.3
    [ ! -s "$tmp/changes" ]
    echo 'Another line, just added.' >>"$tmp/docs/guide/failures.md"
    until_it grep -q 'data: changed' "$tmp/changes"
    kill "$listener"
    curl -s "$url$page" | grep -q 'just added'
}

told_of_what_came_before() {
    was=$(state_of "$page")
    echo 'One more.' >>"$tmp/docs/guide/failures.md"
    until_it grep -q 'One more' "$tmp/site/$page"
    listen "$page" "$was"
    until_it grep -q 'data: changed' "$tmp/changes"
    kill "$listener"
}

not_told_of_others() {
    listen what-it-is.html "$(state_of what-it-is.html)"
    echo 'Yet another.' >>"$tmp/docs/guide/failures.md"
    until_it grep -q 'Yet another' "$tmp/site/$page"
    sleep 0.3
    [ ! -s "$tmp/changes" ]
    kill "$listener"
}

told_when_it_is_there() {
    [ "$(curl -s -o "$tmp/none" -w '%{http_code}' "${url}new.html")" = 404 ]
    listen new.html "$(state_of new.html)"
    echo '# New' >"$tmp/docs/new.md"
    until_it grep -q 'data: changed' "$tmp/changes"
    kill "$listener"
    curl -s "${url}new.html" | grep -q '<h1>New</h1>'
}

nothing_else() {
    [ "$(curl -s --path-as-is -o "$tmp/none" -w '%{http_code}' "${url}../docs/what-it-is.md")" = 403 ]
    [ "$(curl -s -o "$tmp/none" -w '%{http_code}' "${url}.hidden")" = 403 ]
}

# The browser's own list of its tabs tells the title that it shows.
shows() {
    curl -s "http://127.0.0.1:$debug/json/list" | grep -q "\"title\": \"$1\""
}

in_the_browser() {
    chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
        --disable-component-update --disable-sync --user-data-dir="$tmp/profile" --remote-debugging-port=0 \
        "$url$page" >"$tmp/browser" 2>&1 &
    browser=$!
    trap 'kill "$browser" 2>/dev/null; wait "$browser" || true' EXIT
    until_it [ -s "$tmp/profile/DevToolsActivePort" ]
    debug=$(head -n 1 "$tmp/profile/DevToolsActivePort")
    title=$(sed -n '1s/^# *//p' "$tmp/docs/guide/failures.md")
    until_it shows "$title"
    sed -i.bak '1s/.*/# Edited in another window/' "$tmp/docs/guide/failures.md"
    until_it shows 'Edited in another window'
}

ends() {
    kill -INT "$server"
    wait "$server"
    fails curl -s "$url"
}

promise pages_are_served_with_the_script_and_stay_clean_on_disk served_with_script
promise open_page_is_told_of_its_change told
promise change_before_the_stream_is_told_at_once told_of_what_came_before
promise page_is_not_told_of_others not_told_of_others
promise page_that_is_made_is_told told_when_it_is_there
promise nothing_outside_the_site_is_served nothing_else
if command -v chromium >/dev/null; then promise open_page_shows_an_edit_by_itself in_the_browser
else echo 'skipped: chromium is not installed'
fi
listen "$page" "$(state_of "$page")" # a stream that is open doesn't hold up the end
ends || { echo "not ok signal_ends_the_server"; broken=$((broken + 1)); }
finish
