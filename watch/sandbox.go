package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A place is where a file is: at a path, and below a folder where the sandbox is not empty.
type place struct{ path, sandbox string }

// CheckSandbox returns an error where a path leads out of a sandbox, by its name or by a link, or where there is no such
// sandbox. That a file is missing is none. A link can change after the check; Files checks whenever it reads.
func CheckSandbox(sandbox, path string) error {
	_, err := place{path, sandbox}.stat()
	if refused, ok := errors.AsType[*sandboxError](err); ok {
		return refused
	}
	return nil
}

// A sandboxError is the refusal to look at a file. It has no path but the sandbox's.
type sandboxError struct{ reason string }

func (e *sandboxError) Error() string { return e.reason }

func (p place) stat() (info fs.FileInfo, err error) {
	if p.sandbox == "" {
		return os.Stat(p.path)
	}
	err = p.inSandbox(func(root *os.Root, name string) (err error) {
		info, err = root.Stat(name)
		return err
	})
	return info, err
}

// Signature is cheap to get, and changes with nearly every change of a file, also where another takes its place. To read the
// file does not change it. Where there is no file it says why.
func Signature(path string) string { return place{path: path}.signature() }

// signature is Signature of a place. Contents decide (see Files.read).
func (p place) signature() string {
	info, err := p.stat()
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
	if stat, ok := info.Sys().(*syscall.Stat_t); ok { // not all of it: there is the time of the last access
		text += fmt.Sprint(" ", stat.Dev, stat.Ino)
	}
	return text
}

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// inSandbox does something with the file, by a name below the sandbox. It is the Root that keeps do inside: links may be
// swapped at any moment. What is found out about them here only makes names that a Root takes: it follows no link with an
// absolute target, and does not know the sandbox by another name.
func (p place) inSandbox(do func(root *os.Root, name string) error) error {
	root, err := os.OpenRoot(p.sandbox)
	if err != nil {
		return noSandbox(p.sandbox, err)
	}
	defer root.Close()
	path, err := p.absolute()
	if err != nil {
		return err
	}
	if name, ok := nameBelow(p.sandbox, path); ok && !climbs(path) {
		if err := do(root, name); err == nil || isMissing(err) {
			return err
		}
	}
	name, ok := nameBelow(resolved(p.sandbox), resolved(path))
	if !ok {
		return outside(p.sandbox)
	}
	err = do(root, name)
	if _, system := errors.AsType[syscall.Errno](err); err != nil && !system { // the Root refuses
		return outside(p.sandbox)
	}
	return err
}

func noSandbox(sandbox string, err error) error {
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		err = inner.Err // without the path
	}
	return &sandboxError{fmt.Sprintf("cannot open the sandbox %s: %v; create the folder, or name another one", sandbox, err)}
}

func outside(sandbox string) error {
	return &sandboxError{fmt.Sprintf("leads out of the sandbox %s; only files below it can be read", sandbox)}
}

// climbs reports whether a path has a "..", which means another folder where a link stands before it.
func climbs(path string) bool {
	return slices.Contains(strings.Split(filepath.ToSlash(path), "/"), "..")
}

// absolute returns the path from the root, with all that it has: a link before a .. counts.
func (p place) absolute() (string, error) {
	if filepath.IsAbs(p.path) {
		return p.path, nil
	}
	folder, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working folder: %w", err)
	}
	return folder + string(filepath.Separator) + p.path, nil
}

// nameBelow returns the name that a path has seen from a folder.
func nameBelow(folder, path string) (name string, ok bool) {
	name, err := filepath.Rel(folder, path)
	return name, err == nil && filepath.IsLocal(name)
}

// resolved returns an absolute path without links, as far as what it names exists.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	above, name := filepath.Split(strings.TrimRight(path, string(filepath.Separator))) // not Dir, which loses a link before a ..
	if name == "" {
		return path
	}
	return filepath.Join(resolved(above), name)
}
