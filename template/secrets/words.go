package secrets

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

// Words find the words of a text that have something of other texts: four bytes that stand together in one of these, whatever their case
// and whether they are written as in a URL. Words of fewer bytes are those that are a word of one.
type Words struct{ parts, whole map[string]bool }

const partSize = 4 // bytes

// WordsOf returns the Words of some texts.
func WordsOf(texts ...string) Words {
	w := Words{make(map[string]bool), make(map[string]bool)}
	for _, text := range texts {
		for _, form := range forms(text) {
			for i := range max(0, len(form)-partSize+1) {
				w.parts[form[i:i+partSize]] = true
			}
			for _, word := range short(form) {
				w.whole[word] = true
			}
		}
	}
	return w
}

var word = regexp.MustCompile(`\S+`)

// Hide returns a text with ... in place of each word, from whitespace to whitespace, that Words find.
func (w Words) Hide(text string) string {
	return word.ReplaceAllStringFunc(text, func(word string) string {
		for _, form := range forms(word) {
			for i := range max(0, len(form)-partSize+1) {
				if w.parts[form[i:i+partSize]] {
					return "..."
				}
			}
			for _, part := range short(form) {
				if w.whole[part] {
					return "..."
				}
			}
		}
		return word
	})
}

// forms returns a text in lower case, and as it is read in a URL.
func forms(text string) []string {
	all := []string{strings.ToLower(text)}
	if read, err := url.PathUnescape(text); err == nil && read != text {
		all = append(all, strings.ToLower(read))
	}
	return all
}

// short returns the words of fewer than four bytes, which consist of letters and digits.
func short(text string) (all []string) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if len(word) < partSize {
			all = append(all, word)
		}
	}
	return all
}
