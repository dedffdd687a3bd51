#!/bin/sh
# check.sh: renders all templates from the fixture, has nginx test the result, and compares it with the files in the repository.
# check.sh update: replaces the files in the repository by the result, if nginx accepts it.
set -eu
cd "$(dirname "$0")"
PATH=$PATH:/usr/sbin
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

set -- "${1:-}" upstreams # further templates follow here
mode=$1
shift
for name; do
    render --once --err-on-failed-lookup --error-on-missing-key --log-level err \
        --fixture catalog.yaml --template "$name.ctmpl:$new/$name.conf"
done

cp nginx.conf "$new/"
if ! nginx -t -p "$new" -c nginx.conf >"$new/said" 2>&1; then
    cat "$new/said"
    exit 1
fi

for name; do
    if [ "$mode" = update ]; then
        cp "$new/$name.conf" "$name.conf"
    elif ! diff -u --label "$name.conf" --label "$name.conf, rendered" "$name.conf" "$new/$name.conf"; then
        echo "$name.conf differs from what $name.ctmpl renders; if that is right, run ./check.sh update and commit the file" >&2
        exit 1
    fi
done
