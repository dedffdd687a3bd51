package template_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"render/template"
	"render/watch"
)

// What exceeds a bound is an error of the template, with the place of the action that did it. The template can be executed again.
func TestBounds(t *testing.T) {
	const steps = "the execution takes too many steps; hint: shorten the loops of the template"
	const output = "the output exceeds 1000 bytes, the limit of max_output"
	const deep = "templates call each other too deeply; hint: check whether a template calls itself without end"
	known := answers{kv("n"): "9223372036854775807", kv("text"): strings.Repeat("x", 900)}
	for _, c := range []struct{ name, text, want string }{
		{"an integer of data", "a\n{{range (key \"n\" | parseInt)}}{{end}}", "t:2:9: " + steps},
		{"within a loop", `{{range loop 8000000}}{{range loop 8000000}}{{$a := .}}{{end}}{{end}}`, "t:1:47: " + steps},
		{"regular expressions", `{{range loop 1000}}{{$a := regexMatch "(x{0,9}){0,9}y" (key "text")}}{{end}}`, "t:1:28: regexMatch: the execution takes too many steps; hint: shorten the texts that regular expressions search"},
		{"calls that double", doubling(40), "t:1: " + steps},

		{"text", `{{range loop 200}}0123456789{{end}}`, "t:1:9: " + output},
		{"values", `{{key "text"}}` + "\n" + `{{key "text"}}`, "t:2:3: " + output},
		{"values in a loop", "{{range loop 5}}\n{{with key \"text\"}}{{.}}{{end}}{{end}}", "t:2:22: " + output},
		{"a template on the way", `{{define "x"}}{{range loop 200}}0123456789{{end}}{{end}}{{$x := executeTemplate "x"}}`, "t:1:23: " + output},
		{"in a partial", `{{template "p"}}`, "p:2:10: " + output},

		{"itself", `{{define "x"}}{{if true}}{{template "x"}}{{end}}{{end}}{{template "x"}}`, "t:1:37: " + deep},
		{"executeTemplate", `{{define "x"}}{{executeTemplate "x"}}{{end}}{{template "x"}}`, "t:1:17: " + deep},
		{"each other", `{{define "x"}}{{if lt . 400}}{{template "x" (add 1 .)}}{{else}}{{executeTemplate "x" 0}}{{end}}{{end}}{{template "x" 0}}`, "t:1:41: " + deep},
		{"in many blocks", `{{define "x"}}` + strings.Repeat("{{with 1}}", 300) + `{{executeTemplate "x"}}` + strings.Repeat("{{end}}", 300) + `{{end}}{{template "x"}}`, "t:1:3017: " + deep},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := template.Options{MaxOutput: 1000, Partials: []template.Partial{{Name: "p", Text: "\n {{range loop 1000}} {{.}}{{end}}"}}}
			tmpl, err := template.Parse("t", c.text, o)
			if err != nil {
				t.Fatal(err)
			}
			tmpl.SetMaxSteps(1_000_000)
			place, message, _ := strings.Cut(c.want, ": ")
			for range 2 {
				r := tmpl.Execute(t.Context(), known.lookup)
				if r.Err == nil || !strings.HasPrefix(r.Err.Error(), place) || !strings.HasSuffix(shown(r.Err), ": "+message) {
					t.Fatalf("got %v\nwant %s", r.Err, c.want)
				}
				if r.Output != nil || r.Complete {
					t.Error("it has output, or is complete")
				}
			}
		})
	}
}

// doubling returns a text whose templates call each other twice, n deep.
func doubling(n int) string {
	var text strings.Builder
	fmt.Fprintf(&text, `{{define "0"}}{{end}}`)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&text, `{{define "%d"}}{{template "%d"}}{{template "%d"}}{{end}}`, i, i-1, i-1)
	}
	fmt.Fprintf(&text, `{{template "%d"}}`, n-1)
	return text.String()
}

