package template_test

import (
	"strings"
	"testing"
	"time"

	"render/template"
	"render/watch"
)

// Every form of argument of the functions for Nomad, and the query that it asks, or the error.
func TestNomadArguments(t *testing.T) {
	for _, c := range []struct {
		call  string
		query watch.Query // none where nothing is asked
		err   string      // after "t:1:3: "
	}{
		// [@REGION], in pieces
		{call: `nomadServices`, query: query("nomad-services", "", "")},
		{call: `nomadServices ""`, query: query("nomad-services", "", "")},
		{call: `nomadServices "@eu-1.x"`, query: query("nomad-services", "", "region=eu-1.x")},
		{call: `nomadServices "@" "eu"`, query: query("nomad-services", "", "region=eu")},
		{call: `nomadServices "web"`, err: `nomadServices: invalid format: "web"`},
		{call: `nomadServices "@"`, err: `nomadServices: invalid format: "@"`},

		// [TAG.]NAME[@REGION]
		{call: `nomadService "web"`, query: query("nomad-service", "web", "")},
		{call: `nomadService "v1.web"`, query: query("nomad-service", "web", "tag=v1")},
		{call: `nomadService "a=b:c.d.web@eu.1"`, query: query("nomad-service", "web", "region=eu.1&tag=a%3Db%3Ac.d")},
		{call: `nomadService ""`, err: `nomadService: invalid format: ""`},
		{call: `nomadService "we b"`, err: `nomadService: invalid format: "we b"`},
		{call: `nomadService "web?ns=x"`, err: `nomadService: invalid format: "web?ns=x"`},
		{call: `nomadService "web|any"`, err: `nomadService: invalid format: "web|any"`},
		{call: `nomadService 2 "key" "v1.web@eu"`, query: query("nomad-service", "web", "choose=2%7Ckey&region=eu&tag=v1")},
		{call: `nomadService 0 "" "web"`, query: query("nomad-service", "web", "choose=0%7C")},
		{call: `"web" | nomadService 2 "key"`, query: query("nomad-service", "web", "choose=2%7Ckey")},
		{call: `nomadService`, err: `nomadService: expected arguments <service> or <count> <key> <service>`},
		{call: `nomadService 1 "web"`, err: `nomadService: expected arguments <service> or <count> <key> <service>`},
		{call: `nomadService 1 "k" "web" 2`, err: `nomadService: expected arguments <service> or <count> <key> <service>`},
		{call: `nomadService "1" "k" "web"`, err: `nomadService: expected integer for <count> argument`},
		{call: `nomadService 1.5 "k" "web"`, err: `nomadService: expected integer for <count> argument`},
		{call: `nomadService 1 2 "web"`, err: `nomadService: expected string for <key> argument`},
		{call: `nomadService 1 "k" 3`, err: `nomadService: expected string for <service> argument`},
		{call: `nomadService 3`, err: `nomadService: expected string for <service> argument`},
		{call: `nomadService -1 "k" "web"`, err: `nomadService: the <count> argument is negative`},

		// PATH[@NS[.REGION]]
		{call: `nomadVar "nomad/jobs/web"`, query: query("nomad-var", "nomad/jobs/web", "")},
		{call: `nomadVar " /a b/c/ "`, query: query("nomad-var", "a b/c", "")},
		{call: `nomadVar "a@n-1"`, query: query("nomad-var", "a", "ns=n-1")},
		{call: `nomadVar "a@default.eu-1"`, query: query("nomad-var", "a", "ns=default&region=eu-1")},
		{call: `nomadVar "a.b"`, query: query("nomad-var", "a.b", "")},
		{call: `nomadVar "a.b@n.r"`, query: query("nomad-var", "a.b", "ns=n&region=r")},
		{call: `nomadVar ""`},
		{call: `nomadVar "/"`, err: `nomadVar: invalid format: ""`},
		{call: `nomadVar "@n"`, err: `nomadVar: invalid format: "@n"`},
		{call: `nomadVar "a@"`, err: `nomadVar: invalid format: "a@"`},
		{call: `nomadVar "a@*"`, err: `nomadVar: invalid format: "a@*"`},
		{call: `nomadVar "a@n.r.s"`, err: `nomadVar: invalid format: "a@n.r.s"`},
		{call: `nomadVar "a@n@m"`, err: `nomadVar: invalid format: "a@n@m"`},
		{call: `nomadVarExists "/a/@n"`, query: query("nomad-var", "a/", "ns=n")},
		{call: `nomadVarExists ""`},
		{call: `nomadVarExists "a@"`, err: `nomadVarExists: invalid format: "a@"`},

		// [PREFIX][@NS[.REGION]]
		{call: `nomadVarList`, query: query("nomad-vars", "", "")},
		{call: `nomadVarList ""`, query: query("nomad-vars", "", "")},
		{call: `nomadVarList "nomad/"`, query: query("nomad-vars", "nomad/", "")},
		{call: `nomadVarList "/nomad"`, query: query("nomad-vars", "nomad", "")},
		{call: `nomadVarList "//nomad"`, query: query("nomad-vars", "/nomad", "")},
		{call: `nomadVarList "//"`, query: query("nomad-vars", "", "")},
		{call: `nomadVarList " a "`, query: query("nomad-vars", " a ", "")},
		{call: `nomadVarList "@*"`, query: query("nomad-vars", "", "ns=%2A")},
		{call: `nomadVarList "a@n.r"`, query: query("nomad-vars", "a", "ns=n&region=r")},
		{call: `nomadVarList "a@"`, err: `nomadVarList: invalid format: "a@"`},
		{call: `nomadVarList "a" "b"`, err: `nomadVarList: takes either a single "prefix" parameter or none`},
		{call: `nomadVarListSafe "a"`, query: query("nomad-vars", "a", "")},
		{call: `nomadVarListSafe "a" "b"`, err: `nomadVarListSafe: takes either a single "prefix" parameter or none`},
	} {
		r := parse(t, "{{"+c.call+"}}").Execute(t.Context(), answers{}.lookup)
		var err string
		if r.Err != nil {
			err = strings.TrimPrefix(shown(r.Err), "t:1:3: ")
			err, _, _ = strings.Cut(err, "\n")
		}
		var asked watch.Query
		if len(r.Used) == 1 {
			asked = r.Used[0]
		}
		if asked != c.query || err != c.err {
			t.Errorf("%s\n asks %q, error %q\nwant %q, error %q", c.call, asked, err, c.query, c.err)
		}
	}
}

