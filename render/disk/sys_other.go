//go:build !linux

package disk

import (
	"errors"

	"golang.org/x/sys/unix"
)

// folderFlags open a folder to work relative to it.
const folderFlags = unix.O_RDONLY | unix.O_DIRECTORY

// openWithoutLinks is only a fast path.
func openWithoutLinks(string) (handle, error) { return noHandle, unix.ENOSYS }

// readLink returns a link in a folder, and where it leads. A link that changes meanwhile is an error.
func readLink(dir handle, name string) (info, string, error) {
	link, err := dir.statAt(name)
	if err != nil || !link.isLink() {
		return link, "", err
	}
	target, err := readLinkAt(dir, name)
	if err != nil {
		return info{}, "", err
	}
	again, err := dir.statAt(name)
	if err == nil && again != link {
		err = errors.New("the link has changed meanwhile")
	}
	return link, target, err
}

// beginSync does nothing: it is a matter of Linux here.
func (h handle) beginSync() {}

// copyExtended copies nothing: extended attributes are a matter of Linux here.
func copyExtended(_, _ handle, _ bool) ([]string, error) { return nil, nil }
