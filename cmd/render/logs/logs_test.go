package logs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"render/cmd/render/filetest"

	"render/watch/hint"
)

// plainLog are settings of a log that goes nowhere but to standard error.
var plainLog = Settings{Level: "info", Format: "text"}

// toFile are settings of a log that goes to a file too.
func toFile(file FileSettings) Settings {
	s := plainLog
	s.File = file
	return s
}

// newTestLogs returns a log, and what it writes to standard error.
func newTestLogs(t *testing.T, s Settings) (*Log, *filetest.Log) {
	t.Helper()
	stderr := new(filetest.Log)
	l := New(NewWriter(stderr))
	filetest.Check(t, l.Apply(s))
	t.Cleanup(func() { _ = l.Close() })
	return l, stderr
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	filetest.Check(t, err)
	return string(b)
}

func TestLogSettings(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.log")
	for _, tt := range []struct {
		name string
		s    Settings
		want string // a regular expression
	}{
		{"level", Settings{Level: "loud", Format: "text"}, `^log level "loud" is not one of trace, debug, info, warn, err$`},
		{"near a level", Settings{Level: "warning", Format: "text"}, `^log level "warning" is not .* err$`},
		{"no level", Settings{Format: "text"}, `^log level "" is not`},
		{"format", Settings{Level: "err", Format: "xml"}, `^log format "xml" is not one of auto, text, json$`},
		{"near a format", Settings{Level: "err", Format: "jsn"}, `^log format "jsn" is not one of auto, text, json$`},
		{"facility", Settings{Level: "err", Format: "text", Syslog: SyslogSettings{Enabled: true, Facility: "local9"}},
			`^syslog facility "local9" is not one of AUTH, .*, UUCP$`},
		{"bytes", toFile(FileSettings{Path: file, RotateBytes: -1}), `a\.log: cannot rotate the file at -1 bytes\nhint: use`},
		{"duration", toFile(FileSettings{Path: file, RotateDuration: -time.Hour}), `a\.log: cannot rotate the file after -1h0m0s\nhint: use`},
		{"files", toFile(FileSettings{Path: file, MaxFiles: -2}), `a\.log: cannot keep -2 rotated files\nhint: use`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := New(NewWriter(new(filetest.Log))).Apply(tt.s)
			if err == nil || !regexp.MustCompile(tt.want).MatchString(hint.Text(err)) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("a file was made")
			}
		})
	}
}

func TestLogLevels(t *testing.T) {
	all := []slog.Level{levelTrace, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	for name, want := range map[string]string{
		"trace": "TRACE DEBUG INFO WARN ERROR", "Debug": "DEBUG INFO WARN ERROR", "INFO": "INFO WARN ERROR",
		"warn": "WARN ERROR", "err": "ERROR", "Error": "ERROR",
	} {
		for _, format := range []string{"text", "json"} {
			path := filepath.Join(t.TempDir(), "a.log")
			l, stderr := newTestLogs(t, Settings{Level: name, Format: format, File: FileSettings{Path: path}})
			for _, level := range all {
				l.Logger().Log(t.Context(), level, "m")
			}
			for _, text := range []string{stderr.String(), read(t, path)} {
				var got []string
				for _, m := range regexp.MustCompile(`level"?[=:]"?([A-Z0-9-]+)`).FindAllStringSubmatch(text, -1) {
					got = append(got, m[1])
				}
				if strings.Join(got, " ") != want {
					t.Errorf("%s, %s: %s", name, format, text)
				}
			}
		}
	}
}

// A record that somebody has made without a time gets one.
func TestLogLinesHaveTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	l, stderr := newTestLogs(t, toFile(FileSettings{Path: path}))
	for _, format := range []string{"text", "json"} {
		filetest.Check(t, l.Apply(Settings{Level: "info", Format: format, File: FileSettings{Path: path}}))
		filetest.Check(t, l.Logger().Handler().Handle(context.Background(), slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0)))
		slog.NewLogLogger(l.Logger().Handler(), slog.LevelWarn).Print("m")
	}
	for _, text := range []string{stderr.String(), read(t, path)} {
		if got := filetest.Messages(t, text); len(got) != 4 {
			t.Errorf("got %q", text)
		}
	}
}

