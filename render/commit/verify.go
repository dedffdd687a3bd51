package commit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"render/render/run"

	"render/watch/hint"
)

// A Verify finds out whether what an action ran took effect: a command that succeeds, or a GET of a URL that is answered
// with a status. The zero value asks nothing.
type Verify struct {
	Command run.Command
	URL     string
	Status  int           // that the URL has to answer; 0 means 200
	Within  time.Duration // it has to succeed; 0 means DefaultVerifyWithin
	Every   time.Duration // between two attempts; 0 means DefaultVerifyEvery
}

// The defaults of a Verify.
const (
	DefaultVerifyWithin = 10 * time.Second
	DefaultVerifyEvery  = 250 * time.Millisecond
)

// IsZero reports whether nothing is asked.
func (v Verify) IsZero() bool { return v.URL == "" && v.Command.IsZero() }

// String returns what is asked, as logs show it: of a URL neither the password nor the query, which may have a token.
func (v Verify) String() string {
	if v.URL == "" {
		return v.Command.String()
	}
	u, err := url.Parse(v.URL)
	if err != nil {
		return "the URL"
	}
	if u.RawQuery != "" {
		u.RawQuery = "xxxxx"
	}
	return u.Redacted()
}

// Validate returns what is wrong with the settings, or nil.
func (v Verify) Validate() error {
	switch {
	case v.URL != "" && !v.Command.IsZero():
		return hint.With(errors.New("verify: a verification has either a URL or a command, not both"), "remove one of the two")
	case v.Within < 0 || v.Every < 0:
		return errors.New("verify: a duration cannot be negative")
	case v.Status != 0 && (v.Status < 100 || v.Status > 599):
		return fmt.Errorf("verify: %d is not an HTTP status", v.Status)
	}
	if _, err := url.Parse(v.URL); err != nil { // which would quote parts of a password
		return hint.With(errors.New("verify: the value is not a URL"), "write a URL such as http://127.0.0.1:80/health")
	}
	return nil
}

// leastAttempt is how long one attempt may take, even if the time is up sooner: so that its error says what is wrong.
const leastAttempt = time.Second

// ErrVerify is the error of an action that did not take effect.
var ErrVerify = errors.New("verification failed")

// verify finds out whether what was run took effect. It asks again until it gets the answer that it wants or the time is up.
func (c *commit) verify() error {
	v := c.Action.Verify
	within, every := cmp.Or(v.Within, DefaultVerifyWithin), cmp.Or(v.Every, DefaultVerifyEvery)
	end := time.Now().Add(within)
	for {
		most := c.limit(max(time.Until(end), leastAttempt))
		if most <= 0 {
			return ErrStopping // nobody knows yet whether it took effect
		}
		err := c.verifyOnce(v, most)
		if err == nil || errors.Is(err, ErrStopping) {
			return err
		}
		if time.Until(end) < every {
			return fmt.Errorf("%w: %s did not succeed within %s: %w", ErrVerify, v, within, err)
		}
		if !c.Stop.pause(every) {
			return ErrStopping
		}
	}
}

func (c *commit) verifyOnce(v Verify, most time.Duration) error {
	if v.URL == "" {
		output, err := c.runWithin(v.Command, most)
		if err != nil {
			return c.withOutput(err, output)
		}
		return nil
	}

	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.URL, nil)
	if err != nil {
		return err
	}
	resp, err := verifier.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			return failed.Err // without the URL
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, mostBody))
	if want := cmp.Or(v.Status, http.StatusOK); resp.StatusCode != want {
		return fmt.Errorf("the HTTP status is %d, not %d", resp.StatusCode, want)
	}
	return nil
}

const mostBody = 64 << 10 // bytes of an answer to a verification that are read

// verifier opens a connection for each request: a server that was reloaded goes on serving its old connections as before.
var verifier = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}
