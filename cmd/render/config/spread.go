package config

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"render/cmd/render/config/conf"
	"render/render/pace"

	"render/watch/hint"
)

// spreadTo is of a setting that is another name of one in a block.
func spreadTo(key string) func(any) map[string]any {
	return func(value any) map[string]any { return map[string]any{key: value} }
}

// spreadAuth is of USER[:PASSWORD].
func spreadAuth(value any) map[string]any {
	user, password, _ := strings.Cut(value.(string), ":")
	return map[string]any{"consul.auth.username": user, "consul.auth.password": password}
}

// spreadVerify is of a command or a URL.
func spreadVerify(value any) map[string]any {
	text, url := value.(string), ""
	if isURL(text) {
		text, url = "", text
	}
	return map[string]any{"verify.command": parseCommand(text), "verify.url": url}
}

func isURL(text string) bool {
	return strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://")
}

func isParsable(text string) bool {
	_, err := url.Parse(text)
	return err == nil
}

var waitKind = &kind{
	name:  `MIN[:MAX], as in "2s:10s", or a block`,
	parse: func(s string) (any, error) { return parseWait(s) },
}

func spreadWait(value any) map[string]any {
	w := value.(pace.Wait)
	return map[string]any{"wait.min": w.Min, "wait.max": w.Max, "wait.enabled": w.Min > 0}
}

// parseWait reads MIN[:MAX].
func parseWait(s string) (pace.Wait, error) {
	least, most, both := strings.Cut(s, ":")
	var w pace.Wait
	var err error
	if w.Min, err = time.ParseDuration(least); err != nil {
		return w, wrongWait(s)
	}
	w.Max = 4 * w.Min
	if both {
		if w.Max, err = time.ParseDuration(most); err != nil {
			return w, wrongWait(s)
		}
	}
	if w.Min < 0 || w.Max < w.Min {
		return w, fmt.Errorf("%q: the maximum %s is less than the minimum %s", s, w.Max, w.Min)
	}
	return w, nil
}

func wrongWait(s string) error {
	return hint.With(fmt.Errorf("%q is not a wait", s), "write MIN or MIN:MAX as durations, such as 2s:10s")
}

var guardKind = &kind{
	name:  `its parts, as in "min=2,max_drop=50%", or a block`,
	parse: func(s string) (any, error) { return parseGuard(s) },
}

func spreadGuard(value any) map[string]any {
	parts := map[string]any{"guard.min": 0, "guard.max_drop": 0.0}
	for name, value := range value.(map[string]any) {
		parts["guard."+name] = value
	}
	return parts
}

// parseGuard reads a guard as its String writes it: "min=2,max_drop=50%,hold=5m,then=keep". Each part can be left out, and
// the order is free. An empty text is no guard.
func parseGuard(text string) (map[string]any, error) {
	parts := make(map[string]any)
	if text == "" {
		return parts, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		name, value = strings.ReplaceAll(strings.TrimSpace(name), "-", "_"), strings.TrimSpace(value)
		i := slices.IndexFunc(guardSettings, func(s *Setting) bool { return s.Key == "guard."+name })
		switch _, twice := parts[name]; {
		case i < 0:
			return nil, hint.With(fmt.Errorf("%q: there is no part %q", text, name), "the parts are min, max_drop, hold and then, as in min=2,max_drop=50%")
		case twice:
			return nil, fmt.Errorf("%q: the part %s is there twice", text, name)
		case value == "":
			return nil, fmt.Errorf("%q: the part %s has no value", text, name)
		}
		read, err := guardSettings[i].kind.parse(value)
		if err != nil {
			return nil, fmt.Errorf("%q: %s: %w", text, name, err)
		}
		parts[name] = read
	}
	return parts, nil
}

// mapOf is a block with keys of any name, whose values are of a kind. More such blocks add to it.
func mapOf(of *kind) *kind {
	read := func(v *conf.Value) (any, error) { return readMap[string](v, of) }
	add := addMap[string]
	if of == durationKind {
		read = func(v *conf.Value) (any, error) { return readMap[time.Duration](v, of) }
		add = addMap[time.Duration]
	}
	return &kind{
		name: "a block", forms: []conf.Kind{conf.Object}, private: of.private, read: read, add: add,
		parse: func(string) (any, error) { return nil, errors.New("needs a block of a file") },
	}
}

func readMap[T any](v *conf.Value, of *kind) (map[string]T, error) {
	all := make(map[string]T)
	for _, item := range v.Body.Items {
		value, err := of.readFrom(item.Value)
		if len(item.Labels) > 0 {
			err = errors.New("needs a value, and has a label")
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", item.Name, err)
		}
		all[item.Name] = value.(T)
	}
	return all, nil
}

func addMap[T any](old, more any) any {
	all := maps.Clone(old.(map[string]T))
	maps.Copy(all, more.(map[string]T))
	return all
}

const specHint = "write SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND"

// parseTemplateSpec reads SOURCE[:DESTINATION[:COMMAND]]. Whatever follows the second colon is the command.
func parseTemplateSpec(spec string) (map[string]any, error) {
	if strings.Trim(spec, ": ") == "" {
		return nil, hint.With(errors.New("the value is empty"), specHint)
	}
	parts := slices.Concat(strings.SplitN(spec, ":", 3), []string{"", ""})
	if parts[0] == "" {
		return nil, hint.With(fmt.Errorf("%q has no source", spec), specHint)
	}
	return map[string]any{"source": parts[0], "destination": parts[1], "command": parseCommand(parts[2])}, nil
}
