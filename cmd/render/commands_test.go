package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCommandsMisbehave gives a daemon a command of each bad kind at the same time. Each is ended, told of by name, and
// tried again until it is well; none takes memory, leaves a process or keeps the others waiting.
func TestCommandsMisbehave(t *testing.T) {
	t.Parallel()
	const (
		timeout = 3 * time.Second
		prompt  = 2 * time.Second // for the file that has no command
		most    = 150 << 10       // kB of memory; the race detector takes its part
	)
	dir := t.TempDir()
	data := filepath.Join(dir, "data.yaml")
	write(t, data, "keys: {a: first}")
	write(t, filepath.Join(dir, "in"), `{{key "a"}}`)
	write(t, filepath.Join(dir, "static"), "text")
	const pid = `[ -e well ] && exit; echo $$ >>pids; `
	commands := map[string]string{
		"hangs":    pid + `sleep 1000`,
		"stubborn": pid + `trap '' TERM; while :; do sleep 0.1; done`,
		"forks":    pid + `for i in 1 2 3; do (trap '' TERM; sleep 1000) & echo $! >>pids; done; sleep 1000`,
		"prints":   pid + `head -c 100000000 /dev/zero | tr '\0' x; echo the end; exit 3`,
		"flaky":    `echo run >>flaky.runs; echo "run $(wc -l <flaky.runs)"; [ "$(wc -l <flaky.runs)" -gt 2 ]`,
	}
	args := []string{"--fixture", "data.yaml", "--command-timeout", timeout.String(), "--template", "in:out"}
	for name, command := range commands {
		if name != "prints" {
			args = append(args, "--template", "static:"+name+":"+command)
		}
	}
	prints, err := json.Marshal(map[string]any{"template": map[string]any{ // what it prints takes its time on a busy machine
		"source": "static", "destination": "prints", "command": commands["prints"], "exec": map[string]string{"timeout": "1m"},
	}})
	check(t, err)
	write(t, filepath.Join(dir, "prints.json"), string(prints))
	args = append(args, "--config", "prints.json")
	d := startRender(t, dir, args...)

	// All are under way. What has no command goes on.
	awaits(t, func() error {
		if n := len(numbers(t, filepath.Join(dir, "pids"))); n < 3+3+1 {
			return fmt.Errorf("only %d processes have been started", n)
		}
		return nil
	})
	for i := range 20 {
		value := fmt.Sprint("change ", i)
		write(t, data, "keys: {a: "+value+"}")
		check(t, within(prompt, contains(filepath.Join(dir, "out"), value)))
	}

	failed := func(name, says string) func() error {
		return func() error {
			return reported(d.said(), "level=ERROR", "command failed", "files="+name+" ", "command=", says, " in=")
		}
	}
	for _, name := range []string{"hangs", "forks", "stubborn"} {
		check(t, within(timeout+patience, failed(name, "did not end within 3s")))
	}
	awaits(t, failed("prints", "exit status 3"))
	awaits(t, failed("prints", "the end"))
	awaits(t, func() error { return reported(d.said(), "command succeeded", "flaky", "run 3") })
	check(t, contains(filepath.Join(dir, "flaky.runs"), "run\nrun\nrun\n")())

	write(t, filepath.Join(dir, "well"), "")
	for name := range commands {
		awaits(t, func() error {
			return reported(d.said(), "level=INFO", "command succeeded", commandIn(commands[name]))
		})
	}
	for _, pid := range numbers(t, filepath.Join(dir, "pids")) {
		awaits(t, func() error {
			if alive(pid) {
				return fmt.Errorf("process %d is still there", pid)
			}
			return nil
		})
	}
	if kb := peakMemory(t, d.cmd.Process.Pid); kb > most {
		t.Errorf("render has taken %d kB", kb)
	}
	if size := len(d.said()); size > 1<<20 {
		t.Errorf("the log has %d bytes", size)
	}
	d.stop()
}

// commandIn returns a part of a command as the log quotes it.
func commandIn(command string) string {
	quoted := strconv.Quote(command)
	return quoted[1 : len(quoted)-1]
}

// TestCommandFailsForAChange has a command fail for a change, and then for the old file, which comes back. It is tried
// again until both the command and the new file are through.
func TestCommandFailsForAChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, data, journal := filepath.Join(dir, "out"), filepath.Join(dir, "data.yaml"), filepath.Join(dir, "journal")
	write(t, data, "keys: {a: old}")
	write(t, filepath.Join(dir, "in"), `{{key "a"}}`)
	write(t, filepath.Join(dir, "command"), `cat out >>journal; echo >>journal; [ "$(wc -l <journal)" -gt 2 ]`)
	args := []string{"--fixture", "data.yaml", "--template", "in:out"}
	renderOnce(t, dir, args...)
	write(t, data, "keys: {a: new}")
	args[len(args)-1] += ":sh command"
	d := startRender(t, dir, args...)
	awaits(t, func() error {
		return reported(d.said(), "command failed, retrying; the previous files stay", "sh command", "after restoring the previous files: ")
	})
	awaits(t, func() error { return reported(d.said(), "msg=rendered", "files=out", `command="sh command"`) })
	check(t, contains(out, "new")())
	ran, err := os.ReadFile(journal)
	check(t, err)
	if ran := string(ran); !strings.HasPrefix(ran, "new\nold\n") || !strings.HasSuffix(ran, "new\n") {
		t.Errorf("the command has seen %q", ran)
	}
	d.stop()
}

