package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"render/watch"
	"render/watch/vault/api"
)

const db = "db/creds/app"

// A lease is renewed as long as that is of use, and replaced while it still lasts. So what a template has is always valid.
func TestLeaseIsValid(t *testing.T) {
	for _, lasts := range []time.Duration{5 * time.Second, time.Minute, time.Hour} {
		simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
			f.lasts, f.longest = lasts, 5*lasts
			q := query(t, db)
			fl.watch(q)
			for range 1000 {
				fl.pass(lasts / 50)
				if !f.valid(fl.password(q)) {
					t.Fatalf("%s: after %s the password is not valid", lasts, time.Since(f.began))
				}
				if st := fl.states[q]; st.Err != nil || !time.Now().Before(st.Expires) {
					t.Fatalf("%s: got %+v", lasts, st)
				}
			}
			// 20 lives of a lease, each used for at least four fifths of its longest time.
			if f.number(&f.made) > 6 {
				t.Errorf("%s: %d leases", lasts, f.number(&f.made))
			}
			if n := f.count("PUT sys/leases/renew"); n > 40 || n < 10 {
				t.Errorf("%s: %d renewals", lasts, n)
			}
		})
	}
}

// An answer that comes after the one before has ended is there at once, however long it was under way.
func TestLateAnswer(t *testing.T) {
	for path, slow := range map[string]time.Duration{"fixed/creds": 40 * time.Second, "rotating/creds": 10 * time.Second} {
		simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
			f.lasts, f.rotates = time.Minute, time.Minute
			q := query(t, path)
			fl.watch(q)
			fl.pass(10 * time.Second)
			before := fl.password(q)
			f.do(func() { f.slow = slow })
			for range 120 {
				if fl.pass(time.Second); fl.password(q) != before {
					break
				}
			}
			var answered time.Time
			f.do(func() { answered = f.last[path] })
			st := fl.states[q]
			if fl.password(q) == before || st.Err != nil || !st.Since.Equal(answered) {
				t.Errorf("%s: the answer came after %s, its state %s later: %+v", path, answered.Sub(f.began), st.Since.Sub(answered), st)
			}
			if ended := f.began.Add(time.Minute); !st.Since.After(ended) {
				t.Errorf("%s: the answer before had not ended", path)
			}
		})
	}
}

// Failures of a renewal keep the lease as long as it has time.
func TestRenewalFails(t *testing.T) {
	tests := []struct {
		name   string
		fault  func(f *fake, on bool)
		lasts  time.Duration // the fault
		made   int           // leases
		status string        // during the fault
	}{
		{"sealed for a moment", func(f *fake, on bool) { f.sealed = on }, 20 * time.Second, 1, "sealed"},
		{"away for a moment", func(f *fake, on bool) { f.down = on }, 20 * time.Second, 1, "connection refused"},
		{"sealed for long", func(f *fake, on bool) { f.sealed = on }, 10 * time.Minute, 2, "the answer expired"},
		{"away for long", func(f *fake, on bool) { f.down = on }, 10 * time.Minute, 2, "the answer expired"},
		{"renewals fail", func(f *fake, on bool) { f.refuses["sys/leases/renew"] = map[bool]int{true: 500}[on] }, 20 * time.Second, 1, "renew the lease: "},
		{"renewals fail for long", func(f *fake, on bool) { f.refuses["sys/leases/renew"] = map[bool]int{true: 500}[on] }, 84 * time.Second, 3, ""},
		{"may not renew", func(f *fake, on bool) { f.refuses["sys/leases/renew"] = map[bool]int{true: 403}[on] }, 100 * time.Second, 3, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
				f.longest = time.Hour
				q := query(t, db)
				fl.watch(q)
				fl.pass(30 * time.Second)
				f.do(func() { test.fault(f, true) })
				fl.pass(test.lasts)
				if err := fl.states[q].Err; test.status == "" && err != nil || test.status != "" && (err == nil || !strings.Contains(err.Error(), test.status)) {
					t.Errorf("during the fault: got %v, want %q", err, test.status)
				}
				f.do(func() { test.fault(f, false) })
				fl.pass(4 * time.Second)
				if st := fl.states[q]; st.Err != nil || !f.valid(fl.password(q)) {
					t.Errorf("after the fault: got %+v", st)
				}
				if f.number(&f.made) != test.made {
					t.Errorf("%d leases, want %d; %s", f.number(&f.made), test.made, f.requests())
				}
			})
		})
	}
}

