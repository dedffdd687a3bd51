package vault

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"render/watch"
	"render/watch/sourcetest"
)

// What a source has leased is in use when another replaces it: it is revoked when an answer of the other is in use, where it was leased.
// It ends sooner where nobody asks the other about the query.
func TestReplacedSource(t *testing.T) {
	simulate(t, Config{RevokeOnStop: true}, func(f *fake, s *Source, fl *follower) {
		f.lasts, f.longest = time.Hour, 24*time.Hour
		to := watch.NewSwitch(s)
		fl.set.Close()
		fl.set = watch.NewSet(to, watch.SetConfig{})
		kept, dropped := query(t, "db/creds/kept"), query(t, "fixed/dropped")
		fl.watch(kept, dropped)
		fl.pass(time.Minute)
		first, index, unused := fl.password(kept), fl.states[kept].Index, fl.password(dropped)
		fl.set.Applied(kept, index)

		// Twice, before anything is applied; the second is another Vault.
		other := newFake(t)
		other.lasts, other.longest = time.Hour, 24*time.Hour
		second, third := f.source(Config{Token: "root"}), other.source(Config{})
		fl.set.Forget(dropped)
		to.Use(second)
		s.CloseFor(second)
		fl.pass(time.Second)
		earlier := fl.password(kept)
		to.Use(third)
		second.CloseFor(third)
		fl.pass(linger - time.Second)
		fl.set.Applied(kept, index) // of a commit that began before
		fl.pass(2 * time.Minute)
		if !f.valid(first) || !f.valid(earlier) || f.valid(unused) || !other.valid(fl.password(kept)) || first == earlier {
			t.Errorf("valid: %q %t, %q %t, %q %t; now %q", first, f.valid(first), earlier, f.valid(earlier), unused, f.valid(unused), fl.password(kept))
		}
		fl.set.Applied(kept, fl.states[kept].Index)
		fl.pass(releaseAfter + releaseSpread)
		if f.live() != 0 || other.live() != 1 || other.count("PUT sys/leases/revoke") != 0 {
			t.Errorf("%d leases of the sources before live, %d of the last: %s", f.live(), other.live(), other.requests())
		}
		fl.set.Close()
		third.Close()
	})
}

// A source with revoke_on_stop that ends revokes also what it has from one that it has replaced.
func TestReplacedSourceEnds(t *testing.T) {
	for _, waits := range []bool{false, true} {
		simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
			f.lasts, f.longest = time.Hour, 24*time.Hour
			q := query(t, db)
			fl.watch(q)
			fl.pass(time.Second)
			fl.set.Close()
			next := f.source(Config{RevokeOnStop: true})
			s.CloseFor(next)
			set := watch.NewSet(next, watch.SetConfig{})
			if !waits {
				set.Watch(q)
				fl.pass(time.Second)
			}
			if want := map[bool]int{true: 1, false: 2}[waits]; f.live() != want {
				t.Errorf("%d leases live, want %d", f.live(), want)
			}
			set.Close()
			next.Close()
			if f.live() != 0 {
				t.Errorf("asked %t: %d leases live after the end: %s", !waits, f.live(), f.requests())
			}
		})
	}
}

// A lease of the source before that comes when an answer of the other is in use already is revoked, too.
func TestReplacedSourceIsSlow(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.lasts, f.longest = time.Hour, 24*time.Hour
		q := query(t, db)
		fl.watch(q)
		fl.pass(time.Second)
		fl.set.Close()
		next := f.source(Config{})
		fl.set = watch.NewSet(next, watch.SetConfig{})
		fl.watch(q)
		fl.pass(time.Second)
		fl.set.Applied(q, fl.states[q].Index)
		fl.pass(time.Second)
		s.CloseFor(next)
		fl.pass(releaseAfter + releaseSpread)
		if f.live() != 1 || !f.valid(fl.password(q)) {
			t.Errorf("%d leases live: %s", f.live(), f.requests())
		}
		fl.set.Close()
		next.Close()
	})
}

