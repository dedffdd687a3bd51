package syntax

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
	nilFieldInText = regexp.MustCompile(`^nil pointer evaluating (\S+|interface \{\})\.(\w+)$`)
	noEntryInText  = regexp.MustCompile(`^map has no entry for key "([^"]+)"$`)
	noMapInText    = regexp.MustCompile(`^nil data; no entry for key "([^"]+)"$`)
	keywordInText  = regexp.MustCompile(`\{\{(end|else|break|continue|range)\}\}`)
)

// Explain returns a message of text/template in plain words, and a hint: which fields a value has, or how to guard against a
// missing value. The hint is "" for a message that stays as it is.
func (d Delimiters) Explain(msg string) (plain, hint string) {
	if m := noFieldInText.FindStringSubmatch(msg); m != nil {
		field, name := m[1], m[2]
		t, known := valueTypes[strings.TrimPrefix(name, "*")]
		if !known {
			return fmt.Sprintf("%s has no field %s", kindOfType(name), field), ""
		}
		fields := funcs.FieldsOf(t)
		hint := "the fields are " + strings.Join(fields, ", ")
		if guess := funcs.Suggestion(field, fields); guess != "" {
			hint = guess + " " + hint
		}
		return fmt.Sprintf("%s has no field %s", article(t.Name()), field), hint
	}
	if m := nilFieldInText.FindStringSubmatch(msg); m != nil {
		kind := strings.Replace(lastPart(m[1]), "interface {}", "value", 1)
		return fmt.Sprintf("the %s whose field %s is read does not exist", kind, m[2]), "put the field inside " + d.Around("with VALUE")
	}
	if m := noEntryInText.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("the map has no entry %s", m[1]), "if the entry is optional, read it with " + d.Around(fmt.Sprintf("index MAP %q", m[1]))
	}
	if m := noMapInText.FindStringSubmatch(msg); m != nil {
		return fmt.Sprintf("the map whose entry %s is read does not exist", m[1]), "put the entry inside " + d.Around("with MAP")
	}
	if strings.HasPrefix(msg, "wrong type for value; expected ") && strings.HasSuffix(msg, "; got watch.NomadItem") {
		return msg, "give the function the item's Value, as in .NAME.Value"
	}
	return msg, ""
}

// Keywords puts the template's own delimiters around the keywords that a message of the parser names.
func (d Delimiters) Keywords(msg string) string {
	return keywordInText.ReplaceAllStringFunc(msg, func(action string) string { return d.Around(strings.Trim(action, "{}")) })
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
	types := make(map[string]reflect.Type)
	for _, known := range []fragment.Types{fragment.Answers, fragment.StructTypes(watch.Secret{})} {
		for t := range known {
			types[t.String()] = t
		}
	}
	return types
}()
