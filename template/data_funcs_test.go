package template_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"render/template"
	"render/watch"
)

// dataAnswers are three instances, some keys and two services.
func dataAnswers() answers {
	return answers{
		service("web"): []*watch.HealthService{
			{
				ID: "a", Node: "n1", Port: 80, Status: "passing", Tags: watch.ServiceTags{"x", "y"},
				ServiceMeta: map[string]string{"zone": "z1", "env": "a/b", "version": "7", "dotted.key": "d"},
			},
			{ID: "b", Node: "n2", Port: 79, Status: "critical", ServiceMeta: map[string]string{"zone": "z0"}, Tags: watch.ServiceTags{"y"}},
			{ID: "c", Node: "n1", Port: 80, Status: "passing"},
		},
		service("none"): []*watch.HealthService{},
		query("prefix", "p/", ""): []*watch.KeyPair{
			{Path: "p/a/b", Key: "a/b", Value: "1"}, {Path: "p/a/c/d", Key: "a/c/d", Value: "2"}, {Path: "p/e", Key: "e", Value: "3"},
		},
		query("prefix", "clash/", ""): []*watch.KeyPair{{Key: "a", Value: "1"}, {Key: "a/c", Value: "2"}},
		query("services", "", ""):     []*watch.CatalogSnippet{{Name: "db"}, {Name: "web", Tags: watch.ServiceTags{"x", "y"}}},
		query("node", "n1", ""): &watch.CatalogNode{Node: &watch.Node{Node: "n1"}, Services: []*watch.CatalogNodeService{
			{ID: "a", Port: 80}, {ID: "s", Port: 22},
		}},
		query("datacenters", "", ""): []string{"dc2", "dc1"},
		kv("n"):                      "10000000",
	}
}

