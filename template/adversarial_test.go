package template_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"render/template"
	"render/watch"
)

// Answers that nobody wants to see end with output or a clear error: no panic, no endless memory.
func TestAdversarialAnswers(t *testing.T) {
	values := map[string]string{
		"empty":         "",
		"NUL":           "a\x00b\x00",
		"invalid UTF-8": "\xff\xfe\xc3(",
		"controls":      "\x1b[2J\r\n\t\v\f\u2028\u202e",
		"syntax":        `{{key "x"}}'"\;{}$#<&>` + "`",
		"deep JSON":     strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000),
		"big number":    `{"a": 1` + strings.Repeat("0", 10_000) + `}`,
		"10 MB":         strings.Repeat("x, y=z/\n", 10<<20/8),
	}
	texts := []string{
		`{{key "k"}}{{keyOrDefault "k" "d"}}`,
		`{{range ls "p/"}}{{.Key}} {{.Value}} {{.Path}}{{end}}{{len (tree "p/")}}`,
		`{{range service "web"}}{{.Name}} {{.Address}} {{.Tags}} {{.ServiceMeta}} {{.ServiceMeta.x}}{{end}}`,
		`{{range services}}{{.Name}}{{range service .Name}}{{.ID}}{{end}}{{end}}`,
		`{{service (key "k")}}`, `{{key (key "k")}}`, `{{file (key "k")}}`, `{{node (key "k")}}`,
		`{{key "k" | parseJSON | toJSON}}`, `{{key "k" | toJSONPretty}}`,
		`{{key "k" | base64Encode | base64Decode}}`, `{{key "k" | base64Decode}}`,
		`{{key "k" | split "," | join ";"}}`, `{{key "k" | toUpper | toLower | toTitle}}`,
		`{{key "k" | replaceAll "x" "yy"}}`, `{{key "k" | regexReplaceAll "[a-z]+" "z"}}`, `{{regexMatch (key "k") "x"}}`,
		`{{key "k" | parseInt}}`, `{{key "k" | parseFloat}}`, `{{key "k" | parseBool}}`,
		`{{key "k" | trimSpace | trim "x" | trimPrefix "a" | trimSuffix "b"}}`, `{{in (key "k") "y"}}`,
		`{{index (key "k") 1}}`, `{{slice (key "k") 1 2}}`, `{{html (key "k")}}{{js (key "k")}}{{urlquery (key "k")}}`,
		`{{range service "web"}}{{hostport .}}{{.ID | shellQuote}}{{end}}`, `{{key "k" | nginxQuote}}`, `{{key "k" | haproxyQuote}}`,
		`{{key "k" | jsonQuote}}`, `{{key "k" | yamlQuote}}`, `{{key "k" | tomlQuote}}`,
		`{{key "k" | parseYAML | toYAML}}`, `{{key "k" | parseJSON | toTOML}}`, `{{key "k" | sha256Hex}}{{key "k" | md5sum}}`,
		`{{tree "p/" | explode | toJSON}}`, `{{tree "p/" | byKey | toJSON}}`, `{{service "web" | byTag | toJSON}}`, `{{service "web" | byMeta "x"}}`,
		`{{service "web" | where "ServiceMeta.x" "v" | sortBy "Name" | groupBy "Address" | len}}`, `{{key "k" | indent 2}}`,
		`{{add 1 (key "k")}}`, `{{range loop (key "k")}}{{.}}{{end}}`, `{{scratch.Set "k" (key "k")}}{{scratch.Get "k"}}`,
		`{{key "k" | sprig_fromJson | sprig_toJson}}`, `{{key "k" | sprig_abbrev 10}}`, `{{key "k" | sprig_quote}}`, `{{key "k" | splitToMap "," "="}}`,
		`{{service (name (key "k")) (tag (key "k"))}}`, `{{connect (key "k")}}`, `{{safeTree (key "k")}}`, `{{spew_sdump (service "web")}}`,
		`{{printf "%d %s %v %q" (key "k") (service "web") (key "k") (key "k") | len}}`,
	}
	for name, value := range values {
		t.Run(name, func(t *testing.T) {
			for i, text := range texts {
				if len(value) > 1<<20 && i%13 > 0 { // a large value takes its time with the race detector
					continue
				}
				tmpl, err := template.Parse("t", text, template.Options{})
				if err != nil {
					t.Fatal(err)
				}
				r := tmpl.Execute(t.Context(), answersOf(value, 3))
				if (r.Err == nil) != (r.Output != nil) {
					t.Errorf("%s: output of %d bytes and error %v", text, len(r.Output), r.Err)
				}
				if r.Err != nil && len(r.Err.Error()) > 1000 {
					t.Errorf("%s: an error of %d bytes", text, len(r.Err.Error()))
				}
			}
		})
	}
}

func TestVeryManyInstances(t *testing.T) {
	const n = 100_000
	tmpl, err := template.Parse("t", `{{range service "web"}}{{.Address}}:{{.Port}} {{.ServiceMeta.x}};{{end}}{{len (service "web")}}{{len (tree "p/")}}`, template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lookup := answersOf("v", n)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := tmpl.Execute(t.Context(), lookup)
	runtime.ReadMemStats(&after)
	if r.Err != nil || !strings.HasSuffix(string(r.Output), fmt.Sprint(n, n)) && !strings.HasSuffix(string(r.Output), fmt.Sprintf("%d%d", n, n)) {
		t.Fatalf("%d bytes, %v", len(r.Output), r.Err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 200<<20 {
		t.Errorf("allocated %d MB for %d MB of output", used>>20, len(r.Output)>>20)
	}
}

// answersOf answers every query with a value, and with n of what is a list.
func answersOf(value string, n int) template.Lookup {
	var instances []*watch.HealthService
	var pairs []*watch.KeyPair
	for i := range n {
		instances = append(instances, &watch.HealthService{
			Name: value, ID: value, Address: value, Port: i, Tags: watch.ServiceTags{value}, ServiceMeta: map[string]string{"x": value},
		})
		pairs = append(pairs, &watch.KeyPair{Path: "p/" + value, Key: value, Value: value})
	}
	return func(q watch.Query) (any, bool) {
		switch q.Kind {
		case watch.KindKV, watch.KindFile:
			return value, true
		case watch.KindService:
			return instances, true
		case watch.KindServices:
			return []*watch.CatalogSnippet{{Name: "web", Tags: watch.ServiceTags{value}}}, true
		case watch.KindPrefix:
			return pairs, true
		}
		return nil, true
	}
}
