package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"render/watch/pause"
)

// A scripted source gives its steps, one a call, and after the last waits until ctx is done. It notes what was asked.
type scripted struct {
	mu    sync.Mutex
	steps []step
	asked []call
	began time.Time
}

type step struct {
	takes time.Duration
	value any
	index uint64
	err   error
	hangs bool // until ctx is done
}

type call struct {
	after uint64
	at    time.Duration // since the source was first asked
}

func (s *scripted) Fetch(ctx context.Context, _ Query, after uint64) (any, uint64, error) {
	s.mu.Lock()
	if len(s.asked) == 0 {
		s.began = time.Now()
	}
	s.asked = append(s.asked, call{after, time.Since(s.began)})
	next := step{hangs: true}
	if len(s.steps) > 0 {
		next, s.steps = s.steps[0], s.steps[1:]
	}
	s.mu.Unlock()
	if next.hangs {
		<-ctx.Done()
		return nil, 0, ctx.Err()
	}
	if !pause.For(ctx, next.takes) {
		return nil, 0, ctx.Err()
	}
	return next.value, next.index, next.err
}

func (s *scripted) afters() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []uint64
	for _, c := range s.asked {
		all = append(all, c.after)
	}
	return all
}

func (s *scripted) times() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []time.Duration
	for _, c := range s.asked {
		all = append(all, c.at)
	}
	return all
}

var web = NewQuery(KindService, "web", nil)

// watchFor watches the query web on a source for a (fake) time and returns the states that were there to take, one for
// each time that something was ready.
func watchFor(t *testing.T, src Source, d time.Duration) []State {
	t.Helper()
	set := NewSet(src, SetConfig{})
	defer set.Close()
	set.Watch(web)
	var states []State
	for end := time.After(d); ; {
		select {
		case <-set.Ready():
			for _, st := range set.Take() {
				states = append(states, st)
			}
		case <-end:
			return states
		}
	}
}

func TestIndexRules(t *testing.T) {
	const wait = 30 * time.Second // what a poll takes that brought no news
	tests := []struct {
		name  string
		steps []step
		asked []uint64 // the indexes that the source was asked to wait on
		want  []any    // the values that came
	}{
		{"the first read is plain", []step{{value: "a", index: 7}}, []uint64{0, 7}, []any{"a"}},
		{"an index that grows", []step{{value: "a", index: 7}, {value: "b", index: 9}}, []uint64{0, 7, 9}, []any{"a", "b"}},
		{"0 is treated as 1", []step{{value: "a"}, {value: "b"}}, []uint64{0, 1, 1}, []any{"a", "b"}},
		{
			"one that goes backwards is asked again from 0, its answer dropped, and the next one confirmed",
			[]step{{value: "a", index: 7}, {value: "dropped", index: 3}, {value: "dropped", index: 3}, {value: "b", index: 4}},
			[]uint64{0, 7, 0, 0, 4}, []any{"a", "b"},
		},
		{
			"back to 0",
			[]step{{value: "a", index: 7}, {value: "dropped", index: 0}, {value: "b", index: 1}, {value: "b", index: 1}},
			[]uint64{0, 7, 0, 0, 1}, []any{"a", "b"},
		},
		{
			"what is older than the answer before is not believed, if the leader knows better",
			[]step{{value: "a", index: 7}, {err: errors.New("gone")}, {value: "old", index: 5}, {value: "a", index: 7}, {value: "b", index: 8}},
			[]uint64{0, 7, 0, 0, 7}, []any{"a", "a", "a", "b"}, // the second "a" comes with the error, the third without
		},
		{
			"the same index after a wait",
			[]step{{value: "a", index: 7}, {takes: wait, value: "a", index: 7}},
			[]uint64{0, 7, 7}, []any{"a"},
		},
		{
			"another answer under the same index counts",
			[]step{{value: "a", index: 7}, {takes: wait, value: "b", index: 7}},
			[]uint64{0, 7, 7}, []any{"a", "b"},
		},
		{
			"64 bits",
			[]step{{value: "a", index: 1 << 63}, {value: "b", index: 1<<64 - 1}},
			[]uint64{0, 1 << 63, 1<<64 - 1}, []any{"a", "b"},
		},
		{
			"a plain read follows a failure",
			[]step{{value: "a", index: 7}, {err: errors.New("gone")}, {value: "b", index: 8}},
			[]uint64{0, 7, 0, 8}, []any{"a", "a", "b"}, // the second "a" comes with the error
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				src := &scripted{steps: slices.Clone(test.steps)}
				for i := range src.steps { // so that the reader sees each answer
					src.steps[i].takes = max(src.steps[i].takes, time.Second)
				}
				var values []any
				for _, st := range watchFor(t, src, 2*time.Minute) {
					values = append(values, st.Value)
				}
				if got := src.afters(); !slices.Equal(got[:len(test.asked)], test.asked) {
					t.Errorf("asked after %v, want %v", got, test.asked)
				}
				if !slices.Equal(values[:min(len(values), len(test.want))], test.want) {
					t.Errorf("got %v, want %v", values, test.want)
				}
			})
		})
	}
}

