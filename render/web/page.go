package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"render/render/history"
	"render/render/status"
)

const (
	pageSize   = 100 // rows of a list
	mostLast   = 8   // commits on the overview
	mostOf     = 20  // commits on the page of a target or an action
	longestQ   = 200 // bytes of a filter
	mostOnPage = 30  // actions on the overview
)

//go:embed assets
var assets embed.FS

// A site answers people.
type site struct {
	engine  Engine
	answers *answers
	version string
	host    string
	assets  string // the checksum of the assets: a page of another render loads its own
	pages   map[string]*template.Template
	last    atomic.Pointer[index]
}

// An index finds what a snapshot has by ID. Readers share it.
type index struct {
	snapshot *status.Snapshot
	targets  map[string]*status.Target
	actions  map[string]*status.Action
	queries  map[string]*status.Query
}

// newSite parses the templates of the page, which are part of the program.
func newSite(engine Engine, answers *answers, version string) *site {
	s := &site{engine: engine, answers: answers, version: version, pages: make(map[string]*template.Template)}
	s.host, _ = os.Hostname()
	sum := sha256.New()
	for _, name := range []string{"style.css", "live.js"} {
		text, _ := assets.ReadFile("assets/" + name)
		sum.Write(text)
	}
	sum.Write([]byte(version))
	s.assets = hex.EncodeToString(sum.Sum(nil)[:6])
	base := template.Must(template.New("").Funcs(functions).ParseFS(assets, "assets/page.html"))
	for _, name := range []string{"overview", "list", "target", "action", "query", "commit", "missing"} {
		s.pages[name] = template.Must(template.Must(base.Clone()).ParseFS(assets, "assets/"+name+".html"))
	}
	return s
}

// register adds the paths of the page.
func (s *site) register(mux *http.ServeMux) {
	for name, kind := range map[string]string{"style.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		text, _ := assets.ReadFile("assets/" + name)
		path := "/assets/" + s.assets + "/" + name
		if name == "icon.svg" {
			path = "/assets/" + name
		}
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "public, max-age=86400, immutable")
			_, _ = w.Write(text) // a client that goes away is no error
		})
	}
	mux.HandleFunc("/{$}", s.with((*view).overview))
	mux.HandleFunc("/targets", s.with((*view).listTargets))
	mux.HandleFunc("/actions", s.with((*view).listActions))
	mux.HandleFunc("/queries", s.with((*view).listQueries))
	mux.HandleFunc("/history", s.with((*view).listCommits))
	mux.HandleFunc("/targets/{id}", s.with((*view).target))
	mux.HandleFunc("/actions/{id}", s.with((*view).action))
	mux.HandleFunc("/queries/{id}", s.with((*view).query))
	mux.HandleFunc("/history/{number}", s.with((*view).commit))
	mux.HandleFunc("/", s.with(func(p *view, _ *http.Request) { p.missing("This page does not exist.") }))
}

// A view is what one page shows.
type view struct {
	*status.Snapshot
	Title, Section        string
	Host, Version, Assets string
	Mood                  string // the class of the state
	Body                  any

	site  *site
	index *index
	name  string // of the template
	code  int
}

// with has a function fill a page, and writes it.
func (s *site) with(fill func(*view, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		now := snapshot(s.engine, w, r)
		if now == nil {
			return
		}
		s.answers.serve(w, r, keyOf(r), now.Sequence, s.engine.History().Number(), func() (int, string, []byte) {
			p := &view{Snapshot: now, Host: s.host, Version: s.version, Assets: s.assets, Mood: mood(now), site: s, index: s.indexOf(now), code: http.StatusOK}
			fill(p, r)
			var text bytes.Buffer
			if err := s.pages[p.name].ExecuteTemplate(&text, "page", p); err != nil {
				return http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("the page cannot be shown: " + err.Error())
			}
			return p.code, "text/html; charset=utf-8", text.Bytes()
		})
	}
}

// mood returns the class of the state: whether all is well.
func mood(s *status.Snapshot) string {
	c := &s.Counts
	switch {
	case c.Targets[status.Failed] > 0, c.Actions[status.Retrying] > 0, s.Configuration.Error != "":
		return "bad"
	case c.Targets[status.Applied] < len(s.Targets), c.Held > 0, c.Failing > 0, s.Program != nil && s.Program.Waits:
		return "wait"
	}
	return "ok"
}

