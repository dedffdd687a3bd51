package leases

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"render/render/graph"
	"render/template"
	"render/watch"
)

// A bench is a graph of named users with a table, and what the table has called.
type bench struct {
	*Table[string]
	graph *graph.Graph[string]
	users map[string]*graph.User[string]
	calls []string
}

func newBench() *bench {
	b := &bench{graph: graph.New[string](), users: make(map[string]*graph.User[string])}
	b.Table = New(b.graph,
		func(q watch.Query, index uint64) {
			b.calls = append(b.calls, fmt.Sprint("applied ", q.Name, " ", index))
		},
		func(all []watch.Query) {
			for _, q := range all {
				b.calls = append(b.calls, "forget "+q.Name)
			}
		})
	return b
}

func secret(name string) watch.Query { return watch.NewQuery(watch.KindSecret, name, nil) }

// answer brings an answer with a revision and an index.
func (b *bench) answer(name string, revision, index uint64) {
	states := map[watch.Query]watch.State{secret(name): {Value: &watch.Secret{}, Rev: revision, Index: index}}
	b.graph.Take(states, time.Time{})
	b.Answered(states)
}

// begin begins a pass of a user.
func (b *bench) begin(user string) *graph.Snapshot[string] {
	if b.users[user] == nil {
		b.users[user] = &graph.User[string]{Owner: user}
	}
	return b.graph.Begin(b.users[user], time.Time{})
}

// finish ends a pass that has used secrets, and returns what of them may be leased.
func (b *bench) finish(s *graph.Snapshot[string], used ...string) *Uses {
	r := template.Result{Complete: true}
	for _, name := range used {
		r.Used = append(r.Used, secret(name))
		if _, answered := s.Lookup(secret(name)); !answered {
			r.Pending = append(r.Pending, secret(name))
		}
	}
	if _, forgotten := b.graph.Finish(s, r, time.Time{}); len(forgotten) > 0 {
		b.forget(forgotten)
	}
	return Of(s)
}

// render is a pass, and what its output is made of.
func (b *bench) render(user string, used ...string) *Uses { return b.finish(b.begin(user), used...) }

func (b *bench) want(t *testing.T, calls ...string) {
	t.Helper()
	if slices.Sort(b.calls); !slices.Equal(b.calls, calls) {
		t.Errorf("calls %q, want %q", b.calls, calls)
	}
	b.calls = nil
}

// An answer is applied when all that hold it have it in their files, each by its own action.
func TestAppliedByAll(t *testing.T) {
	b := newBench()
	b.render("x", "s")
	b.render("y", "s")
	b.answer("s", 1, 10)
	x, y := b.render("x", "s"), b.render("y", "s")
	b.Hold("x", Stages{x})
	b.Hold("y", Stages{y})
	b.want(t, "applied s 10")

	b.answer("s", 2, 20)
	nextX, nextY := b.render("x", "s"), b.render("y", "s")
	b.Hold("x", Stages{x, nil, nextX}) // wanted
	b.Hold("x", Stages{x, nextX})      // in flight
	b.Hold("x", Stages{nextX})
	b.want(t)
	b.Hold("y", Stages{y.Or(nextY)}) // a commit that failed
	b.want(t)
	b.Hold("y", Stages{nextY})
	b.want(t, "applied s 20")

	b.answer("s", 2, 21) // the same answer of another lease
	b.want(t, "applied s 21")
	b.Hold("y", Stages{nextY, nil, nil})
	b.answer("s", 2, 21)
	b.want(t)
}

// A query is kept as long as a file holds its answer, although no template uses it.
func TestKeepsWhatAFileHolds(t *testing.T) {
	b := newBench()
	b.render("x", "s")
	b.answer("s", 1, 1)
	x := b.render("x", "s")
	b.Hold("x", Stages{nil, nil, x})
	b.Hold("x", Stages{x})
	b.want(t, "applied s 1")

	none := b.render("x")
	if none != nil {
		t.Errorf("a pass without secrets uses %v", none)
	}
	b.want(t)
	if _, kept := b.graph.State(secret("s")); !kept {
		t.Fatal("the query is forgotten while a file holds its answer")
	}
	b.Hold("x", Stages{})
	b.want(t, "forget s")
	if b.graph.Len() > 0 || len(b.holders) > 0 || len(b.stages) > 0 || len(b.told) > 0 {
		t.Errorf("%d queries are left, and %+v", b.graph.Len(), b.Table)
	}
}

// A pass that began before an answer uses the answer before it, whenever it ends. So that is not applied yet.
func TestAppliedAfterPassesUnderWay(t *testing.T) {
	b := newBench()
	b.render("x", "s")
	b.answer("s", 1, 1)
	b.Hold("x", Stages{b.render("x", "s")})
	b.want(t, "applied s 1")

	long := b.begin("new") // which nobody knows to use it
	b.answer("s", 2, 2)
	b.Hold("x", Stages{b.render("x", "s")})
	b.want(t)
	held := b.finish(long, "s")
	b.Hold("new", Stages{nil, nil, held})
	b.PassEnded()
	b.want(t)
	b.Hold("new", Stages{b.render("new", "s")})
	b.want(t, "applied s 2")

	long = b.begin("new")
	b.answer("s", 3, 3)
	b.Hold("x", Stages{b.render("x", "s")})
	b.Hold("new", Stages{})
	b.want(t)
	b.finish(long)
	b.PassEnded()
	b.want(t, "applied s 3")
}

