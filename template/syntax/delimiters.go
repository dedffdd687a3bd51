// Package syntax has what the author of a template reads of its syntax: the delimiters around actions, and what text/template says of a
// fault, in plain words.
package syntax

import (
	"fmt"
	"strings"
	"unicode"

	"render/watch/hint"
)

// Delimiters stand around an action.
type Delimiters struct{ Left, Right string }

// NewDelimiters returns delimiters, {{ and }} where they are empty. A delimiter with a space is an error.
func NewDelimiters(left, right string) (Delimiters, error) {
	d := Delimiters{"{{", "}}"}
	if left != "" {
		d.Left = left
	}
	if right != "" {
		d.Right = right
	}
	for _, delimiter := range []string{d.Left, d.Right} {
		if strings.ContainsFunc(delimiter, unicode.IsSpace) {
			return d, hint.With(fmt.Errorf("the delimiter %q contains a space", delimiter), "use a delimiter without spaces, such as [[ or <%")
		}
	}
	return d, nil
}

// Around returns an action as it is written in the text.
func (d Delimiters) Around(action string) string { return d.Left + action + d.Right }
