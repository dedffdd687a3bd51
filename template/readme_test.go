package template_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"render/template"
	"render/watch"
	"render/watch/fixture"

	"render/watch/hint"
)

// block returns the README's first block of a language.
func block(t *testing.T, text, language string) string {
	t.Helper()
	_, rest, _ := strings.Cut(text, "\n```"+language+"\n")
	block, _, found := strings.Cut(rest, "\n```\n")
	if !found {
		t.Fatalf("README.md has no block of %q", language)
	}
	return block
}

// readme returns the README's fixture as an answer to every query, and the rows of its tables as their cells.
func readme(t *testing.T) (lookup template.Lookup, rows [][]string, text string) {
	t.Helper()
	bytes, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text = string(bytes)
	path := filepath.Join(t.TempDir(), "fixture.yaml")
	if err := os.WriteFile(path, []byte(block(t, text, "yaml")), 0o644); err != nil {
		t.Fatal(err)
	}
	files, err := watch.NewFiles()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(files.Close)
	fixture, err := fixture.New(files, path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if line, ok := strings.CutPrefix(strings.TrimSpace(line), "| "); ok {
			rows = append(rows, cells(line))
		}
	}
	return func(q watch.Query) (any, bool) {
		if q.Kind == watch.KindFile {
			return "welcome", true
		}
		var source watch.Source = fixture
		if q.Kind == watch.KindPlugin {
			source = programs{}
		}
		value, _, err := source.Fetch(t.Context(), q, 0)
		if err != nil {
			t.Errorf("%s: %v", q, err)
		}
		return value, true
	}, rows, text
}

// cells cuts a row of a table at its bars; \| is a bar inside a cell.
func cells(row string) []string {
	row = strings.ReplaceAll(strings.TrimSuffix(row, "|"), `\|`, "\x00")
	var list []string
	for _, cell := range strings.Split(row, "|") {
		list = append(list, strings.ReplaceAll(strings.TrimSpace(cell), "\x00", "|"))
	}
	return list
}

// Every example of the README gives the output that stands beside it.
func TestReadmeExamples(t *testing.T) {
	lookup, rows, _ := readme(t)
	examples := 0
	for _, row := range rows {
		if len(row) < 2 || !strings.HasPrefix(row[len(row)-2], "`{{") {
			continue
		}
		examples++
		text, want := strings.Trim(row[len(row)-2], "`"), strings.Trim(row[len(row)-1], "`")
		withDelimiters(func(o template.Options, in func(string) string) {
			o.Env = func(name string) (string, bool) { return "eu", name == "REGION" }
			tmpl, err := template.Parse("README.md", in(text), o)
			if err != nil {
				t.Error(err)
				return
			}
			r := tmpl.Execute(t.Context(), lookup)
			if got := strings.ReplaceAll(string(r.Output), "\n", "⏎"); got != want || !r.Finished() {
				t.Errorf("%s\n got %q, absent %v, error %v\nwant %q", in(text), got, r.Absent, r.Err, want)
			}
		})
	}
	if examples < len(template.FunctionNames())/2 {
		t.Errorf("only %d examples were found", examples)
	}
}

// The README has a row for each function, and none for what is not one.
func TestReadmeFunctions(t *testing.T) {
	_, rows, _ := readme(t)
	signature := regexp.MustCompile("^`([a-z]\\w*)( |`)")
	var documented []string
	for _, row := range rows {
		if m := signature.FindStringSubmatch(row[0]); m != nil && len(row) == 4 {
			documented = append(documented, m[1])
		}
	}
	slices.Sort(documented)
	if want := template.FunctionNames(); !slices.Equal(documented, want) {
		t.Errorf("documented %v\nthere are %v", documented, want)
	}
}

// The README's errors are those that their templates give.
func TestReadmeErrors(t *testing.T) {
	_, _, text := readme(t)
	parts := strings.Split(text, "\n```text\n")
	for _, part := range parts[1:] {
		want, _, _ := strings.Cut(part, "\n```\n")
		lines := strings.Split(want, "\n")
		e := faultWith(t, "web.ctmpl", lines[len(lines)-2], nil, template.Options{Denied: []string{"plugin"}})
		if got := hint.Text(e) + "\n" + e.Excerpt(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	if len(parts) != 3 {
		t.Errorf("found %d errors, not 2", len(parts)-1)
	}
}
