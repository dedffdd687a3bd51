package funcs

import (
	"slices"
	"strings"
)

// synonyms are further names of functions. Those of sprig with and without its prefix are not listed; see Original.
var synonyms = map[string]string{
	"biggest":          "max",
	"key_or_default":   "keyOrDefault",
	"must_date_modify": "mustDateModify",
	"push":             "append",
	"mustPush":         "mustAppend",
	"trimall":          "trimAll",
	"tuple":            "list",
	"vault":            "secret",
}

// Original returns the one name that all names of a function have in common.
func Original(name string) string {
	if bare, ok := strings.CutPrefix(name, "sprig_"); ok && !IsShadowed(bare) {
		name = bare
	}
	if other, ok := synonyms[name]; ok {
		return other
	}
	return name
}

// goFuncs are the functions that text/template has by itself.
var goFuncs = strings.Fields("and call eq ge gt html index js le len lt ne not or print printf println slice urlquery")

// IsGo reports whether text/template has a function by itself.
func IsGo(name string) bool { return slices.Contains(goFuncs, name) }

// IsShadowed reports whether a function of sprig has its name only with the prefix, because the name without means another one.
func IsShadowed(name string) bool { return slices.Contains(notBare, name) }
