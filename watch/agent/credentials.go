package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"render/watch"
)

// credentials are what is read from files that may change while we run. The agent's mutex guards its first fields; the others
// belong to the reading of the files that is under way.
//
// A reading has a goroutine of its own: on a network file system that hangs it may never end, and no request must wait for that.
type credentials struct {
	name    string // of the server
	token   string
	reading chan struct{} // closed when the reading under way ends; nil for none
	readAt  time.Time     // when the last reading began
	fault   string        // what is wrong with the files, as last logged

	tokenFile string
	tlsFiles  []string
	tokenSeen string // signatures of the files, as last used
	tlsSeen   string
}

const (
	credentialsEvery = time.Second            // between readings of the files, and how long a request waits for one at most
	renewEvery       = 100 * time.Millisecond // between readings because of refused requests
)

// newCredentials notes which files of an endpoint matter.
func newCredentials(cfg Config, e *Endpoint) credentials {
	c := credentials{name: e.api.Name, token: cfg.Token, tokenFile: cfg.TokenFile, readAt: time.Now()}
	t := e.config.TLSConfig
	for _, path := range []string{t.CAFile, t.CAPath, t.CertFile, t.KeyFile} {
		if path != "" {
			c.tlsFiles = append(c.tlsFiles, path)
		}
	}
	c.tlsSeen = signatures(c.tlsFiles)
	return c
}

// readToken reads the token's file, and uses the token where there is one.
func (c *credentials) readToken() error {
	c.tokenSeen = watch.Signature(c.tokenFile)
	token, err := readToken(c.name, c.tokenFile)
	if err == nil && token != "" {
		c.token = token
	}
	return err
}

// readToken returns the contents of the file of a server's token, without whitespace; "" where there is no file to read.
func readToken(name, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the %s token: %w", name, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// signatures is watch.Signature for several files, and for what is in folders.
func signatures(paths []string) string {
	var b strings.Builder
	for _, path := range paths {
		inside, _ := filepath.Glob(filepath.Join(path, "*"))
		for _, file := range append(inside, path) {
			fmt.Fprintf(&b, "%s %s\n", file, watch.Signature(file))
		}
	}
	return b.String()
}

// token returns the token that requests carry.
func (a *Agent) token() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.creds.token
}

// renewToken reports whether the token's file has another token than one that was refused.
func (a *Agent) renewToken(ctx context.Context, refused string) bool {
	a.refreshCredentials(ctx, time.Now().Add(-renewEvery))
	return a.token() != refused
}

// refreshCredentials has the files read, unless that was done since a time. It returns when the reading has ended, and at the
// latest credentialsEvery after it began.
func (a *Agent) refreshCredentials(ctx context.Context, since time.Time) {
	c := &a.creds
	if c.tokenFile == "" && len(c.tlsFiles) == 0 {
		return
	}
	a.mu.Lock()
	if c.reading == nil && !c.readAt.After(since) {
		c.reading, c.readAt = make(chan struct{}), time.Now()
		go a.readFiles(c.reading)
	}
	reading, left := c.reading, time.Until(c.readAt.Add(credentialsEvery))
	a.mu.Unlock()
	if reading == nil {
		return
	}

	patience := time.NewTimer(left)
	defer patience.Stop()
	select {
	case <-reading:
	case <-patience.C:
	case <-ctx.Done():
	}
}

// readFiles uses what has changed in the files. What cannot be used stays as it was, until the next readFiles.
func (a *Agent) readFiles(done chan struct{}) {
	newToken, tokenErr := a.readNewToken()
	newTLS, tlsErr := a.readNewTLS()
	err := tokenErr
	if tlsErr != nil {
		err = tlsErr
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	a.creds.reading = nil
	defer close(done)
	if newToken {
		a.log.Info(a.api.Name + " token changed")
	}
	if newTLS {
		a.log.Info(a.api.Name + " certificates changed")
	}
	if err == nil {
		a.creds.fault = ""
	} else if err.Error() != a.creds.fault {
		a.creds.fault = err.Error()
		a.log.Warn(a.api.Name+" credentials changed and are unusable; the previous credentials stay in use", "err", err)
	}
}

// readNewToken reports whether there is another token.
func (a *Agent) readNewToken() (changed bool, err error) {
	c := &a.creds
	seen := watch.Signature(c.tokenFile)
	if c.tokenFile == "" || seen == c.tokenSeen {
		return false, nil
	}
	token, err := readToken(c.name, c.tokenFile)
	if err != nil {
		return false, err
	}
	c.tokenSeen = seen

	a.mu.Lock()
	defer a.mu.Unlock()
	if token == "" || token == c.token {
		return false, nil
	}
	c.token = token
	return true, nil
}

// readNewTLS makes new endpoints where files of TLS have changed.
func (a *Agent) readNewTLS() (changed bool, err error) {
	c := &a.creds
	seen := signatures(c.tlsFiles)
	if seen == c.tlsSeen {
		return false, nil
	}
	endpoints, err := a.connect()
	if err != nil {
		return false, err
	}
	c.tlsSeen = seen

	a.mu.Lock()
	defer a.mu.Unlock()
	a.current.config.HttpClient.CloseIdleConnections()
	a.endpoints, a.current = endpoints, endpoints[a.at]
	return true, nil
}
