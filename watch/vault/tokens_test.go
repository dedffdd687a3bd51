package vault

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"render/watch"
	"render/watch/hint"
	"render/watch/sourcetest"
	"render/watch/vault/api"
	"render/watch/vault/unwrap"
	"render/watch/vaulttest"
)

func approle(t testing.TB) *Login {
	t.Helper()
	t.Setenv("TEST_SECRET_ID", "geheim")
	return &Login{Path: "auth/approle/login", Fields: map[string]string{"role_id": "r"}, Environment: map[string]string{"secret_id": "TEST_SECRET_ID"}}
}

// A login's token is renewed, and replaced before its longest time ends. Leases of the old one are replaced at once.
func TestLoginLasts(t *testing.T) {
	var lines record
	simulate(t, Config{Login: approle(t), Log: lines.log()}, func(f *fake, s *Source, fl *follower) {
		f.tokenTTL, f.longest = 10*time.Minute, 24*time.Hour // the longest time of a token is 40 minutes
		q, kv := query(t, db), query(t, "secret/app")
		f.values["secret/data/app"] = "v"
		fl.watch(q, kv)
		for range 4 * 3600 {
			fl.pass(time.Second)
			if !f.valid(fl.password(q)) {
				t.Fatalf("after %s the password is not valid: %s", time.Since(f.began), f.requests())
			}
			if st := fl.states[kv]; st.Err != nil || st.Rev != 1 {
				t.Fatalf("after %s: %+v", time.Since(f.began), st)
			}
		}
		if f.number(&f.logins) < 6 || f.number(&f.logins) > 9 || f.number(&f.made) > f.number(&f.logins)+1 {
			t.Errorf("%d logins, %d leases in four hours: %s", f.number(&f.logins), f.number(&f.made), f.requests())
		}
	})
	if strings.Contains(lines.String(), "geheim") || strings.Contains(lines.String(), "login-1") {
		t.Errorf("a secret shows in the log: %s", lines.String())
	}
}

// A token that Vault no longer knows is replaced at once, with all that hung on it.
func TestTokenRevoked(t *testing.T) {
	simulate(t, Config{Login: approle(t)}, func(f *fake, s *Source, fl *follower) {
		f.longest = 24 * time.Hour
		a, b := query(t, "db/creds/a"), query(t, "db/creds/b")
		fl.watch(a, b)
		fl.pass(10 * time.Second)
		f.do(func() { delete(f.tokens, "login-1") })
		noticed := false
		for range 60 {
			fl.pass(time.Second)
			if f.number(&f.logins) == 2 && !noticed {
				noticed = true
				fl.pass(2 * time.Second)
				if !f.valid(fl.password(a)) || !f.valid(fl.password(b)) {
					t.Errorf("two seconds after the login the passwords are not valid: %s", f.requests())
				}
			}
		}
		if !noticed || f.number(&f.made) != 4 {
			t.Errorf("%d logins, %d leases: %s", f.number(&f.logins), f.number(&f.made), f.requests())
		}
	})
}

// A token whose end would end leases is looked up once a minute: no other request may be sent for hours. For what has no lease it is not.
func TestTokenLookedUp(t *testing.T) {
	for _, test := range []struct {
		path     string
		lookups  int // in an hour
		replaced bool
	}{{"db/creds/a", 60, true}, {"kv1/app", 0, false}} {
		simulate(t, Config{Login: approle(t), LeaseDuration: 24 * time.Hour}, func(f *fake, s *Source, fl *follower) {
			f.lasts, f.longest, f.tokenTTL = 24*time.Hour, 24*time.Hour, 20*time.Hour
			f.values["kv1/app"] = "v"
			fl.watch(query(t, test.path))
			fl.pass(time.Hour)
			if n := f.count("GET auth/token/lookup-self"); n < test.lookups*9/10 || n > test.lookups*5/4 {
				t.Errorf("%s: %d lookups, want %d", test.path, n, test.lookups)
			}
			f.do(func() { delete(f.tokens, "login-1") })
			fl.pass(time.Minute + wellAfter)
			if f.number(&f.logins) != map[bool]int{false: 1, true: 2}[test.replaced] {
				t.Errorf("%s: %d logins", test.path, f.number(&f.logins))
			}
		})
	}
}

