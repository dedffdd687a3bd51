// Package fragment decides which parts of a template can be kept from one execution to the next: the iterations of a range
// that ask queries, and whose output depends on nothing but the answers, the element and some variables.
//
// [Find] looks at parsed trees; it is conservative: what it does not know is executed each time. A [Keys] makes the keys under
// which iterations are kept. Nothing here executes a template or keeps anything: package template does.
package fragment

import (
	"maps"
	"slices"
	"text/template/parse"
)

// An Effect says what calling a function means for the body of a range.
type Effect uint8

// The effects of functions.
const (
	Effectful Effect = iota // the result depends on more than arguments and answers, or something else changes: the body is not kept
	Pure                    // the result depends on the arguments alone
	Asks                    // the function asks a query; the result depends on the arguments and the answer alone
	Executes                // the function executes the template that its first argument names
)

// A Range is a range whose iterations can be kept.
type Range struct {
	Node     *parse.RangeNode
	Index    bool     // the body uses the first of two variables of the range
	Captured []string // the variables that the body uses and that are declared outside of the range, "$" among them; sorted
}

// Find returns the ranges of some trees whose iterations can be kept, in the order of the trees' names and the text. Effects
// says what a function does that is called with so many arguments. Ranges within such a range are among them, too.
//
// The body of such a range asks a query. It assigns to no variable that is declared outside, does not end the range, and calls
// no function that is Effectful; nor do the templates that it executes. The variables in Captured are declared where the range
// begins.
func Find(trees map[string]*parse.Tree, effects func(function string, arguments int) Effect) []Range {
	f := finder{effects: effects, defines: make(map[string]*walker)}
	names := slices.Sorted(maps.Keys(trees))
	for _, name := range names {
		w := &walker{effects: effects}
		w.walk(trees[name].Root)
		f.defines[name] = w
	}
	for _, name := range names {
		w := &walker{effects: effects, scope: []string{"$"}, found: f.add}
		w.walk(trees[name].Root)
	}
	return f.ranges
}

// A finder collects ranges that can be kept.
type finder struct {
	effects func(string, int) Effect
	defines map[string]*walker // what each tree does
	ranges  []Range
}

// add adds a range if it can be kept. Declared has the variables that are declared where it begins.
func (f *finder) add(n *parse.RangeNode, declared []string) {
	if n.Pipe.IsAssign {
		return
	}
	pipe := &walker{effects: f.effects}
	pipe.arguments(n.Pipe)
	body := &walker{effects: f.effects, captured: make(map[string]bool)}
	for _, v := range n.Pipe.Decl {
		body.scope = append(body.scope, v.Ident[0])
	}
	body.indexed = len(n.Pipe.Decl) == 2
	body.walk(n.List)
	if pipe.declares || body.declares || body.assigns || body.ends || !f.repeatable(body) {
		return
	}
	captured := slices.Sorted(maps.Keys(body.captured))
	for _, name := range captured {
		if !slices.Contains(declared, name) {
			return
		}
	}
	f.ranges = append(f.ranges, Range{Node: n, Index: body.index, Captured: captured})
}

// repeatable reports whether a body asks a query, and neither it nor a template that it executes is effectful.
func (f *finder) repeatable(body *walker) bool {
	asks := false
	seen := make(map[string]bool)
	for queue := []*walker{body}; len(queue) > 0; queue = queue[1:] {
		w := queue[0]
		if w.effectful {
			return false
		}
		asks = asks || w.asks
		for _, name := range w.executes {
			if seen[name] {
				continue
			}
			seen[name] = true
			if f.defines[name] == nil {
				return false
			}
			queue = append(queue, f.defines[name])
		}
	}
	return asks
}

