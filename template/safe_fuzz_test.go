package template_test

import (
	"encoding/json"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v3"
)

// What hostport gives is an address, and one word in any format.
func FuzzHostport(f *testing.F) {
	for _, c := range [][2]string{{"10.0.0.1", "80"}, {"::1", "65535"}, {"web-1.example.", "1"}, {"fe80::1%x", "80"}, {"unix", "80"}, {"a;b", "8 0"}} {
		f.Add(c[0], c[1])
	}
	word := regexp.MustCompile(`^(?:[\w.-]+|\[[0-9a-f:.]+\]):[1-9][0-9]{0,4}$`)
	tmpl := parse(f, `{{hostport (key "address") (key "port")}}`)
	f.Fuzz(func(t *testing.T, address, port string) {
		r := tmpl.Execute(t.Context(), answers{kv("address"): address, kv("port"): port}.lookup)
		got := string(r.Output)
		if r.Err != nil || len(r.Dropped) > 1 || (got == "") != (len(r.Dropped) == 1) {
			t.Fatalf("got %q, dropped %v, error %v", got, r.Dropped, r.Err)
		}
		if got == "" {
			return
		}
		if _, _, err := net.SplitHostPort(got); err != nil || !word.MatchString(got) || strings.HasPrefix(strings.ToLower(got), "unix:") {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func addHostile(f *testing.F) {
	for _, text := range hostile()[:200] {
		f.Add(text)
	}
}

func FuzzShellQuote(f *testing.F) {
	addHostile(f)
	f.Fuzz(func(t *testing.T, text string) {
		token, err := quote(t, "shellQuote", text)
		if (err != nil) != strings.Contains(text, "\x00") {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		cmd := exec.CommandContext(t.Context(), "sh")
		cmd.Stdin = strings.NewReader("printf '%s|' " + token + " end\n")
		if out, err := cmd.Output(); err != nil || string(out) != text+"|end|" {
			t.Errorf("%s came back as %q, %v", token, out, err)
		}
	})
}

func FuzzJSONQuote(f *testing.F) {
	fuzzDocument(f, "jsonQuote", `{"a": TOKEN, "b": {TOKEN: 1}, "c": "end"}`, json.Unmarshal)
}

func FuzzYAMLQuote(f *testing.F) {
	fuzzDocument(f, "yamlQuote", "a: TOKEN\nb: {? TOKEN : 1}\nc: end\n", func(b []byte, v any) error { return yaml.Unmarshal(b, v) })
}

func FuzzTOMLQuote(f *testing.F) {
	fuzzDocument(f, "tomlQuote", "a = TOKEN\nb = {TOKEN = 1}\nc = \"end\"\n", toml.Unmarshal)
}

// fuzzDocument puts tokens into a document, as a value and as a key, and reads it with the parser of its format.
func fuzzDocument(f *testing.F, quoter, document string, unmarshal func([]byte, any) error) {
	addHostile(f)
	f.Fuzz(func(t *testing.T, text string) {
		token, err := quote(t, quoter, text)
		if (err != nil) == utf8.ValidString(text) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		var got struct {
			A string         `json:"a" yaml:"a" toml:"a"`
			B map[string]int `json:"b" yaml:"b" toml:"b"`
			C string         `json:"c" yaml:"c" toml:"c"`
		}
		err = unmarshal([]byte(strings.ReplaceAll(document, "TOKEN", token)), &got)
		if err != nil || got.A != text || len(got.B) != 1 || got.B[text] != 1 || got.C != "end" {
			t.Errorf("%s came back as %+v, %v", token, got, err)
		}
	})
}
