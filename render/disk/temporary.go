package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"render/render/disk/folder"

	"golang.org/x/sys/unix"
)

// maxCopy is how large a file may be of which a copy has to be made, because it can have no second name or is written in place.
const maxCopy = 64 << 20

// maxNames is how many names are tried for a temporary file.
const maxNames = 100

// A source says what a new file gets.
type source struct {
	contents  io.Reader
	want      attributes
	keepOwner bool          // the owner is a wish: where it is not allowed the file is ours
	old       folder.Handle // whose extended attributes are copied; noHandle for none
	oldOwner  int           // who owns that
	syncs     *Syncs
}

// An ownerError says that a file could not be given to its owner.
type ownerError struct{ error }

func (e ownerError) Error() string { return "cannot change the owner: " + e.error.Error() }
func (e ownerError) Unwrap() error { return e.error }

// writeTemporary writes a new file beside a destination, with a name of its own, and syncs it. Until it is complete nobody
// else can read it.
func writeTemporary(d folder.Dir, destination string, s source) (name string, is folder.Info, warnings []string, err error) {
	h := folder.NoHandle
	for range maxNames {
		name = temporaryName(destination)
		h, err = folder.OpenAt(d.Handle, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
		if !errors.Is(err, unix.EEXIST) {
			break
		}
	}
	if err != nil {
		return "", folder.Info{}, nil, d.PathError("create", name, err)
	}
	defer h.Close()
	warnings, err = s.fill(h)
	if err == nil {
		is, err = h.Stat()
	}
	if err == nil {
		err = s.syncs.sync(h, is.Dev)
	}
	if err != nil {
		_ = d.Remove(name)
		if _, noOwner := errors.AsType[ownerError](err); !noOwner {
			err = d.PathError("write", name, err)
		}
		return "", folder.Info{}, nil, err
	}
	return name, is, warnings, nil
}

// fill gives a new file, which nobody else can open yet, its contents and attributes. The mode is the last.
func (s source) fill(h folder.Handle) (warnings []string, err error) {
	if _, err := io.Copy(h, s.contents); err != nil {
		return nil, err
	}
	want := s.want
	err = want.owner.give(h)
	if err != nil && s.keepOwner {
		warnings = append(warnings, ownerError{err}.Error())
		want, err = want.withoutOwner(h)
	}
	if err != nil {
		return nil, ownerError{err}
	}

	if s.old != folder.NoHandle {
		lost, err := folder.CopyExtended(s.old, h, want.uid == s.oldOwner)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, lost...)
	}
	return warnings, h.Chmod(want.mode)
}

// give gives an open file an owner and a group, where they are others than it has.
func (o owner) give(h folder.Handle) error {
	is, err := h.Stat()
	if err != nil || (o.uid < 0 || o.uid == is.UID) && (o.gid < 0 || o.gid == is.GID) {
		return err
	}
	return h.Chown(o.uid, o.gid)
}

// withoutOwner returns the attributes of a file that cannot have the owner that was wished for. The group is kept where
// possible; another group gets no more rights than everybody has.
func (a attributes) withoutOwner(h folder.Handle) (attributes, error) {
	a.mode &= fs.ModePerm
	if err := (owner{-1, a.gid}).give(h); err != nil {
		a.mode &^= 0o070 &^ (a.mode & 0o007 << 3)
	}
	is, err := h.Stat()
	a.owner = owner{is.UID, is.GID}
	return a, err
}

// copyOf returns what makes a copy of an open file.
func copyOf(h folder.Handle, is folder.Info) (source, error) {
	if is.Size > maxCopy {
		return source{}, fmt.Errorf("render has to copy the file, and the file has %d bytes; render keeps at most %d", is.Size, maxCopy)
	}
	return source{
		contents: io.LimitReader(h, is.Size), want: attributesOf(is), keepOwner: true, old: h, oldOwner: is.UID,
	}, nil
}
