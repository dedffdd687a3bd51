package conf

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/hcl/scanner"
	"github.com/hashicorp/hcl/hcl/token"
)

// The parser of HCL 1 stops silently at some mistakes, and reads others as something that nobody means. So its tokens are
// looked at before it is called.

// A bracket is a { or a [ that is open.
type bracket struct {
	opened token.Token
	name   token.Token // of the block; no text for an object or a list
	again  int         // the line of a block of the same name in it; 0 for none
}

// scan returns the tokens of a text without its comments, or the first mistake in them.
func scan(text []byte) ([]token.Token, *Error) {
	var wrong *Error
	s := scanner.New(text)
	s.Error = func(pos token.Pos, message string) {
		if wrong == nil {
			wrong = &Error{Pos: placeOf(pos), Message: message}
		}
	}

	var tokens []token.Token
	var open []bracket
	for {
		t := s.Scan()
		if err := besideNumber(tokens, t); err != nil { // it may be the cause of what the scanner says
			return nil, err
		}
		switch {
		case wrong != nil:
			return nil, illegal(text, t, wrong)
		case t.Type == token.COMMENT:
			continue
		}
		var err *Error
		if open, err = follow(tokens, open, t); err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		if t.Type == token.EOF {
			return tokens, unclosed(text, open)
		}
	}
}

// follow returns the brackets that are open after a token, and what is wrong with the token where it is.
func follow(before []token.Token, open []bracket, t token.Token) ([]bracket, *Error) {
	previous := token.Token{}
	if len(before) > 0 {
		previous = before[len(before)-1]
	}
	within := token.EOF
	if len(open) > 0 {
		within = open[len(open)-1].opened.Type
	}

	switch ends := t.Type == token.EOF || t.Type == token.RBRACE; {
	case previous.Type == token.ASSIGN && ends:
		return nil, fail(t, "there is no value after the =")
	case within == token.LBRACK && endsElement(previous) && t.Type != token.COMMA && t.Type != token.RBRACK && t.Type != token.EOF:
		return nil, fail(t, "expected a comma or ] in the list that begins at %s", placeOf(open[len(open)-1].opened.Pos))
	case t.Type == token.LBRACE || t.Type == token.LBRACK:
		return opened(before, open, t)
	case t.Type == token.RBRACE && within == token.LBRACK:
		return nil, fail(t, "the list that begins at %s is not closed: ] is missing", placeOf(open[len(open)-1].opened.Pos))
	case t.Type == token.RBRACE && within == token.EOF:
		return nil, fail(t, "no block is open here: this } is one too many")
	case t.Type == token.RBRACK && within != token.LBRACK:
		return nil, fail(t, "no list is open here: this ] is one too many")
	case t.Type == token.RBRACE, t.Type == token.RBRACK:
		return open[:len(open)-1], nil
	}
	return open, nil
}

// endsElement reports whether an element of a list ends with a token.
func endsElement(t token.Token) bool {
	return t.Type.IsLiteral() || t.Type == token.RBRACE || t.Type == token.RBRACK
}

// opened returns the brackets that are open after a { or a [.
func opened(before []token.Token, open []bracket, t token.Token) ([]bracket, *Error) {
	b := bracket{opened: t}
	if t.Type == token.LBRACE {
		b.name = nameBefore(before)
	}
	for i := range open {
		if b.name.Text != "" && open[i].name.Text == b.name.Text && open[i].again == 0 {
			open[i].again = b.name.Pos.Line
		}
	}
	if open = append(open, b); len(open) > maxDepth {
		return nil, fail(t, "objects and lists are nested more than %d levels deep", maxDepth)
	}
	return open, nil
}

// nameBefore returns the name of a block whose { comes next: the first of the words before it, where that cannot be a value.
func nameBefore(before []token.Token) token.Token {
	i := len(before)
	for i > 0 && (before[i-1].Type == token.IDENT || before[i-1].Type == token.STRING && before[i-1].Pos.Line == before[len(before)-1].Pos.Line) {
		i--
	}
	if i == len(before) || before[i].Type != token.IDENT {
		return token.Token{}
	}
	if i > 0 && before[i-1].Pos.Line == before[i].Pos.Line && !before[i-1].Type.IsOperator() || i > 0 && before[i-1].Type == token.ASSIGN {
		return token.Token{}
	}
	return before[i]
}

