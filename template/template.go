// Package template turns text and answers into text and questions.
//
// A [Template] is parsed once and executed often. Its functions ask for data by [watch.Query]; what they asked, and
// what was missing, is part of the [Result]. So the queries of a template need not be declared: executing it finds them
// (R1), one level of nesting with each pass. A template knows no engine: whoever executes it brings the answers.
//
// The language is Go's text/template with the functions of consul-template. Rules such as R2 are listed in the
// documentation of package render.
package template

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"render/template/funcs"

	"render/watch"
)

// A Lookup gives the answer to a query, as far as it is known. A nil value that was answered means: there is none. The answers
// do not change while an Execute lasts.
type Lookup func(watch.Query) (value any, answered bool)

// A Template is a parsed text. It can be executed again and again, by one goroutine at a time.
type Template struct {
	texts  []*text // its own, then the partials
	delims delimiters
	root   *template.Template
	funcs  template.FuncMap // that root calls
	strict bool             // a missing key is an error
	sites  []site           // the places where the text asks queries
	pass   pass             // the present execution, or the last

	marks    []mark
	markBase []byte // the array of all marks' texts
}

// A Result is what one execution gave.
type Result struct {
	Output  []byte        // nil unless the pass is finished (R4)
	Used    []watch.Query // all that was asked, each once, in the order of asking
	Pending []watch.Query // of these, what has no answer yet
	Absent  []watch.Query // of these, what was needed and does not exist
	Writes  []Write       // what else is to be written, by writeToFile
	Dropped []Dropped     // instances that hostport left out, each time
	Err     error         // an *Error; nil while anything is pending or absent: the fault may come from that

	// Complete reports whether Used has all queries that the template asks with the present answers: the execution ran to its
	// end, nothing was pending, and no plugin was left out. Something may be absent.
	Complete bool
}

// Finished reports whether the execution gave output (R4).
func (r Result) Finished() bool { return len(r.Pending) == 0 && len(r.Absent) == 0 && r.Err == nil }

// pass is the state of one execution, which the functions share.
type pass struct {
	template *Template
	lookup   Lookup
	env      func(string) (string, bool)
	funcs    *funcs.Env
	sandbox  string // of the function file
	asked    map[watch.Query]*asked
	parsed   funcs.Generations[argument, watch.Query] // arguments of earlier passes, too: they are mostly the same
	result   Result
	size     int // of the last output

	checkPath    func(sandbox, path string) error // watch.CheckSandbox
	sandboxCheck <-chan struct{}                  // of the last check, closed when it has ended; nil if that was in time

	ctx       context.Context // of the present execution
	maxOutput int             // bytes
	maxSteps  int
	steps     int // marks that were passed
	mark      int // the last of them
	depth     int // see mark

	scratch *funcs.Scratch
	writes  map[string]int // where in Result.Writes the write of a path is
	skipped bool           // whether a plugin was not asked, because something was unanswered
}

// argument is what a function was given, and for which kind of query.
type argument struct{ kind, text string }

const maxParsed = 20_000 // arguments kept in a generation

type asked struct {
	site   int
	absent bool // it is in Result.Absent already
}

// Parse parses a text. The name is what errors call it, usually its file. An error is an *Error and tells the place.
func Parse(name, body string, o Options) (*Template, error) {
	t := &Template{texts: []*text{{name, body}}}
	d, err := t.configure(o)
	if err != nil {
		return nil, &Error{Name: name, Msg: err.Error(), Err: err}
	}
	p := parser{t: t, trim: o.TrimBlocks, trees: make(map[string]*parse.Tree), owners: make(map[string]*text)}
	if err := p.add("", ""); err != nil {
		return nil, err
	}
	for i, partial := range o.Partials {
		t.texts = append(t.texts, &text{partial.Name, partial.Text})
		if err := p.add(filepath.Base(partial.Name), siteMark+strconv.Itoa(i+1)); err != nil {
			return nil, err
		}
	}
	b := binder{t: t, denied: d, funcs: make(template.FuncMap)}
	for _, name := range slices.Sorted(maps.Keys(p.trees)) {
		b.text = p.owners[name]
		if err := b.bind(p.trees[name].Root); err != nil {
			return nil, err
		}
	}
	m := marker{shared: b.shared}
	b.funcs[printable] = t.pass.funcs.Printable
	for _, name := range slices.Sorted(maps.Keys(p.trees)) {
		m.text = p.owners[name]
		m.markList(p.trees[name].Root)
	}
	t.marks, t.markBase = m.marks, placeMarks(m.marks)

	t.funcs = b.funcs
	t.root = template.New("").Funcs(t.funcs)
	for name, tree := range p.trees {
		if _, err := t.root.AddParseTree(name, tree); err != nil {
			return nil, t.parseError(err)
		}
	}
	return t, nil
}

