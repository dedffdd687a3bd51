package template

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// A Suspect is a place in the text that is probably a mistake, although the execution goes on there.
type Suspect struct {
	site site
	Why  string
}

const (
	noValue       = "<no value>" // what text/template prints in place of a value that does not exist
	printsAddress = "an address in memory seems to be printed here, which changes; print fields of the value, or use toJSON"
	noName        = "the service has no name, so it has no instances"

	mostReported = 20 // places of a template
)

const heapSize = 1 << 38 // bytes that are more than the heap has, and few beside all addresses

// noValue returns the suspect of a value that does not exist. A field directly below Data is mostly one of a secret of KV version 2.
func (p *pass) noValue() Suspect {
	site, what, then := p.site(), "a value does not exist here", ""
	if field := p.field(); field != "" {
		what, then = fmt.Sprintf("the field %q does not exist", field), p.optional()
	}
	why := what + ", and <no value> is printed in its place" + then
	if rest := site.text.text[min(int(site.pos), len(site.text.text)):]; strings.HasPrefix(rest, ".Data.") && !strings.HasPrefix(rest, ".Data.data.") {
		why += "; a secret of KV version 2 has its fields in .Data.data"
	}
	return Suspect{site, why}
}

// missingItem returns the suspect of an item that a variable of Nomad does not have.
func (p *pass) missingItem() Suspect {
	item := "an item"
	if field := p.field(); field != "" {
		item = fmt.Sprintf("the item %q", field)
	}
	return Suspect{p.site(), item + " of the Nomad variable does not exist, and nothing is printed in its place" + p.optional()}
}

// optional says what to do about a field that does not exist.
func (p *pass) optional() string {
	return "; correct its name, add it, or put it inside " + p.template.delims.Around("with FIELD") + " if it is optional"
}

// field returns the name of the field that the present action prints, "" where it prints something else.
func (p *pass) field() string {
	if p.mark >= len(p.template.marks) {
		return ""
	}
	return p.template.marks[p.mark].field
}

// printedField returns the name of the field that a pipeline prints, "" where it prints something else.
func printedField(n *parse.PipeNode) string {
	last := n.Cmds[len(n.Cmds)-1]
	switch arg := last.Args[0].(type) {
	case *parse.FieldNode:
		return arg.Ident[len(arg.Ident)-1]
	case *parse.ChainNode:
		return arg.Field[len(arg.Field)-1]
	case *parse.VariableNode:
		if len(arg.Ident) > 1 {
			return arg.Ident[len(arg.Ident)-1]
		}
	case *parse.IdentifierNode:
		if key, isText := last.Args[len(last.Args)-1].(*parse.StringNode); isText && arg.Ident == "index" {
			return key.Text
		}
	}
	return ""
}

// isAddress reports whether a printed value has an address of the heap.
func (p *pass) isAddress(b []byte) bool {
	for from := 0; ; {
		i := bytes.IndexByte(b[from:], 'x') // each value is searched, and most have none
		if i < 0 {
			return false
		}
		from += i + 1
		end := from
		for end < len(b) && isHexDigit(b[end]) {
			end++
		}
		if from < 2 || b[from-2] != '0' || end-from > 16 {
			continue
		}
		n, err := strconv.ParseUint(string(b[from:end]), 16, 64)
		here := uint64(reflect.ValueOf(p.template).Pointer())
		if err == nil && max(n, here)-min(n, here) < heapSize {
			return true
		}
	}
}

func isHexDigit(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

// Place returns the place as name:line:column.
func (s Suspect) Place() string { return s.site.text.place(s.site.pos) }

// Unreported returns the suspects of a result of this template that no earlier call returned. It returns at most 20 over all
// calls: a template that is made by a program can have thousands.
func (t *Template) Unreported(r Result) (all []Suspect) {
	for _, s := range r.Suspect {
		if len(t.reported) >= mostReported {
			break
		}
		if t.reported[s] {
			continue
		}
		if t.reported == nil {
			t.reported = make(map[Suspect]bool)
		}
		t.reported[s] = true
		all = append(all, s)
	}
	return all
}

// addSuspect adds to the suspects of this execution, and of the iteration that is recorded. Each has a suspect once.
func (p *pass) addSuspect(s Suspect) {
	if r := p.recording; r != nil && !slices.Contains(r.suspect, s) {
		r.suspect = append(r.suspect, s)
	}
	if p.suspects[s] {
		return
	}
	if p.suspects == nil {
		p.suspects = make(map[Suspect]bool)
	}
	p.suspects[s] = true
	p.result.Suspect = append(p.result.Suspect, s)
}
