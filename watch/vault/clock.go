package vault

import (
	"errors"
	"math/rand/v2"
	"time"

	"render/watch"
	"render/watch/vault/api"
)

const (
	thresholdSpread = 0.05                   // around Config.Threshold
	leastPause      = 500 * time.Millisecond // between two reads of an answer, however soon it ends
	rotationGrace   = 3 * time.Second        // after a password was rotated, until the answer counts as expired
)

// A clock says when there is to be another answer.
type clock struct {
	renews  bool          // the lease can be renewed
	lasts   time.Duration // the lease, where it can be renewed
	next    time.Time     // when to ask again, where it cannot
	expires time.Time     // zero where the answer does not
	seconds int           // of the lease
}

var errRotating = errors.New("vault is rotating the secret; its time to live is 0")

// clockOf returns the clock of a secret that was requested at a time. The lease begins then, so that it never ends before we expect it.
func (s *Source) clockOf(secret *watch.Secret, sent time.Time) (clock, error) {
	lasts, renews := leaseTime(secret)
	if lasts > 0 {
		c := clock{renews: renews, lasts: lasts, expires: sent.Add(lasts), seconds: int(lasts / time.Second)}
		c.next = sent.Add(s.around(lasts))
		return c, nil
	}
	if secret.LeaseID != "" {
		return s.idle(), nil
	}

	data := secret.Data
	_, isCertificate := data["certificate"]
	_, isSecretID := data["secret_id"]
	ttl, hasTTL := data["ttl"]
	switch rotates := data["rotation_period"] != nil; {
	case isCertificate && api.Number(data["expiration"]) > 0:
		expires := time.Unix(api.Number(data["expiration"]), 0)
		left := min(time.Until(expires), api.Longest)
		if left <= 0 {
			return s.idle(), nil
		}
		return clock{next: time.Now().Add(s.around(left)), expires: time.Now().Add(left)}, nil
	case isSecretID && api.Number(data["secret_id_ttl"]) > 0:
		left := lasting(api.Number(data["secret_id_ttl"]))
		return clock{next: sent.Add(s.around(left + time.Second)), expires: sent.Add(left)}, nil
	case rotates && hasTTL && api.Number(ttl) <= 0:
		return clock{}, errRotating
	case hasTTL && api.Number(ttl) > 0:
		left := lasting(api.Number(ttl))
		c := clock{next: sent.Add(left + time.Second)}
		if rotates {
			c.expires = sent.Add(left + rotationGrace)
		}
		return c, nil
	}
	return s.idle(), nil
}

// lasting returns a number of seconds that Vault tells, as a duration that can be added to times.
func lasting(seconds int64) time.Duration {
	return time.Duration(min(max(seconds, 0), int64(api.Longest/time.Second))) * time.Second
}

// leaseTime returns how long the lease of a secret lasts, and whether it can be renewed. Vault tells a duration for what has no lease,
// too, as a key of KV v1: that says nothing.
func leaseTime(secret *watch.Secret) (time.Duration, bool) {
	switch {
	case secret.Auth != nil:
		return lasting(int64(secret.Auth.LeaseDuration)), secret.Auth.Renewable
	case secret.LeaseID != "":
		return lasting(int64(secret.LeaseDuration)), secret.Renewable
	}
	return 0, false
}

// around returns the part of a duration after which there is to be another answer.
func (s *Source) around(d time.Duration) time.Duration {
	part := s.cfg.Load().Threshold + (rand.Float64()*2-1)*thresholdSpread
	if part <= 0 || part >= 1 {
		part = s.cfg.Load().Threshold
	}
	return max(leastPause, time.Duration(float64(d)*part))
}

// grace returns how long before the end of a lease there is to be another.
func grace(lasts time.Duration) time.Duration { return lasts/10 + rand.N(lasts/10+1) }
