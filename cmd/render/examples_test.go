package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"render/watch/consultest"
)

// notExecuted are the commands of documents that TestDocumentedCommands does not execute, and why.
var notExecuted = []struct {
	command *regexp.Regexp
	reason  string
}{
	{regexp.MustCompile(`^render \[flags\]`), "this is the usage"},
	{regexp.MustCompile(`^render keep-program$`), "render starts it itself, with descriptors that it inherits"},
	{regexp.MustCompile(`^render (status|why|history)\b`), "asks a running render"},
	{regexp.MustCompile(`^make [\w-]+( [A-Z_]+=\S*)*$`), "builds, tests or measures render itself"},
	{regexp.MustCompile(`^go run \./bench `), "measures render for minutes"},
	{regexp.MustCompile(`^sudo (install|apt-get install|rpm|systemctl) `), "changes the system"},
	{regexp.MustCompile(`^consul agent -dev$`), "TestReadmeFirstSteps starts an agent"},
	{regexp.MustCompile(`^curl -X PUT `), "TestReadmeFirstSteps executes it"},
	{regexp.MustCompile(`^curl -s 127\.0\.0\.1:8`), "the test of examples/stack executes it"},
	{regexp.MustCompile(`^consul acl `), "TestDocumentedPolicy creates the policy and the token"},
}

var (
	continuedLine = regexp.MustCompile(`\\\n\s*`)
	indentedLine  = regexp.MustCompile(`(?m)^ {4,}((?:render|sudo|curl|make|go run|consul [a-z]+) .*)$`)
	executedBlock = regexp.MustCompile("(?ms)^```sh\n.*?^```$") // TestPages of the examples executes them
	inlineCommand = regexp.MustCompile("`((?:render (?:-|man|completion|help|keep-program)|make |source <\\(render)[^`]*)`")
)

// commandsOf returns the commands that a document shows, each on one line.
func commandsOf(text string) (all []string) {
	text = continuedLine.ReplaceAllString(executedBlock.ReplaceAllString(text, ""), "")
	for _, found := range []*regexp.Regexp{indentedLine, inlineCommand} {
		for _, m := range found.FindAllStringSubmatch(text, -1) {
			command, _, _ := strings.Cut(m[1], "  #")
			all = append(all, strings.TrimSpace(strings.ReplaceAll(command, `\|`, "|")))
		}
	}
	return all
}

// Each command of a document is executed in a folder with the files that it names, or there is a reason why not. What would write or
// run something gets --parse-only.
func TestDocumentedCommands(t *testing.T) {
	used := make([]bool, len(notExecuted))
	n := 0
	for _, path := range documents(t) {
	commands:
		for _, command := range commandsOf(readAll(t, path)) {
			for i, skip := range notExecuted {
				if skip.command.MatchString(command) {
					used[i] = true
					continue commands
				}
			}
			n++
			t.Run(command, func(t *testing.T) { executeDocumented(t, path, command) })
		}
	}
	for i, skip := range notExecuted {
		if !used[i] {
			t.Errorf("no document has a command like %s", skip.command)
		}
	}
	if n < 15 {
		t.Errorf("found %d commands", n)
	}
}

var (
	asUser     = regexp.MustCompile(`^sudo (-u \w+ )?`)
	completion = regexp.MustCompile(`render completion \w+`)
	endsItself = regexp.MustCompile(`-parse-only|--once.*--fixture|^render (man|help|--help)`)
)

func executeDocumented(t *testing.T, path, command string) {
	dir := exampleFolder(t)
	line := asUser.ReplaceAllString(command, "")
	if c := completion.FindString(line); c != "" {
		line = c // what takes it is another shell
	} else if !endsItself.MatchString(line) {
		line += " --parse-only"
	}
	line = strings.NewReplacer("/etc/render/", "", "/etc/consul-template.d", "consul-template.d").Replace(line)

	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s has a command that fails: %s\n%v: %s", path, command, err, out)
	}
}

