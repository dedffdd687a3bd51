package web

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"render/render/history"
	"render/render/status"
)

const (
	longestText   = 1000 // letters of a name on the page
	longestOutput = 20_000
	mostFiles     = 100 // of a commit on its page
)

// functions are what the templates of the page use.
var functions = template.FuncMap{
	"text": func(s string) string { return clean(s, longestText, false) }, "short": func(s string, most int) string { return clean(s, most, false) },
	"output": func(s string) string { return clean(s, longestOutput, true) },
	"when":   when, "seconds": seconds, "bytes": sizeOf[uint64], "size": sizeOf[int64], "change": changeOf, "lines": diffLines, "noDiff": noDiff,
	"minus":   func(a, b int) int { return a - b },
	"more":    moreOf,
	"current": current, "reason": reason, "instances": func(h status.Hold) string { return status.Instances(h.First, h.Before, h.After) },
	"targetState": targetState, "actionState": actionState, "queryState": queryState, "stateOf": stateOf, "connectionState": connectionState, "resultOf": resultOf,
	"failures": func(c status.Connection) uint64 {
		return c.Requests["failed"] + c.Requests["denied"] + c.Requests["refused"]
	},
	"firstFiles": func(all []history.File) []history.File { return all[:min(len(all), mostFiles)] },
}

// clean returns a text as people can read it: at most so many letters, and what would move, hide or turn around letters as its number.
func clean(s string, most int, lines bool) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		switch {
		case lines && (r == '\n' || r == '\t'):
			b.WriteRune(r)
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				fmt.Fprintf(&b, "⟨%02X⟩", s[i])
				continue
			}
			b.WriteRune(r)
		case isHidden(r):
			fmt.Fprintf(&b, "⟨U+%04X⟩", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isHidden reports whether a letter cannot be seen, or changes how others are.
func isHidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp)
}

// when returns a time for people and for the script, which shows its age.
func when(t time.Time) template.HTML {
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.Format(time.RFC3339Nano), t.Format("2006-01-02 15:04:05 UTC"))) //nolint: it has no stranger's text
}

// seconds returns a duration for people.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d <= 0:
		return "0 s"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", s*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", s*1000)
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", s)
	}
	return d.Round(time.Second).String()
}

// sizeOf returns a number of bytes for people.
func sizeOf[T int64 | uint64](n T) string {
	if n < 10_000 {
		return fmt.Sprintf("%d bytes", n)
	}
	f := float64(n)
	for _, unit := range []string{"kB", "MB", "GB", "TB"} {
		if f /= 1000; f < 1000 {
			return fmt.Sprintf("%.3g %s", f, unit)
		}
	}
	return fmt.Sprintf("%.3g PB", f/1000)
}

// changeOf says what became of a file.
func changeOf(f history.File) string {
	switch {
	case f.Result == history.Appended:
		return sizeOf(f.Size) + " appended"
	case f.Result == history.Unchanged:
		return "unchanged"
	case f.OldSize < 0:
		return "new, " + sizeOf(f.Size)
	case f.Result == history.Kept:
		return "the previous file stays, " + sizeOf(f.OldSize)
	}
	return strconv.FormatInt(f.OldSize, 10) + " → " + sizeOf(f.Size)
}

func noDiff(why string) string {
	switch why {
	case "private":
		return "not shown: not everybody may read the file"
	case "secret":
		return "not shown: a secret went into the file"
	case "binary":
		return "not shown: the file is not text"
	case "large":
		return "not shown: the file is too large"
	}
	return "not kept, to save memory"
}

// A line is a line of a diff.
type line struct{ Class, Text string }

func diffLines(diff string) []line {
	var all []line
	for text := range strings.Lines(diff) {
		l := line{Text: clean(strings.TrimSuffix(text, "\n"), longestText, true) + "\n"}
		switch {
		case strings.HasPrefix(text, "+++"), strings.HasPrefix(text, "---"), strings.HasPrefix(text, "@@"):
			l.Class = "h"
		case strings.HasPrefix(text, "+"):
			l.Class = "a"
		case strings.HasPrefix(text, "-"):
			l.Class = "d"
		}
		all = append(all, l)
	}
	return all
}

// current marks the section that the page is in.
func current(section, this string) template.HTMLAttr {
	if section == this {
		return ` aria-current="page"`
	}
	return ""
}

// A state is a state for people: its color and symbol, and its words.
type state struct{ Class, Text string }

// The states of targets, in the order in which the page has them.
var targetStates = []struct {
	status.State
	state
}{
	{status.Failed, state{"bad", "failed"}}, {status.Absent, state{"wait absent", "data missing"}}, {status.Pending, state{"wait", "waiting"}},
	{status.Rendered, state{"busy", "not applied"}}, {status.Applied, state{"ok", "applied"}},
}

var actionStates = []struct {
	status.ActionState
	state
}{
	{status.Retrying, state{"bad", "retrying"}}, {status.Waiting, state{"wait", "waiting"}}, {status.Committing, state{"busy", "committing"}},
	{status.InSync, state{"ok", "in sync"}},
}

var queryStates = []struct {
	status.QueryState
	state
}{
	{status.QueryFailed, state{"bad", "failed"}}, {status.QueryAbsent, state{"wait absent", "missing"}},
	{status.QueryPending, state{"wait", "waiting"}}, {status.QueryAnswered, state{"ok", "answered"}},
}

func targetState(t *status.Target) state {
	if len(t.Held) > 0 && t.State != status.Failed {
		return state{"wait held", "held"}
	}
	for _, s := range targetStates {
		if s.State == t.State {
			return s.state
		}
	}
	return state{"wait", string(t.State)}
}

func actionState(a *status.Action) state {
	for _, s := range actionStates {
		if s.ActionState == a.State {
			return s.state
		}
	}
	return state{"wait", string(a.State)}
}

func stateOf(q status.QueryState) state {
	for _, s := range queryStates {
		if s.QueryState == q {
			return s.state
		}
	}
	return state{"wait", string(q)}
}

func queryState(q *status.Query) state {
	if q.State == status.QueryAnswered && q.Error != "" {
		return state{"bad", "failing"}
	}
	return stateOf(q.State)
}

// reason says why a target waits for a query.
func reason(q status.QueryState) string {
	switch q {
	case status.QueryAbsent:
		return "does not exist"
	case status.QueryFailed:
		return "cannot be queried"
	}
	return "has not answered yet"
}

func connectionState(c status.Connection) state {
	switch {
	case c.Reachable:
		return state{"ok", "connected"}
	case c.Error == "":
		return state{"wait", "no answer yet"}
	}
	return state{"bad", "not reachable"}
}

func resultOf(c *history.Commit) state {
	switch c.Result {
	case history.Applied:
		return state{"ok", "applied"}
	case history.Nothing:
		return state{"ok", "up to date"}
	case history.Interrupted:
		return state{"wait", "interrupted"}
	case history.Partial:
		return state{"bad", "partly applied"}
	}
	return state{"bad", string(c.Result)}
}
