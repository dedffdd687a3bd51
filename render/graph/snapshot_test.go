package graph

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"render/template"
	"render/watch"
)

// pass plays a pass of which the test says when it ends.
type pass struct {
	*Snapshot[string]
	asked []watch.Query
	saw   map[watch.Query]seen
}

func (f *fixture) begin(u *User[string]) *pass {
	return &pass{Snapshot: f.Begin(u, f.now), saw: make(map[watch.Query]seen)}
}

func (p *pass) ask(q watch.Query) seen {
	value, answered := p.Lookup(q)
	if _, again := p.saw[q]; !again {
		p.asked = append(p.asked, q)
		p.saw[q] = seen{value: value, answered: answered}
	}
	return seen{value: value, answered: answered}
}

func (p *pass) result() template.Result {
	r := template.Result{Used: p.asked}
	for _, q := range p.asked {
		if !p.saw[q].answered {
			r.Pending = append(r.Pending, q)
		}
	}
	r.Complete = len(r.Pending) == 0
	return r
}

// What changes while a pass is under way, the pass does not see: it comes after it.
func TestSnapshot(t *testing.T) {
	other := watch.NewQuery(watch.KindKV, "other", nil)
	tests := []struct {
		name   string
		change func(f *fixture, neighbour *User[string])
		wants  bool
	}{
		{"nothing", func(*fixture, *User[string]) {}, false},
		{"an answer", func(f *fixture, _ *User[string]) { f.answer(key, "2") }, true},
		{"there and back", func(f *fixture, _ *User[string]) { f.answer(key, "2"); f.answer(key, "1") }, false},
		{"what it does not use", func(f *fixture, _ *User[string]) { f.answer(web, letters("y")) }, false},
		{"its last user goes", func(f *fixture, n *User[string]) { f.Remove(n) }, false},
		{"its last user goes, and it changes", func(f *fixture, n *User[string]) { f.Remove(n); f.answer(other, "2") }, true},
		{"its last user does not ask it any more", func(f *fixture, n *User[string]) { f.run(n) }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture()
			u, neighbour := &User[string]{Owner: "u"}, &User[string]{Owner: "neighbour"}
			f.run(u, key)
			f.run(neighbour, web, other)
			f.answer(key, "1")
			f.answer(other, "1")
			f.answer(web, letters("x"))

			p := f.begin(u)
			p.ask(key)
			test.change(f, neighbour)
			for _, q := range []watch.Query{key, other} { // one that it has asked, and one that it has not
				if is := p.ask(q); is.value != "1" {
					t.Errorf("%s: the pass sees %v", q, is)
				}
			}
			_, forgotten := f.Finish(p.Snapshot, p.result(), f.now)
			wantList(t, "forgotten", slices.DeleteFunc(forgotten, func(q watch.Query) bool { return q == web }))
			if u.Wants != test.wants {
				t.Errorf("wants another pass: %t", u.Wants)
			}
			if test.wants != (len(u.Causes) == 1) {
				t.Errorf("causes: %q", u.Causes)
			}
		})
	}
}

// A query that a pass could have asked is forgotten with the pass.
func TestSnapshotHolds(t *testing.T) {
	f := newFixture()
	u, neighbour := &User[string]{Owner: "u"}, &User[string]{Owner: "neighbour"}
	f.run(neighbour, key)
	f.answer(key, "1")
	for _, abandon := range []bool{false, true} {
		p := f.begin(u)
		wantList(t, "forgotten during the pass", f.Remove(neighbour))
		f.Take(map[watch.Query]watch.State{key: {Rev: 1, Err: watch.ErrDenied}}, f.now)
		var forgotten []watch.Query
		if abandon {
			forgotten = f.Abandon(p.Snapshot, f.now)
		} else {
			_, forgotten = f.Finish(p.Snapshot, p.result(), f.now)
		}
		wantList(t, "forgotten with the pass", forgotten, key)
		f.run(neighbour, key)
		f.answer(key, "1")
	}
}

