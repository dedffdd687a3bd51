package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
)

// logText is what a log wrote.
type logText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// says returns the condition that a text is in it n times.
func (l *logText) says(n int, text string) func() error {
	return func() error {
		if got := strings.Count(l.String(), text); got != n {
			return fmt.Errorf("%q is there %d times, not %d:\n%s", text, got, n, l)
		}
		return nil
	}
}

// plainLog are settings of a log that goes nowhere but to standard error.
var plainLog = logSettings{Level: "info", Format: "text"}

// toFile are settings of a log that goes to a file too.
func toFile(file logFileSettings) logSettings {
	s := plainLog
	s.File = file
	return s
}

// newTestLogs returns a log, and what it writes to standard error.
func newTestLogs(t *testing.T, s logSettings) (*logs, *logText) {
	t.Helper()
	stderr := new(logText)
	l := newLogs(toQueue(stderr))
	check(t, l.apply(s))
	t.Cleanup(func() { _ = l.Close() })
	return l, stderr
}

// toQueue returns what writes text to a place, through a queue that is not started.
func toQueue(place io.Writer) logWriter { return logWriter{newLogQueue(), place, "text"} }

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return string(b)
}

// messages returns the messages of a log of either format. A line that is not whole fails the test, as one without time does.
func messages(t *testing.T, log string) (all []string) {
	t.Helper()
	text := regexp.MustCompile(`^time=\d{4}-\d\d-\d\dT\S+ level=\S+ msg=("[^"]*"|\S+)( [\w.]+=("([^"\\]|\\.)*"|\S*))*$`)
	for line := range strings.Lines(log) {
		line, ended := strings.CutSuffix(line, "\n")
		var object struct{ Time, Msg string }
		if m := text.FindStringSubmatch(line); ended && m != nil {
			all = append(all, strings.Trim(m[1], `"`))
		} else if err := json.Unmarshal([]byte(line), &object); ended && err == nil && object.Time != "" {
			all = append(all, object.Msg)
		} else {
			t.Errorf("not a line: %q", line)
		}
	}
	return all
}

