// Package template turns text and answers into text and questions.
//
// A [Template] is parsed once and executed often. Its functions query data by [watch.Query]; what they asked, and
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
	"sync/atomic"
	"text/template"
	"text/template/parse"

	"render/template/fragment"
	"render/template/funcs"
	"render/template/secrets"
	"render/template/syntax"
	"render/template/trim"

	"render/watch"
)

// A Lookup gives the answer to a query, as far as it is known. A nil value that was answered means that the name does not exist. The answers
// do not change while an Execute lasts.
type Lookup func(watch.Query) (value any, answered bool)

// A Template is a parsed text. It can be executed again and again, by one goroutine at a time.
type Template struct {
	texts  []*text // its own, then the partials
	delims syntax.Delimiters
	root   *template.Template
	funcs  template.FuncMap // that root calls
	strict bool             // a missing key is an error
	sites  []site           // the places where the text asks queries
	pass   pass             // the present execution, or the last

	reported map[Suspect]bool // see Unreported
	quiet    atomic.Bool      // the name of a query has had a part of a secret
	names    *names           // nil where the text asks no secret
	id       func(watch.Query) string

	marks    []mark
	markBase []byte // the array of all marks' texts
}

// A Result is what one execution gave.
type Result struct {
	Output  []byte        // nil unless the pass is finished (R4)
	Used    []watch.Query // all that was asked, each once, in the order of asking; the slice of the last execution where that asked the same
	Pending []watch.Query // of these, what has no answer yet
	Absent  []watch.Query // of these, what was needed and does not exist
	Writes  []Write       // what else is to be written, by writeToFile
	Dropped []Dropped     // instances that hostport left out, each time
	Suspect []Suspect     // places that are probably mistakes, each once
	Err     error         // an *Error; nil while anything is pending or absent: the fault may come from that

	// Complete reports whether Used has all queries that the template asks with the present answers: the execution ran to its
	// end, nothing was pending, and no plugin and no write was left out. Something may be absent.
	Complete bool
}

// Finished reports whether the execution gave output (R4).
func (r Result) Finished() bool { return len(r.Pending) == 0 && len(r.Absent) == 0 && r.Err == nil }

// pass is the state of one execution, which the functions share.
type pass struct {
	template   *Template
	lookup     Lookup
	env        func(string) (string, bool)
	funcs      *funcs.Env
	sandbox    string                                   // of the function file
	certFiles  []string                                 // in which a certificate of Vault can be: those that the text names, and the destination
	certFields []string                                 // that the text uses of certificates
	parsed     funcs.Generations[argument, watch.Query] // arguments of earlier passes, too: they are mostly the same
	named      namedQuery
	result     Result
	size       int // of the last output

	checkPath    func(sandbox, path string) error // watch.CheckSandbox
	sandboxCheck <-chan struct{}                  // of the last check, closed when it has ended; nil if that was in time

	// What heeds ctx is called by text/template, which hands nothing on to it: the functions of the text, and the writer of the output.
	// So the context is here, for as long as an Execute lasts.
	ctx       context.Context
	maxOutput int // bytes
	maxSteps  int
	steps     int // marks that were passed, and what functions have spent
	mark      int // the last of them
	depth     int // see mark
	deepest   int // the greatest depth since a recording, or the execution, began

	suspects map[Suspect]bool // of this execution
	scratch  *funcs.Scratch
	writes   map[string]int // where in Result.Writes the write of a path is
	secrets  []watch.Query  // that this pass has asked
	parts    secrets.Parts  // of the answers to these
	indexed  int            // how many of these parts has
	knows    bool           // one of these is a value that the text can put into a name
	hides    bool           // this pass has asked a query whose name Show does not show
	skipped  bool           // whether a plugin, or a write to Vault, was not asked, because something was unanswered
	strict   bool           // a missing key is an error

	number   uint64                 // counts passes
	asked    map[watch.Query]*asked // of earlier passes, too
	asks     int                    // how many of these this pass has asked
	sequence sequence               // which they are
	output   *page                  // of the whole template
	out      *page                  // of the template that is executed at this point
	beside   int                    // bytes of output beside that: on the pages around it, and in files that writeToFile writes

	ranges     []*ranged
	plain      bool         // nothing is kept
	recording  *recording   // nil for none
	recordings uint64       // counts them
	kept       int          // iterations that ranges keep
	keptSize   int          // in memory, about
	used       int          // how many of them are part of this pass
	full       bool         // one was not kept, for want of room
	repeated   int          // how many iterations this pass has repeated
	key        fragment.Key // of an element; for use at once
}

// argument is what a function was given, and for which kind of query.
type argument struct{ kind, text string }

const maxParsed = 20_000 // arguments kept in a generation

// asked is what passes know of a query.
type asked struct {
	query     watch.Query
	secret    bool   // whether the answer is
	name      naming // of Show
	pass      uint64 // the last pass that asked it; what follows is from that pass
	site      int
	absent    bool   // it is in Result.Absent already
	recording uint64 // the last recording that it is part of
	onlyMade  bool   // there, it was asked only at sites that can make the name of a secret
}

