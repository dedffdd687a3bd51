package render

// A Drift says what becomes of a destination that somebody else has changed or removed.
type Drift string

// What becomes of such a destination; "" means WarnDrift.
const (
	WarnDrift   Drift = "warn"   // it is logged
	RepairDrift Drift = "repair" // it is written again, and the action runs
	IgnoreDrift Drift = "ignore"
)
