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
	size    int      // of its program
	charset *charset // nil unless it is one
}

// match reports whether a text matches.
func (p *pattern) match(s string) bool {
	if p.charset != nil {
		return p.charset.match(s)
	}
	return p.MatchString(s)
}

// The work of a match is the bytes of the text times the instructions of the program. An instruction takes 10 to 40 ns for each
// byte at the worst, and mostly far less. To look for all matches can take that for each match. Package regexp cannot be interrupted:
// what takes long is done aside, and left behind when the execution is to end.
const (
	maxPatterns = 1000    // kept in a generation, where their programs have usualSize
	maxPattern  = 1 << 20 // bytes
	usualSize   = 250     // instructions of a program

	instructionSize = 200 // bytes that an instruction takes while a pattern is compiled

	maxMatchWork = 1 << 30 // of one match: half a minute at the worst
	quickWork    = 1 << 21 // is not done aside: 80 ms at the worst
	stepWork     = 64      // counts as a step of the execution
)

// work returns the work of one match.
func (p *pattern) work(on string) int { return times(len(on), p.size) }

// allWork returns the work of all matches.
func (p *pattern) allWork(on string) int { return times(p.work(on), len(on)+1) }

// compile returns a pattern for a text that it fits into the bounds with. Its errors do not repeat the pattern.
func (e *Env) compile(text string, on string) (*pattern, error) {
	p, found := e.patterns.Get(text)
	if !found {
		if len(text) > maxPattern {
			return nil, fmt.Errorf("the regular expression exceeds %d bytes", maxPattern)
		}
		size := programSize(text)
		if err := e.Make(times(size, instructionSize)); err != nil {
			return nil, fmt.Errorf("the regular expression: %w", err)
		}
		re, err := regexp.Compile(text)
		if fault, ok := errors.AsType[*syntax.Error](err); ok {
			return nil, fmt.Errorf("invalid regular expression: %s", fault.Code)
		}
		if err != nil {
			return nil, errors.New("invalid regular expression")
		}
		p = &pattern{Regexp: re, size: size, charset: newCharset(text)}
		e.patterns.Put(text, p, min(maxPatterns, maxPatterns*usualSize/size)) // fewer where they are large
	}
	if p.work(on) > maxMatchWork {
		return nil, fmt.Errorf("the text of %d bytes is too long for this regular expression", len(on))
	}
	return p, e.Spend(p.work(on) / stepWork)
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
	return max(1, len(program.Inst))
}

func (e *Env) regexMatch(text, s string) (bool, error) {
	found, err := e.matches(text, s)
	return found, Wrap("regexMatch", err)
}

func (e *Env) matches(text, s string) (bool, error) {
	p, err := e.compile(text, s)
	if err != nil {
		return false, err
	}
	if p.work(s) < quickWork {
		return p.match(s), nil
	}
	return aside(e, len(s), func(func() bool) bool { return p.match(s) })
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
	replace := p.ReplaceAllString
	if literal {
		groups, replace = 0, p.ReplaceAllLiteralString
	}
	// Each byte can have a match, and each group can be all of the text. Where that is too much, count what there is.
	size := len(s) + times(len(s)+1, len(replacement)) + times(groups, len(s))
	quick := p.allWork(s) < quickWork
	if size > 1<<20 || !quick {
		if size, err = e.lookThrough(p, s, -1, len(replacement), groups); err != nil {
			return "", err
		}
	}
	if err := e.Make(size); err != nil {
		return "", err
	}
	if quick {
		return replace(s, replacement), nil
	}
	return aside(e, len(s)+size, func(func() bool) string { return replace(s, replacement) })
}

// lookThrough looks for n matches, or for all where n is negative, and returns how many bytes the text has at most once they are
// replaced. It can be stopped at each match. So it goes before what cannot be stopped, and takes as long.
func (e *Env) lookThrough(p *pattern, s string, n, replacement, groups int) (size int, err error) {
	size, err = aside(e, 2*len(s), func(stopped func() bool) (size int) {
		defer func() {
			if reason := recover(); reason != nil && reason != errMeasure {
				panic(reason)
			}
		}()
		size = len(s)
		p.ReplaceAllStringFunc(s, func(match string) string {
			size += replacement + times(groups, len(match))
			n--
			if size > e.MaxSize || n == 0 || stopped() {
				panic(errMeasure) // the one way out
			}
			return ""
		})
		return size
	})
	if err == nil && size > e.MaxSize {
		err = e.errSize()
	}
	return size, err
}
