package commit

import (
	"fmt"
	"strings"
	"testing"

	"render/render/history/diff"
)

func TestChanges(t *testing.T) {
	file := func(path, before, after string) FileReport {
		text, ok := diff.Unified([]byte(before), []byte(after), mostDiff)
		if !ok {
			t.Fatal("the diff is too large")
		}
		size := int64(len(before))
		if before == "" {
			size = -1
		}
		return FileReport{Destination: path, OldSize: size, Size: int64(len(after)), Differs: true, Diff: text}
	}
	noDiff := func(path string, old int64, why string) FileReport {
		return FileReport{Destination: path, OldSize: old, Size: 20, Differs: true, NoDiff: why}
	}
	lines := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "line %d\n", i)
		}
		return b.String()
	}
	for _, test := range []struct {
		name  string
		files []FileReport
		want  string
	}{
		{"a line", []FileReport{file("out", "a\nb\nc\n", "a\nB\nc\n")}, "out  +1 -1\n-b\n+B\n"},
		{"a new file", []FileReport{file("out", "", "a\nb\n")}, "out  +2 -0\n"},
		{"no newline at the end", []FileReport{file("out", "a\nb", "a\nc")}, "out  +1 -1\n-b\n+c\n"},
		{"a secret", []FileReport{noDiff("out", 7, NoDiffSecret)}, "out  7 → 20 bytes\n"},
		{"a new file that not everybody may read", []FileReport{noDiff("out", -1, NoDiffPrivate)}, "out  new, 20 bytes\n"},
		{"many lines", []FileReport{file("one", lines(0, 3), lines(10, 13)), file("two", lines(0, 3), lines(20, 23))},
			"one  +3 -3\n-line 0\n-line 1\n-line 2\n+line 10\n+line 11\n+line 12\ntwo  +3 -3\n-line 0\n-line 1\n… 4 more lines\n"},
		{"many files", []FileReport{noDiff("a", 1, NoDiffLarge), noDiff("b", 1, NoDiffLarge), noDiff("c", 1, NoDiffLarge), noDiff("d", 1, NoDiffLarge), noDiff("e", 1, NoDiffLarge)},
			"a  1 → 20 bytes\nb  1 → 20 bytes\nc  1 → 20 bytes\n… 2 more files\n"},
		{"a long line", []FileReport{file("out", "a\n", strings.Repeat("é", 1000)+"\n")}, "out  +1 -1\n-a\n+" + strings.Repeat("é", mostChangedWidth-2) + "…\n"},
		{"a file that was not swapped", []FileReport{file("rejected", "a\n", "b\n")}, ""},
		{"an equal file", []FileReport{{Destination: "out", OldSize: 1, Size: 1}}, ""},
	} {
		r := Result{Files: test.files}
		for _, f := range test.files {
			if f.Destination != "rejected" {
				r.Swapped = append(r.Swapped, f.Destination)
			}
		}
		if got := r.Changes(); got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}
