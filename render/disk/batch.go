package disk

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"render/render/disk/folder"

	"golang.org/x/sys/unix"
)

// A Debt says that an action has not succeeded yet since a destination was changed, by an earlier commit or an earlier run. It is
// a value, and can be compared; on disk it is an entry of the intent mark of its folder.
type Debt struct {
	Path string // as Want.Path; whoever has the Debt may replace it by another path of the same file
	Mark string // path of the intent mark that names it, "" for none: debts of one mark came from one commit

	at         place
	entry      entry
	live       bool // new contents were in place
	unmarkable bool // no mark can name it
}

// A place is where a destination really is.
type place struct{ folder, name string }

// An obligation is why an action has to succeed for a destination, apart from what this batch swaps.
type obligation int

const (
	nothing obligation = iota
	forNew             // new contents of an earlier commit are in place
	forOld             // the old contents are in place again, or those of somebody else
)

// A record is what a batch knows about one destination, however often it is staged.
type record struct {
	place
	path  string
	debt  obligation
	entry entry   // of the mark, where there is a debt
	now   content // in place, where that is for new contents
	file  *File   // the last that was staged; nil for none

	unmarkable bool // no mark can name it: the folder cannot be written
}

// A folderState is what a batch knows about one folder.
type folderState struct {
	folder  string
	found   *folder.Folder             // where Stage has found it; nil where nothing was staged
	records map[string]*record         // by name
	marks   map[string]map[string]bool // on disk: the names in each mark, by the name of the mark
	after   string                     // on disk: the mark that decides for those that this batch has written; "" means that they do
	dirty   bool                       // names were changed since it was synced
}

// A Batch is the destinations of one commit with its intent marks, at most one a folder. Stage may be called by several
// goroutines at once; everything else by one. No descriptor stays open between two calls.
type Batch struct {
	Step   func(string) // reports each step to tests; may be nil
	NoUndo bool         // what was swapped is never undone: no old file gets a second name without an action
	Left   *Leftovers   // of all batches of the process: no two of them change a mark at one time; nil where there is only this one

	Syncs *Syncs // of all batches of the process; nil where there is only this one

	mu      sync.Mutex // guards the maps; once Stage is not called any more nobody needs it
	folders map[string]*folderState
	debts   map[string]*record // by Debt.Path
	owners  map[[2]string]owner

	first    string   // path of the first mark that this batch has written: it decides for those in other folders
	warnings []string // of undone files, until Close
}

// NewBatch returns a batch of an action with these debts. Stage finds the one of its path itself, by where the path really
// leads. A debt for which nothing is staged stays one until Complete.
func NewBatch(debts []Debt) *Batch {
	b := &Batch{folders: make(map[string]*folderState), debts: make(map[string]*record), owners: make(map[[2]string]owner)}
	for _, debt := range debts {
		if debt.at.name == "" { // not one of ours
			continue
		}
		l := b.state(debt.at.folder)
		r := &record{place: debt.at, path: debt.Path, debt: forOld, entry: debt.entry, unmarkable: debt.unmarkable}
		if debt.live {
			r.debt = forNew
		}
		l.records[debt.at.name] = r
		b.debts[debt.Path] = r
		if debt.Mark != "" && filepath.Dir(debt.Mark) == debt.at.folder {
			mark := filepath.Base(debt.Mark)
			if l.marks[mark] == nil {
				l.marks[mark] = make(map[string]bool)
			}
			l.marks[mark][debt.at.name] = true
		}
	}
	return b
}

func (b *Batch) step(name string) {
	if b.Step != nil {
		b.Step(name)
	}
}

// state returns what the batch knows about a folder.
func (b *Batch) state(folder string) *folderState {
	l := b.folders[folder]
	if l == nil {
		l = &folderState{folder: folder, records: make(map[string]*record), marks: make(map[string]map[string]bool)}
		b.folders[folder] = l
	}
	return l
}

// debtOf returns the debt of a path as it is configured; nil for none.
func (b *Batch) debtOf(path string) *record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.debts[path]
}

