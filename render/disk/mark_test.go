package disk

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/render/disk/folder"
)

// R13: the mark is on disk while the action runs, stays where it fails and nothing was there before, and goes where it
// succeeds, or succeeds for the old file.
func TestR13Mark(t *testing.T) {
	p := newPlace(t)
	isMarked := func() error {
		_, err := os.Stat(p.path(".render-out.owed"))
		return err
	}
	o := commit(nil, fails, nil, p.wants("out", "1"))
	if o.err == nil || len(o.debts) != 1 || o.debts[0].Path != p.path("out") || o.debts[0].Mark != p.path(".render-out.owed") {
		t.Fatalf("err %v, debts %+v", o.err, o.debts)
	}
	p.want(map[string]string{"out": "1", ".render-out.owed": "[out]"})
	if info, _ := p.stat(".render-out.owed"); info.Mode() != 0o600 {
		t.Errorf("mode %o", info.Mode())
	}
	if o = commit(nil, isMarked, o.debts, p.wants("out", "1")); o.err != nil || len(o.debts) > 0 {
		t.Fatalf("err %v, debts %v", o.err, o.debts)
	}
	p.want(map[string]string{"out": "1"})
	if o = commit(nil, isMarked, nil, p.wants("out", "2")); o.err != nil {
		t.Fatalf("no mark while the action ran: %v", o.err)
	}
	p.want(map[string]string{"out": "2"})
	o = commit(nil, fails, nil, p.wants("out", "3"))
	if o.err == nil || len(o.debts) != 1 || !o.files[0].Back() || !o.files[0].Pending() || o.files[0].Live() {
		t.Fatalf("err %v, debts %v", o.err, o.debts)
	}
	p.want(map[string]string{"out": "2", ".render-out.owed": "[out]"}) // it has failed for the old file, too
	if o = commit(nil, isMarked, o.debts, p.wants("out", "2")); o.err != nil || !slices.Equal(o.debts, nil) {
		t.Fatalf("err %v, debts %v", o.err, o.debts)
	}
	if o = commit(nil, p.failsFor("out", "3"), nil, p.wants("out", "3")); o.err == nil || len(o.debts) > 0 {
		t.Fatalf("err %v, debts %v", o.err, o.debts)
	}
	p.want(map[string]string{"out": "2"})
	if o := commit(nil, fails, nil, p.wants("out", "2")); o.err != nil {
		t.Error("the action ran although nothing changed and nothing was pending")
	}
}

