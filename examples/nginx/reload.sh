#!/bin/sh
# reload.sh [PIDFILE]: has nginx take its configuration, and knows whether it has.
#
# "nginx -s reload" returns 0 as soon as the signal is sent. When nginx then does not like the configuration it says so in
# its error log only, and goes on with the old one. When it does, it starts new workers: that is what this waits for.
set -eu
pid=$(cat "${1:-/run/nginx.pid}")
workers() { cat "/proc/$pid/task/$pid/children"; }
before=" $(workers)"
kill -HUP "$pid"
i=0
while [ "$i" -lt 50 ]; do
    for worker in $(workers); do
        case "$before" in
        *" $worker "*) ;;
        *) exit 0 ;;
        esac
    done
    i=$((i + 1))
    sleep 0.1
done
echo "nginx goes on with its old configuration; its error log says why" >&2
exit 1