func TestDataFuncs(t *testing.T) {
	known := dataAnswers()
	for _, c := range []struct{ text, want string }{
		// scratch
		{`{{scratch.Key "a"}} {{scratch.Get "a"}} {{scratch.Set "a" 1}}{{scratch.Key "a"}} {{scratch.Get "a"}}`, `false <no value> true 1`},
		{`{{scratch.SetX "a" 1}}{{scratch.SetX "a" 2}}{{scratch.Set "a" 3}}{{scratch.SetX "a" 4}}{{scratch.Get "a"}}`, `3`},
		{`{{scratch.MapSet "m" "b" 1}}{{scratch.MapSet "m" "a" 2}}{{scratch.MapSetX "m" "a" 3}}{{scratch.MapSetX "m" "c" 4}}{{scratch.MapValues "m"}} {{scratch.Get "m"}}`,
			`[2 1 4] map[a:2 b:1 c:4]`},
		{`{{scratch.MapValues "m"}} {{scratch.Set "m" "x"}}{{scratch.MapValues "m"}}`, `[] []`},
		{`{{define "t"}}{{scratch.Set "a" "inner"}}{{end}}{{template "t"}}{{scratch.Get "a"}}`, `inner`},
		{`{{scratch.Set "m" (parseJSON "{\"a\":1}")}}{{scratch.MapSet "m" "b" 2}}{{scratch.Get "m"}}`, `map[a:1 b:2]`},

		// groups
		{`{{range $top, $m := tree "p/" | byKey}}{{$top}}{{range $k, $p := $m}} {{$k}} {{$p.Key}} {{$p.Path}} {{$p.Value}};{{end}}{{end}}`,
			`a b b p/a/b 1; c/d c/d p/a/c/d 2;`},
		{`{{range $p, $l := service "web" | byPort}}{{$p}}{{range $l}} {{.ID}}{{end}};{{end}}`, `79 b;80 a c;`},
		{`{{with node "n1"}}{{range $p, $l := byPort .Services}}{{$p}} {{len $l}};{{end}}{{end}}{{byPort nil}}`, `22 1;80 1;map[]`},
		{`{{range $tag, $l := service "web" | byTag}}{{$tag}}{{range $l}} {{.ID}}{{end}};{{end}}`, `x a;y a b;`},
		{`{{range $tag, $l := services | byTag}}{{$tag}}{{range $l}} {{.Name}}{{end}};{{end}}{{byTag nil}}`, `x web;y web;map[]`},
		{`{{range $k, $l := service "web" | byMeta "env,version|int"}}{{$k}}{{range $l}} {{.ID}}{{end}};{{end}}`, `_no_env__00000 b c;a_b_00007 a;`},
		{`{{range $k, $l := service "web" | byMeta "zone"}}{{$k}};{{end}}{{byMeta "zone" (service "none")}}`, `_no_zone_;z0;z1;map[]`},

		// contains
		{`{{containsAll (list "a" "b") (split "," "a,b,c")}} {{containsAll (list "a" "x") (split "," "a,b")}} {{containsAll list "a"}} {{containsAll (list "a") nil}}`, `true false true false`},
		{`{{containsAny (list "a" "x") (split "," "a,b")}} {{containsAny (list "x") (split "," "a,b")}} {{containsAny list "a"}}`, `true false false`},
		{`{{containsNone (list "a" "x") (split "," "a,b")}} {{containsNone (list "x") (split "," "a,b")}} {{containsNone list "a"}}`, `false true true`},
		{`{{containsNotAll (list "a" "x") (split "," "a,b")}} {{containsNotAll (list "a") (split "," "a,b")}} {{containsNotAll list "a"}}`, `true false false`},
		{`{{range service "web"}}{{containsAll (parseJSON "[\"x\",\"y\"]") .Tags}}{{containsAny (split "," "q,y") .Tags}} {{end}}`, `truetrue falsetrue falsefalse `},

		// maps
		{`{{tree "p/" | explode}} {{(tree "p/" | explode).a.c.d}}`, `map[a:map[b:1 c:map[d:2]] e:3] 2`},
		{`{{explodeMap (parseJSON "{\"a/b\":1,\"a/c/d\":2,\"e\":[3]}")}} {{explodeMap (parseJSON "{}")}}`, `map[a:map[b:1 c:map[d:2]] e:[3]] map[]`},
		{`{{mergeMap (parseJSON "{\"a\":1,\"b\":{\"x\":\"\",\"y\":1},\"c\":{\"d\":1}}") (parseJSON "{\"a\":2,\"b\":{\"x\":3,\"z\":4},\"c\":5,\"e\":6}")}}`,
			`map[a:1 b:map[x:3 y:1 z:4] c:map[d:1] e:6]`},
		{`{{parseJSON "{\"a\":\"\",\"b\":{\"x\":3},\"c\":5}" | mergeMapWithOverride (parseJSON "{\"a\":1,\"b\":{\"x\":1,\"y\":2},\"c\":{\"d\":1}}")}}`,
			`map[a: b:map[x:3 y:2] c:5]`},
		{`{{$d := parseJSON "{\"a\":1}"}}{{$_ := mergeMap $d (parseJSON "{\"b\":2}")}}{{$d}}`, `map[a:1 b:2]`},
		{`{{$s := parseJSON "{\"b\":{\"x\":1}}"}}{{$d := mergeMap dict $s}}{{$_ := set $d.b "y" 2}}{{$s}} {{$d}}`, `map[b:map[x:1]] map[b:map[x:1 y:2]]`},
		{`{{$d := dict "a" 1}}{{$m := mergeMap $d (dict "d" $d)}}{{$m}}`, `map[a:1 d:map[a:1]]`},

		// text
		{"{{indent 2 \"a\\n\\n b\\n\"}}[{{indent 0 \"a\"}}][{{indent 3 \"\"}}]", "  a\n\n   b\n[a][]"},
		{`{{splitToMap "," "=" "a=1, b=2,c,a=3=4,d="}} {{splitToMap "," "=" ""}}`, `map[ b:2 a:3=4 d:] map[]`},

		// loop
		{`{{range loop 3}}{{.}}{{end}} {{range loop 2 5}}{{.}}{{end}} {{range $i, $e := loop 2 5}}{{$i}}{{$e}} {{end}}`, `012 234 02 13 24 `},
		{`{{range loop ""}}x{{else}}none{{end}} {{range loop "2"}}{{.}}{{end}} {{range loop -1 "1"}}{{.}}{{end}} {{range loop 5 2}}x{{end}}`, `none 01 -10 `},
		{`{{range loop (parseUint "2")}}{{.}}{{end}} {{range loop (parseJSON "2")}}{{.}}{{end}} {{range loop 9}}{{if eq . 2}}{{break}}{{end}}{{.}}{{end}}`, `01 01 01`},

		// where, sortBy, groupBy, uniq
		{`{{range service "web" | where "Status" "passing" | sortBy "Port"}}{{.ID}}{{end}}`, `ac`},
		{`{{range service "web" | where "Port" 80.0}}{{.ID}}{{end}} {{range service "web" | where "Port" "80"}}x{{end}} {{range service "web" | where "Tags" "y"}}{{.ID}}{{end}}`, `ac  ab`},
		{`{{range service "web" | where "ServiceMeta.zone" "z0"}}{{.ID}}{{end}} {{range service "web" | where "ServiceMeta.zone" ""}}{{.ID}}{{end}}`, `b c`},
		{`{{range service "web" | where "ServiceMeta.dotted.key" "d"}}{{.ID}}{{end}} {{range service "web" | where "ServiceTaggedAddresses.wan.Port" 0}}{{.ID}}{{end}}`, `a abc`},
		{`{{len (where "Status" "x" (service "web"))}} {{len (where "Status" "x" (service "none"))}} {{where "a" 1 nil}}`, `0 0 []`},
		{`{{parseJSON "[{\"a\":1},{\"a\":null},{},{\"a\":[2,1]},3]" | initial | where "a" 1}}`, `[map[a:1] map[a:[2 1]]]`},
		{`{{parseJSON "[{\"a\":1},{\"a\":null},{}]" | where "a" nil}}`, `[map[a:<nil>] map[]]`},
		{`{{range service "web" | where "Node" "n1" | byPort}}{{len .}}{{end}}`, `2`},
		{`{{range service "web" | sortBy "Port"}}{{.ID}}{{end}} {{range service "web" | sortBy "ServiceMeta.zone"}}{{.ID}}{{end}} {{range service "web" | sortBy "ID" | reverse}}{{.ID}}{{end}}`, `bac cba cba`},
		{`{{sortBy "." (parseJSON "[3,\"b\",1,null,true,\"a\",false,2.5]")}} {{sortBy "." (split "," "b,a")}} {{sortBy "." nil}}`, `[<nil> false true 1 2.5 3 a b] [a b] []`},
		{`{{range sortBy "n" (parseJSON "[{\"n\":10000000},{\"n\":9},{}]")}}{{.n}} {{end}}`, `<no value> 9 10000000 `},
		{`{{range service "web" | groupBy "Port"}}{{.Key}}:{{range .Items}}{{.ID}}{{end}} {{end}}`, `79:b 80:ac `},
		{`{{range service "web" | groupBy "Tags"}}{{.Key}}:{{range .Items}}{{.ID}}{{end}} {{end}}{{groupBy "Port" (service "none")}}`, `x:a y:ab []`},
		{`{{parseJSON "[{\"k\":1},{\"k\":1.5},{},{\"k\":\"1\"},{\"k\":1}]" | groupBy "k" | toJSON}}`,
			`[{"Key":null,"Items":[{}]},{"Key":1,"Items":[{"k":1},{"k":1}]},{"Key":1.5,"Items":[{"k":1.5}]},{"Key":"1","Items":[{"k":"1"}]}]`},
		{`{{uniq (parseJSON "[1,2,1,\"a\",\"1\",\"a\",null,null,{\"a\":1},{\"a\":1},true,true]")}} {{uniq (list 1 1.0 2)}}`, `[1 2 a 1 <nil> map[a:1] true] [1 2]`},
		{`{{range service "web" | uniq "Status"}}{{.ID}}{{end}} {{range service "web" | uniq "ServiceMeta"}}{{.ID}}{{end}}`, `ab abc`},
	} {
		if got := output(t, c.text, known); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

func TestDataFuncErrors(t *testing.T) {
	known := dataAnswers()
	for _, c := range []struct{ call, want string }{
		{`scratch.Set "a" 1 | scratch.MapSet "a" "k"`, `scratch.MapSet: the value with this name is not a map`},
		{`scratch.MapSetX "m" "k" (dict) | scratch.MapSet "m" "x" | printf "%v" (scratch.MapSet "m" "x" (scratch.Get "m"))`, `scratch.MapSet: a map cannot hold itself`},
		{`byPort 1`, `byPort: wrong argument type int`},
		{`byPort (services)`, `byPort: wrong argument type []*watch.CatalogSnippet`},
		{`byTag (split "," "a")`, `byTag: wrong argument type []string`},
		{`byMeta "zone|int" (service "web")`, `byMeta: the value of a key with |int is not a whole number`},
		{`byMeta "zone|string" (service "web")`, `byMeta: only |int can follow a key`},
		{`containsAll "a" "abc"`, `containsAll: a string is not a list`},
		{`explode (tree "clash/")`, `explode: not a map: a key has both a value and keys below it`},
		{`explodeMap (parseJSON "{\"a\":1,\"a/b\":2}")`, `explodeMap: not a map: a key has both a value and keys below it`},
		{`indent -1 "a"`, `indent: the number of spaces is negative`},
		{`loop 1.5`, `loop: a value of the type float64 is not a whole number`},
		{`loop "x"`, `loop: a value of the type string is not a whole number`},
		{`loop nil`, `loop: a value of the type <nil> is not a whole number`},
		{`loop`, `loop: accepts one or two numbers, not 0`},
		{`loop 1 2 3`, `loop: accepts one or two numbers, not 3`},
		{`loop -9223372036854775808 9223372036854775807`, `loop: the loop has more than 10000000 steps`},
		{`service "web" | sortBy "Prot"`, `sortBy: a HealthService has no field "Prot"; hint: did you mean Port?`},
		{`service "none" | where "Staus" "passing"`, `where: a HealthService has no field "Staus"; hint: did you mean Status?`},
		{`service "web" | groupBy "ID.x"`, `groupBy: a string has no field "x"`},
		{`service "web" | groupBy "ServiceMeta"`, `groupBy: values of the type map[string]string cannot be sorted`},
		{`sortBy "a" 1`, `sortBy: a int is not a list`},
		{`uniq`, `uniq: needs a list, or the name of a field and a list`},
		{`uniq 1 (list 1)`, `uniq: needs a list, or the name of a field and a list`},
	} {
		r := parse(t, "{{"+c.call+"}}").Execute(t.Context(), known.lookup)
		if r.Err == nil || !strings.HasSuffix(shown(r.Err), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.call, r.Err, c.want)
		}
	}
}

// A pad lives for one pass.
func TestScratchIsOfThePass(t *testing.T) {
	tmpl := parse(t, `{{scratch.Key "a"}}{{scratch.Set "a" 1}}{{scratch.MapValues "m"}}{{scratch.MapSet "m" "k" 1}}`)
	for range 3 {
		if r := tmpl.Execute(t.Context(), answers{}.lookup); string(r.Output) != "false[]" {
			t.Errorf("got %q, %v", r.Output, r.Err)
		}
	}
}

// Templates share answers. However one of them arranges its data, the other does not see it.
func TestAnswersDoNotChange(t *testing.T) {
	text := `{{range datacenters | sortAlpha}}{{.}}{{end}}{{range sortBy "." datacenters}}{{.}}{{end}}{{push datacenters "x"}}{{reverse datacenters}}` +
		`{{append (slice datacenters 0 1) "y"}}{{sprig_slice datacenters 0 1 | sortAlpha}}{{datacenters | toStrings | sortAlpha}}{{prepend datacenters "z"}}` +
		`{{range $k, $m := tree "p/" | byKey}}{{range $m}}{{.Key}}{{end}}{{end}}{{$e := tree "p/" | explode}}{{$_ := set $e.a "b" 9}}{{$_ := unset $e "e"}}{{$e}}` +
		`{{$d := dict "web" (service "web")}}{{$_ := set $d "x" 1}}{{$_ := merge $d $e}}{{$_ := mergeOverwrite $d (dict "a" 1)}}{{len $d}}` +
		`{{range service "web" | sortBy "Port" | where "Port" 80 | uniq "Node"}}{{.ID}}{{end}}{{range service "web" | groupBy "Tags"}}{{len .Items}}{{end}}` +
		`{{range $k, $l := service "web" | byTag}}{{len $l}}{{end}}{{range service "web"}}{{.Tags | sortAlpha | join ","}}{{end}}{{service "web" | toYAML | len}}{{service "web" | spew_sdump | len}}` +
		`{{scratch.Set "w" (service "web")}}{{scratch.MapSet "m" "w" (service "web")}}{{concat datacenters datacenters}}{{without datacenters "dc1"}}`
	known := dataAnswers()
	var wg sync.WaitGroup
	outputs := make([]string, 2)
	for i := range outputs {
		tmpl := parse(t, text)
		wg.Go(func() {
			for range 20 {
				r := tmpl.Execute(t.Context(), known.lookup)
				if r.Err != nil {
					t.Error(r.Err)
					return
				}
				outputs[i] = string(r.Output)
			}
		})
	}
	wg.Wait()
	if outputs[0] != outputs[1] || outputs[0] == "" {
		t.Errorf("got %q\nand %q", outputs[0], outputs[1])
	}
	if fresh := dataAnswers(); !reflect.DeepEqual(known, fresh) {
		t.Errorf("the answers are now\n%v", known)
	}
}

// No answer has a map that set, mergeMap or merge can change. The first that gets one has to be copied before a function
// returns it.
func TestAnswersHaveNoMapOfAnything(t *testing.T) {
	seen := make(map[reflect.Type]bool)
	var look func(path string, typ reflect.Type)
	look = func(path string, typ reflect.Type) {
		if seen[typ] || typ.PkgPath() == "time" {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.Interface:
			t.Errorf("%s can be anything", path)
		case reflect.Pointer, reflect.Slice, reflect.Array:
			look(path, typ.Elem())
		case reflect.Map:
			look(path+"[]", typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				look(path+"."+typ.Field(i).Name, typ.Field(i).Type)
			}
		}
	}
	for _, answer := range []any{[]*watch.HealthService{}, []*watch.CatalogSnippet{}, []*watch.Node{}, &watch.CatalogNode{}, []*watch.KeyPair{}, []string{}} {
		look(fmt.Sprintf("%T", answer), reflect.TypeOf(answer))
	}
}

// The examples of the README give the same each time, and in each template.
func TestReadmeExamplesRepeat(t *testing.T) {
	lookup, rows, _ := readme(t)
	for _, row := range rows {
		if len(row) < 2 || !strings.HasPrefix(row[len(row)-2], "`{{") {
			continue
		}
		text := strings.Trim(row[len(row)-2], "`")
		var first string
		for i := range 100 {
			tmpl, err := template.Parse("README.md", text, template.Options{Env: testEnv})
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = string(tmpl.Execute(t.Context(), lookup).Output)
			}
			if again := string(tmpl.Execute(t.Context(), lookup).Output); again != first {
				t.Fatalf("%s\ngave %q\n then %q", text, first, again)
			}
			if strings.Contains(text, "plugin") {
				break // each starts a program
			}
		}
	}
}

