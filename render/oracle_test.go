package render

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

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
func TestOracle(t *testing.T) {
	histories := 150
	if testing.Short() {
		histories = 50
	}
	for seed := range uint64(histories) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) { playHistory(t, r, rand.New(rand.NewPCG(seed, 1)), nil) })
		})
		if seed%3 != 0 {
			continue
		}
		t.Run(fmt.Sprint(seed, " with twins"), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) {
				playHistory(t, r, rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2)))
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

type history struct {
	random  *rand.Rand
	answers map[watch.Query]any // of the queries that have one
}

func playHistory(t *testing.T, r *rig, random, ofTwins *rand.Rand) {
	h := &history{random: random, answers: make(map[watch.Query]any)}
	bursts := random.IntN(2) == 0
	var cfg Config
	var scratch []*template.Template
	earlier := make([]map[string]bool, 1+random.IntN(4)) // what a render from scratch gave, by target
	// For all waits, spacings, retries, back-offs, and a report of what is blocked (R5 (c)).
	quiet := 70 * time.Second
	if ofTwins != nil {
		quiet = 5 * time.Minute // for holds, too, one of which may come of another
	}
	var twins []Target
	for i := range earlier {
		var text strings.Builder
		for range 1 + random.IntN(4) {
			text.WriteString(fragments[random.IntN(len(fragments))])
		}
		cfg.Targets = append(cfg.Targets, r.target(fmt.Sprint(i), text.String()))
		parsed, err := template.Parse("scratch", text.String(), template.Options{})
		if err != nil {
			t.Fatal(err)
		}
		scratch = append(scratch, parsed)
		earlier[i] = map[string]bool{"no file": true}
		if ofTwins != nil {
			twins = append(twins, twin(ofTwins, r.target(fmt.Sprint("twin ", i), text.String())))
		}
	}
	cfg.Targets = append(cfg.Targets, twins...)
	switch random.IntN(3) {
	case 0:
		cfg.Implied.Wait = Wait{Min: time.Second, Max: 3 * time.Second}
	case 1:
		for i := range cfg.Targets {
			cfg.Targets[i].Command = Command{Args: []string{"true", fmt.Sprint(i)}} // an action each: none waits for another
		}
	}
	for range random.IntN(10) {
		h.change(r.world)
	}
	r.start(cfg)
	note := func() {
		for i, tmpl := range scratch {
			if result := tmpl.Execute(h.lookup); result.Finished() {
				earlier[i][string(result.Output)] = true
			}
		}
	}
	note()
	for step := range 40 {
		for range 1 + random.IntN(4) {
			h.change(r.world)
			note()
			if !bursts || random.IntN(2) == 0 {
				elapse(time.Duration(random.IntN(1500)) * time.Millisecond)
			}
		}
		elapse(quiet)
		for i, tmpl := range scratch {
			got := r.read(fmt.Sprint(i))
			result := tmpl.Execute(h.lookup)
			switch {
			case result.Finished() && got != string(result.Output):
				t.Fatalf("step %d: file %d holds %q, a render from scratch gives %q\ntemplate: %s\nanswers: %v\nlog:\n%s",
					step, i, got, result.Output, r.read(fmt.Sprintf("%d.ctmpl", i)), h.answers, r.log)
			case !bursts && !earlier[i][got]:
				t.Fatalf("step %d: file %d holds %q, which no render from scratch has given\ntemplate: %s", step, i, got, r.read(fmt.Sprintf("%d.ctmpl", i)))
			}
		}
		if ofTwins == nil || wantTwins(t, r, scratch, h) {
			wantOnlyUsed(t, r, scratch, h)
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
	if !wantTwins(t, r, scratch, h) {
		t.Fatalf("a guard holds back that all instances are there:\n%+v", r.status().Targets)
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
		target.Guard = Guard{
			Min:     1 + random.IntN(3),
			MaxDrop: []float64{0, 0.4, 0.6}[random.IntN(3)],
			Hold:    time.Duration(1+random.IntN(40)) * time.Second,
			Then:    []GuardThen{Keep, Accept, Fail}[random.IntN(3)],
		}
	}
	return target
}

// wantTwins checks the files of twins, and reports whether no guard holds anything back.
func wantTwins(t *testing.T, r *rig, scratch []*template.Template, h *history) (unheld bool) {
	t.Helper()
	unheld = true
	for i, tmpl := range scratch {
		s := r.status().Targets[len(scratch)+i]
		result, got := tmpl.Execute(h.lookup), r.read(fmt.Sprint("twin ", i))
		switch accepts := r.engine.cfg.Targets[len(scratch)+i].Guard.Then == Accept; {
		case len(s.Held) > 0 && accepts:
			t.Fatalf("twin %d: still held, long after it was to be accepted: %+v\nlog:\n%s", i, s, r.log)
		case len(s.Held) > 0:
			unheld = false
		case result.Finished() && got != string(result.Output):
			t.Fatalf("twin %d holds %q, a render from scratch gives %q\ntemplate: %s\nanswers: %v\nstatus: %+v\nlog:\n%s",
				i, got, result.Output, r.read(fmt.Sprintf("%d.ctmpl", i)), h.answers, s, r.log)
		}
	}
	return unheld
}

// wantOnlyUsed checks that all that finished targets use is watched and, where all are finished, nothing else (R6).
func wantOnlyUsed(t *testing.T, r *rig, scratch []*template.Template, h *history) {
	t.Helper()
	used := make(map[string]bool)
	allFinished := true
	for _, tmpl := range scratch {
		result := tmpl.Execute(h.lookup)
		if !result.Finished() {
			allFinished = false
			continue
		}
		for _, q := range result.Used {
			used[q.String()] = true
		}
	}
	watched := make(map[string]bool)
	for _, q := range r.status().Queries {
		watched[q.Query] = true
	}
	for q := range used {
		if !watched[q] {
			t.Fatalf("%s is used and not watched; watched are %v", q, slices.Sorted(maps.Keys(watched)))
		}
	}
	if allFinished && len(watched) > len(used) {
		t.Fatalf("watched are %v, used only %v", slices.Sorted(maps.Keys(watched)), slices.Sorted(maps.Keys(used)))
	}
}

func (h *history) lookup(q watch.Query) (any, bool) {
	value, ok := h.answers[q]
	return value, ok
}

// change gives a random query a random answer, or lets it fail for a while first.
func (h *history) change(w *world) {
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

func (h *history) draw() (watch.Query, any) {
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
