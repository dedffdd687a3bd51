//go:build !linux

package folder

import (
	"errors"

	"golang.org/x/sys/unix"
)

// folderFlags open a folder to work relative to it.
const folderFlags = unix.O_RDONLY | unix.O_DIRECTORY

// openWithoutLinks is only a fast path.
func openWithoutLinks(string) (Handle, error) { return NoHandle, unix.ENOSYS }

// readLink returns a link in a folder, and where it leads. A link that changes meanwhile is an error.
func readLink(dir Handle, name string) (Info, string, error) {
	link, err := dir.StatAt(name)
	if err != nil || !link.IsLink() {
		return link, "", err
	}
	target, err := readLinkAt(dir, name)
	if err != nil {
		return Info{}, "", err
	}
	again, err := dir.StatAt(name)
	if err == nil && again != link {
		err = errors.New("the link changed while render read it")
	}
	return link, target, err
}

// BeginSync does nothing: it is a matter of Linux here.
func (h Handle) BeginSync() {}

// holdReplaced holds nothing: it is a matter of one file system of Linux.
func holdReplaced(Handle, string) Handle { return NoHandle }

// CopyExtended copies nothing: extended attributes are a matter of Linux here.
func CopyExtended(_, _ Handle, _ bool) ([]string, error) { return nil, nil }
