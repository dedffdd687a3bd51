package disk

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"render/render/disk/folder"

	"golang.org/x/sys/unix"

	"render/watch/hint"
)

// A Want is what a commit wants at one destination.
type Want struct {
	Path     string // as configured
	Contents []byte
	Options  Options
	NoLinks  bool // of writeToFile: neither the last element nor the folder it is in may be a link
	Keep     bool // write nothing: the destination takes part only because of a Debt
	// Recall reports whether the contents that are to be replaced are to be remembered, for what size they have together with the new ones; nil
	// for never. See File.Before.
	Recall func(bytes int64) bool
}

// A state is how far a file of a batch is.
type state int

const (
	unchanged state = iota // nothing is to be swapped
	staged                 // the new contents wait beside the destination, or in memory
	swapped                // the new contents are in place, by this batch
	undone                 // the old file is in place again, or none where there was none
	completed              // the new contents are in place, by this batch, and the action has succeeded
)

// A method is how new contents get in place.
type method int

const (
	byName  method = iota // a new file gets the name
	inPlace               // the file is written through, because its name cannot be given to another file
)

// A File is one destination in a batch. Unless something else is said, its methods are for the goroutine of the batch.
type File struct {
	batch *Batch
	want  Want
	rec   *record // nil where nothing is known of the destination yet

	// What Stage has found.
	folder *folder.Folder // nil where Stage has not got so far
	name   string         // in the folder
	disk   *folder.Info   // what is in place before the swap; nil for none
	attrs  attributes     // of the new file
	old    *folder.Info   // what to go back to: not what is in place where a debt is live; nil for none

	// How far it is.
	state     state
	method    method
	temporary string          // name of the staged file
	stagedID  folder.Identity // of that
	saved     *folder.Info    // the old file under its second name; nil where it has none
	before    []byte          // what was in place before it was written in place
	replaced  []byte          // what was in place when it was staged, where Want.Recall wanted that
	mustAct   bool            // Save was called: the action has to succeed
}

// Path returns Want.Path.
func (f *File) Path() string { return f.want.Path }

// Real returns where the destination really is, from the root: where Stage has found it, else where a Debt names it. "" means
// that neither is known.
func (f *File) Real() string {
	if f.rec == nil {
		return ""
	}
	return filepath.Join(f.rec.folder, f.rec.name)
}

// Changes reports whether Swap will change the destination.
func (f *File) Changes() bool { return f.state == staged }

// Swapped reports whether this batch has put the new contents in place, and not undone that.
func (f *File) Swapped() bool { return f.state == swapped || f.state == completed }

// Pending reports whether the action had to succeed for the destination before this batch, or has to for the old file, which is
// in place again.
func (f *File) Pending() bool { return f.isRecorded() && f.rec.debt != nothing }

// isRecorded reports whether the record of the destination is about this File, and not about another one of the batch.
func (f *File) isRecorded() bool { return f.rec != nil && (f.rec.file == f || f.rec.file == nil) }

// Live reports whether new contents are in place, by this batch or an earlier one, and the action has not succeeded since.
func (f *File) Live() bool {
	if f.state == unchanged || f.state == staged {
		return f.folder != nil && f.Pending() && f.rec.debt == forNew
	}
	return f.state == swapped
}

// HadFile reports whether there is an old file to go back to.
func (f *File) HadFile() bool { return f.old != nil }

// Back reports whether the action has to succeed for the old file, or for none, and that is what is in place.
func (f *File) Back() bool {
	return f.Pending() && f.rec.debt == forOld && f.state != swapped
}

// content returns size and sum of the new contents.
func (f *File) content() content {
	return content{int64(len(f.want.Contents)), sha256.Sum256(f.want.Contents)}
}

