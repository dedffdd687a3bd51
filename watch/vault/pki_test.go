package vault

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"render/watch"
	"render/watch/hint"
	"render/watch/sourcetest"
	"render/watch/vault/pemfile"
	"render/watch/vaulttest"
)

func pkiCert(t testing.TB, path string, destination string, pairs ...string) watch.Query {
	t.Helper()
	var files []string
	if destination != "" {
		files = []string{destination}
	}
	q, err := watch.NewPKICert(path, pairs, files)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// A certificate is issued once, however often the process starts, until the destination's is of no use.
func TestPKICert(t *testing.T) {
	server := real(t)
	server.Put(t, "sys/mounts/pki", map[string]any{"type": "pki"})
	server.Put(t, "pki/root/generate/internal", map[string]any{"common_name": "the CA", "ttl": "24h", "key_type": "ec"})
	server.Put(t, "pki/roles/web", map[string]any{"allow_any_name": true, "key_type": "ec", "key_bits": 256, "max_ttl": "12h", "allowed_uri_sans": "*"})
	path := filepath.Join(t.TempDir(), "cert.pem")
	issue := func(pairs ...string) *watch.PKICert {
		t.Helper()
		src := of(t, server, Config{}) // a process that starts
		return sourcetest.Fetch(t, src, pkiCert(t, "pki/issue/web", path, pairs...)).(*watch.PKICert)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	first := issue("common_name=a.test", "alt_names=b.test")
	if first.Cert == "" || first.Key == "" || first.CA == "" || len(first.CAChain) != 1 || first.Data() != first {
		t.Fatalf("got %+v", first)
	}
	if left := time.Until(first.Expires()); left < 11*time.Hour || left > 13*time.Hour {
		t.Errorf("expires in %s", left)
	}
	whole := "some text\n" + first.Cert + "more\n" + first.Key + first.CA
	tests := []struct {
		name  string
		text  string
		pairs []string
		same  bool
	}{
		{"all of it", whole, []string{"common_name=a.test", "alt_names=b.test"}, true},
		{"in another order", first.CA + first.Key + first.Cert, []string{"common_name=a.test", "alt_names=B.test"}, true},
		{"no CA, which nobody uses", first.Cert + first.Key, []string{"common_name=a.test", "alt_names=b.test"}, true},
		{"no key", first.Cert + first.CA, []string{"common_name=a.test", "alt_names=b.test"}, false},
		{"another name", whole, []string{"common_name=c.test", "alt_names=b.test"}, false},
		{"one name more", whole, []string{"common_name=a.test", "alt_names=b.test,c.test"}, false},
		{"one name less", whole, []string{"common_name=a.test"}, false},
		{"one address more", whole, []string{"common_name=a.test", "alt_names=b.test", "ip_sans=10.0.0.1"}, false},
		{"cut off", whole[:len(whole)-40], []string{"common_name=a.test", "alt_names=b.test"}, true},
		{"broken certificate", strings.Replace(whole, first.Cert, "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n", 1), []string{"common_name=a.test", "alt_names=b.test"}, false},
		{"other PEM", "-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n" + whole, []string{"common_name=a.test", "alt_names=b.test"}, true},
		{"nothing", "", []string{"common_name=a.test", "alt_names=b.test"}, false},
		{"in YAML", "cert: |\n  " + strings.ReplaceAll(first.Cert, "\n", "\n  ") + "\nkey: " + first.Key, []string{"common_name=a.test", "alt_names=b.test"}, true},
		{"in JSON", fmt.Sprintf("{%q:%q,%q:%q}", "c", first.Cert, "k", first.Key), []string{"common_name=a.test", "alt_names=b.test"}, true},
		{"no PEM", "-----BEGIN", []string{"common_name=a.test", "alt_names=b.test"}, false},
		{"another CA", first.Cert + first.Key + certificate(t, "another", time.Hour, true).Cert, []string{"common_name=a.test", "alt_names=b.test"}, false},
		{"another key", first.Cert + certificate(t, "a.test", time.Hour, false).Key, []string{"common_name=a.test", "alt_names=b.test"}, false},
	}
	for _, test := range tests {
		write(test.text)
		if got := issue(test.pairs...); (got.Cert == first.Cert) != test.same {
			t.Errorf("%s: the same certificate is %t, want %t", test.name, !test.same, test.same)
		}
	}
	write(whole)
	dry := of(t, server, Config{ReadOnly: true})
	if got := sourcetest.Fetch(t, dry, pkiCert(t, "pki/issue/web", path, "common_name=a.test", "alt_names=b.test")).(*watch.PKICert); got.Cert != first.Cert {
		t.Error("a dry run has another certificate than the destination")
	}
	if _, _, err := dry.Fetch(t.Context(), pkiCert(t, "pki/issue/web", path, "common_name=c.test"), 0); !errors.Is(err, watch.ErrDenied) || !errors.Is(err, readOnlyError{}) {
		t.Errorf("a dry run issues a certificate: %v", err)
	}
	server.Put(t, "sys/mounts/other", map[string]any{"type": "pki"})
	q := pkiCert(t, "pki/issue/web", path, "common_name=a.test", "alt_names=b.test")
	away := of(t, server, Config{Address: "http://127.0.0.1:1"})
	if got := sourcetest.Fetch(t, away, q).(*watch.PKICert); got.Cert != first.Cert {
		t.Error("another certificate although Vault is away")
	}

	all, err := server.Do("LIST", "pki/certs", nil)
	if err != nil {
		t.Fatal(err)
	}
	issued := len(all["data"].(map[string]any)["keys"].([]any))
	src := of(t, server, Config{})
	for range 3 {
		sourcetest.Fetch(t, src, pkiCert(t, "pki/issue/web", "", "common_name=a.test"))
	}
	all, err = server.Do("LIST", "pki/certs", nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(all["data"].(map[string]any)["keys"].([]any)) - issued; n != 1 {
		t.Errorf("issued %d times for one query", n)
	}
}

// A certificate of a secret is issued once, for all that ask, for an edit and for other settings. Each start issues another, and says so once.
func TestIssuedOnce(t *testing.T) {
	server := real(t)
	mount := fmt.Sprint("once-", time.Now().UnixNano())
	server.Put(t, "sys/mounts/"+mount, map[string]any{"type": "pki"})
	server.Put(t, mount+"/root/generate/internal", map[string]any{"common_name": "CA", "ttl": "24h", "key_type": "ec"})
	server.Put(t, mount+"/roles/web", map[string]any{"allow_any_name": true, "key_type": "ec", "key_bits": 256, "max_ttl": "12h"})
	issued := func() int {
		t.Helper()
		all, err := server.Do("LIST", mount+"/certs", nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(all["data"].(map[string]any)["keys"].([]any)) - 1 // the CA's
	}

	path := filepath.Join(t.TempDir(), "cert.pem")
	for start := 1; start <= 2; start++ {
		var lines record
		src := of(t, server, Config{Log: lines.log()})
		kept := sourcetest.Fetch(t, src, pkiCert(t, mount+"/issue/web", path, "common_name=a.test")).(*watch.PKICert)
		if err := os.WriteFile(path, []byte(kept.Cert+kept.Key), 0o600); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(lines.String(), "vault issued a certificate") {
			t.Errorf("start %d: a certificate that the file keeps is logged: %s", start, lines.String())
		}

		var first *watch.Secret
		for step := range 4 {
			for _, name := range []string{"b.test", "c.test"} {
				q := writing(t, mount+"/issue/web", "common_name="+name)
				got := sourcetest.Fetch(t, src, q).(*watch.Secret)
				if first == nil {
					first = got
				}
				if name == "b.test" && got.Data["serial_number"] != first.Data["serial_number"] {
					t.Errorf("start %d, step %d: another certificate", start, step)
				}
				if step == 1 {
					src.Forget(q) // a template that is edited
				}
			}
			if step == 2 { // a reload
				next := *src.cfg.Load()
				next.LeaseDuration, next.MaxConnections = time.Hour, 3
				src.change(next)
			}
		}
		if n := issued(); n != 1+2*start {
			t.Errorf("start %d: %d certificates, want %d", start, n, 1+2*start)
		}
		if n := strings.Count(lines.String(), "vault issued a certificate; each start requests another, use pkiCert"); n != 1 {
			t.Errorf("start %d: logged %d times: %s", start, n, lines.String())
		}
	}
}

// The certificate of a file is used at once. It is replaced soon where Vault has revoked it, or has another CA; not where it is as it was.
func TestPKICertIsKnown(t *testing.T) {
	server := real(t)
	t.Parallel()
	mount := func(issuers ...string) {
		t.Helper()
		server.Put(t, "sys/mounts/known", map[string]any{"type": "pki"})
		for _, name := range issuers {
			server.Put(t, "known/root/generate/internal", map[string]any{"common_name": name, "issuer_name": name, "ttl": "24h", "key_type": "ec"})
		}
		server.Put(t, "known/roles/web", map[string]any{"allow_any_name": true, "key_type": "ec", "key_bits": 256, "max_ttl": "12h", "issuer_ref": issuers[len(issuers)-1]})
		server.Put(t, "known/roles/unstored", map[string]any{"allow_any_name": true, "key_type": "ec", "key_bits": 256, "max_ttl": "12h", "no_store": true})
	}
	mount("one", "other")
	dir := t.TempDir()
	revoke := func(first *watch.PKICert) {
		server.Put(t, "known/revoke", map[string]any{"certificate": first.Cert})
	}
	steps := []struct {
		name     string
		role     string
		do       func(first *watch.PKICert)
		replaced bool
	}{
		{"as it was, by an issuer that is not the default", "web", func(*watch.PKICert) {}, false},
		{"as it was, and not stored", "unstored", func(*watch.PKICert) {}, false},
		{"revoked", "web", revoke, true},
		{"another CA", "web", func(*watch.PKICert) {
			server.Must(t, "DELETE", "sys/mounts/known", nil)
			mount("new")
		}, true},
		{"no such engine", "web", func(*watch.PKICert) { server.Must(t, "DELETE", "sys/mounts/known", nil) }, false},
	}
	for i, step := range steps {
		path := filepath.Join(dir, strings.ReplaceAll(step.name, " ", "-"))
		q := pkiCert(t, "known/issue/"+step.role, path, "common_name=a.test")
		first := sourcetest.Fetch(t, of(t, server, Config{}), q).(*watch.PKICert)
		if err := os.WriteFile(path, []byte(first.Cert+first.Key), 0o600); err != nil {
			t.Fatal(err)
		}
		step.do(first)

		var lines record
		src := of(t, server, Config{Log: lines.log()})
		value, index, err := src.Fetch(t.Context(), q, 0)
		if err != nil || value.(*watch.PKICert).Cert != first.Cert {
			t.Fatalf("%d, %s: got %v, %v", i, step.name, value, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), map[bool]time.Duration{true: 20 * time.Second, false: time.Second}[step.replaced])
		value, _, err = src.Fetch(ctx, q, index)
		cancel()
		if replaced := err == nil && value.(*watch.PKICert).Cert != first.Cert; replaced != step.replaced {
			t.Errorf("%s: replaced is %t; %v", step.name, replaced, err)
		}
		if logged := strings.Contains(lines.String(), "vault does not know the certificate"); logged != step.replaced {
			t.Errorf("%s: the log has %s", step.name, lines.String())
		}
	}
}

// The certificate of a file is an answer although nobody can log in.
func TestPKICertWithoutLogin(t *testing.T) {
	simulate(t, Config{Login: approle(t)}, func(f *fake, s *Source, fl *follower) {
		path := filepath.Join(t.TempDir(), "cert.pem")
		cert := certificateFrom(t, "a.test", time.Now(), time.Hour, false)
		if err := os.WriteFile(path, []byte(cert.Cert+cert.Key), 0o600); err != nil {
			t.Fatal(err)
		}
		f.do(func() { f.down = true })
		q := pkiCert(t, "pki/issue/web", path, "common_name=a.test")
		fl.watch(q)
		fl.pass(10 * time.Minute)
		if st := fl.states[q]; st.Err != nil || !watch.Equal(st.Value, cert) {
			t.Errorf("got %+v", st)
		}
	})
}

// A certificate with a short life is used, and replaced while it is valid.
func TestPKICertClock(t *testing.T) {
	tests := []struct {
		name        string
		lives       time.Duration // from now on
		began       time.Duration // before
		least, most int           // issued in an hour
	}{
		{"an hour", time.Hour, 30 * time.Second, 2, 2},
		{"a minute", time.Minute, 30 * time.Second, 65, 78},
		{"past its threshold when issued", 10 * time.Second, 10 * time.Minute, 500, 620},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
				f.issue = func() *watch.PKICert {
					return certificateFrom(t, "a.test", time.Now().Add(-test.began), test.lives+test.began, false)
				}
				q := pkiCert(t, "pki/issue/web", filepath.Join(t.TempDir(), "none"), "common_name=a.test")
				fl.watch(q)
				for range 360 {
					fl.pass(10*time.Second - 1)
					st := fl.states[q]
					if st.Err != nil || !time.Now().Before(st.Expires) {
						t.Fatalf("got %+v", st)
					}
					fl.pass(1)
				}
				if n := f.count("PUT pki/issue/web"); n < test.least || n > test.most {
					t.Errorf("issued %d times", n)
				}
			})
		})
	}
}

