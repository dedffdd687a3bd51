package template_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"render/template/funcs"

	"github.com/Masterminds/sprig/v3"

	"render/template"
	"render/watch"
)

// withDelimiters does a test with several delimiters, all of two bytes; in puts them into a text.
func withDelimiters(test func(o template.Options, in func(string) string)) {
	for _, d := range [][2]string{{"", ""}, {"<%", "%>"}, {"@{", "}@"}, {"", "%>"}, {"<%", ""}} {
		o := template.Options{Env: testEnv, LeftDelimiter: d[0], RightDelimiter: d[1]}
		left, right := d[0], d[1]
		if left == "" {
			left = "{{"
		}
		if right == "" {
			right = "}}"
		}
		test(o, strings.NewReplacer("{{", left, "}}", right).Replace)
	}
}

// See TestTrimBlocks, TestPartials, TestErrorMessages and TestReadmeExamples, too.
func TestDelimiters(t *testing.T) {
	known := answers{kv("k"): "v"}
	for _, c := range []struct{ name, left, right, text, want string }{
		{"both", "[[", "]]", `[[key "k"]] {{key "k"}} ]]`, `v {{key "k"}} ]]`},
		{"the left alone", "<<", "", `<<key "k"}} {{.}}`, "v {{.}}"},
		{"the right alone", "", ">>", `{{key "k">> >>`, "v >>"},
		{"one character", "$", "%", `$key "k"%`, "v"},
		{"of several lengths", "<?render", "?>", `<?render key "k"?>`, "v"},
		{"as those of comments", "<!--", "-->", `<!-- key "k" --><!--/* x */-->.`, "v."},
		{"beyond ASCII", "«", "»", `«key "k"»`, "v"},
		{"trim markers", "[[", "]]", "a [[- key \"k\" -]] b", "avb"},
		{"a comment", "[[", "]]", "a[[/* [[x]] */]]b [[- /* c */ -]] d", "abd"},
		{"within a text", "[[", "]]", `[["]]"]][[ "[[" ]]`, "]][["},
		{"define and block", "[[", "]]", `[[define "a"]]<[[.]]>[[end]][[block "b" 1]][[template "a" .]][[end]]`, "<1>"},
		{"executeTemplate", "[[", "]]", `[[define "a"]][[key .]][[end]][[executeTemplate "a" "k" | toUpper]]`, "V"},
		{"exchanged", "}}", "{{", `}}key "k"{{`, "v"},
		{"the same on both sides", "@@", "@@", `a @@ if true -@@ b @@/* c */@@@@ key "k" @@ {{d}} @@- end @@ e`, "a b v {{d}} e"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tmpl, err := template.Parse("t", c.text, template.Options{LeftDelimiter: c.left, RightDelimiter: c.right})
			if err != nil {
				t.Fatal(err)
			}
			if r := tmpl.Execute(t.Context(), known.lookup); string(r.Output) != c.want || r.Err != nil {
				t.Errorf("got %q, %v; want %q", r.Output, r.Err, c.want)
			}
		})
	}
}

func TestDelimitersRefused(t *testing.T) {
	for _, c := range []struct{ left, right, want string }{
		{"[ [", "", `t: the delimiter "[ [" contains a space`},
		{"", " ", `t: the delimiter " " contains a space`},
		{"", "]]\n", `t: the delimiter "]]\n" contains a space`},
		{"\t[[", "", `t: the delimiter "\t[[" contains a space`},
	} {
		e := faultWith(t, "t", "", nil, template.Options{LeftDelimiter: c.left, RightDelimiter: c.right})
		if !strings.HasPrefix(e.Error(), c.want) {
			t.Errorf("got %v, want %s", e, c.want)
		}
	}
}

// Messages of the parser name keywords as the text writes them, and leave alone what the text quotes.
func TestDelimitersInMessages(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[[end]]", "t:1: unexpected [[end]]"},
		{"[[else]]", "t:1: unexpected [[else]]"},
		{"[[break]]", "t:1: [[break]] outside [[range]]"},
		{`[[define "a"]][[else]]`, "t:1: unexpected [[else]] in define clause"},
		{`[[template "{{end}}"]]`, `t:1:12: template "{{end}}" not defined`},
		{`[[key "k" }}`, `t:1: unexpected "}" in operand`},
	} {
		e := faultWith(t, "t", c.text, nil, template.Options{LeftDelimiter: "[[", RightDelimiter: "]]"})
		if e.Error() != c.want {
			t.Errorf("%s\n got %v\nwant %s", c.text, e, c.want)
		}
	}
}

