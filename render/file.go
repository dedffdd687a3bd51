package render

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	stay        bool            // it only matters for what is owed: the contents are those on disk
	write       *template.Write // where writeToFile asks for the file; it says more than contents
	want        attributes
	disk        oldFile // what is there before the swap
	old         oldFile // what to go back to: other than disk where a commit before this one did not succeed
	temporary   string  // beside path, with contents; empty where the disk has them already
	inPlace     bool    // written through, because the name cannot be given to another file
	saved       bool    // the old file has a second name
	marked      bool    // a mark is on disk: the action has yet to succeed
	owed        bool    // it had to succeed before this commit, or has to for the old file, which is back
	back        bool    // owed, and the old file is in place
	swapped     bool
}

// live reports whether the new file is in place and its action has yet to succeed.
func (f *stagedFile) live() bool { return f.swapped || f.owed && !f.back }

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
	f.temporary, f.inPlace, f.saved, f.marked, f.owed, f.back, f.swapped = "", false, false, false, false, false, false
	if f.path, err = followLinks(f.destination); err != nil {
		return "", err
	}
	if f.options.RefuseLinks && f.path != f.destination {
		return "", errors.New("is a link, and links are refused")
	}
	if strings.HasSuffix(f.destination, "/") {
		return "", errors.New("ends in a slash, as a folder does; give the path of a file")
	}
	if info, err := os.Stat(f.destination); err == nil && !info.IsDir() && !info.Mode().IsRegular() { // a link to what has no path
		return "", errors.New("is not a regular file; --dry prints what would be written")
	}
	if f.disk, err = readOld(f.path); err != nil {
		return "", err
	}
	if err := f.recall(); err != nil {
		return "", err
	}
	if f.stay {
		f.contents = f.disk.contents
		return "", nil
	}
	f.want = f.disk.attributes
	if !f.disk.exists {
		f.want = attributes{mode: newFileMode, uid: -1, gid: -1}
	}
	if f.write != nil {
		err = f.prepareWrite()
	} else {
		f.want, err = f.options.attributes(f.want)
	}
	if err != nil {
		return "", err
	}
	if f.disk.exists && bytes.Equal(f.disk.contents, f.contents) {
		return "", f.repair()
	}
	return f.stageNew()
}