// A query that was pending for a pass, and is answered before its end, leads to another pass: where it was the last.
func TestSnapshotAnswered(t *testing.T) {
	f := newFixture()
	u := &User[string]{Owner: "u"}
	f.run(u, key, web)
	p := f.begin(u)
	p.ask(key)
	p.ask(web)
	f.answer(key, "1")
	f.Finish(p.Snapshot, p.result(), f.now)
	if u.Wants || !u.Answered() {
		t.Errorf("one of two: wants %t, answered %t", u.Wants, u.Answered())
	}
	p = f.begin(u)
	p.ask(key)
	p.ask(web)
	f.answer(web, letters("x"))
	f.Finish(p.Snapshot, p.result(), f.now)
	if !u.Wants {
		t.Error("the last one: no pass is wanted")
	}
}

// An abandoned pass leaves nothing, and what has come meanwhile is not lost.
func TestAbandon(t *testing.T) {
	f := newFixture()
	u := &User[string]{Owner: "u"}
	f.SetRules(u, NewRules(time.Second, Guard{Min: 1}, false), f.now)
	f.run(u, key)
	f.answer(key, "1")
	f.run(u, key)
	neighbour := &User[string]{Owner: "neighbour"}
	f.run(neighbour, web)
	f.answer(web, letters("x"))
	p := f.begin(u)
	p.ask(web)
	f.answer(key, "2")
	wantList(t, "forgotten", f.Abandon(p.Snapshot, f.now))
	if !u.Wants || len(u.views) != 0 || len(f.begun) != 0 {
		t.Errorf("wants %t, views %d, begun %d", u.Wants, len(u.views), len(f.begun))
	}
	wantList(t, "forgotten with the neighbour", f.Remove(neighbour), web)
}

// TestSnapshotOracle plays random histories of users with and without rules, some of whose passes last. A pass sees at any time
// what it would have seen when it began; after it the user wants another one where what it uses has changed, and only there.
func TestSnapshotOracle(t *testing.T) {
	lasting := 0
	for seed := range uint64(1000) {
		random := rand.New(rand.NewPCG(seed, 1))
		f := newFixture()
		plugin := watch.NewQuery(watch.KindPlugin, "program", nil)
		queries := []watch.Query{web, watch.NewQuery(watch.KindService, "db", nil), key, watch.NewQuery(watch.KindKV, "l", nil), plugin}
		users := make([]*User[string], 3)
		passes := make([]*pass, len(users))
		frozen := make([]map[watch.Query]seen, len(users))
		for i := range users {
			users[i] = &User[string]{Owner: fmt.Sprint(i)}
			if i > 0 {
				f.SetRules(users[i], NewRules(time.Duration(i)*time.Second, Guard{Min: 1, Hold: 3 * time.Second, Then: []GuardThen{Keep, Accept, Fail}[random.IntN(3)]}, false), f.now)
			}
		}
		// all returns what a pass would see that begins now.
		all := func(u *User[string]) map[watch.Query]seen {
			if u.snapshot != nil {
				t.Fatal("a pass is under way")
			}
			s := f.Begin(u, f.now)
			see := make(map[watch.Query]seen)
			for _, q := range queries {
				see[q] = s.sees(q)
			}
			f.end(s)
			return see
		}
		for step := range 150 {
			i := random.IntN(len(users))
			u, p := users[i], passes[i]
			q := queries[random.IntN(len(queries))]
			switch n := random.IntN(10); {
			case n < 3 && p == nil:
				frozen[i] = all(u)
				passes[i] = f.begin(u)
			case n < 3:
				got := p.ask(q)
				want := frozen[i][q]
				if want.failed = false; !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d, step %d: user %d sees %v of %s, and saw %v when the pass began", seed, step, i, got, q, want)
				}
			case n < 5 && p != nil:
				lasting += len(p.before)
				r := p.result()
				f.Finish(p.Snapshot, r, f.now)
				passes[i] = nil
				now := all(u)
				changed, waits := false, false
				for _, q := range p.asked {
					was, is := p.saw[q], now[q]
					if q == plugin && !is.answered && was.answered {
						is = was // it is asked again
						if n := f.nodes[q]; n != nil && n.again {
							is.value = n.last
						}
					}
					waits = waits || !is.answered
					changed = changed || was.answered && !watch.Equal(was.value, is.value) || frozen[i][q].failed != is.failed
				}
				want := changed || len(r.Pending) > 0 && !waits
				if u.Wants != want {
					t.Fatalf("seed %d, step %d: user %d wants another pass: %t, want %t\nsaw %v\nnow %v", seed, step, i, u.Wants, want, p.saw, now)
				}
			case n == 5 && p != nil:
				f.Abandon(p.Snapshot, f.now)
				passes[i] = nil
			case n == 6:
				f.now = f.now.Add(time.Duration(random.IntN(4)) * time.Second)
				f.Tick(f.now)
			case n == 7 && p == nil && random.IntN(5) == 0:
				f.Remove(u)
			case n == 8 && f.nodes[plugin] != nil:
				f.Restart(plugin)
			default:
				value := any(fmt.Sprint(random.IntN(3)))
				if q.Kind == watch.KindService {
					value = letters([]string{"", "a", "ab", "abc"}[random.IntN(4)])
				}
				f.answer(q, value)
			}
		}
		for i, p := range passes {
			if p != nil {
				f.Abandon(p.Snapshot, f.now)
			}
			f.Remove(users[i])
		}
		if f.Len() != 0 || len(f.restless) != 0 || len(f.begun) != 0 {
			t.Fatalf("seed %d: left: %d queries, %d views, %d passes", seed, f.Len(), len(f.restless), len(f.begun))
		}
	}
	if lasting < 300 {
		t.Errorf("only %d changes came while a pass was under way", lasting)
	}
}

