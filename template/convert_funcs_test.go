package template_test

import (
	"io"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"
)

func TestConvertFuncs(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{{base64URLEncode "a?>"}} {{base64URLEncode ""}} {{base64URLDecode "YT8-"}} {{base64URLDecode ""}}`, `YT8-  a?> `},
		{`{{sha256Hex ""}}`, `e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`},
		{`{{md5sum ""}} {{"a" | md5sum}}`, `d41d8cd98f00b204e9800998ecf8427e 0cc175b9c0f1b6a831c399e269772661`},
		{`{{hmacSHA256Hex "m" "k"}} {{eq ("k" | hmacSHA256Hex "m") (hmacSHA256Hex "m" "k")}}`, `b60090e3052297aeb5a080889ce2fc4bca957e756faeb4df7d31800ca1e771ec true`},
		{`{{toUnescapedJSON "<a&b>"}} {{toUnescapedJSON nil}} {{parseJSON "{\"b\":1,\"a\":[\"<\"]}" | toUnescapedJSONPretty}}`, "\"<a&b>\" null {\n  \"a\": [\n    \"<\"\n  ],\n  \"b\": 1\n}"},

		// YAML: maps with string keys, numbers as YAML has them
		{`{{parseYAML ""}} {{parseYAML "null"}} {{parseYAML "a"}} {{parseYAML "- 1\n- b"}}`, `map[] <no value> a [1 b]`},
		{`{{parseYAML "a: {b: [{c: 1}]}" | toJSON}}`, `{"a":{"b":[{"c":1}]}}`},
		{`{{parseYAML "num: 10000000\nf: 1.5\nday: 2001-01-01\noct: 010\non: yes\n1: one\n~: none"}}`, `map[1:one day:2001-01-01 f:1.5 null:none num:10000000 oct:8 true:true]`},
		{`{{(parseYAML "a: {b: x}").a.b}} {{range $k, $v := parseYAML "b: 1\na: 2"}}{{$k}}{{$v}}{{end}} {{parseYAML "a: &x [1]\nb: *x"}}`, `x a2b1 map[a:[1] b:[1]]`},
		{`{{(parseYAML "{a: {b: 1}}").a | mergeMap (dict "c" 2)}}`, `map[b:1 c:2]`},
		{`{{parseJSON "{\"a\":[1,1.5,10000000],\"m\":\"x\\ny\",\"z\":{\"k\":true},\"n\":null,\"big\":1e30}" | toYAML}}`,
			"a:\n- 1\n- 1.5\n- 10000000\nbig: 1e+30\nm: |-\n  x\n  y\n\"n\": null\nz:\n  k: true"},
		{`{{toYAML nil}} {{toYAML "a"}} {{toYAML (dict)}} {{toYAML (list)}} {{toYAML 1.5}}`, `null a {} [] 1.5`},
		{`{{parseYAML "a:\n- 1\n- b: c\n" | toYAML}}`, "a:\n- 1\n- b: c"},

		// TOML: tables last, indented; numbers of JSON are floats
		{`{{parseJSON "{\"z\":1,\"a\":{\"x\":{\"y\":\"s\"},\"b\":true}}" | toTOML}}`, "z = 1.0\n\n[a]\n  b = true\n  [a.x]\n    y = \"s\""},
		{`{{dict "n" 1 "l" (list "a" "b") | toTOML}}[{{toTOML (dict)}}]`, "l = [\"a\", \"b\"]\nn = 1[]"},

		{`{{timestamp ""}}[{{timestamp "x"}}]`, `[x]`},
		{`{{sockaddr "GetAllInterfaces" "| include \"flags\" \"loopback\"" "| include \"type\" \"IPv4\" | attr \"address\""}}`, `127.0.0.1`},
		{`{{spew_sdump 1}}{{spew_sdump "a" nil}}{{spew_sprintf "%v %#v" 1 "a"}}`, "(int) 1\n(string) (len=1) \"a\"\n(interface {}) <nil>\n1 (string)a"},
		{`{{spew_sdump (dict "b" 1 "a" 2)}}`, "(map[string]interface {}) (len=2) {\n (string) (len=1) \"a\": (int) 2,\n (string) (len=1) \"b\": (int) 1\n}\n"},
	} {
		if got := output(t, c.text, nil); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

func TestConvertFuncErrors(t *testing.T) {
	for _, c := range []struct{ call, want string }{
		{`base64URLDecode "YT8+"`, `base64URLDecode: illegal base64 data at input byte 3`},
		{`parseYAML "a: *b"`, `parseYAML: yaml: unknown anchor`},
		{`parseYAML "a: b: c"`, `parseYAML: yaml: mapping values are not allowed in this context`},
		{`toTOML nil`, `toTOML: the value is missing`},
		{`toTOML (list (list nil))`, `toTOML: toml: cannot encode array with nil element`},
		{`timestamp "a" "b"`, `timestamp: accepts at most one argument, not 2`},
		{`sockaddr "Nope"`, `sockaddr: cannot evaluate "Nope"`},
		{`toUnescapedJSON (parseFloat "NaN")`, `toUnescapedJSON: json: unsupported value: NaN`},
	} {
		if e := fault(t, "t", "{{"+c.call+"}}", nil); shown(e) != "t:1:3: "+c.want {
			t.Errorf("%s\n got %s\nwant %s", c.call, e, c.want)
		}
	}
}

func TestTimestamp(t *testing.T) {
	before := time.Now().Truncate(time.Second)
	got, err := time.Parse(time.RFC3339, output(t, `{{timestamp}}`, nil))
	if err != nil || got.Before(before) || got.After(time.Now()) || !regexp.MustCompile(`Z$`).MatchString(output(t, `{{timestamp}}`, nil)) {
		t.Errorf("got %v, %v", got, err)
	}
	seconds, err := strconv.ParseInt(output(t, `{{timestamp "unix"}}`, nil), 10, 64)
	if err != nil || seconds < before.Unix() || seconds > time.Now().Unix() {
		t.Errorf("got %d, %v", seconds, err)
	}
	if got, want := output(t, `{{timestamp "2006 -07:00"}}`, nil), time.Now().UTC().Format("2006 -07:00"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// spew_dump and spew_printf print to the standard output and give nothing.
func TestSpewPrints(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	got := output(t, `[{{spew_dump 1 "a"}}{{spew_printf "<%v>" 2}}]`, nil)
	os.Stdout = stdout
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	printed, err := io.ReadAll(r)
	if err != nil || got != "[]" || string(printed) != "(int) 1\n(string) (len=1) \"a\"\n<2>" {
		t.Errorf("got %q and %q, %v", got, printed, err)
	}
}

func TestMathFuncs(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{{add 1 2}} {{3 | subtract 1}} {{multiply 2 3}} {{10 | divide 3}} {{-7 | divide 2}} {{10 | modulo 3}} {{-7 | modulo 3}}`, `3 2 6 3 -3 1 -1`},
		{`{{add 1 2.5}} {{3.5 | subtract 1}} {{multiply 2.5 2}} {{10 | divide 4.0}} {{1.0 | divide 0}} {{-1 | divide 0.0}}`, `3.5 2.5 5 2.5 +Inf -Inf`},
		{`{{minimum 1 2.5}} {{maximum 1 2.5}} {{minimum -1 (parseUint "18446744073709551615")}} {{maximum -1 (parseUint "18446744073709551615")}} {{maximum 2 1}}`, `1 2.5 -1 18446744073709551615 2`},
		{`{{printf "%T %T %T %T" (add 1 1) (add (parseUint "1") (parseUint "1")) (add 1 (parseUint "1")) (add 1 1.0)}}`, `int64 uint64 int64 float64`},
		{`{{printf "%T %T %T" (minimum 1 2) (minimum (parseUint "1") 2) (minimum 1.0 2)}}`, `int64 uint64 float64`},
		{`{{add (parseUint "18446744073709551615") (parseUint "1")}} {{add 9223372036854775807 1}}`, `0 -9223372036854775808`},
		{`{{parseJSON "10000000" | add 1}} {{parseJSON "7" | divide 2}} {{maximum 1 (parseJSON "10000000")}} {{add (parseFloat "1e7") 1}}`, `10000001 3.5 10000000 1.0000001e+07`},
	} {
		if got := output(t, c.text, nil); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.text, got, c.want)
		}
	}
	for _, c := range []struct{ call, want string }{
		{`add "1" 2`, `add: a string is not a number`},
		{`subtract 1 nil`, `subtract: a <nil> is not a number`},
		{`divide 0 1`, `divide: integer divide by zero`},
		{`modulo (parseUint "0") (parseUint "1")`, `modulo: integer divide by zero`},
		{`modulo 2.5 1`, `modulo: accepts only whole numbers`},
		{`minimum 1 true`, `minimum: a bool is not a number`},
		{`maximum "a" 1`, `maximum: a string is not a number`},
	} {
		if e := fault(t, "t", "{{"+c.call+"}}", nil); shown(e) != "t:1:3: "+c.want {
			t.Errorf("%s\n got %s\nwant %s", c.call, e, c.want)
		}
	}
}
