#!/bin/sh
# Prints the version that the tag of git names: v0.2.0 is 0.2.0. With commits after the tag their number follows, so that the version
# is newer than that of the tag: 0.2.0+12.gbb2575f. A tree with changes that are not committed ends in "dirty". Without a tag the
# version is 0.0.0 and the number of all commits, without git 0.0.0.
export GIT_OPTIONAL_LOCKS=0 # whoever works in the tree at the same time is not disturbed
described=$(git describe --tags --match 'v[0-9]*' --abbrev=7 --dirty=+dirty 2>/dev/null) ||
	described=v0.0.0-$(git rev-list --count HEAD 2>/dev/null)-g$(git describe --always --exclude '*' --abbrev=7 --dirty=+dirty 2>/dev/null)
printf '%s\n' "$described" | sed -E 's/^v//; s/--g$//; s/-([0-9]+-g[0-9a-f]+)/+\1/; s/(\+[0-9]+)-g/\1.g/; s/(\+.*)\+dirty/\1.dirty/'
