package conf

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// quoted reads a quoted string, and returns its content.
func (p *parser) quoted() (string, hcl.Range, *hcl.Diagnostic) {
	open := p.next().Range
	for p.is(hclsyntax.TokenQuotedLit) {
		p.next()
	}
	if !p.is(hclsyntax.TokenCQuote) {
		return "", open, p.openString(open)
	}
	end := p.next().Range
	text, d := p.unescape(open.End.Byte, end.Start.Byte)
	return text, hcl.RangeBetween(open, end), d
}

func (p *parser) openString(open hcl.Range) *hcl.Diagnostic {
	detail := "a quoted string ends on the line on which it begins; a heredoc (<<EOF) can have several lines"
	if p.json {
		detail = `a string ends on the line on which it begins; a line end in it is written \n`
	}
	if p.is(hclsyntax.TokenEOF) {
		detail = "the file ends inside the string"
	}
	return p.fail(open, fmt.Sprintf("the string that begins at %s is not closed: \" is missing", place(open)), detail)
}

// unescape returns what the text from one byte to another means in a quoted string.
func (p *parser) unescape(from, to int) (string, *hcl.Diagnostic) {
	raw := p.text[from:to]
	if p.json {
		if i := bytes.IndexFunc(raw, func(r rune) bool { return r < ' ' && r != '\t' }); i >= 0 {
			return "", p.fail(p.span(from+i, from+i+1), fmt.Sprintf("the control character 0x%02x stands in a string", raw[i]),
				fmt.Sprintf(`JSON has it written \u%04x`, raw[i]))
		}
	}
	if bytes.IndexByte(raw, '\\') < 0 && bytes.IndexByte(raw, '$') < 0 {
		return string(raw), nil
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		switch {
		case raw[i] == '\\':
			text, n, wrong := p.escape(raw[i:])
			if wrong != "" {
				return "", p.fail(p.span(from+i, from+i+n), wrong, "the escapes are "+p.escapes()+`; a backslash itself is \\`)
			}
			out, i = append(out, text...), i+n
		case !p.json && bytes.HasPrefix(raw[i:], []byte("${")):
			n := interpolation(raw[i:])
			if n == 0 {
				return "", p.fail(p.span(from+i, from+i+2), `the ${ is not closed: } is missing before the " that ends the string`,
					`up to its } also a " is text; in a heredoc (<<EOF) nothing has to be closed`)
			}
			out, i = append(out, raw[i:i+n]...), i+n
		default:
			out, i = append(out, raw[i]), i+1
		}
	}
	return string(out), nil
}

// interpolation is the length of the ${ ... } with which raw begins, or 0 if it is not closed.
func interpolation(raw []byte) int {
	braces := 0
	for i, c := range raw {
		switch c {
		case '{':
			braces++
		case '}':
			if braces--; braces == 0 {
				return i + 1
			}
		}
	}
	return 0
}

func (p *parser) escapes() string {
	if p.json {
		return `\" \\ \/ \b \f \n \r \t and \u12ab`
	}
	return `\a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600`
}

// escape reads the escape with which raw begins: its backslash and at least one character. It returns its meaning and length,
// or what is wrong with it.
func (p *parser) escape(raw []byte) (meaning string, length int, wrong string) {
	c, size := utf8.DecodeRune(raw[1:])
	known, means := `abfnrtv\"`, "\a\b\f\n\r\t\v\\\""
	if p.json {
		known, means = `bfnrt\"/`, "\b\f\n\r\t\\\"/"
	}
	if i := strings.IndexRune(known, c); i >= 0 {
		return means[i : i+1], 2, ""
	}
	switch {
	case c == 'u' && p.json:
		return jsonUnicode(raw)
	case c == 'u':
		return character(raw, 4)
	case c == 'U' && !p.json:
		return character(raw, 8)
	case c == 'x' && !p.json:
		v, n, wrong := digits(raw, 2, 2, 16)
		return string([]byte{byte(v)}), n, wrong
	case c >= '0' && c <= '7' && !p.json:
		v, n, wrong := digits(raw, 1, 3, 8)
		if v > 255 {
			wrong = string(raw[:n]) + ` is more than \377`
		}
		return string([]byte{byte(v)}), n, wrong
	}
	return "", 1 + size, "unknown escape " + clip(string(raw[:1+size]))
}

