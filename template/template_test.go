package template_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"render/template"
	"render/watch"
)

// answers is what is known. A query that is not in it is pending, one whose value is nil is absent.
type answers map[watch.Query]any

func (a answers) lookup(q watch.Query) (any, bool) {
	value, answered := a[q]
	return value, answered
}

func query(kind, name, opts string) watch.Query {
	return watch.Query{Kind: kind, Name: name, Opts: opts}
}

func kv(path string) watch.Query      { return query(watch.KindKV, path, "") }
func service(name string) watch.Query { return query(watch.KindService, name, "") }

// parse parses a text under the name "t".
func parse(t testing.TB, text string) *template.Template {
	t.Helper()
	tmpl, err := template.Parse("t", text, template.Options{Env: testEnv})
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return tmpl
}

func testEnv(name string) (value string, ok bool) {
	value, ok = map[string]string{"HOME": "/root", "EMPTY": ""}[name]
	return value, ok
}

// output executes a text with answers that make it finish.
func output(t testing.TB, text string, known answers) string {
	t.Helper()
	r := parse(t, text).Execute(t.Context(), known.lookup)
	if !r.Finished() {
		t.Fatalf("%s\ndid not finish: pending %v, absent %v, error %v", text, r.Pending, r.Absent, r.Err)
	}
	return string(r.Output)
}

// The bytes of a text are those of the output.
func TestOutputVerbatim(t *testing.T) {
	for _, text := range []string{
		"",
		"no newline at the end",
		"newline\n",
		"\n\n",
		"CR LF\r\nCR LF\r\n",
		"NUL \x00 and invalid UTF-8 \xff\xfe\xc3",
		"\ufeffbyte order mark",
		"} }} { $ \\ \" ' ` %d %",
	} {
		r := parse(t, text).Execute(t.Context(), answers{}.lookup)
		if r.Output == nil || string(r.Output) != text {
			t.Errorf("%q: got %#v", text, r.Output)
		}
	}
}

// What text/template does by itself, in the mode that consul-template runs it in.
func TestLanguage(t *testing.T) {
	web := &watch.HealthService{
		ServiceMeta:            map[string]string{"env": "prod"},
		ServiceTaggedAddresses: map[string]watch.ServiceAddress{"lan": {Address: "10.0.0.1", Port: 80}},
		Tags:                   watch.ServiceTags{"a", "b"},
	}
	known := answers{
		service("web"): []*watch.HealthService{web},
		kv("k"):        "a\r\n\x00\xff",
	}
	for _, c := range []struct{ name, text, want string }{
		{"no data", `{{.}}`, "<no value>"},
		{"field of no data", `{{.foo}}`, "<no value>"},
		{"value verbatim", `[{{key "k"}}]`, "[a\r\n\x00\xff]"},
		{"nothing", `{{define "a"}}x{{end}}`, ""},
		{"comment and trim", "a {{- /* x */ -}} b", "ab"},
		{"define", `{{define "a"}}<{{.}}>{{end}}{{template "a" "x"}}{{template "a"}}`, "<x><<no value>>"},
		{"a query inside define", `{{define "a"}}{{key .}}{{end}}{{template "a" "k"}}`, "a\r\n\x00\xff"},
		{"block", `{{block "a" 1}}{{.}}{{end}}{{template "a" 2}}`, "12"},
		{"the root template has no name", `{{define "t"}}inner{{end}}{{template "t"}}`, "inner"},
		{"break, continue", `{{range $i, $c := split "" "abcd"}}{{if eq $i 1}}{{continue}}{{end}}{{if eq $i 3}}{{break}}{{end}}{{$c}}{{end}}`, "ac"},
		{"range of a number", `{{range 3}}{{.}}{{end}}`, "012"},
		{"built-in functions", `{{and 1 0}} {{or 0 2}} {{not 0}} {{len "abc"}} {{index (split "," "a,b") 1}} {{slice "abcd" 1 3}} ` +
			`{{print 1 2}} {{printf "%03d" 7}} {{println "x"}}{{html "<a>"}} {{js "'"}} {{urlquery "a b"}} ` +
			`{{eq 1 1}} {{ne 1 1}} {{lt 1 2}} {{le 1 1}} {{gt 1 2}} {{ge 1 1}}`,
			"0 2 true 3 b bc 1 2 007 x\n&lt;a&gt; \\' a+b true false true true false true"},
		{"Tags.Contains", `{{range service "web"}}{{.Tags.Contains "a"}} {{.Tags.Contains "A"}}{{end}}`, "true false"},
		{"missing key of a map of strings", `{{range service "web"}}[{{.ServiceMeta.nope}}]{{end}}`, "[]"},
		{"missing key of a map of strings in a pipe", `{{range service "web"}}[{{.ServiceMeta.nope | toUpper}}]{{end}}`, "[]"},
		{"missing key of a map of structs", `{{range service "web"}}{{with .ServiceTaggedAddresses.wan}}{{.Address}}:{{.Port}}{{end}}{{end}}`, ":0"},
		{"missing key of JSON", `{{(parseJSON "{}").nope}}`, "<no value>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := output(t, c.text, known); got != c.want {
				t.Errorf("%s\n got %q\nwant %q", c.text, got, c.want)
			}
		})
	}
}

