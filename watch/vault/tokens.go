package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"render/watch"
	"render/watch/hint"
	"render/watch/pause"
	"render/watch/vault/api"
)

const (
	leastCheck = 2 * time.Second // between looks at a token because Vault has refused requests
	lookEvery  = time.Minute     // looks at a token with which leases end: no other request may be sent for hours
	endsSoon   = time.Hour       // before the end of a token that nobody replaces, when that is logged; at most a quarter of its time
)

// tokens have the token that requests carry. It begins with the first query.
type tokens struct {
	cfg     *atomic.Pointer[Config] // the source's
	client  *api.Client
	log     *slog.Logger
	queries func() int    // that depend on the token
	leases  func() bool   // whether any ends with the token
	failing func() bool   // whether a query fails because Vault does not know the token
	doubt   chan struct{} // of size 1; full when Vault has refused the token

	mu         sync.Mutex // guards what follows
	token      string
	generation uint64        // counts tokens; 0: there was none yet
	err        error         // why the token is missing
	rejected   string        // the token that Vault did not accept last
	own        string        // the token of the last login
	changed    chan struct{} // closed when there is another token, or another error
	files      *watch.Files
}

// A usedToken is a token as a request carries it.
type usedToken struct {
	token      string
	generation uint64
	changed    <-chan struct{} // closed when there is another
}

func newTokens(cfg *atomic.Pointer[Config], c *api.Client, queries func() int, leases, failing func() bool) *tokens {
	return &tokens{cfg: cfg, client: c, log: cfg.Load().Log, queries: queries, leases: leases, failing: failing, doubt: make(chan struct{}, 1), changed: make(chan struct{})}
}

func (t *tokens) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.files != nil {
		t.files.Close()
		t.files = nil
	}
}

// ownToken returns the token of the last login, and its generation, which is 0 where no request has carried it; "" for none.
func (t *tokens) ownToken() (token string, generation uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.own == t.token {
		generation = t.generation
	}
	return t.own, generation
}

// get returns the token of the moment. Before the first one it waits; the error is why the token is missing.
func (t *tokens) get(ctx context.Context) (usedToken, error) {
	for {
		t.mu.Lock()
		h, err := usedToken{t.token, t.generation, t.changed}, t.err
		t.mu.Unlock()
		if err != nil || h.generation > 0 {
			return h, err
		}
		select {
		case <-h.changed:
		case <-ctx.Done():
			return h, ctx.Err()
		}
	}
}

// after returns a channel that is closed when there is another token than that of a generation.
func (t *tokens) after(generation uint64) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.generation != generation {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return t.changed
}

// refuse notes that Vault has refused a request with a token.
func (t *tokens) refuse(h usedToken) {
	t.mu.Lock()
	current := t.generation == h.generation
	t.mu.Unlock()
	if current {
		select {
		case t.doubt <- struct{}{}:
		default:
		}
	}
}

// use has requests carry a token from now on.
func (t *tokens) use(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if token == t.token && t.generation > 0 && t.err == nil {
		return
	}
	t.token, t.err = token, nil
	t.generation++
	close(t.changed)
	t.changed = make(chan struct{})
}

// fail notes that there is no token. One that there was stays in use.
func (t *tokens) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.generation > 0 {
		return
	}
	first := t.err == nil
	t.err = err
	if first {
		close(t.changed)
		t.changed = make(chan struct{})
	}
}

// run gets tokens, and keeps them alive, until ctx is done. A login whose token is revoked at the end goes on until net is done.
func (t *tokens) run(ctx, net context.Context) {
	switch login := t.cfg.Load().Login; {
	case t.cfg.Load().AgentTokenFile != "":
		t.followFile(ctx)
	case t.cfg.Load().Token != "":
		if t.fixed(ctx) {
			return
		}
		if login == nil && t.cfg.Load().Kubernetes != nil {
			login = t.cfg.Load().Kubernetes.login()
		}
		if login != nil {
			t.logIn(ctx, net, login)
		}
	case login != nil:
		t.logIn(ctx, net, login)
	case t.cfg.Load().Kubernetes != nil:
		t.logIn(ctx, net, t.cfg.Load().Kubernetes.login())
	default:
		t.use("")
	}
}

