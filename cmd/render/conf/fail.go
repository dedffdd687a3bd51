package conf

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// contextLines is how far an opening place can be from an error to be shown with it.
const contextLines = 5

func (p *parser) fail(subject hcl.Range, summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &subject}
}

// since adds to d where that began in which the error is.
func since(d *hcl.Diagnostic, open hcl.Range) *hcl.Diagnostic {
	if d.Subject.Start.Line-open.Start.Line <= contextLines {
		context := hcl.RangeBetween(open, *d.Subject)
		d.Context = &context
	}
	return d
}

// expected is the error that something else than the current token had to come. Where a comment is wrong, or not closed, the
// error is that.
func (p *parser) expected(what, detail string) *hcl.Diagnostic {
	t := p.peek()
	switch {
	case t.Type == hclsyntax.TokenComment && p.unclosed(t):
		start := hcl.Range{Filename: p.name, Start: t.Range.Start, End: t.Range.Start}
		start.End.Byte, start.End.Column = start.End.Byte+2, start.End.Column+2
		return p.fail(start, fmt.Sprintf("the comment that begins at %s is not closed: */ is missing", place(start)),
			"the file ends inside the comment")
	case t.Type == hclsyntax.TokenComment:
		return p.fail(t.Range, "expected "+what+", found a comment", "JSON has no comments")
	case t.Type == hclsyntax.TokenEOF && p.json:
		return p.fail(t.Range, "the file ends before "+what, "the file was cut off, or what is open at its end was not closed")
	case wordEnds[t.Type], t.Type == hclsyntax.TokenColon:
		return p.fail(t.Range, "expected "+what+", found "+p.describe(t), detail)
	}
	word, r := p.word()
	if word == "" { // a semicolon
		word, r = p.slice(t.Range), t.Range
	}
	return p.fail(r, "expected "+what+", found "+clip(word), detail)
}

// describe names a token that is not a part of a word.
func (p *parser) describe(t hclsyntax.Token) string {
	switch t.Type {
	case hclsyntax.TokenEOF:
		return "the end of the file"
	case hclsyntax.TokenOQuote:
		return "a string"
	case hclsyntax.TokenOHeredoc:
		return "a heredoc"
	}
	return p.slice(t.Range)
}

// place is where r starts, as messages say it.
func place(r hcl.Range) string {
	return fmt.Sprintf("line %d, column %d", r.Start.Line, r.Start.Column)
}

// clip makes a word of the text fit for a message: not too long, and with nothing in it that cannot be seen.
func clip(word string) string {
	const longest = 40
	if word == "" {
		return `""`
	}
	if utf8.RuneCountInString(word) > longest {
		word = string([]rune(word)[:longest]) + "..."
	}
	if !utf8.ValidString(word) || strings.ContainsFunc(word, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(word)
	}
	return word
}
