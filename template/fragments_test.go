package template_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"render/template"
	"render/template/fragment"
	"render/watch"
)

// An iteration that left a query out, because something was unanswered, is not kept.
func TestFragmentsThatLeaveOut(t *testing.T) {
	const text = `{{$late := keyOrDefault "late" ""}}{{range services}}{{keyExists .Name}}{{secretExists $late}}{{end}}`
	known := answers{query("services", "", ""): []*watch.CatalogSnippet{{Name: "a"}, {Name: "b"}}, kv("a"): nil, kv("b"): nil}
	tmpl := parse(t, text)
	if r := tmpl.Execute(t.Context(), known.lookup); r.Err != nil || r.Complete || template.Kept(tmpl) != 0 {
		t.Errorf("at first: %v, complete is %v, %d iterations are kept", r.Err, r.Complete, template.Kept(tmpl))
	}
	known[kv("late")] = ""
	if r := tmpl.Execute(t.Context(), known.lookup); r.Err == nil || r.Complete {
		t.Errorf("then: %v, complete is %v", r.Err, r.Complete)
	}
}

// What an iteration does besides asking queries decides whether it is kept; a pass is as one that keeps nothing in any case.
func TestFragments(t *testing.T) {
	const head, foot = `{{$o := "o"}}{{$m := dict "x" "m"}}{{range $i, $e := services}}{{$k := keyOrDefault .Name "none"}}`, `{{end}}{{$o}}{{$m.x}}`
	const defines = `{{define "asks"}}{{key .}}{{end}}{{define "env"}}{{env "E"}}{{end}}{{define "calls"}}{{template "env"}}{{end}}` +
		`{{define "pure"}}{{$x := .}}{{$x = toUpper $x}}{{$x}}{{range list 1 2}}{{if eq . 2}}{{break}}{{end}}{{end}}{{end}}` +
		`{{define "again"}}{{if .}}{{template "again" false}}{{end}}{{end}}`
	for _, c := range []struct {
		name, body string
		kept       bool
	}{
		{"queries", `{{$k}}{{key "k0"}}{{range service .Name}}{{.ID}}{{else}}none{{end}}`, true},
		{"an outer variable", `{{$k}}{{$o}}`, true},
		{"the index", `{{$k}}{{$i}}`, true},
		{"its own variables", `{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}{{$e = index services 0}}{{$e.Name}}`, true},
		{"an outer variable that it hides", `{{$o}}{{$o := "own"}}{{$o = "other"}}{{$o}}`, true},
		{"continue", `{{if eq $k "a"}}{{continue}}{{end}}{{$k}}`, true},
		{"a range that ends", `{{range list 1 2}}{{.}}{{break}}{{end}}{{$k}}`, true},
		{"a template", `{{template "pure" .Name}}{{executeTemplate "pure" .Name}}{{.Name | executeTemplate "asks"}}`, true},
		{"a template that executes itself", `{{template "again" true}}{{$k}}`, true},
		{"hostport", `{{$k}}{{range service .Name}}{{hostport .}}{{end}}`, true},

		{"an outer variable is assigned", `{{$o = $k}}`, false},
		{"an outer variable is assigned by a range", `{{range $o = list "x" $k}}{{end}}`, false},
		{"an outer variable is a map", `{{$m.x}}{{$k}}`, false},
		{"a variable declared in an argument", `{{or $k ($o := "x")}}{{$o}}`, false},
		{"a variable of a branch", `{{if eq $k "a"}}{{$y := "y"}}{{$y}}{{else}}{{$k}}{{end}}`, true},
		{"break", `{{$k}}{{if eq $k "a"}}{{break}}{{end}}`, false},
		{"break in the else of a range", `{{$k}}{{range list}}{{else}}{{if eq $k "a"}}{{break}}{{end}}{{end}}`, false},
		{"env", `{{env "E"}}`, false},
		{"env of a template", `{{template "calls"}}`, false},
		{"env of an executed template", `{{executeTemplate "calls" .}}`, false},
		{"any template", `{{executeTemplate (print "pure") .Name}}`, false},
		{"a template from a pipe", `{{"pure" | executeTemplate}}`, false},
		{"scratch", `{{scratch.Set "s" $k}}{{scratch.Get "s"}}`, false},
		{"set", `{{$x := set $m "x" $k}}{{$k}}`, false},
		{"plugin", `{{plugin $k}}`, false},
		{"writeToFile", `{{writeToFile "w" "" "" "0644" "append" $k}}`, false},
		{"timestamp", `{{len (timestamp)}}`, false},
		{"call", `{{if false}}{{call .}}{{end}}`, false},
		{"dump", `{{len (spew_sdump $k)}}`, false},
	} {
		t.Run(c.name, func(t *testing.T) { executeBoth(t, head+c.body+foot+defines, template.Options{}, c.kept) })
	}
	for _, c := range []struct {
		name, text string
		strict     bool
		kept       bool
	}{
		{"a range within one that is not kept", `{{range $i, $e := services}}{{$n := .Name}}{{env "E"}}{{range $j, $x := list "a" "b"}}{{$i}}{{$j}}{{key $n}}{{$x}}{{end}}{{end}}`, false, true},
		{"with else", `{{range services}}{{key .Name}}{{else}}none{{end}}`, false, true},
		{"else that uses the variable", `{{range $x := service "s3"}}{{key .ID}}{{else}}{{len $x}}{{end}}`, false, true},
		{"no list", `{{range 2}}{{key "s0"}}{{end}}{{range $k, $v := dict "a" "b"}}{{key "s1"}}{{end}}{{range .none}}{{key "k"}}{{end}}`, false, false},
		{"no list at all", `{{range key "s0"}}{{key "s1"}}{{end}}`, false, false},
		{"elements without a key", `{{range list (dict "x" "a")}}{{key "s0"}}{{.x}}{{end}}`, false, false},
		{"elements of several types", `{{range services}}{{$n := .Name}}{{range list 1 "1" $n true nil 1.5}}{{print .}}{{keyOrDefault $n "d"}}{{end}}{{end}}`, false, true},
		{"an assigned variable", `{{$x := 1}}{{range $x = services}}{{key .Name}}{{end}}{{$x.Name}}`, false, false},
		{"a variable that the list declares", `{{$y := "outer"}}{{range (print ($y := key "s0") | split ",")}}{{key "s1"}}{{$y}}{{end}}{{$y}}`, false, false},
		{"a variable that is not there", `{{if true}}{{$x := 1}}{{else}}{{range list 1}}{{$x}}{{key "s0"}}{{end}}{{end}}`, false, false},
		{"nothing asked", `{{range services}}{{.Name}}{{end}}{{key "s0"}}{{env "E"}}`, false, false},
		{"the data of a template", `{{define "x"}}{{range list 1 2}}{{key $}}{{.}}{{end}}{{end}}{{range services}}{{template "x" .Name}}{{env "E"}}{{end}}`, false, true},
		{"executed templates", `{{define "x"}}{{$n := .}}{{range list 1 2}}{{key $n}}{{.}}{{end}}{{end}}{{range services}}{{env "E"}}<{{executeTemplate "x" .Name}}>{{end}}`, false, true},
		{"a missing key", `{{key "s0"}}{{key "s1"}}{{range services}}{{$k := key .Name}}{{(parseJSON "{}").nope}}{{end}}`, true, false},
		{"a missing key behind what is pending", `{{range list 1}}{{key "s2"}}{{if keyExists "s0"}}{{(parseJSON "{}").nope}}{{end}}{{end}}{{key "s1"}}`, true, false},
		{"a key that may be absent", `{{range services}}{{key .Name}}{{key .Name}}{{end}}`, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			executeBoth(t, c.text, template.Options{ErrorOnMissingKey: c.strict}, c.kept)
		})
	}
}