// No error of these functions has a value.
func TestDataErrorsHaveNoValues(t *testing.T) {
	const word, number = "c4narysecret", "424242424242"
	values := []string{
		word, number, `{"` + word + `":` + number + `}`, `{"` + word + `":`, `["` + word + `",` + number + `]`, "(" + word,
		"a: *" + word, "{" + word + ": b}: c", "a: !!int " + word, "a:\n\t" + word, number + strings.Repeat("0", 400), "%" + word, "http://[" + word,
	}
	for _, text := range []string{
		`{{add (key "k") 1}}`, `{{loop (key "k")}}`, `{{loop (parseInt (key "k"))}}`, `{{range $i, $x := loop (key "k")}}{{end}}`,
		`{{parseYAML (key "k")}}`, `{{parseYAML (key "k") | toTOML}}`, `{{toTOML (dict (key "k") (list nil))}}`, `{{toYAML (call (key "k"))}}`,
		`{{base64URLDecode (key "k")}}`, `{{sockaddr (key "k")}}`, `{{fail (key "k")}}`, `{{sprig_fail (printf "it is %s!" (key "k"))}}`,
		`{{where (key "k") 1 (service "web")}}`, `{{sortBy (key "k") (service "web")}}`, `{{groupBy (key "k") (list (key "k"))}}`, `{{uniq (key "k") (list 1)}}`,
		`{{byPort (key "k")}}`, `{{byMeta "a|int" (service "web")}}`, `{{byMeta (printf "a|%s" (key "k")) (service "web")}}`, `{{containsAll (key "k") "x"}}`,
		`{{explodeMap (dict (key "k") 1 (printf "%s/a" (key "k")) 2)}}`, `{{mergeMap (dict "a" 1) (key "k")}}`,
		`{{scratch.Set (key "k") 1}}{{scratch.MapSet (key "k") "a" 1}}`, `{{timestamp (key "k") (key "k")}}`,
		`{{regexFind (key "k") "a"}}`, `{{mustRegexFind (key "k") "a"}}`, `{{mustToDate (key "k") (key "k")}}`, `{{mustFromJson (key "k")}}`, `{{urlParse (key "k")}}`,
		`{{urlJoin (dict "userinfo" (printf "%s\n" (key "k")))}}`, `{{semver (key "k")}}`, `{{semverCompare (key "k") "1"}}`, `{{substr (int (key "k")) -1 "abc"}}`,
		`{{first (key "k")}}`, `{{push (key "k") 1}}`, `{{dig "a" "b" (key "k")}}`, `{{mustDateModify (key "k") (toDate "" "")}}`, `{{decryptAES "x" (key "k")}}`,
		`{{buildCustomCert (key "k") (key "k")}}`, `{{key "k" | concat (list 1)}}`, `{{mustMerge dict (key "k")}}`,
	} {
		tmpl, failed := parse(t, text), false
		for _, value := range values {
			r := tmpl.Execute(t.Context(), func(q watch.Query) (any, bool) {
				if q == kv("k") {
					return value, true
				}
				return []*watch.HealthService{{ID: word, ServiceMeta: map[string]string{"a": word}}}, true
			})
			e, ok := errors.AsType[*template.Error](r.Err)
			if !ok {
				continue
			}
			failed = true
			if said := fmt.Sprintf("%v\n%s\n%v", e, e.Excerpt(), e.Err); strings.Contains(said, word) || strings.Contains(said, number) {
				t.Errorf("%s\nwith %.40q it says %.200s", text, value, said)
			}
		}
		if !failed {
			t.Errorf("%s does not fail", text)
		}
	}
}

