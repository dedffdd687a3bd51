package consul

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"render/watch"
)

// credentials are what is read from files that may change while we run.
type credentials struct {
	token     string
	tokenFile string
	tokenSeen string // signature of the file
	tlsFiles  []string
	tlsSeen   string
	looked    time.Time
}

const credentialsEvery = time.Second // between looks at the files

// newCredentials reads the token, and notes which files of an endpoint matter.
func newCredentials(cfg Config, e *endpoint) (*credentials, error) {
	c := &credentials{token: cfg.Token, tokenFile: cfg.TokenFile, looked: time.Now()}
	t := e.config.TLSConfig
	for _, path := range []string{t.CAFile, t.CAPath, t.CertFile, t.KeyFile} {
		if path != "" {
			c.tlsFiles = append(c.tlsFiles, path)
		}
	}
	c.tokenSeen, c.tlsSeen = watch.Signature(c.tokenFile), signatures(c.tlsFiles)
	return c, c.readToken()
}

func (c *credentials) readToken() error {
	if c.tokenFile == "" {
		return nil
	}
	text, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return fmt.Errorf("read the token for consul: %w", err)
	}
	if token := strings.TrimSpace(string(text)); token != "" {
		c.token = token
	}
	return nil
}

// signatures is signature for several files, and for what is in folders.
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

// refresh reads the token again where its file has changed, or in any case with force, and reports whether it is another,
// and whether files of TLS have changed. A token that cannot be read stays as it was.
func (c *credentials) refresh(force bool) (newToken, newTLS bool, err error) {
	if !force && time.Since(c.looked) < credentialsEvery {
		return false, false, nil
	}
	c.looked = time.Now()
	token := c.token
	if seen := watch.Signature(c.tokenFile); force || seen != c.tokenSeen {
		c.tokenSeen = seen
		err = c.readToken()
	}
	seen := signatures(c.tlsFiles)
	newTLS, c.tlsSeen = seen != c.tlsSeen, seen
	return c.token != token, newTLS, err
}
