package template_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"render/template/funcs"

	"render/template"
)

// sprigNames are the functions of sprig that consul-template has as sprig_NAME.
const sprigNames = `
	abbrev abbrevboth add add1 add1f addf adler32sum ago all any append atoi b32dec b32enc b64dec b64enc base bcrypt biggest
	buildCustomCert camelcase cat ceil chunk clean coalesce compact concat contains decryptAES deepCopy deepEqual default
	derivePassword dict dig dir div divf duration durationRound empty encryptAES ext fail first float64 floor fromJson genCA
	genCAWithKey genPrivateKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey get has hasKey
	hasPrefix hasSuffix hello htpasswd indent initial initials int int64 isAbs join kebabcase keys kindIs kindOf last list
	lower max maxf merge mergeOverwrite min minf mod mul mulf mustAppend mustChunk mustCompact mustDateModify mustDeepCopy
	mustFirst mustFromJson mustHas mustInitial mustLast mustMerge mustMergeOverwrite mustPrepend mustPush mustRegexFind
	mustRegexFindAll mustRegexMatch mustRegexReplaceAll mustRegexReplaceAllLiteral mustRegexSplit mustRest mustReverse
	mustSlice mustToDate mustToJson mustToPrettyJson mustToRawJson mustUniq mustWithout must_date_modify nindent nospace
	omit osBase osClean osDir osExt osIsAbs pick pluck plural prepend push quote randInt regexFind regexFindAll regexMatch
	regexQuoteMeta regexReplaceAll regexReplaceAllLiteral regexSplit repeat replace rest reverse round semver semverCompare
	seq set sha1sum sha256sum sha512sum shuffle slice snakecase sortAlpha split splitList splitn squote sub subf substr
	swapcase ternary title toDate toDecimal toJson toPrettyJson toRawJson toString toStrings trim trimAll trimPrefix
	trimSuffix trimall trunc tuple typeIs typeIsLike typeOf uniq unixEpoch unset until untilStep untitle upper urlJoin
	urlParse values without wrap wrapWith`

// Each of them is here or refused with a reason, and in the README if it is here. What is bare means what sprig means.
func TestSprigNames(t *testing.T) {
	names := strings.Fields(sprigNames)
	if len(names) != 194 {
		t.Errorf("%d names", len(names))
	}
	all := template.AllNames()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "\n| group | functions |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var listed []string
	for _, group := range regexp.MustCompile("(?m)^\\| [^|]+ \\| `([^`]+)` \\|$").FindAllStringSubmatch(table, -1) {
		listed = append(listed, strings.Fields(group[1])...)
	}
	slices.Sort(listed)
	var documented, refused []string
	for _, name := range names {
		prefixed := "sprig_" + name
		if there := slices.Contains(all, prefixed); there == (refusal(prefixed) != "") {
			t.Errorf("%s: is there: %v; refused: %q", prefixed, there, refusal(prefixed))
		} else if !there {
			refused = append(refused, name)
		} else if name != "fail" {
			documented = append(documented, name)
		}
		if bare := slices.Contains(all, name) && !funcs.IsShadowed(name); bare == (refusal(name) != "") && !funcs.IsShadowed(name) {
			t.Errorf("%s: is there: %v; refused: %q", name, bare, refusal(name))
		}
	}
	slices.Sort(documented)
	if !slices.Equal(listed, documented) {
		t.Errorf("the README has %v\nnot %v", listed, documented)
	}
	want := strings.Fields("ago bcrypt encryptAES genCA genCAWithKey genPrivateKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey htpasswd randInt shuffle")
	if !slices.Equal(refused, want) {
		t.Errorf("refused are %v\nnot %v", refused, want)
	}
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Error("a name is in two tables")
	}
	if n := len(slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, "sprig_") })); n != len(names)-len(want) {
		t.Errorf("%d functions are called sprig_", n)
	}
}