// R1, R2, R4: what a pass asks, what it waits for, and when it gives output.
func TestPass(t *testing.T) {
	type queries = []watch.Query
	a, b, c := kv("a"), kv("b"), kv("c")
	web := service("web")
	for _, tt := range []struct {
		name, text            string
		known                 answers
		used, pending, absent queries
		output                string // "" where the pass does not finish
	}{
		{name: "nothing asked", text: "x", output: "x"},
		{
			name: "each once, in order", text: `{{key "b"}}{{key "a"}}{{keyExists "b"}}{{keyOrDefault "b" "x"}}{{key "c"}}{{key "/a"}}`,
			known: answers{a: "A", b: "B", c: "C"}, used: queries{b, a, c}, output: "BAtrueBCA",
		},
		{
			name: "all of a level is found in one pass", text: `{{key "a"}}{{key "b"}}{{range service "web"}}{{.ID}}{{end}}`,
			known: answers{b: "B"}, used: queries{a, b, web}, pending: queries{a, web},
		},
		{
			name: "a branch that is not taken asks nothing", text: `{{if keyExists "a"}}{{key "b"}}{{else}}{{key "c"}}{{end}}`,
			known: answers{a: "A", b: "B", c: "C"}, used: queries{a, b}, output: "B",
		},
		{
			name: "and, or stop early", text: `{{or (keyExists "a") (keyExists "b")}}{{and (keyExists "a") (keyExists "c")}}`,
			known: answers{a: "A", c: "C"}, used: queries{a, c}, output: "truetrue",
		},
		{name: "key needs a value", text: `x{{key "a"}}`, known: answers{a: nil}, used: queries{a}, absent: queries{a}},
		{name: "an empty value is one", text: `[{{key "a"}}]`, known: answers{a: ""}, used: queries{a}, output: "[]"},
		{name: "absent once", text: `{{key "a"}}{{key "a"}}`, known: answers{a: nil}, used: queries{a}, absent: queries{a}},
		{
			name: "keyOrDefault and keyExists accept absent", text: `{{keyOrDefault "a" "d"}}{{keyExists "a"}}`,
			known: answers{a: nil}, used: queries{a}, output: "dfalse",
		},
		{
			name: "accepted by one, needed by another", text: `{{keyExists "a"}}{{key "a"}}`,
			known: answers{a: nil}, used: queries{a}, absent: queries{a},
		},
		{
			name: "absent and pending", text: `{{key "a"}}{{key "b"}}{{key "c"}}`,
			known: answers{a: nil, c: "C"}, used: queries{a, b, c}, pending: queries{b}, absent: queries{a},
		},
		{
			name: "a file is needed", text: `{{file "/etc/x"}}`, known: answers{query("file", "/etc/x", ""): nil},
			used: queries{query("file", "/etc/x", "")}, absent: queries{query("file", "/etc/x", "")},
		},
		{
			name: "an error with a pending query is none", text: `{{key "a"}}{{index (service "web") 0}}`,
			known: answers{a: "A"}, used: queries{a, web}, pending: queries{web},
		},
		{
			name: "an error with an absent query is none", text: `{{base64Decode (printf "%s?" (key "a"))}}`,
			known: answers{a: nil}, used: queries{a}, absent: queries{a},
		},
		{
			name: "what comes after an error is not asked", text: `{{key "a"}}{{base64Decode "?"}}{{key "b"}}`,
			used: queries{a}, pending: queries{a},
		},
		{
			name: "queries of a defined template", text: `{{define "x"}}{{key .}}{{end}}{{template "x" "b"}}{{template "x" "a"}}`,
			known: answers{a: "A", b: "B"}, used: queries{b, a}, output: "BA",
		},
		{
			name: "lists are never absent", text: `{{range service "web"}}x{{else}}none{{end}}{{range ls "p"}}x{{else}}none{{end}}`,
			known: answers{web: nil, query("prefix", "p", ""): nil}, used: queries{web, query("prefix", "p", "")}, output: "nonenone",
		},
		{
			name: "a node that does not exist", text: `{{with node "x"}}{{if .Node}}yes{{else}}no{{end}}{{len .Services}}{{end}}`,
			known: answers{query("node", "x", ""): nil}, used: queries{query("node", "x", "")}, output: "no0",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := parse(t, tt.text).Execute(t.Context(), tt.known.lookup)
			for _, list := range []struct {
				name      string
				got, want queries
			}{{"Used", r.Used, tt.used}, {"Pending", r.Pending, tt.pending}, {"Absent", r.Absent, tt.absent}} {
				if !slices.Equal(list.got, list.want) {
					t.Errorf("%s: got %v, want %v", list.name, list.got, list.want)
				}
			}
			finished := len(tt.pending) == 0 && len(tt.absent) == 0
			if r.Err != nil || r.Finished() != finished || (r.Output != nil) != finished || string(r.Output) != tt.output {
				t.Errorf("finished %v with output %q and error %v, want %q", r.Finished(), r.Output, r.Err, tt.output)
			}
		})
	}
}

