package folder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newDir returns a folder for a test, by a path without links.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Two paths of one file are the same, by whatever links; and what does not exist is kept as it is.
func TestRealPath(t *testing.T) {
	dir := newDir(t)
	must(t, os.Mkdir(dir+"/dir", 0o755))
	must(t, os.Symlink("dir", dir+"/dirlink"))
	must(t, os.Symlink("dir/out", dir+"/link"))
	must(t, os.Symlink("../dirlink/out", dir+"/dir/circle"))
	must(t, os.Symlink("loop", dir+"/loop"))
	must(t, os.Symlink("no/../such", dir+"/dangling"))
	t.Chdir(dir)
	for path, want := range map[string]string{
		"dir/out": "dir/out", "dirlink/out": "dir/out", "link": "dir/out", "dir/circle": "dir/out", "dir/../dir//out": "dir/out",
		"dirlink/not/yet/out": "dir/not/yet/out", "loop": "loop", "dir/": "dir", "dirlink": "dir", ".": ".", "dirlink/..": ".",
		"dangling": "such",
	} {
		for _, path := range []string{path, dir + "/" + path} {
			if got, err := RealPath(path); err != nil || got != filepath.Join(dir, want) {
				t.Errorf("%s: got %s, %v", path, got, err)
			}
		}
	}
	if got, err := RealPath("/"); got != "/" || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
}

// A path leads to a name in a folder, by links that the rule allows, and to nothing otherwise.
func TestResolve(t *testing.T) {
	const bob = 65533
	tests := []struct {
		name      string
		link, to  string // in the folder of the test
		owner     int    // of the link
		path      string
		rule      LinkRule
		end, fail string // where it leads, or what the error says
	}{
		{"no link", "", "", 0, "end/file", TrustedLinks, "end/file", ""},
		{"no link, and none is allowed", "", "", 0, "end/file", RootLinks, "end/file", ""},
		{"a missing file", "", "", 0, "end/new", WriteLinks, "end/new", ""},
		{"a folder", "", "", 0, "end/..", TrustedLinks, "", "is a directory"},
		{"a file in a file", "", "", 0, "end/file/x", TrustedLinks, "", "not a directory"},
		{"our link to a file", "out", "end/file", 0, "out", TrustedLinks, "end/file", ""},
		{"our link to a missing file", "out", "end/new", 0, "out", TrustedLinks, "end/new", ""},
		{"our link to a folder", "out", "end", 0, "out/file", RootLinks, "end/file", ""},
		{"a link as the destination", "out", "end/file", 0, "out", RootLinks, "", "links are refused"},
		{"a link as the destination, writing", "out", "end/file", 0, "out", WriteLinks, "", "does not follow links"},
		{"a link as its folder, writing", "out", "end", 0, "out/file", WriteLinks, "", "does not follow links"},
		{"links in a circle", "out", "out", 0, "out", TrustedLinks, "", "too many links"},
		{"a user's link to our file", "out", "end/file", bob, "out", TrustedLinks, "", "is a link of user 65533 and leads to"},
		{"a user's link to our folder", "out", "end", bob, "out/file", TrustedLinks, "", "is a link of user 65533 and leads to"},
		{"a user's link to our folder, refused", "out", "end", bob, "out/file", RootLinks, "", "is a link of user 65533, and links are refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := newDir(t)
			must(t, os.Mkdir(dir+"/end", 0o755))
			must(t, os.WriteFile(dir+"/end/file", nil, 0o600))
			if test.link != "" {
				must(t, os.Symlink(test.to, dir+"/"+test.link))
			}
			if test.owner != 0 {
				if os.Geteuid() != 0 {
					t.Skip("only root can give links to others")
				}
				must(t, os.Lchown(dir+"/"+test.link, test.owner, test.owner))
			}
			d, name, err := Resolve(dir+"/"+test.path, test.rule, false)
			if test.fail != "" {
				if err == nil || !strings.Contains(err.Error(), test.fail) {
					t.Fatalf("got %s, %v, want %q", name, err, test.fail)
				}
				return
			}
			must(t, err)
			defer d.Close()
			if got := d.Path(name); got != dir+"/"+test.end {
				t.Errorf("it leads to %s", got)
			}
		})
	}
}

// A missing folder is made where that is asked for, and is an error of its own otherwise.
func TestResolveMissingFolder(t *testing.T) {
	path := newDir(t) + "/a/b/file"
	_, _, err := Resolve(path, TrustedLinks, false)
	if _, missing := errors.AsType[MissingError](err); !missing || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	d, name, err := Resolve(path, TrustedLinks, true)
	must(t, err)
	defer d.Close()
	if d.Path(name) != path {
		t.Errorf("got %s", d.Path(name))
	}
	is, err := os.Stat(filepath.Dir(path))
	must(t, err)
	if !is.IsDir() {
		t.Error("it is no folder")
	}
}

// A folder is opened again, and is no other one that has its path now, nor one behind a link.
func TestOpenAgain(t *testing.T) {
	dir := newDir(t)
	must(t, os.Mkdir(dir+"/in", 0o755))
	d, err := Open(dir + "/in")
	must(t, err)
	defer d.Close()
	again, err := d.Folder.Open()
	must(t, err)
	again.Close()

	must(t, os.Rename(dir+"/in", dir+"/moved"))
	must(t, os.Mkdir(dir+"/in", 0o755))
	if _, err := d.Folder.Open(); err == nil || !strings.Contains(err.Error(), "another folder has replaced ") {
		t.Errorf("another folder: %v", err)
	}
	must(t, os.Remove(dir+"/in"))
	must(t, os.Symlink("moved", dir+"/in"))
	if _, err := d.Folder.Open(); err == nil {
		t.Error("a link to it is followed")
	}
}

// Only a regular file is opened: what would wait for a writer, or leads elsewhere, is an error.
func TestOpenRegular(t *testing.T) {
	dir := newDir(t)
	must(t, os.WriteFile(dir+"/file", []byte("contents"), 0o600))
	must(t, os.Symlink("file", dir+"/link"))
	must(t, unix.Mkfifo(dir+"/pipe", 0o600))
	must(t, os.Mkdir(dir+"/folder", 0o755))
	d, err := Open(dir)
	must(t, err)
	defer d.Close()
	for name, want := range map[string]string{
		"link": "was replaced by a link", "pipe": "is not a regular file", "folder": "is a directory", "none": "no such file",
	} {
		if h, _, err := OpenRegular(d, name); err == nil || !strings.Contains(err.Error(), want) {
			h.Close()
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	h, is, err := OpenRegular(d, "file")
	must(t, err)
	defer h.Close()
	if same, err := h.Holds([]byte("contents")); !same || err != nil || is.Size != 8 {
		t.Errorf("got %v, %v, %+v", same, err, is)
	}
}
