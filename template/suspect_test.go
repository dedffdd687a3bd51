package template_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"render/template"
	"render/watch"
)

// places returns the suspects of a result as texts.
func places(r template.Result) (all []string) {
	for _, s := range r.Suspect {
		what := "name"
		switch {
		case strings.Contains(s.Why, "<no value>"):
			what = "value"
		case strings.Contains(s.Why, "address"):
			what = "address"
		}
		all = append(all, s.Place()+" "+what)
	}
	return all
}

// A field directly below Data is mostly one of a secret of KV version 2, and the suspect says where its fields are.
func TestSuspectData(t *testing.T) {
	for text, want := range map[string]bool{
		`{{with dict "Data" (dict "a" 1)}}{{.Data.user}}{{end}}`:                    true,
		`{{with dict "Data" (dict "data" (dict "a" 1))}}{{.Data.data.user}}{{end}}`: false,
		`{{with dict "a" 1}}{{.Database}}{{end}}`:                                   false,
	} {
		r := parse(t, text).Execute(t.Context(), answers{}.lookup)
		if len(r.Suspect) != 1 || strings.Contains(r.Suspect[0].Why, "KV version 2") != want {
			t.Errorf("%s: got %+v", text, r.Suspect)
		}
	}
}

func TestSuspect(t *testing.T) {
	known := answers{
		kv("json"): `{"a": 1, "null": null}`, kv("empty"): "", kv("odd"): "x<no value>",
		service("web"): []*watch.HealthService{{ID: "a"}, {ID: "b"}}, service("none"): []*watch.HealthService{},
	}
	for _, c := range []struct {
		text, output string
		want         []string
	}{
		// A value that does not exist.
		{"{{.}}", "<no value>", []string{"t:1:3 value"}},
		{"a\n  {{.x}}", "a\n  <no value>", []string{"t:2:5 value"}},
		{`{{with key "json" | parseJSON}}{{.a}} {{.b}}{{end}}`, "1 <no value>", []string{"t:1:41 value"}},
		{`{{with key "json" | parseJSON}}{{.null}}{{end}}`, "<no value>", []string{"t:1:34 value"}},
		{`{{range service "web"}}{{$.x}}{{end}}`, "<no value><no value>", []string{"t:1:26 value"}},
		{`{{.x}}{{.y}}{{.x}}`, "<no value><no value><no value>", []string{"t:1:3 value", "t:1:9 value", "t:1:15 value"}},
		{`{{define "d"}}{{.}}{{end}}{{template "d"}}{{executeTemplate "d"}}`, "<no value><no value>", []string{"t:1:17 value"}},
		{`{{$x := executeTemplate "d"}}{{.}}{{define "d"}}-{{end}}`, "<no value>", []string{"t:1:32 value"}},
		{`{{if true}}{{scratch.Get "k"}}{{end}}{{list}}`, "<no value>[]", []string{"t:1:14 value"}},

		// What is there.
		{"<no value>", "<no value>", nil},
		{`{{"a"}}<no value>{{"b"}}`, "a<no value>b", nil},
		{"{{.}}<no value>{{/* c */}}", "<no value><no value>", []string{"t:1:3 value"}},
		{`{{key "odd"}}{{key "empty"}}{{""}}`, "x<no value>", nil},
		{`{{if .x}}{{.x}}{{end}}{{with .y}}{{.}}{{end}}{{.x | default "d"}}`, "d", nil},
		{`{{$x := print .}}{{if eq $x "<no value>"}}{{end}}`, "", nil},

		// A service without a name.
		{`{{range service}}x{{end}}`, "", []string{"t:1:9 name"}},
		{`{{range service ""}}x{{end}}`, "", []string{"t:1:9 name"}},
		{`{{range service (key "empty")}}x{{end}}{{connect ""}}`, "[]", []string{"t:1:9 name", "t:1:42 name"}},
		{`{{range service (name "")}}x{{end}}`, "", []string{"t:1:9 name"}},
		{`{{range service "web"}}{{service ""}}{{end}}`, "[][]", []string{"t:1:26 name"}},
		{`{{range service "none"}}x{{end}}{{range services}}x{{end}}`, "", nil},
	} {
		known[query(watch.KindServices, "", "")] = []*watch.CatalogSnippet{}
		tmpl := parse(t, c.text)
		for range 2 { // an execution knows nothing of the one before
			r := tmpl.Execute(t.Context(), known.lookup)
			if got := places(r); string(r.Output) != c.output || r.Err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s\n got %q, %v, %v\nwant %q, %v", c.text, r.Output, r.Err, got, c.output, c.want)
			}
		}
	}
}