// A login that fails is retried, and logged with what Vault says; never with what was sent.
func TestLoginFails(t *testing.T) {
	var lines record
	login := &Login{Path: "/auth/approle/login/", Fields: map[string]string{"secret_id": "wrong"}}
	simulate(t, Config{Login: login, Log: lines.log()}, func(f *fake, s *Source, fl *follower) {
		q := query(t, db)
		fl.watch(q)
		fl.pass(10 * time.Minute)
		err := fl.states[q].Err
		if err == nil || !strings.Contains(err.Error(), "log in to vault by auth/approle/login: ") || strings.Contains(err.Error(), "id: wrong") {
			t.Errorf("got %v", err)
		}
		if n := f.count("PUT auth/approle/login"); n < 10 || n > 30 {
			t.Errorf("%d logins in ten minutes", n)
		}
		logged := func() int { return strings.Count(lines.String(), "vault login failed") }
		if n := logged(); n != 0 { // the error of the query says it
			t.Errorf("logged %d times", n)
		}
		f.do(func() { f.sealed = true })
		fl.pass(10 * time.Minute)
		if n := logged(); n != 1 { // for another reason
			t.Errorf("logged %d times: %s", n, lines.String())
		}
		f.do(func() { f.sealed = false })
		fl.pass(time.Minute)
	})
}

// A token that Vault does not know is logged once, unless a query fails because of it: whoever has the query logs that.
func TestTokenRejected(t *testing.T) {
	const line = "vault does not accept the token"
	var lines record
	simulate(t, Config{Token: "wrong", Log: lines.log()}, func(f *fake, s *Source, fl *follower) {
		q := query(t, "kv1/app")
		fl.watch(q)
		fl.pass(time.Hour)
		if err := fl.states[q].Err; !errors.Is(err, watch.ErrDenied) || !strings.Contains(strings.Join(hint.Of(err), "\n"), "wrong, revoked or expired") {
			t.Errorf("got %v", err)
		}
		if strings.Contains(lines.String(), line) {
			t.Errorf("the token is logged, too: %s", lines.String())
		}
	})

	simulate(t, Config{Token: "app", Log: lines.log()}, func(f *fake, s *Source, fl *follower) {
		f.tokens["app"] = &fakeToken{time.Now().Add(24 * time.Hour), time.Now().Add(100 * time.Hour)}
		f.lasts, f.longest = 24*time.Hour, 24*time.Hour
		q := query(t, db)
		fl.watch(q)
		fl.pass(time.Minute)
		f.do(func() { delete(f.tokens, "app") })
		fl.pass(time.Minute + wellAfter) // nothing but a look at the token shows it
		if n := strings.Count(lines.String(), line); n != 1 {
			t.Errorf("logged %d times: %s", n, lines.String())
		}
	})
}

// The error of a file that cannot be read has its whole path, or what that is relative to.
func TestLoginFile(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"none": "the path is relative to the working directory of render, " + here, filepath.Join(here, "none"): ""} {
		simulate(t, Config{Login: &Login{Path: "auth/approle/login", Files: map[string]string{"secret_id": path}}}, func(f *fake, s *Source, fl *follower) {
			q := query(t, "kv1/app")
			fl.watch(q)
			fl.pass(time.Second)
			err := fl.states[q].Err
			if err == nil || !strings.Contains(err.Error(), "read secret_id: open "+path+": ") || strings.Join(hint.Of(err), "\n") != want {
				t.Errorf("got %v, hints %q", err, hint.Of(err))
			}
		})
	}
}

