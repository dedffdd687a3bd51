package render

import (
	"strings"
	"testing"
	"time"
)

// A query whose name comes from an answer is shown shortened, with a hint, in "waiting", in "because", in the status and in
// the error of a run with Once. The change of the key that has the name never shows it.
func TestNamesFromAnswers(t *testing.T) {
	const first, second = "canary-6c1f0d3a-2b4e-4f5a-9c8d-7e6f5a4b3c2d", "other/canary-6c1f0d3a-2b4e-4f5a-9c8d-7e6f5a4b3c2d"
	const shown = "kv canary-6c1f0d3a-2b4e-4f5a... (from an answer)"
	const text = `{{key (key "a")}} {{range service "web"}}x{{end}}`
	leaks := func(t *testing.T, text string) {
		t.Helper()
		if strings.Contains(text, "9c8d") {
			t.Errorf("a whole value is shown:\n%s", text)
		}
	}
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", text), r.target("named", `{{key "`+first+`"}}`)}})
		r.set(service("web"), instances("web", "x"))
		r.set(kv("a"), first)
		r.set(kv(first), nil)
		elapse(6 * time.Second)
		r.wantLog(`"for":"` + shown + ` (`)
		if s := r.status(); s.Targets[0].Missing[0].Query != shown || s.Targets[1].Missing[0].Query != "kv "+first {
			t.Errorf("the states have %+v, %+v", s.Targets[0].Missing, s.Targets[1].Missing)
		}
	})
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", text)}})
		r.set(service("web"), instances("web", "x"))
		r.set(kv("a"), first)
		r.set(kv(first), "1")
		r.wantFile("a", "1 x")
		elapse(time.Minute)
		r.set(kv(first), "2")
		r.wantFile("a", "2 x")
		r.wantLog(`"because":"` + shown + `: changed"`)
		elapse(time.Minute)
		r.set(kv(second), "3")
		r.set(kv("a"), second)
		elapse(time.Minute)
		r.wantFile("a", "3 x")
		r.wantLog(`"because":"kv a: changed"`)
		r.set(service("web"), instances("web", "x", "y"))
		r.wantLog(`"because":"service web: 1 → 2 instances"`)
		leaks(t, r.log.String())
	})
	bubble(t, func(t *testing.T, r *rig) {
		r.set(service("web"), instances("web", "x"))
		r.set(kv("a"), first)
		r.set(kv(first), nil)
		err := r.run(t.Context(), Config{FailAbsent: true, Targets: []Target{r.target("a", text)}})
		if err == nil || !strings.Contains(err.Error(), shown) {
			t.Errorf("with Once: %v", err)
		} else {
			leaks(t, err.Error())
		}
	})
}
