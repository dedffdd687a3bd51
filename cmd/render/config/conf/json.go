package conf

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A jsonReader goes over the tokens of a text that is JSON.
type jsonReader struct {
	text    []byte // as it was given
	strict  []byte // as encoding/json has it
	grown   []int  // the offsets in strict that have one byte more than text before them
	decoder *json.Decoder
	depth   int
	err     *Error // the first that encoding/json does not mind

	at           int // an offset in text, of which are
	line, column int
}

func parseJSON(text []byte) (*Body, *Error) {
	r := &jsonReader{text: text, line: 1, column: 1}
	r.strict, r.grown = strictJSON(text)
	var all json.RawMessage
	if err := json.Unmarshal(r.strict, &all); err != nil {
		return nil, r.syntaxError(err)
	}
	if text = bytes.TrimSpace(text); text[0] == '[' {
		return nil, &Error{Pos: Pos{1, 1}, Message: "expected an object: a configuration is HCL, or one object in JSON"}
	}
	r.decoder = json.NewDecoder(bytes.NewReader(r.strict))
	r.decoder.UseNumber()
	v, err := r.value()
	if err = cmp.Or(err, r.err); err != nil {
		return nil, err
	}
	return v.Body, nil
}

// strictJSON returns JSON without commas after last elements of lists, and with tabs in strings escaped. Line ends stay where they are.
func strictJSON(text []byte) (strict []byte, grown []int) {
	quoted, last := false, byte(0) // whether in a string, and the last byte outside that is not whitespace
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quoted && c == '\\' && i+1 < len(text):
			strict = append(strict, c)
			i++
			c = text[i]
		case quoted && c == '\t':
			strict = append(strict, '\\')
			grown = append(grown, len(strict))
			c = 't'
		case c == '"':
			quoted = !quoted
			last = c
		case !quoted && c == ',' && last != ',' && last != '[' && bytes.HasPrefix(bytes.TrimLeft(text[i+1:], " \t\r\n"), []byte("]")):
			c = ' '
		case !quoted && !strings.ContainsRune(" \t\r\n", rune(c)):
			last = c
		}
		strict = append(strict, c)
	}
	return strict, grown
}

// original returns the offset in the text of one in strict.
func (r *jsonReader) original(offset int) int {
	n, _ := slices.BinarySearch(r.grown, offset+1)
	return offset - n
}

// pos returns the place of an offset in strict. It must not be before the last one.
func (r *jsonReader) pos(offset int) Pos {
	to := min(r.original(offset), len(r.text))
	for _, c := range string(r.text[r.at:to]) {
		if r.column++; c == '\n' {
			r.line, r.column = r.line+1, 1
		}
	}
	r.at = to
	return Pos{r.line, r.column}
}

// next returns the next token and its place. It cannot fail: the text is valid.
func (r *jsonReader) next() (json.Token, Pos) {
	from := int(r.decoder.InputOffset())
	rest := r.strict[from:]
	from += len(rest) - len(bytes.TrimLeft(rest, " \t\r\n:,"))
	t, _ := r.decoder.Token()
	pos := r.pos(from)
	text, _ := t.(string)
	if half := string(utf8.RuneError); r.err == nil && strings.Contains(text, half) && !strings.Contains(string(r.strict[from:r.decoder.InputOffset()]), half) {
		r.err = &Error{Pos: pos, Message: halfCharacter}
	}
	return t, pos
}

func (r *jsonReader) value() (*Value, *Error) {
	t, pos := r.next()
	v := &Value{Pos: pos}
	switch t := t.(type) {
	case json.Delim:
		if r.depth++; r.depth > maxDepth {
			return nil, &Error{Pos: pos, Message: fmt.Sprintf("objects and lists are nested more than %d levels deep", maxDepth)}
		}
		if err := r.inside(t, v); err != nil {
			return nil, err
		}
		r.depth--
	case string:
		v.Text = t
	case json.Number:
		v.Kind, v.Text = Number, t.String()
	case bool:
		v.Kind, v.Bool = Bool, t
	case nil:
		v.Kind = Null
	}
	v.EndLine = r.pos(int(r.decoder.InputOffset())).Line
	return v, nil
}

// inside reads an object or a list up to its end.
func (r *jsonReader) inside(begin json.Delim, v *Value) *Error {
	v.Kind = List
	if begin == '{' {
		v.Kind, v.Body = Object, &Body{Pos: v.Pos}
	}
	for r.decoder.More() {
		var item *Item
		if begin == '{' {
			name, pos := r.next()
			item = &Item{Name: name.(string), Pos: pos}
		}
		e, err := r.value()
		if err != nil {
			return err
		}
		if item == nil {
			v.List = append(v.List, e)
			continue
		}
		item.Value = e
		v.Body.Items = append(v.Body.Items, item)
	}
	_, _ = r.next() // the end
	return nil
}

