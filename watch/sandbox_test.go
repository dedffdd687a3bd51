package watch_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"render/watch"
)

func sandboxed(sandbox, path string) watch.Query {
	return watch.NewQuery(watch.KindFile, path, url.Values{watch.OptSandbox: {sandbox}})
}

// A sandbox is made of a tree: names with a text are files, with "-> " links; BASE is the folder of the tree.
func tree(t *testing.T, files map[string]string) (base string) {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	for name, text := range files {
		path := filepath.Join(base, name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			check(t, os.Symlink(strings.ReplaceAll(target, "BASE", base), path))
			continue
		}
		check(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return base
}

// What a query with a sandbox reads. All paths are tried from the root and from the folder that they are relative to.
func TestSandbox(t *testing.T) {
	const none, outside = "NONE", "OUTSIDE"
	base := tree(t, map[string]string{
		"box/in":            "inside",
		"box/sub/deep":      "deep",
		"box/link":          "-> in",
		"box/up":            "-> sub/../in",
		"box/chain":         "-> link",
		"box/absolute":      "-> BASE/box/in",
		"box/folder":        "-> BASE/box/sub",
		"box/alias":         "-> BASE/other/sub/deep", // by another name of the sandbox
		"box/back":          "-> ../box/in",
		"box/..data":        "-> ..2026",
		"box/..2026/config": "config",
		"box/config":        "-> ..data/config",
		"box/out":           "-> ../secret",
		"box/outAbsolute":   "-> BASE/secret",
		"box/outFolder":     "-> ..",
		"box/outChain":      "-> outFolder/secret",
		"box/dangling":      "-> nothing",
		"box/danglingOut":   "-> BASE/nothing",
		"box/danglingUp":    "-> ../nothing",
		"boxes/secret":      "SECRET", // its name begins as the sandbox's
		"other":             "-> box",
		"secret":            "SECRET",
	})
	t.Chdir(filepath.Join(base, "box"))
	files := newFiles(t)
	for _, c := range []struct{ path, want string }{
		{"in", "inside"},
		{"./in", "inside"},
		{"sub/deep", "deep"},
		{"sub/../in", "inside"},
		{"link", "inside"},
		{"up", "inside"},
		{"chain", "inside"},
		{"absolute", "inside"},
		{"folder/deep", "deep"},
		{"folder/../in", "inside"},
		{"alias", "deep"},
		{"back", "inside"},
		{"../box/in", "inside"},
		{"../other/in", "inside"},
		{"../other/sub/deep", "deep"},
		{"config", "config"},
		{"..data/config", "config"},

		{"nope", none},
		{"nope/nope", none},
		{"in/nope", none},
		{"sub/../nope", none},
		{"../other/nope", none},
		{"dangling", none},

		{"../secret", outside},
		{"sub/../../secret", outside},
		{"nope/../../secret", outside},
		{"../boxes/secret", outside},
		{"out", outside},
		{"outAbsolute", outside},
		{"outFolder/secret", outside},
		{"outFolder/nothing", outside},
		{"outFolder/../secret", outside},
		{"outChain", outside},
		{"danglingOut", outside},
		{"danglingUp", outside},
		{"/etc/passwd", outside},
		{"/nothing", outside},
		{"/", outside},
		{"..", outside},
	} {
		paths := []string{c.path}
		if !filepath.IsAbs(c.path) {
			paths = append(paths, filepath.Join(base, "box")+"/"+c.path, base+"/box/../box//"+c.path)
		}
		for _, sandbox := range []string{base + "/box", base + "/other"} {
			for _, path := range paths {
				value, _, err := files.Fetch(t.Context(), sandboxed(sandbox, path), 0)
				got, _ := value.(string)
				switch {
				case err != nil && strings.Contains(err.Error(), "leads out of the sandbox "+sandbox):
					got = outside
				case err != nil:
					got = err.Error()
				case value == nil:
					got = none
				}
				if got != c.want {
					t.Errorf("%s in %s: got %s, want %s", path, sandbox, got, c.want)
				}
				if err := watch.CheckSandbox(sandbox, path); (err != nil) != (c.want == outside) {
					t.Errorf("%s in %s: the check says %v", path, sandbox, err)
				}
			}
		}
	}
}

func TestSandboxFaults(t *testing.T) {
	base := tree(t, map[string]string{"box/in": "inside", "box/loop": "-> loop", "file": "x"})
	files := newFiles(t)
	for _, c := range []struct{ sandbox, path, want string }{
		{"/nope", "in", "cannot open the sandbox BASE/nope: no such file or directory; create the folder, or name another one"},
		{"/file", "in", "cannot open the sandbox BASE/file: not a directory; "},
		{"/box", "/box", "is not a regular file"},
		{"/box", "/box/loop", "too many levels of symbolic links"},
	} {
		if strings.HasPrefix(c.path, "/") {
			c.path = base + c.path
		}
		_, _, err := files.Fetch(t.Context(), sandboxed(base+c.sandbox, c.path), 0)
		if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(c.want, "BASE", base)) {
			t.Errorf("%s: got %v, want %s", c.path, err, c.want)
		}
	}
}

// Links are swapped while files are read: of a file, of a folder in the middle, and of the file behind a link.
func TestSandboxSwaps(t *testing.T) {
	base := tree(t, map[string]string{"box/a/file": "inside", "out/file": "SECRET"})
	put := func(target, name string) {
		_ = os.Remove(base + "/new")
		if err := errors.Join(os.Symlink(target, base+"/new"), os.Rename(base+"/new", base+"/box/"+name)); err != nil {
			t.Error(err)
		}
	}
	links := map[string][]string{
		"file":     {base + "/box/a/file", base + "/out/file", "a/file", "../out/file"},
		"folder":   {"a", "../out", base + "/box/a", base + "/out"},
		"indirect": {"file", "../out/file", "folder/file"},
	}
	swap := func(i int) {
		for name, targets := range links {
			put(targets[i%len(targets)], name)
		}
	}
	swap(0)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			swap(i)
		}
	})
	files := newFiles(t)
	inside, refused := 0, 0
	for range 3000 {
		for _, path := range []string{"/box/file", "/box/folder/file", "/box/indirect"} {
			value, _, err := files.Fetch(t.Context(), sandboxed(base+"/box", base+path), 0)
			switch {
			case value == "inside":
				inside++
			case err != nil:
				refused++
			case value != nil:
				t.Fatalf("%s: read %q", path, value)
			}
		}
	}
	if inside == 0 || refused == 0 {
		t.Errorf("%d reads from inside, %d refused: nothing was tried", inside, refused)
	}
}

// Two templates may read one path with different sandboxes, and one without: each has its own answer.
func TestSandboxesApart(t *testing.T) {
	base := tree(t, map[string]string{"a/in": "inside", "b/in": "other"})
	files := newFiles(t)
	path := base + "/a/in"
	indexes := make(map[watch.Query]uint64)
	for round := range 2 {
		for _, q := range []watch.Query{watch.NewQuery(watch.KindFile, path, nil), sandboxed(base+"/a", path), sandboxed(base, path)} {
			value, index, err := files.Fetch(t.Context(), q, 0)
			if value != "inside" || err != nil || round > 0 && index != indexes[q] {
				t.Errorf("%s: got %v, index %d after %d, %v", q, value, index, indexes[q], err)
			}
			indexes[q] = index
		}
		if value, _, err := files.Fetch(t.Context(), sandboxed(base+"/b", path), 0); value != nil || err == nil {
			t.Errorf("got %v, %v", value, err)
		}
	}
}