// TestManyChangesFewRuns makes 400 changes in 8 seconds: the command runs once a second, and last after the last of them (R7).
func TestManyChangesFewRuns(t *testing.T) {
	t.Parallel()
	const changes, every = 400, 20 * time.Millisecond
	agent, dir := testConsul(t), t.TempDir()
	journal := filepath.Join(dir, "journal")
	put := func(i int) { t.Helper(); check(t, agent.Put("many", fmt.Sprint(i))) }
	put(0)
	write(t, filepath.Join(dir, "in"), `{{key "many"}}`+"\n")
	d := startRender(t, dir, "--consul-addr", agent.Addr, "--template", "in:out:cat out >>journal")
	awaits(t, contains(journal, "0\n"))
	tick := time.NewTicker(every)
	defer tick.Stop()
	began := time.Now()
	for i := range changes {
		<-tick.C
		put(i + 1)
	}
	took := time.Since(began)
	awaits(t, func() error {
		b, err := os.ReadFile(journal)
		if err == nil && !strings.HasSuffix(string(b), fmt.Sprintf("\n%d\n", changes)) {
			err = fmt.Errorf("the last run has not seen the last change: %q", b)
		}
		return err
	})
	ran, err := os.ReadFile(journal)
	check(t, err)
	runs := strings.Count(string(ran), "\n") - 1
	if most := int(took/time.Second) + 2; runs > most { // 10, where the machine keeps up
		t.Errorf("%d runs in %s, want %d at most", runs, took, most)
	}
	if runs < int(took/time.Second)/2 {
		t.Errorf("only %d runs in %s: changes are kept back", runs, took)
	}
	d.stop()
}

// TestOneRunAWave lets one change be a change of 40 files with one command: it runs once, and sees them all.
func TestOneRunAWave(t *testing.T) {
	t.Parallel()
	const files, waves = 40, 4
	dir := t.TempDir()
	data, journal := filepath.Join(dir, "data.yaml"), filepath.Join(dir, "journal")
	var args []string
	for i := range files {
		source := fmt.Sprintf("in%d", i)
		write(t, filepath.Join(dir, source), `{{key "wave"}}`+"\n")
		args = append(args, "--template", fmt.Sprintf("%s:out%d:sh command", source, i))
	}
	write(t, filepath.Join(dir, "command"), `echo wave $(sort out* | uniq -c) changed $(printf '%s\n' "$RENDER_CHANGED" | wc -l) >>journal`)
	var d *daemon
	want := ""
	for wave := range waves {
		write(t, data, fmt.Sprintf("keys: {wave: number-%d}", wave))
		if d == nil {
			d = startRender(t, dir, append([]string{"--fixture", "data.yaml"}, args...)...)
		}
		want += fmt.Sprintf("wave %d number-%d changed %d\n", files, wave, files)
		awaits(t, contains(journal, want))
	}
	d.stop()
	check(t, contains(journal, want)())
}

// numbers returns the numbers in a file, none where it is missing.
func numbers(t *testing.T, path string) (all []int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if !os.IsNotExist(err) {
		check(t, err)
	}
	for _, field := range strings.Fields(string(b)) {
		n, err := strconv.Atoi(field)
		check(t, err)
		all = append(all, n)
	}
	return all
}

// alive reports whether there is a process, and not only what is left of it until its parent has asked for its end.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

// peakMemory returns the most memory that a process has had, in kB.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	check(t, err)
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(peak)[0])
	check(t, err)
	t.Logf("peak of memory: %d kB", kb)
	return kb
}

// TestSecondStopEndsCommands: what render has started ends with it, also where it is not let end by itself, and nothing more
// begins. What was interrupted is done again by the next start.
func TestSecondStopEndsCommands(t *testing.T) {
	t.Parallel()
	const hangs = `echo $$ >>groups; trap '' TERM INT; sleep 1000 & sleep 1000; echo on >>on`
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"command", []string{"--template", "in:out:" + hangs, "--template", "in:other:" + hangs + " #"}},
		{"check", []string{"--check", hangs, "--template", "in:out", "--template", "in:other"}},
		{"check of a file", []string{"--check", hangs + " {}", "--template", "in:out", "--template", "in:other"}},
		{"verification", []string{"--verify", hangs, "--template", "in:out", "--template", "in:other"}},
		{"once", []string{"--once", "--template", "in:out:" + hangs, "--template", "in:other:touch on"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "in"), "text")
			d := startRender(t, dir, tt.args...)
			want := 2
			if tt.name == "once" {
				want = 1
			}
			groups := filepath.Join(dir, "groups")
			awaits(t, func() error {
				if n := len(numbers(t, groups)); n < want {
					return fmt.Errorf("%d have begun", n)
				}
				return nil
			})
			d.signal(syscall.SIGTERM)
			d.signal(syscall.SIGINT)
			awaits(t, func() error {
				select {
				case <-d.ended:
					return nil
				default:
					return errors.New("render has not ended")
				}
			})
			for _, group := range numbers(t, groups) {
				awaits(t, groupHasEnded(group))
			}
			if _, err := os.Stat(filepath.Join(dir, "on")); err == nil {
				t.Error("something more was run")
			}
		})
	}
}
