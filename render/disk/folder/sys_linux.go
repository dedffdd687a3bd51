package folder

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// folderFlags open a folder to work relative to it. That needs no right to read it.
const folderFlags = unix.O_PATH | unix.O_DIRECTORY

// openWithoutLinks opens a folder by a path from the root of which no component is a link.
func openWithoutLinks(path string) (Handle, error) {
	fd := -1
	err := again(func() (err error) {
		fd, err = unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
			Flags:   folderFlags | unix.O_CLOEXEC | unix.O_NOFOLLOW,
			Resolve: unix.RESOLVE_NO_SYMLINKS,
		})
		return err
	})
	return Handle(fd), err
}

// readLink returns a link in a folder, and where it leads. Both are of the same link, whoever exchanges it meanwhile.
func readLink(dir Handle, name string) (Info, string, error) {
	h, err := OpenAt(dir, name, unix.O_PATH, 0)
	if err != nil {
		return Info{}, "", err
	}
	defer h.Close()
	link, err := h.Stat()
	if err != nil || !link.IsLink() {
		return link, "", err
	}
	target, err := readLinkAt(h, "")
	return link, target, err
}

// BeginSync has the contents of an open file written to the disk, and waits for nothing. It is only a hint to the system.
func (h Handle) BeginSync() { _ = unix.SyncFileRange(int(h), 0, 0, unix.SYNC_FILE_RANGE_WRITE) }

// holdReplaced opens what a rename is about to replace, or returns NoHandle. The system removes a file without a name when the
// last descriptor is closed: then the folder is not locked, and renames of other files in it do not wait. This is for ext4
// only. Other file systems do not gain from it, and NFS first renames a file that is open: then its name is missing for a
// moment.
func holdReplaced(dir Handle, name string) Handle {
	var system unix.Statfs_t
	err := again(func() error { return unix.Fstatfs(int(dir), &system) })
	if err != nil || system.Type != unix.EXT4_SUPER_MAGIC {
		return NoHandle
	}
	old, err := OpenAt(dir, name, unix.O_PATH, 0)
	if err != nil {
		return NoHandle
	}
	return old
}

const (
	accessList   = "system.posix_acl_access"
	selinuxLabel = "security.selinux"
)

// CopyExtended gives a new file the extended attributes of an old one: the label of SELinux, the access control list if
// withList says so, and attributes of users. Nothing else is copied: capabilities, for example, belong to contents. An access
// control list that the new file has from its folder is removed where the old file has none. What gets lost is a warning.
func CopyExtended(from, to Handle, withList bool) (warnings []string, err error) {
	names, err := listExtended(from)
	if err != nil {
		return nil, nil // the file system has none
	}
	hasList := false
	for _, name := range names {
		if name != selinuxLabel && name != accessList && !strings.HasPrefix(name, "user.") {
			continue
		}
		if name == accessList {
			if !withList {
				warnings = append(warnings, "its access control list is dropped, because its owner changes")
				continue
			}
			hasList = true
		}
		if err := copyOne(from, to, name); err != nil && (name == selinuxLabel || name == accessList) {
			warnings = append(warnings, fmt.Sprintf("cannot copy %s: %v", name, err))
			hasList = hasList && name != accessList
		}
	}
	if !hasList {
		err := again(func() error { return unix.Fremovexattr(int(to), accessList) })
		if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return warnings, fmt.Errorf("remove the access control list of the folder: %w", err)
		}
	}
	return warnings, nil
}

func copyOne(from, to Handle, name string) error {
	value, err := getExtended(from, name)
	if err != nil {
		return err
	}
	if has, err := getExtended(to, name); err == nil && bytes.Equal(has, value) {
		return nil
	}
	return again(func() error { return unix.Fsetxattr(int(to), name, value, 0) })
}

// maxExtended is the most that the kernel accepts as a list of names, and as a value.
const maxExtended = 64 << 10

func listExtended(h Handle) ([]string, error) {
	size, err := unix.Flistxattr(int(h), nil)
	if err != nil || size == 0 {
		return nil, err
	}
	list := make([]byte, maxExtended)
	if size, err = unix.Flistxattr(int(h), list); err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(list[:size]), func(r rune) bool { return r == 0 }), nil
}

func getExtended(h Handle, name string) ([]byte, error) {
	size, err := unix.Fgetxattr(int(h), name, nil)
	if err != nil {
		return nil, err
	}
	value := make([]byte, size)
	size, err = unix.Fgetxattr(int(h), name, value)
	return value[:max(size, 0)], err
}
