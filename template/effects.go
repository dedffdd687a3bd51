package template

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxDepth = 1000 // of executeTemplate within executeTemplate

// executeTemplate runs a defined template and returns its output.
func (p *pass) executeTemplate(name string, data ...any) (string, error) {
	if len(data) > 1 {
		return "", &funcError{"executeTemplate", fmt.Errorf("takes a name and at most one value, not %d", len(data))}
	}
	root := p.template.root
	if name == "" || root.Lookup(name) == nil {
		return "", &funcError{"executeTemplate", fmt.Errorf("there is no template %s", p.quote(name))}
	}
	if p.depth >= maxDepth {
		return "", &funcError{"executeTemplate", fmt.Errorf("templates call each other more than %d deep", maxDepth)}
	}
	p.depth++
	defer func() { p.depth-- }()
	var dot any
	if len(data) == 1 {
		dot = data[0]
	}
	var out bytes.Buffer
	if err := root.ExecuteTemplate(&out, name, dot); err != nil {
		return "", p.template.execError(err)
	}
	return out.String(), nil
}

const (
	pluginTimeout = 30 * time.Second
	pluginGrace   = time.Second // for output of what a plugin has left running
	maxComplaint  = 300         // bytes of a plugin's standard error that an error repeats
)

// plugin runs a program and returns what it prints, without the blanks around it.
func (p *pass) plugin(name string, args ...string) (string, error) {
	if name == "" || !p.doEffects() {
		return "", nil
	}
	var given []string
	for _, arg := range args {
		if arg = strings.TrimSpace(arg); arg != "" {
			given = append(given, arg)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), pluginTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, given...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = pluginGrace
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		if ctx.Err() != nil {
			err = fmt.Errorf("did not end within %s", pluginTimeout)
		}
		return "", &funcError{"plugin", fmt.Errorf("%s: %w: %s", p.quote(name), err, p.complaint(given, stderr.String()))}
	}
	return strings.TrimSpace(stdout.String()), nil
}

// complaint returns what a plugin has said of its failure, unless that may repeat an argument that comes from an answer.
func (p *pass) complaint(args []string, said string) string {
	for _, arg := range args {
		if !p.inText(arg) {
			return "what it said is left out, because an argument is not from the template's text"
		}
	}
	said = strings.Join(strings.Fields(said), " ")
	return said[:min(len(said), maxComplaint)]
}

// doEffects reports whether effects are wanted now, and notes that there are some.
func (p *pass) doEffects() bool {
	p.deferred = true
	return p.effects
}

// A Write is a file that a template wants to be written beside its own output.
type Write struct {
	Path        string
	Contents    []byte
	Append      bool // to what the file has
	User, Group string
	Perms       fs.FileMode
}

// writeToFile PATH USER GROUP PERMS [FLAGS] CONTENTS asks for a file to be written; it gives nothing itself.
func (p *pass) writeToFile(path, user, group, perms string, rest ...string) (string, error) {
	if len(rest) == 0 {
		return "", &funcError{"writeToFile", errors.New("has no contents")}
	}
	mode, err := strconv.ParseUint(perms, 8, 32)
	if err != nil || fs.FileMode(mode) != fs.FileMode(mode).Perm() {
		return "", &funcError{"writeToFile", fmt.Errorf("permissions %s are not octal, such as 0644", p.quote(perms))}
	}
	if path == "" {
		return "", &funcError{"writeToFile", errors.New("has no path")}
	}
	w := Write{Path: path, User: user, Group: group, Perms: fs.FileMode(mode)}
	contents := rest[len(rest)-1]
	if len(rest) == 2 {
		w.Append = strings.Contains(rest[0], "append")
		if strings.Contains(rest[0], "newline") {
			contents += "\n"
		}
	}
	w.Contents = []byte(contents)
	if p.doEffects() {
		p.addWrite(w)
	}
	return "", nil
}

// addWrite adds a write to those of this pass. Several to one file become one.
func (p *pass) addWrite(w Write) {
	i := slices.IndexFunc(p.result.Writes, func(earlier Write) bool { return earlier.Path == w.Path })
	if i < 0 {
		p.result.Writes = append(p.result.Writes, w)
		return
	}
	if w.Append {
		earlier := p.result.Writes[i]
		w.Contents, w.Append = append(earlier.Contents, w.Contents...), earlier.Append
	}
	p.result.Writes[i] = w
}
