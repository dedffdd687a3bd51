package logs

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The formats of settings, and what formatAuto becomes on a terminal.
const (
	formatAuto   = "auto"
	formatText   = "text"
	formatJSON   = "json"
	formatPeople = "people"
)

// A peopleHandler writes records for people who read a terminal: the time of day, the level, the message, and then the
// attributes, on the same line if they fit there, else each on a line of its own. A hint has a line of its own. Texts of several
// lines, and what a program printed, are below, indented.
type peopleHandler struct {
	to       io.Writer
	terminal *terminal // that to leads to
	least    slog.Level
	group    string // of all attributes to come, with a dot at its end; "" for none
	with     []field
}

// A field is an attribute as text.
type field struct{ key, value string }

// isBlock reports whether a field has lines of its own.
func (f field) isBlock() bool {
	return f.key == "output" || f.key == "stack" || f.key == changesKey || strings.Contains(f.value, "\n")
}

func (h *peopleHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.least }

func (h *peopleHandler) WithGroup(name string) slog.Handler {
	derived := *h
	if name != "" {
		derived.group += name + "."
	}
	return &derived
}

func (h *peopleHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	derived.with = slices.Clip(h.with)
	for _, a := range attrs {
		derived.with = addFields(derived.with, h.group, a)
	}
	return &derived
}

// addFields adds an attribute, which may be a group of several.
func addFields(to []field, group string, a slog.Attr) []field {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, part := range v.Group() {
			to = addFields(to, group, part)
		}
		return to
	}
	if a.Equal(slog.Attr{}) {
		return to
	}
	text := v.String()
	if v.Kind() == slog.KindTime {
		text = v.Time().Format(time.RFC3339)
	}
	return append(to, field{group + a.Key, strings.TrimRight(text, "\n")})
}

// Handle writes a record with one Write.
func (h *peopleHandler) Handle(_ context.Context, r slog.Record) error {
	fields := slices.Clip(h.with)
	r.Attrs(func(a slog.Attr) bool {
		fields = addFields(fields, h.group, a)
		return true
	})
	var short, blocks, hints []field
	for _, f := range fields {
		switch {
		case f.key == hintKey:
			hints = append(hints, f)
		case f.isBlock():
			blocks = append(blocks, f)
		default:
			short = append(short, field{printable(f.key), printable(f.value)})
		}
	}

	var b strings.Builder
	name, color := levelOf(r.Level)
	b.WriteString(h.colored(dim, r.Time.Format(time.TimeOnly)) + " " + h.colored(color, name) + " " + printable(r.Message))
	h.addShort(&b, short, indent+utf8.RuneCountInString(r.Message))
	for _, f := range hints {
		b.WriteString(strings.Repeat(" ", indent) + h.colored(dim, "hint:") + " " + printable(f.value) + "\n")
	}
	for _, f := range blocks {
		h.addBlock(&b, f)
	}
	_, err := io.WriteString(h.to, b.String())
	return err
}

// indent is the column of the message.
const indent = len("15:04:05 ERROR ")

// addShort adds fields, and ends the line, which has some columns already.
func (h *peopleHandler) addShort(b *strings.Builder, fields []field, columns int) {
	longest := 0
	for _, f := range fields {
		key := utf8.RuneCountInString(f.key)
		columns += 2 + key + 1 + utf8.RuneCountInString(f.value)
		longest = max(longest, key)
	}

	if columns <= h.terminal.width() {
		for _, f := range fields {
			b.WriteString("  " + h.colored(dim, f.key+"=") + f.value)
		}
		b.WriteString("\n")
		return
	}
	b.WriteString("\n")
	for _, f := range fields {
		gap := strings.Repeat(" ", longest-utf8.RuneCountInString(f.key)+2)
		b.WriteString(strings.Repeat(" ", indent) + h.colored(dim, f.key) + gap + f.value + "\n")
	}
}

// addBlock adds the lines of a field.
func (h *peopleHandler) addBlock(b *strings.Builder, f field) {
	if f.key != "output" && f.key != changesKey { // which need no name
		b.WriteString(strings.Repeat(" ", indent) + h.colored(dim, printable(f.key)) + "\n")
	}
	for line := range strings.SplitSeq(f.value, "\n") {
		line = printable(strings.ReplaceAll(strings.TrimRight(line, "\r"), "\t", "    "))
		if color := changeColor(f.key, line); color != "" {
			line = h.colored(color, line)
		}
		b.WriteString(strings.Repeat(" ", indent) + h.colored(dim, "|") + " " + line + "\n")
	}
}

// changeColor returns the color of a line that was added to a file or removed from it; "" for another line.
func changeColor(key, line string) string {
	switch {
	case key != changesKey || line == "":
	case line[0] == '+':
		return green
	case line[0] == '-':
		return red
	}
	return ""
}

// The colors, as parameters of the escape sequence that selects them.
const (
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// levelOf returns the name of a level, as wide as all names, and its color.
func levelOf(level slog.Level) (name, color string) {
	switch {
	case level >= slog.LevelError:
		return "ERROR", red
	case level >= slog.LevelWarn:
		return "WARN ", yellow
	case level >= slog.LevelInfo:
		return "INFO ", green
	case level >= slog.LevelDebug:
		return "DEBUG", dim
	}
	return "TRACE", dim
}

func (h *peopleHandler) colored(color, text string) string {
	if !h.terminal.colors {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}