// indexOf returns the index of a snapshot.
func (s *site) indexOf(now *status.Snapshot) *index {
	if x := s.last.Load(); x != nil && x.snapshot == now {
		return x
	}
	x := &index{now, make(map[string]*status.Target, len(now.Targets)), make(map[string]*status.Action, len(now.Actions)), make(map[string]*status.Query, len(now.Queries))}
	for _, t := range now.Targets {
		x.targets[t.ID] = t
	}
	for _, a := range now.Actions {
		x.actions[a.ID] = a
	}
	for _, q := range now.Queries {
		x.queries[q.ID] = q
	}
	s.last.Store(x)
	return x
}

func (p *view) show(name, section, title string, body any) {
	p.name, p.Section, p.Title, p.Body = name, section, title, body
}

func (p *view) missing(text string) {
	p.show("missing", "", "Not found", text)
	p.code = http.StatusNotFound
}

// A targetRow is a target with the name of its action.
type targetRow struct {
	*status.Target
	ActionName string
}

func (p *view) row(t *status.Target) targetRow {
	r := targetRow{Target: t}
	if a := p.index.actions[t.Action]; a != nil {
		r.ActionName = a.Name
	}
	return r
}

// A queryRow is a query, and where a template asks it.
type queryRow struct {
	*status.Query
	Where string
}

// A filter is what the address of a page chooses.
type filter struct {
	Path, Q, State, Action, Target, Hint string
	Of                                   []string // the target and the action that it is about
	Chips                                []chip
	page                                 int
}

// A chip is a link to what has one state.
type chip struct {
	Class, Text, URL string
	Count            int
	On               bool
}

func (p *view) newFilter(r *http.Request, path, hint string) *filter {
	f := &filter{Path: path, Hint: hint, Q: printable(r.FormValue("q")), State: printable(r.FormValue("state"))}
	f.page, _ = strconv.Atoi(r.FormValue("page"))
	if path == "/actions" || path == "/queries" {
		return f
	}
	f.Action, f.Target = printable(r.FormValue("action")), printable(r.FormValue("target"))
	if t := p.index.targets[f.Target]; t != nil {
		f.Of = append(f.Of, t.Destination)
	} else if f.Target != "" {
		f.Of = append(f.Of, f.Target)
	}
	if a := p.index.actions[f.Action]; a != nil {
		f.Of = append(f.Of, a.Name)
	} else if f.Action != "" {
		f.Of = append(f.Of, f.Action)
	}
	return f
}

// printable returns a short text of an address without what clean replaces.
func printable(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), longestQ)], "")
	return strings.Map(func(r rune) rune {
		if isHidden(r) {
			return -1
		}
		return r
	}, s)
}

// url returns the address of the same page with another state or page.
func (f *filter) url(state string, page int) string {
	values := make(url.Values)
	for name, value := range map[string]string{"q": f.Q, "state": state, "action": f.Action, "target": f.Target} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if page > 1 {
		values.Set("page", strconv.Itoa(page))
	}
	if len(values) == 0 {
		return f.Path
	}
	return f.Path + "?" + values.Encode()
}

// chip adds a link to what has a state. One that nothing has is left out.
func (f *filter) chip(value string, s state, count int) {
	if count > 0 || f.State == value {
		f.Chips = append(f.Chips, chip{s.Class, s.Text, f.url(value, 0), count, f.State == value})
	}
}

// matches reports whether each word of the filter is in one of some texts.
func (f *filter) matches(texts ...string) bool {
	for word := range strings.FieldsSeq(strings.ToLower(f.Q)) {
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), word) }) {
			return false
		}
	}
	return true
}

// targetsOf returns the targets that a filter chooses, those first that are not applied. The links to states count what the words choose.
func (p *view) targetsOf(f *filter) []*status.Target {
	counts := make(map[string]int)
	var matching []*status.Target
	for _, t := range p.Targets {
		if (f.Action == "" || t.Action == f.Action) && (f.Target == "" || t.ID == f.Target) && (f.Q == "" || f.matches(t.Destination, t.Source, p.row(t).ActionName) || slices.ContainsFunc(t.Queries, func(u status.Use) bool { return f.matches(u.Text) })) {
			matching = append(matching, t)
			counts[string(t.State)]++
			if len(t.Held) > 0 {
				counts["held"]++
			}
		}
	}
	f.chip("", state{"all", "all"}, len(matching))
	for _, s := range targetStates {
		f.chip(string(s.State), s.state, counts[string(s.State)])
	}
	f.chip("held", state{"wait held", "held"}, counts["held"])

	var chosen, last []*status.Target
	for _, t := range matching {
		switch {
		case f.State != "" && f.State != string(t.State) && (f.State != "held" || len(t.Held) == 0):
		case t.State == status.Applied && len(t.Held) == 0:
			last = append(last, t)
		default:
			chosen = append(chosen, t)
		}
	}
	return append(chosen, last...)
}

