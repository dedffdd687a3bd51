package watch_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"go.yaml.in/yaml/v3"

	"render/watch"
	"render/watch/sourcetest"

	"render/watch/hint"
)

// Each field of the file, and what there is where it is left out.
func TestFixtureFields(t *testing.T) {
	const text = `
datacenter: eu
nodes:
  n1:
    id: 5c7ba1b4-0000-0000-0000-000000000001
    address: 10.0.0.1
    tagged_addresses: {wan: 198.51.100.1}
    meta: {rack: r1}
  n2:
services:
  web:
    - id: first
      node: n2
      address: 10.1.0.1
      tagged_addresses: {wan: {address: 198.51.100.2, port: 80}}
      port: 8080
      tags: [b, a]
      meta: {env: prod}
      status: warning
      weights: {passing: 10, warning: 5}
    - {}
    - status: critical
    - status: maintenance
  none: []
keys:
  app/port: 8080
datacenters:
  us:
    nodes: {u1: {address: 10.9.0.1}}
    services: {web: [{port: 1}]}
    keys: {app/port: 9090}
  empty: {}
`
	check := func(node, id, name, status string, tags ...string) *watch.HealthCheck {
		tags = append([]string{}, tags...)
		return &watch.HealthCheck{
			Node: node, CheckID: "service:" + id, Name: "Service '" + name + "' check", Status: status,
			ServiceID: id, ServiceName: name, ServiceTags: tags,
		}
	}
	first := &watch.HealthService{
		Node: "n2", NodeAddress: "127.0.0.1",
		ServiceMeta: map[string]string{"env": "prod"}, Address: "10.1.0.1",
		ServiceTaggedAddresses: map[string]watch.ServiceAddress{"wan": {Address: "198.51.100.2", Port: 80}},
		ID:                     "first", Name: "web", Tags: watch.ServiceTags{"a", "b"},
		Checks: watch.HealthChecks{check("n2", "first", "web", "warning", "b", "a")}, Status: "warning", Port: 8080,
		Weights: watch.ServiceWeights{Passing: 10, Warning: 5},
	}
	second := &watch.HealthService{
		Node: "n1", NodeID: "5c7ba1b4-0000-0000-0000-000000000001", NodeAddress: "10.0.0.1",
		NodeTaggedAddresses: map[string]string{"wan": "198.51.100.1"}, NodeMeta: map[string]string{"rack": "r1"},
		Address: "10.0.0.1", ID: "web-2", Name: "web", Tags: watch.ServiceTags{},
		Checks: watch.HealthChecks{check("n1", "web-2", "web", "passing")}, Status: "passing",
		Weights: watch.ServiceWeights{Passing: 1, Warning: 1},
	}
	n1 := &watch.Node{
		ID: "5c7ba1b4-0000-0000-0000-000000000001", Node: "n1", Address: "10.0.0.1", Datacenter: "eu",
		TaggedAddresses: map[string]string{"wan": "198.51.100.1"}, Meta: map[string]string{"rack": "r1"},
	}
	n2 := &watch.Node{Node: "n2", Address: "127.0.0.1", Datacenter: "eu"}
	onNode := func(id string) *watch.CatalogNodeService {
		return &watch.CatalogNodeService{ID: id, Service: "web", Tags: watch.ServiceTags{}}
	}
	src, fault := sourcetest.Fixture(t, text)
	if fault != "" {
		t.Fatal(fault)
	}
	for q, want := range map[string]any{
		"service web":                  []*watch.HealthService{second},
		"service web (status=warning)": []*watch.HealthService{first},
		"service none (status=any)":    []*watch.HealthService{},
		"services":                     []*watch.CatalogSnippet{{Name: "web", Tags: watch.ServiceTags{"a", "b"}}},
		"nodes":                        []*watch.Node{n1, n2},
		"node":                         &watch.CatalogNode{Node: n1, Services: []*watch.CatalogNodeService{onNode("web-2"), onNode("web-3"), onNode("web-4")}},
		"node n2": &watch.CatalogNode{Node: n2, Services: []*watch.CatalogNodeService{{
			ID: "first", Service: "web", Tags: watch.ServiceTags{"a", "b"}, Meta: map[string]string{"env": "prod"}, Port: 8080, Address: "10.1.0.1",
		}}},
		"node n3":                      nil,
		"kv app/port":                  "8080",
		"kv app":                       nil,
		"kv app/port (dc=eu)":          "8080",
		"kv app/port (dc=us)":          "9090",
		"kv app/port (dc=empty)":       nil,
		"prefix app/":                  []*watch.KeyPair{{Path: "app/port", Key: "port", Value: "8080"}},
		"prefix nope":                  []*watch.KeyPair{},
		"datacenters":                  []string{"empty", "eu", "us"},
		"datacenters (reachable=true)": []string{"empty", "eu", "us"},
		"services (dc=us)":             []*watch.CatalogSnippet{{Name: "web", Tags: watch.ServiceTags{}}},
		"services (dc=empty)":          []*watch.CatalogSnippet{},
		"nodes (dc=empty)":             []*watch.Node{{Node: "localhost", Address: "127.0.0.1", Datacenter: "empty"}},
	} {
		if got := sourcetest.Fetch(t, src, sourcetest.Query(q)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %s\nwant %s", q, sourcetest.Show(got), sourcetest.Show(want))
		}
	}

	var ids []string
	for _, s := range sourcetest.Fetch(t, src, sourcetest.Query("service web (status=any)")).([]*watch.HealthService) {
		ids = append(ids, s.Node+" "+s.ID+" "+s.Status)
	}
	if want := []string{"n1 web-2 passing", "n1 web-3 critical", "n1 web-4 maintenance", "n2 first warning"}; !slices.Equal(ids, want) {
		t.Errorf("got %q, want %q", ids, want)
	}
	maintenance := sourcetest.Fetch(t, src, sourcetest.Query("service web (status=maintenance)")).([]*watch.HealthService)
	if c := maintenance[0].Checks[0]; c.CheckID != api.ServiceMaintPrefix+"web-4" || c.Status != watch.StatusCritical {
		t.Errorf("the check of maintenance is %s, %s", c.CheckID, c.Status)
	}

	for q, want := range map[string]string{
		"kv app/port (dc=asia)": `no path to datacenter "asia"; hint: the datacenters of the fixture are empty, eu, us`,
		"file /etc/x":           `there is no source for queries of the kind "file"`,
	} {
		if _, _, err := src.Fetch(t.Context(), sourcetest.Query(q), 0); err == nil || shown(err) != want {
			t.Errorf("%s\n got %v\nwant %s", q, err, want)
		}
	}
}

