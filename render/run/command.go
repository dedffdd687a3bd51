// Package run runs programs: commands with limits, and the supervised program.
//
// A [Group] runs commands: each has a process group of its own, a time limit, and a bounded output. A [Child] is the
// supervised program. A [Signal] goes to a process of others. An [Env] says what of our environment programs get.
//
// The package knows no engine and no files of render.
package run

import (
	"slices"
	"strings"
)

// A Command is a program to run: a line for sh, or a program and its arguments. The zero value runs nothing.
type Command struct {
	Shell string
	Args  []string
}

// IsZero reports whether there is nothing to run.
func (c Command) IsZero() bool { return c.Shell == "" && len(c.Args) == 0 }

// String returns the command as logs show it.
func (c Command) String() string {
	if c.Shell != "" {
		return c.Shell
	}
	return strings.Join(c.Args, " ")
}

// argv returns the program and its arguments.
func (c Command) argv() []string {
	if c.Shell != "" {
		return []string{"sh", "-c", c.Shell}
	}
	return c.Args
}

// fileMark stands for the path of a file in a command.
const fileMark = "{}"

// TakesFile reports whether the command has a {} for the path of a file.
func (c Command) TakesFile() bool {
	return strings.Contains(c.Shell, fileMark) || slices.ContainsFunc(c.Args, func(arg string) bool { return strings.Contains(arg, fileMark) })
}

// WithFile returns the command with the path of a file in place of each {}. In a line for sh the path is quoted, according
// to the quotes around the {}: bare, in "…" and in '…' the shell reads exactly the path. In a comment, and after a
// backslash, {} stays. A path that begins with a dash gets a ./ in front, so that no program reads it as an option.
func (c Command) WithFile(path string) Command {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	d := Command{Shell: fillShell(c.Shell, path)}
	for _, arg := range c.Args {
		d.Args = append(d.Args, strings.ReplaceAll(arg, fileMark, path))
	}
	return d
}
