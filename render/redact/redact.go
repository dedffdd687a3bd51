// Package redact takes secrets out of what programs print. A check or a command may quote lines of the files that render has just
// written: logs and errors have what it printed, but for the lines with a secret.
package redact

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"render/template/secrets"
)

// Line stands in place of a line that has a secret.
const Line = "[a line with a secret]"

// least is how many bytes of a secret tell something of it. Fewer are in many lines.
const least = 4

// cut is how a text begins whose beginning was dropped.
const cut = "[…]"

// A Finder finds secrets in what programs print.
type Finder struct {
	waiting []string // secrets and lines of secrets whose forms are not in found yet, the shortest first
	found   forms
}

// New returns a Finder of the secrets of some answers.
func New(answers []any) *Finder {
	f := &Finder{found: forms{make(map[string]bool), make(map[string][]int)}}
	seen := make(map[string]int)
	for _, answer := range answers {
		f.addAll(answer, 2, seen)
	}
	slices.SortFunc(f.waiting, func(a, b string) int { return cmp.Or(cmp.Compare(size(a), size(b)), cmp.Compare(a, b)) })
	f.waiting = slices.Compact(f.waiting)
	return f
}

// size returns how many bytes the forms of a text have at least, before they are in small letters.
func size(text string) int { return len(strings.Trim(text, `"`)) }

// mostShrunk is how many times shorter a letter can be when it is small: three bytes for the sign of Kelvin, one for k.
const mostShrunk = 3

// Lines returns what a program has printed, with Line in place of each line that has a secret: a text or a number of the answers of at
// least four bytes, or a line of one, in capitals or small letters, also quoted, escaped as in URLs, HTML and sh, in base64 or in hex. Of
// a secret that is JSON or base64, what is in it is a secret, too.
func (f *Finder) Lines(printed string) string {
	if printed == "" || len(f.waiting) == 0 && len(f.found.texts) == 0 {
		return printed
	}
	for most := mostShrunk * len(strings.ToLower(printed)); len(f.waiting) > 0 && size(f.waiting[0]) <= most; f.waiting = f.waiting[1:] {
		f.found.addForms(f.waiting[0])
	}
	lines := strings.SplitAfter(printed, "\n")
	for i, line := range lines {
		if f.found.isIn(line) || i == 0 && strings.HasPrefix(line, cut) { // it may begin within a secret
			lines[i] = Line + line[len(strings.TrimRight(line, "\r\n")):]
		}
	}
	return strings.Join(lines, "")
}

// Size returns what stands in place of all that a program has printed, where nobody knows the secrets in it.
func Size(printed string) string {
	if printed == "" {
		return ""
	}
	return fmt.Sprintf("[%d bytes that may have secrets]", len(printed))
}

// forms are texts in small letters, which are found however many they are.
type forms struct {
	texts map[string]bool
	sizes map[string][]int // of the texts that begin with so many bytes as the least have
}

// addAll adds the secrets of an answer, and those in them, down to a depth. Seen has the depth, and one, of each secret so far.
func (f *Finder) addAll(answer any, depth int, seen map[string]int) {
	secrets.Any(answer, func(secret string) bool {
		if depth < seen[secret] {
			return false
		}
		seen[secret] = depth + 1
		f.add(secret)
		if decoded, ok := decode(secret); ok && depth > 0 {
			f.addAll(decoded, depth-1, seen)
		}
		return false
	})
}

// add adds a secret and its lines.
func (f *Finder) add(secret string) {
	for line := range strings.Lines(secret) {
		if line = strings.TrimSpace(line); len(line) >= least && !strings.HasPrefix(line, "-----") { // the frame of a PEM block is not secret
			f.waiting = append(f.waiting, line)
		}
	}
	if strings.Contains(secret, "\n") {
		f.waiting = append(f.waiting, secret)
	}
}

// decode returns what is in a text that is JSON or base64.
func decode(text string) (any, bool) {
	var value any
	if json.Unmarshal([]byte(text), &value) == nil {
		switch value.(type) {
		case map[string]any, []any, string:
			return value, true
		}
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		if decoded, err := encoding.DecodeString(text); err == nil && utf8.Valid(decoded) {
			return string(decoded), true
		}
	}
	return nil, false
}

// addForms adds a secret of several lines, or a line, as files can have it.
func (f *forms) addForms(text string) {
	f.addBase64(text)
	if strings.Contains(text, "\n") {
		f.add(strings.Trim(quoteJSON(text), `"`))
		return
	}
	for _, form := range []string{
		text, strconv.Quote(text), strconv.QuoteToASCII(text), quoteJSON(text), url.QueryEscape(text), url.PathEscape(text), html.EscapeString(text),
		strings.ReplaceAll(text, "'", `'\''`), strings.ReplaceAll(text, "'", "''"), hex.EncodeToString([]byte(text)),
	} {
		f.add(strings.Trim(form, `"`))
	}
}

// addBase64 adds the base64 of a text, wherever it begins in what is encoded.
func (f *forms) addBase64(text string) {
	for before := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", before) + text))
		encoded = encoded[(before*8+5)/6 : (before+len(text))*8/6]
		f.add(encoded)
		f.add(strings.NewReplacer("+", "-", "/", "_").Replace(encoded))
	}
}

func quoteJSON(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(quoted)
}

func (f *forms) add(text string) {
	if text = strings.ToLower(text); len(text) < least || f.texts[text] {
		return
	}
	f.texts[text] = true
	if begin := text[:least]; !slices.Contains(f.sizes[begin], len(text)) {
		f.sizes[begin] = append(f.sizes[begin], len(text))
	}
}

// isIn reports whether a line has one of the texts.
func (f *forms) isIn(line string) bool {
	line = strings.ToLower(line)
	for i := range max(0, len(line)-least+1) {
		for _, size := range f.sizes[line[i:i+least]] {
			if i+size <= len(line) && f.texts[line[i:i+size]] {
				return true
			}
		}
	}
	return false
}