// A token that may not ask about itself is no token that Vault does not know.
func TestTokenWithoutRights(t *testing.T) {
	for _, cfg := range []Config{{Login: approle(t)}, {Token: "app"}} {
		var lines record
		cfg.Log = lines.log()
		simulate(t, cfg, func(f *fake, s *Source, fl *follower) {
			f.tokens["app"] = &fakeToken{time.Now().Add(time.Hour), time.Now().Add(100 * time.Hour)}
			f.refuses["auth/token/lookup-self"], f.refuses["kv1/denied"] = 403, 403
			f.values["kv1/app"] = "v"
			well, denied := query(t, "kv1/app"), query(t, "kv1/denied")
			fl.watch(well, denied)
			fl.pass(10 * time.Hour)
			if st := fl.states[well]; st.Err != nil || st.Rev != 1 {
				t.Errorf("got %+v", st)
			}
			if !errors.Is(fl.states[denied].Err, watch.ErrDenied) {
				t.Errorf("got %v", fl.states[denied].Err)
			}
			if n := f.number(&f.logins); n > 4 || n > 0 != (cfg.Login != nil) {
				t.Errorf("%d logins in ten hours: %s", n, f.requests())
			}
			if n := f.count("GET auth/token/lookup-self"); n > 1300 {
				t.Errorf("asked about the token %d times", n)
			}
		})
		if strings.Contains(lines.String(), "WARN") {
			t.Error(lines.String())
		}
	}
}

// Whatever Vault says of the life of a token, render goes on and does not ask without a pause.
func TestTokenOfAnyLife(t *testing.T) {
	for _, number := range []json.Number{"9223372036854775807", "10000000000", "-10000000000", "1e300"} {
		for _, renewable := range []bool{false, true} {
			simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
				f.lookup = object{"ttl": number, "renewable": renewable}
				q := query(t, db)
				fl.watch(q)
				fl.pass(10 * time.Minute)
				if st := fl.states[q]; st.Err != nil || !f.valid(fl.password(q)) {
					t.Errorf("%s: got %+v", number, st)
				}
				if n := f.total(); n > 100 {
					t.Errorf("%s: %d requests in ten minutes: %s", number, n, f.requests())
				}
			})
		}
	}
}

// A token in its last second has no time left that Vault would tell in seconds: it ends all the same.
func TestTokenEndsNow(t *testing.T) {
	for _, test := range []struct {
		expires any
		ends    bool
	}{{nil, false}, {"2000-01-01T00:00:00.4Z", true}} {
		var lines record
		simulate(t, Config{Log: lines.log()}, func(f *fake, s *Source, fl *follower) {
			f.lookup = object{"ttl": 0, "expire_time": test.expires}
			fl.watch(query(t, "kv1/app"))
			fl.pass(time.Second)
		})
		if ends := !strings.Contains(lines.String(), "vault token does not expire"); ends != test.ends {
			t.Errorf("%v: %s", test.expires, lines.String())
		}
	}
}

