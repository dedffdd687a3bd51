#!/bin/sh
# Runs render on a copy of this folder's fixture. With a terminal it runs until Ctrl-C; without one it makes a change of
# its own, shows what comes of it, and ends.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top"
rm -rf .demo
mkdir .demo
cp examples/nginx/catalog.yaml .demo/

cat <<TEXT

render watches .demo/catalog.yaml in place of Consul and keeps .demo/upstreams.conf true to it.
In another terminal, edit .demo/catalog.yaml: add an instance, or set a status to critical. Within a blink
render writes the file again and runs the reload command, which here only says so.

TEXT

bin/render --fixture .demo/catalog.yaml \
    --template "examples/nginx/upstreams.ctmpl:.demo/upstreams.conf:echo 'here nginx -s reload would run'" &
render=$!
trap 'kill "$render" 2>/dev/null || true' EXIT
trap 'exit 0' INT TERM

# await waits up to 10 s for a command to succeed.
await() {
    i=0
    until "$@"; do
        i=$((i + 1))
        [ "$i" -lt 100 ] || { echo "demo: render did not do what it should" >&2; exit 1; }
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

echo "There is no terminal, so this demo makes the edit itself: instance 3 of api becomes passing."
sed -i.old 's/tags: \[v1\], status: critical/tags: [v1]/' .demo/catalog.yaml
await grep -q 10.0.0.2:8081 .demo/upstreams.conf
cat .demo/upstreams.conf
kill "$render"
wait "$render"
trap - EXIT
