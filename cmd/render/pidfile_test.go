package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"render/cmd/render/filetest"
)

func TestPIDFile(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.pid"), filepath.Join(dir, "b.pid")
	pid := fmt.Sprint(os.Getpid())
	var p pidFile
	for _, tt := range []struct {
		path string
		want []string
	}{
		{"", nil}, {a, []string{"a.pid"}}, {a, []string{"a.pid"}}, {b, []string{"b.pid"}}, {dir + "/./b.pid", []string{"b.pid"}},
		{"", nil}, {"", nil}, {a, []string{"a.pid"}},
	} {
		check(t, p.move(tt.path))
		if got := filetest.Names(t, dir, ""); !slices.Equal(got, tt.want) {
			t.Fatalf("at %q: %s", tt.path, got)
		}
		for _, name := range tt.want {
			check(t, contains(filepath.Join(dir, name), pid)())
		}
	}
	check(t, p.remove())
	check(t, p.remove())
	if got := filetest.Names(t, dir, ""); len(got) != 0 {
		t.Errorf("left: %s", got)
	}
}

func TestPIDFileMode(t *testing.T) {
	dir := t.TempDir()
	like, path := filepath.Join(dir, "like"), filepath.Join(dir, "a")
	check(t, os.WriteFile(like, nil, 0o666)) // the umask is the same
	p := new(pidFile)
	check(t, p.move(path))
	want, err := os.Stat(like)
	check(t, err)
	if got, err := os.Stat(path); err != nil || got.Mode() != want.Mode() {
		t.Errorf("%v, %v", got, err)
	}
}

// One that was left behind, or has gone missing, is written, and one that is another's by now is not removed.
func TestPIDFileIsChanged(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, path, "1234567")
	var p pidFile
	check(t, p.move(path))
	check(t, contains(path, fmt.Sprint(os.Getpid()))())
	check(t, os.Remove(path))
	check(t, p.move(path))
	check(t, contains(path, fmt.Sprint(os.Getpid()))())
	write(t, path, "1")
	check(t, p.move(other))
	check(t, contains(path, "1")())
	write(t, other, fmt.Sprintln(os.Getpid()))
	check(t, p.remove())
	if got := filetest.Names(t, dir, ""); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("left: %s", got)
	}
}

// By another path it is still the same file.
func TestPIDFileByLink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	check(t, os.Symlink(path, link))
	var p pidFile
	check(t, p.move(path))
	check(t, p.move(link))
	check(t, contains(path, fmt.Sprint(os.Getpid()))())
}

func TestPIDFileCannotBe(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	check(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	old := filepath.Join(dir, "old.pid")
	var p pidFile
	check(t, p.move(old))
	for path, want := range map[string]string{
		dir:             "pid file " + dir + ": it is a folder; give the path of a file, as in " + dir + "/render.pid",
		dir + "/none/a": "pid file " + dir + "/none/a: its folder " + dir + "/none is missing; create it",
		dir + "/file/a": "pid file " + dir + "/file/a: " + dir + "/file is not a folder; give another path",
		dir + "/pipe":   "pid file " + dir + "/pipe: it is not a regular file; give another path",
	} {
		if err := p.move(path); err == nil || err.Error() != want {
			t.Errorf("got %v, not %s", err, want)
		}
		check(t, contains(old, fmt.Sprint(os.Getpid()))())
	}
	check(t, p.remove())
	if _, err := os.Stat(old); err == nil {
		t.Error("it is left")
	}
	if got := strings.Join(filetest.Names(t, dir, ""), " "); got != "file pipe" {
		t.Errorf("left: %s", got)
	}
}