func TestLogSettings(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.log")
	for _, tt := range []struct {
		name string
		s    logSettings
		want string // a regular expression
	}{
		{"level", logSettings{Level: "loud", Format: "text"}, `^log level "loud" is not one of trace, debug, info, warn, err$`},
		{"near a level", logSettings{Level: "warning", Format: "text"}, `^log level "warning" is not .* err; did you mean warn\?$`},
		{"no level", logSettings{Format: "text"}, `^log level "" is not`},
		{"format", logSettings{Level: "err", Format: "xml"}, `^log format "xml" is not one of text, json$`},
		{"near a format", logSettings{Level: "err", Format: "jsn"}, `^log format "jsn" is not one of text, json; did you mean json\?$`},
		{"facility", logSettings{Level: "err", Format: "text", Syslog: syslogSettings{Enabled: true, Facility: "local9"}},
			`^syslog facility "local9" is not one of AUTH, .*, UUCP; did you mean LOCAL0\?$`},
		{"bytes", toFile(logFileSettings{Path: file, RotateBytes: -1}), `a\.log: it cannot be rotated at -1 bytes; give`},
		{"duration", toFile(logFileSettings{Path: file, RotateDuration: -time.Hour}), `a\.log: it cannot be rotated after -1h0m0s; give`},
		{"files", toFile(logFileSettings{Path: file, MaxFiles: -2}), `a\.log: -2 rotated files cannot be kept; give`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := newLogs(toQueue(new(logText))).apply(tt.s)
			if err == nil || !regexp.MustCompile(tt.want).MatchString(err.Error()) {
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
			l, stderr := newTestLogs(t, logSettings{Level: name, Format: format, File: logFileSettings{Path: path}})
			for _, level := range all {
				l.logger().Log(t.Context(), level, "m")
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
	l, stderr := newTestLogs(t, toFile(logFileSettings{Path: path}))
	for _, format := range []string{"text", "json"} {
		check(t, l.apply(logSettings{Level: "info", Format: format, File: logFileSettings{Path: path}}))
		check(t, l.logger().Handler().Handle(context.Background(), slog.NewRecord(time.Time{}, slog.LevelInfo, "m", 0)))
		slog.NewLogLogger(l.logger().Handler(), slog.LevelWarn).Print("m")
	}
	for _, text := range []string{stderr.String(), read(t, path)} {
		if got := messages(t, text); len(got) != 4 {
			t.Errorf("got %q", text)
		}
	}
}

func TestLogBeforeSettings(t *testing.T) {
	stderr := new(logText)
	l := newLogs(toQueue(stderr))
	l.logger().Debug("no")
	l.logger().Info("yes")
	check(t, l.Close())
	if got := messages(t, stderr.String()); len(got) != 1 || got[0] != "yes" {
		t.Errorf("got %q", stderr)
	}
}

// What is derived from a logger follows changes, whenever it was derived.
func TestDerivedLoggersFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	l, stderr := newTestLogs(t, logSettings{Level: "warn", Format: "text"})
	base := l.logger()
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
		check(t, l.apply(logSettings{Level: "info", Format: tt.format, File: logFileSettings{Path: path}}))
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
	file := logFileSettings{Path: path}
	for _, tt := range []struct {
		name   string
		inFile bool // all lines are
		turns  []logSettings
	}{
		{"with and without a file", false, []logSettings{
			{Level: "info", Format: "text"}, {Level: "info", Format: "json"}, {Level: "info", Format: "text", File: file},
		}},
		{"a file", true, []logSettings{
			{Level: "info", Format: "text", File: file}, {Level: "debug", Format: "json", File: file},
		}},
	} {
		for _, queued := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, queued %t", tt.name, queued), func(t *testing.T) {
				check(t, os.WriteFile(path, nil, 0o600))
				stderr := new(logText)
				l := newLogs(toQueue(stderr))
				if queued {
					l.startQueues()
					t.Cleanup(l.stderr.queue.end)
				}
				check(t, l.apply(tt.turns[0]))
				var wg sync.WaitGroup
				for i := range loggers {
					log := l.logger().With("logger", i)
					wg.Go(func() {
						for j := range each {
							log.Info(fmt.Sprintf("%d-%d", i, j), "filler", strings.Repeat("x", 100))
						}
					})
				}
				ended := make(chan struct{})
				go func() { wg.Wait(); close(ended) }()
				for i, going := 0, true; going; i++ {
					check(t, l.apply(tt.turns[i%len(tt.turns)]))
					select {
					case <-ended:
						going = false
					default:
					}
				}
				done := func() error { return nil }
				if g := l.current.Load(); g.queue != nil {
					check(t, g.queue.doWithin(patience, done))
				}
				check(t, l.Close())
				check(t, l.stderr.queue.doWithin(patience, done))
				said := slices.DeleteFunc(messages(t, stderr.String()), func(m string) bool {
					return m == "the old log was not closed cleanly" // in time, where the machine is busy
				})
				wantOnce(t, said, loggers*each, true)
				wantOnce(t, messages(t, read(t, path)), loggers*each, tt.inFile)
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
	nobody := syslogSettings{Enabled: true, Facility: "USER", network: "unixgram", address: filepath.Join(dir, "nobody")}
	for _, tt := range []struct {
		s    logSettings
		want string
	}{
		{logSettings{Level: "loud", Format: "json"}, "log level"},
		{logSettings{Level: "err", Format: "xml"}, "log format"},
		{logSettings{Level: "err", Format: "json", File: logFileSettings{Path: dir + "/none/a.log"}}, "none is missing; create it"},
		{logSettings{Level: "err", Format: "json", File: logFileSettings{Path: fresh}, Syslog: nobody}, "there is no daemon"},
	} {
		check(t, os.WriteFile(old, nil, 0o600))
		l, stderr := newTestLogs(t, toFile(logFileSettings{Path: old}))
		if err := l.apply(tt.s); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, not %s", err, tt.want)
		}
		l.logger().Info("still here")
		if got := read(t, old); got != stderr.String() || !strings.Contains(got, `level=INFO msg="still here"`) {
			t.Errorf("after %v: the file has %q, standard error %q", tt.want, got, stderr)
		}
	}
}

func TestLogClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	l, stderr := newTestLogs(t, logSettings{Level: "err", Format: "json", File: logFileSettings{Path: path}})
	log := l.logger()
	log.Error("1")
	check(t, l.Close())
	check(t, l.Close())
	log.Warn("2")
	log.Error("3")
	if got := messages(t, stderr.String()); strings.Join(got, " ") != "1 3" {
		t.Errorf("standard error has %s", got)
	}
	if got := messages(t, read(t, path)); strings.Join(got, " ") != "1" {
		t.Errorf("the file has %s", got)
	}
}