// tokenOf returns the token of a text, which may be the description of a wrapped answer.
func tokenOf(text string) string {
	text = strings.TrimSpace(text)
	var wrapped struct{ Token string }
	if json.Unmarshal([]byte(text), &wrapped) == nil && wrapped.Token != "" {
		return wrapped.Token
	}
	return text
}

// fixed uses the configured token. It returns when the token has ended, with false, or when ctx is done.
func (t *tokens) fixed(ctx context.Context) (done bool) {
	token, ok := t.unwrapped(ctx, tokenOf(t.cfg.Load().Token))
	if !ok {
		return true
	}
	t.use(token)
	for {
		replaceable := t.cfg.Load().Login != nil || t.cfg.Load().Kubernetes != nil
		t.keep(ctx, token, nil, replaceable)
		if ctx.Err() != nil || replaceable {
			return ctx.Err() != nil
		}
		// Somebody may have lengthened its life, or have restored Vault.
		if !t.awaitDoubt(ctx, time.Minute) {
			return true
		}
	}
}

// awaitDoubt waits until Vault refuses the token, and at most for a time. It reports false when ctx is done.
func (t *tokens) awaitDoubt(ctx context.Context, most time.Duration) bool {
	if !pause.For(ctx, leastCheck) {
		return false
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-t.doubt:
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// unwrapped returns the token that a wrapping token stands for, where the configuration says that it is one. Not ok means that there is
// none, or that ctx is done.
func (t *tokens) unwrapped(ctx context.Context, wrapping string) (token string, ok bool) {
	if t.cfg.Load().UnwrapToken == nil || !*t.cfg.Load().UnwrapToken {
		return wrapping, true
	}
	known := t.cfg.Load().Unwrapped
	token, ok = known.Begin(ctx, wrapping)
	if token != "" || !ok {
		return token, ok
	}
	defer func() { known.End(wrapping, token) }()

	if t.cfg.Load().ReadOnly { // the run that is to follow needs it
		t.fail(hint.With(errors.New("unwrap the vault token: a dry run does not, because that can be done once"), "use --vault-unwrap-token=false and another token"))
		return "", false
	}
	for failures := 0; ; failures++ {
		got, err := t.client.Do(ctx, api.Request{Method: http.MethodPut, Path: "sys/wrapping/unwrap", Token: wrapping})
		if ctx.Err() != nil {
			return "", false
		}
		if err == nil {
			if got.IsMissing() || got.Body.Auth == nil || got.Body.Auth.ClientToken == "" {
				t.fail(errors.New("unwrap the vault token: the answer has no token"))
				return "", false
			}
			return got.Body.Auth.ClientToken, true
		}
		_, away := errors.AsType[watch.OutageError](err)
		failed := fmt.Errorf("unwrap the vault token: %w", err)
		if !away {
			failed = hint.With(failed, "somebody else may have unwrapped it: give render another wrapping token")
		}
		t.fail(failed)
		if !away {
			t.log.Error("vault token not unwrapped", "err", err)
			return "", false
		}
		if !pause.For(ctx, pause.Backoff(failures, t.cfg.Load().Backoff, time.Second)) {
			return "", false
		}
	}
}

// logIn gets a token by a login, and another whenever that ends.
func (t *tokens) logIn(ctx, net context.Context, l *Login) {
	failures, last := 0, ""
	for ctx.Err() == nil {
		asking := ctx
		if t.cfg.Load().revokesToken() && t.client.OutageEnds() == nil {
			asking = net // a token that Vault makes is known
		}
		got, err := t.login(asking, l)
		if err == nil {
			t.mu.Lock()
			t.own = got.token
			t.mu.Unlock()
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			err = fmt.Errorf("log in to vault by %s: %w", trim(l.Path), err)
			t.fail(err)
			// Without a token, this is the error of all queries: only another one has to be logged.
			if text := err.Error(); text != last {
				if last != "" || t.generationNow() > 0 {
					t.log.Warn("vault login failed, retrying", "err", err, "queries", t.queries())
				}
				last = text
			}
			delay := pause.Backoff(failures, t.cfg.Load().Backoff, t.cfg.Load().MaxBackoff)
			if _, away := errors.AsType[watch.OutageError](err); away {
				delay = min(delay, time.Second)
			}
			failures++
			t.pause(ctx, delay)
			continue
		}
		failures, last = 0, ""
		t.use(got.token)
		t.log.Info("vault login succeeded", "path", trim(l.Path))
		began := time.Now()
		t.keep(ctx, got.token, &got.state, true)
		if time.Since(began) < leastCheck {
			pause.For(ctx, leastCheck-rand.N(leastCheck/2)) // each token ends at once
		}
	}
}

// pause waits for a duration, or until an outage ends.
func (t *tokens) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.client.OutageEnds():
	case <-ctx.Done():
	}
}

