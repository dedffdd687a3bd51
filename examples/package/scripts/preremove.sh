#!/bin/sh
# Before the files are removed. dpkg passes "remove", or "upgrade"; rpm the number of versions that stay, 0 at a removal.
# An upgrade does not stop render.
set -e
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
command -v systemctl >/dev/null || exit 0
if [ -d /run/systemd/system ]; then
	systemctl stop render.service || true
fi
systemctl disable render.service || true
