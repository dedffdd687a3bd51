#!/bin/sh
# reload.sh [PIDFILE [SECONDS]]: reloads nginx, and fails if nginx does not use the new configuration. Linux only.
#
# "nginx -s reload" exits with 0 as soon as the signal is sent. If nginx rejects the configuration, it only writes to its error
# log and keeps the previous one. If nginx accepts it, nginx starts new workers and ends the old ones. This script waits for
# both, so that later connections get the new configuration. It fails after SECONDS (default: 10).
set -eu
pid=$(cat "${1:-/run/nginx.pid}")
seconds=${2:-10}
workers() { cat "/proc/$pid/task/$pid/children"; }

# accepts reports whether a process is a worker that still accepts connections.
accepts() {
    title=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") || return 1
    case "$title" in
    *"shutting down"*) return 1 ;;
    *"worker process"*) return 0 ;;
    *) return 1 ;;
    esac
}

# reloaded reports whether there are new workers, and no old worker accepts connections.
reloaded() {
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
    if reloaded; then exit 0; fi
    kill -0 "$pid" || { echo "nginx has ended" >&2; exit 1; }
    i=$((i + 1))
    sleep 0.05
done
echo "nginx keeps its previous configuration; see the error log of nginx" >&2
exit 1
