#!/bin/sh
# After the files are in place. dpkg passes "configure" and the previous version, rpm the number of installed versions.
set -e
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
case "$1 $2" in
# An upgrade restarts render if it runs. A start returns when all files are rendered, which can take as long as Consul is away:
# the upgrade does not wait for that.
configure\ ?* | 2\ *) systemctl --no-block try-restart render.service || true ;;
esac