// Leases that are replaced together, as by a reload or a new token, are not all revoked in the same second.
func TestReleasesAreSpread(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.do(func() { f.lasts, f.longest, f.tokens["other"] = time.Hour, time.Hour, &fakeToken{} })
		const leases = 200
		var queries []watch.Query
		for i := range leases {
			queries = append(queries, query(t, fmt.Sprint("fixed/", i)))
			fl.watch(queries[i])
		}
		fl.pass(10 * time.Second)
		s.tokens.use("other")
		fl.pass(30 * time.Second)
		for _, q := range queries {
			fl.set.Applied(q, fl.states[q].Index)
		}
		fl.pass(releaseAfter - time.Second)
		if n := f.count("PUT sys/leases/revoke"); n != 0 {
			t.Errorf("%d leases revoked within a minute", n)
		}
		fl.pass(time.Second)
		for second, before := 0, 0; second < int(releaseSpread/time.Second); second++ {
			fl.pass(time.Second)
			n := f.count("PUT sys/leases/revoke")
			if n-before > leases/4 {
				t.Errorf("%d leases revoked in one second", n-before)
			}
			before = n
		}
		if n := f.count("PUT sys/leases/revoke"); n != leases || f.live() != leases {
			t.Errorf("%d leases revoked of %d, %d live", n, leases, f.live())
		}
	})
}

// Leases of earlier answers are kept as long as they last, however long nothing is applied.
func TestManyReplaced(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.do(func() { f.lasts, f.longest = 20*time.Minute, 20*time.Minute })
		q := query(t, "fixed/app")
		fl.watch(q)
		fl.pass(time.Second)
		for i := range 30 {
			name := fmt.Sprint("token-", i)
			f.do(func() { f.tokens[name] = &fakeToken{} })
			s.tokens.use(name)
			fl.pass(20 * time.Second)
		}
		if f.live() != 31 {
			t.Fatalf("%d leases live", f.live())
		}
		fl.set.Applied(q, fl.states[q].Index)
		fl.pass(releaseAfter + releaseSpread)
		if f.live() != 1 {
			t.Errorf("%d leases live after the last answer is in use: %s", f.live(), f.requests())
		}
	})
}

// A source takes its place again, as a reload was undone: what the other has leased may be in files until an earlier answer is in use again.
func TestReplacedSourceReturns(t *testing.T) {
	for _, renewed := range []bool{false, true} {
		simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
			f.lasts, f.longest = time.Hour, 24*time.Hour
			to := watch.NewSwitch(s)
			fl.set.Close()
			fl.set = watch.NewSet(to, watch.SetConfig{})
			q := query(t, db)
			fl.watch(q)
			fl.pass(time.Minute)
			first, index := fl.password(q), fl.states[q].Index
			fl.set.Applied(q, index)

			next := f.source(Config{})
			next.Follow(s)
			to.Use(next)
			fl.pass(time.Minute)
			second, other := fl.password(q), fl.states[q].Index
			s.Follow(next)
			to.Use(s)
			next.CloseFor(s)
			fl.set.Applied(q, other) // of a commit that began before
			fl.pass(10 * time.Minute)
			if fl.password(q) != first || !f.valid(first) || !f.valid(second) || first == second {
				t.Errorf("before %q is in use again: %q %t, %q %t", fl.password(q), first, f.valid(first), second, f.valid(second))
			}
			if last := fl.states[q].Index; last == index || last == other {
				t.Errorf("the answer has an index of before, so that nobody says that it is in use")
			}
			if renewed {
				fl.pass(time.Hour)
			}
			fl.set.Applied(q, fl.states[q].Index)
			fl.pass(releaseAfter + releaseSpread)
			if f.live() != 1 || !f.valid(first) {
				t.Errorf("%d leases live: %s", f.live(), f.requests())
			}
			fl.set.Close()
			s.Close()
		})
	}
}

// A lease that is to be revoked soon, because another is in use, is revoked although the source is replaced meanwhile.
func TestReplacedSourceReleases(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.lasts, f.longest = time.Hour, time.Hour
		f.tokens["other"] = &fakeToken{}
		q := query(t, "fixed/app")
		fl.watch(q)
		fl.pass(time.Second)
		s.tokens.use("other")
		fl.pass(10 * time.Second)
		fl.set.Applied(q, fl.states[q].Index)
		fl.set.Close()
		next := f.source(Config{})
		defer next.Close()
		next.Follow(s)
		s.CloseFor(next)
		if _, _, err := next.Fetch(f.t.Context(), q, 0); err != nil {
			t.Fatal(err)
		}
		fl.pass(releaseAfter / 2)
		if f.live() != 3 {
			t.Errorf("%d leases live right after another was in use", f.live())
		}
		fl.pass(releaseAfter)
		if f.live() != 2 {
			t.Errorf("%d leases live: %s", f.live(), f.requests())
		}
	})
}