func TestDelimitersWhere(t *testing.T) {
	tmpl, err := template.Parse("main", "\n <<<key \"a\">>><<<template \"p\">>>", template.Options{
		LeftDelimiter: "<<<", RightDelimiter: ">>>", Partials: []template.Partial{{Name: "dir/p", Text: "\n\n<<<key \"b\">>>"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tmpl.Execute(t.Context(), answers{}.lookup)
	if a, b := tmpl.Where(kv("a")), tmpl.Where(kv("b")); a != "main:2:5" || b != "dir/p:3:4" {
		t.Errorf("got %s, %s", a, b)
	}
}

func TestErrorOnMissingKey(t *testing.T) {
	known := answers{
		service("web"): []*watch.HealthService{{ServiceMeta: map[string]string{"env": "prod"}}},
		kv("k"):        `{"a": "x"}`,
		kv("absent"):   nil,
	}
	for _, c := range []struct{ name, text, byDefault, strict string }{
		{"of JSON", `{{(key "k" | parseJSON).b}}`, "<no value>", `t:1:14: the map has no entry b; hint: if the entry is optional, read it with {{index MAP "b"}}`},
		{"of meta data", `{{range service "web"}}{{.ServiceMeta.b}}{{end}}`, "", "t:1:38: the map has no entry b"},
		{"of nothing", `{{.b}}`, "<no value>", "t:1:3: the map whose entry b is read does not exist; hint: put the entry inside {{with MAP}}"},
		{"inside define", `{{define "a"}}{{.b}}{{end}}{{template "a" (key "k" | parseJSON)}}`, "<no value>", "t:1:17: the map has no entry b"},
		{"by executeTemplate", `{{define "a"}}{{.b}}{{end}}{{executeTemplate "a" (key "k" | parseJSON)}}`, "<no value>", "t:1:17: the map has no entry b"},
		{"for a file", `{{writeToFile "/x" "" "" "0644" (print (key "k" | parseJSON).b)}}`, "", "t:1:51: the map has no entry b"},
		{"that is there", `{{(key "k" | parseJSON).a}}`, "x", ""},
		{"by index", `{{with index (key "k" | parseJSON) "b"}}yes{{else}}no{{end}}`, "no", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := output(t, c.text, known); got != c.byDefault {
				t.Errorf("by default it gives %q, want %q", got, c.byDefault)
			}
			tmpl, err := template.Parse("t", c.text, template.Options{ErrorOnMissingKey: true})
			if err != nil {
				t.Fatal(err)
			}
			r := tmpl.Execute(t.Context(), known.lookup)
			if c.strict == "" {
				if string(r.Output) != c.byDefault || r.Err != nil {
					t.Errorf("got %q, %v; want %q", r.Output, r.Err, c.byDefault)
				}
				return
			}
			if r.Err == nil || !strings.Contains(shown(r.Err), c.strict) || r.Output != nil || r.Writes != nil {
				t.Errorf("got %q, %v; want the error %q", r.Output, r.Err, c.strict)
			}
		})
	}
}

// R2, R4: where something is pending or absent a missing key is no error, and hides no query behind it.
func TestErrorOnMissingKeyUnfinished(t *testing.T) {
	a, b, node := kv("a"), kv("b"), query(watch.KindNode, "", "")
	for _, c := range []struct {
		text            string
		known           answers
		pending, absent []watch.Query
	}{
		{`{{(node).Node.Address}}`, nil, []watch.Query{node}, nil},
		{`{{(key "a" | parseJSON).x}}{{(key "b" | parseJSON).x}}`, nil, []watch.Query{a, b}, nil},
		{`{{(key "a" | parseJSON).x}}{{key "b"}}`, answers{a: "{}"}, nil, nil},
		{`{{(key "a" | parseJSON).x}}{{key "b"}}`, answers{a: nil}, []watch.Query{b}, []watch.Query{a}},
		{`{{key "b"}}{{(key "a" | parseJSON).x}}`, answers{a: "{}", b: nil}, nil, []watch.Query{b}},
		{`{{plugin "false"}}{{key "b"}}{{.x}}`, nil, []watch.Query{plugin("false"), b}, nil},
		{`{{(plugin "p" | parseJSON).x}}{{key "b"}}`, nil, []watch.Query{plugin("p"), b}, nil},
		{`{{key "b"}}{{(plugin "p" | parseJSON).x}}`, nil, []watch.Query{b}, nil},
	} {
		tmpl, err := template.Parse("t", c.text, template.Options{ErrorOnMissingKey: true})
		if err != nil {
			t.Fatal(err)
		}
		r := tmpl.Execute(t.Context(), c.known.lookup)
		unfinished := len(c.pending)+len(c.absent) > 0
		if !slices.Equal(r.Pending, c.pending) || !slices.Equal(r.Absent, c.absent) || unfinished != (r.Err == nil) || r.Output != nil {
			t.Errorf("%s\ngot pending %v, absent %v, error %v, output %q", c.text, r.Pending, r.Absent, r.Err, r.Output)
		}
	}
}

// A denied function is found wherever it stands, by Parse alone.
func TestDenied(t *testing.T) {
	for _, c := range []struct{ name, denied, text, partial, want string }{
		{"a call", "plugin", `a {{plugin "echo" "x"}}`, "", "t:1:5: the function plugin is denied by the configuration; hint: remove the function from the template or from function_denylist\n" +
			`a {{plugin "echo" "x"}}` + "\n    ^"},
		{"its old name", "keyOrDefault", `{{key_or_default "a" "b"}}`, "", "t:1:3: the function key_or_default is denied by the configuration, which denies \"keyOrDefault\"; hint: "},
		{"its new name", "key_or_default", `{{keyOrDefault "a" "b"}}`, "", "t:1:3: the function keyOrDefault is denied"},
		{"with the prefix", "upper", `{{sprig_upper "a"}}`, "", "t:1:3: the function sprig_upper is denied"},
		{"without the prefix", "sprig_upper", `{{upper "a"}}`, "", "t:1:3: the function upper is denied"},
		{"a pattern", "*ToFile", `{{writeToFile "/x" "" "" "644" "x"}}`, "", "t:1:3: the function writeToFile is denied by the configuration, which denies \"*ToFile\"; hint: "},
		{"one of Go's", "printf", `{{printf "x"}}`, "", "t:1:3: the function printf is denied"},
		{"in a pipe", "env", `{{"HOME" | env}}`, "", "t:1:12: the function env is denied"},
		{"at the front of a pipe", "env", `{{env "HOME" | toUpper}}`, "", "t:1:3: the function env is denied"},
		{"as an argument", "env", `{{toUpper (print (env "HOME"))}}`, "", "t:1:19: the function env is denied"},
		{"as an argument of call", "env", `{{call env "HOME"}}`, "", "t:1:8: the function env is denied"},
		{"a query", "key", `{{keyExists "a"}}{{key "a"}}`, "", "t:1:20: the function key is denied"},
		{"with a field", "node", `{{(node "a").Node.Address}}`, "", "t:1:4: the function node is denied"},
		{"with a method", "scratch", `{{scratch.Set "a" 1}}`, "", "t:1:3: the function scratch is denied"},
		{"in what is never executed", "env", `{{if false}}{{env "HOME"}}{{end}}`, "", "t:1:15: the function env is denied"},
		{"in if", "env", `{{if env "HOME"}}{{end}}`, "", "t:1:6: the function env is denied"},
		{"in else if", "env", `{{if 1}}{{else if env "HOME"}}{{end}}`, "", "t:1:19: the function env is denied"},
		{"in else", "env", `{{with 1}}{{else}}{{env "HOME"}}{{end}}`, "", "t:1:21: the function env is denied"},
		{"in else with", "env", `{{with 1}}{{else with env "HOME"}}{{end}}`, "", "t:1:23: the function env is denied"},
		{"in range", "env", `{{range $x := env "HOME"}}{{end}}`, "", "t:1:15: the function env is denied"},
		{"in an assignment", "env", `{{$x := 1}}{{$x = env "HOME"}}`, "", "t:1:19: the function env is denied"},
		{"in define", "env", `{{define "a"}}{{env "HOME"}}{{end}}`, "", "t:1:17: the function env is denied"},
		{"in block", "env", `{{block "a" env "HOME"}}{{end}}`, "", "t:1:13: the function env is denied"},
		{"for a template", "env", `{{define "a"}}{{end}}{{template "a" env "HOME"}}`, "", "t:1:37: the function env is denied"},
		{"for executeTemplate", "env", `{{define "a"}}{{env .}}{{end}}{{executeTemplate "a" "HOME"}}`, "", "t:1:17: the function env is denied"},
		{"in a file's contents", "env", `{{writeToFile "/x" "" "" "644" (env "HOME")}}`, "", "t:1:33: the function env is denied"},
		{"in a partial", "env", `{{template "p"}}`, `{{env "HOME"}}`, "dir/p:1:3: the function env is denied"},
		{"in what a partial defines", "env", ``, `{{define "a"}}{{env "HOME"}}{{end}}`, "dir/p:1:17: the function env is denied"},
		{"one that is left out anyway", "secret", `{{vault "a"}}`, "", "t:1:3: the function vault is denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := template.Options{Denied: []string{"uniq", c.denied}}
			if c.partial != "" {
				o.Partials = []template.Partial{{Name: "dir/p", Text: c.partial}}
			}
			_, err := template.Parse("t", c.text, o)
			e, ok := err.(*template.Error)
			if !ok || !strings.HasPrefix(shown(e)+"\n"+e.Excerpt(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

// A name denies its function, and no other.
func TestDenies(t *testing.T) {
	for _, c := range []struct{ pattern, want string }{
		{"env", "env sprig_env"},
		{"envOrDefault", "envOrDefault"},
		{"*nv", "env expandenv mustEnv sprig_env sprig_expandenv"},
		{"key", "key"},
		{"keyOrDefault", "keyOrDefault key_or_default"},
		{"fail", "fail sprig_fail"},
		{"trim", "trim"},
		{"sprig_trim", "sprig_trim"},
		{"slice", "slice"},
		{"sprig_slice", "sprig_slice"},
		{"tuple", "list sprig_list sprig_tuple tuple"},
		{"sprig_push", "append push sprig_append sprig_push"},
		{"vault", "secret vault"},
		{"file", "file"},
		{"print*", ""}, // all of these are Go's
	} {
		if got := strings.Join(template.Denies(c.pattern), " "); got != c.want {
			t.Errorf("%s denies %q, want %q", c.pattern, got, c.want)
		}
	}
	left := slices.DeleteFunc(template.AllNames(), func(name string) bool { return slices.Contains(template.Denies("*"), name) })
	if got := strings.Join(left, " "); got != "and call eq ge gt html index js le len lt ne not or print printf println slice urlquery" {
		t.Errorf("* does not deny %s", got)
	}
}

// No function of sprig has a name that a denial does not know of.
func TestDeniedAliases(t *testing.T) {
	functions := sprig.HermeticTxtFuncMap()
	for name, f := range functions {
		for other, g := range functions {
			if reflect.ValueOf(f).Pointer() == reflect.ValueOf(g).Pointer() && funcs.Original("sprig_"+name) != funcs.Original("sprig_"+other) {
				t.Errorf("%s and %s are one function", name, other)
			}
		}
	}
}

// Every function can be denied.
func TestDenyEach(t *testing.T) {
	for _, name := range template.AllNames() {
		_, err := template.Parse("t", "{{if false}}{{"+name+"}}{{end}}", template.Options{Denied: []string{name}})
		if err == nil || !strings.HasPrefix(err.Error(), "t:1:15: the function "+name+" is denied") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What denies nothing leaves a hole, and is an error.
func TestDeniedUnknown(t *testing.T) {
	for _, c := range []struct{ pattern, want string }{
		{"plugn", `t: cannot deny "plugn": there is no such function; hint: did you mean plugin?`},
		{"writeToFiles", `t: cannot deny "writeToFiles": there is no such function; hint: did you mean writeToFile?`},
		{"frobnicate", `t: cannot deny "frobnicate": there is no such function`},
		{"", `t: cannot deny "": there is no such function`},
		{"nope*", `t: cannot deny "nope*": there is no such function`},
		{"[", `t: cannot deny "[": there is no such function`},
		{"range", `t: cannot deny "range": there is no such function`},
		{" plugin", `t: cannot deny " plugin": there is no such function; hint: did you mean plugin?`},
	} {
		e := faultWith(t, "t", "", nil, template.Options{Denied: []string{"env", c.pattern}})
		if !strings.HasPrefix(shown(e), c.want) {
			t.Errorf("got  %v\nwant %s", e, c.want)
		}
	}
}

// A template has no functions but those that Parse has looked at, so that what it overlooked could not be called.
func TestFunctionsThatWereNotLookedAt(t *testing.T) {
	tmpl, err := template.Parse("t", `{{toUpper "x"}}`, template.Options{Denied: []string{"plugin"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plugin", "key", "upper"} {
		if err := tmpl.ParseLate("{{" + name + "}}"); err == nil {
			t.Errorf("%s is there", name)
		}
	}
}
