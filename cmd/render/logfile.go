package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// logFileSettings say where a log file is, and when it gives way to a new one.
type logFileSettings struct {
	Path           string        // "" for none; one that ends in / is of a folder, and one without extension gets .log
	RotateBytes    int           // a file gets no bigger, unless by one line; 0 for any size
	RotateDuration time.Duration // from a file's first line to its last, about; 0 for ever
	MaxFiles       int           // how many to keep of those rotated away; 0 for all, -1 for none
}

func (s logFileSettings) validate() error {
	switch {
	case s.RotateBytes < 0:
		return fmt.Errorf("log file %s: it cannot be rotated at %d bytes; give a number of bytes, or 0 for no limit", s.Path, s.RotateBytes)
	case s.RotateDuration < 0:
		return fmt.Errorf("log file %s: it cannot be rotated after %s; give a time as in 24h, or 0 for never", s.Path, s.RotateDuration)
	case s.MaxFiles < -1:
		return fmt.Errorf("log file %s: %d rotated files cannot be kept; give their number, 0 for all, or -1 for none", s.Path, s.MaxFiles)
	}
	return nil
}

// name returns the path of the file itself.
func (s logFileSettings) name() string {
	switch {
	case strings.HasSuffix(s.Path, "/"):
		return s.Path + "render.log"
	case filepath.Ext(s.Path) == "":
		return s.Path + ".log"
	}
	return s.Path
}

const (
	logFileMode = 0o640
	stampLayout = "2006-01-02T15-04-05.000Z" // in UTC: names sort by it
	rotateAgain = time.Minute                // after a rotation that has failed
)

// A logFile is a log file that is rotated when it is written to. It always has the same name; what is rotated away has the
// time of that in its name. If somebody else has moved the file, a new one is begun.
//
// It is not safe for concurrent use: slog writes one line at a time.
type logFile struct {
	logFileSettings
	path     string // that of the file, where the name is that of a link
	file     *os.File
	info     os.FileInfo // of file
	size     int64
	begun    time.Time // the time of the first line, if there is one
	rotateAt time.Time // not before, after a failure
	writing  trouble
	rotating trouble
}

// openLogFile opens a log file, at the end of what it holds already.
func openLogFile(s logFileSettings, report reporter) (*logFile, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	f := &logFile{
		logFileSettings: s,
		path:            s.name(),
		writing:         trouble{report: report, bad: "cannot write the log file", well: "the log file is written again"},
		rotating:        trouble{report: report, bad: "cannot rotate the log file, which grows on", well: "the log file is rotated again"},
	}
	if err := f.open(); err != nil {
		return nil, err
	}
	path, err := filepath.EvalSymlinks(f.path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log file %s: %w", f.path, err), f.Close())
	}
	f.path = path
	return f, nil
}

func (f *logFile) Close() error { return f.file.Close() }

// open opens the file at the path, in the place of the one that was open. On an error, that stays.
func (f *logFile) open() error {
	// Without O_NONBLOCK a pipe would have us wait for a reader. Files do not care.
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, logFileMode)
	if err != nil {
		return explainLogFile(f.path, err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("log file %s: %w", f.path, err), file.Close())
	}
	if f.file != nil {
		_ = f.file.Close() // each line of it was written, or has failed
	}
	f.file, f.info, f.size, f.begun = file, info, info.Size(), timeOfFirstLine(f.path, info)
	return nil
}

// explainLogFile says why a log file cannot be opened, and what to do.
func explainLogFile(path string, err error) error {
	folder := filepath.Dir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("log file %s: its folder %s is missing; create it", path, folder)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("log file %s: %s is not a folder", path, folder)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("log file %s: it is a folder; for a file in it, give its path with a / at the end", path)
	case errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("log file %s: it is not a regular file", path)
	}
	return fmt.Errorf("log file: %w", err)
}

// timeOfFirstLine returns the time that the first line of a file has, as we write it in either format. In the place of a
// time that cannot be read there is that of the last write.
func timeOfFirstLine(path string, info os.FileInfo) time.Time {
	start := make([]byte, 64)
	if file, err := os.Open(path); err == nil {
		n, _ := io.ReadFull(file, start)
		start = start[:n]
		_ = file.Close()
	}
	for _, key := range []string{`time=`, `{"time":"`} {
		if text, ok := strings.CutPrefix(string(start), key); ok {
			end := max(0, strings.IndexAny(text, `" `))
			if t, err := time.Parse(time.RFC3339Nano, text[:end]); err == nil {
				return t
			}
		}
	}
	return info.ModTime()
}

