package render

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"render/render/run"
)

// What writeToFile writes is committed with the target: swapped with it, before the command, and only when it changes.
func TestWrites(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{key "cert" | writeToFile "`+r.path("sub/cert")+`" "" "" "0600"}}main`)
		target.Command = run.Command{Shell: "cat '" + r.path("sub/cert") + "' >> '" + r.path("seen") + "'; echo >> '" + r.path("seen") + "'"}
		r.start(Config{Targets: []Target{target}})
		r.wantFile("sub/cert", "no file")
		r.set(kv("cert"), "1")
		r.wantFile("a", "main")
		r.wantFile("sub/cert", "1")
		elapse(time.Minute)
		r.set(kv("cert"), "2")
		r.wantFile("sub/cert", "2")
		r.wantFile("seen", "1\n2\n")
		info, err := os.Stat(r.path("sub/cert"))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		elapse(time.Minute)
		if n := r.status().Actions[0].Runs; n != 2 {
			t.Errorf("%d runs, want 2", n)
		}
	})
}

func TestWriteAttributes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.write("cert", "same")
		r.start(Config{Targets: []Target{r.target("a", `{{writeToFile "`+r.path("cert")+`" "`+root(t)+`" "" "0400" "same"}}`)}})
		info, err := os.Stat(r.path("cert"))
		if err != nil || info.Mode() != 0o400 {
			t.Errorf("mode %v, %v: permissions are part of what writeToFile sets", info.Mode(), err)
		}
	})
}

// root returns a user that files can be given to: by name where we are root.
func root(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		return "root"
	}
	return ""
}

// What is appended is appended once a change, also when the command has to be repeated.
func TestWritesAppend(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{writeToFile "`+r.path("journal")+`" "" "" "0644" "append,newline" (key "k")}}`)
		target.Command = run.Command{Shell: "[ -e '" + r.path("ok") + "' ]"}
		r.start(Config{Targets: []Target{target}})
		r.set(kv("k"), "1")
		elapse(time.Minute) // fails again and again
		r.write("ok", "")
		elapse(2 * time.Minute)
		r.wantFile("journal", "1\n")
		r.set(kv("k"), "2")
		r.wantFile("journal", "1\n2\n")
	})
}

func TestWritesRefuseLinks(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.write("real", "old")
		if err := os.Symlink("real", r.path("link")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Base(r.dir), filepath.Join(filepath.Dir(r.dir), "dirlink")); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{r.path("link"), filepath.Join(filepath.Dir(r.dir), "dirlink", "new")} {
			target := r.target("a"+filepath.Base(path), `{{writeToFile "`+path+`" "" "" "0644" "new"}}`)
			if err := r.run(t.Context(), Config{Targets: []Target{target}}); err == nil {
				t.Errorf("%s was written through a link", path)
			}
		}
		r.wantFile("real", "old")
		r.wantFile("new", "no file")
	})
}

// A target has partials from files and folders.
func TestPartials(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if err := os.Mkdir(r.path("parts"), 0o755); err != nil {
			t.Fatal(err)
		}
		r.write("parts/b.tmpl", `{{define "b"}}b{{end}}`)
		r.write("parts/.hidden", `{{nonsense`)
		r.write("one.tmpl", `one {{key "k"}}`)
		target := r.target("a", "{{if true}}\n{{template \"b\"}} {{template \"one.tmpl\"}}\n{{end}}\n")
		target.Partials, target.TrimBlocks = []string{r.path("parts"), r.path("one.tmpl")}, true
		r.start(Config{Targets: []Target{target}})
		r.set(kv("k"), "v")
		r.wantFile("a", "b one v\n")
		target.Partials = []string{r.path("none")}
		if _, err := New(r.world, Config{Targets: []Target{target}}); err == nil {
			t.Error("no error for partials that are not there")
		}
	})
}