// R3: an answer equal to the last changes nothing; an error changes nothing but the status.
func TestR3CutOff(t *testing.T) {
	instance := func(output string, index uint64) []*HealthService {
		return []*HealthService{{ID: "web-1", Checks: []*HealthCheck{{CheckID: "c", Status: "passing", Output: output, ModifyIndex: index}}}}
	}
	inBubble(t, func(t *testing.T) {
		gone := errors.New("gone")
		src := &scripted{steps: []step{
			{value: instance("a", 1), index: 1},
			{takes: time.Minute, value: instance("b", 2), index: 2}, // only what a check has printed
			{takes: time.Minute, err: gone},
			{value: instance("c", 3), index: 3},
			{takes: time.Minute, value: []*HealthService{}, index: 4},
			{value: []*HealthService{}, index: 4}, // confirmed (R11)
		}}
		states := watchFor(t, src, 4*time.Minute)
		if len(states) != 4 {
			t.Fatalf("got %d states, want the answer, the error, its end, and the second answer: %v", len(states), states)
		}
		for i, want := range []struct {
			rev uint64
			err error
		}{{1, nil}, {1, gone}, {1, nil}, {2, nil}} {
			if states[i].Rev != want.rev || !errors.Is(states[i].Err, want.err) {
				t.Errorf("state %d: got %+v, want revision %d and error %v", i, states[i], want.rev, want.err)
			}
		}
		if got := states[1].Value.([]*HealthService); len(got) != 1 {
			t.Errorf("the error took the last good answer away: %v", got)
		}
	})
}

