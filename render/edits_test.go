package render

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"render/render/sources"
	"render/render/status"
)

const (
	unusable      = "changed template is unusable; its previous text stays in use"
	stillUnusable = "changed template is still unusable; its previous text stays in use"
	usableAgain   = "changed template is usable again"
	haveChanged   = "templates changed"
)

// In real time a change is noticed at once, however it is made.
func TestR10TemplateChangesOnDisk(t *testing.T) {
	t.Parallel()
	var swaps int
	swapped := func(r *rig, path, text string) { // as a ConfigMap is mounted
		swaps++
		dir := filepath.Dir(path)
		data := filepath.Join(dir, fmt.Sprintf("..%d", swaps))
		r.must(os.Mkdir(data, 0o755))
		r.must(os.WriteFile(filepath.Join(data, filepath.Base(path)), []byte(text), 0o644))
		r.must(os.Symlink(filepath.Base(data), filepath.Join(dir, "..new")))
		r.must(os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")))
		if _, err := os.Lstat(path); err != nil {
			r.must(os.Symlink(filepath.Join("..data", filepath.Base(path)), path))
		}
		if swaps > 1 {
			r.must(os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..%d", swaps-1))))
		}
	}
	released := func(r *rig, path, text string) { // as a program is deployed
		swaps++
		dir, data := filepath.Dir(path), r.path(fmt.Sprint("release-", swaps))
		if swaps == 1 {
			r.must(os.Remove(dir))
		}
		r.must(os.Mkdir(data, 0o755))
		r.must(os.WriteFile(filepath.Join(data, filepath.Base(path)), []byte(text), 0o644))
		r.must(os.Symlink(data, dir+".new"))
		r.must(os.Rename(dir+".new", dir))
	}
	plain := func(r *rig, path, text string) { r.must(os.WriteFile(path, []byte(text), 0o644)) }
	ways := map[string]struct {
		first, then func(r *rig, path, text string)
	}{
		"in place": {plain, plain},
		"renamed over": {plain, func(r *rig, path, text string) {
			plain(r, path+"~", text)
			r.must(os.Rename(path+"~", path))
		}},
		"deleted and created": {plain, func(r *rig, path, text string) {
			r.must(os.Remove(path))
			time.Sleep(50 * time.Millisecond)
			plain(r, path, text)
		}},
		"in steps": {plain, func(r *rig, path, text string) {
			plain(r, path, "")
			plain(r, path, "{{if}}")
			plain(r, path, text)
		}},
		"switched folder": {swapped, swapped},
		"another folder in its place": {plain, func(r *rig, path, text string) {
			dir := filepath.Dir(path)
			r.must(os.RemoveAll(dir + ".old"))
			r.must(os.Mkdir(dir+".new", 0o755))
			plain(r, filepath.Join(dir+".new", filepath.Base(path)), text)
			r.must(os.Rename(dir, dir+".old"))
			time.Sleep(50 * time.Millisecond)
			r.must(os.Rename(dir+".new", dir))
		}},
		"folder made again in steps": {plain, func(r *rig, path, text string) {
			r.must(os.RemoveAll(filepath.Dir(path)))
			time.Sleep(50 * time.Millisecond)
			r.must(os.Mkdir(filepath.Dir(path), 0o755))
			time.Sleep(50 * time.Millisecond)
			plain(r, path, text)
		}},
		"a link in place of a folder": {released, released},
		"where a link leads": {
			func(r *rig, path, text string) {
				r.must(os.Mkdir(r.path("elsewhere"), 0o755))
				plain(r, r.path("elsewhere/file"), text)
				r.must(os.Symlink(r.path("elsewhere/file"), path))
			},
			func(r *rig, _, text string) { plain(r, r.path("elsewhere/file"), text) },
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			target := Target{Source: r.path("in/a.ctmpl"), Destination: r.path("a"), Partials: []string{r.path("partials")}}
			r.must(os.Mkdir(r.path("in"), 0o755))
			r.must(os.Mkdir(r.path("partials"), 0o755))
			swaps = 0
			way.first(r, target.Source, `1 {{key "k"}}`)
			r.world.set(kv("k"), "v")
			r.start(Config{Targets: []Target{target}, WatchTemplates: true})
			_ = r.status() // the loop has begun, and the watch is there
			for i := 2; i < 4; i++ {
				r.await("the file", func() bool { return r.read("a") == fmt.Sprint(i-1, " v") })
				r.await("the look after the start", func() bool { return r.engine.templates.Concerns(r.path("partials/any")) })
				way.then(r, target.Source, fmt.Sprint(i, ` {{key "k"}}`))
			}
			r.await("the file", func() bool { return r.read("a") == "3 v" })
			if n := r.log.count(unusable); n != 0 {
				t.Errorf("%d faults\n%s", n, r.log)
			}
			if n := r.world.asked()[kv("k")]; n != 1 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// Partials come, change and go.
func TestR10PartialsChangeOnDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(os.Mkdir(r.path("partials"), 0o755))
	r.write("partials/one.tmpl", `{{define "x"}}1{{end}}`)
	target := r.target("a", `{{block "x" .}}0{{end}}`)
	other := r.target("b", "other")
	target.Partials = []string{r.path("partials")}
	r.must(os.Remove(r.path("partials/one.tmpl")))
	r.start(Config{Targets: []Target{target, other}, WatchTemplates: true})
	r.await("the file", func() bool { return r.read("a") == "0" })
	r.write("a.ctmpl", `{{executeTemplate "one.tmpl"}}`)
	r.write("partials/one.tmpl", "1")
	r.await("the file", func() bool { return r.read("a") == "1" })
	r.write("partials/one.tmpl", "2")
	r.await("the file", func() bool { return r.read("a") == "2" })
	r.write("partials/two.tmpl", "3")
	r.write("a.ctmpl", `{{executeTemplate "two.tmpl"}}`)
	r.await("the file", func() bool { return r.read("a") == "3" })
	r.must(os.Remove(r.path("partials/one.tmpl")))
	r.await("the file", func() bool { return r.log.count(haveChanged) == 4 })
	r.wantFile("a", "3")
	r.await("the commit", func() bool { return r.status().Targets[1].State == status.Applied })
	if s := r.status().Targets[1]; s.Passes != 1 {
		t.Errorf("got %+v", s)
	}
}

// A text that cannot be used is not taken: the one before stays in force. This is told of once, and then every minute.
func TestR14UnusableTemplate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.target("a", `{{key "k"}}`), r.target("b", `{{key "k"}}`)
		r.set(kv("k"), "1")
		r.start(Config{Targets: []Target{a, b}, WatchTemplates: true})
		r.write("a.ctmpl", "first line\n {{nonsense}}")
		r.write("b.ctmpl", `b: {{key "k"}}`)
		elapse(time.Minute)
		r.wantFile("a", "1")
		r.wantFile("b", "b: 1")
		r.set(kv("k"), "2")
		r.wantFile("a", "2")
		r.wantLog(r.path("a.ctmpl") + ":2:4")
		s := r.status().Targets
		if s[0].Stale == nil || s[0].State != status.Applied || s[1].Stale != nil {
			t.Errorf("got %+v", s)
		}
		elapse(10 * time.Minute)
		if first, again := r.log.count(unusable), r.log.count(stillUnusable); first != 1 || again != 10 {
			t.Errorf("%d and %d lines\n%s", first, again, r.log)
		}
		r.must(os.Remove(r.path("a.ctmpl"))) // another fault
		elapse(2 * time.Minute)
		if n := r.log.count(unusable); n != 2 {
			t.Errorf("%d faults", n)
		}
		r.wantFile("a", "2")
		r.write("a.ctmpl", `a: {{key "k"}}`)
		elapse(time.Minute)
		r.wantFile("a", "a: 2")
		if s := r.status().Targets[0]; s.Stale != nil || r.log.count(usableAgain) != 1 {
			t.Errorf("got %+v\n%s", s, r.log)
		}
		again := r.log.count(stillUnusable)
		elapse(10 * time.Minute)
		if n := r.log.count(stillUnusable); n != again {
			t.Errorf("%d lines after all was good", n-again)
		}
		r.write("a.ctmpl", `{{(index (service "web") 0).Address}}`) // parses, and fails
		r.set(service("web"), instances("web"))
		elapse(time.Minute)
		r.wantFile("a", "a: 2")
		if s := r.status().Targets[0]; s.Stale != nil || s.State != status.Failed {
			t.Errorf("got %+v", s)
		}
	})
}

// A text that is again what it was before it could not be used leads to nothing but a line.
func TestR10SameTextAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.target("a", `{{key "k"}}`)
		a.Command = r.appends("runs")
		r.set(kv("k"), "1")
		r.start(Config{Targets: []Target{a}, WatchTemplates: true})
		elapse(2 * time.Second)
		r.write("a.ctmpl", `{{key "k"}}`) // the same bytes
		elapse(2 * time.Minute)
		r.write("a.ctmpl", `{{`)
		elapse(2 * time.Minute)
		r.write("a.ctmpl", `{{key "k"}}`)
		elapse(2 * time.Minute)
		r.wantPasses(2)
		if r.lines("runs") != 1 || r.log.count(haveChanged) != 0 || r.log.count(usableAgain) != 1 || r.log.count(unusable) != 1 {
			t.Errorf("%d runs\n%s", r.lines("runs"), r.log)
		}
	})
}

