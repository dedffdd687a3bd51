package graph

import (
	"slices"
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
	wantList(t, "causes", a.Causes, "kv k: changed")

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
