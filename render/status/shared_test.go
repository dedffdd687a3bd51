package status

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"render/watch"
)

// loop answers as an engine's loop does, for targets that each use one query.
type loop struct {
	board   Board
	ids     IDs
	targets []*Target
	uses    map[string]watch.Query // by ID
	states  map[watch.Query]QueryState
	made    int // values
	asks    int
	alls    int
	fail    error
	slow    bool // one value a part
	changes uint64
}

func newLoop(targets, queries int) *loop {
	l := &loop{ids: NewIDs(), uses: make(map[string]watch.Query), states: make(map[watch.Query]QueryState)}
	for i := range targets {
		l.targets = append(l.targets, &Target{ID: fmt.Sprint("t", i), State: Applied})
		l.use(i, i%queries)
	}
	return l
}

// use has a target use another query.
func (l *loop) use(target, query int) {
	q := watch.NewQuery(watch.KindKV, fmt.Sprint(query), nil)
	t := *l.targets[target]
	l.uses[t.ID] = q
	t.Queries = []Use{{Query: l.ids.Query(q), Text: q.String()}}
	l.targets[target] = &t
	l.states[q] = QueryAnswered
	l.board.Target(target)
	l.board.Query(q)
	l.changes++
}

func (l *loop) ask(ctx context.Context, all bool) (Part, error) {
	if l.fail != nil {
		return Part{}, l.fail
	}
	l.asks++
	if all {
		l.alls++
	}
	now := time.Now()
	if l.slow {
		now = now.Add(-partTime - time.Nanosecond)
	}
	p := l.board.Part(all, l.ids, Maker{
		Targets: len(l.targets), Target: func(i int) *Target { l.made++; return l.targets[i] },
		Query: func(q watch.Query) (*Query, bool) {
			l.made++
			for _, used := range l.uses {
				if used == q {
					return &Query{ID: l.ids.Query(q), Text: q.String(), State: l.states[q]}, false
				}
			}
			return nil, false
		},
		Queries: func(yield func(watch.Query) bool) {
			for q := range l.states {
				if !yield(q) {
					return
				}
			}
		},
	}, now)
	p.Time, p.Sequence = time.Now(), l.changes
	return p, nil
}

// However many ask, the loop answers ten times a second, and once where nothing has to be newer.
func TestSharedByMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(100, 10)
		s := NewShared(l.ask, func() uint64 { return 0 })
		begun, asked := time.Now(), atomic.Int64{}
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				for time.Since(begun) < time.Second {
					got, err := s.Snapshot(t.Context())
					if err != nil || len(got.Targets) != 100 || len(got.Queries) != 10 || len(got.Queries[0].Targets) != 10 {
						t.Errorf("got %+v, %v", got, err)
					}
					asked.Add(1)
					time.Sleep(7 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		if l.asks > 11 || l.alls != 1 || l.made > 110 {
			t.Errorf("%d readers made the loop answer %d times, %d from the beginning, with %d values", asked.Load(), l.asks, l.alls, l.made)
		}
	})
}

// What changes costs what it is, and who uses a query follows the targets.
func TestSharedChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(100, 10)
		told := uint64(0)
		s := NewShared(l.ask, func() uint64 { return told })
		get := func() *Snapshot {
			t.Helper()
			got, err := s.Snapshot(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		first := get()
		l.made = 0
		l.use(0, 9)
		if got := get(); got != first {
			t.Error("a snapshot that nobody was told is old is made again")
		}
		told = l.changes
		second := get()
		if users := second.Queries[9].Targets; l.made != 2 || len(users) != 11 || users[0] != "t0" || len(second.Queries[0].Targets) != 9 {
			t.Errorf("%d values were made; used by %q and %q", l.made, users, second.Queries[0].Targets)
		}
		if len(first.Queries[9].Targets) != 10 || first.Targets[0].Queries[0].Text != "kv 0" {
			t.Errorf("the first snapshot has changed: %q", first.Queries[9].Targets)
		}

		// The last user of a query goes, and the query with it.
		l.use(1, 10)
		time.Sleep(sharedFor)
		l.use(1, 9)
		l.board.Query(watch.NewQuery(watch.KindKV, "10", nil))
		if got := get(); len(got.Queries) != 10 {
			t.Errorf("%d queries", len(got.Queries))
		}

		// Targets are numbered anew.
		l.targets = l.targets[:5]
		clear(l.uses)
		l.states = make(map[watch.Query]QueryState)
		for i := range l.targets {
			l.use(i, 0)
		}
		for i := range 11 {
			l.board.Query(watch.NewQuery(watch.KindKV, fmt.Sprint(i), nil))
		}
		l.board.Renew()
		time.Sleep(sharedFor)
		if got := get(); len(got.Targets) != 5 || len(got.Queries) != 1 || len(got.Queries[0].Targets) != 5 || got.Counts.Targets[Applied] != 5 {
			t.Errorf("%d targets, %d queries, %+v", len(got.Targets), len(got.Queries), got.Counts)
		}
		if l.alls != 1 {
			t.Errorf("made %d times from the beginning", l.alls)
		}
	})
}

// A loop that has much to say does so in parts. Nobody sees a snapshot before its last part.
func TestSharedParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(10, 3)
		l.slow = true
		calls := 0
		s := NewShared(func(ctx context.Context, all bool) (Part, error) {
			if calls++; calls > 5 {
				l.slow = false
			}
			return l.ask(ctx, all)
		}, func() uint64 { return 0 })
		got, err := s.Snapshot(t.Context())
		if err != nil || len(got.Targets) != 10 || got.Targets[9] == nil || len(got.Queries) != 3 || l.alls != 1 || calls != 6 {
			t.Errorf("got %+v after %d parts, %v", got, calls, err)
		}
	})
}

