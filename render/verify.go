package render

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// A Verify finds out whether what an action has run took effect: a command that succeeds, or a GET of a URL that is answered
// with a status. The zero value asks nothing.
type Verify struct {
	Command Command
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

func (v Verify) validate() error {
	switch {
	case v.URL != "" && !v.Command.IsZero():
		return errors.New("verify: has both a URL and a command; give one")
	case v.Within < 0 || v.Every < 0:
		return errors.New("verify: the times cannot be negative")
	case v.Status != 0 && (v.Status < 100 || v.Status > 599):
		return fmt.Errorf("verify: %d is not a status of HTTP", v.Status)
	}
	if _, err := url.Parse(v.URL); err != nil { // which would quote parts of a password
		return errors.New("verify: the URL is none, as http://127.0.0.1:80/health is")
	}
	return nil
}

// leastAttempt is how long one attempt may take, even if the time is up sooner: so that it can tell what is wrong.
const leastAttempt = time.Second

// errVerify is the error of an action that did not take effect.
var errVerify = errors.New("the verification has failed")

// verify finds out whether what was run took effect: it asks again and again, until it gets the answer that it wants or the
// time is up.
func (c *commit) verify() error {
	v := c.cfg.Verify
	if v.IsZero() {
		return nil
	}
	within, every := cmp.Or(v.Within, DefaultVerifyWithin), cmp.Or(v.Every, DefaultVerifyEvery)
	end := time.Now().Add(within)
	for {
		err := c.verifyOnce(v, max(time.Until(end), leastAttempt))
		if err == nil {
			return nil
		}
		if time.Until(end) < every {
			return fmt.Errorf("%w: %s did not succeed within %s: %w", errVerify, v, within, err)
		}
		time.Sleep(every)
	}
}

func (c *commit) verifyOnce(v Verify, most time.Duration) error {
	if v.URL == "" {
		r := c.runner(v.Command)
		r.timeout = most
		output, err := r.run()
		if err != nil {
			return fmt.Errorf("%w%s", err, quoted(output))
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
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxOutputKept))
	if want := cmp.Or(v.Status, http.StatusOK); resp.StatusCode != want {
		return fmt.Errorf("got the status %d, not %d", resp.StatusCode, want)
	}
	return nil
}

// verifier opens a connection for each request: a server that was reloaded goes on serving its old connections as before.
var verifier = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// pause waits for a random part of a time, unless there is no time for that.
func (c *commit) pause(most time.Duration) {
	if most <= 0 {
		return
	}
	select {
	case <-time.After(upTo(most)):
	case <-c.hurry:
	}
}