// configure applies all options but the texts, and returns the functions that these must not use.
func (t *Template) configure(o Options) (d denied, err error) {
	t.strict = o.ErrorOnMissingKey
	t.pass.template, t.pass.env = t, o.Env
	t.pass.maxOutput, t.pass.maxSteps = o.MaxOutput, maxSteps
	if o.MaxOutput <= 0 {
		t.pass.maxOutput = DefaultMaxOutput
	}
	t.pass.funcs = &funcs.Env{InText: t.pass.inText, MaxSize: max(t.pass.maxOutput, DefaultMaxOutput), Stopped: t.pass.stopped}
	if t.pass.env == nil {
		t.pass.env = os.LookupEnv
	}
	if t.delims, err = newDelimiters(o.LeftDelimiter, o.RightDelimiter); err != nil {
		return nil, err
	}
	t.pass.checkPath = watch.CheckSandbox
	if t.pass.sandbox, err = newSandbox(o.Sandbox); err != nil {
		return nil, err
	}
	return newDenied(o)
}

// A parser turns the texts of a template into trees.
type parser struct {
	t      *Template
	trim   bool
	trees  map[string]*parse.Tree
	owners map[string]*text // the text that a tree is from
}

// add parses the last of the texts. What stands outside of a define becomes the template name. The number is how
// text/template calls the text in its messages; a text's own name would become a part of its formats. Its mark keeps it apart
// from what a text defines.
func (p *parser) add(name, number string) error {
	text := p.t.texts[len(p.t.texts)-1]
	tree := parse.New(number)
	tree.Mode = parse.SkipFuncCheck // bind looks at the functions, and says more about what it does not know
	trees := make(map[string]*parse.Tree)
	if _, err := tree.Parse(text.text, p.t.delims.left, p.t.delims.right, trees); err != nil {
		e := p.t.parseError(err)
		e.Msg = p.t.delims.keywords(e.Msg)
		return e
	}
	if p.trim {
		trimBlocks(text.text, trees)
	}
	for defined, tree := range trees {
		if defined == number {
			if defined = name; name != "" && parse.IsEmptyTree(tree.Root) {
				continue
			}
		}
		if owner := p.owners[defined]; owner != nil {
			return text.errorAt(0, fmt.Sprintf("the template %q is defined in %s, too", defined, owner.name))
		}
		p.trees[defined], p.owners[defined] = tree, text
	}
	return nil
}

// Name returns the name that was given to Parse.
func (t *Template) Name() string { return t.texts[0].name }

// Execute runs the template once with the answers there are. Running it has no effect but the Result. It ends with an error
// soon after ctx is done: within the time of one function of the text.
//
// Where a missing key is an error and something is pending, an error leads to a second run, in which a missing key is
// none: else each of them would hide the queries behind it, and cost a pass (R2).
func (t *Template) Execute(ctx context.Context, lookup Lookup) Result {
	p := &t.pass
	p.ctx, p.lookup = ctx, lookup
	defer func() { p.ctx, p.lookup = nil, nil }()

	failed := t.run(t.strict)
	if failed && t.strict && p.unanswered() && ctx.Err() == nil {
		t.run(false)
	}
	if t.lacksStack(p.result.Err) {
		t.runGuarded(t.strict)
	}
	return p.result
}

// unanswered reports whether something is pending or absent.
func (p *pass) unanswered() bool { return len(p.result.Pending) > 0 || len(p.result.Absent) > 0 }

// run executes the template and reports whether it failed, also where that is no error of the result.
func (t *Template) run(strict bool) (failed bool) {
	p := &t.pass
	p.asked = make(map[watch.Query]*asked, len(p.asked))
	p.result = Result{Used: make([]watch.Query, 0, len(p.result.Used))}
	p.scratch, p.writes, p.skipped = funcs.NewScratch(p.funcs), nil, false
	p.funcs.Begin()
	p.steps, p.mark, p.depth = 0, len(t.marks), 0
	missingKey := "missingkey=zero"
	if strict {
		missingKey = "missingkey=error"
	}
	out := &page{pass: p, text: make([]byte, 0, p.size+p.size/8)}
	t.root.Option(missingKey)
	err := t.execute(out)
	switch {
	case p.unanswered():
		p.result.Writes = nil
	case err != nil:
		p.result.Err, p.result.Writes = t.execError(err), nil
	default:
		p.result.Output = out.text
		p.size = len(out.text)
	}
	p.result.Complete = err == nil && len(p.result.Pending) == 0 && !p.skipped
	return err != nil
}

// Where returns the place in the text, as name:line:column, where the last execution first asked a query.
func (t *Template) Where(q watch.Query) string {
	a, ok := t.pass.asked[q]
	if !ok {
		return t.Name()
	}
	site := t.sites[a.site]
	return site.text.place(site.pos)
}

