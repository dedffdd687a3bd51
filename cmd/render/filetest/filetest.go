// Package filetest has what tests of several packages do with files, and how they wait.
package filetest

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// Patience is how long Awaits waits: much longer than anything takes on a busy machine.
const Patience = 30 * time.Second

// Within waits until a condition holds, and returns its last error where it does not hold within the limit.
func Within(limit time.Duration, condition func() error) error {
	end := time.After(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-end:
			return fmt.Errorf("not within %s: %w", limit, err)
		}
	}
}

// Awaits fails the test where a condition does not hold within Patience.
func Awaits(t testing.TB, condition func() error) {
	t.Helper()
	Check(t, Within(Patience, condition))
}

// Contains returns the condition that a file has exactly these contents.
func Contains(path, contents string) func() error {
	return func() error {
		b, err := os.ReadFile(path)
		if err == nil && string(b) != contents {
			err = fmt.Errorf("%s has %.200q, not %.200q", path, b, contents)
		}
		return err
	}
}

// Write writes a file.
func Write(t testing.TB, path, contents string) {
	t.Helper()
	Check(t, os.WriteFile(path, []byte(contents), 0o644))
}

// Names returns the names in a folder, without one of them; "" for none.
func Names(t testing.TB, dir, without string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	Check(t, err)
	for _, e := range entries {
		if e.Name() != without {
			names = append(names, e.Name())
		}
	}
	return names
}

// Check fails the test on an error.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