// R4: a failed pass that waits for nothing has an error, its queries, and no output.
func TestFailedPass(t *testing.T) {
	r := parse(t, `x{{key "a" | base64Decode}}`).Execute(t.Context(), answers{kv("a"): "?"}.lookup)
	if r.Err == nil || r.Finished() || r.Output != nil || !slices.Equal(r.Used, []watch.Query{kv("a")}) {
		t.Errorf("got %+v", r)
	}
}

func TestWhere(t *testing.T) {
	for _, c := range []struct {
		name, text string
		query      watch.Query
		want       string
	}{
		{"first byte", `{{key "a"}}`, kv("a"), "t:1:3"},
		{"several on one line", `{{key "a"}} {{key "b"}} {{key "c"}}`, kv("c"), "t:1:27"},
		{"where it is asked first", "{{key \"a\"}}\n{{key \"a\"}}", kv("a"), "t:1:3"},
		{"where it is needed", "{{keyOrDefault \"n\" \"x\"}}\n{{key \"n\"}}", kv("n"), "t:2:3"},
		{"CR LF", "a\r\nb\r\n  {{key \"a\"}}", kv("a"), "t:3:5"},
		{"columns are bytes", `äöü {{key "a"}}`, kv("a"), "t:1:10"},
		{"trim", "x\n\n  {{-  key \"a\" -}}", kv("a"), "t:3:8"},
		{"inside define", "{{define \"x\"}}\n {{key \"a\"}}{{end}}\n{{template \"x\"}}", kv("a"), "t:2:4"},
		{"inside block", "{{block \"x\" .}}\n{{key \"a\"}}{{end}}", kv("a"), "t:2:3"},
		{"argument of template", `{{define "x"}}{{.}}{{end}}{{template "x" (key "a")}}`, kv("a"), "t:1:43"},
		{"range", `{{range service "web"}}{{else}}{{key "a"}}{{end}}`, service("web"), "t:1:9"},
		{"else of range", `{{range service "web"}}{{else}}{{key "a"}}{{end}}`, kv("a"), "t:1:34"},
		{"with", `{{with $x := key "a"}}{{end}}`, kv("a"), "t:1:14"},
		{"else with", "{{with \"\"}}\n{{else with key \"a\"}}{{end}}", kv("a"), "t:2:13"},
		{"else if", "{{if 0}}\n{{else if keyExists \"a\"}}{{end}}", kv("a"), "t:2:11"},
		{"pipe", `{{"a" | key | toUpper}}`, kv("a"), "t:1:9"},
		{"nested parentheses", `{{toUpper (printf "%s" (key "a"))}}`, kv("a"), "t:1:25"},
		{"two in one action", `{{print (key "a") (key "b")}}`, kv("b"), "t:1:20"},
		{"field of a call", `{{len (node "n").Services}}`, query("node", "n", ""), "t:1:8"},
		{"assignment", `{{$x := ""}}{{$x = key "a"}}`, kv("a"), "t:1:20"},
		{"not asked", `{{key "a"}}`, kv("zzz"), "t"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tmpl := parse(t, c.text)
			tmpl.Execute(t.Context(), answers{
				kv("a"): "A", kv("b"): "B", kv("c"): "C", kv("n"): nil, service("web"): []*watch.HealthService{},
				query("node", "n", ""): &watch.CatalogNode{},
			}.lookup)
			if got := tmpl.Where(c.query); got != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
			}
		})
	}
}

func TestName(t *testing.T) {
	if got := parse(t, "").Name(); got != "t" {
		t.Errorf("got %q", got)
	}
}