// A pass may look at answers while the graph takes others. It is for the race detector.
func TestSnapshotBeside(t *testing.T) {
	f := newFixture()
	u := &User[string]{Owner: "u"}
	f.SetRules(u, NewRules(time.Second, Guard{Min: 1}, false), f.now)
	f.run(u, key, web)
	f.answer(key, "0")
	f.answer(web, letters("x"))
	p := f.begin(u)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 1000 {
			if is := p.ask(key); is.value != "0" {
				t.Errorf("the pass sees %v", is)
				return
			}
			p.ask(web)
		}
	})
	for i := range 1000 {
		f.answer(key, fmt.Sprint(i))
		f.answer(web, letters([]string{"", "x", "xy"}[i%3]))
		f.now = f.now.Add(time.Second)
		f.Tick(f.now)
		f.run(&User[string]{Owner: "other"}, watch.NewQuery(watch.KindKV, fmt.Sprint(i), nil))
	}
	wg.Wait()
	f.Finish(p.Snapshot, p.result(), f.now)
	if !u.Wants {
		t.Error("no other pass is wanted")
	}
}

// The secrets of a pass are those that it has seen, also where others have come since, and what it writes.
func TestSecretsOfPass(t *testing.T) {
	read, unchanged := watch.NewQuery(watch.KindSecret, "db", nil), watch.NewQuery(watch.KindNomadVar, "app", nil)
	write, err := watch.NewSecretWrite("transit/encrypt/k", "plaintext=written")
	if err != nil {
		t.Fatal(err)
	}
	f, u := newFixture(), &User[string]{Owner: "u"}
	f.run(u, key, read, unchanged, write)
	for q, answer := range map[watch.Query]string{key: "a key", read: "old", unchanged: "item", write: "ciphertext"} {
		f.answer(q, answer)
	}
	p := f.begin(u)
	for _, q := range []watch.Query{key, read, unchanged, write} {
		p.ask(q)
	}
	f.answer(read, "new")
	f.Finish(p.Snapshot, p.result(), f.now)
	var got []string
	for _, answer := range p.Secrets() {
		got = append(got, fmt.Sprint(answer))
	}
	slices.Sort(got)
	if want := []string{"ciphertext", "item", "old", "written"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