// jsonHelp is what is said in place of what encoding/json says, by a part of that and by the character that was found; "" for any.
var jsonHelp = []struct{ message, found, says string }{
	{"unexpected end of JSON input", "", "the file ends here, before its object is closed: it was cut off, or a bracket is not closed"},
	{"in string literal", "", `control characters in text need an escape, as in \u0001`},
	{"in string escape code", "", `unknown escape: there are \" \\ \/ \b \f \n \r \t and \u12ab; a backslash itself is \\`},
	{`in \u hexadecimal character escape`, "", `this escape needs four hexadecimal digits, as in \u12ab`},
	{"beginning of value", "'", `text needs double quotes, as in "text"`},
	{"beginning of value", "]", "expected an element of the list: one comma is too many"},
	{"beginning of value", "}", "expected a value"},
	{"beginning of value", ",", "expected a value: one comma is too many"},
	{"beginning of value", "/", "expected a value: JSON has no comments"},
	{"beginning of value", "#", "expected a value: JSON has no comments"},
	{"beginning of value", "", "expected a value: text needs double quotes, true, false and null are in lower case, and a number is in decimal"},
	{"object key string", "}", "expected a name: JSON has no comma after the last member"},
	{"object key string", "/", "expected a name: JSON has no comments"},
	{"object key string", "#", "expected a name: JSON has no comments"},
	{"object key string", "", `expected a name: a member is written "name": value`},
	{"after object key:value pair", "/", "expected a comma or }: JSON has no comments"},
	{"after object key:value pair", "#", "expected a comma or }: JSON has no comments"},
	{"after object key:value pair", "", "expected a comma or }: members of an object are separated by commas"},
	{"after object key", "", `expected a colon: a member is written "name": value`},
	{"after array element", "", "expected a comma or ]: elements of a list are separated by commas"},
	{"after top-level value", "#", "something stands after the end of the object: JSON has no comments"},
	{"after top-level value", "/", "something stands after the end of the object: JSON has no comments"},
	{"after top-level value", "", "something stands after the end of the object: a configuration in JSON is one object"},
	{"in literal", "", "expected a value: true, false and null are in lower case, and text needs double quotes"},
	{"numeric literal", "", "this is not a number: numbers are in decimal, and text needs double quotes"},
	{"in exponent", "", "this is not a number: numbers are in decimal, and text needs double quotes"},
	{"exceeded max depth", "", fmt.Sprintf("objects and lists are nested more than %d levels deep", maxDepth)},
}

// syntaxError says what is wrong with text that is not JSON, in words that help, and without anything of the text.
func (r *jsonReader) syntaxError(err error) *Error {
	failed, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return &Error{Pos: Pos{1, 1}, Message: "this is not JSON"}
	}
	offset := max(0, int(failed.Offset)-1) // it counts the character
	ended := failed.Error() == "unexpected end of JSON input"
	if ended {
		offset = len(r.strict)
	}
	found := ""
	if offset < len(r.strict) {
		found = string(r.strict[offset : offset+1])
	}
	if isDigit(found) && offset > 0 && r.strict[offset-1] == '0' && strings.Contains(failed.Error(), "after ") {
		return &Error{Pos: r.pos(offset - 1), Message: `this is not a number: one that begins with 0 is text here, and needs double quotes, as in "0640"`}
	}
	if begin := openQuote(r.strict[:offset]); begin >= 0 && (ended || found == "\n") {
		return &Error{Pos: r.pos(begin), Message: `this text is not closed: its second " is missing; a line end in text is written \n`}
	}
	for _, h := range jsonHelp {
		if strings.Contains(failed.Error(), h.message) && (h.found == "" || h.found == found) {
			return &Error{Pos: r.pos(offset), Message: h.says}
		}
	}
	return &Error{Pos: r.pos(offset), Message: "this is not JSON"}
}

func isDigit(s string) bool { return len(s) == 1 && '0' <= s[0] && s[0] <= '9' }

// openQuote returns the offset of the quote whose string a text ends in; -1 for none.
func openQuote(text []byte) int {
	open := -1
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && open >= 0:
			i++
		case text[i] == '"' && open >= 0:
			open = -1
		case text[i] == '"':
			open = i
		}
	}
	return open
}
