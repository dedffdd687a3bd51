package template_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"render/template"
	"render/watch"
	"render/watch/consul"
	"render/watch/consultest"
)

// A conformance case is a text and what COMPATIBILITY says that becomes of it, with the data of seedConformance. There
// is one table for each of its sections.
type conformance struct {
	text    string
	want    string
	outcome outcome
}

type outcome int

const (
	outputIs      outcome = iota // the output is want, to the byte
	errorContains                // parsing or executing fails, and the error's text contains want
	waitsFor                     // it does not finish, because of the queries in want
)

func gives(text, want string) conformance    { return conformance{text, want, outputIs} }
func fails(text, part string) conformance    { return conformance{text, part, errorContains} }
func waits(text, queries string) conformance { return conformance{text, queries, waitsFor} }

// conformanceTables has the cases by their section of COMPATIBILITY.
var conformanceTables = map[string][]conformance{
	"1.0 engine":           conformanceEngine,
	"1.1 service":          conformanceServiceGrammar,
	"1.1 others":           conformanceGrammar,
	"1.2 keys":             conformanceKeys,
	"1.2 service":          conformanceService,
	"1.2 catalog":          conformanceCatalog,
	"1.2 mesh":             conformanceMesh,
	"1.5 file":             conformanceFile,
	"1.6 scratch":          conformanceScratch,
	"1.7 lists":            conformanceLists,
	"1.7 maps":             conformanceMaps,
	"1.7 strings":          conformanceStrings,
	"1.7 parse and encode": conformanceParse,
	"1.7 environment":      conformanceOutside,
	"1.8 math":             conformanceMath,
	"1.9 sprig":            conformanceSprig,
	"1.10 debug":           conformanceDebug,
	"1.11 renamed":         conformanceRenamed,
}

const conformanceLeast = 300 // cases

func TestConformance(t *testing.T) {
	known := startConformance(t)
	env := map[string]string{"HOME": "/root", "EMPTY": "", "DIR": t.TempDir()}
	cases := 0
	for _, section := range slices.Sorted(maps.Keys(conformanceTables)) {
		cases += len(conformanceTables[section])
		t.Run(section, func(t *testing.T) {
			for _, c := range conformanceTables[section] {
				r := known.finish(t.Context(), c.text, template.Options{Env: func(name string) (string, bool) {
					value, ok := env[name]
					return value, ok
				}})
				if fault := c.fault(r); fault != "" {
					t.Errorf("%s\n%s", c.text, fault)
				}
			}
		})
	}
	if cases < conformanceLeast {
		t.Errorf("there are %d cases, which is less than %d", cases, conformanceLeast)
	}
}

// fault says how a result differs from what the case wants; it is empty where it does not.
func (c conformance) fault(r template.Result) string {
	var waiting []string
	for _, q := range slices.Concat(r.Pending, r.Absent) {
		waiting = append(waiting, q.String())
	}
	switch queries := strings.Join(waiting, ", "); {
	case c.outcome == waitsFor:
		if queries != c.want || r.Finished() {
			return "waits for " + queries + "\n    not for " + c.want
		}
	case c.outcome == errorContains:
		if r.Err == nil || !strings.Contains(r.Err.Error(), c.want) {
			return "error    " + errorText(r.Err) + "\nnot with " + c.want
		}
	case r.Err != nil:
		return "error " + r.Err.Error()
	case !r.Finished():
		return "waits for " + queries
	case string(r.Output) != c.want:
		return " got " + quoted(string(r.Output)) + "\nwant " + quoted(c.want)
	}
	return ""
}

func errorText(err error) string {
	if err == nil {
		return "(none)"
	}
	return err.Error()
}

func quoted(s string) string { return "«" + s + "»" }

// sources answers a query by its source, once: answers are shared by all cases.
type sources struct {
	watch.Source
	answers map[watch.Query]any
}

// finish executes a text as the engine does: again and again, until there is nothing to be asked any more. A query whose
// source fails stays pending. Where nothing else is unanswered, the failure of a program is the error of the result.
func (s sources) finish(ctx context.Context, text string, o template.Options) template.Result {
	tmpl, err := template.Parse("t", text, o)
	if err != nil {
		return template.Result{Err: err}
	}
	failed := make(map[watch.Query]error)
	for {
		r := tmpl.Execute(ctx, func(q watch.Query) (any, bool) {
			value, answered := s.answers[q]
			return value, answered
		})
		progress := false
		for _, q := range r.Pending {
			if failed[q] != nil {
				continue
			}
			value, _, err := s.Fetch(ctx, q, 0)
			if failed[q] = err; err == nil {
				s.answers[q] = value
			}
			progress = true
		}
		if progress {
			continue
		}
		if len(r.Pending) == 1 && r.Pending[0].Kind == watch.KindPlugin && len(r.Absent) == 0 {
			r.Err = failed[r.Pending[0]]
		}
		return r
	}
}