// owner returns the IDs of options. They are looked up once a batch: a directory service may be slow.
func (b *Batch) owner(o Options) (owner, error) {
	key := [2]string{o.User, o.Group}
	b.mu.Lock()
	ids, ok := b.owners[key]
	b.mu.Unlock()
	if ok {
		return ids, nil
	}
	ids, err := o.owner()
	if err == nil {
		b.mu.Lock()
		b.owners[key] = ids
		b.mu.Unlock()
	}
	return ids, err
}

// register notes that a file has a destination. It returns what a mark says of new contents in place; nil for nothing. A
// destination that is kept because of a debt gives way to one with contents.
func (b *Batch) register(f *File, found *folder.Folder, name string) (debt *entry, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.state(found.Path)
	l.found = found
	r := l.records[name]
	if r == nil {
		r = &record{place: place{found.Path, name}}
		l.records[name] = r
	}
	if f.rec != nil && f.rec != r && r.debt == nothing { // its path has led elsewhere until now
		r.debt, r.entry = forOld, entry{Name: fileName(name), Old: true}
	}
	f.rec = r
	other := r.file
	switch {
	case other == nil || other.want.Keep && (!f.want.Keep || other.want.Path == f.want.Path):
	case f.want.Keep:
		return nil, nil
	case other.want.Path != f.want.Path || other.state == staged || other.state == swapped:
		return nil, fmt.Errorf("the path leads to the same file as %s, another destination of this commit", other.want.Path)
	}
	r.file, r.path = f, f.want.Path
	if r.debt != forNew {
		return nil, nil
	}
	e := r.entry
	return &e, nil
}

// assessed notes what was found in place of new contents.
func (b *Batch) assessed(f *File, a assessment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.rec.file != f {
		return
	}
	if f.rec.now = a.now; !a.live {
		f.rec.debt = forOld
	}
}

// Stage compares a destination with the disk. Where contents differ it writes a temporary file beside it, synced. Where only
// attributes differ it repairs them. On an error nothing is staged. The File is never nil, and Pending is right also on an error.
//
// A destination may be staged again in the same batch when it was undone, given up or discarded.
func (b *Batch) Stage(w Want) (f *File, warnings []string, err error) {
	f = &File{batch: b, want: w}
	warnings, err = f.stage()
	return f, warnings, err
}

// changed notes that names in the folder of a file have changed.
func (b *Batch) changed(f *File) { b.folders[f.folder.Path].dirty = true }

// all returns the states of all folders, sorted by path.
func (b *Batch) all() []*folderState {
	all := slices.Collect(maps.Values(b.folders))
	slices.SortFunc(all, func(x, y *folderState) int { return cmp.Compare(x.folder, y.folder) })
	return all
}