// A key's value is the text that stands in the file.
func TestFixtureKeyValues(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{`16`, "16"},
		{`0x10`, "0x10"},
		{`1_000`, "1_000"},
		{`1.50`, "1.50"},
		{`1e3`, "1e3"},
		{`true`, "true"},
		{`yes`, "yes"},
		{`2024-01-02`, "2024-01-02"},
		{`""`, ""},
		{``, ""},
		{`~`, ""},
		{`plain text`, "plain text"},
		{`"a\tb\n"`, "a\tb\n"},
		{`'it''s'`, "it's"},
		{`"16"`, "16"},
		{"|\n    two\n    lines\n", "two\nlines\n"},
		{"|-\n    two\n    lines\n", "two\nlines"},
		{">-\n    one\n    line\n", "one line"},
		{`'{"json": [1, 2]}'`, `{"json": [1, 2]}`},
		{`!!binary AAH/`, "\x00\x01\xff"},
		{`größer`, "größer"},
	} {
		src, fault := sourcetest.Fixture(t, "keys:\n  k: "+c.yaml+"\n")
		if fault != "" {
			t.Errorf("%s: %s", c.yaml, fault)
			continue
		}
		if got := sourcetest.Fetch(t, src, sourcetest.Query("kv k")); got != c.want {
			t.Errorf("%s: got %q, want %q", c.yaml, got, c.want)
		}
	}
}