// ask looks a query up for the function at a site and records it (R1).
func (p *pass) ask(site int, q watch.Query) (value any, answered bool) {
	value, answered = p.lookup(q)
	if p.note(site, q) && !answered {
		p.result.Pending = append(p.result.Pending, q)
	}
	return value, answered
}

// note records that a query was asked at a site, and reports whether that is the first time.
func (p *pass) note(site int, q watch.Query) (first bool) {
	if p.asked[q] != nil {
		return false
	}
	p.asked[q] = &asked{site: site}
	p.result.Used = append(p.result.Used, q)
	return true
}

// need records that an answer says "there is none" where the template cannot do without.
func (p *pass) need(site int, q watch.Query) {
	if a := p.asked[q]; !a.absent {
		a.absent, a.site = true, site
		p.result.Absent = append(p.result.Absent, q)
	}
}

// query returns the query that an argument stands for. It parses an argument once.
func (p *pass) query(kind, text string, parse func(kind, text string) (watch.Query, error)) (watch.Query, error) {
	a := argument{kind, text}
	if q, ok := p.parsed.Get(a); ok {
		return q, nil
	}
	q, err := parse(kind, text)
	if err != nil {
		return watch.Query{}, err
	}
	p.parsed.Put(a, q, maxParsed)
	return q, nil
}

// inText reports whether a text stands in the template, and so is no secret.
func (p *pass) inText(s string) bool {
	return slices.ContainsFunc(p.template.texts, func(t *text) bool { return strings.Contains(t.text, s) })
}

// A site is a call in the text of a function that asks a query.
type site struct {
	text *text
	pos  parse.Pos
}

// binder gives a template the functions that its text calls.
//
// A function that asks a query has to know where it stands in the text, so that a query can be traced to its line.
// So each such call gets a function of its own: the name in the parsed tree becomes "key" + siteMark + number. The mark
// is a letter, as a function's name needs, but one that no name has.
//
// Nothing but bind gives functions to a template, so one that it did not see, and did not check, is not there to be called.
// Go's own are the exception.
type binder struct {
	t      *Template
	text   *text // that is being bound
	denied denied
	funcs  template.FuncMap
	shared bool // whether one of the sharers is called
}

const siteMark = "\u01c3"

func (b *binder) bind(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		return b.bindAll(n.Nodes)
	case *parse.ActionNode:
		return b.bind(n.Pipe)
	case *parse.PipeNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Cmds {
			if err := b.bindAll(c.Args); err != nil {
				return err
			}
		}
	case *parse.IfNode:
		return b.bindBranch(&n.BranchNode)
	case *parse.RangeNode:
		return b.bindBranch(&n.BranchNode)
	case *parse.WithNode:
		return b.bindBranch(&n.BranchNode)
	case *parse.TemplateNode:
		return b.bind(n.Pipe)
	case *parse.ChainNode:
		return b.bind(n.Node)
	case *parse.IdentifierNode:
		return b.bindCall(n)
	}
	return nil
}

func (b *binder) bindAll(nodes []parse.Node) error {
	for _, n := range nodes {
		if err := b.bind(n); err != nil {
			return err
		}
	}
	return nil
}

func (b *binder) bindBranch(n *parse.BranchNode) error {
	if err := b.bind(n.Pipe); err != nil {
		return err
	}
	if err := b.bind(n.List); err != nil {
		return err
	}
	return b.bind(n.ElseList)
}

func (b *binder) bindCall(n *parse.IdentifierNode) error {
	if message := b.denied.message(n.Ident); message != "" {
		return b.text.errorAt(n.Pos, message)
	}
	b.shared = b.shared || sharers[n.Ident]
	if f, ok := queryFuncs[n.Ident]; ok {
		i := len(b.t.sites)
		b.t.sites = append(b.t.sites, site{text: b.text, pos: n.Pos})
		n.Ident = siteName(n.Ident, i)
		b.funcs[n.Ident] = f(asker{pass: &b.t.pass, site: i})
		return nil
	}
	if f, ok := passFuncs[n.Ident]; ok {
		b.funcs[n.Ident] = f(&b.t.pass)
		return nil
	}
	if f, ok := funcs.Bind(n.Ident, b.t.pass.funcs); ok {
		b.funcs[n.Ident] = f
		return nil
	}
	if funcs.IsGo(n.Ident) {
		return nil
	}
	if message := funcs.Refused(n.Ident); message != "" {
		return b.text.errorAt(n.Pos, message)
	}
	return b.text.errorAt(n.Pos, "there is no function "+n.Ident+Suggestion(n.Ident, functionNames()))
}

func functionNames() []string {
	names := slices.Concat(slices.Collect(maps.Keys(queryFuncs)), slices.Collect(maps.Keys(passFuncs)), funcs.Names())
	slices.Sort(names)
	return names
}