// executeBoth executes a template that keeps iterations, and one that does not, while data change, and compares the results.
func executeBoth(t *testing.T, text string, o template.Options, keeps bool) {
	t.Helper()
	known, env := make(answers), "env"
	list := func(names ...string) (all []*watch.CatalogSnippet) {
		for _, name := range names {
			all = append(all, &watch.CatalogSnippet{Name: name})
		}
		return all
	}
	known[query("services", "", "")] = list("s0", "s1", "s2")
	known[service("s0")] = []*watch.HealthService{{ID: "i0", Address: "10.0.0.1", Port: 80}, {ID: "i1", Address: "no address", Port: 80}}
	known[service("s1")], known[service("s2")], known[service("s3")] = known[service("s0")], nil, nil
	for i, value := range []string{"a", "b", "c"} {
		known[kv(fmt.Sprintf("s%d", i))] = value
	}
	known[kv("k0")], known[kv("i0")] = "k0", "i0"

	o.Env = func(string) (string, bool) { return env, true }
	tmpl, err := template.Parse("t", text, o)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for i, change := range []func(){
		func() {},
		func() {},
		func() { known[kv("s1")] = "a" },
		func() { known[kv("s1")] = "B" },
		func() { env = "other" },
		func() { delete(known, kv("s2")) },
		func() { delete(known, kv("s1")) },
		func() { known[kv("s1")] = "B" },
		func() { known[kv("s2")] = nil },
		func() { known[kv("s2")] = "C" },
		func() { known[kv("k0")] = "K" },
		func() { known[query("services", "", "")] = list("s1", "s0", "s2") },
		func() { known[query("services", "", "")] = list("s2", "s1") },
		func() { known[query("services", "", "")] = list() },
		func() { known[query("services", "", "")] = list("s0", "s1") },
		func() { known[service("s1")] = []*watch.HealthService{{ID: "i2", Address: "no address"}} },
		func() { known[service("s3")] = []*watch.HealthService{{ID: "i0"}, {ID: "i0", Port: 1}, {ID: "i0"}} },
		func() { known[kv("s0")] = "A" },
	} {
		change()
		plain, err := template.Parse("t", text, template.Plain(o))
		if err != nil {
			t.Fatal(err)
		}
		want, got := plain.Execute(t.Context(), known.lookup), tmpl.Execute(t.Context(), known.lookup)
		if diff := difference(want, got); diff != "" {
			t.Errorf("after change %d: %s", i, diff)
		}
		for _, q := range want.Used {
			if p, k := plain.Where(q), tmpl.Where(q); p != k {
				t.Errorf("after change %d: %s is asked at %s, want %s", i, q, k, p)
			}
		}
		kept = max(kept, template.Repeated(tmpl))
	}
	if kept > 0 != keeps {
		t.Errorf("a pass repeated %d iterations", kept)
	}
}

