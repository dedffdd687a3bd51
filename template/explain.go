package template

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"render/template/fragment"
	"render/template/funcs"

	"render/watch"
)

var (
	noFieldInText  = regexp.MustCompile(`^can't evaluate field (\w+) in type (\S+)$`)
	nilFieldInText = regexp.MustCompile(`^nil pointer evaluating (\S+)\.(\w+)$`)
	noEntryInText  = regexp.MustCompile(`^map has no entry for key "([^"]+)"$`)
	noMapInText    = regexp.MustCompile(`^nil data; no entry for key "([^"]+)"$`)
	keywordInText  = regexp.MustCompile(`\{\{(end|else|break|continue|range)\}\}`)
)

// explain makes a message of text/template say more: what the value at hand is, and which fields it has.
func (d delimiters) explain(msg string) string {
	if m := noFieldInText.FindStringSubmatch(msg); m != nil {
		field, name := m[1], m[2]
		t, known := valueTypes[strings.TrimPrefix(name, "*")]
		if !known {
			return fmt.Sprintf("%s has no field %s", kindOfType(name), field)
		}
		fields := funcs.FieldsOf(t)
		guess := Suggestion(field, fields)
		if guess == "" {
			guess = ";"
		}
		return fmt.Sprintf("%s has no field %s%s it has %s", article(t.Name()), field, guess, strings.Join(fields, ", "))
	}
	if m := nilFieldInText.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("there is no %s here whose field %s could be read; guard it with %s", lastPart(m[1]), m[2], d.around("with"))
	}
	if m := noEntryInText.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("the map has no entry %s; where it may be missing, read it with %s", m[1], d.around(fmt.Sprintf("index MAP %q", m[1])))
	}
	if m := noMapInText.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("there is nothing here that could have an entry %s; guard it with %s", m[1], d.around("with"))
	}
	return msg
}

// keywords puts the template's own delimiters around the keywords that a message of the parser names.
func (d delimiters) keywords(msg string) string {
	return keywordInText.ReplaceAllStringFunc(msg, func(action string) string { return d.around(strings.Trim(action, "{}")) })
}

// kindOfType describes a type that is not one of ours.
func kindOfType(name string) string {
	switch {
	case strings.HasPrefix(name, "[]"):
		return "a list"
	case strings.HasPrefix(name, "map["):
		return "a map of this kind"
	}
	return article(lastPart(name))
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiouAEIOU") {
		return "an " + noun
	}
	return "a " + noun
}

// valueTypes are the struct types that templates can meet, by the names that Go gives them.
var valueTypes = structTypes(
	watch.HealthService{}, watch.KeyPair{}, watch.Node{}, watch.CatalogNode{}, watch.CatalogSnippet{}, watch.Partition{},
	watch.Peering{}, watch.ExportedService{}, watch.ImportedService{}, watch.CARoot{}, watch.LeafCert{},
)

// answerTypes are the same types, as package fragment wants them.
var answerTypes = func() fragment.Types {
	types := make(fragment.Types)
	for _, t := range valueTypes {
		types[t] = true
	}
	return types
}()

// structTypes returns the types of values, and of all structs that these hold.
func structTypes(values ...any) map[string]reflect.Type {
	types := make(map[string]reflect.Type)
	var add func(reflect.Type)
	add = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			add(t.Elem())
		case reflect.Struct:
			if _, known := types[t.String()]; known {
				return
			}
			types[t.String()] = t
			for f := range t.Fields() {
				if f.IsExported() {
					add(f.Type)
				}
			}
		}
	}
	for _, v := range values {
		add(reflect.TypeOf(v))
	}
	return types
}
