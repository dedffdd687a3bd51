package conf

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func (p *parser) hclFile() (*Body, *hcl.Diagnostic) {
	items, d := p.items()
	if d != nil {
		return nil, d
	}
	if !p.is(hclsyntax.TokenEOF) {
		return nil, p.expected("a name", "no block is open here: this } is one too many")
	}
	return &Body{Items: items, Range: hcl.Range{Filename: p.name, Start: hcl.InitialPos, End: p.peek().Range.End}}, nil
}

// items reads items up to a } or the end.
func (p *parser) items() ([]*Item, *hcl.Diagnostic) {
	var items []*Item
	for !p.is(hclsyntax.TokenCBrace) && !p.is(hclsyntax.TokenEOF) {
		item, d := p.item()
		if d != nil {
			return nil, d
		}
		items = append(items, item)
		p.skip(hclsyntax.TokenComma)
	}
	return items, nil
}

// item reads a name, labels, and a value.
func (p *parser) item() (*Item, *hcl.Diagnostic) {
	if !p.isName() {
		detail := "an item is written name = value or name { ... }"
		switch p.slice(p.peek().Range) {
		case ",":
			detail = "at most one comma comes after an item"
		case ";":
			detail = "HCL has no semicolons: an item ends where its value ends"
		}
		return nil, p.expected("a name", detail)
	}
	name, d := p.nameOrLabel()
	if d != nil {
		return nil, d
	}
	item := &Item{Name: name.Text, NameRange: name.Range}
	outer := p.reading
	p.reading = name.Text
	first := p.at // the first label, or what stands in place of = and {
	for p.isName() {
		label, d := p.nameOrLabel()
		if d != nil {
			return nil, d
		}
		item.Labels = append(item.Labels, label)
	}
	switch {
	case p.is(hclsyntax.TokenOBrace):
		item.Value, d = p.object(item.Name, item.NameRange)
	case p.is(hclsyntax.TokenEqual) && item.Labels == nil:
		p.next()
		item.Value, d = p.value("a value for "+clip(item.Name), item.NameRange, "there is no value after the = of "+clip(item.Name))
	default:
		p.at = first
		d = p.noValue(item)
	}
	if d != nil {
		return nil, d
	}
	p.end(item, outer)
	return item, nil
}

// noValue is the error that no = and no { comes after the name of item.
func (p *parser) noValue(item *Item) *hcl.Diagnostic {
	name := clip(item.Name)
	detail := fmt.Sprintf("an item is written %s = value or %s { ... }", name, name)
	switch {
	case p.is(hclsyntax.TokenColon):
		detail = fmt.Sprintf("HCL has = in place of the colon of JSON: %s = value", name)
	case p.is(hclsyntax.TokenComment), p.is(hclsyntax.TokenEOF):
	case item.Labels != nil && p.peek().Range.Start.Line > item.NameRange.End.Line:
		detail = fmt.Sprintf("%s has no value: write %s = value or %s { ... }", name, name, name)
	case item.Labels != nil:
		detail = fmt.Sprintf("= is missing, or a { after the labels: only a block has labels, as in %s \"label\" { ... }", name)
	}
	return since(p.expected("= or { after the name "+name, detail), item.NameRange)
}

func (p *parser) isName() bool { return p.is(hclsyntax.TokenIdent) || p.is(hclsyntax.TokenOQuote) }

// nameOrLabel reads a name or a label, for which isName has to hold.
func (p *parser) nameOrLabel() (Label, *hcl.Diagnostic) {
	if p.is(hclsyntax.TokenIdent) {
		text, r := p.bareName()
		return Label{Text: text, Range: r}, nil
	}
	text, r, d := p.quoted()
	return Label{Text: text, Range: r}, d
}

// value reads a value. What it is for, and where that began, is for errors; instead is the detail of the error that not a
// value comes, but another item.
func (p *parser) value(what string, open hcl.Range, instead string) (*Value, *hcl.Diagnostic) {
	switch p.peek().Type {
	case hclsyntax.TokenOQuote:
		text, r, d := p.quoted()
		return &Value{Kind: Text, Text: text, Range: r}, d
	case hclsyntax.TokenOHeredoc:
		return p.heredoc()
	case hclsyntax.TokenOBrack:
		return p.list()
	case hclsyntax.TokenOBrace:
		return p.object("", p.peek().Range)
	}
	start := p.at
	word, r := p.word()
	switch {
	case word == "true", word == "false":
		return &Value{Kind: Bool, Bool: word == "true", Range: r}, nil
	case word != "" && strings.Contains("-.0123456789", word[:1]):
		return p.number(word, r)
	}
	detail := p.notValue(word, p.tokens[start].Type == hclsyntax.TokenIdent, instead)
	p.at = start
	return nil, since(p.expected(what, detail), open)
}

