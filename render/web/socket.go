package web

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"render/watch/hint"
)

// longestSocket is the most bytes of the path of a unix socket. Systems allow 104 or 108; the socket is made in a folder beside it.
const longestSocket = 80

// A socket is a unix socket in the file system.
type socket struct {
	*net.UnixListener
	path string
	info fs.FileInfo // of the socket
}

// listenSocket makes a unix socket with a mode. It replaces the socket of a process that has ended, and no other file.
//
// The socket is made in a private folder, so that nobody can connect before it has its mode, and is then renamed.
func listenSocket(path string, mode fs.FileMode) (*socket, error) {
	if len(path) > longestSocket {
		return nil, fmt.Errorf("the path of the socket %s is longer than %d bytes", path, longestSocket)
	}
	folder := filepath.Dir(path)
	private, err := os.MkdirTemp(folder, ".render-")
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer os.RemoveAll(private)

	made := filepath.Join(private, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	listener.SetUnlinkOnClose(false)
	if err = os.Chmod(made, mode); err == nil {
		err = publish(made, path, folder)
	}
	var info fs.FileInfo
	if err == nil {
		info, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &socket{listener, path, info}, nil
}

// publish renames a new socket to its path. Where something is there it has to be the socket of a process that has ended.
func publish(made, path, folder string) error {
	lock, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := lockFolder(lock); err != nil { // another render may be at the same
		return fmt.Errorf("lock of %s: %w", folder, err)
	}

	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return hint.With(fmt.Errorf("%s exists, and is not a socket", path), "use another path")
	default:
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
			return hint.With(fmt.Errorf("the socket %s is in use by another process", path), "use another path")
		}
	}
	return os.Rename(made, path)
}

// lockTimeout is how long a folder may stay locked. Whoever can read the folder can lock it, and must not stop render.
const lockTimeout = 2 * time.Second

// lockFolder locks an open folder until it is closed. It fails where another process keeps the lock.
func lockFolder(folder *os.File) error {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return err
		case time.Since(began) > lockTimeout:
			return fmt.Errorf("another process has kept the lock for %s", lockTimeout)
		}
	}
}

// chmod changes the mode of the socket, unless another process has replaced it: a link there would lead to another file.
func (s *socket) chmod(mode fs.FileMode) error {
	info, err := os.Lstat(s.path)
	if err == nil && !os.SameFile(info, s.info) {
		err = errors.New("another process has replaced the socket")
	}
	if err == nil {
		err = os.Chmod(s.path, mode)
	}
	if err != nil {
		return fmt.Errorf("socket %s: %w", s.path, err)
	}
	return nil
}

// exists reports whether the file of the socket is there.
func (s *socket) exists() bool {
	info, err := os.Lstat(s.path)
	return err == nil && os.SameFile(info, s.info)
}

// Close closes the socket, and removes its file unless another process has replaced it.
func (s *socket) Close() error {
	if s.exists() {
		_ = os.Remove(s.path) // before it refuses connections: nobody can take it for one that was left behind
	}
	return s.UnixListener.Close()
}
