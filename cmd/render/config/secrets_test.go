package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

const canary = "hunter2"

// spoiled are ways to write a secret, NAME and the canary, wrongly in HCL.
var spoiled = []string{
	`NAME = hunter2`, `NAME = 'hunter2'`, `NAME = "hunter2`, `NAME = hunter2"`, `NAME = "x"hunter2"`, `NAME = "x" hunter2`, `NAME = "hunter2\q"`,
	`NAME = "hunter2" "x"`, `NAME = "${hunter2"`, `NAME "hunter2"`, `NAME "hunter2" {}`, `NAME "x" "hunter2" {}`, `NAME: "hunter2"`, `NAME: hunter2`, `NAME hunter2`,
	`NAME = hunter2 {}`, `NAME = $hunter2`, `NAME = ${hunter2}`, `NAME = 1hunter2`, `NAME = "hunter2" bogus = 1`, `NAME = "hunter2", , x = 1`, `NAME = hunter2;`,
	`NAME = ["hunter2" "x"]`, `NAME = ["hunter2", 5]`, `NAME = ["hunter2"`, `NAME = ["x", hunter2]`, `NAME = "hunter2]`, `NAME = ["A=1", "hunter2"]`, `NAME = "A=1,hunter2"`,
	`NAME = { a = "hunter2" }`, `NAME = [{ a = "hunter2" }]`, `NAME = ["A=hunter2"] }`, `NAME = "hunter2" backup = 5`, `backup = 5 NAME = "hunter2"`, `max_stale = 5s NAME = "hunter2"`,
	"NAME =\n  hunter2", "NAME =\n  \"hunter2\" \"x\"", "NAME\n  \"hunter2\" {}", "NAME\n  \"hunter2\"", "NAME = <<EOF\nhunter2\nEOF x\n", "NAME = <<EOF\nhunter2\n", "NAME = <<hunter2\nx\nhunter2 \n",
	"NAME = [\n  \"A=1\",\n  \"B=hunter2\"\n  \"C=1\"\n]", "NAME = [\n  \"A=1\",\n  B=hunter2\"\n]", "NAME = [\n  \"A=1\",\n  \"B=hunter2,\n  \"C=1\"\n]", "NAME = [\n  \"A=1\",\n  hunter2\",\n]",
	"NAME = [\n  \"A=hunter2\" ] pid_file = 5", "NAME = [\n  \"A=1\",\n  \"A=hunter2\"] bogus = 5", "NAME = [\n  \"A=1\",\n  \"B=hunter2\", 5\n]", "NAME = [\n  \"A=1\",\n  \"hunter2\"\n]",
	`NAMES = "hunter2"`, `NAMES = hunter2`, "NAMES {\n  a = \"hunter2\"\n}", "NAMES = [\n \"hunter2\"\n]", `NAMES "hunter2" {}`, `bogus = { NAME = "hunter2" }`,
}

// spoiledJSON is the same in JSON.
var spoiledJSON = []string{
	`"NAME": hunter2`, `"NAME": 'hunter2'`, `"NAME": "hunter2`, `"NAME": hunter2"`, `"NAME": "x"hunter2"`, `"NAME": "hunter2\q"`, `"NAME": "hunter2" "x"`, `"NAME" "hunter2"`, `"NAME" hunter2`,
	`"NAME": "hunter2",`, `"NAME": ["hunter2" "x"]`, `"NAME": ["hunter2", 5]`, `"NAME": ["hunter2",]`, `"NAME": ["hunter2"`, `"NAME": {"a": "hunter2"}`, `"NAME": [{"a": "hunter2"}]`, `"NAMES": "hunter2"`,
	"\"NAME\":\n  hunter2", "\"NAME\":\n  \"hunter2\" \"x\"", "\"NAME\": [\n  \"A=hunter2\"\n  \"B=1\"\n]", `"NAME": "hunter2", "bogus": 1`, `"NAME": ["A=1", "hunter2"]`, "\"NAME\": \"hunter2\t\"",
	`"NAME": "\u00zzhunter2"`, `"NAME": 0hunter2`, `"NAME": "hunter2", "max_stale": 5`, `NAME: "hunter2"`, `"NAME" = "hunter2"`,
}

// secrets are the settings whose values must not be shown, with the names of the blocks that they are in.
func secrets() (all [][]string) {
	for block, settings := range map[string][]*Setting{"": globalSettings, "template": templateSettings, `action "a"`: actionSettings} {
		for _, s := range settings {
			if s.kind.private {
				all = append(all, strings.Split(strings.TrimPrefix(block+"."+s.Key, "."), "."))
			}
		}
	}
	for _, old := range []string{"token", "auth"} {
		all = append(all, []string{old})
	}
	slices.SortFunc(all, slices.Compare)
	return all
}