// Each function is known to package fragment as what it is. Add a new one to a list of effects.go, or here where its result or what
// it does depends on more than its arguments and an answer.
func TestEffectOf(t *testing.T) {
	effectful := strings.Fields(`buildCustomCert call decryptAES derivePassword durationRound env envOrDefault merge mergeMap
		mergeMapWithOverride mergeOverwrite mustDateModify mustEnv mustMerge mustMergeOverwrite must_date_modify mustToDate pkiCert plugin scratch
		set sockaddr spew_dump spew_printf spew_sdump spew_sprintf timestamp toDate unixEpoch unset writeToFile`)
	var got []string
	for _, name := range template.AllNames() {
		if bare := strings.TrimPrefix(name, "sprig_"); template.EffectOf(name, 1) == fragment.Effectful && !slices.Contains(got, bare) {
			got = append(got, bare)
		}
	}
	slices.Sort(got)
	slices.Sort(effectful)
	for _, name := range []string{"secret", "vault"} {
		if template.EffectOf(name, 2) != fragment.Effectful {
			t.Errorf("%s with two arguments, which writes, is not effectful", name)
		}
	}
	if !slices.Equal(got, effectful) {
		t.Errorf("effectful are\n%v, want\n%v", got, effectful)
	}
}

// A pass asks after queries that it repeats, and executes no more than what has changed. What no pass uses is forgotten.
func TestFragmentsCost(t *testing.T) {
	known := fleet(100)
	tmpl := parse(t, blocks)
	for i := range 50 {
		known[service("service-0007")] = instances(7, i)
		r := tmpl.Execute(t.Context(), known.lookup)
		if !r.Finished() || len(r.Used) != 101 {
			t.Fatalf("%d queries, error %v", len(r.Used), r.Err)
		}
		if got := template.Repeated(tmpl); i > 0 && got != 99 {
			t.Errorf("pass %d repeated %d iterations, want 99", i, got)
		}
		if got := template.Kept(tmpl); got != 100 {
			t.Errorf("after pass %d %d iterations are kept, want 100", i, got)
		}
	}
	all := query("services", "", "")
	known[all] = slices.Clone(known[all].([]*watch.CatalogSnippet)[:10])
	tmpl.Execute(t.Context(), known.lookup)
	if got := template.Kept(tmpl); got != 10 {
		t.Errorf("of 10 services %d iterations are kept", got)
	}
	if got := template.Asked(tmpl); got != 11 {
		t.Errorf("of 11 queries %d are known", got)
	}
}

