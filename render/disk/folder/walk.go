package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"render/watch/hint"
)

// A LinkRule says which links are followed on the way to a destination.
type LinkRule int

const (
	TrustedLinks LinkRule = iota // links of root, ours, and of the owner of what they lead to
	RootLinks                    // links to folders, of root or ours; the destination itself is not a link
	WriteLinks                   // trustedLinks, but neither the destination nor its folder is one
	allLinks                     // to compare paths only
)

const (
	maxLinks   = 40
	maxRaces   = 100 // how often others may change a name while it is resolved
	newDirMode = 0o755
)

var (
	errLinkRefused = errors.New("is a link, and links are refused")
	errWriteLink   = errors.New("writeToFile does not follow links")
	errFolder      = errors.New("is a directory")
)

// A MissingError says that a folder on the way does not exist.
type MissingError struct{ error }

// Unwrap returns the error of the system.
func (e MissingError) Unwrap() error { return e.error }

// Absolute returns a path from the root. Unlike filepath.Abs it leaves each ".." where it is: what that means depends on
// links.
func Absolute(path string) (string, error) {
	if strings.HasPrefix(path, "/") {
		return path, nil
	}
	wd, err := os.Getwd()
	return wd + "/" + path, err
}

// Resolve returns the folder of a path, open, and the name in it. The name need not exist; it is no link, if nobody makes it
// one. With make, folders that do not exist are made.
func Resolve(path string, rule LinkRule, make bool) (d Dir, name string, err error) {
	none := Dir{NoHandle, nil}
	if path, err = Absolute(path); err != nil {
		return none, "", err
	}
	w := &walker{rule: rule, make: make, at: NoHandle}
	if err = w.begin(path); err == nil {
		name, err = w.walk()
	}
	var is Info
	if err == nil {
		is, err = w.at.Stat()
	}
	if err != nil {
		w.at.Close()
		return none, "", err
	}
	return Dir{w.at, &Folder{w.real, is}}, name, nil
}

// A walker resolves a path.
type walker struct {
	rule LinkRule
	make bool

	at    Handle // the folder that it has come to
	real  string // its path without links
	items []item // what is still to be resolved, the last first
	links int    // how many were followed
	races int
}

// An item is a name, or the end of where a link leads.
type item struct {
	name   string
	noLink bool
	end    *link
}

// A link is one of somebody else: it is followed only to what belongs to its owner.
type link struct {
	path    string
	uid     int
	checked bool
}

func (w *walker) begin(path string) error {
	parent, name := filepath.Split(path)
	if h, err := openWithoutLinks(parent); err == nil { // the usual case
		w.at, w.real = h, filepath.Clean(parent)
		w.push(name)
		return nil
	}
	if err := w.toRoot(); err != nil {
		return err
	}
	w.push(path)
	if w.rule == WriteLinks && len(w.items) > 1 {
		w.items[1].noLink = true
	}
	return nil
}

func (w *walker) toRoot() error {
	root, err := OpenAt(unix.AT_FDCWD, "/", folderFlags, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	w.at.Close()
	w.at, w.real = root, "/"
	return nil
}

// push adds the components of a path to what is to be resolved next.
func (w *walker) push(path string) {
	names := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	for _, name := range slices.Backward(names) {
		if name != "." {
			w.items = append(w.items, item{name: name})
		}
	}
}

// walk resolves all but the last name, and that too as long as it is a link.
func (w *walker) walk() (name string, err error) {
	for len(w.items) > 0 {
		it := w.items[len(w.items)-1]
		w.items = w.items[:len(w.items)-1]
		switch {
		case it.end != nil:
			err = w.checkFolder(it.end)
		case it.name == "..":
			err = w.enter(it)
		case w.isLast():
			var done bool
			if done, err = w.last(it); done || err != nil {
				return it.name, err
			}
		default:
			err = w.enter(it)
		}
		if err != nil {
			return "", err
		}
	}
	return "", errFolder
}

// isLast reports whether no name is left.
func (w *walker) isLast() bool {
	return !slices.ContainsFunc(w.items, func(it item) bool { return it.end == nil })
}

// enter goes on to a folder in the one that was reached.
func (w *walker) enter(it item) error {
	next, err := OpenAt(w.at, it.name, folderFlags, 0)
	switch {
	case err == nil:
		w.at.Close()
		w.at, w.real = next, filepath.Join(w.real, it.name)
		return nil
	case errors.Is(err, unix.ENOENT) && w.make:
		return w.makeFolder(it)
	case errors.Is(err, unix.ENOENT):
		w.items = append(w.items, it)
		return MissingError{&fs.PathError{Op: "open", Path: w.path(it.name), Err: err}}
	case errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP):
		return w.follow(it)
	}
	w.items = append(w.items, it)
	return &fs.PathError{Op: "open", Path: w.path(it.name), Err: err}
}

func (w *walker) path(name string) string { return filepath.Join(w.real, name) }

// makeFolder makes a folder, which is then entered. A link of somebody else must not lead to where it is made.
func (w *walker) makeFolder(it item) error {
	w.items = append(w.items, it)
	if err := w.race(it.name); err != nil {
		return err
	}
	for _, pending := range w.items {
		if err := w.checkFolder(pending.end); err != nil {
			return err
		}
	}
	err := again(func() error { return unix.Mkdirat(int(w.at), it.name, newDirMode) })
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return &fs.PathError{Op: "mkdir", Path: w.path(it.name), Err: err}
	}
	if err := w.at.syncFolder(); err != nil {
		return &fs.PathError{Op: "sync", Path: w.real, Err: err}
	}
	return nil
}

