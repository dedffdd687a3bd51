package disk

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// failedFiles makes n files and changes them with a batch that a crash ends before the action. It returns their paths.
func failedFiles(p testPlace, n int) []string {
	p.t.Helper()
	b := NewBatch(nil)
	var files []*File
	var paths []string
	for i := range n {
		name := fmt.Sprintf("f%05d", i)
		paths = append(paths, p.write(name, "old", 0o644))
		f, _, err := b.Stage(p.wants(name, "new"))
		p.must(err)
		files = append(files, f)
	}
	_, _, err := b.Save(files)
	p.must(err)
	for _, f := range files {
		_, err := f.Swap()
		p.must(err)
	}
	return paths
}

// Leftovers of many paths of one crash cost one pass: it was quadratic.
func TestLeftoversOfMany(t *testing.T) {
	const n = 2000
	p := newPlace(t)
	paths := failedFiles(p, n)
	began := time.Now()
	all, err := Recall(paths)
	once := time.Since(began)
	if err != nil || len(all) != n {
		t.Fatalf("%d debts, %v", len(all), err)
	}

	l := new(Leftovers)
	began = time.Now()
	for i, path := range paths {
		debts, err := l.Recall(path)
		if err != nil || len(debts) != 1 || debts[0] != all[i] {
			t.Fatalf("%s: %+v, want %+v, err %v", path, debts, all[i], err)
		}
	}
	took := time.Since(began)
	if most := 20*once + time.Second; took > most {
		t.Errorf("one by one it took %s, all at once %s", took, once)
	}
	t.Logf("%d paths: all at once %s, one by one %s", n, once, took)
}

// Recall of one path removes only what belongs to that path: others may be in use.
func TestLeftoversRemovesOnlyOfThePath(t *testing.T) {
	p := newPlace(t)
	l := new(Leftovers)
	for _, name := range []string{".render-a-1", ".render-a.old", ".render-b-1", ".render-b.old"} {
		p.write(name, "", 0o600)
	}
	for _, step := range []struct {
		path string
		want map[string]string
	}{
		{"c", map[string]string{".render-a-1": "", ".render-a.old": "", ".render-b-1": "", ".render-b.old": ""}},
		{"a", map[string]string{".render-b-1": "", ".render-b.old": ""}},
		{"a", map[string]string{".render-b-1": "", ".render-b.old": ""}},
		{"b", nil},
	} {
		if debts, err := l.Recall(p.path(step.path)); len(debts) > 0 || err != nil {
			t.Errorf("%s: %+v, %v", step.path, debts, err)
		}
		p.want(step.want)
	}
}

// A mark in another format says that the action has to succeed for the file that it is named after, also for Leftovers.
func TestLeftoversOfOldFormat(t *testing.T) {
	for _, name := range []string{"out", strings.Repeat("x", 250)} {
		p := newPlace(t)
		p.write(name, "x", 0o644)
		p.write(markName(name), "an earlier version\n", 0o600)
		want, err := Recall([]string{p.path(name)})
		p.must(err)
		got, err := new(Leftovers).Recall(p.path(name))
		p.must(err)
		if len(got) != 1 || !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		commit(nil, succeeds, got, p.wants(name, "x")).isFine(t)
		p.want(map[string]string{name: "x"})
	}
}

// A destination in a mark of today and in one in another format has one debt, and one mark.
func TestLeftoversOfTwoFormats(t *testing.T) {
	p := newPlace(t)
	failedFiles(p, 1)
	p.must(os.Rename(p.path(markName("f00000")), p.path(markName("e"))))
	p.write(markName("f00000"), "an earlier version\n", 0o600)
	l := new(Leftovers)
	for range 2 {
		debts, err := l.Recall(p.path("f00000"))
		if err != nil || len(debts) != 1 || !debts[0].live || debts[0].Mark != p.path(markName("e")) {
			t.Errorf("got %+v, %v", debts, err)
		}
	}
	p.want(map[string]string{"f00000": "new", ".render-f00000.old": "old", ".render-e.owed": "[f00000]"})
}

