// Package ask asks a running render what it does, and why it did it: by its API at a unix socket. It prints the answers for people, or as
// JSON.
package ask

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"render/render/history"
	"render/render/status"
)

const (
	socketName    = "render.sock"
	runtimeFolder = "/run/render" // of the unit
	answerTime    = 10 * time.Second
	mostAnswer    = 256 << 20 // bytes
	attempts      = 3         // to get answers of one moment
)

// Sockets returns where a running render is looked for: in the folder of the unit, then in that of the user.
func Sockets() []string {
	all := []string{filepath.Join(runtimeFolder, socketName)}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		all = append(all, filepath.Join(dir, socketName))
	}
	return all
}

// A NoRenderError says that no running render answers.
type NoRenderError struct{ err error }

// Error returns what is wrong.
func (e NoRenderError) Error() string { return e.err.Error() }

// Hint returns what to do.
func (e NoRenderError) Hint() string {
	if errors.Is(e.err, fs.ErrPermission) {
		return "only the user of the running render may use its socket; use sudo"
	}
	return "start render with --listen unix://" + Sockets()[0] + ", or name its socket with --socket"
}

// Unwrap returns what is wrong.
func (e NoRenderError) Unwrap() error { return e.err }

// A Client asks the render that listens at a socket.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client for a socket; "" stands for the first of Sockets that answers.
func NewClient(socket string) (*Client, error) {
	if socket == "" {
		var err error
		if socket, err = find(Sockets()); err != nil {
			return nil, err
		}
	}
	c := &Client{socket: socket}
	c.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	return c, nil
}

// find returns the first of several sockets at which a render listens. Where no render listens, its error is about the socket that is most
// probably the one that the user means: one of another user, then one of a render that has ended.
func find(sockets []string) (string, error) {
	var denied, dead error
	for _, path := range sockets {
		conn, err := net.DialTimeout("unix", path, answerTime)
		switch {
		case err == nil:
			_ = conn.Close()
			return path, nil
		case errors.Is(err, fs.ErrPermission):
			denied = cmp.Or(denied, explain(path, err))
		case !errors.Is(err, fs.ErrNotExist):
			dead = cmp.Or(dead, explain(path, err))
		}
	}
	none := error(NoRenderError{fmt.Errorf("no running render found: the socket %s does not exist", strings.Join(sockets, " or "))})
	return "", cmp.Or(denied, dead, none)
}

// get requests a path of the API.
func (c *Client) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, explain(c.socket, err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		resp.Body.Close()
		return nil, fmt.Errorf("render at %s answered %s: %s", c.socket, resp.Status, strings.TrimSpace(string(text)))
	}
	return resp, nil
}

// explain returns why a socket does not answer.
func explain(socket string, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, syscall.ECONNREFUSED):
		return NoRenderError{fmt.Errorf("no running render at %s: the one that made the socket has ended", socket)}
	case errors.Is(err, fs.ErrNotExist):
		return NoRenderError{fmt.Errorf("no running render found: the socket %s does not exist", socket)}
	case errors.Is(err, fs.ErrPermission):
		return NoRenderError{fmt.Errorf("cannot connect to render at %s: %w", socket, fs.ErrPermission)}
	}
	return fmt.Errorf("render at %s does not answer: %w", socket, err)
}

// ask requests a path of the API, and decodes its answer.
func (c *Client) ask(ctx context.Context, path string, into any) error {
	ctx, stop := context.WithTimeout(ctx, answerTime)
	defer stop()
	resp, err := c.get(ctx, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, mostAnswer)).Decode(into); err != nil {
		return fmt.Errorf("answer of render at %s not understood: %w", c.socket, err)
	}
	return nil
}

// Snapshot requests the state of the running render. It has several answers: where something changes between them, it repeats them.
func (c *Client) Snapshot(ctx context.Context) (*status.Snapshot, error) {
	for attempt := 1; ; attempt++ {
		var s status.Snapshot
		var targets status.Targets
		var actions status.Actions
		var queries status.Queries
		for _, part := range []struct {
			path string
			into any
		}{{"status", &s.Overview}, {"targets", &targets}, {"actions", &actions}, {"queries", &queries}} {
			if err := c.ask(ctx, "/api/v1/"+part.path, part.into); err != nil {
				return nil, err
			}
		}
		s.Targets, s.Actions, s.Queries = targets.Targets, actions.Actions, queries.Queries
		if same := targets.Sequence == s.Sequence && actions.Sequence == s.Sequence && queries.Sequence == s.Sequence; same || attempt == attempts {
			return &s, nil
		}
	}
}

// History requests all commits that render knows, the newest first.
func (c *Client) History(ctx context.Context) ([]*history.Commit, error) {
	var all history.Commits
	err := c.ask(ctx, fmt.Sprintf("/api/v1/history?limit=%d", history.MaxCommits), &all)
	return all.Commits, err
}

// Follow calls show with a snapshot at the beginning, and whenever something has changed, until ctx is done or render ends.
func (c *Client) Follow(ctx context.Context, show func(*status.Snapshot) error) error {
	changed := func() (*status.Snapshot, error) {
		s, err := c.Snapshot(ctx)
		if err == nil {
			err = show(s)
		}
		return s, err
	}
	s, err := changed()
	if err != nil {
		return err
	}
	resp, err := c.get(ctx, fmt.Sprintf("/api/v1/events?after=%d", s.Sequence))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") {
			if _, err := changed(); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("render at %s has ended", c.socket)
}
