package metrics

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"render/render/history"
)

const (
	// MaxActions is how many actions have a label of their own. The others share one, [Others].
	MaxActions = 1000
	// Others is the label of the actions beyond the first [MaxActions].
	Others = "other actions"

	mostLabel = 100 // bytes of a label, without the sum of what was cut
)

// actions are the labels of actions and what is counted of them.
type actions struct {
	byID   map[string]*counts // those with a label of their own
	labels map[string]bool    // in use
	others counts
}

// counts is what is counted of the actions of one label.
type counts struct {
	label   string
	results map[history.Result]uint64
	used    time.Time // when the last commit ended
}

func newActions() actions {
	return actions{
		byID: make(map[string]*counts), labels: map[string]bool{Others: true},
		others: counts{label: Others, results: make(map[history.Result]uint64)},
	}
}

// of returns the counts of an action: its own, those of a new label while there is room for one, or those of the others.
func (a *actions) of(id, kind, name string) *counts {
	if c := a.byID[id]; c != nil {
		return c
	}
	if len(a.byID) == MaxActions {
		return &a.others
	}
	if kind == "command" { // its text is in no metric
		name = id
	}
	label := clean(name)
	if a.labels[label] { // of another action with the same name, as of a command
		label = clean(name + " " + id)
	}
	if a.labels[label] {
		label = id
	}
	c := &counts{label: label, results: make(map[history.Result]uint64)}
	a.byID[id], a.labels[label] = c, true
	return c
}

// count counts a commit.
func (a *actions) count(c *history.Commit) {
	n := a.of(c.Action, c.ActionKind, c.ActionName)
	n.results[c.Result]++
	n.used = c.Ended
}

// forget forgets the actions that a snapshot of some time does not have, and that nobody committed since.
func (a *actions) forget(has map[string]bool, at time.Time) {
	for id, c := range a.byID {
		if !has[id] && !c.used.After(at) {
			delete(a.byID, id)
			delete(a.labels, c.label)
		}
	}
}

// clean returns a text as a label: of printable characters in the order in which they are read, and not long. A text that was changed ends with
// a checksum, so that labels of different texts differ.
func clean(text string) string {
	var b strings.Builder
	for _, r := range text {
		if b.Len() >= mostLabel {
			break
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) { // marks of the direction are not printable, either
			r = '?'
		}
		b.WriteRune(r)
	}
	if b.String() == text {
		return text
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(text))
	return fmt.Sprintf("%s… %08x", strings.TrimRight(b.String(), " "), sum.Sum32())
}