// stage compares the destination with the disk and stages what differs.
func (f *File) stage() (warnings []string, err error) {
	w := &f.want
	f.rec = f.batch.debtOf(w.Path) // whatever fails now: the action has to succeed for it
	if strings.HasSuffix(w.Path, "/") {
		return nil, hint.With(errors.New("the path ends in a slash, which means a folder"), "use the path of a file")
	}
	ids := owner{-1, -1}
	if !w.Keep {
		if ids, err = f.batch.owner(w.Options); err != nil {
			return nil, err
		}
	}

	d, name, err := folder.Resolve(w.Path, w.Options.rule(w.NoLinks), !w.Options.NoFolders && !w.Keep)
	if _, missing := errors.AsType[folder.MissingError](err); missing {
		if w.Keep {
			return nil, nil
		}
		return nil, missingFolder(err)
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	debt, err := f.batch.register(f, d.Folder, name)
	if err != nil {
		return nil, err
	}
	if err := f.find(d, name, debt); err != nil || w.Keep {
		return nil, err
	}

	f.attrs = w.Options.attributes(ids, f.disk)
	if f.disk == nil {
		return f.stageNew(d, folder.NoHandle)
	}
	return f.compare(d)
}

// missingFolder returns the error of a destination whose folder render may not create.
func missingFolder(err error) error {
	return hint.With(fmt.Errorf("the folder is missing, and create_dest_dirs is off: %w", err), "create the folder, or set create_dest_dirs")
}

// find finds out what is in place. debt is what a mark says of new contents there; nil for nothing.
func (f *File) find(d folder.Dir, name string, debt *entry) error {
	is, err := d.StatAt(name)
	switch {
	case err == nil:
		if err := is.MustBeRegular(); err != nil {
			return err
		}
		f.disk = &is
	case !errors.Is(err, fs.ErrNotExist):
		return d.PathError("stat", name, err)
	}
	f.old = f.disk
	if debt != nil {
		a := debt.assess(d, f.disk)
		if a.live {
			f.old, f.saved = a.saved, a.saved
		}
		f.batch.assessed(f, a)
	}
	f.folder, f.name = d.Folder, name
	return nil
}

// compare compares the contents in place with the wanted ones.
func (f *File) compare(d folder.Dir) (warnings []string, err error) {
	h, is, err := folder.OpenRegular(d, f.name)
	if err != nil {
		return nil, d.PathError("open", f.name, err)
	}
	defer h.Close()
	if is.Identity != f.disk.Identity {
		return nil, fmt.Errorf("%s changed while render read it", d.Path(f.name))
	}
	if is.Size != int64(len(f.want.Contents)) {
		f.readOld(h)
		return f.stageNew(d, h)
	}
	same, err := h.Holds(f.want.Contents)
	switch {
	case err != nil:
		return nil, d.PathError("read", f.name, err)
	case !same:
		f.readOld(h)
		return f.stageNew(d, h)
	case attributesOf(is) == f.attrs:
		return nil, nil
	}
	return f.repair(d, h)
}

// source returns what the new file gets. The old one, if there is one, is open.
func (f *File) source(old folder.Handle) source {
	s := source{contents: bytes.NewReader(f.want.Contents), want: f.attrs, old: old, syncs: f.batch.Syncs}
	if f.disk != nil {
		s.keepOwner, s.oldOwner = f.want.Options.keepsOwner(), f.disk.UID
	}
	return s
}

func (f *File) stageNew(d folder.Dir, old folder.Handle) (warnings []string, err error) {
	name, is, warnings, err := writeTemporary(d, f.name, f.source(old))
	_, noOwner := errors.AsType[ownerError](err)
	switch {
	case errors.Is(err, unix.EROFS) && f.disk != nil: // a file that is mounted into a folder that cannot be written
		if f.disk.Size > maxCopy {
			return nil, f.tooLarge()
		}
		f.method, f.state = inPlace, staged
		return []string{fmt.Sprintf("%s is written in place: %v", f.want.Path, err)}, nil
	case errors.Is(err, fs.ErrPermission) && !noOwner:
		return nil, hint.With(err, "give render the right to write to the folder: render creates a new file there and renames it")
	case err != nil:
		return nil, err
	}
	f.temporary, f.stagedID, f.state = name, is.Identity, staged
	return f.about(warnings), nil
}

// about adds the path to warnings.
func (f *File) about(warnings []string) []string {
	for i, w := range warnings {
		warnings[i] = f.want.Path + ": " + w
	}
	return warnings
}

func (f *File) tooLarge() error {
	return fmt.Errorf("the file can only be written in place, and the previous contents have %d bytes; render keeps at most %d", f.disk.Size, maxCopy)
}

// repair gives a file that has its contents the mode and owner that it should have. Nobody needs to reload because of that.
// An inode that may have another name, in a folder where others make names, is not touched: a new file takes its place.
func (f *File) repair(d folder.Dir, h folder.Handle) (warnings []string, err error) {
	if f.disk.Links != 1 || !f.folder.IsOurs() {
		temporary, _, warnings, err := writeTemporary(d, f.name, f.source(h))
		if err == nil {
			if err = d.Rename(temporary, f.name); err != nil {
				_ = d.Remove(temporary)
				err = d.PathError("rename to", f.name, err)
			}
		}
		if !errors.Is(err, unix.EROFS) && !isMounted(err) {
			return f.about(warnings), errors.Join(err, f.repaired(d))
		}
	}
	if err := f.attrs.give(h); err != nil {
		return nil, d.PathError("change", f.name, err)
	}
	return nil, f.repaired(d)
}

// repaired notes what is in place after a repair.
func (f *File) repaired(d folder.Dir) error {
	is, err := d.StatAt(f.name)
	if err != nil {
		return d.PathError("stat", f.name, err)
	}
	if f.old == f.disk {
		f.old = &is
	}
	f.disk = &is
	return nil
}

// give gives an open file attributes. The mode is the last: a new owner takes bits away.
func (a attributes) give(h folder.Handle) error {
	if err := a.owner.give(h); err != nil {
		return err
	}
	return h.Chmod(a.mode)
}

// isMounted reports whether a rename has failed because there is a mount of its own in the way.
func isMounted(err error) bool { return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EXDEV) }

