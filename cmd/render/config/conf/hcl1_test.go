package conf_test

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/hcl/ast"
	hcl1 "github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/token"

	"render/cmd/render/config/conf"
)

// parseHCL1 is what the library of HCL 1 makes of text, written as dump writes it.
func parseHCL1(text string) (dumped string, err error) {
	defer func() {
		if r := recover(); r != nil { // a value that it cannot convert
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	file, err := hcl1.Parse([]byte(text))
	if err != nil {
		return "", err
	}
	return dumpHCL1(file.Node), nil
}

func dumpHCL1(node ast.Node) string {
	var b strings.Builder
	switch n := node.(type) {
	case *ast.ObjectList:
		for _, item := range n.Items {
			for i, key := range item.Keys {
				b.WriteString(strings.Repeat(" ", min(i, 1)) + strconv.Quote(key.Token.Value().(string)))
			}
			b.WriteString("=" + dumpHCL1(item.Val) + ";")
		}
	case *ast.ObjectType:
		return "{" + dumpHCL1(n.List) + "}"
	case *ast.ListType:
		var all []string
		for _, e := range n.List {
			all = append(all, dumpHCL1(e))
		}
		return "[" + strings.Join(all, ",") + "]"
	case *ast.LiteralType:
		value := n.Token.Value() // panics for what cannot be converted
		if n.Token.Type == token.STRING || n.Token.Type == token.HEREDOC {
			return strconv.Quote(value.(string))
		}
		return n.Token.Text
	}
	return b.String()
}

// corpus are texts that HCL 1 reads.
var corpus = []string{
	``, ` `, "\n\n", `# comment`, `// comment`, `/* comment */`, "/* a\n * b\n **/",
	`a = 1`, `a=1`, "a\n=\n1", `a = 1 b = 2`, `a = 1, b = 2`, "a = 1,\nb = 2,\n", "a = 1\na = 2",
	`a = -1`, `a = 0`, `a = 0x1F`, `a = 0600`, `a = 1.5`, `a = -0.25`, `a = 1e3`, `a = 1.5E-3`, `a = 00.5`, `a = .5`, `a = 1.`,
	`a = true b = false`, `a_b-c.d = 1`, `"a" = 1`, `"a b" = "c"`, `"a\"b" = 1`, `_a1 = 1`, `größe = 1`,
	`a = ""`, `a = "x y"`, `a = "\a\b\f\n\r\t\v\\\""`, `a = "\101\x41\u00e4\U0001f600"`, `a = "\xff\377"`, `a = "ä€😀"`,
	`a = "${b("c")}" d = "e"`, `a = "${"b"}${"c {"d"} e"}" f = ["${g["h"]}", "i"]`, `a "${"b"}" { "${c("d")}" = 1 }`, `a = "x ${\"} y" b = "${"${"c"}"}"`,
	"/* ${ */ a = \"b\" // \"${\n # \"${\nc = \"d}\"", "a = <<E\n /* \"${ \nE\nb = \"${c(\"d\")}\"", "a = <<-E\r\n \"\r\n E\r\nb = \"${\"c\"}\"", `a = "${b}"`, `a = "${b}${c} d"`, `a = "x ${b\"c\"} \" y"`, `a = "${a{b}c}"`, `a = "$ { } $$ %{x} %%{y}"`, `a = "$${b}"`, `a = "# // /* */"`,
	`a { }`, `a = { }`, `a {}b {}`, `a { b = 1 }`, `a { b { c { d = 1 } } }`, `a "b" { }`, `a "b" "c" { d = 1 }`, `a b { }`, `a = { b = 1, c = 2 }`,
	`wait { min = "2s", max = "10s" }`, `retry { enabled = true attempts = 12 backoff = "250ms" }`,
	`a = []`, `a = [1]`, `a = [1, 2]`, `a = [1, 2,]`, "a = [\n  \"x\", # y\n  \"z\",\n]", `a = [[1], [2, 3]]`, `a = [true, "x", 1.5]`, `a = [,]`, `a = [1,,2]`,
	`template = [{ source = "a" }, { source = "b" },]`, "a = [ # b\n # c\n 1\n # d\n ]", `a = /* b */ 1 # c`, `a /* b */ = 1`, "a { # b\n } # c",
	"a = <<EOF\nb\nEOF\n", "a = <<EOF\nEOF\n", "a = <<EOF\n\n\nEOF\nb = 1", "a = <<EOF\n  b\n  EOF\n", "a = <<E_1\nE\n_1\nE_1\n", "a = <<EOF\nEOFX\n EOF X\nEOF\n",
	"a = <<EOF\n${b} \\n \"c\" %{d} $\n%\nEOF\n", "a = <<-EOF\n  b\n    c\n  EOF\n", "a = <<-EOF\n\tb\n\t\tc\n\tEOF\n", "a = <<-EOF\n  b\n c\n  EOF\n",
	"a = <<-EOF\n  b\n\n  c\n  EOF\n", "a = <<-EOF\n  EOF\n", "a = <<-EOF\n   b\n \tEOF\n", "a = <<-EOF\n  \n  EOF\n", "a = [<<A\nb\nA\n, <<B\nc\nB\n]",
	"a {\n  b = <<EOF\n{{ range service \"web\" }}\nserver {{ .Address }};{{ end }}\nEOF\n  c = 1\n}\n", "a = <<ÄÖ\nb\nÄÖ\n",
	"a = 1\r\nb {\r\n  c = \"d\"\r\n}\r\n", "a = <<EOF\r\nb\r\nc\r\nEOF\r\n", "a = <<-EOF\r\n  b\r\n  EOF\r\n", "a = 1\rb = 2\r", "a = \"b\rc\"", "a = <<EOF\nb\rc\nEOF\n",
	`consul = "127.0.0.1:8500"
token = "abcd1234" // may be set by CONSUL_TOKEN
retry = "10s"
max_stale = "10m"
wait = "5s:10s"
auth {
  enabled  = true
  username = "test"
  password = "test"
}
ssl {
  enabled = true,
  verify = false,
  cert = "/path/to/client/cert.pem",
}
syslog { enabled = true facility = "LOCAL5" }
template {
  source = "/path/on/disk/to/template.ctmpl"
  destination = "/path/on/disk/where/template/will/render.txt"
  command = "restart service foo"
  perms = 0600
  left_delimiter  = "{{"
  right_delimiter = "}}"
}`,
}

func TestHCL1ReadsTheSame(t *testing.T) {
	for _, text := range corpus {
		want, err := parseHCL1(text)
		if err != nil {
			t.Errorf("HCL 1 refuses %q: %v", text, err)
			continue
		}
		if got := parsed(t, "a.hcl", text); got != want {
			t.Errorf("%q: got\n%s\nHCL 1 has\n%s", text, got, want)
		}
	}
}

// refused are the texts that HCL 1 reads and this package does not, with what it says of them.
var refused = []struct{ text, says string }{
	{`a =`, "there is no value after the ="},
	{`a { b { c = } } }`, "there is no value after the ="},
	{`a { b = [1 } }`, "expected a comma or ] in the list that begins at line 1, column 9"},
	{`a { b = [1, } }`, "the list that begins at line 1, column 9 is not closed: ] is missing"},
	{`a = 1b = 2`, "this is not a number: text needs double quotes"},
	{`a = [[1] [2]]`, "expected a comma or ] in the list that begins at line 1, column 5"},
	{"a = \"${b\n}\"", `this text is not closed: its second " is missing, or the } of a ${ in it`},
	{`a = "\ud800"`, "an escape in this text is half of a character"},
	{"a = <<E\nE \nE\n", besideMarker},
	{"a = <<-E\n\vE\n", besideMarker},
	{strings.Repeat("a {", 65) + strings.Repeat("}", 65), "objects and lists are nested more than 64 levels deep"},
}

const besideMarker = "whitespace beside the marker that closes this heredoc: only spaces and tabs can precede the marker, and nothing can follow it"

func TestRefusedOnPurpose(t *testing.T) {
	for _, test := range refused {
		if _, err := parseHCL1(test.text); err != nil {
			t.Errorf("HCL 1 refuses %q: %v", test.text, err)
		}
		if _, err := conf.Parse([]byte(test.text)); messageOf(err) != test.says {
			t.Errorf("%q: got %v, want %s", test.text, err, test.says)
		}
	}
}

// messageOf returns what an error says, without its place.
func messageOf(err error) string {
	if failed, ok := errors.AsType[*conf.Error](err); ok {
		return failed.Message
	}
	return fmt.Sprint(err)
}

// Whatever both read, they read alike, and what HCL 1 reads and this package does not is refused for a known reason.
func FuzzHCL1(f *testing.F) {
	for _, text := range corpus {
		f.Add(text)
	}
	for _, test := range refused {
		f.Add(test.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, err := parseHCL1(text)
		body, refused := conf.Parse([]byte(text))
		switch {
		case err != nil, isJSON(text), hasFlushMarker(text), returnsAtMarker.MatchString(text):
		case refused != nil:
			if !isRefused(messageOf(refused)) {
				t.Errorf("HCL 1 reads\n%s\nhere it is %v", want, refused)
			}
		case dump(body.Items) != want:
			t.Errorf("got\n%s\nHCL 1 has\n%s", dump(body.Items), want)
		}
	})
}

// returnsAtMarker finds a closing marker with carriage returns after it: HCL 1 takes a part of the marker for text then.
var returnsAtMarker = regexp.MustCompile(`(?m)^\s*[\pL\p{Nd}_]+\r+\r\n`)

// hasFlushMarker says whether a heredoc of text that is opened by <<- can have a closing marker with no blanks before it. HCL 1
// looks for another one then.
func hasFlushMarker(text string) bool {
	for _, rest := range strings.Split(text, "<<-")[1:] {
		marker, _, _ := strings.Cut(rest, "\n")
		if strings.Contains(rest, "\n"+strings.TrimRight(marker, "\r")) {
			return true
		}
	}
	return false
}

func isJSON(text string) bool { return strings.HasPrefix(strings.TrimSpace(text), "{") }

// isRefused says whether a message is one of refused.
func isRefused(message string) bool {
	for _, part := range []string{"there is no value after the =", "list that begins at", "this is not a number", "separated by commas",
		"the } of a ${", "half of a character", besideMarker, "nested more than 64 levels", "is not closed", "one too many"} {
		if strings.Contains(message, part) {
			return true
		}
	}
	return false
}
