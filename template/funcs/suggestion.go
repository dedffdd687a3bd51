package funcs

import "strings"

// maxMisspelt is how long a misspelt name can be. A longer one is a value that was taken for a name.
const maxMisspelt = 100

// Suggestion returns the hint "did you mean NAME?" where a name is close to a misspelt one, else "".
func Suggestion(name string, known []string) string {
	if len(name) > maxMisspelt {
		return ""
	}
	best, least := "", 1+len(name)/3
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least || d == least && best == "" {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance is the number of letters to insert, delete, change, or swap with the next one, to make a from b.
func distance(a, b string) int {
	d := make([][]int, len(a)+1) // of the beginnings of both
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := range len(a) {
		for j := range len(b) {
			change := d[i][j]
			if a[i] != b[j] {
				change++
			}
			d[i+1][j+1] = min(change, d[i][j+1]+1, d[i+1][j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d[i+1][j+1] = min(d[i+1][j+1], d[i-1][j-1]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
