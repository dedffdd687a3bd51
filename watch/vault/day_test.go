package vault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"render/watch"
	"render/watch/vault/api"
	"render/watch/vault/pemfile"
	"render/watch/vaulttest"
)

// The tests in this file have 50 queries with leases of 5 to 60 seconds, on a real Vault that is sealed, killed and started again, whose
// tokens are revoked, and whose clock is behind ours. Meanwhile sources are replaced, as a reload with other settings does, and queries are forgotten and watched again,
// as when a template is edited. What the last answer to a query says must be accepted: by Vault, and by the database whose users Vault
// creates. At the end no lease is left that nobody uses.
//
// That goes on for 12 seconds, or for $RENDER_SOAK_TIME. $RENDER_SEED repeats the choices of a test that has failed.

const (
	dayTick  = 50 * time.Millisecond
	dayCheck = 400 * time.Millisecond
	dayPoll  = time.Second

	dayBehind = 3 * time.Second // the clock of Vault
)

// A day is a Vault with its database, and a consumer of what it has.
type day struct {
	t       *testing.T
	server  *vaulttest.Server
	db      *vaulttest.Database
	seed    uint64
	random  *rand.Rand
	cfg     Config
	lines   record
	soak    bool
	late    time.Duration // in which all is replaced once Vault is well
	starved *starvation

	with    *watch.Switch
	set     *watch.Set
	entries []*dayEntry
	applies []dayApply
	gone    []dayGone
	passes  int
	edits   int
	reloads int
	behind  int // certificates whose end was looked at

	mu      sync.Mutex // guards what follows
	source  *Source
	well    time.Time // since when Vault is; zero where it is not
	outages []dayOutage
	noticed []time.Duration // how long a token that was revoked was not replaced
	values  map[string]dayValue
}

// A dayEntry is a query, and the file that was made of its last answer.
type dayEntry struct {
	query    watch.Query
	accepted func(value any) (bool, error) // the error: nobody can tell now
	file     any
	watched  time.Time // zero where it was forgotten
	bad, err time.Time // since when the file is not accepted, and the query fails
	answers  int
	worst    time.Duration // the longest that the file was not accepted while Vault was well
	failed   time.Duration // the longest that the query failed while Vault was well
}

// A dayApply is a call of Applied that is to come.
type dayApply struct {
	query watch.Query
	index uint64
	at    time.Time
}

// A dayGone is a user that there is no longer to be after a time.
type dayGone struct {
	user, password string
	by             time.Time
}

// A dayOutage is a time in which Vault may have created what nobody has learned of.
type dayOutage struct{ from, to time.Time }

// A dayValue is what a KV secret has.
type dayValue struct {
	text string
	at   time.Time
}

func TestDay(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault")
	}
	t.Parallel()
	d := newDay(t)
	lasts := 12 * time.Second
	if text := os.Getenv("RENDER_SOAK_TIME"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		d.soak, d.late = true, 2*time.Second
	}
	d.start()

	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		d.faults(done)
	}()
	began := time.Now()
	for end := began.Add(lasts); !t.Failed() && time.Now().Before(end); {
		d.pass(true)
	}
	close(done)
	for running := true; running || d.wellFor() < 2*time.Second && !t.Failed(); {
		d.pass(false)
		select {
		case <-ended:
			running = false
		default:
		}
	}
	d.report(time.Since(began))
	d.end()
}

func newDay(t *testing.T) *day {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("RENDER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RENDER_SEED=%d", seed)
	d := &day{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 3)), late: 15 * time.Second, values: make(map[string]dayValue), starved: measureStarvation(t)} // a busy machine
	d.server = vaulttest.Start(t)
	d.db = d.server.NewDatabase(t, "db")
	return d
}