// A line of JSON holds no control character that a terminal obeys, and says the same.
func TestJSONHasNoControlCharacters(t *testing.T) {
	l, out := newTestLogs(t, Settings{Level: "info", Format: "json"})
	const name = "a\u009b31m\u0085\x7f\u0080\u009f\x1b[0m\r\n\u00a0\u00c2é end"
	l.Logger().Info(name, "service", name)

	if i := strings.IndexFunc(strings.TrimSuffix(out.String(), "\n"), unicode.IsControl); i >= 0 {
		t.Errorf("byte %d is a control character: %q", i, out)
	}
	var line struct{ Msg, Service string }
	filetest.Check(t, json.Unmarshal([]byte(out.String()), &line))
	if line.Msg != name || line.Service != name {
		t.Errorf("got %q", line)
	}
}

func TestLogBeforeSettings(t *testing.T) {
	stderr := new(filetest.Log)
	l := New(NewWriter(stderr))
	l.Logger().Debug("no")
	l.Logger().Info("yes")
	filetest.Check(t, l.Close())
	if got := filetest.Messages(t, stderr.String()); len(got) != 1 || got[0] != "yes" {
		t.Errorf("got %q", stderr)
	}
}

// What is derived from a logger follows changes, whenever it was derived.
func TestDerivedLoggersFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	l, stderr := newTestLogs(t, Settings{Level: "warn", Format: "text"})
	base := l.Logger()
	with := base.With("a", 1)
	group := with.WithGroup("g").With("b", "x y")
	sibling := with.With("c", 3)
	say := func() {
		for _, log := range []*slog.Logger{base, with, group, sibling} {
			log.Info("m", "k", "v")
		}
	}
	say()
	if got := stderr.String(); got != "" {
		t.Errorf("below the level: %s", got)
	}
	for _, tt := range []struct {
		format string
		want   []string
	}{
		{"text", []string{"m k=v", "m a=1 k=v", `m a=1 g.b="x y" g.k=v`, "m a=1 c=3 k=v"}},
		{"json", []string{`"m","k":"v"}`, `"m","a":1,"k":"v"}`, `"m","a":1,"g":{"b":"x y","k":"v"}}`, `"m","a":1,"c":3,"k":"v"}`}},
	} {
		before := len(stderr.String())
		filetest.Check(t, l.Apply(Settings{Level: "info", Format: tt.format, File: FileSettings{Path: path}}))
		say()
		said := stderr.String()[before:]
		for i, line := range strings.Split(strings.TrimSpace(said), "\n") {
			if !strings.HasSuffix(line, tt.want[i]) {
				t.Errorf("%s: got %s, not %s", tt.format, line, tt.want[i])
			}
		}
		if !strings.HasSuffix(read(t, path), said) {
			t.Errorf("the file has\n%s\nnot\n%s", read(t, path), said)
		}
	}
}

