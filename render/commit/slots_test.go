package commit

import (
	"testing"
	"testing/synctest"
	"time"

	"render/render/run"
)

// Checks and commands that hang keep no slot: a commit of others goes on.
func TestSlotsAreFreeWhileProgramsRun(t *testing.T) {
	for name, action := range map[string]Action{
		"a check of staged files": {Check: run.Command{Shell: "hangs {}"}},
		"a check in place":        {Check: run.Command{Shell: "hangs"}},
		"a command":               {Command: run.Command{Shell: "hangs"}},
		"a verification":          {Verify: Verify{Command: run.Command{Shell: "hangs"}}},
		"a pause":                 {Command: run.Command{Shell: ":"}, Splay: 1000 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			hangs := make(chan struct{})
			tools := newTools(t)
			tools.Slots = make(Slots, 1)
			started := make(chan struct{}, 100)
			tools.Run = func(run.Command, run.Limits) (string, error) {
				started <- struct{}{}
				<-hangs
				return "", nil
			}
			tools.Step = func(step string) {
				if action.Splay > 0 && step == "swapped" {
					started <- struct{}{}
				}
			}
			ended := make(chan Result)
			go func() {
				ended <- Do(p.plan(action, map[string]string{"a": "new", "b": "new"}), tools)
			}()
			<-started

			others := tools
			others.Step = nil
			other := make(chan Result, 1)
			go func() { other <- Do(p.plan(Action{}, map[string]string{"other": "new"}), others) }()
			select {
			case r := <-other:
				if r.Err != nil || len(r.Failed) > 0 {
					t.Errorf("got %+v", r)
				}
			case <-time.After(slotTime / 2): // after slotTime a slot is free in any case
				t.Error("another commit waits")
			}
			close(hangs)
			tools.Stop.Begin()
			if r := <-ended; r.Err != nil || len(r.Failed) > 0 || r.Pending {
				t.Errorf("got %+v", r)
			}
			p.want(map[string]string{"a": "new", "b": "new", "other": "new"})
			if len(tools.Slots) != 0 {
				t.Error("a slot is not free at the end")
			}
		})
	}
}

// A commit waits for a slot before it stages and before it swaps.
func TestCommitWaitsForSlot(t *testing.T) {
	p := newPlace(t)
	plan := p.plan(Action{Command: run.Command{Shell: "command"}}, map[string]string{"out": "new"})
	bubble(t, func(t *testing.T) {
		var steps []string
		tools := Tools{Send: run.Signal.Send, Stop: NewStop(), Slots: make(Slots, 1)}
		tools.Run = func(run.Command, run.Limits) (string, error) { return "", nil }
		tools.Step = func(step string) {
			if steps = append(steps, step); step == "staged" {
				tools.Slots <- struct{}{}
			}
		}
		tools.Slots <- struct{}{}
		ended := make(chan Result)
		go func() { ended <- Do(plan, tools) }()
		synctest.Wait()
		if len(steps) > 0 {
			t.Errorf("without a slot: %q", steps)
		}
		<-tools.Slots
		synctest.Wait()
		if len(steps) != 1 {
			t.Errorf("with one slot: %q", steps)
		}
		<-tools.Slots
		if r := <-ended; r.Err != nil || len(r.Swapped) != 1 {
			t.Errorf("got %+v", r)
		}
	})
}

// A slot is for one at a time. One that is kept for too long, as on a file system that hangs, is free for others, and is not
// released twice.
func TestSlots(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := make(Slots, 2)
		first, second := s.acquire(), s.acquire()
		third := make(chan func())
		began := time.Now()
		go func() { third <- s.acquire() }()
		synctest.Wait()
		select {
		case <-third:
			t.Fatal("three have two slots")
		default:
		}
		time.Sleep(slotTime / 2)
		second()
		release := <-third
		if took := time.Since(began); took != slotTime/2 || len(s) != 2 {
			t.Errorf("it came after %s; %d slots are in use", took, len(s))
		}
		second()
		if len(s) != 2 {
			t.Errorf("%d slots are in use", len(s))
		}

		go func() { third <- s.acquire() }()
		fourth := <-third
		if took := time.Since(began); took != slotTime {
			t.Errorf("the slot of the first was free after %s, want %s", took, slotTime)
		}
		first() // at last
		if len(s) != 2 {
			t.Errorf("%d slots are in use", len(s))
		}
		release()
		fourth()
		time.Sleep(10 * slotTime)
		if len(s) != 0 {
			t.Errorf("%d slots are in use at the end", len(s))
		}
	})
	var none Slots
	none.acquire()()
}
