package conf_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"

	"render/cmd/render/conf"
)

// dump writes items in one line: as HCL, with all strings quoted as Go quotes them and a ; after each item.
func dump(items []*conf.Item) string {
	var b strings.Builder
	for _, item := range items {
		b.WriteString(strconv.Quote(item.Name))
		for _, label := range item.Labels {
			b.WriteString(" " + strconv.Quote(label.Text))
		}
		b.WriteString("=" + dumpValue(item.Value) + ";")
	}
	return b.String()
}

func dumpValue(v *conf.Value) string {
	switch v.Kind {
	case conf.Text:
		return strconv.Quote(v.Text)
	case conf.Number:
		return v.Text
	case conf.Bool:
		return strconv.FormatBool(v.Bool)
	case conf.Null:
		return "null"
	case conf.List:
		var all []string
		for _, e := range v.List {
			all = append(all, dumpValue(e))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	return "{" + dump(v.Body.Items) + "}"
}

// parsed is the dump of text, which has to be right.
func parsed(t *testing.T, name, text string) string {
	t.Helper()
	body, diags := conf.Parse(name, []byte(text))
	if diags != nil {
		t.Fatalf("%q: %v", text, diags)
	}
	return dump(body.Items)
}

func TestHCL(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", ``},
		{"blanks and comments alone", " \t\r\n# a\n// b\n/* c\n */ ", ``},
		{"forms of an item", "a = 1\nb { }\nc = { }\n", `"a"=1;"b"={};"c"={};`},
		{"labels", `a "x" { } b y { } c "x" y "z" { } d
			"x"
			{ }`, `"a" "x"={};"b" "y"={};"c" "x" "y" "z"={};"d" "x"={};`},
		{"names", `a_b = 1 a-b = 2 a.b = 3 a.1.b-2 = 4 "a b" = 5 "" = 6 "a\"b" = 7 ä = 8 _ = 9 a..b. = 10 a.-b = 11 true = 12`,
			`"a_b"=1;"a-b"=2;"a.b"=3;"a.1.b-2"=4;"a b"=5;""=6;"a\"b"=7;"ä"=8;"_"=9;"a..b."=10;"a.-b"=11;"true"=12;`},
		{"several of a name, in their order", "a = 1\nb = 2\na = 3", `"a"=1;"b"=2;"a"=3;`},
		{"items on one line", `wait { min = "2s", max = "10s" } retry { enabled = true attempts = 12 }`,
			`"wait"={"min"="2s";"max"="10s";};"retry"={"enabled"=true;"attempts"=12;};`},
		{"commas after items", "a = 1,\nb {\n c = 2,\n},\nd = \"x\",", `"a"=1;"b"={"c"=2;};"d"="x";`},
		{"a line for each word", "a\n=\n1\nb\n{\nc\n=\n[\n1\n,\n2\n]\n}", `"a"=1;"b"={"c"=[1,2];};`},
		{"no blanks at all", `a=1 b="x"c=[1,2]d{e=true}f=-1`, `"a"=1;"b"="x";"c"=[1,2];"d"={"e"=true;};"f"=-1;`},
		{"lists", `a = [] b = [1, "x", true,] c = [[1], [2, [3]]] d = [{a = 1}, {b = 2},]`,
			`"a"=[];"b"=[1,"x",true];"c"=[[1],[2,[3]]];"d"=[{"a"=1;},{"b"=2;}];`},
		{"commas too many in a list", `a = [1,,2] b = [,]`, `"a"=[1,2];"b"=[];`},
		{"comments", "# 1\na = 1 # 2\nb = /* 3 */ 2 // 4\nc /* 5 */ { /* 6\n } */ } # \"{\n// '\"\n#", `"a"=1;"b"=2;"c"={};`},
		{"comments in a list", "a = [ # 1\n 1, # 2\n // 3\n 2 /* 4 */ ]", `"a"=[1,2];`},
		{"no comments in strings", `a = "# // /* */"`, `"a"="# // /* */";`},
		{"line ends of Windows", "a = 1\r\nb {\r\n c = \"x\" # y\r\n}\r\n", `"a"=1;"b"={"c"="x";};`},
		{"line ends of old", "a = 1\rb = \"x\ry\"\r", `"a"=1;"b"="x\ry";`},
		{"byte order mark", "\ufeffa = 1", `"a"=1;`},
		{"escapes", `a = "\a\b\f\n\r\t\v\\\"\101\x41\u00e4\U0001f600"`, `"a"="\a\b\f\n\r\t\v\\\"AAä😀";`},
		{"bytes that are no character", `a = "\xff\377"`, `"a"="\xff\xff";`},
		{"no interpolation", `a = "${b} $${b} %{c} %%{c} $ % $$ %% {}" b = "$" c = "%"`,
			`"a"="${b} $${b} %{c} %%{c} $ % $$ %% {}";"b"="$";"c"="%";`},
		{"backslashes between ${ and }", `a = "\" ${a\"b\n{\t}} \""`, `"a"="\" ${a\\\"b\\n{\\t}} \"";`},
		{"numbers", `a = 0 b = -1 c = 1.5 d = 1e3 e = -1.5E-3 f = 0x1F g = 0600 h = -0Xff i = 1. j = .5 k = 1E+5 l = 007.5`,
			`"a"=0;"b"=-1;"c"=1.5;"d"=1e3;"e"=-1.5E-3;"f"=0x1F;"g"=0600;"h"=-0Xff;"i"=1.;"j"=.5;"k"=1E+5;"l"=007.5;`},
		{"numbers next to others", `a=[1,-2]b{c=3}d=4/**/e=5#`, `"a"=[1,-2];"b"={"c"=3;};"d"=4;"e"=5;`},
		{"booleans", `a = true b = false`, `"a"=true;"b"=false;`},
		{"heredoc", "a = <<EOF\nx\n\n  y \\n \"${z}\" %{ # /*\nEOF\nb = 1", `"a"="x\n\n  y \\n \"${z}\" %{ # /*\n";"b"=1;`},
		{"heredoc with nothing", "a = <<EOF\nEOF\n", `"a"="";`},
		{"heredoc that is indented", "a = <<EOF\n  x\n  EOF\n", `"a"="  x\n  ";`},
		{"heredoc that ends the file", "a = <<EOF\nx\nEOF", `"a"="x\n";`},
		{"heredoc with $ and % at the end", "a = <<EOF\n$\n%\n$$\nEOF\n", `"a"="$\n%\n$$\n";`},
		{"heredoc with its marker inside", "a = <<EOF\nEOF x\nxEOF\n$EOF\nEOFx\nEOF\n", `"a"="EOF x\nxEOF\n$EOF\nEOFx\n";`},
		{"heredoc of Windows", "a = <<EOF\r\nx\r\ny\r\nEOF\r\nb = 1\r\n", `"a"="x\ny\n";"b"=1;`},
		{"heredocs in a list", "a = [<<A\nx\nA\n, <<B\ny\nB\n]", `"a"=["x\n","y\n"];`},
		{"heredocs that look nested", "a = <<A\n<<B\nA\nb = <<B\nA\nB\n", `"a"="<<B\n";"b"="A\n";`},
		{"indented heredoc", "a = <<-EOF\n  x\n    y\n  EOF\n", `"a"="x\n  y\n";`},
		{"indented by tabs", "a = <<-EOF\n\t\tx\n\t\ty\n\t\tEOF\n", `"a"="x\ny\n";`},
		{"indented by less", "a = <<-EOF\n  x\n y\n  EOF\n", `"a"="  x\n y\n";`},
		{"indented with an empty line", "a = <<-EOF\n  x\n\n  y\n  EOF\n", `"a"="  x\n\n  y\n";`},
		{"indented by other blanks", "a = <<-EOF\n  x\n\ty\n  EOF\n", `"a"="  x\n\ty\n";`},
		{"indented by nothing", "a = <<-EOF\n  x\nEOF\n", `"a"="  x\n";`},
		{"indented with nothing", "a = <<-EOF\n  EOF\n", `"a"="";`},
		{"indented, of Windows", "a = <<-EOF\r\n  x\r\n  y\r\n  EOF\r\n", `"a"="x\ny\n";`},
		{"64 levels", strings.Repeat("a {", 64) + strings.Repeat("}", 64), strings.Repeat(`"a"={`, 64) + strings.Repeat(`};`, 64)},
		{"many side by side", strings.Repeat("a { b = [] } ", 100), strings.Repeat(`"a"={"b"=[];};`, 100)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := parsed(t, "a.hcl", test.text); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", `{}`, ``},
		{"values", `{"a": 1, "b": "x", "c": true, "d": false, "e": null, "f": [], "g": {}, "h": [1, "x", [null], {"i": 2}]}`,
			`"a"=1;"b"="x";"c"=true;"d"=false;"e"=null;"f"=[];"g"={};"h"=[1,"x",[null],{"i"=2;}];`},
		{"several of a name", `{"a": 1, "b": 2, "a": 3}`, `"a"=1;"b"=2;"a"=3;`},
		{"blanks", " \t\r\n{ \"a\"\n:\r1\t,\"b\":\"\" } \n", `"a"=1;"b"="";`},
		{"byte order mark", "\ufeff{\"a\":1}", `"a"=1;`},
		{"numbers", `{"a":0,"b":-0,"c":-1.5,"d":1e5,"e":1.5E-3,"f":1E+10}`, `"a"=0;"b"=-0;"c"=-1.5;"d"=1e5;"e"=1.5E-3;"f"=1E+10;`},
		{"escapes", `{"a":"\"\\\/\b\f\n\r\t\u00e4\u20AC"}`, `"a"="\"\\/\b\f\n\r\tä€";`},
		{"pairs", `{"a":"\ud83d\ude00\uD83D\uDE00"}`, `"a"="😀😀";`},
		{"no interpolation", `{"a":"${b \"c\"} $${ %{ # // <<EOF"}`, `"a"="${b \"c\"} $${ %{ # // <<EOF";`},
		{"escapes in names", `{"\u0061\n":1}`, `"a\n"=1;`},
		{"a comma after the last element", "{\"a\": [1, ], \"b\": [{\"c\": [[],]},\n]}", `"a"=[1];"b"=[{"c"=[[]];}];`},
		{"tabs in a string", "{\"a\t\": \"\tb\"}", `"a\t"="\tb";`},
		{"64 levels", strings.Repeat(`{"a":`, 63) + "{}" + strings.Repeat("}", 63), strings.Repeat(`"a"={`, 63) + strings.Repeat(`};`, 63)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := parsed(t, "a.hcl", test.text); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// The text decides, and not the name, as HCL 1 has it.
func TestLanguage(t *testing.T) {
	for _, test := range []struct {
		name, text string
		json       bool
	}{
		{"a.json", "a = ]", false},
		{"a.hcl", "[", true},
		{"a.hcl", "\n {]", true},
		{"a", "\ufeff\t{]", true},
		{"a.json.hcl", "a = ]", false},
		{"json", "]", false},
	} {
		_, diags := conf.Parse(test.name, []byte(test.text))
		if diags == nil {
			t.Fatalf("%s, %q: no error", test.name, test.text)
		}
		if got := strings.Contains(diags.Error(), "JSON") || strings.Contains(diags[0].Summary, "the object that begins") || strings.Contains(diags[0].Summary, "the file ends before"); got != test.json {
			t.Errorf("%s, %q: %v", test.name, test.text, diags)
		}
	}
}

// places lists what has a range with its text in the source, and its place.
func places(text string, items []*conf.Item) []string {
	var all []string
	add := func(what string, r hcl.Range) {
		all = append(all, fmt.Sprintf("%s %d:%d-%d:%d %q", what, r.Start.Line, r.Start.Column, r.End.Line, r.End.Column, r.SliceBytes([]byte(text))))
	}
	var value func(v *conf.Value)
	var walk func(items []*conf.Item)
	value = func(v *conf.Value) {
		add("value", v.Range)
		for _, e := range v.List {
			value(e)
		}
		if v.Body != nil {
			add("body", v.Body.Range)
			walk(v.Body.Items)
		}
	}
	walk = func(items []*conf.Item) {
		for _, item := range items {
			add("name", item.NameRange)
			for _, label := range item.Labels {
				add("label", label.Range)
			}
			value(item.Value)
		}
	}
	walk(items)
	return all
}

func TestPlaces(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"\ufeffa.b = -1.5\n", []string{`name 1:1-1:4 "a.b"`, `value 1:7-1:11 "-1.5"`}},
		{"\n\t\"ä😀\" = \"${é}\" b = 0x1F", []string{
			`name 2:2-2:6 "\"ä😀\""`, `value 2:9-2:15 "\"${é}\""`, `name 2:16-2:17 "b"`, `value 2:20-2:24 "0x1F"`}},
		{"a \"b\" c {\r\n  d = [1, true]\r\n}\r\n", []string{
			`name 1:1-1:2 "a"`, `label 1:3-1:6 "\"b\""`, `label 1:7-1:8 "c"`, `value 1:9-3:2 "{\r\n  d = [1, true]\r\n}"`,
			`body 1:9-3:2 "{\r\n  d = [1, true]\r\n}"`, `name 2:3-2:4 "d"`, `value 2:7-2:16 "[1, true]"`, `value 2:8-2:9 "1"`, `value 2:11-2:15 "true"`}},
		{"a = <<-EOF\n  $x\n  EOF\nb = 1", []string{
			`name 1:1-1:2 "a"`, `value 1:5-3:6 "<<-EOF\n  $x\n  EOF"`, `name 4:1-4:2 "b"`, `value 4:5-4:6 "1"`}},
		{"{\n\t\"a\": [null,\n -1.5e+3, {}]}", []string{
			`name 2:2-2:5 "\"a\""`, `value 2:7-3:14 "[null,\n -1.5e+3, {}]"`, `value 2:8-2:12 "null"`, `value 3:2-3:9 "-1.5e+3"`,
			`value 3:11-3:13 "{}"`, `body 3:11-3:13 "{}"`}},
	} {
		body, diags := conf.Parse("a.hcl", []byte(test.text))
		if diags != nil {
			t.Fatalf("%q: %v", test.text, diags)
		}
		if got, want := strings.Join(places(test.text, body.Items), "\n"), strings.Join(test.want, "\n"); got != want {
			t.Errorf("%q: got\n%s\nwant\n%s", test.text, got, want)
		}
	}
}

// The body of a file has the whole text, also what has no item.
func TestPlaceOfFile(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "f:1,1-1",
		"a = 1":                   "f:1,1-6",
		"\ufeffa = 1":             "f:1,1-6",
		"a = 1\n":                 "f:1,1-2,1",
		"a = 1 # ä":               "f:1,1-10",
		"\n\n/* x */ ":            "f:1,1-3,9",
		"{}\r\n ":                 "f:1,1-2,2",
		"a = <<E\nE":              "f:1,1-2,2",
		"a = 1\n# $ %\n//\n# x\t": "f:1,1-4,5",
	} {
		body, diags := conf.Parse("f", []byte(text))
		if diags != nil {
			t.Fatalf("%q: %v", text, diags)
		}
		if got := body.Range.String(); got != want || body.Range.End.Byte != len(text) {
			t.Errorf("%q: got %s with %d bytes, want %s", text, got, body.Range.End.Byte, want)
		}
	}
}

// Texts that make a parser slow, if it goes over the rest of the text for each of many tokens.
func TestLinear(t *testing.T) {
	for _, part := range []string{
		"/*", "/* */", "\"", "a = \"${\" ", "\"${\n", "\"${\"", "{\"", "<<", "<<A\n\"${", "<<A ", "<<A\n", "a = <<A\nA\n", "[", "{", "a {", "a = [1,\n", "1.", "a.", "\\", "#", "$", "a ", "a = 1,", ",", "a=[{},", "-", "\r", "{\"a\":",
	} {
		text := []byte(strings.Repeat(part, 60_000/len(part)))
		began := time.Now()
		conf.Parse("a.hcl", text)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%q: %s", part, took)
		}
	}
}

func ExampleParse() {
	text := "template {\n  source = \"a.ctmpl\"\n  wait = 5s\n}\n"
	_, diags := conf.Parse("render.hcl", []byte(text))
	files := map[string]*hcl.File{"render.hcl": {Bytes: []byte(text)}}
	if err := hcl.NewDiagnosticTextWriter(os.Stdout, files, 0, false).WriteDiagnostics(diags); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Error: 5s is not a number
	//
	//   on render.hcl line 3:
	//    3:   wait = 5s
	//
	// a duration needs quotes: "5s"
}

func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, `template {
  source      = "/etc/render/%d.ctmpl"
  destination = "/etc/nginx/sites/%d.conf"
  command     = ["nginx", "-s", "reload"]
}
`, i, i)
	}
	source := []byte(text.String())
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		if _, diags := conf.Parse("a.hcl", source); diags != nil {
			b.Fatal(diags)
		}
	}
}
