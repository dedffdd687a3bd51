package watch

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// A PanicError is the failure of a request in which the source panicked. Its text holds nothing of what the source worked on.
type PanicError struct {
	Query Query
	What  string // the runtime's message or, where the panic is not the runtime's, the type of its value
	Stack []byte // of the goroutine
}

func (e PanicError) Error() string {
	return fmt.Sprintf("a bug in render in the query %s: panic: %s", e.Query, e.What)
}

// Hint returns what a user does about a bug.
func (e PanicError) Hint() string { return "report this bug with the stack that the log has" }

// newPanicError returns the error of a request that has panicked with a value. What recovers the panic must call it.
func newPanicError(q Query, p any) PanicError {
	return PanicError{Query: q, What: PanicText(p), Stack: debug.Stack()}
}

// PanicText returns what may be shown of the value of a panic: the runtime's message or, where the panic is not the runtime's, the type of
// the value. The value itself may hold what was read.
func PanicText(p any) string {
	if e, ok := p.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("a value of the type %T", p)
}

// panicPlace returns the file and line that have panicked. What recovers the panic must call it.
func panicPlace() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers)])
	for panicked := false; ; {
		frame, more := frames.Next()
		if panicked && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", frame.File, frame.Line)
		}
		panicked = panicked || frame.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}

// logPanic logs the stack of the first panic of a place: a fault that many queries meet, again and again, is one fault. The stack has
// names of functions and numbers, and no text that the source worked on. Of the query the line has the kind: its name may be from an
// answer.
func (s *Set) logPanic(err PanicError, place string) {
	s.mu.Lock()
	known := s.panics[place]
	s.panics[place] = true
	s.mu.Unlock()
	if !known {
		s.cfg.Log.Error("fault in render, retrying the query; please report the stack", "query", err.Query.Kind, "panic", err.What, "stack", string(err.Stack))
	}
}
