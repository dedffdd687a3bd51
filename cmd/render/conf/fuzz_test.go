package conf_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"render/cmd/render/conf"
)

// Whatever the text is, there is a body or one error, twice the same, and all ranges lie in the text, those of what is inside
// in those of what is around it and one after the other.
func FuzzParse(f *testing.F) {
	for _, text := range corpus {
		f.Add(text, false)
	}
	for _, test := range broken {
		if len(test.text) < 1000 {
			f.Add(test.text, test.name == "f.json")
		}
	}
	f.Add(`{"a": [1.5e+3, "\ud83d\ude00", null, {"b": {}, "b": true}]}`, true)
	f.Fuzz(func(t *testing.T, text string, asJSON bool) {
		name := "f"
		if asJSON {
			name = "f.json"
		}
		body, diags := conf.Parse(name, []byte(text))
		again, diagsAgain := conf.Parse(name, []byte(text))
		if diags != nil {
			checkError(t, text, diags)
			if diagsAgain.Error() != diags.Error() {
				t.Errorf("got %v, and then %v", diags, diagsAgain)
			}
			return
		}
		if dump(body.Items) != dump(again.Items) {
			t.Errorf("got %s, and then %s", dump(body.Items), dump(again.Items))
		}
		if body.Range.Start != hcl.InitialPos || body.Range.End.Byte != len(text) {
			t.Errorf("the text has %s", body.Range)
		}
		checkItems(t, text, body.Items, body.Range)
	})
}

func checkError(t *testing.T, text string, diags hcl.Diagnostics) {
	d := diags[0]
	if len(diags) != 1 || d.Summary == "" || d.Detail == "" || !utf8.ValidString(diags.Error()) || strings.ContainsAny(diags.Error(), "\n\x00") {
		t.Errorf("got %q", diags)
	}
	checkRange(t, text, *d.Subject, hcl.Range{End: hcl.Pos{Byte: len(text)}})
	if d.Context != nil {
		checkRange(t, text, *d.Context, hcl.Range{End: hcl.Pos{Byte: len(text)}})
		checkRange(t, text, *d.Subject, *d.Context)
	}
}

func checkItems(t *testing.T, text string, items []*conf.Item, in hcl.Range) {
	for _, item := range items {
		in.Start.Byte = checkRange(t, text, item.NameRange, in)
		for _, label := range item.Labels {
			in.Start.Byte = checkRange(t, text, label.Range, in)
		}
		in.Start.Byte = checkValue(t, text, item.Value, in)
	}
}

func checkValue(t *testing.T, text string, v *conf.Value, in hcl.Range) int {
	end := checkRange(t, text, v.Range, in)
	in = v.Range
	for _, e := range v.List {
		in.Start.Byte = checkValue(t, text, e, in)
	}
	if (v.Kind == conf.Object) != (v.Body != nil) {
		t.Errorf("%s: the kind is %d", v.Range, v.Kind)
	} else if v.Body != nil {
		checkRange(t, text, v.Body.Range, in)
		checkItems(t, text, v.Body.Items, in)
	}
	source := text[v.Range.Start.Byte:v.Range.End.Byte]
	if v.Kind == conf.Number && source != v.Text || v.Kind == conf.Bool && source != map[bool]string{true: "true", false: "false"}[v.Bool] {
		t.Errorf("%s: got %q, %v of %q", v.Range, v.Text, v.Bool, source)
	}
	return end
}

// checkRange looks whether r is in another range of text, and has the right lines. It returns where r ends.
func checkRange(t *testing.T, text string, r, in hcl.Range) int {
	if r.Start.Byte < in.Start.Byte || r.End.Byte < r.Start.Byte || r.End.Byte > in.End.Byte || r.End.Byte > len(text) {
		t.Fatalf("%#v is not in %#v", r, in)
	}
	for _, pos := range []hcl.Pos{r.Start, r.End} {
		before := text[:pos.Byte]
		line := before[strings.LastIndexByte(before, '\n')+1:]
		if pos.Line != 1+strings.Count(before, "\n") || pos.Column < 1 || pos.Column > 1+utf8.RuneCountInString(line) {
			t.Errorf("%d:%d is wrong for byte %d", pos.Line, pos.Column, pos.Byte)
		}
	}
	return r.End.Byte
}

var (
	lastComma = regexp.MustCompile(`,[ \t\r\n]*\]`)
	asStrict  = func(text string) string { return lastComma.ReplaceAllString(strings.ReplaceAll(text, "\t", " "), "]") }
)

// A text is JSON to Parse if it is JSON to encoding/json, and means the same. Beyond that Parse reads commas after the last element
// of a list, and tabs in strings.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{
		`{}`, ` {"a": [1, -2.5e+3, "b", true, false, null, {"c": []}]} `, `{"a":"\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00"}`, `{"a":1,}`, `{"a":[1,]}`,
		`{"a":01}`, `{"a":1.}`, `{"a":.1}`, `{"a":-}`, `{"a":1e}`, `{"a":+1}`, `{"a":0x1}`, `{"a":tru}`, `{"a":"\x"}`, `{"a":"${b}%{c}"}`, `{/**/}`, `{}#`,
		`{"a":"//","b":"<<EOF"}`, "{\"a\":\"\x7f\"}", "{\"a\":\"\x1f\"}", "{\r}\r", "{\v}", "{\"a\":\"\\\n\"}", `{"a":NaN}`, `{"a"::1}`, `{"a":"\ud800"}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.TrimPrefix(text, "\ufeff") // encoding/json does not know it
		body, diags := conf.Parse("f.json", []byte(text))
		var want any
		valid := utf8.ValidString(text) && strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") && json.Unmarshal([]byte(text), &want) == nil
		if diags != nil {
			if summary := diags[0].Summary; valid && !strings.Contains(summary, "is half of a pair") && !strings.Contains(summary, "deeper in each other") {
				t.Errorf("encoding/json reads it: %v", diags)
			}
			return
		}
		// A number can be too large for encoding/json.
		if strings.HasPrefix(strings.TrimSpace(text), "{") && !json.Valid([]byte(text)) && !json.Valid([]byte(asStrict(text))) {
			t.Fatalf("encoding/json refuses it, here it is %s", dump(body.Items))
		}
		if got, wanted := asJSON(&conf.Value{Kind: conf.Object, Body: body}), want; valid && !same(got, wanted) {
			t.Errorf("got %v, want %v", got, wanted)
		}
	})
}

// asJSON is v as encoding/json has it.
func asJSON(v *conf.Value) any {
	switch v.Kind {
	case conf.Text:
		return v.Text
	case conf.Number:
		var f float64
		_ = json.Unmarshal([]byte(v.Text), &f)
		return f
	case conf.Bool:
		return v.Bool
	case conf.List:
		all := []any{}
		for _, e := range v.List {
			all = append(all, asJSON(e))
		}
		return all
	case conf.Object:
		members := map[string]any{}
		for _, item := range v.Body.Items {
			members[item.Name] = asJSON(item.Value)
		}
		return members
	}
	return nil
}

func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
