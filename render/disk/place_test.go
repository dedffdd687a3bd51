package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"render/watch/hint"
)

// place is a folder with helpers that end the test on errors.
type testPlace struct {
	t   *testing.T
	dir string
}

func newPlace(t *testing.T) testPlace {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return testPlace{t, dir}
}

func (p testPlace) path(name string) string { return p.dir + "/" + name }

func (p testPlace) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p testPlace) write(name, text string, mode fs.FileMode) string {
	p.t.Helper()
	p.must(os.WriteFile(p.path(name), []byte(text), 0o600))
	p.must(os.Chmod(p.path(name), mode))
	return p.path(name)
}

func (p testPlace) chown(name string, uid, gid int) {
	p.t.Helper()
	p.must(os.Lchown(p.path(name), uid, gid))
}

// files returns what is in the folder: names with their contents, links with where they lead.
func (p testPlace) files() map[string]string {
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

// want compares what is in the folder. A mark is as wanted if it is one and names exactly the files in "[]".
func (p testPlace) want(want map[string]string) {
	p.t.Helper()
	got := p.files()
	for name, text := range got {
		if strings.HasSuffix(name, markEnd) {
			if entries, err := parseMark([]byte(text)); err == nil {
				got[name] = "["
				for _, e := range entries {
					got[name] += string(e.Name) + " "
				}
				got[name] = strings.TrimSuffix(got[name], " ") + "]"
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Errorf("the folder holds %q, want %q", got, want)
	}
}

func (p testPlace) stat(name string) (fs.FileInfo, *syscall.Stat_t) {
	p.t.Helper()
	info, err := os.Lstat(p.path(name))
	p.must(err)
	return info, info.Sys().(*syscall.Stat_t)
}

func (p testPlace) ino(name string) uint64 {
	_, stat := p.stat(name)
	return stat.Ino
}

// wants returns contents for a destination.
func (p testPlace) wants(name, contents string) Want {
	return Want{Path: p.path(name), Contents: []byte(contents)}
}

// An outcome is what has become of a batch.
type outcome struct {
	batch    *Batch
	files    []*File
	failed   map[string]error
	warnings []string
	debts    []Debt
	err      error // of the action
}

var errAction = errors.New("the action has failed")

func succeeds() error { return nil }
func fails() error    { return errAction }

// failsFor returns an action that fails while a file holds some contents.
func (p testPlace) failsFor(name, contents string) func() error {
	return func() error {
		if b, _ := os.ReadFile(p.path(name)); string(b) == contents {
			return errAction
		}
		return nil
	}
}

// commit stages, saves, swaps and acts, as a commit of an action does. Where act is nil there is no action. An action that
// fails is repeated for the old files.
func commit(step func(string), act func() error, debts []Debt, wants ...Want) *outcome {
	b := NewBatch(debts)
	b.Step = step
	o := &outcome{batch: b, failed: make(map[string]error)}
	for _, w := range wants {
		f, warnings, err := b.Stage(w)
		o.warnings = append(o.warnings, warnings...)
		if err != nil {
			o.failed[w.Path] = err
			f.Discard()
		}
		o.files = append(o.files, f)
	}
	b.step("staged")

	if act != nil {
		failed, warnings, err := b.Save(o.files)
		o.warnings = append(o.warnings, warnings...)
		for f, err := range failed {
			o.failed[f.Path()] = errors.Join(err, f.GiveUp())
		}
		if o.err = err; err != nil {
			return o
		}
	}
	owed := false
	for _, f := range o.files {
		if act == nil {
			if err := f.BackUp(); err != nil {
				o.warnings = append(o.warnings, fmt.Sprintf("%s has no backup: %v", f.Path(), err))
			}
		}
		warnings, err := f.Swap()
		o.warnings = append(o.warnings, warnings...)
		if err != nil {
			o.failed[f.Path()] = errors.Join(err, f.GiveUp())
		}
		owed = owed || f.Pending() || f.Swapped()
	}
	b.step("swapped")

	o.act(act, owed)
	debts, warnings := b.Close()
	o.debts, o.warnings = debts, append(o.warnings, warnings...)
	return o
}

func (o *outcome) act(act func() error, owed bool) {
	if act == nil {
		o.warnings = append(o.warnings, o.batch.Complete()...)
		return
	}
	if !owed {
		return
	}
	o.err = act()
	o.batch.step("acted")
	if o.err == nil {
		o.warnings = append(o.warnings, o.batch.Complete()...)
		return
	}
	old := false
	for _, f := range o.files {
		old = old || f.Live() && f.HadFile()
	}
	if !old {
		return
	}
	for _, f := range o.files {
		if err := f.Undo(true); err != nil {
			o.err = errors.Join(o.err, err)
			return
		}
	}
	o.batch.step("undone")
	if act() == nil {
		o.warnings = append(o.warnings, o.batch.Complete()...)
	}
}

func (o *outcome) swapped() int {
	n := 0
	for _, f := range o.files {
		if f.Swapped() {
			n++
		}
	}
	return n
}

// isFine ends the test where anything has failed.
func (o *outcome) isFine(t *testing.T) {
	t.Helper()
	if o.err != nil || len(o.failed) > 0 || len(o.warnings) > 0 || len(o.debts) > 0 {
		t.Fatalf("err %v, failed %v, warnings %q, debts %+v", o.err, o.failed, o.warnings, o.debts)
	}
}

func mustBeRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to others")
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(hint.Text(err), part) {
			t.Errorf("got %v, want %q", err, part)
		}
	}
}
