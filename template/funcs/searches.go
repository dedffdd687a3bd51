package funcs

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"render/watch/hint"
)

// Searches are the searches of regular expressions that take long, of all templates that share them. Package regexp cannot be
// interrupted: a search goes on when its execution has been stopped, so that only a bound keeps their number small. The zero
// value is ready for use.
type Searches struct {
	mu    sync.Mutex
	n     int // that are under way
	bytes int // of their texts
}

const (
	maxSearches = 8
	maxSearched = 32 << 20 // bytes of the texts of all searches, unless there is only one

	searchCheck = 10 * time.Millisecond // how often a search looks whether the execution is to end
)

// begin reports whether there is room for a search with texts of some bytes. If so, end must follow.
func (s *Searches) begin(bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n > 0 && (s.n >= maxSearches || s.bytes+bytes > maxSearched) {
		return false
	}
	s.n++
	s.bytes += bytes
	return true
}

func (s *Searches) end(bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n--
	s.bytes -= bytes
}

// SearchHint is what to do about searches that take too long.
const SearchHint = "shorten the texts that regular expressions search"

// aside returns what a search with texts of some bytes returns, which runs in a goroutine of its own. Where the execution is to end
// first, it returns an error, and the search is left behind: it is to end soon after stopped returns true, if it can. The next
// search of the template waits for it.
func aside[T any](e *Env, bytes int, search func(stopped func() bool) T) (result T, err error) {
	check := time.NewTicker(searchCheck)
	defer check.Stop()
	for e.searching.Load() || !e.Searches.begin(bytes) {
		<-check.C
		if err := e.Stopped(); err != nil {
			why := fmt.Errorf("other searches of regular expressions take long: %w", err)
			if e.searching.Load() {
				why = fmt.Errorf("an earlier search of a regular expression takes long: %w", err)
			}
			return result, hint.With(why, SearchHint)
		}
	}

	type outcome struct {
		result T
		panic  any
	}
	var stop atomic.Bool
	ended := make(chan outcome, 1)
	e.searching.Store(true)
	go func() {
		var o outcome
		defer func() {
			o.panic = recover()
			e.Searches.end(bytes)
			e.searching.Store(false)
			ended <- o
		}()
		o.result = search(stop.Load)
	}()
	for {
		select {
		case o := <-ended:
			if o.panic != nil {
				panic(o.panic)
			}
			return o.result, nil
		case <-check.C:
			if err := e.Stopped(); err != nil {
				stop.Store(true)
				return result, err
			}
		}
	}
}
