package conf

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	hclstrconv "github.com/hashicorp/hcl/hcl/strconv"
	"github.com/hashicorp/hcl/hcl/token"
)

// An hclReader makes a Body of what the library has read.
type hclReader struct {
	flush map[string]bool // the markers that closeFlush has changed lines for
	err   *Error          // the first
}

func parseHCL(original []byte) (*Body, *Error) {
	body, err := parseLines(append(slices.Clip(original), '\n'))
	if end := posOf(original, len(original)); err != nil && (err.Pos.Line > end.Line || err.Pos.Line == end.Line && err.Pos.Column > end.Column) {
		err.Pos = end // before the line end that was added
	}
	return body, err
}

func parseLines(text []byte) (*Body, *Error) {
	text, flush := closeFlush(text)
	tokens, wrong := scan(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))) // as the parser does it
	if wrong != nil {
		return nil, wrong
	}
	file, err := parser.Parse(text)
	if err != nil {
		return nil, syntaxError(err, tokens)
	}
	r := &hclReader{flush: flush}
	body := &Body{Pos: Pos{1, 1}, Items: r.items(file.Node.(*ast.ObjectList))}
	if r.err != nil {
		return nil, r.err
	}
	return body, nil
}

// inner finds the error within that of a list, whose place is only that of the list.
var inner = regexp.MustCompile(`At (\d+):(\d+): `)

// syntaxError says what the parser says, in words that help, and without anything of the text.
func syntaxError(err error, tokens []token.Token) *Error {
	found, ok := errors.AsType[*parser.PosError](err)
	if !ok {
		return &Error{Pos: Pos{1, 1}, Message: helpFor("", "")}
	}
	place, message := placeOf(found.Pos), found.Err.Error()
	if all := inner.FindAllStringSubmatchIndex(message, -1); strings.HasPrefix(message, "error while trying") && len(all) > 0 {
		m := all[len(all)-1]
		place.Line, _ = strconv.Atoi(message[m[2]:m[3]])
		place.Column, _ = strconv.Atoi(message[m[4]:m[5]])
		message = message[m[1]:]
	}

	i := slices.IndexFunc(tokens, func(t token.Token) bool { return placeOf(t.Pos) == place })
	if i < 0 {
		return &Error{Pos: place, Message: helpFor(message, "")}
	}
	t := tokens[i]
	switch {
	case strings.HasPrefix(message, "nested object expected"), strings.HasPrefix(message, "key '"): // the mistake is before the place
		return noValue(tokens[:i])
	case t.Type == token.IDENT && (strings.EqualFold(t.Text, "true") || strings.EqualFold(t.Text, "false")):
		return fail(t, "true and false are written in lower case")
	case i > 0 && t.Type == token.IDENT && tokens[i-1].Type == token.ASSIGN && t.Pos.Line > tokens[i-1].Pos.Line:
		return fail(t, "there is no value after the = of line %d", tokens[i-1].Pos.Line)
	}
	return &Error{Pos: place, Message: helpFor(message, t.Type.String())}
}

// noValue is the error that no = or { comes after the words that tokens end with: a name, and what is between that and its value.
func noValue(tokens []token.Token) *Error {
	first := len(tokens) - 1
	for first > 0 && (tokens[first-1].Type == token.IDENT || tokens[first-1].Type == token.STRING) {
		first--
	}
	if first > 0 && tokens[first-1].Type == token.ASSIGN { // the first is a value
		first++
	}
	if words := tokens[first:]; len(words) > 1 && words[1].Pos.Line == words[0].Pos.Line {
		return fail(words[1], "expected = or {: = is missing between a name and its value, or { after a label, as only blocks have labels")
	}
	return fail(tokens[min(first, len(tokens)-1)], "this name has no value: an item is written name = value or name { … }")
}

func (r *hclReader) items(list *ast.ObjectList) []*Item {
	items := make([]*Item, 0, len(list.Items))
	for _, from := range list.Items {
		item := &Item{Name: r.text(from.Keys[0].Token), Pos: placeOf(from.Keys[0].Token.Pos)}
		for _, key := range from.Keys[1:] {
			item.Labels = append(item.Labels, Label{r.text(key.Token), placeOf(key.Token.Pos)})
		}
		item.Value = r.value(from.Val)
		items = append(items, item)
	}
	return items
}