func (p *view) overview(r *http.Request) {
	f := p.newFilter(r, "/", "Find files, templates, queries, actions")
	targets := p.targetsOf(f)
	body := struct {
		Attention   []note
		Search      *filter
		Graph       graph
		Commits     []*history.Commit
		Actions     []*status.Action
		MoreActions int
	}{Search: f, Graph: newGraph(p.index, targets), Commits: p.commits("", "", mostLast)}
	body.Attention = attention(p.index)
	if more := len(body.Attention) - mostNotes; more > 0 {
		body.Attention = append(body.Attention[:mostNotes:mostNotes], note{ID: "more", URL: "/targets", Title: strconv.Itoa(more) + " more", State: state{"wait", "and"}})
	}
	body.Actions = byState(p.Actions)
	if more := len(body.Actions) - mostOnPage; more > 0 {
		body.Actions, body.MoreActions = body.Actions[:mostOnPage], more
	}
	p.show("overview", "overview", p.Host, body)
}

// byState returns actions, those that are in sync last.
func byState(actions []*status.Action) []*status.Action {
	var first, last []*status.Action
	for _, a := range actions {
		if a.State == status.InSync {
			last = append(last, a)
		} else {
			first = append(first, a)
		}
	}
	return append(first, last...)
}

func (p *view) commits(target, action string, most int) []*history.Commit {
	return choose(p.site.engine.History().Commits(), "", target, action, most)
}

// A list is a part of a long table.
type list struct {
	Heading        string
	Search         *filter
	Count          int // of all parts
	Page, Pages    int
	Previous, Next string
	Targets        []targetRow
	Actions        []*status.Action
	Queries        []queryRow
	Commits        []*history.Commit
}

// cut returns a part of a list of n rows, and from where to where it goes.
func cut(heading string, f *filter, n int) (l list, from, to int) {
	l = list{Heading: heading, Search: f, Count: n, Pages: max(1, (n+pageSize-1)/pageSize)}
	l.Page = min(max(f.page, 1), l.Pages)
	if l.Page > 1 {
		l.Previous = f.url(f.State, l.Page-1)
	}
	if l.Page < l.Pages {
		l.Next = f.url(f.State, l.Page+1)
	}
	from = (l.Page - 1) * pageSize
	return l, from, min(n, from+pageSize)
}

func (p *view) listTargets(r *http.Request) {
	f := p.newFilter(r, "/targets", "Find files, templates, queries, actions")
	all := p.targetsOf(f)
	l, from, to := cut("Files", f, len(all))
	for _, t := range all[from:to] {
		l.Targets = append(l.Targets, p.row(t))
	}
	p.show("list", "targets", "Files", l)
}

func (p *view) listActions(r *http.Request) {
	f := p.newFilter(r, "/actions", "Find actions and commands")
	counts := make(map[status.ActionState]int)
	var all []*status.Action
	n := 0
	for _, a := range byState(p.Actions) {
		if !f.matches(a.Name, a.Command, a.Check, a.Verify) {
			continue
		}
		n++
		counts[a.State]++
		if f.State == "" || f.State == string(a.State) {
			all = append(all, a)
		}
	}
	f.chip("", state{"all", "all"}, n)
	for _, s := range actionStates {
		f.chip(string(s.ActionState), s.state, counts[s.ActionState])
	}
	l, from, to := cut("Actions", f, len(all))
	l.Actions = all[from:to]
	p.show("list", "actions", "Actions", l)
}