// A token that is renewed lives on, whatever happens to Vault meanwhile; one that ends is logged in time.
func TestTokenRenewal(t *testing.T) {
	no := false
	tests := []struct {
		name   string
		cfg    Config
		until  time.Duration // the token's longest life
		fault  time.Duration // Vault is sealed from the 30th minute on for that long
		passes time.Duration
		valid  bool
		log    string
	}{
		{"renewed", Config{Token: "app"}, 100 * time.Hour, 0, 10 * time.Hour, true, ""},
		{"sealed for a while", Config{Token: "app"}, 100 * time.Hour, 20 * time.Minute, 10 * time.Hour, true, "vault token not renewed, retrying"},
		{"not renewed", Config{Token: "app", RenewToken: &no}, 100 * time.Hour, 0, 50 * time.Minute, true, "vault token ends and cannot be renewed"},
		{"its longest time ends", Config{Token: "app"}, 3 * time.Hour, 0, 4 * time.Hour, false, "vault token ends and cannot be renewed"},
		{"for ever", Config{Token: "root"}, 0, 0, 100 * time.Hour, true, "vault token does not expire"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var lines record
			test.cfg.Log = lines.log()
			simulate(t, test.cfg, func(f *fake, s *Source, fl *follower) {
				f.tokens["app"] = &fakeToken{time.Now().Add(time.Hour), time.Now().Add(test.until)}
				f.values["kv1/app"] = "v"
				q := query(t, "kv1/app")
				fl.watch(q)
				fl.pass(41 * time.Minute)
				f.do(func() { f.sealed = test.fault > 0 })
				fl.pass(min(test.fault, 15*time.Minute))
				f.do(func() { f.sealed = false })
				fl.pass(test.passes - 41*time.Minute - min(test.fault, 15*time.Minute))
				if valid := fl.states[q].Err == nil; valid != test.valid {
					t.Errorf("got %v; %s", fl.states[q].Err, f.requests())
				}
				if test.log == "" && strings.Contains(lines.String(), "WARN") || !strings.Contains(lines.String(), test.log) {
					t.Errorf("want %q in the log: %s", test.log, lines.String())
				}
			})
		})
	}
}

// A token is unwrapped once, for all sources of the process.
func TestUnwrap(t *testing.T) {
	known := new(unwrap.Memory)
	cfg := Config{Token: `{"token":"wrapping","ttl":60}`, UnwrapToken: new(true), Unwrapped: known}
	simulate(t, cfg, func(f *fake, s *Source, fl *follower) {
		f.tokens["wrapping"] = &fakeToken{}
		f.values["kv1/app"] = "v"
		q := query(t, "kv1/app")
		fl.watch(q)
		fl.pass(time.Second)
		if st := fl.states[q]; st.Err != nil || st.Rev != 1 {
			t.Fatalf("got %+v", st)
		}
		again := f.source(cfg)
		defer again.Close()
		if _, _, err := again.Fetch(f.t.Context(), q, 0); err != nil {
			t.Error(err)
		}
		if n := f.count("PUT sys/wrapping/unwrap"); n != 1 {
			t.Errorf("unwrapped %d times", n)
		}
	})

	// One that is used up already: logged, and not retried again and again.
	simulate(t, Config{Token: "wrapping", UnwrapToken: new(true)}, func(f *fake, s *Source, fl *follower) {
		q := query(t, "kv1/app")
		fl.watch(q)
		fl.pass(time.Hour)
		if err := fl.states[q].Err; err == nil || !strings.Contains(err.Error(), "unwrap the vault token: ") {
			t.Errorf("got %v", err)
		}
		if n := f.total(); n != 1 {
			t.Errorf("%d requests: %s", n, f.requests())
		}
	})
}

// Nothing is asked of Vault before somebody has a query.
func TestAsksNothing(t *testing.T) {
	simulate(t, Config{Login: approle(t)}, func(f *fake, s *Source, fl *follower) {
		fl.pass(24 * time.Hour)
		if f.total() > 0 {
			t.Errorf("requests without a query: %s", f.requests())
		}
	})
}

// A source that waits for another to unwrap the same token ends all the same.
func TestUnwrapWaits(t *testing.T) {
	sourcetest.Bubble(t, func(t *testing.T) {
		known := new(unwrap.Memory)
		var all []*Source
		for range 2 {
			f := newFake(t)
			f.down = true
			s := f.source(Config{Token: "wrapping", UnwrapToken: new(true), Unwrapped: known})
			all = append(all, s)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if _, _, err := s.Fetch(ctx, query(t, "kv1/app"), 0); err == nil {
				t.Error("there is an answer without Vault")
			}
			cancel()
		}
		began := time.Now()
		all[1].Close()
		if took := time.Since(began); took > 2*closing {
			t.Errorf("Close took %s", took)
		}

		f := newFake(t)
		f.tokens["wrapping"], f.values["kv1/app"] = &fakeToken{}, "v"
		next := f.source(Config{Token: "wrapping", UnwrapToken: new(true), Unwrapped: known})
		defer next.Close()
		time.AfterFunc(time.Second, all[0].Close)
		if _, _, err := next.Fetch(t.Context(), query(t, "kv1/app"), 0); err != nil {
			t.Error(err)
		}
	})
}