func (r *hclReader) value(node ast.Node) *Value {
	v := &Value{Pos: placeOf(node.Pos())}
	switch n := node.(type) {
	case *ast.ObjectType:
		v.Kind, v.EndLine = Object, n.Rbrace.Line
		v.Body = &Body{Items: r.items(n.List), Pos: v.Pos}
	case *ast.ListType:
		v.Kind, v.EndLine = List, n.Rbrack.Line
		for _, e := range n.List {
			v.List = append(v.List, r.value(e))
		}
	case *ast.LiteralType:
		t := n.Token
		v.EndLine = v.Pos.Line + strings.Count(strings.TrimSuffix(t.Text, "\n"), "\n")
		switch t.Type {
		case token.STRING:
			v.Text = r.text(t)
		case token.HEREDOC:
			v.Text = r.heredoc(t)
		case token.BOOL:
			v.Kind, v.Bool = Bool, t.Text == "true"
		default:
			v.Kind, v.Text = Number, t.Text
			r.checkNumber(t)
		}
	}
	return v
}

// checkNumber refuses what cannot be converted, as 1e. A number can be too large.
func (r *hclReader) checkNumber(t token.Token) {
	_, err := strconv.ParseFloat(t.Text, 64)
	if t.Type == token.NUMBER {
		_, err = strconv.ParseInt(t.Text, 0, 64)
	}
	if errors.Is(err, strconv.ErrSyntax) {
		r.fail(fail(t, "this is not a number"))
	}
}

func (r *hclReader) fail(err *Error) {
	if r.err == nil {
		r.err = err
	}
}

// halfCharacter is what is said of one of two surrogates.
const halfCharacter = `an escape in this text is half of a character`

// text returns what a name or a quoted string means.
func (r *hclReader) text(t token.Token) string {
	if t.Type != token.STRING {
		return t.Text
	}
	text, err := hclstrconv.Unquote(t.Text)
	switch {
	case strings.Contains(t.Text, "\n"):
		r.fail(fail(t, `this text is not closed: its second " is missing, or the } of a ${ in it`))
	case err != nil:
		r.fail(fail(t, "%s", helpFor("illegal char escape", "")))
	case strings.ContainsRune(text, utf8.RuneError) && !strings.ContainsRune(t.Text, utf8.RuneError) && utf8.ValidString(text):
		r.fail(fail(t, halfCharacter))
	}
	return text
}

// heredoc returns the text of a heredoc. With <<-, what stands before the closing marker is taken off all lines if all begin with
// it; with <<, it belongs to the text.
func (r *hclReader) heredoc(t token.Token) string {
	begin, rest, _ := strings.Cut(strings.TrimSuffix(t.Text, "\n"), "\n")
	marker := strings.TrimLeft(begin, "<-")
	end := strings.LastIndexByte(rest, '\n') + 1
	body, indent := rest[:end], strings.TrimSuffix(strings.TrimRight(rest[end:], "\r"), marker)
	blanks := strings.Trim(indent, " \t") != ""

	var out strings.Builder
	unindented, all := strings.Builder{}, strings.HasPrefix(begin, "<<-")
	for line := range strings.Lines(body) {
		if word, found := strings.CutSuffix(line, "\r\n"); found && r.flush[word] {
			line = word + "\n"
		}
		blanks = blanks || strings.TrimSpace(line) == marker
		out.WriteString(line)
		less, found := strings.CutPrefix(line, indent)
		unindented.WriteString(less)
		all = all && found
	}
	switch {
	case blanks:
		r.fail(fail(t, "whitespace beside the marker that closes this heredoc: only spaces and tabs can precede the marker, and nothing can follow it"))
	case all:
		return unindented.String()
	case !strings.HasPrefix(begin, "<<-"):
		out.WriteString(indent)
	}
	return out.String()
}
