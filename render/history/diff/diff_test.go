package diff

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnified(t *testing.T) {
	for _, test := range []struct{ name, before, after, want string }{
		{"same", "a\nb\n", "a\nb\n", ""},
		{"both empty", "", "", ""},
		{"new", "", "a\nb\n", "@@ -0,0 +1,2 @@\n+a\n+b\n"},
		{"emptied", "a\n", "", "@@ -1 +0,0 @@\n-a\n"},
		{"one line", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nx\n6\n7\n8\n9\n", "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n"},
		{"no end of line", "a", "b", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n"},
		{"an end of line", "a", "a\n", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"},
		{"two hunks", "a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
			"@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, ok := Unified([]byte(test.before), []byte(test.after), 1000); got != test.want || !ok {
				t.Errorf("got %t\n%s\nwant\n%s", ok, got, test.want)
			}
		})
	}
	if got, ok := Unified([]byte("a\n"), []byte("b\n"), 5); ok {
		t.Errorf("got %q, longer than allowed", got)
	}
}

// What patch makes of the old text and the diff is the new text, also where more lines differ than are looked for.
func TestPatch(t *testing.T) {
	patch, err := exec.LookPath("patch")
	if err != nil {
		t.Skip("there is no patch program")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		n := []int{5, 40, 2000}[i%3]
		draw := func() string {
			var b strings.Builder
			for range random.IntN(n) {
				fmt.Fprintln(&b, random.IntN(4)*1111111)
			}
			if random.IntN(3) == 0 {
				b.WriteString("end")
			}
			return b.String()
		}
		before, after := draw(), draw()
		if i%2 == 0 { // the same but for some lines
			all := strings.SplitAfter(before, "\n")
			for range random.IntN(4) {
				all[random.IntN(len(all))] = "other\n"
			}
			after = strings.Join(all, "")
		}
		text, ok := Unified([]byte(before), []byte(after), 1<<20)
		if !ok || (text == "") != (before == after) {
			t.Fatalf("%q → %q: %q, %t", before, after, text, ok)
		}
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		if text == "" {
			continue
		}
		cmd := exec.Command(patch, "--quiet", path)
		cmd.Stdin = strings.NewReader("--- file\n+++ file\n" + text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("patch: %v: %s\n%s", err, out, text)
		}
		got, err := os.ReadFile(path)
		if os.IsNotExist(err) && after == "" {
			err = nil // patch removes what becomes empty
		}
		if string(got) != after || err != nil {
			t.Fatalf("got %q, want %q, %v:\n%s", got, after, err, text)
		}
	}
}

func TestIsText(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "a\tb\r\n": true, "ä\u202e": true, "a\x00b": false, "\xff": false, "\x1b[31m": false, "a\x7f": false,
	} {
		if got := IsText([]byte(text)); got != want {
			t.Errorf("%q: got %t", text, got)
		}
	}
}

func BenchmarkUnified(b *testing.B) {
	lines := make([]string, 2000)
	for i := range lines {
		lines[i] = fmt.Sprintf("server 10.0.%d.%d:8080;\n", i/256, i%256)
	}
	before := []byte(strings.Join(lines, ""))
	lines[1000] = "server 10.9.9.9:80;\n"
	after := []byte(strings.Join(lines, ""))
	b.ReportAllocs()
	for b.Loop() {
		Unified(before, after, 64<<10)
	}
}
