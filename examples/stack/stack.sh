#!/bin/sh
# stack.sh runs the stack of README.md as processes of this machine, without Docker and without root. Everything that it writes is in
# .stack, in the folder where it is started. Linux only.
#
#   stack.sh up [NUMBER]     start everything, with so many instances of web (default: 3); Ctrl-C ends everything
#   stack.sh scale NUMBER    have so many instances of web
#   stack.sh stop NAME       end a process in good order; an instance of web is deregistered first
#   stack.sh kill NAME       kill a process
#   stack.sh start NAME      start a process again
#   stack.sh signal S NAME   send a signal
#   stack.sh leader          print the name of the server that leads Consul
#
# NAME is web-1 to web-9, consul-1 to consul-3, agent, nginx or render.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
state=$PWD/.stack
PATH=$PATH:/usr/sbin
# The consul of $CONSUL, of PATH, or what "make consul" has built.
consul=${CONSUL:-$(command -v consul || ls "$here"/../../.cache/consul-* 2>/dev/null | tail -n 1)}
agent=http://127.0.0.1:8500

die() { echo "stack: $*" >&2; exit 1; }

# run NAME COMMAND...: starts a command in the background, with its log in .stack/log/NAME.log.
run() {
    name=$1
    shift
    "$@" </dev/null >>"$state/log/$name.log" 2>&1 &
    echo $! >"$state/pid/$name"
}

# running NAME: reports whether the process runs. After a restart of the machine its number may be another program's.
running() {
    [ -f "$state/pid/$1" ] || return 1
    line=$(tr '\0' ' ' 2>/dev/null <"/proc/$(cat "$state/pid/$1")/cmdline") || return 1
    case "$line" in
    *"$here"* | *"$state"* | *stack.sh*) ;;
    *) return 1 ;;
    esac
}

# finish SIGNAL NAME: sends a signal and waits for the process to end.
finish() {
    if running "$2"; then
        kill -s "$1" "$(cat "$state/pid/$2")" 2>/dev/null || true
        i=0
        while running "$2"; do
            i=$((i + 1))
            [ "$i" -lt 100 ] || kill -s KILL "$(cat "$state/pid/$2")" 2>/dev/null || true
            sleep 0.1
        done
    fi
    rm -f "$state/pid/$2"
}

# await WHAT COMMAND...: waits up to 30 seconds for a command to succeed, as long as all processes run.
await() {
    what=$1
    shift
    i=0
    until "$@" >/dev/null 2>&1; do
        for file in "$state"/pid/*; do
            name=${file##*/}
            running "$name" || { tail -n 5 "$state/log/$name.log" >&2; die "$name has ended"; }
        done
        i=$((i + 1))
        [ "$i" -lt 300 ] || { tail -n 5 "$state"/log/*.log >&2; die "$what: not within 30 seconds"; }
        sleep 0.1
    done
}

has_leader() { curl -sf "$agent/v1/status/leader" | grep -q :8300; }
is_passing() { curl -sf "$agent/v1/health/service/web?passing" | grep -q "\"ServiceID\":\"$1\",.*\"Status\":\"passing\"\|\"ID\":\"$1\""; }

# leader prints the name of the server that leads: server N has the address 127.0.0.(N+1).
leader() {
    address=$(curl -sSf "$agent/v1/status/leader" | tr -d '"')
    [ "$address" ] || die "Consul has no leader"
    number=${address%:*}
    echo "consul-$((${number##*.} - 1))"
}

# start NAME: starts one process of the stack.
start() {
    running "$1" && die "$1 runs already"
    case "$1" in
    consul-[123])
        address=127.0.0.$((${1#consul-} + 1))
        run "$1" "$consul" agent -config-file "$here/consul/server.hcl" -node "$1" -bind "$address" -client "$address" \
            -data-dir "$state/data/$1"
        ;;
    agent)
        run agent "$consul" agent -config-file "$here/consul/agent.hcl" -node agent -bind 127.0.0.1 -client 127.0.0.1 \
            -data-dir "$state/data/agent"
        ;;
    web-[1-9])
        port=900${1#web-}
        NAME=$1 run "$1" "$here/bin/web" "127.0.0.1:$port"
        curl -sSf -X PUT -d "{\"ID\": \"$1\", \"Name\": \"web\", \"Address\": \"127.0.0.1\", \"Port\": $port,
            \"Check\": {\"HTTP\": \"http://127.0.0.1:$port/healthz\", \"Interval\": \"1s\"}}" "$agent/v1/agent/service/register"
        ;;
    render) run render "$here/bin/render" --config "$state/render/render.hcl" ;;
    nginx) run nginx nginx -c "$state/nginx/nginx.conf" -g "daemon off;" ;;
    *) die "unknown process \"$1\"" ;;
    esac
}

# stop NAME: ends one process in good order.
stop() {
    case "$1" in
    web-[1-9]) curl -sSf -X PUT "$agent/v1/agent/service/deregister/$1" ;;
    nginx) finish QUIT nginx; return ;;
    esac
    finish TERM "$1"
}

scale() {
    case "$1" in [0-9]) ;; *) die "scale: $1 is not a number from 0 to 9" ;; esac
    for i in 1 2 3 4 5 6 7 8 9; do
        if [ "$i" -le "$1" ]; then
            running "web-$i" || start "web-$i"
        elif [ -f "$state/pid/web-$i" ]; then
            stop "web-$i"
        fi
    done
}

# clean ends all processes and removes .stack. A second Ctrl-C does not interrupt it.
clean() {
    trap '' INT TERM HUP
    finish TERM nginx # a killed nginx leaves its workers behind
    for file in "$state"/pid/*; do
        ! running "${file##*/}" || kill -s KILL "$(cat "$file")" 2>/dev/null || true
    done
    for file in "$state"/pid/*; do
        finish KILL "${file##*/}"
    done
    rm -rf "$state"
}

