package template_test

import (
	"slices"
	"strings"
	"testing"

	"render/template"
)

var conformanceSprig = []conformance{
	// Strings.
	gives(`{{sprig_abbrev 5 "hello world"}} {{sprig_abbrevboth 5 10 "1234 5678 9123"}}`, "he... ...5678..."),
	gives(`{{sprig_camelcase "http_server"}} {{sprig_snakecase "FirstName"}} {{sprig_kebabcase "FirstName"}}`, "HttpServer first_name first-name"),
	gives(`{{sprig_cat "a" 1 "b"}} {{sprig_contains "an" "banana"}}`, "a 1 b true"),
	gives(`{{sprig_default "d" ""}} {{sprig_default "d" "x"}} {{"" | sprig_default "d"}} {{sprig_default 1 0}}`, "d x d 1"),
	gives(`{{sprig_hasPrefix "a" "abc"}} {{sprig_hasSuffix "a" "abc"}}`, "true false"),
	gives(`{{sprig_hello}}`, "Hello!"),
	gives(`{{sprig_indent 2 "a\nb"}}|{{sprig_nindent 2 "a"}}`, "  a\n  b|\n  a"),
	gives(`{{sprig_initials "First Try"}} {{sprig_nospace "a b c"}}`, "FT abc"),
	gives(`{{sprig_join "-" (sprig_list "a" 1)}} {{sprig_join "-" (split "," "a,b")}}`, "a-1 a-b"),
	gives(`{{sprig_lower "AB"}} {{sprig_upper "ab"}} {{sprig_title "hello world"}} {{sprig_untitle "Hello World"}} {{sprig_swapcase "aB"}}`, "ab AB Hello World hello world Ab"),
	gives(`{{sprig_plural "one" "many" 1}} {{sprig_plural "one" "many" 2}}`, "one many"),
	gives(`{{sprig_quote "a" 1}} {{sprig_squote "a" 1}}`, `"a" "1" 'a' '1'`),
	gives(`{{sprig_repeat 3 "ab"}} {{sprig_replace " " "-" "a b"}} {{sprig_substr 0 2 "hello"}} {{sprig_trunc 2 "hello"}} {{sprig_trunc -2 "hello"}}`, "ababab a-b he he lo"),
	gives(`{{(sprig_split "," "a,b")._1}} {{sprig_splitList "," "a,b"}} {{(sprig_splitn "," 2 "a,b,c")._1}}`, "b [a b] b,c"),
	gives(`[{{sprig_trim " a "}}] {{sprig_trimAll "$" "$5$"}} {{sprig_trimall "$" "$5$"}} {{sprig_trimPrefix "-" "-a"}} {{sprig_trimSuffix "-" "a-"}}`, "[a] 5 5 a a"),
	gives(`{{sprig_wrap 5 "hello world"}}|{{sprig_wrapWith 5 "+" "hello world"}}`, "hello\nworld|hello+world"),
	gives(`{{sprig_toString 1}} {{sprig_toStrings (sprig_list 1 "a")}} {{sprig_ternary "y" "n" true}} {{false | sprig_ternary "y" "n"}}`, "1 [1 a] y n"),

	// Regular expressions.
	gives(`{{sprig_regexMatch "^a" "abc"}} {{sprig_regexFind "[a-z]+" "1abc2"}} {{sprig_regexFindAll "[0-9]" "1a2" -1}}`, "true abc [1 2]"),
	gives(`{{sprig_regexReplaceAll "a(x*)b" "-ab-axxb-" "${1}W"}} {{sprig_regexReplaceAllLiteral "a(x*)b" "-ab-" "${1}"}}`, "-W-xxW- -${1}-"),
	gives(`{{sprig_regexSplit "z+" "pizza" -1}} {{sprig_regexQuoteMeta "1.2"}}`, `[pi a] 1\.2`),
	gives(`{{sprig_mustRegexMatch "^a" "abc"}} {{sprig_mustRegexFind "b" "abc"}} {{sprig_mustRegexReplaceAll "b" "abc" "x"}}`, "true b axc"),
	fails(`{{sprig_mustRegexMatch "(" "abc"}}`, "sprig_mustRegexMatch"),

	// Numbers.
	gives(`{{sprig_add 1 2 3}} {{sprig_add1 5}} {{sprig_sub 3 1}} {{sprig_mul 2 3 4}} {{sprig_div 10 3}} {{sprig_mod 10 3}}`, "6 6 2 24 3 1"),
	gives(`{{sprig_addf 1.5 2 2}} {{sprig_add1f 1.5}} {{sprig_subf 7.5 2 3}} {{sprig_mulf 1.5 2 2}} {{sprig_divf 10 2 4}}`, "5.5 2.5 2.5 6 1.25"),
	gives(`{{sprig_max 1 3 2}} {{sprig_biggest 1 3 2}} {{sprig_min 3 1 2}} {{sprig_maxf 1 2.5}} {{sprig_minf 1 0.5}}`, "3 3 1 2.5 0.5"),
	gives(`{{sprig_ceil 1.1}} {{sprig_floor 1.9}} {{sprig_round 123.555555 3}}`, "2 1 123.556"),
	gives(`{{sprig_int "3"}} {{sprig_int64 "4"}} {{sprig_float64 "1.5"}} {{sprig_atoi "12"}} {{sprig_toDecimal 777}}`, "3 4 1.5 12 511"),
	gives(`{{sprig_until 3}} {{sprig_untilStep 3 9 2}} {{sprig_seq 1 2 7}} {{sprig_seq 3}}`, "[0 1 2] [3 5 7] 1 3 5 7 1 2 3"),
	gives(`{{sprig_add (parseJSON "2") 1}} {{sprig_int (parseJSON "10000000")}} {{sprig_toString (parseJSON "2")}}`, "3 10000000 2"),

	// Encoding.
	gives(`{{sprig_b64enc "a"}} {{sprig_b64dec "YQ=="}} {{sprig_b32enc "a"}} {{sprig_b32dec "ME======"}}`, "YQ== a ME====== a"),
	gives(`{{sprig_sha1sum "abc"}} {{sprig_adler32sum "abc"}}`, "a9993e364706816aba3e25717850c26c9cd0d89d 38600999"),
	gives(`{{sprig_sha256sum "abc"}}`, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
	gives(`{{sprig_trunc 8 (sprig_sha512sum "abc")}}`, "ddaf35a1"),
	gives(`{{sprig_toJson (sprig_dict "a" "<")}} {{sprig_toRawJson (sprig_dict "a" "<")}} {{sprig_toPrettyJson (sprig_list 1)}}`, "{\"a\":\"\\u003c\"} {\"a\":\"<\"} [\n  1\n]"),
	gives(`{{(sprig_fromJson "{\"a\":1}").a}} {{(sprig_mustFromJson "{\"a\":\"x\"}").a}} {{sprig_mustToJson 1}}`, "1 x 1"),
	gives(`{{sprig_toJson (parseJSON "{\"n\":10000000}")}}`, `{"n":10000000}`),

	gives(`{{sprig_derivePassword 1 "long" "password" "user" "example.com"}}`, "ZedaFaxcZaso9*"),

	// Lists.
	gives(`{{sprig_list 1 "a"}} {{sprig_tuple 1 2}} {{sprig_first (sprig_list 1 2 3)}} {{sprig_last (sprig_list 1 2 3)}} {{sprig_rest (sprig_list 1 2 3)}} {{sprig_initial (sprig_list 1 2 3)}}`,
		"[1 a] [1 2] 1 3 [2 3] [1 2]"),
	gives(`{{sprig_append (sprig_list 1) 2}} {{sprig_push (sprig_list 1) 2}} {{sprig_prepend (sprig_list 1) 0}} {{sprig_concat (sprig_list 1) (sprig_list 2)}}`,
		"[1 2] [1 2] [0 1] [1 2]"),
	gives(`{{sprig_reverse (sprig_list 1 2)}} {{sprig_uniq (sprig_list 1 1 2)}} {{sprig_without (sprig_list 1 2) 1}} {{sprig_compact (sprig_list 1 "" 0 "a")}}`,
		"[2 1] [1 2] [2] [1 a]"),
	gives(`{{sprig_has 4 (sprig_list 1 4)}} {{sprig_slice (sprig_list 1 2 3) 1 2}} {{sprig_chunk 2 (sprig_list 1 2 3)}} {{sprig_sortAlpha (sprig_list "b" "a")}}`,
		"true [2] [[1 2] [3]] [a b]"),
	gives(`{{sprig_all 1 ""}} {{sprig_any 0 "" 1}} {{sprig_coalesce "" 0 "x"}} {{sprig_empty ""}} {{sprig_empty 1}}`, "false true x true false"),
	gives(`{{sprig_mustAppend (sprig_list 1) 2}} {{sprig_mustFirst (sprig_list 1)}} {{sprig_mustUniq (sprig_list 1 1)}} {{sprig_mustHas 1 (sprig_list 1)}}`, "[1 2] 1 [1] true"),
	fails(`{{sprig_mustFirst 1}}`, "sprig_mustFirst"),

	gives(`{{range sprig_rest (service "web")}}{{.ID}} {{end}}{{range sprig_reverse (service "web")}}{{.ID}} {{end}}{{(sprig_last (service "web")).ID}}`,
		"web-0 web-2 web-2 web-0 web-1 web-2"),
	gives(v2(`{{sprig_join "," .Tags}} {{sprig_has "v1" .Tags}} {{sprig_first .Tags}} {{sprig_without .Tags "v1"}}`), "a.b,v1,v2 true a.b [a.b v2]"),
	gives(`{{range service "web"}}{{range .Tags | sprig_reverse}}{{.}} {{end}}{{break}}{{end}}{{range service "v2.web"}}{{.Tags}}{{end}}`, "v2 v1 a.b [a.b v1 v2]"), // answers do not change

	// Maps.
	gives(`{{$d := sprig_dict "a" 1 "b" 2}}{{sprig_get $d "a"}} {{sprig_hasKey $d "c"}} {{sprig_keys $d}} {{sprig_values $d}} [{{sprig_get $d "c"}}]`,
		"1 false [a b] [1 2] []"),
	gives(`{{$d := sprig_dict "a" 1}}{{$d = sprig_set $d "b" 2}}{{$d = sprig_unset $d "a"}}{{$d}}`, "map[b:2]"),
	gives(`{{$d := sprig_dict "a" 1 "b" 2}}{{sprig_pick $d "a"}} {{sprig_omit $d "a"}} {{sprig_pluck "a" $d (sprig_dict "a" 3)}}`, "map[a:1] map[b:2] [1 3]"),
	gives(`{{sprig_dig "a" "b" "d" (sprig_dict "a" (sprig_dict "b" 1))}} {{sprig_dig "a" "x" "d" (sprig_dict "a" (sprig_dict "b" 1))}}`, "1 d"),
	gives(`{{sprig_merge (sprig_dict "a" 1) (sprig_dict "a" 2 "b" 3)}} {{sprig_mergeOverwrite (sprig_dict "a" 1) (sprig_dict "a" 2)}}`, "map[a:1 b:3] map[a:2]"),
	gives(`{{$d := sprig_dict "a" 1}}{{$e := sprig_deepCopy $d}}{{$e = sprig_set $e "a" 2}}{{$d}} {{$e}} {{sprig_deepEqual $d $e}}`, "map[a:1] map[a:2] false"),
	gives(`{{range $k, $v := sprig_dict "b" 1 "a" 2}}{{$k}}{{end}} {{sprig_get (key "data/json" | parseJSON) "yes"}}`, "ab true"),

	// Types.
	gives(`{{sprig_kindOf "a"}} {{sprig_kindIs "int" 1}} {{sprig_typeOf 1}} {{sprig_typeIs "string" "a"}} {{sprig_typeIsLike "string" "a"}}`, "string true int true true"),

	// Paths and URLs.
	gives(`{{sprig_base "a/b.c"}} {{sprig_dir "a/b.c"}} {{sprig_ext "a/b.c"}} {{sprig_clean "a//b/../c"}} {{sprig_isAbs "/a"}}`, "b.c a .c a/c true"),
	gives(`{{sprig_osBase "a/b.c"}} {{sprig_osDir "a/b.c"}} {{sprig_osExt "a/b.c"}} {{sprig_osClean "a//b"}} {{sprig_osIsAbs "a"}}`, "b.c a .c a/b false"),
	gives(`{{with sprig_urlParse "http://u@h:80/p?q=1#f"}}{{.scheme}} {{.host}} {{.hostname}} {{.path}} {{.query}} {{.fragment}} {{.userinfo}}{{end}}`, "http h:80 h /p q=1 f u"),
	gives(`{{sprig_urlJoin (sprig_dict "scheme" "http" "host" "h:80" "path" "/p")}}`, "http://h:80/p"),

	// Times and versions.
	gives(`{{sprig_duration "95"}} {{sprig_durationRound "2h10m5s"}}`, "1m35s 2h"),
	gives(`{{(sprig_toDate "2006-01-02" "2017-12-31").Format "02.01.2006"}} {{(sprig_mustToDate "2006" "2017").Year}}`, "31.12.2017 2017"),
	gives(`{{with sprig_semver "1.2.3-beta"}}{{.Major}} {{.Minor}} {{.Patch}} {{.Prerelease}}{{end}} {{sprig_semverCompare ">=1.2.0" "1.2.3"}} {{sprig_semverCompare "^2" "1.2.3"}}`,
		"1 2 3 beta true false"),

	fails(`{{sprig_fail "my reason"}}`, "my reason"),

	// Bare names, where neither consul-template nor Go has a function of that name.
	gives(`{{default "d" ""}} {{upper "a"}} {{lower "A"}} {{quote "a"}} {{squote "a"}} {{title "ab"}}`, `d A a "a" 'a' Ab`),
	gives(`{{list 1 2}} {{dict "a" 1}} {{ternary "y" "n" true}} {{first (list 1 2)}} {{b64enc "a"}} {{until 2}}`, "[1 2] map[a:1] y 1 YQ== [0 1]"),
	gives(`{{nindent 1 "a"}} {{sortAlpha (list "b" "a")}} {{coalesce "" "x"}} {{has 1 (list 1)}} {{trunc 1 "ab"}} {{empty ""}}`, "\n a [a b] x true a true"),
	gives(`{{keys (dict "b" 1 "a" 2)}} {{values (dict "b" 1 "a" 2)}} {{sprig_keys (dict "c" 1 "b" 1 "a" 2)}}`, "[a b] [2 1] [a b c]"), // sorted: difference 13

	// Elsewhere consul-template's and Go's own mean what they did.
	gives(`{{add 1 2}} {{contains "a" (split "," "a,b")}} {{slice "abc" 1}} {{trim "x" "xax"}} {{trimSuffix "c" "abc"}} {{indent 1 "a\n\nb"}}`, "3 true bc a ab  a\n\n b"),
	gives(`{{split "," "a,b"}} {{join "-" (split "," "a,b")}}`, "[a b] a-b"),
	fails(`{{add 1 2 3}}`, "wrong number of args"),

	// Not in consul-template.
	fails(`{{sprig_env "HOME"}}`, "sprig_env"),
	fails(`{{sprig_expandenv "$HOME"}}`, "sprig_expandenv"),
	fails(`{{sprig_now}}`, "sprig_now"),
	fails(`{{sprig_date "2006" 0}}`, "sprig_date"),
	fails(`{{sprig_uuidv4}}`, "sprig_uuidv4"),
	fails(`{{sprig_getHostByName "localhost"}}`, "sprig_getHostByName"),
	fails(`{{sprig_randAlpha 5}}`, "sprig_randAlpha"),
	fails(`{{now}}`, "now"),
	fails(`{{uuidv4}}`, "uuidv4"),
	fails(`{{randAlphaNum 5}}`, "randAlphaNum"),

	// Differ from pass to pass.
	fails(`{{shuffle "abc"}}`, "shuffle"),
	fails(`{{randInt 0 9}}`, "randInt"),
	fails(`{{genPrivateKey "ecdsa"}}`, "genPrivateKey"),
	fails(`{{sprig_shuffle "abc"}}`, "sprig_shuffle"),
	fails(`{{sprig_genPrivateKey "ecdsa"}}`, "sprig_genPrivateKey"),

	// Numbers from JSON count as the floats that they were.
	gives(`{{sprig_kindOf (parseJSON "1")}} {{sprig_typeOf (parseJSON "1")}} {{sprig_kindIs "float64" (parseJSON "1")}} {{sprig_typeIs "float64" (parseJSON "1")}}`,
		"float64 float64 true true"),
	gives(`{{sprig_default 5 (parseJSON "0")}} {{sprig_empty (parseJSON "0")}} {{sprig_coalesce (parseJSON "0") 1}} {{sprig_compact (parseJSON "[0,1]")}}`, "5 true 1 [1]"),
	gives(`{{sprig_add1 (parseJSON "1")}} {{sprig_mulf (parseJSON "1.5") 2}} {{sprig_max (parseJSON "3") 2}} {{sprig_round (parseJSON "1.26") 1}} {{sprig_ceil (parseJSON "1.2")}}`,
		"2 3 3 1.3 2"),
	gives(`{{sprig_has 1.0 (parseJSON "[1]")}} {{sprig_has 1 (parseJSON "[1]")}} {{sprig_uniq (parseJSON "[1,1,2]")}} {{sprig_without (parseJSON "[1,2]") 1.0}}`,
		"true false [1 2] [2]"),
	gives(`{{sprig_join "," (parseJSON "[1,2.5]")}} {{sprig_quote (parseJSON "1")}} {{sprig_toStrings (parseJSON "[1,2]")}} {{sprig_cat (parseJSON "1") "a"}}`,
		`1,2.5 "1" [1 2] 1 a`),
	gives(`{{sprig_deepEqual (parseJSON "[1]") (parseJSON "[1]")}} {{sprig_deepEqual (parseJSON "1") 1.0}} {{sprig_deepEqual (parseJSON "[1]") (sprig_list 1.0)}}`, "true true true"),
	gives(`{{sprig_first (parseJSON "[1,2]")}} {{sprig_reverse (parseJSON "[1,2]")}} {{sprig_append (parseJSON "[1]") 2}} {{sprig_toPrettyJson (parseJSON "[1.0]")}}`, "1 [2 1] [1 2] [\n  1\n]"),
	gives(`{{sprig_int64 (parseJSON "9007199254740991")}} {{sprig_float64 (parseJSON "1.5")}} {{sprig_divf (parseJSON "10") 4}} {{sprig_mod (parseJSON "10") 3}}`, "9007199254740991 1.5 2.5 1"),
	gives(`{{sprig_merge (parseJSON "{\"a\":1}") (parseJSON "{\"a\":2,\"b\":3}") | toJSON}}`, `{"a":1,"b":3}`),

	// Other floats print as Go prints them.
	gives(`{{sprig_float64 "10000000"}} {{sprig_mulf 2.5 4000000}} {{(sprig_fromJson "{\"a\":10000000}").a}}`, "1e+07 1e+07 1e+07"),
	gives(`{{with sprig_dict "a" (sprig_list 1 2)}}{{range .a}}<{{.}}>{{end}}{{end}}`, "<1><2>"),
	gives(`{{range $i := until 3}}{{$i}}{{end}} {{range service "web"}}{{.Name | upper | quote}}{{end}}`, `012 "WEB""WEB""WEB"`),
	gives(`{{key "data/json" | parseJSON | dig "a" "b" "none" | len}} {{get (key "data/json" | parseJSON) "html" | upper}}`, "3 <A&B>"),
}

// The functions of consul-template, but those of Vault and Nomad, and the functions of sprig that it has with a prefix.
const (
	conformanceNames = `key keyExists keyOrDefault ls safeLs tree safeTree service connect services nodes node datacenters partitions
		peerings exportedServices importedServices caRoots caLeaf file scratch base64Decode base64Encode base64URLDecode
		base64URLEncode byKey byPort byTag byMeta contains containsAll containsAny containsNone containsNotAll in env mustEnv
		envOrDefault executeTemplate explode explodeMap mergeMap mergeMapWithOverride indent join loop split splitToMap trim trimPrefix
		trimSuffix trimSpace toLower toUpper toTitle replaceAll regexMatch regexReplaceAll parseBool parseInt parseUint parseFloat
		parseJSON parseYAML toJSON toJSONPretty toUnescapedJSON toUnescapedJSONPretty toYAML toTOML sha256Hex md5sum hmacSHA256Hex
		timestamp plugin sockaddr writeToFile add subtract multiply divide modulo minimum maximum spew_dump spew_printf spew_sdump
		spew_sprintf key_or_default and break call continue eq ge gt html index js le len lt ne not or print printf println slice urlquery`
	conformanceSprigNames = `abbrev abbrevboth add add1 add1f addf adler32sum ago all any append atoi b32dec b32enc b64dec b64enc base bcrypt
		biggest buildCustomCert camelcase cat ceil chunk clean coalesce compact concat contains decryptAES deepCopy deepEqual
		default derivePassword dict dig dir div divf duration durationRound empty encryptAES ext fail first float64 floor
		fromJson genCA genCAWithKey genPrivateKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert
		genSignedCertWithKey get has hasKey hasPrefix hasSuffix hello htpasswd indent initial initials int int64 isAbs join
		kebabcase keys kindIs kindOf last list lower max maxf merge mergeOverwrite min minf mod mul mulf mustAppend mustChunk
		mustCompact mustDateModify mustDeepCopy mustFirst mustFromJson mustHas mustInitial mustLast mustMerge
		mustMergeOverwrite mustPrepend mustPush mustRegexFind mustRegexFindAll mustRegexMatch mustRegexReplaceAll
		mustRegexReplaceAllLiteral mustRegexSplit mustRest mustReverse mustSlice mustToDate mustToJson mustToPrettyJson
		mustToRawJson mustUniq mustWithout must_date_modify nindent nospace omit osBase osClean osDir osExt osIsAbs pick pluck
		plural prepend push quote randInt regexFind regexFindAll regexMatch regexQuoteMeta regexReplaceAll
		regexReplaceAllLiteral regexSplit repeat replace rest reverse round semver semverCompare seq set sha1sum sha256sum
		sha512sum shuffle slice snakecase sortAlpha split splitList splitn squote sub subf substr swapcase ternary title
		toDate toDecimal toJson toPrettyJson toRawJson toString toStrings trim trimAll trimPrefix trimSuffix trimall trunc
		tuple typeIs typeIsLike typeOf uniq unixEpoch unset until untilStep untitle upper urlJoin urlParse values without wrap
		wrapWith`
	conformanceSprigLeftOut = `ago bcrypt encryptAES genCA genCAWithKey genPrivateKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert
		genSignedCertWithKey htpasswd randInt shuffle`
	conformanceSprigAbsent = `date dateInZone dateModify date_in_zone date_modify env expandenv getHostByName htmlDate htmlDateInZone now
		randAlpha randAlphaNum randAscii randBytes randNumeric uuidv4`
)

// A function that is not called does no harm: so all of them can be tried.
func TestConformanceNames(t *testing.T) {
	exists := func(name string) bool {
		_, err := template.Parse("t", "{{if false}}{{"+name+"}}{{end}}", template.Options{})
		return err == nil
	}
	ours := strings.Fields(conformanceNames)
	for _, name := range ours {
		if name != "break" && name != "continue" && !exists(name) {
			t.Errorf("there is no %s", name)
		}
	}
	leftOut := strings.Fields(conformanceSprigLeftOut)
	for _, name := range strings.Fields(conformanceSprigNames) {
		want := !slices.Contains(leftOut, name)
		if exists("sprig_"+name) != want {
			t.Errorf("sprig_%s: exists %t", name, !want)
		}
		if exists(name) != want && !slices.Contains(ours, name) {
			t.Errorf("%s: exists %t", name, !want)
		}
	}
	for _, name := range strings.Fields(conformanceSprigAbsent) {
		if exists("sprig_"+name) || exists(name) && !slices.Contains(ours, name) {
			t.Errorf("there is %s", name)
		}
	}
}