// A file that says nothing describes an empty datacenter with one node.
// Of the mesh a fixture knows who takes the traffic of a service, and nothing else.
func TestFixtureMesh(t *testing.T) {
	src, fault := sourcetest.Fixture(t, `services: {web: [{connect: web}, {}], proxy: [{id: a, connect: web}, {status: critical, connect: web}]}`)
	if fault != "" {
		t.Fatal(fault)
	}
	var ids []string
	for _, s := range sourcetest.Fetch(t, src, sourcetest.Query("connect web")).([]*watch.HealthService) {
		ids = append(ids, s.ID+" of "+s.Name)
	}
	if !slices.Equal(ids, []string{"a of proxy", "web-1 of web"}) {
		t.Errorf("got %v", ids)
	}
	for q, want := range map[string]any{
		"connect proxy": []*watch.HealthService{}, "partitions": []*watch.Partition{}, "peerings": []*watch.Peering{},
		"exported-services": []watch.ExportedService{}, "imported-services (partition=p)": []watch.ImportedService{},
		"ca-roots": []*watch.CARoot{}, "ca-leaf web": nil,
	} {
		if got := sourcetest.Fetch(t, src, sourcetest.Query(q)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", q, got, want)
		}
	}
	_, _, err := src.Fetch(t.Context(), sourcetest.Query("service web (filter=a)"), 0)
	if err == nil || shown(err) != "a fixture cannot evaluate a filter; hint: select by tag, status or meta" {
		t.Errorf("got %v", err)
	}
}

func TestFixtureEmpty(t *testing.T) {
	for name, text := range map[string]string{
		"no bytes": "", "comment": "# nothing\n", "document": "---\n", "empty map": "{}", "null": "null", "empty parts": "keys:\nservices:\nnodes:\n",
	} {
		src, fault := sourcetest.Fixture(t, text)
		if fault != "" {
			t.Errorf("%s: %s", name, fault)
			continue
		}
		node := sourcetest.Fetch(t, src, sourcetest.Query("node")).(*watch.CatalogNode)
		if node.Node.Node != "localhost" || node.Node.Address != "127.0.0.1" || node.Node.Datacenter != "dc1" || node.Services == nil {
			t.Errorf("%s: got %s", name, sourcetest.Show(node))
		}
		if got := sourcetest.Fetch(t, src, sourcetest.Query("prefix")); !reflect.DeepEqual(got, []*watch.KeyPair{}) {
			t.Errorf("%s: got %s", name, sourcetest.Show(got))
		}
	}
}