# settings FROM TO: copies a file for the folders of .stack in place of the system's.
settings() {
    sed -e "s|/etc/render/|$state/render/|g" -e "s|/etc/nginx/|$state/nginx/|g" -e "s|/run/nginx/|$state/run/|g" \
        -e "s|/var/log/nginx/|$state/log/nginx-|g" -e "s|/usr/local/bin/reload.sh|$here/bin/reload.sh|g" "$1" >"$2"
}

up() {
    command -v curl >/dev/null || die "curl is missing"
    command -v nginx >/dev/null || die "nginx is missing; \"make nginx\" installs it"
    command -v "${consul:-consul}" >/dev/null || die "consul is missing; \"make consul\" builds it"
    if curl -s -o /dev/null "$agent"; then die "port 8500 is in use: a Consul agent runs on this machine already"; fi
    [ ! -d "$state" ] || clean
    trap clean EXIT
    trap 'exit 0' INT TERM HUP
    mkdir -p "$state/log" "$state/pid" "$state/data" "$state/run" "$state/render" "$state/nginx/conf.d"


    for i in 1 2 3; do start "consul-$i"; done
    start agent
    await "leader of Consul" has_leader
    scale "$1"
    for i in $(seq "$1"); do await "check of web-$i" is_passing "web-$i"; done

    settings "$here/render.hcl" "$state/render/render.hcl"
    settings "$here/nginx.conf" "$state/nginx/nginx.conf"
    cp "$here/upstreams.ctmpl" "$state/render/"
    cp "$here/upstreams.first.conf" "$state/nginx/conf.d/upstreams.conf"
    start nginx
    await "pid file of nginx" test -s "$state/run/nginx.pid"
    start render
    await "upstreams of render" grep -q "Made by render" "$state/nginx/conf.d/upstreams.conf"
    await "nginx" curl -sf http://127.0.0.1:8000/nginx
    echo "The stack runs: http://127.0.0.1:8000/ - Ctrl-C ends it."
    while :; do sleep 1; done
}

[ "$#" -gt 0 ] || die "usage: stack.sh up [NUMBER] | scale NUMBER | stop NAME | kill NAME | start NAME | signal SIGNAL NAME | leader"
[ "$1" = up ] || [ "$1" = leader ] || [ -d "$state/pid" ] || die "the stack does not run in this folder; start it with \"make stack\""
case "$1" in
up) up "${2:-3}" ;;
scale) scale "${2:?}" ;;
stop) stop "${2:?}" ;;
kill) finish KILL "${2:?}" ;;
start) start "${2:?}" ;;
leader) leader ;;
signal) kill -s "${2:?}" "$(cat "$state/pid/${3:?}")" ;;
*) die "unknown command \"$1\"" ;;
esac
