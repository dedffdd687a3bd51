package examples

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"render/template"
	"render/watch"
)

// The lines that the recipes can give. Of what others have registered, only these forms get in.
var (
	nginxLine = regexp.MustCompile(`^(?:| *#.*|upstream "[a-z0-9_-]+" \{|\}|` +
		`    server ` + place + ` weight=[1-9][0-9]*;|    server 127\.0\.0\.1:9 down; # no instance of [a-z0-9_-]+ is passing; .*|    keepalive [0-9]+;)$`)
	haproxyLine = regexp.MustCompile(`^(?:|#.*|global|defaults|frontend http|` +
		`    (?:mode|timeout|retries|retry-on|option redispatch|option idle-close-on-response|default-server|bind|http-request disable-l7-retry|use_backend|hard-stop-after) .*|` +
		`backend [a-z0-9_-]+(?:\.canary)?|    cookie SERVER insert indirect nocache|    option httpchk GET /[A-Za-z0-9/_.-]*|` +
		`    server [0-9]+:[\w.-]{0,60} ` + place + ` weight [0-9]+(?: maxconn [0-9]+)?(?: backup)?(?: cookie [0-9a-f]{16})?|` +
		`    http-request return status 503 content-type text/html string '.*' # no instance of [a-z0-9_.-]+ is passing)$`)
)

const place = `(?:[\w.-]+|\[[0-9a-f:.]+\]):[1-9][0-9]*`

func checkLines(t *testing.T, output []byte, line *regexp.Regexp) {
	t.Helper()
	for l := range strings.SplitSeq(string(output), "\n") {
		if !line.MatchString(l) {
			t.Errorf("the line %q is not the recipe's", l)
		}
	}
}

// catalogs returns the fixture of an example and one that an attacker has written to.
func catalogs(t *testing.T, example string) map[string]string {
	t.Helper()
	type instance struct {
		ID      string            `json:"id,omitempty"`
		Address string            `json:"address,omitempty"`
		Port    int               `json:"port"`
		Tags    []string          `json:"tags,omitempty"`
		Meta    map[string]string `json:"meta,omitempty"`
		Weights map[string]int    `json:"weights,omitempty"`
	}
	services := make(map[string][]instance)
	ids := 0
	add := func(service string, instances ...instance) {
		for _, i := range instances {
			ids++
			i.ID += fmt.Sprint(" ", ids) // IDs of a node differ
			services[service] = append(services[service], i)
		}
	}
	good := instance{Address: "10.0.0.1", Port: 80}
	add("web", good)
	add("Web", good)
	add(strings.Repeat("x", 1000), good)
	add("gone", instance{Address: "gone.invalid", Port: 80})
	for i, text := range []string{
		"a b", "a;b", "a{", "a}", `a"`, `a'`, `a\`, "a#b", "a\nb", "a\r\nb", "a$b", "${HOME}", "a%b", "%[env(HOME)]", "a|any", "a@b", "a?ns=b", "a~b", "v1.web",
		"\nattacker on;\n", "; } attacker on; {", "\" { attacker on; } #", "' attacker", "10.0.0.1:80; attacker on", "unix:/run/attacker", "127.1", "é", "\u2028", "-",
	} {
		hostile := instance{ID: text, Address: text, Port: 80, Tags: []string{text}, Meta: map[string]string{"k": text}, Weights: map[string]int{"passing": i - 1}}
		odd := instance{ID: text, Address: "::1", Port: 1 + i, Weights: map[string]int{"passing": 1 << (2 * i)}}
		add("web", hostile, odd)
		add(text, hostile, odd)
		add(fmt.Sprintf("only-%d", i), hostile)
	}
	text, err := json.Marshal(map[string]any{"services": services}) // which is YAML, too
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hostile.yaml")
	write(t, path, text)
	return map[string]string{"own": filepath.Join(example, "catalog.yaml"), "hostile": path}
}

// An attacker who can write to a key gets no line into the file either: the value is quoted, or there is no new file.
func TestHostileKeys(t *testing.T) {
	for source, line := range map[string]*regexp.Regexp{"nginx/upstreams.ctmpl": nginxLine, "haproxy/haproxy.ctmpl": haproxyLine} {
		for _, value := range []string{"8; }\nattacker on;\n", "'\nattacker on\n'", `\' if { attacker }`, "$attacker", "%[env(attacker)]"} {
			catalog := filepath.Join(t.TempDir(), "catalog.yaml")
			text, err := json.Marshal(map[string]any{
				"services": map[string]any{"web": []any{}},
				"keys":     map[string]string{"nginx/keepalive": value, "haproxy/sorry": value},
			})
			if err != nil {
				t.Fatal(err)
			}
			write(t, catalog, text)
			out, err := renderExample(t, source, catalog)
			if err == nil {
				checkLines(t, out, line)
			} else if strings.Contains(err.Error(), "attacker") {
				t.Errorf("an error repeats the value: %v", err)
			}
		}
	}
}

// Whatever is registered, the recipes give only lines of theirs.
func FuzzRecipes(f *testing.F) {
	recipes := make(map[*template.Template]*regexp.Regexp)
	for source, line := range map[string]*regexp.Regexp{"nginx/upstreams.ctmpl": nginxLine, "haproxy/haproxy.ctmpl": haproxyLine} {
		text, err := os.ReadFile(source)
		if err != nil {
			f.Fatal(err)
		}
		tmpl, err := template.Parse(source, string(text), template.Options{})
		if err != nil {
			f.Fatal(err)
		}
		recipes[tmpl] = line
	}
	f.Add("web", "web-1", "10.0.0.1", 80, 1, "8")
	f.Add("a\nb", "a b", "a;\n}", 0, -1, "'\n'")
	f.Add("a", "é'", "unix", 1<<20, 1<<20, "8;")
	f.Fuzz(func(t *testing.T, name, id, address string, port, weight int, value string) {
		lookup := func(q watch.Query) (any, bool) {
			switch q.Kind {
			case watch.KindServices:
				return []*watch.CatalogSnippet{{Name: name}}, true
			case watch.KindService:
				return []*watch.HealthService{{ID: id, Address: address, Port: port, Weights: watch.ServiceWeights{Passing: weight}}}, true
			}
			return value, true
		}
		for recipe, line := range recipes {
			if r := recipe.Execute(t.Context(), lookup); r.Finished() {
				checkLines(t, r.Output, line)
			}
		}
	})
}

func run(t *testing.T, binary string, args ...string) {
	t.Helper()
	if said, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%.4000s", binary, args, err, said)
	}
}

// find returns the path of a program, which a target of the Makefile installs. Debian keeps some out of users' PATH.
func find(t *testing.T, program, target string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("there is no %s: run `make %s`", program, target)
	}
	t.Skipf("there is no %s: run `make %s`", program, target)
	return ""
}
