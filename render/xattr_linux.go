package render

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// copyExtended gives a new file the extended attributes of the old one: the label of SELinux, access control lists, users'
// own. What the file system or our rights do not allow is left out.
func copyExtended(from, to string) {
	size, err := unix.Listxattr(from, nil)
	if err != nil || size == 0 {
		return
	}
	list := make([]byte, size)
	if size, err = unix.Listxattr(from, list); err != nil {
		return
	}
	for name := range bytes.SplitSeq(list[:size], []byte{0}) {
		if len(name) == 0 {
			continue
		}
		size, err := unix.Getxattr(from, string(name), nil)
		if err != nil {
			continue
		}
		value := make([]byte, size)
		if size, err = unix.Getxattr(from, string(name), value); err == nil {
			_ = unix.Setxattr(to, string(name), value[:size], 0)
		}
	}
}
