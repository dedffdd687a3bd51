package consul

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"render/watch"
)

// Certificates and a token that cannot be read for a moment are read by the next look.
func TestCredentialsOnceUnreadable(t *testing.T) {
	a := newAuthority(t, "a")
	dir := t.TempDir()
	cert, key := a.issue("one")
	ca := write(t, filepath.Join(dir, "ca"), a.pem)
	certFile, keyFile := write(t, filepath.Join(dir, "cert"), cert), write(t, filepath.Join(dir, "key"), key)
	token := write(t, filepath.Join(dir, "token"), []byte("one"))
	c, err := New(Config{Address: "consul:8501", TokenFile: token, TLS: TLS{Enabled: true, CACert: ca, Cert: certFile, Key: keyFile}})
	check(t, err)
	defer c.Close()
	first := c.agent.endpoint()

	cert, key = a.issue("two")
	write(t, certFile, cert)
	write(t, keyFile, key)
	write(t, token, []byte("two, which is longer"))
	var was syscall.Rlimit
	check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: was.Max}))
	c.agent.refreshCredentials(t.Context(), time.Now())
	during, duringToken := c.agent.endpoint(), c.agent.token()
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	if during != first || duringToken != "one" {
		t.Skip("the files could be read")
	}
	c.agent.refreshCredentials(t.Context(), time.Now())
	if c.agent.endpoint() == first || c.agent.token() != "two, which is longer" {
		t.Errorf("the previous certificate or token is still in use; token %q", c.agent.token())
	}
}

// A file that cannot be read to its end, as on a network file system that hangs, holds requests for a second once, and no longer.
func TestCredentialsHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write(t, path, []byte("secret"))
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(5)
		c, _ := f.consul(Config{TokenFile: path, Wait: 10 * time.Second})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(5 * time.Second)
		c.agent.mu.Lock()
		c.agent.creds.looking, c.agent.creds.looked = make(chan struct{}), time.Now() // one that does not end
		c.agent.mu.Unlock()
		f.put(paths[0], "4711")
		later(credentialsEvery + time.Millisecond)
		began := time.Now()
		for range 5 {
			if _, _, err := c.Fetch(t.Context(), queries[1], 0); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("requests were held for %s", took)
		}
		later(time.Minute)
		f.put(paths[2], "4712")
		later(time.Millisecond)
		fl.agree(t, f, queries, paths)
		c.agent.mu.Lock()
		close(c.agent.creds.looking)
		c.agent.creds.looking = nil
		c.agent.mu.Unlock()
		check(t, os.WriteFile(path, []byte("another"), 0o600))
		later(time.Minute)
		if got := c.agent.token(); got != "another" {
			t.Errorf("the token is %q", got)
		}
	})
}
