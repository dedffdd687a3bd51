// Package redact takes secrets out of what programs print. A check or a command may quote lines of the files that render has just
// written: logs and errors have what it printed, but for the lines with a secret.
package redact

import (
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

// Lines returns what a program has printed, with Line in place of each line that has a secret: a text or a number of the answers of at
// least four bytes, or a line of one, in capitals or small letters, also quoted, escaped as in URLs, HTML and sh, in base64 or in hex. Of
// a secret that is JSON or base64, what is in it is a secret, too.
func Lines(printed string, answers []any) string {
	if printed == "" || len(answers) == 0 {
		return printed
	}
	all := finder{make(map[string]bool), make(map[string][]int)}
	for _, answer := range answers {
		all.addAll(answer, 2)
	}
	lines := strings.SplitAfter(printed, "\n")
	for i, line := range lines {
		if all.isIn(line) || i == 0 && strings.HasPrefix(line, cut) { // it may begin within a secret
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

// A finder finds texts in small letters, however many they are.
type finder struct {
	texts map[string]bool
	sizes map[string][]int // of the texts that begin with so many bytes as the least have
}

// addAll adds the secrets of an answer, and those in them, down to a depth.
func (f *finder) addAll(answer any, depth int) {
	secrets.Any(answer, func(secret string) bool {
		f.addForms(secret)
		if decoded, ok := decode(secret); ok && depth > 0 {
			f.addAll(decoded, depth-1)
		}
		return false
	})
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

// addForms adds a secret and its lines, as files can have them.
func (f *finder) addForms(secret string) {
	for line := range strings.Lines(secret) {
		if line = strings.TrimSpace(line); len(line) < least || strings.HasPrefix(line, "-----") { // the frame of a PEM block is none
			continue
		}
		for _, form := range []string{
			line, strconv.Quote(line), strconv.QuoteToASCII(line), quoteJSON(line), url.QueryEscape(line), url.PathEscape(line), html.EscapeString(line),
			strings.ReplaceAll(line, "'", `'\''`), strings.ReplaceAll(line, "'", "''"), hex.EncodeToString([]byte(line)),
		} {
			f.add(strings.Trim(form, `"`))
		}
		f.addBase64(line)
	}
	if strings.Contains(secret, "\n") {
		f.add(strings.Trim(quoteJSON(secret), `"`))
		f.addBase64(secret)
	}
}

// addBase64 adds the base64 of a text, wherever it begins in what is encoded.
func (f *finder) addBase64(text string) {
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

func (f *finder) add(text string) {
	if text = strings.ToLower(text); len(text) < least || f.texts[text] {
		return
	}
	f.texts[text] = true
	if begin := text[:least]; !slices.Contains(f.sizes[begin], len(text)) {
		f.sizes[begin] = append(f.sizes[begin], len(text))
	}
}

// isIn reports whether a line has one of the texts.
func (f *finder) isIn(line string) bool {
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