// startConformance starts a Consul, gives it its data and returns it beside the files.
func startConformance(t *testing.T) sources {
	t.Helper()
	agent, err := consultest.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(agent.Stop)
	if err := seedConformance(agent.Client); err != nil {
		t.Fatal(err)
	}
	consul, err := consul.New(consul.Config{Address: agent.Addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(consul.Close)
	files, err := watch.NewFiles()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(files.Close)
	return sources{watch.ByKind{"": consul, watch.KindFile: files, watch.KindPlugin: programs{}}, make(map[watch.Query]any)}
}

// seedConformance puts into a Consul what the cases are about.
func seedConformance(client *api.Client) error {
	var errs []error
	for _, n := range conformanceNodes {
		_, err := client.Catalog().Register(&n, nil)
		errs = append(errs, err)
	}
	for _, s := range conformanceInstances {
		for i := range s.checks {
			c := &s.checks[i]
			c.Node = s.node
			if !strings.HasPrefix(c.CheckID, "_node") {
				c.ServiceID, c.ServiceName = s.ID, s.Service
			}
		}
		_, err := client.Catalog().Register(&api.CatalogRegistration{
			Node: s.node, SkipNodeUpdate: true, Service: &s.AgentService, Checks: s.checks.pointers(),
		}, nil)
		errs = append(errs, err)
	}
	for key, value := range conformanceValues {
		_, err := client.KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, nil)
		errs = append(errs, err)
	}
	_, _, err := client.ConfigEntries().Set(&api.ExportedServicesConfigEntry{Name: "default", Services: []api.ExportedService{
		{Name: "web", Consumers: []api.ServiceConsumer{{Peer: "p2"}, {Peer: "p1"}}},
		{Name: "api", Consumers: []api.ServiceConsumer{{Peer: "p1"}}},
	}}, nil)
	errs = append(errs, err)
	return errors.Join(append(errs, waitForRoots(client))...)
}

// waitForRoots waits until the mesh has its certificate authority, which takes an agent a moment.
func waitForRoots(client *api.Client) error {
	for range 500 {
		if roots, _, err := client.Agent().ConnectCARoots(nil); err == nil && len(roots.Roots) > 0 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("consul has no certificate authority")
}

type checks []api.HealthCheck

func (c checks) pointers() api.HealthChecks {
	var list api.HealthChecks
	for i := range c {
		list = append(list, &c[i])
	}
	return list
}

// withStatus returns a check of a status, whose ID is its status, too.
func withStatus(status string) api.HealthCheck {
	return api.HealthCheck{CheckID: status, Name: "is " + status, Status: status}
}

// The nodes beside the agent's own, which is "test" on 127.0.0.1.
var conformanceNodes = []api.CatalogRegistration{
	{
		Node: "n1", ID: "5c7ba1b4-9a5b-4c7e-8f0e-000000000001", Address: "10.0.0.1",
		TaggedAddresses: map[string]string{"lan": "10.0.0.1", "wan": "198.51.100.1"},
		NodeMeta:        map[string]string{"rack": "r1", "zone": "eu"},
	},
	{Node: "n2", ID: "5c7ba1b4-9a5b-4c7e-8f0e-000000000002", Address: "10.0.0.2", NodeMeta: map[string]string{"rack": "r2"}},
	{Node: "n10", ID: "5c7ba1b4-9a5b-4c7e-8f0e-000000000010", Address: "10.0.0.10"},
	{Node: "nm", Address: "10.0.0.5"}, // in maintenance
	{Node: "idle.example", Address: "10.0.0.99"},
}

type instance struct {
	node string
	api.AgentService
	checks checks
}

var conformanceInstances = []instance{
	// web: three passing; one warning, one critical; one in maintenance, one on a node in maintenance.
	{"n1", api.AgentService{
		ID: "web-1", Service: "web", Address: "10.1.0.1", Port: 8080, Tags: []string{"v2", "v1", "a.b"},
		Meta: map[string]string{"env": "prod", "weight": "5", "team": "a b/c"}, Weights: api.AgentWeights{Passing: 10, Warning: 2},
		TaggedAddresses: map[string]api.ServiceAddress{"lan": {Address: "10.1.0.1", Port: 8080}, "wan": {Address: "198.51.100.1", Port: 443}},
	}, checks{
		withStatus("passing"),
	}},
	{"n2", api.AgentService{ID: "web-2", Service: "web", Port: 8081, Tags: []string{"v1"}, Meta: map[string]string{"env": "stage"}}, nil},
	{"n2", api.AgentService{ID: "web-0", Service: "web", Port: 8080, Tags: []string{"v1", "canary"}}, nil},
	{"n10", api.AgentService{ID: "web-w", Service: "web", Port: 8083, Tags: []string{"v1"}}, checks{
		{
			CheckID: "load", Name: "Load", Status: "warning", Notes: "of 5 minutes", Output: "high", Type: "http",
			Definition: api.HealthCheckDefinition{HTTP: "http://10.0.0.10/load", Method: "GET"},
		},
	}},
	{"n10", api.AgentService{ID: "web-c", Service: "web", Port: 8084, Tags: []string{"v1", "canary"}}, checks{
		withStatus("critical"), withStatus("passing"), withStatus("warning"),
	}},
	{"n1", api.AgentService{ID: "web-m", Service: "web", Port: 8085}, checks{
		{CheckID: "_service_maintenance:web-m", Name: "Service Maintenance Mode", Status: "critical"},
	}},
	{"nm", api.AgentService{ID: "web-n", Service: "web", Port: 8086}, checks{
		withStatus("passing"),
		{CheckID: "_node_maintenance", Name: "Node Maintenance Mode", Status: "critical"},
	}},

	{"idle.example", api.AgentService{ID: "odd", Service: "odd", Port: 3}, checks{withStatus("strange"), withStatus("passing")}},

	{"n1", api.AgentService{ID: "svc", Service: "svc", Port: 1, Tags: []string{"my", "k=v", "x:y", "a-b", "a.b.c"}}, nil},
	{"n2", api.AgentService{ID: "db-1", Service: "db-primary", Port: 5432}, checks{withStatus("critical")}},
	{"n1", api.AgentService{ID: "Mixed_1", Service: "Mixed_Case", Port: 2, Tags: []string{"Z", "a", "M"}}, nil},
	{"n2", api.AgentService{
		Kind: api.ServiceKindConnectProxy, ID: "web-proxy", Service: "web-sidecar", Port: 21000,
		Proxy: &api.AgentServiceConnectProxyConfig{DestinationServiceName: "web", DestinationServiceID: "web-2", LocalServicePort: 8081},
	}, nil},
}

var conformanceValues = map[string]string{
	"app/":           "",
	"app/a":          "1",
	"app/b":          "two",
	"app/dir/":       "",
	"app/dir/deep/z": "Z",
	"app/dir/x":      "X",
	"app/dir/y":      "Y",
	"app/empty":      "",
	"apple":          "fruit",
	"folder/":        "",
	"grp/loose":      "l",
	"grp/one/p1":     "a",
	"grp/one/p2/x":   "b",
	"grp/two/p1":     "c",
	"bad/a":          "1",
	"bad/a/c":        "2",
	"sp ace/k y":     "blank",
	"ключ":           "значение",
	"raw":            "a\r\n\x00\xff",

	"data/json":     `{"a":{"b":[1,2.5,"x"]},"big":10000000,"html":"<a&b>","nil":null,"yes":true}`,
	"data/dst":      `{"keep":1,"fill":"","deep":{"d":1},"other":"text"}`,
	"data/src":      `{"keep":2,"fill":"filled","deep":{"d":2,"s":2},"other":{"m":1},"new":0}`,
	"data/empty":    `{"keep":""}`,
	"data/zeros":    `{"f":false,"l":[],"m":{},"n":0,"s":"","z":null}`,
	"data/full":     `{"f":true,"l":[1],"m":{"x":1},"n":1,"s":"s","z":1}`,
	"data/flat":     `{"a/b":1,"a/c/d":2,"e":3}`,
	"data/conflict": `{"a":1,"a/c":2}`,
	"data/strings":  `["a","b"]`,
	"data/none":     `[]`,
	"data/yaml":     "a:\n  b: [1, 2]\n1: one\nbig: 10000000\nyes: on\n",
}
