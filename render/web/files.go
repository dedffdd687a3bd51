package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// checkEvery is how often files of certificates and tokens are looked at for changes, while somebody asks.
const checkEvery = time.Second

// A cached value is made of the contents of files. It is made again when they change; while they cannot be read, it stays as it was.
type cached[T any] struct {
	paths []string
	read  func() (T, error)

	mu      sync.Mutex // guards what follows
	value   T
	stamps  []stamp // of the files when they were read
	checked time.Time
}

// A stamp distinguishes versions of a file.
type stamp struct {
	changed time.Time
	size    int64
}

// newCached reads files for the first time.
func newCached[T any](read func() (T, error), paths ...string) (*cached[T], error) {
	c := &cached[T]{paths: paths, read: read}
	c.stamps, c.checked = c.look(), time.Now()
	var err error
	c.value, err = read()
	return c, err
}

// get returns the value.
func (c *cached[T]) get() T {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < checkEvery {
		return c.value
	}
	c.checked = time.Now()
	stamps := c.look()
	for i, s := range stamps {
		if s == c.stamps[i] {
			continue
		}
		if value, err := c.read(); err == nil {
			c.value, c.stamps = value, stamps
		}
		break
	}
	return c.value
}

func (c *cached[T]) look() []stamp {
	stamps := make([]stamp, len(c.paths))
	for i, path := range c.paths {
		if info, err := os.Stat(path); err == nil {
			stamps[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return stamps
}

// newCertificate reads a certificate and its key.
func newCertificate(cert, key string) (*cached[*tls.Certificate], error) {
	return newCached(func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s, key %s: %w", cert, key, err)
		}
		return &pair, nil
	}, cert, key)
}

// A token is the checksum of what a request has to have.
type token [sha256.Size]byte

// longestToken is the most bytes of a token.
const longestToken = 4096

// newToken reads a token from a file.
func newToken(path string) (*cached[token], error) {
	return newCached(func() (token, error) {
		info, err := os.Stat(path)
		if err == nil && !info.Mode().IsRegular() {
			err = &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
		}
		if err != nil {
			return token{}, fmt.Errorf("token: %w", err)
		}
		text, err := os.ReadFile(path)
		text = []byte(strings.TrimSpace(string(text)))
		switch {
		case err != nil:
			return token{}, fmt.Errorf("token: %w", err)
		case len(text) == 0:
			return token{}, fmt.Errorf("the token file %s is empty", path)
		case len(text) > longestToken:
			return token{}, fmt.Errorf("the token of %s is longer than %d bytes", path, longestToken)
		}
		return sha256.Sum256(text), nil
	}, path)
}

// shortToken is how many bytes a token has at least that nobody guesses.
const shortToken = 16

// weaknesses returns why the token of a file may not keep others out.
func weaknesses(path string) (all []string) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		all = append(all, "all users of the machine can read the file")
	}
	if text, err := os.ReadFile(path); err == nil && len(strings.TrimSpace(string(text))) < shortToken {
		all = append(all, fmt.Sprintf("the token is shorter than %d bytes", shortToken))
	}
	return all
}

// is reports whether a text is the token.
func (t token) is(text string) bool {
	sum := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(t[:], sum[:]) == 1
}
