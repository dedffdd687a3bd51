package disk

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Append adds contents to the end of a file, in one write, and syncs. A missing file is made. Neither the file nor its folder
// may be a link, and the file must be a regular one. Backup and RefuseLinks have no meaning here. Append returns where the
// file really is, from the root, or "" where it could not be reached.
func Append(path string, contents []byte, o Options) (real string, err error) {
	ids, err := o.owner()
	if err != nil {
		return "", err
	}
	d, name, err := resolve(path, writeLinks, !o.NoFolders)
	if _, missing := errors.AsType[noFolderError](err); missing {
		return "", fmt.Errorf("its folder is missing, and create_dest_dirs is off: %w", err)
	}
	if err != nil {
		return "", err
	}
	defer d.close()
	return d.path(name), appendTo(d, name, contents, o, ids)
}

// appendTo is Append in the folder of the file.
func appendTo(d dir, name string, contents []byte, o Options, ids owner) error {
	h, made, err := openToAppend(d, name)
	if err != nil {
		return err
	}
	defer h.close()
	is, err := h.stat()
	if err == nil {
		err = is.mustBeRegular()
	}
	if err != nil {
		return err
	}
	if is.nlink > 1 && !d.folder.isOurs() {
		return errors.New("it has another hard link, and others may write to its folder")
	}

	want := o.attributes(ids, &is)
	if made {
		want = o.attributes(ids, nil)
	}
	if made || want != is.attributes() {
		if err := want.give(h); err != nil {
			return ownerError{err}
		}
	}
	if _, err := h.Write(contents); err != nil {
		return d.pathError("write", name, err)
	}
	if err := h.sync(); err != nil {
		return d.pathError("sync", name, err)
	}
	if !made {
		return nil
	}
	return d.sync()
}

// openToAppend opens a file, or makes it.
func openToAppend(d dir, name string) (h handle, made bool, err error) {
	for range maxRaces {
		is, err := d.statAt(name)
		if errors.Is(err, fs.ErrNotExist) {
			h, err = openAt(d.handle, name, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_EXCL, 0o600)
			made = true
		} else {
			if err == nil {
				err = is.mustBeRegular()
			}
			if err != nil {
				return noHandle, false, err
			}
			h, err = openAt(d.handle, name, unix.O_WRONLY|unix.O_APPEND, 0)
			made = false
		}
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
			return h, made, d.pathError("open", name, err)
		}
	}
	return noHandle, false, fmt.Errorf("%s keeps changing", d.path(name))
}
