package template_test

var conformanceFile = []conformance{
	gives(`{{file "testdata/conformance/file.txt"}}`, "from a file: {{key \"app/a\"}}\n"), // it is no template
	gives(`{{file "  testdata/conformance/file.txt\n"}}`, "from a file: {{key \"app/a\"}}\n"),
	waits(`{{file "testdata/conformance/none"}}`, "file testdata/conformance/none"), // difference 15
	gives(`[{{file "  "}}]`, "[]"),
}

var conformanceScratch = []conformance{
	gives(`{{scratch.Key "k"}} {{scratch.Set "k" 1}}{{scratch.Key "k"}}`, "false true"),
	gives(`{{scratch.Get "k"}}`, "<no value>"),
	gives(`[{{scratch.Set "k" 1}}] {{scratch.Get "k"}}`, "[] 1"),
	gives(`{{scratch.Set "k" 1}}{{scratch.Set "k" 2}}{{scratch.Get "k"}}`, "2"),
	gives(`[{{scratch.SetX "k" 1}}{{scratch.SetX "k" 2}}] {{scratch.Get "k"}}`, "[] 1"),
	gives(`[{{scratch.MapSet "m" "b" 1}}{{scratch.MapSet "m" "a" 2}}{{scratch.MapSet "m" "b" 3}}] {{scratch.MapValues "m"}}`, "[] [2 3]"),
	gives(`{{scratch.MapSetX "m" "a" 1}}{{scratch.MapSetX "m" "a" 2}}{{scratch.Get "m" | toJSON}}`, `{"a":1}`),
	gives(`{{scratch.MapSet "m" "a" 1}}{{printf "%T" (scratch.Get "m")}}`, "map[string]interface {}"),
	fails(`{{scratch.Set "a" 1}}{{scratch.MapSet "a" "k" 2}}`, "not a map"),
	fails(`{{scratch.Set "a" 1}}{{scratch.MapSetX "a" "k" 2}}`, "not a map"),
	gives(`{{scratch.MapValues "none"}} {{scratch.Set "a" 1}}{{scratch.MapValues "a"}}`, "[] []"),
	gives(`{{define "t"}}{{scratch.Set "k" "inner"}}{{end}}{{template "t"}}{{scratch.Get "k"}}`, "inner"),
	gives(`{{range service "web"}}{{scratch.MapSet "nodes" .Node .Port}}{{end}}{{scratch.Get "nodes" | toJSON}}`, `{"n1":8080,"n2":8081}`),
	gives(`{{define "t"}}{{scratch.Set "k" .}}{{end}}{{executeTemplate "t" 5}}{{scratch.Get "k"}}`, "5"),
	gives(`{{range ls "app/"}}{{scratch.MapSet "m" .Key .Value}}{{end}}{{range $k, $v := scratch.Get "m"}}{{$k}}={{$v}} {{end}}`, "a=1 b=two empty= "),
	gives(`{{scratch.MapSet "m" "k" "v"}}{{(scratch.Get "m").k}} {{scratch.Get "m" | mergeMap (parseJSON "{\"a\":1}") | toJSON}}`, `v {"a":1,"k":"v"}`),
	gives(`{{scratch.SetX "k" 1}}{{key "app/empty"}}{{scratch.SetX "k" (key "app/a")}}{{scratch.Get "k"}}`, "1"), // new in each pass
}