// Where the same queries are asked in the same order, the slice is the same, too.
func TestUsedIsTheSameSlice(t *testing.T) {
	known := answers{kv("a"): "A", kv("b"): "B", kv("c"): "C"}
	tmpl := parse(t, `{{key "a"}}{{if eq (key "b") "B"}}{{key "c"}}{{end}}`)
	first := tmpl.Execute(t.Context(), known.lookup).Used
	known[kv("a")] = "other"
	if again := tmpl.Execute(t.Context(), known.lookup).Used; &again[0] != &first[0] || len(again) != 3 {
		t.Error("a pass that asks the same has another slice")
	}
	known[kv("b")] = "other"
	less := tmpl.Execute(t.Context(), known.lookup).Used
	if !slices.Equal(less, []watch.Query{kv("a"), kv("b")}) || len(first) != 3 {
		t.Errorf("%v after %v", less, first)
	}
	known[kv("b")] = "B"
	if more := tmpl.Execute(t.Context(), known.lookup).Used; !slices.Equal(more, first) || len(less) != 2 {
		t.Errorf("%v after %v", more, less)
	}
}

// An iteration takes memory. Where that is more than the output is worth, it is not kept.
func TestFragmentsAreBounded(t *testing.T) {
	known := answers{kv("k"): strings.Repeat("x", 1000)}
	tmpl := parse(t, `{{range loop 20000}}{{$x := executeTemplate "x" .}}{{end}}{{define "x"}}{{range list .}}{{key "k"}}{{.}}{{end}}{{end}}`)
	for range 3 {
		if r := tmpl.Execute(t.Context(), known.lookup); !r.Finished() {
			t.Fatal(r.Err)
		}
		if size := template.KeptSize(tmpl); size > 2<<20 {
			t.Errorf("%d bytes are kept for an output without any", size)
		}
	}
	failing := answers{kv("k"): "k", kv("last"): nil}
	tmpl = parse(t, `{{range split "," (key "k")}}{{keyOrDefault . "d"}}{{end}}{{index (split "," (key "k")) 9}}`)
	for i := range 20_000 {
		failing[kv("k")], failing[kv(fmt.Sprint(i))] = fmt.Sprint(i), "v"
		tmpl.Execute(t.Context(), failing.lookup)
	}
	if kept, asked := template.KeptSize(tmpl), template.Asked(tmpl); kept > 2<<20 || asked > 25_000 {
		t.Errorf("passes that fail keep %d bytes, and %d queries", kept, asked)
	}
}

