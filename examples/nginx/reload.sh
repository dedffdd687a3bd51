#!/bin/sh
# reload.sh [PIDFILE [SECONDS]]: has nginx take its configuration, and knows whether it has. Linux only.
#
# "nginx -s reload" returns 0 as soon as the signal is sent. When nginx then does not like the configuration it says so in
# its error log only, and goes on with the old one. When it does, it starts new workers and tells the old ones to end. This
# waits for both: what connects afterwards gets the new configuration. After SECONDS, 10 by default, it fails.
set -eu
pid=$(cat "${1:-/run/nginx.pid}")
seconds=${2:-10}
workers() { cat "/proc/$pid/task/$pid/children"; }

# accepts reports whether a process is a worker that still takes connections.
accepts() {
    title=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") || return 1
    case "$title" in
    *"shutting down"*) return 1 ;;
    *"worker process"*) return 0 ;;
    *) return 1 ;;
    esac
}

# taken reports whether there are new workers, and no old ones that take connections.
taken() {
    new=
    for worker in $(workers); do
        case "$before" in
        *" $worker "*) if accepts "$worker"; then return 1; fi ;;
        *) new=$worker ;;
        esac
    done
    [ "$new" ]
}

before=" $(workers)"
kill -HUP "$pid"
i=0
while [ "$i" -lt "$((seconds * 20))" ]; do
    if taken; then exit 0; fi
    kill -0 "$pid" || { echo "nginx has ended" >&2; exit 1; }
    i=$((i + 1))
    sleep 0.05
done
echo "nginx goes on with its old configuration; its error log says why" >&2
exit 1
