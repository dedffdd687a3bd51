package report

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"render/render/graph"
	"render/template"
	"render/watch"
)

// A page is a log that a test reads.
type page struct{ bytes.Buffer }

func (p *page) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(p, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// want checks the lines since the last call.
func (p *page) want(t *testing.T, lines ...string) {
	t.Helper()
	want := ""
	for _, line := range lines {
		want += line + "\n"
	}
	if got := p.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	p.Reset()
}

func TestTexts(t *testing.T) {
	var p page
	var x Texts
	start := time.Unix(1000, 0)
	broken, gone := errors.New("broken"), errors.New("gone")
	x.Report(p.logger(), start, time.Minute)
	x.Note(p.logger(), []Text{{0, "a", nil}}, start.Add(time.Minute))
	p.want(t)
	if !x.Next.IsZero() {
		t.Error("a report is due of nothing")
	}

	// One fault of two templates, which is a line; another one.
	x.Note(p.logger(), []Text{{2, "c", broken}, {1, "b", broken}, {3, "d", gone}}, start.Add(time.Minute))
	p.want(t, `level=ERROR msg="changed template is unusable; its previous text stays in use" err=broken template="b, c"`,
		`level=ERROR msg="changed template is unusable; its previous text stays in use" err=gone template=d`)
	x.Report(p.logger(), start.Add(time.Minute-1), time.Minute)
	p.want(t)
	x.Report(p.logger(), start.Add(time.Minute), time.Minute)
	p.want(t, `level=WARN msg="changed template is still unusable; its previous text stays in use" err=broken template="b, c"`,
		`level=WARN msg="changed template is still unusable; its previous text stays in use" err=gone template=d`)
	if !x.Next.Equal(start.Add(2*time.Minute)) || x.Of(1) != broken || x.Of(0) != nil {
		t.Errorf("due at %s, of b %v, of a %v", x.Next, x.Of(1), x.Of(0))
	}

	// A fault that another template still has is neither new nor gone; a template with another fault is not usable again.
	x.Note(p.logger(), []Text{{1, "b", nil}}, start.Add(time.Hour))
	p.want(t)
	x.Note(p.logger(), []Text{{2, "c", gone}}, start.Add(time.Hour))
	p.want(t)
	x.Note(p.logger(), []Text{{2, "c", nil}, {3, "d", nil}}, start.Add(time.Hour))
	p.want(t, `level=INFO msg="changed template is usable again" template="c, d" before=gone`)
	if !x.Next.IsZero() || x.Of(2) != nil {
		t.Errorf("due at %s, of c %v", x.Next, x.Of(2))
	}
}

func TestManyFaults(t *testing.T) {
	var p page
	var x Texts
	var all []Text
	for i := range Most + 5 {
		all = append(all, Text{i, fmt.Sprint(i), fmt.Errorf("fault %d", i)})
	}
	_, err := template.Parse("a", "x\n  {{if}}", template.Options{})
	all[0].Err = err
	x.Note(p.logger(), all, time.Unix(1, 0))
	got := p.String()
	if n := strings.Count(got, "\n"); n != Most+1 || !strings.Contains(got, "more=5") {
		t.Errorf("%d lines:\n%s", n, got)
	}
	if !strings.Contains(got, `line={{if}}`) {
		t.Errorf("the line of the template is missing:\n%s", got)
	}
}

func TestRejected(t *testing.T) {
	var p page
	var r Rejected
	start := time.Unix(1000, 0)
	r.Report(p.logger(), start, time.Minute)
	p.want(t)
	r.Note(p.logger(), errors.New("why"), start.Add(time.Minute))
	p.want(t, `level=ERROR msg="reload failed; the previous configuration stays in effect" err=why`)
	r.Report(p.logger(), start.Add(time.Minute-1), time.Minute)
	p.want(t)
	r.Report(p.logger(), start.Add(time.Minute), time.Minute)
	p.want(t, `level=WARN msg="reload still fails; the previous configuration stays in effect" err=why`)
	if !r.Next.Equal(start.Add(2 * time.Minute)) {
		t.Errorf("due at %s", r.Next)
	}
}

func TestGuards(t *testing.T) {
	var p page
	g := Guards[string]{Show: func(_ string, q watch.Query) string { return q.Name }, Source: func(owner string) string { return owner }}
	start := time.Unix(1000, 0)
	of := func(owner, query string, verdict graph.Verdict) graph.Judgement[string] {
		return graph.Judgement[string]{Owner: owner, Verdict: verdict, Held: graph.Held{
			Query: watch.Query{Kind: "service", Name: query}, Before: 10, After: 1, Since: start, Guard: graph.Guard{MaxDrop: 0.5},
		}}
	}
	guard := graph.Guard{MaxDrop: 0.5}.String()
	line := func(level, msg, query, templates, more string) string {
		return fmt.Sprintf("level=%s msg=%q query=%s template=%s instances=%q guard=%q%s", level, msg, query, templates, "10 → 1", guard, more)
	}
	g.Note(p.logger(), nil, start, time.Minute)
	p.want(t)

	g.Note(p.logger(), []graph.Judgement[string]{of("b", "web", graph.Begun), of("a", "web", graph.Begun), of("a", "db", graph.Recovered)}, start, time.Minute)
	p.want(t, line("WARN", "answer held back by a guard", "web", `"a, b"`, ""), line("INFO", "answer recovered, no longer held back by a guard", "db", "a", ""))
	if !g.Next.Equal(start.Add(time.Minute)) {
		t.Errorf("due at %s", g.Next)
	}
	g.Note(p.logger(), []graph.Judgement[string]{of("c", "web", graph.Begun)}, start.Add(time.Second), time.Minute)
	p.want(t, line("WARN", "answer held back by a guard", "web", "c", " for=1s"))
	if !g.Next.Equal(start.Add(time.Minute)) {
		t.Errorf("a later one puts the report off to %s", g.Next)
	}
	g.Report(p.logger(), graph.New[string](), start.Add(time.Minute), time.Minute) // no guard holds anything any more
	p.want(t)
	if !g.Next.IsZero() {
		t.Errorf("due at %s", g.Next)
	}

	var many []graph.Judgement[string]
	for i := range Most + 3 {
		many = append(many, of("a", fmt.Sprint(i), graph.Failed))
	}
	g.Note(p.logger(), many, start, time.Minute)
	if got := p.String(); strings.Count(got, "level=ERROR") != Most+1 || !strings.Contains(got, "more=3") || !g.Next.IsZero() {
		t.Errorf("due at %s:\n%s", g.Next, got)
	}
}

func TestFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p page
		var f Failing
		start := time.Now()
		web, db := watch.Query{Kind: "service", Name: "web"}, watch.Query{Kind: "service", Name: "db"}
		show := func(q watch.Query, err error) error { return fmt.Errorf("%s: %w", q.Name, err) }
		f.Note(p.logger(), web, nil)
		f.Begin(p.logger(), start, start.Add(time.Minute), show)
		p.want(t)

		f.Note(p.logger(), web, errors.New("refused"))
		f.Begin(p.logger(), start, start.Add(time.Minute), show)
		p.want(t, `level=WARN msg="query failed, retrying; files stay as they are" err="web: refused"`)
		f.Note(p.logger(), db, errors.New("refused"))
		f.Note(p.logger(), web, nil)
		f.Begin(p.logger(), start, start.Add(time.Hour), show)
		p.want(t)
		time.Sleep(time.Minute)
		f.Report(p.logger(), time.Now(), time.Minute, 7, show)
		p.want(t, `level=WARN msg="queries still fail; their last good answers stay in use" failing=1 of=7 for=1m0s one="db: refused"`)
		f.Note(p.logger(), db, nil)
		p.want(t, `level=INFO msg="queries recovered" for=1m0s`)
		if !f.Next.IsZero() {
			t.Errorf("due at %s", f.Next)
		}
	})
}

func TestSummary(t *testing.T) {
	var p page
	Summary(p.logger(), map[string]bool{"a": false}, 2, 2, 0, 1234567)
	p.want(t, `level=INFO msg="all files are up to date" templates=2 took=1ms`)
	Summary(p.logger(), map[string]bool{"a": true, "log": true, "b": false}, 1, 2, 3, time.Second)
	p.want(t, `level=INFO msg="run completed" written=2 unchanged=1 commands=3 took=1s`)
	Summary(p.logger(), nil, 2, 2, 1, time.Second)
	p.want(t, `level=INFO msg="run completed" written=0 unchanged=2 commands=1 took=1s`)
}

// The stack of a panic is logged once.
func TestTemplate(t *testing.T) {
	var p page
	fault := &template.PanicError{Stack: []byte("stack of it")}
	panicked := Template(p.logger(), fault, false)
	if got := p.String(); !panicked || !strings.Contains(got, "stack of it") {
		t.Errorf("panicked %v:\n%s", panicked, got)
	}
	p.Reset()
	panicked = Template(p.logger(), fault, panicked)
	if got := p.String(); !panicked || strings.Contains(got, "stack of it") {
		t.Errorf("panicked %v:\n%s", panicked, got)
	}
}