// Parse parses a text. The name is what errors call it, usually its file. An error is an *Error with the place.
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
	ranges := fragment.Find(p.trees, effectOf)
	if calls, asked := secrets.OrdinaryCalls(p.trees, effectOf); asked {
		b.ordinary, t.names = calls, new(names)
	}
	if t.pass.certFiles, err = secrets.CertFiles(o.Destination, p.trees); err != nil {
		return nil, &Error{Name: name, Msg: err.Error(), Err: err}
	}
	t.pass.certFields = secrets.CertFields(p.trees)
	for _, name := range slices.Sorted(maps.Keys(p.trees)) {
		b.text = p.owners[name]
		if err := b.bind(p.trees[name].Root); err != nil {
			return nil, err
		}
	}
	b.keep(ranges)
	m := marker{shared: b.shared}
	b.funcs[printable] = t.pass.printable
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
	t.strict, t.id = o.ErrorOnMissingKey, o.ID
	t.pass.template, t.pass.env = t, o.Env
	t.pass.plain, t.pass.asked = o.plain, make(map[watch.Query]*asked)
	t.pass.maxOutput, t.pass.maxSteps = o.MaxOutput, maxSteps
	if o.MaxOutput <= 0 {
		t.pass.maxOutput = DefaultMaxOutput
	}
	t.pass.funcs = &funcs.Env{
		InText: t.pass.canShow, MaxSize: maxValues(t.pass.maxOutput), Output: t.pass.held, Stopped: t.pass.stopped, Spend: t.pass.spend,
		Searches: o.Searches,
	}
	if o.Searches == nil {
		t.pass.funcs.Searches = new(Searches)
	}
	if t.pass.env == nil {
		t.pass.env = os.LookupEnv
	}
	if t.delims, err = syntax.NewDelimiters(o.LeftDelimiter, o.RightDelimiter); err != nil {
		return nil, err
	}
	t.pass.checkPath = watch.CheckSandbox
	if t.pass.sandbox, err = absolute(o.Sandbox); err != nil {
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
	if _, err := tree.Parse(text.text, p.t.delims.Left, p.t.delims.Right, trees); err != nil {
		e := p.t.parseError(err)
		e.Msg = p.t.delims.Keywords(e.Msg)
		return e
	}
	if p.trim {
		trim.Blocks(text.text, trees)
	}
	for defined, tree := range trees {
		if defined == number {
			if defined = name; name != "" && parse.IsEmptyTree(tree.Root) {
				continue
			}
		}
		if owner := p.owners[defined]; owner != nil {
			return text.errorAt(0, fmt.Sprintf("the template %q is also defined in %s", defined, owner.name), "rename one of the two")
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
	defer func() { p.ctx, p.lookup, p.parts = nil, nil, secrets.Parts{} }()

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
	p.result = Result{}
	p.scratch, p.writes, p.skipped, p.strict = funcs.NewScratch(p.funcs), nil, false, strict
	clear(p.suspects)
	p.funcs.Begin()
	p.steps, p.mark, p.depth, p.deepest = 0, len(t.marks), 0, 0
	p.number++
	p.asks, p.used, p.repeated, p.full, p.recording, p.beside = 0, 0, 0, false, nil, 0
	p.secrets, p.indexed, p.parts, p.knows, p.hides = p.secrets[:0], 0, secrets.Parts{}, false, false
	p.sequence.begin()
	missingKey := "missingkey=zero"
	if strict {
		missingKey = "missingkey=error"
	}
	out := &page{pass: p, text: make([]byte, 0, p.size+p.size/8)}
	p.output, p.out = out, out
	t.root.Option(missingKey)
	err := t.execute(out)
	p.result.Used = p.sequence.end()
	if err == nil || p.full || len(p.asked) > 2*p.asks+maxParsed { // an error hides what would have been used
		p.forgetUnused()
	}
	p.output, p.out = nil, nil
	if p.hides {
		for i := range p.result.Dropped { // an instance has the name of its service
			p.result.Dropped[i].ID, p.result.Dropped[i].Node = "", ""
		}
	}
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
	a := t.pass.asked[q]
	if a == nil || a.pass != t.pass.number {
		return t.Name()
	}
	site := t.sites[a.site]
	return site.text.place(site.pos)
}

// ask looks a query up for the function at a site and records it (R1).
func (p *pass) ask(site int, q watch.Query) (value any, answered bool) {
	value, answered = p.lookup(q)
	a := p.askedOf(q)
	if p.note(a, site) && !answered {
		p.result.Pending = append(p.result.Pending, q)
	}
	if p.recording != nil {
		p.recording.add(a, site, p.template.sites[site].made, value, answered)
	}
	return value, answered
}

func (p *pass) askedOf(q watch.Query) *asked {
	a := p.asked[q]
	if a == nil {
		a = &asked{query: q, secret: q.Secret()}
		p.asked[q] = a
		p.guardName(q)
	}
	return a
}

// note records that a query was asked at a site, and reports whether that is the first time.
func (p *pass) note(a *asked, site int) (first bool) {
	if p.template.names != nil {
		p.noteName(a, site)
	}
	if a.pass == p.number {
		return false
	}
	a.pass, a.site, a.absent = p.number, site, false
	if a.secret {
		p.secrets = append(p.secrets, a.query)
		p.knows = p.knows || a.query.SecretAnswer()
	}
	p.asks++
	p.sequence.add(a)
	return true
}

// need records that an answer says that a name does not exist where the template cannot do without.
func (p *pass) need(site int, q watch.Query) {
	if p.recording != nil {
		p.recording.useless = true
	}
	if a := p.asked[q]; !a.absent {
		a.absent = true
		if a.name != shownName || !p.madeOfSecret(site) { // else the name would be known as that of this place
			a.site = site
		}
		p.result.Absent = append(p.result.Absent, q)
	}
}

// A sequence gathers the queries of a pass. Where they are those of the pass before, in the same order, it returns the same slice.
type sequence struct {
	last  []watch.Query // of the pass before
	asked []*asked      // the queries of last or, once there is own, of own
	same  int           // so many of them were added again
	own   []watch.Query // in place of last, from the first query that differs; nil until then
}

func (s *sequence) begin() { s.same, s.own = 0, nil }

func (s *sequence) add(a *asked) {
	if s.own == nil {
		if s.same < len(s.asked) && s.asked[s.same] == a {
			s.same++
			return
		}
		s.own = append(make([]watch.Query, 0, max(len(s.last), s.same+1)), s.last[:s.same]...)
		s.asked = s.asked[:s.same]
	}
	s.own, s.asked = append(s.own, a.query), append(s.asked, a)
}

func (s *sequence) end() []watch.Query {
	switch {
	case s.own != nil:
		s.last = s.own
	case s.same < len(s.last):
		s.last, s.asked = slices.Clone(s.last[:s.same]), s.asked[:s.same]
	case s.last == nil:
		s.last = []watch.Query{}
	}
	return s.last
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
	made bool // the name of the query can be made of a secret
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

	literals int                            // calls of functions that have one of their arguments
	ordinary map[*parse.IdentifierNode]bool // calls whose queries have no name that is made of a secret
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
		for i, c := range n.Cmds {
			args := c.Args
			if call, ok := args[0].(*parse.IdentifierNode); ok {
				piped, name := min(i, 1), call.Ident // the value of the command before
				if err := b.bindCall(call, len(args)-1+piped); err != nil {
					return err
				}
				if f, rest, ok := withLiteral(b.funcs[call.Ident], args[1:], piped); ok {
					b.literals++
					call.Ident = siteName(name, firstLiteral+b.literals)
					b.funcs[call.Ident], c.Args = f, append(args[:1:1], rest...)
				}
				args = c.Args[1:]
			}
			if err := b.bindAll(args); err != nil {
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
		return b.bindCall(n, 0)
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

// bindCall binds the function of a call with so many arguments.
func (b *binder) bindCall(n *parse.IdentifierNode, arguments int) error {
	if message, hint := b.denied.message(n.Ident); message != "" {
		return b.text.errorAt(n.Pos, message, hint)
	}
	b.shared = b.shared || sharers[n.Ident]
	if f, ok := queryFuncs[n.Ident]; ok {
		i := len(b.t.sites)
		b.t.sites = append(b.t.sites, site{text: b.text, pos: n.Pos, made: b.t.names != nil && !b.ordinary[n]})
		f := f(asker{pass: &b.t.pass, site: i})
		if fixed, ok := withArity(f, arguments); ok {
			f = fixed
		}
		n.Ident = siteName(n.Ident, i)
		b.funcs[n.Ident] = f
		return nil
	}
	if f, ok := passFuncs[n.Ident]; ok {
		b.use(n, f(&b.t.pass), arguments)
		return nil
	}
	if f, ok := funcs.Bind(n.Ident, b.t.pass.funcs); ok {
		b.use(n, f, arguments)
		return nil
	}
	if funcs.IsGo(n.Ident) {
		return nil
	}
	if message, hint := funcs.Refused(n.Ident); message != "" {
		return b.text.errorAt(n.Pos, message, hint)
	}
	return b.text.errorAt(n.Pos, "there is no function "+n.Ident, Suggestion(n.Ident, functionNames()))
}

// use makes a call use a function that is the same for all calls with so many arguments.
func (b *binder) use(n *parse.IdentifierNode, f any, arguments int) {
	if fixed, ok := withArity(f, arguments); ok {
		f = fixed
		n.Ident = siteName(n.Ident, arguments)
	}
	b.funcs[n.Ident] = f
}

func functionNames() []string {
	names := slices.Concat(slices.Collect(maps.Keys(queryFuncs)), slices.Collect(maps.Keys(passFuncs)), funcs.Names())
	slices.Sort(names)
	return names
}