func TestEqual(t *testing.T) {
	service := func(change func(*HealthService)) []*HealthService {
		s := &HealthService{
			Node: "n", NodeMeta: map[string]string{"a": "b"}, Address: "10.0.0.1", ID: "web-1", Name: "web",
			Tags: ServiceTags{"x"}, Checks: []*HealthCheck{{CheckID: "c", Status: "passing"}}, Status: "passing", Port: 80,
		}
		change(s)
		return []*HealthService{s}
	}
	same := func(*HealthService) {}
	pair := func(change func(*KeyPair)) []*KeyPair {
		k := &KeyPair{Path: "a/b", Key: "b", Value: "v"}
		change(k)
		return []*KeyPair{k}
	}
	now, later := time.Unix(1, 0), time.Unix(2, 0)
	peering := func(change func(*Peering)) []*Peering {
		p := &Peering{Name: "p", PeeringState: "ACTIVE", StreamStatus: PeeringStreamStatus{ExportedServices: []string{"web"}, LastSend: &now}}
		change(p)
		return []*Peering{p}
	}
	root := func(change func(*CARoot)) []*CARoot {
		r := &CARoot{ID: "r", RootCertPEM: "pem", NotAfter: &now}
		change(r)
		return []*CARoot{r}
	}
	leaf := func(change func(*LeafCert)) *LeafCert {
		l := &LeafCert{SerialNumber: "1", CertPEM: "pem", ValidBefore: now}
		change(l)
		return l
	}
	tests := []struct {
		name string
		a, b any
		want bool
	}{
		{"nothing", nil, nil, true},
		{"texts", "a", "a", true},
		{"other texts", "a", "b", false},
		{"a text and nothing", "", nil, false},
		{"instances", service(same), service(same), true},
		{"check output", service(same), service(func(s *HealthService) { s.Checks[0].Output = "x" }), true},
		{"check indexes", service(same), service(func(s *HealthService) { s.Checks[0].ModifyIndex = 9 }), true},
		{"check status", service(same), service(func(s *HealthService) { s.Checks[0].Status = "warning" }), false},
		{"check notes", service(same), service(func(s *HealthService) { s.Checks[0].Notes = "x" }), false},
		{"a check more", service(same), service(func(s *HealthService) { s.Checks = append(s.Checks, s.Checks[0]) }), false},
		{"node", service(same), service(func(s *HealthService) { s.Node = "m" }), false},
		{"node id", service(same), service(func(s *HealthService) { s.NodeID = "m" }), false},
		{"node address", service(same), service(func(s *HealthService) { s.NodeAddress = "m" }), false},
		{"node meta", service(same), service(func(s *HealthService) { s.NodeMeta["a"] = "c" }), false},
		{"node addresses", service(same), service(func(s *HealthService) { s.NodeTaggedAddresses = map[string]string{"a": "b"} }), false},
		{"meta", service(same), service(func(s *HealthService) { s.ServiceMeta = map[string]string{"a": "b"} }), false},
		{"address", service(same), service(func(s *HealthService) { s.Address = "m" }), false},
		{"addresses", service(same), service(func(s *HealthService) { s.ServiceTaggedAddresses = map[string]ServiceAddress{"a": {}} }), false},
		{"id", service(same), service(func(s *HealthService) { s.ID = "m" }), false},
		{"name", service(same), service(func(s *HealthService) { s.Name = "m" }), false},
		{"tags", service(same), service(func(s *HealthService) { s.Tags = ServiceTags{"y"} }), false},
		{"status", service(same), service(func(s *HealthService) { s.Status = "warning" }), false},
		{"port", service(same), service(func(s *HealthService) { s.Port = 81 }), false},
		{"weights", service(same), service(func(s *HealthService) { s.Weights.Passing = 2 }), false},
		{"an instance less", service(same), []*HealthService{}, false},
		{"keys", pair(func(*KeyPair) {}), pair(func(k *KeyPair) { k.ModifyIndex, k.CreateIndex, k.LockIndex = 1, 2, 3 }), true},
		{"a key's value", pair(func(*KeyPair) {}), pair(func(k *KeyPair) { k.Value = "w" }), false},
		{"a key's flags", pair(func(*KeyPair) {}), pair(func(k *KeyPair) { k.Flags = 1 }), false},
		{"a key's session", pair(func(*KeyPair) {}), pair(func(k *KeyPair) { k.Session = "s" }), false},
		{"peerings", peering(func(*Peering) {}), peering(func(*Peering) {}), true},
		{"a peering's last messages", peering(func(*Peering) {}), peering(func(p *Peering) {
			p.StreamStatus.LastSend, p.StreamStatus.LastReceive, p.StreamStatus.LastHeartbeat = &later, &later, &later
		}), true},
		{"a peering's first message", peering(func(*Peering) {}), peering(func(p *Peering) { p.StreamStatus.LastSend = nil }), true},
		{"a peering's state", peering(func(*Peering) {}), peering(func(p *Peering) { p.PeeringState = "FAILING" }), false},
		{"a peering's services", peering(func(*Peering) {}), peering(func(p *Peering) { p.StreamStatus.ExportedServices = nil }), false},
		{"a peering's remote", peering(func(*Peering) {}), peering(func(p *Peering) { p.Remote.Datacenter = "x" }), false},
		{"a peering less", peering(func(*Peering) {}), []*Peering{}, false},
		{"roots", root(func(*CARoot) {}), root(func(r *CARoot) { r.CreateIndex, r.ModifyIndex = 1, 2 }), true},
		{"a root's activity", root(func(*CARoot) {}), root(func(r *CARoot) { r.Active = true }), false},
		{"a root's end", root(func(*CARoot) {}), root(func(r *CARoot) { r.NotAfter = &later }), false},
		{"a root less", root(func(*CARoot) {}), []*CARoot{}, false},
		{"leaves", leaf(func(*LeafCert) {}), leaf(func(l *LeafCert) { l.CreateIndex, l.ModifyIndex = 1, 2 }), true},
		{"a leaf's certificate", leaf(func(*LeafCert) {}), leaf(func(l *LeafCert) { l.CertPEM = "x" }), false},
		{"a leaf's end", leaf(func(*LeafCert) {}), leaf(func(l *LeafCert) { l.ValidBefore = later }), false},
		{"a leaf and none", leaf(func(*LeafCert) {}), nil, false},
		{"partitions", []*Partition{{Name: "a"}}, []*Partition{{Name: "a"}}, true},
		{"a partition's description", []*Partition{{Name: "a"}}, []*Partition{{Name: "a", Description: "x"}}, false},
		{"exported services", []ExportedService{{Service: "a"}}, []ExportedService{{Service: "a"}}, true},
		{"an exported service's consumers", []ExportedService{{Service: "a"}}, []ExportedService{{Service: "a", Consumers: ServiceConsumers{Peers: []string{"p"}}}}, false},
		{"imported services", []ImportedService{{Service: "a"}}, []ImportedService{{Service: "b"}}, false},
		{"other types", pair(func(*KeyPair) {}), service(same), false},
		{"names", []string{"a"}, []string{"a"}, true},
		{"other names", []string{"a"}, []string{"b"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Equal(test.a, test.b); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if got := Equal(test.b, test.a); got != test.want {
				t.Errorf("the other way round: got %v, want %v", got, test.want)
			}
		})
	}
}

