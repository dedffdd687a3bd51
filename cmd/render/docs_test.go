package main

import (
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"render/cmd/render/config"
)

func readAll(t *testing.T, paths ...string) string {
	t.Helper()
	var all strings.Builder
	for _, path := range paths {
		text, err := os.ReadFile(path)
		check(t, err)
		all.Write(text)
	}
	return all.String()
}

// sourcesOf returns the text of all files of some folders, without tests.
func sourcesOf(t *testing.T, folders ...string) string {
	t.Helper()
	var sources []string
	for _, folder := range folders {
		found, err := filepath.Glob(filepath.Join(folder, "*.go"))
		check(t, err)
		if len(found) == 0 {
			t.Fatalf("%s has no sources", folder)
		}
		sources = append(sources, found...)
	}
	return readAll(t, slices.DeleteFunc(sources, func(path string) bool { return strings.HasSuffix(path, "_test.go") })...)
}

// LOG.md has each message from level info on, and no other. What a commit, its destinations and the configuration warn of is a
// message, too. A "…" in LOG.md stands for what differs between lines.
func TestLogReference(t *testing.T) {
	commits := sourcesOf(t, "../../render/commit", "../../render/disk", "../../render/disk/folder")
	notices := sourcesOf(t, "config")
	code := commits + notices + sourcesOf(t, ".", "host", "logs", "../../render", "../../render/history", "../../render/report", "../../render/run", "../../render/web", "../../watch", "../../watch/consul", "../../watch/vault", "../../watch/vault/api", "../../watch/nomad")
	for _, server := range []string{"consul", "nomad"} { // what is said of both
		code += regexp.MustCompile(`(?:"([^"]*)" ?\+ ?)?[ac]\.(?:api\.Name|name) ?\+ ?"`).ReplaceAllString(sourcesOf(t, "../../watch/agent"), `"${1}`+server)
	}
	code = verb.ReplaceAllString(code, "…")

	page := readAll(t, "LOG.md")
	var documented []string
	for _, row := range regexp.MustCompile(`(?m)^\| (.*?) \|`).FindAllStringSubmatch(page, -1) {
		for _, span := range codeSpan.FindAllStringSubmatch(row[1], -1) {
			message := messageStart(span[1])
			documented = append(documented, message)
			if !strings.Contains(code, message) {
				t.Errorf("LOG.md has the message %q, which render never logs", span[1])
			}
		}
	}

	// Attributes that a row names exist.
	for _, row := range regexp.MustCompile("(?m)^\\| `.*? \\| (.*?) \\|").FindAllStringSubmatch(page, -1) {
		for _, span := range codeSpan.FindAllStringSubmatch(row[1], -1) {
			if name := span[1]; regexp.MustCompile(`^[a-z ]+$`).MatchString(name) && !strings.Contains(code, `"`+name+`"`) && name != "hostport" {
				t.Errorf("LOG.md has the attribute %q, which no line has", name)
			}
		}
	}

	logged := regexp.MustCompile(`(?:\.(?:Info|Warn|Error)\(|slog\.Level(?:Info|Warn|Error), |\b(?:bad|well): |\.notifier\(|ErrorElsewhere\()"([^"]+)"`).FindAllStringSubmatch(code, -1)
	warned := regexp.MustCompile(`(?:append\(warnings, |warnings? = |\[\]string\{)(?:\[\]string\{)?(?:fmt\.Sprintf\()?"([A-Za-z… ][^"]* [^"]*)"`).FindAllStringSubmatch(verb.ReplaceAllString(commits, "…"), -1)
	noticed := regexp.MustCompile(`\.notice\([^"\n]+(?:\{name: "--config"\}, |\("[^"]+"\), )?"([^"]+ [^"]*)"`).FindAllStringSubmatch(verb.ReplaceAllString(notices, "…"), -1)
	if len(logged) < 30 || len(documented) < 60 || len(warned) < 8 || len(noticed) < 10 {
		t.Fatalf("found %d messages, %d warnings and %d notices in the code, and %d in LOG.md", len(logged), len(warned), len(noticed), len(documented))
	}
	for _, m := range slices.Concat(logged, warned, noticed) {
		checkWords(t, "the log", m[1])
		message := messageStart(m[1])
		if !slices.ContainsFunc(documented, func(part string) bool { return strings.HasPrefix(message, part) }) {
			t.Errorf("LOG.md does not have the message %q", m[1])
		}
	}
}

