package folder

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// An Identity identifies an inode while the inode exists.
type Identity struct{ Dev, Ino uint64 }

// An Info is what fstat says about a file.
type Info struct {
	Identity
	Mode         fs.FileMode
	UID, GID     int
	Links        uint64
	Size         int64
	Mtime, Ctime int64 // in nanoseconds
}

func infoOf(st *unix.Stat_t) Info {
	return Info{
		Identity: Identity{uint64(st.Dev), uint64(st.Ino)},
		Mode:     goMode(uint32(st.Mode)),
		UID:      int(st.Uid),
		GID:      int(st.Gid),
		Links:    uint64(st.Nlink),
		Size:     st.Size,
		Mtime:    st.Mtim.Nano(),
		Ctime:    st.Ctim.Nano(),
	}
}

// IsRegular reports whether it is a regular file.
func (i Info) IsRegular() bool { return i.Mode.IsRegular() }

// IsLink reports whether it is a symbolic link.
func (i Info) IsLink() bool { return i.Mode.Type() == fs.ModeSymlink }

// IsSameFile reports whether two infos are of one file, or of one that an overlay file system has moved to its upper layer.
func (i Info) IsSameFile(j Info) bool {
	if i.Identity == j.Identity {
		return true
	}
	return i.IsRegular() && j.IsRegular() && i.Size == j.Size && i.Mtime == j.Mtime && i.Mode == j.Mode && i.UID == j.UID && i.GID == j.GID
}

// goMode returns the mode of a file as package fs has it.
func goMode(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	default:
		mode |= fs.ModeDevice
	}
	for bit, special := range specialBits {
		if m&bit != 0 {
			mode |= special
		}
	}
	return mode
}

// unixMode returns the permissions of a mode as the system has them.
func unixMode(mode fs.FileMode) uint32 {
	m := uint32(mode.Perm())
	for bit, special := range specialBits {
		if mode&special != 0 {
			m |= bit
		}
	}
	return m
}

var specialBits = map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky}

// again repeats a system call that a signal has interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// A Handle is an open file or folder. It reads and writes from the beginning to the end. Its methods repeat what a signal has
// interrupted, and return the errors of the system as they are.
type Handle int

// NoHandle is no open file; to close it does nothing.
const NoHandle Handle = -1

// OpenAt opens a name in a folder. The last component is never followed, and nothing is waited for.
func OpenAt(dir Handle, name string, flags int, mode uint32) (Handle, error) {
	fd := -1
	err := again(func() (err error) {
		fd, err = unix.Openat(int(dir), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, mode)
		return err
	})
	return Handle(fd), err
}

// Close closes a file.
func (h Handle) Close() {
	if h != NoHandle {
		_ = unix.Close(int(h))
	}
}

// Stat returns what the open file is.
func (h Handle) Stat() (Info, error) {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstat(int(h), &st) })
	return infoOf(&st), err
}

// StatAt returns what has a name in the folder. A link is not followed.
func (h Handle) StatAt(name string) (Info, error) { return h.statWith(name, unix.AT_SYMLINK_NOFOLLOW) }

func (h Handle) statWith(name string, flags int) (Info, error) {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstatat(int(h), name, &st, flags) })
	return infoOf(&st), err
}

func (h Handle) unlink(name string) error {
	return again(func() error { return unix.Unlinkat(int(h), name, 0) })
}

// Remove removes a name from the folder, if it is there.
func (h Handle) Remove(name string) error {
	if err := h.unlink(name); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// Rename gives a file of the folder another name there. What had that name loses it.
func (h Handle) Rename(from, to string) error {
	defer holdReplaced(h, to).Close()
	return again(func() error { return unix.Renameat(int(h), from, int(h), to) })
}

// RenameOver is Rename, also where both are names of one file: a rename alone would do nothing then.
func (h Handle) RenameOver(from, to string) error {
	if err := h.Rename(from, to); err != nil {
		return err
	}
	return h.Remove(from)
}

// Link gives a file of the folder a second name there. It is an error where something has that name.
func (h Handle) Link(from, to string) error {
	return again(func() error { return unix.Linkat(int(h), from, int(h), to, 0) })
}

// Read is that of io.Reader.
func (h Handle) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	err = again(func() error { n, err = unix.Read(int(h), p); return err })
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write is that of io.Writer: it writes all, or returns an error.
func (h Handle) Write(p []byte) (done int, err error) {
	for done < len(p) {
		n := 0
		if err := again(func() error { n, err = unix.Write(int(h), p[done:]); return err }); err != nil {
			return done, err
		}
		if n <= 0 {
			return done, io.ErrShortWrite
		}
		done += n
	}
	return done, nil
}

// Sync has the contents of an open file on disk.
func (h Handle) Sync() error { return again(func() error { return unix.Fsync(int(h)) }) }

// syncFolder syncs a folder. A folder that cannot be read, or a file system that cannot sync folders, is no error.
func (h Handle) syncFolder() error {
	readable, err := OpenAt(h, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer readable.Close()
	err = readable.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

// chunk is how much is read at a time.
const chunk = 64 << 10

// Holds reports whether the remainder of an open file is exactly these contents.
func (h Handle) Holds(contents []byte) (bool, error) {
	buffer := make([]byte, min(len(contents)+1, chunk))
	for {
		n, err := io.ReadFull(h, buffer[:min(len(contents)+1, len(buffer))])
		atEnd := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !atEnd {
			return false, err
		}
		if n > len(contents) || !bytes.Equal(buffer[:n], contents[:n]) {
			return false, nil
		}
		if contents = contents[n:]; atEnd {
			return len(contents) == 0, nil
		}
	}
}

// Replace writes contents over those of an open file, and syncs.
func (h Handle) Replace(contents []byte) error {
	for at := 0; at < len(contents); {
		n := 0
		err := again(func() (err error) { n, err = unix.Pwrite(int(h), contents[at:], int64(at)); return err })
		if err == nil && n <= 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return &fs.PathError{Op: "write", Path: "its contents", Err: err}
		}
		at += n
	}
	if err := again(func() error { return unix.Ftruncate(int(h), int64(len(contents))) }); err != nil {
		return err
	}
	return h.Sync()
}

// Chmod gives an open file a mode.
func (h Handle) Chmod(mode fs.FileMode) error {
	return again(func() error { return unix.Fchmod(int(h), unixMode(mode)) })
}

// Chown gives an open file an owner and a group. An ID of -1 changes nothing.
func (h Handle) Chown(uid, gid int) error {
	return again(func() error { return unix.Fchown(int(h), uid, gid) })
}

// Sum returns the SHA-256 sum of the contents of an open file, and an error where it does not have this size.
func (h Handle) Sum(size int64) ([sha256.Size]byte, error) {
	hash := sha256.New()
	n, err := io.CopyBuffer(hash, io.LimitReader(h, size+1), make([]byte, min(size+1, chunk)))
	if err == nil && n != size {
		err = errors.New("the size changed while render read the file")
	}
	return [sha256.Size]byte(hash.Sum(nil)), err
}
