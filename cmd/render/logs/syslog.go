package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"log/syslog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"render/watch/hint"
)

// SyslogSettings say whether and as what the log goes to the syslog daemon of this machine.
type SyslogSettings struct {
	Enabled  bool
	Facility string // one of facilities, in any case
	Name     string // of the program; "" for the path that it was started with

	network, address string // of the daemon, in place of the machine's own
}

var facilities = map[string]syslog.Priority{
	"AUTH": syslog.LOG_AUTH, "AUTHPRIV": syslog.LOG_AUTHPRIV, "CRON": syslog.LOG_CRON, "DAEMON": syslog.LOG_DAEMON,
	"FTP": syslog.LOG_FTP, "KERN": syslog.LOG_KERN, "LPR": syslog.LOG_LPR, "MAIL": syslog.LOG_MAIL,
	"NEWS": syslog.LOG_NEWS, "SYSLOG": syslog.LOG_SYSLOG, "USER": syslog.LOG_USER, "UUCP": syslog.LOG_UUCP,
	"LOCAL0": syslog.LOG_LOCAL0, "LOCAL1": syslog.LOG_LOCAL1, "LOCAL2": syslog.LOG_LOCAL2, "LOCAL3": syslog.LOG_LOCAL3,
	"LOCAL4": syslog.LOG_LOCAL4, "LOCAL5": syslog.LOG_LOCAL5, "LOCAL6": syslog.LOG_LOCAL6, "LOCAL7": syslog.LOG_LOCAL7,
}

var FacilityNames = slices.Sorted(maps.Keys(facilities))

const (
	syslogQueue   = 1024        // lines that wait for the daemon
	syslogLongest = 8000        // bytes of a line: daemons take 8 KiB, with what stands before it
	syslogLast    = time.Second // for the lines that wait at the end
)

// A syslogSender sends lines to a daemon. Nobody waits for it: lines that a daemon does not take are lost.
type syslogSender struct {
	settings SyslogSettings
	writer   *syslog.Writer
	lines    chan syslogLine
	closed   chan error // gets the error of closing, once
	sending  failureLog
}

type syslogLine struct {
	level slog.Level
	text  string
}

// openSyslog returns the old sender if it is as the settings are, or else a new one.
func openSyslog(s SyslogSettings, old *syslogSender, report reporter) (*syslogSender, error) {
	if old != nil && old.settings == s {
		return old, nil
	}
	facility, ok := facilities[strings.ToUpper(s.Facility)]
	if !ok {
		return nil, unknown("syslog facility", s.Facility, FacilityNames...)
	}
	writer, err := syslog.Dial(s.network, s.address, facility, s.Name)
	if err != nil {
		return nil, hint.With(fmt.Errorf("connect to the syslog daemon, at /dev/log or elsewhere: %w", err), "start a syslog daemon, or turn syslog off")
	}
	sender := &syslogSender{
		settings: s,
		writer:   writer,
		lines:    make(chan syslogLine, syslogQueue),
		closed:   make(chan error, 1),
		sending:  failureLog{report: report, bad: "syslog write failed", well: "syslog writes recovered"},
	}
	go sender.run() // Close waits for it, as long as that makes sense
	return sender, nil
}

// send has a line sent, soon.
func (s *syslogSender) send(line syslogLine) {
	select {
	case s.lines <- line:
	default:
		s.sending.note(errors.New("the syslog daemon is too slow"))
	}
}

// run sends lines until there are no more to come. The writer dials again where the daemon was started anew.
func (s *syslogSender) run() {
	for line := range s.lines {
		err := s.write(line)
		if err != nil || len(s.lines) == 0 { // otherwise it may still not keep up
			s.sending.note(err)
		}
	}
	s.closed <- s.writer.Close()
}

// write sends a line with the severity that consul-template has for its level, but for debug and trace.
func (s *syslogSender) write(line syslogLine) error {
	switch {
	case line.level >= slog.LevelError:
		return s.writer.Err(line.text)
	case line.level >= slog.LevelWarn:
		return s.writer.Warning(line.text)
	case line.level >= slog.LevelInfo:
		return s.writer.Notice(line.text)
	}
	return s.writer.Debug(line.text)
}

// Close sends what waits. It gives up on a daemon that takes nothing: a write to it has no end, and the writer cannot be
// closed meanwhile. So only the end of the daemon, or of ours, ends it.
func (s *syslogSender) Close() error {
	close(s.lines)
	select {
	case err := <-s.closed:
		return err
	case <-time.After(syslogLast):
		return fmt.Errorf("syslog: the daemon has not received the last %d lines", len(s.lines))
	}
}

// A syslogHandler makes a record the message and its attributes as key=value. Syslog has the time and the level.
type syslogHandler struct {
	sender *syslogSender
	text   *syslogText
	attrs  slog.Handler // which writes to text
}

// syslogText is where the attributes of a record become text. Handlers that are derived from one another have the same.
type syslogText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func newSyslogHandler(sender *syslogSender, least slog.Level) *syslogHandler {
	text := new(syslogText)
	opts := &slog.HandlerOptions{Level: least, ReplaceAttr: onlyAttrs}
	return &syslogHandler{sender, text, slog.NewTextHandler(&text.buf, opts)}
}

// onlyAttrs leaves out the level, the message, which is empty here, and lines of files.
func onlyAttrs(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	if _, is := a.Value.Any().(slog.Level); is && a.Key == slog.LevelKey || a.Key == changesKey || a.Equal(slog.String(slog.MessageKey, "")) {
		return slog.Attr{}
	}
	return a
}

func (h *syslogHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.attrs.Enabled(ctx, level)
}

func (h *syslogHandler) Handle(ctx context.Context, r slog.Record) error {
	attrs, err := h.attrsOf(ctx, r)
	text := strings.TrimRight(strings.ReplaceAll(r.Message, "\n", `\n`)+" "+attrs, " \n")
	if len(text) > syslogLongest {
		text = strings.ToValidUTF8(text[:syslogLongest], "") + "..."
	}
	h.sender.send(syslogLine{r.Level, text})
	return err
}

// attrsOf returns the attributes of a record, and of those that the logger adds, as text.
func (h *syslogHandler) attrsOf(ctx context.Context, r slog.Record) (string, error) {
	bare := slog.NewRecord(time.Time{}, r.Level, "", 0)
	r.Attrs(func(a slog.Attr) bool {
		bare.AddAttrs(a)
		return true
	})
	h.text.mu.Lock()
	defer h.text.mu.Unlock()
	h.text.buf.Reset()
	err := h.attrs.Handle(ctx, bare)
	return h.text.buf.String(), err
}

func (h *syslogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &syslogHandler{h.sender, h.text, h.attrs.WithAttrs(attrs)}
}

func (h *syslogHandler) WithGroup(name string) slog.Handler {
	return &syslogHandler{h.sender, h.text, h.attrs.WithGroup(name)}
}