// A source that fails is asked less and less often, but never less often than lets its return be noticed in seconds.
func TestBackOff(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &scripted{}
		for range 1000 {
			src.steps = append(src.steps, step{err: errors.New("gone")})
		}
		watchFor(t, src, 2*time.Minute)
		times := src.times()
		if n := len(times); n < 24 || n > 60 {
			t.Errorf("asked %d times in two minutes", n)
		}
		for i := 1; i < len(times); i++ {
			if gap := times[i] - times[i-1]; gap > DefaultMaxBackoff {
				t.Errorf("gap %d is %s, more than %s", i, gap, DefaultMaxBackoff)
			}
		}
	})
}

func TestBackoffIsJittered(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 100 {
		d := pause.Backoff(3, time.Second, time.Minute)
		if d < 4*time.Second || d > 8*time.Second {
			t.Fatalf("got %s, want between 4s and 8s", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("only %d different pauses of 100", len(seen))
	}
	if d := pause.Backoff(1000, time.Second, time.Minute); d > time.Minute || d < 30*time.Second {
		t.Errorf("got %s after 1000 failures", d)
	}
}

// Wake-ups that bring nothing new are taken ever less often; a change ends that.
func TestIdleWakeUps(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &scripted{}
		for i := range 1000 {
			src.steps = append(src.steps, step{value: "a", index: uint64(i + 1)})
		}
		watchFor(t, src, time.Minute)
		if n := len(src.afters()); n < 8 || n > 14 {
			t.Errorf("took %d wake-ups in a minute", n)
		}
	})
	inBubble(t, func(t *testing.T) {
		src := &scripted{}
		for i := range 50 {
			src.steps = append(src.steps, step{value: fmt.Sprint(i), index: uint64(i + 1)})
		}
		watchFor(t, src, time.Second)
		if times := src.times(); len(times) < 50 || times[49] > 0 {
			t.Errorf("real changes were slowed down: %v", times)
		}
	})
}

// The mailbox holds states: a reader who comes late finds the newest, and an error does not hide the answer before it.
func TestMailbox(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &scripted{steps: []step{
			{value: "a", index: 1}, {value: "b", index: 2}, {value: "c", index: 3}, {err: errors.New("gone")},
		}}
		set := NewSet(src, SetConfig{})
		defer set.Close()
		set.Watch(web)
		set.Watch(web)
		synctest.Wait()
		<-set.Ready()
		states := set.Take()
		if st := states[web]; len(states) != 1 || st.Value != "c" || st.Rev != 3 || st.Err == nil {
			t.Errorf("got %+v", states)
		}
		select {
		case <-set.Ready():
			t.Error("ready although everything is taken")
		default:
		}
		if again := set.Take(); len(again) != 0 {
			t.Errorf("taken twice: %v", again)
		}
	})
}

