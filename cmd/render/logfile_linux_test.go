package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mountSmall mounts a small file system on a new folder.
func mountSmall(t *testing.T, data string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, data); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fillDisk fills the file system of a folder, and returns what makes room again.
func fillDisk(t *testing.T, dir string) (empty func()) {
	t.Helper()
	filler, err := os.Create(filepath.Join(dir, "filler"))
	check(t, err)
	for err == nil {
		_, err = filler.Write(make([]byte, 4096))
	}
	check(t, filler.Close())
	return func() { check(t, os.Remove(filler.Name())) }
}

// asNobody runs f with the rights of another user on files.
func asNobody(t *testing.T, f func()) {
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

// A disk that is full takes whole lines or none, and the log goes on without it.
func TestLogFileDiskFull(t *testing.T) {
	dir := mountSmall(t, "size=64k")
	path := filepath.Join(dir, "a.log")
	l, stderr := newTestLogs(t, toFile(logFileSettings{Path: path}))
	log := l.logger()
	log.Info("before")
	empty := fillDisk(t, dir)
	for range 200 { // some still fit into the last block
		log.Info("full", "filler", strings.Repeat("x", 70))
	}
	check(t, stderr.says(200, "msg=full")())
	check(t, stderr.says(1, `msg="cannot write the log file" err="write `+path+`: no space left on device"`)())
	empty()
	log.Info("after")
	check(t, stderr.says(1, `msg="the log file is written again"`)())
	got := messages(t, read(t, path))
	if n := len(got); n < 10 || n > 100 || got[0] != "before" || got[n-1] != "after" {
		t.Errorf("the file has %q", got)
	}
	messages(t, stderr.String())
}

// If there is no room for a new file, lines are on standard error alone until there is.
func TestLogFileCannotRotate(t *testing.T) {
	dir := mountSmall(t, "nr_inodes=2")
	l, stderr := newTestLogs(t, toFile(logFileSettings{Path: dir + "/", RotateBytes: 1}))
	log := l.logger()
	for _, m := range []string{"1", "2", "3"} {
		log.Info(m)
	}
	check(t, stderr.says(1, `msg="cannot rotate the log file"`)())
	check(t, stderr.says(1, `msg="cannot write the log file"`)())
	check(t, syscall.Mount("", dir, "tmpfs", syscall.MS_REMOUNT, "nr_inodes=9"))
	log.Info("4")
	check(t, stderr.says(1, `msg="the log file is written again" failures=2`)())
	log.Info("5")
	check(t, stderr.says(1, `msg="the log file is rotated again" failures=1`)())
	check(t, has(t, dir, "render.log", "1", "4", "5")())
	check(t, stderr.says(5, "level=INFO")())
}

func TestLogFileReadOnly(t *testing.T) {
	dir := mountSmall(t, "size=64k")
	l, stderr := newTestLogs(t, toFile(logFileSettings{Path: dir + "/"}))
	l.logger().Info("1")
	check(t, l.Close()) // what is open for writing keeps a file system from being read-only
	check(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	err := l.apply(toFile(logFileSettings{Path: dir + "/"}))
	if err == nil || !strings.Contains(err.Error(), "log file: open "+dir+"/render.log: read-only file system") {
		t.Errorf("got %v", err)
	}
	l.logger().Info("2")
	if got := messages(t, stderr.String()); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("standard error has %q", got)
	}
}

// In a folder that is not ours the file is written, but cannot be rotated.
func TestLogFileInFolderOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can take away what root may do")
	}
	dir := t.TempDir()
	check(t, os.Chmod(dir, 0o755))
	check(t, os.Chmod(filepath.Dir(dir), 0o755))
	write(t, filepath.Join(dir, "render.log"), "")
	check(t, os.Chmod(filepath.Join(dir, "render.log"), 0o666))
	asNobody(t, func() {
		l, stderr := newTestLogs(t, toFile(logFileSettings{Path: dir + "/", RotateBytes: 1}))
		for _, m := range []string{"1", "2", "3"} {
			l.logger().Info(m)
		}
		check(t, stderr.says(1, `msg="cannot rotate the log file"`)())
		check(t, stderr.says(1, "permission denied")())
		if got := contentsOf(t, dir, "render.log"); !slices.Equal(got, []string{"1 2 3"}) {
			t.Errorf("got %q", got)
		}
		if _, err := openLogFile(logFileSettings{Path: filepath.Join(dir, "new")}, nil); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("got %v", err)
		}
	})
}