// Save makes it possible to go back, and makes it known on disk that the action has to succeed. It is called before the swap,
// and only where an action has to succeed. Each old file gets a second name. Then one intent mark in each folder names all
// destinations for which the action of the batch has to succeed, and mark and folder are synced. failed has the files that
// must not be swapped, with the reason. An err means that the disk does not sync, and that no file must be swapped. Save may
// be called several times in a batch.
func (b *Batch) Save(files []*File) (failed map[*File]error, warnings []string, err error) {
	failed = make(map[*File]error)
	groups := make(map[string][]*File)
	for _, f := range files {
		if f.state == staged {
			groups[f.folder.Path] = append(groups[f.folder.Path], f)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(groups)) {
		w, err := b.saveFolder(groups[path], failed)
		warnings = append(warnings, w...)
		if err != nil {
			return failed, warnings, err
		}
	}
	return failed, warnings, nil
}

// saveFolder is Save for files of one folder. Its error is that of a disk that does not sync.
func (b *Batch) saveFolder(files []*File, failed map[*File]error) (warnings []string, err error) {
	d, err := files[0].folder.Open()
	if err != nil {
		for _, f := range files {
			failed[f] = err
		}
		return nil, nil
	}
	defer d.Close()

	var kept []*File
	for _, f := range files {
		err := f.save(d)
		switch {
		case err == nil:
			kept = append(kept, f)
		case f.method == inPlace && errors.Is(err, unix.EROFS):
			f.rec.unmarkable, f.mustAct = true, true
			warnings = append(warnings, fmt.Sprintf("%s: if render ends before the action has succeeded, the next start will not know: %v", f.want.Path, err))
		default:
			failed[f] = err
		}
		b.step("saved one")
	}
	b.step("saved")
	if len(kept) == 0 {
		return warnings, nil
	}

	err = b.mark(d)
	b.step("marked")
	if err == nil {
		return warnings, nil
	}
	for _, f := range kept {
		failed[f] = err
		f.mustAct = false
		f.forgetOld(d)
	}
	if _, noSync := errors.AsType[folder.SyncError](err); noSync {
		return warnings, err
	}
	return warnings, nil
}

// save gives the old file a second name and notes that the action has to succeed.
func (f *File) save(d folder.Dir) error {
	if f.disk == nil {
		if err := f.clear(d, savedName(f.name)); err != nil {
			return err
		}
	}
	if err := f.keepOld(d); err != nil {
		return err
	}
	f.rec.unmarkable, f.mustAct = false, true
	return nil
}

// debtEntries returns the entries that the mark of a folder has to have.
func (l *folderState) debtEntries() []entry {
	var entries []entry
	for _, r := range l.records {
		if e, ok := r.debtEntry(); ok && !r.unmarkable {
			entries = append(entries, e)
		}
	}
	return entries
}

// debtEntry returns the entry of a destination for which an action has to succeed.
func (r *record) debtEntry() (e entry, ok bool) {
	f := r.file
	if f == nil || !f.mustAct || f.state != staged && f.state != swapped {
		return r.entry, r.debt != nothing
	}
	e = entry{Name: fileName(r.name), Old: f.old != nil, New: f.content()}
	if r.debt == forNew {
		e.Earlier = r.now
	}
	if f.saved != nil {
		e.Saved = savedIDOf(*f.saved)
	}
	return e, true
}

// mark makes the marks of a folder name what they have to name, and syncs the folder.
func (b *Batch) mark(d folder.Dir) error {
	l := b.state(d.Folder.Path)
	if err := b.writeMarks(d, l); err != nil {
		return err
	}
	l.dirty = false
	return d.Sync()
}

// writeMarks writes the mark of a folder: all debts there, and what other batches have in a mark of that name. It removes
// the other marks of this batch. Two batches may have entries in one mark: the debts of a crash that a new configuration has
// given to different actions.
func (b *Batch) writeMarks(d folder.Dir, l *folderState) error {
	defer b.Left.lockMarks(d.Folder.Path)()
	entries := l.debtEntries()
	name := ""
	if len(entries) > 0 {
		names := make(map[string]bool)
		for _, e := range entries {
			names[string(e.Name)] = true
		}
		name = markName(slices.Min(slices.Collect(maps.Keys(names))))
		others, err := l.entriesOfOthers(d, name)
		if err != nil {
			return err
		}
		l.after = ""
		if b.first != "" && filepath.Dir(b.first) != l.folder {
			l.after = b.first
		}
		for i := range entries {
			entries[i].After = fileName(l.after)
		}
		if err := writeMark(d, name, append(entries, others...)); err != nil {
			return err
		}
		l.marks[name] = names
		if l.after == "" {
			b.first = d.Path(name)
		}
	}
	for mark := range l.marks {
		if mark != name {
			if err := l.removeEntries(d, mark); err != nil {
				return err
			}
		}
	}
	return nil
}

// entriesOfOthers returns the entries of a mark that are not of this batch.
func (l *folderState) entriesOfOthers(d folder.Dir, mark string) ([]entry, error) {
	entries, err := readMark(d, mark)
	if errors.Is(err, fs.ErrNotExist) || err == errNotOurs || err == errOldFormat {
		return nil, nil
	}
	entries = slices.DeleteFunc(entries, func(e entry) bool { return l.records[string(e.Name)] != nil })
	return entries, d.PathError("read", mark, err)
}

// removeEntries removes the entries of this batch from a mark, and the mark where it has no others. The marks of the folder
// are locked.
func (l *folderState) removeEntries(d folder.Dir, mark string) error {
	others, err := l.entriesOfOthers(d, mark)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		err = writeMark(d, mark, others)
	} else {
		err = d.PathError("remove", mark, d.Remove(mark))
	}
	if err == nil {
		delete(l.marks, mark)
	}
	return err
}

