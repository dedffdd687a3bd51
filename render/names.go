package render

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The names of our own files beside a destination begin with a dot, so that no "include conf.d/*" picks them up:
//
//	.render-NAME-123    a file being written
//	.render-NAME.owed   a mark: an action has yet to succeed since the file was changed
//	.render-NAME.old    what the file was then; none where there was no file, or where that is in place again

const ourPrefix = ".render-"

const maxBase = 200 // leaves room for what is added: a name has 255 bytes at most

func hiddenIn(path, end string) string {
	base := filepath.Base(path)
	if len(base) > maxBase {
		base = fmt.Sprintf("%s-%x", base[:maxBase], crc32.ChecksumIEEE([]byte(base)))
	}
	return filepath.Join(filepath.Dir(path), ourPrefix+base+end)
}

func temporaryPrefix(path string) string { return filepath.Base(hiddenIn(path, "-")) }

func markOf(path string) string { return hiddenIn(path, ".owed") }

func savedOf(path string) string { return hiddenIn(path, ".old") }

// What a mark says.
const (
	markText    = "An action has yet to succeed since the file beside this one was changed. render repeats it and then removes this.\n"
	markNothing = "There was no file before.\n"
)

// followLinks returns where the links at path lead. The last one may lead to a file that does not exist yet.
func followLinks(path string) (string, error) {
	for range maxLinks {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().Type() != fs.ModeSymlink {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		link, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(realFolder(filepath.Dir(path)), link) // what ".." means depends on where the folder is
		}
		path = link
	}
	return "", errors.New("too many links")
}

// realPath returns where the links of a path lead, from the root, as far as that can be known: two destinations with the same
// one are the same file.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if end, err := followLinks(path); err == nil {
		path = end
	}
	return realName(path)
}

// realName is as realPath, but a link in the last place is not followed.
func realName(path string) (string, error) {
	path, err := filepath.Abs(path)
	return filepath.Join(realFolder(filepath.Dir(path)), filepath.Base(path)), err
}

// realFolder returns where the links of a folder's path lead. The folder need not exist.
func realFolder(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil || filepath.Dir(path) == path {
		return real
	}
	return filepath.Join(realFolder(filepath.Dir(path)), filepath.Base(path))
}

var temporaryEnd = regexp.MustCompile(`^(-\d+|\.bak)$`)

// sweep removes what an earlier run left beside the destinations and nobody needs.
func sweep(destinations []string) error {
	paths := make(map[string][]string) // by folder
	for _, d := range destinations {
		if path, err := followLinks(d); err == nil {
			dir := filepath.Dir(path)
			paths[dir] = append(paths[dir], path)
		}
	}
	var errs []error
	for dir, inside := range paths {
		errs = append(errs, sweepDir(dir, inside))
	}
	return errors.Join(errs...)
}

func sweepDir(dir string, paths []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // a folder that cannot be read has nothing that we could write; staging will say so
	}
	ours := make(map[string]string) // the names of all hidden files of ours, to find those of a path quickly
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ourPrefix) {
			ours[e.Name()] = filepath.Join(dir, e.Name())
		}
	}
	var errs []error
	for _, path := range paths {
		base := filepath.Base(hiddenIn(path, ""))
		for name, file := range ours {
			if end, ok := strings.CutPrefix(name, base); ok && temporaryEnd.MatchString(end) {
				errs = append(errs, os.Remove(file))
				delete(ours, name)
			}
		}
		_, owed := ours[filepath.Base(markOf(path))]
		if saved := filepath.Base(savedOf(path)); !owed && ours[saved] != "" {
			errs = append(errs, os.Remove(ours[saved]))
		}
	}
	return errors.Join(errs...)
}
