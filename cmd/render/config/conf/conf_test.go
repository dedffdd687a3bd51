package conf_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"render/cmd/render/config/conf"
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
	body, err := conf.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
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
		{"names", `a_b = 1 a-b = 2 a.b = 3 a.1.b-2 = 4 "a b" = 5 "" = 6 "a\"b" = 7 ä = 8 _ = 9 a..b. = 10 a.-b = 11`,
			`"a_b"=1;"a-b"=2;"a.b"=3;"a.1.b-2"=4;"a b"=5;""=6;"a\"b"=7;"ä"=8;"_"=9;"a..b."=10;"a.-b"=11;`},
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
		{"indented by nothing, of Windows", "a = <<-EOF\r\n  x\r\nEOF\r\nb = 1\r\n", `"a"="  x\n";"b"=1;`},
		{"a flush marker elsewhere", "a = <<-EOF\n  x\nEOF\nb = <<A\ncat <<-EOF\ny\nEOF\nA\nEOF\n{ c = 1 }\n# <<-EOF\nd = [<<-EOF\n\nEOF\n, 2]", `"a"="  x\n";"b"="cat <<-EOF\ny\nEOF\n";"EOF"={"c"=1;};"d"=["\n",2];`},
		{"a marker of digits", "a = <<1\nb\n1\n", `"a"="b\n";`},
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

// The text decides which language it is.
func TestLanguage(t *testing.T) {
	for text, json := range map[string]bool{
		"a = ]": false, "[": true, "\n {]": true, "\ufeff\t{]": true, "]": false, "# {\n{": false,
	} {
		_, err := conf.Parse([]byte(text))
		if err == nil {
			t.Fatalf("%q: no error", text)
		}
		if got := strings.Contains(err.Error(), "JSON") || strings.Contains(err.Error(), "its object") || strings.Contains(err.Error(), `"name": value`); got != json {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// places lists what has a place.
func places(items []*conf.Item) []string {
	var all []string
	add := func(what string, at conf.Pos) { all = append(all, fmt.Sprintf("%s %d:%d", what, at.Line, at.Column)) }
	var value func(v *conf.Value)
	var walk func(items []*conf.Item)
	value = func(v *conf.Value) {
		add(fmt.Sprintf("value to %d from", v.EndLine), v.Pos)
		for _, e := range v.List {
			value(e)
		}
		if v.Body != nil {
			add("body", v.Body.Pos)
			walk(v.Body.Items)
		}
	}
	walk = func(items []*conf.Item) {
		for _, item := range items {
			add("name", item.Pos)
			for _, label := range item.Labels {
				add("label", label.Pos)
			}
			value(item.Value)
		}
	}
	walk(items)
	return all
}

func TestPlaces(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"\ufeffa.b = -1.5\n", "name 1:1; value to 1 from 1:7"},
		{"\n\t\"ä😀\" = \"${é}\" b = 0x1F", "name 2:2; value to 2 from 2:9; name 2:16; value to 2 from 2:20"},
		{"a \"b\" c {\r\n  d = [1, true]\r\n}\r\n", "name 1:1; label 1:3; label 1:7; value to 3 from 1:9; body 1:9; name 2:3; value to 2 from 2:7; value to 2 from 2:8; value to 2 from 2:11"},
		{"a = <<-EOF\n  $x\n  EOF\nb = 1", "name 1:1; value to 3 from 1:5; name 4:1; value to 4 from 4:5"},
		{"a = <<-EOF\n  x\nEOF\nb = <<-EOF\ny\n EOF\nc = 1", "name 1:1; value to 3 from 1:5; name 4:1; value to 6 from 4:5; name 7:1; value to 7 from 7:5"},
		{"a = [\n<<E\nE\n,\n2\n]", "name 1:1; value to 6 from 1:5; value to 3 from 2:1; value to 5 from 5:1"},
		{"{\n\t\"a\": [null,\n -1.5e+3, {}]}", "name 2:2; value to 3 from 2:7; value to 2 from 2:8; value to 3 from 3:2; value to 3 from 3:11; body 3:11"},
		{"{\"a\t\": \"\t\t\", \"ä\": [\"\t\",], \"b\": \"\t\"}", "name 1:2; value to 1 from 1:8; name 1:14; value to 1 from 1:19; value to 1 from 1:20; name 1:27; value to 1 from 1:32"},
	} {
		body, err := conf.Parse([]byte(test.text))
		if err != nil {
			t.Fatalf("%q: %v", test.text, err)
		}
		if got := strings.Join(places(body.Items), "; "); got != test.want {
			t.Errorf("%q: got\n%s\nwant\n%s", test.text, got, test.want)
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
		_, _ = conf.Parse(text)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%q: %s", part, took)
		}
	}
}

func ExampleParse() {
	_, err := conf.Parse([]byte("template {\n  source = \"a.ctmpl\"\n  wait = 5s\n}\n"))
	fmt.Println(err)
	// Output:
	// line 3, column 10: this is not a number: a duration needs double quotes, as in "5s"
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
		if _, err := conf.Parse(source); err != nil {
			b.Fatal(err)
		}
	}
}
