package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/cmd/render/filetest"

	"render/watch/hint"
)

func TestLogFileName(t *testing.T) {
	for path, want := range map[string]string{
		"/var/log/": "/var/log/render.log", "/var/log/web": "/var/log/web.log", "/var/log/web.txt": "/var/log/web.txt",
		"/var/log.d/web": "/var/log.d/web.log", "web": "web.log", "./": "./render.log",
	} {
		if got := (FileSettings{Path: path}).name(); got != want {
			t.Errorf("%s: got %s, not %s", path, got, want)
		}
	}
}

// contentsOf returns the messages in rotated files, the oldest first, and then in the one that is written to.
func contentsOf(t *testing.T, dir, live string) (all []string) {
	t.Helper()
	for _, name := range append(filetest.Names(t, dir, live), live) {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // lumberjack has removed it meanwhile
		}
		filetest.Check(t, err)
		all = append(all, strings.Join(filetest.Messages(t, string(text)), " "))
	}
	return all
}

// has returns the condition that files of a folder have these messages, as contentsOf returns them.
func has(t *testing.T, dir, live string, want ...string) func() error {
	return func() error {
		if got := contentsOf(t, dir, live); !slices.Equal(got, want) {
			return fmt.Errorf("got %q, not %q", got, want)
		}
		return nil
	}
}

// Nothing gets bigger than it may, the file keeps its name, and those rotated away sort by age.
func TestLogFileRotatesByBytes(t *testing.T) {
	line := len("time=" + time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Local().Format("2006-01-02T15:04:05.000Z07:00") + " level=INFO msg=1\n")
	for _, tt := range []struct {
		bytes, keep int
		want        []string
	}{
		{0, -1, []string{"1 2 3 4 5 6 7 8 9"}},
		{3 * line, 0, []string{"1 2 3", "4 5 6", "7 8 9"}},
		{4*line - 1, 0, []string{"1 2 3", "4 5 6", "7 8 9"}},
		{2 * line, 2, []string{"5 6", "7 8", "9"}},
		{2 * line, 9, []string{"1 2", "3 4", "5 6", "7 8", "9"}},
		{2 * line, -1, []string{"9"}},
		{1, 1, []string{"8", "9"}}, // a line alone may be bigger
	} {
		t.Run(fmt.Sprintf("%d bytes, keep %d", tt.bytes, tt.keep), func(t *testing.T) {
			dir := t.TempDir()
			s := FileSettings{Path: dir + "/", RotateBytes: tt.bytes, MaxFiles: tt.keep}
			l, stderr := newTestLogs(t, toFile(s))
			for i := range 9 {
				if i == 4 {
					filetest.Check(t, l.Apply(toFile(s))) // it goes on where it was
				}
				l.Logger().Info(fmt.Sprint(i + 1))
			}
			filetest.Awaits(t, has(t, dir, "render.log", tt.want...)) // old ones are removed behind our back
			if got := len(filetest.Messages(t, stderr.String())); got != 9 {
				t.Errorf("%d lines on standard error", got)
			}
		})
	}
}

