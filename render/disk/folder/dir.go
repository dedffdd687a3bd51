package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A Folder is a folder that was found: a path from the root that had no link in it, and what fstat said of it. No descriptor
// stays open.
type Folder struct {
	Path string
	Info
}

// A Dir is an open folder. Whoever has it closes it.
type Dir struct {
	Handle
	Folder *Folder
}

// Path returns the path of a name in the folder.
func (d Dir) Path(name string) string { return filepath.Join(d.Folder.Path, name) }

// Open opens the folder again, without following any link. A folder that is another one now is an error.
func (f *Folder) Open() (Dir, error) {
	d, err := Open(f.Path)
	if err == nil && d.Folder.Identity != f.Identity {
		d.Close()
		return Dir{NoHandle, nil}, fmt.Errorf("another folder has replaced %s", f.Path)
	}
	return d, err
}

// IsOurs reports whether nobody but root and we can give names in the folder to other files.
func (f *Folder) IsOurs() bool {
	return (f.UID == 0 || f.UID == os.Geteuid()) && f.Mode&0o022 == 0
}

// openReal opens a folder by a path from the root without following any link.
func openReal(path string) (Handle, error) {
	if h, err := openWithoutLinks(path); err == nil {
		return h, nil
	}
	return openByNames(path)
}

// openByNames is openReal where the system cannot open a path without links in one step.
func openByNames(path string) (Handle, error) {
	at, err := OpenAt(unix.AT_FDCWD, "/", folderFlags, 0)
	if err != nil {
		return NoHandle, err
	}
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			continue
		}
		next, err := OpenAt(at, name, folderFlags, 0)
		at.Close()
		if err != nil {
			return NoHandle, err
		}
		at = next
	}
	return at, nil
}

// Open opens a folder by a path from the root without following any link.
func Open(path string) (Dir, error) {
	h, err := openReal(path)
	if err != nil {
		return Dir{NoHandle, nil}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	is, err := h.Stat()
	if err != nil {
		h.Close()
		return Dir{NoHandle, nil}, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return Dir{h, &Folder{path, is}}, nil
}

// A SyncError says that a folder could not be synced.
type SyncError struct{ error }

// Unwrap returns why the folder could not be synced.
func (e SyncError) Unwrap() error { return e.error }

// Sync syncs the folder: names that have changed are on disk. A folder that cannot be read, or a file system that cannot sync
// folders, is no error. Every other error is a SyncError.
func (d Dir) Sync() error {
	if err := d.syncFolder(); err != nil {
		return SyncError{&fs.PathError{Op: "sync", Path: d.Folder.Path, Err: err}}
	}
	return nil
}

// OpenRegular opens a file to read it. What is no regular file is an error, and not opened.
func OpenRegular(d Dir, name string) (Handle, Info, error) {
	is, err := d.StatAt(name)
	if err == nil {
		err = is.MustBeRegular()
	}
	if err != nil {
		return NoHandle, is, err
	}
	h, err := OpenAt(d.Handle, name, unix.O_RDONLY, 0)
	if err != nil {
		return NoHandle, is, err
	}
	is, err = h.Stat()
	if err == nil {
		err = is.MustBeRegular()
	}
	if err != nil {
		h.Close()
		return NoHandle, is, err
	}
	return h, is, nil
}

// MustBeRegular returns an error that says what a file is, unless it is a regular one.
func (i Info) MustBeRegular() error {
	switch {
	case i.Mode.IsDir():
		return errFolder
	case i.IsLink():
		return errors.New("was replaced by a link")
	case !i.IsRegular():
		return errors.New("is not a regular file")
	}
	return nil
}

// PathError adds the path of a name in the folder to an error of the system. Without an error it returns nil.
func (d Dir) PathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: d.Path(name), Err: err}
}

// OpenToAppend opens a regular file to write at its end. A missing file is made, and nobody else can read it yet.
func OpenToAppend(d Dir, name string) (h Handle, made bool, err error) {
	for range maxRaces {
		is, err := d.StatAt(name)
		if errors.Is(err, fs.ErrNotExist) {
			h, err = OpenAt(d.Handle, name, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_EXCL, 0o600)
			made = true
		} else {
			if err == nil {
				err = is.MustBeRegular()
			}
			if err != nil {
				return NoHandle, false, err
			}
			h, err = OpenAt(d.Handle, name, unix.O_WRONLY|unix.O_APPEND, 0)
			made = false
		}
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			return h, made, d.PathError("open", name, err)
		}
	}
	return NoHandle, false, fmt.Errorf("%s keeps changing", d.Path(name))
}
