#!/bin/sh
# After the files are removed. dpkg passes "remove" or "purge", or "upgrade"; rpm the number of versions that stay, 0 at a removal.
set -e
case "$1" in
remove | purge | 0) [ ! -d /run/systemd/system ] || systemctl daemon-reload ;;
esac