// unclosed says which bracket is not closed where the text ends: the innermost, or a block in which another of its name begins.
func unclosed(text []byte, open []bracket) *Error {
	if len(open) == 0 {
		return nil
	}
	b := open[len(open)-1]
	if i := slices.IndexFunc(open, func(b bracket) bool { return b.again > 0 }); i >= 0 {
		b = open[i]
	}
	line := b.opened.Pos.Line
	switch {
	case b.opened.Type == token.LBRACK:
		return fail(b.opened, "the list that begins at line %d is not closed: ] is missing", line)
	case b.name.Text == "":
		return fail(b.opened, "the object that begins at line %d is not closed: } is missing", line)
	}
	err := fail(b.name, "the block %s that begins at line %d is not closed: } is missing", b.name.Text, b.name.Pos.Line)
	if b.again > 0 {
		err.Hint = fmt.Sprintf("did you forget the } before the %s of line %d?", b.name.Text, b.again)
	}
	if shown := string([]rune(lineOf(text, line))[:b.opened.Pos.Column]); line == b.name.Pos.Line && onlyNames.MatchString(shown) {
		err.Excerpt = shown
	}
	return err
}

// besideNumber refuses a number with something next to it, as in 5s: the parser takes it for two items.
func besideNumber(before []token.Token, t token.Token) *Error {
	if len(before) == 0 {
		return nil
	}
	number := before[len(before)-1]
	isNumber := number.Type == token.NUMBER || number.Type == token.FLOAT
	if !isNumber || number.Pos.Offset+len(number.Text) != t.Pos.Offset {
		return nil
	}
	switch t.Type {
	case token.IDENT:
		if slices.Contains([]string{"s", "ms", "m", "h", "us", "ns"}, t.Text) {
			return fail(number, `this is not a number: a duration needs double quotes, as in "5s"`)
		}
		return fail(number, "this is not a number: text needs double quotes")
	case token.NUMBER, token.FLOAT, token.BOOL, token.PERIOD, token.SUB, token.ADD, token.STRING, token.HEREDOC:
		return fail(number, "this is not a number: text needs double quotes")
	}
	return nil
}

// illegal is what the scanner finds wrong with a token, in words that help.
func illegal(text []byte, t token.Token, found *Error) *Error {
	place, char := found.Pos, ""
	if runes := []rune(lineOf(text, place.Line)); place.Column >= 1 && place.Column <= len(runes) {
		char = string(runes[place.Column-1])
	}
	switch found.Message {
	case "literal not terminated", "heredoc not terminated", "comment not terminated", "expected '/' for comment",
		"illegal octal number", "illegal hexadecimal number", "invalid characters in heredoc anchor", "zero-length heredoc anchor",
		"heredoc expected second '<', didn't see it":
		place = placeOf(t.Pos)
	}
	if found.Message == "illegal char escape" {
		for i, c := range []rune(lineOf(text, found.Pos.Line)) {
			if c == '\\' && i < found.Pos.Column {
				place.Column = i + 1
			}
		}
	}
	return &Error{Pos: place, Message: helpFor(found.Message, char)}
}

