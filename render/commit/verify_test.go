package commit

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"render/render/run"
)

// A verification waits for what takes a while, and notices that a service does not start at all.
func TestVerify(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if requests++; requests < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		switch req.URL.Path {
		case "/moved":
			http.Redirect(w, req, "/", http.StatusFound)
		case "/hangs":
			<-req.Context().Done()
		}
	}))
	defer server.Close()
	tests := []struct {
		name string
		v    Verify
		err  string
	}{
		{"after two failures", Verify{URL: server.URL, Within: 10 * time.Second}, ""},
		{"another status", Verify{URL: server.URL + "/moved", Status: 302}, ""},
		{"a redirection is not followed", Verify{URL: server.URL + "/moved", Within: time.Millisecond}, "the HTTP status is 302, not 200"},
		{"it hangs", Verify{URL: server.URL + "/hangs", Within: 100 * time.Millisecond}, "deadline exceeded"},
		{"nobody is there", Verify{URL: "http://127.0.0.1:1", Within: time.Millisecond}, "connection refused"},
		{"a command that hangs", Verify{Command: run.Command{Shell: "sleep 1000"}, Within: 100 * time.Millisecond}, "did not end within"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.v.Every = 5 * time.Millisecond
			c := newCommit(Plan{Action: Action{Verify: test.v}}, newTools(t))
			began := time.Now()
			err := c.verify()
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v, want %q", err, test.err)
			}
			if err != nil && !errors.Is(err, ErrVerify) {
				t.Errorf("got %v, which is not ErrVerify", err)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
	if requests < 4 {
		t.Errorf("%d requests", requests)
	}
}

// What logs show of a URL has no secret in it.
func TestVerifyHasNoSecrets(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:1/health":                 "http://127.0.0.1:1/health",
		"http://user:hunter2@127.0.0.1:1/health":    "http://user:xxxxx@127.0.0.1:1/health",
		"http://127.0.0.1:1/health?token=hunter2&a": "http://127.0.0.1:1/health?xxxxx",
	} {
		v := Verify{URL: url, Within: time.Millisecond}
		if got := v.String(); got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
		c := newCommit(Plan{Action: Action{Verify: v}}, newTools(t))
		if err := c.verify(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"http://user:hunter2@host:port/", "http://user:hunter2/2@host/", "http://[hunter2"} {
		v := Verify{URL: url}
		if err := v.Validate(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
		if got := v.String(); strings.Contains(got, "hunter2") {
			t.Errorf("%s: %s", url, got)
		}
	}
}

func TestVerifyValidate(t *testing.T) {
	command := run.Command{Shell: ":"}
	for want, v := range map[string]Verify{
		"a verification has either a URL or a command, not both": {URL: "http://127.0.0.1/", Command: command},
		"a duration cannot be negative":                          {Command: command, Within: -1},
		"a duration cannot be negative\x00":                      {Command: command, Every: -1},
		"99 is not an HTTP status":                               {URL: "http://127.0.0.1/", Status: 99},
		"600 is not an HTTP status":                              {URL: "http://127.0.0.1/", Status: 600},
	} {
		want = strings.TrimRight(want, "\x00")
		if err := v.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", v, err, want)
		}
	}
	for _, v := range []Verify{{}, {Command: command, Within: 1, Every: 1}, {URL: "http://127.0.0.1:80/health?a=b", Status: 599}} {
		if err := v.Validate(); err != nil {
			t.Errorf("%+v: %v", v, err)
		}
	}
}

// The pauses between two attempts, and the limit of all, are what the settings say.
func TestVerifyPace(t *testing.T) {
	for _, test := range []struct {
		v        Verify
		attempts int
		took     time.Duration
	}{
		{Verify{Command: run.Command{Shell: "verify"}}, 40, 9750 * time.Millisecond}, // the defaults
		{Verify{Command: run.Command{Shell: "verify"}, Within: time.Minute, Every: 10 * time.Second}, 7, time.Minute},
		{Verify{Command: run.Command{Shell: "verify"}, Within: time.Second, Every: time.Minute}, 1, 0},
	} {
		bubble(t, func(t *testing.T) {
			attempts := 0
			c := newCommit(Plan{Action: Action{Verify: test.v}}, Tools{Stop: NewStop(), Run: func(run.Command, run.Limits) (string, error) {
				attempts++
				return "", errors.New("not yet")
			}})
			began := time.Now()
			if err := c.verify(); !errors.Is(err, ErrVerify) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); attempts < test.attempts || attempts > test.attempts+1 || took < test.took || took > test.took+time.Second {
				t.Errorf("%+v: %d attempts in %s", test.v, attempts, took)
			}
		})
	}
}
