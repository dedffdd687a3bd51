package disk

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"render/render/disk/folder"

	"golang.org/x/sys/unix"
)

// Recall reads what an earlier run has left in the folders of some destinations. It returns the debts that concern one of the
// paths, and the other debts of the same marks, whose Path is the real path. It removes what nobody needs: temporary files of
// these paths, and their saved files that no mark of ours needs. What cannot be reached is left to Stage, which reports it. The debts
// are valid also where there is an error. No commit may be under way in these folders; see Leftovers.RecallAll.
func Recall(paths []string) (debts []Debt, err error) { return recallPaths(paths, nil) }

// recallPaths is Recall where commits may be under way whose batches have the same Leftovers.
func recallPaths(paths []string, l *Leftovers) (debts []Debt, err error) {
	type group struct {
		folder *folder.Folder
		paths  map[string]string // by name
	}
	groups := make(map[string]*group)
	for _, path := range paths {
		d, name, err := folder.Resolve(path, folder.TrustedLinks, false)
		if err != nil {
			continue
		}
		d.Close()
		g := groups[d.Folder.Path]
		if g == nil {
			g = &group{d.Folder, make(map[string]string)}
			groups[d.Folder.Path] = g
		}
		if g.paths[name] == "" {
			g.paths[name] = path
		}
	}

	var errs []error
	for _, g := range groups {
		found, err := recallFolder(g.folder, g.paths, l)
		debts = append(debts, found...)
		errs = append(errs, err)
	}
	slices.SortFunc(debts, func(x, y Debt) int { return cmp.Compare(x.Path, y.Path) })
	return debts, errors.Join(errs...)
}

// remains are the names of our files in a folder.
type remains struct {
	marks     []string
	saved     map[string]bool // of the destinations in question
	temporary []string        // of the same
}

// recallFolder is Recall for one folder, in which the destinations have these names.
func recallFolder(folder *folder.Folder, paths map[string]string, l *Leftovers) ([]Debt, error) {
	d, err := folder.Open()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	unlock := l.lockMarks(folder.Path)
	found, err := findRemains(d, paths)
	if err != nil {
		unlock()
		return nil, err
	}
	recalled, err := recallMarks(d, found.marks, paths)
	unlock()

	err = errors.Join(err, l.completeAll(d, recalled.decided))
	debts := slices.Collect(maps.Values(recalled.byName))
	for _, debt := range debts {
		if debt.live && debt.entry.Old {
			delete(found.saved, savedName(debt.at.name))
		}
	}
	errs := []error{err}
	for name := range found.saved {
		errs = append(errs, removeOurs(d, name))
	}
	for _, name := range found.temporary {
		errs = append(errs, removeOurs(d, name))
	}
	return debts, errors.Join(errs...)
}

// findRemains lists a folder: what concerns some destinations, by name, or all where there are no names. A folder that cannot be
// read has nothing.
func findRemains(d folder.Dir, paths map[string]string) (remains, error) {
	found := remains{saved: make(map[string]bool)}
	all := paths == nil
	hiddenNames := make(map[string]bool, len(paths))
	for name := range paths {
		hiddenNames[hidden(name)] = true
	}
	h, err := folder.OpenAt(d.Handle, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return found, nil
	}
	list := os.NewFile(uintptr(h), d.Folder.Path)
	defer func() { _ = list.Close() }()
	for {
		names, err := list.Readdirnames(1000)
		for _, name := range names {
			if !strings.HasPrefix(name, ourPrefix) {
				continue
			}
			if strings.HasSuffix(name, markEnd) {
				found.marks = append(found.marks, name)
			} else if base, ok := strings.CutSuffix(name, savedEnd); ok && (all || hiddenNames[base]) {
				found.saved[name] = true
			} else if base, ok := temporaryOf(name); ok && (all || hiddenNames[base]) {
				found.temporary = append(found.temporary, name)
			}
		}
		if errors.Is(err, io.EOF) {
			slices.Sort(found.marks)
			return found, nil
		}
		if err != nil {
			return found, err
		}
	}
}

// removeOurs removes a file that we have left. What is no regular file was not left by us; neither was what we may not remove.
func removeOurs(d folder.Dir, name string) error {
	is, err := d.StatAt(name)
	if err != nil || !is.IsRegular() {
		return nil
	}
	err = d.Remove(name)
	if errors.Is(err, fs.ErrPermission) && is.UID != os.Geteuid() {
		return nil
	}
	return d.PathError("remove", name, err)
}

// recalled is what the marks of a folder say.
type recalled struct {
	byName      map[string]Debt // by the name of the destination
	otherFormat []string        // names of marks in another format that are not of one of the destinations
	decided     []string        // names of marks which say that other marks do not apply
}

