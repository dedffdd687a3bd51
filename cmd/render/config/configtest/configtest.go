// Package configtest reads cases of configurations: files, flags and variables, and what becomes of them.
package configtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/tools/txtar"

	"render/cmd/render/filetest"
)

// A Case is one of testdata/config: a name, how things are, files, and what becomes of it all.
type Case struct {
	Name    string
	Lines   []string // the directives
	archive *txtar.Archive
}

// Read reads a file of cases. Each begins with a line === NAME. After it come the directives, one a line: render ARGS (without it,
// each file of the case is given with --config), env NAME=VALUE, link TARGET NAME, folder NAME, pipe FILE NAME, raw NAME QUOTED. Then the
// files, and last a file want.
func Read(t testing.TB, path string) (intro string, cases []*Case) {
	t.Helper()
	text, err := os.ReadFile(path)
	filetest.Check(t, err)
	intro, rest, _ := strings.Cut(string(text), "=== ")
	seen := make(map[string]bool)
	for part := range strings.SplitSeq("\n"+rest, "\n=== ") {
		name, body, _ := strings.Cut(strings.TrimPrefix(part, "\n"), "\n")
		c := &Case{Name: name, archive: txtar.Parse([]byte(body + "\n"))}
		for line := range strings.Lines(string(c.archive.Comment)) {
			if line = strings.TrimSpace(line); line != "" {
				c.Lines = append(c.Lines, line)
			}
		}
		if seen[name] {
			t.Errorf("%s: there are two cases %q", path, name)
		}
		seen[name] = true
		cases = append(cases, c)
	}
	return intro, cases
}

// Want is what becomes of a case.
func (c *Case) Want() string {
	for _, f := range c.archive.Files {
		if f.Name == "want" {
			return strings.TrimRight(string(f.Data), "\n")
		}
	}
	return ""
}

// SetWant changes what becomes of a case, for Write.
func (c *Case) SetWant(text string) {
	c.archive.Files = slices.DeleteFunc(c.archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	c.archive.Files = append(c.archive.Files, txtar.File{Name: "want", Data: []byte(text + "\n")})
}

// Prepare makes the files of a case in a folder, and returns its arguments and variables.
func (c *Case) Prepare(t testing.TB, dir string) (args, env []string) {
	t.Helper()
	given := false
	for _, f := range c.archive.Files {
		if f.Name == "want" {
			continue
		}
		path := filepath.Join(dir, f.Name)
		filetest.Check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		filetest.Check(t, os.WriteFile(path, bytes.TrimSuffix(f.Data, []byte("\n")), 0o644))
		args = append(args, "--config", f.Name)
	}
	for _, line := range c.Lines {
		verb, rest, _ := strings.Cut(line, " ")
		one, two, _ := strings.Cut(rest, " ")
		switch verb {
		case "render":
			if !given {
				args, given = nil, true
			}
			args = append(args, words(t, rest)...)
		case "env":
			env = append(env, rest)
		case "link":
			filetest.Check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, two)), 0o755))
			filetest.Check(t, os.Symlink(one, filepath.Join(dir, two)))
		case "folder":
			filetest.Check(t, os.MkdirAll(filepath.Join(dir, one), 0o755))
		case "raw":
			text, err := strconv.Unquote(two)
			filetest.Check(t, err)
			filetest.Check(t, os.WriteFile(filepath.Join(dir, one), []byte(text), 0o644))
			if !given {
				args = append(args, "--config", one)
			}
		case "pipe":
			filetest.Check(t, syscall.Mkfifo(filepath.Join(dir, two), 0o600))
			text, err := os.ReadFile(filepath.Join(dir, one))
			filetest.Check(t, err)
			go func() { _ = os.WriteFile(filepath.Join(dir, two), text, 0) }() // ends when it is read
		default:
			t.Fatalf("%s: there is no directive %q", c.Name, verb)
		}
	}
	return args, env
}

// words cuts a line at spaces that are not in single quotes.
func words(t testing.TB, line string) (all []string) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		word := ""
		for line != "" && line[0] != ' ' {
			end := strings.IndexAny(line+" ", " '")
			word += line[:end]
			if line = line[end:]; strings.HasPrefix(line, "'") {
				quoted, rest, closed := strings.Cut(line[1:], "'")
				if !closed {
					t.Fatalf("a quote is missing in %q", line)
				}
				word, line = word+quoted, rest
			}
		}
		all = append(all, word)
	}
	return all
}

// Write writes a file of cases.
func Write(t testing.TB, path, intro string, cases []*Case) {
	var b strings.Builder
	b.WriteString(intro)
	for _, c := range cases {
		fmt.Fprintf(&b, "=== %s\n%s", c.Name, strings.TrimRight(string(txtar.Format(c.archive)), "\n")+"\n\n")
	}
	filetest.Check(t, os.WriteFile(path, []byte(strings.TrimRight(b.String(), "\n")+"\n"), 0o644))
}