// The example of the README can be read, and has every field that the README describes.
func TestFixtureReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	check(t, err)
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, tables, found := strings.Cut(rest, "```\n")
	if !found {
		t.Fatal("README.md has no example")
	}
	src, fault := sourcetest.Fixture(t, example)
	if fault != "" {
		t.Fatal(fault)
	}
	if got := sourcetest.Fetch(t, src, sourcetest.Query("datacenters")); !reflect.DeepEqual(got, []string{"eu", "us"}) {
		t.Errorf("the datacenters are %v", got)
	}
	var described, used []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").FindAllStringSubmatch(tables, -1) {
		described = append(described, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)\b([a-z_]+):`).FindAllStringSubmatch(example, -1) {
		used = append(used, m[1])
	}
	for _, field := range described {
		if !slices.Contains(used, field) {
			t.Errorf("the example has no %s", field)
		}
	}
	if len(described) != 19 {
		t.Errorf("%d fields are described: %v", len(described), described)
	}
}

// shown returns an error with its hints on one line.
func shown(err error) string { return strings.ReplaceAll(hint.Text(err), "\nhint: ", "; hint: ") }

// What an operator reads when the file has a fault.
func TestFixtureErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown field", "keys: {}\nservice: {}\n", `line 2: field service does not exist`},
		{"unknown field of an instance", "services:\n  web:\n    - prot: 80\n", `line 3: field prot does not exist`},
		{"unknown field of a node", "nodes:\n  n1: {adress: 10.0.0.1}\n", `line 2: field adress does not exist`},
		{"unknown field of weights", "services:\n  web:\n    - weights: {pass: 1}\n", `line 3: field pass does not exist`},
		{"unknown field of a datacenter", "datacenters:\n  dc2:\n    datacenter: x\n", `line 3: field datacenter does not exist`},
		{"two faults", "a: 1\nb: 2\n", `line 1: field a does not exist; line 2: field b does not exist`},
		{"bad status", "services: {web: [{}, {status: up}]}\n", `services.web, instance 2: status "up" is not one of passing, warning, critical, maintenance`},
		{"negative port", "services: {web: [{port: -1}]}\n", `services.web, instance 1: port -1 is not between 0 and 65535`},
		{"port too high", "services: {web: [{port: 65536}]}\n", `services.web, instance 1: port 65536 is not between 0 and 65535`},
		{"port that is no number", "services:\n  web:\n    - port: http\n", "line 3: `http` is not a number"},
		{"unknown node", "nodes: {n1: {}}\nservices: {web: [{node: n2}]}\n", `services.web, instance 1: node "n2" is not among the nodes`},
		{"unknown node without nodes", "services: {web: [{node: n2}]}\n", `services.web, instance 1: node "n2" is not among the nodes`},
		{"id twice", "services: {web: [{id: x}, {id: x}]}\n", `services.web: the id "x" belongs to an instance of web on node "localhost"`},
		{"id twice in two services", "services: {a: [{id: x}], b: [{id: x}]}\n", `services.b: the id "x" belongs to an instance of a on node "localhost"`},
		{"id twice but for case", "services: {web: [{id: x}, {id: X}]}\n", `services.web: the id "x" belongs to an instance of web on node "localhost"`},
		{"default id twice", "services: {web: [{id: web-2}, {}]}\n", `services.web: the id "web-2" belongs to an instance of web on node "localhost"`},
		{"key with a slash first", "keys: {/app: 1}\n", `keys: "/app": a key cannot be empty or begin with a slash`},
		{"key without a name", "keys: {\"\": 1}\n", `keys: "": a key cannot be empty or begin with a slash`},
		{"key twice", "keys:\n  a: 1\n  a: 2\n", `line 3: mapping key "a" already defined at line 2`},
		{"value that is a list", "keys:\n  a: [1, 2]\n", `line 2: a list is not a text`},
		{"value that is a map", "keys:\n  a: {b: 1}\n", `line 2: a map is not a text`},
		{"services as a list", "services:\n  - web\n", `line 2: a list is not a map`},
		{"instances as a map", "services:\n  web: {port: 80}\n", `line 2: a map is not a list`},
		{"instance that is a text", "services:\n  web: [web-1]\n", "line 2: `web-1` is not a map"},
		{"tags that are a text", "services:\n  web:\n    - tags: a,b\n", "line 3: `a,b` is not a list"},
		{"node that is a text", "nodes:\n  n1: 10.0.0.1\n", "line 2: `10.0.0.1` is not a map"},
		{"file that is a list", "- a\n", `line 1: a list is not a map`},
		{"file that is a text", "hello\n", "line 1: `hello` is not a map"},
		{"odd tag", "keys:\n  a: !text [1]\n", `line 2: !text is not a text`},
		{"not YAML", "keys:\n  a: [1,\n", `line 2: did not find expected node content`},
		{"tabs", "keys:\n\ta: 1\n", `line 2: found character that cannot start any token`},
		{"two documents", "keys: {a: 1}\n---\nkeys: {a: 2}\n", `the file has more than one YAML document`},
		{"fault after the document", "keys: {a: 1}\n---\n[", `the file has more than one YAML document`},
		{"datacenter twice", "datacenters: {dc1: {}}\n", `datacenters.dc1: the top of the file describes this datacenter`},
		{"named datacenter twice", "datacenter: eu\ndatacenters: {eu: {}}\n", `datacenters.eu: the top of the file describes this datacenter`},
		{"fault in another datacenter", "datacenters: {dc2: {services: {web: [{port: -1}]}}}\n", `datacenters.dc2: services.web, instance 1: port -1 is not between 0 and 65535`},
		{"the first of several faults", "services: {c: [{port: -1}], b: [{port: -1}], a: [{port: -1}], d: [{port: -1}]}\nkeys: {/a: 1}\n",
			`services.a, instance 1: port -1 is not between 0 and 65535`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, got := sourcetest.Fixture(t, c.text); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestFixtureMissing(t *testing.T) {
	_, err := watch.NewFixture(newFiles(t), "testdata/none.yaml")
	if err == nil || err.Error() != "fixture testdata/none.yaml: no such file" {
		t.Errorf("got %v", err)
	}
}

// A fault that comes later is an error of every Fetch, names what is wrong, and is gone once the file is mended.
func TestFixtureBreaks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fixture.yaml")
	write := func(text string) { check(t, os.WriteFile(path, []byte(text), 0o644)) }
	write("keys: {a: 1}")
	src, err := watch.NewFixture(newFiles(t), path)
	check(t, err)
	write("keyz: {a: 1}")
	if _, _, err := src.Fetch(t.Context(), sourcetest.Query("kv a"), 0); err == nil || err.Error() != "fixture "+path+": line 1: field keyz does not exist" {
		t.Errorf("got %v", err)
	}
	write("keys: {a: 2}")
	if got := sourcetest.Fetch(t, src, sourcetest.Query("kv a")); got != "2" {
		t.Errorf("got %v", got)
	}
}

// Whatever the file holds, there is no panic, and what is read can be asked.
// Keys are read like any other map of YAML: with merges, anchors, and values that are no texts.
func TestFixtureKeysAreYAML(t *testing.T) {
	var long strings.Builder
	for i := range 100 {
		fmt.Fprintf(&long, "  k%d: %d\n", i, i)
	}
	src, fault := sourcetest.Fixture(t, "datacenters:\n  other:\n    keys: &base {a: 1, b: 2, k7: x}\nkeys:\n"+long.String()+"  <<: *base\n  b: 3\n  c: &c 4\n  d: *c\n  8080: true\n  1.50: 1.50\n  e: ~\n  f:\n  g: !!binary aGk=\n")
	if fault != "" {
		t.Fatal(fault)
	}
	for key, want := range map[string]string{
		"a": "1", "b": "3", "c": "4", "d": "4", "8080": "true", "1.50": "1.50", "e": "", "f": "", "g": "hi", "k0": "0", "k7": "7", "k99": "99",
	} {
		if got := sourcetest.Fetch(t, src, sourcetest.Query("kv "+key)); got != want {
			t.Errorf("%s is %v, want %q", key, got, want)
		}
	}
	for text, want := range map[string]string{
		"keys:\n" + long.String() + "  k3: x\n  k4: x\n":      `line 102: mapping key "k3" already defined at line 5; line 103: mapping key "k4" already defined at line 6`,
		"keys:\n" + long.String() + "  x: [a]\n  y: {a: b}\n": "line 102: a list is not a text; line 103: a map is not a text",
		"keys:\n  x: [a]\n" + long.String() + "  y: [b]\n":    "line 2: a list is not a text; line 103: a list is not a text",
		"keys: [a]\n":                      "line 1: a list is not a map",
		"keys: a\n":                        "line 1: `a` is not a map",
		"keys: {<<: {a: 1}, <<: {b: 1}}\n": `line 1: mapping key "<<" already defined at line 1`,
	} {
		if _, fault := sourcetest.Fixture(t, text); fault != want {
			t.Errorf("%.30q:\ngot  %s\nwant %s", text, fault, want)
		}
	}
}

// Names with odd characters are found by exactly these names, as in Consul.
func TestFixtureOddNames(t *testing.T) {
	names := []string{
		"odd.name", "odd name", "odd/name", "odd:näme", "odd%name", "odd?name", "..", ".", "...", "odd/../name", "odd//name",
		"odd@dc1|any~x", `odd"name\\`, "odd\nname", "odd\u0085name", "odd#name", "odd: name", "- odd", "~", "null", "<<", "8080", "*odd", "&odd", " odd ",
	}
	services, keys := make(map[string]any), make(map[string]string)
	for i, name := range names {
		services[name] = []map[string]int{{"port": i + 1}}
		keys[name] = fmt.Sprint(i + 1)
	}
	text, err := yaml.Marshal(map[string]any{"services": services, "keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	src, fault := sourcetest.Fixture(t, string(text))
	if fault != "" {
		t.Fatal(fault)
	}
	for i, name := range names {
		if list := sourcetest.Fetch(t, src, watch.NewQuery(watch.KindService, name, nil)).([]*watch.HealthService); len(list) != 1 || list[0].Port != i+1 {
			t.Errorf("service %q: got %s", name, sourcetest.Show(list))
		}
		if value := sourcetest.Fetch(t, src, watch.NewQuery(watch.KindKV, name, nil)); value != fmt.Sprint(i+1) {
			t.Errorf("key %q: got %v", name, value)
		}
	}
	for _, name := range []string{"odd/x/../name", "odd/name/", "name", "odd%20name", ""} {
		if value := sourcetest.Fetch(t, src, watch.NewQuery(watch.KindKV, name, nil)); value != nil {
			t.Errorf("key %q: got %v", name, value)
		}
	}
}

func largeFixture(keys int) string {
	var text strings.Builder
	text.WriteString("keys:\n")
	for i := range keys {
		fmt.Fprintf(&text, "  app/k%d: value\n", i)
	}
	return text.String()
}

// What a fixture of many keys takes grows with their number, not with its square, and so does what it takes to find a fault.
func TestLargeFixture(t *testing.T) {
	const limit = 15 * time.Second // comparing each key with all others takes 28 s
	text, began := largeFixture(80_000), time.Now()
	src, fault := sourcetest.Fixture(t, text)
	if took := time.Since(began); fault != "" || sourcetest.Fetch(t, src, sourcetest.Query("kv app/k79999")) != "value" || took > limit {
		t.Errorf("%s, %s", took, fault)
	}
	began = time.Now()
	_, fault = sourcetest.Fixture(t, text+"  app/k7: value\n")
	if took := time.Since(began); fault != `line 80002: mapping key "app/k7" already defined at line 9` || took > limit {
		t.Errorf("got %q after %s", fault, took)
	}
}

func BenchmarkLargeFixture(b *testing.B) {
	text := largeFixture(200_000)
	for b.Loop() {
		if _, fault := sourcetest.Fixture(b, text); fault != "" {
			b.Fatal(fault)
		}
	}
}

func FuzzFixture(f *testing.F) {
	for _, text := range []string{
		"", "keys: {a: 1, a/b/: }", "nodes: {n: {address: 10.0.0.1, meta: {a: b}}}\nservices: {web: [{node: n, tags: [b, a], port: 80, status: maintenance}]}",
		"datacenter: eu\ndatacenters: {us: {keys: {a: |\n x\n}}}", "services: {a: [{id: x}], b: [{id: x}]}", "a: &x [*x]", "keys: {<<: &a {b: c}}\n---\n", "services: {web: [{weights: {passing: 3}}, ~]}",
		"!x hello", "keys: !x [1]", "nodes: {n: ~}\nservices: {web: [null]}", "keys: {? [a] : b}", "\t", "services:\n  web:\n  - tagged_addresses: {wan: {address: x, port: 1}}\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		src, fault := sourcetest.Fixture(t, string(text))
		if fault != "" {
			if strings.Contains(fault, "watch.fixture") || strings.Contains(fault, "into map[") {
				t.Errorf("a fault with the name of a Go type: %s", fault)
			}
			return
		}
		ask := func(q watch.Query) any {
			value, _, err := src.Fetch(context.Background(), q, 0)
			if err != nil {
				t.Fatalf("%s: %v", q, err)
			}
			return value
		}
		for _, dc := range ask(sourcetest.Query("datacenters")).([]string) {
			in := map[string][]string{watch.OptDatacenter: {dc}}
			instances := 0
			for _, s := range ask(watch.NewQuery(watch.KindServices, "", in)).([]*watch.CatalogSnippet) {
				q := watch.NewQuery(watch.KindService, s.Name, map[string][]string{watch.OptDatacenter: {dc}, watch.OptStatus: {watch.StatusAny}})
				instances += len(ask(q).([]*watch.HealthService))
			}
			for _, n := range ask(watch.NewQuery(watch.KindNodes, "", in)).([]*watch.Node) {
				if n.Node == "" { // a query with this name asks for the agent's own node
					continue
				}
				instances -= len(ask(watch.NewQuery(watch.KindNode, n.Node, in)).(*watch.CatalogNode).Services)
			}
			if instances != 0 {
				t.Errorf("datacenter %q: the services have %d instances more than the nodes", dc, instances)
			}
			for _, k := range ask(watch.NewQuery(watch.KindPrefix, "", in)).([]*watch.KeyPair) {
				if got := ask(watch.NewQuery(watch.KindKV, k.Path, in)); got != k.Value {
					t.Errorf("key %q: %q and %q", k.Path, k.Value, got)
				}
			}
		}
	})
}