// Candidate returns the path of a file with the contents, for a check before the swap. remove removes what was made for that;
// it is never nil.
func (f *File) Candidate() (path string, remove func(), err error) {
	remove = func() {}
	switch {
	case f.folder == nil:
		return f.want.Path, remove, nil
	case f.temporary != "":
		return filepath.Join(f.folder.Path, f.temporary), remove, nil
	case f.state != staged:
		return filepath.Join(f.folder.Path, f.name), remove, nil
	}
	tmp, err := os.MkdirTemp("", "render-check-")
	if err != nil {
		return "", remove, err
	}
	remove = func() { _ = os.RemoveAll(tmp) }
	path = filepath.Join(tmp, f.name)
	return path, remove, os.WriteFile(path, f.want.Contents, 0o600)
}

// keepOld gives the file in place a second name, or makes a copy of it where it can have none.
func (f *File) keepOld(d folder.Dir) error {
	if f.disk == nil || f.saved != nil {
		return nil
	}
	saved := savedName(f.name)
	if err := f.clear(d, saved); err != nil {
		return err
	}
	is, err := f.secondName(d, saved)
	if err != nil {
		return fmt.Errorf("keep the previous %s: %w", f.want.Path, err)
	}
	f.saved = &is
	return nil
}

// clear removes what a crash has left under a name of ours. What is no file was not left by us.
func (f *File) clear(d folder.Dir, name string) error {
	is, err := d.StatAt(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !is.IsRegular() {
		return inTheWay(d.Path(name))
	}
	if err == nil {
		err = d.Remove(name)
	}
	if err != nil {
		return errors.Join(inTheWay(d.Path(name)), err)
	}
	return nil
}

// secondName gives the file in place another name, or a copy of it where it can have no other.
func (f *File) secondName(d folder.Dir, name string) (folder.Info, error) {
	if f.canLink() {
		err := d.Link(f.name, name)
		switch {
		case err == nil:
			is, err := d.StatAt(name)
			if err == nil && !is.IsSameFile(*f.disk) {
				err = errors.New("the file changed while render read it")
			}
			if err != nil {
				_ = d.Remove(name)
			}
			return is, err
		case errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, fs.ErrNotExist):
			return folder.Info{}, d.PathError("link to", name, err)
		}
	}
	return f.copyTo(d, name)
}

// canLink reports whether a second name of the file in place is of use: one that shares the inode with a file that is written
// in place is not, and one that we could not remove again must not be made.
func (f *File) canLink() bool {
	euid := os.Geteuid()
	mayRemove := euid == 0 || f.disk.UID == euid || f.folder.UID == euid || f.folder.Mode&fs.ModeSticky == 0
	return f.method == byName && mayRemove
}

