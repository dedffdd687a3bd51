// Package history keeps the last commits of an engine in memory: what changed, because of what, and what became of it. Its values are
// JSON as the API and the commands show them.
//
// A [Log] has at most [MaxCommits] commits and [MaxBytes] bytes. A [Feed] notifies subscribers that something has changed. Both may be
// used by many goroutines at once, and no reader holds up the one that writes.
package history

import "time"

// Commits are the answer of the API at /api/v1/history: the newest first. The parameters file (a path), target and action (IDs) choose
// among them, and limit says how many there are at most.
type Commits struct {
	Sequence uint64    `json:"sequence"` // of the snapshot that they belong to
	Commits  []*Commit `json:"commits"`
}

// A Change is the data of an event of the API at /api/v1/events, which are server-sent events named "change": something has changed.
type Change struct {
	Sequence uint64 `json:"sequence"` // a snapshot with this number, or a greater one, has what has changed
}

// A Commit is the record of one commit. Many readers share it: it must not be changed.
type Commit struct {
	Number     uint64    `json:"number"` // counts the commits since the start, from 1
	Began      time.Time `json:"began"`
	Ended      time.Time `json:"ended"`
	Seconds    float64   `json:"seconds"`
	Action     string    `json:"action"`      // the ID of the action, as in status.Action
	ActionName string    `json:"action_name"` // its name, its command, or its one target's destination
	ActionKind string    `json:"action_kind"` // as in status.Action
	Because    []Cause   `json:"because"`     // of all files; at most 20
	Result     Result    `json:"result"`
	Attempt    int       `json:"attempt"`           // 1, or more where earlier commits of the action have failed
	Error      string    `json:"error,omitempty"`   // why it failed
	Retry      time.Time `json:"next_try,omitzero"` // when the action is tried again
	Files      []File    `json:"files"`             // that were changed, or that failed
	Steps      []Step    `json:"steps"`             // what ran, in order
	Output     string    `json:"output,omitempty"`  // the end of what the command printed, at most 16 KiB
	Warnings   []string  `json:"warnings,omitempty"`
	Shortened  bool      `json:"shortened,omitempty"` // diffs, outputs and errors were dropped to save memory
}

// A Result is what became of a commit.
type Result string

// The results of a commit.
const (
	Applied     Result = "applied"     // the files are in place, and the action has succeeded
	Partial     Result = "partial"     // some files are applied; the others failed, and the previous ones stay
	Rejected    Result = "rejected"    // a check rejected the files, or they could not be written: the previous ones stay
	Undone      Result = "undone"      // the command or the verification failed, and the previous files are back
	Failed      Result = "failed"      // the command or the verification failed, and the new files stay, or nothing could be undone
	Interrupted Result = "interrupted" // render was stopped; the next start repeats the commit
	Nothing     Result = "nothing"     // the files were up to date already, and nothing had to run
)

// A Cause is why something was committed.
type Cause struct {
	Kind  CauseKind `json:"kind"`
	Text  string    `json:"text"`            // for people: "service web: 3 → 4 instances"; never the value of a key
	Query string    `json:"query,omitempty"` // the ID of the query, as in status.Query of the same run of render
}

// A CauseKind says what a cause is.
type CauseKind string

// The kinds of causes.
const (
	OfQuery         CauseKind = "query"         // the answer to a query has changed
	OfConfiguration CauseKind = "configuration" // the settings of the target have changed
	OfTemplate      CauseKind = "template"      // the text of the template has changed
	OfDrift         CauseKind = "drift"         // another program has changed the file
	OfDebt          CauseKind = "debt"          // an earlier run of render did not finish the action
	OfRetry         CauseKind = "retry"         // an earlier attempt failed
	OfFirst         CauseKind = "first"         // it is the first render
	OfNewQueries    CauseKind = "new_queries"   // queries that are new in the template have answered
)

// A File is what a commit did to one file.
type File struct {
	Path    string     `json:"path"`
	Target  string     `json:"target"`            // the ID of the target, as in status.Target
	Source  string     `json:"source"`            // the template
	Because []Cause    `json:"because"`           // of this file's target
	Result  FileResult `json:"result"`            // what became of it
	Error   string     `json:"error,omitempty"`   // why it failed
	OldSize int64      `json:"old_size"`          // in bytes; -1 where there was no file
	Size    int64      `json:"size"`              // in bytes
	Diff    string     `json:"diff,omitempty"`    // a unified diff of at most 64 KiB
	NoDiff  string     `json:"no_diff,omitempty"` // why there is no diff: private, secret, binary, large, dropped
}

// A FileResult is what became of a file.
type FileResult string

// What became of a file.
const (
	Written   FileResult = "written"   // it has new contents
	Appended  FileResult = "appended"  // contents were added to it
	Unchanged FileResult = "unchanged" // it had the wanted contents already, and the action ran for it
	Kept      FileResult = "kept"      // the previous contents stay, or are back
)

// A Step is something that a commit ran.
type Step struct {
	Kind    string  `json:"kind"` // check, command, signal, notify or verify
	Text    string  `json:"text"` // as configured
	Seconds float64 `json:"seconds"`
	Runs    int     `json:"runs"`            // how often it ran, as a check for each file
	Error   string  `json:"error,omitempty"` // of the last run that failed
}