// An answer to a write that is of no use is not asked for again and again: each time creates more. A run with once ends at the first.
func TestUselessAnswers(t *testing.T) {
	ca := func() object { return object{"certificate": certificate(t, "a CA", time.Hour, true).Cert} }
	tests := []struct {
		name, path string
		pairs      []string
		answer     func() object // nil for none
		want, hint string
	}{
		{"not PEM", "pki/issue/web", []string{"format=der"}, func() object { return object{"certificate": "MIIB"} }, "no certificate in the format PEM", "leave out format=der"},
		{"that of a CA", "pki/issue/web", nil, ca, "no certificate that is not a CA's", hintIssues},
		{"none", "pki/issue/web", nil, func() object { return object{} }, "no certificate that is not a CA's", hintIssues},
		{"empty", "kv1/web", nil, nil, "the answer is empty (204)", hintIssues},
		{"expired", "pki/issue/web", nil, func() object {
			return object{"certificate": certificateFrom(t, "a.test", time.Now().Add(-2*time.Hour), time.Hour, false).Cert}
		}, "are the clocks right?", ""},
	}
	for _, test := range tests {
		simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
			f.issued = test.answer
			q := pkiCert(t, test.path, filepath.Join(t.TempDir(), "none"), append(test.pairs, "common_name=a.test")...)
			other := query(t, "db/creds/other")
			fl.watch(q, other)
			fl.pass(time.Second)
			_, _, err := s.Fetch(f.t.Context(), q, 0)
			if !errors.Is(err, watch.ErrDenied) || !strings.Contains(err.Error(), test.want) || test.hint != "" && !strings.Contains(hint.Text(err), "hint: "+test.hint) {
				t.Errorf("%s: got %v", test.name, err)
			}

			// Neither readers nor the end of an outage make that sooner, or another token.
			f.do(func() { f.down = true })
			fl.watch(query(t, "db/creds/more"))
			fl.pass(20 * time.Second)
			f.do(func() { f.down, f.tokens["other"] = false, &fakeToken{} })
			fl.pass(20 * time.Second)
			s.tokens.use("other")
			for range 20 {
				fl.pass(5 * time.Second)
				_, _, _ = s.Fetch(f.t.Context(), q, 0)
			}
			asked := "PUT " + test.path
			if n := f.count(asked); n != 1 {
				t.Errorf("%s: written %d times within two minutes: %s", test.name, n, f.requests())
			}
			fl.pass(time.Hour)
			if n := f.count(asked); n < 12 || n > 16 {
				t.Errorf("%s: written %d times in an hour", test.name, n)
			}
			if st := fl.states[q]; st.Err == nil || fl.states[other].Err != nil {
				t.Errorf("%s: got %+v and %+v", test.name, st, fl.states[other])
			}
		})
	}
}

