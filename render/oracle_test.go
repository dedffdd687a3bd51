package render

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"render/render/graph"
	"render/render/pace"
	"render/render/run"
	"render/template"
	"render/watch"
)

// TestOracle plays random histories of answers against an engine with random templates. Whenever all is quiet each file
// has to hold what a render from scratch gives for the answers of that moment. Where that cannot finish, the file has to
// hold what it gave at an earlier moment; this is checked in about every second history, whose changes come one by one. In the
// others they come in bursts, and the engine may well see the second of two changes before the first.
//
// Every third history is played a second time, where each target has a twin with the same template, which sees lists of
// instances by a guard, a delay or both. When all is quiet its file has to hold what a render from scratch gives, too,
// unless a guard holds something back; and at the end, when all instances are there, in any case.
//
// The others are played a second time, too, half of them with twins: there a new configuration comes now and then, with
// targets that are new, gone, made of another text or of another action, or with a fault.
func TestOracle(t *testing.T) {
	histories := 150
	if testing.Short() {
		histories = 50
	}
	for seed := range uint64(histories) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) { playHistory(t, r, rand.New(rand.NewPCG(seed, 1)), nil, nil) })
		})
		if seed%3 != 0 {
			t.Run(fmt.Sprint(seed, " with reloads"), func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T, r *rig) {
					var ofTwins *rand.Rand
					if seed%3 == 2 {
						ofTwins = rand.New(rand.NewPCG(seed, 2))
					}
					playHistory(t, r, rand.New(rand.NewPCG(seed, 1)), ofTwins, rand.New(rand.NewPCG(seed, 3)))
				})
			})
			continue
		}
		t.Run(fmt.Sprint(seed, " with twins"), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) {
				playHistory(t, r, rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2)), nil)
			})
		})
	}
}

// What the templates are made of: few names, so that they share queries, and questions that depend on answers.
var fragments = []string{
	`{{key "a"}}`,
	`{{key "b"}}`,
	`{{keyOrDefault "c" "none"}}`,
	`{{key_or_default "b" "none"}}{{keyExists (name "c")}}`,
	`{{range safeLs "dir/"}}{{.Key}}={{.Value}};{{end}}`,
	`{{range safeTree "dir"}}{{.Path}} {{key (name .Value)}} {{end}}`,
	`{{range connect "web"}}{{.Address}} {{keyOrDefault (name (printf "port/%s" .Address)) "80"}} {{end}}`,
	`{{range service (name "db") (status "any")}}{{.Address}}:{{.Status}} {{end}}`,
	`{{range partitions}}{{.Name}} {{range importedServices .Name}}{{.Service}} {{end}}{{end}}`,
	`{{with caLeaf "web"}}{{.CertPEM}}{{else}}none{{end}}`,
	`{{if keyExists "a"}}{{key "c"}}{{else}}{{key "b"}}{{end}}`,
	`{{key (key "pointer")}}`,
	`{{range ls "dir/"}}{{.Key}}={{.Value}};{{keyOrDefault .Value "-"}} {{end}}`,
	`{{range tree "dir"}}{{.Path}} {{end}}`,
	`{{range services}}{{.Name}}:{{range service .Name}}{{.Address}}:{{.Port}} {{end}}{{end}}`,
	`{{range service "web"}}{{.Address}} {{keyOrDefault (printf "port/%s" .Address) "80"}} {{end}}`,
	`{{(index (service "web") 0).Address}}`,
	`{{with service "api"}}{{(index . 0).Address}}{{else}}nobody{{end}}`,
	`{{parseInt (key "number")}}`,
	`{{range nodes}}{{.Node}} {{with node .Node}}{{len .Services}}{{end}} {{end}}`,
	`{{file "/etc/some file"}}`,
	"text\n",
}

type played struct {
	random  *rand.Rand
	answers map[watch.Query]any // of the queries that have one

	// The configuration.
	subjects []*subject
	before   map[string]*subject // by name, those that were there once
	implied  Action
	env      []string
}

// subject is a target, with what is expected of it.
type subject struct {
	name    string
	scratch *template.Template
	target  Target
	twin    *Target
	earlier map[string]bool // what a render from scratch gave
}

