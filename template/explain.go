package template

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"strings"
	"time"

	"render/template/fragment"
	"render/template/funcs"

	"render/watch"
)

var (
	noFieldInText  = regexp.MustCompile(`^can't evaluate field (\w+) in type (\S+)$`)
	nilFieldInText = regexp.MustCompile(`^nil pointer evaluating (\S+|interface \{\})\.(\w+)$`)
	noEntryInText  = regexp.MustCompile(`^map has no entry for key "([^"]+)"$`)
	noMapInText    = regexp.MustCompile(`^nil data; no entry for key "([^"]+)"$`)
	keywordInText  = regexp.MustCompile(`\{\{(end|else|break|continue|range)\}\}`)
)

// explain returns a message of text/template in plain words, and a hint: which fields a value has, or how to guard against a
// missing value. The hint is "" for a message that stays as it is.
func (d delimiters) explain(msg string) (plain, hint string) {
	if m := noFieldInText.FindStringSubmatch(msg); m != nil {
		field, name := m[1], m[2]
		t, known := valueTypes[strings.TrimPrefix(name, "*")]
		if !known {
			return fmt.Sprintf("%s has no field %s", kindOfType(name), field), ""
		}
		fields := funcs.FieldsOf(t)
		hint := "the fields are " + strings.Join(fields, ", ")
		if guess := Suggestion(field, fields); guess != "" {
			hint = guess + " " + hint
		}
		return fmt.Sprintf("%s has no field %s", article(t.Name()), field), hint
	}
	if m := nilFieldInText.FindStringSubmatch(msg); m != nil {
		kind := strings.Replace(lastPart(m[1]), "interface {}", "value", 1)
		return fmt.Sprintf("the %s whose field %s is read does not exist", kind, m[2]), "put the field inside " + d.around("with VALUE")
	}
	if m := noEntryInText.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("the map has no entry %s", m[1]), "if the entry is optional, read it with " + d.around(fmt.Sprintf("index MAP %q", m[1]))
	}
	if m := noMapInText.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("the map whose entry %s is read does not exist", m[1]), "put the entry inside " + d.around("with MAP")
	}
	if strings.HasPrefix(msg, "wrong type for value; expected ") && strings.HasSuffix(msg, "; got watch.NomadItem") {
		return msg, "give the function the item's Value, as in .NAME.Value"
	}
	return msg, ""
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
var valueTypes = func() map[string]reflect.Type {
	types := structTypes(watch.Secret{})
	maps.Copy(types, constantTypes)
	return types
}()

// constantTypes are those of them whose values never change. A template can change the maps of a secret.
var constantTypes = structTypes(
	watch.HealthService{}, watch.KeyPair{}, watch.Node{}, watch.CatalogNode{}, watch.CatalogSnippet{}, watch.Partition{},
	watch.Peering{}, watch.ExportedService{}, watch.ImportedService{}, watch.CARoot{}, watch.LeafCert{}, watch.PKICert{},
	watch.NomadSnippet{}, watch.NomadService{}, watch.NomadVar{}, watch.NomadVarMeta{},
)

// answerTypes are the same types, as package fragment wants them.
var answerTypes = func() fragment.Types {
	types := make(fragment.Types)
	for _, t := range constantTypes {
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
			if _, known := types[t.String()]; known || t == reflect.TypeFor[time.Time]() {
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
