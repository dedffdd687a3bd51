package watch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A hang makes all accesses of the path of its file wait until end.
type hang struct {
	path   string
	inside atomic.Int32
	begun  chan struct{}
	ended  chan struct{}
	end    func()
}

func newHang(f *Files, path string) *hang {
	h := &hang{path: path, begun: make(chan struct{}), ended: make(chan struct{})}
	h.end = sync.OnceFunc(func() { close(h.ended) })
	begin := sync.OnceFunc(func() { close(h.begun) })
	f.beforeAccess = func(path string) {
		if path == h.path {
			h.inside.Add(1)
			begin()
			<-h.ended
			h.inside.Add(-1)
		}
	}
	return h
}

// filesOfTest returns a source that watches no folders: enough for reads that wait for nothing.
func filesOfTest() *Files {
	return &Files{slots: make(chan struct{}, maxAccesses), files: make(map[place]*file)}
}

func fileQuery(path string) Query { return NewQuery(KindFile, path, nil) }

func putFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// within fails the test where a channel is not ready in time.
func within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal(what)
	}
}

// A file system that hangs holds nobody who has given up, and one goroutine, however many ask. Another file is read.
func TestHungFile(t *testing.T) {
	dir := t.TempDir()
	putFile(t, dir+"/hung", "late")
	putFile(t, dir+"/other", "other")
	for _, after := range []uint64{0, 1} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			files, err := NewFiles()
			if err != nil {
				t.Fatal(err)
			}
			defer files.Close()
			h := newHang(files, dir+"/hung")
			defer h.end()

			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					if _, _, err := files.Fetch(ctx, fileQuery(h.path), after); !errors.Is(err, context.Canceled) {
						t.Errorf("got %v", err)
					}
				})
			}
			within(t, h.begun, "nobody accesses the file")
			if value, _, err := files.Fetch(t.Context(), fileQuery(dir+"/other"), 0); value != "other" || err != nil {
				t.Errorf("the other file: %v, %v", value, err)
			}
			cancel()
			ended := make(chan struct{})
			go func() { all.Wait(); close(ended) }()
			within(t, ended, "Fetch does not return")

			given, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if _, _, err := files.Fetch(given, fileQuery(h.path), after); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("while it hangs: %v", err)
			}
			if n := h.inside.Load(); n != 1 {
				t.Errorf("%d goroutines hang", n)
			}

			h.end()
			if value, _, err := files.Fetch(t.Context(), fileQuery(h.path), 0); value != "late" || err != nil {
				t.Errorf("when it answers again: %v, %v", value, err)
			}
		})
	}
}

// R12: a set ends, and its other queries have answers, while a file system hangs.
func TestSetWithHungFile(t *testing.T) {
	dir := t.TempDir()
	putFile(t, dir+"/hung", "late")
	putFile(t, dir+"/other", "other")
	files, err := NewFiles()
	if err != nil {
		t.Fatal(err)
	}
	h := newHang(files, dir+"/hung")
	defer h.end()
	set := NewSet(files, SetConfig{})
	set.Watch(fileQuery(h.path))
	set.Watch(fileQuery(dir + "/other"))

	ready := make(chan struct{})
	go func() { <-set.Ready(); close(ready) }()
	within(t, ready, "no answer")
	if states := set.Take(); states[fileQuery(dir+"/other")].Value != "other" {
		t.Errorf("got %+v", states)
	}
	closed := make(chan struct{})
	go func() { set.Close(); files.Close(); close(closed) }()
	within(t, closed, "the set does not end")
}

// A file system that hangs is an error after a while, for those who read and for those who wait for them; a queue is none.
func TestHungFileIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hung")
	putFile(t, path, "late")
	synctest.Test(t, func(t *testing.T) {
		files := filesOfTest()
		h := newHang(files, path)
		defer h.end()

		began := time.Now()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				_, _, err := files.Fetch(t.Context(), fileQuery(path), 0)
				if want := "read " + path + ": the file system did not respond within 30s"; err == nil || err.Error() != want {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took != accessLimit {
					t.Errorf("it took %s", took)
				}
			})
		}
		all.Wait()

		time.Sleep(time.Hour)
		again := time.Now()
		if _, _, err := files.Fetch(t.Context(), fileQuery(path), 0); err == nil || time.Since(again) != accessLimit {
			t.Errorf("an hour later: %v after %s", err, time.Since(again))
		}
		if n := h.inside.Load(); n != 1 {
			t.Errorf("%d goroutines hang", n)
		}
	})
}

// Ten thousand queries of one fixture read its file one after another. However long that takes, each read counts alone.
func TestQueueIsNoHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	putFile(t, path, "text")
	synctest.Test(t, func(t *testing.T) {
		files := filesOfTest()
		files.beforeAccess = func(string) { time.Sleep(time.Second) }
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if value, index, err := files.Fetch(t.Context(), fileQuery(path), 0); value != "text" || index != 1 || err != nil {
					t.Errorf("got %v, %d, %v", value, index, err)
				}
			})
		}
		all.Wait()
	})
}

// Where more files hang than may have a thread, the next one is an error, and has taken nothing.
func TestTooManyHungFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	putFile(t, path, "text")
	synctest.Test(t, func(t *testing.T) {
		files := filesOfTest()
		for range maxAccesses {
			files.slots <- struct{}{}
		}
		given, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := files.Fetch(given, fileQuery(path), 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		_, _, err := files.Fetch(t.Context(), fileQuery(path), 0)
		if want := "read " + path + ": the file systems of 1000 other files do not respond"; err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
		<-files.slots
		if value, _, err := files.Fetch(t.Context(), fileQuery(path), 0); value != "text" || err != nil {
			t.Errorf("got %v, %v", value, err)
		}
	})
}