// Complete notes that the action has succeeded, or that no action exists: on disk in one step, however many folders have marks. It
// removes the marks, syncs the folders, and then makes backups of the saved files or removes them.
func (b *Batch) Complete() (warnings []string) {
	if err := b.unmark(); err != nil {
		warnings = append(warnings, fmt.Sprintf("the action may run again at the next start: %v", err))
	}
	for _, l := range b.all() {
		warnings = append(warnings, l.finish()...)
	}
	b.step("completed")
	return warnings
}

// unmark removes all entries of this batch from all marks. One mark goes in one step. Of several the first says, before any is
// removed, that the others do not apply any more, and it is the last to go.
func (b *Batch) unmark() error {
	marked := slices.DeleteFunc(b.all(), func(l *folderState) bool { return len(l.marks) == 0 })
	if len(marked) == 0 {
		return nil
	}
	if len(marked) == 1 {
		err := b.removeAllEntries(marked[0])
		b.step("unmarked")
		return errors.Join(err, b.Sync())
	}

	first, err := b.decide(marked)
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range marked {
		if l != first {
			errs = append(errs, b.removeAllEntries(l))
			b.step("unmarked one")
		}
	}
	if err := errors.Join(append(errs, b.Sync())...); err != nil {
		return err
	}
	if first != nil {
		err = b.removeAllEntries(first)
	}
	b.step("unmarked")
	return err
}

// decide writes into the first of several marks that the action has succeeded for the files of all of them. Before that it has
// the others refer to it, where they do not yet: debts of earlier commits. It returns the folder of the first; nil where none
// is left that has a mark.
func (b *Batch) decide(marked []*folderState) (first *folderState, err error) {
	if l := b.folders[filepath.Dir(b.first)]; l == nil || len(l.marks) != 1 || l.marks[filepath.Base(b.first)] == nil {
		b.first = ""
	}
	for _, l := range marked {
		if l.folder != filepath.Dir(b.first) && (b.first == "" || len(l.marks) != 1 || l.after != b.first) {
			if err := l.within(b.mark); err != nil {
				return nil, err
			}
			b.step("marked")
		}
	}

	first = b.folders[filepath.Dir(b.first)]
	if first == nil {
		return nil, nil
	}
	err = first.within(func(d folder.Dir) error { return b.writeDecision(d, first, marked) })
	b.step("decided")
	return first, err
}

// writeDecision replaces the entries of this batch in the first mark by what says that the other marks do not apply.
func (b *Batch) writeDecision(d folder.Dir, first *folderState, marked []*folderState) error {
	defer b.Left.lockMarks(first.folder)()
	mark := filepath.Base(b.first)
	entries, err := first.entriesOfOthers(d, mark)
	if err != nil {
		return err
	}
	name := slices.Min(slices.Collect(maps.Keys(first.marks[mark])))
	n := len(entries)
	for _, l := range marked {
		for other := range l.marks {
			if l != first {
				entries = append(entries, entry{Name: fileName(name), Completed: fileName(filepath.Join(l.folder, other))})
			}
		}
	}
	if len(entries) == n {
		return nil
	}
	if err := writeMark(d, mark, entries); err != nil {
		return err
	}
	return d.Sync()
}

// removeAllEntries removes all entries of this batch from the marks of a folder. With the folder the marks are gone.
func (b *Batch) removeAllEntries(l *folderState) error {
	var errs []error
	isThere := false
	err := l.within(func(d folder.Dir) error {
		isThere = true
		defer b.Left.lockMarks(l.folder)()
		for mark := range l.marks {
			l.dirty = true
			errs = append(errs, l.removeEntries(d, mark))
		}
		return nil
	})
	if err == nil && !isThere {
		clear(l.marks)
	}
	return errors.Join(append(errs, err)...)
}

