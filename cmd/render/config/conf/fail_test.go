package conf_test

import (
	"errors"
	"strings"
	"testing"

	"render/cmd/render/config/conf"
)

// broken are texts with what is said of them: the place and the message. What follows a line end is the excerpt.
var broken = []struct{ text, want string }{
	{"a", `line 1, column 1: this name has no value: an item is written name = value or name { … }`},
	{"a = ", "line 1, column 5: there is no value after the =\na = "},
	{"a: 1", `line 1, column 2: unexpected colon: write name = value`},
	{"a == 1", "line 1, column 4: expected a value: text in double quotes, a number, true, false, a list, an object, or a heredoc (<<EOF)\na =…"},
	{"a, b = 1", `line 1, column 2: unexpected comma: at most one comes after an item`},
	{"\"\" [1]", `line 1, column 4: expected a name: an item is written name = value or name { … }`},
	{"= 1", `line 1, column 1: expected a name before the =`},
	{"a = 1\n12 = 3", `line 2, column 1: expected a name: an item is written name = value or name { … }`},
	{"a = 1\n\u00a0b = 3", `line 2, column 1: unexpected character, a no-break space: use an ordinary space`},
	{"a = 1,,b = 2", `line 1, column 7: unexpected comma: at most one comes after an item`},
	{"a = 1;\nb = 2", `line 1, column 6: unexpected semicolon: an item ends where its value ends`},
	{"a {\n}\n}\n", `line 3, column 1: no block is open here: this } is one too many`},
	{"a \"x\" {\n b = 1\n", `line 1, column 1: the block a that begins at line 1 is not closed: } is missing`},
	{"template {\n a = 1\ntemplate {\n}\n", "line 1, column 1: the block template that begins at line 1 is not closed: } is missing\ntemplate {\nhint: did you forget the } before the template of line 3?"},
	{"a = [1,\n{", `line 2, column 1: the object that begins at line 2 is not closed: } is missing`},
	{"a = [1,\n2,", "line 1, column 5: the list that begins at line 1 is not closed: ] is missing\na = …"},
	{"a = [\"x\" \"y\"]", `line 1, column 10: expected a comma or ] in the list that begins at line 1, column 5`},
	{"a {\n b = [1\n}", `line 3, column 1: expected a comma or ] in the list that begins at line 2, column 6`},
	{"a = [\"x\",\nb = 1", "line 1, column 5: the list that begins at line 1 is not closed: ] is missing\na = …"},
	{"a = [x]", "line 1, column 6: expected an element of the list: text needs double quotes\na = […"},
	{"ä = \"b\nc = \"d\"", `line 1, column 5: this text is not closed: its second " is missing, on the line on which it begins; for text of several lines use a heredoc (<<EOF)`},
	{"a = \"b", "line 1, column 5: this text is not closed: its second \" is missing, on the line on which it begins; for text of several lines use a heredoc (<<EOF)\na = …"},
	{`a = "ä\q"`, `line 1, column 7: unknown escape: there are \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600; a backslash itself is \\`},
	{`a = "\'"`, `line 1, column 6: unknown escape: there are \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600; a backslash itself is \\`},
	{`a = "\18"`, `line 1, column 6: unknown escape: there are \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600; a backslash itself is \\`},
	{`a = "\400"`, "line 1, column 5: unknown escape: there are \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\123 \\x1f \\u12ab and \\U0001f600; a backslash itself is \\\\\na = …"},
	{`a = "\x4"`, `line 1, column 6: unknown escape: there are \a \b \f \n \r \t \v \\ \" \123 \x1f \u12ab and \U0001f600; a backslash itself is \\`},
	{`a = "\U00110000"`, "line 1, column 5: unknown escape: there are \\a \\b \\f \\n \\r \\t \\v \\\\ \\\" \\123 \\x1f \\u12ab and \\U0001f600; a backslash itself is \\\\\na = …"},
	{`a = "x ${b("c")"`, "line 1, column 5: this text is not closed: its second \" is missing, on the line on which it begins; for text of several lines use a heredoc (<<EOF)\na = …"},
	{"a = <<EOF\nb\n", "line 1, column 5: this heredoc is not closed: a line with its marker alone is missing\na = …"},
	{"a = <<EOF \nb\nEOF\n", "line 1, column 5: a heredoc begins with <<EOF or <<-EOF at the end of a line, with nothing after it; EOF can be any word\na = …"},
	{"a = <<EOF\nb\nEOF \nEOF\n", "line 1, column 5: whitespace beside the marker that closes this heredoc: only spaces and tabs can precede the marker, and nothing can follow it\na = …"},
	{"log_level = info", "line 1, column 13: expected a value: text needs double quotes\nlog_level = …"},
	{"a = /etc/x", "line 1, column 5: unexpected /: text needs double quotes, and a comment begins with # or //\na = …"},
	{"a = ${b}", "line 1, column 5: unexpected character: text needs double quotes\na = …"},
	{"a = 'b'", "line 1, column 5: text needs double quotes, as in \"text\"\na = …"},
	{"a = “b”", "line 1, column 5: text needs double quotes, as in \"text\"\na = …"},
	{"a = True", "line 1, column 5: true and false are written in lower case\na = …"},
	{"a = null", "line 1, column 5: expected a value: text needs double quotes\na = …"},
	{"a = " + strings.Repeat("b", 50), "line 1, column 5: expected a value: text needs double quotes\na = …"},
	{"a =\nb = 1", `line 2, column 1: there is no value after the = of line 1`},
	{"a { b = }", "line 1, column 9: there is no value after the =\na { b = …"},
	{"wait = 5s", "line 1, column 8: this is not a number: a duration needs double quotes, as in \"5s\"\nwait = …"},
	{"a = 12abc", "line 1, column 5: this is not a number: text needs double quotes\na = …"},
	{"perms = 089", "line 1, column 9: this is not a number: one that begins with 0 is octal, with the digits 0 to 7\nperms = …"},
	{"a = 127.0.0.1:8500", "line 1, column 5: this is not a number: text needs double quotes\na = …"},
	{"destination \"/x\"\ncommand = \"y\"", `line 1, column 13: expected = or {: = is missing between a name and its value, or { after a label, as only blocks have labels`},
	{"a \"x\" = { }", `line 1, column 3: expected = or {: = is missing between a name and its value, or { after a label, as only blocks have labels`},
	{"once\na = 1", `line 1, column 1: this name has no value: an item is written name = value or name { … }`},
	{"a = 1\n  /* b\n */* c", `line 3, column 4: unexpected character: text needs double quotes`},
	{"a = 1\n  /* b\n", `line 2, column 3: this comment is not closed: */ is missing`},
	{"a\x00b", `line 1, column 2: there is a NUL byte in the text: a configuration is text in UTF-8; is this the right file?`},
	{"a = 1\n ä\xfe", `line 2, column 3: the byte 0xfe is not UTF-8: a configuration is text in UTF-8`},
	{strings.Repeat("a {", 65), `line 1, column 195: objects and lists are nested more than 64 levels deep`},
	{"a = " + strings.Repeat("[", 100_000), `line 1, column 69: objects and lists are nested more than 64 levels deep`},
	{strings.Repeat(`{"a":[`, 33), `line 1, column 199: the file ends here, before its object is closed: it was cut off, or a bracket is not closed`},
	{`[{"a": 1}]`, `line 1, column 1: expected an object: a configuration is HCL, or one object in JSON`},
	{`"a": 1`, `line 1, column 4: unexpected colon: write name = value`},
	{"{", `line 1, column 2: the file ends here, before its object is closed: it was cut off, or a bracket is not closed`},
	{`{"a"`, `line 1, column 5: the file ends here, before its object is closed: it was cut off, or a bracket is not closed`},
	{`{"a":`, "line 1, column 6: the file ends here, before its object is closed: it was cut off, or a bracket is not closed\n{\"a\":"},
	{"{\n\"a\": {\"b\": 1}\n", `line 3, column 1: the file ends here, before its object is closed: it was cut off, or a bracket is not closed`},
	{`{"a": [1`, `line 1, column 9: the file ends here, before its object is closed: it was cut off, or a bracket is not closed`},
	{`{"a": "b`, "line 1, column 7: this text is not closed: its second \" is missing; a line end in text is written \\n\n{\"a\": …"},
	{"{\"a\": \"b\nc\"}", "line 1, column 7: this text is not closed: its second \" is missing; a line end in text is written \\n\n{\"a\": …"},
	{`{"a": 1,}`, `line 1, column 9: expected a name: JSON has no comma after the last member`},
	{`{"a": [,]}`, "line 1, column 8: expected a value: one comma is too many\n{\"a\": […"},
	{`{"a": [1,,]}`, `line 1, column 10: expected a value: one comma is too many`},
	{`{a: 1}`, `line 1, column 2: expected a name: a member is written "name": value`},
	{`{"a" = 1}`, `line 1, column 6: expected a colon: a member is written "name": value`},
	{`{"a": 1 "b": 2}`, `line 1, column 9: expected a comma or }: members of an object are separated by commas`},
	{`{"a": [1 2]}`, `line 1, column 10: expected a comma or ]: elements of a list are separated by commas`},
	{`{"a": 0600}`, "line 1, column 7: this is not a number: one that begins with 0 is text here, and needs double quotes, as in \"0640\"\n{\"a\": …"},
	{`{"a": True}`, "line 1, column 7: expected a value: text needs double quotes, true, false and null are in lower case, and a number is in decimal\n{\"a\": …"},
	{"{ // b\n}", `line 1, column 3: expected a name: JSON has no comments`},
	{`{} # b`, `line 1, column 4: something stands after the end of the object: JSON has no comments`},
	{`{}{}`, `line 1, column 3: something stands after the end of the object: a configuration in JSON is one object`},
	{`{"a": "\a"}`, `line 1, column 9: unknown escape: there are \" \\ \/ \b \f \n \r \t and \u12ab; a backslash itself is \\`},
	{`{"a": "\ud83d\u0041"}`, "line 1, column 7: an escape in this text is half of a character\n{\"a\": …"},
	{"{\"a\": \"\x01\"}", `line 1, column 8: control characters in text need an escape, as in \u0001`},
	{"{\"a\": <<EOF\nx\nEOF\n}", "line 1, column 7: expected a value: text needs double quotes, true, false and null are in lower case, and a number is in decimal\n{\"a\": …"},
}

