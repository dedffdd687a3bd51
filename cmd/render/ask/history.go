package ask

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"render/render/commit"
	"render/render/history"
)

// mostNamed is how many files and causes a line has.
const mostNamed = 2

// PrintHistory prints a line for each commit, the newest first.
func PrintHistory(w io.Writer, commits []*history.Commit) error {
	if len(commits) == 0 {
		_, err := fmt.Fprintln(w, "render has changed no file and run no command since it started")
		return err
	}
	var all table
	all.add("ENDED", "RESULT", "TOOK", "FILES", "BECAUSE")
	for _, c := range commits {
		var files, causes []string
		for _, f := range c.Files {
			files = append(files, f.Path)
		}
		for _, cause := range c.Because {
			causes = append(causes, cause.Text)
		}
		if len(files) == 0 {
			files = []string{"(" + c.ActionName + ")"}
		}
		result := string(c.Result)
		if c.Attempt > 1 {
			result += fmt.Sprintf(", attempt %d", c.Attempt)
		}
		all.add(c.Ended.Local().Format("2006-01-02 15:04:05"), result, seconds(c.Seconds),
			commit.Summary(files, mostNamed, ", "), commit.Summary(causes, mostNamed, "; "))
		if c.Error != "" {
			first, _, _ := strings.Cut(c.Error, "\n")
			all.note("    " + first)
		}
	}
	return all.print(w)
}

// Of returns the commits that changed a file, or tried to: by any of its paths.
func Of(commits []*history.Commit, paths ...string) (all []*history.Commit) {
	for _, c := range commits {
		for _, f := range c.Files {
			if slices.Contains(paths, f.Path) {
				all = append(all, c)
				break
			}
		}
	}
	return all
}
