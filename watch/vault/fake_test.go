package vault

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"render/watch"
	"render/watch/sourcetest"
	"render/watch/vault/pemfile"
)

// A fake is a Vault in a synctest bubble: requests take no time unless it is slow, and leases end when they should.
//
//	db/creds/NAME      a lease that can be renewed
//	fixed/NAME         a lease that cannot
//	rotating/NAME      ttl and rotation_period, without a lease
//	ldap/NAME          ttl alone, without a lease
//	kv1/NAME           values, with the lease duration that Vault tells of them
//	secret/data/NAME   values of KV v2
type fake struct {
	t *testing.T

	mu       sync.Mutex // guards what follows
	down     bool       // refuses connections
	sealed   bool
	lasts    time.Duration // a lease
	longest  time.Duration // a lease with all renewals
	rotates  time.Duration // a password
	began    time.Time
	tokens   map[string]*fakeToken
	leases   map[string]*fakeLease
	values   map[string]string
	made     int                  // leases
	asked    map[string]int       // requests by "METHOD path"
	times    []time.Time          // of all requests
	last     map[string]time.Time // by path: of the last request
	logins   int
	sent     map[string]any // by the last login
	refuses  map[string]int // status by path
	says     string         // with it
	warning  string         // with secrets of KV v2
	slow     time.Duration
	tokenTTL time.Duration // of a login
	issue    func() *watch.PKICert
	leasedAs string        // the lease of certificates, "" for none
	issued   func() object // the data that answer a request for a certificate, in place of issue
	old      bool          // secret/ is a KV v1
	hangs    string        // the path of requests that get no answer
	lookup   object        // what it says of a token, where it does not say the truth
	deep     bool          // secret/NAME/ are KV v2
}

type fakeToken struct{ until, most time.Time } // zero: for ever

type fakeLease struct {
	token         string
	password      string
	until, most   time.Time
	revoked       bool
	revokedByName bool // by a request
}

func newFake(t *testing.T) *fake {
	return &fake{
		t: t, lasts: time.Minute, longest: 5 * time.Minute, rotates: time.Minute, began: time.Now(),
		tokens: map[string]*fakeToken{"root": {}}, leases: make(map[string]*fakeLease), values: make(map[string]string),
		asked: make(map[string]int), last: make(map[string]time.Time), refuses: make(map[string]int), tokenTTL: time.Hour,
	}
}

// source returns a source that asks the fake.
func (f *fake) source(cfg Config) *Source {
	f.t.Helper()
	cfg.Address = "http://vault.invalid"
	if cfg.Token == "" && cfg.Login == nil && cfg.Kubernetes == nil {
		cfg.Token = "root"
	}
	cfg, err := cfg.fill(func(string) string { return "" }, "")
	if err != nil {
		f.t.Fatal(err)
	}
	s, err := newSource(cfg, func(http.RoundTripper) http.RoundTripper { return f })
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// do does something to the fake.
func (f *fake) do(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// count returns how many requests there were for something.
func (f *fake) count(asked string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[asked]
}

// number returns one of the fake's numbers.
func (f *fake) number(n *int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *n
}

// total returns how many requests there were.
func (f *fake) total() int { return len(f.since(0)) }

// since returns the times of all requests but the first ones.
func (f *fake) since(first int) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.times[first:])
}

// valid reports whether a password is one that the fake accepts.
func (f *fake) valid(password string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.leases {
		if l.password == password {
			return f.lives(l)
		}
	}
	return false
}

// live returns how many leases there are.
func (f *fake) live() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.leases {
		if f.lives(l) {
			n++
		}
	}
	return n
}

func (f *fake) lives(l *fakeLease) bool {
	return !l.revoked && time.Now().Before(l.until) && f.tokenLives(l.token)
}

func (f *fake) tokenLives(token string) bool {
	t := f.tokens[token]
	return t != nil && (t.until.IsZero() || time.Now().Before(t.until))
}

