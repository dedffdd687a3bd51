package disk

import (
	"errors"
	"io/fs"
	"slices"
	"sync"
)

// Leftovers are what earlier runs left for paths that are not known at the start: those of writeToFile. Each folder is listed
// once, so that ten thousand paths in one folder cost one look at it. The zero value is ready.
type Leftovers struct {
	mu      sync.Mutex // guards what follows
	folders map[string]*leftovers
}

// leftovers are those of one folder.
type leftovers struct {
	temporary map[string][]string // by what hidden returns for the destination
	saved     map[string]bool     // the same
	marks     map[string][]string // by the name of a destination: the marks that have an entry for it
}

// Recall is the function Recall for one path. It is to be called before the first commit of the path.
func (l *Leftovers) Recall(path string) ([]Debt, error) {
	d, name, err := resolve(path, trustedLinks, false)
	if err != nil {
		return nil, nil // Stage reports it
	}
	d.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.folders[d.folder.path]
	if left == nil {
		if left, err = listLeftovers(d.folder); err != nil {
			return nil, err
		}
		if l.folders == nil {
			l.folders = make(map[string]*leftovers)
		}
		l.folders[d.folder.path] = left
	}
	base := hidden(name)
	if len(left.temporary[base])+len(left.marks[name]) == 0 && !left.saved[base] {
		return nil, nil
	}
	return recallFolder(d.folder, map[string]string{name: path})
}

// Forget has folders listed again: since the last time, commits of this run have come and gone.
func (l *Leftovers) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.folders = nil
}

// listLeftovers lists a folder, and reads its marks.
func listLeftovers(f *folder) (*leftovers, error) {
	left := &leftovers{temporary: make(map[string][]string), saved: make(map[string]bool), marks: make(map[string][]string)}
	d, err := f.open()
	if err != nil {
		return nil, err
	}
	defer d.close()
	found, err := findRemains(d, nil)
	if err != nil {
		return nil, err
	}
	for name := range found.saved {
		left.saved[name[:len(name)-len(savedEnd)]] = true
	}
	for _, name := range found.temporary {
		base, _ := temporaryOf(name)
		left.temporary[base] = append(left.temporary[base], name)
	}
	for _, mark := range found.marks {
		entries, err := readMark(d, mark)
		if err != nil {
			if err != errNotOurs && err != errOldFormat && !errors.Is(err, fs.ErrNotExist) {
				return nil, d.pathError("read", mark, err)
			}
			continue
		}
		for _, e := range entries {
			if name := string(e.Name); !slices.Contains(left.marks[name], mark) {
				left.marks[name] = append(left.marks[name], mark)
			}
		}
	}
	return left, nil
}

// DropSaved removes the saved files of debts, as far as it can: what is in place of them stays, and the marks still say that an
// action has to succeed for it.
func DropSaved(debts []Debt) {
	for _, debt := range debts {
		d, err := openFolder(debt.at.folder)
		if err != nil {
			continue
		}
		_ = removeOurs(d, savedName(debt.at.name))
		d.close()
	}
}