// A standby without an active Vault cannot say whether there is a lease: it is kept.
func TestStandbyKeepsLease(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.do(func() {
			f.lasts, f.longest = 10*time.Minute, 24*time.Hour
			f.refuses["sys/leases/renew"], f.says = http.StatusBadRequest, "Vault is in standby mode"
		})
		q := query(t, db)
		fl.watch(q)
		fl.pass(8 * time.Minute)
		if st := fl.states[q]; st.Err == nil {
			t.Errorf("got %+v", st)
		}
		f.do(func() { clear(f.refuses) })
		fl.pass(8 * time.Minute)
		if st := fl.states[q]; st.Err != nil || f.number(&f.made) != 1 || !f.valid(fl.password(q)) {
			t.Errorf("got %+v; %s", st, f.requests())
		}
	})
}

// The error of a renewal that failed goes when Vault says that the lease lasts as long as it can.
func TestRenewalRecovers(t *testing.T) {
	for status, says := range map[int]string{http.StatusBadRequest: "cannot be renewed past max TTL", http.StatusForbidden: "permission denied"} {
		simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
			f.do(func() {
				f.lasts, f.longest = time.Hour, time.Hour
				f.refuses["sys/leases/renew"] = http.StatusInternalServerError
			})
			q := query(t, db)
			fl.watch(q)
			for range 600 {
				if fl.pass(5 * time.Second); fl.states[q].Err != nil {
					break
				}
			}
			if fl.states[q].Err == nil {
				t.Fatal("no renewal has failed")
			}
			f.do(func() { f.refuses["sys/leases/renew"], f.says = status, says })
			fl.pass(2 * time.Minute)
			if st := fl.states[q]; st.Err != nil || f.number(&f.made) != 1 || !f.valid(fl.password(q)) {
				t.Errorf("%s: got %+v; %s", says, st, f.requests())
			}
		})
	}
}

// Vault answers a renewal with a failure where the lease cannot last longer. The lease is used to its end.
func TestLongestLease(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.longest = time.Hour
		f.refuses["sys/leases/renew"], f.says = 500, "1 error occurred:\n\t* past the max TTL, cannot renew"
		q := query(t, db)
		fl.watch(q)
		for range 600 {
			fl.pass(time.Second)
			if st := fl.states[q]; st.Err != nil || !f.valid(fl.password(q)) {
				t.Fatalf("after %s: %+v", time.Since(f.began), st)
			}
		}
		if n := f.count("PUT sys/leases/renew"); f.number(&f.made) > 13 || n > f.number(&f.made) {
			t.Errorf("%s", f.requests())
		}
	})
}

// A lease that Vault has ended is replaced as soon as its renewal says so, also within the second in which it was made.
func TestLeaseEndsAtOnce(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.lasts = time.Second
		q := query(t, db)
		fl.watch(q)
		fl.pass(10 * time.Millisecond)
		first := fl.password(q)
		f.do(func() {
			for _, l := range f.leases {
				l.revoked = true
			}
		})
		fl.pass(900 * time.Millisecond)
		if now := fl.password(q); now == first || !f.valid(now) {
			t.Errorf("got %q after %q", now, first)
		}
	})
}

// When there is another answer.
func TestClock(t *testing.T) {
	tests := []struct {
		name        string
		path        string
		lasts       time.Duration
		least, most int // reads in an hour
	}{
		{"KV v2", "secret/app", 0, 12, 16},
		{"KV v1, of which Vault tells 768 h", "kv1/app", 0, 12, 16},
		{"a lease that cannot be renewed", "fixed/app", time.Minute, 63, 72},
		{"a lease of 768 h that cannot be renewed", "fixed/app", 768 * time.Hour, 1, 1},
		{"a rotation", "rotating/app", 0, 60, 61},
		{"a ttl alone", "ldap/app", 0, 60, 61},
		{"nothing there", "kv1/none", 0, 60, 140},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
				f.values["kv1/app"], f.values["secret/data/app"] = "one", "one"
				f.lasts = test.lasts
				q := query(t, test.path)
				fl.watch(q)
				fl.pass(time.Hour)
				reads := 0
				for asked, n := range f.asked {
					if strings.HasSuffix(asked, "/"+strings.Split(test.path, "/")[1]) && !strings.Contains(asked, "ui/mounts") {
						reads += n
					}
				}
				if reads < test.least || reads > test.most {
					t.Errorf("%d reads, want %d to %d: %s", reads, test.least, test.most, f.requests())
				}
				if n := f.count("GET sys/internal/ui/mounts/" + test.path); n > reads/2+1 {
					t.Errorf("%d questions about the mount: %s", n, f.requests())
				}
				if st := fl.states[q]; st.Err != nil {
					t.Error(st.Err)
				}
			})
		})
	}
}

