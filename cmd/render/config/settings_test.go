package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"render/cmd/render/filetest"
)

// A settingCase is a setting, a value of it in HCL and in JSON, and what that comes to: where the plan is other than without it.
type settingCase struct {
	key, value string
	want       string
	with       []string // KEY=VALUE, without which it does not count
}

func with(settings ...string) []string { return settings }

// inBlocks writes a setting as a file has it, in HCL or in JSON.
func inBlocks(key, value string, asJSON bool) string {
	names := strings.Split(key, ".")
	open, end := " { ", " }"
	text := names[len(names)-1] + " = " + strings.ReplaceAll(value, `": `, `" = `)
	if asJSON {
		open, end, text = `": {`, "}", `"`+names[len(names)-1]+`": `+value
	}
	for _, name := range slices.Backward(names[:len(names)-1]) {
		text = name + open + text + end
		if asJSON {
			text = `"` + text
		}
	}
	return text
}

// settingFiles are a file without a setting, and two with it: in HCL and in JSON. What else has to be set for it to count is in all.
func settingFiles(block string, c settingCase) (without, inHCL, inJSON string) {
	base := []string{`source="in"`, `destination="out"`}
	if block == "action" {
		base = append(base, `action="a"`)
	}
	base = slices.DeleteFunc(base, func(s string) bool {
		return strings.HasPrefix(s, c.key+"=") || c.key == "contents" && strings.HasPrefix(s, "source=")
	})
	write := func(asJSON bool, settings ...string) string {
		var all []string
		for _, s := range settings {
			key, value, _ := strings.Cut(s, "=")
			all = append(all, inBlocks(key, value, asJSON))
		}
		if asJSON {
			return strings.Join(all, ", ")
		}
		return strings.Join(all, " ")
	}
	file := func(asJSON bool, base, settings []string) string {
		blocks := map[string][]string{"template": base, "action": nil, "": nil}
		blocks[block] = append(blocks[block], settings...)
		template, action, top := write(asJSON, blocks["template"]...), write(asJSON, blocks["action"]...), write(asJSON, blocks[""]...)
		if asJSON {
			return strings.TrimSuffix(`{"template": {`+template+`}, "action": {"a": {`+action+`}}, `+top, ", ") + `}`
		}
		return strings.TrimSpace(`template { ` + template + ` } action "a" { ` + action + ` } ` + top)
	}
	with := append(slices.Clone(c.with), c.key+"="+c.value)
	all := append([]string{`source="in"`, `destination="out"`}, base[min(len(base), 2):]...)
	if block == "action" {
		all = base
	}
	return file(false, all, c.with), file(false, base, with), file(true, base, with)
}

// idleValues are values for settings without effect.
var idleValues = map[*kind]string{
	textKind: `"x"`, secretKind: `"x"`, boolKind: "true", numberKind: "17", portionKind: "0.5", durationKind: `"7s"`, signalKind: `"SIGUSR2"`,
}

// TestSettings tries each setting in HCL, in JSON, as a flag and as a variable: it has its effect, or users are told that it has none.
func TestSettings(t *testing.T) {
	clearVariables(t)
	t.Chdir(t.TempDir())
	number := 0
	for _, schema := range []struct {
		name     string
		settings []*Setting
		cases    []settingCase
	}{{"", globalSettings, slices.Concat(globalCases, vaultCases, nomadCases)}, {"template", templateSettings, templateCases}, {"action", actionSettings, actionCases}} {
		tried := make(map[string]bool)
		for _, c := range schema.cases {
			i := slices.IndexFunc(schema.settings, func(s *Setting) bool { return s.Key == c.key })
			if i < 0 {
				t.Errorf("there is no setting %s %s", schema.name, c.key)
				continue
			}
			tried[c.key] = true
			number += trySetting(t, schema.name, schema.settings[i], c)
		}
		for _, s := range schema.settings {
			switch {
			case s.Idle != "":
				number += trySetting(t, schema.name, s, settingCase{key: s.Key, value: idleValues[s.kind]})
			case s.Key != "" && !tried[s.Key]:
				t.Errorf("no case tries the setting %s %s", schema.name, s.Key)
			}
		}
	}
	t.Logf("%d cases", number)
}