// A fault of a partial is told of once, however many templates use it.
func TestR14UnusablePartial(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		partial := r.write("partial", `{{define "x"}}1{{end}}`)
		var cfg Config
		for i := range 100 {
			target := r.target(fmt.Sprint(i), `{{template "x"}}`)
			target.Partials = []string{partial}
			cfg.Targets = append(cfg.Targets, target)
		}
		cfg.WatchTemplates = true
		r.start(cfg)
		r.write("partial", `{{define "x"}}{{if}}{{end}}`)
		elapse(time.Minute)
		r.must(os.Remove(partial))
		elapse(time.Minute)
		if n := r.log.count(unusable); n != 2 {
			t.Errorf("%d lines\n%s", n, r.log)
		}
		r.wantLog("and 97 more")
		r.write("partial", `{{define "x"}}2{{end}}`)
		elapse(time.Minute)
		for i := range 100 {
			r.wantFile(fmt.Sprint(i), "2")
		}
		if n := r.log.count(usableAgain); n != 1 {
			t.Errorf("%d lines\n%s", n, r.log)
		}
	})
}

// Templates are watched where the configuration in force wants it.
func TestR10TemplatesAreWatchedWhereWanted(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		cfg := Config{Targets: []Target{r.target("a", "1")}}
		r.start(cfg)
		edit := func(text string) {
			t.Helper()
			r.write("a.ctmpl", text)
			elapse(2 * time.Minute)
		}
		edit("2")
		r.wantFile("a", "1")
		cfg.WatchTemplates = true
		r.apply(cfg)
		r.wantFile("a", "2")
		edit("3")
		r.wantFile("a", "3")
		edit("{{")
		if err := r.engine.Apply(t.Context(), cfg); err == nil {
			t.Error("no error")
		}
		if r.status().Targets[0].Stale == nil {
			t.Error("not stale")
		}
		r.write("a.ctmpl", "4")
		r.apply(cfg) // before the look
		r.wantFile("a", "4")
		if err := r.status().Targets[0].Stale; err != nil {
			t.Error(err)
		}
		elapse(2 * time.Minute)
		r.wantPasses(4)
		cfg.WatchTemplates = false
		r.apply(cfg)
		edit("5")
		r.wantFile("a", "4")
	})
}

