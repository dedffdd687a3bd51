package render

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"render/render/run"
	"syscall"
	"testing"
	"time"
)

// place is a folder with helpers that end the test on errors.
type place struct {
	t   *testing.T
	dir string
}

func newPlace(t *testing.T) place { return place{t, t.TempDir()} }

func (p place) path(name string) string { return p.dir + "/" + name }

func (p place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p place) write(name, text string, mode fs.FileMode) string {
	p.t.Helper()
	p.must(os.WriteFile(p.path(name), []byte(text), mode))
	p.must(os.Chmod(p.path(name), mode))
	return p.path(name)
}

// files returns what is in the folder: names with their contents, links with where they lead.
func (p place) files() map[string]string {
	p.t.Helper()
	all := make(map[string]string)
	p.must(filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(p.dir, path)
		switch d.Type() {
		case 0:
			b, err := os.ReadFile(path)
			all[name] = string(b)
			return err
		case fs.ModeSymlink:
			link, err := os.Readlink(path)
			all[name] = "-> " + link
			return err
		}
		return nil
	}))
	return all
}

func (p place) want(want map[string]string) {
	p.t.Helper()
	if got := p.files(); fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Errorf("the folder holds %q, want %q", got, want)
	}
}

func (p place) stat(name string) (fs.FileInfo, *syscall.Stat_t) {
	p.t.Helper()
	info, err := os.Stat(p.path(name))
	p.must(err)
	return info, info.Sys().(*syscall.Stat_t)
}

// wantGone waits for the end of the process whose ID is in the file pid.
func wantGone(t *testing.T, p place) {
	t.Helper()
	var pid int
	_, err := fmt.Sscan(p.files()["pid"], &pid)
	p.must(err)
	for end := time.Now().Add(30 * time.Second); run.Alive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}