// trySetting tries a setting, and returns in how many ways.
func trySetting(t *testing.T, block string, s *Setting, c settingCase) (ways int) {
	without, inHCL, inJSON := settingFiles(block, c)
	name := strings.TrimSpace(block + " " + c.key)
	config(t, "without.hcl", without)
	before, _, err := outcomeOf("--config", "without.hcl")
	filetest.Check(t, err)
	compare := func(way, place string, args ...string) {
		ways++
		p, l, err := outcomeOf(args...)
		if err != nil {
			t.Errorf("%s, %s: %v", name, way, err)
			return
		}
		got := strings.Join(strings.Split(strings.TrimSpace(difference(p, before)), "\n"), "; ")
		if got != c.want {
			t.Errorf("%s, %s: got\n%s\nwant\n%s", name, way, got, c.want)
		}
		switch {
		case s.Idle != "" && (len(l.Warn) != 1 || !strings.HasSuffix(l.Warn[0], " has no effect: "+s.Idle) || !strings.Contains(l.Warn[0], place)):
			t.Errorf("%s, %s: it has no effect, and users read %q", name, way, l.Warn)
		case s.Now != "":
			if len(l.Warn) != 1 || !strings.HasSuffix(l.Warn[0], " is an old form of "+s.Now) {
				t.Errorf("%s, %s: it is an old form, and users read %q", name, way, l.Warn)
			}
		case s.Idle == "" && len(l.Warn) > 0:
			t.Errorf("%s, %s: users read %q", name, way, l.Warn)
		case (got == "") != (s.Idle != ""):
			t.Errorf("%s, %s: the effect is %q", name, way, got)
		}
	}
	config(t, "with.hcl", inHCL)
	compare("HCL", "with.hcl:1:", "--config", "with.hcl")
	upper := regexp.MustCompile(`\b`+regexp.QuoteMeta(c.key[strings.LastIndexByte(c.key, '.')+1:])+` = `).ReplaceAllStringFunc(inHCL, strings.ToUpper)
	config(t, "upper.hcl", upper)
	compare("HCL in capitals", "upper.hcl:1:", "--config", "upper.hcl")
	config(t, "with.json", inJSON)
	compare("JSON", "with.json:1:", "--config", "with.json")
	if s.Flag != "" && block == "" {
		flags := flagTexts(t, s, c.value)
		compare("flag", "--"+s.Flag, slices.Concat([]string{"--config", "without.hcl"}, flags)...)
		for i := range flags {
			flags[i] = strings.TrimPrefix(flags[i], "-")
		}
		compare("flag with one dash", s.Flag, slices.Concat([]string{"--config", "without.hcl"}, flags)...)
	}
	for _, variable := range s.Env {
		if block != "" {
			break
		}
		t.Setenv(variable, strings.Join(textsOf(t, c.value), ","))
		compare("$"+variable, "", "--config", "without.hcl")
		t.Setenv(variable, "")
	}
	return ways
}

func config(t *testing.T, name, text string) {
	t.Helper()
	filetest.Check(t, os.WriteFile(filepath.Join(".", name), []byte(text), 0o644))
}

// textsOf are the texts of a value in JSON.
func textsOf(t *testing.T, value string) []string {
	var v any
	filetest.Check(t, json.Unmarshal([]byte(value), &v))
	if list, ok := v.([]any); ok {
		var all []string
		for _, e := range list {
			all = append(all, fmt.Sprint(e))
		}
		return all
	}
	return []string{fmt.Sprint(v)}
}

// flagTexts are the flags that set a value.
func flagTexts(t *testing.T, s *Setting, value string) (all []string) {
	for _, text := range textsOf(t, value) {
		all = append(all, "--"+s.Flag+"="+text)
	}
	return all
}
