package sources

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"render/template"
)

func TestTextsOf(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.ctmpl", "body")
	write(t, dir, "parts/b", "2")
	write(t, dir, "parts/a", "1")
	write(t, dir, "parts/.hidden", "3")
	write(t, dir, "parts/folder/c", "4")
	write(t, dir, "one", "5")
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, tt := range map[string]struct {
		template Template
		want     string // body and partials, or the beginning of the error
	}{
		"a file":          {Template{Source: in("a.ctmpl")}, "body"},
		"contents":        {Template{Source: in("none"), Contents: "text"}, "text"},
		"partials":        {Template{Source: in("a.ctmpl"), Partials: []string{in("one"), in("parts")}}, "body 5 1 2"},
		"no file":         {Template{Source: in("none")}, "read template: "},
		"no partials":     {Template{Source: in("a.ctmpl"), Partials: []string{in("none")}}, "read partials: "},
		"an empty folder": {Template{Source: in("a.ctmpl"), Partials: []string{t.TempDir()}}, "body"},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := make(Files).TextsOf(tt.template)
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), tt.want) {
					t.Fatal(err)
				}
				if partials, ok := errors.AsType[PartialsError](err); ok != strings.HasPrefix(tt.want, "read partials") {
					t.Errorf("%T", err)
				} else if ok && !strings.HasPrefix(partials.Of("a").Error(), "read partials of template a: ") {
					t.Error(partials.Of("a"))
				}
				return
			}
			got := x.Body
			for _, p := range x.Partials {
				got += " " + p.Text
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// A file is read once, however many templates use it.
func TestFilesAreReadOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", "1")
	files := make(Files)
	for range 2 {
		x, err := files.TextsOf(Template{Source: filepath.Join(dir, "a")})
		if err != nil || x.Body != "1" {
			t.Errorf("%q, %v", x.Body, err)
		}
		write(t, dir, "a", "changed")
	}
}

// TestWatch changes the files of two templates, which share partials, and waits for the regular check.
func TestWatch(t *testing.T) {
	errParse := errors.New("parse")
	for name, tt := range map[string]struct {
		change func(t *testing.T, dir string)

		want []string // body and partials, or an error, by template; "" for none
	}{
		"nothing":   {func(*testing.T, string) {}, nil},
		"one":       {func(t *testing.T, dir string) { write(t, dir, "a", "changed") }, []string{"changed part", ""}},
		"both":      {func(t *testing.T, dir string) { write(t, dir, "parts/x", "changed") }, []string{"body a changed", "body b changed"}},
		"a new one": {func(t *testing.T, dir string) { write(t, dir, "parts/y", "new") }, []string{"body a part new", "body b part new"}},
		"the same text": {func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "a")))
			write(t, dir, "a", "body a")
		}, nil},
		"removed":  {func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "b"))) }, []string{"", "read template"}},
		"unusable": {func(t *testing.T, dir string) { write(t, dir, "b", "bad") }, []string{"", errParse.Error()}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "a", "body a")
			write(t, dir, "b", "body b")
			write(t, dir, "parts/x", "part")
			synctest.Test(t, func(t *testing.T) {
				var found []*Changes
				ctx, cancel := context.WithCancel(t.Context())
				w := NewWatch(ctx, nil, func(_ context.Context, c *Changes) { found = append(found, c) })
				defer w.Wait()
				defer cancel()
				set := Set{Version: 7, Files: make(Files)}
				for _, name := range []string{"a", "b"} {
					of := Template{Source: filepath.Join(dir, name), Partials: []string{filepath.Join(dir, "parts")}}
					_, err := set.Files.TextsOf(of)
					must(t, err)
					set.Users = append(set.Users, User{of, func(x Texts) (*template.Template, error) {
						if x.Body == "bad" {
							return nil, errParse
						}
						return template.Parse(of.Source, x.Body, template.Options{Partials: x.Partials})
					}})
				}
				w.Replace(set)
				tt.change(t, dir) // since the files were read
				time.Sleep(150 * time.Second)
				synctest.Wait()
				if len(tt.want) == 0 && len(found) == 0 {
					return
				}
				if len(found) != 1 || found[0].Version != 7 {
					t.Fatalf("changes %v", found)
				}
				got := make([]string, 2)
				for _, e := range found[0].Edits {
					if e.Err != nil {
						got[e.User] = e.Err.Error()[:min(len(e.Err.Error()), len("read template"))]
						continue
					}
					got[e.User] = e.Texts.Body
					for _, p := range e.Texts.Partials {
						got[e.User] += " " + p.Text
					}
					if e.Template == nil {
						t.Error("not parsed")
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("%q, want %q", got, tt.want)
				}
			})
		})
	}
}

// After Replace with an empty set nothing is reported.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", "1")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		w := NewWatch(ctx, nil, func(context.Context, *Changes) { calls++ })
		defer w.Wait()
		defer cancel()
		of := Template{Source: filepath.Join(dir, "a")}
		set := Set{Files: make(Files), Users: []User{{of, func(x Texts) (*template.Template, error) { return nil, nil }}}}
		_, err := set.Files.TextsOf(of)
		must(t, err)
		w.Replace(set)
		write(t, dir, "a", "changed")
		time.Sleep(150 * time.Second)
		w.Replace(Set{})
		write(t, dir, "a", "changed again")
		time.Sleep(150 * time.Second)
		synctest.Wait()
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
