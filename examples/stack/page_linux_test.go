package stack

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"render/examples/stack/dockertest"
	"render/watch/consultest"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

// A step of a page: commands, and what the last of them prints.
type step struct{ commands, prints string }

// stepsOf returns the steps of a section of a page. A block of code after "It prints:" is what the block before it prints.
func stepsOf(t *testing.T, page, from, to string) (all []step) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## "+from+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", page, from)
	}
	if to != "" {
		section, _, _ = strings.Cut(section, "\n## "+to+"\n")
	}
	for _, block := range regexp.MustCompile(`(?m)(?:^ {4}.*\n)+`).FindAllStringIndex(section, -1) {
		code := strings.ReplaceAll("\n"+section[block[0]:block[1]], "\n    ", "\n")[1:]
		if strings.HasSuffix(section[:block[0]], "It prints:\n\n") {
			all[len(all)-1].prints = code
		} else {
			all = append(all, step{commands: code})
		}
	}
	return all
}

// follow executes steps as a reader does, by copy and paste into one shell in a folder. What changes within seconds is looked at again:
// the last line of a step is repeated until it prints what the page says.
func follow(t *testing.T, folder string, steps []step) {
	t.Helper()
	// The folder and the variable leader stay from one step to the next.
	state := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(state, []byte("cd '"+folder+"'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shell := func(commands string) (string, error) {
		out, err := exec.Command("sh", "-ec", ". "+state+"\n"+commands+"\necho \"cd '$PWD'; leader=$leader\" >"+state).CombinedOutput()
		return string(out), err
	}
	for _, s := range steps {
		lines := strings.Split(strings.TrimSuffix(s.commands, "\n"), "\n")
		last := lines[len(lines)-1]
		began := time.Now()
		if len(lines) > 1 || s.prints == "" {
			if s.prints != "" {
				lines = lines[:len(lines)-1]
			}
			if out, err := shell(strings.Join(lines, "\n")); err != nil {
				t.Fatalf("%v: %s\nprints %s", err, s.commands, out)
			}
		}
		deadline := time.Now().Add(20 * time.Second)
		for s.prints != "" {
			out, _ := shell(last) // what it prints matters: grep -c fails for 0
			if strings.TrimRight(out, "\n") == strings.TrimRight(s.prints, "\n") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s\nprints\n%s\nThe page says\n%s", s.commands, out, s.prints)
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Logf("%.1f s: %s", time.Since(began).Seconds(), last)
	}
}

// The page's commands print what the page says, from its top to its bottom, and nothing is left when the stack ends.
func TestPage(t *testing.T) {
	folder := startStack(t, "3")
	steps := stepsOf(t, "README.md", "Start the stack", "The same with containers")
	if steps[0].commands != "make stack\n" || len(steps) < 20 {
		t.Fatalf("the page has %d steps, the first is %q", len(steps), steps[0].commands)
	}
	follow(t, folder, steps[1:])
}

// When a part of the stack does not start, the stack says why, ends, and leaves nothing behind.
func TestStackFails(t *testing.T) {
	folder := prepareStack(t)
	listener, err := net.Listen("tcp", "127.0.0.1:8000")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	stack := exec.Command("examples/stack/stack.sh", "up", "1")
	stack.Dir = folder
	out, err := stack.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Address already in use") || !strings.Contains(string(out), "stack: nginx has ended") {
		t.Errorf("port 8000 is in use: %v: %s", err, out)
	}
	checkClean(t, folder)
}

// startStack starts the stack as processes, with so many instances of web, and returns the folder where the page's commands run. The
// stack ends with the test, and must leave nothing behind.
func startStack(t *testing.T, instances string) (folder string) {
	t.Helper()
	folder = prepareStack(t)
	stack := exec.Command("examples/stack/stack.sh", "up", instances)
	stack.Dir = folder
	stack.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var output lockedBuffer
	stack.Stdout, stack.Stderr = &output, &output
	if err := stack.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{"render", "nginx-error", "agent"} {
				log, _ := os.ReadFile(filepath.Join(folder, ".stack/log", name+".log"))
				t.Logf("%s logged:\n%s", name, log)
			}
		}
		_ = stack.Process.Signal(os.Interrupt)
		_ = stack.Wait()
		checkClean(t, folder)
		if t.Failed() {
			t.Logf("stack.sh printed: %s", output.String())
		}
	})
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(output.String(), "The stack runs") {
		if time.Now().After(deadline) || len(processes("stack.sh")) == 0 {
			t.Fatal("the stack does not start within a minute")
		}
		time.Sleep(50 * time.Millisecond)
	}
	return folder
}

// checkClean checks that a stack which has ended left nothing behind.
func checkClean(t *testing.T, folder string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(folder, ".stack")); !os.IsNotExist(err) {
		t.Errorf("the folder is not removed: %v", err)
	}
	if left := processes("nginx", "consul", "render", "web"); len(left) > 0 {
		t.Errorf("these processes are left: %q", left)
	}
}

// prepareStack builds the programs of the stack, and returns a folder in which the page's commands run. It skips a test that cannot run
// the stack here.
func prepareStack(t *testing.T) (folder string) {
	t.Helper()
	dockertest.Isolated(t)
	for _, program := range []string{"curl", "nginx"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s", program)
		}
	}
	consul, err := consultest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONSUL", consul)
	examples, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	buildPrograms(t, filepath.Dir(examples))
	folder = t.TempDir()
	if err := os.Symlink(examples, filepath.Join(folder, "examples")); err != nil {
		t.Fatal(err)
	}
	return folder
}

// A lockedBuffer is a buffer that a program writes to and a test reads.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func buildPrograms(t *testing.T, folder string) {
	t.Helper()
	build := exec.Command("make", "-s", "stack-programs")
	build.Dir = folder
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// processes returns the processes whose names begin with one of these, without those that have ended and that nobody waits for.
func processes(names ...string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		text, err := os.ReadFile(path)
		_, after, ok := strings.Cut(string(text), " (")
		name, state, ok2 := strings.Cut(after, ") ")
		if err != nil || !ok || !ok2 || strings.HasPrefix(state, "Z") {
			continue
		}
		if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(name, n) }) {
			found = append(found, name)
		}
	}
	return found
}
