package watch

import (
	"maps"
	"reflect"
	"slices"
	"time"
)

// Figures say what a Source does with what it asks.
type Figures struct {
	Server                            string // what is asked: "" is Consul, else "vault" or "nomad"
	Address                           string // without a password
	Answered, Denied, Refused, Failed uint64 // requests that have ended, by outcome; refused are those of which there were too many
	InFlight                          int    // requests at this moment
	Waiting                           int    // of them, those that wait for a change
	Limit                             int    // of connections
	Bytes                             uint64 // of answers
	LastAnswer                        time.Time
	Behind                            time.Duration // how far the server that answered last was behind the leader
	KnownLeader                       bool          // of the last answer
	Err                               error         // why the last request failed, where others will, too; nil while the source answers
	Since                             time.Time     // when the first such request in a row failed
}

// A Counter is a Source with figures.
type Counter interface{ Figures() []Figures }

// FiguresOf returns the figures of a source, as far as it has any.
func FiguresOf(src Source) []Figures {
	if c, ok := src.(Counter); ok {
		return c.Figures()
	}
	return nil
}

// Figures implements Counter, for each of the sources once.
func (k ByKind) Figures() []Figures {
	var all []Figures
	var seen []Source
	for _, kind := range slices.Sorted(maps.Keys(k)) { // the source of most kinds is the first
		src := k[kind]
		if reflect.TypeOf(src).Comparable() {
			if slices.Contains(seen, src) {
				continue
			}
			seen = append(seen, src)
		}
		all = append(all, FiguresOf(src)...)
	}
	return all
}

// Figures implements Counter.
func (s *Switch) Figures() []Figures {
	s.mu.Lock()
	src := s.side.src
	s.mu.Unlock()
	return FiguresOf(src)
}
