package agent

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// inBubble runs a test where time stands still until everybody waits. It takes but one processor: on several, the race
// detector is brought down by timers of a bubble that end at the same time (golang/go#78156).
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	runtime.GOMAXPROCS(1)
	synctest.Test(t, test)
}
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