// Write writes one line. An error is said on standard error: whoever logs can do nothing about it.
func (f *logFile) Write(line []byte) (int, error) {
	err := f.follow()
	if err == nil && f.isDue(len(line)) {
		f.rotating.note(f.rotate())
	}
	f.writing.note(errors.Join(err, f.append(line)))
	return len(line), nil
}

// follow opens the file anew if its path has become that of another file, or of none. On an error the old one is still
// there to write to: it may have been moved to where somebody reads it.
func (f *logFile) follow() error {
	info, err := os.Stat(f.path)
	if err != nil || !os.SameFile(info, f.info) {
		return f.open()
	}
	f.size = info.Size() // less than it was, where somebody has emptied it
	return nil
}

// isDue reports whether the file has to be rotated before n more bytes.
func (f *logFile) isDue(n int) bool {
	now := time.Now()
	big := f.RotateBytes > 0 && f.size+int64(n) > int64(f.RotateBytes)
	old := f.RotateDuration > 0 && now.Sub(f.begun) >= f.RotateDuration
	return f.size > 0 && (big || old) && !now.Before(f.rotateAt)
}

// append adds a line. One that does not fit is not there at all, so that the next one begins on a line of its own.
func (f *logFile) append(line []byte) error {
	if f.size == 0 {
		f.begun = time.Now()
	}
	n, err := f.file.Write(line)
	if err != nil && n > 0 {
		return errors.Join(err, f.cut(f.size, n))
	}
	return err
}

// cut takes back the n bytes that were written of a line, unless somebody else has written meanwhile.
func (f *logFile) cut(size int64, n int) error {
	info, err := f.file.Stat()
	if err != nil || info.Size() != size+int64(n) {
		return err
	}
	return f.file.Truncate(size)
}

// rotate gives the file another name, begins a new one, and removes those that are too many. If the new one cannot be
// opened all is as before.
func (f *logFile) rotate() error {
	f.rotateAt = time.Now().Add(rotateAgain)
	old, err := f.rotated()
	if err != nil {
		return err
	}
	name := f.nextName(old)
	if err := os.Rename(f.path, name); err != nil {
		return err
	}
	if err := f.open(); err != nil {
		return errors.Join(err, os.Rename(name, f.path))
	}
	f.rotateAt = time.Time{}
	return f.prune(append(old, name))
}

// rotated returns the files that were rotated away, the oldest first.
func (f *logFile) rotated() ([]string, error) {
	folder := filepath.Dir(f.path)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, ok := f.stamp(e.Name()); ok && e.Type().IsRegular() {
			names = append(names, filepath.Join(folder, e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}

// stamp returns the time in the name of a file that was rotated away. No other name has one.
func (f *logFile) stamp(name string) (time.Time, bool) {
	before, after := f.around()
	name, begins := strings.CutPrefix(name, filepath.Base(before))
	name, ends := strings.CutSuffix(name, after)
	t, err := time.Parse(stampLayout, name)
	return t, begins && ends && err == nil
}

// around returns what stands around the time in the path of a file that was rotated away.
func (f *logFile) around() (before, after string) {
	ext := filepath.Ext(f.path)
	return strings.TrimSuffix(f.path, ext) + "-", ext
}

// nextName returns a name behind all of those that were rotated away, also where they are of the same moment, or the clock
// was set back.
func (f *logFile) nextName(old []string) string {
	t := time.Now().UTC().Truncate(time.Millisecond)
	if len(old) > 0 {
		if last, _ := f.stamp(filepath.Base(old[len(old)-1])); !t.After(last) {
			t = last.Add(time.Millisecond)
		}
	}
	before, after := f.around()
	return before + t.Format(stampLayout) + after
}

// prune removes the oldest of those that were rotated away, if they are too many.
func (f *logFile) prune(names []string) error {
	if f.MaxFiles == 0 {
		return nil
	}
	var errs []error
	for _, name := range names[:max(0, len(names)-max(0, f.MaxFiles))] {
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
