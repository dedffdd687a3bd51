package conf

import (
	"regexp"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// jsonFile reads JSON from the tokens of HCL, which are those of JSON and more. It is as strict as RFC 8259 is, but for what HCL 1
// lets through and people write: a comma after a list's last element, and tabs in strings.
func (p *parser) jsonFile() (*Body, *hcl.Diagnostic) {
	if !p.is(hclsyntax.TokenOBrace) {
		return nil, p.expected("the { of an object", "a configuration is HCL, or one object in JSON")
	}
	v, d := p.jsonObject()
	if d != nil {
		return nil, d
	}
	if !p.is(hclsyntax.TokenEOF) {
		return nil, p.expected("the end of the file after the object", "a configuration in JSON is one object")
	}
	whole := hcl.Range{Filename: p.name, Start: hcl.InitialPos, End: p.peek().Range.End}
	return &Body{Items: v.Body.Items, Range: whole}, nil
}

func (p *parser) jsonObject() (*Value, *hcl.Diagnostic) {
	if d := p.enter(); d != nil {
		return nil, d
	}
	open := p.next().Range
	begins := "the object that begins at " + place(open)
	var items []*Item
	for more := !p.is(hclsyntax.TokenCBrace); more; more = p.skip(hclsyntax.TokenComma) {
		item, d := p.member(begins, len(items) == 0)
		if d != nil {
			return nil, since(d, open)
		}
		items = append(items, item)
	}
	if !p.is(hclsyntax.TokenCBrace) {
		return nil, since(p.expected(", or the } of "+begins, "members of an object are separated by commas"), open)
	}
	r := hcl.RangeBetween(open, p.next().Range)
	p.depth--
	return &Value{Kind: Object, Body: &Body{Items: items, Range: r}, Range: r}, nil
}

// member reads a name, a colon and a value.
func (p *parser) member(object string, first bool) (*Item, *hcl.Diagnostic) {
	if !p.is(hclsyntax.TokenOQuote) {
		what, detail := "a name in "+object, `a member is written "name": value`
		if first {
			what = "a name or the } of " + object
		} else if p.is(hclsyntax.TokenCBrace) {
			detail = "JSON has no comma after the last member"
		}
		return nil, p.expected(what, detail)
	}
	name, r, d := p.quoted()
	if d != nil {
		return nil, d
	}
	outer := p.reading
	p.reading = name
	if !p.skip(hclsyntax.TokenColon) {
		return nil, p.expected("a colon after the name "+clip(name), `a member is written "name": value`)
	}
	v, d := p.jsonValue("the value of " + clip(name))
	if d != nil {
		return nil, d
	}
	item := &Item{Name: name, NameRange: r, Value: v}
	p.end(item, outer)
	return item, nil
}

func (p *parser) jsonList() (*Value, *hcl.Diagnostic) {
	if d := p.enter(); d != nil {
		return nil, d
	}
	open := p.next().Range
	begins := "the list that begins at " + place(open)
	var list []*Value
	for more := true; more && !p.is(hclsyntax.TokenCBrack); more = p.skip(hclsyntax.TokenComma) {
		v, d := p.jsonValue("an element or the ] of " + begins)
		if d != nil {
			return nil, since(d, open)
		}
		list = append(list, v)
	}
	if !p.is(hclsyntax.TokenCBrack) {
		return nil, since(p.expected(", or the ] of "+begins, "elements of a list are separated by commas"), open)
	}
	p.depth--
	return &Value{Kind: List, List: list, Range: hcl.RangeBetween(open, p.next().Range)}, nil
}

// jsonValue reads a value. What it is for is for errors.
func (p *parser) jsonValue(what string) (*Value, *hcl.Diagnostic) {
	switch p.peek().Type {
	case hclsyntax.TokenOQuote:
		text, r, d := p.quoted()
		return &Value{Kind: Text, Text: text, Range: r}, d
	case hclsyntax.TokenOBrack:
		return p.jsonList()
	case hclsyntax.TokenOBrace:
		return p.jsonObject()
	}
	start := p.at
	word, r := p.word()
	switch {
	case word == "true", word == "false":
		return &Value{Kind: Bool, Bool: word == "true", Range: r}, nil
	case word == "null":
		return &Value{Kind: Null, Range: r}, nil
	case jsonNumber.MatchString(word):
		return &Value{Kind: Number, Text: word, Range: r}, nil
	}
	p.at = start
	return nil, p.expected(what, "a value is text in double quotes, a number in decimal, true, false, null, an object, or a list")
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