func TestForget(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &scripted{steps: []step{{value: "a", index: 1}, {takes: time.Second, value: "b", index: 2}}}
		set := NewSet(src, SetConfig{})
		defer set.Close()
		set.Watch(web)
		synctest.Wait()
		set.Forget(web)
		set.Forget(web)
		time.Sleep(time.Minute)
		if states := set.Take(); len(states) != 0 {
			t.Errorf("states of a forgotten query: %v", states)
		}
		src.mu.Lock()
		src.steps = []step{{value: "c", index: 3}}
		src.mu.Unlock()
		set.Watch(web)
		synctest.Wait()
		if st := set.Take()[web]; st.Value != "c" || st.Rev != 1 {
			t.Errorf("watched again: got %+v", st)
		}
	})
}

// Close waits for all goroutines (synctest fails if one is left), and a closed set watches nothing.
func TestClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &scripted{}
		set := NewSet(src, SetConfig{})
		for i := range 100 {
			set.Watch(NewQuery(KindKV, fmt.Sprint(i), nil))
		}
		synctest.Wait()
		set.Close()
		set.Close()
		set.Watch(web)
		if n := len(src.afters()); n != 100 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestQueryString(t *testing.T) {
	tests := []struct {
		query Query
		want  string
	}{
		{NewQuery(KindService, "web", nil), "service web"},
		{NewQuery(KindNodes, "", nil), "nodes"},
		{NewQuery(KindKV, "app/port", map[string][]string{OptDatacenter: {"dc2"}}), "kv app/port (dc=dc2)"},
	}
	for _, test := range tests {
		if got := test.query.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestByKindWithoutSource(t *testing.T) {
	_, _, err := ByKind{KindFile: &scripted{}}.Fetch(t.Context(), web, 0)
	if err == nil || !strings.Contains(err.Error(), `the kind "service"`) {
		t.Errorf("got %v", err)
	}
}

// A change that a waiting request does not bring is found by a plain read beside it, and counted.
func TestReread(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T) {
		src := &lossy{value: "a", index: 7}
		fl := follow(t, src, SetConfig{}, web)
		later(time.Second)
		src.put("b", false)
		changed := time.Now()
		for fl.of(web).Value != "b" && time.Since(changed) < 2*rereadEvery {
			later(time.Second)
		}
		took := time.Since(changed)
		if took > rereadEvery+rereadGrace+2*time.Second || took < rereadEvery*3/4 || fl.set.Missed() != 1 || fl.errors() != 0 {
			t.Errorf("took %s; %d missed, %d errors", took, fl.set.Missed(), fl.errors())
		}
		later(10 * rereadEvery)
		if n := src.plain(); n < 11 || n > 18 {
			t.Errorf("%d plain reads", n)
		}
		src.put("c", false)
		later(rereadEvery + rereadGrace + 2*time.Second)
		if fl.of(web).Value != "c" || fl.set.Missed() != 2 {
			t.Errorf("%v, %d missed", fl.of(web).Value, fl.set.Missed())
		}
	})
}

// A source that does not want it has no query read beside the requests that wait; nobody else decides.
func TestRereader(t *testing.T) {
	key := NewQuery(KindKV, "k", nil)
	tests := []struct {
		name  string
		of    func(*lossy) Source
		query Query
		want  bool
	}{
		{"the source wants it", func(l *lossy) Source { return l }, web, true},
		{"the source does not want it", func(l *lossy) Source { l.faithful = true; return l }, web, false},
		{"by kind", func(l *lossy) Source { return ByKind{KindService: l} }, web, true},
		{"of another kind", func(l *lossy) Source { return ByKind{KindService: l, KindKV: &scripted{}} }, key, false},
		{"of no kind", func(l *lossy) Source { return ByKind{KindService: l} }, key, false},
		{"by switch", func(l *lossy) Source { sw := NewSwitch(&scripted{}); sw.Use(l); return sw }, web, true},
		{"by switch from one that wants it", func(l *lossy) Source { sw := NewSwitch(l); sw.Use(&scripted{}); return sw }, web, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := rereads(test.of(&lossy{}), test.query); got != test.want {
				t.Errorf("got %v", got)
			}
			inBubble(t, func(t *testing.T) {
				src := &lossy{value: "a", index: 7}
				follow(t, test.of(src), SetConfig{}, test.query)
				later(5 * rereadEvery)
				if n := src.plain(); (n > 1) != test.want {
					t.Errorf("%d plain reads", n)
				}
			})
		})
	}
}