func (f *File) copyTo(d folder.Dir, name string) (folder.Info, error) {
	h, is, err := folder.OpenRegular(d, f.name)
	if err != nil {
		return folder.Info{}, d.PathError("open", f.name, err)
	}
	defer h.Close()
	if !is.IsSameFile(*f.disk) {
		return folder.Info{}, errors.New("the file changed while render read it")
	}
	s, err := copyOf(h, is)
	if err != nil {
		return folder.Info{}, err
	}
	temporary, _, _, err := writeTemporary(d, f.name, s)
	if err != nil {
		return folder.Info{}, err
	}
	if err := d.Rename(temporary, name); err != nil {
		_ = d.Remove(temporary)
		return folder.Info{}, d.PathError("rename to", name, err)
	}
	return d.StatAt(name)
}

// BackUp keeps the file on disk as DESTINATION.bak, if Options.Backup says so. It is called before the swap, and only where no
// action has to succeed; otherwise Complete makes the backup.
func (f *File) BackUp() error {
	if !f.want.Options.Backup || f.disk == nil || f.state != staged {
		return nil
	}
	d, err := f.folder.Open()
	if err != nil {
		return err
	}
	defer d.Close()
	link := hidden(f.name) + backupEnd
	if err := f.clear(d, link); err != nil {
		return err
	}
	if _, err := f.secondName(d, link); err != nil {
		return err
	}
	if err = d.RenameOver(link, f.name+backupEnd); err != nil {
		_ = d.Remove(link)
	}
	return d.PathError("rename to", f.name+backupEnd, err)
}

// Swap puts the new contents in place. A file whose name cannot be given to another file, because it is mounted by itself, is
// written in place, with a warning: a crash half-way then leaves it torn.
func (f *File) Swap() (warnings []string, err error) {
	if f.state != staged {
		return nil, nil
	}
	d, err := f.folder.Open()
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if f.method == byName {
		warnings, err = f.swapName(d)
		if err != nil {
			return warnings, fmt.Errorf("put %s in place: %w", f.want.Path, err)
		}
	}
	if f.method == inPlace {
		if err := f.swapContents(d); err != nil {
			return warnings, fmt.Errorf("write %s in place: %w", f.want.Path, err)
		}
	}
	if f.saved == nil { // else finish does it
		if err := f.restrictBackup(d); err != nil {
			warnings = append(warnings, fmt.Sprintf("%s: the mode of the backup is not changed: %v", f.want.Path, err))
		}
	}
	f.state = swapped
	f.batch.changed(f)
	f.batch.step("swapped one")
	return warnings, nil
}

// swapName gives the staged file the name of the destination. Where that is mounted the method is another one afterwards.
func (f *File) swapName(d folder.Dir) (warnings []string, err error) {
	if !f.mustAct && !f.batch.NoUndo { // only this process may go back
		if err := f.keepOld(d); err != nil {
			return nil, err
		}
	}
	is, err := d.StatAt(f.temporary)
	if err == nil && is.Identity != f.stagedID {
		err = errors.New("another program has replaced this file")
	}
	if err != nil {
		return nil, d.PathError("rename", f.temporary, err)
	}
	err = d.Rename(f.temporary, f.name)
	if err == nil {
		f.temporary = ""
		return nil, nil
	}
	err = d.PathError("rename to", f.name, err)
	if !isMounted(err) || f.disk == nil {
		return nil, err
	}

	warnings = []string{fmt.Sprintf("%s is written in place: %v", f.want.Path, err)}
	if err := d.Remove(f.temporary); err != nil {
		return warnings, err
	}
	f.temporary, f.method = "", inPlace
	return warnings, f.saveForWriting(d)
}

// saveForWriting makes sure that the saved file is not the one that will be written in place.
func (f *File) saveForWriting(d folder.Dir) error {
	if f.saved == nil || f.saved.Identity != f.disk.Identity {
		return nil
	}
	if err := d.Remove(savedName(f.name)); err != nil {
		return err
	}
	f.saved = nil
	if !f.mustAct {
		return nil
	}
	if err := f.keepOld(d); err != nil {
		return err
	}
	return f.batch.mark(d)
}

