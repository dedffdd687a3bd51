package render

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"render/template"
)

// A File says how a destination is written.
type File struct {
	Perms       fs.FileMode // 0: those of the file that is there, 0644 for a new one
	User        string      // name or ID of the owner; "": that of the file that is there
	Group       string
	Backup      bool // the file before the last change is kept as DESTINATION.bak
	NoFolders   bool // a missing folder is an error, and not made
	RefuseLinks bool // a destination that is a link is an error, and not followed
}

// A stagedFile is one destination, from the comparison with the disk to the end of the commit.
type stagedFile struct {
	destination string // as configured
	options     File
	path        string // where links lead
	contents    []byte
	write       *template.Write // where writeToFile asks for the file; it says more than contents
	disk        oldFile         // what is there before the swap
	old         oldFile         // what to go back to: other than disk where a commit before this one did not succeed
	temporary   string          // beside path, with contents; empty where the disk has them already
	inPlace     bool            // written through, because the name cannot be given to another file
	saved       bool            // the old file has a second name
	marked      bool            // a mark is on disk: the action has yet to succeed
	owed        bool            // the mark is from a commit before this one
	swapped     bool
}

// live reports whether the new file is in place and its action has yet to succeed.
func (f *stagedFile) live() bool { return f.swapped || f.owed }

// oldFile is what a destination was.
type oldFile struct {
	exists   bool
	contents []byte
	attributes
}

// attributes are what a file has beside its contents. An ID of -1 stands for our own.
type attributes struct {
	mode     fs.FileMode
	uid, gid int
}

const (
	newFileMode = 0o644
	newDirMode  = 0o755

	maxLinks = 40
)

// stage compares the file with the disk and, where it differs, writes a temporary file beside it.
func (f *stagedFile) stage() (warning string, err error) {
	f.temporary, f.inPlace, f.saved, f.marked, f.owed, f.swapped = "", false, false, false, false, false
	if f.path, err = followLinks(f.destination); err != nil {
		return "", err
	}
	if f.options.RefuseLinks && f.path != f.destination {
		return "", errors.New("is a link, and links are refused")
	}
	if f.disk, err = readOld(f.path); err != nil {
		return "", err
	}
	if err := f.recall(); err != nil {
		return "", err
	}
	want := f.disk.attributes
	if !f.disk.exists {
		want = attributes{mode: newFileMode, uid: -1, gid: -1}
	}
	if f.write != nil {
		want, err = f.prepareWrite(want)
	} else {
		want, err = f.options.attributes(want)
	}
	if err != nil {
		return "", err
	}
	if f.disk.exists && bytes.Equal(f.disk.contents, f.contents) {
		return "", f.repair(want)
	}
	if !f.disk.exists {
		if err := f.makeFolder(); err != nil {
			return "", err
		}
	}
	f.temporary, warning, err = writeTemporary(f.path, f.contents, want)
	if errors.Is(err, syscall.EROFS) && f.disk.exists { // a file that is mounted into a folder that cannot be written
		f.inPlace = true
		return fmt.Sprintf("%s is written in place: %v", f.destination, err), nil
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; render makes a new file beside the old one and then renames it, so it needs to write to the folder", err)
	}
	if err == nil && f.disk.exists {
		copyExtended(f.path, f.temporary)
	}
	return warning, err
}

// candidate returns the path of a file with the contents to check, and what takes it away if it was made for that.
func (f *stagedFile) candidate() (path string, remove func(), err error) {
	switch {
	case f.temporary != "":
		return f.temporary, func() {}, nil
	case !f.inPlace:
		return f.path, func() {}, nil // an earlier commit has swapped it, and did not succeed
	}
	dir, err := os.MkdirTemp("", "render-check-")
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, filepath.Base(f.path))
	return path, func() { _ = os.RemoveAll(dir) }, os.WriteFile(path, f.contents, 0o600)
}

