package logs

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"render/cmd/render/filetest"
)

// A heldPlace writes a line for each permit.
type heldPlace struct {
	filetest.Log
	permits chan struct{} // closed, it writes all
}

func newHeldPlace() *heldPlace { return &heldPlace{permits: make(chan struct{})} }

func (p *heldPlace) Write(line []byte) (int, error) {
	<-p.permits
	return p.Log.Write(line)
}

// startedQueue returns a queue to a place.
func startedQueue(t *testing.T, place *heldPlace, format string) Writer {
	t.Helper()
	w := Writer{newQueue(), place, format}
	w.queue.start()
	t.Cleanup(w.queue.end)
	return w
}

const dropMessage = "log lines dropped, the reader is too slow"

// shortened returns a log with less of long attributes, so that a regular expression is done with it soon.
func shortened(log string) string { return strings.ReplaceAll(log, strings.Repeat("x", 500), "") }

// While a place hangs, nobody waits. Afterwards it has what there was room for, in its order, and the number of the other lines.
func TestLogQueueDrops(t *testing.T) {
	text := func(n int) string { return fmt.Sprintf("time=2000-01-01T00:00:00Z level=INFO msg=%d\n", n) }
	json := func(n int) string { return fmt.Sprintf(`{"time":"2000-01-01T00:00:00Z","msg":"%d"}`+"\n", n) }
	long := func(n int) string {
		return strings.TrimSuffix(text(n), "\n") + " k=" + strings.Repeat("x", 1<<20-100) + "\n"
	}
	longer := func(n int) string {
		return strings.TrimSuffix(text(n), "\n") + " k=" + strings.Repeat("x", queueBytes) + "\n"
	}
	for _, tt := range []struct {
		name, format  string
		line          func(int) string
		lines, stored int
		count         string
	}{
		{"room for all", "text", text, queueLines, queueLines, ""},
		{"a line too many", "text", text, queueLines + 1, queueLines, " lines=1"},
		{"lines", "text", text, 3 * queueLines, queueLines, " lines=20000"},
		{"JSON", "json", json, queueLines + 77, queueLines, `"lines":77`},
		{"bytes for all", "text", long, 8, 8, ""},
		{"bytes", "text", long, 20, 8, " lines=12"},
		{"a line alone", "text", longer, 1, 1, ""},
		{"a long line and others", "text", longer, 3, 1, " lines=2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			place := newHeldPlace()
			w := startedQueue(t, place, tt.format)
			for n := range tt.lines {
				_, _ = w.Write([]byte(tt.line(n)))
			}
			flushed := w.queue.do(func() error {
				if got := strings.Count(place.String(), dropMessage); (got == 1) != (tt.count != "") {
					return fmt.Errorf("before what is done next, %d lines say that lines are dropped", got)
				}
				return nil
			})
			close(place.permits)
			filetest.Check(t, <-flushed)
			_, _ = w.Write([]byte(tt.line(-1)))
			filetest.Check(t, w.queue.doWithin(filetest.Patience, func() error { return nil }))

			var want []string
			for n := range tt.stored {
				want = append(want, fmt.Sprint(n))
			}
			if tt.count != "" {
				want = append(want, dropMessage)
			}
			if got := filetest.Messages(t, shortened(place.String())); !slices.Equal(got, append(want, "-1")) {
				t.Errorf("%d messages, of which the last are %q", len(got), got[max(0, len(got)-3):])
			}
			if tt.count != "" {
				filetest.Check(t, place.Says(1, tt.count)())
			}
		})
	}
}

// A reader that is slow gets one number for many lines: lines are dropped until half of the queue is free.
func TestLogQueueDropsUntilHalfIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		place := newHeldPlace()
		w := startedQueue(t, place, "text")
		say := func(what string) {
			_, _ = fmt.Fprintf(w, "time=2000-01-01T00:00:00Z level=INFO msg=%s\n", what)
		}
		for range queueLines + 1 {
			say("early")
		}
		for range queueLines / 2 {
			say("dropped")
			place.permits <- struct{}{}
			synctest.Wait()
		}
		say("late")
		close(place.permits)
		filetest.Check(t, w.queue.flush())
		got := filetest.Messages(t, place.String())
		if want := append(slices.Repeat([]string{"early"}, queueLines), dropMessage, "late"); !slices.Equal(got, want) {
			t.Errorf("%d messages, of which the last are %q", len(got), got[len(got)-3:])
		}
		filetest.Check(t, place.Says(1, fmt.Sprintf("lines=%d\n", 1+queueLines/2))())
	})
}

