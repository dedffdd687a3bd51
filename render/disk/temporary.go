package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

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
	keepOwner bool   // the owner is a wish: where it is not allowed the file is ours
	old       handle // whose extended attributes are copied; noHandle for none
	oldOwner  int    // who owns that
	syncs     *Syncs
}

// An ownerError says that a file could not be given to its owner.
type ownerError struct{ error }

func (e ownerError) Error() string { return "cannot change its owner: " + e.error.Error() }
func (e ownerError) Unwrap() error { return e.error }

// writeTemporary writes a new file beside a destination, with a name of its own, and syncs it. Until it is complete nobody
// else can read it.
func writeTemporary(d dir, destination string, s source) (name string, is info, warnings []string, err error) {
	h := noHandle
	for range maxNames {
		name = temporaryName(destination)
		h, err = openAt(d.handle, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
		if !errors.Is(err, unix.EEXIST) {
			break
		}
	}
	if err != nil {
		return "", info{}, nil, d.pathError("create", name, err)
	}
	defer h.close()
	warnings, err = s.fill(h)
	if err == nil {
		is, err = h.stat()
	}
	if err == nil {
		err = s.syncs.sync(h, is.dev)
	}
	if err != nil {
		_ = d.unlinkAny(name)
		if _, noOwner := errors.AsType[ownerError](err); !noOwner {
			err = d.pathError("write", name, err)
		}
		return "", info{}, nil, err
	}
	return name, is, warnings, nil
}

// fill gives a new file, which nobody else can open yet, its contents and attributes. The mode is the last.
func (s source) fill(h handle) (warnings []string, err error) {
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

	if s.old != noHandle {
		lost, err := copyExtended(s.old, h, want.uid == s.oldOwner)
		if err != nil {
			return nil, err
		}
		warnings = append(warnings, lost...)
	}
	return warnings, h.chmod(want.mode)
}

// give gives an open file an owner and a group, where they are others than it has.
func (o owner) give(h handle) error {
	is, err := h.stat()
	if err != nil || (o.uid < 0 || o.uid == is.uid) && (o.gid < 0 || o.gid == is.gid) {
		return err
	}
	return again(func() error { return unix.Fchown(int(h), o.uid, o.gid) })
}

// withoutOwner returns the attributes of a file that cannot have the owner that was wished for. The group is kept where
// possible; another group gets no more rights than everybody has.
func (a attributes) withoutOwner(h handle) (attributes, error) {
	a.mode &= fs.ModePerm
	if err := (owner{-1, a.gid}).give(h); err != nil {
		a.mode &^= 0o070 &^ (a.mode & 0o007 << 3)
	}
	is, err := h.stat()
	a.owner = owner{is.uid, is.gid}
	return a, err
}

func (h handle) chmod(mode fs.FileMode) error {
	return again(func() error { return unix.Fchmod(int(h), unixMode(mode)) })
}

// copyOf returns what makes a copy of an open file.
func copyOf(h handle, is info) (source, error) {
	if is.size > maxCopy {
		return source{}, fmt.Errorf("it would have to be copied, and has %d bytes; at most %d can be", is.size, maxCopy)
	}
	return source{
		contents: io.LimitReader(h, is.size), want: is.attributes(), keepOwner: true, old: h, oldOwner: is.uid,
	}, nil
}
