package vault

import (
	"testing"
	"time"

	"render/watch"
	"render/watch/vaulttest"
)

// Half a minute of a real Vault that is sealed, killed and started again: the tokens that a query has created are those that Vault accepts, and
// none is left at the end.
func TestLeasesOfRealVault(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault")
	}
	t.Parallel()
	server := vaulttest.Start(t)
	server.Put(t, "sys/policies/acl/app", map[string]any{"policy": `path "kv1/*" { capabilities = ["read"] }`})
	server.Put(t, "kv1/app", map[string]any{"value": "one"})
	server.Put(t, "auth/token/roles/app", map[string]any{"allowed_policies": "app", "token_explicit_max_ttl": "8s", "renewable": true})

	src := of(t, server, Config{LeaseDuration: time.Second})
	set := watch.NewSet(src, watch.SetConfig{})
	defer set.Close()
	made, err := watch.NewSecretWrite("auth/token/create/app", "ttl=3s", "policies=app")
	if err != nil {
		t.Fatal(err)
	}
	key := query(t, "kv1/app")
	set.Watch(made)
	set.Watch(key)
	states := make(map[watch.Query]watch.State)
	take := func(d time.Duration) {
		for end := time.After(d); end != nil; {
			select {
			case <-set.Ready():
				for q, st := range set.Take() {
					states[q] = st
				}
			case <-end:
				end = nil
			}
		}
	}
	token := func() string {
		if secret, ok := states[made].Value.(*watch.Secret); ok && secret != nil && secret.Auth != nil {
			return secret.Auth.ClientToken
		}
		return ""
	}
	accepted := func() bool {
		_, err := server.DoAs(token(), "GET", "kv1/app", nil)
		return err == nil
	}
	well := func(when string) { // soon, also on a machine that is busy; the exact times are those of the simulated Vault
		t.Helper()
		for late := time.Now().Add(10 * time.Second); ; {
			take(200 * time.Millisecond)
			if states[made].Err == nil && states[key].Err == nil && accepted() {
				return
			}
			if time.Now().After(late) {
				t.Fatalf("%s: the token is accepted: %t; %v, %v", when, accepted(), states[made].Err, states[key].Err)
			}
		}
	}

	well("at first")
	tokens := map[string]bool{token(): true}
	for range 9 { // past the longest time of the first
		take(time.Second)
		well("quiet")
		tokens[token()] = true
	}
	if len(tokens) < 2 || len(tokens) > 6 {
		t.Errorf("%d tokens in about 11 s", len(tokens))
	}

	if err := server.Seal(); err != nil {
		t.Fatal(err)
	}
	take(4 * time.Second)
	if states[key].Err == nil {
		t.Error("sealed, and no error")
	}
	if err := server.Unseal(); err != nil {
		t.Fatal(err)
	}
	well("after it was sealed")

	server.Stop()
	take(2 * time.Second)
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := server.Unseal(); err != nil {
		t.Fatal(err)
	}
	well("after it was killed")

	// What nobody uses is revoked.
	last := token()
	set.Forget(made)
	set.Close() // by then the source knows
	src.leave(src.entries[made])
	for late := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := server.DoAs(last, "GET", "kv1/app", nil); err != nil {
			break
		}
		if time.Now().After(late) {
			t.Fatal("the token of a query that was forgotten is not revoked")
		}
	}
}