// TestSecretsAreNotShown writes each secret wrongly in all ways, and looks for it in what users are told.
func TestSecretsAreNotShown(t *testing.T) {
	clearVariables(t)
	t.Chdir(t.TempDir())
	number := 0
	try := func(what string, args ...string) {
		number++
		_, l, err := outcomeOf(args...)
		said := fmt.Sprint(err)
		said += strings.Join(l.Warn, "\n") + strings.Join(l.Debug, "\n")
		if wrong, ok := errors.AsType[*Error](err); ok {
			said += wrong.Excerpts()
		}
		if strings.Contains(said, canary) {
			t.Errorf("%s\nis reported with\n%s", what, said)
		}
	}
	for _, path := range secrets() {
		blocks, name := path[:len(path)-1], path[len(path)-1]
		for _, way := range spoiled {
			text := strings.ReplaceAll(way, "NAME", name)
			lines := text
			for _, block := range slices.Backward(blocks) {
				text, lines = block+" { "+text+" }", block+" {\n"+lines+"\n}"
			}
			for _, text := range []string{text, lines, "pid_file = \"p\"\n" + lines + "\nmax_stale = 5\n", "token = \"x\"\n" + lines} {
				config(t, "a.hcl", text)
				try(text, "--once", "--config", "a.hcl")
				t.Setenv(LocalConfig, text)
				try("CT_LOCAL_CONFIG="+text, "--once")
				t.Setenv(LocalConfig, "")
			}
		}
		for _, way := range spoiledJSON {
			text := strings.ReplaceAll(way, "NAME", name)
			lines := text
			for _, block := range slices.Backward(blocks) {
				block = strings.ReplaceAll(block, `action "a"`, `action": {"a`)
				end := strings.Repeat("}", 1+strings.Count(block, "{"))
				text, lines = `"`+block+`": { `+text+" "+end, `"`+block+"\": {\n"+lines+"\n"+end
			}
			for _, text := range []string{"{" + text + "}", "{\n" + lines + "\n}", "{" + text} {
				config(t, "a.json", text)
				try(text, "--once", "--config", "a.json")
			}
		}
	}
	for _, s := range WithFlags() {
		if s.kind.private {
			try("--"+s.Flag, "--once", "--"+s.Flag, canary, "--timeout", "0", "--kill-signal", "SIGHUP", "--max-stale", "1s")
			try("--"+s.Flag, "--once", "--"+s.Flag+"="+canary, "--max-stale", "5")
			try("--"+s.Flag+"s", "--once", "--"+s.Flag+"s="+canary)
		}
		for _, variable := range s.Env {
			if s.kind.private {
				t.Setenv(variable, canary)
				try("$"+variable, "--kill-signal", "SIGHUP")
				t.Setenv(variable, "")
			}
		}
	}
	for _, old := range slices.Sorted(maps.Keys(OldFlags)) {
		if i := slices.IndexFunc(WithFlags(), func(s *Setting) bool { return s.Flag == OldFlags[old] }); WithFlags()[i].kind.private {
			try("--"+old, "--once", "--"+old, canary, "--kill-signal", "SIGHUP")
		}
	}
	t.Logf("%d cases", number)
}

// TestPasswordsOfURLsAreNotShown: a URL can have one, wherever it stands.
func TestPasswordsOfURLsAreNotShown(t *testing.T) {
	clearVariables(t)
	t.Chdir(t.TempDir())
	for _, text := range []string{
		`consul { address = "http://user:hunter2@host" adress = 1 }`,
		`consul { address = "http://user:hunter2@host" max_connections = "x" }`,
		`consul = "http://user:hun/hunter2@host" log_level = "x" log_format = "y"`,
		`consul = "http://user:hunter2@host" log_level = 'x'`,
		`verify = "ftp://user:hunter2@host" bogus = 1`,
		`verify { url = "ftp://user:hunter2@host" } template { contents = "x" destination = "y" }`,
		`verify { url = "http://user:hunter2@host:port" } template { contents = "x" destination = "y" }`,
		`template { contents = "x" destination = "y" command = "curl http://user:hunter2@host" comand = "x" }`,
	} {
		config(t, "a.hcl", text)
		_, _, err := outcomeOf("--once", "--config", "a.hcl")
		wrong, ok := errors.AsType[*Error](err)
		if !ok || strings.Contains(wrong.Error()+wrong.Excerpts(), "hunter2") || !strings.HasPrefix(wrong.Error(), "a.hcl:1:") {
			t.Errorf("%s\nis reported with\n%v", text, err)
			if ok {
				t.Errorf("and\n%s", wrong.Excerpts())
			}
		}
	}
}
