package disk

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"

	"render/render/disk/folder"
)

// Leftovers are what earlier runs left for paths that are not known at the start: those of writeToFile. Each folder is read
// once, at its first use, so that ten thousand paths in one folder cost one pass. Leftovers also keep batches of one process
// from changing the marks of one folder at the same time. The zero value is ready. All methods may be called by several
// goroutines at once.
type Leftovers struct {
	mu      sync.Mutex // guards the maps; never held while the disk is read or written
	folders map[string]*leftovers
	marks   map[string]*sync.Mutex // by folder: held while its marks are read and changed
}

// leftovers are those of one folder.
type leftovers struct {
	mu        sync.Mutex // guards what follows, also while the folder is read
	isRead    bool
	temporary map[string][]string    // by what hidden returns for the destination
	saved     map[string]bool        // by the same
	debts     map[string]Debt        // by the name of the destination
	marks     map[string]folder.Info // by name: what the mark was when it was read
	oldMarks  map[string]bool        // by name: marks in another format
}

// Recall is the function Recall for one path, without the other debts of the same marks. It is to be called before the first
// commit of the path.
func (l *Leftovers) Recall(path string) ([]Debt, error) {
	d, name, err := folder.Resolve(path, folder.TrustedLinks, false)
	if err != nil {
		return nil, nil // Stage reports it
	}
	defer d.Close()

	left := l.of(d.Folder.Path)
	left.mu.Lock()
	defer left.mu.Unlock()
	var errs []error
	if !left.isRead {
		errs = append(errs, l.read(left, d))
	}
	debt, found, err := l.debtOf(left, d, name)
	errs = append(errs, err, left.remove(d, name, found && debt.live && debt.entry.Old))
	if !found {
		return nil, errors.Join(errs...)
	}
	debt.Path = path
	return []Debt{debt}, errors.Join(errs...)
}

// RecallAll is the function Recall for a process in which commits may be under way.
func (l *Leftovers) RecallAll(paths []string) (debts []Debt, err error) { return recallPaths(paths, l) }

// Forget has folders read again: since the last time, commits of this run have come and gone. It waits for nobody.
func (l *Leftovers) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.folders = nil
}

// of returns what is known of a folder.
func (l *Leftovers) of(folder string) *leftovers {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.folders == nil {
		l.folders = make(map[string]*leftovers)
	}
	if l.folders[folder] == nil {
		l.folders[folder] = new(leftovers)
	}
	return l.folders[folder]
}

// lockMarks waits until nobody else reads and changes the marks of a folder. A nil Leftovers has nobody else.
func (l *Leftovers) lockMarks(folder string) (unlock func()) {
	if l == nil {
		return func() {}
	}
	l.mu.Lock()
	if l.marks == nil {
		l.marks = make(map[string]*sync.Mutex)
	}
	m := l.marks[folder]
	if m == nil {
		m = new(sync.Mutex)
		l.marks[folder] = m
	}
	l.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// read lists a folder, and reads all its marks.
func (l *Leftovers) read(left *leftovers, d folder.Dir) error {
	unlock := sync.OnceFunc(l.lockMarks(d.Folder.Path))
	defer unlock()
	found, err := findRemains(d, nil)
	if err != nil {
		return err
	}
	left.isRead = true
	left.temporary, left.saved = make(map[string][]string), make(map[string]bool)
	for name := range found.saved {
		left.saved[name[:len(name)-len(savedEnd)]] = true
	}
	for _, name := range found.temporary {
		base, _ := temporaryOf(name)
		left.temporary[base] = append(left.temporary[base], name)
	}

	left.marks, left.oldMarks = make(map[string]folder.Info), make(map[string]bool)
	for _, mark := range found.marks {
		if is, err := d.StatAt(mark); err == nil {
			left.marks[mark] = is
		}
	}
	recalled, err := recallMarks(d, found.marks, nil)
	left.debts = recalled.byName
	for _, mark := range recalled.otherFormat {
		left.oldMarks[mark] = true
	}
	unlock()
	return errors.Join(err, l.completeAll(d, recalled.decided))
}

// debtOf returns the debt of a destination. A mark that has changed since it was read is read again: the action may have
// succeeded meanwhile.
func (l *Leftovers) debtOf(left *leftovers, d folder.Dir, name string) (debt Debt, found bool, err error) {
	debt, found = left.debts[name]
	if mark := markName(name); left.oldMarks[mark] {
		old := recallEntry(d, entry{Name: fileName(name), Old: true}, "")
		old.Mark = d.Path(mark)
		if !found {
			return old, isThere(d, mark), nil
		}
		delete(left.oldMarks, mark)
		defer l.lockMarks(d.Folder.Path)()
		return debt, true, dropEntry(d, old)
	}
	if !found {
		return Debt{}, false, nil
	}

	mark := filepath.Base(debt.Mark)
	if is, err := d.StatAt(mark); err == nil && is == left.marks[mark] {
		return debt, true, nil
	}
	defer l.lockMarks(d.Folder.Path)()
	entries, err := readMark(d, mark)
	if err != nil {
		return Debt{}, false, nil // the mark is gone, or is not ours any more
	}
	i := slices.IndexFunc(entries, func(e entry) bool { return string(e.Name) == name && e.Completed == "" })
	if i < 0 || entries[i].isCompleted(d.Path(mark)) {
		return Debt{}, false, nil
	}
	now := recallEntry(d, entries[i], "")
	now.Mark = debt.Mark
	return now, true, nil
}

func isThere(d folder.Dir, name string) bool {
	_, err := d.StatAt(name)
	return err == nil
}

// remove removes what nobody needs of a destination.
func (left *leftovers) remove(d folder.Dir, name string, keepSaved bool) error {
	base := hidden(name)
	var errs []error
	if left.saved[base] && !keepSaved {
		errs = append(errs, removeOurs(d, savedName(name)))
		delete(left.saved, base)
	}
	for _, temporary := range left.temporary[base] {
		errs = append(errs, removeOurs(d, temporary))
	}
	delete(left.temporary, base)
	return errors.Join(errs...)
}

// DropSaved removes the saved files of debts, as far as it can: what is in place of them stays, and the marks still say that an
// action has to succeed for it. A saved file that is not the one of the debt is that of a later commit, and stays.
func DropSaved(debts []Debt) {
	for _, debt := range debts {
		if debt.entry.Saved == (savedID{}) {
			continue
		}
		d, err := folder.Open(debt.at.folder)
		if err != nil {
			continue
		}
		saved := savedName(debt.at.name)
		if is, err := d.StatAt(saved); err == nil && savedIDOf(is) == debt.entry.Saved {
			_ = removeOurs(d, saved)
		}
		d.Close()
	}
}