// A loggedIn is what a login has brought.
type loggedIn struct {
	token string
	state tokenState
}

// login makes one login.
func (t *tokens) login(ctx context.Context, l *Login) (loggedIn, error) {
	fields := make(map[string]string)
	var hidden []string
	set := func(name, value string) {
		fields[name] = value
		hidden = append(hidden, value)
	}
	for name, value := range l.Fields {
		set(name, value)
	}
	for name, path := range l.Files {
		text, err := os.ReadFile(path)
		if err != nil {
			return loggedIn{}, fmt.Errorf("read %s: %w", name, withFolder(err, path))
		}
		set(name, strings.TrimSpace(string(text)))
	}
	for name, variable := range l.Environment {
		value, ok := os.LookupEnv(variable)
		if !ok {
			return loggedIn{}, fmt.Errorf("the variable %s for %s is not set", variable, name)
		}
		set(name, value)
	}

	got, err := t.client.Do(ctx, api.Request{Method: http.MethodPut, Path: trim(l.Path), Body: fields, Hidden: hidden})
	if err != nil {
		return loggedIn{}, err
	}
	if got.IsMissing() || got.Body.Auth == nil || got.Body.Auth.ClientToken == "" {
		return loggedIn{}, hint.With(errors.New("the answer has no token"), "the path must be that of a login, such as auth/approle/login")
	}
	lasts, renews := leaseTime(got.Body.Secret())
	return loggedIn{got.Body.Auth.ClientToken, tokenState{lasts: lasts, renews: renews, expires: got.Sent.Add(lasts)}}, nil
}

// withFolder returns the error of a file, with the folder that its path is relative to.
func withFolder(err error, path string) error {
	folder, failed := os.Getwd()
	if filepath.IsAbs(path) || failed != nil {
		return err
	}
	return hint.With(err, "the path is relative to the working directory of render, "+folder)
}

// followFile uses the token of the agent's file, and another whenever the file changes.
func (t *tokens) followFile(ctx context.Context) {
	path, err := filepath.Abs(t.cfg.Load().AgentTokenFile)
	if err != nil {
		path = t.cfg.Load().AgentTokenFile
	}
	files, _ := watch.NewFiles() // without notices it looks every two seconds
	t.mu.Lock()
	t.files = files
	t.mu.Unlock()

	q := watch.NewQuery(watch.KindFile, path, nil)
	renews := t.cfg.Load().RenewToken != nil && *t.cfg.Load().RenewToken
	endKeep := func() {}
	defer func() { endKeep() }()
	var index uint64
	var last string
	for ctx.Err() == nil {
		value, at, err := t.fileChange(ctx, files, q, index)
		if ctx.Err() != nil {
			return
		}
		text, _ := value.(string)
		token := tokenOf(text)
		index = at
		switch {
		case err != nil:
			t.fail(fmt.Errorf("read the vault token: %w", err))
			index = 0
			pause.For(ctx, time.Second)
			continue
		case token == "":
			t.fail(hint.With(fmt.Errorf("the token file %s is missing or empty", t.cfg.Load().AgentTokenFile), "render reads it as soon as it exists"))
			continue
		case token == last:
			continue
		}

		last = token
		token, ok := t.unwrapped(ctx, token)
		if !ok {
			continue
		}
		if t.generationNow() > 0 {
			t.log.Info("vault token changed")
		}
		t.use(token)
		endKeep()
		endKeep = func() {}
		if renews {
			keeping, end := context.WithCancel(ctx)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				t.keep(keeping, token, nil, false)
			}()
			endKeep = func() { end(); <-ended }
		}
	}
}

