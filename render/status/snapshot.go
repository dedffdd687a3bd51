package status

import (
	"fmt"
	"strings"
	"time"
)

// A Snapshot is the state of an engine at one moment, as JSON shows it. Many readers share it: neither it nor what its pointers lead to
// may be changed.
//
// The API answers /api/v1/status with its Overview, and the lists with a [Targets], an [Actions] and a [Queries].
type Snapshot struct {
	Overview
	Targets []*Target `json:"targets"` // in the order of the configuration
	Actions []*Action `json:"actions"` // in the order of the configuration
	Queries []*Query  `json:"queries"` // sorted by their text
}

// An Overview is a snapshot without its lists.
type Overview struct {
	Sequence      uint64        `json:"sequence"`             // of the last change that is in it, see history.Feed; equal numbers stand for equal states, but for Time and Connections
	Time          time.Time     `json:"time"`                 // when it was taken
	Started       time.Time     `json:"started"`              // when the engine was
	Ready         time.Time     `json:"ready_since,omitzero"` // when every target was applied at least once, and the program was started; zero for not yet
	Line          string        `json:"line"`                 // the state in one line
	Counts        Counts        `json:"counts"`
	Configuration Configuration `json:"configuration"`
	Program       *Program      `json:"program,omitempty"` // nil where none is supervised
	Connections   []Connection  `json:"connections"`       // to Consul
	Missed        uint64        `json:"missed"`            // changes that only a plain read beside the waiting requests has found; should be 0
}

// Targets are the targets of a snapshot, with its number.
type Targets struct {
	Sequence uint64    `json:"sequence"`
	Targets  []*Target `json:"targets"`
}

// Actions are the actions of a snapshot, with its number.
type Actions struct {
	Sequence uint64    `json:"sequence"`
	Actions  []*Action `json:"actions"`
}

// Queries are the queries of a snapshot, with its number.
type Queries struct {
	Sequence uint64   `json:"sequence"`
	Queries  []*Query `json:"queries"`
}

// Counts are the sums of a snapshot.
type Counts struct {
	Targets map[State]int       `json:"targets"` // by state; each state has an entry
	Actions map[ActionState]int `json:"actions"`
	Queries map[QueryState]int  `json:"queries"`
	Failing int                 `json:"failing"` // queries whose last attempt failed, also those with an answer
	Held    int                 `json:"held"`    // answers that guards hold back, for each target
	// Unapplied is when the oldest change came that is not applied; zero where everything is applied.
	Unapplied time.Time `json:"unapplied_since,omitzero"`
	// Applied says that every target was applied at least once since the engine started.
	Applied bool `json:"applied_once"`
}

// A Target is the state of one target.
type Target struct {
	ID          string    `json:"id"` // safe in URLs; it stays the same while the destination does
	Source      string    `json:"source"`
	Destination string    `json:"destination"`
	Path        string    `json:"path"`   // where the links of the destination lead
	Action      string    `json:"action"` // the ID of its action
	State       State     `json:"state"`
	Since       time.Time `json:"since"`                    // when it came into this state
	Error       string    `json:"error,omitempty"`          // why it failed
	Stale       string    `json:"stale_error,omitempty"`    // why a newer text of its template is not in use
	Passes      int       `json:"passes"`                   // executions of its template that have ended
	LastPass    time.Time `json:"last_pass,omitzero"`       // when the last one ended
	PassSeconds float64   `json:"last_pass_seconds"`        // what it took
	Executing   time.Time `json:"executing_since,omitzero"` // since when its template has been executing, where that takes long
	LastChange  time.Time `json:"last_change,omitzero"`     // when its file was last written
	Bytes       int64     `json:"bytes"`                    // of its file, as the last finished pass wants it
	AppliedOnce bool      `json:"applied_once"`             // its file was applied at least once since it was configured, or render started
	Drifted     bool      `json:"drifted"`                  // another program has changed its file since
	Waiting     []Wait    `json:"waiting"`                  // what keeps it from finishing
	Held        []Hold    `json:"held"`                     // what guards hold back from it
	Queries     []Use     `json:"queries"`                  // what its template uses, the first 1,000; in the order of the template where its last pass ran to its end
	Total       int       `json:"queries_total"`            // that its template uses
}