func (p *view) listQueries(r *http.Request) {
	f := p.newFilter(r, "/queries", "Find queries")
	counts := make(map[string]int)
	var first, last []queryRow
	n := 0
	for _, q := range p.Queries {
		if !f.matches(q.Text, q.Kind) {
			continue
		}
		n++
		counts[string(q.State)]++
		if q.Error != "" {
			counts["failing"]++
		}
		switch {
		case f.State != "" && f.State != string(q.State) && (f.State != "failing" || q.Error == ""):
		case q.State == status.QueryAnswered && q.Error == "":
			last = append(last, queryRow{Query: q})
		default:
			first = append(first, queryRow{Query: q})
		}
	}
	f.chip("", state{"all", "all"}, n)
	for _, s := range queryStates {
		f.chip(string(s.QueryState), s.state, counts[string(s.QueryState)])
	}
	f.chip("failing", state{"bad", "failing"}, counts["failing"])
	all := append(first, last...)
	l, from, to := cut("Queries", f, len(all))
	l.Queries = all[from:to]
	p.show("list", "queries", "Queries", l)
}

func (p *view) listCommits(r *http.Request) {
	f := p.newFilter(r, "/history", "Find files, causes, actions")
	counts := make(map[history.Result]int)
	var all []*history.Commit
	n := 0
	for _, c := range choose(p.site.engine.History().Commits(), "", f.Target, f.Action, history.MaxCommits) {
		if f.Q != "" && !matchesCommit(f, c) {
			continue
		}
		n++
		counts[c.Result]++
		if f.State == "" || f.State == string(c.Result) {
			all = append(all, c)
		}
	}
	f.chip("", state{"all", "all"}, n)
	for _, result := range []history.Result{history.Rejected, history.Undone, history.Failed, history.Partial, history.Interrupted, history.Applied} {
		f.chip(string(result), resultOf(&history.Commit{Result: result}), counts[result])
	}
	l, from, to := cut("History", f, len(all))
	l.Commits = all[from:to]
	p.show("list", "history", "History", l)
}

func matchesCommit(f *filter, c *history.Commit) bool {
	texts := []string{c.ActionName, c.Error}
	for _, cause := range c.Because {
		texts = append(texts, cause.Text)
	}
	for i := range c.Files {
		texts = append(texts, c.Files[i].Path)
	}
	return f.matches(texts...)
}

func (p *view) target(r *http.Request) {
	t := p.index.targets[r.PathValue("id")]
	if t == nil {
		p.missing("This file does not exist. An earlier configuration may have had it.")
		return
	}
	body := struct {
		targetRow
		Asked       []queryRow
		MoreQueries int
		Commits     []*history.Commit
	}{targetRow: p.row(t), Commits: p.commits(t.ID, "", mostOf)}
	for _, u := range t.Queries {
		if q := p.index.queries[u.Query]; q != nil && len(body.Asked) < pageSize {
			body.Asked = append(body.Asked, queryRow{q, u.Where})
		}
	}
	body.MoreQueries = t.Total - len(body.Asked)
	p.show("target", "targets", t.Destination, body)
}

func (p *view) action(r *http.Request) {
	a := p.index.actions[r.PathValue("id")]
	if a == nil {
		p.missing("This action does not exist. An earlier configuration may have had it.")
		return
	}
	title := a.Name
	if a.Kind == "command" { // browsers keep titles
		title = a.ID
	}
	p.show("action", "actions", title, struct {
		*status.Action
		Graph  graph
		Latest []*history.Commit
	}{a, newGraph(p.index, p.targetsIn(a.Targets)), p.commits("", a.ID, mostOf)})
}

func (p *view) query(r *http.Request) {
	q := p.index.queries[r.PathValue("id")]
	if q == nil {
		p.missing("No template uses this query now. Its address was valid in one run of render, or while a template used it.")
		return
	}
	p.show("query", "queries", q.Text, struct {
		*status.Query
		Graph graph
	}{q, newGraph(p.index, p.targetsIn(q.Targets))})
}

func (p *view) targetsIn(ids []string) []*status.Target {
	var all []*status.Target
	for _, id := range ids {
		if t := p.index.targets[id]; t != nil {
			all = append(all, t)
		}
	}
	return all
}

func (p *view) commit(r *http.Request) {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	all := p.site.engine.History().Commits()
	i := slices.IndexFunc(all, func(c *history.Commit) bool { return c.Number == number })
	if err != nil || i < 0 {
		p.missing("This commit does not exist. render keeps the last 1,000 commits since it started.")
		return
	}
	p.show("commit", "history", "Commit "+r.PathValue("number"), all[i])
}
