package disk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// An identity identifies an inode while the inode exists.
type identity struct{ dev, ino uint64 }

// An info is what fstat says about a file.
type info struct {
	identity
	mode         fs.FileMode
	uid, gid     int
	nlink        uint64
	size         int64
	mtime, ctime int64 // in nanoseconds
}

func infoOf(st *unix.Stat_t) info {
	return info{
		identity: identity{uint64(st.Dev), uint64(st.Ino)},
		mode:     goMode(uint32(st.Mode)),
		uid:      int(st.Uid),
		gid:      int(st.Gid),
		nlink:    uint64(st.Nlink),
		size:     st.Size,
		mtime:    st.Mtim.Nano(),
		ctime:    st.Ctim.Nano(),
	}
}

func (i info) isRegular() bool { return i.mode.IsRegular() }
func (i info) isLink() bool    { return i.mode.Type() == fs.ModeSymlink }

// isSameFile reports whether two infos are of one file, or of one that an overlay file system has moved to its upper layer.
func (i info) isSameFile(j info) bool {
	if i.identity == j.identity {
		return true
	}
	return i.isRegular() && j.isRegular() && i.size == j.size && i.mtime == j.mtime && i.mode == j.mode && i.uid == j.uid && i.gid == j.gid
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

// A handle is an open file or folder. It reads and writes from the beginning to the end.
type handle int

const noHandle handle = -1

// openAt opens a name in a folder. The last component is never followed, and nothing is waited for.
func openAt(dir handle, name string, flags int, mode uint32) (handle, error) {
	fd := -1
	err := again(func() (err error) {
		fd, err = unix.Openat(int(dir), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, mode)
		return err
	})
	return handle(fd), err
}

func (h handle) close() {
	if h != noHandle {
		_ = unix.Close(int(h))
	}
}

// stat returns what the open file is.
func (h handle) stat() (info, error) {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstat(int(h), &st) })
	return infoOf(&st), err
}

// statAt returns what has a name in the folder. A link is not followed.
func (h handle) statAt(name string) (info, error) { return h.statWith(name, unix.AT_SYMLINK_NOFOLLOW) }

func (h handle) statWith(name string, flags int) (info, error) {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstatat(int(h), name, &st, flags) })
	return infoOf(&st), err
}

func (h handle) unlink(name string) error {
	return again(func() error { return unix.Unlinkat(int(h), name, 0) })
}

// unlinkAny removes a name, if it is there.
func (h handle) unlinkAny(name string) error {
	if err := h.unlink(name); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

func (h handle) rename(from, to string) error {
	return again(func() error { return unix.Renameat(int(h), from, int(h), to) })
}

// renameOver is rename, also where both are names of one file: a rename alone would do nothing then.
func (h handle) renameOver(from, to string) error {
	if err := h.rename(from, to); err != nil {
		return err
	}
	return h.unlinkAny(from)
}

func (h handle) link(from, to string) error {
	return again(func() error { return unix.Linkat(int(h), from, int(h), to, 0) })
}

func (h handle) Read(p []byte) (n int, err error) {
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

func (h handle) Write(p []byte) (done int, err error) {
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

func (h handle) sync() error { return again(func() error { return unix.Fsync(int(h)) }) }

// syncFolder syncs a folder. A folder that cannot be read, or a file system that cannot sync folders, is no error.
func (h handle) syncFolder() error {
	readable, err := openAt(h, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer readable.close()
	err = readable.sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

// chunk is how much is read at a time.
const chunk = 64 << 10

// holds reports whether the rest of an open file is exactly these contents.
func (h handle) holds(contents []byte) (bool, error) {
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