// Numbers of Vault that no duration can hold neither have a secret read without a pause, nor make times that nothing can show.
func TestClockOfAnyNumber(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, _ *follower) {
		for _, number := range []string{"9223372036854775807", "10000000000", "-10000000000", "99999999999999999999", "-1e300", "1e300", "0.1"} {
			for _, form := range []string{
				`{"data":{"ttl":%s}}`, `{"data":{"ttl":"%s"}}`, `{"data":{"ttl":%s,"rotation_period":60}}`, `{"data":{"secret_id":"a","secret_id_ttl":%s}}`,
				`{"data":{"certificate":"a","expiration":%s}}`, `{"lease_id":"a","lease_duration":%s}`, `{"auth":{"client_token":"a","lease_duration":%s}}`,
			} {
				text := fmt.Sprintf(form, number)
				b, err := api.Parse([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				c, err := s.clockOf(b.Secret(), time.Now())
				if err != nil {
					continue // asked again with pauses
				}
				if c.next.Before(time.Now().Add(leastPause)) || c.next.Year() > 2200 || c.expires.Year() > 2200 || !c.expires.IsZero() && !time.Now().Before(c.expires) {
					t.Errorf("%s: read again at %s, expires at %s", text, c.next, c.expires)
				}
				grace(c.lasts)
			}
		}
	})
}

// A password that is rotated is there a second later.
func TestRotation(t *testing.T) {
	for _, path := range []string{"rotating/app", "ldap/app"} {
		simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
			q := query(t, path)
			time.Sleep(17 * time.Second)
			fl.watch(q)
			fl.pass(0)
			for i := range 600 {
				fl.pass(time.Second)
				since := 17 + i + 1
				if since%60 < 2 {
					continue
				}
				if want := fmt.Sprint("password-", since/60); fl.password(q) != want {
					t.Fatalf("%s: after %d s: got %q, want %q", path, since, fl.password(q), want)
				}
			}
		})
	}
}

// A write whose answer is empty happens once in a default lease, and not at all after its query was forgotten.
func TestWriteClock(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		q, err := watch.NewSecretWrite("kv1/app", "value=a")
		if err != nil {
			t.Fatal(err)
		}
		fl.watch(q)
		fl.pass(4 * time.Minute)
		if n := f.count("PUT kv1/app"); n != 1 {
			t.Errorf("%d writes in 4 minutes", n)
		}
		if st := fl.states[q]; st.Rev != 1 || st.Value != (*watch.Secret)(nil) || st.Err != nil {
			t.Errorf("got %+v", st)
		}
		fl.pass(56 * time.Minute)
		n := f.count("PUT kv1/app")
		if n < 12 || n > 16 {
			t.Errorf("%d writes in an hour", n)
		}
		fl.set.Forget(q)
		fl.pass(24 * time.Hour)
		if later := f.count("PUT kv1/app"); later > n {
			t.Errorf("%d writes after the query was forgotten", later-n)
		}
	})
}

// A query that nobody uses any more ends: first its requests, then its lease. A template that is edited uses it again in time.
func TestForget(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		q := query(t, db)
		fl.watch(q)
		fl.pass(time.Second)
		for range 5 {
			fl.set.Forget(q)
			fl.pass(10 * time.Second)
			fl.watch(q)
			fl.pass(10 * time.Second)
		}
		if f.number(&f.made) != 1 || f.live() != 1 {
			t.Fatalf("%d leases for one that is used again in time, %d live", f.number(&f.made), f.live())
		}
		fl.set.Forget(q)
		fl.pass(linger + time.Second)
		if f.live() != 0 || f.count("PUT sys/leases/revoke") != 1 {
			t.Errorf("%d leases live: %s", f.live(), f.requests())
		}
		before := f.total()
		fl.pass(24 * time.Hour)
		if n := f.total() - before; n > 0 {
			t.Errorf("%d requests afterwards: %s", n, f.requests())
		}
		if s.queries() != 0 {
			t.Errorf("%d queries left", s.queries())
		}
	})
}

