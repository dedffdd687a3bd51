package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"

	"render/cmd/render/filetest"
	"render/cmd/render/logs"
	"render/render"
	"render/watch"
)

// onTerminal starts render with standard error on a terminal of some columns. It returns what the terminal gets.
func onTerminal(t *testing.T, dir string, columns uint16, env []string, args ...string) (cmd *exec.Cmd, screen *filetest.Log, stdout *bytes.Buffer) {
	t.Helper()
	keyboard, terminal, err := pty.Open()
	check(t, err)
	defer terminal.Close()
	check(t, pty.Setsize(terminal, &pty.Winsize{Cols: columns, Rows: 24}))
	screen, stdout = new(filetest.Log), new(bytes.Buffer)
	cmd = exec.Command("render", args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(append(os.Environ(), "TERM=xterm", "NO_COLOR="), env...), stdout, terminal
	check(t, cmd.Start())

	read := make(chan struct{})
	go func() { // to the end of render
		_, _ = io.Copy(screen, keyboard)
		close(read)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-read
		_ = keyboard.Close()
	})
	return cmd, screen, stdout
}

// shownOn returns what a terminal shows: without colors, times, and what was erased.
func shownOn(screen *filetest.Log) string {
	text := strings.ReplaceAll(screen.String(), "\r\n", "\n")
	text = regexp.MustCompile(`[^\n]*\r\x1b\[K`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`\x1b\[\d+m`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`took=\S+`).ReplaceAllString(text, "took=TIME")
	text = regexp.MustCompile(`took   ( *)\S+`).ReplaceAllString(text, "took   ${1}TIME")
	return regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d `).ReplaceAllString(text, "")
}

// awaitScreen waits until a terminal shows a text.
func awaitScreen(t *testing.T, screen *filetest.Log, text string) {
	t.Helper()
	awaits(t, func() error {
		if !strings.Contains(shownOn(screen), text) {
			return errUnlike{text, screen.String()}
		}
		return nil
	})
}

type errUnlike struct{ want, got string }

func (e errUnlike) Error() string { return "the terminal does not show " + e.want + ":\n" + e.got }

// A run on a terminal: what changed, the output of the command, and what was done. Nobody's control characters are obeyed, and
// standard output gets nothing.
func TestTerminal(t *testing.T) {
	t.Parallel()
	const want = `INFO  rendered
               files    out
               because  first render
               command  printf 'one\n\033[31mtwo'; echo three >&2
               took     TIME
               | one
               | \x1b[31mtwothree
`
	const summary = "INFO  run completed  written=1  unchanged=0  commands=1  took=TIME\n"
	for _, tt := range []struct {
		name    string
		columns uint16
		env     []string
		args    []string
		want    string
		colors  bool
	}{
		{"colors", 80, nil, nil, want + summary, true},
		{"NO_COLOR", 80, []string{"NO_COLOR=1"}, nil, want + summary, false},
		{"dumb", 80, []string{"TERM=dumb"}, nil, want + summary, false},
		{"wide", 200, nil, nil, `INFO  rendered  files=out  because=first render  command=printf 'one\n\033[31mtwo'; echo three >&2  took=TIME
               | one
               | \x1b[31mtwothree
` + summary, true},
		{"level", 80, nil, []string{"--log-level", "warn"}, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "in"), "text")
			args := append([]string{"--once", "--template", `in:out:printf 'one\n\033[31mtwo'; echo three >&2`}, tt.args...)
			cmd, screen, stdout := onTerminal(t, dir, tt.columns, tt.env, args...)
			check(t, cmd.Wait())
			if tt.want != "" {
				awaitScreen(t, screen, tt.want)
			}
			if got := shownOn(screen); got != tt.want {
				t.Errorf("the terminal shows\n%s\nnot\n%s", got, tt.want)
			}
			if got := strings.Contains(screen.String(), "\x1b["); got != tt.colors {
				t.Errorf("colors: %t: %q", got, screen)
			}
			if stdout.Len() > 0 {
				t.Errorf("standard output has %q", stdout)
			}
		})
	}
}

// A terminal shows the lines that changed in a file that everybody may read, and the sizes of another file.
func TestTerminalShowsChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path := dir; strings.HasPrefix(path, os.TempDir()+"/"); path = filepath.Dir(path) {
		check(t, os.Chmod(path, 0o755))
	}
	write(t, filepath.Join(dir, "in"), "first\n{{key \"port\"}}\n")
	write(t, filepath.Join(dir, "data.yaml"), "keys: {port: 1}")
	write(t, filepath.Join(dir, "a.hcl"), `template { source = "in" destination = "private" perms = 0600 }`)
	_, screen, _ := onTerminal(t, dir, 80, nil, "--fixture", "data.yaml", "--template", "in:public", "--config", "a.hcl")
	awaitScreen(t, screen, "| public  +2 -0\n")
	awaitScreen(t, screen, "| private  new, 8 bytes\n")
	write(t, filepath.Join(dir, "data.yaml"), "keys: {port: 200}")
	awaitScreen(t, screen, "| public  +1 -1\n               | -1\n               | +200\n")
	awaitScreen(t, screen, "| private  8 → 10 bytes\n")
}

// Text and JSON are the same on a terminal as elsewhere, if somebody wants them there.
func TestTerminalWithFormat(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "in"), "text")
		cmd, screen, _ := onTerminal(t, dir, 80, nil, "--once", "--template", "in:out", "--log-format", format)
		check(t, cmd.Wait())
		awaits(t, screen.Says(1, "run completed"))
		got := filetest.Messages(t, strings.ReplaceAll(screen.String(), "\r\n", "\n"))
		if len(got) != 2 || got[0] != "rendered" {
			t.Errorf("%s: got %q", format, got)
		}
	}
}

// What is printed and not logged has no control characters of others either: here an error with a name of a file.
func TestTerminalShowsErrorsSafely(t *testing.T) {
	t.Parallel()
	cmd, screen, _ := onTerminal(t, t.TempDir(), 80, nil, "--once", "--template", "\x1b[31m\u009b:out")
	if err := cmd.Wait(); err == nil {
		t.Error("there is no error")
	}
	awaits(t, screen.Says(1, `\x1b[31m\u009b`))
	if got := screen.String(); strings.ContainsAny(got, "\x1b\u009b") {
		t.Errorf("got %q", got)
	}
}

// A start that takes long shows how far it is in a line that is rewritten, and nothing of it is left.
func TestTerminalShowsProgress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in"), `{{key "a"}}{{key "b"}}`)
	cmd, screen, _ := onTerminal(t, dir, 80, nil, "--consul-addr", freeAddr(t), "--template", "in:out")
	awaits(t, screen.Says(1, "0 of 2 queries answered, 0 of 1 templates executed, 2s"))
	awaits(t, screen.Says(1, "0 of 2 queries answered, 0 of 1 templates executed, 3s"))
	check(t, cmd.Process.Signal(syscall.SIGTERM))
	check(t, cmd.Wait())
	awaitScreen(t, screen, "render stopping")
	if got := shownOn(screen); strings.Contains(got, "queries answered") {
		t.Errorf("the terminal shows progress at the end:\n%s", got)
	}
}

// A slowSource answers the query with a name after that time.
type slowSource struct{}

func (slowSource) Fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	wait, err := time.ParseDuration(q.Name)
	if err != nil {
		return nil, 0, err
	}
	if after > 0 {
		wait = time.Hour
	}
	select {
	case <-time.After(wait):
		return "value", after + 1, nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// Elsewhere the log has the progress of a start, every ten seconds, as long as there is any.
func TestLogShowsProgress(t *testing.T) {
	for _, tt := range []struct {
		name, template string
		want           []string
	}{
		{"quick", `{{key "1s"}}{{key "9s"}}`, nil},
		{"nested", `{{key "1s"}}{{if key "12s"}}{{key "15s"}}{{end}}`, []string{
			"answered=1 queries=2 executed=0 templates=1", "answered=2 queries=3 executed=0 templates=1",
		}},
		{"nothing changes", `{{key "1s"}}{{key "100s"}}`, []string{"answered=1 queries=2 executed=0 templates=1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := new(filetest.Log)
				l := logs.New(logs.NewWriter(out))
				p := &program{logs: l, log: l.Logger()}
				var err error
				p.engine, err = render.New(slowSource{}, render.Config{
					Targets: []render.Target{{Source: "in", Contents: tt.template, Destination: filepath.Join(t.TempDir(), "out")}},
					Log:     slog.New(slog.DiscardHandler),
				})
				check(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					_ = p.engine.Run(ctx)
					close(ended)
				}()

				start := time.Now()
				shown := make(chan struct{})
				go func() {
					p.showProgress(ctx, true, ended)
					close(shown)
				}()
				<-shown
				if took := time.Since(start); took > 110*time.Second {
					t.Errorf("progress is shown for %s", took)
				}
				cancel()
				<-ended

				var got []string
				for line := range strings.Lines(out.String()) {
					_, attrs, ok := strings.Cut(strings.TrimSpace(line), `level=INFO msg="start in progress" `)
					if !ok {
						t.Errorf("got %q", line)
					}
					got = append(got, attrs)
				}
				if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
					t.Errorf("got %q, not %q", got, tt.want)
				}
			})
		})
	}
}
