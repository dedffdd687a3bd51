package watch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// An appliers source notes what it is told is in use.
type appliers struct {
	index   uint64
	applied []string
}

func (a *appliers) Fetch(ctx context.Context, _ Query, after uint64) (any, uint64, error) {
	if after == a.index {
		<-ctx.Done()
		return nil, 0, ctx.Err()
	}
	return "value", a.index, nil
}

func (a *appliers) Applied(q Query, index uint64) {
	a.applied = append(a.applied, fmt.Sprint(q, " ", index))
}

// What is in use reaches the source that has answered, and no other.
func TestApplied(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		one, other, next := &appliers{index: 7}, &appliers{index: 1}, &appliers{index: 2}
		sw := NewSwitch(ByKind{web.Kind: one, "": other})
		set := NewSet(sw, SetConfig{})
		defer set.Close()
		set.Watch(web)
		later(time.Second)
		index := set.Take()[web].Index
		set.Applied(web, index)
		if got := fmt.Sprint(one.applied, other.applied); got != "[service web 7] []" {
			t.Errorf("got %s", got)
		}

		sw.Use(ByKind{"": next})
		later(time.Second)
		set.Applied(web, index) // of the source that was replaced
		set.Applied(web, 2)
		if got := fmt.Sprint(one.applied, other.applied, next.applied); got != "[service web 7] [] [service web 2]" {
			t.Errorf("after the source was replaced: got %s", got)
		}
		NewSet(&scripted{}, SetConfig{}).Applied(web, 1) // it is no Applier
	})
}

// retrying is a Source that fails until a time, and asks again by itself.
type retrying struct {
	until   time.Time
	reads   atomic.Int64
	changed chan struct{}
}

func (r *retrying) Fetch(ctx context.Context, _ Query, after uint64) (any, uint64, error) {
	if time.Now().Before(r.until) {
		r.reads.Add(1)
		return nil, 0, RetriedError{errors.New("no rights"), r.changed}
	}
	if after != 0 {
		<-ctx.Done()
		return nil, 0, ctx.Err()
	}
	return "value", 1, nil
}

// The end of a failure after which the source itself asks again is noticed within a second.
func TestRetriedError(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &retrying{until: time.Now().Add(time.Minute)}
		set := NewSet(src, SetConfig{MaxBackoff: time.Hour})
		defer set.Close()
		set.Watch(web)
		later(59 * time.Second)
		if st := set.Take()[web]; st.Err == nil || st.Err.Error() != "no rights" || src.reads.Load() > 130 {
			t.Errorf("%d reads, got %+v", src.reads.Load(), st)
		}
		later(2 * time.Second)
		if st := set.Take()[web]; st.Err != nil || st.Rev != 1 {
			t.Errorf("got %+v", st)
		}
	})
}

// A source that says when it has asked again is read at once.
func TestRetriedErrorChanges(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &retrying{until: time.Now().Add(time.Minute), changed: make(chan struct{})}
		set := NewSet(src, SetConfig{})
		defer set.Close()
		set.Watch(web)
		later(time.Minute)
		close(src.changed)
		later(time.Millisecond)
		if st := set.Take()[web]; st.Err != nil || st.Rev != 1 {
			t.Errorf("got %+v", st)
		}
	})
}
