package template

import (
	"maps"
	"slices"
)

// What tests in package template_test need to see.
const SiteMark = siteMark

// FunctionNames returns the names of the functions that neither text/template nor sprig has.
func FunctionNames() []string {
	return slices.DeleteFunc(functionNames(), func(name string) bool {
		_, isSprig := sprigFuncs[name]
		return slices.Contains(goFuncs, name) || isSprig || name == "sprig_fail"
	})
}

// AllNames returns the names of all functions, and NotBare those of sprig that have another meaning without prefix.
func AllNames() []string { return functionNames() }

var NotBare = notBare

// Refused returns what an error says of a function that is left out.
func Refused(name string) string { return refused[name] }

// Denies returns the names of all functions that an entry of Options.Denied denies.
func Denies(pattern string) []string {
	d, _ := newDenied([]string{pattern})
	return slices.Sorted(maps.Keys(d))
}

// Original returns the name that all names of a function have in common.
func Original(name string) string { return original(name) }

// ParseLate parses a text that nothing has looked at.
func (t *Template) ParseLate(text string) error {
	_, err := t.root.New("late").Parse(text)
	return err
}

// SetSandboxCheck replaces the check of paths that a sandbox may forbid.
func (t *Template) SetSandboxCheck(check func(sandbox, path string) error) { t.pass.checkPath = check }
