package main

import (
	"fmt"
	"io"
)

// version and commit say what the program is built from. The linker sets them from the tag of git: see the Makefile. Without
// that, version is 0.0.0 and commit is empty.
var version, commit = "0.0.0", ""

// printVersion prints the version, and the commit in parentheses where it is known.
func printVersion(w io.Writer) error {
	text := "render v" + version
	if commit != "" {
		text += " (" + commit + ")"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
