package main

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An entry is a file, a folder (its mode says so) or, with a link, a symbolic link of a tar archive.
type entry struct {
	name, link string
	mode       fs.FileMode
	contents   []byte
}

// writeTar writes entries in the order of their names, so that the same entries are the same bytes. All belong to root and are of the
// same time. Folders that are not among the entries are added.
func writeTar(w io.Writer, epoch time.Time, entries []entry) error {
	entries = slices.Clone(entries)
	known := map[string]bool{".": true}
	for _, e := range entries {
		known[e.name] = true
	}
	for _, e := range entries {
		for folder := path.Dir(e.name); !known[folder]; folder = path.Dir(folder) {
			known[folder] = true
			entries = append(entries, entry{name: folder, mode: fs.ModeDir | 0o755})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })

	archive := tar.NewWriter(w)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: int64(e.mode.Perm()), ModTime: epoch, Format: tar.FormatUSTAR, Typeflag: tar.TypeReg, Size: int64(len(e.contents))}
		switch {
		case e.mode.IsDir():
			header.Typeflag, header.Name = tar.TypeDir, e.name+"/"
			if e.mode&fs.ModeSticky != 0 {
				header.Mode |= 0o1000
			}
		case e.link != "":
			header.Typeflag, header.Linkname = tar.TypeSymlink, e.link
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(e.contents); err != nil {
			return err
		}
	}
	return archive.Close()
}

// writeArchive writes a folder, with its name, to a compressed tar archive.
func (r *release) writeArchive(name, folder string) error {
	var entries []entry
	err := filepath.WalkDir(folder, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		contents, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(filepath.Dir(folder), file)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if filepath.Base(file) == "render" {
			mode = 0o755
		}
		entries = append(entries, entry{name: filepath.ToSlash(inside), mode: mode, contents: contents})
		return nil
	})
	if err != nil {
		return err
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	zipped := gzip.NewWriter(file)
	if err := writeTar(zipped, r.epoch, entries); err != nil {
		return err
	}
	if err := zipped.Close(); err != nil {
		return err
	}
	return file.Close()
}
