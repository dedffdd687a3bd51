package vault

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"render/watch"
)

// A pair is a template for the certificate and another for its key, with the same path and pairs.
type certPair struct {
	dir       string
	cert, key watch.Query
}

func newCertPair(t *testing.T) certPair {
	t.Helper()
	p := certPair{dir: t.TempDir()}
	of := func(file, field string) watch.Query {
		q, err := watch.NewPKICert("pki/issue/web", []string{"common_name=a.test"}, []string{filepath.Join(p.dir, file)}, field)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	p.cert, p.key = of("pem", "Cert"), of("key", "Key")
	return p
}

// write writes the files of both templates.
func (p certPair) write(t *testing.T, cert, key string) {
	t.Helper()
	for file, text := range map[string]string{"pem": cert, "key": key} {
		if err := os.WriteFile(filepath.Join(p.dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Templates with the same path and pairs have one certificate, which is issued and replaced once, also after one of them is gone.
func TestPKICertTogether(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.issue = func() *watch.PKICert { return certificateFrom(t, "a.test", time.Now(), time.Hour, false) }
		p := newCertPair(t)
		fl.watch(p.cert, p.key)
		same := func(when string, issued int) {
			t.Helper()
			cert, key := fl.states[p.cert], fl.states[p.key]
			if cert.Err != nil || key.Err != nil || cert.Value == nil || !watch.Equal(cert.Value, key.Value) {
				t.Fatalf("%s: got %+v and %+v", when, cert, key)
			}
			if n := f.count("PUT pki/issue/web"); n != issued {
				t.Fatalf("%s: issued %d times, want %d", when, n, issued)
			}
		}
		fl.pass(time.Second)
		same("at the start", 1)
		fl.pass(time.Hour)
		same("after an hour", 2)

		fl.set.Forget(p.cert)
		fl.pass(time.Minute)
		fl.watch(p.cert)
		fl.pass(time.Minute)
		same("after a template was away", 2)
		fl.set.Forget(p.key)
		fl.pass(time.Hour)
		if n := f.count("PUT pki/issue/web"); n != 3 || fl.states[p.cert].Err != nil {
			t.Errorf("issued %d times after one template is gone: %+v", n, fl.states[p.cert])
		}
	})
}

// After a start, the certificate is the one of one file with the key of the other, whoever comes first, and also while Vault is away.
func TestPKICertOfTwoFiles(t *testing.T) {
	for _, down := range []bool{false, true} {
		for _, first := range []string{"cert", "key", "both"} {
			simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
				f.issue = func() *watch.PKICert { return certificateFrom(t, "a.test", time.Now(), time.Hour, false) }
				p := newCertPair(t)
				kept := certificateFrom(t, "a.test", time.Now(), 24*time.Hour, false)
				p.write(t, kept.Cert, kept.Key)
				f.do(func() { f.down = down })
				switch first {
				case "cert":
					fl.watch(p.cert)
					fl.pass(time.Minute)
					fl.watch(p.key)
				case "key":
					fl.watch(p.key)
					fl.pass(togetherWithin - 1)
					fl.watch(p.cert)
				default:
					fl.watch(p.key, p.cert)
				}
				fl.pass(time.Minute)
				cert, key := fl.states[p.cert], fl.states[p.key]
				if cert.Err != nil || key.Err != nil || !watch.Equal(cert.Value, kept) || !watch.Equal(key.Value, kept) || f.count("PUT pki/issue/web") != 0 {
					t.Errorf("down is %t, %s first: issued %d times, got %+v and %+v", down, first, f.count("PUT pki/issue/web"), cert, key)
				}
			})
		}
	}
}

// Files that do not fit together, as of two certificates, are both replaced. While that is not possible, the template with the certificate
// alone has no failure.
func TestPKICertOfForeignFiles(t *testing.T) {
	var lines record
	simulate(t, Config{Log: lines.log()}, func(f *fake, s *Source, fl *follower) {
		issued := 0
		f.issue = func() *watch.PKICert {
			issued++
			return certificateFrom(t, "a.test", time.Now(), time.Hour, false)
		}
		p := newCertPair(t)
		kept, other := certificateFrom(t, "a.test", time.Now(), 24*time.Hour, false), certificateFrom(t, "a.test", time.Now(), 24*time.Hour, false)
		p.write(t, kept.Cert, other.Key)
		f.do(func() { f.down = true })
		fl.watch(p.cert)
		fl.pass(time.Second)
		fl.watch(p.key)
		fl.pass(2 * time.Minute)
		cert, key := fl.states[p.cert], fl.states[p.key]
		if value, _ := cert.Value.(*watch.PKICert); cert.Err != nil || value == nil || value.Cert != kept.Cert || key.Err == nil {
			t.Errorf("while Vault is away: got %+v and %+v", cert, key)
		}
		f.do(func() { f.down = false })
		fl.pass(2 * time.Minute)
		cert, key = fl.states[p.cert], fl.states[p.key]
		value, _ := key.Value.(*watch.PKICert)
		if cert.Err != nil || key.Err != nil || !watch.Equal(cert.Value, key.Value) || value == nil || value.Key == other.Key || issued != 1 {
			t.Errorf("issued %d times, got %+v and %+v", issued, cert, key)
		}
	})
	if n := strings.Count(lines.String(), "certificate of a file is not used"); n != 1 {
		t.Errorf("logged %d times: %s", n, lines.String())
	}
}

// A key whose certificate nobody wants any more does not wait for long.
func TestPKICertOfKeyAlone(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.issue = func() *watch.PKICert { return certificateFrom(t, "a.test", time.Now(), time.Hour, false) }
		p := newCertPair(t)
		p.write(t, "", certificateFrom(t, "a.test", time.Now(), 24*time.Hour, false).Key)
		fl.watch(p.key)
		fl.pass(togetherWithin + time.Second)
		if st := fl.states[p.key]; st.Err != nil || st.Value == nil || f.count("PUT pki/issue/web") != 1 {
			t.Errorf("issued %d times, got %+v", f.count("PUT pki/issue/web"), st)
		}
	})
}

// What a start with templates that share a certificate costs grows as their number does. What is counted is how often memory is taken.
func TestPKICertOfManyTemplates(t *testing.T) {
	const few = 50
	cost := func(templates int) (n uint64) {
		simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
			dir, kept := t.TempDir(), certificateFrom(t, "a.test", time.Now(), 24*time.Hour, false)
			queries := make([]watch.Query, templates)
			for i := range queries {
				file := filepath.Join(dir, strconv.Itoa(i))
				if err := os.WriteFile(file, []byte(kept.Cert+kept.Key), 0o600); err != nil {
					t.Fatal(err)
				}
				queries[i] = pkiCert(t, "pki/issue/web", file, "common_name=a.test")
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			fl.watch(queries...)
			fl.pass(time.Minute)
			runtime.ReadMemStats(&after)
			for _, q := range queries {
				if !watch.Equal(fl.states[q].Value, kept) {
					t.Fatalf("got %+v", fl.states[q])
				}
			}
			n = after.Mallocs - before.Mallocs
		})
		return n
	}
	if a, b := cost(few), cost(16*few); b > 2*16*a {
		t.Errorf("%d for %d templates, %d for %d", a, few, b, 16*few)
	}
}