// start makes the queries, and begins to watch them.
func (d *day) start() {
	server, dir := d.server, d.t.TempDir()
	server.Put(d.t, "sys/policies/acl/app", map[string]any{"policy": `
		path "db/creds/*" { capabilities = ["read"] }
		path "pki/issue/*" { capabilities = ["update"] }
		path "ssh/creds/*" { capabilities = ["update"] }
		path "kv1/*" { capabilities = ["read", "list"] }
		path "secret/*" { capabilities = ["read", "list"] }
		path "auth/token/create/*" { capabilities = ["update"] }
		path "auth/approle/role/+/secret-id" { capabilities = ["update"] }
		path "sys/leases/revoke" { capabilities = ["update"] }
	`})
	server.Put(d.t, "sys/auth/approle", map[string]any{"type": "approle"})
	server.Put(d.t, "auth/approle/role/app", map[string]any{"token_policies": "app", "token_ttl": d.either("10s", "40s"), "token_max_ttl": d.either("18s", "4m")})
	server.Put(d.t, "auth/approle/role/other", map[string]any{"token_policies": "app", "secret_id_ttl": "15s"})
	server.Put(d.t, "sys/mounts/pki", map[string]any{"type": "pki"})
	server.Put(d.t, "pki/root/generate/internal", map[string]any{"common_name": "CA", "ttl": "700h"})
	server.Put(d.t, "pki/roles/web", map[string]any{"allow_any_name": true, "key_type": "ec", "key_bits": 256, "not_before_duration": fmt.Sprint(dayBehind + time.Second), "no_store": true})
	server.Put(d.t, "sys/mounts/ssh", map[string]any{"type": "ssh", "config": map[string]any{"default_lease_ttl": "20s", "max_lease_ttl": "20s"}})
	server.Put(d.t, "ssh/roles/otp", map[string]any{"key_type": "otp", "default_user": "app", "cidr_list": "0.0.0.0/0"})

	for i := range 20 {
		lasts := time.Duration(5+i*55/19) * time.Second
		name := fmt.Sprint("app-", i)
		d.db.NewRole(d.t, name, lasts, lasts*time.Duration(2+i%3))
		d.add(query(d.t, "db/creds/"+name), d.acceptsUser)
	}
	for i := range 8 {
		lasts := 5 + i*7
		role := fmt.Sprint("auth/token/roles/app-", i)
		server.Put(d.t, role, map[string]any{"allowed_policies": "app", "token_explicit_max_ttl": fmt.Sprint(3*lasts, "s"), "renewable": true, "orphan": i%2 == 0})
		d.add(d.write(fmt.Sprint("auth/token/create/app-", i), fmt.Sprint("ttl=", lasts, "s")), d.acceptsToken)
	}
	for i := range 4 {
		pairs := []string{"common_name=" + fmt.Sprint("web-", i), fmt.Sprint("ttl=", 10+i*15, "s")}
		d.add(d.write("pki/issue/web", pairs...), acceptsCertificate)
		q, err := watch.NewPKICert("pki/issue/web", pairs, []string{filepath.Join(dir, fmt.Sprint("web-", i, ".pem"))})
		if err != nil {
			d.t.Fatal(err)
		}
		d.add(q, acceptsCertificate)
		d.add(d.write("auth/approle/role/other/secret-id", fmt.Sprint("metadata={\"n\":\"", i, "\"}")), d.acceptsSecretID)
	}
	for i := range 2 {
		d.add(d.write("ssh/creds/otp", fmt.Sprint("ip=127.0.0.", i+1)), d.acceptsLease)
	}
	for i := range 4 {
		d.add(query(d.t, fmt.Sprint("secret/app-", i)), d.acceptsValue(fmt.Sprint("secret/data/app-", i)))
		d.add(query(d.t, fmt.Sprint("kv1/app-", i)), d.acceptsValue(fmt.Sprint("kv1/app-", i)))
	}
	if len(d.entries) != 50 {
		d.t.Fatalf("%d queries", len(d.entries))
	}

	d.change()
	d.well = time.Now()
	id := server.Must(d.t, "GET", "auth/approle/role/app/role-id", nil)["role_id"].(string)
	secret := server.Put(d.t, "auth/approle/role/app/secret-id", nil)["secret_id"].(string)
	d.cfg = Config{
		Login: &Login{Path: "auth/approle/login", Fields: map[string]string{"role_id": id, "secret_id": secret}},
		Polls: []Poll{{Every: dayPoll}}, Log: d.lines.log(), LeaseDuration: time.Hour,
	}
	d.source = d.newSource()
	d.with = watch.NewSwitch(d.source)
	d.set = watch.NewSet(d.with, watch.SetConfig{})
	d.t.Cleanup(d.set.Close)
	for _, e := range d.entries {
		d.watch(e)
	}
}