func playHistory(t *testing.T, r *rig, random, ofTwins, ofReloads *rand.Rand) {
	h := &played{random: random, answers: make(map[watch.Query]any), before: make(map[string]*subject)}
	bursts := random.IntN(2) == 0
	n := 1 + random.IntN(4)
	// For all waits, spacings, retries, back-offs, and a report of what is blocked (R5 (c)).
	quiet := 70 * time.Second
	if ofTwins != nil {
		quiet = 5 * time.Minute // for holds, too, one of which may come of another
	}
	for i := range n {
		h.add(t, r, fmt.Sprint(i), random, ofTwins)
	}
	switch random.IntN(3) {
	case 0:
		h.implied.Wait = pace.Wait{Min: time.Second, Max: 3 * time.Second}
	case 1:
		for i, s := range h.subjects { // an action each: none waits for another
			s.target.Command = run.Command{Args: []string{"true", fmt.Sprint(i)}}
			if s.twin != nil {
				s.twin.Command = run.Command{Args: []string{"true", fmt.Sprint(n + i)}}
			}
		}
	}
	for range random.IntN(10) {
		h.change(r.world)
	}
	r.start(h.config())
	h.note()
	for step := range 40 {
		for range 1 + random.IntN(4) {
			if ofReloads != nil && ofReloads.IntN(4) == 0 {
				h.reload(t, r, ofReloads, ofTwins)
				h.note()
			}
			h.change(r.world)
			h.note()
			if !bursts || random.IntN(2) == 0 {
				elapse(time.Duration(random.IntN(1500)) * time.Millisecond)
			}
		}
		elapse(quiet)
		if step%8 == 7 {
			r.wantSnapshot()
		}
		for _, s := range h.subjects {
			got := r.read(s.name)
			result := s.scratch.Execute(context.Background(), h.lookup)
			switch {
			case result.Finished() && !h.mayWait(s) && got != string(result.Output):
				t.Fatalf("step %d: file %s holds %q, a render from scratch gives %q\ntemplate: %s\nanswers: %v\nlog:\n%s",
					step, s.name, got, result.Output, r.read(s.name+".ctmpl"), h.answers, r.log)
			case !bursts && !s.earlier[got]:
				t.Fatalf("step %d: file %s holds %q, which no render from scratch has given\ntemplate: %s", step, s.name, got, r.read(s.name+".ctmpl"))
			}
		}
		if ofTwins == nil || wantTwins(t, r, h) {
			wantOnlyUsed(t, r, h)
		}
	}
	if ofTwins == nil {
		return
	}
	for _, q := range instanceQueries {
		h.answers[q] = instances(q.Name, "10.0.0.1", "10.0.0.2", "10.0.0.3")
		r.world.set(q, h.answers[q])
	}
	elapse(quiet)
	if !wantTwins(t, r, h) {
		t.Fatalf("a guard holds back that all instances are there:\n%+v", r.status().Targets)
	}
}

// add adds a target of a random text, and its twin.
func (h *played) add(t *testing.T, r *rig, name string, random, ofTwins *rand.Rand) {
	s := h.before[name]
	if s == nil {
		s = &subject{name: name, earlier: map[string]bool{"no file": true}}
		h.before[name] = s
	}
	h.subjects = append(h.subjects, s)
	s.target = r.target(name, "")
	if ofTwins != nil {
		twinned := twin(ofTwins, r.target("twin "+name, ""))
		s.twin = &twinned
	}
	s.rewrite(t, r, random)
}

// rewrite gives a target, and its twin, another text.
func (s *subject) rewrite(t *testing.T, r *rig, random *rand.Rand) {
	var text strings.Builder
	for range 1 + random.IntN(4) {
		text.WriteString(fragments[random.IntN(len(fragments))])
	}
	var err error
	if s.scratch, err = template.Parse("scratch", text.String(), template.Options{}); err != nil {
		t.Fatal(err)
	}
	r.write(s.name+".ctmpl", text.String())
	if s.twin != nil {
		r.write("twin "+s.name+".ctmpl", text.String())
	}
}

// shared is an action that several targets may have.
const shared = "shared"

func (h *played) config() Config {
	cfg := Config{Implied: h.implied, Env: h.env, Actions: []Action{
		{Name: shared, Command: run.Command{Args: []string{"true"}}, Spacing: time.Second},
		{Name: "unused"},
	}}
	for _, s := range h.subjects {
		cfg.Targets = append(cfg.Targets, s.target)
	}
	for _, s := range h.subjects {
		if s.twin != nil {
			cfg.Targets = append(cfg.Targets, *s.twin)
		}
	}
	return cfg
}

