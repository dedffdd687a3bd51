package template_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"render/template"
	"render/watch"
)

// Whatever the template is and whatever changes, a pass that repeats what earlier passes kept gives what a pass gives that
// keeps nothing: output, queries in their order and with their places, what is pending, absent, dropped, suspect and written, and errors.
// RENDER_CHANGES is the number of changes.
func TestFragmentsOracle(t *testing.T) {
	changes := 5000
	if s := os.Getenv("RENDER_CHANGES"); s != "" {
		changes, _ = strconv.Atoi(s)
	}
	const perTemplate = 25
	var sum struct{ finished, pending, absent, failed, kept, dropped, suspect, repeated int }
	for seed := range uint64(changes / perTemplate) {
		if done := int(seed) * perTemplate; done > 0 && done%100_000 == 0 {
			t.Logf("after %d changes: %+v", done, sum)
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(rng)
		g := generator{Rand: rng}
		text, o := g.template(), template.Options{
			Env: w.lookupEnv, ErrorOnMissingKey: rng.IntN(4) == 0, TrimBlocks: rng.IntN(4) == 0,
			Partials: []template.Partial{{Name: "part", Text: g.partial()}},
		}
		kept, err := template.Parse("t", text, o)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		var plain *template.Template
		for change := range perTemplate {
			if change%5 == 0 {
				if plain, err = template.Parse("t", text, template.Plain(o)); err != nil {
					t.Fatal(err)
				}
			}
			want, got := plain.Execute(t.Context(), w.lookup), kept.Execute(t.Context(), w.lookup)
			if diff := difference(want, got); diff != "" {
				t.Fatalf("seed %d, change %d: %s\n%s\n%s", seed, change, diff, text, o.Partials[0].Text)
			}
			for _, q := range want.Used {
				if p, k := plain.Where(q), kept.Where(q); p != k {
					t.Fatalf("seed %d, change %d: %s is asked at %s, want %s\n%s", seed, change, q, k, p, text)
				}
			}
			sum.kept += template.Kept(kept)
			sum.repeated += template.Repeated(kept)
			sum.dropped += len(got.Dropped)
			sum.suspect += len(got.Suspect)
			switch {
			case len(got.Pending) > 0:
				sum.pending++
			case len(got.Absent) > 0:
				sum.absent++
			case got.Err != nil:
				sum.failed++
			default:
				sum.finished++
			}
			for range rng.IntN(3) {
				w.change()
			}
		}
	}
	t.Logf("%+v", sum)
	if n := changes / 50; sum.finished < n || sum.pending < n || sum.absent < n || sum.failed < n || sum.repeated < n || sum.dropped < n || sum.suspect < n {
		t.Errorf("the templates leave out too much: %+v", sum)
	}
}

func difference(want, got template.Result) string {
	text := func(err error) string { return fmt.Sprint(err) }
	for _, c := range []struct {
		name      string
		want, got any
	}{
		{"output", string(want.Output), string(got.Output)},
		{"used", want.Used, got.Used},
		{"pending", want.Pending, got.Pending},
		{"absent", want.Absent, got.Absent},
		{"dropped", want.Dropped, got.Dropped},
		{"suspect", places(want), places(got)},
		{"writes", want.Writes, got.Writes},
		{"error", text(want.Err), text(got.Err)},
		{"complete", want.Complete, got.Complete},
		{"finished", want.Finished(), got.Finished()},
	} {
		if !reflect.DeepEqual(c.want, c.got) {
			return fmt.Sprintf("%s is\n %#v, want\n %#v", c.name, c.got, c.want)
		}
	}
	return ""
}

// A world is what is known at one point of time. Some services are seen through a guard: instances come late, or stay.
type world struct {
	*rand.Rand
	answers answers
	seen    answers
	env     map[string]string
}

var words = []string{"a", "b", "c", "a,b", "1", "", "s0", "k1", "<x>"}

func newWorld(r *rand.Rand) *world {
	w := &world{Rand: r, answers: make(answers), seen: make(answers), env: map[string]string{"E": "a"}}
	for _, q := range worldQueries {
		if w.IntN(40) > 0 {
			w.answers[q] = w.answer(q)
		}
	}
	return w
}

var worldQueries = func() (all []watch.Query) {
	for i := range 4 {
		all = append(all, kv(fmt.Sprintf("k%d", i)), service(fmt.Sprintf("s%d", i)), query(watch.KindFile, fmt.Sprintf("f%d", i), ""))
	}
	for _, word := range words {
		all = append(all, kv("p/"+word), service(word))
		if q, err := watch.NewSecret(word); err == nil {
			all = append(all, q)
		}
	}
	return append(all, query(watch.KindSecrets, "p", ""), query(watch.KindSecret, "p/a", ""), query(watch.KindServices, "", ""), query(watch.KindServices, "", ""), query(watch.KindPrefix, "p", ""), query(watch.KindNodes, "", ""))
}()

func (w *world) word() string { return words[w.IntN(len(words))] }

func (w *world) answer(q watch.Query) any {
	if w.IntN(30) == 0 {
		return nil
	}
	n := w.IntN(5)
	switch q.Kind {
	case watch.KindServices:
		list := []*watch.CatalogSnippet{}
		for i := range n {
			list = append(list, &watch.CatalogSnippet{Name: fmt.Sprintf("s%d", (i+w.IntN(2))%4), Tags: watch.ServiceTags{w.word()}})
		}
		return list
	case watch.KindService:
		list := []*watch.HealthService{}
		for i := range n {
			list = append(list, &watch.HealthService{
				ID: fmt.Sprintf("i%d", i), Name: q.Name, Node: "n", Address: []string{"10.0.0.1", "10.0.0.2", "bad address"}[w.IntN(3)], Port: 80 + w.IntN(2),
				Tags: watch.ServiceTags{w.word()}, ServiceMeta: map[string]string{"m": w.word()},
			})
		}
		return list
	case watch.KindPrefix:
		list := []*watch.KeyPair{}
		for i := range n {
			key := words[(i+w.IntN(2))%len(words)]
			list = append(list, &watch.KeyPair{Path: "p/" + key, Key: key, Value: w.word(), ModifyIndex: uint64(w.IntN(2))})
		}
		return list
	case watch.KindSecret: // of a KV v1 or v2
		fields := map[string]any{"a": w.word(), "n": json.Number(strconv.Itoa(n)), "l": []any{w.word(), w.word()}}
		if w.IntN(3) == 0 {
			delete(fields, "a")
		}
		if w.IntN(2) == 0 {
			return &watch.Secret{Data: fields}
		}
		return &watch.Secret{Data: map[string]any{"data": fields, "metadata": map[string]any{"version": json.Number("1"), "created_time": "now"}}}
	case watch.KindSecrets:
		return words[:n]
	case watch.KindNodes:
		list := []*watch.Node{}
		for i := range n {
			list = append(list, &watch.Node{Node: fmt.Sprintf("s%d", i), Address: w.word()})
		}
		return list
	}
	return w.word()
}

func (w *world) change() {
	if w.IntN(10) == 0 {
		w.env["E"] = w.word()
		return
	}
	q := worldQueries[w.IntN(len(worldQueries))]
	if w.IntN(3) == 0 { // what is pending does not stay so for long
		for _, other := range worldQueries {
			if _, ok := w.answers[other]; !ok {
				q = other
			}
		}
	}
	switch w.IntN(8) {
	case 0:
		if w.IntN(3) == 0 {
			delete(w.answers, q)
			delete(w.seen, q)
		}
	case 1: // another answer that is equal
		if list, ok := w.answers[q].([]*watch.HealthService); ok {
			again := make([]*watch.HealthService, 0, len(list))
			for _, s := range list {
				same := *s
				again = append(again, &same)
			}
			w.answers[q] = again
		}
	case 2: // a view shows something else than the last answer
		if q.Kind == watch.KindService && w.answers[q] != nil {
			w.seen[q] = w.answer(q)
		}
	case 3:
		delete(w.seen, q)
	default:
		w.answers[q] = w.answer(q)
	}
}

func (w *world) lookup(q watch.Query) (any, bool) {
	if value, ok := w.seen[q]; ok {
		return value, true
	}
	if value, ok := w.answers[q]; ok {
		return value, true
	}
	for _, known := range worldQueries {
		if known == q {
			return nil, false
		}
	}
	switch n := len(q.Name + q.Opts); {
	case q.Kind == watch.KindSecretWrite && n%4 == 0:
		return (*watch.Secret)(nil), true
	case q.Kind == watch.KindSecretWrite:
		return &watch.Secret{Data: map[string]any{"a": words[n%len(words)]}}, n%5 > 0
	case q.Kind == watch.KindPKICert:
		return &watch.PKICert{Cert: words[n%len(words)]}, n%5 > 0
	}
	if q.Kind == watch.KindKV && len(q.Name)%8 > 0 {
		return words[len(q.Name)%len(words)], true
	}
	return nil, true
}

func (w *world) lookupEnv(name string) (string, bool) {
	value, ok := w.env[name]
	return value, ok
}

// A generator makes templates.
type generator struct {
	*rand.Rand
	vars  []variable
	loops int
	next  int
	names []string // of the templates that can be executed

	// temptation is the one thing in the template, if any, that keeps an iteration from being kept: with several nothing would be
	// kept, and nobody would notice that one of them is overlooked.
	temptation string
}

var temptations = []string{"", "", "", "", "env", "scratch", "set", "assign", "break", "plugin", "write", "range assigns", "within", "secret write", "certificate", "set secret"}

type variable struct{ name, kind string }

// The kinds of values: text, snippet, instance, pair, node, list, map, none.
func (g *generator) template() string {
	g.names = []string{"d0", "d1", "part", "p0"}
	g.temptation = temptations[g.IntN(len(temptations))]
	var b strings.Builder
	b.WriteString(`{{$t := "t"}}{{$m := dict "x" "m"}}`)
	g.vars = []variable{{"$t", "text"}, {"$m", "map"}}
	for range 1 + g.IntN(2) {
		b.WriteString(g.rangeOver(3, "none"))
		b.WriteString("{{if true}}" + g.block(3, "none") + "{{end}}") // its variables end with it
	}
	b.WriteString("{{$t}}{{$m.x}}")
	for i := range 2 {
		g.vars, g.names = nil, []string{"p0", "d1"}[:2-i] // no recursion
		fmt.Fprintf(&b, `{{define "d%d"}}<%s>{{end}}`, i, g.block(2, "text"))
	}
	return b.String()
}

func (g *generator) partial() string {
	g.vars, g.names = nil, nil
	text := g.block(2, "text")
	g.vars, g.names = nil, nil
	return text + `{{define "p0"}}` + g.block(1, "text") + `{{end}}`
}

func (g *generator) pick(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g *generator) block(depth int, dot string) string {
	outside := len(g.vars)
	var b strings.Builder
	for range 1 + g.IntN(3) {
		b.WriteString(g.node(depth, dot))
		b.WriteString(g.pick("\n", " ", "", "x"))
	}
	g.vars = g.vars[:outside]
	return b.String()
}

func (g *generator) declare(kind string) string {
	g.next++
	name := fmt.Sprintf("$v%d", g.next)
	if len(g.vars) > 0 && g.IntN(5) == 0 {
		name = g.vars[g.IntN(len(g.vars))].name // hides another
	}
	g.vars = append(g.vars, variable{name, kind})
	return name
}

// of returns a variable of a kind.
func (g *generator) of(kind string) (string, bool) {
	for i := len(g.vars) - 1; i >= 0; i-- {
		v := g.vars[i]
		hidden := false
		for _, later := range g.vars[i+1:] {
			hidden = hidden || later.name == v.name
		}
		if v.kind == kind && !hidden && g.IntN(2) == 0 {
			return v.name, true
		}
	}
	return "", false
}

func (g *generator) node(depth int, dot string) string {
	if depth == 0 {
		return "{{" + g.text(1, dot) + "}}"
	}
	if g.loops > 0 && g.IntN(4) == 0 {
		if s := g.tempt(depth, dot); s != "" {
			return s
		}
	}
	switch n := g.IntN(30); {
	case n < 7:
		return "{{" + g.text(2, dot) + "}}"
	case n < 9:
		value := g.text(2, dot)
		return "{{" + g.declare("text") + " := " + value + "}}"
	case n < 10:
		list, kind := g.list(dot)
		return "{{" + g.declare("list "+kind) + " := " + list + "}}"
	case n < 11:
		return "{{" + g.declare("map") + ` := dict "x" ` + g.text(1, dot) + "}}"
	case n < 12:
		outside := len(g.vars)
		name := g.declare("text")
		s := "{{with " + name + ` := ""}}{{else}}{{if ` + g.text(1, dot) + "}}{{" + name + " = " + g.text(1, dot) + "}}{{end}}{{" + name + "}}{{end}}"
		g.vars = g.vars[:outside]
		return s
	case n < 15:
		return "{{if " + g.text(2, dot) + "}}" + g.block(depth-1, dot) + g.orElse(depth, dot) + "{{end}}"
	case n < 17:
		value := g.text(2, dot)
		outside := len(g.vars)
		head := value
		if g.IntN(3) == 0 {
			head = g.declare("text") + " := " + value
		}
		s := "{{with " + head + "}}" + g.block(depth-1, "text")
		g.vars = g.vars[:outside]
		return s + g.orElse(depth, dot) + "{{end}}"
	case n < 26:
		return g.rangeOver(depth, dot)
	case n < 28 && len(g.names) > 0:
		return fmt.Sprintf("{{template %q %s}}", g.pick(g.names...), g.text(1, dot))
	case n < 29 && g.loops > 0:
		return "{{if eq " + g.text(1, dot) + ` "a"}}{{continue}}{{end}}`
	}
	return "{{/* nothing */}}"
}

// tempt does what the template may do that keeps an iteration from being kept.
func (g *generator) tempt(depth int, dot string) string {
	switch g.temptation {
	case "env":
		return `{{env "E"}}`
	case "scratch":
		return g.pick(`{{scratch.Get "s"}}`, `{{scratch.Set "s" `+g.text(1, dot)+"}}", "{{range list scratch}}{{.Set \"s\" "+g.text(1, "scratch")+"}}{{end}}")
	case "set":
		if name, ok := g.of("map"); ok {
			return "{{" + g.declare("map") + " := set " + name + ` "x" ` + g.text(1, dot) + "}}"
		}
	case "assign":
		if name, ok := g.of("text"); ok {
			return "{{" + name + " = " + g.text(1, dot) + "}}"
		}
	case "break":
		return "{{if eq " + g.text(1, dot) + " " + g.text(1, dot) + "}}{{break}}{{end}}"
	case "plugin":
		return "{{plugin " + g.text(1, dot) + "}}"
	case "write":
		return `{{writeToFile ` + g.pick(`"w0"`, `"w1"`) + ` "" "" "0644" "append" ` + g.text(1, dot) + "}}"
	case "secret write":
		return `{{with secret "w" (print "a=" ` + g.text(1, dot) + ")}}{{.Data.a}}{{end}}"
	case "certificate":
		return `{{with pkiCert "c" (print "a=" ` + g.text(1, dot) + ")}}{{.Cert}}{{end}}"
	case "set secret":
		if g.IntN(2) == 0 {
			return "{{with secret " + g.secret(dot) + `}}{{with set .Data "a" ` + g.text(1, "none") + "}}{{.a}}{{end}}{{end}}"
		}
		return `{{with secretOrDefault ` + g.secret(dot) + ` "m" (dict "a" "b")}}{{with set . "a" ` + g.text(1, "none") + "}}{{.a}}{{end}}{{end}}"
	case "within":
		value := g.text(1, dot)
		return "{{or " + g.text(1, dot) + " (" + g.declare("text") + " := " + value + ")}}"
	}
	return ""
}

func (g *generator) orElse(depth int, dot string) string {
	if g.IntN(3) > 0 {
		return ""
	}
	return "{{else}}" + g.block(depth-1, dot)
}

func (g *generator) rangeOver(depth int, dot string) string {
	list, kind := g.list(dot)
	outside := len(g.vars)
	head := list
	switch g.IntN(6) {
	case 0:
		i := g.declare("number")
		head = i + ", " + g.declare(kind) + " := " + list
	case 1, 2:
		head = g.declare(kind) + " := " + list
	case 3:
		if name, ok := g.of(kind); ok && g.temptation == "range assigns" {
			head = name + " = " + list
		}
	}
	g.loops++
	s := "{{range " + head + "}}"
	if g.IntN(3) > 0 {
		s += "{{" + g.asking(1, kind) + "}}"
	}
	s += g.block(depth-1, kind)
	g.loops--
	g.vars = g.vars[:outside]
	return s + g.orElse(depth, dot) + "{{end}}"
}

// list returns a list, and the kind of its elements.
func (g *generator) list(dot string) (list, kind string) {
	for _, kind := range []string{"text", "snippet", "instance", "pair"} {
		if g.IntN(8) == 0 {
			if name, ok := g.of("list " + kind); ok {
				return name, kind
			}
		}
	}
	switch g.IntN(15) {
	case 13:
		return `(secrets "p")`, "text"
	case 14:
		return "(secretOrDefault " + g.secret(dot) + ` "l" (list "a" 1))`, "any"
	case 0, 1, 2:
		return "services", "snippet"
	case 3, 4, 5:
		return "(service " + g.name(dot) + ")", "instance"
	case 6:
		return `(` + g.pick("tree", "ls", "safeTree") + ` "p")`, "pair"
	case 7:
		return `(split "," ` + g.text(1, dot) + ")", "text"
	case 8:
		return "(list " + g.text(1, dot) + " " + g.text(0, dot) + ")", "text"
	case 9:
		return "nodes", "node"
	case 10:
		return `(service ` + g.name(dot) + ` | where "Port" 80)`, "instance"
	case 11:
		return `(service ` + g.name(dot) + ` | byTag)`, "list instance"
	}
	if g.temptation == "scratch" {
		return "(list scratch)", "scratch"
	}
	return g.pick("(loop 2)", "3", `(list (dict "x" "a") (dict "x" "b"))`, `(parseJSON "[\"a\",\"b\"]")`), "any"
}

// secret returns the path of a secret.
func (g *generator) secret(dot string) string {
	if g.IntN(2) == 0 {
		return strconv.Quote(g.pick("a", "b", "c", "s0", "k1", "p/a", "nope"))
	}
	return "(print " + g.text(0, dot) + ` "")`
}

// name returns the name of a service.
func (g *generator) name(dot string) string {
	if g.IntN(2) == 0 {
		return strconv.Quote(fmt.Sprintf("s%d", g.IntN(4)))
	}
	if g.IntN(10) > 0 {
		return "(name " + g.text(1, dot) + ")"
	}
	return g.text(1, dot)
}

// path returns a key.
func (g *generator) path(depth int, dot string) string {
	switch g.IntN(3) {
	case 0:
		return strconv.Quote(fmt.Sprintf("k%d", g.IntN(4)))
	case 1:
		if i, ok := g.of("number"); ok {
			return `(print "k" ` + i + ")"
		}
	}
	return `(print "p/" ` + g.text(depth, dot) + ")"
}

// text returns an expression that mostly is a text.
func (g *generator) text(depth int, dot string) string {
	if g.IntN(3) == 0 {
		if name, ok := g.of("text"); ok {
			return name
		}
		if name, ok := g.of("snippet"); ok {
			return name + ".Name"
		}
		if name, ok := g.of("instance"); ok {
			return name + ".ID"
		}
	}
	if g.IntN(3) == 0 || depth == 0 {
		switch dot {
		case "text":
			return "."
		case "snippet":
			return g.pick(".Name", ".Name", "(print .Tags)")
		case "instance":
			return g.pick(".ID", ".Name", ".Address", "(print .Port)", "(print .Tags)", ".ServiceMeta.m", "(hostport .)")
		case "pair":
			return g.pick(".Key", ".Value", "(print .ModifyIndex)")
		case "node":
			return g.pick(".Node", ".Address")
		case "scratch":
			return `(print (.Get "s"))`
		case "any":
			return "(print .)"
		}
	}
	if depth == 0 {
		return strconv.Quote(words[g.IntN(len(words))])
	}
	switch g.IntN(24) {
	case 0, 1, 2, 3, 4, 5, 6, 7, 8:
		return g.asking(depth-1, dot)
	case 9:
		return "(print " + g.text(depth-1, dot) + " " + g.text(depth-1, dot) + ")"
	case 10:
		return "(" + g.text(depth-1, dot) + " | toUpper)"
	case 11:
		if g.temptation == "env" {
			return `(env "E")`
		}
	case 12, 13:
		if len(g.names) > 0 {
			name := strconv.Quote(g.pick(g.names...))
			return fmt.Sprintf("(executeTemplate %s %s)", g.pick(name, name, name, name, "(print "+name+")"), g.text(depth-1, dot))
		}
	case 14:
		if g.temptation == "scratch" {
			return `(print (scratch.Get "s"))`
		}
	case 15:
		if g.IntN(4) == 0 {
			return `(index (split "," ` + g.text(depth-1, dot) + ") " + g.pick("0", "1") + ")"
		}
	case 16:
		if name, ok := g.of("map"); ok {
			return "(print " + name + g.pick(".x", ".x", ".y") + ")"
		}
	case 17:
		if g.IntN(6) == 0 {
			return "(print (parseInt " + g.text(depth-1, dot) + "))"
		}
	case 18:
		return "(file " + strconv.Quote(fmt.Sprintf("f%d", g.IntN(4))) + ")"
	case 19:
		if name, ok := g.of("number"); ok {
			return "(print " + name + ")"
		}
	case 20:
		return "(toJSON services)"
	case 21:
		if g.IntN(6) == 0 {
			return `(print (parseJSON "{}").nope)` // an error, if a missing key is one
		}
		return `(print (index (parseJSON "{}") "nope"))`
	case 22:
		return "(or " + g.text(depth-1, dot) + " " + g.text(depth-1, dot) + ")"
	}
	return strconv.Quote(words[g.IntN(len(words))])
}

// asking returns an expression that asks a query.
func (g *generator) asking(depth int, dot string) string {
	switch g.IntN(11) {
	case 8:
		return "(print (secretExists " + g.secret(dot) + "))"
	case 9:
		return "(print (secretOrDefault " + g.secret(dot) + ` "` + g.pick("a", "a", "n", "nope") + `" "d"))`
	case 10:
		return "(print (secret " + g.secret(dot) + ").Data." + g.pick("a", "n", "metadata") + ")"
	case 0:
		return "(print (keyExists " + g.path(depth, dot) + "))"
	case 1:
		return "(len (service " + g.name(dot) + ") | print)"
	case 2, 3, 4:
		return "(key " + g.path(depth, dot) + ")"
	}
	return "(keyOrDefault " + g.path(depth, dot) + " " + strconv.Quote(words[g.IntN(len(words))]) + ")"
}