// When nobody has asked for a minute the next snapshot is made from the beginning; not after an error, as of a reader that gives up. Who waits for
// others gives up in time.
func TestSharedForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(3, 3)
		s := NewShared(l.ask, func() uint64 { return 0 })
		for i, wait := range []time.Duration{0, time.Second, keptFor + time.Second} {
			time.Sleep(wait)
			synctest.Wait()
			if _, err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			if want := []int{1, 1, 2}[i]; l.alls != want {
				t.Errorf("after %s: made %d times from the beginning", wait, l.alls)
			}
		}
		time.Sleep(time.Second)
		l.fail = errors.New("the loop has ended")
		if _, err := s.Snapshot(t.Context()); !errors.Is(err, l.fail) {
			t.Errorf("got %v", err)
		}
		l.fail = nil
		if _, err := s.Snapshot(t.Context()); err != nil || l.alls != 2 {
			t.Errorf("after an error: %v, made %d times from the beginning", err, l.alls)
		}

		s.turn <- struct{}{} // somebody asks, and gets no answer
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		time.Sleep(time.Second)
		if _, err := s.Snapshot(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// A board that nobody reads any longer does not grow without a bound, and the next snapshot has all.
func TestBoardForgets(t *testing.T) {
	l := newLoop(3, 3)
	s := NewShared(l.ask, func() uint64 { return l.changes })
	snapshot := func() *Snapshot {
		t.Helper()
		got, err := s.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	snapshot()
	for i := range 2 * mostMarked {
		l.board.Query(watch.NewQuery(watch.KindKV, fmt.Sprint("gone", i), nil))
	}
	if n := len(l.board.queries); n > mostMarked || l.board.IsRead() {
		t.Errorf("%d queries are noted", n)
	}
	l.use(1, 2)
	if got := snapshot(); len(got.Targets) != 3 || len(got.Queries) != 2 && len(got.Queries) != 3 || got.Targets[1].Queries[0].Query != got.Targets[2].Queries[0].Query {
		t.Errorf("a snapshot after that: %+v", got)
	}
}

// A latch looks at each target once while the targets are the same, and notes the first moment at which all were applied.
func TestLatch(t *testing.T) {
	var l Latch
	applied := make([]bool, 1000)
	looks := 0
	note := func(waits bool) bool {
		return l.Note(len(applied), func(i int) bool { looks++; return applied[i] }, waits)
	}
	for i := range applied {
		if note(false) {
			t.Fatalf("ready with %d", i)
		}
		applied[i] = true
	}
	if looks > 2*len(applied) {
		t.Errorf("%d looks", looks)
	}
	if note(true) || !l.At.IsZero() {
		t.Error("ready before the program")
	}
	applied[0] = false
	if l.Renew(); note(false) {
		t.Error("ready without the first")
	}
	applied[0] = true
	if !note(false) || l.At.IsZero() || note(false) {
		t.Error("it is ready once")
	}
	at := l.At
	applied[0] = false
	if l.Renew(); note(false) || l.At != at {
		t.Error("it stays ready")
	}
}

// IDs are safe in URLs, differ where names do, and are the same in each run. Those of queries are of one run: whoever sees the beginning of a
// name, which may be the value of a key, cannot find its end by trying.
func TestIDs(t *testing.T) {
	ids := NewIDs()
	for name, want := range map[string]string{
		"/etc/nginx/conf.d/up streams.conf": "etc-nginx-conf.d-up-streams.conf-", "/etc/nginx/nginx.conf": "nginx.conf-",
		"systemctl reload nginx": "systemctl-reload-nginx-", "<script>\x00\u202e../../": "", "ÄÖ": "", "": "",
	} {
		got := ids.Of("target", name, 0)
		if len(got) != len(want)+2*idSum || got[:len(want)] != want {
			t.Errorf("%q: got %s", name, got)
		}
		if got == ids.Of("target", name, 1) || got == ids.Of("action", name, 0) || got != NewIDs().Of("target", name, 0) {
			t.Errorf("%q: %s", name, got)
		}
	}
	q := watch.NewQuery(watch.KindKV, "a", nil)
	secret := watch.NewPlugin("program", []string{"secret"}, false)
	known := ids.Query(secret)
	same := ids.Query(q)
	if same == NewIDs().Query(q) || same != ids.Query(q) || known == NewIDs().Query(secret) || known != ids.Query(secret) {
		t.Error("IDs of queries")
	}
}

// The ID of a command has the name of its program and none of its arguments, and is the same in each run.
func TestActionIDs(t *testing.T) {
	ids := NewIDs()
	for command, want := range map[string]string{
		"echo token=hunter2 >/dev/null": "echo-", "/usr/bin/systemctl reload nginx": "systemctl-", "TOKEN=hunter2 A=1 curl x": "curl-",
		`TOKEN="hunter 2" curl`: "", `"/opt/my program" hunter2`: "", "$(cat hunter2)": "", "a;hunter2": "", "": "", "A=hunter2": "", "~/bin/x": "",
	} {
		got := ids.Action("command", command, 0)
		if len(got) != len(want)+2*idSum || got[:len(want)] != want {
			t.Errorf("%q: got %s", command, got)
		}
		if got == ids.Action("command", command, 1) || got == ids.Action("command", command+" x", 0) || got != NewIDs().Action("command", command, 0) {
			t.Errorf("%q: %s", command, got)
		}
	}
	if got := ids.Action("named", "reload nginx", 0); got != ids.Of("named", "reload nginx", 0) {
		t.Errorf("of a named action: %s", got)
	}
}