// recall takes what to go back to from a commit that did not succeed, perhaps of a render before this one.
func (f *stagedFile) recall() error {
	f.old = f.disk
	mark, err := os.ReadFile(markOf(f.path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.marked, f.owed = true, true
	saved, err := readOld(savedOf(f.path))
	switch {
	case err != nil:
		return err
	case saved.exists:
		f.old, f.saved = saved, true
	case string(mark) == markText+markNothing:
		f.old = oldFile{}
	}
	return nil
}

// repair gives a file that has its contents the mode and owner that it should have. Nobody needs to reload because of that.
func (f *stagedFile) repair(want attributes) error {
	have := f.disk.attributes
	if have == want {
		return nil
	}
	if want.uid != have.uid || want.gid != have.gid {
		if err := os.Chown(f.path, want.uid, want.gid); err != nil {
			return err
		}
	}
	return os.Chmod(f.path, want.mode)
}

func (f *stagedFile) makeFolder() error {
	parent := filepath.Dir(f.path)
	if !f.options.NoFolders {
		return os.MkdirAll(parent, newDirMode)
	}
	if _, err := os.Stat(parent); err != nil {
		return fmt.Errorf("its folder is missing, and create_dest_dirs is off: %w", err)
	}
	return nil
}

// attributes returns what a file gets that has other attributes now.
func (o File) attributes(want attributes) (attributes, error) {
	var err error
	if o.Perms != 0 {
		want.mode = o.Perms
	}
	if o.User != "" {
		if want.uid, err = userID(o.User); err != nil {
			return want, err
		}
	}
	if o.Group != "" {
		want.gid, err = groupID(o.Group)
	}
	return want, err
}

// prepareWrite makes the file what writeToFile asks for, and returns its attributes.
func (f *stagedFile) prepareWrite(want attributes) (attributes, error) {
	parent := filepath.Dir(f.destination)
	if info, err := os.Lstat(parent); err == nil && info.Mode().Type() == fs.ModeSymlink || f.path != f.destination {
		return want, errors.New("writeToFile does not follow links")
	}
	if f.write.Append {
		f.contents = slices.Concat(f.disk.contents, f.contents)
	}
	return File{Perms: f.write.Perms, User: f.write.User, Group: f.write.Group}.attributes(want)
}

func userID(name string) (int, error) {
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(u.Uid)
}

func groupID(name string) (int, error) {
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

func readOld(path string) (oldFile, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return oldFile{}, nil
	case err != nil:
		return oldFile{}, err
	case info.IsDir():
		return oldFile{}, errors.New("is a directory")
	case !info.Mode().IsRegular():
		return oldFile{}, errors.New("is not a regular file")
	}
	contents, err := os.ReadFile(path)
	if err != nil {
		return oldFile{}, err
	}
	old := oldFile{exists: true, contents: contents, attributes: attributes{mode: info.Mode(), uid: -1, gid: -1}}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		old.uid, old.gid = int(sys.Uid), int(sys.Gid)
	}
	return old, nil
}

// changes reports whether the swap will change the file.
func (f *stagedFile) changes() bool { return f.temporary != "" || f.inPlace }

// save gives the old file a second name, so that it can come back even after a crash, and marks that something is owed.
func (f *stagedFile) save() error {
	if f.marked {
		return nil
	}
	saved := savedOf(f.path)
	if f.disk.exists {
		_ = os.Remove(saved) // of a crash between two steps
		if err := os.Link(f.path, saved); err != nil {
			temporary, _, err := writeTemporary(f.path, f.disk.contents, f.disk.attributes)
			if err != nil {
				return fmt.Errorf("keep the old %s: %w", f.destination, err)
			}
			if err := os.Rename(temporary, saved); err != nil {
				return fmt.Errorf("keep the old %s: %w", f.destination, err)
			}
		}
		f.saved = true
	}
	mark, err := os.OpenFile(markOf(f.path), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	text := markText
	if !f.disk.exists {
		text += markNothing
	}
	_, err = mark.WriteString(text)
	f.marked = true
	return errors.Join(err, mark.Sync(), mark.Close())
}

// swap puts the new file in place.
func (f *stagedFile) swap() error {
	if f.options.Backup && f.disk.exists {
		if err := f.backUp(); err != nil {
			return fmt.Errorf("back %s up: %w", f.destination, err)
		}
	}
	var err error
	if !f.inPlace {
		err = os.Rename(f.temporary, f.path)
		f.inPlace = errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV)
	}
	if f.inPlace {
		err = f.overwrite(f.contents, f.disk.contents)
	}
	if err != nil {
		return fmt.Errorf("put %s in place: %w", f.destination, err)
	}
	f.swapped = true
	return nil
}

// overwrite writes contents through to a file whose name cannot be given to another, such as a file that is mounted, and
// what was there before where that fails half-way.
func (f *stagedFile) overwrite(contents, before []byte) error {
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	write := func(contents []byte) error {
		if _, err := file.WriteAt(contents, 0); err != nil {
			return err
		}
		if err := file.Truncate(int64(len(contents))); err != nil {
			return err
		}
		return file.Sync()
	}
	if err = write(contents); err != nil {
		err = errors.Join(err, write(before))
	}
	return errors.Join(err, file.Close())
}

// backUp gives the old file the name DESTINATION.bak.
func (f *stagedFile) backUp() error {
	temporary := hiddenIn(f.path, ".bak")
	_ = os.Remove(temporary)
	if err := os.Link(f.path, temporary); err != nil {
		return err
	}
	return os.Rename(temporary, f.path+".bak")
}

// undo puts the old file back, or takes the new one away where there was none.
func (f *stagedFile) undo() error {
	if err := f.restore(); err != nil {
		return fmt.Errorf("put the old %s back: %w", f.destination, err)
	}
	f.swapped, f.owed = false, false
	return f.settle()
}

func (f *stagedFile) restore() error {
	switch {
	case !f.old.exists:
		return os.Remove(f.path)
	case f.inPlace:
		return f.overwrite(f.old.contents, f.contents)
	case f.saved:
		f.saved = false
		return os.Rename(savedOf(f.path), f.path)
	}
	temporary, _, err := writeTemporary(f.path, f.old.contents, f.old.attributes)
	if err != nil {
		return err
	}
	return os.Rename(temporary, f.path)
}

// settle takes away what was kept because something was owed.
func (f *stagedFile) settle() error {
	if !f.marked {
		return nil
	}
	f.marked = false
	if err := os.Remove(markOf(f.path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f.saved {
		f.saved = false
		return os.Remove(savedOf(f.path))
	}
	return nil
}

// discard takes away what was staged and not swapped.
func (f *stagedFile) discard() {
	if f.temporary != "" && !f.swapped {
		_ = os.Remove(f.temporary)
	}
}

// writeTemporary writes contents to a new file beside path and syncs it. It has its mode and owner before anyone can see
// the contents under the name path.
func writeTemporary(path string, contents []byte, want attributes) (temporary, warning string, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), temporaryPrefix(path)+"*")
	if err != nil {
		return "", "", err
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if _, err := file.Write(contents); err != nil {
		return "", "", err
	}
	mode := want.mode
	if want.uid >= 0 && want.uid != os.Geteuid() || want.gid >= 0 && want.gid != os.Getegid() {
		if err := file.Chown(want.uid, want.gid); err != nil {
			warning = fmt.Sprintf("%s does not get its owner: %v", path, err)
			mode &= fs.ModePerm // a setuid bit must not move to another owner
		}
	}
	if err := file.Chmod(mode); err != nil {
		return "", "", err
	}
	return file.Name(), warning, file.Sync()
}
