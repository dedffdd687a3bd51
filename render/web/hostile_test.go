package web

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"html"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"render/render"
	"render/render/disk"
	"render/render/run"
	"render/watch"
	"render/watch/consul"
	"render/watch/consultest"
)

// writeCertificate writes a certificate for 127.0.0.1 and its key.
func writeCertificate(t *testing.T, cert, key string, number int64) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	about := &x509.Certificate{SerialNumber: big.NewInt(number), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	signed, err := x509.CreateCertificate(rand.Reader, about, about, &secret.PublicKey, secret)
	check(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	check(t, err)
	check(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), 0o600))
	check(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// With a certificate an address speaks TLS only, and an address that stays speaks it after a reload. A certificate that changes on disk is used.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	settings := Settings{Addresses: []string{"127.0.0.1:0"}, Cert: cert, Key: key}
	s := newServer(t, newEngine())
	if err := s.Apply(settings); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its files: %v", err)
	}
	check(t, s.Apply(Settings{Addresses: settings.Addresses}))
	address := s.Addresses()[0]
	writeCertificate(t, cert, key, 1)
	check(t, s.Apply(settings))
	if s.Addresses()[0] != address {
		t.Errorf("it has moved to %s", s.Addresses()[0])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	serial := func() int64 {
		answer, err := client.Get("https://" + address + "/api/v1/status")
		check(t, err)
		defer answer.Body.Close()
		if answer.StatusCode != 200 || answer.ProtoMajor != 1 || answer.TLS.Version < tls.VersionTLS12 {
			t.Errorf("it answers %s by %s", answer.Status, answer.Proto)
		}
		return answer.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Errorf("it has the certificate %d", n)
	}
	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if answer, err := plain.Get("http://" + address + "/api/v1/status"); err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode == 200 {
			t.Error("it answers without TLS")
		}
	}
	writeCertificate(t, cert, key, 2)
	await(t, func() error {
		if n := serial(); n != 2 {
			return fmt.Errorf("it has the certificate %d", n)
		}
		return nil
	})
	check(t, os.WriteFile(cert, []byte("nothing"), 0o600))
	time.Sleep(checkEvery + 10*time.Millisecond) // until the file is looked at
	if n := serial(); n != 2 {
		t.Errorf("with a broken file it has the certificate %d", n)
	}
}