// What has ended by itself, as with the token that it hung on, needs no revocation, and no line in the log. A revocation that Vault denies is
// logged once, and one that came with a token that Vault no longer knows is repeated with another.
func TestRevocations(t *testing.T) {
	for _, test := range []struct {
		name   string
		fault  func(f *fake)
		live   int
		warned int
	}{
		{"ended", func(f *fake) { clear(f.leases) }, 0, 0},
		{"denied", func(f *fake) { f.refuses["sys/leases/revoke"] = http.StatusForbidden }, 2, 1},
		{"with a token that was revoked", func(f *fake) {
			for _, l := range f.leases {
				l.token = "other"
			}
			f.tokens["other"] = new(fakeToken)
			delete(f.tokens, "login-1")
		}, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var lines record
			simulate(t, Config{Login: approle(t), Log: lines.log()}, func(f *fake, s *Source, fl *follower) {
				f.lasts, f.longest = 24*time.Hour, 24*time.Hour
				a, b := query(t, "db/creds/a"), query(t, "db/creds/b")
				fl.watch(a, b)
				fl.pass(time.Second)
				fl.set.Forget(a)
				fl.set.Forget(b)
				fl.pass(linger - time.Second)
				f.do(func() { test.fault(f) })
				fl.pass(20 * time.Second)
				if n := strings.Count(lines.String(), "vault lease not revoked"); n != test.warned || f.live() != test.live {
					t.Errorf("%d leases, %d warnings: %s\n%s", f.live(), n, lines.String(), f.requests())
				}
				if strings.Contains(lines.String(), "db/creds") {
					t.Errorf("the log has the lease: %s", lines.String())
				}
			})
		})
	}
}

// A query that is forgotten while Vault creates something leaves nothing there.
func TestForgetWhileAsked(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.slow = 20 * time.Second
		f.lasts, f.longest = time.Hour, time.Hour
		q := query(t, db)
		fl.watch(q)
		fl.pass(25 * time.Second) // the mount is known; the lease is being made
		fl.set.Forget(q)
		fl.pass(5 * time.Minute)
		if f.number(&f.made) != 1 || f.live() != 0 {
			t.Errorf("%d leases made, %d live: %s", f.number(&f.made), f.live(), f.requests())
		}
	})
}

// The lease of an earlier answer lives until the later one is in use.
func TestApplied(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		q := query(t, "fixed/app")
		f.lasts = time.Hour
		fl.watch(q)
		fl.pass(time.Second)
		first, index := fl.password(q), fl.states[q].Index
		fl.set.Applied(q, index)
		fl.pass(58 * time.Minute)
		second, later := fl.password(q), fl.states[q].Index
		if first == second || !f.valid(first) || !f.valid(second) {
			t.Fatalf("after %q, which is valid: %t, there is %q: %t", first, f.valid(first), second, f.valid(second))
		}
		fl.set.Applied(q, index) // an action that began before
		fl.pass(releaseAfter + time.Second/2)
		if f.count("PUT sys/leases/revoke") != 0 {
			t.Error("revoked because of an earlier answer")
		}
		fl.set.Applied(q, later)
		fl.pass(releaseAfter - time.Second)
		if f.count("PUT sys/leases/revoke") != 0 {
			t.Error("revoked at once")
		}
		fl.pass(time.Second + releaseSpread)
		if f.valid(first) || !f.valid(second) {
			t.Errorf("valid: %t and %t", f.valid(first), f.valid(second))
		}
	})
}

// Readers that ask while a lease is being made do not have another made.
func TestReadersShareLease(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		const path = "fixed/app"
		f.slow, f.lasts = time.Second, time.Hour
		f.refuses[path] = http.StatusNotFound
		q := query(t, path)
		fl.watch(q)
		fl.pass(3 * time.Second)
		if st := fl.states[q]; st.Rev == 0 || st.Value != nil {
			t.Fatalf("got %+v", st)
		}
		f.do(func() { delete(f.refuses, path) })
		var readers sync.WaitGroup
		for range 20 {
			readers.Go(func() { _, _, _ = s.Fetch(context.Background(), q, 0) })
			fl.pass(50 * time.Millisecond)
		}
		readers.Wait()
		fl.pass(10 * time.Minute)
		if f.number(&f.made) != 1 || !f.valid(fl.password(q)) {
			t.Errorf("%d leases made: %s", f.number(&f.made), f.requests())
		}
	})
}

