package conf_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"render/cmd/render/conf"
)

// broken are texts with what is said of them: the place, the summary; the detail.
var broken = []struct{ name, text, want string }{
	{"f", "a", `f:1,2-2: expected = or { after the name a, found the end of the file; an item is written a = value or a { ... }`},
	{"f", "a = ", `f:1,5-5: expected a value for a, found the end of the file; a value is text in double quotes, a number, true, false, a list, an object, or a heredoc (<<EOF)`},
	{"f", "a: 1", `f:1,2-3: expected = or { after the name a, found :; HCL has = in place of the colon of JSON: a = value`},
	{"f", "a == 1", `f:1,3-5: expected = or { after the name a, found ==; an item is written a = value or a { ... }`},
	{"f", "a, b = 1", `f:1,2-3: expected = or { after the name a, found ,; an item is written a = value or a { ... }`},
	{"f", "\"\" [1]", `f:1,4-5: expected = or { after the name "", found [; an item is written "" = value or "" { ... }`},
	{"f", "= 1", `f:1,1-2: expected a name, found =; an item is written name = value or name { ... }`},
	{"f", "a = 1\n12 = 3", `f:2,1-3: expected a name, found 12; an item is written name = value or name { ... }`},
	{"f", "a = 1\n\u00a0b = 3", `f:2,1-3: expected a name, found "\u00a0b"; an item is written name = value or name { ... }`},
	{"f", "a = 1,,b = 2", `f:1,7-8: expected a name, found ,; at most one comma comes after an item`},
	{"f", "a = 1;\nb = 2", `f:1,6-7: expected a name, found ;; HCL has no semicolons: an item ends where its value ends`},
	{"f", "a {\n}\n}\n", `f:3,1-2: expected a name, found }; no block is open here: this } is one too many`},
	{"f", "a \"x\" {\n b = 1\n", `f:1,1-8: the block a that begins at line 1 is not closed: } is missing; the file ends at line 3`},
	{"f", "template {\n a = 1\ntemplate {\n}\n", `f:1,1-11: the block template that begins at line 1 is not closed: } is missing; the template of line 3 stands in it: is the } missing before that?`},
	{"f", "a = [1,\n{", `f:2,1-2: the object that begins at line 2 is not closed: } is missing; the file ends at line 2`},
	{"f", "a = [1,\n2,", `f:1,5-6: the list that begins at line 1 is not closed: ] is missing; the file ends at line 2`},
	{"f", "a = [\"x\" \"y\"]", `f:1,10-11: expected , or ] after a list's element, found a string; the list begins at line 1, column 5`},
	{"f", "a {\n b = [1\n}", `f:3,1-2: expected , or ] after a list's element, found }; the list begins at line 2, column 6`},
	{"f", "a = [\"x\",\nb = 1", `f:2,1-2: expected an element of the list or ], found b; ] is missing: the list that begins at line 1, column 5 is not closed`},
	{"f", "a = [x]", `f:1,6-7: expected an element of the list or ], found x; text needs quotes: "x"`},
	{"f", "ä = \"b\nc = \"d\"", `f:1,5-6: the string that begins at line 1, column 5 is not closed: " is missing; a quoted string ends on the line on which it begins; a heredoc (<<EOF) can have several lines`},
	{"f", "a = \"b", `f:1,5-6: the string that begins at line 1, column 5 is not closed: " is missing; the file ends inside the string`},
	{"f", `a = "ä\q"`, `f:1,7-9: unknown escape \q; the escapes are \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600; a backslash itself is \\`},
	{"f", `a = "\'"`, `f:1,6-8: unknown escape \'; the escapes are \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600; a backslash itself is \\`},
	{"f", `a = "\18"`, `f:1,6-8: \1 has to have 3 octal digits; the escapes are \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600; a backslash itself is \\`},
	{"f", `a = "\400"`, `f:1,6-10: \400 is more than \377; the escapes are \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600; a backslash itself is \\`},
	{"f", `a = "\x4"`, `f:1,6-9: \x4 has to have 2 hexadecimal digits; the escapes are \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600; a backslash itself is \\`},
	{"f", `a = "\U00110000"`, `f:1,6-16: \U00110000 is not a character; the escapes are \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600; a backslash itself is \\`},
	{"f", `a = "x ${b("c")"`, `f:1,8-10: the ${ is not closed: } is missing before the " that ends the string; up to its } also a " is text; in a heredoc (<<EOF) nothing has to be closed`},
	{"f", "a = <<EOF\nb\n", `f:1,5-10: the heredoc <<EOF that begins at line 1 is not closed: a line with EOF alone is missing; the file ends inside the heredoc`},
	{"f", "a = <<EOF \nb\nEOF\n", `f:1,5-10: expected a value for a, found <<EOF; a heredoc begins with <<EOF or <<-EOF at the end of a line, with nothing after it; EOF can be any word`},
	{"f", "a = <<EOF\nb\nEOF \nEOF\n", `f:3,1-5: blanks stand where none can be next to EOF, the marker that closes the heredoc of line 1; before a closing marker can be spaces and tabs, and after it nothing but the end of the line`},
	{"f", "log_level = info", `f:1,13-17: expected a value for log_level, found info; text needs quotes: "info"`},
	{"f", "a = /etc/x", `f:1,5-11: expected a value for a, found /etc/x; text needs quotes: "/etc/x"`},
	{"f", "a = ${b}", `f:1,5-6: expected a value for a, found $; text needs quotes`},
	{"f", "a = 'b'", `f:1,5-8: expected a value for a, found 'b'; text stands in double quotes: "..."`},
	{"f", "a = “b”", `f:1,5-8: expected a value for a, found “b”; text stands in double quotes: "..."`},
	{"f", "a = True", `f:1,5-9: expected a value for a, found True; true and false are written in lower case`},
	{"f", "a = null", `f:1,5-9: expected a value for a, found null; text needs quotes: "null"`},
	{"f", "a = " + strings.Repeat("b", 50), `f:1,5-55: expected a value for a, found ` + strings.Repeat("b", 40) + `...; text needs quotes`},
	{"f", "a =\nb = 1", `f:2,1-2: expected a value for a, found b; there is no value after the = of a`},
	{"f", "a { b = }", `f:1,9-10: expected a value for b, found }; a value is text in double quotes, a number, true, false, a list, an object, or a heredoc (<<EOF)`},
	{"f", "wait = 5s", `f:1,8-10: 5s is not a number; a duration needs quotes: "5s"`},
	{"f", "a = 12abc", `f:1,5-10: 12abc is not a number; text needs quotes: "12abc"`},
	{"f", "perms = 089", `f:1,9-12: 089 is not a number; a number that begins with 0 is octal: its digits are 0 to 7`},
	{"f", "a = 127.0.0.1:8500", `f:1,5-19: 127.0.0.1:8500 is not a number; text needs quotes: "127.0.0.1:8500"`},
	{"f", "destination \"/x\"\ncommand = \"y\"", `f:1,13-14: expected = or { after the name destination, found a string; = is missing, or a { after the labels: only a block has labels, as in destination "label" { ... }`},
	{"f", "a \"x\" = { }", `f:1,3-4: expected = or { after the name a, found a string; = is missing, or a { after the labels: only a block has labels, as in a "label" { ... }`},
	{"f", "once\na = 1", `f:2,1-2: expected = or { after the name once, found a; once has no value: write once = value or once { ... }`},
	{"f", "a = 1\n  /* b\n */* c", `f:3,4-5: expected a name, found *; an item is written name = value or name { ... }`},
	{"f", "a = 1\n  /* b\n", `f:2,3-5: the comment that begins at line 2, column 3 is not closed: */ is missing; the file ends inside the comment`},
	{"f", "a\x00b", `f:1,2-3: there is a NUL byte in the text; a configuration is text in UTF-8: is this the right file?`},
	{"f", "a = 1\n ä\xfe", `f:2,3-4: the byte 0xfe is not UTF-8; a configuration is text in UTF-8`},
	{"f", strings.Repeat("a {", 65), `f:1,195-196: objects and lists stand deeper in each other than 64 levels; no configuration needs as many`},
	{"f", "a = " + strings.Repeat("[", 100_000), `f:1,69-70: objects and lists stand deeper in each other than 64 levels; no configuration needs as many`},
	{"f.json", strings.Repeat(`{"a":[`, 33), `f.json:1,193-194: objects and lists stand deeper in each other than 64 levels; no configuration needs as many`},
	{"f.json", `[{"a": 1}]`, `f.json:1,1-2: expected the { of an object, found [; a configuration is HCL, or one object in JSON`},
	{"f.json", `"a": 1`, `f.json:1,4-5: expected = or { after the name a, found :; HCL has = in place of the colon of JSON: a = value`},
	{"f.json", "{", `f.json:1,2-2: the file ends before a name or the } of the object that begins at line 1, column 1; the file was cut off, or what is open at its end was not closed`},
	{"f.json", `{"a"`, `f.json:1,5-5: the file ends before a colon after the name a; the file was cut off, or what is open at its end was not closed`},
	{"f.json", `{"a":`, `f.json:1,6-6: the file ends before the value of a; the file was cut off, or what is open at its end was not closed`},
	{"f.json", "{\n\"a\": {\"b\": 1}\n", `f.json:3,1-1: the file ends before , or the } of the object that begins at line 1, column 1; the file was cut off, or what is open at its end was not closed`},
	{"f.json", `{"a": [1`, `f.json:1,9-9: the file ends before , or the ] of the list that begins at line 1, column 7; the file was cut off, or what is open at its end was not closed`},
	{"f.json", `{"a": "b`, `f.json:1,7-8: the string that begins at line 1, column 7 is not closed: " is missing; the file ends inside the string`},
	{"f.json", "{\"a\": \"b\nc\"}", `f.json:1,7-8: the string that begins at line 1, column 7 is not closed: " is missing; a string ends on the line on which it begins; a line end in it is written \n`},
	{"f.json", `{"a": 1,}`, `f.json:1,9-10: expected a name in the object that begins at line 1, column 1, found }; JSON has no comma after the last member`},
	{"f.json", `{"a": [,]}`, `f.json:1,8-9: expected an element or the ] of the list that begins at line 1, column 7, found ,; a value is text in double quotes, a number in decimal, true, false, null, an object, or a list`},
	{"f.json", `{"a": [1,,]}`, `f.json:1,10-11: expected an element or the ] of the list that begins at line 1, column 7, found ,; a value is text in double quotes, a number in decimal, true, false, null, an object, or a list`},
	{"f.json", `{a: 1}`, `f.json:1,2-3: expected a name or the } of the object that begins at line 1, column 1, found a; a member is written "name": value`},
	{"f.json", `{"a" = 1}`, `f.json:1,6-7: expected a colon after the name a, found =; a member is written "name": value`},
	{"f.json", `{"a": 1 "b": 2}`, `f.json:1,9-10: expected , or the } of the object that begins at line 1, column 1, found a string; members of an object are separated by commas`},
	{"f.json", `{"a": [1 2]}`, `f.json:1,10-11: expected , or the ] of the list that begins at line 1, column 7, found 2; elements of a list are separated by commas`},
	{"f.json", `{"a": 0600}`, `f.json:1,7-11: expected the value of a, found 0600; a value is text in double quotes, a number in decimal, true, false, null, an object, or a list`},
	{"f.json", `{"a": True}`, `f.json:1,7-11: expected the value of a, found True; a value is text in double quotes, a number in decimal, true, false, null, an object, or a list`},
	{"f.json", "{ // b\n}", `f.json:1,3-2,1: expected a name or the } of the object that begins at line 1, column 1, found a comment; JSON has no comments`},
	{"f.json", `{} # b`, `f.json:1,4-7: expected the end of the file after the object, found a comment; JSON has no comments`},
	{"f.json", `{}{}`, `f.json:1,3-4: expected the end of the file after the object, found {; a configuration in JSON is one object`},
	{"f.json", `{"a": "\a"}`, `f.json:1,8-10: unknown escape \a; the escapes are \" \\ \/ \b \f \n \r \t and \u12ab; a backslash itself is \\`},
	{"f.json", `{"a": "\ud83d\u0041"}`, `f.json:1,8-14: \ud83d is half of a pair, and the other half is missing; the escapes are \" \\ \/ \b \f \n \r \t and \u12ab; a backslash itself is \\`},
	{"f.json", "{\"a\": \"\x01\"}", `f.json:1,8-9: the control character 0x01 stands in a string; JSON has it written \u0001`},
	{"f.json", "{\"a\": <<EOF\nx\nEOF\n}", `f.json:1,7-2,1: expected the value of a, found a heredoc; a value is text in double quotes, a number in decimal, true, false, null, an object, or a list`},
}

