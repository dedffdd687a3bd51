package run

import "strings"

// fillShell returns a line for sh with a path in place of each {}, quoted according to what stands around the {}.
func fillShell(line, path string) string {
	if !strings.Contains(line, fileMark) {
		return line
	}
	f := filler{line: line, path: path}
	f.code(0)
	return f.out.String()
}

// A filler copies a line for sh. It knows as much of the shell's language as is needed to know the quotes around a {}.
type filler struct {
	line, path string
	at         int // the next byte of line
	out        strings.Builder
	documents  []hereDocument // that begin at the next line
}

// A hereDocument is the input of a command within the text of the shell: << END.
type hereDocument struct {
	end    string // the line that ends it
	tabs   bool   // before a line are ignored
	quoted bool   // nothing is expanded in it
}

// code copies commands up to a closing byte, or to the end of the line where that is 0.
func (f *filler) code(closing byte) {
	for f.at < len(f.line) {
		c := f.line[f.at]
		switch {
		case f.fill(bareQuoted):
		case c == '\\':
			f.copy(2)
		case c == '\'':
			f.literal()
		case c == '"':
			f.copy(1)
			f.expanded('"')
		case c == '`':
			f.backquoted(false)
		case c == '(':
			f.copy(1)
			f.code(')')
		case c == '#' && f.beginsWord():
			f.copy(lengthTo(f.line[f.at:], '\n'))
		case c == '<' && f.beginsDocument():
		case c == '\n':
			f.copy(1)
			f.copyDocuments()
		default:
			f.copy(1)
			if c == closing && closing != 0 {
				return
			}
		}
	}
}

// literal copies a text in single quotes.
func (f *filler) literal() {
	f.copy(1)
	for f.at < len(f.line) {
		c := f.line[f.at]
		if f.fill(singleQuoted) {
			continue
		}
		f.copy(1)
		if c == '\'' {
			return
		}
	}
}

// expanded copies a text in which the shell expands $ and backquotes: up to a double quote, or with 0 to its end.
func (f *filler) expanded(closing byte) {
	quote := doubleQuoted
	if closing == 0 {
		quote = documentQuoted
	}
	for f.at < len(f.line) {
		c := f.line[f.at]
		switch {
		case f.fill(quote):
		case c == '\\':
			f.copy(2)
		case c == '`':
			f.backquoted(closing == '"')
		case strings.HasPrefix(f.line[f.at:], "$("):
			f.copy(2)
			f.code(')')
		default:
			f.copy(1)
			if c == closing && closing != 0 {
				return
			}
		}
	}
}

// backquoted copies commands in backquotes. The shell removes some backslashes before it reads them.
func (f *filler) backquoted(inDouble bool) {
	special := "\\`$"
	if inDouble {
		special += `"`
	}

	// What the shell will read.
	var code strings.Builder
	i := f.at + 1
	for ; i < len(f.line) && f.line[i] != '`'; i++ {
		if f.line[i] == '\\' && i+1 < len(f.line) && strings.IndexByte(special, f.line[i+1]) >= 0 {
			i++
		}
		code.WriteByte(f.line[i])
	}
	if i == len(f.line) || !strings.Contains(code.String(), fileMark) {
		f.copy(i + 1 - f.at)
		return
	}

	inner := filler{line: code.String(), path: f.path}
	inner.code(0)
	f.out.WriteString("`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(inner.out.String()) + "`")
	f.at = i + 1
}

// beginsDocument copies the operator << and its word, if that is what comes next.
func (f *filler) beginsDocument() bool {
	text := f.line[f.at:]
	if !strings.HasPrefix(text, "<<") {
		return false
	}
	if strings.HasPrefix(text, "<<<") {
		f.copy(3)
		return true
	}
	word, tabs := strings.CutPrefix(text[2:], "-")
	word = strings.TrimLeft(word, " \t")
	word = word[:lengthToAny(word, " \t\n;&|<>()")]
	end := strings.NewReplacer(`\`, "", `'`, "", `"`, "").Replace(word)
	f.documents = append(f.documents, hereDocument{end: end, tabs: tabs, quoted: end != word})
	f.copy(strings.Index(text[2:], word) + 2 + len(word))
	return true
}

// copyDocuments copies the documents that begin here.
func (f *filler) copyDocuments() {
	for _, d := range f.documents {
		body, ok := d.cut(f.line[f.at:])
		if !ok {
			continue // it was another operator, such as a shift
		}
		inner := filler{line: body, path: f.path}
		if d.quoted {
			inner.out.WriteString(strings.ReplaceAll(body, fileMark, f.path))
		} else {
			inner.expanded(0)
		}
		f.out.WriteString(inner.out.String())
		f.at += len(body)
	}
	f.documents = nil
}

// cut returns the lines of the document, without the one that ends it, from the beginning of a text.
func (d hereDocument) cut(text string) (body string, ok bool) {
	n := 0
	for line := range strings.Lines(text) {
		is := strings.TrimSuffix(line, "\n")
		if d.tabs {
			is = strings.TrimLeft(is, "\t")
		}
		if is == d.end {
			return text[:n], true
		}
		n += len(line)
	}
	return "", false
}

// fill writes the path if {} comes next.
func (f *filler) fill(quote func(string) string) bool {
	if !strings.HasPrefix(f.line[f.at:], fileMark) {
		return false
	}
	f.out.WriteString(quote(f.path))
	f.at += len(fileMark)
	return true
}

// copy copies some bytes, or as many as there are.
func (f *filler) copy(n int) {
	end := min(f.at+n, len(f.line))
	f.out.WriteString(f.line[f.at:end])
	f.at = end
}

// beginsWord reports whether no word reaches up to the next byte.
func (f *filler) beginsWord() bool {
	return f.at == 0 || strings.IndexByte(" \t\n;&|()", f.line[f.at-1]) >= 0
}

func lengthTo(s string, c byte) int { return lengthToAny(s, string(c)) }

func lengthToAny(s, chars string) int {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return i
	}
	return len(s)
}

var (
	inDouble   = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`")
	inDocument = strings.NewReplacer(`\`, `\\`, "$", `\$`, "`", "\\`")
)

func bareQuoted(path string) string     { return "'" + singleQuoted(path) + "'" }
func singleQuoted(path string) string   { return strings.ReplaceAll(path, "'", `'\''`) }
func doubleQuoted(path string) string   { return inDouble.Replace(path) }
func documentQuoted(path string) string { return inDocument.Replace(path) }
