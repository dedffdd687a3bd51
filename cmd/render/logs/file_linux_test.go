package logs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"render/cmd/render/filetest"
)

// A disk that is full takes whole lines or none, and the log goes on without it.
func TestLogFileDiskFull(t *testing.T) {
	dir := filetest.MountSmall(t, "size=64k")
	path := filepath.Join(dir, "a.log")
	l, stderr := newTestLogs(t, toFile(FileSettings{Path: path}))
	log := l.Logger()
	log.Info("before")
	empty := filetest.FillDisk(t, dir)
	for range 200 { // some still fit into the last block
		log.Info("full", "filler", strings.Repeat("x", 70))
	}
	filetest.Check(t, stderr.Says(200, "msg=full")())
	filetest.Check(t, stderr.Says(1, `msg="log file write failed" err="write `+path+`: no space left on device"`)())
	empty()
	log.Info("after")
	filetest.Check(t, stderr.Says(1, `msg="log file writes recovered"`)())
	got := filetest.Messages(t, read(t, path))
	if n := len(got); n < 10 || n > 100 || got[0] != "before" || got[n-1] != "after" {
		t.Errorf("the file has %q", got)
	}
	filetest.Messages(t, stderr.String())
}

// If there is no room for a new file, lines are on standard error alone until there is.
func TestLogFileCannotRotate(t *testing.T) {
	dir := filetest.MountSmall(t, "nr_inodes=2")
	l, stderr := newTestLogs(t, toFile(FileSettings{Path: dir + "/", RotateBytes: 1}))
	log := l.Logger()
	for _, m := range []string{"1", "2", "3"} {
		log.Info(m)
	}
	filetest.Check(t, stderr.Says(1, `msg="log file rotation failed"`)())
	filetest.Check(t, stderr.Says(1, `msg="log file write failed"`)())
	filetest.Check(t, syscall.Mount("", dir, "tmpfs", syscall.MS_REMOUNT, "nr_inodes=9"))
	log.Info("4")
	filetest.Check(t, stderr.Says(1, `msg="log file writes recovered" failures=2`)())
	log.Info("5")
	filetest.Check(t, stderr.Says(1, `msg="log file rotation recovered" failures=1`)())
	filetest.Check(t, has(t, dir, "render.log", "1", "4", "5")())
	filetest.Check(t, stderr.Says(5, "level=INFO")())
}

func TestLogFileReadOnly(t *testing.T) {
	dir := filetest.MountSmall(t, "size=64k")
	l, stderr := newTestLogs(t, toFile(FileSettings{Path: dir + "/"}))
	l.Logger().Info("1")
	filetest.Check(t, l.Close()) // what is open for writing keeps a file system from being read-only
	filetest.Check(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	err := l.Apply(toFile(FileSettings{Path: dir + "/"}))
	if err == nil || !strings.Contains(err.Error(), "log file: open "+dir+"/render.log: read-only file system") {
		t.Errorf("got %v", err)
	}
	l.Logger().Info("2")
	if got := filetest.Messages(t, stderr.String()); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("standard error has %q", got)
	}
}

// In a folder that is not ours the file is written, but cannot be rotated.
func TestLogFileInFolderOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can take away what root may do")
	}
	dir := t.TempDir()
	filetest.Check(t, os.Chmod(dir, 0o755))
	filetest.Check(t, os.Chmod(filepath.Dir(dir), 0o755))
	filetest.Write(t, filepath.Join(dir, "render.log"), "")
	filetest.Check(t, os.Chmod(filepath.Join(dir, "render.log"), 0o666))
	filetest.AsNobody(t, func() {
		l, stderr := newTestLogs(t, toFile(FileSettings{Path: dir + "/", RotateBytes: 1}))
		for _, m := range []string{"1", "2", "3"} {
			l.Logger().Info(m)
		}
		filetest.Check(t, stderr.Says(1, `msg="log file rotation failed"`)())
		filetest.Check(t, stderr.Says(1, "permission denied")())
		if got := contentsOf(t, dir, "render.log"); !slices.Equal(got, []string{"1 2 3"}) {
			t.Errorf("got %q", got)
		}
		if _, err := openFile(FileSettings{Path: filepath.Join(dir, "new")}, nil); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("got %v", err)
		}
	})
}