// reload changes the configuration in one to three ways.
func (h *played) reload(t *testing.T, r *rig, random, ofTwins *rand.Rand) {
	for range 1 + random.IntN(3) {
		one := h.subjects[random.IntN(len(h.subjects))]
		switch random.IntN(8) {
		case 0:
			if name := fmt.Sprint(random.IntN(6)); !slices.ContainsFunc(h.subjects, func(s *subject) bool { return s.name == name }) {
				h.add(t, r, name, random, ofTwins)
			}
		case 1:
			if len(h.subjects) > 1 {
				h.subjects = slices.DeleteFunc(h.subjects, func(s *subject) bool { return s == one })
			}
		case 2:
			one.rewrite(t, r, random)
		case 3:
			one.target.Action, one.target.Command = "", run.Command{Args: []string{"true", one.name, fmt.Sprint(random.IntN(2))}}
		case 4:
			one.target.Action, one.target.Command = shared, run.Command{}
		case 5:
			one.target.Action, one.target.Command = "", run.Command{}
			h.implied.Wait = pace.Wait{Max: time.Duration(random.IntN(3)) * time.Second}
		case 6:
			if one.twin != nil {
				*one.twin = twin(ofTwins, Target{
					Source: one.twin.Source, Destination: one.twin.Destination, Command: one.twin.Command,
				})
			}
			h.env = []string{fmt.Sprint("N=", random.IntN(2))}
		case 7:
			random.Shuffle(len(h.subjects), func(i, j int) { h.subjects[i], h.subjects[j] = h.subjects[j], h.subjects[i] })
		}
	}
	cfg := h.config()
	if random.IntN(4) == 0 {
		broken := cfg
		broken.Targets = append(slices.Clone(cfg.Targets), Target{Source: "broken", Contents: "{{", Destination: r.path("broken")})
		if err := r.engine.Apply(t.Context(), broken); err == nil {
			t.Fatal("a broken configuration was taken")
		}
	}
	if err := r.engine.Apply(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for i, s := range r.status().Targets {
		if s.Destination != cfg.Targets[i].Destination {
			t.Fatalf("target %d is %s, want %s", i, s.Destination, cfg.Targets[i].Destination)
		}
	}
}

// mayWait reports whether another target of its action may keep a target's file from being written.
func (h *played) mayWait(s *subject) bool {
	return s.target.Action == shared && slices.ContainsFunc(h.subjects, func(s *subject) bool {
		return s.target.Action == shared && !s.scratch.Execute(context.Background(), h.lookup).Finished()
	})
}

// note notes what a render from scratch gives now.
func (h *played) note() {
	for _, s := range h.subjects {
		if result := s.scratch.Execute(context.Background(), h.lookup); result.Finished() {
			s.earlier[string(result.Output)] = true
		}
	}
}

var instanceQueries = []watch.Query{
	service("web"), service("api"), service("db"),
	watch.NewQuery(watch.KindService, "db", url.Values{watch.OptStatus: {watch.StatusAny}}),
	watch.NewQuery(watch.KindConnect, "web", nil),
}

// twin gives a target a guard, a delay or both.
func twin(random *rand.Rand, target Target) Target {
	if random.IntN(3) > 0 {
		target.RemoveDelay = time.Duration(1+random.IntN(20)) * time.Second
	}
	if target.RemoveDelay == 0 || random.IntN(2) > 0 {
		target.Guard = graph.Guard{
			Min:     1 + random.IntN(3),
			MaxDrop: []float64{0, 0.4, 0.6}[random.IntN(3)],
			Hold:    time.Duration(1+random.IntN(40)) * time.Second,
			Then:    []graph.GuardThen{graph.Keep, graph.Accept, graph.Fail}[random.IntN(3)],
		}
	}
	return target
}

// wantTwins checks the files of twins, and reports whether no guard holds anything back.
func wantTwins(t *testing.T, r *rig, h *played) (unheld bool) {
	t.Helper()
	unheld = true
	all := r.status().Targets[len(h.subjects):]
	for i, subject := range h.subjects {
		s := all[i]
		result, got := subject.scratch.Execute(context.Background(), h.lookup), r.read("twin "+subject.name)
		switch accepts := subject.twin.Guard.Then == graph.Accept; {
		case len(s.Held) > 0 && accepts:
			t.Fatalf("twin %s: still held, long after it was to be accepted: %+v\nlog:\n%s", subject.name, s, r.log)
		case len(s.Held) > 0:
			unheld = false
		case result.Finished() && got != string(result.Output):
			t.Fatalf("twin %s holds %q, a render from scratch gives %q\ntemplate: %s\nanswers: %v\nstatus: %+v\nlog:\n%s",
				subject.name, got, result.Output, r.read(subject.name+".ctmpl"), h.answers, s, r.log)
		}
	}
	return unheld
}

// wantOnlyUsed checks that all that finished targets use is watched and, where all are finished, nothing else (R6).
func wantOnlyUsed(t *testing.T, r *rig, h *played) {
	t.Helper()
	used := make(map[string]bool)
	allFinished := true
	for _, s := range h.subjects {
		result := s.scratch.Execute(context.Background(), h.lookup)
		if !result.Finished() {
			allFinished = false
			continue
		}
		for _, q := range result.Used {
			used[q.String()] = true
		}
	}
	watched := make(map[string]bool)
	_ = r.status() // the loop has nothing to do
	for q := range r.engine.graph.All() {
		watched[q.String()] = true
	}
	_ = r.status()
	for q := range used {
		if !watched[q] {
			t.Fatalf("%s is used and not watched; watched are %v", q, slices.Sorted(maps.Keys(watched)))
		}
	}
	if allFinished && len(watched) > len(used) {
		t.Fatalf("watched are %v, used only %v", slices.Sorted(maps.Keys(watched)), slices.Sorted(maps.Keys(used)))
	}
}

func (h *played) lookup(q watch.Query) (any, bool) {
	value, ok := h.answers[q]
	return value, ok
}

// change gives a random query a random answer, or lets it fail for a while first.
func (h *played) change(w *world) {
	q, value := h.draw()
	old, known := h.answers[q]
	if known && reflect.DeepEqual(old, value) {
		return // would be an idle wake-up, and delay the next change of this query (see below)
	}
	if h.random.IntN(5) == 0 {
		w.fail(q, errGone) // takes nothing away
		elapse(time.Duration(h.random.IntN(8000)) * time.Millisecond)
		known = false
	}
	w.set(q, value)
	h.answers[q] = value
	if !known {
		// Its watcher may be in a back-off. Changes of other queries that came meanwhile would be seen before this one:
		// right, but not a moment that this test knows.
		elapse(6 * time.Second)
	}
}

func (h *played) draw() (watch.Query, any) {
	pick := func(all ...string) string { return all[h.random.IntN(len(all))] }
	some := func(all ...string) []string {
		return slices.DeleteFunc(all, func(string) bool { return h.random.IntN(2) == 0 })
	}
	orNone := func(value any) any {
		if h.random.IntN(4) == 0 {
			return nil
		}
		return value
	}
	switch h.random.IntN(12) {
	case 0:
		return kv(pick("a", "b", "c")), orNone(pick("1", "2", ""))
	case 1:
		return kv("pointer"), orNone(pick("a", "b", "number"))
	case 2:
		return kv("number"), orNone(pick("1", "2", "x"))
	case 3:
		keys := []*watch.KeyPair{}
		for _, k := range some("x", "y", "z/deep", "") {
			keys = append(keys, &watch.KeyPair{Path: "dir/" + k, Key: k, Value: pick("a", "b", "c")})
		}
		p := pick("dir/", "dir")
		if p == "dir" {
			for _, k := range keys {
				k.Key = strings.TrimPrefix(k.Path, "dir/")
			}
		}
		return prefix(p), keys
	case 4:
		return services, names(some("web", "api", "db")...)
	case 5:
		return kv("port/" + pick("10.0.0.1", "10.0.0.2")), orNone(pick("80", "81"))
	case 6:
		nodes := []*watch.Node{}
		for _, n := range some("n1", "n2") {
			nodes = append(nodes, &watch.Node{Node: n})
		}
		return watch.NewQuery(watch.KindNodes, "", nil), nodes
	case 7:
		name := pick("n1", "n2")
		if h.random.IntN(2) == 0 {
			return watch.NewQuery(watch.KindFile, "/etc/some file", nil), orNone(pick("f", "g"))
		}
		return watch.NewQuery(watch.KindNode, name, nil), orNone(&watch.CatalogNode{
			Node: &watch.Node{Node: name}, Services: make([]*watch.CatalogNodeService, h.random.IntN(3)),
		})
	case 8:
		if h.random.IntN(2) == 0 {
			return watch.NewQuery(watch.KindConnect, "web", nil), instances("web-proxy", some("10.0.0.1", "10.0.0.2")...)
		}
		return watch.NewQuery(watch.KindCALeaf, "web", nil), &watch.LeafCert{CertPEM: pick("one", "two")}
	case 9:
		opts := url.Values{watch.OptStatus: {watch.StatusAny}}
		return watch.NewQuery(watch.KindService, "db", opts), instances("db", some("10.0.0.1", "10.0.0.2")...)
	case 10:
		if h.random.IntN(2) == 0 {
			partitions := []*watch.Partition{}
			for _, name := range some("p", "q") {
				partitions = append(partitions, &watch.Partition{Name: name})
			}
			return watch.NewQuery(watch.KindPartitions, "", nil), partitions
		}
		imported := []watch.ImportedService{}
		for _, name := range some("web", "db") {
			imported = append(imported, watch.ImportedService{Service: name})
		}
		return watch.NewQuery(watch.KindImportedServices, "", url.Values{watch.OptPartition: {pick("p", "q")}}), imported
	default:
		name := pick("web", "api", "db")
		return service(name), instances(name, some("10.0.0.1", "10.0.0.2", "10.0.0.3")...)
	}
}
