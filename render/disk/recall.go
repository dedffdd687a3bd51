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
		folder *folder
		paths  map[string]string // by name
	}
	groups := make(map[string]*group)
	for _, path := range paths {
		d, name, err := resolve(path, trustedLinks, false)
		if err != nil {
			continue
		}
		d.close()
		g := groups[d.folder.path]
		if g == nil {
			g = &group{d.folder, make(map[string]string)}
			groups[d.folder.path] = g
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
func recallFolder(folder *folder, paths map[string]string, l *Leftovers) ([]Debt, error) {
	d, err := folder.open()
	if err != nil {
		return nil, err
	}
	defer d.close()
	unlock := l.lockMarks(folder.path)
	found, err := findRemains(d, paths)
	if err != nil {
		unlock()
		return nil, err
	}
	byName, _, err := recallMarks(d, found.marks, paths)
	unlock()

	debts := slices.Collect(maps.Values(byName))
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
func findRemains(d dir, paths map[string]string) (remains, error) {
	found := remains{saved: make(map[string]bool)}
	all := paths == nil
	hiddenNames := make(map[string]bool, len(paths))
	for name := range paths {
		hiddenNames[hidden(name)] = true
	}
	h, err := openAt(d.handle, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return found, nil
	}
	list := os.NewFile(uintptr(h), d.folder.path)
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
func removeOurs(d dir, name string) error {
	is, err := d.statAt(name)
	if err != nil || !is.isRegular() {
		return nil
	}
	err = d.unlinkAny(name)
	if errors.Is(err, fs.ErrPermission) && is.uid != os.Geteuid() {
		return nil
	}
	return d.pathError("remove", name, err)
}

// recallMarks returns the debts of all marks that concern one of the destinations, or of all where there are no names, by the
// name of the destination. otherFormat has the names of the marks in another format that are not of one of the destinations.
func recallMarks(d dir, marks []string, paths map[string]string) (byName map[string]Debt, otherFormat []string, err error) {
	oldMarks := make(map[string]string, len(paths)) // destinations, by the name that a mark of theirs alone has
	for name := range paths {
		oldMarks[markName(name)] = name
	}
	byName = make(map[string]Debt)
	var errs []error
	for _, mark := range marks {
		entries, err := readMark(d, mark)
		if name, ok := oldMarks[mark]; err == errOldFormat && ok {
			entries, err = []entry{{Name: fileName(name), Old: true}}, nil
		}
		switch {
		case err == errOldFormat:
			otherFormat = append(otherFormat, mark)
			continue
		case err == errNotOurs || errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			errs = append(errs, d.pathError("read", mark, err))
			continue
		}
		if paths != nil && !slices.ContainsFunc(entries, func(e entry) bool { return paths[string(e.Name)] != "" }) {
			continue
		}

		for _, e := range entries {
			debt := recallEntry(d, e, paths[string(e.Name)])
			debt.Mark = d.path(mark)
			if other, ok := byName[debt.at.name]; ok { // a crash between two marks
				if other.live || !debt.live {
					debt, other = other, debt
				}
				errs = append(errs, dropEntry(d, other))
			}
			byName[debt.at.name] = debt
		}
	}
	return byName, otherFormat, errors.Join(errs...)
}

// recallEntry returns the debt of an entry.
func recallEntry(d dir, e entry, path string) Debt {
	name := string(e.Name)
	if path == "" {
		path = d.path(name)
	}
	debt := Debt{Path: path, at: place{d.folder.path, name}, entry: entry{Name: e.Name, Old: true}}
	is, err := d.statAt(name)
	if err != nil {
		return debt
	}
	if debt.live = e.assess(d, &is).live; debt.live {
		debt.entry = e
	}
	return debt
}

// dropEntry removes a debt from its mark: another mark has it, too. The marks of the folder are locked.
func dropEntry(d dir, debt Debt) error {
	mark := filepath.Base(debt.Mark)
	l := &folderState{records: map[string]*record{debt.at.name: {}}, marks: make(map[string]map[string]bool)}
	return l.removeEntries(d, mark)
}
