package servertest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBinary(t *testing.T) {
	t.Setenv("SERVERTEST_BINARY", "/bin/server")
	if path, err := Binary("SERVERTEST_BINARY", "none", "server", "server"); path != "/bin/server" || err != nil {
		t.Errorf("got %q, %v", path, err)
	}
	t.Setenv("SERVERTEST_BINARY", "")
	_, err := Binary("SERVERTEST_BINARY", "none", "server", "servers")
	if want := "no server to test with: run `make servers` once, or set $SERVERTEST_BINARY: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

func TestFreePorts(t *testing.T) {
	ports, err := FreePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(ports); len(slices.Compact(ports)) != 50 || ports[0] == 0 {
		t.Errorf("got %v", ports)
	}
}

func TestRetry(t *testing.T) {
	other := errors.New("another error")
	for _, test := range []struct {
		name string
		errs []error // of the attempts
		want error
	}{
		{"at once", []error{nil}, nil},
		{"the third time", []error{ErrEnded, ErrEnded, nil}, nil},
		{"never", []error{ErrEnded, ErrEnded, ErrEnded}, ErrEnded},
		{"another error", []error{ErrEnded, other}, other},
	} {
		n := 0
		err := Retry(func(attempt int) error {
			if n != attempt {
				t.Errorf("%s: attempt %d has the number %d", test.name, n, attempt)
			}
			n++
			return errors.Join(test.errs[attempt])
		})
		if !errors.Is(err, test.want) || n != len(test.errs) {
			t.Errorf("%s: %d attempts, %v", test.name, n, err)
		}
	}
}

// script returns a process that makes a file and runs on, and reports whether it has.
func script(t *testing.T, text string) (p *Process, ready func(context.Context) bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready")
	p = &Process{Name: "server", Args: []string{"/bin/sh", "-c", text, "sh", file}}
	t.Cleanup(p.Kill)
	return p, func(context.Context) bool {
		_, err := os.Stat(file)
		return err == nil
	}
}

func TestProcess(t *testing.T) {
	p, ready := script(t, `echo starting; [ "$WORD" = yes ] && : >"$1"; exec sleep 600`)
	if !p.HasEnded() {
		t.Error("it runs before it is started")
	}
	p.Kill() // does nothing
	p.Env = append(os.Environ(), "WORD=yes")
	for range 2 {
		_ = os.Remove(p.Args[len(p.Args)-1])
		if err := p.Run(t.Context(), time.Minute, ready); err != nil {
			t.Fatal(err)
		}
		if p.HasEnded() {
			t.Error("it has ended")
		}
		if p.Kill(); !p.HasEnded() || p.Output() != "starting\n" {
			t.Errorf("ended %v; it said: %s", p.HasEnded(), p.Output())
		}
	}
}

func TestProcessIsNotReady(t *testing.T) {
	never := func(context.Context) bool { return false }
	p, _ := script(t, "echo listen: address in use; exit 1")
	err := p.Run(t.Context(), time.Minute, never)
	if !errors.Is(err, ErrEnded) || err.Error() != "server has ended; it said: listen: address in use\n" {
		t.Errorf("got %v", err)
	}

	p, _ = script(t, "exec sleep 600")
	err = p.Run(t.Context(), 50*time.Millisecond, never)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrEnded) || !p.HasEnded() {
		t.Errorf("ended %v, %v", p.HasEnded(), err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err = p.Run(ctx, time.Minute, never); !errors.Is(err, context.Canceled) || !p.HasEnded() {
		t.Errorf("ended %v, %v", p.HasEnded(), err)
	}

	p.Args = []string{filepath.Join(t.TempDir(), "none")}
	if err = p.Run(t.Context(), time.Minute, never); err == nil || !strings.HasPrefix(err.Error(), "start server: ") {
		t.Errorf("got %v", err)
	}
}
