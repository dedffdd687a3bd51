package graph

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"render/template"
	"render/watch"
)

var (
	web = watch.NewQuery(watch.KindService, "web", nil)
	key = watch.NewQuery(watch.KindKV, "k", nil)
)

// fixture is a graph with a clock and users that are known by their names.
type fixture struct {
	*Graph[string]
	now time.Time
	rev uint64
}

func newFixture() *fixture {
	return &fixture{Graph: New[string](), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// run plays a pass that asks queries: it looks them up, as a template does, and is finished where all have an answer.
func (f *fixture) run(u *User[string], queries ...watch.Query) (watched, forgotten []watch.Query) {
	r := template.Result{Used: queries, Complete: true}
	s := f.Begin(u, f.now)
	for _, q := range queries {
		if _, found := s.Lookup(q); !found {
			r.Pending, r.Complete = append(r.Pending, q), false
		}
	}
	return f.Finish(s, r, f.now)
}

// answer brings an answer in and returns the sorted owners that want a pass.
func (f *fixture) answer(q watch.Query, value any) []string {
	f.rev++
	want, _ := f.Take(map[watch.Query]watch.State{q: {Rev: f.rev, Value: value}}, f.now)
	slices.Sort(want)
	return want
}

func wantList[T comparable](t *testing.T, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// A user runs again when the last pending query is answered, and when an answer changes (R5). A query is forgotten with its
// last user (R6).
func TestGraph(t *testing.T) {
	f := newFixture()
	a, b := &User[string]{Owner: "a"}, &User[string]{Owner: "b"}
	watched, _ := f.run(a, web, key)
	wantList(t, "watched", watched, web, key)
	watched, _ = f.run(b, key)
	wantList(t, "watched again", watched)

	wantList(t, "the last that b waits for", f.answer(key, "1"), "b")
	if !a.Answered() || a.Wants {
		t.Errorf("a: answered %v, wants %v", a.Answered(), a.Wants)
	}
	wantList(t, "the last that a waits for", f.answer(web, letters("x")), "a")
	f.run(a, web, key)
	f.run(b, key)
	wantList(t, "of both", f.answer(key, "2"), "a", "b")
	wantList(t, "causes", a.Causes, Cause{Text: "kv k: changed", Query: key})

	_, forgotten := f.run(a, web)
	wantList(t, "b uses it still", forgotten)
	wantList(t, "forgotten with b", f.Remove(b), key)
	wantList(t, "forgotten with a", f.Remove(a), web)
	if f.Len() != 0 {
		t.Errorf("%d queries are left", f.Len())
	}
	wantList(t, "nobody uses it", f.answer(key, "3"))
}

// Queries of a pinned user are not forgotten until the pin is removed.
func TestPin(t *testing.T) {
	f := newFixture()
	a := &User[string]{Owner: "a"}
	f.run(a, web)
	f.answer(web, letters("x"))
	pin := f.Pin([]*User[string]{a})
	_, forgotten := f.run(a)
	wantList(t, "forgotten by a", forgotten)
	wantList(t, "forgotten by the pin", f.Remove(pin), web)
}

// A query that fails before its first answer returns its users, once for each series of failures.
func TestTakeFailure(t *testing.T) {
	f := newFixture()
	a := &User[string]{Owner: "a"}
	f.run(a, key)
	failure := map[watch.Query]watch.State{key: {Err: watch.ErrDenied}}
	for i, want := range [][]string{{"a"}, nil} {
		if wants, failed := f.Take(failure, f.now); len(wants) > 0 || !slices.Equal(failed, want) {
			t.Errorf("time %d: got %v, %v, want %v", i, wants, failed, want)
		}
	}
}

// The graph updates a view by time only for as long as time or a better answer may change it, whatever ends that.
func TestRestless(t *testing.T) {
	rules := NewRules(time.Second, Guard{Min: 1}, false)
	tests := []struct {
		name    string
		end     func(f *fixture, u *User[string])
		verdict Verdict
	}{
		{"a better answer", func(f *fixture, _ *User[string]) { f.answer(web, letters("yz")) }, Recovered},
		{"another pass", func(f *fixture, u *User[string]) { f.run(u) }, Forgotten},
		{"its removal", func(f *fixture, u *User[string]) { f.Remove(u) }, Forgotten},
		{"no rules", func(f *fixture, u *User[string]) { f.SetRules(u, nil, f.now) }, Recovered},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture()
			u := &User[string]{Owner: "u"}
			f.SetRules(u, rules, f.now)
			f.run(u, web)
			f.answer(web, letters("xy"))
			f.run(u, web)
			if len(f.restless) != 0 || !f.Next().IsZero() {
				t.Fatalf("restless with nothing to come: %d, %s", len(f.restless), f.Next())
			}
			wantList(t, "a removal is delayed", f.answer(web, letters("")))
			if want := f.now.Add(time.Second); !f.Next().Equal(want) || f.Holds() {
				t.Fatalf("next: got %s, want %s; holds: %v", f.Next(), want, f.Holds())
			}

			f.now = f.Next()
			wantList(t, "the guard holds", f.Tick(f.now))
			if all := f.Judgements(); len(all) != 1 || all[0].Verdict != Begun || all[0].Owner != "u" || all[0].Before != 2 || all[0].After != 0 {
				t.Errorf("got %+v", all)
			}
			if len(f.restless) != 1 || !f.Holds() || len(f.StillHeld()) != 1 || len(u.Held()) != 1 {
				t.Errorf("not held: %d, %v, %v, %v", len(f.restless), f.Holds(), f.StillHeld(), u.Held())
			}

			test.end(f, u)
			if all := f.Judgements(); len(all) != 1 || all[0].Verdict != test.verdict {
				t.Errorf("got %+v, want verdict %d", all, test.verdict)
			}
			if len(f.restless) != 0 || f.Holds() || len(u.Held()) != 0 || f.Judgements() != nil {
				t.Errorf("still held: %d, %v", len(f.restless), u.Held())
			}
		})
	}
}

// A pass that asked what the pass before did, and says so by the same slice, leaves all uses as they are and costs nothing.
func TestFinishWithTheSameQueries(t *testing.T) {
	f := newFixture()
	u := &User[string]{Owner: "u"}
	queries := make([]watch.Query, 1000)
	for i := range queries {
		queries[i] = watch.NewQuery(watch.KindKV, fmt.Sprint(i), nil)
	}
	f.run(u, queries...)
	for _, q := range queries {
		f.answer(q, "v")
	}
	f.run(u, queries...)
	r := template.Result{Used: queries, Complete: true}
	if n := testing.AllocsPerRun(10, func() { f.Finish(f.Begin(u, f.now), r, f.now) }); n > 10 {
		t.Errorf("%.0f allocations", n)
	}
	wantList(t, "an answer", f.answer(queries[7], "w"), "u")
}

// Whatever passes ask, and whether they run to their end, a slice that comes again means no more than its queries.
func TestFinishOracle(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		f, g := newFixture(), newFixture()
		u, v := &User[string]{Owner: "u"}, &User[string]{Owner: "u"}
		used := []watch.Query{key}
		for step := range 40 {
			switch rng.IntN(4) {
			case 0:
				used = nil
				for i := range 5 {
					if rng.IntN(2) == 0 {
						used = append(used, watch.NewQuery([]string{watch.KindKV, watch.KindPlugin}[i%2], fmt.Sprint(i), nil))
					}
				}
			case 1:
				q, value := watch.NewQuery([]string{watch.KindKV, watch.KindPlugin}[rng.IntN(5)%2], fmt.Sprint(rng.IntN(5)), nil), fmt.Sprint(step)
				wantList(t, "answer", f.answer(q, value), g.answer(q, value)...)
			case 2:
				if rng.IntN(8) == 0 {
					wantList(t, "removed", sorted(f.Remove(u)), sorted(g.Remove(v))...)
				}
			}
			r := template.Result{Used: used, Complete: rng.IntN(4) > 0}
			if n := len(used); n > 0 && rng.IntN(3) == 0 {
				r.Complete, r.Pending = false, used[n-1:]
			}
			other := r
			other.Used = slices.Clone(used)
			watched, forgotten := f.Finish(f.Begin(u, f.now), r, f.now)
			alsoWatched, alsoForgotten := g.Finish(g.Begin(v, g.now), other, g.now)
			wantList(t, "watched", watched, alsoWatched...)
			wantList(t, "forgotten", sorted(forgotten), sorted(alsoForgotten)...)
			if !maps.Equal(u.uses, v.uses) || u.waiting != v.waiting || u.Wants != v.Wants || !slices.Equal(u.plugins, v.plugins) || f.Len() != g.Len() {
				t.Fatalf("seed %d, step %d: uses are %v, want %v", seed, step, u.uses, v.uses)
			}
		}
	}
}

func sorted(queries []watch.Query) []watch.Query {
	slices.SortFunc(queries, func(a, b watch.Query) int { return strings.Compare(a.String(), b.String()) })
	return queries
}