// Leases that could not be revoked at the end are logged once, with their number, why, and when they end by themselves.
func TestLeftLeases(t *testing.T) {
	tests := []struct {
		name  string
		cfg   Config
		fails func(f *fake)
		want  string // "" for no line
	}{
		{"revoked", Config{RevokeOnStop: true}, func(*fake) {}, ""},
		{"not to be revoked", Config{}, func(f *fake) { f.sealed = true }, ""},
		{"ended", Config{RevokeOnStop: true}, func(f *fake) { clear(f.leases) }, ""},
		{"token gone", Config{RevokeOnStop: true}, func(f *fake) { clear(f.tokens) }, ""},
		{"sealed", Config{RevokeOnStop: true}, func(f *fake) { f.sealed = true }, "503 Vault is sealed"},
		{"down", Config{RevokeOnStop: true}, func(f *fake) { f.down = true }, "connection refused"},
		{"hangs", Config{RevokeOnStop: true}, func(f *fake) { f.hangs = "leases/revoke" }, "vault did not answer in time"},
		{"denied", Config{RevokeOnStop: true}, func(f *fake) { f.refuses["sys/leases/revoke"] = 403 }, "sys/leases/revoke: 403 refused for a test"},
	}
	for _, test := range tests {
		var lines record
		test.cfg.Log = lines.log()
		simulate(t, test.cfg, func(f *fake, s *Source, fl *follower) {
			f.lasts, f.longest = time.Hour, time.Hour
			fl.watch(query(t, "db/creds/a"), query(t, "fixed/b"), query(t, "fixed/c"))
			fl.pass(time.Minute)
			f.do(func() { test.fails(f) })
			began := time.Now()
			fl.set.Close()
			s.Close()
			if took := time.Since(began); took > 2*closing {
				t.Errorf("%s: the end took %s", test.name, took)
			}
			text := lines.String()
			n := strings.Count(text, "not revoked")
			want := "vault leases not revoked\" count=3 mounts=\"db/, fixed/\""
			until := "until=" + f.began.Add(time.Hour).UTC().Format(time.RFC3339)
			switch {
			case test.want == "" && n != 0:
				t.Errorf("%s: the log has %s", test.name, text)
			case test.want != "" && (n != 1 || !strings.Contains(text, want) || !strings.Contains(text, test.want) || !strings.Contains(text, until)):
				t.Errorf("%s: the log has %s", test.name, text)
			}
			if strings.Contains(text, "creds/a/") || strings.Contains(text, "fixed/b") {
				t.Errorf("%s: the log has a lease: %s", test.name, text)
			}
		})
	}
}

// What an earlier answer has leased, and what nobody uses any more, is counted, too, where the end comes while it is being revoked.
func TestLeftLeasesOfEarlier(t *testing.T) {
	for _, test := range []struct {
		revokes bool
		passed  time.Duration // since nobody uses it
		want    string
	}{
		{true, linger + time.Second, "not revoked\" count=4 "},              // both leases of dropped are being revoked
		{true, releaseAfter + releaseSpread, "not revoked\" count=4 "},      // the earlier one of app, too
		{false, linger + time.Second, "not revoked\" count=2 "},             // of dropped
		{false, releaseAfter + releaseSpread + 1, "not revoked\" count=2 "}, // the earlier one of app may stay
	} {
		leftOfEarlier(t, test.revokes, test.passed, test.want)
	}
}

func leftOfEarlier(t *testing.T, revokes bool, passed time.Duration, want string) {
	t.Helper()
	var lines record
	simulate(t, Config{RevokeOnStop: revokes, Log: lines.log()}, func(f *fake, s *Source, fl *follower) {
		f.do(func() { f.lasts, f.longest, f.tokens["other"] = time.Hour, time.Hour, &fakeToken{} })
		q, dropped := query(t, "fixed/app"), query(t, "fixed/dropped")
		fl.watch(q, dropped)
		fl.pass(time.Second)
		s.tokens.use("other")
		fl.pass(10 * time.Second)
		f.do(func() { f.hangs = "leases/revoke" })
		fl.set.Applied(q, fl.states[q].Index)
		fl.set.Forget(dropped)
		fl.pass(passed)
		fl.set.Close()
		s.Close()
		if text := lines.String(); !strings.Contains(text, want) {
			t.Errorf("revoke_on_stop %t, after %s: the log has %s; %s", revokes, passed, text, f.requests())
		}
	})
}