// A path that Vault does not know creates nothing: it is asked for again as after any failure.
func TestPKICertOfNothing(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.do(func() { f.refuses["pki/issue/web"] = http.StatusNotFound })
		f.issue = func() *watch.PKICert { return certificate(t, "a.test", time.Hour, false) }
		q := pkiCert(t, "pki/issue/web", filepath.Join(t.TempDir(), "none"), "common_name=a.test")
		fl.watch(q)
		fl.pass(10 * time.Second)
		if st := fl.states[q]; st.Err == nil || errors.Is(st.Err, watch.ErrDenied) || f.count("PUT pki/issue/web") < 3 {
			t.Errorf("got %+v; %s", st, f.requests())
		}
		f.do(func() { clear(f.refuses) })
		fl.pass(20 * time.Second)
		if st := fl.states[q]; st.Err != nil {
			t.Errorf("got %v", st.Err)
		}
	})
}

// Certificates that were issued together are not replaced together, neither by the process that had them issued nor by another.
func TestPKICertsSpread(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
			const n = 20
			c := certificateFrom(t, "a.test", time.Now(), 10*time.Hour, false)
			f.issue = func() *watch.PKICert { return certificateFrom(t, "a.test", time.Now(), 10*time.Hour, false) }
			var all []watch.Query
			for i := range n {
				path := filepath.Join(t.TempDir(), fmt.Sprint(i))
				if restarts {
					if err := os.WriteFile(path, []byte(c.Cert+c.Key), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				all = append(all, pkiCert(t, "pki/issue/web", path, "common_name=a.test", fmt.Sprint("serial_number=", i)))
			}
			fl.watch(all...)
			fl.pass(time.Minute)
			first := f.count("PUT pki/issue/web")
			if want := map[bool]int{false: n}[restarts]; first != want {
				t.Fatalf("issued %d times, want %d", first, want)
			}
			most := 0
			for last := first; time.Since(f.began) < 9*time.Hour; {
				fl.pass(time.Minute)
				now := f.count("PUT pki/issue/web")
				most, last = max(most, now-last), now
				if now > first && time.Since(f.began) < 8*time.Hour {
					t.Fatalf("replaced after %s", time.Since(f.began))
				}
			}
			if total := f.count("PUT pki/issue/web") - first; total != n || most > n/2 {
				t.Errorf("%d certificates were replaced, %d of them within a minute", total, most)
			}
		})
	}
}

