package disk

import (
	"errors"

	"render/render/disk/folder"
)

// Append adds contents to the end of a file, in one write, and syncs. A missing file is made. Neither the file nor its folder
// may be a link, and the file must be a regular one. Backup and RefuseLinks have no meaning here. Append returns where the
// file really is, from the root, or "" where it could not be reached.
func Append(path string, contents []byte, o Options) (real string, err error) {
	ids, err := o.owner()
	if err != nil {
		return "", err
	}
	d, name, err := folder.Resolve(path, folder.WriteLinks, !o.NoFolders)
	if _, missing := errors.AsType[folder.MissingError](err); missing {
		return "", missingFolder(err)
	}
	if err != nil {
		return "", err
	}
	defer d.Close()
	return d.Path(name), appendTo(d, name, contents, o, ids)
}

// appendTo is Append in the folder of the file.
func appendTo(d folder.Dir, name string, contents []byte, o Options, ids owner) error {
	h, made, err := folder.OpenToAppend(d, name)
	if err != nil {
		return err
	}
	defer h.Close()
	is, err := h.Stat()
	if err == nil {
		err = is.MustBeRegular()
	}
	if err != nil {
		return err
	}
	if is.Links > 1 && !d.Folder.IsOurs() {
		return errors.New("the file has another hard link, and other users may write to the folder")
	}

	want := o.attributes(ids, &is)
	if made {
		want = o.attributes(ids, nil)
	}
	if made || want != attributesOf(is) {
		if err := want.give(h); err != nil {
			return ownerError{err}
		}
	}
	if _, err := h.Write(contents); err != nil {
		return d.PathError("write", name, err)
	}
	if err := h.Sync(); err != nil {
		return d.PathError("sync", name, err)
	}
	if !made {
		return nil
	}
	return d.Sync()
}
