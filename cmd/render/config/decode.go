package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"render/cmd/render/config/conf"
	"render/template"

	"render/watch/hint"
)

// decode brings what a file says into the document.
func (l *loader) decode(file string, body *conf.Body) {
	(&decoder{l, file}).decodeBody(body, l.doc.top, "")
}

// A decoder decodes one file.
type decoder struct {
	*loader
	file string
}

func (d *decoder) place(at conf.Pos) origin { return origin{file: d.file, at: at} }

// decodeBody brings the items of a block, whose keys begin with prefix, into values.
func (d *decoder) decodeBody(body *conf.Body, into *values, prefix string) {
	for _, item := range body.Items {
		name := strings.ToLower(item.Name)
		if into.schema.block == "" && prefix == "" && repeated[name] != nil {
			d.decodeRepeated(name, item)
			continue
		}
		key := d.rename(into.schema.block, prefix+name, d.place(item.Pos))
		s, isBlock := into.schema.settings[key], into.schema.blocks[key]
		if s == nil && !isBlock || s != nil && s.kind.private {
			d.hide(item)
		}
		switch {
		case s == nil && !isBlock:
			d.fault(d.place(item.Pos), "%w", hint.With(fmt.Errorf("there is no key %q%s", item.Name, in(into.schema.block, prefix)), into.schema.hint(prefix, name)))
		case isBlock && !s.takes(item.Value):
			for _, block := range d.blocks(item) {
				d.decodeBody(block, into, key+".")
			}
		default:
			d.decodeValue(item, s, into)
		}
	}
}

// takes reports whether a setting, which is nil for what is a block only, takes a value that is no block, nor a list of blocks.
func (s *Setting) takes(v *conf.Value) bool {
	switch {
	case s == nil || v.Kind == conf.Object:
		return false
	case v.Kind == conf.List:
		return slices.Contains(s.kind.forms, conf.List) && !slices.ContainsFunc(v.List, func(e *conf.Value) bool { return e.Kind == conf.Object })
	}
	return true
}

// hint says what may be meant by a key that a block does not have: one that stands elsewhere, one of a like name, or one of a few.
func (s *schema) hint(prefix, name string) string {
	key, names := prefix+name, s.names(prefix)
	switch {
	case s != templateSchema && (templateSchema.settings[key] != nil || templateSchema.blocks[key]):
		return "write the key in a template block: template { " + name + " … }"
	case s != topSchema && (topSchema.settings[key] != nil || topSchema.blocks[key] || repeated[key] != nil):
		return "write the key at the top of the file, outside of all blocks"
	}
	known := names
	for old := range OldKeys[s.block] {
		if rest, ok := strings.CutPrefix(old, prefix); ok {
			known = append(known, rest)
		}
	}
	slices.Sort(known[len(names):])
	switch near := template.Suggestion(name, known); {
	case key == "vault.auth":
		return "to log in, set vault.login.path and vault.login.fields"
	case near != "":
		return near
	case len(names) <= 8:
		return "the keys are " + strings.Join(names, ", ")
	}
	// Half of a name, or one that another program has for it.
	if i := slices.IndexFunc(names, func(known string) bool { return strings.HasPrefix(known, name) || strings.HasSuffix(known, "_"+name) }); i >= 0 {
		return "did you mean " + names[i] + "?"
	}
	return ""
}

// in says which block is meant.
func in(block, prefix string) string {
	name := strings.Trim(block+"."+prefix, ".")
	if name == "" {
		return ""
	}
	return " in " + name
}

// rename returns the name that a key has today, and warns of an old name once.
func (l *loader) rename(block, key string, at origin) string {
	now, old := newKey(block, key)
	if old && l.first(block+" "+key) {
		l.notice(at, "%s is an old name of %s", key, now)
	}
	return now
}

