package template

import "slices"

// What tests in package template_test need to see.
const SiteMark = siteMark

// FunctionNames returns the names of the functions that text/template does not have by itself.
func FunctionNames() []string {
	return slices.DeleteFunc(functionNames(), func(name string) bool { return slices.Contains(goFuncs, name) })
}
