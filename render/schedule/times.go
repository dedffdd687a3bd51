package schedule

import "time"

// Earliest returns the earliest of some times, where the zero time stands for never.
func Earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// Latest returns the latest of some times; the zero time comes before all others.
func Latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if last.Before(t) {
			last = t
		}
	}
	return last
}