func TestSprigFuncs(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		// a bare name means what it always meant
		{`{{trim "/" "/a/"}} {{sprig_trim " a "}} {{join "," (split "," "a,b")}} {{sprig_join "," (list 1 "b")}} {{slice "abc" 1}} {{sprig_slice (list 1 2) 1}}`, `a a a,b 1,b bc [2]`},
		{`{{add 1 2}} {{sprig_add 1 2 3}} {{indent 1 "a\n\nb"}} {{sprig_indent 1 "a\n\nb"}} {{contains "a" "abc"}} {{sprig_contains "a" "abc"}}`, "3 6  a\n\n b  a\n \n b true true"},
		{`{{sprig_split "," "a,b"}} {{(sprig_split "," "a,b")._1}} {{sprig_regexMatch "a" "a"}} {{sprig_uniq (list 1 1)}}`, `map[_0:a _1:b] b true [1]`},
		{`{{upper "a"}} {{sprig_upper "a"}} {{list "b" "a" | sortAlpha}} {{hello}} {{default 1 nil}} {{default 1 2}} {{coalesce nil "" 3}}`, `A A [a b] Hello! 1 2 3`},

		// order
		{`{{dict "b" 1 "a" 2 "c" 3 | keys}} {{dict "b" 1 "a" 2 "c" 3 | values}} {{keys (dict "z" 1) (dict "b" 1 "a" 2)}} {{sprig_keys}}`, `[a b c] [2 1 3] [z a b] []`},

		// maps change in place, as sprig's do
		{`{{$d := dict}}{{$_ := set $d "a" 1}}{{$_ := sprig_set $d "b" 2}}{{$_ := unset $d "a"}}{{$d}}`, `map[b:2]`},
		{`{{$d := dict "a" (dict "x" 1)}}{{$_ := merge $d (dict "a" (dict "y" 2) "b" 3)}}{{$d}} {{mergeOverwrite $d (dict "b" 4)}} {{mustMerge $d (dict "c" 1)}} {{mustMergeOverwrite $d (dict "c" 2)}}`,
			`map[a:map[x:1 y:2] b:3] map[a:map[x:1 y:2] b:4] map[a:map[x:1 y:2] b:4 c:1] map[a:map[x:1 y:2] b:4 c:2]`},
		{`{{$d := dict}}{{merge $d (dict "a" $d)}}`, `map[a:map[]]`},

		// numbers of JSON count as floats, and print in full
		{`{{with parseJSON "[10000000,2,2.5]"}}{{sprig_add (index . 0) 1}} {{mul (index . 1) 3}} {{addf (index . 2) 1}} {{max (index . 1) 1}} {{int (index . 1)}} {{round (index . 2) 0}} {{floor (index . 2)}}{{end}}`, `10000001 6 3.5 2 2 3 2`},
		{`{{with parseJSON "[10000000,2,2.5]"}}{{first .}} {{toString (index . 0)}} {{quote (index . 0)}} {{sprig_join "," .}} {{toJson .}} {{reverse .}} {{list (index . 0)}} {{deepCopy .}}{{end}}`,
			`10000000 10000000 "10000000" 10000000,2,2.5 [10000000,2,2.5] [2.5 2 10000000] [10000000] [10000000 2 2.5]`},
		{`{{with parseJSON "[10000000,2]"}}{{has 2.0 .}} {{without . 2.0}} {{typeOf (index . 0)}} {{kindOf (index . 0)}} {{deepEqual . (list 10000000.0 2.0)}} {{sprig_slice . (index . 1)}} {{empty (index . 0)}} {{sprig_uniq .}}{{end}}`,
			`true [10000000] float64 float64 true [] false [10000000 2]`},
		{`{{deepEqual (parseJSON "{\"a\":[1,{\"b\":2}]}") (dict "a" (list 1.0 (dict "b" 2.0)))}}`, `true`},

		{`{{b64enc "a"}} {{sha256sum "" | trunc 6}} {{semverCompare "^1.2" "1.3.0"}} {{splitList "," "a,b"}} {{ternary 1 2 false}} {{until 3}} {{dig "a" "b" 0 (dict "a" (dict "b" 5))}} {{nindent 2 "a"}}`, "YQ== e3b0c4 true [a b] 2 [0 1 2] 5 \n  a"},
		{`{{fromJson "[1"}} {{atoi "x"}} {{toDecimal "777"}} {{snakecase "FooBar"}} {{regexFindAll "a" "aba" -1}} {{plural "one" "many" 2}} {{urlParse "http://h/p" | urlJoin}}`, `<no value> 0 511 foo_bar [a a] many http://h/p`},
	} {
		if got := output(t, c.text, nil); got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

func TestSprigErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{{randInt 1 2}}`, `t:1:3: there is no function randInt: its result is different each time, so every change of other data would also change the file`},
		{`{{sprig_genPrivateKey "rsa"}}`, `t:1:3: there is no function sprig_genPrivateKey: its result is different each time, so every change of other data would also change the file`},
		{`{{if false}}{{now}}{{end}}`, `t:1:15: there is no function now: its result is different each time, so every change of other data would also change the file`},
		{`{{durationRound (toDate "2006" "2020")}}`, `t:1:3: durationRound: needs a duration, because the time since a date depends on the clock`},
		{`{{sprig_env "HOME"}}`, `t:1:3: there is no function sprig_env; hint: use env`},
		{`{{fail "no such luck"}}`, `t:1:3: fail: no such luck`},
		{`{{sprig_fail (printf "port %d is bad" (add 400 42))}}`, `t:1:3: sprig_fail: port … is bad`},
		{`{{first 1}}`, `t:1:3: first: cannot find first on type int`},
		{`{{sprig_first nil}}`, `t:1:3: sprig_first: the arguments are not accepted`},
		{`{{mustRegexMatch "(" "a"}}`, `t:1:3: mustRegexMatch: invalid regular expression: missing closing )`},
		{`{{mustFromJson "{"}}`, `t:1:3: mustFromJson: unexpected end of JSON input`},
		{`{{concat 1}}`, `t:1:3: concat: cannot concat type int as list`},
		{`{{div 1 0}}`, `t:1:3: div: the arguments are not accepted`},
		{`{{$d := dict}}{{set $d "a" (list (dict "b" $d))}}`, `t:1:17: set: a map cannot hold itself`},
		{`{{upper}}`, `t:1:3: wrong number of args for upper: want 1 got 0`},
	} {
		if e := fault(t, "t", c.text, nil); shown(e) != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, e, c.want)
		}
	}
}

// refusal returns what an error says of a function that is left out; "" for another one.
func refusal(name string) string {
	message, _ := funcs.Refused(name)
	return message
}
