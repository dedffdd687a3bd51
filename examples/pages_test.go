package examples

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/watch/consultest"
)

var (
	pageBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```\n(?:\n(?:[^\n`]+\n)*\n?```text\n(.*?)^```\n)?")
	pagePort  = regexp.MustCompile(`\b[89][0-9]{3}\b`)
	repeats   = regexp.MustCompile(`^(?:cat|curl -s|grep|dig|tail) [^>&\n]*\n$`)
)

// pagePrograms are the programs that the commands of a page need, and the targets of the Makefile that install them.
var pagePrograms = map[string]map[string]string{
	"ci":         {"nginx": "nginx"},
	"dnsmasq":    {"dnsmasq": "dnsmasq", "dig": "dig"},
	"haproxy":    {"haproxy": "haproxy"},
	"nodejs":     {"node": "nodejs"},
	"prometheus": {"prometheus": "prometheus", "promtool": "prometheus"},
	"vault":      {"nginx": "nginx", "curl": "curl"},
	"vhosts":     {"nginx": "nginx"},
}

// A reader can follow a page by copy and paste: one shell runs the blocks of commands (sh) of a page from top to bottom, in a copy
// of the example's folder, and each prints the block of text that follows. The ports are different ones, so that tests can run on
// any machine. A single command that only reads is repeated until its output is there, as a reader would.
func TestPages(t *testing.T) {
	pages, err := filepath.Glob("*/README.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	binary := build(t)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := pageBlock.FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			continue
		}
		t.Run(filepath.Dir(page), func(t *testing.T) {
			t.Parallel()
			for program, target := range pagePrograms[filepath.Dir(page)] {
				find(t, program, target)
			}
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Dir(page))); err != nil {
				t.Fatal(err)
			}
			templates, err := filepath.Glob(filepath.Join(dir, "*.ctmpl"))
			if err != nil {
				t.Fatal(err)
			}
			for _, template := range templates {
				if filepath.Dir(page) != "ci" { // whose page compares
					_ = os.Remove(expected(template)) // the page makes it
				}
			}
			ports := otherPorts(t, blocks)
			replaceIn(t, dir, ports)
			path := filepath.Dir(binary)
			if filepath.Dir(page) == "vault" {
				path += ":" + vaultFolder(t)
			}
			sh := startShell(t, dir, path)
			sh.run("export CONSUL_HTTP_ADDR=" + ports.Replace("127.0.0.1:8500"))
			for _, block := range blocks {
				commands, want := ports.Replace(block[1]), ports.Replace(block[2])
				got := sh.run(commands)
				for end := time.Now().Add(30 * time.Second); block[2] != "" && got != want && repeats.MatchString(block[1]) && time.Now().Before(end); {
					time.Sleep(50 * time.Millisecond)
					got = sh.run(commands)
				}
				if block[2] != "" && got != want {
					t.Fatalf("%s\nprints\n%s\nand the page says\n%s\n%s", commands, got, want, sh.run("tail -n 20 *.log"))
				}
			}
		})
	}
}

// otherPorts replaces the ports in the commands of a page by ports that are free, in the same order, and Consul's by the port of an
// agent.
func otherPorts(t *testing.T, blocks [][]string) *strings.Replacer {
	t.Helper()
	var all, free []string
	for _, block := range blocks {
		all = append(all, pagePort.FindAllString(block[1], -1)...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for _, address := range freeAddresses(t, len(all)) {
		free = append(free, portOf(t, address))
	}
	slices.Sort(free)
	var pairs []string
	for i, port := range all {
		if port == "8500" {
			free[i] = portOf(t, startConsul(t).Addr)
		}
		pairs = append(pairs, port, free[i])
	}
	return strings.NewReplacer(pairs...)
}

// replaceIn replaces texts in the files of a folder.
func replaceIn(t *testing.T, dir string, texts *strings.Replacer) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		path := filepath.Join(dir, file.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, []byte(texts.Replace(string(text))))
	}
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// freeAddresses returns addresses of loopback with ports that were free a moment ago, for TCP and UDP. They are below the ports that
// systems use for connections, because tests that run at the same time open many.
func freeAddresses(t *testing.T, n int) (all []string) {
	t.Helper()
	for range 1000 {
		if len(all) == n {
			return all
		}
		address := fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		defer tcp.Close()
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		defer udp.Close()
		all = append(all, address)
	}
	t.Fatal("there are no free ports")
	return nil
}

// startConsul starts an agent that the test ends.
func startConsul(t *testing.T) *consultest.Agent {
	t.Helper()
	agent, err := consultest.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(agent.Stop)
	return agent
}

// A shell runs the commands of a page. It ends the programs that they leave running when the test ends.
type shell struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
	n   int
}

func startShell(t *testing.T, dir, path string) *shell {
	t.Helper()
	cmd := exec.Command("sh")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH")+":/usr/sbin", "NO_COLOR=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	t.Cleanup(func() {
		_, _ = io.WriteString(in, "\njobs -p >.jobs; kill $(cat .jobs); wait; exit\n")
		in.Close()
		late := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		_ = cmd.Wait()
		late.Stop()
		read.Close()
	})
	if err := read.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &shell{t: t, in: in, out: bufio.NewReader(read)}
}

// run returns what some commands print.
func (s *shell) run(commands string) string {
	s.t.Helper()
	s.n++
	end := fmt.Sprintf("-- end of block %d --\n", s.n)
	if _, err := io.WriteString(s.in, commands+"\necho '"+strings.TrimSpace(end)+"'\n"); err != nil {
		s.t.Fatal(err)
	}
	var all strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if before, ok := strings.CutSuffix(line, end); ok {
			return all.String() + before
		}
		all.WriteString(line)
		if err != nil {
			s.t.Fatalf("%s: %v\n%s", commands, err, all.String())
		}
	}
}