// What is parsed can be written, and whatever comes in, nothing panics: that would be an error of text/template.
func FuzzData(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,{"b":null}]}`, "a: 1\nb: [x, 'y']\n", "a: &x [1]\nb: *x\n<<: {c: d}", "a/b=1,c=2", "", "(", "\xff", `{"a":1,"a/b":2}`, "10000000", "? {a: b}\n: c"} {
		f.Add(s)
	}
	var texts []*template.Template
	for _, call := range []string{
		`parseYAML . | toYAML`, `parseYAML . | toJSON`, `parseYAML . | toTOML`, `parseJSON . | toYAML`, `parseJSON . | toTOML`, `parseJSON . | toUnescapedJSONPretty`,
		`parseJSON . | explodeMap`, `parseJSON . | uniq`, `parseJSON . | sortBy "a"`, `parseJSON . | groupBy "a.b"`, `parseJSON . | where "a" 1`, `splitToMap "," "=" .`,
		`indent 2 .`, `base64URLDecode .`, `sha256Hex .`, `mergeMap (parseJSON .) (parseJSON .)`, `mergeMapWithOverride (parseYAML .) (parseJSON .)`, `parseJSON . | spew_sdump`,
		`parseJSON . | add 1`, `parseJSON . | toString`, `parseJSON . | deepCopy`, `parseJSON . | values`, `fromJson .`, `regexFind . .`, `urlParse .`, `semver .`, `snakecase .`, `sortAlpha .`,
	} {
		text := strings.ReplaceAll(call, " .", ` (key "k")`)
		tmpl, err := template.Parse("t", "{{"+text+"}}", template.Options{Env: testEnv})
		if err != nil {
			f.Fatal(err)
		}
		texts = append(texts, tmpl)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, tmpl := range texts {
			r := tmpl.Execute(t.Context(), answers{kv("k"): value}.lookup)
			if r.Err != nil && (strings.Contains(r.Err.Error(), "error calling") || strings.Contains(r.Err.Error(), "runtime error")) {
				t.Errorf("%v", r.Err)
			}
			if r.Err == nil && !r.Finished() {
				t.Errorf("%v is neither finished nor an error", r)
			}
		}
	})
}