// What a mark says is read back, whatever the names are.
func TestMarkFormat(t *testing.T) {
	names := []string{"out", "with blank", "50%", "é", "\xff\n\x01", strings.Repeat("x", 255), `quote"`}
	var entries []entry
	for i, name := range names {
		e := entry{Name: fileName(name), Old: i%2 == 0, New: content{int64(i), sha256.Sum256([]byte(name))}}
		if e.Old {
			e.Saved, e.Earlier = savedID{1 << 63, 2, -3}, content{1, e.New.Sum}
		}
		entries = append(entries, e)
	}
	text, err := formatMark(entries)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseMark(text)
	if err != nil || !slices.Equal(got, entries) {
		t.Errorf("got %+v, %v", got, err)
	}
	if n := strings.Count(string(text), "\n"); n != len(names)+1 || !strings.HasPrefix(string(text), markText) {
		t.Errorf("%d lines:\n%s", n, text)
	}
	for i := range text { // a mark that is cut is none, or names the first few
		if got, err := parseMark(text[:i]); err == nil && !slices.Equal(got, entries[:len(got)]) {
			t.Errorf("cut after %d bytes: %+v", i, got)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "/etc/shadow", "a%2Fb", "a%00", strings.Repeat("x", 256)} {
		got, err := parseMark([]byte(markText + `{"name":"` + name + `","old":true}` + "\n"))
		if err != nil || len(got) > 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// A crash between two steps of bookkeeping leaves nothing that misleads. An old file is only believed while the file in
// place is the one that it was swapped for.
func TestHalfAMark(t *testing.T) {
	const text = "An action has yet to succeed since the file beside this one was changed. render repeats it and then removes this.\n" // of earlier versions
	entryOf := func(p testPlace, name, now string, old bool) string {
		e := entry{Name: fileName(name), Old: old, New: content{int64(len(now)), sha256.Sum256([]byte(now))}}
		if old {
			h, err := folder.Open(p.dir)
			p.must(err)
			defer h.Close()
			is, err := h.StatAt(savedName(name))
			p.must(err)
			e.Saved = savedIDOf(is)
		}
		b, err := formatMark([]entry{e})
		p.must(err)
		return string(b)
	}
	tests := []struct {
		name  string
		saved string // "-" for none
		mark  func(p testPlace) string
		owed  bool
		after string // of the file, after an action that fails for what is new and for what is in place
	}{
		{"a saved file without a mark", "older", nil, false, "place"},
		{"an empty mark", "-", func(testPlace) string { return "" }, true, "place"},
		{"a mark of an earlier version, and a saved file", "older", func(testPlace) string { return text }, true, "place"},
		{"half a mark", "older", func(p testPlace) string { return entryOf(p, "out", "place", true)[:len(markText)+20] }, true, "place"},
		{"a mark without a saved file", "-", func(p testPlace) string {
			p.write(".render-out.old", "older", 0o600)
			defer func() { p.must(os.Remove(p.path(".render-out.old"))) }()
			return entryOf(p, "out", "place", true)
		}, true, "place"},
		{"a mark and a saved file", "older", func(p testPlace) string { return entryOf(p, "out", "place", true) }, true, "older"},
		{"a mark of nothing before", "-", func(p testPlace) string { return entryOf(p, "out", "place", false) }, true, "no file"},
		{"contents of later", "older", func(p testPlace) string { return entryOf(p, "out", "other", true) }, true, "place"},
		{"contents of later, nothing before", "-", func(p testPlace) string { return entryOf(p, "out", "other", false) }, true, "place"},
		{"another saved file", "older", func(p testPlace) string {
			mark := entryOf(p, "out", "place", true)
			p.must(os.Rename(p.write("x", "evil!", 0o644), p.path(".render-out.old")))
			return mark
		}, true, "place"},
		{"a saved file that was changed", "older", func(p testPlace) string {
			mark := entryOf(p, "out", "place", true)
			p.must(os.WriteFile(p.path(".render-out.old"), []byte("longer than that"), 0o600))
			return mark
		}, true, "place"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("out", "place", 0o644)
			if test.saved != "-" {
				p.write(".render-out.old", test.saved, 0o644)
			}
			if test.mark != nil {
				p.write(".render-out.owed", test.mark(p), 0o600)
			}
			debts, err := Recall([]string{p.path("out")})
			if err != nil || (len(debts) == 1) != test.owed {
				t.Fatalf("debts %+v, %v", debts, err)
			}
			if test.after == "place" {
				if _, err := os.Lstat(p.path(".render-out.old")); err == nil {
					t.Error("there is still a saved file")
				}
			}
			runs := 0
			act := func() error {
				if runs++; runs == 1 {
					return errAction
				}
				return nil
			}
			b := NewBatch(debts)
			f, _, err := b.Stage(p.wants("out", "place"))
			p.must(err)
			if f.Changes() || f.Pending() != test.owed || f.Live() != (test.after != "place") || f.Back() != (test.owed && test.after == "place") ||
				f.HadFile() != (test.after != "no file") {
				t.Errorf("changes %v, pending %v, live %v, back %v, had a file %v", f.Changes(), f.Pending(), f.Live(), f.Back(), f.HadFile())
			}
			if f.Pending() && act() != nil {
				p.must(f.Undo(true))
				if f.Live() || !f.Back() || !f.Pending() {
					t.Errorf("live %v, back %v, pending %v", f.Live(), f.Back(), f.Pending())
				}
			}
			b.Complete()
			if debts, warnings := b.Close(); len(debts)+len(warnings) > 0 {
				t.Errorf("debts %v, warnings %v", debts, warnings)
			}
			if test.after == "no file" {
				p.want(map[string]string{})
			} else {
				p.want(map[string]string{"out": test.after})
			}
		})
	}
}

// A saved file of long ago, for a destination that was not configured any more, does not replace what is there now.
func TestOldFileOfLongAgo(t *testing.T) {
	p := newPlace(t)
	p.write("out", "months ago", 0o644)
	b := NewBatch(nil)
	f, _, err := b.Stage(p.wants("out", "1"))
	p.must(err)
	_, _, err = b.Save([]*File{f})
	p.must(err)
	_, err = f.Swap()
	p.must(err) // and then nothing: the target is removed
	p.write("out", "by hand", 0o644)
	debts, err := Recall([]string{p.path("out")})
	p.must(err)
	p.want(map[string]string{"out": "by hand", ".render-out.owed": "[out]"})
	if o := commit(nil, p.failsFor("out", "2"), debts, p.wants("out", "2")); o.err == nil || len(o.debts) > 0 {
		t.Errorf("err %v, debts %v", o.err, o.debts)
	}
	p.want(map[string]string{"out": "by hand"})
}

// What somebody else has put where our own files would be is not believed, not followed, and not waited for.
func TestPlantedMarks(t *testing.T) {
	mustBeRoot(t)
	const mark = markText + `{"name":"out","old":true,"saved":{"inode":INODE,"size":4,"mtime":MTIME},"new":{"size":3,"sha256":"SUM"}}` + "\n"
	for _, uid := range []int{65534, 0} { // the second is believed: the test can fail
		p := newPlace(t)
		p.must(os.Chmod(p.dir, 0o777|os.ModeSticky))
		p.write("out", "old", 0o644)
		p.write(".render-out.old", "evil", 0o644)
		info, saved := p.stat(".render-out.old")
		sum, err := sum(sha256.Sum256([]byte("old"))).MarshalText()
		p.must(err)
		text := strings.NewReplacer("INODE", fmt.Sprint(saved.Ino), "MTIME", fmt.Sprint(info.ModTime().UnixNano()), "SUM", string(sum)).Replace(mark)
		p.write(".render-out.owed", text, 0o600)
		for _, name := range []string{".render-out.owed", ".render-out.old"} {
			p.chown(name, uid, uid)
		}
		debts, err := Recall([]string{p.path("out")})
		p.must(err)
		if (len(debts) == 1) != (uid == 0) {
			t.Fatalf("uid %d: debts %+v", uid, debts)
		}
		if uid == 0 {
			continue
		}
		commit(nil, p.failsFor("out", "new"), debts, p.wants("out", "new"))
		if _, stat := p.stat("out"); p.files()["out"] != "old" || stat.Uid != 0 {
			t.Errorf("it holds %q and belongs to %d", p.files()["out"], stat.Uid)
		}
	}
	t.Run("another name, or writable by others", func(t *testing.T) {
		for _, spoil := range []func(p testPlace){
			func(p testPlace) { p.must(os.Link(p.path(".render-out.owed"), p.path("link"))) },
			func(p testPlace) { p.must(os.Chmod(p.path(".render-out.owed"), 0o620)) },
			func(p testPlace) { p.must(os.Chmod(p.path(".render-out.owed"), 0o602)) },
			func(p testPlace) { p.must(os.Truncate(p.path(".render-out.owed"), maxMark+1)) },
		} {
			p := newPlace(t)
			commit(nil, fails, nil, p.wants("out", "1"))
			spoil(p)
			if debts, err := Recall([]string{p.path("out")}); err != nil || len(debts) > 0 {
				t.Errorf("debts %+v, %v", debts, err)
			}
		}
	})
}

// What is no file of ours is not removed, replaced, followed or waited for. It is an error that says what to do.
func TestOwnFilesInTheWay(t *testing.T) {
	for name, plant := range map[string]func(p testPlace){
		"a link to nothing as a mark": func(p testPlace) { p.must(os.Symlink(p.path("planted"), p.path(".render-out.owed"))) },
		"a link as a mark":            func(p testPlace) { p.must(os.Symlink(p.path("other"), p.path(".render-out.owed"))) },
		"a pipe as a mark":            func(p testPlace) { p.must(syscall.Mkfifo(p.path(".render-out.owed"), 0o600)) },
		"a folder as a mark":          func(p testPlace) { p.must(os.Mkdir(p.path(".render-out.owed"), 0o700)) },
		"a link as the old file":      func(p testPlace) { p.must(os.Symlink(p.path("other"), p.path(".render-out.old"))) },
		"a pipe as the old file":      func(p testPlace) { p.must(syscall.Mkfifo(p.path(".render-out.old"), 0o600)) },
		"a folder as the old one":     func(p testPlace) { p.must(os.MkdirAll(p.path(".render-out.old/full"), 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.write("out", "old", 0o644)
			p.write("other", "other", 0o644)
			plant(p)
			before := p.files()
			for range 2 {
				debts, err := Recall([]string{p.path("out")})
				if err != nil || len(debts) > 0 {
					t.Errorf("debts %v, %v", debts, err)
				}
				o := commit(nil, fails, debts, p.wants("out", "new"))
				wantError(t, o.failed[p.path("out")], "render needs the name "+p.path(".render-out.o"), "\nhint: remove "+p.path(".render-out.o"))
				if _, err := os.Lstat(p.path(".render-out.o") + "wed"); err != nil && strings.Contains(name, "mark") {
					t.Error(err)
				}
			}
			p.want(before)
		})
	}
}

// What is kept of a file survives a second failure, and a third, and new contents meanwhile.
func TestMarkedAgain(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	p.must(os.Link(p.path("out"), p.path("link")))
	var debts []Debt
	for range 3 {
		o := commit(nil, fails, debts, p.wants("out", "new"))
		if debts = o.debts; o.err == nil || len(debts) != 1 {
			t.Fatalf("debts %v, err %v", debts, o.err)
		}
		p.want(map[string]string{"out": "old", "link": "old", ".render-out.owed": "[out]"})
	}
	for _, contents := range []string{"new", "newer", "newest"} { // and then nothing
		b := NewBatch(debts)
		f, _, err := b.Stage(p.wants("out", contents))
		p.must(err)
		_, _, err = b.Save([]*File{f})
		p.must(err)
		_, err = f.Swap()
		p.must(err)
		debts, err = Recall([]string{p.path("out")}) // the next start
		if err != nil || len(debts) != 1 {
			t.Fatalf("debts %v, %v", debts, err)
		}
		p.want(map[string]string{"out": contents, "link": "old", ".render-out.owed": "[out]", ".render-out.old": "old"})
	}
	o := commit(nil, p.failsFor("out", "last"), debts, p.wants("out", "last"))
	if o.err == nil || len(o.debts) > 0 {
		t.Errorf("debts %v, err %v", o.debts, o.err)
	}
	p.want(map[string]string{"out": "old", "link": "old"})
	if p.ino("link") != p.ino("out") {
		t.Error("it is another file with the same contents")
	}
}

// New contents over new contents that are owed: a crash between mark and swap does not lose what to go back to.
func TestKilledBeforeTheSecondSwap(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	stop := func(contents string, debts []Debt, swap bool) {
		b := NewBatch(debts)
		f, _, err := b.Stage(p.wants("out", contents))
		p.must(err)
		_, _, err = b.Save([]*File{f})
		p.must(err)
		if swap {
			_, err = f.Swap()
			p.must(err)
		}
	}
	stop("1", nil, true)
	debts, err := Recall([]string{p.path("out")})
	p.must(err)
	stop("2", debts, false)
	debts, err = Recall([]string{p.path("out")})
	p.must(err)
	o := commit(nil, p.failsFor("out", "1"), debts, p.wants("out", "1"))
	if o.err == nil || len(o.debts) > 0 {
		t.Errorf("err %v, debts %v", o.err, o.debts)
	}
	p.want(map[string]string{"out": "old"})
}

// A file that is back is left alone while its action is repeated.
func TestOwedOnly(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	p.write(".render-out.owed", "", 0o600)
	before := p.ino("out")
	debts, err := Recall([]string{p.path("out")})
	p.must(err)
	o := commit(nil, fails, debts, p.wants("out", "old"))
	if o.err == nil || len(o.debts) != 1 {
		t.Errorf("err %v, debts %v", o.err, o.debts)
	}
	if p.ino("out") != before {
		t.Error("it was written again")
	}
	if o = commit(nil, succeeds, o.debts, Want{Path: p.path("out"), Keep: true}); o.err != nil || len(o.debts) > 0 {
		t.Errorf("err %v, debts %v", o.err, o.debts)
	}
	p.want(map[string]string{"out": "old"})
}

// What an action owed is nobody's business any more when there is no action.
func TestOwedWithoutAction(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	b := NewBatch(nil)
	f, _, err := b.Stage(p.wants("out", "new"))
	p.must(err)
	_, _, err = b.Save([]*File{f})
	p.must(err)
	_, err = f.Swap()
	p.must(err)
	debts, _ := b.Close()
	p.want(map[string]string{"out": "new", ".render-out.old": "old", ".render-out.owed": "[out]"})
	commit(nil, nil, debts, p.wants("out", "new")).isFine(t)
	p.want(map[string]string{"out": "new"})
}

// Debts that nothing is staged for go when the action succeeds, also where the folder is gone.
func TestDebtsWithoutStage(t *testing.T) {
	p := newPlace(t)
	for _, dir := range []string{"a", "b"} {
		p.must(os.Mkdir(p.path(dir), 0o755))
		p.write(dir+"/out", "old", 0o644)
	}
	b := NewBatch(nil)
	var files []*File
	for _, dir := range []string{"a", "b"} {
		f, _, err := b.Stage(p.wants(dir+"/out", "new"))
		p.must(err)
		files = append(files, f)
	}
	_, _, err := b.Save(files)
	p.must(err)
	for _, f := range files {
		_, err := f.Swap()
		p.must(err)
	}
	debts, _ := b.Close()
	p.must(os.RemoveAll(p.path("b")))
	again := NewBatch(debts)
	if left, warnings := again.Close(); !slices.Equal(left, debts) || len(warnings) > 0 {
		t.Errorf("debts %v, want %v, warnings %v", left, debts, warnings)
	}
	if warnings := again.Complete(); len(warnings) > 0 {
		t.Errorf("warnings %v", warnings)
	}
	if left, warnings := again.Close(); len(left)+len(warnings) > 0 {
		t.Errorf("debts %v, warnings %v", left, warnings)
	}
	p.want(map[string]string{"a/out": "new"})
}

// What other batches have in a mark stays there, whatever this one does.
func TestEntriesOfOthers(t *testing.T) {
	p := newPlace(t)
	o := commit(nil, fails, nil, p.wants("a", "1"), p.wants("b", "1"))
	mine := slices.DeleteFunc(slices.Clone(o.debts), func(d Debt) bool { return d.Path == p.path("b") })
	theirs := slices.DeleteFunc(slices.Clone(o.debts), func(d Debt) bool { return d.Path == p.path("a") })
	o = commit(nil, succeeds, mine, p.wants("a", "2"))
	o.isFine(t)
	p.want(map[string]string{"a": "2", "b": "1", ".render-a.owed": "[b]"})
	o = commit(nil, fails, nil, p.wants("a", "3"), p.wants("c", "1"))
	p.want(map[string]string{"a": "2", "b": "1", ".render-a.owed": "[a b c]"})
	commit(nil, succeeds, o.debts, p.wants("a", "3"), p.wants("c", "2")).isFine(t)
	p.want(map[string]string{"a": "3", "b": "1", "c": "2", ".render-a.owed": "[b]"})
	commit(nil, succeeds, theirs, p.wants("b", "2")).isFine(t)
	p.want(map[string]string{"a": "3", "b": "2", "c": "2"})
}

// Recall returns whole marks, removes what nobody needs, and leaves alone what is not ours.
func TestRecall(t *testing.T) {
	p := newPlace(t)
	o := commit(nil, fails, nil, p.wants("a", "1"), p.wants("b", "1"))
	if len(o.debts) != 2 {
		t.Fatal(o.debts)
	}
	commit(nil, fails, nil, p.wants("other", "1"))
	p.must(os.Symlink("b", p.path("link")))
	kept := []string{".render-x-123", ".render-b-x-123", ".render-b-12a", "render-b-123", ".render-b-", ".render-x.old", ".render-b-1.old", ".render-", "-1"}
	for _, name := range append(kept, ".render-b-123", ".render-b-9", ".render-b.old", ".render-b.bak") {
		p.write(name, "", 0o600)
	}
	p.must(os.Mkdir(p.path(".render-b-5"), 0o755))
	debts, err := Recall([]string{p.path("link"), p.path("no/such/folder/x"), p.path("link")})
	p.must(err)
	if len(debts) != 2 || debts[0].Path != p.path("a") || debts[1].Path != p.path("link") || debts[0].Mark != p.path(".render-a.owed") || debts[1].Mark != debts[0].Mark {
		t.Errorf("debts %+v", debts)
	}
	want := map[string]string{"a": "1", "b": "1", "link": "-> b", "other": "1", ".render-a.owed": "[a b]", ".render-other.owed": "[other]"}
	for _, name := range kept {
		want[name] = ""
	}
	p.want(want)
	o = commit(nil, succeeds, debts, p.wants("a", "1"), p.wants("link", "1"))
	if o.err != nil || len(o.debts) > 0 {
		t.Errorf("debts %v, err %v", o.debts, o.err)
	}
	delete(want, ".render-a.owed")
	p.want(want)
}

// A crash between two marks that have the same destination leaves one of them after the next start.
func TestRecallOfTwoMarks(t *testing.T) {
	for _, which := range []string{".render-a.owed", ".render-b.owed"} {
		p := newPlace(t)
		b := NewBatch(nil)
		f, _, err := b.Stage(p.wants("b", "new"))
		p.must(err)
		_, _, err = b.Save([]*File{f})
		p.must(err)
		_, err = f.Swap()
		p.must(err)
		live, err := os.ReadFile(p.path(".render-b.owed"))
		p.must(err)
		for _, name := range []string{"a", "b"} {
			text := markText + `{"name":"b","old":true}` + "\n" + `{"name":"` + name + `x","old":true}` + "\n"
			if markName(name) == which {
				text = string(live)
			}
			p.write(markName(name), text, 0o600)
		}
		debts, err := Recall([]string{p.path("b")})
		p.must(err)
		n := 0
		for _, d := range debts {
			if d.Path == p.path("b") {
				n++
				if d.Mark != p.path(which) || !d.live {
					t.Errorf("%+v", d)
				}
			}
		}
		if n != 1 {
			t.Errorf("%+v", debts)
		}
		commit(nil, succeeds, debts, p.wants("b", "new"))
		if left, _ := filepath.Glob(p.path(".render-*")); len(left) > 0 {
			t.Errorf("left: %v, debts %+v", left, debts)
		}
	}
}

// Ten thousand marks, destinations and remains take no time to speak of: it was quadratic.
func TestRecallOfMany(t *testing.T) {
	const n = 10000
	p := newPlace(t)
	var paths []string
	for i := range n {
		name := fmt.Sprintf("out-%d", i)
		paths = append(paths, p.path(name))
		p.must(os.WriteFile(p.path(markName(name)), nil, 0o600))
		p.must(os.WriteFile(p.path(hidden(name)+"-1"), nil, 0o600))
	}
	began := time.Now()
	debts, err := Recall(paths)
	if took := time.Since(began); err != nil || len(debts) != n || took > 5*time.Second {
		t.Errorf("%d debts, %v, took %s", len(debts), err, took)
	}
	t.Logf("%d marks: %s", n, time.Since(began))
}

// A destination that takes part only because of a debt goes back when the action fails, and stays when it succeeds.
func TestKeep(t *testing.T) {
	for _, act := range []func(p testPlace) func() error{
		func(p testPlace) func() error { return p.failsFor("out", "new") },
		func(p testPlace) func() error { return succeeds },
	} {
		p := newPlace(t)
		p.write("out", "old", 0o644)
		b := NewBatch(nil)
		f, _, err := b.Stage(p.wants("out", "new"))
		p.must(err)
		_, _, err = b.Save([]*File{f})
		p.must(err)
		_, err = f.Swap()
		p.must(err)
		debts, _ := b.Close()
		o := commit(nil, act(p), debts, Want{Path: p.path("out"), Keep: true}, p.wants("other", "x"))
		if o.err != nil {
			p.want(map[string]string{"out": "old"})
		} else {
			p.want(map[string]string{"out": "new", "other": "x"})
		}
		if len(o.debts) > 0 || len(o.failed) > 0 {
			t.Errorf("debts %v, failed %v", o.debts, o.failed)
		}
	}
}

// What has to succeed for a destination is known also where it cannot be staged.
func TestOwedOfWhatCannotBeStaged(t *testing.T) {
	for name, spoil := range map[string]func(p testPlace, w *Want){
		"an unknown user": func(p testPlace, w *Want) { w.Options.User = "nobody-of-this-name" },
		"a slash":         func(p testPlace, w *Want) { w.Path += "/" },
		"a folder in the way": func(p testPlace, w *Want) {
			p.must(os.Remove(p.path("out")))
			p.must(os.Mkdir(p.path("out"), 0o755))
		},
		"links in a circle": func(p testPlace, w *Want) {
			p.must(os.Remove(p.path("out")))
			p.must(os.Symlink("out", p.path("out")))
		},
		"a link to another file": func(p testPlace, w *Want) {
			p.must(os.Remove(p.path("out")))
			p.must(os.Symlink("elsewhere", p.path("out")))
			w.Contents = nil
			p.write("elsewhere", "", 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			o := commit(nil, fails, nil, p.wants("out", "new"))
			w := p.wants("out", "new")
			spoil(p, &w)
			if o.debts[0].Path = w.Path; len(o.debts) != 1 {
				t.Fatal(o.debts)
			}
			b := NewBatch(o.debts)
			f, _, err := b.Stage(w)
			if !f.Pending() || (err == nil) != (name == "a link to another file") || f.Changes() || f.Live() {
				t.Errorf("pending %v, changes %v, live %v, err %v", f.Pending(), f.Changes(), f.Live(), err)
			}
			f.Discard()
			if err := f.Undo(true); err != nil {
				t.Error(err)
			}
			b.Complete()
			if debts, warnings := b.Close(); len(debts)+len(warnings) > 0 {
				t.Errorf("debts %v, warnings %v", debts, warnings)
			}
			if left, _ := filepath.Glob(p.path(".render-*")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// Many goroutines stage at once, into few and many folders, with debts.
func TestStageAtOnce(t *testing.T) {
	p := newPlace(t)
	var wants []Want
	for i := range 100 {
		wants = append(wants, p.wants(fmt.Sprintf("%d/%d/out", i%3, i%30), "old"))
		wants[i].Path += fmt.Sprint(i)
	}
	debts := commit(nil, fails, nil, wants...).debts
	for range 3 {
		b := NewBatch(debts)
		files := make([]*File, len(wants))
		errs := make(chan error)
		for i := range wants {
			go func() {
				w := wants[i]
				if i%2 == 0 {
					w.Contents = []byte("new")
				}
				f, _, err := b.Stage(w)
				files[i] = f
				errs <- err
			}()
		}
		for range wants {
			p.must(<-errs)
		}
		if failed, _, err := b.Save(files); err != nil || len(failed) > 0 {
			t.Fatal(err, failed)
		}
		for i, f := range files {
			if f.Changes() != (i%2 == 0) || !f.Pending() {
				t.Errorf("%s: changes %v, pending %v", f.Path(), f.Changes(), f.Pending())
			}
			p.must(f.GiveUp())
		}
		debts, _ = b.Close()
		if len(debts) != len(wants) {
			t.Errorf("%d debts", len(debts))
		}
	}
	commit(nil, succeeds, debts, wants...).isFine(t)
	if n := len(p.files()); n != len(wants) {
		t.Errorf("%d files", n)
	}
}
