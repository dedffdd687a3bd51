package template_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"render/template"
	"render/watch"
)

// box makes a folder box, which is to be the sandbox, and secrets beside it. A text that begins with "-> " is a link.
func box(t *testing.T) (base string, known sources) {
	t.Helper()
	base = t.TempDir()
	for name, text := range map[string]string{
		"box/in":               "inside",
		"box/sub/deep":         "deep",
		"box/link":             "-> in",
		"box/absolute":         "-> " + base + "/box/in",
		"box/..2026/app.conf":  "config",
		"box/..data":           "-> ..2026",
		"box/app.conf":         "-> ..data/app.conf",
		"box/out":              "-> ../secret",
		"box/outAbsolute":      "-> " + base + "/secret",
		"box/outFolder":        "-> ..",
		"box/outFolderChained": "-> outFolder",
		"boxes/secret":         "SECRET",
		"other":                "-> box",
		"secret":               "SECRET",
	} {
		path := filepath.Join(base, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = errors.Join(err, os.Symlink(target, path))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	files, err := watch.NewFiles()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(files.Close)
	return base, sources{watch.ByKind{watch.KindFile: files}, make(map[watch.Query]any)}
}

func TestSandbox(t *testing.T) {
	base, known := box(t)
	t.Chdir(base)
	for _, c := range []struct{ sandbox, text, want, err string }{
		{"box", `{{file "box/in"}}`, "inside", ""},
		{"./box/", `{{file " box/sub/../in "}}`, "inside", ""},
		{"BASE/box", `{{file "box/in"}} {{file "BASE/box/sub/deep"}}`, "inside deep", ""},
		{"BASE/box", `{{file "box/link"}} {{file "other/link"}}`, "inside inside", ""},
		{"BASE/box", `{{file "box/absolute"}}`, "inside", ""},
		{"BASE/other", `{{file "box/in"}} {{file "other/in"}}`, "inside inside", ""},
		{"BASE/box", `{{file "box/app.conf"}}`, "config", ""},
		{".", `{{file "secret"}} {{file "box/outAbsolute"}}`, "SECRET SECRET", ""},
		{"/", `{{file "secret"}}`, "SECRET", ""},
		{"", `{{file "box/out"}}`, "SECRET", ""},
		{"BASE/box", `[{{file ""}}]`, "[]", ""},
		{"BASE/nope", `[{{file ""}}]`, "[]", ""},

		{"BASE/box", `a {{file "secret"}}`, "", `t:1:5: file: "secret": leads out of the sandbox BASE/box; only files below it can be read` + "\na {{file \"secret\"}}\n    ^"},
		{"BASE/box", `{{file "box/../secret"}}`, "", `t:1:3: file: "box/../secret": leads out of the sandbox`},
		{"BASE/box", `{{file "BASE/secret"}}`, "", `t:1:3: file: "BASE/secret": leads out`},
		{"BASE/box", `{{file "boxes/secret"}}`, "", "leads out"},
		{"BASE/box", `{{file "box/nope/../../secret"}}`, "", "leads out"},
		{"BASE/box", `{{file "box/out"}}`, "", "leads out"},
		{"BASE/box", `{{file "box/outAbsolute"}}`, "", "leads out"},
		{"BASE/box", `{{file "box/outFolder/secret"}}`, "", "leads out"},
		{"BASE/box", `{{file "box/outFolderChained/secret"}}`, "", "leads out"},
		{"BASE/box", `{{file "/nothing"}}`, "", "leads out"},
		{"BASE/box", `{{define "a"}}{{file .}}{{end}}{{executeTemplate "a" "secret"}}`, "", `t:1:17: file: "secret": leads out`},
		{"BASE/box", `{{file (base64Decode "c2VjcmV0")}}`, "", "t:1:3: file: an argument of 6 bytes that is not in the template's text: leads out of the sandbox"},
		{"BASE/nope", `{{file "box/in"}}`, "", `t:1:3: file: "box/in": cannot open the sandbox BASE/nope: no such file or directory; create the folder, or name another one`},
		{"secret", `{{file "box/in"}}`, "", `file: "box/in": cannot open the sandbox BASE/secret: not a directory;`},
	} {
		in := strings.NewReplacer("BASE", base).Replace
		r := known.finish(t.Context(), in(c.text), template.Options{Sandbox: in(c.sandbox)})
		if c.err == "" {
			if string(r.Output) != c.want || r.Err != nil {
				t.Errorf("%s in %s: got %q, absent %v, error %v; want %q", c.text, c.sandbox, r.Output, r.Absent, r.Err, c.want)
			}
			continue
		}
		e, ok := errors.AsType[*template.Error](r.Err)
		if !ok || !strings.Contains(e.Error()+"\n"+e.Excerpt(), in(c.err)) || r.Output != nil || len(r.Pending) > 0 {
			t.Errorf("%s in %s: got %q, pending %v, error %v; want %s", c.text, c.sandbox, r.Output, r.Pending, r.Err, in(c.err))
		}
	}
}

// A file below the sandbox that is missing is waited for, as any other.
func TestSandboxMissing(t *testing.T) {
	base, known := box(t)
	q := watch.NewQuery(watch.KindFile, base+"/box/later", url.Values{watch.OptSandbox: {base + "/box"}})
	tmpl, err := template.Parse("t", `{{file "`+base+`/box/later"}}`, template.Options{Sandbox: base + "/box/"})
	if err != nil {
		t.Fatal(err)
	}
	if r := tmpl.Execute(t.Context(), answers{}.lookup); len(r.Pending) != 1 || r.Pending[0] != q || r.Err != nil {
		t.Errorf("got pending %v, error %v", r.Pending, r.Err)
	}
	if r := known.finish(t.Context(), `{{file "`+base+`/box/later"}}`, template.Options{Sandbox: base + "/box"}); len(r.Absent) != 1 || r.Absent[0] != q || r.Err != nil {
		t.Errorf("got absent %v, error %v", r.Absent, r.Err)
	}
}

// A link that leads out is an error, not something to wait for; but it is watched, so that the template works once the link is fixed.
func TestSandboxMended(t *testing.T) {
	base, known := box(t)
	tmpl, err := template.Parse("t", `{{file "`+base+`/box/out"}}`, template.Options{Sandbox: base + "/box"})
	if err != nil {
		t.Fatal(err)
	}
	r := tmpl.Execute(t.Context(), answers{}.lookup)
	if r.Err == nil || len(r.Pending) > 0 || len(r.Used) != 1 {
		t.Fatalf("got %v, pending %v, used %v", r.Err, r.Pending, r.Used)
	}
	if _, _, err := known.Fetch(t.Context(), r.Used[0], 0); err == nil {
		t.Error("the file outside was read")
	}
	if err := errors.Join(os.Remove(base+"/box/out"), os.Symlink("in", base+"/box/out")); err != nil {
		t.Fatal(err)
	}
	value, _, err := known.Fetch(t.Context(), r.Used[0], 0)
	if r = tmpl.Execute(t.Context(), answers{r.Used[0]: value}.lookup); err != nil || string(r.Output) != "inside" {
		t.Errorf("got %v, %q, %v", err, r.Output, r.Err)
	}
}

// While links are swapped no pass has a byte from outside.
func TestSandboxSwaps(t *testing.T) {
	base, known := box(t)
	swap := func(name, target string) error {
		return errors.Join(os.Symlink(target, base+"/new"), os.Rename(base+"/new", base+"/box/"+name))
	}
	if err := errors.Join(swap("file", "in"), swap("folder", "sub"), os.WriteFile(base+"/deep", []byte("SECRET"), 0o644)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := errors.Join(swap("file", "../secret"), swap("folder", ".."), swap("file", "in"), swap("folder", base+"/box/sub")); err != nil {
				t.Error(err)
				return
			}
		}
	})
	outputs, faults := 0, 0
	for _, path := range []string{"file", "folder/deep"} {
		for range 2000 {
			clear(known.answers)
			r := known.finish(t.Context(), `{{file "`+base+"/box/"+path+`"}}`, template.Options{Sandbox: base + "/box"})
			if output := string(r.Output); output == "inside" || output == "deep" {
				outputs++
			} else if r.Output != nil {
				t.Fatalf("got %q", output)
			}
			if r.Err != nil {
				faults++
				if strings.Contains(r.Err.Error(), "SECRET") {
					t.Fatal(r.Err)
				}
			}
		}
	}
	if outputs == 0 || faults == 0 {
		t.Errorf("%d outputs, %d errors: nothing was tried", outputs, faults)
	}
}

// R12: a sandbox on a file system that hangs holds the pass for a moment, once. The files stay pending: their source says why.
func TestSandboxCheckHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tmpl, err := template.Parse("t", `{{range loop 1000}}{{file (printf "/box/%d" .)}}{{end}}`, template.Options{Sandbox: "/box"})
		if err != nil {
			t.Fatal(err)
		}
		hangs := make(chan struct{})
		var checks atomic.Int32
		tmpl.SetSandboxCheck(func(_, path string) error {
			checks.Add(1)
			<-hangs
			return errors.New("no")
		})

		began := time.Now()
		for range 10 {
			if r := tmpl.Execute(t.Context(), answers{}.lookup); len(r.Pending) != 1000 || r.Err != nil {
				t.Errorf("%d pending, %v", len(r.Pending), r.Err)
			}
		}
		if took := time.Since(began); took > 100*time.Millisecond || checks.Load() != 1 {
			t.Errorf("ten passes took %s, with %d checks", took, checks.Load())
		}

		close(hangs)
		synctest.Wait()
		if r := tmpl.Execute(t.Context(), answers{}.lookup); r.Err == nil || len(r.Used) != 1 {
			t.Errorf("when the file system answers: %d asked, %v", len(r.Used), r.Err)
		}
	})
}
