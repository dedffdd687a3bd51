#!/bin/sh
# Runs systemd as process 1 on a copy of this machine's root, which nobody sees from outside: systemd.sh FOLDER. It executes FOLDER/steps there, and
# what that prints is in FOLDER/said. It is process 1 of its namespaces and in a cgroup of its own. Exit code 77: this machine cannot do that.
if [ -z "$RENDER_INSIDE" ]; then
	RENDER_INSIDE=1 exec unshare --mount --cgroup sh "$0" "$1" # the namespace of cgroups begins at the cgroup where we are
fi

# A root of our own, with the machine's programs, and without its services and its devices. The kernel's settings are read-only.
folder=$1 root=$1/root
prepare() {
	set -e
	mkdir "$root"
	mount -t tmpfs tmpfs "$root"
	mkdir "$root/upper" "$root/work" "$root/all"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" "$root/all"
	root=$root/all
	mount -t proc proc "$root/proc"
	mount --bind "$root/proc/sys" "$root/proc/sys"
	mount -o remount,bind,ro "$root/proc/sys"
	mount -t sysfs -o ro sysfs "$root/sys"
	mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
	for path in run tmp dev etc/systemd/system; do
		mount -t tmpfs tmpfs "$root/$path"
	done
	for name in null zero full random urandom; do
		touch "$root/dev/$name"
		mount --bind "/dev/$name" "$root/dev/$name"
	done
	mkdir "$root/test"
	mount --bind "$folder" "$root/test"
}
prepare || exit 77

# The only service: it executes the steps and ends everything.
cat >"$root/etc/systemd/system/steps.service" <<UNIT
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
StandardOutput=file:/test/said
StandardError=inherit
ExecStart=/bin/sh /test/steps
ExecStopPost=systemctl --no-block exit 0
UNIT
exec chroot "$root" /usr/bin/env container=test /lib/systemd/systemd --unit=steps.service