// The suspect of a field that does not exist names the field, and says what to do.
func TestSuspectFields(t *testing.T) {
	read, _ := watch.NewSecret("s")
	variable := watch.NewNomadVar(watch.NomadVarMeta{Path: "v"}, map[string]string{"user": "shop", "empty": ""})
	known := answers{read: &watch.Secret{Data: map[string]any{"data": map[string]any{"user": "shop"}}}, query(watch.KindNomadVar, "v", ""): variable}
	const then = "; correct its name, add it, or put it inside {{with FIELD}} if it is optional"
	const nope = `the field "nope" does not exist, and <no value> is printed in its place` + then
	const item = `the item "nope" of the Nomad variable does not exist, and nothing is printed in its place` + then
	for _, c := range []struct{ text, output, want string }{
		{`{{with secret "s"}}{{.Data.data.user}} {{.Data.data.nope}}{{end}}`, "shop <no value>", "t:1:42: " + nope},
		{`{{(secret "s").Data.data.nope}}`, "<no value>", "t:1:3: " + nope},
		{`{{$s := secret "s"}}{{ $s.Data.data.nope }}`, "<no value>", "t:1:24: " + nope},
		{`{{index (secret "s").Data.data "nope"}}`, "<no value>", "t:1:3: " + nope},
		{`{{with secret "s"}}{{.Data.nope}}{{end}}`, "<no value>", "t:1:22: " + nope + "; a secret of KV version 2 has its fields in .Data.data"},
		{`{{.}}`, "<no value>", "t:1:3: a value does not exist here, and <no value> is printed in its place"},
		{`{{with nomadVar "v"}}{{.user}} {{.empty}}{{.empty.Value}}{{end}}`, "shop ", ""},
		{`{{with nomadVar "v"}}{{.user}} {{.nope}}{{end}}`, "shop ", "t:1:34: " + item},
		{`{{with nomadVar "v"}}{{with .nope}}{{end}}{{index . "nope"}}{{end}}`, "", "t:1:45: " + item},
		{`{{with nomadVar "v"}}{{range .Keys}}{{index $ "x"}}{{end}}{{end}}`, "", ""},
		{`{{with nomadVar "v"}}{{$x := .nope}}{{$x}}{{end}}`, "", "t:1:39: an item of the Nomad variable does not exist, and nothing is printed in its place" + then},
		{`{{with nomadVar "v"}}{{with .ItemsMap}}{{.nope}}{{end}}{{end}}`, "<no value>", "t:1:42: " + nope},
	} {
		r := parse(t, c.text).Execute(t.Context(), known.lookup)
		got := ""
		for _, s := range r.Suspect {
			got += s.Place() + ": " + s.Why
		}
		if string(r.Output) != c.output || got != c.want {
			t.Errorf("%s\n got %q, %v, %s\nwant %q, %s", c.text, r.Output, r.Err, got, c.output, c.want)
		}
	}
}

