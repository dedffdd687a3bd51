package filetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A Log keeps what a log wrote.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Says returns the condition that a text is in it n times.
func (l *Log) Says(n int, text string) func() error {
	return func() error {
		if got := strings.Count(l.String(), text); got != n {
			return fmt.Errorf("%q is there %d times, not %d:\n%s", text, got, n, l)
		}
		return nil
	}
}

// Messages returns the messages of a log, as text or as JSON. A line that is not whole fails the test, as one without time does.
func Messages(t testing.TB, log string) (all []string) {
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
