package conf_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"render/cmd/render/config/conf"
)

// Whatever the text is, there is a body or one error, twice the same, and all places lie in the text, one after the other.
func FuzzParse(f *testing.F) {
	for _, text := range corpus {
		f.Add(text)
	}
	for _, test := range broken {
		if len(test.text) < 1000 {
			f.Add(test.text)
		}
	}
	f.Add(`{"a": [1.5e+3, "\ud83d\ude00", null, {"b": {}, "b": true}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		body, err := conf.Parse([]byte(text))
		again, errAgain := conf.Parse([]byte(text))
		if err != nil {
			checkError(t, text, err)
			if errAgain == nil || errAgain.Error() != err.Error() {
				t.Errorf("got %v, and then %v", err, errAgain)
			}
			return
		}
		if dump(body.Items) != dump(again.Items) {
			t.Errorf("got %s, and then %s", dump(body.Items), dump(again.Items))
		}
		c := placeChecker{t: t, lines: strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n"), last: conf.Pos{Line: 1, Column: 0}}
		c.items(body.Items)
	})
}

func checkError(t *testing.T, text string, err error) {
	failed, ok := errors.AsType[*conf.Error](err)
	if !ok || failed.Message == "" || !utf8.ValidString(failed.Error()+failed.Excerpt) || strings.ContainsAny(failed.Error()+failed.Excerpt, "\n\x00") {
		t.Fatalf("got %q", err)
	}
	lines := strings.Split(strings.TrimPrefix(text, "\ufeff")+"\n", "\n")
	checkPlace(t, lines, failed.Pos)
	if shown := strings.TrimSuffix(failed.Excerpt, "…"); !strings.HasPrefix(lines[failed.Pos.Line-1], shown) {
		t.Errorf("%q is no beginning of the line", failed.Excerpt)
	}
}

func checkPlace(t *testing.T, lines []string, at conf.Pos) {
	if at.Line < 1 || at.Line > len(lines) || at.Column < 1 || at.Column > 1+utf8.RuneCountInString(lines[at.Line-1]) {
		t.Fatalf("there is no %s", at)
	}
}

// A placeChecker checks that places lie in the text, and come one after the other.
type placeChecker struct {
	t     *testing.T
	lines []string
	last  conf.Pos
}

func (c *placeChecker) place(at conf.Pos) {
	checkPlace(c.t, c.lines, at)
	if at.Line < c.last.Line || at.Line == c.last.Line && at.Column <= c.last.Column {
		c.t.Errorf("%s comes after %s", at, c.last)
	}
	c.last = at
}

func (c *placeChecker) items(items []*conf.Item) {
	for _, item := range items {
		c.place(item.Pos)
		for _, label := range item.Labels {
			c.place(label.Pos)
		}
		c.value(item.Value)
	}
}

func (c *placeChecker) value(v *conf.Value) {
	c.place(v.Pos)
	for _, e := range v.List {
		c.value(e)
	}
	if (v.Kind == conf.Object) != (v.Body != nil) {
		c.t.Errorf("%s: the kind is %d", v.Pos, v.Kind)
	} else if v.Body != nil {
		c.items(v.Body.Items)
	}
	if v.EndLine < c.last.Line || v.EndLine > len(c.lines) {
		c.t.Errorf("%s: ends at line %d", v.Pos, v.EndLine)
	}
	source := string([]rune(c.lines[v.Pos.Line-1])[v.Pos.Column-1:])
	if v.Kind == conf.Number && !strings.HasPrefix(source, v.Text) || v.Kind == conf.Bool && !strings.HasPrefix(source, strconv.FormatBool(v.Bool)) {
		c.t.Errorf("%s: got %q, %v of %q", v.Pos, v.Text, v.Bool, source)
	}
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
		body, err := conf.Parse([]byte(text))
		var want any
		valid := utf8.ValidString(text) && strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") && json.Unmarshal([]byte(text), &want) == nil
		if err != nil {
			if valid && !strings.Contains(err.Error(), "half of a character") && !strings.Contains(err.Error(), "for more than 64 levels") && !strings.Contains(text, "\x00") {
				t.Errorf("encoding/json reads it: %v", err)
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