// RoundTrip implements http.RoundTripper.
func (f *fake) RoundTrip(req *http.Request) (*http.Response, error) {
	var content map[string]any
	if req.Body != nil {
		text, _ := io.ReadAll(req.Body)
		_ = json.Unmarshal(text, &content)
	}
	f.mu.Lock()
	slow, hangs := f.slow, f.hangs
	f.mu.Unlock()
	if hangs != "" && strings.HasSuffix(req.URL.Path, hangs) && !strings.Contains(req.URL.Path, "ui/mounts") {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	time.Sleep(slow)
	f.mu.Lock()
	defer f.mu.Unlock()
	path := strings.TrimPrefix(req.URL.Path, "/v1/")
	f.asked[req.Method+" "+path]++
	f.times, f.last[path] = append(f.times, time.Now()), time.Now()
	if f.down {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	status, answer := f.answer(req.Method, path, req.Header.Get("X-Vault-Token"), content)
	var text []byte
	if answer != nil {
		text, _ = json.Marshal(answer)
	}
	return &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(bytes.NewReader(text)), Request: req, ProtoMajor: 1}, nil
}

type object = map[string]any

func failed(texts ...string) object { return object{"errors": append([]string{}, texts...)} }

func (f *fake) answer(method, path, token string, content object) (int, object) {
	first, rest, _ := strings.Cut(path, "/")
	switch {
	case f.sealed:
		return 503, failed("Vault is sealed")
	case !strings.HasSuffix(path, "/login") && !strings.HasPrefix(path, "sys/wrapping") && !f.tokenLives(token):
		return 403, failed("permission denied", "invalid token")
	case f.refuses[path] == http.StatusNotFound && f.says == "":
		return http.StatusNotFound, failed()
	case f.refuses[path] != 0:
		return f.refuses[path], failed(cmp.Or(f.says, "refused for a test") + fmt.Sprint(" ", content["lease_id"]))
	case path == "auth/approle/login", path == "auth/kubernetes/login":
		f.sent = content
		if content["secret_id"] == "wrong" {
			return 400, failed("invalid secret id: wrong")
		}
		f.logins++
		name := fmt.Sprintf("login-%d", f.logins)
		f.tokens[name] = &fakeToken{time.Now().Add(f.tokenTTL), time.Now().Add(4 * f.tokenTTL)}
		return 200, object{"auth": object{"client_token": name, "lease_duration": int(f.tokenTTL.Seconds()), "renewable": true}}
	case path == "sys/wrapping/unwrap":
		if f.tokens[token] == nil {
			return 400, failed("wrapping token is not valid or does not exist")
		}
		delete(f.tokens, token)
		f.tokens["unwrapped"] = &fakeToken{}
		return 200, object{"auth": object{"client_token": "unwrapped"}}
	}

	now := time.Now()
	switch first {
	case "auth":
		t := f.tokens[token]
		left := int(t.until.Sub(now).Seconds())
		if t.until.IsZero() {
			left = 0
		}
		if strings.HasSuffix(path, "revoke-self") {
			delete(f.tokens, token)
			return 204, nil
		}
		if strings.HasSuffix(path, "lookup-self") && f.lookup != nil {
			return 200, object{"data": f.lookup}
		}
		if strings.HasSuffix(path, "lookup-self") {
			return 200, object{"data": object{"id": token, "ttl": left, "renewable": left > 0}}
		}
		if t.until.IsZero() {
			return 400, failed("lease is not renewable")
		}
		t.until = now.Add(f.tokenTTL)
		if t.until.After(t.most) {
			t.until = t.most
		}
		return 200, object{"auth": object{"client_token": token, "lease_duration": int(t.until.Sub(now).Seconds()), "renewable": true}}
	case "sys":
		return f.system(rest, content)
	case "db", "fixed":
		f.made++
		id, password := fmt.Sprintf("%s/%d", path, f.made), fmt.Sprintf("password-%d", f.made)
		f.leases[id] = &fakeLease{token: token, password: password, until: now.Add(f.lasts), most: now.Add(f.longest)}
		return 200, object{"request_id": id, "lease_id": id, "lease_duration": int(f.lasts.Seconds()), "renewable": first == "db", "data": object{"password": password}}
	case "rotating", "ldap":
		period := int(f.rotates.Seconds())
		since := int(now.Sub(f.began).Seconds())
		data := object{"ttl": period - since%period, "password": fmt.Sprint("password-", since/period)}
		if first == "rotating" {
			data["rotation_period"] = period
		}
		return 200, object{"data": data}
	case "pki":
		if f.issued != nil {
			return 200, object{"data": f.issued()}
		}
		issued := f.issue()
		expires := pemfile.Scan([]byte(issued.Cert)).Leaf.NotAfter
		return 200, object{"lease_id": f.leasedAs, "data": object{"certificate": issued.Cert, "private_key": issued.Key, "expiration": expires.Unix()}}
	case "kv1":
		if method == http.MethodPut {
			f.values[path] = fmt.Sprint(content["value"])
			return 204, nil
		}
		if f.values[path] == "" {
			return 404, failed()
		}
		return 200, object{"lease_duration": 2764800, "data": object{"value": f.values[path]}}
	case "secret":
		if f.old && rest == "" || !f.old && rest == "metadata" {
			return 200, object{"data": object{"keys": []string{"app"}}}
		}
		if f.old && f.values[path] != "" {
			return 200, object{"lease_duration": 2764800, "data": object{"value": f.values[path]}}
		}
		if f.values[path] == "" {
			return 404, failed()
		}
		answer := object{"data": object{"data": object{"value": f.values[path]}, "metadata": object{"version": 1}}}
		if f.warning != "" {
			answer["warnings"] = []string{f.warning}
		}
		return 200, answer
	}
	return 404, failed("no handler for route")
}

func (f *fake) system(rest string, content object) (int, object) {
	now := time.Now()
	if path, ok := strings.CutPrefix(rest, "internal/ui/mounts/"); ok {
		first, _, _ := strings.Cut(path, "/")
		data := object{"path": first + "/", "type": first}
		if name, _, _ := strings.Cut(strings.TrimPrefix(path, "secret/"), "/"); f.deep {
			data = object{"path": "secret/" + name + "/", "type": "kv", "options": object{"version": "2"}}
		} else if first == "secret" && !f.old {
			data = object{"path": "secret/", "type": "kv", "options": object{"version": "2"}}
		}
		return 200, object{"data": data}
	}
	id, _ := content["lease_id"].(string)
	l := f.leases[id]
	switch {
	case l == nil || !f.lives(l):
		return 400, failed("lease not found")
	case rest == "leases/revoke":
		l.revoked, l.revokedByName = true, true
		return 204, nil
	}
	l.until = now.Add(f.lasts)
	if l.until.After(l.most) {
		l.until = l.most
	}
	return 200, object{"lease_id": id, "lease_duration": int(l.until.Sub(now).Seconds()), "renewable": true}
}

// requests returns how many requests there were, by their method and path.
func (f *fake) requests() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(f.asked)) {
		all = append(all, fmt.Sprintf("%s ×%d", name, f.asked[name]))
	}
	return strings.Join(all, ", ")
}