// The agent's token file may come late, and may change.
func TestTokenFile(t *testing.T) {
	server := real(t)
	server.Put(t, "kv1/token-file", map[string]any{"a": "1"})
	path := filepath.Join(t.TempDir(), "token")
	src := of(t, server, Config{AgentTokenFile: path})
	set := watch.NewSet(src, watch.SetConfig{})
	defer set.Close()
	q := query(t, "kv1/token-file")
	set.Watch(q)
	await := func(what string, is func(st watch.State) bool) {
		t.Helper()
		var last watch.State
		for late := time.After(10 * time.Second); ; {
			select {
			case <-set.Ready():
				if st, ok := set.Take()[q]; ok {
					last = st
				}
				if is(last) {
					return
				}
			case <-late:
				t.Fatalf("%s: got %+v", what, last)
			}
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}

	await("no file", func(st watch.State) bool { return st.Err != nil && strings.Contains(st.Err.Error(), path) })
	write("")
	write("wrong\n")
	await("a wrong token", func(st watch.State) bool { return errors.Is(st.Err, watch.ErrDenied) })
	write(`{"token": "` + server.Token + `"}`)
	await("the token", func(st watch.State) bool { return st.Err == nil && st.Rev == 1 })
}

// signedJWT returns a token for an hour, for the audience vault.
func signedJWT(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]any{"alg": "ES256", "typ": "JWT"}) + "." +
		part(map[string]any{"sub": "app", "aud": "vault", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// The token of a service account is read anew for each login.
func TestKubernetes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	simulate(t, Config{Kubernetes: &Kubernetes{Role: "app", JWTFile: path}}, func(f *fake, s *Source, fl *follower) {
		f.values["kv1/app"] = "v"
		q := query(t, "kv1/app")
		fl.watch(q)
		fl.pass(time.Minute)
		if err := fl.states[q].Err; err == nil || !strings.Contains(err.Error(), "log in to vault by auth/kubernetes/login: read jwt: ") {
			t.Errorf("got %v", err)
		}
		for i, jwt := range []string{"first", "second"} {
			if err := os.WriteFile(path, []byte(jwt+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			f.do(func() { clear(f.tokens) })
			fl.pass(7 * time.Minute)
			if st := fl.states[q]; st.Err != nil {
				t.Errorf("%s: %v", jwt, st.Err)
			}
			f.do(func() {
				if f.logins != i+1 || f.sent["jwt"] != jwt || f.sent["role"] != "app" {
					t.Errorf("%d logins, sent %v", f.logins, f.sent)
				}
			})
		}
	})
	if l := (Kubernetes{Role: "r", JWT: "j", Mount: "k8s"}).login(); l.Path != "auth/k8s/login" || l.Fields["jwt"] != "j" || l.Files != nil {
		t.Errorf("got %+v", l)
	}
}

// Logins of each method, and a token that is revoked meanwhile, on a real Vault.
func TestLogins(t *testing.T) {
	server := real(t)
	t.Parallel()
	server.Put(t, "kv1/login", map[string]any{"a": "1"})
	server.Put(t, "sys/policies/acl/login", map[string]any{"policy": `path "kv1/login" { capabilities = ["read"] }`})
	server.Put(t, "sys/auth/approle", map[string]any{"type": "approle"})
	server.Put(t, "auth/approle/role/app", map[string]any{"token_policies": "login", "token_ttl": "1h"})
	role := server.Must(t, "GET", "auth/approle/role/app/role-id", nil)["role_id"].(string)
	secret := server.Put(t, "auth/approle/role/app/secret-id", nil)["secret_id"].(string)
	server.Put(t, "sys/auth/userpass", map[string]any{"type": "userpass"})
	server.Put(t, "auth/userpass/users/app", map[string]any{"password": "geheim", "token_policies": "login"})
	file := filepath.Join(t.TempDir(), "secret-id")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	server.Put(t, "sys/auth/jwt", map[string]any{"type": "jwt"})
	server.Put(t, "auth/jwt/config", map[string]any{"jwt_validation_pubkeys": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))})
	server.Put(t, "auth/jwt/role/app", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_audiences": "vault", "token_policies": "login"})
	jwt := filepath.Join(t.TempDir(), "jwt")
	if err := os.WriteFile(jwt, []byte(signedJWT(t, key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name  string
		login *Login
	}{
		{"jwt", Kubernetes{Role: "app", JWTFile: jwt, Mount: "/jwt/"}.login()}, // which is what Kubernetes does
		{"approle", &Login{Path: "auth/approle/login", Fields: map[string]string{"role_id": role}, Files: map[string]string{"secret_id": file}}},
		{"userpass", &Login{Path: "auth/userpass/login/app", Fields: map[string]string{"password": "geheim"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src := of(t, server, Config{Login: test.login, LeaseDuration: time.Second})
			q := query(t, "kv1/login")
			value, index, err := src.Fetch(t.Context(), q, 0)
			if err != nil || value == nil {
				t.Fatalf("got %v, %v", value, err)
			}
			h, err := src.tokens.get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			server.Put(t, "auth/token/revoke", map[string]any{"token": h.token})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for failed := false; ; {
				_, at, err := src.Fetch(ctx, q, map[bool]uint64{true: 0, false: index}[failed])
				if ctx.Err() != nil {
					t.Fatalf("got %v", err)
				}
				if failed = err != nil; !failed && at != 0 {
					break
				}
			}
		})
	}
}

// A login with a certificate, of a Vault that speaks TLS.
func TestLoginByCertificate(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault")
	}
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, cert *watch.PKICert) (certFile, keyFile string) {
		t.Helper()
		certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem")
		if err := errors.Join(os.WriteFile(certFile, []byte(cert.Cert), 0o600), os.WriteFile(keyFile, []byte(cert.Key), 0o600)); err != nil {
			t.Fatal(err)
		}
		return certFile, keyFile
	}
	serverCert, serverKey := write("server", certificateFor(t, "vault", net.ParseIP("127.0.0.1")))
	ours := certificate(t, "app", time.Hour, false)
	cert, key := write("client", ours)
	other, otherKey := write("other", certificate(t, "other", time.Hour, false))

	server := vaulttest.StartTLS(t, serverCert, serverKey)
	server.Put(t, "kv1/login", map[string]any{"a": "1"})
	server.Put(t, "sys/policies/acl/login", map[string]any{"policy": `path "kv1/login" { capabilities = ["read"] }`})
	server.Put(t, "sys/auth/cert", map[string]any{"type": "cert"})
	server.Put(t, "auth/cert/certs/app", map[string]any{"certificate": ours.Cert, "token_policies": "login"})
	login := &Login{Path: "auth/cert/login", Fields: map[string]string{"name": "app"}}
	src := of(t, server, Config{Login: login, TLS: api.TLS{CACert: serverCert, Cert: cert, Key: key}})
	if value := sourcetest.Fetch(t, src, query(t, "kv1/login")); value == nil {
		t.Error("there is no secret")
	}
	refused := of(t, server, Config{Login: login, TLS: api.TLS{CACert: serverCert, Cert: other, Key: otherKey}})
	if _, _, err := refused.Fetch(t.Context(), query(t, "kv1/login"), 0); err == nil || !strings.Contains(err.Error(), "log in to vault by auth/cert/login: ") {
		t.Errorf("with a certificate that Vault does not know: %v", err)
	}
}
