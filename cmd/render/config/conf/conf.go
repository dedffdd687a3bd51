// Package conf reads the text of a configuration: the HCL that consul-template reads, which is version 1, and JSON. It knows
// syntax only: which names there are, and what their values mean, is for the caller.
//
//	scan.go  what the library of HCL 1 would accept though it is a mistake, found in the tokens
//	hcl.go   HCL, by that library
//	json.go  JSON, by encoding/json
//
// Of the HCL that the library reads this package refuses what is rather a mistake than meant: a name without a value at the end of
// the file or of a block, a number next to a word (5s), lists in a list without a comma between them, a line end between a
// ${ and its }, \u with half of a surrogate pair, and a line of a heredoc that is its marker with whitespace around it.
//
// Beyond what the library reads it accepts a byte order mark, a heredoc whose closing marker ends the file, and one opened by
// <<- whose closing marker is not indented. Beyond JSON it accepts a comma after the last element of a list, and tabs in
// strings.
package conf

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Pos is a place in the text. Columns count characters. Both begin at 1.
type Pos struct{ Line, Column int }

func (p Pos) String() string { return fmt.Sprintf("line %d, column %d", p.Line, p.Column) }

// A Body is the whole text, or what is between braces.
type Body struct {
	Items []*Item // in the order of the text, also those that have the same name
	Pos   Pos     // of the brace
}

// An Item is a name with its value. A block (name { ... }) and an object (name = { ... }) are the same but for the labels.
type Item struct {
	Name   string // without quotes
	Pos    Pos
	Labels []Label // only a block has some, and only in HCL
	Value  *Value  // not nil
}

// A Label is a word between the name of a block and its brace.
type Label struct {
	Text string
	Pos  Pos
}

// A Kind says which fields a Value has.
type Kind uint8

const (
	Text   Kind = iota // Text is the content of a quoted string or a heredoc
	Number             // Text is as the source has it: -1, 0x1F, 0600 or 2.5e3; whether it fits a type is not checked
	Bool               // Bool
	List               // List
	Object             // Body
	Null               // only in JSON
)

// A Value is the value of an item or an element of a list.
type Value struct {
	Kind    Kind
	Text    string
	Bool    bool
	List    []*Value
	Body    *Body
	Pos     Pos
	EndLine int // the line that it ends on
}

// An Error is what is wrong with the syntax of a text. Message never has anything of the text in it but the name of a block.
type Error struct {
	Pos     Pos
	Message string
	Hint    string // "" for none
	Excerpt string // the line, up to where a value may begin; "" where it cannot be shown
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Pos, e.Message) }

// maxDepth is how many objects and lists can be in each other.
const maxDepth = 64

var byteOrderMark = []byte("\xef\xbb\xbf")

// Parse reads text as JSON if its first character that is not whitespace is a { or a [, with which no HCL begins, and else as HCL. It takes a
// time that grows with the length of the text only. An error is an *Error.
func Parse(text []byte) (*Body, error) {
	text = bytes.TrimPrefix(text, byteOrderMark)
	read := parseHCL
	if begin := bytes.TrimLeftFunc(text, unicode.IsSpace); bytes.HasPrefix(begin, []byte("{")) || bytes.HasPrefix(begin, []byte("[")) {
		read = parseJSON
	}
	err := checkBytes(text)
	if err == nil {
		var body *Body
		if body, err = read(text); err == nil {
			return body, nil
		}
	}
	if err.Excerpt == "" {
		err.Excerpt = excerpt(text, err.Pos)
	}
	return nil, err
}

// checkBytes refuses what is not text.
func checkBytes(text []byte) *Error {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return &Error{Pos: posOf(text, i), Message: "there is a NUL byte in the text: a configuration is text in UTF-8; is this the right file?"}
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return &Error{Pos: posOf(text, i), Message: fmt.Sprintf("the byte 0x%02x is not UTF-8: a configuration is text in UTF-8", text[i])}
		}
		i += size
	}
	return nil
}

// posOf returns the place of a byte.
func posOf(text []byte, offset int) Pos {
	before := text[:min(offset, len(text))]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return Pos{Line: 1 + bytes.Count(before, []byte("\n")), Column: 1 + utf8.RuneCount(line)}
}

// onlyNames matches the beginning of a line in which only the names of blocks and of one setting are, and no value.
var onlyNames = regexp.MustCompile(`^\s*\{?\s*("?\w[\w.-]*"?\s*:?\s*\{\s*)*("?\w[\w.-]*"?\s*[=:]\s*\[?\s*)?$`)

// excerpt returns a line up to a place, with a mark where the rest is left out; "" where a value may stand before the place. The rest of
// a line with a mistake in its syntax may be a secret.
func excerpt(text []byte, at Pos) string {
	line := lineOf(text, at.Line)
	runes := []rune(line)
	before := string(runes[:min(at.Column-1, len(runes))])
	if strings.Trim(before, " \t{") == "" || !onlyNames.MatchString(before) {
		return ""
	}
	if len(runes) > at.Column-1 {
		before += "…"
	}
	return before
}

func lineOf(text []byte, n int) string {
	for ; n > 1; n-- {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return strings.TrimRight(string(line), "\r")
}
