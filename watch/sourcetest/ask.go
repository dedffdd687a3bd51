package sourcetest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"render/watch"
	"render/watch/fixture"
)

// Bubble runs a test where time stands still until everybody waits. It takes but one processor: on several, the race detector is brought
// down by timers of a bubble that end at the same time (golang/go#78156).
func Bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	runtime.GOMAXPROCS(1)
	synctest.Test(t, test)
}

// Fixture returns a source that answers from a text, or the error that the text gives without the name of its file.
func Fixture(t testing.TB, text string) (*fixture.Source, string) {
	t.Helper()
	files, err := watch.NewFiles()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(files.Close)
	path := filepath.Join(t.TempDir(), "fixture.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	src, err := fixture.New(files, path)
	if err != nil {
		message, ok := strings.CutPrefix(err.Error(), "fixture "+path+": ")
		if !ok {
			t.Fatalf("the error does not begin with the fixture's name: %v", err)
		}
		return nil, message
	}
	return src, ""
}

// Query reads a query as Query.String writes it.
func Query(s string) watch.Query {
	s, opts, _ := strings.Cut(strings.TrimSuffix(s, ")"), " (")
	kind, name, _ := strings.Cut(s, " ")
	return watch.Query{Kind: kind, Name: name, Opts: opts}
}

// Fetch returns the answer of a plain read. An error fails the test.
func Fetch(t *testing.T, src watch.Source, q watch.Query) any {
	t.Helper()
	value, _, err := src.Fetch(t.Context(), q, 0)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return value
}

// Show returns a value as indented JSON, for the message of a test that fails.
func Show(v any) string {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err.Error()
	}
	return string(b)
}