// What changes between the reading of a configuration and the watch of it is found.
func TestR10ChangeBeforeTheWatch(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		engine, err := New(r.world, Config{Targets: []Target{r.target("a", "1")}, WatchTemplates: true, unnotified: true})
		r.must(err)
		r.write("a.ctmpl", "2")
		go func() { _ = engine.Run(t.Context()) }()
		elapse(time.Second)
		r.wantFile("a", "2")
	})
}

// Many templates in few folders cost few goroutines.
func TestR10ManyTemplates(t *testing.T) {
	r := newRig(t)
	before := runtime.NumGoroutine()
	cfg := Config{WatchTemplates: true}
	for i := range 1000 {
		target := r.target(fmt.Sprint(i), fmt.Sprint(i))
		cfg.Targets = append(cfg.Targets, target)
	}
	r.start(cfg)
	r.await("the files", func() bool {
		for _, s := range r.status().Targets {
			if s.State != status.Applied {
				return false
			}
		}
		return true
	})
	r.await("the end of the commits' goroutines", func() bool { return runtime.NumGoroutine()-before <= 20 })
	r.write("500.ctmpl", "changed")
	r.await("the file", func() bool { return r.read("500") == "changed" })
	if n := strings.Count(r.log.String(), haveChanged); n != 1 {
		t.Errorf("%d changes", n)
	}
}

// What was read for a configuration that is not in force any more does not count.
func TestR10TextOfAnEarlierConfiguration(t *testing.T) {
	r := newRig(t)
	engine, err := New(r.world, Config{Targets: []Target{r.target("a", "1")}})
	r.must(err)
	engine.version = 2
	target := engine.targets[0]
	engine.edit(&sources.Changes{Version: 1, Edits: []sources.Edit{{User: target.order, Err: errGone}}}, time.Now())
	if err := engine.unusable.Of(target.order); err != nil {
		t.Error(err)
	}
	engine.edit(&sources.Changes{Version: 2, Edits: []sources.Edit{{User: target.order, Err: errGone}}}, time.Now())
	if engine.unusable.Of(target.order) == nil {
		t.Error("it counts not at all")
	}
}