// Clients that do not read, write slowly, send much, or are many, are left or wait; others have their answers meanwhile.
func TestHostileClients(t *testing.T) {
	e := newSample(500, "")
	s := newServer(t, e)
	url := serve(t, s, Settings{})
	address := s.Addresses()[0]
	send := func(text string) net.Conn {
		conn, err := net.Dial("tcp", address)
		check(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, text)
		return conn
	}
	for range 50 { // who do not read
		send("GET /api/v1/targets HTTP/1.1\r\nHost: localhost\r\n\r\n" + "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		send("GET /targets HTTP/1.1\r\nHost: localhost\r\nX: ") // and who do not end
	}
	began := time.Now()
	for range 10 {
		e.feed.Note()
		if code, _, _ := get(t, http.DefaultClient, url+"/api/v1/status"); code != 200 {
			t.Errorf("the answer is %d", code)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("ten answers beside slow clients took %s", took)
	}
	for name, text := range map[string]string{
		"a large header": "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 100_000) + "\r\n\r\n",
		"a body":         "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n",
		"chunks":         "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
		"no host":        "GET / HTTP/1.1\r\n\r\n",
		"no HTTP":        "\x16\x03\x01\x00\x00hello\r\n\r\n",
	} {
		conn := send(text)
		check(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && !regexp.MustCompile(`^HTTP/1\.[01] 4\d\d `).MatchString(line) {
			t.Errorf("%s: %q", name, line)
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: no answer", name)
		}
	}
}

// There are so many streams of events, and not more; an engine that does not answer is said to be so.
func TestBusy(t *testing.T) {
	e := newEngine()
	s := newServer(t, e)
	url := serve(t, s, Settings{})
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: mostStreams + 10}}
	for range mostStreams {
		answer, err := client.Get(url + "/api/v1/events")
		check(t, err)
		t.Cleanup(func() { _ = answer.Body.Close() })
	}
	if code, h, _ := get(t, client, url+"/api/v1/events"); code != 503 || h.Get("Retry-After") == "" {
		t.Errorf("a further stream: %d", code)
	}
	if code, _, _ := get(t, client, url+"/"); code != 200 {
		t.Errorf("the page beside the streams: %d", code)
	}
}

// No page and no answer has a token, a secret, or the value of a key; a diff has values only where everybody may read the file.
func TestSecrets(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Consul")
	}
	const token, hidden, public = "11111111-2222-3333-4444-555555555555", "private-hunter3", "public-value"
	value := strings.Repeat("value-hunter2-", 20)
	dir := t.TempDir()
	check(t, os.Chmod(filepath.Dir(dir), 0o755)) // everybody may read what is in it
	agent, err := consultest.StartACL(t.Context(), "")
	check(t, err)
	t.Cleanup(agent.Stop)
	source, err := consul.New(consul.Config{Address: agent.Addr, Token: token})
	check(t, err)
	t.Cleanup(source.Close)
	put := func(suffix string) {
		check(t, agent.Put("indirect", value))
		check(t, agent.Put("private", hidden+suffix))
		check(t, agent.Put("public", public+suffix))
	}
	put("-1")
	engine, err := render.New(watch.ByKind{"": source}, render.Config{
		Targets: []render.Target{
			{Source: "indirect.ctmpl", Contents: `{{key (print "of/" (key "indirect"))}}`, Destination: filepath.Join(dir, "indirect")}, // the value is in the name of a query, which is shown shortened
			{Source: "private.ctmpl", Contents: `{{key "private"}}`, Destination: filepath.Join(dir, "private"), File: disk.Options{Perms: 0o600}, Action: "fails"},
			{Source: "public.ctmpl", Contents: `{{key "public"}}`, Destination: filepath.Join(dir, "public"), File: disk.Options{Perms: 0o644}},
			{Source: "fails.ctmpl", Contents: `{{fail (key "private")}}`, Destination: filepath.Join(dir, "fails")},
		},
		Actions: []render.Action{{Name: "fails", Spacing: time.Millisecond, Command: run.Command{Shell: "exit 1"}}},
		Env:     []string{"CONSUL_HTTP_TOKEN=" + token},
	})
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	t.Cleanup(func() { stop(); check(t, <-ended) })
	url := serve(t, newServer(t, engine), Settings{})
	commits := func(n int) {
		await(t, func() error {
			seen := 0
			for _, c := range engine.History().Commits() {
				for i := range c.Files {
					if strings.HasSuffix(c.Files[i].Path, "/public") {
						seen++
					}
				}
			}
			if seen < n {
				return fmt.Errorf("%d commits", seen)
			}
			return nil
		})
	}
	commits(1)
	put("-2")
	commits(2)

	now, err := engine.Snapshot(t.Context())
	check(t, err)
	paths := []string{"/", "/targets", "/actions", "/queries", "/history", "/api/v1/status", "/api/v1/targets", "/api/v1/actions", "/api/v1/queries", "/api/v1/history?limit=1000"}
	for _, x := range now.Targets {
		paths = append(paths, "/targets/"+x.ID)
	}
	for _, x := range now.Actions {
		paths = append(paths, "/actions/"+x.ID)
	}
	for _, x := range now.Queries {
		paths = append(paths, "/queries/"+x.ID)
	}
	for _, c := range engine.History().Commits() {
		paths = append(paths, fmt.Sprintf("/history/%d", c.Number))
	}
	diffs := 0
	for _, path := range paths {
		code, _, body := get(t, http.DefaultClient, url+path)
		if body = html.UnescapeString(body); code != 200 {
			t.Errorf("%s: %d", path, code)
		}
		for _, secret := range []string{token, value, hidden} {
			if i := strings.Index(body, secret); i >= 0 {
				t.Errorf("%s has %q: …%s", path, secret, body[max(0, i-200):min(len(body), i+60)])
			}
		}
		diffs += strings.Count(body, "+"+public+"-2")
	}
	if diffs == 0 {
		t.Error("no page has the diff of a file that everybody may read")
	}
}