// A debt that a commit has paid since the folder was read is none; one whose mark was only written anew still is one.
func TestLeftoversAfterACommit(t *testing.T) {
	p := newPlace(t)
	paths := failedFiles(p, 3)
	l := new(Leftovers)
	first, err := l.Recall(paths[0])
	p.must(err)
	second, err := l.Recall(paths[1])
	p.must(err)
	commit(nil, succeeds, first, p.wants("f00000", "newer")).isFine(t)
	if debts, err := l.Recall(paths[0]); err != nil || len(debts) > 0 {
		t.Errorf("a debt that is paid: %+v, %v", debts, err)
	}
	if debts, err := l.Recall(paths[1]); err != nil || !slices.Equal(debts, second) {
		t.Errorf("got %+v, want %+v, err %v", debts, second, err)
	}
	commit(nil, succeeds, second, p.wants("f00001", "newer")).isFine(t)
	third, err := l.Recall(paths[2])
	p.must(err)
	commit(nil, succeeds, third, p.wants("f00002", "newer")).isFine(t)
	for _, path := range paths {
		if debts, err := l.Recall(path); err != nil || len(debts) > 0 {
			t.Errorf("%s: %+v, %v", path, debts, err)
		}
	}
	p.want(map[string]string{"f00000": "newer", "f00001": "newer", "f00002": "newer"})
}

// Forget has a folder read again, and waits for nobody who reads.
func TestForget(t *testing.T) {
	p := newPlace(t)
	l := new(Leftovers)
	if debts, err := l.Recall(p.path("f00000")); err != nil || len(debts) > 0 {
		t.Fatal(debts, err)
	}
	paths := failedFiles(p, 1)
	unlock := l.lockMarks(p.dir) // somebody writes a mark
	l.Forget()
	found := make(chan []Debt)
	go func() {
		debts, _ := l.Recall(paths[0])
		found <- debts
	}()
	for isReading := false; !isReading; { // it waits for the marks, with the lock of the folder
		left := l.of(p.dir)
		if isReading = !left.mu.TryLock(); !isReading {
			left.mu.Unlock()
		}
	}
	l.Forget()
	unlock()
	if debts := <-found; len(debts) != 1 {
		t.Errorf("got %+v", debts)
	}
}

// Two batches that have entries in one mark, because a reload has split the debts of one crash, change it at the same time: no
// entry vanishes, and none returns.
func TestBatchesOfOneMark(t *testing.T) {
	const n = 12
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	for range rounds {
		p := newPlace(t)
		paths := failedFiles(p, n)
		debts, err := Recall(paths)
		p.must(err)
		l := new(Leftovers)
		var wg sync.WaitGroup
		for i, debt := range debts {
			wg.Go(func() {
				b := NewBatch([]Debt{debt})
				b.Left = l
				contents := "new"
				if i%3 == 1 {
					contents = "newer" // its mark is written anew, by another name
				}
				f, _, err := b.Stage(Want{Path: debt.Path, Contents: []byte(contents)})
				if err == nil {
					_, _, err = b.Save([]*File{f})
				}
				if err == nil {
					_, err = f.Swap()
				}
				if err != nil {
					t.Error(err)
				}
				if i%3 == 2 {
					b.Complete()
				}
				if _, err := l.RecallAll([]string{p.path("other")}); err != nil {
					t.Error(err)
				}
				b.Close()
			})
		}
		wg.Wait()
		left, err := Recall(paths)
		p.must(err)
		var got, want []string
		for _, d := range left {
			got = append(got, d.Path)
		}
		for i, path := range paths {
			if i%3 != 2 {
				want = append(want, path)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("debts of %q, want %q", got, want)
		}
	}
}

// DropSaved removes the saved file that a debt names, and no later one.
func TestDropSaved(t *testing.T) {
	for name, test := range map[string]struct {
		later func(p testPlace)
		stays bool
	}{
		"the same": {func(testPlace) {}, false},
		"of a later commit": {func(p testPlace) {
			p.must(os.Rename(p.write("x", "a later one", 0o644), p.path(".render-f00000.old")))
		}, true},
		"none": {func(p testPlace) { p.must(os.Remove(p.path(".render-f00000.old"))) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			debts, err := Recall(failedFiles(p, 1))
			p.must(err)
			test.later(p)
			DropSaved(debts)
			if _, stays := p.files()[".render-f00000.old"]; stays != test.stays {
				t.Errorf("the folder holds %q", p.files())
			}
			if _, ok := p.files()[".render-f00000.owed"]; !ok {
				t.Error("the mark is gone")
			}
		})
	}
}
