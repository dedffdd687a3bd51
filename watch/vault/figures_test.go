package vault

import (
	"net/http"
	"testing"
	"time"

	"render/watch"
)

// Figures count requests by their outcome. There are none before Vault is asked.
func TestFigures(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		if all := watch.FiguresOf(s); len(all) != 0 {
			t.Errorf("before any request: %+v", all)
		}
		f.values["kv1/app"] = "v"
		f.refuses["kv1/denied"], f.refuses["kv1/limited"], f.refuses["kv1/failing"] = http.StatusForbidden, http.StatusTooManyRequests, http.StatusBadRequest
		fl.watch(query(t, "kv1/app"))
		fl.pass(time.Millisecond)
		// The mount, the token and the secret.
		got := watch.FiguresOf(s)[0]
		if got.Address != "http://vault.invalid" || got.Answered != 3 || got.Limit != DefaultMaxConnections || got.InFlight != 0 || got.Bytes == 0 || !got.KnownLeader || !got.LastAnswer.Equal(time.Now().Add(-time.Millisecond)) {
			t.Errorf("got %+v", got)
		}
		for _, path := range []string{"kv1/denied", "kv1/limited", "kv1/failing"} {
			fl.watch(query(t, path))
			fl.pass(100 * time.Millisecond)
		}
		if got = watch.FiguresOf(s)[0]; got.Denied == 0 || got.Refused == 0 || got.Failed == 0 || got.Err != nil {
			t.Errorf("got %+v", got)
		}

		began := time.Now()
		f.do(func() { f.down = true })
		fl.pass(10 * time.Minute)
		got = watch.FiguresOf(s)[0]
		if got.Err == nil || got.Since.Before(began) || got.Since.After(began.Add(time.Minute)) || got.LastAnswer.After(began.Add(time.Minute)) {
			t.Errorf("while Vault is away: %+v", got)
		}
		f.do(func() { f.down, f.slow = false, time.Minute/2 })
		fl.pass(5 * time.Second)
		if got = watch.FiguresOf(s)[0]; got.InFlight == 0 || got.Err == nil {
			t.Errorf("while requests are under way: %+v", got)
		}
		fl.pass(2 * time.Minute)
		if got = watch.FiguresOf(s)[0]; got.Err != nil || !got.Since.IsZero() {
			t.Errorf("when Vault is back: %+v", got)
		}
	})
}