// verb is a verb of a format, which stands for a value.
var verb = regexp.MustCompile(`%[+#.0-9]*[a-z]`)

// messageStart returns a message without the value at its beginning, and without an end that differs.
func messageStart(message string) string {
	return strings.Trim(strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(message), "…"), "; "), "…:;, ")
}

var (
	documentLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading      = regexp.MustCompile(`(?m)^#+ (.*)$`)
	namedAnchor  = regexp.MustCompile(`<a name="([^"]+)">`)
	notInAnchor  = regexp.MustCompile("[^a-z0-9 _-]")
)

// anchorsOf returns the anchors of a document, its first heading first.
func anchorsOf(t *testing.T, path string) (all []string) {
	t.Helper()
	text := codeBlock.ReplaceAllString(readAll(t, path), "")
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	for _, m := range namedAnchor.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// Links between documents lead to files and anchors that exist.
func TestDocumentLinks(t *testing.T) {
	n := 0
	for _, path := range documents(t) {
		for _, m := range documentLink.FindAllStringSubmatch(readAll(t, path), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			n++
			file, anchor, _ := strings.Cut(m[1], "#")
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			} else if anchor != "" && !slices.Contains(anchorsOf(t, to), anchor) {
				t.Errorf("%s links to %s, which has no such anchor", path, m[1])
			}
		}
	}
	if n < 20 {
		t.Errorf("found %d links", n)
	}
}

// Flags that documents name exist.
func TestDocumentedFlags(t *testing.T) {
	known := map[string]bool{"help": true, "version": true, "port": true} // the last is of another program
	for _, s := range config.WithFlags() {
		known[s.Flag] = true
	}
	for old := range config.OldFlags {
		known[old] = true
	}
	for name := range askingFlags {
		known[name] = true
	}
	ofDocker := regexp.MustCompile(`(?m)^ {4,}docker.*$`)
	for _, path := range documents(t) {
		text := ofDocker.ReplaceAllString(executedBlock.ReplaceAllString(readAll(t, path), ""), "")
		for _, m := range regexp.MustCompile(`(?:^|[\s"(`+"`"+`])--([a-z][a-z-]*)`).FindAllStringSubmatch(text, -1) {
			if !known[m[1]] {
				t.Errorf("%s has --%s, which does not exist", path, m[1])
			}
		}
	}
}

var parsedWell = regexp.MustCompile(`^time=\S+ level=INFO msg="configuration and templates are valid" templates=\d+\n$`)

// Configuration files that documents show are good, and render has nothing to say about them.
func TestDocumentedConfiguration(t *testing.T) {
	blocks := regexp.MustCompile("(?m)(?:^    .*\n|^    .*\n\n(?:    ))+|(?s:```hcl\n.*?```)|`\\{\"template\".*`")
	source := regexp.MustCompile(`("?\bsource"?\s*[=:]\s*)"[^"]+"`)
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	n := 0
	for _, path := range documents(t) {
		for _, text := range blocks.FindAllString(readAll(t, path), -1) {
			text = strings.Trim(strings.TrimPrefix(text, "```hcl"), "`")
			if before, _, ok := strings.Cut(text, "\n    render "); ok { // a command follows
				text = before
			}
			if regexp.MustCompile(`(?m)^ *consul \{`).MatchString(text) && !strings.Contains(text, "template {") { // a part
				text += "\ntemplate {\n source = \"x\"\n destination = \"y\"\n}\n"
			}
			if !regexp.MustCompile(`(?m)^\s*(template \{|\{"template")`).MatchString(text) {
				continue
			}
			text = strings.NewReplacer("/etc/render/consul.token", "in.ctmpl", "/etc/render/consul-ca.pem", "ca.pem").Replace(text)
			n++
			t.Run(fmt.Sprint(path, "#", n), func(t *testing.T) {
				dir := t.TempDir()
				write(t, filepath.Join(dir, "in.ctmpl"), "text")
				write(t, filepath.Join(dir, "ca.pem"), string(authority))
				write(t, filepath.Join(dir, "render.hcl"), source.ReplaceAllString(text, `${1}"in.ctmpl"`))
				cmd := exec.Command("render", "--config", "render.hcl", "--parse-only")
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil || !parsedWell.Match(out) {
					t.Errorf("%v: %s\n%s", err, out, text)
				}
			})
		}
	}
	if n < 4 {
		t.Errorf("found %d configurations", n)
	}
}
