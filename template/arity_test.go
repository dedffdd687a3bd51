package template_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"render/watch"
)

// A function that takes any number of arguments does with each number what it does with the others.
func TestNumbersOfArguments(t *testing.T) {
	known := answers{kv("k"): "v", service("web"): []*watch.HealthService{{Name: "web", Address: "::1", Port: 80}}}
	for _, c := range []struct{ text, want string }{
		{`{{print}}|{{print 1}}|{{print nil}}|{{print (dict).x}}|{{1 | print}}|{{print 1 2}}|{{print "a" "b"}}|{{2 | print 1}}`, "|1|<nil>|<nil>|1|1 2|ab|1 2"},
		{`{{printf "a"}}|{{printf "%v" nil}}|{{printf "%v" 1}}|{{1 | printf "%v"}}|{{printf "%v %v" 1 2}}|{{"a" | printf}}`, "a|<nil>|1|1|1 2|a"},
		{`{{with index (service "web") 0}}{{hostport .}}|{{. | hostport}}|{{hostport .Address .Port}}|{{.Port | hostport .Address}}{{end}}`, "[::1]:80|[::1]:80|[::1]:80|[::1]:80"},
		{`{{len (service "web")}}{{len (service (name "web"))}}{{len ("web" | service)}}{{len (service "" )}}{{key "k"}}{{"k" | key}}`, "1110vv"},
		{`{{$v := (key "k") | print}}{{$v}}{{if print}}x{{end}}`, "v"},
	} {
		if got := output(t, c.text, known); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.text, got, c.want)
		}
	}
	for text, want := range map[string]string{
		`{{printf}}`:        `t:1:3: wrong number of args for printf: want at least 1 got 0`,
		`{{hostport}}`:      `t:1:3: wrong number of args for hostport: want at least 1 got 0`,
		`{{hostport 1}}`:    `t:1:3: hostport: needs an instance of a service, or an address and a port`,
		`{{printf 1 2}}`:    `t:1:10: expected string; found 1`,
		`{{service 1}}`:     `t:1:3: service: accepts texts and named arguments, not a value of the type int`,
		`{{key nil | key}}`: `t:1:3: key: an argument has no value`,
	} {
		r := parse(t, text).Execute(t.Context(), known.lookup)
		if r.Err == nil || r.Err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, r.Err, want)
		}
	}
}

// A function does with a literal what it does with the same value in a variable, and fails with the same message.
func TestLiteralArguments(t *testing.T) {
	calls := []string{
		`eq $v LITERAL`, `ne $v LITERAL`, `eq LITERAL $v`, `ne LITERAL $v`, `eq $v LITERAL LITERAL`, `LITERAL | eq $v`, `$v | eq LITERAL`, `$v | ne LITERAL`,
		`regexMatch LITERAL $v`, `$v | regexMatch LITERAL`, `LITERAL | regexMatch $v`, `mustRegexMatch LITERAL $v`, `lt $v LITERAL`, `len (regexMatch LITERAL $v | print)`,
	}
	literals := []string{`"a"`, `""`, "`^[a-z]+$`", `"("`, `1`, `0`, `007`, `-1`, `1.0`, `1e1`, `0x1`, `'a'`, `true`, `nil`, `9223372036854775807`}
	values := []string{`"a"`, `"1"`, `1`, `"-1" | parseInt`, `1.0`, `true`, `key "k"`, `list 1`, `dict`, `(dict).x`, `parseJSON "1"`, `parseJSON "null"`}
	known := answers{kv("k"): "abc"}
	for _, call := range calls {
		for _, literal := range literals {
			for _, value := range values {
				if literal == "nil" && strings.HasPrefix(call, "LITERAL |") {
					continue // not a value, nowhere
				}
				text := `{{$v := ` + value + `}}{{$l := print 1}}{{if true}}{{` + call + `}}{{end}}`
				direct := parse(t, strings.ReplaceAll(text, "LITERAL", literal)).Execute(t.Context(), known.lookup)
				if literal == "nil" {
					continue // it cannot be in a variable; that it does not panic is enough
				}
				text = strings.Replace(text, "print 1", literal, 1)
				by := parse(t, strings.ReplaceAll(text, "LITERAL", "$l")).Execute(t.Context(), known.lookup)
				if string(direct.Output) != string(by.Output) || (direct.Err == nil) != (by.Err == nil) {
					t.Errorf("%s with %s of %s: %q, %v, and in a variable %q, %v", call, literal, value, direct.Output, direct.Err, by.Output, by.Err)
				}
			}
		}
	}
	for text, want := range map[string]string{
		`{{regexMatch "(" "a"}}`:     `t:1:3: regexMatch: invalid regular expression: missing closing )`,
		`{{regexMatch "a" 1}}`:       `t:1:18: expected string; found 1`,
		`{{regexMatch "a"}}`:         `t:1:3: wrong number of args for regexMatch: want 2 got 1`,
		`{{regexMatch "a" "b" "c"}}`: `t:1:3: wrong number of args for regexMatch: want 2 got 3`,
		`{{ne (list 1) "a"}}`:        `t:1:3: ne: incompatible types for comparison: []interface {} and string`,
		`{{ne 1}}`:                   `t:1:3: wrong number of args for ne: want 2 got 1`,
	} {
		if r := parse(t, text).Execute(t.Context(), known.lookup); r.Err == nil || r.Err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, r.Err, want)
		}
	}
}

