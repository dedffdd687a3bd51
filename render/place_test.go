package render

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
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
