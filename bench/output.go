//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// An output is the folder of the destinations. It learns from the kernel when a file is swapped in, which costs the
// machine nothing while it waits.
type output struct {
	dir    string
	events *os.File
	buf    [64 << 10]byte
}

func newOutput(dir string) (*output, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	o := &output{dir: dir, events: os.NewFile(uintptr(fd), "inotify")}
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_MOVED_TO); err != nil {
		o.close()
		return nil, fmt.Errorf("inotify: %w", err)
	}
	return o, nil
}

func (o *output) close() { _ = o.events.Close() }

func (o *output) path(name string) string { return filepath.Join(o.dir, name) }

const awaitTimeout = 30 * time.Second

// await waits until each of the named files has been swapped in with text in it, and returns when the last one was.
func (o *output) await(ctx context.Context, text string, names ...string) (at time.Time, err error) {
	missing := make(map[string]bool, len(names))
	for _, name := range names {
		missing[name] = true
	}
	for len(missing) > 0 {
		arrived, now, err := o.arrivals(ctx)
		if err != nil {
			return at, fmt.Errorf("waiting for %q in %d of %d files: %w", text, len(missing), len(names), err)
		}
		for _, name := range arrived {
			if !missing[name] {
				continue
			}
			contents, err := os.ReadFile(o.path(name))
			if err != nil {
				return at, err
			}
			if bytes.Contains(contents, []byte(text)) {
				delete(missing, name)
				at = now
			}
		}
	}
	return at, nil
}

// arrivals waits until files are swapped in and returns their names, and when.
func (o *output) arrivals(ctx context.Context) (names []string, at time.Time, err error) {
	if err := o.events.SetReadDeadline(time.Now().Add(awaitTimeout)); err != nil {
		return nil, at, err
	}
	defer context.AfterFunc(ctx, func() { _ = o.events.SetReadDeadline(time.Now()) })()
	n, err := o.events.Read(o.buf[:])
	at = time.Now()
	if err != nil {
		return nil, at, err
	}
	names, err = movedTo(o.buf[:n])
	return names, at, err
}

// movedTo returns the names in a batch of the kernel's events.
func movedTo(batch []byte) (names []string, err error) {
	for len(batch) >= syscall.SizeofInotifyEvent {
		if binary.NativeEndian.Uint32(batch[4:])&syscall.IN_Q_OVERFLOW != 0 {
			return nil, errors.New("inotify: too many events at a time")
		}
		end := syscall.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(batch[12:]))
		names = append(names, string(bytes.TrimRight(batch[syscall.SizeofInotifyEvent:end], "\x00")))
		batch = batch[end:]
	}
	return names, nil
}