// notValue says what helps where word, after which the current token comes, stands in place of a value.
func (p *parser) notValue(word string, isName bool, instead string) string {
	switch {
	case word == "":
		return "a value is text in double quotes, a number, true, false, a list, an object, or a heredoc (<<EOF)"
	case isName && (p.is(hclsyntax.TokenEqual) || p.is(hclsyntax.TokenOBrace)):
		return instead
	case strings.EqualFold(word, "true"), strings.EqualFold(word, "false"):
		return "true and false are written in lower case"
	case strings.HasPrefix(word, "<"):
		return "a heredoc begins with <<EOF or <<-EOF at the end of a line, with nothing after it; EOF can be any word"
	case strings.Trim(word, "'`“”‘’") != word:
		return `text stands in double quotes: "..."`
	case p.is(hclsyntax.TokenOBrace): // ${
		return "text needs quotes"
	}
	return needsQuotes("text", word)
}

// number refuses what HCL 1 does not take for a number.
func (p *parser) number(word string, r hcl.Range) (*Value, *hcl.Diagnostic) {
	if hclNumber.MatchString(word) {
		return &Value{Kind: Number, Text: word, Range: r}, nil
	}
	detail := needsQuotes("text", word)
	if _, err := time.ParseDuration(word); err == nil {
		detail = needsQuotes("a duration", word)
	} else if notOctal.MatchString(word) {
		detail = "a number that begins with 0 is octal: its digits are 0 to 7"
	}
	return nil, p.fail(r, clip(word)+" is not a number", detail)
}

func needsQuotes(what, word string) string {
	if clip(word) != word {
		return what + " needs quotes"
	}
	return fmt.Sprintf(`%s needs quotes: "%s"`, what, word)
}

var (
	hclNumber = regexp.MustCompile(`^(-?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*|[0-9]+\.[0-9]*([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)|\.[0-9]+)$`)
	notOctal  = regexp.MustCompile(`^-?0[0-9]+$`)
)

// object reads from a { up to its }. The name, if it is a block, and where it began are for errors.
func (p *parser) object(name string, start hcl.Range) (*Value, *hcl.Diagnostic) {
	if d := p.enter(); d != nil {
		return nil, d
	}
	r := p.next().Range
	header := hcl.RangeBetween(start, r)
	items, d := p.items()
	if d != nil {
		return nil, d
	}
	if p.is(hclsyntax.TokenEOF) {
		return nil, p.openObject(name, header, items)
	}
	r.End = p.next().Range.End
	p.depth--
	return &Value{Kind: Object, Body: &Body{Items: items, Range: r}, Range: r}, nil
}

// openObject is the error that the text ends before the } of the object with items.
func (p *parser) openObject(name string, header hcl.Range, items []*Item) *hcl.Diagnostic {
	what := "the object"
	if name != "" {
		what = "the block " + clip(name)
	}
	detail := fmt.Sprintf("the file ends at line %d", p.peek().Range.Start.Line)
	for _, item := range items {
		if item.Name == name && item.Value.Kind == Object {
			detail = fmt.Sprintf("the %s of line %d stands in it: is the } missing before that?", clip(name), item.NameRange.Start.Line)
			break
		}
	}
	return p.fail(header, fmt.Sprintf("%s that begins at line %d is not closed: } is missing", what, header.Start.Line), detail)
}

// list reads from a [ up to its ]. HCL 1 does not mind commas that are too many.
func (p *parser) list() (*Value, *hcl.Diagnostic) {
	if d := p.enter(); d != nil {
		return nil, d
	}
	open := p.next().Range
	var list []*Value
	for {
		for p.skip(hclsyntax.TokenComma) {
		}
		if p.is(hclsyntax.TokenCBrack) {
			break
		}
		if p.is(hclsyntax.TokenEOF) {
			return nil, p.openList(open)
		}
		v, d := p.value("an element of the list or ]", open, "] is missing: the list that begins at "+place(open)+" is not closed")
		if d != nil {
			return nil, d
		}
		list = append(list, v)
		if !p.is(hclsyntax.TokenComma) && !p.is(hclsyntax.TokenCBrack) && !p.is(hclsyntax.TokenEOF) {
			return nil, since(p.expected(", or ] after a list's element", "the list begins at "+place(open)), open)
		}
	}
	p.depth--
	return &Value{Kind: List, List: list, Range: hcl.RangeBetween(open, p.next().Range)}, nil
}

func (p *parser) openList(open hcl.Range) *hcl.Diagnostic {
	return p.fail(open, fmt.Sprintf("the list that begins at line %d is not closed: ] is missing", open.Start.Line),
		fmt.Sprintf("the file ends at line %d", p.peek().Range.Start.Line))
}
