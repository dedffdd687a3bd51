package watch

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	maxFile     = 256 << 20 // bytes that are read of a file
	maxAccesses = 1000      // at once; each occupies a thread while it hangs, and Go ends a process at 10,000 threads
	accessLimit = 30 * time.Second
)

// access calls do, which uses the file system, in a goroutine and returns what it returns. Nothing stops a system call that
// hangs, as on a dead NFS server: access then returns an error after accessLimit, or when ctx is done, and the goroutine
// stays. No other is started for the same file before it has ended.
func access[T any](ctx context.Context, f *Files, file *file, do func() T) (result T, err error) {
	limit := time.NewTimer(accessLimit)
	defer limit.Stop()
	if err := f.begin(ctx, file, limit); err != nil {
		return result, err
	}

	done := make(chan T, 1)
	go func() {
		if f.beforeAccess != nil {
			f.beforeAccess(file.at.path)
		}
		result := do()
		<-f.slots
		f.end(file)
		done <- result
	}()

	select {
	case result = <-done:
		return result, nil
	case <-limit.C:
		return result, file.hangs()
	case <-ctx.Done():
		return result, ctx.Err()
	}
}

// begin waits until an access of a file can begin, and sets limit to when it must have ended. The timer may have fired before.
func (f *Files) begin(ctx context.Context, file *file, limit *time.Timer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for held := false; !held; {
		select {
		case file.access <- struct{}{}:
			held = true
		case <-limit.C:
			// Many may wait for a file that answers. It hangs where one access alone takes too long.
			f.mu.Lock()
			taken := time.Since(file.began)
			f.mu.Unlock()
			if taken >= accessLimit {
				return file.hangs()
			}
			limit.Reset(accessLimit - taken)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	file.began = time.Now()
	f.mu.Unlock()
	limit.Reset(accessLimit)

	select {
	case f.slots <- struct{}{}:
		return nil
	case <-limit.C:
		<-file.access
		return fmt.Errorf("read %s: the file systems of %d other files do not respond", file.at.path, maxAccesses)
	case <-ctx.Done():
		<-file.access
		return ctx.Err()
	}
}

// end ends the access of a file.
func (f *Files) end(file *file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	<-file.access
	if file.forgotten && f.files[file.at] == file {
		delete(f.files, file.at)
	}
}

func (file *file) hangs() error {
	return fmt.Errorf("read %s: the file system did not respond within %s", file.at.path, accessLimit)
}

// contents returns the text of the file and its checksum. A file that is missing is no error.
func (p place) contents() (text string, sum [sha256.Size]byte, found bool, err error) {
	info, err := p.stat()
	if isMissing(err) {
		return "", sum, false, nil
	}
	if err != nil {
		return "", sum, false, err
	}
	if err := p.readable(info); err != nil { // before it is opened: that has effects on some devices
		return "", sum, false, err
	}

	opened, err := p.open()
	if isMissing(err) {
		return "", sum, false, nil
	}
	if err != nil {
		return "", sum, false, err
	}
	defer opened.Close()
	if info, err = opened.Stat(); err != nil {
		return "", sum, false, err
	}
	if err := p.readable(info); err != nil { // another file may have come in its place
		return "", sum, false, err
	}

	text, sum, err = readText(opened, info.Size(), maxFile+1)
	if err == nil && len(text) > maxFile { // it has grown, or its size is not known, as below /proc
		err = p.tooLarge()
	}
	return text, sum, err == nil, err
}

// readable returns an error where a file is not to be read.
func (p place) readable(info os.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", p.path)
	case info.Size() > maxFile:
		return p.tooLarge()
	}
	return nil
}

func (p place) tooLarge() error {
	return fmt.Errorf("read %s: the file has more than %d MiB", p.path, maxFile>>20)
}

// open opens the file for reading. It does not wait for the writer of a pipe.
func (p place) open() (opened *os.File, err error) {
	const flags = os.O_RDONLY | syscall.O_NONBLOCK
	if p.sandbox == "" {
		return os.OpenFile(p.path, flags, 0)
	}
	err = p.inSandbox(func(root *os.Root, name string) (err error) {
		opened, err = root.OpenFile(name, flags, 0)
		return err
	})
	return opened, err
}

// readText reads at most limit bytes, of about size, and returns their checksum, too.
func readText(from io.Reader, size, limit int64) (text string, sum [sha256.Size]byte, err error) {
	var b strings.Builder
	b.Grow(int(size))
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(&b, hash), io.LimitReader(from, limit)); err != nil {
		return "", sum, err
	}
	return b.String(), [sha256.Size]byte(hash.Sum(nil)), nil
}

// folders says where events are about a file: in which folders and, where no links lead to the file, under which name.
type folders struct {
	dirs []string
	name string // "": any
}

// folders returns the folder of the file, and that of the file that it links to. It asks the file system about both: where
// that hangs, it must do so here, and not in the notifier, which all files share.
func (p place) folders() folders {
	where := folders{dirs: []string{filepath.Dir(p.path)}}
	real, err := filepath.EvalSymlinks(p.path)
	if err == nil && real == p.path {
		where.name = filepath.Base(p.path)
	}
	if err == nil && filepath.Dir(real) != where.dirs[0] {
		where.dirs = append(where.dirs, filepath.Dir(real))
	}
	for _, dir := range where.dirs {
		_, _ = os.Stat(dir)
	}
	return where
}