func (t *tokens) generationNow() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.generation
}

// fileChange waits for a change of the token file. A refused token has the file read at once.
func (t *tokens) fileChange(ctx context.Context, files *watch.Files, q watch.Query, index uint64) (any, uint64, error) {
	within, end := context.WithCancel(ctx)
	defer end()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-t.doubt:
			end()
		case <-stop:
		}
	}()
	value, at, err := files.Fetch(within, q, index)
	if within.Err() != nil && ctx.Err() == nil {
		return files.Fetch(ctx, q, 0)
	}
	return value, at, err
}

// A tokenState is what Vault says of a token.
type tokenState struct {
	lasts   time.Duration // 0: for ever
	expires time.Time
	renews  bool
}

// lookUp asks what Vault knows of a token.
func (t *tokens) lookUp(ctx context.Context, token string) (tokenState, error) {
	got, err := t.client.Do(ctx, api.Request{Method: http.MethodGet, Path: "auth/token/lookup-self", Token: token})
	if err != nil {
		return tokenState{}, err
	}
	if got.IsMissing() {
		return tokenState{}, errors.New("the answer about the token is empty")
	}
	renews, _ := got.Body.Data["renewable"].(bool)
	lasts := lasting(api.Number(got.Body.Data["ttl"]))
	if lasts == 0 && text(got.Body.Data["expire_time"]) != "" {
		lasts = leastPause // it ends within this second
	}
	return tokenState{lasts: lasts, renews: renews, expires: got.Sent.Add(lasts)}, nil
}

// first finds out how long a token lasts, by a renewal where it may not ask. Not ok means that Vault does not know the token, or that ctx
// is done.
func (t *tokens) first(ctx context.Context, token string) (_ tokenState, ok bool) {
	for failures := 0; ; failures++ {
		state, err := t.lookUp(ctx, token)
		if errors.Is(err, watch.ErrDenied) && !api.IsUnknown(err) {
			if state, err = t.renewSelf(ctx, token); errors.Is(err, watch.ErrDenied) && !api.IsUnknown(err) {
				return tokenState{}, true // nothing is known, and nothing can be done
			}
		}
		switch {
		case err == nil:
			t.note("")
			return state, true
		case api.IsUnknown(err):
			t.note(token) // queries wait for the token, and say so
			return tokenState{}, false
		}
		if !pause.For(ctx, pause.Backoff(failures, t.cfg.Load().Backoff, t.cfg.Load().MaxBackoff)) {
			return tokenState{}, false
		}
	}
}

// reject logs that Vault does not accept a token, once. It does not where the errors of queries say so.
func (t *tokens) reject(token string, err error) {
	if before := t.note(token); before != token && !t.failing() {
		t.log.Warn("vault does not accept the token", "err", err, "queries", t.queries())
	}
}

// note notes the token that Vault does not accept, or "" where it accepts the one that there is. It returns what was noted before.
func (t *tokens) note(rejected string) (before string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, t.rejected = t.rejected, rejected
	return before
}

