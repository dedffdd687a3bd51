// Package host is what the machine that render runs on wants of it: a pid file, systemd's notifications, and the duties of process 1 of a
// container.
package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"render/watch/hint"
)

// A PIDFile is a file with the number of this process, for other programs. The zero value is no file.
type PIDFile struct {
	path string // "" for none
}

// Move puts the file at a path, "" for nowhere, and removes the one at the previous path. On an error nothing changes.
func (p *PIDFile) Move(path string) error {
	next := PIDFile{path}
	if err := next.write(); err != nil {
		return err
	}
	if p.isAt(path) {
		*p = next
		return nil
	}
	if err := p.Remove(); err != nil {
		return errors.Join(err, next.Remove())
	}
	*p = next
	return nil
}

// Remove removes the file if there is one that still holds our process id.
func (p *PIDFile) Remove() error {
	if p.path == "" || !p.isOurs() {
		return nil
	}
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return hint.With(fmt.Errorf("remove the pid file: %w", err), "remove the file by hand, because it has the process id of render")
	}
	return nil
}

// write writes the file in its place: it may be one that was made for us in a folder that is not ours.
func (p *PIDFile) write() error {
	if p.path == "" || p.isOurs() {
		return nil
	}
	info, err := os.Stat(p.path)
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return hint.With(fmt.Errorf("pid file %s: not a regular file", p.path), "use another path")
	}
	isNew := errors.Is(err, fs.ErrNotExist)
	if err := os.WriteFile(p.path, ourPID(), 0o666); err != nil {
		if isNew {
			_ = os.Remove(p.path) // an empty one, if any
		}
		return explainPIDFile(p.path, err)
	}
	return nil
}

// explainPIDFile says why a pid file cannot be written, and what to do.
func explainPIDFile(path string, err error) error {
	folder := filepath.Dir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hint.With(fmt.Errorf("pid file %s: the folder %s is missing", path, folder), "create the folder")
	case errors.Is(err, syscall.ENOTDIR):
		return hint.With(fmt.Errorf("pid file %s: %s is not a folder", path, folder), "use another path")
	case errors.Is(err, syscall.EISDIR):
		return hint.Withf(fmt.Errorf("pid file %s: the path is a folder", path), "use the path of a file, such as %s", filepath.Join(path, "render.pid"))
	case errors.Is(err, fs.ErrPermission):
		return hint.Withf(fmt.Errorf("write the pid file: %w", err), "use a path that user %d may write", os.Geteuid())
	}
	return hint.With(fmt.Errorf("write the pid file: %w", err), "use a path on a file system with free space")
}

func ourPID() []byte { return []byte(strconv.Itoa(os.Getpid())) }

// isOurs reports whether the file holds our process id.
func (p *PIDFile) isOurs() bool {
	info, err := os.Stat(p.path)
	if err != nil || !info.Mode().IsRegular() { // to read a pipe could take for ever
		return false
	}
	held, err := os.ReadFile(p.path)
	return err == nil && bytes.Equal(held, ourPID())
}

// isAt reports whether a path is that of the file, if by another name.
func (p *PIDFile) isAt(path string) bool {
	if p.path == path {
		return true
	}
	old, err := os.Stat(p.path)
	if err != nil {
		return false
	}
	next, err := os.Stat(path)
	return err == nil && os.SameFile(old, next)
}
