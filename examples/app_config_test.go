package examples

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// JSON, YAML and the variables of the environment say the same to those who read them, whatever the values are.
func TestAppConfigIsRead(t *testing.T) {
	want := map[string]any{
		"http":  map[string]any{"port": "80", "timeout": "5s"},
		"plain": "text", "empty": "", "lines": "a\n\nb\n", "number": "1e3", "yes": "yes", "null": "null", "date": "2026-11-21",
		"quotes": `'"` + "`", "shell": "$(touch attacked) ${HOME} \\ `id`", "yaml": "- a: b\n# c", "json": `{"a": 1}`, "spaces": "  a  ", "letters": "é\u2028",
		"path": "/attacker", "end": "a'\nSHOP_ATTACKER='1",
	}
	keys := map[string]string{"config/default/http/port": "1", "config/default/http/timeout": "5s", "config/shop/http/port": "80"}
	for name, value := range want {
		if text, ok := value.(string); ok {
			keys["config/shop/"+name] = text
		}
	}
	catalog, err := json.Marshal(map[string]any{"keys": keys}) // which is YAML, too
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	fixture := filepath.Join(dir, "catalog.yaml")
	write(t, fixture, catalog)

	var got map[string]any
	text, err := renderExample(t, "app-config/config.json.ctmpl", fixture)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("JSON: %v\ngot  %v\nwant %v", err, got, want)
	}

	got = nil
	if text, err = renderExample(t, "app-config/config.yaml.ctmpl", fixture); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("YAML: %v\ngot  %v\nwant %v", err, got, want)
	}

	if text, err = renderExample(t, "app-config/shop.env.ctmpl", fixture); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "shop.env"), text)
	want["http_port"], want["http_timeout"] = "80", "5s"
	delete(want, "http")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "set -a; . ./shop.env; env -0")
	cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin"}
	said, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	read := make(map[string]any)
	for variable := range strings.SplitSeq(string(said), "\x00") {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "SHOP_") {
			read[strings.ToLower(strings.TrimPrefix(name, "SHOP_"))] = value
		}
	}
	if !reflect.DeepEqual(read, want) {
		t.Errorf("sh:\ngot  %q\nwant %q", read, want)
	}
}

// The name of a key gets no line of its own into the file.
func TestAppConfigHostileNames(t *testing.T) {
	catalog, err := json.Marshal(map[string]any{"keys": map[string]string{
		"config/shop/a": "1", "config/shop/b=$(id)": "2", "config/shop/c\nPATH": "3", "config/shop/D": "4", "config/shop/1": "5", "config/shop/e/f-g": "6",
	}})
	if err != nil {
		t.Fatal(err)
	}
	fixture := filepath.Join(t.TempDir(), "catalog.yaml")
	write(t, fixture, catalog)
	text, err := renderExample(t, "app-config/shop.env.ctmpl", fixture)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line != "SHOP_A='1'\n" && !strings.HasPrefix(line, "# ") {
			t.Errorf("the line %q is not the recipe's", line)
		}
	}
}