// nomadAnswers has variables and services of Nomad.
func nomadAnswers() answers {
	at := watch.NomadTime(time.Date(2023, 11, 14, 22, 13, 20, 5, time.UTC).UnixNano())
	meta := watch.NomadVarMeta{Namespace: "default", Path: "app", CreateIndex: 3, ModifyIndex: 4, CreateTime: at, ModifyTime: at}
	instance := watch.NomadService{
		ID: "i", Name: "web", Node: "n", Address: "10.0.0.1", Port: 80, Datacenter: "dc1", Tags: watch.ServiceTags{"a", "b"}, JobID: "j", AllocID: "al",
	}
	return answers{
		query("nomad-var", "app", ""):       watch.NewNomadVar(meta, map[string]string{"b": "2", "a": "1<\x01\"ü", "Keys": "own", "c-d": ""}),
		query("nomad-var", "none", ""):      nil,
		query("nomad-var", "bare", ""):      watch.NewNomadVar(watch.NomadVarMeta{Path: "bare"}, nil),
		query("nomad-vars", "", ""):         []*watch.NomadVarMeta{&meta},
		query("nomad-vars", "none", ""):     []*watch.NomadVarMeta{},
		query("nomad-services", "", ""):     []*watch.NomadSnippet{{Name: "web", Tags: watch.ServiceTags{"a", "b"}}},
		query("nomad-service", "web", ""):   []*watch.NomadService{&instance},
		query("nomad-service", "empty", ""): []*watch.NomadService{},
	}
}

