// Package funcs has the functions of templates that ask no query: text, numbers, lists and maps, conversions, quoting, and
// those of sprig. A function gets all that it needs from its arguments and an [Env]. It changes no argument but the first map
// of the functions that say so.
package funcs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// An Env is what the functions of one template share. One goroutine at a time uses it.
type Env struct {
	InText   func(string) bool // whether a text stands in the template, and so is no secret
	MaxSize  int               // bytes of a value that a function makes
	Output   func() int        // bytes of memory that the output takes, and what is kept for later executions: these have their own bounds
	Stopped  func() error      // not nil once the execution is to end
	Searches *Searches         // of all templates
	Spend    func(int) error   // adds to the steps of the execution; not nil where these are too many

	made      int  // bytes since the last weighing
	weighed   bool // whether there was one in this execution
	heapFloor int  // the least that was alive at one
	patterns  Generations[string, *pattern]
	searching atomic.Bool // whether a search of this template is under way, also of an execution that was stopped
}

// Quote returns an argument for an error: as it is where the template's text has it, else only its length, because then it
// comes from an answer and can be a secret.
func (e *Env) Quote(arg string) string {
	if e.InText(arg) || !slices.ContainsFunc(strings.Split(arg, "|"), func(part string) bool { return !e.InText(part) }) {
		return strconv.Quote(arg) // several arguments are joined by a bar
	}
	return fmt.Sprintf("an argument of %d bytes that is not in the template's text", len(arg))
}

// Bind returns the function with a name, for the templates of an Env.
func Bind(name string, e *Env) (function any, found bool) {
	for _, table := range envFuncs {
		if bind, ok := table[name]; ok {
			return bind(e), true
		}
	}
	for _, table := range pureFuncs {
		if f, ok := table[name]; ok {
			return f, true
		}
	}
	if s, ok := sprigFuncs[name]; ok {
		return s.bind(name, e), true
	}
	return nil, false
}

// envFuncs are the functions that need an Env, a table a subject.
var envFuncs = []map[string]func(*Env) any{boundedTextFuncs, boundedDataFuncs, boundedConvertFuncs, listFuncs, safeFuncs, debugFuncs, printFuncs}

// pureFuncs are the functions that need nothing but their arguments, a table a subject. The first table that has a name is used.
var pureFuncs = []map[string]any{equalFuncs, textFuncs, mathFuncs, convertFuncs}

// Names returns the names of all functions: those that Bind knows, and those that text/template has by itself.
func Names() []string {
	names := slices.Concat(goFuncs, slices.Collect(maps.Keys(sprigFuncs)))
	for _, table := range envFuncs {
		names = slices.AppendSeq(names, maps.Keys(table))
	}
	for _, table := range pureFuncs {
		names = slices.AppendSeq(names, maps.Keys(table))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// An Error is the failure of a function. It must not repeat an argument that can be the value of a key.
type Error struct {
	Name string // of the function
	Err  error
}

func (e *Error) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Wrap returns the Error of a function, and nil where there is no error.
func Wrap(name string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{name, err}
}