// A walker follows a list of nodes in the order of their execution and notes what they do.
type walker struct {
	effects func(string, int) Effect
	scope   []string // the variables that are declared at this point
	indexed bool     // the first of scope is the index of a range
	loops   int      // the ranges around this point
	found   func(n *parse.RangeNode, declared []string)

	effectful bool            // calls an effectful function, or holds a node that is not known
	asks      bool            // calls a function that asks
	executes  []string        // the templates that it executes
	captured  map[string]bool // the variables that it uses and does not declare; nil: nobody wants to know
	index     bool            // uses the index
	assigns   bool            // assigns to a variable that it does not declare
	declares  bool            // declares a variable within an argument, which may or may not be evaluated
	ends      bool            // has a break for a range around it
}

func (w *walker) walk(n parse.Node) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, c := range n.Nodes {
			w.walk(c)
		}
	case *parse.ActionNode:
		w.pipe(n.Pipe)
	case *parse.TemplateNode:
		w.pipe(n.Pipe)
		w.executes = append(w.executes, n.Name)
	case *parse.IfNode:
		w.branch(&n.BranchNode, 0)
	case *parse.WithNode:
		w.branch(&n.BranchNode, 0)
	case *parse.RangeNode:
		if w.found != nil {
			w.found(n, w.scope)
		}
		w.branch(&n.BranchNode, 1)
	case *parse.BreakNode:
		w.ends = w.ends || w.loops == 0
	case *parse.TextNode, *parse.CommentNode, *parse.ContinueNode:
	default:
		w.effectful = true
	}
}

// branch follows an if, a with, or a range, which is one loop around its list.
func (w *walker) branch(n *parse.BranchNode, loop int) {
	outside := len(w.scope)
	w.pipe(n.Pipe)

	inside := len(w.scope)
	w.loops += loop
	w.walk(n.List)
	w.loops -= loop

	w.scope = w.scope[:inside]
	w.walk(n.ElseList)
	w.scope = w.scope[:outside]
}

// pipe follows a pipeline, and declares or assigns its variables after that.
func (w *walker) pipe(n *parse.PipeNode) {
	if n == nil {
		return
	}
	w.arguments(n)
	for _, v := range n.Decl {
		name := v.Ident[0]
		if n.IsAssign {
			w.assigns = w.assigns || !slices.Contains(w.scope, name)
		} else {
			w.scope = append(w.scope, name)
		}
	}
}

// arguments follows the commands of a pipeline.
func (w *walker) arguments(n *parse.PipeNode) {
	for piped, command := range n.Cmds {
		for i, arg := range command.Args {
			if call, ok := arg.(*parse.IdentifierNode); ok {
				w.call(call.Ident, command.Args[i:], i == 0, min(piped, 1))
				continue
			}
			w.argument(arg)
		}
	}
}

func (w *walker) argument(n parse.Node) {
	switch n := n.(type) {
	case *parse.IdentifierNode:
		w.call(n.Ident, nil, false, 0)
	case *parse.VariableNode:
		w.use(n.Ident[0])
	case *parse.PipeNode:
		w.declares = w.declares || len(n.Decl) > 0
		w.arguments(n)
	case *parse.ChainNode:
		w.argument(n.Node)
	case *parse.DotNode, *parse.FieldNode, *parse.NilNode, *parse.BoolNode, *parse.NumberNode, *parse.StringNode:
	default:
		w.effectful = true
	}
}

// call notes the call of a function. First says that args are all of a command: the function, and what stands behind it. Piped is
// how many values the command before adds to that.
func (w *walker) call(function string, args []parse.Node, first bool, piped int) {
	arguments := 0
	if first {
		arguments = len(args) - 1 + piped
	}
	switch w.effects(function, arguments) {
	case Pure:
	case Asks:
		w.asks = true
	case Executes:
		if first && len(args) > 1 {
			if name, ok := args[1].(*parse.StringNode); ok {
				w.executes = append(w.executes, name.Text)
				return
			}
		}
		w.effectful = true
	default:
		w.effectful = true
	}
}

// use notes the use of a variable.
func (w *walker) use(name string) {
	for i := len(w.scope) - 1; i >= 0; i-- {
		if w.scope[i] == name {
			w.index = w.index || i == 0 && w.indexed
			return
		}
	}
	if w.captured != nil {
		w.captured[name] = true
	}
}