// 500 quiet queries cost about five plain reads a minute, spread over time.
func TestRereadsAreFew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &sleepy{}
		var queries []Query
		for i := range 500 {
			queries = append(queries, NewQuery(KindKV, fmt.Sprint(i), nil))
		}
		follow(t, src, SetConfig{}, queries...)
		later(time.Minute)
		began, most := src.reads.Load(), int64(0)
		const hours = 10
		for range hours * 60 {
			before := src.reads.Load()
			later(time.Minute)
			most = max(most, src.reads.Load()-before)
		}
		if n := float64(src.reads.Load()-began) / (hours * 60); n > 5 || n < 4 || most > 40 {
			t.Errorf("%.1f plain reads a minute, at most %d", n, most)
		}
	})
}

// A sleepy source never has another answer.
type sleepy struct{ reads atomic.Int64 }

func (s *sleepy) Fetch(ctx context.Context, _ Query, after uint64) (any, uint64, error) {
	if after != 0 {
		<-ctx.Done()
		return nil, 0, ctx.Err()
	}
	s.reads.Add(1)
	return "a", 1, nil
}

func (s *sleepy) Reread(Query) bool { return true }

// A change that the waiting request brings, only later than the plain read has seen it, is none that was missed; neither
// are many one after the other.
func TestRereadRaces(t *testing.T) {
	t.Parallel()
	for name, every := range map[string]time.Duration{"a change": 0, "changes": time.Second} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				src := &lossy{value: "0", index: 7, late: 3 * time.Second}
				fl := follow(t, src, SetConfig{}, web)
				stop := time.Now().Add(5 * rereadEvery)
				for i := 1; time.Now().Before(stop); i++ {
					reads := src.plain()
					for every == 0 && src.plain() == reads && time.Now().Before(stop) {
						time.Sleep(time.Second)
					}
					src.put(fmt.Sprint(i), true)
					later(max(every, time.Millisecond))
				}
				later(time.Minute)
				if n := fl.set.Missed(); n != 0 {
					t.Errorf("%d missed", n)
				}
				if fl.of(web).Value != src.value {
					t.Errorf("the value is %v, want %v", fl.of(web).Value, src.value)
				}
			})
		})
	}
}

// A lossy source tells those who wait of a change late, or not at all.
type lossy struct {
	mu    sync.Mutex
	value string
	index uint64
	told  uint64 // the index that those who wait know of
	late  time.Duration
	reads int

	faithful bool // wants no rereads
}

func (l *lossy) put(value string, tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value = value
	l.index++
	if index := l.index; tell {
		time.AfterFunc(l.late, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.told = max(l.told, index)
		})
	}
}

func (l *lossy) plain() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reads
}

func (l *lossy) Reread(Query) bool { return !l.faithful }

func (l *lossy) Fetch(ctx context.Context, _ Query, after uint64) (any, uint64, error) {
	for {
		l.mu.Lock()
		if after == 0 {
			l.reads++
		}
		value, index, told := l.value, l.index, l.told
		l.mu.Unlock()
		if after == 0 || told > after {
			return value, index, nil
		}
		if !pause.For(ctx, time.Second) {
			return nil, 0, ctx.Err()
		}
	}
}

// A set that is to ask once stops where there is an answer, and goes on where there is none, or nothing.
func TestOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &scripted{steps: []step{{value: nil, index: 1}, {err: errors.New("gone")}, {err: errors.New("gone")}, {value: "a", index: 2}, {value: "b", index: 3}}}
		fl := follow(t, src, SetConfig{Once: true}, web)
		later(time.Hour)
		if st := fl.of(web); st.Value != "a" || st.Rev != 2 || st.Err != nil {
			t.Errorf("got %+v", st)
		}
		if n := len(src.afters()); n != 4 {
			t.Errorf("asked %d times", n)
		}
		if fl.errors() != 2 {
			t.Errorf("%d failures are reported, want each", fl.errors())
		}
	})
}