// help is what is said in place of what the scanner and the parser of HCL 1 say, by the beginning of that and by what is found: a
// character, or the name of a token's type; "" for any.
var help = []struct{ message, found, says string }{
	{"literal not terminated", "", `this text is not closed: its second " is missing, on the line on which it begins; for text of several lines use a heredoc (<<EOF)`},
	{"heredoc not terminated", "", "this heredoc is not closed: a line with its marker alone is missing"},
	{"comment not terminated", "", "this comment is not closed: */ is missing"},
	{"illegal char escape", "", `unknown escape: there are \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600; a backslash itself is \\`},
	{"illegal char", ":", "unexpected colon: write name = value"},
	{"illegal char", ";", "unexpected semicolon: an item ends where its value ends"},
	{"illegal char", "'", `text needs double quotes, as in "text"`},
	{"illegal char", "`", `text needs double quotes, as in "text"`},
	{"illegal char", "“", `text needs double quotes, as in "text"`},
	{"illegal char", "”", `text needs double quotes, as in "text"`},
	{"illegal char", "‘", `text needs double quotes, as in "text"`},
	{"illegal char", "’", `text needs double quotes, as in "text"`},
	{"illegal char", "\u00a0", "unexpected character, a no-break space: use an ordinary space"},
	{"illegal char", "", "unexpected character: text needs double quotes"},
	{"expected '/' for comment", "", "unexpected /: text needs double quotes, and a comment begins with # or //"},
	{"illegal octal number", "", "this is not a number: one that begins with 0 is octal, with the digits 0 to 7"},
	{"illegal hexadecimal number", "", "this is not a number: digits are missing after 0x"},
	{"invalid characters in heredoc anchor", "", "a heredoc begins with <<EOF or <<-EOF at the end of a line, with nothing after it; EOF can be any word"},
	{"zero-length heredoc anchor", "", "the word after << is missing: a heredoc begins with <<EOF or <<-EOF at the end of a line, and EOF can be any word"},
	{"heredoc expected second '<'", "", "unexpected <: a heredoc begins with <<EOF or <<-EOF at the end of a line"},
	{"unicode code point U+E123", "", "the character U+E123 cannot be used in HCL"},

	{"Unknown token", "IDENT", "expected a value: text needs double quotes"},
	{"Unknown token", "", "expected a value: text in double quotes, a number, true, false, a list, an object, or a heredoc (<<EOF)"},
	{"unexpected token while parsing list", "IDENT", "expected an element of the list: text needs double quotes"},
	{"unexpected token while parsing list", "", "expected an element of the list, or its ]"},
	{"error parsing list", "", "expected a comma or ]: elements of a list are separated by commas"},
	{"no object keys found", "", "expected a name before the ="},
	{"expected: IDENT", "COMMA", "unexpected comma: at most one comes after an item"},
	{"expected: IDENT", "BOOL", "true and false are not names: a name with these letters needs double quotes"},
	{"expected: IDENT", "", "expected a name: an item is written name = value or name { … }"},
}

func helpFor(message, found string) string {
	for _, h := range help {
		if strings.HasPrefix(message, h.message) && (h.found == "" || h.found == found) {
			return h.says
		}
	}
	return "syntax error: an item is written name = value or name { … }"
}

func fail(t token.Token, format string, args ...any) *Error {
	return &Error{Pos: placeOf(t.Pos), Message: fmt.Sprintf(format, args...)}
}

func placeOf(p token.Pos) Pos { return Pos{p.Line, p.Column} }

var (
	indentedMarker = regexp.MustCompile(`<<-([\pL\p{Nd}_]+)\r?\n`)
	onlyWord       = regexp.MustCompile(`(?m)^[\pL\p{Nd}_]+\r?$`)
)

// closeFlush lets the scanner see closing markers that are not indented of heredocs that are opened by <<-: it wants such a line to be
// longer than the marker, and allows carriage returns after it. Elsewhere they are whitespace, or are taken out of the text again.
func closeFlush(text []byte) (adapted []byte, markers map[string]bool) {
	markers = make(map[string]bool)
	for _, m := range indentedMarker.FindAllSubmatch(text, -1) {
		markers[string(m[1])] = true
	}
	if len(markers) == 0 {
		return text, nil
	}
	return onlyWord.ReplaceAllFunc(text, func(line []byte) []byte {
		if word := bytes.TrimSuffix(line, []byte("\r")); markers[string(word)] {
			return append(slices.Clip(word), "\r\r"...) // of which one is left: the parser takes one with the line end
		}
		return line
	}), markers
}
