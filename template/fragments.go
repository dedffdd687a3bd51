package template

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"text/template/parse"

	"render/template/fragment"
	"render/watch"
)

// A change of one answer must not cost a pass over all of them. So what an iteration of a range did is kept: its output, with
// the queries that it asked and their answers. A later pass repeats that, as long as the answers are the same. Package fragment
// says which ranges can be kept so.
//
// Such a range gets its list by way of a function: {{range LIST}} becomes {{range each $captured… (LIST)}}. Where nothing can be
// kept, the function returns the list. Else it returns an iterator in its place, which repeats what it can and yields the other
// elements. The text's own nodes stay what they are, and so do the places of errors.

// A ranged is a range whose iterations are kept.
type ranged struct {
	fragment.Range
	groups map[string]*group // by the values of the captured variables
}

// A group has the iterations of a range that had the same captured variables.
type group struct {
	owner      *ranged
	key        string
	held       []any                 // what the key has addresses of
	iterations map[string]*iteration // by element and, where the body uses the index, index

	// The list is mostly the same answer as in the pass before. Then iterations are found by place, without a key.
	list   reflect.Value // the last list; the zero Value where it is no answer, or less than half of its iterations are kept
	places places
}

// An iteration is what one iteration of a range did.
type iteration struct {
	output  []byte
	replies []reply   // to all that it asked, each query once, or twice as add says, in the order of asking
	dropped []Dropped // instances that hostport left out
	suspect []Suspect // places that are probably mistakes, each once
	steps   int       // that it took
	mark    int       // the last of them
	depth   int       // how much deeper than the range it went
	held    []any     // what the iteration's key has addresses of
	size    int       // of all this in memory, about
	pass    uint64    // the last pass that the iteration was part of
	kept    bool      // until it is forgotten
}

// A reply is the answer to a query, as an iteration got it. The query was answered.
type reply struct {
	asked *asked
	site  int
	value any
}

// A recording is an iteration that is under way.
type recording struct {
	iteration
	number  uint64
	useless bool // something was unanswered, or needed and absent
}

const (
	iterationSize = 320     // of an iteration without output and replies
	replySize     = 48      // of a reply
	suspectSize   = 32      // of a suspect
	freeKeep      = 1 << 20 // bytes that iterations may take in any case
	queryKeep     = 512     // bytes that they may take for each query that the pass asks
)

// keep has the ranges of a template keep their iterations. It changes their pipelines.
func (b *binder) keep(ranges []fragment.Range) {
	for i, found := range ranges {
		r := &ranged{Range: found, groups: make(map[string]*group)}
		b.t.pass.ranges = append(b.t.pass.ranges, r)
		name := siteName("each", i)
		b.funcs[name] = func(args ...reflect.Value) reflect.Value { return b.t.pass.each(r, args) }

		pipe := r.Node.Pipe
		list := &parse.PipeNode{NodeType: parse.NodePipe, Pos: pipe.Pos, Line: pipe.Line, Cmds: pipe.Cmds}
		args := []parse.Node{parse.NewIdentifier(name).SetPos(pipe.Pos)}
		for _, captured := range r.Captured {
			args = append(args, &parse.VariableNode{NodeType: parse.NodeVariable, Pos: pipe.Pos, Ident: []string{captured}})
		}
		args = append(args, list) // last, so that an error of the range has the place that it has without all this
		pipe.Cmds = []*parse.CommandNode{{NodeType: parse.NodeCommand, Pos: pipe.Pos, Args: args}}
	}
}

