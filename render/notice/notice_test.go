package notice

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestCalls touches paths on a clock that starts at 0 and looks at when the calls come.
func TestCalls(t *testing.T) {
	type touch struct {
		at   time.Duration
		path string
	}
	type call struct {
		at    time.Duration
		paths string
	}
	const s = time.Second
	for name, tt := range map[string]struct {
		touches []touch
		calls   []call
	}{
		"none":             {nil, nil},
		"one":              {[]touch{{1 * s, "a"}}, []call{{3 * s, "a"}}},
		"a row":            {[]touch{{1 * s, "a"}, {2 * s, "b"}, {2 * s, "a"}}, []call{{4 * s, "ab"}}},
		"two rows":         {[]touch{{1 * s, "a"}, {5 * s, "b"}}, []call{{3 * s, "a"}, {7 * s, "b"}}},
		"a row for long":   {[]touch{{1 * s, "a"}, {2500 * time.Millisecond, "b"}, {4 * s, "c"}, {5 * s, "d"}}, []call{{6 * s, "abcd"}}},
		"no path":          {[]touch{{1 * s, ""}}, []call{{3 * s, ""}}},
		"the regular ones": {[]touch{{1 * s, "a"}, {62 * s, ""}}, []call{{3 * s, "a"}, {60 * s, "all"}, {64 * s, ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(nil, 2*s, 5*s, func(string) bool { return true })
				ctx, cancel := context.WithCancel(t.Context())
				start := time.Now()
				var calls []call
				w.Start(ctx, func(changed map[string]bool) {
					paths := "all"
					if changed != nil {
						paths = ""
						for _, path := range slices.Sorted(maps.Keys(changed)) {
							paths += path
						}
					}
					calls = append(calls, call{time.Since(start), paths})
				})
				for _, touch := range tt.touches {
					time.Sleep(touch.at - time.Since(start))
					w.Touch(touch.path)
				}
				time.Sleep(10 * s)
				cancel()
				w.Wait()
				if !slices.Equal(calls, tt.calls) {
					t.Errorf("called at %v, want %v", calls, tt.calls)
				}
			})
		})
	}
}

// Changes in folders that are watched lead to calls; those in other folders, and those that concern nobody, do not.
func TestFolders(t *testing.T) {
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, folder := range []string{"in", "removed", "dropped"} {
		if err := os.Mkdir(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w := New(notifier, time.Millisecond, time.Second, func(path string) bool { return filepath.Base(path) != "other" })
	ctx, cancel := context.WithCancel(t.Context())
	defer w.Wait()
	defer cancel()
	seen := make(chan string, 100)
	w.Start(ctx, func(changed map[string]bool) {
		for path := range changed {
			seen <- path
		}
	})
	in := filepath.Join(root, "in")
	for _, folder := range []string{in, in, filepath.Join(root, "removed"), filepath.Join(root, "dropped"), filepath.Join(root, "none")} {
		w.Add(folder)
	}
	w.Remove(filepath.Join(root, "removed"))
	w.Keep(map[string]bool{in: true})
	for _, path := range []string{"removed/a", "dropped/a", "in/other", "in/a"} { // the last one is reported last
		if err := os.WriteFile(filepath.Join(root, path), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case path := <-seen:
		if path != filepath.Join(in, "a") {
			t.Errorf("%s has changed", path)
		}
	case <-time.After(10 * time.Second):
		t.Error("no call")
	}
}
