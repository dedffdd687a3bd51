package funcs

import (
	"regexp/syntax"
	"unicode/utf8"
)

// A charset is a regular expression that says of each character of a whole text which ones it can be, such as
// ^[a-z][a-z0-9_-]{0,62}$. Most of those that check names are of this kind, and package regexp takes several times as long.
type charset struct {
	first []class // of the first characters, one each
	rest  class   // of all others
	min   int     // how many these are
	max   int     // the same, -1 for any number
}

// A class is a set of characters.
type class struct {
	ascii  [utf8.RuneSelf]bool
	ranges []rune // pairs of the first and the last, sorted
}

// newCharset returns the charset that a regular expression is, and nil if it is of another kind.
func newCharset(text string) *charset {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil || parsed.Op != syntax.OpConcat {
		return nil
	}
	last := len(parsed.Sub) - 1
	if last < 2 || parsed.Sub[0].Op != syntax.OpBeginText || parsed.Sub[last].Op != syntax.OpEndText {
		return nil
	}

	c := new(charset)
	for i, item := range parsed.Sub[1:last] {
		switch item.Op {
		case syntax.OpLiteral:
			if item.Flags&syntax.FoldCase != 0 {
				return nil
			}
			for _, r := range item.Rune {
				c.first = append(c.first, newClass([]rune{r, r}))
			}
			continue
		case syntax.OpCharClass:
			c.first = append(c.first, newClass(item.Rune))
			continue
		case syntax.OpStar:
			c.min, c.max = 0, -1
		case syntax.OpPlus:
			c.min, c.max = 1, -1
		case syntax.OpQuest:
			c.min, c.max = 0, 1
		case syntax.OpRepeat:
			c.min, c.max = item.Min, item.Max
		default:
			return nil
		}
		if item.Sub[0].Op != syntax.OpCharClass || i != last-2 {
			return nil
		}
		c.rest = newClass(item.Sub[0].Rune)
	}
	return c
}

func newClass(ranges []rune) class {
	c := class{ranges: ranges}
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= min(ranges[i+1], utf8.RuneSelf-1); r++ {
			c.ascii[r] = true
		}
	}
	return c
}

func (c *class) has(r rune) bool {
	if r < utf8.RuneSelf {
		return c.ascii[r]
	}
	for i := 0; i < len(c.ranges); i += 2 {
		if r <= c.ranges[i+1] {
			return r >= c.ranges[i]
		}
	}
	return false
}

// match reports whether a text matches.
func (c *charset) match(s string) bool {
	n := 0
	for _, r := range s { // what is no UTF-8 is utf8.RuneError, as for package regexp
		set := &c.rest
		if n < len(c.first) {
			set = &c.first[n]
		} else if c.max >= 0 && n-len(c.first) >= c.max {
			return false
		}
		if !set.has(r) {
			return false
		}
		n++
	}
	return n >= len(c.first)+c.min
}