// Stopping leaves leases as they are, unless the configuration says otherwise.
func TestRevokeOnStop(t *testing.T) {
	for _, revokes := range []bool{false, true} {
		simulate(t, Config{RevokeOnStop: revokes}, func(f *fake, s *Source, fl *follower) {
			f.longest = time.Hour
			fl.watch(query(t, "db/creds/a"), query(t, "db/creds/b"), query(t, "kv1/none"))
			fl.pass(time.Second)
			fl.set.Close()
			s.Close()
			if live := f.live(); live != map[bool]int{false: 2, true: 0}[revokes] {
				t.Errorf("revoke on stop %t: %d leases", revokes, live)
			}
		})
	}
}

// A request that gets no answer does not keep a source that is closed from revoking what it has leased for others.
func TestRevokeWhileOneHangs(t *testing.T) {
	simulate(t, Config{RevokeOnStop: true}, func(f *fake, s *Source, fl *follower) {
		f.do(func() { f.longest, f.hangs = time.Hour, "db/creds/hangs" })
		fl.watch(query(t, "db/creds/hangs"))
		for i := range 10 {
			fl.watch(query(t, fmt.Sprint("db/creds/", i)))
		}
		fl.pass(10 * time.Second)
		if f.live() != 10 {
			t.Fatalf("%d leases live", f.live())
		}
		fl.set.Close()
		began := time.Now()
		s.Close()
		if took := time.Since(began); f.live() != 0 || took > 2*closing {
			t.Errorf("after %s %d leases live", took, f.live())
		}
	})
}

// Credentials that nobody was given are revoked when a source is closed, whatever the setting: nobody uses them.
func TestUnusedIsRevoked(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.do(func() { f.lasts, f.longest = time.Hour, time.Hour })
		used := query(t, "db/creds/used")
		fl.watch(used)
		fl.pass(time.Second)
		f.do(func() { f.slow = time.Second })
		fl.watch(query(t, "db/creds/late"))
		fl.pass(500 * time.Millisecond)
		fl.set.Close()
		s.Close()
		if f.number(&f.made) != 2 || f.live() != 1 || !f.valid(fl.password(used)) {
			t.Errorf("%d leases made, %d live: %s", f.number(&f.made), f.live(), f.requests())
		}
	})
}

// While Vault is away there are few requests, and when it is back they are spread.
func TestHerd(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		const n = 2000
		f.down = true
		for i := range n {
			f.values[fmt.Sprint("secret/data/", i)] = "v"
			fl.watch(query(t, fmt.Sprint("secret/", i)))
		}
		fl.pass(time.Minute)
		during := f.total()
		if during > 200 {
			t.Errorf("%d requests while Vault is away", during)
		}
		f.do(func() { f.down = false })
		fl.pass(10 * time.Second)
		for q, st := range fl.states {
			if st.Rev == 0 || st.Err != nil {
				t.Fatalf("%s: %+v", q, st)
			}
		}
		if len(fl.states) != n {
			t.Errorf("%d queries have a state", len(fl.states))
		}
		if count := f.total() - during; count > n+n/50 {
			t.Errorf("%d requests for %d queries", count, n)
		}
		perTenth := make(map[int64]int)
		for _, at := range f.since(during) {
			perTenth[at.UnixMilli()/100]++
		}
		for at, count := range perTenth {
			if count > n/10 {
				t.Errorf("%d requests within a tenth of a second (%d)", count, at)
			}
		}
		if len(perTenth) < 20 {
			t.Errorf("all requests within %d tenths of a second", len(perTenth))
		}
	})
}

// A failure of one path is no outage.
func TestOneFails(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.refuses["db/creds/broken"] = http.StatusInternalServerError
		broken, well := query(t, "db/creds/broken"), query(t, db)
		fl.watch(broken)
		fl.pass(time.Minute)
		fl.watch(well)
		fl.pass(10 * time.Millisecond)
		if !f.valid(fl.password(well)) {
			t.Errorf("got %+v", fl.states[well])
		}
		if _, away := errors.AsType[watch.OutageError](fl.states[broken].Err); away || fl.states[broken].Err == nil {
			t.Errorf("got %v", fl.states[broken].Err)
		}
		if n := f.count("GET db/creds/broken"); n > 12 {
			t.Errorf("%d requests in a minute", n)
		}
	})
}