// keep renews a token for as long as it can be renewed. It returns when the token has to be replaced: near its end where it is
// replaceable, else at its end; and when Vault does not know it any more, or ctx is done. Known is what a login says of the token, or nil.
func (t *tokens) keep(ctx context.Context, token string, known *tokenState, replaceable bool) {
	now, ok := tokenState{}, true
	if known != nil {
		now = *known
	} else if now, ok = t.first(ctx, token); !ok {
		return
	} else if now.lasts == 0 {
		t.log.Info("vault token does not expire")
	}

	life := now.lasts
	spare := grace(life)
	may := t.cfg.Load().RenewToken == nil || *t.cfg.Load().RenewToken
	logged := ""
	next := renewAt(now.expires, spare)
	for failures := 0; ; {
		renews := now.renews && may && now.lasts > 0
		switch {
		case now.lasts == 0:
			next = time.Now().Add(24 * time.Hour)
		case !renews && replaceable:
			next = now.expires.Add(-spare)
		case !renews:
			next = t.logEnd(now.expires, life)
		}
		doubted, done := t.await(ctx, next)
		switch left := time.Until(now.expires); {
		case done:
			return
		case doubted, time.Now().Before(next):
			if !doubted && !t.leases() {
				continue
			}
			if !t.knows(ctx, token, max(time.Until(next), leastCheck)) {
				return
			}
			if doubted && !pause.For(ctx, leastCheck) { // other requests that were refused need no question of their own
				return
			}
			continue
		case now.lasts == 0:
			continue
		case left <= 0, replaceable && left <= spare:
			return
		case !renews:
			continue
		}

		got, err := t.renewSelf(ctx, token)
		switch {
		case ctx.Err() != nil:
			return
		case api.IsUnknown(err):
			t.reject(token, err)
			return
		case isLongest(err), err != nil && replaceable && errors.Is(err, watch.ErrDenied):
			now.renews = false
		case err != nil:
			if text := err.Error(); text != logged {
				t.log.Warn("vault token not renewed, retrying", "err", err, "until", now.expires.UTC().Format(time.RFC3339), "queries", t.queries())
				logged = text
			}
			most := max(time.Second, min(t.cfg.Load().MaxBackoff, time.Until(now.expires)/10))
			next = time.Now().Add(pause.Backoff(failures, t.cfg.Load().Backoff, most))
			failures++
		default:
			failures, logged = 0, ""
			if now = got; now.lasts <= 4*spare {
				now.renews = false // its longest time is near
			}
			next = renewAt(now.expires, spare)
		}
	}
}

// knows reports whether Vault knows a token, as far as it says so within a time.
func (t *tokens) knows(ctx context.Context, token string, within time.Duration) bool {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := t.lookUp(limited, token)
	if !api.IsUnknown(err) {
		return true
	}
	t.reject(token, err)
	return false
}

// await returns at a time, or sooner: when Vault has refused the token, and when the token is to be looked up. Done means that ctx is.
func (t *tokens) await(ctx context.Context, at time.Time) (doubted, done bool) {
	timer := time.NewTimer(min(time.Until(at), pause.Jittered(lookEvery)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return false, false
	case <-t.doubt:
		return true, false
	case <-ctx.Done():
		return false, true
	}
}

func (t *tokens) renewSelf(ctx context.Context, token string) (tokenState, error) {
	got, err := t.client.Do(ctx, renewSelf(token))
	if err != nil {
		return tokenState{}, err
	}
	if got.IsMissing() || got.Body.Auth == nil {
		return tokenState{}, errors.New("the answer to the renewal is empty")
	}
	lasts, renews := leaseTime(got.Body.Secret())
	return tokenState{lasts: lasts, renews: renews, expires: got.Sent.Add(lasts)}, nil
}

// logEnd logs in time when a token ends that nobody replaces. It returns when to do that, or when the token ends.
func (t *tokens) logEnd(ends time.Time, life time.Duration) time.Time {
	at := ends.Add(-min(endsSoon, life/4))
	if time.Now().Before(at) {
		return at
	}
	t.log.Warn("vault token ends and cannot be renewed", "until", ends.UTC().Format(time.RFC3339), "queries", t.queries())
	return ends
}
