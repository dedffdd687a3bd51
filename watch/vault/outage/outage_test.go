package outage

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// From the third failure on one request at a time is made, and the others fail with its error; all are made, over some time, once one is
// answered.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o Outage
		away := errors.New("away")
		for range begins {
			if probe, err := o.Pass(t.Context()); probe != nil || err != nil || o.Lasts() || o.Ends() != nil {
				t.Fatalf("before the outage: %v, %v", probe, err)
			}
			o.Failed(away)
		}
		began, probes, failed := time.Now(), 0, 0
		for range 60 {
			probe, err := o.Pass(t.Context())
			switch {
			case probe != nil:
				probes++
				o.Failed(away)
				probe.End()
			case errors.Is(err, away):
				failed++
			default:
				t.Fatalf("during the outage: %v", err)
			}
		}
		if took := time.Since(began); probes != 60 || failed != 0 || took < 25*time.Second || took > time.Minute {
			t.Errorf("%d probes and %d failures in %s", probes, failed, took)
		}
		first, _ := o.Pass(t.Context())
		began = time.Now()
		if probe, err := o.Pass(t.Context()); probe != nil || !errors.Is(err, away) || time.Since(began) != hold {
			t.Errorf("beside the probe: %v, %v after %s", probe, err, time.Since(began))
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := o.Pass(done); !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}

		ends := o.Ends()
		o.Succeeded(1000)
		first.End()
		<-ends
		began = time.Now()
		most := time.Duration(0)
		for range 50 {
			at := time.Now()
			if probe, err := o.Pass(t.Context()); probe != nil || err != nil || o.Lasts() {
				t.Fatalf("after the outage: %v, %v", probe, err)
			}
			most = max(most, time.Since(at))
		}
		if most == 0 || most > spreadMost || time.Since(began) < spreadMost/2 {
			t.Errorf("requests wait for %s at most, %s in all", most, time.Since(began))
		}
	})
}
