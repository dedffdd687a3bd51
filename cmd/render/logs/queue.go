package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	queueLines = 10_000          // in a queue, at most
	queueBytes = 8 << 20         // in a queue, at most, but for a line that is alone in it
	queueFlush = 2 * time.Second // for the lines that are queued at the end
)

// A queue writes the lines of one place of the log in their order: of standard error, or of a log file. Before start,
// whoever logs waits until the line is written. After start nobody waits: a goroutine writes the lines.
//
// A full queue drops lines until half of it is free. Then a line in their place says how many it has dropped.
type queue struct {
	mu      sync.Mutex
	changed sync.Cond // of mu: there is an item, or the queue has ended
	started bool
	ended   bool
	items   []queueItem // the first is under way
	bytes   int         // of all items
	dropped int         // lines since the queue was full
	gap     Writer      // of the last dropped line
}

// A queueItem is a line to write, or something to do after the lines before it.
type queueItem struct {
	bytes int
	do    func()
}

// A Writer writes lines of one format to a place, through a queue.
type Writer struct {
	queue  *queue
	place  io.Writer
	format string // one of the formats
}

// NewWriter returns what writes text to a place: at once, until a Log that uses it calls StartQueues. A terminal gets no control
// characters, apart from newlines and tabs.
func NewWriter(place io.Writer) Writer {
	if f, ok := place.(*os.File); ok {
		if t := openTerminal(f, os.Getenv); t != nil {
			place = t
		}
	}
	return Writer{newQueue(), place, formatText}
}

// Flush waits until all lines so far are written, at most two seconds.
func (w Writer) Flush() error { return w.queue.flush() }

func newQueue() *queue {
	q := new(queue)
	q.changed.L = &q.mu
	return q
}

// Write writes one line. Once the queue is started it returns at once, without an error.
func (w Writer) Write(line []byte) (int, error) {
	length := len(line)
	if w.format == formatJSON {
		line = escapeControls(line)
	}
	if _, ok := w.place.(*terminal); ok && w.format == formatText {
		line = []byte(printable(string(line), '\n', '\t'))
	}
	q := w.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.started {
		_, err := w.place.Write(line)
		return length, err
	}
	full := len(q.items) >= queueLines || q.bytes+len(line) > queueBytes
	if q.dropped > 0 || full && len(q.items) > 0 {
		q.dropped++
		q.gap = w
		return length, nil
	}
	q.addLine(w.place, bytes.Clone(line))
	return length, nil
}

// control finds the control characters that encoding/json leaves as they are. To some terminals U+009B begins a command.
var control = regexp.MustCompile(`[\x7f-\x{9f}]`)

// escapeControls returns a line of JSON with its control characters escaped. All of them are within strings.
func escapeControls(line []byte) []byte {
	if bytes.IndexByte(line, 0x7f) < 0 && bytes.IndexByte(line, 0xc2) < 0 { // the first byte of those of two
		return line
	}
	return control.ReplaceAllFunc(line, func(c []byte) []byte {
		r, _ := utf8.DecodeRune(c)
		return fmt.Appendf(nil, `\u%04x`, r)
	})
}

// start begins to write in the background.
func (q *queue) start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.started = true
	go q.run() // until end, and for ever where the place hangs
}

// end ends the goroutine once all is written. The queue accepts nothing more.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.changed.Signal()
}

// run does what the items say, one at a time.
func (q *queue) run() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for len(q.items) == 0 && !q.ended {
			q.changed.Wait()
		}
		if len(q.items) == 0 {
			return
		}

		item := q.items[0]
		q.mu.Unlock()
		item.do()
		q.mu.Lock()

		q.items[0] = queueItem{} // the line is garbage, though the array is not
		q.items = q.items[1:]
		q.bytes -= item.bytes
		if len(q.items) <= queueLines/2 && q.bytes <= queueBytes/2 {
			q.markGap()
		}
	}
}

// do does something once all lines so far are written, and returns a channel that gets its error.
func (q *queue) do(f func() error) <-chan error {
	done := make(chan error, 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.started {
		done <- f()
		return done
	}
	q.markGap()
	q.add(queueItem{do: func() { done <- f() }})
	return done
}

// doWithin is do, and waits for that. After the limit it returns an error, and f is done later if the place no longer hangs.
func (q *queue) doWithin(limit time.Duration, f func() error) error {
	done := q.do(f)
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		q.mu.Lock()
		defer q.mu.Unlock()
		return fmt.Errorf("%d lines were not written within %s", max(0, len(q.items)-1), limit)
	}
}

// flush waits until all lines so far are written, but no longer than queueFlush.
func (q *queue) flush() error {
	return q.doWithin(queueFlush, func() error { return nil })
}

// markGap adds the line that stands for the dropped ones, if there are any. The caller holds the lock.
func (q *queue) markGap() {
	if q.dropped == 0 {
		return
	}
	var line bytes.Buffer
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines dropped, the reader is too slow", 0)
	r.Add("lines", q.dropped)
	_ = q.gap.handler(&line, slog.LevelWarn).Handle(context.Background(), r) // a buffer accepts all
	q.addLine(q.gap.place, line.Bytes())
	q.dropped = 0
}

func (q *queue) addLine(place io.Writer, line []byte) {
	q.add(queueItem{len(line), func() { _, _ = place.Write(line) }}) // there is no other place for its error
}

// add adds an item. The caller holds the lock.
func (q *queue) add(item queueItem) {
	q.items = append(q.items, item)
	q.bytes += item.bytes
	q.changed.Signal()
}
