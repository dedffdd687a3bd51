package template

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"text/template/parse"

	"render/template/funcs"
	"render/watch"
	"render/watch/hint"
)

// An execution is bounded in output, steps and depth, and ends when its context is done. What exceeds a bound is an error of
// the template, with the place.
//
// The bounds are checked by the writer that text/template writes to: it is called for each text node and each value. So that
// it is called in each turn of a loop, too, and knows the place, the binder puts a mark before each action. A mark is a text
// node without text, which costs a call of Write and nothing else.
const (
	DefaultMaxOutput = 64 << 20   // bytes
	valuesShare      = 16         // the part of the memory limit of the process that the values of an execution can have
	leastValues      = 8 << 20    // bytes
	maxSteps         = 20_000_000 // marks that an execution passes, and what functions spend
	maxDepth         = 50_000     // blocks around an action, over all templates that call each other; a range counts as rangeDepth

	// After so many steps an execution lets other goroutines run: one that takes long would hold each of them for the time slice
	// of the scheduler, which is 10 ms.
	yieldSteps = 1024

	largePage = 1 << 20 // bytes

	// An error that leaves a range is a panic within a panic: its cost grows with the square of the ranges around it.
	rangeDepth = 100
)

// A mark stands before an action of a text.
type mark struct {
	node  *parse.TextNode
	site  site
	nest  int    // the depth of the action in its text
	depth int    // what is added to the depth of the execution: nest before a call of a template, -nest behind it, else 0
	field string // that the action prints; "" where it prints something else
}

// A marker puts marks into the trees of a template.
type marker struct {
	text   *text
	shared bool // the template can make values that hold one another often; see printable
	nest   int  // the depth of the present list
	marks  []mark
}

// markList returns the nodes of a list with a mark before each that executes something.
func (m *marker) markList(list *parse.ListNode) {
	if list == nil {
		return
	}
	m.nest++
	nodes := make([]parse.Node, 0, 2*len(list.Nodes))
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			field := printedField(n.Pipe)
			if m.shared && len(n.Pipe.Decl) == 0 {
				guard := &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{parse.NewIdentifier(printable)}}
				n.Pipe.Cmds = append(n.Pipe.Cmds, guard)
			}
			nodes = append(nodes, m.mark(n, 0), n)
			m.marks[len(m.marks)-1].field = field
		case *parse.TemplateNode:
			nodes = append(nodes, m.mark(n, m.nest), n, m.mark(n, -m.nest))
		case *parse.IfNode:
			nodes = append(nodes, m.mark(n, 0), n)
			m.markBranch(&n.BranchNode)
		case *parse.WithNode:
			nodes = append(nodes, m.mark(n, 0), n)
			m.markBranch(&n.BranchNode)
		case *parse.RangeNode:
			nodes = append(nodes, m.mark(n, 0), n)
			m.nest += rangeDepth
			m.markList(n.List)
			m.nest -= rangeDepth
			m.markList(n.ElseList)

			// The turn of a loop passes a mark, also where there is nothing in it to execute.
			n.List.Nodes = append([]parse.Node{m.mark(n, 0)}, n.List.Nodes...)
		case *parse.TextNode:
			nodes = append(nodes, n)
			if string(n.Text) == noValue { // in two parts it is not what text/template prints
				rest := *n
				n.Text, rest.Text = n.Text[:1], n.Text[1:]
				nodes = append(nodes, &rest)
			}
		default:
			nodes = append(nodes, n)
		}
	}
	list.Nodes = nodes
	m.nest--
}

func (m *marker) markBranch(b *parse.BranchNode) {
	m.markList(b.List)
	m.markList(b.ElseList)
}

func (m *marker) mark(n parse.Node, depth int) *parse.TextNode {
	t := &parse.TextNode{NodeType: parse.NodeText, Pos: n.Position()}
	m.marks = append(m.marks, mark{node: t, site: site{text: m.text, pos: n.Position()}, nest: m.nest, depth: depth})
	return t
}

// printable is the function that each action which prints a value passes it through, where the template calls one of the
// sharers: 40 lists that hold the one before them twice take no room, and fill a disk in print.
const printable = "print" + siteMark + "0"

// printable returns a value that is printed, or an error where the bounds do not allow that.
func (p *pass) printable(v any) (any, error) {
	if item, isItem := v.(watch.NomadItem); isItem && item.IsMissing() {
		p.addSuspect(p.missingItem())
	}
	return p.funcs.Printable(v)
}