// exampleFolder returns a folder with the files that commands of documents name.
func exampleFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	examples, err := filepath.Abs("../../examples")
	check(t, err)
	config := "template {\n  source = \"in.ctmpl\"\n  destination = \"out.conf\"\n}\n"
	check(t, errors.Join(os.Symlink(examples, filepath.Join(dir, "examples")), os.Mkdir(filepath.Join(dir, "consul-template.d"), 0o755)))
	write(t, filepath.Join(dir, "render.hcl"), config)
	write(t, filepath.Join(dir, "consul-template.d", "web.hcl"), config)
	write(t, filepath.Join(dir, "catalog.yaml"), readAll(t, "../../examples/nginx/catalog.yaml"))
	for _, name := range []string{"in", "web", "maps"} {
		write(t, filepath.Join(dir, name+".ctmpl"), "text")
	}
	templates, err := filepath.Glob("../../examples/*/*.ctmpl")
	check(t, err)
	for _, path := range templates {
		write(t, filepath.Join(dir, filepath.Base(path)), readAll(t, path))
	}
	write(t, filepath.Join(dir, "upstreams.ctmpl"), readAll(t, "../../examples/nginx/upstreams.ctmpl"))
	return dir
}

// The first steps in README.md lead to the output that it shows, with a Consul agent that has just been started.
func TestReadmeFirstSteps(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl, which the first steps use")
	}
	agent, err := consultest.Start(t.Context(), "")
	check(t, err)
	t.Cleanup(agent.Stop)

	_, steps, _ := strings.Cut(readAll(t, "../../README.md"), "\n## nginx follows Consul\n")
	steps, _, _ = strings.Cut(steps, "\n## ")
	blocks := indentedBlocks(steps)
	dir := t.TempDir()
	registered, rendered := 0, false
	for i, block := range blocks {
		switch {
		case strings.HasPrefix(block, "curl "):
			registered++
			shell := exec.Command("sh", "-ec", strings.ReplaceAll(block, "http://127.0.0.1:8500", agent.Addr))
			if out, err := shell.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s\n%s", err, out, block)
			}
		case strings.HasPrefix(block, "{{range"):
			write(t, filepath.Join(dir, "upstreams.ctmpl"), block+"\n")
		case strings.HasPrefix(block, "render --once --dry"):
			rendered = true
			cmd := exec.Command("sh", "-c", block)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "CONSUL_HTTP_ADDR="+agent.Addr)
			out, err := cmd.Output()
			got := portOfConsul.ReplaceAllString(withoutBlankLines(string(out)), "${1}8300")
			if want := withoutBlankLines(blocks[i+1]); err != nil || got != want {
				t.Errorf("%v: the output is\n%s\nREADME.md shows\n%s", err, got, want)
			}
		}
	}
	if registered == 0 || !rendered {
		t.Errorf("README.md has %d registrations and a preview: %v", registered, rendered)
	}
}

// portOfConsul is the port of a server of Consul in the output: an agent of tests has another one than in README.md.
var portOfConsul = regexp.MustCompile(`(upstream consul \{\n    server 127\.0\.0\.1:)\d+`)

// indentedBlocks returns the blocks of code of a text, without their indent. A line that is not code ends a block, and so does an empty
// line after a command.
func indentedBlocks(text string) (all []string) {
	var block []string
	end := func() {
		if code := strings.TrimSpace(strings.Join(block, "\n")); code != "" {
			all = append(all, code)
		}
		block = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		code, indented := strings.CutPrefix(line, "    ")
		isCommand := len(block) > 0 && strings.HasPrefix(block[0], "render ")
		if !indented && line != "" || line == "" && isCommand {
			end()
			continue
		}
		if line != "" || len(block) > 0 {
			block = append(block, code)
		}
	}
	end()
	return all
}

func withoutBlankLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