// While lines are logged the settings change all the time: each line is there once, and whole.
func TestLogChangesInUse(t *testing.T) {
	const loggers, each = 8, 300
	path := filepath.Join(t.TempDir(), "a.log")
	file := FileSettings{Path: path}
	for _, tt := range []struct {
		name   string
		inFile bool // all lines are
		turns  []Settings
	}{
		{"with and without a file", false, []Settings{
			{Level: "info", Format: "text"}, {Level: "info", Format: "json"}, {Level: "info", Format: "text", File: file},
		}},
		{"a file", true, []Settings{
			{Level: "info", Format: "text", File: file}, {Level: "debug", Format: "json", File: file},
		}},
	} {
		for _, queued := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, queued %t", tt.name, queued), func(t *testing.T) {
				filetest.Check(t, os.WriteFile(path, nil, 0o600))
				stderr := new(filetest.Log)
				l := New(NewWriter(stderr))
				if queued {
					l.StartQueues()
					t.Cleanup(l.stderr.queue.end)
				}
				filetest.Check(t, l.Apply(tt.turns[0]))
				var wg sync.WaitGroup
				for i := range loggers {
					log := l.Logger().With("logger", i)
					wg.Go(func() {
						for j := range each {
							log.Info(fmt.Sprintf("%d-%d", i, j), "filler", strings.Repeat("x", 100))
						}
					})
				}
				ended := make(chan struct{})
				go func() { wg.Wait(); close(ended) }()
				for i, going := 0, true; going; i++ {
					filetest.Check(t, l.Apply(tt.turns[i%len(tt.turns)]))
					select {
					case <-ended:
						going = false
					default:
					}
				}
				done := func() error { return nil }
				if g := l.current.Load(); g.queue != nil {
					filetest.Check(t, g.queue.doWithin(filetest.Patience, done))
				}
				filetest.Check(t, l.Close())
				filetest.Check(t, l.stderr.queue.doWithin(filetest.Patience, done))
				said := slices.DeleteFunc(filetest.Messages(t, stderr.String()), func(m string) bool {
					return m == "previous log not closed cleanly" // in time, where the machine is busy
				})
				wantOnce(t, said, loggers*each, true)
				wantOnce(t, filetest.Messages(t, read(t, path)), loggers*each, tt.inFile)
			})
		}
	}
}

// wantOnce fails the test where a message LOGGER-NUMBER is there twice, those of a logger are not in their order, or not all
// n are there and have to be.
func wantOnce(t *testing.T, messages []string, n int, all bool) {
	t.Helper()
	seen, last := make(map[string]bool), make(map[string]int)
	for _, m := range messages {
		if seen[m] {
			t.Errorf("%s is there twice", m)
		}
		seen[m] = true
		logger, text, _ := strings.Cut(m, "-")
		number, err := strconv.Atoi(text)
		if before, ok := last[logger]; err != nil || ok && number < before {
			t.Errorf("%s comes after %s-%d", m, logger, before)
		}
		last[logger] = number
	}
	if all && len(seen) != n {
		t.Errorf("%d messages, not %d", len(seen), n)
	}
}

// Settings that cannot be applied leave everything as it was.
func TestLogChangeFails(t *testing.T) {
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "old.log"), filepath.Join(dir, "fresh.log")
	nobody := SyslogSettings{Enabled: true, Facility: "USER", network: "unixgram", address: filepath.Join(dir, "nobody")}
	for _, tt := range []struct {
		s    Settings
		want string
	}{
		{Settings{Level: "loud", Format: "json"}, "log level"},
		{Settings{Level: "err", Format: "xml"}, "log format"},
		{Settings{Level: "err", Format: "json", File: FileSettings{Path: dir + "/none/a.log"}}, "none is missing\nhint: create the folder"},
		{Settings{Level: "err", Format: "json", File: FileSettings{Path: fresh}, Syslog: nobody}, "connect to the syslog daemon"},
	} {
		filetest.Check(t, os.WriteFile(old, nil, 0o600))
		l, stderr := newTestLogs(t, toFile(FileSettings{Path: old}))
		if err := l.Apply(tt.s); err == nil || !strings.Contains(hint.Text(err), tt.want) {
			t.Errorf("got %v, not %s", err, tt.want)
		}
		l.Logger().Info("still here")
		if got := read(t, old); got != stderr.String() || !strings.Contains(got, `level=INFO msg="still here"`) {
			t.Errorf("after %v: the file has %q, standard error %q", tt.want, got, stderr)
		}
	}
}

func TestLogClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	l, stderr := newTestLogs(t, Settings{Level: "err", Format: "json", File: FileSettings{Path: path}})
	log := l.Logger()
	log.Error("1")
	filetest.Check(t, l.Close())
	filetest.Check(t, l.Close())
	log.Warn("2")
	log.Error("3")
	if got := filetest.Messages(t, stderr.String()); strings.Join(got, " ") != "1 3" {
		t.Errorf("standard error has %s", got)
	}
	if got := filetest.Messages(t, read(t, path)); strings.Join(got, " ") != "1" {
		t.Errorf("the file has %s", got)
	}
}
