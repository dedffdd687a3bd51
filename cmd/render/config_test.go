package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/rogpeppe/go-internal/txtar"
)

// outcomeOf returns what a command line comes to, and what it is told of.
func outcomeOf(args ...string) (*plan, *loader, error) {
	line := new(commandLine)
	set := flag.NewFlagSet("render", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range line.flags() {
		if err := f.Apply(set); err != nil {
			return nil, nil, err
		}
	}
	if err := set.Parse(args); err != nil {
		return nil, nil, err
	}
	l, err := load(line)
	if err != nil {
		return nil, l, err
	}
	p, err := l.build()
	return p, l, err
}

// clearVariables lets no variable of those who run the tests count.
func clearVariables(t *testing.T) {
	t.Setenv(localConfig, "")
	for _, s := range globalSettings {
		for _, name := range s.env {
			t.Setenv(name, "")
		}
	}
}

// leaves are the fields of a plan by their paths.
func leaves(p *plan) map[string]string {
	all := make(map[string]string)
	addLeaves(all, "", reflect.ValueOf(p).Elem())
	return all
}

func addLeaves(all map[string]string, path string, v reflect.Value) {
	if v.CanAddr() { // makes the value of an unexported field readable
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	}
	switch value := v.Interface().(type) {
	case syscall.Signal, time.Duration:
		all[path] = fmt.Sprint(value)
		return
	case fs.FileMode:
		all[path] = fmt.Sprintf("%04o", value)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if kind := v.Field(i).Kind(); kind != reflect.Func && kind != reflect.Interface {
				addLeaves(all, strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."), v.Field(i))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			addLeaves(all, path, v.Elem())
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			all[path] = fmt.Sprintf("%q", v.Interface())
			return
		}
		for i := range v.Len() {
			addLeaves(all, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	case reflect.String:
		all[path] = strconv.Quote(v.String())
	default:
		all[path] = fmt.Sprint(v.Interface())
	}
}

// difference says where a plan is other than one.
func difference(p, than *plan) string {
	now, before := leaves(p), leaves(than)
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(now)) {
		usual := before[path]
		if usual == "" { // one more template or action
			i, j := strings.IndexByte(path, '['), strings.IndexByte(path, ']')
			usual = before[path[:i]+"[0"+path[j:]]
		}
		if now[path] != usual {
			lines = append(lines, shortPath.Replace(path)+": "+now[path]+"\n")
		}
	}
	return strings.Join(lines, "")
}

var shortPath = strings.NewReplacer("engine.Targets[", "template[", "engine.Actions[", "action[", "engine.", "")

// A configCase is one of testdata/config: a name, how things are, files, and what becomes of it all.
type configCase struct {
	name    string
	lines   []string // the directives
	archive *txtar.Archive
}

// readCases reads a file of cases. Each begins with a line === NAME. After it come the directives, one a line: render ARGS (without it,
// each file of the case is given with --config), env NAME=VALUE, link TARGET NAME, folder NAME, pipe FILE NAME, raw NAME QUOTED. Then the
// files, and last a file want.
func readCases(t *testing.T, path string) (intro string, cases []*configCase) {
	t.Helper()
	text, err := os.ReadFile(path)
	check(t, err)
	intro, rest, _ := strings.Cut(string(text), "=== ")
	seen := make(map[string]bool)
	for part := range strings.SplitSeq("\n"+rest, "\n=== ") {
		name, body, _ := strings.Cut(strings.TrimPrefix(part, "\n"), "\n")
		c := &configCase{name: name, archive: txtar.Parse([]byte(body + "\n"))}
		for line := range strings.Lines(string(c.archive.Comment)) {
			if line = strings.TrimSpace(line); line != "" {
				c.lines = append(c.lines, line)
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

// want is what a case is to come to.
func (c *configCase) want() string {
	for _, f := range c.archive.Files {
		if f.Name == "want" {
			return strings.TrimRight(string(f.Data), "\n")
		}
	}
	return ""
}

func (c *configCase) setWant(text string) {
	c.archive.Files = slices.DeleteFunc(c.archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	c.archive.Files = append(c.archive.Files, txtar.File{Name: "want", Data: []byte(text + "\n")})
}

// prepare makes the files of a case in a folder, and returns its arguments and variables.
func (c *configCase) prepare(t *testing.T, dir string) (args, env []string) {
	t.Helper()
	given := false
	for _, f := range c.archive.Files {
		if f.Name == "want" {
			continue
		}
		path := filepath.Join(dir, f.Name)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, bytes.TrimSuffix(f.Data, []byte("\n")), 0o644))
		args = append(args, "--config", f.Name)
	}
	for _, line := range c.lines {
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
			check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, two)), 0o755))
			check(t, os.Symlink(one, filepath.Join(dir, two)))
		case "folder":
			check(t, os.MkdirAll(filepath.Join(dir, one), 0o755))
		case "raw":
			text, err := strconv.Unquote(two)
			check(t, err)
			check(t, os.WriteFile(filepath.Join(dir, one), []byte(text), 0o644))
			if !given {
				args = append(args, "--config", one)
			}
		case "pipe":
			check(t, syscall.Mkfifo(filepath.Join(dir, two), 0o600))
			text, err := os.ReadFile(filepath.Join(dir, one))
			check(t, err)
			go func() { _ = os.WriteFile(filepath.Join(dir, two), text, 0) }() // ends when it is read
		default:
			t.Fatalf("%s: there is no directive %q", c.name, verb)
		}
	}
	return args, env
}

// words cuts a line at blanks that are not in single quotes.
func words(t *testing.T, line string) (all []string) {
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

// rewrite writes cases with what they come to.
func rewrite(t *testing.T, path, intro string, cases []*configCase) {
	var b strings.Builder
	b.WriteString(intro)
	for _, c := range cases {
		fmt.Fprintf(&b, "=== %s\n%s", c.name, strings.TrimRight(string(txtar.Format(c.archive)), "\n")+"\n\n")
	}
	check(t, os.WriteFile(path, []byte(strings.TrimRight(b.String(), "\n")+"\n"), 0o644))
}

// usualPlan has one template and one action, and all else as it is where nothing is set.
func usualPlan(t *testing.T) *plan {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.hcl"), `action "x" {}`)
	p, _, err := outcomeOf("--dry", "--parse-only", "--config", filepath.Join(dir, "a.hcl"), "--template", "a")
	check(t, err)
	p.dry, p.parseOnly = false, false
	p.engine.Targets[0].Source, p.engine.Actions[0].Name = "", ""
	return p
}

// TestConfig tries what files, flags and variables come to. To write anew what is wanted: go test ./cmd/render -run TestConfig -update.
func TestConfig(t *testing.T) {
	paths, err := filepath.Glob("testdata/config/*.txt")
	check(t, err)
	usual := usualPlan(t)
	number := 0
	for _, path := range paths {
		if strings.HasPrefix(filepath.Base(path), "broken") {
			continue
		}
		intro, cases := readCases(t, path)
		number += len(cases)
		for _, c := range cases {
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txt")+"/"+c.name, func(t *testing.T) {
				dir := t.TempDir()
				args, env := c.prepare(t, dir)
				clearVariables(t)
				for _, entry := range env {
					name, value, _ := strings.Cut(entry, "=")
					t.Setenv(name, value)
				}
				t.Chdir(dir)
				got := outcome(usual, args)
				if *update {
					c.setWant(got)
				} else if got != c.want() {
					t.Errorf("%q: got\n%s\nwant\n%s", args, got, c.want())
				}
			})
		}
		if *update {
			rewrite(t, path, intro, cases)
		}
	}
	t.Logf("%d cases", number)
}

// outcome says what arguments come to.
func outcome(usual *plan, args []string) string {
	p, l, err := outcomeOf(args...)
	var lines []string
	if err != nil {
		lines = append(lines, "error: "+err.Error())
	} else {
		lines = append(lines, strings.TrimSuffix(difference(p, usual), "\n"))
	}
	if l != nil {
		for _, text := range l.notices {
			lines = append(lines, "notice: "+text)
		}
		for _, text := range l.skipped {
			lines = append(lines, "skipped: "+text)
		}
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}
