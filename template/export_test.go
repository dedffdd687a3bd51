package template

import "slices"

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
