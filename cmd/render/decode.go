package main

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"render/cmd/render/conf"
	"render/template"
)

// decode brings what a file says into the document.
func (l *loader) decode(body *conf.Body) { l.decodeBody(body, l.doc.top, "") }

// decodeBody brings the items of a block, whose keys begin with prefix, into values.
func (l *loader) decodeBody(body *conf.Body, into *values, prefix string) {
	for _, item := range body.Items {
		name := strings.ToLower(item.Name)
		if into.schema.block == "" && prefix == "" && repeated[name] != nil {
			l.decodeRepeated(name, item)
			continue
		}
		key := l.rename(into.schema.block, prefix+name, origin{at: item.NameRange})
		s, isBlock := into.schema.settings[key], into.schema.blocks[key]
		if s == nil && !isBlock || s != nil && s.kind.private {
			l.hide(item)
		}
		switch {
		case s == nil && !isBlock:
			l.fault(origin{at: item.NameRange}, "there is no key %q%s%s", item.Name, in(into.schema.block, prefix), into.schema.hint(prefix, name))
		case isBlock && (s == nil || item.Value.Kind == conf.Object || item.Value.Kind == conf.List):
			for _, block := range l.blocks(item) {
				l.decodeBody(block, into, key+".")
			}
		default:
			l.decodeValue(item, s, into)
		}
	}
}

// hint says what may be meant by a key that a block does not have: one that stands elsewhere, one of a like name, or one of a few.
func (s *schema) hint(prefix, name string) string {
	key, names := prefix+name, s.names(prefix)
	switch {
	case s != templateSchema && (templateSchema.settings[key] != nil || templateSchema.blocks[key]):
		return "; it stands in template blocks: template { " + name + " … }"
	case s != topSchema && (topSchema.settings[key] != nil || topSchema.blocks[key] || repeated[key] != nil):
		return "; it stands at the top of files, in no block"
	}
	near := template.Suggestion(name, names)
	if near == "" && len(names) <= 8 {
		return "; there are " + strings.Join(names, ", ")
	}
	return near
}

// in says which block is meant.
func in(block, prefix string) string {
	name := strings.Trim(block+"."+prefix, ".")
	if name == "" {
		return ""
	}
	return " in " + name
}

// rename returns what a key is called now. An old name is told of once.
func (l *loader) rename(block, key string, at origin) string {
	now, old := newKey(block, key)
	if old && l.first(block+" "+key) {
		l.notice(at, "%s is an old name of %s", key, now)
	}
	return now
}

func (l *loader) decodeValue(item *conf.Item, s *setting, into *values) {
	if len(item.Labels) > 0 {
		l.fault(origin{at: item.Labels[0].Range}, "%s has a value and no label; is a = missing?", item.Name)
		return
	}
	value, err := s.kind.readFrom(item.Value)
	if err != nil {
		l.fault(origin{at: item.Value.Range}, "%s: %v", item.Name, err)
		return
	}
	from := origin{at: item.NameRange}
	if s.kind == permsKind && isDecimalByMistake(item.Value) {
		l.notice(from, "%s is a decimal number, and the mode %04o; for that in octal write 0%s", item.Value.Text, value, item.Value.Text)
	}
	if s.now != "" && l.first(s.key) {
		l.notice(from, "%s is an old form of %s", item.Name, s.now)
	}
	into.set(s, given{value, from})
	l.idle(s, from)
}

// hide keeps the labels and the value of an item from being shown: it is secret, or may be one whose name is misspelt.
func (l *loader) hide(item *conf.Item) {
	for _, label := range item.Labels {
		l.hidden = append(l.hidden, label.Range)
	}
	l.hidden = append(l.hidden, item.Value.Range)
}

// blocks returns the bodies of an item that is a block, or a list of blocks as JSON may have it.
func (l *loader) blocks(item *conf.Item) []*conf.Body {
	if len(item.Labels) > 0 {
		l.fault(origin{at: item.Labels[0].Range}, "a %s block has no label", item.Name)
		return nil
	}
	return l.bodies(item.Name, item.Value)
}

func (l *loader) bodies(name string, v *conf.Value) []*conf.Body {
	switch v.Kind {
	case conf.Object:
		return []*conf.Body{v.Body}
	case conf.List:
		var all []*conf.Body
		for _, e := range v.List {
			if e.Kind != conf.Object {
				l.fault(origin{at: e.Range}, "%s: needs blocks in its list; this is %s", name, formNames[e.Kind])
				continue
			}
			all = append(all, e.Body)
		}
		return all
	}
	l.fault(origin{at: v.Range}, "%s is a block: %s { … }; this is %s", name, name, formNames[v.Kind])
	return nil
}

// decodeRepeated brings template and action blocks into the document.
func (l *loader) decodeRepeated(name string, item *conf.Item) {
	if name == "template" {
		for _, body := range l.blocks(item) {
			from := item.NameRange
			if item.Value.Kind == conf.List { // each is told from the others by its brace
				from = body.Range
			}
			l.decodeBody(body, l.doc.template(origin{at: from}), "")
		}
		return
	}
	switch len(item.Labels) {
	case 1:
		for _, body := range l.bodies(name, item.Value) {
			l.decodeAction(item.Labels[0].Text, item.Labels[0].Range, body)
		}
	case 0: // as JSON has it: the names are the members
		for _, body := range l.bodies(name, item.Value) {
			for _, member := range body.Items {
				if member.Value.Kind != conf.Object && member.Value.Kind != conf.List {
					l.fault(origin{at: member.NameRange}, `an action has a name: action "NAME" { … }`)
					continue
				}
				for _, body := range l.bodies(member.Name, member.Value) {
					l.decodeAction(member.Name, member.NameRange, body)
				}
			}
		}
	default:
		l.fault(origin{at: item.Labels[1].Range}, "an action has one name")
	}
}

func (l *loader) decodeAction(name string, at hcl.Range, body *conf.Body) {
	l.decodeBody(body, l.doc.action(name, origin{at: at}), "")
}

// idle tells of a setting that has no effect, once for each reason.
func (l *loader) idle(s *setting, from origin) {
	if s.idle == "" {
		return
	}
	if l.first(s.idle) {
		l.notice(from, "%s has no effect: %s", from.nameOf(s.key), s.idle)
	}
}

// first reports whether something is to be told of for the first time.
func (l *loader) first(what string) bool {
	if slices.Contains(l.told, what) {
		return false
	}
	l.told = append(l.told, what)
	return true
}
