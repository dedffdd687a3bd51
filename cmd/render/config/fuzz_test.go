package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// loadText returns what a text comes to as a configuration file, without a file.
func loadText(name string, text []byte) (*Plan, *loader, error) {
	l := &loader{doc: newDocument(), sources: make(map[string][]byte), configs: []string{name}}
	l.readText(name, text)
	if err := l.err(); err != nil {
		return nil, l, err
	}
	p, err := l.build()
	return p, l, err
}

// Whatever a file says, it comes to a plan or to faults with places in it, soon, and twice to the same.
func FuzzLoad(f *testing.F) {
	paths, err := filepath.Glob("testdata/config/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(text), "\n-- ") {
			name, body, _ := strings.Cut(part, " --\n")
			if body, _, _ = strings.Cut(body, "\n=== "); name != "want" {
				f.Add(body, strings.HasSuffix(name, ".json"))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string, asJSON bool) {
		name := "f.hcl"
		if asJSON {
			name = "f.json"
		}
		began := time.Now()
		p, l, err := loadText(name, []byte(text))
		if took := time.Since(began); took > time.Second+time.Duration(len(text))*time.Microsecond*50 {
			t.Errorf("it takes %s", took)
		}
		again, lAgain, errAgain := loadText(name, []byte(text))
		if fmt.Sprint(err) != fmt.Sprint(errAgain) || fmt.Sprint(l.notices.Warn) != fmt.Sprint(lAgain.notices.Warn) {
			t.Errorf("got %v, %q, and then %v, %q", err, l.notices.Warn, errAgain, lAgain.notices.Warn)
		}
		if err == nil {
			if d := difference(again, p); d != "" {
				t.Errorf("twice it is not the same: %s", d)
			}
			return
		}
		wrong, ok := errors.AsType[*Error](err)
		if !ok {
			t.Fatalf("got %v", err)
		}
		if said := wrong.Excerpts(); !utf8.ValidString(said) || strings.ContainsFunc(strings.ReplaceAll(said, "\n", ""), func(r rune) bool { return printable(r) != r }) {
			t.Errorf("users read %q", said)
		}
		lines := strings.Split(text, "\n")
		for _, fault := range wrong.faults {
			start := fault.at.at
			if !fault.at.inFile() || fault.at.file != name || start.Line < 1 || start.Line > len(lines) || start.Column < 1 || start.Column > 1+utf8.RuneCountInString(lines[start.Line-1]) {
				t.Errorf("%s: %s: there is no such place", fault.at, fault.text)
			}
		}
	})
}

// BenchmarkLoad5000 loads 5,000 templates, each with its destination.
func BenchmarkLoad5000(b *testing.B) {
	var text strings.Builder
	dir := b.TempDir()
	for i := range 5000 {
		fmt.Fprintf(&text, "template {\n  source      = \"%s/in%d.ctmpl\"\n  destination = \"%s/out/%d/file%d.conf\"\n  perms       = \"0640\"\n  command     = \"service app%d reload\"\n  wait { min = \"2s\" }\n}\n", dir, i, dir, i%100, i, i%50)
	}
	for b.Loop() {
		p, _, err := loadText("a.hcl", []byte(text.String()))
		if err != nil || len(p.Engine.Targets) != 5000 {
			b.Fatal(err)
		}
	}
}