func (d *decoder) decodeValue(item *conf.Item, s *Setting, into *values) {
	if len(item.Labels) > 0 {
		d.fault(d.place(item.Labels[0].Pos), "%w", hint.With(fmt.Errorf("%s needs a value, and has a label", item.Name), "did you forget the = between the name and the value?"))
		return
	}
	value, err := s.kind.readFrom(item.Value)
	if err != nil {
		d.fault(d.place(item.Value.Pos), "%s: %w", item.Name, err)
		return
	}
	from := d.place(item.Pos)
	if s.kind == permsKind && isDecimalByMistake(item.Value) {
		d.notice(from, "%s is a decimal number and means the mode %04o; for the octal mode, write 0%s", item.Value.Text, value, item.Value.Text)
	}
	if s.Now != "" && d.first(s.Key) {
		d.notice(from, "%s is an old form of %s", item.Name, s.Now)
	}
	into.set(s, given{value, from})
	d.idle(s, from)
}

// hide keeps the labels and the value of an item from being shown: it is secret, or may be one whose name is misspelt.
func (d *decoder) hide(item *conf.Item) {
	from := item.Value.Pos
	if len(item.Labels) > 0 {
		from = item.Labels[0].Pos
	}
	d.hidden = append(d.hidden, hidden{d.place(from), item.Value.EndLine})
}

// hideBody keeps what is in a block from being shown that is not decoded.
func (d *decoder) hideBody(item *conf.Item) {
	if v := item.Value; v.Kind != conf.Object || len(v.Body.Items) > 0 {
		d.hidden = append(d.hidden, hidden{d.place(v.Pos), v.EndLine})
	}
}

// blocks returns the bodies of an item that is a block, or a list of blocks as JSON may have it.
func (d *decoder) blocks(item *conf.Item) []*conf.Body {
	if len(item.Labels) > 0 {
		d.hideBody(item)
		d.fault(d.place(item.Labels[0].Pos), "a %s block has no label", item.Name)
		return nil
	}
	return d.bodies(item.Name, item.Value)
}

func (d *decoder) bodies(name string, v *conf.Value) []*conf.Body {
	switch v.Kind {
	case conf.Object:
		return []*conf.Body{v.Body}
	case conf.List:
		var all []*conf.Body
		for _, e := range v.List {
			if e.Kind != conf.Object {
				d.fault(d.place(e.Pos), "%s: needs a list of blocks; one element is %s", name, formNames[e.Kind])
				continue
			}
			all = append(all, e.Body)
		}
		return all
	}
	d.fault(d.place(v.Pos), "%w", hint.Withf(fmt.Errorf("%s is a block, not %s", name, formNames[v.Kind]), "write %s { … }", name))
	return nil
}

// decodeRepeated brings template and action blocks into the document.
func (d *decoder) decodeRepeated(name string, item *conf.Item) {
	if name == "template" {
		for _, body := range d.blocks(item) {
			from := item.Pos
			if item.Value.Kind == conf.List { // each is distinguished by its brace
				from = body.Pos
			}
			d.decodeBody(body, d.doc.template(d.place(from)), "")
		}
		return
	}
	switch len(item.Labels) {
	case 1:
		for _, body := range d.bodies(name, item.Value) {
			d.decodeAction(item.Labels[0].Text, item.Labels[0].Pos, body)
		}
	case 0: // as JSON has it: the names are the members
		for _, body := range d.bodies(name, item.Value) {
			for _, member := range body.Items {
				if member.Value.Kind != conf.Object && member.Value.Kind != conf.List {
					d.fault(d.place(member.Pos), "%w", hint.With(errors.New("the action has no name"), `write action "NAME" { … }`))
					continue
				}
				for _, body := range d.bodies(member.Name, member.Value) {
					d.decodeAction(member.Name, member.Pos, body)
				}
			}
		}
	default:
		d.hideBody(item)
		d.fault(d.place(item.Labels[1].Pos), "the action has more than one name")
	}
}

func (d *decoder) decodeAction(name string, at conf.Pos, body *conf.Body) {
	d.decodeBody(body, d.doc.action(name, d.place(at)), "")
}

// idle warns of a setting that has no effect, once for each reason.
func (l *loader) idle(s *Setting, from origin) {
	if s.Idle == "" {
		return
	}
	if l.first(s.Idle) {
		l.notice(from, "%s has no effect: %s", from.nameOf(s.Key), s.Idle)
	}
}

// first reports whether a warning is new.
func (l *loader) first(what string) bool {
	if slices.Contains(l.warned, what) {
		return false
	}
	l.warned = append(l.warned, what)
	return true
}
