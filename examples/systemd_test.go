package examples

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// The unit that README.md shows is good, too.
func TestSystemdUnitOfReadme(t *testing.T) {
	analyze := find(t, "systemd-analyze", "systemd")
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?s)\n    \[Unit\]\n.*?\n\n[^ ]`).Find(text)
	if block == nil {
		t.Fatal("README.md shows no unit")
	}
	unit := filepath.Join(t.TempDir(), "render.service")
	lines := bytes.ReplaceAll(block[:len(block)-1], []byte("\n    "), []byte("\n"))
	write(t, unit, bytes.ReplaceAll(lines, []byte("/usr/local/bin/render"), []byte(build(t))))
	if said, err := exec.CommandContext(t.Context(), analyze, "verify", unit).CombinedOutput(); err != nil || len(said) > 0 {
		t.Errorf("systemd does not like the unit: %v\n%s", err, said)
	}
}

// TestSystemdUnit has systemd read the unit, with a built render where the unit has it, and say how much it can do.
func TestSystemdUnit(t *testing.T) {
	analyze := find(t, "systemd-analyze", "systemd")
	binary, unit := build(t), filepath.Join(t.TempDir(), "render.service")
	text, err := os.ReadFile("systemd/render.service")
	if err != nil {
		t.Fatal(err)
	}
	const installed = "=/usr/local/bin/render "
	if bytes.Count(text, []byte(installed)) != 1 {
		t.Fatalf("the unit does not have %q", installed)
	}
	write(t, unit, bytes.Replace(text, []byte(installed), []byte("="+binary+" "), 1))

	said, err := exec.CommandContext(t.Context(), analyze, "verify", unit).CombinedOutput()
	if err != nil || len(said) > 0 {
		t.Errorf("systemd does not like the unit: %v\n%s", err, said)
	}
	if help, _ := exec.CommandContext(t.Context(), analyze, "--help").Output(); !bytes.Contains(help, []byte("--offline")) {
		t.Log("this systemd-analyze does not judge units that are not installed")
		return
	}
	// 35 stands for an exposure of 3.5 of 10. A program that signals nginx and tests its configuration needs about 3.
	const most = "35"
	said, err = exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--threshold="+most, unit).CombinedOutput()
	if err != nil {
		t.Errorf("the unit may do more than it should: %v\n%s", err, said)
	}
}
