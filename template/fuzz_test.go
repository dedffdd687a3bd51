package template_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"render/template"
	"render/watch"
)

// long matches numbers that can make a loop too long to wait for: of four digits, in another notation, and characters.
var long = regexp.MustCompile(`\d{4}|\d[xXoObB_eEpP]|'`)

// Whatever the text is, parsing and executing it does not panic, and a pass is finished, failed, or waits for a key.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		`{{range services}}{{range service .Name}}{{.Address}}:{{.Port}}{{end}}{{else}}none{{end}}`,
		`{{define "a"}}{{key .}}{{end}}{{template "a" "k"}}{{block "b" 1}}{{.}}{{end}}`,
		`{{with $x := keyOrDefault "none" "d"}}{{$x | toUpper | printf "%q"}}{{else with ls "app"}}{{.}}{{end}}`,
		`{{range $i, $k := tree "app/"}}{{if eq $i 1}}{{break}}{{end}}{{$k.Key}}={{$k.Value | toJSON}}{{end}}`,
		`{{(parseJSON "{\"a\":[1,2.5]}").a | toJSONPretty}}{{index (split "," "a,b") 1}}{{in "abc" "b"}}`,
		`{{/* comment */ -}} {{- "x" | base64Encode | base64Decode }}{{regexReplaceAll "(a)" "$1$1" "banana"}}`,
		`{{(node "n").Node.Node}}{{nodes}}{{datacenters true}}{{file "/etc/x"}}{{mustEnv "HOME"}}`,
		`{{with secret "s"}}{{.Data.data.a.b | toUpper}}{{set .Data "n" 1}}{{.Auth.ClientToken}}{{end}}{{secretOrDefault "s" "n" "d"}}{{secretExists "s"}}{{secrets "s"}}`,
		`{{$c := pkiCert "c" "common_name=x"}}{{$c.Cert}}{{with $c.Data}}{{.CAChain}}{{end}}{{secret "w" "a=b"}}{{vault "w" "x" "a=b"}}`,
		`{{key "absent"}}{{service "web|bogus"}}`, `{{`, `{{end}}`, `{{range 3}}{{.}}{{end}}`, `{{call (key "k")}}`, "a\r\n\x00\xff",
	} {
		f.Add(text)
	}
	known := answers{
		kv("k"):                     "value",
		query("services", "", ""):   []*watch.CatalogSnippet{{Name: "web"}},
		service("web"):              []*watch.HealthService{{ID: "web-1", Address: "10.0.0.1", Port: 80, Tags: watch.ServiceTags{"a"}}},
		query("prefix", "app/", ""): []*watch.KeyPair{{Path: "app/a", Key: "a", Value: "A"}, {Path: "app/b", Key: "b"}},
		query("nodes", "", ""):      []*watch.Node{{Node: "n"}},
		query("secret", "s", ""):    &watch.Secret{Data: map[string]any{"data": map[string]any{"a": map[string]any{"b": "c"}}, "n": json.Number("1")}, Auth: &watch.SecretAuth{ClientToken: "t"}},
		query("secrets", "s", ""):   []string{"a", "b/"},
		query("node", "n", ""):      &watch.CatalogNode{Node: &watch.Node{Node: "n"}},
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "range") > 3 || strings.Contains(text, "range") && long.MatchString(text) {
			t.Skip("can loop for too long")
		}
		tmpl, err := template.Parse("t", text, template.Options{Env: testEnv})
		if err != nil {
			if said := err.Error(); !strings.HasPrefix(said, "t:") {
				t.Errorf("an error without a place: %s", said)
			}
			return
		}
		r := tmpl.Execute(t.Context(), func(q watch.Query) (any, bool) {
			switch q.Kind {
			case watch.KindSecretWrite:
				return (*watch.Secret)(nil), true
			case watch.KindPKICert:
				return &watch.PKICert{Cert: "c", CAChain: []string{"a"}}, true
			}
			return known[q], true
		})
		if len(r.Pending) > 0 || r.Finished() != (r.Output != nil) || !r.Finished() && r.Err == nil && len(r.Absent) == 0 {
			t.Errorf("got %+v", r)
		}
		if r.Err != nil && (!strings.HasPrefix(r.Err.Error(), "t:") || strings.Contains(r.Err.Error(), template.SiteMark) && !strings.Contains(text, template.SiteMark)) {
			t.Errorf("the error is %s", r.Err)
		}
		for _, q := range r.Used {
			if where := tmpl.Where(q); !strings.HasPrefix(where, "t:") {
				t.Errorf("%s is asked at %s", q, where)
			}
		}
	})
}
