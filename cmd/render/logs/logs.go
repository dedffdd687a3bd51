// Package logs has the log of the program: to standard error, and beside it to a file that is rotated and to syslog. Its
// settings can change while it is in use. Whoever logs never waits for a place that hangs, once StartQueues was called.
//
//	logs.go      the settings, the log, and the handler that follows them
//	people.go    the format for people who read a terminal
//	terminal.go  terminals, and their line of progress
//	queue.go     lines of one place, written in the background
//	file.go      a log file, and its rotation
//	syslog.go    the syslog daemon of the machine
//
// It knows log/slog and the hints of errors, and nothing else of the program.
//
// A message of the program is an event in the past or a state, with its subject. What varies is in attributes, which have the
// same meaning in all lines:
//
//	query, template, file, files, action, command, program: what the line is about
//	because: the change, the answer or the request that led to the event; signal: the signal
//	err: why something failed, without the value of a key; hint: what a reader can do about err; line: the line of a template; stack: of a fault in render
//	output: what a command printed
//	changes: lines of files that changed, which only the format for people shows
//	took: how long the event took; for: how long a state has lasted; in: the time until render retries
//	after, wait, within: a time limit
//	from, to: addresses; before: what has ended
//	templates, queries, lines, failures, count, more: numbers of something; of: the total of the number before it
package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"render/watch/hint"
)

// Settings say where the log goes besides standard error, and what of it.
type Settings struct {
	Level  string // trace, debug, info, warn, err or error, in any case
	Format string // auto, text or json; auto is the format for people on a terminal, else text. Syslog has its own
	Syslog SyslogSettings
	File   FileSettings
}

// levelTrace is below slog's least level, as consul-template's trace is.
const levelTrace = slog.LevelDebug - 4

var levels = map[string]slog.Level{
	"trace": levelTrace,
	"debug": slog.LevelDebug,
	"info":  slog.LevelInfo,
	"warn":  slog.LevelWarn,
	"err":   slog.LevelError,
	"error": slog.LevelError,
}

// unknown is the error of a name that is not one of those there are.
func unknown(what, name string, known ...string) error {
	return fmt.Errorf("%s %q is not one of %s", what, name, strings.Join(known, ", "))
}

func parseLevel(name string) (slog.Level, error) {
	level, ok := levels[strings.ToLower(name)]
	if !ok {
		return 0, unknown("log level", name, "trace", "debug", "info", "warn", "err")
	}
	return level, nil
}

// handler returns what writes lines in the format of a writer: to it, or to what stands for it.
func (w Writer) handler(to io.Writer, least slog.Level) slog.Handler {
	opts := &slog.HandlerOptions{Level: least, ReplaceAttr: forPrograms}
	t, _ := w.place.(*terminal)
	switch {
	case w.format == formatPeople && t != nil:
		return &peopleHandler{to: to, terminal: t, least: least}
	case w.format == formatJSON:
		return slog.NewJSONHandler(to, opts)
	}
	return slog.NewTextHandler(to, opts)
}

// forPrograms returns an attribute as all formats but that for people have it: without lines of files, and with the name of trace,
// which slog calls DEBUG-4.
func forPrograms(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.LevelKey && a.Value.Any() == levelTrace:
		a.Value = slog.StringValue("TRACE")
	case a.Key == changesKey:
		return slog.Attr{}
	}
	return a
}

// changesKey is the attribute of lines of files. They stay on the terminal: a log is kept, and others may read it.
const changesKey = "changes"

// A Log is a log whose settings can change while it is in use. It goes to standard error, whatever else it goes to; a place
// that fails or hangs takes no line from the others.
type Log struct {
	stderr  Writer
	queued  bool // set before the first change of settings
	current atomic.Pointer[generation]

	// While a line is on its way this is read-locked, so that what a change closes has no line to come.
	lines sync.RWMutex
}

