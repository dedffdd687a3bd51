package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	annotatedKey  = regexp.MustCompile(`(?m)^#([a-z][^\n]*|\})$`)
	tableOfReadme = regexp.MustCompile(`(?s)<!-- table: [^>]* -->\n(.*?)<!-- end -->`)
	codeSpan      = regexp.MustCompile("`([^`]+)`")
)

// render.hcl has every key of the tables in README.md, with its default, and is a good configuration where all of its lines are in use.
func TestAnnotatedConfiguration(t *testing.T) {
	text := readAll(t, "render.hcl")
	inUse := annotatedKey.ReplaceAllString(text, "$1")

	// Files that this machine does not have, a run that is not one with once, and the ways to a token of Vault, of which one is used.
	expected := regexp.MustCompile(`are valid|no such file|has no effect without once|vault\.(token|login\.path|k8s_auth_role_name) has no effect`)

	t.Run("parses", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "in.ctmpl"), "text")
		check(t, os.Mkdir(filepath.Join(dir, "partials"), 0o755))
		local := strings.NewReplacer("/etc/render/upstreams.ctmpl", "in.ctmpl", "/etc/render/partials", "partials").Replace(inUse)
		write(t, filepath.Join(dir, "render.hcl"), local)

		cmd := exec.Command("render", "--config", "render.hcl", "--parse-only")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			if !expected.MatchString(line) {
				t.Errorf("render warns: %s", line)
			}
		}
	})

	t.Run("complete", func(t *testing.T) {
		keys := annotatedKeys(inUse)
		n := 0
		for _, table := range tableOfReadme.FindAllStringSubmatch(readAll(t, "README.md"), -1) {
			rows := strings.Split(strings.TrimSpace(table[1]), "\n")
			heads := cells(rows[0])
			for _, row := range rows[2:] {
				cell := cells(row)
				meaning := cell[len(cell)-1]
				if strings.HasPrefix(meaning, "Without effect") || strings.HasPrefix(meaning, "Old form of") {
					continue
				}
				block, key, value := keyOfRow(heads, cell)
				if key == "" {
					continue
				}
				n++
				got, ok := keys[block+key]
				if _, inAction := keys["action."+key]; !ok && !inAction {
					t.Errorf("render.hcl lacks %s%s", block, key)
				}
				if value != "" && got != "" && strings.Trim(got, `"`) != value {
					t.Errorf("render.hcl has %s%s = %s, and its default is %s", block, key, got, value)
				}
			}
		}
		if n < 80 {
			t.Errorf("found %d keys in README.md", n)
		}
	})
}

// annotatedKeys returns the values of a configuration by their paths, without the labels of blocks. A block's own value is empty.
func annotatedKeys(text string) map[string]string {
	keys := make(map[string]string)
	var path []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, _, _ := strings.Cut(line, " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == "}":
			path = path[:len(path)-1]
		case strings.HasSuffix(line, "{"):
			path = append(path, name)
			keys[strings.Join(path, ".")] = ""
		default:
			_, value, _ := strings.Cut(line, "=")
			keys[strings.Join(append(path[:len(path):len(path)], name), ".")] = strings.TrimSpace(value)
		}
	}
	return keys
}

func cells(row string) (all []string) {
	for cell := range strings.SplitSeq(strings.Trim(strings.ReplaceAll(row, `\|`, "/"), "|"), "|") {
		all = append(all, strings.TrimSpace(cell))
	}
	return all
}

// keyOfRow returns where a setting belongs and its key: at the top of a file if it can, otherwise in a template or an action. The
// default is empty where it is not one value.
func keyOfRow(heads, cell []string) (block, key, value string) {
	blocks := map[string]string{"in a file": "", "in `template`": "template.", "in `action`": "action."}
	for i, head := range heads {
		if span := codeSpan.FindStringSubmatch(cell[i]); span == nil {
			continue
		} else if prefix, ok := blocks[head]; ok && key == "" {
			block, key = prefix, span[1]
		} else if head == "default" && span[0] == cell[i] {
			value = span[1]
		}
	}
	return block, key, value
}
