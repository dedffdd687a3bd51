package run

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// An Env says what of our environment is passed on. The zero value passes all of it.
type Env struct {
	Pristine bool     // nothing but what render adds, and Custom
	Custom   []string // NAME=value, last of all
	Allow    []string // patterns, as of path.Match, of the names that are passed on; empty: all
	Deny     []string // patterns of names that are not passed on, whatever Allow says
}

// Validate returns what is wrong with the settings, or nil. The error repeats no value.
func (e Env) Validate() error {
	for _, pattern := range slices.Concat(e.Allow, e.Deny) {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("environment: pattern %q: %w", pattern, err)
		}
	}
	for i, entry := range e.Custom {
		if name, _, ok := strings.Cut(entry, "="); !ok || name == "" { // what it is instead may be a secret
			return fmt.Errorf("environment: entry %d is not NAME=value", i+1)
		}
	}
	return nil
}

// Environ returns the environment of a program: ours, as far as e passes it on, then what is added, then Custom. It is
// never nil. Of entries with the same name the last one is used.
func (e Env) Environ(ours, added []string) []string {
	matches := func(patterns []string, entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			ok, _ := path.Match(pattern, name)
			return ok
		})
	}
	env := []string{} // nil would stand for all of ours
	for _, entry := range ours {
		if !e.Pristine && (len(e.Allow) == 0 || matches(e.Allow, entry)) && !matches(e.Deny, entry) {
			env = append(env, entry)
		}
	}
	return append(append(env, added...), e.Custom...)
}

// Lookup returns a variable of our environment with some entries added, and false if it does not exist.
func Lookup(added []string, name string) (string, bool) {
	for _, entry := range slices.Backward(added) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, true
		}
	}
	return os.LookupEnv(name)
}

const mostVariable = 8 << 10 // bytes

// Variable returns a text as the value of a variable: the kernel does not start a program with one that is too long, and names in
// Consul may have any length.
func Variable(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	if len(text) <= mostVariable {
		return text
	}
	return strings.ToValidUTF8(text[:mostVariable], "") + "…"
}
