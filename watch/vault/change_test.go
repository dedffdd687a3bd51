package vault

import (
	"net/http"
	"testing"
	"time"
)

// Settings of when and how often Vault is asked change without another source: leases stay, and values are read anew. Any other setting needs
// another source.
func TestChange(t *testing.T) {
	noEnv := func(string) string { return "" }
	simulate(t, Config{LeaseDuration: 24 * time.Hour}, func(f *fake, s *Source, fl *follower) {
		f.longest = 24 * time.Hour
		f.values["secret/data/app"] = "one"
		leased, key, written := query(t, db), query(t, "secret/app"), writing(t, "kv1/written", "value=1")
		fl.watch(leased, key, written)
		fl.pass(time.Minute)
		first := fl.password(leased)
		f.do(func() { f.values["secret/data/app"] = "two" })

		next := *s.cfg.Load()
		next.LeaseDuration, next.Polls, next.MaxConnections, next.RateLimit, next.RateBurst = time.Minute, []Poll{{Every: 10 * time.Second}}, 2, 100, 7
		next.Timeout, next.Threshold, next.RevokeOnStop, next.Backoff, next.MaxBackoff = time.Second, 0.5, true, time.Second, time.Hour
		next.Log = nil
		filled, ok := s.changed(next.fill(noEnv, ""))
		if !ok {
			t.Fatal("another source is needed")
		}
		s.change(filled)
		fl.pass(100 * time.Millisecond)
		if got := valueOf(fl.states[key].Value); got != "two" {
			t.Errorf("the value is %q", got)
		}
		f.do(func() { f.values["secret/data/app"] = "three" })
		fl.pass(11 * time.Second)
		if got := valueOf(fl.states[key].Value); got != "three" {
			t.Errorf("after the time of a poll the value is %q", got)
		}
		if fl.password(leased) != first || f.number(&f.made) != 1 || f.count("PUT kv1/written") != 1 {
			t.Errorf("a change of settings has leased or written: %s", f.requests())
		}
		if got := s.Figures()[0].Limit; got != 2 {
			t.Errorf("the limit is %d", got)
		}

		for name, change := range map[string]func(c *Config){
			"address":   func(c *Config) { c.Address = "http://other.invalid" },
			"namespace": func(c *Config) { c.Namespace = "team" },
			"token":     func(c *Config) { c.Token = "other" },
			"login":     func(c *Config) { c.Login = &Login{Path: "auth/approle/login"} },
			"headers":   func(c *Config) { c.Headers = http.Header{"X": {"1"}} },
			"TLS":       func(c *Config) { c.TLS.CACert = "/ca.pem" },
			"proxy":     func(c *Config) { c.Proxy = "http://proxy.invalid" },
			"not valid": func(c *Config) { c.Threshold = 2 },
		} {
			other := *s.cfg.Load()
			change(&other)
			if _, ok := s.changed(other.fill(noEnv, "")); ok {
				t.Errorf("%s needs no other source", name)
			}
		}
		s.CloseFor(nil)
		if f.live() != 1 {
			t.Errorf("%d leases after another source has taken the place", f.live())
		}
	})
}
