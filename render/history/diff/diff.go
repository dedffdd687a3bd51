// Package diff compares two texts by lines.
package diff

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

const (
	context   = 3   // unchanged lines around each change
	mostEdits = 500 // changed lines that are looked for one by one; with more, the part that differs is one change
)

// IsText reports whether contents can be shown as lines of text: UTF-8 without control characters that files of text do not have.
func IsText(contents []byte) bool {
	return utf8.Valid(contents) && bytes.IndexFunc(contents, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' && r != '\r' && r != '\f' || r == 0x7f
	}) < 0
}

// Unified returns how a text became another: hunks of a unified diff, without the lines that name files. It is empty where both are the
// same, and false where it would have more than most bytes.
func Unified(before, after []byte, most int) (text string, ok bool) {
	skipped, before, after := window(before, after)
	a, b := lines(before), lines(after)
	first := 0
	for first < len(a) && first < len(b) && bytes.Equal(a[first], b[first]) {
		first++
	}
	last := 0
	for last < len(a)-first && last < len(b)-first && bytes.Equal(a[len(a)-1-last], b[len(b)-1-last]) {
		last++
	}
	edits := compare(a[first:len(a)-last], b[first:len(b)-last])
	for i := range edits {
		edits[i].a += first
		edits[i].b += first
	}
	var out strings.Builder
	for _, h := range hunks(edits, len(a)) {
		if writeHunk(&out, h, a, b, skipped); out.Len() > most {
			return "", false
		}
	}
	return out.String(), true
}

// window leaves out what both texts begin and end with, but for the context, in whole lines: it is most of a file of which a line has
// changed. It returns the number of lines that it leaves out at the beginning.
func window(before, after []byte) (skipped int, a, b []byte) {
	n := min(len(before), len(after))
	first := sort.Search(n/block, func(i int) bool { return !bytes.Equal(before[:(i+1)*block], after[:(i+1)*block]) }) * block
	first = start(before[:first], context)
	skipped = bytes.Count(before[:first], []byte("\n"))
	before, after = before[first:], after[first:]

	n = min(len(before), len(after))
	last := sort.Search(n/block, func(i int) bool {
		m := (i + 1) * block
		return !bytes.Equal(before[len(before)-m:], after[len(after)-m:])
	}) * block
	end := before[len(before)-last:]
	for range context + 1 { // the first may not be a whole line
		i := bytes.IndexByte(end, '\n')
		if i < 0 {
			return skipped, before, after
		}
		end = end[i+1:]
	}
	return skipped, before[:len(before)-len(end)], after[:len(after)-len(end)]
}

const block = 256 // bytes that are compared at a time

// start returns where the last so many whole lines of a text begin.
func start(text []byte, lines int) int {
	at := len(text)
	for range lines + 1 {
		i := bytes.LastIndexByte(text[:at], '\n')
		if i < 0 {
			return 0
		}
		at = i
	}
	return at + 1
}

// lines returns the lines of a text, each with its end.
func lines(text []byte) [][]byte {
	all := bytes.SplitAfter(text, []byte("\n"))
	if n := len(all); len(all[n-1]) == 0 {
		all = all[:n-1]
	}
	return all
}

// An edit replaces lines of the old text, from a on, by lines of the new one, from b on.
type edit struct{ a, deleted, b, inserted int }

// compare returns the edits that make b of a, the fewest lines where they are few: by the algorithm of Myers.
func compare(a, b [][]byte) []edit {
	all := edit{deleted: len(a), inserted: len(b)}
	if len(a) == 0 && len(b) == 0 {
		return nil
	}
	if len(a) == 0 || len(b) == 0 {
		return []edit{all}
	}

	// The furthest reach on each diagonal, after each number of steps.
	most := min(len(a)+len(b), mostEdits)
	reach := make([]int, 2*most+3)
	var trace [][]int
	for steps := 0; steps <= most; steps++ {
		trace = append(trace, slices.Clone(reach[most+1-steps:most+1+steps+1]))
		for k := -steps; k <= steps; k += 2 {
			x := reach[most+1+k-1] + 1
			if k == -steps || k != steps && reach[most+1+k-1] < reach[most+1+k+1] {
				x = reach[most+1+k+1]
			}
			y := x - k
			for x < len(a) && y < len(b) && bytes.Equal(a[x], b[y]) {
				x, y = x+1, y+1
			}
			reach[most+1+k] = x
			if x >= len(a) && y >= len(b) {
				return walk(trace, steps, len(a), len(b))
			}
		}
	}
	return []edit{all}
}

// walk returns the edits on the way that compare has found. The reaches before each step are in trace: those of the diagonals -step to step.
func walk(trace [][]int, steps, x, y int) []edit {
	var edits []edit
	for ; steps > 0; steps-- {
		before := trace[steps]
		at := func(k int) int { return before[k+steps] }
		k := x - y
		previous := k - 1
		if k == -steps || k != steps && at(k-1) < at(k+1) {
			previous = k + 1
		}
		px := at(previous)
		py := px - previous
		e := edit{a: px, b: py}
		if previous == k+1 {
			e.inserted = 1
		} else {
			e.deleted = 1
		}
		if n := len(edits); n > 0 && edits[n-1].a == e.a+e.deleted && edits[n-1].b == e.b+e.inserted {
			edits[n-1] = edit{e.a, e.deleted + edits[n-1].deleted, e.b, e.inserted + edits[n-1].inserted}
		} else {
			edits = append(edits, e)
		}
		x, y = px, py
	}
	slices.Reverse(edits)
	return edits
}

// hunks gathers edits whose contexts touch.
func hunks(edits []edit, lines int) (all [][]edit) {
	for _, e := range edits {
		if n := len(all); n > 0 {
			last := all[n-1][len(all[n-1])-1]
			if e.a-(last.a+last.deleted) <= 2*context {
				all[n-1] = append(all[n-1], e)
				continue
			}
		}
		all = append(all, []edit{e})
	}
	return all
}

func writeHunk(out *strings.Builder, edits []edit, a, b [][]byte, skipped int) {
	first, last := edits[0], edits[len(edits)-1]
	before := min(context, first.a)
	after := min(context, len(a)-(last.a+last.deleted))
	fromA, toA := first.a-before, last.a+last.deleted+after
	fromB, toB := first.b-before, last.b+last.inserted+after
	fmt.Fprintf(out, "@@ -%s +%s @@\n", span(fromA+skipped, toA+skipped), span(fromB+skipped, toB+skipped))
	at := fromA
	for _, e := range edits {
		writeLines(out, ' ', a[at:e.a])
		writeLines(out, '-', a[e.a:e.a+e.deleted])
		writeLines(out, '+', b[e.b:e.b+e.inserted])
		at = e.a + e.deleted
	}
	writeLines(out, ' ', a[at:toA])
}

// span returns lines as the head of a hunk has them.
func span(from, to int) string {
	switch to - from {
	case 0:
		return fmt.Sprintf("%d,0", from)
	case 1:
		return fmt.Sprint(from + 1)
	}
	return fmt.Sprintf("%d,%d", from+1, to-from)
}

func writeLines(out *strings.Builder, mark byte, lines [][]byte) {
	for _, line := range lines {
		out.WriteByte(mark)
		out.Write(line)
		if !bytes.HasSuffix(line, []byte("\n")) {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
}
