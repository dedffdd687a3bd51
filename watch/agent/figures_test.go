package agent

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"render/watch"
)

// Each request that has ended is counted by its outcome; one that was given up is not.
func TestFigures(t *testing.T) {
	a, err := New(consulAPI, Config{Address: "user:password@consul.example:8500"}, Config{}.Transport.Dial, func() {})
	if err != nil {
		t.Fatal(err)
	}
	outage := watch.OutageError{Err: errors.New("away")}
	for _, err := range []error{nil, nil, nil, DeniedError{errors.New("no")}, fmt.Errorf("at x: %w", RefusedError{errors.New("429")}), errors.New("bad filter"), outage, outage, errCut} {
		end := a.figures.begin(true)
		if f := a.Figures(); f.InFlight != 1 || f.Waiting != 1 {
			t.Errorf("under way: %+v", f)
		}
		end(err, false)
	}
	a.figures.begin(false)(errors.New("given up"), true)
	reading := a.figures.begin(false)
	h := make(http.Header)
	h.Set("X-Consul-LastContact", "1500")
	h.Set("X-Consul-KnownLeader", "true")
	a.figures.note(consulAPI, h)

	f := a.Figures()
	if f.Answered != 3 || f.Denied != 1 || f.Refused != 1 || f.Failed != 3 || f.InFlight != 1 || f.Waiting != 0 {
		t.Errorf("outcomes: %+v", f)
	}
	if f.Behind != 1500*time.Millisecond || !f.KnownLeader || time.Since(f.LastAnswer) > time.Minute || !errors.Is(f.Err, outage.Err) || f.Since.IsZero() || f.Limit == 0 {
		t.Errorf("state: %+v", f)
	}
	if reading(nil, false); a.Figures().Err != nil || !a.Figures().Since.IsZero() {
		t.Errorf("after an answer: %+v", a.Figures())
	}
}