// A generation is the log between two changes of its settings. It does not change itself, but for the file.
type generation struct {
	least  slog.Level
	people bool // stderr has the format for people
	stderr slog.Handler
	others []slog.Handler
	all    slog.Handler  // with stderr
	file   *file         // nil for none
	queue  *queue        // of the file; the next generation has the same if its file is
	syslog *syslogSender // nil for none; the next generation has the same if its settings are
}

// New returns a log that goes to stderr alone, in the format auto, from info on: what there is to say before there are settings.
// Whoever logs waits until the line is written.
func New(stderr Writer) *Log {
	l := &Log{stderr: stderr}
	l.current.Store(l.plain(formatAuto, slog.LevelInfo))
	return l
}

// StartQueues has lines written in the background from now on. It must be called before the first apply. The caller flushes
// the queue of standard error at the end.
func (l *Log) StartQueues() {
	l.queued = true
	l.stderr.queue.start()
}

// plain returns a generation with nothing but standard error.
func (l *Log) plain(format string, least slog.Level) *generation {
	if _, ok := l.stderr.place.(*terminal); ok && format == formatAuto {
		format = formatPeople
	}
	w := Writer{l.stderr.queue, l.stderr.place, format}
	h := w.handler(w, least)
	return &generation{least: least, people: format == formatPeople, stderr: h, all: h}
}

// Logger returns the log. It, and what is derived from it, follows all changes.
func (l *Log) Logger() *slog.Logger { return slog.New(&handler{log: l}) }

// Apply changes the settings. What is new is opened first, and on an error nothing changes. The file is opened again even
// if its settings are the same. It must not be called while it or Close runs.
func (l *Log) Apply(s Settings) error {
	old := l.current.Load()
	next, err := l.open(s, old)
	if err != nil {
		return err
	}
	if err := l.swap(next); err != nil {
		l.report(slog.LevelWarn, "previous log not closed cleanly", "err", err)
	}
	return nil
}

// Close closes what there is besides standard error, to which the logger goes on to log.
func (l *Log) Close() error {
	old := l.current.Load()
	return l.swap(&generation{least: old.least, people: old.people, stderr: old.stderr, all: old.stderr})
}

// open returns a new generation, which takes over what the old one has of a file and of syslog if it can.
func (l *Log) open(s Settings, old *generation) (*generation, error) {
	least, err := parseLevel(s.Level)
	if err != nil {
		return nil, err
	}
	if formats := []string{formatAuto, formatText, formatJSON}; !slices.Contains(formats, s.Format) {
		return nil, unknown("log format", s.Format, formats...)
	}
	g := l.plain(s.Format, least)
	if s.File.Path != "" {
		if g.file, err = openFile(s.File, l.report); err != nil {
			return nil, err
		}
		if old.file != nil && old.file.FileSettings == s.File {
			g.file.Logger = old.file.Logger // closed with the old generation, it opens the file again
		}
		g.queue = l.queueOf(g.file, old)
		w := Writer{g.queue, g.file, s.Format}
		g.others = append(g.others, w.handler(w, least))
	}
	if s.Syslog.Enabled {
		if g.syslog, err = openSyslog(s.Syslog, old.syslog, l.report); err != nil {
			return nil, errors.Join(err, g.close(old))
		}
		g.others = append(g.others, newSyslogHandler(g.syslog, least))
	}
	if len(g.others) > 0 {
		g.all = slog.NewMultiHandler(append([]slog.Handler{g.stderr}, g.others...)...)
	}
	return g, nil
}

// queueOf returns the queue of a log file: the old one for a file of the same name, whose lines stay in their order.
// Another file has another queue, so that it gets lines even if the old one hangs.
func (l *Log) queueOf(file *file, old *generation) *queue {
	if old.file != nil && old.file.Filename == file.Filename {
		return old.queue
	}
	q := newQueue()
	if l.queued {
		q.start()
	}
	return q
}

