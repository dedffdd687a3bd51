package render

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"render/watch"
	"render/watch/hint"
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

// Where a query fails whose name comes from an answer, neither a line of the log nor the snapshot has more of the name than its
// beginning, also where the error repeats the name.
func TestErrorsOfNamesFromAnswers(t *testing.T) {
	const secret = "hunter2-canary"
	for _, name := range []string{"/srv/" + strings.Repeat("long/", 16_000) + secret, "/srv/twenty-five-characters-" + secret, "\n\x1b[2J\xff" + strings.Repeat("x", 300) + secret} {
		bubble(t, func(t *testing.T, r *rig) {
			pathError := &fs.PathError{Op: "open", Path: name, Err: os.ErrPermission}
			for _, q := range []watch.Query{kv(name), watch.NewQuery(watch.KindFile, name, nil)} {
				r.world.fail(q, fmt.Errorf("read the answer: %w", pathError))
			}
			r.world.fail(kv("known/"+name), watch.PanicError{Query: kv("known/" + name), What: "index out of range"})
			r.set(kv("name"), name)
			r.set(service("web"), []*watch.HealthService{{ID: strings.Repeat("x", 300) + name, Node: strings.Repeat("x", 300) + name, Address: name, Port: 80}})
			r.start(Config{Targets: []Target{
				r.target("left out", `{{range service "web"}}{{hostport .}}{{end}}`),
				r.target("kv", `{{key (key "name")}}`), r.target("file", `{{file (key "name")}}`), r.target("panic", `{{key (print "known/" (key "name"))}}`),
			}})
			elapse(time.Hour)

			r.wantLog("query failed, retrying; files stay as they are")
			r.wantLog("queries still fail; their last good answers stay in use")
			r.wantLog(`"waiting"`)
			r.wantLog("... (from an answer)")
			r.wantLog("instances are left out")
			r.wantLog("permission denied")
			snapshot, err := json.Marshal(r.snapshot())
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range append(strings.Split(r.log.String(), "\n"), string(snapshot)) {
				if strings.Contains(line, secret) || len(line) > 20_000 {
					t.Errorf("%d bytes: %.1000s", len(line), line)
				}
			}
		})
	}
}

// The name of a query that is made of a secret is nowhere: in no line of the log, nor in the snapshot, the history or an error of a run with
// Once. In its place stands the ID that the snapshot has, and the place that asks.
func TestNamesMadeOfSecrets(t *testing.T) {
	const password, name = "hunter-canary", "users/HUNTER-CANARY"
	const text = `{{with secret "db"}}{{range service .Data.password}}{{hostport .}}{{end}}{{key (print "users/" (.Data.password | toUpper))}}{{end}}`
	db, err := watch.NewSecret("db")
	if err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T, texts ...string) {
		t.Helper()
		for _, text := range texts {
			for _, part := range []string{"HUNTER", "CANARY", "users/", "hunter"} {
				if i := strings.Index(text, part); i >= 0 {
					t.Errorf("%s is shown: …%s", part, text[max(0, i-200):min(len(text), i+100)])
				}
			}
		}
	}
	ofEngine := func(t *testing.T, r *rig) (snapshot string) {
		t.Helper()
		all, err := json.Marshal([]any{r.snapshot(), r.engine.History().Commits()})
		if err != nil {
			t.Fatal(err)
		}
		check(t, r.log.String(), string(all), fmt.Sprintf("%+v", r.status().Queries))
		return string(all)
	}
	bubble(t, func(t *testing.T, r *rig) {
		made, again := r.target("a", text), r.target("b", text)
		var shown string
		wantShown := func() {
			t.Helper()
			id := r.engine.ids.Query(kv(name))
			if shown = id + " (name made of a secret, " + made.Source + ":1:76)"; !strings.Contains(r.log.String(), shown) {
				t.Errorf("the log has no %s:\n%s", shown, r.log)
			}
			if snapshot := ofEngine(t, r); strings.Count(snapshot, `"id":"`+id+`","text":"`+shown) != 1 {
				t.Errorf("the snapshot has no %s: %s", shown, snapshot)
			}
		}
		of := instances(password, "10.0.0.1")
		of[0].ID, of[0].Node, of[0].Port = password+"-1", password, -1
		r.set(db, &watch.Secret{Data: map[string]any{"password": password}})
		r.set(service(password), of)
		r.start(Config{Targets: []Target{made, again}})
		elapse(6 * time.Second)
		r.wantLog(`:1:76) has not answered yet`)
		wantShown()

		r.world.fail(kv(name), hint.With(fmt.Errorf(`read "v1/kv/users%%2FHUNTER-CANARY": %w`, os.ErrPermission), "allow "+name))
		elapse(2 * time.Minute)
		r.wantLog(`query failed, retrying; files stay as they are","err":"` + shown + `: read ... permission denied"`)
		r.wantLog(`:1:76) cannot be queried: read ... permission denied`)
		wantShown()

		r.set(kv(name), nil)
		elapse(2 * time.Minute)
		r.wantLog(`:1:76) does not exist"`)
		wantShown()

		r.set(kv(name), "1")
		elapse(time.Minute)
		r.set(kv(name), "2")
		elapse(time.Minute)
		r.wantLog(`"because":"` + shown + `: changed"`)
		r.wantLog("instances are left out")
		wantShown()
		if s := ofEngine(t, r); !strings.Contains(s, `"text":"`+shown+`: changed"`) {
			t.Errorf("the history has no %s: %s", shown, s)
		}
	})
	bubble(t, func(t *testing.T, r *rig) {
		r.set(db, &watch.Secret{Data: map[string]any{"password": password}})
		r.set(service(password), nil)
		r.set(kv(name), nil)
		err := r.run(t.Context(), Config{FailAbsent: true, Targets: []Target{r.target("a", text)}})
		if err == nil || !strings.Contains(err.Error(), "(name made of a secret, ") {
			t.Errorf("with Once: %v", err)
		} else {
			check(t, err.Error())
		}
	})
	bubble(t, func(t *testing.T, r *rig) { // another template writes the name
		r.set(db, &watch.Secret{Data: map[string]any{"password": password}})
		r.set(service(password), nil)
		r.start(Config{Targets: []Target{r.target("a", `{{key "`+name+`"}}`), r.target("b", text)}})
		r.set(kv(name), "1")
		elapse(time.Minute)
		for _, q := range r.snapshot().Queries {
			if q.Kind == watch.KindKV && !strings.Contains(q.Text, "(name made of a secret, ") {
				t.Errorf("the list of queries has %s", q.Text)
			}
		}
	})
}
