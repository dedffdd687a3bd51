package filetest

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// MountSmall mounts a small file system on a new folder.
func MountSmall(t testing.TB, data string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, data); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// FillDisk fills the file system of a folder, and returns what makes room again.
func FillDisk(t testing.TB, dir string) (empty func()) {
	t.Helper()
	filler, err := os.Create(filepath.Join(dir, "filler"))
	Check(t, err)
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	Check(t, filler.Close())
	return func() { Check(t, os.Remove(filler.Name())) }
}

// AsNobody runs f with the rights of another user on files.
func AsNobody(t testing.TB, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		runtime.LockOSThread() // which ends with the goroutine
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSGID, 65534, 0, 0)
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, 65534, 0, 0)
		f()
	}()
	<-done
}