// Failures in a row are counted, and the pauses between attempts are those that are set.
func TestSetConfig(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &scripted{}
		for range 6 {
			src.steps = append(src.steps, step{err: errors.New("gone")})
		}
		src.steps = append(src.steps, step{value: "a", index: 1}, step{err: errors.New("gone")})
		fl := follow(t, src, SetConfig{Backoff: 2 * time.Second, MaxBackoff: 20 * time.Second, Once: true}, web)
		var failures []int
		for range 70 {
			later(time.Second)
			if st := fl.of(web); len(failures) == 0 || failures[len(failures)-1] != st.Failures {
				failures = append(failures, st.Failures)
			}
		}
		if want := []int{1, 2, 3, 4, 5, 6, 0}; !slices.Equal(failures, want) {
			t.Errorf("failures %v, want %v", failures, want)
		}
		times := src.times()
		for i, most := range []time.Duration{2, 4, 8, 16, 20, 20} {
			if gap := times[i+1] - times[i]; gap > most*time.Second || gap < most*time.Second/2 {
				t.Errorf("pause %d is %s, want up to %d s, and at least half of it", i+1, gap, most)
			}
		}
	})
}

// Indexes that go back are no doubt by themselves: the leader is asked only about another answer, or the loss of all.
func TestConfirmsWhatDiffers(t *testing.T) {
	tests := []struct {
		name         string
		value, after any
		want         int64
	}{
		{"the same", []string{"a"}, []string{"a"}, 0},
		{"the same to a reader", []*KeyPair{{Path: "k", ModifyIndex: 7}}, []*KeyPair{{Path: "k", ModifyIndex: 3}}, 0},
		{"nothing, as before", []string{}, []string{}, 0},
		{"another", []string{"a"}, []string{"b"}, 1},
		{"all is lost", []string{"a"}, []string{}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				src := &restored{shelf: shelf{value: test.value, index: 1000}, later: test.after}
				fl := follow(t, src, SetConfig{}, web)
				later(10 * time.Minute)
				if n := src.confirms.Load(); n != test.want {
					t.Errorf("asked the leader %d times, want %d", n, test.want)
				}
				if n := src.plain.Load(); n != 2 {
					t.Errorf("%d plain reads, want the first and one after the indexes went back", n)
				}
				if st := fl.of(web); !Equal(st.Value, test.after) || st.Err != nil {
					t.Errorf("got %+v", st)
				}
			})
		})
	}
}

// A restored source has another value under a lower index after its first wait.
type restored struct {
	shelf
	later any
}

func (r *restored) Fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	value, index, err := r.shelf.Fetch(ctx, q, after)
	if after == 1000 {
		r.value, r.index = r.later, 7
		return r.value, r.index, err
	}
	return value, index, err
}

// An answer that takes a key or a list to nothing is confirmed by a source that can; of another it is believed at once, after
// a second look.
func TestR11Confirm(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &scripted{steps: []step{
			{value: "a", index: 7}, {takes: time.Second, value: nil, index: 8}, {value: "a", index: 9}, // the second look sees it again
			{takes: time.Second, value: "a", index: 9}, {takes: time.Second, value: nil, index: 10}, {value: nil, index: 10},
		}}
		states := watchFor(t, src, time.Minute)
		var got []string
		for _, st := range states {
			got = append(got, fmt.Sprintf("%v %d %v", st.Value, st.Rev, st.Err != nil))
		}
		if want := []string{"a 1 false", "a 1 true", "a 1 false", "<nil> 2 false"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// The queries of a kind can have pauses of their own after failures.
func TestBackoffOfKind(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		src := &scripted{}
		for range 1000 {
			src.steps = append(src.steps, step{err: errors.New("gone")})
		}
		follow(t, src, SetConfig{BackoffOf: map[string]Backoff{web.Kind: {Base: 20 * time.Second, Most: time.Minute}, "other": {Base: time.Millisecond, Most: time.Millisecond}}}, web)
		later(10 * time.Minute)
		if n := len(src.times()); n < 10 || n > 22 {
			t.Errorf("asked %d times in ten minutes", n)
		}
	})
}