// sharers are the functions that put one value into another, and nomadVar, whose missing items print nothing.
var sharers = func() map[string]bool {
	m := map[string]bool{"nomadVar": true}
	for _, name := range strings.Fields(`append concat dict explodeMap list merge mergeMap mergeMapWithOverride mergeOverwrite
		mustAppend mustConcat mustMerge mustMergeOverwrite mustPrepend mustPush pluck prepend push scratch set tuple values`) {
		m[name], m["sprig_"+name] = true, true
	}
	return m
}()

// placeMarks makes the nodes of marks known to the writer: all are empty slices of the one array, and the capacity says which.
func placeMarks(marks []mark) (base []byte) {
	base = make([]byte, len(marks)+1)
	for i, m := range marks {
		m.node.Text = base[: 0 : i+1]
	}
	return base
}

// A page takes the output of an execution, or of a template that it executes on the way.
type page struct {
	pass *pass
	text []byte
}

// Write adds to the page, or passes a mark.
func (w *page) Write(b []byte) (int, error) {
	p := w.pass
	if len(b) == 0 {
		if cap(b) > 0 && &b[:1][0] == &p.template.markBase[0] {
			return 0, p.step(cap(b) - 1)
		}
		return 0, nil
	}
	if p.exceeds(len(b)) {
		return 0, p.stop(p.errOutput())
	}
	switch {
	case string(b) == noValue:
		p.addSuspect(p.noValue())
	case p.isAddress(b):
		p.addSuspect(Suspect{p.site(), printsAddress})
	}
	w.add(b)
	return len(b), nil
}

// add adds to the text of the page. A large one doubles: append would add a quarter each time, and take five times the memory.
func (w *page) add(b []byte) {
	if need := len(w.text) + len(b); need > cap(w.text) && need > largePage {
		w.text = append(make([]byte, 0, max(need, min(2*cap(w.text), w.pass.maxOutput))), w.text...)
	}
	w.text = append(w.text, b...)
}

// exceeds reports whether the output would exceed its bound with so many bytes more on the present page.
func (p *pass) exceeds(bytes int) bool { return p.beside+len(p.out.text)+bytes > p.maxOutput }

func (p *pass) errOutput() error {
	return fmt.Errorf("the output exceeds %d bytes, the limit of max_output", p.maxOutput)
}

// held returns the memory that the output takes, and what ranges keep for later passes.
func (p *pass) held() int { return p.beside + cap(p.out.text) + p.keptSize }

// maxValues returns how many bytes the values of an execution can have: as many as the output, or as the default of that where it
// is more, but only a part of the memory that the process can have, and leastValues. A function can take several times the memory
// of its result, and other templates are executed at the same time.
func maxValues(maxOutput int) int {
	limit := debug.SetMemoryLimit(-1) // returns it
	return int(min(int64(max(maxOutput, DefaultMaxOutput)), max(limit/valuesShare, leastValues)))
}

var (
	errSteps = hint.With(errors.New("the execution takes too many steps"), "shorten the loops of the template")
	errSpent = hint.With(errors.New("the execution takes too many steps"), funcs.SearchHint)
	errDepth = hint.With(errors.New("templates call each other too deeply"), "check whether a template calls itself without end")
)

// step passes a mark.
func (p *pass) step(i int) error {
	m := &p.template.marks[i]
	p.mark = i
	p.steps++
	p.depth += m.depth
	p.deepest = max(p.deepest, p.depth)
	if p.steps%yieldSteps == 0 {
		runtime.Gosched()
	}
	switch {
	case p.steps > p.maxSteps:
		return p.stop(errSteps)
	case p.depth > maxDepth:
		return p.stop(errDepth)
	}
	if err := p.stopped(); err != nil {
		return p.stop(err)
	}
	return nil
}

// spend adds the steps that a function takes.
func (p *pass) spend(steps int) error {
	if p.steps += steps; p.steps > p.maxSteps {
		return errSpent
	}
	return nil
}

// stopped returns why the execution is to end, and nil as long as it may go on.
func (p *pass) stopped() error {
	if p.ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("the execution was stopped: %w", context.Cause(p.ctx))
}

// A stopError ends an execution at a place.
type stopError struct {
	site site
	err  error
}

func (e *stopError) Error() string { return e.err.Error() }

// stop returns an error for the action that is executed at present.
func (p *pass) stop(err error) error { return &stopError{p.site(), err} }

// site returns the place of the action that is executed at present.
func (p *pass) site() site {
	if p.mark >= len(p.template.marks) {
		return site{text: p.template.texts[0]}
	}
	return p.template.marks[p.mark].site
}

// nest returns the number of blocks around the action that is executed at present.
func (p *pass) nest() int {
	if p.mark >= len(p.template.marks) {
		return 0
	}
	return p.template.marks[p.mark].nest
}