// An iteration that another has replaced is not repeated, also where its place in a list is known.
func TestReplacedIterations(t *testing.T) {
	twice := []*watch.CatalogSnippet{{Name: "a"}, {Name: "a"}}
	known := answers{query("services", "", ""): twice, service("a"): instances(1, 1), kv("b"): "B", kv("c"): "C"}
	known[query("nodes", "", "")] = []*watch.Node{{Node: "b"}, {Node: "c"}}
	tmpl := parse(t, `{{range services}}{{range service .Name}}{{.Port}} {{end}}{{end}}{{range nodes}}{{key .Node}}{{end}}`)
	for i, c := range []struct {
		change         func()
		repeated, kept int
	}{
		{func() {}, 1, 3},
		{func() { known[service("a")] = instances(1, 2) }, 3, 3},
		{func() { known[query("nodes", "", "")] = []*watch.Node{{Node: "b"}} }, 2, 2},
		{func() { known[service("a")] = instances(1, 3) }, 2, 2},
	} {
		c.change()
		if r := tmpl.Execute(t.Context(), known.lookup); !r.Finished() {
			t.Fatal(r.Err)
		}
		if repeated, kept := template.Repeated(tmpl), template.Kept(tmpl); repeated != c.repeated || kept != c.kept {
			t.Errorf("pass %d repeated %d and keeps %d iterations, want %d and %d", i, repeated, kept, c.repeated, c.kept)
		}
	}
}

// A pass that repeats an iteration shows the name of a query as the pass that executed it, where a secret has the name and the text, too.
func TestRepeatedNames(t *testing.T) {
	read, _ := watch.NewSecret("s")
	known := answers{
		query("services", "", ""): []*watch.CatalogSnippet{{Name: "a"}},
		read:                      &watch.Secret{Data: map[string]any{"v": "web"}}, kv("web"): "x",
	}
	tmpl := parse(t, `{{range services}}{{keyExists (secret "s").Data.v}}{{keyExists "web"}}{{end}}`)
	for i := range 3 {
		if r := tmpl.Execute(t.Context(), known.lookup); !r.Finished() || template.Repeated(tmpl) != min(i, 1) {
			t.Fatalf("pass %d repeated %d iterations, error %v", i, template.Repeated(tmpl), r.Err)
		}
		if place := tmpl.Where(kv("web")); tmpl.Hides(kv("web")) || place != "t:1:54" {
			t.Errorf("pass %d: the name of the key is hidden: %t, asked at %s", i, tmpl.Hides(kv("web")), place)
		}
	}
}

// The places of a list are kept where half of its iterations are: else a few iterations would keep long lists.
func TestPlacesAreBounded(t *testing.T) {
	for pending, want := range map[int]int{0: 100, 50: 100, 51: 0, 100: 0} {
		known := fleet(100)
		for i := range pending {
			delete(known, service(fmt.Sprintf("service-%04d", i)))
		}
		tmpl := parse(t, blocks)
		for range 2 {
			if r := tmpl.Execute(t.Context(), known.lookup); len(r.Pending) != pending {
				t.Fatalf("%d queries are pending, error %v", len(r.Pending), r.Err)
			}
		}
		if got := template.Placed(tmpl); got != want {
			t.Errorf("%d of 100 iterations are not kept, and %d places are", pending, got)
		}
	}
}

// The nodes that Find returns, and the variables that they capture.
func TestFragmentsOfRecipes(t *testing.T) {
	known := maps.Clone(fleet(20))
	for _, file := range []string{"../examples/nginx/upstreams.ctmpl", "../examples/haproxy/haproxy.ctmpl"} {
		tmpl := parse(t, readFile(t, file))
		for range 2 {
			if r := tmpl.Execute(t.Context(), known.lookup); !r.Finished() {
				t.Fatal(r.Err)
			}
		}
		if got := template.Repeated(tmpl); got != 20 {
			t.Errorf("%s: %d of 20 services are kept", file, got)
		}
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	contents, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(contents)
}