func (d *day) either(short, soak string) string {
	if d.soak {
		return soak
	}
	return short
}

func (d *day) write(path string, pairs ...string) watch.Query {
	q, err := watch.NewSecretWrite(path, pairs...)
	if err != nil {
		d.t.Fatal(err)
	}
	return q
}

func (d *day) add(q watch.Query, accepted func(any) (bool, error)) {
	d.entries = append(d.entries, &dayEntry{query: q, accepted: accepted})
}

func (d *day) watch(e *dayEntry) {
	e.watched, e.bad, e.err = time.Now(), time.Time{}, time.Time{}
	d.set.Watch(e.query)
}

func (d *day) wellFor() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.well.IsZero() {
		return -1
	}
	return time.Since(d.well)
}

// pass takes what comes for a while, and looks whether all is as it must be.
func (d *day) pass(edits bool) {
	for next := time.Now().Add(dayCheck); time.Now().Before(next); {
		select {
		case <-d.set.Ready():
		case <-time.After(dayTick):
		}
		d.take()
		for i := 0; i < len(d.applies); i++ {
			if a := d.applies[i]; time.Now().After(a.at) {
				d.set.Applied(a.query, a.index)
				d.applies = append(d.applies[:i], d.applies[i+1:]...)
				i--
			}
		}
	}
	for _, e := range d.entries {
		d.check(e)
	}
	d.checkGone()
	if edits {
		d.edit()
	}
	d.passes++
}

// take uses what has come.
func (d *day) take() {
	states := d.set.Take()
	for _, e := range d.entries {
		if st, ok := states[e.query]; ok && !e.watched.IsZero() {
			d.use(e, st)
		}
	}
}

// use makes a file of an answer.
func (d *day) use(e *dayEntry, st watch.State) {
	switch {
	case st.Err == nil:
		e.err = time.Time{}
	case e.err.IsZero():
		e.err = time.Now()
	}
	if st.Rev == 0 || st.Value == nil {
		return
	}
	if !watch.Equal(st.Value, e.file) {
		e.answers++
		d.checkBehind(e.query, st.Value)
	}
	e.file = st.Value
	if cert, ok := st.Value.(*watch.PKICert); ok {
		if err := os.WriteFile(e.query.Options().Get(watch.OptDestination), []byte(cert.Cert+cert.Key), 0o600); err != nil {
			d.t.Error(err)
		}
	}
	if d.random.IntN(4) > 0 { // else the action has failed
		d.applies = append(d.applies, dayApply{e.query, st.Index, time.Now().Add(time.Duration(d.random.IntN(1000)) * time.Millisecond)})
	}
}

// checkBehind looks whether a certificate that Vault has just issued ends as the clock of Vault says.
func (d *day) checkBehind(q watch.Query, value any) {
	leaf := certificateOf(value).Leaf
	if leaf == nil {
		return
	}
	lives, ok := api.Seconds(q.Pairs()["ttl"])
	if left := time.Until(leaf.NotAfter); !ok || left > lives-dayBehind {
		d.t.Errorf("%s: a certificate for %s has %s left, although the clock of Vault is behind", q, lives, left)
	}
	d.behind++
}

