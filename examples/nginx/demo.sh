#!/bin/sh
# Runs render on a copy of this folder's fixture. With a terminal it runs until Ctrl-C. Without a terminal it changes the
# fixture itself, shows the result, and exits.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
rm -rf .demo
mkdir .demo
cp examples/nginx/catalog.yaml .demo/

cat <<TEXT

render watches .demo/catalog.yaml in place of Consul, and keeps .demo/upstreams.conf in sync with it.
In another terminal, edit .demo/catalog.yaml: add an instance, or set a status to critical. render then writes
.demo/upstreams.conf again and runs the reload command, which only prints a line in this demo.

TEXT

bin/render --fixture .demo/catalog.yaml \
    --template "examples/nginx/upstreams.ctmpl:.demo/upstreams.conf:echo 'in production: nginx -s reload'" &
render=$!
trap 'kill "$render" 2>/dev/null || true' EXIT
trap 'exit 0' INT TERM

# await waits up to 10 s for a command to succeed.
await() {
    i=0
    until "$@"; do
        i=$((i + 1))
        [ "$i" -lt 100 ] || { echo "demo: render did not write the expected file within 10 seconds" >&2; exit 1; }
        sleep 0.1
    done
}

await test -s .demo/upstreams.conf
cat .demo/upstreams.conf
if [ -t 0 ]; then
    echo "Now edit .demo/catalog.yaml. Ctrl-C ends the demo."
    wait "$render"
    exit
fi

echo "There is no terminal, so the demo edits the fixture itself: the third instance of api becomes passing."
sed -i.old 's/tags: \[v1\], status: critical/tags: [v1]/' .demo/catalog.yaml
await grep -q 10.0.0.2:8081 .demo/upstreams.conf
cat .demo/upstreams.conf
kill "$render"
wait "$render"
trap - EXIT
