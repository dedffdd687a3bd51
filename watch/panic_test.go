package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A faulty source panics where it is told to. Its panic holds what nobody may see.
type faulty struct {
	fetch, confirm, forget, odd atomic.Bool
	value                       atomic.Value
	nothing                     map[string]string // stays nil
}

const secretText = "c4nary"

func (f *faulty) panics(when *atomic.Bool) {
	if when.Load() && f.odd.Load() {
		panic(fmt.Sprint("cannot read ", secretText))
	}
	if when.Load() {
		f.nothing[secretText] = secretText
	}
}

func (f *faulty) Fetch(ctx context.Context, _ Query, after uint64) (any, uint64, error) {
	f.panics(&f.fetch)
	if after != 0 {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
		f.panics(&f.fetch)
	}
	return f.value.Load(), 1, nil
}

func (f *faulty) Confirm(ctx context.Context, q Query) (any, uint64, error) {
	f.panics(&f.confirm)
	return f.value.Load(), 1, nil
}

func (f *faulty) Reread(Query) bool { return true }

func (f *faulty) Forget(Query) { f.panics(&f.forget) }

// R12: a source that panics has failed. The answer stays, the next request is made after a pause, and nothing that the source
// worked on is in the error.
func TestPanic(t *testing.T) {
	for _, odd := range []bool{false, true} {
		t.Run(fmt.Sprint("odd ", odd), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				src := &faulty{}
				src.odd.Store(odd)
				src.value.Store([]string{"a"})
				var log bytes.Buffer
				fl := follow(t, src, SetConfig{Log: slog.New(slog.NewTextHandler(&log, nil))}, web)
				later(time.Second)

				src.fetch.Store(true)
				later(time.Minute)
				st := fl.of(web)
				fault, is := errors.AsType[PanicError](st.Err)
				if st.Rev != 1 || !is || st.Failures != 1 || fault.Query != web || !strings.Contains(string(fault.Stack), "faulty") {
					t.Errorf("got %+v", st)
				}
				want := "a bug in render in the query service web: panic: assignment to entry in nil map"
				if odd {
					want = "a bug in render in the query service web: panic: a value of the type string"
				}
				if got := st.Err.Error(); got != want {
					t.Errorf("got %q, want %q", got, want)
				}

				src.fetch.Store(false)
				later(time.Minute)
				if st := fl.of(web); st.Err != nil || st.Rev != 1 {
					t.Errorf("when the fault is gone: %+v", st)
				}

				src.confirm.Store(true)
				src.value.Store([]string{})
				later(time.Minute)
				if st := fl.of(web); st.Rev != 1 || !errors.As(st.Err, &fault) {
					t.Errorf("panic of Confirm: %+v", st)
				}
				src.forget.Store(true)
				fl.set.Forget(web)
				later(time.Minute)

				logged := log.String()
				if n := strings.Count(logged, "level=ERROR msg=\"fault in render"); n != 1 || strings.Count(logged, "\n") != 1 {
					t.Errorf("the fault is logged %d times:\n%s", n, logged)
				}
				if !strings.Contains(logged, "(*faulty).panics(") || strings.Contains(logged, secretText) {
					t.Errorf("the log does not have the stack, or has what nobody may see:\n%s", logged)
				}
			})
		})
	}
}

// A panic of a reread changes nothing.
func TestPanicOfReread(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &faulty{}
		src.value.Store("a")
		fl := follow(t, plainReads{src}, SetConfig{}, web)
		later(time.Second)
		src.fetch.Store(true)
		later(3 * rereadEvery)
		if st := fl.of(web); st.Rev != 1 || st.Err != nil || fl.set.Missed() != 0 {
			t.Errorf("got %+v", st)
		}
	})
}

// plainReads passes plain reads on; who waits, waits for ever.
type plainReads struct{ *faulty }

func (p plainReads) Fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	if after == 0 {
		return p.faulty.Fetch(ctx, q, 0)
	}
	<-ctx.Done()
	return nil, 0, ctx.Err()
}