// A Use is a query that a target's template uses.
type Use struct {
	Query string `json:"query"`           // the ID of the query
	Text  string `json:"text"`            // the query as this target shows it
	Where string `json:"where,omitempty"` // name:line:column of the place that asks first
}

// A Wait is a query without which a target cannot finish.
type Wait struct {
	Query  string     `json:"query"` // the ID of the query
	Text   string     `json:"text"`
	Kind   string     `json:"kind"`
	Where  string     `json:"where,omitempty"`
	Reason QueryState `json:"reason"` // pending, absent or failed
	Error  string     `json:"error,omitempty"`
}

// A Hold is an answer that a guard holds back from a target.
type Hold struct {
	Query  string    `json:"query"` // the ID of the query
	Text   string    `json:"text"`
	Where  string    `json:"where,omitempty"`
	First  bool      `json:"first"`  // the target has seen no other answer, and waits
	Before int       `json:"before"` // instances that the target sees
	After  int       `json:"after"`  // instances of the answer
	Guard  string    `json:"guard"`  // with its defaults applied, as the command line has it
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"` // when the guard ends the hold, or decides to go on with it
}

// An ActionState says what an action is about.
type ActionState string

// The states of an action.
const (
	InSync     ActionState = "in_sync"    // everything is applied
	Waiting    ActionState = "waiting"    // for targets that cannot finish, or for its spacing
	Committing ActionState = "committing" // a commit is in flight
	Retrying   ActionState = "retrying"   // the last commit failed, and another one follows
)

// An Action is the state of one action.
type Action struct {
	ID        string      `json:"id"`   // safe in URLs; it stays the same while the name, the command or the one target does. That of a command has its program only
	Name      string      `json:"name"` // or its command, or its one target's destination
	Kind      string      `json:"kind"` // named, command (of a target's command), or target (of one target without a command)
	Check     string      `json:"check,omitempty"`
	Command   string      `json:"command,omitempty"` // command and signal, as configured
	Verify    string      `json:"verify,omitempty"`
	Atomic    bool        `json:"atomic"`
	State     ActionState `json:"state"`
	Since     time.Time   `json:"since"`                    // when it came into this state
	Unapplied time.Time   `json:"unapplied_since,omitzero"` // when the oldest change came that is not applied; zero where it is in sync
	Succeeded time.Time   `json:"last_success,omitzero"`    // when a commit last succeeded
	Commits   int         `json:"commits"`
	Runs      int         `json:"runs"`     // of the command
	Failures  int         `json:"failures"` // since the last success
	Retry     time.Time   `json:"next_try,omitzero"`
	Error     string      `json:"error,omitempty"` // of the last commit
	LastRun   *Run        `json:"last_run,omitempty"`
	Targets   []string    `json:"targets"` // the IDs of its targets
}

// A Run is the last commit of an action that ran its command, or what stands for it.
type Run struct {
	Commit  uint64    `json:"commit"` // its number in the history
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"` // of the whole commit
	Result  string    `json:"result"`  // as in history.Commit
	Output  string    `json:"output"`  // the end of what the command printed, at most 4 KiB
	Files   []string  `json:"files"`   // paths that the commit changed, at most 10
	Total   int       `json:"files_total"`
}

// A QueryState says whether a query has an answer.
type QueryState string

// The states of a query.
const (
	QueryPending  QueryState = "pending"  // has not answered yet
	QueryAnswered QueryState = "answered" // has an answer, also where the last attempt failed
	QueryAbsent   QueryState = "absent"   // was answered: what it names does not exist
	QueryFailed   QueryState = "failed"   // has no answer, and its last attempt failed
)

