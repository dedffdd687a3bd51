package examples

import (
	"debug/elf"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// built is the program that users build, built once: tests run at the same time.
var built = sync.OnceValues(func() (string, error) {
	if said, err := exec.Command("make", "-s", "-C", "..", "build").CombinedOutput(); err != nil {
		return "", fmt.Errorf("make build: %w\n%s", err, said)
	}
	return filepath.Abs("../bin/render")
})

// build returns the path of the program that users build.
func build(t *testing.T) string {
	t.Helper()
	binary, err := built()
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