// check looks whether a file is accepted, and whether its query is well.
func (d *day) check(e *dayEntry) {
	if e.watched.IsZero() {
		return
	}
	d.mu.Lock()
	well, source := d.well, d.source
	d.mu.Unlock()
	if well.IsZero() {
		return
	}
	judged := e.file
	accepted, err := e.accepted(judged)
	d.take() // that the test asks about one query after the other is no delay of render
	d.mu.Lock()
	still := d.well == well
	d.mu.Unlock()
	if !still || err != nil || !accepted && e.file != judged {
		return
	}
	now := time.Now()
	switch {
	case accepted:
		e.bad = time.Time{}
	case e.bad.IsZero():
		e.bad = now
	}
	if !e.bad.IsZero() {
		e.worst = max(e.worst, d.between(latest(e.bad, well, e.watched), now))
	}
	if !e.err.IsZero() {
		e.failed = max(e.failed, d.between(latest(e.err, well, e.watched), now))
	}
	if e.worst > d.late || e.failed > d.late {
		source.mu.Lock()
		st := source.entries[e.query].state
		source.mu.Unlock()
		d.t.Errorf("%s: not accepted for %s, an error for %s while Vault is well, since %s; %d answers; file %+v; source has %+v, %v\n%s",
			e.query, e.worst, e.failed, now.Sub(well), e.answers, e.file, st.value, st.err, tail(d.lines.String()))
	}
}

// between returns how much of a time this process could run.
func (d *day) between(from, to time.Time) time.Duration {
	return to.Sub(from) - d.starved.between(from, to)
}

func latest(times ...time.Time) (t time.Time) {
	for _, other := range times {
		if other.After(t) {
			t = other
		}
	}
	return t
}

func tail(text string) string { return text[max(0, len(text)-2000):] }

// checkGone looks whether users are gone that nobody uses.
func (d *day) checkGone() {
	well := d.wellFor()
	for i := 0; i < len(d.gone); i++ {
		g := d.gone[i]
		switch {
		case !d.db.Accepts(g.user, g.password):
		case well > d.late && time.Since(g.by) > d.late:
			d.t.Errorf("the user %s is left %s after its query was forgotten", g.user, time.Since(g.by)+linger)
		default:
			continue
		}
		d.gone = append(d.gone[:i], d.gone[i+1:]...)
		i--
	}
}

// edit forgets a query now and then, watches one again, or replaces the source.
func (d *day) edit() {
	switch n := d.random.IntN(100); {
	case n < 20:
		e := d.entries[d.random.IntN(len(d.entries))]
		d.edits++
		if e.watched.IsZero() {
			d.gone = nil // it may be the same user
			d.watch(e)
			return
		}
		user, password := userOf(e.file)
		d.set.Forget(e.query)
		e.watched, e.file = time.Time{}, nil
		if user != "" {
			d.gone = append(d.gone, dayGone{user, password, time.Now().Add(linger)})
		}
	case n == 20 || d.reloads == 0 && d.passes > 10:
		d.reload()
	}
}

// newSource returns a source that asks a Vault whose clock is behind.
func (d *day) newSource() *Source {
	return ofThrough(d.t, d.server, d.cfg, clockBehind(dayBehind))
}

// reload replaces the source, as a reload does whose settings differ.
func (d *day) reload() {
	d.reloads++
	d.cfg.LeaseDuration += time.Second
	next := d.newSource()
	d.mu.Lock()
	old := d.source
	d.source = next
	d.mu.Unlock()
	d.with.Use(next)
	old.CloseFor(next)
	for i := range d.gone {
		d.gone[i].by = time.Now().Add(linger)
	}
}

// faults seals and kills Vault, revokes the token of the source, and changes values, until done.
func (d *day) faults(done <-chan struct{}) {
	random := rand.New(rand.NewPCG(d.seed, 5))
	pause := func(short, soak time.Duration) bool {
		if d.soak {
			short = time.Duration(float64(soak) * min(0.2+random.ExpFloat64(), 6))
		}
		for end := time.Now().Add(short); time.Now().Before(end); {
			select {
			case <-done:
				return false
			case <-time.After(min(3*time.Second, time.Until(end))):
				if d.wellFor() > 0 {
					d.change()
				}
			}
		}
		return true
	}
	outage := func(begin, end func() error, short, soak time.Duration) {
		d.mu.Lock()
		d.well = time.Time{}
		from := time.Now()
		d.mu.Unlock()
		if err := begin(); err != nil {
			d.t.Error(err)
		}
		pause(short, soak)
		if err := end(); err != nil {
			d.t.Error(err)
		}
		d.mu.Lock()
		d.well = time.Now()
		d.outages = append(d.outages, dayOutage{from, d.well})
		d.mu.Unlock()
	}
	for step := 0; ; step++ {
		if !pause(1500*time.Millisecond, 20*time.Second) {
			return
		}
		switch step % 3 {
		case 0:
			outage(d.server.Seal, d.server.Unseal, 2*time.Second, 20*time.Second)
		case 1:
			outage(func() error { d.server.Stop(); return nil }, func() error {
				return errors.Join(d.server.Restart(), d.server.Unseal())
			}, time.Second, 10*time.Second)
		case 2:
			d.revoke(done)
		}
	}
}

