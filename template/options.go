package template

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"render/template/funcs"
	"render/template/syntax"

	"render/watch"
	"render/watch/hint"
)

// Options are what a template needs beside its text. The zero value is of use.
type Options struct {
	// Env looks up an environment variable for the function env and related functions. The default is os.LookupEnv.
	Env func(name string) (value string, ok bool)
	// Partials are more texts. What they define can be used by name; what stands outside of a define is a template by the
	// base name of the partial.
	Partials []Partial
	// TrimBlocks makes lines vanish that hold only actions without output, such as if, range, else and end.
	TrimBlocks bool
	// LeftDelimiter and RightDelimiter stand around an action, in the text and in the partials. The defaults are {{ and }}.
	LeftDelimiter, RightDelimiter string
	// ErrorOnMissingKey makes it an error to read an entry that a map does not have, as in .nope, once nothing is pending.
	ErrorOnMissingKey bool
	// Denied are the functions that may stand nowhere in the text and the partials: names, or patterns as of path.Match,
	// which match all but the functions that Go has by itself. A name stands for all names of its function.
	Denied []string
	// Untrusted denies all functions that reach outside of the data that render has queried: the environment, programs, other
	// files, the machine, the standard output. So it denies all functions of Vault, and those for variables of Nomad: their data is secret. The function file is denied unless there is a Sandbox.
	Untrusted bool
	// Sandbox is the folder that the function file may read below. The empty one is no sandbox. The query has it as
	// watch.OptSandbox: whoever answers has to mind it, because links can change at any time.
	Sandbox string
	// Destination is the path of the file that the output goes to, or "". A certificate that it has is used as long as
	// it can be, instead of another that Vault issues.
	Destination string
	// MaxOutput is how many bytes the output can have, with what writeToFile writes. Zero or less is DefaultMaxOutput. The values
	// that an execution makes on the way can have as much, or DefaultMaxOutput where that is more, and at most a sixteenth of the
	// memory limit that the process has at the time of Parse, but 8 MiB.
	MaxOutput int
	// Searches bounds the searches of regular expressions that take long, over all templates that have the same. The default bounds
	// those of this template.
	Searches *Searches
	// ID returns the ID of a query, from which nobody can guess the name. Show shows it in place of a name that is made of a secret.
	// The default is the kind.
	ID func(watch.Query) string

	plain bool // for tests: no iteration of a range is kept
}

// Searches bounds searches of regular expressions.
type Searches = funcs.Searches

// Validate returns what is wrong with the delimiters, or else with what is denied. Parse does so, too.
func (o Options) Validate() error {
	if _, err := syntax.NewDelimiters(o.LeftDelimiter, o.RightDelimiter); err != nil {
		return err
	}
	_, err := newDenied(o)
	return err
}

// A Partial is a text whose templates other templates can use.
type Partial struct{ Name, Text string }

// absolute returns an absolute path, so that all ways to write it make the same query; "" for none.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", path, err)
	}
	return absolute, nil
}

// denied has the functions that a template must not use, with what was said to deny them.
type denied map[string]string

// outside are the functions that Options.Untrusted denies. All that reach outside of a template's data are among them but file.
var outside = strings.Fields(`env envOrDefault mustEnv nomadVar nomadVarExists nomadVarList nomadVarListSafe pkiCert plugin secret secretExists
	secretOrDefault secrets sockaddr spew_dump spew_printf vault writeToFile`)

const deniedOutside = "\x00untrusted"

func newDenied(o Options) (denied, error) {
	patterns := o.Denied
	if len(patterns) == 0 && !o.Untrusted {
		return nil, nil
	}
	names := functionNames()
	names = append(names, funcs.RefusedNames()...) // consul-template has some of these
	slices.Sort(names)
	d := make(denied)
	for _, pattern := range patterns {
		if !d.add(pattern, names) {
			return nil, unknownFunction(pattern, names)
		}
	}
	if o.Untrusted {
		for _, name := range outside {
			d[name] = deniedOutside
		}
		if o.Sandbox == "" {
			d["file"] = deniedOutside
		}
	}
	return d, nil
}

// unknownFunction returns the error of a name or pattern that no function has which can be denied.
func unknownFunction(pattern string, names []string) error {
	matches := func(name string) bool { fits, _ := path.Match(pattern, name); return fits && funcs.IsGo(name) }
	if i := slices.IndexFunc(names, matches); i >= 0 {
		err := fmt.Errorf("cannot deny %q: the pattern matches only functions that Go has by itself, which a pattern does not deny", pattern)
		return hint.Withf(err, "write the full name, such as %q", names[i])
	}
	return hint.With(fmt.Errorf("cannot deny %q: there is no such function", pattern), Suggestion(pattern, names))
}

// add denies all functions that a pattern matches, and reports whether there are any.
func (d denied) add(pattern string, names []string) bool {
	matched := make(map[string]bool)
	for _, name := range names {
		fits, _ := path.Match(pattern, name) // a malformed one matches nothing
		if name == pattern || fits && !funcs.IsGo(name) {
			matched[funcs.Original(name)] = true
		}
	}
	for _, name := range names {
		if matched[funcs.Original(name)] {
			d[name] = pattern
		}
	}
	return len(matched) > 0
}

// message returns what an error says of the use of a function, and a hint, which may be ""; no message where the function is not denied.
func (d denied) message(name string) (message, hint string) {
	switch pattern, found := d[name]; {
	case !found:
		return "", ""
	case pattern == deniedOutside && name == "file":
		return "the function file is denied, because the template is untrusted and has no sandbox_path", "set sandbox_path to the folder that the template may read"
	case pattern == deniedOutside:
		return fmt.Sprintf("the function %s is denied, because the template is untrusted: the function reaches outside of the template's data", name), ""
	case pattern == name:
		return fmt.Sprintf("the function %s is denied by the configuration", name), "remove the function from the template or from function_denylist"
	default:
		return fmt.Sprintf("the function %s is denied by the configuration, which denies %q", name, pattern), "remove the function from the template or change function_denylist"
	}
}