// within opens the folder of a state. A folder that is gone needs no attention any more.
func (l *folderState) within(do func(d folder.Dir) error) error {
	var d folder.Dir
	var err error
	if l.found != nil {
		d, err = l.found.Open()
	} else {
		d, err = folder.Open(l.folder)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	return do(d)
}

// hasSaved reports whether there may be saved files in a folder.
func (l *folderState) hasSaved() bool {
	for _, r := range l.records {
		if r.debt != nothing || r.file != nil && r.file.saved != nil {
			return true
		}
	}
	return false
}

// finish notes that a folder has no debts any more, and removes saved files or makes backups of them.
func (l *folderState) finish() (warnings []string) {
	if l.hasSaved() {
		err := l.within(func(d folder.Dir) error {
			warnings = l.finishSaved(d)
			return nil
		})
		if err != nil {
			warnings = append(warnings, err.Error())
		}
	}

	for _, r := range l.records {
		r.debt = nothing
		if f := r.file; f != nil {
			f.mustAct = false
			if f.state == swapped {
				f.state = completed
			}
		}
	}
	return warnings
}

// finishSaved removes the saved files of a folder, or makes backups of them.
func (l *folderState) finishSaved(d folder.Dir) (warnings []string) {
	for _, r := range l.records {
		if f := r.file; f != nil && f.folder != nil {
			if w := f.finish(d); w != "" {
				warnings = append(warnings, w)
			}
		}
		if r.debt != nothing {
			_ = d.Remove(savedName(r.name))
		}
	}
	return warnings
}

// Close ends a batch. It removes what was staged and not swapped, and makes the marks on disk name exactly the debts that it
// returns: the destinations for which the action has not succeeded yet. It may be called after Complete, and without it.
func (b *Batch) Close() (debts []Debt, warnings []string) {
	for _, l := range b.all() {
		for _, r := range l.records {
			if f := r.file; f != nil && f.state == staged {
				f.Discard()
			}
		}
		if !l.isMarked() || len(l.marks) > 0 || l.hasSaved() {
			if err := l.within(func(d folder.Dir) error { return b.closeFolder(d, l) }); err != nil {
				warnings = append(warnings, fmt.Sprintf("the next start may not know which actions are pending: %v", err))
			}
		}
		debts = append(debts, l.debts()...)
	}
	warnings, b.warnings = append(b.warnings, warnings...), nil
	return debts, warnings
}

func (b *Batch) closeFolder(d folder.Dir, l *folderState) error {
	for _, r := range l.records { // there was no action
		if f := r.file; f != nil && f.state == swapped && !f.mustAct {
			f.forgetOld(d)
		}
	}
	if !l.isMarked() {
		return b.mark(d)
	}
	if l.dirty && len(l.marks) > 0 {
		l.dirty = false
		return d.Sync()
	}
	return nil // without an action nothing depends on when a new name is on disk: a start that finds the old file renders it again
}

// isMarked reports whether the marks on disk name what they have to name.
func (l *folderState) isMarked() bool {
	named := make(map[string]bool)
	for _, names := range l.marks {
		maps.Copy(named, names)
	}
	entries := l.debtEntries()
	for _, e := range entries {
		if !named[string(e.Name)] {
			return false
		}
	}
	return len(entries) == len(named)
}

// debts returns the debts in a folder.
func (l *folderState) debts() []Debt {
	var debts []Debt
	for _, r := range l.records {
		e, ok := r.debtEntry()
		if !ok {
			continue
		}
		isSwapped := r.file != nil && r.file.state == swapped
		debt := Debt{Path: r.path, at: r.place, entry: e, live: r.debt == forNew || isSwapped, unmarkable: r.unmarkable}
		for mark, names := range l.marks {
			if names[r.name] {
				debt.Mark = filepath.Join(l.folder, mark)
			}
		}
		debts = append(debts, debt)
	}
	slices.SortFunc(debts, func(x, y Debt) int { return cmp.Compare(x.Path, y.Path) })
	return debts
}

// Sync syncs the folders of what was swapped or undone. A folder that cannot be read, or a file system that cannot sync
// folders, is no error.
func (b *Batch) Sync() error {
	var errs []error
	for _, l := range b.all() {
		if !l.dirty {
			continue
		}
		l.dirty = false
		errs = append(errs, l.within(folder.Dir.Sync))
	}
	return errors.Join(errs...)
}