var conformanceLists = []conformance{
	// byKey
	gives(`{{range $k, $m := tree "grp/" | byKey}}{{$k}}:{{range $r, $p := $m}} {{$r}}={{$p.Value}}{{end}}; {{end}}`, "one: p1=a p2/x=b; two: p1=c; "),
	gives(`{{range $k, $m := tree "grp/two/" | byKey}}x{{end}}`, ""),
	gives(`{{with index (tree "grp/" | byKey) "one"}}{{with index . "p2/x"}}{{.Key}} {{.Path}}{{end}}{{end}}`, "p2/x grp/one/p2/x"),
	gives(`{{range tree "grp/"}}{{.Key}} {{end}}{{if byKey (tree "grp/")}}{{end}}{{range tree "grp/"}}{{.Key}} {{end}}`, "loose one/p1 one/p2/x two/p1 loose one/p1 one/p2/x two/p1 "),

	gives(`{{range $g, $m := tree "app/" | byKey}}{{$g}}: {{range $k, $p := $m}}{{$k}} {{end}}{{end}}`, "dir: deep/z x y "),
	gives(`{{byKey (ls "none")}} {{tree "grp/" | byKey | len}}`, "map[] 2"),

	// byPort
	gives(`{{range $p, $l := service "web" | byPort}}{{$p}}:{{range $l}}{{.ID}} {{end}}{{end}}`, "8080:web-1 web-0 8081:web-2 "),
	gives(`{{with node "n2"}}{{range $p, $l := byPort .Services}}{{$p}}:{{range $l}}{{.ID}} {{end}}{{end}}{{end}}`, "5432:db-1 8080:web-0 8081:web-2 21000:web-proxy "),
	gives(`{{byPort nil}}`, "map[]"),
	fails(`{{byPort 1}}`, "byPort: wrong argument type int"),

	// byTag
	gives(`{{range $t, $l := service "web" | byTag}}{{$t}}:{{range $l}}{{.ID}} {{end}}{{end}}`, "a.b:web-1 canary:web-0 v1:web-1 web-0 web-2 v2:web-1 "),
	gives(`{{range index (services | byTag) "canary"}}{{.Name}}{{end}}`, "web"),
	gives(`{{service "db-primary|any" | byTag}} {{byTag nil}}`, "map[] map[]"),
	fails(`{{byTag 1}}`, "byTag: wrong argument type int"),

	// byMeta
	gives(meta("env"), "_no_env_:web-0 prod:web-1 stage:web-2 "),
	gives(meta("env,weight|int"), "_no_env__00000:web-0 prod_00005:web-1 stage_00000:web-2 "),
	gives(meta("team"), "_no_team_:web-0 web-2 a_b_c:web-1 "),
	gives(meta("weight|int"), "00000:web-0 web-2 00005:web-1 "),
	gives(meta("env,team"), "_no_env___no_team_:web-0 prod_a_b_c:web-1 stage__no_team_:web-2 "),
	gives(meta("none|int"), "00000:web-1 web-0 web-2 "),
	gives(`{{range $k, $l := connect "web|any" | byMeta "env"}}{{$k}}{{end}}`, "_no_env_"),
	fails(meta("env|int"), "byMeta"),
	fails(`{{services | byMeta "env"}}`, "wrong type"),

	// in, contains
	gives(`{{in (split "," "a,b") "b"}} {{in (split "," "a,b") "c"}}`, "true false"),
	gives(`{{in (parseJSON "[1,2]") 1}} {{in (parseJSON "[1,2]") 1.0}} {{in (parseJSON "[\"1\"]") 1}}`, "false true false"),
	gives(`{{in (sprig_list 1 2) 2}} {{in (sprig_list 1 2) 3}} {{in (sprig_list true nil) true}}`, "true false false"),
	gives(`{{in (parseJSON "[1]") (parseJSON "1")}} {{in (parseJSON "[1.5,\"a\",true,null]") 1.5}} {{in (parseJSON "[\"a\"]") "a"}} {{in (parseJSON "[true]") true}}`, "true true true false"),
	gives(`{{in (split "," "1,2") 1}} {{in (sprig_list 1 2) (parseInt "2")}} {{in (sprig_list 1.5) 1}} {{in (split "," "") "a"}} {{in nil "a"}} {{in "a" 1}}`, "false true false false false false"),
	gives(`{{in "hello" "ell"}} {{in "hello" "x"}} {{in "hello" ""}}`, "true false true"),
	gives(`{{in (parseJSON "{\"a\":1}") "a"}} {{in 5 5}}`, "false false"),
	gives(`{{contains "b" (split "," "a,b")}} {{"hello" | contains "ell"}} {{split "," "a,b" | contains "x"}}`, "true true false"),
	gives(v2(`{{in .Tags "v1"}} {{.Tags | contains "v1"}} {{.Tags | contains "v"}}`), "true true false"),

	// containsAll, containsAny, containsNone, containsNotAll
	gives(`{{$l := split "," "a,b,c"}}{{$n := key "data/strings" | parseJSON}}{{containsAll $n $l}} {{containsAny $n $l}} {{containsNone $n $l}} {{containsNotAll $n $l}}`,
		"true true false false"),
	gives(`{{$l := split "," "a,c"}}{{$n := sprig_list "a" "b"}}{{containsAll $n $l}} {{containsAny $n $l}} {{containsNone $n $l}} {{containsNotAll $n $l}}`,
		"false true false true"),
	gives(`{{$l := split "," "c,d"}}{{$n := sprig_list "a" "b"}}{{containsAll $n $l}} {{containsAny $n $l}} {{containsNone $n $l}} {{containsNotAll $n $l}}`,
		"false false true true"),
	gives(`{{$l := split "," "c,d"}}{{$n := parseJSON "[]"}}{{containsAll $n $l}} {{containsAny $n $l}} {{containsNone $n $l}} {{containsNotAll $n $l}}`,
		"true false true false"),
	gives(v2(`{{containsAll (sprig_list "v1" "v2") .Tags}}`), "true"),
	gives(`{{containsAll (split "," "a") (split "," "a")}} {{containsAny (split "," "b") (split "," "a")}}`, "true false"), // an error there

	// loop
	gives(`{{range loop 3}}{{.}} {{end}}`, "0 1 2 "),
	gives(`{{range loop 2 5}}{{.}} {{end}}`, "2 3 4 "),
	gives(`{{range $i, $e := loop 2 5}}{{$i}}={{$e}} {{end}}`, "0=2 1=3 2=4 "),
	gives(`{{range loop "2" "4"}}{{.}} {{end}}{{range loop ""}}x{{end}}`, "2 3 "),
	gives(`{{range loop 5 2}}x{{else}}none{{end}}{{range loop 2 2}}x{{end}}{{range loop 0}}x{{end}}`, "none"),
	gives(`{{range loop (key "app/a" | parseUint)}}{{.}}{{end}}`, "0"),
	gives(`{{range loop 9}}{{if eq . 2}}{{break}}{{end}}{{.}}{{end}}`, "01"),
	gives(`{{range loop 1 2}}{{printf "%T" .}}{{end}}`, "int64"),
	fails(`{{range loop 1.5}}x{{end}}`, "loop"),
	fails(`{{range loop "x"}}x{{end}}`, "loop"),

	// split, join
	gives(`{{split "," "a,b" | join "+"}} {{len (split "," "")}} {{len (split "," " \n")}}`, "a+b 0 0"),
	gives(`{{range split "," " a, b "}}[{{.}}]{{end}}`, "[a][ b]"),
	gives(`{{split "" "abc" | join "-"}} {{split "x" "abc" | len}}`, "a-b-c 1"),
	gives(`{{services | len | lt 1}} {{range service "svc"}}{{join "/" .Tags}}{{end}}`, "true a-b/a.b.c/k=v/my/x:y"),
	gives(`{{split "," "a,b," | len}} {{split ", " "a, b" | join "|"}} {{index (split ":" "h:80") 1 | parseInt | add 1}}`, "3 a|b 81"),
	fails(`{{join "," (parseJSON "[\"a\"]")}}`, "wrong type"),
}

