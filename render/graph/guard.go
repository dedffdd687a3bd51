package graph

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"render/watch/hint"
)

// DefaultHold is how long a Guard holds an answer back.
const DefaultHold = 5 * time.Minute

// A Guard holds back answers with too few instances, to queries of the kinds watch.KindService and watch.KindConnect, for
// each query of each user. The user goes on seeing the instances that it has seen; where the first answer is held
// back it waits as if there were none. The first answer that is not in violation ends this at once. The zero value lets
// everything through.
//
// Only a loss is a violation, or a first answer below Min: an answer with as many instances as the user sees is let
// through, however few they are. Instances are counted: those that others replace are not lost, as in a deployment that
// replaces all of them. A loss at once is that from what the user sees to one answer: many small ones are for Min.
type Guard struct {
	Min     int           // an answer with fewer instances is in violation
	MaxDrop float64       // greatest part of the instances that may be lost at once, from 0 to 1; 0 means any part
	Hold    time.Duration // how long the violation has to last for Then; 0 means DefaultHold
	Then    GuardThen     // what comes of an answer that has been held back for Hold; "" means Keep
}

// A GuardThen says what comes of an answer that a Guard has held back for long.
type GuardThen string

// What comes of an answer that has been held back for long. With the rules of a single run (once of NewRules), Keep
// does what Fail does.
const (
	Keep   GuardThen = "keep"   // it is held back for as long as the violation lasts
	Accept GuardThen = "accept" // it is let through
	Fail   GuardThen = "fail"   // the user has failed until an answer is let through
)

// String returns the guard as the command line has it: "min=2,max_drop=50%,hold=5m0s,then=keep".
func (g Guard) String() string {
	var parts []string
	if g.Min != 0 {
		parts = append(parts, fmt.Sprintf("min=%d", g.Min))
	}
	if g.MaxDrop != 0 {
		parts = append(parts, fmt.Sprintf("max_drop=%.10g%%", 100*g.MaxDrop))
	}
	return strings.Join(append(parts, fmt.Sprintf("hold=%s,then=%s", cmp.Or(g.Hold, DefaultHold), cmp.Or(g.Then, Keep))), ",")
}

// Faults returns all that is wrong with the guard; nil where nothing is.
func (g Guard) Faults() []error {
	var errs []error
	if g.Min < 0 {
		errs = append(errs, fmt.Errorf("guard: the minimum %d is negative", g.Min))
	}
	if !(g.MaxDrop >= 0 && g.MaxDrop <= 1) { // nor NaN
		errs = append(errs, fmt.Errorf("guard: the maximum drop %g is not between 0 and 1 (100%%)", g.MaxDrop))
	}
	if g.Hold < 0 {
		errs = append(errs, fmt.Errorf("guard: the hold %s is negative", g.Hold))
	}
	if !slices.Contains([]GuardThen{"", Keep, Accept, Fail}, g.Then) {
		errs = append(errs, fmt.Errorf("guard: then: %q is not one of %s, %s, %s", g.Then, Keep, Accept, Fail))
	}
	if g != (Guard{}) && g.Min == 0 && g.MaxDrop == 0 {
		errs = append(errs, hint.With(errors.New("guard: a guard without min and max_drop accepts every change"), "set min or max_drop"))
	}
	return errs
}