// The age of a file is that of its first line, or where that is not as we write it, of its last write.
func TestLogFileRotatesByAge(t *testing.T) {
	stamp := func(age time.Duration) string { return time.Now().Add(-age).Format(time.RFC3339Nano) }
	for _, tt := range []struct {
		name, first string
		written     time.Duration // ago
		want        int           // rotated away
	}{
		{"old text", "time=" + stamp(25*time.Hour) + " level=INFO msg=0\n", 0, 1},
		{"young text", "time=" + stamp(23*time.Hour) + " level=INFO msg=0\n", 50 * time.Hour, 0},
		{"old JSON", `{"time":"` + stamp(25*time.Hour) + `","level":"INFO","msg":"0"}` + "\n", 0, 1},
		{"young JSON", `{"time":"` + stamp(23*time.Hour) + `","level":"INFO","msg":"0"}` + "\n", 50 * time.Hour, 0},
		{"old, no time", "hello\n", 25 * time.Hour, 1},
		{"young, no time", "time=now\n", 23 * time.Hour, 0},
		{"empty", "", 25 * time.Hour, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "web.txt")
			filetest.Write(t, path, tt.first)
			then := time.Now().Add(-tt.written)
			filetest.Check(t, os.Chtimes(path, then, then))
			s := toFile(FileSettings{Path: path, RotateDuration: 24 * time.Hour})
			l, _ := newTestLogs(t, s)
			l.Logger().Info("1")
			l.Logger().Info("2")
			filetest.Check(t, l.Apply(s))
			l.Logger().Info("3")
			rotated := filetest.Names(t, dir, "web.txt")
			if len(rotated) != tt.want {
				t.Fatalf("rotated away: %q", rotated)
			}
			for _, name := range rotated {
				if got := read(t, filepath.Join(dir, name)); got != tt.first || !strings.HasPrefix(name, "web-"+time.Now().UTC().Format("2006-")) {
					t.Errorf("%s has %q", name, got)
				}
			}
			if got, want := len(filetest.Messages(t, strings.TrimPrefix(read(t, path), tt.first))), 3; got != want {
				t.Errorf("%d lines, not %d", got, want)
			}
		})
	}
}

// What others keep beside the log is not ours to remove.
func TestLogFileLeavesOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `[x]\*?`)
	filetest.Check(t, os.Mkdir(dir, 0o755))
	others := []string{
		"a-2020-01-02T03-04-05.678.log.gz", "a-2020-01-02T03-04-05.678.txt", "a-2020-01-02T03-04-05.log", "a-old.log",
		"aa-2020-01-02T03-04-05.678.log", "b-2020-01-02T03-04-05.678.log",
	}
	for _, name := range others {
		filetest.Write(t, filepath.Join(dir, name), "")
	}
	l, _ := newTestLogs(t, toFile(FileSettings{Path: filepath.Join(dir, "a.log"), RotateBytes: 1, MaxFiles: -1}))
	for range 3 {
		l.Logger().Info("m")
	}
	if got := filetest.Names(t, dir, "a.log"); !slices.Equal(got, slices.Sorted(slices.Values(others))) {
		t.Errorf("left: %s", got)
	}
}