// The token of a login is revoked at the end, after the leases, where nothing that stays in use ends with it.
func TestOwnToken(t *testing.T) {
	const revokes = "PUT auth/token/revoke-self"
	kv, leased := query(t, "secret/app"), query(t, "fixed/app")
	tests := []struct {
		name    string
		cfg     Config
		queries []watch.Query
		revoked bool
	}{
		{"a daemon", Config{}, []watch.Query{kv}, false},
		{"a daemon that revokes", Config{RevokeOnStop: true}, []watch.Query{kv, leased}, true},
		{"a daemon that revokes, with a certificate that has a lease", Config{RevokeOnStop: true}, []watch.Query{kv, pkiCert(t, "pki/issue/web", "", "common_name=a.test")}, false},
		{"a dry run", Config{ReadOnly: true, RevokeOnStop: true, Once: true}, []watch.Query{kv, leased}, true},
		{"a run with once", Config{Once: true}, []watch.Query{kv}, true},
		{"a run with once, with a lease", Config{Once: true}, []watch.Query{kv, leased}, false},
		{"a run with once, with a certificate that has a lease", Config{Once: true}, []watch.Query{pkiCert(t, "pki/issue/web", "", "common_name=a.test")}, false},
		{"a run with once, with the token itself", Config{Once: true}, []watch.Query{query(t, "auth/token/lookup-self")}, false},
		{"a run with once, with the token itself, renewed", Config{Once: true}, []watch.Query{writing(t, "auth/token/renew-self")}, false},
		{"a daemon that revokes, with the token itself, renewed", Config{RevokeOnStop: true}, []watch.Query{writing(t, "auth/token/renew-self")}, false},
		{"a run with once that asks nothing", Config{Once: true}, nil, false},
	}
	for _, test := range tests {
		for _, login := range []*Login{approle(t), nil} {
			test.cfg.Login = login
			simulate(t, test.cfg, func(f *fake, s *Source, fl *follower) {
				f.values["secret/data/app"], f.leasedAs = "one", "pki/issue/web/1"
				f.issue = func() *watch.PKICert { return certificate(t, "a.test", time.Hour, false) }
				fl.watch(test.queries...)
				fl.pass(time.Second)
				fl.set.Close()
				s.Close()
				want := map[bool]int{true: 1, false: 0}[test.revoked && login != nil]
				if n := f.count(revokes); n != want {
					t.Errorf("%s, by a login %t: revoked %d times, want %d: %s", test.name, login != nil, n, want, f.requests())
				}
				if test.cfg.RevokeOnStop && (f.live() != 0 || len(test.queries) > 0 && test.queries[len(test.queries)-1] == leased && f.count("PUT sys/leases/revoke") != 1) {
					t.Errorf("%s: the leases were not revoked before: %s", test.name, f.requests())
				}
			})
		}
	}
}

// The token of a source is never revoked because an answer that has it is not used any more. The answer is asked for again before it ends.
func TestOwnTokenInAnswer(t *testing.T) {
	simulate(t, Config{Login: approle(t)}, func(f *fake, s *Source, fl *follower) {
		q := writing(t, "auth/token/renew-self")
		fl.watch(q, query(t, "secret/app"))
		fl.pass(2 * time.Hour)
		secret, ok := fl.states[q].Value.(*watch.Secret)
		if !ok || secret.Auth.ClientToken != "login-1" || !time.Now().Before(fl.states[q].Expires) || f.count("PUT sys/leases/renew") != 0 {
			t.Errorf("got %+v: %s", fl.states[q], f.requests())
		}
		fl.set.Applied(q, fl.states[q].Index)
		fl.pass(releaseAfter + releaseSpread)
		fl.set.Forget(q)
		fl.pass(time.Minute)
		if n := f.count("PUT auth/token/revoke-self"); n != 0 || f.tokens["login-1"] == nil {
			t.Errorf("revoked %d times: %s", n, f.requests())
		}
	})
}

// So it is with a real Vault, at the end and before.
func TestOwnTokenInAnswerOfVault(t *testing.T) {
	server := real(t)
	mount := fmt.Sprint("own-", time.Now().UnixNano())
	server.Put(t, "sys/auth/"+mount, map[string]any{"type": "userpass"})
	server.Put(t, "sys/policies/acl/own", map[string]any{"policy": `path "auth/token/*" { capabilities = ["read", "update"] }`})
	server.Put(t, "auth/"+mount+"/users/app", map[string]any{"password": "p", "token_policies": "own"})
	login := &Login{Path: "auth/" + mount + "/login/app", Fields: map[string]string{"password": "p"}}
	for _, q := range []watch.Query{writing(t, "auth/token/renew-self", "increment=1h"), query(t, "auth/token/lookup-self")} {
		for _, ends := range []bool{true, false} {
			s := of(t, server, Config{Once: ends, Login: login})
			got := sourcetest.Fetch(t, s, q).(*watch.Secret)
			token, _ := s.tokens.ownToken()
			if !hasToken(got, token) {
				t.Fatalf("%s: the answer has another token", q)
			}
			if ends {
				s.Close()
			} else {
				e := s.entries[q]
				s.Forget(q)
				s.leave(e)
				s.tokens.mu.Lock()
				s.tokens.own = "" // the end is not what is tested
				s.tokens.mu.Unlock()
				s.Close() // waits for revocations
			}
			if _, err := server.DoAs(token, "GET", "auth/token/lookup-self", nil); err != nil {
				t.Errorf("%s, at the end %t: the token is revoked: %v", q, ends, err)
			}
		}
	}
}

