package vault

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"render/watch"
)

// Whatever happens to Vault, to its tokens and to queries: who has an answer without an error has one that Vault accepts, everything is
// well soon after Vault is, and nothing is left that nobody uses.
func TestHistories(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { history(t, seed) })
	}
}

const wellAfter = 2 * time.Second // Vault is: a probe, the spread after an outage, a login, and what Set pauses

func history(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 17))
	simulate(t, Config{Login: approle(t)}, func(f *fake, s *Source, fl *follower) {
		f.lasts, f.longest = time.Duration(5+r.IntN(55))*time.Second, time.Duration(60+r.IntN(600))*time.Second
		f.tokenTTL = time.Duration(1+r.IntN(60)) * time.Minute
		var queries []watch.Query
		for i := range 10 {
			queries = append(queries, query(t, fmt.Sprint([]string{"db", "fixed"}[i%2], "/creds/", i)))
		}
		watched := make(map[watch.Query]bool)
		wellSince, watchedSince := time.Now(), make(map[watch.Query]time.Time)
		revokedAt := time.Time{}
		renewals := 0
		for range 1200 {
			fault := r.IntN(100)
			f.do(func() {
				switch {
				case fault < 1:
					f.sealed = !f.sealed
				case fault < 2:
					f.down = !f.down
				case (f.sealed || f.down) && fault < 10:
					f.sealed, f.down = false, false
				case fault == 10 && time.Since(revokedAt) > 2*f.lasts:
					clear(f.tokens)
					revokedAt = time.Now()
				case fault == 11:
					f.refuses["sys/leases/renew"] = 500
				case fault < 15:
					delete(f.refuses, "sys/leases/renew")
				}
				if f.sealed || f.down {
					wellSince = time.Time{}
				} else if wellSince.IsZero() {
					wellSince = time.Now()
				}
			})
			if fault >= 15 && fault < 20 {
				q := queries[r.IntN(len(queries))]
				if watched[q] = !watched[q]; watched[q] {
					fl.watch(q)
					watchedSince[q] = time.Now()
				} else {
					fl.set.Forget(q)
					delete(fl.states, q)
				}
			}
			fl.pass(time.Second)

			for q, is := range watched {
				st := fl.states[q]
				// That a token was revoked shows with the next request that carries it.
				unnoticed := time.Since(revokedAt) < f.lasts+wellAfter
				if is && st.Err == nil && st.Rev > 0 && !unnoticed && !f.valid(passwordOf(st.Value)) {
					t.Fatalf("after %s: %s has a password that is not valid: %+v", time.Since(f.began), q, st)
				}
				since := watchedSince[q]
				if wellSince.After(since) {
					since = wellSince
				}
				well := !wellSince.IsZero() && time.Since(since) > wellAfter && f.refuses["sys/leases/renew"] == 0 && renewals > 10
				if is && well && !unnoticed && (st.Err != nil || st.Rev == 0) {
					t.Fatalf("after %s: %s is not well: %+v", time.Since(f.began), q, st)
				}
			}
			if renewals++; f.refuses["sys/leases/renew"] != 0 {
				renewals = 0
			}
		}

		f.do(func() { f.sealed, f.down = false, false })
		fl.pass(wellAfter)
		for _, q := range queries {
			fl.set.Forget(q)
		}
		fl.pass(linger + wellAfter)
		if n := f.live(); n != 0 {
			t.Errorf("%d leases left of %d: %s", n, f.number(&f.made), f.requests())
		}
	})
}