// each returns what a range has to iterate over, given the captured variables and the list: the list itself, or an iterator
// over the elements whose iterations cannot be repeated.
func (p *pass) each(r *ranged, args []reflect.Value) reflect.Value {
	list, captured := args[len(args)-1], args[:len(args)-1]
	if p.recording != nil || p.plain || list.Kind() != reflect.Slice || list.Len() == 0 {
		return list
	}
	key := &p.key
	key.Reset()
	for _, v := range captured {
		if !key.Add(v, fragment.Answers) {
			return list
		}
	}
	g := r.groups[string(key.Bytes())]
	if g == nil {
		g = &group{owner: r, key: string(key.Bytes()), held: key.Held()}
	}

	in := []reflect.Type{list.Type().Elem()}
	if len(r.Node.Pipe.Decl) == 2 {
		in = []reflect.Type{reflect.TypeFor[int](), in[0]}
	}
	yield := reflect.FuncOf(in, []reflect.Type{reflect.TypeFor[bool]()}, false)
	return reflect.MakeFunc(reflect.FuncOf([]reflect.Type{yield}, nil, false), func(args []reflect.Value) []reflect.Value {
		p.iterate(g, list, args[0])
		return nil
	})
}

// iterate yields the elements of a list whose iterations cannot be repeated, and keeps what their iterations do. For a range
// with an else it yields one at least: a range that yields nothing executes its else.
func (p *pass) iterate(g *group, list, yield reflect.Value) {
	r, n := g.owner, list.Len()
	placed := g.placesIn(list)
	yielded := r.Node.ElseList == nil
	for i := range n {
		element, it := list.Index(i), placed.at(i)
		keyed := it != nil || p.setKey(r, i, element)
		if it == nil && keyed {
			it = g.iterations[string(p.key.Bytes())]
		}
		if it != nil && (yielded || i < n-1) && p.repeatable(it) {
			p.repeat(it)
			placed.put(i, it)
			continue
		}

		yielded = true
		placed.put(i, p.execute(g, i, element, keyed, yield))
	}

	g.list, g.places = reflect.Value{}, nil
	if placed != nil && 2*len(g.iterations) >= n {
		g.list, g.places = list, placed
	}
}

// placesIn returns what is known of the places of a list, and nil for a list that is no answer: another one can be where it is.
func (g *group) placesIn(list reflect.Value) places {
	switch {
	case !fragment.Answers.IsList(list.Type()):
		return nil
	case g.list.IsValid() && g.list.Type() == list.Type() && g.list.Pointer() == list.Pointer() && g.list.Len() == list.Len():
		return g.places
	}
	return make(places, list.Len())
}

// places has the iterations of a list by place, nil where none is kept. It is nil where nobody wants to know.
type places []*iteration

// at returns the iteration of a place, nil if it is not known or has been forgotten.
func (s places) at(i int) *iteration {
	if s == nil || s[i] == nil || !s[i].kept {
		return nil
	}
	return s[i]
}

func (s places) put(i int, it *iteration) {
	if s != nil {
		s[i] = it
	}
}

// setKey makes the key of an element, and reports whether it has one.
func (p *pass) setKey(r *ranged, i int, element reflect.Value) bool {
	p.key.Reset()
	if r.Index {
		p.key.Add(reflect.ValueOf(i), nil)
	}
	return p.key.Add(element, fragment.Answers)
}

// execute yields an element, and returns the iteration if it is kept.
func (p *pass) execute(g *group, i int, element reflect.Value, keyed bool, yield reflect.Value) *iteration {
	in := []reflect.Value{element}
	if len(g.owner.Node.Pipe.Decl) == 2 {
		in = []reflect.Value{reflect.ValueOf(i), element}
	}
	if !keyed {
		yield.Call(in)
		return nil
	}
	p.setKey(g.owner, i, element)
	key, held := string(p.key.Bytes()), p.key.Held()
	it, useful := p.record(func() { yield.Call(in) })
	if !useful {
		return nil
	}
	it.held = held
	p.store(g, key, it)
	if !it.kept {
		return nil
	}
	return it
}

// record returns what an iteration does, and whether that can be kept.
func (p *pass) record(do func()) (it *iteration, useful bool) {
	p.recordings++
	r := &recording{number: p.recordings, useless: p.strict != p.template.strict}
	output, dropped, steps, depth, deepest := len(p.out.text), len(p.result.Dropped), p.steps, p.depth, p.deepest
	p.recording, p.deepest = r, p.depth
	do()
	it = &r.iteration
	it.steps, it.mark, it.depth = p.steps-steps, p.mark, p.deepest-depth
	p.recording, p.deepest = nil, max(p.deepest, deepest)
	if r.useless {
		return nil, false
	}
	it.output, it.dropped = bytes.Clone(p.out.text[output:]), slices.Clone(p.result.Dropped[dropped:])
	return it, true
}