// What a token has created ends with it, also in a namespace.
func TestTokenMadeInNamespace(t *testing.T) {
	for path, ends := range map[string]bool{"auth/token/create": true, "ns1/auth/token/create/app": true, "ns1/auth/userpass/login/app": false} {
		s := newFake(t).source(Config{})
		l := s.leaseOf(writing(t, path), &watch.Secret{Auth: &watch.SecretAuth{ClientToken: "made"}}, usedToken{token: "root", generation: 1})
		if l.token != "made" || (l.generation == 1) != ends || s.hasLeased.Load() != ends {
			t.Errorf("%s: %+v", path, l)
		}
		s.Close()
	}
}

// A source that another replaces keeps its token: leases end with it that are in use.
func TestOwnTokenOfReplaced(t *testing.T) {
	for _, next := range []bool{false, true} {
		simulate(t, Config{Login: approle(t), RevokeOnStop: true}, func(f *fake, s *Source, fl *follower) {
			fl.watch(query(t, db))
			fl.pass(time.Second)
			fl.set.Close()
			var other *Source
			if next {
				other = f.source(Config{})
				defer other.Close()
			}
			s.CloseFor(other)
			if n := f.count("PUT auth/token/revoke-self"); n != 0 || f.live() != 1 {
				t.Errorf("revoked %d times, %d leases live", n, f.live())
			}
			s.tokens.own = "" // the test closes it again
		})
	}
}

// A login that is under way at the end leaves no token, as long as Vault answers in time. Without an answer the end is not late.
func TestLoginAtTheEnd(t *testing.T) {
	for _, test := range []struct {
		name  string
		cfg   Config
		slow  time.Duration
		hangs string
		down  bool
		took  time.Duration // at most
	}{
		{"once", Config{Once: true}, closing / 2, "", false, closing},
		{"revokes", Config{RevokeOnStop: true}, closing / 2, "", false, closing},
		{"revokes, and no answer", Config{RevokeOnStop: true}, 0, "approle/login", false, closing},
		{"revokes, in an outage", Config{RevokeOnStop: true}, 0, "", true, 0},
		{"does not revoke, and no answer", Config{}, 0, "approle/login", false, 0},
	} {
		test.cfg.Login = approle(t)
		simulate(t, test.cfg, func(f *fake, s *Source, fl *follower) {
			f.do(func() { f.slow, f.hangs, f.down = test.slow, test.hangs, test.down })
			fl.watch(query(t, "secret/app"))
			fl.pass(time.Second)
			if test.down {
				fl.pass(10 * time.Second) // for an outage
			}
			fl.set.Close()
			began := time.Now()
			s.Close()
			if took := time.Since(began); took > test.took {
				t.Errorf("%s: the end took %s", test.name, took)
			}
			if left := len(f.tokens) - 1; left != 0 {
				t.Errorf("%s: %d tokens are left: %s", test.name, left, f.requests())
			}
		})
	}
}

// A token that could not be revoked is logged. Revoking it ends leases that could not be revoked.
func TestOwnTokenNotRevoked(t *testing.T) {
	for _, test := range []struct {
		refuses string
		want    string
	}{
		{"sys/leases/revoke", ""},
		{"auth/token/revoke-self", "vault token not revoked\" err=\"vault at http://vault.invalid: auth/token/revoke-self: 403"},
	} {
		var lines record
		simulate(t, Config{Login: approle(t), RevokeOnStop: true, Log: lines.log()}, func(f *fake, s *Source, fl *follower) {
			fl.watch(query(t, db))
			fl.pass(time.Second)
			f.do(func() { f.refuses[test.refuses] = 403 })
			fl.set.Close()
			s.Close()
			text := lines.String()
			if f.live() != 0 || strings.Contains(text, "not revoked") != (test.want != "") || !strings.Contains(text, test.want) {
				t.Errorf("%s: %d leases live; the log has %s", test.refuses, f.live(), text)
			}
		})
	}
}