// What templates see of values of Nomad.
func TestNomadValues(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	for _, c := range []struct{ text, want string }{
		{`{{with nomadVar "app"}}{{.b}} {{.b.Key}} {{.b.Value}} {{.b.String}} {{index . "Keys"}} {{index . "c-d"}}|{{end}}`, "2 b 2 2 own |"},
		{`{{(nomadVar "app").b}} {{len (nomadVar "app")}}`, "2 4"},
		{`{{range $k, $v := nomadVar "app"}}{{$k}}:{{len $v.Value}} {{end}}`, "Keys:3 a:6 b:1 c-d:0 "},
		{`{{with nomadVar "app"}}{{.Keys}} {{len .Values}} {{range .Tuples}}{{.K}}={{len .V}} {{end}}{{end}}`, "[Keys a b c-d] 4 Keys=3 a=6 b=1 c-d=0 "},
		{`{{with nomadVar "app"}}{{.Metadata}} {{.Metadata.Namespace}} {{.Metadata.CreateIndex}} {{.Metadata.ModifyIndex}}{{end}}`, "app default 3 4"},
		{`{{with nomadVar "app"}}{{.Metadata.CreateTime}} {{.Metadata.ModifyTime.Time.Unix}}{{end}}`, "2023-11-14 22:13:20.000000005 +0000 UTC 1700000000"},
		{`{{with nomadVar "app"}}{{.Parent}} {{.Parent.Path}} {{.Parent.Items.b}} {{.Parent.Metadata.Path}} {{.b.Parent.Path}} {{.b.Metadata.Path}}{{end}}`, "app app 2 app app app"},
		{`{{with nomadVar "app"}}{{.a | toJSON}} {{.ItemsMap.b}} {{eq .b.Value "2"}}{{end}}`, `"1\u003c\u0001\"ü" 2 true`},
		{`{{nomadVar "app" | toJSON}}`, `{"Keys":"own","a":"1\u003c\u0001\"ü","b":"2","c-d":""}`},
		{`{{(nomadVar "app").ItemsMap | toJSON}}`, `{"Keys":"own","a":"1\u003c\u0001\"ü","b":"2","c-d":""}`},
		{`{{(nomadVar "app").Metadata | toJSON}}`, `{"Namespace":"default","Path":"app","CreateIndex":3,"ModifyIndex":4,"CreateTime":1700000000000000005,"ModifyTime":1700000000000000005}`},
		{`{{with nomadVar "bare"}}x{{else}}none{{end}} {{(nomadVar "bare").Keys}} {{(nomadVar "bare").ItemsMap}} {{(nomadVar "bare").Metadata}} {{(nomadVar "bare").Parent}}`, "none [] map[] <nil> <nil>"},
		{`{{nomadVarExists "app"}} {{nomadVarExists "none"}} {{nomadVarExists "bare"}} {{nomadVarExists ""}}`, "true false true false"},
		{`{{range nomadVarList}}{{.}} {{.Path}} {{.CreateTime.Time.Year}}{{end}} {{nomadVarList}} {{len (nomadVarListSafe)}} {{nomadVarList "none"}}`, "app app 2023 [app] 1 []"},
		{`{{range nomadServices}}{{.Name}} {{.Tags}} {{.Tags.Contains "a"}}{{end}}`, "web [a b] true"},
		{`{{range nomadService "web"}}{{.}}{{end}}`, "{i web n 10.0.0.1 80 dc1 [a b] j al}"},
		{`{{range nomadService "web"}}{{hostport .}} {{. | toJSON}}{{end}}`, `10.0.0.1:80 {"ID":"i","Name":"web","Node":"n","Address":"10.0.0.1","Port":80,"Datacenter":"dc1","Tags":["a","b"],"JobID":"j","AllocID":"al"}`},
		{`{{range $t, $l := nomadService "web" | byTag}}{{$t}}{{len $l}} {{end}}{{range $p, $l := nomadService "web" | byPort}}{{$p}}{{end}} {{range $t, $l := nomadServices | byTag}}{{$t}} {{end}}`, "a1 b1 80 a b "},
		{`{{nomadService "empty"}}{{range nomadService "empty"}}x{{else}} none{{end}}`, "[] none"},
		{`{{with nomadVar ""}}x{{else}}none{{end}}`, "none"},
		{`{{print (nomadVar "app").b}} {{printf "%s|%v" (nomadVar "app").b (nomadVar "app").b}} {{(nomadVar "app").b.Value | toUpper}}`, "2 2|2 2"},
	} {
		if got := output(t, c.text, nomadAnswers()); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
	if got := output(t, `{{with nomadVar "app"}}{{range $k, $v := .}}{{if eq $k "b"}}{{$v}}{{end}}{{end}}{{end}} {{printf "%v" (nomadVar "one")}}`, answers{
		query("nomad-var", "app", ""): nomadAnswers()[query("nomad-var", "app", "")],
		query("nomad-var", "one", ""): watch.NewNomadVar(watch.NomadVarMeta{Path: "one"}, map[string]string{"a": "1", "b": "2"}),
	}); got != "2 map[a:1 b:2]" {
		t.Errorf("a map prints as %s", got)
	}
}

// An item is no text to a function that takes one: the error says what is.
func TestNomadItemAsText(t *testing.T) {
	for text, want := range map[string]string{
		`{{with nomadVar "app"}}{{.b | toUpper}}{{end}}`:         "t:1:31: wrong type for value; expected string; got watch.NomadItem; hint: give the function the item's Value, as in .NAME.Value",
		`{{(nomadVar "app").b | parseInt}}`:                      "t:1:24: wrong type for value; expected string; got watch.NomadItem; hint: give the function the item's Value, as in .NAME.Value",
		`{{with nomadVar "app"}}{{.Metadata | toUpper}}{{end}}`:  "t:1:38: wrong type for value; expected string; got *watch.NomadVarMeta",
		`{{with nomadVar "app"}}{{.b.Value | parseBool}}{{end}}`: "t:1:37: parseBool: invalid syntax",
	} {
		r := parse(t, text).Execute(t.Context(), nomadAnswers().lookup)
		if r.Err == nil || shown(r.Err) != want {
			t.Errorf("%s\n got %v\nwant %s", text, shown(r.Err), want)
		}
	}
}

// What is missing keeps a template from finishing where it is needed; while nothing is known, all functions return what is empty.
func TestNomadMissing(t *testing.T) {
	none, list := query("nomad-var", "none", ""), query("nomad-vars", "none", "")
	for text, absent := range map[string]watch.Query{
		`{{nomadVar "none"}}`:                     none,
		`{{nomadVarListSafe "none"}}`:             list,
		`{{nomadVarList "none"}}`:                 {},
		`{{nomadVarExists "none"}}`:               {},
		`{{with nomadVar "none"}}{{.x.y}}{{end}}`: none,
	} {
		r := parse(t, text).Execute(t.Context(), nomadAnswers().lookup)
		if absent == (watch.Query{}) && !r.Finished() || absent != (watch.Query{}) && (len(r.Absent) != 1 || r.Absent[0] != absent) {
			t.Errorf("%s: absent %v, error %v", text, r.Absent, r.Err)
		}
	}
	for text, want := range map[string]string{
		`{{with nomadVar "x"}}x{{end}}{{range nomadServices}}x{{end}}{{range nomadService "x"}}x{{end}}{{range nomadVarList}}x{{end}}{{if nomadVarExists "x"}}x{{end}}{{(nomadVar "x").y}}{{(nomadVar "x").Keys}}`: "",
	} {
		r := parse(t, text).Execute(t.Context(), answers{}.lookup)
		if r.Err != nil || len(r.Pending) != 4 || string(r.Output) != want {
			t.Errorf("%s: pending %v, error %v", text, r.Pending, r.Err)
		}
	}
}

// No error shows the value of a variable, also where the template's text has it.
func TestNomadSecrecy(t *testing.T) {
	const password = "correcthorse"
	known := answers{query("nomad-var", "app", ""): watch.NewNomadVar(watch.NomadVarMeta{Path: "app"}, map[string]string{"password": password})}
	for _, text := range []string{
		`{{/* correcthorse */}}{{with nomadVar "app"}}{{fail .password.Value}}{{end}}`,
		`{{/* correcthorse */}}{{with nomadVar "app"}}{{parseInt .password.Value}}{{end}}`,
		`{{/* correcthorse */}}{{with nomadVar "app"}}{{index (parseJSON "{}") .password.Value | len}}{{end}}`,
		`{{with nomadVar "app"}}{{executeTemplate .password.Value}}{{end}}`,
		`{{with nomadVar "app"}}{{.password.nope}}{{end}}`,
	} {
		tmpl, err := template.Parse("t", text, template.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := tmpl.Execute(t.Context(), known.lookup)
		if r.Err == nil || strings.Contains(strings.Split(shown(r.Err), "\n")[0], password) {
			t.Errorf("%s: %v", text, r.Err)
		}
	}
	if q := query("nomad-var", "app", ""); !q.Secret() {
		t.Error("a variable is no secret")
	}
	if q := query("nomad-vars", "app", ""); q.Secret() {
		t.Error("a list of variables is a secret")
	}
}
