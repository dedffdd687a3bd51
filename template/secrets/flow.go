package secrets

import (
	"slices"
	"strings"
	"text/template/parse"

	"render/template/fragment"
)

// sources are the functions whose answers are secret.
var sources = strings.Fields("caLeaf nomadVar pkiCert secret secretOrDefault vault")

// unchanging are functions that change no value which another part of the text has, although their result depends on more than
// their arguments.
var unchanging = strings.Fields("date env envOrDefault mustEnv now plugin secretExists sockaddr timestamp writeToFile")

// OrdinaryCalls returns the calls of functions in trees whose arguments have no part of a secret, and that no secret decides on: the
// names of their queries can be shown. Such arguments are constants, or are made of constants and of answers that are no secrets.
// Asked reports whether a function is called whose answer is secret. Where none is, no call is returned: all are ordinary.
//
// Effects says what a function does that is called with so many arguments. OrdinaryCalls is conservative: a call that it does not
// understand is not ordinary.
func OrdinaryCalls(trees map[string]*parse.Tree, effects func(function string, arguments int) fragment.Effect) (calls map[*parse.IdentifierNode]bool, asked bool) {
	t := tracer{effects: effects, has: make(map[string]bool), calls: make(map[*parse.IdentifierNode]bool)}
	for again := true; again; again = t.found { // what is found later in the text can matter earlier, as in a range
		t.found = false
		for name, tree := range trees {
			given := t.has[given(name)]
			t.walk(tree.Root, point{tree: name, dot: given, decided: given})
		}
		if !t.asked {
			return nil, false
		}
	}
	return t.calls, true
}

// A tracer traces parts of secrets through trees: by the names of variables, wherever these are declared, and of templates.
type tracer struct {
	effects func(string, int) fragment.Effect
	asked   bool
	has     map[string]bool // what can have a part of a secret: variables, and what templates are given
	changes bool            // a value may have got such a part in a way that is not traced: any variable can have one
	found   bool            // has or changes is another than before
	calls   map[*parse.IdentifierNode]bool
}

// A point is a point in a tree.
type point struct {
	tree    string
	dot     bool // the dot can have a part of a secret
	decided bool // a secret can decide whether the point is reached
}

func given(template string) string { return "template " + template }

func (t *tracer) mark(name string) {
	t.found = t.found || !t.has[name]
	t.has[name] = true
}

func (t *tracer) markAll() {
	t.found = t.found || !t.changes
	t.changes = true
}

func (t *tracer) walk(n parse.Node, at point) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, c := range n.Nodes {
			t.walk(c, at)
		}
	case *parse.ActionNode:
		t.pipe(n.Pipe, at)
	case *parse.TemplateNode:
		if t.pipe(n.Pipe, at) || at.decided {
			t.mark(given(n.Name))
		}
	case *parse.IfNode:
		t.branch(&n.BranchNode, false, at)
	case *parse.WithNode:
		t.branch(&n.BranchNode, true, at)
	case *parse.RangeNode:
		t.branch(&n.BranchNode, true, at)
	case *parse.BreakNode, *parse.ContinueNode:
		if at.decided { // it decides on what follows, too
			t.markAll()
		}
	case *parse.TextNode, *parse.CommentNode:
	default:
		t.markAll()
	}
}

// branch follows an if, a with or a range. The list of the last two has another dot.
func (t *tracer) branch(n *parse.BranchNode, newDot bool, at point) {
	secret := t.pipe(n.Pipe, at)
	at.decided = at.decided || secret
	inside := at
	if newDot {
		inside.dot = secret
	}
	t.walk(n.List, inside)
	t.walk(n.ElseList, at)
}

// pipe reports whether the value of a pipeline can have a part of a secret.
func (t *tracer) pipe(n *parse.PipeNode, at point) (secret bool) {
	if n == nil {
		return false
	}
	for i, c := range n.Cmds {
		secret = t.command(c, i > 0, secret, at)
	}
	for _, v := range n.Decl {
		if secret || n.IsAssign && at.decided {
			t.mark(v.Ident[0])
		}
	}
	return secret
}

// command reports whether the value of a command can have a part of a secret. Piped says that it gets the value of the command before
// it, and secret the same of that value.
func (t *tracer) command(n *parse.CommandNode, piped, secret bool, at point) bool {
	call, isCall := n.Args[0].(*parse.IdentifierNode)
	for _, arg := range n.Args[1:] {
		inside := at
		inside.decided = at.decided || isCall && secret && (call.Ident == "and" || call.Ident == "or") // they may leave arguments out
		secret = t.argument(arg, inside) || secret
	}
	if isCall {
		return t.call(call, n.Args[1:], piped, secret, at)
	}
	if secret && (piped || len(n.Args) > 1) { // a method may keep what it is given
		t.markAll()
	}
	return t.argument(n.Args[0], at) || secret
}

func (t *tracer) argument(n parse.Node, at point) (secret bool) {
	switch n := n.(type) {
	case *parse.IdentifierNode:
		return t.call(n, nil, false, false, at)
	case *parse.VariableNode:
		name := n.Ident[0]
		if name == "$" {
			name = given(at.tree)
		}
		return t.changes || t.has[name]
	case *parse.DotNode, *parse.FieldNode:
		return t.changes || at.dot
	case *parse.PipeNode:
		return t.pipe(n, at)
	case *parse.ChainNode:
		return t.argument(n.Node, at)
	case *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
		return false
	}
	t.markAll()
	return true
}

// call reports whether the result of a call can have a part of a secret. Secret says that an argument can.
func (t *tracer) call(n *parse.IdentifierNode, args []parse.Node, piped, secret bool, at point) bool {
	arguments := len(args)
	if piped {
		arguments++
	}
	t.calls[n] = !secret && (!at.decided && !t.changes || !piped && t.areConstant(args))
	switch effect := t.effects(n.Ident, arguments); {
	case slices.Contains(sources, n.Ident):
		t.asked = true
		return true
	case effect == fragment.Executes:
		name, isConstant := (*parse.StringNode)(nil), false
		if len(args) > 0 {
			name, isConstant = args[0].(*parse.StringNode)
		}
		switch {
		case !isConstant:
			t.markAll()
		case secret || at.decided:
			t.mark(given(name.Text))
		}
		return true // what the template prints is not traced
	case effect == fragment.Effectful && !slices.Contains(unchanging, n.Ident):
		t.markAll()
		return true
	}
	return secret
}

// areConstant reports whether arguments are written in the text: constants, or such a part of a query as (dc "x").
func (t *tracer) areConstant(args []parse.Node) bool {
	return !slices.ContainsFunc(args, func(n parse.Node) bool {
		switch n := n.(type) {
		case *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
			return false
		case *parse.PipeNode:
			if len(n.Decl) > 0 || len(n.Cmds) != 1 {
				return true
			}
			call, isCall := n.Cmds[0].Args[0].(*parse.IdentifierNode)
			of := n.Cmds[0].Args[1:]
			return !isCall || t.effects(call.Ident, len(of)) != fragment.Pure || !t.areConstant(of)
		}
		return true
	})
}
