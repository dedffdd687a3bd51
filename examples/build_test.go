package examples

import (
	"debug/elf"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// build returns the program that users build.
func build(t *testing.T) string {
	t.Helper()
	run(t, "make", "-s", "-C", "..", "build")
	binary, err := filepath.Abs("../bin/render")
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// The program needs no library of the machine that it runs on: it runs in an empty container.
func TestNoDependencies(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the format of programs is another one here")
	}
	program, err := elf.Open(build(t))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if slices.ContainsFunc(program.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the program needs a loader and libraries")
	}
}