func meta(keys string) string {
	return `{{range $k, $l := service "web" | byMeta "` + keys + `"}}{{$k}}:{{range $l}}{{.ID}} {{end}}{{end}}`
}

var conformanceMaps = []conformance{
	// explode
	gives(`{{tree "grp/" | explode | toJSON}}`, `{"loose":"l","one":{"p1":"a","p2":{"x":"b"}},"two":{"p1":"c"}}`),
	gives(`{{with tree "app/" | explode}}{{.a}} {{.dir.deep.z}} {{.none}}{{end}}`, "1 Z <no value>"),
	gives(`{{tree "none" | explode | toJSON}} {{ls "grp/" | explode | toJSON}}`, `{} {"loose":"l"}`),
	gives(`{{range $k, $v := tree "grp/" | explode}}{{$k}} {{end}}`, "loose one two "),
	fails(`{{tree "bad/" | explode}}`, "not a map"),

	gives(`{{tree "app" | explode | toJSON}}`, `{"a":"1","b":"two","dir":{"deep":{"z":"Z"},"x":"X","y":"Y"},"empty":"","le":"fruit"}`),

	// explodeMap
	gives(`{{key "data/flat" | parseJSON | explodeMap | toJSON}}`, `{"a":{"b":1,"c":{"d":2}},"e":3}`),
	fails(`{{key "data/conflict" | parseJSON | explodeMap}}`, "not a map"),
	gives(`{{$m := parseJSON "{\"a\":{\"x\":1},\"a/y\":2}"}}{{$e := explodeMap $m}}{{$m | toJSON}} {{$e | toJSON}}`, `{"a":{"x":1},"a/y":2} {"a":{"x":1,"y":2}}`),
	fails(`{{explodeMap "x"}}`, "map[string]interface {}"),

	// mergeMap: what is missing or empty is filled.
	gives(`{{key "data/src" | parseJSON | mergeMap (key "data/dst" | parseJSON) | toJSON}}`,
		`{"deep":{"d":1,"s":2},"fill":"filled","keep":1,"new":0,"other":"text"}`),
	gives(`{{mergeMap (parseJSON "") (key "data/empty" | parseJSON) | toJSON}}`, `{"keep":""}`),
	gives(`{{tree "grp/" | explode | mergeMap (key "data/json" | parseJSON) | sprig_keys | sprig_sortAlpha}}`, "[a big html loose nil one two yes]"),
	gives(`{{$d := parseJSON "{}"}}{{if mergeMap $d (parseJSON "{\"a\":1}")}}{{toJSON $d}}{{end}}`, `{"a":1}`),
	fails(`{{mergeMap "x" "y"}}`, "map[string]interface {}"),

	gives(`{{key "data/full" | parseJSON | mergeMap (key "data/zeros" | parseJSON) | toJSON}}`, `{"f":true,"l":[1],"m":{"x":1},"n":1,"s":"s","z":1}`),
	gives(`{{key "data/zeros" | parseJSON | mergeMap (key "data/full" | parseJSON) | toJSON}}`, `{"f":true,"l":[1],"m":{"x":1},"n":1,"s":"s","z":1}`),
	gives(`{{mergeMap (parseJSON "{\"a\":{\"b\":{\"c\":\"\",\"d\":1}}}") (parseJSON "{\"a\":{\"b\":{\"c\":2,\"d\":2},\"e\":3}}") | toJSON}}`,
		`{"a":{"b":{"c":2,"d":1},"e":3}}`),

	// mergeMapWithOverride: what is piped wins.
	gives(`{{key "data/src" | parseJSON | mergeMapWithOverride (key "data/dst" | parseJSON) | toJSON}}`,
		`{"deep":{"d":2,"s":2},"fill":"filled","keep":2,"new":0,"other":{"m":1}}`),
	gives(`{{key "data/empty" | parseJSON | mergeMapWithOverride (key "data/dst" | parseJSON) | toJSON}}`,
		`{"deep":{"d":1},"fill":"","keep":"","other":"text"}`),

	gives(`{{key "data/zeros" | parseJSON | mergeMapWithOverride (key "data/full" | parseJSON) | toJSON}}`, `{"f":false,"l":[],"m":{"x":1},"n":0,"s":"","z":null}`),
	gives(`{{key "data/full" | parseJSON | mergeMapWithOverride (key "data/zeros" | parseJSON) | toJSON}}`, `{"f":true,"l":[1],"m":{"x":1},"n":1,"s":"s","z":1}`),
	gives(`{{mergeMapWithOverride (parseJSON "{\"a\":[1,2],\"b\":{\"c\":1}}") (parseJSON "{\"a\":[3],\"b\":{\"c\":\"\"}}") | toJSON}}`, `{"a":[3],"b":{"c":""}}`),

	gives(`{{mergeMap (parseJSON "{\"a\":{\"x\":1},\"b\":\"s\"}") (parseJSON "{\"a\":\"s\",\"b\":{\"x\":1}}") | toJSON}}`, `{"a":{"x":1},"b":"s"}`),
	gives(`{{mergeMapWithOverride (parseJSON "{\"a\":{\"x\":1},\"b\":\"s\"}") (parseJSON "{\"a\":\"s\",\"b\":{\"x\":1}}") | toJSON}}`, `{"a":"s","b":{"x":1}}`),

	// splitToMap
	gives(`{{splitToMap "," ":" "a:1,b:2" | toJSON}}`, `{"a":"1","b":"2"}`),
	gives(`{{splitToMap "," ":" "a:1,none,b:2:3,a:4" | toJSON}}`, `{"a":"4","b":"2:3"}`),
	gives(`{{splitToMap "," "=" "a=1, b = 2" | toJSON}}`, `{" b ":" 2","a":"1"}`),
	gives(`{{splitToMap "," ":" "" | toJSON}} {{(splitToMap "," ":" "a:1").a}}`, `{} 1`),
}

