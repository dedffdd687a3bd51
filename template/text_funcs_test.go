package template_test

import (
	"testing"

	"render/watch"
)

func TestTextFuncs(t *testing.T) {
	known := answers{
		kv("bytes"): "a\x00\xff<&>\u2028",
		service("web"): []*watch.HealthService{{
			Tags: watch.ServiceTags{"a", "b"}, Port: 80, Weights: watch.ServiceWeights{Passing: 1},
		}},
	}
	for _, c := range []struct{ text, want string }{
		{`{{base64Encode "a?>"}} {{base64Encode ""}} {{base64Decode "YT8+"}} {{base64Decode ""}}`, `YT8+  a?> `},
		{`{{base64Encode (key "bytes") | base64Decode}}`, "a\x00\xff<&>\u2028"},

		// in and contains: whole elements of a list, parts of a string; numbers only with numbers of their kind
		{`{{in (split "," "a,bc") "bc"}} {{in (split "," "a,bc") "b"}} {{in (split "," "") ""}}`, `true false false`},
		{`{{contains "bc" (split "," "a,bc")}} {{contains "x" (split "," "a,bc")}}`, `true false`},
		{`{{range service "web"}}{{in .Tags "a"}} {{in .Tags "A"}} {{.Tags | contains "b"}}{{end}}`, `true false true`},
		{`{{in "abc" "b"}} {{in "abc" ""}} {{in "abc" "x"}} {{contains "b" "abc"}} {{in "123" 2}}`, `true true false true false`},
		{`{{in (parseJSON "[1,2]") 1}} {{in (parseJSON "[1,2]") 1.0}} {{in (parseJSON "[1,2]") (parseFloat "2")}}`, `false true true`},
		{`{{in (parseJSON "[\"1\"]") "1"}} {{in (parseJSON "[\"1\"]") 1}}`, `true false`},
		{`{{in (parseJSON "[true,null,{}]") true}} {{in (parseJSON "[null]") nil}} {{in (parseJSON "[\"a\",null,\"b\"]") "b"}}`, `false false true`},
		{`{{in (parseJSON "{\"a\":1}") "a"}} {{in 12 1}} {{in nil 1}}`, `false false false`},

		{`{{join "," (split " " "a b c")}} {{split "," "x" | join "-"}} {{join "," (split "," "")}}.`, `a,b,c x .`},
		{`{{join "" (split "" "añb")}} {{len (split "" "añb")}}`, `añb 3`},

		// split trims the whole, not the pieces
		{`{{range split "," " a , b,,c\n"}}[{{.}}]{{end}}`, `[a ][ b][][c]`},
		{`{{len (split "," "")}} {{len (split "," " \t\n")}} {{len (split "," ",")}} {{len (split "," "a")}}`, `0 0 2 1`},

		{`{{parseBool ""}} {{parseBool "t"}} {{parseBool "TRUE"}} {{parseBool "0"}} {{parseBool "False"}}`, `false true true false false`},
		{`{{parseInt ""}} {{parseInt "-9223372036854775808"}} {{parseInt "007"}} {{parseInt "+5"}}`, `0 -9223372036854775808 7 5`},
		{`{{parseUint ""}} {{parseUint "18446744073709551615"}}`, `0 18446744073709551615`},
		{`{{parseFloat ""}} {{parseFloat "1.50"}} {{parseFloat "1e3"}} {{parseFloat "-.5"}}`, `0 1.5 1000 -0.5`},
		{`{{printf "%T %T %T %T" (parseInt "1") (parseUint "1") (parseFloat "1") (parseBool "1")}}`, `int64 uint64 float64 bool`},

		// JSON numbers print in full, compare with floats, and stay numbers
		{`{{parseJSON "10000000"}} {{parseJSON "1e7"}} {{parseJSON "1.50"}} {{parseJSON "-0.25"}} {{parseJSON "1e21"}}`, `10000000 10000000 1.5 -0.25 1000000000000000000000`},
		{`{{(parseJSON "{\"a\":{\"b\":[10000000,2.5]}}").a.b}}`, `[10000000 2.5]`},
		{`{{parseJSON "{\"a\":10000000}"}}`, `map[a:10000000]`},
		{`{{with parseJSON "{\"n\":10000000}"}}{{eq .n 10000000.0}} {{lt .n 10000001.0}} {{gt .n 1.5}} {{printf "%.1f %v %g" .n .n .n}}{{end}}`, `true true true 10000000.0 10000000 1e+07`},
		{`{{parseJSON "[10000000,1.5,1e21,0,\"x\",true,null]" | toJSON}}`, `[10000000,1.5,1e+21,0,"x",true,null]`},
		{`{{parseJSON ""}} {{parseJSON "null"}} {{parseJSON "\"a\\u00e9\""}} {{parseJSON " [] "}} {{parseJSON "{\"b\":1,\"a\":2}"}}`, `map[] <no value> aé [] map[a:2 b:1]`},
		{`{{range $k, $v := parseJSON "{\"b\":1,\"a\":\"x\"}"}}{{$k}}={{$v}};{{end}}`, `a=x;b=1;`},
		{`{{index (parseJSON "{\"a-b\":7}") "a-b"}} {{len (parseJSON "[1,2]")}} {{if parseJSON "0"}}yes{{else}}no{{end}}`, `7 2 no`},

		{`{{regexMatch "^a.c$" "abc"}} {{regexMatch "b" "abc"}} {{regexMatch "^b" "abc"}} {{"abc" | regexMatch "C"}} {{regexMatch "(?i)C" "abc"}}`, `true true false false true`},
		{`{{regexReplaceAll "(a)(b)" "$2$1" "abxab"}} {{regexReplaceAll "b" "${0}${0}" "abc"}} {{regexReplaceAll "x" "y" "abc"}} {{"a1" | regexReplaceAll "[0-9]" ""}}`, `baxba abbc abc a`},
		{`{{replaceAll "." "_" "a.b.c"}} {{replaceAll "" "-" "ab"}} {{"a b" | replaceAll " " ""}}`, `a_b_c -a-b- ab`},

		{`{{toJSON "<a&b>"}} {{toJSON "é\u2028\"\\"}} {{toJSON (key "bytes")}}`, `"\u003ca\u0026b\u003e" "é\u2028\"\\" "a\u0000\ufffd\u003c\u0026\u003e\u2028"`},
		{`{{toJSON nil}} {{toJSON 1}} {{toJSON 1.5}} {{toJSON true}} {{toJSON (split "," "a,b")}} {{parseJSON "{\"b\":1,\"a\":[]}" | toJSON}}`, `null 1 1.5 true ["a","b"] {"a":[],"b":1}`},
		{`{{parseJSON "{\"b\":{\"x\":[1,2]},\"a\":[],\"c\":\"<\"}" | toJSONPretty}}`, "{\n  \"a\": [],\n  \"b\": {\n    \"x\": [\n      1,\n      2\n    ]\n  },\n  \"c\": \"\\u003c\"\n}"},
		{`{{toJSONPretty nil}} {{toJSONPretty "a"}}`, `null "a"`},

		{`{{toLower "AbÇ"}} {{toUpper "abçß"}} {{toLower ""}}`, `abç ABÇß `},
		{`{{toTitle "foo-bar o'neil"}}`, `Foo-Bar O'neil`},
		{`{{toTitle "fOO bAR"}} {{toTitle "snake_case a/b élan"}} {{toTitle "ǆ"}} {{toTitle ""}}`, `FOO BAR Snake_case A/B Élan ǅ `},
		{`{{toTitle "'single' \"double\""}}`, `'Single' "Double"`},

		{`[{{trim "/" "//a/b/"}}] [{{trim "ab" "abxba"}}] [{{trim "" " a "}}] [{{" a " | trim " "}}]`, `[a/b] [x] [ a ] [a]`},
		{`[{{trimPrefix "a" "aab"}}] [{{trimPrefix "x" "aab"}}] [{{trimSuffix "b" "abb"}}] [{{trimSuffix "x" "abb"}}] [{{trimSpace " \t\n a b \r\n"}}]`, `[ab] [aab] [ab] [abb] [a b]`},

		{`[{{env "HOME"}}] [{{env "EMPTY"}}] [{{env "UNSET"}}]`, `[/root] [] []`},
		{`[{{envOrDefault "HOME" "d"}}] [{{envOrDefault "EMPTY" "d"}}] [{{envOrDefault "UNSET" "d"}}]`, `[/root] [] [d]`},
		{`{{mustEnv "HOME"}}`, `/root`},
	} {
		if got := output(t, c.text, known); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

func TestTextFuncErrors(t *testing.T) {
	for _, c := range []struct{ call, want string }{
		{`base64Decode "?"`, `base64Decode: illegal base64 data at input byte 0`},
		{`base64Decode "YQ"`, `base64Decode: illegal base64 data at input byte 0`},
		{`base64Decode "_-8="`, `base64Decode: illegal base64 data at input byte 0`},
		{`parseBool "yes"`, `parseBool: invalid syntax`},
		{`parseInt "1.5"`, `parseInt: invalid syntax`},
		{`parseInt "0x10"`, `parseInt: invalid syntax`},
		{`parseInt " 1"`, `parseInt: invalid syntax`},
		{`parseInt "9223372036854775808"`, `parseInt: value out of range`},
		{`parseUint "-1"`, `parseUint: invalid syntax`},
		{`parseFloat "1,5"`, `parseFloat: invalid syntax`},
		{`parseJSON "{"`, `parseJSON: unexpected end of JSON input`},
		{`parseJSON " "`, `parseJSON: unexpected end of JSON input`},
		{`parseJSON "1 2"`, `parseJSON: invalid character at byte 3 after top-level value`},
		{`regexMatch "(" "x"`, `regexMatch: invalid regular expression: missing closing )`},
		{`regexReplaceAll "a**" "" "x"`, `regexReplaceAll: invalid regular expression: invalid nested repetition operator`},
		{`toJSON (parseFloat "NaN")`, `toJSON: json: unsupported value: NaN`},
		{`toJSONPretty (parseFloat "Inf")`, `toJSONPretty: json: unsupported value: +Inf`},
		{`mustEnv "UNSET"`, `mustEnv: required environment variable "UNSET" is empty`},
		{`mustEnv "EMPTY"`, `mustEnv: required environment variable "EMPTY" is empty`},
		{`mustEnv ""`, `mustEnv: required environment variable "" is empty`},
	} {
		r := parse(t, "{{"+c.call+"}}").Execute(t.Context(), answers{}.lookup)
		if want := "t:1:3: " + c.want; r.Err == nil || r.Err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", c.call, r.Err, want)
		}
	}
}