func TestLogFileMode(t *testing.T) {
	dir := t.TempDir()
	f, err := os.OpenFile(filepath.Join(dir, "like"), os.O_CREATE, 0o640) // the umask is the same
	filetest.Check(t, err)
	filetest.Check(t, f.Close())
	want, err := os.Stat(f.Name())
	filetest.Check(t, err)
	l, _ := newTestLogs(t, toFile(FileSettings{Path: filepath.Join(dir, "a"), RotateBytes: 1}))
	l.Logger().Info("1")
	l.Logger().Info("2")
	for _, name := range filetest.Names(t, dir, "like") {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want.Mode() {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// Somebody else, as logrotate, moves the file or empties it.
func TestLogFileIsChangedByOthers(t *testing.T) {
	tests := map[string]struct {
		act    func(t *testing.T, path string)
		reload bool
		want   string
		moved  string
	}{
		"moved":                   {move, false, "2", "1"},
		"moved, and then SIGHUP":  {move, true, "2", "1"},
		"moved, and made anew":    {moveAndMake, false, "2", "1"},
		"removed":                 {func(t *testing.T, path string) { filetest.Check(t, os.Remove(path)) }, false, "2", ""},
		"copied, and then empty":  {func(t *testing.T, path string) { filetest.Check(t, os.Truncate(path, 0)) }, false, "2", ""},
		"emptied and then SIGHUP": {func(t *testing.T, path string) { filetest.Check(t, os.Truncate(path, 0)) }, true, "2", ""},
		"nothing":                 {func(*testing.T, string) {}, true, "1 2", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a.log")
			l, stderr := newTestLogs(t, toFile(FileSettings{Path: path}))
			log := l.Logger()
			log.Info("1")
			tt.act(t, path)
			if tt.reload {
				filetest.Check(t, l.Apply(toFile(FileSettings{Path: path})))
				if _, err := os.Stat(path); err != nil {
					t.Error(err)
				}
			}
			log.Info("2")
			if got := strings.Join(filetest.Messages(t, read(t, path)), " "); got != tt.want {
				t.Errorf("the file has %q", got)
			}
			if tt.moved != "" {
				if got := strings.Join(filetest.Messages(t, read(t, path+".1")), " "); got != tt.moved {
					t.Errorf("the moved file has %q", got)
				}
			}
			if got := strings.Join(filetest.Messages(t, stderr.String()), " "); got != "1 2" {
				t.Errorf("standard error has %q", got)
			}
		})
	}
}

// However often a file is opened anew, nothing more stays behind.
func TestLogFileReopened(t *testing.T) {
	s := toFile(FileSettings{Path: filepath.Join(t.TempDir(), "a"), RotateBytes: 1, MaxFiles: 1})
	l, _ := newTestLogs(t, s)
	l.Logger().Info("m")
	before := runtime.NumGoroutine()
	for range 50 {
		filetest.Check(t, l.Apply(s))
		l.Logger().Info("m")
	}
	if after := runtime.NumGoroutine(); after > before+5 { // some end late, of other tests too
		t.Errorf("%d goroutines, %d before", after, before)
	}
}

func move(t *testing.T, path string) { filetest.Check(t, os.Rename(path, path+".1")) }

func moveAndMake(t *testing.T, path string) {
	move(t, path)
	filetest.Write(t, path, "")
}

// The folder is removed and comes back. No line is missing on standard error, where this is said once.
func TestLogFileWithoutFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	filetest.Check(t, os.Mkdir(dir, 0o755))
	l, stderr := newTestLogs(t, toFile(FileSettings{Path: dir + "/", RotateBytes: 1, MaxFiles: 2}))
	l.Logger().Info("before")
	filetest.Check(t, os.RemoveAll(dir))
	for range 5 {
		l.Logger().Info("without")
	}
	filetest.Check(t, stderr.Says(5, "msg=without")())
	filetest.Check(t, stderr.Says(1, `level=ERROR msg="log file write failed"`)())
	filetest.Check(t, stderr.Says(1, "the folder "+dir+" is missing\" hint=\"create the folder\"")())
	filetest.Check(t, os.Mkdir(dir, 0o755))
	l.Logger().Info("after")
	filetest.Check(t, stderr.Says(1, `msg="log file writes recovered" failures=5`)())
	if got := contentsOf(t, dir, "render.log"); !slices.Equal(got, []string{"after"}) {
		t.Errorf("got %q", got)
	}
	filetest.Messages(t, stderr.String())
}

func TestLogFileCannotBe(t *testing.T) {
	dir := t.TempDir()
	filetest.Check(t, os.Mkdir(filepath.Join(dir, "folder.log"), 0o755))
	filetest.Write(t, filepath.Join(dir, "file.log"), "")
	filetest.Check(t, syscall.Mkfifo(filepath.Join(dir, "pipe.log"), 0o600))
	filetest.Check(t, os.Symlink("loop.log", filepath.Join(dir, "loop.log")))
	for name, want := range map[string]string{
		"none/":          "log file " + dir + "/none/render.log: the folder " + dir + "/none is missing\nhint: create the folder",
		"none/a":         "log file " + dir + "/none/a.log: the folder " + dir + "/none is missing\nhint: create the folder",
		"folder":         "folder.log: the path is a folder\nhint: for a log file in this folder, add / at the end of the path",
		"file.log/a.log": "log file: open " + dir + "/file.log/a.log: not a directory",
		"pipe.log":       "pipe.log: not a regular file",
		"loop":           "log file: open " + dir + "/loop.log: too many levels of symbolic links",
	} {
		_, err := openFile(FileSettings{Path: dir + "/" + name}, nil)
		if err == nil || !strings.Contains(hint.Text(err), want) {
			t.Errorf("%s: got %v, not %s", name, err, want)
		}
	}
	// With somebody who reads the pipe it can be opened.
	r, err := os.OpenFile(filepath.Join(dir, "pipe.log"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	filetest.Check(t, err)
	defer r.Close()
	if _, err := openFile(FileSettings{Path: r.Name()}, nil); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("got %v", err)
	}
}