// swapContents writes the new contents through to the file in place. It keeps the old ones in memory.
func (f *File) swapContents(d folder.Dir) error {
	if f.disk.Size > maxCopy {
		return f.tooLarge()
	}
	h, is, err := folder.OpenRegular(d, f.name)
	if err != nil {
		return err
	}
	defer h.Close()
	if !is.IsSameFile(*f.disk) {
		return errors.New("the file changed while render read it")
	}
	before, err := io.ReadAll(io.LimitReader(h, maxCopy+1))
	if err != nil {
		return err
	}
	f.before = before
	return f.overwrite(d, f.want.Contents, f.attrs, before)
}

// overwrite writes contents through to the file in place, and what was there before where that fails half-way.
func (f *File) overwrite(d folder.Dir, contents []byte, want attributes, before []byte) error {
	if _, _, err := closed(folder.OpenRegular(d, f.name)); err != nil {
		return err
	}
	h, err := folder.OpenAt(d.Handle, f.name, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer h.Close()
	is, err := h.Stat()
	if err == nil {
		err = is.MustBeRegular()
	}
	if err == nil && is.Links > 1 && !f.folder.IsOurs() {
		err = errors.New("the file has another hard link, and other users may write to the folder")
	}
	if err == nil && attributesOf(is) != want {
		err = want.give(h)
	}
	if err != nil {
		return err
	}
	if err := h.Replace(contents); err != nil {
		return errors.Join(err, h.Replace(before))
	}
	return nil
}

// closed closes a file that was only opened to see whether that is possible.
func closed(h folder.Handle, is folder.Info, err error) (folder.Handle, folder.Info, error) {
	h.Close()
	return folder.NoHandle, is, err
}

// Undo puts the old file back, or removes the new one where there was none. acted says that the action may have acted on the
// new contents: then it has to succeed for the old ones. It also has to where it had to before this batch. A file that is not
// live stays as it is. So does one that somebody else has changed or replaced since: Close returns a warning of it.
func (f *File) Undo(acted bool) error {
	if !f.Live() {
		return nil
	}
	d, err := f.folder.Open()
	if err == nil {
		defer d.Close()
		err = f.restoreOurs(d)
	}
	if err != nil {
		return fmt.Errorf("restore the previous %s: %w", f.want.Path, err)
	}

	f.discardStaged(d)
	f.state, f.mustAct, f.saved = undone, false, nil
	if f.rec.debt != nothing || acted {
		f.rec.debt = forOld
		f.rec.entry = entry{Name: fileName(f.name), Old: f.old != nil}
	}
	f.batch.changed(f)
	f.batch.step("undone one")
	return nil
}

// restoreOurs restores the old file, unless what is in place is not what was put there.
func (f *File) restoreOurs(d folder.Dir) error {
	isOurs, err := f.isInPlace(d)
	if err != nil {
		return err
	}
	if isOurs {
		return f.restore(d)
	}
	f.batch.warnings = append(f.batch.warnings,
		fmt.Sprintf("%s was changed by someone else after render wrote it; it stays, and the old file is not restored", f.want.Path))
	if f.saved != nil && f.checkSaved(d) == nil {
		_ = d.Remove(savedName(f.name))
	}
	return nil
}

// isInPlace reports whether the contents in place are still those of this batch, or of the earlier commit whose debt is live.
// It goes by the contents, as Recall does: a number of an inode is given to another file soon. A file that was removed has
// nothing that an undo could destroy.
func (f *File) isInPlace(d folder.Dir) (bool, error) {
	want := f.rec.now
	if f.state == swapped {
		want = f.content()
	}
	is, err := d.StatAt(f.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, d.PathError("stat", f.name, err)
	case !is.IsRegular() || is.Size != want.Size:
		return false, nil
	}

	h, is, err := folder.OpenRegular(d, f.name)
	if err != nil {
		return false, d.PathError("open", f.name, err)
	}
	defer h.Close()
	got, err := contentOf(h, is.Size)
	return got == want, d.PathError("read", f.name, err)
}

func (f *File) restore(d folder.Dir) error {
	if f.old == nil {
		return d.PathError("remove", f.name, d.Remove(f.name))
	}
	if f.method == byName {
		if err := f.checkSaved(d); err != nil {
			return err
		}
		err := d.RenameOver(savedName(f.name), f.name)
		if !isMounted(err) {
			return d.PathError("rename to", f.name, err)
		}
		f.method = inPlace
	}

	before, err := f.contentsBefore(d)
	if err != nil {
		return err
	}
	if err := f.overwrite(d, before, attributesOf(*f.old), f.want.Contents); err != nil {
		return err
	}
	if f.saved != nil {
		return d.Remove(savedName(f.name))
	}
	return nil
}

// checkSaved checks that the saved file is still what it was.
func (f *File) checkSaved(d folder.Dir) error {
	saved := savedName(f.name)
	is, err := d.StatAt(saved)
	if err == nil && (f.saved == nil || is.Identity != f.saved.Identity) {
		err = errors.New("another program has replaced this file")
	}
	return d.PathError("stat", saved, err)
}

// contentsBefore returns what was in place of a file that is written in place.
func (f *File) contentsBefore(d folder.Dir) ([]byte, error) {
	if f.before != nil {
		return f.before, nil
	}
	if err := f.checkSaved(d); err != nil {
		return nil, err
	}
	h, is, err := folder.OpenRegular(d, savedName(f.name))
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if is.Size > maxCopy {
		return nil, f.tooLarge()
	}
	return io.ReadAll(io.LimitReader(h, maxCopy))
}

// GiveUp undoes what this batch has done to the file so far, and removes what was staged.
func (f *File) GiveUp() error {
	if f.state == swapped {
		return f.Undo(false)
	}
	f.Discard()
	return nil
}

// Discard removes what was staged and not swapped.
func (f *File) Discard() {
	if f.state != staged {
		return
	}
	if d, err := f.folder.Open(); err == nil {
		f.discardStaged(d)
		f.forgetOld(d)
		d.Close()
	}
	f.state, f.mustAct = unchanged, false
}

func (f *File) discardStaged(d folder.Dir) {
	if f.temporary != "" {
		_ = d.Remove(f.temporary)
		f.temporary = ""
	}
}

// forgetOld removes the second name of a file that stays in place. The one of an earlier commit is still of use.
func (f *File) forgetOld(d folder.Dir) {
	if f.saved != nil && f.rec.debt != forNew {
		_ = d.Remove(savedName(f.name))
		f.saved = nil
	}
}

// finish removes the saved file when the action has succeeded, or makes it the backup.
func (f *File) finish(d folder.Dir) (warning string) {
	saved := savedName(f.name)
	if f.saved == nil || f.state == undone {
		return ""
	}
	keep, err := f.isBackup(d, saved)
	if err == nil && keep {
		err = d.PathError("rename to", f.name+backupEnd, d.RenameOver(saved, f.name+backupEnd))
	}
	if err != nil {
		warning = fmt.Sprintf("%s has no backup: %v", f.want.Path, err)
	}
	if err != nil || !keep {
		_ = d.Remove(saved)
	}
	if err := f.restrictBackup(d); err != nil && warning == "" {
		warning = fmt.Sprintf("%s: the mode of the backup is not changed: %v", f.want.Path, err)
	}
	f.saved = nil
	return warning
}

// restrictBackup takes rights from a backup that the file in place does not give: who may not read that may not read what it had before.
// A file with other names keeps its rights, which are those of these names, too.
func (f *File) restrictBackup(d folder.Dir) error {
	if !f.want.Options.Backup || f.disk == nil || f.disk.Mode&fs.ModePerm&^f.attrs.mode == 0 {
		return nil
	}
	h, is, err := folder.OpenRegular(d, f.name+backupEnd)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return d.PathError("open", f.name+backupEnd, err)
	}
	defer h.Close()
	if mode := is.Mode &^ (fs.ModePerm &^ f.attrs.mode); mode != is.Mode && is.Links == 1 {
		return h.Chmod(mode)
	}
	return nil
}

// isBackup reports whether the saved file is to be the backup: not where it has the contents in place.
func (f *File) isBackup(d folder.Dir, saved string) (bool, error) {
	if !f.want.Options.Backup || !f.mustAct && f.rec.debt == nothing {
		return false, nil
	}
	h, is, err := folder.OpenRegular(d, saved)
	if err != nil {
		return false, err
	}
	defer h.Close()
	if is.Size != int64(len(f.want.Contents)) {
		return true, nil
	}
	same, err := h.Holds(f.want.Contents)
	return !same, err
}