// A certificate that the destination has is used in an outage, too, and after it: nothing is issued in its place.
func TestPKICertInOutage(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		kept := certificate(t, "a.test", 24*time.Hour, false)
		f.issue = func() *watch.PKICert { return certificate(t, "a.test", 24*time.Hour, false) }
		path := filepath.Join(t.TempDir(), "cert.pem")
		if err := os.WriteFile(path, []byte(kept.Cert+kept.Key), 0o600); err != nil {
			t.Fatal(err)
		}
		f.do(func() { f.down = true })
		for i := range 5 {
			fl.watch(query(t, fmt.Sprint("db/creds/", i)))
		}
		fl.pass(20 * time.Second)
		if s.client.OutageEnds() == nil {
			t.Fatal("there is no outage")
		}

		q := pkiCert(t, "pki/issue/web", path, "common_name=a.test")
		fl.watch(q)
		fl.pass(5 * time.Second)
		f.do(func() { f.down = false })
		fl.pass(time.Hour)
		if got, ok := fl.states[q].Value.(*watch.PKICert); !ok || got.Cert != kept.Cert || fl.states[q].Err != nil {
			t.Errorf("got %+v", fl.states[q])
		}
		if n := f.count("PUT pki/issue/web"); n != 0 {
			t.Errorf("issued %d times although the destination has a certificate", n)
		}
	})
}

