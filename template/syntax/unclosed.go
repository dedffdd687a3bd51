package syntax

import (
	"fmt"
	"regexp"
	"strings"

	"render/template/funcs"
)

// Unclosed returns the offset of the innermost block of a text that lacks its end, with a message and a hint; -1 where every block has
// its end. Go's parser says only that the text has ended.
func (d Delimiters) Unclosed(text string) (offset int, msg, hint string) {
	left, right := regexp.QuoteMeta(d.Left), regexp.QuoteMeta(d.Right)
	action := regexp.MustCompile(left + `(?:-\s)?\s*(?:(/\*)|(\w+)(\s*(?:\s-)?` + right + `)?)`)

	type block struct {
		offset  int
		keyword string
	}
	var open []block
	misspelt := "" // an action that may have been meant as an end
	for at := 0; ; {
		m := action.FindStringSubmatchIndex(text[at:])
		if m == nil {
			break
		}
		start, next := at+m[0], at+m[1]
		if m[2] >= 0 { // a comment may hold anything
			if end := strings.Index(text[next:], "*/"); end >= 0 {
				next += end
			}
			at = next
			continue
		}
		switch word := text[at+m[4] : at+m[5]]; word {
		case "if", "range", "with", "block", "define":
			open = append(open, block{start, word})
		case "end":
			open = open[:max(0, len(open)-1)]
		default:
			if alone := m[6] >= 0; alone && funcs.Suggestion(word, []string{"end"}) != "" {
				misspelt = fmt.Sprintf("did you mean %s in place of %s in line %d?", d.Around("end"), d.Around(word), 1+strings.Count(text[:start], "\n"))
			}
		}
		at = next
	}
	if len(open) == 0 {
		return -1, "", ""
	}
	b := open[len(open)-1]
	return b.offset, fmt.Sprintf("unexpected EOF: the %s in this line is not closed, %s is missing", d.Around(b.keyword), d.Around("end")), misspelt
}
