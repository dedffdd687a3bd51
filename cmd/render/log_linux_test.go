package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/cmd/render/filetest"

	"golang.org/x/sys/unix"
)

const dropMessage = "log lines dropped, the reader is too slow"

// shortened returns a log with less of long attributes, so that a regular expression is done with it soon.
func shortened(log string) string { return strings.ReplaceAll(log, strings.Repeat("x", 500), "") }

// newLogPipe returns a pipe that holds one page. What is left of its writing end is render's.
func newLogPipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	check(t, err)
	t.Cleanup(func() { _ = reader.Close() })
	_, err = unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, 4096) // Fd makes it blocking, as that of most programs is
	check(t, err)
	return reader, writer
}

// fills returns the condition that so much is in a pipe that a line of manyTargets, with 1,000 bytes of output, soon has no
// room: a pipe takes a line of less than a page whole or not at all.
func fills(t *testing.T, reader *os.File) func() error {
	return func() error {
		n, err := unix.IoctlGetInt(int(reader.Fd()), unix.TIOCINQ)
		check(t, err)
		if n < 2500 {
			return fmt.Errorf("%d bytes are in the pipe", n)
		}
		return nil
	}
}

// manyTargets writes templates whose commands each print some bytes, and returns the arguments that render them.
func manyTargets(t *testing.T, dir string, targets, bytes int) (args []string) {
	t.Helper()
	write(t, filepath.Join(dir, "in"), `{{key "a"}}`)
	var config strings.Builder
	for n := range targets {
		fmt.Fprintf(&config, "template {\n  source = \"in\"\n  destination = \"out%d\"\n", n)
		fmt.Fprintf(&config, "  command = \"head -c %d /dev/zero | tr '\\\\000' x; : %d\"\n  spacing = \"0s\"\n}\n", bytes, n)
	}
	write(t, filepath.Join(dir, "render.hcl"), config.String())
	return []string{"--config", "render.hcl", "--fixture", "data.yaml"}
}

// setData has all targets follow a value.
func setData(t *testing.T, dir string, value int) {
	t.Helper()
	write(t, filepath.Join(dir, "next.yaml"), fmt.Sprintf("keys: {a: %d}", value))
	check(t, os.Rename(filepath.Join(dir, "next.yaml"), filepath.Join(dir, "data.yaml")))
}

// Files follow while nobody reads the log. Who reads it then learns how much is missing, and no other line is.
func TestNobodyReadsLog(t *testing.T) {
	t.Parallel()
	const (
		targets = 20
		rounds  = 10
		output  = 60_000 // of each command: 12 MB in all
	)
	dir := t.TempDir()
	args := manyTargets(t, dir, targets, output)
	setData(t, dir, 0)
	reader, writer := newLogPipe(t)
	d := startRenderTo(t, dir, writer, append(args, "--log-file", "file.log")...)
	check(t, writer.Close())
	for round := range rounds {
		setData(t, dir, round)
		for n := range targets {
			awaits(t, contains(filepath.Join(dir, fmt.Sprint("out", n)), strconv.Itoa(round)))
		}
		awaits(t, func() error { // else a commit would find two changes
			if got := bytes.Count([]byte(readAll(t, filepath.Join(dir, "file.log"))), []byte("msg=rendered")); got != (round+1)*targets {
				return fmt.Errorf("the log file has %d commits after round %d", got, round)
			}
			return nil
		})
	}

	log, ended := new(filetest.Log), make(chan struct{})
	go func() {
		_, _ = io.Copy(log, reader) // what is missing shows
		close(ended)
	}()
	awaits(t, log.Says(1, dropMessage))
	d.stop()
	<-ended
	text := shortened(log.String())
	got := filetest.Messages(t, text)
	rendered := slices.DeleteFunc(slices.Clone(got), func(m string) bool { return m != "rendered" })
	dropped := regexp.MustCompile(`msg="`+dropMessage+`" lines=(\d+)\n`).FindAllStringSubmatch(text, -1)
	if len(dropped) != 1 {
		t.Fatalf("%d lines say that lines are dropped, among %q", len(dropped), got)
	}
	lines, _ := strconv.Atoi(dropped[0][1])
	if lines == 0 || len(rendered)+lines != targets*rounds {
		t.Errorf("%d commits and %d dropped lines, not %d", len(rendered), lines, targets*rounds)
	}
	if last := got[len(got)-1]; last != "render stopping" {
		t.Errorf("the last line is %q", last)
	}
}

// What is queued at the end is written, if somebody reads it soon.
func TestLogIsCompleteAtEnd(t *testing.T) {
	t.Parallel()
	const targets = 40
	dir := t.TempDir()
	args := manyTargets(t, dir, targets, 1000)
	setData(t, dir, 0)
	reader, writer := newLogPipe(t)
	d := startRenderTo(t, dir, writer, append(args, "--log-file", "file.log")...)
	check(t, writer.Close())
	awaits(t, func() error {
		log, err := os.ReadFile(filepath.Join(dir, "file.log"))
		if got := bytes.Count(log, []byte("msg=rendered")); err != nil || got != targets {
			return fmt.Errorf("the log file has %d commits: %w", got, err)
		}
		return nil
	})
	d.signal(syscall.SIGTERM)
	all, err := io.ReadAll(reader) // to the end of render
	check(t, err)
	d.endsWith(exitDone)
	got := filetest.Messages(t, string(all))
	if want := filetest.Messages(t, readAll(t, filepath.Join(dir, "file.log"))); !slices.Equal(got, want) || got[len(got)-1] != "render stopping" {
		t.Errorf("standard error has %q, the log file %q", got, want)
	}
}

// Nobody who reads the log does not keep render from its end.
func TestNobodyReadsLogAtEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := manyTargets(t, dir, 10, 1000)
	setData(t, dir, 0)
	reader, writer := newLogPipe(t)
	d := startRenderTo(t, dir, writer, append(args, "--pid-file", "pid")...)
	check(t, writer.Close())
	for n := range 10 {
		awaits(t, contains(filepath.Join(dir, fmt.Sprint("out", n)), "0"))
	}
	awaits(t, fills(t, reader))
	d.stop()
	if _, err := os.Stat(filepath.Join(dir, "pid")); err == nil {
		t.Error("the pid file is left")
	}
}

// A run with once waits for who reads its log, for longer than the end waits otherwise.
func TestLogOfOnceIsComplete(t *testing.T) {
	t.Parallel()
	const targets = 40
	dir := t.TempDir()
	args := manyTargets(t, dir, targets, 1000)
	setData(t, dir, 0)
	reader, writer := newLogPipe(t)
	cmd := exec.Command("render", append(args, "--once")...)
	cmd.Dir, cmd.Stderr = dir, writer
	check(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	check(t, writer.Close())
	awaits(t, fills(t, reader))
	<-time.After(2*time.Second + time.Second)
	all, err := io.ReadAll(reader)
	check(t, err)
	check(t, cmd.Wait())
	if got := filetest.Messages(t, string(all)); !slices.Equal(got, append(slices.Repeat([]string{"rendered"}, targets), "run completed")) {
		t.Errorf("%d lines: %q", len(got), got)
	}
}