// recallMarks reads all marks that concern one of the destinations, or all where there are no names. It removes entries that do
// not apply any more.
func recallMarks(d folder.Dir, marks []string, paths map[string]string) (found recalled, err error) {
	oldMarks := make(map[string]string, len(paths)) // destinations, by the name that a mark of theirs alone has
	for name := range paths {
		oldMarks[markName(name)] = name
	}
	found.byName = make(map[string]Debt)
	var errs []error
	for _, mark := range marks {
		entries, err := readMark(d, mark)
		if name, ok := oldMarks[mark]; err == errOldFormat && ok {
			entries, err = []entry{{Name: fileName(name), Old: true}}, nil
		}
		switch {
		case err == errOldFormat:
			found.otherFormat = append(found.otherFormat, mark)
			continue
		case err == errNotOurs || errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			errs = append(errs, d.PathError("read", mark, err))
			continue
		}
		if paths != nil && !slices.ContainsFunc(entries, func(e entry) bool { return paths[string(e.Name)] != "" }) {
			continue
		}

		// What a mark has decided does not apply any more.
		path := d.Path(mark)
		completed, decides := completedBy(entries, path), func(e entry) bool { return e.Completed != "" }
		if len(completed) > 0 {
			errs = append(errs, dropEntries(d, mark, func(e entry) bool { return completed[e.After] }))
		}
		if slices.ContainsFunc(entries, decides) {
			found.decided = append(found.decided, mark)
		}
		for _, e := range entries {
			if decides(e) || completed[e.After] {
				continue
			}
			debt := recallEntry(d, e, paths[string(e.Name)])
			debt.Mark = path
			if other, ok := found.byName[debt.at.name]; ok { // a crash between two marks
				if other.live || !debt.live {
					debt, other = other, debt
				}
				errs = append(errs, dropEntry(d, other))
			}
			found.byName[debt.at.name] = debt
		}
	}
	return found, errors.Join(errs...)
}

// completedBy returns which of the marks that the entries of a mark refer to say that it does not apply any more.
func completedBy(entries []entry, mark string) map[fileName]bool {
	asked, completed := make(map[fileName]bool), make(map[fileName]bool)
	for _, e := range entries {
		if !asked[e.After] && e.isCompleted(mark) {
			completed[e.After] = true
		}
		asked[e.After] = true
	}
	return completed
}

// completeAll removes marks of a folder which say that other marks do not apply any more, and before that the others: a crash
// came between. No mark is locked.
func (l *Leftovers) completeAll(d folder.Dir, marks []string) error {
	var errs []error
	for _, mark := range marks {
		errs = append(errs, l.complete(d, mark))
	}
	return errors.Join(errs...)
}

func (l *Leftovers) complete(d folder.Dir, mark string) error {
	entries, err := readMark(d, mark)
	if err != nil {
		return nil // it has changed meanwhile
	}
	for _, e := range entries {
		if e.Completed == "" {
			continue
		}
		other, err := folder.Open(filepath.Dir(string(e.Completed)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		isCompleted := sync.OnceValue(func() bool { // asked with the other mark locked: a commit may have written both anew
			return entry{After: fileName(d.Path(mark))}.isCompleted(string(e.Completed))
		})
		err = l.dropEntries(other, filepath.Base(string(e.Completed)), func(e entry) bool {
			return string(e.After) == d.Path(mark) && isCompleted()
		})
		other.Close()
		if err != nil {
			return err
		}
	}
	return l.dropEntries(d, mark, func(e entry) bool { return e.Completed != "" })
}

// dropEntries removes entries from a mark for good.
func (l *Leftovers) dropEntries(d folder.Dir, mark string, drop func(entry) bool) error {
	defer l.lockMarks(d.Folder.Path)()
	if err := dropEntries(d, mark, drop); err != nil {
		return err
	}
	return d.Sync()
}

// recallEntry returns the debt of an entry.
func recallEntry(d folder.Dir, e entry, path string) Debt {
	name := string(e.Name)
	if path == "" {
		path = d.Path(name)
	}
	debt := Debt{Path: path, at: place{d.Folder.Path, name}, entry: entry{Name: e.Name, Old: true}}
	is, err := d.StatAt(name)
	if err != nil {
		return debt
	}
	if debt.live = e.assess(d, &is).live; debt.live {
		debt.entry = e
	}
	return debt
}

// dropEntry removes a debt from its mark: another mark has it, too. The marks of the folder are locked.
func dropEntry(d folder.Dir, debt Debt) error {
	mark := filepath.Base(debt.Mark)
	l := &folderState{records: map[string]*record{debt.at.name: {}}, marks: make(map[string]map[string]bool)}
	return l.removeEntries(d, mark)
}
