package funcs

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// A pattern is a regular expression that is compiled once.
type pattern struct {
	*regexp.Regexp
	size int // of its program
}

const (
	maxPatterns  = 1000    // kept in a generation
	maxPattern   = 1 << 20 // bytes
	maxMatchWork = 1 << 31 // bytes of a text times instructions of a program: a minute at the worst, mostly less than a second
)

// compile returns a pattern for a text that it fits into the bounds with. Its errors do not repeat the pattern.
func (e *Env) compile(text string, on string) (*pattern, error) {
	p, found := e.patterns.Get(text)
	if !found {
		if len(text) > maxPattern {
			return nil, fmt.Errorf("the regular expression exceeds %d bytes", maxPattern)
		}
		re, err := regexp.Compile(text)
		if fault, ok := errors.AsType[*syntax.Error](err); ok {
			return nil, fmt.Errorf("invalid regular expression: %s", fault.Code)
		}
		if err != nil {
			return nil, errors.New("invalid regular expression")
		}
		p = &pattern{Regexp: re, size: programSize(text)}
		e.patterns.Put(text, p, maxPatterns)
	}
	if times(len(on), p.size) > maxMatchWork {
		return nil, fmt.Errorf("the text of %d bytes is too long for this regular expression", len(on))
	}
	if len(on) > 1<<16 {
		return p, e.Stopped()
	}
	return p, nil
}

func programSize(text string) int {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 1
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 1
	}
	return len(program.Inst)
}

func (e *Env) regexMatch(text, s string) (bool, error) {
	p, err := e.compile(text, s)
	if err != nil {
		return false, Wrap("regexMatch", err)
	}
	return p.MatchString(s), nil
}

func (e *Env) regexReplaceAll(text, replacement, s string) (string, error) {
	result, err := e.replaceMatches(text, replacement, s, false)
	return result, Wrap("regexReplaceAll", err)
}

// replaceMatches replaces all matches. In a replacement that is not literal $1 is the first group.
func (e *Env) replaceMatches(text, replacement, s string, literal bool) (string, error) {
	p, err := e.compile(text, s)
	if err != nil {
		return "", err
	}
	groups := strings.Count(replacement, "$")
	if literal {
		groups = 0
	}
	// Each byte can have a match, and each group can be all of the text. Where that is too much, count what there is.
	size := len(s) + times(len(s)+1, len(replacement)) + times(groups, len(s))
	if size > 1<<20 {
		if size, err = e.replacedMatches(p, len(replacement), groups, s); err != nil {
			return "", err
		}
	}
	if err := e.Make(size); err != nil {
		return "", err
	}
	if literal {
		return p.ReplaceAllLiteralString(s, replacement), nil
	}
	return p.ReplaceAllString(s, replacement), nil
}

// replacedMatches returns how many bytes a text has at most once its matches are replaced.
func (e *Env) replacedMatches(p *pattern, replacement, groups int, s string) (size int, err error) {
	size = len(s)
	defer func() {
		if recover() != nil {
			err = e.errSize()
		}
	}()
	p.ReplaceAllStringFunc(s, func(match string) string {
		size += replacement + times(groups, len(match))
		if size > e.MaxSize {
			panic(errMeasure) // the one way out
		}
		return ""
	})
	return size, nil
}