// repeatable reports whether an iteration would do now what it did: the answers are the same, and no bound is in its way. What
// exceeds a bound is executed until it does, so that the error has its place.
func (p *pass) repeatable(it *iteration) bool {
	if p.steps+it.steps > p.maxSteps || p.depth+it.depth > maxDepth || p.exceeds(len(it.output)) || p.ctx.Err() != nil {
		return false
	}
	if len(it.dropped) > 0 && p.funcs.Make(len(it.dropped)*droppedSize) != nil {
		return false
	}
	for _, r := range it.replies { // in the order of asking: what is looked up here would be asked
		if value, answered := p.lookup(r.asked.query); !answered || !fragment.Same(r.value, value) {
			return false
		}
	}
	return true
}

// repeat does what an iteration did.
func (p *pass) repeat(it *iteration) {
	for _, r := range it.replies {
		p.note(r.asked, r.site)
	}
	p.result.Dropped = append(p.result.Dropped, it.dropped...)
	for _, s := range it.suspect {
		p.addSuspect(s)
	}
	p.out.add(it.output)
	p.steps += it.steps
	p.mark = it.mark
	p.use(it)
	p.repeated++
}

// use notes that an iteration is part of this pass.
func (p *pass) use(it *iteration) {
	if it.pass != p.number {
		it.pass = p.number
		p.used++
	}
}

// store keeps an iteration for later passes, unless iterations take too much memory: more than twice the output and something
// for each query, or a quarter of what an output may have.
func (p *pass) store(g *group, key string, it *iteration) {
	it.size = iterationSize + len(key) + len(it.output) + len(it.replies)*replySize + len(it.suspect)*suspectSize
	for _, d := range it.dropped {
		it.size += len(d.ID) + len(d.Node) + 64
	}
	old := g.iterations[key]
	if old != nil {
		p.forget(g, key, old)
	}
	if p.keptSize+it.size > min(freeKeep+2*(p.size+len(p.output.text))+queryKeep*p.asks, p.maxOutput/4) {
		p.full = true
		return
	}
	if len(g.iterations) == 0 {
		g.iterations = make(map[string]*iteration)
		g.owner.groups[g.key] = g
	}
	g.iterations[key], it.kept = it, true
	p.kept++
	p.keptSize += it.size
	p.use(it)
}

func (p *pass) forget(g *group, key string, it *iteration) {
	delete(g.iterations, key)
	it.kept = false
	if len(g.iterations) == 0 {
		delete(g.owner.groups, g.key)
	}
	p.kept--
	p.keptSize -= it.size
	if it.pass == p.number {
		p.used--
	}
}

// forgetUnused drops the iterations that this pass did not use, and the queries that it did not ask. An iteration that it used
// has all its queries among those.
func (p *pass) forgetUnused() {
	if p.used < p.kept {
		for _, r := range p.ranges {
			for _, g := range r.groups {
				for key, it := range g.iterations {
					if it.pass != p.number {
						p.forget(g, key, it)
					}
				}
			}
		}
	}
	if p.asks < len(p.asked) {
		maps.DeleteFunc(p.asked, func(_ watch.Query, a *asked) bool { return a.pass != p.number })
		if names := p.template.names; names != nil {
			names.forget(p.asked)
		}
	}
}

// add notes that the iteration asked a query, and what the answer was. Made says whether the site can make the name of a secret: then
// a site that cannot, which decides how the name is shown, is noted as well.
func (r *recording) add(a *asked, site int, made bool, value any, answered bool) {
	r.useless = r.useless || !answered
	if a.recording != r.number || a.onlyMade && !made {
		a.recording, a.onlyMade = r.number, made
		r.replies = append(r.replies, reply{a, site, value})
	}
}
