package history

import (
	"fmt"
	"strings"
	"testing"
)

// A log has at most so many commits, the newest first. What readers have does not change.
func TestLog(t *testing.T) {
	var l Log
	if got := l.Commits(); len(got) != 0 {
		t.Fatalf("an empty log has %d commits", len(got))
	}
	for range 3 {
		l.Add(&Commit{})
	}
	before := l.Commits()
	for range MaxCommits {
		l.Add(&Commit{Output: "text"})
	}
	after := l.Commits()
	if len(after) != MaxCommits || after[0].Number != MaxCommits+3 || after[MaxCommits-1].Number != 4 || l.Number() != MaxCommits+3 {
		t.Errorf("%d commits, from %d to %d", len(after), after[0].Number, after[len(after)-1].Number)
	}
	if len(before) != 3 || before[0].Number != 3 {
		t.Errorf("what a reader has changed: %d commits", len(before))
	}
	bytes := 0
	for _, c := range after {
		bytes += c.size()
	}
	if bytes != l.bytes {
		t.Errorf("counted %d bytes, has %d", l.bytes, bytes)
	}
}

// What nobody can read is not kept in detail; what came before and comes later is.
func TestLogBrief(t *testing.T) {
	var l Log
	long := strings.Repeat("x", 10_000)
	for i := range 3 {
		l.SetBrief(i == 1)
		l.Add(&Commit{Output: long, Error: "why", Files: []File{{Path: "a", Diff: long}}})
	}
	for i, c := range l.Commits() {
		number := uint64(3 - i)
		if brief := number == 2; c.Number != number || c.Shortened != brief || (c.Output == "") != brief || (c.Files[0].Diff == "") != brief || c.Error != "why" {
			t.Errorf("commit %d: %+v", number, c)
		}
	}
	if l.bytes > 45_000 {
		t.Errorf("they take %d bytes", l.bytes)
	}
}

// A log has at most so many bytes: the oldest commits lose their diffs and outputs, and only where that is not enough they are dropped.
func TestLogBytes(t *testing.T) {
	var l Log
	diff := strings.Repeat("x", 64<<10)
	for range MaxCommits {
		l.Add(&Commit{Output: diff, Files: []File{{Path: "a", Diff: diff}}})
	}
	all := l.Commits()
	if len(all) != MaxCommits || l.bytes > MaxBytes {
		t.Fatalf("%d commits of %d bytes", len(all), l.bytes)
	}
	last := all[len(all)-1]
	if all[0].Files[0].Diff != diff || last.Files[0].Diff != "" || last.Files[0].NoDiff != NoDiffDropped || last.Output != "" || !last.Shortened {
		t.Errorf("the newest has lost its diff, or the oldest has not: %+v", last)
	}
	short := 0
	for _, c := range all {
		if c.Shortened {
			short++
		}
	}
	if short != l.short || short == 0 {
		t.Errorf("%d commits are shortened, %d counted", short, l.short)
	}

	files := make([]File, 20_000)
	for i := range files {
		files[i].Path = fmt.Sprintf("/etc/some/folder/%d", i)
	}
	for range 20 {
		l.Add(&Commit{Files: files})
	}
	if all = l.Commits(); l.bytes > MaxBytes || len(all) == 0 || len(all[0].Files) != len(files) {
		t.Errorf("%d commits of %d bytes", len(all), l.bytes)
	}
	huge := &Commit{Error: strings.Repeat("x", MaxBytes+1)}
	if l.Add(huge); len(l.Commits()) != 0 || l.bytes != 0 {
		t.Errorf("after one that is too large: %d commits of %d bytes", len(l.Commits()), l.bytes)
	}
}