// A follower has the states of queries.
type follower struct {
	set    *watch.Set
	states map[watch.Query]watch.State
	passed []string // passwords that came, in order
}

// simulate runs a test with a fake and a source that asks it.
func simulate(t *testing.T, cfg Config, test func(f *fake, s *Source, fl *follower)) {
	t.Helper()
	sourcetest.Bubble(t, func(t *testing.T) {
		f := newFake(t)
		s := f.source(cfg)
		fl := &follower{set: watch.NewSet(s, watch.SetConfig{}), states: make(map[watch.Query]watch.State)}
		test(f, s, fl)
		fl.set.Close()
		s.Close()
	})
}

func (fl *follower) watch(queries ...watch.Query) {
	for _, q := range queries {
		fl.set.Watch(q)
	}
}

// pass lets time go by, and takes what comes.
func (fl *follower) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	for q, st := range fl.set.Take() {
		fl.states[q] = st
		if p := passwordOf(st.Value); p != "" && (len(fl.passed) == 0 || fl.passed[len(fl.passed)-1] != p) {
			fl.passed = append(fl.passed, p)
		}
	}
}

func passwordOf(value any) string {
	if secret, ok := value.(*watch.Secret); ok && secret != nil {
		p, _ := secret.Data["password"].(string)
		return p
	}
	return ""
}

func (fl *follower) password(q watch.Query) string { return passwordOf(fl.states[q].Value) }

// valueOf returns the value of a KV v2 secret as the fake has it.
func valueOf(value any) string {
	if secret, ok := value.(*watch.Secret); ok && secret != nil {
		data, _ := secret.Data["data"].(map[string]any)
		text, _ := data["value"].(string)
		return text
	}
	return ""
}