// As long as a program was not notified of the files, it uses what they held before: also what no file holds any more, or no target has.
func TestHeldForAProgram(t *testing.T) {
	b := newBench()
	for _, user := range []string{"x", "y", "z"} {
		b.render(user, user)
		b.answer(user, 1, 1)
		b.Hold(user, Stages{b.render(user, user)})
	}
	b.want(t, "applied x 1", "applied y 1", "applied z 1")

	b.Await(true)
	b.answer("x", 2, 2)
	next := b.render("x", "x")
	b.Hold("x", Stages{nil, next})
	b.Hold("x", Stages{next})
	b.render("y")
	b.Hold("y", Stages{})
	b.render("z")
	b.Hold("z", Stages{})
	b.Await(true)
	b.want(t)
	b.Await(false)
	b.want(t, "applied x 2", "forget y", "forget z")
	if len(b.former) > 0 || len(b.holders) != 1 || b.graph.Len() != 1 {
		t.Errorf("%d queries are left, and %+v", b.graph.Len(), b.Table)
	}
	b.Hold("x", Stages{})
	b.answer("x", 3, 3)
	b.want(t)
}

// What it costs that a holder has other answers grows with their number, not with its square.
func TestHoldCost(t *testing.T) {
	b := newBench()
	names := make([]string, 2_000)
	for i := range names {
		names[i] = fmt.Sprint("s", i)
	}
	b.render("x", names...)
	uses := make([]*Uses, 4)
	for revision := range uses {
		for _, name := range names {
			b.answer(name, uint64(revision+1), uint64(revision+1))
		}
		uses[revision] = b.render("x", names...)
	}
	b.Hold("x", Stages{uses[0], uses[1], uses[2]})
	last := 3
	allocs := testing.AllocsPerRun(10, func() {
		b.Hold("x", Stages{uses[0], uses[1], uses[last]})
		last = 5 - last
	})
	if most := float64(len(names)); allocs > most {
		t.Errorf("%.0f allocations for %d queries, want at most %.0f", allocs, len(names), most)
	}
}

// Only what may be leased is held, and a nil table holds nothing.
func TestHeldKinds(t *testing.T) {
	g := graph.New[string]()
	u := &graph.User[string]{Owner: "x"}
	var used []watch.Query
	states := make(map[watch.Query]watch.State)
	for _, kind := range []string{watch.KindSecret, watch.KindSecretWrite, watch.KindPKICert, watch.KindSecrets, watch.KindKV, watch.KindCALeaf} {
		q := watch.NewQuery(kind, "n", nil)
		used = append(used, q)
		states[q] = watch.State{Value: "v", Rev: 1}
	}
	g.Finish(g.Begin(u, time.Time{}), template.Result{Complete: true, Used: used, Pending: used}, time.Time{})
	g.Take(states, time.Time{})
	s := g.Begin(u, time.Time{})
	g.Finish(s, template.Result{Complete: true, Used: slices.Clone(used)}, time.Time{})
	if got := Of(s); len(got.revisions) != 3 {
		t.Errorf("held are %v", got.revisions)
	}
	var none *Table[string]
	none.Hold("x", Stages{Of(s)})
	none.Answered(states)
	none.PassEnded()
	none.Await(true)
}

// End is when the first of the answers ends that were replaced; NeedRenewal tells credentials from what lasts by itself.
func TestEnd(t *testing.T) {
	b, began := newBench(), time.Unix(1000, 0)
	answer := func(name string, revision uint64, value any, expires time.Time) {
		states := map[watch.Query]watch.State{secret(name): {Value: value, Rev: revision, Index: revision, Expires: expires, Since: began}}
		b.graph.Take(states, time.Time{})
		b.Answered(states)
	}
	b.render("t", "a", "kv")
	answer("a", 1, &watch.Secret{}, began.Add(time.Minute))
	answer("kv", 1, &watch.Secret{}, time.Time{})
	first := b.render("t", "a", "kv")
	b.Hold("t", Stages{first})
	want := func(what string, end time.Time) {
		t.Helper()
		if got := b.End(first); !got.Equal(end) {
			t.Errorf("%s: ends %v, want %v", what, got, end)
		}
	}
	want("the latest answer", time.Time{})
	answer("a", 1, &watch.Secret{}, began.Add(time.Hour))
	want("renewed", time.Time{})
	answer("kv", 2, &watch.Secret{}, time.Time{})
	want("one that does not end is replaced", time.Time{})
	answer("a", 2, &watch.Secret{}, began.Add(2*time.Hour))
	want("replaced", began.Add(time.Hour))
	answer("a", 3, &watch.Secret{}, began.Add(3*time.Hour))
	want("replaced twice", began.Add(time.Hour))

	for _, test := range []struct {
		name  string
		value any
		ends  time.Time
		want  bool
	}{
		{"credentials", &watch.Secret{}, began, true},
		{"key", &watch.Secret{}, time.Time{}, false},
		{"certificate of secret", &watch.Secret{Data: map[string]any{"certificate": "x"}}, began, false},
		{"certificate", &watch.PKICert{}, began, false},
	} {
		answer("a", 4, test.value, test.ends)
		if got := b.NeedRenewal(first); got != test.want {
			t.Errorf("%s: needs renewal: %t", test.name, got)
		}
	}
	if b.NeedRenewal(nil) || !b.End(nil).IsZero() {
		t.Error("nothing ends")
	}
}
