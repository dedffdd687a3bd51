// Package conf reads configuration text: the HCL that consul-template reads (HCL 1, by the grammar below), and JSON.
// It knows syntax only: which names there are, and what their values mean, is the caller's business.
//
// The grammar of HCL, where blanks, line ends and comments (#, // and /* */) can stand between any two words of it:
//
//	body    = { item [ "," ] }
//	item    = name "=" value | name { label } "{" body "}"
//	name    = letter { letter | digit | "-" | "." } | string
//	label   = name
//	value   = string | heredoc | number | "true" | "false" | list | "{" body "}"
//	list    = "[" { value "," | "," } [ value ] "]"
//	string  = a text in double quotes on one line, with the escapes \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab \U0001f600
//	heredoc = "<<" [ "-" ] marker, lines of text, and a line with the marker alone; blanks can come before it
//
// What HCL 1 does with texts, and is kept:
//   - There is no interpolation: ${ and %{ are text. From a ${ in a quoted string to its } a backslash is text as well, and so
//     is a double quote.
//   - A heredoc has no escapes. It ends with the line end before its closing marker; with <<, blanks before the closing marker
//     belong to the text. With <<-, what stands before the closing marker is taken off all lines if all lines begin with it;
//     if not, the lines stay as they are. A line end is one \n, also where the file has \r\n.
//
// What HCL 1 reads and this package refuses: a name without a value at the end of the file or of a block, two items with nothing between
// them (a = 1b = 2), lists in a list without a comma between them, a line end between a ${ and its }, numbers that HCL 1
// cannot convert (1e), \u and \U with half of a surrogate pair, a heredoc's marker that begins with a digit, and a line of a
// heredoc that is its marker with blanks after it, which is rather a mistake than text.
//
// What HCL 1 refuses and this package reads: a byte order mark, a heredoc whose closing marker ends the file, one opened by
// <<- whose closing marker is not indented, and true and false as names.
package conf

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Body is what stands between braces, or the whole text.
type Body struct {
	Items []*Item   // in the order of the text, also those that have the same name
	Range hcl.Range // with the braces
}

// Item is a name with its value. A block (name { ... }) and an object (name = { ... }) are the same but for the labels.
type Item struct {
	Name      string    // as it is written, without quotes
	NameRange hcl.Range // with the quotes
	Labels    []Label   // only a block has some, and only in HCL
	Value     *Value    // not nil
}

// Label is a word between the name of a block and its brace.
type Label struct {
	Text  string
	Range hcl.Range // with the quotes
}

// Kind says which fields a Value has.
type Kind uint8

const (
	Text   Kind = iota // Text is the content of a quoted string or a heredoc
	Number             // Text is what the source says, as in -1, 0x1F, 0600 or 2.5e3; whether it fits a type is not checked
	Bool               // Bool
	List               // List
	Object             // Body
	Null               // nothing; only in JSON
)

// Value is the value of an item or an element of a list.
type Value struct {
	Kind  Kind
	Text  string
	Bool  bool
	List  []*Value
	Body  *Body
	Range hcl.Range // with the quotes, the brackets, or the markers
}

// maxDepth is how deep objects and lists can stand in each other.
const maxDepth = 64

// Near has the names of the items to which what is at an error may belong: the innermost one that is read there, and all that
// end on its line or later.
type Near []string

// Parse reads text as JSON if its first character that is not blank is a {, or a [, with which no HCL begins, and as HCL if
// not. It takes a time that grows with the length of text only. Name is the Filename of all ranges.
//
// The diagnostics are nil, or one error, and the body is nil then. Of the error, Summary says what was expected and what was
// found, Detail what helps, and Subject where. Both texts can have names and bare words of the text, but no value that stands in quotes.
// Extra is a Near. Lines, columns and bytes of all ranges are those of text.
func Parse(name string, text []byte) (*Body, hcl.Diagnostics) {
	p := &parser{name: name, text: text, masked: mask(text), json: isJSON(text)}
	if d := p.checkBytes(); d != nil {
		return nil, hcl.Diagnostics{d}
	}
	if !p.json {
		p.maskQuotes()
	}
	p.lex()
	read := p.hclFile
	if p.json {
		read = p.jsonFile
	}
	body, d := read()
	if d != nil {
		d.Extra = p.near(d)
		return nil, hcl.Diagnostics{d}
	}
	return body, nil
}

func isJSON(text []byte) bool {
	text = bytes.TrimLeftFunc(bytes.TrimPrefix(text, byteOrderMark), unicode.IsSpace)
	return bytes.HasPrefix(text, []byte("{")) || bytes.HasPrefix(text, []byte("["))
}

// parser goes over the tokens of one text.
type parser struct {
	name   string
	text   []byte
	masked []byte // as long as text
	json   bool
	tokens hclsyntax.Tokens // the last is a TokenEOF
	at     int              // in tokens
	depth  int              // of the object or list that is read

	reading string   // the name of the innermost item that is read
	ended   []string // the names of items that have ended on a line
	endLine int      // that line
}

// end goes back to the item around one.
func (p *parser) end(item *Item, outer string) {
	if line := item.Value.Range.End.Line; line != p.endLine {
		p.ended, p.endLine = nil, line
	}
	p.ended, p.reading = append(p.ended, item.Name), outer
}

func (p *parser) near(d *hcl.Diagnostic) Near {
	if p.endLine < d.Subject.Start.Line {
		return Near{p.reading}
	}
	return append(Near{p.reading}, p.ended...)
}

// checkBytes refuses what is not text.
func (p *parser) checkBytes() *hcl.Diagnostic {
	if i := bytes.IndexByte(p.text, 0); i >= 0 {
		return p.fail(p.span(i, i+1), "there is a NUL byte in the text", "a configuration is text in UTF-8: is this the right file?")
	}
	if utf8.Valid(p.text) {
		return nil
	}
	i := 0
	for {
		r, size := utf8.DecodeRune(p.text[i:])
		if r == utf8.RuneError && size == 1 {
			return p.fail(p.span(i, i+1), fmt.Sprintf("the byte 0x%02x is not UTF-8", p.text[i]), "a configuration is text in UTF-8")
		}
		i += size
	}
}

func (p *parser) peek() hclsyntax.Token { return p.tokens[p.at] }

func (p *parser) is(t hclsyntax.TokenType) bool { return p.tokens[p.at].Type == t }

// next goes on to the token after the current one, which it returns. It stays at the end.
func (p *parser) next() hclsyntax.Token {
	t := p.tokens[p.at]
	if t.Type != hclsyntax.TokenEOF {
		p.at++
	}
	return t
}

// skip goes on if the current token is t.
func (p *parser) skip(t hclsyntax.TokenType) bool {
	if !p.is(t) {
		return false
	}
	p.next()
	return true
}

// enter begins an object or a list, which has to end with p.depth--.
func (p *parser) enter() *hcl.Diagnostic {
	if p.depth++; p.depth > maxDepth {
		return p.fail(p.peek().Range, fmt.Sprintf("objects and lists stand deeper in each other than %d levels", maxDepth),
			"no configuration needs as many")
	}
	return nil
}

// slice is what text has at r.
func (p *parser) slice(r hcl.Range) string { return string(p.text[r.Start.Byte:r.End.Byte]) }
