package render

import (
	"log/slog"
	"testing"
	"time"
)

// What was rejected is tried again when its time has come, although a commit of its action without it has succeeded (R13).
func TestR13RejectedIsNotForgotten(t *testing.T) {
	rejected, good := &target{passes: 1}, &target{passes: 1, known: true}
	a := &action{targets: []*target{rejected, good}}
	rejected.reject(rejected.sum, time.Now(), errCheck)
	e := &Engine{log: slog.New(slog.DiscardHandler), active: make(map[*action]bool)}
	e.committed(&commitDone{commit: &commit{}, action: a})
	if a.retry.IsZero() || !a.retry.Equal(rejected.rejectedUntil) {
		t.Errorf("it is tried again at %v, want %v", a.retry, rejected.rejectedUntil)
	}
}