func TestErrors(t *testing.T) {
	for _, test := range broken {
		body, diags := conf.Parse(test.name, []byte(test.text))
		if body != nil || len(diags) != 1 || diags[0].Severity != hcl.DiagError {
			t.Errorf("%.60q: got %v, %v", test.text, body, diags)
			continue
		}
		if got := diags.Error(); got != test.want {
			t.Errorf("%.60q: got\n%s\nwant\n%s", test.text, got, test.want)
		}
	}
}

// What is in quotes can be a secret.
func TestErrorsHaveNoQuotedValues(t *testing.T) {
	for _, text := range []string{
		`token "hunter2"`, `a = ["hunter2" "hunter2"]`, `a = "hunter2\q"`, `a = "hunter2`, `a = "hunter2${"`,
		"a = <<EOF\nhunter2\n", "a = <<EOF\nhunter2\nEOF \n", `{"a": "hunter2`, `{"a": "b" "hunter2"}`, `{"a" "hunter2"}`, `{"a": "hunter2\q"}`,
	} {
		if _, diags := conf.Parse("f", []byte(text)); diags == nil || strings.Contains(diags.Error(), "hunter2") {
			t.Errorf("%q: %v", text, diags)
		}
	}
}

// The context is there to show where that began which is broken, unless it is too far away.
func TestContext(t *testing.T) {
	for text, want := range map[string]string{
		"a = [\n\"b\"\n\"c\"\n]":                       "f:1,5-3,2",
		"a = [\n" + strings.Repeat("\n", 9) + "1 \"\"": "<nil>",
	} {
		_, diags := conf.Parse("f", []byte(text))
		got := "<nil>"
		if diags[0].Context != nil {
			got = diags[0].Context.String()
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
