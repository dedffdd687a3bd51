package template

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"render/template/funcs"
)

// A Write is a file that a template wants to be written beside its own output.
type Write struct {
	Path        string
	Contents    []byte
	Append      bool // to what the file has
	User, Group string
	Perms       fs.FileMode
}

// writeToFile PATH USER GROUP PERMS [FLAGS] CONTENTS adds a write to the result, and returns an empty text.
func (p *pass) writeToFile(path, user, group, perms string, rest ...string) (string, error) {
	if len(rest) == 0 {
		return "", funcs.Wrap("writeToFile", errors.New("the contents are missing"))
	}
	mode, err := strconv.ParseUint(perms, 8, 32)
	if err != nil || fs.FileMode(mode) != fs.FileMode(mode).Perm() {
		return "", funcs.Wrap("writeToFile", fmt.Errorf("the permissions %s are not an octal mode, such as 0644", p.funcs.Quote(perms)))
	}
	if path == "" {
		return "", funcs.Wrap("writeToFile", errors.New("the path is empty"))
	}
	w := Write{Path: path, User: user, Group: group, Perms: fs.FileMode(mode)}
	contents := rest[len(rest)-1]
	if len(rest) == 2 {
		w.Append = strings.Contains(rest[0], "append")
		if strings.Contains(rest[0], "newline") {
			contents += "\n"
		}
	}
	return "", funcs.Wrap("writeToFile", p.addWrite(w, contents))
}

// writeSize is about how many bytes of memory a write takes beside its path and its contents.
const writeSize = 256

// addWrite adds a write with some contents to those of this pass. Several to one file become one. What the pass does not finish,
// run drops.
func (p *pass) addWrite(w Write, contents string) error {
	i, found := p.writes[w.Path]
	replaced := 0
	if found && !w.Append {
		replaced = len(p.result.Writes[i].Contents)
	}
	if p.exceeds(len(contents) - replaced) {
		return p.errOutput()
	}
	p.beside += len(contents) - replaced

	if !found {
		if err := p.funcs.Make(len(w.Path) + writeSize); err != nil {
			return err
		}
		if p.writes == nil {
			p.writes = make(map[string]int)
		}
		p.writes[w.Path] = len(p.result.Writes)
		w.Contents = []byte(contents)
		p.result.Writes = append(p.result.Writes, w)
		return nil
	}
	if w.Append {
		earlier := p.result.Writes[i]
		w.Contents, w.Append = append(earlier.Contents, contents...), earlier.Append
	} else {
		w.Contents = []byte(contents)
	}
	p.result.Writes[i] = w
	return nil
}