// character reads an escape of count hexadecimal digits after \u or \U.
func character(raw []byte, count int) (string, int, string) {
	v, n, wrong := digits(raw, 2, count, 16)
	if wrong == "" && (v > utf8.MaxRune || !utf8.ValidRune(rune(v))) {
		wrong = string(raw[:n]) + " is not a character"
	}
	return string(rune(v)), n, wrong
}

// jsonUnicode reads a \u12ab of JSON, or two that are one character.
func jsonUnicode(raw []byte) (string, int, string) {
	high, n, wrong := digits(raw, 2, 4, 16)
	if wrong != "" || !utf16.IsSurrogate(rune(high)) {
		return string(rune(high)), n, wrong
	}
	if bytes.HasPrefix(raw[n:], []byte(`\u`)) {
		low, m, _ := digits(raw[n:], 2, 4, 16)
		if r := utf16.DecodeRune(rune(high), rune(low)); r != utf8.RuneError {
			return string(r), n + m, ""
		}
	}
	return "", n, string(raw[:n]) + " is half of a pair, and the other half is missing"
}

// digits reads exactly count digits that begin at raw[from]. The length is that of raw up to where they end, or to where one
// is missing.
func digits(raw []byte, from, count, base int) (value uint64, length int, wrong string) {
	for length = from; length < from+count; length++ {
		if length == len(raw) {
			break
		}
		if _, err := strconv.ParseUint(string(raw[length:length+1]), base, 8); err != nil {
			break
		}
	}
	if length < from+count {
		kind := map[int]string{8: "octal", 16: "hexadecimal"}[base]
		return 0, length, fmt.Sprintf("%s has to have %d %s digits", raw[:length], count, kind)
	}
	value, _ = strconv.ParseUint(string(raw[from:length]), base, 64)
	return value, length, ""
}

// heredoc reads from << to the closing marker.
func (p *parser) heredoc() (*Value, *hcl.Diagnostic) {
	open := p.next().Range
	first := strings.TrimRight(p.slice(open), "\r\n")
	for p.is(hclsyntax.TokenStringLit) {
		p.next()
	}
	marker := strings.TrimPrefix(strings.TrimPrefix(first, "<<"), "-")
	if !p.is(hclsyntax.TokenCHeredoc) {
		return nil, p.openHeredoc(open, first, marker)
	}
	end := p.next().Range
	prefix, found := strings.CutSuffix(p.slice(end), marker)
	if !found || strings.Trim(prefix, " \t") != "" {
		return nil, p.fail(end, fmt.Sprintf("blanks stand where none can be next to %s, the marker that closes the heredoc of line %d", clip(marker), open.Start.Line),
			"before a closing marker can be spaces and tabs, and after it nothing but the end of the line")
	}
	text := strings.ReplaceAll(string(p.text[open.End.Byte:end.Start.Byte]), "\r\n", "\n")
	if strings.HasPrefix(first, "<<-") {
		text = unindent(text, prefix)
	} else {
		text += prefix
	}
	return &Value{Kind: Text, Text: text, Range: hcl.RangeBetween(open, end)}, nil
}

func (p *parser) openHeredoc(open hcl.Range, first, marker string) *hcl.Diagnostic {
	open.End = open.Start
	open.End.Byte += len(first)
	open.End.Column += utf8.RuneCountInString(first)
	return p.fail(open, fmt.Sprintf("the heredoc %s that begins at line %d is not closed: a line with %s alone is missing", clip(first), open.Start.Line, clip(marker)),
		"the file ends inside the heredoc")
}

// unindent takes prefix off all lines of text if all begin with it.
func unindent(text, prefix string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(line, prefix)
		if !found {
			return text
		}
		out.WriteString(rest)
	}
	return out.String()
}