func TestErrors(t *testing.T) {
	for _, test := range broken {
		body, err := conf.Parse([]byte(test.text))
		failed, ok := errors.AsType[*conf.Error](err)
		if body != nil || !ok {
			t.Errorf("%.60q: got %v, %v", test.text, body, err)
			continue
		}
		got := failed.Error()
		if failed.Excerpt != "" {
			got += "\n" + failed.Excerpt
		}
		if failed.Hint != "" {
			got += "\nhint: " + failed.Hint
		}
		if got != test.want {
			t.Errorf("%.60q: got\n%s\nwant\n%s", test.text, got, test.want)
		}
	}
}

// Nothing of a value is in an error: it can be a secret.
func TestErrorsHaveNoValues(t *testing.T) {
	for _, text := range []string{
		`token "hunter2"`, `a = ["hunter2" "hunter2"]`, `a = "hunter2\q"`, `a = "hunter2`, `a = "hunter2${"`, `a = hunter2`, `a = [hunter2]`, `a = 1hunter2`,
		"a = <<EOF\nhunter2\n", "a = <<EOF\nhunter2\nEOF \n", `{"a": "hunter2`, `{"a": "b" "hunter2"}`, `{"a" "hunter2"}`, `{"a": "hunter2\q"}`, `{"a": hunter2}`,
		`a = "x" hunter2 {`, `a = hunter2 {`, "a =\nhunter2 {", "a = \"x\"\n\"hunter2\" {", `a = 'hunter2'`, `a hunter2`, `a hunter2 = 1`, "a\nhunter2\nb = 1",
	} {
		_, err := conf.Parse([]byte(text))
		failed, ok := errors.AsType[*conf.Error](err)
		if !ok || strings.Contains(failed.Error()+failed.Excerpt, "hunter2") {
			t.Errorf("%q: %v\n%s", text, err, failed.Excerpt)
		}
	}
}
