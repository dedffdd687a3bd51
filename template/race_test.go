//go:build race

package template_test

// raceMemory is how many times the memory of a process is needed with the race detector: its own counts, too.
const raceMemory = 16
