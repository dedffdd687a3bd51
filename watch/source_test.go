package watch_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"render/watch"
	"render/watch/sourcetest"
)

func newFiles(t *testing.T) *watch.Files {
	t.Helper()
	files, err := watch.NewFiles()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(files.Close)
	return files
}

var subjects atomic.Int64

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestContractFiles(t *testing.T) {
	writers := map[string]func(t *testing.T, path, value string){
		"written in place": func(t *testing.T, path, value string) {
			check(t, os.WriteFile(path, []byte(value), 0o644))
		},
		"replaced": func(t *testing.T, path, value string) { // as editors do
			check(t, os.WriteFile(path+"~", []byte(value), 0o644))
			check(t, os.Rename(path+"~", path))
		},
		"linked folder": func(t *testing.T, path, value string) { // as a ConfigMap is mounted
			dir := filepath.Dir(path)
			data := filepath.Join(dir, fmt.Sprintf("..%d", subjects.Add(1)))
			check(t, os.Mkdir(data, 0o755))
			check(t, os.WriteFile(filepath.Join(data, filepath.Base(path)), []byte(value), 0o644))
			check(t, os.Symlink(filepath.Base(data), filepath.Join(dir, "..new")))
			check(t, os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")))
			if _, err := os.Lstat(path); err != nil {
				check(t, os.Symlink(filepath.Join("..data", filepath.Base(path)), path))
			}
		},
	}
	for name, write := range writers {
		for _, sandbox := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sandbox %v", name, sandbox), func(t *testing.T) {
				sourcetest.Run(t, func(t *testing.T) sourcetest.Subject {
					dir := t.TempDir()
					path, opts := filepath.Join(dir, "file"), url.Values{}
					if sandbox {
						opts.Set(watch.OptSandbox, dir)
					}
					return sourcetest.Subject{
						Source: newFiles(t),
						Query:  watch.NewQuery(watch.KindFile, path, opts),
						Set:    func(value string) { write(t, path, value) },
						Remove: func() { check(t, os.Remove(path)) },
					}
				})
			})
		}
	}
}

// Where the system does not notify of changes, the regular check finds them.
func TestContractUnnotifiedFiles(t *testing.T) {
	t.Parallel()
	sourcetest.Run(t, func(t *testing.T) sourcetest.Subject {
		path, files := filepath.Join(t.TempDir(), "file"), watch.NewUnnotifiedFiles()
		t.Cleanup(files.Close)
		return sourcetest.Subject{
			Source: files,
			Query:  watch.NewQuery(watch.KindFile, path, nil),
			Set:    func(value string) { check(t, os.WriteFile(path, []byte(value), 0o644)) },
			Remove: func() { check(t, os.Remove(path)) },
		}
	})
}

func TestContractByKind(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Subject {
		path := filepath.Join(t.TempDir(), "file")
		return sourcetest.Subject{
			Source: watch.ByKind{watch.KindFile: newFiles(t)},
			Query:  watch.NewQuery(watch.KindFile, path, nil),
			Set:    func(value string) { check(t, os.WriteFile(path, []byte(value), 0o644)) },
			Remove: func() { check(t, os.Remove(path)) },
		}
	})
}

// A file whose folder does not exist yet is absent, and noticed when it comes.
func TestFileInMissingFolder(t *testing.T) {
	files := newFiles(t)
	dir := filepath.Join(t.TempDir(), "later")
	q := watch.NewQuery(watch.KindFile, filepath.Join(dir, "file"), nil)
	value, index, err := files.Fetch(t.Context(), q, 0)
	if value != nil || err != nil {
		t.Fatalf("got %v, %v", value, err)
	}
	check(t, os.Mkdir(dir, 0o755))
	check(t, os.WriteFile(q.Name, []byte("text"), 0o644))
	if value, _, err = files.Fetch(t.Context(), q, index); value != "text" || err != nil {
		t.Fatalf("got %v, %v", value, err)
	}
}

func TestFileThatIsNone(t *testing.T) {
	_, _, err := newFiles(t).Fetch(t.Context(), watch.NewQuery(watch.KindFile, t.TempDir(), nil), 0)
	if err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Fatalf("got %v", err)
	}
}

func TestContractSwitch(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.Subject {
		path := filepath.Join(t.TempDir(), "file")
		src := watch.NewSwitch(watch.ByKind{})
		src.Use(newFiles(t))
		return sourcetest.Subject{
			Source: src,
			Query:  watch.NewQuery(watch.KindFile, path, nil),
			Set:    func(value string) { check(t, os.WriteFile(path, []byte(value), 0o644)) },
			Remove: func() { check(t, os.Remove(path)) },
		}
	})
}

// What was read first is known first: many who read a file while it changes never take it back to what it was.
func TestFilesDoNotGoBack(t *testing.T) {
	files, path := newFiles(t), filepath.Join(t.TempDir(), "file")
	const last = 300
	put := func(n int) {
		check(t, os.WriteFile(path+".new", []byte(strconv.Itoa(n)), 0o644))
		check(t, os.Rename(path+".new", path))
	}
	put(0)
	q := watch.NewQuery(watch.KindFile, path, nil)
	var mu sync.Mutex
	indexes := make(map[int]uint64) // by contents
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := 0; n < last; {
				value, index, err := files.Fetch(t.Context(), q, 0)
				if err != nil {
					t.Error(err)
					return
				}
				n, _ = strconv.Atoi(value.(string))
				mu.Lock()
				if before, ok := indexes[n]; ok && before != index {
					t.Errorf("contents %d have the indexes %d and %d", n, before, index)
				}
				indexes[n] = index
				mu.Unlock()
			}
		})
	}
	for n := range last {
		put(n + 1)
	}
	wg.Wait()
}
