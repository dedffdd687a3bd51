package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"render/cmd/render/filetest"

	"render/watch/hint"
)

func TestPIDFile(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.pid"), filepath.Join(dir, "b.pid")
	pid := fmt.Sprint(os.Getpid())
	var p PIDFile
	for _, tt := range []struct {
		path string
		want []string
	}{
		{"", nil}, {a, []string{"a.pid"}}, {a, []string{"a.pid"}}, {b, []string{"b.pid"}}, {dir + "/./b.pid", []string{"b.pid"}},
		{"", nil}, {"", nil}, {a, []string{"a.pid"}},
	} {
		filetest.Check(t, p.Move(tt.path))
		if got := filetest.Names(t, dir, ""); !slices.Equal(got, tt.want) {
			t.Fatalf("at %q: %s", tt.path, got)
		}
		for _, name := range tt.want {
			filetest.Check(t, filetest.Contains(filepath.Join(dir, name), pid)())
		}
	}
	filetest.Check(t, p.Remove())
	filetest.Check(t, p.Remove())
	if got := filetest.Names(t, dir, ""); len(got) != 0 {
		t.Errorf("left: %s", got)
	}
}

func TestPIDFileMode(t *testing.T) {
	dir := t.TempDir()
	like, path := filepath.Join(dir, "like"), filepath.Join(dir, "a")
	filetest.Check(t, os.WriteFile(like, nil, 0o666)) // the umask is the same
	p := new(PIDFile)
	filetest.Check(t, p.Move(path))
	want, err := os.Stat(like)
	filetest.Check(t, err)
	if got, err := os.Stat(path); err != nil || got.Mode() != want.Mode() {
		t.Errorf("%v, %v", got, err)
	}
}

// One that was left behind, or has gone missing, is written, and one that is another's by now is not removed.
func TestPIDFileIsChanged(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	filetest.Write(t, path, "1234567")
	var p PIDFile
	filetest.Check(t, p.Move(path))
	filetest.Check(t, filetest.Contains(path, fmt.Sprint(os.Getpid()))())
	filetest.Check(t, os.Remove(path))
	filetest.Check(t, p.Move(path))
	filetest.Check(t, filetest.Contains(path, fmt.Sprint(os.Getpid()))())
	filetest.Write(t, path, "1")
	filetest.Check(t, p.Move(other))
	filetest.Check(t, filetest.Contains(path, "1")())
	filetest.Write(t, other, fmt.Sprintln(os.Getpid()))
	filetest.Check(t, p.Remove())
	if got := filetest.Names(t, dir, ""); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("left: %s", got)
	}
}

// By another path it is still the same file.
func TestPIDFileByLink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	filetest.Check(t, os.Symlink(path, link))
	var p PIDFile
	filetest.Check(t, p.Move(path))
	filetest.Check(t, p.Move(link))
	filetest.Check(t, filetest.Contains(path, fmt.Sprint(os.Getpid()))())
}

func TestPIDFileCannotBe(t *testing.T) {
	dir := t.TempDir()
	filetest.Write(t, filepath.Join(dir, "file"), "")
	filetest.Check(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	old := filepath.Join(dir, "old.pid")
	var p PIDFile
	filetest.Check(t, p.Move(old))
	for path, want := range map[string]string{
		dir:             "pid file " + dir + ": the path is a folder\nhint: use the path of a file, such as " + dir + "/render.pid",
		dir + "/none/a": "pid file " + dir + "/none/a: the folder " + dir + "/none is missing\nhint: create the folder",
		dir + "/file/a": "pid file " + dir + "/file/a: " + dir + "/file is not a folder\nhint: use another path",
		dir + "/pipe":   "pid file " + dir + "/pipe: not a regular file\nhint: use another path",
	} {
		if err := p.Move(path); err == nil || hint.Text(err) != want {
			t.Errorf("got %v, not %s", err, want)
		}
		filetest.Check(t, filetest.Contains(old, fmt.Sprint(os.Getpid()))())
	}
	filetest.Check(t, p.Remove())
	if _, err := os.Stat(old); err == nil {
		t.Error("it is left")
	}
	if got := strings.Join(filetest.Names(t, dir, ""), " "); got != "file pipe" {
		t.Errorf("left: %s", got)
	}
}
