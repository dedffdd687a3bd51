package template_test

import (
	"bytes"
	"fmt"
	"testing"
	gotemplate "text/template"
	"time"

	"render/template/funcs"
	"render/watch"
)

// The functions eq and ne return what those of text/template return, and fail where these fail.
func TestEqualAsGo(t *testing.T) {
	type named string
	own := make(gotemplate.FuncMap)
	for _, name := range []string{"eq", "ne"} {
		own[name], _ = funcs.Bind(name, &funcs.Env{})
	}
	one, other, now := 1, 1, time.Now()
	values := []any{
		nil, true, false, 0, 1, -1, int64(1), uint8(1), ^uint64(0), uintptr(1), 1.0, float32(1.5), 1i, complex64(1i), "", "a", "b", named("a"), time.Second,
		&one, &other, (*int)(nil), &watch.Node{}, (*watch.Node)(nil), watch.ServiceWeights{}, watch.ServiceWeights{Passing: 1}, watch.Node{}, now, now.UTC(),
		[]int{}, []int(nil), []any{1}, []any(nil), map[string]any{}, map[string]any(nil), [1]int{1}, [2]int{}, func() {}, (func())(nil), make(chan int), struct{}{},
	}
	for _, text := range []string{`{{eq .A .B}}`, `{{ne .A .B}}`, `{{eq .A "x" .B}}`, `{{.A | eq .B}}`, `{{eq (index .L 0) .B}}`, `{{eq .A nil}}`, `{{eq .A}}`, `{{eq .M.x .A}}`} {
		want, got := gotemplate.Must(gotemplate.New("t").Parse(text)), gotemplate.Must(gotemplate.New("t").Funcs(own).Parse(text))
		for _, a := range values {
			for _, b := range values {
				data := map[string]any{"A": a, "B": b, "L": []any{a}, "M": map[string]any{}}
				var w, g bytes.Buffer
				wantErr, gotErr := want.Execute(&w, data), got.Execute(&g, data)
				if w.String() != g.String() || (wantErr == nil) != (gotErr == nil) {
					t.Errorf("%s of %s and %s: got %s, %v; want %s, %v", text, fmt.Sprintf("%T %v", a, a), fmt.Sprintf("%T %v", b, b), &g, gotErr, &w, wantErr)
				}
			}
		}
	}
}