// What is within the bounds is not stopped.
func TestWithinBounds(t *testing.T) {
	for _, c := range []struct {
		text string
		size int
	}{
		{`{{range loop 100}}0123456789{{end}}`, 1000},
		{`{{range loop 1000000}}{{end}}`, 0},
		{`{{define "x"}}{{if lt . 10000}}{{template "x" (add 1 .)}}{{else}}end{{end}}{{end}}{{template "x" 0}}`, 3},
		{`{{define "x"}}{{if lt . 900}}{{executeTemplate "x" (add 1 .)}}{{else}}end{{end}}{{end}}{{template "x" 0}}`, 3},
		{`{{define "x"}}{{end}}{{range loop 100000}}{{template "x"}}{{end}}`, 0},
		{`{{range loop 100000}}{{with 1}}{{if eq . 1}}{{continue}}{{end}}{{end}}{{end}}`, 0},
	} {
		tmpl, err := template.Parse("t", c.text, template.Options{MaxOutput: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if r := tmpl.Execute(t.Context(), answers{}.lookup); r.Err != nil || len(r.Output) != c.size {
			t.Errorf("%s: %d bytes, %v", c.text, len(r.Output), r.Err)
		}
	}
}

// The stack of the deepest execution that the bounds allow is small beside the memory of a small machine.
func TestDepthIsCheap(t *testing.T) {
	for _, text := range []string{
		`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`,
		`{{define "x"}}{{executeTemplate "x"}}{{end}}{{template "x"}}`,
		`{{define "x"}}{{range list 1}}{{with 1}}{{template "x"}}{{end}}{{end}}{{end}}{{template "x"}}`,
		`{{define "x"}}{{(((printf "%s" (print (executeTemplate "x")))))}}{{end}}{{template "x"}}`,
	} {
		tmpl := parse(t, text)
		done := make(chan template.Result)
		go func() { done <- tmpl.Execute(t.Context(), answers{}.lookup) }() // a stack of its own
		if r := <-done; r.Err == nil {
			t.Errorf("%s: no error", text)
		}
		var after runtime.MemStats
		runtime.ReadMemStats(&after)
		if after.StackSys > 300<<20 {
			t.Errorf("%s: the stacks have %d MiB", text, after.StackSys>>20)
		}
	}
}

// An execution ends soon after its context is done, with the place and the cause.
func TestExecuteStops(t *testing.T) {
	for _, text := range []string{
		`{{range 9223372036854775807}}{{end}}`,
		`{{range 9223372036854775807}}{{$a := add . 1}}{{end}}`,
		`{{define "x"}}{{range 9223372036854775807}}{{range loop 1000}}{{end}}{{end}}{{end}}{{executeTemplate "x"}}`,
		doubling(50),
		`{{regexMatch "(x{0,30}){0,30}y" (repeat 32768 "x")}}`,
		`{{regexFind "(x{0,30}){0,30}y" (repeat 32768 "x")}}`,
		`{{regexReplaceAll "x*y|x" "" (repeat 524288 "x")}}`,
		`{{regexReplaceAllLiteral "x*y|x" (repeat 524288 "x") ""}}`,
		`{{regexFindAll "x*y|x" (repeat 524288 "x") -1}}`,
		`{{mustRegexSplit "x*y|x" (repeat 524288 "x") -1}}`,
	} {
		cause := errors.New("the template was replaced")
		ctx, cancel := context.WithCancelCause(t.Context())
		asked := make(chan struct{})
		tmpl := parse(t, `{{keyExists "begin"}}`+text)
		ended := make(chan template.Result, 1)
		go func() {
			ended <- tmpl.Execute(ctx, func(watch.Query) (any, bool) { close(asked); return nil, true })
		}()
		<-asked
		cancel(cause)
		select {
		case r := <-ended:
			if !errors.Is(r.Err, cause) || !strings.HasSuffix(r.Err.Error(), ": the execution was stopped: the template was replaced") {
				t.Errorf("%.60s: %v", text, r.Err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%.60s: does not end", text)
		}
	}
}

// A search that cannot be interrupted goes on when its execution has been stopped. The next search of the template waits for it.
func TestSearchOfStoppedExecution(t *testing.T) {
	tmpl := parse(t, `{{regexMatch "(x{0,30}){0,30}y" (repeat 32768 "x")}}`)
	for _, want := range []string{
		"t:1:3: regexMatch: the execution was stopped: context deadline exceeded",
		"t:1:3: regexMatch: an earlier search of a regular expression takes long: the execution was stopped: context deadline exceeded; hint: shorten the texts that regular expressions search",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if r := tmpl.Execute(ctx, answers{}.lookup); r.Err == nil || shown(r.Err) != want {
			t.Errorf("\n got %v\nwant %s", r.Err, want)
		}
	}
}

// A context that is done before stops what asks nothing, too.
func TestExecuteStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := parse(t, `{{1}}`).Execute(ctx, answers{}.lookup); !errors.Is(r.Err, context.Canceled) {
		t.Errorf("got %v", r.Err)
	}
}

// No function makes a value beyond the bound, whatever the data are, and it refuses before it has made it.
func TestValuesAreBounded(t *testing.T) {
	megabyte := strings.Repeat("x", 1<<20)
	known := answers{
		kv("n"): "1000000000000", kv("m"): megabyte, kv("nulls"): strings.Repeat("\x00", 12<<20),
		kv("empties"): strings.Repeat("{\"\":1},", 1<<20), kv("lines"): strings.Repeat("\n", 1<<20), kv("format"): strings.Repeat("%999999d", 100),
		query("prefix", "deep/", ""):  []*watch.KeyPair{{Key: strings.Repeat("a/", 99) + "x", Value: "v"}},
		query("prefix", "abyss/", ""): []*watch.KeyPair{{Key: strings.Repeat("a/", 40_000) + "x", Value: "v"}},
	}
	const tree = `{{$l := list 1}}{{range until 60}}{{$l = list $l $l}}{{end}}`
	const nested = `{{$l := list 1}}{{range loop 100000}}{{$l = list $l}}{{end}}`
	const huge = `{{$h := repeat 64 (key "m")}}`
	for _, text := range []string{
		`{{repeat (key "n" | atoi) "x"}}`, `{{repeat (key "n" | atoi) ""}}{{repeat 65 (key "m")}}`, `{{len (until (key "n" | atoi))}}`,
		`{{len (untilStep 0 (key "n" | atoi) 1)}}`, `{{len (untilStep 9223372036854775800 9223372036854775807 5)}}`, `{{untilStep (key "n" | atoi) 0 -1 | len}}`,
		`{{seq (key "n" | atoi)}}`, `{{seq 0 (key "n" | atoi)}}`, `{{seq 0 1 (key "n" | atoi)}}`, `{{seq 0 -1 (sprig_sub 0 (key "n" | atoi) | int)}}`,
		`{{sprig_indent (key "n" | atoi) "x"}}`, `{{indent (key "n" | atoi) "x"}}`, `{{nindent 100 (key "lines")}}`,
		`{{replaceAll "x" (key "m") (key "m")}}`, `{{replace "" (key "m") (key "m")}}`, `{{join (key "m") (split "x" (key "m"))}}`, `{{sprig_join (key "m") (splitList "x" (key "m"))}}`,
		`{{wrapWith 1 (key "m") (key "m")}}`, `{{regexReplaceAll "x" (key "m") (key "m")}}`, `{{regexReplaceAll "" (key "m") (key "m")}}`,
		`{{sprig_regexReplaceAll "(x*)" (key "m") "$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1"}}`,
		`{{regexReplaceAllLiteral "x" (key "m") (key "m")}}`, huge + `{{splitList "" $h | len}}`, huge + `{{split "x" $h | len}}`, huge + `{{regexFindAll "x" $h -1 | len}}`,
		huge + `{{regexSplit "x" $h -1 | len}}`, huge + `{{splitToMap "x" "x" $h | len}}`, huge + `{{print $h $h | len}}`, huge + `{{printf "%s%s" $h $h | len}}`,
		huge + `{{printf "%[1]s%[1]s" $h | len}}`, huge + `{{cat $h $h | len}}`, huge + `{{base64Encode $h | len}}`, huge + `{{b64enc $h | len}}`, huge + `{{toJSON (list $h $h)}}`,
		`{{printf (key "format") 1 | len}}`, `{{toJSON (key "nulls") | len}}`, `{{jsonQuote (key "nulls") | len}}`, `{{quote (key "nulls")}}`, `{{html (key "nulls")}}`, `{{urlquery (repeat 30 (key "m"))}}`,
		`{{parseJSON (printf "[%s1]" (key "empties")) | len}}`, `{{parseYAML (printf "[%s1]" (key "empties")) | len}}`,
		`{{explode (tree "abyss/") | toYAML}}`, `{{explode (tree "abyss/") | toJSONPretty}}`,
		tree + `{{$l}}`, tree + `{{print $l}}`, tree + `{{toJSON $l}}`, tree + `{{toYAML $l}}`, tree + `{{toPrettyJson $l}}`, tree + `{{spew_sdump $l}}`, tree + `{{deepCopy $l}}`,
		tree + `{{deepEqual $l $l}}`, tree + `{{quote $l}}`, tree + `{{dict "a" $l | toTOML}}`, tree + `{{$d := dict}}{{set $d "a" $l}}`, tree + `{{scratch.MapSet "a" "b" $l}}`,
		tree + `{{mergeMap dict (dict "a" $l)}}`, tree + `{{merge dict (dict "a" $l)}}`, tree + `{{uniq (list $l $l) | len}}`, tree + `{{has 1 $l}}`, tree + `{{toStrings $l}}`, tree + `{{html $l}}`,
		`{{regexMatch (key "m") "x"}}`, `{{mustRegexFind (key "m") "x"}}`,
		tree + `{{int $l}}`, tree + `{{max 1 $l}}`, tree + `{{round $l 1}}`, tree + `{{addf 1 $l}}`, tree + `{{toDecimal $l}}`, tree + `{{sprig_slice $l $l}}`, tree + `{{dict $l 1}}`,
		tree + `{{scratch.Set "a" $l}}{{scratch}}`, tree + `{{scratch.Set "a" $l}}{{int scratch}}`, `{{scratch.Set "a" scratch}}{{print scratch}}`,
		nested + `{{$l}}`, nested + `{{toJSON $l}}`, nested + `{{deepCopy $l | len}}`, nested + `{{scratch.MapSet "a" "b" $l}}`,
		`{{$s := "x"}}{{range loop 60}}{{$s = print $s $s}}{{end}}`, `{{$s := "x"}}{{range loop 60}}{{$s = cat $s $s}}{{end}}`,
		`{{define "x"}}{{key "m"}}{{end}}{{$l := list}}{{range loop 1000}}{{$l = append $l (executeTemplate "x")}}{{end}}`,
		`{{$l := list}}{{range loop 1000}}{{$l = append $l (repeat 1000000 "x")}}{{end}}`,
		`{{range $i, $e := loop 1000}}{{scratch.Set (print $i) (repeat 1000000 "x")}}{{end}}`,
		`{{range $i, $e := loop 1000}}{{scratch.MapSet "m" (print $i) (toUpper (key "m"))}}{{end}}`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := parse(t, text).Execute(t.Context(), known.lookup)
		runtime.ReadMemStats(&after)
		if r.Err == nil || !strings.Contains(r.Err.Error(), " exceed") && !strings.Contains(r.Err.Error(), " deep in each other") && !strings.Contains(r.Err.Error(), "levels") {
			t.Errorf("%s: %v", text, r.Err)
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > 700<<20 {
			t.Errorf("%s: it made %d MiB first", text, made>>20)
		}
	}
}

// What a function cannot take is not printed on the way to its error, which may be too large for it, or hold itself.
func TestErrorsAreBounded(t *testing.T) {
	const tree = `{{$l := list 1}}{{range until 60}}{{$l = list $l $l}}{{end}}{{scratch.Set "l" $l}}{{scratch.Set "s" scratch}}`
	for text, want := range map[string]string{
		`{{eq $l $l}}`:                 "t:1:112: eq: cannot compare a value of the type []interface {} with one of the type []interface {}",
		`{{ne $l (dict "a" $l)}}`:      "t:1:112: ne: cannot compare a value of the type []interface {} with one of the type map[string]interface {}",
		`{{eq 1 2 $l}}`:                "t:1:112: eq: incompatible types for comparison: int and []interface {}",
		`{{range scratch}}{{end}}`:     "t:1:118: range can't iterate over a value that is not in the template's text",
		`{{hostport "10.0.0.1" $l}}`:   "",
		`{{hostport "::1" scratch}}`:   "",
		`{{if eq scratch nil}}{{end}}`: "",
	} {
		r := parse(t, tree+text).Execute(t.Context(), answers{}.lookup)
		if got := fmt.Sprint(r.Err); got != want && (r.Err != nil || want != "") {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

// Values that are garbage when the next is made may have any size in all.
func TestGarbageIsNotBounded(t *testing.T) {
	known := answers{kv("m"): strings.Repeat("x", 1<<20)}
	for _, text := range []string{
		`{{range loop 300}}{{$x := toUpper (key "m")}}{{end}}done`,
		`{{$l := list}}{{range loop 6000}}{{$l = append $l .}}{{end}}{{range $l}}{{end}}done`,
	} {
		if got := output(t, text, known); got != "done" {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// What an execution holds at one time stays near the bound, also where it has held much before it was first measured.
func TestValuesThatAreHeld(t *testing.T) {
	for name, text := range map[string]string{
		"values that functions make":  `{{$l := list}}{{range $i, $e := loop 1000}}{{$x := keyExists (print $i)}}{{$l = append $l (repeat 1048576 "x")}}{{end}}`,
		"lists of keys":               `{{$l := list}}{{range $i, $e := loop 1000}}{{$x := keyExists (print $i)}}{{$l = append $l (tree "wide")}}{{end}}`,
		"instances that are left out": `{{range $i, $e := loop 1000}}{{$x := keyExists (print $i)}}{{range loop 20000}}{{hostport "-" 1}}{{end}}{{end}}`,
	} {
		turns := 0
		tmpl := parse(t, text)
		r := tmpl.Execute(t.Context(), func(q watch.Query) (any, bool) {
			if q.Kind == watch.KindPrefix {
				return wide, true
			}
			turns++
			return nil, true
		})
		if r.Err == nil || !strings.Contains(r.Err.Error(), "the limit of all values") {
			t.Errorf("%s: %v", name, r.Err)
		}
		if turns > 100 {
			t.Errorf("%s: held %d MiB", name, turns)
		}
	}
}

// wide are keys whose list takes 1 MiB.
var wide = func() []*watch.KeyPair {
	pairs := make([]*watch.KeyPair, 1<<20/8)
	for i := range pairs {
		pairs[i] = &watch.KeyPair{Key: "k"}
	}
	return pairs
}()

// The output of templates that call each other, and what writeToFile writes, are together within the bound of the output.
func TestOutputInAll(t *testing.T) {
	known := answers{kv("text"): strings.Repeat("x", 300)}
	const exceeds = "the output exceeds 1000 bytes, the limit of max_output"
	for text, want := range map[string]string{
		`{{define "x"}}{{key "text"}}{{if lt . 9}}{{$y := executeTemplate "x" (add 1 .)}}{{end}}{{end}}{{$x := executeTemplate "x" 0}}`: "t:1:17: " + exceeds,
		`{{range $i, $e := loop 9}}{{writeToFile (print $i) "" "" "0644" (key "text")}}{{end}}`:                                         "t:1:29: writeToFile: " + exceeds,
		`{{range loop 9}}{{writeToFile "f" "" "" "0644" "append" (key "text")}}{{end}}`:                                                 "t:1:19: writeToFile: " + exceeds,
		`{{range loop 3}}{{writeToFile "f" "" "" "0644" "append" (key "text")}}{{end}}{{key "text"}}`:                                   "t:1:80: " + exceeds,

		`{{define "x"}}{{key "text"}}{{end}}{{range loop 9}}{{$x := executeTemplate "x"}}{{end}}`:                    "",
		`{{range loop 9}}{{writeToFile "f" "" "" "0644" (key "text")}}{{end}}`:                                       "",
		`{{range loop 2}}{{writeToFile "f" "" "" "0644" "append" (key "text")}}{{end}}{{key "text"}}`:                "",
		`{{define "x"}}{{key "text"}}{{end}}{{$x := executeTemplate "x"}}{{key "text"}}{{key "text"}}{{key "text"}}`: "",
	} {
		tmpl, err := template.Parse("t", text, template.Options{MaxOutput: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r := tmpl.Execute(t.Context(), known.lookup)
			if got := fmt.Sprint(r.Err); got != want && (r.Err != nil || want != "") {
				t.Errorf("%s\n got %s\nwant %s", text, got, want)
			}
		}
	}
}

// An output that grows takes no more than twice its memory on the way.
func TestOutputGrows(t *testing.T) {
	tmpl := parse(t, `{{range loop 63}}`+strings.Repeat("x", 1<<20)+`{{end}}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := tmpl.Execute(t.Context(), answers{}.lookup)
	runtime.ReadMemStats(&after)
	if r.Err != nil || len(r.Output) != 63<<20 {
		t.Fatalf("%d bytes, %v", len(r.Output), r.Err)
	}
	if made := after.TotalAlloc - before.TotalAlloc; made > 132<<20 {
		t.Errorf("it made %d MiB", made>>20)
	}
}

// The values of an execution have a part of the memory that the process can have.
func TestValuesFollowMemory(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(512 << 20))
	for text, want := range map[string]string{
		`{{repeat 33000000 "x" | len}}`: "", // 32 MiB are a sixteenth
		`{{repeat 34000000 "x" | len}}`: "t:1:3: repeat: the result exceeds 33554432 bytes, the limit of a value",
		`{{$l := list}}{{range loop 99}}{{$l = append $l (repeat 1000000 "x")}}{{end}}`:     "t:1:50: repeat: the values of this execution exceed 33554432 bytes, the limit of all values",
		`{{range loop 60}}{{repeat 1000000 "x"}}{{end}}`:                                    "",
		`{{range loop 60}}{{$x := repeat 1000000 "x"}}{{end}}{{range loop 9000000}}{{end}}`: "t:1:61: loop: the result exceeds 33554432 bytes, the limit of a value",
	} {
		r := parse(t, text).Execute(t.Context(), answers{}.lookup)
		if got := fmt.Sprint(r.Err); got != want && (r.Err != nil || want != "") {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}