// swap puts a generation in the place of the current one, and closes that.
func (l *Log) swap(next *generation) error {
	l.lines.Lock()
	old := l.current.Swap(next)
	l.lines.Unlock()
	return old.close(next)
}

// close closes what a generation has opened, but for what another has taken over. No line may be on its way to it. Queued
// lines are written before, but a place that hangs is given up.
func (g *generation) close(other *generation) error {
	var errs []error
	if g.file != nil {
		if err := g.queue.doWithin(queueFlush, g.file.Close); err != nil {
			errs = append(errs, fmt.Errorf("log file %s: %w", g.file.Filename, err))
		}
		if g.queue != other.queue {
			g.queue.end()
		}
	}
	if g.syslog != nil && g.syslog != other.syslog {
		errs = append(errs, g.syslog.Close())
	}
	return errors.Join(errs...)
}

// report logs to standard error only, whatever the level is: what is wrong with the other places cannot be said there. It
// takes no lock that a line on its way holds.
func (l *Log) report(level slog.Level, msg string, args ...any) {
	r := slog.NewRecord(time.Now(), level, msg, 0)
	r.Add(args...)
	_ = l.current.Load().stderr.Handle(context.Background(), withHints(r)) // there is nobody left to tell
}

// ErrorElsewhere logs an error to all places but standard error, where the caller prints it in other words.
func (l *Log) ErrorElsewhere(msg string, args ...any) {
	r := slog.NewRecord(time.Now(), slog.LevelError, msg, 0)
	r.Add(args...)
	l.lines.RLock()
	defer l.lines.RUnlock()
	for _, h := range l.current.Load().others {
		_ = h.Handle(context.Background(), withHints(r)) // each says on standard error what is wrong with it
	}
}

// withHints returns a record with the hints of its errors in an attribute of their own.
func withHints(r slog.Record) slog.Record {
	var hints []string
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			hints = append(hints, hint.Of(err)...)
		}
		return true
	})
	r = r.Clone()
	if len(hints) > 0 {
		r.AddAttrs(slog.String(hintKey, strings.Join(hints, "; ")))
	}
	return r
}

// hintKey is the attribute of hints.
const hintKey = "hint"

// A handler leads to the current generation.
type handler struct {
	log    *Log
	with   []func(slog.Handler) slog.Handler // what With and WithGroup add, in their order
	cached atomic.Pointer[derived]
}

// derived is a generation's handler with what a logger adds.
type derived struct {
	from *generation
	slog.Handler
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.current.Load().least
}

// Handle logs to the generation that is current all the time. Each line has a time, also that of a record without one.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	h.log.lines.RLock()
	defer h.log.lines.RUnlock()
	return h.derived().Handle(ctx, withHints(r))
}

// derived returns the handler of the current generation with what this one adds.
func (h *handler) derived() slog.Handler {
	g := h.log.current.Load()
	if d := h.cached.Load(); d != nil && d.from == g {
		return d.Handler
	}
	d := &derived{g, g.all}
	for _, add := range h.with {
		d.Handler = add(d.Handler)
	}
	h.cached.Store(d)
	return d.Handler
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.adding(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

func (h *handler) WithGroup(name string) slog.Handler {
	return h.adding(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

func (h *handler) adding(add func(slog.Handler) slog.Handler) slog.Handler {
	return &handler{log: h.log, with: append(slices.Clip(h.with), add)}
}

// A reporter says something where it does not go to the place that it is about.
type reporter func(level slog.Level, msg string, args ...any)

// A failureLog is what is wrong with a place of the log. It is said once, and once that it is over.
type failureLog struct {
	report    reporter
	bad, well string

	mu    sync.Mutex
	times int // since it was well
}

// note takes how it went this time.
func (t *failureLog) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
		if t.times++; t.times == 1 {
			t.report(slog.LevelError, t.bad, "err", err)
		}
	case t.times > 0:
		t.report(slog.LevelWarn, t.well, "failures", t.times)
		t.times = 0
	}
}
