package proposal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gate is one whose proposals are texts, and whose actions have names.
type gate = Gate[string, string]

// offer offers a proposal and returns where its answer comes from, and the proposal as the loop receives it.
func offer(ctx context.Context, g *gate, content string) (answer chan error, p *Proposal[string]) {
	answer = make(chan error, 1)
	go func() { answer <- g.Offer(ctx, content) }()
	return answer, <-g.Received()
}

func affected(actions ...string) map[string]bool {
	all := make(map[string]bool)
	for _, a := range actions {
		all[a] = true
	}
	return all
}

func wantNothingWaits(t *testing.T, g *gate, now time.Time) {
	t.Helper()
	if _, due, _ := g.Due(now); due || !g.Wakes().IsZero() || g.Withdrawn() != nil || g.Received() == nil || g.Affects("web") {
		t.Errorf("something waits: %+v", g)
	}
}

func TestProposalWaitsForCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New[string, string](nil)
		now := time.Now()
		wantNothingWaits(t, g, now)
		answer, p := offer(t.Context(), g, "x")
		g.Admit(p, affected("web", "db", "mail"), 2, now.Add(time.Minute))
		if g.Received() != nil {
			t.Error("another one is received meanwhile")
		}
		if !g.Affects("web") || g.Affects("other") {
			t.Error("it affects others")
		}
		if got := g.Wakes(); !got.Equal(now.Add(time.Minute)) {
			t.Errorf("it wakes the loop at %s", got)
		}
		g.Landed("web")
		g.Landed("other")
		if _, due, _ := g.Due(now); due {
			t.Error("it is due while an action is busy")
		}
		g.Landed("db")
		if got := g.Wakes(); !got.IsZero() {
			t.Errorf("it wakes the loop at %s", got)
		}
		content, due, late := g.Due(now.Add(time.Hour))
		if content != "x" || !due || late {
			t.Errorf("got %q, due %v, late %v", content, due, late)
		}
		synctest.Wait()
		if len(answer) > 0 {
			t.Error("it is answered before it is in effect")
		}
		if held := g.Answer(nil); !maps.Equal(held, affected("web", "db", "mail")) {
			t.Errorf("it has held %v", held)
		}
		if err := <-answer; err != nil {
			t.Error(err)
		}
		wantNothingWaits(t, g, now)
	})
}

func TestLateProposal(t *testing.T) {
	g := New[string, string](nil)
	now := time.Now()
	answer, p := offer(t.Context(), g, "x")
	g.Admit(p, affected("web"), 1, now.Add(time.Minute))
	if _, due, _ := g.Due(now.Add(time.Minute - 1)); due {
		t.Error("it is due before its time")
	}
	if _, due, late := g.Due(now.Add(time.Minute)); !due || !late {
		t.Errorf("due %v, late %v", due, late)
	}
	why := errors.New("why")
	g.Answer(why)
	if err := <-answer; err != why {
		t.Errorf("got %v", err)
	}
	wantNothingWaits(t, g, now)
}

// Who gives up gets the error of the context, whatever the loop does at that time.
func TestWithdrawnProposal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New[string, string](nil)
		ctx, cancel := context.WithCancel(t.Context())
		answer, p := offer(ctx, g, "x")
		g.Admit(p, affected("web"), 1, time.Now().Add(time.Minute))
		cancel()
		<-g.Withdrawn()
		synctest.Wait()
		if len(answer) > 0 {
			t.Error("it does not wait for the loop, which may put the proposal in effect")
		}
		if held := g.Withdraw(); !maps.Equal(held, affected("web")) {
			t.Errorf("it has held %v", held)
		}
		if err := <-answer; err != context.Canceled {
			t.Errorf("got %v", err)
		}
		wantNothingWaits(t, g, time.Now())
		if err := g.Offer(ctx, "y"); err != context.Canceled { // and nobody receives
			t.Errorf("got %v", err)
		}
	})
}

func TestOfferToLoopThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		g := New[string, string](ended)
		waits, p := offer(t.Context(), g, "waits")
		g.Admit(p, nil, 0, time.Now())
		notReceived := make(chan error, 1)
		go func() { notReceived <- g.Offer(t.Context(), "not received") }()
		synctest.Wait()
		close(ended)
		for _, answer := range []chan error{waits, notReceived} {
			if err := <-answer; err != ErrNotRunning {
				t.Errorf("got %v", err)
			}
		}
	})
}

// A proposal that the loop has put in effect before it ended is in effect.
func TestAnswerBeforeTheEnd(t *testing.T) {
	for range 100 {
		ended := make(chan struct{})
		g := New[string, string](ended)
		answer, p := offer(t.Context(), g, "x")
		g.Admit(p, nil, 0, time.Now())
		g.Answer(nil)
		close(ended)
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
	}
}

func TestEnter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		g := New[string, string](ended)
		leave, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Enter(ctx); err != context.DeadlineExceeded {
			t.Errorf("two are at the gate: %v", err)
		}
		next := make(chan error)
		enter := func() {
			_, err := g.Enter(t.Context())
			next <- err
		}
		go enter()
		synctest.Wait()
		leave()
		if err := <-next; err != nil {
			t.Error(err)
		}
		go enter()
		synctest.Wait()
		close(ended)
		if err := <-next; err != ErrNotRunning {
			t.Errorf("got %v", err)
		}
	})
}

// Many callers make proposals and give up, while commits begin and land: each proposal is in effect or not as its caller learns, and no
// commit of an action begins that one affects.
func TestManyProposals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		g := New[string, string](ended)
		var used []string // of the loop
		landings := make(chan string)
		done := make(chan struct{})
		go func() {
			defer close(done)
			loop(t, g, landings, ended, &used)
		}()

		var mu sync.Mutex
		var want []string
		var callers sync.WaitGroup
		for i := range 200 {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(2000))*time.Millisecond)
				defer cancel()
				time.Sleep(time.Duration(rand.IntN(5000)) * time.Millisecond)
				leave, err := g.Enter(ctx)
				if err != nil {
					return
				}
				defer leave()
				content := fmt.Sprint(i)
				switch err := g.Offer(ctx, content); {
				case err == nil:
					mu.Lock()
					want = append(want, content)
					mu.Unlock()
				case err != context.DeadlineExceeded && err != errLate:
					t.Error(err)
				}
			})
		}
		callers.Wait()
		close(ended)
		<-done
		slices.Sort(used)
		if slices.Sort(want); !slices.Equal(used, want) || len(want) == 0 {
			t.Errorf("in effect are\n%v, and callers learn of\n%v", used, want)
		}
	})
}

var errLate = errors.New("late")

// loop commits some actions at random, and puts proposals in effect that affect some of them.
func loop(t *testing.T, g *gate, landings chan string, ended chan struct{}, used *[]string) {
	actions := []string{"web", "db", "mail"}
	busy := make(map[string]bool)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var commits sync.WaitGroup
	defer commits.Wait()
	for {
		if content, due, late := g.Due(time.Now()); late {
			g.Answer(errLate)
		} else if due {
			for a := range busy {
				if g.Affects(a) {
					t.Errorf("%s is busy when a proposal is in effect that affects it", a)
				}
			}
			*used = append(*used, content)
			g.Answer(nil)
		}
		select {
		case p := <-g.Received():
			all, count := make(map[string]bool), 0
			for _, a := range actions {
				if rand.IntN(2) == 0 {
					all[a] = true
					if busy[a] {
						count++
					}
				}
			}
			g.Admit(p, all, count, time.Now().Add(300*time.Millisecond))
		case <-g.Withdrawn():
			g.Withdraw()
		case a := <-landings:
			delete(busy, a)
			g.Landed(a)
		case <-tick.C:
			a := actions[rand.IntN(len(actions))]
			if busy[a] || g.Affects(a) {
				continue
			}
			busy[a] = true
			commits.Go(func() {
				time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
				select {
				case landings <- a:
				case <-ended:
				}
			})
		case <-ended:
			return
		}
	}
}