// A reader that is merely slow gets each line, those of one goroutine in their order.
func TestLogQueueIsSlow(t *testing.T) {
	const loggers, each = 8, queueLines / 8
	place := newHeldPlace()
	l := New(startedQueue(t, place, "text"))
	var wg sync.WaitGroup
	for i := range loggers {
		log := l.Logger()
		wg.Go(func() {
			for j := range each {
				log.Info(fmt.Sprintf("%d-%d", i, j))
			}
		})
	}
	for range 100 {
		place.permits <- struct{}{}
	}
	wg.Wait()
	close(place.permits)
	filetest.Check(t, l.stderr.queue.doWithin(filetest.Patience, func() error { return nil }))
	wantOnce(t, filetest.Messages(t, place.String()), loggers*each, true)
}

// The end waits for a place, but not for long.
func TestLogQueueFlush(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration // the place goes on
		want  string
	}{
		{0, ""}, {queueFlush - 1, ""}, {queueFlush + 1, "3 lines were not written within 2s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			place := newHeldPlace()
			w := startedQueue(t, place, "text")
			for range 3 {
				_, _ = w.Write([]byte("line\n"))
			}
			time.AfterFunc(tt.after, func() { close(place.permits) })
			began := time.Now()
			got := ""
			if err := w.queue.flush(); err != nil {
				got = err.Error()
			}
			if took := time.Since(began); got != tt.want || took != min(tt.after, queueFlush) {
				t.Errorf("got %q after %s", got, took)
			}
			synctest.Wait()
			time.Sleep(2 * time.Nanosecond) // the place goes on after all
			synctest.Wait()
			filetest.Check(t, place.Says(3, "line\n")())
		})
	}
}

// Before start a line is written when its Write returns.
func TestLogQueueNotStarted(t *testing.T) {
	place := new(filetest.Log)
	w := NewWriter(place)
	for n := range 2 * queueLines {
		_, _ = w.Write([]byte("line\n"))
		if n%queueLines == 0 {
			filetest.Check(t, place.Says(n+1, "line\n")())
		}
	}
	filetest.Check(t, w.queue.flush())
	filetest.Check(t, place.Says(2*queueLines, "line\n")())
}

// A log file that hangs holds up neither standard error nor a change to another file, and gets its lines when it goes on.
func TestLogFileHangs(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.log"), filepath.Join(dir, "second.log")
	stderr := new(filetest.Log)
	l := New(NewWriter(stderr))
	l.StartQueues()
	t.Cleanup(l.stderr.queue.end)
	filetest.Check(t, l.Apply(toFile(FileSettings{Path: first})))
	release := make(chan struct{})
	hung := l.current.Load().queue.do(func() error { <-release; return nil })
	l.Logger().Info("1")
	l.Logger().Info("2")
	filetest.Awaits(t, stderr.Says(2, "level=INFO"))

	filetest.Check(t, l.Apply(toFile(FileSettings{Path: second})))
	filetest.Awaits(t, stderr.Says(1, `level=WARN msg="previous log not closed cleanly" err="log file `+first+`: `))
	l.Logger().Info("3")
	filetest.Awaits(t, func() error { return wantMessages(t, second, "3") })
	filetest.Check(t, wantMessages(t, first))

	close(release)
	<-hung
	filetest.Awaits(t, func() error { return wantMessages(t, first, "1", "2") })
	filetest.Check(t, l.Close())
	filetest.Check(t, wantMessages(t, second, "3"))
}

// wantMessages returns an error where a log file does not have these messages, and no others.
func wantMessages(t *testing.T, path string, want ...string) error {
	if got := filetest.Messages(t, read(t, path)); !slices.Equal(got, want) {
		return fmt.Errorf("%s has %q, not %q", path, got, want)
	}
	return nil
}