// What a template asks by named arguments does not depend on what it asked before.
func TestNamedArgumentsInTurn(t *testing.T) {
	const passing, all = "", "status=maintenance&status=passing&status=warning"
	of := func(name, opts string) watch.Query { return query("service", name, opts) }
	for text, want := range map[string][]watch.Query{
		`{{range loop 3}}{{service (print "s" .) (status "passing" "warning" "maintenance")}}{{end}}`:     {of("s0", all), of("s1", all), of("s2", all)},
		`{{service "a" (status "passing")}}{{service "b" (status "passing")}}`:                            {of("a", passing), of("b", passing)},
		`{{service "a" (status "any" "warning")}}{{service "b" (status "critical" "any")}}`:               {of("a", "status=any&status=warning"), of("b", "status=any&status=critical")},
		`{{service "a" (tag "x") (tag "y")}}{{service "b" (tag "y") (tag "x")}}{{service "c" (tag "x")}}`: {of("a", "tag=x&tag=y"), of("b", "tag=x&tag=y"), of("c", "tag=x")},
		`{{service "a" (dc "x")}}{{service "b" (near "x")}}{{service "c"}}{{service "d" (dc "x")}}`:       {of("a", "dc=x"), of("b", "near=x"), of("c", ""), of("d", "dc=x")},
		`{{service "a" (dc "x")}}{{connect "a" (dc "x")}}{{service (name "b") (dc "x")}}`:                 {of("a", "dc=x"), query("connect", "a", "dc=x"), of("b", "dc=x")},
		`{{service "a" (dc "x")}}{{service "" (dc "x")}}{{service "b" (dc "x")}}`:                         {of("a", "dc=x"), of("b", "dc=x")},
		`{{service "a" (dc "x")}}{{service "b" "c" (dc "x")}}`:                                            {of("a", "dc=x")},
		`{{service "a" (dc "x")}}{{service "b" (dc "x") (dc "y")}}`:                                       {of("a", "dc=x")},
		`{{key "a" (dc "x")}}{{ls "a" (dc "x")}}{{tree "b" (dc "x")}}`:                                    {query("kv", "a", "dc=x"), query("prefix", "a", "dc=x"), query("prefix", "b", "dc=x")},
	} {
		tmpl := parse(t, text)
		for range 2 {
			if used := tmpl.Execute(t.Context(), answers{}.lookup).Used; !slices.Equal(used, want) {
				t.Errorf("%s\n got %v\nwant %v", text, used, want)
			}
		}
	}
}

// A name that is not read by the grammar is what the grammar makes of it.
func TestPlainNames(t *testing.T) {
	plain := regexp.MustCompile(`^[\w\-]+$`)
	for c := range 256 {
		name := "a" + string([]byte{byte(c)}) + "b"
		text := "{{service " + strconv.Quote(name) + "}}"
		used := parse(t, text).Execute(t.Context(), answers{service(name): nil}.lookup).Used
		if slices.Equal(used, []watch.Query{service(name)}) != plain.MatchString(name) {
			t.Errorf("%s queries %v", text, used)
		}
	}
	for text, want := range map[string]watch.Query{
		`{{key "a"}}`: kv("a"), `{{ls "a"}}`: query("prefix", "a", ""), `{{connect "a"}}`: query("connect", "a", ""),
	} {
		if used := parse(t, text).Execute(t.Context(), answers{}.lookup).Used; !slices.Equal(used, []watch.Query{want}) {
			t.Errorf("%s queries %v", text, used)
		}
	}
	r := parse(t, `{{services "a"}}`).Execute(t.Context(), answers{}.lookup)
	if r.Err == nil || !strings.Contains(r.Err.Error(), "invalid format") {
		t.Errorf("services takes a name: %v", r.Err)
	}
}