// The clock of Vault may be seconds behind: what it issues is valid by both clocks, also where its life is short.
func TestClockOfVault(t *testing.T) {
	const behind = 3 * time.Second
	for _, lives := range []time.Duration{5 * time.Second, 10 * time.Second, time.Minute} {
		simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
			f.longest = 3 * f.lasts
			f.issue = func() *watch.PKICert {
				return certificateFrom(t, "a.test", time.Now().Add(-behind), lives, false)
			}
			file, write, leased := pkiCert(t, "pki/issue/web", "", "common_name=a.test"), writing(t, "pki/issue/web", "common_name=b.test"), query(t, db)
			fl.watch(file, write, leased)
			for range 600 {
				fl.pass(lives / 20)
				cert, _ := fl.states[file].Value.(*watch.PKICert)
				secret, _ := fl.states[write].Value.(*watch.Secret)
				if cert == nil || secret == nil || !f.valid(fl.password(leased)) {
					t.Fatalf("got %v, %v and %+v", cert, secret, fl.states[leased])
				}
				for _, text := range []string{cert.Cert, secret.Data["certificate"].(string)} {
					if leaf := pemfile.Scan([]byte(text)).Leaf; !time.Now().Before(leaf.NotAfter) {
						t.Fatalf("%s: after %s there is a certificate that has expired at %s", lives, time.Since(f.began), leaf.NotAfter)
					}
				}
			}
			if n := f.count("PUT pki/issue/web"); n > 2*30*20 {
				t.Errorf("%s: issued %d times", lives, n)
			}
		})
	}
}

func writing(t testing.TB, path string, pairs ...string) watch.Query {
	t.Helper()
	q, err := watch.NewSecretWrite(path, pairs...)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// certificateFor returns a certificate of a server, or of a client, that signs itself.
func certificateFor(t testing.TB, name string, at net.IP) *watch.PKICert {
	t.Helper()
	return signed(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{at}, IsCA: true, BasicConstraintsValid: true}, time.Now().Add(-time.Minute), time.Hour)
}

// certificate returns a certificate that signs itself.
func certificate(t testing.TB, name string, lives time.Duration, ca bool) *watch.PKICert {
	t.Helper()
	return certificateFrom(t, name, time.Now().Add(-time.Minute), lives+time.Minute, ca)
}

func certificateFrom(t testing.TB, name string, from time.Time, lives time.Duration, ca bool) *watch.PKICert {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IsCA: ca, BasicConstraintsValid: ca}
	if ca {
		template.DNSNames = nil
	}
	return signed(t, template, from, lives)
}

func signed(t testing.TB, template *x509.Certificate, from time.Time, lives time.Duration) *watch.PKICert {
	t.Helper()
	cert, key := vaulttest.SelfSigned(t, template, from, lives)
	return &watch.PKICert{Cert: cert, Key: key}
}
