package conf

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The lexer is that of HCL 2. Four things of it do not fit HCL 1, and are kept from it:
//   - ${ and %{ begin a template. It sees a semicolon in place of each $ and %, which is one byte and one column wide as well,
//     means nothing to it in a string or heredoc, and is as little as $ or % a part of HCL 1 elsewhere.
//   - A double quote ends a string, also between a ${ and its }. There it sees a semicolon, too.
//   - A \r without a \n is a blank to HCL 1. It sees a blank.
//   - It needs a line end after a heredoc's closing marker, and looks for the end of each comment that has none in the rest of
//     the text, over and over. It sees a line end and the end of a comment after the text.
//
// What a token says is therefore always taken from the text itself.

// tail comes after the text for the lexer to see.
const tail = "\n*/"

var byteOrderMark = []byte("\xef\xbb\xbf")

// mask returns text as the lexer has to see it, without tail. There is room for it.
func mask(text []byte) []byte {
	masked := append(make([]byte, 0, len(text)+len(tail)), text...)
	for i, c := range masked {
		switch {
		case c == '$' || c == '%':
			masked[i] = ';'
		case c == '\r' && (i+1 == len(masked) || masked[i+1] != '\n'):
			masked[i] = ' '
		}
	}
	return masked
}

// maskQuotes masks the quotes that end no string. It knows as much of HCL as it takes to find the strings.
func (p *parser) maskQuotes() {
	for i := 0; i < len(p.text); {
		switch rest := p.text[i:]; {
		case rest[0] == '"':
			i += maskString(rest, p.masked[i:])
		case rest[0] == '#', bytes.HasPrefix(rest, []byte("//")):
			i += upTo(rest, "\n")
		case bytes.HasPrefix(rest, []byte("/*")):
			i += 2 + upTo(rest[2:], "*/")
		case bytes.HasPrefix(rest, []byte("<<")):
			i += heredocLength(rest)
		default:
			i++
		}
	}
}

// maskString masks the quotes in the string with which text begins, and returns its length. One that does not end on its line is
// as long as that, and left as it is: it is an error.
func maskString(text, masked []byte) int {
	braces := 0 // that are open, from a ${ on
	var quotes []int
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n':
			return i
		case c == '\\':
			i++
		case c == '"' && braces == 0:
			for _, at := range quotes {
				masked[at] = ';'
			}
			return i + 1
		case c == '"':
			quotes = append(quotes, i)
		case c == '{' && (braces > 0 || text[i-1] == '$'):
			braces++
		case c == '}' && braces > 0:
			braces--
		}
	}
	return len(text)
}

// heredocLength is the length of the heredoc with which text begins: all of text where it is not closed, and 2 where it is none.
func heredocLength(text []byte) int {
	n := upTo(text, "\n")
	marker := bytes.TrimPrefix(bytes.TrimRight(text[2:n], "\r"), []byte("-"))
	if len(marker) == 0 || bytes.ContainsAny(marker, " \t") {
		return 2
	}
	for n < len(text) {
		line := text[n+1 : n+1+upTo(text[n+1:], "\n")]
		n += 1 + len(line)
		if bytes.Equal(bytes.TrimSpace(line), marker) {
			break
		}
	}
	return n
}

// upTo is how much of text comes before end: all of it where there is no end.
func upTo(text []byte, end string) int {
	if i := bytes.Index(text, []byte(end)); i >= 0 {
		return i
	}
	return len(text)
}

// lex sets the tokens: without line ends, and in HCL without comments, except for one that is not closed.
func (p *parser) lex() {
	all, _ := hclsyntax.LexConfig(append(p.masked, tail...), p.name, hcl.InitialPos)
	p.tokens = all[:0]
	end := p.span(len(p.text), len(p.text))
	for _, t := range all {
		if t.Range.Start.Byte >= len(p.text) {
			break
		}
		if t.Type == hclsyntax.TokenNewline || t.Type == hclsyntax.TokenComment && !p.json && !p.unclosed(t) {
			continue
		}
		if t.Range.End.Byte > len(p.text) {
			t.Range.End = end.End
		}
		p.tokens = append(p.tokens, t)
	}
	p.tokens = append(p.tokens, hclsyntax.Token{Type: hclsyntax.TokenEOF, Range: end})
}

// unclosed says whether the comment t ends after the text only.
func (p *parser) unclosed(t hclsyntax.Token) bool {
	return t.Range.Start.Byte+len(t.Bytes) > len(p.text) && bytes.HasPrefix(t.Bytes, []byte("/*"))
}

// span is the range from a byte up to another. It looks at all the text before: it is for errors.
func (p *parser) span(from, to int) hcl.Range {
	return hcl.Range{Filename: p.name, Start: p.pos(from), End: p.pos(to)}
}

// pos is the position of a byte.
func (p *parser) pos(offset int) hcl.Pos {
	before := p.masked[:offset]
	pos := hcl.Pos{Line: 1 + bytes.Count(before, []byte("\n")), Column: 1, Byte: offset}
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	if pos.Line == 1 {
		line = bytes.TrimPrefix(line, byteOrderMark)
	}
	whole := func(data []byte, _ bool) (int, []byte, error) { return len(data), data, nil }
	if columns := hcl.NewRangeScanner(line, p.name, whole); columns.Scan() {
		pos.Column = columns.Range().End.Column
	}
	return pos
}

// wordEnds are the tokens that are never a part of a word.
var wordEnds = map[hclsyntax.TokenType]bool{
	hclsyntax.TokenEOF: true, hclsyntax.TokenComment: true, hclsyntax.TokenComma: true, hclsyntax.TokenEqual: true,
	hclsyntax.TokenOBrace: true, hclsyntax.TokenCBrace: true, hclsyntax.TokenOBrack: true, hclsyntax.TokenCBrack: true,
	hclsyntax.TokenOQuote: true, hclsyntax.TokenOHeredoc: true,
}

// word takes the tokens that stand side by side from the current one on, and returns what they say. It is empty if the
// current token cannot be a part of a word. A semicolon ends a word, and in JSON a colon does.
func (p *parser) word() (string, hcl.Range) {
	r := p.peek().Range
	r.End = r.Start
	for t := p.peek(); !wordEnds[t.Type] && t.Range.Start.Byte == r.End.Byte; t = p.peek() {
		if p.json && t.Type == hclsyntax.TokenColon || p.text[r.End.Byte] == ';' {
			break
		}
		r.End = p.next().Range.End
	}
	return p.slice(r), r
}

// nameTokens are the tokens that a bare name can have after its first one.
var nameTokens = map[hclsyntax.TokenType]bool{
	hclsyntax.TokenIdent: true, hclsyntax.TokenNumberLit: true, hclsyntax.TokenMinus: true,
	hclsyntax.TokenDot: true, hclsyntax.TokenEllipsis: true,
}

// bareName takes the tokens of a name that is not quoted. The current token is its first, a TokenIdent.
func (p *parser) bareName() (string, hcl.Range) {
	r := p.next().Range
	for t := p.peek(); nameTokens[t.Type] && t.Range.Start.Byte == r.End.Byte; t = p.peek() {
		r.End = p.next().Range.End
	}
	return p.slice(r), r
}
