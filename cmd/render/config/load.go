package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"render/cmd/render/config/conf"

	"render/watch/hint"
)

// LocalConfig is the variable whose text counts as a configuration file that wins over all others.
const LocalConfig = "CT_LOCAL_CONFIG"

// A loader reads all that users have set: variables, files, flags.
type loader struct {
	doc     *document
	faults  []fault
	sources map[string][]byte
	configs []string // what was given to read
	environ []string

	global    *globalBlock // of the document, as are the next two
	templates []*templateBlock
	actions   []*actionBlock
	made      []*templateBlock // those of the plan's targets

	notices Notices
	hidden  []hidden
	warned  []string          // warnings that are given once, and were
	read    func(path string) // reads a file
}

// load reads files, variables and flags into a document.
func load(flags *Flags, environ []string) (*loader, error) {
	l := &loader{doc: newDocument(), sources: make(map[string][]byte), configs: flags.configs, environ: environ}
	l.read = l.readFile
	if flags.check(l); len(l.faults) > 0 { // a mistake of the command line is reported alone
		return l, l.err()
	}
	l.readEnvironment(false)
	for _, path := range flags.configs {
		l.readPath(path)
	}
	if text := l.getenv(LocalConfig); text != "" {
		l.readText(LocalConfig, []byte(text))
	}
	l.readEnvironment(true)
	flags.bring(l)
	return l, l.err()
}

// getenv returns the value of a variable; "" for none.
func (l *loader) getenv(name string) (value string) {
	for _, entry := range l.environ {
		if text, ok := strings.CutPrefix(entry, name+"="); ok {
			value = text // the last one is used, as in a process
		}
	}
	return value
}

func (l *loader) notice(at origin, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if at.inFile() {
		text = at.String() + ": " + text
	}
	if !slices.Contains(l.notices.Warn, text) { // as of a setting that holds for many templates
		l.notices.Warn = append(l.notices.Warn, text)
	}
}

// ownVariables is the beginning of the names of variables that render alone has. They are read after files, and win over them, so
// that one setting of a file can be changed where render runs. Other variables are weaker than files, as with consul-template.
const ownVariables = "RENDER_"

// readEnvironment reads the variables of settings: either render's own, or the others.
func (l *loader) readEnvironment(own bool) {
	for _, s := range globalSettings {
		for _, name := range s.Env {
			text := l.getenv(name)
			if text == "" || strings.HasPrefix(name, ownVariables) != own {
				continue
			}
			from := origin{name: "$" + name}
			value, err := s.kind.parse(text)
			if err != nil {
				l.fault(from, "%w", withoutValue(s, err))
			} else {
				l.doc.top.set(s, given{value, from})
			}
			break
		}
	}
}

// readPath reads a file, or all files of a folder and of the folders in it, in the order of their names.
func (l *loader) readPath(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.unreadable(path, err)
	case info.IsDir():
		l.readFolder(path, nil)
	default:
		l.read(path)
	}
}

// readFolder reads a folder. The folders that it is in, by their real paths, are known so that a link to one of them is
// noticed.
func (l *loader) readFolder(path string, outer []string) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		l.unreadable(path, err)
		return
	}
	if slices.Contains(outer, real) {
		l.unreadable(path, errors.New("the folder contains itself through a link"))
		return
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		l.unreadable(path, err)
	}
	for _, entry := range entries {
		inside := filepath.Join(path, entry.Name())
		if why := notConfiguration(entry.Name()); why != "" {
			l.notices.Debug = append(l.notices.Debug, inside+": "+why)
			continue
		}
		switch info, err := os.Stat(inside); {
		case err != nil:
			l.unreadable(inside, err)
		case info.IsDir():
			l.readFolder(inside, append(outer, real))
		case info.Mode().IsRegular():
			l.read(inside)
		default:
			l.notices.Debug = append(l.notices.Debug, inside+": not a regular file")
		}
	}
}

// leftovers are the endings of what editors and package managers leave, and of files that are no configuration.
var leftovers = []string{"~", ".bak", ".swp", ".orig", ".rpmsave", ".rpmnew", ".md", ".ctmpl", ".tmpl", ".tpl"}

// notConfiguration says why a file or folder in a folder is not read; "" if it is.
func notConfiguration(name string) string {
	switch ext := filepath.Ext(name); {
	case strings.HasPrefix(name, "."):
		return "hidden"
	case strings.HasPrefix(ext, ".dpkg-"):
		return "left by a package manager"
	case slices.ContainsFunc(leftovers, func(end string) bool { return strings.HasSuffix(strings.ToLower(name), end) }):
		return "not a configuration, by its name"
	}
	return ""
}

func (l *loader) readFile(path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		l.unreadable(path, err)
		return
	}
	l.readText(path, text)
}

func (l *loader) unreadable(path string, err error) {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		err = failed.Err
	}
	l.fault(origin{file: cmp.Or(path, `""`)}, "cannot read the configuration: %w", err)
}

func (l *loader) readText(name string, text []byte) {
	l.sources[name] = text
	begin := origin{file: name, at: conf.Pos{Line: 1, Column: 1}}
	switch trimmed := bytes.TrimSpace(text); {
	case len(trimmed) == 0:
		return
	case bytes.HasPrefix(trimmed, []byte("{{")):
		l.fault(begin, "%w", hint.With(errors.New("this file is a template and not a configuration"), "use --template for a template"))
		return
	}

	body, err := conf.Parse(text)
	failed, isSyntax := errors.AsType[*conf.Error](err)
	switch {
	case isSyntax && fixtureKey.Match(text):
		l.fault(begin, "%w", hint.With(errors.New("this file looks like a fixture and not like a configuration"), "use --fixture for a fixture"))
	case isSyntax:
		l.faults = append(l.faults, fault{at: origin{file: name, at: failed.Pos}, text: failed.Message, hint: failed.Hint, syntax: true, excerpt: failed.Excerpt})
	default:
		l.decode(name, body)
	}
}

// fixtureKey finds a key of a fixture, which is YAML, at the beginning of a line.
var fixtureKey = regexp.MustCompile(`(?m)^(keys|services|nodes|node|datacenters|connect|secrets):(\s|$)`)
