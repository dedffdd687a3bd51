package logs

import (
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// eraseLine moves to the beginning of the line, and erases the line.
const eraseLine = "\r\x1b[K"

// A terminal is a place that people read. It keeps one line of progress below all other lines. Only one goroutine writes at a time,
// as a queue has it; a terminal that hangs does not hold setProgress.
type terminal struct {
	place    io.Writer
	columns  func() int // 0: unknown
	colors   bool
	rewrites bool // it obeys eraseLine
	drawn    bool // the cursor is behind the progress; owned by who writes

	mu       sync.Mutex
	progress string // "" for none
	pending  bool   // the progress will be drawn
}

// openTerminal returns the terminal of a file; nil where the file is not a terminal. NO_COLOR turns colors off. TERM=dumb, or no TERM, also
// turns off the line of progress.
func openTerminal(f *os.File, getenv func(string) string) *terminal {
	columns := func() int {
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return -1
		}
		return int(size.Col)
	}
	if columns() < 0 {
		return nil
	}
	smart := getenv("TERM") != "" && getenv("TERM") != "dumb"
	return &terminal{place: f, columns: columns, colors: smart && getenv("NO_COLOR") == "", rewrites: smart}
}

// Write writes whole lines above the progress.
func (t *terminal) Write(lines []byte) (int, error) {
	if !t.drawn {
		return t.place.Write(lines)
	}
	_, err := io.WriteString(t.place, eraseLine+string(lines)+t.shortened())
	return len(lines), err
}

// setProgress changes the progress, and reports whether the caller has to have it drawn: not while that is pending.
func (t *terminal) setProgress(text string) (draw bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.progress == text {
		return false
	}
	t.progress = text
	draw, t.pending = !t.pending, true
	return draw
}

// draw draws the progress.
func (t *terminal) draw() error {
	t.mu.Lock()
	t.pending = false
	t.mu.Unlock()

	text := t.shortened()
	t.drawn = text != ""
	_, err := io.WriteString(t.place, eraseLine+text)
	return err
}

// shortened returns the progress without what does not fit on one line, which could not be erased.
func (t *terminal) shortened() string {
	t.mu.Lock()
	text := []rune(printable(t.progress))
	t.mu.Unlock()
	if most := t.width() - 1; len(text) > most {
		text = text[:most]
	}
	return string(text)
}

// width returns the number of columns.
func (t *terminal) width() int {
	if n := t.columns(); n > 1 {
		return n
	}
	return 80
}

// Progress shows a text below the log, in place of the previous one; "" for none. It returns false, and shows nothing, unless
// standard error is a terminal and has the format for people.
func (l *Log) Progress(text string) bool {
	t, ok := l.stderr.place.(*terminal)
	if !ok || !t.rewrites {
		return false
	}
	people := l.current.Load().people
	if !people {
		text = ""
	}
	if t.setProgress(text) {
		l.stderr.queue.do(t.draw)
	}
	return people
}

// Printable returns a place that gets no character that a terminal obeys, apart from newlines and tabs. A place that is no
// terminal gets everything. Each Write must have whole characters.
func Printable(place io.Writer) io.Writer {
	if f, ok := place.(*os.File); ok && openTerminal(f, os.Getenv) != nil {
		return printableWriter{place}
	}
	return place
}

// Escaped is Printable for any place: what it gets is for people, wherever they read it.
func Escaped(place io.Writer) io.Writer { return printableWriter{place} }

type printableWriter struct{ place io.Writer }

func (w printableWriter) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.place, printable(string(text), '\n', '\t')); err != nil {
		return 0, err
	}
	return len(text), nil
}

// printable returns a text with all characters escaped that a terminal obeys or does not show, apart from some.
func printable(text string, except ...rune) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			const digits = "0123456789abcdef"
			b.WriteString(`\x` + string(digits[text[i]>>4]) + string(digits[text[i]&15]))
		case strconv.IsPrint(r) || strings.ContainsRune(string(except), r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		i += size
	}
	return b.String()
}