// Where a value is printed that has pointers in it, its place is a suspect: the output has addresses, which change without a cause.
func TestPrintedAddresses(t *testing.T) {
	known := valuesOf()
	here := fmt.Sprintf("%p", known[service("web")].([]*watch.HealthService)[0])
	known[kv("hex")], known[kv("near")], known[kv("short")] = "0x123456789a 0xffffffffffffffffffff "+here[2:]+" "+here[1:], "x"+here+"x", "0x"
	for _, c := range []struct {
		text string
		want string
	}{
		{`{{services}}`, "[t:1:3 address]"},
		{`{{range service "web"}}{{.Checks}} {{.}}{{end}}`, "[t:1:26 address t:1:38 address]"},
		{`{{$l := print services}}{{$l}}`, "[t:1:27 address]"},
		{`a{{(node "n1").Services}}`, "[t:1:4 address]"},
		{`{{key "near"}}`, "[t:1:3 address]"},
		{`0x123456{{"0x123456"}}{{key "hex"}}{{key "short"}}`, "[]"}, // with the race detector the heap begins at 0xc000000000
		{`{{range services}}{{.}}{{print .}}{{. | toJSON}}{{end}}{{services | toJSON}}`, "[]"},
		{`{{scratch}}{{print scratch}}`, "[]"},
	} {
		if got := fmt.Sprint(places(parse(t, c.text).Execute(t.Context(), known.lookup))); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

// A scratch that is printed is the same in each pass.
func TestPrintedScratch(t *testing.T) {
	tmpl := parse(t, `{{scratch}} {{scratch.Set "b" 1}}{{scratch.Set "a" "x"}}{{scratch.MapSet "c" "d" 2}}{{scratch}} {{print scratch}} {{printf "%q" scratch}} {{scratch | toString}}`)
	for range 3 {
		r := tmpl.Execute(t.Context(), answers{}.lookup)
		if want := `map[] map[a:x b:1 c:map[d:2]] map[a:x b:1 c:map[d:2]] map["a":"x" "b":'\x01' "c":map["d":'\x02']] map[a:x b:1 c:map[d:2]]`; string(r.Output) != want {
			t.Errorf("\n got %s\nwant %s (%v)", r.Output, want, r.Err)
		}
	}
}

// Partials have their own places, and iterations that are repeated have theirs.
func TestSuspectPlaces(t *testing.T) {
	known := answers{kv("a"): `{"y": 1}`, kv("b"): `{"y": 1}`}
	tmpl, err := template.Parse("t", `{{range $i, $k := split "," "a,b"}}{{with key $k | parseJSON}}{{template "p" .x}}{{end}}{{end}}`,
		template.Options{Partials: []template.Partial{{Name: "dir/p", Text: "\n{{.}}"}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"[dir/p:2:3 value]", "[dir/p:2:3 value]", "[dir/p:2:3 value]", "[]"} {
		switch i {
		case 2:
			known[kv("a")] = `{"x": 1}` // the other iteration has what both had
		case 3:
			known[kv("b")] = `{"x": 1}`
		}
		r := tmpl.Execute(t.Context(), known.lookup)
		if got := fmt.Sprint(places(r)); got != want {
			t.Errorf("pass %d: got %s, want %s", i, got, want)
		}
	}
}

func TestUnreported(t *testing.T) {
	known := answers{kv("a"): "", kv("b"): "x"}
	tmpl := parse(t, `{{range service (key "a")}}{{end}}{{if eq (key "b") "y"}}{{.}}{{end}}`)
	unreported := func() int { return len(tmpl.Unreported(tmpl.Execute(t.Context(), known.lookup))) }
	first, second := unreported(), unreported()
	known[kv("b")] = "y"
	third, fourth := unreported(), unreported()
	if first != 1 || second != 0 || third != 1 || fourth != 0 {
		t.Errorf("got %d, %d, %d, %d", first, second, third, fourth)
	}

	tmpl = parse(t, strings.Repeat("{{.}}\n", 10_000))
	r := tmpl.Execute(t.Context(), known.lookup)
	if all := tmpl.Unreported(r); len(r.Suspect) != 10_000 || len(all) != 20 || all[19].Place() != "t:20:3" || len(tmpl.Unreported(r)) > 0 {
		t.Errorf("got %v of %d", all, len(r.Suspect))
	}
}
