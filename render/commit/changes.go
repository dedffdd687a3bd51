package commit

import (
	"fmt"
	"slices"
	"strings"
)

const (
	mostChangedFiles = 3   // files that Changes names
	mostChangedLines = 8   // lines that Changes shows, of all files
	mostChangedWidth = 160 // characters of a line that Changes shows
)

// Changes returns for people what changed in the files that were swapped: a line with the path of each, and the numbers of lines that
// were added and removed, and below it the first of these lines. Of a file whose lines may be secret, or that has no diff for another
// reason, it has only the sizes. It is empty where nothing was swapped, and without Plan.Report.
func (r *Result) Changes() string {
	var b strings.Builder
	shown, named := 0, 0
	for _, f := range r.Files {
		if !f.Differs || !slices.Contains(r.Swapped, f.Destination) {
			continue
		}
		if named++; named > mostChangedFiles {
			continue
		}
		if f.NoDiff != "" {
			fmt.Fprintf(&b, "%s  %s\n", f.Destination, sizes(f.OldSize, f.Size))
			continue
		}
		added, removed, lines := changedLines(f.Diff)
		fmt.Fprintf(&b, "%s  +%d -%d\n", f.Destination, added, removed)
		if f.OldSize < 0 { // all of it is new
			continue
		}
		for i, line := range lines {
			if shown++; shown > mostChangedLines {
				fmt.Fprintf(&b, "… %d more lines\n", len(lines)-i)
				break
			}
			b.WriteString(shortened(line) + "\n")
		}
	}
	if named > mostChangedFiles {
		fmt.Fprintf(&b, "… %d more files\n", named-mostChangedFiles)
	}
	return b.String()
}

// sizes returns how the size of a file changed. The old size is negative where there was no file.
func sizes(before, after int64) string {
	if before < 0 {
		return fmt.Sprintf("new, %d bytes", after)
	}
	return fmt.Sprintf("%d → %d bytes", before, after)
}

// changedLines returns the lines of a unified diff that were added and removed, with their signs, and their numbers.
func changedLines(diff string) (added, removed int, lines []string) {
	for line := range strings.Lines(diff) {
		switch line[0] {
		case '+':
			added++
		case '-':
			removed++
		default:
			continue
		}
		lines = append(lines, strings.TrimRight(line, "\r\n"))
	}
	return added, removed, lines
}

func shortened(line string) string {
	if runes := []rune(line); len(runes) > mostChangedWidth {
		return string(runes[:mostChangedWidth-1]) + "…"
	}
	return line
}