func (f *stagedFile) stageNew() (warning string, err error) {
	if !f.disk.exists {
		if err := f.makeFolder(); err != nil {
			return "", err
		}
	}
	if f.want.uid == f.disk.uid && f.want.gid == f.disk.gid {
		f.temporary, warning, err = writeLike(f.path, f.contents, f.want)
	} else {
		f.temporary, err = writeTemporary(f.path, f.contents, f.want)
	}
	_, noOwner := errors.AsType[ownerError](err)
	switch {
	case errors.Is(err, syscall.EROFS) && f.disk.exists: // a file that is mounted into a folder that cannot be written
		f.inPlace = true
		return fmt.Sprintf("%s is written in place: %v", f.destination, err), nil
	case errors.Is(err, fs.ErrPermission) && !noOwner:
		err = fmt.Errorf("%w; render makes a new file beside the old one and then renames it, so it needs to write to the folder", err)
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
	mark, err := readOwn(markOf(f.path))
	if err != nil || !mark.exists {
		return err
	}
	saved, err := readOwn(savedOf(f.path))
	if err != nil {
		return err
	}
	f.marked, f.owed = true, true
	switch {
	case saved.exists:
		f.old, f.saved = saved, true
	case string(mark.contents) == markText+markNothing:
		f.old, f.back = oldFile{}, !f.disk.exists
	default:
		f.back = true
	}
	return nil
}

// repair gives a file that has its contents the mode and owner that it should have. Nobody needs to reload because of that.
func (f *stagedFile) repair() error {
	if f.disk.attributes == f.want {
		return nil
	}
	return f.want.give(f.path, f.disk.attributes)
}

// give gives a file attributes in place of those that it has.
func (a attributes) give(path string, have attributes) error {
	if a.uid != have.uid || a.gid != have.gid {
		if err := os.Chown(path, a.uid, a.gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, a.mode) // also where it has the mode: a new owner takes bits away
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

// Find returns an error where there is no such user or group.
func (o File) Find() error {
	_, err := o.attributes(attributes{})
	return err
}

// prepareWrite makes the file what writeToFile asks for.
func (f *stagedFile) prepareWrite() (err error) {
	parent := filepath.Dir(f.destination)
	if info, err := os.Lstat(parent); err == nil && info.Mode().Type() == fs.ModeSymlink || f.path != f.destination {
		return errors.New("writeToFile does not follow links")
	}
	if f.write.Append {
		f.contents = slices.Concat(f.disk.contents, f.contents)
	}
	f.want, err = File{Perms: f.write.Perms, User: f.write.User, Group: f.write.Group}.attributes(f.want)
	return err
}

func userID(name string) (int, error) {
	if id, isNumber := numericID(name); isNumber {
		return id, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(u.Uid)
}

// numericID returns the ID that a text is, if it is one. The largest number stands for none.
func numericID(text string) (id int, isNumber bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return int(n), err == nil && n != math.MaxUint32
}

func groupID(name string) (int, error) {
	if id, isNumber := numericID(name); isNumber {
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

// readOwn reads a file of our own. What else has its name is somebody else's, who may want us to follow a link of theirs.
func readOwn(path string) (oldFile, error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return oldFile{}, inTheWay(path)
	}
	return readOld(path)
}

func inTheWay(path string) error { return fmt.Errorf("%s is in the way; remove it", path) }

// changes reports whether the swap will change the file.
func (f *stagedFile) changes() bool { return f.temporary != "" || f.inPlace }

// save gives the old file a second name, so that it can come back even after a crash, and marks that something is owed.
func (f *stagedFile) save() error {
	if f.disk.exists && !f.saved && (!f.marked || f.back) {
		saved := savedOf(f.path)
		if err := os.Remove(saved); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a crash between two steps
			return errors.Join(inTheWay(saved), err)
		}
		if err := f.keepAs(saved, saved); err != nil {
			return fmt.Errorf("keep the old %s: %w", f.destination, err)
		}
		f.saved = true
	}
	if f.marked {
		return nil
	}
	mark, err := os.OpenFile(markOf(f.path), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	f.marked = true
	text := markText
	if !f.disk.exists {
		text += markNothing
	}
	_, err = mark.WriteString(text)
	return errors.Join(err, mark.Sync(), mark.Close())
}

// keepAs gives the file on disk another name, over what has it now, or a copy of it where it can have no other. The link is
// made under a name of its own first.
func (f *stagedFile) keepAs(name, link string) error {
	err := os.Link(f.path, link)
	if err != nil {
		if link, _, err = writeLike(f.path, f.disk.contents, f.disk.attributes); err != nil {
			return err
		}
	}
	if link == name {
		return nil
	}
	if err = renameOver(link, name); err != nil {
		_ = os.Remove(link)
	}
	return err
}

// renameOver gives a file the name of another. Two names of one file would both stay by a rename alone.
func renameOver(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return removeAny(from)
}

// removeAny removes a file, if there is one.
func removeAny(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// swap puts the new file in place.
func (f *stagedFile) swap() error {
	if !f.inPlace {
		err := os.Rename(f.temporary, f.path)
		if f.inPlace = isMounted(err); err != nil && !f.inPlace {
			return fmt.Errorf("put %s in place: %w", f.destination, err)
		}
	}
	if f.inPlace {
		if f.temporary != "" {
			_ = os.Remove(f.temporary)
			f.temporary = ""
		}
		if err := f.overwrite(f.contents, f.disk.contents, f.want, f.disk.attributes); err != nil {
			return fmt.Errorf("write %s in place: %w", f.destination, err)
		}
	}
	f.swapped = true
	return nil
}

// isMounted reports whether a rename has failed because there is a mount of its own in the way.
func isMounted(err error) bool { return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) }

// overwrite writes contents through to a file whose name cannot be given to another, such as a file that is mounted, and
// what was there before where that fails half-way.
func (f *stagedFile) overwrite(contents, before []byte, want, have attributes) error {
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
	if want != have {
		err = want.give(f.path, have)
	}
	if err == nil {
		if err = write(contents); err != nil {
			err = errors.Join(err, write(before))
		}
	}
	return errors.Join(err, file.Close())
}

// backUp gives the file on disk the name DESTINATION.bak.
func (f *stagedFile) backUp() error {
	if !f.disk.exists {
		return nil
	}
	link := hiddenIn(f.path, ".bak")
	if err := removeAny(link); err != nil {
		return err
	}
	return f.keepAs(f.path+".bak", link)
}

// undo puts the old file back, or takes the new one away where there was none. Where the action may have acted on the new
// one, by this commit or an earlier one, it stays on disk that it has to succeed: for the old one.
func (f *stagedFile) undo(acted bool) error {
	if err := f.restore(); err != nil {
		return fmt.Errorf("put the old %s back: %w", f.destination, err)
	}
	f.swapped, f.saved = false, false
	if acted || f.owed {
		f.owed, f.back = true, true
		return nil
	}
	return f.unmark()
}

func (f *stagedFile) restore() error {
	if !f.old.exists {
		return removeAny(f.path)
	}
	if !f.inPlace {
		err := f.restoreByName()
		if f.inPlace = isMounted(err); !f.inPlace {
			return err
		}
	}
	if err := f.overwrite(f.old.contents, f.contents, f.old.attributes, f.want); err != nil {
		return err
	}
	return f.dropSaved()
}

func (f *stagedFile) restoreByName() error {
	if f.saved {
		if err := renameOver(savedOf(f.path), f.path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	temporary, _, err := writeLike(f.path, f.old.contents, f.old.attributes)
	if err != nil {
		return err
	}
	if err = os.Rename(temporary, f.path); err != nil {
		_ = os.Remove(temporary)
	}
	return err
}

// giveUp undoes what this commit has done to a file so far.
func (f *stagedFile) giveUp() (err error) {
	if f.swapped {
		err = f.undo(false)
	} else if !f.owed {
		err = f.unmark()
	}
	f.discard()
	return err
}

// keepBackup makes what the file was before its backup, when the action has succeeded with the file in place.
func (f *stagedFile) keepBackup() error {
	if !f.saved || !f.options.Backup || bytes.Equal(f.old.contents, f.contents) {
		return nil
	}
	err := renameOver(savedOf(f.path), f.path+".bak")
	f.saved = err != nil
	return err
}

// unmark takes away what was kept because something was owed: the mark first, or a crash would make it look as if the old
// file were in place.
func (f *stagedFile) unmark() error {
	if f.marked {
		if err := removeAny(markOf(f.path)); err != nil {
			return err
		}
	}
	f.marked, f.owed, f.back = false, false, false
	return f.dropSaved()
}

func (f *stagedFile) dropSaved() error {
	if !f.saved {
		return nil
	}
	f.saved = false
	return removeAny(savedOf(f.path))
}

// discard takes away what was staged and not swapped.
func (f *stagedFile) discard() {
	if f.swapped {
		return
	}
	if f.temporary != "" {
		_ = os.Remove(f.temporary)
	}
	f.temporary, f.inPlace = "", false
}

// An ownerError says that a file could not be given to its owner.
type ownerError struct{ error }

func (e ownerError) Error() string { return "it does not get its owner: " + e.error.Error() }
func (e ownerError) Unwrap() error { return e.error }

// writeLike is writeTemporary for a file with an owner that it would be good to keep: if that cannot be it is ours.
func writeLike(path string, contents []byte, want attributes) (temporary, warning string, err error) {
	temporary, err = writeTemporary(path, contents, want)
	if _, noOwner := errors.AsType[ownerError](err); noOwner {
		warning = fmt.Sprintf("%s: %v", path, err)
		want = attributes{mode: want.mode & fs.ModePerm, uid: -1, gid: -1} // a setuid bit must not move to another owner
		temporary, err = writeTemporary(path, contents, want)
	}
	return temporary, warning, err
}

// writeTemporary writes contents to a new file beside path and syncs it. It has its mode and owner, and the extended
// attributes of the file at path, before anyone can see the contents under the name path.
func writeTemporary(path string, contents []byte, want attributes) (temporary string, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), temporaryPrefix(path)+"*")
	if err != nil {
		return "", err
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if _, err := file.Write(contents); err != nil {
		return "", err
	}
	if want.uid >= 0 && want.uid != os.Geteuid() || want.gid >= 0 && want.gid != os.Getegid() {
		if err := file.Chown(want.uid, want.gid); err != nil {
			return "", ownerError{err}
		}
	}
	copyExtended(path, file.Name()) // before the mode: a list of rights has a mode in it
	if err := file.Chmod(want.mode); err != nil {
		return "", err
	}
	return file.Name(), file.Sync()
}
