package ask

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A table has rows of cells, and notes below each row.
type table struct{ rows []row }

type row struct{ cells, notes []string }

func (t *table) add(cells ...string) { t.rows = append(t.rows, row{cells: cells}) }

// note adds a line below the last row.
func (t *table) note(text string) {
	last := &t.rows[len(t.rows)-1]
	last.notes = append(last.notes, text)
}

// print prints the table, with its columns aligned.
func (t *table) print(w io.Writer) error {
	var widths []int
	for _, r := range t.rows {
		for i, cell := range r.cells[:len(r.cells)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, r := range t.rows {
		var b strings.Builder
		for i, cell := range r.cells {
			b.WriteString(cell)
			if i < len(r.cells)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		for _, text := range append([]string{strings.TrimRight(b.String(), " ")}, r.notes...) {
			if _, err := fmt.Fprintln(w, text); err != nil {
				return err
			}
		}
	}
	return nil
}
