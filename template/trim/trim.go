// Package trim makes lines of a template vanish that have no output.
package trim

import (
	"bytes"
	"cmp"
	"slices"
	"text/template/parse"
)

// Blocks makes lines vanish that hold nothing but actions without output: if, range, with, else, end, define,
// assignments, comments. It works on parsed trees, so that the places of errors stay what they are in the file.
//
// In the order of the text, the text nodes of all trees have the actions in the gaps between them. A line is the end of
// a text node behind its last newline, gaps and texts without a newline, and the beginning of a text node up to its
// first newline.
func Blocks(source string, trees map[string]*parse.Tree) {
	var t trimmer
	for _, tree := range trees {
		t.collect(tree.Root)
	}
	slices.SortFunc(t.texts, func(a, b *parse.TextNode) int { return cmp.Compare(a.Pos, b.Pos) })
	slices.Sort(t.output)
	t.texts = slices.Concat([]*parse.TextNode{{Pos: 0}}, t.texts, []*parse.TextNode{{Pos: parse.Pos(len(source))}})
	ends := make([]parse.Pos, len(t.texts))
	for i, n := range t.texts {
		ends[i] = n.Pos + parse.Pos(len(n.Text))
	}
	for first := 0; first < len(t.texts)-1; {
		last := first + 1
		for last < len(t.texts)-1 && !bytes.Contains(t.texts[last].Text, newline) {
			last++
		}
		if t.isBlank(first, last, source, ends) {
			t.cut(first, last)
		}
		first = last
	}
}

var newline = []byte("\n")

type trimmer struct {
	texts  []*parse.TextNode
	output []parse.Pos // of the actions that give output
}

func (t *trimmer) collect(n parse.Node) {
	branch := func(b *parse.BranchNode) {
		t.collect(b.List)
		if b.ElseList != nil {
			t.collect(b.ElseList)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, c := range n.Nodes {
			t.collect(c)
		}
	case *parse.TextNode:
		t.texts = append(t.texts, n)
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 {
			t.output = append(t.output, n.Pos)
		}
	case *parse.TemplateNode:
		t.output = append(t.output, n.Pos)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	}
}

// isBlank reports whether the line from text node first to text node last has an action, and no text and no output.
func (t *trimmer) isBlank(first, last int, source string, ends []parse.Pos) bool {
	head, _, _ := bytes.Cut(t.texts[last].Text, newline)
	_, tail := cutLast(t.texts[first].Text)
	blank := isBlank(head) && isBlank(tail)
	startsLine := bytes.Contains(t.texts[first].Text, newline) || first == 0
	endsLine := bytes.Contains(t.texts[last].Text, newline) || last == len(t.texts)-1
	for i := first; i < last; i++ {
		blank = blank && (i == first || isBlank(t.texts[i].Text))
	}
	if !blank || !startsLine || !endsLine || int(ends[last-1]) == len(source) {
		return false
	}
	from, _ := slices.BinarySearch(t.output, ends[first])
	return from == len(t.output) || t.output[from] >= t.texts[last].Pos
}

// cut takes a line's text away, with the newline at its end.
func (t *trimmer) cut(first, last int) {
	t.texts[first].Text, _ = cutLast(t.texts[first].Text)
	for i := first + 1; i < last; i++ {
		t.texts[i].Text = nil
	}
	_, t.texts[last].Text, _ = bytes.Cut(t.texts[last].Text, newline)
}

// cutLast cuts a text behind its last newline.
func cutLast(text []byte) (before, after []byte) {
	i := bytes.LastIndexByte(text, '\n') + 1
	return text[:i], text[i:]
}

func isBlank(b []byte) bool { return len(bytes.TrimSpace(b)) == 0 }