// The environment is that of the process where Options says nothing.
func TestDefaultEnv(t *testing.T) {
	t.Setenv("RENDER_TEST", "set")
	tmpl, err := template.Parse("t", `{{env "RENDER_TEST"}}`, template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r := tmpl.Execute(t.Context(), answers{}.lookup); string(r.Output) != "set" {
		t.Errorf("got %q", r.Output)
	}
}

// catalog answers for n services "s0001" … of three instances each, and n keys "app/s0001" ….
func catalog(n int) answers {
	services := make([]*watch.CatalogSnippet, n)
	pairs := make([]*watch.KeyPair, n)
	known := make(answers)
	for i := range n {
		name := fmt.Sprintf("s%04d", i)
		services[i] = &watch.CatalogSnippet{Name: name}
		pairs[i] = &watch.KeyPair{Path: "app/" + name, Key: name, Value: "value of " + name}
		var instances []*watch.HealthService
		for j := range 3 {
			instances = append(instances, &watch.HealthService{
				Node: fmt.Sprintf("n%d", j), ID: fmt.Sprintf("%s-%d", name, j), Name: name, Address: fmt.Sprintf("10.0.%d.%d", i%256, j),
				Port: 8000 + i, Tags: watch.ServiceTags{"a", "b"}, ServiceMeta: map[string]string{"k": name}, Status: watch.StatusPassing,
			})
		}
		known[service(name)] = instances
		known[kv("app/"+name)] = pairs[i].Value
	}
	known[query("services", "", "")] = services
	known[query("prefix", "app/", "")] = pairs
	return known
}

// nested are templates that ask in levels.
var nested = []struct {
	name, text string
	depth      int
}{
	{"flat", `{{key "app/s0000"}}{{range service "s0000"}}{{.Address}}{{end}}`, 1},
	{"services, service", `{{range services}}{{range service .Name}}{{.Address}}:{{.Port}} {{.Tags}}{{end}}{{end}}`, 2},
	{"ls, key", `{{range ls "app/"}}{{key .Path}}{{end}}`, 2},
	{"services, service, key", `{{range services}}{{range service .Name}}{{key (printf "app/%s" .Name)}}{{end}}{{end}}`, 3},
}

// Answering all that is pending after each pass finishes a template in as many passes as it has levels, and one (R5).
func TestSettle(t *testing.T) {
	for _, c := range nested {
		for _, n := range []int{1, 10, 1000} {
			t.Run(fmt.Sprintf("%s/%d", c.name, n), func(t *testing.T) {
				tmpl, all, known, passes := parse(t, c.text), catalog(n), answers{}, 1
				r := tmpl.Execute(t.Context(), known.lookup)
				for ; len(r.Pending) > 0; passes++ {
					for _, q := range r.Pending {
						known[q] = all[q]
					}
					r = tmpl.Execute(t.Context(), known.lookup)
				}
				if !r.Finished() || passes != c.depth+1 {
					t.Fatalf("%d passes, want %d; error %v", passes, c.depth+1, r.Err)
				}
				if want := output(t, c.text, all); string(r.Output) != want {
					t.Error("the output is not that of a pass that knew everything")
				}
			})
		}
	}
}

// The same answers give the same bytes, also after a pass with others, and are left as they are.
func TestExecuteAgain(t *testing.T) {
	for _, c := range append(nested, struct {
		name, text string
		depth      int
	}{name: "all that sorts, cuts or converts", text: `{{range services}}{{toJSON .}}{{join "," .Tags}}{{in .Tags "a"}}{{end}}` +
		`{{range tree "app/"}}{{.Key | split "" | toJSONPretty}}{{end}}{{toJSON (ls "app/")}}{{range service "s0000|any"}}{{.}}{{end}}`}) {
		t.Run(c.name, func(t *testing.T) {
			known, same := catalog(10), catalog(10)
			known[query("service", "s0000", "status=any")] = known[service("s0000")]
			same[query("service", "s0000", "status=any")] = same[service("s0000")]
			tmpl := parse(t, c.text)
			first := tmpl.Execute(t.Context(), known.lookup)
			kept := strings.Clone(string(first.Output))
			tmpl.Execute(t.Context(), answers{}.lookup)
			second := tmpl.Execute(t.Context(), known.lookup)
			switch {
			case !first.Finished() || len(first.Output) == 0:
				t.Fatalf("did not finish: %+v", first)
			case string(first.Output) != kept:
				t.Error("a later pass has changed the output of the first")
			case string(second.Output) != kept:
				t.Errorf("first %q, then %q", kept, second.Output)
			case !slices.Equal(first.Used, second.Used):
				t.Errorf("first used %v, then %v", first.Used, second.Used)
			case !reflect.DeepEqual(known, same):
				t.Error("the answers were changed")
			}
		})
	}
}