// race notes that a name has to be resolved once more, and ends where others never stop to change it.
func (w *walker) race(name string) error {
	if w.races++; w.races > maxRaces {
		return fmt.Errorf("%s keeps changing", w.path(name))
	}
	return nil
}

// last reports whether the last name is the destination. A link is followed.
func (w *walker) last(it item) (done bool, err error) {
	is, err := w.at.StatAt(it.name)
	switch {
	case errors.Is(err, unix.ENOENT):
		if is, err = w.at.Stat(); err != nil { // what does not exist yet belongs to who owns the folder
			return false, err
		}
	case err != nil:
		return false, &fs.PathError{Op: "stat", Path: w.path(it.name), Err: err}
	case is.IsLink():
		return false, w.follow(it)
	}
	for _, pending := range w.items {
		if err := pending.end.check(w.path(it.name), is.UID); err != nil {
			return false, err
		}
	}
	return true, nil
}

// follow follows a link, if the rule allows that.
func (w *walker) follow(it item) error {
	is, target, err := readLink(w.at, it.name)
	path := w.path(it.name)
	isLast := w.isLast()
	switch {
	case errors.Is(err, unix.ENOENT), err == nil && is.Mode.IsDir(), err == nil && !is.IsLink() && isLast:
		w.items = append(w.items, it)
		return w.race(it.name)
	case err != nil:
		return &fs.PathError{Op: "readlink", Path: path, Err: err}
	case !is.IsLink():
		w.items = append(w.items, it)
		return &fs.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
	case w.rule == RootLinks && isLast:
		return errLinkRefused
	case w.rule == WriteLinks && (isLast || it.noLink):
		return errWriteLink
	}
	if w.links++; w.links > maxLinks {
		return errors.New("the path has too many links")
	}
	if isLast && w.rule != allLinks { // such as /proc/self/fd/1
		if end, err := w.at.statWith(it.name, 0); err == nil && !end.Mode.IsDir() && !end.IsRegular() {
			return hint.With(errors.New("is not a regular file"), "use --dry to print the file")
		}
	}

	if w.rule != allLinks && is.UID != 0 && is.UID != os.Geteuid() {
		if w.rule == RootLinks {
			return hint.With(fmt.Errorf("%s is a link of user %d, and links are refused", path, is.UID), "replace the link by a folder, or give the link to root")
		}
		w.items = append(w.items, item{end: &link{path: path, uid: is.UID}})
	}
	if strings.HasPrefix(target, "/") {
		if err := w.toRoot(); err != nil {
			return err
		}
	}
	w.push(target)
	return nil
}

// checkFolder checks that a link, if it is one, leads to a folder of its owner.
func (w *walker) checkFolder(l *link) error {
	if l == nil || l.checked {
		return nil
	}
	is, err := w.at.Stat()
	if err != nil {
		return err
	}
	return l.check(w.real, is.UID)
}

// check checks that a link leads to a file of its owner.
func (l *link) check(end string, uid int) error {
	if l == nil || l.checked {
		return nil
	}
	if uid != l.uid {
		return hint.Withf(fmt.Errorf("%s is a link of user %d and leads to %s of user %d, so render does not follow the link",
			l.path, l.uid, end, uid), "give the link to root, or use the path %s", end)
	}
	l.checked = true
	return nil
}

// readLinkAt returns where a link leads.
func readLinkAt(dir Handle, name string) (string, error) {
	for size := 256; ; size *= 2 {
		buffer, n := make([]byte, size), 0
		err := again(func() (err error) { n, err = unix.Readlinkat(int(dir), name, buffer); return err })
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buffer[:n]), nil
		}
	}
}

// RealPath returns where the links of a path lead, from the root, as far as that can be known: two paths with the same
// result are the same file. What does not exist or cannot be reached is kept as it is. The only error is that of a missing
// working directory.
func RealPath(path string) (string, error) {
	path, err := Absolute(path)
	if err != nil {
		return "", err
	}
	if real, ok := realPath(path); ok {
		return real, nil
	}
	return RealName(path) // links in a circle, for example
}

// RealName is RealPath, but a link in the last place is not followed.
func RealName(path string) (string, error) {
	path, err := Absolute(path)
	if err != nil {
		return "", err
	}
	path = filepath.Clean(path)
	if path == "/" {
		return path, nil
	}
	parent, _ := realPath(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), nil
}

// realPath returns where a path from the root leads, and whether only missing names have ended the search.
func realPath(path string) (real string, ok bool) {
	w := &walker{rule: allLinks, at: NoHandle}
	defer func() { w.at.Close() }()
	if err := w.begin(path); err != nil {
		return filepath.Clean(path), false
	}
	name, err := w.walk()
	_, noFolder := errors.AsType[MissingError](err)
	switch {
	case err == nil:
		return w.path(name), true
	case err == errFolder:
		return w.real, true
	}
	real = w.real
	for _, it := range slices.Backward(w.items) {
		real = filepath.Join(real, it.name)
	}
	return real, noFolder
}
