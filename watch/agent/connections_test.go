package agent

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"render/watch/sourcetest"
)

// The slot of a request that was given up becomes free when its wait would have ended, because Consul counts its connection until then.
func TestSlots(t *testing.T) {
	sourcetest.Bubble(t, func(t *testing.T) {
		a, err := New(consulAPI, Config{Address: "consul:8500", MaxConnections: 16}, refuse, nil)
		check(t, err)
		const reserved = 2
		for i := range a.Slots() - reserved {
			if !a.BeginWait(reserved) {
				t.Fatalf("slot %d of %d is not free", i, a.Slots())
			}
		}
		if a.BeginWait(reserved) {
			t.Error("a reserved slot was taken")
		}

		a.EndWait()
		if !a.BeginWait(reserved) {
			t.Error("the slot of a request that has ended is not free")
		}
		givenUp, cancel := context.WithCancel(t.Context())
		cancel()
		var released atomic.Bool
		a.conns.releaseAfter(givenUp, a.Endpoint(), true, time.Now().Add(time.Minute), func() { released.Store(true) })
		a.EndWait()
		time.Sleep(time.Minute - time.Millisecond/2)
		if a.BeginWait(reserved) {
			t.Error("the slot of a request that was given up is free at once")
		}
		if n := a.Abandoned(); n != 1 || released.Load() {
			t.Errorf("%d requests are abandoned; the connection is released: %v", n, released.Load())
		}
		time.Sleep(time.Millisecond)
		if !a.BeginWait(reserved) || a.Abandoned() != 0 || !released.Load() {
			t.Error("the slot of a request that was given up is not free after its wait")
		}
	})
}

// Two thirds of what an agent allows are used, where that is much more than the default and nothing else is set.
func TestNoteLimit(t *testing.T) {
	for _, test := range []struct {
		cfg     Config
		allowed int
		raised  bool
		slots   int
	}{
		{Config{}, 200, false, 96},
		{Config{}, 385, false, 96},
		{Config{}, 1000, true, 499},
		{Config{}, 0, true, 3072},
		{Config{}, -1, true, 3072},
		{Config{}, 100000, true, 3072},
		{Config{MaxConnections: 20}, 1000, false, 15},
		{Config{TLS: TLS{Enabled: true}}, 1000, false, 96},
	} {
		test.cfg.Address = "consul:8500"
		a, err := New(consulAPI, test.cfg, refuse, nil)
		check(t, err)
		if got := a.NoteLimit(test.allowed); got != test.raised || a.Slots() != test.slots {
			t.Errorf("%d allowed: raised %v to %d slots; want %v, %d", test.allowed, got, a.Slots(), test.raised, test.slots)
		}
		if a.NoteLimit(test.allowed) {
			t.Errorf("%d allowed, for the second time: raised", test.allowed)
		}
	}
}
