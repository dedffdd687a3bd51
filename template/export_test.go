package template

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"render/template/funcs"
)

// What tests in package template_test need to see.
const SiteMark = siteMark

// FunctionNames returns the names of the functions that neither text/template nor sprig has.
func FunctionNames() []string {
	all := functionNames()
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		_, isSprig := slices.BinarySearch(all, "sprig_"+name)
		isSprig = isSprig && !funcs.IsShadowed(name) && name != "fail"
		return funcs.IsGo(name) || isSprig || strings.HasPrefix(name, "sprig_")
	})
}

// AllNames returns the names of all functions.
func AllNames() []string { return functionNames() }

// Denies returns the names of all functions that an entry of Options.Denied denies.
func Denies(pattern string) []string {
	d, _ := newDenied(Options{Denied: []string{pattern}})
	return slices.Sorted(maps.Keys(d))
}

// ParseLate parses a text that nothing has looked at.
func (t *Template) ParseLate(text string) error {
	_, err := t.root.New("late").Parse(text)
	return err
}

// SetSandboxCheck replaces the check of paths that a sandbox may forbid.
func (t *Template) SetSandboxCheck(check func(sandbox, path string) error) { t.pass.checkPath = check }

// SetMaxSteps replaces the bound of the steps of an execution.
func (t *Template) SetMaxSteps(n int) { t.pass.maxSteps = n }

// SetFunction replaces a function that the text calls, for all numbers of arguments.
func (t *Template) SetFunction(name string, f any) {
	for bound := range t.funcs {
		if original, _, _ := strings.Cut(bound, siteMark); original == name {
			t.funcs[bound] = f
		}
	}
	t.root.Funcs(t.funcs)
}

// Plain returns options with which a template keeps no iterations of ranges.
func Plain(o Options) Options {
	o.plain = true
	return o
}

// Kept returns how many iterations of ranges a template keeps.
func Kept(t *Template) int { return t.pass.kept }

// Repeated returns how many iterations of ranges the last pass repeated.
func Repeated(t *Template) int { return t.pass.repeated }

// KeptSize returns the memory that these take, about.
func KeptSize(t *Template) int { return t.pass.keptSize }

// Placed returns how many places of lists a template keeps.
func Placed(t *Template) (n int) {
	for _, r := range t.pass.ranges {
		for _, g := range r.groups {
			n += len(g.places)
		}
	}
	return n
}

// Asked returns how many queries a template knows.
func Asked(t *Template) int { return len(t.pass.asked) }

// EffectOf says what a function means for the body of a range.
var EffectOf = effectOf

// Signatures returns the type of each function that a template can call.
func Signatures() map[string]reflect.Type {
	t := &Template{}
	if _, err := t.configure(Options{}); err != nil {
		panic(err)
	}
	types := make(map[string]reflect.Type)
	for _, name := range functionNames() {
		if f, ok := queryFuncs[name]; ok {
			types[name] = reflect.TypeOf(f(asker{pass: &t.pass}))
		} else if f, ok := passFuncs[name]; ok {
			types[name] = reflect.TypeOf(f(&t.pass))
		} else if f, ok := funcs.Bind(name, t.pass.funcs); ok {
			types[name] = reflect.TypeOf(f)
		}
	}
	return types
}

// ExecError returns what the template makes of an error of text/template.
func (t *Template) ExecError(err error) error { return t.execError(err) }