// What is not a regular file of a bearable size is an error at once, inside of a sandbox as well as without one.
func TestFilesThatAreNotRead(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	putFile(t, dir+"/large", "")
	if err := os.Truncate(dir+"/large", 8<<40); err != nil {
		t.Logf("no file of 8 TiB: %v", err)
		if err := os.Truncate(dir+"/large", maxFile+1); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ path, sandbox, want string }{
		{dir + "/pipe", "", dir + "/pipe is not a regular file"},
		{dir + "/pipe", dir, dir + "/pipe is not a regular file"},
		{dir, "", dir + " is not a regular file"},
		{"/dev/zero", "", "/dev/zero is not a regular file"},
		{dir + "/large", "", "read " + dir + "/large: the file has more than 256 MiB"},
		{dir + "/large", dir, "read " + dir + "/large: the file has more than 256 MiB"},
	} {
		r := filesOfTest().read(t.Context(), &file{at: place{c.path, c.sandbox}, access: make(chan struct{}, 1)})
		if r.err == nil || r.err.Error() != c.want {
			t.Errorf("%s in %q: got %v", c.path, c.sandbox, r.err)
		}
	}
}

// A pipe that comes in the place of a file, between the check and the read, does not hold the reader.
func TestOpenDoesNotWaitForPipes(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, sandbox := range []string{"", dir} {
		opened := make(chan struct{})
		go func() {
			defer close(opened)
			f, err := place{dir + "/pipe", sandbox}.open()
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			f.Close()
		}()
		within(t, opened, "open waits for a writer")
	}
}

// A file can be larger than it says: it grows, or lies below /proc.
func TestReadText(t *testing.T) {
	const text = "0123456789"
	for _, c := range []struct{ size, limit int64 }{{0, 100}, {10, 100}, {100, 100}, {3, 11}, {0, 10}, {0, 4}, {0, 0}} {
		want := text[:min(c.limit, int64(len(text)))]
		got, sum, err := readText(strings.NewReader(text), c.size, c.limit)
		if got != want || sum != sha256.Sum256([]byte(want)) || err != nil {
			t.Errorf("size %d, limit %d: got %q, %v", c.size, c.limit, got, err)
		}
	}
	if got, _, found, err := (place{path: "/proc/self/status"}).contents(); err == nil && (got == "" || !found) {
		t.Error("a file below /proc is empty")
	}
}

// A file that is forgotten is known no more, once its access has ended; one that is asked for again meanwhile is.
func TestFilesForget(t *testing.T) {
	dir := t.TempDir()
	for _, again := range []bool{false, true} {
		for _, hung := range []bool{false, true} {
			t.Run(fmt.Sprintf("again %v, hung %v", again, hung), func(t *testing.T) {
				path := fmt.Sprintf("%s/%v-%v", dir, again, hung)
				putFile(t, path, "text")
				synctest.Test(t, func(t *testing.T) {
					files := filesOfTest()
					h := newHang(files, path)
					if !hung {
						h.end()
					}
					given, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_, _, _ = files.Fetch(given, fileQuery(path), 0)
					files.Forget(fileQuery(path))
					files.Forget(fileQuery(path))
					files.Forget(fileQuery(dir + "/other"))
					files.Forget(NewQuery(KindKV, path, nil))
					if (len(files.files) == 1) != hung {
						t.Errorf("%d files are known after Forget", len(files.files))
					}
					if again {
						given, cancel := context.WithTimeout(t.Context(), time.Second)
						defer cancel()
						_, _, _ = files.Fetch(given, fileQuery(path), 0)
					}
					h.end()
					synctest.Wait()
					if known := len(files.files) == 1; known != again {
						t.Errorf("%d files are known in the end", len(files.files))
					}
				})
			})
		}
	}
}

// Many sets that come and go leave nothing behind.
func TestFilesOfManySets(t *testing.T) {
	files, err := NewFiles()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	dir := t.TempDir()
	set := NewSet(files, SetConfig{})
	for i := range 100 {
		q := fileQuery(fmt.Sprint(dir, "/", i))
		set.Watch(q)
		if i%2 == 0 {
			<-set.Ready()
		}
		set.Forget(q)
	}
	set.Close()
	if len(files.files) != 0 || len(files.waiting) != 0 {
		t.Errorf("%d files and %d folders are left", len(files.files), len(files.waiting))
	}
}

// Who waits for a file is woken by what happens to that file, or by what happens beside it where there are links.
func TestEventsOfFiles(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, dir+"/plain", "text")
	for _, name := range []string{"link", "dangling"} {
		if err := os.Symlink(map[string]string{"link": "plain", "dangling": "none"}[name], dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		any  bool
	}{{"plain", false}, {"link", true}, {"dangling", true}, {"missing", true}} {
		files, err := NewFiles()
		if err != nil {
			t.Fatal(err)
		}
		events, stop, err := files.listen(t.Context(), &file{at: place{path: dir + "/" + c.name}, access: make(chan struct{}, 1)})
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range []struct {
			dir, name string
			want      bool
		}{{dir, c.name, true}, {dir, "other", c.any}, {dir + "/other", c.name, false}, {"", "", true}} {
			files.notify(event.dir, event.name)
			if got := len(events) > 0; got != event.want {
				t.Errorf("%s is woken by %q in %q: %v", c.name, event.name, event.dir, got)
			}
			for len(events) > 0 {
				<-events
			}
		}
		stop()
		files.Close()
	}
}
