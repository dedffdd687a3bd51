package logs

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"render/cmd/render/filetest"

	"render/watch/hint"
)

// newTestTerminal returns a terminal of some columns without colors, and what it gets.
func newTestTerminal(columns int) (*terminal, *filetest.Log) {
	screen := new(filetest.Log)
	return &terminal{place: screen, columns: func() int { return columns }, rewrites: true}, screen
}

// onTerminal returns a log that goes to a terminal.
func onTerminal(t *testing.T, place *terminal) *Log {
	t.Helper()
	l := New(NewWriter(place))
	filetest.Check(t, l.Apply(Settings{Level: "trace", Format: "auto"}))
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestPeopleFormat(t *testing.T) {
	for _, tt := range []struct {
		name string
		log  func(*slog.Logger)
		want string
	}{
		{"fits", func(l *slog.Logger) { l.Info("rendered", "files", "out", "took", 12*time.Millisecond) },
			"TIME INFO  rendered  files=out  took=12ms\n"},
		{"levels", func(l *slog.Logger) {
			for _, level := range []slog.Level{levelTrace, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
				l.Log(t.Context(), level, "m")
			}
		}, "TIME TRACE m\nTIME DEBUG m\nTIME INFO  m\nTIME WARN  m\nTIME ERROR m\n"},
		{"exactly the width", func(l *slog.Logger) { l.Info("m", "key", strings.Repeat("é", 60-15-1-2-4)) },
			"TIME INFO  m  key=" + strings.Repeat("é", 38) + "\n"},
		{"a column too wide", func(l *slog.Logger) { l.Info("m", "key", strings.Repeat("é", 60-15-1-2-3)) },
			"TIME INFO  m\n               key  " + strings.Repeat("é", 39) + "\n"},
		{"does not fit", func(l *slog.Logger) {
			l.Info("rendered", "files", "/etc/nginx/conf.d/upstreams.conf", "because", "service web: 2 → 3 instances", "output", "")
		}, "TIME INFO  rendered\n               files    /etc/nginx/conf.d/upstreams.conf\n" +
			"               because  service web: 2 → 3 instances\n               | \n"},
		{"output", func(l *slog.Logger) {
			l.Error("command failed", "output", "one\r\n\ttwo\n", "err", errors.New("exit status 1"))
		},
			"TIME ERROR command failed  err=exit status 1\n               | one\n               |     two\n"},
		{"error of several lines", func(l *slog.Logger) { l.Warn("m", "err", errors.New("a\nb")) },
			"TIME WARN  m\n               err\n               | a\n               | b\n"},
		{"hint", func(l *slog.Logger) {
			l.Error("failed", "err", hint.With(errors.New("no folder"), "create the folder"), "output", "out")
		}, "TIME ERROR failed  err=no folder\n               hint: create the folder\n               | out\n"},
		{"changes", func(l *slog.Logger) {
			l.Info("rendered", "files", "out", "changes", "out  +1 -1\n-\told\x1b\n+new\n", "output", "done")
		}, "TIME INFO  rendered  files=out\n               | out  +1 -1\n               | -    old\\x1b\n               | +new\n               | done\n"},
		{"groups", func(l *slog.Logger) {
			l = l.With("a", 1).WithGroup("g").With("b", 2)
			l.Info("m", "c", 3, slog.Group("h", "d", 4), slog.Group("", "e", 5))
			l.Info("n")
		}, "TIME INFO  m  a=1  g.b=2  g.c=3  g.h.d=4  g.e=5\nTIME INFO  n  a=1  g.b=2\n"},
		{"control characters", func(l *slog.Logger) {
			text := "\x1b[31m\u009b\x9b\u202e\x07\ré "
			l.Info(text, text, text, "output", text+"\x00\n"+text)
		}, "TIME INFO  ESC\n               ESC  ESC\n               | ESC\\x00\n               | ESC\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			place, screen := newTestTerminal(60)
			tt.log(onTerminal(t, place).Logger())
			got := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d `).ReplaceAllString(screen.String(), "TIME ")
			if want := strings.ReplaceAll(tt.want, "ESC", `\x1b[31m\u009b\x9b\u202e\a\ré `); got != want {
				t.Errorf("got\n%s\nnot\n%s", got, want)
			}
		})
	}
}

// Other formats on a terminal, and text that is printed and not logged, have no control characters either.
func TestTerminalGetsNoControlCharacters(t *testing.T) {
	const stranger = "\x1b]0;title\x07\u009b31m\x9b\u202e end"
	for _, format := range []string{"auto", "text", "json"} {
		place, screen := newTestTerminal(60)
		w := NewWriter(place)
		l := New(w)
		filetest.Check(t, l.Apply(Settings{Level: "info", Format: format}))
		l.Logger().Info(stranger, stranger, stranger, "err", errors.New(stranger))
		_, err := io.WriteString(w, "render: "+stranger+"\n\tmore\n")
		filetest.Check(t, err)
		l.Progress(stranger)
		got := strings.ReplaceAll(screen.String(), eraseLine, "")
		if i := strings.IndexAny(got, "\x1b\x07\u009b\r"); i >= 0 || !utf8.ValidString(got) {
			t.Errorf("%s: byte %d is a control character: %q", format, i, got)
		}
		if !strings.Contains(got, "\n\tmore\n") {
			t.Errorf("%s: newlines and tabs are missing in %q", format, got)
		}
	}
}

// Lines of files are on the terminal alone.
func TestOnlyTerminalHasChanges(t *testing.T) {
	place, screen := newTestTerminal(60)
	path := filepath.Join(t.TempDir(), "a.log")
	daemon := newSyslogd(t)
	for _, format := range []string{"auto", "text", "json"} {
		l := New(NewWriter(place))
		filetest.Check(t, l.Apply(Settings{Level: "info", Format: format, File: FileSettings{Path: path}, Syslog: daemon.settings("USER").Syslog}))
		l.Logger().Info("rendered "+format, "changes", "secret\n", "took", 1)
		filetest.Check(t, l.Close())
		if _, got := daemon.hear(); got != "rendered "+format+" took=1" {
			t.Errorf("syslog has %q", got)
		}
		if got := strings.Contains(screen.String(), "secret"); got != (format == "auto") {
			t.Errorf("%s: the terminal has %q", format, screen)
		}
		place, screen = newTestTerminal(60)
	}
	text, err := os.ReadFile(path)
	filetest.Check(t, err)
	if strings.Contains(string(text), "secret") || strings.Count(string(text), "rendered") != 3 {
		t.Errorf("the file has %s", text)
	}
}

// A log file beside a terminal has text, whatever is on the terminal.
func TestFileOfTerminalHasText(t *testing.T) {
	place, screen := newTestTerminal(60)
	l := New(NewWriter(place))
	path := filepath.Join(t.TempDir(), "a.log")
	for format, want := range map[string]string{"auto": " INFO  m\n", "text": " level=INFO msg=m\n", "json": `"level":"INFO","msg":"m"}` + "\n"} {
		filetest.Check(t, l.Apply(Settings{Level: "info", Format: format, File: FileSettings{Path: path}}))
		l.Logger().Info("m")
		if got := screen.String(); !strings.HasSuffix(got, want) {
			t.Errorf("%s: the terminal has %q", format, got)
		}
		if format == "auto" {
			want = " level=INFO msg=m\n"
		}
		if got := read(t, path); !strings.HasSuffix(got, want) {
			t.Errorf("%s: the file has %q", format, got)
		}
	}
}

// Progress stays below the lines of the log, and nothing of it is left at the end.
func TestProgress(t *testing.T) {
	for _, queued := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			place, screen := newTestTerminal(12)
			l := onTerminal(t, place)
			if queued {
				l.StartQueues()
				defer l.stderr.queue.end()
			}
			l.Progress("1 of 2")
			synctest.Wait() // else both may be drawn at once
			l.Progress("2 of 2 and more")
			synctest.Wait()
			l.Logger().Info("line")
			synctest.Wait()
			l.Progress("")
			l.Logger().Info("last")
			synctest.Wait()
			got := regexp.MustCompile(`\d\d:\d\d:\d\d`).ReplaceAllString(screen.String(), "TIME")
			want := eraseLine + "1 of 2" + eraseLine + "2 of 2 and " + eraseLine + "TIME INFO  line\n2 of 2 and " + eraseLine + "TIME INFO  last\n"
			if got != want {
				t.Errorf("queued %t: got\n%q\nnot\n%q", queued, got, want)
			}
		})
	}
}

// Where nothing can be rewritten, nothing is.
func TestNoProgress(t *testing.T) {
	dumb, screen := newTestTerminal(60)
	dumb.rewrites = false
	pipe := new(filetest.Log)
	for _, l := range []*Log{onTerminal(t, dumb), New(NewWriter(pipe))} {
		if l.Progress("1 of 2") {
			t.Error("progress is shown")
		}
	}
	if got := screen.String() + pipe.String(); got != "" {
		t.Errorf("got %q", got)
	}

	// A format that is not for people ends what is shown.
	place, screen := newTestTerminal(60)
	l := onTerminal(t, place)
	if !l.Progress("1 of 2") {
		t.Error("no progress is shown")
	}
	filetest.Check(t, l.Apply(plainLog))
	if l.Progress("2 of 2") {
		t.Error("progress is shown among text")
	}
	if got := screen.String(); got != eraseLine+"1 of 2"+eraseLine {
		t.Errorf("got %q", got)
	}
}

// While a terminal hangs, as after Ctrl-S, progress takes no room of the lines in the queue.
func TestProgressOfHangingTerminal(t *testing.T) {
	place := newHeldPlace()
	l := New(NewWriter(&terminal{place: place, columns: func() int { return 60 }, rewrites: true}))
	l.StartQueues()
	defer l.stderr.queue.end()
	l.Logger().Info("first")
	finished := make(chan struct{})
	go func() {
		for n := range 100 {
			l.Progress(strconv.Itoa(n))
		}
		close(finished)
	}()
	select {
	case <-finished:
	case <-time.After(filetest.Patience):
		t.Fatal("progress waits for the terminal")
	}
	l.stderr.queue.mu.Lock()
	if n := len(l.stderr.queue.items); n != 2 {
		t.Errorf("%d items are queued", n)
	}
	l.stderr.queue.mu.Unlock()

	close(place.permits)
	filetest.Check(t, l.stderr.queue.doWithin(filetest.Patience, func() error { return nil }))
	if got := place.String(); !strings.HasSuffix(got, " INFO  first\n"+eraseLine+"99") {
		t.Errorf("got %q", got)
	}
}

func TestOpenTerminal(t *testing.T) {
	keyboard, screen, err := pty.Open()
	filetest.Check(t, err)
	defer keyboard.Close()
	defer screen.Close()
	filetest.Check(t, pty.Setsize(screen, &pty.Winsize{Cols: 77, Rows: 20}))
	for _, tt := range []struct {
		name             string
		env              map[string]string
		colors, rewrites bool
	}{
		{"terminal", map[string]string{"TERM": "xterm"}, true, true},
		{"NO_COLOR", map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false, true},
		{"dumb", map[string]string{"TERM": "dumb"}, false, false},
		{"no TERM", nil, false, false},
	} {
		got := openTerminal(screen, func(name string) string { return tt.env[name] })
		if got == nil || got.colors != tt.colors || got.rewrites != tt.rewrites || got.width() != 77 {
			t.Errorf("%s: got %+v", tt.name, got)
		}
	}

	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	filetest.Check(t, err)
	defer null.Close()
	if openTerminal(null, os.Getenv) != nil {
		t.Error(os.DevNull + " is a terminal")
	}
}