// revoke revokes the token of the source, and waits until that has another. Meanwhile nothing can be accepted.
func (d *day) revoke(done <-chan struct{}) {
	d.mu.Lock()
	source := d.source
	d.well = time.Time{}
	d.mu.Unlock()
	source.tokens.mu.Lock()
	token, changed := source.tokens.token, source.tokens.changed
	source.tokens.mu.Unlock()
	began := time.Now()
	if _, err := d.server.Do(http.MethodPut, "auth/token/revoke", map[string]any{"token": token}); err != nil {
		d.t.Error(err)
	}
	select {
	case <-changed:
	case <-source.life.Done():
	case <-time.After(2 * time.Minute):
		d.t.Errorf("the token was not replaced within %s after it was revoked", time.Since(began))
	}
	d.mu.Lock()
	d.well = time.Now()
	d.noticed = append(d.noticed, time.Since(began))
	d.mu.Unlock()
}

// change writes other values.
func (d *day) change() {
	for i := range 4 {
		for _, path := range []string{fmt.Sprint("kv1/app-", i), fmt.Sprint("secret/data/app-", i)} {
			value := dayValue{fmt.Sprint(time.Now().UnixNano()), time.Now()}
			content := map[string]any{"value": value.text}
			if i%2 == 0 {
				content["ttl"] = "30s" // which of KV v1 is the lease duration
			}
			if strings.HasPrefix(path, "secret/") {
				content = map[string]any{"data": content}
			}
			if _, err := d.server.Do(http.MethodPut, path, content); err != nil {
				d.t.Error(err)
			}
			d.mu.Lock()
			d.values[path] = value
			d.mu.Unlock()
		}
	}
}

func userOf(value any) (user, password string) {
	if secret, ok := value.(*watch.Secret); ok && secret != nil {
		user, _ = secret.Data["username"].(string)
		password, _ = secret.Data["password"].(string)
	}
	return user, password
}

func (d *day) acceptsUser(value any) (bool, error) { return d.db.Accepts(userOf(value)), nil }

func (d *day) acceptsToken(value any) (bool, error) {
	secret, _ := value.(*watch.Secret)
	if secret == nil || secret.Auth == nil {
		return false, nil
	}
	return d.knows("auth/token/lookup", map[string]any{"token": secret.Auth.ClientToken})
}

func (d *day) acceptsLease(value any) (bool, error) {
	secret, _ := value.(*watch.Secret)
	if secret == nil {
		return false, nil
	}
	return d.knows("sys/leases/lookup", map[string]any{"lease_id": secret.LeaseID})
}

func (d *day) acceptsSecretID(value any) (bool, error) {
	secret, _ := value.(*watch.Secret)
	if secret == nil {
		return false, nil
	}
	return d.knows("auth/approle/role/other/secret-id/lookup", map[string]any{"secret_id": secret.Data["secret_id"]})
}

// knows reports whether Vault knows something.
func (d *day) knows(path string, content map[string]any) (bool, error) {
	answer, err := d.server.Do(http.MethodPut, path, content)
	if err != nil && !strings.Contains(err.Error(), ": 40") {
		return false, err
	}
	return err == nil && answer != nil, nil
}

func acceptsCertificate(value any) (bool, error) {
	c := certificateOf(value)
	return c.Leaf != nil && c.KeyFits() && time.Now().Before(c.Leaf.NotAfter), nil
}

// certificateOf returns the certificate that an answer has.
func certificateOf(value any) pemfile.Content {
	switch value := value.(type) {
	case *watch.PKICert:
		return pemfile.Scan([]byte(value.Cert + value.Key))
	case *watch.Secret:
		if value != nil {
			return pemfile.Scan(textsOf(value.Data))
		}
	}
	return pemfile.Content{}
}

