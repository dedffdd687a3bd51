package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"render/watch/hint"
)

// FileSettings say where a log file is, and when it gives way to a new one.
type FileSettings struct {
	Path           string        // "" for none; one that ends in / is of a folder, and one without extension gets .log
	RotateBytes    int           // a file gets no bigger, unless by one line; 0 for any size
	RotateDuration time.Duration // from a file's first line to its last, about; 0 for ever
	MaxFiles       int           // how many to keep of those rotated away; 0 for all, -1 for none
}

func (s FileSettings) validate() error {
	switch {
	case s.RotateBytes < 0:
		return hint.With(fmt.Errorf("log file %s: cannot rotate the file at %d bytes", s.Path, s.RotateBytes), "use a positive number of bytes, or 0 for no limit")
	case s.RotateDuration < 0:
		return hint.With(fmt.Errorf("log file %s: cannot rotate the file after %s", s.Path, s.RotateDuration), "use a duration such as 24h, or 0 for never")
	case s.MaxFiles < -1:
		return hint.With(fmt.Errorf("log file %s: cannot keep %d rotated files", s.Path, s.MaxFiles), "use a positive number, 0 for all files, or -1 for none")
	}
	return nil
}

// name returns the path of the file itself.
func (s FileSettings) name() string {
	switch {
	case strings.HasSuffix(s.Path, "/"):
		return s.Path + "render.log"
	case filepath.Ext(s.Path) == "":
		return s.Path + ".log"
	}
	return s.Path
}

// A file is a log file that is rotated when it is written to. It always has the same name; what is rotated away has the
// time of that in its name. If somebody else has moved the file, a new one is begun.
//
// It is not safe for concurrent use: slog writes one line at a time.
type file struct {
	FileSettings
	*lumberjack.Logger             // its goroutine never ends: it is taken over where settings stay as they are
	info               os.FileInfo // of the file before the last line
	begun              time.Time   // the time of its first line
	writing, rotating  failureLog
}

// openFile makes a log file if it is missing. It is not open before the first line.
func openFile(s FileSettings, report reporter) (*file, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	f := &file{
		FileSettings: s,
		Logger:       &lumberjack.Logger{Filename: s.name(), MaxSize: math.MaxInt32, MaxBackups: max(0, s.MaxFiles)},
		writing:      failureLog{report: report, bad: "log file write failed", well: "log file writes recovered"},
		rotating:     failureLog{report: report, bad: "log file rotation failed", well: "log file rotation recovered"},
	}
	return f, f.follow()
}

var timeOfLine = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-][\d:]+)`)

// follow makes the file if it is missing, and has it opened anew if it is another one than before, or was emptied.
func (f *file) follow() error {
	// Without O_NONBLOCK a pipe might have us wait. Files do not care.
	file, err := os.OpenFile(f.Filename, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o640)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hint.With(fmt.Errorf("log file %s: the folder %s is missing", f.Filename, filepath.Dir(f.Filename)), "create the folder")
	case errors.Is(err, syscall.EISDIR):
		return hint.With(fmt.Errorf("log file %s: the path is a folder", f.Filename), "for a log file in this folder, add / at the end of the path")
	case err != nil:
		return fmt.Errorf("log file: %w", err)
	}
	defer file.Close()
	old := f.info
	if f.info, err = file.Stat(); err != nil || !f.info.Mode().IsRegular() {
		return errors.Join(fmt.Errorf("log file %s: not a regular file", f.Filename), err)
	}
	switch {
	case f.info.Size() == 0:
		f.begun = time.Now()
	case os.SameFile(old, f.info):
		return nil
	default:
		start := make([]byte, 64)
		n, _ := file.ReadAt(start, 0)
		if f.begun, err = time.Parse(time.RFC3339, timeOfLine.FindString(string(start[:n]))); err != nil {
			f.begun = f.info.ModTime()
		}
	}
	return f.Close() // lumberjack opens a file to append to it, but not where it has made it itself
}

// Write writes one line. An error is said on standard error: whoever logs can do nothing about it.
func (f *file) Write(line []byte) (int, error) {
	err := f.follow()
	if err == nil && f.isDue(len(line)) {
		f.rotating.note(f.rotate())
	}
	if err == nil {
		var n int
		if n, err = f.Logger.Write(line); err != nil && n > 0 {
			err = errors.Join(err, os.Truncate(f.Filename, f.info.Size())) // the next line begins on a line of its own
		}
	}
	f.writing.note(err)
	return len(line), nil
}

// isDue reports whether the file has to be rotated before n more bytes.
func (f *file) isDue(n int) bool {
	big := f.RotateBytes > 0 && f.info.Size()+int64(n) > int64(f.RotateBytes)
	old := f.RotateDuration > 0 && time.Since(f.begun) >= f.RotateDuration
	return f.info.Size() > 0 && (big || old)
}

var special = regexp.MustCompile(`[*?[\\]`) // in a pattern of names

// rotate has lumberjack begin a new file. Of old ones it removes those that are too many, later; where none is kept, we do.
func (f *file) rotate() error {
	time.Sleep(time.Millisecond) // names are no more exact, and one that is there already would be replaced
	errs := []error{f.Rotate(), f.follow()}
	if f.MaxFiles < 0 {
		path := special.ReplaceAllString(f.Filename, `\$0`)
		ext := filepath.Ext(path)
		old, err := filepath.Glob(strings.TrimSuffix(path, ext) + "-????-??-??T??-??-??.???" + ext)
		for _, name := range old {
			errs = append(errs, os.Remove(name))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