// A Query is the state of one query.
type Query struct {
	ID         string     `json:"id"` // safe in URLs; it stays the same while the query does, in one run of render
	Text       string     `json:"text"`
	Kind       string     `json:"kind"`
	State      QueryState `json:"state"`
	Since      time.Time  `json:"since,omitzero"` // when its answer arrived or, with an error, when the attempts began to fail
	Answer     string     `json:"answer"`         // the answer in short, as "4 instances"; never a value
	LastChange time.Time  `json:"last_change,omitzero"`
	Expires    time.Time  `json:"expires,omitzero"` // when its answer ends by itself, as a lease or a certificate; from then on it is failed
	Change     string     `json:"change,omitempty"` // how the answer last changed: "3 → 4 instances", "appeared", "changed"; never a value
	Changes    uint64     `json:"changes"`          // answers that differed, from 1 with the first
	Error      string     `json:"error,omitempty"`  // of the last attempt; its last good answer stays in use
	Failures   int        `json:"failures"`         // attempts that failed in a row
	Targets    []string   `json:"targets"`          // the IDs of the targets that use it, in the order of the configuration; not of those that have it beyond the first 1,000
}

// Configuration says which configuration is in effect.
type Configuration struct {
	Version  int       `json:"version"`                     // counts the configurations that were in effect, from 1
	Loaded   time.Time `json:"loaded"`                      // when it came into effect
	Accepted int       `json:"reloads_accepted"`            // since the start
	Rejected int       `json:"reloads_rejected"`            // since the start
	Reload   time.Time `json:"last_reload,omitzero"`        // when the last reload ended
	Error    string    `json:"last_reload_error,omitempty"` // why the last reload was rejected; empty where the newest configuration is in effect
}

// Program is the state of the supervised program.
type Program struct {
	Command string `json:"command"`
	Waits   bool   `json:"waits"` // it is not started, because not everything is rendered yet that it needs
}

// A Connection is what is known of the connection to one Consul.
type Connection struct {
	Server      string            `json:"server"` // that is asked: consul, vault or nomad
	Address     string            `json:"address"`
	Reachable   bool              `json:"reachable"`       // the server has answered, and the last request did not fail as others will, too
	Since       time.Time         `json:"since,omitzero"`  // when the outage began; zero where it is reachable
	Error       string            `json:"error,omitempty"` // of the outage
	Requests    map[string]uint64 `json:"requests"`        // that have ended, by outcome: ok, denied, refused (there were too many), failed
	InFlight    int               `json:"in_flight"`       // requests at this moment
	Waiting     int               `json:"waiting"`         // of them, those that wait for a change
	Limit       int               `json:"max_connections"` // that render opens at a time
	LastAnswer  time.Time         `json:"last_answer,omitzero"`
	Behind      float64           `json:"staleness_seconds"` // how far the server that answered last was behind the leader
	KnownLeader bool              `json:"known_leader"`      // of the last answer
	Bytes       uint64            `json:"bytes"`             // of answers
}

// LineOf returns the state of a snapshot in one line: that all is applied, or what is not.
func LineOf(c Counts, config Configuration, program *Program) string {
	total := 0
	for _, n := range c.Targets {
		total += n
	}
	var parts []string
	for _, p := range []struct {
		n         int
		one, many string
	}{
		{c.Targets[Failed], "failed", "failed"}, {c.Targets[Absent], "needs data that does not exist", "need data that does not exist"},
		{c.Targets[Pending], "waiting for data", "waiting for data"}, {c.Targets[Rendered], "not applied yet", "not applied yet"},
	} {
		switch {
		case p.n == 0:
		case len(parts) == 0:
			parts = append(parts, fmt.Sprintf("%d of %d files %s", p.n, total, p.many))
		default: // the number of all files is said
			parts = append(parts, counted(p.n, p.one, p.many))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, allApplied(total))
	}
	if c.Held > 0 {
		parts = append(parts, counted(c.Held, "answer")+" held back by guards")
	}
	if c.Failing > 0 {
		parts = append(parts, counted(c.Failing, "failing query", "failing queries"))
	}
	if program != nil && program.Waits {
		parts = append(parts, "the program is not started")
	}
	if config.Error != "" {
		parts = append(parts, "the newest configuration is rejected")
	}
	return strings.Join(parts, ", ")
}

func allApplied(total int) string {
	switch total {
	case 0:
		return "no templates"
	case 1:
		return "the file is applied"
	}
	return fmt.Sprintf("all %d files are applied", total)
}

// counted returns a number with its noun, in the plural where it has to be.
func counted(n int, one string, many ...string) string {
	noun := one
	if n != 1 {
		noun = one + "s"
		if len(many) > 0 {
			noun = many[0]
		}
	}
	return fmt.Sprintf("%d %s", n, noun)
}