func (d *day) acceptsValue(path string) func(any) (bool, error) {
	return func(value any) (bool, error) {
		d.mu.Lock()
		now := d.values[path]
		d.mu.Unlock()
		if time.Since(now.at) < dayPoll*5/4 {
			return true, nil
		}
		secret, _ := value.(*watch.Secret)
		if secret == nil {
			return false, nil
		}
		data := secret.Data
		if inner, ok := data["data"].(map[string]any); ok {
			data = inner
		}
		return data["value"] == now.text, nil
	}
}

// report logs what has happened.
func (d *day) report(took time.Duration) {
	var worst, failed, noticed time.Duration
	answers := 0
	for _, e := range d.entries {
		worst, failed, answers = max(worst, e.worst), max(failed, e.failed), answers+e.answers
		if e.answers == 0 && !e.watched.IsZero() && time.Since(e.watched) > d.late { // else it was forgotten soon
			d.t.Errorf("%s has no answer", e.query)
		}
	}
	for _, n := range d.noticed {
		noticed = max(noticed, n)
	}
	var away time.Duration
	for _, o := range d.outages {
		away += o.to.Sub(o.from)
	}
	if d.behind == 0 {
		d.t.Error("nothing shows that the clock of Vault is behind")
	}
	d.t.Logf("%s: %d answers that differ, %d outages of %s in all, %d tokens revoked and replaced within %s, %d edits, %d reloads; while Vault was well, a file was not accepted for %s, a query failed for %s at most; without a processor for %s",
		took.Round(time.Second), answers, len(d.outages), away.Round(time.Second), len(d.noticed), noticed.Round(time.Millisecond), d.edits, d.reloads,
		worst.Round(time.Millisecond), failed.Round(time.Millisecond), d.starved.between(time.Now().Add(-took), time.Now()).Round(time.Millisecond))
}

// end forgets all queries, and looks for leases that are left.
func (d *day) end() {
	for _, e := range d.entries {
		d.set.Forget(e.query)
	}
	d.set.Close()
	if !d.soak { // there linger is waited for
		for _, e := range d.entries {
			if forgotten := d.source.entries[e.query]; forgotten != nil {
				d.source.leave(forgotten)
			}
			d.source.disown(e.query)
		}
	}

	for late := time.Now().Add(linger + 30*time.Second); ; time.Sleep(200 * time.Millisecond) {
		left := d.left()
		if len(left) == 0 {
			break
		}
		if time.Now().After(late) {
			d.t.Errorf("leases are left: %v\n%s", left, tail(d.lines.String()))
			break
		}
	}
	for _, line := range []string{"vault lease not revoked", "vault metadata not readable"} {
		if strings.Contains(d.lines.String(), line) {
			d.t.Errorf("the log has %q: %s", line, tail(d.lines.String()))
		}
	}
}

// left returns the leases that nobody uses, but those that Vault has created while it went away.
func (d *day) left() (left []string) {
	for i := range 20 {
		prefix := fmt.Sprint("db/creds/app-", i, "/")
		for _, id := range d.server.Leases(d.t, prefix) {
			if !d.lost(prefix + id) {
				left = append(left, prefix+id)
			}
		}
	}
	for _, id := range d.server.Leases(d.t, "ssh/creds/otp/") {
		if !d.lost("ssh/creds/otp/" + id) {
			left = append(left, "ssh/creds/otp/"+id)
		}
	}
	return left
}

// lost reports whether a lease was issued shortly before Vault went away, so that its answer may not have come.
func (d *day) lost(id string) bool {
	answer, err := d.server.Do(http.MethodPut, "sys/leases/lookup", map[string]any{"lease_id": id})
	if err != nil {
		return true // it has ended
	}
	data, _ := answer["data"].(map[string]any)
	text, _ := data["issue_time"].(string)
	issued, err := time.Parse(time.RFC3339Nano, text)
	for _, o := range d.outages {
		if err == nil && issued.After(o.from.Add(-time.Second)) && issued.Before(o.to) {
			return true
		}
	}
	return false
}
