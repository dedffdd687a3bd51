package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"render/cmd/render/filetest"

	"render/watch/hint"
)

func TestPIDFileDiskFull(t *testing.T) {
	dir := filetest.MountSmall(t, "size=64k")
	filetest.FillDisk(t, dir)
	path := filepath.Join(dir, "a")
	err := new(PIDFile).Move(path)
	if want := "write the pid file: write " + path + ": no space left on device\nhint: use a path on a file system with free space"; err == nil || hint.Text(err) != want {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is one")
	}
}

// In a folder that is not ours a file that was made for us can be written. If one cannot be removed, nothing changes.
func TestPIDFileInFolderOfOthers(t *testing.T) {
	dir, ours := t.TempDir(), t.TempDir()
	path, next := filepath.Join(dir, "a"), filepath.Join(ours, "b")
	filetest.Write(t, path, "1")
	filetest.Check(t, errors.Join(os.Chmod(path, 0o666), os.Chmod(dir, 0o755), os.Chmod(ours, 0o777), os.Chmod(filepath.Dir(dir), 0o755)))
	filetest.AsNobody(t, func() {
		var p PIDFile
		filetest.Check(t, p.Move(path))
		filetest.Check(t, filetest.Contains(path, fmt.Sprint(os.Getpid()))())
		if err := p.Move(dir + "/b"); err == nil || !strings.Contains(hint.Text(err), "permission denied\nhint: use a path that user ") {
			t.Errorf("got %v", err)
		}
		if err := p.Move(next); err == nil || !strings.Contains(hint.Text(err), "permission denied\nhint: remove the file by hand") {
			t.Errorf("got %v", err)
		}
		if p.path != path {
			t.Errorf("it is at %s", p.path)
		}
		if _, err := os.Stat(next); err == nil {
			t.Error("there are two")
		}
	})
}