var conformanceStrings = []conformance{
	gives(`{{base64Encode "a>?b~~"}} {{base64Decode "YT4/Yn5+"}}`, "YT4/Yn5+ a>?b~~"),
	gives(`{{base64URLEncode "a>?b~~"}} {{base64URLDecode "YT4_Yn5-"}}`, "YT4_Yn5- a>?b~~"),
	gives(`{{key "raw" | base64Encode}} {{printf "%q" (base64Decode "YQ0KAP8=")}}`, `YQ0KAP8= "a\r\n\x00\xff"`),
	gives(`{{base64Encode "a"}} {{base64URLEncode "a"}} [{{base64Decode ""}}]`, "YQ== YQ== []"),
	fails(`{{base64Decode "!"}}`, "base64Decode: illegal base64 data at input byte 0"),
	fails(`{{base64URLDecode "!"}}`, "base64URLDecode: illegal base64 data at input byte 0"),
	fails(`{{base64Decode "YQ"}}`, "illegal base64 data"), // without padding
	fails(`{{base64Decode "YT4_Yn5-"}}`, "illegal base64 data at input byte 3"),

	gives("{{indent 2 \"a\\n\\nb\\n\"}}|", "  a\n\n  b\n|"),
	gives(`{{indent 0 "a"}}{{"b" | indent 1}}[{{indent 2 ""}}]`, "a b[]"),
	fails(`{{indent -1 "a"}}`, "indent"),

	gives(`[{{trim "xy" "xyaxy"}}] [{{trim " " " a "}}] [{{"--a" | trim "-"}}]`, "[a] [a] [a]"),
	gives(`{{trimPrefix "ab" "ababc"}} {{trimSuffix "c" "abcc"}} {{trimPrefix "x" "a"}} {{trimSuffix "x" "a"}}`, "abc abc a a"),
	gives("[{{trimSpace \" \\t a b\\n\"}}]", "[a b]"),
	gives(`{{toLower "AbÄ"}} {{toUpper "abä"}} {{toTitle "foo-bar o'neil"}} {{toTitle "aBC dEF"}}`, "abä ABÄ Foo-Bar O'neil ABC DEF"),
	gives(`{{replaceAll "a" "b" "banana"}} {{"x" | replaceAll "x" ""}}|`, "bbnbnb |"),

	gives(`{{regexMatch "^a.c$" "abc"}} {{"abcd" | regexMatch "^a.c$"}} {{regexMatch "(?i)B" "abc"}}`, "true false true"),
	gives(`{{regexReplaceAll "(a)(x*)" "[$2]" "a-ax"}} {{regexReplaceAll "^" "> " "t"}} {{"abc" | regexReplaceAll "b" "${0}${0}"}}`, "[]-[x] > t abbc"),
	fails(`{{regexMatch "(" "a"}}`, "regexMatch"),
	fails(`{{regexReplaceAll "(" "" "a"}}`, "regexReplaceAll"),

	gives(`{{sha256Hex "abc"}}`, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
	gives(`{{md5sum "abc"}} {{md5sum ""}}`, "900150983cd24fb0d6963f7d28e17f72 d41d8cd98f00b204e9800998ecf8427e"),
	gives(`{{hmacSHA256Hex "message" "key"}}`, "6e9ef29b75fffc5b7abae527d58fdadb2fe42e7219011976917343065f58ed4a"),
	gives(`{{"key" | hmacSHA256Hex "message"}}`, "6e9ef29b75fffc5b7abae527d58fdadb2fe42e7219011976917343065f58ed4a"),

	gives(`{{regexMatch "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$" timestamp}}`, "true"),
	gives(`{{regexMatch "^\\d{10}$" (timestamp "unix")}} {{len (timestamp "2006-01")}} [{{timestamp ""}}]`, "true 7 []"),
	fails(`{{timestamp "unix" "2006"}}`, "timestamp"),
}

var conformanceParse = []conformance{
	gives(`{{parseBool ""}} {{parseBool "1"}} {{parseBool "t"}} {{parseBool "TRUE"}} {{parseBool "True"}} {{parseBool "0"}} {{parseBool "F"}}`,
		"false true true true true false false"),
	fails(`{{parseBool "yes"}}`, "parseBool"),
	gives(`{{parseInt ""}} {{parseInt "-12"}} {{parseInt "007"}} {{printf "%T" (parseInt "1")}}`, "0 -12 7 int64"),
	fails(`{{parseInt "1.5"}}`, "parseInt"),
	fails(`{{parseInt "0x10"}}`, "parseInt"),
	fails(`{{parseInt " 1"}}`, "parseInt"),
	fails(`{{parseInt "99999999999999999999"}}`, "out of range"),
	gives(`{{parseUint ""}} {{parseUint "12"}} {{printf "%T" (parseUint "1")}}`, "0 12 uint64"),
	fails(`{{parseUint "-1"}}`, "parseUint"),
	fails(`{{parseUint "0x10"}}`, "parseUint"),
	gives(`{{parseFloat ""}} {{parseFloat "1.50"}} {{parseFloat "-2"}} {{printf "%T" (parseFloat "1")}}`, "0 1.5 -2 float64"),
	fails(`{{parseFloat "x"}}`, "parseFloat"),

	// parseJSON
	gives(`{{parseJSON ""}} {{(parseJSON "").x}}`, "map[] <no value>"),
	gives(`{{with key "data/json" | parseJSON}}{{.big}} {{index .a.b 1}} {{.html}} {{.yes}} {{.nil}}{{end}}`, "10000000 2.5 <a&b> true <no value>"),
	gives(`{{parseJSON "10000000"}} {{parseJSON "1e21"}} {{parseJSON "0.1"}} {{parseJSON "-3"}}`, "10000000 1000000000000000000000 0.1 -3"), // difference 26
	gives(`{{parseJSON "\"s\""}} {{parseJSON "[1,\"a\"]"}} {{parseJSON "true"}}`, "s [1 a] true"),
	gives(`{{eq (parseJSON "1") 1.0}} {{lt (parseJSON "1") 1.5}} {{gt (parseJSON "10000000") 1.0}}`, "true true true"),
	gives(`{{range $k, $v := key "data/json" | parseJSON}}{{$k}} {{end}}`, "a big html nil yes "),
	gives(`{{printf "%.1f|%6.2f|%v|%e" (parseJSON "1.25") (parseJSON "2") (parseJSON "10000000") (parseJSON "5")}}`, "1.2|  2.00|10000000|5.000000e+00"),
	gives(`{{if parseJSON "0"}}x{{else}}zero{{end}} {{not (parseJSON "1")}} {{lt (parseJSON "2") (parseJSON "10")}} {{eq (parseJSON "1") (parseJSON "1.0")}}`, "zero false true true"),
	gives(`{{html (parseJSON "10000000")}} {{urlquery (parseJSON "10000000")}} {{js (parseJSON "1.5")}} {{print (parseJSON "10000000") (parseJSON "1")}}`, "10000000 10000000 1.5 10000000 1"),
	gives(`{{parseJSON "[1e21,1e-7,100000000000000000000,0.1,-0]" | toJSON}}`, "[1e+21,1e-7,100000000000000000000,0.1,-0]"),
	gives(`{{parseJSON "{\"a\":[10000000,{\"b\":1e7}]}"}}`, "map[a:[10000000 map[b:10000000]]]"),
	gives(`{{parseFloat "10000000"}} {{parseFloat "0.000001"}} {{1e7}} {{add 1 1e7}} {{multiply 2.5 4000000}}`, "1e+07 1e-06 1e+07 1.0000001e+07 1e+07"), // no numbers of JSON
	gives(`{{range (key "data/json" | parseJSON).a.b}}[{{.}}]{{end}} {{parseJSON "\"é\\u00e9\\n\""}}`, "[1][2.5][x] éé\n"),
	gives(`{{with parseJSON "{\"a b\":1,\"c-d\":{\"e\":2}}"}}{{index . "a b"}} {{index . "c-d" "e"}}{{end}}`, "1 2"),
	fails(`{{parseJSON "{} {}"}}`, "after top-level value"),
	fails(`{{parseJSON "{"}}`, "unexpected end of JSON input"),
	fails(`{{parseJSON "{x}"}}`, "invalid character"),

	// parseYAML
	gives(`{{parseYAML ""}}`, "map[]"),
	gives(`{{with key "data/yaml" | parseYAML}}{{index .a.b 1}} {{.big}} {{.none}}{{end}}`, "2 10000000 <no value>"),
	gives(`{{parseYAML "a: 1\nb: {c: [x, 2.5]}" | toJSON}}`, `{"a":1,"b":{"c":["x",2.5]}}`), // difference 12
	gives(`{{parseYAML "[1, a]"}} {{parseYAML "a: 10000000"}} {{parseYAML "x"}}`, "[1 a] map[a:10000000] x"),
	gives(`{{parseYAML "a: yes\nb: off\nc: 010\nd: 1_000\ne: ~" | toJSON}}`, `{"a":true,"b":false,"c":8,"d":1000,"e":null}`), // YAML 1.1, as yaml.v2 reads it
	gives(`{{key "data/yaml" | parseYAML | toJSON}}`, `{"1":"one","a":{"b":[1,2]},"big":10000000,"true":true}`),
	gives(`{{parseYAML "a: &x {k: 1}\nb: {<<: *x, l: 2}" | toJSON}}`, `{"a":{"k":1},"b":{"k":1,"l":2}}`),
	gives(`{{parseYAML "d: 2001-01-02\nf: 1e7\ni: 10000000\nx: 0x1F\nq: \"1\"\ne: ~" | toJSON}}`,
		`{"d":"2001-01-02","e":null,"f":10000000,"i":10000000,"q":"1","x":31}`),
	gives(`{{with parseYAML "f: 1e7\ni: 10000000"}}{{.f}} {{.i}}{{end}}`, "1e+07 10000000"),
	gives(`{{parseYAML "a: |\n  x\n  y\nb: >\n  x\n  y\n" | toJSON}}`, `{"a":"x\ny\n","b":"x y\n"}`),
	gives(`{{range parseYAML "- a\n- b: 1"}}{{toJSON .}}{{end}} {{parseYAML "~"}}`, `"a"{"b":1} <no value>`),
	gives(`{{in (parseYAML "[1, 2]") 2}} {{in (parseYAML "[1, 2]") 2.0}} {{add 1 (parseYAML "2")}}`, "true false 3"),
	gives(`{{parseYAML "a: 1" | mergeMap (parseYAML "b: 2") | toJSON}} {{parseYAML "a/b: 1" | explodeMap | toJSON}}`, `{"a":1,"b":2} {"a":{"b":1}}`),
	fails(`{{parseYAML "a: [1"}}`, "parseYAML"),

	// toJSON and its kin
	gives(`{{key "data/json" | parseJSON | toJSON}}`, `{"a":{"b":[1,2.5,"x"]},"big":10000000,"html":"\u003ca\u0026b\u003e","nil":null,"yes":true}`),
	gives(`{{key "data/json" | parseJSON | toUnescapedJSON}}`, `{"a":{"b":[1,2.5,"x"]},"big":10000000,"html":"<a&b>","nil":null,"yes":true}`),
	gives(`{{parseJSON "{\"b\":[1],\"a\":\"<\"}" | toJSONPretty}}`, "{\n  \"a\": \"\\u003c\",\n  \"b\": [\n    1\n  ]\n}"),
	gives(`{{parseJSON "{\"b\":[1],\"a\":\"<\"}" | toUnescapedJSONPretty}}`, "{\n  \"a\": \"<\",\n  \"b\": [\n    1\n  ]\n}"),
	gives(`{{toJSON nil}} {{toJSON 1}} {{toJSON "a\n"}} {{toJSON (split "," "")}}`, `null 1 "a\n" []`),
	gives(`{{parseJSON "{}" | toJSONPretty}} {{parseJSON "[]" | toJSONPretty}}`, "{} []"),
	fails(`{{divide 0.0 1 | toJSON}}`, "toJSON"),

	// toYAML
	gives(`{{parseJSON "{\"a\":[1,{\"b\":\"x\"}],\"c\":true}" | toYAML}}|`, "a:\n- 1\n- b: x\nc: true|"),
	gives(`{{parseJSON "{\"t\":\"one\\ntwo\",\"n\":null,\"e\":{},\"l\":[]}" | toYAML}}`, "e: {}\nl: []\n\"n\": null\nt: |-\n  one\n  two"),
	gives(`{{toYAML "x"}} {{toYAML 1}} {{toYAML "yes"}} {{toYAML "1"}} {{toYAML nil}}`, `x 1 "yes" "1" null`),
	gives(`{{parseYAML "b: 1\na: 2" | toYAML}}`, "a: 2\nb: 1"),
	gives(`{{toYAML (split "," "a,b")}}`, "- a\n- b"),

	gives(`{{key "data/json" | parseJSON | toYAML}}`, "a:\n  b:\n  - 1\n  - 2.5\n  - x\nbig: 10000000\nhtml: <a&b>\nnil: null\n\"yes\": true"),
	gives(`{{range service "svc"}}{{toYAML .Tags}}{{end}}`, "- a-b\n- a.b.c\n- k=v\n- my\n- x:y"),
	gives(`{{tree "grp/" | explode | toYAML | indent 2}}`, "  loose: l\n  one:\n    p1: a\n    p2:\n      x: b\n  two:\n    p1: c"),
	gives(`{{range service "svc"}}{{toYAML .Weights}}{{end}} {{toYAML (ls "none")}}`, "passing: 1\nwarning: 1 []"),
	gives(`{{toYAML "a: b"}} {{toYAML " x "}} {{toYAML ""}} {{toYAML "true"}} {{toYAML true}} {{toYAML 1.5}}`, `'a: b' ' x ' "" "true" true 1.5`),

	// toTOML
	gives(`{{parseYAML "i: 1\nf: 1.5\ns: x\nb: true\nt: {z: 1, a: 2}" | toTOML | trimSpace}}`, "b = true\nf = 1.5\ni = 1\ns = \"x\"\n\n[t]\n  a = 2\n  z = 1"),
	gives(`{{parseJSON "{\"t\":{\"b\":\"x\",\"u\":{\"c\":true}},\"a\":1}" | toTOML | trimSpace}}`, "a = 1.0\n\n[t]\n  b = \"x\"\n  [t.u]\n    c = true"),
	gives(`{{parseJSON "{\"a\":\"x\",\"l\":[\"p\",\"q\"]}" | toTOML | trimSpace}}`, "a = \"x\"\nl = [\"p\", \"q\"]"),
	fails(`{{toTOML nil}}`, "toTOML"),
}

var conformanceOutside = []conformance{
	gives(`{{env "HOME"}} [{{env "EMPTY"}}{{env "NONE"}}]`, "/root []"),
	gives(`{{mustEnv "HOME"}}`, "/root"),
	fails(`{{mustEnv "NONE"}}`, "required environment variable"),
	fails(`{{mustEnv "EMPTY"}}`, "is empty"),
	gives(`{{envOrDefault "HOME" "d"}} {{envOrDefault "NONE" "d"}} [{{envOrDefault "EMPTY" "d"}}]`, "/root d []"),

	gives(`{{define "t"}}<{{.}}>{{end}}{{executeTemplate "t"}}{{executeTemplate "t" 1}}`, "<<no value>><1>"),
	gives(`{{define "t"}}{{.Key}}{{end}}{{range ls "app/"}}{{executeTemplate "t" . | toUpper}} {{end}}`, "A B EMPTY "),
	gives(`{{define "t"}}{{key .}}{{end}}{{executeTemplate "t" "app/b" | indent 2}}`, "  two"),
	fails(`{{executeTemplate "none"}}`, "none"),
	fails(`{{define "t"}}{{end}}{{executeTemplate "t" 1 2}}`, "executeTemplate"),

	gives(`[{{plugin ""}}]`, "[]"),
	gives(`{{plugin "echo" " a " "" "  " "b c"}}|`, "a b c|"),
	gives(`{{plugin "printf" "x$HOME;"}} {{key "app/a" | plugin "echo"}}`, "x$HOME; 1"),
	gives(`{{key "app/a"}} {{plugin "sh" "-c" (printf "echo x >>%s/runs; wc -l <%s/runs" (env "DIR") (env "DIR"))}}`, "1 1"), // once: difference 14
	gives(`{{key (plugin "echo" "app/b")}} {{plugin "echo" (key "app/a") | parseInt | add 1}}`, "two 2"),
	gives(`{{plugin "printf" " \n x \n y \n"}}|{{plugin "true"}}|`, "x \n y||"),
	waits(`{{key "none"}}{{plugin "render-no-such-program"}}`, "kv none"),
	waits(`{{plugin "render-no-such-program"}}{{key "none"}}`, "plugin render-no-such-program, kv none"),
	fails(`{{plugin "sh" "-c" "echo out; echo fault >&2; exit 3"}}`, "plugin sh: exit status 3: fault"),
	fails(`{{plugin "render-no-such-program"}}`, "plugin render-no-such-program: "),

	gives(`{{sockaddr "GetAllInterfaces" "| include" "\"name\" \"^lo$\" | include \"type\" \"IPv4\"" "| attr \"address\""}}`, "127.0.0.1"),
	gives(`{{sockaddr "GetAllInterfaces | include \"name\" \"^none$\" | join \"address\" \",\""}}`, ""),
	fails(`{{sockaddr "NoSuchFunction"}}`, "sockaddr"),

	gives(`[{{writeToFile (printf "%s/new/out" (env "DIR")) "" "" "0640" "content"}}]`, "[]"),
	gives(`{{key "app/b" | writeToFile (printf "%s/piped" (env "DIR")) "" "" "0640" "append,newline"}}`, ""),
	fails(`{{writeToFile (printf "%s/x" (env "DIR")) "" "" "0640"}}`, "writeToFile"),
	fails(`{{writeToFile (printf "%s/x" (env "DIR")) "" "" "rw" "content"}}`, "writeToFile"),
}

var conformanceMath = []conformance{
	gives(`{{add 1 2}} {{subtract 1 5}} {{multiply 2 3}} {{divide 2 7}} {{modulo 3 10}}`, "3 4 6 3 1"),
	gives(`{{5 | subtract 1}} {{7 | divide 2}} {{10 | modulo 3}}`, "4 3 1"),
	gives(`{{minimum 1 2}} {{minimum 2 1}} {{maximum 1 2}} {{maximum 2 1}}`, "1 1 2 2"),
	gives(`{{subtract 5 1}} {{divide -2 7}} {{modulo 3 -10}}`, "-4 -3 -1"),
	gives(`{{printf "%T %T %T" (add 1 2) (multiply 1 2) (modulo 1 2)}}`, "int64 int64 int64"),
	gives(`{{$u := parseUint "6"}}{{add $u $u}} {{divide $u $u}} {{printf "%T" (add $u $u)}}`, "12 1 uint64"),
	gives(`{{$u := parseUint "6"}}{{add 1 $u}} {{printf "%T %T" (add 1 $u) (subtract $u 1)}} {{subtract $u 1}}`, "7 int64 int64 -5"),
	gives(`{{add 1 1.5}} {{multiply 0.5 3}} {{divide 2.0 7}} {{subtract 0.5 1}}`, "2.5 1.5 3.5 0.5"),
	gives(`{{printf "%T %T" (add 1 1.0) (divide (parseUint "1") 1.5)}}`, "float64 float64"),
	gives(`{{minimum 1 2.5 | printf "%T"}} {{maximum 1 2.5 | printf "%T"}} {{maximum 1 2.5}} {{minimum (parseUint "1") 2 | printf "%T"}}`, "int64 float64 2.5 uint64"),
	gives(`{{divide 0.0 1}} {{divide 0.0 -1.0}}`, "+Inf -Inf"),
	gives(`{{add 1 (parseJSON "2")}} {{multiply (parseJSON "1.5") 2}} {{divide (parseJSON "2") 7}}`, "3 3 3.5"),
	gives(`{{range service "svc"}}{{add .Port 1}} {{printf "%T" (add .Port 1)}}{{end}} {{key "app/a" | parseInt | add 41}}`, "2 int64 42"),
	fails(`{{divide 0 1}}`, "divide by zero"),
	fails(`{{modulo 0 1}}`, "divide by zero"),
	fails(`{{modulo 1.5 3}}`, "modulo"),
	fails(`{{add "1" 2}}`, "add: "),
	fails(`{{add 1 "2"}}`, "add: "),
	fails(`{{subtract nil 2}}`, "subtract"),
	fails(`{{multiply (split "," "a") 2}}`, "multiply: "),
	fails(`{{divide true 2}}`, "divide: "),
	fails(`{{minimum "a" 2}}`, "minimum: "),
	fails(`{{maximum 2 "a"}}`, "maximum: "),
	fails(`{{add 1}}`, "wrong number of args"),
}

var conformanceDebug = []conformance{
	gives(`{{spew_sdump 1}}`, "(int) 1\n"),
	gives(`{{spew_sdump "a" true}}`, "(string) (len=1) \"a\"\n(bool) true\n"),
	gives(`{{spew_sprintf "%v %#v" 1 "a"}}`, `1 (string)a`),
	gives(`[{{spew_dump}}{{spew_printf ""}}]`, "[]"),
	gives(`{{spew_sdump (split "," "a")}}`, "([]string) (len=1 cap=1) {\n (string) (len=1) \"a\"\n}\n"),
}

var conformanceRenamed = []conformance{
	gives(`{{key_or_default "none" "d"}} {{key_or_default "app/a" "d"}}`, "d 1"), // difference 11
	gives(v2(`{{.Tags.Contains "v1"}} {{.Tags.Contains "v"}}`), "true false"),    // difference 27
	fails(`{{keyPrefix "app/"}}`, "there is no function keyPrefix"),
	fails(`{{storeKeyPrefix "app/"}}`, "there is no function storeKeyPrefix"),
	gives(`{{with service "web" | byPort}}{{len .}}{{end}}`, "2"),
}
