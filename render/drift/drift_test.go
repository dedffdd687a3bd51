package drift

import (
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"render/render/disk"
)

// TestReports changes what is on disk and what is expected, and checks after each step.
func TestReports(t *testing.T) {
	type step struct {
		name    string
		do      func(f *fixture)
		reports bool
	}
	for name, steps := range map[string][]step{
		"a change, once": {
			{"as expected", func(f *fixture) { f.write("1"); f.expect("1") }, false},
			{"changed", func(f *fixture) { f.write("2") }, true},
			{"changed still", func(*fixture) {}, false},
			{"undone", func(f *fixture) { f.write("1") }, false},
			{"changed again", func(f *fixture) { f.write("2") }, true},
		},
		"a removal": {
			{"as expected", func(f *fixture) { f.write("1"); f.expect("1") }, false},
			{"removed", func(f *fixture) { f.must(os.Remove(f.path)) }, true},
		},
		"changed before it is expected": {
			{"changed", func(f *fixture) { f.write("2"); f.expect("1") }, true},
		},
		"expected later": {
			{"changed", func(f *fixture) { f.write("2"); f.expect("1") }, true},
			{"as expected now", func(f *fixture) { f.expect("2") }, false},
			{"changed again", func(f *fixture) { f.write("1") }, true},
		},
		"once more": {
			{"changed", func(f *fixture) { f.write("2"); f.expect("1") }, true},
			{"the client is busy", func(f *fixture) { f.watch.ReportLater(f.last) }, true},
		},
		"nobody wants to know": {
			{"kept", func(f *fixture) { f.write("1"); f.expect("1"); f.watch.Keep(map[string]bool{f.path: true}) }, false},
			{"changed", func(f *fixture) { f.write("2") }, true},
			{"dropped", func(f *fixture) { f.watch.ReportLater(f.last); f.watch.Keep(nil) }, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a")
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				f := &fixture{t: t, path: path, watch: New(ctx, nil)}
				defer f.watch.Wait()
				defer cancel()
				for _, s := range steps {
					s.do(f)
					if got := f.reports(); got != s.reports {
						t.Fatalf("%s: reported %v", s.name, got)
					}
				}
			})
		})
	}
}

// What was found for an earlier commit is not current after the next one.
func TestIsCurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &fixture{t: t, path: path, watch: New(ctx, nil)}
		defer f.watch.Wait()
		defer cancel()
		f.expect("1")
		if !f.reports() || !f.watch.IsCurrent(f.last) || f.last.Destination != path {
			t.Fatalf("reported %+v", f.last)
		}
		first := f.last
		f.expect("2")
		if f.watch.IsCurrent(first) {
			t.Error("current after the next commit")
		}
		if !f.reports() || !f.watch.IsCurrent(f.last) {
			t.Error("the next one is not reported")
		}
		f.watch.Keep(nil)
		if f.watch.IsCurrent(f.last) {
			t.Error("current although it is dropped")
		}
	})
}

// A watch holds nothing of what is not expected any more.
func TestForgets(t *testing.T) {
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "a")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &fixture{t: t, path: path, watch: New(ctx, nil)}
		defer f.watch.Wait()
		defer cancel()
		for range 3 {
			f.expect("1")
			f.reports()
		}
		if len(f.watch.byName) != 1 || len(f.watch.byName[path]) != 1 || len(f.watch.folders) != 1 {
			t.Errorf("names %v, folders %v", f.watch.byName, f.watch.folders)
		}
		f.watch.Keep(nil)
		f.watch.Check(ctx, nil)
		if len(f.watch.byName) != 0 || len(f.watch.folders) != 0 || len(f.watch.expected) != 0 {
			t.Errorf("names %v, folders %v, expected %v", f.watch.byName, f.watch.folders, f.watch.expected)
		}
	})
}

// A nil watch reports nothing.
func TestNil(t *testing.T) {
	var w *Watch
	w.Expect("a", disk.Options{}, sha256.Sum256(nil), 0)
	if w.Reports() != nil {
		t.Error("it reports")
	}
}

// fixture is a watch of one file.
type fixture struct {
	t     *testing.T
	path  string
	watch *Watch
	last  *Expected // that was reported
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) write(contents string) { f.must(os.WriteFile(f.path, []byte(contents), 0o644)) }

func (f *fixture) expect(contents string) {
	f.watch.Expect(f.path, disk.Options{}, sha256.Sum256([]byte(contents)), int64(len(contents)))
}

// reports waits for the next regular check, and reports whether it has found the file to be different.
func (f *fixture) reports() bool {
	select {
	case f.last = <-f.watch.Reports():
		return true
	case <-time.After(2 * time.Minute):
		return false
	}
}
